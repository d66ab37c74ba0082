//! What the four machines ask for, report and refuse.

use minidom::Element;

use crate::{Key, Message, Pair, Reason, StreamId, Ticket, Verdict};

/// What the caller must do, in order.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "an action that is not carried out leaves the peer waiting"]
#[non_exhaustive]
pub enum Action {
    /// Send this element on the machine's own stream.
    Send(Element),
    /// Have a key verified on *another* connection, and answer with
    /// [`Receiving::verified`](crate::Receiving::verified).
    Request(Verification),
    /// Close the stream: its first pair was invalid (XEP-0220 §2.2.1).
    Close,
    /// Take note.
    Event(Event),
}

impl Action {
    pub(crate) fn say(message: &Message) -> Self {
        Self::Send(message.to_element())
    }
}

/// A key to be verified with the authoritative server of `pair.from` (XEP-0220 §2.1.2).
///
/// [`Verifying`](crate::Verifying) carries it out, and refuses to on the connection on which the key arrived
/// (BIDI-11, BIDI-R7).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Verification {
    /// Where the outcome belongs.
    pub ticket: Ticket,
    /// The pair that the key is for.
    pub pair: Pair,
    /// The stream on which the key was presented.
    pub id: StreamId,
    /// The key.
    pub key: Key,
}

/// How a verification ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Checked {
    /// The authoritative server answered.
    Answered(Verdict),
    /// The authoritative server presented the certificate of the peer, and it covers the sender domain: the key need
    /// not be looked at (XEP-0344 §2.6).
    SameCertificate,
    /// DNS knows no such domain, or the server answered `host-unknown`.
    HostUnknown,
    /// No connection could be made.
    ConnectFailed,
    /// The connection ended, or nothing came in time.
    Unanswered,
}

impl Checked {
    /// What to tell the peer that asked (XEP-0220 §2.5).
    #[must_use]
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::SameCertificate => Verdict::Valid,
            // "If an error is encountered in Step 3 ... MUST send <remote-server-not-found/>", whatever it was.
            Self::HostUnknown | Self::Answered(Verdict::Error(_)) => {
                Verdict::Error(Reason::RemoteServerNotFound)
            }
            Self::Answered(verdict) => verdict,
            Self::ConnectFailed => Verdict::Error(Reason::RemoteConnectionFailed),
            Self::Unanswered => Verdict::Error(Reason::RemoteServerTimeout),
        }
    }
}

/// How a request of ours ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// Stanzas of the pair may be sent.
    Valid,
    /// We were called an impostor; the peer will most likely close.
    Invalid,
    /// It could not be decided; the stream goes on.
    Error(Reason),
    /// No answer in time.
    TimedOut,
    /// The stream ended first.
    Ended,
}

impl Outcome {
    /// The stanza error that waiting stanzas of the pair bounce with; `None` when they may be sent
    /// (XEP-0220 §2.1.1).
    #[must_use]
    pub const fn bounce(self) -> Option<Reason> {
        match self {
            Self::Valid => None,
            Self::Invalid => Some(Reason::InternalServerError),
            Self::Error(_) | Self::TimedOut | Self::Ended => Some(Reason::RemoteServerTimeout),
        }
    }
}

impl From<Verdict> for Outcome {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Valid => Self::Valid,
            Verdict::Invalid => Self::Invalid,
            Verdict::Error(reason) => Self::Error(reason),
        }
    }
}

/// What made a pair valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ground {
    /// The peer's certificate covers the sender domain (XEP-0344 §2.4).
    Certificate,
    /// Somebody was asked.
    DialedBack,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A request of ours ended ([`Originating`](crate::Originating)). Once for each request, and once more if a `valid`
    /// comes after [`Outcome::TimedOut`]: the peer relies on it.
    Concluded {
        /// The pair.
        pair: Pair,
        /// How.
        outcome: Outcome,
    },
    /// Stanzas of the pair are accepted from here on; the peer has been told ([`Receiving`](crate::Receiving)).
    Validated {
        /// The pair.
        pair: Pair,
        /// Why.
        ground: Ground,
    },
    /// Stanzas of the pair are not accepted; the peer has been told ([`Receiving`](crate::Receiving)). `Invalid` is worth
    /// a line in the log (XEP-0220 §2.2.1).
    Refused {
        /// The pair.
        pair: Pair,
        /// What became of it; the peer may have been told something milder.
        verdict: Verdict,
    },
    /// A verification ended ([`Verifying`](crate::Verifying)): give it to the machine that asked. Once for each.
    Checked {
        /// Where it belongs.
        ticket: Ticket,
        /// The outcome.
        checked: Checked,
    },
    /// A key was vouched for, or not ([`Authoritative`](crate::Authoritative)).
    Vouched {
        /// The pair.
        pair: Pair,
        /// The answer that was given.
        verdict: Verdict,
    },
    /// Something arrived that changes nothing.
    Dropped {
        /// The pair it was about.
        pair: Pair,
        /// What it was.
        what: Dropped,
    },
}

/// What was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dropped {
    /// An answer to something that was not asked on this stream (BIDI-22, XEP-0220 §3.1).
    Unsolicited,
    /// A request for a pair that is being decided; its one answer will come.
    Repeated,
    /// A request behind the end.
    Closed,
}
