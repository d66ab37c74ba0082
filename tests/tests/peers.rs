//! Which connection a server sends on: its own first, one of the peer's if it has none, and never one that is not its own to
//! send on.
#![allow(clippy::unwrap_used, clippy::panic)]

use onetrip_core::bidi::Change;
use onetrip_core::dialback::{ConnectionId, Event as Dialback, Outcome, Reason};
use onetrip_core::quickstart::Broken;
use onetrip_core::stream::{Content, Pair, Stanza};
use onetrip_core::{End, Event, Peers, PeersAction, PeersConfig, bounce};
use onetrip_tests::servers::{domain, message, pair};

fn actions(peers: &mut Peers) -> Vec<PeersAction> {
    std::iter::from_fn(|| peers.poll_action()).collect()
}

fn send(peers: &mut Peers) -> Vec<PeersAction> {
    peers.route(message("capulet.lit", "montague.lit"));
    actions(peers)
}

fn opened(peers: &mut Peers, connection: ConnectionId) {
    let change = Change::SendOpened(pair("capulet.lit", "montague.lit"));
    peers.handle(connection, &Event::Pair(change));
}

fn established(peers: &mut Peers, connection: ConnectionId) {
    let event = Event::Established {
        peer: domain("montague.lit"),
        provisional: false,
    };
    peers.handle(connection, &event);
    opened(peers, connection);
}

fn open(peers: &mut Peers) -> ConnectionId {
    match &send(peers)[..] {
        [PeersAction::Open { connection, .. }] => *connection,
        other => panic!("{other:?}"),
    }
}

fn goes_to(connection: ConnectionId) -> PeersAction {
    let stanza = message("capulet.lit", "montague.lit");
    PeersAction::Send { connection, stanza }
}

#[test]
fn one_connection_is_opened_and_what_waits_goes_out_in_order() {
    let mut peers = Peers::default();
    let own = open(&mut peers);
    assert_eq!(send(&mut peers), []);
    assert_eq!(peers.waiting(), 2);
    established(&mut peers, own);
    assert_eq!(actions(&mut peers), [goes_to(own), goes_to(own)]);
    assert_eq!(send(&mut peers), [goes_to(own)]);
}

/// BIDI-19, BIDI-R8.
#[test]
fn bidi_r8_a_connection_of_the_peers_is_used_only_without_one_of_ours() {
    let mut peers = Peers::default();
    let theirs = peers.add();
    opened(&mut peers, theirs);
    assert_eq!(send(&mut peers), [goes_to(theirs)]);
    // They cross: ours is being opened, so what waits for it waits on.
    let mut peers = Peers::default();
    let own = open(&mut peers);
    let theirs = peers.add();
    opened(&mut peers, theirs);
    assert_eq!(send(&mut peers), []);
    established(&mut peers, own);
    assert_eq!(actions(&mut peers), [goes_to(own), goes_to(own)]);
    // And when it is gone, theirs will do.
    peers.handle(own, &Event::Closed(End::Cut));
    assert_eq!(send(&mut peers), [goes_to(theirs)]);
}

/// RFC 6120 §10.1: what is on its way on theirs is not overtaken on one of ours that opens later.
#[test]
fn stanzas_of_a_pair_stay_on_their_connection() {
    let mut peers = Peers::default();
    let theirs = peers.add();
    opened(&mut peers, theirs);
    assert_eq!(send(&mut peers), [goes_to(theirs)]);
    peers.route(message("chat.capulet.lit", "montague.lit"));
    let own = match &actions(&mut peers)[..] {
        [PeersAction::Open { connection, .. }] => *connection,
        other => panic!("{other:?}"),
    };
    established(&mut peers, own);
    assert_eq!(send(&mut peers), [goes_to(theirs)]);
    peers.handle(theirs, &Event::Closed(End::Clean));
    assert_eq!(send(&mut peers), [goes_to(own)]);
}

/// Crossing connections, and ours fails.
#[test]
fn bidi_r8_what_waits_goes_on_theirs_when_ours_fails() {
    let mut peers = Peers::default();
    let own = open(&mut peers);
    let theirs = peers.add();
    opened(&mut peers, theirs);
    peers.failed(own, Reason::RemoteConnectionFailed);
    assert_eq!(actions(&mut peers), [goes_to(theirs)]);
}

