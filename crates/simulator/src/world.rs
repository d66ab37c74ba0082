//! Two ends, the clock and the link between them: what happens next, and what is written down of it.

use core::time::Duration;
use std::collections::BTreeMap;

use bytes::Bytes;
use onetrip_core::EntityEvent;
use onetrip_core::stream::{Domain, Instant};
use onetrip_trace::{Mark, Party, Record, Write};

use crate::end::{End, Written, Written1};
use crate::run::{ANSWERED, ONLINE, Run, Settings};
use crate::strategy::{Answers, Historical, Strategy};

/// What is on its way.
#[derive(Debug)]
enum Arrival {
    Bytes(Bytes),
    Eof,
}

/// The two ends, the clock and what is between them.
pub(crate) struct World<'a> {
    client: End<'a>,
    server: End<'a>,
    settings: Settings,
    /// Whether each unit before TLS is a write of its own.
    unit_by_unit: bool,
    record: Record,
    now: Instant,
    /// What arrives when: ordered by time, then by the order it was sent.
    arrivals: BTreeMap<(Instant, u64), (Party, u32, Arrival)>,
    sent: u64,
    /// Until when each direction is busy sending.
    busy: [Instant; 2],
    /// How many bytes each end has sent.
    bytes: [usize; 2],
    asked: bool,
    to_send: Option<(Duration, u32)>,
    to_answer: Option<(Duration, u32)>,
    /// When the question arrived, and whether that is all there is to see here.
    arrived: Option<(Duration, u32)>,
    one_way: bool,
    cut: bool,
}

/// The most steps a run may take: far more than any login needs.
const MAX_STEPS: usize = 100_000;

const fn index(party: Party) -> usize {
    match party {
        Party::Initiator => 0,
        Party::Receiver => 1,
    }
}

impl<'a> World<'a> {
    pub(crate) fn new(
        client: End<'a>,
        server: End<'a>,
        settings: Settings,
        strategy: &Strategy,
        start: Instant,
    ) -> Self {
        Self {
            client,
            server,
            settings,
            unit_by_unit: *strategy == Strategy::Historical(Historical::Rfc6120),
            record: Record::new(&strategy.name()),
            now: start,
            arrivals: BTreeMap::new(),
            sent: 0,
            busy: [Instant::EPOCH; 2],
            bytes: [0; 2],
            asked: false,
            to_send: None,
            to_answer: None,
            arrived: None,
            one_way: strategy.answers() == Some(Answers::Two),
            cut: false,
        }
    }

    pub(crate) fn run(&mut self, domain: &Domain) {
        let start = self.now;
        self.client.half_trips = 2;
        self.server.half_trips = 1;
        let first = self.client.drain(start);
        self.send(Party::Initiator, first);
        let first = self.server.drain(start);
        self.send(Party::Receiver, first);
        for _ in 0..MAX_STEPS {
            self.observe(domain);
            let seen = self.to_answer.is_some() || (self.one_way && self.arrived.is_some());
            if seen || !self.step() {
                return;
            }
        }
    }

    /// The connection is gone, and nobody knows yet what has arrived.
    pub(crate) fn cut(&mut self) {
        let now = self.now;
        let _ = self.server.receive_eof(now);
        let _ = self.client.receive_eof(now);
    }

    /// Lets the next thing happen; `false` when nothing will.
    fn step(&mut self) -> bool {
        let arrival = self.arrivals.keys().next().copied();
        let timer = [self.client.deadline(), self.server.deadline()]
            .into_iter()
            .flatten()
            .min();
        match (arrival, timer) {
            (Some((at, _)), timer) if timer.is_none_or(|timer| at <= timer) => {
                let Some((_, (to, half_trips, arrival))) = self.arrivals.pop_first() else {
                    return false;
                };
                self.now = at;
                let end = self.end(to);
                end.half_trips = end.half_trips.max(half_trips);
                let written = match arrival {
                    Arrival::Bytes(bytes) => end.receive(at, &bytes),
                    Arrival::Eof => end.receive_eof(at),
                };
                self.send(to, written);
                true
            }
            (_, Some(timer)) => {
                self.now = self.now.max(timer);
                for party in [Party::Initiator, Party::Receiver] {
                    let now = self.now;
                    if self
                        .end(party)
                        .deadline()
                        .is_some_and(|deadline| deadline <= now)
                    {
                        let written = self.end(party).handle_timeout(now);
                        self.send(party, written);
                    }
                }
                true
            }
            _ => false,
        }
    }

