//! Whatever happens in whatever order: no stanza is permitted for a pair that was not validated.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use std::collections::BTreeSet;

use common::{changes, domain, drain, features, optional_tls, pair};
use onetrip_bidi::{
    Action, Bidi, Change, Initiator, Layer, Pair, Pairs, Receiver, Restart, Trust, feature,
};
use onetrip_stream::{Content, Domain};
use proptest::prelude::*;

const NAMES: [&str; 5] = ["a.lit", "b.lit", "x.lit", "y.lit", "z.lit"];

fn hosted(name: &Domain) -> bool {
    matches!(name.as_str(), "a.lit" | "b.lit")
}

fn some_pair() -> impl Strategy<Value = Pair> {
    let names = || proptest::sample::select(&NAMES[..]);
    (names(), names()).prop_map(|(from, to)| pair(from, to))
}

#[derive(Debug, Clone)]
enum Step {
    Validated(Pair),
    Sasl(Pair),
    Withdrawn(Pair),
    Features(bool),
    Bidi,
    Restart(Restart),
    End,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => some_pair().prop_map(Step::Validated),
        1 => some_pair().prop_map(Step::Sasl),
        2 => some_pair().prop_map(Step::Withdrawn),
        2 => any::<bool>().prop_map(Step::Features),
        3 => Just(Step::Bidi),
        2 => Just(Step::Restart(Restart::Sasl)),
        1 => Just(Step::Restart(Restart::Tls)),
        1 => Just(Step::End),
    ];
    proptest::collection::vec(step, 0..40)
}

/// What may flow, as plainly as it can be said.
#[derive(Debug, Default)]
struct Model {
    valid: BTreeSet<Pair>,
    bidirectional: bool,
    /// What the changes that were told add up to: (goes out, pair).
    told: BTreeSet<(bool, Pair)>,
}

impl Model {
    fn allows(&self, pair: &Pair) -> bool {
        self.valid.contains(pair) || (self.bidirectional && self.valid.contains(&pair.inverse()))
    }

    fn listen(&mut self, actions: &[Action]) -> Result<(), TestCaseError> {
        for change in changes(actions) {
            let fresh = match change {
                Change::SendOpened(pair) => self.told.insert((true, pair)),
                Change::SendClosed(pair) => self.told.remove(&(true, pair)),
                Change::ReceiveOpened(pair) => self.told.insert((false, pair)),
                Change::ReceiveClosed(pair) => self.told.remove(&(false, pair)),
                _ => false,
            };
            prop_assert!(fresh, "told twice");
        }
        Ok(())
    }

    fn check(&self, pairs: &Pairs, most: usize) -> Result<(), TestCaseError> {
        let mut open = BTreeSet::new();
        for from in NAMES {
            for to in NAMES {
                let pair = pair(from, to);
                let out = hosted(&pair.from) && !hosted(&pair.to);
                let into = hosted(&pair.to) && !hosted(&pair.from);
                let allowed = self.allows(&pair);
                prop_assert_eq!(pairs.may_send(&pair.from, &pair.to), out && allowed);
                prop_assert_eq!(pairs.may_receive(&pair.from, &pair.to), into && allowed);
                if allowed && (out || into) {
                    open.insert((out, pair));
                }
            }
        }
        prop_assert_eq!(&self.told, &open);
        prop_assert!(pairs.len() <= most);
        prop_assert_eq!(pairs.is_bidirectional(), self.bidirectional);
        Ok(())
    }

    fn forget(&mut self) {
        (self.valid, self.bidirectional) = (BTreeSet::new(), false);
    }
}

