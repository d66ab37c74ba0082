//! Two clients of the embedded server with a stream between them, and the machine of one alone.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

/// A program that prints JSON lines, and ends with the test.
struct Program {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_onetrip"));
        let mut child = command
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file of this test's own.
fn file(name: &str, text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("onetrip-e2e-{}-{name}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn two_clients_talk_directly_by_proxy_and_in_band() {
    let (password, ca) = (file("password", "secret"), file("ca.pem", ""));
    let (password, ca) = (password.to_str().unwrap(), ca.to_str().unwrap());
    let mut server = Program::start(&[
        "serve",
        "--domain",
        "im.example",
        "--proxy",
        "127.0.0.1:0",
        "--ca-out",
        ca,
        "--user",
        "juliet@im.example",
        "--password-file",
        password,
        "--user",
        "romeo@im.example",
        "--password-file",
        password,
    ]);
    let place = server.line()["direct_tls"].as_str().unwrap().to_owned();
    let client = |user: &str, more: &[&str]| {
        let account = format!("{user}@im.example");
        let mut arguments = vec![
            "--format",
            "json",
            "e2e",
            &account,
            "--password-file",
            password,
            "--connect",
            &place,
            "--direct-tls",
            "--ca-file",
            ca,
            "--allow-loopback",
            "--stanzas",
            "50",
        ];
        arguments.extend(more);
        Program::start(&arguments)
    };
    for (transport, ours, theirs) in [
        ("direct", &[][..], &["--offer", "direct"][..]),
        (
            "proxy",
            &["--offer", "proxy", "--proxy", "proxy.im.example"][..],
            &[][..],
        ),
        ("ibb", &["--in-band"][..], &[][..]),
        ("ibb", &[][..], &[][..]),
    ] {
        let mut juliet = client("juliet", theirs);
        let jid = juliet.line()["jid"].as_str().unwrap().to_owned();
        let mut arguments = vec!["--to", &jid];
        arguments.extend(ours);
        let mut romeo = client("romeo", &arguments);
        romeo.line();
        for program in [&mut romeo, &mut juliet] {
            let result = program.line();
            let got = ["transport", "sent", "received", "clean", "verification"]
                .map(|key| result[key].clone());
            let expected: [Value; 5] = [
                transport.into(),
                50.into(),
                50.into(),
                true.into(),
                "announced".into(),
            ];
            assert_eq!(got, expected, "{result}");
            assert!(program.child.wait().unwrap().success());
        }
    }
}

const SESSION: &str = r#"
{"bytes":"<iq from='romeo@montague.lit/orchard' id='1' to='juliet@capulet.lit/balcony' type='set'><jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' initiator='romeo@montague.lit/orchard' sid='s1'><content creator='initiator' name='xmlstream'><description xmlns='urn:xmpp:jingle:apps:xmlstream:0'/><transport xmlns='urn:xmpp:jingle:transports:s5b:1' mode='tcp' sid='t1'><candidate cid='r1' host='romeo.lit' jid='romeo@montague.lit/orchard' port='5086' priority='8257536' type='direct'/></transport><security xmlns='urn:xmpp:jingle:security:xtls:0'><fingerprint algo='sha-256'>03d66dd08835c1ca3f128cceacd1f31ac94163096b20f445ae84285bc0832d72</fingerprint><method name='x509'/></security></content></jingle></iq>"}
{"answer":{"accept":true}}
{"answer":{"socket":1,"connected":true}}
{"answer":{"socket":1,"bytes_b64":"BQA="}}
{"answer":{"socket":1,"bytes_b64":"BQAAAQAAAAAAAA=="}}
{"bytes":"<iq from='romeo@montague.lit/orchard' id='2' to='juliet@capulet.lit/balcony' type='set'><jingle xmlns='urn:xmpp:jingle:1' action='transport-info' sid='s1'><content creator='initiator' name='xmlstream'><transport xmlns='urn:xmpp:jingle:transports:s5b:1' sid='t1'><candidate-error/></transport></content></jingle></iq><iq from='romeo@montague.lit/orchard' id='3' to='juliet@capulet.lit/balcony' type='set'><jingle xmlns='urn:xmpp:jingle:1' action='security-info' sid='s1'><content creator='initiator' name='xmlstream'><security xmlns='urn:xmpp:jingle:security:xtls:0'><method name='x509'/></security></content></jingle></iq>"}
{"answer":{"socket":1,"bytes":"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'><message><body>hi</body></message>"}}
{"stanza":"<message><body>hello</body></message>"}
{"answer":{"close":true}}
{"answer":{"socket":1,"bytes":"</stream:stream>"}}
"#;

fn driven(script: &str, name: &str, more: &[&str]) -> (Vec<Value>, i32) {
    let script = file(name, script);
    let mut arguments = vec![
        "drive",
        "jingle",
        "--local",
        "juliet@capulet.lit/balcony",
        "--tls-up",
        "--input",
        script.to_str().unwrap(),
    ];
    arguments.extend(more);
    let output = Command::new(env!("CARGO_BIN_EXE_onetrip"))
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    (lines.collect(), output.status.code().unwrap())
}

#[test]
fn drive_takes_one_end_through_a_session_in_any_pieces() {
    let (lines, code) = driven(SESSION, "session", &[]);
    assert_eq!(code, 0);
    let names =
        |key: &str| -> Vec<&str> { lines.iter().filter_map(|line| line[key].as_str()).collect() };
    assert_eq!(names("request"), ["accept", "connect"]);
    assert_eq!(
        names("event"),
        ["accepted", "transport", "online", "stream-closed", "ended"]
    );
    let stanza = lines
        .iter()
        .find(|line| line["stanza"].is_object())
        .unwrap();
    assert_eq!(stanza["stanza"]["from"], "romeo@montague.lit/orchard");
    assert_eq!(stanza["stanza"]["verification"], "announced");
    assert_eq!(lines.last().unwrap()["state"], "ended");
    for split in ["1", "7"] {
        let (pieces, _) = driven(SESSION, "pieces", &["--split", split]);
        assert_eq!(pieces, lines, "in pieces of {split}");
    }
}

#[test]
fn drive_fails_where_the_certificate_is_another_one() {
    let (lines, code) = driven(SESSION, "stranger", &["--peer-cert", "another"]);
    assert_eq!(code, 1);
    assert!(
        lines.iter().any(|line| line["end"] == "Security(Mismatch)"),
        "{lines:?}"
    );
    assert!(!lines.iter().any(|line| line["event"] == "online"));
}
