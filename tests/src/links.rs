//! Two servers with one agreement, and wires between them that deliver, lose and are cut as the test says.
//!
//! TLS is left out; everything else is real bytes.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use onetrip_core::stream::{Content, Domain, Env, Instant, Stanza};
use onetrip_core::zero_handshake::{Acknowledgements, Agreement, ConnectionId, OnInvalid, Terms};
use onetrip_core::{
    Action, AgreedPeer, AgreedPeerAction, Connection, End, Event, LinkConfig, PeersConfig,
};
use onetrip_simulator::Seeded;

/// The ground's place among the two.
pub const GROUND: usize = 0;
/// The air's.
pub const AIR: usize = 1;
const DOMAINS: [[&str; 2]; 2] = [
    ["ground.example", "muc.ground.example"],
    ["air.example", "muc.air.example"],
];
/// Where each of them is.
const HOSTS: [&str; 2] = ["192.0.2.1", "198.51.100.7"];

/// A domain.
#[must_use]
pub fn domain(name: &str) -> Domain {
    Domain::new(name).expect("a domain")
}

/// What one of the two has agreed with the other: a plain link, two domains each, either side opens.
#[must_use]
pub fn terms(of: usize) -> Terms {
    let names = |place: usize| DOMAINS[place].map(domain).to_vec();
    let peer = format!("{}:5299", HOSTS[1 - of]);
    Terms::plain(names(of), names(1 - of), peer.parse().expect("an address"))
}

/// The same with acknowledgements.
#[must_use]
pub fn acknowledged(of: usize) -> Terms {
    let mut terms = terms(of);
    terms.presets.acknowledgements = Some(Acknowledgements::default());
    terms
}

/// A connection of an agreement.
#[must_use]
pub fn link(agreement: &Agreement, opens: bool, now: Instant) -> Connection {
    let place = |terms: &Terms| usize::from(terms.ours[0].as_str() != DOMAINS[0][0]);
    let peer = HOSTS[1 - place(agreement.terms())];
    let admitted = if opens {
        agreement.reached(format!("{peer}:5299").parse().expect("an address"), None)
    } else {
        agreement.accept_source(format!("{peer}:40000").parse().expect("an address"), None)
    };
    let config = LinkConfig::new(agreement.clone(), admitted.expect("allowed"));
    Connection::link(config, &mut Env::new(now, &mut Seeded::new(1))).expect("plain")
}

/// The ground's end of a connection for which this was agreed: `acks`, `drop`, `bounce`, `tolerant`.
#[must_use]
pub fn agreed(words: &str, opens: bool) -> Connection {
    let mut terms = terms(GROUND);
    for word in words.split_whitespace() {
        match word {
            "acks" => terms.presets.acknowledgements = Some(Acknowledgements::default()),
            "drop" => terms.on_invalid = OnInvalid::Drop,
            "bounce" => terms.on_invalid = OnInvalid::Bounce,
            "tolerant" => terms.tolerate_stream_open = true,
            _ => panic!("nobody agrees on {word}"),
        }
    }
    let agreement = Agreement::new(terms).expect("an agreement");
    link(&agreement, opens, Instant::EPOCH)
}

/// A message of one of the two, with a number; its domains change with it.
#[must_use]
pub fn message(from: usize, number: usize) -> Stanza {
    let (ours, theirs) = (DOMAINS[from][number % 2], DOMAINS[1 - from][number / 2 % 2]);
    let text = format!(
        "<message from='ops@{ours}' to='pilot@{theirs}' id='{number}'><body>number {number}</body></message>"
    );
    Stanza::parse(text.as_bytes(), Content::Server).expect("a stanza")
}

fn number(stanza: &Stanza) -> usize {
    let id = stanza.head().id.as_ref().expect("an id");
    id.parse().expect("a number")
}

/// One of the two.
pub struct Party {
    /// Its manager.
    pub peer: AgreedPeer,
    /// Its connections.
    pub links: BTreeMap<u64, Connection>,
    /// Whether it has opened them.
    opened: BTreeMap<u64, bool>,
    /// The numbers of the stanzas that came in.
    pub got: Vec<usize>,
    /// The numbers of those that came back.
    pub returned: Vec<usize>,
    /// How its connections have ended.
    pub ends: Vec<End>,
    /// Whether a connection is to be opened.
    pub wants: bool,
    /// Whether what comes in is said to be handled at once.
    pub handles: bool,
    /// How many stanzas went on each connection.
    pub sent: BTreeMap<u64, usize>,
}

