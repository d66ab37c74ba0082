//! The edges of a session: what arrives with the end, before counting begins, behind a close, or too late.
#![allow(clippy::unwrap_used, clippy::panic)]

use onetrip_core::isr::Rotation;
use onetrip_core::stream::{Condition, Env, Jid};
use onetrip_core::stream_management::{Count, Session};
use onetrip_core::{Action, Connection, End, Entity, Event, Resumption, TlsInfo};
use onetrip_tests::house::House;
use onetrip_tests::words::{
    AUTH, BIND, ENABLE, HEADER, PLAIN, REQUEST, RESPONSE, SUCCESS, message,
};

fn by_hand() -> House {
    House {
        handles: false,
        ..House::default()
    }
}

/// A stanza that comes in one read with the end is not handed out, since it comes again on resumption: it would be
/// there twice.
#[test]
fn what_arrives_with_the_end_is_handed_out_once() {
    let mut house = by_hand();
    let server = house.server();
    let name = house.log_in(server);
    let connection = &mut house.sides[server].connection;
    let env = &mut Env::new(house.now, &mut house.entropy);
    let text = format!("{}{}", message(1), message(2));
    connection.receive(env, text.as_bytes()).unwrap();
    // One is taken, and not said to be handled.
    assert!(matches!(
        connection.poll_action(),
        Some(Action::Event(Event::Stanza(_)))
    ));
    connection.receive_eof(env);
    let mut again = None;
    while let Some(action) = connection.poll_action() {
        match action {
            Action::Event(Event::Stanza(stanza)) => panic!("{stanza:?}"),
            Action::Entity(event) => {
                again = Some(event.again());
                let session = event.into_resumption().unwrap().session;
                assert_eq!((session.id, session.handled), (name.clone(), Count::new(0)));
            }
            _ => {}
        }
    }
    assert_eq!(again, Some(1), "the one that was taken comes again as well");
}

/// Conversations#1938: what came before counting began is not counted when it is said to be handled.
#[test]
fn h_never_runs_ahead_of_what_was_handled() {
    let mut house = by_hand();
    let client = house.client();
    for text in [
        format!("{RESPONSE}{PLAIN}"),
        format!("{SUCCESS}{RESPONSE}{BIND}"),
    ] {
        house.give(client, text).unwrap();
    }
    let id = house.sides[client].written.clone();
    let id = id
        .rsplit("<iq id='")
        .next()
        .unwrap()
        .split('\'')
        .next()
        .unwrap()
        .to_owned();
    let bound = format!(
        "<iq type='result' id='{id}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>juliet@capulet.test/balcony</jid></bind></iq>"
    );
    house
        .give(client, format!("{}{bound}{}", message(8), message(9)))
        .unwrap();
    let enabled = "<enabled xmlns='urn:xmpp:sm:3' id='s1' resume='true'/>";
    house
        .give(client, format!("{enabled}{}", message(10)))
        .unwrap();
    house.handled(client, 2);
    house.give(client, REQUEST).unwrap();
    assert!(house.sides[client].behind("<a ").contains("h='0'"));
    house.handled(client, 1);
    assert_eq!(
        house.sides[client].count("h='1'"),
        1,
        "and then it is told at once"
    );
}

/// An error that will not pass ends the session at both ends: what it blames would be sent again on every resumption.
#[test]
fn what_ends_a_stream_does_not_come_again_for_ever() {
    let mut house = House::default();
    let pair = house.pair();
    house.send(pair[1], &message(1));
    // The client cannot read what its server has sent.
    house
        .give(pair[0], "<message id='1'><!-- --></message>")
        .unwrap_err();
    assert!(house.resumption().is_none());
    house.talk(pair);
    assert_eq!(house.waiting(), 0);
    assert_eq!(house.sides[pair[1]].handed_back_text(), [message(1)]);
    assert!(matches!(
        house.sides[pair[1]].end(),
        Some(End::PeerError(error)) if error.condition == Condition::RestrictedXml
    ));
}

/// A footer waits for what the application still has in its hands: it is acknowledged before ours goes out. Not for ever.
#[test]
fn a_close_waits_for_the_application() {
    for handles in [true, false] {
        let mut house = by_hand();
        let server = house.server();
        house.log_in(server);
        house
            .give(server, format!("{}</stream:stream>", message(1)))
            .unwrap();
        assert_eq!(house.sides[server].count("</stream:stream>"), 0);
        if handles {
            house.handled(server, 1);
            let last = house.sides[server].behind("<a ");
            assert!(
                last.contains("h='1'") && last.contains("</stream:stream>"),
                "{last}"
            );
        } else {
            house.wait(core::time::Duration::from_secs(5));
            assert_eq!(house.sides[server].count("</stream:stream>"), 1);
        }
        assert!(matches!(house.sides[server].end(), Some(End::Clean)));
        assert_eq!(house.waiting(), 0, "it was closed, not cut");
    }
}