proptest! {
    #[test]
    fn no_stanza_is_permitted_at_the_initiator_for_a_pair_that_was_not_validated(
        steps in steps(), most in 1..5_usize,
    ) {
        let mut config = optional_tls().0;
        config.pairs = most;
        let mut machine = Initiator::new(config, Content::Server, Layer::Clear);
        let (mut model, mut asked, mut ended) = (Model::default(), 0, false);
        for step in steps {
            match step {
                Step::Validated(pair) | Step::Sasl(pair) => {
                    if machine.validated(&pair, Trust::Dns, hosted).is_ok() && !ended {
                        prop_assert!(hosted(&pair.from) != hosted(&pair.to));
                        model.valid.insert(pair);
                    }
                }
                Step::Withdrawn(pair) => {
                    machine.withdrawn(&pair);
                    model.valid.remove(&pair);
                }
                Step::Features(with) => {
                    let children = if with { vec![feature()] } else { Vec::new() };
                    machine.features(&features(&children));
                }
                Step::Bidi => { let _ = machine.authenticating(Trust::Dns); }
                Step::Restart(restart) => {
                    machine.restart(restart);
                    if restart == Restart::Tls {
                        model.forget();
                        asked = 0;
                    }
                }
                Step::End => {
                    machine.end();
                    model.forget();
                    ended = true;
                }
            }
            let actions = drain(|| machine.poll_action());
            asked += common::sent(&actions).len();
            model.bidirectional |= !common::sent(&actions).is_empty();
            prop_assert!(asked <= 1, "asked for once between restarts of TLS");
            prop_assert!(!ended || common::sent(&actions).is_empty());
            model.listen(&actions)?;
            model.check(machine.pairs(), most)?;
        }
    }

    #[test]
    fn no_stanza_is_permitted_at_the_receiver_for_a_pair_that_was_not_validated(
        steps in steps(), most in 1..5_usize,
    ) {
        let mut config = optional_tls().1;
        config.pairs = most;
        let mut machine = Receiver::new(config, Content::Server, Layer::Clear);
        let mut model = Model::default();
        let (mut sasl, mut restarted, mut dead) = (None, false, false);
        for step in steps {
            match step {
                Step::Validated(pair) => {
                    if machine.validated(&pair, hosted).is_ok() && !dead {
                        model.valid.insert(pair);
                    }
                }
                Step::Sasl(pair) => {
                    if machine.authenticated(pair.clone(), hosted).is_ok() {
                        (sasl, restarted) = (Some(pair), false);
                    }
                }
                Step::Withdrawn(pair) => {
                    machine.withdrawn(&pair);
                    model.valid.remove(&pair);
                }
                Step::Features(_) => {
                    let full = machine.pairs().len() >= most;
                    let offered = machine.announce();
                    prop_assert!(offered.is_empty() || model.valid.is_empty());
                    if let Some(pair) = sasl.take_if(|_| restarted) {
                        let known = model.valid.contains(&pair) || model.valid.contains(&pair.inverse());
                        if !dead && (known || !full) {
                            model.valid.insert(pair);
                        }
                    }
                }
                Step::Bidi => match machine.handle(&Bidi::default().to_element()) {
                    Ok(()) => model.bidirectional |= !dead,
                    Err(_) => {
                        model.forget();
                        dead = true;
                    }
                },
                Step::Restart(Restart::Sasl) => {
                    machine.restart(Restart::Sasl);
                    restarted = sasl.is_some();
                }
                Step::Restart(Restart::Tls) => {
                    machine.restart(Restart::Tls);
                    model.forget();
                    (sasl, restarted) = (None, false);
                }
                Step::End => {
                    machine.end();
                    model.forget();
                    dead = true;
                }
            }
            let actions = drain(|| machine.poll_action());
            prop_assert!(common::sent(&actions).is_empty());
            model.listen(&actions)?;
            model.check(machine.pairs(), most)?;
        }
    }

    /// What one end sends, the other takes, and nothing else.
    #[test]
    fn both_ends_agree_on_what_flows(
        forward in proptest::collection::btree_set(0..6_usize, 0..6), bidi in any::<bool>(),
    ) {
        let (c, s) = optional_tls();
        let mut c = Initiator::new(c, Content::Server, Layer::Tls);
        let mut s = Receiver::new(s, Content::Server, Layer::Tls);
        c.features(&features(&s.announce()));
        if bidi {
            c.authenticating(Trust::Dns).unwrap();
        }
        for element in common::sent(&drain(|| c.poll_action())) {
            s.handle(&element).unwrap();
        }
        for n in forward {
            let pair = pair(NAMES[n % 2], NAMES[2 + n % 3]);
            c.validated(&pair, Trust::Certificate, hosted).unwrap();
            s.validated(&pair, |name| !hosted(name)).unwrap();
        }
        for from in NAMES.map(domain) {
            for to in NAMES.map(domain) {
                prop_assert_eq!(c.pairs().may_send(&from, &to), s.pairs().may_receive(&from, &to));
                prop_assert_eq!(s.pairs().may_send(&from, &to), c.pairs().may_receive(&from, &to));
            }
        }
    }
}
