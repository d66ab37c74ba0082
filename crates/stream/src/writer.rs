//! Frames to bytes.

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
        self.dialback = header.dialback;
        let mut out = BytesMut::new();
        out.put_slice(b"<stream:stream xmlns='");
        out.put_slice(
            header
                .content
                .unwrap_or(self.content)
                .namespace()
                .as_bytes(),
        );
        out.put_slice(b"' xmlns:stream='");
        out.put_slice(ns::STREAMS.as_bytes());
        if header.dialback {
            out.put_slice(b"' xmlns:db='");
            out.put_slice(ns::DIALBACK.as_bytes());
        }
        let address = |jid: &Option<Jid>| jid.as_ref().map(ToString::to_string);
        let version = format!("{}.{}", header.version.major, header.version.minor);
        let attributes = [
            ("from", address(&header.from)),
            ("to", address(&header.to)),
            ("id", header.id.clone()),
            ("xml:lang", header.lang.clone()),
            (
                "version",
                (header.version > Version::V0_9).then_some(version),
            ),
        ];
        for (name, value) in attributes {
            let Some(value) = value else { continue };
            out.put_slice(b"' ");
            out.put_slice(name.as_bytes());
            out.put_slice(b"='");
            escape(&mut out, &value, true)?;
        }
        out.put_slice(b"'>");
        Ok(out.freeze())
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
