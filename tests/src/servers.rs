//! Servers that are connected with each other, and wires that deliver what the test says.
//!
//! TLS is left out, as if it succeeded at once and the certificate proved what the test says; everything else is real
//! bytes.

use std::collections::VecDeque;
use std::time::Duration;

use onetrip_core::bidi::Change;
use onetrip_core::dialback::{Awaited, Checked, ConnectionId, Event as Dialback, Ticket};
use onetrip_core::quickstart::{Cache, Features, Key, Known, Level, Plan, Policy, Transport};
use onetrip_core::stream::{Content, Domain, Env, Instant, Pair, Secret, Stanza};
use onetrip_core::{
    Action, Answer, Connection, DialbackConfig, End, Entity, EntityEvent, Error, Event,
    InboundConfig, OutboundConfig, Request, TlsInfo, UsageError,
};
use onetrip_simulator::Seeded;

/// A domain.
#[must_use]
pub fn domain(name: &str) -> Domain {
    Domain::new(name).expect("a domain")
}

/// A pair of domains.
#[must_use]
pub fn pair(from: &str, to: &str) -> Pair {
    Pair::new(domain(from), domain(to))
}

/// A message between two domains.
#[must_use]
pub fn message(from: &str, to: &str) -> Stanza {
    let text = format!("<message from='juliet@{from}' to='romeo@{to}'><body>hi</body></message>");
    Stanza::parse(text.as_bytes(), Content::Server).expect("a stanza")
}

/// One end of one connection.
pub struct Side {
    /// The machine.
    pub connection: Connection,
    /// Each of its writes.
    pub writes: Vec<String>,
    /// What it has reported.
    pub events: Vec<Event>,
    /// What it asks.
    pub asked: VecDeque<Request>,
    /// What it has to tell the entity.
    pub entity: Vec<EntityEvent>,
    /// Whether it closed its transport.
    pub closed: bool,
    /// What it learns of the certificate of the other end.
    names: Vec<String>,
    /// What is on its way to the other end.
    pub wire: Vec<u8>,
    upgrades: u8,
}

impl Side {
    /// All that it has written.
    #[must_use]
    pub fn written(&self) -> String {
        self.writes.concat()
    }

    /// The stanzas that arrived.
    #[must_use]
    pub fn stanzas(&self) -> usize {
        let is_stanza = |event: &&Event| matches!(event, Event::Stanza(_));
        self.events.iter().filter(is_stanza).count()
    }

    /// What has opened and closed.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        let change = |event: &Event| match event {
            Event::Pair(change) => Some(change.clone()),
            _ => None,
        };
        self.events.iter().filter_map(change).collect()
    }

    /// Whether an event was reported.
    #[must_use]
    pub fn saw(&self, what: impl Fn(&Event) -> bool) -> bool {
        self.events.iter().any(what)
    }

    /// What has become of dialback.
    #[must_use]
    pub fn dialback(&self) -> Vec<Dialback> {
        let outcome = |event: &Event| match event {
            Event::Dialback(outcome) => Some(outcome.clone()),
            _ => None,
        };
        self.events.iter().filter_map(outcome).collect()
    }

    /// The one verification that ended here.
    #[must_use]
    pub fn checked(&self) -> Option<(Ticket, Checked)> {
        let mut checked = self.dialback().into_iter().filter_map(|event| match event {
            Dialback::Checked { ticket, checked } => Some((ticket, checked)),
            _ => None,
        });
        let first = checked.next();
        assert!(checked.next().is_none(), "once");
        first
    }

    /// How it ended.
    #[must_use]
    pub fn end(&self) -> Option<&End> {
        self.events.iter().rev().find_map(|event| match event {
            Event::Closed(end) => Some(end),
            _ => None,
        })
    }
}

/// See the module. Connections are named by their place in `sides`.
pub struct Servers {
    /// Every connection there ever was.
    pub sides: Vec<Side>,
    /// The clock.
    pub now: Instant,
    /// How many bytes are delivered at a time.
    pub piece: usize,
    /// What is random.
    pub entropy: Seeded,
}

impl Default for Servers {
    fn default() -> Self {
        Self {
            sides: Vec::new(),
            now: Instant::EPOCH,
            piece: usize::MAX,
            entropy: Seeded::new(11),
        }
    }
}

/// A configuration of capulet.lit's connection to montague.lit.
#[must_use]
pub fn outbound() -> OutboundConfig {
    let connection = ConnectionId(1);
    let (local, remote) = (domain("capulet.lit"), domain("montague.lit"));
    OutboundConfig::new(connection, local, remote, Transport::DirectTls)
}

