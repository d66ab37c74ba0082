//! SASL2 as elements (XEP-0388 §2): what all of them have in common.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minidom::Element;
use onetrip_stream::{Build, ns};

use super::{Error, Version};
use crate::sasl::{self, Refusal};

/// The longest text for people that is kept, in characters.
const MAX_TEXT: usize = 512;

/// An element whose text is data; empty data is an empty element (XEP-0388 §2.2).
pub(super) fn message(version: Version, name: &str, data: &[u8]) -> Element {
    Element::bare(name, version.namespace()).with_text(&STANDARD.encode(data))
}

/// The data of an element. `=` for no data is of RFC 6120, and is taken from whoever still writes it.
pub(super) fn data(element: &Element) -> Result<Vec<u8>, sasl::Error> {
    match element.text().trim_ascii() {
        "" | "=" => Ok(Vec::new()),
        text => sasl::wire::decode(text),
    }
}

/// The one child of this name in the namespace of SASL2.
pub(super) fn only<'a>(
    element: &'a Element,
    version: Version,
    name: &'static str,
) -> Result<Option<&'a Element>, Error> {
    let mut found = element
        .children()
        .filter(|child| child.is(name, version.namespace()));
    let first = found.next();
    match found.next() {
        Some(_) => Err(Error::Twice(name)),
        None => Ok(first),
    }
}

/// The data of the one child of this name.
pub(super) fn child_data(
    element: &Element,
    version: Version,
    name: &'static str,
) -> Result<Option<Vec<u8>>, Error> {
    let child = only(element, version, name)?;
    Ok(child.map(data).transpose()?)
}

/// What is none of SASL2's own: what rides along.
pub(super) fn foreign(element: &Element, version: Version) -> Vec<Element> {
    element
        .children()
        .filter(|child| !child.has_ns(version.namespace()))
        .cloned()
        .collect()
}

/// Text for people.
pub(super) fn text(element: &Element, version: Version) -> Option<String> {
    let text = element.get_child("text", version.namespace())?;
    Some(text.text().chars().take(MAX_TEXT).collect())
}

/// `<continue/>` (XEP-0388 §2.6.3).
pub(super) fn continue_with(
    version: Version,
    proof: Option<&[u8]>,
    tasks: &[String],
    why: Option<&str>,
) -> Element {
    let namespace = version.namespace();
    let list = tasks
        .iter()
        .fold(Element::bare("tasks", namespace), |list, task| {
            list.with_child(Element::bare("task", namespace).with_text(task))
        });
    let element = with_proof(Element::bare("continue", namespace), version, proof);
    let element = element.with_child(list);
    match why {
        Some(why) => element.with_child(Element::bare("text", namespace).with_text(why)),
        None => element,
    }
}

/// Adds `<additional-data/>`, if there is any (XEP-0388 §2.6.1).
pub(super) fn with_proof(element: Element, version: Version, proof: Option<&[u8]>) -> Element {
    match proof {
        Some(proof) => element.with_child(message(version, "additional-data", proof)),
        None => element,
    }
}

/// Adds what rides along.
pub(super) fn with_children(
    element: Element,
    children: impl IntoIterator<Item = Element>,
) -> Element {
    children.into_iter().fold(element, Build::with_child)
}

/// The names of the tasks in a `<continue/>`.
pub(super) fn tasks(element: &Element, version: Version) -> Result<Vec<String>, Error> {
    let list = only(element, version, "tasks")?.ok_or(Error::NoTask)?;
    let names: Vec<String> = list
        .children()
        .filter(|child| child.is("task", version.namespace()))
        .map(|task| task.text().trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect();
    if names.is_empty() {
        return Err(Error::NoTask);
    }
    Ok(names)
}

/// What a client says about itself, to its own server only (XEP-0388 §2.3).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct UserAgent {
    /// A stable name of the installation, a version-4 UUID. FAST needs it.
    pub id: Option<String>,
    /// The software.
    pub software: Option<String>,
    /// The device it is on.
    pub device: Option<String>,
}

impl UserAgent {
    /// An installation.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self {
            id: Some(id.to_owned()),
            ..Self::default()
        }
    }

    /// Says which software it is.
    #[must_use]
    pub fn with_software(mut self, software: &str) -> Self {
        self.software = Some(software.to_owned());
        self
    }

    /// Says which device it is on.
    #[must_use]
    pub fn with_device(mut self, device: &str) -> Self {
        self.device = Some(device.to_owned());
        self
    }

    pub(super) fn to_element(&self, version: Version) -> Element {
        let mut element = Element::bare("user-agent", version.namespace());
        if let Some(id) = &self.id {
            element = element.with_attr("id", id.as_str());
        }
        for (name, text) in [("software", &self.software), ("device", &self.device)] {
            if let Some(text) = text {
                let child = Element::bare(name, version.namespace()).with_text(text);
                element = element.with_child(child);
            }
        }
        element
    }

    /// An id that is no UUID is none: it would not be unique.
    pub(super) fn read(element: &Element, version: Version) -> Self {
        let text = |name: &str| {
            let child = element.get_child(name, version.namespace())?;
            Some(child.text().chars().take(MAX_TEXT).collect())
        };
        Self {
            id: element
                .attr("id")
                .filter(|id| is_uuid(id))
                .map(str::to_owned),
            software: text("software"),
            device: text("device"),
        }
    }
}

