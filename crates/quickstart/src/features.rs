//! Stream features as something that can be remembered and compared.

use std::collections::BTreeMap;

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
    /// `{namespace}name` of each child, in the order of texts, each once: they are few.
    names: Vec<String>,
    /// SASL mechanism names in the server's order.
    mechanisms: Vec<String>,
    /// Channel binding types (XEP-0440).
    channel_bindings: Vec<String>,
    /// The entity capabilities hash (QS-04). Never a proof that mechanisms are unchanged (QS-06).
    caps: Option<String>,
    /// What was offered of SASL2, apart from the above: a memory of one generation never serves the other
    /// (monal 3dd174dae).
    sasl2: Option<Sasl2>,
    /// The mechanisms that keys of instant stream resumption are handed out for (XEP-0397 §2).
    resume_mechanisms: Vec<String>,
}

/// What a server offered of SASL2 (XEP-0388).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Sasl2 {
    /// SASL mechanism names in the server's order.
    pub mechanisms: Vec<String>,
    /// What may ride along, as `{namespace}name`, each with what it lists by text or by `var`.
    pub inline: BTreeMap<String, Vec<String>>,
    /// Which configuration the server was in (XEP-0509): what a login from memory says to have assumed.
    pub config_version: Option<String>,
    /// Whether it was offered in its older namespace alone, `urn:xmpp:sasl:1`, which XEP-0397 still names.
    pub old: bool,
}

impl Sasl2 {
    fn read(features: &Element) -> Option<Self> {
        let offered = |namespace| features.get_child("authentication", namespace);
        let (namespace, element) = [ns::SASL2, ns::SASL2_OLD]
            .into_iter()
            .find_map(|namespace| Some((namespace, offered(namespace)?)))?;
        let mechanisms = element
            .children()
            .filter(|child| child.is("mechanism", namespace))
            .take(MAX_NAMES)
            .map(item_name)
            .collect();
        let inline = element.get_child("inline", namespace);
        let inline = inline.into_iter().flat_map(Element::children);
        let config = features.get_child("config-version", ns::CONFIG_VERSION);
        Some(Self {
            mechanisms,
            inline: inline
                .take(MAX_NAMES)
                .map(|child| (full_name(child), listed_items(child)))
                .collect(),
            config_version: config
                .and_then(|config| config.attr("value"))
                .map(str::to_owned),
            old: namespace == ns::SASL2_OLD,
        })
    }

    fn store(&self, out: &mut Store) {
        store_list(&self.mechanisms, out);
        out.number(self.inline.len() as u64);
        for (name, items) in &self.inline {
            out.text(name);
            store_list(items, out);
        }
        out.option(self.config_version.as_deref());
        out.flag(self.old);
    }

    fn load(from: &mut Load<'_>) -> Result<Self, StoredError> {
        let mut sasl2 = Self {
            mechanisms: load_list(from)?,
            ..Self::default()
        };
        for _ in 0..from.count()? {
            sasl2.inline.insert(from.text()?, load_list(from)?);
        }
        sasl2.config_version = from.option()?;
        sasl2.old = from.version() > 2 && from.flag()?;
        Ok(sasl2)
    }
}

fn full_name(element: &Element) -> String {
    qualified(&element.ns(), element.name())
}

fn qualified(namespace: &str, name: &str) -> String {
    ["{", namespace, "}", name].concat()
}

/// What an inline feature lists, itself or within an `<inline/>` of its own (XEP-0386 §3.1, XEP-0484 §3.1).
fn listed_items(feature: &Element) -> Vec<String> {
    let nested = |child: &&Element| child.name() != "inline";
    let own = feature.children().filter(nested);
    let inner = feature
        .children()
        .filter(|child| child.name() == "inline")
        .flat_map(Element::children);
    let item = |child: &Element| {
        let var = child.attr("var").map(str::to_owned);
        var.unwrap_or_else(|| item_name(child))
    };
    own.chain(inner).take(MAX_NAMES).map(item).collect()
}

fn store_list(list: &[String], out: &mut Store) {
    out.number(list.len() as u64);
    list.iter().for_each(|item| out.text(item));
}

