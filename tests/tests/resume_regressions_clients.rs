//! Bugs that others had with stream management and resumption, each named after where it was found, on real
//! connections: rows 45 to 53. The rows before are in `resume_regressions.rs`, and so is what is left out.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use onetrip_core::isr::Rotation;
use onetrip_core::stream::{Condition, Jid, StreamError};
use onetrip_core::stream_management::{Count, Event as Managed, Session};
use onetrip_core::{End, Event, Resumption};
use onetrip_tests::house::House;
use onetrip_tests::words::{ACCOUNT, BIND, PLAIN, RESPONSE, SUCCESS, message, messages, stored};

const SECONDS: Duration = Duration::from_secs(1);

fn by_login() -> House {
    House {
        instant: false,
        ..House::default()
    }
}

/// Row 45: a malformed `<failed/>` is a refusal all the same, once.
#[test]
fn aioxmpp_382_a_malformed_failed_does_not_loop() {
    for failed in [
        "<failed xmlns='urn:xmpp:sm:3'/>",
        "<failed xmlns='urn:xmpp:sm:3' h='-1'><x xmlns='urn:x'/></failed>",
        "<failed xmlns='urn:xmpp:sm:3' h='99'><unexpected-request/></failed>",
        "<failed xmlns='urn:xmpp:sm:3'>text<a xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><b xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>",
    ] {
        let mut house = by_login();
        let client = house.resuming();
        house.give(client, failed).unwrap();
        let side = &house.sides[client];
        assert_eq!(
            (side.count("<resume "), side.count("<bind ")),
            (1, 1),
            "{failed}"
        );
        assert_eq!(side.handed_back_text(), messages(1..=2), "{failed}");
        let again = house.give(client, failed).unwrap_err();
        assert_eq!(again.condition(), Some(Condition::UnsupportedStanzaType));
        assert_eq!(house.sides[client].handed_back().len(), 2);
    }
}

/// Row 45: what arrived on a connection that is gone is nothing to the next: handled late, it does not move `h`.
#[test]
fn aioxmpp_7d6a099_what_arrived_before_is_not_counted_behind() {
    let mut house = by_login();
    house.handles = false;
    let pair = house.pair();
    house
        .give(pair[0], "<message id='1'/><message id='2'/>")
        .unwrap();
    house.handled(pair[0], 1);
    house.cut(pair[0]);
    house.handled(pair[0], 1);
    assert_eq!(house.resumption().unwrap().session.handled, Count::new(1));
    let client = house.client();
    house.give(client, format!("{RESPONSE}{PLAIN}")).unwrap();
    house
        .give(client, format!("{SUCCESS}{RESPONSE}{BIND}"))
        .unwrap();
    let id = house.sides[pair[1]].session.clone().unwrap();
    let text = format!("<resumed xmlns='urn:xmpp:sm:3' previd='{id}' h='0'/>");
    house.give(client, text).unwrap();
    house.handled(client, 1);
    house.give(client, "<r xmlns='urn:xmpp:sm:3'/>").unwrap();
    assert!(
        house.sides[client]
            .written
            .ends_with("<a xmlns='urn:xmpp:sm:3' h='1'/>")
    );
}

/// Row 45: a stanza that makes no sense is a stanza.
#[test]
fn aioxmpp_f9af3cb_a_malformed_stanza_is_counted() {
    let text = "<message><body/><body/></message><iq/><iq type='no'/><presence type='?'><x xmlns='u'/></presence>";
    let mut house = by_login();
    let pair = house.pair();
    for place in pair {
        house
            .give(place, format!("{text}<r xmlns='urn:xmpp:sm:3'/>"))
            .unwrap();
        assert!(
            house.sides[place]
                .written
                .ends_with("<a xmlns='urn:xmpp:sm:3' h='4'/>")
        );
    }
    house
        .give(pair[0], "<message from='@@'/><r xmlns='urn:xmpp:sm:3'/>")
        .unwrap();
    assert!(
        house.sides[pair[0]]
            .written
            .ends_with("<a xmlns='urn:xmpp:sm:3' h='5'/>")
    );
}

