//! Transcripts: exchanges as text, replayed against a connection at any split.
//!
//! ```text
//! #! under-test initiating
//! #! account juliet@capulet.test
//! C: <stream:stream …>
//! S: <stream:stream …>
//! C: [tls]
//! S: [tls]
//! @ 20ms
//! * online
//! ```
//!
//! `C:` and `S:` are what the initiating and the receiving entity write, below TLS; a line that begins with two
//! spaces goes on where the last one ended. `[tls]` is where that half goes through TLS. `@` moves the clock. `*`
//! is an event of the connection under test, in its order among what it writes. `#! link` makes it a zero-handshake link,
//! with what else was agreed in words: see [`links::agreed`].

pub mod corpus;
pub mod cuts;
pub mod e2e;
pub mod early;
pub mod echo;
pub mod fuzz;
pub mod house;
pub mod links;
pub mod logins;
pub mod realm;
pub mod servers;
pub mod states;
pub mod words;

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

use std::collections::BTreeMap;
use std::time::Duration;

use onetrip_core::negotiation::sasl;
use onetrip_core::quickstart::{Cache, Features, Key, Known, Level, Policy, Transport};
use onetrip_core::stream::{Env, Instant, Jid, Secret, Stanza};
use onetrip_core::{
    Action, Answer, ClientConfig, Connection, End, Event, Request, ServerConfig, TlsInfo,
};
use onetrip_simulator::Seeded;

/// One step of a transcript.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The initiating entity writes this.
    Initiator(String),
    /// The receiving entity writes this.
    Receiver(String),
    /// The initiating entity's half goes through TLS.
    InitiatorTls,
    /// The receiving entity's half goes through TLS.
    ReceiverTls,
    /// Time passes.
    Wait(Duration),
    /// The connection under test reports this.
    Event(String),
}

/// A transcript and what the connection under test is configured with.
#[derive(Debug, Clone, Default)]
pub struct Transcript {
    /// `#!` lines, by their first word.
    pub settings: BTreeMap<String, String>,
    /// The steps, in order.
    pub steps: Vec<Step>,
}

impl Transcript {
    /// Reads a transcript; `Err` names the line that is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut transcript = Self::default();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            if let Some(setting) = line.strip_prefix("#!") {
                let (key, value) = setting
                    .trim()
                    .split_once(' ')
                    .unwrap_or((setting.trim(), ""));
                transcript.settings.insert(key.to_owned(), value.to_owned());
            } else if let Some(more) = line.strip_prefix("  ") {
                match transcript.steps.last_mut() {
                    Some(Step::Initiator(text) | Step::Receiver(text)) => text.push_str(more),
                    _ => return Err(format!("nothing goes on here: {line}")),
                }
            } else if !line.starts_with("# ") {
                transcript.steps.push(step(line)?);
            }
        }
        Ok(transcript)
    }

    /// A setting.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.settings.get(key).map(String::as_str)
    }

    /// Whether the initiating entity is under test.
    pub fn is_initiator(&self) -> bool {
        self.get("under-test") != Some("receiving")
    }
}

fn step(line: &str) -> Result<Step, String> {
    let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
    match (kind, rest.trim_start()) {
        ("C:", "[tls]") => Ok(Step::InitiatorTls),
        ("S:", "[tls]") => Ok(Step::ReceiverTls),
        ("C:", text) => Ok(Step::Initiator(text.to_owned())),
        ("S:", text) => Ok(Step::Receiver(text.to_owned())),
        ("*", event) => Ok(Step::Event(event.to_owned())),
        ("@", span) => {
            let millis = span
                .trim_end_matches("ms")
                .parse()
                .map_err(|_| format!("no time: {line}"))?;
            Ok(Step::Wait(Duration::from_millis(millis)))
        }
        _ => Err(format!("no step: {line}")),
    }
}

/// A connection under test, and everything it has done.
pub struct Player {
    connection: Connection,
    password: String,
    entropy: Seeded,
    now: Instant,
    tls: (bool, bool),
    /// What was done, in order.
    pub log: Vec<String>,
    derived: BTreeMap<Vec<u8>, sasl::SaltedPassword>,
}

