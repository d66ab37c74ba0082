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
#[error("{kind}, at byte {offset}")]
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
    #[error("{}", .0.kind)]
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
    #[error("expected {expected}, got <{got}/>")]
    Unexpected {
        /// Its name.
        got: String,
        /// What was due.
        expected: &'static str,
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
    #[error("expected a stanza from the address that authenticated here, got one from another")]
    From,
    /// Bytes behind a TLS boundary that an honest peer cannot have sent (QS-R6, CVE-2011-0411).
    #[error("expected nothing but TLS behind the switch to it, got other data")]
    Injected,
    /// Early data of TLS 1.3 that is not one login by token: it may be a replay, and nothing of it counts.
    #[error("expected one login by token as early data, got something else")]
    Early,
    /// Too much before authentication.
    #[error("expected at most {allowed} {}, got more", Limit::UnauthenticatedTotal)]
    TooMuch {
        /// How much is allowed.
        allowed: usize,
    },
    /// Too much while a decision was pending (QS-26).
    #[error(transparent)]
    Overflow(#[from] Overflow),
    /// SASL was tried too often (RFC 6120 §6.4.5).
    #[error("expected no more attempts to authenticate after so many, got another")]
    TooManyAttempts,
    /// It took too long.
    #[error("expected {0} in time, got nothing")]
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
    #[error(
        "expected an answer to the request that is pending, got another: answer each request once"
    )]
    NotAsked,
    /// No resource is bound yet.
    #[error("expected to be online before a stanza is sent: wait for the event")]
    NotOnline,
    /// The stream is closing or closed.
    #[error("expected an open stream, and it is closed: connect again")]
    Closed,
    /// TLS is not being negotiated.
    #[error(
        "expected a handshake of TLS under way, and there is none: wait for the switch of both halves"
    )]
    NoTls,
    /// A stanza between servers whose `from` or `to` is missing or is no address.
    #[error(
        "expected addresses in `from` and `to` between servers, got a stanza without: set both"
    )]
    NoAddress,
    /// A stanza between servers whose pair of domains may not be sent here (BIDI-10, BIDI-12, BIDI-13).
    #[error(
        "expected a stanza of a pair of domains that is open here, got another: ask for the pair, or send on another connection"
    )]
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
    #[error("expected a connection between servers, got a client's")]
    NotBetweenServers,
    /// A stanza of the other content namespace.
    #[error("expected a stanza of the stream's content namespace, got one of the other")]
    OtherContent,
    /// As much is unacknowledged on a link as was agreed: the stanza may be sent when something is acknowledged. Or as much
    /// waits in band for another client as is held: [`e2e::Event::Writable`](crate::e2e::Event::Writable) says when there is
    /// room.
    #[error("expected less to be unacknowledged: send it when something has been acknowledged")]
    Full,
    /// A stanza that is longer than was agreed for a link.
    #[error("expected a stanza of at most {allowed} bytes, got {size}: send a smaller one")]
    TooLarge {
        /// Its length in bytes.
        size: usize,
        /// What is allowed.
        allowed: usize,
    },
}
