//! Whoever is not the peer that was agreed on is refused before a byte of it is parsed (ZH-20, ZH-R6, ZH-R7).

use onetrip_core::bytes::Bytes;
use onetrip_core::stream::{Env, Instant, Stanza};
use onetrip_core::zero_handshake::{
    Agreement, CertificateRule, Fingerprint, Network, PortRule, Refusal, Security, Source,
    SourceRule, Terms, TlsTerms,
};
use onetrip_core::{Action, Connection, End, ErrorKind, Event, LinkConfig, TlsInfo, UsageError};
use onetrip_simulator::Seeded;
use onetrip_tests::links::{AIR, GROUND, domain, message, terms};

const PEER: &str = "198.51.100.7:40000";

fn config(agreement: &Agreement) -> LinkConfig {
    let admitted = agreement.accept_source(PEER.parse().unwrap(), None);
    LinkConfig::new(agreement.clone(), admitted.unwrap())
}

fn start(config: LinkConfig) -> Result<Connection, Refusal> {
    Connection::link(config, &mut Env::new(Instant::EPOCH, &mut Seeded::new(1)))
}

/// TLS in which the peer has to show a certificate by this rule.
fn secured(rule: CertificateRule) -> Terms {
    let mut terms = terms(GROUND);
    terms.security = Security::Tls(TlsTerms::new(rule));
    terms
}

/// What a connection does and says: nothing is written unless said here.
#[derive(Debug, Default, PartialEq)]
struct Done {
    upgrades: usize,
    written: Vec<u8>,
    stanzas: Vec<Stanza>,
    established: bool,
    refusal: Option<Refusal>,
    closed: bool,
}

fn drain(connection: &mut Connection, done: &mut Done) {
    while let Some(action) = connection.poll_action() {
        match action {
            Action::Transmit(bytes) => done.written.extend_from_slice(&bytes),
            Action::UpgradeSend | Action::UpgradeReceive => done.upgrades += 1,
            Action::Event(Event::Established { peer, .. }) => {
                assert_eq!(peer, domain("air.example"));
                done.established = true;
            }
            Action::Event(Event::Stanza(stanza)) => done.stanzas.push(stanza),
            Action::Event(Event::Closed(End::Failed(error))) => {
                assert_eq!(error.condition(), None, "the peer is told nothing");
                assert_eq!(error.offset, 0, "nothing was parsed");
                let ErrorKind::Refused(refusal) = error.kind else {
                    panic!("{error}")
                };
                done.refusal = Some(refusal);
            }
            Action::Close => done.closed = true,
            _ => {}
        }
    }
}

/// A peer whose handshake shows this, and whose first stanza came along with it.
fn handshake(config: LinkConfig, info: TlsInfo) -> Done {
    let (mut connection, mut done) = (start(config).unwrap(), Done::default());
    drain(&mut connection, &mut done);
    assert_eq!(done.upgrades, 2, "TLS from the first byte");
    assert!(!connection.is_online() && connection.agreement().is_none());
    let mut entropy = Seeded::new(1);
    let env = &mut Env::new(Instant::EPOCH, &mut entropy);
    let early = connection.send(env, &message(GROUND, 0)).unwrap_err();
    assert_eq!(early, UsageError::NotOnline);
    // Bytes that come before TLS is up are TLS's.
    assert_eq!(connection.receive(env, b"\x17\x03\x03").unwrap(), 0);
    let plain = message(AIR, 0).bytes().clone();
    connection.tls_established(env, info, &plain).unwrap();
    drain(&mut connection, &mut done);
    if done.refusal.is_some() {
        assert!(connection.receive(env, b"").is_err() && !connection.is_online());
        assert_eq!(connection.buffered() as u64 + connection.received(), 0);
    }
    done
}

