//! Two ends, the clock and the link between them: what happens next, and what is written down of it.

use core::time::Duration;
use std::collections::BTreeMap;

use bytes::Bytes;
use onetrip_core::dialback::{Awaited, Verification};
use onetrip_core::stream::{Domain, Instant};
use onetrip_core::{EntityEvent, Request};
use onetrip_trace::{Mark, Party, Record, Write};

use crate::end::{End, Written, Written1};
use crate::run::{ANSWERED, ONLINE, Run, Settings};
use crate::servers::Second;
use crate::strategy::{Answers, Historical, Strategy};

/// What is on its way.
#[derive(Debug)]
enum Arrival {
    Bytes(Bytes),
    Eof,
    /// TCP of the second connection is there.
    Second(Verification),
}

/// An end: which one in `ends`, where the two of a connection lie side by side, who opened it first.
type Place = usize;

const CLIENT: Place = 0;
const SERVER: Place = 1;

/// The ends, the clock and what is between them.
pub(crate) struct World<'a> {
    ends: Vec<End<'a>>,
    second: Option<Second<'a>>,
    settings: Settings,
    /// Whether each unit before TLS is a write of its own.
    unit_by_unit: bool,
    record: Record,
    now: Instant,
    /// What arrives when: ordered by time, then by the order it was sent.
    arrivals: BTreeMap<(Instant, u64), (Place, u32, Arrival)>,
    sent: u64,
    /// Until when each end is busy sending.
    busy: BTreeMap<Place, Instant>,
    /// How many bytes each party has sent.
    bytes: [usize; 2],
    asked: bool,
    to_send: Option<(Duration, u32)>,
    to_answer: Option<(Duration, u32)>,
    /// When the question arrived, and whether that is all there is to see here.
    arrived: Option<(Duration, u32)>,
    /// How many bytes both had sent by then.
    bytes_to_arrive: usize,
    one_way: bool,
    cut: bool,
}

/// The most steps a run may take: far more than any login needs.
const MAX_STEPS: usize = 100_000;

/// The other end of the same connection.
const fn other(place: Place) -> Place {
    place ^ 1
}

const fn index(party: Party) -> usize {
    match party {
        Party::Initiator => 0,
        Party::Receiver => 1,
    }
}

