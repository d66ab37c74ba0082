//! XML in one form only, written so that no two parsers read it differently.
//!
//! Names without prefixes, one default declaration where the namespace changes, a local prefix for each
//! attribute in a namespace, no CDATA, only the five entities and references for CR, LF and TAB. Nothing relies
//! on a declaration outside of the element, save `stream:` and `db:` on elements of the stream itself.

use core::fmt::Write as _;

use bytes::BytesMut;
use minidom::element::Nodes;
use minidom::rxml::{AttrMap, NcNameStr, XMLNS_XML};
use minidom::{Element, Node};

use crate::WriteError;
use crate::scan::any;

/// Deeper elements are not written: no reader of ours would take them, and the caller's stack has an end.
pub(crate) const MAX_DEPTH: usize = 512;

/// Appends an element whose surroundings have this default namespace; `prefix` is one that they bind to the element's.
/// When it refuses, nothing has been appended.
pub(crate) fn element(
    out: &mut BytesMut,
    default: &str,
    prefix: Option<&str>,
    element: &Element,
) -> Result<(), WriteError> {
    let before = out.len();
    let written = tree(out, default, prefix, element);
    if written.is_err() {
        out.truncate(before);
    }
    written
}

/// An element whose end tag is not written yet.
struct Open<'a> {
    element: &'a Element,
    nodes: Nodes<'a>,
    /// The default namespace that it declares.
    declared: Option<String>,
    /// The place of the open element whose declaration is in force here: none before the first.
    scope: Option<usize>,
}

/// With a stack of its own, so that no depth overflows the caller's.
fn tree(
    out: &mut BytesMut,
    default: &str,
    prefix: Option<&str>,
    root: &Element,
) -> Result<(), WriteError> {
    let mut open: Vec<Open<'_>> = Vec::with_capacity(4);
    let mut next = Some(root);
    // Whether the last start tag still lacks its `>`.
    let mut in_tag = false;
    loop {
        if let Some(element) = next.take() {
            if in_tag {
                out.extend_from_slice(b">");
            }
            if open.len() >= MAX_DEPTH {
                return Err(WriteError::Depth(MAX_DEPTH));
            }
            let prefix = prefix_of(element, prefix.filter(|_| open.is_empty()));
            let scope = open.last().and_then(|parent| parent.scope);
            let declared = scope.and_then(|place| open.get(place)?.declared.as_deref());
            let changes = prefix.is_none() && !element.has_ns(declared.unwrap_or(default));
            // The only string: minidom does not lend the namespace of an element.
            let declared = changes.then(|| element.ns());
            start_tag(out, prefix, declared.as_deref(), element.name())?;
            attributes(out, element.attrs())?;
            in_tag = true;
            open.push(Open {
                element,
                nodes: element.nodes(),
                scope: if changes { Some(open.len()) } else { scope },
                declared,
            });
        }
        let Some(innermost) = open.last_mut() else {
            return Ok(());
        };
        match innermost.nodes.next() {
            Some(Node::Text(text)) if text.is_empty() => {}
            Some(Node::Text(text)) => {
                if core::mem::take(&mut in_tag) {
                    out.extend_from_slice(b">");
                }
                escape(out, text, false)?;
            }
            Some(Node::Element(child)) => next = Some(child),
            None => {
                if core::mem::take(&mut in_tag) {
                    out.extend_from_slice(b"/>");
                } else {
                    let prefix = prefix.filter(|_| open.len() == 1);
                    if let Some(Open { element, .. }) = open.last() {
                        end_tag(out, prefix_of(element, prefix), element.name());
                    }
                }
                open.pop();
            }
        }
    }
}

/// The namespace of `xml` may not be declared as the default one (Namespaces in XML 1.0 §3).
fn prefix_of<'a>(element: &Element, outside: Option<&'a str>) -> Option<&'a str> {
    outside.or_else(|| element.has_ns(XMLNS_XML).then_some("xml"))
}

/// Appends what is read piece by piece: a tree that nobody has built.
#[derive(Debug)]
pub(crate) struct Encoder {
    out: BytesMut,
    /// The default namespaces declared by open elements, beginning with the one around the first.
    defaults: Vec<String>,
    /// The qualified names of the open elements, and whether they declare.
    open: Vec<(String, bool)>,
    /// Whether the last start tag still lacks its `>`.
    in_tag: bool,
}

