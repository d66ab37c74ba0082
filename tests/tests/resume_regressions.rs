//! Bugs that others had with stream management and resumption, each named after where it was found, on real
//! connections: rows 34 to 44, and what is not here. The rows behind are in `resume_regressions_clients.rs`.
//!
//! Rows of the catalogue that are covered elsewhere: every other case of loss or duplication at the death of a socket
//! by the cuts at every byte in `resumption.rs`; Conversations 010b34125 and 6f802b88d, xmpp.js#1066, fluux#517,
//! Prosody 01e03f483 and Conversations' first key by name in the crate of stream management.
//!
//! Rows that do not apply: event loops that block (OF-2808/2811: nothing here waits), push services and capability
//! stores forgotten on resumption (ejabberd 2cdda4cf4: the application's, which is told that nothing is new),
//! applications that mutate what they have queued (nbxmpp 5d2bcd7: a stanza is its bytes), SOCKS5 addresses
//! (Conversations#3715: no stream management).
//!
//! Entries that the catalogue has by number alone, without what went wrong, have no test of their own: MongooseIM #3795
//! #4128 #4316 #4280 #843, Openfire OF-1590 OF-1497 OF-1923 OF-2014 OF-2015 OF-2568 OF-2810, ejabberd #1258 #2159 #993
//! #2092 #1151 #3228, Prosody #1757 #1758 #1759 #1761 #1800 #1884, SMACK-653/667/700, aioxmpp #253, stanza #494 #495,
//! libstrophe #222, ChatSecure #819 #979, tokio-xmpp #172, and all of row 52 but go-xmpp#45.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use onetrip_core::End;
use onetrip_core::stream::{Condition, Jid};
use onetrip_core::stream_management::Stage;
use onetrip_tests::house::House;
use onetrip_tests::words::{ACCOUNT, AUTH, BIND, HEADER, message, messages, resume, stored};

const SECONDS: Duration = Duration::from_secs(1);

fn by_login() -> House {
    House {
        instant: false,
        ..House::default()
    }
}

/// A login up to where a session may be asked for.
fn authenticated(house: &mut House) -> usize {
    let server = house.server();
    house
        .give(server, format!("{HEADER}{AUTH}{HEADER}"))
        .unwrap();
    server
}

/// Row 34: every resumption that fails put the queue back beside itself: 2^(n-1) copies.
#[test]
fn mongooseim_pr4496_the_queue_is_not_doubled_by_failed_resumptions() {
    let mut house = by_login();
    let first = house.server();
    let id = house.log_in(first);
    let _ = messages(1..=2)
        .iter()
        .map(|text| house.send(first, text))
        .count();
    house.cut(first);
    for _ in 0..3 {
        let server = authenticated(&mut house);
        house.give(server, resume(&id, 3)).unwrap_err();
        assert_eq!(house.waiting(), 1);
    }
    let server = authenticated(&mut house);
    house.give(server, resume(&id, 0)).unwrap();
    assert_eq!(house.sides[server].count("<message"), 2);

    // The client's own.
    let mut house = by_login();
    for _ in 0..3 {
        let client = house.resuming();
        house.cut(client);
        assert_eq!(house.resumption().unwrap().session, stored().session);
        let _ = house.entity.take(&house.account);
    }
    let client = house.resuming();
    house
        .give(client, "<failed xmlns='urn:xmpp:sm:3'/>")
        .unwrap();
    house.cut(client);
    assert_eq!(house.sides[client].handed_back_text(), messages(1..=2));
    assert!(house.resumption().is_none());
}

/// Row 35: only stanzas count, and all of them do.
#[test]
fn mongooseim_pr4501_ejabberd_ba916c316_nothing_but_stanzas_is_counted() {
    let mut house = by_login();
    let server = house.server();
    house.log_in(server);
    let text = "<message/> \n<r xmlns='urn:xmpp:sm:3'/><a xmlns='urn:xmpp:sm:3' h='0'/><enable xmlns='urn:xmpp:sm:3'/><iq type='get' id='1'/><presence/><r xmlns='urn:xmpp:sm:3'/>";
    house.give(server, text).unwrap();
    assert!(
        house.sides[server]
            .written
            .ends_with("<a xmlns='urn:xmpp:sm:3' h='3'/>")
    );

    let mut house = by_login();
    let [client, _] = house.pair();
    let text = format!("{BIND} <message/>{BIND}<r xmlns='urn:xmpp:sm:3'/>");
    house.give(client, text).unwrap();
    assert!(
        house.sides[client]
            .written
            .ends_with("<a xmlns='urn:xmpp:sm:3' h='1'/>")
    );
}

