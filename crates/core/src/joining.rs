//! The write that is still joining: what follows one another goes out in one piece.

use bytes::{Bytes, BytesMut};

/// Room for several small units at once.
const ROOM: usize = 256;

/// One unit alone goes out as it is: a stanza is not copied, and nothing is allocated for it.
#[derive(Debug, Default)]
pub(crate) struct Joining {
    alone: Option<Bytes>,
    /// Everything, where there is nothing alone.
    buffer: BytesMut,
}

impl Joining {
    fn is_empty(&self) -> bool {
        self.alone.is_none() && self.buffer.is_empty()
    }

    pub(crate) fn push(&mut self, bytes: &Bytes) {
        if self.is_empty() {
            self.alone = Some(bytes.clone());
        } else {
            self.extend(bytes);
        }
    }

    /// Where to write more, with room for what most units are; nothing that is there may be changed.
    pub(crate) fn open(&mut self) -> &mut BytesMut {
        self.room(ROOM)
    }

    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).extend_from_slice(bytes);
    }

    fn room(&mut self, more: usize) -> &mut BytesMut {
        let alone = self.alone.take().unwrap_or_default();
        let needed = alone.len().saturating_add(more);
        let room = self.buffer.capacity().saturating_sub(self.buffer.len());
        if room < needed {
            self.buffer.reserve(needed.max(ROOM));
        }
        self.buffer.extend_from_slice(&alone);
        &mut self.buffer
    }

    /// Ends the write. Room is kept for small units only, so that an idle connection holds none of a large one.
    pub(crate) fn take(&mut self) -> Option<Bytes> {
        let joined = |buffer: &mut BytesMut| match buffer.len() {
            0 => None,
            1..=ROOM => Some(buffer.split().freeze()),
            _ => Some(core::mem::take(buffer).freeze()),
        };
        let alone = self.alone.take().filter(|bytes| !bytes.is_empty());
        alone.or_else(|| joined(&mut self.buffer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_unit_goes_out_as_it_is_and_more_in_order() {
        let mut joining = Joining::default();
        assert_eq!(joining.take(), None);
        let stanza = Bytes::from(b"<message/>".to_vec());
        joining.push(&stanza);
        let alone = joining.take().unwrap_or_default();
        assert_eq!(alone.as_ptr(), stanza.as_ptr(), "not a copy");
        joining.push(&stanza);
        joining.extend(b"<r/>");
        joining.push(&stanza);
        assert_eq!(
            joining.take().as_deref(),
            Some(&b"<message/><r/><message/>"[..])
        );
        joining.extend(b"<r/>");
        joining.push(&stanza);
        assert_eq!(joining.take().as_deref(), Some(&b"<r/><message/>"[..]));
        joining.push(&stanza);
        joining.open().extend_from_slice(b"<a/>");
        assert_eq!(joining.take().as_deref(), Some(&b"<message/><a/>"[..]));
        assert_eq!(joining.take(), None);
    }
}
