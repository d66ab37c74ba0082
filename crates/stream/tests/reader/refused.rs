//! What the reader refuses, and as what.

use onetrip_stream::{Condition, Limits};

use crate::{HEADER, frames, inside, whole};

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

/// What Rust takes for white space in ASCII and XML does not.
#[test]
fn a_form_feed_between_elements_is_no_white_space() {
    for text in ["\u{c}", " \u{c}<a xmlns='u'/>", "<a xmlns='u'/>\u{c}"] {
        let error = inside(text).unwrap();
        assert_eq!(error.condition(), Condition::NotWellFormed, "{text:?}");
    }
}
