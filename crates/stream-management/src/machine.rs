//! What the two machines ask for, report and refuse.
//!
//! A resumption has three steps, the same wherever the request came from: decide, reply, replay.

use bytes::Bytes;
use onetrip_stream::{Condition, StreamError};

use crate::{AckPolicy, Count, Entry, Granted, Handles, Nonza, NonzaError, QueueLimits, TooHigh};

/// What the caller must do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an action that is not carried out leaves the peer waiting"]
#[non_exhaustive]
pub enum Action {
    /// Send this element.
    Send(Nonza),
    /// Write this stanza: one that was handed over, or one that is sent again.
    Write(Bytes),
    /// Decide, and answer (the receiver only).
    Request(Request),
    /// Take note.
    Event(Event),
}

/// A decision for the receiver's caller to make.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// Whether and how to grant management: [`Receiver::grant`](crate::Receiver::grant) or
    /// [`Receiver::refuse`](crate::Receiver::refuse).
    Enable {
        /// Whether resumption is wanted.
        resume: bool,
        /// For how long, in seconds.
        max: Option<u32>,
    },
    /// Whether this session exists and is the peer's: [`Receiver::resume`](crate::Receiver::resume) or
    /// [`Receiver::refuse`](crate::Receiver::refuse). The same answer for a session that does not exist and for one
    /// that is somebody else's.
    Resume {
        /// The session.
        previd: String,
        /// What the peer has handled.
        h: Count,
    },
}

/// Where a stanza is that is not settled; its end comes as an [`Event`].
///
/// | stage | told by |
/// |---|---|
/// | queued | [`Stage::Queued`] |
/// | sent | [`Stage::Sent`] |
/// | acknowledged | [`Event::Acked`] |
/// | failed: sent, and no room to keep it | [`Event::Failed`] |
/// | handed back | [`Event::HandedBack`] |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// It waits for a resumption to end.
    Queued,
    /// It was written to this connection and is not acknowledged.
    Sent,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Management is on: stanzas are counted, at the granting end from here on.
    Enabled(Granted),
    /// The session goes on: nothing is to be negotiated or fetched anew.
    Resumed,
    /// It was refused. Stanzas that were never acknowledged come in [`Event::HandedBack`].
    Refused {
        /// The stanza error condition, if one was given.
        condition: Option<String>,
    },
    /// The peer has handled these.
    Acked(Handles),
    /// There is no room for it in the queue any more: it was sent, and cannot be sent again. The session cannot be
    /// resumed until the peer has acknowledged it.
    Failed(Entry),
    /// These were not acknowledged, and this machine will not send them again: the caller decides about them.
    HandedBack(Vec<Entry>),
    /// An `<r/>` went unanswered for too long: the connection is dead.
    Unanswered,
}

/// The peer broke a rule. Final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It acknowledged what was never sent.
    #[error(transparent)]
    TooHigh(#[from] TooHigh),
    /// An element that does not parse.
    #[error(transparent)]
    Nonza(#[from] NonzaError),
    /// An element that is out of place.
    #[error("expected no such element of stream management now, got one out of turn")]
    OutOfTurn,
}

impl Error {
    /// The condition of [`Error::stream_error`].
    #[must_use]
    pub fn condition(&self) -> Condition {
        match self {
            Self::TooHigh(_) => Condition::UndefinedCondition,
            Self::Nonza(_) => Condition::BadFormat,
            Self::OutOfTurn => Condition::UnsupportedStanzaType,
        }
    }

    /// The stream error to answer with.
    #[must_use]
    pub fn stream_error(&self) -> StreamError {
        match self {
            Self::TooHigh(error) => error.stream_error(),
            Self::Nonza(_) | Self::OutOfTurn => StreamError::new(self.condition()),
        }
    }

    /// The section that was violated.
    #[must_use]
    pub fn source_section(&self) -> &'static str {
        match self {
            Self::TooHigh(_) => "XEP-0198 §6",
            Self::Nonza(_) => "XEP-0198 §11",
            Self::OutOfTurn => "XEP-0198 §3",
        }
    }
}

/// How much is kept, and when acknowledgements are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Config {
    /// Bounds of the queue.
    pub limits: QueueLimits,
    /// When to ask and to answer.
    pub policy: AckPolicy,
}
