//! What a peer can do wrong on the level of bytes, each with its condition and its source.

use crate::{Condition, Limit};

/// The peer broke a rule of framing. Final: the reader repeats it on every later call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {offset}")]
#[non_exhaustive]
pub struct ReadError {
    /// What was wrong.
    pub kind: ReadErrorKind,
    /// How many bytes of this XML document had been taken in when it was found.
    pub offset: u64,
}

impl ReadError {
    /// An error of this kind at this byte.
    #[must_use]
    pub fn new(kind: ReadErrorKind, offset: u64) -> Self {
        Self { kind, offset }
    }

    /// The stream error to answer with.
    #[must_use]
    pub fn condition(&self) -> Condition {
        self.kind.condition()
    }

    /// The section that was violated.
    #[must_use]
    pub fn source_section(&self) -> &'static str {
        self.kind.source_section()
    }
}

/// Kinds of [`ReadError`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadErrorKind {
    /// The first byte of the stream was not `<`: another protocol, or bytes behind a boundary.
    #[error("expected an XML stream, got a first byte of 0x{first:02x}")]
    NotXml {
        /// The byte.
        first: u8,
    },
    /// Not well-formed, or not well-formed with regard to namespaces.
    #[error("expected well-formed XML, got {what}")]
    NotWellFormed {
        /// The violated constraint.
        what: &'static str,
    },
    /// A comment, processing instruction, DTD or entity.
    #[error("expected the XML that streams may hold, got {what}")]
    Restricted {
        /// The construct.
        what: &'static str,
    },
    /// Not UTF-8, or announced as something else.
    #[error("expected UTF-8, got {what}")]
    Encoding {
        /// What was seen.
        what: &'static str,
    },
    /// More than a limit allows.
    #[error("expected at most {allowed} {limit}, got more")]
    TooMuch {
        /// Which limit.
        limit: Limit,
        /// Its value.
        allowed: usize,
    },
    /// The root element is not `<stream:stream>`.
    #[error("expected a stream header, got another root element")]
    NotAStream,
    /// The root element is `stream` of another namespace.
    #[error("expected the stream namespace on the stream header, got another")]
    StreamNamespace,
    /// The content namespace is neither `jabber:client` nor `jabber:server`, or not the one expected.
    #[error("expected the content namespace {expected}, got another")]
    ContentNamespace {
        /// What this end speaks.
        expected: &'static str,
    },
    /// A `to` or `from` that is no address.
    #[error("expected an address in the stream header's `{attribute}`, got something else")]
    Address {
        /// Which attribute.
        attribute: &'static str,
    },
    /// A `version` that is not two numbers.
    #[error("expected a version in the stream header's `version`, got something else")]
    Version,
    /// A stream header inside a stream: the peer has restarted and we have not.
    #[error("expected the stream to go on, got the header of another inside it")]
    NestedHeader,
    /// Text between first-level elements.
    #[error("expected a first-level element, got text")]
    StrayText,
    /// Anything but white space behind the footer.
    #[error("expected nothing behind the end of the stream, got more")]
    AfterFooter,
}

impl ReadErrorKind {
    /// The stream error to answer with.
    #[must_use]
    pub const fn condition(&self) -> Condition {
        match self {
            Self::NotXml { .. } | Self::NotWellFormed { .. } | Self::AfterFooter => {
                Condition::NotWellFormed
            }
            Self::Restricted { .. } => Condition::RestrictedXml,
            Self::Encoding { .. } => Condition::UnsupportedEncoding,
            Self::TooMuch { .. } => Condition::PolicyViolation,
            Self::NotAStream | Self::StrayText | Self::NestedHeader => Condition::BadFormat,
            Self::StreamNamespace | Self::ContentNamespace { .. } => Condition::InvalidNamespace,
            Self::Address { .. } => Condition::ImproperAddressing,
            Self::Version => Condition::UnsupportedVersion,
        }
    }

    /// The section that was violated.
    #[must_use]
    pub const fn source_section(&self) -> &'static str {
        match self {
            Self::NotXml { .. } | Self::NotWellFormed { .. } => "RFC 6120 §11.3",
            Self::Restricted { .. } => "RFC 6120 §11.1",
            Self::Encoding { .. } => "RFC 6120 §11.6",
            Self::TooMuch { .. } => "RFC 6120 §13.12",
            Self::NotAStream | Self::StrayText | Self::NestedHeader => "RFC 6120 §4.9.3.1",
            Self::StreamNamespace => "RFC 6120 §4.8.1",
            Self::ContentNamespace { .. } => "RFC 6120 §4.8.2",
            Self::Address { .. } => "RFC 6120 §4.7",
            Self::Version => "RFC 6120 §4.7.5",
            Self::AfterFooter => "RFC 6120 §4.4",
        }
    }
}

/// What cannot be written: the caller's fault, nothing has been written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Text or an attribute value holds a character that XML 1.0 forbids.
    #[error("expected characters that XML can hold, got U+{0:04X}")]
    Character(u32),
    /// An element or attribute name that is no NCName.
    #[error("expected an XML name, got something else")]
    Name,
    /// Nested deeper than anything a reader of ours would accept.
    #[error("expected at most {0} levels of elements, got more")]
    Depth(usize),
    /// Not a `message`, `presence` or `iq` of the content namespace.
    #[error("expected a message, presence or iq of the content namespace, got something else")]
    NotAStanza,
}
