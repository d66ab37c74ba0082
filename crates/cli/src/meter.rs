//! What a connection attempt takes until its first stanza is answered: round trips, bytes, time, and the record of it.

use std::cell::{Cell, RefCell, RefMut};
use std::time::Duration;

use onetrip_core::quickstart::{Outcome, Report};
use onetrip_core::{Direction, Event, Unit};
use onetrip_simulator::{ANSWERED, ONLINE};
use onetrip_trace::{Mark, Party, Record, Write};

use tokio::sync::Notify;

use crate::environment::Clock;

/// The id of the stanza whose answer is waited for.
pub(crate) const QUESTION: &str = "onetrip";

/// See the module. It may cover several connections, of which one waits for the other.
#[derive(Debug)]
pub(crate) struct Meter {
    clock: Clock,
    /// Round trips so far, TCP's included.
    trips: u32,
    /// Whether something was written since the last read.
    asked: bool,
    units: Vec<Unit>,
    measured: Measured,
}

/// What it has come to.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// Time and round trips until a stanza could be sent, and until its answer came.
    pub(crate) to_send: Option<(Duration, u32)>,
    pub(crate) to_answer: Option<(Duration, u32)>,
    pub(crate) bytes_sent: usize,
    pub(crate) bytes_received: usize,
    pub(crate) record: Record,
}

impl Meter {
    /// TCP of the first connection is there, since `clock` was started.
    pub(crate) fn new(title: &str, clock: Clock) -> Self {
        Self {
            clock,
            trips: 1,
            asked: false,
            units: Vec::new(),
            measured: Measured {
                record: Record::new(title),
                ..Measured::default()
            },
        }
    }

    /// Whether there is nothing left to measure.
    pub(crate) fn is_over(&self) -> bool {
        self.measured.to_answer.is_some()
    }

    /// What it has come to.
    pub(crate) fn take(&mut self) -> Measured {
        self.settle();
        core::mem::take(&mut self.measured)
    }

    /// A unit was written or read.
    pub(crate) fn unit(&mut self, unit: Unit) {
        self.units.push(unit);
    }

    /// Bytes came in.
    pub(crate) fn read(&mut self, bytes: usize) {
        if !self.is_over() {
            self.measured.bytes_received += bytes;
        }
        if core::mem::take(&mut self.asked) {
            self.trips += 1;
        }
    }

    /// The peer has opened a connection, because of something that was written: its first bytes take another trip.
    pub(crate) fn accepted(&mut self) {
        self.read(0);
        self.asked = true;
    }

    /// TCP of a further connection is there.
    fn connected_again(&mut self) {
        self.trips += 1;
        self.asked = false;
    }

    /// Bytes go out, with the units reported before.
    pub(crate) fn write(&mut self, bytes: usize) {
        self.settle();
        // What comes behind an acknowledgement, or on another connection behind a footer, has taken no trip.
        self.asked |= !self.asks_for_nothing();
        self.note(Party::Initiator, bytes);
        if !self.is_over() {
            self.measured.bytes_sent += bytes;
        }
    }

    /// Puts the units that were received since the last write on the record.
    pub(crate) fn settle(&mut self) {
        let received = |unit: &Unit| unit.direction == Direction::Received;
        if self.units.iter().any(received) {
            self.note(Party::Receiver, 0);
        }
    }

    /// A stanza may be sent.
    pub(crate) fn online(&mut self) {
        if self.measured.to_send.is_none() {
            self.measured.to_send = Some(self.here());
            self.mark(ONLINE);
        }
    }

    /// It is answered.
    pub(crate) fn answered(&mut self) {
        if !self.is_over() {
            self.mark(ANSWERED);
            self.measured.to_answer = Some(self.here());
        }
    }

    /// Whether nothing but acknowledgements and footers is about to be written.
    fn asks_for_nothing(&self) -> bool {
        let mut sent = self
            .units
            .iter()
            .filter(|unit| unit.direction == Direction::Sent)
            .peekable();
        sent.peek().is_some() && sent.all(|unit| matches!(unit.label.as_str(), "a" | "footer"))
    }

