//! The initiating entity's side of SASL (RFC 6120 §6.4).
//!
//! | state | takes | sends | leads to |
//! |---|---|---|---|
//! | new | start | `<auth/>` | challenged, or answered if that was all |
//! | challenged | `<challenge/>` | asks for a key | deriving |
//! | deriving | the key | `<response/>`, the last | answered |
//! | answered | `<success/>`, with the server's proof where there is one | | authenticated |
//! | any | `<failure/>` | | refused |

use std::collections::VecDeque;

use minidom::Element;
use onetrip_stream::{Build, Env, ns};

use super::{
    ChannelBinding, Choice, Derivation, Error, Failure, InitiatorConfig, Mechanism, SaltedPassword,
    wire,
};

/// What the initiator is given.
#[derive(Debug)]
#[non_exhaustive]
pub enum Input<'a> {
    /// Begin.
    Start,
    /// An element of the SASL namespace.
    Element(&'a Element),
    /// The key that was asked for.
    Derived(SaltedPassword),
    /// Give up.
    Abort,
}

/// What the caller must do.
#[derive(Debug)]
#[must_use = "an action that is not carried out leaves the exchange hanging"]
#[non_exhaustive]
pub enum Action {
    /// Send this.
    Send {
        /// The element.
        element: Element,
        /// Whether it is believed to be our last message: then a restart may ride behind it (QS-23).
        last: bool,
    },
    /// Derive a key and give it in with [`Input::Derived`].
    Derive(Derivation),
    /// It is over.
    Event(Event),
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The server accepted us and, where the mechanism provides for it, proved itself.
    Authenticated {
        /// The mechanism.
        mechanism: Mechanism,
    },
    /// The server refused us.
    Refused(Failure),
}

#[derive(Debug)]
enum State {
    New,
    /// A single-step mechanism has said all it has to say.
    Answered,
    #[cfg(feature = "scram")]
    Scram(Box<super::scram::Client>),
    Over,
}

/// One authentication.
///
/// ```
/// # use onetrip_negotiation::sasl::{Action, Event, Initiator, InitiatorConfig, Input, choose};
/// # use onetrip_stream::{Env, Instant, Secret, ns};
/// # use minidom::Element;
/// # let mut entropy = |out: &mut [u8]| out.fill(7);
/// # let mut env = Env::new(Instant::EPOCH, &mut entropy);
/// let config = InitiatorConfig::password("juliet", Secret::from("r0m30myr0m30"));
/// let choice = choose(&config, &["PLAIN".to_owned()], &[], None, 0).unwrap();
/// let mut sasl = Initiator::new(&config, choice, None);
/// sasl.handle(&mut env, Input::Start).unwrap();
/// let Some(Action::Send { element, last: true }) = sasl.poll_action() else { panic!() };
/// assert_eq!(element.text(), "AGp1bGlldAByMG0zMG15cjBtMzA=");
/// sasl.handle(&mut env, Input::Element(&Element::bare("success", ns::SASL))).unwrap();
/// assert!(matches!(sasl.poll_action(), Some(Action::Event(Event::Authenticated { .. }))));
/// ```
#[derive(Debug)]
pub struct Initiator {
    config: InitiatorConfig,
    choice: Choice,
    #[cfg_attr(not(feature = "scram"), expect(dead_code, reason = "only SCRAM binds"))]
    binding: Option<ChannelBinding>,
    state: State,
    failed: Option<Error>,
    actions: VecDeque<Action>,
}

impl Initiator {
    /// An authentication by the mechanism that [`choose`](super::choose) chose.
    #[must_use]
    pub fn new(config: &InitiatorConfig, choice: Choice, binding: Option<ChannelBinding>) -> Self {
        Self {
            config: config.clone(),
            choice,
            binding,
            state: State::New,
            failed: None,
            actions: VecDeque::new(),
        }
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Takes one input. A key that was not asked for, and a second start, change nothing.
    ///
    /// # Errors
    /// [`Error`] when the server broke a rule; final, and never followed by [`Event::Authenticated`].
    pub fn handle(&mut self, env: &mut Env<'_>, input: Input<'_>) -> Result<(), Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = match input {
            Input::Start => {
                self.start(env);
                Ok(())
            }
            Input::Element(element) => self.on_element(element),
            Input::Derived(salted) => {
                self.on_derived(&salted);
                Ok(())
            }
            Input::Abort => {
                self.send(wire::message("abort", None), true);
                self.state = State::Over;
                Ok(())
            }
        };
        result.inspect_err(|error| {
            self.failed = Some(error.clone());
            self.state = State::Over;
        })
    }

    fn send(&mut self, element: Element, last: bool) {
        self.actions.push_back(Action::Send { element, last });
    }

