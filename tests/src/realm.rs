//! Servers with several domains each, and connections between them as they want them: what comes of the stanzas they send
//! each other, whatever is delivered, closed or cut when.
//!
//! TLS is left out, as if it succeeded at once; everything else is real bytes.

use std::collections::BTreeMap;

use onetrip_core::dialback::{Awaited, Checked, ConnectionId, Event as Dialback, Verification};
use onetrip_core::quickstart::{Cache, Level, Plan, Policy, Transport};
use onetrip_core::stream::{Content, Domain, Env, Instant, Jid, Stanza, StanzaKind, Text};
use onetrip_core::{
    Action, Answer, Connection, End as Ended, Entity, Event, InboundConfig, OutboundConfig, Peers,
    PeersAction, Request, ReverseFacts, TlsInfo, UsageError,
};
use onetrip_simulator::Seeded;

use crate::servers::{dialback, domain, plan};

/// A server.
struct Server {
    peers: Peers,
    /// What it remembers of the others.
    entity: Entity,
    /// The plans of retries.
    retries: BTreeMap<Domain, Plan>,
    domains: Vec<Domain>,
    bidi: bool,
    certified: bool,
}

/// One end of one connection: whose, and its number there.
type Place = (usize, ConnectionId);

struct End {
    connection: Connection,
    other: Place,
    wire: Vec<u8>,
    upgrades: u8,
    closed: bool,
    /// Whether what was sent here may have been lost.
    lossy: bool,
}

/// What has become of a stanza.
#[derive(Debug, Default)]
pub struct Fate {
    /// Where it was sent.
    sent: Vec<Place>,
    /// How often it arrived.
    pub delivered: u32,
    /// How often it came back to its sender.
    pub returned: u32,
}

/// See the module.
pub struct Realm {
    servers: Vec<Server>,
    ends: BTreeMap<Place, End>,
    now: Instant,
    entropy: Seeded,
    /// By the number of the stanza.
    pub fates: Vec<Fate>,
}

impl Realm {
    /// Three servers with two domains each; `kind` says in bits which of them have bidi, and which a certificate.
    #[must_use]
    pub fn new(kind: u8, level: Option<Level>) -> Self {
        let mut policy = Policy::default();
        policy.force = level;
        let names = ["capulet.lit", "montague.lit", "verona.lit"];
        let servers = names.iter().enumerate().map(|(place, name)| Server {
            peers: Peers::default(),
            entity: Entity::new(Cache::default(), policy.clone()),
            retries: BTreeMap::new(),
            domains: vec![domain(name), domain(&format!("chat.{name}"))],
            bidi: kind & (1 << place) != 0,
            certified: kind & (8 << place) != 0,
        });
        Self {
            servers: servers.collect(),
            ends: BTreeMap::new(),
            now: Instant::EPOCH,
            entropy: Seeded::new(u64::from(kind)),
            fates: Vec::new(),
        }
    }

    fn server_of(&self, domain: &Domain) -> usize {
        let hosts = |server: &Server| server.domains.contains(domain);
        self.servers.iter().position(hosts).expect("a known domain")
    }

    /// Sends the next stanza: from one of six domains to one of the four that are another server's.
    pub fn send(&mut self, from: usize, to: usize) {
        let (one, other) = (from / 2 % 3, (from / 2 + 1 + to / 2 % 2) % 3);
        let from = self.servers[one].domains[from % 2].clone();
        let to = self.servers[other].domains[to % 2].clone();
        let number = self.fates.len();
        let text = format!("<message id='{number}' from='a@{from}' to='b@{to}'/>");
        self.fates.push(Fate::default());
        let stanza = Stanza::parse(text.as_bytes(), Content::Server).expect("a stanza");
        self.servers[one].peers.route(stanza);
        self.settle();
    }

    /// Delivers up to so many bytes that one of the ends has written.
    pub fn deliver(&mut self, which: usize, most: usize) {
        let ready = |end: &End| !end.wire.is_empty() || end.closed;
        let places: Vec<Place> = self
            .ends
            .iter()
            .filter(|(_, end)| ready(end))
            .map(|(place, _)| *place)
            .collect();
        if !places.is_empty() {
            self.deliver_from(places[which % places.len()], most);
        }
    }

