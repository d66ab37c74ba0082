//! What the tests of bidi share: C is capulet.lit, which opens connections to S, montague.lit.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

use minidom::Element;
use onetrip_bidi::{
    Action, Bidi, Change, Event, Initiator, InitiatorConfig, Layer, Pair, Receiver, ReceiverConfig,
    Trust, feature,
};
use onetrip_stream::{Build as _, Content, Domain, Head, Stanza, ns};

pub(crate) const C: &str = "capulet.lit";
pub(crate) const S: &str = "montague.lit";
pub(crate) const MUC: &str = "conference.montague.lit";

pub(crate) fn domain(name: &str) -> Domain {
    Domain::new(name).unwrap()
}

pub(crate) fn pair(from: &str, to: &str) -> Pair {
    Pair::new(domain(from), domain(to))
}

/// What C hosts.
pub(crate) fn at_c(name: &Domain) -> bool {
    name.as_str() == C || name.as_str() == "rooms.capulet.lit"
}

/// What S hosts.
pub(crate) fn at_s(name: &Domain) -> bool {
    name.as_str() == S || name.as_str() == MUC
}

pub(crate) fn features(children: &[Element]) -> Element {
    let bare = Element::bare("features", ns::STREAMS);
    children.iter().cloned().fold(bare, Element::with_child)
}

pub(crate) fn initiator(layer: Layer) -> Initiator {
    Initiator::new(InitiatorConfig::default(), Content::Server, layer)
}

pub(crate) fn receiver(layer: Layer) -> Receiver {
    Receiver::new(ReceiverConfig::default(), Content::Server, layer)
}

pub(crate) fn optional_tls() -> (InitiatorConfig, ReceiverConfig) {
    let (mut c, mut s) = (InitiatorConfig::default(), ReceiverConfig::default());
    (c.require_tls, s.require_tls) = (false, false);
    (c, s)
}

/// C with bidi on, over TLS, and nothing validated.
pub(crate) fn asking() -> Initiator {
    let mut machine = initiator(Layer::Tls);
    machine.features(&features(&[feature()]));
    machine.authenticating(Trust::Dns).unwrap();
    drain(|| machine.poll_action());
    machine
}

/// S with bidi on, over TLS, and nothing validated.
pub(crate) fn asked() -> Receiver {
    let mut machine = receiver(Layer::Tls);
    machine.announce();
    machine.handle(&Bidi::default().to_element()).unwrap();
    drain(|| machine.poll_action());
    machine
}

/// Both with bidi on and the pair from C to S valid.
pub(crate) fn linked() -> (Initiator, Receiver) {
    let (mut c, mut s) = (asking(), asked());
    c.validated(&pair(C, S), Trust::Certificate, at_c).unwrap();
    s.validated(&pair(C, S), at_s).unwrap();
    drain(|| c.poll_action());
    drain(|| s.poll_action());
    (c, s)
}

pub(crate) fn drain(mut poll: impl FnMut() -> Option<Action>) -> Vec<Action> {
    core::iter::from_fn(&mut poll).collect()
}

pub(crate) fn sent(actions: &[Action]) -> Vec<Element> {
    let element = |action: &Action| match action {
        Action::Send(element) => Some(element.clone()),
        _ => None,
    };
    actions.iter().filter_map(element).collect()
}

pub(crate) fn changes(actions: &[Action]) -> Vec<Change> {
    let change = |action: &Action| match action {
        Action::Event(Event::Changed(change)) => Some(change.clone()),
        _ => None,
    };
    actions.iter().filter_map(change).collect()
}

/// The head of a message with these attributes.
pub(crate) fn head(content: Content, from: Option<&str>, to: Option<&str>) -> Head {
    let mut message = Element::bare("message", content.namespace());
    for (name, value) in [("from", from), ("to", to)] {
        if let Some(value) = value {
            message = message.with_attr(name, value);
        }
    }
    Stanza::from_element(&message).unwrap().head().clone()
}

pub(crate) fn message(from: &str, to: &str) -> Head {
    head(Content::Server, Some(from), Some(to))
}
