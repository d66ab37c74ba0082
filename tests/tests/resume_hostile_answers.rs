//! Bad answers to a client that resumes, by login and by token, and servers that no longer are what they were: each
//! ends in a typed error with its source or in the fallback of the specification, and nothing is lost: the session is
//! kept, or its stanzas are handed back. What a server may be asked is in `resume_hostile.rs`.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use onetrip_core::End;
use onetrip_core::quickstart::Level;
use onetrip_core::stream::Condition;
use onetrip_tests::house::House;
use onetrip_tests::words::{ACCOUNT, BIND, PLAIN, RESPONSE, SUCCESS, messages, stored, too_high};

fn both_back(house: &House, client: usize) -> bool {
    house.sides[client].handed_back_text() == messages(1..=2)
}

/// XEP-0198 §6, from the server.
#[test]
fn an_h_too_high_in_resumed_hands_back() {
    let mut house = House::default();
    let client = house.resuming();
    let resumed = "<resumed xmlns='urn:xmpp:sm:3' previd='s1' h='3'/>";
    let error = house.give(client, resumed).unwrap_err();
    house.assert_failed(client, &error, Condition::UndefinedCondition, "XEP-0198 §6");
    assert_eq!(house.sides[client].count(&too_high(3, 2)), 1);
    assert!(both_back(&house, client) && house.resumption().is_none());
}

/// ISR-18, from the server.
#[test]
fn an_h_too_high_in_inst_resumed_hands_back() {
    let mut house = House::default();
    let client = house.instantly_resuming();
    let resumed = "<inst-resumed xmlns='urn:xmpp:isr:0' tok='n' h='3'/>";
    let error = house.give(client, resumed).unwrap_err();
    house.assert_failed(client, &error, Condition::UndefinedCondition, "XEP-0198 §6");
    assert_eq!(house.sides[client].count(&too_high(3, 2)), 1);
    assert!(both_back(&house, client) && house.resumption().is_none());
}

/// A server that answers a request to resume with nonsense: typed, and the session is kept for another try.
#[test]
fn malformed_answers_to_resume_keep_the_session() {
    let sm = "urn:xmpp:sm:3";
    for (text, condition, source) in [
        (
            format!("<resumed xmlns='{sm}' h='0'/>"),
            Condition::BadFormat,
            "XEP-0198 §11",
        ),
        (
            format!("<resumed xmlns='{sm}' previd='s1' h=''/>"),
            Condition::BadFormat,
            "XEP-0198 §11",
        ),
        (
            format!("<resumed xmlns='{sm}' previd='s2' h='0'/>"),
            Condition::UnsupportedStanzaType,
            "XEP-0198 §3",
        ),
        (
            "<message/>".to_owned(),
            Condition::UnsupportedStanzaType,
            "RFC 6120 §4.3.5",
        ),
    ] {
        let mut house = House::default();
        let client = house.resuming();
        let error = house.give(client, &text).unwrap_err();
        house.assert_failed(client, &error, condition, source);
        let kept = house.resumption().unwrap();
        assert_eq!(kept.session, stored().session, "{text}");
        assert!(house.sides[client].handed_back().is_empty(), "{text}");
        assert!(house.sides[client].stanzas().is_empty(), "{text}");
    }
}

