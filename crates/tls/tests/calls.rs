//! What goes through [`Secured`] and [`SecuredEnd`] to the machines behind them, and a session that has no TLS.
#![allow(clippy::unwrap_used, clippy::panic)]

use bytes::BytesMut;
use onetrip_core::jingle::session::{self, Reason};
use onetrip_core::negotiation::sasl::InitiatorConfig;
use onetrip_core::quickstart::Transport;
use onetrip_core::{ClientConfig, Entity, ReverseFacts, UsageError, e2e};
use onetrip_stream::{Condition, Domain, Entropy, Env, Instant, Pair, Secret, StreamError};
use onetrip_tls::{
    EndOutput, NoTls, Output, Secured, SecuredEnd, TlsErrorKind, TlsSession as _, TlsState,
};

/// The same bytes again and again: nothing here is secret.
struct Same;

impl Entropy for Same {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

fn client(env: &mut Env<'_>) -> Secured<NoTls> {
    let sasl = InitiatorConfig::password("juliet", Secret::from("secret"));
    let account = "juliet@capulet.lit".parse().unwrap();
    let config = ClientConfig::new(account, Transport::StartTls, sasl);
    Secured::new(Entity::default().connect(config, env), NoTls)
}

/// The text that is to be written.
fn written(secured: &mut Secured<NoTls>) -> String {
    let mut written = Vec::new();
    while let Some(output) = secured.poll_output() {
        match output {
            Output::Transmit(bytes) => written.extend_from_slice(&bytes),
            Output::Close => written.extend_from_slice(b"(closed)"),
            _ => {}
        }
    }
    String::from_utf8(written).unwrap()
}

/// What the connection says of a call that does not fit comes out as it is, and nothing is written.
#[test]
fn calls_that_do_not_fit_are_errors_and_change_nothing() {
    let mut entropy = Same;
    let env = &mut Env::new(Instant::EPOCH, &mut entropy);
    let mut secured = client(env);
    assert!(written(&mut secured).starts_with("<stream:stream "));
    let domain = |name| Domain::new(name).unwrap();
    let pair = Pair::new(domain("capulet.lit"), domain("montague.lit"));
    assert_eq!(
        secured.bind(env, Some("balcony")),
        Err(UsageError::NotAsked)
    );
    let asked = secured.ask(env, pair.clone(), false);
    assert_eq!(asked, Err(UsageError::NotBetweenServers));
    let judged = secured.judged(env, &pair, ReverseFacts::default());
    assert_eq!(judged, Err(UsageError::NotBetweenServers));
    assert_eq!(written(&mut secured), "");
}

/// RFC 6120 §4.9.1.1: the error, the end of the stream, and the end of the transport.
#[test]
fn a_stream_is_closed_with_the_error_that_is_said() {
    let mut entropy = Same;
    let env = &mut Env::new(Instant::EPOCH, &mut entropy);
    let mut secured = client(env);
    written(&mut secured);
    secured.close_with(&StreamError::new(Condition::SystemShutdown));
    let last = written(&mut secured);
    assert!(
        last.contains("<system-shutdown") && last.ends_with("</stream:stream>(closed)"),
        "{last}"
    );
}

/// A session between two clients ends at once, whatever TLS is at.
#[test]
fn a_session_between_clients_is_ended_with_its_reason() {
    let mut entropy = Same;
    let env = &mut Env::new(Instant::EPOCH, &mut entropy);
    let config = e2e::Config::new(session::Config::new(Some(b"romeo".to_vec())));
    let (us, peer) = (
        "romeo@montague.lit/orchard".parse().unwrap(),
        "juliet@capulet.lit/balcony".parse().unwrap(),
    );
    let end = e2e::EndToEnd::initiate(config, env, us, peer, None, Vec::new()).unwrap();
    let mut end = SecuredEnd::new(end, NoTls, env);
    assert_eq!((end.session(), end.tls_error()), (&NoTls, None));
    end.terminate(env, Reason::Cancel);
    let mut said = Vec::new();
    while let Some(output) = end.poll_output() {
        if let EndOutput::Send(stanza) = output {
            said.push(String::from_utf8_lossy(stanza.bytes()).into_owned());
        }
    }
    assert!(said[0].contains("session-initiate"));
    assert!(
        said[1].contains("session-terminate") && said[1].contains("<cancel"),
        "{said:?}"
    );
}

/// Whatever is to go through TLS where there is none is refused; nothing leaves in clear.
#[test]
fn without_tls_nothing_goes_through_it() {
    let mut wire = BytesMut::new();
    for refused in [
        NoTls.write(b"secret", &mut wire),
        NoTls.read(b"secret", &mut wire),
    ] {
        assert_eq!(refused.unwrap_err().kind, TlsErrorKind::Configuration);
    }
    assert!(
        !NoTls.write_early(b"secret", &mut wire),
        "there is no early data"
    );
    NoTls.read_early(&mut wire);
    NoTls.close(&mut wire);
    assert!(wire.is_empty());
    assert_eq!(NoTls.state(), TlsState::Handshaking);
    assert!(NoTls.info().peer_certificates.is_empty());
}
