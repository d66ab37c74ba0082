//! The end that grants management.
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | off | `<enable/>` behind bind, `<resume/>` before it | a decision |
//! | deciding | `grant`, `resume`, `refuse` | active, active and replay, off |
//! | active | `<r/>`, `<a/>`, stanzas | |

use bytes::Bytes;
use minidom::Element;

use crate::books::Books;
use crate::{
    Action, Config, Count, Error, Event, Granted, Handle, Ledger, Nonza, Request, Session,
};

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
            books: Books::new(),
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
