//! Frames to bytes.

use core::fmt::Write as _;

use bytes::{BufMut, Bytes, BytesMut};
use minidom::Element;

use crate::encode::{self, escape};
use crate::{Content, Jid, Stanza, StreamError, StreamHeader, Version, WriteError, ns};

/// What most elements find room in.
const ROOM: usize = 256;

/// Writes the frames of one stream. It cannot panic, and writes nothing at all when it refuses.
///
/// No XML declaration is written: it is optional (RFC 6120 §11.5), and behind a restart that the peer has not
/// yet noticed it would stand in the middle of a document.
///
/// ```
/// # use onetrip_stream::{Build, Content, StreamHeader, Writer, ns};
/// # use minidom::Element;
/// let writer = Writer::new(Content::Client);
/// let bytes = writer.element(&Element::bare("starttls", ns::TLS)).unwrap();
/// assert_eq!(&bytes[..], b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
/// ```
#[derive(Debug, Clone)]
pub struct Writer {
    content: Content,
    dialback: bool,
}

impl Writer {
    /// A writer for a stream of this content namespace.
    #[must_use]
    pub fn new(content: Content) -> Self {
        Self {
            content,
            dialback: false,
        }
    }

    /// The bytes of a header; from now on elements may rely on what it declares.
    ///
    /// # Errors
    /// [`WriteError::Character`] when the id or the language holds what XML cannot.
    pub fn header(&mut self, header: &StreamHeader) -> Result<Bytes, WriteError> {
        let mut out = BytesMut::with_capacity(ROOM);
        self.header_into(&mut out, header)?;
        Ok(out.freeze())
    }

    /// Appends a header to what is to be written.
    ///
    /// # Errors
    /// [`WriteError::Character`] when the id or the language holds what XML cannot; nothing has been appended.
    pub fn header_into(
        &mut self,
        out: &mut BytesMut,
        header: &StreamHeader,
    ) -> Result<(), WriteError> {
        self.dialback = header.dialback;
        let before = out.len();
        let content = header.content.unwrap_or(self.content).namespace();
        // Names of namespaces need no escaping.
        for part in [
            "<stream:stream xmlns='",
            content,
            "' xmlns:stream='",
            ns::STREAMS,
            "'",
        ] {
            out.put_slice(part.as_bytes());
        }
        if header.dialback {
            for part in [" xmlns:db='", ns::DIALBACK, "'"] {
                out.put_slice(part.as_bytes());
            }
        }
        let written = attribute(out, "from", header.from.iter().flat_map(Jid::parts))
            .and_then(|()| attribute(out, "to", header.to.iter().flat_map(Jid::parts)))
            .and_then(|()| attribute(out, "id", header.id.as_deref()))
            .and_then(|()| attribute(out, "xml:lang", header.lang.as_deref()));
        if written.is_err() {
            out.truncate(before);
            return written;
        }
        let Version { major, minor } = header.version;
        if header.version == Version::V1_0 {
            out.put_slice(b" version='1.0'");
        } else if header.version > Version::V0_9 {
            let _ = write!(out, " version='{major}.{minor}'");
        }
        out.put_slice(b">");
        Ok(())
    }

    /// The bytes of a first-level element.
    ///
    /// # Errors
    /// [`WriteError`] when it holds what XML cannot; nothing has been written.
    pub fn element(&self, element: &Element) -> Result<Bytes, WriteError> {
        let mut out = BytesMut::with_capacity(ROOM);
        self.element_into(&mut out, element)?;
        Ok(out.freeze())
    }

    /// Appends a first-level element to what is to be written.
    ///
    /// # Errors
    /// [`WriteError`] when it holds what XML cannot; nothing has been appended.
    pub fn element_into(&self, out: &mut BytesMut, element: &Element) -> Result<(), WriteError> {
        let prefix = if element.has_ns(ns::STREAMS) {
            Some("stream")
        } else if self.dialback && element.has_ns(ns::DIALBACK) {
            Some("db")
        } else {
            None
        };
        encode::element(out, self.content.namespace(), prefix, element)
    }

    /// The bytes of a stanza: shared, not copied.
    #[must_use]
    pub fn stanza(&self, stanza: &Stanza) -> Bytes {
        stanza.bytes().clone()
    }

    /// The bytes of a stream error; its text is left out if XML cannot hold it.
    #[must_use]
    pub fn error(&self, error: &StreamError) -> Bytes {
        self.element(&error.to_element())
            .or_else(|_| self.element(&StreamError::new(error.condition).to_element()))
            .unwrap_or_default()
    }

    /// `</stream:stream>`.
    #[must_use]
    pub fn footer(&self) -> Bytes {
        Bytes::from_static(b"</stream:stream>")
    }
}

/// An attribute whose value comes in parts; nothing where there are none.
fn attribute<'a>(
    out: &mut BytesMut,
    name: &str,
    value: impl IntoIterator<Item = &'a str>,
) -> Result<(), WriteError> {
    let mut parts = value.into_iter().peekable();
    if parts.peek().is_none() {
        return Ok(());
    }
    out.put_slice(b" ");
    out.put_slice(name.as_bytes());
    out.put_slice(b"='");
    for part in parts {
        escape(out, part, true)?;
    }
    out.put_slice(b"'");
    Ok(())
}
