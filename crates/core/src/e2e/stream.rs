//! The XML stream between two clients: headers as the text has them, then stanzas, then footers.
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | silent (responder) | the peer's header | open: our header and empty features go out |
//! | open | the peer's header, stanzas | open |
//! | open | `close` | closing: our footer is out |
//! | open | a footer | over: ours answers it |
//! | closing | a footer, silence | over |
//! | any | an error of either end, the end of the transport | over |
//!
//! Stanzas may go out behind our own header: with both ends known there is nothing that could still be negotiated
//! (JXS-R7), and waiting for the peer's header would cost a round trip.

use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;
use onetrip_jingle_xmlstream::xtls::Verification;
use onetrip_jingle_xmlstream::{Role, StreamRules};
use onetrip_stream::{
    Condition, Content, Env, Frame, Instant, Stanza, StreamError, StreamHeader, ns,
};

use super::{Config, Received};
use crate::half::Layer;
use crate::shell::Shell;
use crate::trace::{label, stanza_label};
use crate::{Action, End, ErrorKind, Event, Reason, Unit, UsageError};

/// How much can wait here: nothing, since nothing is asked.
const HELD: usize = 0;

/// One end of the stream.
#[derive(Debug)]
pub(super) struct PeerStream {
    shell: Shell,
    rules: StreamRules,
    role: Role,
    verification: Option<Verification>,
    /// Whether it was told that stanzas may be sent.
    told_online: bool,
    /// How long behind the last write white space goes out.
    nudge: Option<Duration>,
    /// Whether this end was the first to close.
    closes: bool,
    received: VecDeque<Received>,
    end: Option<End>,
}

/// What the stream wants.
#[derive(Debug)]
pub(super) enum Wanted {
    Online(Option<Verification>),
    Stanza(Received),
    Write(Bytes),
    Trace(Unit),
    PeerError(StreamError),
    /// It is over; nothing comes behind this.
    Closed(End),
}

impl PeerStream {
    /// On a transport whose other end is known as well as it will ever be.
    pub(super) fn new(
        rules: StreamRules,
        role: Role,
        verification: Option<Verification>,
        config: &Config,
        nudge: Option<Duration>,
        env: &mut Env<'_>,
    ) -> Self {
        let (bounds, header) = (&config.bounds, rules.header(env));
        let mut shell = Shell::new(Content::Client, header, bounds.clone(), HELD);
        shell.receiving.reader.set_limits(bounds.after);
        shell.tracing = config.trace;
        shell.now = env.now;
        if verification.is_some() {
            shell.sending.layer = Layer::Tls;
            shell.receiving.layer = Layer::Tls;
        }
        shell
            .timers
            .set(Reason::Negotiation, env.now + bounds.negotiation);
        if rules.opens_at_once() {
            shell.open();
        }
        Self {
            shell,
            rules,
            role,
            verification,
            told_online: false,
            nudge,
            closes: false,
            received: VecDeque::new(),
            end: None,
        }
    }

    pub(super) fn poll(&mut self) -> Option<Wanted> {
        if !self.told_online && self.is_online() {
            self.told_online = true;
            return Some(Wanted::Online(self.verification));
        }
        if let Some(received) = self.received.pop_front() {
            return Some(Wanted::Stanza(received));
        }
        loop {
            match self.shell.poll_action()? {
                // It may overtake the last write, and nothing may overtake it.
                Action::Event(Event::Closed(end)) => self.end = Some(end),
                Action::Close => return Some(Wanted::Closed(self.end.take()?)),
                Action::Event(Event::PeerError(error)) => return Some(Wanted::PeerError(error)),
                Action::Transmit(bytes) => {
                    self.arm_nudge(&bytes);
                    return Some(Wanted::Write(bytes));
                }
                Action::Trace(unit) => return Some(Wanted::Trace(unit)),
                _ => {}
            }
        }
    }

