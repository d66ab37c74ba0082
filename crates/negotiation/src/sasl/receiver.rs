//! The receiving entity's side of SASL (RFC 6120 §6.4).
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | ready | `<auth/>` | deciding |
//! | deciding | the decision | authenticated, refused, or challenged |
//! | challenged | `<response/>` | authenticated or refused |
//! | refused | `<auth/>` again, so often | as ready |
//!
//! An `<auth/>` in between replaces the exchange that is running (RFC 6120 §6.4.2).

use std::collections::VecDeque;

use minidom::Element;
use onetrip_stream::{Env, Secret, ns};

use super::{ChannelBinding, Error, Failure, Hash, Mechanism, Refusal, StoredKeys, wire};

/// What a receiving entity offers.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReceiverConfig {
    /// The mechanisms, in the order they are shown. Those that need a certificate or a channel binding are
    /// shown only where there is one.
    pub offered: Vec<Mechanism>,
    /// How often a client may fail on one stream (RFC 6120 §6.4.5: 2 to 5). Default: 3.
    pub attempts: u8,
    /// The key from which salts are made for users that do not exist, so that they look like any other: the
    /// same for all connections of a server. Without it every connection makes up its own.
    pub decoy: Option<Secret>,
    /// The iteration count shown for users that do not exist: the one that most others have. Default: 10,000.
    pub decoy_iterations: u32,
}

impl ReceiverConfig {
    /// Offers these mechanisms.
    #[must_use]
    pub fn new(offered: Vec<Mechanism>) -> Self {
        Self {
            offered,
            attempts: 3,
            decoy: None,
            decoy_iterations: 10_000,
        }
    }
}

/// What the receiver is given.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReceiverInput<'a> {
    /// An element of the SASL namespace.
    Element(&'a Element),
    /// The decision that was asked for.
    Answer(Answer),
}

/// A decision to make.
#[derive(Debug)]
#[non_exhaustive]
pub enum Request {
    /// Whether this is the password: [`Answer::Accept`] or [`Answer::Refuse`].
    Password {
        /// The authentication identity.
        username: String,
        /// Whom it wants to act as; refuse with `invalid-authzid` if it may not.
        authzid: Option<String>,
        /// The password, as the client sent it.
        password: Secret,
    },
    /// What is stored for this user: [`Answer::Keys`], [`Answer::Unknown`] or [`Answer::Refuse`].
    Keys {
        /// The authentication identity, prepared by SASLprep.
        username: String,
        /// Whom it wants to act as.
        authzid: Option<String>,
        /// For which hash function.
        hash: Hash,
    },
    /// Whether the certificate of the TLS session stands for this identity: [`Answer::Accept`] or
    /// [`Answer::Refuse`].
    Certificate {
        /// Whom it wants to act as; `None` means whom the certificate names.
        authzid: Option<String>,
    },
    /// Whether anybody may come in: [`Answer::Accept`] or [`Answer::Refuse`].
    Anonymous,
}

/// The decision about a [`Request`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Answer {
    /// Yes, as this identity: a local part, or an address.
    Accept {
        /// Who it is.
        identity: String,
    },
    /// No.
    Refuse(Refusal),
    /// These are the keys; the proof is still to come.
    Keys(StoredKeys),
    /// There is no such user; the exchange goes on all the same and fails at its end.
    Unknown,
}

