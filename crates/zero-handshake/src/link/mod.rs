//! One connection of an agreement, in either role.
//!
//! What comes in:
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | opening | the first bytes | fresh, flowing, or failed |
//! | fresh | the first frame; a stream header fails it (ZH-R3) | flowing |
//! | flowing | stanzas, acknowledgements, a stream error, the footer | flowing, or ended |
//! | ended | anything, without looking at it | |
//!
//! What goes out:
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | open | `send`, keepalive; `close`, idleness, the peer's footer | open; closing |
//! | closing | acknowledgements; no action left to poll and nothing unhandled, or the deadline: the footer goes out | awaiting; over, if the peer has closed |
//! | awaiting | the peer's footer, its end of transport, the deadline | over |
//! | over | | |

mod incoming;
mod outgoing;

use std::collections::VecDeque;

use bytes::Bytes;
use minidom::Element;
use onetrip_stream::{Content, Env, Instant, Reader, Stanza, StreamError, Writer};

use crate::action::{Action, End, Event, Why};
use crate::error::{Error, ErrorKind, UsageError};
use crate::joining::Joining;
use crate::opening::Opening;
use crate::table::Table;
use crate::timers::{Deadline, Reason, Timers};
use crate::{Agreement, Authorised, Blocked, Role, Security, Terms};

#[derive(Debug)]
enum Intake {
    Opening(Opening),
    Fresh,
    Flowing,
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    Closing { answered: bool },
    Awaiting,
    Over,
}

/// One connection: bytes in, actions out. Nothing is written before the first stanza (ZH-02), and every stanza is held
/// against the agreement, whichever way it goes.
///
/// ```
/// # use onetrip_zero_handshake::{Action, Agreement, Event, Link, Terms};
/// # use onetrip_stream::{Content, Domain, Env, Instant, Stanza};
/// # let domain = |name| Domain::new(name).unwrap();
/// # let peer = "198.51.100.7:5299".parse().unwrap();
/// # let terms = Terms::plain(vec![domain("ground.example")], vec![domain("air.example")], peer);
/// # let agreement = Agreement::new(terms).unwrap();
/// # let mut entropy = |_: &mut [u8]| ();
/// # let env = &mut Env::new(Instant::EPOCH, &mut entropy);
/// let admitted = agreement.accept_source("198.51.100.7:40000".parse().unwrap(), None)?;
/// let mut link = Link::new(&agreement, agreement.accept_plain(admitted)?, env);
/// assert_eq!(link.poll_action(), Some(Action::Event(Event::Connected)));
/// assert_eq!(link.poll_action(), None, "not a byte");
///
/// link.receive(env, b"<message from='pilot@air.example' to='ops@ground.example'/>")?;
/// let Some(Action::Stanza(stanza)) = link.poll_action() else { panic!() };
/// assert_eq!(stanza.head().from.as_deref(), Some("pilot@air.example"));
///
/// let answer = b"<message from='ops@ground.example' to='pilot@air.example'><body>roger</body></message>";
/// link.send(env, &Stanza::parse(answer, Content::Server)?)?;
/// assert_eq!(link.poll_action(), Some(Action::Transmit(answer.to_vec().into())));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Link {
    role: Role,
    terms: Terms,
    table: Table,
    reader: Reader,
    writer: Writer,
    intake: Intake,
    phase: Phase,
    failed: Option<Error>,
    timers: Timers,
    actions: VecDeque<Action>,
    joining: Joining,
    /// Bytes that never reached the reader.
    skipped: u64,
    unsettled: bool,
    /// Whether our footer waits for the application.
    held: bool,
    now: Instant,
}

impl Link {
    /// A link on a connection that is established, TLS included where it was agreed.
    #[must_use]
    pub fn new(agreement: &Agreement, authorised: Authorised, env: &mut Env<'_>) -> Self {
        let terms = agreement.terms().clone();
        let limits = agreement.limits();
        let plain = terms.security == Security::Plain;
        let mut link = Self {
            role: authorised.role,
            table: Table::new(agreement, authorised),
            // The agreement has tried it. A reader that is not primed would refuse every stanza: closed, not open.
            reader: Reader::primed(&agreement.header(), limits)
                .unwrap_or_else(|_| Reader::new(limits)),
            writer: Writer::new(Content::Server),
            intake: Intake::Opening(Opening::new(terms.tolerate_stream_open, plain, limits)),
            phase: Phase::Open,
            failed: None,
            timers: Timers::default(),
            actions: VecDeque::from([Action::Event(Event::Connected)]),
            joining: Joining::default(),
            skipped: 0,
            unsettled: false,
            held: false,
            now: env.now,
            terms,
        };
        link.touch();
        link
    }

    /// Which end we are.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether stanzas may be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Whether nothing is or will be written or read any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// How many bytes are held of what has not come in whole.
    #[must_use]
    pub fn buffered(&self) -> usize {
        match &self.intake {
            Intake::Opening(opening) => opening.held(),
            _ => self.reader.pending(),
        }
    }

