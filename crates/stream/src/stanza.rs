//! Stanzas: bytes first, a head to route by, a tree when somebody asks.

use core::fmt;

use bytes::{Bytes, BytesMut};
use minidom::Element;
use minidom::rxml::{AttrMap, Namespace};

use crate::encode;
use crate::payload::{self, Payload, Payloads};
use crate::reader::Frame;
use crate::scan::Scanner;
use crate::tree::Tree;
use crate::{Content, Limits, ReadError, ReadErrorKind, Reader, Text, WriteError, ns};

/// The three kinds of stanza (RFC 6120 §8.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StanzaKind {
    /// `<message/>`.
    Message,
    /// `<presence/>`.
    Presence,
    /// `<iq/>`.
    Iq,
}

impl StanzaKind {
    /// The element name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Presence => "presence",
            Self::Iq => "iq",
        }
    }

    pub(crate) fn from_name(name: &[u8]) -> Option<Self> {
        [Self::Message, Self::Presence, Self::Iq]
            .into_iter()
            .find(|kind| kind.name().as_bytes() == name)
    }
}

/// What routing needs to know of a stanza, as it stands there: addresses are not checked (RFC 6120 §8.1).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Head {
    /// Message, presence or iq.
    pub kind: StanzaKind,
    /// The content namespace.
    pub content: Content,
    /// `to`.
    pub to: Option<Text>,
    /// `from`.
    pub from: Option<Text>,
    /// `id`.
    pub id: Option<Text>,
    /// `type`.
    pub type_: Option<Text>,
    /// `xml:lang` of the stanza itself.
    pub lang: Option<Text>,
}

impl Head {
    /// Of a stanza without attributes.
    ///
    /// ```
    /// # use onetrip_stream::{Content, Head, StanzaKind, Text};
    /// let mut head = Head::new(StanzaKind::Iq, Content::Client);
    /// head.type_ = Some(Text::from_static("get"));
    /// ```
    #[must_use]
    pub const fn new(kind: StanzaKind, content: Content) -> Self {
        Self {
            kind,
            content,
            to: None,
            from: None,
            id: None,
            type_: None,
            lang: None,
        }
    }

    pub(crate) fn read(kind: StanzaKind, content: Content, attributes: &AttrMap) -> Self {
        let plain = |name: &str| {
            attributes
                .get(&Namespace::NONE, name)
                .cloned()
                .map(Text::from)
        };
        Self {
            kind,
            content,
            to: plain("to"),
            from: plain("from"),
            id: plain("id"),
            type_: plain("type"),
            lang: attributes
                .get(&Namespace::XML, "lang")
                .cloned()
                .map(Text::from),
        }
    }
}

/// What most stanzas find room in.
const ROOM: usize = 512;

/// A stanza, fully checked, as bytes that every parser reads alike.
///
/// The bytes rely on nothing outside but the content namespace being the default one, so they can be written
/// to a stream of either content namespace as they are (RFC 6120 §4.8.3). Cloning shares them. They are those that came
/// in, if no two parsers could read them differently, and written anew if any could: no CDATA section, no reference to
/// a character but `&#xD;`, `&#xA;` and `&#x9;`, no literal CR, no prefix bound outside. Two stanzas are equal if they say the same.
///
/// ```
/// # use onetrip_stream::{Content, Stanza};
/// let stanza = Stanza::parse(b"<message to='romeo@montague.lit'><body>hi</body></message>", Content::Client).unwrap();
/// assert_eq!(stanza.head().to.as_deref(), Some("romeo@montague.lit"));
/// assert_eq!(stanza.body().as_deref(), Some("hi"));
/// ```
#[derive(Debug, Clone)]
pub struct Stanza {
    bytes: Bytes,
    head: Head,
}

impl Stanza {
    pub(crate) fn from_parts(bytes: Bytes, head: Head) -> Self {
        Self { bytes, head }
    }

    /// Writes an element down as a stanza.
    ///
    /// # Errors
    /// [`WriteError`] when it is no stanza, or holds what XML cannot.
    pub fn from_element(element: &Element) -> Result<Self, WriteError> {
        let content = Content::from_namespace(&element.ns()).ok_or(WriteError::NotAStanza)?;
        let kind =
            StanzaKind::from_name(element.name().as_bytes()).ok_or(WriteError::NotAStanza)?;
        let mut bytes = BytesMut::with_capacity(ROOM);
        encode::element(&mut bytes, content.namespace(), None, element)?;
        Ok(Self {
            bytes: bytes.freeze(),
            head: Head::read(kind, content, element.attrs()),
        })
    }

