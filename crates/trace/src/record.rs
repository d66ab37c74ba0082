//! The model of a recorded exchange.

use core::time::Duration;

/// One of the two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Party {
    /// Who opened the connection.
    Initiator,
    /// Who accepted it.
    Receiver,
}

/// One flush by one end (digest §4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Who wrote.
    pub from: Party,
    /// When it left, since the connection attempt began.
    pub at: Duration,
    /// When its last byte arrived.
    pub arrives: Duration,
    /// How many one-way trips went before it, TCP's own included.
    pub half_trips: u32,
    /// What was in it: stream headers, first-level elements, TLS flights.
    pub units: Vec<String>,
    /// Whether it went through TLS.
    pub secured: bool,
    /// Its length on the wire.
    pub bytes: usize,
}

/// A moment worth a line of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// When.
    pub at: Duration,
    /// How many one-way trips it took to get there.
    pub half_trips: u32,
    /// What happened.
    pub label: String,
}

/// A recorded exchange.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// What it shows.
    pub title: String,
    /// All writes, in the order they left.
    pub writes: Vec<Write>,
    /// Moments, in order.
    pub marks: Vec<Mark>,
}

impl Record {
    /// An empty record.
    #[must_use]
    pub fn new(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            ..Self::default()
        }
    }

    /// Whether it begins with the round trip of TCP. What is counted from a later moment does not.
    pub(crate) fn connects(&self) -> bool {
        let first = self.writes.first();
        first.is_some_and(|write| write.half_trips >= 2)
    }

    /// How often the direction changed, plus one: maximal runs of writes by the same end (digest §4.1).
    #[must_use]
    pub fn flights(&self) -> usize {
        let mut last = None;
        self.writes
            .iter()
            .filter(|write| last.replace(write.from) != Some(write.from))
            .count()
    }

    /// How many units went either way (digest §4.1).
    #[must_use]
    pub fn units(&self) -> usize {
        self.writes.iter().map(|write| write.units.len()).sum()
    }

    /// The record up to the first mark with this label: what it took to get there.
    #[must_use]
    pub fn until(&self, label: &str) -> Self {
        let end = self
            .marks
            .iter()
            .find(|mark| mark.label == label)
            .map(|mark| mark.at);
        let Some(end) = end else { return self.clone() };
        Self {
            title: self.title.clone(),
            writes: self
                .writes
                .iter()
                .filter(|write| write.arrives <= end)
                .cloned()
                .collect(),
            marks: self
                .marks
                .iter()
                .filter(|mark| mark.at <= end)
                .cloned()
                .collect(),
        }
    }
}
