//! Whatever a peer and a caller do: every answer is matched or dropped, and no outcome is reported twice.
#![allow(clippy::unwrap_used, clippy::panic, clippy::arithmetic_side_effects)]

mod common;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use common::{MONTAGUE, ask, at, at_montague, drain, events, originating, pair, receiving, sent};
use onetrip_dialback::{
    Action, Answer, Checked, Event, Message, Outcome, Pair, Reason, ReceivingConfig, Ticket,
    Verdict,
};
use proptest::prelude::*;

fn pairs(n: u8) -> Pair {
    pair(&format!("d{n}.example"), MONTAGUE)
}

fn verdicts() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        Just(Verdict::Valid),
        Just(Verdict::Invalid),
        Just(Verdict::Error(Reason::ItemNotFound)),
    ]
}

#[derive(Debug, Clone)]
enum Asking {
    Ask(u8),
    Answer(u8, Verdict),
    Wait(u64),
    End,
}

fn asking() -> impl Strategy<Value = Asking> {
    prop_oneof![
        4 => (0..4_u8).prop_map(Asking::Ask),
        4 => (0..4_u8, verdicts()).prop_map(|(n, verdict)| Asking::Answer(n, verdict)),
        2 => (0..70_u64).prop_map(Asking::Wait),
        1 => Just(Asking::End),
    ]
}

#[derive(Debug, Clone)]
enum Asked {
    Ask { n: u8, certified: bool },
    Checked { nth: usize, checked: Checked },
    Wait(u64),
    Withdraw(u8),
}

fn asked() -> impl Strategy<Value = Asked> {
    let checked = prop_oneof![
        verdicts().prop_map(Checked::Answered),
        Just(Checked::SameCertificate),
        Just(Checked::ConnectFailed),
    ];
    prop_oneof![
        4 => (0..5_u8, proptest::bool::weighted(0.2)).prop_map(|(n, certified)| Asked::Ask { n, certified }),
        4 => (0..12_usize, checked).prop_map(|(nth, checked)| Asked::Checked { nth, checked }),
        1 => (0..40_u64).prop_map(Asked::Wait),
        1 => (0..5_u8).prop_map(Asked::Withdraw),
    ]
}

/// What a receiving machine should think, in the plainest form.
#[derive(Debug, Default)]
struct Model {
    valid: BTreeSet<Pair>,
    pending: BTreeMap<Pair, Ticket>,
    /// Answers still owed.
    owed: usize,
    closed: bool,
}

impl Model {
    /// Checks what came out against what may.
    fn follow(&mut self, actions: &[Action], proved: &BTreeSet<Pair>) -> Result<(), TestCaseError> {
        for action in actions {
            match action {
                Action::Request(verification) => {
                    let twice = self
                        .pending
                        .insert(verification.pair.clone(), verification.ticket);
                    prop_assert_eq!(twice, None);
                }
                Action::Event(Event::Validated { pair, .. }) => {
                    prop_assert!(proved.contains(pair), "{} was not proved", pair);
                    self.pending.remove(pair);
                    self.valid.insert(pair.clone());
                }
                Action::Event(Event::Refused { pair, .. }) => {
                    self.pending.remove(pair);
                }
                Action::Event(Event::Dropped { .. }) => self.owed = self.owed.saturating_sub(1),
                Action::Close => {
                    prop_assert!(self.valid.is_empty());
                    self.owed = self.owed.saturating_sub(self.pending.len());
                    self.pending.clear();
                    self.closed = true;
                }
                _ => {}
            }
        }
        let answers = sent(actions).len();
        prop_assert!(answers <= self.owed);
        self.owed = self.owed.saturating_sub(answers);
        prop_assert_eq!(self.owed, self.pending.len());
        Ok(())
    }
}

