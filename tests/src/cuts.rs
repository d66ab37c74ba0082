//! A client, a server and a wire between them that is cut where the test says: what comes of an exchange of stanzas.
//!
//! TLS is left out, as if it succeeded at once; everything else is real bytes.

use std::collections::BTreeMap;
use std::time::Duration;

use onetrip_core::fast::{self, DateTime};
use onetrip_core::isr::{Dialects, Rotation};
use onetrip_core::negotiation::sasl;
use onetrip_core::quickstart::{Cache, Level, Policy, Transport};
use onetrip_core::stream::{Content, Env, Instant, Jid, Secret, Stanza, StanzaKind};
use onetrip_core::stream_management::{Entry, Event as Managed, QueueLimits};
use onetrip_core::{
    Action, Answer, ClientConfig, Connection, Decision, Entity, Event, FastLogin, InstantResume,
    Management, Registry, Request, Sasl2Login, Sasl2Offer, ServerConfig, TlsInfo,
};
use onetrip_simulator::Seeded;

/// How the client comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Behind a login (XEP-0198).
    Login,
    /// By its token (instant stream resumption).
    Token(Rotation),
    /// By a key of the second text of that.
    Key(Rotation),
    /// By a key of the third, within SASL2.
    KeyLogin(Rotation),
    /// Within a login by SASL2, with a new resource if that fails.
    Inline,
    /// The same by a token (XEP-0484).
    Fast,
}

impl Way {
    fn rotation(self) -> Rotation {
        match self {
            Self::Token(rotation) | Self::Key(rotation) | Self::KeyLogin(rotation) => rotation,
            Self::Login | Self::Inline | Self::Fast => Rotation::default(),
        }
    }

    /// The one text that is spoken, if it is one.
    fn dialects(self) -> Dialects {
        let mut dialects = Dialects::NONE;
        match self {
            Self::Token(_) => dialects.seed = true,
            Self::Key(_) => dialects.hmac = true,
            Self::KeyLogin(_) => dialects.sasl2 = true,
            Self::Login | Self::Inline | Self::Fast => {}
        }
        dialects
    }

    fn is_sasl2(self) -> bool {
        matches!(self, Self::KeyLogin(_) | Self::Inline | Self::Fast)
    }
}

/// What a run is about.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// How the client comes back.
    pub way: Way,
    /// How far the client runs ahead.
    pub level: Level,
    /// How many stanzas each end sends; behind a cut just a few more.
    pub stanzas: u32,
    /// Behind which byte of all that is delivered the first connection is cut, the second, and so on.
    pub cuts: [Option<usize>; 3],
    /// Whether the server notices that a connection was cut, or learns it from the next one.
    pub noticed: bool,
    /// Whether the end comes in the same read as the last bytes, before the application has seen what was in them.
    pub abrupt: bool,
}

/// One end of one connection.
struct End {
    connection: Connection,
    online: bool,
    upgrades: u8,
    /// What it has written that has not been delivered.
    wire: Vec<u8>,
    closed: bool,
    /// Whether it has logged in by a password.
    password: bool,
    /// The session that it was granted or has been given (the server).
    session: Option<String>,
}

/// What has become of the stanzas of one direction.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Fate {
    /// How many were sent, and how many are to be.
    pub sent: u32,
    /// See `sent`.
    pub goal: u32,
    /// Those that the other end has dealt with, in order.
    pub handled: Vec<u32>,
    /// Those that were handed back.
    pub handed_back: Vec<u32>,
}

/// See the module.
pub struct World {
    case: Case,
    entity: Entity,
    registry: Registry,
    entropy: Seeded,
    now: Instant,
    /// The address of the client, once it has one.
    owner: Jid,
    client: Option<End>,
    servers: Vec<End>,
    /// From the client, and from the server.
    pub fates: [Fate; 2],
    /// How many bytes were delivered on each connection.
    pub delivered: Vec<usize>,
    /// How many connections resumed a session.
    pub resumed: usize,
    /// How many of these needed no password.
    pub by_token: usize,
    /// How much had been delivered on the first connection when the client knew its session.
    pub granted_at: Option<usize>,
}

/// Always, as far as tokens are concerned.
const DATE: DateTime = DateTime::from_unix_seconds(1_600_000_000);
const ACCOUNT: &str = "juliet@capulet.test/balcony";
/// How many stanzas an end sends before it looks at what came.
const BURST: u32 = 3;
/// How many more an end sends behind a cut.
const MORE: u32 = 8;

