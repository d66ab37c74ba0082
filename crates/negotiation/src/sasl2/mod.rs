//! SASL2 (XEP-0388): authentication without a stream restart, and whatever else goes into the same flight.
//!
//! ```text
//! S: <stream:features><authentication xmlns='urn:xmpp:sasl:2'><mechanism>PLAIN</mechanism>
//!      <inline><bind xmlns='urn:xmpp:bind:0'/><sm xmlns='urn:xmpp:sm:3'/></inline></authentication></stream:features>
//! C: <authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>AGp1…</initial-response>
//!      <bind xmlns='urn:xmpp:bind:0'><tag>onetrip</tag></bind></authenticate>
//! S: <success xmlns='urn:xmpp:sasl:2'><authorization-identifier>juliet@capulet.lit/onetrip/x1</authorization-identifier>
//!      <bound xmlns='urn:xmpp:bind:0'/></success><stream:features>…</stream:features>
//! ```
//!
//! What rides along is opaque here: the caller gives elements in and gets elements out. [`bind2`](crate::bind2) is one
//! of them. Nothing of it is reported before the server has proved itself, and nothing of it at all when the peer broke a
//! rule.
//!
//! # States
//!
//! [`Initiator`]:
//!
//! | state | takes | sends | leads to |
//! |---|---|---|---|
//! | new | start | `<authenticate/>` | exchanging |
//! | exchanging | `<challenge/>`, the derived key | `<response/>` | exchanging |
//! | exchanging | `<success/>`, with the server's proof where there is one | | over |
//! | exchanging | `<continue/>`, likewise | `<abort/>` if no task is known | choosing, or aborting |
//! | choosing | the choice of a task | `<next/>` | at task |
//! | at task | `<task-data/>` | `<task-data/>` | at task |
//! | at task | `<continue/>`, `<success/>` | | choosing, or over |
//! | any of these | abort | `<abort/>` | aborting |
//! | any of these | `<failure/>` | | over |
//! | any of these | anything else | | broken |
//!
//! [`Receiver`]:
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | ready | `<authenticate/>` | exchanging |
//! | exchanging | a decision, `<response/>` | exchanging; deciding once the mechanism has succeeded |
//! | deciding | what follows from it | done, choosing, or ready |
//! | choosing | `<next/>` with a task that was offered | at task |
//! | at task | what follows from it, `<task-data/>` | done, choosing, at task, or ready |
//! | exchanging, choosing, at task | `<abort/>` | ready |
//! | exchanging, choosing, at task | anything else | broken |
//! | done | nothing of SASL2 | |
//!
//! Explored from the machines themselves, and drawn, they are in `docs/states.md` of the repository.
//!
//! # Nothing in between
//!
//! From `<authenticate/>` to its end neither side sends anything else, not even white space (XEP-0388 §2.4,
//! Openfire#3496). The machines see elements of SASL2; for anything else that arrives while [`Initiator::is_running`] or
//! [`Receiver::is_running`], the caller gives in `Intruder`, and the stream ends.

mod action;
mod decision;
mod feature;
mod initiator;
mod receiver;
mod wire;

use onetrip_stream::{Condition, ns};

use crate::sasl;

pub use action::{Action, Event, Input, Request, Success};
pub use decision::{
    Authenticated, Outcome, ReceiverAction, ReceiverConfig, ReceiverEvent, ReceiverInput,
    ReceiverRequest,
};
pub use feature::{Offer, Unusable, choose, config_version};
pub use initiator::Initiator;
pub use receiver::Receiver;
pub use wire::{Failure, UserAgent};

/// Which namespace an exchange is in; it never changes within one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Version {
    /// `urn:xmpp:sasl:1`, which XEP-0397 still names.
    One,
    /// `urn:xmpp:sasl:2`.
    #[default]
    Two,
}

impl Version {
    /// The namespace.
    #[must_use]
    pub const fn namespace(self) -> &'static str {
        match self {
            Self::One => ns::SASL2_OLD,
            Self::Two => ns::SASL2,
        }
    }

    /// The version that a namespace stands for.
    #[must_use]
    pub fn from_namespace(namespace: &str) -> Option<Self> {
        [Self::One, Self::Two]
            .into_iter()
            .find(|version| version.namespace() == namespace)
    }
}

/// The peer broke a rule of SASL2. Final: the stream ends, and nothing that came with it is believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A rule of SASL itself.
    #[error(transparent)]
    Sasl(#[from] sasl::Error),
    /// Something that does not belong between the steps of an authentication.
    #[error("expected the next step of the authentication, got something else")]
    Intruder,
    /// An element of SASL2 that is not expected.
    #[error("expected another step of the login, got an element of SASL2 out of turn")]
    OutOfTurn,
    /// `<success/>` that does not say who we are.
    #[error("expected an address in <authorization-identifier/>, got none")]
    NoIdentifier,
    /// `<continue/>` without anything to do.
    #[error("expected <task/> in <continue/>, got none")]
    NoTask,
    /// An element that may be there once.
    #[error("expected one <{0}/>, got another")]
    Twice(&'static str),
}

impl Error {
    /// The stream error to answer with.
    #[must_use]
    pub fn condition(&self) -> Condition {
        match self {
            Self::Sasl(error) => error.condition(),
            Self::Intruder => Condition::PolicyViolation,
            Self::OutOfTurn => Condition::UnsupportedStanzaType,
            Self::NoIdentifier | Self::NoTask | Self::Twice(_) => Condition::UndefinedCondition,
        }
    }

    /// The section that was violated.
    #[must_use]
    pub fn source_section(&self) -> &'static str {
        match self {
            Self::Sasl(error) => error.source_section(),
            Self::Intruder => "XEP-0388 §2.4",
            Self::OutOfTurn => "XEP-0388 §2",
            Self::NoIdentifier => "XEP-0388 §2.6.1",
            Self::NoTask => "XEP-0388 §2.6.3",
            Self::Twice(_) => "XEP-0388 §7",
        }
    }
}
