//! Stanzas that a client sends to itself, over as many connections as it takes: what comes of them is counted.

use std::collections::BTreeMap;

use minidom::Element;
use onetrip_core::stream::{Build as _, Jid, Stanza, ns};

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
    handed_back: u32,
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

    /// Whether this half is to be cut off.
    pub(crate) fn will_be_cut(&self) -> bool {
        self.kill_at.is_some()
    }

    /// Whether the moment for that has come.
    pub(crate) fn is_cut(&self) -> bool {
        self.kill_at.is_some_and(|at| self.came.len() >= at)
    }

    /// Whether all that is to be sent has come back.
    pub(crate) fn is_over(&self) -> bool {
        self.came.len() == self.goal as usize
    }

    /// The next one to be sent, to our own address.
    pub(crate) fn next(&mut self, to: &Jid) -> Option<Stanza> {
        let number = (self.sent < self.goal).then_some(self.sent)?;
        self.sent += 1;
        let body = Element::bare("body", ns::CLIENT).with_text(&format!("number {number}"));
        let message = Element::bare("message", ns::CLIENT)
            .with_attr("type", "chat")
            .with_attr("id", format!("{NUMBERED}{number}"))
            .with_attr("to", to.to_string())
            .with_child(body);
        Stanza::from_element(&message).ok()
    }

    /// A stanza came; it may be one of ours.
    pub(crate) fn on_stanza(&mut self, id: &str) {
        let number = id.strip_prefix(NUMBERED).and_then(|id| id.parse().ok());
        if let Some(number) = number {
            *self.came.entry(number).or_insert(0) += 1;
        }
    }

    /// So many were handed back.
    pub(crate) fn hand_back(&mut self, stanzas: usize) {
        let stanzas = u32::try_from(stanzas).unwrap_or(u32::MAX);
        self.handed_back = self.handed_back.saturating_add(stanzas);
    }

    /// How many were sent, never came, came more than once, and were handed back.
    pub(crate) fn counts(&self) -> [u32; 4] {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let lost = self.sent.saturating_sub(count(self.came.len()));
        let twice = self.came.values().filter(|times| **times > 1).count();
        [self.sent, lost, count(twice), self.handed_back]
    }
}
