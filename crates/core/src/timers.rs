//! Deadlines, each with the reason it exists.

use onetrip_stream::Instant;

/// Why a connection wants to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The next unit goes in a write of its own after a gap (QS-R10).
    Gap,
    /// Nothing came behind `<proceed/>` (QS-34).
    TlsSilence,
    /// Success came and no header behind it (QS-R10).
    RestartSilence,
    /// A stanza sent later has not been answered (QS-R10).
    LaterSilence,
    /// The request to resume has not been answered (ISR-31).
    ResumeSilence,
    /// An acknowledgement is to be asked for, or has not come (XEP-0198 §4).
    Acknowledgement,
    /// An answer of dialback has not come (XEP-0220).
    Dialback,
    /// A stanza has begun on a link and does not go on.
    Stall,
    /// Nothing has come or gone for a long time (BIDI-20), or nothing on a link that we opened (ZH-14).
    Idle,
    /// Nothing was written on a link for so long (ZH-25).
    Keepalive,
    /// What was sent on another link counts as arrived (ZH-R4).
    Quiet,
    /// A link that could not be opened may be tried again.
    Retry,
    /// Nothing went out for a while behind what a proxy may have kept the end of.
    Nudge,
    /// The negotiation has taken too long as a whole.
    Negotiation,
    /// The peer has not closed its half (RFC 6120 §4.4).
    Close,
}

/// What was waited for.
impl core::fmt::Display for Reason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Gap => "the end of a gap",
            Self::TlsSilence => "the answer to the ClientHello",
            Self::RestartSilence => "a stream header behind success",
            Self::LaterSilence => "the answer to a stanza",
            Self::ResumeSilence => "the answer to the request to resume",
            Self::Acknowledgement => "an acknowledgement",
            Self::Dialback => "the answer of dialback",
            Self::Stall => "the rest of a stanza",
            Self::Idle => "anything at all",
            Self::Keepalive => "the time of a keepalive",
            Self::Quiet => "the arrival of what was sent elsewhere",
            Self::Retry => "the time of the next attempt",
            Self::Nudge => "the rest of what a proxy may keep",
            Self::Negotiation => "the end of the negotiation",
            Self::Close => "the peer's close",
        })
    }
}

impl From<onetrip_zero_handshake::Reason> for Reason {
    fn from(reason: onetrip_zero_handshake::Reason) -> Self {
        use onetrip_zero_handshake::Reason as Link;
        match reason {
            Link::Stall => Self::Stall,
            Link::Idle => Self::Idle,
            Link::Keepalive => Self::Keepalive,
            Link::Quiet => Self::Quiet,
            Link::Retry => Self::Retry,
            // The only one that is left.
            _ => Self::Close,
        }
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

/// The deadlines of a connection: at most one for each reason.
#[derive(Debug, Default)]
pub(crate) struct Timers(Vec<Deadline>);

impl Timers {
    pub(crate) fn set(&mut self, reason: Reason, at: Instant) {
        self.stop(reason);
        self.0.push(Deadline { at, reason });
    }

    pub(crate) fn stop(&mut self, reason: Reason) {
        self.0.retain(|deadline| deadline.reason != reason);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn is_set(&self, reason: Reason) -> bool {
        self.0.iter().any(|deadline| deadline.reason == reason)
    }

    pub(crate) fn next(&self) -> Option<Deadline> {
        self.0
            .iter()
            .copied()
            .min_by_key(|deadline| (deadline.at, deadline.reason))
    }

    /// Takes out the earliest deadline that is due.
    pub(crate) fn expired(&mut self, now: Instant) -> Option<Reason> {
        let due = self.next().filter(|deadline| deadline.at <= now)?;
        self.stop(due.reason);
        Some(due.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_expire_in_order_and_only_once() {
        let mut timers = Timers::default();
        timers.set(Reason::Close, Instant::from_millis(20));
        timers.set(Reason::Gap, Instant::from_millis(10));
        timers.set(Reason::Gap, Instant::from_millis(15));
        assert_eq!(timers.next().map(|d| d.reason), Some(Reason::Gap));
        assert_eq!(timers.expired(Instant::from_millis(14)), None);
        assert_eq!(timers.expired(Instant::from_millis(30)), Some(Reason::Gap));
        assert_eq!(
            timers.expired(Instant::from_millis(30)),
            Some(Reason::Close)
        );
        assert_eq!(timers.expired(Instant::from_millis(30)), None);
    }
}
