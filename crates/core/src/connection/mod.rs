//! A connection: bytes in, actions out. What dies with its socket.

mod link;
mod reading;
mod servers;

use onetrip_quickstart::Plan;
use onetrip_stream::{Condition, Domain, Env, Instant, Stanza, StreamError};
use onetrip_stream_management as sm;

use crate::asked::Asked;
use crate::half::Layer;
use crate::initiator::Initiator;
use crate::link::LinkEnd;
use crate::online::Online;
use crate::order::Facts;
use crate::receiver::{PeerReceiver, Receiver};
use crate::shell::{Notable, Shell};
use crate::{
    Action, Answer, ClientConfig, Deadline, End, EntityEvent, Error, ErrorKind, Event, Reason,
    Resumption, ServerConfig, TlsInfo, UsageError,
};

/// One connection, from its first byte to its last, in either role.
///
/// After every call that takes `&mut self`, drain [`Connection::poll_action`]. `receive` returns how much it
/// consumed: what is left belongs to TLS, after [`Action::UpgradeReceive`].
#[derive(Debug)]
pub struct Connection {
    shell: Shell,
    role: Role,
}

/// Who negotiates.
#[derive(Debug)]
enum Role {
    Initiator(Box<Initiator>),
    Receiver(Box<Receiver>),
    PeerReceiver(Box<PeerReceiver>),
    /// Nobody any more, between a client and its server.
    Online(Online),
    /// Nobody: everything was agreed beforehand.
    Link(Box<LinkEnd>),
}

impl Connection {
    /// A client's connection to its server, negotiated as `plan` says.
    #[must_use]
    pub fn client(config: ClientConfig, plan: Plan, env: &mut Env<'_>) -> Self {
        Self::resume(config, plan, None, env)
    }

    /// The same, going on with a session if there is one: by its token (ISR-06), or else behind the login (QS-39), and
    /// with a new resource where the server refuses. When the connection ends, the session comes back in an
    /// [`EntityEvent`](crate::EntityEvent), or its stanzas are handed back.
    #[must_use]
    pub fn resume(
        config: ClientConfig,
        plan: Plan,
        resumption: Option<Resumption>,
        env: &mut Env<'_>,
    ) -> Self {
        let (initiator, shell) = Initiator::client(config, plan, resumption, env);
        Self {
            shell,
            role: Role::Initiator(Box::new(initiator)),
        }
    }

    /// The server's side of a client's connection.
    #[must_use]
    pub fn server(config: ServerConfig, env: &mut Env<'_>) -> Self {
        let (receiver, shell) = Receiver::start(config, env);
        Self {
            shell,
            role: Role::Receiver(Box::new(receiver)),
        }
    }

    /// Whether this end opened the connection.
    #[must_use]
    pub fn is_initiator(&self) -> bool {
        match &self.role {
            Role::Initiator(_) | Role::Online(Online::Client(_)) => true,
            Role::Receiver(_) | Role::PeerReceiver(_) | Role::Online(Online::Server(_)) => false,
            Role::Link(link) => link.role() == onetrip_zero_handshake::Role::Opener,
        }
    }

    /// The domain of the server, as far as it is known: a client knows it from the start.
    #[must_use]
    pub fn peer_domain(&self) -> Option<&Domain> {
        match &self.role {
            Role::Initiator(role) => Some(role.domain()),
            Role::Online(Online::Client(domain)) => Some(domain),
            Role::Receiver(_) | Role::PeerReceiver(_) | Role::Online(Online::Server(_)) => None,
            Role::Link(link) => link.peer(),
        }
    }

    /// Whether the recording hook is on.
    #[must_use]
    pub fn is_tracing(&self) -> bool {
        self.shell.tracing
    }