    fn note(&mut self, from: Party, bytes: usize) {
        if self.is_over() {
            return self.units.clear();
        }
        // Each answer belongs to the trip that brought it.
        let (wanted, half_trips) = match from {
            Party::Initiator => (Direction::Sent, self.trips * 2),
            Party::Receiver => (Direction::Received, (self.trips * 2).saturating_sub(1)),
        };
        let (these, rest): (Vec<Unit>, Vec<Unit>) = self
            .units
            .drain(..)
            .partition(|unit| unit.direction == wanted);
        self.units = rest;
        let at = self.clock.now().since_epoch();
        self.measured.record.writes.push(Write {
            from,
            at,
            arrives: at,
            half_trips,
            secured: !these.is_empty() && these.iter().all(|unit| unit.secured),
            units: these.into_iter().map(|unit| unit.label).collect(),
            bytes,
        });
    }

    fn here(&self) -> (Duration, u32) {
        (self.clock.now().since_epoch(), self.trips)
    }

    fn mark(&mut self, label: &str) {
        self.settle();
        let (at, trips) = self.here();
        self.measured.record.marks.push(Mark {
            at,
            half_trips: trips * 2,
            label: label.to_owned(),
        });
    }
}

/// A question to another server, over as many connections as it takes.
#[derive(Debug)]
pub(crate) struct Measuring {
    meter: RefCell<Meter>,
    /// How many connections we have opened.
    connections: Cell<u32>,
    /// How often something that was assumed has proved wrong.
    broken: Cell<u32>,
    reason: RefCell<Option<String>>,
    over: Notify,
}

/// How a question has ended.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) measured: Measured,
    pub(crate) broken: u32,
    pub(crate) reason: Option<String>,
}

impl Measuring {
    /// Of a question that has not been asked yet.
    pub(crate) fn new(title: &str) -> Self {
        Self {
            meter: RefCell::new(Meter::new(title, Clock::new())),
            connections: Cell::new(0),
            broken: Cell::new(0),
            reason: RefCell::new(None),
            over: Notify::new(),
        }
    }

    /// What counts.
    pub(crate) fn meter(&self) -> RefMut<'_, Meter> {
        self.meter.borrow_mut()
    }

    /// TCP of a connection of ours is there.
    pub(crate) fn connected(&self) {
        if self.connections.replace(self.connections.get() + 1) > 0 {
            self.meter().connected_again();
        }
    }

    /// Something happened on one of the connections.
    pub(crate) fn event(&self, event: &Event) {
        match event {
            // The first that is established is one of ours, for the pair that is asked about.
            Event::Established { .. } => self.meter().online(),
            Event::Stanza(stanza) if stanza.head().id.as_deref() == Some(QUESTION) => {
                self.meter().answered();
                self.over.notify_one();
            }
            Event::PeerError(error) => self.note(format!("stream error {error}")),
            _ => {}
        }
    }

    /// An attempt has taught something.
    pub(crate) fn report(&self, report: &Report) {
        if let Outcome::Broken(broken) = &report.outcome {
            self.broken.set(self.broken.get() + 1);
            let difference = report.difference.as_ref();
            let difference = difference.map(|difference| format!("; {difference}"));
            self.note(format!("{broken}{}", difference.unwrap_or_default()));
        }
    }

    /// The question came back.
    pub(crate) fn fail(&self, reason: &str) {
        self.note(format!("it came back: {reason}"));
        self.over.notify_one();
    }

    /// What is said first says most.
    fn note(&self, reason: String) {
        self.reason.borrow_mut().get_or_insert(reason);
    }

    /// Waits until it is answered, comes back, or takes too long.
    pub(crate) async fn wait(&self, patience: Duration) {
        if tokio::time::timeout(patience, self.over.notified())
            .await
            .is_err()
        {
            self.note("no answer".to_owned());
        }
    }

    /// What it came to, so far.
    pub(crate) fn finish(&self) -> Asked {
        Asked {
            measured: self.meter.borrow_mut().take(),
            broken: self.broken.get(),
            reason: self.reason.borrow_mut().take(),
        }
    }
}