impl Player {
    /// A connection as the transcript's settings say. `derived` saves deriving the same key again and again.
    pub fn new(transcript: &Transcript, derived: BTreeMap<Vec<u8>, sasl::SaltedPassword>) -> Self {
        let account: Jid = transcript
            .get("account")
            .unwrap_or("juliet@im.example.com")
            .parse()
            .expect("an account");
        let password = transcript.get("password").unwrap_or("r0m30myr0m30");
        let transport = if transcript.get("transport") == Some("direct") {
            Transport::DirectTls
        } else {
            Transport::StartTls
        };
        let seed = transcript
            .get("seed")
            .and_then(|seed| seed.parse().ok())
            .unwrap_or(1);
        let mut entropy = Seeded::new(seed);
        let mechanisms = mechanisms(transcript.get("mechanisms").unwrap_or("PLAIN"));
        let connection = if let Some(agreed) = transcript.get("link") {
            links::agreed(agreed, transcript.is_initiator())
        } else if transcript.is_initiator() {
            let mut sasl = sasl::InitiatorConfig::password(
                account.local().unwrap_or_default(),
                Secret::from(password),
            );
            sasl.allowed = mechanisms;
            let config = ClientConfig::new(account.clone(), transport, sasl);
            let plan = plan(transcript, &account, transport);
            Connection::client(config, plan, &mut Env::new(Instant::EPOCH, &mut entropy))
        } else {
            let mut config = ServerConfig::new(
                vec![account.domain().clone()],
                transport,
                sasl::ReceiverConfig::new(mechanisms),
            );
            config.quickstart.advertise = transcript.get("pipelining") != Some("off");
            config.quickstart.proactive_header = transcript.get("proactive") == Some("on");
            Connection::server(config, &mut Env::new(Instant::EPOCH, &mut entropy))
        };
        let mut this = Self {
            connection,
            password: password.to_owned(),
            entropy,
            now: Instant::EPOCH,
            tls: (false, false),
            log: Vec::new(),
            derived,
        };
        this.drain();
        this
    }

    /// The keys derived so far.
    pub fn into_derived(self) -> BTreeMap<Vec<u8>, sasl::SaltedPassword> {
        self.derived
    }

    /// The connection.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Gives bytes in; what is not consumed is in the log.
    pub fn receive(&mut self, bytes: &[u8]) {
        // An error shows in what was written, reported and closed.
        let result = self
            .connection
            .receive(&mut Env::new(self.now, &mut self.entropy), bytes);
        self.drain();
        let left = result.map_or(0, |used| bytes.len() - used);
        if left > 0 {
            self.note(format!("left for TLS: {left} bytes"));
        }
    }

    /// The transport ends.
    pub fn receive_eof(&mut self) {
        self.connection
            .receive_eof(&mut Env::new(self.now, &mut self.entropy));
        self.drain();
    }

    /// Lets time pass, deadline by deadline.
    pub fn wait(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(deadline) = self
            .connection
            .poll_timeout()
            .filter(|deadline| deadline.at <= end)
        {
            self.now = self.now.max(deadline.at);
            self.connection
                .handle_timeout(&mut Env::new(self.now, &mut self.entropy));
            self.drain();
        }
        self.now = end;
    }

    /// TLS is up.
    pub fn established(&mut self) {
        let info = TlsInfo::new();
        self.connection
            .tls_established(&mut Env::new(self.now, &mut self.entropy), info, &[])
            .expect("TLS was being negotiated");
        self.drain();
    }

    /// Whether both halves wait for TLS.
    pub fn wants_tls(&self) -> bool {
        self.tls == (true, true)
    }

    fn note(&mut self, note: String) {
        self.log.push(note);
    }

    fn drain(&mut self) {
        while let Some(action) = self.connection.poll_action() {
            match action {
                Action::Transmit(bytes) => {
                    self.note(format!("transmit {}", String::from_utf8_lossy(&bytes)))
                }
                Action::UpgradeSend => {
                    self.tls.0 = true;
                    self.note("upgrade send".to_owned());
                }
                Action::UpgradeReceive => {
                    self.tls.1 = true;
                    self.note("upgrade receive".to_owned());
                }
                Action::Request(request) => self.decide(request),
                Action::Event(event) => {
                    // An event may overtake a write that is still joining; the log keeps both in one order.
                    let text = describe(&event);
                    self.note(format!("event {text}"));
                    if matches!(event, Event::Stanza(_)) {
                        self.connection.handled(1);
                    }
                }
                Action::Close => self.note("close".to_owned()),
                _ => {}
            }
        }
        if self.wants_tls() {
            self.tls = (false, false);
            self.established();
        }
    }

