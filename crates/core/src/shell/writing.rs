//! What goes out: into the write that is still joining, traced and counted.

use bytes::{Bytes, BytesMut};
use minidom::Element;
use onetrip_stream::{Stanza, StreamHeader, WriteError, Writer};
use onetrip_stream_management as sm;

use super::Shell;
use crate::trace::{label, stanza_label};
use crate::{Action, Direction, Unit};

impl Shell {
    pub(super) fn write(&mut self, bytes: &Bytes, label: impl FnOnce() -> String) {
        if self.may_write(bytes.len(), label) {
            self.joining.push(bytes);
        }
    }

    /// Writes what a machine with a writer of its own has written, and [traced](Self::may_write).
    pub(crate) fn pass_on(&mut self, bytes: &Bytes) {
        self.joining.push(bytes);
    }

    /// Whether anything can still be written; traces what is.
    pub(crate) fn may_write(&mut self, bytes: usize, label: impl FnOnce() -> String) -> bool {
        let open = !self.closed && !self.sending.ended;
        if open && self.tracing {
            let secured = self.sending.layer.is_secured();
            let unit = Unit {
                direction: Direction::Sent,
                label: label(),
                bytes,
                secured,
            };
            self.push(Action::Trace(unit));
        }
        open
    }

    /// White space, which means nothing and pushes on what went before it (RFC 6120 §4.6.1).
    pub(crate) fn space(&mut self) {
        if !self.closed {
            self.joining.extend(b" ");
        }
    }

    /// Writes the header of this document, if it has not been written.
    pub(crate) fn open(&mut self) {
        let Some(header) = self.sending.unsent.take() else {
            return;
        };
        let label = || "stream header".to_owned();
        self.append(label, |writer, out| writer.header_into(out, &header));
    }

    /// Begins a new document in the sending half.
    pub(crate) fn restart_sending(&mut self, header: StreamHeader) {
        self.sending.unsent = Some(Box::new(header));
    }

    pub(crate) fn element(&mut self, element: &Element) {
        let label = || label(element);
        self.append(label, |writer, out| writer.element_into(out, element));
    }

    /// Writes straight into what goes out next.
    fn append(
        &mut self,
        label: impl FnOnce() -> String,
        write: impl FnOnce(&mut Writer, &mut BytesMut) -> Result<(), WriteError>,
    ) {
        if self.closed || self.sending.ended {
            return;
        }
        let out = self.joining.open();
        let before = out.len();
        match write(&mut self.sending.writer, out) {
            Ok(()) => {
                let bytes = out.len().saturating_sub(before);
                self.may_write(bytes, label);
            }
            Err(error) => self.fail(error.into()),
        }
    }

    /// Writes a stanza, and counts it where stanzas are counted.
    pub(crate) fn stanza(&mut self, stanza: &Stanza) -> Option<sm::Handle> {
        if !self.management.is_on() {
            self.write(stanza.bytes(), || stanza_label(&stanza.element()));
            return None;
        }
        let handle = self.management.send(self.now, stanza.bytes().clone());
        self.drain_management();
        handle
    }

    /// Writes an iq of our own, straight into what goes out next where stanzas are not kept.
    pub(crate) fn iq(&mut self, element: &Element) {
        if !self.management.is_on() {
            let label = || stanza_label(element);
            return self.append(label, |writer, out| writer.element_into(out, element));
        }
        match Stanza::from_element(element) {
            Ok(stanza) => drop(self.stanza(&stanza)),
            Err(error) => self.fail(error.into()),
        }
    }
}
