//! What is an agreement and what is not, and who passes its checks.

use std::time::Duration;

use super::{domain, socket, terms};
use crate::{
    Acknowledgements, Agreement, CertificateRule, Direction, Fault, Field, Fingerprint,
    PeerIdentity, PortRule, Refusal, Role, Security, Source, SourceRule, Terms, TlsTerms,
};

type Spoil = fn(&mut Terms);

fn tls(certificate: CertificateRule) -> Terms {
    let mut terms = terms();
    terms.allowed_sources = Vec::new();
    terms.security = Security::Tls(TlsTerms::new(certificate));
    terms
}

fn edit(terms: &mut Terms) -> &mut TlsTerms {
    match &mut terms.security {
        Security::Tls(tls) => tls,
        Security::Plain => panic!("plain"),
    }
}

fn everything() -> SourceRule {
    SourceRule::network("0.0.0.0/0".parse().unwrap())
}

#[test]
fn zh_04_every_fault_names_its_field() {
    let cases: &[(Spoil, Field, Option<usize>, Fault)] = &[
        (|t| t.ours.clear(), Field::Ours, None, Fault::Empty),
        (|t| t.theirs.clear(), Field::Theirs, None, Fault::Empty),
        (
            |t| t.ours.push(domain("GROUND.example")),
            Field::Ours,
            Some(2),
            Fault::Twice,
        ),
        (
            |t| t.theirs.push(domain("air.example")),
            Field::Theirs,
            Some(2),
            Fault::Twice,
        ),
        (
            |t| t.theirs.push(domain("muc.ground.example")),
            Field::Theirs,
            Some(2),
            Fault::OurDomain(domain("muc.ground.example")),
        ),
        (|t| t.address = None, Field::Address, None, Fault::Missing),
        (
            |t| {
                t.direction = Direction::OutboundOnly;
                t.address = None;
            },
            Field::Address,
            None,
            Fault::Missing,
        ),
        (
            |t| t.direction = Direction::InboundOnly,
            Field::Address,
            None,
            Fault::Unused,
        ),
        (
            |t| t.address = "198.51.100.7:0".parse().ok(),
            Field::Address,
            None,
            Fault::Port,
        ),
        (
            |t| t.address = "203.0.113.1:1".parse().ok(),
            Field::Address,
            None,
            Fault::Outside,
        ),
        (
            |t| t.source_port = Some(0),
            Field::SourcePort,
            None,
            Fault::Port,
        ),
        (
            |t| {
                (t.direction, t.address) = (Direction::InboundOnly, None);
                t.source_port = Some(1);
            },
            Field::SourcePort,
            None,
            Fault::Unused,
        ),
        (
            |t| {
                (t.direction, t.address) = (Direction::InboundOnly, None);
                t.reply_on_inbound = false;
            },
            Field::ReplyOnInbound,
            None,
            Fault::Mute,
        ),
        (
            |t| {
                (t.direction, t.address) = (Direction::InboundOnly, None);
                t.idle_close = Some(Duration::from_secs(1));
            },
            Field::IdleClose,
            None,
            Fault::Unused,
        ),
        (
            |t| t.allowed_sources.clear(),
            Field::AllowedSources,
            None,
            Fault::NoIdentity,
        ),
        (
            |t| t.allowed_sources.push(everything()),
            Field::AllowedSources,
            Some(1),
            Fault::Everything,
        ),
        (
            |t| t.allowed_sources.push(t.allowed_sources[0].clone()),
            Field::AllowedSources,
            Some(1),
            Fault::Twice,
        ),
        (
            |t| t.allowed_sources[0].ports = PortRule::Exact(0),
            Field::AllowedSources,
            Some(0),
            Fault::Port,
        ),
        (
            |t| t.insecure_implicit = true,
            Field::InsecureImplicit,
            None,
            Fault::NotInsecure,
        ),
        (
            |t| t.quiet = Duration::ZERO,
            Field::Quiet,
            None,
            Fault::Zero,
        ),
        (
            |t| t.retry = Duration::ZERO,
            Field::Retry,
            None,
            Fault::Zero,
        ),
        (
            |t| t.idle_close = Some(Duration::ZERO),
            Field::IdleClose,
            None,
            Fault::Zero,
        ),
        (
            |t| t.stall = Duration::ZERO,
            Field::Stall,
            None,
            Fault::Zero,
        ),
        (
            |t| t.close_wait = Duration::ZERO,
            Field::CloseWait,
            None,
            Fault::Zero,
        ),
        (
            |t| t.presets.keepalive = Some(Duration::ZERO),
            Field::Keepalive,
            None,
            Fault::Zero,
        ),
        (
            |t| t.presets.max_stanza_size = Some(9_999),
            Field::MaxStanzaSize,
            None,
            Fault::TooSmall(10_000),
        ),
        (
            |t| {
                let mut acks = Acknowledgements::default();
                acks.request_after = 0;
                t.presets.acknowledgements = Some(acks);
            },
            Field::Acknowledgements,
            None,
            Fault::Zero,
        ),
        (
            |t| t.language = Some("\u{1}".into()),
            Field::Language,
            None,
            Fault::Unwritable,
        ),
        (
            |t| t.language = Some("x".repeat(5000)),
            Field::Language,
            None,
            Fault::Unwritable,
        ),
    ];
    Agreement::new(terms()).unwrap();
    for (place, (spoil, field, index, fault)) in cases.iter().enumerate() {
        let mut terms = terms();
        spoil(&mut terms);
        let error = Agreement::new(terms).unwrap_err();
        assert_eq!(
            (error.field, error.index, &error.fault),
            (*field, *index, fault),
            "case {place}"
        );
    }
}

