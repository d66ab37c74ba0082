//! Which connection stanzas go on, and that nothing but them is written.

use std::time::Duration;

use onetrip_core::End;
use onetrip_core::zero_handshake::{Direction, OwnConnectionRule};
use onetrip_tests::links::{AIR, GROUND, Links, acknowledged, message, terms};

fn bytes(of: &[(usize, usize)]) -> String {
    let text = |(from, number): &(usize, usize)| {
        String::from_utf8(message(*from, *number).bytes().to_vec()).unwrap()
    };
    of.iter().map(text).collect()
}

fn written(links: &Links, wire: usize, from: usize) -> String {
    String::from_utf8(links.wires[wire].written[from].clone()).unwrap()
}

/// ZH-02, ZH-03, ZH-06, ZH-15, ZH-16: all pairs of domains in one connection, and byte 0 is a stanza's in either direction.
#[test]
fn zh_02_zh_06_several_domains_share_one_connection_without_a_byte_before() {
    let mut links = Links::new([terms(GROUND), terms(AIR)]);
    for number in 0..4 {
        links.send(GROUND, number);
    }
    assert!(
        links.wires.is_empty(),
        "nothing is open before there is something to say"
    );
    links.talk();
    for number in 4..8 {
        links.send(AIR, number);
    }
    links.talk();
    assert_eq!(links.wires.len(), 1);
    assert_eq!(links.parties[AIR].got, [0, 1, 2, 3]);
    assert_eq!(links.parties[GROUND].got, [4, 5, 6, 7]);
    let of = |from, numbers: std::ops::Range<usize>| numbers.map(|n| (from, n)).collect::<Vec<_>>();
    assert_eq!(written(&links, 0, GROUND), bytes(&of(GROUND, 0..4)));
    assert_eq!(written(&links, 0, AIR), bytes(&of(AIR, 4..8)));
}

/// ZH-17, ZH-13: each end sends on the connection that it has opened, and on no other.
#[test]
fn zh_17_connections_that_cross_are_both_kept_and_each_carries_one_direction() {
    for acks in [false, true] {
        let of = if acks { acknowledged } else { terms };
        let mut links = Links::new([of(GROUND), of(AIR)]);
        links.send(GROUND, 0);
        links.send(AIR, 0);
        assert!(links.parties.iter().all(|party| party.wants));
        links.talk();
        for number in 1..20 {
            links.send(GROUND, number);
            links.send(AIR, number);
            links.talk();
        }
        links.wait(Duration::from_secs(120));
        assert_eq!(links.wires.len(), 2, "and no third");
        for party in &links.parties {
            assert_eq!(party.got, (0..20).collect::<Vec<_>>());
            assert!(party.returned.is_empty());
        }
        // Whoever was connected to before its own was open said its first words there (ZH-R4).
        let own = [links.parties[GROUND].sent[&0], links.parties[AIR].sent[&1]];
        assert!(own.iter().all(|sent| *sent >= 19), "{own:?}");
    }
}

/// ZH-R4: with the rule of XEP-0361 §4 the peer's connection goes on being used until it is quiet.
#[test]
fn zh_r4_our_connection_is_taken_when_nothing_can_be_overtaken() {
    for rule in [OwnConnectionRule::Must, OwnConnectionRule::Generally] {
        let mut of_ground = acknowledged(GROUND);
        of_ground.own_connection_rule = rule;
        let mut links = Links::new([of_ground, acknowledged(AIR)]);
        // The ground's connection takes its time; the air's is there first.
        links.send(GROUND, 0);
        links.send(AIR, 0);
        links.open(AIR);
        links.send(GROUND, 1);
        links.open(GROUND);
        links.send(GROUND, 2);
        let on_theirs = links.parties[GROUND].sent[&0];
        let expected = match rule {
            OwnConnectionRule::Must => 2,
            OwnConnectionRule::Generally => 3,
        };
        assert_eq!(on_theirs, expected);
        assert_eq!(links.parties[GROUND].peer.waiting(), 3 - expected);
        links.wait(Duration::from_secs(10));
        links.send(GROUND, 3);
        links.talk();
        assert_eq!(links.parties[GROUND].sent[&1], 4 - expected);
        assert_eq!(links.parties[AIR].got, [0, 1, 2, 3]);
    }
}