/// 8-4-4-4-12 hexadecimal digits (XEP-0388 §7).
fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let hex = |group: &&str| group.bytes().all(|byte| byte.is_ascii_hexdigit());
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]) && groups.iter().all(hex)
}

/// A `<failure/>`: the stream is as it was, and another authentication may follow on it (XEP-0388 §2.6.2).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Failure {
    /// Why, and a text for people.
    pub reason: sasl::Failure,
    /// Conditions of whatever rode along.
    pub application: Vec<Element>,
}

impl Failure {
    /// A failure without anything more.
    #[must_use]
    pub fn new(refusal: Refusal) -> Self {
        Self {
            reason: sasl::Failure::new(refusal),
            application: Vec::new(),
        }
    }

    /// The same, with a condition of what rode along.
    #[must_use]
    pub fn with_application(mut self, condition: Element) -> Self {
        self.application.push(condition);
        self
    }

    /// Whether it is only that the server is configured otherwise than was assumed: nobody's credentials are to blame,
    /// and the features that have arrived say how to do it (XEP-0509 §2.2).
    #[must_use]
    pub fn is_config_mismatch(&self) -> bool {
        let name = "config-version-mismatch";
        // The text itself has the namespace wrong in its own sample.
        let mismatch = |child: &Element| child.name() == name && child.ns().contains("xmpp:iap:0");
        self.application.iter().any(mismatch)
    }

    pub(super) fn to_element(&self, version: Version) -> Element {
        let condition = match self.reason.refusal {
            Refusal::Undefined => Refusal::NotAuthorized,
            refusal => refusal,
        };
        let element = Element::bare("failure", version.namespace())
            .with_child(Element::bare(condition.name(), ns::SASL));
        let element = with_children(element, self.application.iter().cloned());
        match &self.reason.text {
            Some(text) => {
                element.with_child(Element::bare("text", version.namespace()).with_text(text))
            }
            None => element,
        }
    }

    pub(super) fn read(element: &Element, version: Version) -> Self {
        let condition = element.children().find(|child| child.has_ns(ns::SASL));
        let named = |refusal: &&Refusal| Some(refusal.name()) == condition.map(Element::name);
        let refusal = Refusal::ALL.iter().find(named).copied();
        let mut reason = sasl::Failure::new(refusal.unwrap_or(Refusal::Undefined));
        reason.text = text(element, version);
        let mut application = foreign(element, version);
        application.retain(|child| !child.has_ns(ns::SASL));
        Self {
            reason,
            application,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_survives_the_wire_with_text_and_application() {
        for version in [Version::One, Version::Two] {
            for &refusal in Refusal::ALL {
                let odd = Element::bare("odd", "urn:x");
                let mut failure = Failure::new(refusal).with_application(odd);
                failure.reason.text = Some("why".to_owned());
                let read = Failure::read(&failure.to_element(version), version);
                assert_eq!(read, failure);
            }
        }
        let unknown = Element::bare("failure", ns::SASL2);
        let read = Failure::read(&unknown, Version::Two);
        assert_eq!(read.reason.refusal, Refusal::Undefined);
    }

    /// XEP-0509's own sample writes `urn::xmpp:iap:0`.
    #[test]
    fn a_config_mismatch_is_known_in_both_spellings() {
        for namespace in [ns::CONFIG_VERSION, "urn::xmpp:iap:0"] {
            let condition = Element::bare("config-version-mismatch", namespace);
            let failure = Failure::new(Refusal::Aborted).with_application(condition);
            assert!(failure.is_config_mismatch());
        }
        assert!(!Failure::new(Refusal::Aborted).is_config_mismatch());
    }

    #[test]
    fn a_user_agent_survives_the_wire_and_an_id_that_is_no_uuid_is_none() {
        let agent = UserAgent::new("d4565fa7-4d72-4749-b3d3-740edbf87770")
            .with_software("AwesomeXMPP")
            .with_device("Kiva's Phone");
        let element = agent.to_element(Version::Two);
        assert_eq!(UserAgent::read(&element, Version::Two), agent);
        for bad in [
            "",
            "phone",
            "d4565fa7-4d72-4749-b3d3-740edbf8777g",
            "d4565fa74d724749b3d3740edbf87770",
        ] {
            let element = UserAgent::new(bad).to_element(Version::Two);
            assert_eq!(UserAgent::read(&element, Version::Two).id, None, "{bad}");
        }
    }

    #[test]
    fn data_is_strict_base64_and_an_empty_element_is_empty_data() {
        let read = |text: &str| data(&Element::bare("response", ns::SASL2).with_text(text));
        assert_eq!(read(""), Ok(vec![]));
        assert_eq!(read("="), Ok(vec![]));
        assert_eq!(read("\n  aGk=\n"), Ok(b"hi".to_vec()));
        assert_eq!(read("aGk"), Err(sasl::Error::Base64));
        assert_eq!(message(Version::Two, "response", b"").text(), "");
    }
}
