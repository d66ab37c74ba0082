//! One connection against whatever its peer might write.

use std::borrow::Cow;

use onetrip_core::stream::Instant;
use onetrip_core::{Connection, Event};

use super::Input;
use super::watch::{self, Seen};

/// The most steps of a run.
pub(super) const STEPS: usize = 200;

/// A connection, and what an input makes of it.
pub(super) trait Alone {
    /// Does what the next bytes say.
    fn step(&mut self, input: &mut Input<'_>);
    /// Gives bytes in at the next deadline; `false` without one.
    fn wake(&mut self) -> bool;
    fn close(&mut self);
    /// What is random from here on is the same each time.
    fn settle_randomness(&mut self);
    fn now(&self) -> Instant;
    fn connection(&self) -> &Connection;
    fn events(&self) -> &[Event];
    fn written(&self) -> Cow<'_, str>;
    fn is_closed(&self) -> bool;
    /// Whether TLS is there from the first byte.
    fn is_direct(&self) -> bool;

    /// What must hold at every moment.
    fn check(&self) {
        let seen = Seen {
            connection: self.connection(),
            events: self.events(),
            closed: self.is_closed(),
            written: &self.written(),
            direct: self.is_direct(),
        };
        seen.check();
    }

    /// Does all that the bytes say, and comes to an end.
    fn run(&mut self, input: &mut Input<'_>) {
        self.check();
        for _ in 0..STEPS {
            if input.is_empty() || self.is_closed() {
                break;
            }
            self.step(input);
            self.check();
        }
        self.finish();
    }

    /// Nothing more comes: what is not online is over in time, and what is can be closed.
    fn finish(&mut self) {
        if self.connection().is_online() {
            self.close();
        }
        let since = self.now();
        while !self.is_closed() {
            assert!(self.wake(), "it waits for ever");
            let late = watch::is_overdue(since, self.now());
            assert!(!late, "it waits too long: {:?}", self.events());
            self.check();
        }
    }
}
