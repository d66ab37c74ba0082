//! The two long examples of the founding text of bidirectional streams, played to both ends, with its errata corrected: the
//! feature in its own namespace (that of the text is understood as well), `<mechanism/>` closed, another id for each stream,
//! the domain that the receiving entity may send from, and only behind its `valid`; the answer to a ping is empty.
#![allow(clippy::unwrap_used, clippy::panic)]

use onetrip_core::dialback::{Checked, Verdict};
use onetrip_core::quickstart::{Level, Transport};
use onetrip_core::stream::{Content, Stanza};
use onetrip_core::{Event, InboundConfig, OutboundConfig, Request, ReverseFacts, UsageError};
use onetrip_tests::servers::{Servers, dialback, domain, inbound, outbound, pair, plan};

const C_HEADER: &str = "<stream:stream xmlns:stream='http://etherx.jabber.org/streams' xmlns='jabber:server' \
    xmlns:db='jabber:server:dialback' to='montague.lit' from='capulet.lit' xml:lang='en' version='1.0'>";
const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const PROCEED: &str = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const BIDI: &str = "<bidi xmlns='urn:xmpp:bidi'/>";
const AUTH: &str =
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>Y2FwdWxldC5saXQ=</auth>";
const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
const VALID: &str = "<db:result from='montague.lit' to='capulet.lit' type='valid'/>";
const MUC_VALID: &str = "<db:result from='capulet.lit' to='conference.montague.lit' type='valid'/>";
const PING: &str = "<iq from='juliet@capulet.lit/balcony' to='montague.lit' type='get' id='8dfc70af'>\
    <query xmlns='urn:xmpp:ping'/></iq>";
const PONG: &str =
    "<iq from='montague.lit' to='juliet@capulet.lit/balcony' type='result' id='8dfc70af'/>";
const C_KEY: &str = "<db:result from='capulet.lit' to='montague.lit'>e3f5cf21f12749ef2cf59269bc0118f35bc46b26</db:result>";
const S_KEY: &str = "<db:result from='conference.montague.lit' to='capulet.lit'>1bac3ef56fed987cfe098c9785c654a5476ed765</db:result>";
/// Of the feature: the right one, and that of the text's samples.
const NAMESPACES: [&str; 2] = ["urn:xmpp:features:bidi", "urn:xmpp:bidi"];

fn s_header(id: &str) -> String {
    format!(
        "<stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' \
         xmlns:stream='http://etherx.jabber.org/streams' xml:lang='en' id='{id}' \
         from='montague.lit' to='capulet.lit' version='1.0'>"
    )
}

fn features(inside: &str) -> String {
    format!("<stream:features>{inside}</stream:features>")
}

fn initiating() -> OutboundConfig {
    let mut config = outbound();
    config.transport = Transport::StartTls;
    config.dialback = Some(dialback());
    config
}

fn receiving() -> InboundConfig {
    let mut config = inbound();
    config.transport = Transport::StartTls;
    config.domains.push(domain("conference.montague.lit"));
    config.dialback = Some(dialback());
    config
}

fn last(servers: &Servers, place: usize) -> &str {
    servers.sides[place].writes.last().unwrap()
}

fn send(servers: &mut Servers, place: usize, text: &str) -> Result<(), UsageError> {
    let stanza = Stanza::parse(text.as_bytes(), Content::Server).unwrap();
    servers
        .with(place, |connection, env| connection.send(env, &stanza))
        .map(drop)
}

/// The ids of the streams that an end has answered with.
fn ids(servers: &Servers, place: usize) -> Vec<String> {
    let written = servers.sides[place].written();
    let id = |header: &str| {
        header
            .split(" id='")
            .nth(1)
            .unwrap()
            .split('\'')
            .next()
            .unwrap()
            .to_owned()
    };
    written.split("<stream:stream ").skip(1).map(id).collect()
}