/// The same for a request by token.
#[test]
fn malformed_answers_to_inst_resume_keep_the_session() {
    let isr = "urn:xmpp:isr:0";
    let undefined = (Condition::UndefinedCondition, "ISR 0.0.1 §4.2.1");
    let turn = (Condition::UnsupportedStanzaType, "ISR 0.0.1 §4.2");
    let stanza = (Condition::UnsupportedStanzaType, "RFC 6120 §4.3.5");
    for (text, (condition, source)) in [
        (format!("<inst-resumed xmlns='{isr}' h='0'/>"), undefined),
        (
            format!("<inst-resumed xmlns='{isr}' tok='' h='0'/>"),
            undefined,
        ),
        (
            format!("<inst-resumed xmlns='{isr}' tok='n' h='-1'/>"),
            undefined,
        ),
        (format!("<inst-resume xmlns='{isr}' tok='n' h='0'/>"), turn),
        ("<enabled xmlns='urn:xmpp:sm:3'/>".to_owned(), turn),
        ("<message/>".to_owned(), stanza),
    ] {
        let mut house = House::default();
        let client = house.instantly_resuming();
        let error = house.give(client, &text).unwrap_err();
        house.assert_failed(client, &error, condition, source);
        assert_eq!(
            house.resumption().unwrap().session,
            stored().session,
            "{text}"
        );
        assert!(house.sides[client].handed_back().is_empty(), "{text}");
        assert!(house.sides[client].stanzas().is_empty(), "{text}");
    }
}

/// A malformed refusal is a refusal: the login goes on, and asks for the session in the other way (ISR-R4, ISR-22).
#[test]
fn a_malformed_refusal_is_a_refusal() {
    for text in [
        "<failed xmlns='urn:xmpp:isr:0'/>",
        "<failed xmlns='urn:xmpp:isr:0' h='no'>text<x xmlns='urn:x'/></failed>",
        "<failed xmlns='urn:xmpp:sm:3' h='99'/>",
    ] {
        let mut house = House::default();
        let client = house.instantly_resuming();
        house.give(client, text).unwrap();
        assert!(
            house.sides[client]
                .behind("<inst-resume ")
                .contains("<auth ")
        );
        house
            .give(client, format!("{SUCCESS}{RESPONSE}{BIND}"))
            .unwrap();
        assert_eq!(house.sides[client].count("<resume "), 1, "{text}");
        let resumed = "<resumed xmlns='urn:xmpp:sm:3' previd='s1' h='1'/>";
        house.give(client, resumed).unwrap();
        let side = &house.sides[client];
        assert_eq!(
            (side.acked().len(), side.count("<message")),
            (1, 1),
            "{text}"
        );
    }
}

/// ISR-31: a server that does not know what a token is says so, or says nothing: the token is forgotten, the session is
/// kept, and the retry that is planned resumes it behind a login.
#[test]
fn isr_31_a_server_without_instant_resumption_is_met_with_a_token_once() {
    for silent in [false, true] {
        let mut house = House::default();
        let pair = house.pair();
        house.send(pair[0], "<message id='1'/>");
        house.take_wire(pair[0]);
        house.cut_both(pair);
        assert!(house.resumption().unwrap().ticket.is_some());
        house.instant = false;
        let [client, server] = [house.client(), house.server()];
        assert_eq!(house.sides[client].count("<inst-resume "), 1);
        if silent {
            house.give(client, format!("{RESPONSE}{PLAIN}")).unwrap();
            // As long as the server may take to find the session.
            house.wait(Duration::from_millis(9_999));
            assert!(!house.sides[client].closed);
            house.wait(Duration::from_millis(1));
        } else {
            house.talk([client, server]);
            let says = "<unsupported-stanza-type xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>";
            assert_eq!(house.sides[server].count(says), 1);
        }
        let side = &mut house.sides[client];
        assert!(
            matches!(side.end(), Some(End::Abandoned(_))),
            "{:?}",
            side.end()
        );
        let plan = side.retry.take().expect("a retry is planned");
        let kept = house.resumption().unwrap();
        assert_eq!((&kept.ticket, kept.session.unacked.len()), (&None, 1));
        let pair = [house.client_as(plan), house.server()];
        house.talk(pair);
        assert_eq!(house.sides[pair[0]].count("<inst-resume "), 0);
        assert_eq!(house.sides[pair[0]].online(), Some((&house.account, true)));
        assert_eq!(house.sides[pair[1]].stanzas(), ["<message id='1'/>"]);
    }
}

