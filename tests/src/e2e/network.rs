//! TCP connections between the ends, a proxy and strangers.

use onetrip_core::e2e::HostAction;
use onetrip_core::jingle::s5b::{Attempt, Candidate, Link};
use onetrip_core::jingle::socks5::ProxyAction;

use super::{Duo, JULIET, ROMEO};

/// Where the other end of a socket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// The streamhost of an end.
    Host(usize),
    /// The proxy.
    Proxy,
    /// Whoever the test is.
    Stranger,
}

/// A TCP connection.
#[derive(Debug)]
pub struct Cable {
    /// Who made it; `None` is the test.
    pub client: Option<(usize, Attempt)>,
    /// Where it leads.
    pub server: Server,
    /// What is on its way.
    pub to_client: Vec<u8>,
    /// What is on its way.
    pub to_server: Vec<u8>,
    pub(super) taken: bool,
    pub(super) joined: Option<usize>,
    pub(super) client_open: bool,
    pub(super) server_open: bool,
}

impl Cable {
    /// Whether the end that it leads to has taken it for its session.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.taken
    }

    /// Whether both ends still hold it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.client_open && self.server_open
    }
}

impl Duo {
    pub(super) fn connect(&mut self, end: usize, attempt: Attempt, candidate: &Candidate) {
        let (place, server) = match candidate.host.as_str() {
            "romeo.lit" if self.usurped[ROMEO] => (0, Server::Stranger),
            "juliet.lit" if self.usurped[JULIET] => (1, Server::Stranger),
            "romeo.lit" => (0, Server::Host(ROMEO)),
            "juliet.lit" => (1, Server::Host(JULIET)),
            _ => (2, Server::Proxy),
        };
        if !self.reachable[place] {
            self.act(end, |machine, env| {
                machine.closed(env, Link::Made(attempt));
            });
            return;
        }
        self.plug(Some((end, attempt)), server);
        self.act(end, |machine, env| machine.connected(env, attempt));
    }

    /// Makes a TCP connection.
    pub fn plug(&mut self, client: Option<(usize, Attempt)>, server: Server) -> usize {
        let number = self.cables.len();
        self.cables.push(Cable {
            client,
            server,
            to_client: Vec::new(),
            to_server: Vec::new(),
            taken: false,
            joined: None,
            client_open: true,
            server_open: true,
        });
        match server {
            Server::Host(end) => self.sides[end].host.accepted(self.now, number as u64),
            Server::Proxy => self.proxy.accepted(self.now, number as u64),
            Server::Stranger => {}
        }
        number
    }

    /// The cable that an end names so, and whether it is its client.
    pub(super) fn cable(&self, end: usize, link: Link) -> Option<(usize, bool)> {
        let client = matches!(link, Link::Made(_));
        let named = |cable: &Cable| match link {
            Link::Made(attempt) => cable.client == Some((end, attempt)),
            Link::Taken => cable.taken && cable.server == Server::Host(end),
        };
        let number = self.cables.iter().position(named)?;
        Some((number, client))
    }

    pub(super) fn write(&mut self, end: usize, link: Link, bytes: &[u8]) {
        let Some((number, client)) = self.cable(end, link) else {
            return;
        };
        let cable = &mut self.cables[number];
        if client {
            cable.to_server.extend_from_slice(bytes);
        } else {
            cable.to_client.extend_from_slice(bytes);
        }
    }

    pub(super) fn close(&mut self, end: usize, link: Link) {
        if let Some((number, client)) = self.cable(end, link) {
            let cable = &mut self.cables[number];
            if client {
                assert!(cable.client_open, "closed twice: {cable:?}");
                cable.client_open = false;
            } else {
                cable.server_open = false;
            }
        }
    }

    /// Moves one piece of bytes, or an end of them.
    pub(super) fn flow(&mut self, number: usize) -> bool {
        let split = self.setting.split;
        let cable = &mut self.cables[number];
        if cable.server == Server::Stranger {
            return self.flow_to_client(number);
        }
        if let Some(other) = cable.joined {
            let piece = take(&mut cable.to_server, split);
            if !piece.is_empty() {
                self.cables[other].to_client.extend_from_slice(&piece);
                return true;
            }
            let ended = !cable.client_open && core::mem::take(&mut cable.server_open);
            self.cables[other].server_open &= !ended;
            return ended || self.flow_to_client(number) || self.end_of(number);
        }
        if !cable.to_server.is_empty() {
            let piece = cable.to_server[..cable.to_server.len().min(split)].to_vec();
            let used = self.serve(number, &piece);
            self.cables[number].to_server.drain(..used);
            if used > 0 {
                return true;
            }
        }
        self.flow_to_client(number) || self.end_of(number)
    }

