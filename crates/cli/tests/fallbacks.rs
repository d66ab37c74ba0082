//! What `onetrip compare` says of servers that do not have, or do not take, what a strategy is about; the login is not lost.

use std::io::Write as _;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

mod support;

use support::Server;

const PASSWORD: &str = "r0m30myr0m30";

/// A server with juliet's account, and the file of the certificate to trust.
struct Served {
    server: Server,
    authority: PathBuf,
    password: PathBuf,
}

impl Served {
    fn start(name: &str, more: &[&str]) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let authority = folder.join(format!("{name}.pem"));
        let password = folder.join(format!("{name}.password"));
        std::fs::write(&password, PASSWORD).unwrap();
        let fixed = [
            "--domain",
            "im.test",
            "--user",
            "juliet@im.test",
            "--password-file",
            password.to_str().unwrap(),
            "--ca-out",
            authority.to_str().unwrap(),
        ];
        let server = Server::start(&[&fixed, more].concat()).unwrap();
        Self {
            server,
            authority,
            password,
        }
    }

    /// The rows of these strategies, all of them over direct TLS.
    fn compare(&self, place: &str, strategies: &[&str]) -> Vec<Value> {
        let output = Command::new(env!("CARGO_BIN_EXE_onetrip"))
            .args(["compare", "juliet@im.test", "--direct-tls"])
            .args(["--connect", place, "--format", "json"])
            .args(["--password-file", self.password.to_str().unwrap()])
            .args(["--ca-file", self.authority.to_str().unwrap()])
            .args(strategies.iter().flat_map(|name| ["--strategy", name]))
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let rows: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(rows.len(), strategies.len(), "{text}");
        rows
    }
}

/// Whether a row says why the strategy was not taken, and that no login was lost by it.
fn not_taken(row: &Value, reason: &str) {
    assert_eq!(row["ok"], false, "{row}");
    assert_eq!(row["reason"], reason, "{row}");
    assert_eq!(row["lost"], 0, "{row}");
    assert_eq!(row["second_connections"], 0, "{row}");
}

/// As Prosody 0.12 and ejabberd 23: the same client logs in as RFC 6120 says.
#[test]
fn a_server_without_sasl2() {
    let served = Served::start("no-sasl2", &["--no-sasl2"]);
    let strategies = [
        "c2s-sasl2-direct-scram",
        "c2s-fast-direct",
        "c2s-fast-direct-0rtt",
        "c2s-resume-sasl2-direct-scram",
        "c2s-resume-fast-direct",
    ];
    for row in served.compare(served.server.says("direct_tls"), &strategies) {
        not_taken(&row, "the server has no SASL2");
    }
}

#[test]
fn a_server_that_hands_no_token_out() {
    let served = Served::start("no-tokens", &["--no-tokens"]);
    let strategies = [
        "c2s-fast-direct",
        "c2s-fast-direct-0rtt",
        "c2s-resume-fast-direct",
        "c2s-isr-direct",
        "c2s-resume-sasl2-direct-plain",
    ];
    let rows = served.compare(served.server.says("direct_tls"), &strategies);
    for row in &rows {
        if row["strategy"] == "c2s-resume-sasl2-direct-plain" {
            assert_eq!(row["rtt_to_send"], 3, "{row}");
            assert_eq!(row["stanzas_lost"], 0, "{row}");
        } else {
            not_taken(row, "the server grants no token");
        }
    }
}

/// Passes connections on to one server, and from some connection on to another.
fn forward(first: &str, count: usize, second: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap().to_string();
    let (first, second) = (first.to_owned(), second.to_owned());
    std::thread::spawn(move || {
        for (number, near) in listener.incoming().flatten().enumerate() {
            let far = if number < count { &first } else { &second };
            let far = TcpStream::connect(far).unwrap();
            let ways = [
                (near.try_clone().unwrap(), far.try_clone().unwrap()),
                (far, near),
            ];
            for (mut from, mut to) in ways {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = (to.flush(), to.shutdown(Shutdown::Write));
                });
            }
        }
    });
    place
}

/// Two nodes of a server that do not share their tokens: the other one refuses it, the password follows on the same stream
/// (XEP-0484 §4.1), and a session that it does not know is given up with everything that was in it handed back.
#[test]
fn a_token_that_is_refused() {
    let (one, other) = (
        Served::start("node-one", &[]),
        Served::start("node-other", &[]),
    );
    let both = [&one, &other].map(|node| std::fs::read(&node.authority).unwrap());
    std::fs::write(&one.authority, both.concat()).unwrap();
    let direct = |node: &Served| node.server.says("direct_tls").to_owned();
    // One login teaches what the server offers, one hands the token out; the third is measured.
    let place = forward(&direct(&one), 2, &direct(&other));
    let rows = one.compare(&place, &["c2s-fast-direct"]);
    not_taken(&rows[0], "the token was not taken");
    // Its TLS does not know the session either: the early data goes out again behind the handshake, to the same end.
    let place = forward(&direct(&one), 2, &direct(&other));
    let rows = one.compare(&place, &["c2s-fast-direct-0rtt"]);
    not_taken(&rows[0], "the token was not taken");
    let place = forward(&direct(&one), 2, &direct(&other));
    let rows = one.compare(&place, &["c2s-resume-fast-direct"]);
    not_taken(&rows[0], "the token was not taken");
    let fate = ["_lost", "_twice", "_handed_back"]
        .map(|what| rows[0][format!("stanzas{what}")].as_u64().unwrap());
    assert_eq!(fate[..2], [0, 0], "{}", rows[0]);
    assert!(fate[2] > 0, "{}", rows[0]);
}
