//! The two machines: who enables and resumes, and who grants it.
//!
//! | state | initiator | receiver |
//! |---|---|---|
//! | off | `enable`, `resume` | `<enable/>`, `<resume/>` ask for a decision |
//! | asked | `<enabled/>`, `<resumed/>`, `<failed/>` | the decision |
//! | active | `<r/>`, `<a/>`, stanzas | the same |
//!
//! A resumption has three steps, the same wherever the request came from: decide, reply, replay.

use std::collections::VecDeque;

use bytes::Bytes;
use minidom::Element;
use onetrip_stream::{Condition, StreamError};

use crate::{
    AckPolicy, Count, Entry, Granted, Handle, Ledger, Nonza, NonzaError, QueueLimits, Session,
    Stage, TooHigh,
};

/// What the caller must do, in order.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "an action that is not carried out leaves the peer waiting"]
#[non_exhaustive]
pub enum Action {
    /// Send this element.
    Send(Element),
    /// Write this stanza: one that was handed over, or one that is sent again.
    Write(Bytes),
    /// Decide, and answer (the receiver only).
    Request(Request),
    /// Take note.
    Event(Event),
}

/// A decision for the receiver's caller to make.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// Whether and how to grant management: [`Receiver::grant`] or [`Receiver::refuse`].
    Enable {
        /// Whether resumption is wanted.
        resume: bool,
        /// For how long, in seconds.
        max: Option<u32>,
    },
    /// Whether this session exists and is the peer's: [`Receiver::resume`] or [`Receiver::refuse`]. The same answer
    /// for a session that does not exist and for one that is somebody else's.
    Resume {
        /// The session.
        previd: String,
    },
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Management is on.
    Enabled(Granted),
    /// The session goes on: nothing is to be negotiated or fetched anew.
    Resumed,
    /// It was refused. Stanzas that were never acknowledged come in [`Event::HandedBack`].
    Refused {
        /// The stanza error condition, if one was given.
        condition: Option<String>,
    },
    /// What has become of a stanza.
    Stage(Stage),
    /// These were sent and not acknowledged, and this machine will not send them again.
    HandedBack(Vec<Entry>),
}

/// The peer broke a rule. Final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It acknowledged what was never sent.
    #[error(transparent)]
    TooHigh(#[from] TooHigh),
    /// An element that does not parse.
    #[error(transparent)]
    Nonza(#[from] NonzaError),
    /// An element that is out of place.
    #[error("an element of stream management out of turn")]
    OutOfTurn,
}

impl Error {
    /// The stream error to answer with.
    #[must_use]
    pub fn stream_error(&self) -> StreamError {
        match self {
            Self::TooHigh(error) => error.stream_error(),
            Self::Nonza(_) => StreamError::new(Condition::UndefinedCondition),
            Self::OutOfTurn => StreamError::new(Condition::UnsupportedStanzaType),
        }
    }

    /// The section that was violated.
    #[must_use]
    pub fn source_section(&self) -> &'static str {
        match self {
            Self::TooHigh(_) => "XEP-0198 §6",
            Self::Nonza(_) => "XEP-0198 §11",
            Self::OutOfTurn => "XEP-0198 §3",
        }
    }
}

/// How much is kept, and when acknowledgements are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Config {
    /// Bounds of the queue.
    pub limits: QueueLimits,
    /// When to ask and to answer.
    pub policy: AckPolicy,
}

/// What both machines share once counting has begun.
#[derive(Debug)]
struct Books {
    ledger: Option<Ledger>,
    actions: VecDeque<Action>,
}