/// What the caller must do.
#[derive(Debug)]
#[must_use = "an action that is not carried out leaves the exchange hanging"]
#[non_exhaustive]
pub enum ReceiverAction {
    /// Send this.
    Send(Element),
    /// Decide, and give the decision in with [`ReceiverInput::Answer`].
    Request(Request),
    /// Something ended.
    Event(ReceiverEvent),
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReceiverEvent {
    /// Authenticated; `<success/>` is on its way.
    Authenticated {
        /// The mechanism.
        mechanism: Mechanism,
        /// Who it is.
        identity: String,
    },
    /// Refused; `<failure/>` is on its way.
    Refused {
        /// Why.
        refusal: Refusal,
        /// Whether this was the last attempt on this stream.
        exhausted: bool,
    },
}

#[derive(Debug)]
enum State {
    Ready,
    /// The client left out its initial response and was asked for it.
    First(Mechanism),
    /// A decision about a mechanism that has nothing more to say.
    Deciding(Mechanism),
    #[cfg(feature = "scram")]
    Keys(Mechanism, Box<super::scram::ClientFirst>),
    #[cfg(feature = "scram")]
    Challenged(Mechanism, Box<super::scram::Server>),
    Over,
}

/// The authentication of one stream.
///
/// ```
/// # use onetrip_negotiation::sasl::{Answer, Mechanism, Receiver, ReceiverAction, ReceiverConfig, ReceiverEvent, ReceiverInput, Request};
/// # use onetrip_stream::{Build, Env, Instant, ns};
/// # use minidom::Element;
/// # let mut entropy = |out: &mut [u8]| out.fill(7);
/// # let mut env = Env::new(Instant::EPOCH, &mut entropy);
/// let mut sasl = Receiver::new(&ReceiverConfig::new(vec![Mechanism::Plain]), None, false);
/// let auth = Element::bare("auth", ns::SASL).with_attr("mechanism", "PLAIN").with_text("AGp1bGlldAByMG0zMG15cjBtMzA=");
/// sasl.handle(&mut env, ReceiverInput::Element(&auth)).unwrap();
/// let Some(ReceiverAction::Request(Request::Password { username, .. })) = sasl.poll_action() else { panic!() };
/// sasl.handle(&mut env, ReceiverInput::Answer(Answer::Accept { identity: username })).unwrap();
/// assert!(matches!(sasl.poll_action(), Some(ReceiverAction::Send(_))));
/// assert!(matches!(sasl.poll_action(), Some(ReceiverAction::Event(ReceiverEvent::Authenticated { .. }))));
/// ```
#[derive(Debug)]
pub struct Receiver {
    offered: Vec<Mechanism>,
    binding: Option<ChannelBinding>,
    attempts: u8,
    #[cfg_attr(
        not(feature = "scram"),
        expect(dead_code, reason = "only SCRAM needs decoys")
    )]
    decoy: (Option<Secret>, u32),
    state: State,
    actions: VecDeque<ReceiverAction>,
}

impl Receiver {
    /// `binding` is what the TLS session yields, `certified` whether the client showed a certificate.
    #[must_use]
    pub fn new(config: &ReceiverConfig, binding: Option<ChannelBinding>, certified: bool) -> Self {
        let bound = binding.is_some();
        Self {
            binding,
            ..Self::offering(config, bound, certified)
        }
    }

    /// For features that are shown before the handshake has ended (QS-R2): the -PLUS mechanisms are offered, and
    /// [`Receiver::bind_channel`] is called when it has.
    #[must_use]
    pub fn before_binding(config: &ReceiverConfig) -> Self {
        Self::offering(config, true, false)
    }

    /// What the TLS session yields, now that its handshake has ended.
    pub fn bind_channel(&mut self, binding: Option<ChannelBinding>) {
        self.binding = binding;
    }

    fn offering(config: &ReceiverConfig, bound: bool, certified: bool) -> Self {
        let possible = |mechanism: &Mechanism| {
            mechanism.is_built_in()
                && (bound || !mechanism.binds_channel())
                && (certified || *mechanism != Mechanism::External)
        };
        Self {
            offered: config.offered.iter().copied().filter(possible).collect(),
            binding: None,
            attempts: config.attempts.max(1),
            decoy: (config.decoy.clone(), config.decoy_iterations),
            state: State::Ready,
            actions: VecDeque::new(),
        }
    }

    fn offers_binding(&self) -> bool {
        self.offered
            .iter()
            .any(|mechanism| mechanism.binds_channel())
    }

