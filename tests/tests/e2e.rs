//! Two clients open a stream over every transport, in all three texts, and close it in order.

use std::time::Duration;

use onetrip_core::UsageError;
use onetrip_core::e2e::Config;
use onetrip_core::jingle::Dialect;
use onetrip_core::jingle::xtls::{Fingerprint, Hash};
use onetrip_core::stream::Domain;
use onetrip_simulator::certificates::Certificates;
use onetrip_tests::e2e::*;
use onetrip_tls::rustls::{ClientPairTls, Versions};

const LONG: Duration = Duration::from_secs(20);

fn identity(versions: Versions) -> ClientPairTls {
    let domain = Domain::new("montague.lit").unwrap();
    let certificates = Certificates::new(&[domain]).unwrap();
    ClientPairTls::new(&certificates.server_identity(), versions).unwrap()
}

/// With certificates that are real, and announced.
fn real(versions: Versions) -> Setting {
    let mut setting = Setting::new();
    let tls = [identity(versions), identity(versions)];
    for (config, tls) in setting.configs.iter_mut().zip(&tls) {
        config.session.certificate = Some(tls.certificate().to_vec());
    }
    setting.tls = Some(tls);
    setting
}

const TRANSPORTS: [&str; 5] = [
    "direct",
    "proxy of the initiator",
    "proxy of the responder",
    "in band",
    "in band at last",
];

fn over(transport: &str, setting: &mut Setting) {
    setting.candidates = match transport {
        "proxy of the initiator" => [by_proxy(ROMEO), vec![]],
        "proxy of the responder" => [vec![], by_proxy(JULIET)],
        "in band at last" => [vec![], vec![]],
        _ => [direct(ROMEO), direct(JULIET)],
    };
    for config in &mut setting.configs {
        config.session.s5b = transport != "in band";
    }
}

fn insecure(config: &mut Config) {
    config.session.certificate = None;
    config.session.security.allow_insecure = true;
}

#[test]
fn jxs_09_17_21_25_27_every_transport_in_every_dialect_with_and_without_tls() {
    for dialect in Dialect::ALL {
        for secure in [true, false] {
            for transport in TRANSPORTS {
                println!("{dialect:?} {transport} {secure}");
                let mut setting = Setting::new().with(|config| config.session.dialect = dialect);
                if !secure {
                    setting = setting.with(insecure);
                }
                over(transport, &mut setting);
                let mut duo = Duo::new(setting);
                duo.run_for(LONG);
                duo.assert_online(if secure { "Some(Announced)" } else { "None" });
                let in_band = duo
                    .sides
                    .iter()
                    .all(|side| side.written.is_empty() || transport == "in band at last");
                assert_eq!(in_band, transport.starts_with("in band"));
                duo.talk(20);
                duo.close_in_order(usize::from(secure));
            }
        }
    }
}

#[test]
fn jxs_19_20_tls_is_real_over_every_transport_in_both_versions() {
    for versions in [Versions::Tls13, Versions::Tls12] {
        for transport in TRANSPORTS {
            println!("{versions:?} {transport}");
            let mut setting = real(versions);
            over(transport, &mut setting);
            let mut duo = Duo::new(setting);
            duo.run_for(LONG);
            duo.assert_online("Some(Announced)");
            duo.talk(50);
            duo.close_in_order(JULIET);
            let wire: Vec<u8> = duo
                .sides
                .iter()
                .flat_map(|side| side.written.clone())
                .collect();
            assert!(
                !wire
                    .windows(6)
                    .any(|six| six == b"stream" || six == b"<messa"),
                "in clear"
            );
        }
    }
}

#[test]
fn a_certificate_that_was_known_is_told_apart() {
    let mut setting = real(Versions::Tls13);
    for end in [ROMEO, JULIET] {
        let theirs = setting.configs[end ^ 1]
            .session
            .certificate
            .clone()
            .unwrap();
        setting.configs[end].session.security.pins = vec![Fingerprint::of(&theirs, Hash::Sha256)];
    }
    let mut duo = Duo::new(setting);
    duo.run_for(LONG);
    duo.assert_online("Some(Pinned)");
    duo.talk(1);
    assert!(duo.sides[ROMEO].received[0].verification.is_some());
}

#[test]
fn in_band_bytes_wait_within_bounds_and_close_behind_what_waits() {
    let mut setting = Setting::new().with(|config| {
        config.session.s5b = false;
        config.backlog = 10_000;
    });
    setting.split = 100;
    let mut duo = Duo::new(setting);
    duo.run();
    let body = "x".repeat(5000);
    let mut sent = 0;
    let full = loop {
        match duo.act(ROMEO, |machine, env| machine.send(env, &message(&body))) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent < 100, "without bound");
    };
    assert_eq!(full, UsageError::Full);
    assert!(duo.sides[JULIET].received.is_empty());
    // What waits is not cut off by the time that a footer may take.
    duo.act(ROMEO, |machine, env| machine.close(env));
    for _ in 0..20 {
        duo.now = duo.now + Duration::from_secs(6);
        duo.act(ROMEO, |machine, env| machine.handle_timeout(env));
        let Some(stanza) = duo.wire[JULIET].pop_front() else {
            break;
        };
        duo.deliver(JULIET, &stanza);
        while let Some(stanza) = duo.wire[ROMEO].pop_front() {
            duo.deliver(ROMEO, &stanza);
        }
    }
    duo.run();
    assert_eq!(duo.sides[JULIET].received.len(), sent);
    duo.assert_closed();
}

