//! Dialback as it goes on: what arrives, what is asked of the caller, and what comes of it.

use minidom::Element;
use onetrip_bidi::ReverseVerdict;
use onetrip_dialback::{
    Action as Dialed, Ask, AskError, Awaited, Checked, Dropped, Event as Outcome, Facts as Claim,
    Gone, Message, Reason as Refusal, Ticket, Verify,
};
use onetrip_stream::{Condition, Domain, Env, Pair};

use crate::order::Facts;
use crate::shell::Shell;
use crate::{ErrorKind, Event, Reason, Request, ReverseFacts, UsageError};

/// How many reverse requests may wait for what the caller knows of them.
const CLAIMS: usize = 16;

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

    /// Takes in an element of dialback; one that cannot be read ends the stream.
    pub(crate) fn on_dialback(
        &mut self,
        env: &mut Env<'_>,
        element: &Element,
    ) -> Result<(), ErrorKind> {
        let possible = self.peering.as_ref().is_some_and(|p| p.has_dialback());
        match Message::read(element) {
            Some(Ok(message)) if possible => {
                self.on_message(env, message);
                Ok(())
            }
            Some(Err(error)) if possible => Err(ErrorKind::Dialback(error)),
            _ => Err(ErrorKind::Unexpected {
                got: element.name().chars().take(64).collect(),
                expected: "no dialback, which was not announced",
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
                        what: Dropped::Unsolicited,
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
            self.request(Request::Reverse { pair, id });
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
        if self.sending.ended {
            return; // Nothing can be said any more, so nothing may become valid.
        }
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
            self.request(Request::Vouch { pair, id });
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
        if self.sending.ended {
            return Ok(());
        }
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
                    self.request(Request::Verify(verification));
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
