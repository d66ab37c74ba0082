//! What a server's connection to another server is for: pairs of domains, in one direction or in both.
//!
//! SASL EXTERNAL proves the pair that the connection was opened for (XEP-0178); it is open from the features behind the
//! restart on.

use onetrip_negotiation::sasl;
use onetrip_quickstart as quickstart;
use onetrip_quickstart::Plan;
use onetrip_stream::{Content, Domain, Env, Jid, Pair, StreamHeader, ns};

use super::{Beginning, Expect, Goal, Initiator};
use crate::connection::negotiation_deadline;
use crate::order::Facts;
use crate::peering::Peering;
use crate::shell::Shell;
use crate::{Event, OutboundConfig, Reason};

/// See the module.
#[derive(Debug)]
pub(super) struct Link {
    pair: Pair,
    lang: Option<String>,
}

impl Link {
    /// RFC 6120 §4.7.1: a server says who it is at once, since who it asks depends on it.
    pub(super) fn header(&self) -> StreamHeader {
        let mut header = StreamHeader::new(Content::Server);
        header.from = Some(Jid::from_domain(self.pair.from.clone()));
        header.to = Some(Jid::from_domain(self.pair.to.clone()));
        header.lang.clone_from(&self.lang);
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
        let credentials = credentials(&config);
        let peering = Peering::outbound(&config);
        let link = Link {
            pair: Pair::new(config.local, config.remote),
            lang: config.lang,
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
            instant: None,
        };
        let goal = Goal::Pairs(Box::new(link));
        let this = Self::begin(beginning, goal, env, &mut shell);
        (this, shell)
    }

    /// BIDI-05, BIDI-06: between the header and `<auth/>`, in one write with both.
    pub(super) fn request_bidi(&mut self, shell: &mut Shell) {
        if self.offered.is_none() {
            let assumed = self.attempt.plan().assumed().map(|known| &known.secured);
            let announced = assumed.is_some_and(|known| {
                known.has("bidi", ns::BIDI_FEATURE) || known.has("bidi", ns::BIDI)
            });
            if let Some(peering) = &mut shell.peering {
                peering.remember(announced);
            }
        }
        shell.request_bidi();
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