/// Our C, behind TLS.
fn secured_c(servers: &mut Servers, names: &[&str], namespace: &str) -> usize {
    let config = initiating();
    let plan = plan(&config, Level::Off, None);
    let c = servers.open(config, plan, names);
    assert!(last(servers, c).contains("from='capulet.lit' to='montague.lit'"));
    let first = features(&format!("{STARTTLS}<bidi xmlns='{namespace}'/>"));
    let header = s_header("65b30434afd7646699d077f7affcb2c120c48e18");
    servers.give(c, format!("{header}{first}")).unwrap();
    assert_eq!(last(servers, c), STARTTLS);
    servers.give(c, PROCEED).unwrap();
    assert!(last(servers, c).starts_with("<stream:stream "));
    c
}

/// Our S, behind TLS.
fn secured_s(servers: &mut Servers, names: &[&str]) -> usize {
    let s = servers.accept(receiving(), names);
    servers.give(s, C_HEADER).unwrap();
    assert!(last(servers, s).contains("from='montague.lit' to='capulet.lit'"));
    assert!(last(servers, s).contains("<starttls "));
    servers.give(s, STARTTLS).unwrap();
    assert_eq!(last(servers, s), PROCEED);
    servers.give(s, C_HEADER).unwrap();
    assert!(last(servers, s).contains("<bidi xmlns='urn:xmpp:features:bidi'/>"));
    s
}

/// C asks, S answers, on the one connection.
fn ping_at_s(servers: &mut Servers, s: usize) {
    let before = servers.sides[s].stanzas();
    servers.give(s, PING).unwrap();
    assert_eq!(servers.sides[s].stanzas(), before + 1);
    send(servers, s, PONG).unwrap();
    assert!(last(servers, s).starts_with("<iq ") && last(servers, s).ends_with("/>"));
}

fn ping_at_c(servers: &mut Servers, c: usize) {
    send(servers, c, PING).unwrap();
    assert!(last(servers, c).contains("<query xmlns='urn:xmpp:ping'/></iq>"));
    let before = servers.sides[c].stanzas();
    servers.give(c, PONG).unwrap();
    assert_eq!(servers.sides[c].stanzas(), before + 1);
}

#[test]
fn bidirectional_streams_with_sasl_authentication_as_c() {
    for namespace in NAMESPACES {
        let mut servers = Servers::default();
        let c = secured_c(&mut servers, &["montague.lit"], namespace);
        let external = format!(
            "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>\
             <bidi xmlns='{namespace}'/>"
        );
        let header = s_header("b5cd769b1dc292c6f6557fe76cabc4d112333f9a");
        servers
            .give(c, format!("{header}{}", features(&external)))
            .unwrap();
        assert_eq!(last(&servers, c), format!("{BIDI}{AUTH}"));
        servers.give(c, SUCCESS).unwrap();
        assert!(last(&servers, c).starts_with("<stream:stream "));
        let header = s_header("0a1b769b1dc292c6f6557fe76cabc4d112333f9a");
        servers
            .give(c, format!("{header}<stream:features/>"))
            .unwrap();
        ping_at_c(&mut servers, c);
    }
}