fn shown(certificate: &'static [u8], key: &'static [u8], names: &[&str]) -> TlsInfo {
    let mut info = TlsInfo::new();
    info.peer_certificates = vec![Bytes::from_static(certificate)];
    info.public_key = Some(Bytes::from_static(key));
    info.names = names.iter().map(|name| (*name).to_owned()).collect();
    info
}

fn right() -> Done {
    Done {
        upgrades: 2,
        stanzas: vec![message(AIR, 0)],
        established: true,
        ..Done::default()
    }
}

fn refused(refusal: Refusal) -> Done {
    Done {
        upgrades: 2,
        refusal: Some(refusal),
        closed: true,
        ..Done::default()
    }
}

#[test]
fn zh_19_the_pinned_certificate_and_no_other_opens_a_link() {
    let pin = Fingerprint::of(b"their certificate");
    let rule = CertificateRule::PinnedCertificate(vec![pin]);
    let agreement = Agreement::new(secured(rule)).unwrap();
    let with = |info| handshake(config(&agreement), info);
    assert_eq!(with(shown(b"their certificate", b"key", &[])), right());
    let other = Refusal::Pin(Fingerprint::of(b"another"));
    let names = &["air.example"];
    assert_eq!(
        with(shown(b"another", b"their certificate", names)),
        refused(other)
    );
    assert_eq!(with(TlsInfo::new()), refused(Refusal::NoCertificate));
}

#[test]
fn zh_19_the_pinned_key_and_no_other_opens_a_link() {
    let pin = Fingerprint::of(b"their key");
    let agreement = Agreement::new(secured(CertificateRule::PinnedKey(vec![pin]))).unwrap();
    let with = |info| handshake(config(&agreement), info);
    assert_eq!(with(shown(b"any", b"their key", &[])), right());
    let other = Refusal::Pin(Fingerprint::of(b"another key"));
    assert_eq!(
        with(shown(b"their key", b"another key", &[])),
        refused(other)
    );
}

/// ZH-R7: the link speaks for the domains that are both agreed and proved.
#[test]
fn zh_r7_a_certificate_has_to_cover_a_domain_of_the_peers() {
    let agreement = Agreement::new(secured(CertificateRule::Names)).unwrap();
    let with = |info| handshake(config(&agreement), info);
    assert_eq!(with(shown(b"any", b"any", &["air.example"])), right());
    for names in [&[][..], &["mallory.example"], &["ground.example"]] {
        let done = with(shown(b"any", b"any", names));
        assert_eq!(done, refused(Refusal::Names), "{names:?}");
    }
    // What is proved of another domain does not open this one: the stanza is from air.example.
    let (mut connection, mut done) = (start(config(&agreement)).unwrap(), Done::default());
    let mut entropy = Seeded::new(1);
    let env = &mut Env::new(Instant::EPOCH, &mut entropy);
    let info = shown(b"any", b"any", &["muc.air.example"]);
    connection
        .tls_established(env, info, message(AIR, 0).bytes())
        .unwrap();
    let error = connection.receive(env, b"").unwrap_err();
    assert_eq!(error.condition().map(|c| c.name()), Some("invalid-from"));
    while let Some(action) = connection.poll_action() {
        if let Action::Event(Event::Stanza(stanza)) = action {
            done.stanzas.push(stanza);
        }
    }
    assert_eq!(done.stanzas, []);
}

#[test]
fn zh_28_the_application_protocol_is_insisted_on() {
    let pin = Fingerprint::of(b"cert");
    let mut terms = secured(CertificateRule::PinnedCertificate(vec![pin]));
    if let Security::Tls(tls) = &mut terms.security {
        tls.alpn = Some("xmpp-server".to_owned());
    }
    let agreement = Agreement::new(terms).unwrap();
    for (alpn, expected) in [
        (Some("xmpp-server"), right()),
        (Some("xmpp-client"), refused(Refusal::Alpn)),
        (None, refused(Refusal::Alpn)),
    ] {
        let mut info = shown(b"cert", b"key", &[]);
        info.alpn = alpn.map(|name: &str| Bytes::copy_from_slice(name.as_bytes()));
        assert_eq!(handshake(config(&agreement), info), expected, "{alpn:?}");
    }
}

