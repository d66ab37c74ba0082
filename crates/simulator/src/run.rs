//! One login, from the first packet of TCP to the answer to a stanza, in virtual time.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Mutex;

use bytes::Bytes;
use onetrip_core::negotiation::sasl;
use onetrip_core::quickstart::{Cache, Key, Level, Policy, ReceiverConfig, Report, Transport};
use onetrip_core::stream::{Domain, Env, Instant, Jid, Secret};
use onetrip_core::{
    ClientConfig, Connection, End as Ending, Entity, EntityEvent, InstantResume, Management,
    Registry, ServerConfig,
};
use onetrip_tls::Secured;
use onetrip_tls::rustls::{RustlsSession, Versions};
use onetrip_trace::{Mark, Party, Record, Write};

use crate::accounts::Accounts;
use crate::certificates::{CertificateError, Certificates};
use crate::end::{End, Written, Written1};
use crate::entropy::Seeded;
use crate::link::{Faults, Link};
use crate::strategy::{Comeback, Historical, Login, Strategy};

/// What is simulated.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The link.
    pub link: Link,
    /// What goes wrong on it.
    pub faults: Faults,
    /// The version of TLS.
    pub tls: Versions,
    /// Where the bytes that look random begin.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            link: Link::default(),
            faults: Faults::default(),
            tls: Versions::Tls13,
            seed: 1,
        }
    }
}

/// What a simulated login came to.
#[derive(Debug)]
#[non_exhaustive]
pub struct Run {
    /// Everything that was written, to the answer or the end.
    pub record: Record,
    /// When the client could send its first stanza, and the one-way trips before that.
    pub to_send: Option<(Duration, u32)>,
    /// When the answer to it arrived, and the one-way trips before that.
    pub to_answer: Option<(Duration, u32)>,
    /// Bytes the client sent and received up to then.
    pub bytes_sent: usize,
    /// See `bytes_sent`.
    pub bytes_received: usize,
    /// What the attempt taught.
    pub reports: Vec<Report>,
    /// How each end ended, if it did.
    pub endings: (Option<Ending>, Option<Ending>),
    /// Whether the server bound a resource for the client.
    pub server_online: bool,
    /// How many stanzas the server accepted.
    pub server_stanzas: usize,
}

impl Run {
    /// Whether a stanza was sent and answered.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.to_answer.is_some()
    }

    /// What was written until the client could send (digest §4.1).
    #[must_use]
    pub fn negotiation(&self) -> Record {
        self.record.until(ONLINE)
    }
}

/// The mark at which a stanza may be sent.
pub const ONLINE: &str = "online: stanzas may be sent";
/// The mark at which its answer has come.
pub const ANSWERED: &str = "the first stanza is answered";

/// A client and a server with all they need, to run logins between them again and again.
#[derive(Debug)]
pub struct Lab {
    certificates: Certificates,
    accounts: Accounts,
    domain: Domain,
    account: Jid,
    password: String,
    offered: Vec<sasl::Mechanism>,
    pipelining: bool,
    /// The server's sessions and tokens.
    registry: Mutex<Registry>,
}

/// How long the server of the lab keeps a session.
const KEEP: Duration = Duration::from_secs(300);

/// What cannot be simulated.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// Certificates cannot be made.
    #[error(transparent)]
    Certificates(#[from] CertificateError),
    /// An address of the lab does not parse; it is our own.
    #[error("the lab's own address is none")]
    Address,
    /// The step-by-step login that is to fill the cache failed.
    #[error("the login that fills the cache failed: {0}")]
    Rehearsal(String),
}

const PASSWORD: &str = "r0m30myr0m30";

impl Lab {
    /// A lab with one account.
    ///
    /// # Errors
    /// [`LabError`] when certificates cannot be made.
    pub fn new() -> Result<Self, LabError> {
        let account: Jid = "juliet@im.example.com/balcony"
            .parse()
            .map_err(|_| LabError::Address)?;
        let domain = account.domain().clone();
        let certificates = Certificates::new(core::slice::from_ref(&domain))?;
        let mut accounts = Accounts::new();
        let mut entropy = Seeded::new(0);
        accounts.add(
            &account,
            PASSWORD,
            &mut Env::new(Instant::EPOCH, &mut entropy),
        );
        if let Some(local) = account.local() {
            accounts.certify(local);
        }
        Ok(Self {
            certificates,
            accounts,
            domain,
            account,
            password: PASSWORD.to_owned(),
            offered: sasl::Mechanism::ALL
                .into_iter()
                .rev()
                .filter(|mechanism| *mechanism != sasl::Mechanism::Anonymous)
                .collect(),
            pipelining: true,
            registry: Mutex::new(Registry::new(KEEP)),
        })
    }

    /// The server offers these mechanisms and no others.
    pub fn offer(&mut self, mechanisms: Vec<sasl::Mechanism>) {
        self.offered = mechanisms;
    }

    /// Whether the server takes part in pipelining.
    pub fn set_pipelining(&mut self, on: bool) {
        self.pipelining = on;
    }

    /// The client believes this to be the password.
    pub fn believe_password(&mut self, password: &str) {
        password.clone_into(&mut self.password);
    }

    /// What the client's memory is kept by.
    #[must_use]
    pub fn key(&self, transport: Transport) -> Key {
        Key::new(self.domain.clone(), Some(&self.account), transport)
    }

    /// What the client is configured with.
    #[must_use]
    pub fn client_config(&self, strategy: &Strategy) -> ClientConfig {
        let mut sasl = match strategy.login {
            Login::External => sasl::InitiatorConfig::external(None),
            Login::Scram | Login::Plain => sasl::InitiatorConfig::password(
                self.account.local().unwrap_or_default(),
                Secret::from(self.password.as_str()),
            ),
        };
        sasl.allowed = strategy.login.mechanisms();
        let mut config = ClientConfig::new(self.account.clone(), strategy.transport, sasl);
        config.management = strategy.comeback.map(|_| Management::default());
        config.trace = true;
        config
    }

