//! Which connection a stanza goes out on (ZH-06, ZH-07, ZH-13 to ZH-17), by one rule that each end applies on its own
//! (ZH-R4).
//!
//! | our connection | the peer's, if we send on it | a stanza now |
//! |---|---|---|
//! | open | | goes out on ours |
//! | none, opening or closing | open | goes out on the peer's |
//! | opening or closing | none | waits |
//! | none | none | opens ours, if we may; waits for the peer's otherwise |
//!
//! Stanzas on two connections can overtake each other, and RFC 6120 §10.1 wants them in order. So one more rule stands
//! above the table: **only one connection holds stanzas that may still be on their way.** Before the first stanza takes
//! another one, what went before must be acknowledged, or, where no acknowledgements were agreed, old enough
//! ([`Terms::quiet`]). Meanwhile stanzas wait ([`OwnConnectionRule::Must`]) or keep to the peer's connection
//! ([`OwnConnectionRule::Generally`]).

use onetrip_stream::Instant;

use crate::timers::{Deadline, Reason};
use crate::{Agreement, Direction, OwnConnectionRule, Role, Terms};

/// Names a connection; the caller numbers them, and never gives a number twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// What becomes of a stanza.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use = "the stanza is counted as sent, or the connection as being opened"]
pub enum Choice {
    /// It goes out on this connection, now.
    Send(ConnectionId),
    /// A connection is to be opened: [`Route::opened`] or [`Route::open_failed`] follows. The stanza waits.
    Open,
    /// It waits. Ask again after any other call, and when [`Route::poll_timeout`] is due.
    Wait(Pending),
}

/// What a stanza waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pending {
    /// Our connection is being opened.
    Opening,
    /// What was sent on another connection is not known to have arrived.
    Unsettled,
    /// Our connection is being closed; there is never more than one (ZH-07).
    Closing,
    /// The last attempt to open one is too recent.
    Retry,
    /// The peer alone opens connections, and has not (ZH-12).
    Peer,
}

/// The peer has more connections open than can be of use (ZH-07): close this one before a byte of it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected fewer connections with this peer: close this one")]
pub struct Crowded;

#[derive(Debug)]
struct Connection {
    id: ConnectionId,
    role: Role,
    /// Whether stanzas may still be sent there.
    open: bool,
}

/// The connection that was used last, and what is known of what went out there.
#[derive(Debug)]
struct Last {
    id: ConnectionId,
    at: Instant,
    unacknowledged: usize,
}

/// Decides for one agreement, over all its connections. It opens nothing and sends nothing itself.
///
/// ```
/// # use onetrip_zero_handshake::{Agreement, Choice, ConnectionId, Pending, Route, Terms};
/// # use onetrip_stream::{Domain, Instant};
/// # let domain = |name| Domain::new(name).unwrap();
/// # let peer = "198.51.100.7:5299".parse().unwrap();
/// # let terms = Terms::plain(vec![domain("ground.example")], vec![domain("air.example")], peer);
/// # let agreement = Agreement::new(terms).unwrap();
/// let (now, ours, theirs) = (Instant::EPOCH, ConnectionId(1), ConnectionId(2));
/// let mut route = Route::new(&agreement);
/// assert_eq!(route.stanza(now), Choice::Open);
/// route.accepted(theirs).unwrap(); // the peer has opened one at the same time
/// assert_eq!(route.stanza(now), Choice::Send(theirs));
/// route.opened(ours).unwrap();
/// assert_eq!(route.stanza(now), Choice::Wait(Pending::Unsettled), "it could overtake the last one");
/// let quiet = route.poll_timeout().unwrap().at;
/// assert_eq!(route.stanza(quiet), Choice::Send(ours));
/// ```
#[derive(Debug)]
pub struct Route {
    terms: Terms,
    connections: Vec<Connection>,
    opening: bool,
    /// When the last attempt to open one began.
    begun: Option<Instant>,
    last: Option<Last>,
    waiting: Option<Pending>,
}

impl Route {
    /// No connections yet.
    #[must_use]
    pub fn new(agreement: &Agreement) -> Self {
        Self {
            terms: agreement.terms().clone(),
            connections: Vec::new(),
            opening: false,
            begun: None,
            last: None,
            waiting: None,
        }
    }

    /// Decides about a stanza that has passed [`Link::check`](crate::Link::check), and takes note of what was decided:
    /// ask once for each stanza, in their order, and ask again for one that had to wait.
    pub fn stanza(&mut self, now: Instant) -> Choice {
        let choice = self.decide(now);
        self.waiting = None;
        match choice {
            Choice::Wait(pending) => self.waiting = Some(pending),
            Choice::Open => {
                self.opening = true;
                self.begun = Some(now);
            }
            Choice::Send(id) => self.sent(id, now),
        }
        choice
    }

    /// The connection that [`Choice::Open`] asked for is open, TLS included, and authorised.
    ///
    /// # Errors
    /// [`Crowded`] when there is one of ours already.
    pub fn opened(&mut self, id: ConnectionId) -> Result<(), Crowded> {
        self.opening = false;
        if self.of(Role::Opener).next().is_some() {
            return Err(Crowded);
        }
        self.add(id, Role::Opener);
        Ok(())
    }

    /// It could not be opened, or the peer was not who it should be.
    pub fn open_failed(&mut self) {
        self.opening = false;
    }

