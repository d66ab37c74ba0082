//! XML in one form only, written so that no two parsers read it differently.
//!
//! Names without prefixes, one default declaration where the namespace changes, a local prefix for each
//! attribute in a namespace, no CDATA, only the five entities and references for CR, LF and TAB. Nothing relies
//! on a declaration outside of the element, save `stream:` and `db:` on elements of the stream itself.

use bytes::BytesMut;
use minidom::rxml::{AttrMap, NcNameStr, XMLNS_XML};
use minidom::{Element, Node};

use crate::WriteError;

/// Deeper elements are not written: no reader of ours would take them, and the caller's stack has an end.
pub(crate) const MAX_DEPTH: usize = 512;

/// Appends one first-level element to a buffer.
#[derive(Debug)]
pub(crate) struct Encoder {
    out: BytesMut,
    /// The default namespace inside each open element, beginning with the one around the first.
    defaults: Vec<String>,
    /// The names of the open elements, prefix included.
    names: Vec<String>,
    /// Whether the last start tag still lacks its `>`.
    in_tag: bool,
}

impl Encoder {
    /// An encoder whose surroundings have this default namespace.
    pub(crate) fn new(default: &str) -> Self {
        Self {
            out: BytesMut::new(),
            defaults: vec![default.to_owned()],
            names: Vec::new(),
            in_tag: false,
        }
    }

    /// Hands over what has been written.
    pub(crate) fn finish(self) -> BytesMut {
        self.out
    }

    /// How many bytes have been written.
    pub(crate) fn len(&self) -> usize {
        self.out.len()
    }

    /// Writes a start tag. `prefix` is one that the surroundings bind to `namespace`.
    pub(crate) fn start(
        &mut self,
        prefix: Option<&str>,
        namespace: &str,
        name: &str,
        attributes: &AttrMap,
    ) -> Result<(), WriteError> {
        self.close_tag();
        if self.names.len() >= MAX_DEPTH {
            return Err(WriteError::Depth(MAX_DEPTH));
        }
        check_name(name)?;
        let tag = prefix.map_or_else(|| name.to_owned(), |prefix| format!("{prefix}:{name}"));
        self.put("<");
        self.put(&tag);
        let default = self.defaults.last().cloned().unwrap_or_default();
        if prefix.is_none() && default != namespace {
            self.put(" xmlns='");
            self.escaped(namespace, true)?;
            self.put("'");
            self.defaults.push(namespace.to_owned());
        } else {
            self.defaults.push(default);
        }
        self.attributes(attributes)?;
        self.names.push(tag);
        self.in_tag = true;
        Ok(())
    }

    fn attributes(&mut self, attributes: &AttrMap) -> Result<(), WriteError> {
        let mut declared: Vec<&str> = Vec::new();
        for ((namespace, name), value) in attributes.iter() {
            check_name(name.as_str())?;
            self.put(" ");
            match namespace.as_str() {
                "" => {}
                XMLNS_XML => self.put("xml:"),
                foreign => {
                    let known = declared.iter().position(|seen| *seen == foreign);
                    let index = known.unwrap_or(declared.len());
                    if known.is_none() {
                        declared.push(foreign);
                        self.put(&format!("xmlns:ns{index}='"));
                        self.escaped(foreign, true)?;
                        self.put("' ");
                    }
                    self.put(&format!("ns{index}:"));
                }
            }
            self.put(name.as_str());
            self.put("='");
            self.escaped(value, true)?;
            self.put("'");
        }
        Ok(())
    }

    /// Writes text.
    pub(crate) fn text(&mut self, text: &str) -> Result<(), WriteError> {
        if text.is_empty() {
            return Ok(());
        }
        self.close_tag();
        self.escaped(text, false)
    }

    /// Writes the end of the innermost open element.
    pub(crate) fn end(&mut self) {
        self.defaults.pop();
        let name = self.names.pop();
        if self.in_tag {
            self.in_tag = false;
            self.put("/>");
        } else if let Some(name) = name {
            self.put("</");
            self.put(&name);
            self.put(">");
        }
    }

    /// Writes a whole element; with an explicit stack, so that no depth overflows ours.
    pub(crate) fn element(
        &mut self,
        prefix: Option<&str>,
        element: &Element,
    ) -> Result<(), WriteError> {
        self.start(prefix, &element.ns(), element.name(), element.attrs())?;
        let mut open = vec![element.nodes()];
        while let Some(nodes) = open.last_mut() {
            match nodes.next() {
                Some(Node::Text(text)) => self.text(text)?,
                Some(Node::Element(child)) => {
                    self.start(None, &child.ns(), child.name(), child.attrs())?;
                    open.push(child.nodes());
                }
                None => {
                    open.pop();
                    self.end();
                }
            }
        }
        Ok(())
    }

    fn close_tag(&mut self) {
        if self.in_tag {
            self.in_tag = false;
            self.put(">");
        }
    }

    fn put(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn escaped(&mut self, text: &str, attribute: bool) -> Result<(), WriteError> {
        escape(&mut self.out, text, attribute)
    }
}

/// Appends text, or an attribute value that stands between single quotes.
pub(crate) fn escape(out: &mut BytesMut, text: &str, attribute: bool) -> Result<(), WriteError> {
    let mut plain = 0;
    for (at, c) in text.char_indices() {
        if !is_xml_char(c) {
            return Err(WriteError::Character(u32::from(c)));
        }
        let Some(reference) = reference(c, attribute) else {
            continue;
        };
        out.extend_from_slice(text.get(plain..at).unwrap_or_default().as_bytes());
        out.extend_from_slice(reference.as_bytes());
        plain = at.saturating_add(1); // Everything that is escaped is one byte long.
    }
    out.extend_from_slice(text.get(plain..).unwrap_or_default().as_bytes());
    Ok(())
}

/// What stands for `c`; white space only where reading would change it (XML 1.0 §2.11, §3.3.3).
const fn reference(c: char, attribute: bool) -> Option<&'static str> {
    match (c, attribute) {
        ('<', _) => Some("&lt;"),
        ('>', _) => Some("&gt;"),
        ('&', _) => Some("&amp;"),
        ('\'', true) => Some("&apos;"),
        ('\r', _) => Some("&#xD;"),
        ('\n', true) => Some("&#xA;"),
        ('\t', true) => Some("&#x9;"),
        _ => None,
    }
}

/// `Char` of XML 1.0 §2.2.
const fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..='\u{10FFFF}')
}

fn check_name(name: &str) -> Result<(), WriteError> {
    <&NcNameStr>::try_from(name)
        .map(|_| ())
        .map_err(|_| WriteError::Name)
}
