//! The initiating entity's side of SASL2 (XEP-0388).
//!
//! | state | takes | sends | leads to |
//! |---|---|---|---|
//! | new | start | `<authenticate/>` | exchanging |
//! | exchanging | `<challenge/>`, the derived key | `<response/>` | exchanging |
//! | exchanging | `<success/>`, with the server's proof where there is one | | over |
//! | exchanging | `<continue/>`, likewise | `<abort/>` if no task is known | choosing, or aborting |
//! | choosing | the choice of a task | `<next/>` | at task |
//! | at task | `<task-data/>` | `<task-data/>` | at task |
//! | at task | `<continue/>`, `<success/>` | | choosing, or over |
//! | any of these | abort | `<abort/>` | aborting |
//! | any of these | `<failure/>` | | over |
//! | any of these | anything else | | broken |

use std::collections::VecDeque;

use minidom::Element;
use onetrip_stream::{Build, Env, Jid};

use super::{Action, Error, Event, Failure, Input, Request, Success, wire};
use crate::sasl::client::{Exchange, Reply};
use crate::sasl::{ChannelBinding, Choice, InitiatorConfig, Lists, SaltedPassword};

#[derive(Debug)]
enum State {
    New,
    Exchanging(Exchange),
    Choosing(Vec<String>),
    AtTask,
    /// Given up; the server has yet to say that it has seen it.
    Aborting,
    Over,
    Broken(Error),
}

/// One authentication.
///
/// ```
/// # use onetrip_negotiation::sasl::{InitiatorConfig, choose};
/// # use onetrip_negotiation::sasl2::{Action, Event, Initiator, Input, Request};
/// # use onetrip_stream::{Env, Instant, Secret};
/// # use minidom::Element;
/// # let mut entropy = |out: &mut [u8]| out.fill(7);
/// # let mut env = Env::new(Instant::EPOCH, &mut entropy);
/// let config = InitiatorConfig::password("juliet", Secret::from("r0m30myr0m30"));
/// let choice = choose(&config, &["PLAIN".to_owned()], &[], None, 0).unwrap();
/// let mut sasl = Initiator::new(&config, choice, None, Request::new());
/// sasl.handle(&mut env, Input::Start).unwrap();
/// assert!(matches!(sasl.poll_action(), Some(Action::Send { last: true, .. })));
/// let success: Element = "<success xmlns='urn:xmpp:sasl:2'>\
///     <authorization-identifier>juliet@capulet.lit</authorization-identifier></success>".parse().unwrap();
/// sasl.handle(&mut env, Input::Element(&success)).unwrap();
/// let Some(Action::Event(Event::Authenticated(success))) = sasl.poll_action() else { panic!() };
/// assert_eq!(success.identifier.to_string(), "juliet@capulet.lit");
/// ```
#[derive(Debug)]
pub struct Initiator {
    config: InitiatorConfig,
    choice: Choice,
    binding: Option<ChannelBinding>,
    lists: Option<Lists>,
    request: Request,
    state: State,
    actions: VecDeque<Action>,
}

impl Initiator {
    /// An authentication by a mechanism that was [chosen](super::choose).
    #[must_use]
    pub fn new(
        config: &InitiatorConfig,
        choice: Choice,
        binding: Option<ChannelBinding>,
        request: Request,
    ) -> Self {
        Self {
            config: config.clone(),
            choice,
            binding,
            lists: None,
            request,
            state: State::New,
            actions: VecDeque::new(),
        }
    }

    /// What the server has advertised on this very stream: [`Offer::lists`](super::Offer::lists). Told at any time
    /// before its first challenge, it is compared with what the server says it was, by SCRAM (XEP-0474).
    pub fn expect(&mut self, lists: Lists) {
        match &mut self.state {
            State::Exchanging(exchange) => exchange.expect(lists),
            _ => self.lists = Some(lists),
        }
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Whether it has begun and is not over: nothing but SASL2 may arrive.
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(
            self.state,
            State::Exchanging(_) | State::Choosing(_) | State::AtTask | State::Aborting
        )
    }

    /// Takes one input. What was not asked for by the machine changes nothing.
    ///
    /// # Errors
    /// [`Error`] when the server broke a rule; final, and never followed by [`Event::Authenticated`].
    pub fn handle(&mut self, env: &mut Env<'_>, input: Input<'_>) -> Result<(), Error> {
        if let State::Broken(error) = &self.state {
            return Err(error.clone());
        }
        let result = match input {
            Input::Element(element) => self.on_element(element),
            Input::Intruder if self.is_running() => Err(Error::Intruder),
            Input::Intruder => Ok(()),
            Input::Start => {
                self.start(env);
                Ok(())
            }
            Input::Derived(salted) => {
                self.on_derived(&salted);
                Ok(())
            }
            Input::Next { task, children } => {
                self.next(task, children);
                Ok(())
            }
            Input::TaskData(children) => {
                self.task_data(children);
                Ok(())
            }
            Input::Abort => {
                self.abort();
                Ok(())
            }
        };
        result.inspect_err(|error| self.state = State::Broken(error.clone()))
    }

