//! The server's side of a client's negotiation, strictly in the order the bytes come (QS-25).
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | clear | header, `<starttls/>` | TLS |
//! | secured | header, SASL | restart, or the attempts run out |
//! | TLS, not yet up | as early data: header, SASL2 by a token | authenticated, bound, or the token is refused |
//! | secured | SASL2, with what rides along | authenticated, bound, or the attempts run out |
//! | secured | `<inst-resume/>` | bound, or refused and nothing changes |
//! | authenticated | header, bind | bound |
//! | authenticated | `<resume/>` | bound, or refused and nothing changes |
//! | bound | stanzas, `<enable/>` | |
//!
//! Anything a client sends ahead is simply next in line. While a decision is pending it waits (QS-26); behind a
//! SASL failure it ends the stream (QS-31, QS-R5).

mod authentication;
mod early;
mod inline;
mod instant;
mod opening;
mod resume;
mod sasl2;
mod tasks;
mod tokens;

use minidom::Element;
use onetrip_isr as isr;
use onetrip_negotiation::{bind, sasl, starttls};
use onetrip_quickstart::Transport;
use onetrip_stream::{
    Condition, Content, Domain, Env, Jid, ReadError, ResponderProof, Secret, Stanza, StreamHeader,
    ns,
};

use super::{proceed, tail, takes_leftover, unexpected};
use crate::connection::negotiation_deadline;
use crate::half::Layer;
use crate::management::Management;
use crate::online::{Offered, Online, from_client};
use crate::order::{self, Facts, Step};
use crate::shell::Shell;
use crate::{Answer, ErrorKind, Event, Reason, Request, ServerConfig, TlsInfo, UsageError};

/// See the module.
#[derive(Debug)]
pub(crate) struct Receiver {
    config: ServerConfig,
    starttls: starttls::Receiver,
    sasl: Option<sasl::Receiver>,
    sasl2: Option<sasl2::Login>,
    bind: bind::Receiver,
    /// The domain this stream is for, once known; it may not change across restarts (CVE-2018-10847).
    domain: Option<Domain>,
    /// What has come as early data.
    early: early::Early,
    /// Whether the header of this document has been answered already: a proactive one (QS-19).
    answered: bool,
    /// Whether SASL has failed last, so that a tail may be on its way (QS-R5).
    refused: bool,
    authenticated: Option<Jid>,
    jid: Option<Jid>,
    /// Whom the last header claims to come from: what a token is checked against (ISR-27).
    claimed: Option<Jid>,
    instant: isr::Receiver,
    /// The hash of our certificate, which proofs are bound to.
    end_point: Option<Secret>,
    /// What the answer to a request to resume is for.
    resuming: Option<Resuming>,
    /// The session that was resumed by a token whose successor the client has not been seen to have, and whether what
    /// comes now was sent after that, as far as can be told.
    unconfirmed: Option<String>,
    fresh: bool,
}

/// How a session was asked for.
#[derive(Debug)]
enum Resuming {
    Enabling,
    Login,
    /// Its key is being checked.
    Proving {
        previd: String,
        h: u32,
    },
    /// By a token, or by a key that was proved.
    Token {
        h: u32,
        proof: Option<ResponderProof>,
    },
}

impl Receiver {
    pub(crate) fn start(config: ServerConfig, env: &mut Env<'_>) -> (Self, Shell) {
        let mut shell = Shell::new(
            Content::Client,
            StreamHeader::new(Content::Client),
            config.bounds.clone(),
            config.quickstart.held,
        );
        shell.tracing = config.trace;
        shell.now = env.now;
        shell.management = Management::receiver(config.management);
        negotiation_deadline(&mut shell, env.now);
        if config.transport == Transport::DirectTls {
            shell.upgrade_sending();
            shell.upgrade_receiving();
        }
        let mut this = Self {
            starttls: starttls::Receiver::new(),
            sasl: None,
            sasl2: None,
            bind: bind::Receiver::new(),
            domain: None,
            early: early::Early::Nothing,
            answered: false,
            refused: false,
            authenticated: None,
            jid: None,
            claimed: None,
            instant: isr::Receiver::new(),
            end_point: None,
            resuming: None,
            unconfirmed: None,
            fresh: false,
            config,
        };
        this.prepare(env, &mut shell);
        (this, shell)
    }

