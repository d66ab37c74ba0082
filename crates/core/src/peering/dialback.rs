//! Dialback on a connection between servers: four machines on one stream, and what they need from the outside.

use std::collections::BTreeMap;

use minidom::Element;
use onetrip_bidi::{ReverseClaim, ReverseVerdict};
use onetrip_dialback::{
    Action as Dialed, Ask, AskError, Authoritative, Awaited, Checked, ConnectionId,
    Event as Outcome, Facts as Claim, Gone, Message, Originating, Reason as Refusal, Receiving,
    StreamId, Support, TargetGround, Ticket, Verification, Verify, VerifyError, Verifying,
};
use onetrip_stream::{Condition, Domain, Env, Instant, Pair};

use super::{End, Peering};
use crate::order::Facts;
use crate::shell::Shell;
use crate::{Action, DialbackConfig, ErrorKind, Event, Reason, Request, ReverseFacts, UsageError};

/// How many reverse requests may wait for what the caller knows of them.
const CLAIMS: usize = 16;

/// The machines.
#[derive(Debug)]
pub(super) struct Dialback {
    config: DialbackConfig,
    connection: ConnectionId,
    authoritative: Authoritative,
    verifying: Verifying,
    stream: Option<Stream>,
    /// A request to vouch, while the caller looks up where its key waits.
    asked: Option<Verify>,
    /// Reverse requests, while the caller looks up where they come from.
    claims: BTreeMap<Pair, Ask>,
}

/// What belongs to one stream id: a restart brings another.
#[derive(Debug)]
struct Stream {
    id: StreamId,
    support: Support,
    originating: Option<Originating>,
    receiving: Receiving,
}

