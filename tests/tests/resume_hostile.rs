//! Bad input around resumption to a server, by login and by token: each with its stream error or its refusal on the
//! wire, a typed error with its source, and with nothing lost: the session is where it was, or its stanzas are handed
//! back. What a client may be told is in `resume_hostile_answers.rs`.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use onetrip_core::Event;
use onetrip_core::quickstart::Transport;
use onetrip_core::stream::Condition;
use onetrip_tests::house::House;
use onetrip_tests::words::{
    ASK, AUTH, ENABLE, HEADER, REQUEST, ack, failed, inst_resume, resume, too_high,
};

const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

/// What the client of this side was told to come back with.
fn token(house: &House, server: usize) -> String {
    let written = house.sides[server].behind(":tok='");
    written.split('\'').next().unwrap().to_owned()
}

/// A server with a session that was cut, of one stanza that is not acknowledged: its name, and its token.
fn cut_session() -> (House, String, String) {
    let mut house = House::default();
    let server = house.server();
    let id = house.log_in(server);
    house.send(server, "<message id='1'/>");
    let token = token(&house, server);
    house.cut(server);
    assert_eq!(house.waiting(), 1);
    (house, id, token)
}

/// The session is there and whole: its owner logs in, and has it, with the stanza that was not acknowledged.
fn assert_resumable_by_login(house: &mut House, id: &str) {
    assert_eq!((house.waiting(), house.holders(id).len()), (1, 0));
    let server = house.server();
    let text = format!("{HEADER}{AUTH}{HEADER}{}", resume(id, 0));
    house.give(server, text).unwrap();
    assert_eq!(house.holders(id), [server]);
    assert!(house.sides[server].written.ends_with("<message id='1'/>"));
}

/// The stream goes on as if nothing had been asked: a login, and a session of its own.
fn assert_log_in_goes_on(house: &mut House, server: usize, text: &str) {
    house.give(server, text).unwrap();
    let granted = house.sides[server].granted();
    assert!(granted.is_some_and(|granted| granted.id.is_some()));
}

/// XEP-0198 §6: both roles; the counts are wrong and would be again, so the session is over and all is handed back.
#[test]
fn an_h_too_high_in_an_answer_ends_the_session_and_hands_back() {
    let mut house = House::default();
    let pair = house.pair();
    for place in pair {
        house.send(place, "<message id='1'/>");
        house.take_wire(place);
        let error = house.give(place, ack(2)).unwrap_err();
        house.assert_failed(place, &error, Condition::UndefinedCondition, "XEP-0198 §6");
        let side = &house.sides[place];
        assert_eq!(side.count(&too_high(2, 1)), 1, "{}", side.written);
        assert_eq!(side.handed_back_text(), ["<message id='1'/>"]);
    }
    assert_eq!((house.waiting(), house.resumption()), (0, None));
}

/// The same modulo 2^32: an `h` behind what was acknowledged is ahead of what was sent.
#[test]
fn an_h_that_goes_back_is_too_high() {
    let mut house = House::default();
    let server = house.server();
    house.log_in(server);
    house.send(server, "<message id='1'/>");
    house.give(server, ack(1)).unwrap();
    let error = house.give(server, ack(0)).unwrap_err();
    house.assert_failed(server, &error, Condition::UndefinedCondition, "XEP-0198 §6");
    assert_eq!(house.sides[server].count(&too_high(0, 1)), 1);
    assert!(
        house.sides[server].handed_back().is_empty(),
        "all of it had arrived"
    );
}

/// XEP-0198 §6, MongooseIM 2dd3036ce: a peer that is wrong about a session loses its stream, and nobody the session.
#[test]
fn an_h_too_high_in_resume_leaves_the_session() {
    let (mut house, id, _) = cut_session();
    let server = house.server();
    let text = format!("{HEADER}{AUTH}{HEADER}{}", resume(&id, 2));
    let error = house.give(server, text).unwrap_err();
    house.assert_failed(server, &error, Condition::UndefinedCondition, "XEP-0198 §6");
    assert_eq!(house.sides[server].count(&too_high(2, 1)), 1);
    assert_eq!(house.sides[server].count("<resumed "), 0);
    assert_resumable_by_login(&mut house, &id);
}

