//! Client against server over a simulated link: whatever is remembered wrongly, refused, split or cut, both ends
//! end in a defined state, nothing is accepted before authentication, and nothing behind a failure is acted on.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::LazyLock;

use onetrip_core::Entity;
use onetrip_core::negotiation::sasl::Mechanism;
use onetrip_core::quickstart::{Cache, Features, Known, Level, Outcome, Policy, Transport};
use onetrip_simulator::Strategy as Way;
use onetrip_simulator::{Faults, Lab, Login, Run, Settings};
use onetrip_tls::rustls::Versions;
use proptest::prelude::*;

/// What a case is about.
#[derive(Debug, Clone)]
struct Case {
    strategy: Way,
    tls: Versions,
    /// What the server offers.
    offered: Vec<Mechanism>,
    /// What the client remembers it to have offered.
    remembered: Vec<Mechanism>,
    pipelining: bool,
    right_password: bool,
    faults: Faults,
    seed: u64,
}

fn case() -> impl Strategy<Value = Case> {
    let strategies: Vec<Way> = Way::all()
        .into_iter()
        .filter(|strategy| !matches!(strategy, Way::Historical(_)) && strategy.login().is_some())
        .collect();
    let offers = || proptest::sample::subsequence(Mechanism::ALL[1..].to_vec(), 0..=6);
    (
        proptest::sample::select(strategies),
        prop_oneof![Just(Versions::Tls12), Just(Versions::Tls13)],
        offers(),
        offers(),
        any::<bool>(),
        prop_oneof![4 => Just(true), 1 => Just(false)],
        (
            proptest::option::of(1_usize..40),
            proptest::option::weighted(0.4, 0_u64..2500),
        ),
        any::<u64>(),
    )
        .prop_map(
            |(
                strategy,
                tls,
                offered,
                remembered,
                pipelining,
                right_password,
                (split, cut_at),
                seed,
            )| Case {
                strategy,
                tls,
                offered,
                remembered,
                pipelining,
                right_password,
                faults: Faults { split, cut_at },
                seed,
            },
        )
}

/// An entity that remembers what the case says, right or wrong.
fn entity(lab: &Lab, case: &Case) -> Entity {
    let mut policy = Policy::default();
    policy.force = Some(case.strategy.level());
    let mut cache = Cache::default();
    if !case.remembered.is_empty() {
        let names = case.remembered.iter().map(|mechanism| mechanism.name());
        let known = Known::new(
            Features::of_mechanisms(names),
            Features::default(),
            String::new(),
            0,
        );
        cache.remember(&lab.key(case.strategy.transport()), known);
    }
    Entity::new(cache, policy)
}

/// What must hold of every run, whatever happened in it.
fn check(run: &Run, case: &Case) {
    assert!(
        run.ok() || run.endings.0.is_some(),
        "the client hangs: {run:?}"
    );
    if !run.ok() {
        assert!(run.endings.1.is_some(), "the server hangs: {run:?}");
    }
    assert!(
        run.server_stanzas == 0 || run.server_online,
        "a stanza before authentication: {run:?}"
    );
    if !case.right_password && case.strategy.login() != Some(Login::External) {
        assert!(
            !run.server_online && !run.ok(),
            "in with the wrong password: {run:?}"
        );
    }
}

fn possible(case: &Case, strategy: &Way) -> bool {
    let ours = strategy.login().map_or_else(Vec::new, Login::mechanisms);
    (case.right_password || strategy.login() == Some(Login::External))
        && case
            .offered
            .iter()
            .any(|mechanism| ours.contains(mechanism))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    /// G5 and digest §6.2: both ends come to an end, and the one retry gets through wherever a login is possible.
    #[test]
    fn whatever_is_remembered_refused_split_or_cut(case in case()) {
        let mut lab = Lab::new().unwrap();
        lab.offer(case.offered.clone());
        lab.set_pipelining(case.pipelining);
        if !case.right_password {
            lab.believe_password("wrong");
        }
        let settings = Settings { faults: case.faults, tls: case.tls, seed: case.seed, ..Settings::default() };
        let mut entity = entity(&lab, &case);
        let (run, taught) = lab.attempt(&case.strategy, &mut entity, &settings).unwrap();
        check(&run, &case);
        let retry = taught.into_iter().fold(None, |retry, event| entity.handle(event).or(retry));
        if case.faults.cut_at.is_none() {
            // Nothing was cut: it worked, or it was refused for good, or the retry is asked for and works.
            let mut off = Policy::default();
            off.force = Some(Level::Off);
            if retry.is_some() {
                prop_assert!(case.strategy.level() != Level::Off);
                entity.set_policy(off);
                let classic = case.strategy.classic();
                let (second, _) = lab.attempt(&classic, &mut entity, &settings).unwrap();
                check(&second, &case);
                prop_assert_eq!(second.ok(), possible(&case, &classic), "{:?}", second);
            } else {
                prop_assert_eq!(run.ok(), possible(&case, &case.strategy), "{:?}", run);
            }
        }
    }
}

static LAB: LazyLock<Lab> = LazyLock::new(|| Lab::new().unwrap());

fn forced(level: Level) -> Entity {
    let mut policy = Policy::default();
    policy.force = Some(level);
    Entity::new(Cache::default(), policy)
}

