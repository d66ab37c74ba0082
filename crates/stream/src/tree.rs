//! What a frame says as a tree.

use minidom::Element;
use minidom::rxml::{AttrMap, Namespace, NcName};

use crate::ReadErrorKind;
use crate::scan::{Run, Sink, Start};

/// Builds the element of one frame.
#[derive(Debug)]
pub(crate) struct Tree<'a> {
    frame: &'a [u8],
    open: Vec<Element>,
    /// Text that still goes on.
    text: String,
    done: Option<Element>,
}

impl<'a> Tree<'a> {
    /// Of a frame whose bytes, as far as they are scanned, begin these.
    pub(crate) fn new(frame: &'a [u8]) -> Self {
        Self {
            frame,
            open: Vec::with_capacity(4),
            text: String::new(),
            done: None,
        }
    }

    /// The element, when all of its frame has been read.
    pub(crate) fn finish(self) -> Option<Element> {
        self.done
    }

    fn end_text(&mut self) {
        if self.text.is_empty() {
            return;
        }
        let text = core::mem::take(&mut self.text);
        if let Some(top) = self.open.last_mut() {
            top.append_text_node(text);
        }
    }
}

impl Sink for Tree<'_> {
    const AGAIN: bool = true;

    fn start(&mut self, start: &Start<'_>) -> Result<(), ReadErrorKind> {
        self.end_text();
        let mut element = Element::bare(start.local(), start.namespace());
        *element.attrs_mut() = attributes(start)?;
        self.open.push(element);
        Ok(())
    }

    fn text(&mut self, run: Run) -> Result<(), ReadErrorKind> {
        if self.text.is_empty() {
            self.text = run.text(self.frame).into_owned();
        } else {
            self.text.push_str(&run.text(self.frame));
        }
        Ok(())
    }

    fn character(&mut self, character: char) -> Result<(), ReadErrorKind> {
        self.text.push(character);
        Ok(())
    }

    fn end(&mut self) {
        self.end_text();
        let ended = self.open.pop();
        match (ended, self.open.last_mut()) {
            (Some(ended), Some(parent)) => {
                parent.append_child(ended);
            }
            (ended, _) => self.done = ended,
        }
    }
}

/// What the scanner lets through and others do not: nothing, as long as they agree.
pub(crate) const NOT_A_NAME: ReadErrorKind = ReadErrorKind::NotWellFormed {
    what: "a name or character that XML forbids",
};

/// The attributes of a start tag, declarations left out.
pub(crate) fn attributes(start: &Start<'_>) -> Result<AttrMap, ReadErrorKind> {
    let mut attributes = AttrMap::new();
    for attribute in start.attributes() {
        let namespace = attribute.namespace();
        let namespace = Namespace::try_share_static(namespace)
            .unwrap_or_else(|| Namespace::from(namespace.to_owned()));
        let name = NcName::try_from(attribute.local()).map_err(|_| NOT_A_NAME)?;
        attributes.insert(namespace, name, attribute.value().into_owned());
    }
    Ok(attributes)
}
