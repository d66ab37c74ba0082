//! A stream between two clients, from session-initiate to the answer to its first stanza, in virtual time.
//!
//! The link is what lies between the two, whichever way they take: a stanza by way of the servers and bytes on a socket both
//! take one one-way trip. TCP's own round trip counts, and so does each answer of the SOCKS5 handshake. The connections to
//! the servers are there, and what the other client supports is known.

use core::time::Duration;
use std::collections::BTreeMap;

use bytes::Bytes;
use minidom::Element;
use onetrip_core::Unit;
use onetrip_core::e2e::{Config, EndToEnd, Event, HostAction, Streamhost};
use onetrip_core::jingle::s5b::{Attempt, Candidate, CandidateKind, Link as Socket};
use onetrip_core::jingle::session;
use onetrip_core::jingle::socks5::Timeouts;
use onetrip_core::stream::{Build as _, Content, Env, Instant, Jid, Stanza, ns};
use onetrip_tls::rustls::{ClientPairTls, RustlsSession};
use onetrip_tls::{EndOutput, SecuredEnd};
use onetrip_trace::{Mark, Party, Record, Write};

use crate::certificates::{CertificateError, Certificates};
use crate::entropy::Seeded;
use crate::run::{ANSWERED, LabError, ONLINE, Run, Settings};
use crate::strategy::{Carrier, Strategy};

const INITIATOR: usize = 0;
const RESPONDER: usize = 1;
/// The most steps a run may take: far more than any needs.
const MAX_STEPS: usize = 10_000;

/// Runs it.
pub(crate) fn run(
    certificates: &Certificates,
    carrier: Carrier,
    settings: &Settings,
) -> Result<Run, LabError> {
    let identities = [certificates.peer_identity(), certificates.server_identity()];
    let mut tls = Vec::new();
    for identity in &identities {
        let made = ClientPairTls::new(identity, settings.tls);
        tls.push(made.map_err(CertificateError::from)?);
    }
    let mut pair = Pair::new(&tls, carrier, *settings)?;
    for _ in 0..MAX_STEPS {
        if pair.to_answer.is_some() || !pair.step()? {
            break;
        }
    }
    Ok(pair.finish())
}

enum Arrival {
    Stanza(Stanza),
    /// TCP is there, at the end that has made the connection.
    Connected,
    /// TCP is there, at the streamhost.
    Accepted,
    Bytes(Bytes),
}

struct End<'a> {
    address: Jid,
    config: Config,
    tls: &'a ClientPairTls,
    machine: Option<SecuredEnd<RustlsSession>>,
    entropy: Seeded,
    /// One-way trips so far, along the chain of causes.
    half_trips: u32,
    bytes: usize,
    units: Vec<Unit>,
    ended: bool,
}

/// Both ends, the one streamhost, and what is between them.
struct Pair<'a> {
    ends: [End<'a>; 2],
    host: Streamhost,
    attempt: Option<Attempt>,
    taken: bool,
    settings: Settings,
    now: Instant,
    arrivals: BTreeMap<(Instant, u64), (usize, u32, Arrival)>,
    count: u64,
    busy: [Instant; 2],
    record: Record,
    to_send: Option<(Duration, u32)>,
    arrived: Option<(Duration, u32)>,
    bytes_to_arrive: usize,
    to_answer: Option<(Duration, u32)>,
    stanzas: usize,
}

impl<'a> Pair<'a> {
    fn new(
        tls: &'a [ClientPairTls],
        carrier: Carrier,
        settings: Settings,
    ) -> Result<Self, LabError> {
        let mut seeds = Seeded::new(settings.seed);
        let mut end = |at: usize, address: &str| {
            let tls = tls.get(at).ok_or(LabError::Address)?;
            let mut session = session::Config::new(Some(tls.certificate().to_vec()));
            session.s5b = carrier == Carrier::Socks5;
            let mut config = Config::new(session);
            config.trace = true;
            Ok::<_, LabError>(End {
                address: address.parse().map_err(|_| LabError::Address)?,
                config,
                tls,
                machine: None,
                entropy: Seeded::new(seeds.number()),
                half_trips: 0,
                bytes: 0,
                units: Vec::new(),
                ended: false,
            })
        };
        let ends = [
            end(INITIATOR, "romeo@im.example.com/orchard")?,
            end(RESPONDER, "juliet@im.example.com/balcony")?,
        ];
        let mut this = Self {
            ends,
            host: Streamhost::new(Timeouts::default(), 1),
            attempt: None,
            taken: false,
            settings,
            now: Instant::EPOCH,
            arrivals: BTreeMap::new(),
            count: 0,
            busy: [Instant::EPOCH; 2],
            record: Record::new(&Strategy::Clients(carrier).name()),
            to_send: None,
            arrived: None,
            bytes_to_arrive: 0,
            to_answer: None,
            stanzas: 0,
        };
        this.initiate()?;
        Ok(this)
    }

