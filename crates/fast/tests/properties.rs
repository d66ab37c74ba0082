//! Whatever happens to a store, in whatever order.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

mod common;

use common::{World, at};
use onetrip_fast::{Login, Refused};
use proptest::prelude::*;

/// What may happen between a client and a server.
#[derive(Debug, Clone)]
enum Step {
    Password,
    Token { arrives: bool },
    Replay { which: usize, early: bool },
    Wait { seconds: u64 },
    Expire,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => Just(Step::Password),
        6 => prop::bool::ANY.prop_map(|arrives| Step::Token { arrives }),
        4 => (0..32_usize, prop::bool::ANY).prop_map(|(which, early)| Step::Replay { which, early }),
        3 => (0..40_u64).prop_map(|seconds| Step::Wait { seconds }),
        1 => Just(Step::Expire),
    ]
}

proptest! {
    /// A client whose answers get lost never needs its password while it comes back often enough, whoever replays what;
    /// early data is accepted once, and never more than two tokens are alive.
    #[test]
    fn rotation_survives_losses_and_no_early_data_is_accepted_twice(
        steps in prop::collection::vec(step(), 0..40)
    ) {
        let mut world = World::with_token();
        let mut sent: Vec<(Login, bool)> = Vec::new();
        let mut clock = 0_u64;
        for step in &steps {
            match step {
                Step::Password => drop(world.password()),
                Step::Token { arrives } => {
                    if world.wallet.is_empty(world.now) {
                        prop_assert!(world.password());
                    }
                    let login = world.client().login(world.now).unwrap();
                    let result = world.token(*arrives);
                    // Nobody else has used anything of hers that came behind the handshake.
                    prop_assert!(result.is_ok(), "{:?}", result);
                    sent.push((login, true));
                }
                Step::Replay { which, early: true } => {
                    let Some((login, used)) = sent.get(which % sent.len().max(1)).cloned() else {
                        continue;
                    };
                    let inline = [login.element.clone()];
                    let result = world.serve(&login, &inline, true).map(drop);
                    prop_assert!(used && result.is_err());
                }
                Step::Replay { .. } => {}
                Step::Wait { seconds } => {
                    clock += seconds;
                    world.now = at(clock);
                }
                Step::Expire => world.tokens.expire(world.now),
            }
            let alive: std::collections::BTreeSet<String> = sent
                .iter()
                .filter(|(login, _)| {
                    let before = world.tokens.clone();
                    let inline = [login.element.clone()];
                    let result = world.serve(login, &inline, false);
                    world.tokens = before;
                    !matches!(result, Err(Refused::Unknown | Refused::Expired))
                })
                .map(|(login, _)| login.token.expose().to_owned())
                .collect();
            prop_assert!(alive.len() <= 2);
        }
    }
}
