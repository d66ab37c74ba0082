//! SASL2: proofs of the server, of a token, and of what was advertised.
#![cfg(feature = "scram")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use common::*;
use minidom::Element;
use onetrip_negotiation::sasl::{
    self, Answer, InitiatorConfig, Mechanism, ReceiverConfig as SaslConfig, Refusal,
};
use onetrip_negotiation::sasl2::{
    Action, Error, Event, Initiator, Input, Outcome, Receiver, ReceiverAction, ReceiverConfig,
    ReceiverInput, ReceiverRequest, Request,
};
use onetrip_stream::{Secret, ns};

use onetrip_negotiation::sasl::ChannelBinding;
use onetrip_stream::Token;

/// QS-27: what rides in a success whose proof is wrong is never told.
#[test]
fn qs_27_a_success_or_continue_without_the_servers_proof_is_not_believed() {
    for name in ["success", "continue"] {
        let mut server = Server::new(&[Mechanism::ScramSha256], &[]);
        let mut machine = client(&server.features(), "r0m30myr0m30", binding_request());
        with_env(|env| {
            machine.handle(env, Input::Start).unwrap();
            let Some(Action::Send {
                element,
                last: false,
            }) = machine.poll_action()
            else {
                panic!()
            };
            let challenge = server.takes(env, &element).unwrap();
            machine.handle(env, Input::Element(&challenge[0])).unwrap();
            let Some(Action::Derive(derivation)) = machine.poll_action() else {
                panic!()
            };
            machine
                .handle(env, Input::Derived(derivation.perform()))
                .unwrap();
            let _ = machine.poll_action();
        });
        let forged = SUCCESS.replace("success", name);
        let expected = Err(Error::Sasl(sasl::Error::ServerSignature));
        assert_eq!(takes(&mut machine, &forged), expected);
        assert_eq!(takes(&mut machine, SUCCESS), expected);
        assert!(machine.poll_action().is_none());
    }
}

/// XEP-0474: who takes a mechanism off the list on its way is found out.
#[test]
fn xep_0474_a_list_that_was_shortened_on_its_way_is_found_out() {
    let mechanisms = [Mechanism::ScramSha1, Mechanism::ScramSha256];
    let mut server = Server::new(&mechanisms, &[]);
    let shown = Server::new(&mechanisms[..1], &[]).features();
    let mut client = client(&shown, "r0m30myr0m30", binding_request());
    let result = run(&mut server, &mut client, 11);
    assert_eq!(result, Err(Error::Sasl(sasl::Error::Downgrade)));
}

fn token_server(binding: u8, token: &'static str) -> (Receiver, impl Fn(sasl::Request) -> Answer) {
    let mut config = SaslConfig::new(vec![Mechanism::ScramSha256]);
    config.tokens = Mechanism::TOKEN.to_vec();
    let binding = ChannelBinding::tls_exporter(Secret::new(vec![binding; 32]));
    let machine = Receiver::new(&ReceiverConfig::new(config), Some(binding), false);
    (machine, move |request| match request {
        sasl::Request::Token {
            username, proof, ..
        } => match proof.check(&Token::read(token).unwrap()) {
            Some(proof) => Answer::Token {
                identity: username,
                proof,
            },
            None => Answer::Refuse(Refusal::CredentialsExpired),
        },
        other => panic!("{other:?}"),
    })
}

/// ejabberd#4331: token mechanisms are in no list of mechanisms.
#[test]
fn tokens_are_taken_and_not_listed_and_both_ends_prove_them() {
    for (binding, token, good) in [(1, "t0ken", true), (2, "t0ken", false), (1, "x", false)] {
        let (mut server, decide) = token_server(binding, token);
        // There is no certificate to bind to here, so ENDP is not taken.
        assert_eq!(
            server.token_mechanisms(),
            [Mechanism::HtSha256None, Mechanism::HtSha256Exporter]
        );
        let offer = server.features()[0].clone();
        assert!(!String::from(&offer).contains("HT-SHA"));
        let mechanism = Mechanism::HtSha256Exporter;
        let config = InitiatorConfig::token("juliet", mechanism, Secret::from("t0ken"));
        let own = ChannelBinding::tls_exporter(Secret::new(vec![1; 32]));
        let offered = [mechanism.name().to_owned()];
        let choice = sasl::choose(&config, &offered, &[], Some(&own), 0).unwrap();
        let fast = Element::bare("fast", ns::FAST);
        let mut client = Initiator::new(&config, choice, Some(own), Request::new().with(fast));
        with_env(|env| {
            client.handle(env, Input::Start).unwrap();
            let Some(Action::Send {
                element,
                last: true,
            }) = client.poll_action()
            else {
                panic!()
            };
            server.handle(env, ReceiverInput::Early(&element)).unwrap();
            assert!(server.is_early() && server.inline()[0].is("fast", ns::FAST));
            let Some(ReceiverAction::Request(ReceiverRequest::Sasl(request))) =
                server.poll_action()
            else {
                panic!()
            };
            server
                .handle(env, ReceiverInput::Answer(decide(request)))
                .unwrap();
            if good {
                let _ = server.poll_action();
                let identifier = "juliet@capulet.lit".parse().unwrap();
                let inline = vec![];
                let outcome = Outcome::Success { identifier, inline };
                server.handle(env, ReceiverInput::Outcome(outcome)).unwrap();
            }
            let Some(ReceiverAction::Send(answer)) = server.poll_action() else {
                panic!()
            };
            client.handle(env, Input::Element(&answer)).unwrap();
            let event = client.poll_action();
            let is_in = matches!(event, Some(Action::Event(Event::Authenticated(_))));
            assert_eq!(is_in, good);
        });
    }
}

/// The stream ends, and nothing of the tail is believed.
#[test]
fn a_wrong_responder_proof_ends_it() {
    let mechanism = Mechanism::HtSha256None;
    let config = InitiatorConfig::token("juliet", mechanism, Secret::from("t0ken"));
    let offered = [mechanism.name().to_owned()];
    let choice = sasl::choose(&config, &offered, &[], None, 0).unwrap();
    for proof in ["", "<additional-data>AAAA</additional-data>"] {
        let mut machine = Initiator::new(&config, choice, None, Request::new());
        with_env(|env| machine.handle(env, Input::Start)).unwrap();
        let _ = machine.poll_action();
        let forged = SUCCESS.replace(
            "<authorization-identifier>",
            &format!("{proof}<authorization-identifier>"),
        );
        let expected = Err(Error::Sasl(sasl::Error::ServerSignature));
        assert_eq!(takes(&mut machine, &forged), expected);
        assert!(machine.poll_action().is_none());
    }
}

/// Whoever answers without having checked the proof has not answered.
#[test]
fn a_token_is_not_accepted_by_an_answer_to_another_question() {
    let (mut server, _) = token_server(1, "t0ken");
    let message = [&b"juliet\0"[..], &[1; 32]].concat();
    let message = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, message);
    let authenticate = read(&format!(
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='HT-SHA-256-NONE'>\
         <initial-response>{message}</initial-response></authenticate>"
    ));
    with_env(|env| {
        let element = ReceiverInput::Element(&authenticate);
        server.handle(env, element).unwrap();
        let request = server.poll_action();
        assert!(matches!(request, Some(ReceiverAction::Request(_))));
        let identity = "juliet".to_owned();
        let answer = ReceiverInput::Answer(Answer::Accept { identity });
        server.handle(env, answer).unwrap();
    });
    let Some(ReceiverAction::Send(failure)) = server.poll_action() else {
        panic!()
    };
    assert!(failure.has_child("not-authorized", ns::SASL));
}
