//! A stanza written down anew, because its bytes were not in a form that every parser reads alike.

use bytes::Bytes;

use crate::encode::Encoder;
use crate::scan::{Run, Sink, Start};
use crate::stanza::{Head, StanzaKind};
use crate::tree::{NOT_A_NAME, attributes};
use crate::{Content, Limit, ReadErrorKind, Stanza, WriteError};

/// Writes one stanza.
#[derive(Debug)]
pub(crate) struct Rewrite<'a> {
    frame: &'a [u8],
    encoder: Encoder,
    kind: StanzaKind,
    content: Content,
    head: Option<Head>,
    /// Bytes it may become long: escaping and declarations can make it longer than what came in.
    allowed: usize,
}

impl<'a> Rewrite<'a> {
    /// Of a frame that has been scanned; `longest` is the limit of what comes in.
    pub(crate) fn new(frame: &'a [u8], kind: StanzaKind, content: Content, longest: usize) -> Self {
        Self {
            frame,
            encoder: Encoder::new(content.namespace()),
            kind,
            content,
            head: None,
            allowed: longest.saturating_mul(8),
        }
    }

    pub(crate) fn finish(self) -> Option<Stanza> {
        let bytes = Bytes::from(self.encoder.finish());
        self.head.map(|head| Stanza::from_parts(bytes, head))
    }

    fn bounded(&self, written: Result<(), WriteError>) -> Result<(), ReadErrorKind> {
        written.map_err(|_| NOT_A_NAME)?;
        if self.encoder.len() > self.allowed {
            return Err(ReadErrorKind::TooMuch {
                limit: Limit::Element,
                allowed: self.allowed,
            });
        }
        Ok(())
    }
}

impl Sink for Rewrite<'_> {
    const AGAIN: bool = true;

    fn start(&mut self, start: &Start<'_>) -> Result<(), ReadErrorKind> {
        let attributes = attributes(start)?;
        if self.head.is_none() {
            self.head = Some(Head::read(self.kind, self.content, &attributes));
        }
        let (namespace, name) = (start.namespace(), start.local());
        let written = self.encoder.start(namespace, name, &attributes);
        self.bounded(written)
    }

    fn text(&mut self, run: Run) -> Result<(), ReadErrorKind> {
        let written = self.encoder.text(&run.text(self.frame));
        self.bounded(written)
    }

    fn character(&mut self, character: char) -> Result<(), ReadErrorKind> {
        let written = self.encoder.text(character.encode_utf8(&mut [0; 4]));
        self.bounded(written)
    }

    fn end(&mut self) {
        self.encoder.end();
    }
}