    /// The full address of the client, once it has one.
    pub(crate) fn address(&self) -> Option<&Jid> {
        self.jid.as_ref()
    }

    /// Whether bytes behind `<starttls/>` may be the beginning of TLS (QS-R6).
    pub(crate) fn takes_leftover(&self) -> bool {
        takes_leftover(self.config.transport, &self.config.quickstart)
    }

    pub(crate) fn on_element(&mut self, env: &mut Env<'_>, shell: &mut Shell, element: &Element) {
        self.confirm(shell);
        let later = element.has_ns(ns::SASL2) || element.has_ns(ns::SASL2_OLD);
        if self.is_intruded(env, shell, later) {
            return;
        }
        let step = if element.has_ns(ns::TLS) {
            Step::StartTls
        } else if element.has_ns(ns::SASL) || (later && self.sasl2.is_some()) {
            Step::Sasl
        } else if element.has_ns(ns::STREAM_MANAGEMENT) && self.config.management.is_some() {
            return self.on_management(env, shell, element);
        } else if element.has_ns(ns::ISR) && self.offers_instant_resume() {
            return self.on_instant_resume(env, shell, element);
        } else {
            return unexpected(shell, element.name(), Condition::UnsupportedStanzaType);
        };
        if let Err(condition) = order::check(step, shell.facts) {
            return unexpected(shell, element.name(), condition);
        }
        match step {
            Step::StartTls => self.on_starttls(env, shell, element),
            _ if later => {
                let input = match shell.receiving.layer {
                    Layer::Early => onetrip_negotiation::sasl2::ReceiverInput::Early(element),
                    _ => onetrip_negotiation::sasl2::ReceiverInput::Element(element),
                };
                self.on_sasl2(env, shell, input);
            }
            _ => self.on_sasl(env, shell, sasl::ReceiverInput::Element(element)),
        }
    }

    /// Openfire#3496: whatever arrives between the steps of SASL2 ends it.
    fn is_intruded(&mut self, env: &mut Env<'_>, shell: &mut Shell, later: bool) -> bool {
        let intruded = self.is_between_steps() && !later;
        if intruded {
            self.on_intruder(env, shell);
        }
        intruded
    }

    /// Whether nothing but a step of SASL2 may arrive.
    pub(crate) fn is_between_steps(&self) -> bool {
        self.sasl2.as_ref().is_some_and(sasl2::Login::is_running)
    }

    pub(crate) fn on_intruder(&mut self, env: &mut Env<'_>, shell: &mut Shell) {
        let input = onetrip_negotiation::sasl2::ReceiverInput::Intruder;
        self.on_sasl2(env, shell, input);
    }

    fn on_starttls(&mut self, env: &mut Env<'_>, shell: &mut Shell, element: &Element) {
        if proceed(&mut self.starttls, shell, element) {
            self.prepare(env, shell);
        }
    }

    pub(crate) fn on_secured(&mut self, shell: &mut Shell, info: TlsInfo) {
        if self.early == early::Early::Nothing {
            self.forget_what_was_clear();
        }
        let binding = info.channel_binding();
        self.end_point = info.end_point;
        if let Some(hash) = self.end_point.clone().filter(|_| self.dialects().hmac) {
            self.instant = core::mem::take(&mut self.instant).with_end_point(hash);
        }
        let certified = !info.peer_certificates.is_empty();
        let rides = self.rides();
        match (&mut self.sasl2, &self.config.sasl2) {
            (Some(login), _) => login.machine.bind_channel(binding.clone()),
            (None, Some(offer)) => {
                let (sasl, binding) = (&self.config.sasl, binding.clone());
                self.sasl2 = Some(sasl2::Login::new(offer, sasl, rides, binding, certified));
            }
            (None, None) => {}
        }
        match &mut self.sasl {
            Some(sasl) => sasl.bind_channel(binding),
            None => {
                self.sasl = Some(sasl::Receiver::new(&self.config.sasl, binding, certified));
            }
        }
        if self.may_be_proactive() {
            self.open_unasked(shell);
        }
    }