impl Encoder {
    /// An encoder whose surroundings have this default namespace.
    pub(crate) fn new(default: &str) -> Self {
        Self {
            out: BytesMut::new(),
            defaults: vec![default.to_owned()],
            open: Vec::new(),
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

    /// Writes a start tag.
    pub(crate) fn start(
        &mut self,
        namespace: &str,
        name: &str,
        attrs: &AttrMap,
    ) -> Result<(), WriteError> {
        self.close_tag();
        if self.open.len() >= MAX_DEPTH {
            return Err(WriteError::Depth(MAX_DEPTH));
        }
        let prefix = (namespace == XMLNS_XML).then_some("xml");
        let changes = self.defaults.last().is_none_or(|last| last != namespace) && prefix.is_none();
        if changes {
            self.defaults.push(namespace.to_owned());
        }
        let qualified = prefix.map_or_else(|| name.to_owned(), |prefix| format!("{prefix}:{name}"));
        self.open.push((qualified, changes));
        self.in_tag = true;
        start_tag(&mut self.out, prefix, changes.then_some(namespace), name)?;
        attributes(&mut self.out, attrs)
    }

    /// Writes text.
    pub(crate) fn text(&mut self, text: &str) -> Result<(), WriteError> {
        if text.is_empty() {
            return Ok(());
        }
        self.close_tag();
        escape(&mut self.out, text, false)
    }

    /// Writes the end of the innermost open element.
    pub(crate) fn end(&mut self) {
        let Some((name, declares)) = self.open.pop() else {
            return;
        };
        if declares {
            self.defaults.pop();
        }
        if core::mem::take(&mut self.in_tag) {
            self.out.extend_from_slice(b"/>");
        } else {
            end_tag(&mut self.out, None, &name);
        }
    }

    fn close_tag(&mut self) {
        if core::mem::take(&mut self.in_tag) {
            self.out.extend_from_slice(b">");
        }
    }
}

/// A start tag up to its attributes.
pub(crate) fn start_tag(
    out: &mut BytesMut,
    prefix: Option<&str>,
    declared: Option<&str>,
    name: &str,
) -> Result<(), WriteError> {
    check_name(name)?;
    out.extend_from_slice(b"<");
    qualified(out, prefix, name);
    if let Some(namespace) = declared {
        out.extend_from_slice(b" xmlns='");
        escape(out, namespace, true)?;
        out.extend_from_slice(b"'");
    }
    Ok(())
}

pub(crate) fn end_tag(out: &mut BytesMut, prefix: Option<&str>, name: &str) {
    out.extend_from_slice(b"</");
    qualified(out, prefix, name);
    out.extend_from_slice(b">");
}

fn qualified(out: &mut BytesMut, prefix: Option<&str>, name: &str) {
    if let Some(prefix) = prefix {
        out.extend_from_slice(prefix.as_bytes());
        out.extend_from_slice(b":");
    }
    out.extend_from_slice(name.as_bytes());
}

/// The attributes of a tag, by namespace and name, as the map has them in order. Their names are checked by their type.
fn attributes(out: &mut BytesMut, attributes: &AttrMap) -> Result<(), WriteError> {
    let mut last: Option<&str> = None;
    let mut declared: usize = 0;
    for ((namespace, name), value) in attributes.iter() {
        out.extend_from_slice(b" ");
        match namespace.as_str() {
            "" => check_attribute(name)?,
            XMLNS_XML => out.extend_from_slice(b"xml:"),
            foreign => {
                if last != Some(foreign) {
                    last = Some(foreign);
                    declared = declared.saturating_add(1);
                    let _ = write!(out, "xmlns:ns{}='", declared.saturating_sub(1));
                    escape(out, foreign, true)?;
                    out.extend_from_slice(b"' ");
                }
                let _ = write!(out, "ns{}:", declared.saturating_sub(1));
            }
        }
        self::value(out, name, value)?;
    }
    Ok(())
}

/// An attribute without a namespace, whose name has been checked; or with a prefix that needs no declaration.
pub(crate) fn attribute(out: &mut BytesMut, name: &str, value: &str) -> Result<(), WriteError> {
    out.extend_from_slice(b" ");
    self::value(out, name, value)
}

fn value(out: &mut BytesMut, name: &str, value: &str) -> Result<(), WriteError> {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"='");
    escape(out, value, true)?;
    out.extend_from_slice(b"'");
    Ok(())
}

/// Appends text, or an attribute value that stands between single quotes.
pub(crate) fn escape(out: &mut BytesMut, text: &str, attribute: bool) -> Result<(), WriteError> {
    let kinds = if attribute { &IN_VALUES } else { &IN_TEXT };
    let kind = |byte: u8| kinds.get(usize::from(byte)).copied();
    let plain = |byte: &u8| kind(*byte) == Some(Kind::Plain);
    let mut rest = text.as_bytes();
    loop {
        // Many at a time without a branch for each: one instruction in seven of writing an element.
        let usual = usual(rest);
        let eights = rest.get(usual..).unwrap_or_default().chunks_exact(8);
        let eights =
            eights.take_while(|eight| eight.iter().fold(true, |all, byte| all & plain(byte)));
        let at = usual.saturating_add(eights.count().saturating_mul(8));
        let more = rest.iter().skip(at).take_while(|byte| plain(byte)).count();
        let at = at.saturating_add(more);
        let (plain, behind) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        out.extend_from_slice(plain);
        let Some((&byte, behind)) = behind.split_first() else {
            break;
        };
        match (kind(byte), behind) {
            (Some(Kind::Last), [0xBF, last @ (0xBE | 0xBF), ..]) => {
                return Err(WriteError::Character(u32::from_be_bytes([
                    0,
                    0,
                    0xFF,
                    last | 0x40,
                ])));
            }
            (Some(Kind::Last), _) => out.extend_from_slice(&[byte]),
            (Some(Kind::Escaped), _) => out.extend_from_slice(reference(byte)),
            _ => return Err(WriteError::Character(byte.into())),
        }
        rest = behind;
    }
    Ok(())
}

/// How many bytes at the front are plain wherever they stand, in blocks of 32; of a long text, in larger ones first.
fn usual(bytes: &[u8]) -> usize {
    let rest = skip::<32>(skip::<128>(bytes));
    bytes.len().saturating_sub(rest.len())
}

fn skip<const N: usize>(bytes: &[u8]) -> &[u8] {
    // `<` and `>` differ in one bit, and so do `&` and `'`.
    let may_be_other =
        |byte: u8| (byte < 0x20) | (byte | 2 == b'>') | (byte | 1 == b'\'') | (byte == 0xEF);
    let mut rest = bytes;
    while let Some((block, behind)) = rest.split_first_chunk::<N>() {
        if any(block, may_be_other) {
            break;
        }
        rest = behind;
    }
    rest
}

/// What a byte of UTF-8 needs where it is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nothing: it stands for itself.
    Plain,
    /// A reference stands for it.
    Escaped,
    /// XML 1.0 §2.2 has no such character.
    Forbidden,
    /// A look at the next two: it begins U+F000 to U+FFFF, and XML does not have U+FFFE and U+FFFF.
    Last,
}

