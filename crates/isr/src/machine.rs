//! What the two machines take, ask for, report and refuse.

use core::fmt;

use minidom::Element;
use onetrip_stream::Condition;

use crate::{Claim, KeySwap, Ticket, TokenHash};

/// Where on its way a connection is when a request arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// Not under TLS.
    Clear,
    /// Under TLS, and nobody has been authenticated: the only place for it (ISR-14).
    Secured,
    /// Under TLS, behind authentication.
    Authenticated,
}

/// What the receiver's caller must do, in order.
#[derive(Clone, PartialEq)]
#[must_use = "an action that is not carried out leaves the peer waiting"]
#[non_exhaustive]
pub enum Action {
    /// Send this element.
    Send(Element),
    /// Ask the store, and answer with [`Receiver::accept`](crate::Receiver::accept) or
    /// [`Receiver::refuse`](crate::Receiver::refuse).
    Request(Swap),
    /// Ask whoever keeps the keys, and answer with [`Receiver::accept_proved`](crate::Receiver::accept_proved) or
    /// [`Receiver::refuse`](crate::Receiver::refuse).
    Prove(KeySwap),
    /// Take note.
    Event(Event),
}

impl fmt::Debug for Action {
    /// An element is named only, since it may hold a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(element) => write!(f, "Send(<{}/>)", element.name()),
            Self::Request(swap) => f.debug_tuple("Request").field(swap).finish(),
            Self::Prove(swap) => f.debug_tuple("Prove").field(swap).finish(),
            Self::Event(event) => f.debug_tuple("Event").field(event).finish(),
        }
    }
}

/// One step for whatever keeps the tokens, done whole or not at all, so that of two nodes that ask at once one is
/// refused: find the session of this claim, check its owner and its time, and put the fresh token in the place of the
/// old one. [`Tokens::swap`](crate::Tokens::swap) is such a step.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Swap {
    /// What the peer has shown.
    pub claim: Claim,
    /// The token that it will get if the claim is good.
    pub fresh: TokenHash,
    /// How many stanzas it has handled: for stream management, which must check it (ISR-18, ISR-28).
    pub h: u32,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A token came in clear: [revoke](crate::Tokens::revoke) it. The session may still be resumed by whoever
    /// authenticates (ISR-R5).
    Exposed(Claim),
    /// A proof came in clear, with the name of its session: [revoke](crate::Keys::revoke_session) the key, since whoever
    /// listened can show the same proof (ISR-R5).
    ProofExposed(String),
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The session goes on, with its address and features: nothing is negotiated or fetched anew (ISR-17, ISR-19).
    Resumed {
        /// How many stanzas the server has handled: what is beyond goes out again, before anything new (ISR-18).
        h: u32,
        /// For the next time; the one that was used is dead (ISR-15, ISR-24).
        ticket: Ticket,
    },
    /// Refused. The stream goes on, and authentication may follow on it (ISR-22). The ticket is gone.
    Failed {
        /// How many stanzas the server has handled, if it still knows (ISR-21).
        h: Option<u32>,
        /// The stanza error condition, if one was given.
        condition: Option<String>,
    },
}

/// The peer broke a rule. Final: every later call says the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The answer lacks what it must have.
    #[error("expected a well-formed `{0}` of <inst-resumed/>, got none or a malformed one")]
    Attribute(&'static str),
    /// The server has not proved that it knows the key: whoever it is, it is not the one that handed it out.
    #[error("expected the server's proof that it knows the key, got a wrong one")]
    Proof,
    /// Another session than the one that was asked for.
    #[error("expected the session that was asked for, got another")]
    Session,
    /// An element that is out of place.
    #[error("expected no element of instant stream resumption now, got one")]
    OutOfTurn,
}

impl Error {
    /// The stream error to answer with.
    #[must_use]
    pub fn condition(&self) -> Condition {
        match self {
            Self::Attribute(_) | Self::Session => Condition::UndefinedCondition,
            Self::Proof => Condition::NotAuthorized,
            Self::OutOfTurn => Condition::UnsupportedStanzaType,
        }
    }

    /// The section that was violated.
    #[must_use]
    pub fn source_section(&self) -> &'static str {
        match self {
            Self::Attribute(_) => "ISR 0.0.1 §4.2.1",
            Self::OutOfTurn => "ISR 0.0.1 §4.2",
            Self::Proof => "ISR 0.0.2 §4.2.1",
            Self::Session => "XEP-0397 §4.2.1",
        }
    }
}
