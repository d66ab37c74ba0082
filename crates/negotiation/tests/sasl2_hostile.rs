//! SASL2: what is out of turn, malformed or forged, and that nothing of it is believed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use common::*;
use minidom::Element;
use onetrip_negotiation::sasl::{self, Mechanism, Refusal};
use onetrip_negotiation::sasl2::{
    Action, Error, Event, Input, ReceiverAction, ReceiverEvent, ReceiverInput,
};
use onetrip_stream::{Build as _, ns};
use proptest::prelude::*;

#[test]
fn success_without_an_identifier_or_with_two_is_an_error() {
    assert!(takes(&mut begun(&[]), SUCCESS).unwrap().is_some());
    for (bad, error) in [
        ("<success xmlns='urn:xmpp:sasl:2'/>".to_owned(), Error::NoIdentifier),
        (SUCCESS.replace("juliet@capulet.lit/b", ""), Error::NoIdentifier),
        (SUCCESS.replace("juliet@capulet.lit/b", "@"), Error::NoIdentifier),
        (SUCCESS.replace("authorization-identifier", "authorization-identity"), Error::NoIdentifier),
        (
            SUCCESS.replace("<resumed", "<authorization-identifier xmlns='urn:xmpp:sasl:2'>a@b</authorization-identifier><resumed"),
            Error::Twice("authorization-identifier"),
        ),
    ] {
        let mut machine = begun(&[]);
        assert_eq!(takes(&mut machine, &bad), Err(error.clone()), "{bad}");
        // Final: even a good one comes too late.
        assert_eq!(takes(&mut machine, SUCCESS), Err(error));
    }
}

/// Openfire#3496, Openfire#3502.
#[test]
fn anything_between_the_steps_ends_the_attempt_on_either_side() {
    let mut machine = begun(&[]);
    assert_eq!(
        with_env(|env| machine.handle(env, Input::Intruder)),
        Err(Error::Intruder)
    );
    assert_eq!(takes(&mut machine, SUCCESS), Err(Error::Intruder));

    let mut server = Server::new(&[Mechanism::ScramSha1, Mechanism::Plain], &[]);
    let begin = read("<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'/>");
    with_env(|env| {
        let machine = &mut server.machine;
        machine.handle(env, ReceiverInput::Intruder).unwrap();
        machine.handle(env, ReceiverInput::Element(&begin)).unwrap();
        assert!(machine.is_running() && !machine.is_deciding());
        let intruder = machine.handle(env, ReceiverInput::Intruder);
        assert_eq!(intruder, Err(Error::Intruder));
        let again = machine.handle(env, ReceiverInput::Element(&begin));
        assert_eq!(again, Err(Error::Intruder));
    });
}

#[test]
fn what_is_out_of_turn_is_an_error_on_the_side_of_the_client() {
    let challenge = "<challenge xmlns='urn:xmpp:sasl:2'/>";
    let task_data = "<task-data xmlns='urn:xmpp:sasl:2'/>";
    let old = SUCCESS.replace("sasl:2", "sasl:1");
    let classic = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
    for bad in [
        task_data,
        &old,
        classic,
        "<next xmlns='urn:xmpp:sasl:2' task='x'/>",
    ] {
        assert_eq!(takes(&mut begun(&[]), bad), Err(Error::OutOfTurn), "{bad}");
    }
    let unasked = Err(Error::Sasl(sasl::Error::OutOfTurn));
    assert_eq!(takes(&mut begun(&[]), challenge), unasked);
    // A task that was offered has not been begun: success now is too early.
    let go_on = "<continue xmlns='urn:xmpp:sasl:2'><tasks><task>TOTP</task></tasks></continue>";
    let mut choosing = begun(&["TOTP"]);
    assert!(takes(&mut choosing, go_on).unwrap().is_some());
    assert_eq!(takes(&mut choosing, SUCCESS), Err(Error::OutOfTurn));
    for none in ["<tasks/>", "", "<tasks><task> </task></tasks>"] {
        let empty = go_on.replace("<tasks><task>TOTP</task></tasks>", none);
        assert_eq!(takes(&mut begun(&["TOTP"]), &empty), Err(Error::NoTask));
    }
    let mut over = begun(&[]);
    assert!(takes(&mut over, SUCCESS).unwrap().is_some());
    assert_eq!(takes(&mut over, SUCCESS), Err(Error::OutOfTurn));
}