/// A configuration of montague.lit's side of it.
#[must_use]
pub fn inbound() -> InboundConfig {
    let domains = vec![domain("montague.lit"), domain("chat.montague.lit")];
    InboundConfig::new(ConnectionId(2), domains, Transport::DirectTls)
}

/// The other side of a connection back to capulet.lit.
#[must_use]
pub fn inbound_at_capulet() -> InboundConfig {
    let domains = vec![domain("capulet.lit"), domain("chat.capulet.lit")];
    let mut config = InboundConfig::new(ConnectionId(3), domains, Transport::DirectTls);
    config.dialback = Some(dialback());
    config
}

/// One secret for all, as the keys are bound to domains.
#[must_use]
pub fn dialback() -> DialbackConfig {
    DialbackConfig::new(Secret::from("s3cr3tf0rd14lb4ck"))
}

/// A plan of this level, with these features remembered if there are any.
#[must_use]
pub fn plan(config: &OutboundConfig, level: Level, remembered: Option<&[(&str, &str)]>) -> Plan {
    let key = Key::new(config.remote.clone(), None, config.transport);
    let mut policy = Policy::default();
    policy.force = Some(level);
    let mut cache = Cache::default();
    if let Some(names) = remembered {
        let element = names.iter().fold(features(), |features, (name, ns)| {
            let mut features = features;
            features.append_child(onetrip_core::minidom::Element::bare(*name, *ns));
            features
        });
        let known = Known::new(
            Features::read(&element),
            Features::default(),
            "EXTERNAL".to_owned(),
            0,
        );
        cache.remember(&key, known);
    }
    cache.plan(&key, &policy)
}

fn features() -> onetrip_core::minidom::Element {
    "<features xmlns='http://etherx.jabber.org/streams'>\
     <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms></features>"
        .parse()
        .expect("features")
}

impl Servers {
    /// A connection that the test has made, to which these names are proved.
    pub fn add(&mut self, connection: Connection, names: &[&str]) -> usize {
        self.sides.push(Side {
            connection,
            writes: Vec::new(),
            events: Vec::new(),
            asked: VecDeque::new(),
            entity: Vec::new(),
            closed: false,
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            wire: Vec::new(),
            upgrades: 0,
        });
        let place = self.sides.len() - 1;
        self.drain(place);
        place
    }

    /// A connection to another server, whose certificate proves these names.
    pub fn open(&mut self, config: OutboundConfig, plan: Plan, names: &[&str]) -> usize {
        let env = &mut Env::new(self.now, &mut self.entropy);
        let connection = Connection::outbound(config, plan, env);
        self.add(connection, names)
    }

    /// The same, planned by what is remembered.
    pub fn remembered(&mut self, entity: &Entity, config: OutboundConfig, names: &[&str]) -> usize {
        let env = &mut Env::new(self.now, &mut self.entropy);
        let connection = entity.connect_to(config, env);
        self.add(connection, names)
    }

    /// The other side of one, to which these names are proved.
    pub fn accept(&mut self, config: InboundConfig, names: &[&str]) -> usize {
        let env = &mut Env::new(self.now, &mut self.entropy);
        let connection = Connection::inbound(config, env);
        self.add(connection, names)
    }

    /// Both sides of a connection that have said all they have to say, step by step. `proved` says whether the certificates
    /// of both ends prove their domains.
    pub fn connect(
        &mut self,
        out: OutboundConfig,
        into: InboundConfig,
        proved: bool,
    ) -> [usize; 2] {
        let plan = plan(&out, Level::Off, None);
        let names: [&[&str]; 2] = if proved {
            [&["montague.lit"], &["capulet.lit"]]
        } else {
            [&[], &[]]
        };
        let ends = [self.open(out, plan, names[0]), self.accept(into, names[1])];
        self.talk(ends);
        ends
    }

    /// Answers what was asked about a key: whether it waits anywhere else.
    fn vouch(&mut self, place: usize) {
        while let Some(Request::Vouch { pair, id }) = self.sides[place].asked.front() {
            let waits = |side: &Side| !side.closed && side.connection.awaits(pair, id);
            let awaited = if self.sides.iter().any(waits) {
                Awaited::Elsewhere
            } else {
                Awaited::Nowhere
            };
            self.sides[place].asked.pop_front();
            let answer = Answer::Awaited(awaited);
            self.with(place, |connection, env| connection.answer(env, answer))
                .expect("it was asked");
        }
    }

