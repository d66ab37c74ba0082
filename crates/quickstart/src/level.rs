//! How far an initiator runs ahead of the answers (QS-R10), as one table.

use core::time::Duration;

/// How far an initiator runs ahead (QS-R10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Step by step, as RFC 6120 §9.1 shows it.
    Off,
    /// Only units that cross no boundary ride together: every server takes it.
    Safe,
    /// Every step of [`Level::Full`], but a unit behind a boundary goes in a write of its own after a gap: a
    /// race against the peer's reading.
    Paced,
    /// One write: only where `<pipelining/>` was advertised (XEP-0305).
    Full,
}

impl Level {
    /// All levels, from the most careful on.
    pub const ALL: [Self; 4] = [Self::Off, Self::Safe, Self::Paced, Self::Full];
}

/// A unit that an initiator may send before the one ahead of it was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// `<starttls/>` behind the first header; its answer is the features.
    StartTls,
    /// The TLS ClientHello behind `<starttls/>`: crosses into TLS; the answer is `<proceed/>`.
    ClientHello,
    /// `<auth/>` behind the header; the answer is the features.
    Auth,
    /// The request for instant stream resumption behind the header: it needs no answer before it, since the token
    /// proves that the server knows it (ISR-12).
    InstantResume,
    /// The new header behind the last SASL message: crosses into a new document; the answer is `<success/>`.
    Restart,
    /// The request to bind, or to resume (QS-39), behind that header; the answer is the features.
    Bind,
}

impl Step {
    /// All steps, in the order they are taken.
    pub const ALL: [Self; 6] = [
        Self::StartTls,
        Self::ClientHello,
        Self::Auth,
        Self::InstantResume,
        Self::Restart,
        Self::Bind,
    ];
}

/// When a step may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Join {
    /// When the answer to what went before has been seen.
    AfterAnswer,
    /// So long after what went before, in a write of its own, or at the answer if that is earlier.
    AfterGap(Duration),
    /// In one write with what went before.
    AtOnce,
}

/// The table of QS-R10: when each level takes each step.
#[must_use]
pub(crate) const fn join(level: Level, step: Step, gap: Duration) -> Join {
    match (level, step) {
        (_, Step::InstantResume) => Join::AtOnce,
        (Level::Off, _) => Join::AfterAnswer,
        (_, Step::StartTls | Step::Auth | Step::Bind) => Join::AtOnce,
        (Level::Safe, Step::ClientHello | Step::Restart) => Join::AfterAnswer,
        (Level::Paced, Step::ClientHello | Step::Restart) => Join::AfterGap(gap),
        (Level::Full, Step::ClientHello | Step::Restart) => Join::AtOnce,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// QS-R10: the levels differ only in the two steps that cross a boundary, and `Off` waits for everything.
    #[test]
    fn qs_r10_levels_differ_at_the_boundaries_only() {
        let gap = Duration::from_millis(20);
        for step in Step::ALL {
            if step == Step::InstantResume {
                continue;
            }
            assert_eq!(join(Level::Off, step, gap), Join::AfterAnswer);
            let crosses = matches!(step, Step::ClientHello | Step::Restart);
            assert_eq!(
                join(Level::Safe, step, gap) == Join::AfterAnswer,
                crosses,
                "{step:?}"
            );
            assert_eq!(
                join(Level::Paced, step, gap) == Join::AfterGap(gap),
                crosses,
                "{step:?}"
            );
            assert_eq!(join(Level::Full, step, gap), Join::AtOnce, "{step:?}");
        }
    }

    /// ISR-12: the request rides with the header whatever the level, as the token is all it needs.
    #[test]
    fn isr_12_the_request_to_resume_by_token_waits_for_nothing() {
        for level in Level::ALL {
            assert_eq!(
                join(level, Step::InstantResume, Duration::ZERO),
                Join::AtOnce
            );
        }
    }
}
