//! What happens, and what must hold in the end.

use std::time::Duration;

use onetrip_core::Event;
use onetrip_core::stream::{Content, Stanza};
use onetrip_tests::servers::pair;
use proptest::prelude::*;

use super::{DOMAINS, Fate, Setup, World, home};

/// What happens. Numbers choose among what there is.
#[derive(Debug, Clone, Copy)]
enum Step {
    Send {
        from: u8,
        to: u8,
    },
    /// Two servers send each other something before either hears of it.
    Cross {
        from: u8,
        to: u8,
    },
    Deliver(u8),
    /// One connection is much faster than the others.
    Talk(u8),
    DeliverAll,
    Cut(u8),
    Close(u8),
    /// The next connection cannot be made.
    Refuse,
    /// A pair is asked for on some connection, in either direction.
    Ask {
        place: u8,
        from: u8,
        to: u8,
    },
    /// Somebody at the other end writes a stanza that may not be his.
    Forge {
        place: u8,
        from: u8,
        to: u8,
    },
    Wait(u8),
}

impl World {
    /// A stanza with a number of its own.
    fn stanza(&mut self, from: &str, to: &str, forged: bool) -> String {
        let id = self.fates.len();
        self.fates.push(Fate {
            forged,
            ..Fate::default()
        });
        format!("<message id='{id}' from='juliet@{from}' to='romeo@{to}'/>")
    }

    fn send(&mut self, from: &str, to: &str) {
        let text = self.stanza(from, to, false);
        let stanza = Stanza::parse(text.as_bytes(), Content::Server).unwrap();
        self.peers[home(from)].route(stanza);
    }

    /// An end that has not closed its transport.
    fn choose(&self, number: u8) -> Option<usize> {
        let open = |place: &usize| !self.servers.sides[*place].closed;
        let open: Vec<usize> = (0..self.places.len()).filter(open).collect();
        open.get(usize::from(number) % open.len().max(1)).copied()
    }

    pub(super) fn damage(&mut self, place: usize) {
        let other = self.places[place].other;
        self.places[place].damaged = true;
        self.places[other].damaged = true;
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Send { from, to } => {
                let (from, to) = names(from, to);
                self.send(from, to);
            }
            Step::Cross { from, to } => {
                let (from, to) = names(from, to);
                self.send(from, to);
                self.send(to, from);
            }
            Step::Deliver(number) if !self.places.is_empty() => {
                self.deliver(usize::from(number) % self.places.len());
            }
            Step::Talk(number) if !self.places.is_empty() => {
                let place = usize::from(number) % self.places.len();
                for _ in 0..4 {
                    self.deliver(place);
                    self.deliver(self.places[place].other);
                }
            }
            Step::DeliverAll => {
                self.deliver_all();
            }
            Step::Cut(number) => {
                if let Some(place) = self.choose(number) {
                    self.damage(place);
                    for place in [place, self.places[place].other] {
                        self.servers.sides[place].wire.clear();
                        self.eof(place);
                    }
                }
            }
            Step::Close(number) => {
                if let Some(place) = self.choose(number) {
                    self.places[place].closing = true;
                    self.servers
                        .with(place, |connection, env| connection.close(env));
                }
            }
            Step::Refuse => self.refuse += 1,
            Step::Ask { place, from, to } => {
                if let Some(place) = self.choose(place) {
                    let (from, to) = names(from, to);
                    let there = self.places[self.places[place].other].node;
                    let resolves = home(to) == there;
                    // Most of it may not be asked for.
                    let _ = self.servers.with(place, |connection, env| {
                        connection.ask(env, pair(from, to), resolves)
                    });
                }
            }
            Step::Forge { place, from, to } => {
                let established = |event: &Event| matches!(event, Event::Established { .. });
                let ready = |place: &usize| self.servers.sides[*place].saw(established);
                if let Some(place) = self.choose(place).filter(ready) {
                    let (from, to) = names(from, to);
                    let text = self.stanza(from, to, true);
                    self.damage(place);
                    self.servers.sides[place].wire.extend(text.bytes());
                }
            }
            Step::Wait(seconds) => self.wait(seconds.into()),
            Step::Deliver(_) | Step::Talk(_) => {}
        }
        self.settle();
    }

    /// Time passes. Whoever's patience ends closes its transport, whatever is on its way there.
    fn wait(&mut self, seconds: u64) {
        let open = |world: &Self, place: &usize| !world.servers.sides[*place].closed;
        let before: Vec<usize> = (0..self.places.len())
            .filter(|place| open(self, place))
            .collect();
        self.servers.wait(Duration::from_secs(seconds));
        for place in before {
            if !open(self, &place) {
                self.damage(place);
            }
        }
    }

    fn deliver_all(&mut self) -> usize {
        let count = self.places.len();
        (0..count).map(|place| self.deliver(place)).sum()
    }

    fn finish(mut self) {
        self.refuse = 0;
        for _ in 0..6 {
            let mut rounds = 0;
            while self.deliver_all() > 0 {
                rounds += 1;
                assert!(rounds < 1000, "they never stop");
            }
            self.wait(60);
            self.settle();
        }
        for peers in &self.peers {
            assert_eq!(peers.waiting(), 0, "stanzas wait for ever");
        }
        for (id, fate) in self
            .fates
            .iter()
            .enumerate()
            .filter(|(_, fate)| !fate.forged)
        {
            let told = fate.arrived + fate.returned;
            let lost = fate.carried.is_some_and(|place| {
                told == 0 && self.places[place].damaged && self.servers.sides[place].end().is_some()
            });
            assert!(told == 1 || lost, "{id}: {fate:?}");
        }
    }
}

