//! Instant stream resumption in its second and third text, on real connections: a key is proved, and the session goes on in
//! one exchange. What is wrong with one is in `keys_hostile.rs`.
#![allow(clippy::unwrap_used, clippy::panic)]

use onetrip_core::isr::{Dialect, Dialects, Rotation};
use onetrip_core::quickstart::{Cache, Level, Policy};
use onetrip_core::{Answer, Entity, Event, Request};
use onetrip_tests::house::{House, Text};
use onetrip_tests::words::{message, messages};

/// Lets both talk until the client is online; how many exchanges that took.
fn log_in(house: &mut House) -> ([usize; 2], u32) {
    let pair = [house.client(), house.server()];
    (pair, online(house, pair))
}

fn online(house: &mut House, pair: [usize; 2]) -> u32 {
    let mut exchanges = 0;
    while house.sides[pair[0]].online().is_none() {
        exchanges += 1;
        assert!(house.deliver(pair[0], pair[1]) > 0);
        assert!(house.deliver(pair[1], pair[0]) > 0);
    }
    exchanges
}

/// A pair that was cut off with a message on its way in each direction.
fn cut_off(house: &mut House) -> [usize; 2] {
    let pair = house.pair();
    house.send(pair[0], &message(1));
    house.send(pair[1], &message(2));
    house.cut_both(pair);
    pair
}

/// Digest §4.3, §2.4: behind TLS one exchange, no password, and a new key each time.
#[test]
fn a_session_goes_on_by_a_key_in_one_exchange_again_and_again() {
    for text in Text::BOTH {
        let mut house = House::keyed(text, Rotation::SingleUse);
        let mut pair = house.pair();
        let mut key = house.ticket(pair[0]).unwrap();
        for round in 1..5 {
            house.send(pair[0], &message(round));
            house.send(pair[1], &message(round));
            house.cut_both(pair);
            let exchanges;
            (pair, exchanges) = log_in(&mut house);
            assert_eq!(exchanges, 1, "{text:?}");
            let client = &house.sides[pair[0]];
            assert!(matches!(client.online(), Some((_, true))), "{text:?}");
            assert!(!client.written.contains("PLAIN"), "{}", client.written);
            house.talk(pair);
            assert_eq!(house.sides[pair[0]].stanzas(), messages([round]));
            assert_eq!(house.sides[pair[1]].stanzas(), messages([round]));
            let fresh = house.ticket(pair[0]).unwrap();
            assert_eq!(fresh.dialect, key.dialect);
            assert_ne!(fresh.token, key.token, "ISR-15");
            key = fresh;
        }
    }
}

/// ISR-12: the key itself says that the server knows it, so that nothing else needs to be remembered.
#[test]
fn isr_12_a_key_needs_no_memory_of_the_server() {
    for text in Text::BOTH {
        let mut house = House::keyed(text, Rotation::SingleUse);
        cut_off(&mut house);
        let resumption = house.entity.take(&house.account).unwrap();
        house.entity = Entity::new(Cache::default(), Policy::default());
        house.entity.keep(resumption);
        let (pair, exchanges) = log_in(&mut house);
        assert_eq!(exchanges, 1, "{text:?}");
        house.talk(pair);
        assert_eq!(house.sides[pair[0]].stanzas(), messages([2]));
        assert_eq!(house.sides[pair[1]].stanzas(), messages([1]));
    }
}

/// The best that both speak, that the server has announced, and that the channel has something to bind by.
#[test]
fn the_best_text_of_both_is_taken() {
    let all = Dialects::default();
    let only = |seed, hmac, sasl2| {
        let mut some = Dialects::NONE;
        (some.seed, some.hmac, some.sasl2) = (seed, hmac, sasl2);
        some
    };
    for (client, server, later, certificate, expected) in [
        (all, all, true, true, Some("sasl2 HT-SHA-256-ENDP")),
        (all, all, true, false, Some("sasl2 HT-SHA-256-NONE")),
        (all, all, false, true, Some("hmac")),
        (all, all, false, false, Some("seed")),
        (only(true, true, false), all, true, true, Some("hmac")),
        (all, only(true, true, false), true, true, Some("hmac")),
        (only(true, false, false), all, true, true, Some("seed")),
        (only(true, false, true), all, false, true, Some("seed")),
        (only(false, true, true), all, false, false, None),
        (
            only(false, false, true),
            only(true, true, false),
            true,
            true,
            None,
        ),
        (Dialects::NONE, all, true, true, None),
        (all, Dialects::NONE, true, true, None),
    ] {
        let mut house = House {
            later,
            ..House::default()
        };
        if certificate {
            house.certificates = [Some("one"); 2];
        }
        house.dialects = client;
        let config = house.client_config();
        let client = house.client_of(config);
        house.dialects = server;
        let pair = [client, house.server()];
        house.talk(pair);
        let found = house.ticket(client).map(|ticket| match ticket.dialect {
            Dialect::Seed => "seed".to_owned(),
            Dialect::Hmac { .. } => "hmac".to_owned(),
            Dialect::Sasl2 { mechanism, .. } => format!("sasl2 {mechanism}"),
            _ => "another".to_owned(),
        });
        assert_eq!(found.as_deref(), expected);
        // Whatever it is, it works.
        house.send(pair[1], &message(1));
        house.cut_both(pair);
        house.dialects = all;
        let pair = house.pair();
        assert!(matches!(house.sides[pair[0]].online(), Some((_, true))));
        assert_eq!(house.sides[pair[0]].stanzas(), messages([1]));
    }
}

