//! The program as its users meet it: formats, exit codes, what it says.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

fn onetrip(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_onetrip"))
        .args(arguments)
        .env_remove("ONETRIP_PASSWORD")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

fn lines(output: &Output) -> Vec<serde_json::Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect()
}

const HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='im.example.com' version='1.0'>";

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

#[test]
fn drive_prints_what_a_receiver_does_in_order() {
    let starttls = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldAByMG0zMG15cjBtMzA=</auth>";
    let bind = "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
    let file = std::env::temp_dir().join(format!("onetrip-password-{}", std::process::id()));
    std::fs::write(&file, "r0m30myr0m30\n").unwrap();
    let login = format!("{HEADER}{starttls}{HEADER}{auth}{HEADER}{bind}<message/>");
    let mut seen = Vec::new();
    for split in ["0", "1"] {
        let arguments = [
            "drive",
            "c2s-receiver",
            "--local",
            "im.example.com",
            "--user",
            "juliet",
            "--password-file",
            file.to_str().unwrap(),
            "--tls-up",
            "--split",
            split,
        ];
        let output = onetrip(&arguments, &login);
        assert!(output.status.success());
        let rows = lines(&output);
        let last = rows.last().unwrap();
        assert_eq!(
            (&last["state"], &last["consumed"]),
            (&"online".into(), &login.len().into())
        );
        assert!(!String::from_utf8_lossy(&output.stdout).contains("r0m30myr0m30"));
        let of = |key: &str| {
            rows.iter()
                .filter_map(|row| row.get(key))
                .map(ToString::to_string)
                .collect::<String>()
        };
        seen.push((
            of("transmit").replace("\"\"", ""),
            of("upgrade"),
            of("event"),
            of("request"),
            of("stanza"),
        ));
    }
    assert_eq!(seen[0], seen[1], "no split changes what is done");
    std::fs::remove_file(file).unwrap();
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

/// Both ends of instant stream resumption by hand, with the token hidden.
#[test]
fn drive_goes_on_with_a_session() {
    let file = std::env::temp_dir().join(format!("onetrip-resume-{}", std::process::id()));
    std::fs::write(&file, "r0m30myr0m30").unwrap();
    let session = [
        "--tls-up",
        "--password-file",
        file.to_str().unwrap(),
        "--config",
        "transport=direct",
        "--config",
        "management=on",
        "--config",
        "previd=s1",
        "--config",
        "h=7",
        "--config",
        "acked=3",
        "--config",
        "tok=t0p",
    ];
    let mut arguments = vec![
        "drive",
        "c2s-receiver",
        "--local",
        "im.example.com",
        "--user",
        "juliet",
        "--config",
        "tokens=on",
    ];
    arguments.extend(session);
    let header = HEADER.replace(" version", " from='juliet@im.example.com' version");
    let request =
        "<inst-resume xmlns='urn:xmpp:isr:0' tok='t0p' h='3'/><message/><r xmlns='urn:xmpp:sm:3'/>";
    let output = onetrip(&arguments, &format!("{header}{request}"));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(
        text.contains("<inst-resumed xmlns='urn:xmpp:isr:0' h='7' tok='[hidden]'/>"),
        "{text}"
    );
    assert!(text.contains("<a xmlns='urn:xmpp:sm:3' h='8'/>"), "{text}");
    assert!(
        lines(&output)
            .iter()
            .any(|row| row["event"] == "online" && row["resumed"] == true),
        "{text}"
    );

    // The other end: refused, and so on with the login and `<resume/>` on the same stream.
    let mut arguments = vec![
        "drive",
        "c2s-initiator",
        "--local",
        "juliet@im.example.com/balcony",
        "--config",
        "mechanisms=PLAIN",
    ];
    arguments.extend(session);
    let response = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' from='im.example.com' id='1' version='1.0'>";
    let features = |inner: &str| format!("<stream:features>{inner}</stream:features>");
    let secured = features(
        "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>",
    );
    let authenticated =
        features("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><sm xmlns='urn:xmpp:sm:3'/>");
    let input = format!(
        "{response}{secured}<failed xmlns='urn:xmpp:isr:0'/><success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>\
         {response}{authenticated}<resumed xmlns='urn:xmpp:sm:3' previd='s1' h='3'/>"
    );
    let output = onetrip(&arguments, &input);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(
        text.contains("<inst-resume xmlns='urn:xmpp:isr:0' h='7' tok='[hidden]'/>"),
        "{text}"
    );
    assert!(
        text.contains("<resume xmlns='urn:xmpp:sm:3' h='7' previd='s1'/>"),
        "{text}"
    );
    assert!(!text.contains("t0p"), "{text}");
    assert_eq!(lines(&output).last().unwrap()["state"], "online", "{text}");
    std::fs::remove_file(file).unwrap();
}

#[test]
fn drive_says_what_was_wrong_where_and_by_which_section() {
    for (machine, source) in [
        ("stream", "RFC 6120 §11.1"),
        ("c2s-receiver", "RFC 6120 §11.1"),
    ] {
        let output = onetrip(
            &["drive", machine, "--local", "im.example.com"],
            &format!("{HEADER}<!-- -->"),
        );
        assert_eq!(output.status.code(), Some(1), "{machine}");
        let error = lines(&output)
            .into_iter()
            .find_map(|row| row.get("error").cloned())
            .unwrap();
        assert_eq!(
            (&error["condition"], &error["source"]),
            (&"restricted-xml".into(), &source.into())
        );
        assert_eq!(error["offset"], HEADER.len() + 4);
    }
}

#[test]
fn a_script_moves_the_clock_and_ends_the_connection() {
    let file = std::env::temp_dir().join(format!("onetrip-script-{}", std::process::id()));
    std::fs::write(&file, "{\"advance_ms\":30000}\n{\"eof\":true}\n").unwrap();
    let output = onetrip(
        &[
            "drive",
            "c2s-initiator",
            "--local",
            "juliet@im.example.com",
            "--input",
            file.to_str().unwrap(),
        ],
        "",
    );
    let rows = lines(&output);
    assert!(
        rows[0]["transmit"]
            .as_str()
            .unwrap()
            .ends_with("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
            || rows[0]["transmit"]
                .as_str()
                .unwrap()
                .starts_with("<stream:stream")
    );
    assert!(rows.iter().any(|row| row["close"] == true));
    std::fs::remove_file(file).unwrap();
}

#[test]
fn mistakes_are_told_in_one_line_with_the_right_exit_code() {
    let cases: [(&[&str], i32, &str); 9] = [
        (
            &["simulate", "--strategy", "c2s-quikstart-starttls-plain"],
            2,
            "did you mean c2s-quickstart-starttls-plain?",
        ),
        (
            &["trace", "--strategy", "c2s-sasl2-clasic-direct-scram"],
            2,
            "did you mean c2s-sasl2-classic-direct-scram?",
        ),
        (
            &["compare", "--strategy", "rfc6120-9.1"],
            2,
            "onetrip simulate --strategy rfc6120-9.1",
        ),
        (&["trace", "--strategy", "s2s-zero-tcp"], 2, "--simulate"),
        (&["compare", "--bugdet", "rtt=4"], 2, "--budget"),
        (&["compare", "juliet@localhost"], 2, "ONETRIP_PASSWORD"),
        (&["compare", "--strategy", "nonsense"], 2, "did you mean"),
        (&["simulat"], 2, "simulate"),
        (
            &[
                "drive",
                "c2s-initiator",
                "--local",
                "a@b",
                "--config",
                "colour=red",
            ],
            2,
            "no setting",
        ),
    ];
    for (arguments, code, hint) in cases {
        let output = onetrip(arguments, "");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.contains(hint), "{arguments:?}: {text}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_onetrip"))
        .args([
            "compare",
            "juliet@localhost",
            "--connect",
            "127.0.0.1:1",
            "--starttls",
        ])
        .env("ONETRIP_PASSWORD", "x")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "nobody listens there");
}

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
