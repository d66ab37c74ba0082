//! The feature, the request and the limits.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use core::slice::from_ref;

use common::features;
use minidom::Element;
use onetrip_bidi::{Bidi, Namespaces, StreamLimits, feature, legacy_feature};
use onetrip_stream::{Build as _, Content, Writer, ns};
use proptest::prelude::*;

fn written(element: &Element) -> String {
    let bytes = Writer::new(Content::Server).element(element).unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn limits(max_bytes: Option<u32>, idle_seconds: Option<u32>) -> StreamLimits {
    let mut limits = StreamLimits::default();
    (limits.max_bytes, limits.idle_seconds) = (max_bytes, idle_seconds);
    limits
}

#[test]
fn bidi_02_r1_either_namespace_is_read_in_either_position_and_the_right_one_written() {
    let (right, wrong) = (feature(), legacy_feature());
    assert_eq!(written(&right), "<bidi xmlns='urn:xmpp:features:bidi'/>");
    assert_eq!(written(&wrong), "<bidi xmlns='urn:xmpp:bidi'/>");
    for shown in [&right, &wrong] {
        assert!(Namespaces::Either.announced(&features(from_ref(shown))));
        assert_eq!(Bidi::read(shown, Namespaces::Either), Some(Bidi::default()));
    }
    assert!(Namespaces::Exact.announced(&features(from_ref(&right))));
    assert!(!Namespaces::Exact.announced(&features(from_ref(&wrong))));
    assert!(Bidi::read(&wrong, Namespaces::Exact).is_some());
    assert!(Bidi::read(&right, Namespaces::Exact).is_none());
    assert!(!Namespaces::Either.announced(&features(&[])));
    let stranger = Element::bare("bidi", ns::SERVER);
    assert!(Bidi::read(&stranger, Namespaces::Either).is_none());
}

#[test]
fn bidi_04_the_request_is_exact_and_any_child_is_tolerated() {
    assert_eq!(
        written(&Bidi::default().to_element()),
        "<bidi xmlns='urn:xmpp:bidi'/>"
    );
    let strange = Bidi::default()
        .to_element()
        .with_child(Element::bare("future", "urn:example"))
        .with_text("\n");
    assert_eq!(
        Bidi::read(&strange, Namespaces::Exact),
        Some(Bidi::default())
    );
}

#[test]
fn xep0478_limits_inside_of_bidi() {
    let bidi = Bidi {
        limits: Some(limits(Some(10_000), Some(1800))),
    };
    assert_eq!(
        written(&bidi.to_element()),
        "<bidi xmlns='urn:xmpp:bidi'><limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>10000</max-bytes>\
         <idle-seconds>1800</idle-seconds></limits></bidi>"
    );
    let broken = Element::bare("limits", ns::STREAM_LIMITS)
        .with_child(Element::bare("max-bytes", ns::STREAM_LIMITS).with_text("lots"))
        .with_child(Element::bare("idle-seconds", ns::STREAM_LIMITS).with_text(" 60\n"));
    let read = Bidi::read(
        &Element::bare("bidi", ns::BIDI).with_child(broken),
        Namespaces::Exact,
    );
    assert_eq!(read.unwrap().limits, Some(limits(None, Some(60))));
}

#[test]
fn xep0478_a_stanza_fits_or_does_not() {
    let some = limits(Some(10_000), None);
    assert!(some.fits(10_000) && !some.fits(10_001) && !some.fits(usize::MAX));
    assert!(StreamLimits::default().fits(usize::MAX));
}

proptest! {
    #[test]
    fn every_request_survives_the_wire(
        some in any::<bool>(), bytes in any::<Option<u32>>(), idle in any::<Option<u32>>(),
    ) {
        let bidi = Bidi { limits: some.then(|| limits(bytes, idle)) };
        prop_assert_eq!(Bidi::read(&bidi.to_element(), Namespaces::Exact), Some(bidi));
    }
}
