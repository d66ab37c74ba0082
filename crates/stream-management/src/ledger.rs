//! What one stream owes the other: counts both ways, requests and acknowledgements.

use bytes::Bytes;

use crate::{Count, Entry, Handle, Nonza, Queue, QueueLimits, TooHigh};

/// When the peer is asked for an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AckPolicy {
    /// After so many stanzas sent behind the last request. Default: 5.
    pub request_after: u32,
    /// After so many stanzas handled an `<a/>` is due even unasked. Default: 20.
    pub volunteer_after: u32,
}

impl Default for AckPolicy {
    fn default() -> Self {
        Self {
            request_after: 5,
            volunteer_after: 20,
        }
    }
}

/// What has become of stanzas.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// The peer has handled it.
    Acked(Handle),
    /// There is no room for it in the queue any more: it was sent, and cannot be sent again. The session cannot be
    /// resumed until the peer has acknowledged it.
    Dropped(Entry),
}

/// The books of one stream, alike for both ends (XEP-0198 §4).
///
/// Outbound stanzas count from the sending of `<enable/>` or `<enabled/>`, inbound ones from its arrival; every
/// stanza counts, malformed or not, and nothing else does. `h` moves when the application says that it has
/// handled a stanza, not when it arrived.
///
/// ```
/// # use onetrip_stream_management::{AckPolicy, Count, Ledger, Nonza, QueueLimits, Stage};
/// let mut ours = Ledger::new(QueueLimits::default(), AckPolicy::default());
/// let mut theirs = Ledger::new(QueueLimits::default(), AckPolicy::default());
/// let handle = ours.send("<message/>".into());
/// theirs.arrived();
/// theirs.handled(1);
/// let answer = theirs.requested(); // they were asked by <r/>
/// assert_eq!(answer, Nonza::Ack(Count::new(1)));
/// ours.acknowledged(Count::new(1)).unwrap();
/// assert_eq!(ours.poll_stage(), Some(Stage::Acked(handle)));
/// ```
#[derive(Debug, Clone)]
pub struct Ledger {
    queue: Queue,
    policy: AckPolicy,
    /// What has arrived, and what of it the application has handled.
    arrived: Count,
    handled: Count,
    /// What of it the peer has been told.
    told: Count,
    next: u64,
    /// Stanzas sent since the last `<r/>`, and whether that is unanswered.
    since_request: u32,
    asked: bool,
    stages: std::collections::VecDeque<Stage>,
}

impl Ledger {
    /// Books that begin at 0.
    #[must_use]
    pub fn new(limits: QueueLimits, policy: AckPolicy) -> Self {
        Self::beginning_at(limits, policy, Count::default(), Count::default())
    }

    /// Books that go on where others ended: `sent` and `handled` as they were.
    #[must_use]
    pub fn beginning_at(
        limits: QueueLimits,
        policy: AckPolicy,
        sent: Count,
        handled: Count,
    ) -> Self {
        Self {
            queue: Queue::new(limits, sent),
            policy,
            arrived: handled,
            handled,
            told: handled,
            next: 0,
            since_request: 0,
            asked: false,
            stages: std::collections::VecDeque::new(),
        }
    }

    /// Puts back what was in the queue when the books were closed, in order.
    pub(crate) fn restore(&mut self, first: u64, entries: Vec<Bytes>) {
        self.next = first;
        for bytes in entries {
            self.send(bytes);
        }
        self.since_request = 0;
    }

    /// The handle of the oldest stanza in the queue, or of the next one to be sent.
    pub(crate) fn first_handle(&self) -> u64 {
        self.queue
            .iter()
            .next()
            .map_or(self.next, |entry| entry.handle.0)
    }

    /// What is not acknowledged.
    #[must_use]
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// What the application has handled: the `h` of every answer.
    #[must_use]
    pub fn h(&self) -> Count {
        self.handled
    }

    /// Whether the session could be resumed: nothing that is unacknowledged has been given up.
    #[must_use]
    pub fn is_resumable(&self) -> bool {
        self.queue.is_complete()
    }

    /// The next thing that has become of a stanza.
    pub fn poll_stage(&mut self) -> Option<Stage> {
        self.stages.pop_front()
    }

    /// A stanza goes out.
    pub fn send(&mut self, bytes: Bytes) -> Handle {
        let handle = Handle(self.next);
        self.next = self.next.wrapping_add(1);
        self.since_request = self.since_request.saturating_add(1);
        for entry in self.queue.push(Entry { handle, bytes }) {
            self.stages.push_back(Stage::Dropped(entry));
        }
        handle
    }

    /// Whether an `<r/>` is due; it is noted as sent. One at a time, and only when something is to be
    /// acknowledged, so that two peers never ask each other for ever.
    pub fn request_due(&mut self) -> bool {
        let due = !self.asked && self.since_request >= self.policy.request_after.max(1);
        if due {
            self.note_request();
        }
        due
    }

    /// An `<r/>` goes out, whatever the policy says.
    pub fn note_request(&mut self) {
        self.asked = true;
        self.since_request = 0;
    }

    /// A stanza arrived.
    pub fn arrived(&mut self) {
        self.arrived = self.arrived.next();
    }

    /// The application has handled the oldest so many of the stanzas that arrived; never more than there are.
    pub fn handled(&mut self, stanzas: u32) {
        let open = self.arrived.since(self.handled);
        self.handled = self.handled.plus(stanzas.min(open));
    }

    /// The peer asked: what to answer.
    pub fn requested(&mut self) -> Nonza {
        self.told = self.handled;
        Nonza::Ack(self.handled)
    }

    /// Whether an unasked `<a/>` is due, and which: after many handled stanzas.
    pub fn volunteered(&mut self) -> Option<Nonza> {
        let due = self.handled.since(self.told) >= self.policy.volunteer_after.max(1);
        due.then(|| self.requested())
    }

    /// The last word before a clean close, if the peer does not know yet (XEP-0198 §4).
    pub fn last_ack(&mut self) -> Option<Nonza> {
        (self.handled != self.told).then(|| self.requested())
    }

    /// The peer acknowledged.
    ///
    /// # Errors
    /// [`TooHigh`] when it counts stanzas that were never sent: the stream ends with [`TooHigh::stream_error`].
    pub fn acknowledged(&mut self, h: Count) -> Result<(), TooHigh> {
        let stages = &mut self.stages;
        self.queue
            .ack(h, |handle| stages.push_back(Stage::Acked(handle)))?;
        self.asked = false;
        Ok(())
    }

    /// Everything that is not acknowledged, in order, and no longer here: for the application to decide about.
    pub fn hand_back(&mut self) -> Vec<Entry> {
        self.queue.take()
    }
}
