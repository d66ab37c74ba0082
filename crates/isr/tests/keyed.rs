//! The second and the third text: a key is proved by both ends, again and again.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use onetrip_isr::{
    KeyGrant, Keys, LoginAction, LoginReceiver, Refused, Rotation, Ticket, Token, Verdict,
};
use onetrip_stream::{Env, Instant};
use proptest::prelude::*;

#[test]
fn a_session_is_resumed_again_and_again_with_a_new_key_at_every_split() {
    for text in BOTH {
        let mut world = World::new(text, Rotation::default());
        for split in 0..200 {
            world.split = split;
            world.resume();
        }
        assert_eq!(world.keys.len(), 1);
    }
}

#[test]
fn isr_24_and_r3_a_lost_answer_costs_a_login_or_with_grace_nothing() {
    for text in BOTH {
        let mut single = World::new(text, Rotation::SingleUse);
        assert!(single.connect(Some(&juliet())).is_ok());
        let session = "s1".to_owned();
        let refused = single.connect(Some(&juliet()));
        assert_eq!(
            refused,
            Err(Refused::Proof {
                session: session.clone()
            })
        );
        assert!(single.keys.is_empty());

        let mut grace = World::new(text, Rotation::GraceUntilConfirmed);
        for _ in 0..3 {
            assert!(grace.connect(Some(&juliet())).is_ok());
        }
        let before = grace.ticket.clone();
        grace.resume();
        grace.resume();
        grace.ticket = before;
        assert_eq!(
            grace.connect(Some(&juliet())),
            Err(Refused::Proof { session })
        );
    }
}

#[test]
fn isr_r3_a_confirmed_key_leaves_no_other() {
    for text in BOTH {
        let mut world = World::new(text, Rotation::GraceUntilConfirmed);
        let before = world.ticket.clone();
        world.resume();
        world.keys.confirm("s1");
        world.ticket = before;
        assert!(matches!(
            world.connect(Some(&juliet())),
            Err(Refused::Proof { .. })
        ));
    }
}

/// A relayed request is bound to the certificate that the client saw.
#[test]
fn a_proof_for_another_certificate_is_none_and_kills_the_key() {
    for text in BOTH {
        let mut world = World::new(text, Rotation::default());
        world.certificates = ("one", "two");
        let session = "s1".to_owned();
        assert_eq!(
            world.connect(Some(&juliet())),
            Err(Refused::Proof { session })
        );
        world.certificates = ("one", "one");
        assert_eq!(world.connect(Some(&juliet())), Err(Refused::Unknown));
    }
}

/// Nobody ends another's session by naming it.
#[test]
fn isr_27_another_account_is_refused_and_touches_nothing() {
    for text in BOTH {
        let mut world = World::new(text, Rotation::default());
        for from in [None, Some("romeo@capulet.lit".parse().unwrap())] {
            assert_eq!(world.connect(from.as_ref()), Err(Refused::Account));
        }
        world.resume();
    }
}