/// prosody 814817ebf, 72b4209cf: a route is removed by the connection that made it and by no other.
#[test]
fn prosody_814817ebf_closing_one_of_two_leaves_the_route_of_the_other() {
    let mut peers = Peers::default();
    let own = open(&mut peers);
    established(&mut peers, own);
    let theirs = peers.add();
    opened(&mut peers, theirs);
    actions(&mut peers).clear();
    let closed = Change::SendClosed(pair("capulet.lit", "montague.lit"));
    peers.handle(theirs, &Event::Pair(closed.clone()));
    peers.handle(theirs, &Event::Closed(End::Clean));
    assert_eq!(send(&mut peers), [goes_to(own)]);
    // A late word of one that is gone changes nothing.
    opened(&mut peers, theirs);
    peers.handle(own, &Event::Pair(closed));
    peers.handle(own, &Event::Closed(End::Clean));
    assert!(matches!(&send(&mut peers)[..], [PeersAction::Open { .. }]));
}

#[test]
fn what_cannot_be_sent_comes_back() {
    let mut peers = Peers::default();
    let own = open(&mut peers);
    peers.failed(own, Reason::RemoteConnectionFailed);
    let stanza = message("capulet.lit", "montague.lit");
    let reason = Reason::RemoteConnectionFailed;
    assert_eq!(
        actions(&mut peers),
        [PeersAction::Return { stanza, reason }]
    );
    // XEP-0220 §2.1.1: refused by dialback.
    for (outcome, reason) in [
        (Outcome::Invalid, Reason::InternalServerError),
        (
            Outcome::Error(Reason::ItemNotFound),
            Reason::RemoteServerTimeout,
        ),
    ] {
        let own = open(&mut peers);
        let pair = pair("capulet.lit", "montague.lit");
        let concluded = Dialback::Concluded { pair, outcome };
        peers.handle(own, &Event::Dialback(concluded));
        let returned = actions(&mut peers);
        assert!(
            matches!(&returned[..], [PeersAction::Return { reason: told, .. }] if *told == reason)
        );
    }
    assert_eq!(peers.waiting(), 0);
}

/// QS-29: an assumption was wrong, so once more; and then no more.
#[test]
fn an_abandoned_connection_is_opened_once_more() {
    let mut peers = Peers::default();
    let first = open(&mut peers);
    let abandoned = Event::Closed(End::Abandoned(Broken::TailRefused));
    peers.handle(first, &abandoned);
    let again = actions(&mut peers);
    let [PeersAction::Open { connection, .. }] = again[..] else {
        panic!("{again:?}");
    };
    assert_ne!(connection, first);
    peers.handle(connection, &abandoned);
    assert!(matches!(
        &actions(&mut peers)[..],
        [PeersAction::Return { .. }]
    ));
}

/// What waits is bounded, by number and by size.
#[test]
fn what_waits_is_bounded() {
    let mut config = PeersConfig::default();
    config.stanzas = 3;
    let mut peers = Peers::new(config);
    open(&mut peers);
    for place in 1..10 {
        let returned = send(&mut peers).len();
        assert_eq!(returned, usize::from(place >= 3));
    }
    config.bytes = 200;
    let mut peers = Peers::new(config);
    open(&mut peers);
    for _ in 0..3 {
        peers.route(message("capulet.lit", "verona.lit"));
    }
    let reason = Reason::ResourceConstraint;
    let full = |action: &PeersAction| matches!(action, PeersAction::Return { reason: told, .. } if *told == reason);
    assert!(actions(&mut peers).iter().any(full));
}

/// XEP-0220 §2.6: a further pair is asked for where there is a connection; if that is not possible, one is opened.
#[test]
fn a_further_pair_is_asked_for_on_the_same_connection() {
    let mut peers = Peers::default();
    let own = open(&mut peers);
    established(&mut peers, own);
    actions(&mut peers).clear();
    peers.route(message("chat.capulet.lit", "montague.lit"));
    let second = pair("chat.capulet.lit", "montague.lit");
    let asked = PeersAction::Ask {
        connection: own,
        pair: second.clone(),
        resolves_here: false,
    };
    assert_eq!(actions(&mut peers), [asked]);
    peers.not_asked(own, &second);
    let opened = actions(&mut peers);
    assert!(matches!(&opened[..], [PeersAction::Open { connection, .. }] if *connection != own));
}

fn concluded(peers: &mut Peers, connection: ConnectionId, pair: &Pair, outcome: Outcome) {
    let pair = pair.clone();
    let event = Event::Dialback(Dialback::Concluded { pair, outcome });
    peers.handle(connection, &event);
}