    fn element(&self, name: &str) -> Element {
        Element::bare(name, self.request.version.namespace())
    }

    fn send(&mut self, element: Element, last: bool) {
        self.actions.push_back(Action::Send { element, last });
    }

    fn event(&mut self, event: Event) {
        self.actions.push_back(Action::Event(event));
    }

    fn start(&mut self, env: &mut Env<'_>) {
        if !matches!(self.state, State::New) {
            return;
        }
        match Exchange::start(env, &self.config, &self.choice, self.binding.as_ref()) {
            Err(reason) => {
                self.state = State::Over;
                let application = Vec::new();
                self.event(Event::Refused(Failure {
                    reason,
                    application,
                }));
            }
            Ok(started) => {
                let mut exchange = started.exchange;
                if let Some(lists) = self.lists.take() {
                    exchange.expect(lists);
                }
                self.state = State::Exchanging(exchange);
                let element = self.authenticate(started.first.expose());
                self.send(element, started.last);
            }
        }
    }

    /// `<authenticate/>` (XEP-0388 §2.3).
    fn authenticate(&self, first: &[u8]) -> Element {
        let version = self.request.version;
        let element = self
            .element("authenticate")
            .with_attr("mechanism", self.choice.mechanism().name())
            .with_child(wire::message(version, "initial-response", first));
        let agent = self.request.user_agent.as_ref();
        let agent = agent.map(|agent| agent.to_element(version));
        wire::with_children(
            element,
            agent.into_iter().chain(self.request.inline.clone()),
        )
    }

    fn on_element(&mut self, element: &Element) -> Result<(), Error> {
        let version = self.request.version;
        if !self.is_running() || !element.has_ns(version.namespace()) {
            return Err(Error::OutOfTurn);
        }
        match (element.name(), &mut self.state) {
            ("failure", _) => {
                self.state = State::Over;
                self.event(Event::Refused(Failure::read(element, version)));
                Ok(())
            }
            ("challenge", State::Exchanging(exchange)) => {
                match exchange.challenge(&wire::data(element)?)? {
                    Reply::Derive(derivation) => self.actions.push_back(Action::Derive(derivation)),
                    Reply::Empty => self.send(wire::message(version, "response", b""), true),
                }
                Ok(())
            }
            ("success", State::Exchanging(exchange)) => {
                let proof = wire::child_data(element, version, "additional-data")?;
                exchange.finish(proof.as_deref())?;
                self.succeed(element)
            }
            ("success", State::AtTask) => self.succeed(element),
            ("continue", State::Exchanging(exchange)) => {
                let proof = wire::child_data(element, version, "additional-data")?;
                exchange.finish(proof.as_deref())?;
                self.go_on(element)
            }
            ("continue", State::AtTask) => self.go_on(element),
            ("task-data", State::AtTask) => {
                self.event(Event::TaskData(wire::foreign(element, version)));
                Ok(())
            }
            _ => Err(Error::OutOfTurn),
        }
    }

    /// The server has proved itself and accepted us; what it says besides is believed from here on.
    fn succeed(&mut self, element: &Element) -> Result<(), Error> {
        let version = self.request.version;
        let identifier = wire::only(element, version, "authorization-identifier")?
            .and_then(|child| child.text().trim().parse::<Jid>().ok())
            .ok_or(Error::NoIdentifier)?;
        self.state = State::Over;
        self.event(Event::Authenticated(Success {
            mechanism: self.choice.mechanism(),
            identifier,
            inline: wire::foreign(element, version),
        }));
        Ok(())
    }

    fn go_on(&mut self, element: &Element) -> Result<(), Error> {
        let version = self.request.version;
        let offered = wire::tasks(element, version)?;
        let known = |task: &&String| self.request.tasks.contains(task);
        let tasks: Vec<String> = offered.iter().filter(known).cloned().collect();
        if tasks.is_empty() {
            self.abort();
            self.event(Event::UnknownTasks(offered));
            return Ok(());
        }
        self.state = State::Choosing(tasks.clone());
        let text = wire::text(element, version);
        self.event(Event::Tasks { tasks, text });
        Ok(())
    }

    fn on_derived(&mut self, salted: &SaltedPassword) {
        let State::Exchanging(exchange) = &mut self.state else {
            return;
        };
        if let Some(last) = exchange.derived(salted) {
            let response = wire::message(self.request.version, "response", last.expose());
            self.send(response, true);
        }
    }

    fn next(&mut self, task: &str, children: Vec<Element>) {
        match &self.state {
            State::Choosing(tasks) if tasks.iter().any(|known| known == task) => {
                self.state = State::AtTask;
                let next = self.element("next").with_attr("task", task);
                self.send(wire::with_children(next, children), false);
            }
            _ => {}
        }
    }

    fn task_data(&mut self, children: Vec<Element>) {
        if matches!(self.state, State::AtTask) {
            let data = self.element("task-data");
            self.send(wire::with_children(data, children), false);
        }
    }

    fn abort(&mut self) {
        if self.is_running() && !matches!(self.state, State::Aborting) {
            self.state = State::Aborting;
            self.send(self.element("abort"), true);
        }
    }
}
