//! The receiving direction of a bytestream: sequence numbers, and chunks until they are read.

use std::collections::VecDeque;

use bytes::Bytes;

use super::wire::{self, Unreadable};
use super::{Config, Error};

/// What becomes of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is in order, and is acknowledged now.
    Taken,
    /// It is in order, but what came before it has not been read: its acknowledgement waits.
    Held,
    /// Its number was used before.
    Duplicate,
}

#[derive(Debug, Default)]
pub(crate) struct Incoming {
    /// The number of the next chunk.
    pub(crate) expected: u16,
    /// How many were taken, as far as a duplicate can be told from a gap.
    taken: u16,
    inbox: VecDeque<Bytes>,
    pub(crate) held: usize,
    /// The ids of requests that are acknowledged when there is room again.
    unanswered: VecDeque<String>,
}

impl Incoming {
    pub(crate) fn take(
        &mut self,
        config: &Config,
        seq: u16,
        text: &[u8],
    ) -> Result<Verdict, Error> {
        let behind = self.expected.wrapping_sub(seq);
        if behind != 0 {
            // What lies less far back than was ever taken was used before; all else was never seen.
            let duplicate = behind <= self.taken.min(u16::MAX / 2);
            return if duplicate {
                Ok(Verdict::Duplicate)
            } else {
                Err(Error::Gap)
            };
        }
        let chunk =
            wire::decode(text, config.block_size, config.strict_base64).map_err(|unreadable| {
                match unreadable {
                    Unreadable::NotBase64 => Error::NotBase64,
                    Unreadable::TooLong => Error::TooLong,
                }
            })?;
        let full = self.held >= config.receive_buffer;
        // A peer that runs far ahead of its acknowledgements fills the buffer twice, and no more.
        if self.held >= config.receive_buffer.saturating_mul(2) {
            return Err(Error::TooMuch);
        }
        self.expected = self.expected.wrapping_add(1);
        self.taken = self.taken.saturating_add(1);
        self.held = self.held.saturating_add(chunk.len());
        if !chunk.is_empty() {
            self.inbox.push_back(chunk);
        }
        Ok(if full { Verdict::Held } else { Verdict::Taken })
    }

    /// This request is acknowledged when there is room.
    pub(crate) fn hold(&mut self, id: &str) {
        self.unanswered.push_back(id.to_owned());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.inbox.is_empty()
    }

    pub(crate) fn read(&mut self) -> Option<Bytes> {
        let chunk = self.inbox.pop_front()?;
        self.held = self.held.saturating_sub(chunk.len());
        Some(chunk)
    }

    /// The next request to acknowledge, now that there is room.
    pub(crate) fn answerable(&mut self, config: &Config) -> Option<String> {
        if self.held < config.receive_buffer {
            self.unanswered.pop_front()
        } else {
            None
        }
    }
}
