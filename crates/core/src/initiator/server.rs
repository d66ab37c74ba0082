//! What a server's connection to another server is for: pairs of domains, in one direction or in both.
//!
//! SASL EXTERNAL proves the pair that the connection was opened for (XEP-0178); it is open from the features behind the
//! restart on. Where EXTERNAL is not possible or refused, dialback does the same on the same stream (xeps#963), without a
//! restart. A connection that is opened to have a key verified asks that one question, and closes.

use onetrip_dialback::{Verification, VerifyError};
use onetrip_negotiation::sasl;
use onetrip_quickstart as quickstart;
use onetrip_quickstart::Plan;
use onetrip_stream::{Content, Domain, Env, Jid, Pair, StreamHeader, ns};

use super::{Beginning, Expect, Goal, Initiator, Next};
use crate::connection::negotiation_deadline;
use crate::order::Facts;
use crate::peering::Peering;
use crate::shell::Shell;
use crate::{End, Event, OutboundConfig, Reason};

/// See the module.
#[derive(Debug)]
pub(super) struct Link {
    pair: Pair,
    lang: Option<String>,
    dialback: bool,
    /// Whether it is there for one verification alone, and whether that may be had without TLS.
    verifies: bool,
    in_clear: bool,
}

impl Link {
    /// RFC 6120 §4.7.1: a server says who it is at once, since who it asks depends on it.
    pub(super) fn header(&self) -> StreamHeader {
        let mut header = StreamHeader::new(Content::Server);
        header.from = Some(Jid::from_domain(self.pair.from.clone()));
        header.to = Some(Jid::from_domain(self.pair.to.clone()));
        header.lang.clone_from(&self.lang);
        header.dialback = self.dialback;
        header
    }

    /// The domain of ours that it was opened for.
    pub(super) fn local(&self) -> &Domain {
        &self.pair.from
    }
}

/// What to authenticate with: the certificate or nothing.
fn credentials(config: &OutboundConfig) -> sasl::InitiatorConfig {
    let authzid = config.authzid.then(|| config.local.as_str().to_owned());
    let mut credentials = sasl::InitiatorConfig::external(authzid);
    if !config.certificate {
        credentials.allowed.clear();
    }
    credentials
}

impl Initiator {
    /// A server's connection to another server.
    pub(crate) fn outbound(config: OutboundConfig, plan: Plan, env: &mut Env<'_>) -> (Self, Shell) {
        let peering = Peering::outbound(&config);
        Self::linked(config, plan, peering, false, env)
    }

    /// A connection to an authoritative server, for one verification.
    pub(crate) fn verifier(
        config: OutboundConfig,
        plan: Plan,
        verification: &Verification,
        env: &mut Env<'_>,
    ) -> Result<(Self, Shell), VerifyError> {
        let mut peering = Peering::outbound(&config);
        peering.verify(env, verification)?;
        Ok(Self::linked(config, plan, peering, true, env))
    }

    fn linked(
        config: OutboundConfig,
        plan: Plan,
        peering: Peering,
        verifies: bool,
        env: &mut Env<'_>,
    ) -> (Self, Shell) {
        let credentials = credentials(&config);
        let link = Link {
            pair: Pair::new(config.local, config.remote),
            lang: config.lang,
            in_clear: verifies
                && config
                    .dialback
                    .as_ref()
                    .is_some_and(|dialback| dialback.verify_in_clear),
            dialback: config.dialback.is_some(),
            verifies,
        };
        let mut shell = Shell::new(Content::Server, link.header(), config.bounds, 16 * 1024);
        shell.tracing = config.trace;
        shell.now = env.now;
        shell.peering = Some(Box::new(peering));
        negotiation_deadline(&mut shell, env.now);
        let beginning = Beginning {
            domain: link.pair.to.clone(),
            credentials,
            transport: config.transport,
            plan,
        };
        let goal = Goal::Pairs(Box::new(link));
        let this = Self::begin(beginning, goal, env, &mut shell);
        (this, shell)
    }