/// ISR-28.
#[test]
fn an_h_too_high_in_inst_resume_leaves_the_session() {
    let (mut house, id, token) = cut_session();
    let server = house.server();
    let text = format!("{HEADER}{}", inst_resume(&token, 2));
    let error = house.give(server, text).unwrap_err();
    house.assert_failed(server, &error, Condition::UndefinedCondition, "XEP-0198 §6");
    assert_eq!(house.sides[server].count(&too_high(2, 1)), 1);
    assert_eq!(house.sides[server].count("<inst-resumed "), 0);
    assert_resumable_by_login(&mut house, &id);
}

/// XEP-0198 §3: refused, and what is on stays on.
#[test]
fn a_second_enable_is_refused_and_changes_nothing() {
    let mut house = House::default();
    let server = house.server();
    let id = house.log_in(server);
    house.send(server, "<message id='1'/>");
    house.give(server, ENABLE).unwrap();
    let no = failed("urn:xmpp:sm:3", "unexpected-request");
    assert!(house.sides[server].written.ends_with(&no));
    // `<resume/>` behind bind is refused in the same way (XEP-0198 §5).
    house.give(server, resume(&id, 0)).unwrap();
    assert_eq!(house.sides[server].count(&no), 2);
    house.cut(server);
    assert_resumable_by_login(&mut house, &id);
}

/// XEP-0198 §3: too early is refused, and granted when its time has come.
#[test]
fn enable_before_bind_is_refused_and_the_stream_goes_on() {
    let mut house = House::default();
    let server = house.server();
    house
        .give(server, format!("{HEADER}{AUTH}{HEADER}{ENABLE}"))
        .unwrap();
    let no = failed("urn:xmpp:sm:3", "unexpected-request");
    assert!(house.sides[server].written.ends_with(&no));
    assert_log_in_goes_on(&mut house, server, &format!("{ASK}{ENABLE}"));
}

/// QS-38: `<resume/>` and `<enable/>` before authentication or TLS are refused whatever they name, and the login goes on.
#[test]
fn qs_38_nothing_is_resumed_or_enabled_before_authentication() {
    let no = failed("urn:xmpp:sm:3", "unexpected-request");
    for clear in [false, true] {
        let (mut house, id, _) = cut_session();
        let mut config = house.server_config();
        if clear {
            config.transport = Transport::StartTls;
        }
        let server = house.server_as(config);
        let text = format!("{HEADER}{ENABLE}{}", resume(&id, 0));
        house.give(server, text).unwrap();
        assert!(house.sides[server].written.ends_with(&format!("{no}{no}")));
        assert_eq!((house.waiting(), house.holders(&id).len()), (1, 0));
        if clear {
            house.give(server, STARTTLS).unwrap();
            house.give(server, HEADER).unwrap();
        }
        let text = format!("{AUTH}{HEADER}{ASK}{ENABLE}");
        assert_log_in_goes_on(&mut house, server, &text);
        house.cut(server);
        assert_eq!(house.waiting(), 2, "the old one is still there");
    }
}

/// RFC 6120 §4.3.5: counts before authentication are an offence, not a refusal.
#[test]
fn counts_before_authentication_are_not_authorized() {
    for text in [REQUEST.to_owned(), ack(0)] {
        let mut house = House::default();
        let server = house.server();
        let error = house.give(server, format!("{HEADER}{text}")).unwrap_err();
        house.assert_failed(server, &error, Condition::NotAuthorized, "RFC 6120 §4.3.5");
    }
}

