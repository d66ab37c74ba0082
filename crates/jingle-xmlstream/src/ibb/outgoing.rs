//! The sending direction of a bytestream: a bounded buffer, and a window of chunks that are not acknowledged.

use std::collections::VecDeque;

use bytes::BytesMut;
use onetrip_stream::Text;

use super::Config;

#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// The number of the next chunk.
    pub(crate) next: u16,
    /// What waits for the window.
    pub(crate) buffer: BytesMut,
    /// The ids of chunks that are not acknowledged.
    unacknowledged: VecDeque<Text>,
    /// Whether the caller was told that there is no room.
    refused: bool,
}

impl Outgoing {
    /// As much as there is room for.
    pub(crate) fn accept<'b>(&mut self, config: &Config, bytes: &'b [u8]) -> &'b [u8] {
        let room = config.send_buffer.saturating_sub(self.buffer.len());
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.refused = taken.len() < bytes.len();
        taken
    }

    /// Whether the window has room for a chunk.
    pub(crate) fn has_window(&self, config: &Config) -> bool {
        self.unacknowledged.len() < usize::from(config.window.max(1))
    }

    /// A chunk is sent with this id; returns its number.
    pub(crate) fn sent(&mut self, id: Text) -> u16 {
        self.unacknowledged.push_back(id);
        let seq = self.next;
        self.next = seq.wrapping_add(1);
        seq
    }

    /// A chunk was acknowledged; `false` when that was none of ours.
    pub(crate) fn acknowledged(&mut self, id: &str) -> bool {
        // In practice the first one: acknowledgements come in order.
        let place = self.unacknowledged.iter().position(|known| **known == *id);
        place.is_some_and(|place| self.unacknowledged.remove(place).is_some())
    }

    /// Whether there is room again for a caller that was refused; says so once.
    pub(crate) fn writable_again(&mut self, config: &Config) -> bool {
        let again = self.refused && self.buffer.len() < config.send_buffer;
        self.refused = self.refused && !again;
        again
    }

    /// Whether everything was sent and acknowledged.
    pub(crate) fn is_flushed(&self) -> bool {
        self.buffer.is_empty() && self.unacknowledged.is_empty()
    }

    pub(crate) fn is_waiting(&self) -> bool {
        !self.unacknowledged.is_empty()
    }

    /// Gives up what was not sent.
    pub(crate) fn discard(&mut self) {
        self.buffer.clear();
        self.unacknowledged.clear();
    }
}
