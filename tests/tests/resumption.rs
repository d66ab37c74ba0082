//! Exactly once: a stream cut at every byte of an exchange, and again while it is resumed.
#![allow(clippy::unwrap_used, clippy::panic)]

use onetrip_core::isr::Rotation;
use onetrip_core::quickstart::Level;
use onetrip_tests::cuts::{Case, Way, World};

const STANZAS: u32 = 200;

fn uncut(way: Way, level: Level) -> World {
    let world = World::run(Case {
        way,
        level,
        stanzas: STANZAS,
        cuts: [None; 3],
        noticed: true,
        abrupt: false,
    });
    world.check().unwrap();
    let back = world.fates.each_ref().map(|fate| fate.handed_back.len());
    assert_eq!(back, [0, 0]);
    world
}

/// Cuts the first connection at every byte, and the second somewhere in its resumption, so that each byte of that is
/// met too. The server sees one half of the cuts, and learns of the other half from the next connection; half of them come
/// in the same read as the last bytes.
fn cut_everywhere(way: Way, level: Level) {
    let whole = uncut(way, level);
    let total = *whole.delivered.last().unwrap();
    let granted_at = whole.granted_at.unwrap();
    // What is said on a second connection until the exchange goes on is about this much.
    let resumption = 1200;
    for at in 0..total {
        let case = Case {
            way,
            level,
            stanzas: STANZAS,
            cuts: [Some(at), Some(at * 7 % resumption), None],
            noticed: at % 2 == 0,
            abrupt: at / 2 % 2 == 0,
        };
        let world = World::run(case);
        if let Err(problem) = world.check() {
            panic!("{case:?}: {problem}");
        }
        // Once the client knows its session, nothing has to be handed back.
        let back = world.fates.each_ref().map(|fate| fate.handed_back.len());
        let kept = world.resumed > 0 && back == [0, 0];
        assert!(kept || at < granted_at, "{case:?}: {:?}", world.fates);
    }
    println!("{way:?} {level:?}: {total} cuts, a session from byte {granted_at} on");
}

#[test]
fn exactly_once_or_handed_back_xep_0198() {
    cut_everywhere(Way::Login, Level::Off);
}

#[test]
fn exactly_once_or_handed_back_xep_0198_quickstart() {
    cut_everywhere(Way::Login, Level::Full);
}

#[test]
fn exactly_once_or_handed_back_isr_single_use() {
    cut_everywhere(Way::Token(Rotation::SingleUse), Level::Off);
}

#[test]
fn exactly_once_or_handed_back_isr_grace() {
    cut_everywhere(Way::Token(Rotation::GraceUntilConfirmed), Level::Full);
}

#[test]
fn exactly_once_or_handed_back_within_sasl2() {
    cut_everywhere(Way::Inline, Level::Off);
}

#[test]
fn exactly_once_or_handed_back_within_sasl2_from_memory() {
    cut_everywhere(Way::Inline, Level::Safe);
}