    fn decide(&mut self, request: Request) {
        let answer = match request {
            Request::Derive(derivation) => {
                let key = self
                    .derived
                    .entry(derivation.salt.clone())
                    .or_insert_with(|| derivation.perform());
                Answer::Derived(key.clone())
            }
            Request::Sasl { request, .. } => Answer::Sasl(decide(request, &self.password)),
            Request::Bind { account, request } => {
                Answer::Bind(request.grant(&account, &mut Env::new(self.now, &mut self.entropy)))
            }
            other => panic!("{other:?}"),
        };
        self.connection
            .answer(&mut Env::new(self.now, &mut self.entropy), answer)
            .expect("it was asked");
    }
}

/// A server with one account, and PLAIN only: deriving keys at every replay would take too long.
fn decide(request: sasl::Request, right: &str) -> sasl::Answer {
    match request {
        sasl::Request::Password {
            username, password, ..
        } if password.expose() == right.as_bytes() => sasl::Answer::Accept { identity: username },
        _ => sasl::Answer::Refuse(sasl::Refusal::NotAuthorized),
    }
}

/// Base64, for bytes that a test puts on the wire.
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let number = (0..3).fold(0, |number, at| {
            number << 8 | u32::from(three.get(at).copied().unwrap_or(0))
        });
        for digit in 0..4 {
            let value = (number >> (18 - 6 * digit)) & 63;
            let digit = if digit > three.len() {
                '='
            } else {
                DIGITS[value as usize].into()
            };
            text.push(digit);
        }
    }
    text
}

/// An event in words, without what changes from run to run.
pub fn describe(event: &Event) -> String {
    match event {
        Event::Secured => "secured".to_owned(),
        Event::Authenticated { mechanism, .. } => format!("authenticated {mechanism}"),
        Event::AuthenticationRefused(failure) => format!("refused {}", failure.refusal.name()),
        Event::Online {
            jid,
            provisional,
            resumed,
        } => format!(
            "{} {jid}{}",
            if *resumed { "resumed" } else { "online" },
            if *provisional { " provisionally" } else { "" }
        ),
        Event::Confirmed => "confirmed".to_owned(),
        // As our writer would have it: its bytes may be the peer's.
        Event::Stanza(stanza) => {
            let written = Stanza::from_element(&stanza.element()).expect("it has been read");
            format!("stanza {}", String::from_utf8_lossy(written.bytes()))
        }
        Event::Established { peer, .. } => format!("established with {peer}"),
        Event::Link(event) => format!("link: {event:?}"),
        Event::Bounce { why, .. } => format!("to be answered: {why}"),
        Event::PeerError(error) => format!("peer error {}", error.condition),
        Event::Closed(End::Clean) => "closed cleanly".to_owned(),
        Event::Closed(End::Cut) => "cut".to_owned(),
        Event::Closed(End::Abandoned(broken)) => format!("abandoned: {broken}"),
        Event::Closed(End::Failed(error)) => format!("failed: {error}"),
        Event::Closed(End::PeerError(error)) => format!("ended by the peer: {}", error.condition),
        other => format!("{other:?}"),
    }
}

/// The mechanisms named, separated by commas.
pub fn mechanisms(names: &str) -> Vec<sasl::Mechanism> {
    names
        .split(',')
        .filter_map(sasl::Mechanism::from_name)
        .collect()
}

/// The level of a name, as in the strategies.
pub fn level(name: &str) -> Level {
    match name {
        "safe" => Level::Safe,
        "paced" => Level::Paced,
        "quickstart" => Level::Full,
        _ => Level::Off,
    }
}

/// A plan for the level of the transcript, as if a session before had shown the mechanism that is used.
pub fn plan(
    transcript: &Transcript,
    account: &Jid,
    transport: Transport,
) -> onetrip_core::quickstart::Plan {
    let key = Key::new(account.domain().clone(), Some(account), transport);
    let mut policy = Policy::default();
    policy.force = Some(level(transcript.get("level").unwrap_or("classic")));
    let mut cache = Cache::default();
    if let Some(assumed) = transcript.get("assumed") {
        cache.remember(
            &key,
            Known::new(
                Features::of_mechanisms(assumed.split(',')),
                Features::default(),
                assumed.to_owned(),
                0,
            ),
        );
    }
    cache.plan(&key, &policy)
}
