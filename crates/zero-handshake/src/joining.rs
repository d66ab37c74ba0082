//! Writes that follow one another, as one.

use bytes::{Bytes, BytesMut};

/// A single write is passed on as it came, so that a stanza that is forwarded is never copied.
#[derive(Debug, Default)]
pub(crate) struct Joining {
    one: Bytes,
    many: BytesMut,
}

impl Joining {
    pub(crate) fn push(&mut self, bytes: Bytes) {
        if self.is_empty() {
            self.one = bytes;
        } else {
            let first = core::mem::take(&mut self.one);
            self.many.extend_from_slice(&first);
            self.many.extend_from_slice(&bytes);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.one.is_empty() && self.many.is_empty()
    }

    pub(crate) fn take(&mut self) -> Option<Bytes> {
        if !self.many.is_empty() {
            Some(self.many.split().freeze())
        } else {
            Some(core::mem::take(&mut self.one)).filter(|bytes| !bytes.is_empty())
        }
    }
}
