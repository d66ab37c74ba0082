//! What one stream owes the other: counts both ways, requests and acknowledgements.

use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;
use onetrip_stream::Instant;

use crate::{Count, Entry, Handle, Handles, Nonza, Queue, QueueLimits, TooHigh};

/// When the peer is asked for an acknowledgement, and when one is volunteered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AckPolicy {
    /// `<r/>` goes along with the first stanza behind so many that no request covers. Default: 5.
    pub request_after: u32,
    /// `<r/>` goes on its own when a stanza has been waiting so long and no request covers it. Default: 3 s.
    pub request_idle: Duration,
    /// Silence of this length behind an `<r/>` means that the connection is dead. Default: 60 s.
    pub answer_within: Duration,
    /// After so many stanzas handled an `<a/>` is due even unasked. Default: 20.
    pub volunteer_after: u32,
}

impl Default for AckPolicy {
    fn default() -> Self {
        Self {
            request_after: 5,
            request_idle: Duration::from_secs(3),
            answer_within: Duration::from_secs(60),
            volunteer_after: 20,
        }
    }
}

/// What is due when the deadline of a [`Ledger`] has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Due {
    /// An `<r/>`; it is noted as sent.
    Request,
    /// The peer was asked and has not answered: the connection is dead.
    Unanswered,
}

