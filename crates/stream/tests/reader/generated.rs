//! Documents that are generated and changed: no split changes anything, and rxml agrees.

use onetrip_stream::{Content, Frame, Limits, ReadError, ReadErrorKind, Reader, Stanza};
use proptest::prelude::*;

use crate::{HEADER, frames, inside, read_by, whole};

/// Documents that are mostly well-formed, and pieces that are mostly not.
fn fragment() -> impl Strategy<Value = String> {
    let text = prop_oneof![4 => "[a-z ]{0,12}", 1 => Just("&amp;&#65;&lt;".to_owned()), 1 => Just("<![CDATA[x]]y]]>".to_owned()), 1 => Just("\r\n\t".to_owned())];
    let attributes = prop_oneof![3 => Just(String::new()), 1 => "[a-c]='[a-z&amp;]{0,5}'".prop_map(|a| format!(" {a}")),
        1 => Just(" xmlns='urn:n'".to_owned()), 1 => Just(" xmlns:p='urn:p' p:a='1'".to_owned()), 1 => Just(" xml:lang='de'".to_owned())];
    let leaf = text.prop_map(|text: String| text);
    leaf.prop_recursive(4, 24, 4, move |inner| {
        (
            "[a-d]|iq|message|p:q",
            attributes.clone(),
            proptest::collection::vec(inner, 0..4),
        )
            .prop_map(|(name, attributes, children)| {
                let attributes = if name.starts_with("p:") {
                    " xmlns:p='urn:q'".to_owned()
                } else {
                    attributes
                };
                format!("<{name}{attributes}>{}</{name}>", children.concat())
            })
    })
}

fn document() -> impl Strategy<Value = Vec<u8>> {
    let element = fragment().prop_map(|inner| format!("<message>{inner}</message>"));
    let body = proptest::collection::vec(prop_oneof![3 => element, 1 => fragment()], 1..3)
        .prop_map(|parts| format!("{HEADER}{}", parts.concat()).into_bytes());
    let edits = proptest::collection::vec(
        (
            any::<prop::sample::Index>(),
            prop_oneof![
                Just(b'<'),
                Just(b'>'),
                Just(b'\''),
                Just(b'&'),
                Just(b':'),
                Just(b'='),
                Just(b'/'),
                Just(b'!'),
                Just(0_u8),
                Just(0xff),
                any::<u8>()
            ],
            0..3_u8,
        ),
        0..3,
    );
    (body, edits).prop_map(|(mut bytes, edits)| {
        for (at, byte, how) in edits {
            let at = HEADER.len() + at.index(bytes.len() - HEADER.len() + 1);
            match how {
                0 => bytes.insert(at, byte),
                1 if at < bytes.len() => bytes[at] = byte,
                _ if at < bytes.len() => drop(bytes.remove(at)),
                _ => {}
            }
        }
        bytes
    })
}

/// What rxml's own namespace-aware parser makes of a document: whether it refuses.
fn rxml_refuses(document: &[u8]) -> bool {
    use rxml::{Parse as _, Parser};
    let mut parser = Parser::new();
    let mut rest = document;
    loop {
        match parser.parse(&mut rest, false) {
            Ok(_) => {}
            Err(rxml::error::EndOrError::NeedMoreData) => return false,
            Err(rxml::error::EndOrError::Error(_)) => return true,
        }
    }
}

/// Each way in which ours is the strict one, alone.
#[test]
fn what_rxml_lets_pass_and_we_do_not() {
    let table = [
        ("two default namespaces", "<a xmlns='u' xmlns='v'/>"),
        (
            "the namespace of xmlns",
            "<a xmlns:x='http://www.w3.org/2000/xmlns/'/>",
        ),
        (
            "the same as default",
            "<a xmlns='http://www.w3.org/2000/xmlns/'/>",
        ),
        ("a CR that rxml drops", "<a b='c\r'/>"),
        ("two CR", "<a b='\r\r\n'/>"),
        ("a CR before a reference", "<a b='\r&amp;'/>"),
        ("CDATA between elements", "<![CDATA[]]><a/>"),
        ("a quote that is out of place", "<a></a'"),
    ];
    for (what, body) in table {
        let document = format!("{HEADER}{body}");
        assert!(
            !rxml_refuses(document.as_bytes()),
            "{what}: rxml has changed"
        );
        assert!(inside(body).is_some(), "{what} is accepted");
    }
    let prolog = format!("<![CDATA[]]>{HEADER}");
    assert!(!rxml_refuses(prolog.as_bytes()) && whole(prolog.as_bytes()).1.is_some());
    // What both refuse, and what both take.
    assert!(
        inside("<a b='c\rd'/>").is_some()
            && rxml_refuses(format!("{HEADER}<a b='c\rd'/>").as_bytes())
    );
    assert_eq!(inside("<a b='c\r\nd'/>"), None);
}

