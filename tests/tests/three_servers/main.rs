//! Three servers of several domains each, random schedules, and one sentence: no stanza goes by a connection whose pair was
//! not validated, none is lost without a word, none comes twice, none goes to the wrong server, and those of a pair stay in
//! order.
//!
//! What was validated is read off the wire by a witness that knows nothing of the machines.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use onetrip_core::bidi::Change;
use onetrip_core::dialback::{
    Awaited, Checked, ConnectionId, Event as Dialback, Reason, Ticket, Verification,
};
use onetrip_core::quickstart::{Level, Transport};
use onetrip_core::stream::{Condition, Content, Env, Pair, Secret, Stanza, Text};
use onetrip_core::{
    Answer, Connection, DialbackConfig, End, ErrorKind, Event, InboundConfig, OutboundConfig,
    Peers, PeersAction, PeersConfig, Request, ReverseFacts,
};
use onetrip_tests::servers::{Servers, domain, pair, plan};

mod schedule;

const DOMAINS: [&[&str]; 3] = [
    &["capulet.lit", "chat.capulet.lit", "upload.capulet.lit"],
    &["montague.lit", "chat.montague.lit"],
    &["verona.lit", "prince.verona.lit"],
];

/// How long connections stay that nobody uses, where they are closed.
const IDLE: Duration = Duration::from_secs(25);

/// Which server a domain belongs to.
fn home(name: &str) -> usize {
    DOMAINS
        .iter()
        .position(|names| names.contains(&name))
        .expect("a domain of somebody's")
}

fn inverse(pair: &Pair) -> Pair {
    Pair::new(pair.to.clone(), pair.from.clone())
}

fn pair_of(stanza: &Stanza) -> Pair {
    let name = |address: &Option<Text>| {
        address
            .as_deref()
            .unwrap()
            .split_once('@')
            .unwrap()
            .1
            .to_owned()
    };
    pair(&name(&stanza.head().from), &name(&stanza.head().to))
}

fn id_of(stanza: &Stanza) -> &str {
    stanza.head().id.as_deref().unwrap()
}

fn attribute<'a>(tag: &'a str, name: &str) -> &'a str {
    let found = tag.split_once(&format!(" {name}='"));
    found.map_or("", |(_, rest)| rest.split('\'').next().unwrap())
}

/// How the servers are set up.
#[derive(Debug, Clone)]
struct Setup {
    /// Whether the certificate of one server proves its domains to another.
    proved: [[bool; 3]; 3],
    /// Whether a server offers bidirectional streams.
    bidi: [bool; 3],
    /// Whether further pairs are asked for on connections that there are.
    multiplex: [bool; 3],
    /// Whether that goes for connections of the other end.
    reverse: [bool; 3],
    /// Whether a server knows which domains are at the same place.
    located: [bool; 3],
    starttls: bool,
    /// Whether connections are closed that nobody uses.
    idle: bool,
    safe: bool,
    piece: usize,
}

/// What becomes of a stanza.
#[derive(Debug, Default)]
struct Fate {
    carried: Option<usize>,
    /// Whether an earlier connection of the pair was still good when it went out on another.
    moved_early: bool,
    arrived: usize,
    returned: usize,
    forged: bool,
}

/// One end of a connection.
struct Place {
    node: usize,
    number: ConnectionId,
    other: usize,
    initiates: bool,
    /// The pair of the stream header.
    pair: Pair,
    /// How much of what it has written and reported has been looked at.
    seen: [usize; 2],
    /// The pairs it has accepted, and those that the other end is known to it to have accepted.
    said: BTreeSet<Pair>,
    heard: BTreeSet<Pair>,
    bidi: bool,
    gone: bool,
    /// Whether the schedule has damaged it.
    damaged: bool,
    closing: bool,
}

struct World {
    setup: Setup,
    servers: Servers,
    peers: Vec<Peers>,
    places: Vec<Place>,
    numbers: BTreeMap<(usize, ConnectionId), usize>,
    fates: Vec<Fate>,
    sent: BTreeMap<Pair, Vec<usize>>,
    latest: BTreeMap<Pair, usize>,
    refuse: usize,
}

