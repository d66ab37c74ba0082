//! Mistakes of whoever calls the program: one line, and the right exit code.

#[path = "support/run.rs"]
mod run;

use std::process::Command;

use run::onetrip;

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