    /// Writes a stanza down that is this head and one payload, or none: [`Stanza::from_element`] without a tree.
    ///
    /// # Errors
    /// [`WriteError`] when one of the two holds what XML cannot.
    pub fn new(head: Head, payload: Option<&Payload<'_>>) -> Result<Self, WriteError> {
        let bytes = payload::write(&head, payload, None)?;
        Ok(Self { bytes, head })
    }

    /// The same with a text that is made while it is written: what `text` displays, instead of the payload's own. Room is made for
    /// `length` bytes of it at once.
    ///
    /// # Errors
    /// As [`Stanza::new`].
    pub fn with_text(
        head: Head,
        payload: &Payload<'_>,
        text: &dyn fmt::Display,
        length: usize,
    ) -> Result<Self, WriteError> {
        let bytes = payload::write(&head, Some(payload), Some((text, length)))?;
        Ok(Self { bytes, head })
    }

    /// A client's message with a text, which [`Stanza::body`] reads.
    ///
    /// ```
    /// # use onetrip_stream::Stanza;
    /// let message = Stanza::message("romeo@montague.lit", "Art thou not Romeo & a Montague?").unwrap();
    /// assert_eq!(message.body().as_deref(), Some("Art thou not Romeo & a Montague?"));
    /// ```
    ///
    /// # Errors
    /// [`WriteError`] when one of the two holds what XML cannot.
    pub fn message(to: &str, text: &str) -> Result<Self, WriteError> {
        let mut head = Head::new(StanzaKind::Message, Content::Client);
        head.to = Some(Text::from(to));
        head.type_ = Some(Text::from_static("chat"));
        Self::new(
            head,
            Some(&Payload::new("body", ns::CLIENT).with_text(text)),
        )
    }

    /// Reads exactly one stanza.
    ///
    /// # Errors
    /// [`ReadError`] when the bytes are not one stanza of this content namespace and nothing else.
    pub fn parse(bytes: &[u8], content: Content) -> Result<Self, ReadError> {
        let mut rest = bytes;
        let mut reader = Reader::inside(content, Limits::default());
        match reader.next(&mut rest)? {
            Some(Frame::Stanza(stanza)) if rest.is_empty() => Ok(stanza),
            _ => Err(ReadError::new(
                ReadErrorKind::NotWellFormed {
                    what: "expected one whole stanza",
                },
                reader.consumed(),
            )),
        }
    }

    /// The bytes, without a declaration of the content namespace.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What routing needs.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Builds the tree. It costs a parse; keep the result if you need it twice.
    #[must_use]
    pub fn element(&self) -> Element {
        // The scanner has let the bytes through before, or our encoder has written them, so this cannot fail; a head
        // without children is what remains if it ever did.
        let mut tree = Tree::new(&self.bytes);
        let limits = Limits {
            depth: crate::encode::MAX_DEPTH,
            ..Limits::NONE
        };
        let mut scanner = Scanner::inside(self.head.content, limits);
        let read = scanner.run(&self.bytes, &mut tree).ok();
        read.and_then(|_| tree.finish())
            .unwrap_or_else(|| Element::bare(self.head.kind.name(), self.head.content.namespace()))
    }

    /// The elements directly in it, each read when it is asked for. Without a tree, and without a copy of what stands there
    /// as it is meant.
    pub fn payloads(&self) -> impl Iterator<Item = Payload<'_>> {
        Payloads::new(&self.bytes, self.head.content)
    }

    /// The text of its first `<body/>`, whatever its language (RFC 6121 §5.2.3).
    #[must_use]
    pub fn body(&self) -> Option<String> {
        let content = self.head.content.namespace();
        let body = self.payloads().find(|one| one.is("body", content));
        body.map(|body| body.text().to_owned())
    }
}

impl PartialEq for Stanza {
    fn eq(&self, other: &Self) -> bool {
        self.head == other.head && (self.bytes == other.bytes || self.element() == other.element())
    }
}

impl Eq for Stanza {}
