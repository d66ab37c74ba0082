//! The few queries that a client asks on login, and what this server says about itself.

use base64::Engine as _;
use minidom::Element;
use onetrip_core::stream::{Build as _, Domain, Jid, ns};
use sha1::{Digest as _, Sha1};

const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";
const ROSTER: &str = "jabber:iq:roster";
/// Where the server's disco#info lives (XEP-0115 §4).
const NODE: &str = "https://onetrip.example/serve";
/// The version of every roster here: they are all empty (RFC 6121 §2.6).
const ROSTER_VERSION: &str = "1";

/// What disco#info reports: every feature that streams show and every query that is answered (QS-05).
const FEATURES: &[&str] = &[
    DISCO_INFO,
    DISCO_ITEMS,
    ns::BIND,
    ns::SASL,
    ns::TLS,
    ns::CAPS,
    ns::PIPELINING,
    ns::ROSTER_VERSIONING,
    ns::CHANNEL_BINDING,
    ns::PING,
    ns::STREAM_MANAGEMENT,
    ns::ISR,
];

/// The answer to an iq for the server or the account: a result, or an error's condition; `None` for what is itself an
/// answer.
pub(super) fn answer(iq: &Element, to: &Jid) -> Option<Result<Element, &'static str>> {
    let get = iq.attr("type") == Some("get");
    let Some(query) = iq.children().next() else {
        return Some(Err("bad-request"));
    };
    if !get && iq.attr("type") != Some("set") {
        return None;
    }
    let result = answer_to(iq, "result");
    Some(match (query.name(), query.ns().as_str()) {
        ("ping", ns::PING) if get => Ok(result),
        ("session", ns::SESSION) => Ok(result),
        ("query", ROSTER) if get => {
            let roster = Element::bare("query", ROSTER);
            Ok(match query.attr("ver") {
                Some(ROSTER_VERSION) => result,
                Some(_) => result.with_child(roster.with_attr("ver", ROSTER_VERSION)),
                None => result.with_child(roster),
            })
        }
        ("query", DISCO_INFO) if get => Ok(result.with_child(disco_info(query.attr("node"), to))),
        ("query", DISCO_ITEMS) if get => Ok(result.with_child(Element::bare("query", DISCO_ITEMS))),
        _ => Err("service-unavailable"),
    })
}

/// The same for what comes from another server: nobody there has a roster or a session here.
pub(super) fn answer_abroad(iq: &Element, to: &Jid) -> Option<Result<Element, &'static str>> {
    let theirs = [ns::PING, DISCO_INFO, DISCO_ITEMS];
    let query = iq.children().next();
    let asked = matches!(iq.attr("type"), Some("get" | "set"));
    match query {
        Some(query) if asked && !theirs.contains(&query.ns().as_str()) => {
            Some(Err("service-unavailable"))
        }
        _ => answer(iq, to),
    }
}

/// What a proxy says about itself.
pub(super) fn answer_as_proxy(iq: &Element) -> Option<Element> {
    let asked = iq.attr("type") == Some("get") && iq.get_child("query", DISCO_INFO).is_some();
    let identity = Element::bare("identity", DISCO_INFO)
        .with_attr("category", "proxy")
        .with_attr("type", "bytestreams");
    let features = [DISCO_INFO, ns::BYTESTREAMS].into_iter();
    let query = features.fold(
        Element::bare("query", DISCO_INFO).with_child(identity),
        |query, feature| {
            query.with_child(Element::bare("feature", DISCO_INFO).with_attr("var", feature))
        },
    );
    asked.then(|| answer_to(iq, "result").with_child(query))
}

/// The components of this server.
pub(super) fn items(iq: &Element, proxy: Option<&Domain>) -> Option<Element> {
    let asked = iq.attr("type") == Some("get") && iq.get_child("query", DISCO_ITEMS).is_some();
    let item = Element::bare("item", DISCO_ITEMS).with_attr("jid", proxy?.as_str());
    let query = Element::bare("query", DISCO_ITEMS).with_child(item);
    asked.then(|| answer_to(iq, "result").with_child(query))
}

/// An empty answer: addresses turned round, same id.
pub(super) fn answer_to(element: &Element, type_: &str) -> Element {
    let mut reply = Element::bare(element.name(), ns::CLIENT).with_attr("type", type_);
    for (theirs, ours) in [("from", "to"), ("to", "from"), ("id", "id")] {
        if let Some(value) = element.attr(theirs) {
            reply = reply.with_attr(ours, value);
        }
    }
    reply
}

/// The error that answers a stanza. RFC 6120 §8.3.1: an error for an error, or for an answer, would never end.
pub(super) fn error_to(element: &Element, condition: &str) -> Option<Element> {
    let answerable = match element.name() {
        "presence" => false,
        "iq" => matches!(element.attr("type"), Some("get" | "set")),
        _ => element.attr("type") != Some("error"),
    };
    let error = Element::bare("error", ns::CLIENT)
        .with_attr("type", "cancel")
        .with_child(Element::bare(condition, ns::STANZA_ERRORS));
    answerable.then(|| answer_to(element, "error").with_child(error))
}

fn disco_info(node: Option<&str>, to: &Jid) -> Element {
    let (category, type_) = if to.local().is_some() {
        ("account", "registered")
    } else {
        ("server", "im")
    };
    let mut query = Element::bare("query", DISCO_INFO);
    if let Some(node) = node {
        query = query.with_attr("node", node);
    }
    let identity = Element::bare("identity", DISCO_INFO)
        .with_attr("category", category)
        .with_attr("type", type_)
        .with_attr("name", "onetrip");
    FEATURES
        .iter()
        .fold(query.with_child(identity), |query, feature| {
            query.with_child(Element::bare("feature", DISCO_INFO).with_attr("var", *feature))
        })
}

/// `<c/>` for stream features (QS-04; XEP-0115 §5.1, §6.3).
pub(super) fn caps() -> Element {
    let mut features: Vec<&str> = FEATURES.to_vec();
    features.sort_unstable();
    let text = features
        .iter()
        .fold("server/im//onetrip<".to_owned(), |text, feature| {
            text + feature + "<"
        });
    let ver = base64::engine::general_purpose::STANDARD.encode(Sha1::digest(text.as_bytes()));
    Element::bare("c", ns::CAPS)
        .with_attr("hash", "sha-1")
        .with_attr("node", NODE)
        .with_attr("ver", ver)
}
