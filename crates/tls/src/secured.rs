//! A connection with its TLS: bytes in, bytes out.

mod servers;

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use onetrip_core::stream_management::{Handle, Session};
use onetrip_core::{
    Action, Answer, Connection, Deadline, Direction, EntityEvent, Error, Event, Request,
    TlsVersion, Unit, UsageError,
};
use onetrip_stream::{Env, Stanza, StreamError};

use crate::{TlsError, TlsSession, TlsState};

/// What the caller must do next, in order. As [`Action`], with TLS carried out.
#[derive(Debug)]
#[must_use = "an output that is not carried out leaves the peer waiting"]
#[non_exhaustive]
pub enum Output {
    /// Write these bytes to the transport.
    Transmit(Bytes),
    /// Decide or compute something, and [`Secured::answer`]. At once, if the answer shall ride in the next write.
    Request(Request),
    /// Take note of something.
    Event(Event),
    /// Hand this to the entity.
    Entity(EntityEvent),
    /// A unit was sent or received; only while tracing is on.
    Trace(Unit),
    /// Close the transport. The last output.
    Close,
}

/// Why a connection failed: the peer's fault, on either level.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SecuredError {
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// XMPP.
    #[error(transparent)]
    Connection(#[from] Error),
}

/// A connection and its TLS session.
///
/// After every call that takes `&mut self`, drain [`Secured::poll_output`].
///
/// ```
/// # use onetrip_core::negotiation::sasl::InitiatorConfig;
/// # use onetrip_core::quickstart::Transport;
/// # use onetrip_core::stream::{Env, Instant, Secret};
/// # use onetrip_core::{ClientConfig, Entity};
/// # use onetrip_tls::{NoTls, Output, Secured};
/// # let mut entropy = |out: &mut [u8]| out.fill(4);
/// # let env = &mut Env::new(Instant::EPOCH, &mut entropy);
/// # let sasl = InitiatorConfig::password("juliet", Secret::from("r0m30myr0m30"));
/// # let login = ClientConfig::new("juliet@capulet.lit".parse().unwrap(), Transport::StartTls, sasl);
/// let mut connection = Secured::new(Entity::default().connect(login, env), NoTls);
/// assert!(matches!(connection.poll_output(), Some(Output::Transmit(_)))); // header and <starttls/>
/// env.now = connection.poll_timeout().unwrap().at;
/// connection.handle_timeout(env);
/// while let Some(output) = connection.poll_output() {
///     println!("{output:?}"); // nobody has answered: it is over
/// }
/// ```
#[derive(Debug)]
pub struct Secured<T> {
    connection: Connection,
    session: T,
    /// Whether each half goes through TLS.
    sending: bool,
    receiving: bool,
    /// Whether a byte has been given to TLS.
    begun: bool,
    established: bool,
    /// How many flights of the handshake have gone out.
    flights: u8,
    failed: Option<TlsError>,
    outputs: VecDeque<Output>,
    joining: BytesMut,
    /// What is to be written once the session can.
    waiting: BytesMut,
}

impl<T: TlsSession> Secured<T> {
    /// Puts the two together; `session` must not have been used.
    #[must_use]
    pub fn new(connection: Connection, session: T) -> Self {
        let mut this = Self {
            connection,
            session,
            sending: false,
            receiving: false,
            begun: false,
            established: false,
            flights: 0,
            failed: None,
            outputs: VecDeque::new(),
            joining: BytesMut::new(),
            waiting: BytesMut::new(),
        };
        this.pump();
        this
    }

    /// The connection, to ask it something.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The TLS session, to ask it something.
    #[must_use]
    pub fn session(&self) -> &T {
        &self.session
    }

