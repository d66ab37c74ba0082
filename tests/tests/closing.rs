//! A stream that is closed in the middle of its negotiation ends cleanly (RFC 6120 §4.4), except where the bytes belong to TLS.
#![allow(clippy::unwrap_used, clippy::panic)]

use onetrip_core::quickstart::{Level, Transport};
use onetrip_core::{End, ErrorKind};
use onetrip_tests::servers::{Servers, inbound, outbound, plan};

const HEADER: &str = "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
                      from='capulet.lit' to='montague.lit' version='1.0'>";
const ANSWER: &str = "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
                      from='montague.lit' to='capulet.lit' id='D60000229F' version='1.0'>";
const EXTERNAL: &str = "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>";
const AUTH: &str = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>";
const FOOTER: &str = "</stream:stream>";

/// A footer behind `<auth/>` was written before the success could be seen: it closes the stream that there was, and so does
/// ours, without a header of a new one.
#[test]
fn a_footer_behind_auth_closes_the_stream() {
    for piece in [usize::MAX, 5, 1] {
        let mut servers = Servers::default();
        let one = servers.accept(inbound(), &["capulet.lit"]);
        for part in format!("{HEADER}{AUTH}{FOOTER}").as_bytes().chunks(piece) {
            servers.give(one, part).unwrap();
        }
        assert!(matches!(servers.sides[one].end(), Some(End::Clean)));
        let written = servers.sides[one].written();
        assert!(written.ends_with(FOOTER), "{written}");
        assert_eq!(written.matches("<stream:stream ").count(), 1, "{written}");
        assert!(!written.contains("<stream:error"), "{written}");
    }
}

/// The other way round: a server that has second thoughts behind its success.
#[test]
fn a_footer_behind_success_closes_the_stream() {
    for piece in [usize::MAX, 5, 1] {
        let mut servers = Servers::default();
        let plan = plan(&outbound(), Level::Off, None);
        let one = servers.open(outbound(), plan, &["montague.lit"]);
        let success = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
        let text =
            format!("{ANSWER}<stream:features>{EXTERNAL}</stream:features>{success}{FOOTER}");
        for part in text.as_bytes().chunks(piece) {
            servers.give(one, part).unwrap();
        }
        assert!(matches!(servers.sides[one].end(), Some(End::Clean)));
        assert!(!servers.sides[one].written().contains("<stream:error"));
    }
}

/// Behind `<starttls/>` nothing reaches the XML layer (RFC 6120 §5.4.2, digest §6.1): a footer there is no way to close.
#[test]
fn a_footer_behind_starttls_is_not_read() {
    let mut servers = Servers::default();
    let mut into = inbound();
    into.transport = Transport::StartTls;
    into.quickstart.advertise = false;
    let one = servers.accept(into, &["capulet.lit"]);
    let starttls = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
    let error = servers
        .give(one, format!("{HEADER}{starttls}{FOOTER}"))
        .unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Injected), "{error:?}");
}
