//! SASL2 on real connections: one flight, what rides along, and what must not come in between.
#![allow(clippy::unwrap_used, clippy::panic)]

use onetrip_core::negotiation::sasl;
use onetrip_core::quickstart::Level;
use onetrip_core::stream::Condition;
use onetrip_core::{End, ErrorKind, Event, Request};
use onetrip_tests::house::House;
use onetrip_tests::words::{HEADER, PLAIN, RESPONSE, message, messages, stored};

const FEATURES: &str = "<stream:features><authentication xmlns='urn:xmpp:sasl:2'><mechanism>PLAIN</mechanism><inline><bind xmlns='urn:xmpp:bind:0'><inline><feature var='urn:xmpp:sm:3'/></inline></bind><sm xmlns='urn:xmpp:sm:3'/></inline></authentication></stream:features>";
const AUTHENTICATE: &str = "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>AGp1bGlldABzZWNyZXQ=</initial-response>";
const WHO: &str = "<authorization-identifier>juliet@capulet.test/x1</authorization-identifier>";
const BOUND: &str =
    "<bound xmlns='urn:xmpp:bind:0'><enabled xmlns='urn:xmpp:sm:3' id='s2' resume='true'/></bound>";
const RESUMED: &str = "<resumed xmlns='urn:xmpp:sm:3' h='3' previd='s1'/>";

fn house() -> House {
    House {
        instant: false,
        later: true,
        ..House::default()
    }
}

fn success(inside: &str) -> String {
    format!("<success xmlns='urn:xmpp:sasl:2'>{WHO}{inside}</success>")
}

fn session() -> onetrip_core::Resumption {
    let mut session = stored();
    session.ticket = None;
    session
}

/// A client up to where it has sent `<authenticate/>`, with or without a session.
fn asking(house: &mut House, resumes: bool) -> usize {
    let client = if resumes {
        house.client_with(session())
    } else {
        house.client()
    };
    house.give(client, format!("{RESPONSE}{FEATURES}")).unwrap();
    assert!(house.sides[client].written.contains(AUTHENTICATE));
    client
}

/// Digest §4.3: what takes two exchanges at first takes one from memory.
#[test]
fn from_memory_the_login_is_one_flight_and_binds_and_counts_in_it() {
    let mut house = house();
    house.level = Level::Safe;
    let mut exchanges = Vec::new();
    for _ in 0..2 {
        let pair = [house.client(), house.server()];
        let mut flights = 0;
        while house.sides[pair[0]].online().is_none() {
            flights += 1;
            assert!(house.deliver(pair[0], pair[1]) > 0);
            assert!(house.deliver(pair[1], pair[0]) > 0);
        }
        exchanges.push(flights);
        assert!(house.sides[pair[0]].granted().unwrap().id.is_some());
        // No restart: one header each.
        assert_eq!(
            pair.map(|side| house.sides[side].count("<stream:stream")),
            [1, 1]
        );
        house.send(pair[0], &message(1));
        house.send(pair[1], &message(2));
        house.talk(pair);
        assert_eq!(house.sides[pair[1]].stanzas(), messages([1]));
        assert_eq!(house.sides[pair[0]].stanzas(), messages([2]));
        house.with(pair[0], |connection, env| connection.close(env));
        house.talk(pair);
        assert!(matches!(house.sides[pair[0]].end(), Some(End::Clean)));
    }
    assert_eq!(exchanges, [2, 1]);
}

/// Digest §4.3, the rows of SASL2 with Bind 2: behind TCP and TLS, SCRAM takes three exchanges, and two from memory.
#[test]
fn scram_costs_one_exchange_more_and_nothing_of_it_is_believed_unproved() {
    let mut house = house();
    house.level = Level::Safe;
    for exchanges in [3, 2, 2] {
        let mut config = house.client_config();
        config.sasl.allowed = vec![sasl::Mechanism::ScramSha256];
        let client = house.client_of(config);
        let mut config = house.server_config();
        config.sasl.offered = vec![sasl::Mechanism::ScramSha256, sasl::Mechanism::Plain];
        let pair = [client, house.server_as(config)];
        let mut flights = 0;
        while house.sides[pair[0]].online().is_none() {
            flights += 1;
            assert!(house.deliver(pair[0], pair[1]) > 0);
            assert!(house.deliver(pair[1], pair[0]) > 0);
        }
        assert_eq!(flights, exchanges);
        house.with(pair[0], |connection, env| connection.close(env));
        house.talk(pair);
    }
}