static IN_TEXT: [Kind; 256] = kinds(false);
static IN_VALUES: [Kind; 256] = kinds(true);

const fn kinds(attribute: bool) -> [Kind; 256] {
    let mut kinds = [Kind::Plain; 256];
    let mut rest: &mut [Kind] = &mut kinds;
    let mut byte: u8 = 0;
    while let Some((kind, behind)) = rest.split_first_mut() {
        *kind = match byte {
            b'<' | b'>' | b'&' | b'\r' => Kind::Escaped,
            // Only where reading would change it (XML 1.0 §3.3.3).
            b'\'' | b'\n' | b'\t' if attribute => Kind::Escaped,
            b'\n' | b'\t' => Kind::Plain,
            0..0x20 => Kind::Forbidden,
            0xEF => Kind::Last,
            _ => Kind::Plain,
        };
        byte = byte.wrapping_add(1);
        rest = behind;
    }
    kinds
}

/// What stands for a byte that is [escaped](Kind::Escaped).
const fn reference(byte: u8) -> &'static [u8] {
    match byte {
        b'<' => b"&lt;",
        b'>' => b"&gt;",
        b'&' => b"&amp;",
        b'\'' => b"&apos;",
        b'\r' => b"&#xD;",
        b'\n' => b"&#xA;",
        _ => b"&#x9;",
    }
}

/// One that would declare a namespace is none.
pub(crate) fn check_attribute(name: &str) -> Result<(), WriteError> {
    if name == "xmlns" {
        return Err(WriteError::Name);
    }
    Ok(())
}

/// `NCName` of XML namespaces; most names are ASCII, which one look at each byte tells.
pub(crate) fn check_name(name: &str) -> Result<(), WriteError> {
    let ascii = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let begins = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    if name.as_bytes().first().is_some_and(begins) && name.bytes().all(ascii) {
        return Ok(());
    }
    <&NcNameStr>::try_from(name)
        .map(|_| ())
        .map_err(|_| WriteError::Name)
}