#[test]
fn bidirectional_streams_with_sasl_authentication_as_s() {
    let mut servers = Servers::default();
    let s = secured_s(&mut servers, &["capulet.lit"]);
    assert!(last(&servers, s).contains("<mechanism>EXTERNAL</mechanism>"));
    servers.give(s, format!("{BIDI}{AUTH}")).unwrap();
    assert_eq!(last(&servers, s), SUCCESS);
    assert_eq!(send(&mut servers, s, PONG), Err(UsageError::NotOnline));
    servers.give(s, C_HEADER).unwrap();
    assert!(!last(&servers, s).contains("bidi"));
    let ids = ids(&servers, s);
    assert!(ids.len() == 3 && ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
    // From montague.lit, the `to` of the header, and not from capulet.lit as the comment says.
    let wrong = servers.send(s, "capulet.lit", "montague.lit");
    assert_eq!(wrong, Err(UsageError::PairNotOpen));
    servers.send(s, "montague.lit", "capulet.lit").unwrap();
    ping_at_s(&mut servers, s);
}

#[test]
fn bidirectional_streams_with_server_dialback_as_c() {
    for namespace in NAMESPACES {
        let mut servers = Servers::default();
        let c = secured_c(&mut servers, &[], namespace);
        let header = s_header("b5cd769b1dc292c6f6557fe76cabc4d112333f9a");
        let empty = "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
        let second = features(&format!("{empty}<bidi xmlns='{namespace}'/>"));
        servers.give(c, format!("{header}{second}")).unwrap();
        let begins = format!("{BIDI}<db:result from='capulet.lit' to='montague.lit'>");
        assert!(
            last(&servers, c).starts_with(&begins),
            "{}",
            last(&servers, c)
        );
        assert_eq!(send(&mut servers, c, PING), Err(UsageError::NotOnline));
        servers.give(c, VALID).unwrap();
        ping_at_c(&mut servers, c);
        servers.give(c, S_KEY).unwrap();
        let muc = pair("conference.montague.lit", "capulet.lit");
        let Some(Request::Reverse { pair: asked, .. }) = servers.sides[c].asked.pop_front() else {
            panic!("not asked about");
        };
        assert_eq!(asked, muc);
        let facts = ReverseFacts {
            resolves_here: true,
            fresh_id: true,
        };
        servers
            .with(c, |connection, env| connection.judged(env, &asked, facts))
            .unwrap();
        verified(&mut servers, c);
        assert_eq!(last(&servers, c), MUC_VALID);
        servers
            .send(c, "capulet.lit", "conference.montague.lit")
            .unwrap();
        let text = "<message from='romeo@conference.montague.lit' to='juliet@capulet.lit'/>";
        servers.give(c, text).unwrap();
        assert_eq!(servers.sides[c].stanzas(), 2);
    }
}

/// The authoritative server has said that a key is valid.
fn verified(servers: &mut Servers, place: usize) {
    let Some(Request::Verify(verification)) = servers.sides[place].asked.pop_front() else {
        panic!("no verification");
    };
    assert_eq!(verification.key.expose().len(), 40);
    let (ticket, valid) = (verification.ticket, Checked::Answered(Verdict::Valid));
    servers
        .with(place, |connection, env| {
            connection.verified(env, ticket, valid)
        })
        .unwrap();
}

#[test]
fn bidirectional_streams_with_server_dialback_as_s() {
    let mut servers = Servers::default();
    let s = secured_s(&mut servers, &[]);
    assert!(!last(&servers, s).contains("<mechanism"));
    servers.give(s, format!("{BIDI}{C_KEY}")).unwrap();
    // "At this point S may send" stands here in the text: it may not, before its `valid`.
    assert_eq!(send(&mut servers, s, PONG), Err(UsageError::NotOnline));
    verified(&mut servers, s);
    assert_eq!(last(&servers, s), VALID);
    ping_at_s(&mut servers, s);
    let muc = pair("conference.montague.lit", "capulet.lit");
    servers
        .with(s, |connection, env| connection.ask(env, muc, false))
        .unwrap();
    let begins = "<db:result from='conference.montague.lit' to='capulet.lit'>";
    assert!(last(&servers, s).starts_with(begins));
    let early = servers.send(s, "conference.montague.lit", "capulet.lit");
    assert_eq!(early, Err(UsageError::PairNotOpen));
    servers.give(s, MUC_VALID).unwrap();
    servers
        .send(s, "conference.montague.lit", "capulet.lit")
        .unwrap();
    let text = "<message from='juliet@capulet.lit' to='romeo@conference.montague.lit'/>";
    servers.give(s, text).unwrap();
    assert!(servers.sides[s].saw(|event| matches!(event, Event::Stanza(stanza) if stanza.head().to.as_deref() == Some("romeo@conference.montague.lit"))));
}
