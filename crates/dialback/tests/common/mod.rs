//! What the tests of dialback share.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

use minidom::Element;
use onetrip_dialback::{
    Action, Ask, Checked, ConnectionId, Event, Facts, Key, Message, Originating, Pair, Receiving,
    StreamId, Verification, Verifying,
};
use onetrip_stream::{Domain, Env, Instant, Secret};

pub(crate) const CAPULET: &str = "capulet.example";
pub(crate) const MONTAGUE: &str = "montague.example";

pub(crate) fn domain(name: &str) -> Domain {
    Domain::new(name).unwrap()
}

pub(crate) fn pair(from: &str, to: &str) -> Pair {
    Pair::new(domain(from), domain(to))
}

pub(crate) fn id(text: &str) -> StreamId {
    StreamId::new(text).unwrap()
}

pub(crate) fn secret() -> Secret {
    Secret::from("s3cr3tf0rd14lb4ck")
}

/// Runs a call at so many seconds.
pub(crate) fn at<T>(seconds: u64, call: impl FnOnce(&mut Env<'_>) -> T) -> T {
    let mut entropy = |out: &mut [u8]| out.fill(4);
    call(&mut Env::new(
        Instant::from_millis(seconds * 1000),
        &mut entropy,
    ))
}

pub(crate) fn ask(pair: &Pair, key: &str) -> Ask {
    Ask {
        pair: pair.clone(),
        key: Key::read(key).unwrap(),
    }
}

/// What montague.example knows of a pair, over TLS.
pub(crate) fn at_montague(pair: &Pair) -> Facts {
    Facts::of(pair, |name| name.as_str().ends_with(MONTAGUE)).secured()
}

pub(crate) fn receiving() -> Receiving {
    Receiving::new(ConnectionId(1), id("D60000229F"))
}

pub(crate) fn originating() -> Originating {
    Originating::new(secret(), id("D60000229F"), domain(MONTAGUE))
}

pub(crate) fn drain(mut poll: impl FnMut() -> Option<Action>) -> Vec<Action> {
    core::iter::from_fn(&mut poll).collect()
}

/// The elements among the actions, as messages.
pub(crate) fn sent(actions: &[Action]) -> Vec<Message> {
    let read = |element: &Element| Message::read(element).unwrap().unwrap();
    let element = |action: &Action| match action {
        Action::Send(element) => Some(read(element)),
        _ => None,
    };
    actions.iter().filter_map(element).collect()
}

pub(crate) fn events(actions: &[Action]) -> Vec<Event> {
    let event = |action: &Action| match action {
        Action::Event(event) => Some(event.clone()),
        _ => None,
    };
    actions.iter().filter_map(event).collect()
}

pub(crate) fn requests(actions: &[Action]) -> Vec<Verification> {
    let request = |action: &Action| match action {
        Action::Request(verification) => Some(verification.clone()),
        _ => None,
    };
    actions.iter().filter_map(request).collect()
}

/// Asks, and has the verification end like this.
pub(crate) fn asked_and(machine: &mut Receiving, pair: &Pair, checked: Checked) -> Vec<Action> {
    at(0, |env| {
        machine.handle(env, &ask(pair, "key"), at_montague(pair));
    });
    let verification = requests(&drain(|| machine.poll_action())).pop().unwrap();
    machine.verified(verification.ticket, checked);
    drain(|| machine.poll_action())
}

pub(crate) fn verifying(connection: u64) -> Verifying {
    Verifying::new(ConnectionId(connection))
}