/// Where ours is the stricter one, and why.
fn stricter(error: &ReadError, document: &[u8]) -> bool {
    match &error.kind {
        // RFC 6120 §4.9.3.1: nothing but white space between first-level elements.
        ReadErrorKind::StrayText | ReadErrorKind::NestedHeader | ReadErrorKind::AfterFooter => true,
        // rxml takes the last of two default namespaces.
        ReadErrorKind::NotWellFormed { what } if what.contains("twice") => {
            document
                .windows(6)
                .filter(|window| window.starts_with(b"xmlns="))
                .count()
                > 1
        }
        // Ours finds a quote that is out of place at once, rxml when the value behind it has ended.
        ReadErrorKind::NotWellFormed { what } if what.contains("out of place") => {
            rxml_refuses(&[document, b"'\""].concat())
        }
        ReadErrorKind::NotWellFormed { what } => {
            what.contains("character") && document.iter().any(|byte| *byte < 0x20)
        }
        ReadErrorKind::TooMuch { .. } => true,
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    /// The same frames and the same error at any split.
    #[test]
    fn no_split_changes_anything(document in document(), cuts in proptest::collection::vec(1_usize..20, 1..6)) {
        let expected = whole(&document);
        prop_assert_eq!(&frames(Limits::default(), document.chunks(1)), &expected);
        let mut rest = &document[..];
        let mut pieces = Vec::new();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() { break; }
            let (piece, more) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = more;
        }
        prop_assert_eq!(&frames(Limits::default(), pieces.into_iter()), &expected);
    }

    /// Ours refuses what rxml refuses, and besides only what is listed.
    #[test]
    fn accepts_and_refuses_what_rxml_does(document in document()) {
        let (_, error) = whole(&document);
        match (error, rxml_refuses(&document)) {
            (None, refused) => prop_assert!(!refused, "accepted: {}", String::from_utf8_lossy(&document)),
            (Some(error), false) => prop_assert!(stricter(&error, &document), "{error}: {}", String::from_utf8_lossy(&document)),
            (Some(_), true) => {}
        }
    }

    /// What was accepted is written in a form that reads back as the same, by us and by rxml.
    #[test]
    fn the_safe_form_is_a_fixed_point(document in document()) {
        for frame in whole(&document).0 {
            let Frame::Stanza(stanza) = frame else { continue };
            prop_assert_eq!(&Stanza::parse(stanza.bytes(), Content::Client).unwrap(), &stanza);
            let element = stanza.element();
            prop_assert_eq!(&Stanza::from_element(&element).unwrap(), &stanza);
            let again = format!("<r xmlns='jabber:client'>{}</r>", std::str::from_utf8(stanza.bytes()).unwrap());
            prop_assert!(!rxml_refuses(again.as_bytes()));
        }
    }

    /// RFC 6120 §5.4.3.3: nothing of the document before counts, wherever that had come to.
    #[test]
    fn a_reader_that_restarts_reads_as_a_new_one_does(
        before in document(),
        cut in any::<prop::sample::Index>(),
        after in document(),
        tight: bool,
        size in 1_usize..60,
    ) {
        let mut limits = Limits::default();
        if tight {
            (limits.depth, limits.attributes) = (3, 1);
        }
        let mut used = Reader::new(Limits::UNAUTHENTICATED);
        let mut rest = &before[..cut.index(before.len())];
        while let Ok(Some(_)) = used.next(&mut rest) {}
        used.restart(limits);
        prop_assert_eq!((used.consumed(), used.pending()), (0, 0));
        prop_assert_eq!(read_by(used, after.chunks(size)), frames(limits, after.chunks(size)));
    }

    #[test]
    fn bytes_of_any_kind_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = whole(&bytes);
        let _ = whole(&[HEADER.as_bytes(), &bytes].concat());
    }
}
