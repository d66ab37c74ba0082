//! Three servers that remember each other from one connection to the next, at every level of running ahead: whatever
//! certificates and bidirectional streams they have, everybody reaches everybody, and over random schedules nothing is lost in
//! silence. What may go where is `three_servers`.
#![allow(clippy::unwrap_used, clippy::panic)]

use onetrip_core::quickstart::Level;
use onetrip_tests::realm::Realm;
use proptest::prelude::*;

/// `None` leaves it to what is remembered.
const LEVELS: [Option<Level>; 3] = [Some(Level::Off), Some(Level::Paced), None];

/// Whatever they have, everybody reaches everybody.
#[test]
fn everybody_reaches_everybody() {
    for kind in 0..64 {
        for level in LEVELS {
            let mut realm = Realm::new(kind, level);
            for from in 0..6 {
                for to in 0..4 {
                    realm.send(from, to);
                }
            }
            realm.finish();
            realm.assert_nothing_is_lost(false);
            let delivered = realm.fates.iter().map(|fate| fate.delivered).sum::<u32>();
            assert_eq!(delivered, 24, "{kind:06b} {level:?}");
        }
    }
}

/// With bidi and certificates one connection is enough between two servers, if only one of them has something to say first.
#[test]
fn one_connection_carries_both_directions() {
    let mut realm = Realm::new(0b11_1111, None);
    realm.send(0, 0);
    realm.finish();
    realm.send(2, 2);
    realm.finish();
    realm.assert_nothing_is_lost(false);
    assert_eq!(realm.connections(), 1);
    let mut realm = Realm::new(0b11_1000, None);
    realm.send(0, 0);
    realm.finish();
    realm.send(2, 2);
    realm.finish();
    realm.assert_nothing_is_lost(false);
    assert_eq!(realm.connections(), 2);
}

fn run(realm: &mut Realm, steps: &[(u8, usize, usize)], cuts: bool) {
    for (kind, which, much) in steps {
        match kind {
            0..=5 => realm.send(which % 6, much % 4),
            6 => realm.close(*which),
            7 if cuts => realm.cut(*which),
            _ => realm.deliver(*which, 1 + much % 600),
        }
    }
    realm.finish();
    realm.assert_nothing_is_lost(cuts);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn vanaheimr_s9b_nothing_goes_astray(
        kind in 0_u8..64,
        level in 0_usize..3,
        cuts in any::<bool>(),
        steps in prop::collection::vec((0_u8..40, 0_usize..64, 0_usize..4096), 0..150),
    ) {
        let mut realm = Realm::new(kind, LEVELS[level]);
        run(&mut realm, &steps, cuts);
    }
}
