//! What only connections between servers have.

use onetrip_core::dialback::{Checked, Ticket, Verification};
use onetrip_core::{ReverseFacts, UsageError};
use onetrip_stream::{Env, Pair};

use super::Secured;
use crate::TlsSession;

impl<T: TlsSession> Secured<T> {
    /// Asks to send stanzas of a further pair: [`Connection::ask`](onetrip_core::Connection::ask).
    ///
    /// # Errors
    /// As there.
    pub fn ask(
        &mut self,
        env: &mut Env<'_>,
        pair: Pair,
        resolves_here: bool,
    ) -> Result<(), UsageError> {
        let result = self.connection.ask(env, pair, resolves_here);
        self.pump();
        result
    }

    /// Asks at once which stanzas have arrived on a link:
    /// [`Connection::request_acknowledgement`](onetrip_core::Connection::request_acknowledgement).
    pub fn request_acknowledgement(&mut self, env: &mut Env<'_>) {
        self.connection.request_acknowledgement(env);
        self.pump();
    }

    /// Has a key verified here: [`Connection::verify`](onetrip_core::Connection::verify).
    ///
    /// # Errors
    /// As there.
    pub fn verify(
        &mut self,
        env: &mut Env<'_>,
        verification: &Verification,
    ) -> Result<(), UsageError> {
        let result = self.connection.verify(env, verification);
        self.pump();
        result
    }

    /// The outcome of a verification: [`Connection::verified`](onetrip_core::Connection::verified).
    ///
    /// # Errors
    /// As there.
    pub fn verified(
        &mut self,
        env: &mut Env<'_>,
        ticket: Ticket,
        checked: Checked,
    ) -> Result<(), UsageError> {
        let result = self.connection.verified(env, ticket, checked);
        self.pump();
        result
    }

    /// What is known of a reverse request: [`Connection::judged`](onetrip_core::Connection::judged).
    ///
    /// # Errors
    /// As there.
    pub fn judged(
        &mut self,
        env: &mut Env<'_>,
        pair: &Pair,
        facts: ReverseFacts,
    ) -> Result<(), UsageError> {
        let result = self.connection.judged(env, pair, facts);
        self.pump();
        result
    }
}
