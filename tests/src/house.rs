//! Connections of both roles, what outlives them, and wires that deliver what the test says, when it says so.
//!
//! TLS is left out, as if it succeeded at once; everything else is real bytes.

use std::collections::VecDeque;
use std::time::Duration;

use onetrip_core::fast;
use onetrip_core::isr::{Dialects, Rotation, Ticket};
use onetrip_core::negotiation::sasl;
use onetrip_core::quickstart::{Cache, Level, Plan, Policy, Transport};
use onetrip_core::stream::{Condition, Content, Env, Instant, Jid, Secret, Stanza};
use onetrip_core::stream_management::{Entry, Event as Managed, Granted, Handle, QueueLimits};
use onetrip_core::{
    Action, Answer, ClientConfig, Connection, Decision, End, Entity, Error, Event, FastLogin,
    InstantResume, Management, Registry, Request, Resumption, Sasl2Login, Sasl2Offer, ServerConfig,
    TlsInfo, UsageError,
};
use onetrip_simulator::Seeded;

use crate::words::{
    ACCOUNT, ASK, AUTH, BIND, ENABLE, HEADER, PLAIN, RESPONSE, SUCCESS, stored, ticket,
};

/// When the clock begins, as far as tokens for logins are concerned.
const DATE: fast::DateTime = fast::DateTime::from_unix_seconds(1_600_000_000);

/// One end of one connection.
pub struct Side {
    /// The machine.
    pub connection: Connection,
    /// All that it has written.
    pub written: String,
    /// What it has reported.
    pub events: Vec<Event>,
    /// What it asks, where the test decides itself.
    pub asked: VecDeque<Request>,
    /// The retry that the entity has planned.
    pub retry: Option<Plan>,
    /// Whether it closed its transport.
    pub closed: bool,
    /// The session that it was granted or has been given (the server).
    pub session: Option<String>,
    wire: Vec<u8>,
    upgrades: u8,
    server: bool,
}

impl Side {
    /// The stanzas that arrived, as they were written.
    pub fn stanzas(&self) -> Vec<String> {
        let text = |event: &Event| match event {
            Event::Stanza(stanza) => Some(String::from_utf8_lossy(stanza.bytes()).into_owned()),
            _ => None,
        };
        self.events.iter().filter_map(text).collect()
    }

    /// The stanzas that were handed back.
    pub fn handed_back(&self) -> Vec<Entry> {
        let entries = |event: &Event| match event {
            Event::Management(Managed::HandedBack(entries)) => entries.clone(),
            _ => Vec::new(),
        };
        self.events.iter().flat_map(entries).collect()
    }

    /// The same as they were written.
    pub fn handed_back_text(&self) -> Vec<String> {
        let text = |entry: &Entry| String::from_utf8_lossy(&entry.bytes).into_owned();
        self.handed_back().iter().map(text).collect()
    }

    /// The stanzas that the peer has acknowledged.
    pub fn acked(&self) -> Vec<Handle> {
        let handles = |event: &Event| match event {
            Event::Management(Managed::Acked(handles)) => handles.iter().collect(),
            _ => Vec::new(),
        };
        self.events.iter().flat_map(handles).collect()
    }

    /// What its session was granted.
    pub fn granted(&self) -> Option<&Granted> {
        self.events.iter().find_map(|event| match event {
            Event::Management(Managed::Enabled(granted)) => Some(granted),
            _ => None,
        })
    }

    /// Whether it is online, and whether an earlier session goes on.
    pub fn online(&self) -> Option<(&Jid, bool)> {
        self.events.iter().rev().find_map(|event| match event {
            Event::Online { jid, resumed, .. } => Some((jid, *resumed)),
            _ => None,
        })
    }

    /// How it ended.
    pub fn end(&self) -> Option<&End> {
        self.events.iter().rev().find_map(|event| match event {
            Event::Closed(end) => Some(end),
            _ => None,
        })
    }

    /// How often a text was written.
    pub fn count(&self, text: &str) -> usize {
        self.written.matches(text).count()
    }

