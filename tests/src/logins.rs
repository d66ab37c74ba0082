//! Logins between a client and a server in one process, with nothing around them: what benches and tests of memory count.
//!
//! Keys of SCRAM are derived once and kept, as a client does; the server has stored keys.

use std::sync::Arc;
use std::time::Duration;

use onetrip_core::negotiation::sasl::{self, Mechanism};
use onetrip_core::quickstart::{Cache, Level, Policy, Transport};
use onetrip_core::stream::{Content, Domain, Env, Instant, Jid, Secret, Stanza, StanzaKind};
use onetrip_core::{
    Action, Answer, ClientConfig, Connection, Decision, Entity, EntityEvent, Event, InstantResume,
    Management, Registry, Request, ServerConfig, TlsInfo,
};
use onetrip_simulator::Seeded;
use onetrip_simulator::accounts::Accounts;
use onetrip_simulator::certificates::Certificates;
use onetrip_tls::rustls::rustls::{ClientConfig as TlsClient, ServerConfig as TlsServer};
use onetrip_tls::rustls::{RustlsSession, Versions};
use onetrip_tls::{Output, Secured};

const ACCOUNT: &str = "juliet@im.example.com/balcony";
const PASSWORD: &str = "r0m30myr0m30";
const MESSAGE: &str = "<message to='romeo@montague.example' type='chat' id='1'><body>Wherefore art thou?</body></message>";

/// How a client comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Step by step, as in RFC 6120.
    Classic(Mechanism),
    /// All in one flight, with what is known of the server (XEP-0305).
    Quickstart(Mechanism),
    /// By its token, with its session (instant stream resumption).
    Instant,
}

/// One end, whether its transport is real TLS or is taken for it.
pub enum End {
    /// The bytes are clear, and the connection is told that they are not.
    Bare(Box<Connection>),
    /// On rustls.
    Tls(Box<Secured<RustlsSession>>),
}

/// What an end wants done.
enum Step {
    Transmit(bytes::Bytes),
    Request(Request),
    Event(Event),
    Entity(EntityEvent),
    /// Nothing that needs doing here.
    Other,
}

impl End {
    /// Gives bytes in.
    pub fn receive(&mut self, env: &mut Env<'_>, bytes: &[u8]) {
        match self {
            Self::Bare(connection) => {
                let mut rest = bytes;
                // It stops where a layer changes, and behind that goes on with the rest.
                while let Ok(used @ 1..) = connection.receive(env, rest) {
                    rest = rest.get(used..).unwrap_or_default();
                }
            }
            Self::Tls(secured) => drop(secured.receive(env, bytes)),
        }
    }

    /// Sends a stanza.
    pub fn send(&mut self, env: &mut Env<'_>, stanza: &Stanza) {
        let sent = match self {
            Self::Bare(connection) => connection.send(env, stanza),
            Self::Tls(secured) => secured.send(env, stanza),
        };
        sent.expect("it is online");
    }

    /// Whether stanzas may be sent.
    pub fn is_online(&self) -> bool {
        match self {
            Self::Bare(connection) => connection.is_online(),
            Self::Tls(secured) => secured.connection().is_online(),
        }
    }

    /// Where it is called a step is taken apart at once, so it need not be put together first.
    #[inline(always)]
    fn next(&mut self, env: &mut Env<'_>) -> Option<Step> {
        Some(match self {
            Self::Bare(connection) => match connection.poll_action()? {
                Action::Transmit(bytes) => Step::Transmit(bytes),
                Action::Request(request) => Step::Request(request),
                Action::Event(event) => Step::Event(event),
                Action::Entity(event) => Step::Entity(event),
                Action::UpgradeReceive => {
                    let told = connection.tls_established(env, TlsInfo::new(), &[]);
                    told.expect("both halves have been switched");
                    Step::Other
                }
                _ => Step::Other,
            },
            Self::Tls(secured) => match secured.poll_output()? {
                Output::Transmit(bytes) => Step::Transmit(bytes),
                Output::Request(request) => Step::Request(request),
                Output::Event(event) => Step::Event(event),
                Output::Entity(event) => Step::Entity(event),
                _ => Step::Other,
            },
        })
    }

    fn answer(&mut self, env: &mut Env<'_>, answer: Answer) {
        let taken = match self {
            Self::Bare(connection) => connection.answer(env, answer),
            Self::Tls(secured) => secured.answer(env, answer),
        };
        taken.expect("it was asked");
    }

