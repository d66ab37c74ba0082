//! The second and the third text: what is wrong, malformed or out of place resumes nothing.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use minidom::Element;
use onetrip_isr::{
    Action, Dialect, Error, Event, Initiator, Keys, LoginAction, LoginReceiver, Place, Receiver,
    Refused, Rotation, Token, Verdict, grant_key, granted_key, sasl2,
};
use onetrip_stream::stored::StoredError;
use onetrip_stream::{Build as _, Env, Instant, Prover, Secret, TokenProof, ns};

/// The stream ends, and nothing of the answer is believed.
#[test]
fn a_wrong_responder_proof_is_an_error_whatever_else_is_in_the_answer() {
    let (world, _) = asked(Text::Second);
    let own = TokenProof::prove(world.ticket.token.secret(), Prover::Initiator, b"one");
    let good = TokenProof::prove(world.ticket.token.secret(), Prover::Responder, b"one");
    let answer = |mac: &[u8], algo: &str, namespace: &str| {
        let mac = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, mac);
        let xml = format!(
            "<inst-resumed xmlns='urn:xmpp:isr:0' key='new' h='21'><hmac><hash \
             xmlns='{namespace}' algo='{algo}'>\n {mac}\n </hash></hmac></inst-resumed>"
        );
        read(xml.as_bytes(), 0)
    };
    // The text writes its hash function in two ways.
    for algo in ["sha-256", "sha256"] {
        let verdict = asked(Text::Second)
            .1
            .handle(&answer(&good, algo, ns::HASHES_1));
        assert!(
            matches!(verdict, Ok(Verdict::Resumed { h: 21, .. })),
            "{algo}"
        );
    }
    for bad in [
        answer(&own, "sha-256", ns::HASHES_1),
        answer(&good[1..], "sha-256", ns::HASHES_1),
        answer(&good, "md5", ns::HASHES_1),
        answer(&good, "sha-256", "urn:x"),
        read(
            b"<inst-resumed xmlns='urn:xmpp:isr:0' key='new' h='21'/>",
            0,
        ),
    ] {
        let mut client = asked(Text::Second).1;
        assert_eq!(client.handle(&bad), Err(Error::Proof));
        let late = client.handle(&answer(&good, "sha-256", ns::HASHES_1));
        assert_eq!(late, Err(Error::Proof), "final");
    }
}

#[test]
fn answers_of_the_third_text_are_read_or_say_what_they_lack() {
    let answer = |attributes: &str, inside: &str| {
        let xml = format!(
            "<inst-resumed xmlns='https://xmpp.org/extensions/isr/0' {attributes}>{inside}</inst-resumed>"
        );
        asked(Text::Third).1.handle(&read(xml.as_bytes(), 0))
    };
    let resumed = "<resumed xmlns='urn:xmpp:sm:3' h='354' previd='s1'/>";
    assert!(matches!(
        answer("token='new'", resumed),
        Ok(Verdict::Resumed { h: 354, .. })
    ));
    assert_eq!(answer("", resumed), Err(Error::Attribute("token")));
    assert_eq!(answer("token='new'", ""), Err(Error::Attribute("resumed")));
    let other = resumed.replace("s1", "s2");
    assert_eq!(answer("token='new'", &other), Err(Error::Session));
    let bad = resumed.replace("354", "-1");
    assert_eq!(answer("token='new'", &bad), Err(Error::Attribute("h")));
    let failed = "<inst-resume-failed xmlns='https://xmpp.org/extensions/isr/0'>\
        <failed xmlns='urn:xmpp:sm:3' h='7'><item-not-found \
        xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed></inst-resume-failed>";
    let condition = Some("item-not-found".to_owned());
    let verdict = asked(Text::Third).1.handle(&read(failed.as_bytes(), 0));
    assert_eq!(
        verdict,
        Ok(Verdict::Failed {
            h: Some(7),
            condition
        })
    );
    let nonza = Element::bare("inst-resumed", ns::ISR);
    assert_eq!(asked(Text::Third).1.handle(&nonza), Err(Error::OutOfTurn));
}

#[test]
fn isr_r6_there_is_one_login_for_each_connection_and_malformed_ones_count() {
    let world = World::new(Text::Third, Rotation::default());
    let request = world.client().request(42).unwrap();
    let by_password = request.clone().with_attr("with-isr-token", "false");
    let without = Element::bare("inst-resume", ns::ISR_SASL2);
    let negative = Element::bare("inst-resume", ns::ISR_SASL2).with_child(
        Element::bare("resume", ns::STREAM_MANAGEMENT)
            .with_attr("previd", "s1")
            .with_attr("h", "-1"),
    );
    let mut entropy = |out: &mut [u8]| out.fill(3);
    let env = &mut Env::new(Instant::EPOCH, &mut entropy);
    for bad in [by_password, without, negative] {
        let mut server = LoginReceiver::new();
        for element in [&bad, &request] {
            server.login(env, element, MECHANISM, world.proof());
            assert!(matches!(server.poll_action(), Some(LoginAction::Refused)));
        }
    }
    let mut server = LoginReceiver::new();
    server.login(env, &request, MECHANISM, world.proof());
    server.login(env, &request, MECHANISM, world.proof());
    assert!(matches!(server.poll_action(), Some(LoginAction::Prove(_))));
    assert!(server.poll_action().is_none(), "nothing is read meanwhile");
    let good = TokenProof::new(
        Secret::new(
            TokenProof::prove(world.ticket.token.secret(), Prover::Initiator, b"").to_vec(),
        ),
        Secret::default(),
    );
    let proof = good.check(&world.ticket.token).unwrap();
    let failed = || Element::bare("failed", ns::STREAM_MANAGEMENT);
    assert_eq!(server.answer(failed()), failed(), "nothing is proved yet");
    server.accept(proof.clone());
    assert!(matches!(server.poll_action(), Some(LoginAction::Proved(_))));
    let answer = server.answer(failed());
    assert_eq!(answer.name(), "inst-resume-failed");
    assert_eq!(sasl2::inside(&answer), Some(&failed()));
    server.accept(proof);
    assert!(server.poll_action().is_none());
    assert_eq!(server.answer(failed()), failed(), "once");
}

