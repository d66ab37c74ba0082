//! What the tests share.

// A test that overflows fails, which is all that is wanted of it.
#![allow(clippy::arithmetic_side_effects, clippy::field_reassign_with_default)]

mod agreement;
#[cfg(feature = "serde")]
mod file;
mod link;
mod properties;
mod route;

use core::net::SocketAddr;

use crate::{Action, Agreement, Error, Event, Link, Role, Security, SourceRule, Terms};
use onetrip_stream::{Content, Domain, Env, Instant, Stanza};

pub(crate) fn domain(name: &str) -> Domain {
    Domain::new(name).unwrap()
}

pub(crate) fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A plain agreement of the ground with the air, two domains each.
pub(crate) fn terms() -> Terms {
    let mut terms = Terms::new(
        vec![domain("ground.example"), domain("muc.ground.example")],
        vec![domain("air.example"), domain("muc.air.example")],
        Security::Plain,
    );
    terms.address = "198.51.100.7:5299".parse().ok();
    terms.allowed_sources = vec![SourceRule::network("198.51.100.0/24".parse().unwrap())];
    terms
}

/// The same from the air's side.
pub(crate) fn mirrored(terms: &Terms) -> Terms {
    let mut mirrored = terms.clone();
    std::mem::swap(&mut mirrored.ours, &mut mirrored.theirs);
    mirrored
}

pub(crate) fn with<R>(millis: u64, call: impl FnOnce(&mut Env<'_>) -> R) -> R {
    let mut entropy = |_: &mut [u8]| ();
    call(&mut Env::new(Instant::from_millis(millis), &mut entropy))
}

pub(crate) fn link(terms: Terms, role: Role) -> Link {
    let agreement = Agreement::new(terms).unwrap();
    let admitted = match role {
        Role::Opener => agreement.reached(socket("198.51.100.7:5299"), None),
        Role::Acceptor => agreement.accept_source(socket("198.51.100.7:40000"), None),
    };
    let authorised = agreement.accept_plain(admitted.unwrap()).unwrap();
    let mut link = with(0, |env| Link::new(&agreement, authorised, env));
    assert_eq!(link.poll_action(), Some(Action::Event(Event::Connected)));
    assert_eq!(link.poll_action(), None, "not a byte before a stanza");
    link
}

pub(crate) fn drain(link: &mut Link) -> Vec<Action> {
    std::iter::from_fn(|| link.poll_action()).collect()
}

pub(crate) fn receive(link: &mut Link, bytes: &str) -> (Result<usize, Error>, Vec<Action>) {
    let result = with(0, |env| link.receive(env, bytes.as_bytes()));
    (result, drain(link))
}

pub(crate) fn stanza(xml: &str) -> Stanza {
    Stanza::parse(xml.as_bytes(), Content::Server).unwrap()
}

pub(crate) fn message(from: &str, to: &str) -> String {
    format!("<message from='{from}' to='{to}'><body>hi</body></message>")
}

/// One stanza in, one out, as they should be.
pub(crate) const IN: &str =
    "<message from='pilot@air.example' to='ops@ground.example'><body>roger</body></message>";
pub(crate) const OUT: &str =
    "<message from='ops@ground.example' to='pilot@air.example'><body>hi</body></message>";

pub(crate) fn written(actions: &[Action]) -> String {
    let bytes = actions.iter().filter_map(|action| match action {
        Action::Transmit(bytes) => Some(std::str::from_utf8(bytes).unwrap()),
        _ => None,
    });
    bytes.collect()
}
