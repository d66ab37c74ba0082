//! The sockets that may become the transport, until one of them is chosen.
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | connecting | `connected` | greeting |
//! | greeting | the streamhost's answers | ready |
//! | ready | bytes, which wait | chosen: what waits comes out; or closed |

use std::collections::BTreeMap;

use bytes::Bytes;
use onetrip_jingle_xmlstream::s5b::{Attempt, Link};
use onetrip_jingle_xmlstream::socks5::{self, Client, Destination, Timeouts};
use onetrip_quickstart::Holdback;
use onetrip_stream::Instant;

use super::pipe::AHEAD;

#[derive(Debug)]
enum Socket {
    Connecting(Destination),
    Greeting(Client),
    Ready(Holdback),
}

/// What became of a socket by what was done to it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Nothing,
    /// The handshake is done.
    Ready,
    /// It failed, or more came than is held.
    Failed,
}

/// All of one session.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    made: BTreeMap<Attempt, Socket>,
    /// Which attempts go to a proxy.
    proxies: Vec<Attempt>,
    taken: Option<Holdback>,
}

impl Sockets {
    pub(super) fn connect(&mut self, attempt: Attempt, destination: Destination, proxy: bool) {
        self.made.insert(attempt, Socket::Connecting(destination));
        self.proxies.extend(proxy.then_some(attempt));
    }

    /// Whether this goes to a proxy.
    pub(super) fn is_proxy(&self, link: Link) -> bool {
        matches!(link, Link::Made(attempt) if self.proxies.contains(&attempt))
    }

    /// TCP is there: the greeting goes out.
    pub(super) fn connected(
        &mut self,
        now: Instant,
        attempt: Attempt,
        timeouts: Timeouts,
    ) -> Vec<Bytes> {
        let Some(socket) = self.made.get_mut(&attempt) else {
            return Vec::new();
        };
        let Socket::Connecting(destination) = socket else {
            return Vec::new();
        };
        let mut client = Client::new(now, destination.clone(), timeouts);
        let writes = drain(&mut client).0;
        *socket = Socket::Greeting(client);
        writes
    }

    /// This end's streamhost has taken a connection.
    pub(super) fn taken(&mut self) {
        self.taken = Some(Holdback::new(AHEAD));
    }

    pub(super) fn remove(&mut self, link: Link) -> bool {
        match link {
            Link::Made(attempt) => self.made.remove(&attempt).is_some(),
            Link::Taken => self.taken.take().is_some(),
        }
    }

    /// Bytes came; what is to be written, and what became of the socket.
    pub(super) fn receive(&mut self, link: Link, bytes: &[u8]) -> (Vec<Bytes>, Turn) {
        let socket = match link {
            Link::Taken => {
                let held = self.taken.as_mut().map(|held| hold(held, bytes));
                return (Vec::new(), held.unwrap_or(Turn::Nothing));
            }
            Link::Made(attempt) => self.made.get_mut(&attempt),
        };
        match socket {
            Some(Socket::Ready(held)) => (Vec::new(), hold(held, bytes)),
            Some(socket) => greet(socket, bytes),
            None => (Vec::new(), Turn::Nothing),
        }
    }

    /// This is the one: what has come over it, unless it is gone already, and all the others, to be closed.
    pub(super) fn choose(&mut self, link: Link) -> (Option<Bytes>, Vec<Link>) {
        let held = match link {
            Link::Taken => self.taken.take(),
            Link::Made(attempt) => match self.made.remove(&attempt) {
                Some(Socket::Ready(held)) => Some(held),
                _ => None,
            },
        };
        (held.map(|mut held| held.take()), self.clear())
    }

    /// Forgets all of them: these are to be closed.
    pub(super) fn clear(&mut self) -> Vec<Link> {
        let made = core::mem::take(&mut self.made);
        let mut links: Vec<Link> = made.into_keys().map(Link::Made).collect();
        links.extend(self.taken.take().map(|_| Link::Taken));
        links
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.clients()
            .filter_map(|(_, client)| client.poll_timeout())
            .min()
    }

    /// The attempts whose handshake takes too long.
    pub(super) fn late(&self, now: Instant) -> Vec<Attempt> {
        let due = |client: &Client| client.poll_timeout().is_some_and(|at| at <= now);
        let late = self.clients().filter(|(_, client)| due(client));
        late.map(|(attempt, _)| attempt).collect()
    }

    fn clients(&self) -> impl Iterator<Item = (Attempt, &Client)> {
        self.made
            .iter()
            .filter_map(|(attempt, socket)| match socket {
                Socket::Greeting(client) => Some((*attempt, client)),
                _ => None,
            })
    }
}

fn hold(held: &mut Holdback, bytes: &[u8]) -> Turn {
    match held.push(bytes) {
        Ok(()) => Turn::Nothing,
        Err(_) => Turn::Failed,
    }
}

fn greet(socket: &mut Socket, bytes: &[u8]) -> (Vec<Bytes>, Turn) {
    let Socket::Greeting(client) = socket else {
        return (Vec::new(), Turn::Nothing);
    };
    let used = client.receive(bytes);
    let (writes, connected) = drain(client);
    let (Ok(used), true) = (used, connected) else {
        let failed = client.failure().is_some();
        return (writes, if failed { Turn::Failed } else { Turn::Nothing });
    };
    let mut held = Holdback::new(AHEAD);
    let turn = match hold(&mut held, bytes.get(used..).unwrap_or_default()) {
        Turn::Nothing => Turn::Ready,
        turn => turn,
    };
    *socket = Socket::Ready(held);
    (writes, turn)
}

/// What a client writes, and whether its handshake is done.
fn drain(client: &mut Client) -> (Vec<Bytes>, bool) {
    let (mut writes, mut connected) = (Vec::new(), false);
    while let Some(action) = client.poll_action() {
        match action {
            socks5::Action::Write(bytes) => writes.push(bytes),
            socks5::Action::Connected => connected = true,
            _ => {}
        }
    }
    (writes, connected)
}
