//! The initiating entity's negotiation: what is sent next, and what is waited for, each on its own half.
//!
//! The sending half walks down one ladder, each rung gated by the plan:
//!
//! | next to send | may go when |
//! |---|---|
//! | header (clear) | at once |
//! | `<starttls/>` | `Step::StartTls`: features seen, or at once |
//! | ClientHello | `Step::ClientHello`: `<proceed/>` seen, after a gap, or at once |
//! | header (secured) | TLS is up, or with the ClientHello where a token goes as early data |
//! | `<inst-resume/>` | with a token or a key: `Step::InstantResume`, at once; then `<auth/>` only if it is refused |
//! | `<auth/>` | `Step::Auth`: features seen, or at once |
//! | header (restart) | `Step::Restart`: `<success/>` seen, after a gap, or at once; never before the last SASL message |
//! | `<resume/>` | with a session: as bind; then bind only if it is refused (QS-39) |
//! | `<authenticate/>` | as `<auth/>`, with resumption and binding in it; no restart follows (XEP-0388) |
//! | bind | `Step::Bind`: features seen, or at once |
//! | stanzas | bound, or resumed; between servers, features behind the restart |
//!
//! The receiving half waits for header, features, `<proceed/>`, header, features, SASL, header, features and the
//! bind result in this order, whatever the sending half has done meanwhile; answers to requests to resume come where
//! they were asked for.

mod client;
mod inline;
mod keys;
mod receive;
mod resume;
mod sasl2;
mod server;
mod tasks;
mod tokens;

use core::time::Duration;

use onetrip_bidi::Restart;
use onetrip_isr as isr;
use onetrip_negotiation::{sasl, starttls};
use onetrip_quickstart as quickstart;
use onetrip_quickstart::{Join, Level, Plan, Stage, Step, Transport};
use onetrip_stream::{Domain, Env, Instant, StreamHeader};

use client::Resource;
use server::Link;

use crate::order::Facts;
use crate::shell::Shell;
use crate::{End, ErrorKind, Event, Reason, Request};

/// What the sending half does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Header(Stage),
    StartTls,
    ClientHello,
    InstantResume,
    Auth,
    /// SASL messages go out as challenges come in.
    Sasl,
    /// The last SASL message is out.
    Restart,
    Resume,
    Bind,
    /// Nothing of the negotiation is left to send.
    Nothing,
}

/// What the receiving half waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Header(Stage),
    Features(Stage),
    Proceed,
    Tls,
    InstantResumed,
    Sasl,
    Resumed,
    Bound,
    /// An answer of dialback.
    Validated,
    Anything,
}

/// What a connection is for.
#[derive(Debug)]
enum Goal {
    /// A client's: a resource, or a session to go on with.
    Resource(Box<Resource>),
    /// A server's: pairs of domains.
    Pairs(Box<Link>),
}

