//! SASL (RFC 6120 §6): the exchange, and the mechanisms behind one shape.
//!
//! # States
//!
//! [`Initiator`]:
//!
//! | state | takes | sends | leads to |
//! |---|---|---|---|
//! | new | start | `<auth/>` | running |
//! | running | `<challenge/>` | asks for a key | running |
//! | running | the key | `<response/>`, the last | running |
//! | running | `<success/>`, with the server's proof where there is one | | over: authenticated |
//! | running | `<failure/>` | | over: refused |
//! | any | anything else | | failed |
//!
//! [`Receiver`]:
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | ready | `<auth/>` | deciding |
//! | deciding | the decision | authenticated, refused, or challenged |
//! | challenged | `<response/>` | authenticated or refused |
//! | refused | `<auth/>` again, so often | as ready |
//!
//! Explored from the machines themselves, and drawn, they are in `docs/states.md` of the repository.

mod binding;
mod choose;
pub(crate) mod client;
mod external;
#[cfg(feature = "scram")]
mod ht;
mod initiator;
mod keys;
mod lists;
mod mechanism;
mod receiver;
#[cfg(feature = "scram")]
mod scram;
pub(crate) mod server;
pub(crate) mod wire;

use core::ops::RangeInclusive;

use onetrip_stream::Condition;

pub use binding::{BindingType, ChannelBinding};
pub use choose::{Choice, InitiatorConfig, choose};
pub use external::between_servers;
#[cfg(feature = "scram")]
pub use ht::HtVersion;
pub use initiator::{Action, Event, Initiator, Input};
pub use keys::{Derivation, Hash, SaltedPassword, StoredKeys, constant_time_eq};
pub use lists::Lists;
pub use mechanism::Mechanism;
pub use receiver::{
    Answer, Receiver, ReceiverAction, ReceiverConfig, ReceiverEvent, ReceiverInput, Request,
};
pub use wire::{Failure, Refusal};

/// The peer broke a rule of SASL. Final.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not base64.
    #[error("expected base64 in a SASL message, got something else")]
    Base64,
    /// A message longer than any mechanism needs.
    #[error("expected a SASL message of at most {allowed} bytes, got a longer one")]
    TooLong {
        /// How much is allowed.
        allowed: usize,
    },
    /// An element of the SASL namespace that is not expected.
    #[error("expected another step of the login, got a SASL message out of turn")]
    OutOfTurn,
    /// A message that does not parse.
    #[error("expected a SASL message that can be read, got one with {what}")]
    Malformed {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The server's nonce does not extend ours (RFC 5802 §5.1).
    #[error("expected a nonce that extends ours, got another")]
    Nonce,
    /// An iteration count out of bounds: too low gives the password away, too high keeps us busy.
    #[error("expected between {} and {} iterations, got {got}", allowed.start(), allowed.end())]
    Iterations {
        /// What the server asked for.
        got: u32,
        /// What is taken.
        allowed: RangeInclusive<u32>,
    },
    /// The server did not prove that it knows the password, or the token (RFC 5802 §3, QS-27).
    #[error("expected the server's proof that it knows the password, got a wrong one or none")]
    ServerSignature,
    /// What the server has advertised is not what has arrived, or it does not say so where it has to.
    #[error(
        "expected the lists of mechanisms and channel binding types as the server sent them, got others: somebody is on the way"
    )]
    Downgrade,
}

impl Error {
    /// The stream error to answer with.
    #[must_use]
    pub fn condition(&self) -> Condition {
        match self {
            Self::TooLong { .. } | Self::Iterations { .. } => Condition::PolicyViolation,
            Self::OutOfTurn => Condition::UnsupportedStanzaType,
            Self::Base64 | Self::Malformed { .. } | Self::Nonce => Condition::UndefinedCondition,
            Self::ServerSignature | Self::Downgrade => Condition::NotAuthorized,
        }
    }

    /// The section that was violated.
    #[must_use]
    pub fn source_section(&self) -> &'static str {
        match self {
            Self::Base64 | Self::TooLong { .. } => "RFC 6120 §6.4.2",
            Self::OutOfTurn => "RFC 6120 §6.4",
            Self::Malformed { .. } => "RFC 5802 §7",
            Self::Nonce | Self::Iterations { .. } => "RFC 5802 §5.1",
            Self::ServerSignature => "QS-27",
            Self::Downgrade => "XEP-0474 §5.2",
        }
    }
}