    /// How many bytes have come in.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.skipped.saturating_add(self.reader.consumed())
    }

    /// The next thing to do, in order. To be called until there is none, after every call that may change anything.
    pub fn poll_action(&mut self) -> Option<Action> {
        if self.actions.is_empty() {
            self.finish_closing();
        }
        let next = self.actions.pop_front();
        next.or_else(|| self.joining.take().map(Action::Transmit))
    }

    /// When to call [`Link::handle_timeout`], and why; `None` for never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        self.timers.next()
    }

    /// Acts on every deadline that has passed; does nothing when called early.
    pub fn handle_timeout(&mut self, env: &mut Env<'_>) {
        self.now = env.now;
        for reason in self.timers.take_due(env.now) {
            match reason {
                _ if self.is_over() => {}
                Reason::Stall => drop(self.fail(ErrorKind::TimedOut(reason))),
                Reason::Close => self.on_close_due(),
                Reason::Idle => self.begin_closing(Why::Idle, false),
                Reason::Keepalive if self.is_open() => self.write(Bytes::from_static(b" ")),
                Reason::Keepalive | Reason::Quiet | Reason::Retry => {}
            }
        }
    }

    /// Takes in bytes, all of them.
    ///
    /// # Errors
    /// [`Error`] when the peer broke a rule. It is final, and repeated on every later call.
    pub fn receive(&mut self, env: &mut Env<'_>, input: &[u8]) -> Result<usize, Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.now = env.now;
        let mut rest = input;
        self.take(&mut rest).map_err(|kind| self.fail(kind))?;
        self.watch(!input.trim_ascii().is_empty(), !input.is_empty());
        Ok(input.len())
    }

    /// The transport ended: nothing more will come.
    pub fn receive_eof(&mut self, env: &mut Env<'_>) {
        if self.is_over() {
            return;
        }
        self.now = env.now;
        let inside = self.is_inside();
        self.finish(match self.phase {
            _ if inside => End::Cut { inside },
            Phase::Awaiting => End::Unanswered,
            Phase::Closing { answered: true } => End::Clean,
            _ => End::Cut { inside },
        });
    }

    /// Whether a stanza may go out here.
    ///
    /// # Errors
    /// [`Blocked`] when it may not.
    pub fn check(&self, stanza: &Stanza) -> Result<(), Blocked> {
        self.table.check_outgoing(stanza)
    }

    /// Sends a stanza; its bytes are shared, not copied, and unchanged.
    ///
    /// # Errors
    /// [`UsageError`] when it may not go out here, or not any more. Nothing is written.
    pub fn send(&mut self, env: &mut Env<'_>, stanza: &Stanza) -> Result<(), UsageError> {
        if !self.is_open() {
            return Err(UsageError::Closed);
        }
        self.table.check_outgoing(stanza)?;
        self.now = env.now;
        self.write(self.writer.stanza(stanza));
        self.touch();
        Ok(())
    }

    /// Sends an acknowledgement or the request for one, where they were agreed (ZH-R5). It may still be sent when
    /// [`Event::Closing`] has come and further actions have not been polled for.
    ///
    /// # Errors
    /// [`UsageError`] when it is none, when none were agreed, or when the link is closed.
    pub fn send_acknowledgement(
        &mut self,
        env: &mut Env<'_>,
        element: &Element,
    ) -> Result<(), UsageError> {
        match self.phase {
            Phase::Open | Phase::Closing { .. } => {}
            Phase::Awaiting | Phase::Over => return Err(UsageError::Closed),
        }
        if !self.is_acknowledgement(element) {
            return Err(UsageError::NotAnAcknowledgement);
        }
        let bytes = self.writer.element(element)?;
        self.now = env.now;
        self.write(bytes);
        Ok(())
    }

    /// Says whether something of ours is unacknowledged here: then the link is in use, however silent (ZH-14).
    pub fn set_unsettled(&mut self, env: &mut Env<'_>, unsettled: bool) {
        self.now = env.now;
        if self.unsettled != unsettled {
            self.unsettled = unsettled;
            self.touch();
        }
    }

    /// Says whether the application has yet to deal with something that arrived: then our footer waits, so that it can
    /// still be acknowledged, for [`Terms::close_wait`] at most.
    pub fn set_unhandled(&mut self, unhandled: bool) {
        self.held = unhandled;
    }

    /// Closes the link: our footer, then the wait for the peer's (ZH-22, ZH-R2).
    pub fn close(&mut self, env: &mut Env<'_>) {
        self.now = env.now;
        self.begin_closing(Why::Asked, false);
    }

    /// Ends the link at once with a stream error, such as a shutdown.
    pub fn close_with(&mut self, env: &mut Env<'_>, error: &StreamError) {
        self.now = env.now;
        self.write_last(Some(error));
        self.finish(End::Aborted);
    }
}
