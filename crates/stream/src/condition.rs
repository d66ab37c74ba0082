//! Stream errors: the conditions of RFC 6120 §4.9.3 and the element that carries them.

use minidom::Element;

use crate::{Build, ns};

macro_rules! conditions {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// Why a stream was ended with an error (RFC 6120 §4.9.3).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Condition {
            $($(#[$doc])* $variant,)+
        }

        impl Condition {
            /// All conditions, in the order of RFC 6120 §4.9.3.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The element name on the wire.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

conditions! {
    /// XML that cannot be processed (§4.9.3.1).
    BadFormat = "bad-format",
    /// A prefix that is not accepted (§4.9.3.2).
    BadNamespacePrefix = "bad-namespace-prefix",
    /// A newer stream took this one's place (§4.9.3.3).
    Conflict = "conflict",
    /// The peer has been silent for too long (§4.9.3.4).
    ConnectionTimeout = "connection-timeout",
    /// The domain in `to` is no longer served here (§4.9.3.5).
    HostGone = "host-gone",
    /// The domain in `to` is not served here (§4.9.3.6).
    HostUnknown = "host-unknown",
    /// `to` or `from` is missing or is no address (§4.9.3.7).
    ImproperAddressing = "improper-addressing",
    /// A fault on this side (§4.9.3.8).
    InternalServerError = "internal-server-error",
    /// `from` is not what was authenticated (§4.9.3.9).
    InvalidFrom = "invalid-from",
    /// The stream or content namespace is not supported (§4.9.3.10).
    InvalidNamespace = "invalid-namespace",
    /// XML that a validating server refuses (§4.9.3.11).
    InvalidXml = "invalid-xml",
    /// Data before authentication, or something the peer may not do (§4.9.3.12).
    NotAuthorized = "not-authorized",
    /// XML that is not well-formed (§4.9.3.13).
    NotWellFormed = "not-well-formed",
    /// A local policy was violated, limits included (§4.9.3.14).
    PolicyViolation = "policy-violation",
    /// A needed remote entity cannot be reached (§4.9.3.15).
    RemoteConnectionFailed = "remote-connection-failed",
    /// The stream must be opened anew, TLS included (§4.9.3.16).
    Reset = "reset",
    /// Not enough resources (§4.9.3.17).
    ResourceConstraint = "resource-constraint",
    /// Comments, processing instructions, DTDs or entities (§4.9.3.18, §11.1).
    RestrictedXml = "restricted-xml",
    /// The stream should be opened elsewhere (§4.9.3.19).
    SeeOtherHost = "see-other-host",
    /// The server is going down (§4.9.3.20).
    SystemShutdown = "system-shutdown",
    /// None of the others (§4.9.3.21); also what an unknown condition is read as.
    UndefinedCondition = "undefined-condition",
    /// Not UTF-8 (§4.9.3.22).
    UnsupportedEncoding = "unsupported-encoding",
    /// A feature that must be negotiated is not supported (§4.9.3.23).
    UnsupportedFeature = "unsupported-feature",
    /// A first-level element that is not understood here (§4.9.3.24).
    UnsupportedStanzaType = "unsupported-stanza-type",
    /// A stream version that is not supported (§4.9.3.25).
    UnsupportedVersion = "unsupported-version",
}

impl Condition {
    /// Reads an element name; an unknown one is [`Condition::UndefinedCondition`] (RFC 6120 §4.9.3).
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        Self::ALL
            .iter()
            .copied()
            .find(|condition| condition.name() == name)
            .unwrap_or(Self::UndefinedCondition)
    }
}

impl core::fmt::Display for Condition {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

/// The longest text kept from a peer's error, in bytes.
const MAX_TEXT: usize = 512;

/// A `<stream:error/>` (RFC 6120 §4.9.2).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamError {
    /// Why.
    pub condition: Condition,
    /// Text for people, at most 512 bytes when it came from a peer.
    pub text: Option<String>,
    /// Where to go instead, with [`Condition::SeeOtherHost`] (RFC 6120 §4.9.3.19).
    pub other_host: Option<String>,
    /// An application-specific condition (RFC 6120 §4.9.4).
    pub application: Option<Element>,
}

impl StreamError {
    /// An error with a condition alone.
    #[must_use]
    pub fn new(condition: Condition) -> Self {
        Self {
            condition,
            text: None,
            other_host: None,
            application: None,
        }
    }

    /// The same with a text for people.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// The same with an application-specific condition.
    #[must_use]
    pub fn with_application(mut self, element: Element) -> Self {
        self.application = Some(element);
        self
    }

    /// The element as it goes out.
    #[must_use]
    pub fn to_element(&self) -> Element {
        let mut condition = Element::bare(self.condition.name(), ns::STREAM_ERRORS);
        if let Some(host) = &self.other_host {
            condition.append_text_node(host.as_str());
        }
        let mut error = Element::bare("error", ns::STREAMS).with_child(condition);
        if let Some(text) = &self.text {
            error.append_child(
                Element::bare("text", ns::STREAM_ERRORS)
                    .with_attr_ns(ns::XML, "lang", "en")
                    .with_text(text),
            );
        }
        if let Some(application) = &self.application {
            error.append_child(application.clone());
        }
        error
    }

    /// Reads an element; `None` when it is not a stream error.
    #[must_use]
    pub fn from_element(element: &Element) -> Option<Self> {
        if !element.is("error", ns::STREAMS) {
            return None;
        }
        let mut error = Self::new(Condition::UndefinedCondition);
        for child in element.children() {
            if child.is("text", ns::STREAM_ERRORS) {
                error.text = Some(clipped(child.text()));
            } else if child.has_ns(ns::STREAM_ERRORS) {
                error.condition = Condition::from_name(child.name());
                let text = child.text();
                if error.condition == Condition::SeeOtherHost && !text.is_empty() {
                    error.other_host = Some(clipped(text));
                }
            } else {
                error.application = Some(child.clone());
            }
        }
        Some(error)
    }
}

impl core::fmt::Display for StreamError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.condition.name())?;
        match &self.text {
            Some(text) => write!(f, " ({text})"),
            None => Ok(()),
        }
    }
}

/// Cuts peer-supplied text to [`MAX_TEXT`] at a character boundary.
fn clipped(mut text: String) -> String {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_of_rfc6120_4_9_3_survives_the_wire() {
        assert_eq!(Condition::ALL.len(), 25);
        for &condition in Condition::ALL {
            let error = StreamError::new(condition).with_text("why");
            assert_eq!(StreamError::from_element(&error.to_element()), Some(error));
        }
    }

    #[test]
    fn unknown_conditions_read_as_undefined() {
        assert_eq!(
            Condition::from_name("made-up"),
            Condition::UndefinedCondition
        );
    }

    #[test]
    fn peer_text_is_clipped_at_a_character() {
        let error = StreamError::new(Condition::Reset).with_text("é".repeat(400));
        let read = StreamError::from_element(&error.to_element()).unwrap();
        assert_eq!(read.text.unwrap().len(), 512);
    }
}
