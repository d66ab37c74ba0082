//! The end that is asked, each rule by its name.
#![allow(clippy::unwrap_used, clippy::panic, clippy::arithmetic_side_effects)]

mod common;

use common::{
    CAPULET, MONTAGUE, ask, asked_and, at, at_montague, drain, events, id, pair, receiving,
    requests, sent, verifying,
};
use onetrip_dialback::{
    Action, Checked, ConnectionId, Dropped, Event, Facts, Ground, Message, Reason, Receiving,
    ReceivingConfig, Support, Verdict, VerifyError,
};
use onetrip_stream::Instant;

fn answered(actions: &[Action]) -> Vec<Verdict> {
    let verdict = |message| match message {
        Message::Answer(answer) => Some(answer.verdict),
        _ => None,
    };
    sent(actions).into_iter().filter_map(verdict).collect()
}

#[test]
fn ejabberd_3029_a_piggybacked_unknown_domain_does_not_cost_the_stream() {
    let mut machine = receiving();
    let valid = pair(CAPULET, MONTAGUE);
    asked_and(&mut machine, &valid, Checked::Answered(Verdict::Valid));
    let unknown = pair(CAPULET, "nowhere.example");
    at(0, |env| {
        machine.handle(env, &ask(&unknown, "k"), at_montague(&unknown))
    });
    let actions = drain(|| machine.poll_action());
    let verdict = Verdict::Error(Reason::ItemNotFound);
    assert_eq!(answered(&actions), [verdict]);
    assert!(!actions.contains(&Action::Close));
    assert!(machine.is_valid(&valid));
    // The first pair of a stream may be unknown too.
    let mut machine = receiving();
    at(0, |env| {
        machine.handle(env, &ask(&unknown, "k"), at_montague(&unknown))
    });
    let actions = drain(|| machine.poll_action());
    assert_eq!(answered(&actions), [verdict]);
    assert!(!actions.contains(&Action::Close));
}

#[test]
fn bidi_11_a_key_is_never_verified_where_it_arrived() {
    let mut machine = receiving();
    let ours = pair(CAPULET, MONTAGUE);
    at(0, |env| {
        machine.handle(env, &ask(&ours, "k"), at_montague(&ours))
    });
    let actions = drain(|| machine.poll_action());
    assert!(sent(&actions).is_empty());
    let verification = requests(&actions).pop().unwrap();
    assert_eq!(verification.ticket.connection(), ConnectionId(1));
    assert_eq!(verification.id, id("D60000229F"));
    let mut here = verifying(1);
    assert_eq!(
        at(0, |env| here.verify(env, &verification)),
        Err(VerifyError::SameConnection)
    );
    assert_eq!(here.poll_action(), None);
    at(0, |env| verifying(2).verify(env, &verification)).unwrap();
}

#[test]
fn xep0344_a_certificate_settles_it_at_once() {
    let mut machine = receiving();
    let ours = pair(CAPULET, MONTAGUE);
    let facts = at_montague(&ours).certified();
    at(0, |env| machine.handle(env, &ask(&ours, ""), facts));
    let actions = drain(|| machine.poll_action());
    assert_eq!(answered(&actions), [Verdict::Valid]);
    let ground = Ground::Certificate;
    assert_eq!(events(&actions), [Event::Validated { pair: ours, ground }]);
    assert!(requests(&actions).is_empty());
}

#[test]
fn xep0344_the_same_certificate_at_the_authoritative_server_is_enough() {
    let mut machine = receiving();
    let actions = asked_and(
        &mut machine,
        &pair(CAPULET, MONTAGUE),
        Checked::SameCertificate,
    );
    assert_eq!(answered(&actions), [Verdict::Valid]);
}

#[test]
fn a_first_pair_that_is_invalid_costs_the_stream() {
    let mut machine = receiving();
    let ours = pair(CAPULET, MONTAGUE);
    let actions = asked_and(&mut machine, &ours, Checked::Answered(Verdict::Invalid));
    assert_eq!(answered(&actions), [Verdict::Invalid]);
    assert_eq!(actions.last(), Some(&Action::Close));
    at(0, |env| {
        machine.handle(env, &ask(&ours, "k"), at_montague(&ours))
    });
    let what = Dropped::Closed;
    let dropped = Event::Dropped { pair: ours, what };
    assert_eq!(drain(|| machine.poll_action()), [Action::Event(dropped)]);
}

