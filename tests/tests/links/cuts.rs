//! A link that is cut at every byte, with acknowledgements agreed: what was sent arrives once and in order, or comes back
//! (ZH-26, ZH-R5).

use std::time::Duration;

use onetrip_core::zero_handshake::Terms;
use onetrip_tests::links::{AIR, GROUND, Links, acknowledged};
use proptest::prelude::*;

const EACH: usize = 12;

fn chatty(of: usize) -> Terms {
    let mut terms = acknowledged(of);
    if let Some(acks) = &mut terms.presets.acknowledgements {
        acks.request_after = 3;
        acks.volunteer_after = 4;
    }
    terms
}

/// What goes wrong with links, and how they are closed.
#[derive(Debug, Clone)]
struct Weather {
    cuts: Vec<[Option<usize>; 2]>,
    /// Behind so many stanzas an end closes whatever it has open.
    closes: Vec<(usize, usize)>,
    piece: usize,
    /// Whether the air deals with what comes in.
    handles: bool,
}

impl Weather {
    fn fair() -> Self {
        Self {
            cuts: Vec::new(),
            closes: Vec::new(),
            piece: usize::MAX,
            handles: true,
        }
    }
}

/// Both send at once; returns what each end wrote on the first link.
fn exchange(weather: &Weather) -> (Links, [usize; 2]) {
    let mut links = Links::new([chatty(GROUND), chatty(AIR)]);
    links.cuts.extend(&weather.cuts);
    links.piece = weather.piece;
    links.parties[AIR].handles = weather.handles;
    for number in 0..EACH {
        links.send(GROUND, number);
        links.send(AIR, number);
        if links.parties[GROUND].wants && links.wires.is_empty() {
            links.open(GROUND);
        }
        for wire in 0..links.wires.len() {
            for (_, party) in weather.closes.iter().filter(|(at, _)| *at == number) {
                links.with(wire, *party, |connection, env| connection.close(env));
            }
            for from in [GROUND, AIR] {
                links.deliver(wire, from);
            }
        }
    }
    links.wait(Duration::from_secs(300));
    let wrote = [0, 1].map(|from| links.wires[0].written[from].len());
    (links, wrote)
}

/// The property, for what one end has sent and the other has got.
fn accounted(links: &Links, what: &str) {
    for (from, to) in [(GROUND, AIR), (AIR, GROUND)] {
        let (got, returned) = (&links.parties[to].got, &links.parties[from].returned);
        let rising = |list: &[usize]| list.windows(2).all(|two| two[0] < two[1]);
        assert!(rising(got), "{what}: once and in order: {got:?}");
        assert!(
            rising(returned),
            "{what}: back once and in order: {returned:?}"
        );
        for number in 0..EACH {
            assert!(
                got.contains(&number) || returned.contains(&number),
                "{what}: {number} of {from} is lost: {got:?} {returned:?}"
            );
        }
        assert_eq!(links.parties[from].peer.waiting(), 0, "{what}");
    }
}

#[test]
fn zh_26_without_a_cut_nothing_comes_back() {
    let (links, wrote) = exchange(&Weather::fair());
    accounted(&links, "whole");
    assert!(links.parties.iter().all(|party| party.returned.is_empty()));
    assert!(links.parties.iter().all(|party| party.got.len() == EACH));
    assert!(wrote.iter().all(|bytes| *bytes > 900), "{wrote:?}");
}

