//! Links with servers that have an agreement with this one: nothing is negotiated, so stanzas flow at once.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use onetrip_core::dialback::Reason;
use onetrip_core::stream::{DomainRef, Env, Stanza, Text};
use onetrip_core::zero_handshake::{Agreement, ConnectionId, Security};
use onetrip_core::{AgreedPeer, AgreedPeerAction, End, Event, LinkConfig, PeersConfig, UsageError};
use onetrip_tls::rustls::{PeerTls, RustlsSession};
use onetrip_tls::{Output, Secured};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::admission::Admission;
use super::socketed::{Input, Next, Socketed, UNWRITTEN};
use super::wire::{self, Machines};
use super::{Federation, dial, local};
use crate::environment::SystemEntropy;
use crate::meter::Measuring;
use crate::serve::hub::Hub;

/// How long to sleep when nothing is due.
const IDLE: Duration = Duration::from_secs(3600);

/// All agreements and their links. As [`super::Federation`], on one thread.
pub(super) struct Agreed {
    hub: Arc<Hub>,
    admission: Rc<Admission>,
    state: RefCell<State>,
    /// What TCP's own round trip takes on a link that a relay only plays.
    tcp: Duration,
    /// Who wants to know what it takes.
    measuring: Option<Rc<Measuring>>,
    /// A deadline of a manager may have changed.
    due: Notify,
}

struct State {
    parties: Vec<Party>,
    links: BTreeMap<ConnectionId, Link>,
    next: u64,
    entropy: SystemEntropy,
}

/// One agreement.
struct Party {
    peer: AgreedPeer,
    tls: PeerTls,
}

/// A connection that has a socket.
struct Link {
    on: Socketed<Option<RustlsSession>>,
    /// Of which agreement it is, once that is known.
    party: Option<usize>,
    /// Whether we have opened it.
    opened: bool,
}

impl Agreed {
    /// Beside a federation, and as it is: what that shows and believes in TLS, how much it takes, who measures.
    pub(super) fn beside(federation: &Federation, agreements: Vec<Agreement>) -> Self {
        let party = |agreement: Agreement| Party {
            tls: federation.with.tls.with_alpn(agreement.alpn()),
            peer: AgreedPeer::new(agreement, PeersConfig::default()),
        };
        let state = State {
            parties: agreements.into_iter().map(party).collect(),
            links: BTreeMap::new(),
            next: 0,
            entropy: SystemEntropy::new(),
        };
        Self {
            hub: Arc::clone(&federation.hub),
            admission: Rc::clone(&federation.admission),
            state: RefCell::new(state),
            tcp: federation.with.manner.tcp,
            measuring: federation.measuring.clone(),
            due: Notify::new(),
        }
    }

    /// Sees to the deadlines of the managers.
    pub(super) async fn keep_time(self: Rc<Self>) {
        loop {
            let now = self.hub.clock.now();
            let next = {
                let state = &mut *self.state.borrow_mut();
                for party in &mut state.parties {
                    party.peer.handle_timeout(now);
                }
                self.settle(state);
                let deadlines = state.parties.iter().filter_map(|p| p.peer.poll_timeout());
                deadlines.map(|deadline| deadline.at.since(now)).min()
            };
            tokio::select! {
                () = tokio::time::sleep(next.unwrap_or(IDLE)) => {}
                () = self.due.notified() => {}
            }
        }
    }

