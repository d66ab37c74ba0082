//! The reader: what it refuses and why, its limits from both sides, and that no split changes anything.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

use onetrip_stream::{
    Condition, Content, Frame, Limit, Limits, ReadError, ReadErrorKind, Reader, Stanza,
    StreamHeader,
};

const HEADER: &str =
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// All frames of a document, or those before the error.
fn frames<'a>(
    limits: Limits,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> (Vec<Frame>, Option<ReadError>) {
    read_by(Reader::new(limits), pieces)
}

fn read_by<'a>(
    mut reader: Reader,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> (Vec<Frame>, Option<ReadError>) {
    let mut frames = Vec::new();
    for mut piece in pieces {
        loop {
            match reader.next(&mut piece) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(
                        reader.next(&mut &b"<a/>"[..]),
                        Err(error.clone()),
                        "an error is final"
                    );
                    return (frames, Some(error));
                }
            }
        }
    }
    (frames, None)
}

fn whole(document: &[u8]) -> (Vec<Frame>, Option<ReadError>) {
    frames(Limits::default(), std::iter::once(document))
}

fn inside(body: &str) -> Option<ReadError> {
    whole(format!("{HEADER}{body}").as_bytes()).1
}

/// Every way in which the parser can refuse, as RFC 6120 calls it: a row for each, so that an update of the parser
/// cannot silently change one.
#[test]
fn every_parser_error_has_its_condition() {
    use Condition::{NotWellFormed, PolicyViolation, RestrictedXml, UnsupportedEncoding};
    let table: &[(&str, &[u8], Condition)] = &[
        ("InvalidUtf8Byte", b"<a>\xff</a>", UnsupportedEncoding),
        (
            "encoding",
            b"<?xml version='1.0' encoding='utf-16'?>",
            UnsupportedEncoding,
        ),
        ("XML 1.1", b"<?xml version='1.1'?>", UnsupportedEncoding),
        (
            "not standalone",
            b"<?xml version='1.0' encoding='utf-8' standalone='no'?>",
            RestrictedXml,
        ),
        ("comment", b"<a><!-- --></a>", RestrictedXml),
        ("processing instruction", b"<a><?x y?></a>", RestrictedXml),
        (
            "late declaration",
            b"<a><?xml version='1.0'?></a>",
            RestrictedXml,
        ),
        ("DTD", b"<!DOCTYPE a>", RestrictedXml),
        ("DTD inside", b"<a><!ELEMENT a></a>", RestrictedXml),
        ("UndeclaredEntity", b"<a>&nbsp;</a>", RestrictedXml),
        ("InvalidSyntax", b"<a>]]></a>", NotWellFormed),
        ("empty reference", b"<a>&;</a>", NotWellFormed),
        ("InvalidChar", b"<a>\x01</a>", NotWellFormed),
        ("InvalidChar by reference", b"<a>&#1;</a>", NotWellFormed),
        ("UnexpectedByte", b"<a><1/></a>", NotWellFormed),
        ("UnexpectedToken", b"<a b></a>", NotWellFormed),
        ("unquoted value", b"<a b=c></a>", NotWellFormed),
        ("DuplicateAttribute", b"<a b='' b=''/>", NotWellFormed),
        (
            "duplicate by namespace",
            b"<a xmlns:x='u' xmlns:y='u' x:b='' y:b=''/>",
            NotWellFormed,
        ),
        (
            "two default namespaces",
            b"<a xmlns='u' xmlns='v'/>",
            NotWellFormed,
        ),
        (
            "two bindings of a prefix",
            b"<a xmlns:x='u' xmlns:x='v'/>",
            NotWellFormed,
        ),
        ("ElementMismatch", b"<a></b>", NotWellFormed),
        ("MultiColonName", b"<a:b:c/>", NotWellFormed),
        ("EmptyNamePart", b"<:a/>", NotWellFormed),
        ("InvalidLocalName", b"<a:1/>", NotWellFormed),
        ("UndeclaredNamespacePrefix", b"<x:a/>", NotWellFormed),
        (
            "undeclared prefix of an attribute",
            b"<a x:b=''/>",
            NotWellFormed,
        ),
        (
            "ReservedNamespacePrefix",
            b"<a xmlns:xmlns='u'/>",
            NotWellFormed,
        ),
        (
            "ReservedNamespaceName",
            b"<a xmlns:x='http://www.w3.org/XML/1998/namespace'/>",
            NotWellFormed,
        ),
        (
            "xmlns bound",
            b"<a xmlns:x='http://www.w3.org/2000/xmlns/'/>",
            NotWellFormed,
        ),
        (
            "xmlns as default",
            b"<a xmlns='http://www.w3.org/2000/xmlns/'/>",
            NotWellFormed,
        ),
        ("EmptyNamespaceUri", b"<a xmlns:x=''/>", NotWellFormed),
    ];
    for (what, bytes, condition) in table {
        let in_prolog = bytes.starts_with(b"<?") || bytes.starts_with(b"<!");
        let document = if in_prolog {
            bytes.to_vec()
        } else {
            [HEADER.as_bytes(), bytes].concat()
        };
        let (_, error) = whole(&document);
        let error = error.unwrap_or_else(|| panic!("{what} is accepted"));
        assert_eq!(error.condition(), *condition, "{what}: {error}");
        let bytewise = frames(Limits::default(), document.chunks(1)).1;
        assert_eq!(
            bytewise.map(|error| error.condition()),
            Some(*condition),
            "{what}, byte by byte"
        );
    }
    let long = format!("{HEADER}<a b='{}'/>", "x".repeat(9000));
    assert_eq!(
        whole(long.as_bytes()).1.unwrap().condition(),
        PolicyViolation
    );
}