/// The connection is cut behind every byte that the client sends: both ends notice, and nobody hangs.
#[test]
fn a_login_cut_behind_every_byte() {
    for name in ["c2s-quickstart-starttls-plain", "c2s-safe-direct-plain"] {
        let strategy = Way::named(name).unwrap();
        let whole = LAB.run(&strategy, &Settings::default()).unwrap().bytes_sent as u64;
        for cut_at in (0..whole).step_by(3) {
            let settings = Settings {
                faults: Faults {
                    split: None,
                    cut_at: Some(cut_at),
                },
                ..Settings::default()
            };
            let run = LAB.run(&strategy, &settings).unwrap();
            assert!(
                run.endings.0.is_some() && run.endings.1.is_some(),
                "{name} cut at {cut_at}: {run:?}"
            );
            assert!(!run.ok());
        }
    }
}

/// QS-29, QS-31: a wrong password behind a pipelined tail is not called one; the retry, in step, says so.
#[test]
fn qs_29_wrong_password_is_told_only_by_the_unpipelined_retry() {
    let mut lab = Lab::new().unwrap();
    lab.believe_password("wrong");
    let strategy = Way::named("c2s-quickstart-starttls-plain").unwrap();
    let mut entity = forced(Level::Full);
    let mut cache = Cache::default();
    let known = Known::new(
        Features::of_mechanisms(["PLAIN"]),
        Features::default(),
        "PLAIN".to_owned(),
        1,
    );
    cache.remember(&lab.key(Transport::StartTls), known);
    entity = Entity::new(cache, entity.policy().clone());
    let (run, taught) = lab
        .attempt(&strategy, &mut entity, &Settings::default())
        .unwrap();
    let [report] = run.reports.as_slice() else {
        panic!("{run:?}")
    };
    assert!(matches!(report.outcome, Outcome::Broken(_)), "{report:?}");
    let retry = taught
        .into_iter()
        .find_map(|event| entity.handle(event))
        .unwrap();
    assert_eq!((retry.level(), retry.pin()), (Level::Off, 1));
    assert!(
        entity
            .cache()
            .known(&lab.key(Transport::StartTls))
            .is_none(),
        "the entry is dropped"
    );
}

/// QS-33, QS-R4: the mechanism that is remembered is gone and only a weaker one is left: not taken.
#[test]
fn qs_r4_a_retry_never_takes_a_weaker_mechanism() {
    let mut lab = Lab::new().unwrap();
    lab.offer(vec![Mechanism::Plain]);
    let strategy = Way::named("c2s-quickstart-starttls-scram").unwrap();
    let mut policy = Policy::default();
    policy.force = Some(Level::Full);
    let mut cache = Cache::default();
    let names = ["SCRAM-SHA-256"];
    cache.remember(
        &lab.key(Transport::StartTls),
        Known::new(
            Features::of_mechanisms(names),
            Features::default(),
            names[0].to_owned(),
            2,
        ),
    );
    let mut entity = Entity::new(cache, policy);
    let (first, taught) = lab
        .attempt(&strategy, &mut entity, &Settings::default())
        .unwrap();
    assert!(!first.ok());
    for event in taught {
        let _ = entity.handle(event);
    }
    // Now the client would take PLAIN, were it not for the pin.
    let strategy = Way::named("c2s-classic-starttls-plain").unwrap();
    let (second, _) = lab
        .attempt(&strategy.classic(), &mut entity, &Settings::default())
        .unwrap();
    assert!(!second.ok() && !second.server_online, "{second:?}");
}

/// QS-03, QS-29: what the last session showed is believed, and what arrives is compared with it.
#[test]
fn features_that_changed_are_reported_as_a_difference() {
    let mut lab = Lab::new().unwrap();
    let strategy = Way::named("c2s-safe-starttls-plain").unwrap();
    let mut entity = forced(Level::Off);
    let (_, taught) = lab
        .attempt(&strategy.classic(), &mut entity, &Settings::default())
        .unwrap();
    taught
        .into_iter()
        .for_each(|event| assert!(entity.handle(event).is_none()));
    lab.offer(vec![Mechanism::Plain]);
    let mut policy = Policy::default();
    policy.force = Some(Level::Safe);
    entity.set_policy(policy);
    let (run, _) = lab
        .attempt(&strategy, &mut entity, &Settings::default())
        .unwrap();
    assert!(run.ok());
    let difference = run.reports[0].difference.clone().unwrap();
    assert!(
        difference
            .mechanisms_gone
            .contains(&"SCRAM-SHA-256".to_owned()),
        "{difference}"
    );
    assert_eq!(difference.mechanisms_new, Vec::<String>::new());
}

/// QS-R10: the level is Full only after a session in which every set of features announced pipelining.
#[test]
fn qs_11_full_only_where_every_set_of_features_announced_it() {
    for (pipelining, level) in [(true, Level::Full), (false, Level::Safe)] {
        let mut lab = Lab::new().unwrap();
        lab.set_pipelining(pipelining);
        let strategy = Way::named("c2s-classic-starttls-plain").unwrap();
        let mut entity = Entity::default();
        assert_eq!(
            entity
                .cache()
                .plan(&lab.key(Transport::StartTls), entity.policy())
                .level(),
            Level::Safe
        );
        let (_, taught) = lab
            .attempt(&strategy, &mut entity, &Settings::default())
            .unwrap();
        taught
            .into_iter()
            .for_each(|event| assert!(entity.handle(event).is_none()));
        assert_eq!(
            entity
                .cache()
                .plan(&lab.key(Transport::StartTls), entity.policy())
                .level(),
            level
        );
    }
}
