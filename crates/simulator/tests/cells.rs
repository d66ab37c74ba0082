//! The tables of round trips, cell by cell (digest §4.1, §4.3, §7.5, §1.1.5).
#![allow(clippy::unwrap_used, clippy::panic)]

use onetrip_simulator::{Lab, Run, Settings, Strategy};
use onetrip_tls::rustls::Versions;

fn run(lab: &Lab, name: &str, tls: Versions) -> Run {
    let strategy = Strategy::named(name).unwrap();
    let run = lab
        .run(
            &strategy,
            &Settings {
                tls,
                ..Settings::default()
            },
        )
        .unwrap();
    assert!(run.ok(), "{name}: {:?} {:?}", run.endings, run.reports);
    run
}

/// Half round trips to the first stanza, to its answer, and flights after TCP.
type Cell = (u32, u32, usize);

/// For TLS 1.2 and for TLS 1.3: all of digest §4.3 and §4.5 but what is not to be, a token of instant stream resumption or a
/// stanza as early data (ISR-R7, §4.5), and what there is no transport for, FAST over QUIC.
const CELLS: &[(&str, [Cell; 2])] = &[
    ("c2s-classic-starttls-scram", [(20, 22, 18), (18, 20, 16)]),
    ("c2s-classic-starttls-plain", [(18, 20, 16), (16, 18, 14)]),
    (
        "c2s-classic-starttls-external",
        [(18, 20, 16), (16, 18, 14)],
    ),
    ("c2s-classic-direct-scram", [(16, 18, 14), (14, 16, 12)]),
    ("c2s-classic-direct-plain", [(14, 16, 12), (12, 14, 10)]),
    ("c2s-classic-direct-external", [(14, 16, 12), (12, 14, 10)]),
    ("c2s-quickstart-starttls-scram", [(10, 12, 8), (8, 10, 6)]),
    ("c2s-quickstart-starttls-plain", [(8, 10, 6), (6, 8, 4)]),
    ("c2s-quickstart-starttls-external", [(8, 10, 6), (6, 8, 4)]),
    ("c2s-quickstart-direct-scram", [(10, 12, 8), (8, 10, 6)]),
    ("c2s-quickstart-direct-plain", [(8, 10, 6), (6, 8, 4)]),
    ("c2s-quickstart-direct-external", [(8, 10, 6), (6, 8, 4)]),
    (
        "c2s-resume-classic-starttls-scram",
        [(20, 22, 18), (18, 20, 16)],
    ),
    (
        "c2s-resume-classic-direct-scram",
        [(16, 18, 14), (14, 16, 12)],
    ),
    (
        "c2s-resume-quickstart-starttls-scram",
        [(10, 12, 8), (8, 10, 6)],
    ),
    (
        "c2s-resume-quickstart-direct-scram",
        [(10, 12, 8), (8, 10, 6)],
    ),
    ("c2s-isr-starttls", [(12, 14, 10), (10, 12, 8)]),
    ("c2s-isr-quickstart-starttls", [(8, 10, 6), (6, 8, 4)]),
    ("c2s-isr-direct", [(8, 10, 6), (6, 8, 4)]),
    // The later texts cost no more: a key is proved in the same write that shows a token.
    ("c2s-isr-d2-direct", [(8, 10, 6), (6, 8, 4)]),
    ("c2s-isr-d3-direct", [(8, 10, 6), (6, 8, 4)]),
    // Digest §4.5; two connections are twice the one with bidi, less the trip back on it. Direct TLS with quickstart as
    // STARTTLS with it (§4.4).
    (
        "s2s-classic-starttls-external-two",
        [(16, 34, 14), (14, 30, 12)],
    ),
    (
        "s2s-classic-starttls-external-bidi",
        [(16, 18, 14), (14, 16, 12)],
    ),
    (
        "s2s-classic-direct-external-two",
        [(12, 26, 10), (10, 22, 8)],
    ),
    (
        "s2s-classic-direct-external-bidi",
        [(12, 14, 10), (10, 12, 8)],
    ),
    (
        "s2s-quickstart-starttls-external-two",
        [(8, 18, 6), (6, 14, 4)],
    ),
    (
        "s2s-quickstart-starttls-external-bidi",
        [(8, 10, 6), (6, 8, 4)],
    ),
    (
        "s2s-quickstart-direct-external-two",
        [(8, 18, 6), (6, 14, 4)],
    ),
    (
        "s2s-quickstart-direct-external-bidi",
        [(8, 10, 6), (6, 8, 4)],
    ),
    // The same by dialback, whose key is verified in the same way. With quickstart the key waits for the stream's id, and
    // `db:verify` for nothing.
    (
        "s2s-classic-starttls-dialback-two",
        [(28, 58, 24), (24, 50, 20)],
    ),
    (
        "s2s-classic-starttls-dialback-bidi",
        [(28, 30, 24), (24, 26, 20)],
    ),
    (
        "s2s-classic-direct-dialback-two",
        [(20, 42, 16), (16, 34, 12)],
    ),
    (
        "s2s-classic-direct-dialback-bidi",
        [(20, 22, 16), (16, 18, 12)],
    ),
    (
        "s2s-quickstart-starttls-dialback-two",
        [(18, 38, 14), (14, 30, 10)],
    ),
    (
        "s2s-quickstart-starttls-dialback-bidi",
        [(18, 20, 14), (14, 16, 10)],
    ),
    (
        "s2s-quickstart-direct-dialback-two",
        [(18, 38, 14), (14, 30, 10)],
    ),
    (
        "s2s-quickstart-direct-dialback-bidi",
        [(18, 20, 14), (14, 16, 10)],
    ),
    // Digest §4.5: the key is verified over a connection without TLS.
    (
        "s2s-starttls-dialback-clear-two",
        [(20, 42, 16), (18, 38, 14)],
    ),
    (
        "s2s-starttls-dialback-clear-bidi",
        [(20, 22, 16), (18, 20, 14)],
    ),
    // No handshake but TLS's.
    ("s2s-zero-tls", [(6, 8, 4), (4, 6, 2)]),
    ("s2s-zero-tcp", [(2, 4, 0), (2, 4, 0)]),
    // Measured on real servers with TLS 1.3 (digest §1.1.5); one more round trip with TLS 1.2.
    ("c2s-safe-starttls-scram", [(14, 16, 12), (12, 14, 10)]),
    ("c2s-safe-starttls-plain", [(12, 14, 10), (10, 12, 8)]),
    ("c2s-safe-starttls-external", [(12, 14, 10), (10, 12, 8)]),
    ("c2s-safe-direct-scram", [(12, 14, 10), (10, 12, 8)]),
    ("c2s-safe-direct-plain", [(10, 12, 8), (8, 10, 6)]),
    ("c2s-safe-direct-external", [(10, 12, 8), (8, 10, 6)]),
    ("c2s-paced-starttls-scram", [(10, 12, 8), (8, 10, 6)]),
    ("c2s-paced-starttls-plain", [(8, 10, 6), (6, 8, 4)]),
    ("c2s-paced-starttls-external", [(8, 10, 6), (6, 8, 4)]),
    ("c2s-paced-direct-scram", [(10, 12, 8), (8, 10, 6)]),
    ("c2s-paced-direct-plain", [(8, 10, 6), (6, 8, 4)]),
    ("c2s-paced-direct-external", [(8, 10, 6), (6, 8, 4)]),
    // QS-R10 between servers: header, `<bidi/>` and `<auth/>` ride in one write, and so do header and `<starttls/>`.
    (
        "s2s-safe-starttls-external-two",
        [(12, 26, 10), (10, 22, 8)],
    ),
    (
        "s2s-safe-starttls-external-bidi",
        [(12, 14, 10), (10, 12, 8)],
    ),
    (
        "s2s-safe-starttls-dialback-two",
        [(22, 46, 18), (18, 38, 14)],
    ),
    (
        "s2s-safe-starttls-dialback-bidi",
        [(22, 24, 18), (18, 20, 14)],
    ),
    ("s2s-safe-direct-external-two", [(10, 22, 8), (8, 18, 6)]),
    ("s2s-safe-direct-external-bidi", [(10, 12, 8), (8, 10, 6)]),
    ("s2s-safe-direct-dialback-two", [(18, 38, 14), (14, 30, 10)]),
    (
        "s2s-safe-direct-dialback-bidi",
        [(18, 20, 14), (14, 16, 10)],
    ),
    ("s2s-paced-starttls-external-two", [(8, 18, 6), (6, 14, 4)]),
    ("s2s-paced-starttls-external-bidi", [(8, 10, 6), (6, 8, 4)]),
    (
        "s2s-paced-starttls-dialback-two",
        [(18, 38, 14), (14, 30, 10)],
    ),
    (
        "s2s-paced-starttls-dialback-bidi",
        [(18, 20, 14), (14, 16, 10)],
    ),
    ("s2s-paced-direct-external-two", [(8, 18, 6), (6, 14, 4)]),
    ("s2s-paced-direct-external-bidi", [(8, 10, 6), (6, 8, 4)]),
    (
        "s2s-paced-direct-dialback-two",
        [(18, 38, 14), (14, 30, 10)],
    ),
    (
        "s2s-paced-direct-dialback-bidi",
        [(18, 20, 14), (14, 16, 10)],
    ),
    // SASL2 has no restart. Digest §4.3, from memory; STARTTLS is asked for and answered before TLS begins.
    ("c2s-sasl2-starttls-scram", [(12, 14, 10), (10, 12, 8)]),
    ("c2s-sasl2-starttls-plain", [(10, 12, 8), (8, 10, 6)]),
    ("c2s-fast-starttls", [(10, 12, 8), (8, 10, 6)]),
    (
        "c2s-resume-sasl2-starttls-scram",
        [(12, 14, 10), (10, 12, 8)],
    ),
    ("c2s-resume-sasl2-starttls-plain", [(10, 12, 8), (8, 10, 6)]),
    ("c2s-resume-fast-starttls", [(10, 12, 8), (8, 10, 6)]),
    ("c2s-sasl2-direct-scram", [(10, 12, 8), (8, 10, 6)]),
    ("c2s-sasl2-direct-plain", [(8, 10, 6), (6, 8, 4)]),
    ("c2s-fast-direct", [(8, 10, 6), (6, 8, 4)]),
    // Digest §4.3, the modern anchor: the login is early data. TLS 1.2 has none, and saves a trip by resuming its session.
    ("c2s-fast-direct-0rtt", [(6, 8, 4), (4, 6, 2)]),
    ("c2s-resume-fast-direct-0rtt", [(6, 8, 4), (4, 6, 2)]),
    ("c2s-resume-sasl2-direct-scram", [(10, 12, 8), (8, 10, 6)]),
    ("c2s-resume-sasl2-direct-plain", [(8, 10, 6), (6, 8, 4)]),
    ("c2s-resume-fast-direct", [(8, 10, 6), (6, 8, 4)]),
    // Digest §4.3, nothing pipelined: the login waits for the features. STARTTLS is two round trips before that.
    (
        "c2s-sasl2-classic-starttls-scram",
        [(16, 18, 14), (14, 16, 12)],
    ),
    (
        "c2s-sasl2-classic-starttls-plain",
        [(14, 16, 12), (12, 14, 10)],
    ),
    ("c2s-fast-classic-starttls", [(14, 16, 12), (12, 14, 10)]),
    (
        "c2s-sasl2-classic-direct-scram",
        [(12, 14, 10), (10, 12, 8)],
    ),
    ("c2s-sasl2-classic-direct-plain", [(10, 12, 8), (8, 10, 6)]),
    ("c2s-fast-classic-direct", [(10, 12, 8), (8, 10, 6)]),
    // From session-initiate; in band the first stanza waits for the acknowledgement of the chunk before it.
    ("e2e-ibb", [(8, 12, 8), (6, 10, 6)]),
    ("e2e-s5b", [(12, 14, 12), (10, 12, 10)]),
];