#[test]
fn a_later_pair_that_is_invalid_costs_itself_alone() {
    let (valid, bad) = (pair(CAPULET, MONTAGUE), pair("mab.example", MONTAGUE));
    for (support, verdict) in [
        (Support::Unannounced, Verdict::Error(Reason::Forbidden)),
        (Support::Errors, Verdict::Error(Reason::Forbidden)),
        (Support::Dialback, Verdict::Invalid),
    ] {
        let mut machine = receiving();
        machine.features(support);
        asked_and(&mut machine, &valid, Checked::Answered(Verdict::Valid));
        let actions = asked_and(&mut machine, &bad, Checked::Answered(Verdict::Invalid));
        assert_eq!(answered(&actions), [verdict]);
        assert!(!actions.contains(&Action::Close));
        assert!(machine.is_valid(&valid) && !machine.is_valid(&bad));
    }
    // A pair that SASL proved is a first pair as well.
    let mut machine = receiving();
    machine.otherwise_valid();
    let actions = asked_and(&mut machine, &bad, Checked::Answered(Verdict::Invalid));
    assert!(!actions.contains(&Action::Close));
}

#[test]
fn what_goes_wrong_elsewhere_is_told_as_xep0220_2_5_says() {
    let rows = [
        (
            Checked::Answered(Verdict::Error(Reason::ItemNotFound)),
            Reason::RemoteServerNotFound,
        ),
        (
            Checked::Answered(Verdict::Error(Reason::UndefinedCondition)),
            Reason::RemoteServerNotFound,
        ),
        (Checked::HostUnknown, Reason::RemoteServerNotFound),
        (Checked::ConnectFailed, Reason::RemoteConnectionFailed),
        (Checked::Unanswered, Reason::RemoteServerTimeout),
    ];
    for (checked, reason) in rows {
        let mut machine = receiving();
        let ours = pair(CAPULET, MONTAGUE);
        let actions = asked_and(&mut machine, &ours, checked);
        assert_eq!(answered(&actions), [Verdict::Error(reason)]);
        assert!(!actions.contains(&Action::Close) && !machine.is_valid(&ours));
    }
}

#[test]
fn policies_cost_the_pair_and_not_the_stream() {
    let ours = pair(CAPULET, MONTAGUE);
    let clear = Facts::of(&ours, |name| name.as_str() == MONTAGUE);
    let spoofed = pair("chat.montague.example", MONTAGUE);
    let mut strict = ReceivingConfig::default();
    strict.require_certificate = true;
    let rows = [
        (
            &ours,
            clear,
            ReceivingConfig::default(),
            Reason::PolicyViolation,
        ),
        (&ours, clear.secured(), strict, Reason::NotAuthorized),
        (
            &spoofed,
            at_montague(&spoofed).certified(),
            ReceivingConfig::default(),
            Reason::NotAcceptable,
        ),
    ];
    for (pair, facts, config, reason) in rows {
        let mut machine = receiving().with_config(config);
        at(0, |env| machine.handle(env, &ask(pair, "k"), facts));
        let actions = drain(|| machine.poll_action());
        assert_eq!(answered(&actions), [Verdict::Error(reason)]);
        assert!(requests(&actions).is_empty() && !actions.contains(&Action::Close));
    }
}

#[test]
fn a_domain_of_ours_presented_by_the_peer_is_refused_even_with_a_certificate() {
    let spoofed = pair(MONTAGUE, MONTAGUE);
    let mut machine = receiving();
    let facts = at_montague(&spoofed).certified();
    at(0, |env| machine.handle(env, &ask(&spoofed, "k"), facts));
    assert_eq!(
        answered(&drain(|| machine.poll_action())),
        [Verdict::Error(Reason::NotAcceptable)]
    );
}

#[test]
fn thousands_of_results_on_one_stream_are_bounded_and_the_others_go_on() {
    let mut machine = receiving();
    let first = pair(CAPULET, MONTAGUE);
    asked_and(&mut machine, &first, Checked::Answered(Verdict::Valid));
    let (mut verifications, mut surplus) = (0, 0);
    for n in 0..5_000 {
        let next = pair(&format!("d{n}.example"), MONTAGUE);
        at(0, |env| {
            machine.handle(env, &ask(&next, "k"), at_montague(&next))
        });
        let actions = drain(|| machine.poll_action());
        verifications += requests(&actions).len();
        for verdict in answered(&actions) {
            assert_eq!(verdict, Verdict::Error(Reason::ResourceConstraint));
            surplus += 1;
        }
    }
    assert_eq!((verifications, surplus), (16, 5_000 - 16));
    // A certificate needs no verification, so it does not wait for one.
    let proved = pair("mab.example", MONTAGUE);
    let facts = at_montague(&proved).certified();
    at(0, |env| machine.handle(env, &ask(&proved, "k"), facts));
    assert_eq!(answered(&drain(|| machine.poll_action())), [Verdict::Valid]);
    assert!(machine.is_valid(&first));
    // Asked for once more, a valid pair is still answered.
    at(0, |env| {
        machine.handle(env, &ask(&first, "k"), at_montague(&first))
    });
    assert_eq!(answered(&drain(|| machine.poll_action())), [Verdict::Valid]);
}

