//! Dialback on a connection between servers: four machines on one stream, and what they need from the outside.

use std::collections::BTreeMap;

use minidom::Element;
use onetrip_bidi::{ReverseClaim, ReverseVerdict};
use onetrip_dialback::{
    Action, Ask, AskError, Authoritative, ConnectionId, Gone, Originating, Receiving, StreamId,
    Support, TargetGround, Verification, Verify, VerifyError, Verifying,
};
use onetrip_stream::{Domain, Env, Instant, Pair};

use super::{End, Peering};
use crate::{DialbackConfig, ReverseFacts, UsageError};

/// The machines.
#[derive(Debug)]
pub(super) struct Dialback {
    pub(super) config: DialbackConfig,
    connection: ConnectionId,
    /// What the connection was opened to, if we opened it.
    remote: Option<Domain>,
    pub(super) authoritative: Authoritative,
    pub(super) verifying: Verifying,
    pub(super) stream: Option<Stream>,
    /// A request to vouch, while the caller looks up where its key waits.
    pub(super) asked: Option<Verify>,
    /// Reverse requests, while the caller looks up where they come from.
    pub(super) claims: BTreeMap<Pair, Ask>,
}

/// What belongs to one stream id: a restart brings another.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: StreamId,
    support: Support,
    pub(super) originating: Option<Originating>,
    pub(super) receiving: Receiving,
}

impl Dialback {
    pub(super) fn new(
        config: &DialbackConfig,
        connection: ConnectionId,
        remote: Option<Domain>,
    ) -> Self {
        Self {
            authoritative: Authoritative::new(config.secret.clone())
                .with_config(config.authoritative),
            verifying: Verifying::new(connection).with_config(config.verifying),
            config: config.clone(),
            connection,
            remote,
            stream: None,
            asked: None,
            claims: BTreeMap::new(),
        }
    }

    /// Nothing of the stream before is left.
    pub(super) fn forget(&mut self) {
        self.stream = None;
        self.claims.clear();
    }

    fn begin(&mut self, id: StreamId, otherwise_valid: bool) {
        let mut config = self.config.receiving;
        config.require_tls = true;
        let mut receiving = Receiving::new(self.connection, id.clone()).with_config(config);
        if otherwise_valid {
            receiving.otherwise_valid();
        }
        self.stream = Some(Stream {
            id,
            support: Support::Unannounced,
            originating: None,
            receiving,
        });
    }

    pub(super) fn features(&mut self, features: &Element) {
        if let Some(stream) = &mut self.stream {
            stream.support = Support::of(features);
            stream.receiving.features(stream.support);
            if let Some(originating) = &mut stream.originating {
                originating.features(stream.support);
            }
        }
    }

    pub(super) fn ask(
        &mut self,
        env: &mut Env<'_>,
        pair: Pair,
        ground: Option<TargetGround>,
    ) -> Result<(), AskError> {
        let stream = self.stream.as_mut().ok_or(AskError::Ended)?;
        let originating = stream.originating.get_or_insert_with(|| {
            let secret = self.config.secret.clone();
            let target = self.remote.as_ref().unwrap_or(&pair.to).clone();
            let mut machine = Originating::new(secret, stream.id.clone(), target)
                .with_config(self.config.originating);
            machine.features(stream.support);
            machine
        });
        if let Some(ground) = ground {
            originating.add_target(pair.to.clone(), ground)?;
        }
        originating.ask(env, pair)
    }

    pub(super) fn poll_action(&mut self) -> Option<Action> {
        let action = self
            .authoritative
            .poll_action()
            .or_else(|| self.verifying.poll_action());
        let stream = self.stream.as_mut();
        action.or_else(|| {
            let stream = stream?;
            let originating = stream.originating.as_mut();
            originating
                .and_then(Originating::poll_action)
                .or_else(|| stream.receiving.poll_action())
        })
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let stream = self.stream.as_ref();
        let originating = stream.and_then(|stream| stream.originating.as_ref());
        let deadlines = [
            self.verifying.poll_timeout(),
            originating.and_then(Originating::poll_timeout),
            stream.and_then(|stream| stream.receiving.poll_timeout()),
        ];
        deadlines.into_iter().flatten().min()
    }

    pub(super) fn handle_timeout(&mut self, env: &mut Env<'_>) {
        self.verifying.handle_timeout(env);
        if let Some(stream) = &mut self.stream {
            if let Some(originating) = &mut stream.originating {
                originating.handle_timeout(env);
            }
            stream.receiving.handle_timeout(env);
        }
    }

    pub(super) fn end(&mut self, gone: Gone) {
        self.claims.clear();
        self.verifying.end(gone);
        if let Some(stream) = &mut self.stream {
            if let Some(originating) = &mut stream.originating {
                originating.end();
            }
            stream.receiving.end();
        }
    }