/// Row 45: behind 4294967295 comes 0, on the wire as well.
#[test]
fn aioxmpp_pr67_counts_wrap() {
    let owner: Jid = ACCOUNT.parse().unwrap();
    let mut house = by_login();
    let (acked, handled) = (Count::new(u32::MAX - 1), Count::new(u32::MAX));
    let unacked = messages(1..=3).into_iter().map(Into::into).collect();
    let session = Session::new("s1", &owner, acked, handled, unacked);
    let client = house.client_with(Resumption::new(session));
    house.give(client, format!("{RESPONSE}{PLAIN}")).unwrap();
    house
        .give(client, format!("{SUCCESS}{RESPONSE}{BIND}"))
        .unwrap();
    assert!(house.sides[client].written.contains("h='4294967295'"));
    let text =
        "<resumed xmlns='urn:xmpp:sm:3' previd='s1' h='0'/><message/><r xmlns='urn:xmpp:sm:3'/>";
    house.give(client, text).unwrap();
    let side = &house.sides[client];
    assert_eq!(side.acked().len(), 2);
    assert_eq!(side.count("<message"), 1);
    assert!(side.written.ends_with("<a xmlns='urn:xmpp:sm:3' h='0'/>"));
}

/// Row 46: `<enable/>` and `<resume/>` are never both out; a server that only ever hangs up at `<resume/>` is met a few
/// times, and not for ever.
#[test]
fn slixmpp_85c9967b_deb6d4f1_no_race_and_no_reconnect_loop() {
    let mut house = by_login();
    house.entity.keep(stored());
    let mut tries = 0;
    while house.resumption().is_some() {
        tries += 1;
        assert!(tries < 10, "for ever");
        let client = house.client();
        house.give(client, format!("{RESPONSE}{PLAIN}")).unwrap();
        house
            .give(client, format!("{SUCCESS}{RESPONSE}{BIND}"))
            .unwrap();
        let side = &house.sides[client];
        assert_eq!((side.count("<resume "), side.count("<enable ")), (1, 0));
        house.cut(client);
    }
    assert_eq!(
        house.sides.last().unwrap().handed_back_text(),
        messages(1..=2)
    );
    let [client, _] = house.pair();
    let side = &house.sides[client];
    assert_eq!((side.count("<resume "), side.count("<enable ")), (0, 1));
}

/// Row 47: a session stored while the connection lives goes on in another process; damaged bytes are an error.
#[test]
fn xmppjs_822_1119_a_session_goes_on_in_another_process() {
    let mut house = House::default();
    let pair = house.pair();
    house.send(pair[0], "<message id='1'/>");
    house.send(pair[1], "<message id='2'/>");
    house.deliver(pair[1], pair[0]);
    let bytes = house.sides[pair[0]]
        .connection
        .resumption()
        .unwrap()
        .to_bytes();
    for cut in 0..bytes.len() {
        assert!(Resumption::from_bytes(&bytes[..cut]).is_err());
    }
    // The process dies, and says nothing to anybody.
    house.cut(pair[0]);
    while house.entity.take(&ACCOUNT.parse().unwrap()).is_some() {}
    house.entity.keep(Resumption::from_bytes(&bytes).unwrap());
    let again = house.pair();
    assert_eq!(house.sides[again[0]].online(), Some((&house.account, true)));
    assert_eq!(house.sides[again[1]].stanzas(), messages([1]));
    assert_eq!(
        house.sides[again[0]].stanzas(),
        messages([]),
        "2 was handled"
    );
}

