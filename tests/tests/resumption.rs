//! Exactly once: a stream cut at every byte of an exchange, and again while it is resumed.
//!
//! The ways that came later share their exchange of stanzas with the others, so of that they are cut at a sample of its bytes;
//! of what is theirs, the negotiation and the resumption, at every byte.
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
    for at in 0..total {
        cut_twice(way, level, granted_at, [at, at * 7 % RESUMPTION]);
    }
    println!("{way:?} {level:?}: {total} cuts, a session from byte {granted_at} on");
}

/// The same at every byte of the negotiation, of the stanzas behind it for a while, and of the resumption; and at every 29th of
/// what is the same for every way.
fn cut_where_it_differs(way: Way, level: Level) {
    let whole = uncut(way, level);
    let total = *whole.delivered.last().unwrap();
    let granted_at = whole.granted_at.unwrap();
    let negotiation = 0..granted_at + 300;
    let exchange = (negotiation.end..total).step_by(29);
    let mut cuts = 0;
    let mut by_token = 0;
    for at in negotiation.clone().chain(exchange) {
        by_token += cut_twice(way, level, granted_at, [at, at * 7 % WITHIN_LOGIN]);
        cuts += 1;
    }
    for again in 0..WITHIN_LOGIN {
        let at = negotiation.end + again * 7 % 2000;
        by_token += cut_twice(way, level, granted_at, [at, again]);
        cuts += 1;
    }
    assert!(
        by_token > cuts / 8,
        "{by_token} of {cuts} without a password"
    );
    println!(
        "{way:?} {level:?}: {cuts} cuts of {total} bytes, {by_token} resumed without a password"
    );
}

/// What is said on a second connection until the exchange goes on is about this much.
const RESUMPTION: usize = 1200;
/// The same within a login by SASL2.
const WITHIN_LOGIN: usize = 2400;

/// Cuts the first connection and the second; how many resumptions needed no password.
fn cut_twice(way: Way, level: Level, granted_at: usize, cuts: [usize; 2]) -> usize {
    let [at, again] = cuts;
    let case = Case {
        way,
        level,
        stanzas: STANZAS,
        cuts: [Some(at), Some(again), None],
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
    world.by_token
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

#[test]
fn exactly_once_or_handed_back_by_a_token_of_fast() {
    cut_where_it_differs(Way::Fast, Level::Safe);
}

#[test]
fn exactly_once_or_handed_back_by_a_key_single_use() {
    cut_where_it_differs(Way::Key(Rotation::SingleUse), Level::Off);
}

#[test]
fn exactly_once_or_handed_back_by_a_key_grace() {
    cut_where_it_differs(Way::Key(Rotation::GraceUntilConfirmed), Level::Safe);
}

#[test]
fn exactly_once_or_handed_back_by_a_key_within_sasl2_single_use() {
    cut_where_it_differs(Way::KeyLogin(Rotation::SingleUse), Level::Safe);
}

#[test]
fn exactly_once_or_handed_back_by_a_key_within_sasl2_grace() {
    cut_where_it_differs(Way::KeyLogin(Rotation::GraceUntilConfirmed), Level::Off);
}
