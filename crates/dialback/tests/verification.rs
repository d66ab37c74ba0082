//! The leg to the authoritative server, both ends of it, and all four steps together.
#![allow(clippy::unwrap_used, clippy::panic, clippy::arithmetic_side_effects)]

mod common;

use common::{
    CAPULET, MONTAGUE, ask, at, at_montague, drain, events, id, originating, pair, receiving,
    requests, secret, sent, verifying,
};
use onetrip_dialback::{
    Answer, Authoritative, AuthoritativeConfig, Awaited, Checked, Dropped, Event, Gone, Key,
    Message, Outcome, Pair, Reason, StreamId, Verdict, Verified, Verify, VerifyError,
};
use onetrip_stream::Instant;

fn vouched(verify: &Verify, awaited: Awaited, config: AuthoritativeConfig) -> Verdict {
    let mut machine = Authoritative::new(secret()).with_config(config);
    machine.handle(verify, |name| name.as_str() == CAPULET, awaited);
    let actions = drain(|| machine.poll_action());
    let [Message::Verified(verified)] = &sent(&actions)[..] else {
        panic!("{actions:?}")
    };
    assert_eq!((&verified.pair, &verified.id), (&verify.pair, &verify.id));
    verified.verdict
}

fn genuine() -> Verify {
    let (pair, id) = (pair(CAPULET, MONTAGUE), id("D60000229F"));
    let key = Key::generate(&secret(), &pair, &id);
    Verify { pair, id, key }
}

/// All four steps of XEP-0220 §1.4, each machine fed with what another wrote.
#[test]
fn the_four_steps_end_in_a_valid_pair() {
    let ours = pair(CAPULET, MONTAGUE);
    let (mut asks, mut asked, mut leg) = (originating(), receiving(), verifying(2));
    at(0, |env| asks.ask(env, ours.clone())).unwrap();
    let [Message::Ask(request)] = &sent(&drain(|| asks.poll_action()))[..] else {
        panic!()
    };
    at(0, |env| {
        asked.handle(env, request, at_montague(&request.pair))
    });
    let verification = requests(&drain(|| asked.poll_action())).pop().unwrap();
    at(0, |env| leg.verify(env, &verification)).unwrap();
    let [Message::Verify(verify)] = &sent(&drain(|| leg.poll_action()))[..] else {
        panic!()
    };
    assert!(asks.awaits(&verify.pair, &verify.id));
    let verdict = vouched(verify, Awaited::Elsewhere, AuthoritativeConfig::default());
    leg.handle(&Verified {
        pair: verify.pair.clone(),
        id: verify.id.clone(),
        verdict,
    });
    let [Event::Checked { ticket, checked }] = events(&drain(|| leg.poll_action()))[..] else {
        panic!()
    };
    asked.verified(ticket, checked);
    let actions = drain(|| asked.poll_action());
    let [Message::Answer(answer)] = &sent(&actions)[..] else {
        panic!()
    };
    asks.handle(answer);
    let concluded = Event::Concluded {
        pair: ours.clone(),
        outcome: Outcome::Valid,
    };
    assert_eq!(events(&drain(|| asks.poll_action())), [concluded]);
    assert!(asked.is_valid(&ours) && !asked.is_valid(&ours.inverse()));
}

#[test]
fn bidi_22_an_answer_about_another_pair_or_id_is_dropped() {
    let mut asked = receiving();
    let ours = pair(CAPULET, MONTAGUE);
    at(0, |env| {
        asked.handle(env, &ask(&ours, "k"), at_montague(&ours))
    });
    let verification = requests(&drain(|| asked.poll_action())).pop().unwrap();
    let mut machine = verifying(2);
    at(0, |env| machine.verify(env, &verification)).unwrap();
    assert_eq!(
        at(0, |env| machine.verify(env, &verification)),
        Err(VerifyError::Pending)
    );
    drain(|| machine.poll_action());
    let answer = |pair: &Pair, id: StreamId| Verified {
        pair: pair.clone(),
        id,
        verdict: Verdict::Valid,
    };
    for wrong in [
        answer(&ours, id("another")),
        answer(&ours.inverse(), verification.id.clone()),
    ] {
        machine.handle(&wrong);
        assert!(matches!(
            events(&drain(|| machine.poll_action()))[..],
            [Event::Dropped {
                what: Dropped::Unsolicited,
                ..
            }]
        ));
    }
    assert_eq!(machine.pending(), 1);
    machine.handle(&answer(&ours, verification.id.clone()));
    let checked = Checked::Answered(Verdict::Valid);
    let ticket = verification.ticket;
    assert_eq!(
        events(&drain(|| machine.poll_action())),
        [Event::Checked { ticket, checked }]
    );
    machine.handle(&answer(&ours, verification.id));
    assert!(matches!(
        events(&drain(|| machine.poll_action()))[..],
        [Event::Dropped { .. }]
    ));
}

