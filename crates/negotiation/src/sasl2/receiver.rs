//! The receiving entity's side of SASL2 (XEP-0388).
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | ready | `<authenticate/>` | exchanging |
//! | exchanging | a decision, `<response/>` | exchanging; deciding once the mechanism has succeeded |
//! | deciding | what follows from it | done, choosing, or ready |
//! | choosing | `<next/>` with a task that was offered | at task |
//! | at task | what follows from it, `<task-data/>` | done, choosing, at task, or ready |
//! | exchanging, choosing, at task | `<abort/>` | ready |
//! | exchanging, choosing, at task | anything else | broken |
//! | done | nothing of SASL2 | |
//!
//! Decisions come from the caller; while one is pending, [`Receiver::is_deciding`], input has to wait.

use std::collections::VecDeque;

use minidom::Element;
use onetrip_stream::{Build, Env, Jid, ns};

use super::{
    Authenticated, Error, Failure, Outcome, ReceiverAction, ReceiverConfig, ReceiverEvent,
    ReceiverInput, ReceiverRequest, UserAgent, Version, config_version, wire,
};
use crate::sasl::server::{Exchange, Step};
use crate::sasl::{self, BindingType, ChannelBinding, Mechanism, Refusal};

/// What came with `<authenticate/>`.
#[derive(Debug, Clone, Default)]
struct Attempt {
    version: Version,
    agent: Option<UserAgent>,
    inline: Vec<Element>,
    early: bool,
    /// The mechanism, once it has succeeded.
    mechanism: Option<Mechanism>,
    /// What proves the server, until it is sent.
    proof: Option<Vec<u8>>,
}

#[derive(Debug)]
enum State {
    Ready,
    Exchanging,
    Deciding,
    Choosing(Vec<String>),
    AtTask { deciding: bool },
    Done,
    Broken(Error),
}

/// The authentication of one stream.
///
/// ```
/// # use onetrip_negotiation::sasl;
/// # use onetrip_negotiation::sasl2::{Outcome, Receiver, ReceiverAction, ReceiverConfig, ReceiverInput, ReceiverRequest};
/// # use onetrip_stream::{Env, Instant};
/// # use minidom::Element;
/// # let mut entropy = |out: &mut [u8]| out.fill(7);
/// # let mut env = Env::new(Instant::EPOCH, &mut entropy);
/// let config = ReceiverConfig::new(sasl::ReceiverConfig::new(vec![sasl::Mechanism::Plain]));
/// let mut machine = Receiver::new(&config, None, false);
/// let authenticate: Element = "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'>\
///     <initial-response>AGp1bGlldAByMG0zMG15cjBtMzA=</initial-response></authenticate>".parse().unwrap();
/// machine.handle(&mut env, ReceiverInput::Element(&authenticate)).unwrap();
/// while let Some(action) = machine.poll_action() {
///     let input = match action {
///         ReceiverAction::Request(ReceiverRequest::Sasl(sasl::Request::Password { username, .. })) =>
///             ReceiverInput::Answer(sasl::Answer::Accept { identity: username }),
///         ReceiverAction::Request(ReceiverRequest::Authenticated(who)) => ReceiverInput::Outcome(Outcome::Success {
///             identifier: format!("{}@capulet.lit", who.identity).parse().unwrap(),
///             inline: vec![],
///         }),
///         ReceiverAction::Send(element) => { assert_eq!(element.name(), "success"); continue }
///         _ => continue,
///     };
///     machine.handle(&mut env, input).unwrap();
/// }
/// ```
#[derive(Debug)]
pub struct Receiver {
    exchange: Exchange,
    inline: Vec<Element>,
    config_version: Option<String>,
    attempts: u8,
    attempt: Attempt,
    state: State,
    actions: VecDeque<ReceiverAction>,
}

impl Receiver {
    /// `binding` is what the TLS session yields, `certified` whether the client showed a certificate. SASL2 is for
    /// streams under TLS only (XEP-0388 §3).
    #[must_use]
    pub fn new(config: &ReceiverConfig, binding: Option<ChannelBinding>, certified: bool) -> Self {
        let types = binding.iter().flat_map(ChannelBinding::types).collect();
        Self::offering(
            config,
            Exchange::new(&config.sasl, binding, types, certified),
        )
    }

    /// The same before the handshake of TLS 1.3 has ended: what will bind the channel is offered besides what is `known` to,
    /// and the client's certificate is not known. See [`Receiver::bind_channel`].
    #[must_use]
    pub fn before_binding(config: &ReceiverConfig, known: Option<ChannelBinding>) -> Self {
        let types = BindingType::expected(known.as_ref());
        Self::offering(config, Exchange::new(&config.sasl, known, types, false))
    }

    /// What the TLS session yields, now that its handshake has ended.
    pub fn bind_channel(&mut self, binding: Option<ChannelBinding>) {
        self.exchange.bind_channel(binding);
    }

    fn offering(config: &ReceiverConfig, exchange: Exchange) -> Self {
        Self {
            exchange,
            inline: config.inline.clone(),
            config_version: config.config_version.clone(),
            attempts: config.sasl.attempts.max(1),
            attempt: Attempt::default(),
            state: State::Ready,
            actions: VecDeque::new(),
        }
    }

