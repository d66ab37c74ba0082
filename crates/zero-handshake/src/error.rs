//! What the peer did wrong, and what the caller did wrong: two types.

use onetrip_stream::{Condition, ReadError, WriteError};

use crate::{Blocked, Invalid, Reason};

/// The peer broke a rule. Final: every later call returns it again, and what is said about it, and the close, are
/// already queued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}, at byte {offset}")]
#[non_exhaustive]
pub struct Error {
    /// What was wrong.
    pub kind: ErrorKind,
    /// How many bytes had been taken in on this connection.
    pub offset: u64,
}

impl Error {
    /// The stream error that the peer was told; `None` where it is not answered at all.
    #[must_use]
    pub fn condition(&self) -> Option<Condition> {
        self.kind.condition()
    }

    /// The section or requirement that was violated.
    #[must_use]
    pub fn source_section(&self) -> &'static str {
        self.kind.source_section()
    }
}

/// Kinds of [`Error`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The peer opens a stream where none is opened: it is not configured for zero handshake (ZH-R3). Not answered.
    #[error(
        "expected stanzas, got a stream header (RFC 6120): the peer is not configured for zero handshake"
    )]
    PeerSpeaksRfc6120,
    /// The peer speaks TLS on a link that was agreed to be plain. Not answered.
    #[error("expected a link without TLS, as agreed, got TLS")]
    PeerSpeaksTls,
    /// Framing (ZH-27).
    #[error("{}", .0.kind)]
    Read(#[from] ReadError),
    /// A first-level element that is no stanza: negotiation, of which there is none (ZH-24).
    #[error("expected a stanza on a link without negotiation, got <{name} xmlns='{namespace}'/>")]
    Unexpected {
        /// Its name, at most 256 bytes.
        name: String,
        /// Its namespace, at most 1024 bytes.
        namespace: String,
    },
    /// A stanza of `jabber:client` (ZH-05).
    #[error("expected a stanza of jabber:server, got one of jabber:client")]
    Content,
    /// A stanza that was not agreed (ZH-11).
    #[error(transparent)]
    Invalid(Invalid),
    /// It took too long.
    #[error("expected {0} in time, got nothing")]
    TimedOut(Reason),
}

impl ErrorKind {
    /// The stream error to answer with; `None` for no answer.
    #[must_use]
    pub fn condition(&self) -> Option<Condition> {
        match self {
            Self::PeerSpeaksRfc6120 | Self::PeerSpeaksTls => None,
            Self::Read(error) => Some(error.condition()),
            Self::Unexpected { .. } => Some(Condition::UnsupportedStanzaType),
            Self::Content => Some(Condition::InvalidNamespace),
            Self::Invalid(invalid) => Some(invalid.condition()),
            Self::TimedOut(_) => Some(Condition::ConnectionTimeout),
        }
    }

    /// The section or requirement that was violated.
    #[must_use]
    pub fn source_section(&self) -> &'static str {
        match self {
            Self::PeerSpeaksRfc6120 => "ZH-R3, XEP-0361 §4.1",
            Self::PeerSpeaksTls => "ZH-18",
            Self::Read(error) => error.source_section(),
            Self::Unexpected { .. } => "ZH-24, RFC 6120 §4.9.3.24",
            Self::Content => "ZH-05, RFC 6120 §4.8.3",
            Self::Invalid(invalid) => invalid.source_section(),
            Self::TimedOut(_) => "RFC 6120 §4.9.3.4",
        }
    }
}

/// The caller asked for something that cannot be done now. Nothing has changed and nothing is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UsageError {
    /// The link is closing or closed.
    #[error("expected an open link, and it is closed: send on another")]
    Closed,
    /// The stanza may not go out here.
    #[error(transparent)]
    Blocked(#[from] Blocked),
    /// Acknowledgements were not agreed, or it is none.
    #[error(
        "expected an acknowledgement besides stanzas, and only where they were agreed, got something else"
    )]
    NotAnAcknowledgement,
    /// It cannot be written.
    #[error(transparent)]
    Unwritable(#[from] WriteError),
}
