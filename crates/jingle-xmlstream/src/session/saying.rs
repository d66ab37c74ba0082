//! What this end says, as stanzas.

use minidom::Element;
use onetrip_stream::{Build as _, Instant, Jid, Stanza, WriteError, ns};

use super::session::{Asked, Pending, Session};
use super::wire::{Content, Jingle, TransportElement, Verb};
use super::{Action, Reason};
use crate::iq::{self, Refusal};
use crate::{Dialect, Role};

impl Session {
    /// A `<jingle/>` of this session, with the attributes that the dialect wants.
    pub(super) fn jingle(&self, verb: Verb) -> Jingle {
        let mut jingle = Jingle::new(verb, &self.sid);
        let initiator = match self.role {
            Role::Initiator => &self.us,
            Role::Responder => &self.peer,
        };
        // Required everywhere in jingle:0, discouraged behind session-initiate in jingle:1 (digest §2.5).
        if self.dialect != Dialect::Modern || verb == Verb::SessionInitiate {
            jingle.initiator = Some(initiator.clone());
        }
        if self.dialect == Dialect::Modern && verb == Verb::SessionAccept {
            jingle.responder = Some(self.us.clone());
        }
        jingle
    }

    /// The one content of this session.
    pub(super) fn content(&self) -> Content {
        Content {
            creator: Role::Initiator,
            name: self.content.clone(),
            described: None,
            transport: None,
            security: None,
        }
    }

    pub(super) fn say(&mut self, now: Instant, asked: Asked, jingle: &Jingle) {
        let peer = self.peer.clone();
        let element = jingle.to_element(self.dialect, self.role);
        self.ask(now, &peer, asked, element);
    }

    pub(super) fn ask(&mut self, now: Instant, to: &Jid, asked: Asked, payload: Element) {
        let id = self.ids.next();
        self.send(iq::set(to, &id, payload));
        self.pending.push(Pending {
            id,
            to: to.clone(),
            asked,
            deadline: now + self.config.ack,
        });
    }

    pub(super) fn say_transport(
        &mut self,
        now: Instant,
        verb: Verb,
        asked: Asked,
        transport: TransportElement,
    ) {
        let mut content = self.content();
        content.transport = Some(transport);
        let mut jingle = self.jingle(verb);
        jingle.contents.push(content);
        self.say(now, asked, &jingle);
    }

    pub(super) fn say_terminate(&mut self, reason: Reason) {
        let mut jingle = self.jingle(Verb::SessionTerminate);
        jingle.reason = Some(reason);
        let element = jingle.to_element(self.dialect, self.role);
        let id = self.ids.next();
        self.send(iq::set(&self.peer, &id, element));
    }

    pub(super) fn answer(&mut self, id: &str) {
        self.send(iq::result(&self.peer, id));
    }

    pub(super) fn refuse(&mut self, id: &str, refusal: Refusal) {
        let errors = self.dialect.errors();
        self.send(iq::refuse(&self.peer, id, refusal, errors));
    }

    /// What XML cannot hold is not sent: that is an address or a candidate which was given here, and the deadline ends it.
    fn send(&mut self, stanza: Result<Stanza, WriteError>) {
        self.actions.extend(stanza.ok().map(Action::Send));
    }
}

/// What a proxy is asked, with the sid of the transport (digest §3.10).
pub(super) fn activation(sid: &str, target: &Jid) -> Element {
    let activate = Element::bare("activate", ns::BYTESTREAMS).with_text(&target.to_string());
    Element::bare("query", ns::BYTESTREAMS)
        .with_attr("sid", sid)
        .with_child(activate)
}