#[test]
fn zh_19_faults_of_the_tls_terms() {
    let pin = Fingerprint::new([7; 32]);
    let cases: [(Terms, Field, Option<usize>, Fault); 4] = [
        (
            tls(CertificateRule::PinnedKey(vec![])),
            Field::Pins,
            None,
            Fault::Empty,
        ),
        (
            tls(CertificateRule::PinnedCertificate(vec![pin, pin])),
            Field::Pins,
            Some(1),
            Fault::Twice,
        ),
        (
            {
                let mut terms = tls(CertificateRule::Names);
                edit(&mut terms).alpn = Some(String::new());
                terms
            },
            Field::Alpn,
            None,
            Fault::Length,
        ),
        (
            {
                let mut terms = tls(CertificateRule::Names);
                edit(&mut terms).client_certificates = false;
                terms
            },
            Field::AllowedSources,
            None,
            Fault::NoIdentity,
        ),
    ];
    for (terms, field, index, fault) in cases {
        let error = Agreement::new(terms).unwrap_err();
        assert_eq!(
            (error.field, error.index, error.fault),
            (field, index, fault)
        );
    }
}

#[test]
fn zh_r6_insecurity_is_spelt_out_or_there_is_no_agreement() {
    let mut bare = terms();
    bare.allowed_sources = Vec::new();
    for direction in [Direction::Either, Direction::OutboundOnly] {
        bare.direction = direction;
        let error = Agreement::new(bare.clone()).unwrap_err();
        assert_eq!(error.fault, Fault::NoIdentity);
    }
    bare.insecure_implicit = true;
    Agreement::new(bare.clone()).unwrap();
    // A network of everything is no identity, but may be written down beside the admission.
    bare.allowed_sources = vec![everything()];
    Agreement::new(bare).unwrap();
    // Client certificates are not needed where only we open.
    let mut outward = tls(CertificateRule::Names);
    edit(&mut outward).client_certificates = false;
    outward.direction = Direction::OutboundOnly;
    Agreement::new(outward).unwrap();
}