    fn initiate(&mut self) -> Result<(), LabError> {
        let [end, other] = &mut self.ends;
        let env = &mut Env::new(self.now, &mut end.entropy);
        let (us, peer) = (end.address.clone(), other.address.clone());
        let begun = EndToEnd::initiate(end.config.clone(), env, us, peer, None, Vec::new());
        let begun = begun.map_err(|error| LabError::Rehearsal(error.to_string()))?;
        begin(end, begun, self.now)?;
        self.drain(INITIATOR);
        Ok(())
    }

    /// Lets the next thing happen; `false` when nothing will.
    fn step(&mut self) -> Result<bool, LabError> {
        let arrival = self.arrivals.keys().next().copied();
        let deadlines = self
            .ends
            .iter()
            .filter_map(|end| end.machine.as_ref()?.poll_timeout());
        let timer = deadlines.min();
        match (arrival, timer) {
            (Some((at, _)), timer) if timer.is_none_or(|timer| at <= timer) => {
                let Some((_, (to, half_trips, arrival))) = self.arrivals.pop_first() else {
                    return Ok(false);
                };
                self.now = at;
                if let Some(end) = self.ends.get_mut(to) {
                    end.half_trips = end.half_trips.max(half_trips);
                }
                self.on_arrival(to, arrival)?;
                self.drain(to);
                Ok(true)
            }
            (_, Some(timer)) => {
                self.now = self.now.max(timer);
                for to in [INITIATOR, RESPONDER] {
                    self.act(to, |machine, env| machine.handle_timeout(env));
                    self.drain(to);
                }
                Ok(!self.ends.iter().all(|end| end.ended))
            }
            _ => Ok(false),
        }
    }

