//! The end that asks for management.
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | off | `enable`, `resume`, `await_resumption` | enabling, resuming, resuming |
//! | enabling | `<enabled/>`, `<failed/>` | active, off and hand back |
//! | resuming | `<resumed/>`, `<failed/>`; `resumed`, `withdraw` | active and replay, off and hand back; active and replay, off |
//! | active | `<r/>`, `<a/>`, stanzas | |

use bytes::Bytes;
use minidom::Element;
use onetrip_stream::{Instant, Jid};

use crate::books::Books;
use crate::{Config, Count, Error, Event, Granted, Handle, Nonza, Session, Stage, machine};

#[derive(Debug)]
enum State {
    Off,
    Enabling {
        since: Instant,
    },
    /// Stanzas that are handed over meanwhile wait behind those of the session.
    Resuming(Granted),
    Active(Granted),
}

/// The end that asks for management.
///
/// ```
/// # use onetrip_stream::Instant;
/// # use onetrip_stream_management::{Action, Config, Count, Event, Initiator, Nonza, Session};
/// // A connection was cut; on the next one the session goes on.
/// let owner = "juliet@capulet.lit/balcony".parse().unwrap();
/// let session = Session::new("s1", &owner, Count::new(0), Count::new(7), vec!["<message/>".into()]);
/// let mut machine = Initiator::new(Config::default());
/// machine.resume(&session);
/// let Some(Action::Send(request)) = machine.poll_action() else { panic!() };
/// assert_eq!(request, Nonza::Resume { previd: "s1".into(), h: Count::new(7) });
/// let answer = Nonza::Resumed { previd: "s1".into(), h: Count::new(0) };
/// machine.handle(Instant::EPOCH, &answer.to_element()).unwrap();
/// assert_eq!(machine.poll_action(), Some(Action::Event(Event::Resumed)));
/// assert_eq!(machine.poll_action(), Some(Action::Write("<message/>".into())));
/// ```
#[derive(Debug)]
pub struct Initiator {
    state: State,
    books: Books,
}

