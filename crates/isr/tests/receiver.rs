//! What a server does with every request: in every place, in every form, and more than once.
#![allow(clippy::unwrap_used, clippy::panic)]

use minidom::Element;
use onetrip_isr::{Action, Claim, Error, Event, Place, Receiver, Swap, Token, TokenHash};
use onetrip_stream::{Build as _, Env, Instant, ns};

fn request() -> Element {
    Element::bare("inst-resume", ns::ISR)
        .with_attr("tok", "old")
        .with_attr("h", "42")
}

fn claim() -> Claim {
    Claim::Token(Token::read("old").unwrap().hash())
}

fn handle(machine: &mut Receiver, element: &Element, place: Place) -> Result<(), Error> {
    let mut entropy = |out: &mut [u8]| out.fill(7);
    let mut env = Env::new(Instant::EPOCH, &mut entropy);
    machine.handle(&mut env, element, place)
}

fn fresh() -> Token {
    let mut entropy = |out: &mut [u8]| out.fill(7);
    Token::generate(&mut Env::new(Instant::EPOCH, &mut entropy))
}

/// A refusal in this crate's namespace, with a stanza error and perhaps a count.
fn failed(h: Option<&str>, condition: &str) -> Option<Action> {
    let element =
        Element::bare("failed", ns::ISR).with_child(Element::bare(condition, ns::STANZA_ERRORS));
    Some(Action::Send(match h {
        Some(h) => element.with_attr("h", h),
        None => element,
    }))
}

fn swap(machine: &mut Receiver) -> Swap {
    match machine.poll_action() {
        Some(Action::Request(swap)) => swap,
        other => panic!("{other:?}"),
    }
}

fn asked() -> Receiver {
    let mut machine = Receiver::new();
    handle(&mut machine, &request(), Place::Secured).unwrap();
    let swap = swap(&mut machine);
    assert_eq!((swap.claim, swap.h), (claim(), 42));
    machine
}

#[test]
fn isr_11_both_names_of_the_request_are_understood() {
    for name in ["inst-resume", "instant-resume"] {
        let element = Element::bare(name, ns::ISR)
            .with_attr("tok", "old")
            .with_attr("h", "42");
        let mut machine = Receiver::new();
        handle(&mut machine, &element, Place::Secured).unwrap();
        assert_eq!(swap(&mut machine).claim, claim());
    }
}

#[test]
fn isr_15_the_new_token_is_shown_when_the_store_has_agreed_and_not_before() {
    let mut machine = Receiver::new();
    handle(&mut machine, &request(), Place::Secured).unwrap();
    assert!(machine.is_deciding());
    let fresh = fresh();
    assert_eq!(swap(&mut machine).fresh, fresh.hash());
    assert_eq!(machine.poll_action(), None);
    assert!(!format!("{machine:?}").contains(fresh.expose()));

    machine.accept(21);
    assert!(!machine.is_deciding());
    let answer = Element::bare("inst-resumed", ns::ISR)
        .with_attr("tok", fresh.expose())
        .with_attr("h", "21");
    // A token and a count, and nothing else.
    assert_eq!(machine.poll_action(), Some(Action::Send(answer)));
    assert_eq!(machine.poll_action(), None);
}

#[test]
fn isr_20_and_21_a_refusal_has_a_condition_and_perhaps_a_count() {
    let mut machine = asked();
    machine.refuse(None, "item-not-found");
    assert_eq!(machine.poll_action(), failed(None, "item-not-found"));
    let mut machine = asked();
    machine.refuse(Some(22), "item-not-found");
    assert_eq!(machine.poll_action(), failed(Some("22"), "item-not-found"));
}

#[test]
fn an_answer_to_nothing_changes_nothing() {
    let mut machine = Receiver::default();
    machine.accept(1);
    machine.refuse(None, "item-not-found");
    assert_eq!(machine.poll_action(), None);
    handle(&mut machine, &request(), Place::Secured).unwrap();
    assert!(machine.is_deciding(), "the attempt is still to be had");

    let mut machine = asked();
    machine.refuse(None, "item-not-found");
    machine.accept(1);
    machine.refuse(None, "gone");
    assert_eq!(machine.poll_action(), failed(None, "item-not-found"));
    assert_eq!(machine.poll_action(), None);
}

#[test]
fn isr_r5_a_token_in_clear_is_reported_first_and_refused_then() {
    let mut machine = Receiver::new();
    // Each time: every one of them may be another's.
    for _ in 0..2 {
        handle(&mut machine, &request(), Place::Clear).unwrap();
        let exposed = Action::Event(Event::Exposed(claim()));
        assert_eq!(machine.poll_action(), Some(exposed));
        assert_eq!(machine.poll_action(), failed(None, "policy-violation"));
        assert_eq!(machine.poll_action(), None);
    }
    // The attempt of this connection is gone (ISR-R6).
    handle(&mut machine, &request(), Place::Secured).unwrap();
    assert_eq!(machine.poll_action(), failed(None, "unexpected-request"));
}

