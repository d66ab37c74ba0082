//! Both ends: tokens are handed out, used, rotated and invalidated; answers get lost, and early data is replayed.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{CLIENT, EXPORTER, NONE, World, at, juliet, proof};
use minidom::Element;
use onetrip_fast::{
    Action, Attempt, Error, Feature, Initiator, Policy, Receiver, Refused, Terms, Ticket, Tokens,
    Wallet,
};
use onetrip_stream::stored::StoredError;
use onetrip_stream::{Build as _, Env, Instant, Token, ns};

#[test]
fn a_token_is_good_again_and_again_and_replaced_before_it_ends() {
    let mut world = World::with_token();
    for seconds in [0, 10, 49] {
        world.now = at(seconds);
        assert_eq!(world.token(true), Ok(false));
    }
    let old = world.wallet.next(world.now).unwrap().clone();
    assert_eq!(old.count, 3);
    world.now = at(50);
    assert_eq!(world.token(true), Ok(true));
    let new = world.wallet.next(world.now).unwrap().clone();
    assert!(new.token != old.token && new.count == 0 && new.expiry == at(150));
    assert_eq!(new.mechanism, NONE);
    world.now = at(120);
    assert_eq!(world.token(true), Ok(true));
}

/// XEP-0484 §3.5: links are lossy.
#[test]
fn a_lost_answer_costs_nothing_however_often() {
    let mut world = World::with_token();
    world.now = at(60);
    for _ in 0..5 {
        assert_eq!(world.token(false), Ok(false));
    }
    assert_eq!(world.token(true), Ok(true));
    // Once the new one is used, the old one is dead.
    let old = world.wallet.clone();
    assert_eq!(world.token(true), Ok(false));
    let mut behind = Initiator::new(old, Policy::new([NONE]));
    let first = behind.login(world.now).unwrap();
    behind.refused();
    let second = behind.login(world.now).unwrap();
    assert_ne!(first.token, second.token);
    let inline = [second.element.clone()];
    assert_eq!(
        world.serve(&second, &inline, false).unwrap_err(),
        Refused::Unknown
    );
}

/// The server forgot what it handed out: the client's other slot still works.
#[test]
fn a_refused_token_is_forgotten_and_the_other_one_tried() {
    let mut world = World::with_token();
    let before = world.tokens.clone();
    world.now = at(60);
    assert_eq!(world.token(true), Ok(true));
    world.tokens = before;
    assert_eq!(world.token(true), Err(Refused::Unknown));
    assert_eq!(world.token(true), Ok(true));
    world.tokens = Tokens::default();
    assert_eq!(world.token(true), Err(Refused::Unknown));
    assert_eq!(world.token(true), Err(Refused::Unknown));
    assert!(world.wallet.is_empty(world.now));
}

#[test]
fn early_data_is_accepted_once_and_never_replayed() {
    let mut world = World::with_token();
    let mut client = world.client();
    let first = client.login(world.now).unwrap();
    let second = client.login(world.now).unwrap();
    assert!(first.early && second.element.attr("count") == Some("2"));
    let play = |world: &mut World, login: &onetrip_fast::Login, early| {
        let inline = [login.element.clone()];
        world.serve(login, &inline, early).map(drop)
    };
    assert_eq!(play(&mut world, &first, true), Ok(()));
    assert_eq!(play(&mut world, &first, true), Err(Refused::Replay));
    // Counted behind the handshake, too, where it cannot be a replay.
    assert_eq!(play(&mut world, &second, false), Ok(()));
    assert_eq!(play(&mut world, &second, true), Err(Refused::Replay));
    assert_eq!(play(&mut world, &first, true), Err(Refused::Replay));
    assert_eq!(play(&mut world, &first, false), Ok(()));
    let mut uncounted = client.login(world.now).unwrap();
    uncounted.element = Element::bare("fast", ns::FAST);
    assert_eq!(play(&mut world, &uncounted, true), Err(Refused::Replay));
    assert_eq!(play(&mut world, &uncounted, false), Ok(()));
}