/// Each limit, met exactly and exceeded by one.
#[test]
fn every_limit_from_both_sides() {
    let limits = Limits::default();
    let small = |edit: fn(&mut Limits, usize), allowed: usize| {
        let mut limits = limits;
        edit(&mut limits, allowed);
        limits
    };
    type Edit = fn(&mut Limits, usize);
    type Build = fn(usize) -> String;
    let table: &[(Limit, Edit, usize, Build)] = &[
        (
            Limit::Header,
            |limits, n| limits.header = n,
            200,
            |n| {
                format!(
                    "{}{}>",
                    &HEADER[..HEADER.len() - 1],
                    " ".repeat(n - HEADER.len())
                )
            },
        ),
        (
            Limit::Element,
            |limits, n| limits.element = n,
            300,
            |n| format!("{HEADER}<a>{}</a>", "x".repeat(n - 7)),
        ),
        (
            Limit::Token,
            |limits, n| limits.token = n,
            120,
            |n| format!("{HEADER}<a b='{}'/>", "x".repeat(n)),
        ),
        (
            Limit::Silent,
            |limits, n| limits.silent = n,
            200,
            |n| format!("{HEADER}<a{}/>", " ".repeat(n)),
        ),
        (
            Limit::Depth,
            |limits, n| limits.depth = n,
            5,
            |n| format!("{HEADER}{}{}", "<a>".repeat(n), "</a>".repeat(n)),
        ),
        (
            Limit::Attributes,
            |limits, n| limits.attributes = n,
            7,
            |n| {
                format!(
                    "{HEADER}<a {}/>",
                    (0..n).map(|i| format!(" b{i}=''")).collect::<String>()
                )
            },
        ),
        (
            Limit::Elements,
            |limits, n| limits.elements = n,
            9,
            |n| format!("{HEADER}<a>{}</a>", "<b/>".repeat(n - 1)),
        ),
        (
            Limit::Elements,
            |limits, n| limits.elements = n,
            9,
            |n| format!("{HEADER}<iq>{}</iq>", "<b/>".repeat(n - 1)),
        ),
        (
            Limit::Namespace,
            |limits, n| limits.namespace = n,
            80,
            |n| format!("{HEADER}<a xmlns='{}'/>", "n".repeat(n)),
        ),
        (
            Limit::Name,
            |limits, n| limits.name = n,
            12,
            |n| format!("{HEADER}<{}/>", "a".repeat(n)),
        ),
    ];
    for (limit, edit, allowed, build) in table {
        let limits = small(*edit, *allowed);
        // White space inside a tag is only seen as silence when the tag goes on.
        let slack = usize::from(*limit == Limit::Silent) * 8;
        let (found, error) = frames(limits, std::iter::once(build(*allowed - slack).as_bytes()));
        assert_eq!(error, None, "{limit:?} at the bound");
        assert!(!found.is_empty());
        let beyond = build(*allowed + 1 + slack);
        for size in [usize::MAX, 1] {
            let error = frames(limits, beyond.as_bytes().chunks(size.min(beyond.len()))).1;
            let error = error.unwrap_or_else(|| panic!("{limit:?} beyond the bound, by {size}"));
            assert!(
                matches!(error.kind, ReadErrorKind::TooMuch { limit: found, .. } if found == *limit),
                "{limit:?}: {error:?}"
            );
        }
    }
}