/// ZH-R4: what waits for an acknowledgement asks for it, once, and not when the policy would get around to it.
#[test]
fn zh_r4_what_waits_for_an_acknowledgement_asks_for_it_at_once() {
    let mut links = Links::new([acknowledged(GROUND), acknowledged(AIR)]);
    links.send(GROUND, 0);
    links.send(AIR, 0);
    links.open(AIR);
    links.open(GROUND);
    links.send(GROUND, 1);
    links.send(GROUND, 2);
    assert_eq!(links.parties[GROUND].peer.waiting(), 2);
    links.talk();
    assert_eq!(links.parties[AIR].got, [0, 1, 2]);
    assert_eq!(links.parties[GROUND].sent[&1], 2);
    let asked = written(&links, 0, GROUND);
    assert_eq!(asked.matches("<r xmlns").count(), 1, "{asked}");
}

/// Both at once, in pieces of any size.
#[test]
fn both_sides_send_at_once_and_everything_arrives_once_and_in_order() {
    for piece in [1, 7, 64, usize::MAX] {
        for acks in [false, true] {
            let of = if acks { acknowledged } else { terms };
            let mut links = Links::new([of(GROUND), of(AIR)]);
            links.piece = piece;
            for number in 0..60 {
                links.send(GROUND, number);
                links.send(AIR, number);
                let wires = links.wires.len();
                for wire in 0..wires {
                    links.deliver(wire, GROUND);
                    links.deliver(wire, AIR);
                }
                if number == 3 {
                    links.open(GROUND);
                }
                if number == 5 && links.parties[AIR].wants {
                    links.open(AIR);
                }
            }
            links.wait(Duration::from_secs(100));
            for party in &links.parties {
                assert_eq!(party.got, (0..60).collect::<Vec<_>>());
                assert!(party.returned.is_empty());
            }
        }
    }
}

/// ZH-12: who only answers waits for the other to open.
#[test]
fn zh_12_one_side_alone_opens() {
    let mut of_air = terms(AIR);
    of_air.direction = Direction::InboundOnly;
    of_air.address = None;
    let mut of_ground = terms(GROUND);
    of_ground.direction = Direction::OutboundOnly;
    let mut links = Links::new([of_ground, of_air]);
    links.send(AIR, 0);
    links.talk();
    assert_eq!(
        (links.wires.len(), links.parties[AIR].peer.waiting()),
        (0, 1)
    );
    links.send(GROUND, 0);
    links.talk();
    assert_eq!(links.parties[GROUND].got, [0]);
    assert_eq!(links.parties[AIR].got, [0]);
}

/// ZH-14, ZH-22, ZH-R2: the opener closes an idle link, both say so, and the next stanza opens another.
#[test]
fn zh_14_an_idle_link_is_closed_by_its_opener_and_opened_again() {
    let idle = |of| {
        let mut terms = acknowledged(of);
        terms.idle_close = Some(Duration::from_secs(60));
        terms
    };
    let mut links = Links::new([idle(GROUND), idle(AIR)]);
    links.send(GROUND, 0);
    links.wait(Duration::from_secs(100));
    for party in &links.parties {
        assert!(matches!(party.ends[..], [End::Clean]), "{:?}", party.ends);
        assert!(party.links.is_empty() && party.returned.is_empty());
    }
    for from in [GROUND, AIR] {
        assert!(written(&links, 0, from).ends_with("</stream:stream>"));
    }
    links.send(AIR, 1);
    links.talk();
    assert_eq!(
        (links.wires.len(), &links.parties[GROUND].got[..]),
        (2, &[1][..])
    );
}

/// What cannot be reached comes back; what is not agreed does so at once.
#[test]
fn what_waits_comes_back_when_no_link_can_be_opened() {
    let mut links = Links::new([terms(GROUND), terms(AIR)]);
    links.send(GROUND, 0);
    links.send(GROUND, 1);
    let now = links.now;
    links.parties[GROUND].peer.open_failed(now);
    links.settle(GROUND);
    assert_eq!(links.parties[GROUND].returned, [0, 1]);
    assert!(std::mem::take(&mut links.parties[GROUND].wants));
    // The next waits until it may be tried again.
    links.send(GROUND, 2);
    assert!(!links.parties[GROUND].wants);
    links.wait(Duration::from_secs(11));
    assert_eq!(links.parties[AIR].got, [2]);
    let foreign = message(AIR, 3);
    links.parties[GROUND].peer.send(now, foreign);
    links.settle(GROUND);
    assert_eq!(links.parties[GROUND].returned, [0, 1, 3]);
}

