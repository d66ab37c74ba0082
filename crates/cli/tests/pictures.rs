//! What is recorded, drawn and drawn again.

use std::path::PathBuf;
use std::process::{Command, Output};

fn onetrip(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_onetrip"))
        .args(arguments)
        .output()
        .unwrap()
}

/// A file of this test's own.
fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

const RECORD: [&str; 4] = [
    "trace",
    "--simulate",
    "--strategy",
    "c2s-quickstart-starttls-plain",
];

#[test]
fn a_record_is_replayed_and_checked_against_a_budget() {
    let stored = file("replayed.json");
    let stored = stored.to_str().unwrap();
    let drawn = onetrip(&[&RECORD[..], &["-o", stored]].concat());
    assert!(drawn.status.success());
    let again = onetrip(&["replay", stored, "--budget", "rtt=3,ms=300"]);
    assert!(again.status.success());
    let (drawn, again) = (
        String::from_utf8(drawn.stdout).unwrap(),
        String::from_utf8(again.stdout).unwrap(),
    );
    assert!(again.starts_with(&drawn), "{again}");
    assert!(
        again.ends_with(
            "4 writes, 4 flights, 18 units; 3 round trips and 300.0 ms to the first stanza\n"
        ),
        "{again}"
    );
    for budget in ["rtt=2", "ms=299"] {
        let over = onetrip(&["replay", stored, "--budget", budget]);
        assert_eq!(over.status.code(), Some(4), "{budget}");
    }
    std::fs::write(file("broken.json"), "{\"version\": 1, \"title\": 3}").unwrap();
    let broken = onetrip(&["replay", file("broken.json").to_str().unwrap()]);
    assert_eq!(broken.status.code(), Some(2));
    let said = String::from_utf8(broken.stderr).unwrap();
    assert!(
        said.contains("broken.json: title: expected a text"),
        "{said}"
    );
}

#[test]
fn the_suffix_says_what_a_file_gets() {
    for (name, begins) in [
        ("picture.svg", "<svg "),
        ("picture.mmd", "sequenceDiagram"),
        ("picture.json", "{\"version\":1,"),
        ("picture.txt", "c2s-quickstart-starttls-plain"),
    ] {
        let path = file(name);
        let output = onetrip(&[&RECORD[..], &["-o", path.to_str().unwrap()]].concat());
        assert!(output.status.success());
        let held = std::fs::read_to_string(&path).unwrap();
        assert!(held.starts_with(begins), "{name}: {held}");
        let twice = onetrip(&[&RECORD[..], &["-o", path.to_str().unwrap()]].concat());
        assert!(twice.status.success());
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            held,
            "the same bytes"
        );
    }
    let output = onetrip(&[&RECORD[..], &["-o", "picture.jpeg"]].concat());
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn trace_records_a_login_over_real_sockets() {
    let output = onetrip(&[
        "trace",
        "--strategy",
        "c2s-quickstart-direct-plain",
        "--format",
        "json",
    ]);
    assert!(output.status.success());
    let record: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(record["title"], "c2s-quickstart-direct-plain");
    assert_eq!(record["marks"][0]["half_trips"], 6);
    let output = onetrip(&["trace", "--strategy", "s2s-classic-direct-external-two"]);
    assert_eq!(output.status.code(), Some(2));
}
