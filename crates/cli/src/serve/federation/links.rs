//! The connections with other servers: which carries what, and what each needs of the others.

use std::collections::BTreeMap;
use std::rc::Rc;

use onetrip_core::dialback::{
    Awaited, Checked, ConnectionId, Event as Dialback, Reason, StreamId, Ticket, Verification,
};
use onetrip_core::quickstart::Plan;
use onetrip_core::stream::{Domain, Env, Pair, Stanza};
use onetrip_core::{
    Answer, Entity, EntityEvent, Event, Peers, PeersAction, PeersConfig, Request, ReverseFacts,
};
use onetrip_tls::rustls::RustlsSession;
use onetrip_tls::{Output, Secured};
use tokio::sync::Notify;

use super::socketed::{Input, Next, Socketed, UNWRITTEN};
use super::wire::Machines;
use super::{Federation, local, wire};
use crate::environment::SystemEntropy;
use crate::meter::Measuring;

/// All connections, and what is known beyond them.
pub(super) struct Links {
    pub(super) peers: Peers,
    /// What servers were seen to offer.
    pub(super) entity: Entity,
    /// How to go about the next connection to a server with which something assumed has proved wrong (QS-29).
    pub(super) retries: BTreeMap<Domain, Plan>,
    pub(super) entropy: SystemEntropy,
    pub(super) open: BTreeMap<ConnectionId, Link>,
}

/// A connection that has a socket.
type Link = Socketed<RustlsSession>;

impl Links {
    pub(super) fn new(config: PeersConfig, entity: Entity) -> Self {
        Self {
            peers: Peers::new(config),
            entity,
            retries: BTreeMap::new(),
            entropy: SystemEntropy::new(),
            open: BTreeMap::new(),
        }
    }
}

impl Federation {
    /// A stanza from here to another server.
    pub(super) fn route(self: &Rc<Self>, stanza: Stanza) {
        let links = &mut *self.links.borrow_mut();
        links.peers.route(stanza);
        self.settle(links);
    }

    /// A connection has its socket; returns what wakes whoever has it.
    pub(super) fn opened(
        &self,
        connection: ConnectionId,
        secured: Secured<RustlsSession>,
    ) -> Rc<Notify> {
        let link = Link::new(secured);
        let wake = Rc::clone(&link.wake);
        self.links.borrow_mut().open.insert(connection, link);
        wake
    }

    /// A connection could not be made.
    pub(super) fn failed(self: &Rc<Self>, connection: ConnectionId, reason: Reason) {
        let links = &mut *self.links.borrow_mut();
        links.peers.failed(connection, reason);
        self.settle(links);
    }

    /// Tells whoever measures.
    pub(super) fn measure(&self, what: impl FnOnce(&Measuring)) {
        if let Some(measuring) = &self.measuring {
            what(measuring);
        }
    }

    /// The manager opens the next connection, if there is to be one; how is kept for it.
    fn learn(&self, links: &mut Links, event: EntityEvent) {
        if let Some(report) = event.report() {
            self.measure(|measuring| measuring.report(report));
        }
        if let Some(plan) = links.entity.handle(event) {
            links.retries.insert(plan.key().domain.clone(), plan);
        }
    }

    /// Does what the manager decides.
    fn settle(self: &Rc<Self>, links: &mut Links) {
        while let Some(action) = links.peers.poll_action() {
            match action {
                PeersAction::Open { connection, pair } => {
                    tokio::task::spawn_local(wire::open(Rc::clone(self), connection, pair));
                }
                PeersAction::Ask {
                    connection,
                    pair,
                    resolves_here,
                } => self.ask(links, connection, pair, resolves_here),
                PeersAction::Send { connection, stanza } => self.send(links, connection, stanza),
                PeersAction::Return { stanza, reason } => {
                    self.measure(|measuring| measuring.fail(&reason.to_string()));
                    local::give_back(&self.hub, &stanza, reason);
                }
                _ => {}
            }
        }
    }

    fn ask(&self, links: &mut Links, connection: ConnectionId, pair: Pair, resolves_here: bool) {
        let env = &mut Env::new(self.hub.clock.now(), &mut links.entropy);
        let asked = links.open.get_mut(&connection).is_some_and(|link| {
            link.wake.notify_one();
            link.secured.ask(env, pair.clone(), resolves_here).is_ok()
        });
        if !asked {
            links.peers.not_asked(connection, &pair);
        }
    }

    fn send(&self, links: &mut Links, connection: ConnectionId, stanza: Stanza) {
        let env = &mut Env::new(self.hub.clock.now(), &mut links.entropy);
        let Some(link) = links.open.get_mut(&connection) else {
            return links.peers.not_sent(connection, stanza);
        };
        let unwritten = link.unwritten.saturating_add(stanza.bytes().len());
        if unwritten > UNWRITTEN {
            return local::give_back(&self.hub, &stanza, Reason::ResourceConstraint);
        }
        if link.secured.send(env, &stanza).is_err() {
            return links.peers.not_sent(connection, stanza);
        }
        link.unwritten = unwritten;
        link.wake.notify_one();
    }