    fn deliver_from(&mut self, place: Place, most: usize) -> bool {
        let Some(end) = self.ends.get_mut(&place) else {
            return false;
        };
        let other = end.other;
        let taken = end.wire.len().min(most);
        let bytes: Vec<u8> = end.wire.drain(..taken).collect();
        let over = end.closed && end.wire.is_empty();
        let env = &mut Env::new(self.now, &mut self.entropy);
        let Some(end) = self.ends.get_mut(&other).filter(|end| !end.closed) else {
            return taken > 0;
        };
        if taken > 0 {
            // An error shows in what is written and reported.
            let _ = end.connection.receive(env, &bytes);
        }
        if over {
            end.connection.receive_eof(env);
        }
        self.settle();
        taken > 0 || over
    }

    fn nth(&self, which: usize) -> Option<Place> {
        let places: Vec<Place> = self
            .ends
            .iter()
            .filter(|(_, end)| !end.closed)
            .map(|(place, _)| *place)
            .collect();
        (!places.is_empty()).then(|| places[which % places.len()])
    }

    /// One of the connections is gone, with all that was on its way.
    pub fn cut(&mut self, which: usize) {
        let Some(place) = self.nth(which) else { return };
        for place in [place, self.ends[&place].other] {
            if let Some(end) = self.ends.get_mut(&place) {
                end.wire.clear();
                end.lossy = true;
                let env = &mut Env::new(self.now, &mut self.entropy);
                end.connection.receive_eof(env);
            }
        }
        self.settle();
    }

    /// One of the ends closes its stream.
    pub fn close(&mut self, which: usize) {
        let end = self.nth(which).and_then(|place| self.ends.get_mut(&place));
        if let Some(end) = end {
            let env = &mut Env::new(self.now, &mut self.entropy);
            end.connection.close(env);
        }
        self.settle();
    }

    /// Everything is delivered, and every deadline met.
    pub fn finish(&mut self) {
        for _ in 0..500 {
            let mut moved = true;
            while moved {
                moved = false;
                let places: Vec<Place> = self.ends.keys().copied().collect();
                for place in places {
                    moved |= self.deliver_from(place, usize::MAX);
                }
            }
            let open = self.ends.values_mut().filter(|end| !end.closed);
            let deadline = open
                .filter_map(|end| end.connection.poll_timeout())
                .min_by_key(|due| due.at);
            let Some(deadline) = deadline else { return };
            self.now = self.now.max(deadline.at);
            for end in self.ends.values_mut().filter(|end| !end.closed) {
                let env = &mut Env::new(self.now, &mut self.entropy);
                end.connection.handle_timeout(env);
            }
            self.settle();
        }
        panic!("they never stop");
    }

