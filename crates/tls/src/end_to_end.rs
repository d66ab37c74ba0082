//! A stream between two clients with its TLS: stanzas and bytes in, stanzas and bytes out.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use onetrip_core::e2e::{Action, EndToEnd, Event};
use onetrip_core::jingle::s5b::{Attempt, Candidate, Link};
use onetrip_core::jingle::session::Reason;
use onetrip_core::{Unit, UsageError};
use onetrip_stream::{Env, Instant, Stanza};

use crate::{TlsError, TlsErrorKind, TlsSession, TlsState};

/// What the caller must do next, in order. As [`Action`], with TLS carried out.
#[derive(Debug)]
#[must_use = "an output that is not carried out leaves the peer waiting"]
#[non_exhaustive]
// An event is moved once; a box would be an allocation for each stanza.
#[allow(clippy::large_enum_variant)]
pub enum EndOutput {
    /// Send this stanza on the connection to the server.
    Send(Stanza),
    /// Connect by TCP, and tell with [`SecuredEnd::connected`] or [`SecuredEnd::closed`].
    Connect {
        /// Names the socket.
        attempt: Attempt,
        /// Whereto. What `host` resolves to must pass the policy too.
        candidate: Candidate,
    },
    /// Write this to a socket.
    Write(Link, Bytes),
    /// Write everything, then close the socket; or give the attempt up.
    Close(Link),
    /// A unit of the stream was sent or received; only while tracing is on.
    Trace(Unit),
    /// Take note of something.
    Event(Event),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing goes through TLS, yet or at all.
    Waiting,
    Handshaking,
    Established,
    Over,
}

/// One end of a stream between two clients and its TLS session.
///
/// After every call that takes `&mut self`, drain [`SecuredEnd::poll_output`].
#[derive(Debug)]
pub struct SecuredEnd<T> {
    end: EndToEnd,
    session: T,
    state: State,
    failed: Option<TlsError>,
    /// What TLS has written, until nothing more rides along: in band each write costs a round trip.
    joining: BytesMut,
    outputs: VecDeque<EndOutput>,
}

impl<T: TlsSession> SecuredEnd<T> {
    /// Puts the two together; `session` must not have been used, and be of [`EndToEnd::tls_role`].
    #[must_use]
    pub fn new(end: EndToEnd, session: T, env: &mut Env<'_>) -> Self {
        let mut this = Self {
            end,
            session,
            state: State::Waiting,
            failed: None,
            joining: BytesMut::new(),
            outputs: VecDeque::new(),
        };
        this.pump(env);
        this
    }

    /// The machine, to ask it something.
    #[must_use]
    pub fn end(&self) -> &EndToEnd {
        &self.end
    }

    /// The TLS session, to ask it something.
    #[must_use]
    pub fn session(&self) -> &T {
        &self.session
    }

    /// Why TLS failed, if it did.
    #[must_use]
    pub fn tls_error(&self) -> Option<&TlsError> {
        self.failed.as_ref()
    }

    /// The next thing to do, in order; `None` when there is nothing.
    pub fn poll_output(&mut self) -> Option<EndOutput> {
        self.outputs.pop_front()
    }