/// QS-19, ISR-27: behind a proactive header the client's own header still says whose token it is; one in clear does not.
#[test]
fn isr_27_a_token_is_taken_behind_a_proactive_header() {
    let mut house = House::default();
    let pair = house.pair();
    house.cut_both(pair);
    let mut config = house.server_config();
    config.quickstart.proactive_header = true;
    let [client, server] = [house.client(), house.server_as(config)];
    house.talk([client, server]);
    assert_eq!(house.sides[client].online(), Some((&house.account, true)));
    assert_eq!(house.sides[server].count("<stream:stream "), 1);
}

/// ISR-R3: what was sent ahead of the answer does not prove that the answer was read.
#[test]
fn isr_r3_a_token_is_confirmed_by_what_follows_its_answer() {
    let mut house = House::new(Rotation::GraceUntilConfirmed);
    let pair = house.pair();
    house.cut_both(pair);
    let client = house.client();
    let request = house.take_wire(client);
    let server = house.server();
    house
        .give(server, [&request[..], message(1).as_bytes()].concat())
        .unwrap();
    let confirmed = |house: &House| {
        let events = &house.sides[server].events;
        events
            .iter()
            .filter(|event| matches!(event, Event::TokenConfirmed { .. }))
            .count()
    };
    assert_eq!(house.sides[server].stanzas(), [message(1)]);
    assert_eq!(confirmed(&house), 0);
    house.give(server, message(2)).unwrap();
    assert_eq!(confirmed(&house), 1);
}

/// What is granted to a connection that is over by then is not kept for ever.
#[test]
fn a_session_that_is_granted_too_late_is_over() {
    let mut house = House {
        decides: false,
        ..House::default()
    };
    let server = house.server();
    let bind = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
    house
        .give(server, format!("{HEADER}{AUTH}{HEADER}{bind}{ENABLE}"))
        .unwrap();
    for _ in 0..2 {
        house.answer(server);
    }
    let granted = house.decide(server).unwrap();
    house.cut(server);
    house.give_late(server, granted);
    let Some(Event::Closed(_)) = house.sides[server].events.last() else {
        panic!()
    };
    assert_eq!(house.registry.connected(), 0);
}

/// Sessions of several resources of one account do not take each other's place.
#[test]
fn each_connection_resumes_its_own_session() {
    let resumption = |name: &str, owner: &str| {
        let owner: Jid = owner.parse().unwrap();
        Resumption::new(Session::new(
            name,
            &owner,
            Count::new(0),
            Count::new(0),
            Vec::new(),
        ))
    };
    let mut entity = Entity::default();
    entity.keep(resumption("desk", "juliet@capulet.test/desk"));
    entity.keep(resumption("phone", "juliet@capulet.test/phone"));
    // The server had bound another resource than was asked for.
    let mut renamed = resumption("tablet", "juliet@capulet.test/a8f3");
    renamed.account = "juliet@capulet.test/tablet".parse().unwrap();
    entity.keep(renamed);
    let mut take = |account: &str| {
        let taken = entity.take(&account.parse().unwrap());
        taken.map(|taken| taken.session.id)
    };
    assert_eq!(take("juliet@capulet.test/phone").as_deref(), Some("phone"));
    assert_eq!(take("juliet@capulet.test/phone"), None, "not another's");
    assert_eq!(
        take("juliet@capulet.test/tablet").as_deref(),
        Some("tablet")
    );
    assert_eq!(take("juliet@capulet.test").as_deref(), Some("desk"));
}

/// Digest §6.1: neither a password nor a token is printed.
#[test]
fn what_is_written_is_not_printed() {
    let mut house = House::default();
    let config = house.client_config();
    let plan = onetrip_core::quickstart::Plan::step_by_step(onetrip_core::quickstart::Key::new(
        config.account.domain().clone(),
        None,
        config.transport,
    ));
    let env = &mut Env::new(house.now, &mut house.entropy);
    let mut connection = Connection::client(config, plan, env);
    connection
        .tls_established(env, TlsInfo::new(), &[])
        .unwrap();
    connection
        .receive(env, format!("{RESPONSE}{PLAIN}").as_bytes())
        .unwrap();
    assert!(!format!("{connection:?}").contains("AGp1bGlldABzZWNyZXQ"));
    let mut seen = false;
    while let Some(action) = connection.poll_action() {
        assert!(!format!("{action:?}").contains("AGp1bGlldABzZWNyZXQ"));
        if let Action::Transmit(bytes) = &action {
            seen |= String::from_utf8_lossy(bytes).contains("AGp1bGlldABzZWNyZXQ");
        }
    }
    assert!(seen, "it was written");
}
