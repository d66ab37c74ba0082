//! The end that grants management.
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | off | `<enable/>` behind bind, `<resume/>` before it | deciding enable, deciding resume |
//! | deciding enable | `grant`, `refuse` | active, off |
//! | deciding resume | `resume`, `refuse` | active and replay, off |
//! | off | `take_up`: a session that was asked for by other means | active |
//! | active | `<r/>`, `<a/>`, stanzas | |

use bytes::Bytes;
use minidom::Element;
use onetrip_stream::{Instant, Jid};

use crate::books::Books;
use crate::{
    Config, Count, Error, Event, Granted, Handle, Ledger, Nonza, Request, Session, machine,
};

#[derive(Debug)]
enum State {
    Off,
    DecidingEnable,
    DecidingResume { previd: String, h: Count },
    Active(Granted),
}

/// The end that grants management.
///
/// ```
/// # use onetrip_stream::Instant;
/// # use onetrip_stream_management::{Action, Config, Granted, Nonza, Receiver, Request};
/// let mut machine = Receiver::new(Config::default());
/// let enable = Nonza::Enable { resume: true, max: None };
/// machine.handle(Instant::EPOCH, &enable.to_element(), true).unwrap();
/// assert!(matches!(machine.poll_action(), Some(Action::Request(Request::Enable { resume: true, .. }))));
/// let mut granted = Granted::default();
/// granted.id = Some("s1".into());
/// machine.grant(granted);
/// assert!(matches!(machine.poll_action(), Some(Action::Send(Nonza::Enabled(_)))));
/// ```
#[derive(Debug)]
pub struct Receiver {
    state: State,
    books: Books,
}

impl Receiver {
    /// An end that was asked for nothing yet.
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