    /// The feature elements: none where no mechanism can be offered (XEP-0388 §2.1).
    #[must_use]
    pub fn features(&self) -> Vec<Element> {
        if self.exchange.offered().is_empty() {
            return Vec::new();
        }
        let mechanisms = self
            .exchange
            .offered()
            .iter()
            .map(|mechanism| Element::bare("mechanism", ns::SASL2).with_text(mechanism.name()));
        let offer = wire::with_children(Element::bare("authentication", ns::SASL2), mechanisms);
        let inline = Element::bare("inline", ns::SASL2);
        let offer = match self.inline.is_empty() {
            true => offer,
            false => offer.with_child(wire::with_children(inline, self.inline.clone())),
        };
        let mut features = vec![offer];
        if !self.exchange.types().is_empty() {
            features.push(sasl::wire::channel_bindings(self.exchange.types()));
        }
        features.extend(self.config_version.as_deref().map(config_version));
        features
    }

    /// The HT mechanisms for which tokens are taken: what FAST's feature lists.
    #[must_use]
    pub fn token_mechanisms(&self) -> &[Mechanism] {
        self.exchange.tokens()
    }

    /// What rides along with the attempt that is under way.
    #[must_use]
    pub fn inline(&self) -> &[Element] {
        &self.attempt.inline
    }

    /// What the client says about itself.
    #[must_use]
    pub fn user_agent(&self) -> Option<&UserAgent> {
        self.attempt.agent.as_ref()
    }

    /// Whether the attempt came as early data.
    #[must_use]
    pub fn is_early(&self) -> bool {
        self.attempt.early
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<ReceiverAction> {
        self.actions.pop_front()
    }

    /// Whether a decision is pending: input has to wait for it (QS-26).
    #[must_use]
    pub fn is_deciding(&self) -> bool {
        match self.state {
            State::Exchanging => self.exchange.is_deciding(),
            State::Deciding | State::AtTask { deciding: true } => true,
            _ => false,
        }
    }

    /// Whether an authentication is under way: nothing but SASL2 may arrive.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !matches!(self.state, State::Ready | State::Done | State::Broken(_))
    }

    /// Takes one input. An answer that was not asked for is ignored.
    ///
    /// # Errors
    /// [`Error`] when the client broke a rule; final.
    pub fn handle(&mut self, env: &mut Env<'_>, input: ReceiverInput<'_>) -> Result<(), Error> {
        if let State::Broken(error) = &self.state {
            return Err(error.clone());
        }
        let result = match input {
            ReceiverInput::Element(element) => self.on_element(element, false),
            ReceiverInput::Early(element) => self.on_element(element, true),
            ReceiverInput::Intruder if self.is_running() => Err(Error::Intruder),
            ReceiverInput::Intruder => Ok(()),
            ReceiverInput::Answer(answer) => {
                if matches!(self.state, State::Exchanging) {
                    let step = self.exchange.answer(env, answer);
                    self.take(step);
                }
                Ok(())
            }
            ReceiverInput::Outcome(outcome) => {
                self.on_outcome(outcome);
                Ok(())
            }
        };
        result.inspect_err(|error| self.state = State::Broken(error.clone()))
    }

    fn on_element(&mut self, element: &Element, early: bool) -> Result<(), Error> {
        let version = Version::from_namespace(&element.ns()).ok_or(Error::OutOfTurn)?;
        let same = version == self.attempt.version;
        match (element.name(), &self.state) {
            ("authenticate", State::Ready) if self.attempts > 0 => {
                self.begin(element, version, early);
                Ok(())
            }
            _ if self.is_deciding() || !self.is_running() || !same => Err(Error::OutOfTurn),
            ("response", State::Exchanging) => {
                let step = match wire::data(element) {
                    Ok(data) => self.exchange.respond(&data),
                    Err(_) => Step::Refuse(Refusal::IncorrectEncoding),
                };
                self.take(step);
                Ok(())
            }
            ("abort", _) => {
                self.refuse(Failure::new(Refusal::Aborted));
                Ok(())
            }
            ("next", State::Choosing(tasks)) => {
                let task = element.attr("task").unwrap_or_default().to_owned();
                if !tasks.contains(&task) {
                    self.refuse(Failure::new(Refusal::MalformedRequest));
                    return Ok(());
                }
                let children = wire::foreign(element, version);
                self.ask(ReceiverRequest::Task { task, children });
                Ok(())
            }
            ("task-data", State::AtTask { deciding: false }) => {
                self.ask(ReceiverRequest::TaskData(wire::foreign(element, version)));
                Ok(())
            }
            _ => Err(Error::Intruder),
        }
    }

    fn ask(&mut self, request: ReceiverRequest) {
        self.state = State::AtTask { deciding: true };
        self.actions.push_back(ReceiverAction::Request(request));
    }

