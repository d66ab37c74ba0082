//! BIDI-20: a connection that nobody uses is closed, whichever way it was used, and nothing is lost by that.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use onetrip_core::{End, Peers, PeersAction, UsageError};
use onetrip_tests::servers::{Servers, dialback, domain, inbound, message, outbound, pair};

/// Less than dialback may take.
const IDLE: Duration = Duration::from_secs(10);

/// Both ends of a connection, of which one end or both close it when it is idle.
fn connected(servers: &mut Servers, closing: [bool; 2]) -> [usize; 2] {
    let (mut out, mut into) = (outbound(), inbound());
    out.hosted.push(domain("chat.capulet.lit"));
    (out.dialback, into.dialback) = (Some(dialback()), Some(dialback()));
    (out.bounds.idle, into.bounds.idle) = (closing[0].then_some(IDLE), closing[1].then_some(IDLE));
    servers.connect(out, into, true)
}

fn over(servers: &Servers, ends: [usize; 2]) -> [bool; 2] {
    ends.map(|place| servers.sides[place].end().is_some())
}

#[test]
fn bidi_20_a_connection_without_stanzas_is_closed() {
    for closing in [[true, false], [false, true], [true, true]] {
        let mut servers = Servers::default();
        let ends = connected(&mut servers, closing);
        servers.wait(IDLE - Duration::from_secs(1));
        servers.talk(ends);
        assert_eq!(over(&servers, ends), [false; 2]);
        servers.wait(Duration::from_secs(1));
        servers.talk(ends);
        for place in ends {
            assert!(matches!(servers.sides[place].end(), Some(End::Clean)));
        }
    }
    let mut servers = Servers::default();
    let ends = connected(&mut servers, [false; 2]);
    servers.wait(IDLE * 1000);
    assert_eq!(over(&servers, ends), [false; 2]);
}

/// Whichever way a stanza goes, both ends take it for a use of the connection.
#[test]
fn bidi_20_one_direction_keeps_the_connection() {
    for (sender, from, to) in [
        (0, "capulet.lit", "montague.lit"),
        (1, "montague.lit", "capulet.lit"),
    ] {
        let mut servers = Servers::default();
        let ends = connected(&mut servers, [true; 2]);
        for _ in 0..5 {
            servers.wait(IDLE - Duration::from_secs(1));
            servers.send(ends[sender], from, to).unwrap();
            servers.talk(ends);
        }
        assert_eq!(over(&servers, ends), [false; 2]);
        assert_eq!(servers.sides[ends[1 - sender]].stanzas(), 5);
    }
}

/// What the other end has sent before it has read our footer comes in; what is to go out afterwards goes another way.
#[test]
fn bidi_20_nothing_is_lost_when_an_idle_connection_closes() {
    for first in [0, 1] {
        let mut servers = Servers::default();
        let mut closing = [false; 2];
        closing[first] = true;
        let ends = connected(&mut servers, closing);
        let [closer, other] = [ends[first], ends[1 - first]];
        let domains = ["capulet.lit", "montague.lit"];
        let (here, there) = (domains[first], domains[1 - first]);
        servers.wait(IDLE);
        servers.send(other, there, here).unwrap();
        let refused = servers.send(closer, here, there);
        assert_eq!(refused, Err(UsageError::Closed));
        let mut peers = Peers::default();
        let gone = peers.add();
        peers.not_sent(gone, message(here, there));
        assert!(matches!(
            peers.poll_action(),
            Some(PeersAction::Open { .. })
        ));
        servers.talk(ends);
        assert_eq!(servers.sides[closer].stanzas(), 1);
        for place in ends {
            assert!(matches!(servers.sides[place].end(), Some(End::Clean)));
        }
    }
}

/// A key that is being verified keeps the connection, however long that takes.
#[test]
fn bidi_20_a_connection_with_a_key_on_its_way_is_in_use() {
    let mut servers = Servers::default();
    let ends = connected(&mut servers, [true; 2]);
    let second = pair("chat.capulet.lit", "montague.lit");
    servers
        .with(ends[0], |connection, env| {
            connection.ask(env, second.clone(), false)
        })
        .unwrap();
    servers.deliver(ends[0], ends[1]);
    servers.wait(IDLE);
    servers.wait(IDLE / 2);
    assert_eq!(over(&servers, ends), [false; 2]);
}
