//! The cache: what it learns, what it forgets, and that it survives being stored.
#![allow(clippy::unwrap_used, clippy::panic, clippy::arithmetic_side_effects)]

use std::time::Duration;

use minidom::Element;
use onetrip_quickstart::{
    Action, Broken, Cache, Features, Initiator, Input, Join, Key, Known, Level, Outcome, Plan,
    Policy, Report, Stage, Step, Transport, pipelining,
};
use onetrip_stream::stored::StoredError;
use onetrip_stream::{Build as _, Jid, ns};
use proptest::prelude::*;

fn key(account: &str, transport: Transport) -> Key {
    let account: Jid = account.parse().unwrap();
    Key::new(account.domain().clone(), Some(&account), transport)
}

fn features(mechanisms: &[&str], announced: bool) -> Element {
    let list = mechanisms
        .iter()
        .fold(Element::bare("mechanisms", ns::SASL), |list, name| {
            list.with_child(Element::bare("mechanism", ns::SASL).with_text(name))
        });
    let features = Element::bare("features", ns::STREAMS).with_child(list);
    if announced {
        features.with_child(pipelining())
    } else {
        features
    }
}

/// Runs an attempt through a successful login and returns what it reports.
fn passed(plan: Plan, announced: bool) -> Report {
    let mut attempt = Initiator::new(plan);
    attempt.handle(Input::Features(Stage::Clear, &features(&["PLAIN"], true)));
    attempt.handle(Input::Features(
        Stage::Secured,
        &features(&["SCRAM-SHA-1"], announced),
    ));
    attempt.handle(Input::Mechanism("SCRAM-SHA-1", 2));
    attempt.handle(Input::Features(
        Stage::Authenticated,
        &features(&[], announced),
    ));
    attempt.handle(Input::Bound);
    attempt.handle(Input::LaterAnswer);
    match attempt.poll_action() {
        Some(Action::Report(report)) => *report,
        other => panic!("{other:?}"),
    }
}

fn broken(plan: Plan, step: Step, input: Input<'_>) -> (Broken, Report) {
    let mut attempt = Initiator::new(plan);
    attempt.handle(Input::Ahead(step));
    attempt.handle(input);
    match (
        attempt.poll_action(),
        attempt.poll_action(),
        attempt.poll_action(),
    ) {
        (Some(Action::Abandon(broken)), Some(Action::Report(report)), None) => (broken, *report),
        other => panic!("{other:?}"),
    }
}

/// QS-R1: nothing that was shown in clear is remembered; QS-03: one account's memory never serves another.
#[test]
fn qs_03_qs_r1_memory_is_of_one_account_and_from_under_tls() {
    let mut cache = Cache::default();
    let policy = Policy::default();
    let juliet = key("juliet@capulet.lit", Transport::StartTls);
    assert_eq!(
        cache.plan(&juliet, &policy).join(Step::Auth),
        Join::AfterAnswer,
        "QS-11"
    );
    assert!(
        cache
            .conclude(&passed(cache.plan(&juliet, &policy), true), &policy)
            .is_none()
    );
    let known = cache.known(&juliet).unwrap();
    assert_eq!(
        (known.secured.mechanisms(), known.mechanism.as_str()),
        (&["SCRAM-SHA-1".to_owned()][..], "SCRAM-SHA-1")
    );
    assert_eq!(cache.plan(&juliet, &policy).level(), Level::Full);
    for other in [
        key("romeo@capulet.lit", Transport::StartTls),
        key("juliet@capulet.lit", Transport::DirectTls),
    ] {
        assert!(cache.known(&other).is_none());
        assert_eq!(cache.plan(&other, &policy).level(), Level::Safe);
    }
}

/// QS-06: the caps hash says nothing about mechanisms; a change of them is a difference all the same.
#[test]
fn qs_06_same_caps_and_other_mechanisms_is_a_difference() {
    let caps = || Element::bare("c", ns::CAPS).with_attr("ver", "same");
    let before = Features::read(&features(&["SCRAM-SHA-1", "PLAIN"], true).with_child(caps()));
    let after = Features::read(&features(&["PLAIN"], true).with_child(caps()));
    assert_eq!(before.caps(), after.caps());
    let difference = before.difference(&after).unwrap();
    assert_eq!(difference.mechanisms_gone, ["SCRAM-SHA-1"]);
    assert_eq!(difference.to_string(), "mechanisms gone: SCRAM-SHA-1");
    assert_eq!(before.difference(&before), None);
}

