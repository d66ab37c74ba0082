//! Servers that have little in common with us: what is fallen back to, and what is said when there is nothing.
#![allow(clippy::unwrap_used, clippy::panic)]

use onetrip_core::dialback::{Event as Dialback, Ground, Reason};
use onetrip_core::quickstart::Level;
use onetrip_core::stream::Condition;
use onetrip_core::{End, Event, InboundConfig, OutboundConfig, Peers, PeersAction, UsageError};
use onetrip_tests::servers::{
    Servers, dialback, domain, inbound, inbound_at_capulet, message, outbound, pair, plan,
};

/// A server without certificates and without bidi: both ends of a connection to it.
fn plain() -> (OutboundConfig, InboundConfig) {
    let (mut out, mut into) = (outbound(), inbound());
    (out.certificate, into.external, into.bidi.offer) = (false, false, false);
    (out.dialback, into.dialback) = (Some(dialback()), Some(dialback()));
    (out, into)
}

/// Openfire OF-1233: whoever's certificate does not hold is not offered EXTERNAL, and dialback proves it on that very stream.
#[test]
fn openfire_of_1233_without_a_valid_certificate_dialback_follows_on_the_same_stream() {
    let mut servers = Servers::default();
    let (mut out, mut into) = (outbound(), inbound());
    (out.dialback, into.dialback) = (Some(dialback()), Some(dialback()));
    let ends = servers.connect(out, into, false);
    assert!(!servers.sides[ends[1]].written().contains("EXTERNAL"));
    assert!(!servers.sides[ends[0]].written().contains("<auth "));
    servers.dial_back(ends[1], inbound_at_capulet(), Level::Off);
    servers.talk(ends);
    let ground = Dialback::Validated {
        pair: pair("capulet.lit", "montague.lit"),
        ground: Ground::DialedBack,
    };
    assert_eq!(servers.sides[ends[1]].dialback(), [ground]);
    servers
        .send(ends[0], "capulet.lit", "montague.lit")
        .unwrap();
}

/// ejabberd#1618: a server whose header has no version cannot be asked for TLS. That is said to it, and to whoever wanted to
/// send: no stanza waits for ever.
#[test]
fn ejabberd_1618_a_server_without_a_version_is_refused_and_stanzas_come_back() {
    let mut peers = Peers::default();
    peers.route(message("capulet.lit", "montague.lit"));
    let Some(PeersAction::Open { connection, .. }) = peers.poll_action() else {
        panic!("nothing is opened");
    };
    let mut servers = Servers::default();
    let (out, _) = plain();
    let plan = plan(&out, Level::Off, None);
    let one = servers.open(out, plan, &[]);
    let header = "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
                  xmlns:db='jabber:server:dialback' from='montague.lit' to='capulet.lit' id='D60000229F'>";
    let error = servers.give(one, header).unwrap_err();
    assert_eq!(error.condition(), Some(Condition::UnsupportedVersion));
    let written = servers.sides[one].written();
    assert!(written.contains("<unsupported-version "), "{written}");
    assert!(!written.contains("<db:result "), "{written}");
    for event in &servers.sides[one].events {
        peers.handle(connection, event);
    }
    let action = peers.poll_action();
    let reason = Reason::RemoteServerTimeout;
    assert!(
        matches!(&action, Some(PeersAction::Return { reason: told, .. }) if *told == reason),
        "{action:?}"
    );
}

/// ejabberd#1942: a server that proves itself by dialback alone, in one direction at a time, is reached, and reaches us.
#[test]
fn ejabberd_1942_dialback_alone_carries_both_ways_over_two_connections() {
    let mut servers = Servers::default();
    let (out, into) = plain();
    let ends = servers.connect(out, into, false);
    servers.dial_back(ends[1], inbound_at_capulet(), Level::Off);
    servers.talk(ends);
    servers
        .send(ends[0], "capulet.lit", "montague.lit")
        .unwrap();
    let refused = servers.send(ends[1], "montague.lit", "capulet.lit");
    assert_eq!(refused, Err(UsageError::PairNotOpen));
    let (mut out, _) = plain();
    (out.local, out.remote) = (domain("montague.lit"), domain("capulet.lit"));
    out.hosted = vec![domain("montague.lit")];
    let mut into = inbound_at_capulet();
    (into.external, into.bidi.offer) = (false, false);
    let back = servers.connect(out, into, false);
    let mut montague = inbound();
    montague.dialback = Some(dialback());
    servers.dial_back(back[1], montague, Level::Off);
    servers.talk(back);
    servers
        .send(back[0], "montague.lit", "capulet.lit")
        .unwrap();
    servers.talk(ends);
    servers.talk(back);
    let arrived = [ends[1], back[1]].map(|place| servers.sides[place].stanzas());
    assert_eq!(arrived, [1, 1]);
}

/// A server that offers neither is left, with a word for whoever wanted to send.
#[test]
fn ejabberd_1942_without_dialback_there_is_nothing_to_fall_back_to() {
    let mut servers = Servers::default();
    let (out, mut into) = plain();
    into.dialback = None;
    let [one, _] = servers.connect(out, into, false);
    assert!(matches!(servers.sides[one].end(), Some(End::Refused)));
    let established = |event: &Event| matches!(event, Event::Established { .. });
    assert!(!servers.sides[one].saw(established));
}
