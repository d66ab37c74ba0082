//! Links over real TLS: pinned keys and certificates, names, and the application protocol (ZH-19, ZH-28, ZH-R7).

use onetrip_core::bytes::{Bytes, BytesMut};
use onetrip_core::stream::{Env, Instant};
use onetrip_core::zero_handshake::{
    Agreement, CertificateRule, Fingerprint, Refusal, Role, Security, TlsTerms,
};
use onetrip_core::{Connection, End, ErrorKind, Event, LinkConfig};
use onetrip_simulator::Seeded;
use onetrip_simulator::certificates::Certificates;
use onetrip_tests::links::{AIR, GROUND, domain, message, terms};
use onetrip_tls::rustls::{PeerTls, RustlsSession, Versions};
use onetrip_tls::{Output, Secured, TlsErrorKind, TlsSession};

fn certificates(name: &str) -> Certificates {
    Certificates::new(&[domain(name)]).unwrap()
}

/// The public key in a certificate of Ed25519, whose form in DER has one length (RFC 8410 §4).
fn key(certificates: &Certificates) -> Fingerprint {
    let der = certificates.server_identity().0[0].to_vec();
    let head = [
        0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
    ];
    let at = der.windows(12).position(|part| part == head).unwrap();
    Fingerprint::of(&der[at..at + 44])
}

/// One end, as a driver makes it.
struct Side {
    secured: Secured<Option<RustlsSession>>,
    got: usize,
    refused: Option<Refusal>,
    closed: bool,
}

impl Side {
    fn new(
        of: usize,
        role: Role,
        rule: CertificateRule,
        tls: &PeerTls,
        alpn: Option<&str>,
    ) -> Self {
        let mut terms = terms(of);
        let mut agreed = TlsTerms::new(rule);
        agreed.alpn = alpn.map(str::to_owned);
        terms.security = Security::Tls(agreed);
        let agreement = Agreement::new(terms).unwrap();
        let peer = ["198.51.100.7:5299", "192.0.2.1:5299"][of].parse().unwrap();
        let tls = tls.with_alpn(alpn);
        let (admitted, session) = match role {
            Role::Opener => (
                agreement.reached(peer, None),
                tls.outbound(agreement.sni().unwrap()),
            ),
            Role::Acceptor => (agreement.accept_source(peer, None), tls.inbound()),
        };
        let config = LinkConfig::new(agreement, admitted.unwrap());
        let mut entropy = Seeded::new(1);
        let env = &mut Env::new(Instant::EPOCH, &mut entropy);
        let connection = Connection::link(config, env).unwrap();
        Self {
            secured: Secured::new(connection, Some(session.unwrap())),
            got: 0,
            refused: None,
            closed: false,
        }
    }

    /// What it writes; each end sends one stanza as soon as it may.
    fn drain(&mut self, of: usize) -> Vec<Bytes> {
        let mut written = Vec::new();
        while let Some(output) = self.secured.poll_output() {
            match output {
                Output::Transmit(bytes) => written.push(bytes),
                Output::Event(Event::Established { .. }) => {
                    let mut entropy = Seeded::new(1);
                    let env = &mut Env::new(Instant::EPOCH, &mut entropy);
                    // The other end may have refused this one in the meantime.
                    let _ = self.secured.send(env, &message(of, 0));
                }
                Output::Event(Event::Stanza(_)) => self.got += 1,
                Output::Event(Event::Closed(End::Failed(error))) => {
                    let ErrorKind::Refused(refusal) = error.kind else {
                        panic!("{error}")
                    };
                    self.refused = Some(refusal);
                }
                Output::Close => self.closed = true,
                _ => {}
            }
        }
        written
    }
}

/// Lets the two talk, the ground having connected to the air.
fn talk(mut ends: [Side; 2], piece: usize) -> [Side; 2] {
    for _ in 0..20 {
        for of in [GROUND, AIR] {
            for bytes in ends[of].drain(of) {
                for piece in bytes.chunks(piece) {
                    let mut entropy = Seeded::new(1);
                    let env = &mut Env::new(Instant::EPOCH, &mut entropy);
                    // A failure shows in how it ends.
                    drop(ends[1 - of].secured.receive(env, piece));
                }
            }
        }
    }
    ends
}

struct World {
    own: [Certificates; 2],
    tls: [PeerTls; 2],
}

fn world(versions: Versions) -> World {
    let own = [certificates("ground.example"), certificates("air.example")];
    let tls = [0, 1].map(|of: usize| {
        let roots = own[1 - of].roots();
        PeerTls::new(&own[of].server_identity(), versions, roots).unwrap()
    });
    World { own, tls }
}