#[test]
fn isr_r5_a_token_in_clear_is_exposed_even_if_the_rest_is_malformed() {
    let mut machine = Receiver::new();
    let element = Element::bare("inst-resume", ns::ISR).with_attr("tok", "old");
    handle(&mut machine, &element, Place::Clear).unwrap();
    let exposed = Action::Event(Event::Exposed(claim()));
    assert_eq!(machine.poll_action(), Some(exposed));

    let mut machine = Receiver::new();
    let nothing = Element::bare("inst-resume", ns::ISR).with_attr("h", "1");
    handle(&mut machine, &nothing, Place::Clear).unwrap();
    assert_eq!(machine.poll_action(), failed(None, "policy-violation"));
    assert_eq!(machine.poll_action(), None);
}

#[test]
fn isr_28_behind_authentication_it_comes_too_late() {
    let mut machine = Receiver::new();
    handle(&mut machine, &request(), Place::Authenticated).unwrap();
    assert_eq!(machine.poll_action(), failed(None, "unexpected-request"));
    assert_eq!(machine.poll_action(), None);
}

#[test]
fn isr_r6_there_is_one_attempt_for_each_connection() {
    for accepted in [true, false] {
        let mut machine = asked();
        match accepted {
            true => machine.accept(0),
            false => machine.refuse(None, "item-not-found"),
        }
        assert!(matches!(machine.poll_action(), Some(Action::Send(_))));
        handle(&mut machine, &request(), Place::Secured).unwrap();
        assert_eq!(machine.poll_action(), failed(None, "unexpected-request"));
        assert!(!machine.is_deciding());
    }
}

#[test]
fn isr_r6_a_second_request_is_refused_behind_the_answer_to_the_first() {
    let mut machine = asked();
    for place in [Place::Secured, Place::Authenticated] {
        handle(&mut machine, &request(), place).unwrap();
        assert_eq!(machine.poll_action(), None);
    }
    machine.refuse(Some(1), "item-not-found");
    assert_eq!(machine.poll_action(), failed(Some("1"), "item-not-found"));
    for _ in 0..2 {
        assert_eq!(machine.poll_action(), failed(None, "unexpected-request"));
    }
    assert_eq!(machine.poll_action(), None);
}

#[test]
fn isr_28_a_malformed_request_reaches_no_store_and_is_the_attempt() {
    let bare = || Element::bare("inst-resume", ns::ISR);
    let long = "x".repeat(1025);
    let mut malformed = vec![
        bare(),
        bare().with_attr("tok", "old"),
        bare().with_attr("h", "1"),
        bare().with_attr("h", "1").with_attr("tok", ""),
        bare().with_attr("h", "1").with_attr("tok", long.as_str()),
        // In a namespace it is another attribute.
        bare()
            .with_attr("h", "1")
            .with_attr_ns(ns::ISR, "tok", "old"),
    ];
    for h in ["", "-1", "+1", "0x1", "1e0", " 1", "4294967296"] {
        malformed.push(bare().with_attr("tok", "old").with_attr("h", h));
    }
    for element in malformed {
        let mut machine = Receiver::new();
        handle(&mut machine, &element, Place::Secured).unwrap();
        assert_eq!(machine.poll_action(), failed(None, "bad-request"));
        assert!(!machine.is_deciding());
        handle(&mut machine, &request(), Place::Secured).unwrap();
        assert_eq!(machine.poll_action(), failed(None, "unexpected-request"));
    }
}

#[test]
fn what_is_no_request_ends_it_for_good() {
    for stray in [
        Element::bare("inst-resumed", ns::ISR),
        Element::bare("failed", ns::ISR),
        Element::bare("inst-resume", ns::STREAM_MANAGEMENT),
    ] {
        let mut machine = asked();
        let error = Err(Error::OutOfTurn);
        assert_eq!(handle(&mut machine, &stray, Place::Secured), error);
        assert_eq!(handle(&mut machine, &request(), Place::Secured), error);
        machine.accept(1);
        assert_eq!(machine.poll_action(), None);
    }
}

#[test]
fn no_action_prints_a_token() {
    let mut machine = asked();
    machine.accept(1);
    let action = machine.poll_action().unwrap();
    assert_eq!(format!("{action:?}"), "Send(<inst-resumed/>)");
    let hash = TokenHash::from_bytes([1; 32]);
    let event = Action::Event(Event::Exposed(Claim::Token(hash)));
    let shown = "Event(Exposed(Token(TokenHash(01010101..))))";
    assert_eq!(format!("{event:?}"), shown);
    let mut machine = Receiver::new();
    handle(&mut machine, &request(), Place::Secured).unwrap();
    let shown = format!("{:?}", machine.poll_action().unwrap());
    assert!(shown.contains("h: 42") && !shown.contains("old"));
}