/// XEP-0198 §5: a session of somebody else's and one that never was get the same answer, byte by byte, whether the
/// session waits or has a connection.
#[test]
fn a_foreign_session_is_as_unknown_as_one_that_never_was() {
    for cut in [true, false] {
        let mut house = House::default();
        let first = house.server();
        let id = house.log_in(first);
        house.send(first, "<message id='1'/>");
        house.give(first, "<message/>").unwrap();
        if cut {
            house.cut(first);
        }
        let answers = [id.as_str(), "nobody"].map(|previd| {
            let server = house.server();
            // AUTH as romeo.
            let auth = AUTH.replace("AGp1bGlldABzZWNyZXQ=", "AHJvbWVvAHNlY3JldA==");
            let header = HEADER.replace("juliet", "romeo");
            let text = format!("{header}{auth}{header}{}", resume(previd, 0));
            house.give(server, text).unwrap();
            let answer = house.sides[server].behind("</stream:features>").to_owned();
            assert_log_in_goes_on(&mut house, server, &format!("{ASK}{ENABLE}"));
            answer
        });
        let no = failed("urn:xmpp:sm:3", "item-not-found");
        assert_eq!(answers, [no.clone(), no]);
        if !cut {
            assert_eq!(house.holders(&id), [first]);
            house.cut(first);
        }
        assert_resumable_by_login(&mut house, &id);
    }
}

/// ISR-20, ISR-24: a token that never was and one that was used are refused alike, and the login follows on the same
/// stream (ISR-22).
#[test]
fn a_wrong_and_a_replayed_token_are_refused_alike() {
    let no = failed("urn:xmpp:isr:0", "item-not-found");
    let (mut house, id, used) = cut_session();
    let good = house.server();
    house
        .give(good, format!("{HEADER}{}", inst_resume(&used, 0)))
        .unwrap();
    assert_eq!(house.holders(&id), [good]);
    let fresh = token_of_inst_resumed(&house, good);
    assert_ne!(fresh, used, "ISR-15");
    for wrong in [used.as_str(), "guess"] {
        let server = house.server();
        house
            .give(server, format!("{HEADER}{}", inst_resume(wrong, 0)))
            .unwrap();
        assert!(house.sides[server].written.ends_with(&no));
        assert_eq!(house.holders(&id), [good], "the thief throws nobody out");
        let text = format!(
            "{AUTH}{HEADER}{}{ENABLE}",
            ASK.replace("balcony", "orchard")
        );
        assert_log_in_goes_on(&mut house, server, &text);
    }
    // The token that is good is still good.
    let server = house.server();
    house
        .give(server, format!("{HEADER}{}", inst_resume(&fresh, 0)))
        .unwrap();
    assert_eq!(house.holders(&id), [server]);
    assert!(house.sides[server].written.ends_with("<message id='1'/>"));
}

fn token_of_inst_resumed(house: &House, server: usize) -> String {
    let answer = house.sides[server].behind("<inst-resumed ");
    let token = answer.split("tok='").nth(1).unwrap();
    token.split('\'').next().unwrap().to_owned()
}

/// ISR-14, ISR-R5: a token that was shown in clear is dead; the session is not.
#[test]
fn isr_r5_a_token_in_clear_is_revoked_and_the_session_stays() {
    let (mut house, id, token) = cut_session();
    let mut config = house.server_config();
    config.transport = Transport::StartTls;
    let clear = house.server_as(config);
    house
        .give(clear, format!("{HEADER}{}", inst_resume(&token, 0)))
        .unwrap();
    let side = &house.sides[clear];
    assert!(
        side.written
            .ends_with(&failed("urn:xmpp:isr:0", "policy-violation"))
    );
    assert_eq!(side.count("<isr "), 0, "ISR-14: not offered there either");
    let exposed = |event: &&Event| matches!(event, Event::TokenExposed(_));
    assert_eq!(side.events.iter().filter(exposed).count(), 1);
    let server = house.server();
    house
        .give(server, format!("{HEADER}{}", inst_resume(&token, 0)))
        .unwrap();
    let no = failed("urn:xmpp:isr:0", "item-not-found");
    assert!(house.sides[server].written.ends_with(&no));
    assert_resumable_by_login(&mut house, &id);
}