/// Row 49: bind is not sent beside or before `<resume/>`, and is behind a refusal (nbxmpp 7f39ed3).
#[test]
fn chatsecure_361_nbxmpp_7f39ed3_bind_comes_only_behind_a_refused_resumption() {
    let mut house = by_login();
    let client = house.resuming();
    assert_eq!(house.sides[client].count("<bind "), 0);
    house
        .give(client, "<failed xmlns='urn:xmpp:sm:3' h='1'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>")
        .unwrap();
    let side = &house.sides[client];
    assert_eq!((side.count("<bind "), side.count("<stream:stream")), (1, 2));
    assert_eq!(
        (side.acked().len(), side.handed_back_text()),
        (1, messages([2]))
    );
}

/// Row 50: what one account has queued is never sent by another.
#[test]
fn qxmpp_11a0af38_the_queue_of_one_account_is_not_sent_by_another() {
    let mut house = by_login();
    let pair = house.pair();
    house.send(pair[0], "<message id='1'/>");
    house.cut_both(pair);
    house.account = "romeo@capulet.test/orchard".parse().unwrap();
    let [romeo, _] = house.pair();
    let side = &house.sides[romeo];
    assert_eq!(side.online(), Some((&house.account, false)));
    assert_eq!((side.count("<resume "), side.count("<message")), (0, 0));
    house.account = ACCOUNT.parse().unwrap();
    let again = house.pair();
    assert_eq!(house.sides[again[1]].stanzas(), messages([1]));
}

/// Row 50: a resumption works from end to end, which nobody had tried for seven years.
#[test]
fn qxmpp_e60da52a_a_resumption_works_from_end_to_end() {
    for (instant, rotation) in [
        (false, Rotation::SingleUse),
        (true, Rotation::SingleUse),
        (true, Rotation::GraceUntilConfirmed),
    ] {
        let mut house = House::new(rotation);
        house.instant = instant;
        let mut pair = house.pair();
        for round in 0..5 {
            house.send(pair[0], &message(round));
            house.send(pair[1], &message(round));
            house.cut_both(pair);
            pair = house.pair();
            for place in pair {
                let side = &house.sides[place];
                assert_eq!(side.online(), Some((&house.account, true)));
                assert_eq!(side.stanzas(), messages([round]));
            }
            assert_eq!(house.sides[pair[0]].count("<auth "), usize::from(!instant));
        }
    }
}

/// Row 50: a server that sends its clients elsewhere, or goes down for a moment, ends the connection and not the session.
#[test]
fn qxmpp_3e6300e3_see_other_host_keeps_the_session() {
    for condition in [Condition::SeeOtherHost, Condition::SystemShutdown] {
        let mut house = House::default();
        let pair = house.pair();
        house.send(pair[0], "<message id='1'/>");
        house.take_wire(pair[0]);
        let error = StreamError::new(condition);
        house.with(pair[1], |connection, _| connection.close_with(&error));
        house.talk(pair);
        assert!(house.sides[pair[0]].closed);
        assert_eq!((house.waiting(), house.resumption().is_some()), (1, true));
        let again = house.pair();
        assert_eq!(
            house.sides[again[1]].stanzas(),
            messages([1]),
            "{condition}"
        );
    }
}

/// Row 51: `h` is what the application has dealt with, in `<a/>`, in `<resume/>` and for the peer's queue.
#[test]
fn conversations_1938_monal_263_only_what_is_stored_is_acknowledged() {
    let mut house = by_login();
    house.handles = false;
    let pair = house.pair();
    for text in messages(1..=3) {
        house.send(pair[1], &text);
    }
    house.talk(pair);
    house.give(pair[0], "<r xmlns='urn:xmpp:sm:3'/>").unwrap();
    assert!(house.sides[pair[0]].written.ends_with(" h='0'/>"));
    house.handled(pair[0], 2);
    house.cut_both(pair);
    house.handles = true;
    let again = house.pair();
    assert!(house.sides[again[0]].behind("<resume ").contains("h='2'"));
    assert_eq!(house.sides[again[0]].stanzas(), messages([3]));
}

