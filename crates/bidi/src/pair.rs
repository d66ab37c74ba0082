//! What the table of pairs says about a pair of domains.

use onetrip_stream::{Condition, Pair, StreamError};

/// What opened or closed, for the table of routes. A route is removed by the connection that made it and by no other
/// (prosody 814817ebf).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Change {
    /// Stanzas of this pair may go out here.
    SendOpened(Pair),
    /// They may no longer.
    SendClosed(Pair),
    /// Stanzas of this pair may come in here.
    ReceiveOpened(Pair),
    /// They may no longer.
    ReceiveClosed(Pair),
}

/// A pair that cannot be entered. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PairError {
    /// The peer's domain is one that we host: nobody else speaks for it (digest §6.2).
    #[error("expected a domain of the peer's, got one that is hosted here")]
    OurDomain,
    /// Neither domain is one that we host.
    #[error("expected a domain that is hosted here, got a pair without one")]
    NotOurs,
    /// The peer's own domain is proved by less than is required (BIDI-17).
    #[error("expected the proof of the peer's domain that is required here, got less")]
    Untrusted,
    /// The table is full.
    #[error(
        "expected at most {0} domain pairs on one connection, got one more: open another connection for it"
    )]
    TooMany(usize),
}

/// A stanza that must not go out here; nothing is written (BIDI-10, BIDI-12). The caller is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Blocked {
    /// `from` or `to` is missing or is no address.
    #[error("expected an address in the stanza's `{0}`, got none")]
    Address(&'static str),
    /// The pair may not be sent on this connection.
    #[error(
        "expected a stanza of a pair that is open here, got one from {0}: ask for the pair, or send on another connection"
    )]
    Pair(Pair),
}

/// A stanza that must not come in here (BIDI-17). The peer is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Intrusion {
    /// A stanza of `jabber:client` on a stream between servers.
    #[error("expected a stanza of jabber:server, got one of jabber:client")]
    Content,
    /// `from` or `to` is missing or is no address.
    #[error("expected an address in the stanza's `{0}`, got none")]
    Address(&'static str),
    /// The sender's domain was not validated here, or not for this recipient's.
    #[error("expected a sender whose domain was validated here, got another")]
    From,
    /// The recipient's domain is none that stanzas come in for here.
    #[error("expected a recipient whose domain was asked for here, got another")]
    To,
}

impl Intrusion {
    /// The stream error to answer with.
    #[must_use]
    pub fn stream_error(&self) -> StreamError {
        StreamError::new(match self {
            Self::Content => Condition::InvalidNamespace,
            Self::Address(_) => Condition::ImproperAddressing,
            Self::From => Condition::InvalidFrom,
            Self::To => Condition::HostUnknown,
        })
    }

    /// The section that was violated.
    #[must_use]
    pub fn source_section(&self) -> &'static str {
        match self {
            Self::Content => "RFC 6120 §4.8.3",
            Self::Address("to") | Self::To => "RFC 6120 §8.1.1.2",
            Self::Address(_) | Self::From => "RFC 6120 §8.1.2.2",
        }
    }
}
