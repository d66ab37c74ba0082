//! `onetrip drive` with SASL2: both ends by hand, each fed with what the other has written, as a script would.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

const AGENT: &str = "agent=d4565fa7-4d72-4749-b3d3-740edbf87770";
const HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='im.test' from='juliet@im.test' version='1.0'>";

/// What a machine does with a script.
struct Done {
    rows: Vec<Value>,
    good: bool,
}

impl Done {
    /// All that it has written.
    fn wire(&self) -> String {
        let written = self.rows.iter().filter_map(|row| row["transmit"].as_str());
        written.collect()
    }

    fn event(&self, name: &str) -> &Value {
        let found = self.rows.iter().find(|row| row["event"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {:?}", self.rows))
    }

    fn request(&self, name: &str) -> &Value {
        let found = self.rows.iter().find(|row| row["request"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {:?}", self.rows))
    }

    fn state(&self) -> &str {
        self.rows.last().unwrap()["state"].as_str().unwrap()
    }
}

/// Files of this process alone.
fn file(name: &str, content: &str) -> PathBuf {
    let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&place, content).unwrap();
    place
}

/// Runs a machine on direct TLS with SASL2.
fn drive(name: &str, machine: &[&str], settings: &[&str], script: &[Value]) -> Done {
    let password = file(&format!("{name}.password"), "r0m30myr0m30");
    let lines: Vec<String> = script.iter().map(Value::to_string).collect();
    let script = file(&format!("{name}.jsonl"), &lines.join("\n"));
    let output = Command::new(env!("CARGO_BIN_EXE_onetrip"))
        .arg("drive")
        .args(machine)
        .args(["--tls-up", "--password-file", password.to_str().unwrap()])
        .args(["--input", script.to_str().unwrap()])
        .args(["sasl2=on", "transport=direct", "management=on"].map(|on| format!("--config={on}")))
        .args(settings.iter().map(|setting| format!("--config={setting}")))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(
        !rows.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Done {
        rows,
        good: output.status.success(),
    }
}

fn server(name: &str, settings: &[&str], script: &[Value]) -> Done {
    let machine = [
        "c2s-receiver",
        "--local=im.test",
        "--user=juliet",
        "--show-secrets",
    ];
    drive(name, &machine, settings, script)
}

fn client(name: &str, settings: &[&str], script: &[Value]) -> Done {
    let machine = ["c2s-initiator", "--local=juliet@im.test", "--show-secrets"];
    drive(name, &machine, settings, script)
}

fn bytes(text: &str) -> Value {
    json!({ "bytes": text })
}

/// What one end has written beyond what the other has had before.
fn news(now: &Done, before: &str) -> Value {
    bytes(now.wire().strip_prefix(before).unwrap())
}

/// A password brings a token, and the token a login: XEP-0388, XEP-0386, XEP-0484.
#[test]
fn both_ends_of_a_login_and_of_the_next_by_its_token() {
    for mechanism in ["HT-SHA-256-NONE", "HT-SHA-256-EXPR"] {
        let wants = [
            AGENT,
            &format!("fast={mechanism}"),
            "mechanisms=PLAIN",
            "tag=drive",
        ];
        let offers = ["fast=on"];
        let name = |end: &str| format!("{mechanism}-{end}");
        let client = |script: &[Value]| client(&name("client"), &wants, script);
        let server = |script: &[Value]| server(&name("server"), &offers, script);
        let opening = client(&[]).wire();
        let features = server(&[bytes(&opening)]).wire();
        let asks = client(&[bytes(&features)]);
        assert!(asks.wire().contains("<authenticate "), "{}", asks.wire());
        let answers = server(&[bytes(&opening), news(&asks, &opening)]);
        assert_eq!(answers.state(), "online");
        assert_eq!(answers.request("fast-issue")["mechanism"], mechanism);
        assert_eq!(answers.request("enable")["resume"], true);
        let done = client(&[bytes(&features), news(&answers, &features)]);
        assert_eq!(done.state(), "online");
        let jid = done.event("online")["jid"].as_str().unwrap();
        assert!(jid.starts_with("juliet@im.test/drive"), "{jid}");
        let kept = &done
            .rows
            .iter()
            .rfind(|row| row["event"] == "tokens")
            .unwrap()["next"];
        assert_eq!(kept["mechanism"], mechanism, "{kept}");
        let token = format!("token={mechanism}:{}", kept["token"].as_str().unwrap());
        by_token(mechanism, &token);
    }
}

fn by_token(mechanism: &str, token: &str) {
    let name = |end: &str| format!("{mechanism}-again-{end}");
    let knows = [AGENT, token, "fast=on"];
    let shows = [AGENT, token, &format!("fast={mechanism}")];
    let opening = client(&name("client"), &shows, &[]).wire();
    let features = server(&name("server"), &knows, &[bytes(&opening)]).wire();
    let asks = client(&name("client"), &shows, &[bytes(&features)]);
    let both = [bytes(&opening), news(&asks, &opening)];
    let answers = server(&name("server"), &knows, &both);
    let swap = answers.request("fast-swap");
    assert_eq!(
        (&swap["count"], &swap["mechanism"]),
        (&json!(1), &json!(mechanism))
    );
    assert_eq!(answers.event("authenticated")["mechanism"], mechanism);
    let news = news(&answers, &features);
    let done = client(&name("client"), &shows, &[bytes(&features), news]);
    assert_eq!(done.state(), "online");

    // Another server does not know it, or it is of another client: the password follows on the same stream (XEP-0484 §4.1).
    for settings in [
        vec!["fast=on"],
        vec![
            token,
            "fast=on",
            "agent=ac6b1f2c-0a2f-4a4c-8d21-4d3e6a1f3e55",
        ],
    ] {
        let answers = server(&name("stranger"), &settings, &both);
        assert!(
            answers.wire().contains("<credentials-expired")
                || answers.wire().contains("<not-authorized"),
            "{}",
            answers.wire()
        );
        assert_eq!(answers.state(), "negotiating");
    }
}

/// Without `--show-secrets` nothing that is one is printed, on neither side; no split changes what is done.
#[test]
fn secrets_are_hidden_and_splits_change_nothing() {
    let plain = "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>AGp1bGlldAByMG0zMG15cjBtMzA=</initial-response>\
        <user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'/><bind xmlns='urn:xmpp:bind:0'/>\
        <request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-NONE'/></authenticate>";
    let login = bytes(&format!("{HEADER}{plain}"));
    let seen = ["0", "1", "7"].map(|split| {
        let machine = [
            "c2s-receiver",
            "--local=im.test",
            "--user=juliet",
            "--split",
            split,
        ];
        let done = drive(
            &format!("hidden-{split}"),
            &machine,
            &["fast=on"],
            core::slice::from_ref(&login),
        );
        assert_eq!(done.state(), "online");
        let wire = done.wire();
        assert!(wire.contains("token='[hidden]'"), "{wire}");
        assert!(wire.contains("<bound xmlns='urn:xmpp:bind:0'"), "{wire}");
        let told: Vec<Value> = done
            .rows
            .iter()
            .filter(|row| !row["event"].is_null() || !row["request"].is_null())
            .cloned()
            .collect();
        (wire, told)
    });
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
}

/// XEP-0388 §2.6.3: a script decides what has to be done, and another does it.
#[test]
fn tasks_are_asked_about() {
    let opening = client("tasks-client", &["mechanisms=PLAIN", "tasks=TOTP"], &[]).wire();
    let knows = ["mechanisms=PLAIN", "tasks=TOTP"];
    let features = server("tasks-server", &["tasks=on"], &[bytes(&opening)]).wire();
    let asks = client("tasks-client", &knows, &[bytes(&features)]);
    let mut said = vec![
        bytes(&opening),
        news(&asks, &opening),
        json!({"answer": {"demand": ["TOTP", "HOTP"], "text": "a code, please"}}),
    ];
    let demands = server("tasks-server", &["tasks=on"], &said);
    assert_eq!(demands.request("task-proved")["mechanism"], "PLAIN");
    let mut heard = vec![bytes(&features), news(&demands, &features)];
    let chooses = client("tasks-client", &knows, &heard);
    assert_eq!(chooses.request("task-choose")["tasks"], json!(["TOTP"]));
    heard.push(json!({"answer": {"begin": "TOTP", "data": ["<code xmlns='urn:example:totp'>123456</code>"]}}));
    let begins = client("tasks-client", &knows, &heard);
    said.push(news(&begins, &asks.wire()));
    let begun = server("tasks-server", &["tasks=on"], &said);
    assert_eq!(begun.request("task-begun")["task"], "TOTP");
    said.push(json!({"answer": {"done": true}}));
    let done = server("tasks-server", &["tasks=on"], &said);
    assert_eq!(done.state(), "online");
    heard.push(news(&done, &demands.wire()));
    assert_eq!(client("tasks-client", &knows, &heard).state(), "online");

    let knows_none = client("no-tasks", &["mechanisms=PLAIN"], &heard[..2]);
    assert_eq!(
        knows_none.event("unknown-tasks")["offered"],
        json!(["TOTP", "HOTP"])
    );
}

/// Openfire#3496: anything between the steps of SASL2 ends the attempt, and nothing behind it is believed.
#[test]
fn what_comes_between_the_steps_ends_it() {
    let begun = "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='SCRAM-SHA-1'><initial-response>biwsbj1qdWxpZXQscj1hYmM=</initial-response></authenticate>";
    let script = [bytes(HEADER), bytes(begun), bytes("<presence/>")];
    let done = server("between", &[], &script);
    assert!(!done.good && done.state() == "failed", "{:?}", done.rows);
    assert!(done.wire().ends_with("</stream:stream>"), "{}", done.wire());
    assert!(done.rows.iter().all(|row| row["event"] != "online"));
}