/// Row 36: a wrong `h` costs the peer its stream, and nobody the session: it is neither leaked nor lost.
#[test]
fn mongooseim_2dd3036ce_a_session_survives_a_resumption_with_a_wrong_h() {
    let mut house = by_login();
    let first = house.server();
    let id = house.log_in(first);
    house.send(first, "<message id='1'/>");
    // Once it is still with its connection, once it waits.
    for _ in 0..2 {
        let server = authenticated(&mut house);
        let error = house.give(server, resume(&id, 2)).unwrap_err();
        house.assert_failed(server, &error, Condition::UndefinedCondition, "XEP-0198 §6");
        assert_eq!((house.waiting(), house.holders(&id).len()), (1, 0));
    }
    let server = authenticated(&mut house);
    house.give(server, resume(&id, 1)).unwrap();
    assert_eq!(house.sides[server].online(), Some((&house.account, true)));
    assert_eq!((house.waiting(), house.holders(&id)), (0, vec![server]));
}

/// Row 37: `h` is held against what was sent, not against what arrived.
#[test]
fn openfire_pr927_h_is_compared_with_what_was_sent() {
    let mut house = by_login();
    let first = house.server();
    let id = house.log_in(first);
    house.give(first, "<message/><message/><message/>").unwrap();
    house.send(first, "<message id='1'/>");
    house.cut(first);
    let server = authenticated(&mut house);
    house.give(server, resume(&id, 3)).unwrap_err();
    let server = authenticated(&mut house);
    house.give(server, resume(&id, 1)).unwrap();
    let resumed = format!("<resumed xmlns='urn:xmpp:sm:3' h='3' previd='{id}'/>");
    let other = format!("<resumed xmlns='urn:xmpp:sm:3' previd='{id}' h='3'/>");
    let side = &house.sides[server];
    assert_eq!(
        side.count(&resumed) + side.count(&other),
        1,
        "{}",
        side.written
    );
    assert_eq!(side.count("<message"), 0);
}

/// Row 38: a stream that was closed cleanly cannot be resumed; what its client still has to settle is remembered.
#[test]
fn openfire_of_3115_of_2752_a_session_that_was_closed_cleanly_is_over() {
    let mut house = by_login();
    let server = house.server();
    let id = house.log_in(server);
    house.give(server, "<message/>").unwrap();
    house.give(server, "</stream:stream>").unwrap();
    assert!(matches!(house.sides[server].end(), Some(End::Clean)));
    assert!(
        house.sides[server]
            .behind("<a ")
            .starts_with("xmlns='urn:xmpp:sm:3' h='1'/></stream")
    );
    assert_eq!(house.waiting(), 0);
    let server = authenticated(&mut house);
    house.give(server, resume(&id, 0)).unwrap();
    let failed = "<failed xmlns='urn:xmpp:sm:3' h='1'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>";
    assert!(house.sides[server].written.ends_with(failed));
}

/// Row 39: both close at once, and one of them is gone before it has read the other's footer.
#[test]
fn openfire_of_2811_both_close_at_once_and_nothing_is_resumed_or_lost() {
    for cut in [false, true] {
        let mut house = by_login();
        let pair = house.pair();
        house.send(pair[0], "<message id='1'/>");
        house.send(pair[1], "<message id='2'/>");
        for place in pair {
            house.with(place, |connection, env| connection.close(env));
        }
        if cut {
            house.cut_both(pair);
        } else {
            house.talk(pair);
        }
        assert_eq!((house.waiting(), house.resumption()), (0, None));
        for (place, number) in pair.into_iter().zip(1..) {
            let side = &house.sides[place];
            assert!(side.closed && matches!(side.end(), Some(End::Clean)));
            // Read or not: behind its footer nobody can say so any more.
            assert_eq!(side.handed_back_text(), messages([number]));
            let arrived = messages((!cut).then_some(3 - number));
            assert_eq!(side.stanzas(), arrived);
        }
    }
}