    /// The feature elements: the mechanisms and, with -PLUS among them, the channel binding types (XEP-0440).
    #[must_use]
    pub fn features(&self) -> Vec<Element> {
        let mut features = vec![wire::mechanisms(&self.offered)];
        if self.offers_binding() {
            features.push(wire::channel_bindings());
        }
        features
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<ReceiverAction> {
        self.actions.pop_front()
    }

    /// Whether a decision is pending: input has to wait for it (QS-26).
    #[must_use]
    pub fn is_deciding(&self) -> bool {
        match self.state {
            State::Deciding(_) => true,
            #[cfg(feature = "scram")]
            State::Keys(..) => true,
            _ => false,
        }
    }

    /// Takes one input. An answer that was not asked for is ignored.
    ///
    /// # Errors
    /// [`Error::OutOfTurn`] for an element that no client sends here.
    pub fn handle(&mut self, env: &mut Env<'_>, input: ReceiverInput<'_>) -> Result<(), Error> {
        match input {
            ReceiverInput::Answer(answer) => self.on_answer(env, answer),
            ReceiverInput::Element(element) if element.is("auth", ns::SASL) => {
                self.on_auth(element)
            }
            ReceiverInput::Element(element) if element.is("response", ns::SASL) => {
                self.on_response(element)
            }
            ReceiverInput::Element(element) if element.is("abort", ns::SASL) => {
                self.refuse(Refusal::Aborted)
            }
            ReceiverInput::Element(_) => return Err(Error::OutOfTurn),
        }
        Ok(())
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.attempts = self.attempts.saturating_sub(1);
        let exhausted = self.attempts == 0;
        self.state = if exhausted { State::Over } else { State::Ready };
        self.actions
            .push_back(ReceiverAction::Send(Failure::new(refusal).to_element()));
        self.actions
            .push_back(ReceiverAction::Event(ReceiverEvent::Refused {
                refusal,
                exhausted,
            }));
    }

    fn accept(&mut self, mechanism: Mechanism, identity: String, proof: Option<&[u8]>) {
        self.state = State::Over;
        // QS-24: the proof rides in success, so that success is the last word.
        self.actions
            .push_back(ReceiverAction::Send(wire::message("success", proof)));
        self.actions
            .push_back(ReceiverAction::Event(ReceiverEvent::Authenticated {
                mechanism,
                identity,
            }));
    }

    fn ask(&mut self, mechanism: Mechanism, request: Request) {
        self.state = State::Deciding(mechanism);
        self.actions.push_back(ReceiverAction::Request(request));
    }

    fn on_auth(&mut self, element: &Element) {
        if matches!(self.state, State::Over) {
            return;
        }
        let mechanism = element
            .attr("mechanism")
            .and_then(Mechanism::from_name)
            .filter(|mechanism| self.offered.contains(mechanism));
        let Some(mechanism) = mechanism else {
            return self.refuse(Refusal::InvalidMechanism);
        };
        match wire::data(element) {
            Err(_) => self.refuse(Refusal::IncorrectEncoding),
            // RFC 6120 §6.4.2: without an initial response the client waits for a challenge. An empty one asks.
            Ok(None) => {
                self.state = State::First(mechanism);
                self.actions
                    .push_back(ReceiverAction::Send(wire::message("challenge", None)));
            }
            Ok(Some(first)) => self.on_first(mechanism, &first),
        }
    }

    fn on_first(&mut self, mechanism: Mechanism, first: &[u8]) {
        let text = core::str::from_utf8(first).ok();
        let optional = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        match (mechanism, text) {
            (_, None) => self.refuse(Refusal::MalformedRequest),
            (Mechanism::Plain, Some(text)) => {
                let mut parts = text.split('\0');
                match (parts.next(), parts.next(), parts.next(), parts.next()) {
                    (Some(authzid), Some(username), Some(password), None)
                        if !username.is_empty() && !password.is_empty() =>
                    {
                        let request = Request::Password {
                            username: username.to_owned(),
                            authzid: optional(authzid),
                            password: Secret::from(password),
                        };
                        self.ask(mechanism, request);
                    }
                    _ => self.refuse(Refusal::MalformedRequest),
                }
            }
            (Mechanism::External, Some(text)) => self.ask(
                mechanism,
                Request::Certificate {
                    authzid: optional(text),
                },
            ),
            (Mechanism::Anonymous, Some(_)) => self.ask(mechanism, Request::Anonymous),
            (_, Some(_)) => self.on_scram_first(mechanism, first),
        }
    }

    #[cfg(not(feature = "scram"))]
    fn on_scram_first(&mut self, _mechanism: Mechanism, _first: &[u8]) {
        self.refuse(Refusal::InvalidMechanism);
    }

    #[cfg(feature = "scram")]
    fn on_scram_first(&mut self, mechanism: Mechanism, first: &[u8]) {
        match super::scram::ClientFirst::read(
            first,
            mechanism.binds_channel(),
            self.offers_binding(),
        ) {
            Err(refusal) => self.refuse(refusal),
            Ok(first) => {
                let request = Request::Keys {
                    username: first.username.clone(),
                    authzid: first.authzid.clone(),
                    hash: super::initiator::hash_of(mechanism),
                };
                self.state = State::Keys(mechanism, Box::new(first));
                self.actions.push_back(ReceiverAction::Request(request));
            }
        }
    }

    fn on_response(&mut self, element: &Element) {
        let data = match wire::data(element) {
            Ok(data) => data.unwrap_or_default(),
            Err(_) => return self.refuse(Refusal::IncorrectEncoding),
        };
        match &self.state {
            State::Over => {}
            State::First(mechanism) => self.on_first(*mechanism, &data),
            #[cfg(feature = "scram")]
            State::Challenged(mechanism, server) => {
                let (mechanism, identity) = (*mechanism, server.username().to_owned());
                // Promised before the handshake ended, and then there was nothing to bind to.
                if mechanism.binds_channel() && self.binding.is_none() {
                    return self.refuse(Refusal::TemporaryAuthFailure);
                }
                match server.client_final(&data, self.binding.as_ref()) {
                    Ok(proof) => self.accept(mechanism, identity, Some(proof.as_bytes())),
                    Err(refusal) => self.refuse(refusal),
                }
            }
            _ => self.refuse(Refusal::MalformedRequest),
        }
    }

    fn on_answer(&mut self, env: &mut Env<'_>, answer: Answer) {
        match (core::mem::replace(&mut self.state, State::Ready), answer) {
            (State::Deciding(mechanism), Answer::Accept { identity }) => {
                self.accept(mechanism, identity, None)
            }
            (State::Deciding(_), Answer::Refuse(refusal)) => self.refuse(refusal),
            (State::Deciding(_), Answer::Keys(_) | Answer::Unknown) => {
                self.refuse(Refusal::NotAuthorized)
            }
            #[cfg(feature = "scram")]
            (State::Keys(mechanism, first), answer) => self.on_keys(env, mechanism, *first, answer),
            (state, _) => {
                let _ = env;
                self.state = state;
            }
        }
    }

    #[cfg(feature = "scram")]
    fn on_keys(
        &mut self,
        env: &mut Env<'_>,
        mechanism: Mechanism,
        first: super::scram::ClientFirst,
        answer: Answer,
    ) {
        use base64::Engine as _;

        let hash = super::initiator::hash_of(mechanism);
        let (keys, known) = match answer {
            Answer::Keys(keys) if keys.hash == hash => (keys, true),
            Answer::Refuse(refusal) => return self.refuse(refusal),
            _ => (self.decoy(env, hash, &first.username), false),
        };
        let mut nonce = [0_u8; 18];
        env.entropy.fill(&mut nonce);
        let nonce = base64::engine::general_purpose::STANDARD.encode(nonce);
        let server = super::scram::Server::new(first, keys, &nonce, known);
        self.actions.push_back(ReceiverAction::Send(wire::message(
            "challenge",
            Some(server.first().as_bytes()),
        )));
        self.state = State::Challenged(mechanism, Box::new(server));
    }

    /// Keys for a user that does not exist: the same salt every time, and no password fits.
    #[cfg(feature = "scram")]
    fn decoy(&mut self, env: &mut Env<'_>, hash: Hash, username: &str) -> StoredKeys {
        let key = self.decoy.0.get_or_insert_with(|| {
            let mut key = vec![0_u8; 32];
            env.entropy.fill(&mut key);
            Secret::new(key)
        });
        let mut salt = hash.hmac(key.expose(), username.as_bytes());
        salt.truncate(16);
        let mut stored = vec![0_u8; hash.len()];
        env.entropy.fill(&mut stored);
        StoredKeys::new(
            hash,
            salt,
            self.decoy.1,
            Secret::new(stored.clone()),
            Secret::new(stored),
        )
    }
}
