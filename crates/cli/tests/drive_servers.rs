//! `onetrip drive` with the machines of two servers: dialback, further pairs, certificates.

#[path = "support/run.rs"]
mod run;

use std::process::Output;

use run::{HEADER, lines, onetrip};

/// Runs a script through one end of a connection between servers, with a dialback secret.
fn servers(machine: &str, options: &[&str], script: &[&str]) -> (Output, String) {
    let file = |what: &str| {
        let name = format!("onetrip-{what}-{machine}-{}", std::process::id());
        std::env::temp_dir().join(name)
    };
    let [secret, input] = [file("secret"), file("script")];
    std::fs::write(&secret, "d14lb4ck43v3r").unwrap();
    std::fs::write(&input, script.join("\n")).unwrap();
    let mut arguments = vec!["drive", machine, "--tls-up", "--config", "transport=direct"];
    arguments.extend(["--password-file", secret.to_str().unwrap()]);
    arguments.extend(["--input", input.to_str().unwrap()]);
    arguments.extend(options);
    let output = onetrip(&arguments, "");
    for file in [secret, input] {
        std::fs::remove_file(file).unwrap();
    }
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    (output, text)
}

/// What was reported, in order: each event or request by its name.
fn names(output: &Output) -> Vec<String> {
    let name = |row: &serde_json::Value| {
        let name = row.get("event").or(row.get("request"))?;
        name.as_str().map(str::to_owned)
    };
    lines(output).iter().filter_map(name).collect()
}

#[test]
fn drive_opens_a_connection_to_a_server_by_dialback_and_asks_for_another_pair() {
    let script = [
        r#"{"bytes":"<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' from='montague.lit' to='capulet.lit' id='s1' version='1.0'><stream:features><dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback><bidi xmlns='urn:xmpp:features:bidi'/></stream:features>"}"#,
        r#"{"bytes":"<db:result from='montague.lit' to='capulet.lit' type='valid'/>"}"#,
        r#"{"stanza":"<message from='juliet@capulet.lit' to='romeo@montague.lit'/>"}"#,
        r#"{"ask":{"from":"capulet.lit","to":"chat.montague.lit","resolves_here":true}}"#,
        r#"{"bytes":"<message from='romeo@montague.lit' to='juliet@capulet.lit'/><db:result from='chat.montague.lit' to='capulet.lit' type='invalid'/>"}"#,
        r#"{"stanza":"<message from='juliet@capulet.lit' to='room@chat.montague.lit'/>"}"#,
    ];
    let addresses = ["--local", "capulet.lit", "--remote", "montague.lit"];
    let (output, text) = servers("s2s-initiator", &addresses, &script);
    assert!(output.status.success(), "{text}");
    assert_eq!(
        names(&output),
        [
            "secured",
            "bidirectional",
            "dialback-concluded",
            "established",
            "send-opened",
            "receive-opened",
            "learned",
            "dialback-concluded",
            "usage-error",
        ]
    );
    // A key is as good as a password while its stream lasts.
    let asked = "<db:result from='capulet.lit' to='montague.lit'>[hidden]</db:result>";
    assert!(text.contains(asked), "{text}");
    let message = "<message from='juliet@capulet.lit' to='romeo@montague.lit'/>";
    assert!(text.contains(message), "{text}");
    assert!(!text.contains("to='room@chat.montague.lit'"), "{text}");
}

#[test]
fn drive_is_a_server_that_others_connect_to() {
    let script = [
        r#"{"bytes":"<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' from='capulet.lit' to='montague.lit' version='1.0'><bidi xmlns='urn:xmpp:bidi'/><db:result from='capulet.lit' to='montague.lit'>0123456789abcdef</db:result>"}"#,
        r#"{"answer":{"checked":"valid"}}"#,
        r#"{"bytes":"<db:result from='chat.capulet.lit' to='montague.lit'>0123456789abcdef</db:result>"}"#,
        r#"{"answer":{"checked":"connect-failed"}}"#,
        r#"{"bytes":"<db:verify from='x.lit' to='montague.lit' id='7'>0123456789abcdef</db:verify>"}"#,
        r#"{"answer":{"awaited":"nowhere"}}"#,
        r#"{"stanza":"<message from='romeo@montague.lit' to='juliet@capulet.lit'/>"}"#,
        r#"{"bytes":"<message from='nurse@chat.capulet.lit' to='romeo@montague.lit'/>"}"#,
    ];
    let (output, text) = servers("s2s-receiver", &["--local", "montague.lit"], &script);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(
        names(&output),
        [
            "secured",
            "bidirectional",
            "verify",
            "dialback-validated",
            "established",
            "send-opened",
            "receive-opened",
            "verify",
            "dialback-refused",
            "vouch",
            "dialback-vouched",
            "send-closed",
            "receive-closed",
            "closed",
        ]
    );
    let refused = "<remote-connection-failed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>";
    assert!(text.contains(refused), "{text}");
    let back = "<message from='romeo@montague.lit' to='juliet@capulet.lit'/>";
    assert!(text.contains(back), "{text}");
    // The pair that could not be decided is none of which stanzas may come.
    let error = lines(&output)
        .into_iter()
        .find_map(|row| row.get("error").cloned());
    assert_eq!(error.unwrap()["condition"], "invalid-from");
}

#[test]
fn drive_proves_domains_to_a_server_by_the_certificate() {
    let header = HEADER
        .replace("jabber:client", "jabber:server")
        .replace("to=", "from='capulet.lit' to=");
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>";
    let login =
        format!("{header}{auth}{header}<message from='a@capulet.lit' to='b@im.example.com'/>");
    for (proved, end) in [("capulet.lit", "online"), ("montague.lit", "failed")] {
        let arguments = [
            "drive",
            "s2s-receiver",
            "--local",
            "im.example.com",
            "--tls-up",
            "--peer-cert",
            proved,
            "--config",
            "transport=direct",
        ];
        let output = onetrip(&arguments, &login);
        let rows = lines(&output);
        assert_eq!(rows.last().unwrap()["state"], end, "{rows:?}");
        let arrived = rows.iter().any(|row| row.get("stanza").is_some());
        assert_eq!(arrived, end == "online");
    }
}
