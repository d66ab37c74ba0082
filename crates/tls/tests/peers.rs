//! Servers with certificates that hold, and with others: TLS comes up in any case, and only what holds proves a name.
#![cfg(feature = "rustls")]
#![allow(clippy::unwrap_used)]

use bytes::BytesMut;
use onetrip_stream::Domain;
use onetrip_tls::rustls::rustls::RootCertStore;
use onetrip_tls::rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use onetrip_tls::rustls::{Identity, PeerTls, RustlsSession, Versions};
use onetrip_tls::{TlsSession as _, TlsState};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};

const CAPULET: &str = "capulet.example";
const MONTAGUE: &str = "montague.example";

fn identity(name: &str) -> (Identity, CertificateDer<'static>) {
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let der = params.self_signed(&key).unwrap().der().clone();
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    ((vec![der.clone()], private), der)
}

/// capulet.example and montague.example, which trust each other or somebody else.
fn servers(versions: Versions, trusting: bool) -> (PeerTls, PeerTls) {
    let ((capulet, capulet_der), (montague, montague_der)) =
        (identity(CAPULET), identity(MONTAGUE));
    let mut roots = RootCertStore::empty();
    if trusting {
        roots.add(capulet_der).unwrap();
        roots.add(montague_der).unwrap();
    } else {
        roots.add(identity("verona.example").1).unwrap();
    }
    let peer = |identity| PeerTls::new(&identity, versions, roots.clone()).unwrap();
    (peer(capulet), peer(montague))
}

/// Both ends, when they have said all they have to say.
fn connect(from: &PeerTls, to: &PeerTls, asked_for: &str) -> (RustlsSession, RustlsSession) {
    let mut one = from.outbound(&Domain::new(asked_for).unwrap()).unwrap();
    let mut other = to.inbound().unwrap();
    let flow = |from: &mut RustlsSession, to: &mut RustlsSession| {
        let (mut wire, mut plain) = (BytesMut::new(), BytesMut::new());
        from.write(&[], &mut wire).unwrap();
        to.read(&wire, &mut plain).unwrap();
    };
    for _ in 0..3 {
        flow(&mut one, &mut other);
        flow(&mut other, &mut one);
    }
    for session in [&one, &other] {
        assert_eq!(session.state(), TlsState::Established);
    }
    (one, other)
}

#[test]
fn what_holds_proves_its_name_at_both_ends() {
    for versions in [Versions::Tls12, Versions::Tls13] {
        let (capulet, montague) = servers(versions, true);
        let (one, other) = connect(&capulet, &montague, MONTAGUE);
        assert_eq!(one.info().names, [MONTAGUE]);
        assert_eq!(other.info().names, [CAPULET]);
    }
}

#[test]
fn what_nobody_vouches_for_proves_nothing_and_tls_comes_up() {
    for versions in [Versions::Tls12, Versions::Tls13] {
        let (capulet, montague) = servers(versions, false);
        // The second time the session is resumed, and nobody's verifier is asked.
        for again in [false, true] {
            let (one, other) = connect(&capulet, &montague, MONTAGUE);
            assert_eq!(one.info().resumed, again);
            for session in [one, other] {
                assert_eq!(session.info().names, Vec::<String>::new());
                assert_eq!(session.info().peer_certificates.len(), 1);
            }
        }
    }
}

/// RFC 6120 §13.7.2.1: a good certificate, but of another domain than the one asked for.
#[test]
fn the_certificate_of_another_domain_proves_nothing() {
    let (capulet, montague) = servers(Versions::Both, true);
    let (one, _) = connect(&capulet, &montague, "verona.example");
    assert_eq!(one.info().names, Vec::<String>::new());
}