    /// The next thing to do, in order; `None` when there is nothing.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.shell.poll_action()
    }

    /// When to call [`Connection::handle_timeout`], and why; `None` for never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        self.shell.timers.next()
    }

    /// Whether stanzas may be sent.
    #[must_use]
    pub fn is_online(&self) -> bool {
        let online = self.shell.facts.have(Facts::BOUND)
            && !self.shell.sending.ended
            && !self.shell.is_closed();
        match &self.role {
            Role::Link(link) => online && link.is_open(),
            _ => online,
        }
    }

    /// Takes in bytes from the peer, below TLS if there is TLS, and returns how many it consumed.
    ///
    /// It stops at a switch to TLS: from there on the bytes belong to TLS, and only what TLS yields may be
    /// given in, after [`Connection::tls_established`].
    ///
    /// # Errors
    /// [`Error`] when the peer broke a rule. Final: it is returned again by every later call, and what has to
    /// be written and closed is already queued.
    pub fn receive(&mut self, env: &mut Env<'_>, input: &[u8]) -> Result<usize, Error> {
        if let Some(error) = &self.shell.failed {
            return Err(error.clone());
        }
        self.shell.now = env.now;
        if let Role::Receiver(role) = &mut self.role {
            role.on_fresh_input();
        }
        let mut rest = input;
        self.process(env, &mut rest);
        match &self.shell.failed {
            Some(error) => Err(error.clone()),
            None => Ok(input.len().saturating_sub(rest.len())),
        }
    }

    /// The transport ended: nothing more will come.
    pub fn receive_eof(&mut self, env: &mut Env<'_>) {
        if self.shell.is_closed() {
            return;
        }
        self.shell.now = env.now;
        if let Role::Link(link) = &mut self.role {
            return link.receive_eof(env, &mut self.shell);
        }
        if self.shell.owes_close() {
            return self.shell.answer_close();
        }
        self.before_end(env);
        // Our footer is out and the peer has gone without its own: the stream was closed all the same.
        let end = if self.shell.sending.ended {
            End::Clean
        } else {
            End::Cut
        };
        self.shell.finish(end);
    }

    /// TLS is up in both directions, and `plain` is what it has decrypted so far.
    ///
    /// What has arrived is looked at before anything is sent: a server's proactive header may show the features that
    /// `<auth/>` would otherwise take from memory (QS-17, QS-R4).
    ///
    /// # Errors
    /// [`UsageError::NoTls`] when it was not being negotiated, [`UsageError::Closed`] after the end; nothing changes. What
    /// the peer did wrong in `plain` is returned by the next [`Connection::receive`].
    pub fn tls_established(
        &mut self,
        env: &mut Env<'_>,
        info: TlsInfo,
        plain: &[u8],
    ) -> Result<(), UsageError> {
        if self.shell.is_closed() {
            return Err(UsageError::Closed);
        }
        let layers = [self.shell.sending.layer, self.shell.receiving.layer];
        if !layers.into_iter().all(Layer::is_switching) {
            return Err(UsageError::NoTls);
        }
        self.shell.now = env.now;
        self.shell.sending.layer = Layer::Tls;
        self.shell.receiving.layer = Layer::Tls;
        self.shell.facts.reach(Facts::SECURED);
        self.shell.event(Event::Secured);
        match &mut self.role {
            Role::Initiator(role) => role.on_secured(&mut self.shell, info),
            Role::Receiver(role) => role.on_secured(&mut self.shell, info),
            Role::PeerReceiver(role) => role.on_secured(&mut self.shell, info),
            Role::Link(link) => link.on_secured(env, &mut self.shell, &info),
            Role::Online(_) => {}
        }
        let mut rest = plain;
        self.process(env, &mut rest);
        if let Role::Initiator(role) = &mut self.role {
            role.advance(env, &mut self.shell);
        }
        Ok(())
    }

    /// The sending half may already write through TLS although the handshake has not ended: a server's
    /// half-RTT data (QS-R2). `info` is what is known by then. Optional; only a proactive header makes use of it.
    pub fn tls_sendable(&mut self, info: &TlsInfo) {
        match &mut self.role {
            Role::Receiver(role) if self.shell.sending.layer == Layer::Switching => {
                role.on_sendable(&mut self.shell, info);
            }
            _ => {}
        }
    }

    /// Early data of TLS 1.3 has arrived, which may be a replay (RFC 8446 §8): the login of a client by a token, where a
    /// server takes that ([`Sasl2Offer::early`](crate::Sasl2Offer::early)). All of it, before
    /// [`Connection::tls_established`], with what is known of the session by then; what is written in answer may go out as
    /// half-RTT data, or wait until the end of the handshake.
    ///
    /// # Errors
    /// As [`Connection::receive`]: [`ErrorKind::Early`] when it is, or holds, anything else.
    pub fn receive_early(
        &mut self,
        env: &mut Env<'_>,
        info: &TlsInfo,
        input: &[u8],
    ) -> Result<(), Error> {
        if self.shell.failed.is_none() && !self.shell.is_closed() {
            self.shell.now = env.now;
            self.process_early(env, info, input);
        }
        self.shell.failed.clone().map_or(Ok(()), Err)
    }

    /// Answers the pending request. What waited for it is processed now.
    ///
    /// A session that was found for a connection which is over by then comes out again, behind [`Action::Close`], as an
    /// [`Action::Entity`].
    ///
    /// # Errors
    /// [`UsageError::NotAsked`] when it fits no pending request; nothing changes.
    pub fn answer(&mut self, env: &mut Env<'_>, answer: Answer) -> Result<(), UsageError> {
        let fits = |asked: &mut Asked| asked.takes(&answer);
        let Some(asked) = self.shell.pending.take_if(fits) else {
            self.take_back(answer);
            return Err(if self.shell.is_closed() {
                UsageError::Closed
            } else {
                UsageError::NotAsked
            });
        };
        self.shell.now = env.now;
        let taken = match (&mut self.role, answer) {
            (_, Answer::Awaited(awaited)) => self.shell.vouch(env, awaited),
            (Role::Initiator(role), answer) => role.on_answer(env, &mut self.shell, answer),
            (Role::Receiver(role), answer) => role.on_answer(env, &mut self.shell, answer),
            (Role::PeerReceiver(_) | Role::Online(_) | Role::Link(_), _) => {
                Err(UsageError::NotAsked)
            }
        };
        if taken.is_err() {
            self.shell.pending = Some(asked);
            return taken;
        }
        if self.shell.pending.is_none() {
            let held = self.shell.held.take();
            let mut rest: &[u8] = &held;
            self.process(env, &mut rest);
        }
        Ok(())
    }

    /// An answer that came too late: what it holds is not lost, and not kept for ever.
    fn take_back(&mut self, answer: Answer) {
        match (answer, &self.role) {
            (Answer::Session(session), _) => self.shell.give_back(*session),
            (Answer::Enable(Some(granted)), role) => {
                let owner = match role {
                    Role::Receiver(role) => role.address(),
                    Role::Online(Online::Server(_)) => self.shell.management.owner(),
                    _ => None,
                };
                if let (Some(id), Some(owner)) = (granted.id, owner) {
                    let over = EntityEvent::over(id, owner.clone(), sm::Count::default());
                    self.shell.push(Action::Entity(over));
                }
            }
            _ => {}
        }
    }

    /// Sends a stanza. Where stanzas are counted, the handle names it until an [`Event::Management`] has said what has
    /// become of it.
    ///
    /// # Errors
    /// [`UsageError::NotOnline`] before a resource is bound or the other server has been established,
    /// [`UsageError::Closed`] after the end, [`UsageError::PairNotOpen`] between servers for a pair that may not be sent
    /// here; on a link also [`UsageError::Full`] and [`UsageError::TooLarge`]; nothing changes.
    pub fn send(
        &mut self,
        env: &mut Env<'_>,
        stanza: &Stanza,
    ) -> Result<Option<sm::Handle>, UsageError> {
        if self.shell.is_closed() || self.shell.sending.ended {
            return Err(UsageError::Closed);
        }
        if let Role::Link(link) = &mut self.role {
            self.shell.now = env.now;
            return link.send(env, &mut self.shell, stanza);
        }
        if !self.shell.facts.have(Facts::BOUND) {
            return Err(UsageError::NotOnline);
        }
        if stanza.head().content != self.shell.content {
            return Err(UsageError::OtherContent);
        }
        if let Some(peering) = &self.shell.peering {
            peering.check_outgoing(stanza.head())?;
        }
        self.shell.now = env.now;
        self.shell.active();
        Ok(self.shell.stanza(stanza))
    }

    /// The application has dealt with the oldest so many of the stanzas that arrived: stored them, answered them,
    /// passed them on. The peer keeps each until then, and sends it again if the connection is cut before.
    ///
    /// Without stream management it does nothing.
    pub fn handled(&mut self, stanzas: u32) {
        if let Role::Link(link) = &mut self.role {
            return link.handled(&mut self.shell, stanzas);
        }
        self.shell.management.handled(stanzas);
        self.shell.drain_management();
        if self.shell.owes_close() && self.shell.management.unhandled() == 0 {
            self.shell.answer_close();
        }
    }

    /// Whether another stanza finds room until it is acknowledged. Whoever sends all the same makes the oldest ones
    /// impossible to send again: they come back as failed, and the session cannot be resumed until they are acknowledged.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.shell.management.has_room()
    }

    /// Where a stanza is that is not settled yet.
    #[must_use]
    pub fn stage(&self, handle: sm::Handle) -> Option<sm::Stage> {
        match &self.role {
            Role::Link(link) => link.stage(handle),
            _ => self.shell.management.stage(handle),
        }
    }

    /// The client's session as it stands, to store it while the connection is up: what it takes to go on in another
    /// process, should this one die. As long as the connection lives it is only a copy, and not to be used.
    #[must_use]
    pub fn resumption(&self) -> Option<Resumption> {
        self.shell.management.snapshot()
    }

    /// The session is wanted by another connection: it is handed over, and this one ends with `<conflict/>`
    /// (XEP-0198 §5, ISR-26).
    pub fn hand_over(&mut self, env: &mut Env<'_>) -> Option<Box<sm::Session>> {
        // A link has no session: nothing of it is resumed (ZH-R5).
        if self.shell.is_closed() || matches!(self.role, Role::Link(_)) {
            return None;
        }
        self.shell.now = env.now;
        let session = self.shell.surrender();
        let conflict = StreamError::new(Condition::Conflict)
            .with_text("the session goes on over another connection");
        self.shell.end_with(&conflict, End::HandedOver);
        session
    }

    /// Asks for a resource again after [`Event::BindRefused`] (QS-28).
    ///
    /// # Errors
    /// [`UsageError::NotAsked`] when binding has not been refused; nothing changes.
    pub fn bind(&mut self, env: &mut Env<'_>, resource: Option<&str>) -> Result<(), UsageError> {
        match &mut self.role {
            Role::Initiator(role) => role.bind_again(env, &mut self.shell, resource),
            Role::Receiver(_) | Role::PeerReceiver(_) | Role::Online(_) | Role::Link(_) => {
                Err(UsageError::NotAsked)
            }
        }
    }

    /// Closes the stream: our footer, then the wait for the peer's (RFC 6120 §4.4).
    pub fn close(&mut self, env: &mut Env<'_>) {
        self.shell.now = env.now;
        match &mut self.role {
            Role::Link(link) => link.close(env, &mut self.shell),
            _ => self.shell.close(env),
        }
    }

    /// Ends the stream with a stream error, on the application's behalf. What will pass, such as a shutdown, leaves the
    /// session to be resumed; anything else ends it.
    pub fn close_with(&mut self, error: &StreamError) {
        if let Role::Link(link) = &mut self.role {
            return link.close_with(&mut self.shell, error);
        }
        if !self.shell.is_closed() {
            self.shell.management.on_own_error(error.condition);
            self.shell.drain_management();
            self.shell.end_with(error, End::Clean);
        }
    }

    /// Acts on every deadline that has passed; does nothing when called early.
    pub fn handle_timeout(&mut self, env: &mut Env<'_>) {
        self.shell.now = env.now;
        while let Some(reason) = self.shell.timers.expired(env.now) {
            match (reason, &mut self.role) {
                (reason, Role::Link(link)) if reason != Reason::Negotiation => {
                    link.on_timeout(env, &mut self.shell);
                }
                (Reason::Close, _) if self.shell.owes_close() => self.shell.answer_close(),
                (Reason::Close, _) => self.shell.finish(End::Clean),
                (Reason::Negotiation, _) => {
                    self.before_end(env);
                    self.shell.fail(ErrorKind::TimedOut(reason));
                }
                (Reason::Acknowledgement, _) => self.on_acknowledgement_due(env),
                (Reason::Dialback, role) => {
                    self.shell.on_dialback_due(env);
                    if let Role::Initiator(role) = role {
                        role.on_timeout(env, &mut self.shell, reason);
                    }
                }
                (Reason::Idle, _) => self.shell.on_idle(env),
                (_, Role::Initiator(role)) => role.on_timeout(env, &mut self.shell, reason),
                (_, _) => {}
            }
        }
    }

    fn on_acknowledgement_due(&mut self, env: &mut Env<'_>) {
        self.shell.management.handle_timeout(env.now);
        while let Some(notable) = self.shell.poll_management() {
            if matches!(notable, Notable::Unanswered) {
                self.before_end(env);
                self.shell
                    .fail(ErrorKind::TimedOut(Reason::Acknowledgement));
            }
        }
    }

    /// How many bytes are held for now: of an unfinished frame, and behind a pending decision.
    #[must_use]
    pub fn buffered(&self) -> usize {
        if let Role::Link(link) = &self.role {
            return link.buffered();
        }
        self.shell
            .held
            .len()
            .saturating_add(self.shell.receiving.reader.pending())
    }

    /// How many bytes of XML have been read, over all restarts.
    #[must_use]
    pub fn received(&self) -> u64 {
        if let Role::Link(link) = &self.role {
            return link.received();
        }
        self.shell.receiving.total()
    }
}

/// Sets the deadline of the whole negotiation.
pub(crate) fn negotiation_deadline(shell: &mut Shell, now: Instant) {
    let at = now + shell.bounds.negotiation;
    shell.timers.set(Reason::Negotiation, at);
}