    fn handled(&mut self) {
        match self {
            Self::Bare(connection) => connection.handled(1),
            Self::Tls(secured) => secured.handled(1),
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let deadline = match self {
            Self::Bare(connection) => connection.poll_timeout(),
            Self::Tls(secured) => secured.poll_timeout(),
        };
        deadline.map(|deadline| deadline.at)
    }

    fn handle_timeout(&mut self, env: &mut Env<'_>) {
        match self {
            Self::Bare(connection) => connection.handle_timeout(env),
            Self::Tls(secured) => secured.handle_timeout(env),
        }
    }

    fn cut(&mut self, env: &mut Env<'_>) {
        match self {
            Self::Bare(connection) => connection.receive_eof(env),
            Self::Tls(secured) => secured.receive_eof(env),
        }
    }
}

/// What client and server keep from one login to the next.
pub struct Logins {
    way: Way,
    tls: Option<(Arc<TlsClient>, Arc<TlsServer>)>,
    account: Jid,
    entity: Entity,
    registry: Registry,
    accounts: Accounts,
    derived: Option<sasl::SaltedPassword>,
    message: Stanza,
    entropy: Seeded,
    now: Instant,
    /// How many messages have arrived.
    pub messages: usize,
}

impl Logins {
    /// All that such a login needs has been learnt; `tls` is rustls with a P-256 certificate.
    pub fn new(way: Way, tls: bool) -> Self {
        let account: Jid = ACCOUNT.parse().expect("an address");
        let mut entropy = Seeded::new(3);
        let mut accounts = Accounts::new();
        let env = &mut Env::new(Instant::EPOCH, &mut entropy);
        assert!(accounts.add(&account, PASSWORD, env));
        let mut this = Self {
            way,
            tls: tls.then(|| configurations(account.domain())),
            entity: Entity::new(Cache::default(), Policy::default()),
            registry: Registry::new(Duration::from_secs(300)),
            accounts,
            derived: None,
            message: Stanza::parse(MESSAGE.as_bytes(), Content::Client).expect("a stanza"),
            account,
            entropy,
            now: Instant::EPOCH,
            messages: 0,
        };
        this.set_level(Level::Off);
        let mut pair = this.log_in();
        if way == Way::Instant {
            this.cut(&mut pair);
        } else if matches!(way, Way::Quickstart(_)) {
            this.set_level(Level::Full);
        }
        this
    }

    fn set_level(&mut self, level: Level) {
        let mut policy = Policy::default();
        policy.force = Some(level);
        self.entity.set_policy(policy);
    }

    fn mechanism(&self) -> Mechanism {
        match self.way {
            Way::Classic(mechanism) | Way::Quickstart(mechanism) => mechanism,
            Way::Instant => Mechanism::Plain,
        }
    }

    /// From the first header to the client's first message, which has arrived.
    pub fn log_in(&mut self) -> [End; 2] {
        let mut pair = self.connect();
        self.talk(&mut pair);
        let env = &mut Env::new(self.now, &mut self.entropy);
        pair[0].send(env, &self.message);
        self.talk(&mut pair);
        assert!(pair.iter().all(End::is_online));
        pair
    }

    /// Both ends, before the first byte.
    pub fn connect(&mut self) -> [End; 2] {
        let mechanism = self.mechanism();
        let user = self.account.local().unwrap_or_default();
        let mut sasl = sasl::InitiatorConfig::password(user, Secret::from(PASSWORD));
        sasl.allowed = vec![mechanism];
        let transport = Transport::DirectTls;
        let mut client = ClientConfig::new(self.account.clone(), transport, sasl);
        client.management = Some(Management::default());
        let domains = vec![self.account.domain().clone()];
        let offered = sasl::ReceiverConfig::new(vec![mechanism]);
        let mut server = ServerConfig::new(domains, transport, offered);
        server.management = Some(Default::default());
        server.instant_resume = (self.way == Way::Instant).then(InstantResume::default);
        let env = &mut Env::new(self.now, &mut self.entropy);
        let client = self.entity.connect(client, env);
        let server = Connection::server(server, env);
        if self.tls.is_none() {
            return [client, server].map(|connection| End::Bare(Box::new(connection)));
        }
        let [outbound, inbound] = self.sessions();
        let secured = [
            Secured::new(client, outbound),
            Secured::new(server, inbound),
        ];
        secured.map(|secured| End::Tls(Box::new(secured)))
    }

    /// New sessions of rustls for both ends.
    pub fn sessions(&self) -> [RustlsSession; 2] {
        let (outbound, inbound) = self.tls.clone().expect("a login with TLS");
        let outbound = RustlsSession::client(outbound, self.account.domain());
        [outbound, RustlsSession::server(inbound)].map(|session| session.expect("it is configured"))
    }