/// A server that has no certificate to bind to does not take the second text for the first.
#[test]
fn the_second_text_is_not_taken_without_a_certificate_and_never_in_clear() {
    let world = World::new(Text::Second, Rotation::default());
    let request = world.client().request(42).unwrap();
    let mut entropy = |out: &mut [u8]| out.fill(3);
    let env = &mut Env::new(Instant::EPOCH, &mut entropy);
    for (mut server, place, condition) in [
        (Receiver::new(), Place::Secured, "bad-request"),
        (
            Receiver::new().with_end_point(Secret::from("one")),
            Place::Clear,
            "policy-violation",
        ),
        (
            Receiver::new().with_end_point(Secret::from("one")),
            Place::Authenticated,
            "unexpected-request",
        ),
    ] {
        server.handle(env, &request, place).unwrap();
        if place == Place::Clear {
            // ISR-R5: whoever listened can show the same proof.
            let exposed = Action::Event(Event::ProofExposed("s1".to_owned()));
            assert_eq!(server.poll_action(), Some(exposed));
        }
        let Some(Action::Send(failed)) = server.poll_action() else {
            panic!()
        };
        assert!(
            failed.has_child(condition, ns::STANZA_ERRORS),
            "{condition}"
        );
        assert!(server.poll_action().is_none());
    }
    assert_eq!(Initiator::new(world.ticket).request(1), None);
}

#[test]
fn a_key_needs_the_name_of_its_session_and_the_feature_its_mechanisms() {
    let key = Token::read("k3y").unwrap();
    let nameless = || Element::bare("enabled", ns::STREAM_MANAGEMENT);
    assert_eq!(granted_key(&grant_key(nameless(), &key, None)), None);
    assert_eq!(
        sasl2::granted(&sasl2::grant(nameless(), &key, None), MECHANISM),
        None
    );
    assert_eq!(sasl2::granted(&enabled(), MECHANISM), None);
    let location = onetrip_isr::Location::parse("isr.example.org:443", 1);
    let granted = sasl2::granted(&sasl2::grant(enabled(), &key, location.as_ref()), MECHANISM);
    assert_eq!(granted.unwrap().location, location);
    let granted = granted_key(&grant_key(enabled(), &key, location.as_ref()));
    assert_eq!(granted.unwrap().location, location);
    let features = Element::bare("features", ns::STREAMS);
    assert_eq!(sasl2::mechanisms(&features), None);
    let features = features.with_child(sasl2::feature(&[MECHANISM]));
    assert_eq!(
        sasl2::mechanisms(&features),
        Some(vec![MECHANISM.to_owned()])
    );
}

#[test]
fn a_store_of_keys_comes_back_from_its_bytes_and_from_no_others() {
    let mut world = World::new(Text::Third, Rotation::GraceUntilConfirmed);
    world.resume();
    let bytes = world.keys.to_bytes();
    assert_eq!(Keys::from_bytes(&bytes), Ok(world.keys));
    for cut in 0..bytes.len() {
        assert!(Keys::from_bytes(&bytes[..cut]).is_err());
    }
    assert_eq!(Keys::from_bytes(b"OTIK\x02"), Err(StoredError::Version(2)));
}

#[test]
fn no_key_is_ever_printed() {
    let (world, client) = asked(Text::Third);
    let key = world.ticket.token.expose();
    let mut server = LoginReceiver::new();
    let mut entropy = |out: &mut [u8]| out.fill(1);
    let env = &mut Env::new(Instant::EPOCH, &mut entropy);
    let request = world.client().request(42).unwrap();
    server.login(env, &request, MECHANISM, world.proof());
    for shown in [
        format!("{client:?}"),
        format!("{:?}", world.keys),
        format!("{:?}", world.ticket),
        format!("{:?}", server.poll_action()),
        format!("{server:?}"),
    ] {
        assert!(!shown.contains(key), "{shown}");
    }
}

#[test]
fn a_claim_of_the_second_text_is_none_of_the_third() {
    let second = World::new(Text::Second, Rotation::default());
    let mut third = World::new(Text::Third, Rotation::default());
    assert_eq!(second.ticket.token, third.ticket.token);
    let mut server = Receiver::new().with_end_point(Secret::from("one"));
    let mut entropy = |out: &mut [u8]| out.fill(9);
    let env = &mut Env::new(Instant::EPOCH, &mut entropy);
    let request = second.client().request(42).unwrap();
    server.handle(env, &request, Place::Secured).unwrap();
    let Some(Action::Prove(swap)) = server.poll_action() else {
        panic!()
    };
    assert_eq!(swap.claim.mechanism, None);
    let refused = third.keys.swap(&swap, Some(&juliet()), env.now);
    assert!(matches!(refused, Err(Refused::Proof { .. })));
    assert!(matches!(third.ticket.dialect, Dialect::Sasl2 { .. }));
}