#[test]
fn early_data_needs_both_sides_and_a_mechanism_that_binds_to_no_handshake() {
    let mut world = World::with_token();
    world.policy = Policy::new([NONE]);
    assert!(!world.client().login(world.now).unwrap().early);
    world.policy = Policy::new([NONE]).with_early_data();
    world.feature = Feature::new([NONE]);
    let login = world.client().login(world.now).unwrap();
    assert!(!login.early);
    let inline = [login.element.clone()];
    assert_eq!(
        world.serve(&login, &inline, true).unwrap_err(),
        Refused::Replay
    );

    let mut bound = World::new();
    bound.policy = Policy::new([EXPORTER]).with_early_data();
    assert!(bound.password());
    let login = bound.client().login(bound.now).unwrap();
    assert!(!login.early);
    let inline = [login.element.clone()];
    assert_eq!(
        bound.serve(&login, &inline, true).unwrap_err(),
        Refused::Replay
    );
    assert!(bound.serve(&login, &inline, false).is_ok());
}

/// XEP-0484 §3.4.
#[test]
fn a_token_is_good_for_its_mechanism_account_and_client_only() {
    let world = World::with_token();
    let login = world.client().login(world.now).unwrap();
    let mut elsewhere = login.clone();
    elsewhere.mechanism = EXPORTER.to_owned();
    // The proof would be good if nothing were bound: the mechanism is compared all the same.
    let mut server = Receiver::new(world.feature.clone());
    let inline = [login.element.clone()];
    let mut try_as = |account: &str, client: Option<&str>, mechanism: &str| {
        let account = account.parse().unwrap();
        let mut entropy = |out: &mut [u8]| out.fill(9);
        let env = &mut Env::new(Instant::EPOCH, &mut entropy);
        let attempt = Attempt::new(&account, client, &inline);
        server.login(env, &attempt, mechanism, proof(&login));
        match server.poll_action().unwrap() {
            Action::Swap(swap) => world.tokens.clone().swap(&swap, world.now).map(drop),
            Action::Refused(refused) => Err(refused),
            other => panic!("{other:?}"),
        }
    };
    let account = "juliet@capulet.lit";
    assert_eq!(try_as(account, Some(CLIENT), NONE), Ok(()));
    assert_eq!(
        try_as(account, Some(CLIENT), EXPORTER),
        Err(Refused::Mechanism)
    );
    assert_eq!(
        try_as(account, Some(CLIENT), "HT-SHA-256-ENDP"),
        Err(Refused::NotOffered)
    );
    assert_eq!(
        try_as("romeo@capulet.lit", Some(CLIENT), NONE),
        Err(Refused::Unknown)
    );
    assert_eq!(
        try_as(account, Some("another"), NONE),
        Err(Refused::Unknown)
    );
    assert_eq!(try_as(account, None, NONE), Err(Refused::Malformed));
    assert_eq!(
        try_as(account, Some(&"x".repeat(257)), NONE),
        Err(Refused::Malformed)
    );
}

/// XEP-0484 §3.5: all that end before the one that was used die, as when a server has shortened their lives.
#[test]
fn a_token_that_ends_before_the_one_that_is_used_is_dead() {
    let mut world = World::with_token();
    assert_eq!(world.token(true), Ok(false));
    let used = world.client().login(world.now).unwrap();
    world.tokens.set_terms(Terms::new(10, 5));
    assert!(world.password());
    let shorter = world.client().login(world.now).unwrap();
    assert_ne!(shorter.token, used.token);
    for (login, result) in [(used, Ok(())), (shorter, Err(Refused::Unknown))] {
        let inline = [login.element.clone()];
        assert_eq!(world.serve(&login, &inline, false).map(drop), result);
    }
}

/// XEP-0484 §3.6.
#[test]
fn an_invalidated_token_is_dead_at_both_ends_and_not_replaced_unless_asked() {
    for asks in [false, true] {
        let mut world = World::with_token();
        world.now = at(60);
        let mut client = world.client();
        client.invalidate();
        let login = client.login(world.now).unwrap();
        assert_eq!(login.element.attr("invalidate"), Some("true"));
        let mut inline = vec![login.element.clone()];
        if asks {
            inline.extend(client.request(&world.feature));
        }
        let (_, answers) = world.serve(&login, &inline, false).unwrap();
        assert_eq!(client.handle(&answers), Ok(asks));
        assert_eq!(client.wallet().is_empty(world.now), !asks);
        let again = world.serve(&login, &inline, false);
        assert_eq!(again.unwrap_err(), Refused::Unknown);
        assert_eq!(world.tokens.is_empty(), !asks);
    }
}

/// XEP-0484 §4.2.
#[test]
fn an_expired_token_is_refused_as_that_and_not_tried_by_its_owner() {
    let mut world = World::with_token();
    let login = world.client().login(world.now).unwrap();
    world.now = at(100);
    assert!(world.client().login(world.now).is_none());
    let inline = [login.element.clone()];
    let refused = world.serve(&login, &inline, false).unwrap_err();
    assert_eq!(refused, Refused::Expired);
    assert_eq!(refused.condition(), "credentials-expired");
    assert!(world.tokens.is_empty(), "it is gone");
}