/// Row 40: stanzas of every kind of place when the socket dies: acknowledged, written and not read, read and not
/// acknowledged, and come while nobody was connected. Each arrives once, in order.
#[test]
fn ejabberd_pr205_1680_each_stanza_once_whatever_the_socket_died_of() {
    for noticed in [true, false] {
        let mut house = House::default();
        let pair = house.pair();
        let [_, server] = pair;
        for text in messages(1..=6) {
            house.send(server, &text);
        }
        house.talk(pair); // 1 to 5 were asked about
        house.send(server, &message(7));
        house.deliver(server, pair[0]); // read, and the answer is lost
        house.send(server, &message(8)); // lost
        house.cut(pair[0]);
        if noticed {
            house.cut(server);
            let owner: Jid = ACCOUNT.parse().unwrap();
            assert!(house.registry.push(&owner, message(9).into()));
        } else {
            house.send(server, &message(9));
        }
        let again = house.pair();
        assert_eq!(house.sides[again[0]].online(), Some((&house.account, true)));
        let mut arrived = house.sides[pair[0]].stanzas();
        arrived.extend(house.sides[again[0]].stanzas());
        assert_eq!(arrived, messages(1..=9), "{noticed}");
    }
}

/// Row 41: the end of the old connection, whenever it is noticed, is nothing to the new one.
#[test]
fn ejabberd_cd336369a_the_old_connection_ends_alone() {
    let mut house = by_login();
    let pair = house.pair();
    house.cut(pair[0]);
    let again = house.pair();
    let old = &house.sides[pair[1]];
    let conflict = "<conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>";
    assert!(old.closed && old.count(conflict) == 1, "ISR-26");
    assert!(matches!(old.end(), Some(End::HandedOver)));
    house.cut(pair[1]);
    house.wait(600 * SECONDS);
    assert_eq!(house.waiting(), 0);
    let session = house.sides[again[1]].session.clone().unwrap();
    assert_eq!(house.holders(&session), [again[1]]);
    house.send(again[0], "<message id='1'/>");
    house.talk(again);
    assert_eq!(house.sides[again[1]].stanzas(), messages([1]));
}

/// Row 42: both applications are told that the session is the old one, with the address that it had, so that neither
/// begins with nothing.
#[test]
fn ejabberd_2cdda4cf4_both_ends_are_told_that_nothing_is_new() {
    for instant in [false, true] {
        let mut house = House {
            instant,
            ..House::default()
        };
        let pair = house.pair();
        house.cut_both(pair);
        let again = house.pair();
        for place in again {
            let side = &house.sides[place];
            assert_eq!(side.online(), Some((&house.account, true)), "ISR-19");
            assert_eq!(
                side.count("<bind "),
                usize::from(place == again[1] && !instant),
                "features"
            );
        }
        assert_eq!(house.sides[again[0]].count("<enable "), 0);
    }
}

/// Row 43: what was asked on the connection that is gone is asked anew; nobody waits for the old answer. aioxmpp e896433:
/// the question comes with the replay.
#[test]
fn prosody_11e5efc23_aioxmpp_e896433_no_wait_for_answers_from_before() {
    let mut house = by_login();
    let pair = house.pair();
    for text in messages(1..=6) {
        house.send(pair[0], &text);
    }
    let request = "<r xmlns='urn:xmpp:sm:3'/>";
    assert_eq!(house.sides[pair[0]].count(request), 1);
    house.cut_both(pair);
    let again = house.pair();
    let side = &house.sides[again[0]];
    assert!(side.behind("<message id='6'/>").starts_with(request));
    assert_eq!(side.acked().len(), 6);
}

