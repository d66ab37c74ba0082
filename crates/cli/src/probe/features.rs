//! What a server's features say.

use minidom::Element;
use onetrip_core::fast;
use onetrip_core::negotiation::{bind2, sasl2};
use onetrip_core::quickstart::Features;
use onetrip_core::stream::ns;
use serde_json::{Value, json};

use super::set;
use super::tried::{Shown, version};

/// What is looked for in features: its name here, the element and its namespace.
const OFFERS: &[(&str, &str, &str)] = &[
    ("pipelining", "pipelining", ns::PIPELINING),
    ("SASL2", "authentication", ns::SASL2),
    ("stream management", "sm", ns::STREAM_MANAGEMENT),
    (TOKENS, "isr", ns::ISR),
    ("instant stream resumption by SASL2", "isr", ns::ISR_SASL2),
    ("roster versioning", "ver", ns::ROSTER_VERSIONING),
    ("dialback", "dialback", ns::DIALBACK_FEATURE),
    ("bidirectional streams", "bidi", ns::BIDI_FEATURE),
    ("stream limits", "limits", ns::STREAM_LIMITS),
];

/// By tokens of the first text.
pub(super) const TOKENS: &str = "instant stream resumption";

/// Tokens as early data of TLS.
pub(super) const EARLY: &str = "FAST as early data";

/// What is offered inside SASL2.
const INLINE: &[(&str, &str, &str)] = &[
    ("Bind 2", "bind", ns::BIND2),
    ("FAST", "fast", ns::FAST),
    ("inline resumption", "sm", ns::STREAM_MANAGEMENT),
];

/// What the features say, before TLS and under it.
pub(super) fn describe(findings: &mut Value, shown: &Shown) {
    if let Some(clear) = &shown.clear {
        let required = clear
            .get_child("starttls", ns::TLS)
            .is_some_and(|starttls| starttls.has_child("required", ns::TLS));
        set(findings, "starttls_required", json!(required));
        set(findings, "offered_in_clear", json!(listed(clear, OFFERS)));
    }
    set(findings, "tls", json!(version(&shown.tls)));
    set(findings, "certificate", json!(shown.tls.names));
    let features = Features::read(&shown.secured);
    set(findings, "mechanisms", json!(features.mechanisms()));
    let bindings = features.channel_bindings();
    set(findings, "channel_bindings", json!(bindings));
    set(findings, "offered", json!(offered(&shown.secured)));
    if let Some(offer) = sasl2::Offer::read(&shown.secured) {
        let fast = tokens(&offer)
            .map(|fast| json!({"mechanisms": fast.mechanisms, "tls_0rtt": fast.early}));
        let sasl2 = json!({
            "mechanisms": offer.mechanisms,
            "bind2": bind2::Feature::read(&offer).map(|bind| bind.inline),
            "resume": bind2::resumes(&offer),
            "fast": fast,
            "config_version": offer.config_version,
        });
        set(findings, "sasl2", sasl2);
    }
}

/// What is offered under TLS, by name.
pub(super) fn offered(features: &Element) -> Vec<&'static str> {
    let mut offered = listed(features, OFFERS);
    let inline = features
        .get_child("authentication", ns::SASL2)
        .and_then(|sasl2| sasl2.get_child("inline", ns::SASL2));
    offered.extend(inline.into_iter().flat_map(|inline| listed(inline, INLINE)));
    let early = sasl2::Offer::read(features)
        .and_then(|offer| tokens(&offer))
        .is_some_and(|fast| fast.early);
    offered.extend(early.then_some(EARLY));
    offered
}

/// What is offered of tokens.
fn tokens(offer: &sasl2::Offer) -> Option<fast::Feature> {
    fast::Feature::read(offer.inline("fast", ns::FAST)?)
}

fn listed(features: &Element, known: &[(&'static str, &str, &str)]) -> Vec<&'static str> {
    let there = |(_, name, namespace): &&(&str, &str, &str)| features.has_child(*name, *namespace);
    known
        .iter()
        .filter(there)
        .map(|(name, _, _)| *name)
        .collect()
}