impl<'a> World<'a> {
    /// Two ends of a connection, and what another one takes.
    pub(crate) fn new(
        ends: [End<'a>; 2],
        second: Option<Second<'a>>,
        settings: Settings,
        strategy: &Strategy,
        start: Instant,
    ) -> Self {
        Self {
            ends: Vec::from(ends),
            second,
            settings,
            unit_by_unit: *strategy == Strategy::Historical(Historical::Rfc6120),
            record: Record::new(&strategy.name()),
            now: start,
            arrivals: BTreeMap::new(),
            sent: 0,
            busy: BTreeMap::new(),
            bytes: [0; 2],
            asked: false,
            to_send: None,
            to_answer: None,
            arrived: None,
            bytes_to_arrive: 0,
            one_way: strategy.answers() == Some(Answers::Two),
            cut: false,
        }
    }

    pub(crate) fn run(&mut self, domain: &Domain) {
        self.begin(CLIENT, 0);
        for _ in 0..MAX_STEPS {
            self.observe(domain);
            self.mediate();
            let seen = self.to_answer.is_some() || (self.one_way && self.arrived.is_some());
            if seen || !self.step() {
                return;
            }
        }
    }

    /// TCP of a connection is there; `trips` went before its first packet.
    fn begin(&mut self, opener: Place, trips: u32) {
        for (place, handshake) in [(opener, 2), (other(opener), 1)] {
            let now = self.now;
            if let Some(end) = self.ends.get_mut(place) {
                end.half_trips = trips.saturating_add(handshake);
                let first = end.drain(now);
                self.send(place, first);
            }
        }
    }

    /// The connection is gone, and nobody knows yet what has arrived.
    pub(crate) fn cut(&mut self) {
        for place in [SERVER, CLIENT] {
            let now = self.now;
            if let Some(end) = self.ends.get_mut(place) {
                let _ = end.receive_eof(now);
            }
        }
    }

    /// Lets the next thing happen; `false` when nothing will.
    fn step(&mut self) -> bool {
        let arrival = self.arrivals.keys().next().copied();
        let timer = self.ends.iter().filter_map(End::deadline).min();
        match (arrival, timer) {
            (Some((at, _)), timer) if timer.is_none_or(|timer| at <= timer) => {
                let Some((_, (to, half_trips, arrival))) = self.arrivals.pop_first() else {
                    return false;
                };
                self.now = at;
                self.on_arrival(to, half_trips, arrival);
                true
            }
            (_, Some(timer)) => {
                let now = self.now.max(timer);
                self.now = now;
                for place in 0..self.ends.len() {
                    let Some(end) = self.ends.get_mut(place) else {
                        continue;
                    };
                    if end.deadline().is_some_and(|deadline| deadline <= now) {
                        let written = end.handle_timeout(now);
                        self.send(place, written);
                    }
                }
                true
            }
            _ => false,
        }
    }

    fn on_arrival(&mut self, to: Place, half_trips: u32, arrival: Arrival) {
        let now = self.now;
        if let Arrival::Second(verification) = &arrival {
            let second = self.second.as_ref();
            let ends = second.and_then(|second| second.connect(verification, now));
            let opener = self.ends.len();
            self.ends.extend(ends.into_iter().flatten());
            return self.begin(opener, half_trips);
        }
        let Some(end) = self.ends.get_mut(to) else {
            return;
        };
        end.half_trips = end.half_trips.max(half_trips);
        let written = match arrival {
            Arrival::Bytes(bytes) => end.receive(now, &bytes),
            _ => end.receive_eof(now),
        };
        // The answer to it is not part of what it took.
        self.note_arrival();
        self.send(to, written);
    }

    /// Notes when the question arrives.
    fn note_arrival(&mut self) {
        let server = self.ends.get(SERVER);
        if let Some(server) = server.filter(|_| self.arrived.is_none()) {
            if !server.received.is_empty() {
                self.arrived = Some((self.now.since_epoch(), server.half_trips));
                self.bytes_to_arrive = self.bytes.iter().sum();
            }
        }
    }

    /// Does for both servers what one connection needs of another (XEP-0220 §2.1).
    fn mediate(&mut self) {
        for place in 0..self.ends.len() {
            let Some(end) = self.ends.get_mut(place) else {
                continue;
            };
            let trips = end.half_trips;
            let (asked, checked) = (end.asked.pop_front(), end.checked.take());
            match asked {
                Some(Request::Verify(verification)) => {
                    let at = self.now + self.settings.link.round_trip;
                    self.put(at, place, trips, Arrival::Second(verification));
                }
                Some(Request::Vouch { pair, id }) => {
                    let waits = self.ends.iter().any(|end| end.awaits(&pair, &id));
                    let awaited = if waits {
                        Awaited::Elsewhere
                    } else {
                        Awaited::Nowhere
                    };
                    self.tell(place, |end, now| end.vouch(now, awaited));
                }
                _ => {}
            }
            if let Some((ticket, checked)) = checked {
                let server = self.ends.get_mut(SERVER);
                if let Some(server) = server {
                    server.half_trips = server.half_trips.max(trips);
                }
                self.tell(SERVER, |end, now| end.verified(now, ticket, checked));
            }
        }
    }

    fn tell(&mut self, place: Place, what: impl FnOnce(&mut End<'a>, Instant) -> Written) {
        let now = self.now;
        if let Some(end) = self.ends.get_mut(place) {
            let written = what(end, now);
            self.send(place, written);
        }
    }

    /// Puts what an end wrote on the link.
    fn send(&mut self, from: Place, written: Written) {
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

    fn busy_of(&self, place: Place) -> Instant {
        self.busy.get(&place).copied().unwrap_or_default()
    }

    fn trips_of(&self, place: Place) -> u32 {
        self.ends.get(place).map_or(0, |end| end.half_trips)
    }

    fn transmit(&mut self, from: Place, bytes: Bytes, units: &[Written1]) {
        let Some(party) = self.ends.get(from).map(|end| end.party) else {
            return;
        };
        let begins = self.now.max(self.busy_of(from));
        let done = begins + self.settings.link.busy(bytes.len());
        self.busy.insert(from, done);
        let before = self.bytes.get(index(party)).copied().unwrap_or_default();
        if let Some(total) = self.bytes.get_mut(index(party)) {
            *total = total.saturating_add(bytes.len());
        }
        let arrives = done + self.settings.link.latency();
        let said = |label: &str| match from {
            CLIENT | SERVER => label.to_owned(),
            _ => format!("verify: {label}"),
        };
        self.record.writes.push(Write {
            from: party,
            at: self.now.since_epoch(),
            arrives: arrives.since_epoch(),
            half_trips: self.trips_of(from),
            units: match units {
                // What TLS has to say of its own accord: tickets, and that it closes.
                [] => vec![said("TLS")],
                units => units.iter().map(|unit| said(&unit.label)).collect(),
            },
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
    fn cut_off(&mut self, from: Place, before: usize, bytes: Bytes) -> Bytes {
        let Some(cut_at) = self.settings.faults.cut_at.filter(|_| from == CLIENT) else {
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

    fn arrive(&mut self, at: Instant, from: Place, arrival: Arrival) {
        let half_trips = self.trips_of(from).saturating_add(1);
        self.put(at, other(from), half_trips, arrival);
    }

    fn put(&mut self, at: Instant, to: Place, half_trips: u32, arrival: Arrival) {
        self.sent = self.sent.saturating_add(1);
        self.arrivals
            .insert((at, self.sent), (to, half_trips, arrival));
    }

    /// Notes the two moments that count, and lets the client ask once it may.
    fn observe(&mut self, domain: &Domain) {
        let now = self.now;
        self.note_arrival();
        let Some(client) = self.ends.get(CLIENT) else {
            return;
        };
        let here = (now.since_epoch(), client.half_trips);
        let (online, answered) = (client.online, client.answered);
        let mark = |label: &str| Mark {
            at: here.0,
            half_trips: here.1,
            label: label.to_owned(),
        };
        if online && !self.asked {
            self.asked = true;
            self.to_send = Some(here);
            self.record.marks.push(mark(ONLINE));
            self.tell(CLIENT, |client, now| client.ask(now, domain));
        }
        if answered && self.to_answer.is_none() {
            self.to_answer = Some(here);
            self.record.marks.push(mark(ANSWERED));
        }
    }

    /// What it came to, and what was learnt on all connections.
    pub(crate) fn finish(mut self) -> (Run, Vec<EntityEvent>) {
        let [sent, received] = self.bytes;
        let taught: Vec<EntityEvent> = self
            .ends
            .iter_mut()
            .flat_map(|end| core::mem::take(&mut end.taught))
            .collect();
        let mut ends = self.ends.into_iter();
        let (client, server) = (ends.next(), ends.next());
        let run = Run {
            record: self.record,
            to_send: self.to_send,
            to_answer: self.to_answer,
            arrived: self.arrived,
            bytes_to_arrive: self.bytes_to_arrive,
            bytes_sent: sent,
            bytes_received: received,
            reports: taught
                .iter()
                .filter_map(|event| event.report().cloned())
                .collect(),
            server_online: server.as_ref().is_some_and(|server| server.online),
            server_stanzas: server.as_ref().map_or(0, |server| server.received.len()),
            resumed: client.as_ref().is_some_and(|client| client.resumed),
            endings: (
                client.and_then(|client| client.ending),
                server.and_then(|server| server.ending),
            ),
        };
        (run, taught)
    }
}
