//! The acknowledgements of a link (ZH-R5): books that begin with the connection, and end with it.

use bytes::Bytes;
use minidom::Element;
use onetrip_stream::{Env, Instant};
use onetrip_stream_management as sm;
use onetrip_zero_handshake::{Agreement, Link};

/// What was agreed to be counted, if anything was.
#[derive(Debug)]
pub(super) struct Books {
    ledger: Option<sm::Ledger>,
    limits: sm::QueueLimits,
    /// The last word of this end is due: nothing more may be sent.
    closing: bool,
}

impl Books {
    pub(super) fn new(agreement: &Agreement) -> Self {
        let mut limits = sm::QueueLimits::default();
        let ledger = agreement.terms().presets.acknowledgements.map(|agreed| {
            let mut policy = sm::AckPolicy::default();
            policy.request_after = agreed.request_after;
            policy.request_idle = agreed.request_idle;
            policy.answer_within = agreed.answer_within;
            policy.volunteer_after = agreed.volunteer_after;
            limits.stanzas = agreed.stanzas;
            // There is always room for one.
            limits.bytes = agreed.bytes.max(agreement.limits().element);
            sm::Ledger::new(limits, policy)
        });
        Self {
            ledger,
            limits,
            closing: false,
        }
    }

    /// Whether anything is counted.
    pub(super) fn are_kept(&self) -> bool {
        self.ledger.is_some()
    }

    /// Whether a stanza can be kept until it is acknowledged: one that cannot must not go out, or it could be lost.
    pub(super) fn have_room(&self, bytes: usize) -> bool {
        self.ledger.as_ref().is_none_or(|ledger| {
            let queue = ledger.queue();
            let stanzas = usize::try_from(queue.unacked()).unwrap_or(usize::MAX);
            stanzas < self.limits.stanzas
                && queue.bytes().saturating_add(bytes) <= self.limits.bytes
        })
    }

    /// A stanza goes out: request before it, acknowledgement behind it, all in one write.
    pub(super) fn request_due(&mut self, now: Instant) -> bool {
        let ledger = self.ledger.as_mut();
        ledger.is_some_and(|ledger| ledger.request_due(now))
    }

    /// Asks now, whatever the policy says, if there is anything to ask about.
    pub(super) fn request(&mut self, now: Instant) -> Option<sm::Nonza> {
        let ledger = self.ledger.as_mut()?;
        if ledger.queue().unacked() == 0 {
            return None;
        }
        ledger.note_request(now);
        Some(sm::Nonza::Request)
    }

    pub(super) fn sent(&mut self, now: Instant, bytes: Bytes) -> Option<sm::Handle> {
        // There was room, so that nothing is dropped.
        self.ledger.as_mut().map(|ledger| ledger.send(now, bytes).0)
    }

    pub(super) fn arrived(&mut self) {
        if let Some(ledger) = &mut self.ledger {
            ledger.arrived();
        }
    }

    /// A stanza arrived that the application will not see.
    pub(super) fn arrived_own(&mut self) {
        if let Some(ledger) = &mut self.ledger {
            ledger.arrived_own();
        }
    }

    pub(super) fn handled(&mut self, stanzas: u32) {
        if let Some(ledger) = &mut self.ledger {
            ledger.handled(stanzas);
        }
    }

    /// Tells the link what is open at either end, and says what is due unasked.
    pub(super) fn settle(&mut self, env: &mut Env<'_>, link: &mut Link) -> Option<sm::Nonza> {
        let ledger = self.ledger.as_mut()?;
        link.set_unsettled(env, ledger.queue().unacked() > 0);
        link.set_unhandled(ledger.unhandled() > 0);
        if self.closing {
            return ledger.last_ack();
        }
        ledger.volunteered()
    }

    /// The last acknowledgement comes before the footer, as soon as everything is handled; what the peer owes is asked for,
    /// if it still reads.
    pub(super) fn close(&mut self, asks: bool) -> Option<sm::Nonza> {
        self.closing = true;
        let ledger = self.ledger.as_mut()?;
        (asks && ledger.queue().unacked() > 0).then_some(sm::Nonza::Request)
    }

    /// Takes in an `<r/>` or `<a/>`: what to answer, or what it settles.
    pub(super) fn read(&mut self, now: Instant, element: &Element) -> Result<Read, sm::Error> {
        let nonza = match sm::Nonza::read(element) {
            Some(nonza) => nonza?,
            None => return Err(sm::Error::OutOfTurn),
        };
        match (nonza, &mut self.ledger) {
            (sm::Nonza::Request, Some(ledger)) => Ok(Read::Answer(ledger.requested())),
            (sm::Nonza::Ack(h), Some(ledger)) => Ok(Read::Settled(ledger.acknowledged(now, h)?)),
            _ => Err(sm::Error::OutOfTurn),
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.ledger.as_ref().and_then(sm::Ledger::deadline)
    }

    pub(super) fn due(&mut self, now: Instant) -> Option<sm::Due> {
        self.ledger.as_mut().and_then(|ledger| ledger.due(now))
    }

    pub(super) fn stage(&self, handle: sm::Handle) -> Option<sm::Stage> {
        let queue = self.ledger.as_ref()?.queue();
        queue.holds(handle).then_some(sm::Stage::Sent)
    }

    /// What was in flight when the link ended.
    pub(super) fn hand_back(&mut self) -> Vec<sm::Entry> {
        let ledger = self.ledger.take();
        ledger.map_or_else(Vec::new, |mut ledger| ledger.hand_back())
    }
}

/// What an element of the peer's comes to.
pub(super) enum Read {
    Answer(sm::Nonza),
    Settled(Option<sm::Handles>),
}