#[test]
fn verifications_that_fail_take_places_too() {
    let mut config = ReceivingConfig::default();
    config.pairs = 3;
    let mut machine = receiving().with_config(config);
    let ours = pair(CAPULET, MONTAGUE);
    for _ in 0..3 {
        asked_and(&mut machine, &ours, Checked::ConnectFailed);
    }
    at(0, |env| {
        machine.handle(env, &ask(&ours, "k"), at_montague(&ours))
    });
    let actions = drain(|| machine.poll_action());
    assert_eq!(
        answered(&actions),
        [Verdict::Error(Reason::ResourceConstraint)]
    );
}

#[test]
fn a_verification_that_takes_too_long_is_answered_and_its_late_outcome_ignored() {
    let mut machine = receiving();
    let ours = pair(CAPULET, MONTAGUE);
    at(0, |env| {
        machine.handle(env, &ask(&ours, "k"), at_montague(&ours))
    });
    let old = requests(&drain(|| machine.poll_action())).pop().unwrap();
    assert_eq!(machine.poll_timeout(), Some(Instant::from_millis(30_000)));
    at(29, |env| machine.handle_timeout(env));
    assert_eq!(machine.poll_action(), None);
    at(30, |env| machine.handle_timeout(env));
    assert_eq!(
        answered(&drain(|| machine.poll_action())),
        [Verdict::Error(Reason::RemoteServerTimeout)]
    );
    assert_eq!(machine.poll_timeout(), None);
    // Asked for again: the outcome of the first verification is not that of the second.
    at(31, |env| {
        machine.handle(env, &ask(&ours, "other"), at_montague(&ours))
    });
    drain(|| machine.poll_action());
    machine.verified(old.ticket, Checked::Answered(Verdict::Valid));
    assert_eq!(machine.poll_action(), None);
    assert!(!machine.is_valid(&ours));
}

#[test]
fn a_pair_that_is_being_decided_is_answered_once() {
    let mut machine = receiving();
    let ours = pair(CAPULET, MONTAGUE);
    for _ in 0..2 {
        at(0, |env| {
            machine.handle(env, &ask(&ours, "k"), at_montague(&ours))
        });
    }
    let actions = drain(|| machine.poll_action());
    assert_eq!(requests(&actions).len(), 1);
    assert!(matches!(
        events(&actions)[..],
        [Event::Dropped {
            what: Dropped::Repeated,
            ..
        }]
    ));
}

#[test]
fn an_outcome_for_another_connection_changes_nothing() {
    let ours = pair(CAPULET, MONTAGUE);
    let mut other = Receiving::new(ConnectionId(9), id("s9"));
    at(0, |env| {
        other.handle(env, &ask(&ours, "k"), at_montague(&ours))
    });
    let foreign = requests(&drain(|| other.poll_action())).pop().unwrap();
    let mut machine = receiving();
    at(0, |env| {
        machine.handle(env, &ask(&ours, "k"), at_montague(&ours))
    });
    drain(|| machine.poll_action());
    machine.verified(foreign.ticket, Checked::Answered(Verdict::Valid));
    assert_eq!(machine.poll_action(), None);
    assert!(!machine.is_valid(&ours));
}

#[test]
fn what_another_specification_refuses_is_refused_here() {
    let mut machine = receiving();
    let reverse = pair("conference.montague.example", MONTAGUE);
    machine.refuse(&ask(&reverse, "k"), Reason::NotAcceptable);
    let actions = drain(|| machine.poll_action());
    assert_eq!(answered(&actions), [Verdict::Error(Reason::NotAcceptable)]);
    assert!(requests(&actions).is_empty());
}

#[test]
fn a_withdrawn_pair_is_asked_for_anew() {
    let mut machine = receiving();
    let ours = pair(CAPULET, MONTAGUE);
    asked_and(&mut machine, &ours, Checked::Answered(Verdict::Valid));
    assert!(machine.withdraw(&ours) && !machine.withdraw(&ours));
    assert!(!machine.is_valid(&ours));
    let actions = asked_and(&mut machine, &ours, Checked::Answered(Verdict::Valid));
    assert_eq!(answered(&actions), [Verdict::Valid]);
}

#[test]
fn nothing_is_said_behind_the_end() {
    let mut machine = receiving();
    let ours = pair(CAPULET, MONTAGUE);
    at(0, |env| {
        machine.handle(env, &ask(&ours, "k"), at_montague(&ours))
    });
    let pending = requests(&drain(|| machine.poll_action())).pop().unwrap();
    machine.end();
    machine.verified(pending.ticket, Checked::Answered(Verdict::Valid));
    machine.refuse(&ask(&ours, "k"), Reason::NotAcceptable);
    assert_eq!(
        (machine.poll_action(), machine.poll_timeout()),
        (None, None)
    );
}
