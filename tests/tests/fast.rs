//! FAST on real connections: a token instead of the password, in one flight, with the session in it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use onetrip_core::fast::Tokens;
use onetrip_core::quickstart::Level;
use onetrip_core::{Entity, ErrorKind, Event, Installation, Request, Sasl2Login};
use onetrip_tests::house::House;
use onetrip_tests::words::{RESPONSE, message, messages};

const TOKEN: &str = "mechanism='HT-SHA-256-NONE'><initial-response";
const PASSWORD: &str = "mechanism='PLAIN'><initial-response";

fn house() -> House {
    House {
        instant: false,
        later: true,
        level: Level::Safe,
        fast: true,
        ..House::default()
    }
}

/// Lets both talk until the client is online; how many exchanges that took.
fn log_in(house: &mut House) -> ([usize; 2], u32) {
    let pair = [house.client(), house.server()];
    let mut exchanges = 0;
    while house.sides[pair[0]].online().is_none() {
        exchanges += 1;
        assert!(house.deliver(pair[0], pair[1]) > 0);
        assert!(house.deliver(pair[1], pair[0]) > 0);
    }
    (pair, exchanges)
}

fn close(house: &mut House, pair: [usize; 2]) {
    house.with(pair[0], |connection, env| connection.close(env));
    house.talk(pair);
}

#[test]
fn the_password_is_used_once_and_then_a_token_in_one_flight() {
    let mut house = house();
    let (pair, exchanges) = log_in(&mut house);
    assert_eq!((exchanges, house.sides[pair[0]].count(PASSWORD)), (2, 1));
    assert_eq!(house.registry.logins().len(), 1);
    close(&mut house, pair);
    for _ in 0..3 {
        let (pair, exchanges) = log_in(&mut house);
        let client = &house.sides[pair[0]];
        assert_eq!(
            (exchanges, client.count(PASSWORD), client.count(TOKEN)),
            (1, 0, 1)
        );
        assert_eq!(client.count("<request-token"), 0);
        assert!(client.granted().is_some());
        house.send(pair[0], &message(1));
        house.talk(pair);
        assert_eq!(house.sides[pair[1]].stanzas(), messages([1]));
        close(&mut house, pair);
    }
}

/// What instant stream resumption wants, on what is deployed: token, session and replay in one exchange.
#[test]
fn a_session_goes_on_by_a_token_in_one_exchange() {
    let mut house = house();
    let (pair, _) = log_in(&mut house);
    house.talk(pair);
    for round in 1..4 {
        let [client, server] = log_in_pair(&house);
        house.send(client, &message(round));
        house.send(server, &message(round));
        house.cut_both([client, server]);
        let (pair, exchanges) = log_in(&mut house);
        assert_eq!(exchanges, 1);
        assert!(matches!(house.sides[pair[0]].online(), Some((_, true))));
        assert_eq!(house.sides[pair[0]].count(TOKEN), 1);
        house.talk(pair);
        assert_eq!(house.sides[pair[0]].stanzas(), messages([round]));
        assert_eq!(house.sides[pair[1]].stanzas(), messages([round]));
    }
}

/// The two ends that were made last.
fn log_in_pair(house: &House) -> [usize; 2] {
    [house.sides.len() - 2, house.sides.len() - 1]
}

/// Conversations 3d56d0182: the token is dead. XEP-0484 §4.1: the password is next, on the same stream.
#[test]
fn a_token_that_is_dead_costs_one_exchange_and_blames_nobody() {
    let mut house = house();
    let (pair, _) = log_in(&mut house);
    close(&mut house, pair);
    // QS-R4: that a token is stronger than the password does not bar the password.
    let (pair, _) = log_in(&mut house);
    assert_eq!(house.sides[pair[0]].count(TOKEN), 1);
    close(&mut house, pair);
    *house.registry.logins_mut() = Tokens::default();
    let (pair, exchanges) = log_in(&mut house);
    let client = &house.sides[pair[0]];
    assert_eq!(exchanges, 2);
    assert_eq!((client.count(TOKEN), client.count(PASSWORD)), (1, 1));
    assert_eq!(client.count("<stream:stream"), 1);
    let refused = |event: &Event| matches!(event, Event::AuthenticationRefused(_));
    assert!(!client.events.iter().any(refused));
    assert_eq!(house.registry.logins().len(), 1, "a new one");
    close(&mut house, pair);
    assert_eq!(log_in(&mut house).1, 1);
}

/// A token ends with what it was for: a server that no longer has FAST is met with the password (Conversations dac2e1713).
#[test]
fn a_server_that_lost_fast_gets_the_password() {
    let mut house = house();
    let (pair, _) = log_in(&mut house);
    close(&mut house, pair);
    let mut config = house.server_config();
    if let Some(offer) = &mut config.sasl2 {
        offer.fast = false;
    }
    let pair = [house.client(), house.server_as(config)];
    house.talk(pair);
    let client = &house.sides[pair[0]];
    assert!(client.online().is_some(), "{}", client.written);
    assert_eq!(client.count(PASSWORD), 1);
}

