//! Reverse dialback: may the peer prove another of its domains on a connection that we opened?
//!
//! In reverse dialback the one who proves has chosen the stream id himself, so the id brings no freshness: a key seen
//! once could be shown again by whoever reuses its id. Hence these checks, all of them (digest §6.2).
//!
//! | check | otherwise |
//! |---|---|
//! | the stream is bidirectional, and reverse dialback is wanted | `policy-violation` |
//! | TLS | `policy-violation` |
//! | the sender is no domain of ours | `not-acceptable` |
//! | the target is a domain of ours that the peer has accepted here | `item-not-found` |
//! | the certificate covers the sender: settled, nobody is asked | the rest decides |
//! | no certificate is required | `not-authorized` |
//! | the stream id is on no other live stream | `not-acceptable` |
//! | the sender resolves to the address and port of this connection | `not-acceptable` |
//!
//! The last line of defence is at the other end: an authoritative server that vouches only for ids of its own live
//! streams. That is in `onetrip-dialback`.

use onetrip_stream::Domain;

use crate::Pair;

/// What is known of a reverse request when it arrives. Nothing is taken for good unless it is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReverseClaim {
    pub(crate) pair: Pair,
    pub(crate) sender_is_ours: bool,
    pub(crate) target_is_ours: bool,
    pub(crate) certified: bool,
    pub(crate) same_address: bool,
    pub(crate) id_is_fresh: bool,
}

impl ReverseClaim {
    /// A `db:result` without `type` on a connection that we opened. Looks up both domains among those we host.
    #[must_use]
    pub fn of(pair: Pair, hosted: impl Fn(&Domain) -> bool) -> Self {
        Self {
            sender_is_ours: hosted(&pair.from),
            target_is_ours: hosted(&pair.to),
            pair,
            certified: false,
            same_address: false,
            id_is_fresh: false,
        }
    }

    /// The peer's certificate is valid, trusted and covers the sender (XEP-0344).
    #[must_use]
    pub fn certified(mut self) -> Self {
        self.certified = true;
        self
    }

    /// The sender resolves to the address and port of this connection (the test of XEP-0220 §2.6.2).
    #[must_use]
    pub fn resolves_here(mut self) -> Self {
        self.same_address = true;
        self
    }

    /// The stream id of this connection is on no other live stream.
    #[must_use]
    pub fn with_fresh_id(mut self) -> Self {
        self.id_is_fresh = true;
        self
    }
}

/// What becomes of a reverse request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use]
pub enum ReverseVerdict {
    /// The certificate proves it: answer `valid`.
    Certified,
    /// Have the key verified, on another connection (BIDI-R7).
    DialBack,
    /// Answer with a dialback error.
    Refuse(ReverseRefusal),
}

/// Why a reverse request is refused, and why one should not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ReverseRefusal {
    /// The stream is not bidirectional.
    #[error("expected a bidirectional stream, got reverse dialback on another")]
    Unidirectional,
    /// Reverse dialback is not wanted here.
    #[error("expected no reverse dialback, which is not wanted here, got a request")]
    NotWanted,
    /// There is no TLS.
    #[error("expected TLS before reverse dialback, got it in clear")]
    Clear,
    /// The sender is on the wrong side: a domain that we host, or one to be asked for that we do not.
    #[error("expected a sender of the end that asks, got a domain of the other's or nobody's")]
    Sender,
    /// The target has not been validated here as a domain of the end that is asked.
    #[error("expected a target that was validated on this connection, got another")]
    Target,
    /// A certificate is required that covers the peer's domain, and there is none (BIDI-17).
    #[error("expected a certificate for the peer's domain, got none that covers it")]
    NotCertified,
    /// The stream id is on another live stream too.
    #[error("expected a stream id of this stream only, got one that is in use elsewhere")]
    IdReused,
    /// The table of pairs is full.
    #[error("expected room for a further pair on this connection, and there is none: open another")]
    Full,
    /// The sender resolves to another place.
    #[error(
        "expected a sender that resolves to the address of this connection, got one that is elsewhere"
    )]
    Address,
}

impl ReverseRefusal {
    /// The stanza error condition for the dialback error (XEP-0220 §2.5).
    #[must_use]
    pub const fn condition(self) -> &'static str {
        match self {
            Self::Unidirectional | Self::NotWanted | Self::Clear => "policy-violation",
            Self::Sender | Self::IdReused | Self::Address => "not-acceptable",
            Self::NotCertified => "not-authorized",
            Self::Target => "item-not-found",
            Self::Full => "resource-constraint",
        }
    }
}
