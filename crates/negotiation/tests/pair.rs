//! Initiator against receiver, for every mechanism and every way to fail.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use minidom::Element;
use onetrip_negotiation::sasl::{
    Action, Answer, ChannelBinding, Event, Failure, Initiator, InitiatorConfig, Input, Mechanism,
    Receiver, ReceiverAction, ReceiverConfig, ReceiverEvent, ReceiverInput, Refusal, Request,
    choose,
};
use onetrip_stream::{Build, Env, Instant, Secret, ns};

/// What came of an exchange.
#[derive(Debug, PartialEq)]
enum Outcome {
    Both(Mechanism, String),
    Refused(Failure),
}

/// A server that knows juliet, and lets her act as nobody else.
fn decide(request: Request) -> Answer {
    match request {
        Request::Password {
            username,
            authzid,
            password,
            ..
        } => {
            if authzid.is_some_and(|authzid| authzid != username) {
                Answer::Refuse(Refusal::InvalidAuthzid)
            } else if username == "juliet" && password.expose() == b"r0m30myr0m30" {
                Answer::Accept { identity: username }
            } else {
                Answer::Refuse(Refusal::NotAuthorized)
            }
        }
        #[cfg(feature = "scram")]
        Request::Keys { username, hash, .. } if username == "juliet" => {
            let keys = onetrip_negotiation::sasl::StoredKeys::from_password(
                hash,
                "r0m30myr0m30",
                b"salt".to_vec(),
                4096,
            );
            Answer::Keys(keys.unwrap())
        }
        Request::Keys { .. } => Answer::Unknown,
        Request::Certificate { authzid } => Answer::Accept {
            identity: authzid.unwrap_or("capulet.lit".into()),
        },
        #[cfg(feature = "scram")]
        Request::Token {
            username, proof, ..
        } => match proof.check(&onetrip_stream::Token::read("t0ken").unwrap()) {
            Some(proof) => Answer::Token {
                identity: username,
                proof,
            },
            None => Answer::Refuse(Refusal::NotAuthorized),
        },
        Request::Anonymous => Answer::Accept {
            identity: "guest".into(),
        },
        other => panic!("{other:?}"),
    }
}

/// The channel binding data that the client and the server see.
struct Bindings(Option<u8>, Option<u8>);

fn binding(byte: Option<u8>) -> Option<ChannelBinding> {
    byte.map(|byte| ChannelBinding::tls_exporter(Secret::new(vec![byte; 32])))
}