    fn act(&mut self, to: usize, act: impl FnOnce(&mut SecuredEnd<RustlsSession>, &mut Env<'_>)) {
        if let Some(end) = self.ends.get_mut(to) {
            if let Some(machine) = &mut end.machine {
                act(machine, &mut Env::new(self.now, &mut end.entropy));
            }
        }
    }

    fn on_arrival(&mut self, to: usize, arrival: Arrival) -> Result<(), LabError> {
        match (arrival, self.attempt) {
            (Arrival::Stanza(stanza), _) if self.is_new(to) => self.receive_first(to, &stanza)?,
            (Arrival::Stanza(stanza), _) => self.act(to, |machine, env| {
                machine.handle(env, &stanza);
            }),
            (Arrival::Connected, Some(attempt)) => {
                self.act(to, |machine, env| machine.connected(env, attempt));
            }
            (Arrival::Accepted, _) => self.host.accepted(self.now, 1),
            (Arrival::Bytes(bytes), _) if to == RESPONDER => self.on_host(&bytes),
            (Arrival::Bytes(bytes), Some(attempt)) => {
                self.act(to, |machine, env| {
                    machine.receive(env, Socket::Made(attempt), &bytes);
                });
            }
            _ => {}
        }
        Ok(())
    }

    fn is_new(&self, to: usize) -> bool {
        self.ends.get(to).is_some_and(|end| end.machine.is_none())
    }

    /// The responder's user agrees at once.
    fn receive_first(&mut self, to: usize, stanza: &Stanza) -> Result<(), LabError> {
        let Some(end) = self.ends.get_mut(to) else {
            return Ok(());
        };
        let env = &mut Env::new(self.now, &mut end.entropy);
        let us = end.address.clone();
        let Ok(begun) = EndToEnd::incoming(end.config.clone(), env, us, stanza, true) else {
            return Ok(());
        };
        begin(end, begun, self.now)?;
        let kind = CandidateKind::Direct;
        let host = Candidate::new("a", kind, end.address.clone(), "192.0.2.1", 5086, 0);
        self.act(to, |machine, env| machine.accept(env, vec![host]));
        let machine = self.ends.get(to).and_then(|end| end.machine.as_ref());
        let expected = machine.map(|machine| machine.end().expected());
        let _ = self.host.expect(expected.unwrap_or_default());
        Ok(())
    }

    /// Bytes reach the streamhost, or the session that has taken the connection from it.
    fn on_host(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        if !self.taken {
            let used = self.host.receive(self.now, 1, bytes);
            rest = bytes.get(used..).unwrap_or_default();
            while let Some(action) = self.host.poll_action() {
                match action {
                    HostAction::Write(_, bytes) => self.on_socket(RESPONDER, &bytes),
                    HostAction::Taken(..) => {
                        self.taken = true;
                        self.act(RESPONDER, |machine, env| machine.taken(env));
                    }
                    _ => {}
                }
            }
        }
        if self.taken && !rest.is_empty() {
            self.act(RESPONDER, |machine, env| {
                machine.receive(env, Socket::Taken, rest);
            });
        }
    }

    fn drain(&mut self, from: usize) {
        loop {
            let machine = self.ends.get_mut(from).and_then(|end| end.machine.as_mut());
            let Some(output) = machine.and_then(SecuredEnd::poll_output) else {
                return;
            };
            match output {
                EndOutput::Send(stanza) => self.on_stanza(from, &stanza),
                EndOutput::Connect { attempt, .. } => {
                    self.attempt = Some(attempt);
                    self.arrive(
                        self.now + self.settings.link.latency(),
                        from,
                        1,
                        Arrival::Accepted,
                    );
                    let there = self.now + self.settings.link.round_trip;
                    let trips = self.trips(from).saturating_add(2);
                    self.put(there, from, trips, Arrival::Connected);
                }
                EndOutput::Write(_, bytes) => self.on_socket(from, &bytes),
                EndOutput::Trace(unit) => {
                    if let Some(end) = self.ends.get_mut(from) {
                        end.units.push(unit);
                    }
                }
                EndOutput::Event(event) => self.on_event(from, event),
                _ => {}
            }
        }
    }

    fn on_event(&mut self, from: usize, event: Event) {
        let here = (self.now.since_epoch(), self.trips(from));
        match event {
            Event::Online { .. } if from == INITIATOR => {
                self.mark(from, ONLINE);
                self.to_send = Some(here);
                self.say(from, "get");
            }
            Event::Stanza(_) if from == RESPONDER => {
                self.stanzas = self.stanzas.saturating_add(1);
                if self.arrived.is_none() {
                    self.arrived = Some(here);
                    self.bytes_to_arrive = self.ends.iter().map(|end| end.bytes).sum();
                }
                self.say(from, "result");
            }
            Event::Stanza(_) => {
                self.mark(from, ANSWERED);
                self.to_answer = Some(here);
            }
            Event::Ended(_) => {
                if let Some(end) = self.ends.get_mut(from) {
                    end.ended = true;
                }
            }
            _ => {}
        }
    }

    /// A ping, or its answer.
    fn say(&mut self, from: usize, kind: &str) {
        let iq = Element::bare("iq", ns::CLIENT)
            .with_attr("type", kind)
            .with_attr("id", "onetrip");
        let iq = match kind {
            "get" => iq.with_child(Element::bare("ping", ns::PING)),
            _ => iq,
        };
        if let Ok(stanza) = Stanza::from_element(&iq) {
            self.act(from, |machine, env| {
                let _ = machine.send(env, &stanza);
            });
        }
    }

    fn mark(&mut self, from: usize, label: &str) {
        self.record.marks.push(Mark {
            at: self.now.since_epoch(),
            half_trips: self.trips(from),
            label: label.to_owned(),
        });
    }

    fn trips(&self, of: usize) -> u32 {
        self.ends.get(of).map_or(0, |end| end.half_trips)
    }

    /// The server stamps it and passes it on.
    fn on_stanza(&mut self, from: usize, stanza: &Stanza) {
        let address = self.ends.get(from).map(|end| end.address.to_string());
        let stanza = stanza
            .element()
            .with_attr("from", address.unwrap_or_default());
        let label = label(&stanza);
        let Ok(written) = Stanza::from_element(&stanza) else {
            return;
        };
        let arrives = self.write(from, written.bytes().len(), vec![label], false);
        let parsed = Stanza::parse(written.bytes(), Content::Client);
        if let Ok(stanza) = parsed {
            self.arrive(arrives, from, 1, Arrival::Stanza(stanza));
        }
    }

    fn on_socket(&mut self, from: usize, bytes: &Bytes) {
        let units = self
            .ends
            .get_mut(from)
            .map(|end| core::mem::take(&mut end.units));
        let mut labels: Vec<String> = Vec::new();
        for unit in units.into_iter().flatten() {
            if unit.direction == onetrip_core::Direction::Sent {
                labels.push(unit.label);
            }
        }
        let secured = !labels.is_empty();
        match bytes.first() {
            Some(5) => labels.push("SOCKS5".to_owned()),
            Some(0x14..=0x16) => labels.insert(0, "TLS handshake".to_owned()),
            _ => {}
        }
        let arrives = self.write(from, bytes.len(), labels, secured);
        let piece = self.settings.faults.split.unwrap_or(usize::MAX).max(1);
        for piece in bytes.chunks(piece) {
            let piece = Arrival::Bytes(bytes.slice_ref(piece));
            self.arrive(arrives, from, 1, piece);
        }
    }

    /// Notes a write; returns when it has arrived.
    fn write(&mut self, from: usize, bytes: usize, units: Vec<String>, secured: bool) -> Instant {
        let begins = self
            .busy
            .get(from)
            .copied()
            .unwrap_or_default()
            .max(self.now);
        let done = begins + self.settings.link.busy(bytes);
        if let Some(busy) = self.busy.get_mut(from) {
            *busy = done;
        }
        if let Some(end) = self.ends.get_mut(from) {
            end.bytes = end.bytes.saturating_add(bytes);
        }
        let arrives = done + self.settings.link.latency();
        self.record.writes.push(Write {
            from: match from {
                INITIATOR => Party::Initiator,
                _ => Party::Receiver,
            },
            at: self.now.since_epoch(),
            arrives: arrives.since_epoch(),
            half_trips: self.trips(from),
            units,
            secured,
            bytes,
        });
        arrives
    }

    fn arrive(&mut self, at: Instant, from: usize, trips: u32, arrival: Arrival) {
        let trips = self.trips(from).saturating_add(trips);
        let to = if from == INITIATOR {
            RESPONDER
        } else {
            INITIATOR
        };
        self.put(at, to, trips, arrival);
    }

    fn put(&mut self, at: Instant, to: usize, trips: u32, arrival: Arrival) {
        self.count = self.count.saturating_add(1);
        self.arrivals.insert((at, self.count), (to, trips, arrival));
    }

    fn finish(self) -> Run {
        let [initiator, responder] = self.ends;
        Run {
            record: self.record,
            to_send: self.to_send,
            to_answer: self.to_answer,
            arrived: self.arrived,
            bytes_to_arrive: self.bytes_to_arrive,
            bytes_sent: initiator.bytes,
            bytes_received: responder.bytes,
            reports: Vec::new(),
            endings: (None, None),
            server_online: self.arrived.is_some(),
            server_stanzas: self.stanzas,
            resumed: false,
        }
    }
}

fn begin(end: &mut End<'_>, machine: EndToEnd, now: Instant) -> Result<(), LabError> {
    let env = &mut Env::new(now, &mut end.entropy);
    let secured = end.tls.secure(machine, env);
    end.machine = Some(secured.map_err(CertificateError::from)?);
    Ok(())
}

/// What a stanza of the signalling is for.
fn label(stanza: &Element) -> String {
    let child = stanza.children().next();
    match child.map(|child| child.attr("action").unwrap_or(child.name())) {
        Some(what) => what.to_owned(),
        None => stanza.attr("type").unwrap_or_default().to_owned(),
    }
}