    /// What was written behind the last of these.
    pub fn behind(&self, text: &str) -> &str {
        self.written.rsplit(text).next().unwrap_or_default()
    }
}

/// See the module. Connections are named by their place in `sides`.
pub struct House {
    /// The client's memory.
    pub entity: Entity,
    /// The server's.
    pub registry: Registry,
    /// Every connection there ever was.
    pub sides: Vec<Side>,
    /// The clock.
    pub now: Instant,
    /// Whether stanzas are handled as they arrive.
    pub handles: bool,
    /// Whether the server decides as it is asked.
    pub decides: bool,
    /// Where clients log in.
    pub account: Jid,
    /// How far clients run ahead.
    pub level: Level,
    /// Whether the server offers instant stream resumption.
    pub instant: bool,
    /// In which texts of it, as far as that is up to the two.
    pub dialects: Dialects,
    /// The certificate that client and server see.
    pub certificates: [Option<&'static str>; 2],
    /// Whether both know SASL2.
    pub later: bool,
    /// Whether both use tokens for logins (XEP-0484).
    pub fast: bool,
    /// What is random.
    pub entropy: Seeded,
}

/// Which text of instant stream resumption, of those that prove a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// Its own elements, and the certificate's hash.
    Second,
    /// Within SASL2.
    Third,
}

impl Text {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Second, Self::Third];
}

impl Default for House {
    fn default() -> Self {
        Self::new(Rotation::default())
    }
}

impl House {
    /// Nobody is there yet.
    #[must_use]
    pub fn new(rotation: Rotation) -> Self {
        let keep = Duration::from_secs(300);
        let mut registry = Registry::with(keep, QueueLimits::default(), rotation);
        registry.set_date(Instant::EPOCH, DATE);
        Self {
            entity: Entity::new(Cache::default(), Policy::default()),
            registry,
            sides: Vec::new(),
            now: Instant::EPOCH,
            handles: true,
            decides: true,
            account: ACCOUNT.parse().expect("an address"),
            level: Level::Off,
            instant: true,
            dialects: Dialects::default(),
            certificates: [None; 2],
            later: false,
            fast: false,
            entropy: Seeded::new(7),
        }
    }

    /// Both speak this text of instant stream resumption and no other, under one certificate.
    #[must_use]
    pub fn keyed(text: Text, rotation: Rotation) -> Self {
        let mut dialects = Dialects::NONE;
        dialects.hmac = text == Text::Second;
        dialects.sasl2 = text == Text::Third;
        Self {
            dialects,
            certificates: [Some("one"); 2],
            later: text == Text::Third,
            ..Self::new(rotation)
        }
    }

    /// The ticket of a client's session as it stands.
    #[must_use]
    pub fn ticket(&self, client: usize) -> Option<Ticket> {
        self.sides[client].connection.resumption()?.ticket
    }

    fn add(&mut self, connection: Connection) -> usize {
        self.sides.push(Side {
            server: !connection.is_initiator(),
            connection,
            written: String::new(),
            events: Vec::new(),
            asked: VecDeque::new(),
            retry: None,
            closed: false,
            session: None,
            wire: Vec::new(),
            upgrades: 0,
        });
        let place = self.sides.len() - 1;
        self.drain(place);
        place
    }

    /// A client's configuration.
    #[must_use]
    pub fn client_config(&self) -> ClientConfig {
        let user = self.account.local().unwrap_or_default();
        let mut sasl = sasl::InitiatorConfig::password(user, Secret::from("secret"));
        sasl.allowed = vec![sasl::Mechanism::Plain];
        let mut config = ClientConfig::new(self.account.clone(), Transport::DirectTls, sasl);
        let mut management = Management::default();
        management.instant = self.dialects;
        config.management = Some(management);
        config.sasl2 = self.later.then(Sasl2Login::default);
        if let Some(login) = &mut config.sasl2 {
            let policy = fast::Policy::new(["HT-SHA-256-NONE"]);
            login.fast = self.fast.then(|| FastLogin::new(policy).at(DATE));
        }
        config
    }

    /// A client's connection, with the session that waits if there is one.
    pub fn client(&mut self) -> usize {
        self.client_of(self.client_config())
    }

