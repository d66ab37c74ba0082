//! A flight that comes twice: the count that rides with the token tells (XEP-0484 §3.4, §6).

use onetrip_core::Event;
use onetrip_tests::early::{NeverForgets, Room};
use std::sync::Arc;

/// A server whose TLS does not see that it had the flight before.
fn forgetful() -> Room {
    let mut room = Room::default();
    let mut tls = (*room.server_tls).clone();
    tls.session_storage = NeverForgets::new();
    room.server_tls = Arc::new(tls);
    let (pair, _) = room.log_in();
    room.send(pair[1]);
    room.cut(pair);
    room
}

fn authenticated(room: &Room, side: usize) -> bool {
    let events = room.sides[side].events.iter();
    events
        .clone()
        .any(|event| matches!(event, Event::Authenticated { .. } | Event::Online { .. }))
}

#[test]
fn a_replay_gets_nothing_and_disturbs_nobody() {
    let mut room = forgetful();
    let client = room.client();
    let flight = room.take_wire(client);
    let (first, second) = (room.server(), room.server());
    room.give(first, &flight);
    let answer = room.take_wire(first);
    room.give(client, &answer);
    assert_eq!(room.sides[client].online(), Some(true));
    // The same bytes once more, at another node.
    room.give(second, &flight);
    assert_eq!(room.sides[second].early(), room.sides[first].early());
    assert!(!authenticated(&room, second));
    let told = room.sides[second].plain();
    assert!(told.contains("<not-authorized"), "{told}");
    assert!(!told.contains("<message") && !told.contains("<success"));
    // The session is still where it was.
    room.talk([client, first]);
    room.send(client);
    room.talk([client, first]);
    assert_eq!(room.sides[first].stanzas(), 1);
    assert!(room.sides[first].end().is_none());
}

/// Whoever is on the way can be faster than the client: then it is the client who is refused, and logs in otherwise. What
/// the other has set off is one login, of which it can read nothing.
#[test]
fn a_client_whose_flight_was_played_before_still_gets_in() {
    let mut room = forgetful();
    let client = room.client();
    let flight = room.take_wire(client);
    let (stolen, own) = (room.server(), room.server());
    room.give(stolen, &flight);
    assert!(authenticated(&room, stolen));
    room.give(own, &flight);
    let answer = room.take_wire(own);
    room.give(client, &answer);
    room.talk([client, own]);
    assert!(room.sides[client].online().is_some());
    assert!(room.sides[client].plain().contains("mechanism='PLAIN'"));
    assert_eq!(room.sides[own].online(), room.sides[client].online());
}

/// Without early data the count is of no account: what goes out again behind the handshake is no replay.
#[test]
fn the_count_that_was_rejected_early_is_good_behind_the_handshake() {
    let mut room = forgetful();
    let mut tls = (*room.server_tls).clone();
    tls.max_early_data_size = 0;
    room.server_tls = Arc::new(tls);
    let (pair, _) = room.log_in();
    let [client, server] = pair.map(|side| &room.sides[side]);
    assert!(client.early().contains("count='1'") && server.early().is_empty());
    assert!(client.plain().contains("count='1'"));
    assert_eq!(client.online(), Some(true));
}