    /// When to call [`SecuredEnd::handle_timeout`]; `None` for never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.end.poll_timeout()
    }

    /// Goes on with what is due: [`EndToEnd::handle_timeout`].
    pub fn handle_timeout(&mut self, env: &mut Env<'_>) {
        self.end.handle_timeout(env);
        self.pump(env);
    }

    /// The user agrees: [`EndToEnd::accept`].
    pub fn accept(&mut self, env: &mut Env<'_>, candidates: Vec<Candidate>) {
        self.end.accept(env, candidates);
        self.pump(env);
    }

    /// Ends the session at once: [`EndToEnd::terminate`].
    pub fn terminate(&mut self, env: &mut Env<'_>, reason: Reason) {
        self.end.terminate(env, reason);
        self.pump(env);
    }

    /// Takes in an iq or message: [`EndToEnd::handle`].
    pub fn handle(&mut self, env: &mut Env<'_>, stanza: &Stanza) -> bool {
        let taken = self.end.handle(env, stanza);
        self.pump(env);
        taken
    }

    /// A connection that was asked for is made.
    pub fn connected(&mut self, env: &mut Env<'_>, attempt: Attempt) {
        self.end.connected(env, attempt);
        self.pump(env);
    }

    /// This end's streamhost has taken a connection for this session.
    pub fn taken(&mut self, env: &mut Env<'_>) {
        self.end.taken(env);
        self.pump(env);
    }

    /// Bytes came over a socket.
    pub fn receive(&mut self, env: &mut Env<'_>, link: Link, bytes: &[u8]) {
        self.end.receive(env, link, bytes);
        self.pump(env);
    }

    /// A socket is gone, or could not be made.
    pub fn closed(&mut self, env: &mut Env<'_>, link: Link) {
        self.end.closed(env, link);
        self.pump(env);
    }

    /// Sends a stanza to the peer.
    ///
    /// # Errors
    /// As [`EndToEnd::send`].
    pub fn send(&mut self, env: &mut Env<'_>, stanza: &Stanza) -> Result<(), UsageError> {
        let result = self.end.send(env, stanza);
        self.pump(env);
        result
    }

    /// Closes the stream, the transport and the session: [`EndToEnd::close`].
    pub fn close(&mut self, env: &mut Env<'_>) {
        self.end.close(env);
        self.pump(env);
    }

    /// Carries out what the machine asks for, as far as it concerns TLS.
    fn pump(&mut self, env: &mut Env<'_>) {
        loop {
            while let Some(action) = self.end.poll_action() {
                self.on_action(env, action);
            }
            if self.joining.is_empty() {
                return;
            }
            self.flush(env);
        }
    }

    fn on_action(&mut self, env: &mut Env<'_>, action: Action) {
        let output = match action {
            Action::Send(stanza) => EndOutput::Send(stanza),
            Action::Connect { attempt, candidate } => EndOutput::Connect { attempt, candidate },
            Action::Write(link, bytes) => EndOutput::Write(link, bytes),
            Action::Close(link) => EndOutput::Close(link),
            Action::Trace(unit) => EndOutput::Trace(unit),
            Action::Event(event) => EndOutput::Event(event),
            Action::StartTls(_) => {
                self.state = State::Handshaking;
                return self.encrypt(env, &[]);
            }
            Action::Encrypt(plain) => return self.encrypt(env, &plain),
            Action::Encrypted(cipher) => return self.decrypt(env, &cipher),
            Action::CloseTls => return self.close_tls(env),
            _ => return,
        };
        self.outputs.push_back(output);
    }

    fn flush(&mut self, env: &mut Env<'_>) {
        let cipher = self.joining.split();
        self.end.transmit(env, &cipher);
    }

    fn encrypt(&mut self, env: &mut Env<'_>, plain: &[u8]) {
        if self.state == State::Over {
            return;
        }
        if let Err(error) = self.session.write(plain, &mut self.joining) {
            self.fail(env, error);
        }
    }

    fn decrypt(&mut self, env: &mut Env<'_>, cipher: &[u8]) {
        if self.state == State::Over {
            return;
        }
        let mut plain = BytesMut::new();
        let read = self.session.read(cipher, &mut plain);
        // What the handshake has to say, or the alert.
        self.encrypt(env, &[]);
        let up = matches!(
            self.session.state(),
            TlsState::Established | TlsState::Closed
        );
        if self.state == State::Handshaking && up {
            self.state = State::Established;
            let certificates = self.session.info().peer_certificates;
            let first = certificates.first().map(|der| &der[..]);
            self.end.tls_established(env, first);
        }
        // What was decrypted before a failure is authentic.
        if !plain.is_empty() {
            self.end.receive_plain(env, &plain);
        }
        match read {
            Err(error) => self.fail(env, error),
            Ok(()) if self.session.state() == TlsState::Closed => self.end.receive_eof(env),
            Ok(()) => {}
        }
    }

    fn fail(&mut self, env: &mut Env<'_>, error: TlsError) {
        self.state = State::Over;
        self.failed.get_or_insert(error);
        self.flush(env);
        self.end.tls_failed(env);
    }

    fn close_tls(&mut self, env: &mut Env<'_>) {
        if self.state == State::Established {
            self.session.close(&mut self.joining);
        }
        self.flush(env);
        self.end.tls_closed(env);
    }
}

/// No TLS: for sessions that the policy lets go without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NoTls;

impl NoTls {
    const REFUSED: &'static str = "there is no TLS here";
}

impl TlsSession for NoTls {
    fn read(&mut self, _: &[u8], _: &mut BytesMut) -> Result<(), TlsError> {
        Err(TlsError::new(TlsErrorKind::Configuration, Self::REFUSED))
    }

    fn write(&mut self, _: &[u8], _: &mut BytesMut) -> Result<(), TlsError> {
        Err(TlsError::new(TlsErrorKind::Configuration, Self::REFUSED))
    }

    fn state(&self) -> TlsState {
        TlsState::Handshaking
    }

    fn info(&self) -> onetrip_core::TlsInfo {
        onetrip_core::TlsInfo::new()
    }

    fn close(&mut self, _: &mut BytesMut) {}
}