impl World {
    fn new(setup: Setup) -> Self {
        let peers = |node: usize| {
            let mut config = PeersConfig::default();
            config.multiplex = setup.multiplex[node];
            config.reverse = setup.reverse[node];
            let mut peers = Peers::new(config);
            if setup.located[node] {
                for (at, names) in DOMAINS.iter().enumerate() {
                    names
                        .iter()
                        .for_each(|name| peers.locate(domain(name), at.to_string()));
                }
            }
            peers
        };
        Self {
            peers: (0..3).map(peers).collect(),
            servers: Servers {
                piece: setup.piece,
                ..Servers::default()
            },
            setup,
            places: Vec::new(),
            numbers: BTreeMap::new(),
            fates: Vec::new(),
            sent: BTreeMap::new(),
            latest: BTreeMap::new(),
            refuse: 0,
        }
    }

    fn dialback(node: usize) -> Option<DialbackConfig> {
        Some(DialbackConfig::new(Secret::from(
            ["capulet", "montague", "verona"][node],
        )))
    }

    fn transport(&self) -> Transport {
        if self.setup.starttls {
            Transport::StartTls
        } else {
            Transport::DirectTls
        }
    }

    fn outbound(&self, node: usize, number: ConnectionId, pair: &Pair) -> OutboundConfig {
        let (local, remote) = (pair.from.clone(), pair.to.clone());
        let mut config = OutboundConfig::new(number, local, remote, self.transport());
        config.hosted = DOMAINS[node].iter().map(|name| domain(name)).collect();
        config.dialback = Self::dialback(node);
        config.bounds.idle = self.setup.idle.then_some(IDLE);
        config
    }

