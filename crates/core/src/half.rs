//! The two halves of a connection: each switches layer and restarts on its own, because pipelining makes the
//! sending half change before the receiving half has seen why.

use onetrip_stream::{Content, Limits, Reader, StreamHeader, Writer};

/// What lies between a half and the transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layer {
    /// Nothing.
    Plain,
    /// TLS from here on, and its handshake has not ended.
    Switching,
    /// The same, but what goes through it already counts: early data of TLS 1.3, which may be a replay, and what a server
    /// answers to it.
    Early,
    /// TLS.
    Tls,
}

impl Layer {
    /// Whether a handshake of TLS is under way.
    pub(crate) fn is_switching(self) -> bool {
        matches!(self, Self::Switching | Self::Early)
    }

    /// Whether what goes through it is under TLS.
    pub(crate) fn is_secured(self) -> bool {
        matches!(self, Self::Early | Self::Tls)
    }
}

/// The half that writes.
#[derive(Debug)]
pub(crate) struct Sending {
    pub(crate) writer: Writer,
    pub(crate) layer: Layer,
    /// The header of this document, as long as it has not been written.
    pub(crate) unsent: Option<Box<StreamHeader>>,
    /// Whether `</stream:stream>` has been written.
    pub(crate) ended: bool,
}

impl Sending {
    pub(crate) fn new(content: Content, header: StreamHeader) -> Self {
        Self {
            writer: Writer::new(content),
            layer: Layer::Plain,
            unsent: Some(Box::new(header)),
            ended: false,
        }
    }
}

/// The half that reads.
#[derive(Debug)]
pub(crate) struct Receiving {
    pub(crate) reader: Reader,
    pub(crate) layer: Layer,
    /// Bytes of the documents before this one.
    before: u64,
    /// Whether the header of this document has been read.
    pub(crate) opened: bool,
    /// Whether `</stream:stream>` has been read.
    pub(crate) ended: bool,
}

impl Receiving {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            reader: Reader::new(limits),
            layer: Layer::Plain,
            before: 0,
            opened: false,
            ended: false,
        }
    }

    /// Begins a new document, in a new layer or behind the old one. Nothing of that survives (RFC 6120 §4.3.3).
    pub(crate) fn restart(&mut self, limits: Limits, behind: bool) {
        self.before = self.total();
        self.opened = false;
        if behind {
            self.reader.restart_behind(limits);
        } else {
            self.reader.restart(limits);
        }
    }

    /// How many bytes have been read in all documents.
    pub(crate) fn total(&self) -> u64 {
        self.before.saturating_add(self.reader.consumed())
    }
}
