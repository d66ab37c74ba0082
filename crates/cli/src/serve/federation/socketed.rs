//! A connection that has a socket: what happens there goes in, what there is to do there comes out.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use onetrip_core::stream::Env;
use onetrip_tls::{Output, Secured, TlsSession};
use tokio::sync::Notify;

use crate::meter::Measuring;

/// How many bytes of stanzas may wait for a server that does not read.
pub(super) const UNWRITTEN: usize = 4 * 1024 * 1024;

/// See the module.
pub(super) struct Socketed<S> {
    pub(super) secured: Secured<S>,
    /// Tells whoever has the socket that there is something to write.
    pub(super) wake: Rc<Notify>,
    /// How many bytes have not been written yet.
    pub(super) unwritten: usize,
}

/// What happened on a socket.
pub(super) enum Input<'a> {
    /// Nothing: others may have left something to write, or a deadline may have passed.
    Nothing,
    Bytes(&'a [u8]),
    End,
}

/// What a socket has to do next.
pub(super) struct Next {
    pub(super) write: Vec<Bytes>,
    pub(super) close: bool,
    pub(super) wait: Duration,
}

impl Next {
    /// Nothing.
    pub(super) fn new() -> Self {
        Self {
            write: Vec::new(),
            close: false,
            wait: Duration::from_secs(3600),
        }
    }
}

impl<S: TlsSession> Socketed<S> {
    pub(super) fn new(secured: Secured<S>) -> Self {
        Self {
            secured,
            wake: Rc::new(Notify::new()),
            unwritten: 0,
        }
    }

    /// Takes in what happened on the socket.
    pub(super) fn take_in(
        &mut self,
        env: &mut Env<'_>,
        input: Input<'_>,
        measuring: Option<&Measuring>,
    ) {
        if let (Input::Bytes(bytes), Some(measuring)) = (&input, measuring) {
            measuring.meter().read(bytes.len());
        }
        match input {
            // What the peer did wrong comes out as outputs as well.
            Input::Bytes(bytes) => drop(self.secured.receive(env, bytes)),
            Input::End => self.secured.receive_eof(env),
            Input::Nothing => self.secured.handle_timeout(env),
        }
    }

    /// The next output that is not for the socket; those that are go to `next`, which is complete when there is none left.
    /// `backlog` is how many bytes the socket has not written yet.
    pub(super) fn poll(
        &mut self,
        env: &Env<'_>,
        next: &mut Next,
        backlog: usize,
        measuring: Option<&Measuring>,
    ) -> Option<Output> {
        while let Some(output) = self.secured.poll_output() {
            match (output, measuring) {
                (Output::Transmit(bytes), measuring) => {
                    if let Some(measuring) = measuring {
                        measuring.meter().write(bytes.len());
                    }
                    next.write.push(bytes);
                }
                (Output::Trace(unit), Some(measuring)) => measuring.meter().unit(unit),
                (Output::Close, _) => next.close = true,
                (output, _) => return Some(output),
            }
        }
        let lengths = next.write.iter().map(Bytes::len);
        self.unwritten = lengths.fold(backlog, usize::saturating_add);
        if let Some(deadline) = self.secured.poll_timeout() {
            next.wait = deadline.at.since(env.now);
        }
        None
    }
}
