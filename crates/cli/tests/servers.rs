//! `compare` between servers: the counts of digest §4.5, over real sockets.

use std::process::Command;

/// By strategy: round trips until a stanza may be sent, and until it is answered.
const CELLS: &[(&str, u64, u64)] = &[
    ("s2s-classic-starttls-external-two", 7, 15),
    ("s2s-classic-starttls-external-bidi", 7, 8),
    ("s2s-classic-direct-external-two", 5, 11),
    ("s2s-safe-starttls-external-bidi", 5, 6),
    ("s2s-quickstart-starttls-external-two", 3, 7),
    ("s2s-quickstart-starttls-external-bidi", 3, 4),
    ("s2s-classic-starttls-dialback-bidi", 12, 13),
    ("s2s-quickstart-direct-dialback-bidi", 7, 8),
    ("s2s-zero-tcp", 1, 2),
    ("s2s-zero-tls", 2, 3),
];

/// The link is long enough for nothing to overtake, and for the answer in the other direction to come by itself.
#[test]
fn each_strategy_takes_the_round_trips_that_the_digest_counts() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onetrip"));
    command.args(["compare", "--rtt", "40ms", "--format", "json"]);
    for (name, ..) in CELLS {
        command.args(["--strategy", name]);
    }
    let output = command.output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows.len(), CELLS.len(), "{text}");
    for (name, send, answer) in CELLS {
        let row = rows.iter().find(|row| row["strategy"] == *name).unwrap();
        assert_eq!(row["rtt_to_send"], *send, "{row}");
        assert_eq!(row["rtt_to_answer"], *answer, "{row}");
        assert_eq!(row["second_connections"], 0, "{row}");
        let proof = match name {
            name if name.contains("dialback") => "dialback",
            name if name.contains("zero") => "by agreement",
            _ => "EXTERNAL",
        };
        assert_eq!(row["mechanism"], proof);
    }
}

#[test]
fn a_domain_alone_needs_a_server_of_ours() {
    let output = Command::new(env!("CARGO_BIN_EXE_onetrip"))
        .args(["compare", "montague.lit"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("--local DOMAIN, --listen ADDR, --cert and --key"),
        "{said}"
    );
}
