//! The plan of one connection: which steps are taken ahead of their answers.

use core::time::Duration;

use crate::level::join;
use crate::{Join, Key, Known, Level, Step};

/// What a caller is willing to try.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// The furthest level to go to. Default: [`Level::Full`], which still needs the server's advertisement.
    pub ceiling: Level,
    /// Whether [`Level::Paced`] may be tried with hosts that do not advertise pipelining: a race, so only
    /// where the round trip saved is worth it. Default: no.
    pub race: bool,
    /// This level and no other, whatever is known: for measuring. Default: none.
    pub force: Option<Level>,
    /// The gap of [`Level::Paced`] with a host that was never tried. Default: 20 ms.
    pub first_gap: Duration,
    /// The longest gap that is worth it. Default: 320 ms.
    pub max_gap: Duration,
    /// After so many misses in a row a level is given up for the host. Default: 5.
    pub max_misses: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            ceiling: Level::Full,
            race: false,
            force: None,
            first_gap: Duration::from_millis(20),
            max_gap: Duration::from_millis(320),
            max_misses: 5,
        }
    }
}

/// How one connection is to be negotiated; made by [`Cache::plan`](crate::Cache::plan).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    key: Key,
    level: Level,
    gap: Duration,
    assumed: Option<Known>,
    pin: u8,
}

impl Plan {
    pub(crate) fn new(
        key: Key,
        level: Level,
        gap: Duration,
        assumed: Option<Known>,
        pin: u8,
    ) -> Self {
        Self {
            key,
            level,
            gap,
            assumed,
            pin,
        }
    }

    /// A plan that assumes nothing and waits for every answer.
    #[must_use]
    pub fn step_by_step(key: Key) -> Self {
        Self::new(key, Level::Off, Duration::ZERO, None, 0)
    }

    /// Whom it is for.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// How far it runs ahead.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// The gap it leaves where it paces.
    #[must_use]
    pub fn gap(&self) -> Duration {
        self.gap
    }

    /// What it believes of the server.
    #[must_use]
    pub fn assumed(&self) -> Option<&Known> {
        self.assumed.as_ref()
    }

    /// The strength class below which no mechanism may be chosen (QS-R4).
    #[must_use]
    pub fn pin(&self) -> u8 {
        self.pin
    }

    /// When a step may be taken. Without a memory of the server's mechanisms `<auth/>` has to wait for the
    /// features (QS-11), whatever the level.
    #[must_use]
    pub fn join(&self, step: Step) -> Join {
        match step {
            Step::Auth if self.assumed.is_none() => Join::AfterAnswer,
            _ => join(self.level, step, self.gap),
        }
    }

    /// The same plan one careful step back: what is sent from now on waits for every answer.
    pub(crate) fn become_careful(&mut self) {
        self.level = Level::Off;
        self.assumed = None;
    }
}