    /// When to call [`Receiver::handle_timeout`]; `None` for never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Active(_) => self.books.deadline(),
            _ => None,
        }
    }

    /// Asks for an acknowledgement, or gives the connection up; does nothing when called early.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.is_on() {
            self.books.handle_timeout(now);
        }
    }

    /// The name of the session that may be resumed, and what has been handled in it.
    #[must_use]
    pub fn session(&self) -> Option<(&str, Count)> {
        match (&self.state, &self.books.ledger) {
            (State::Active(granted), Some(ledger)) => Some((granted.id.as_deref()?, ledger.h())),
            _ => None,
        }
    }

    /// Whether management is on.
    #[must_use]
    pub fn is_on(&self) -> bool {
        matches!(self.state, State::Active(_))
    }

    /// Takes in an element of the namespace. `in_order` says whether an `<enable/>` or `<resume/>` is in its place:
    /// `<enable/>` behind the binding of a resource, `<resume/>` between authentication and that (XEP-0198 §3, §5,
    /// QS-38); between servers both behind authentication.
    ///
    /// # Errors
    /// [`Error`] when the peer broke a rule.
    pub fn handle(&mut self, now: Instant, element: &Element, in_order: bool) -> Result<(), Error> {
        let nonza = match Nonza::read(element).ok_or(Error::OutOfTurn)? {
            Ok(nonza) => nonza,
            // Nothing is lost by saying no.
            Err(_) if matches!(element.name(), "enable" | "resume") => {
                self.fail(None, "bad-request");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        if self.books.on_books(now, &nonza)? {
            return Ok(());
        }
        match (&self.state, nonza) {
            (State::Off, Nonza::Enable { resume, max }) if in_order => {
                // The peer counts from here on, and so do we: what it sends now is inbound.
                self.books.open();
                self.state = State::DecidingEnable;
                self.books
                    .push(machine::Action::Request(Request::Enable { resume, max }));
                Ok(())
            }
            (State::Off, Nonza::Resume { previd, h }) if in_order => {
                self.state = State::DecidingResume {
                    previd: previd.clone(),
                    h,
                };
                self.books
                    .push(machine::Action::Request(Request::Resume { previd, h }));
                Ok(())
            }
            // Twice, too early or too late: refused, and what is on stays on (xmpp.js#1066, fluux#517).
            (_, Nonza::Enable { .. } | Nonza::Resume { .. }) => {
                self.fail(None, "unexpected-request");
                Ok(())
            }
            _ => Err(Error::OutOfTurn),
        }
    }

    fn fail(&mut self, h: Option<Count>, condition: &str) {
        self.books.say(Nonza::Failed {
            h,
            condition: Some(condition.to_owned()),
        });
    }

    /// Grants management; does nothing when it was not asked for.
    pub fn grant(&mut self, granted: Granted) {
        if matches!(self.state, State::DecidingEnable) {
            self.state = State::Active(granted.clone());
            self.books.say(Nonza::Enabled(granted.clone()));
            self.books.tell(Event::Enabled(granted));
        }
    }

    /// Refuses what was asked for, with what is known of the session's count (Prosody remembers it).
    pub fn refuse(&mut self, condition: &str, h: Option<Count>) {
        if matches!(
            self.state,
            State::DecidingEnable | State::DecidingResume { .. }
        ) {
            self.state = State::Off;
            self.books.ledger = None;
            self.fail(h, condition);
        }
    }

    /// Goes on with the session that was asked for: decide has been done, now reply and replay.
    ///
    /// # Errors
    /// [`Error::TooHigh`] when the peer claims to have handled what was never sent; [`Error::OutOfTurn`] when another
    /// session or none was asked for. The session is untouched and still the caller's.
    pub fn resume(&mut self, now: Instant, session: &Session) -> Result<(), Error> {
        let h = match &self.state {
            State::DecidingResume { previd, h } if *previd == session.id => *h,
            _ => return Err(Error::OutOfTurn),
        };
        self.state = State::Off;
        self.take_up(session, h)?;
        let previd = session.id.clone();
        let handled = session.handled;
        self.books.say(Nonza::Resumed { previd, h: handled });
        self.replay(now, h)
    }

    /// Goes on with a session that was asked for by other means, by a peer that has handled `h`. The caller replies
    /// with what it is told here, the `h` of this end, and then calls [`Receiver::replay`].
    ///
    /// # Errors
    /// As [`Receiver::resume`].
    pub fn take_up(&mut self, session: &Session, h: Count) -> Result<Count, Error> {
        if !matches!(self.state, State::Off) {
            return Err(Error::OutOfTurn);
        }
        let (mut probe, _): (Ledger, _) = session.ledger(self.books.config);
        probe.acknowledged(Instant::EPOCH, h)?;
        self.books.reopen(session);
        self.state = State::Active(session.granted());
        Ok(session.handled)
    }

    /// The third step of every resumption, behind the reply.
    ///
    /// # Errors
    /// As [`Receiver::resume`].
    pub fn replay(&mut self, now: Instant, h: Count) -> Result<(), Error> {
        self.books.replay(now, h)
    }

    /// Whether another stanza finds room until it is acknowledged: [`Queue::has_room`](crate::Queue::has_room).
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.books.has_room()
    }

    /// A stanza is to be sent. Counted from `<enabled/>` on.
    pub fn send(&mut self, now: Instant, bytes: Bytes) -> Option<Handle> {
        if self.is_on() {
            return self.books.send(now, bytes, true);
        }
        self.books.push(machine::Action::Write(bytes));
        None
    }

    /// A stanza arrived. Counted from `<enable/>` on; whether this one is.
    pub fn arrived(&mut self) -> bool {
        self.books.ledger.as_mut().is_some_and(|ledger| {
            ledger.arrived();
            true
        })
    }

    /// How many stanzas have arrived that the application has not said to be handled.
    #[must_use]
    pub fn unhandled(&self) -> u32 {
        self.books.unhandled()
    }

    /// The application has handled the oldest so many.
    pub fn handled(&mut self, stanzas: u32) {
        self.books.handled(stanzas);
    }

    /// The stream is being closed cleanly, by whichever end: the last acknowledgement, and if the peer still reads
    /// (`asks`), the last request for one; the session can never be resumed (Openfire OF-3115).
    pub fn close(&mut self, asks: bool) {
        let active = self.is_on();
        self.books.close(asks && active);
    }

    /// The connection is gone: the session, if it may be resumed. If not, what is unacknowledged is handed back.
    pub fn suspend(&mut self, owner: &Jid) -> Option<Session> {
        let granted = match core::mem::replace(&mut self.state, State::Off) {
            State::Active(granted) => Some(granted),
            _ => None,
        };
        self.books.suspend(owner, granted)
    }
}
