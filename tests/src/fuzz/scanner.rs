//! The reader's scanner beside rxml's parser: both refuse, or both read the same elements.
//!
//! Where ours refuses and rxml does not is listed in [`intended`], and nothing else may differ.

use minidom::Element;
use minidom::rxml::error::EndOrError;
use minidom::rxml::{Event, Parse as _, Parser};
use onetrip_core::stream::{Frame, Limits, ReadError, ReadErrorKind, Reader};

use super::Input;

/// What stands before most documents.
pub(super) const HEADER: &[u8] =
    b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// The first byte says whether a header is put in front, the second how the rest is cut.
pub(super) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let header: &[u8] = if input.byte() & 1 == 0 { HEADER } else { b"" };
    let piece = usize::from(input.byte()) + 1;
    let document = [header, input.rest()].concat();
    let ours = ours(&document, document.len().max(1));
    assert_eq!(ours, self::ours(&document, 1), "byte by byte");
    assert_eq!(ours, self::ours(&document, piece), "in pieces of {piece}");
    let (elements, error) = ours;
    let (theirs, refused) = rxml(&document);
    let text = String::from_utf8_lossy(&document);
    match error {
        None => {
            assert!(!refused, "rxml refuses {text}");
            assert_eq!(elements, theirs, "{text}");
        }
        Some(error) => {
            assert!(theirs.starts_with(&elements), "{text}");
            assert!(refused || intended(&error, &document), "{error}: {text}");
        }
    }
}

/// Where ours is the strict one, or is so at an earlier byte.
fn intended(error: &ReadError, document: &[u8]) -> bool {
    let until = usize::try_from(error.offset).unwrap_or(document.len());
    let read = document.get(..until).unwrap_or(document);
    match &error.kind {
        ReadErrorKind::NotWellFormed { what } => match *what {
            // XML 1.0 §3.1: rxml takes the last of two default declarations.
            "an attribute given twice" => count(read, b"xmlns") > 1,
            // Namespaces in XML 1.0 §3: rxml lets the namespace of `xmlns` be bound.
            "a reserved prefix or namespace name" => count(read, b"/xmlns/") > 0,
            // XML 1.0 §3.3.3: rxml drops a CR before some characters.
            "a literal CR character in an attribute value" => read.contains(&b'\r'),
            // rxml waits for the end of the name.
            "an end tag before the header" => read.ends_with(b"</"),
            // rxml finds a quote that is out of place when what it takes for a value has ended, and lets an empty CDATA
            // section stand before the root, where XML 1.0 §2.8 has none.
            "a token that is out of place" | "a character that is out of place" => {
                read.ends_with(b"<![CDATA[") || rxml(&[document, b"'\""].concat()).1
            }
            _ => false,
        },
        // The first byte of a stream says so.
        ReadErrorKind::Encoding {
            what: "UTF-16 or UTF-32",
        } => true,
        ReadErrorKind::Restricted { .. } | ReadErrorKind::Encoding { .. } => false,
        // What is well-formed and no stream (RFC 6120 §4.7 to §4.9), and the limits.
        _ => true,
    }
}

fn count(bytes: &[u8], what: &[u8]) -> usize {
    let windows = bytes.windows(what.len());
    windows.filter(|window| *window == what).count()
}

fn ours(document: &[u8], piece: usize) -> (Vec<Element>, Option<ReadError>) {
    let mut reader = Reader::new(Limits::AUTHENTICATED);
    let mut elements = Vec::new();
    for mut piece in document.chunks(piece) {
        loop {
            match reader.next(&mut piece) {
                Ok(Some(Frame::Element(element))) => elements.push(element),
                Ok(Some(Frame::Stanza(stanza))) => {
                    // Its bytes say the same to rxml, on a stream that declares nothing but the content namespace.
                    let content = stanza.head().content.namespace();
                    let around = format!("<r xmlns='{content}'>");
                    let (found, refused) = rxml(&[around.as_bytes(), stanza.bytes()].concat());
                    let element = stanza.element();
                    assert_eq!((&found[..], refused), (&[element.clone()][..], false));
                    let head = stanza.head();
                    assert_eq!(head.to.as_deref(), element.attr("to"));
                    assert_eq!(head.from.as_deref(), element.attr("from"));
                    assert_eq!(head.id.as_deref(), element.attr("id"));
                    assert_eq!(head.type_.as_deref(), element.attr("type"));
                    elements.push(element);
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => return (elements, Some(error)),
            }
        }
    }
    (elements, None)
}

/// What rxml leaves as it is: a CR behind `]]` in a CDATA section. XML 1.0 §2.11 has line ends made one LF each before
/// anything else is looked at.
fn lines(document: &[u8]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(document.len());
    for byte in document {
        match (&lines[..], byte) {
            ([.., b']', b'\r'], b'\n') => {
                lines.pop();
            }
            ([.., b']', b'\r'], _) => {
                lines.pop();
                lines.push(b'\n');
            }
            _ => {}
        }
        lines.push(*byte);
    }
    lines
}

/// The first-level elements that rxml's parser reads, and whether it then refuses.
fn rxml(document: &[u8]) -> (Vec<Element>, bool) {
    let document = lines(document);
    let mut parser = Parser::new();
    let mut rest = &document[..];
    let mut open: Vec<Element> = Vec::new();
    let mut elements = Vec::new();
    loop {
        match parser.parse(&mut rest, false) {
            Ok(Some(Event::StartElement(_, (namespace, name), attributes))) => {
                let mut element = Element::bare(name, namespace);
                *element.attrs_mut() = attributes;
                open.push(element);
            }
            Ok(Some(Event::Text(_, text))) => {
                if let Some(element) = open.last_mut() {
                    element.append_text(text);
                }
            }
            Ok(Some(Event::EndElement(_))) => {
                let Some(element) = open.pop() else { continue };
                match &mut open[..] {
                    [] => {}
                    [_root] => elements.push(element),
                    [.., parent] => drop(parent.append_child(element)),
                }
            }
            Ok(Some(Event::XmlDeclaration(..))) => {}
            Ok(None) | Err(EndOrError::NeedMoreData) => return (elements, false),
            Err(EndOrError::Error(_)) => return (elements, true),
        }
    }
}