/// Silence behind `<resume/>` ends with the negotiation's deadline, and the session is kept.
#[test]
fn silence_behind_resume_ends_with_the_deadline() {
    let mut house = House::default();
    let client = house.resuming();
    house.wait(Duration::from_secs(29));
    assert!(!house.sides[client].closed);
    house.wait(Duration::from_secs(1));
    let side = &house.sides[client];
    let Some(End::Failed(error)) = side.end() else {
        panic!("{:?}", side.end());
    };
    let error = error.clone();
    house.assert_failed(
        client,
        &error,
        Condition::ConnectionTimeout,
        "RFC 6120 §4.9.3.4",
    );
    assert_eq!(house.resumption().unwrap().session, stored().session);
}

/// ISR-22, ISR-R3: the token is refused, the login follows on the same stream, and behind it `<resume/>`.
#[test]
fn isr_r3_a_refused_token_a_login_and_resume_on_one_stream() {
    let mut house = House::default();
    let pair = house.pair();
    for place in pair {
        house.send(place, "<message id='1'/>");
        house.take_wire(place);
    }
    house.cut_both(pair);
    house.registry.revoke_account(&ACCOUNT.parse().unwrap());
    let [client, server] = house.pair();
    let side = &house.sides[client];
    assert_eq!(side.online(), Some((&house.account, true)));
    let counts = ["<inst-resume ", "<auth ", "<resume ", "<bind "].map(|text| side.count(text));
    assert_eq!(counts, [1, 1, 1, 0]);
    assert_eq!(house.sides[server].count("<failed "), 1);
    for place in [client, server] {
        assert_eq!(house.sides[place].stanzas(), ["<message id='1'/>"]);
    }
}

/// QS-39: `<resume/>` is refused, and bind follows on the same stream, without another header.
#[test]
fn qs_39_a_refused_resume_and_bind_on_one_stream() {
    let mut house = House {
        instant: false,
        ..House::default()
    };
    let client = house.client_with(stored());
    let server = house.server();
    house.talk([client, server]);
    let side = &house.sides[client];
    assert_eq!(side.online(), Some((&house.account, false)));
    let counts = ["<stream:stream ", "<resume ", "<bind ", "<enable "].map(|text| side.count(text));
    assert_eq!(counts, [2, 1, 1, 1]);
    assert!(both_back(&house, client));
}

/// monal#39: the server no longer has stream management. A client that looks first does not ask for it; one that runs
/// ahead asks once. What waited is handed back once, and a login ends well.
#[test]
fn monal_39_a_server_that_dropped_stream_management() {
    for level in Level::ALL {
        let mut house = House {
            instant: false,
            level,
            ..House::default()
        };
        let pair = house.pair();
        house.send(pair[0], "<message id='1'/>");
        house.take_wire(pair[0]);
        house.cut_both(pair);
        let mut asked = 0;
        let mut back = Vec::new();
        let mut plan = None;
        for tries in 1.. {
            assert!(tries < 4, "{level:?}: for ever");
            let client = match plan.take() {
                Some(plan) => house.client_as(plan),
                None => house.client(),
            };
            let mut config = house.server_config();
            config.management = None;
            let server = house.server_as(config);
            house.talk([client, server]);
            house.wait(Duration::from_secs(2));
            house.talk([client, server]);
            let side = &mut house.sides[client];
            plan = side.retry.take();
            asked += side.count("<resume ");
            // A client that ran ahead has sent a ping of its own besides (QS-R10).
            let handed_back = side.handed_back_text().into_iter();
            back.extend(handed_back.filter(|text| text.starts_with("<message")));
            if side.online() == Some((&house.account, false)) && !side.closed {
                assert_eq!(side.count("<enable "), 0);
                break;
            }
        }
        assert!(
            asked <= usize::from(level != Level::Off),
            "{level:?}: {asked}"
        );
        assert_eq!(back, ["<message id='1'/>"], "{level:?}");
        assert!(house.resumption().is_none());
    }
}