impl Books {
    fn push(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    fn say(&mut self, nonza: &Nonza) {
        self.push(Action::Send(nonza.to_element()));
    }

    fn drain_stages(&mut self) {
        while let Some(stage) = self.ledger.as_mut().and_then(Ledger::poll_stage) {
            self.push(Action::Event(Event::Stage(stage)));
        }
    }

    /// Request before data, acknowledgement after it, all in one write.
    fn send(&mut self, bytes: Bytes) -> Option<Handle> {
        let Some(ledger) = &mut self.ledger else {
            self.push(Action::Write(bytes));
            return None;
        };
        let handle = ledger.send(bytes.clone());
        let (asks, answers) = (ledger.request_due(), ledger.volunteered());
        if asks {
            self.say(&Nonza::Request);
        }
        self.push(Action::Write(bytes));
        if let Some(answer) = answers {
            self.say(&answer);
        }
        self.drain_stages();
        Some(handle)
    }

    fn arrived(&mut self) {
        if let Some(ledger) = &mut self.ledger {
            ledger.arrived();
        }
    }

    fn handled(&mut self, stanzas: u32) {
        let answer = self.ledger.as_mut().and_then(|ledger| {
            ledger.handled(stanzas);
            ledger.volunteered()
        });
        if let Some(answer) = answer {
            self.say(&answer);
        }
    }

    /// `<r/>` and `<a/>`; `false` for anything else.
    fn on_books(&mut self, nonza: &Nonza) -> Result<bool, Error> {
        let Some(ledger) = &mut self.ledger else {
            return Ok(false);
        };
        match nonza {
            Nonza::Request => {
                let answer = ledger.requested();
                self.say(&answer);
            }
            Nonza::Ack(h) => ledger.acknowledged(*h)?,
            _ => return Ok(false),
        }
        self.drain_stages();
        Ok(true)
    }

    /// The third step of every resumption: what the peer has not handled is sent again, in order, before anything new.
    fn replay(&mut self, h: Count) -> Result<(), Error> {
        if let Some(ledger) = &mut self.ledger {
            ledger.acknowledged(h)?;
            let again: Vec<Bytes> = ledger
                .queue()
                .iter()
                .map(|entry| entry.bytes.clone())
                .collect();
            self.drain_stages();
            again
                .into_iter()
                .for_each(|bytes| self.push(Action::Write(bytes)));
        }
        Ok(())
    }

    fn close(&mut self) {
        if let Some(answer) = self.ledger.as_mut().and_then(Ledger::last_ack) {
            self.say(&answer);
        }
        self.hand_back();
    }

    fn hand_back(&mut self) {
        let entries = self
            .ledger
            .take()
            .map(|mut ledger| ledger.hand_back())
            .unwrap_or_default();
        if !entries.is_empty() {
            self.push(Action::Event(Event::HandedBack(entries)));
        }
    }
}

#[derive(Debug)]
enum InitiatorState {
    Off,
    Enabling,
    /// Stanzas that are handed over meanwhile wait behind those of the session.
    Resuming {
        id: String,
    },
    Active(Granted),
}

/// The end that asks for management.
///
/// ```
/// # use onetrip_stream_management::{Action, Config, Count, Event, Initiator, Nonza, Session};
/// // A connection was cut; on the next one the session goes on.
/// let session = Session::new("s1", "juliet@capulet.lit", Count::new(0), Count::new(7), vec!["<message/>".into()]);
/// let mut machine = Initiator::new(Config::default());
/// machine.resume(session);
/// let Some(Action::Send(request)) = machine.poll_action() else { panic!() };
/// assert_eq!((request.name(), request.attr("h")), ("resume", Some("7")));
/// let answer = Nonza::Resumed { previd: "s1".into(), h: Count::new(0) };
/// machine.handle(&answer.to_element()).unwrap();
/// assert_eq!(machine.poll_action(), Some(Action::Event(Event::Resumed)));
/// assert_eq!(machine.poll_action(), Some(Action::Write("<message/>".into())));
/// ```
#[derive(Debug)]
pub struct Initiator {
    config: Config,
    state: InitiatorState,
    books: Books,
}

impl Initiator {
    /// An end that has asked for nothing yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            state: InitiatorState::Off,
            books: Books {
                ledger: None,
                actions: VecDeque::new(),
            },
        }
    }

    /// The next thing to do, in order.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.books.actions.pop_front()
    }

    /// Asks for management. Our stanzas count from here on, before the answer is seen (Smack 96bb37f92).
    pub fn enable(&mut self, resume: bool, max: Option<u32>) {
        if matches!(self.state, InitiatorState::Off) {
            self.books.ledger = Some(Ledger::new(self.config.limits, self.config.policy));
            self.state = InitiatorState::Enabling;
            self.books.say(&Nonza::Enable { resume, max });
        }
    }

    /// Asks to go on with a session, after authentication and instead of binding a resource (XEP-0198 §5).
    pub fn resume(&mut self, session: Session) {
        if matches!(self.state, InitiatorState::Off) {
            self.books.say(&Nonza::Resume {
                previd: session.id.clone(),
                h: session.handled,
            });
            self.books.ledger = Some(session.ledger(self.config.limits, self.config.policy));
            self.state = InitiatorState::Resuming { id: session.id };
        }
    }

    /// A stanza is to be sent; the handle names it until it is settled. `None` when nothing is counted yet. During a
    /// resumption it waits behind what is to be sent again.
    pub fn send(&mut self, bytes: Bytes) -> Option<Handle> {
        match (&self.state, &mut self.books.ledger) {
            (InitiatorState::Resuming { .. }, Some(ledger)) => {
                let handle = ledger.send(bytes);
                self.books.drain_stages();
                Some(handle)
            }
            _ => self.books.send(bytes),
        }
    }

    /// A stanza arrived. Counted from `<enabled/>` on.
    pub fn arrived(&mut self) {
        if matches!(self.state, InitiatorState::Active(_)) {
            self.books.arrived();
        }
    }

    /// The application has handled the oldest so many.
    pub fn handled(&mut self, stanzas: u32) {
        self.books.handled(stanzas);
    }

    /// Takes in an element of the namespace.
    ///
    /// # Errors
    /// [`Error`] when the peer broke a rule; nothing that was sent is lost: [`Initiator::suspend`] still has it.
    pub fn handle(&mut self, element: &Element) -> Result<(), Error> {
        let nonza = Nonza::read(element).ok_or(Error::OutOfTurn)??;
        let resuming = matches!(self.state, InitiatorState::Resuming { .. });
        if !resuming && self.books.on_books(&nonza)? {
            return Ok(());
        }
        match (
            core::mem::replace(&mut self.state, InitiatorState::Off),
            nonza,
        ) {
            (InitiatorState::Enabling, Nonza::Enabled(granted)) => {
                self.state = InitiatorState::Active(granted.clone());
                self.books.push(Action::Event(Event::Enabled(granted)));
                Ok(())
            }
            (InitiatorState::Enabling, Nonza::Failed { condition, .. }) => {
                // Sent on this stream, which goes on: they are not lost, only not acknowledged.
                self.books.hand_back();
                self.books.push(Action::Event(Event::Refused { condition }));
                Ok(())
            }
            (InitiatorState::Resuming { id }, Nonza::Resumed { previd, h }) if previd == id => {
                self.state = InitiatorState::Active(Granted {
                    id: Some(id),
                    ..Granted::default()
                });
                self.books.push(Action::Event(Event::Resumed));
                self.books.replay(h)
            }
            (InitiatorState::Resuming { .. }, Nonza::Failed { h, condition }) => {
                // The h that may come along settles what it can; one that was never reached tells nothing.
                if let (Some(ledger), Some(h)) = (&mut self.books.ledger, h) {
                    let _ = ledger.acknowledged(h);
                }
                self.books.drain_stages();
                self.books.hand_back();
                self.books.push(Action::Event(Event::Refused { condition }));
                Ok(())
            }
            (state, _) => {
                self.state = state;
                Err(Error::OutOfTurn)
            }
        }
    }

    /// The stream is being closed cleanly: the last acknowledgement; the session can never be resumed.
    pub fn close(&mut self) {
        self.books.close();
        self.state = InitiatorState::Off;
    }

    /// The connection is gone: the session, if it may be resumed. If not, what is unacknowledged is handed back.
    pub fn suspend(&mut self, owner: &str) -> Option<Session> {
        let state = core::mem::replace(&mut self.state, InitiatorState::Off);
        let id = match state {
            InitiatorState::Resuming { id }
            | InitiatorState::Active(Granted { id: Some(id), .. }) => Some(id),
            _ => None,
        };
        let ledger = self
            .books
            .ledger
            .as_ref()
            .filter(|ledger| ledger.is_resumable());
        let session = id
            .zip(ledger)
            .map(|(id, ledger)| Session::of(&id, owner, ledger));
        match session {
            Some(session) => {
                self.books.ledger = None;
                Some(session)
            }
            None => {
                self.books.hand_back();
                None
            }
        }
    }
}

