//! A connection: bytes in, actions out. What dies with its socket.

mod servers;

use onetrip_quickstart::Plan;
use onetrip_stream::{Condition, Domain, Env, Frame, Instant, Stanza, StreamError};
use onetrip_stream_management as sm;

use crate::half::Layer;
use crate::initiator::Initiator;
use crate::order::Facts;
use crate::receiver::{PeerReceiver, Receiver};
use crate::shell::{Notable, Shell};
use crate::trace::{label, stanza_label};
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
        matches!(self.role, Role::Initiator(_))
    }

    /// The domain of the server, as far as it is known: a client knows it from the start.
    #[must_use]
    pub fn peer_domain(&self) -> Option<&Domain> {
        match &self.role {
            Role::Initiator(role) => Some(role.domain()),
            Role::Receiver(_) | Role::PeerReceiver(_) => None,
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
        self.shell.facts.have(Facts::BOUND) && !self.shell.sending.ended && !self.shell.is_closed()
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

    fn process(&mut self, env: &mut Env<'_>, rest: &mut &[u8]) {
        loop {
            if self.shell.is_closed() {
                *rest = &[];
                return;
            }
            if self.shell.receiving.layer == Layer::Switching {
                return;
            }
            if self.shell.pending {
                if let Err(overflow) = self.shell.held.push(rest) {
                    self.shell.fail(overflow.into());
                }
                *rest = &[];
                return;
            }
            match self.shell.receiving.reader.next(rest) {
                Ok(Some(frame)) => {
                    if self.over_total() {
                        return;
                    }
                    self.on_frame(env, frame);
                    self.check_boundary(rest);
                }
                Ok(None) => {
                    self.over_total();
                    return;
                }
                Err(error) => {
                    let kind = self.translate(error);
                    return self.shell.fail(kind);
                }
            }
        }
    }

    /// Whether more was read before authentication than is allowed.
    fn over_total(&mut self) -> bool {
        let allowed = self.shell.bounds.before.unauthenticated_total;
        let over = !self.shell.facts.have(Facts::AUTHENTICATED)
            && self.shell.receiving.total() > allowed as u64;
        if over {
            self.shell.fail(ErrorKind::TooMuch { allowed });
        }
        over
    }

    /// What follows a switch to TLS in the same bytes must be able to belong to TLS (QS-R6).
    fn check_boundary(&mut self, rest: &mut &[u8]) {
        if self.shell.receiving.layer != Layer::Switching || self.shell.is_closed() {
            return;
        }
        let honest = match &self.role {
            Role::Initiator(initiator) => initiator.hello_may_be_answered(),
            Role::Receiver(receiver) => {
                // No TLS record begins with white space, so this is unambiguous.
                *rest = rest.trim_ascii_start();
                receiver.takes_leftover()
            }
            Role::PeerReceiver(receiver) => {
                *rest = rest.trim_ascii_start();
                receiver.takes_leftover()
            }
        };
        if !honest && !rest.is_empty() {
            self.shell.fail(ErrorKind::Injected);
        }
    }

    fn on_frame(&mut self, env: &mut Env<'_>, frame: Frame) {
        match frame {
            Frame::Header(header) => {
                self.shell.read(|| "stream header".to_owned());
                self.shell.receiving.opened = true;
                match &mut self.role {
                    Role::Initiator(role) => role.on_header(env, &mut self.shell, &header),
                    Role::Receiver(role) => role.on_header(&mut self.shell, &header),
                    Role::PeerReceiver(role) => role.on_header(&mut self.shell, &header),
                }
            }
            Frame::Element(element) => {
                self.shell.read(|| label(&element));
                if let Some(error) = StreamError::from_element(&element) {
                    return self.on_peer_error(env, error);
                }
                match &mut self.role {
                    Role::Initiator(role) => role.on_element(env, &mut self.shell, &element),
                    Role::Receiver(role) => role.on_element(env, &mut self.shell, &element),
                    Role::PeerReceiver(role) => role.on_element(env, &mut self.shell, &element),
                }
            }
            Frame::Stanza(stanza) => {
                self.shell.read(|| stanza_label(&stanza));
                match &mut self.role {
                    Role::Initiator(role) => role.on_stanza(env, &mut self.shell, stanza),
                    Role::Receiver(role) => role.on_stanza(&mut self.shell, stanza),
                    Role::PeerReceiver(role) => role.on_stanza(&mut self.shell, stanza),
                }
            }
            Frame::Footer => {
                self.shell.read(|| "footer".to_owned());
                self.before_end(env);
                self.shell.peer_closed();
            }
            _ => {}
        }
        self.shell.active();
    }

    fn on_peer_error(&mut self, env: &mut Env<'_>, error: StreamError) {
        self.shell.event(Event::PeerError(error.clone()));
        self.shell.management.on_peer_error(error.condition);
        self.before_end(env);
        self.shell.peer_failed(error);
    }

    /// Lets the role draw its conclusions while the connection is ending.
    fn before_end(&mut self, env: &mut Env<'_>) {
        if let Role::Initiator(role) = &mut self.role {
            role.on_end(env, &mut self.shell);
        }
    }

    fn translate(&self, error: onetrip_stream::ReadError) -> ErrorKind {
        match &self.role {
            Role::Receiver(role) => role.translate(error),
            Role::PeerReceiver(role) => role.translate(error),
            Role::Initiator(_) => error.into(),
        }
    }

    /// The transport ended: nothing more will come.
    pub fn receive_eof(&mut self, env: &mut Env<'_>) {
        if self.shell.is_closed() {
            return;
        }
        self.shell.now = env.now;
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
        if self.shell.sending.layer != Layer::Switching
            || self.shell.receiving.layer != Layer::Switching
        {
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
        }
        let mut rest = plain;
        self.process(env, &mut rest);
        if let Role::Initiator(role) = &mut self.role {
            role.advance(env, &mut self.shell);
        }
        Ok(())
    }

    /// The sending half may already write through TLS although the handshake has not ended: a server's
    /// half-RTT data (QS-R2). Optional; only a proactive header makes use of it.
    pub fn tls_sendable(&mut self) {
        match &mut self.role {
            Role::Receiver(role) if self.shell.sending.layer == Layer::Switching => {
                role.on_sendable(&mut self.shell);
            }
            _ => {}
        }
    }

    /// Answers the pending request. What waited for it is processed now.
    ///
    /// A session that was found for a connection which is over by then comes out again, behind [`Action::Close`], as an
    /// [`Action::Entity`].
    ///
    /// # Errors
    /// [`UsageError::NotAsked`] when it fits no pending request; nothing changes.
    pub fn answer(&mut self, env: &mut Env<'_>, answer: Answer) -> Result<(), UsageError> {
        if self.shell.is_closed() || !self.shell.pending {
            self.take_back(answer);
            return Err(if self.shell.is_closed() {
                UsageError::Closed
            } else {
                UsageError::NotAsked
            });
        }
        self.shell.now = env.now;
        match &mut self.role {
            _ if self.shell.peering.is_some() => {
                let Answer::Awaited(awaited) = answer else {
                    return Err(UsageError::NotAsked);
                };
                self.shell.vouch(env, awaited)?;
            }
            Role::Initiator(role) => role.on_answer(env, &mut self.shell, answer)?,
            Role::Receiver(role) => role.on_answer(env, &mut self.shell, answer)?,
            Role::PeerReceiver(_) => return Err(UsageError::NotAsked),
        }
        if !self.shell.pending {
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
            (Answer::Enable(Some(granted)), Role::Receiver(role)) => {
                if let (Some(id), Some(owner)) = (granted.id, role.address()) {
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
    /// here; nothing changes.
    pub fn send(
        &mut self,
        env: &mut Env<'_>,
        stanza: &Stanza,
    ) -> Result<Option<sm::Handle>, UsageError> {
        if self.shell.is_closed() || self.shell.sending.ended {
            return Err(UsageError::Closed);
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
        self.shell.management.handled(stanzas);
        self.shell.drain_management();
        if self.shell.owes_close() && self.shell.management.unhandled() == 0 {
            self.shell.answer_close();
        }
    }

    /// Where a stanza is that is not settled yet.
    #[must_use]
    pub fn stage(&self, handle: sm::Handle) -> Option<sm::Stage> {
        self.shell.management.stage(handle)
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
        if self.shell.is_closed() {
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
            Role::Receiver(_) | Role::PeerReceiver(_) => Err(UsageError::NotAsked),
        }
    }

    /// Closes the stream: our footer, then the wait for the peer's (RFC 6120 §4.4).
    pub fn close(&mut self, env: &mut Env<'_>) {
        self.shell.now = env.now;
        self.shell.close(env);
    }

    /// Ends the stream with a stream error, on the application's behalf. What will pass, such as a shutdown, leaves the
    /// session to be resumed; anything else ends it.
    pub fn close_with(&mut self, error: &StreamError) {
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
                (_, Role::Receiver(_) | Role::PeerReceiver(_)) => {}
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
        self.shell
            .held
            .len()
            .saturating_add(self.shell.receiving.reader.pending())
    }

    /// How many bytes of XML have been read, over all restarts.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.shell.receiving.total()
    }
}

/// Sets the deadline of the whole negotiation.
pub(crate) fn negotiation_deadline(shell: &mut Shell, now: Instant) {
    let at = now + shell.bounds.negotiation;
    shell.timers.set(Reason::Negotiation, at);
}
