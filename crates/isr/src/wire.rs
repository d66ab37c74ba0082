//! The elements of the first two texts, read and written.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minidom::Element;
use onetrip_stream::{Build as _, ns};

use crate::location::DIRECT_TLS_PORT;
use crate::{Dialect, Location, Ticket, Token};

/// The feature: announced under TLS and nowhere else (ISR-13, ISR-14).
///
/// ```
/// # use onetrip_isr::feature;
/// # use onetrip_stream::ns;
/// assert!(feature().is("isr", ns::ISR));
/// ```
#[must_use]
pub fn feature() -> Element {
    Element::bare("isr", ns::ISR)
}

/// Adds a token, and where to come back to, to stream management's `<enabled/>` (ISR-02, ISR-03).
///
/// Only for a session that may be resumed, and under TLS (ISR-05): the element should carry `id` and `resume`, so that
/// a client can fall back to XEP-0198's own resumption (ISR-R2).
#[must_use]
pub fn grant(enabled: Element, token: &Token, location: Option<&Location>) -> Element {
    let enabled = enabled.with_attr_ns(ns::ISR, "tok", token.expose());
    match location {
        Some(location) => enabled.with_attr_ns(ns::ISR, "location", location.to_string()),
        None => enabled,
    }
}

/// Reads a ticket from stream management's `<enabled/>`, whatever prefix its attributes have (ISR-02 to ISR-04).
///
/// `None` without a token in this namespace; a `tok` in no namespace is not one. A location that names no place is
/// left out: it is a hint, and the token is good without it. `id` and `resume` are not asked for, since the text's
/// own samples lack them; whether there is a session to resume is for stream management to say (ISR-05, ISR-R2).
///
/// ```
/// # use onetrip_isr::{Token, grant, granted};
/// # use minidom::Element;
/// # use onetrip_stream::{Build, ns};
/// let enabled = Element::bare("enabled", ns::STREAM_MANAGEMENT).with_attr("id", "s1").with_attr("resume", "true");
/// let token = Token::read("a0b9162d").unwrap();
/// assert_eq!(granted(&grant(enabled.clone(), &token, None)).unwrap().token, token);
/// assert_eq!(granted(&enabled), None);
/// ```
#[must_use]
pub fn granted(enabled: &Element) -> Option<Ticket> {
    if !enabled.is("enabled", ns::STREAM_MANAGEMENT) {
        return None;
    }
    let token = enabled.attr_ns(ns::ISR, "tok").and_then(Token::read)?;
    let location = enabled
        .attr_ns(ns::ISR, "location")
        .and_then(|text| Location::parse(text, DIRECT_TLS_PORT));
    Some(Ticket::new(token, location))
}

/// Adds a key of the second text, and where to come back to, to stream management's `<enabled/>` (ISR 0.0.2 §3). Its `id`
/// is what the client asks by.
#[must_use]
pub fn grant_key(enabled: Element, key: &Token, location: Option<&Location>) -> Element {
    let enabled = enabled.with_attr_ns(ns::ISR, "key", key.expose());
    match location {
        Some(location) => enabled.with_attr_ns(ns::ISR, "location", location.to_string()),
        None => enabled,
    }
}

/// Reads a ticket of the second text; `None` without a key, or without the name of the session.
///
/// ```
/// # use onetrip_isr::{Token, grant_key, granted_key};
/// # use minidom::Element;
/// # use onetrip_stream::{Build, ns};
/// let enabled = Element::bare("enabled", ns::STREAM_MANAGEMENT).with_attr("id", "s1").with_attr("resume", "true");
/// let key = Token::read("a0b9162d").unwrap();
/// assert_eq!(granted_key(&grant_key(enabled.clone(), &key, None)).unwrap().token, key);
/// assert_eq!(granted_key(&enabled), None);
/// ```
#[must_use]
pub fn granted_key(enabled: &Element) -> Option<Ticket> {
    let session = session(enabled)?;
    let key = enabled.attr_ns(ns::ISR, "key").and_then(Token::read)?;
    let location = enabled
        .attr_ns(ns::ISR, "location")
        .and_then(|text| Location::parse(text, DIRECT_TLS_PORT));
    Some(Ticket::of(Dialect::Hmac { session }, key, location))
}

/// The name of a session that may be resumed, from `<enabled/>`.
pub(crate) fn session(enabled: &Element) -> Option<String> {
    if !enabled.is("enabled", ns::STREAM_MANAGEMENT) {
        return None;
    }
    let id = enabled.attr("id").filter(|id| fits(id))?;
    Some(id.to_owned())
}

/// The longest name of a session that is taken, in bytes (XEP-0198 §5).
const MAX_SESSION: usize = 4000;

fn fits(session: &str) -> bool {
    !session.is_empty() && session.len() <= MAX_SESSION
}

/// `previd`.
pub(crate) fn previd(element: &Element) -> Option<&str> {
    element.attr("previd").filter(|session| fits(session))
}

/// `<inst-resume/>` of the second text.
pub(crate) fn prove(session: &str, h: u32, mac: &[u8]) -> Element {
    Element::bare("inst-resume", ns::ISR)
        .with_attr("previd", session)
        .with_attr("h", h.to_string())
        .with_child(hmac(mac))
}

/// `<inst-resumed/>` of the second text.
pub(crate) fn proved(key: &Token, h: u32, mac: &[u8]) -> Element {
    Element::bare("inst-resumed", ns::ISR)
        .with_attr("key", key.expose())
        .with_attr("h", h.to_string())
        .with_child(hmac(mac))
}