    fn start(&mut self, env: &mut Env<'_>) {
        if !matches!(self.state, State::New) {
            return;
        }
        let mechanism = self.choice.mechanism();
        let authzid = self.config.authzid.as_deref().unwrap_or_default();
        let first = match mechanism {
            Mechanism::Plain => {
                let password = self
                    .config
                    .password
                    .as_ref()
                    .map(|password| password.expose())
                    .unwrap_or_default();
                [
                    authzid.as_bytes(),
                    b"\0",
                    self.config.username.as_bytes(),
                    b"\0",
                    password,
                ]
                .concat()
            }
            Mechanism::External => authzid.as_bytes().to_vec(),
            Mechanism::Anonymous => Vec::new(),
            _ => return self.start_scram(env),
        };
        let first = onetrip_stream::Secret::new(first);
        self.state = State::Answered;
        self.send(
            wire::message("auth", Some(first.expose())).with_attr("mechanism", mechanism.name()),
            true,
        );
    }

    #[cfg(not(feature = "scram"))]
    fn start_scram(&mut self, _env: &mut Env<'_>) {
        // `choose` never chooses what is not built in.
    }

    #[cfg(feature = "scram")]
    fn start_scram(&mut self, env: &mut Env<'_>) {
        use super::Refusal;
        use super::scram::{Client, ClientStart};
        use base64::Engine as _;
        use onetrip_stream::Secret;

        let prepared = |text: &str| {
            stringprep::saslprep(text)
                .map(|text| text.into_owned())
                .ok()
        };
        let password = self
            .config
            .password
            .as_ref()
            .and_then(|password| core::str::from_utf8(password.expose()).ok())
            .and_then(prepared);
        let (Some(username), Some(password)) = (prepared(&self.config.username), password) else {
            // RFC 4013 §2.3: characters that cannot be in a name or password cannot be the right ones either.
            let failure = Failure {
                text: Some("SASLprep refuses the name or the password".to_owned()),
                ..Failure::new(Refusal::NotAuthorized)
            };
            self.state = State::Over;
            return self
                .actions
                .push_back(Action::Event(Event::Refused(failure)));
        };
        let mut nonce = [0_u8; 18];
        env.entropy.fill(&mut nonce);
        let mechanism = self.choice.mechanism();
        let client = Client::new(ClientStart {
            hash: hash_of(mechanism),
            flag: self.choice.flag(self.binding.is_some()),
            binding: self.binding.as_ref(),
            username: &username,
            authzid: self.config.authzid.as_deref(),
            password: Secret::from(password),
            nonce: base64::engine::general_purpose::STANDARD.encode(nonce),
            iterations: self.config.iterations.clone(),
        });
        let auth = wire::message("auth", Some(client.first().as_bytes()))
            .with_attr("mechanism", mechanism.name());
        self.state = State::Scram(Box::new(client));
        self.send(auth, false);
    }

    fn on_element(&mut self, element: &Element) -> Result<(), Error> {
        if !element.has_ns(ns::SASL) {
            return Err(Error::OutOfTurn);
        }
        match (element.name(), &mut self.state) {
            (_, State::New | State::Over) => Err(Error::OutOfTurn),
            ("failure", _) => {
                self.state = State::Over;
                self.actions
                    .push_back(Action::Event(Event::Refused(Failure::read(element))));
                Ok(())
            }
            ("success", _) => self.on_success(element),
            #[cfg(feature = "scram")]
            ("challenge", State::Scram(client)) => {
                let challenge = wire::data(element)?.unwrap_or_default();
                if client.awaits_signature() {
                    // Servers before RFC 6120 put the proof in a challenge of its own.
                    client.server_final(&challenge)?;
                    self.send(wire::message("response", None), true);
                } else {
                    let derivation = client.server_first(&challenge)?;
                    self.actions.push_back(Action::Derive(derivation));
                }
                Ok(())
            }
            _ => Err(Error::OutOfTurn),
        }
    }

    fn on_success(&mut self, element: &Element) -> Result<(), Error> {
        #[cfg(feature = "scram")]
        if let State::Scram(client) = &mut self.state {
            // QS-27: success without proof is no success, however early it comes.
            if !client.is_done() {
                let proof = wire::data(element)?.unwrap_or_default();
                client
                    .server_final(&proof)
                    .map_err(|_| Error::ServerSignature)?;
            }
        }
        wire::data(element)?;
        self.state = State::Over;
        let mechanism = self.choice.mechanism();
        self.actions
            .push_back(Action::Event(Event::Authenticated { mechanism }));
        Ok(())
    }

    #[cfg(not(feature = "scram"))]
    fn on_derived(&mut self, _salted: &SaltedPassword) {}

    #[cfg(feature = "scram")]
    fn on_derived(&mut self, salted: &SaltedPassword) {
        let State::Scram(client) = &mut self.state else {
            return;
        };
        if let Some(last) = client.derived(salted) {
            self.send(wire::message("response", Some(last.as_bytes())), true);
        }
    }
}

#[cfg(feature = "scram")]
pub(crate) const fn hash_of(mechanism: Mechanism) -> super::Hash {
    match mechanism {
        Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => super::Hash::Sha256,
        _ => super::Hash::Sha1,
    }
}