#[test]
fn what_is_out_of_turn_is_an_error_on_the_side_of_the_server() {
    let authenticate = "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'>\
        <initial-response>AGp1bGlldAByMG0zMG15cjBtMzA=</initial-response></authenticate>";
    for early in ["response", "abort", "next", "task-data", "success"] {
        let mut server = Server::new(&[Mechanism::Plain], &[]);
        let element = Element::bare(early, ns::SASL2);
        let result = with_env(|env| server.takes(env, &element));
        assert_eq!(result, Err(Error::OutOfTurn), "{early}");
    }
    let mut server = Server::new(&[Mechanism::Plain], &["TOTP"]);
    with_env(|env| {
        let sent = server.takes(env, &read(authenticate)).unwrap();
        assert_eq!(sent[0].name(), "continue");
        let wrong = read("<next xmlns='urn:xmpp:sasl:2' task='DANCE'/>");
        assert_eq!(server.takes(env, &wrong).unwrap()[0].name(), "failure");
        assert_eq!(
            server.takes(env, &read(authenticate)).unwrap()[0].name(),
            "success"
        );
        // XEP-0388 §4.8: any further <authenticate/> is a stream error.
        assert_eq!(
            server.takes(env, &read(authenticate)),
            Err(Error::OutOfTurn)
        );
    });
}

#[test]
fn what_is_malformed_is_refused_by_its_condition() {
    let cases = [
        ("mechanism='DIGEST-MD5'", "", Refusal::InvalidMechanism),
        ("", "", Refusal::InvalidMechanism),
        // Token mechanisms that are not taken here.
        (
            "mechanism='HT-SHA-256-NONE'",
            "<initial-response>AAAA</initial-response>",
            Refusal::InvalidMechanism,
        ),
        (
            "mechanism='PLAIN'",
            "<initial-response>!</initial-response>",
            Refusal::IncorrectEncoding,
        ),
        (
            "mechanism='PLAIN'",
            "<initial-response/>",
            Refusal::MalformedRequest,
        ),
        (
            "mechanism='PLAIN'",
            "<initial-response/><initial-response/>",
            Refusal::MalformedRequest,
        ),
        (
            "mechanism='PLAIN'",
            "<user-agent/><user-agent/>",
            Refusal::MalformedRequest,
        ),
    ];
    for (attribute, children, refusal) in cases {
        let mut server = Server::new(&[Mechanism::Plain], &[]);
        let xml =
            format!("<authenticate xmlns='urn:xmpp:sasl:2' {attribute}>{children}</authenticate>");
        let sent = with_env(|env| server.takes(env, &read(&xml))).unwrap();
        assert!(sent[0].has_child(refusal.name(), ns::SASL), "{xml}");
    }
}

#[test]
fn xep_0388_a_password_as_early_data_is_refused_unread() {
    let authenticate = read(
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'>\
        <initial-response>AGp1bGlldAByMG0zMG15cjBtMzA=</initial-response></authenticate>",
    );
    let mut machine = Server::new(&[Mechanism::Plain], &[]).machine;
    with_env(|env| machine.handle(env, ReceiverInput::Early(&authenticate))).unwrap();
    let Some(ReceiverAction::Send(failure)) = machine.poll_action() else {
        panic!()
    };
    assert!(failure.has_child("not-authorized", ns::SASL));
}