#[test]
fn every_cell_of_the_round_trip_table() {
    let lab = Lab::new().unwrap();
    let mut wrong = Vec::new();
    for (name, cells) in CELLS {
        for (tls, cell) in [Versions::Tls12, Versions::Tls13].into_iter().zip(cells) {
            let run = run(&lab, name, tls);
            let got = (
                run.to_send.unwrap().1,
                run.to_answer.unwrap().1,
                run.negotiation().flights(),
            );
            if got != *cell {
                wrong.push(format!("{name} {tls:?}: expected {cell:?}, got {got:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(CELLS.len() + 2, Strategy::all().len());
}

#[test]
fn the_historical_counts_19_and_8_writes_of_21_units() {
    let lab = Lab::new().unwrap();
    for (name, writes, flights) in [("rfc6120-9.1", 19, 18), ("xep0305-steps", 8, 8)] {
        let run = run(&lab, name, Versions::Tls12);
        let record = run.negotiation();
        assert_eq!(
            (record.writes.len(), record.flights(), record.units()),
            (writes, flights, 21),
            "{name}: {record:#?}"
        );
    }
}

/// QS-R2: in TLS 1.3 the unasked header is half-RTT data; it rides with the server's first flight, EXTERNAL cannot be
/// offered in it, and the client sees it before it has to choose a mechanism (QS-R4).
#[test]
fn qs_r2_an_unasked_header_is_half_rtt_data_in_tls_1_3() {
    let lab = Lab::new().unwrap();
    let run = run(&lab, "xep0305-steps", Versions::Tls13);
    let flight = &run.record.writes[1].units;
    assert_eq!(flight.len(), 6, "{flight:?}");
    assert_eq!(flight[3], "ServerHello .. Finished");
    assert_eq!(
        flight[5],
        "features (mechanisms, sasl-channel-binding, pipelining)"
    );
    assert_eq!(run.negotiation().flights(), 6);
}

/// QS-R4: live features that are visible before `<auth/>` must be sent are preferred to what is remembered.
#[test]
fn qs_r4_a_live_list_is_preferred_to_a_stale_memory() {
    use onetrip_core::Entity;
    use onetrip_core::negotiation::sasl::Mechanism;
    use onetrip_core::quickstart::{Cache, Features, Known, Level, Policy, Transport};
    let mut lab = Lab::new().unwrap();
    lab.offer(vec![Mechanism::ScramSha256]);
    let mut cache = Cache::default();
    let known = Known::new(
        Features::of_mechanisms(["SCRAM-SHA-1"]),
        Features::default(),
        "SCRAM-SHA-1".to_owned(),
        2,
    );
    cache.remember(&lab.key(Transport::StartTls), known);
    let mut policy = Policy::default();
    policy.force = Some(Level::Full);
    let mut entity = Entity::new(cache, policy);
    for (tls, flights) in [(Versions::Tls13, 6), (Versions::Tls12, 8)] {
        let settings = Settings {
            tls,
            ..Settings::default()
        };
        let (run, _) = lab
            .attempt(
                &Strategy::named("xep0305-steps").unwrap(),
                &mut entity,
                &settings,
            )
            .unwrap();
        assert!(run.ok(), "{:?}", run.endings);
        assert_eq!(run.negotiation().flights(), flights, "not one trip lost");
        assert!(
            run.record
                .writes
                .iter()
                .flat_map(|write| &write.units)
                .all(|unit| unit != "failure")
        );
    }
}

/// Digest §4.3: what instant stream resumption wants, by what is deployed (XEP-0484): the token rides behind the header,
/// bound to the channel where that can be, and the session goes on. The lab's memory makes no run different.
#[test]
fn a_token_and_the_session_it_resumes_go_out_in_one_write() {
    let lab = Lab::new().unwrap();
    for (tls, token) in [
        (Versions::Tls13, "authenticate HT-SHA-256-EXPR"),
        (Versions::Tls12, "authenticate HT-SHA-256-ENDP"),
    ] {
        for name in [
            "c2s-resume-fast-direct",
            "c2s-resume-fast-starttls",
            "c2s-resume-fast-direct",
        ] {
            let run = run(&lab, name, tls);
            let writes = run.record.writes.iter();
            let sent = writes.map(|write| &write.units).find(|units| {
                let last = units.last().map(String::as_str);
                last == Some(token) && units.contains(&"stream header".to_owned())
            });
            assert!(sent.is_some(), "{name} {:#?}", run.record);
            assert!(run.resumed, "{name}");
        }
    }
}

#[test]
fn whoever_comes_back_finds_the_session() {
    let lab = Lab::new().unwrap();
    for strategy in Strategy::all() {
        let run = run(&lab, &strategy.name(), Versions::Tls13);
        let comes_back = strategy.comeback().is_some();
        assert_eq!(run.resumed, comes_back, "{}", strategy.name());
    }
}