/// ZH-R5: no more goes out than may be unacknowledged; the rest waits its turn.
#[test]
fn zh_r5_what_may_not_be_unacknowledged_any_more_waits() {
    let few = |of| {
        let mut terms = acknowledged(of);
        if let Some(acks) = &mut terms.presets.acknowledgements {
            acks.stanzas = 3;
        }
        terms
    };
    let mut links = Links::new([few(GROUND), few(AIR)]);
    links.parties[AIR].handles = false;
    for number in 0..10 {
        links.send(GROUND, number);
    }
    links.talk();
    assert_eq!(links.parties[AIR].got, [0, 1, 2]);
    assert_eq!(links.parties[GROUND].peer.waiting(), 7);
    links.parties[AIR].handles = true;
    links.with(0, AIR, |connection, _| connection.handled(3));
    links.wait(Duration::from_secs(60));
    assert_eq!(links.parties[AIR].got, (0..10).collect::<Vec<_>>());
    assert!(links.parties[GROUND].returned.is_empty());
}

/// ZH-07: an earlier connection of the peer's gives way to a new one, often because it is dead and nobody has noticed.
#[test]
fn zh_07_a_second_connection_of_the_peer_takes_the_place_of_the_first() {
    let mut links = Links::new([terms(GROUND), terms(AIR)]);
    links.send(GROUND, 0);
    links.talk();
    links.send(AIR, 0);
    links.talk();
    // The ground's end alone is lost.
    links.with(0, GROUND, onetrip_core::Connection::receive_eof);
    links.send(GROUND, 1);
    links.wait(Duration::from_secs(40));
    links.send(AIR, 1);
    links.wait(Duration::from_secs(40));
    assert_eq!(links.parties[AIR].got, [0, 1]);
    assert_eq!(links.parties[GROUND].got, [0, 1]);
    assert_eq!(links.wires.len(), 2);
}

/// What only connections that negotiate have is refused, and changes nothing.
#[test]
fn calls_that_a_link_has_no_use_for_change_nothing() {
    use onetrip_core::stream::{Domain, Env, Instant, Pair};
    use onetrip_core::zero_handshake::Agreement;
    use onetrip_core::{Action, Answer, TlsInfo, UsageError};
    let agreement = Agreement::new(acknowledged(GROUND)).unwrap();
    let mut connection = onetrip_tests::links::link(&agreement, true, Instant::EPOCH);
    assert!(connection.is_initiator() && connection.is_online());
    assert_eq!(connection.agreement(), Some(&agreement));
    assert_eq!(
        connection.peer_domain().map(Domain::as_str),
        Some("air.example")
    );
    while connection.poll_action().is_some() {}
    let mut entropy = onetrip_simulator::Seeded::new(1);
    let env = &mut Env::new(Instant::EPOCH, &mut entropy);
    assert!(connection.hand_over(env).is_none() && connection.resumption().is_none());
    assert_eq!(connection.bind(env, None), Err(UsageError::NotAsked));
    let answer = Answer::NoSession { h: None };
    assert_eq!(connection.answer(env, answer), Err(UsageError::NotAsked));
    let pair = Pair::new(
        Domain::new("ground.example").unwrap(),
        Domain::new("air.example").unwrap(),
    );
    let asked = connection.ask(env, pair, true);
    assert_eq!(asked, Err(UsageError::NotBetweenServers));
    let told = connection.tls_established(env, TlsInfo::new(), b"");
    assert_eq!(told, Err(UsageError::NoTls));
    assert!(connection.poll_action().is_none() && connection.pairs().is_none());
    connection.send(env, &message(GROUND, 0)).unwrap();
    assert!(matches!(
        connection.poll_action(),
        Some(Action::Transmit(_))
    ));
}
