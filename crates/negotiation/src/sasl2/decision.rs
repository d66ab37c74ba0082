//! What a receiver is given, what it asks, and what it tells its caller.

use minidom::Element;
use onetrip_stream::Jid;

use super::Failure;
use crate::sasl::{self, Mechanism, Refusal};

/// What a receiving entity offers.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReceiverConfig {
    /// The mechanisms, and how they are used. Here SCRAM says what has been advertised, unless told otherwise.
    pub sasl: sasl::ReceiverConfig,
    /// What may ride along, as it is shown.
    pub inline: Vec<Element>,
    /// Which configuration this is, opaque; a login that assumes another one is turned away without prejudice
    /// (XEP-0509).
    pub config_version: Option<String>,
}

impl ReceiverConfig {
    /// Offers these mechanisms.
    #[must_use]
    pub fn new(mut sasl: sasl::ReceiverConfig) -> Self {
        sasl.protects_lists = true;
        Self {
            sasl,
            inline: Vec::new(),
            config_version: None,
        }
    }

    /// The same, and this may ride along.
    #[must_use]
    pub fn with_inline(mut self, feature: Element) -> Self {
        self.inline.push(feature);
        self
    }
}

/// What the receiver is given.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReceiverInput<'a> {
    /// An element of a namespace of SASL2.
    Element(&'a Element),
    /// The same, received as early data of TLS 1.3: nothing but a token gets in by that, and only if whoever keeps the
    /// tokens finds that it is no replay (XEP-0388 §3, XEP-0484 §3.4).
    Early(&'a Element),
    /// Anything else has arrived, white space included.
    Intruder,
    /// The decision about a [`ReceiverRequest::Sasl`].
    Answer(sasl::Answer),
    /// What follows from a [`ReceiverRequest::Authenticated`] or a task.
    Outcome(Outcome),
}

/// A decision to make.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReceiverRequest {
    /// Whether the credentials are good; answer with [`ReceiverInput::Answer`]. For a token, see
    /// [`Receiver::inline`](super::Receiver::inline), [`Receiver::user_agent`](super::Receiver::user_agent) and
    /// [`Receiver::is_early`](super::Receiver::is_early).
    Sasl(sasl::Request),
    /// They are: carry out what rides along, then answer with [`ReceiverInput::Outcome`].
    Authenticated(Authenticated),
    /// The client begins a task; answer with [`ReceiverInput::Outcome`].
    Task {
        /// Its name, one of those that were offered.
        task: String,
        /// What it begins with.
        children: Vec<Element>,
    },
    /// The task goes on; answer with [`ReceiverInput::Outcome`].
    TaskData(Vec<Element>),
}

/// Who has proved itself by the mechanism; `<success/>` is not sent yet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Authenticated {
    /// The mechanism.
    pub mechanism: Mechanism,
    /// Who it is.
    pub identity: String,
}

/// What follows from a proof, or from a step of a task.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// The client is in.
    Success {
        /// Who it is: a full address if a resource was bound.
        identifier: Jid,
        /// The answers to what rode along.
        inline: Vec<Element>,
    },
    /// It is not enough: one of these has to be done. Nothing of what rides along is carried out yet.
    Continue {
        /// The names of the tasks.
        tasks: Vec<String>,
        /// Text for people.
        text: Option<String>,
    },
    /// The task goes on with this.
    TaskData(Vec<Element>),
    /// It is not.
    Refuse(Failure),
}

impl core::fmt::Debug for Outcome {
    /// What rides along is named only, since it may hold a token.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Success { identifier, inline } => {
                let names: Vec<&str> = inline.iter().map(Element::name).collect();
                write!(f, "Success({identifier}, {names:?})")
            }
            Self::Continue { tasks, .. } => write!(f, "Continue({tasks:?})"),
            Self::TaskData(children) => write!(f, "TaskData({} elements)", children.len()),
            Self::Refuse(failure) => write!(f, "Refuse({failure:?})"),
        }
    }
}

/// What the caller must do.
#[must_use = "an action that is not carried out leaves the exchange hanging"]
#[non_exhaustive]
pub enum ReceiverAction {
    /// Send this. Behind a `<success/>`, the features of the stream follow at once (XEP-0388 §2.6.1).
    Send(Element),
    /// Decide.
    Request(ReceiverRequest),
    /// Something ended.
    Event(ReceiverEvent),
}

impl core::fmt::Debug for ReceiverAction {
    /// An element is named only, since it may hold a token.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Send(element) => write!(f, "Send(<{}/>)", element.name()),
            Self::Request(request) => f.debug_tuple("Request").field(request).finish(),
            Self::Event(event) => f.debug_tuple("Event").field(event).finish(),
        }
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReceiverEvent {
    /// The client is in; `<success/>` is on its way.
    Authenticated {
        /// The mechanism.
        mechanism: Mechanism,
        /// Who it is.
        identifier: Jid,
    },
    /// Refused; `<failure/>` is on its way.
    Refused {
        /// Why.
        refusal: Refusal,
        /// Whether this was the last attempt on this stream.
        exhausted: bool,
    },
}
