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

#[cfg(feature = "scram")]
use super::HtVersion;
use minidom::Element;
use onetrip_stream::{Env, Secret, ns};
#[cfg(feature = "scram")]
use onetrip_stream::{ResponderProof, TokenProof};

use super::server::{Exchange, Step};
use super::{
    BindingType, ChannelBinding, Error, Failure, Hash, Mechanism, Refusal, StoredKeys, wire,
};

/// What a receiving entity offers.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReceiverConfig {
    /// The mechanisms, in the order they are shown. Those that need a certificate or a channel binding are
    /// shown only where there is one.
    pub offered: Vec<Mechanism>,
    /// The HT mechanisms for which tokens are taken, within SASL2 only: FAST and instant stream resumption show them in
    /// features of their own. Default: none.
    pub tokens: Vec<Mechanism>,
    /// How their messages are laid out.
    #[cfg(feature = "scram")]
    pub ht: HtVersion,
    /// Whether SCRAM says what has been advertised, so that a client can see whether it was changed (XEP-0474).
    /// Default: no, as old clients may stumble over it.
    pub protects_lists: bool,
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
            tokens: Vec::new(),
            #[cfg(feature = "scram")]
            ht: HtVersion::default(),
            protects_lists: false,
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
    /// Whether a token that was handed out is proved by this: [`Answer::Token`] or [`Answer::Refuse`].
    #[cfg(feature = "scram")]
    Token {
        /// The authentication identity.
        username: String,
        /// The mechanism, which must be the one that the token was handed out for.
        mechanism: Mechanism,
        /// The proof, which whoever keeps the tokens checks.
        proof: TokenProof,
    },
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
    /// Yes, as this identity, and this proves to it that the token is known here.
    #[cfg(feature = "scram")]
    Token {
        /// Who it is.
        identity: String,
        /// What [`TokenProof::check`] has yielded.
        proof: ResponderProof,
    },
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
    exchange: Exchange,
    /// How many are left; none once it is over.
    attempts: u8,
    actions: VecDeque<ReceiverAction>,
}

impl Receiver {
    /// `binding` is what the TLS session yields, `certified` whether the client showed a certificate.
    #[must_use]
    pub fn new(config: &ReceiverConfig, binding: Option<ChannelBinding>, certified: bool) -> Self {
        let types = binding.iter().flat_map(ChannelBinding::types).collect();
        Self::offering(config, Exchange::new(config, binding, types, certified))
    }

    /// For features that are shown before the handshake has ended (QS-R2): the -PLUS mechanisms are offered, and
    /// [`Receiver::bind_channel`] is called when it has.
    #[must_use]
    pub fn before_binding(config: &ReceiverConfig, known: Option<ChannelBinding>) -> Self {
        let types = BindingType::expected(known.as_ref());
        Self::offering(config, Exchange::new(config, known, types, false))
    }

    /// What the TLS session yields, now that its handshake has ended.
    pub fn bind_channel(&mut self, binding: Option<ChannelBinding>) {
        self.exchange.bind_channel(binding);
    }

    fn offering(config: &ReceiverConfig, exchange: Exchange) -> Self {
        Self {
            exchange,
            attempts: config.attempts.max(1),
            actions: VecDeque::new(),
        }
    }

    /// The feature elements: the mechanisms and, with -PLUS among them, the channel binding types (XEP-0440).
    #[must_use]
    pub fn features(&self) -> Vec<Element> {
        let mut features = vec![wire::mechanisms(self.exchange.offered())];
        if !self.exchange.types().is_empty() {
            features.push(wire::channel_bindings(self.exchange.types()));
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
        self.exchange.is_deciding()
    }

    /// Takes one input. An answer that was not asked for is ignored.
    ///
    /// # Errors
    /// [`Error::OutOfTurn`] for an element that no client sends here.
    pub fn handle(&mut self, env: &mut Env<'_>, input: ReceiverInput<'_>) -> Result<(), Error> {
        let step = match input {
            ReceiverInput::Answer(answer) => self.exchange.answer(env, answer),
            ReceiverInput::Element(element) if !element.has_ns(ns::SASL) => {
                return Err(Error::OutOfTurn);
            }
            ReceiverInput::Element(element) => match element.name() {
                "auth" | "response" | "abort" if self.attempts == 0 => Step::Nothing,
                "auth" => self.on_auth(element),
                "response" => match wire::data(element) {
                    Ok(data) => self.exchange.respond(&data.unwrap_or_default()),
                    Err(_) => Step::Refuse(Refusal::IncorrectEncoding),
                },
                "abort" => Step::Refuse(Refusal::Aborted),
                _ => return Err(Error::OutOfTurn),
            },
        };
        self.take(step);
        Ok(())
    }

    fn on_auth(&mut self, element: &Element) -> Step {
        match wire::data(element) {
            Ok(first) => {
                let mechanism = element.attr("mechanism");
                // No inline element says here what a token is for, so none is taken.
                let known = mechanism
                    .and_then(Mechanism::from_name)
                    .filter(|mechanism| self.exchange.offered().contains(mechanism));
                self.exchange
                    .begin(known.map(Mechanism::name), first.as_deref())
            }
            Err(_) => Step::Refuse(Refusal::IncorrectEncoding),
        }
    }

    fn take(&mut self, step: Step) {
        let action = match step {
            Step::Nothing => return,
            Step::AskFirst => ReceiverAction::Send(wire::message("challenge", None)),
            Step::Challenge(data) => ReceiverAction::Send(wire::message("challenge", Some(&data))),
            Step::Request(request) => ReceiverAction::Request(request),
            Step::Refuse(refusal) => return self.refuse(refusal),
            Step::Accept {
                mechanism,
                identity,
                proof,
            } => return self.accept(mechanism, identity, proof.as_deref()),
        };
        self.actions.push_back(action);
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.exchange.abandon();
        self.attempts = self.attempts.saturating_sub(1);
        let exhausted = self.attempts == 0;
        self.actions
            .push_back(ReceiverAction::Send(Failure::new(refusal).to_element()));
        self.actions
            .push_back(ReceiverAction::Event(ReceiverEvent::Refused {
                refusal,
                exhausted,
            }));
    }

    fn accept(&mut self, mechanism: Mechanism, identity: String, proof: Option<&[u8]>) {
        self.attempts = 0;
        // QS-24: the proof rides in success, so that success is the last word.
        self.actions
            .push_back(ReceiverAction::Send(wire::message("success", proof)));
        self.actions
            .push_back(ReceiverAction::Event(ReceiverEvent::Authenticated {
                mechanism,
                identity,
            }));
    }
}
