//! The elements directly in a stanza, read and written where they stand: for those who ask little, a tree costs much.

use core::fmt::{self, Write as _};
use std::borrow::Cow;

use bytes::{Bytes, BytesMut};

use crate::encode::{attribute, check_attribute, check_name, end_tag, escape, start_tag};
use crate::scan::{Progress, Run, Scanner, Sink, Start};
use crate::stanza::Head;
use crate::{Content, Limits, ReadErrorKind, WriteError, ns};

/// What stands around the values of most tags.
const MARKUP: usize = 64;

/// An element directly in a stanza, with its attributes and its own text, but without the elements in it.
///
/// ```
/// # use onetrip_stream::{Content, Head, Payload, Stanza, StanzaKind};
/// let ping = Payload::new("ping", "urn:xmpp:ping").with_attr("n", "1").with_text("a < b");
/// let stanza = Stanza::new(Head::new(StanzaKind::Iq, Content::Client), Some(&ping)).unwrap();
/// assert_eq!(stanza.bytes(), "<iq><ping xmlns='urn:xmpp:ping' n='1'>a &lt; b</ping></iq>");
/// let read = stanza.payloads().next().unwrap();
/// assert!(read.is("ping", "urn:xmpp:ping"));
/// assert_eq!((read.attr("n"), read.text()), (Some("1"), "a < b"));
/// ```
#[derive(Debug, Clone)]
pub struct Payload<'a> {
    name: &'a str,
    namespace: Cow<'a, str>,
    attributes: Vec<(&'a str, Cow<'a, str>)>,
    /// UTF-8.
    text: Cow<'a, [u8]>,
}

/// A text that is made while it is written, and about how many bytes it is long.
type Shown<'a> = (&'a dyn fmt::Display, usize);

impl<'a> Payload<'a> {
    /// An element without attributes and text.
    #[must_use]
    pub fn new(name: &'a str, namespace: &'a str) -> Self {
        Self {
            name,
            namespace: Cow::Borrowed(namespace),
            attributes: Vec::new(),
            text: Cow::Borrowed(&[]),
        }
    }

    /// Sets an attribute without a namespace.
    #[must_use]
    pub fn with_attr(mut self, name: &'a str, value: impl Into<Cow<'a, str>>) -> Self {
        self.attributes.retain(|(known, _)| *known != name);
        self.attributes.push((name, value.into()));
        self
    }

    /// Sets the text.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<Cow<'a, str>>) -> Self {
        self.text = match text.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        self
    }

    /// The local name.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The name of its namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Whether it has this name in this namespace.
    #[must_use]
    pub fn is(&self, name: &str, namespace: &str) -> bool {
        self.name == name && self.namespace == namespace
    }

    /// The value of an attribute without a namespace.
    #[must_use]
    pub fn attr(&self, name: &str) -> Option<&str> {
        let mut attributes = self.attributes.iter();
        attributes.find_map(|(known, value)| (*known == name).then_some(&**value))
    }

    /// Its own text, that of the elements in it left out.
    #[must_use]
    pub fn text(&self) -> &str {
        // Never the default: it was text when it was set, or has been checked where it was read.
        core::str::from_utf8(&self.text).unwrap_or_default()
    }

    /// The same as bytes, for whoever decodes them.
    #[must_use]
    pub fn text_bytes(&self) -> &[u8] {
        &self.text
    }

    /// What a start tag says.
    fn read(start: &Start<'_>, frame: &'a [u8]) -> Self {
        let namespace = start.namespace();
        let declared = start.default_in(frame).filter(|one| one == namespace);
        let attributes = start.attributes().filter(|one| one.namespace().is_empty());
        Self {
            name: start.local_in(frame),
            namespace: declared.unwrap_or_else(|| outer(namespace)),
            attributes: attributes
                .map(|one| (one.local_in(frame), one.value_in(frame)))
                .collect(),
            text: Cow::Borrowed(&[]),
        }
    }

    /// How many bytes it is at most, unless something in it must be escaped.
    fn room(&self) -> usize {
        let attributes = self.attributes.iter();
        let attributes = attributes.map(|(name, value)| name.len().saturating_add(value.len()));
        let tags = [self.name.len(), self.name.len(), self.namespace.len()];
        let all = attributes.chain(tags).fold(MARKUP, usize::saturating_add);
        all.saturating_add(self.text.len())
    }

    fn write(
        &self,
        out: &mut BytesMut,
        default: &str,
        text: Option<Shown<'_>>,
    ) -> Result<(), WriteError> {
        let prefix = (self.namespace == ns::XML).then_some("xml");
        let changes = prefix.is_none() && self.namespace != default;
        start_tag(out, prefix, changes.then_some(&*self.namespace), self.name)?;
        for (name, value) in &self.attributes {
            check_name(name)?;
            check_attribute(name)?;
            attribute(out, name, value)?;
        }
        if text.is_none() && self.text.is_empty() {
            out.extend_from_slice(b"/>");
            return Ok(());
        }
        out.extend_from_slice(b">");
        match text {
            Some((text, _)) => display(out, text)?,
            None => escape(out, self.text(), false)?,
        }
        end_tag(out, prefix, self.name);
        Ok(())
    }
}

