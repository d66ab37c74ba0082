//! The end that asks for management.
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | off | `enable`, `resume` | enabling, resuming |
//! | enabling | `<enabled/>`, `<failed/>` | active, off |
//! | resuming | `<resumed/>`, `<failed/>` | active and replay, off and hand back |
//! | active | `<r/>`, `<a/>`, stanzas | |

use bytes::Bytes;
use minidom::Element;

use crate::books::Books;
use crate::{Action, Config, Error, Event, Granted, Handle, Ledger, Nonza, Session};

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
            books: Books::new(),
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
