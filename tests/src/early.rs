//! Clients and servers over real TLS in memory, with all that outlives a connection, and a look at what went as early data.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use onetrip_core::fast;
use onetrip_core::negotiation::sasl;
use onetrip_core::quickstart::{Plan, Transport};
use onetrip_core::stream::{Content, Env, Instant, Jid, Secret, Stanza};
use onetrip_core::{
    Answer, ClientConfig, Connection, Decision, End, Entity, Event, FastLogin, Management,
    Registry, Request, Sasl2Login, Sasl2Offer, ServerConfig, TlsInfo,
};
use onetrip_simulator::Seeded;
use onetrip_simulator::certificates::Certificates;
use onetrip_tls::rustls::rustls::server::StoresServerSessions;
use onetrip_tls::rustls::rustls::{self, ClientConfig as ClientTls, ServerConfig as ServerTls};
use onetrip_tls::rustls::{RustlsSession, Versions, sending_early_data, taking_early_data};
use onetrip_tls::{Output, Secured, TlsError, TlsSession, TlsState};

/// When the clock begins.
const DATE: fast::DateTime = fast::DateTime::from_unix_seconds(1_600_000_000);

/// A TLS session that keeps what went through it.
#[derive(Debug)]
pub struct Watched {
    inner: RustlsSession,
    /// What was written, or read, as early data.
    pub early: BytesMut,
    /// What was written otherwise.
    pub plain: BytesMut,
}

impl TlsSession for Watched {
    fn read(&mut self, cipher: &[u8], plain: &mut BytesMut) -> Result<(), TlsError> {
        self.inner.read(cipher, plain)
    }

    fn write(&mut self, plain: &[u8], cipher: &mut BytesMut) -> Result<(), TlsError> {
        self.plain.extend_from_slice(plain);
        self.inner.write(plain, cipher)
    }

    fn state(&self) -> TlsState {
        self.inner.state()
    }

    fn info(&self) -> TlsInfo {
        self.inner.info()
    }

    fn close(&mut self, cipher: &mut BytesMut) {
        self.inner.close(cipher);
    }

    fn write_early(&mut self, plain: &[u8], cipher: &mut BytesMut) -> bool {
        let taken = self.inner.write_early(plain, cipher);
        if taken {
            self.early.extend_from_slice(plain);
        }
        taken
    }

    fn read_early(&mut self, plain: &mut BytesMut) {
        let before = plain.len();
        self.inner.read_early(plain);
        self.early.extend_from_slice(&plain[before..]);
    }
}

/// One end of one connection.
pub struct Side {
    /// The machine.
    pub secured: Secured<Watched>,
    /// What it has reported.
    pub events: Vec<Event>,
    /// The retry that the entity has planned.
    pub retry: Option<Plan>,
    /// The writes that are on their way.
    pub wire: VecDeque<Bytes>,
    /// Whether it closed its transport.
    pub closed: bool,
    session: Option<String>,
}

impl Side {
    /// Whether it is online, and whether an earlier session goes on.
    #[must_use]
    pub fn online(&self) -> Option<bool> {
        self.events.iter().find_map(|event| match event {
            Event::Online { resumed, .. } => Some(*resumed),
            _ => None,
        })
    }

    /// The stanzas that arrived.
    #[must_use]
    pub fn stanzas(&self) -> usize {
        let stanza = |event: &&Event| matches!(event, Event::Stanza(_));
        self.events.iter().filter(stanza).count()
    }

    /// How it ended.
    #[must_use]
    pub fn end(&self) -> Option<&End> {
        self.events.iter().find_map(|event| match event {
            Event::Closed(end) => Some(end),
            _ => None,
        })
    }

    /// What went as early data.
    #[must_use]
    pub fn early(&self) -> String {
        String::from_utf8(self.secured.session().early.to_vec()).expect("UTF-8")
    }

    /// What it has written otherwise.
    #[must_use]
    pub fn plain(&self) -> String {
        String::from_utf8(self.secured.session().plain.to_vec()).expect("UTF-8")
    }
}

/// Remembers TLS sessions for ever: two nodes of a server that share what they know, and never in time.
#[derive(Debug)]
pub struct NeverForgets(Arc<dyn StoresServerSessions>);

impl NeverForgets {
    /// Knows nothing yet.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self(rustls::server::ServerSessionMemoryCache::new(64)))
    }
}