    /// The peer has opened a connection, which was authorised. It takes the place of an earlier one of the peer's,
    /// which is returned and to be closed: often the peer has lost it, and we have not noticed yet.
    ///
    /// # Errors
    /// [`Crowded`] when an earlier one is still being closed.
    pub fn accepted(&mut self, id: ConnectionId) -> Result<Option<ConnectionId>, Crowded> {
        if self.of(Role::Acceptor).count() > 1 {
            return Err(Crowded);
        }
        let earlier = self.of(Role::Acceptor).next().map(|earlier| earlier.id);
        if let Some(earlier) = earlier {
            self.closing(earlier);
        }
        self.add(id, Role::Acceptor);
        Ok(earlier)
    }

    /// Nothing more goes out on this connection: it is closing ([`Event::Closing`](crate::Event::Closing)).
    pub fn closing(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.iter_mut().find(|c| c.id == id) {
            connection.open = false;
        }
    }

    /// The connection is gone, however it ended. What was unacknowledged there has been handed back; where nothing is
    /// acknowledged, it may still arrive, and the next connection is not used before it is old enough.
    pub fn closed(&mut self, id: ConnectionId) {
        self.connections.retain(|connection| connection.id != id);
        if self.acknowledges() {
            self.last = self.last.take().filter(|last| last.id != id);
        }
    }

    /// How many stanzas are unacknowledged on this connection, whenever that changes by the peer's doing.
    pub fn set_unacknowledged(&mut self, id: ConnectionId, count: usize) {
        if let Some(last) = self.last.as_mut().filter(|last| last.id == id) {
            last.unacknowledged = count;
        }
    }

    /// The caller knows that everything sent so far has arrived, or does not mind if it is overtaken.
    pub fn quiet_point(&mut self) {
        self.last = None;
    }

    /// When a stanza that waits is to be asked about again; `None` while none waits for the time.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        match self.waiting? {
            Pending::Unsettled => {
                let quiet = self.quiet_at(self.last.as_ref()?)?;
                Some(Deadline::new(quiet, Reason::Quiet))
            }
            Pending::Retry => {
                let retry = self.begun? + self.terms.retry;
                Some(Deadline::new(retry, Reason::Retry))
            }
            Pending::Opening | Pending::Closing | Pending::Peer => None,
        }
    }

    /// Forgets deadlines that have passed; ask about the stanza that waits afterwards.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self
            .last
            .as_ref()
            .is_some_and(|last| self.is_settled(last, now))
        {
            self.last = None;
        }
        if !self.is_too_soon(now) {
            self.begun = None;
        }
    }

    fn decide(&self, now: Instant) -> Choice {
        let unsettled = self
            .last
            .as_ref()
            .filter(|last| !self.is_settled(last, now));
        let (own, theirs) = (self.usable(Role::Opener), self.usable(Role::Acceptor));
        let wanted = own.or(theirs);
        match (wanted, unsettled) {
            (Some(wanted), None) => Choice::Send(wanted),
            (Some(wanted), Some(last)) if last.id == wanted => Choice::Send(wanted),
            (Some(_), Some(last)) => {
                let stays = self.terms.own_connection_rule == OwnConnectionRule::Generally;
                match theirs.filter(|theirs| stays && last.id == *theirs) {
                    Some(theirs) => Choice::Send(theirs),
                    None => Choice::Wait(Pending::Unsettled),
                }
            }
            (None, _) => self.without_connection(now),
        }
    }

    fn without_connection(&self, now: Instant) -> Choice {
        if self.opening {
            Choice::Wait(Pending::Opening)
        } else if self.of(Role::Opener).next().is_some() {
            Choice::Wait(Pending::Closing)
        } else if self.terms.direction == Direction::InboundOnly {
            Choice::Wait(Pending::Peer)
        } else if self.is_too_soon(now) {
            Choice::Wait(Pending::Retry)
        } else {
            Choice::Open
        }
    }

    fn of(&self, role: Role) -> impl Iterator<Item = &Connection> {
        let of = move |connection: &&Connection| connection.role == role;
        self.connections.iter().filter(of)
    }

    fn usable(&self, role: Role) -> Option<ConnectionId> {
        let allowed = role == Role::Opener || self.terms.reply_on_inbound;
        let open = self.of(role).find(|connection| connection.open && allowed);
        open.map(|connection| connection.id)
    }

    fn add(&mut self, id: ConnectionId, role: Role) {
        let open = true;
        self.connections.push(Connection { id, role, open });
    }

    fn sent(&mut self, id: ConnectionId, at: Instant) {
        let before = self.last.take().filter(|last| last.id == id);
        let unacknowledged = before.map_or(0, |last| last.unacknowledged);
        self.last = Some(Last {
            id,
            at,
            unacknowledged: unacknowledged.saturating_add(1),
        });
    }

    fn acknowledges(&self) -> bool {
        self.terms.presets.acknowledgements.is_some()
    }

    /// When what was sent counts as arrived, if time decides.
    fn quiet_at(&self, last: &Last) -> Option<Instant> {
        (!self.acknowledges()).then(|| last.at + self.terms.quiet)
    }

    fn is_settled(&self, last: &Last, now: Instant) -> bool {
        match self.quiet_at(last) {
            None => last.unacknowledged == 0,
            Some(at) => at <= now,
        }
    }

    fn is_too_soon(&self, now: Instant) -> bool {
        self.begun
            .is_some_and(|begun| now.since(begun) < self.terms.retry)
    }
}
