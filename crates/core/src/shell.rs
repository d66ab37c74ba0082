//! What every connection has, whatever it negotiates: two halves, the queue of actions, deadlines, closing.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use minidom::Element;
use onetrip_quickstart::Holdback;
use onetrip_stream::{
    Content, Env, Instant, Stanza, StreamError, StreamHeader, WriteError, Writer,
};
use onetrip_stream_management as sm;

use crate::asked::Asked;
use crate::half::{Layer, Receiving, Sending};
use crate::joining::Joining;
use crate::management::{Left, Management};
use crate::order::Facts;
use crate::peering::Peering;
use crate::timers::Timers;
use crate::trace::{label, stanza_label};
use crate::{
    Action, Bounds, Direction, End, EntityEvent, Error, ErrorKind, Event, Reason, Request,
    Resumption, Unit,
};

/// The common part of a connection.
pub(crate) struct Shell {
    pub(crate) content: Content,
    pub(crate) sending: Sending,
    pub(crate) receiving: Receiving,
    pub(crate) timers: Timers,
    pub(crate) facts: Facts,
    pub(crate) bounds: Bounds,
    /// When the call happens that is being served.
    pub(crate) now: Instant,
    pub(crate) management: Management,
    /// Between servers: who may send what.
    pub(crate) peering: Option<Box<Peering>>,
    /// Input that waits for the answer to what was asked.
    pub(crate) held: Holdback,
    pub(crate) pending: Option<Asked>,
    pub(crate) tracing: bool,
    pub(crate) failed: Option<Error>,
    /// What the end really means, when the role knows better than whoever ends it.
    pub(crate) verdict: Option<Box<End>>,
    actions: VecDeque<Action>,
    /// The write that is still joining.
    joining: Joining,
    /// What was sent as early data, until it is known what has become of it.
    early: Option<Bytes>,
    /// Elements of stream management that ride in something else, while they do.
    caught: Option<Vec<Element>>,
    closed: bool,
}

impl core::fmt::Debug for Shell {
    /// Without what is about to be written: it may hold a password or a token.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Shell")
            .field("content", &self.content)
            .field("facts", &self.facts)
            .field("timers", &self.timers)
            .field("management", &self.management)
            .field("pending", &self.pending)
            .field("failed", &self.failed)
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

/// What stream management leaves to the role it works for.
#[derive(Debug)]
pub(crate) enum Notable {
    Request(sm::Request),
    /// The session goes on; the replay is next.
    Resumed,
    /// What was asked for was refused; the application has been told.
    Refused,
    /// The connection is dead.
    Unanswered,
}

impl Shell {
    pub(crate) fn new(content: Content, header: StreamHeader, bounds: Bounds, held: usize) -> Self {
        Self {
            content,
            sending: Sending::new(content, header),
            receiving: Receiving::new(bounds.before),
            timers: Timers::default(),
            facts: Facts::NONE,
            bounds,
            now: Instant::EPOCH,
            management: Management::OFF,
            peering: None,
            held: Holdback::new(held),
            pending: None,
            tracing: false,
            failed: None,
            verdict: None,
            actions: VecDeque::new(),
            joining: Joining::default(),
            early: None,
            caught: None,
            closed: false,
        }
    }

    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        let action = self.actions.pop_front();
        if action.is_none() && self.facts.have(Facts::BOUND) {
            // Room for actions is given back, since a connection is idle most of the time.
            self.actions = VecDeque::new();
        }
        action.or_else(|| self.joining.take().map(Action::Transmit))
    }

    /// Queues something that may overtake a write that is still joining.
    pub(crate) fn push(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    /// Asks the caller. What arrives before the answer waits, unless the stream goes on meanwhile.
    pub(crate) fn request(&mut self, request: Request) {
        self.pending = Asked::of(&request).or(self.pending);
        self.push(Action::Request(request));
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.push(Action::Event(event));
    }

    /// A stanza arrived for the application.
    pub(crate) fn arrived(&mut self, stanza: Stanza) {
        self.management.arrived();
        self.event(Event::Stanza(stanza));
    }

    /// Ends the write that is still joining.
    pub(crate) fn flush(&mut self) {
        if let Some(bytes) = self.joining.take() {
            self.push(Action::Transmit(bytes));
        }
    }

    /// Queues something behind everything written so far.
    fn barrier(&mut self, action: Action) {
        self.flush();
        self.push(action);
    }

    /// Whether nothing is or will be written or read any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    fn write(&mut self, bytes: &Bytes, label: impl FnOnce() -> String) {
        if self.may_write(bytes.len(), label) {
            self.joining.push(bytes);
        }
    }