    fn end(&mut self, party: Party) -> &mut End<'a> {
        match party {
            Party::Initiator => &mut self.client,
            Party::Receiver => &mut self.server,
        }
    }

    /// Puts what an end wrote on the link.
    fn send(&mut self, from: Party, written: Written) {
        for (bytes, units) in written.writes {
            for (bytes, units) in self.as_written(bytes, units) {
                self.transmit(from, bytes, &units);
            }
        }
        if written.closed {
            let at = self.now.max(self.busy_of(from)) + self.settings.link.latency();
            self.arrive(at, from, Arrival::Eof);
        }
    }

    /// Splits a write into its units, where the text that is followed counts them one by one.
    fn as_written(&self, bytes: Bytes, units: Vec<Written1>) -> Vec<(Bytes, Vec<Written1>)> {
        let in_clear = units.iter().all(|unit| !unit.secured && !unit.tls);
        if !self.unit_by_unit || !in_clear || units.len() < 2 {
            return vec![(bytes, units)];
        }
        let mut rest = bytes;
        units
            .into_iter()
            .map(|unit| (rest.split_to(unit.bytes.min(rest.len())), vec![unit]))
            .collect()
    }

    fn busy_of(&self, party: Party) -> Instant {
        self.busy.get(index(party)).copied().unwrap_or_default()
    }

    fn transmit(&mut self, from: Party, bytes: Bytes, units: &[Written1]) {
        let begins = self.now.max(self.busy_of(from));
        let done = begins + self.settings.link.busy(bytes.len());
        if let Some(busy) = self.busy.get_mut(index(from)) {
            *busy = done;
        }
        let before = self.bytes.get(index(from)).copied().unwrap_or_default();
        if let Some(total) = self.bytes.get_mut(index(from)) {
            *total = total.saturating_add(bytes.len());
        }
        let arrives = done + self.settings.link.latency();
        let half_trips = self.end(from).half_trips;
        self.record.writes.push(Write {
            from,
            at: self.now.since_epoch(),
            arrives: arrives.since_epoch(),
            half_trips,
            units: units.iter().map(|unit| unit.label.clone()).collect(),
            secured: units.iter().all(|unit| unit.secured) && !units.is_empty(),
            bytes: bytes.len(),
        });
        let bytes = self.cut_off(from, before, bytes);
        let piece = self.settings.faults.split.unwrap_or(usize::MAX).max(1);
        for piece in bytes.chunks(piece) {
            self.arrive(arrives, from, Arrival::Bytes(bytes.slice_ref(piece)));
        }
        if self.cut {
            self.arrive(arrives, from, Arrival::Eof);
            self.arrive(arrives, other(from), Arrival::Eof);
        }
    }

    /// What is left of a write when the connection is cut in it.
    fn cut_off(&mut self, from: Party, before: usize, bytes: Bytes) -> Bytes {
        let Some(cut_at) = self
            .settings
            .faults
            .cut_at
            .filter(|_| from == Party::Initiator)
        else {
            return bytes;
        };
        let left = usize::try_from(cut_at)
            .unwrap_or(usize::MAX)
            .saturating_sub(before);
        if left >= bytes.len() {
            return bytes;
        }
        self.cut = true;
        bytes.slice(..left)
    }

    fn arrive(&mut self, at: Instant, from: Party, arrival: Arrival) {
        let half_trips = self.end(from).half_trips.saturating_add(1);
        self.sent = self.sent.saturating_add(1);
        self.arrivals
            .insert((at, self.sent), (other(from), half_trips, arrival));
    }

    /// Notes the two moments that count, and lets the client ask once it may.
    fn observe(&mut self, domain: &Domain) {
        let here = (self.now.since_epoch(), self.client.half_trips);
        let mark = |label: &str| Mark {
            at: here.0,
            half_trips: here.1,
            label: label.to_owned(),
        };
        if self.client.online && !self.asked {
            self.asked = true;
            self.to_send = Some(here);
            self.record.marks.push(mark(ONLINE));
            let written = self.client.ask(self.now, domain);
            self.send(Party::Initiator, written);
        }
        if !self.server.received.is_empty() && self.arrived.is_none() {
            self.arrived = Some((self.now.since_epoch(), self.server.half_trips));
        }
        if self.client.answered && self.to_answer.is_none() {
            self.to_answer = Some(here);
            self.record.marks.push(mark(ANSWERED));
        }
    }

    pub(crate) fn finish(self) -> (Run, Vec<EntityEvent>) {
        let [sent, received] = self.bytes;
        let run = Run {
            record: self.record,
            to_send: self.to_send,
            to_answer: self.to_answer,
            arrived: self.arrived,
            bytes_sent: sent,
            bytes_received: received,
            reports: self
                .client
                .taught
                .iter()
                .filter_map(|event| event.report().cloned())
                .collect(),
            server_online: self.server.online,
            server_stanzas: self.server.received.len(),
            endings: (self.client.ending, self.server.ending),
        };
        (run, self.client.taught)
    }
}

const fn other(party: Party) -> Party {
    match party {
        Party::Initiator => Party::Receiver,
        Party::Receiver => Party::Initiator,
    }
}
