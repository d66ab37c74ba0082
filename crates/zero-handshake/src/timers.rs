//! Deadlines, each with the reason it exists.

use onetrip_stream::Instant;

/// Why a machine wants to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// A stanza has begun and does not go on.
    Stall,
    /// The peer has not closed behind our close (ZH-22).
    Close,
    /// The connection we opened is not used (ZH-14).
    Idle,
    /// Nothing was written for so long (ZH-25).
    Keepalive,
    /// What was sent on another connection counts as arrived (ZH-R4).
    Quiet,
    /// A connection that could not be opened may be tried again.
    Retry,
}

/// What was waited for.
impl core::fmt::Display for Reason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Stall => "the rest of a stanza",
            Self::Close => "the peer's close",
            Self::Idle => "the next stanza",
            Self::Keepalive => "the time of a keepalive",
            Self::Quiet => "the arrival of what was sent elsewhere",
            Self::Retry => "the time of the next attempt",
        })
    }
}

/// When to call `handle_timeout`, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deadline {
    /// When.
    pub at: Instant,
    /// Why.
    pub reason: Reason,
}

impl Deadline {
    pub(crate) fn new(at: Instant, reason: Reason) -> Self {
        Self { at, reason }
    }
}

/// The deadlines of a link: at most one for each reason.
#[derive(Debug, Default)]
pub(crate) struct Timers(Vec<Deadline>);

impl Timers {
    pub(crate) fn set(&mut self, reason: Reason, at: Instant) {
        self.stop(reason);
        self.0.push(Deadline::new(at, reason));
    }

    pub(crate) fn stop(&mut self, reason: Reason) {
        self.0.retain(|deadline| deadline.reason != reason);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn next(&self) -> Option<Deadline> {
        let order = |deadline: &Deadline| (deadline.at, deadline.reason);
        self.0.iter().copied().min_by_key(order)
    }

    /// Takes out every deadline that is due, in order.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<Reason> {
        let mut due = Vec::new();
        while let Some(next) = self.next().filter(|deadline| deadline.at <= now) {
            self.stop(next.reason);
            due.push(next.reason);
        }
        due
    }
}
