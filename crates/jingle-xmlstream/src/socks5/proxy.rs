//! A proxy: it joins the two connections of a bytestream when it is asked to (XEP-0065 §6).
//!
//! | what comes | answer |
//! |---|---|
//! | a connection, to any destination | taken, if it is the first or second there |
//! | `<query/>` (get) | where the proxy is |
//! | `<activate/>` of a bytestream with both connections | they are joined, result |
//! | the same with one of them, or none | `item-not-found` |

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use minidom::Element;
use onetrip_stream::{Build as _, Content, Instant, Jid, Stanza, StanzaKind, ns};

use super::{Action, Connection, Destination, Expected, Slot, Timeouts};
use crate::iq::{self, Refusal};

/// What the caller must do next, in order. Sockets have the numbers that the caller gave them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an action that is not carried out leaves the peer waiting"]
#[non_exhaustive]
pub enum ProxyAction {
    /// Write this.
    Write(u64, Bytes),
    /// Write everything, then close it.
    Close(u64),
    /// Pass everything from each to the other, from the first byte that was not used; the proxy knows them no more.
    Join(u64, u64),
}

/// A proxy for SOCKS5 bytestreams.
///
/// ```
/// # use onetrip_jingle_xmlstream::socks5::{Proxy, ProxyAction, Timeouts};
/// # use onetrip_stream::Instant;
/// let (mut proxy, now) = (Proxy::new(Timeouts::default(), 4), Instant::EPOCH);
/// proxy.accepted(now, 1);
/// assert_eq!(proxy.receive(now, 1, &[5, 1, 0]), 3); // version 5, one method: none
/// let Some(ProxyAction::Write(1, answer)) = proxy.poll_action() else { panic!() };
/// assert_eq!(&answer[..], [5, 0]);
/// ```
#[derive(Debug)]
pub struct Proxy {
    timeouts: Timeouts,
    limit: usize,
    expected: Expected,
    connections: BTreeMap<u64, Connection>,
    actions: VecDeque<ProxyAction>,
}

impl Proxy {
    /// With at most so many connections that are not joined.
    #[must_use]
    pub fn new(timeouts: Timeouts, limit: usize) -> Self {
        Self {
            timeouts,
            limit,
            expected: Expected::any(),
            connections: BTreeMap::new(),
            actions: VecDeque::new(),
        }
    }

    /// The next thing to do, in order.
    pub fn poll_action(&mut self) -> Option<ProxyAction> {
        self.actions.pop_front()
    }

    /// When to call [`Proxy::handle_timeout`]; `None` for never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadlines = self.connections.values();
        deadlines.filter_map(Connection::poll_timeout).min()
    }

    /// Closes what is too slow or was not joined in time; does nothing when called early.
    pub fn handle_timeout(&mut self, now: Instant) {
        let sockets: Vec<u64> = self.connections.keys().copied().collect();
        for socket in sockets {
            if let Some(connection) = self.connections.get_mut(&socket) {
                connection.handle_timeout(now, &mut self.expected);
            }
            self.drain(socket);
        }
    }

    /// The listener has taken a connection, which the caller gives a number of its own.
    pub fn accepted(&mut self, now: Instant, socket: u64) {
        if self.connections.len() >= self.limit {
            self.actions.push_back(ProxyAction::Close(socket));
            return;
        }
        let connection = Connection::new(now, self.timeouts);
        self.connections.insert(socket, connection);
    }

    /// Bytes came over a socket; returns how many were used. What is not is to be kept for [`ProxyAction::Join`].
    pub fn receive(&mut self, now: Instant, socket: u64, bytes: &[u8]) -> usize {
        let Some(connection) = self.connections.get_mut(&socket) else {
            return 0;
        };
        let used = connection.receive(now, &mut self.expected, bytes);
        self.drain(socket);
        used.unwrap_or(bytes.len())
    }

    /// Whether a connection's handshake is done: it waits to be joined.
    #[must_use]
    pub fn is_waiting(&self, socket: u64) -> bool {
        let connection = self.connections.get(&socket);
        connection.is_some_and(|connection| connection.slot().is_some())
    }

    /// The socket is gone.
    pub fn lost(&mut self, socket: u64) {
        if let Some(mut connection) = self.connections.remove(&socket) {
            connection.lost(&mut self.expected);
        }
    }

    /// Answers a request to the proxy, which is reached at this host and port; `None` for what is none.
    pub fn handle(&mut self, stanza: &Stanza, host: &str, port: u16) -> Option<Stanza> {
        let head = stanza.head();
        if head.kind != StanzaKind::Iq || head.content != Content::Client {
            return None;
        }
        let (us, id) = (head.to.as_deref()?, head.id.as_deref()?);
        let from: Jid = head.from.as_deref()?.parse().ok()?;
        let answer = match head.type_.as_deref()? {
            "get" => {
                let mut asked = stanza.payloads();
                asked.find(|payload| payload.is("query", ns::BYTESTREAMS))?;
                let streamhost = Element::bare("streamhost", ns::BYTESTREAMS)
                    .with_attr("jid", us)
                    .with_attr("host", host)
                    .with_attr("port", port.to_string());
                let query = Element::bare("query", ns::BYTESTREAMS).with_child(streamhost);
                iq::bare(&from, id, "result").with_child(query)
            }
            "set" => match self.asked(&from, stanza.element().children().next()?)? {
                Ok(()) => iq::bare(&from, id, "result"),
                Err(refusal) => iq::refusing(&from, id, refusal, ns::JINGLE_ERRORS_1),
            },
            _ => return None,
        };
        Stanza::from_element(&answer.with_attr("from", us)).ok()
    }

    /// Joins what is to be activated; `None` when that is not what is asked for.
    fn asked(&mut self, from: &Jid, query: &Element) -> Option<Result<(), Refusal>> {
        let activate = query.get_child("activate", ns::BYTESTREAMS)?;
        let target = activate.text().trim().parse::<Jid>().ok();
        Some(match (query.attr("sid"), target) {
            // Whoever offers asks, and in the texts of 2009 the initiator is first all the same (JXS-R12).
            (Some(sid), Some(target)) => self
                .activate(&Destination::new(sid, from, &target))
                .or_else(|_| self.activate(&Destination::new(sid, &target, from))),
            _ => Err(Refusal::BadRequest),
        })
    }

    fn activate(&mut self, destination: &Destination) -> Result<(), Refusal> {
        let slots: Vec<Slot> = self.expected.bound_for(destination).collect();
        let bound =
            |connection: &Connection| connection.slot().is_some_and(|slot| slots.contains(&slot));
        let sockets = self.connections.iter().filter(|(_, one)| bound(one));
        let sockets: Vec<u64> = sockets.map(|(socket, _)| *socket).collect();
        let [first, second] = sockets[..] else {
            return Err(Refusal::ItemNotFound);
        };
        self.lost(first);
        self.lost(second);
        self.actions.push_back(ProxyAction::Join(first, second));
        Ok(())
    }

    fn drain(&mut self, socket: u64) {
        let Some(connection) = self.connections.get_mut(&socket) else {
            return;
        };
        let mut closed = false;
        while let Some(action) = connection.poll_action() {
            match action {
                Action::Write(bytes) => self.actions.push_back(ProxyAction::Write(socket, bytes)),
                Action::Close => {
                    closed = true;
                    self.actions.push_back(ProxyAction::Close(socket));
                }
                Action::Connected => {}
            }
        }
        if closed {
            self.connections.remove(&socket);
        }
    }
}