    /// The next thing to do, in order; `None` when there is nothing.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        if output.is_none() {
            // Room for outputs is given back, since a connection is idle most of the time.
            self.outputs = VecDeque::new();
        }
        output.or_else(|| self.joined().map(Output::Transmit))
    }

    /// When to call [`Secured::handle_timeout`], and why.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        self.connection.poll_timeout()
    }

    /// Takes in bytes from the transport, all of them.
    ///
    /// # Errors
    /// [`SecuredError`] when the peer broke a rule. Final; what has to be written and closed is already queued.
    pub fn receive(&mut self, env: &mut Env<'_>, wire: &[u8]) -> Result<(), SecuredError> {
        if let Some(error) = &self.failed {
            return Err(error.clone().into());
        }
        let mut rest = wire;
        if !self.receiving {
            let result = self.connection.receive(env, rest);
            self.pump();
            rest = rest.get(result?..).unwrap_or_default();
        }
        if self.receiving {
            if !self.begun && !self.connection.is_initiator() {
                // QS-R6: no TLS record begins with white space.
                rest = rest.trim_ascii_start();
            }
            if !rest.is_empty() {
                return self.receive_tls(env, rest);
            }
        }
        Ok(())
    }

    /// Ends the write that is joining, and keeps no room for the next.
    fn joined(&mut self) -> Option<Bytes> {
        let joined = core::mem::take(&mut self.joining).freeze();
        (!joined.is_empty()).then_some(joined)
    }

    fn receive_tls(&mut self, env: &mut Env<'_>, wire: &[u8]) -> Result<(), SecuredError> {
        self.begun = true;
        if !self.established && self.connection.is_tracing() {
            let label = "TLS handshake".to_owned();
            self.outputs.push_back(Output::Trace(Unit::new(
                Direction::Received,
                label,
                wire.len(),
                false,
            )));
        }
        let mut plain = BytesMut::new();
        let result = self.session.read(wire, &mut plain);
        // What was decrypted before a failure is authentic; of early data, only that it is not the first time for sure.
        let processed = self.receive_early(env);
        let processed = processed.and_then(|()| self.receive_plain(env, &plain));
        if let Err(error) = result {
            self.flush();
            self.failed = Some(error.clone());
            self.connection.receive_eof(env);
            self.pump();
            return Err(error.into());
        }
        processed?;
        if self.session.state() == TlsState::Closed {
            self.connection.receive_eof(env);
        }
        self.pump();
        Ok(())
    }

    /// Gives the connection what may be a replay, apart from the rest.
    fn receive_early(&mut self, env: &mut Env<'_>) -> Result<(), SecuredError> {
        let mut early = BytesMut::new();
        self.session.read_early(&mut early);
        if early.is_empty() {
            return Ok(());
        }
        self.flush();
        let result = self
            .connection
            .receive_early(env, &self.session.info(), &early);
        self.pump();
        Ok(result?)
    }

    /// Tells the connection how far the handshake has come, and gives it what was decrypted.
    fn receive_plain(&mut self, env: &mut Env<'_>, plain: &[u8]) -> Result<(), SecuredError> {
        self.flush();
        let mut plain = plain;
        match self.session.state() {
            TlsState::Sendable => self.connection.tls_sendable(&self.session.info()),
            TlsState::Established | TlsState::Closed if !self.established => {
                self.established = true;
                // Cannot fail: both halves have been switched, or no byte would have come here.
                let _ = self
                    .connection
                    .tls_established(env, self.session.info(), plain);
                plain = &[];
            }
            _ => {}
        }
        // With nothing to give, it still says what was wrong with what came along with the handshake.
        let result = if self.established {
            self.connection.receive(env, plain).map(|_| ())
        } else {
            Ok(())
        };
        self.pump();
        Ok(result?)
    }

    /// The transport ended.
    pub fn receive_eof(&mut self, env: &mut Env<'_>) {
        self.connection.receive_eof(env);
        self.pump();
    }

    /// Acts on every deadline that has passed.
    pub fn handle_timeout(&mut self, env: &mut Env<'_>) {
        self.connection.handle_timeout(env);
        self.pump();
    }

    /// Answers the pending request.
    ///
    /// # Errors
    /// As [`Connection::answer`].
    pub fn answer(&mut self, env: &mut Env<'_>, answer: Answer) -> Result<(), UsageError> {
        let result = self.connection.answer(env, answer);
        self.pump();
        result
    }

    /// Sends a stanza.
    ///
    /// # Errors
    /// As [`Connection::send`].
    pub fn send(
        &mut self,
        env: &mut Env<'_>,
        stanza: &Stanza,
    ) -> Result<Option<Handle>, UsageError> {
        let result = self.connection.send(env, stanza);
        self.pump();
        result
    }

    /// The application has dealt with the oldest so many of the stanzas that arrived: [`Connection::handled`].
    pub fn handled(&mut self, stanzas: u32) {
        self.connection.handled(stanzas);
        self.pump();
    }

    /// The session is wanted by another connection: [`Connection::hand_over`].
    pub fn hand_over(&mut self, env: &mut Env<'_>) -> Option<Box<Session>> {
        let session = self.connection.hand_over(env);
        self.pump();
        session
    }

    /// Asks for a resource again.
    ///
    /// # Errors
    /// As [`Connection::bind`].
    pub fn bind(&mut self, env: &mut Env<'_>, resource: Option<&str>) -> Result<(), UsageError> {
        let result = self.connection.bind(env, resource);
        self.pump();
        result
    }

    /// Closes the stream.
    pub fn close(&mut self, env: &mut Env<'_>) {
        self.connection.close(env);
        self.pump();
    }

    /// Ends the stream with a stream error.
    pub fn close_with(&mut self, error: &StreamError) {
        self.connection.close_with(error);
        self.pump();
    }

    /// Carries out what the connection asks for, as far as it concerns TLS.
    fn pump(&mut self) {
        while let Some(action) = self.connection.poll_action() {
            match action {
                Action::Transmit(bytes) if self.sending => {
                    self.flush();
                    self.write(&bytes);
                }
                Action::TransmitEarly(bytes) => {
                    // Where it cannot be taken, it comes again.
                    let _ = self.session.write_early(&bytes, &mut self.joining);
                }
                Action::Transmit(bytes) => self.joining.extend_from_slice(&bytes),
                Action::UpgradeSend => {
                    self.sending = true;
                    self.flush();
                }
                Action::UpgradeReceive => self.receiving = true,
                Action::Request(request) => self.outputs.push_back(Output::Request(request)),
                Action::Event(event) => self.outputs.push_back(Output::Event(event)),
                Action::Entity(mut event) => {
                    let dropped = self.drop_stanzas(event.again());
                    event.note_dropped(dropped);
                    self.outputs.push_back(Output::Entity(event));
                }
                Action::Trace(unit) => self.outputs.push_back(Output::Trace(unit)),
                Action::Close => self.finish(),
                _ => {}
            }
        }
        self.flush();
    }

    /// The last so many stanzas come again when the session is resumed: those that nobody has taken are not handed out.
    /// How many these are.
    fn drop_stanzas(&mut self, again: u32) -> u32 {
        for dropped in 0..again {
            let last = self
                .outputs
                .iter()
                .rposition(|output| matches!(output, Output::Event(Event::Stanza(_))));
            let Some(last) = last else { return dropped };
            self.outputs.remove(last);
        }
        again
    }

    /// What answers early data waits for the end of the handshake, where the session has no half-RTT data.
    fn write(&mut self, plain: &[u8]) {
        if self.session.state() == TlsState::Handshaking {
            return self.waiting.extend_from_slice(plain);
        }
        if let Err(error) = self.session.write(plain, &mut self.joining) {
            self.failed.get_or_insert(error);
        }
    }

    /// Sends what TLS has to say on its own, and what has waited for it.
    fn flush(&mut self) {
        if !self.sending {
            return;
        }
        self.flush_handshake();
        if !self.waiting.is_empty() && self.session.state() != TlsState::Handshaking {
            let waiting = core::mem::take(&mut self.waiting);
            self.write(&waiting);
        }
    }

    fn flush_handshake(&mut self) {
        let before = self.joining.len();
        if let Err(error) = self.session.write(&[], &mut self.joining) {
            self.failed.get_or_insert(error);
        }
        let written = self.joining.len().saturating_sub(before);
        if written == 0 || self.flights > 1 {
            return;
        }
        let Some(label) = self.flight_label() else {
            return;
        };
        self.flights = self.flights.saturating_add(1);
        if self.connection.is_tracing() {
            let unit = Unit::new(Direction::Sent, label.to_owned(), written, false);
            self.outputs.push_back(Output::Trace(unit));
        }
    }

    /// Names the next flight of the handshake; `None` for what TLS says besides, such as session tickets.
    fn flight_label(&self) -> Option<&'static str> {
        let version = self.session.info().version;
        match (self.connection.is_initiator(), self.flights, version) {
            (true, 0, _) => Some("ClientHello"),
            (true, 1, Some(TlsVersion::Tls12)) => Some("ClientKeyExchange .. Finished"),
            (true, 1, _) => Some("Finished"),
            (false, 0, Some(TlsVersion::Tls12)) => Some("ServerHello .. ServerHelloDone"),
            (false, 0, _) => Some("ServerHello .. Finished"),
            (false, 1, Some(TlsVersion::Tls12)) => Some("ChangeCipherSpec, Finished"),
            _ => None,
        }
    }

    fn finish(&mut self) {
        if self.sending && self.begun {
            self.session.close(&mut self.joining);
        }
        let last = self.joined().map(Output::Transmit);
        self.outputs.extend(last);
        self.outputs.push_back(Output::Close);
    }
}
