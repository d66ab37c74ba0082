//! The scanner and rxml's parser side by side: over documents that are well-formed, over changed ones, and over what only
//! looks like XML, in pieces of any size.
#![allow(clippy::unwrap_used)]

use onetrip_tests::fuzz;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

fn text() -> impl Strategy<Value = String> {
    let pieces = select(vec![
        "a",
        "bc",
        " ",
        "\n",
        "\t",
        "\r",
        "\r\n",
        "é",
        "\u{1F319}",
        "]",
        "]]",
        ">",
        "'",
        "\"",
        "&amp;",
        "&lt;",
        "&apos;",
        "&#65;",
        "&#x1F319;",
        "&#13;",
        "<![CDATA[x<&]]]>",
        "<![CDATA[]]>",
        "<![CDATA[\r\n>]]>",
    ]);
    vec(pieces, 0..5).prop_map(|pieces| pieces.concat())
}

fn attributes() -> impl Strategy<Value = String> {
    let one = select(vec![
        " a='b'",
        " a = \"it's\"",
        "\n b='\"'",
        " c='&lt;&#9;&#x10FFFF;'",
        " d='\t\n\r\n'",
        " to='juliet@x'",
        " from='é'",
        " id=\"1&amp;2\"",
        " type='get'",
        " xml:lang='de'",
        " xmlns='u'",
        " xmlns='jabber:client'",
        " xmlns='jabber:server'",
        " xmlns=''",
        " xmlns:p='u'",
        " xmlns:p='v'",
        " xmlns:q='u'",
        " p:a=''",
        " q:a=''",
        " xmlns:xml='http://www.w3.org/XML/1998/namespace'",
        " xmlns:c='jabber:client'",
        " é='1'",
        " e='>'",
    ]);
    vec(one, 0..5).prop_map(|mut all| {
        all.sort_unstable();
        all.dedup_by_key(|one| one.split('=').next().map(str::trim));
        all.concat()
    })
}

fn element() -> impl Strategy<Value = String> {
    text().prop_recursive(4, 32, 4, |inner| {
        let name = select(vec![
            "a", "b-1", "iq", "message", "é", "p:b", "stream:a", "xml:a",
        ]);
        (name, attributes(), vec(inner, 0..4), any::<bool>()).prop_map(
            |(name, attributes, inner, space)| {
                let (inner, space) = (inner.concat(), if space { " \n" } else { "" });
                let prefix = name.starts_with("p:") && !attributes.contains("xmlns:p=");
                let attributes = attributes + if prefix { " xmlns:p='w'" } else { "" };
                if inner.is_empty() && space.is_empty() {
                    format!("<{name}{attributes}/>")
                } else {
                    format!("<{name}{attributes}{space}>{inner}</{name}{space}>")
                }
            },
        )
    })
}

/// First-level elements, most of them stanzas.
fn body() -> impl Strategy<Value = String> {
    let name = select(vec!["message", "presence", "iq", "x"]);
    let one = (name, attributes(), vec(element(), 0..3)).prop_map(|(name, attributes, inner)| {
        format!(
            "<{name}{attributes} xmlns:q='q'>{}</{name}>",
            inner.concat()
        )
        .replacen(
            " xmlns:q='q'",
            "",
            usize::from(attributes.contains("xmlns:q=")),
        )
    });
    vec(one, 1..3).prop_map(|all| all.join("\n"))
}

/// What a document is made of, in any order.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let token = select(vec![
        &b"<"[..],
        b"<a",
        b"<iq",
        b"<p:a",
        b"</a>",
        b"</iq>",
        b"</",
        b">",
        b"/>",
        b"/",
        b" ",
        b"\r",
        b"\n",
        b"=",
        b"'",
        b"\"",
        b" b='c'",
        b" b=",
        b" xmlns='u'",
        b" xmlns:p='u'",
        b" p:b=''",
        b":",
        b"x",
        b"1",
        b"-",
        b"&",
        b"&lt;",
        b"&#",
        b"&#x",
        b"41",
        b";",
        b"&x;",
        b"<!",
        b"<!-",
        b"<![CDATA[",
        b"]]>",
        b"]",
        b"<?",
        b"<?xml",
        b"?>",
        b"\xc3",
        b"\xa4",
        b"\xc3\xa4",
        b"\xef\xbf\xbe",
        b"\xff",
        b"\x00",
        b"\x1f",
        b"\x7f",
        b"<stream:stream>",
        b"</stream:stream>",
    ]);
    vec(token, 0..16).prop_map(|tokens| tokens.concat())
}

/// The two bytes that say how, and a document.
fn input(how: u8, piece: u8, document: &[u8]) -> Vec<u8> {
    [&[how, piece][..], document].concat()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn well_formed_documents(body in body(), piece: u8) {
        fuzz::scanner(&input(0, piece % 24, body.as_bytes()));
    }

    #[test]
    fn changed_documents(body in body(), edits in vec((any::<Index>(), soup(), 0..3_usize), 1..4), piece: u8) {
        let mut document = body.into_bytes();
        for (at, put, gone) in edits {
            let at = at.index(document.len() + 1);
            let put = put.get(..put.len().min(9)).unwrap().to_vec();
            document.splice(at..(at + gone).min(document.len()), put);
        }
        fuzz::scanner(&input(0, piece % 24, &document));
    }

    #[test]
    fn what_looks_like_xml(soup in soup(), how: u8, piece: u8) {
        fuzz::scanner(&input(how & 1, piece % 24, &soup));
    }

    #[test]
    fn prologs(soup in soup(), declaration in select(vec![
        "<?xml version='1.0'?>", "<?xml version = \"1.0\" encoding='UTF-8' ?>\n", "<?xml version='1.0' encoding='utf-8' standalone='yes'?>",
        "<?xml version='1.1'?>", "<?xml encoding='utf-8'?>", "<?xml?>", "<?xml version='&#49;.0' standalone='yes'?>", "",
    ]), piece: u8) {
        let header = b"<stream:stream xmlns:stream='http://etherx.jabber.org/streams' a=";
        fuzz::scanner(&input(1, piece % 24, &[declaration.as_bytes(), header, &soup].concat()));
    }
}