/// QS-29, QS-31 to QS-34: each assumption that can be wrong is abandoned as what it is, the entry is dropped, and one
/// unpipelined retry under the same pin is asked for.
#[test]
fn qs_29_to_34_a_wrong_assumption_drops_the_entry_and_asks_for_one_careful_retry() {
    let policy = Policy::default();
    let juliet = key("juliet@capulet.lit", Transport::StartTls);
    type Case = (Step, Input<'static>, Broken);
    let cases: [Case; 8] = [
        (Step::Restart, Input::SaslRefused, Broken::TailRefused),
        (Step::Bind, Input::SaslRefused, Broken::TailRefused),
        (
            Step::Restart,
            Input::AnotherChallenge,
            Broken::AnotherChallenge,
        ),
        (Step::ClientHello, Input::TlsSilence, Broken::HelloLost),
        (Step::ClientHello, Input::Ended, Broken::HelloLost),
        (
            Step::StartTls,
            Input::StartTlsRefused,
            Broken::StartTlsRefused,
        ),
        (Step::Restart, Input::LaterSilence, Broken::RestartLost),
        (Step::Auth, Input::Ended, Broken::Ended),
    ];
    for (step, input, expected) in cases {
        let mut cache = Cache::default();
        cache.conclude(&passed(cache.plan(&juliet, &policy), true), &policy);
        let (found, report) = broken(cache.plan(&juliet, &policy), step, input);
        assert_eq!(found, expected);
        let retry = cache.conclude(&report, &policy).unwrap();
        assert_eq!(
            (retry.level(), retry.pin(), retry.assumed()),
            (Level::Off, 2, None),
            "{expected:?}"
        );
        assert!(cache.known(&juliet).is_none());
        assert_eq!(cache.pin(&juliet), 2, "QS-R4: the pin outlives the entry");
    }
}

/// A refusal with nothing in flight but `<auth/>` itself: tried again in step on the same stream, then believed.
#[test]
fn a_refusal_in_step_is_tried_once_more_and_then_believed() {
    let mut cache = Cache::default();
    let policy = Policy::default();
    let juliet = key("juliet@capulet.lit", Transport::StartTls);
    cache.conclude(&passed(cache.plan(&juliet, &policy), false), &policy);
    let mut attempt = Initiator::new(cache.plan(&juliet, &policy));
    attempt.handle(Input::Ahead(Step::Auth));
    attempt.handle(Input::SaslRefused);
    assert_eq!(attempt.poll_action(), Some(Action::RetryHere));
    assert_eq!(attempt.plan().join(Step::Auth), Join::AfterAnswer);
    attempt.handle(Input::SaslRefused);
    assert_eq!(attempt.poll_action(), Some(Action::Believe));
}

/// QS-R10: the gap is learnt per host, and the race is given up after misses in a row; a success begins anew.
#[test]
fn qs_r10_the_gap_is_learnt_and_the_race_given_up() {
    let mut cache = Cache::default();
    let mut policy = Policy::default();
    policy.race = true;
    let juliet = key("juliet@capulet.lit", Transport::DirectTls);
    cache.conclude(&passed(cache.plan(&juliet, &policy), false), &policy);
    let mut gaps = Vec::new();
    for _ in 0..policy.max_misses {
        let plan = cache.plan(&juliet, &policy);
        assert_eq!(plan.level(), Level::Paced);
        gaps.push(plan.gap().as_millis());
        let (_, report) = broken(plan, Step::Restart, Input::LaterSilence);
        let retry = cache.conclude(&report, &policy).unwrap();
        cache.conclude(&passed(retry, false), &policy);
    }
    assert_eq!(gaps, [20, 40, 80, 160, 320]);
    assert_eq!(
        cache.plan(&juliet, &policy).level(),
        Level::Safe,
        "given up"
    );
    assert_eq!(
        cache.plan(&juliet, &policy).join(Step::Restart),
        Join::AfterAnswer
    );
    // A refused password is nobody's habit.
    let mut other = Cache::default();
    other.conclude(&passed(other.plan(&juliet, &policy), false), &policy);
    let (_, report) = broken(
        other.plan(&juliet, &policy),
        Step::Restart,
        Input::SaslRefused,
    );
    other.conclude(&report, &policy);
    other.conclude(&passed(Plan::step_by_step(juliet.clone()), false), &policy);
    assert_eq!(
        other.plan(&juliet, &policy).gap(),
        Duration::from_millis(20)
    );
}

/// A restart that was swallowed and sent again keeps the login, and still counts as a miss.
#[test]
fn a_swallowed_restart_is_sent_again_once() {
    let mut cache = Cache::default();
    let mut policy = Policy::default();
    policy.force = Some(Level::Full);
    let juliet = key("juliet@capulet.lit", Transport::DirectTls);
    let mut attempt = Initiator::new(cache.plan(&juliet, &policy));
    attempt.handle(Input::Ahead(Step::Restart));
    attempt.handle(Input::Features(Stage::Secured, &features(&["PLAIN"], true)));
    attempt.handle(Input::RestartSilence);
    assert_eq!(attempt.poll_action(), Some(Action::ResendRestart));
    attempt.handle(Input::RestartSilence);
    assert_eq!(attempt.poll_action(), None, "once");
    attempt.handle(Input::Features(Stage::Authenticated, &features(&[], true)));
    attempt.handle(Input::Bound);
    let Some(Action::Report(report)) = attempt.poll_action() else {
        panic!()
    };
    assert!(report.restart_resent && matches!(report.outcome, Outcome::Passed(_)));
    policy.force = None;
    assert!(cache.conclude(&report, &policy).is_none());
    assert_eq!(
        cache.plan(&juliet, &policy).level(),
        Level::Safe,
        "advertised, and yet it does not work"
    );
}

/// monal 3dd174dae: what one generation of SASL offers is never taken for the other's.
#[test]
fn sasl2_is_remembered_apart_with_what_may_ride_along() {
    let element: Element = "<features xmlns='http://etherx.jabber.org/streams'>\
        <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>\
        <authentication xmlns='urn:xmpp:sasl:2'><mechanism>SCRAM-SHA-1</mechanism><inline>\
        <bind xmlns='urn:xmpp:bind:0'><inline><feature var='urn:xmpp:sm:3'/></inline></bind>\
        <fast xmlns='urn:xmpp:fast:0'><mechanism>HT-SHA-256-NONE</mechanism></fast>\
        <sm xmlns='urn:xmpp:sm:3'/></inline></authentication>\
        <config-version xmlns='urn:xmpp:iap:0' value='one'/></features>"
        .parse()
        .unwrap();
    let read = Features::read(&element);
    assert_eq!(read.mechanisms(), ["PLAIN"]);
    let sasl2 = read.sasl2().unwrap();
    assert_eq!(sasl2.mechanisms, ["SCRAM-SHA-1"]);
    assert_eq!(sasl2.inline["{urn:xmpp:bind:0}bind"], ["urn:xmpp:sm:3"]);
    assert_eq!(sasl2.inline["{urn:xmpp:fast:0}fast"], ["HT-SHA-256-NONE"]);
    assert!(sasl2.inline["{urn:xmpp:sm:3}sm"].is_empty());
    assert_eq!(sasl2.config_version.as_deref(), Some("one"));
    let mut cache = Cache::default();
    let known = Known::new(read.clone(), Features::default(), "X".to_owned(), 1);
    cache.remember(&key("juliet@capulet.lit", Transport::DirectTls), known);
    assert_eq!(Cache::from_bytes(&cache.to_bytes()), Ok(cache));
    let gone = read
        .difference(&Features::of_mechanisms(["PLAIN"]))
        .unwrap();
    assert_eq!(gone.mechanisms_gone, ["SCRAM-SHA-1"]);
    assert!(
        gone.features_gone
            .contains(&"{urn:xmpp:sasl:2}authentication".to_owned())
    );
}

/// Version 1 knew nothing of SASL2: it is read, and nothing is believed of SASL2.
#[test]
fn an_older_cache_is_still_read() {
    let mut older = b"OTQC\x01".to_vec();
    older.extend([0; 24]);
    assert_eq!(Cache::from_bytes(&older), Ok(Cache::default()));
}

#[test]
fn a_login_that_binds_within_is_remembered_without_the_features_behind_it() {
    let plan = Cache::default().plan(
        &key("juliet@capulet.lit", Transport::DirectTls),
        &Policy::default(),
    );
    let mut attempt = Initiator::new(plan);
    attempt.handle(Input::Features(Stage::Secured, &features(&["PLAIN"], true)));
    attempt.handle(Input::Mechanism("PLAIN", 1));
    attempt.handle(Input::BoundInline);
    let Some(Action::Report(report)) = attempt.poll_action() else {
        panic!()
    };
    assert!(matches!(report.outcome, Outcome::Passed(_)));
}

#[test]
fn what_is_stored_is_of_a_kind_and_a_version() {
    let bytes = Cache::default().to_bytes();
    assert_eq!(Cache::from_bytes(b"nonsense"), Err(StoredError::Foreign));
    let mut later = bytes.to_vec();
    later[4] = 9;
    assert_eq!(Cache::from_bytes(&later), Err(StoredError::Version(9)));
    let mut longer = bytes.to_vec();
    longer.push(0);
    assert!(matches!(
        Cache::from_bytes(&longer),
        Err(StoredError::Damaged(_))
    ));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Any cache survives being stored, and any damage to it is noticed or harmless: never a panic.
    #[test]
    fn a_cache_survives_being_stored(names in proptest::collection::vec("[A-Z0-9-]{1,12}", 0..5), strength in 0_u8..5, accounts in proptest::collection::vec("[a-z]{1,5}@[a-z]{1,5}", 0..4), cut in any::<prop::sample::Index>(), flip in any::<u8>()) {
        let mut cache = Cache::default();
        for account in &accounts {
            let known = Known::new(Features::of_mechanisms(names.iter().map(String::as_str)), Features::default(), "X".to_owned(), strength);
            cache.remember(&key(account, Transport::StartTls), known);
        }
        let bytes = cache.to_bytes();
        prop_assert_eq!(Cache::from_bytes(&bytes), Ok(cache));
        prop_assert!(Cache::from_bytes(&bytes[..cut.index(bytes.len())]).is_err());
        let mut damaged = bytes.to_vec();
        let at = cut.index(damaged.len());
        damaged[at] ^= flip;
        let _ = Cache::from_bytes(&damaged);
    }
}