/// The books of one stream, alike for both ends (XEP-0198 §4).
///
/// Outbound stanzas count from the sending of `<enable/>` or `<enabled/>`, inbound ones from its arrival; every
/// stanza counts, malformed or not, and nothing else does. `h` moves when the application says that it has
/// handled a stanza, not when it arrived.
///
/// ```
/// # use onetrip_stream::Instant;
/// # use onetrip_stream_management::{AckPolicy, Count, Ledger, Nonza, QueueLimits};
/// let mut ours = Ledger::new(QueueLimits::default(), AckPolicy::default());
/// let mut theirs = Ledger::new(QueueLimits::default(), AckPolicy::default());
/// let (handle, dropped) = ours.send(Instant::EPOCH, "<message/>".into());
/// assert!(dropped.is_empty());
/// theirs.arrived();
/// theirs.handled(1);
/// let answer = theirs.requested(); // they were asked by <r/>
/// assert_eq!(answer, Nonza::Ack(Count::new(1)));
/// let settled = ours.acknowledged(Instant::EPOCH, Count::new(1)).unwrap().unwrap();
/// assert!(settled.contains(handle));
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
    /// What had arrived when the peer asked, if not all of it was handled: it hears again when it is.
    owed: Option<Count>,
    /// The places of those that arrived for nobody but ourselves: counted as soon as their turn comes.
    own: VecDeque<Count>,
    /// Stanzas sent that no `<r/>` covers, and since when.
    since_request: u32,
    uncovered: Option<Instant>,
    /// When the `<r/>` that is unanswered went out.
    asked: Option<Instant>,
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
        // Never behind none.
        let policy = AckPolicy {
            request_after: policy.request_after.max(1),
            volunteer_after: policy.volunteer_after.max(1),
            ..policy
        };
        Self {
            queue: Queue::new(limits, sent),
            policy,
            arrived: handled,
            handled,
            told: handled,
            owed: None,
            own: VecDeque::new(),
            since_request: 0,
            uncovered: None,
            asked: None,
        }
    }

    /// Puts back what was in the queue when the books were closed, in order. What has no room any more is returned.
    pub(crate) fn restore(
        &mut self,
        limits: QueueLimits,
        first: u64,
        stanzas: &[Bytes],
    ) -> Vec<Entry> {
        self.queue = Queue::named_from(limits, self.queue.acked(), first);
        let pushed = stanzas.iter().map(|bytes| self.queue.push(bytes.clone()).1);
        pushed.flatten().collect()
    }

    /// The handle of the oldest stanza in the queue, or of the next one to be sent.
    pub(crate) fn first_handle(&self) -> u64 {
        self.queue.first_handle()
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

    /// How many stanzas have arrived for the application that it has not said to be handled.
    #[must_use]
    pub fn unhandled(&self) -> u32 {
        let own = u32::try_from(self.own.len()).unwrap_or(u32::MAX);
        self.open().saturating_sub(own)
    }

    /// The same with those that the application will never see.
    fn open(&self) -> u32 {
        self.arrived.since(self.handled)
    }

    /// Whether the session could be resumed: nothing that is unacknowledged has been given up.
    #[must_use]
    pub fn is_resumable(&self) -> bool {
        self.queue.is_complete()
    }

    /// A stanza goes out. What there is no room for any more is returned with its handle: it was sent, and cannot be
    /// sent again.
    #[must_use = "what no longer fits is lost if it is not handed back"]
    #[inline]
    pub fn send(&mut self, now: Instant, bytes: Bytes) -> (Handle, Vec<Entry>) {
        self.since_request = self.since_request.saturating_add(1);
        self.uncovered.get_or_insert(now);
        self.queue.push(bytes)
    }

    /// All that is in the queue goes out again.
    pub(crate) fn sent_again(&mut self, now: Instant) {
        self.queue.sent_again();
        self.since_request = self.queue.unacked();
        self.uncovered = (self.since_request > 0).then_some(now);
        self.asked = None;
    }

    /// Whether an `<r/>` is due; it is noted as sent. One at a time, and only when something is to be
    /// acknowledged, so that two peers never ask each other for ever.
    pub fn request_due(&mut self, now: Instant) -> bool {
        let due = self.asked.is_none() && self.since_request >= self.policy.request_after;
        if due {
            self.note_request(now);
        }
        due
    }

    /// An `<r/>` goes out, whatever the policy says.
    pub fn note_request(&mut self, now: Instant) {
        self.asked = Some(now);
        self.since_request = 0;
        self.uncovered = None;
    }

    /// When [`Ledger::due`] will have something.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match (self.asked, self.uncovered) {
            (Some(asked), _) => Some(asked + self.policy.answer_within),
            (None, Some(since)) => Some(since + self.policy.request_idle),
            (None, None) => None,
        }
    }

    /// What is due now.
    pub fn due(&mut self, now: Instant) -> Option<Due> {
        if self.deadline().is_none_or(|deadline| deadline > now) {
            return None;
        }
        if self.asked.take().is_some() {
            self.uncovered = None;
            return Some(Due::Unanswered);
        }
        self.note_request(now);
        Some(Due::Request)
    }

    /// A stanza arrived.
    pub fn arrived(&mut self) {
        self.arrived = self.arrived.next();
    }

    /// A stanza arrived that the application will never see: it is handled when all before it are.
    pub fn arrived_own(&mut self) {
        self.arrived();
        self.own.push_back(self.arrived);
        self.settle_own();
    }

    fn settle_own(&mut self) {
        while self.own.front() == Some(&self.handled.next()) {
            self.own.pop_front();
            self.handled = self.handled.next();
        }
    }

    /// The application has handled the oldest so many of the stanzas that arrived; never more than there are.
    pub fn handled(&mut self, stanzas: u32) {
        if self.own.is_empty() {
            self.handled = self.handled.plus(stanzas.min(self.unhandled()));
            return;
        }
        for _ in 0..stanzas.min(self.unhandled()) {
            self.handled = self.handled.next();
            self.settle_own();
        }
    }

    /// The peer asked: what to answer, at once. What the application has not handled yet is answered for later, by
    /// [`Ledger::volunteered`].
    pub fn requested(&mut self) -> Nonza {
        self.owed = (self.unhandled() > 0).then_some(self.arrived);
        self.answer()
    }

    fn answer(&mut self) -> Nonza {
        self.told = self.handled;
        Nonza::Ack(self.handled)
    }

    /// Whether an `<a/>` is due without an `<r/>`, and which: after many handled stanzas, and when all that the peer has
    /// asked about is handled.
    pub fn volunteered(&mut self) -> Option<Nonza> {
        let many = self.handled.since(self.told) >= self.policy.volunteer_after;
        let paid = self
            .owed
            .is_some_and(|owed| self.open() <= self.arrived.since(owed));
        if paid {
            self.owed = None;
        }
        (many || paid).then(|| self.answer())
    }

    /// The last word before a clean close, if the peer does not know yet (XEP-0198 §4).
    pub fn last_ack(&mut self) -> Option<Nonza> {
        (self.handled != self.told).then(|| self.answer())
    }

    /// The peer acknowledged: what it settles. What it leaves open is asked about again.
    ///
    /// # Errors
    /// [`TooHigh`] when it counts stanzas that were never sent: the stream ends with [`TooHigh::stream_error`].
    pub fn acknowledged(&mut self, now: Instant, h: Count) -> Result<Option<Handles>, TooHigh> {
        let settled = self.queue.ack(h)?;
        self.asked = None;
        if self.queue.unacked() == 0 {
            self.since_request = 0;
            self.uncovered = None;
        } else {
            self.uncovered.get_or_insert(now);
        }
        Ok(settled)
    }

    /// Everything that is not acknowledged, in order, and no longer here: for the application to decide about.
    pub fn hand_back(&mut self) -> Vec<Entry> {
        self.queue.take()
    }
}
