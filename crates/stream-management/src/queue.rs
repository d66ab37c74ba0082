//! What was sent and is not acknowledged, in order, bounded by count and by bytes.

use std::collections::VecDeque;

use bytes::Bytes;
use onetrip_stream::stored::MAX_FIELD;

use crate::Count;

/// Names one stanza that was handed over to be sent, for as long as it is not settled, across resumptions too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(pub(crate) u64);

/// Stanzas that were handed over one behind the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handles {
    first: u64,
    count: u32,
}

impl Handles {
    /// How many.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.count
    }

    /// Whether there are none: never so in an event.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether this one is among them.
    #[must_use]
    pub const fn contains(&self, handle: Handle) -> bool {
        handle.0.wrapping_sub(self.first) < self.count as u64
    }

    /// Each of them, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = Handle> {
        let first = self.first;
        (0..self.count).map(move |place| Handle(first.wrapping_add(place.into())))
    }
}

/// One stanza in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub handle: Handle,
    /// Its bytes, as they were written.
    pub bytes: Bytes,
}

/// How much may be unacknowledged before a session is openly no longer resumable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueLimits {
    /// Stanzas. Default: 512.
    pub stanzas: usize,
    /// Bytes; a single stanza of more than 1 MiB is never held, whatever is said here. Default: 1 MiB.
    pub bytes: usize,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self {
            stanzas: 512,
            bytes: 1 << 20,
        }
    }
}

/// The peer acknowledged more than was sent (XEP-0198 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected at most the {sent} stanzas that were sent to be acknowledged, got {h}")]
pub struct TooHigh {
    /// What the peer said.
    pub h: Count,
    /// What was sent.
    pub sent: Count,
}

/// Stanzas in the order they were sent, the oldest first.
///
/// It is two counts over a ring: what the peer has acknowledged, and what was sent. What lies between is here, as
/// long as it fits; once it did not, the queue is complete no more and says so, until all of it is acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    stanzas: VecDeque<Bytes>,
    /// The handle of the oldest of them, or of the next: the others follow one by one.
    first: u64,
    bytes: usize,
    limits: QueueLimits,
    /// What the peer has acknowledged.
    acked: Count,
    /// How many unacknowledged stanzas are no longer here.
    dropped: u32,
}

impl Queue {
    /// An empty queue that begins at a count.
    #[must_use]
    pub fn new(limits: QueueLimits, begin: Count) -> Self {
        Self::named_from(limits, begin, 0)
    }

    /// The same for stanzas whose handles begin with this one.
    pub(crate) fn named_from(limits: QueueLimits, begin: Count, first: u64) -> Self {
        Self {
            stanzas: VecDeque::new(),
            first,
            bytes: 0,
            limits,
            acked: begin,
            dropped: 0,
        }
    }

    /// How many stanzas have been sent.
    #[must_use]
    pub fn sent(&self) -> Count {
        self.acked.plus(self.unacked())
    }

    /// How many stanzas the peer has acknowledged.
    #[must_use]
    pub fn acked(&self) -> Count {
        self.acked
    }

    /// How many stanzas are not acknowledged, whether they are still here or not.
    #[must_use]
    pub fn unacked(&self) -> u32 {
        u32::try_from(self.stanzas.len())
            .unwrap_or(u32::MAX)
            .saturating_add(self.dropped)
    }

    /// How many bytes are held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether another stanza finds room, as long as it takes no more than a quarter of all there is: whoever waits for
    /// that loses none.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let bytes = self.limits.bytes;
        self.stanzas.len() < self.limits.stanzas && self.bytes <= bytes.saturating_sub(bytes / 4)
    }

    /// Whether every unacknowledged stanza is here: without that, nothing can be resumed.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.dropped == 0
    }

    /// Whether a stanza is still here.
    #[must_use]
    pub fn holds(&self, handle: Handle) -> bool {
        handle.0.wrapping_sub(self.first) < self.stanzas.len() as u64
    }

    /// The handle of the oldest stanza here, or of the next one to be sent.
    pub(crate) fn first_handle(&self) -> u64 {
        self.first
    }

    /// Puts a stanza behind the others. Those for which there is no room any more are returned, the oldest first:
    /// they were sent, and will never be sent again.
    #[must_use = "what no longer fits is lost if it is not handed back"]
    #[inline]
    pub fn push(&mut self, bytes: Bytes) -> (Handle, Vec<Entry>) {
        let handle = Handle(self.first.wrapping_add(self.stanzas.len() as u64));
        let too_long = bytes.len() > MAX_FIELD;
        self.bytes = self.bytes.saturating_add(bytes.len());
        self.stanzas.push_back(bytes);
        if too_long || !self.fits() {
            (handle, self.make_room(too_long))
        } else {
            (handle, Vec::new())
        }
    }

    fn fits(&self) -> bool {
        self.stanzas.len() <= self.limits.stanzas && self.bytes <= self.limits.bytes
    }

    /// The oldest go first, so that what remains has no hole in it.
    #[cold]
    fn make_room(&mut self, whole: bool) -> Vec<Entry> {
        let mut gone = Vec::new();
        while whole || !self.fits() {
            let handle = Handle(self.first);
            let Some(bytes) = self.pop() else { break };
            self.dropped = self.dropped.saturating_add(1);
            gone.push(Entry { handle, bytes });
        }
        gone
    }

    fn pop(&mut self) -> Option<Bytes> {
        let bytes = self.stanzas.pop_front()?;
        self.first = self.first.wrapping_add(1);
        self.bytes = self.bytes.saturating_sub(bytes.len());
        Some(bytes)
    }

    /// Takes in the peer's `h`: the stanzas that it settles leave the queue. What was dropped before is settled
    /// without being named again.
    ///
    /// # Errors
    /// [`TooHigh`] when the peer counts stanzas that were never sent; nothing changes then.
    pub fn ack(&mut self, h: Count) -> Result<Option<Handles>, TooHigh> {
        // XEP-0198 §4, modulo 2^32. §8.1 of that text drops entries up to h inclusive, which is one too many.
        let fresh = h.since(self.acked);
        if fresh > self.unacked() {
            return Err(TooHigh {
                h,
                sent: self.sent(),
            });
        }
        self.acked = h;
        let gone = fresh.min(self.dropped);
        self.dropped = self.dropped.saturating_sub(gone);
        let (first, count) = (self.first, fresh.saturating_sub(gone));
        for _ in 0..count {
            // It is the sum of what is here, so it never wraps.
            let Some(bytes) = self.stanzas.pop_front() else {
                break;
            };
            self.bytes = self.bytes.wrapping_sub(bytes.len());
        }
        self.first = first.wrapping_add(count.into());
        Ok((count > 0).then_some(Handles { first, count }))
    }

    /// All that is here goes out again on a stream that goes on. What is no longer here never will, so the peer will
    /// never count it.
    pub(crate) fn sent_again(&mut self) {
        self.dropped = 0;
    }

    /// What is not acknowledged, in order, to be sent again after a resumption.
    pub fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.stanzas.iter()
    }

    /// Hands everything over that is not acknowledged; the queue is empty then.
    pub fn take(&mut self) -> Vec<Entry> {
        self.acked = self.sent();
        self.dropped = 0;
        let mut entries = Vec::with_capacity(self.stanzas.len());
        loop {
            let handle = Handle(self.first);
            match self.pop() {
                Some(bytes) => entries.push(Entry { handle, bytes }),
                None => return entries,
            }
        }
    }
}
