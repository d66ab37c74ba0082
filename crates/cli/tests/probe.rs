//! What `onetrip probe` says of servers that answer, that do not, and that DNS knows of.

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

#[path = "support/dns.rs"]
mod dns;

fn onetrip(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_onetrip"))
        .arg("probe")
        .args(arguments)
        .output()
        .unwrap()
}

struct Served {
    process: Child,
    ready: Value,
    authority: PathBuf,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Served {
    /// A server of capulet.lit.
    fn start(name: &str, more: &[&str]) -> Self {
        let authority = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let mut process = Command::new(env!("CARGO_BIN_EXE_onetrip"))
            .args([
                "serve",
                "--domain",
                "capulet.lit",
                "--s2s",
                "127.0.0.1:0",
                "--ca-out",
            ])
            .arg(&authority)
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(process.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        Self {
            process,
            ready: serde_json::from_str(&line).unwrap(),
            authority,
        }
    }

    fn at(&self, key: &str) -> &str {
        self.ready[key].as_str().unwrap()
    }

    fn probe(&self, arguments: &[&str]) -> Value {
        let authority = self.authority.to_str().unwrap();
        let fixed = ["capulet.lit", "--format", "json", "--ca-file", authority];
        let output = onetrip(&[&fixed, arguments].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// QS-R10: each group is tried, and the verdict is that of digest §4.3 and §4.5.
#[test]
fn a_server_that_takes_everything_in_one_write() {
    let served = Served::start("probed.pem", &[]);
    let seen = served.probe(&["--connect", served.at("starttls")]);
    for units in [
        "header_starttls",
        "header_starttls_gap_hello",
        "header_starttls_hello",
        "header_auth",
    ] {
        assert_eq!(seen["together"][units], "answered", "{seen}");
    }
    assert_eq!(seen["verdict"]["level"], "quickstart");
    assert_eq!(seen["verdict"]["connect_classic"], 9.0);
    assert_eq!(seen["verdict"]["connect_best"], 4.0);
    assert_eq!(seen["verdict"]["reconnect_best"], 3.0);
    let seen = served.probe(&["--connect", served.at("direct_tls"), "--direct-tls"]);
    assert_eq!(seen["together"]["header_auth"], "answered");
    let seen = served.probe(&["--connect", served.at("s2s"), "--s2s"]);
    assert_eq!(seen["offered"][2], "bidirectional streams");
    assert_eq!(seen["verdict"]["connect_best"], 3.0);
}

/// QS-R6: a server that does not announce pipelining closes where bytes follow `<starttls/>`.
#[test]
fn a_server_that_takes_no_hello_behind_starttls() {
    let served = Served::start("strict.pem", &["--no-pipelining"]);
    let seen = served.probe(&["--connect", served.at("starttls")]);
    assert_eq!(seen["together"]["header_starttls"], "answered");
    assert_ne!(seen["together"]["header_starttls_hello"], "answered");
    assert_ne!(seen["verdict"]["level"], "quickstart");
    assert_eq!(seen["verdict"]["connect_safe"], 5.0);
    assert_eq!(
        seen["verdict"]["connect_safe_by"],
        "c2s-sasl2-starttls-scram"
    );
}

/// XEP-0388, XEP-0386, XEP-0484: what is announced, and that the first flight under TLS may have all of it.
#[test]
fn a_server_with_sasl2_and_tokens() {
    let served = Served::start("sasl2.pem", &[]);
    let seen = served.probe(&["--connect", served.at("direct_tls"), "--direct-tls"]);
    assert_eq!(seen["sasl2"]["bind2"], json!(["urn:xmpp:sm:3"]));
    assert_eq!(seen["sasl2"]["resume"], true);
    let tokens = seen["sasl2"]["fast"]["mechanisms"].as_array().unwrap();
    assert!(tokens.contains(&json!("HT-SHA-256-EXPR")), "{seen}");
    assert_eq!(seen["together"]["header_authenticate"], "answered");
    let verdict = &seen["verdict"];
    assert_eq!(verdict["connect_safe"], 4.0);
    assert_eq!(verdict["connect_safe_by"], "c2s-sasl2-direct-scram");
    assert_eq!(verdict["reconnect_classic"], 7.0);
    assert_eq!(seen["together"]["early_header_authenticate"], "answered");
    assert_eq!(verdict["reconnect_best"], 2.0);
    assert_eq!(verdict["reconnect_best_by"], "c2s-resume-fast-direct-0rtt");
    let text = onetrip(&[
        "capulet.lit",
        "--connect",
        served.at("direct_tls"),
        "--direct-tls",
        "--ca-file",
        served.authority.to_str().unwrap(),
    ]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("come back in 2 instead of 7"), "{text}");
    let wide = text.lines().filter(|line| line.chars().count() > 80);
    assert_eq!(wide.count(), 0, "{text}");
    let served = Served::start("no-sasl2-probed.pem", &["--no-sasl2"]);
    let seen = served.probe(&["--connect", served.at("direct_tls"), "--direct-tls"]);
    assert!(seen["sasl2"].is_null());
    assert_eq!(
        seen["together"],
        json!({"header_auth": "answered"}),
        "what is not offered is not tried"
    );
    assert_eq!(seen["verdict"]["connect_safe"], 5.0);
}

/// QS-R10: with an account each level is tried by a login of its own, and what the server does otherwise is said.
#[test]
fn with_an_account_every_way_is_tried() {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("probed.password");
    std::fs::write(&file, "r0m30myr0m30").unwrap();
    let password = ["--password-file", file.to_str().unwrap()];
    let account = ["--user", "juliet@capulet.lit"];
    let user = ["--user", "juliet"];
    let taken = |seen: &Value, name: &str| {
        let rows = seen["logins"].as_array().unwrap();
        let row = rows.iter().find(|row| row["strategy"] == name).unwrap();
        assert_eq!(row["lost"], 0, "{row}");
        row["ok"] == true && row["reason"].is_null()
    };

    let served = Served::start("tried.pem", &[&account[..], &password].concat());
    let place = ["--connect", served.at("starttls")];
    let seen = served.probe(&[&place[..], &user, &password].concat());
    for row in seen["logins"].as_array().unwrap() {
        assert!(taken(&seen, row["strategy"].as_str().unwrap()), "{row}");
    }
    assert_eq!(seen["verdict"]["connect_safe"], 4.0);
    assert_eq!(seen["verdict"]["level"], "quickstart");

    let more = [&account[..], &password, &["--no-pipelining"]].concat();
    let served = Served::start("tried-strict.pem", &more);
    let place = ["--connect", served.at("starttls")];
    let seen = served.probe(&[&place[..], &user, &password].concat());
    assert!(taken(&seen, "c2s-safe-starttls-scram"));
    assert!(!taken(&seen, "c2s-quickstart-starttls-scram"));
    assert_ne!(seen["verdict"]["level"], "quickstart");
}

#[test]
fn silence_a_closed_port_and_a_stranger_are_exit_code_3() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = silent.local_addr().unwrap().to_string();
    let output = onetrip(&["capulet.lit", "--connect", &place, "--timeout", "200ms"]);
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("not looked at: no answer within 0.2 s"),
        "{said}"
    );
    drop(silent);
    let output = onetrip(&["capulet.lit", "--connect", &place]);
    assert_eq!(output.status.code(), Some(3));
    let served = Served::start("stranger.pem", &[]);
    let output = onetrip(&["capulet.lit", "--connect", served.at("starttls")]);
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("not looked at: expected a certificate of the domain"),
        "{said}"
    );
}

/// RFC 6120 §3.2, XEP-0368: one record leads to the server, one says that there is none, the others are missing.
#[test]
fn dns_says_where_servers_are() {
    let served = Served::start("named.pem", &[]);
    let port: u16 = served
        .at("starttls")
        .rsplit(':')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let dns = UdpSocket::bind("127.0.0.1:0").unwrap();
    let place = dns.local_addr().unwrap().to_string();
    std::thread::spawn(move || dns::answer_all(&dns, port));
    let authority = served.authority.to_str().unwrap();
    let output = onetrip(&[
        "capulet.lit",
        "--dns",
        &place,
        "--ca-file",
        authority,
        "--format",
        "json",
        "--timeout",
        "2s",
    ]);
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).unwrap();
    let seen: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |way: &str| seen.iter().find(|line| line["way"] == way).unwrap();
    assert_eq!(of("C2S STARTTLS")["ok"], true);
    assert_eq!(
        of("C2S STARTTLS")["found"],
        "SRV _xmpp-client, xmpp.capulet.lit. priority 5"
    );
    assert_eq!(
        of("C2S direct TLS")["reason"],
        "_xmpps-client says that there is none"
    );
    assert_eq!(
        of("S2S STARTTLS")["reason"],
        "no _xmpp-server record, and no address"
    );
    assert_eq!(of("S2S direct TLS")["reason"], "no _xmpps-server record");
}
