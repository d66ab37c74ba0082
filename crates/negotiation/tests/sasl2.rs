//! SASL2: initiator against receiver over real bytes, at every split.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use common::*;
use onetrip_negotiation::sasl::{Mechanism, ReceiverConfig as SaslConfig, Refusal};
use onetrip_negotiation::sasl2::{
    Action, Error, Event, Failure, Offer, Receiver, ReceiverConfig, ReceiverEvent, Version,
    config_version,
};
use onetrip_stream::ns;

#[test]
fn every_mechanism_logs_in_and_binds_at_every_split() {
    for mechanism in [
        Mechanism::Plain,
        Mechanism::ScramSha1,
        Mechanism::ScramSha256,
    ] {
        if !mechanism.is_built_in() {
            continue;
        }
        for split in 0..400 {
            let mut server = Server::new(&[mechanism], &[]);
            let mut client = client(&server.features(), "r0m30myr0m30", binding_request());
            let success = success(run(&mut server, &mut client, split).unwrap());
            assert_eq!(success.mechanism, mechanism);
            assert_eq!(success.identifier.resource(), Some("balcony"));
            assert!(success.inline[0].is("bound", ns::BIND2));
            assert_eq!(
                server.machine.user_agent().unwrap().id.as_deref(),
                Some(AGENT)
            );
            assert!(!client.is_running() && !server.machine.is_running());
        }
    }
}

#[test]
fn tasks_come_one_after_the_other_and_only_known_ones_are_begun() {
    let mut server = Server::new(&[Mechanism::Plain], &["TOTP", "HOTP"]);
    let mut known = client(&server.features(), "r0m30myr0m30", binding_request());
    assert!(
        success(run(&mut server, &mut known, 9).unwrap())
            .identifier
            .resource()
            .is_some()
    );

    let mut server = Server::new(&[Mechanism::Plain], &["DANCE"]);
    let mut unknown = client(&server.features(), "r0m30myr0m30", binding_request());
    let event = run(&mut server, &mut unknown, 9).unwrap();
    // The abort is sent first, and the server says that it has seen it.
    assert_eq!(event, Event::UnknownTasks(vec!["DANCE".to_owned()]));
    let Some(Action::Event(Event::Refused(failure))) = unknown.poll_action() else {
        panic!()
    };
    assert_eq!(failure.reason.refusal, Refusal::Aborted);
    assert!(matches!(
        server.events[..],
        [ReceiverEvent::Refused {
            exhausted: false,
            ..
        }]
    ));
}

#[test]
fn a_wrong_password_leaves_the_stream_for_another_attempt_three_times() {
    let mut server = Server::new(&[Mechanism::Plain], &[]);
    for attempt in 1..=3 {
        let mut client = client(&server.features(), "wrong", binding_request());
        let Event::Refused(failure) = run(&mut server, &mut client, 7).unwrap() else {
            panic!()
        };
        assert_eq!(failure, Failure::new(Refusal::NotAuthorized));
        let exhausted = attempt == 3;
        assert_eq!(
            server.events.pop(),
            Some(ReceiverEvent::Refused {
                refusal: Refusal::NotAuthorized,
                exhausted
            })
        );
    }
    let mut late = client(&server.features(), "r0m30myr0m30", binding_request());
    assert_eq!(run(&mut server, &mut late, 7), Err(Error::OutOfTurn));
}

/// xeps: SASL2 moved to `:2` in 2022, and XEP-0397 has not followed.
#[test]
fn the_old_namespace_is_answered_in_the_old_namespace() {
    let mut server = Server::new(&[Mechanism::Plain], &["TOTP"]);
    let mut request = binding_request();
    request.version = Version::One;
    let mut client = client(&server.features(), "r0m30myr0m30", request);
    assert!(
        success(run(&mut server, &mut client, 3).unwrap())
            .identifier
            .resource()
            .is_some()
    );
}

/// XEP-0509 §2.2: without prejudice, so it may happen any number of times.
#[test]
fn a_login_that_assumes_another_configuration_is_turned_away_without_prejudice() {
    let mut config = ReceiverConfig::new(SaslConfig::new(vec![Mechanism::Plain]));
    config.config_version = Some("two".to_owned());
    let mut server = Server {
        machine: Receiver::new(&config, None, false),
        ..Server::new(&[], &[])
    };
    assert_eq!(
        Offer::read(&server.features())
            .unwrap()
            .config_version
            .as_deref(),
        Some("two")
    );
    for _ in 0..9 {
        let request = binding_request().with(config_version("one"));
        let mut client = client(&server.features(), "r0m30myr0m30", request);
        let Event::Refused(failure) = run(&mut server, &mut client, 5).unwrap() else {
            panic!()
        };
        assert!(failure.is_config_mismatch());
    }
    let request = binding_request().with(config_version("two"));
    let mut client = client(&server.features(), "r0m30myr0m30", request);
    assert_eq!(
        success(run(&mut server, &mut client, 5).unwrap()).mechanism,
        Mechanism::Plain
    );
}

/// No mechanism, no feature (XEP-0388 §2.1).
#[test]
fn nothing_is_offered_without_a_mechanism() {
    assert!(Server::new(&[], &[]).machine.features().is_empty());
    assert!(
        Server::new(&[Mechanism::External], &[])
            .machine
            .features()
            .is_empty()
    );
}
