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
    #[error("the peer presents a domain that is ours")]
    OurDomain,
    /// Neither domain is one that we host.
    #[error("neither domain is ours")]
    NotOurs,
    /// The peer's own domain is proved by less than is required (BIDI-17).
    #[error("the peer's domain is not trusted")]
    Untrusted,
    /// The table is full.
    #[error("more than {0} domain pairs on one connection")]
    TooMany(usize),
}

/// A stanza that must not go out here; nothing is written (BIDI-10, BIDI-12). The caller is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Blocked {
    /// `from` or `to` is missing or is no address.
    #[error("the stanza's `{0}` is missing or is no address")]
    Address(&'static str),
    /// The pair may not be sent on this connection.
    #[error("stanzas from {0} may not be sent here")]
    Pair(Pair),
}

/// A stanza that must not come in here (BIDI-17). The peer is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Intrusion {
    /// A stanza of `jabber:client` on a stream between servers.
    #[error("a stanza of jabber:client between servers")]
    Content,
    /// `from` or `to` is missing or is no address.
    #[error("the stanza's `{0}` is missing or is no address")]
    Address(&'static str),
    /// The sender's domain was not validated here, or not for this recipient's.
    #[error("a sender whose domain was not validated here")]
    From,
    /// The recipient's domain is none that stanzas come in for here.
    #[error("a recipient whose domain was not asked for here")]
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