fn hmac(mac: &[u8]) -> Element {
    let hash = Element::bare("hash", ns::HASHES_1)
        .with_attr("algo", "sha-256")
        .with_text(&STANDARD.encode(mac));
    Element::bare("hmac", ns::ISR).with_child(hash)
}

/// The HMAC of an element of the second text, under either name that the text gives to its hash function.
pub(crate) fn mac(element: &Element) -> Option<Vec<u8>> {
    let hmac = element.get_child("hmac", ns::ISR)?;
    let hash = hmac.children().find(|child| {
        let known = matches!(child.attr("algo"), Some("sha-256" | "sha256"));
        known && child.is("hash", ns::HASHES_1)
    })?;
    STANDARD.decode(hash.text().trim_ascii()).ok()
}

/// `key`, in no namespace on elements of this one.
pub(crate) fn key(element: &Element) -> Option<Token> {
    element.attr("key").and_then(Token::read)
}

/// `<inst-resume/>`, the short one of its two names (ISR-10, ISR-R1).
pub(crate) fn inst_resume(token: &Token, h: u32) -> Element {
    with_token("inst-resume", token, h)
}

/// Whether this asks for resumption, under either name (ISR-11).
pub(crate) fn is_request(element: &Element) -> bool {
    element.is("inst-resume", ns::ISR) || element.is("instant-resume", ns::ISR)
}

/// `<inst-resumed/>`: a token and a count, and nothing else (ISR-15).
pub(crate) fn inst_resumed(token: &Token, h: u32) -> Element {
    with_token("inst-resumed", token, h)
}

fn with_token(name: &str, token: &Token, h: u32) -> Element {
    Element::bare(name, ns::ISR)
        .with_attr("tok", token.expose())
        .with_attr("h", h.to_string())
}

/// `<failed/>` in this namespace, not in stream management's (ISR-20, ISR-21, ISR-R4).
pub(crate) fn failed(h: Option<u32>, condition: &str) -> Element {
    let condition = Element::bare(condition, ns::STANZA_ERRORS);
    let element = Element::bare("failed", ns::ISR).with_child(condition);
    match h {
        Some(h) => element.with_attr("h", h.to_string()),
        None => element,
    }
}

/// Whether this is a refusal, in either namespace (ISR-R4).
pub(crate) fn is_failed(element: &Element) -> bool {
    element.is("failed", ns::ISR) || element.is("failed", ns::STREAM_MANAGEMENT)
}

/// The stanza error inside a refusal, if there is one.
pub(crate) fn condition(failed: &Element) -> Option<String> {
    failed
        .children()
        .find(|child| child.has_ns(ns::STANZA_ERRORS) && child.name() != "text")
        .map(|child| child.name().to_owned())
}

/// `tok`, in no namespace on elements of this one (ISR-10).
pub(crate) fn token(element: &Element) -> Option<Token> {
    element.attr("tok").and_then(Token::read)
}

/// `h`: digits alone, as `xs:unsignedInt` has it; no sign, no `0x1` (ISR-28).
pub(crate) fn count(element: &Element) -> Option<u32> {
    let text = element.attr("h")?;
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn isr_28_only_unsigned_decimals_are_counts() {
        let read = |h: &str| count(&Element::bare("x", ns::ISR).with_attr("h", h));
        assert_eq!(read("4294967295"), Some(u32::MAX));
        assert_eq!(read("007"), Some(7));
        for bad in ["", "-1", "+1", "0x1", "1e0", " 1", "1 ", "4294967296", "٣"] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn isr_02_and_03_enabled_carries_both_attributes_in_the_namespace() {
        let bare = Element::bare("enabled", ns::STREAM_MANAGEMENT);
        let token = Token::read("t").unwrap();
        let location = Location::parse("h:443", 1);
        let enabled = grant(bare.clone(), &token, location.as_ref());
        assert_eq!(enabled.attr_ns(ns::ISR, "tok"), Some("t"));
        assert_eq!(enabled.attr_ns(ns::ISR, "location"), Some("h:443"));
        assert_eq!(enabled.attr("tok"), None);
        assert_eq!(
            granted(&enabled),
            Some(Ticket::new(token.clone(), location))
        );
        assert_eq!(grant(bare, &token, None).attr_ns(ns::ISR, "location"), None);
    }

    #[test]
    fn isr_04_attributes_without_the_namespace_grant_nothing() {
        let enabled = || Element::bare("enabled", ns::STREAM_MANAGEMENT);
        assert_eq!(granted(&enabled().with_attr("tok", "t")), None);
        assert_eq!(granted(&enabled().with_attr_ns("urn:x", "tok", "t")), None);
        assert_eq!(granted(&enabled().with_attr_ns(ns::ISR, "tok", "")), None);
        let elsewhere = Element::bare("enabled", "urn:x").with_attr_ns(ns::ISR, "tok", "t");
        assert_eq!(granted(&elsewhere), None);
    }

    #[test]
    fn isr_03_a_location_that_names_no_place_does_not_cost_the_token() {
        let enabled = Element::bare("enabled", ns::STREAM_MANAGEMENT)
            .with_attr_ns(ns::ISR, "tok", "t")
            .with_attr_ns(ns::ISR, "location", "::nowhere");
        assert_eq!(granted(&enabled).unwrap().location, None);
    }
}