/// Two domains of different servers; often the same two, so that their connections cross.
fn names(from: u8, to: u8) -> (&'static str, &'static str) {
    let all: Vec<&str> = DOMAINS.concat();
    match from {
        0..70 => return (all[0], all[3]),
        70..100 => return (all[3], all[0]),
        _ => {}
    }
    let from = all[usize::from(from) % all.len()];
    let others: Vec<&str> = all
        .into_iter()
        .filter(|name| home(name) != home(from))
        .collect();
    (from, others[usize::from(to) % others.len()])
}

fn step() -> impl Strategy<Value = Step> {
    let two = || (any::<u8>(), any::<u8>());
    let three = || (any::<u8>(), any::<u8>(), any::<u8>());
    prop_oneof![
        10 => two().prop_map(|(from, to)| Step::Send { from, to }),
        3 => two().prop_map(|(from, to)| Step::Cross { from, to }),
        14 => any::<u8>().prop_map(Step::Deliver),
        8 => any::<u8>().prop_map(Step::Talk),
        4 => Just(Step::DeliverAll),
        1 => any::<u8>().prop_map(Step::Cut),
        2 => any::<u8>().prop_map(Step::Close),
        1 => Just(Step::Refuse),
        3 => three().prop_map(|(place, from, to)| Step::Ask { place, from, to }),
        1 => three().prop_map(|(place, from, to)| Step::Forge { place, from, to }),
        1 => (0u8..40).prop_map(Step::Wait),
    ]
}

fn setup() -> impl Strategy<Value = Setup> {
    let flags = || any::<[bool; 3]>();
    let rest = (
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        prop_oneof![Just(usize::MAX), Just(5)],
    );
    let sharing = (flags(), flags(), flags());
    (any::<[[bool; 3]; 3]>(), flags(), sharing, rest).prop_map(|(proved, bidi, sharing, rest)| {
        Setup {
            proved,
            bidi,
            multiplex: sharing.0,
            reverse: sharing.1,
            located: sharing.2,
            starttls: rest.0,
            idle: rest.1,
            safe: rest.2,
            piece: rest.3,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn stanzas_go_where_they_may_and_none_is_lost_without_a_word(
        setup in setup(),
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let mut world = World::new(setup);
        for step in steps {
            world.step(step);
        }
        world.finish();
    }
}