#[test]
fn zh_20_a_source_is_checked_with_its_port_before_anything_else() {
    let mut terms = terms();
    terms.allowed_sources = vec![
        SourceRule::new(
            Source::Network("198.51.100.0/24".parse().unwrap()),
            PortRule::Range(5300..=5310),
        ),
        SourceRule::new(Source::Name(domain("gw.air.example")), PortRule::Any),
    ];
    let agreement = Agreement::new(terms).unwrap();
    let gateway = domain("gw.air.example");
    for (source, name, passes) in [
        ("198.51.100.7:5300", None, true),
        ("[::ffff:198.51.100.7]:5310", None, true),
        ("198.51.100.7:5299", None, false),
        ("198.51.101.7:5300", None, false),
        ("203.0.113.1:1", None, false),
        ("203.0.113.1:1", Some(&gateway), true),
        ("203.0.113.1:1", Some(&domain("air.example")), false),
    ] {
        let result = agreement.accept_source(socket(source), name);
        match passes {
            true => assert_eq!(result.unwrap().role(), Role::Acceptor),
            false => assert_eq!(result, Err(Refusal::Source(socket(source)))),
        }
    }
    // The port we reach is not one the peer connects from, but the host is the same.
    assert!(agreement.reached(socket("198.51.100.9:5299"), None).is_ok());
    let elsewhere = socket("203.0.113.1:5300");
    assert_eq!(
        agreement.reached(elsewhere, None),
        Err(Refusal::Source(elsewhere))
    );
}

#[test]
fn metre_x2x_a_plain_link_from_an_unknown_host_is_not_authorised() {
    let agreement = Agreement::new(terms()).unwrap();
    assert!(
        agreement
            .accept_source(socket("203.0.113.1:5300"), None)
            .is_err()
    );
}

#[test]
fn zh_12_the_direction_is_kept_by_both_sides() {
    let mut outward = terms();
    outward.direction = Direction::OutboundOnly;
    let outward = Agreement::new(outward).unwrap();
    let peer = socket("198.51.100.7:5299");
    assert_eq!(outward.accept_source(peer, None), Err(Refusal::Direction));
    assert!(outward.reached(peer, None).is_ok());
    let mut inward = terms();
    (inward.direction, inward.address) = (Direction::InboundOnly, None);
    let inward = Agreement::new(inward).unwrap();
    assert_eq!(inward.reached(peer, None), Err(Refusal::Direction));
    assert!(inward.accept_source(peer, None).is_ok());
}

#[test]
fn zh_19_tls_and_plain_do_not_pass_for_each_other() {
    let plain = Agreement::new(terms()).unwrap();
    let admitted = plain.accept_source(socket("198.51.100.7:1"), None).unwrap();
    let shown = PeerIdentity::default();
    assert_eq!(
        plain.accept_certificate(admitted, &shown),
        Err(Refusal::Tls)
    );
    let tls = Agreement::new(tls(CertificateRule::Names)).unwrap();
    assert_eq!(tls.accept_plain(admitted), Err(Refusal::Plain));
}

#[test]
fn zh_r7_names_authorise_the_intersection() {
    let agreement = Agreement::new(tls(CertificateRule::Names)).unwrap();
    let mut identity = PeerIdentity::default();
    for peer in [
        agreement
            .accept_source(socket("203.0.113.1:1"), None)
            .unwrap(),
        agreement.reached(socket("203.0.113.1:1"), None).unwrap(),
    ] {
        identity.names = vec![
            domain("muc.air.example"),
            domain("ground.example"),
            domain("x.example"),
        ];
        let authorised = agreement.accept_certificate(peer, &identity).unwrap();
        assert_eq!(authorised.role(), peer.role());
        assert_eq!(
            authorised.domains().collect::<Vec<_>>(),
            [&domain("muc.air.example")]
        );
        identity.names = vec![domain("sub.air.example")];
        identity.certificate = Some(Fingerprint::new([1; 32]));
        assert_eq!(
            agreement.accept_certificate(peer, &identity),
            Err(Refusal::Names)
        );
    }
}

