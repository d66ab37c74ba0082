//! The third text as elements: what rides in stream management's and SASL2's (XEP-0397).
//!
//! The login itself is SASL2's, by the mechanism that the key is pinned to; whoever carries that out passes on what
//! stands here.

use minidom::Element;
use onetrip_stream::{Build as _, ns};

use crate::location::DIRECT_TLS_PORT;
use crate::{Dialect, Location, Ticket, Token, wire};

/// The feature, announced under TLS alone, with the mechanisms that keys are handed out for (XEP-0397 §2).
#[must_use]
pub fn feature(mechanisms: &[&str]) -> Element {
    let list = mechanisms
        .iter()
        .fold(Element::bare("mechanisms", ns::SASL), |list, mechanism| {
            list.with_child(Element::bare("mechanism", ns::SASL).with_text(mechanism))
        });
    Element::bare("isr", ns::ISR_SASL2).with_child(list)
}

/// The mechanisms of the feature among those of a stream; `None` without it.
#[must_use]
pub fn mechanisms(features: &Element) -> Option<Vec<String>> {
    let list = features
        .get_child("isr", ns::ISR_SASL2)?
        .get_child("mechanisms", ns::SASL)?;
    let named = list
        .children()
        .filter(|child| child.is("mechanism", ns::SASL));
    Some(named.map(|child| child.text().trim().to_owned()).collect())
}

/// Asks for a key within `<enable/>`, pinned to this mechanism (§3).
#[must_use]
pub fn ask(enable: Element, mechanism: &str) -> Element {
    let child = Element::bare("isr-enable", ns::ISR_SASL2).with_attr("mechanism", mechanism);
    enable.with_child(child)
}

/// The mechanism that a key is asked for.
#[must_use]
pub fn asked(enable: &Element) -> Option<&str> {
    enable
        .get_child("isr-enable", ns::ISR_SASL2)?
        .attr("mechanism")
}

/// Adds a key to `<enabled/>`, over TLS alone (§3).
#[must_use]
pub fn grant(enabled: Element, key: &Token, location: Option<&Location>) -> Element {
    let child = Element::bare("isr-enabled", ns::ISR_SASL2).with_attr("token", key.expose());
    enabled.with_child(match location {
        Some(location) => child.with_attr("location", location.to_string()),
        None => child,
    })
}

/// Reads a ticket from `<enabled/>`, for the mechanism that was asked for; `None` without a key or the name of the
/// session.
#[must_use]
pub fn granted(enabled: &Element, mechanism: &str) -> Option<Ticket> {
    let session = wire::session(enabled)?;
    let child = enabled.get_child("isr-enabled", ns::ISR_SASL2)?;
    let key = child.attr("token").and_then(Token::read)?;
    let location = child
        .attr("location")
        .and_then(|text| Location::parse(text, DIRECT_TLS_PORT));
    let mechanism = mechanism.to_owned();
    Some(Ticket::of(
        Dialect::Sasl2 { session, mechanism },
        key,
        location,
    ))
}

/// `<inst-resume/>` in `<authenticate/>` (§4.2).
pub(crate) fn inst_resume(session: &str, h: u32) -> Element {
    Element::bare("inst-resume", ns::ISR_SASL2)
        .with_attr("with-isr-token", "true")
        .with_child(
            Element::bare("resume", ns::STREAM_MANAGEMENT)
                .with_attr("h", h.to_string())
                .with_attr("previd", session),
        )
}

/// What `<inst-resume/>` asks: the session and the count, if the key is its secret.
pub(crate) fn read_inst_resume(element: &Element) -> Option<(String, u32)> {
    // Without the attribute it is true. With `false` the mechanism is an ordinary one, and XEP-0198 does the same inline.
    let by_key = matches!(element.attr("with-isr-token"), None | Some("true" | "1"));
    let resume = element.get_child("resume", ns::STREAM_MANAGEMENT)?;
    let session = wire::previd(resume)?.to_owned();
    let h = wire::count(resume)?;
    (by_key && element.is("inst-resume", ns::ISR_SASL2)).then_some((session, h))
}

/// `<inst-resumed/>` in `<success/>`, around stream management's answer (§4.2.1).
pub(crate) fn inst_resumed(key: &Token, resumed: Element) -> Element {
    Element::bare("inst-resumed", ns::ISR_SASL2)
        .with_attr("token", key.expose())
        .with_child(resumed)
}

/// `<inst-resume-failed/>` in `<success/>`, around stream management's answer (§4.2.2).
pub(crate) fn inst_resume_failed(failed: Element) -> Element {
    Element::bare("inst-resume-failed", ns::ISR_SASL2).with_child(failed)
}

/// What this is of stream management's: `<resume/>` in `<inst-resume/>`, `<resumed/>` in `<inst-resumed/>`, `<failed/>` in
/// `<inst-resume-failed/>`. `None` for any other element, and for one without.
#[must_use]
pub fn inside(element: &Element) -> Option<&Element> {
    let name = match element.name() {
        "inst-resume" => "resume",
        "inst-resumed" => "resumed",
        "inst-resume-failed" => "failed",
        _ => return None,
    };
    let ours = element.has_ns(ns::ISR_SASL2);
    ours.then(|| element.get_child(name, ns::STREAM_MANAGEMENT))
        .flatten()
}