fn stanza(number: u32) -> Stanza {
    let text = format!("<message id='{number}'/>");
    Stanza::parse(text.as_bytes(), Content::Client).expect("a stanza")
}

fn numbers(entries: &[Entry]) -> impl Iterator<Item = u32> {
    entries.iter().filter_map(|entry| number(&entry.bytes))
}

fn number(bytes: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(bytes).ok()?;
    let text = text.strip_prefix("<message id=")?;
    text.split('\'').nth(1)?.parse().ok()
}

impl World {
    /// Runs the whole exchange, over as many connections as it takes.
    #[must_use]
    pub fn run(case: Case) -> Self {
        let rotation = case.way.rotation();
        let keep = Duration::from_secs(300);
        let mut policy = Policy::default();
        policy.force = Some(case.level);
        let mut this = Self {
            case,
            entity: Entity::new(Cache::default(), policy),
            registry: Registry::with(keep, QueueLimits::default(), rotation),
            entropy: Seeded::new(7),
            now: Instant::EPOCH,
            owner: ACCOUNT.parse().expect("an address"),
            client: None,
            servers: Vec::new(),
            fates: core::array::from_fn(|_| Fate {
                goal: case.stanzas,
                ..Fate::default()
            }),
            delivered: Vec::new(),
            resumed: 0,
            by_token: 0,
            granted_at: None,
        };
        this.registry.set_date(this.now, DATE);
        for attempt in 0..20 {
            this.connect();
            let cut = this.case.cuts.get(attempt).copied().flatten();
            if this.exchange(cut) {
                return this.finish();
            }
        }
        panic!("never done: {case:?}");
    }

    fn connect(&mut self) {
        let account: Jid = ACCOUNT.parse().expect("an address");
        let mut sasl = sasl::InitiatorConfig::password("juliet", Secret::from("secret"));
        sasl.allowed = vec![sasl::Mechanism::Plain];
        let mut config = ClientConfig::new(account.clone(), Transport::DirectTls, sasl);
        let mut management = Management::default();
        management.instant = self.case.way.dialects();
        config.management = Some(management);
        if self.case.way.is_sasl2() {
            let policy = fast::Policy::new(["HT-SHA-256-ENDP"]);
            let fast = FastLogin::new(policy).at(DATE);
            let mut login = Sasl2Login::default();
            login.fast = (self.case.way == Way::Fast).then_some(fast);
            config.sasl2 = Some(login);
        }
        let env = &mut Env::new(self.now, &mut self.entropy);
        let client = self.entity.connect(config, env);
        let mechanisms = sasl::ReceiverConfig::new(vec![sasl::Mechanism::Plain]);
        let domains = vec![account.domain().clone()];
        let mut config = ServerConfig::new(domains, Transport::DirectTls, mechanisms);
        config.management = Some(Default::default());
        let dialects = self.case.way.dialects();
        config.instant_resume = (dialects != Dialects::NONE).then(|| InstantResume::by(dialects));
        if self.case.way.is_sasl2() {
            let mut offer = Sasl2Offer::default();
            offer.fast = self.case.way == Way::Fast;
            config.sasl2 = Some(offer);
        }
        let server = Connection::server(config, env);
        let end = |connection| End {
            connection,
            online: false,
            upgrades: 0,
            wire: Vec::new(),
            closed: false,
            password: false,
            session: None,
        };
        self.client = Some(end(client));
        self.servers.push(end(server));
        self.delivered.push(0);
        self.drain_all();
    }

    /// Lets both ends talk until all is said (`true`), or the connection is gone (`false`).
    fn exchange(&mut self, cut: Option<usize>) -> bool {
        let mut quiet = 0;
        loop {
            self.send_some();
            let moved = self.deliver(true, cut) + self.deliver(false, cut);
            if self.is_cut(cut) || self.client.as_ref().is_none_or(|end| end.closed) {
                self.cut();
                return false;
            }
            // Idle stanzas are asked about, so that nothing is left unacknowledged.
            quiet = if moved == 0 { quiet + 1 } else { 0 };
            if quiet > 0 {
                self.now = self.now + Duration::from_secs(4);
                self.wake();
            }
            let done = self.fates.iter().all(|fate| fate.sent == fate.goal);
            if quiet > 3 && done {
                return true;
            }
            assert!(quiet < 50, "stuck: {:?}", self.case);
        }
    }

    fn is_cut(&self, cut: Option<usize>) -> bool {
        cut.is_some() && self.delivered.last().copied() == cut
    }

    fn send_some(&mut self) {
        for _ in 0..BURST {
            for server in [false, true] {
                self.send_one(server);
            }
        }
        self.drain_all();
    }