/// R1: runs of CR grow rxml's buffer without an event. R8: white space inside a tag never ends.
#[test]
fn r1_a_run_of_cr_is_bounded_everywhere() {
    let run = "\r".repeat(400_000);
    assert!(inside(&format!("<a>{run}")).is_some(), "in text");
    assert!(
        inside(&format!("<a b='{run}")).is_some(),
        "in an attribute value"
    );
    assert!(inside(&format!("<a {run}")).is_some(), "in a tag");
    assert!(
        whole(format!("<?xml version='1.0'?>{run}").as_bytes())
            .1
            .is_some(),
        "before the root"
    );
    // Between first-level elements white space is a keepalive, and costs nothing.
    assert_eq!(inside(&run), None);
    assert!(inside(&format!("<![CDATA[{run}")).is_some(), "in CDATA");
}

/// R2, R3: a tag with very many attributes and a document that is very deep are cut off before they cost anything.
#[test]
fn r2_r3_attribute_floods_and_depth_are_cut_off() {
    let flood: String = (0..500_000).map(|i| format!(" a{i}=''")).collect();
    let error = inside(&format!("<a{flood}/>")).unwrap();
    assert!(error.offset < 10_000, "{error}");
    let error = inside(&"<a>".repeat(200_000)).unwrap();
    assert!(error.offset < 1_000, "{error}");
}

/// No byte behind a frame is looked at: it may belong to TLS.
#[test]
fn the_byte_behind_a_frame_is_never_looked_at() {
    for behind in 0..=255_u8 {
        let document = [
            HEADER.as_bytes(),
            b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
            &[behind],
        ]
        .concat();
        let mut reader = Reader::new(Limits::default());
        let mut rest = &document[..];
        assert!(matches!(reader.next(&mut rest), Ok(Some(Frame::Header(_)))));
        assert!(matches!(
            reader.next(&mut rest),
            Ok(Some(Frame::Element(_)))
        ));
        assert_eq!(rest, [behind]);
    }
}

/// ZH-R1: a primed reader takes a stanza as the first bytes, and its counters begin there.
/// What Rust takes for white space in ASCII and XML does not.
#[test]
fn a_form_feed_between_elements_is_no_white_space() {
    for text in ["\u{c}", " \u{c}<a xmlns='u'/>", "<a xmlns='u'/>\u{c}"] {
        let error = inside(text).unwrap();
        assert_eq!(error.condition(), Condition::NotWellFormed, "{text:?}");
    }
}

#[test]
fn zh_r1_a_primed_reader_needs_no_header() {
    let mut reader =
        Reader::primed(&StreamHeader::new(Content::Server), Limits::default()).unwrap();
    let mut rest: &[u8] = b"<message from='a' to='b'/></stream:stream> ";
    assert!(
        matches!(reader.next(&mut rest), Ok(Some(Frame::Stanza(stanza))) if stanza.head().content == Content::Server)
    );
    assert_eq!(reader.consumed(), 26);
    assert_eq!(reader.next(&mut rest), Ok(Some(Frame::Footer)));
    assert_eq!(reader.next(&mut rest), Ok(None));
    let mut more: &[u8] = b"<a/>";
    assert_eq!(
        reader.next(&mut more).unwrap_err().kind,
        ReadErrorKind::AfterFooter
    );
}

/// RFC 6120 §4.4: behind a restart the footer of the document before is a footer, at any split, and nothing else changes.
#[test]
fn behind_another_document_its_footer_is_one() {
    let behind = |document: &str, size| {
        let pieces = document.as_bytes().chunks(size);
        read_by(Reader::behind(Limits::default()), pieces)
    };
    for size in [1, 2, 7, 1000] {
        assert_eq!(
            behind("</stream:stream> \n", size),
            (vec![Frame::Footer], None)
        );
        for document in [
            format!("{HEADER}<a/></stream:stream>"),
            format!("<?xml version='1.0'?>{HEADER}"),
            "<".to_owned(),
            "< a>".to_owned(),
            "x".to_owned(),
            "<!DOCTYPE a>".to_owned(),
            "\u{feff}".to_owned(),
        ] {
            assert_eq!(
                behind(&document, size),
                whole(document.as_bytes()),
                "{document}"
            );
        }
        for document in ["</stream:streams>", "</a>", "</stream:stream >"] {
            let (frames, error) = behind(document, size);
            assert_eq!(frames, []);
            let condition = error.map(|error| error.kind.condition());
            assert_eq!(condition, Some(Condition::NotWellFormed), "{document}");
        }
        let error = behind("</stream:stream><a/>", size).1.unwrap();
        assert_eq!(error.kind, ReadErrorKind::AfterFooter);
    }
    let mut reader = Reader::behind(Limits::default());
    assert_eq!(reader.next(&mut &b"</str"[..]), Ok(None));
    assert!(reader.is_mid_frame());
}