impl StoresServerSessions for NeverForgets {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.0.put(key, value)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(key)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(key)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

/// See the module.
pub struct Room {
    /// The client's memory.
    pub entity: Entity,
    /// The server's sessions and tokens.
    pub registry: Registry,
    /// Every connection there ever was.
    pub sides: Vec<Side>,
    /// The client's TLS.
    pub client_tls: Arc<ClientTls>,
    /// The server's.
    pub server_tls: Arc<ServerTls>,
    /// How TLS begins.
    pub transport: Transport,
    /// Whether the client allows early data.
    pub sends: bool,
    /// Whether the server offers to take it.
    pub takes: bool,
    /// The mechanisms that the client asks tokens for.
    pub mechanisms: Vec<&'static str>,
    /// The client's account.
    pub account: Jid,
    entropy: Seeded,
}

impl Default for Room {
    fn default() -> Self {
        Self::with(Versions::Tls13)
    }
}

impl Room {
    /// Both ends use early data, and nobody is there yet.
    #[must_use]
    pub fn with(versions: Versions) -> Self {
        let account: Jid = "juliet@capulet.test".parse().expect("an address");
        let certificates = Certificates::new(&[account.domain().clone()]).expect("certificates");
        let client = certificates.client(versions, false).expect("TLS");
        let server = certificates.server(versions, false, false).expect("TLS");
        let mut registry = Registry::new(Duration::from_secs(300));
        registry.set_date(Instant::EPOCH, DATE);
        Self {
            entity: Entity::default(),
            registry,
            sides: Vec::new(),
            client_tls: sending_early_data(client),
            server_tls: taking_early_data(server),
            transport: Transport::DirectTls,
            sends: true,
            takes: true,
            mechanisms: vec!["HT-SHA-256-EXPR", "HT-SHA-256-ENDP", "HT-SHA-256-NONE"],
            account,
            entropy: Seeded::new(7),
        }
    }

    fn add(&mut self, connection: Connection, session: RustlsSession) -> usize {
        let watched = Watched {
            inner: session,
            early: BytesMut::new(),
            plain: BytesMut::new(),
        };
        self.sides.push(Side {
            secured: Secured::new(connection, watched),
            events: Vec::new(),
            retry: None,
            wire: VecDeque::new(),
            closed: false,
            session: None,
        });
        let place = self.sides.len() - 1;
        self.drain(place);
        place
    }

    /// A client's connection.
    pub fn client(&mut self) -> usize {
        let (config, tls) = self.client_parts();
        let env = &mut Env::new(Instant::EPOCH, &mut self.entropy);
        let connection = self.entity.connect(config, env);
        self.add(connection, tls)
    }

    /// The same by a given plan: a retry.
    pub fn client_as(&mut self, plan: Plan) -> usize {
        let (config, tls) = self.client_parts();
        let env = &mut Env::new(Instant::EPOCH, &mut self.entropy);
        let connection = self.entity.connect_as(config, plan, env);
        self.add(connection, tls)
    }

    fn client_parts(&self) -> (ClientConfig, RustlsSession) {
        let mut sasl = sasl::InitiatorConfig::password("juliet", Secret::from("secret"));
        sasl.allowed = vec![sasl::Mechanism::Plain];
        let mut config = ClientConfig::new(self.account.clone(), self.transport, sasl);
        config.management = Some(Management::default());
        let mut policy = fast::Policy::new(self.mechanisms.iter().copied());
        policy.early = self.sends;
        let mut login = Sasl2Login::default();
        login.fast = Some(FastLogin::new(policy));
        config.sasl2 = Some(login);
        let tls = Arc::clone(&self.client_tls);
        let tls = RustlsSession::client(tls, self.account.domain()).expect("TLS");
        (config, tls)
    }

    /// A server's connection.
    pub fn server(&mut self) -> usize {
        let mechanisms = sasl::ReceiverConfig::new(vec![sasl::Mechanism::Plain]);
        let domains = vec![self.account.domain().clone()];
        let mut config = ServerConfig::new(domains, self.transport, mechanisms);
        config.management = Some(Default::default());
        let mut offer = Sasl2Offer::default();
        offer.fast = true;
        offer.early = self.takes;
        config.sasl2 = Some(offer);
        let env = &mut Env::new(Instant::EPOCH, &mut self.entropy);
        let connection = Connection::server(config, env);
        let tls = RustlsSession::server(Arc::clone(&self.server_tls)).expect("TLS");
        self.add(connection, tls)
    }

    /// A client and a server that have said all they have to say, and how many exchanges it took until the client was
    /// online.
    pub fn log_in(&mut self) -> ([usize; 2], usize) {
        let pair = [self.client(), self.server()];
        let online = self.talk(pair);
        (pair, online)
    }

    /// Lets both talk until all is said.
    pub fn talk(&mut self, [client, server]: [usize; 2]) -> usize {
        let mut online = 0;
        for exchange in 1..100 {
            let moved = self.deliver(client, server) + self.deliver(server, client);
            if online == 0 && self.sides[client].online().is_some() {
                online = exchange;
            }
            if moved == 0 {
                return online;
            }
        }
        panic!("they never stop");
    }

