//! One connection, from its first byte to its last, from both sides.

mod life;
mod refused;
mod stanzas;

use std::time::Duration;

use super::*;
use crate::{
    Acknowledgements, Action, Blocked, End, ErrorKind, Event, Invalid, Link, OnInvalid, Reason,
    Role, Terms, UsageError, Why,
};
use minidom::Element;
use onetrip_stream::{Build, Condition, Content, Limit, ReadErrorKind, Stanza, StreamError, ns};

fn failed(terms: Terms, bytes: &str) -> (ErrorKind, String) {
    let mut link = link(terms, Role::Acceptor);
    let (result, actions) = receive(&mut link, bytes);
    let error = result.unwrap_err();
    let n = actions.len();
    assert_eq!(actions[n - 1], Action::Close);
    assert_eq!(
        actions[n - 2],
        Action::Event(Event::Ended(End::Failed(error.clone())))
    );
    assert!(
        !actions.iter().any(|a| matches!(a, Action::Stanza(_))),
        "{actions:?}"
    );
    assert_eq!(
        receive(&mut link, IN),
        (Err(error.clone()), vec![]),
        "final, and repeated"
    );
    assert_eq!(
        with(0, |env| link.send(env, &stanza(OUT))),
        Err(UsageError::Closed)
    );
    assert_eq!(link.poll_timeout(), None);
    (error.kind, written(&actions))
}

fn told(condition: Condition) -> String {
    format!(
        "<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>"
    )
}

fn ended(actions: &[Action]) -> Option<&End> {
    actions.iter().find_map(|action| match action {
        Action::Event(Event::Ended(end)) => Some(end),
        _ => None,
    })
}

fn acknowledging() -> Terms {
    let mut terms = terms();
    terms.presets.acknowledgements = Some(Acknowledgements::default());
    terms
}

fn nonza(name: &str) -> Element {
    Element::bare(name, ns::STREAM_MANAGEMENT)
}
