//! The composed machine: session, transports, the boundary to TLS, and the stream on top.
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | setup | what the session and the transports take | streaming; over |
//! | streaming | stanzas, bytes, [`EndToEnd::close`] | leaving; over |
//! | leaving | [`EndToEnd::tls_closed`], the last bytes of the transport | waiting; over |
//! | waiting (the end that did not close first) | session-terminate, silence | over |

use std::collections::VecDeque;

use onetrip_jingle_xmlstream::s5b::{self, Attempt, Candidate, Link};
use onetrip_jingle_xmlstream::session::{Reason, Tie, Unsupported};
use onetrip_jingle_xmlstream::socks5::Destination;
use onetrip_jingle_xmlstream::xtls::TlsRole;
use onetrip_jingle_xmlstream::{Capabilities, Role, Session};
use onetrip_stream::{Env, Instant, Jid, Stanza};

use super::pipe::Pipe;
use super::sockets::{Sockets, Turn};
use super::stream::PeerStream;
use super::{Action, Config};
use crate::UsageError;

#[derive(Debug)]
pub(super) enum State {
    Setup,
    Streaming(Box<PeerStream>),
    Leaving(Leaving),
    Waiting { until: Instant },
    Over,
}

/// How the stream ended, and whether it is for this end to end the session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leaving {
    pub(super) reason: Reason,
    pub(super) closes: bool,
    pub(super) until: Instant,
}

/// One end of a stream between two clients. See the [module](super).
#[derive(Debug)]
pub struct EndToEnd {
    pub(super) config: Config,
    pub(super) session: Session,
    pub(super) sockets: Sockets,
    pub(super) pipe: Pipe,
    pub(super) state: State,
    actions: VecDeque<Action>,
}

impl EndToEnd {
    /// Asks `peer` for a session: [`Session::initiate`].
    ///
    /// # Errors
    /// As there.
    pub fn initiate(
        config: Config,
        env: &mut Env<'_>,
        us: Jid,
        peer: Jid,
        capabilities: Option<&Capabilities>,
        candidates: Vec<Candidate>,
    ) -> Result<Self, Unsupported> {
        let begun = config.session.clone();
        let session = Session::initiate(begun, env, us, peer, capabilities, candidates)?;
        Ok(Self::new(config, session, env))
    }

    /// Receives a session-initiate: [`Session::incoming`]. Ask [`EndToEnd::tie`] of every session to that peer first.
    ///
    /// # Errors
    /// As there.
    pub fn incoming(
        config: Config,
        env: &mut Env<'_>,
        us: Jid,
        stanza: &Stanza,
        authorised: bool,
    ) -> Result<Self, Option<Box<Stanza>>> {
        let session = Session::incoming(config.session.clone(), env, us, stanza, authorised)?;
        Ok(Self::new(config, session, env))
    }

    fn new(config: Config, session: Session, env: &mut Env<'_>) -> Self {
        let mut this = Self {
            config,
            session,
            sockets: Sockets::default(),
            pipe: Pipe::new(),
            state: State::Setup,
            actions: VecDeque::new(),
        };
        this.pump(env);
        this
    }

    /// The session, to ask it something.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// What to do with a session-initiate of the same peer: [`Session::tie`].
    #[must_use]
    pub fn tie(&self, stanza: &Stanza) -> Tie {
        self.session.tie(stanza)
    }

    /// What this end's streamhost is to expect for this session; ask behind [`EndToEnd::initiate`] and
    /// [`EndToEnd::accept`], and tell [`Streamhost::expect`](super::Streamhost::expect).
    #[must_use]
    pub fn expected(&self) -> Vec<Destination> {
        self.session.expected()
    }

    /// As what this end takes part in TLS.
    #[must_use]
    pub fn tls_role(&self) -> TlsRole {
        match self.session.role() {
            Role::Initiator => TlsRole::Client,
            Role::Responder => TlsRole::Server,
        }
    }

    /// Whether stanzas may be sent.
    #[must_use]
    pub fn is_online(&self) -> bool {
        matches!(&self.state, State::Streaming(stream) if stream.is_online())
    }

