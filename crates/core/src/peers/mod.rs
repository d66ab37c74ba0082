//! Which connection carries a stanza from one domain to another: the manager of a server's connections to other servers.
//!
//! | what there is for a pair | a stanza of it |
//! |---|---|
//! | a connection that we opened, with the pair open | goes there |
//! | one that we have opened for it, and that is not so far | waits |
//! | only one that the peer opened, with the pair open | goes there (BIDI-19) |
//! | one that we opened to the same domain, or to another one at the same place | waits; the pair is asked for there (XEP-0220 §2.6) |
//! | one that the peer opened, on which it has proved the domain, if that is wanted | waits; the pair is asked for there (BIDI-14) |
//! | nothing | waits; a connection is opened |
//!
//! So of two connections that cross, each end sends on its own and takes what comes in on the other (BIDI-R8), and stanzas
//! of a pair stay in order. A route is removed by the connection that made it and by no other (prosody 814817ebf,
//! 72b4209cf). What waits is bounded, and comes back when its connection fails. A pair that is refused on the connection of
//! another gets one of its own first (XEP-0220 §2.5).

mod action;
mod bounce;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use onetrip_bidi::Change;
use onetrip_dialback::{ConnectionId, Event as Outcome, Reason, Verification};
use onetrip_stream::{Domain, Pair, Stanza};

use crate::{End, Event};
pub(crate) use bounce::pair_of;
use bounce::reason_of;

pub use action::{PeersAction, PeersConfig};
pub use bounce::bounce;

/// A connection.
#[derive(Debug)]
struct Link {
    /// The domain that it was opened to, if we opened it.
    remote: Option<Domain>,
    established: bool,
}

/// Stanzas of a pair that wait for a connection.
#[derive(Debug)]
struct Waiting {
    on: ConnectionId,
    /// Whether that connection was opened for something else.
    shared: bool,
    stanzas: VecDeque<Stanza>,
    /// Whether it is the second connection already.
    again: bool,
}

/// See the module.
///
/// ```
/// # use onetrip_core::{Peers, PeersAction};
/// # use onetrip_core::stream::{Content, Stanza};
/// let mut peers = Peers::default();
/// let text = b"<message from='juliet@capulet.lit' to='romeo@montague.lit'/>";
/// peers.route(Stanza::parse(text, Content::Server).unwrap());
/// assert!(matches!(peers.poll_action(), Some(PeersAction::Open { .. })));
/// // Make the connection, give its events to `Peers::handle`, and the stanza goes out when its pair is open.
/// ```
#[derive(Debug, Default)]
pub struct Peers {
    config: PeersConfig,
    next: u64,
    links: BTreeMap<ConnectionId, Link>,
    /// Which connections stanzas of a pair may go out on.
    routes: BTreeMap<Pair, BTreeSet<ConnectionId>>,
    /// Which of them the last stanza of a pair went out on.
    current: BTreeMap<Pair, ConnectionId>,
    waiting: BTreeMap<Pair, Waiting>,
    /// Where domains are.
    places: BTreeMap<Domain, String>,
    bytes: usize,
    actions: VecDeque<PeersAction>,
}

impl Peers {
    /// No connections yet.
    #[must_use]
    pub fn new(config: PeersConfig) -> Self {
        Self {
            config,
            ..Self::default()
        }
    }

    /// The next thing to do, in order.
    pub fn poll_action(&mut self) -> Option<PeersAction> {
        self.actions.pop_front()
    }

    /// Says where a domain is: its address and port, written in the same way for all domains. Domains at the same place share
    /// a connection if their server understands errors of dialback (XEP-0220 §2.6.2).
    pub fn locate(&mut self, domain: Domain, place: impl Into<String>) {
        self.places.insert(domain, place.into());
    }

    /// Whether both domains are known to be at the same place.
    #[must_use]
    pub fn same_place(&self, one: &Domain, other: &Domain) -> bool {
        let place = self.places.get(one);
        place.is_some() && place == self.places.get(other)
    }

    fn number(&mut self, remote: Option<Domain>) -> ConnectionId {
        let connection = ConnectionId(self.next);
        self.next = self.next.wrapping_add(1);
        let established = false;
        self.links.insert(
            connection,
            Link {
                remote,
                established,
            },
        );
        connection
    }

    /// A connection that another server has opened, or one for a verification: the number it gets.
    pub fn add(&mut self) -> ConnectionId {
        self.number(None)
    }

