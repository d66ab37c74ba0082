//! `onetrip drive` with the machines of a client and of its server: what is printed, in order.

#[path = "support/run.rs"]
mod run;

use run::{HEADER, lines, onetrip};

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