/// XEP-0474, and for a memory that is out of date: the lists that are compared are those that have arrived.
#[test]
fn a_list_that_changed_since_it_was_remembered_is_no_downgrade() {
    let mut house = house();
    house.level = Level::Safe;
    for more in [false, true] {
        let mut config = house.client_config();
        config.sasl.allowed = vec![sasl::Mechanism::ScramSha256];
        let client = house.client_of(config);
        let mut config = house.server_config();
        config.sasl.offered = vec![sasl::Mechanism::ScramSha256];
        if more {
            config.sasl.offered.push(sasl::Mechanism::ScramSha1);
        }
        let pair = [client, house.server_as(config)];
        house.talk(pair);
        let side = &house.sides[pair[0]];
        assert!(side.online().is_some(), "{}", side.written);
        house.with(pair[0], |connection, env| connection.close(env));
        house.talk(pair);
    }
}

#[test]
fn a_session_goes_on_within_the_login_and_nothing_is_lost() {
    let mut house = house();
    let pair = house.pair();
    house.send(pair[0], &message(1));
    house.send(pair[1], &message(2));
    house.cut_both(pair);
    let again = house.pair();
    let [client, server] = again.map(|side| &house.sides[side]);
    assert!(matches!(client.online(), Some((_, true))));
    assert!(matches!(server.online(), Some((_, true))));
    assert_eq!(
        client.online().unwrap().0,
        house.sides[pair[0]].online().unwrap().0
    );
    assert_eq!(server.stanzas(), messages([1]));
    assert_eq!(client.stanzas(), messages([2]));
    // Conversations ca1ee4a56: no features behind a session that goes on, and none were needed.
    assert_eq!(server.count("<stream:features>"), 1);
    assert_eq!(client.count("<enable"), 1, "a wish in case it fails");
}

/// Conversations, MongooseIM: the resource is the fallback, in the same flight.
#[test]
fn a_session_that_is_gone_costs_no_flight_and_hands_its_stanzas_back() {
    let mut house = house();
    let client = house.client_with(session());
    let server = house.server();
    house.talk([client, server]);
    let written = &house.sides[server].written;
    assert!(
        written.contains("<failed xmlns='urn:xmpp:sm:3'>"),
        "{written}"
    );
    assert!(matches!(house.sides[client].online(), Some((_, false))));
    assert_eq!(house.sides[client].handed_back_text(), messages(1..=2));
    assert!(house.sides[client].granted().is_some());
    house.send(client, &message(9));
    house.talk([client, server]);
    assert_eq!(house.sides[server].stanzas(), messages([9]));
}

#[test]
fn answers_that_contradict_each_other_end_the_stream_and_nobody_is_online() {
    for (resumes, inside) in [
        (true, format!("{RESUMED}{BOUND}")),
        (false, RESUMED.to_owned()),
        (true, format!("{BOUND}{BOUND}")),
    ] {
        let mut house = house();
        let client = asking(&mut house, resumes);
        let error = house.give(client, success(&inside)).unwrap_err();
        assert!(matches!(error.kind, ErrorKind::Bind2(_)), "{inside}");
        assert!(house.sides[client].online().is_none());
        assert!(house.sides[client].stanzas().is_empty());
    }
}

#[test]
fn a_success_without_the_address_that_was_asked_for_is_an_error() {
    for bad in [
        success(BOUND).replace(WHO, ""),
        success(BOUND).replace("/x1", ""),
        success(BOUND).replace("juliet@capulet.test", "@"),
    ] {
        let mut house = house();
        let client = asking(&mut house, false);
        house.give(client, bad).unwrap_err();
        assert!(house.sides[client].online().is_none());
    }
}