/// XEP-0220 §2.6.2: another domain at the same place is asked for where there is a connection to that place, and nowhere else.
#[test]
fn domains_at_one_place_share_a_connection() {
    let rooms = pair("capulet.lit", "rooms.montague.lit");
    for (place, shared) in [("10.0.0.1:5269", true), ("10.0.0.2:5269", false)] {
        let mut peers = Peers::default();
        peers.locate(domain("montague.lit"), "10.0.0.1:5269");
        peers.locate(domain("rooms.montague.lit"), place);
        let own = open(&mut peers);
        established(&mut peers, own);
        actions(&mut peers).clear();
        peers.route(message("capulet.lit", "rooms.montague.lit"));
        let asked = PeersAction::Ask {
            connection: own,
            pair: rooms.clone(),
            resolves_here: true,
        };
        assert_eq!(actions(&mut peers) == [asked], shared, "{place}");
    }
}

/// Two domains of which nothing is known are not at one place.
#[test]
fn domains_at_unknown_places_share_nothing() {
    let mut peers = Peers::default();
    let own = open(&mut peers);
    established(&mut peers, own);
    actions(&mut peers).clear();
    peers.route(message("capulet.lit", "rooms.montague.lit"));
    assert!(matches!(
        &actions(&mut peers)[..],
        [PeersAction::Open { .. }]
    ));
}

/// XEP-0220 §2.5: refused on the connection of another pair, or cut off there, a pair gets a connection of its own; refused
/// there too, what waits comes back.
#[test]
fn what_is_refused_on_a_shared_connection_is_tried_on_one_of_its_own() {
    let second = pair("chat.capulet.lit", "montague.lit");
    for cut in [false, true] {
        let mut peers = Peers::default();
        let own = open(&mut peers);
        established(&mut peers, own);
        actions(&mut peers).clear();
        peers.route(message("chat.capulet.lit", "montague.lit"));
        actions(&mut peers).clear();
        let refused = Outcome::Error(Reason::ResourceConstraint);
        if cut {
            peers.handle(own, &Event::Closed(End::Clean));
        } else {
            concluded(&mut peers, own, &second, refused);
        }
        let opened = actions(&mut peers);
        let [PeersAction::Open { connection, pair }] = &opened[..] else {
            panic!("{opened:?}");
        };
        assert_eq!((pair, peers.waiting()), (&second, 1));
        concluded(&mut peers, *connection, &second, refused);
        assert!(matches!(
            &actions(&mut peers)[..],
            [PeersAction::Return { .. }]
        ));
    }
}

/// BIDI-14: where that is wanted, a pair is asked for on a connection of the peer's, and what waits for it goes there.
#[test]
fn bidi_14_a_connection_of_the_peers_is_asked_on_if_that_is_wanted() {
    let second = pair("chat.capulet.lit", "montague.lit");
    for reverse in [false, true] {
        let mut config = PeersConfig::default();
        config.reverse = reverse;
        let mut peers = Peers::new(config);
        let theirs = peers.add();
        established(&mut peers, theirs);
        peers.route(message("chat.capulet.lit", "montague.lit"));
        let asked = PeersAction::Ask {
            connection: theirs,
            pair: second.clone(),
            resolves_here: false,
        };
        assert_eq!(actions(&mut peers) == [asked], reverse);
        peers.handle(theirs, &Event::Pair(Change::SendOpened(second.clone())));
        let sent = actions(&mut peers);
        let went =
            matches!(&sent[..], [PeersAction::Send { connection, .. }] if *connection == theirs);
        assert_eq!(went, reverse, "{sent:?}");
    }
}

/// A stanza that a closing connection no longer takes goes another way, in its place.
#[test]
fn what_was_not_sent_goes_another_way() {
    let mut peers = Peers::default();
    let own = open(&mut peers);
    established(&mut peers, own);
    actions(&mut peers).clear();
    let stanza = message("capulet.lit", "montague.lit");
    peers.not_sent(own, stanza);
    assert!(matches!(
        &actions(&mut peers)[..],
        [PeersAction::Open { .. }]
    ));
    assert_eq!(peers.waiting(), 1);
}

#[test]
fn only_what_may_be_answered_bounces() {
    let parse = |text: &str| Stanza::parse(text.as_bytes(), Content::Server).unwrap();
    let asked =
        parse("<iq type='get' id='1' from='a@capulet.lit' to='b@montague.lit'><x xmlns='y'/></iq>");
    let answer = bounce(&asked, Reason::RemoteServerTimeout).unwrap();
    assert_eq!(answer.head().to.as_deref(), Some("a@capulet.lit"));
    assert_eq!(answer.head().type_.as_deref(), Some("error"));
    for kind in ["error", "result"] {
        let text = format!("<iq type='{kind}' id='1' from='a@capulet.lit' to='b@montague.lit'/>");
        assert!(bounce(&parse(&text), Reason::RemoteServerTimeout).is_none());
    }
}
