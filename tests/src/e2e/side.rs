//! One end, and everything it has done.

use minidom::Element;
use onetrip_core::e2e::{EndToEnd, Received, Streamhost};
use onetrip_core::jingle::socks5::{Slot, Timeouts};
use onetrip_simulator::Seeded;
use onetrip_tls::SecuredEnd;

use super::Tls;

/// One end, and everything it has done.
pub struct Side {
    /// The machine; the responder's is there once the initiator has been heard.
    pub machine: Option<SecuredEnd<Tls>>,
    pub(super) entropy: Seeded,
    pub(super) host: Streamhost,
    pub(super) slot: Option<Slot>,
    /// What it said by way of the server, in order.
    pub said: Vec<Element>,
    /// What it reported, in words.
    pub events: Vec<String>,
    /// The stanzas that came.
    pub received: Vec<Received>,
    /// What it wrote to sockets.
    pub written: Vec<u8>,
}

impl Side {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            machine: None,
            entropy: Seeded::new(seed),
            host: Streamhost::new(Timeouts::default(), 16),
            slot: None,
            said: Vec::new(),
            events: Vec::new(),
            received: Vec::new(),
            written: Vec::new(),
        }
    }

    /// The bodies of the messages that came.
    #[must_use]
    pub fn bodies(&self) -> Vec<String> {
        let body = |received: &Received| {
            let element = received.stanza.element();
            element
                .get_child("body", "jabber:client")
                .map(Element::text)
                .unwrap_or_default()
        };
        self.received.iter().map(body).collect()
    }

    /// The machine.
    ///
    /// # Panics
    /// Before there is one.
    pub fn end(&self) -> &EndToEnd {
        self.machine.as_ref().expect("it has begun").end()
    }

    /// The actions of Jingle, IBB and the like that were said, without mere results.
    #[must_use]
    pub fn verbs(&self) -> Vec<String> {
        let asked = self
            .said
            .iter()
            .filter(|stanza| stanza.attr("type") != Some("result"));
        asked.map(verb).collect()
    }
}

/// What a stanza asks for, or the condition of an error.
#[must_use]
pub fn verb(stanza: &Element) -> String {
    let Some(child) = stanza.children().last() else {
        return stanza.name().to_owned();
    };
    match child.attr("action") {
        Some("session-terminate") => {
            let reason = child.children().flat_map(Element::children).next();
            format!("session-terminate {}", reason.map_or("", Element::name))
        }
        Some(action) => action.to_owned(),
        None if child.name() == "error" => child
            .children()
            .map(Element::name)
            .collect::<Vec<_>>()
            .join(" "),
        None => child.name().to_owned(),
    }
}