    /// A client's connection of another kind.
    pub fn client_of(&mut self, config: ClientConfig) -> usize {
        let mut policy = Policy::default();
        policy.force = Some(self.level);
        self.entity.set_policy(policy);
        let env = &mut Env::new(self.now, &mut self.entropy);
        let connection = self.entity.connect(config, env);
        self.add(connection)
    }

    /// The same by a given plan: a retry.
    pub fn client_as(&mut self, plan: Plan) -> usize {
        let config = self.client_config();
        let env = &mut Env::new(self.now, &mut self.entropy);
        let connection = self.entity.connect_as(config, plan, env);
        self.add(connection)
    }

    /// A client's connection that goes on with this session.
    pub fn client_with(&mut self, resumption: Resumption) -> usize {
        self.entity.keep(resumption);
        self.client()
    }

    /// A server's configuration.
    #[must_use]
    pub fn server_config(&self) -> ServerConfig {
        let mechanisms = sasl::ReceiverConfig::new(vec![sasl::Mechanism::Plain]);
        let domains = vec![self.account.domain().clone()];
        let mut config = ServerConfig::new(domains, Transport::DirectTls, mechanisms);
        config.management = Some(Default::default());
        config.instant_resume = self.instant.then(|| InstantResume::by(self.dialects));
        config.sasl2 = self.later.then(Sasl2Offer::default);
        if let Some(offer) = &mut config.sasl2 {
            offer.fast = self.fast;
        }
        config
    }

    /// A server's connection.
    pub fn server(&mut self) -> usize {
        let config = self.server_config();
        self.server_as(config)
    }

    /// A server's connection of another kind.
    pub fn server_as(&mut self, config: ServerConfig) -> usize {
        let env = &mut Env::new(self.now, &mut self.entropy);
        let connection = Connection::server(config, env);
        self.add(connection)
    }

    /// A client and a server that have said all they have to say.
    pub fn pair(&mut self) -> [usize; 2] {
        let pair = [self.client(), self.server()];
        self.talk(pair);
        pair
    }

    /// Lets both talk until all is said.
    pub fn talk(&mut self, [one, other]: [usize; 2]) {
        for _ in 0..1000 {
            if self.deliver(one, other) + self.deliver(other, one) == 0 {
                return;
            }
        }
        panic!("they never stop");
    }

    /// Delivers what is on the wire; returns how much that was.
    pub fn deliver(&mut self, from: usize, to: usize) -> usize {
        let bytes = self.take_wire(from);
        // An error shows in what is written and reported.
        let _ = self.give(to, &bytes);
        bytes.len()
    }

    /// Takes what is on the wire.
    pub fn take_wire(&mut self, from: usize) -> Vec<u8> {
        std::mem::take(&mut self.sides[from].wire)
    }