/// The name of a namespace that is not declared here: nearly always the content namespace.
fn outer<'a>(namespace: &str) -> Cow<'a, str> {
    match Content::from_namespace(namespace) {
        Some(content) => Cow::Borrowed(content.namespace()),
        None => Cow::Owned(namespace.to_owned()),
    }
}

/// Writes a stanza that has one payload or none.
pub(crate) fn write(
    head: &Head,
    payload: Option<&Payload<'_>>,
    text: Option<Shown<'_>>,
) -> Result<Bytes, WriteError> {
    let values = [
        ("from", head.from.as_deref()),
        ("id", head.id.as_deref()),
        ("to", head.to.as_deref()),
        ("type", head.type_.as_deref()),
        ("xml:lang", head.lang.as_deref()),
    ];
    let routing = values.iter().map(|(_, value)| value.map_or(0, str::len));
    let most = routing.fold(MARKUP, usize::saturating_add);
    let most = most.saturating_add(payload.map_or(0, Payload::room));
    let most = most.saturating_add(text.map_or(0, |(_, length)| length));
    let mut out = BytesMut::with_capacity(most);
    let name = head.kind.name();
    start_tag(&mut out, None, None, name)?;
    for (name, value) in values {
        if let Some(value) = value {
            attribute(&mut out, name, value)?;
        }
    }
    match payload {
        None => out.extend_from_slice(b"/>"),
        Some(payload) => {
            out.extend_from_slice(b">");
            payload.write(&mut out, head.content.namespace(), text)?;
            end_tag(&mut out, None, name);
        }
    }
    Ok(out.freeze())
}

/// Appends what is displayed, piece by piece.
fn display(out: &mut BytesMut, text: &dyn fmt::Display) -> Result<(), WriteError> {
    let mut pieces = Pieces { out, refused: None };
    // What is displayed ends where it fails; only what was refused here is an error.
    let _ = write!(pieces, "{text}");
    pieces.refused.map_or(Ok(()), Err)
}

struct Pieces<'a> {
    out: &'a mut BytesMut,
    refused: Option<WriteError>,
}

impl fmt::Write for Pieces<'_> {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        escape(self.out, piece, false).map_err(|refused| {
            self.refused = Some(refused);
            fmt::Error
        })
    }
}

/// Reads the payloads of a stanza one after the other.
#[derive(Debug)]
pub(crate) struct Payloads<'a> {
    /// What has not been read.
    rest: &'a [u8],
    /// It takes the stanza for a document: then a payload is a frame.
    scanner: Scanner,
}

impl<'a> Payloads<'a> {
    /// Of a stanza that has been checked.
    pub(crate) fn new(frame: &'a [u8], content: Content) -> Self {
        let mut payloads = Self {
            rest: frame,
            scanner: Scanner::of_stanza(content, Limits::NONE),
        };
        // Its own start tag is the header.
        payloads.next();
        payloads
    }
}

impl<'a> Iterator for Payloads<'a> {
    type Item = Payload<'a>;

    fn next(&mut self) -> Option<Payload<'a>> {
        let mut one = One {
            frame: self.rest,
            open: 0,
            payload: None,
        };
        self.scanner.begin();
        let progress = self.scanner.run(self.rest, &mut one);
        // The scanner has let the bytes through before, or our encoder has written them: there is no error.
        progress
            .ok()
            .filter(|progress| *progress == Progress::Frame)?;
        self.rest = self.rest.get(self.scanner.taken()..)?;
        one.payload
    }
}

/// The payload that is being read.
struct One<'a> {
    frame: &'a [u8],
    /// How many elements are open, itself included.
    open: usize,
    payload: Option<Payload<'a>>,
}

impl<'a> One<'a> {
    /// The text that goes on, if it is its own and not that of an element in it.
    fn own_text(&mut self) -> Option<&mut Cow<'a, [u8]>> {
        let payload = self.payload.as_mut().filter(|_| self.open == 1);
        payload.map(|payload| &mut payload.text)
    }
}

impl Sink for One<'_> {
    const AGAIN: bool = true;

    fn start(&mut self, start: &Start<'_>) -> Result<(), ReadErrorKind> {
        if start.depth == 1 {
            self.payload = Some(Payload::read(start, self.frame));
        }
        self.open = self.open.saturating_add(1);
        Ok(())
    }

    fn text(&mut self, run: Run) -> Result<(), ReadErrorKind> {
        let said = run.bytes(self.frame);
        match self.own_text() {
            Some(text) if text.is_empty() => *text = said,
            Some(text) => text.to_mut().extend_from_slice(&said),
            None => {}
        }
        Ok(())
    }

    fn character(&mut self, character: char) -> Result<(), ReadErrorKind> {
        if let Some(text) = self.own_text() {
            let mut said = [0; 4];
            let said = character.encode_utf8(&mut said);
            text.to_mut().extend_from_slice(said.as_bytes());
        }
        Ok(())
    }

    fn end(&mut self) {
        self.open = self.open.saturating_sub(1);
    }
}
