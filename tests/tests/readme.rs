//! What the README shows is what the program draws.
#![allow(clippy::unwrap_used)]

use onetrip_simulator::{Lab, Settings, Strategy};
use onetrip_tls::rustls::Versions;
use onetrip_trace::{Style, ladder};

fn readme() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap()
}

/// `onetrip simulate --strategy c2s-quickstart-starttls-plain --ladder` gives the picture anew.
#[test]
fn the_ladder_in_the_readme_is_drawn_by_the_program() {
    let run = Lab::new()
        .unwrap()
        .run(
            &Strategy::named("c2s-quickstart-starttls-plain").unwrap(),
            &Settings::default(),
        )
        .unwrap();
    let drawn = ladder(&run.record, &Style::default());
    assert!(readme().contains(&drawn), "{drawn}");
}

/// From `cargo add` to a message that is sent, in at most 20 lines; `tests/interop` runs them.
#[test]
fn the_smallest_client_in_the_readme_is_an_example() {
    let hello = include_str!("../../crates/tokio/examples/hello.rs");
    assert!(readme().contains(&format!("```rust,no_run\n{hello}```")));
    assert!(hello.lines().count() <= 20);
}

/// `docs/pictures.sh` makes the table anew, and continuous integration compares.
#[test]
fn the_table_in_the_readme_is_printed_by_the_program() {
    let printed = include_str!("../../docs/img/logins.txt");
    assert!(printed.lines().count() > 10 && readme().contains(printed));
}

/// The table of round trips, cell by cell.
#[test]
fn the_round_trips_in_the_readme_are_those_of_the_simulator() {
    let lab = Lab::new().unwrap();
    let trips = |name: &str| {
        let settings = Settings {
            tls: Versions::Tls13,
            ..Settings::default()
        };
        let run = lab.run(&Strategy::named(name).unwrap(), &settings);
        run.unwrap().to_send.unwrap().1 / 2
    };
    let readme = readme();
    for (row, transport, login) in [
        ("STARTTLS, SCRAM", "starttls", "scram"),
        ("STARTTLS, PLAIN or EXTERNAL", "starttls", "plain"),
        ("direct TLS, SCRAM", "direct", "scram"),
        ("direct TLS, PLAIN or EXTERNAL", "direct", "plain"),
    ] {
        let trips = ["classic", "safe", "paced", "quickstart"]
            .map(|level| trips(&format!("c2s-{level}-{transport}-{login}")));
        let line = format!(
            "| {row} | {} | {} | {} | {} |",
            trips[0], trips[1], trips[2], trips[3]
        );
        assert!(readme.contains(&line), "{line}");
    }
    let [scram, plain] = ["scram", "plain"].map(|login| {
        ["sasl2-classic", "sasl2"].map(|way| trips(&format!("c2s-{way}-direct-{login}")))
    });
    let [token, ahead, early] =
        ["classic-direct", "direct", "direct-0rtt"].map(|way| trips(&format!("c2s-fast-{way}")));
    for line in [
        format!(
            "| direct TLS, SASL2 with Bind 2: SCRAM; PLAIN | {}; {} | {}; {} | | |",
            scram[0], plain[0], scram[1], plain[1]
        ),
        format!(
            "| direct TLS, the same by a FAST token; as early data of TLS 1.3 | {token} | {ahead}; {early} | | |"
        ),
    ] {
        assert!(readme.contains(&line), "{line}");
    }
}

/// A machine's table of states stands at the top of its module, which nobody sees who reads the documentation, and on the public
/// page that is about the machine.
#[test]
fn the_tables_of_states_on_the_front_pages_are_those_of_the_modules() {
    let crates = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates");
    for (page, modules) in [
        ("bidi/src/lib.rs", vec!["initiator", "receiver"]),
        (
            "core/src/lib.rs",
            vec![
                "initiator/mod",
                "receiver/client/mod",
                "receiver/server",
                "link/end",
            ],
        ),
        ("core/src/e2e/mod.rs", vec!["end_to_end"]),
        (
            "dialback/src/lib.rs",
            vec!["originating", "receiving", "verifying"],
        ),
        ("fast/src/lib.rs", vec!["initiator", "receiver"]),
        ("isr/src/lib.rs", vec!["initiator", "receiver"]),
        ("jingle-xmlstream/src/ibb/mod.rs", vec!["bytestream"]),
        ("jingle-xmlstream/src/s5b/mod.rs", vec!["negotiation"]),
        ("jingle-xmlstream/src/session/mod.rs", vec!["session"]),
        (
            "jingle-xmlstream/src/socks5/mod.rs",
            vec!["client", "connection"],
        ),
        ("negotiation/src/sasl/mod.rs", vec!["initiator", "receiver"]),
        (
            "negotiation/src/sasl2/mod.rs",
            vec!["initiator", "receiver"],
        ),
        ("quickstart/src/lib.rs", vec!["initiator"]),
        ("stream/src/lib.rs", vec!["reader/mod"]),
        (
            "stream-management/src/lib.rs",
            vec!["initiator", "receiver"],
        ),
        ("zero-handshake/src/lib.rs", vec!["link/mod"]),
    ] {
        let page = std::path::Path::new(crates).join(page);
        let front = std::fs::read_to_string(&page).unwrap();
        for module in modules {
            let module = page.with_file_name(module).with_extension("rs");
            let source = std::fs::read_to_string(&module).unwrap();
            let own: Vec<&str> = source
                .lines()
                .take_while(|line| line.starts_with("//!"))
                .collect();
            let tables = own.split(|line| !line.starts_with("//! |"));
            let mut tables = tables.filter(|table| !table.is_empty()).peekable();
            assert!(tables.peek().is_some(), "{}", module.display());
            for table in tables {
                assert!(front.contains(&table.join("\n")), "{}", module.display());
            }
        }
    }
}

/// Each piece of code on a page of `docs/` is in the example that the page names first, but for how far it is indented.
#[test]
fn the_code_on_the_pages_is_that_of_the_examples() {
    for (page, example) in [
        (
            include_str!("../../docs/driver.md"),
            include_str!("../examples/blocking.rs"),
        ),
        (
            include_str!("../../docs/server.md"),
            include_str!("../examples/tokio_server.rs"),
        ),
    ] {
        let trimmed = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
        let example = trimmed(example);
        let pieces: Vec<&str> = page.split("```rust\n").skip(1).collect();
        assert!(pieces.len() >= 3);
        for piece in pieces {
            let piece = trimmed(piece.split("```").next().unwrap());
            assert!(example.contains(&piece), "{piece}");
        }
    }
}