    /// What the server is configured with.
    #[must_use]
    pub fn server_config(&self, strategy: &Strategy) -> ServerConfig {
        let mut config = ServerConfig::new(
            vec![self.domain.clone()],
            strategy.transport,
            sasl::ReceiverConfig::new(self.offered.clone()),
        );
        let mut quickstart = ReceiverConfig::default();
        quickstart.advertise = self.pipelining;
        quickstart.proactive_header = strategy.historical == Some(Historical::Xep0305);
        config.quickstart = quickstart;
        config.management = strategy.comeback.map(|_| Default::default());
        config.instant_resume =
            (strategy.comeback == Some(Comeback::Token)).then(InstantResume::default);
        config.trace = true;
        config
    }

    /// Runs a login. Whatever its strategy assumes was learnt from a step-by-step login before.
    ///
    /// # Errors
    /// [`LabError`] when the lab itself does not work; a login that fails is a [`Run`].
    pub fn run(&self, strategy: &Strategy, settings: &Settings) -> Result<Run, LabError> {
        let mut policy = Policy::default();
        let mut entity = Entity::default();
        if strategy.level != Level::Off || strategy.comeback.is_some() {
            policy.force = Some(Level::Off);
            entity = Entity::new(Cache::default(), policy.clone());
            let quiet = Settings {
                faults: Faults::default(),
                ..*settings
            };
            let mut world = self.world(&strategy.classic(), &mut entity, &quiet)?;
            world.run(&self.domain);
            // What is to be resumed has been cut off before.
            world.cut();
            let (rehearsal, taught) = world.finish();
            for event in taught {
                let _ = entity.handle(event);
            }
            if !rehearsal.ok() {
                return Err(LabError::Rehearsal(format!("{:?}", rehearsal.endings)));
            }
        }
        policy.force = Some(strategy.level);
        entity.set_policy(policy);
        Ok(self.attempt(strategy, &mut entity, settings)?.0)
    }

    /// Runs one connection with what `entity` remembers.
    ///
    /// # Errors
    /// As [`Lab::run`].
    pub fn attempt(
        &self,
        strategy: &Strategy,
        entity: &mut Entity,
        settings: &Settings,
    ) -> Result<(Run, Vec<EntityEvent>), LabError> {
        let mut world = self.world(strategy, entity, settings)?;
        world.run(&self.domain);
        Ok(world.finish())
    }

    fn world(
        &self,
        strategy: &Strategy,
        entity: &mut Entity,
        settings: &Settings,
    ) -> Result<World<'_>, LabError> {
        let certified = strategy.login == Login::External;
        let half_rtt = strategy.historical == Some(Historical::Xep0305);
        let client_tls = self.certificates.client(settings.tls, certified)?;
        let server_tls = self
            .certificates
            .server(settings.tls, certified, half_rtt)?;
        let mut seeds = Seeded::new(settings.seed);
        let (mut client_entropy, mut server_entropy) =
            (Seeded::new(seeds.number()), Seeded::new(seeds.number()));
        // TCP takes a round trip before the client may write (digest §4.2).
        let start = Instant::EPOCH + settings.link.round_trip;
        let connection = entity.connect(
            self.client_config(strategy),
            &mut Env::new(start, &mut client_entropy),
        );
        let session =
            RustlsSession::client(client_tls, &self.domain).map_err(CertificateError::from)?;
        let client = End::new(
            Party::Initiator,
            Secured::new(connection, session),
            &self.accounts,
            &self.registry,
            client_entropy,
        );
        let connection = Connection::server(
            self.server_config(strategy),
            &mut Env::new(start, &mut server_entropy),
        );
        let session = RustlsSession::server(server_tls).map_err(CertificateError::from)?;
        let server = End::new(
            Party::Receiver,
            Secured::new(connection, session),
            &self.accounts,
            &self.registry,
            server_entropy,
        );
        Ok(World::new(client, server, *settings, strategy, start))
    }
}

/// What is on its way.
#[derive(Debug)]
enum Arrival {
    Bytes(Bytes),
    Eof,
}

/// The two ends, the clock and what is between them.
struct World<'a> {
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
    fn new(
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
            unit_by_unit: strategy.historical == Some(Historical::Rfc6120),
            record: Record::new(&strategy.name()),
            now: start,
            arrivals: BTreeMap::new(),
            sent: 0,
            busy: [Instant::EPOCH; 2],
            bytes: [0; 2],
            asked: false,
            to_send: None,
            to_answer: None,
            cut: false,
        }
    }

    fn run(&mut self, domain: &Domain) {
        let start = self.now;
        self.client.half_trips = 2;
        self.server.half_trips = 1;
        let first = self.client.drain(start);
        self.send(Party::Initiator, first);
        let first = self.server.drain(start);
        self.send(Party::Receiver, first);
        for _ in 0..MAX_STEPS {
            self.observe(domain);
            if self.to_answer.is_some() || !self.step() {
                return;
            }
        }
    }

    /// The connection is gone, and nobody knows yet what has arrived.
    fn cut(&mut self) {
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
        if self.client.answered && self.to_answer.is_none() {
            self.to_answer = Some(here);
            self.record.marks.push(mark(ANSWERED));
        }
    }

    fn finish(self) -> (Run, Vec<EntityEvent>) {
        let [sent, received] = self.bytes;
        let run = Run {
            record: self.record,
            to_send: self.to_send,
            to_answer: self.to_answer,
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