    fn on_event(&self, links: &mut Links, connection: ConnectionId, event: Event) {
        links.peers.handle(connection, &event);
        self.measure(|measuring| measuring.event(&event));
        match event {
            Event::Stanza(stanza) => {
                if let Some(answer) = local::take_in(&self.hub, &stanza) {
                    links.peers.route(answer);
                }
                if let Some(link) = links.open.get_mut(&connection) {
                    link.secured.handled(1);
                }
            }
            Event::Dialback(Dialback::Checked { ticket, checked }) => {
                self.checked(links, ticket, checked);
            }
            _ => {}
        }
    }

    fn on_request(self: &Rc<Self>, links: &mut Links, connection: ConnectionId, request: Request) {
        match request {
            Request::Verify(verification) => self.verify(links, verification),
            Request::Vouch { pair, id } => {
                let awaited = awaited(links, connection, &pair, &id);
                self.with_link(links, connection, |link, env| {
                    let _ = link.secured.answer(env, Answer::Awaited(awaited));
                });
            }
            Request::Reverse { pair, id } => {
                let facts = reverse_facts(links, connection, &pair, &id);
                self.with_link(links, connection, |link, env| {
                    let _ = link.secured.judged(env, &pair, facts);
                });
            }
            _ => {}
        }
    }

    fn with_link(
        &self,
        links: &mut Links,
        connection: ConnectionId,
        call: impl FnOnce(&mut Link, &mut Env<'_>),
    ) {
        let env = &mut Env::new(self.hub.clock.now(), &mut links.entropy);
        if let Some(link) = links.open.get_mut(&connection) {
            call(link, env);
            link.wake.notify_one();
        }
    }

    /// Has a key verified: on a connection to the authoritative server that there is, or on one of its own.
    fn verify(self: &Rc<Self>, links: &mut Links, verification: Verification) {
        let mut taken = false;
        if let Some(there) = links.peers.verifies(&verification) {
            self.with_link(links, there, |link, env| {
                taken = link.secured.verify(env, &verification).is_ok();
            });
        }
        if !taken {
            let connection = links.peers.add();
            let task = wire::verify(Rc::clone(self), connection, verification);
            tokio::task::spawn_local(task);
        }
    }

    /// No connection for a verification could be made.
    pub(super) fn unverified(&self, connection: ConnectionId, ticket: Ticket, checked: Checked) {
        let links = &mut *self.links.borrow_mut();
        links
            .peers
            .failed(connection, Reason::RemoteConnectionFailed);
        self.checked(links, ticket, checked);
    }

    /// The outcome goes back to where the key was presented.
    fn checked(&self, links: &mut Links, ticket: Ticket, checked: Checked) {
        self.with_link(links, ticket.connection(), |link, env| {
            // Whoever asked may no longer want to know.
            let _ = link.secured.verified(env, ticket, checked);
        });
    }
}

/// What is known of a domain that the peer wants to prove on a connection of ours: the places are those that were
/// given, since DNS is not asked.
fn reverse_facts(
    links: &Links,
    connection: ConnectionId,
    pair: &Pair,
    id: &StreamId,
) -> ReverseFacts {
    let opened_to = |link: &Link| link.secured.connection().peer_domain().cloned();
    let there = links.open.get(&connection).and_then(opened_to);
    let has_id = |(other, link): (&ConnectionId, &Link)| {
        *other != connection && link.secured.connection().stream_id() == Some(id)
    };
    ReverseFacts {
        resolves_here: there.is_some_and(|there| links.peers.same_place(&there, &pair.from)),
        fresh_id: !links.open.iter().any(has_id),
    }
}

impl Machines for Federation {
    type Id = ConnectionId;

    fn gone(&self, connection: ConnectionId) {
        self.links.borrow_mut().open.remove(&connection);
    }

    fn advance(
        self: &Rc<Self>,
        connection: ConnectionId,
        input: Input<'_>,
        backlog: usize,
    ) -> Next {
        let links = &mut *self.links.borrow_mut();
        let now = self.hub.clock.now();
        let measuring = self.measuring.as_deref();
        let mut next = Next::new();
        if let Some(link) = links.open.get_mut(&connection) {
            link.take_in(&mut Env::new(now, &mut links.entropy), input, measuring);
        }
        loop {
            self.settle(links);
            let Some(link) = links.open.get_mut(&connection) else {
                next.close = true;
                return next;
            };
            let env = &Env::new(now, &mut links.entropy);
            match link.poll(env, &mut next, backlog, measuring) {
                Some(Output::Event(event)) => self.on_event(links, connection, event),
                Some(Output::Request(request)) => self.on_request(links, connection, request),
                Some(Output::Entity(event)) => self.learn(links, event),
                Some(_) => {}
                None => return next,
            }
        }
    }
}
/// Where a key of ours waits for its answer.
fn awaited(links: &Links, asked: ConnectionId, pair: &Pair, id: &StreamId) -> Awaited {
    let waits = |link: &Link| link.secured.connection().awaits(pair, id);
    match links.open.iter().find(|(_, link)| waits(link)) {
        Some((there, _)) if *there == asked => Awaited::Here,
        Some(_) => Awaited::Elsewhere,
        None => Awaited::Nowhere,
    }
}
