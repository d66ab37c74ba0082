//! How a connection ends: errors of both ends, footers, and what becomes of its session.

use std::collections::VecDeque;

use onetrip_stream::{Env, StreamError};
use onetrip_stream_management as sm;

use super::Shell;
use crate::half::Layer;
use crate::management::Left;
use crate::{Action, End, EntityEvent, Error, ErrorKind, Event, Reason, Resumption};

impl Shell {
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