    /// Lets both talk until all is said.
    pub fn talk(&mut self, pair: &mut [End; 2]) {
        let [client, server] = pair;
        let mut wire = Vec::new();
        self.drain(server, true, &mut wire);
        loop {
            self.give(client, &mut wire, false);
            if wire.is_empty() {
                return;
            }
            self.give(server, &mut wire, true);
        }
    }

    /// Gives an end what is on the wire, and takes what it says to that.
    fn give(&mut self, end: &mut End, wire: &mut Vec<bytes::Bytes>, server: bool) {
        for bytes in wire.drain(..) {
            end.receive(&mut Env::new(self.now, &mut self.entropy), &bytes);
        }
        self.drain(end, server, wire);
    }

    fn drain(&mut self, end: &mut End, server: bool, wire: &mut Vec<bytes::Bytes>) {
        loop {
            let step = end.next(&mut Env::new(self.now, &mut self.entropy));
            match step {
                None => return,
                Some(Step::Transmit(bytes)) => wire.push(bytes),
                Some(Step::Request(request)) => {
                    let answer = self.decide(request);
                    end.answer(&mut Env::new(self.now, &mut self.entropy), answer);
                    // What came along behind the question was waiting.
                    end.receive(&mut Env::new(self.now, &mut self.entropy), &[]);
                }
                Some(Step::Event(Event::Stanza(stanza))) => {
                    // A client that runs ahead sends a ping of its own.
                    self.messages += usize::from(stanza.head().kind == StanzaKind::Message);
                    end.handled();
                }
                Some(Step::Event(Event::TokenConfirmed { session })) => {
                    self.registry.confirm(&session);
                }
                Some(Step::Entity(event)) if server => self.registry.handle(event, self.now),
                Some(Step::Entity(event)) => drop(self.entity.handle(event)),
                Some(Step::Event(_) | Step::Other) => {}
            }
        }
    }

    fn decide(&mut self, request: Request) -> Answer {
        let env = &mut Env::new(self.now, &mut self.entropy);
        match request {
            Request::Sasl { domain, request } => {
                Answer::Sasl(self.accounts.decide(request, &domain))
            }
            Request::Derive(derivation) => {
                let derived = self.derived.get_or_insert_with(|| derivation.perform());
                Answer::Derived(derived.clone())
            }
            Request::Bind { account, request } => Answer::Bind(request.grant(&account, env)),
            request => match self.registry.decide(env, &request) {
                Some(Decision::Answer(answer)) => answer,
                _ => Answer::NoSession { h: None },
            },
        }
    }

    /// One end sends a stanza, and both talk until all is said.
    pub fn send(&mut self, pair: &mut [End; 2], from: usize, stanza: &Stanza) {
        pair[from].send(&mut Env::new(self.now, &mut self.entropy), stanza);
        self.talk(pair);
    }

    /// Time passes until neither end waits for anything: what was sent is acknowledged.
    pub fn settle(&mut self, pair: &mut [End; 2]) {
        while let Some(at) = pair.iter().filter_map(End::poll_timeout).min() {
            self.now = at;
            for end in &mut *pair {
                end.handle_timeout(&mut Env::new(self.now, &mut self.entropy));
            }
            self.talk(pair);
        }
    }

    /// The transport of both is gone.
    pub fn cut(&mut self, pair: &mut [End; 2]) {
        for (server, end) in [false, true].into_iter().zip(pair) {
            end.cut(&mut Env::new(self.now, &mut self.entropy));
            self.drain(end, server, &mut Vec::new());
        }
    }
}

fn configurations(domain: &Domain) -> (Arc<TlsClient>, Arc<TlsServer>) {
    let certificates = Certificates::new(std::slice::from_ref(domain)).expect("certificates");
    let client = certificates.client(Versions::Tls13, false);
    let server = certificates.server(Versions::Tls13, false, false);
    (client.expect("TLS"), server.expect("TLS"))
}

#[cfg(test)]
mod tests {
    use onetrip_core::negotiation::sasl::Mechanism;

    use super::{Logins, Way};

    #[test]
    fn every_way_delivers_its_message_again_and_again() {
        let ways = [Mechanism::Plain, Mechanism::ScramSha256].into_iter();
        let ways = ways.flat_map(|mechanism| [Way::Classic(mechanism), Way::Quickstart(mechanism)]);
        for way in ways.chain([Way::Instant]) {
            for tls in [false, true] {
                let mut logins = Logins::new(way, tls);
                for _ in 0..3 {
                    let before = logins.messages;
                    let mut pair = logins.log_in();
                    assert_eq!(logins.messages, before + 1, "{way:?}, {tls}");
                    if way == Way::Instant {
                        logins.cut(&mut pair);
                    }
                }
            }
        }
    }
}
