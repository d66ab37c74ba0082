//! What a bytestream says: chunks, requests, answers and refusals to the peer, events to its caller.

use onetrip_stream::{Stanza, Text, WriteError, ns};

use super::bytestream::Bytestream;
use super::{Action, Event, Packet, wire};
use crate::iq::{self, Refusal};

impl Bytestream {
    /// Sends chunks off the front of what there is, as far as the window has room; returns the rest.
    pub(super) fn send_chunks<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let mut rest = bytes;
        while !rest.is_empty() && self.outgoing.has_window(&self.config) {
            let size = usize::from(self.config.block_size);
            let (chunk, behind) = rest.split_at_checked(size).unwrap_or((rest, &[]));
            self.send_chunk(chunk);
            rest = behind;
        }
        rest
    }

    fn send_chunk(&mut self, chunk: &[u8]) {
        let id = Text::from(self.ids.next());
        let seq = self.outgoing.sent(id.clone());
        let sid = &self.sid;
        let data = Packet::Data { sid, seq }.to_payload();
        let head = iq::head(self.to.clone(), id, "set");
        let length = wire::encoded_length(chunk.len());
        let stanza = Stanza::with_text(head, &data, &wire::encoded(chunk), length);
        self.send(stanza);
    }

    pub(super) fn say_close(&mut self) -> String {
        let id = self.ids.next();
        let sid = self.sid.clone();
        self.ask(&id, &Packet::Close { sid: &sid });
        id
    }

    pub(super) fn ask(&mut self, id: &str, packet: &Packet<'_>) {
        let head = iq::head(self.to.clone(), id, "set");
        self.send(Stanza::new(head, Some(&packet.to_payload())));
    }

    pub(super) fn answer(&mut self, id: &str) {
        let head = iq::head(self.to.clone(), id, "result");
        self.send(Stanza::new(head, None));
    }

    pub(super) fn refuse(&mut self, id: &str, refusal: Refusal) {
        let errors = ns::JINGLE_ERRORS_1;
        self.send(iq::refuse(&self.peer, id, refusal, errors));
    }

    /// What XML cannot hold is not sent: that is a sid or an address which was given here, and the deadline ends it.
    fn send(&mut self, stanza: Result<Stanza, WriteError>) {
        self.actions.extend(stanza.ok().map(Action::Send));
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.actions.push_back(Action::Event(event));
    }

    pub(super) fn tell_readable(&mut self) {
        if !self.incoming.is_empty() && self.actions.back() != Some(&Action::Event(Event::Readable))
        {
            self.tell(Event::Readable);
        }
    }
}