/// Several agreements behind one listener: the certificate says which of them it is.
#[test]
fn zh_19_of_several_agreements_the_one_that_fits_is_taken() {
    let agreement = |theirs: &str, pin: &[u8]| {
        let pins = vec![Fingerprint::of(pin)];
        let mut terms = secured(CertificateRule::PinnedCertificate(pins));
        terms.theirs = vec![domain(theirs)];
        Agreement::new(terms).unwrap()
    };
    let (sea, air) = (
        agreement("sea.example", b"sea"),
        agreement("air.example", b"air"),
    );
    let mut both = config(&sea);
    both.candidates.extend(config(&air).candidates);
    assert_eq!(handshake(both.clone(), shown(b"air", b"key", &[])), right());
    let neither = Refusal::Pin(Fingerprint::of(b"mallory"));
    assert_eq!(
        handshake(both, shown(b"mallory", b"key", &[])),
        refused(neither)
    );
}

/// ZH-20, ZH-R6: without an admitted source there is no configuration, and so no connection that could read a byte.
#[test]
fn zh_20_another_source_or_port_is_refused_before_there_is_a_connection() {
    let mut terms = terms(GROUND);
    let network: Network = "198.51.100.0/28".parse().unwrap();
    terms.allowed_sources = vec![SourceRule::new(
        Source::Network(network),
        PortRule::Range(5300..=5310),
    )];
    let agreement = Agreement::new(terms).unwrap();
    let from = |source: &str| agreement.accept_source(source.parse().unwrap(), None);
    for source in ["198.51.100.7:5300", "[::ffff:198.51.100.15]:5310"] {
        assert!(from(source).is_ok(), "{source}");
    }
    for source in [
        "198.51.100.7:5299",
        "198.51.100.16:5300",
        "[2001:db8::7]:5300",
    ] {
        assert_eq!(from(source), Err(Refusal::Source(source.parse().unwrap())));
    }
    // And where we are the ones who have connected.
    assert!(
        agreement
            .reached("198.51.100.7:1".parse().unwrap(), None)
            .is_ok()
    );
    assert!(
        agreement
            .reached("203.0.113.9:5299".parse().unwrap(), None)
            .is_err()
    );
}

/// A source that is allowed in a plain agreement does not make TLS unnecessary in another.
#[test]
fn zh_18_tls_that_was_agreed_is_not_left_out() {
    let plain = Agreement::new(terms(GROUND)).unwrap();
    let pins = vec![Fingerprint::of(b"cert")];
    let tls = Agreement::new(secured(CertificateRule::PinnedCertificate(pins))).unwrap();
    let mut mixed = config(&tls);
    mixed.candidates.extend(config(&plain).candidates);
    let other = Refusal::Pin(Fingerprint::of(b"mallory"));
    assert_eq!(
        handshake(mixed, shown(b"mallory", b"key", &[])),
        refused(other)
    );
}

/// A peer that says nothing in the handshake does not hold the connection for ever.
#[test]
fn a_handshake_that_does_not_end_is_ended() {
    let agreement = Agreement::new(secured(CertificateRule::Names)).unwrap();
    let mut connection = start(config(&agreement)).unwrap();
    let deadline = connection.poll_timeout().unwrap();
    connection.handle_timeout(&mut Env::new(deadline.at, &mut Seeded::new(1)));
    let mut written = 0;
    let mut ended = false;
    while let Some(action) = connection.poll_action() {
        match action {
            Action::Transmit(bytes) => written += bytes.len(),
            Action::Event(Event::Closed(End::Failed(error))) => {
                ended = matches!(error.kind, ErrorKind::TimedOut(_));
            }
            _ => {}
        }
    }
    assert_eq!((written, ended), (0, true));
}
