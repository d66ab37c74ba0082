//! What an initiator is given, and what it tells its caller.

use minidom::Element;
use onetrip_stream::Jid;

use super::{Failure, UserAgent, Version};
use crate::sasl::{Derivation, Mechanism, SaltedPassword};

/// What goes out besides the mechanism's own messages.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Request {
    /// Which namespace to speak.
    pub version: Version,
    /// What the client says about itself.
    pub user_agent: Option<UserAgent>,
    /// What rides along: `<bind/>`, `<resume/>`, `<fast/>` and the like.
    pub inline: Vec<Element>,
    /// The tasks that the caller can carry out (XEP-0388 §2.6.3). Default: none, so that any task ends the attempt.
    pub tasks: Vec<String>,
}

impl Request {
    /// A login with nothing else.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, and this besides.
    #[must_use]
    pub fn with(mut self, inline: Element) -> Self {
        self.inline.push(inline);
        self
    }
}

/// What the initiator is given.
#[derive(Debug)]
#[non_exhaustive]
pub enum Input<'a> {
    /// Begin.
    Start,
    /// An element of the namespace of SASL2.
    Element(&'a Element),
    /// Anything else has arrived, white space included.
    Intruder,
    /// The key that was asked for.
    Derived(SaltedPassword),
    /// Carry out this one of the tasks that were offered.
    Next {
        /// Its name.
        task: &'a str,
        /// What it begins with.
        children: Vec<Element>,
    },
    /// What the task says next.
    TaskData(Vec<Element>),
    /// Give up.
    Abort,
}

/// What the caller must do.
#[derive(Clone)]
#[must_use = "an action that is not carried out leaves the exchange hanging"]
#[non_exhaustive]
pub enum Action {
    /// Send this.
    Send {
        /// The element.
        element: Element,
        /// Whether it is believed to be our last message before the answer.
        last: bool,
    },
    /// Derive a key and give it in with [`Input::Derived`].
    Derive(Derivation),
    /// Take note.
    Event(Event),
}

impl core::fmt::Debug for Action {
    /// An element is named only, since it may hold a password.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Send { element, last } => {
                write!(f, "Send(<{}/>, last: {last})", element.name())
            }
            Self::Derive(derivation) => f.debug_tuple("Derive").field(derivation).finish(),
            Self::Event(event) => f.debug_tuple("Event").field(event).finish(),
        }
    }
}

/// What came of it.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// We are in. The features of the stream follow at once, without a restart.
    Authenticated(Success),
    /// The mechanism was not enough: carry one of these out with [`Input::Next`], or give up. Only tasks of
    /// [`Request::tasks`] are here.
    Tasks {
        /// Their names, in the order of the server.
        tasks: Vec<String>,
        /// Text for people.
        text: Option<String>,
    },
    /// The task goes on.
    TaskData(Vec<Element>),
    /// The mechanism was not enough, and no task is known here: `<abort/>` is on its way, and [`Event::Refused`] follows
    /// when the server has seen it.
    UnknownTasks(Vec<String>),
    /// The server refused us. Another attempt may follow on the same stream.
    Refused(Failure),
}

impl core::fmt::Debug for Event {
    /// What rode along is named only, since it may hold a token.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Authenticated(success) => f.debug_tuple("Authenticated").field(success).finish(),
            Self::Tasks { tasks, .. } => f.debug_tuple("Tasks").field(tasks).finish(),
            Self::TaskData(children) => write!(f, "TaskData({} elements)", children.len()),
            Self::UnknownTasks(tasks) => f.debug_tuple("UnknownTasks").field(tasks).finish(),
            Self::Refused(failure) => f.debug_tuple("Refused").field(failure).finish(),
        }
    }
}

/// A `<success/>` whose proofs held.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Success {
    /// The mechanism.
    pub mechanism: Mechanism,
    /// Who we are: a full address if a resource was bound on the way.
    pub identifier: Jid,
    /// What the server answered to what rode along.
    pub inline: Vec<Element>,
}

impl core::fmt::Debug for Success {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let names: Vec<&str> = self.inline.iter().map(Element::name).collect();
        f.debug_struct("Success")
            .field("mechanism", &self.mechanism)
            .field("identifier", &self.identifier)
            .field("inline", &names)
            .finish()
    }
}
