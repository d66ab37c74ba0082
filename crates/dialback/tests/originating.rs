//! The end that asks, each rule by its name.
#![allow(clippy::unwrap_used, clippy::panic, clippy::arithmetic_side_effects)]

mod common;

use core::time::Duration;

use common::{CAPULET, MONTAGUE, at, domain, drain, events, id, originating, pair, secret, sent};
use onetrip_dialback::{
    Action, Answer, AskError, Dropped, Event, Key, Message, Originating, Outcome, Pair, Reason,
    Support, TargetGround, Verdict,
};
use onetrip_stream::Instant;

#[test]
fn bidi_22_an_unsolicited_answer_is_dropped() {
    let mut machine = originating();
    let answer = |pair: Pair| Answer {
        pair,
        verdict: Verdict::Valid,
    };
    at(0, |env| machine.ask(env, pair(CAPULET, MONTAGUE))).unwrap();
    drain(|| machine.poll_action());
    for pair in [
        pair(MONTAGUE, CAPULET),
        pair("rooms.capulet.example", MONTAGUE),
        pair(CAPULET, "chat.montague.example"),
    ] {
        machine.handle(&answer(pair.clone()));
        let what = Dropped::Unsolicited;
        let dropped = Event::Dropped { pair, what };
        assert_eq!(drain(|| machine.poll_action()), [Action::Event(dropped)]);
    }
    machine.handle(&answer(pair(CAPULET, MONTAGUE)));
    assert!(matches!(
        events(&drain(|| machine.poll_action()))[..],
        [Event::Concluded { .. }]
    ));
    machine.handle(&answer(pair(CAPULET, MONTAGUE)));
    assert!(matches!(
        events(&drain(|| machine.poll_action()))[..],
        [Event::Dropped { .. }]
    ));
}

#[test]
fn several_pairs_of_one_stream_are_asked_for_and_answered_in_any_order() {
    let mut machine = originating();
    let pairs = [CAPULET, "rooms.capulet.example"].map(|from| pair(from, MONTAGUE));
    for pair in &pairs {
        at(0, |env| machine.ask(env, pair.clone())).unwrap();
    }
    assert_eq!(
        at(0, |env| machine.ask(env, pairs[0].clone())),
        Err(AskError::Pending)
    );
    drain(|| machine.poll_action());
    for (pair, verdict) in [
        (&pairs[1], Verdict::Error(Reason::ItemNotFound)),
        (&pairs[0], Verdict::Valid),
    ] {
        machine.handle(&Answer {
            pair: pair.clone(),
            verdict,
        });
        let outcome = Outcome::from(verdict);
        let concluded = Event::Concluded {
            pair: pair.clone(),
            outcome,
        };
        assert_eq!(events(&drain(|| machine.poll_action())), [concluded]);
    }
    // An error is not for ever.
    at(0, |env| machine.ask(env, pairs[1].clone())).unwrap();
}

#[test]
fn a_request_without_an_answer_ends_at_its_deadline_or_with_the_stream() {
    let mut machine = originating();
    let late = pair("rooms.capulet.example", MONTAGUE);
    at(0, |env| machine.ask(env, pair(CAPULET, MONTAGUE))).unwrap();
    at(10, |env| machine.ask(env, late.clone())).unwrap();
    drain(|| machine.poll_action());
    let first = Instant::from_millis(60_000);
    assert_eq!(machine.poll_timeout(), Some(first));
    at(59, |env| machine.handle_timeout(env));
    assert_eq!(machine.poll_action(), None);
    at(60, |env| machine.handle_timeout(env));
    let timed_out = Event::Concluded {
        pair: pair(CAPULET, MONTAGUE),
        outcome: Outcome::TimedOut,
    };
    assert_eq!(events(&drain(|| machine.poll_action())), [timed_out]);
    assert_eq!(
        machine.poll_timeout(),
        Some(first + Duration::from_secs(10))
    );
    machine.end();
    let ended = Event::Concluded {
        pair: late.clone(),
        outcome: Outcome::Ended,
    };
    assert_eq!(events(&drain(|| machine.poll_action())), [ended]);
    assert_eq!(machine.poll_timeout(), None);
    assert_eq!(at(61, |env| machine.ask(env, late)), Err(AskError::Ended));
}

/// On a bidirectional stream the peer sends stanzas of the inverse pair from then on: dropping it would cost the stream.
#[test]
fn a_valid_that_comes_late_counts_once_and_nothing_else_does() {
    for verdict in [Verdict::Valid, Verdict::Invalid] {
        let mut machine = originating();
        let pair = pair(CAPULET, MONTAGUE);
        at(0, |env| machine.ask(env, pair.clone())).unwrap();
        at(60, |env| machine.handle_timeout(env));
        drain(|| machine.poll_action());
        let answer = Answer {
            pair: pair.clone(),
            verdict,
        };
        machine.handle(&answer);
        machine.handle(&answer);
        let dropped = Event::Dropped {
            pair: pair.clone(),
            what: Dropped::Unsolicited,
        };
        let outcome = Outcome::Valid;
        let first = match verdict {
            Verdict::Valid => Event::Concluded { pair, outcome },
            _ => dropped.clone(),
        };
        let events = events(&drain(|| machine.poll_action()));
        assert_eq!(events, [first, dropped]);
    }
}

#[test]
fn what_waits_bounces_as_xep0220_2_1_1_says() {
    let timeout = Some(Reason::RemoteServerTimeout);
    assert_eq!(Outcome::Valid.bounce(), None);
    assert_eq!(Outcome::Invalid.bounce(), Some(Reason::InternalServerError));
    assert_eq!(Outcome::Error(Reason::ItemNotFound).bounce(), timeout);
    assert_eq!(Outcome::TimedOut.bounce(), timeout);
    assert_eq!(Outcome::Ended.bounce(), timeout);
}

#[test]
fn another_target_needs_errors_and_the_same_address_or_a_proof() {
    let chat = domain("chat.montague.example");
    let wanted = Pair::new(domain(CAPULET), chat.clone());
    let mut machine = originating();
    assert_eq!(
        at(0, |env| machine.ask(env, wanted.clone())),
        Err(AskError::Target)
    );
    let same = TargetGround::SameAddress;
    for support in [Support::Unannounced, Support::Dialback] {
        machine.features(support);
        assert_eq!(
            machine.add_target(chat.clone(), same),
            Err(AskError::Errors)
        );
        // The target of the stream is there already.
        machine.add_target(domain(MONTAGUE), same).unwrap();
    }
    machine.features(Support::Errors);
    machine.add_target(chat.clone(), same).unwrap();
    at(0, |env| machine.ask(env, wanted.clone())).unwrap();
    // Sender domains need nothing (XEP-0220 §2.6.1), and a proved domain no errors (XEP-0288 §2.2).
    let mut machine = originating();
    machine.add_target(chat, TargetGround::Proved).unwrap();
    at(0, |env| machine.ask(env, wanted)).unwrap();
}

#[test]
fn bidi_14_the_receiving_entity_asks_with_the_id_it_issued_bidi_r6() {
    let issued = id("D60000229F");
    let mut machine = Originating::new(secret(), issued.clone(), domain(CAPULET));
    let reverse = pair("conference.montague.example", CAPULET);
    at(0, |env| machine.ask(env, reverse.clone())).unwrap();
    let key = Key::generate(&secret(), &reverse, &issued);
    let expected = Message::Ask(onetrip_dialback::Ask { pair: reverse, key });
    assert_eq!(sent(&drain(|| machine.poll_action())), [expected]);
}
