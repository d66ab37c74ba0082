//! What an answer says: valid, invalid, or an error with its condition.

use minidom::Element;
use onetrip_stream::{Build as _, ns};

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $kind:literal;)+) => {
        /// The condition of a dialback error: a stanza error condition (XEP-0220 §2.5).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[$doc])* $variant,)+
        }

        impl Reason {
            /// All conditions, in the order of XEP-0220 §2.5.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The element name on the wire.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// The `type` of the stanza error (RFC 6120 §8.3.2).
            const fn kind(self) -> &'static str {
                match self {
                    $(Self::$variant => $kind,)+
                }
            }
        }
    };
}

reasons! {
    /// The target domain is not served there.
    ItemNotFound = "item-not-found", "cancel";
    /// No connection to the authoritative server could be made.
    RemoteConnectionFailed = "remote-connection-failed", "cancel";
    /// The authoritative server does not serve the sender domain, or answered with an error.
    RemoteServerNotFound = "remote-server-not-found", "cancel";
    /// The authoritative server did not answer, or closed.
    RemoteServerTimeout = "remote-server-timeout", "wait";
    /// TLS is required first, or a bound was reached.
    PolicyViolation = "policy-violation", "modify";
    /// A certificate or another proof is required.
    NotAuthorized = "not-authorized", "auth";
    /// The authoritative server called the key invalid.
    Forbidden = "forbidden", "auth";
    /// The asserted identity could not be established.
    NotAcceptable = "not-acceptable", "modify";
    /// No room for one more pair on this stream; another connection may have some.
    ResourceConstraint = "resource-constraint", "wait";
    /// A fault there; also what stanzas bounce with after "invalid" (XEP-0220 §2.1.1).
    InternalServerError = "internal-server-error", "cancel";
    /// None of the others; also what an unknown condition is read as.
    UndefinedCondition = "undefined-condition", "cancel";
}

impl Reason {
    /// Reads an element name; an unknown one is [`Reason::UndefinedCondition`].
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| reason.name() == name)
            .unwrap_or(Self::UndefinedCondition)
    }
}

impl core::fmt::Display for Reason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The key is valid, and stanzas of the pair are accepted.
    Valid,
    /// The key is not valid.
    Invalid,
    /// It could not be decided; the stream and its other pairs go on (XEP-0220 §2.5).
    Error(Reason),
}

impl Verdict {
    /// Reads `type` and the `<error/>` inside. A `type` that is not known validates nothing, so it is read as an error.
    pub(crate) fn read(kind: &str, element: &Element) -> Self {
        match kind {
            "valid" => Self::Valid,
            "invalid" => Self::Invalid,
            // Some peers leave the error in the dialback namespace; what counts is the condition.
            "error" => Self::Error(
                element
                    .children()
                    .filter(|child| child.name() == "error")
                    .flat_map(Element::children)
                    .find(|child| child.has_ns(ns::STANZA_ERRORS) && child.name() != "text")
                    .map_or(Reason::UndefinedCondition, |child| {
                        Reason::from_name(child.name())
                    }),
            ),
            _ => Self::Error(Reason::UndefinedCondition),
        }
    }

    /// The element with `type`, and with `<error/>` in the content namespace (XEP-0220 §2.5).
    pub(crate) fn write(self, element: Element) -> Element {
        match self {
            Self::Valid => element.with_attr("type", "valid"),
            Self::Invalid => element.with_attr("type", "invalid"),
            Self::Error(reason) => element.with_attr("type", "error").with_child(
                Element::bare("error", ns::SERVER)
                    .with_attr("type", reason.kind())
                    .with_child(Element::bare(reason.name(), ns::STANZA_ERRORS)),
            ),
        }
    }
}