    fn begin(&mut self, element: &Element, version: Version, early: bool) {
        self.state = State::Exchanging;
        self.attempt = Attempt {
            version,
            inline: wire::foreign(element, version),
            early,
            ..Attempt::default()
        };
        let agent = wire::only(element, version, "user-agent");
        let first = wire::child_data(element, version, "initial-response");
        let (agent, first) = match (agent, first) {
            (Ok(agent), Ok(first)) => (agent, first),
            (_, Err(Error::Sasl(_))) => {
                return self.refuse(Failure::new(Refusal::IncorrectEncoding));
            }
            _ => return self.refuse(Failure::new(Refusal::MalformedRequest)),
        };
        self.attempt.agent = agent.map(|agent| UserAgent::read(agent, version));
        if self.assumes_otherwise() {
            return self.turn_away();
        }
        let mechanism = element.attr("mechanism");
        let token = mechanism.and_then(Mechanism::from_name);
        if early && !token.is_some_and(Mechanism::is_token) {
            return self.refuse(Failure::new(Refusal::NotAuthorized));
        }
        let step = self.exchange.begin(mechanism, first.as_deref());
        self.take(step);
    }

    /// Whether the client has said that it assumes another configuration (XEP-0509 §2.2).
    fn assumes_otherwise(&self) -> bool {
        let said = self
            .attempt
            .inline
            .iter()
            .find(|child| child.is("config-version", ns::CONFIG_VERSION));
        said.is_some_and(|said| said.attr("value") != self.config_version.as_deref())
    }

    /// Without prejudice: it does not count as an attempt.
    fn turn_away(&mut self) {
        let mismatch = Element::bare("config-version-mismatch", ns::CONFIG_VERSION);
        self.attempts = self.attempts.saturating_add(1);
        self.refuse(Failure::new(Refusal::Aborted).with_application(mismatch));
    }

    fn take(&mut self, step: Step) {
        let version = self.attempt.version;
        let action = match step {
            Step::Nothing => return,
            Step::AskFirst => ReceiverAction::Send(wire::message(version, "challenge", b"")),
            Step::Challenge(data) => {
                ReceiverAction::Send(wire::message(version, "challenge", &data))
            }
            Step::Request(request) => ReceiverAction::Request(ReceiverRequest::Sasl(request)),
            Step::Refuse(refusal) => return self.refuse(Failure::new(refusal)),
            Step::Accept {
                mechanism,
                identity,
                proof,
            } => {
                self.state = State::Deciding;
                self.attempt.mechanism = Some(mechanism);
                self.attempt.proof = proof;
                ReceiverAction::Request(ReceiverRequest::Authenticated(Authenticated {
                    mechanism,
                    identity,
                }))
            }
        };
        self.actions.push_back(action);
    }

    fn on_outcome(&mut self, outcome: Outcome) {
        let at_task = matches!(self.state, State::AtTask { deciding: true });
        if !at_task && !matches!(self.state, State::Deciding) {
            return;
        }
        let version = self.attempt.version;
        match outcome {
            Outcome::Refuse(failure) => self.refuse(failure),
            Outcome::Success { identifier, inline } => self.succeed(identifier, inline),
            // A task that is not to be done by anything is no task.
            Outcome::Continue { tasks, .. } if tasks.is_empty() => {
                self.refuse(Failure::new(Refusal::TemporaryAuthFailure));
            }
            Outcome::Continue { tasks, text } => {
                let proof = self.attempt.proof.take();
                let element =
                    wire::continue_with(version, proof.as_deref(), &tasks, text.as_deref());
                self.state = State::Choosing(tasks);
                self.actions.push_back(ReceiverAction::Send(element));
            }
            Outcome::TaskData(children) if at_task => {
                self.state = State::AtTask { deciding: false };
                let element = Element::bare("task-data", version.namespace());
                let element = wire::with_children(element, children);
                self.actions.push_back(ReceiverAction::Send(element));
            }
            Outcome::TaskData(_) => {}
        }
    }

    /// The proof first, then who it is, then what rode along.
    fn succeed(&mut self, identifier: Jid, inline: Vec<Element>) {
        let Some(mechanism) = self.attempt.mechanism else {
            return;
        };
        let version = self.attempt.version;
        let proof = self.attempt.proof.take();
        let element = Element::bare("success", version.namespace());
        let element = wire::with_proof(element, version, proof.as_deref());
        let who = Element::bare("authorization-identifier", version.namespace());
        let element = element.with_child(who.with_text(&identifier.to_string()));
        self.state = State::Done;
        self.actions
            .push_back(ReceiverAction::Send(wire::with_children(element, inline)));
        self.actions
            .push_back(ReceiverAction::Event(ReceiverEvent::Authenticated {
                mechanism,
                identifier,
            }));
    }

    fn refuse(&mut self, failure: Failure) {
        self.exchange.abandon();
        self.attempts = self.attempts.saturating_sub(1);
        self.state = State::Ready;
        let (version, refusal) = (self.attempt.version, failure.reason.refusal);
        self.actions
            .push_back(ReceiverAction::Send(failure.to_element(version)));
        self.actions
            .push_back(ReceiverAction::Event(ReceiverEvent::Refused {
                refusal,
                exhausted: self.attempts == 0,
            }));
    }
}
