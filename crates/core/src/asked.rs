//! Which answer fits which request.

use crate::{Answer, Request};

/// What a connection has asked its caller for, and waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Derivation,
    Sasl,
    Bind,
    Enable,
    Session,
    KeySwap,
    FastIssue,
    FastSwap,
    TaskPrompt,
    TaskStep,
    Vouch,
}

impl Asked {
    /// What has to come before anything else is read; nothing where the stream goes on meanwhile.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        match request {
            Request::Derive(_) => Some(Self::Derivation),
            Request::Sasl { .. } => Some(Self::Sasl),
            Request::Bind { .. } => Some(Self::Bind),
            Request::Enable { .. } => Some(Self::Enable),
            Request::Resume { .. } | Request::InstantResume { .. } => Some(Self::Session),
            Request::KeySwap { .. } => Some(Self::KeySwap),
            Request::FastIssue(_) => Some(Self::FastIssue),
            Request::FastSwap(_) => Some(Self::FastSwap),
            Request::TaskPrompt(_) => Some(Self::TaskPrompt),
            Request::TaskStep { .. } => Some(Self::TaskStep),
            Request::Vouch { .. } => Some(Self::Vouch),
            Request::Verify(_) | Request::Reverse { .. } => None,
        }
    }

    /// Whether this answers it.
    pub(crate) fn takes(self, answer: &Answer) -> bool {
        self == match answer {
            Answer::Derived(_) => Self::Derivation,
            Answer::Sasl(_) => Self::Sasl,
            Answer::Bind(_) => Self::Bind,
            Answer::Enable(_) => Self::Enable,
            Answer::Session(_) | Answer::NoSession { .. } => Self::Session,
            Answer::KeySwap(_) => Self::KeySwap,
            Answer::FastIssued(_) => Self::FastIssue,
            Answer::FastSwap(_) => Self::FastSwap,
            Answer::TaskReply(_) => Self::TaskPrompt,
            Answer::TaskVerdict(_) => Self::TaskStep,
            Answer::Awaited(_) => Self::Vouch,
        }
    }
}