impl Dialback {
    pub(super) fn new(config: &DialbackConfig, connection: ConnectionId) -> Self {
        Self {
            authoritative: Authoritative::new(config.secret.clone())
                .with_config(config.authoritative),
            verifying: Verifying::new(connection).with_config(config.verifying),
            config: config.clone(),
            connection,
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

    fn ask(
        &mut self,
        env: &mut Env<'_>,
        pair: Pair,
        ground: Option<TargetGround>,
    ) -> Result<(), AskError> {
        let stream = self.stream.as_mut().ok_or(AskError::Ended)?;
        let originating = stream.originating.get_or_insert_with(|| {
            let secret = self.config.secret.clone();
            let mut machine = Originating::new(secret, stream.id.clone(), pair.to.clone())
                .with_config(self.config.originating);
            machine.features(stream.support);
            machine
        });
        if let Some(ground) = ground {
            originating.add_target(pair.to.clone(), ground)?;
        }
        originating.ask(env, pair)
    }

    fn poll_action(&mut self) -> Option<Dialed> {
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

    fn poll_timeout(&self) -> Option<Instant> {
        let stream = self.stream.as_ref();
        let originating = stream.and_then(|stream| stream.originating.as_ref());
        let deadlines = [
            self.verifying.poll_timeout(),
            originating.and_then(Originating::poll_timeout),
            stream.and_then(|stream| stream.receiving.poll_timeout()),
        ];
        deadlines.into_iter().flatten().min()
    }

    fn handle_timeout(&mut self, env: &mut Env<'_>) {
        self.verifying.handle_timeout(env);
        if let Some(stream) = &mut self.stream {
            if let Some(originating) = &mut stream.originating {
                originating.handle_timeout(env);
            }
            stream.receiving.handle_timeout(env);
        }
    }

    fn end(&mut self, gone: Gone) {
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

    /// Whether dialback is possible on this stream.
    pub(crate) fn has_dialback(&self) -> bool {
        self.dialback
            .as_ref()
            .is_some_and(|dialback| dialback.stream.is_some())
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
    fn judge(&self, pair: &Pair, known: Option<ReverseFacts>) -> Option<ReverseVerdict> {
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
    fn ground(&self, pair: &Pair, resolves_here: bool) -> Result<Option<TargetGround>, UsageError> {
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
            End::Initiator(machine) if machine.pairs().has_proved(&pair.to) => {
                Ok(Some(TargetGround::Proved))
            }
            End::Initiator(_) => Ok(resolves_here.then_some(TargetGround::SameAddress)),
        }
    }
}

impl Shell {
    /// Asks to send stanzas of a pair here.
    pub(crate) fn ask(
        &mut self,
        env: &mut Env<'_>,
        pair: Pair,
        resolves_here: bool,
    ) -> Result<(), UsageError> {
        let peering = self.peering.as_mut().ok_or(UsageError::NotBetweenServers)?;
        let ground = peering.ground(&pair, resolves_here)?;
        match &mut peering.dialback {
            Some(dialback) => dialback.ask(env, pair, ground)?,
            None => return Err(UsageError::CannotAsk(AskError::Ended)),
        }
        self.dial(env);
        self.drain_dialback(env);
        Ok(())
    }

    /// Dialback takes its time: the negotiation may last longer, once.
    fn dial(&mut self, env: &Env<'_>) {
        let begun = self.facts.have(Facts::DIALED);
        self.facts.reach(Facts::DIALED);
        let config = self
            .peering
            .as_ref()
            .and_then(|peering| peering.dialback.as_ref())
            .map(|dialback| &dialback.config);
        if let (Some(config), false, false) = (config, begun, self.facts.have(Facts::BOUND)) {
            let longest = config.receiving.timeout.max(config.originating.timeout);
            let at = env.now + self.bounds.negotiation + longest;
            self.timers.set(Reason::Negotiation, at);
        }
    }

    /// An element of dialback.
    pub(crate) fn on_dialback(&mut self, env: &mut Env<'_>, element: &Element) {
        let possible = self.peering.as_ref().is_some_and(|p| p.has_dialback());
        match Message::read(element) {
            Some(Ok(message)) if possible => self.on_message(env, message),
            Some(Err(error)) if possible => self.fail(ErrorKind::Dialback(error)),
            _ => self.fail(ErrorKind::Unexpected {
                got: element.name().chars().take(64).collect(),
                during: "speaking without dialback",
                condition: Condition::UnsupportedStanzaType,
            }),
        }
    }

    fn on_message(&mut self, env: &mut Env<'_>, message: Message) {
        let dialback = self.peering.as_mut().and_then(|p| p.dialback.as_mut());
        let Some(dialback) = dialback else {
            return;
        };
        match message {
            Message::Ask(ask) => return self.on_ask(env, ask),
            Message::Verify(verify) => return self.on_verify(env, verify),
            Message::Verified(verified) => dialback.verifying.handle(&verified),
            Message::Answer(answer) => {
                let originating = dialback
                    .stream
                    .as_mut()
                    .and_then(|stream| stream.originating.as_mut());
                match originating {
                    Some(originating) => originating.handle(&answer),
                    // BIDI-22: nothing was ever asked here.
                    None => self.event(Event::Dialback(Outcome::Dropped {
                        pair: answer.pair,
                        what: onetrip_dialback::Dropped::Unsolicited,
                    })),
                }
            }
            _ => {}
        }
        self.drain_dialback(env);
    }

    /// `db:result` without `type`. On a connection that we opened it is reverse dialback.
    fn on_ask(&mut self, env: &mut Env<'_>, ask: Ask) {
        let Some(peering) = &mut self.peering else {
            return;
        };
        if let Some(verdict) = peering.judge(&ask.pair, None) {
            return self.on_judged(env, &ask, verdict);
        }
        let Some(dialback) = &mut peering.dialback else {
            return;
        };
        let pair = ask.pair.clone();
        if dialback.claims.contains_key(&pair) {
            return; // Its one answer will come.
        }
        if dialback.claims.len() >= CLAIMS {
            if let Some(stream) = &mut dialback.stream {
                stream.receiving.refuse(&ask, Refusal::ResourceConstraint);
            }
            return self.drain_dialback(env);
        }
        let id = dialback.stream.as_ref().map(|stream| stream.id.clone());
        dialback.claims.insert(pair.clone(), ask);
        if let Some(id) = id {
            self.push(Action::Request(Request::Reverse { pair, id }));
        }
    }

    /// What the caller knows of a reverse request.
    pub(crate) fn judged(
        &mut self,
        env: &mut Env<'_>,
        pair: &Pair,
        facts: ReverseFacts,
    ) -> Result<(), UsageError> {
        let peering = self.peering.as_mut().ok_or(UsageError::NotBetweenServers)?;
        let claims = peering
            .dialback
            .as_mut()
            .map(|dialback| &mut dialback.claims);
        let ask = claims
            .and_then(|claims| claims.remove(pair))
            .ok_or(UsageError::NotAsked)?;
        if let Some(verdict) = peering.judge(pair, Some(facts)) {
            self.on_judged(env, &ask, verdict);
        }
        Ok(())
    }

    fn on_judged(&mut self, env: &mut Env<'_>, ask: &Ask, verdict: ReverseVerdict) {
        let secured = self.facts.have(Facts::SECURED);
        if secured {
            self.dial(env);
        }
        let Some(peering) = &mut self.peering else {
            return;
        };
        let mut claim = Claim::of(&ask.pair, |domain| peering.hosts(domain));
        if secured && peering.proves(&ask.pair.from) {
            claim = claim.certified();
        } else if secured {
            claim = claim.secured();
        }
        let known = !peering.pairs().is_empty();
        let stream = peering.dialback.as_mut().and_then(|d| d.stream.as_mut());
        let Some(stream) = stream else {
            return;
        };
        if known {
            stream.receiving.otherwise_valid();
        }
        match verdict {
            ReverseVerdict::Certified | ReverseVerdict::DialBack => {
                stream.receiving.handle(env, ask, claim);
            }
            ReverseVerdict::Refuse(refusal) => {
                let reason = Refusal::from_name(refusal.condition());
                stream.receiving.refuse(ask, reason);
            }
        }
        self.drain_dialback(env);
    }

    /// `db:verify` without `type`: only for keys that wait on a stream of ours, and elsewhere (BIDI-11, digest §6.2).
    fn on_verify(&mut self, env: &mut Env<'_>, verify: Verify) {
        let Some(peering) = &mut self.peering else {
            return;
        };
        let (here, ours) = (
            peering.awaits(&verify.pair, &verify.id),
            peering.hosts(&verify.pair.from),
        );
        let (pair, id) = (verify.pair.clone(), verify.id.clone());
        if let Some(dialback) = &mut peering.dialback {
            dialback.asked = Some(verify);
        }
        if here || !ours {
            let awaited = if here {
                Awaited::Here
            } else {
                Awaited::Nowhere
            };
            let _ = self.vouch(env, awaited);
        } else {
            self.pending = true;
            self.push(Action::Request(Request::Vouch { pair, id }));
        }
    }

    /// Where the key waits that was asked about.
    pub(crate) fn vouch(&mut self, env: &mut Env<'_>, awaited: Awaited) -> Result<(), UsageError> {
        let peering = self.peering.as_mut().ok_or(UsageError::NotAsked)?;
        let dialback = peering.dialback.as_mut().ok_or(UsageError::NotAsked)?;
        let verify = dialback.asked.take().ok_or(UsageError::NotAsked)?;
        let hosted = &peering.hosted;
        let hosts = |domain: &Domain| hosted.contains(domain);
        dialback.authoritative.handle(&verify, hosts, awaited);
        self.pending = false;
        self.drain_dialback(env);
        Ok(())
    }

    /// The outcome of a verification that was asked for here.
    pub(crate) fn verified(
        &mut self,
        env: &mut Env<'_>,
        ticket: Ticket,
        checked: Checked,
    ) -> Result<(), UsageError> {
        let peering = self.peering.as_mut().ok_or(UsageError::NotBetweenServers)?;
        let stream = peering.dialback.as_mut().and_then(|d| d.stream.as_mut());
        let stream = stream.ok_or(UsageError::NotAsked)?;
        stream.receiving.verified(ticket, checked);
        self.drain_dialback(env);
        Ok(())
    }

    pub(crate) fn on_dialback_due(&mut self, env: &mut Env<'_>) {
        if let Some(dialback) = self.peering.as_mut().and_then(|p| p.dialback.as_mut()) {
            dialback.handle_timeout(env);
        }
        self.drain_dialback(env);
    }

    fn poll_dialback(&mut self) -> Option<Dialed> {
        let peering = self.peering.as_mut()?;
        peering.dialback.as_mut()?.poll_action()
    }

    /// Carries out what the machines ask for.
    pub(crate) fn drain_dialback(&mut self, env: &mut Env<'_>) {
        while let Some(action) = self.poll_dialback() {
            match action {
                Dialed::Send(element) => self.element(&element),
                Dialed::Request(verification) => {
                    self.push(Action::Request(Request::Verify(verification)));
                }
                Dialed::Close => self.close(env),
                Dialed::Event(event) => self.on_outcome(event),
                _ => {}
            }
        }
        let deadline = self
            .peering
            .as_ref()
            .and_then(|peering| peering.dialback.as_ref()?.poll_timeout());
        match deadline {
            Some(at) if !self.is_closed() && !self.sending.ended => {
                self.timers.set(Reason::Dialback, at);
            }
            _ => self.timers.stop(Reason::Dialback),
        }
    }

    fn on_outcome(&mut self, event: Outcome) {
        let valid = match &event {
            Outcome::Validated { pair, .. } => Some(pair.clone()),
            Outcome::Concluded { pair, outcome } if outcome.bounce().is_none() => {
                Some(pair.clone())
            }
            _ => None,
        };
        self.event(Event::Dialback(event));
        let Some(pair) = valid else {
            return;
        };
        if !self.facts.have(Facts::BOUND) {
            self.facts.reach(Facts::AUTHENTICATED);
            self.receiving.reader.set_limits(self.bounds.after);
            self.facts.reach(Facts::BOUND);
            self.timers.stop(Reason::Negotiation);
            let peering = self.peering.as_ref();
            let ours = peering.is_some_and(|peering| peering.hosts(&pair.from));
            self.event(Event::Established {
                peer: if ours { &pair.to } else { &pair.from }.clone(),
                provisional: false,
            });
        }
        self.validated(&pair);
    }

    /// The connection is over: what is pending has failed, and nothing more is said.
    pub(super) fn end_dialback(&mut self, gone: Gone) {
        if let Some(dialback) = self.peering.as_mut().and_then(|p| p.dialback.as_mut()) {
            dialback.end(gone);
        }
        while let Some(action) = self.poll_dialback() {
            if let Dialed::Event(event) = action {
                self.event(Event::Dialback(event));
            }
        }
    }
}