    /// Nudges once, behind what says something.
    fn arm_nudge(&mut self, written: &Bytes) {
        if let Some(nudge) = self.nudge.filter(|_| &written[..] != b" ") {
            let at = self.shell.now + nudge;
            self.shell.timers.set(Reason::Nudge, at);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.shell.timers.next().map(|deadline| deadline.at)
    }

    /// Whether stanzas may be sent: our header is out.
    pub(super) fn is_online(&self) -> bool {
        self.shell.sending.unsent.is_none() && !self.shell.sending.ended && !self.shell.is_closed()
    }

    /// Whether this end was the first to close, and so ends the session too.
    pub(super) fn closes(&self) -> bool {
        self.closes
    }

    pub(super) fn receive(&mut self, env: &mut Env<'_>, mut bytes: &[u8]) {
        self.shell.now = env.now;
        while !self.shell.is_closed() {
            match self.shell.receiving.reader.next(&mut bytes) {
                Ok(Some(frame)) => self.on_frame(frame),
                Ok(None) => return,
                Err(error) => self.fail(error.into()),
            }
        }
    }

    fn on_frame(&mut self, frame: Frame) {
        match frame {
            Frame::Header(header) => {
                self.shell.read(|| "stream header".to_owned());
                self.on_header(&header);
            }
            Frame::Element(element) => {
                self.shell.read(|| label(&element));
                if let Some(error) = StreamError::from_element(&element) {
                    self.shell.event(Event::PeerError(error.clone()));
                    self.shell.peer_failed(error);
                } else if !(self.role == Role::Initiator && element.is("features", ns::STREAMS)) {
                    self.fail(ErrorKind::Unexpected {
                        got: element.name().chars().take(64).collect(),
                        expected: "a stanza",
                        condition: Condition::UnsupportedStanzaType,
                    });
                }
            }
            Frame::Stanza(stanza) => {
                self.shell.read(|| stanza_label(&stanza.element()));
                self.on_stanza(stanza);
            }
            Frame::Footer => {
                self.shell.read(|| "footer".to_owned());
                self.shell.peer_closed();
            }
            _ => {}
        }
    }

    fn on_header(&mut self, header: &StreamHeader) {
        self.shell.timers.stop(Reason::Negotiation);
        if let Err(condition) = self.rules.check_header(header) {
            return self.fail(ErrorKind::Header {
                what: "expected a stream header of the two ends of the session, got another",
                condition,
            });
        }
        self.shell.open();
        if let Some(features) = self.rules.features(header) {
            self.shell.element(&features);
        }
    }

    /// JXS-R8: whoever was verified speaks for itself and for nobody else.
    fn on_stanza(&mut self, stanza: Stanza) {
        match self.rules.addresses(stanza.head()) {
            Ok((from, to)) => self.received.push_back(Received {
                stanza,
                from,
                to,
                verification: self.verification,
            }),
            Err(_) => self.fail(ErrorKind::From),
        }
    }

    fn fail(&mut self, kind: ErrorKind) {
        self.closes |= !self.shell.receiving.ended;
        self.shell.fail(kind);
    }

    pub(super) fn receive_eof(&mut self) {
        if self.shell.is_closed() {
            return;
        }
        let end = if self.shell.sending.ended {
            End::Clean
        } else {
            End::Cut
        };
        self.shell.finish(end);
    }

    pub(super) fn send(&mut self, stanza: &Stanza) -> Result<(), UsageError> {
        if self.shell.is_closed() || self.shell.sending.ended {
            return Err(UsageError::Closed);
        }
        if !self.is_online() {
            return Err(UsageError::NotOnline);
        }
        if stanza.head().content != Content::Client {
            return Err(UsageError::OtherContent);
        }
        self.shell.stanza(stanza);
        Ok(())
    }

    pub(super) fn close(&mut self, env: &Env<'_>) {
        self.closes |= !self.shell.receiving.ended;
        self.shell.now = env.now;
        self.shell.close(env);
    }

    /// Our footer is still on its way.
    pub(super) fn postpone_close(&mut self, now: Instant) {
        if self.shell.timers.is_set(Reason::Close) {
            let later = now + self.shell.bounds.close;
            self.shell.timers.set(Reason::Close, later);
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.shell.now = now;
        while let Some(reason) = self.shell.timers.expired(now) {
            match reason {
                Reason::Nudge => self.shell.space(),
                Reason::Close => self.shell.finish(End::Clean),
                reason => self.fail(ErrorKind::TimedOut(reason)),
            }
        }
    }
}