impl Goal {
    /// The initial header of a stage.
    fn header(&self, stage: Stage) -> StreamHeader {
        match self {
            Self::Resource(resource) => resource.header(stage),
            Self::Pairs(link) => link.header(),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Initiator {
    /// Whom it is with.
    domain: Domain,
    /// What to authenticate with.
    credentials: sasl::InitiatorConfig,
    goal: Goal,
    attempt: quickstart::Initiator,
    next: Next,
    expect: Expect,
    starttls: starttls::Initiator,
    sasl: Option<(sasl::Mechanism, sasl::Initiator)>,
    /// The login by SASL2 that is under way.
    later: Option<Box<sasl2::Login>>,
    binding: Option<sasl::ChannelBinding>,
    /// When the last unit that asks for an answer went out, and the round trip as measured.
    asked: Instant,
    round_trip: Duration,
    gap_over: bool,
    /// Whether a refusal was found to be real.
    believed: bool,
    /// The id of the request whose answer confirms a restart that was sent ahead.
    probe: Option<String>,
    /// The one attempt to resume by token or key, until it is asked for within SASL2.
    instant: Option<isr::Initiator>,
    /// Whether the last header was from another domain than the one we asked for.
    stranger: bool,
}

/// How a connection begins.
struct Beginning {
    domain: Domain,
    credentials: sasl::InitiatorConfig,
    transport: Transport,
    plan: Plan,
}

impl Initiator {
    /// Sends the first thing there is to send.
    fn begin(beginning: Beginning, goal: Goal, env: &mut Env<'_>, shell: &mut Shell) -> Self {
        let direct = beginning.transport == Transport::DirectTls;
        let mut this = Self {
            domain: beginning.domain,
            credentials: beginning.credentials,
            goal,
            attempt: quickstart::Initiator::new(beginning.plan),
            next: Next::Header(if direct { Stage::Secured } else { Stage::Clear }),
            expect: if direct {
                Expect::Tls
            } else {
                Expect::Header(Stage::Clear)
            },
            starttls: starttls::Initiator::new(),
            sasl: None,
            later: None,
            binding: None,
            asked: env.now,
            round_trip: Duration::ZERO,
            gap_over: false,
            believed: false,
            probe: None,
            instant: None,
            stranger: false,
        };
        if direct {
            shell.upgrade_sending();
            shell.upgrade_receiving();
            this.send_early(env, shell);
        }
        this.advance(env, shell);
        this
    }

    /// The server's domain.
    pub(crate) fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Whether the peer can already have seen a ClientHello from us, so that bytes behind `<proceed/>` may be
    /// its answer.
    pub(crate) fn hello_may_be_answered(&self) -> bool {
        self.attempt.plan().join(Step::ClientHello) != Join::AfterAnswer
    }

    /// Sends all that may be sent now.
    pub(crate) fn advance(&mut self, env: &mut Env<'_>, shell: &mut Shell) {
        while !shell.is_closed() {
            let Some(step) = self.gate() else {
                if !self.take(env, shell, None) {
                    return;
                }
                continue;
            };
            let answered = self.answered(step);
            let open = match self.attempt.plan().join(step) {
                _ if answered => true,
                Join::AtOnce => true,
                Join::AfterAnswer => false,
                Join::AfterGap(_) if self.gap_over => {
                    // In a write of its own, even if the caller has not taken the last one yet.
                    shell.flush();
                    true
                }
                Join::AfterGap(gap) => {
                    if !shell.timers.is_set(Reason::Gap) {
                        shell.timers.set(Reason::Gap, env.now + gap);
                    }
                    false
                }
            };
            if !open || !self.take(env, shell, (!answered).then_some(step)) {
                return;
            }
            shell.timers.stop(Reason::Gap);
            self.gap_over = false;
        }
    }

    /// Which step of the plan the next unit is.
    fn gate(&self) -> Option<Step> {
        match self.next {
            Next::StartTls => Some(Step::StartTls),
            Next::ClientHello => Some(Step::ClientHello),
            Next::InstantResume => Some(Step::InstantResume),
            // A key is verified whatever the features are: it rides with the header (digest §4.5).
            Next::Auth if self.verifies() && self.attempt.plan().level() != Level::Off => None,
            Next::Auth => Some(Step::Auth),
            Next::Restart => Some(Step::Restart),
            Next::Resume | Next::Bind => Some(Step::Bind),
            Next::Header(_) | Next::Sasl | Next::Nothing => None,
        }
    }

    /// Whether the answer that a step would wait for has been seen.
    fn answered(&self, step: Step) -> bool {
        match step {
            Step::StartTls => self.expect == Expect::Proceed,
            Step::ClientHello => self.expect == Expect::Tls,
            Step::InstantResume => false,
            Step::Auth => self.expect == Expect::Sasl,
            Step::Restart => matches!(self.expect, Expect::Header(Stage::Authenticated)),
            Step::Bind => matches!(self.expect, Expect::Bound | Expect::Resumed),
        }
    }

    /// Sends the next unit; `ahead` names the step if its answer has not been seen. Returns whether it went.
    fn take(&mut self, env: &mut Env<'_>, shell: &mut Shell, ahead: Option<Step>) -> bool {
        let gone = match self.next {
            Next::Header(Stage::Clear) => {
                shell.open();
                self.next = if self.in_clear() {
                    Next::Auth
                } else {
                    Next::StartTls
                };
                true
            }
            Next::Header(_) if shell.sending.layer.is_secured() => {
                shell.restart_sending(self.goal.header(Stage::Secured));
                shell.open();
                self.next = if self.instant.is_some() {
                    Next::InstantResume
                } else {
                    Next::Auth
                };
                true
            }
            Next::InstantResume => self.request_instant_resume(env, shell),
            Next::StartTls => {
                shell.element(&self.starttls.request());
                self.next = Next::ClientHello;
                true
            }
            Next::ClientHello => {
                shell.upgrade_sending();
                self.next = Next::Header(Stage::Secured);
                self.send_early(env, shell);
                true
            }
            Next::Auth => self.authenticate(env, shell),
            Next::Restart => {
                shell.restart_sending(self.goal.header(Stage::Authenticated));
                shell.open();
                self.next = match &self.goal {
                    Goal::Pairs(_) => Next::Nothing,
                    Goal::Resource(_) if shell.management.has_session() => Next::Resume,
                    Goal::Resource(_) => Next::Bind,
                };
                true
            }
            Next::Resume => {
                shell.management.resume();
                shell.drain_management();
                self.next = Next::Nothing;
                true
            }
            Next::Bind => {
                self.request_bind(env, shell);
                self.next = Next::Nothing;
                true
            }
            Next::Header(_) | Next::Sasl | Next::Nothing => false,
        };
        if gone {
            self.asked = env.now;
            if let Some(step) = ahead {
                self.attempt.handle(quickstart::Input::Ahead(step));
            }
        }
        gone
    }

    /// Chooses a mechanism, from what arrived or else from what is remembered, and begins (QS-R4).
    fn authenticate(&mut self, env: &mut Env<'_>, shell: &mut Shell) -> bool {
        if self.verifies() {
            return self.send_verification(env, shell);
        }
        let Some(features) = self.known_features() else {
            return false;
        };
        if let Some(offer) = self.offer_of_sasl2(features) {
            return self.log_in(env, shell, &offer);
        }
        let pin = self.attempt.plan().pin();
        let choice = sasl::choose(
            &self.credentials,
            features.mechanisms(),
            features.channel_bindings(),
            self.binding.as_ref(),
            pin,
        );
        let Some(choice) = choice else {
            let offered = features.mechanisms().to_vec();
            if self.attempt.offered().is_none() {
                // What is remembered does not do; wait for what the server offers now.
                return false;
            }
            if self.dial(env, shell) {
                return true;
            }
            shell.event(Event::NoMechanism { offered });
            self.give_up(env, shell, End::Refused);
            return false;
        };
        self.attempt.handle(quickstart::Input::Mechanism(
            choice.mechanism().name(),
            choice.mechanism().strength(),
        ));
        self.request_bidi(shell);
        let mechanism = choice.mechanism();
        let mut sasl = sasl::Initiator::new(&self.credentials, choice, self.binding.clone());
        let started = sasl.handle(env, sasl::Input::Start);
        self.sasl = Some((mechanism, sasl));
        self.next = Next::Sasl;
        self.sasl_result(env, shell, started);
        true
    }

    fn sasl_result(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        result: Result<(), sasl::Error>,
    ) {
        self.drain_sasl(env, shell);
        if let Err(error) = result {
            self.on_end(env, shell);
            shell.fail(ErrorKind::Sasl(error));
        }
    }

    fn drain_sasl(&mut self, env: &mut Env<'_>, shell: &mut Shell) {
        while let Some(action) = self.sasl.as_mut().and_then(|(_, sasl)| sasl.poll_action()) {
            match action {
                sasl::Action::Send { element, last } => {
                    shell.element(&element);
                    self.asked = env.now;
                    if last {
                        self.next = Next::Restart;
                    }
                }
                sasl::Action::Derive(derivation) => {
                    shell.request(Request::Derive(derivation));
                }
                sasl::Action::Event(sasl::Event::Authenticated { .. }) => {
                    self.on_authenticated(shell)
                }
                sasl::Action::Event(sasl::Event::Refused(failure)) => {
                    self.on_refused(env, shell, failure)
                }
                _ => {}
            }
        }
    }

    /// The server has proved itself and accepted us (QS-27): what follows is a new document (QS-25).
    fn on_authenticated(&mut self, shell: &mut Shell) {
        shell.facts.reach(Facts::AUTHENTICATED);
        shell.restart_receiving();
        if let Some(peering) = &mut shell.peering {
            peering.restart(Restart::Sasl);
        }
        self.attempt.handle(quickstart::Input::Answered(Step::Auth));
        self.attempt
            .handle(quickstart::Input::Answered(Step::Restart));
        if let Some((mechanism, _)) = self.sasl.take() {
            shell.event(Event::Authenticated {
                mechanism,
                identity: None,
            });
        }
        self.expect = Expect::Header(Stage::Authenticated);
        // A mechanism that ended earlier than it could have known.
        if self.next == Next::Sasl {
            self.next = Next::Restart;
        }
    }

    fn on_refused(&mut self, env: &mut Env<'_>, shell: &mut Shell, failure: sasl::Failure) {
        self.sasl = None;
        self.attempt.handle(quickstart::Input::SaslRefused);
        self.conclude(env, shell);
        if self.believed && !shell.is_closed() {
            shell.event(Event::AuthenticationRefused(failure));
            // xeps#963, XEP-0178 §3: there may be another way.
            if !self.dial(env, shell) {
                self.give_up(env, shell, End::Refused);
            }
        }
    }

    /// Learns how long a round trip takes, from the shortest answer to anything asked.
    fn measure(&mut self, env: &Env<'_>) {
        let took = env.now.since(self.asked);
        if self.round_trip.is_zero() || took < self.round_trip {
            self.round_trip = took;
        }
    }

    /// How long silence has to last before it means something.
    fn silence(&self, shell: &Shell) -> Duration {
        self.round_trip.saturating_mul(8).max(shell.bounds.silence)
    }
}
