//! How commands end that reach nobody, are not let in, or are called wrongly: at once or at their deadline, with the reason
//! said once, and the exit code that says which it was.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use base64::Engine as _;
use onetrip_core::stream::Domain;
use onetrip_simulator::certificates::Certificates;

#[path = "support/dns.rs"]
mod dns;
mod support;

use support::Server;

fn onetrip(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_onetrip"))
        .args(arguments)
        .env("ONETRIP_PASSWORD", "wrong")
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A file of this test's own.
fn file(name: &str, text: &str) -> PathBuf {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&file, text).unwrap();
    file
}

/// Every command that logs in.
const CLIENTS: [&str; 3] = ["compare", "trace", "e2e"];

#[test]
fn a_silent_server_is_given_up_at_the_deadline_with_exit_code_3() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = silent.local_addr().unwrap().to_string();
    let direct: [&[&str]; 2] = [&["compare", "--direct-tls"], &["e2e", "--direct-tls"]];
    for command in CLIENTS
        .each_ref()
        .map(core::slice::from_ref)
        .iter()
        .chain(&direct)
    {
        let begun = Instant::now();
        let who = ["juliet@capulet.lit", "--connect", &place, "--timeout", "1s"];
        let output = onetrip(&[command, &who[..]].concat());
        assert_eq!(output.status.code(), Some(3), "{command:?}: {output:?}");
        let reason = format!("onetrip: {place}: no answer within 1 s\n");
        assert_eq!(said(&output), reason, "{command:?}");
        assert!(begun.elapsed() < Duration::from_secs(15), "{command:?}");
    }
}

#[test]
fn a_silent_server_is_given_up_by_servers_as_well() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = silent.local_addr().unwrap().to_string();
    let certificates = Certificates::new(&[Domain::new("capulet.lit").unwrap()]).unwrap();
    let (chain, key) = certificates.server_identity();
    let pem = |name: &str, label: &str, der: &[u8]| {
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        let text = format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n");
        file(name, &text).to_str().unwrap().to_owned()
    };
    let cert = pem("endings-cert.pem", "CERTIFICATE", chain[0].as_ref());
    let key = pem("endings-key.pem", "PRIVATE KEY", key.secret_der());
    let begun = Instant::now();
    let ours = ["--local", "capulet.lit", "--listen", "127.0.0.1:0"];
    let proof = ["--cert", &cert, "--key", &key, "--timeout", "1s"];
    let whom = ["compare", "montague.lit", "--connect", &place];
    let output = onetrip(&[&whom[..], &ours, &proof].concat());
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let reason = said(&output);
    assert!(reason.starts_with(&format!("onetrip: montague.lit at {place}: ")));
    assert_eq!(reason.lines().count(), 1, "{reason}");
    assert!(begun.elapsed() < Duration::from_secs(15));
}

#[test]
fn a_server_that_says_nothing_and_goes_is_exit_code_3() {
    let rude = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = rude.local_addr().unwrap().to_string();
    std::thread::spawn(move || rude.incoming().for_each(drop));
    for command in CLIENTS {
        let output = onetrip(&[command, "juliet@capulet.lit", "--connect", &place]);
        assert_eq!(output.status.code(), Some(3), "{command}: {output:?}");
        let reason = said(&output);
        assert_eq!(reason.lines().count(), 1, "{command}: {reason}");
        assert!(
            reason.starts_with(&format!("onetrip: {place}: ")),
            "{reason}"
        );
    }
}

#[test]
fn a_wrong_password_and_a_strange_certificate_are_told_once() {
    let server = Server::start(&["--domain", "capulet.lit"]).unwrap();
    let authority = file("endings-ca.pem", server.says("ca_pem"));
    let authority = authority.to_str().unwrap();
    let account = server.ready["accounts"][0]["jid"].as_str().unwrap();
    let refused = "onetrip: the server refused the credentials: not-authorized\n";
    for command in CLIENTS {
        let who = [command, account, "--connect", server.says("starttls")];
        let output = onetrip(&[&who[..], &["--ca-file", authority]].concat());
        assert_eq!(output.status.code(), Some(1), "{command}: {output:?}");
        assert_eq!(said(&output), refused, "{command}");
        assert!(output.stdout.is_empty(), "{command}: {output:?}");
        let output = onetrip(&who);
        assert_eq!(output.status.code(), Some(1), "{command}: {output:?}");
        let reason = said(&output);
        assert!(
            reason.starts_with(
                "onetrip: expected a certificate of the domain by an authority that is trusted"
            ),
            "{reason}"
        );
        assert!(reason.contains("--ca-file"), "{reason}");
        assert_eq!(reason.lines().count(), 1, "{command}: {reason}");
    }
}

