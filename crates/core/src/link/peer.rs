//! Which link of one agreement carries a stanza: the manager of the connections with one peer.
//!
//! The rule is [`Route`]'s (ZH-R4). What waits stands in one line for all pairs of domains, so that nothing overtakes; it is
//! bounded. What has gone out and was not acknowledged when its link ended comes back and is never sent again, since it
//! cannot be known whether it had arrived (ZH-26); what has not gone out takes another link.

use std::collections::{BTreeMap, VecDeque};

use onetrip_dialback::Reason;
use onetrip_stream::{Content, Instant, Stanza};
use onetrip_stream_management as sm;
use onetrip_zero_handshake as zh;
use onetrip_zero_handshake::{Agreement, Choice, ConnectionId, Crowded, Pending, Route};

use crate::peers::pair_of;
use crate::{Deadline, Event, PeersConfig, UsageError};

/// What the caller must do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an action that is not carried out leaves stanzas waiting"]
#[non_exhaustive]
pub enum AgreedPeerAction {
    /// Open a connection to the [address](zh::Terms::address) that was agreed, and say that it is
    /// [open](AgreedPeer::opened), or that it [could not be](AgreedPeer::open_failed).
    Open,
    /// [Send](crate::Connection::send) the stanza on this connection; or say that it [was not](AgreedPeer::not_sent).
    Send {
        /// Where.
        connection: ConnectionId,
        /// What.
        stanza: Stanza,
    },
    /// [Ask](crate::Connection::request_acknowledgement) at once what has arrived on this connection: stanzas wait to take
    /// another one.
    Ask {
        /// Where.
        connection: ConnectionId,
    },
    /// [Close](crate::Connection::close) this connection: the peer has opened another one in its place.
    Close {
        /// Which.
        connection: ConnectionId,
    },
    /// The stanza was not sent, or was sent and may have been lost: [`bounce`](crate::bounce) it, or hand it to somebody else.
    Return {
        /// What.
        stanza: Stanza,
        /// Why.
        reason: Reason,
    },
}

/// See the module.
///
/// The connections are numbered by the caller. Their events go to [`AgreedPeer::handle`], all of them and in order; its time
/// goes to [`AgreedPeer::handle_timeout`].
///
/// ```
/// # use onetrip_core::stream::{Content, Domain, Instant, Stanza};
/// # use onetrip_core::zero_handshake::{Agreement, ConnectionId, Terms};
/// # use onetrip_core::{AgreedPeer, AgreedPeerAction, PeersConfig};
/// # let domain = |name| Domain::new(name).unwrap();
/// # let peer = "198.51.100.7:5299".parse().unwrap();
/// # let terms = Terms::plain(vec![domain("ground.example")], vec![domain("air.example")], peer);
/// # let agreement = Agreement::new(terms).unwrap();
/// let now = Instant::EPOCH;
/// let mut peer = AgreedPeer::new(agreement, PeersConfig::default());
/// let text = b"<message from='ops@ground.example' to='pilot@air.example'/>";
/// peer.send(now, Stanza::parse(text, Content::Server).unwrap());
/// assert_eq!(peer.poll_action(), Some(AgreedPeerAction::Open));
/// peer.opened(now, ConnectionId(1)).unwrap(); // TLS included, when the connection says that it is established
/// assert!(matches!(peer.poll_action(), Some(AgreedPeerAction::Send { .. })));
/// ```
#[derive(Debug)]
pub struct AgreedPeer {
    agreement: Agreement,
    config: PeersConfig,
    route: Route,
    /// How many stanzas are unacknowledged on each connection.
    links: BTreeMap<ConnectionId, usize>,
    waiting: VecDeque<Stanza>,
    bytes: usize,
    /// What the first one waits for.
    pending: Option<Pending>,
    /// No more may be unacknowledged on the connection whose turn it is.
    full: bool,
    /// Where it was asked what has arrived, so that stanzas may take another connection.
    asked: Option<ConnectionId>,
    actions: VecDeque<AgreedPeerAction>,
}

