//! `onetrip drive link`: what a zero-handshake link does with bytes and scripts.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

const STANZA: &str = "<message from='pilot@air.example' to='ops@ground.example'/>";

fn drive(more: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onetrip"));
    command.args(["drive", "link"]).args(more);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

/// The ground's end of a link with the air, without an agreement as a file.
fn ground(more: &[&str], input: &str) -> Output {
    let both = ["--local", "ground.example", "--remote", "air.example"];
    drive(&[&both, more].concat(), input)
}

fn rows(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Runs a script, one object a line.
fn scripted(more: &[&str], name: &str, script: &str) -> Output {
    let file = std::env::temp_dir().join(format!("onetrip-link-{name}-{}", std::process::id()));
    std::fs::write(&file, script).unwrap();
    let output = ground(&[more, &["--input", file.to_str().unwrap()]].concat(), "");
    std::fs::remove_file(file).unwrap();
    output
}

#[test]
fn zh_03_stanzas_come_out_at_once_and_the_close_is_exchanged() {
    for split in ["0", "1", "7"] {
        let output = ground(&["--split", split], &format!("{STANZA}</stream:stream>"));
        assert_eq!(output.status.code(), Some(0));
        let rows = rows(&output);
        let established =
            json!({"event": "established", "peer": "air.example", "provisional": false});
        assert_eq!(rows[0], established);
        assert_eq!(rows[1]["stanza"]["bytes"], STANZA);
        let rest = [
            json!({"event": "closing", "why": "peer"}),
            json!({"event": "closed", "end": "clean"}),
            json!({"transmit": "</stream:stream>"}),
            json!({"close": true}),
        ];
        assert_eq!(rows[2..6], rest);
        assert_eq!(rows[6]["state"], "closed");
        assert_eq!(rows[6]["consumed"], STANZA.len() + 16);
    }
}

#[test]
fn zh_r3_a_peer_that_opens_a_stream_is_named_and_told_nothing() {
    let output = ground(&[], "<?xml version='1.0'?><stream:stream ");
    assert_eq!(output.status.code(), Some(1));
    let rows = rows(&output);
    assert!(rows.iter().all(|row| row.get("transmit").is_none()));
    let error = rows.iter().find_map(|row| row.get("error")).unwrap();
    assert_eq!(
        (&error["condition"], &error["source"]),
        (&Value::Null, &json!("ZH-R3, XEP-0361 §4.1"))
    );
    assert_eq!(rows.last().unwrap()["state"], "failed");
}

#[test]
fn zh_r5_acknowledgements_are_counted_and_what_was_in_flight_comes_back() {
    let answer = "<message from='ops@ground.example' to='pilot@air.example'/>";
    let script = format!(
        "{}\n{}\n{}\n{}\n",
        json!({"stanza": answer}),
        json!({"stanza": answer}),
        json!({"bytes": "<a xmlns='urn:xmpp:sm:3' h='1'/><r xmlns='urn:xmpp:sm:3'/>"}),
        json!({"eof": true})
    );
    let output = scripted(
        &["--config", "acks=true", "--config", "role=opener"],
        "acks",
        &script,
    );
    let rows = rows(&output);
    let expected = [
        json!({"transmit": answer}),
        json!({"transmit": answer}),
        json!({"event": "acked", "stanzas": 1}),
        json!({"transmit": "<a xmlns='urn:xmpp:sm:3' h='0'/>"}),
        json!({"event": "handed-back", "stanzas": [answer]}),
        json!({"event": "closed", "end": "cut"}),
    ];
    assert_eq!(rows[1..7], expected);
}

#[test]
fn zh_11_what_is_not_agreed_is_answered_where_that_was_agreed() {
    let lost = "<message from='pilot@air.example' to='m@mallory.example' id='7'/>";
    let output = ground(&["--config", "on-invalid=bounce"], lost);
    assert_eq!(output.status.code(), Some(0));
    let rows = rows(&output);
    assert_eq!(rows[1]["event"], "bounce");
    assert_eq!(rows[1]["answer"]["stanza"]["id"], "7");
}

#[test]
fn zh_19_the_certificate_decides_before_a_byte_is_parsed() {
    for (name, code) in [("air.example", 0), ("mallory.example", 1)] {
        let output = ground(&["--tls-up", "--peer-cert", name], STANZA);
        assert_eq!(output.status.code(), Some(code), "{name}");
        let rows = rows(&output);
        let stanzas = rows
            .iter()
            .filter(|row| row.get("stanza").is_some())
            .count();
        assert_eq!(stanzas, usize::from(code == 0));
        let error = rows.iter().find_map(|row| row.get("error"));
        assert_eq!(
            error.map(|error| &error["source"]),
            (code == 1).then_some(&json!("ZH-20, ZH-R7"))
        );
    }
}

#[test]
fn zh_20_an_agreement_as_a_file_and_a_source_that_it_does_not_allow() {
    let file = std::env::temp_dir().join(format!("onetrip-link-file-{}", std::process::id()));
    let text = "ours = ['ground.example']\ntheirs = ['air.example']\naddress = '198.51.100.7:5299'\n\
                security = 'plain'\n[[allowed-sources]]\nnetwork = '198.51.100.7'\n";
    std::fs::write(&file, text).unwrap();
    let agreement = format!("agreement={}", file.display());
    let with = |more: &[&str]| drive(&[&["--config", &agreement], more].concat(), STANZA);
    assert_eq!(with(&[]).status.code(), Some(0));
    let output = with(&["--config", "source=203.0.113.9:40000"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        rows(&output)[0]["error"]["text"]
            .as_str()
            .unwrap()
            .contains("203.0.113.9")
    );
    std::fs::remove_file(file).unwrap();
}