impl World {
    fn talk(
        &self,
        rules: [CertificateRule; 2],
        alpn: [Option<&str>; 2],
        piece: usize,
    ) -> [Side; 2] {
        let [ground, air] = rules;
        let opener = Side::new(
            GROUND,
            Role::Opener,
            ground,
            &self.tls[GROUND],
            alpn[GROUND],
        );
        let acceptor = Side::new(AIR, Role::Acceptor, air, &self.tls[AIR], alpn[AIR]);
        talk([opener, acceptor], piece)
    }
}

#[test]
fn zh_19_keys_certificates_and_names_prove_who_the_peer_is() {
    for versions in [Versions::Tls12, Versions::Tls13] {
        let world = world(versions);
        let keys = |of: usize| CertificateRule::PinnedKey(vec![key(&world.own[1 - of])]);
        let whole = |of: usize| {
            CertificateRule::PinnedCertificate(vec![world.own[1 - of].fingerprints().1])
        };
        for rules in [
            [keys(GROUND), keys(AIR)],
            [whole(GROUND), whole(AIR)],
            [CertificateRule::Names, CertificateRule::Names],
            [keys(GROUND), CertificateRule::Names],
        ] {
            for piece in [usize::MAX, 1] {
                let ends = world.talk(rules.clone(), [None; 2], piece);
                assert_eq!(
                    ends.each_ref().map(|end| end.got),
                    [1, 1],
                    "{rules:?} {versions:?}"
                );
            }
        }
    }
}

#[test]
fn zh_r7_a_wrong_key_certificate_or_issuer_is_refused_by_either_end() {
    let (world, mallory) = (world(Versions::Tls13), certificates("air.example"));
    let right = || CertificateRule::PinnedKey(vec![key(&world.own[GROUND])]);
    for (rule, wrong) in [
        (
            CertificateRule::PinnedKey(vec![key(&mallory)]),
            Refusal::Pin(key(&world.own[AIR])),
        ),
        (
            CertificateRule::PinnedCertificate(vec![mallory.fingerprints().1]),
            Refusal::Pin(world.own[AIR].fingerprints().1),
        ),
    ] {
        let [ground, air] = world.talk([rule, right()], [None; 2], usize::MAX);
        assert_eq!(
            (ground.refused, ground.got, ground.closed),
            (Some(wrong), 0, true)
        );
        assert_eq!(air.got, 0, "nothing was said to it");
    }
    // The acceptor refuses what comes along with the end of the handshake.
    let right = CertificateRule::PinnedKey(vec![key(&world.own[AIR])]);
    let wrong = CertificateRule::PinnedKey(vec![key(&mallory)]);
    let [ground, air] = world.talk([right, wrong], [None; 2], usize::MAX);
    assert_eq!((ground.got, air.got, air.closed), (0, 0, true));
    assert_eq!(air.refused, Some(Refusal::Pin(key(&world.own[GROUND]))));
    // A certificate of the right name whose issuer is nobody's proves nothing.
    let roots = certificates("other.example").roots();
    let distrusts = PeerTls::new(&world.own[GROUND].server_identity(), Versions::Both, roots);
    let names = || CertificateRule::Names;
    let opener = Side::new(GROUND, Role::Opener, names(), &distrusts.unwrap(), None);
    let acceptor = Side::new(AIR, Role::Acceptor, names(), &world.tls[AIR], None);
    let [ground, _] = talk([opener, acceptor], usize::MAX);
    assert_eq!((ground.refused, ground.got), (Some(Refusal::Names), 0));
}

#[test]
fn zh_28_both_ends_insist_on_the_application_protocol() {
    let world = world(Versions::Tls13);
    let names = || [CertificateRule::Names, CertificateRule::Names];
    let with = |alpn| world.talk(names(), alpn, usize::MAX).map(|end| end.got);
    assert_eq!(with([Some("xmpp-server"); 2]), [1, 1]);
    assert_eq!(with([Some("gateway/1"); 2]), [1, 1]);
    for alpn in [[Some("xmpp-server"), None], [None, Some("xmpp-server")]] {
        assert_eq!(with(alpn), [0, 0], "{alpn:?}");
    }
}

/// A driver whose connections may do without TLS: a session that is not there does nothing.
#[test]
fn no_session_is_no_session() {
    let mut none: Option<RustlsSession> = None;
    let mut out = BytesMut::new();
    let kind = none.write(b"hi", &mut out).unwrap_err().kind;
    assert_eq!(kind, TlsErrorKind::Configuration);
    assert!(none.read(b"hi", &mut out).is_err());
    none.close(&mut out);
    assert!(out.is_empty() && none.info().peer_certificates.is_empty());
}
