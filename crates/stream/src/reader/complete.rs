//! What a complete frame is: a header, a tree, a stanza in its bytes or written anew, the footer.

use bytes::BytesMut;

use super::{Frame, Reader, State};
use crate::front::{Found, Routing};
use crate::rewrite::Rewrite;
use crate::scan::Sink;
use crate::tree::{NOT_A_NAME, Tree};
use crate::{ReadErrorKind, Stanza};

impl Reader {
    /// What a complete frame is, which ends `taken` or was kept; `coming` bytes follow it.
    #[inline(never)]
    pub(super) fn complete(&mut self, taken: &[u8], coming: usize) -> Result<Frame, ReadErrorKind> {
        let bytes = if self.held.is_empty() {
            let before = taken.len().saturating_sub(self.scanner.taken());
            Source::Input(taken.get(before..).unwrap_or_default())
        } else {
            self.before = self.before.saturating_add(self.held.len() as u64);
            Source::Held(self.held.split())
        };
        let is_tame = self.scanner.is_tame();
        self.scanner.begin();
        self.state = State::Between;
        Ok(match core::mem::take(&mut self.front.found) {
            Found::Nothing => {
                self.state = State::Closed;
                Frame::Footer
            }
            Found::Header(header) => {
                if self.scanner.depth() == 0 {
                    self.state = State::Empty;
                }
                Frame::Header(header)
            }
            Found::Tree(element) => Frame::Element(element),
            Found::Element => {
                let mut tree = Tree::new(&bytes);
                self.again(&bytes, &mut tree)?;
                Frame::Element(tree.finish().ok_or(NOT_A_NAME)?)
            }
            Found::Stanza(routing) if is_tame => Frame::Stanza(self.stanza(bytes, routing, coming)),
            Found::Stanza(routing) => {
                let longest = self.limits.element;
                let mut anew = Rewrite::new(&bytes, routing.kind, routing.content, longest);
                self.again(&bytes, &mut anew)?;
                Frame::Stanza(anew.finish().ok_or(NOT_A_NAME)?)
            }
        })
    }

    /// Reads a complete frame once more, for somebody who wants to know what it says.
    fn again(&mut self, frame: &[u8], sink: &mut impl Sink) -> Result<(), ReadErrorKind> {
        self.scanner.run(frame, sink)?;
        self.scanner.begin();
        Ok(())
    }

    /// A stanza whose bytes stay what they are, the declaration of the content namespace left out.
    fn stanza(&mut self, bytes: Source<'_>, routing: Routing, coming: usize) -> Stanza {
        let cut = routing.cut.clone();
        let bytes = match bytes {
            Source::Held(bytes) if cut.is_empty() => bytes,
            bytes => {
                let length = bytes.len().saturating_sub(cut.len());
                self.make_room(length, bytes.len().saturating_add(coming));
                let kept = [bytes.get(..cut.start), bytes.get(cut.end..)];
                for part in kept.into_iter().flatten() {
                    self.held.extend_from_slice(part);
                }
                self.held.split()
            }
        };
        let bytes = bytes.freeze();
        let head = routing.head(&bytes);
        Stanza::from_parts(bytes, head)
    }
}

/// A complete frame: where the caller has it, or where it was kept.
enum Source<'a> {
    Input(&'a [u8]),
    Held(BytesMut),
}

impl core::ops::Deref for Source<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Input(bytes) => bytes,
            Self::Held(bytes) => bytes,
        }
    }
}
