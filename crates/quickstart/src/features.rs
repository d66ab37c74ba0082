//! Stream features as something that can be remembered and compared.

use std::collections::BTreeSet;

use minidom::Element;
use onetrip_stream::ns;
use onetrip_stream::stored::{Load, Store, StoredError};

/// The feature that announces pipelining (QS-10).
#[must_use]
pub fn pipelining() -> Element {
    Element::bare("pipelining", ns::PIPELINING)
}

/// Where in the negotiation a server shows features (QS-03). Those before TLS are never remembered (QS-R1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Before TLS, in clear.
    Clear,
    /// Under TLS, before authentication.
    Secured,
    /// After authentication.
    Authenticated,
}

/// What a server offered at one stage.
///
/// ```
/// # use onetrip_quickstart::{Features, pipelining};
/// # use minidom::Element;
/// let mut element = Element::bare("features", onetrip_stream::ns::STREAMS);
/// element.append_child(pipelining());
/// assert!(Features::read(&element).pipelining());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Features {
    /// `{namespace}name` of each child.
    names: BTreeSet<String>,
    /// SASL mechanism names in the server's order.
    mechanisms: Vec<String>,
    /// Channel binding types (XEP-0440).
    channel_bindings: Vec<String>,
    /// The entity capabilities hash (QS-04). Never a proof that mechanisms are unchanged (QS-06).
    caps: Option<String>,
}

/// The most names of one kind that are remembered of a server.
const MAX_NAMES: usize = 64;

impl Features {
    /// Reads `<stream:features/>`.
    #[must_use]
    pub fn read(element: &Element) -> Self {
        let listed = |parent: (&str, &str), child: &str| -> Vec<String> {
            let found = element.get_child(parent.0, parent.1);
            found
                .into_iter()
                .flat_map(|list| list.children())
                .filter(|item| item.name() == child)
                .take(MAX_NAMES)
                .map(item_name)
                .collect()
        };
        Self {
            names: element
                .children()
                .take(MAX_NAMES)
                .map(|child| format!("{{{}}}{}", child.ns(), child.name()))
                .collect(),
            mechanisms: listed(("mechanisms", ns::SASL), "mechanism"),
            channel_bindings: listed(
                ("sasl-channel-binding", ns::CHANNEL_BINDING),
                "channel-binding",
            ),
            caps: element
                .get_child("c", ns::CAPS)
                .and_then(|c| c.attr("ver"))
                .map(str::to_owned),
        }
    }

    /// Features that offer these mechanisms and nothing else.
    #[must_use]
    pub fn of_mechanisms<'a>(mechanisms: impl IntoIterator<Item = &'a str>) -> Self {
        let mechanisms = mechanisms
            .into_iter()
            .take(MAX_NAMES)
            .map(str::to_owned)
            .collect();
        Self {
            names: BTreeSet::from([format!("{{{}}}mechanisms", ns::SASL)]),
            mechanisms,
            ..Self::default()
        }
    }

    /// Whether a feature element was there.
    #[must_use]
    pub fn has(&self, name: &str, namespace: &str) -> bool {
        self.names.contains(&format!("{{{namespace}}}{name}"))
    }

    /// Whether `<pipelining/>` was there (QS-10).
    #[must_use]
    pub fn pipelining(&self) -> bool {
        self.has("pipelining", ns::PIPELINING)
    }

    /// The SASL mechanisms, in the server's order.
    #[must_use]
    pub fn mechanisms(&self) -> &[String] {
        &self.mechanisms
    }

    /// The channel binding types (XEP-0440), in the server's order.
    #[must_use]
    pub fn channel_bindings(&self) -> &[String] {
        &self.channel_bindings
    }

    /// The caps hash, if the server sent one (QS-04).
    #[must_use]
    pub fn caps(&self) -> Option<&str> {
        self.caps.as_deref()
    }

    /// What is different in `live`; `None` when nothing is.
    #[must_use]
    pub fn difference(&self, live: &Self) -> Option<Difference> {
        let lost = |ours: &[String], theirs: &[String]| {
            ours.iter()
                .filter(|name| !theirs.contains(name))
                .cloned()
                .collect()
        };
        let difference = Difference {
            features_gone: self.names.difference(&live.names).cloned().collect(),
            features_new: live.names.difference(&self.names).cloned().collect(),
            mechanisms_gone: lost(&self.mechanisms, &live.mechanisms),
            mechanisms_new: lost(&live.mechanisms, &self.mechanisms),
            channel_bindings_changed: self.channel_bindings != live.channel_bindings,
        };
        (difference != Difference::default()).then_some(difference)
    }

    pub(crate) fn store(&self, out: &mut Store) {
        let names: Vec<String> = self.names.iter().cloned().collect();
        for list in [&names, &self.mechanisms, &self.channel_bindings] {
            out.number(list.len() as u64);
            list.iter().for_each(|item| out.text(item));
        }
        out.option(self.caps.as_deref());
    }

    pub(crate) fn load(from: &mut Load<'_>) -> Result<Self, StoredError> {
        let mut list = || -> Result<Vec<String>, StoredError> {
            let count = from.count()?;
            (0..count).map(|_| from.text()).collect()
        };
        let (names, mechanisms, channel_bindings) = (list()?, list()?, list()?);
        Ok(Self {
            names: names.into_iter().collect(),
            mechanisms,
            channel_bindings,
            caps: from.option()?,
        })
    }
}

/// A mechanism is named by its text, a channel binding by its `type`.
fn item_name(item: &Element) -> String {
    item.attr("type")
        .map_or_else(|| item.text().trim().to_owned(), str::to_owned)
}

/// How what a server offers now differs from what it was believed to offer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Difference {
    /// Features that are gone, as `{namespace}name`.
    pub features_gone: Vec<String>,
    /// Features that are new.
    pub features_new: Vec<String>,
    /// Mechanisms that are gone.
    pub mechanisms_gone: Vec<String>,
    /// Mechanisms that are new.
    pub mechanisms_new: Vec<String>,
    /// Whether the channel binding types are others.
    pub channel_bindings_changed: bool,
}

impl core::fmt::Display for Difference {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut parts = Vec::new();
        for (what, names) in [
            ("features gone", &self.features_gone),
            ("features new", &self.features_new),
            ("mechanisms gone", &self.mechanisms_gone),
            ("mechanisms new", &self.mechanisms_new),
        ] {
            if !names.is_empty() {
                parts.push(format!("{what}: {}", names.join(", ")));
            }
        }
        if self.channel_bindings_changed {
            parts.push("channel binding types changed".to_owned());
        }
        f.write_str(&parts.join("; "))
    }
}