#[test]
fn revoking_and_expiring_leave_nothing_behind() {
    let world = World::with_token();
    let mut other = world.tokens.clone();
    other.revoke(&juliet(), "another");
    other.revoke_account(&"romeo@capulet.lit".parse().unwrap());
    other.expire(at(99));
    assert_eq!(other.len(), 1);
    for kill in [
        (|tokens: &mut Tokens| tokens.revoke(&juliet(), CLIENT)) as fn(&mut Tokens),
        |tokens| tokens.revoke_account(&"juliet@capulet.lit/b".parse().unwrap()),
        |tokens| tokens.expire(at(100)),
    ] {
        let mut tokens = world.tokens.clone();
        kill(&mut tokens);
        assert!(tokens.is_empty());
    }
}

#[test]
fn what_is_malformed_is_refused_or_an_error_and_what_is_unasked_left_alone() {
    let mut world = World::with_token();
    let login = world.client().login(world.now).unwrap();
    let fast = login.element.clone();
    for (inline, refused) in [
        (vec![], Refused::NotFast),
        (vec![fast.clone(), fast.clone()], Refused::Malformed),
        (
            vec![fast.clone().with_attr("count", "0")],
            Refused::Malformed,
        ),
    ] {
        assert_eq!(world.serve(&login, &inline, false).unwrap_err(), refused);
    }
    let token: Element = "<token xmlns='urn:xmpp:fast:0' expiry='2020-03-12T14:36:15Z' token='t'/>"
        .parse()
        .unwrap();
    let asked = || {
        let mut client = world.client();
        assert!(client.request(&world.feature).is_some());
        client
    };
    assert_eq!(
        asked().handle(&[token.clone(), token.clone()]),
        Err(Error::Twice("token"))
    );
    let bad = token.clone().with_attr("expiry", "tomorrow");
    assert_eq!(asked().handle(&[bad]), Err(Error::Attribute("expiry")));
    assert_eq!(asked().handle(std::slice::from_ref(&token)), Ok(true));
    assert_eq!(world.client().handle(&[token]), Ok(false));
    // A mechanism that is not offered gets no token.
    let odd = Element::bare("request-token", ns::FAST).with_attr("mechanism", "PLAIN");
    let mut server = Receiver::new(world.feature.clone());
    assert!(world.finish(&mut server, &[odd]).is_empty());
}

#[test]
fn stored_values_come_back_from_their_bytes_and_from_no_others() {
    let mut world = World::with_token();
    world.now = at(60);
    assert_eq!(world.token(true), Ok(true));
    let (wallet, tokens) = (world.wallet.to_bytes(), world.tokens.to_bytes());
    assert_eq!(Wallet::from_bytes(&wallet), Ok(world.wallet));
    assert_eq!(Tokens::from_bytes(&tokens), Ok(world.tokens));
    for cut in 0..wallet.len() {
        assert!(Wallet::from_bytes(&wallet[..cut]).is_err());
    }
    for cut in 0..tokens.len() {
        assert!(Tokens::from_bytes(&tokens[..cut]).is_err());
    }
    assert_eq!(
        Wallet::from_bytes(b"OTFW\x02"),
        Err(StoredError::Version(2))
    );
    assert_eq!(
        Tokens::from_bytes(b"OTFS\x02"),
        Err(StoredError::Version(2))
    );
    assert_eq!(Wallet::from_bytes(&tokens), Err(StoredError::Foreign));
}

#[test]
fn no_token_is_ever_printed() {
    let mut world = World::with_token();
    let mut client = world.client();
    let secret = client.login(world.now).unwrap().token.expose().to_owned();
    let token = Ticket::new(Token::read(&secret).unwrap(), NONE, at(1));
    for shown in [
        format!("{client:?}"),
        format!("{:?}", world.tokens),
        format!("{token:?}"),
        format!("{:?}", client.login(world.now)),
    ] {
        assert!(!shown.contains(&secret), "{shown}");
    }
    let mut server = Receiver::new(world.feature.clone());
    let asked: Vec<Element> = client.request(&world.feature).into_iter().collect();
    let answers = Action::Answer(world.finish(&mut server, &asked));
    assert_eq!(format!("{answers:?}"), "Answer(1 elements)");
}