/// A connection between the two, by bytes.
#[derive(Default)]
pub struct Wire {
    /// What is under way from each end.
    pub bytes: [VecDeque<u8>; 2],
    /// What each end has written.
    pub written: [Vec<u8>; 2],
    /// Bytes from an end behind so many are lost, and so is the connection when they come.
    pub cut: [Option<usize>; 2],
    /// How many have been delivered from each end.
    delivered: [usize; 2],
    dead: bool,
    closed: [bool; 2],
}

/// See the module.
pub struct Links {
    /// The two.
    pub parties: [Party; 2],
    /// Every connection there ever was.
    pub wires: Vec<Wire>,
    /// The clock.
    pub now: Instant,
    /// How many bytes are delivered at a time.
    pub piece: usize,
    /// Where the next connections are cut.
    pub cuts: VecDeque<[Option<usize>; 2]>,
    entropy: Seeded,
}

impl Links {
    /// Both with these terms, each of its own side.
    #[must_use]
    pub fn new(terms: [Terms; 2]) -> Self {
        let party = |terms| Party {
            peer: AgreedPeer::new(
                Agreement::new(terms).expect("an agreement"),
                PeersConfig::default(),
            ),
            links: BTreeMap::new(),
            opened: BTreeMap::new(),
            got: Vec::new(),
            returned: Vec::new(),
            ends: Vec::new(),
            wants: false,
            handles: true,
            sent: BTreeMap::new(),
        };
        Self {
            parties: terms.map(party),
            wires: Vec::new(),
            now: Instant::EPOCH,
            piece: usize::MAX,
            cuts: VecDeque::new(),
            entropy: Seeded::new(11),
        }
    }

    /// One of them has something to say.
    pub fn send(&mut self, from: usize, number: usize) {
        self.parties[from]
            .peer
            .send(self.now, message(from, number));
        self.settle(from);
    }

    /// A connection that one of them wants comes about, at both ends.
    pub fn open(&mut self, from: usize) -> usize {
        self.parties[from].wants = false;
        let place = self.wires.len();
        let mut wire = Wire::default();
        if let Some(cut) = self.cuts.pop_front() {
            wire.cut = cut;
        }
        self.wires.push(wire);
        for party in [from, 1 - from] {
            let agreement = self.parties[party].peer.agreement().clone();
            let connection = link(&agreement, party == from, self.now);
            self.parties[party].links.insert(place as u64, connection);
            self.parties[party]
                .opened
                .insert(place as u64, party == from);
        }
        // Whoever opens knows of it last.
        self.settle(1 - from);
        self.settle(from);
        place
    }

    /// Lets both talk until all is said, opening what they want.
    pub fn talk(&mut self) {
        for _ in 0..100_000 {
            let mut moved = 0;
            for party in [GROUND, AIR] {
                if self.parties[party].wants {
                    self.open(party);
                    moved += 1;
                }
                for wire in 0..self.wires.len() {
                    moved += self.deliver(wire, party);
                }
            }
            if moved == 0 {
                return;
            }
        }
        panic!("they never stop");
    }

    /// Delivers one piece of what an end has written; returns how much happened.
    pub fn deliver(&mut self, wire: usize, from: usize) -> usize {
        let this = &mut self.wires[wire];
        let room = this.cut[from].map_or(usize::MAX, |cut| cut - this.delivered[from]);
        let count = this.bytes[from].len().min(self.piece);
        if this.dead {
            this.bytes[from].clear();
            return 0;
        }
        let bytes: Vec<u8> = this.bytes[from].drain(..count.min(room)).collect();
        this.delivered[from] += bytes.len();
        let (lost, over) = (
            count > room,
            this.closed[from] && this.bytes[from].is_empty(),
        );
        if !bytes.is_empty() {
            // An error shows in how it ends.
            self.with(wire, 1 - from, |connection, env| {
                drop(connection.receive(env, &bytes));
            });
        }
        if lost || over {
            self.wires[wire].dead = lost || self.wires[wire].closed == [true; 2];
            let told: &[usize] = if lost { &[0, 1] } else { &[1 - from] };
            for party in told {
                self.with(wire, *party, Connection::receive_eof);
            }
        }
        bytes.len() + usize::from(lost)
    }