    fn awaits(&self, pair: &Pair, id: &StreamId) -> bool {
        let originating = self
            .stream
            .as_ref()
            .and_then(|stream| stream.originating.as_ref());
        originating.is_some_and(|originating| originating.awaits(pair, id))
    }
}

impl Peering {
    /// A header has been read: a new stream, with this id, and with dialback if the peer has bound its prefix.
    pub(crate) fn begin_stream(&mut self, id: Option<&str>, declared: bool, authenticated: bool) {
        let known = authenticated || !self.pairs().is_empty();
        if let Some(dialback) = &mut self.dialback {
            dialback.forget();
            if let Some(id) = id.and_then(StreamId::new).filter(|_| declared) {
                dialback.begin(id, known);
            }
        }
    }

    /// The id of this stream, if dialback is possible on it.
    pub(crate) fn stream_id(&self) -> Option<&StreamId> {
        let stream = self.dialback.as_ref()?.stream.as_ref()?;
        Some(&stream.id)
    }

    /// Whether dialback is possible on this stream.
    pub(crate) fn has_dialback(&self) -> bool {
        self.stream_id().is_some()
    }

    /// Whether a further pair may be asked for: a peer that we have connected to has to announce dialback, since one that merely
    /// binds its prefix may never answer.
    pub(crate) fn takes_further_pairs(&self) -> bool {
        let stream = self.dialback.as_ref().and_then(|d| d.stream.as_ref());
        let announced = stream.is_some_and(|stream| stream.support != Support::Unannounced);
        announced || matches!(self.end, End::Receiver(_))
    }

    /// Whether a key of ours waits here for its answer.
    pub(crate) fn awaits(&self, pair: &Pair, id: &StreamId) -> bool {
        self.dialback
            .as_ref()
            .is_some_and(|dialback| dialback.awaits(pair, id))
    }

    /// Whether anything that was asked for here waits for its answer.
    pub(crate) fn awaits_any(&self) -> bool {
        let stream = self.dialback.as_ref().and_then(|d| d.stream.as_ref());
        stream
            .and_then(|stream| stream.originating.as_ref())
            .is_some_and(|originating| originating.poll_timeout().is_some())
    }

    /// How many verifications have not been answered here.
    pub(crate) fn verifications(&self) -> usize {
        self.dialback
            .as_ref()
            .map_or(0, |dialback| dialback.verifying.pending())
    }

    /// Has a key verified here; what there is to send waits until dialback is drained.
    pub(crate) fn verify(
        &mut self,
        env: &mut Env<'_>,
        verification: &Verification,
    ) -> Result<(), VerifyError> {
        match &mut self.dialback {
            Some(dialback) => dialback.verifying.verify(env, verification),
            None => Err(VerifyError::Ended),
        }
    }

    /// What becomes of a request that arrives on a connection that we opened (BIDI-15, digest §6.2). `known` is what the
    /// caller knows of it; without, only what needs no such knowledge is decided, and `None` means that it does.
    pub(super) fn judge(&self, pair: &Pair, known: Option<ReverseFacts>) -> Option<ReverseVerdict> {
        let End::Initiator(machine) = &self.end else {
            return Some(ReverseVerdict::DialBack);
        };
        let assumed = ReverseFacts {
            resolves_here: true,
            fresh_id: true,
        };
        let facts = known.unwrap_or(assumed);
        let mut claim = ReverseClaim::of(pair.clone(), |domain| self.hosts(domain));
        if self.tls.proves(&pair.from) {
            claim = claim.certified();
        }
        if facts.resolves_here {
            claim = claim.resolves_here();
        }
        if facts.fresh_id {
            claim = claim.with_fresh_id();
        }
        let verdict = machine.judge(&claim);
        (known.is_some() || verdict != ReverseVerdict::DialBack).then_some(verdict)
    }

    /// Why a pair may be asked for here, if it needs a reason beyond the stream's own `to` (BIDI-14, XEP-0220 §2.6.2).
    pub(super) fn ground(
        &self,
        pair: &Pair,
        resolves_here: bool,
    ) -> Result<Option<TargetGround>, UsageError> {
        match &self.end {
            End::Receiver(machine) => {
                let hosted = |domain: &Domain| self.hosts(domain);
                machine
                    .may_ask(pair, hosted)
                    .map_err(UsageError::MayNotAsk)?;
                Ok(Some(TargetGround::Proved))
            }
            End::Initiator(_) if !self.hosts(&pair.from) || self.hosts(&pair.to) => {
                Err(UsageError::CannotAsk(AskError::Target))
            }
            End::Initiator(machine) => {
                machine
                    .may_ask(pair, self.trust(&pair.to))
                    .map_err(UsageError::MayNotAsk)?;
                Ok(if machine.pairs().has_proved(&pair.to) {
                    Some(TargetGround::Proved)
                } else {
                    resolves_here.then_some(TargetGround::SameAddress)
                })
            }
        }
    }
}
