//! What a driver holds: a connection with its TLS, a clock and randomness.

use core::time::Duration;

use onetrip_core::stream_management::Handle;
use onetrip_core::{Answer, Connection, UsageError};
use onetrip_stream::{Clock, Entropy, Env, Stanza};

use crate::{Output, Secured, SecuredError, TlsSession};

/// A connection that is driven by a real clock: a [`Secured`] one, with what each of its calls needs of the outside.
///
/// Bytes, the end of them and the deadline go in; [`Driven::poll_output`] says what to do, and is drained after every call
/// that takes `&mut self`. Where time is only played, [`Secured`] takes an [`Env`] with each call instead.
///
/// With the feature `rustls`, `Driven::client` and `Driven::server` make one of what a program has at hand.
pub struct Driven<T, C, E> {
    secured: Secured<T>,
    clock: C,
    entropy: E,
}

impl<T: TlsSession, C: Clock, E: Entropy> Driven<T, C, E> {
    /// A connection that `make` makes, over a TLS session that was not used.
    pub fn new(
        session: T,
        mut clock: C,
        mut entropy: E,
        make: impl FnOnce(&mut Env<'_>) -> Connection,
    ) -> Self {
        let connection = make(&mut Env::new(clock.now(), &mut entropy));
        Self {
            secured: Secured::new(connection, session),
            clock,
            entropy,
        }
    }

    /// The connection and its TLS, to ask them something.
    #[must_use]
    pub fn secured(&self) -> &Secured<T> {
        &self.secured
    }

    /// The clock, to ask it something.
    #[must_use]
    pub fn clock(&self) -> &C {
        &self.clock
    }

    /// The outside as it is now, for a decision that needs it.
    pub fn env(&mut self) -> Env<'_> {
        Env::new(self.clock.now(), &mut self.entropy)
    }

    /// Calls what has no method of its own here.
    pub fn act<R>(&mut self, act: impl FnOnce(&mut Secured<T>, &mut Env<'_>) -> R) -> R {
        let env = &mut Env::new(self.clock.now(), &mut self.entropy);
        act(&mut self.secured, env)
    }

    /// The next thing to do, in order; `None` when there is nothing.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.secured.poll_output()
    }

    /// How long to wait for bytes before [`Driven::handle_timeout`]; `None` for ever.
    pub fn wait(&mut self) -> Option<Duration> {
        let deadline = self.secured.poll_timeout()?;
        Some(deadline.at.since(self.clock.now()))
    }

    /// Takes in bytes from the transport, all of them.
    ///
    /// # Errors
    /// As [`Secured::receive`].
    pub fn receive(&mut self, wire: &[u8]) -> Result<(), SecuredError> {
        self.act(|secured, env| secured.receive(env, wire))
    }

    /// The transport ended.
    pub fn receive_eof(&mut self) {
        self.act(|secured, env| secured.receive_eof(env));
    }

    /// Acts on every deadline that has passed; too early it does nothing.
    pub fn handle_timeout(&mut self) {
        self.act(|secured, env| secured.handle_timeout(env));
    }

    /// Answers the pending request.
    ///
    /// # Errors
    /// As [`Connection::answer`].
    pub fn answer(&mut self, answer: Answer) -> Result<(), UsageError> {
        self.act(|secured, env| secured.answer(env, answer))
    }

    /// Sends a stanza.
    ///
    /// # Errors
    /// As [`Connection::send`].
    pub fn send(&mut self, stanza: &Stanza) -> Result<Option<Handle>, UsageError> {
        self.act(|secured, env| secured.send(env, stanza))
    }

    /// The application has dealt with the oldest so many of the stanzas that arrived: [`Connection::handled`].
    pub fn handled(&mut self, stanzas: u32) {
        self.secured.handled(stanzas);
    }

    /// Closes the stream.
    pub fn close(&mut self) {
        self.act(|secured, env| secured.close(env));
    }
}

impl<T: core::fmt::Debug, C, E> core::fmt::Debug for Driven<T, C, E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut debug = f.debug_struct("Driven");
        debug
            .field("secured", &self.secured)
            .finish_non_exhaustive()
    }
}
