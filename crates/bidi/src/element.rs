//! The feature and the request, in whichever namespace they come (BIDI-R1), and limits inside (XEP-0478).

use minidom::Element;
use onetrip_stream::{Build as _, ns};

/// Which namespaces are taken for which element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Namespaces {
    /// Either in either position: the founding text itself mixes them up, and so did ejabberd for two years
    /// (BIDI-R1; ejabberd#4300, #4312, #4344, #4375, PR#4581).
    Either,
    /// `urn:xmpp:features:bidi` for the feature and `urn:xmpp:bidi` for the request only.
    Exact,
}

impl Namespaces {
    fn take(self, element: &Element, right: &str, wrong: &str) -> bool {
        element.is("bidi", right) || (self == Self::Either && element.is("bidi", wrong))
    }

    /// Whether `<stream:features/>` announces bidirectional streams (BIDI-01, BIDI-02).
    #[must_use]
    pub fn announced(self, features: &Element) -> bool {
        features
            .children()
            .any(|child| self.take(child, ns::BIDI_FEATURE, ns::BIDI))
    }
}

/// The feature as it is announced (BIDI-01); always in the right namespace.
#[must_use]
pub fn feature() -> Element {
    Element::bare("bidi", ns::BIDI_FEATURE)
}

/// The feature in the wrong namespace, beside the right one, for ejabberd before PR#4581 (BIDI-R1).
#[must_use]
pub fn legacy_feature() -> Element {
    Element::bare("bidi", ns::BIDI)
}

/// `<bidi/>`, the request (BIDI-04).
///
/// ```
/// # use onetrip_bidi::{Bidi, Namespaces, StreamLimits};
/// let mut limits = StreamLimits::default();
/// limits.max_bytes = Some(10_000);
/// let bidi = Bidi { limits: Some(limits) };
/// assert_eq!(Bidi::read(&bidi.to_element(), Namespaces::Exact), Some(bidi));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bidi {
    /// What the initiating entity takes: it has no features to say so in (XEP-0478 §3.2).
    pub limits: Option<StreamLimits>,
}

impl Bidi {
    /// Reads an element; `None` when it is another. Children that are not known are left alone (BIDI-04).
    #[must_use]
    pub fn read(element: &Element, namespaces: Namespaces) -> Option<Self> {
        namespaces
            .take(element, ns::BIDI, ns::BIDI_FEATURE)
            .then(|| Self {
                limits: StreamLimits::within(element),
            })
    }

    /// The element as it goes out; always in the right namespace.
    #[must_use]
    pub fn to_element(&self) -> Element {
        let bidi = Element::bare("bidi", ns::BIDI);
        match &self.limits {
            Some(limits) => bidi.with_child(limits.to_element()),
            None => bidi,
        }
    }
}

/// What one end takes on a stream (XEP-0478).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct StreamLimits {
    /// The largest first-level element, in bytes.
    pub max_bytes: Option<u32>,
    /// After how many seconds of silence the stream may be found idle.
    pub idle_seconds: Option<u32>,
}

impl StreamLimits {
    /// Reads the `<limits/>` inside of `<bidi/>` or `<stream:features/>`. A number that is none is left out.
    #[must_use]
    pub fn within(parent: &Element) -> Option<Self> {
        let limits = parent.get_child("limits", ns::STREAM_LIMITS)?;
        let number = |name: &str| {
            let child = limits.get_child(name, ns::STREAM_LIMITS)?;
            child.text().trim().parse().ok()
        };
        Some(Self {
            max_bytes: number("max-bytes"),
            idle_seconds: number("idle-seconds"),
        })
    }

    /// The element as it goes out.
    #[must_use]
    pub fn to_element(&self) -> Element {
        let rows = [
            ("max-bytes", self.max_bytes),
            ("idle-seconds", self.idle_seconds),
        ];
        rows.into_iter()
            .filter_map(|(name, number)| Some((name, number?)))
            .fold(
                Element::bare("limits", ns::STREAM_LIMITS),
                |limits, (name, number)| {
                    limits.with_child(
                        Element::bare(name, ns::STREAM_LIMITS).with_text(&number.to_string()),
                    )
                },
            )
    }

    /// Whether a stanza of so many bytes may be sent to whoever said so. One that may not is answered with
    /// `policy-violation` to its sender (XEP-0478 §4).
    #[must_use]
    pub fn fits(&self, bytes: usize) -> bool {
        self.max_bytes
            .is_none_or(|most| u32::try_from(bytes).is_ok_and(|bytes| bytes <= most))
    }
}
