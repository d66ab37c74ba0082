//! What comes in from other servers, for those who are here.

use onetrip_core::bounce;
use onetrip_core::dialback::Reason;
use onetrip_core::stream::{Content, Jid, Stanza, StanzaKind};

use crate::serve::hub::Hub;
use crate::serve::queries;

/// The same stanza on a stream of the other kind (RFC 6120 §4.8.3).
pub(in crate::serve) fn rescoped(stanza: &Stanza, content: Content) -> Option<Stanza> {
    Stanza::parse(stanza.bytes(), content).ok()
}

/// Takes a stanza in whose pair of domains has been checked, and returns what there is to answer.
pub(super) fn take_in(hub: &Hub, stanza: &Stanza) -> Option<Stanza> {
    let stanza = rescoped(stanza, Content::Client)?;
    let to: Jid = stanza.head().to.as_deref()?.parse().ok()?;
    let element = stanza.element();
    let iq = stanza.head().kind == StanzaKind::Iq;
    let answer = match to.local() {
        None if iq && to.resource().is_none() => match queries::answer_abroad(&element, &to)? {
            Ok(result) => Some(result),
            Err(condition) => queries::error_to(&element, condition),
        },
        Some(_) if hub.deliver(&stanza, &to) => None,
        _ => queries::error_to(&element, "service-unavailable"),
    };
    rescoped(&Stanza::from_element(&answer?).ok()?, Content::Server)
}

/// A stanza of ours that could not be sent: its sender learns why.
pub(super) fn give_back(hub: &Hub, stanza: &Stanza, reason: Reason) {
    let error = bounce(stanza, reason).and_then(|error| rescoped(&error, Content::Client));
    let sender = stanza.head().from.as_deref().map(str::parse::<Jid>);
    if let (Some(error), Some(Ok(sender))) = (error, sender) {
        hub.deliver(&error, &sender);
    }
}