/// Openfire#3496, Openfire#3502.
#[test]
fn nothing_comes_between_the_steps_on_either_side() {
    let mut house = house();
    for intruder in [message(1).as_str(), "<r xmlns='urn:xmpp:sm:3'/>", PLAIN] {
        let client = asking(&mut house, false);
        let error = house.give(client, intruder).unwrap_err();
        assert_eq!(
            error.condition(),
            Some(Condition::PolicyViolation),
            "{intruder}"
        );
        let late = house.give(client, success(BOUND));
        assert!(late.is_err() && house.sides[client].online().is_none());
    }
    for intruder in [message(1).as_str(), "<r xmlns='urn:xmpp:sm:3'/>", " ", "\n"] {
        let mut config = house.server_config();
        config.sasl.offered = vec![sasl::Mechanism::Plain];
        let server = house.server_as(config);
        // Without an initial response the server asks for it, and waits.
        let waits = "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'/>";
        house.give(server, format!("{HEADER}{waits}")).unwrap();
        let error = house.give(server, intruder).unwrap_err();
        assert_eq!(
            error.condition(),
            Some(Condition::PolicyViolation),
            "{intruder}"
        );
    }
}

/// Openfire#3496: white space counts, too, wherever the reads end; but not what may have been on its way before the first
/// step was seen, and not what stands around the exchange.
#[test]
fn white_space_between_the_steps_ends_the_attempt() {
    for (before, between, good) in [
        ("", "", true),
        (" ", "", true),
        ("", " ", false),
        ("", "\r\n", false),
    ] {
        for cut in 0..3 {
            let mut house = house();
            let mut config = house.client_config();
            config.sasl.allowed = vec![sasl::Mechanism::ScramSha256];
            let client = house.client_of(config);
            let mut config = house.server_config();
            config.sasl.offered = vec![sasl::Mechanism::ScramSha256];
            let server = house.server_as(config);
            for _ in 0..2 {
                house.deliver(client, server);
                if house.sides[server].count("<challenge") == 0 {
                    house.deliver(server, client);
                }
            }
            let mut text = before.as_bytes().to_vec();
            text.extend(house.take_wire(server));
            text.extend(between.as_bytes());
            let (one, other) = text.split_at(text.len() * cut / 2);
            let first = house.give(client, one);
            let result = first.and_then(|_| house.give(client, other));
            assert_eq!(result.is_ok(), good, "{before:?} {between:?} {cut}");
            if let Err(error) = result {
                assert_eq!(error.condition(), Some(Condition::PolicyViolation));
                assert_eq!(error.source_section(), "XEP-0388 §2.4");
            }
            house.deliver(client, server);
            let mut success = house.take_wire(server);
            success.push(b' ');
            let _ = house.give(client, success);
            assert_eq!(house.sides[client].online().is_some(), good);
        }
    }
}

/// What comes behind `<authenticate/>` in one write waits for the decision, and is dropped if that is no.
#[test]
fn a_stanza_behind_the_login_is_taken_if_it_succeeds_and_not_if_it_fails() {
    let mut house = house();
    house.decides = false;
    for accepted in [true, false] {
        let server = house.server();
        let bind = "<bind xmlns='urn:xmpp:bind:0'/></authenticate>";
        house
            .give(
                server,
                format!("{HEADER}{AUTHENTICATE}{bind}{}", message(1)),
            )
            .unwrap();
        let Some(Request::Sasl { .. }) = house.sides[server].asked.pop_front() else {
            panic!()
        };
        let answer = if accepted {
            sasl::Answer::Accept {
                identity: "juliet".to_owned(),
            }
        } else {
            sasl::Answer::Refuse(sasl::Refusal::NotAuthorized)
        };
        let answer = onetrip_core::Answer::Sasl(answer);
        house
            .with(server, |connection, env| connection.answer(env, answer))
            .unwrap();
        if accepted {
            let Some(Request::Bind { account, request }) = house.sides[server].asked.pop_front()
            else {
                panic!()
            };
            let jid = account.with_resource(&request.resource.unwrap()).unwrap();
            let bound = onetrip_core::negotiation::bind::Answer::Bound { jid };
            let answer = onetrip_core::Answer::Bind(bound);
            house
                .with(server, |connection, env| connection.answer(env, answer))
                .unwrap();
            assert_eq!(house.sides[server].stanzas(), messages([1]));
        } else {
            assert!(house.sides[server].stanzas().is_empty());
            assert!(house.give(server, "").is_err());
        }
    }
}