    /// The connection is lost, with whatever is under way.
    pub fn cut(&mut self, wire: usize) {
        self.wires[wire].dead = true;
        for party in [GROUND, AIR] {
            self.with(wire, party, Connection::receive_eof);
        }
    }

    /// Calls a method of one end.
    pub fn with(
        &mut self,
        wire: usize,
        party: usize,
        call: impl FnOnce(&mut Connection, &mut Env<'_>),
    ) {
        let env = &mut Env::new(self.now, &mut self.entropy);
        if let Some(connection) = self.parties[party].links.get_mut(&(wire as u64)) {
            call(connection, env);
        }
        self.settle(party);
    }

    /// Time passes, deadline by deadline.
    pub fn wait(&mut self, span: Duration) {
        let end = self.now + span;
        for _ in 0..10_000 {
            self.talk();
            let links = self.parties.iter().flat_map(|party| party.links.values());
            let next = links
                .filter_map(Connection::poll_timeout)
                .chain(
                    self.parties
                        .iter()
                        .filter_map(|party| party.peer.poll_timeout()),
                )
                .map(|deadline| deadline.at)
                .min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            for party in [GROUND, AIR] {
                self.parties[party].peer.handle_timeout(self.now);
                for wire in 0..self.wires.len() {
                    self.with(wire, party, Connection::handle_timeout);
                }
                self.settle(party);
            }
        }
        panic!("deadlines without end");
    }

    /// Does what a party's machines ask for.
    pub fn settle(&mut self, party: usize) {
        loop {
            let mut busy = false;
            for wire in 0..self.wires.len() {
                busy |= self.drain(party, wire as u64);
            }
            let this = &mut self.parties[party];
            if let Some(action) = this.peer.poll_action() {
                busy = true;
                let env = &mut Env::new(self.now, &mut self.entropy);
                carry_out(this, env, action);
            }
            if !busy {
                return;
            }
        }
    }

    fn drain(&mut self, party: usize, wire: u64) -> bool {
        let this = &mut self.parties[party];
        let (now, id) = (self.now, ConnectionId(wire));
        let Some(action) = this.links.get_mut(&wire).and_then(Connection::poll_action) else {
            return false;
        };
        match action {
            Action::Transmit(bytes) => {
                let wire = &mut self.wires[wire as usize];
                wire.written[party].extend_from_slice(&bytes);
                wire.bytes[party].extend(&bytes);
            }
            Action::Close => {
                self.wires[wire as usize].closed[party] = true;
                this.links.remove(&wire);
            }
            Action::Event(event) => {
                this.peer.handle(now, id, &event);
                match event {
                    Event::Established { .. } => {
                        let entered = match this.opened[&wire] {
                            true => this.peer.opened(now, id),
                            false => this.peer.accepted(now, id),
                        };
                        entered.expect("not too many");
                    }
                    Event::Stanza(stanza) => {
                        this.got.push(number(&stanza));
                        let handled = u32::from(this.handles);
                        this.links
                            .get_mut(&wire)
                            .expect("it is open")
                            .handled(handled);
                    }
                    Event::Closed(end) => this.ends.push(end),
                    _ => {}
                }
            }
            _ => {}
        }
        true
    }
}

fn carry_out(party: &mut Party, env: &mut Env<'_>, action: AgreedPeerAction) {
    match action {
        AgreedPeerAction::Open => party.wants = true,
        AgreedPeerAction::Send { connection, stanza } => {
            let sent = match party.links.get_mut(&connection.0) {
                Some(link) => link.send(env, &stanza).map(drop),
                None => Err(onetrip_core::UsageError::Closed),
            };
            match sent {
                Ok(()) => *party.sent.entry(connection.0).or_default() += 1,
                Err(error) => party.peer.not_sent(env.now, connection, stanza, error),
            }
        }
        AgreedPeerAction::Ask { connection } => {
            if let Some(link) = party.links.get_mut(&connection.0) {
                link.request_acknowledgement(env);
            }
        }
        AgreedPeerAction::Close { connection } => {
            if let Some(link) = party.links.get_mut(&connection.0) {
                link.close(env);
            }
        }
        AgreedPeerAction::Return { stanza, .. } => party.returned.push(number(&stanza)),
        _ => {}
    }
}