#[test]
fn no_action_prints_what_it_carries() {
    let server = Server::new(&[Mechanism::Plain], &[]);
    let mut machine = client(&server.features(), "pw", binding_request());
    with_env(|env| machine.handle(env, Input::Start)).unwrap();
    let shown = format!("{:?}", machine.poll_action());
    assert_eq!(shown, "Some(Send(<authenticate/>, last: true))");
    assert!(!format!("{machine:?}").contains("pw"));
}

/// What may arrive at either end, in any order.
fn stray() -> impl Strategy<Value = Element> {
    let namespaces = prop_oneof![Just(ns::SASL2), Just(ns::SASL2_OLD), Just(ns::SASL)];
    let names = prop_oneof![
        Just("authenticate"),
        Just("challenge"),
        Just("response"),
        Just("success"),
        Just("failure"),
        Just("continue"),
        Just("next"),
        Just("task-data"),
        Just("abort"),
    ];
    let children = prop::collection::vec(
        prop_oneof![
            Just(
                "<initial-response xmlns='urn:xmpp:sasl:2'>AGp1bGlldAByMG0zMG15cjBtMzA=</initial-response>"
            ),
            Just(
                "<authorization-identifier xmlns='urn:xmpp:sasl:2'>a@b/c</authorization-identifier>"
            ),
            Just("<additional-data xmlns='urn:xmpp:sasl:2'>dj1h</additional-data>"),
            Just("<tasks xmlns='urn:xmpp:sasl:2'><task>TOTP</task></tasks>"),
            Just("<bound xmlns='urn:xmpp:bind:0'/>"),
        ],
        0..3,
    );
    (namespaces, names, children).prop_map(|(namespace, name, children)| {
        let element = Element::bare(name, namespace)
            .with_attr("mechanism", "PLAIN")
            .with_attr("task", "TOTP");
        let children = children.into_iter().map(read);
        children.fold(element, Element::with_child)
    })
}

proptest! {
    /// An error is final and the last word; success comes once, and only with an address.
    #[test]
    fn whatever_arrives_a_client_says_success_once_and_never_behind_an_error(
        strays in prop::collection::vec(stray(), 0..12)
    ) {
        let mut machine = begun(&["TOTP"]);
        let mut ended = false;
        for stray in &strays {
            let result = with_env(|env| machine.handle(env, Input::Element(stray)));
            while let Some(action) = machine.poll_action() {
                if let Action::Event(Event::Authenticated(success)) = action {
                    prop_assert!(!ended);
                    prop_assert_eq!(success.identifier.to_string(), "a@b/c");
                    ended = true;
                } else if let Action::Event(Event::Tasks { tasks, .. }) = action {
                    let input = Input::Next { task: &tasks[0], children: vec![] };
                    with_env(|env| machine.handle(env, input)).unwrap();
                }
            }
            if let Err(error) = result {
                ended = true;
                let again = with_env(|env| machine.handle(env, Input::Intruder));
                prop_assert_eq!(again, Err(error));
            }
        }
    }

    /// Nobody is in who has not given the password, and nothing of SASL2 is taken behind that.
    #[test]
    fn whatever_arrives_a_server_lets_nobody_in_without_a_password(
        strays in prop::collection::vec(stray(), 0..12), tasks in prop::bool::ANY
    ) {
        let tasks: &[&str] = if tasks { &["TOTP"] } else { &[] };
        let mut server = Server::new(&[Mechanism::Plain], tasks);
        let mut is_in = false;
        for stray in &strays {
            let result = with_env(|env| server.takes(env, stray));
            prop_assert!(!is_in || result.is_err());
            is_in |= server.events.iter().any(|event| matches!(event, ReceiverEvent::Authenticated { .. }));
            if is_in {
                let password = strays.iter().any(|stray| stray.name() == "authenticate"
                    || stray.name() == "response");
                prop_assert!(password && !server.machine.is_running());
            }
        }
    }
}
