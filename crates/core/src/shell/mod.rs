//! What every connection has, whatever it negotiates: two halves, their layers, the queue of actions, deadlines.

mod ending;
mod managed;
mod writing;

use std::collections::VecDeque;

use bytes::Bytes;
use minidom::Element;
use onetrip_quickstart::Holdback;
use onetrip_stream::{Content, Instant, Stanza, StreamHeader};

use crate::asked::Asked;
use crate::half::{Layer, Receiving, Sending};
use crate::joining::Joining;
use crate::management::Management;
use crate::order::Facts;
use crate::peering::Peering;
use crate::timers::Timers;
use crate::{Action, Bounds, Direction, End, Error, Event, Request, Unit};

pub(crate) use managed::Notable;

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

    /// Begins a new document in the receiving half.
    pub(crate) fn restart_receiving(&mut self) {
        let limits = if self.facts.have(Facts::AUTHENTICATED) {
            self.bounds.after
        } else {
            self.bounds.before
        };
        self.receiving.restart(limits, true);
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
}