    /// Whether the connection is there for one verification alone.
    pub(super) fn verifies(&self) -> bool {
        matches!(&self.goal, Goal::Pairs(link) if link.verifies)
    }

    /// Whether TLS is done without.
    pub(super) fn in_clear(&self) -> bool {
        matches!(&self.goal, Goal::Pairs(link) if link.in_clear)
    }

    /// `db:verify` depends on nothing of this stream, so it may ride with the header (digest §4.5).
    pub(super) fn send_verification(&mut self, env: &mut Env<'_>, shell: &mut Shell) -> bool {
        shell.drain_dialback(env);
        self.next = Next::Nothing;
        if self.expect == Expect::Sasl {
            self.expect = Expect::Validated;
        }
        true
    }

    /// Asks by dialback for the pair that the connection was opened for, if that is possible (XEP-0220 §2.1.1).
    pub(super) fn dial(&mut self, env: &mut Env<'_>, shell: &mut Shell) -> bool {
        let Goal::Pairs(link) = &self.goal else {
            return false;
        };
        let pair = link.pair.clone();
        if !shell
            .peering
            .as_ref()
            .is_some_and(|peering| peering.has_dialback())
        {
            return false;
        }
        self.request_bidi(shell);
        if shell.ask(env, pair, false).is_err() {
            return false;
        }
        self.next = Next::Nothing;
        self.expect = Expect::Validated;
        true
    }

    /// Something of dialback has happened: perhaps what the connection was opened for is decided.
    pub(super) fn on_dialed(&mut self, env: &mut Env<'_>, shell: &mut Shell) {
        if shell.is_closed() {
            return;
        }
        let (Goal::Pairs(link), Some(peering), Expect::Validated) =
            (&self.goal, &shell.peering, self.expect)
        else {
            return;
        };
        if link.verifies {
            if peering.verifications() == 0 {
                self.on_end(env, shell);
                shell.close(env);
            }
        } else if shell.facts.have(Facts::BOUND) {
            self.expect = Expect::Anything;
            self.attempt.handle(quickstart::Input::Bound);
            self.conclude(env, shell);
        } else if !peering.awaits_any() {
            self.give_up(env, shell, End::Refused);
        }
    }

    /// BIDI-05, BIDI-06: between the header and `<auth/>`, in one write with both.
    pub(super) fn request_bidi(&mut self, shell: &mut Shell) {
        let Goal::Pairs(link) = &self.goal else {
            return;
        };
        if self.attempt.offered().is_none() {
            let assumed = self.attempt.plan().assumed().map(|known| &known.secured);
            let announced = assumed.is_some_and(|known| {
                known.has("bidi", ns::BIDI_FEATURE) || known.has("bidi", ns::BIDI)
            });
            if let Some(peering) = &mut shell.peering {
                peering.remember(announced);
            }
        }
        shell.request_bidi(&link.pair.to);
    }

    /// The features behind SASL's restart: the pair is open.
    pub(super) fn on_peer_accepted(&mut self, env: &mut Env<'_>, shell: &mut Shell) {
        let Goal::Pairs(link) = &self.goal else {
            return;
        };
        shell.validated(&link.pair.clone());
        self.establish(env, shell);
    }

    fn establish(&mut self, env: &mut Env<'_>, shell: &mut Shell) {
        let Goal::Pairs(link) = &self.goal else {
            return;
        };
        let back = link.pair.inverse();
        shell.facts.reach(Facts::BOUND);
        shell.timers.stop(Reason::Negotiation);
        self.expect = Expect::Anything;
        self.attempt.handle(quickstart::Input::Bound);
        // What is asked on a unidirectional stream is answered elsewhere, so nothing more can be learnt here.
        let answers = shell
            .peering
            .as_ref()
            .is_some_and(|peering| peering.pairs().may_receive(&back.from, &back.to));
        if !answers {
            self.attempt.handle(quickstart::Input::LaterAnswer);
        }
        let provisional = self.attempt.needs_later_answer();
        shell.event(Event::Established {
            peer: back.from,
            provisional,
        });
        if provisional {
            self.send_probe(env, shell);
        }
        self.conclude(env, shell);
    }
}