    /// A stanza from a domain of ours to one of theirs.
    pub fn route(&mut self, stanza: Stanza) {
        let Some(pair) = pair_of(&stanza) else {
            let reason = Reason::UndefinedCondition;
            return self
                .actions
                .push_back(PeersAction::Return { stanza, reason });
        };
        if !self.waiting.contains_key(&pair) {
            if let Some(connection) = self.best(&pair) {
                self.current.insert(pair, connection);
                return self
                    .actions
                    .push_back(PeersAction::Send { connection, stanza });
            }
            let shared = self.share(&pair);
            let waiting = Waiting {
                on: shared.unwrap_or_else(|| self.open(&pair)),
                shared: shared.is_some(),
                stanzas: VecDeque::new(),
                again: false,
            };
            self.waiting.insert(pair.clone(), waiting);
        }
        self.keep(&pair, stanza);
    }

    fn keep(&mut self, pair: &Pair, stanza: Stanza) {
        let bytes = self.bytes.saturating_add(stanza.bytes().len());
        let most = self.config.stanzas;
        match self.waiting.get_mut(pair) {
            Some(waiting) if waiting.stanzas.len() < most && bytes <= self.config.bytes => {
                waiting.stanzas.push_back(stanza);
                self.bytes = bytes;
            }
            _ => {
                let reason = Reason::ResourceConstraint;
                self.actions
                    .push_back(PeersAction::Return { stanza, reason });
            }
        }
    }

    /// The connection to send on: the one that the stanza before went on, as a faster one would let this stanza overtake it
    /// (RFC 6120 §10.1); else one of our own, or else the latest of the peer's (BIDI-R8).
    #[must_use]
    pub fn best(&self, pair: &Pair) -> Option<ConnectionId> {
        let routes = self.routes.get(pair)?;
        let current = self.current.get(pair);
        if let Some(current) = current.filter(|current| routes.contains(current)) {
            return Some(*current);
        }
        let ours = |connection: &&ConnectionId| {
            self.links
                .get(connection)
                .is_some_and(|link| link.remote.is_some())
        };
        routes.iter().find(ours).or(routes.last()).copied()
    }

    /// A connection of ours to the authoritative server that a key can be verified on, which is never the one that it
    /// arrived on (BIDI-11); `None` asks for a [verifier](crate::Connection::verifier) of its own.
    #[must_use]
    pub fn verifies(&self, verification: &Verification) -> Option<ConnectionId> {
        let asked = verification.ticket.connection();
        self.established_to(&verification.pair.from)
            .find(|connection| *connection != asked)
    }

    fn established_to<'a>(&'a self, remote: &'a Domain) -> impl Iterator<Item = ConnectionId> + 'a {
        let fits = move |link: &Link| link.established && link.remote.as_ref() == Some(remote);
        self.links
            .iter()
            .filter(move |(_, link)| fits(link))
            .map(|(connection, _)| *connection)
    }

    /// Asks for a pair on a connection that there is, if there is one for it.
    fn share(&mut self, pair: &Pair) -> Option<ConnectionId> {
        if !self.config.multiplex {
            return None;
        }
        let there = self.established_to(&pair.to).next();
        let there = there.or_else(|| self.reaches(&pair.to));
        let (connection, resolves_here) = match there {
            Some(connection) => (connection, false),
            None => (self.established_near(&pair.to)?, true),
        };
        let pair = pair.clone();
        self.actions.push_back(PeersAction::Ask {
            connection,
            pair,
            resolves_here,
        });
        Some(connection)
    }

    /// A connection on which something goes to a domain already.
    fn reaches(&self, remote: &Domain) -> Option<ConnectionId> {
        let pairs = self.routes.iter().filter(|(pair, _)| pair.to == *remote);
        let mut there = pairs.flat_map(|(_, connections)| connections).copied();
        there.find(|connection| {
            self.links.get(connection).is_some_and(|link| {
                link.established && (link.remote.is_some() || self.config.reverse)
            })
        })
    }

    /// A connection of ours to another domain at the same place.
    fn established_near(&self, remote: &Domain) -> Option<ConnectionId> {
        let near = |link: &Link| {
            let opened_to = link.remote.as_ref();
            link.established && opened_to.is_some_and(|there| self.same_place(there, remote))
        };
        let mut links = self.links.iter();
        links
            .find(|(_, link)| near(link))
            .map(|(connection, _)| *connection)
    }

    fn open(&mut self, pair: &Pair) -> ConnectionId {
        let connection = self.number(Some(pair.to.clone()));
        let pair = pair.clone();
        self.actions
            .push_back(PeersAction::Open { connection, pair });
        connection
    }

    /// What waits for a pair waits for a connection of its own from now on.
    fn open_own(&mut self, pair: &Pair, again: bool) {
        let on = self.open(pair);
        if let Some(waiting) = self.waiting.get_mut(pair) {
            (waiting.on, waiting.shared) = (on, false);
            waiting.again |= again;
        }
    }