#[test]
fn zh_r7_a_pin_authorises_all_configured_domains_and_nothing_else_does() {
    let (der, other) = (Fingerprint::of(b"der"), Fingerprint::of(b"another"));
    let certificate = CertificateRule::PinnedCertificate(vec![Fingerprint::new([0; 32]), der]);
    let key = CertificateRule::PinnedKey(vec![der]);
    for (rule, by_key) in [(certificate, false), (key, true)] {
        let agreement = Agreement::new(tls(rule)).unwrap();
        let peer = agreement
            .accept_source(socket("203.0.113.1:1"), None)
            .unwrap();
        let accept = |shown: Option<Fingerprint>, swapped: bool| {
            let mut identity = PeerIdentity::default();
            identity.names = vec![domain("air.example")];
            match by_key != swapped {
                true => identity.public_key = shown,
                false => identity.certificate = shown,
            }
            agreement.accept_certificate(peer, &identity)
        };
        assert_eq!(accept(Some(der), false).unwrap().domains().count(), 2);
        assert_eq!(accept(Some(other), false), Err(Refusal::Pin(other)));
        assert_eq!(accept(None, false), Err(Refusal::NoCertificate));
        assert_eq!(
            accept(Some(der), true),
            Err(Refusal::NoCertificate),
            "the other hash"
        );
    }
}

#[test]
fn zh_19_without_client_certificates_the_opener_still_checks_the_acceptor() {
    let mut terms = tls(CertificateRule::PinnedKey(vec![Fingerprint::of(b"key")]));
    edit(&mut terms).client_certificates = false;
    terms.allowed_sources = vec![SourceRule::network("198.51.100.7".parse().unwrap())];
    let agreement = Agreement::new(terms).unwrap();
    let nothing = PeerIdentity::default();
    let inbound = agreement
        .accept_source(socket("198.51.100.7:1"), None)
        .unwrap();
    assert!(agreement.accept_certificate(inbound, &nothing).is_ok());
    let outbound = agreement.reached(socket("203.0.113.1:1"), None).unwrap();
    assert_eq!(
        agreement.accept_certificate(outbound, &nothing),
        Err(Refusal::NoCertificate)
    );
}

#[test]
fn zh_28_sni_and_alpn_come_from_the_agreement() {
    let mut terms = tls(CertificateRule::Names);
    assert_eq!(
        Agreement::new(terms.clone()).unwrap().sni(),
        Some(&domain("air.example"))
    );
    edit(&mut terms).sni = Some(domain("gw.air.example"));
    edit(&mut terms).alpn = Some("xmpp-server".into());
    let agreement = Agreement::new(terms).unwrap();
    assert_eq!(agreement.sni(), Some(&domain("gw.air.example")));
    assert_eq!(agreement.alpn(), Some("xmpp-server"));
    let peer = agreement.reached(socket("203.0.113.1:1"), None).unwrap();
    let mut identity = PeerIdentity::default();
    identity.names = vec![domain("air.example")];
    for alpn in [None, Some(b"xmpp-client".to_vec())] {
        identity.alpn = alpn;
        assert_eq!(
            agreement.accept_certificate(peer, &identity),
            Err(Refusal::Alpn)
        );
    }
    identity.alpn = Some(b"xmpp-server".to_vec());
    assert!(agreement.accept_certificate(peer, &identity).is_ok());
}

#[test]
fn a_fingerprint_is_64_digits() {
    // FIPS 180-2, appendix B.1.
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(Fingerprint::of(b"abc").to_string(), abc);
    let colons: Vec<&str> = (0..32).map(|i| &abc[2 * i..2 * i + 2]).collect();
    assert_eq!(
        colons.join(":").to_uppercase().parse(),
        Ok(Fingerprint::of(b"abc"))
    );
    for text in ["", &abc[1..], &format!("{abc}0"), &abc.replace('b', "g")] {
        assert!(text.parse::<Fingerprint>().is_err(), "{text}");
    }
}