/// monal 3dd174dae: SASL2, then the older SASL, then SASL2 again; the memory of one never serves the other.
#[test]
fn a_server_that_changes_generations_is_met_with_the_right_one() {
    let mut house = house();
    house.level = Level::Safe;
    // Where both are offered again, the memory is of the older one, and it still works; then of both.
    for (later, spoken) in [
        (true, true),
        (false, false),
        (true, false),
        (true, true),
        (false, false),
    ] {
        let server_config = {
            let mut config = house.server_config();
            if !later {
                config.sasl2 = None;
            }
            config
        };
        let mut client = house.client();
        let mut server = house.server_as(server_config.clone());
        house.talk([client, server]);
        if let Some(plan) = house.sides[client].retry.take() {
            client = house.client_as(plan);
            server = house.server_as(server_config);
            house.talk([client, server]);
        }
        let written = &house.sides[server].written;
        assert_eq!(written.contains("urn:xmpp:sasl:2'><authorization"), spoken);
        assert!(house.sides[client].online().is_some(), "{later}: {written}");
        house.with(client, |connection, env| connection.close(env));
        house.talk([client, server]);
    }
}

/// XEP-0509: what is remembered is turned away without prejudice, and done again on the same stream.
#[test]
fn another_configuration_than_was_remembered_costs_one_exchange_and_no_credentials() {
    let mut house = house();
    house.level = Level::Safe;
    for (version, exchanges) in [("one", 2), ("one", 1), ("two", 2), ("two", 1)] {
        let mut config = house.server_config();
        if let Some(offer) = &mut config.sasl2 {
            offer.config_version = Some(version.to_owned());
        }
        let pair = [house.client(), house.server_as(config)];
        let mut flights = 0;
        while house.sides[pair[0]].online().is_none() {
            flights += 1;
            assert!(house.deliver(pair[0], pair[1]) > 0);
            assert!(house.deliver(pair[1], pair[0]) > 0);
        }
        assert_eq!(flights, exchanges, "{version}");
        let refused = |event: &Event| matches!(event, Event::AuthenticationRefused(_));
        assert!(!house.sides[pair[0]].events.iter().any(refused));
        house.with(pair[0], |connection, env| connection.close(env));
        house.talk(pair);
    }
}

/// A server with SASL2 and without Bind 2: the resource is asked for behind the login.
#[test]
fn where_nothing_rides_along_the_login_goes_on_as_any_other() {
    let mut house = house();
    let client = house.client();
    let features = "<stream:features><authentication xmlns='urn:xmpp:sasl:2'><mechanism>PLAIN</mechanism></authentication></stream:features>";
    house.give(client, format!("{RESPONSE}{features}")).unwrap();
    assert!(!house.sides[client].written.contains("<bind"));
    let success = "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>juliet@capulet.test</authorization-identifier></success>";
    let behind =
        "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>";
    house.give(client, format!("{success}{behind}")).unwrap();
    let written = &house.sides[client].written;
    assert_eq!(written.matches("<stream:stream").count(), 1);
    assert!(
        written.contains("type='set'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"),
        "{written}"
    );
}

/// XEP-0388 §2.3: the header may have named somebody else.
#[test]
fn a_login_as_another_than_the_header_names_is_refused() {
    let mut house = house();
    let server = house.server();
    let header = HEADER.replace("juliet@", "romeo@");
    let bind = "<bind xmlns='urn:xmpp:bind:0'/></authenticate>";
    house
        .give(server, format!("{header}{AUTHENTICATE}{bind}"))
        .unwrap();
    let written = &house.sides[server].written;
    assert!(written.contains("<invalid-authzid"), "{written}");
    assert!(house.sides[server].online().is_none());
}