    /// Writes what a machine with a writer of its own has written, and [traced](Self::may_write).
    pub(crate) fn pass_on(&mut self, bytes: &Bytes) {
        self.joining.push(bytes);
    }

    /// Whether anything can still be written; traces what is.
    pub(crate) fn may_write(&mut self, bytes: usize, label: impl FnOnce() -> String) -> bool {
        let open = !self.closed && !self.sending.ended;
        if open && self.tracing {
            let secured = self.sending.layer.is_secured();
            let unit = Unit {
                direction: Direction::Sent,
                label: label(),
                bytes,
                secured,
            };
            self.push(Action::Trace(unit));
        }
        open
    }

    pub(crate) fn read(&mut self, label: impl FnOnce() -> String) {
        if self.tracing {
            let secured = self.receiving.layer.is_secured();
            self.push(Action::Trace(Unit {
                direction: Direction::Received,
                label: label(),
                bytes: 0,
                secured,
            }));
        }
    }

    /// White space, which means nothing and pushes on what went before it (RFC 6120 §4.6.1).
    pub(crate) fn space(&mut self) {
        if !self.closed {
            self.joining.extend(b" ");
        }
    }

    /// Writes the header of this document, if it has not been written.
    pub(crate) fn open(&mut self) {
        let Some(header) = self.sending.unsent.take() else {
            return;
        };
        let label = || "stream header".to_owned();
        self.append(label, |writer, out| writer.header_into(out, &header));
    }

    /// Begins a new document in the sending half.
    pub(crate) fn restart_sending(&mut self, header: StreamHeader) {
        self.sending.unsent = Some(Box::new(header));
    }

    /// Begins a new document in the receiving half.
    pub(crate) fn restart_receiving(&mut self) {
        let limits = if self.facts.have(Facts::AUTHENTICATED) {
            self.bounds.after
        } else {
            self.bounds.before
        };
        self.receiving.restart(limits, true);
    }

    pub(crate) fn element(&mut self, element: &Element) {
        let label = || label(element);
        self.append(label, |writer, out| writer.element_into(out, element));
    }

    /// Writes straight into what goes out next.
    fn append(
        &mut self,
        label: impl FnOnce() -> String,
        write: impl FnOnce(&mut Writer, &mut BytesMut) -> Result<(), WriteError>,
    ) {
        if self.closed || self.sending.ended {
            return;
        }
        let out = self.joining.open();
        let before = out.len();
        match write(&mut self.sending.writer, out) {
            Ok(()) => {
                let bytes = out.len().saturating_sub(before);
                self.may_write(bytes, label);
            }
            Err(error) => self.fail(error.into()),
        }
    }

    /// Writes a stanza, and counts it where stanzas are counted.
    pub(crate) fn stanza(&mut self, stanza: &Stanza) -> Option<sm::Handle> {
        if !self.management.is_on() {
            self.write(stanza.bytes(), || stanza_label(&stanza.element()));
            return None;
        }
        let handle = self.management.send(self.now, stanza.bytes().clone());
        self.drain_management();
        handle
    }

    /// Writes an iq of our own, straight into what goes out next where stanzas are not kept.
    pub(crate) fn iq(&mut self, element: &Element) {
        if !self.management.is_on() {
            let label = || stanza_label(element);
            return self.append(label, |writer, out| writer.element_into(out, element));
        }
        match Stanza::from_element(element) {
            Ok(stanza) => drop(self.stanza(&stanza)),
            Err(error) => self.fail(error.into()),
        }
    }

    /// Carries out what stream management asks for, up to what its role has to deal with.
    pub(crate) fn poll_management(&mut self) -> Option<Notable> {
        while let Some(action) = self.management.poll_action() {
            match action {
                sm::Action::Send(nonza) => self.nonza(&nonza),
                sm::Action::Write(bytes) => {
                    let content = self.content;
                    self.write(&bytes, || {
                        Stanza::parse(&bytes, content).map_or_else(
                            |_| "stanza".to_owned(),
                            |stanza| stanza_label(&stanza.element()),
                        )
                    });
                }
                sm::Action::Request(request) => return Some(Notable::Request(request)),
                sm::Action::Event(sm::Event::Resumed) => return Some(Notable::Resumed),
                sm::Action::Event(sm::Event::Unanswered) => return Some(Notable::Unanswered),
                sm::Action::Event(event) => {
                    let refused = matches!(event, sm::Event::Refused { .. });
                    self.event(Event::Management(event));
                    if refused {
                        return Some(Notable::Refused);
                    }
                }
                _ => {}
            }
        }
        match self.management.poll_timeout() {
            Some(at) => self.timers.set(Reason::Acknowledgement, at),
            None => self.timers.stop(Reason::Acknowledgement),
        }
        None
    }