/// ISR-27: a token in the hands of another, or of nobody, opens nothing and is dead.
#[test]
fn isr_27_a_token_is_good_for_its_owner_alone() {
    for from in ["from='romeo@capulet.test' ", ""] {
        let (mut house, id, token) = cut_session();
        let no = failed("urn:xmpp:isr:0", "item-not-found");
        let header = HEADER.replace("from='juliet@capulet.test' ", from);
        for header in [header.as_str(), HEADER] {
            let server = house.server();
            house
                .give(server, format!("{header}{}", inst_resume(&token, 0)))
                .unwrap();
            assert!(house.sides[server].written.ends_with(&no), "{from}");
        }
        assert_resumable_by_login(&mut house, &id);
    }
}

/// ISR-R6, ISR-28: one attempt on a connection, whatever has become of it, and none behind authentication.
#[test]
fn isr_28_one_attempt_on_one_connection() {
    let no = failed("urn:xmpp:isr:0", "unexpected-request");
    // Behind a failure.
    let (mut house, id, token) = cut_session();
    let server = house.server();
    let text = format!(
        "{HEADER}{}{}",
        inst_resume("guess", 0),
        inst_resume(&token, 0)
    );
    house.give(server, text).unwrap();
    assert!(house.sides[server].written.ends_with(&no));
    assert_eq!(house.holders(&id).len(), 0);
    // Behind a login.
    house
        .give(server, format!("{AUTH}{HEADER}{}", inst_resume(&token, 0)))
        .unwrap();
    assert_eq!(house.sides[server].count(&no), 2);
    assert_eq!(house.waiting(), 1);
    // Behind a success.
    let server = house.server();
    let text = format!(
        "{HEADER}{}{}",
        inst_resume(&token, 0),
        inst_resume(&token, 0)
    );
    house.give(server, text).unwrap();
    assert!(house.sides[server].written.ends_with(&no));
    assert_eq!(house.holders(&id), [server]);
    house.cut(server);
    assert_resumable_by_login(&mut house, &id);
}

/// Malformed requests to resume or to begin are refused, and the stream goes on.
#[test]
fn malformed_requests_are_refused_and_the_stream_goes_on() {
    let no = failed("urn:xmpp:sm:3", "bad-request");
    for text in [
        "<resume xmlns='urn:xmpp:sm:3' h='0'/>".to_owned(),
        "<resume xmlns='urn:xmpp:sm:3' previd='x'/>".to_owned(),
        "<resume xmlns='urn:xmpp:sm:3' previd='' h='0'/>".to_owned(),
        "<resume xmlns='urn:xmpp:sm:3' previd='x' h='-1'/>".to_owned(),
        "<resume xmlns='urn:xmpp:sm:3' previd='x' h='4294967296'/>".to_owned(),
        resume(&"x".repeat(4001), 0),
    ] {
        let mut house = House::default();
        let server = house.server();
        house
            .give(server, format!("{HEADER}{AUTH}{HEADER}{text}"))
            .unwrap();
        assert!(house.sides[server].written.ends_with(&no), "{text}");
        // A `max` that is no number is no wish.
        let enable = "<enable xmlns='urn:xmpp:sm:3' resume='1' max='soon'/>";
        assert_log_in_goes_on(&mut house, server, &format!("{ASK}{enable}"));
    }
    let no = failed("urn:xmpp:isr:0", "bad-request");
    for text in [
        "<inst-resume xmlns='urn:xmpp:isr:0' h='0'/>".to_owned(),
        "<instant-resume xmlns='urn:xmpp:isr:0' tok='x'/>".to_owned(),
        "<inst-resume xmlns='urn:xmpp:isr:0' tok='' h='0'/>".to_owned(),
        "<inst-resume xmlns='urn:xmpp:isr:0' tok='x' h='1e1'/>".to_owned(),
        inst_resume(&"x".repeat(1025), 0),
    ] {
        let mut house = House::default();
        let server = house.server();
        house.give(server, format!("{HEADER}{text}")).unwrap();
        assert!(house.sides[server].written.ends_with(&no), "{text}");
        let text = format!("{AUTH}{HEADER}{ASK}{ENABLE}");
        assert_log_in_goes_on(&mut house, server, &text);
    }
}