    /// What the certificate of one server proves to another.
    fn names(&self, of: usize, to: usize) -> &'static [&'static str] {
        if self.setup.proved[of][to] {
            DOMAINS[of]
        } else {
            &[]
        }
    }

    /// Both ends of a connection.
    fn connect(
        &mut self,
        node: usize,
        number: ConnectionId,
        pair: &Pair,
        leg: Option<&Verification>,
    ) {
        let to = home(pair.to.as_str());
        let config = self.outbound(node, number, pair);
        let level = if self.setup.safe {
            Level::Safe
        } else {
            Level::Off
        };
        let plan = plan(&config, level, None);
        let names = self.names(to, node);
        let one = match leg {
            None => self.servers.open(config, plan, names),
            Some(verification) => {
                let env = &mut Env::new(self.servers.now, &mut self.servers.entropy);
                let made = Connection::verifier(config, plan, verification, env).unwrap();
                self.servers.add(made, names)
            }
        };
        let accepted = self.peers[to].add();
        let domains = DOMAINS[to].iter().map(|name| domain(name)).collect();
        let mut config = InboundConfig::new(accepted, domains, self.transport());
        config.dialback = Self::dialback(to);
        config.bounds.idle = self.setup.idle.then_some(IDLE);
        config.bidi.offer = self.setup.bidi[to];
        let other = self.servers.accept(config, self.names(node, to));
        for (place, node, number, other) in [(one, node, number, other), (other, to, accepted, one)]
        {
            assert_eq!(place, self.places.len());
            self.numbers.insert((node, number), place);
            self.places.push(Place {
                node,
                number,
                other,
                initiates: place == one,
                pair: pair.clone(),
                seen: [0, 0],
                said: BTreeSet::new(),
                heard: BTreeSet::new(),
                bidi: false,
                gone: false,
                damaged: false,
                closing: false,
            });
        }
    }

    /// Looks at what is written by one end: what it accepts, and whether its stanzas may go out.
    fn witness(&mut self, place: usize) {
        while let Some(text) = self.servers.sides[place]
            .writes
            .get(self.places[place].seen[0])
        {
            let text = text.clone();
            self.places[place].seen[0] += 1;
            for tag in text.split('<').skip(1) {
                match tag.split([' ', '>', '/']).next().unwrap() {
                    "message" => {
                        let stanza = Stanza::parse(format!("<{tag}").as_bytes(), Content::Server);
                        let pair = pair_of(&stanza.unwrap());
                        let here = &self.places[place];
                        assert_eq!(home(pair.from.as_str()), here.node, "not ours");
                        let heard = here.heard.contains(&pair) && (here.initiates || here.bidi);
                        let said = here.said.contains(&inverse(&pair)) && here.bidi;
                        assert!(
                            heard || said,
                            "left for a pair that was not validated: {pair:?}"
                        );
                        let there = self.places[here.other].node;
                        assert_eq!(home(pair.to.as_str()), there, "the wrong server");
                    }
                    _ => self.accepted(place, tag),
                }
            }
        }
    }

    fn accepted(&mut self, place: usize, tag: &str) {
        let here = &mut self.places[place];
        here.said.extend(accepted(tag, &here.pair));
        if here.initiates && tag.starts_with("bidi ") {
            here.bidi = true;
        }
    }

    fn deliver(&mut self, place: usize) -> usize {
        let other = self.places[place].other;
        let text = String::from_utf8(self.servers.sides[place].wire.clone()).unwrap();
        let there = &mut self.places[other];
        for tag in text.split('<').skip(1) {
            there.heard.extend(accepted(tag, &there.pair));
            if !there.initiates && tag.starts_with("bidi ") {
                there.bidi = true;
            }
        }
        let closed = self.servers.sides[place].closed;
        let moved = self.servers.deliver(place, other);
        let ends = closed && !self.places[other].gone;
        if ends {
            self.eof(other);
        }
        self.settle();
        moved + usize::from(ends)
    }

    fn eof(&mut self, place: usize) {
        self.places[place].gone = true;
        if !self.servers.sides[place].closed {
            self.servers
                .with(place, |connection, env| connection.receive_eof(env));
        }
    }

    /// Carries out all that the machines and the managers ask for.
    fn settle(&mut self) {
        loop {
            let mut idle = true;
            for place in 0..self.places.len() {
                self.witness(place);
                while self.places[place].seen[1] < self.servers.sides[place].events.len() {
                    self.on_event(place);
                    idle = false;
                }
                while let Some(request) = self.servers.sides[place].asked.pop_front() {
                    self.on_request(place, request);
                    idle = false;
                }
            }
            for node in 0..3 {
                while let Some(action) = self.peers[node].poll_action() {
                    self.on_action(node, action);
                    idle = false;
                }
            }
            if idle {
                return;
            }
        }
    }

    fn on_event(&mut self, place: usize) {
        let here = &mut self.places[place];
        let event = &self.servers.sides[place].events[here.seen[1]];
        here.seen[1] += 1;
        let here = &self.places[place];
        self.peers[here.node].handle(here.number, event);
        match event {
            Event::Stanza(stanza) => {
                let stanza = stanza.clone();
                self.arrived(place, &stanza);
            }
            Event::Dialback(Dialback::Checked { ticket, checked }) => {
                let (ticket, checked) = (*ticket, *checked);
                let asked = self.numbers[&(here.node, ticket.connection())];
                self.checked(asked, ticket, checked);
            }
            Event::Closed(End::Failed(error)) => {
                let late = error.condition() == Some(Condition::ConnectionTimeout);
                // A footer right behind `<starttls/>` meets an end that waits for TLS.
                let established = |event: &Event| matches!(event, Event::Established { .. });
                let early = self.setup.starttls
                    && (here.closing || self.places[here.other].closing)
                    && !self.servers.sides[place].saw(established)
                    && matches!(error.kind, ErrorKind::Read(_));
                assert!(
                    here.damaged || late || early,
                    "an honest peer was thrown out: {error:?}"
                );
                self.damage(place);
            }
            Event::PairUnusable { .. } => panic!("{event:?}"),
            _ => {}
        }
    }

    fn checked(&mut self, asked: usize, ticket: Ticket, checked: Checked) {
        let told = self.servers.with(asked, |connection, env| {
            connection.verified(env, ticket, checked)
        });
        assert!(told.is_ok() || self.servers.sides[asked].end().is_some());
    }

    fn arrived(&mut self, place: usize, stanza: &Stanza) {
        let here = &self.places[place];
        let pair = pair_of(stanza);
        let said = here.said.contains(&pair) && (!here.initiates || here.bidi);
        let heard = here.heard.contains(&inverse(&pair)) && here.bidi;
        assert!(
            said || heard,
            "reached us for a pair that was not validated: {pair:?}"
        );
        assert_eq!(home(pair.to.as_str()), here.node);
        assert_eq!(home(pair.from.as_str()), self.places[here.other].node);
        let id: usize = id_of(stanza).parse().unwrap();
        let fate = &mut self.fates[id];
        fate.arrived += 1;
        assert_eq!(fate.arrived, 1, "twice: {id}");
        if fate.forged {
            return;
        }
        assert_eq!(
            fate.carried.map(|carried| self.places[carried].other),
            Some(place)
        );
        if let Some(latest) = self.latest.insert(pair, id).filter(|latest| *latest > id) {
            assert!(!self.early(id, latest), "{latest} overtook {id}");
        }
    }

    /// Whether two stanzas of a pair went by one connection, or by two while the first was still good.
    fn early(&self, first: usize, second: usize) -> bool {
        let same = self.fates[first].carried == self.fates[second].carried;
        same || self.fates[first + 1..=second]
            .iter()
            .any(|fate| fate.moved_early)
    }

    fn on_request(&mut self, place: usize, request: Request) {
        let node = self.places[place].node;
        match request {
            Request::Verify(verification) => {
                let there = self.peers[node].verifies(&verification);
                let carried = there.is_some_and(|number| {
                    let leg = self.numbers[&(node, number)];
                    assert_ne!(leg, place, "BIDI-11");
                    let call = |connection: &mut Connection, env: &mut Env<'_>| {
                        connection.verify(env, &verification)
                    };
                    self.servers.with(leg, call).is_ok()
                });
                if !carried {
                    let number = self.peers[node].add();
                    let pair = inverse(&verification.pair);
                    self.connect(node, number, &pair, Some(&verification));
                }
            }
            Request::Vouch { pair, id } => {
                let waits = |(other, it): (usize, &Place)| {
                    let side = &self.servers.sides[other];
                    it.node == node && !side.closed && side.connection.awaits(&pair, &id)
                };
                let awaited = if self.places.iter().enumerate().any(waits) {
                    Awaited::Elsewhere
                } else {
                    Awaited::Nowhere
                };
                let answer = Answer::Awaited(awaited);
                let told = self
                    .servers
                    .with(place, |connection, env| connection.answer(env, answer));
                assert!(told.is_ok() || self.servers.sides[place].closed);
            }
            Request::Reverse { pair, .. } => {
                let there = self.places[self.places[place].other].node;
                let facts = ReverseFacts {
                    resolves_here: home(pair.from.as_str()) == there,
                    fresh_id: true,
                };
                let told = self.servers.with(place, |connection, env| {
                    connection.judged(env, &pair, facts)
                });
                assert!(told.is_ok() || self.servers.sides[place].closed);
            }
            other => panic!("{other:?}"),
        }
    }

    fn on_action(&mut self, node: usize, action: PeersAction) {
        match action {
            PeersAction::Open { connection, .. } if self.refuse > 0 => {
                self.refuse -= 1;
                self.peers[node].failed(connection, Reason::RemoteConnectionFailed);
            }
            PeersAction::Open { connection, pair } => self.connect(node, connection, &pair, None),
            PeersAction::Ask {
                connection,
                pair,
                resolves_here,
            } => {
                let place = self.numbers[&(node, connection)];
                let there = self.places[self.places[place].other].node;
                assert_eq!(home(pair.to.as_str()), there, "asked in the wrong place");
                let asked = pair.clone();
                let told = self.servers.with(place, |connection, env| {
                    connection.ask(env, asked, resolves_here)
                });
                if told.is_err() {
                    self.peers[node].not_asked(connection, &pair);
                }
            }
            PeersAction::Send { connection, stanza } => {
                let place = self.numbers[&(node, connection)];
                let told = self
                    .servers
                    .with(place, |connection, env| connection.send(env, &stanza));
                if told.is_err() {
                    self.peers[node].not_sent(connection, stanza);
                    return;
                }
                self.carried(place, &stanza);
            }
            PeersAction::Return { stanza, .. } => {
                let id: usize = id_of(&stanza).parse().unwrap();
                self.fates[id].returned += 1;
                assert_eq!(self.fates[id].returned, 1, "handed back twice");
            }
            other => panic!("{other:?}"),
        }
    }

    fn carried(&mut self, place: usize, stanza: &Stanza) {
        let id: usize = id_of(stanza).parse().unwrap();
        let pair = pair_of(stanza);
        let good = |before: &usize| {
            let open = Change::SendOpened(pair.clone());
            let shut = Change::SendClosed(pair.clone());
            let changes = self.servers.sides[*before].changes();
            let last = changes
                .iter()
                .rfind(|change| **change == open || **change == shut);
            // One that is closing takes nothing more, whether the schedule or idleness has closed it.
            let takes = self.servers.sides[*before].connection.is_online();
            *before != place && last == Some(&open) && takes
        };
        let before = self.sent.get(&pair).into_iter().flatten();
        let early = before.copied().collect::<Vec<_>>().iter().any(good);
        self.sent.entry(pair).or_default().push(place);
        let fate = &mut self.fates[id];
        assert_eq!((fate.carried, fate.returned), (None, 0), "sent twice");
        (fate.carried, fate.moved_early) = (Some(place), early);
    }
}

/// What an element accepts, if it does.
fn accepted(tag: &str, stream: &Pair) -> Option<Pair> {
    if tag.starts_with("success ") {
        return Some(stream.clone());
    }
    let valid = tag.starts_with("db:result ") && attribute(tag, "type") == "valid";
    valid.then(|| pair(attribute(tag, "to"), attribute(tag, "from")))
}