    /// From here on, what stream management says is kept to ride in something else (XEP-0386 §3.2).
    pub(crate) fn catch(&mut self) {
        self.caught = Some(Vec::new());
    }

    /// What has been kept so far.
    pub(crate) fn caught(&mut self) -> Vec<Element> {
        self.caught
            .as_mut()
            .map(core::mem::take)
            .unwrap_or_default()
    }

    /// From here on it goes out by itself again.
    pub(crate) fn release(&mut self) {
        self.caught = None;
    }

    fn nonza(&mut self, nonza: &sm::Nonza) {
        let Some(short) = nonza.short() else {
            let element = self.management.instant.ride_on(nonza);
            return match &mut self.caught {
                Some(caught) => caught.push(element),
                None => self.element(&element),
            };
        };
        let short = short.as_ref();
        if self.may_write(short.len(), || label(&nonza.to_element())) {
            self.joining.extend(short);
        }
    }

    /// The same where there is nothing for a role to deal with.
    pub(crate) fn drain_management(&mut self) {
        while self.poll_management().is_some() {}
    }

    /// From here on this half's bytes go through TLS.
    pub(crate) fn upgrade_sending(&mut self) {
        self.sending.layer = Layer::Switching;
        self.barrier(Action::UpgradeSend);
    }

    /// What is written from here on goes as early data.
    pub(crate) fn begin_early(&mut self) {
        self.flush();
        self.sending.layer = Layer::Early;
    }

    /// That was all.
    pub(crate) fn end_early(&mut self) {
        self.sending.layer = Layer::Switching;
        self.early = self.joining.take();
        if let Some(bytes) = self.early.clone() {
            self.push(Action::TransmitEarly(bytes));
        }
    }

    /// The peer has taken the early data, or it goes out again.
    pub(crate) fn settle_early(&mut self, taken: bool) {
        if let Some(bytes) = self.early.take().filter(|_| !taken) {
            self.write(&bytes, || "early data again".to_owned());
        }
    }

    /// From here on this half's bytes come through TLS. Nothing learnt in clear survives (RFC 6120 §5.4.3.3).
    pub(crate) fn upgrade_receiving(&mut self) {
        self.receiving.layer = Layer::Switching;
        self.receiving.restart(self.bounds.before, false);
        self.push(Action::UpgradeReceive);
    }

    /// The peer broke a rule: says so in the stream, if anything can still be said, and closes.
    pub(crate) fn fail(&mut self, kind: ErrorKind) {
        if self.closed {
            return;
        }
        let error = Error {
            kind,
            offset: self.receiving.total(),
        };
        self.failed = Some(error.clone());
        if let Some(condition) = error.condition() {
            self.management.on_own_error(condition);
        }
        match error.kind.stream_error() {
            Some(said) => self.end_with(&said.with_text(error.to_string()), End::Failed(error)),
            None => self.finish(End::Failed(error)),
        }
    }

    /// Ends the stream with an error (RFC 6120 §4.9.1.1: inside a header, if none was sent).
    pub(crate) fn end_with(&mut self, error: &StreamError, end: End) {
        // In the middle of a handshake there is nobody who could read it.
        if self.sending.layer != Layer::Switching && !self.sending.ended {
            self.open();
            let bytes = self.sending.writer.error(error);
            self.write(&bytes, || format!("error {}", error.condition));
            self.write_footer();
        }
        self.finish(end);
    }

    fn write_footer(&mut self) {
        let bytes = self.sending.writer.footer();
        self.write(&bytes, || "footer".to_owned());
        self.sending.ended = true;
    }