    /// Learns from an event of a connection.
    pub fn handle(&mut self, connection: ConnectionId, event: &Event) {
        match event {
            Event::Established { .. } => {
                if let Some(link) = self.links.get_mut(&connection) {
                    link.established = true;
                }
            }
            Event::Pair(Change::SendOpened(pair)) => self.opened(connection, pair),
            Event::Pair(Change::SendClosed(pair)) => self.shut(connection, pair),
            Event::PairUnusable { pair, .. } => {
                self.fail(connection, pair, Reason::InternalServerError, false);
            }
            Event::Dialback(Outcome::Concluded { pair, outcome }) => {
                if let Some(reason) = outcome.bounce() {
                    self.fail(connection, pair, reason, false);
                }
            }
            Event::Closed(end) => {
                let again = matches!(end, End::Abandoned(_));
                self.gone(connection, reason_of(end), again);
            }
            _ => {}
        }
    }

    fn opened(&mut self, connection: ConnectionId, pair: &Pair) {
        let Some(link) = self.links.get(&connection) else {
            return;
        };
        self.routes
            .entry(pair.clone())
            .or_default()
            .insert(connection);
        let awaited = self.waiting.get(pair).map(|waiting| waiting.on);
        // What waits for a connection of ours does not go on one of theirs.
        if link.remote.is_some() || awaited == Some(connection) {
            self.flush(connection, pair);
        }
    }

    fn shut(&mut self, connection: ConnectionId, pair: &Pair) {
        if let Some(routes) = self.routes.get_mut(pair) {
            routes.remove(&connection);
            if routes.is_empty() {
                self.routes.remove(pair);
            }
        }
    }

    fn take(&mut self, pair: &Pair) -> VecDeque<Stanza> {
        let stanzas = self
            .waiting
            .remove(pair)
            .map(|waiting| waiting.stanzas)
            .unwrap_or_default();
        let bytes = stanzas
            .iter()
            .map(|stanza| stanza.bytes().len())
            .fold(0, usize::saturating_add);
        self.bytes = self.bytes.saturating_sub(bytes);
        stanzas
    }

    fn flush(&mut self, connection: ConnectionId, pair: &Pair) {
        let stanzas = self.take(pair);
        if !stanzas.is_empty() {
            self.current.insert(pair.clone(), connection);
        }
        for stanza in stanzas {
            self.actions
                .push_back(PeersAction::Send { connection, stanza });
        }
    }

    /// A pair that was waited for on this connection will not open there.
    fn fail(&mut self, connection: ConnectionId, pair: &Pair, reason: Reason, again: bool) {
        let Some(waiting) = self
            .waiting
            .get(pair)
            .filter(|waiting| waiting.on == connection)
        else {
            return;
        };
        let (shared, again) = (waiting.shared, again && !waiting.again);
        if let Some(other) = self.best(pair).filter(|other| *other != connection) {
            self.flush(other, pair);
        } else if shared || again {
            self.open_own(pair, !shared);
        } else {
            for stanza in self.take(pair) {
                self.actions
                    .push_back(PeersAction::Return { stanza, reason });
            }
        }
    }

    fn gone(&mut self, connection: ConnectionId, reason: Reason, again: bool) {
        self.links.remove(&connection);
        self.current.retain(|_, current| *current != connection);
        self.routes.retain(|_, routes| {
            routes.remove(&connection);
            !routes.is_empty()
        });
        let waits = |waiting: &&Waiting| waiting.on == connection;
        let pairs: Vec<Pair> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| waits(waiting))
            .map(|(pair, _)| pair.clone())
            .collect();
        for pair in pairs {
            self.fail(connection, &pair, reason, again);
        }
    }

    /// A connection could not be made: what waited for it comes back.
    pub fn failed(&mut self, connection: ConnectionId, reason: Reason) {
        self.gone(connection, reason, false);
    }

    /// A pair could not be asked for there: a connection of its own is opened.
    pub fn not_asked(&mut self, connection: ConnectionId, pair: &Pair) {
        let asked = |waiting: &&Waiting| waiting.on == connection;
        if self.waiting.get(pair).filter(asked).is_some() {
            self.open_own(pair, false);
        }
    }

    /// A stanza was not sent there, because the pair is no longer open or the connection is closing: it goes another way.
    pub fn not_sent(&mut self, connection: ConnectionId, stanza: Stanza) {
        if let Some(pair) = pair_of(&stanza) {
            self.shut(connection, &pair);
        }
        if let Some(link) = self.links.get_mut(&connection) {
            link.established = false;
        }
        self.route(stanza);
    }

    /// How many stanzas wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting
            .values()
            .map(|waiting| waiting.stanzas.len())
            .fold(0, usize::saturating_add)
    }
}