#[test]
fn room_is_told_of_once_when_there_is_some_again() {
    let mut duo = Duo::new(Setting::new().with(|config| {
        config.session.s5b = false;
        config.backlog = 1;
    }));
    duo.run();
    let body = "x".repeat(70_000);
    assert_eq!(
        duo.act(ROMEO, |machine, env| machine.send(env, &message(&body))),
        Ok(())
    );
    let full = duo.act(ROMEO, |machine, env| machine.send(env, &message("later")));
    assert_eq!(full, Err(UsageError::Full));
    duo.run();
    let told = duo.sides[ROMEO]
        .events
        .iter()
        .filter(|event| *event == "Writable")
        .count();
    assert_eq!(told, 1);
    assert_eq!(
        duo.act(ROMEO, |machine, env| machine.send(env, &message("later"))),
        Ok(())
    );
    duo.run();
    assert_eq!(duo.sides[JULIET].received.len(), 2);
}

#[test]
fn both_close_at_once() {
    for transport in TRANSPORTS {
        let mut setting = Setting::new();
        over(transport, &mut setting);
        let mut duo = Duo::new(setting);
        duo.run_for(LONG);
        duo.talk(3);
        duo.act(ROMEO, |machine, env| machine.close(env));
        duo.act(JULIET, |machine, env| machine.close(env));
        duo.run();
        duo.assert_closed();
        let refused = duo.act(ROMEO, |machine, env| machine.send(env, &message("late")));
        assert_eq!(refused, Err(UsageError::Closed));
    }
}

#[test]
fn what_is_closed_before_it_is_open_is_cancelled_or_declined() {
    let mut duo = Duo::new(Setting::new());
    duo.agrees = false;
    duo.run();
    let early = duo.act(ROMEO, |machine, env| machine.send(env, &message("early")));
    assert_eq!(early, Err(UsageError::NotOnline));
    duo.act(ROMEO, |machine, env| machine.close(env));
    duo.run();
    assert_eq!(
        duo.sides[ROMEO].verbs(),
        ["session-initiate", "session-terminate cancel"]
    );
    assert!(duo.sides.iter().all(|side| side.end().is_over()));

    let mut duo = Duo::new(Setting::new());
    duo.agrees = false;
    duo.run();
    duo.act(JULIET, |machine, env| machine.close(env));
    duo.run();
    assert_eq!(duo.sides[JULIET].verbs(), ["session-terminate decline"]);
    assert!(duo.sides.iter().all(|side| side.end().is_over()));
}

#[test]
fn nobody_connects_before_the_session_is_accepted() {
    let mut duo = Duo::new(Setting::new());
    duo.agrees = false;
    duo.run_for(Duration::from_secs(60));
    assert!(duo.cables.is_empty());
    duo.accept();
    duo.run();
    assert!(!duo.cables.is_empty());
    duo.assert_online("Some(Announced)");
}

#[test]
fn the_same_bytes_in_any_pieces_lead_to_the_same() {
    for transport in TRANSPORTS {
        let done = |split: usize| {
            let mut setting = Setting::new();
            over(transport, &mut setting);
            if transport == "direct" {
                // Of two that connect to each other it is chance who is first.
                setting.candidates[ROMEO].clear();
            }
            setting.split = split;
            let mut duo = Duo::new(setting);
            duo.run_for(LONG);
            duo.talk(5);
            duo.close_in_order(ROMEO);
            duo.sides.map(|side| {
                let said: Vec<String> = side.said.iter().map(|one| format!("{one:?}")).collect();
                let (mut said, events, bodies) = (said, side.events.clone(), side.bodies());
                said.sort();
                (said, events, bodies, side.written)
            })
        };
        let whole = done(usize::MAX);
        for split in [1, 2, 3, 7, 48] {
            let done = done(split);
            for end in [ROMEO, JULIET] {
                assert_eq!(done[end].0, whole[end].0, "{transport} {split}");
                assert_eq!(done[end].1, whole[end].1, "{transport} {split}");
                assert_eq!(done[end].2, whole[end].2, "{transport} {split}");
                let written = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                assert_eq!(
                    written(&done[end].3),
                    written(&whole[end].3),
                    "{transport} {split}"
                );
            }
        }
    }
}