    fn send_one(&mut self, server: bool) {
        let fate = &mut self.fates[usize::from(server)];
        if fate.sent == fate.goal {
            return;
        }
        let end = if server {
            self.servers.last_mut()
        } else {
            self.client.as_mut()
        };
        let next = stanza(fate.sent + 1);
        match end.filter(|end| end.online && !end.closed) {
            Some(end) => {
                let env = &mut Env::new(self.now, &mut self.entropy);
                end.connection.send(env, &next).expect("it is online");
                fate.sent += 1;
            }
            // What comes while nobody is connected waits with the session.
            None if server => {
                let bytes = next.bytes().clone();
                fate.sent += u32::from(self.registry.push(&self.owner, bytes));
            }
            None => {}
        }
    }

    /// Delivers what one end has written, up to the cut; returns how much that was.
    fn deliver(&mut self, to_server: bool, cut: Option<usize>) -> usize {
        let place = self.delivered.len() - 1;
        let left = cut.map_or(usize::MAX, |cut| cut - self.delivered[place].min(cut));
        let (from, to) = match (&mut self.client, self.servers.last_mut()) {
            (Some(client), Some(server)) if to_server => (client, server),
            (Some(client), Some(server)) => (server, client),
            _ => return 0,
        };
        let taken = from.wire.len().min(left);
        let bytes: Vec<u8> = from.wire.drain(..taken).collect();
        self.delivered[place] += taken;
        if !bytes.is_empty() {
            let env = &mut Env::new(self.now, &mut self.entropy);
            // An error shows in what is written and reported.
            let _ = to.connection.receive(env, &bytes);
            let last = cut == Some(self.delivered[place]);
            if last && self.case.abrupt && (!to_server || self.case.noticed) {
                to.connection.receive_eof(env);
            }
        }
        self.drain_all();
        taken
    }

    fn wake(&mut self) {
        let env = &mut Env::new(self.now, &mut self.entropy);
        for end in self.client.iter_mut().chain(self.servers.last_mut()) {
            end.connection.handle_timeout(env);
        }
        self.drain_all();
    }

    /// The connection is gone, with everything on its way.
    fn cut(&mut self) {
        let env = &mut Env::new(self.now, &mut self.entropy);
        if let Some(client) = &mut self.client {
            client.connection.receive_eof(env);
        }
        if let (true, Some(server)) = (self.case.noticed, self.servers.last_mut()) {
            server.connection.receive_eof(env);
        }
        self.drain_all();
        self.client = None;
        // A few more behind the cut show that the exchange goes on.
        for fate in &mut self.fates {
            fate.goal = fate.goal.min(fate.sent + MORE);
        }
    }

    fn finish(mut self) -> Self {
        let env = &mut Env::new(self.now, &mut self.entropy);
        for end in &mut self.servers {
            end.connection.receive_eof(env);
        }
        if let Some(client) = &mut self.client {
            client.connection.receive_eof(env);
        }
        self.drain_all();
        let far = Instant::from_epoch(Duration::MAX);
        for session in self.registry.expire(far) {
            let entries = session.into_entries();
            self.fates[1].handed_back.extend(numbers(&entries));
        }
        while let Some(resumption) = self.entity.take(&ACCOUNT.parse().expect("an address")) {
            let entries = resumption.session.into_entries();
            self.fates[0].handed_back.extend(numbers(&entries));
        }
        self
    }

    fn drain_all(&mut self) {
        if let Some(mut client) = self.client.take() {
            self.drain(&mut client, false);
            self.client = Some(client);
        }
        for place in 0..self.servers.len() {
            let mut server = self.servers.remove(place);
            self.drain(&mut server, true);
            self.servers.insert(place, server);
        }
    }

    fn drain(&mut self, end: &mut End, server: bool) {
        while let Some(action) = end.connection.poll_action() {
            match action {
                Action::Transmit(bytes) => end.wire.extend_from_slice(&bytes),
                Action::UpgradeSend | Action::UpgradeReceive => {
                    end.upgrades += 1;
                    if end.upgrades == 2 {
                        let env = &mut Env::new(self.now, &mut self.entropy);
                        let mut info = TlsInfo::new();
                        info.end_point = Some(Secret::from("certificate"));
                        end.connection
                            .tls_established(env, info, &[])
                            .expect("TLS was being negotiated");
                    }
                }
                Action::Request(request) => {
                    let answer = self.decide(request);
                    match &answer {
                        Answer::Session(session) => end.session = Some(session.id.clone()),
                        Answer::Enable(Some(granted)) => end.session.clone_from(&granted.id),
                        _ => {}
                    }
                    let env = &mut Env::new(self.now, &mut self.entropy);
                    // Too late when the end came along; a session comes out again then.
                    let _ = end.connection.answer(env, answer);
                }
                Action::Event(event) => self.on_event(end, event, server),
                Action::Entity(event) if server => self.registry.handle(event, self.now),
                Action::Entity(event) => drop(self.entity.handle(event)),
                Action::Close => end.closed = true,
                _ => {}
            }
        }
    }