impl Initiator {
    /// An end that has asked for nothing yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            state: State::Off,
            books: Books::new(config),
        }
    }

    /// The next thing to do, in order.
    pub fn poll_action(&mut self) -> Option<machine::Action> {
        self.books.actions.pop_front()
    }

    /// When to call [`Initiator::handle_timeout`]; `None` for never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Active(_) => self.books.deadline(),
            State::Enabling { since } => Some(since + self.books.config.policy.answer_within),
            State::Off | State::Resuming(_) => None,
        }
    }

    /// Asks for an acknowledgement, or gives the connection up; does nothing when called early.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::Active(_) => self.books.handle_timeout(now),
            State::Enabling { .. } if self.poll_timeout().is_some_and(|at| at <= now) => {
                self.state = State::Off;
                self.books.tell(Event::Unanswered);
            }
            State::Enabling { .. } | State::Off | State::Resuming(_) => {}
        }
    }

    /// Whether stanzas are counted.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.books.ledger.is_some()
    }

    /// Whether another stanza finds room until it is acknowledged: [`Queue::has_room`](crate::Queue::has_room).
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.books.has_room()
    }

    /// Where a stanza is that is not settled yet.
    #[must_use]
    pub fn stage(&self, handle: Handle) -> Option<Stage> {
        let ledger = self.books.ledger.as_ref()?;
        let waits = matches!(self.state, State::Resuming(_));
        ledger
            .queue()
            .holds(handle)
            .then_some(if waits { Stage::Queued } else { Stage::Sent })
    }

    /// Asks for management. Our stanzas count from here on, before the answer is seen (Smack 96bb37f92).
    pub fn enable(&mut self, now: Instant, resume: bool, max: Option<u32>) {
        // Behind an answer that never came there are books still, and what is in them would be lost.
        if matches!(self.state, State::Off) && !self.is_on() {
            self.books.open();
            self.state = State::Enabling { since: now };
            self.books.say(Nonza::Enable { resume, max });
        }
    }

    /// Asks to go on with a session, after authentication and instead of binding a resource (XEP-0198 §5).
    pub fn resume(&mut self, session: &Session) {
        if let Some(h) = self.await_resumption(session) {
            let previd = session.id.clone();
            self.books.say(Nonza::Resume { previd, h });
        }
    }

    /// Prepares to go on with a session that is asked for by other means, such as instant stream resumption, and
    /// returns the `h` to ask with. [`Initiator::resumed`] or [`Initiator::withdraw`] ends it.
    pub fn await_resumption(&mut self, session: &Session) -> Option<Count> {
        if !matches!(self.state, State::Off) {
            return None;
        }
        self.books.reopen(session);
        self.state = State::Resuming(session.granted());
        Some(session.handled)
    }

    /// The peer goes on with the session, and has handled `h`: the replay.
    ///
    /// # Errors
    /// [`Error::TooHigh`] when it cannot have; [`Error::OutOfTurn`] when nothing was asked for.
    pub fn resumed(&mut self, now: Instant, h: Count) -> Result<(), Error> {
        match core::mem::replace(&mut self.state, State::Off) {
            State::Resuming(granted) => {
                self.state = State::Active(granted);
                self.books.replay(now, h)
            }
            state => {
                self.state = state;
                Err(Error::OutOfTurn)
            }
        }
    }

    /// The peer would not go on with the session by those other means, and has handled `h`, if it said so. The session
    /// is returned as it stands now, to be asked for in another way.
    pub fn withdraw(&mut self, owner: &Jid, h: Option<Count>) -> Option<Session> {
        if !matches!(self.state, State::Resuming(_)) {
            return None;
        }
        self.books.settle(h);
        self.suspend(owner)
    }

    /// A stanza is to be sent; the handle names it until it is settled. `None` when nothing is counted yet. During a
    /// resumption it waits behind what is to be sent again.
    pub fn send(&mut self, now: Instant, bytes: Bytes) -> Option<Handle> {
        match self.state {
            State::Resuming(_) => self.books.keep(now, bytes),
            State::Active(_) => self.books.send(now, bytes, true),
            State::Off | State::Enabling { .. } => self.books.send(now, bytes, false),
        }
    }

    /// A stanza arrived. Counted from `<enabled/>` on; whether this one is.
    pub fn arrived(&mut self) -> bool {
        let counted = matches!(self.state, State::Active(_));
        match &mut self.books.ledger {
            Some(ledger) if counted => {
                ledger.arrived();
                true
            }
            _ => false,
        }
    }

    /// How many stanzas have arrived that the application has not said to be handled.
    #[must_use]
    pub fn unhandled(&self) -> u32 {
        self.books.unhandled()
    }

    /// A stanza arrived that the application will never see.
    pub fn arrived_own(&mut self) {
        if let (State::Active(_), Some(ledger)) = (&self.state, &mut self.books.ledger) {
            ledger.arrived_own();
        }
    }

    /// The application has handled the oldest so many.
    pub fn handled(&mut self, stanzas: u32) {
        self.books.handled(stanzas);
    }

    /// Takes in an element of the namespace.
    ///
    /// # Errors
    /// [`Error`] when the peer broke a rule; nothing that was sent is lost: [`Initiator::suspend`] still has it, or
    /// hands it back.
    pub fn handle(&mut self, now: Instant, element: &Element) -> Result<(), Error> {
        let nonza = Nonza::read(element).ok_or(Error::OutOfTurn)??;
        let resuming = matches!(self.state, State::Resuming(_));
        if !resuming && self.books.on_books(now, &nonza)? {
            return Ok(());
        }
        match (&self.state, nonza) {
            (State::Enabling { .. }, Nonza::Enabled(granted)) => {
                self.state = State::Active(granted.clone());
                self.books.tell(Event::Enabled(granted));
                Ok(())
            }
            (State::Resuming(granted), Nonza::Resumed { previd, h })
                if granted.id.as_deref() == Some(previd.as_str()) =>
            {
                self.resumed(now, h)
            }
            // Sent on a stream that goes on, or on one that is gone: not lost, only not acknowledged.
            (State::Enabling { .. } | State::Resuming(_), Nonza::Failed { h, condition }) => {
                self.state = State::Off;
                self.books.settle(h);
                self.books.hand_back();
                self.books.tell(Event::Refused { condition });
                Ok(())
            }
            _ => Err(Error::OutOfTurn),
        }
    }

    /// The session that is being resumed is given up: the peer no longer knows about management (monal#39).
    pub fn give_up(&mut self) {
        if matches!(self.state, State::Resuming(_)) {
            self.state = State::Off;
            self.books.hand_back();
        }
    }

    /// The stream is being closed cleanly: the last acknowledgement, and if the peer still reads (`asks`), the last
    /// request for one; the session can never be resumed.
    pub fn close(&mut self, asks: bool) {
        let active = matches!(self.state, State::Active(_));
        self.books.close(asks && active);
    }

    /// The session as it stands, to store it while the connection is up: for a process that may die.
    #[must_use]
    pub fn snapshot(&self, owner: &Jid) -> Option<Session> {
        let (State::Active(granted) | State::Resuming(granted)) = &self.state else {
            return None;
        };
        let ledger = self
            .books
            .ledger
            .as_ref()
            .filter(|ledger| !self.books.over && ledger.is_resumable())?;
        granted.id.as_ref()?;
        Some(Session::of(granted.clone(), owner, ledger))
    }

    /// The connection is gone: the session, if it may be resumed. If not, what is unacknowledged is handed back.
    pub fn suspend(&mut self, owner: &Jid) -> Option<Session> {
        let granted = match core::mem::replace(&mut self.state, State::Off) {
            State::Active(granted) | State::Resuming(granted) => Some(granted),
            State::Off | State::Enabling { .. } => None,
        };
        self.books.suspend(owner, granted)
    }
}