fn run(
    config: &InitiatorConfig,
    offered: &[Mechanism],
    bindings: &Bindings,
    shown: &[Mechanism],
) -> Outcome {
    let mut seed = 0_u8;
    let mut entropy = move |out: &mut [u8]| {
        seed = seed.wrapping_add(1);
        out.fill(seed);
    };
    let mut env = Env::new(Instant::EPOCH, &mut entropy);
    let mut server = Receiver::new(
        &ReceiverConfig::new(offered.to_vec()),
        binding(bindings.1),
        true,
    );
    let names: Vec<String> = shown
        .iter()
        .map(|mechanism| mechanism.name().to_owned())
        .collect();
    let choice = choose(
        config,
        &names,
        &["tls-exporter".to_owned()],
        binding(bindings.0).as_ref(),
        0,
    )
    .expect("a mechanism");
    let mut client = Initiator::new(config, choice, binding(bindings.0));
    client.handle(&mut env, Input::Start).unwrap();
    let mut accepted = None;
    loop {
        let mut moved = false;
        while let Some(action) = client.poll_action() {
            moved = true;
            match action {
                Action::Send { element, .. } => server
                    .handle(&mut env, ReceiverInput::Element(&element))
                    .unwrap(),
                #[cfg(feature = "scram")]
                Action::Derive(derivation) => client
                    .handle(&mut env, Input::Derived(derivation.perform()))
                    .unwrap(),
                Action::Event(Event::Authenticated { mechanism }) => {
                    return Outcome::Both(mechanism, accepted.unwrap());
                }
                Action::Event(Event::Refused(failure)) => return Outcome::Refused(failure),
                other => panic!("{other:?}"),
            }
        }
        while let Some(action) = server.poll_action() {
            moved = true;
            match action {
                ReceiverAction::Send(element) => {
                    client.handle(&mut env, Input::Element(&element)).unwrap()
                }
                ReceiverAction::Request(request) => server
                    .handle(&mut env, ReceiverInput::Answer(decide(request)))
                    .unwrap(),
                ReceiverAction::Event(ReceiverEvent::Authenticated { identity, .. }) => {
                    accepted = Some(identity)
                }
                ReceiverAction::Event(_) => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(moved, "both wait");
    }
}

fn password(text: &str) -> InitiatorConfig {
    InitiatorConfig::password("juliet", Secret::from(text))
}

fn refusal(outcome: Outcome) -> Refusal {
    match outcome {
        Outcome::Refused(failure) => failure.refusal,
        Outcome::Both(..) => panic!("authenticated"),
    }
}

#[test]
fn every_mechanism_authenticates_both_ways() {
    let bound = Bindings(Some(1), Some(1));
    for mechanism in Mechanism::ALL
        .into_iter()
        .filter(|mechanism| mechanism.is_built_in())
    {
        let (config, identity) = match mechanism {
            Mechanism::External => (InitiatorConfig::external(None), "capulet.lit"),
            Mechanism::Anonymous => (InitiatorConfig::anonymous(), "guest"),
            _ => (password("r0m30myr0m30"), "juliet"),
        };
        assert_eq!(
            run(&config, &[mechanism], &bound, &[mechanism]),
            Outcome::Both(mechanism, identity.to_owned())
        );
    }
}

#[test]
fn a_wrong_password_is_refused_by_every_mechanism() {
    let bound = Bindings(Some(1), Some(1));
    let with_password = |mechanism: &Mechanism| {
        mechanism.is_built_in() && !matches!(mechanism, Mechanism::External | Mechanism::Anonymous)
    };
    for mechanism in Mechanism::ALL.into_iter().filter(with_password) {
        assert_eq!(
            refusal(run(&password("wrong"), &[mechanism], &bound, &[mechanism])),
            Refusal::NotAuthorized,
            "{mechanism}"
        );
    }
}

#[test]
fn what_is_not_offered_is_an_invalid_mechanism() {
    let outcome = run(
        &password("r0m30myr0m30"),
        &[Mechanism::External],
        &Bindings(None, None),
        &[Mechanism::Plain],
    );
    assert_eq!(refusal(outcome), Refusal::InvalidMechanism);
}

#[test]
fn acting_as_somebody_else_is_refused() {
    let mut config = password("r0m30myr0m30");
    config.authzid = Some("romeo".into());
    assert_eq!(
        refusal(run(
            &config,
            &[Mechanism::Plain],
            &Bindings(None, None),
            &[Mechanism::Plain]
        )),
        Refusal::InvalidAuthzid
    );
}

#[cfg(feature = "scram")]
mod scram {
    use super::*;
    use Mechanism::{HtSha256Exporter, HtSha256None, ScramSha1, ScramSha1Plus, ScramSha256};

    #[test]
    fn a_token_logs_in_on_its_own_channel_and_both_ends_prove_it() {
        let one = Bindings(Some(1), Some(1));
        let token = |token: &str, mechanism| {
            InitiatorConfig::token("juliet", mechanism, Secret::from(token))
        };
        for mechanism in [HtSha256None, HtSha256Exporter] {
            let good = run(&token("t0ken", mechanism), &[mechanism], &one, &[mechanism]);
            assert_eq!(good, Outcome::Both(mechanism, "juliet".to_owned()));
            let wrong = run(&token("other", mechanism), &[mechanism], &one, &[mechanism]);
            assert_eq!(refusal(wrong), Refusal::NotAuthorized);
        }
        let bound = token("t0ken", HtSha256Exporter);
        let relayed = Bindings(Some(1), Some(2));
        let outcome = run(&bound, &[HtSha256Exporter], &relayed, &[HtSha256Exporter]);
        assert_eq!(refusal(outcome), Refusal::NotAuthorized);
    }

    /// A password is not a token, whatever a server offers.
    #[test]
    fn a_password_never_chooses_a_token_mechanism() {
        let offered = [HtSha256None.name().to_owned(), "PLAIN".to_owned()];
        let choice = choose(&password("pw"), &offered, &[], None, 0).unwrap();
        assert_eq!(choice.mechanism(), Mechanism::Plain);
    }

    #[test]
    fn a_relayed_session_is_refused_by_its_channel_binding() {
        let outcome = run(
            &password("r0m30myr0m30"),
            &[ScramSha1Plus],
            &Bindings(Some(1), Some(2)),
            &[ScramSha1Plus],
        );
        assert_eq!(refusal(outcome), Refusal::NotAuthorized);
    }

    /// RFC 5802 §6: the client could bind and was shown no -PLUS, but the server had shown it.
    #[test]
    fn a_list_that_lost_its_plus_on_the_way_is_refused() {
        let outcome = run(
            &password("r0m30myr0m30"),
            &[ScramSha1, ScramSha1Plus],
            &Bindings(Some(1), Some(1)),
            &[ScramSha1],
        );
        assert_eq!(refusal(outcome), Refusal::NotAuthorized);
    }

    #[test]
    fn an_unknown_user_sees_the_same_salt_twice_and_fails_at_the_end() {
        let mut entropy = |out: &mut [u8]| out.fill(9);
        let mut env = Env::new(Instant::EPOCH, &mut entropy);
        let mut config = ReceiverConfig::new(vec![ScramSha256]);
        config.decoy = Some(Secret::from("server-wide"));
        let mut challenges = Vec::new();
        for _ in 0..2 {
            let mut server = Receiver::new(&config, None, false);
            let auth = Element::bare("auth", ns::SASL)
                .with_attr("mechanism", "SCRAM-SHA-256")
                .with_text("biwsbj1ub2JvZHkscj1hYmM=");
            server
                .handle(&mut env, ReceiverInput::Element(&auth))
                .unwrap();
            assert!(matches!(
                server.poll_action(),
                Some(ReceiverAction::Request(Request::Keys { .. }))
            ));
            assert!(server.is_deciding());
            server
                .handle(&mut env, ReceiverInput::Answer(Answer::Unknown))
                .unwrap();
            let Some(ReceiverAction::Send(challenge)) = server.poll_action() else {
                panic!()
            };
            assert_eq!(challenge.name(), "challenge");
            challenges.push(challenge.text());
        }
        assert_eq!(challenges[0], challenges[1]);
        let mut config = password("r0m30myr0m30");
        config.username = "nobody".into();
        assert_eq!(
            refusal(run(
                &config,
                &[ScramSha256],
                &Bindings(None, None),
                &[ScramSha256]
            )),
            Refusal::NotAuthorized
        );
    }

    #[test]
    fn qs_27_success_without_proof_is_an_error_and_stays_one() {
        let mut entropy = |out: &mut [u8]| out.fill(9);
        let mut env = Env::new(Instant::EPOCH, &mut entropy);
        let config = password("r0m30myr0m30");
        let choice = choose(&config, &["SCRAM-SHA-1".to_owned()], &[], None, 0).unwrap();
        let mut client = Initiator::new(&config, choice, None);
        client.handle(&mut env, Input::Start).unwrap();
        assert!(matches!(
            client.poll_action(),
            Some(Action::Send { last: false, .. })
        ));
        let success = Element::bare("success", ns::SASL);
        for _ in 0..2 {
            let error = client
                .handle(&mut env, Input::Element(&success))
                .unwrap_err();
            assert_eq!(error, onetrip_negotiation::sasl::Error::ServerSignature);
            assert!(client.poll_action().is_none());
        }
    }

    #[test]
    fn a_password_that_saslprep_refuses_is_refused_here() {
        assert_eq!(
            refusal(run(
                &password("\u{7}"),
                &[ScramSha1],
                &Bindings(None, None),
                &[ScramSha1]
            )),
            Refusal::NotAuthorized
        );
    }
}

#[test]
fn a_second_auth_replaces_the_first_and_attempts_run_out() {
    let mut entropy = |out: &mut [u8]| out.fill(9);
    let mut env = Env::new(Instant::EPOCH, &mut entropy);
    let mut server = Receiver::new(&ReceiverConfig::new(vec![Mechanism::Plain]), None, false);
    let auth = |text: &str| {
        Element::bare("auth", ns::SASL)
            .with_attr("mechanism", "PLAIN")
            .with_text(text)
    };
    // Without an initial response it is asked for; a new auth takes over.
    server
        .handle(&mut env, ReceiverInput::Element(&auth("")))
        .unwrap();
    let Some(ReceiverAction::Send(challenge)) = server.poll_action() else {
        panic!()
    };
    assert_eq!(challenge.name(), "challenge");
    // No decision is pending, so none is taken.
    server
        .handle(
            &mut env,
            ReceiverInput::Answer(Answer::Accept {
                identity: "eve".into(),
            }),
        )
        .unwrap();
    assert!(server.poll_action().is_none());
    for left in [2, 1, 0] {
        server
            .handle(&mut env, ReceiverInput::Element(&auth("!")))
            .unwrap();
        assert!(matches!(
            server.poll_action(),
            Some(ReceiverAction::Send(_))
        ));
        let Some(ReceiverAction::Event(ReceiverEvent::Refused { refusal, exhausted })) =
            server.poll_action()
        else {
            panic!()
        };
        assert_eq!(
            (refusal, exhausted),
            (Refusal::IncorrectEncoding, left == 0)
        );
    }
    server
        .handle(
            &mut env,
            ReceiverInput::Element(&auth("AGp1bGlldAByMG0zMG15cjBtMzA=")),
        )
        .unwrap();
    assert!(server.poll_action().is_none());
    let stray = Element::bare("challenge", ns::SASL);
    assert!(
        server
            .handle(&mut env, ReceiverInput::Element(&stray))
            .is_err()
    );
}

#[test]
fn messages_that_do_not_parse_are_malformed() {
    let mut entropy = |out: &mut [u8]| out.fill(9);
    let mut env = Env::new(Instant::EPOCH, &mut entropy);
    for text in [
        "AA==",
        "anVsaWV0",
        "AGp1bGlldAA=",
        "AGp1bGlldAB4AHk=",
        "/w==",
    ] {
        let mut server = Receiver::new(&ReceiverConfig::new(vec![Mechanism::Plain]), None, false);
        let auth = Element::bare("auth", ns::SASL)
            .with_attr("mechanism", "PLAIN")
            .with_text(text);
        server
            .handle(&mut env, ReceiverInput::Element(&auth))
            .unwrap();
        let _ = server.poll_action();
        let event = server.poll_action();
        let malformed = matches!(
            event,
            Some(ReceiverAction::Event(ReceiverEvent::Refused {
                refusal: Refusal::MalformedRequest,
                ..
            }))
        );
        assert!(malformed, "{text}: {event:?}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]
    /// Whatever a server says, the client neither panics nor believes it.
    #[test]
    fn no_challenge_makes_a_client_believe(challenges in proptest::collection::vec("[ -~]{0,80}|r=[A-Za-z0-9+/=]{24,40},s=[A-Za-z0-9]{8},i=[0-9]{1,8}", 1..4)) {
        let mut entropy = |out: &mut [u8]| out.fill(9);
        let mut env = Env::new(Instant::EPOCH, &mut entropy);
        let config = password("r0m30myr0m30");
        let name = if cfg!(feature = "scram") { "SCRAM-SHA-256" } else { "PLAIN" };
        let choice = choose(&config, &[name.to_owned()], &[], None, 0).unwrap();
        let mut client = Initiator::new(&config, choice, None);
        client.handle(&mut env, Input::Start).unwrap();
        for challenge in challenges {
            let challenge = Element::bare("challenge", ns::SASL).with_text(&challenge);
            let _ = client.handle(&mut env, Input::Element(&challenge));
        }
        while let Some(action) = client.poll_action() {
            let believed = matches!(action, Action::Event(Event::Authenticated { .. }));
            proptest::prop_assert!(!believed);
        }
    }
}