/// What cannot be refused ends the stream, and leaves the session to be resumed or its stanzas handed back.
#[test]
fn malformed_counts_and_strange_elements_end_the_stream() {
    let sm = "urn:xmpp:sm:3";
    for (text, condition, source) in [
        (
            format!("<a xmlns='{sm}'/>"),
            Condition::BadFormat,
            "XEP-0198 §11",
        ),
        (
            format!("<a xmlns='{sm}' h='0x1'/>"),
            Condition::BadFormat,
            "XEP-0198 §11",
        ),
        (
            format!("<x xmlns='{sm}'/>"),
            Condition::BadFormat,
            "XEP-0198 §11",
        ),
        (
            format!("<resumed xmlns='{sm}' previd='x' h='0'/>"),
            Condition::UnsupportedStanzaType,
            "XEP-0198 §3",
        ),
        (
            format!("<enabled xmlns='{sm}'/>"),
            Condition::UnsupportedStanzaType,
            "XEP-0198 §3",
        ),
    ] {
        let mut house = House::default();
        let pair = house.pair();
        for place in pair {
            house.send(place, "<message id='1'/>");
            house.take_wire(place);
            let error = house.give(place, &text).unwrap_err();
            house.assert_failed(place, &error, condition, source);
        }
        let kept = house.resumption().map(|kept| kept.session.unacked.len());
        let back = pair.map(|place| house.sides[place].handed_back().len());
        assert_eq!(kept.unwrap_or(0) + back[0], 1, "{text}: the client's");
        let waiting = house.registry.expire(house.now + Duration::from_secs(600));
        let waiting: usize = waiting.iter().map(|session| session.unacked.len()).sum();
        assert_eq!(waiting + back[1], 1, "{text}: the server's");
    }
}

/// Stanzas that a client sends before it knows the answer wait for it: they are part of the session, or an offence that
/// is not acted on (ISR-R9).
#[test]
fn isr_r9_stanzas_behind_a_request_are_the_sessions_or_nobodys() {
    for instant in [false, true] {
        for good in [true, false] {
            let (mut house, id, token) = cut_session();
            house.decides = false;
            let server = house.server();
            let request = match (instant, good) {
                (false, true) => resume(&id, 1),
                (false, false) => resume("nobody", 1),
                (true, true) => inst_resume(&token, 1),
                (true, false) => inst_resume("guess", 1),
            };
            if instant {
                house.give(server, HEADER).unwrap();
            } else {
                house.give(server, format!("{HEADER}{AUTH}")).unwrap();
                house.answer(server);
                house.give(server, HEADER).unwrap();
            }
            house
                .give(server, format!("{request}<message id='2'/>{REQUEST}"))
                .unwrap();
            assert!(
                house.sides[server].stanzas().is_empty(),
                "not before the answer"
            );
            house.answer(server);
            if good {
                assert_eq!(house.sides[server].stanzas(), ["<message id='2'/>"]);
                assert!(house.sides[server].written.ends_with(&ack(1)));
            } else {
                let error = house.give(server, "").unwrap_err();
                house.assert_failed(server, &error, Condition::NotAuthorized, "RFC 6120 §4.3.5");
                assert!(house.sides[server].stanzas().is_empty());
                house.decides = true;
                assert_resumable_by_login(&mut house, &id);
            }
        }
    }
}

/// Conversations 010b34125: a request to acknowledge that was sent behind a resumption which fails breaks nothing.
#[test]
fn a_request_behind_a_failing_resumption_breaks_nothing() {
    let mut house = House::default();
    let server = house.server();
    let text = format!(
        "{HEADER}{AUTH}{HEADER}{}{REQUEST}{}",
        resume("nobody", 0),
        ack(7)
    );
    house.give(server, text).unwrap();
    let no = failed("urn:xmpp:sm:3", "item-not-found");
    assert!(house.sides[server].written.ends_with(&no), "and no answer");
    assert_log_in_goes_on(&mut house, server, &format!("{ASK}{ENABLE}"));
}