#[derive(Debug)]
enum ReceiverState {
    Off,
    DecidingEnable,
    DecidingResume { previd: String, h: Count },
    Active(Option<String>),
}

/// The end that grants management.
///
/// ```
/// # use onetrip_stream_management::{Action, Config, Granted, Nonza, Receiver, Request};
/// let mut machine = Receiver::new(Config::default());
/// machine.handle(&Nonza::Enable { resume: true, max: None }.to_element(), true).unwrap();
/// assert!(matches!(machine.poll_action(), Some(Action::Request(Request::Enable { resume: true, .. }))));
/// let mut granted = Granted::default();
/// granted.id = Some("s1".into());
/// machine.grant(granted);
/// assert!(matches!(machine.poll_action(), Some(Action::Send(enabled)) if enabled.name() == "enabled"));
/// ```
#[derive(Debug)]
pub struct Receiver {
    config: Config,
    state: ReceiverState,
    books: Books,
}

impl Receiver {
    /// An end that was asked for nothing yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            state: ReceiverState::Off,
            books: Books {
                ledger: None,
                actions: VecDeque::new(),
            },
        }
    }

    /// The next thing to do, in order.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.books.actions.pop_front()
    }

    /// Takes in an element of the namespace. `bound` says whether a resource is bound: `<enable/>` needs one,
    /// `<resume/>` must come before (XEP-0198 §3, §5).
    ///
    /// # Errors
    /// [`Error`] when the peer broke a rule.
    pub fn handle(&mut self, element: &Element, bound: bool) -> Result<(), Error> {
        let nonza = Nonza::read(element).ok_or(Error::OutOfTurn)??;
        if self.books.on_books(&nonza)? {
            return Ok(());
        }
        match (&self.state, nonza) {
            (ReceiverState::Off, Nonza::Enable { resume, max }) if bound => {
                // The peer counts from here on, and so do we: what it sends now is inbound.
                self.books.ledger = Some(Ledger::new(self.config.limits, self.config.policy));
                self.state = ReceiverState::DecidingEnable;
                self.books
                    .push(Action::Request(Request::Enable { resume, max }));
                Ok(())
            }
            (ReceiverState::Off, Nonza::Resume { previd, h }) if !bound => {
                self.state = ReceiverState::DecidingResume {
                    previd: previd.clone(),
                    h,
                };
                self.books.push(Action::Request(Request::Resume { previd }));
                Ok(())
            }
            // Twice, too early or too late: refused, and what is on stays on (xmpp.js#1066, fluux#517).
            (_, Nonza::Enable { .. } | Nonza::Resume { .. }) => {
                self.books.say(&Nonza::Failed {
                    h: None,
                    condition: Some("unexpected-request".to_owned()),
                });
                Ok(())
            }
            _ => Err(Error::OutOfTurn),
        }
    }

    /// Grants management; does nothing when it was not asked for.
    pub fn grant(&mut self, granted: Granted) {
        if matches!(self.state, ReceiverState::DecidingEnable) {
            self.state = ReceiverState::Active(granted.id.clone());
            self.books.say(&Nonza::Enabled(granted));
        }
    }

    /// Refuses what was asked for, with what is known of the session's count (Prosody remembers it).
    pub fn refuse(&mut self, condition: &str, h: Option<Count>) {
        if matches!(
            self.state,
            ReceiverState::DecidingEnable | ReceiverState::DecidingResume { .. }
        ) {
            self.state = ReceiverState::Off;
            self.books.ledger = None;
            self.books.say(&Nonza::Failed {
                h,
                condition: Some(condition.to_owned()),
            });
        }
    }

    /// Goes on with a session: decide has been done, now reply and replay.
    ///
    /// # Errors
    /// [`Error::TooHigh`] when the peer claims to have handled what was never sent; the session is untouched.
    pub fn resume(&mut self, session: &Session) -> Result<(), Error> {
        let ReceiverState::DecidingResume { previd, h } = &self.state else {
            return Err(Error::OutOfTurn);
        };
        if *previd != session.id {
            return Err(Error::OutOfTurn);
        }
        let h = *h;
        let ledger = session.ledger(self.config.limits, self.config.policy);
        let mut probe = ledger.clone();
        probe.acknowledged(h)?;
        self.books.ledger = Some(ledger);
        self.state = ReceiverState::Active(Some(session.id.clone()));
        self.books.say(&Nonza::Resumed {
            previd: session.id.clone(),
            h: session.handled,
        });
        self.books.push(Action::Event(Event::Resumed));
        self.books.replay(h)
    }

    /// A stanza is to be sent. Counted from `<enabled/>` on.
    pub fn send(&mut self, bytes: Bytes) -> Option<Handle> {
        if matches!(self.state, ReceiverState::Active(_)) {
            return self.books.send(bytes);
        }
        self.books.push(Action::Write(bytes));
        None
    }

    /// A stanza arrived. Counted from `<enable/>` on.
    pub fn arrived(&mut self) {
        self.books.arrived();
    }

    /// The application has handled the oldest so many.
    pub fn handled(&mut self, stanzas: u32) {
        self.books.handled(stanzas);
    }

    /// The stream is being closed cleanly, by whichever end: the session can never be resumed (Openfire OF-3115).
    pub fn close(&mut self) {
        self.books.close();
        self.state = ReceiverState::Off;
    }

    /// The connection is gone: the session, if it may be resumed. If not, what is unacknowledged is handed back.
    pub fn suspend(&mut self, owner: &str) -> Option<Session> {
        let state = core::mem::replace(&mut self.state, ReceiverState::Off);
        match (state, &self.books.ledger) {
            (ReceiverState::Active(Some(id)), Some(ledger)) if ledger.is_resumable() => {
                let session = Session::of(&id, owner, ledger);
                self.books.ledger = None;
                Some(session)
            }
            _ => {
                self.books.hand_back();
                None
            }
        }
    }
}