    fn on_event(&mut self, end: &mut End, event: Event, server: bool) {
        let (ours, theirs) = (usize::from(server), usize::from(!server));
        match event {
            Event::Online { jid, resumed, .. } => {
                // What a server sends before stanzas are counted is nobody's promise.
                end.online |= resumed || !server;
                self.owner = jid;
                self.resumed += usize::from(resumed && !server);
                self.by_token += usize::from(resumed && !server && !end.password);
            }
            Event::Stanza(stanza) => {
                if stanza.head().kind == StanzaKind::Iq {
                    // The answer to a ping of an earlier connection tells nobody anything.
                    if stanza.head().type_.as_deref() == Some("get") {
                        self.pong(end, &stanza);
                    }
                } else {
                    let number = number(stanza.bytes()).expect("one of ours");
                    self.fates[theirs].handled.push(number);
                }
                end.connection.handled(1);
            }
            Event::Management(Managed::Enabled(_)) => {
                end.online = true;
                if !server {
                    self.granted_at
                        .get_or_insert(self.delivered.first().copied().unwrap_or(0));
                }
            }
            Event::Management(Managed::HandedBack(entries)) => {
                self.fates[ours].handed_back.extend(numbers(&entries));
            }
            Event::Management(Managed::Failed(entry)) => {
                panic!("no room for {entry:?}");
            }
            Event::TokenConfirmed { session } => self.registry.confirm(&session),
            Event::Authenticated { mechanism, .. } => end.password = !mechanism.is_token(),
            _ => {}
        }
    }

    /// The client asks for a pong to see that what it sent ahead was read (QS-R10).
    fn pong(&mut self, end: &mut End, ping: &Stanza) {
        let id = ping.head().id.as_deref().unwrap_or_default();
        let pong = format!("<iq type='result' id='{id}'/>");
        let pong = Stanza::parse(pong.as_bytes(), Content::Client).expect("a stanza");
        let env = &mut Env::new(self.now, &mut self.entropy);
        end.connection.send(env, &pong).expect("it is online");
    }

    fn decide(&mut self, request: Request) -> Answer {
        let env = &mut Env::new(self.now, &mut self.entropy);
        match request {
            Request::Sasl { .. } => Answer::Sasl(sasl::Answer::Accept {
                identity: "juliet".to_owned(),
            }),
            Request::Bind { account, request } => Answer::Bind(request.grant(&account, env)),
            request => match self.registry.decide(env, &request) {
                Some(Decision::Answer(answer)) => answer,
                Some(Decision::Fetch { session, .. }) => self.fetch(&session),
                None => panic!("{request:?}"),
            },
        }
    }

    /// The old connection of the session has not noticed that it is dead.
    fn fetch(&mut self, name: &str) -> Answer {
        for place in 0..self.servers.len() {
            if self.servers[place].session.as_deref() != Some(name) {
                continue;
            }
            let mut server = self.servers.remove(place);
            let env = &mut Env::new(self.now, &mut self.entropy);
            let session = server.connection.hand_over(env);
            self.drain(&mut server, true);
            self.servers.insert(place, server);
            if let Some(session) = session {
                return Answer::Session(session);
            }
        }
        Answer::NoSession { h: None }
    }

    /// Whether every stanza was dealt with once and in order, or handed back; the reason if not.
    pub fn check(&self) -> Result<(), String> {
        for fate in &self.fates {
            if !fate.handled.is_sorted_by(|a, b| a < b) {
                return Err(format!("twice, or out of order: {fate:?}"));
            }
            let mut known: BTreeMap<u32, ()> = BTreeMap::new();
            known.extend(fate.handled.iter().map(|number| (*number, ())));
            known.extend(fate.handed_back.iter().map(|number| (*number, ())));
            if !known.keys().copied().eq(1..=fate.sent) || fate.sent != fate.goal {
                return Err(format!("lost: {fate:?}"));
            }
        }
        Ok(())
    }
}