/// Row 52: two clients of one address throw each other out once, and not for ever: whoever meets a conflict does not
/// come back with its session.
#[test]
fn go_xmpp_45_a_conflict_ends_the_session() {
    let mut house = House::default();
    let pair = house.pair();
    house.send(pair[0], "<message id='1'/>");
    let conflict = StreamError::new(Condition::Conflict);
    house.with(pair[1], |connection, _| connection.close_with(&conflict));
    house.talk(pair);
    let side = &house.sides[pair[0]];
    assert!(
        matches!(side.end(), Some(End::PeerError(error)) if error.condition == Condition::Conflict)
    );
    assert_eq!(side.handed_back_text(), messages([1]));
    assert_eq!((house.waiting(), house.resumption()), (0, None));
}

/// Beside row 52: a session that the server no longer knows is not asked for a second time.
#[test]
fn row_52_a_refused_session_is_not_asked_for_again() {
    let mut house = by_login();
    let client = house.resuming();
    house
        .give(client, "<failed xmlns='urn:xmpp:sm:3'/>")
        .unwrap();
    house.cut(client);
    assert!(house.resumption().is_none());
    let again = house.pair();
    assert_eq!(house.sides[again[0]].count("<resume "), 0);
    assert!(house.sides[again[0]].online().is_some());
}

/// Row 53: `h` is told as it is, over any number of resumptions.
#[test]
fn tokio_xmpp_657_h_is_not_always_zero() {
    let mut house = by_login();
    let mut pair = house.pair();
    for round in 1..=3 {
        house.send(pair[1], &message(round));
        house.talk(pair);
        house.cut_both(pair);
        pair = house.pair();
        let told = house.sides[pair[0]].behind("<resume ").to_owned();
        assert!(told.contains(&format!("h='{round}'")), "{told}");
        assert!(house.sides[pair[0]].stanzas().is_empty());
    }
}

/// Row 53, seen by ourselves: `<enabled/>` as the answer to `<resume/>` is an error and no panic, and the session stays.
#[test]
fn tokio_xmpp_v_enabled_in_answer_to_resume_is_an_error() {
    let mut house = by_login();
    let client = house.resuming();
    let error = house
        .give(
            client,
            "<enabled xmlns='urn:xmpp:sm:3' id='s2' resume='true'/>",
        )
        .unwrap_err();
    house.assert_failed(
        client,
        &error,
        Condition::UnsupportedStanzaType,
        "XEP-0198 §3",
    );
    assert_eq!(house.resumption().unwrap().session, stored().session);
    assert!(house.sides[client].handed_back().is_empty());
}

/// Row 53, seen by ourselves: `<failed h='0'/>` settles nothing, and what it leaves is handed back.
#[test]
fn tokio_xmpp_v_failed_with_an_h_of_zero_hands_everything_back() {
    let mut house = by_login();
    let client = house.resuming();
    house
        .give(client, "<failed xmlns='urn:xmpp:sm:3' h='0'/>")
        .unwrap();
    let side = &house.sides[client];
    assert_eq!(side.handed_back_text(), messages(1..=2));
    let refused = |event: &&Event| matches!(event, Event::Management(Managed::Refused { .. }));
    assert_eq!(side.events.iter().filter(refused).count(), 1);
    assert!(side.acked().is_empty());
}

/// Beside row 53: a peer that never answers ends as a dead connection, and the session is kept.
#[test]
fn row_53_an_unanswered_request_ends_the_connection_and_keeps_the_session() {
    let mut house = by_login();
    let pair = house.pair();
    house.send(pair[0], "<message id='1'/>");
    house.wait(3 * SECONDS);
    assert_eq!(house.sides[pair[0]].count("<r "), 1);
    house.wait(60 * SECONDS);
    let side = &house.sides[pair[0]];
    assert!(
        matches!(side.end(), Some(End::Failed(error)) if error.condition() == Some(Condition::ConnectionTimeout))
    );
    assert_eq!(house.resumption().unwrap().session.unacked.len(), 1);
    let again = house.pair();
    assert_eq!(house.sides[again[1]].stanzas(), messages([1]));
}