/// Row 43: the replay happened once for the reply and once for the finished resumption.
#[test]
fn prosody_9c747a1db_the_queue_is_replayed_once() {
    for instant in [false, true] {
        let mut house = House {
            instant,
            ..House::default()
        };
        let pair = house.pair();
        for place in pair {
            house.send(place, "<message id='1'/>");
        }
        house.cut_both(pair);
        let again = house.pair();
        for place in again {
            assert_eq!(house.sides[place].count("<message id='1'/>"), 1);
            assert_eq!(house.sides[place].stanzas(), messages([1]));
        }
    }
}

/// Row 44: a stanza that is sent at the very moment of the resumption goes behind the replay and is counted.
#[test]
fn smack_786_a_stanza_sent_right_at_the_resumption_goes_behind_the_replay() {
    let mut house = by_login();
    let client = house.resuming();
    let text = "<resumed xmlns='urn:xmpp:sm:3' previd='s1' h='0'/><message id='9'/>";
    house.give(client, text).unwrap();
    let handle = house.send(client, "<message id='3'/>").unwrap();
    let written = house.sides[client].behind("/><message id='1'/>");
    assert_eq!(written.matches("<message").count(), 2, "{written}");
    assert!(written.ends_with("<message id='3'/>"));
    house
        .give(client, "<a xmlns='urn:xmpp:sm:3' h='2'/>")
        .unwrap();
    assert_eq!(
        house.sides[client].connection.stage(handle),
        Some(Stage::Sent)
    );
    house
        .give(client, "<a xmlns='urn:xmpp:sm:3' h='3'/>")
        .unwrap();
    assert_eq!(house.sides[client].acked().last(), Some(&handle));
}

/// Row 44: ours count from `<enable/>`, theirs from `<enabled/>`: what each end sends in between is counted by both.
#[test]
fn smack_96bb37f92_counting_begins_when_enable_is_sent() {
    let mut house = by_login();
    let [client, server] = [house.client(), house.server()];
    while house.sides[client].count("<enable ") == 0 {
        house.deliver(client, server);
        house.deliver(server, client);
    }
    let early = house.send(client, "<message id='1'/>");
    assert!(early.is_some() && house.sides[client].granted().is_none());
    house.talk([client, server]);
    house.give(server, "<r xmlns='urn:xmpp:sm:3'/>").unwrap();
    house.talk([client, server]);
    assert_eq!(house.sides[client].acked(), [early.unwrap()]);
}

/// Row 44: a client that closes cleanly keeps nothing to resume.
#[test]
fn smack_49ebe8c58_a_clean_close_leaves_nothing_to_resume() {
    for stored in [false, true] {
        let mut house = House::default();
        let pair = house.pair();
        house.with(pair[0], |connection, env| connection.close(env));
        assert!(house.sides[pair[0]].connection.resumption().is_none());
        if stored {
            house.talk(pair);
        } else {
            house.cut(pair[0]);
        }
        assert!(house.resumption().is_none());
        let again = house.pair();
        assert_eq!(
            house.sides[again[0]].online(),
            Some((&house.account, false))
        );
        assert_eq!(house.sides[again[0]].count("resume xmlns"), 0);
    }
}

/// Row 44: whoever sent a stanza learns by its handle that it was not delivered, and has its bytes. libstrophe#215: it is
/// not sent again by itself, however old it is.
#[test]
fn smack_e5bbd19ef_libstrophe_215_what_was_not_acknowledged_is_handed_back_and_not_resent() {
    let mut house = by_login();
    let pair = house.pair();
    let handles: Vec<_> = messages(1..=2)
        .iter()
        .map(|text| house.send(pair[0], text).unwrap())
        .collect();
    house.cut_both(pair);
    let expired = {
        house.now = house.now + 600 * SECONDS;
        house.registry.expire(house.now)
    };
    assert_eq!(expired.len(), 1);
    let [client, _] = house.pair();
    let side = &house.sides[client];
    let back: Vec<_> = side
        .handed_back()
        .iter()
        .map(|entry| entry.handle)
        .collect();
    assert_eq!((back, side.handed_back_text()), (handles, messages(1..=2)));
    assert_eq!(side.count("<message"), 0);
    assert_eq!(
        side.online(),
        Some((&house.account, false)),
        "a new session"
    );
    assert_eq!(side.count("<enable "), 1);
}
