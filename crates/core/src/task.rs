//! Tasks: what a client has to do besides its mechanism before a server lets it in (XEP-0388 §2.6.3).

use minidom::Element;
use onetrip_negotiation::sasl::Mechanism;
use onetrip_negotiation::sasl2::Failure;

/// What a client is asked; answered with a [`TaskReply`].
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum TaskPrompt {
    /// The mechanism, or the task before, was not enough: carry out one of these. Those that are not in
    /// [`Sasl2Login::tasks`](crate::Sasl2Login::tasks) are left out.
    Choose {
        /// Their names, in the server's order.
        tasks: Vec<String>,
        /// Text for people.
        text: Option<String>,
    },
    /// The task goes on with this.
    Data(Vec<Element>),
}

/// What a client does about it.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum TaskReply {
    /// Carry out this one of the tasks that were offered.
    Begin {
        /// Its name.
        task: String,
        /// What it begins with.
        children: Vec<Element>,
    },
    /// Go on with this.
    Data(Vec<Element>),
    /// Give the login up.
    Abort,
}

/// Where a client is that a server has to decide about; answered with a [`TaskVerdict`].
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum TaskStep {
    /// It has proved who it is by this mechanism. A token is never asked about: it gets in, or not, in one round trip
    /// (XEP-0484 §3.1).
    Proved(Mechanism),
    /// It begins a task.
    Begun {
        /// Its name, one of those that were demanded.
        task: String,
        /// What it begins with.
        children: Vec<Element>,
    },
    /// The task goes on with this.
    Data(Vec<Element>),
}

/// What a server decides.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum TaskVerdict {
    /// Nothing is left to do: what rides along is carried out, and the client is in.
    Done,
    /// One of these has to be done.
    Demand {
        /// Their names.
        tasks: Vec<String>,
        /// Text for people.
        text: Option<String>,
    },
    /// The task that was begun goes on with this.
    Data(Vec<Element>),
    /// It does not get in.
    Refuse(Failure),
}

/// What a task says is named only: it may be a secret.
fn named(children: &[Element]) -> Vec<&str> {
    children.iter().map(Element::name).collect()
}

impl core::fmt::Debug for TaskPrompt {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Choose { tasks, .. } => write!(f, "Choose({tasks:?})"),
            Self::Data(children) => write!(f, "Data({:?})", named(children)),
        }
    }
}

impl core::fmt::Debug for TaskReply {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Begin { task, children } => write!(f, "Begin({task}, {:?})", named(children)),
            Self::Data(children) => write!(f, "Data({:?})", named(children)),
            Self::Abort => f.write_str("Abort"),
        }
    }
}

impl core::fmt::Debug for TaskStep {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Proved(mechanism) => write!(f, "Proved({mechanism:?})"),
            Self::Begun { task, children } => write!(f, "Begun({task}, {:?})", named(children)),
            Self::Data(children) => write!(f, "Data({:?})", named(children)),
        }
    }
}

impl core::fmt::Debug for TaskVerdict {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Done => f.write_str("Done"),
            Self::Demand { tasks, .. } => write!(f, "Demand({tasks:?})"),
            Self::Data(children) => write!(f, "Data({:?})", named(children)),
            Self::Refuse(failure) => write!(f, "Refuse({failure:?})"),
        }
    }
}