    /// Closes our half and waits for the peer's (RFC 6120 §4.4).
    pub(crate) fn close(&mut self, env: &Env<'_>) {
        if self.closed || self.sending.ended {
            return;
        }
        if self.sending.layer == Layer::Switching || self.sending.unsent.is_some() {
            return self.finish(End::Clean);
        }
        self.close_management(true);
        self.write_footer();
        self.timers.clear();
        if self.receiving.ended {
            return self.finish(End::Clean);
        }
        self.timers.set(Reason::Close, env.now + self.bounds.close);
    }

    /// The peer closed its half. Ours stays open until the application has dealt with what came before that, so that it
    /// can be acknowledged, but not for ever.
    pub(crate) fn peer_closed(&mut self) {
        self.receiving.ended = true;
        if !self.receiving.opened {
            // It was the stream before a restart that the peer has closed, so ours of before is what it waits for.
            self.sending.unsent = None;
        }
        if !self.sending.ended && self.management.unhandled() > 0 {
            self.timers.set(Reason::Close, self.now + self.bounds.close);
            return;
        }
        self.answer_close();
    }

    /// Whether the peer has closed its half and ours is still open.
    pub(crate) fn owes_close(&self) -> bool {
        self.receiving.ended && !self.sending.ended && !self.closed
    }

    /// Closes our half behind the peer's.
    pub(crate) fn answer_close(&mut self) {
        self.close_management(false);
        if !self.sending.ended {
            self.open();
            self.write_footer();
        }
        self.finish(End::Clean);
    }

    /// The peer ended the stream with an error, which is no clean close: whether the session is over has been decided
    /// by what the error says.
    pub(crate) fn peer_failed(&mut self, error: StreamError) {
        self.receiving.ended = true;
        self.drain_management();
        let open = self.sending.layer != Layer::Switching && self.sending.unsent.is_none();
        if open && !self.sending.ended {
            self.write_footer();
        }
        self.finish(End::PeerError(error));
    }

    /// The last acknowledgement goes before the footer, and asks for the peer's if it still reads; nothing can be
    /// resumed behind it (Openfire OF-3115).
    fn close_management(&mut self, asks: bool) {
        self.management.close(asks);
        self.drain_management();
    }

    /// Hands the session over to another connection.
    pub(crate) fn surrender(&mut self) -> Option<Box<sm::Session>> {
        let unhandled = self.management.unhandled();
        let left = self.management.end();
        if let Some(Left::Resumption(resumption)) = left {
            self.drop_stanzas(unhandled);
            return Some(Box::new(resumption.session));
        }
        self.leave(left, unhandled);
        None
    }

    /// Stanzas that nobody has taken yet will be sent again on resumption: they must not be handed out as well. Returns
    /// how many of `unhandled` have been taken.
    fn drop_stanzas(&mut self, unhandled: u32) -> u32 {
        let mut left = unhandled;
        let mut kept = VecDeque::with_capacity(self.actions.len());
        while let Some(action) = self.actions.pop_back() {
            if left > 0 && matches!(action, Action::Event(Event::Stanza(_))) {
                left = left.saturating_sub(1);
            } else {
                kept.push_front(action);
            }
        }
        self.actions = kept;
        left
    }

    /// A session that cannot go on here returns to whoever keeps sessions.
    pub(crate) fn give_back(&mut self, session: sm::Session) {
        let resumption = Box::new(Resumption::new(session));
        self.push(Action::Entity(EntityEvent::suspended(resumption, 0)));
    }

    /// Nothing of the session stays here: it goes to whoever makes the next connection, or back to the application.
    fn leave(&mut self, left: Option<Left>, unhandled: u32) {
        match left {
            Some(Left::Resumption(resumption)) => {
                let again = self.drop_stanzas(unhandled);
                self.push(Action::Entity(EntityEvent::suspended(resumption, again)));
            }
            Some(Left::HandedBack(entries)) => {
                self.event(Event::Management(sm::Event::HandedBack(entries)));
            }
            Some(Left::Over(id, owner, h)) => {
                self.push(Action::Entity(EntityEvent::over(id, owner, h)));
            }
            None => {}
        }
        self.drain_management();
    }

    /// The last word.
    pub(crate) fn finish(&mut self, end: End) {
        if self.closed {
            return;
        }
        let unhandled = self.management.unhandled();
        let left = self.management.end();
        self.leave(left, unhandled);
        self.end_peering(&end);
        let end = self.verdict.take().map_or(end, |verdict| *verdict);
        self.event(Event::Closed(end));
        self.barrier(Action::Close);
        self.closed = true;
        self.timers.clear();
        self.pending = None;
        let _ = self.held.take();
    }
}
