//! One of the two servers: its manager, its links, and what came of its stanzas.

use core::time::Duration;
use std::collections::BTreeMap;

use bytes::Bytes;
use minidom::Element;
use onetrip_core::stream::{Build as _, Env, Instant, Stanza, ns};
use onetrip_core::zero_handshake::ConnectionId;
use onetrip_core::{AgreedPeer, AgreedPeerAction, Event, UsageError};
use onetrip_tls::rustls::RustlsSession;
use onetrip_tls::{Output, Secured};

use crate::entropy::Seeded;

/// What a party wants of the world.
pub(super) enum Done {
    Open,
    Wrote(ConnectionId, Bytes),
    Closed(ConnectionId),
}

struct Open {
    secured: Secured<Option<RustlsSession>>,
    opened: bool,
    established: bool,
}

pub(super) struct Party {
    pub(super) peer: AgreedPeer,
    links: BTreeMap<ConnectionId, Open>,
    entropy: Seeded,
    pub(super) got: Vec<(usize, Duration)>,
    pub(super) returned: Vec<usize>,
}

impl Party {
    pub(super) fn new(peer: AgreedPeer) -> Self {
        Self {
            peer,
            links: BTreeMap::new(),
            entropy: Seeded::new(1),
            got: Vec::new(),
            returned: Vec::new(),
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let links = self.links.values();
        let links = links.filter_map(|open| open.secured.poll_timeout());
        let all = links.chain(self.peer.poll_timeout());
        all.map(|deadline| deadline.at).min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        for open in self.links.values_mut() {
            let env = &mut Env::new(now, &mut self.entropy);
            open.secured.handle_timeout(env);
        }
        self.peer.handle_timeout(now);
    }

    pub(super) fn enter(
        &mut self,
        wire: usize,
        secured: Secured<Option<RustlsSession>>,
        opened: bool,
    ) {
        let open = Open {
            secured,
            opened,
            established: false,
        };
        self.links.insert(ConnectionId(wire as u64), open);
    }

    /// A stanza with a number.
    pub(super) fn say(&mut self, now: Instant, number: usize) {
        let terms = self.peer.agreement().terms();
        let (Some(ours), Some(theirs)) = (terms.ours.first(), terms.theirs.first()) else {
            return;
        };
        let body = Element::bare("body", ns::SERVER).with_text(&format!("number {number}"));
        let message = Element::bare("message", ns::SERVER)
            .with_attr("from", format!("ops@{ours}"))
            .with_attr("to", format!("ops@{theirs}"))
            .with_attr("id", number.to_string())
            .with_child(body);
        if let Ok(stanza) = Stanza::from_element(&message) {
            self.peer.send(now, stanza);
        }
    }

    fn with(&mut self, now: Instant, wire: usize, call: impl FnOnce(&mut Open, &mut Env<'_>)) {
        let env = &mut Env::new(now, &mut self.entropy);
        if let Some(open) = self.links.get_mut(&ConnectionId(wire as u64)) {
            call(open, env);
        }
    }

    pub(super) fn receive(&mut self, now: Instant, wire: usize, bytes: &[u8]) {
        // A failure shows in how the connection ends.
        self.with(now, wire, |open, env| {
            drop(open.secured.receive(env, bytes))
        });
    }

    pub(super) fn receive_eof(&mut self, now: Instant, wire: usize) {
        self.with(now, wire, |open, env| open.secured.receive_eof(env));
    }

    /// Carries out what its machines ask for; what is left is the world's.
    pub(super) fn settle(&mut self, now: Instant) -> Vec<Done> {
        let mut done = Vec::new();
        loop {
            let ids: Vec<ConnectionId> = self.links.keys().copied().collect();
            let busy = ids.into_iter().any(|id| self.drain(now, id, &mut done));
            let action = self.peer.poll_action();
            if let Some(action) = action {
                self.carry_out(now, action, &mut done);
            } else if !busy {
                return done;
            }
        }
    }

    fn drain(&mut self, now: Instant, id: ConnectionId, done: &mut Vec<Done>) -> bool {
        let Some(open) = self.links.get_mut(&id) else {
            return false;
        };
        let Some(output) = open.secured.poll_output() else {
            return false;
        };
        match output {
            Output::Transmit(bytes) => done.push(Done::Wrote(id, bytes)),
            Output::Close => {
                self.links.remove(&id);
                done.push(Done::Closed(id));
            }
            Output::Event(event) => self.on_event(now, id, &event),
            _ => {}
        }
        true
    }

    fn on_event(&mut self, now: Instant, id: ConnectionId, event: &Event) {
        let Some(open) = self.links.get_mut(&id) else {
            return;
        };
        match event {
            Event::Established { .. } => {
                open.established = true;
                let entered = if open.opened {
                    self.peer.opened(now, id)
                } else {
                    self.peer.accepted(now, id)
                };
                if entered.is_err() {
                    open.secured.close(&mut Env::new(now, &mut self.entropy));
                }
            }
            Event::Stanza(stanza) => {
                open.secured.handled(1);
                self.got
                    .extend(number(stanza).map(|number| (number, now.since_epoch())));
            }
            Event::Closed(_) if open.opened && !open.established => self.peer.open_failed(now),
            event => self.peer.handle(now, id, event),
        }
    }

    fn carry_out(&mut self, now: Instant, action: AgreedPeerAction, done: &mut Vec<Done>) {
        let env = &mut Env::new(now, &mut self.entropy);
        match action {
            AgreedPeerAction::Open => done.push(Done::Open),
            AgreedPeerAction::Send { connection, stanza } => {
                let sent = match self.links.get_mut(&connection) {
                    Some(open) => open.secured.send(env, &stanza).map(drop),
                    None => Err(UsageError::Closed),
                };
                if let Err(error) = sent {
                    self.peer.not_sent(now, connection, stanza, error);
                }
            }
            AgreedPeerAction::Ask { connection } => {
                if let Some(open) = self.links.get_mut(&connection) {
                    open.secured.request_acknowledgement(env);
                }
            }
            AgreedPeerAction::Close { connection } => {
                if let Some(open) = self.links.get_mut(&connection) {
                    open.secured.close(env);
                }
            }
            AgreedPeerAction::Return { stanza, .. } => self.returned.extend(number(&stanza)),
            _ => {}
        }
    }
}

fn number(stanza: &Stanza) -> Option<usize> {
    stanza.head().id.as_ref()?.parse().ok()
}