    /// Gives bytes in that nobody of ours has written.
    ///
    /// # Errors
    /// As the connection's, what comes behind a decision included.
    pub fn give(&mut self, to: usize, bytes: impl AsRef<[u8]>) -> Result<usize, Error> {
        let env = &mut Env::new(self.now, &mut self.entropy);
        let result = self.sides[to].connection.receive(env, bytes.as_ref());
        self.drain(to);
        let used = result?;
        let env = &mut Env::new(self.now, &mut self.entropy);
        self.sides[to].connection.receive(env, &[]).map(|_| used)
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

    /// Sends a stanza.
    pub fn send(&mut self, from: usize, stanza: &str) -> Option<Handle> {
        let stanza = Stanza::parse(stanza.as_bytes(), Content::Client).expect("a stanza");
        self.with(from, |connection, env| connection.send(env, &stanza))
            .expect("it is online")
    }

    /// The application has handled so many.
    pub fn handled(&mut self, place: usize, stanzas: u32) {
        self.with(place, |connection, _| connection.handled(stanzas));
    }

    /// The transport is gone, with all that was on its way.
    pub fn cut(&mut self, place: usize) {
        self.sides[place].wire.clear();
        self.with(place, |connection, env| connection.receive_eof(env));
    }

    /// The transport of both is gone.
    pub fn cut_both(&mut self, pair: [usize; 2]) {
        for place in pair {
            self.cut(place);
        }
    }

    /// Time passes; each deadline is met in its turn.
    pub fn wait(&mut self, span: Duration) {
        self.now = self.now + span;
        for place in 0..self.sides.len() {
            self.with(place, |connection, env| connection.handle_timeout(env));
        }
    }

    /// The session of an account that waits at the client.
    pub fn resumption(&self) -> Option<&Resumption> {
        self.entity.resumptions().next()
    }

    /// How many sessions wait at the server.
    pub fn waiting(&self) -> usize {
        self.registry.waiting().count()
    }

    /// Gives a server all that a client has to say up to a resource that is bound and stanzas that are counted; returns
    /// the name of the session.
    pub fn log_in(&mut self, server: usize) -> String {
        let text = format!("{HEADER}{AUTH}{HEADER}{ASK}{ENABLE}");
        self.give(server, text).expect("nothing is wrong with it");
        let granted = self.sides[server].granted().expect("a session");
        granted.id.clone().expect("one that may be resumed")
    }

    /// A client that goes on with [`stored`]: it has said `<resume/>`, and waits.
    pub fn resuming(&mut self) -> usize {
        let client = self.client_with(stored());
        for text in [
            format!("{RESPONSE}{PLAIN}"),
            format!("{SUCCESS}{RESPONSE}{BIND}"),
        ] {
            self.give(client, text).expect("nothing is wrong with it");
        }
        assert!(self.sides[client].behind("<resume ").contains("h='9'"));
        client
    }

    /// The same with its token: it has said `<inst-resume/>`, has seen the features, and waits.
    pub fn instantly_resuming(&mut self) -> usize {
        let client = self.client_with(stored().with_ticket(ticket()));
        assert_eq!(self.sides[client].count("tok='t0ken'"), 1);
        let text = format!("{RESPONSE}{PLAIN}");
        self.give(client, text).expect("nothing is wrong with it");
        assert_eq!(self.sides[client].count("<auth "), 0);
        client
    }

    /// The answer to the oldest question of a connection, by the server's own rules.
    pub fn decide(&mut self, place: usize) -> Option<Answer> {
        let request = self.sides[place].asked.pop_front()?;
        Some(self.decision(request))
    }

    /// Answers the oldest question of a connection.
    pub fn answer(&mut self, place: usize) -> bool {
        let Some(answer) = self.decide(place) else {
            return false;
        };
        self.give_answer(place, answer);
        true
    }

    /// Gives an answer that was decided before.
    pub fn give_answer(&mut self, place: usize, answer: Answer) {
        self.note(place, &answer);
        self.with(place, |connection, env| connection.answer(env, answer))
            .expect("it was asked");
    }

    /// The same when the connection may be over: what is not taken comes out again.
    pub fn give_late(&mut self, place: usize, answer: Answer) {
        let _ = self.with(place, |connection, env| connection.answer(env, answer));
    }

    fn decision(&mut self, request: Request) -> Answer {
        let env = &mut Env::new(self.now, &mut self.entropy);
        match request {
            Request::Sasl {
                request:
                    sasl::Request::Password {
                        username, password, ..
                    },
                ..
            } if password.expose() == b"secret" => {
                Answer::Sasl(sasl::Answer::Accept { identity: username })
            }
            Request::Sasl {
                request: sasl::Request::Keys { hash, .. },
                ..
            } => {
                let salt = b"salt".to_vec();
                let keys = sasl::StoredKeys::from_password(hash, "secret", salt, 4096);
                Answer::Sasl(sasl::Answer::Keys(keys.expect("a password")))
            }
            Request::Derive(derivation) => Answer::Derived(derivation.perform()),
            Request::Sasl { .. } => {
                Answer::Sasl(sasl::Answer::Refuse(sasl::Refusal::NotAuthorized))
            }
            Request::Bind { account, request } => Answer::Bind(request.grant(&account, env)),
            request => match self.registry.decide(env, &request) {
                Some(Decision::Answer(answer)) => answer,
                Some(Decision::Fetch { session, .. }) => self.fetch(&session),
                None => panic!("{request:?}"),
            },
        }
    }

    fn note(&mut self, place: usize, answer: &Answer) {
        match answer {
            Answer::Session(session) => self.sides[place].session = Some(session.id.clone()),
            Answer::Enable(Some(granted)) => self.sides[place].session.clone_from(&granted.id),
            _ => {}
        }
    }

    /// Takes a session from the connection that has it.
    fn fetch(&mut self, name: &str) -> Answer {
        let session = self
            .holders(name)
            .into_iter()
            .find_map(|place| self.with(place, |connection, env| connection.hand_over(env)));
        session.map_or(Answer::NoSession { h: None }, Answer::Session)
    }

    /// The server's connections that have this session and are not over: never more than one.
    #[must_use]
    pub fn holders(&self, name: &str) -> Vec<usize> {
        let has = |side: &Side| !side.closed && side.session.as_deref() == Some(name);
        (0..self.sides.len())
            .filter(|place| has(&self.sides[*place]))
            .collect()
    }

    fn drain(&mut self, place: usize) {
        while let Some(action) = self.sides[place].connection.poll_action() {
            let side = &mut self.sides[place];
            let late = side.closed && !matches!(action, Action::Entity(_));
            assert!(!late, "something behind the close: {action:?}");
            match action {
                Action::Transmit(bytes) => {
                    side.wire.extend_from_slice(&bytes);
                    let text = std::str::from_utf8(&bytes).expect("UTF-8");
                    side.written.push_str(text);
                }
                Action::UpgradeSend | Action::UpgradeReceive => {
                    side.upgrades += 1;
                    if side.upgrades == 2 {
                        let env = &mut Env::new(self.now, &mut self.entropy);
                        let mut info = TlsInfo::new();
                        let shown = self.certificates[usize::from(side.server)];
                        info.end_point = shown.map(Secret::from);
                        let told = side.connection.tls_established(env, info, &[]);
                        assert!(matches!(told, Ok(()) | Err(UsageError::Closed)), "{told:?}");
                    }
                }
                Action::Request(request) if self.decides => {
                    let answer = self.decision(request);
                    self.note(place, &answer);
                    let env = &mut Env::new(self.now, &mut self.entropy);
                    let told = self.sides[place].connection.answer(env, answer);
                    assert!(matches!(told, Ok(()) | Err(UsageError::Closed)), "{told:?}");
                }
                Action::Request(request) => side.asked.push_back(request),
                Action::Event(event) => self.on_event(place, event),
                Action::Entity(event) if side.server => self.registry.handle(event, self.now),
                Action::Entity(event) => {
                    if let Some(plan) = self.entity.handle(event) {
                        side.retry = Some(plan);
                    }
                }
                Action::Close => side.closed = true,
                _ => {}
            }
        }
    }

    fn on_event(&mut self, place: usize, event: Event) {
        let side = &mut self.sides[place];
        match &event {
            Event::Stanza(_) if self.handles => side.connection.handled(1),
            Event::TokenConfirmed { session } => self.registry.confirm(session),
            Event::TokenExposed(claim) => self.registry.revoke(claim),
            Event::ProofExposed { session } => self.registry.revoke_key(session),
            _ => {}
        }
        side.events.push(event);
    }

    /// The error is typed, on the wire, and the last word.
    pub fn assert_failed(
        &mut self,
        place: usize,
        error: &Error,
        condition: Condition,
        source: &str,
    ) {
        let told = (error.condition(), error.source_section());
        assert_eq!(told, (Some(condition), source), "{error}");
        let side = &self.sides[place];
        let tail = format!(
            "<{} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>",
            condition.name()
        );
        let ending = "</stream:error></stream:stream>";
        let said = side.written.contains(&tail) && side.written.ends_with(ending);
        assert!(said, "{}", side.written);
        assert!(side.closed && matches!(side.end(), Some(End::Failed(_) | End::Abandoned(_))));
        assert_eq!(self.give(place, "<more/>").as_ref(), Err(error), "repeated");
    }
}