/// RFC 6120 §3.2, XEP-0368: a login goes where the records of the domain say.
#[test]
fn without_a_place_a_login_goes_where_dns_says() {
    let server = Server::start(&["--domain", "capulet.lit"]).unwrap();
    let account = &server.ready["accounts"][0];
    let (jid, password) = (account["jid"].as_str(), account["password"].as_str());
    let password = file("endings-password", password.unwrap());
    let authority = file("endings-named-ca.pem", server.says("ca_pem"));
    let port = server.says("starttls").rsplit(':').next().unwrap();
    let port = port.parse().unwrap();
    let dns = UdpSocket::bind("127.0.0.1:0").unwrap();
    let place = dns.local_addr().unwrap().to_string();
    std::thread::spawn(move || dns::answer_all(&dns, port));
    let run = |more: &[&str]| {
        let who = ["compare", jid.unwrap(), "--dns", &place, "--format", "json"];
        let with = ["--password-file", password.to_str().unwrap()];
        let trust = ["--ca-file", authority.to_str().unwrap()];
        onetrip(&[&who[..], &with, &trust, more].concat())
    };
    let output = run(&["--strategy", "c2s-safe-starttls-scram"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let row: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(row["ok"], true);
    let output = run(&["--direct-tls"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let reason = "onetrip: capulet.lit: _xmpps-client says that there is none. Say where it is with --connect HOST:PORT\n";
    assert_eq!(said(&output), reason);
}

#[test]
fn several_runs_are_told_with_their_spread_and_a_budget_is_a_gate() {
    let runs = |more: &[&str]| {
        let safe = ["compare", "--strategy", "c2s-safe-starttls-plain"];
        let classic = ["--strategy", "c2s-classic-starttls-plain", "--runs", "3"];
        onetrip(&[&safe[..], &classic, more].concat())
    };
    let output = runs(&["--format", "json", "--budget", "rtt=5,ms=60000"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    for line in lines.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(row["runs"], 3);
        let of = |key: &str| row[key].as_f64().unwrap();
        assert!(of("ms_to_answer_min") <= of("ms_to_answer"), "{line}");
        assert!(of("ms_to_answer") <= of("ms_to_answer_max"), "{line}");
        assert!(of("ratio_min") <= of("ratio"), "{line}");
        assert!(of("ratio") <= of("ratio_max"), "{line}");
    }
    let output = runs(&["--budget", "rtt=4"]);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let over = "onetrip: over budget: c2s-safe-starttls-plain took 5 round trips";
    assert!(said(&output).starts_with(over), "{output:?}");
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("    3 runs: "), "{table}");
    assert!(table.contains(" ms, ratio "), "{table}");
    assert!(table.contains("\nby PLAIN\n"), "{table}");
    let wide = table.lines().find(|line| line.chars().count() > 80);
    assert_eq!(wide, None);
}

#[test]
fn an_unknown_option_suggests_the_right_one() {
    for (command, wrong, right) in [
        ("compare", "--strategi", "--strategy"),
        ("compare", "--run", "--runs"),
        ("simulate", "--leader", "--ladder"),
        ("trace", "--simulated", "--simulate"),
        ("replay", "--buget", "--budget"),
        ("probe", "--time-out", "--timeout"),
        ("serve", "--agreements", "--agreement"),
        ("e2e", "--stanza", "--stanzas"),
        ("drive", "--tlsup", "--tls-up"),
    ] {
        let output = onetrip(&[command, wrong]);
        assert_eq!(output.status.code(), Some(2), "{command} {wrong}");
        let hint = format!("'{right}'");
        assert!(said(&output).contains(&hint), "{command}: {output:?}");
    }
    let output = onetrip(&["comprae"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("'compare'"), "{output:?}");
}

#[test]
fn a_link_by_agreement_is_a_new_one_in_every_run() {
    let only = ["compare", "--strategy", "s2s-zero-tcp", "--runs", "3"];
    let output = onetrip(&[&only[..], &["--timeout", "5s", "--format", "json"]].concat());
    let row: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(row["lost"], 0, "{row}");
    assert!(row["ms_to_answer_max"].as_f64().unwrap() < 5000.0, "{row}");
}
