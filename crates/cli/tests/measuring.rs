//! `onetrip simulate` and `onetrip compare` as their users meet them: every key, every strategy, nothing lost.

#[path = "support/run.rs"]
mod run;

use run::{lines, onetrip};

#[test]
fn simulate_gives_every_key_for_every_strategy_and_the_same_every_time() {
    let output = onetrip(&["simulate", "--strategy", "all", "--format", "json"], "");
    assert!(output.status.success());
    let rows = lines(&output);
    assert_eq!(rows.len(), 93);
    let keys = [
        "strategy",
        "tls",
        "writes",
        "flights",
        "units",
        "rtt_to_send",
        "rtt_to_answer",
        "bytes_sent",
        "bytes_received",
        "ms_to_send",
        "ms_to_answer",
        "ok",
        "ms_to_deliver",
        "bytes_to_deliver",
    ];
    for row in &rows {
        let found: Vec<&String> = row.as_object().unwrap().keys().collect();
        assert_eq!(found, keys);
        assert_eq!(row["ok"], true);
    }
    let counts = |name: &str| {
        rows.iter()
            .find(|row| row["strategy"] == name)
            .map(|row| (row["writes"].clone(), row["units"].clone()))
    };
    assert_eq!(counts("rfc6120-9.1"), Some((19.into(), 21.into())));
    assert_eq!(counts("xep0305-steps"), Some((8.into(), 21.into())));
    let again = onetrip(&["simulate", "--format", "json", "--seed", "1"], "");
    assert_eq!(again.stdout, output.stdout);
}

/// At 2400 bit/s and five seconds there and back, the fewer has the earlier.
#[test]
fn simulate_shows_what_zero_handshake_saves_on_a_slow_link() {
    let mut arguments = vec![
        "simulate", "--rtt", "5s", "--rate", "2400", "--format", "json",
    ];
    for name in [
        "s2s-zero-tcp",
        "s2s-zero-tls",
        "s2s-quickstart-starttls-external-bidi",
        "s2s-classic-starttls-external-two",
    ] {
        arguments.extend(["--strategy", name]);
    }
    let output = onetrip(&arguments, "");
    assert!(output.status.success());
    let rows = lines(&output);
    assert_eq!((rows.len(), &rows[0]["tls"]), (4, &serde_json::Value::Null));
    let delivered = |row: &serde_json::Value| row["ms_to_deliver"].as_f64().unwrap();
    assert!(
        rows.windows(2)
            .all(|two| delivered(&two[0]) < delivered(&two[1])),
        "{rows:#?}"
    );
    // TCP, the one stanza at 2400 bit/s, and half the trip.
    let stanza = rows[0]["bytes_to_deliver"].as_f64().unwrap();
    assert!((delivered(&rows[0]) - (5000.0 + stanza * 8.0 / 2.4 + 2500.0)).abs() < 1.0);
}

#[test]
fn compare_logs_in_over_real_sockets_and_draws_the_fastest() {
    let output = onetrip(
        &[
            "compare",
            "--strategy",
            "c2s-quickstart-starttls-plain",
            "--strategy",
            "c2s-safe-direct-scram",
        ],
        "",
    );
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(
        text.contains("\nby PLAIN\nc2s-quickstart-starttls-plain           3   4 ")
            && text.contains("The fastest:")
            && text.contains("└ ClientHello"),
        "{text}"
    );
    let output = onetrip(
        &[
            "compare",
            "--strategy",
            "c2s-safe-direct-plain",
            "--format",
            "json",
            "--budget",
            "rtt=3",
        ],
        "",
    );
    assert_eq!(
        output.status.code(),
        Some(4),
        "4 round trips are over a budget of 3"
    );
    assert_eq!(lines(&output)[0]["rtt_to_send"], 4);
}

/// What a token is bound to, if it is one by which somebody has logged in.
fn bound_by(mechanism: &str) -> Option<&str> {
    mechanism.strip_prefix("HT-SHA-256-")
}

/// The same as a strategy wants it: early data goes before there is anything to bind to.
fn by_token(way: &str) -> Option<&'static str> {
    let binds = match way.ends_with("-0rtt") {
        true => "NONE",
        false => "EXPR",
    };
    way.contains("-fast-").then_some(binds)
}

/// Cut in mid-exchange and back: by login in the tail of it, and by token.
#[test]
fn compare_comes_back_with_nothing_lost_and_nothing_twice() {
    let mut arguments = vec!["compare", "--format", "json"];
    let ways = [
        ("c2s-resume-classic-direct-scram", 7),
        ("c2s-resume-quickstart-starttls-scram", 4),
        ("c2s-isr-starttls", 5),
        ("c2s-isr-quickstart-starttls", 3),
        ("c2s-isr-direct", 3),
        ("c2s-resume-sasl2-starttls-scram", 5),
        ("c2s-resume-sasl2-direct-plain", 3),
        ("c2s-resume-fast-starttls", 4),
        ("c2s-resume-fast-direct", 3),
        ("c2s-resume-fast-direct-0rtt", 2),
    ];
    for (way, _) in ways {
        arguments.extend(["--strategy", way]);
    }
    let output = onetrip(&arguments, "");
    let rows = lines(&output);
    for (way, trips) in ways {
        let row = rows.iter().find(|row| row["strategy"] == way).unwrap();
        assert_eq!(row["rtt_to_send"], trips, "{row}");
        assert_eq!(
            row["mechanism"].as_str().and_then(bound_by),
            by_token(way),
            "{row}"
        );
        let fate = ["", "_lost", "_twice", "_handed_back"]
            .map(|what| row[format!("stanzas{what}")].as_u64().unwrap());
        assert_eq!(fate, [40, 0, 0, 0], "{row}");
    }
}

/// Digest §4.3, the rows of SASL2, over real sockets: the server offers it, and the client has seen that before.
#[test]
fn compare_logs_in_by_sasl2() {
    let mut arguments = vec!["compare", "--format", "json", "--runs", "2"];
    let ways = [
        ("c2s-sasl2-starttls-scram", 5),
        ("c2s-sasl2-starttls-plain", 4),
        ("c2s-sasl2-direct-scram", 4),
        ("c2s-sasl2-direct-plain", 3),
        ("c2s-fast-starttls", 4),
        ("c2s-fast-direct", 3),
        ("c2s-fast-direct-0rtt", 2),
    ];
    for (way, _) in ways {
        arguments.extend(["--strategy", way]);
    }
    let output = onetrip(&arguments, "");
    let rows = lines(&output);
    assert_eq!(rows.len(), ways.len());
    for (way, trips) in ways {
        let row = rows.iter().find(|row| row["strategy"] == way).unwrap();
        assert_eq!(row["rtt_to_send"], trips, "{row}");
        assert_eq!(row["rtt_to_answer"], trips + 1, "{row}");
        assert_eq!(row["lost"], 0, "{row}");
        assert!(row["reason"].is_null(), "{row}");
        assert_eq!(
            row["mechanism"].as_str().and_then(bound_by),
            by_token(way),
            "{row}"
        );
    }
}