    /// Takes connections of all agreements.
    pub(super) async fn accept(self: Rc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((socket, source)) => {
                    tokio::task::spawn_local(Rc::clone(&self).take(socket, source));
                }
                // Out of file descriptors, most likely: others will be closed.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Takes a connection, if its source is allowed in any agreement; not a byte is read otherwise (ZH-20). There may be no
    /// more of them than of any others.
    async fn take(self: Rc<Self>, socket: TcpStream, source: SocketAddr) {
        let Ok(_place) = self.admission.admit(source.ip()) else {
            return;
        };
        let taken = {
            let state = &mut *self.state.borrow_mut();
            let allowed = |party: &Party| {
                let agreement = party.peer.agreement();
                let admitted = agreement.accept_source(source, None).ok()?;
                Some((agreement.clone(), admitted))
            };
            let first = state.parties.iter().find(|party| allowed(party).is_some());
            let session = match first.map(|party| (&party.tls, is_plain(party))) {
                Some((tls, false)) => tls.inbound().ok(),
                _ => None,
            };
            let mut candidates = state.parties.iter().filter_map(allowed);
            let Some((agreement, admitted)) = candidates.next() else {
                return;
            };
            let mut config = LinkConfig::new(agreement, admitted);
            config.candidates.extend(candidates);
            self.enter(state, config, session, None)
        };
        self.carry(taken, socket).await;
    }

    /// Opens a connection that a manager asks for.
    async fn open(self: Rc<Self>, place: usize) {
        let Some(agreement) = self.agreement(place) else {
            return;
        };
        let Some((socket, peer)) = dial::to(&agreement).await else {
            return self.open_failed(place);
        };
        tokio::time::sleep(self.tcp).await;
        self.measure(Measuring::connected);
        let opened = agreement.reached(peer, None).ok().and_then(|admitted| {
            let state = &mut *self.state.borrow_mut();
            let tls = &state.parties.get(place)?.tls;
            let session = match agreement.sni() {
                Some(name) => Some(tls.outbound(name).ok()?),
                None => None,
            };
            let config = LinkConfig::new(agreement.clone(), admitted);
            self.enter(state, config, session, Some(place))
        });
        if opened.is_none() {
            return self.open_failed(place);
        }
        self.carry(opened, socket).await;
    }

    /// Tells whoever measures.
    fn measure(&self, what: impl FnOnce(&Measuring)) {
        if let Some(measuring) = &self.measuring {
            what(measuring);
        }
    }

    /// Closes all links.
    pub(super) fn close(&self) {
        let state = &mut *self.state.borrow_mut();
        let env = &mut Env::new(self.hub.clock.now(), &mut state.entropy);
        for link in state.links.values_mut() {
            link.on.secured.close(env);
            link.on.wake.notify_one();
        }
    }

    fn agreement(&self, place: usize) -> Option<Agreement> {
        let state = self.state.borrow();
        let party = state.parties.get(place)?;
        Some(party.peer.agreement().clone())
    }

    fn open_failed(self: &Rc<Self>, place: usize) {
        let now = self.hub.clock.now();
        let state = &mut *self.state.borrow_mut();
        if let Some(party) = state.parties.get_mut(place) {
            party.peer.open_failed(now);
        }
        self.settle(state);
        self.due.notify_one();
    }

    /// A connection that has a socket; `opened` says for which agreement we have opened it.
    fn enter(
        &self,
        state: &mut State,
        mut config: LinkConfig,
        session: Option<RustlsSession>,
        opened: Option<usize>,
    ) -> Option<(ConnectionId, Rc<Notify>)> {
        config.trace = self.measuring.is_some();
        let env = &mut Env::new(self.hub.clock.now(), &mut state.entropy);
        let connection = onetrip_core::Connection::link(config, env).ok()?;
        let id = ConnectionId(state.next);
        state.next += 1;
        let on = Socketed::new(Secured::new(connection, session));
        let wake = Rc::clone(&on.wake);
        let link = Link {
            on,
            party: opened,
            opened: opened.is_some(),
        };
        state.links.insert(id, link);
        Some((id, wake))
    }

    async fn carry(self: &Rc<Self>, taken: Option<(ConnectionId, Rc<Notify>)>, socket: TcpStream) {
        if let Some((connection, wake)) = taken {
            wire::carry(self, connection, &wake, socket).await;
        }
    }

    /// Whether a stanza is of an agreement; then it is sent, or comes back.
    pub(super) fn route(self: &Rc<Self>, stanza: &Stanza) -> bool {
        let state = &mut *self.state.borrow_mut();
        let taken = self.send(state, stanza);
        self.settle(state);
        self.due.notify_one();
        taken
    }

    fn send(&self, state: &mut State, stanza: &Stanza) -> bool {
        let domain = |text: &Option<Text>| Some(DomainRef::of(text.as_ref()?)?.into_domain());
        let head = stanza.head();
        let (Some(from), Some(to)) = (domain(&head.from), domain(&head.to)) else {
            return false;
        };
        let agreed = |party: &Party| {
            let terms = party.peer.agreement().terms();
            terms.ours.contains(&from) && terms.theirs.contains(&to)
        };
        let Some(place) = state.parties.iter().position(agreed) else {
            return false;
        };
        let unread = |link: &Link| link.party == Some(place) && link.on.unwritten > UNWRITTEN;
        if state.links.values().any(unread) {
            local::give_back(&self.hub, stanza, Reason::ResourceConstraint);
        } else if let Some(party) = state.parties.get_mut(place) {
            party.peer.send(self.hub.clock.now(), stanza.clone());
        }
        true
    }

    /// Does what the managers decide.
    fn settle(self: &Rc<Self>, state: &mut State) {
        let now = self.hub.clock.now();
        for place in 0..state.parties.len() {
            loop {
                let party = state.parties.get_mut(place);
                let Some(action) = party.and_then(|party| party.peer.poll_action()) else {
                    break;
                };
                match action {
                    AgreedPeerAction::Open => {
                        tokio::task::spawn_local(Rc::clone(self).open(place));
                    }
                    AgreedPeerAction::Send { connection, stanza } => {
                        let error = self.pass(state, connection, &stanza).err();
                        let party = state.parties.get_mut(place);
                        if let (Some(error), Some(party)) = (error, party) {
                            party.peer.not_sent(now, connection, stanza, error);
                        }
                    }
                    AgreedPeerAction::Ask { connection } => {
                        self.with(state, connection, Secured::request_acknowledgement)
                    }
                    AgreedPeerAction::Close { connection } => {
                        self.with(state, connection, Secured::close);
                    }
                    AgreedPeerAction::Return { stanza, reason } => {
                        self.measure(|measuring| measuring.fail(&reason.to_string()));
                        local::give_back(&self.hub, &stanza, reason);
                    }
                    _ => {}
                }
            }
        }
    }

    fn pass(
        &self,
        state: &mut State,
        connection: ConnectionId,
        stanza: &Stanza,
    ) -> Result<(), UsageError> {
        let env = &mut Env::new(self.hub.clock.now(), &mut state.entropy);
        let link = state.links.get_mut(&connection);
        let link = link.ok_or(UsageError::Closed)?;
        link.on.secured.send(env, stanza)?;
        link.on.unwritten = link.on.unwritten.saturating_add(stanza.bytes().len());
        link.on.wake.notify_one();
        Ok(())
    }

    fn with(
        &self,
        state: &mut State,
        connection: ConnectionId,
        call: impl FnOnce(&mut Secured<Option<RustlsSession>>, &mut Env<'_>),
    ) {
        let env = &mut Env::new(self.hub.clock.now(), &mut state.entropy);
        if let Some(link) = state.links.get_mut(&connection) {
            call(&mut link.on.secured, env);
            link.on.wake.notify_one();
        }
    }

    fn on_event(&self, state: &mut State, connection: ConnectionId, event: &Event) {
        let now = self.hub.clock.now();
        self.measure(|measuring| measuring.event(event));
        if let Event::Established { .. } = event {
            return self.established(state, connection);
        }
        let Some(link) = state.links.get_mut(&connection) else {
            return;
        };
        if let Event::Stanza(stanza) = event {
            let answer = local::take_in(&self.hub, stanza);
            link.on.secured.handled(1);
            if let Some(answer) = answer {
                self.send(state, &answer);
            }
            return;
        }
        if let Event::Closed(End::Failed(error)) = event {
            // Most likely one of the two is not configured as was agreed, which only this end is told (ZH-R3).
            let peer = link.on.secured.connection().peer_domain();
            let peer = peer.map_or_else(|| "whoever connects".to_owned(), ToString::to_string);
            anstream::eprintln!("onetrip: a link with {peer}: {error}");
        }
        let (party, closed) = (link.party, matches!(event, Event::Closed(_)));
        let never = closed && link.opened && link.on.secured.connection().agreement().is_none();
        if let Some(party) = party.and_then(|place| state.parties.get_mut(place)) {
            // A handshake that has failed is an attempt that has failed.
            if never {
                party.peer.open_failed(now);
            } else {
                party.peer.handle(now, connection, event);
            }
        }
    }

    /// It is known whose a connection is: it counts from here on.
    fn established(&self, state: &mut State, connection: ConnectionId) {
        let now = self.hub.clock.now();
        let Some(link) = state.links.get_mut(&connection) else {
            return;
        };
        let agreement = link.on.secured.connection().agreement();
        let is = |party: &Party| Some(party.peer.agreement()) == agreement;
        link.party = state.parties.iter().position(is);
        let opened = link.opened;
        let Some(party) = link.party.and_then(|place| state.parties.get_mut(place)) else {
            return;
        };
        let entered = if opened {
            party.peer.opened(now, connection)
        } else {
            party.peer.accepted(now, connection)
        };
        if entered.is_err() {
            self.with(state, connection, Secured::close);
        }
    }
}

fn is_plain(party: &Party) -> bool {
    party.peer.agreement().terms().security == Security::Plain
}

impl Machines for Agreed {
    type Id = ConnectionId;

    fn gone(&self, connection: ConnectionId) {
        self.state.borrow_mut().links.remove(&connection);
    }

    fn advance(
        self: &Rc<Self>,
        connection: ConnectionId,
        input: Input<'_>,
        backlog: usize,
    ) -> Next {
        let state = &mut *self.state.borrow_mut();
        let now = self.hub.clock.now();
        let measuring = self.measuring.as_deref();
        let mut next = Next::new();
        if let Some(link) = state.links.get_mut(&connection) {
            link.on
                .take_in(&mut Env::new(now, &mut state.entropy), input, measuring);
        }
        loop {
            self.settle(state);
            let Some(link) = state.links.get_mut(&connection) else {
                next.close = true;
                return next;
            };
            let env = &Env::new(now, &mut state.entropy);
            match link.on.poll(env, &mut next, backlog, measuring) {
                Some(Output::Event(event)) => self.on_event(state, connection, &event),
                Some(_) => {}
                None => {
                    self.due.notify_one();
                    return next;
                }
            }
        }
    }
}