/// The stream ends, and nothing of the tail is believed.
#[test]
fn a_server_that_does_not_prove_the_token_is_not_believed() {
    for proof in ["", "<additional-data>AAAA</additional-data>"] {
        let mut house = house();
        let (pair, _) = log_in(&mut house);
        let features = house.sides[pair[1]].written.clone();
        close(&mut house, pair);
        let features = features.split_once("<stream:features>").unwrap().1;
        let features = features.split_once("</stream:features>").unwrap().0;
        let client = house.client();
        assert_eq!(house.sides[client].count(TOKEN), 1);
        let success = format!(
            "<success xmlns='urn:xmpp:sasl:2'>{proof}<authorization-identifier>juliet@capulet.test/x</authorization-identifier><bound xmlns='urn:xmpp:bind:0'/></success>"
        );
        let text = format!(
            "{RESPONSE}<stream:features>{features}</stream:features>{success}{}",
            message(1)
        );
        let error = house.give(client, text).unwrap_err();
        assert!(matches!(error.kind, ErrorKind::Sasl2(_)));
        let side = &house.sides[client];
        assert!(side.online().is_none() && side.stanzas().is_empty());
    }
}

/// What a resumed session sends again goes behind `<success/>`, even when that waits for a token to be stored.
#[test]
fn the_replay_waits_for_the_token_that_goes_out_before_it() {
    let mut house = house();
    house.fast = false;
    let (pair, _) = log_in(&mut house);
    house.send(pair[1], &message(1));
    house.cut_both(pair);
    house.fast = true;
    // The memory knows nothing of tokens yet.
    house.level = Level::Off;
    house.decides = false;
    let (client, server) = (house.client(), house.server());
    while house.sides[client].online().is_none() {
        house.deliver(client, server);
        let waits = matches!(
            house.sides[server].asked.front(),
            Some(Request::FastIssue(_))
        );
        assert!(!waits || house.sides[server].count("<message") == 0);
        if !house.answer(server) {
            house.deliver(server, client);
        }
    }
    let written = &house.sides[server].written;
    let (before, behind) = written.split_once("</success>").unwrap();
    assert!(
        before.contains("<token ") && before.contains("<resumed "),
        "{written}"
    );
    assert!(behind.starts_with("<message"), "{behind}");
    assert_eq!(house.sides[client].stanzas(), messages([1]));
}

/// Nothing but SASL2 has to be asked for: the entity knows who it is and what it has, in the next process too.
#[test]
fn tokens_come_with_sasl2_and_outlive_the_process() {
    let mut house = house();
    let log_in = |house: &mut House| {
        let mut config = house.client_config();
        config.sasl2 = Some(Sasl2Login::default());
        let pair = [house.client_of(config), house.server()];
        house.talk(pair);
        close(house, pair);
        [PASSWORD, TOKEN].map(|what| house.sides[pair[0]].count(what))
    };
    assert_eq!(log_in(&mut house), [1, 0]);
    assert_eq!(log_in(&mut house), [0, 1]);
    let kept: Vec<_> = house
        .entity
        .installations()
        .map(Installation::to_bytes)
        .collect();
    let cache = house.entity.cache().clone();
    house.entity = Entity::new(cache, house.entity.policy().clone());
    for stored in kept {
        let installation = Installation::from_bytes(&stored).unwrap();
        assert_eq!(installation.account.to_string(), "juliet@capulet.test");
        assert_eq!(installation.id.len(), 36);
        house.entity.keep_installation(installation);
    }
    assert_eq!(log_in(&mut house), [0, 1]);
    // Another installation of the same account is another client.
    house.entity.take_installation(&house.account);
    assert_eq!(log_in(&mut house), [1, 0]);
    assert_eq!(house.registry.logins().len(), 2);
    // A password that is changed ends all of them.
    house.registry.revoke_account(&house.account);
    assert_eq!(log_in(&mut house), [1, 1]);
}

/// XEP-0484 §4.2: a client that does not know the date learns that a token has ended from its server, and loses nothing by it.
#[test]
fn a_token_that_has_ended_is_replaced() {
    let mut house = house();
    let (pair, _) = log_in(&mut house);
    close(&mut house, pair);
    house.now = house.now + Duration::from_secs(22 * 86_400);
    let mut config = house.client_config();
    config.sasl2 = Some(Sasl2Login::default());
    let pair = [house.client_of(config), house.server()];
    house.talk(pair);
    assert!(
        house.sides[pair[1]]
            .written
            .contains("<credentials-expired")
    );
    assert!(house.sides[pair[0]].online().is_some());
    assert_eq!(house.sides[pair[0]].count("<request-token"), 1);
    close(&mut house, pair);
    assert_eq!(log_in(&mut house).1, 1);
}