    /// How many connections there have been.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.ends.len() / 2
    }

    /// No stanza arrives twice, and none that does not arrive is lost in silence: only where a connection was `cut` may what
    /// was on its way be gone, as there is no stream management.
    pub fn assert_nothing_is_lost(&self, cut: bool) {
        for (number, fate) in self.fates.iter().enumerate() {
            assert!(fate.delivered + fate.returned <= 1, "{number}: {fate:?}");
            let lossy = fate.sent.iter().any(|place| self.ends[place].lossy);
            let told = fate.delivered + fate.returned == 1;
            assert!(told || (cut && lossy), "{number}: {fate:?}");
        }
        let waiting = |server: &Server| server.peers.waiting();
        assert_eq!(self.servers.iter().map(waiting).sum::<usize>(), 0);
    }

    /// Carries out everything that anybody asks for.
    fn settle(&mut self) {
        loop {
            let mut idle = true;
            for server in 0..self.servers.len() {
                while let Some(action) = self.servers[server].peers.poll_action() {
                    idle = false;
                    self.on_peers(server, action);
                }
            }
            let places: Vec<Place> = self.ends.keys().copied().collect();
            for place in places {
                while let Some(action) = self
                    .ends
                    .get_mut(&place)
                    .and_then(|end| end.connection.poll_action())
                {
                    idle = false;
                    self.on_action(place, action);
                }
            }
            if idle {
                return;
            }
        }
    }

    fn on_peers(&mut self, server: usize, action: PeersAction) {
        let env = &mut Env::new(self.now, &mut self.entropy);
        match action {
            PeersAction::Open { connection, pair } => {
                let config = self.outbound((server, connection), &pair.from, &pair.to);
                let env = &mut Env::new(self.now, &mut self.entropy);
                let here = &mut self.servers[server];
                let made = match here.retries.remove(&pair.to) {
                    Some(plan) => Connection::outbound(config, plan, env),
                    None => here.entity.connect_to(config, env),
                };
                self.link((server, connection), made, &pair.to);
            }
            PeersAction::Ask {
                connection,
                pair,
                resolves_here,
            } => {
                let asked = self
                    .ends
                    .get_mut(&(server, connection))
                    .map(|end| end.connection.ask(env, pair.clone(), resolves_here));
                if asked != Some(Ok(())) {
                    self.servers[server].peers.not_asked(connection, &pair);
                }
            }
            PeersAction::Send { connection, stanza } => {
                let place = (server, connection);
                let end = self.ends.get_mut(&place).expect("it was made");
                if end.connection.send(env, &stanza).is_ok() {
                    self.fates[number(&stanza)].sent.push(place);
                } else {
                    self.servers[server].peers.not_sent(connection, stanza);
                }
            }
            PeersAction::Return { stanza, .. } => self.fates[number(&stanza)].returned += 1,
            _ => {}
        }
    }

    fn outbound(&self, (server, connection): Place, from: &Domain, to: &Domain) -> OutboundConfig {
        let server = &self.servers[server];
        let (from, to) = (from.clone(), to.clone());
        let mut config = OutboundConfig::new(connection, from, to, Transport::StartTls);
        config.hosted.clone_from(&server.domains);
        config.certificate = server.certified;
        config.dialback = Some(dialback());
        config.bidi.request = server.bidi;
        config
    }

    /// The other end of a connection: at whoever has the domain.
    fn link(&mut self, place: Place, made: Connection, to: &Domain) {
        let there = self.server_of(to);
        let server = &mut self.servers[there];
        let connection = server.peers.add();
        let mut config =
            InboundConfig::new(connection, server.domains.clone(), Transport::StartTls);
        config.dialback = Some(dialback());
        config.bidi.offer = server.bidi;
        let other = (there, connection);
        let env = &mut Env::new(self.now, &mut self.entropy);
        let accepted = Connection::inbound(config, env);
        for (place, other, connection) in [(place, other, made), (other, place, accepted)] {
            let end = End {
                connection,
                other,
                wire: Vec::new(),
                upgrades: 0,
                closed: false,
                lossy: false,
            };
            self.ends.insert(place, end);
        }
    }

    fn on_action(&mut self, place: Place, action: Action) {
        let Some(end) = self.ends.get_mut(&place) else {
            return;
        };
        let env = &mut Env::new(self.now, &mut self.entropy);
        match action {
            Action::Transmit(bytes) => end.wire.extend_from_slice(&bytes),
            Action::UpgradeSend | Action::UpgradeReceive => {
                end.upgrades += 1;
                if end.upgrades == 2 {
                    let mut info = TlsInfo::new();
                    let other = &self.servers[end.other.0];
                    if other.certified {
                        info.names = other
                            .domains
                            .iter()
                            .map(|name| name.as_str().to_owned())
                            .collect();
                    }
                    // It may be over by now, and then it is refused.
                    let told = end.connection.tls_established(env, info, &[]);
                    assert!(matches!(told, Ok(_) | Err(UsageError::Closed)), "{told:?}");
                }
            }
            Action::Request(request) => self.on_request(place, request),
            Action::Event(event) => self.on_event(place, &event),
            Action::Entity(event) => {
                let remote = end.connection.peer_domain().cloned();
                let here = &mut self.servers[place.0];
                if let (Some(plan), Some(remote)) = (here.entity.handle(event), remote) {
                    here.retries.insert(remote, plan);
                }
            }
            Action::Close => end.closed = true,
            _ => {}
        }
    }

    fn on_request(&mut self, place: Place, request: Request) {
        match request {
            Request::Verify(verification) => self.verify(place.0, &verification),
            Request::Vouch { pair, id } => {
                let waits = |(of, end): (&Place, &End)| {
                    of.0 == place.0 && !end.closed && end.connection.awaits(&pair, &id)
                };
                let awaited = if self.ends.iter().any(waits) {
                    Awaited::Elsewhere
                } else {
                    Awaited::Nowhere
                };
                let env = &mut Env::new(self.now, &mut self.entropy);
                let end = self.ends.get_mut(&place).expect("it asked");
                let _ = end.connection.answer(env, Answer::Awaited(awaited));
            }
            Request::Reverse { pair, .. } => {
                let other = self.ends[&place].other.0;
                let facts = ReverseFacts {
                    resolves_here: self.server_of(&pair.from) == other,
                    fresh_id: true,
                };
                let env = &mut Env::new(self.now, &mut self.entropy);
                let end = self.ends.get_mut(&place).expect("it asked");
                let _ = end.connection.judged(env, &pair, facts);
            }
            other => panic!("{other:?}"),
        }
    }

    fn verify(&mut self, server: usize, verification: &Verification) {
        let there = self.servers[server].peers.verifies(verification);
        if let Some(connection) = there {
            let env = &mut Env::new(self.now, &mut self.entropy);
            let end = self
                .ends
                .get_mut(&(server, connection))
                .expect("it was made");
            if end.connection.verify(env, verification).is_ok() {
                return;
            }
        }
        let connection = self.servers[server].peers.add();
        let place = (server, connection);
        let pair = &verification.pair;
        let config = self.outbound(place, &pair.to, &pair.from);
        let plan = plan(&config, Level::Safe, None);
        let env = &mut Env::new(self.now, &mut self.entropy);
        let made = Connection::verifier(config, plan, verification, env).expect("another one");
        self.link(place, made, &pair.from);
    }

    fn on_event(&mut self, place: Place, event: &Event) {
        match event {
            Event::Stanza(stanza) => self.on_stanza(place, stanza),
            Event::Dialback(Dialback::Checked { ticket, checked }) => {
                self.on_checked((place.0, ticket.connection()), *ticket, *checked);
            }
            Event::Closed(ended) if !matches!(ended, Ended::Clean) => {
                for place in [place, self.ends[&place].other] {
                    if let Some(end) = self.ends.get_mut(&place) {
                        end.lossy = true;
                    }
                }
            }
            _ => {}
        }
        self.servers[place.0].peers.handle(place.1, event);
    }

    /// Answers what a server asks to see whether it is heard (QS-R10).
    fn pong(&mut self, place: Place, ping: &Stanza) {
        let head = ping.head();
        let [from, to, id] =
            [&head.to, &head.from, &head.id].map(|text| text.as_deref().unwrap_or_default());
        let text = format!("<iq type='result' from='{from}' to='{to}' id='{id}'/>");
        let answer = Stanza::parse(text.as_bytes(), Content::Server).expect("a stanza");
        let env = &mut Env::new(self.now, &mut self.entropy);
        if let Some(end) = self.ends.get_mut(&place) {
            let _ = end.connection.send(env, &answer);
        }
    }

    fn on_checked(
        &mut self,
        place: Place,
        ticket: onetrip_core::dialback::Ticket,
        checked: Checked,
    ) {
        let env = &mut Env::new(self.now, &mut self.entropy);
        if let Some(end) = self.ends.get_mut(&place) {
            let _ = end.connection.verified(env, ticket, checked);
        }
    }

    /// Nothing reaches a server that is not meant for it, and nothing comes from one that it is not from.
    fn on_stanza(&mut self, place: Place, stanza: &Stanza) {
        let server = |text: &Option<Text>| {
            let jid: Jid = text.as_deref().and_then(|text| text.parse().ok())?;
            Some(self.server_of(jid.domain()))
        };
        let head = stanza.head();
        let way = (server(&head.from), server(&head.to));
        let other = self.ends[&place].other.0;
        assert_eq!(way, (Some(other), Some(place.0)), "{head:?}");
        match head.kind {
            StanzaKind::Iq => self.pong(place, stanza),
            _ => self.fates[number(stanza)].delivered += 1,
        }
    }
}

fn number(stanza: &Stanza) -> usize {
    let id = stanza.head().id.as_deref();
    id.and_then(|id| id.parse().ok()).expect("a number")
}