/// Where both know FAST, its tokens do the same and outlive the session.
#[test]
fn no_key_is_asked_for_where_tokens_of_fast_are_used() {
    let mut house = House::keyed(Text::Third, Rotation::SingleUse);
    house.fast = true;
    let pair = house.pair();
    assert_eq!(house.sides[pair[0]].count("<isr-enable "), 0);
    assert_eq!(house.ticket(pair[0]), None);
    assert_eq!(house.registry.logins().len(), 1);
}

/// XEP-0397 §4.2.2, Conversations: the key is good, the session is gone, and the resource is the fallback in the same flight.
#[test]
fn a_good_key_without_its_session_binds_a_resource_in_the_same_exchange() {
    let mut house = House::keyed(Text::Third, Rotation::SingleUse);
    cut_off(&mut house);
    house.level = Level::Safe;
    house.decides = false;
    let (client, server) = (house.client(), house.server());
    house.deliver(client, server);
    assert!(matches!(
        house.sides[server].asked.front(),
        Some(Request::KeySwap { .. })
    ));
    assert!(house.answer(server));
    let asked = house.sides[server].asked.pop_front();
    assert!(matches!(asked, Some(Request::Resume { .. })), "{asked:?}");
    house.give_answer(server, Answer::NoSession { h: None });
    while house.answer(server) {}
    house.deliver(server, client);
    let written = &house.sides[server].written;
    assert!(
        written.contains("<inst-resume-failed xmlns='https://xmpp.org/extensions/isr/0'><failed "),
        "{written}"
    );
    let side = &house.sides[client];
    assert!(matches!(side.online(), Some((_, false))));
    assert_eq!(side.handed_back_text(), messages([1]));
    let refused = |event: &Event| matches!(event, Event::InstantResumeRefused { condition: Some(condition) } if condition == "item-not-found");
    assert!(side.events.iter().any(refused));
    // A new session, and a new key to it.
    assert!(side.granted().is_some() && house.ticket(client).is_some());
    house.decides = true;
    house.send(client, &message(9));
    house.talk([client, server]);
    assert_eq!(house.sides[server].stanzas(), messages([9]));
}

/// ISR-R3: the answer is lost, and with it the new key. A used key that is proved again would end the session, so the client
/// logs in and asks for it in the usual way.
#[test]
fn isr_r3_a_lost_answer_costs_a_login_and_nothing_else() {
    for text in Text::BOTH {
        for rotation in [Rotation::SingleUse, Rotation::GraceUntilConfirmed] {
            let mut house = House::keyed(text, rotation);
            cut_off(&mut house);
            let pair = [house.client(), house.server()];
            house.deliver(pair[0], pair[1]);
            house.cut_both(pair);
            let kept = house.resumption().unwrap();
            assert_eq!(kept.ticket, None);
            let (pair, _) = log_in(&mut house);
            house.talk(pair);
            let client = &house.sides[pair[0]];
            assert!(matches!(client.online(), Some((_, true))), "{text:?}");
            assert_eq!(client.count("<inst-resume "), 0);
            assert_eq!(client.stanzas(), messages([2]));
            assert_eq!(house.sides[pair[1]].stanzas(), messages([1]));
        }
    }
}

/// Digest §6.2: what the server's application is told about keys that were taken is what it is told about tokens.
#[test]
fn isr_r3_the_first_thing_behind_the_answer_confirms_the_new_key() {
    for text in Text::BOTH {
        let mut house = House::keyed(text, Rotation::GraceUntilConfirmed);
        cut_off(&mut house);
        let (pair, _) = log_in(&mut house);
        let confirmed = |house: &House| {
            let events = house.sides[pair[1]].events.iter();
            events
                .filter(|event| matches!(event, Event::TokenConfirmed { .. }))
                .count()
        };
        assert_eq!(confirmed(&house), 0);
        house.send(pair[0], &message(3));
        house.talk(pair);
        assert_eq!(confirmed(&house), 1, "{text:?}");
    }
}

/// A key that cannot be bound to anything on this channel is not shown; the session is asked for behind a login.
#[test]
fn a_key_that_cannot_be_bound_waits_behind_a_login() {
    for text in Text::BOTH {
        let mut house = House::keyed(text, Rotation::SingleUse);
        cut_off(&mut house);
        house.certificates = [None; 2];
        let pair = house.pair();
        let client = &house.sides[pair[0]];
        assert!(matches!(client.online(), Some((_, true))), "{text:?}");
        assert_eq!(client.count("<inst-resume "), 0);
        assert_eq!(client.stanzas(), messages([2]));
    }
}

/// XEP-0509: another configuration than was remembered blames nobody's key. The session goes on behind a login, on the same
/// stream, and the next time by its key.
#[test]
fn another_configuration_than_was_remembered_costs_no_key() {
    let mut house = House::keyed(Text::Third, Rotation::SingleUse);
    house.level = Level::Safe;
    let of = |house: &House, version: &str| {
        let mut config = house.server_config();
        if let Some(offer) = &mut config.sasl2 {
            offer.config_version = Some(version.to_owned());
        }
        config
    };
    let mut keys = Vec::new();
    for (version, passwords) in [("one", 1), ("one", 0), ("two", 1), ("two", 0)] {
        let config = of(&house, version);
        let pair = [house.client(), house.server_as(config)];
        house.talk(pair);
        let client = &house.sides[pair[0]];
        assert_eq!(client.count("mechanism='PLAIN'"), passwords, "{version}");
        let refused = |event: &Event| matches!(event, Event::InstantResumeRefused { .. });
        assert!(!client.events.iter().any(refused));
        assert_eq!(client.count("<stream:stream"), 1);
        keys.push(house.ticket(pair[0]).unwrap().token);
        house.send(pair[1], &message(1));
        house.cut_both(pair);
    }
    assert!(keys[0] != keys[1] && keys[2] != keys[3]);
    assert!(keys[1] == keys[2], "it was not used");
}