proptest! {
    #[test]
    fn every_answer_is_matched_or_dropped_and_no_outcome_is_reported_twice(
        steps in proptest::collection::vec(asking(), 0..60),
    ) {
        let mut machine = originating();
        let (mut now, mut waiting, mut late) = (0, BTreeSet::new(), BTreeSet::new());
        for step in steps {
            let mut expected = HashSet::new();
            match step {
                Asking::Ask(n) => {
                    if at(now, |env| machine.ask(env, pairs(n))).is_ok() {
                        prop_assert!(waiting.insert(pairs(n)));
                    }
                }
                Asking::Answer(n, verdict) => {
                    machine.handle(&Answer { pair: pairs(n), verdict });
                    expected.insert((pairs(n), Outcome::from(verdict)));
                }
                Asking::Wait(seconds) => {
                    now += seconds;
                    at(now, |env| machine.handle_timeout(env));
                    expected.extend(waiting.iter().cloned().map(|pair| (pair, Outcome::TimedOut)));
                }
                Asking::End => {
                    machine.end();
                    expected.extend(waiting.iter().cloned().map(|pair| (pair, Outcome::Ended)));
                }
            }
            for event in events(&drain(|| machine.poll_action())) {
                match event {
                    Event::Concluded { pair, outcome } => {
                        let asked = waiting.remove(&pair);
                        let after_all = !asked && outcome == Outcome::Valid && late.remove(&pair);
                        prop_assert!(asked || after_all, "{} was not waiting", pair);
                        if outcome == Outcome::TimedOut {
                            late.insert(pair.clone());
                        }
                        prop_assert!(expected.remove(&(pair, outcome)));
                    }
                    Event::Dropped { pair, .. } => prop_assert!(!waiting.contains(&pair)),
                    other => prop_assert!(false, "{other:?}"),
                }
            }
            prop_assert_eq!(machine.poll_timeout().is_some(), !waiting.is_empty());
            let over = machine.poll_timeout().is_some_and(|deadline| at(now, |env| deadline <= env.now));
            prop_assert!(!over, "a deadline that has been handled is gone or later");
        }
        machine.end();
        let left = events(&drain(|| machine.poll_action())).len();
        prop_assert_eq!(left, waiting.len());
    }

    #[test]
    fn a_pair_is_valid_only_if_it_was_proved_and_every_request_has_one_answer(
        steps in proptest::collection::vec(asked(), 0..60), places in 1..6_usize, busy in 1..4_usize,
    ) {
        let mut config = ReceivingConfig::default();
        (config.pairs, config.pending) = (places * 4, busy);
        let mut machine = receiving().with_config(config);
        let (mut model, mut now) = (Model::default(), 0);
        let mut tickets: Vec<(Ticket, Pair)> = Vec::new();
        for step in steps {
            let mut proved = BTreeSet::new();
            match step {
                Asked::Ask { n, certified } => {
                    model.owed += 1;
                    let facts = at_montague(&pairs(n));
                    let facts = if certified { facts.certified() } else { facts };
                    if certified {
                        proved.insert(pairs(n));
                    }
                    at(now, |env| machine.handle(env, &ask(&pairs(n), "k"), facts));
                }
                Asked::Checked { nth, checked } => {
                    let Some((ticket, pair)) = tickets.get(nth) else { continue };
                    if checked.verdict() == Verdict::Valid && model.pending.get(pair) == Some(ticket) {
                        proved.insert(pair.clone());
                    }
                    machine.verified(*ticket, checked);
                }
                Asked::Wait(seconds) => {
                    now += seconds;
                    at(now, |env| machine.handle_timeout(env));
                }
                Asked::Withdraw(n) => {
                    prop_assert_eq!(machine.withdraw(&pairs(n)), model.valid.remove(&pairs(n)));
                }
            }
            let actions = drain(|| machine.poll_action());
            for action in &actions {
                if let Action::Request(verification) = action {
                    tickets.insert(0, (verification.ticket, verification.pair.clone()));
                }
            }
            model.follow(&actions, &proved)?;
            prop_assert!(model.pending.len() <= busy);
            for n in 0..5 {
                prop_assert_eq!(machine.is_valid(&pairs(n)), model.valid.contains(&pairs(n)));
            }
            let only_answers = sent(&actions).iter().all(|message| matches!(message, Message::Answer(_)));
            prop_assert!(only_answers, "a verification on the requesting connection (BIDI-11)");
        }
    }
}
