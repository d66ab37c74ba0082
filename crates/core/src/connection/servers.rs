//! What only connections between servers have.

use onetrip_bidi::Pairs;
use onetrip_dialback::{AskError, Checked, StreamId, Ticket, Verification, VerifyError};
use onetrip_quickstart::Plan;
use onetrip_stream::{Env, Pair};

use super::{Connection, Role};
use crate::initiator::Initiator;
use crate::order::Facts;
use crate::receiver::PeerReceiver;
use crate::{InboundConfig, OutboundConfig, ReverseFacts, UsageError};

impl Connection {
    /// A server's connection to another server, negotiated as `plan` says: by SASL EXTERNAL (XEP-0178) or else dialback
    /// (XEP-0220), and in both directions if the peer can (XEP-0288).
    #[must_use]
    pub fn outbound(config: OutboundConfig, plan: Plan, env: &mut Env<'_>) -> Self {
        let (initiator, shell) = Initiator::outbound(config, plan, env);
        Self {
            shell,
            role: Role::Initiator(Box::new(initiator)),
        }
    }

    /// A server's side of a connection that another server has opened.
    #[must_use]
    pub fn inbound(config: InboundConfig, env: &mut Env<'_>) -> Self {
        let (receiver, shell) = PeerReceiver::start(config, env);
        Self {
            shell,
            role: Role::PeerReceiver(Box::new(receiver)),
        }
    }

    /// A connection to an authoritative server that has one key verified and closes. Its outcome is
    /// [`dialback::Event::Checked`](onetrip_dialback::Event::Checked), exactly once, whatever becomes of the connection; it
    /// goes to [`Connection::verified`] of the connection that asked. `config` needs dialback; its `remote` is `pair.from` of
    /// the verification, its `local` is `pair.to`.
    ///
    /// # Errors
    /// [`VerifyError`] when it must not be done: over the connection that the key arrived on (BIDI-11, BIDI-R7), or without
    /// dialback.
    pub fn verifier(
        config: OutboundConfig,
        plan: Plan,
        verification: &Verification,
        env: &mut Env<'_>,
    ) -> Result<Self, VerifyError> {
        let (initiator, shell) = Initiator::verifier(config, plan, verification, env)?;
        Ok(Self {
            shell,
            role: Role::Initiator(Box::new(initiator)),
        })
    }

    /// Who may send what here; `None` for a client's connection.
    #[must_use]
    pub fn pairs(&self) -> Option<&Pairs> {
        self.shell.peering.as_ref().map(|peering| peering.pairs())
    }

    /// Asks by dialback to send stanzas of a further pair on this stream (XEP-0220 §2.6). `resolves_here` says that its
    /// target resolves to the address and port of this connection, which another target than the stream's own needs on a
    /// connection that we opened; on one that the peer opened the stream must be bidirectional, and the target one that the
    /// peer has proved here (BIDI-14).
    ///
    /// # Errors
    /// [`UsageError`] when it may not be asked for here; nothing changes.
    pub fn ask(
        &mut self,
        env: &mut Env<'_>,
        pair: Pair,
        resolves_here: bool,
    ) -> Result<(), UsageError> {
        self.check_established()?;
        let peering = self.shell.peering.as_ref();
        if !peering.is_some_and(|peering| peering.takes_further_pairs()) {
            return Err(UsageError::CannotAsk(AskError::Unannounced));
        }
        self.shell.now = env.now;
        self.shell.active();
        self.shell.ask(env, pair, resolves_here)
    }

    /// Has a key verified over this connection, which has been established with the authoritative server: the outcome is
    /// [`dialback::Event::Checked`](onetrip_dialback::Event::Checked).
    ///
    /// # Errors
    /// [`UsageError`] when that may not be done here, above all on the connection that the key arrived on (BIDI-11).
    pub fn verify(
        &mut self,
        env: &mut Env<'_>,
        verification: &Verification,
    ) -> Result<(), UsageError> {
        self.check_established()?;
        self.shell.now = env.now;
        if let Some(peering) = &mut self.shell.peering {
            peering.verify(env, verification)?;
        }
        self.shell.active();
        self.shell.drain_dialback(env);
        Ok(())
    }

    fn check_established(&self) -> Result<(), UsageError> {
        let Some(peering) = &self.shell.peering else {
            return Err(UsageError::NotBetweenServers);
        };
        if self.shell.is_closed() || self.shell.sending.ended {
            return Err(UsageError::Closed);
        }
        if !self.shell.facts.have(Facts::BOUND) {
            return Err(UsageError::NotOnline);
        }
        if !peering.has_dialback() {
            return Err(UsageError::NotBetweenServers);
        }
        Ok(())
    }

    /// The outcome of a [`Request::Verify`](crate::Request::Verify). One that is no longer wanted changes nothing.
    ///
    /// # Errors
    /// [`UsageError::Closed`] after the end, [`UsageError::NotAsked`] where nothing can have been asked.
    pub fn verified(
        &mut self,
        env: &mut Env<'_>,
        ticket: Ticket,
        checked: Checked,
    ) -> Result<(), UsageError> {
        if self.shell.is_closed() {
            return Err(UsageError::Closed);
        }
        self.shell.now = env.now;
        let told = self.shell.verified(env, ticket, checked);
        self.shell.active();
        told
    }

    /// What is known of a reverse request ([`Request::Reverse`](crate::Request::Reverse)).
    ///
    /// # Errors
    /// [`UsageError::Closed`] after the end, [`UsageError::NotAsked`] for a pair that was not asked about.
    pub fn judged(
        &mut self,
        env: &mut Env<'_>,
        pair: &Pair,
        facts: ReverseFacts,
    ) -> Result<(), UsageError> {
        if self.shell.is_closed() {
            return Err(UsageError::Closed);
        }
        self.shell.now = env.now;
        self.shell.judged(env, pair, facts)
    }

    /// The id of this stream, if dialback is possible on it: what [`Request::Reverse`](crate::Request::Reverse) asks about is
    /// whether any other live connection has the same.
    #[must_use]
    pub fn stream_id(&self) -> Option<&StreamId> {
        self.shell
            .peering
            .as_ref()
            .and_then(|peering| peering.stream_id())
    }

    /// Whether a key of ours for this pair and stream waits here for its answer: what
    /// [`Request::Vouch`](crate::Request::Vouch) asks about.
    #[must_use]
    pub fn awaits(&self, pair: &Pair, id: &StreamId) -> bool {
        self.shell
            .peering
            .as_ref()
            .is_some_and(|peering| peering.awaits(pair, id))
    }
}
