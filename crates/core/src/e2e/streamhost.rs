//! The streamhost of this end: a listener's connections, until each is with its session.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use onetrip_jingle_xmlstream::socks5::{self, Connection, Destination, Expected, Slot, Timeouts};
use onetrip_stream::Instant;

/// What the caller must do next, in order. Sockets have the numbers that the caller gave them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an action that is not carried out leaves the peer waiting"]
#[non_exhaustive]
pub enum HostAction {
    /// Write this.
    Write(u64, Bytes),
    /// Write everything, then close it.
    Close(u64),
    /// It is the connection of this session: [`EndToEnd::taken`](super::EndToEnd::taken), and what comes over it goes there.
    Taken(Slot, u64),
    /// The connection of this session was not used in time: [`EndToEnd::closed`](super::EndToEnd::closed).
    Lost(Slot),
}

/// All connections of a listener.
///
/// ```
/// # use onetrip_core::e2e::{HostAction, Streamhost};
/// # use onetrip_core::jingle::socks5::{Destination, Timeouts};
/// # use onetrip_core::stream::Instant;
/// let mut host = Streamhost::new(Timeouts::default(), 64);
/// # let expected = vec![Destination::read("972b7bf47291ca609517f67f86b5081086052dad").unwrap()];
/// let slot = host.expect(expected); // Of `EndToEnd::expected`.
/// host.accepted(Instant::EPOCH, 1); // A socket.
/// host.receive(Instant::EPOCH, 1, &[5, 1, 0]);
/// assert_eq!(host.poll_action(), Some(HostAction::Write(1, (&[5, 0][..]).into())));
/// let request = [&[5, 1, 0, 3, 40][..], b"972b7bf47291ca609517f67f86b5081086052dad", &[0, 0]].concat();
/// assert_eq!(host.receive(Instant::EPOCH, 1, &request), 47);
/// assert!(matches!(host.poll_action(), Some(HostAction::Write(1, _))));
/// assert_eq!(host.poll_action(), Some(HostAction::Taken(slot, 1)));
/// ```
#[derive(Debug)]
pub struct Streamhost {
    timeouts: Timeouts,
    limit: usize,
    expected: Expected,
    connections: BTreeMap<u64, Connection>,
    actions: VecDeque<HostAction>,
}

impl Streamhost {
    /// With at most so many connections that are not in use: the listener is open to all.
    #[must_use]
    pub fn new(timeouts: Timeouts, limit: usize) -> Self {
        Self {
            timeouts,
            limit,
            expected: Expected::new(),
            connections: BTreeMap::new(),
            actions: VecDeque::new(),
        }
    }

    /// Expects one connection of a session: [`EndToEnd::expected`](super::EndToEnd::expected).
    pub fn expect(&mut self, destinations: Vec<Destination>) -> Slot {
        self.expected.expect(destinations)
    }

    /// Expects nothing for this session any more.
    pub fn forget(&mut self, slot: Slot) {
        self.expected.forget(slot);
    }

    /// The next thing to do, in order.
    pub fn poll_action(&mut self) -> Option<HostAction> {
        self.actions.pop_front()
    }

    /// When to call [`Streamhost::handle_timeout`]; `None` for never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadlines = self.connections.values();
        deadlines.filter_map(Connection::poll_timeout).min()
    }

    /// Closes what is too slow or was never used; does nothing when called early.
    pub fn handle_timeout(&mut self, now: Instant) {
        let sockets: Vec<u64> = self.connections.keys().copied().collect();
        for socket in sockets {
            let Some(connection) = self.connections.get_mut(&socket) else {
                continue;
            };
            let slot = connection.slot();
            connection.handle_timeout(now, &mut self.expected);
            if let (Some(slot), Some(_)) = (slot, connection.failure()) {
                self.actions.push_back(HostAction::Lost(slot));
            }
            self.drain(socket);
        }
    }

    /// The listener has taken a connection, which the caller gives a number of its own.
    pub fn accepted(&mut self, now: Instant, socket: u64) {
        if self.connections.len() >= self.limit {
            self.actions.push_back(HostAction::Close(socket));
            return;
        }
        let connection = Connection::new(now, self.timeouts);
        self.connections.insert(socket, connection);
    }

    /// Bytes came over a socket; returns how many were used. What is not belongs to the session.
    pub fn receive(&mut self, now: Instant, socket: u64, bytes: &[u8]) -> usize {
        let Some(connection) = self.connections.get_mut(&socket) else {
            return 0;
        };
        let used = connection.receive(now, &mut self.expected, bytes);
        self.drain(socket);
        used.unwrap_or(bytes.len())
    }

    /// This connection is the one that its session uses: it is the session's alone, and its slot stays taken.
    pub fn used(&mut self, socket: u64) {
        self.connections.remove(&socket);
    }

    /// The socket is gone, or was closed by its session.
    pub fn lost(&mut self, socket: u64) {
        if let Some(mut connection) = self.connections.remove(&socket) {
            connection.lost(&mut self.expected);
        }
    }

    fn drain(&mut self, socket: u64) {
        let Some(connection) = self.connections.get_mut(&socket) else {
            return;
        };
        let slot = connection.slot();
        let mut closed = false;
        while let Some(action) = connection.poll_action() {
            match (action, slot) {
                (socks5::Action::Write(bytes), _) => {
                    self.actions.push_back(HostAction::Write(socket, bytes));
                }
                (socks5::Action::Connected, Some(slot)) => {
                    self.actions.push_back(HostAction::Taken(slot, socket));
                }
                (socks5::Action::Close, _) => {
                    closed = true;
                    self.actions.push_back(HostAction::Close(socket));
                }
                _ => {}
            }
        }
        if closed {
            self.connections.remove(&socket);
        }
    }
}
