//! What both machines share once counting has begun: the order of writes, and the replay.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::{Action, Count, Error, Event, Handle, Ledger, Nonza};

/// What both machines share once counting has begun.
#[derive(Debug)]
pub(crate) struct Books {
    pub(crate) ledger: Option<Ledger>,
    pub(crate) actions: VecDeque<Action>,
}

impl Books {
    pub(crate) fn new() -> Self {
        Self {
            ledger: None,
            actions: VecDeque::new(),
        }
    }

    pub(crate) fn push(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    pub(crate) fn say(&mut self, nonza: &Nonza) {
        self.push(Action::Send(nonza.to_element()));
    }

    pub(crate) fn drain_stages(&mut self) {
        while let Some(stage) = self.ledger.as_mut().and_then(Ledger::poll_stage) {
            self.push(Action::Event(Event::Stage(stage)));
        }
    }

    /// Request before data, acknowledgement after it, all in one write.
    pub(crate) fn send(&mut self, bytes: Bytes) -> Option<Handle> {
        let Some(ledger) = &mut self.ledger else {
            self.push(Action::Write(bytes));
            return None;
        };
        let handle = ledger.send(bytes.clone());
        let (asks, answers) = (ledger.request_due(), ledger.volunteered());
        if asks {
            self.say(&Nonza::Request);
        }
        self.push(Action::Write(bytes));
        if let Some(answer) = answers {
            self.say(&answer);
        }
        self.drain_stages();
        Some(handle)
    }

    pub(crate) fn arrived(&mut self) {
        if let Some(ledger) = &mut self.ledger {
            ledger.arrived();
        }
    }

    pub(crate) fn handled(&mut self, stanzas: u32) {
        let answer = self.ledger.as_mut().and_then(|ledger| {
            ledger.handled(stanzas);
            ledger.volunteered()
        });
        if let Some(answer) = answer {
            self.say(&answer);
        }
    }

    /// `<r/>` and `<a/>`; `false` for anything else.
    pub(crate) fn on_books(&mut self, nonza: &Nonza) -> Result<bool, Error> {
        let Some(ledger) = &mut self.ledger else {
            return Ok(false);
        };
        match nonza {
            Nonza::Request => {
                let answer = ledger.requested();
                self.say(&answer);
            }
            Nonza::Ack(h) => ledger.acknowledged(*h)?,
            _ => return Ok(false),
        }
        self.drain_stages();
        Ok(true)
    }

    /// The third step of every resumption: what the peer has not handled is sent again, in order, before anything new.
    pub(crate) fn replay(&mut self, h: Count) -> Result<(), Error> {
        if let Some(ledger) = &mut self.ledger {
            ledger.acknowledged(h)?;
            let again: Vec<Bytes> = ledger
                .queue()
                .iter()
                .map(|entry| entry.bytes.clone())
                .collect();
            self.drain_stages();
            again
                .into_iter()
                .for_each(|bytes| self.push(Action::Write(bytes)));
        }
        Ok(())
    }

    pub(crate) fn close(&mut self) {
        if let Some(answer) = self.ledger.as_mut().and_then(Ledger::last_ack) {
            self.say(&answer);
        }
        self.hand_back();
    }

    pub(crate) fn hand_back(&mut self) {
        let entries = self
            .ledger
            .take()
            .map(|mut ledger| ledger.hand_back())
            .unwrap_or_default();
        if !entries.is_empty() {
            self.push(Action::Event(Event::HandedBack(entries)));
        }
    }
}
