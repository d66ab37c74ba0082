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

mod early;
mod inline;
mod instant;
mod resume;
mod sasl2;
mod tasks;
mod tokens;

use minidom::Element;
use onetrip_isr as isr;
use onetrip_negotiation::{bind, sasl, starttls};
use onetrip_quickstart::{Stage, Transport, pipelining};
use onetrip_stream::{
    Condition, Content, Domain, Env, Jid, ReadError, ResponderProof, Secret, Stanza, StreamHeader,
    ns,
};

use super::{
    OTHER_ADDRESS, Refused, features, proceed, response, served, stage_of, tail, takes_leftover,
    unexpected,
};
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

    /// Makes ready for a new document.
    fn prepare(&mut self, env: &mut Env<'_>, shell: &mut Shell) {
        let domain = self.domain.as_ref().or(self.config.domains.first());
        shell.restart_sending(response(env, Content::Client, domain));
        self.answered = false;
    }

    pub(crate) fn on_header(&mut self, shell: &mut Shell, header: &StreamHeader) {
        if let Err((what, condition)) = self.accept_header(shell, header) {
            return shell.fail(ErrorKind::Header { what, condition });
        }
        self.claimed = header.from.clone();
        if core::mem::replace(&mut self.answered, true) {
            return; // QS-19: the proactive header was the answer to this one.
        }
        if let Some(response) = &mut shell.sending.unsent {
            response.from = self.domain.clone().map(Jid::from_domain);
            // RFC 6120 §4.7.2: only if the initiating entity said who it is.
            response.to = header.from.as_ref().map(Jid::to_bare);
        }
        shell.open();
        let features = self.features(stage_of(shell));
        shell.element(&features);
    }

    /// Checks a header of the client against what is served and what it has proved.
    fn accept_header(&mut self, shell: &Shell, header: &StreamHeader) -> Result<(), Refused> {
        let domain = served(shell, header, &self.config.domains, self.domain.as_ref())?;
        let proved = self.authenticated.as_ref().zip(header.from.as_ref());
        if proved.is_some_and(|(proved, from)| !proved.same_bare(from)) {
            return Err(OTHER_ADDRESS);
        }
        self.domain = Some(domain);
        Ok(())
    }

    /// The features of a stage (QS-10, QS-R3, QS-R8).
    fn features(&self, stage: Stage) -> Element {
        let mut children = match stage {
            Stage::Clear => vec![starttls::feature(starttls::Offer::Required)],
            Stage::Secured => self
                .sasl
                .as_ref()
                .map(sasl::Receiver::features)
                .unwrap_or_default(),
            Stage::Authenticated => vec![bind::feature()],
        };
        children.reserve(3);
        if stage == Stage::Secured {
            let later = self.sasl2.as_ref();
            let later = later.map(|login| login.features(&children));
            children.extend(later.unwrap_or_default());
        }
        match stage {
            // ISR-13, ISR-14: under TLS, as long as it can be asked for.
            Stage::Secured => children.extend(self.instant_features()),
            // QS-38: only where it may be used.
            Stage::Authenticated if self.config.management.is_some() => {
                children.push(onetrip_stream_management::feature());
            }
            _ => {}
        }
        if stage == Stage::Authenticated {
            children.extend(self.config.features_authenticated.iter().cloned());
        }
        if self.config.quickstart.advertise {
            children.push(pipelining());
        }
        children.extend(self.config.features.iter().cloned());
        features(children)
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

    /// The sending half may write before the client's Finished is in: half-RTT data (QS-R2). The client's certificate
    /// is not known yet, so EXTERNAL cannot be offered; the channel can be bound once the handshake has ended.
    pub(crate) fn on_sendable(&mut self, shell: &mut Shell, info: &TlsInfo) {
        if self.may_be_proactive() {
            self.offer_before_binding(info);
            self.open_unasked(shell);
        }
    }

    /// Only where it is certain whose certificate was served.
    fn may_be_proactive(&self) -> bool {
        self.config.quickstart.proactive_header && !self.answered && self.config.domains.len() == 1
    }

    /// QS-17: header and features without being asked; no `to`, since nobody has said who it is (QS-R2).
    fn open_unasked(&mut self, shell: &mut Shell) {
        if let Some(response) = &mut shell.sending.unsent {
            response.from = self.config.domains.first().cloned().map(Jid::from_domain);
        }
        self.answered = true;
        shell.open();
        let features = self.features(Stage::Secured);
        shell.element(&features);
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

    fn on_sasl(&mut self, env: &mut Env<'_>, shell: &mut Shell, input: sasl::ReceiverInput<'_>) {
        let Some(sasl) = self.sasl.as_mut() else {
            return;
        };
        let result = sasl.handle(env, input);
        while let Some(action) = self.sasl.as_mut().and_then(sasl::Receiver::poll_action) {
            self.on_sasl_action(env, shell, action);
        }
        if let Err(error) = result {
            shell.fail(ErrorKind::Sasl(error));
        }
    }

    fn on_sasl_action(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        action: sasl::ReceiverAction,
    ) {
        match action {
            sasl::ReceiverAction::Send(element) => shell.element(&element),
            sasl::ReceiverAction::Request(request) => self.ask_sasl(shell, request),
            sasl::ReceiverAction::Event(sasl::ReceiverEvent::Authenticated {
                mechanism,
                identity,
            }) => {
                self.on_authenticated(env, shell, mechanism, &identity);
            }
            sasl::ReceiverAction::Event(sasl::ReceiverEvent::Refused { exhausted, .. }) => {
                self.refused = true;
                if exhausted {
                    shell.fail(ErrorKind::TooManyAttempts);
                }
            }
            _ => {}
        }
    }

    fn ask_sasl(&self, shell: &mut Shell, request: sasl::Request) {
        // The stream has a domain, or no element of it would have come here.
        let Some(domain) = self.domain.clone().or(self.config.domains.first().cloned()) else {
            return;
        };
        shell.request(Request::Sasl { domain, request });
    }

    /// The bare address of an identity that was accepted; a fault of this side if it is none.
    fn account_of(&self, shell: &mut Shell, identity: &str) -> Option<Jid> {
        let account = if identity.contains('@') {
            let address = identity.parse::<Jid>();
            address.ok().map(|address| address.to_bare())
        } else {
            let server = self.domain.clone().map(Jid::from_domain);
            server.and_then(|server| server.with_local(identity).ok())
        };
        if account.is_none() {
            let what = "expected an identity that is an address, got another from the decision of this side";
            shell.fail(ErrorKind::Header {
                what,
                condition: Condition::InternalServerError,
            });
        }
        account
    }

    fn on_authenticated(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        mechanism: sasl::Mechanism,
        identity: &str,
    ) {
        let Some(account) = self.account_of(shell, identity) else {
            return;
        };
        self.refused = false;
        self.authenticated = Some(account.clone());
        shell.facts.reach(Facts::AUTHENTICATED);
        shell.restart_receiving();
        shell.event(Event::Authenticated {
            mechanism,
            identity: Some(account),
        });
        self.prepare(env, shell);
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