#[test]
fn isr_29_a_key_ends_with_its_time_and_is_gone_then() {
    let world = World::new(Text::Third, Rotation::default());
    let claim = |mechanism: Option<&str>| {
        let mut server = LoginReceiver::new();
        let mut entropy = |out: &mut [u8]| out.fill(3);
        let env = &mut Env::new(Instant::EPOCH, &mut entropy);
        let request = world.client().request(1).unwrap();
        server.login(env, &request, mechanism.unwrap(), world.proof());
        match server.poll_action() {
            Some(LoginAction::Prove(swap)) => swap,
            other => panic!("{other:?}"),
        }
    };
    let swap = claim(Some(MECHANISM));
    let session = "s1".to_owned();
    let mut keys = world.keys.clone();
    let refused = keys.swap(&swap, Some(&juliet()), END).unwrap_err();
    assert_eq!(
        refused,
        Refused::Expired {
            session: session.clone()
        }
    );
    assert_eq!(refused.condition(), "item-not-found");
    assert!(keys.is_empty());
    // XEP-0397 §3: the mechanism is pinned.
    let mut keys = world.keys.clone();
    let other = claim(Some("HT-SHA-256-NONE"));
    let refused = keys.swap(&other, Some(&juliet()), Instant::EPOCH);
    assert_eq!(refused.unwrap_err(), Refused::Proof { session });
    // What lives on, and what does not.
    for (kill, left) in [
        (
            (|keys: &mut Keys| keys.expire(Instant::from_millis(999))) as fn(&mut Keys),
            1,
        ),
        (|keys| keys.expire(END), 0),
        (|keys| keys.revoke_session("s1"), 0),
        (
            |keys| keys.revoke_account(&"juliet@capulet.lit/x".parse().unwrap()),
            0,
        ),
        (
            |keys| keys.revoke_account(&"romeo@capulet.lit".parse().unwrap()),
            1,
        ),
        (
            |keys| {
                keys.prolong("s1", Instant::from_millis(2_000));
                keys.expire(END);
            },
            1,
        ),
    ] {
        let mut keys = world.keys.clone();
        kill(&mut keys);
        assert_eq!(keys.len(), left);
    }
}

#[test]
fn isr_15_a_fresh_key_that_is_known_is_not_fresh_and_nothing_changes() {
    let mut world = World::new(Text::Second, Rotation::default());
    // The source of entropy yields what it has yielded before.
    world.seed = 0;
    let before = world.keys.clone();
    assert_eq!(world.connect(Some(&juliet())), Err(Refused::NotFresh));
    assert_eq!(world.keys, before);
}

/// What may happen to a store between two texts: `old` picks among the tickets there ever were.
#[derive(Debug, Clone)]
enum Step {
    Resume { old: usize, arrives: bool },
    Confirm,
    Issue,
    Store,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..16_usize, prop::bool::ANY).prop_map(|(old, arrives)| Step::Resume { old, arrives }),
        1 => Just(Step::Confirm),
        1 => Just(Step::Issue),
        1 => Just(Step::Store),
    ]
}

proptest! {
    /// ISR-24: whatever is tried in whatever order, no key is accepted twice, and a wrong one leaves none.
    #[test]
    fn isr_24_no_key_is_ever_accepted_twice(
        steps in prop::collection::vec(step(), 0..40), third in prop::bool::ANY
    ) {
        let text = if third { Text::Third } else { Text::Second };
        let mut world = World::new(text, Rotation::SingleUse);
        let mut tickets = vec![(world.ticket.clone(), false)];
        for step in &steps {
            match step {
                Step::Confirm => world.keys.confirm("s1"),
                Step::Store => world.keys = Keys::from_bytes(&world.keys.to_bytes()).unwrap(),
                Step::Issue => {
                    let fresh = Token::read(&format!("k{}", tickets.len())).unwrap();
                    let mechanism = third.then_some(MECHANISM);
                    let grant = KeyGrant::new(fresh.clone(), mechanism);
                    world.keys.issue(&grant, &juliet(), "s1", END);
                    let dialect = world.ticket.dialect.clone();
                    tickets.push((Ticket::of(dialect, fresh, None), false));
                }
                Step::Resume { old, arrives } => {
                    let at = tickets.len().saturating_sub(1).saturating_sub(*old);
                    world.ticket = tickets[at].0.clone();
                    match world.connect(Some(&juliet())) {
                        Ok(verdict) => {
                            prop_assert!(!tickets[at].1, "accepted twice");
                            tickets[at].1 = true;
                            if let (Ok(Verdict::Resumed { ticket, .. }), true) = (verdict, arrives) {
                                tickets.push((ticket, false));
                            }
                        }
                        Err(Refused::Proof { .. }) => prop_assert!(world.keys.is_empty()),
                        Err(refused) => prop_assert_eq!(refused, Refused::Unknown),
                    }
                }
            }
        }
    }
}