impl AgreedPeer {
    /// No connections yet.
    #[must_use]
    pub fn new(agreement: Agreement, config: PeersConfig) -> Self {
        Self {
            route: Route::new(&agreement),
            agreement,
            config,
            links: BTreeMap::new(),
            waiting: VecDeque::new(),
            bytes: 0,
            pending: None,
            full: false,
            asked: None,
            actions: VecDeque::new(),
        }
    }

    /// What was agreed.
    #[must_use]
    pub fn agreement(&self) -> &Agreement {
        &self.agreement
    }

    /// The next thing to do, in order.
    pub fn poll_action(&mut self) -> Option<AgreedPeerAction> {
        self.actions.pop_front()
    }

    /// When to call [`AgreedPeer::handle_timeout`], and why; `None` for never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let deadline = self.route.poll_timeout()?;
        Some(Deadline {
            at: deadline.at,
            reason: deadline.reason.into(),
        })
    }

    /// Looks again at what waits; does nothing when called early.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.route.handle_timeout(now);
        self.pump(now);
    }

    /// A stanza of ours to the peer.
    pub fn send(&mut self, now: Instant, stanza: Stanza) {
        if !self.is_agreed(&stanza) {
            return self.give_back(stanza, Reason::ItemNotFound);
        }
        let bytes = self.bytes.saturating_add(stanza.bytes().len());
        if self.waiting.len() >= self.config.stanzas || bytes > self.config.bytes {
            return self.give_back(stanza, Reason::ResourceConstraint);
        }
        self.bytes = bytes;
        self.waiting.push_back(stanza);
        self.pump(now);
    }

    fn is_agreed(&self, stanza: &Stanza) -> bool {
        let terms = self.agreement.terms();
        pair_of(stanza)
            .is_some_and(|pair| terms.ours.contains(&pair.from) && terms.theirs.contains(&pair.to))
    }

    fn give_back(&mut self, stanza: Stanza, reason: Reason) {
        self.actions
            .push_back(AgreedPeerAction::Return { stanza, reason });
    }

    /// A connection that was [asked for](AgreedPeerAction::Open) is open, TLS included, and of this agreement.
    ///
    /// # Errors
    /// [`Crowded`] when there is one already: close this one.
    pub fn opened(&mut self, now: Instant, connection: ConnectionId) -> Result<(), Crowded> {
        self.route.opened(connection)?;
        self.links.insert(connection, 0);
        self.pump(now);
        Ok(())
    }

    /// It could not be opened: what waits comes back, unless there is another way for it.
    pub fn open_failed(&mut self, now: Instant) {
        self.route.open_failed();
        self.pump(now);
        if self.pending == Some(Pending::Retry) {
            self.abandon(Reason::RemoteServerTimeout);
        }
    }

    /// The peer has opened a connection of this agreement, TLS included.
    ///
    /// # Errors
    /// [`Crowded`] when it has too many: close this one, and read nothing of it (ZH-07).
    pub fn accepted(&mut self, now: Instant, connection: ConnectionId) -> Result<(), Crowded> {
        if let Some(connection) = self.route.accepted(connection)? {
            self.actions
                .push_back(AgreedPeerAction::Close { connection });
        }
        self.links.insert(connection, 0);
        self.pump(now);
        Ok(())
    }

    /// Learns from an event of a connection.
    pub fn handle(&mut self, now: Instant, connection: ConnectionId, event: &Event) {
        match event {
            Event::Management(sm::Event::Acked(handles)) => {
                self.full = false;
                let settled = usize::try_from(handles.len()).unwrap_or(usize::MAX);
                self.settled(connection, settled);
            }
            Event::Management(sm::Event::HandedBack(entries)) => {
                for entry in entries {
                    // It was a stanza when it was sent.
                    if let Ok(stanza) = Stanza::parse(&entry.bytes, Content::Server) {
                        self.give_back(stanza, Reason::RemoteServerTimeout);
                    }
                }
            }
            Event::Bounce { answer, .. } => return self.send(now, answer.clone()),
            Event::Link(zh::Event::Closing(_)) => self.route.closing(connection),
            Event::Closed(_) => {
                self.route.closed(connection);
                self.links.remove(&connection);
                self.full = false;
            }
            _ => return,
        }
        self.pump(now);
    }

    /// So many stanzas are no longer on their way there.
    fn settled(&mut self, connection: ConnectionId, stanzas: usize) {
        if let Some(count) = self.links.get_mut(&connection) {
            *count = count.saturating_sub(stanzas);
            self.route.set_unacknowledged(connection, *count);
        }
    }

    /// A stanza was not sent there: it waits in its place where that will pass, and comes back where it will not.
    pub fn not_sent(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        stanza: Stanza,
        error: UsageError,
    ) {
        self.settled(connection, 1);
        match error {
            UsageError::Full => self.full = true,
            UsageError::Closed | UsageError::NotOnline => self.route.closing(connection),
            _ => return self.give_back(stanza, Reason::ItemNotFound),
        }
        self.retract(stanza);
        self.pump(now);
    }

    /// Puts a stanza back to the front of what waits, and behind it those that were to follow it.
    fn retract(&mut self, first: Stanza) {
        let mut back = vec![first];
        let (mut kept, mut undone) = (VecDeque::new(), Vec::new());
        for action in core::mem::take(&mut self.actions) {
            match action {
                AgreedPeerAction::Send { connection, stanza } => {
                    undone.push(connection);
                    back.push(stanza);
                }
                other => kept.push_back(other),
            }
        }
        self.actions = kept;
        for connection in undone {
            self.settled(connection, 1);
        }
        for stanza in back.into_iter().rev() {
            self.bytes = self.bytes.saturating_add(stanza.bytes().len());
            self.waiting.push_front(stanza);
        }
    }

    /// Whatever waits comes back.
    pub fn abandon(&mut self, reason: Reason) {
        self.bytes = 0;
        for stanza in core::mem::take(&mut self.waiting) {
            self.give_back(stanza, reason);
        }
    }

    /// How many stanzas wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Sends what may be sent now.
    fn pump(&mut self, now: Instant) {
        self.pending = None;
        while !self.full && !self.waiting.is_empty() {
            match self.route.stanza(now) {
                Choice::Send(connection) => self.pass(connection),
                Choice::Open => {
                    self.pending = Some(Pending::Opening);
                    return self.actions.push_back(AgreedPeerAction::Open);
                }
                Choice::Wait(pending) => {
                    self.pending = Some(pending);
                    return self.ask(pending);
                }
            }
        }
        self.asked = None;
    }

    /// What waits until nothing can be overtaken asks whether that is so, once.
    fn ask(&mut self, pending: Pending) {
        let acknowledges = self.agreement.terms().presets.acknowledgements.is_some();
        let open = |(id, count): (&ConnectionId, &usize)| (*count > 0).then_some(*id);
        let Some(connection) = self.links.iter().find_map(open) else {
            return;
        };
        if acknowledges && pending == Pending::Unsettled && self.asked != Some(connection) {
            self.asked = Some(connection);
            self.actions.push_back(AgreedPeerAction::Ask { connection });
        }
    }

    fn pass(&mut self, connection: ConnectionId) {
        let Some(stanza) = self.waiting.pop_front() else {
            return;
        };
        self.bytes = self.bytes.saturating_sub(stanza.bytes().len());
        if let Some(count) = self.links.get_mut(&connection) {
            *count = count.saturating_add(1);
        }
        self.actions
            .push_back(AgreedPeerAction::Send { connection, stanza });
    }
}