#[test]
fn a_verification_leg_that_breaks_counts_as_an_error() {
    let rows = [
        (Gone::HostUnknown, Checked::HostUnknown),
        (Gone::ConnectFailed, Checked::ConnectFailed),
        (Gone::Closed, Checked::Unanswered),
    ];
    for (gone, expected) in rows {
        let mut asked = receiving();
        let ours = pair(CAPULET, MONTAGUE);
        at(0, |env| {
            asked.handle(env, &ask(&ours, "k"), at_montague(&ours))
        });
        let verification = requests(&drain(|| asked.poll_action())).pop().unwrap();
        let mut machine = verifying(2);
        at(0, |env| machine.verify(env, &verification)).unwrap();
        drain(|| machine.poll_action());
        machine.end(gone);
        let ticket = verification.ticket;
        let checked = expected;
        assert_eq!(
            events(&drain(|| machine.poll_action())),
            [Event::Checked { ticket, checked }]
        );
        assert_eq!(
            at(0, |env| machine.verify(env, &verification)),
            Err(VerifyError::Ended)
        );
    }
}

#[test]
fn a_verification_leg_that_is_silent_counts_as_an_error() {
    let mut asked = receiving();
    let ours = pair(CAPULET, MONTAGUE);
    at(5, |env| {
        asked.handle(env, &ask(&ours, "k"), at_montague(&ours))
    });
    let verification = requests(&drain(|| asked.poll_action())).pop().unwrap();
    let mut machine = verifying(2);
    at(5, |env| machine.verify(env, &verification)).unwrap();
    drain(|| machine.poll_action());
    assert_eq!(machine.poll_timeout(), Some(Instant::from_millis(25_000)));
    at(24, |env| machine.handle_timeout(env));
    assert_eq!(machine.poll_action(), None);
    at(25, |env| machine.handle_timeout(env));
    assert!(matches!(
        events(&drain(|| machine.poll_action()))[..],
        [Event::Checked {
            checked: Checked::Unanswered,
            ..
        }]
    ));
    assert_eq!((machine.pending(), machine.poll_timeout()), (0, None));
}

#[test]
fn a_key_is_vouched_for_when_it_is_ours_and_waits_elsewhere() {
    let config = AuthoritativeConfig::default();
    assert_eq!(
        vouched(&genuine(), Awaited::Elsewhere, config),
        Verdict::Valid
    );
    let mut wrong = genuine();
    wrong.key = Key::read("b4835385").unwrap();
    assert_eq!(
        vouched(&wrong, Awaited::Elsewhere, config),
        Verdict::Invalid
    );
    wrong.key = Key::read("").unwrap();
    assert_eq!(
        vouched(&wrong, Awaited::Elsewhere, config),
        Verdict::Invalid
    );
}

#[test]
fn a_replayed_reverse_key_is_not_vouched_for() {
    // The key is genuine, but no live stream of ours waits for it (digest §6.2).
    let config = AuthoritativeConfig::default();
    assert_eq!(
        vouched(&genuine(), Awaited::Nowhere, config),
        Verdict::Invalid
    );
    let mut machine = originating();
    let Verify { pair, id, .. } = genuine();
    assert!(!machine.awaits(&pair, &id));
    at(0, |env| machine.ask(env, pair.clone())).unwrap();
    assert!(machine.awaits(&pair, &id));
    assert!(!machine.awaits(&pair, &common::id("another")));
    machine.handle(&Answer {
        pair: pair.clone(),
        verdict: Verdict::Valid,
    });
    assert!(!machine.awaits(&pair, &id));
}

#[test]
fn an_authoritative_server_of_its_own_may_vouch_by_the_secret_alone() {
    let mut config = AuthoritativeConfig::default();
    config.vouch_for_unknown_streams = true;
    assert_eq!(
        vouched(&genuine(), Awaited::Nowhere, config),
        Verdict::Valid
    );
    let mut wrong = genuine();
    wrong.id = id("another");
    assert_eq!(vouched(&wrong, Awaited::Nowhere, config), Verdict::Invalid);
}

#[test]
fn bidi_r7_a_verification_asked_for_on_the_requesting_connection_is_refused() {
    let mut config = AuthoritativeConfig::default();
    config.vouch_for_unknown_streams = true;
    assert_eq!(
        vouched(&genuine(), Awaited::Here, config),
        Verdict::Error(Reason::NotAcceptable)
    );
}

#[test]
fn a_key_of_a_domain_that_is_not_ours_is_an_error() {
    let mut foreign = genuine();
    foreign.pair = pair("mab.example", MONTAGUE);
    assert_eq!(
        vouched(&foreign, Awaited::Elsewhere, AuthoritativeConfig::default()),
        Verdict::Error(Reason::ItemNotFound)
    );
}

#[test]
fn nothing_secret_is_printed() {
    let mut machine = originating();
    at(0, |env| machine.ask(env, pair(CAPULET, MONTAGUE))).unwrap();
    let printed = format!("{machine:?} {:?}", Authoritative::new(secret()));
    assert!(!printed.contains("s3cr3t") && printed.contains("[hidden]"));
    let printed = format!("{:?}", genuine());
    assert!(!printed.contains("b4835385"));
}
