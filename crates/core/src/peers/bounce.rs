//! What comes back when a stanza cannot be sent.

use minidom::Element;
use onetrip_dialback::Reason;
use onetrip_stream::{Build, Condition, DomainRef, Pair, Stanza, Text, ns};

use crate::End;

/// The pair of domains of a stanza.
pub(crate) fn pair_of(stanza: &Stanza) -> Option<Pair> {
    let domain = |text: &Option<Text>| Some(DomainRef::of(text.as_ref()?)?.into_domain());
    let head = stanza.head();
    Some(Pair::new(domain(&head.from)?, domain(&head.to)?))
}

/// What stanzas come back with when their connection ends (RFC 6120 §10.4).
pub(super) fn reason_of(end: &End) -> Reason {
    match end {
        End::PeerError(error) if error.condition == Condition::HostUnknown => {
            Reason::RemoteServerNotFound
        }
        _ => Reason::RemoteServerTimeout,
    }
}

/// The error that a stanza comes back with; `None` for one that must not be answered: an error, or the result of an iq
/// (RFC 6120 §8.3.1).
#[must_use]
pub fn bounce(stanza: &Stanza, reason: Reason) -> Option<Stanza> {
    let head = stanza.head();
    if matches!(head.type_.as_deref(), Some("error" | "result")) {
        return None;
    }
    let kind = match reason {
        Reason::RemoteServerTimeout | Reason::ResourceConstraint => "wait",
        _ => "cancel",
    };
    let namespace = head.content.namespace();
    let error = Element::bare("error", namespace)
        .with_attr("type", kind)
        .with_child(Element::bare(reason.name(), ns::STANZA_ERRORS));
    let addresses = [("from", &head.to), ("to", &head.from), ("id", &head.id)];
    let answer = addresses
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
        .fold(
            Element::bare(head.kind.name(), namespace).with_attr("type", "error"),
            |answer, (name, value)| answer.with_attr(name, value),
        );
    Stanza::from_element(&answer.with_child(error)).ok()
}
