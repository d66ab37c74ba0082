//! Whatever happens to a store, in whatever order: no token is good twice.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

use core::time::Duration;

use onetrip_isr::{Claim, Rotation, Token, TokenHash, Tokens};
use onetrip_stream::{Instant, Jid};
use proptest::prelude::*;

fn jid(text: &str) -> Jid {
    text.parse().unwrap()
}

fn juliet() -> Jid {
    jid("juliet@capulet.lit")
}

fn hash(text: &str) -> TokenHash {
    Token::read(text).unwrap().hash()
}

fn claim(text: &str) -> Claim {
    Claim::Token(hash(text))
}

/// What may happen to a store. Tokens are numbers: `old` picks among those that were ever handed out.
#[derive(Debug, Clone)]
enum Step {
    Issue { session: u8 },
    Swap { old: usize, mine: bool },
    Confirm { session: u8 },
    Revoke { old: usize },
    RevokeSession { session: u8 },
    RevokeAccount,
    Prolong { session: u8 },
    Expire,
    Wait { millis: u64 },
    Store,
}

fn step() -> impl Strategy<Value = Step> {
    let session = 0..3_u8;
    prop_oneof![
        2 => session.clone().prop_map(|session| Step::Issue { session }),
        8 => (0..64_usize, prop::bool::weighted(0.9))
            .prop_map(|(old, mine)| Step::Swap { old, mine }),
        2 => session.clone().prop_map(|session| Step::Confirm { session }),
        1 => (0..64_usize).prop_map(|old| Step::Revoke { old }),
        1 => session.clone().prop_map(|session| Step::RevokeSession { session }),
        1 => Just(Step::RevokeAccount),
        1 => session.prop_map(|session| Step::Prolong { session }),
        1 => Just(Step::Expire),
        1 => (0..60_u64).prop_map(|millis| Step::Wait { millis }),
        1 => Just(Step::Store),
    ]
}

struct World {
    tokens: Tokens,
    /// Every token there ever was: its session, and how often it was accepted.
    handed_out: Vec<(String, u32)>,
    now: Instant,
}

impl World {
    fn fresh(&mut self, session: String) -> TokenHash {
        self.handed_out.push((session, 0));
        hash(&format!("t{}", self.handed_out.len()))
    }

    fn old(&self, pick: usize) -> Option<(usize, Claim)> {
        let at = pick.checked_rem(self.handed_out.len())?;
        // The latest first, so that those that are alive come up often.
        let number = self.handed_out.len().checked_sub(at)?;
        Some((number.checked_sub(1)?, claim(&format!("t{number}"))))
    }

    fn until(&self) -> Instant {
        self.now + Duration::from_millis(100)
    }

    fn swap(&mut self, pick: usize, mine: bool) {
        let Some((at, claim)) = self.old(pick) else {
            return;
        };
        let account = jid(if mine {
            "juliet@capulet.lit"
        } else {
            "romeo@capulet.lit"
        });
        let session = self.handed_out[at].0.clone();
        let fresh = self.fresh(session.clone());
        match self.tokens.swap(&claim, fresh, Some(&account), self.now) {
            Ok(found) => {
                assert!(mine, "somebody else's token was taken");
                assert_eq!(found, session, "a token led to another session");
                self.handed_out[at].1 += 1;
            }
            // What was not accepted was never handed out.
            Err(_) => drop(self.handed_out.pop()),
        }
    }

    fn apply(&mut self, step: &Step) {
        let name = |session: &u8| format!("s{session}");
        match step {
            Step::Issue { session } => {
                let fresh = self.fresh(name(session));
                let until = self.until();
                self.tokens.issue(fresh, &juliet(), &name(session), until);
            }
            Step::Swap { old, mine } => self.swap(*old, *mine),
            Step::Confirm { session } => self.tokens.confirm(&name(session)),
            Step::Revoke { old } => {
                if let Some((_, claim)) = self.old(*old) {
                    self.tokens.revoke(&claim);
                }
            }
            Step::RevokeSession { session } => self.tokens.revoke_session(&name(session)),
            Step::RevokeAccount => self.tokens.revoke_account(&juliet()),
            Step::Prolong { session } => self.tokens.prolong(&name(session), self.until()),
            Step::Expire => self.tokens.expire(self.now),
            Step::Wait { millis } => self.now = self.now + Duration::from_millis(*millis),
            Step::Store => {
                self.tokens = Tokens::from_bytes(&self.tokens.to_bytes()).unwrap();
            }
        }
    }

    /// Which tokens of each session would be accepted now.
    fn alive(&self) -> Vec<(String, usize)> {
        let would = |at: &usize| {
            let claim = claim(&format!("t{}", at.saturating_add(1)));
            let mut probe = self.tokens.clone();
            probe
                .swap(&claim, hash("probe"), Some(&juliet()), self.now)
                .is_ok()
        };
        let all = 0..self.handed_out.len();
        all.filter(would)
            .map(|at| (self.handed_out[at].0.clone(), at))
            .collect()
    }
}

fn run(rotation: Rotation, steps: &[Step], mut check: impl FnMut(&World)) {
    let mut world = World {
        tokens: Tokens::new(rotation),
        handed_out: Vec::new(),
        now: Instant::EPOCH,
    };
    for step in steps {
        world.apply(step);
        // The index is made anew from the records here, so nothing is left in it that should be gone.
        let stored = Tokens::from_bytes(&world.tokens.to_bytes());
        assert_eq!(stored.as_ref(), Ok(&world.tokens));
        check(&world);
    }
}

/// The most that any session has alive.
fn most(world: &World) -> usize {
    let alive = world.alive();
    let of = |name: &String| alive.iter().filter(|(session, _)| session == name).count();
    alive.iter().map(|(name, _)| of(name)).max().unwrap_or(0)
}

proptest! {
    #[test]
    fn isr_24_no_token_is_ever_accepted_twice(steps in prop::collection::vec(step(), 0..60)) {
        run(Rotation::SingleUse, &steps, |world| {
            assert!(world.handed_out.iter().all(|(_, accepted)| *accepted <= 1));
            assert!(most(world) <= 1);
        });
    }

    #[test]
    fn isr_r3_with_grace_two_tokens_of_a_session_are_alive_at_most_and_one_once_confirmed(
        steps in prop::collection::vec(step(), 0..60)
    ) {
        run(Rotation::GraceUntilConfirmed, &steps, |world| {
            assert!(most(world) <= 2);
            let mut confirmed = World {
                tokens: world.tokens.clone(),
                handed_out: world.handed_out.clone(),
                now: world.now,
            };
            for session in 0..3 {
                confirmed.apply(&Step::Confirm { session });
            }
            assert!(most(&confirmed) <= 1);
        });
    }
}
