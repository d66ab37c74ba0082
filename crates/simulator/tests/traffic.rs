//! Two servers with one agreement on a slow link that loses and goes away (ZH-26, ZH-R5).
#![allow(clippy::unwrap_used)]

use core::time::Duration;

use onetrip_simulator::{Flow, Lab, Traffic};
use onetrip_tls::rustls::Versions;
use proptest::prelude::*;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn run(traffic: &Traffic) -> Flow {
    Lab::new().unwrap().traffic(traffic).unwrap()
}

/// Once and in order, or back: for each of the two.
fn accounted(flow: &Flow, stanzas: usize) {
    for fate in &flow.fates {
        let delivered: Vec<usize> = fate.delivered.iter().map(|(number, _)| *number).collect();
        for list in [&delivered, &fate.returned] {
            assert!(list.windows(2).all(|two| two[0] < two[1]), "{flow:?}");
        }
        let kept = |number: usize| delivered.contains(&number) || fate.returned.contains(&number);
        assert!((0..stanzas).all(kept), "{flow:?}");
    }
}

fn all_delivered(flow: &Flow, stanzas: usize) {
    accounted(flow, stanzas);
    for fate in &flow.fates {
        assert_eq!(
            (fate.delivered.len(), fate.returned.len()),
            (stanzas, 0),
            "{flow:?}"
        );
    }
}

/// ZH-02: the first stanza has arrived when TCP, its own bytes and half a trip are over; TLS takes its trips and bytes.
#[test]
fn zh_02_the_first_stanza_arrives_when_it_can() {
    for (tls, least, most) in [(None, 7500, 8500), (Some(Versions::Tls13), 15_000, 19_000)] {
        let flow = run(&Traffic {
            tls,
            ..Traffic::default()
        });
        all_delivered(&flow, 20);
        let first = flow.fates[0].delivered[0].1.as_millis();
        assert!((least..most).contains(&first), "{tls:?}: {first} ms");
        // Both begin at once, so their connections cross (ZH-17).
        assert_eq!(flow.connections, 2);
    }
}

#[test]
fn what_is_lost_on_the_way_is_late_and_in_order() {
    for acknowledged in [true, false] {
        let flow = run(&Traffic {
            lost: 300,
            acknowledged,
            ..Traffic::default()
        });
        all_delivered(&flow, 20);
    }
}

/// An outage that TCP outlives delays; one that it does not costs what was in flight, which comes back where it was agreed
/// to acknowledge, and is lost without a word where it was not (ZH-26).
#[test]
fn zh_26_an_outage_delays_or_hands_back() {
    let with = |length, acknowledged| {
        run(&Traffic {
            outages: vec![(seconds(52), seconds(length))],
            acknowledged,
            ..Traffic::default()
        })
    };
    all_delivered(&with(60, true), 20);
    let long = with(400, true);
    accounted(&long, 20);
    assert!(long.connections > 2, "{long:?}");
    assert!(long.fates.iter().any(|fate| !fate.returned.is_empty()));
    let unknown = with(400, false);
    let fates = &unknown.fates;
    assert!(
        fates
            .iter()
            .any(|fate| fate.delivered.len() + fate.returned.len() < 20)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn zh_26_whatever_the_weather_everything_is_accounted_for(
        lost in 0_u32..300,
        outages in proptest::collection::vec((0_u64..400, 1_u64..500), 0..4),
        every in 0_u64..30,
        tls in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let traffic = Traffic {
            lost,
            outages: outages.into_iter().map(|(at, length)| (seconds(at), seconds(length))).collect(),
            tls: tls.then_some(Versions::Tls13),
            every: seconds(every),
            seed,
            ..Traffic::default()
        };
        let flow = run(&traffic);
        accounted(&flow, 20);
        prop_assert_eq!(run(&traffic), flow, "the same seed gives the same");
    }
}