    pub(crate) fn on_answer(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        answer: Answer,
    ) -> Result<(), UsageError> {
        match answer {
            Answer::Sasl(answer) => {
                if self.is_between_steps() {
                    let input = onetrip_negotiation::sasl2::ReceiverInput::Answer(answer);
                    self.on_sasl2(env, shell, input);
                } else {
                    self.on_sasl(env, shell, sasl::ReceiverInput::Answer(answer));
                }
                Ok(())
            }
            Answer::Bind(answer) if self.is_inline() => self.on_inline_bind(env, shell, answer),
            Answer::Bind(answer) => self.on_bind_answer(shell, answer),
            Answer::Enable(granted) => self.on_enable_answer(env, shell, granted),
            Answer::Session(session) => self.on_session(env, shell, *session),
            Answer::NoSession { h } => self.on_no_session(env, shell, h),
            Answer::KeySwap(result) => self.on_key_answer(env, shell, result),
            answer @ (Answer::FastIssued(_) | Answer::FastSwap(_)) => {
                self.on_token_answer(env, shell, answer)
            }
            Answer::TaskVerdict(verdict) => self.on_task_verdict(env, shell, verdict),
            Answer::Derived(_) | Answer::Awaited(_) | Answer::TaskReply(_) => {
                Err(UsageError::NotAsked)
            }
        }
    }

    pub(super) fn is_inline(&self) -> bool {
        self.sasl2.as_ref().is_some_and(sasl2::Login::is_inline)
    }

    pub(crate) fn on_stanza(&mut self, env: &mut Env<'_>, shell: &mut Shell, stanza: Stanza) {
        self.confirm(shell);
        if self.is_intruded(env, shell, false) {
            return;
        }
        if order::check(Step::Stanza, shell.facts).is_ok() {
            return from_client(shell, stanza);
        }
        let element = stanza.element();
        if !bind::is_request(&element) {
            return unexpected(shell, stanza.head().kind.name(), Condition::NotAuthorized);
        }
        if let Err(condition) = order::check(Step::Bind, shell.facts) {
            return unexpected(shell, "iq", condition);
        }
        match self.bind.handle(&element) {
            Ok(bind::Outcome::Request(request)) => {
                let Some(account) = self.authenticated.clone() else {
                    return;
                };
                shell.request(Request::Bind { account, request });
            }
            Ok(bind::Outcome::Reply(reply)) => shell.iq(&reply),
            Ok(_) => {}
            Err(error) => shell.fail(ErrorKind::Bind(error)),
        }
    }

    fn on_bind_answer(
        &mut self,
        shell: &mut Shell,
        answer: bind::Answer,
    ) -> Result<(), UsageError> {
        let Some((reply, bound)) = self.bind.answer(answer) else {
            return Err(UsageError::NotAsked);
        };
        shell.iq(&reply);
        if let Some(jid) = bound {
            shell.management.bound(&jid);
            self.go_online(shell, jid, false);
        }
        Ok(())
    }

    fn go_online(&mut self, shell: &mut Shell, jid: Jid, resumed: bool) {
        shell.facts.reach(Facts::BOUND);
        shell.timers.stop(Reason::Negotiation);
        self.jid = Some(jid.clone());
        shell.event(Event::Online {
            jid,
            provisional: false,
            resumed,
        });
    }

    /// What is left of it, when nothing of the negotiation can matter any more.
    pub(crate) fn online(&self, shell: &Shell) -> Option<Online> {
        let managed = shell.management.is_on() || self.config.management.is_none();
        let deciding = shell.pending.is_some() || self.resuming.is_some();
        let logging_in = self.is_between_steps() || self.is_inline() || self.refused;
        let over = managed && !deciding && !logging_in && self.unconfirmed.is_none();
        (over && shell.facts.have(Facts::BOUND)).then(|| {
            Online::Server(Offered {
                sasl2: self.sasl2.is_some(),
                management: self.config.management.is_some(),
                instant_resume: self.offers_instant_resume(),
            })
        })
    }

    pub(crate) fn translate(&self, error: ReadError) -> ErrorKind {
        tail(self.refused, error)
    }
}
