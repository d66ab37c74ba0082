//! Two TLS sessions back to back, in memory.
#![cfg(feature = "rustls")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

use bytes::BytesMut;
use onetrip_core::TlsVersion;
use onetrip_stream::Domain;
use onetrip_tls::rustls::rustls::RootCertStore;
use onetrip_tls::rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use onetrip_tls::rustls::{Identity, RustlsSession, Versions, client_config, server_config};
use onetrip_tls::{TlsErrorKind, TlsSession as _, TlsState};
use rcgen::{
    CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
    SignatureAlgorithm,
};

fn identity(name: &str) -> (Identity, CertificateDer<'static>) {
    identity_of(name, &PKCS_ED25519)
}

fn identity_of(
    name: &str,
    algorithm: &'static SignatureAlgorithm,
) -> (Identity, CertificateDer<'static>) {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let der = certificate.der().clone();
    (
        (
            vec![der.clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        ),
        der,
    )
}

/// A client that trusts the server's certificate, and the server.
fn pair(versions: Versions, half_rtt: bool, asked_for: &str) -> (RustlsSession, RustlsSession) {
    let (server, der) = identity("im.example.com");
    let mut roots = RootCertStore::empty();
    roots.add(der).unwrap();
    let client = client_config(roots, versions, None).unwrap();
    let server = server_config(server, versions, None, half_rtt).unwrap();
    (
        RustlsSession::client(client, &Domain::new(asked_for).unwrap()).unwrap(),
        RustlsSession::server(server).unwrap(),
    )
}

/// Moves all that one has to say to the other, in pieces.
fn flow(
    from: &mut RustlsSession,
    to: &mut RustlsSession,
    piece: usize,
) -> Result<BytesMut, onetrip_tls::TlsError> {
    let (mut wire, mut plain) = (BytesMut::new(), BytesMut::new());
    from.write(&[], &mut wire)?;
    for piece in wire.chunks(piece) {
        to.read(piece, &mut plain)?;
    }
    Ok(plain)
}

fn shake(
    client: &mut RustlsSession,
    server: &mut RustlsSession,
    piece: usize,
) -> Result<(), onetrip_tls::TlsError> {
    for _ in 0..3 {
        flow(client, server, piece)?;
        flow(server, client, piece)?;
    }
    Ok(())
}

#[test]
fn a_handshake_at_any_split_and_the_same_exporter_at_both_ends() {
    for (versions, version) in [
        (Versions::Tls12, TlsVersion::Tls12),
        (Versions::Tls13, TlsVersion::Tls13),
        (Versions::Both, TlsVersion::Tls13),
    ] {
        for piece in [usize::MAX, 1, 7] {
            let (mut client, mut server) = pair(versions, false, "im.example.com");
            assert_eq!(client.state(), TlsState::Handshaking);
            shake(&mut client, &mut server, piece).unwrap();
            assert_eq!(
                (client.state(), server.state()),
                (TlsState::Established, TlsState::Established)
            );
            let (ours, theirs) = (client.info(), server.info());
            assert_eq!(
                (ours.version, theirs.version),
                (Some(version), Some(version))
            );
            assert_eq!(ours.alpn.as_deref(), Some(&b"xmpp-client"[..]));
            assert_eq!(ours.peer_certificates.len(), 1);
            // RFC 9266: in TLS 1.2 only with the extended master secret, of which nothing is known.
            let data = |info: &onetrip_core::TlsInfo| {
                info.exporter
                    .as_ref()
                    .map(|secret| secret.expose().to_vec())
            };
            assert_eq!(data(&ours), data(&theirs));
            assert_eq!(
                data(&ours).map(|data| data.len()),
                (version == TlsVersion::Tls13).then_some(32)
            );
        }
    }
}

/// RFC 5929 §4.1: both ends see the hash of the server's certificate, in a resumed session, too.
#[test]
fn the_end_point_is_the_servers_certificate_at_both_ends() {
    for (algorithm, length) in [
        (&PKCS_ECDSA_P256_SHA256, Some(32)),
        (&PKCS_ECDSA_P384_SHA384, Some(48)),
        (&PKCS_ED25519, None),
    ] {
        for versions in [Versions::Tls12, Versions::Tls13] {
            let (server, der) = identity_of("im.example.com", algorithm);
            let mut roots = RootCertStore::empty();
            roots.add(der).unwrap();
            let client_config = client_config(roots, versions, None).unwrap();
            let server_config = server_config(server, versions, None, false).unwrap();
            for resumed in [false, true] {
                let domain = Domain::new("im.example.com").unwrap();
                let mut client = RustlsSession::client(client_config.clone(), &domain).unwrap();
                let mut server = RustlsSession::server(server_config.clone()).unwrap();
                shake(&mut client, &mut server, usize::MAX).unwrap();
                let [ours, theirs] = [client.info(), server.info()];
                assert_eq!((ours.resumed, theirs.resumed), (resumed, resumed));
                let [ours, theirs] =
                    [ours, theirs].map(|info| info.end_point.map(|hash| hash.expose().to_vec()));
                assert_eq!(ours, theirs);
                assert_eq!(ours.map(|hash| hash.len()), length, "{versions:?}");
            }
        }
    }
}

#[test]
fn more_than_a_mebibyte_both_ways() {
    let (mut client, mut server) = pair(Versions::Both, false, "im.example.com");
    shake(&mut client, &mut server, usize::MAX).unwrap();
    let data: Vec<u8> = (0..(1 << 20) + 12_345_usize).map(|i| i as u8).collect();
    for forth in [true, false] {
        let (from, to) = if forth {
            (&mut client, &mut server)
        } else {
            (&mut server, &mut client)
        };
        let (mut wire, mut plain) = (BytesMut::new(), BytesMut::new());
        from.write(&data, &mut wire).unwrap();
        for piece in wire.chunks(50_000) {
            to.read(piece, &mut plain).unwrap();
        }
        assert_eq!(plain, data);
    }
}

/// QS-21: the client's Finished and what it says first are one write.
#[test]
fn finished_and_the_first_data_are_one_write() {
    let (mut client, mut server) = pair(Versions::Tls13, false, "im.example.com");
    flow(&mut client, &mut server, usize::MAX).unwrap();
    flow(&mut server, &mut client, usize::MAX).unwrap();
    assert_eq!(client.state(), TlsState::Established);
    let (mut wire, mut plain) = (BytesMut::new(), BytesMut::new());
    client.write(b"<auth/>", &mut wire).unwrap();
    server.read(&wire, &mut plain).unwrap();
    assert_eq!(
        (server.state(), &plain[..]),
        (TlsState::Established, &b"<auth/>"[..])
    );
}

/// QS-R2: half-RTT data is there when it is asked for, before the client's Finished, and not otherwise.
#[test]
fn qs_r2_half_rtt_data_only_where_it_is_wanted() {
    for (half_rtt, state) in [(true, TlsState::Sendable), (false, TlsState::Handshaking)] {
        let (mut client, mut server) = pair(Versions::Tls13, half_rtt, "im.example.com");
        flow(&mut client, &mut server, usize::MAX).unwrap();
        assert_eq!(server.state(), state);
        let (mut wire, mut plain) = (BytesMut::new(), BytesMut::new());
        let written = server.write(b"<features/>", &mut wire);
        client.read(&wire, &mut plain).unwrap();
        assert_eq!(half_rtt && written.is_ok(), plain == b"<features/>"[..]);
    }
}

#[test]
fn a_certificate_for_another_name_or_from_nobody_is_refused_with_an_alert() {
    let (mut client, mut server) = pair(Versions::Both, false, "other.example");
    assert_eq!(
        shake(&mut client, &mut server, usize::MAX)
            .unwrap_err()
            .kind,
        TlsErrorKind::Certificate
    );
    let (mut alert, mut plain) = (BytesMut::new(), BytesMut::new());
    client.write(&[], &mut alert).unwrap();
    assert_eq!(
        server.read(&alert, &mut plain).unwrap_err().kind,
        TlsErrorKind::Alert
    );
    let (stranger, _) = identity("im.example.com");
    let (mut client, _) = pair(Versions::Both, false, "im.example.com");
    let mut server =
        RustlsSession::server(server_config(stranger, Versions::Both, None, false).unwrap())
            .unwrap();
    assert_eq!(
        shake(&mut client, &mut server, usize::MAX)
            .unwrap_err()
            .kind,
        TlsErrorKind::Certificate
    );
}

/// Plaintext injected behind the boundary is no TLS (CVE-2011-0411 and its kin).
#[test]
fn plaintext_behind_the_boundary_is_not_tls() {
    let (mut client, mut server) = pair(Versions::Both, false, "im.example.com");
    let mut plain = BytesMut::new();
    let hostile = b"<stream:stream xmlns='jabber:client'>";
    assert_eq!(
        server.read(hostile, &mut plain).unwrap_err().kind,
        TlsErrorKind::NotTls
    );
    client.write(&[], &mut BytesMut::new()).unwrap();
    assert_eq!(
        client.read(hostile, &mut plain).unwrap_err().kind,
        TlsErrorKind::NotTls
    );
    assert!(plain.is_empty());
}

#[test]
fn close_notify_ends_it_cleanly() {
    let (mut client, mut server) = pair(Versions::Both, false, "im.example.com");
    shake(&mut client, &mut server, usize::MAX).unwrap();
    let (mut wire, mut plain) = (BytesMut::new(), BytesMut::new());
    client.write(b"bye", &mut wire).unwrap();
    client.close(&mut wire);
    server.read(&wire, &mut plain).unwrap();
    assert_eq!(
        (server.state(), &plain[..]),
        (TlsState::Closed, &b"bye"[..])
    );
}

/// What cannot work is said when it is configured, not to the first peer.
#[test]
fn a_key_of_another_certificate_is_refused_at_once() {
    let (ours, _) = identity("im.example.com");
    let (theirs, _) = identity_of("im.example.com", &PKCS_ECDSA_P256_SHA256);
    let mixed = || (ours.0.clone(), theirs.1.clone_key());
    let server = server_config(mixed(), Versions::Both, None, false);
    let client = client_config(RootCertStore::empty(), Versions::Both, Some(mixed()));
    for refused in [server.err(), client.err()] {
        assert_eq!(refused.unwrap().kind, TlsErrorKind::Configuration);
    }
}
