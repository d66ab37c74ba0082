//! Stanzas that a client sends to itself, over as many connections as it takes: what comes of them is counted.

use std::collections::{BTreeMap, BTreeSet};

use minidom::Element;
use onetrip_core::stream::{Build as _, Content, Jid, Stanza, ns};
use onetrip_core::stream_management::{Handle, Handles};

/// How the ids of an exchange begin.
const NUMBERED: &str = "onetrip-";

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    /// How many were sent, and how many are to be.
    sent: u32,
    goal: u32,
    /// How often each has come back.
    came: BTreeMap<u32, u32>,
    /// The connection is dropped when so many have come back.
    kill_at: Option<usize>,
    /// The session is gone: nothing more comes.
    given_up: bool,
    handed_back: BTreeSet<u32>,
    /// What names each as long as the server has not acknowledged it.
    handles: BTreeMap<Handle, u32>,
    acknowledged: BTreeSet<u32>,
}

/// The number of a stanza, if it is one of an exchange.
fn number(id: &str) -> Option<u32> {
    id.strip_prefix(NUMBERED)?.parse().ok()
}

impl Exchange {
    /// The first half: it is cut off while most of it is on its way.
    pub(crate) fn to_be_cut(stanzas: u32) -> Self {
        Self {
            goal: stanzas,
            kill_at: Some(3),
            ..Self::default()
        }
    }

    /// Goes on with as many again, to the end.
    pub(crate) fn go_on(&mut self) {
        self.goal = self.goal.saturating_mul(2);
        self.kill_at = None;
    }

    /// The session did not go on, so neither does the exchange.
    pub(crate) fn give_up(&mut self) {
        self.given_up = true;
    }

    /// Whether this half is to be cut off.
    pub(crate) fn will_be_cut(&self) -> bool {
        self.kill_at.is_some()
    }

    /// Whether the moment for that has come.
    pub(crate) fn is_cut(&self) -> bool {
        self.kill_at.is_some_and(|at| self.came.len() >= at)
    }

    /// Whether all that is to be sent has come back, or nothing will.
    pub(crate) fn is_over(&self) -> bool {
        self.given_up || self.came.len() == self.goal as usize
    }

    /// The next one to be sent, to our own address.
    pub(crate) fn next(&mut self, to: &Jid) -> Option<Stanza> {
        let goes_on = self.sent < self.goal && !self.given_up;
        let number = goes_on.then_some(self.sent)?;
        self.sent += 1;
        let body = Element::bare("body", ns::CLIENT).with_text(&format!("number {number}"));
        let message = Element::bare("message", ns::CLIENT)
            .with_attr("type", "chat")
            .with_attr("id", format!("{NUMBERED}{number}"))
            .with_attr("to", to.to_string())
            .with_child(body);
        Stanza::from_element(&message).ok()
    }

    /// The last one was sent, and this names it.
    pub(crate) fn on_sent(&mut self, handle: Handle) {
        let last = self.sent.checked_sub(1);
        self.handles.extend(last.map(|number| (handle, number)));
    }

    /// The server has acknowledged these: they are its own to deliver.
    pub(crate) fn on_acknowledged(&mut self, handles: Handles) {
        let numbers = handles.iter().filter_map(|one| self.handles.remove(&one));
        self.acknowledged.extend(numbers);
    }

    /// A stanza came; it may be one of ours.
    pub(crate) fn on_stanza(&mut self, id: &str) {
        if let Some(number) = number(id) {
            *self.came.entry(number).or_insert(0) += 1;
        }
    }

    /// This stanza was handed back.
    pub(crate) fn hand_back(&mut self, bytes: &[u8]) {
        let stanza = Stanza::parse(bytes, Content::Client).ok();
        let id = stanza
            .as_ref()
            .and_then(|stanza| stanza.head().id.as_deref());
        self.handed_back.extend(id.and_then(number));
    }

    /// How many were sent, neither came nor were handed back, came more than once, and were handed back. Of a session that
    /// is gone nothing comes any more: what its server had acknowledged is with that server.
    pub(crate) fn counts(&self) -> [u32; 4] {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let known = |number: &u32| {
            let elsewhere = self.given_up && self.acknowledged.contains(number);
            elsewhere || self.came.contains_key(number) || self.handed_back.contains(number)
        };
        let lost = (0..self.sent).filter(|number| !known(number)).count();
        let twice = self.came.values().filter(|times| **times > 1).count();
        let handed_back = self.handed_back.len();
        [self.sent, count(lost), count(twice), count(handed_back)]
    }
}

#[cfg(test)]
mod tests {
    use onetrip_core::stream::Instant;
    use onetrip_core::stream_management::{
        Action, Config, Count, Event, Granted, Initiator, Nonza,
    };

    use super::*;

    /// Three stanzas are sent, the server acknowledges the first two, and none comes back.
    fn cut() -> Exchange {
        let mut machine = Initiator::new(Config::default());
        machine.enable(Instant::EPOCH, true, None);
        let mut exchange = Exchange::to_be_cut(3);
        let to = "juliet@capulet.lit/balcony".parse().unwrap();
        while let Some(stanza) = exchange.next(&to) {
            let handle = machine.send(Instant::EPOCH, stanza.bytes().clone());
            exchange.on_sent(handle.unwrap());
        }
        let told = [
            Nonza::Enabled(Granted::default()),
            Nonza::Ack(Count::new(2)),
        ];
        for nonza in told {
            let element = nonza.to_element();
            machine.handle(Instant::EPOCH, &element).unwrap();
        }
        while let Some(action) = machine.poll_action() {
            if let Action::Event(Event::Acked(handles)) = action {
                exchange.on_acknowledged(handles);
            }
        }
        exchange
    }

    #[test]
    fn what_a_server_had_acknowledged_is_lost_only_while_its_session_goes_on() {
        let mut exchange = cut();
        assert_eq!(
            exchange.counts(),
            [3, 3, 0, 0],
            "the session may yet bring them"
        );
        exchange.give_up();
        assert_eq!(exchange.counts(), [3, 1, 0, 0], "the third is nowhere");
    }
}