    /// Whether everything is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// The next thing to do, in order.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call [`EndToEnd::handle_timeout`]; `None` for never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let own = match &self.state {
            State::Streaming(stream) => stream.poll_timeout(),
            State::Leaving(Leaving { until, .. }) | State::Waiting { until } => Some(*until),
            State::Setup | State::Over => None,
        };
        let others = [
            self.session.poll_timeout(),
            self.pipe.poll_timeout(),
            self.sockets.poll_timeout(),
        ];
        others.into_iter().flatten().chain(own).min()
    }

    /// Goes on with what is due, and ends what takes too long; does nothing when called early.
    pub fn handle_timeout(&mut self, env: &mut Env<'_>) {
        let now = env.now;
        self.session.handle_timeout(now);
        self.pipe.handle_timeout(now);
        for attempt in self.sockets.late(now) {
            self.lose(env, Link::Made(attempt), true);
        }
        match &mut self.state {
            // What is on its way takes what it takes; a peer that takes nothing is the transport's affair.
            State::Streaming(stream) if self.pipe.is_busy() => stream.postpone_close(now),
            State::Streaming(stream) => stream.handle_timeout(now),
            State::Leaving(leaving) if leaving.until <= now => {
                let reason = leaving.reason;
                self.session.terminate(reason);
            }
            State::Waiting { until } if *until <= now => self.session.terminate(Reason::Success),
            _ => {}
        }
        self.pump(env);
    }

    /// The user agrees: [`Session::accept`].
    pub fn accept(&mut self, env: &mut Env<'_>, candidates: Vec<Candidate>) {
        self.session.accept(env.now, candidates);
        self.pump(env);
    }

    /// Ends the session at once, without closing the stream: [`Session::terminate`]. A responder's user says no with
    /// [`Reason::Decline`].
    pub fn terminate(&mut self, env: &mut Env<'_>, reason: Reason) {
        self.session.terminate(reason);
        self.pump(env);
    }

    /// Takes in an iq or message from the connection to the server; `false` when it is for somebody else. What nobody
    /// takes goes to [`unknown`](super::unknown).
    pub fn handle(&mut self, env: &mut Env<'_>, stanza: &Stanza) -> bool {
        // Data first: most of what comes is that, once there is a pipe.
        let taken = self.pipe.handle(env.now, stanza) || self.session.handle(env.now, stanza);
        self.pump(env);
        taken
    }

    /// A connection that was asked for is made.
    pub fn connected(&mut self, env: &mut Env<'_>, attempt: Attempt) {
        let timeouts = self.config.socks5;
        for bytes in self.sockets.connected(env.now, attempt, timeouts) {
            self.push(Action::Write(Link::Made(attempt), bytes));
        }
    }

    /// This end's streamhost has taken a connection for this session.
    pub fn taken(&mut self, env: &mut Env<'_>) {
        if self.pipe.is_chosen() || self.session.is_ended() {
            self.push(Action::Close(Link::Taken));
            return;
        }
        self.sockets.taken();
        self.session.s5b(env.now, s5b::Input::Accepted);
        self.pump(env);
    }

    /// Bytes came over a socket.
    pub fn receive(&mut self, env: &mut Env<'_>, link: Link, bytes: &[u8]) {
        if self.pipe.link() == Some(link) {
            if !self.pipe.arrived(bytes) {
                self.push(Action::Close(link));
                self.pipe.forget();
                self.transport_gone();
            }
            return self.pump(env);
        }
        let (writes, turn) = self.sockets.receive(link, bytes);
        for bytes in writes {
            self.push(Action::Write(link, bytes));
        }
        match (turn, link) {
            (Turn::Ready, Link::Made(attempt)) => {
                self.session.s5b(env.now, s5b::Input::Connected(attempt));
            }
            (Turn::Failed, _) => self.lose(env, link, true),
            _ => {}
        }
        self.pump(env);
    }

    /// A socket is gone, or could not be made.
    pub fn closed(&mut self, env: &mut Env<'_>, link: Link) {
        if self.pipe.link() == Some(link) {
            self.pipe.forget();
            self.transport_gone();
        } else {
            self.lose(env, link, false);
        }
        self.pump(env);
    }

    /// What TLS wants to be sent, in order.
    pub fn transmit(&mut self, env: &mut Env<'_>, bytes: &[u8]) {
        self.carry(env.now, bytes);
        self.pump(env);
    }

    /// The TLS handshake is over, and this is the peer's certificate in DER, if it sent one. Behind this
    /// [`EndToEnd::receive_plain`] takes what TLS decrypts, if the certificate is the right one.
    pub fn tls_established(&mut self, env: &mut Env<'_>, certificate: Option<&[u8]>) {
        self.session.tls_established(certificate);
        self.pump(env);
    }

    /// TLS failed, during the handshake or behind it.
    pub fn tls_failed(&mut self, env: &mut Env<'_>) {
        self.session.tls_failed();
        if !self.session.is_ended() {
            self.transport_gone();
        }
        self.pump(env);
    }

    /// What TLS has decrypted. Before the certificate was found to be the right one nothing is looked at.
    pub fn receive_plain(&mut self, env: &mut Env<'_>, plain: &[u8]) {
        if let State::Streaming(stream) = &mut self.state {
            stream.receive(env, plain);
        }
        self.pump(env);
    }

    /// The peer has closed its half of TLS: nothing more comes. Our half closes when the stream has.
    pub fn receive_eof(&mut self, env: &mut Env<'_>) {
        if !matches!(self.state, State::Leaving(_)) {
            self.transport_gone();
        }
        self.pump(env);
    }

    /// `close_notify` has been handed over.
    pub fn tls_closed(&mut self, env: &mut Env<'_>) {
        self.left(env.now);
        self.pump(env);
    }

    /// Sends a stanza to the peer. Addresses may be left out: the stream says who talks to whom (JXS-24).
    ///
    /// # Errors
    /// [`UsageError::NotOnline`] before [`Event::Online`](super::Event::Online), [`UsageError::Closed`] behind the end, [`UsageError::Full`]
    /// when too much waits already; nothing changes.
    pub fn send(&mut self, env: &mut Env<'_>, stanza: &Stanza) -> Result<(), UsageError> {
        match &mut self.state {
            State::Setup => return Err(UsageError::NotOnline),
            State::Streaming(stream) => {
                self.pipe.check_room(self.config.backlog)?;
                stream.send(stanza)?;
            }
            _ => return Err(UsageError::Closed),
        }
        self.pump(env);
        Ok(())
    }

    /// Closes the stream, the transport and the session, in this order. Before the stream there is only the session.
    pub fn close(&mut self, env: &mut Env<'_>) {
        match &mut self.state {
            State::Setup => {
                let reason = match self.session.role() {
                    Role::Initiator => Reason::Cancel,
                    Role::Responder => Reason::Decline,
                };
                self.session.terminate(reason);
            }
            State::Streaming(stream) => stream.close(env),
            _ => {}
        }
        self.pump(env);
    }

    pub(super) fn push(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    /// A socket that was not chosen is no more.
    fn lose(&mut self, env: &Env<'_>, link: Link, close: bool) {
        if !self.sockets.remove(link) {
            return;
        }
        if close {
            self.push(Action::Close(link));
        }
        let input = match link {
            Link::Made(attempt) => s5b::Input::Failed(attempt),
            Link::Taken => s5b::Input::Lost,
        };
        self.session.s5b(env.now, input);
    }

    /// Nothing comes or goes any more.
    pub(super) fn transport_gone(&mut self) {
        match &mut self.state {
            State::Streaming(stream) => stream.receive_eof(),
            State::Setup => self.session.transport_closed(),
            State::Leaving(leaving) => {
                let reason = leaving.reason;
                self.session.terminate(reason);
            }
            State::Waiting { .. } | State::Over => {}
        }
    }
}
