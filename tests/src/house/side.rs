//! One end of one connection, and what it has said and heard.

use std::collections::VecDeque;

use onetrip_core::quickstart::Plan;
use onetrip_core::stream::Jid;
use onetrip_core::stream_management::{Entry, Event as Managed, Granted, Handle};
use onetrip_core::{Connection, End, Event, Request};

/// One end of one connection.
pub struct Side {
    /// The machine.
    pub connection: Connection,
    /// All that it has written.
    pub written: String,
    /// What it has reported.
    pub events: Vec<Event>,
    /// What it asks, where the test decides itself.
    pub asked: VecDeque<Request>,
    /// The retry that the entity has planned.
    pub retry: Option<Plan>,
    /// Whether it closed its transport.
    pub closed: bool,
    /// The session that it was granted or has been given (the server).
    pub session: Option<String>,
    pub(super) wire: Vec<u8>,
    pub(super) upgrades: u8,
    pub(super) server: bool,
}

impl Side {
    /// The stanzas that arrived, as they were written.
    pub fn stanzas(&self) -> Vec<String> {
        let text = |event: &Event| match event {
            Event::Stanza(stanza) => Some(String::from_utf8_lossy(stanza.bytes()).into_owned()),
            _ => None,
        };
        self.events.iter().filter_map(text).collect()
    }

    /// The stanzas that were handed back.
    pub fn handed_back(&self) -> Vec<Entry> {
        let entries = |event: &Event| match event {
            Event::Management(Managed::HandedBack(entries)) => entries.clone(),
            _ => Vec::new(),
        };
        self.events.iter().flat_map(entries).collect()
    }

    /// The same as they were written.
    pub fn handed_back_text(&self) -> Vec<String> {
        let text = |entry: &Entry| String::from_utf8_lossy(&entry.bytes).into_owned();
        self.handed_back().iter().map(text).collect()
    }

    /// The stanzas that the peer has acknowledged.
    pub fn acked(&self) -> Vec<Handle> {
        let handles = |event: &Event| match event {
            Event::Management(Managed::Acked(handles)) => handles.iter().collect(),
            _ => Vec::new(),
        };
        self.events.iter().flat_map(handles).collect()
    }

    /// What its session was granted.
    pub fn granted(&self) -> Option<&Granted> {
        self.events.iter().find_map(|event| match event {
            Event::Management(Managed::Enabled(granted)) => Some(granted),
            _ => None,
        })
    }

    /// Whether it is online, and whether an earlier session goes on.
    pub fn online(&self) -> Option<(&Jid, bool)> {
        self.events.iter().rev().find_map(|event| match event {
            Event::Online { jid, resumed, .. } => Some((jid, *resumed)),
            _ => None,
        })
    }

    /// How it ended.
    pub fn end(&self) -> Option<&End> {
        self.events.iter().rev().find_map(|event| match event {
            Event::Closed(end) => Some(end),
            _ => None,
        })
    }

    /// How often a text was written.
    pub fn count(&self, text: &str) -> usize {
        self.written.matches(text).count()
    }

    /// What was written behind the last of these.
    pub fn behind(&self, text: &str) -> &str {
        self.written.rsplit(text).next().unwrap_or_default()
    }
}
