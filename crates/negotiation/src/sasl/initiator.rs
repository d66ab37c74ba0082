//! The initiating entity's side of SASL (RFC 6120 §6.4).
//!
//! | state | takes | sends | leads to |
//! |---|---|---|---|
//! | new | start | `<auth/>` | running |
//! | running | `<challenge/>` | asks for a key | running |
//! | running | the key | `<response/>`, the last | running |
//! | running | `<success/>`, with the server's proof where there is one | | over: authenticated |
//! | running | `<failure/>` | | over: refused |
//! | any | anything else | | failed |

use std::collections::VecDeque;

use minidom::Element;
use onetrip_stream::{Build, Env, ns};

use super::client::{Exchange, Reply};
use super::{
    ChannelBinding, Choice, Derivation, Error, Failure, InitiatorConfig, Lists, Mechanism,
    SaltedPassword, wire,
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
    Running(Exchange),
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
    binding: Option<ChannelBinding>,
    lists: Option<Lists>,
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
            lists: None,
            state: State::New,
            failed: None,
            actions: VecDeque::new(),
        }
    }

    /// What the server has advertised on this very stream; told at any time before its first challenge, it is compared
    /// with what the server says it was, by SCRAM (XEP-0474).
    pub fn expect(&mut self, lists: Lists) {
        match &mut self.state {
            State::Running(exchange) => exchange.expect(lists),
            _ => self.lists = Some(lists),
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
        match Exchange::start(env, &self.config, &self.choice, self.binding.as_ref()) {
            Err(failure) => self.refused(failure),
            Ok(started) => {
                let mut exchange = started.exchange;
                if let Some(lists) = self.lists.take() {
                    exchange.expect(lists);
                }
                self.state = State::Running(exchange);
                let auth = wire::message("auth", Some(started.first.expose()));
                let mechanism = self.choice.mechanism().name();
                self.send(auth.with_attr("mechanism", mechanism), started.last);
            }
        }
    }

    fn refused(&mut self, failure: Failure) {
        self.state = State::Over;
        self.actions
            .push_back(Action::Event(Event::Refused(failure)));
    }

    fn on_element(&mut self, element: &Element) -> Result<(), Error> {
        if !element.has_ns(ns::SASL) {
            return Err(Error::OutOfTurn);
        }
        let State::Running(exchange) = &mut self.state else {
            return Err(Error::OutOfTurn);
        };
        match element.name() {
            "failure" => {
                self.refused(Failure::read(element));
                Ok(())
            }
            "success" => {
                exchange.finish(wire::data(element)?.as_deref())?;
                self.state = State::Over;
                let mechanism = self.choice.mechanism();
                self.actions
                    .push_back(Action::Event(Event::Authenticated { mechanism }));
                Ok(())
            }
            "challenge" => {
                let challenge = wire::data(element)?.unwrap_or_default();
                match exchange.challenge(&challenge)? {
                    Reply::Derive(derivation) => {
                        self.actions.push_back(Action::Derive(derivation));
                    }
                    Reply::Empty => self.send(wire::message("response", None), true),
                }
                Ok(())
            }
            _ => Err(Error::OutOfTurn),
        }
    }

    fn on_derived(&mut self, salted: &SaltedPassword) {
        let State::Running(exchange) = &mut self.state else {
            return;
        };
        if let Some(last) = exchange.derived(salted) {
            self.send(wire::message("response", Some(last.expose())), true);
        }
    }
}
