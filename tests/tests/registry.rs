//! The registry of a server, where sessions wait: what it is told by the application, and what the next client is told then.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use onetrip_core::Registry;
use onetrip_core::isr::Token;
use onetrip_core::stream::Jid;
use onetrip_core::stream_management::{Count, Session};
use onetrip_tests::house::House;
use onetrip_tests::words::{AUTH, HEADER, failed, inst_resume, resume};

/// A session that was cut, of one stanza that is not acknowledged: its name, its token, and whose it is.
fn cut_session() -> (House, String, String, Jid) {
    let mut house = House::default();
    let server = house.server();
    let id = house.log_in(server);
    house.send(server, "<message id='1'/>");
    let written = house.sides[server].behind(":tok='");
    let token = written.split('\'').next().unwrap().to_owned();
    house.cut(server);
    let owner = house.registry.waiting().next().unwrap().clone();
    (house, id, token, owner)
}

/// What a client is told that shows this token.
fn shown(house: &mut House, token: &str) -> String {
    let server = house.server();
    let text = format!("{HEADER}{}", inst_resume(token, 0));
    house.give(server, text).unwrap();
    house.sides[server].written.clone()
}

/// What one is told that has logged in, and asks for this session.
fn asked(house: &mut House, id: &str) -> String {
    let server = house.server();
    let text = format!("{HEADER}{AUTH}{HEADER}{}", resume(id, 0));
    house.give(server, text).unwrap();
    house.sides[server].written.clone()
}

/// A conflict of resources: the session is over, its stanza goes elsewhere, and its token opens nothing.
#[test]
fn an_address_that_is_bound_anew_ends_the_session_that_waits_for_it() {
    let (mut house, id, token, owner) = cut_session();
    let other: Jid = "juliet@im.example.com/elsewhere".parse().unwrap();
    assert!(house.registry.replace(&other).is_empty());
    let over = house.registry.replace(&owner);
    assert_eq!(
        over.iter()
            .map(|session| session.unacked.len())
            .sum::<usize>(),
        1
    );
    let no = failed("urn:xmpp:isr:0", "item-not-found");
    let told = shown(&mut house, &token);
    assert!(told.ends_with(&no), "{told}");
    let told = asked(&mut house, &id);
    assert!(
        told.contains("<item-not-found") && told.contains("h='0'"),
        "its count is known: {told}"
    );
}

/// Another node's session, or one that was stored: it comes with its token.
#[test]
fn a_session_that_is_brought_is_resumed_by_its_token_or_by_login() {
    for by_token in [true, false] {
        let (mut house, id, token, owner) = cut_session();
        let over: Vec<Session> = house.registry.replace(&owner);
        let hash = Token::read(&token).unwrap().hash();
        for session in over {
            house
                .registry
                .keep(session, by_token.then_some(hash), house.now);
        }
        let told = if by_token {
            shown(&mut house, &token)
        } else {
            let no = failed("urn:xmpp:isr:0", "item-not-found");
            let told = shown(&mut house, &token);
            assert!(told.ends_with(&no), "it was not brought: {told}");
            asked(&mut house, &id)
        };
        assert!(told.ends_with("<message id='1'/>"), "{told}");
        assert_eq!(house.registry.connected(), 1);
    }
}

/// ISR-18: a server that is late with its timer says what the session had handled, as XEP-0198 has it.
#[test]
fn a_token_whose_time_is_over_opens_nothing_whoever_looks_first() {
    let (mut house, _, token, _) = cut_session();
    house.now = house.now + Duration::from_secs(24 * 3600);
    let told = shown(&mut house, &token);
    assert!(told.contains("<item-not-found"), "{told}");
    assert_eq!(house.registry.connected(), 0);
    let over = house.registry.expire(house.now);
    assert_eq!(
        over.iter()
            .map(|session| session.unacked.len())
            .sum::<usize>(),
        1,
        "nothing is lost"
    );
}

#[test]
fn an_account_has_as_many_places_as_is_said() {
    let mut registry = Registry::new(Duration::from_secs(300)).per_account(1);
    let house = House::default();
    let owner: Jid = "juliet@im.example.com/balcony".parse().unwrap();
    for id in ["s1", "s2"] {
        let session = Session::new(id, &owner, Count::new(0), Count::new(0), Vec::new());
        registry.keep(session, None, house.now);
    }
    let over = registry.expire(house.now);
    assert_eq!(
        over.iter()
            .map(|session| session.id.as_str())
            .collect::<Vec<_>>(),
        ["s1"]
    );
}
