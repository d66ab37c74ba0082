//! What goes out on a link, and its end.

use bytes::Bytes;
use onetrip_stream::StreamError;

use super::{Intake, Link, Phase};
use crate::{Action, End, Error, ErrorKind, Event, Reason, Role, Why};

impl Link {
    pub(super) fn event(&mut self, event: Event) {
        self.actions.push_back(Action::Event(event));
    }

    pub(super) fn write(&mut self, bytes: Bytes) {
        self.joining.push(bytes);
        if let Some(interval) = self.terms.presets.keepalive.filter(|_| self.is_open()) {
            self.timers.set(Reason::Keepalive, self.now + interval);
        }
    }

    /// The link is in use.
    pub(super) fn touch(&mut self) {
        let idle = self
            .terms
            .idle_close
            .filter(|_| self.role == Role::Opener && self.phase == Phase::Open && !self.unsettled);
        match idle {
            Some(idle) => self.timers.set(Reason::Idle, self.now + idle),
            None => self.timers.stop(Reason::Idle),
        }
    }

    pub(super) fn begin_closing(&mut self, why: Why, answered: bool) {
        if self.phase == Phase::Open {
            self.phase = Phase::Closing { answered };
            self.touch();
            self.timers.stop(Reason::Keepalive);
            self.timers
                .set(Reason::Close, self.now + self.terms.close_wait);
            self.event(Event::Closing(why));
        }
    }

    /// The footer goes out when nothing else is left to do: whoever was told of the close has had their last word.
    pub(super) fn finish_closing(&mut self) {
        let Phase::Closing { answered } = self.phase else {
            return;
        };
        if self.held {
            return;
        }
        self.write_last(None);
        if answered {
            self.finish(End::Clean);
        } else if !self.terms.send_close {
            self.finish(End::Unanswered);
        } else {
            self.phase = Phase::Awaiting;
        }
    }

    /// The peer, or our application, has taken too long over the close.
    pub(super) fn on_close_due(&mut self) {
        if !matches!(self.phase, Phase::Closing { .. }) {
            return self.finish(End::Unanswered);
        }
        self.held = false;
        self.finish_closing();
        if !self.is_over() {
            self.timers
                .set(Reason::Close, self.now + self.terms.close_wait);
        }
    }

    /// Writes what ends our half, unless that has happened.
    pub(super) fn write_last(&mut self, error: Option<&StreamError>) {
        if !matches!(self.phase, Phase::Open | Phase::Closing { .. }) {
            return;
        }
        if let Some(error) = error {
            self.joining.push(self.writer.error(error));
        }
        if self.terms.send_close {
            self.joining.push(self.writer.footer());
        }
    }

    pub(super) fn finish(&mut self, end: End) {
        if self.is_over() {
            return;
        }
        self.phase = Phase::Over;
        self.intake = Intake::Ended;
        self.timers.clear();
        if let Some(bytes) = self.joining.take() {
            self.actions.push_back(Action::Transmit(bytes));
        }
        self.event(Event::Ended(end));
        self.actions.push_back(Action::Close);
    }

    pub(super) fn fail(&mut self, kind: ErrorKind) -> Error {
        if let Some(condition) = kind.condition() {
            self.write_last(Some(&StreamError::new(condition)));
        }
        let offset = self.received();
        let error = Error { kind, offset };
        self.failed = Some(error.clone());
        self.finish(End::Failed(error.clone()));
        error
    }
}
