//! What the front of a frame says: a stream header, an element, or a stanza and what routes it.

use core::ops::Range;

use bytes::Bytes;
use minidom::Element;

use crate::scan::{Attribute, Run, Sink, Start};
use crate::stanza::{Head, StanzaKind};
use crate::tree::Tree;
use crate::{Content, ReadErrorKind, StreamHeader, Text, ns};

/// Kept while the rest of the frame is scanned.
#[derive(Debug, Default)]
pub(crate) struct Front {
    /// The content namespace of the stream, if its header said one.
    content: Option<Content>,
    pub(crate) found: Found,
}

#[derive(Debug, Default)]
pub(crate) enum Found {
    /// Nothing yet, or the end of the stream.
    #[default]
    Nothing,
    Header(StreamHeader),
    /// An element whose frame is to be read once more for its tree.
    Element,
    /// The same, read.
    Tree(Element),
    Stanza(Routing),
}

/// Where in the bytes of a stanza its head stands.
#[derive(Debug)]
pub(crate) struct Routing {
    pub(crate) kind: StanzaKind,
    pub(crate) content: Content,
    /// The declaration of the content namespace, which stays behind.
    pub(crate) cut: Range<usize>,
    values: [Option<Place>; 5],
}

#[derive(Debug)]
enum Place {
    Here(Range<usize>),
    Elsewhere(Text),
}

impl Front {
    /// Of a stream whose header said this.
    pub(crate) fn inside(content: Content) -> Self {
        Self {
            content: Some(content),
            found: Found::Nothing,
        }
    }

    fn header(&mut self, start: &Start<'_>) -> Result<(), ReadErrorKind> {
        let header = StreamHeader::from_start(start)?;
        self.content = header.content;
        self.found = Found::Header(header);
        Ok(())
    }

    /// Tells a stanza from other elements.
    fn first_level(&mut self, start: &Start<'_>) -> Result<(), ReadErrorKind> {
        let (namespace, name) = start.key();
        // A peer that restarted where we did not: nothing behind it belongs to this document (QS-R5).
        if name == b"stream" && namespace == ns::STREAMS.as_bytes() {
            return Err(ReadErrorKind::NestedHeader);
        }
        let content = Content::from_bytes(namespace);
        let matches = content.filter(|_| self.content.is_none() || self.content == content);
        self.found = match (matches, StanzaKind::from_name(name)) {
            (Some(content), Some(kind)) => Found::Stanza(Routing::new(kind, content, start)),
            _ => Found::Element,
        };
        Ok(())
    }
}

impl Sink for Front {
    #[inline(always)]
    fn start(&mut self, start: &Start<'_>) -> Result<(), ReadErrorKind> {
        match start.depth {
            0 => self.header(start),
            1 => self.first_level(start),
            _ => Ok(()),
        }
    }

    fn text(&mut self, _: Run) -> Result<(), ReadErrorKind> {
        Ok(())
    }

    fn character(&mut self, _: char) -> Result<(), ReadErrorKind> {
        Ok(())
    }

    fn end(&mut self) {}
}

/// The same where a frame begins: what is no stanza becomes a tree at once, and if all of it is there, as it is but for
/// large ones, it need not be read once more.
pub(crate) struct AtOnce<'a> {
    front: &'a mut Front,
    bytes: &'a [u8],
    tree: Option<Tree<'a>>,
}

impl<'a> AtOnce<'a> {
    pub(crate) fn new(front: &'a mut Front, bytes: &'a [u8]) -> Self {
        let tree = None;
        Self { front, bytes, tree }
    }

    /// The frame is complete.
    pub(crate) fn finish(self) {
        if let Some(element) = self.tree.and_then(Tree::finish) {
            self.front.found = Found::Tree(element);
        }
    }
}

impl Sink for AtOnce<'_> {
    #[inline(always)]
    fn start(&mut self, start: &Start<'_>) -> Result<(), ReadErrorKind> {
        if self.tree.is_none() {
            self.front.start(start)?;
        }
        if let Found::Element = self.front.found {
            let tree = self.tree.get_or_insert_with(|| Tree::new(self.bytes));
            return tree.start(start);
        }
        Ok(())
    }

    fn text(&mut self, run: Run) -> Result<(), ReadErrorKind> {
        self.tree.as_mut().map_or(Ok(()), |tree| tree.text(run))
    }

    fn character(&mut self, character: char) -> Result<(), ReadErrorKind> {
        let tree = self.tree.as_mut();
        tree.map_or(Ok(()), |tree| tree.character(character))
    }

    fn end(&mut self) {
        if let Some(tree) = &mut self.tree {
            tree.end();
        }
    }
}

impl Routing {
    fn new(kind: StanzaKind, content: Content, start: &Start<'_>) -> Self {
        let mut values = [const { None }; 5];
        for attribute in start.attributes() {
            let place = index(&attribute).and_then(|index| values.get_mut(index));
            if let Some(place) = place {
                *place = Some(Place::of(&attribute));
            }
        }
        Self {
            kind,
            content,
            cut: start.default_declaration().unwrap_or_default(),
            values,
        }
    }

    /// The head of the stanza whose bytes are these, the cut being made.
    pub(crate) fn head(self, bytes: &Bytes) -> Head {
        let Range { start, end } = self.cut;
        let cut = end.saturating_sub(start);
        let [to, from, id, type_, lang] = self.values.map(|place| match place? {
            Place::Elsewhere(text) => Some(text),
            Place::Here(range) => {
                let before = if range.start < end { 0 } else { cut };
                let range = range.start.checked_sub(before)?..range.end.checked_sub(before)?;
                Some(Text::from_checked(bytes.slice(range)))
            }
        });
        Head {
            kind: self.kind,
            content: self.content,
            to,
            from,
            id,
            type_,
            lang,
        }
    }
}

impl Place {
    fn of(attribute: &Attribute<'_>) -> Self {
        match attribute.place() {
            Some(range) => Self::Here(range),
            None => Self::Elsewhere(Text::from(attribute.value().into_owned())),
        }
    }
}

/// Which field of a head an attribute is.
fn index(attribute: &Attribute<'_>) -> Option<usize> {
    match attribute.key() {
        (b"", b"to") => Some(0),
        (b"", b"from") => Some(1),
        (b"", b"id") => Some(2),
        (b"", b"type") => Some(3),
        (namespace, b"lang") if namespace == ns::XML.as_bytes() => Some(4),
        _ => None,
    }
}