    /// Delivers what is on the wire; returns how much that was.
    pub fn deliver(&mut self, from: usize, to: usize) -> usize {
        let bytes = self.take_wire(from);
        self.give(to, &bytes);
        bytes.len()
    }

    /// Takes what is on the wire.
    pub fn take_wire(&mut self, from: usize) -> Vec<u8> {
        self.sides[from].wire.drain(..).collect::<Vec<_>>().concat()
    }

    /// Gives bytes in; an error shows in the events.
    pub fn give(&mut self, to: usize, bytes: &[u8]) {
        let env = &mut Env::new(Instant::EPOCH, &mut self.entropy);
        let _ = self.sides[to].secured.receive(env, bytes);
        self.drain(to);
    }

    /// Sends a stanza.
    pub fn send(&mut self, from: usize) {
        let stanza = Stanza::parse(b"<message id='m'/>", Content::Client).expect("a stanza");
        let env = &mut Env::new(Instant::EPOCH, &mut self.entropy);
        let sent = self.sides[from].secured.send(env, &stanza);
        sent.expect("it is online");
        self.drain(from);
    }

    /// The transport of both is gone, with all that was on its way.
    pub fn cut(&mut self, pair: [usize; 2]) {
        for place in pair {
            self.sides[place].wire.clear();
            let env = &mut Env::new(Instant::EPOCH, &mut self.entropy);
            self.sides[place].secured.receive_eof(env);
            self.drain(place);
        }
    }

    /// Closes both.
    pub fn close(&mut self, pair: [usize; 2]) {
        let env = &mut Env::new(Instant::EPOCH, &mut self.entropy);
        self.sides[pair[0]].secured.close(env);
        self.drain(pair[0]);
        self.talk(pair);
    }

    fn decide(&mut self, request: Request) -> Answer {
        let env = &mut Env::new(Instant::EPOCH, &mut self.entropy);
        match request {
            Request::Sasl {
                request: sasl::Request::Password { username, .. },
                ..
            } => Answer::Sasl(sasl::Answer::Accept { identity: username }),
            Request::Bind { account, request } => Answer::Bind(request.grant(&account, env)),
            request => match self.registry.decide(env, &request) {
                Some(Decision::Answer(answer)) => answer,
                Some(Decision::Fetch { session, .. }) => self.fetch(&session),
                None => panic!("{request:?}"),
            },
        }
    }

    fn fetch(&mut self, name: &str) -> Answer {
        let holds = |side: &Side| side.session.as_deref() == Some(name) && !side.closed;
        let holder = self.sides.iter().position(holds);
        let session = holder.and_then(|holder| {
            let env = &mut Env::new(Instant::EPOCH, &mut self.entropy);
            let session = self.sides[holder].secured.hand_over(env);
            self.drain(holder);
            session
        });
        session.map_or(Answer::NoSession { h: None }, Answer::Session)
    }

    /// XEP-0484 §3.4: what goes out first has a count that cannot go out again, whatever becomes of this process.
    fn assert_count_is_kept(&self, place: usize) {
        let early = self.sides[place].early();
        let count = early.split_once(" count='").map(|(_, rest)| rest);
        let count = count.and_then(|rest| rest.split('\'').next()?.parse().ok());
        if let (Some(count), true) = (count, self.sides[place].secured.connection().is_initiator())
        {
            let kept = self.entity.installation(&self.account).expect("it is kept");
            let next = kept.wallet.next(DATE).map(|ticket| ticket.count);
            assert!(next >= Some(count), "{next:?} {count}");
        }
    }

    fn drain(&mut self, place: usize) {
        while let Some(output) = self.sides[place].secured.poll_output() {
            let side = &mut self.sides[place];
            let server = !side.secured.connection().is_initiator();
            match output {
                Output::Transmit(bytes) => {
                    side.wire.push_back(bytes);
                    if side.events.is_empty() {
                        self.assert_count_is_kept(place);
                    }
                }
                Output::Request(request) => {
                    let answer = self.decide(request);
                    let side = &mut self.sides[place];
                    match &answer {
                        Answer::Session(session) => side.session = Some(session.id.clone()),
                        Answer::Enable(Some(granted)) => side.session.clone_from(&granted.id),
                        _ => {}
                    }
                    let env = &mut Env::new(Instant::EPOCH, &mut self.entropy);
                    let answered = side.secured.answer(env, answer);
                    answered.expect("it was asked");
                }
                Output::Entity(event) if server => self.registry.handle(event, Instant::EPOCH),
                Output::Entity(event) => {
                    side.retry = self.entity.handle(event).or(side.retry.take())
                }
                Output::Event(event) => {
                    if matches!(event, Event::Stanza(_)) {
                        side.secured.handled(1);
                    }
                    side.events.push(event);
                }
                Output::Close => side.closed = true,
                _ => {}
            }
        }
    }
}