    /// How many bytes the server's side has used.
    pub(super) fn serve(&mut self, number: usize, piece: &[u8]) -> usize {
        let now = self.now;
        match self.cables[number].server {
            Server::Host(end) if self.cables[number].taken => {
                self.act(end, |machine, env| machine.receive(env, Link::Taken, piece));
                piece.len()
            }
            Server::Host(end) => {
                let used = self.sides[end].host.receive(now, number as u64, piece);
                self.drain_host(end);
                used
            }
            Server::Proxy => {
                let used = self.proxy.receive(now, number as u64, piece);
                self.drain_proxy();
                used
            }
            Server::Stranger => 0,
        }
    }

    pub(super) fn flow_to_client(&mut self, number: usize) -> bool {
        let cable = &mut self.cables[number];
        let Some((end, attempt)) = cable.client else {
            return false;
        };
        let piece = take(&mut cable.to_client, self.setting.split);
        if piece.is_empty() || !cable.client_open {
            return !piece.is_empty();
        }
        self.act(end, |machine, env| {
            machine.receive(env, Link::Made(attempt), &piece);
        });
        true
    }

    /// Whoever still holds a cable learns that the other has closed it.
    pub(super) fn end_of(&mut self, number: usize) -> bool {
        let cable = &mut self.cables[number];
        if !cable.client_open && cable.server_open && cable.to_server.is_empty() {
            cable.server_open = false;
            match cable.server {
                Server::Host(end) if cable.taken => {
                    self.act(end, |machine, env| machine.closed(env, Link::Taken));
                }
                Server::Host(end) => self.sides[end].host.lost(number as u64),
                Server::Proxy => self.proxy.lost(number as u64),
                Server::Stranger => {}
            }
            return true;
        }
        if !cable.server_open && cable.client_open && cable.to_client.is_empty() {
            cable.client_open = false;
            if let Some((end, attempt)) = cable.client {
                self.act(end, |machine, env| {
                    machine.closed(env, Link::Made(attempt));
                });
            }
            return true;
        }
        false
    }

    /// Cuts every TCP connection.
    pub fn cut(&mut self) {
        for cable in &mut self.cables {
            cable.to_client.clear();
            cable.to_server.clear();
        }
        for number in 0..self.cables.len() {
            let cable = &mut self.cables[number];
            let (client, server) = (cable.client, cable.server);
            let taken = cable.taken;
            let opened = core::mem::take(&mut cable.client_open);
            let held = core::mem::take(&mut cable.server_open);
            if let Some((end, attempt)) = client.filter(|_| opened) {
                self.act(end, |machine, env| {
                    machine.closed(env, Link::Made(attempt));
                });
            }
            if let Server::Host(end) = server {
                if taken && held {
                    self.act(end, |machine, env| machine.closed(env, Link::Taken));
                }
            }
        }
    }

    pub(super) fn drain_host(&mut self, end: usize) {
        while let Some(action) = self.sides[end].host.poll_action() {
            match action {
                HostAction::Write(number, bytes) => {
                    let cable = &mut self.cables[number as usize];
                    cable.to_client.extend_from_slice(&bytes);
                }
                HostAction::Close(number) => self.cables[number as usize].server_open = false,
                HostAction::Taken(_, number) => {
                    self.cables[number as usize].taken = true;
                    self.act(end, |machine, env| machine.taken(env));
                }
                HostAction::Lost(_) => {
                    self.act(end, |machine, env| machine.closed(env, Link::Taken))
                }
                _ => {}
            }
        }
    }

    pub(super) fn drain_proxy(&mut self) {
        while let Some(action) = self.proxy.poll_action() {
            match action {
                ProxyAction::Write(number, bytes) => {
                    let cable = &mut self.cables[number as usize];
                    cable.to_client.extend_from_slice(&bytes);
                }
                ProxyAction::Close(number) => self.cables[number as usize].server_open = false,
                ProxyAction::Join(first, second) => {
                    self.cables[first as usize].joined = Some(second as usize);
                    self.cables[second as usize].joined = Some(first as usize);
                }
                _ => {}
            }
        }
    }
}

fn take(from: &mut Vec<u8>, most: usize) -> Vec<u8> {
    let count = from.len().min(most);
    from.drain(..count).collect()
}
