//! What the peer did wrong, and what the caller did wrong: two types.

use onetrip_bidi as bidi;
use onetrip_negotiation::{bind, bind2, sasl, sasl2, starttls};
use onetrip_quickstart::Overflow;
use onetrip_stream::{Condition, Limit, ReadError, StreamError, WriteError};
use onetrip_stream_management as sm;
use onetrip_zero_handshake as zh;

use crate::Reason;

/// The peer broke a rule. Final: every later call returns it again, and the stream error, the footer and the
/// close are already queued.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{kind}")]
#[non_exhaustive]
pub struct Error {
    /// What was wrong.
    pub kind: ErrorKind,
    /// How many bytes of XML had been read on this connection, over all restarts.
    pub offset: u64,
}

impl Error {
    /// The stream error that the peer was told; `None` where nothing could be said any more.
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
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Framing.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// STARTTLS.
    #[error(transparent)]
    StartTls(starttls::Error),
    /// SASL.
    #[error(transparent)]
    Sasl(sasl::Error),
    /// SASL2.
    #[error(transparent)]
    Sasl2(sasl2::Error),
    /// Resource binding.
    #[error(transparent)]
    Bind(bind::Error),
    /// Resource binding within SASL2.
    #[error(transparent)]
    Bind2(bind2::Error),
    /// Stream management.
    #[error(transparent)]
    Management(#[from] sm::Error),
    /// Instant stream resumption.
    #[error(transparent)]
    InstantResume(#[from] onetrip_isr::Error),
    /// Bidirectional streams.
    #[error(transparent)]
    Bidi(bidi::Error),
    /// Dialback.
    #[error(transparent)]
    Dialback(onetrip_dialback::ElementError),
    /// A pair of domains that SASL has proved and that cannot be entered.
    #[error(transparent)]
    Pair(bidi::PairError),
    /// A stanza between servers that must not come in here (BIDI-17).
    #[error(transparent)]
    Intrusion(bidi::Intrusion),
    /// A zero-handshake link.
    #[error(transparent)]
    Link(zh::ErrorKind),
    /// Not the peer that was agreed on (ZH-20, ZH-R7). It is told nothing, and nothing of it was parsed.
    #[error(transparent)]
    Refused(zh::Refusal),
    /// A first-level element that does not belong here.
    #[error("<{got}/> while {during}")]
    Unexpected {
        /// Its name.
        got: String,
        /// What was being negotiated.
        during: &'static str,
        /// The stream error for it.
        condition: Condition,
    },
    /// A stream header that does not fit the connection.
    #[error("{what}")]
    Header {
        /// What does not fit.
        what: &'static str,
        /// The stream error for it.
        condition: Condition,
    },
    /// A stanza that claims a sender who did not authenticate here.
    #[error("a stanza from an address that did not authenticate here")]
    From,
    /// Bytes behind a TLS boundary that an honest peer cannot have sent (QS-R6, CVE-2011-0411).
    #[error("data behind the switch to TLS that cannot belong to TLS")]
    Injected,
    /// Early data of TLS 1.3 that is not one login by token: it may be a replay, and nothing of it counts.
    #[error("early data that is not one login by token")]
    Early,
    /// Too much before authentication.
    #[error("more than {allowed} {}", Limit::UnauthenticatedTotal)]
    TooMuch {
        /// How much is allowed.
        allowed: usize,
    },
    /// Too much while a decision was pending (QS-26).
    #[error(transparent)]
    Overflow(#[from] Overflow),
    /// SASL was tried too often (RFC 6120 §6.4.5).
    #[error("too many attempts to authenticate")]
    TooManyAttempts,
    /// It took too long.
    #[error("the peer took too long: {0:?}")]
    TimedOut(Reason),
    /// Something of our own could not be written.
    #[error(transparent)]
    Unwritable(#[from] WriteError),
}

impl ErrorKind {
    /// The stream error to answer with, whole.
    pub(crate) fn stream_error(&self) -> Option<StreamError> {
        match self {
            Self::Management(error) => Some(error.stream_error()),
            Self::Bidi(error) => Some(error.stream_error()),
            Self::Dialback(error) => Some(error.stream_error()),
            Self::Intrusion(error) => Some(error.stream_error()),
            _ => self.condition().map(StreamError::new),
        }
    }

    /// The stream error to answer with.
    #[must_use]
    pub fn condition(&self) -> Option<Condition> {
        Some(match self {
            Self::Read(error) => error.condition(),
            Self::StartTls(error) => error.condition(),
            Self::Sasl(error) => error.condition(),
            Self::Sasl2(error) => error.condition(),
            Self::Bind(error) => error.condition(),
            Self::Bind2(error) => error.condition(),
            Self::Management(error) => error.condition(),
            Self::InstantResume(error) => error.condition(),
            Self::Bidi(error) => error.stream_error().condition,
            Self::Dialback(error) => error.stream_error().condition,
            Self::Intrusion(error) => error.stream_error().condition,
            Self::Link(error) => return error.condition(),
            Self::Pair(bidi::PairError::TooMany(_)) => Condition::PolicyViolation,
            Self::Pair(_) => Condition::InvalidFrom,
            Self::Unexpected { condition, .. } | Self::Header { condition, .. } => *condition,
            Self::From => Condition::InvalidFrom,
            Self::Injected | Self::Refused(_) => return None,
            Self::Early | Self::TooMuch { .. } | Self::Overflow(_) | Self::TooManyAttempts => {
                Condition::PolicyViolation
            }
            Self::TimedOut(_) => Condition::ConnectionTimeout,
            Self::Unwritable(_) => Condition::InternalServerError,
        })
    }

    /// The section or requirement that was violated.
    #[must_use]
    pub fn source_section(&self) -> &'static str {
        match self {
            Self::Read(error) => error.source_section(),
            Self::StartTls(error) => error.source_section(),
            Self::Sasl(error) => error.source_section(),
            Self::Sasl2(error) => error.source_section(),
            Self::Bind(error) => error.source_section(),
            Self::Bind2(error) => error.source_section(),
            Self::Management(error) => error.source_section(),
            Self::InstantResume(error) => error.source_section(),
            Self::Bidi(error) => error.source_section(),
            Self::Dialback(error) => error.source_section(),
            Self::Intrusion(error) => error.source_section(),
            Self::Link(error) => error.source_section(),
            Self::Refused(_) => "ZH-20, ZH-R7",
            Self::Pair(_) => "digest §6.2",
            Self::Unexpected { .. } => "RFC 6120 §4.3.5",
            Self::Header { .. } => "RFC 6120 §4.7",
            Self::From => "RFC 6120 §8.1.2.1",
            Self::Injected => "QS-R6",
            Self::Early => "XEP-0388 §3",
            Self::TooMuch { .. } => "RFC 6120 §13.12",
            Self::Overflow(_) => "QS-26",
            Self::TooManyAttempts => "RFC 6120 §6.4.5",
            Self::TimedOut(_) => "RFC 6120 §4.9.3.4",
            Self::Unwritable(_) => "RFC 6120 §11.3",
        }
    }
}

/// The caller asked for something that cannot be done now. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UsageError {
    /// Nothing was asked, or something else was.
    #[error("an answer to a question that was not asked")]
    NotAsked,
    /// No resource is bound yet.
    #[error("no stanza can be sent before the connection is online")]
    NotOnline,
    /// The stream is closing or closed.
    #[error("the stream is closed")]
    Closed,
    /// TLS is not being negotiated.
    #[error("TLS is not being negotiated")]
    NoTls,
    /// A stanza between servers whose `from` or `to` is missing or is no address.
    #[error("a stanza without the addresses that servers need")]
    NoAddress,
    /// A stanza between servers whose pair of domains may not be sent here (BIDI-10, BIDI-12, BIDI-13).
    #[error("a stanza of a pair of domains that is not open here")]
    PairNotOpen,
    /// A pair that may not be asked for on a connection that the peer opened (BIDI-14), or whose inverse would not be taken on a
    /// bidirectional one that we opened (BIDI-17).
    #[error(transparent)]
    MayNotAsk(bidi::ReverseRefusal),
    /// A pair that cannot be asked for here.
    #[error(transparent)]
    CannotAsk(#[from] onetrip_dialback::AskError),
    /// A key that cannot be verified here.
    #[error(transparent)]
    CannotVerify(#[from] onetrip_dialback::VerifyError),
    /// Not a connection between servers.
    #[error("not a connection between servers")]
    NotBetweenServers,
    /// A stanza of the other content namespace.
    #[error("a stanza of another content namespace")]
    OtherContent,
    /// As much is unacknowledged on a link as was agreed: the stanza may be sent when something is acknowledged. Or as much
    /// waits in band for another client as is held: [`e2e::Event::Writable`](crate::e2e::Event::Writable) says when there is
    /// room.
    #[error("no more may be unacknowledged")]
    Full,
    /// A stanza that is longer than was agreed for a link.
    #[error("{size} bytes, where {allowed} were agreed")]
    TooLarge {
        /// Its length in bytes.
        size: usize,
        /// What is allowed.
        allowed: usize,
    },
}