#[test]
fn header_forms_prefixed_free_and_by_another_prefix() {
    let read = |header: &str| match &whole(header.as_bytes()).0[..] {
        [Frame::Header(header)] => header.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        read("<stream xmlns='http://etherx.jabber.org/streams' version='1.0'>").content,
        None
    );
    assert_eq!(read(HEADER).content, Some(Content::Client));
    let other = read(
        "<s:stream xmlns='jabber:server' xmlns:s='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' id='' version='1.7'>",
    );
    assert!(
        other.dialback
            && other.id.is_none()
            && other.content == Some(Content::Server)
            && other.version.minor == 7
    );
    for version in ["1", "1.x", "+1.0", "-1.0", "1.0.0", "99999.0"] {
        let header = HEADER.replace('>', &format!(" version='{version}'>"));
        assert_eq!(
            whole(header.as_bytes()).1.unwrap().kind,
            ReadErrorKind::Version,
            "{version}"
        );
    }
}

/// Stanzas come out in the one form: no prefixes, no CDATA, no reliance on the header, and reading it again changes
/// nothing.
#[test]
fn a_stanza_is_rewritten_into_the_safe_form() {
    let body = "<message xmlns:x='urn:x' xmlns:y='urn:y' to=\"a'b\" y:k='v'><x:e>a<![CDATA[<b>]]>&#99;\r\n&#13;</x:e><body/></message>";
    let (found, error) = whole(format!("{HEADER}{body}").as_bytes());
    assert_eq!(error, None);
    let Frame::Stanza(stanza) = &found[1] else {
        panic!()
    };
    let expected = "<message to='a&apos;b' xmlns:ns0='urn:y' ns0:k='v'><e xmlns='urn:x'>a&lt;b&gt;c\n&#xD;</e><body/></message>";
    assert_eq!(std::str::from_utf8(stanza.bytes()).unwrap(), expected);
    assert_eq!(
        &Stanza::parse(stanza.bytes(), Content::Client).unwrap(),
        stanza
    );
    assert_eq!(&Stanza::from_element(&stanza.element()).unwrap(), stanza);
}

/// What no two parsers read differently is not touched; without the declaration of the content namespace it says the
/// same on a stream of either.
#[test]
fn a_stanza_in_the_safe_form_keeps_its_bytes() {
    let kept = |body: &str| {
        let (found, error) = whole(format!("{HEADER}{body}").as_bytes());
        assert_eq!(error, None, "{body}");
        let [_, Frame::Stanza(stanza)] = &found[..] else {
            panic!("{found:?}")
        };
        assert_eq!(
            &Stanza::from_element(&stanza.element()).unwrap(),
            stanza,
            "{body}"
        );
        let text = String::from_utf8(stanza.bytes().to_vec()).unwrap();
        assert!(
            stanza.head().to.as_deref().is_none_or(|to| to == "a&b"),
            "{body}"
        );
        text
    };
    for safe in [
        "<message />",
        "<message to=\"a&amp;b\"  type='chat' ><body>a > b \u{e4}&lt;</body><x xmlns='u'><y/></x ></message>",
        "<iq xml:lang='de' id='1'><q xmlns=''/></iq>",
    ] {
        assert_eq!(kept(safe), safe);
    }
    assert_eq!(
        kept("<message type='chat' xmlns='jabber:client'\n to='a&amp;b'><body/></message>"),
        "<message type='chat'\n to='a&amp;b'><body/></message>"
    );
    for other in [
        "<message><![CDATA[]]></message>",
        "<message>&#65;</message>",
        "<message>\r\n</message>",
        "<message a='\t'/>",
        "<message to='a&#38;b'/>",
        "<\u{e4}:message xmlns:\u{e4}='jabber:client'/>",
        "<message><stream:x/></message>",
        "<message xmlns:p='u'/>",
        "<message xmlns:p='u'><xml:a><xml:b xmlns='v'/><c/></xml:a></message>",
        "<message xmlns='jabber:client'><body xmlns='jabber:client'/></message>",
    ] {
        let written = kept(other);
        assert_ne!(written, other);
        let again = Stanza::parse(written.as_bytes(), Content::Client).unwrap();
        assert_eq!(
            again.bytes(),
            written.as_bytes(),
            "the form written is stable"
        );
    }
}

mod generated {
    use super::*;
    use proptest::prelude::*;

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
            ReadErrorKind::StrayText | ReadErrorKind::NestedHeader | ReadErrorKind::AfterFooter => {
                true
            }
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

        #[test]
        fn bytes_of_any_kind_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = whole(&bytes);
            let _ = whole(&[HEADER.as_bytes(), &bytes].concat());
        }
    }
}