    /// A connection of its own to have the oldest key verified that a connection asks about.
    pub fn verifier(&mut self, place: usize, transport: Transport, level: Level) -> usize {
        let Some(Request::Verify(verification)) = self.sides[place].asked.pop_front() else {
            panic!("no key to verify");
        };
        let number = 100 + self.sides.len() as u64;
        let (local, remote) = (verification.pair.to.clone(), verification.pair.from.clone());
        let mut out = OutboundConfig::new(ConnectionId(number), local, remote, transport);
        out.dialback = Some(dialback());
        let plan = plan(&out, level, None);
        let env = &mut Env::new(self.now, &mut self.entropy);
        let connection = Connection::verifier(out, plan, &verification, env).expect("another one");
        self.add(connection, &[])
    }

    /// Has the oldest key that a connection asks about verified, over a connection of its own to a server like `into`;
    /// returns its two ends.
    pub fn dial_back(&mut self, place: usize, into: InboundConfig, level: Level) -> [usize; 2] {
        let one = self.verifier(place, into.transport, level);
        let leg = [one, self.accept(into, &[])];
        self.talk(leg);
        if let Some((ticket, checked)) = self.sides[leg[0]].checked() {
            let result = |connection: &mut Connection, env: &mut Env<'_>| {
                connection.verified(env, ticket, checked)
            };
            self.with(place, result).expect("it was asked");
        }
        leg
    }

    /// Lets both talk until all is said.
    pub fn talk(&mut self, [one, other]: [usize; 2]) {
        for _ in 0..10_000 {
            if self.deliver(one, other) + self.deliver(other, one) == 0 {
                return;
            }
        }
        panic!("they never stop");
    }

    /// Delivers what is on the wire; returns how much that was.
    pub fn deliver(&mut self, from: usize, to: usize) -> usize {
        let bytes = std::mem::take(&mut self.sides[from].wire);
        for piece in bytes.chunks(self.piece.min(bytes.len().max(1))) {
            // An error shows in what is written and reported.
            let _ = self.give(to, piece);
        }
        self.vouch(to);
        bytes.len()
    }

    /// Gives bytes in.
    ///
    /// # Errors
    /// As the connection's.
    pub fn give(&mut self, to: usize, bytes: impl AsRef<[u8]>) -> Result<usize, Error> {
        self.with(to, |connection, env| {
            connection.receive(env, bytes.as_ref())
        })
    }

    /// Calls a method that wants an environment.
    pub fn with<R>(
        &mut self,
        place: usize,
        call: impl FnOnce(&mut Connection, &mut Env<'_>) -> R,
    ) -> R {
        let env = &mut Env::new(self.now, &mut self.entropy);
        let result = call(&mut self.sides[place].connection, env);
        self.drain(place);
        result
    }

    /// Sends a message between two domains.
    ///
    /// # Errors
    /// When it must not be sent here.
    pub fn send(&mut self, place: usize, from: &str, to: &str) -> Result<(), UsageError> {
        let stanza = message(from, to);
        self.with(place, |connection, env| connection.send(env, &stanza))
            .map(drop)
    }

    /// Time passes.
    pub fn wait(&mut self, span: Duration) {
        self.now = self.now + span;
        for place in 0..self.sides.len() {
            self.with(place, |connection, env| connection.handle_timeout(env));
        }
    }

    fn drain(&mut self, place: usize) {
        while let Some(action) = self.sides[place].connection.poll_action() {
            let side = &mut self.sides[place];
            assert!(!side.closed, "something behind the close: {action:?}");
            match action {
                Action::Transmit(bytes) => {
                    side.wire.extend_from_slice(&bytes);
                    let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
                    side.writes.push(text);
                }
                Action::UpgradeSend | Action::UpgradeReceive => {
                    side.upgrades += 1;
                    if side.upgrades == 2 {
                        let mut info = TlsInfo::new();
                        info.names.clone_from(&side.names);
                        let env = &mut Env::new(self.now, &mut self.entropy);
                        let told = side.connection.tls_established(env, info, &[]);
                        assert!(matches!(told, Ok(()) | Err(UsageError::Closed)), "{told:?}");
                    }
                }
                Action::Request(request) => side.asked.push_back(request),
                Action::Event(event) => side.events.push(event),
                Action::Entity(event) => side.entity.push(event),
                Action::Close => side.closed = true,
                _ => {}
            }
        }
    }
}