#[test]
fn zh_26_cut_at_every_byte_of_either_direction_everything_is_accounted_for() {
    let (_, wrote) = exchange(&Weather::fair());
    let (mut back, mut both) = (0, 0);
    for from in [GROUND, AIR] {
        for byte in 0..=wrote[from] {
            let mut cut = [None; 2];
            cut[from] = Some(byte);
            let cuts = vec![cut];
            let (links, _) = exchange(&Weather {
                cuts,
                ..Weather::fair()
            });
            accounted(&links, &format!("cut at {byte} of {from}"));
            back += links
                .parties
                .iter()
                .map(|party| party.returned.len())
                .sum::<usize>();
            both += usize::from(links.wires.len() > 1);
        }
    }
    assert!(back > 0 && both > 0, "the cuts had something to cut");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Link after link is cut or closed, in pieces of any size, and one application is slow to take what comes.
    #[test]
    fn zh_26_cut_again_and_again_everything_is_accounted_for(
        cuts in proptest::collection::vec([proptest::option::of(0_usize..1500), proptest::option::of(0_usize..1500)], 0..6),
        closes in proptest::collection::vec((0..EACH, 0_usize..2), 0..3),
        piece in prop_oneof![1_usize..40, Just(usize::MAX)],
        handles in any::<bool>(),
    ) {
        let weather = Weather { cuts, closes, piece, handles };
        let (links, _) = exchange(&weather);
        accounted(&links, "again and again");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Where links are only ever closed, nothing that has arrived comes back as well, and nothing is lost.
    #[test]
    fn zh_22_closed_again_and_again_every_stanza_has_one_fate(
        closes in proptest::collection::vec((0..EACH, 0_usize..2), 1..5),
        piece in prop_oneof![1_usize..40, Just(usize::MAX)],
    ) {
        let (links, _) = exchange(&Weather { closes, piece, ..Weather::fair() });
        accounted(&links, "closed");
        for (from, to) in [(GROUND, AIR), (AIR, GROUND)] {
            let fates = links.parties[to].got.len() + links.parties[from].returned.len();
            prop_assert_eq!(fates, EACH);
        }
    }
}

/// A clean close acknowledges what the application has dealt with by then: nothing comes back that was taken.
#[test]
fn zh_22_a_clean_close_waits_for_the_application_and_loses_nothing() {
    for byte_by_byte in [false, true] {
        let mut links = Links::new([chatty(GROUND), chatty(AIR)]);
        links.piece = if byte_by_byte { 1 } else { usize::MAX };
        links.parties[AIR].handles = false;
        for number in 0..5 {
            links.send(GROUND, number);
        }
        links.talk();
        links.with(0, GROUND, |connection, env| connection.close(env));
        links.talk();
        assert!(
            links.parties[GROUND].ends.is_empty(),
            "the air has not dealt with it"
        );
        links.with(0, AIR, |connection, _| connection.handled(5));
        links.talk();
        assert_eq!(links.parties[AIR].got, [0, 1, 2, 3, 4]);
        assert!(links.parties[GROUND].returned.is_empty());
        for party in &links.parties {
            assert!(matches!(party.ends[..], [onetrip_core::End::Clean]));
        }
    }
}

/// The peer is silent and no transport says so: the question goes unanswered, and what was in flight comes back.
#[test]
fn zh_r5_silence_ends_a_link_and_hands_back() {
    let mut links = Links::new([chatty(GROUND), chatty(AIR)]);
    links.send(GROUND, 0);
    links.talk();
    links.wait(Duration::from_secs(10));
    links.parties[AIR].links.clear(); // gone without a word
    links.send(GROUND, 1);
    links.wait(Duration::from_secs(64));
    assert_eq!(links.parties[GROUND].returned, [1]);
    let end = &links.parties[GROUND].ends[0];
    let onetrip_core::End::Failed(error) = end else {
        panic!("{end:?}")
    };
    let condition = error.condition().map(|condition| condition.name());
    assert_eq!(condition, Some("connection-timeout"));
}

/// The last acknowledgement goes before the footer, from whichever end closes: the peer does not get back what was taken.
#[test]
fn zh_22_the_end_that_closes_says_what_it_has_dealt_with() {
    for closes in [GROUND, AIR] {
        let mut links = Links::new([chatty(GROUND), chatty(AIR)]);
        links.send(GROUND, 0);
        links.talk();
        links.send(AIR, 0);
        links.talk();
        links.with(0, closes, |connection, env| connection.close(env));
        links.talk();
        for party in &links.parties {
            assert_eq!((&party.got[..], &party.returned[..]), (&[0][..], &[][..]));
            assert!(matches!(party.ends[..], [onetrip_core::End::Clean]));
        }
    }
}