fn load_list(from: &mut Load<'_>) -> Result<Vec<String>, StoredError> {
    let count = from.count()?;
    (0..count).map(|_| from.text()).collect()
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
            names: in_order(element.children().take(MAX_NAMES).map(full_name).collect()),
            mechanisms: listed(("mechanisms", ns::SASL), "mechanism"),
            channel_bindings: listed(
                ("sasl-channel-binding", ns::CHANNEL_BINDING),
                "channel-binding",
            ),
            caps: element
                .get_child("c", ns::CAPS)
                .and_then(|c| c.attr("ver"))
                .map(str::to_owned),
            sasl2: Sasl2::read(element),
            resume_mechanisms: element
                .get_child("isr", ns::ISR_SASL2)
                .and_then(|isr| isr.get_child("mechanisms", ns::SASL))
                .into_iter()
                .flat_map(Element::children)
                .filter(|child| child.is("mechanism", ns::SASL))
                .take(MAX_NAMES)
                .map(item_name)
                .collect(),
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
            names: vec![qualified(ns::SASL, "mechanisms")],
            mechanisms,
            ..Self::default()
        }
    }

    /// Whether a feature element was there.
    #[must_use]
    pub fn has(&self, name: &str, namespace: &str) -> bool {
        let is_it = |known: &String| {
            let behind = known
                .strip_prefix('{')
                .and_then(|known| known.strip_prefix(namespace));
            behind.and_then(|known| known.strip_prefix('}')) == Some(name)
        };
        self.names.iter().any(is_it)
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

    /// What was offered of SASL2, if it was.
    #[must_use]
    pub fn sasl2(&self) -> Option<&Sasl2> {
        self.sasl2.as_ref()
    }

    /// The mechanisms that keys of instant stream resumption are handed out for (XEP-0397 §2).
    #[must_use]
    pub fn resume_mechanisms(&self) -> &[String] {
        &self.resume_mechanisms
    }

    /// The caps hash, if the server sent one (QS-04).
    #[must_use]
    pub fn caps(&self) -> Option<&str> {
        self.caps.as_deref()
    }

    /// What is different in `live`; `None` when nothing is.
    #[must_use]
    pub fn difference(&self, live: &Self) -> Option<Difference> {
        let lost = |ours: &Self, theirs: &Self| {
            let theirs: Vec<&String> = theirs.all_mechanisms().collect();
            let ours = ours.all_mechanisms();
            ours.filter(|name| !theirs.contains(name))
                .cloned()
                .collect()
        };
        let difference = Difference {
            features_gone: without(&self.names, &live.names),
            features_new: without(&live.names, &self.names),
            mechanisms_gone: lost(self, live),
            mechanisms_new: lost(live, self),
            channel_bindings_changed: self.channel_bindings != live.channel_bindings,
        };
        (difference != Difference::default()).then_some(difference)
    }

    /// Those of either generation.
    fn all_mechanisms(&self) -> impl Iterator<Item = &String> {
        let later = self.sasl2.iter().flat_map(|sasl2| &sasl2.mechanisms);
        self.mechanisms.iter().chain(later)
    }

    pub(crate) fn store(&self, out: &mut Store) {
        for list in [&self.names, &self.mechanisms, &self.channel_bindings] {
            store_list(list, out);
        }
        out.option(self.caps.as_deref());
        out.flag(self.sasl2.is_some());
        if let Some(sasl2) = &self.sasl2 {
            sasl2.store(out);
        }
        store_list(&self.resume_mechanisms, out);
    }

    /// Before version 2 nothing of SASL2 was remembered, and before version 3 nothing of keys for resumption.
    pub(crate) fn load(from: &mut Load<'_>) -> Result<Self, StoredError> {
        let names = in_order(load_list(from)?);
        let (mechanisms, channel_bindings) = (load_list(from)?, load_list(from)?);
        let caps = from.option()?;
        let sasl2 = match from.version() > 1 && from.flag()? {
            true => Some(Sasl2::load(from)?),
            false => None,
        };
        let resume_mechanisms = match from.version() > 2 {
            true => load_list(from)?,
            false => Vec::new(),
        };
        Ok(Self {
            names,
            mechanisms,
            channel_bindings,
            caps,
            sasl2,
            resume_mechanisms,
        })
    }
}

/// A mechanism is named by its text, a channel binding by its `type`.
fn item_name(item: &Element) -> String {
    item.attr("type")
        .map_or_else(|| item.text().trim().to_owned(), str::to_owned)
}

/// A set of names, as it is kept.
fn in_order(mut names: Vec<String>) -> Vec<String> {
    names.sort_unstable();
    names.dedup();
    names
}

/// Those of one set that are not in another.
fn without(names: &[String], others: &[String]) -> Vec<String> {
    let missing = |name: &&String| others.binary_search(name).is_err();
    names.iter().filter(missing).cloned().collect()
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
