//! What leaves: a form that no two parsers read differently, and the same tree when it is read again.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use bytes::BytesMut;
use minidom::Element;
use onetrip_stream::{Build, Content, Stanza, WriteError, Writer, ns};
use proptest::prelude::*;

/// Why some parser may read this differently; `None` where none does. It knows nothing of how it was written.
fn doubtful(written: &[u8]) -> Option<&'static str> {
    let text = std::str::from_utf8(written).ok()?;
    if text.contains("<!") || text.contains("<?") {
        return Some("CDATA, a comment or an instruction");
    }
    if text.contains('\r') {
        return Some("a literal CR");
    }
    let known = [
        "lt;", "gt;", "amp;", "apos;", "quot;", "#xD;", "#xA;", "#x9;",
    ];
    let unknown = |behind: &str| !known.iter().any(|name| behind.starts_with(name));
    if text.split('&').skip(1).any(unknown) {
        return Some("a reference other than to the five entities, CR, LF and TAB");
    }
    let tags = text
        .split('<')
        .skip(1)
        .filter_map(|tag| tag.split_once('>'));
    tags.map(|(tag, _)| tag).find_map(doubtful_tag)
}

fn doubtful_tag(tag: &str) -> Option<&'static str> {
    let (name, attributes) = tag
        .split_once(' ')
        .unwrap_or((tag.trim_end_matches('/'), ""));
    // Every second part is a value.
    let parts: Vec<&str> = attributes.split('\'').collect();
    let names = parts
        .iter()
        .step_by(2)
        .map(|name| name.trim_matches([' ', '=', '/']));
    let names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
    let declared: Vec<&str> = names
        .iter()
        .filter_map(|name| name.strip_prefix("xmlns:"))
        .collect();
    let unbound = |name: &str| match name.split_once(':') {
        Some(("xml" | "xmlns", _)) | None => false,
        Some((prefix, _)) => !declared.contains(&prefix),
    };
    let mut once = names.clone();
    once.sort_unstable();
    once.dedup();
    if !name.is_ascii() || !names.iter().all(|name| name.is_ascii()) {
        Some("a name beyond ASCII")
    } else if name.contains(':') || names.iter().any(|name| unbound(name)) {
        Some("a prefix bound elsewhere")
    } else if once.len() < names.len() {
        Some("the same attribute or declaration twice")
    } else {
        None
    }
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "body", "x-1", "message", "_", "ns0", "xmlns1"])
        .prop_map(str::to_owned)
}

fn namespace() -> impl Strategy<Value = String> {
    let of = vec![
        "jabber:client",
        "jabber:server",
        "urn:a",
        "urn:b'\"<&>",
        "",
        "http://etherx.jabber.org/streams",
    ];
    prop::sample::select(of).prop_map(str::to_owned)
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z <>&'\"]{0,12}",
        "[\\PC]{1,12}",
        "[\r\n\t \\]>a]{1,8}",
        Just("\u{FFFD}\u{F000}\u{EFFF}\u{10FFFF}".to_owned()),
    ]
}

type Attribute = (u8, String, String);

fn element(name: &str, namespace: &str, attributes: &[Attribute]) -> Element {
    attributes.iter().fold(
        Element::bare(name, namespace),
        |element, (kind, name, value)| match kind {
            0 => element.with_attr(name, value.as_str()),
            1 => element.with_attr_ns("urn:a", name, value.as_str()),
            2 => element.with_attr_ns("urn:'&", name, value.as_str()),
            _ => element.with_attr_ns(
                "http://www.w3.org/XML/1998/namespace",
                "lang",
                value.as_str(),
            ),
        },
    )
}

fn attributes() -> impl Strategy<Value = Vec<Attribute>> {
    prop::collection::vec((0..4_u8, name(), text()), 0..5)
}

fn tree() -> impl Strategy<Value = Element> {
    let leaf = (name(), namespace(), attributes())
        .prop_map(|(name, namespace, attributes)| element(&name, &namespace, &attributes));
    leaf.prop_recursive(5, 24, 4, |inner| {
        let nodes = prop::collection::vec((inner, text()), 0..4);
        (name(), namespace(), attributes(), nodes).prop_map(
            |(name, namespace, attributes, nodes)| {
                nodes.into_iter().fold(
                    element(&name, &namespace, &attributes),
                    |parent, (child, text)| {
                        let parent = parent.with_child(child);
                        if text.is_empty() {
                            parent
                        } else {
                            parent.with_text(&text)
                        }
                    },
                )
            },
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_tree_comes_back_as_it_was(child in tree(), attributes in attributes(), server in any::<bool>()) {
        let content = if server { ns::SERVER } else { ns::CLIENT };
        let whole = element("message", content, &attributes).with_child(child.clone());
        let stanza = Stanza::from_element(&whole).unwrap();
        prop_assert_eq!(doubtful(stanza.bytes()), None, "{:?}", stanza.bytes());
        prop_assert_eq!(stanza.element(), whole.clone());
        let content = if server { Content::Server } else { Content::Client };
        let again = Stanza::parse(stanza.bytes(), content).unwrap();
        prop_assert_eq!(again.bytes(), stanza.bytes());
        prop_assert_eq!(again.element(), whole.clone());
        // By the connection, in one buffer with others, it is the same.
        let mut out = BytesMut::from(&b"<r xmlns='urn:xmpp:sm:3'/>"[..]);
        Writer::new(content).element_into(&mut out, &whole).unwrap();
        prop_assert_eq!(&out[26..], &stanza.bytes()[..]);
    }
}

#[test]
fn what_is_refused_leaves_the_buffer_as_it_was() {
    let mut out = BytesMut::from(&b"<r/>"[..]);
    let bad = Element::bare("message", ns::CLIENT)
        .with_child(Element::bare("body", ns::CLIENT).with_text("\u{FFFF}"));
    assert_eq!(
        Writer::new(Content::Client).element_into(&mut out, &bad),
        Err(WriteError::Character(0xFFFF))
    );
    assert_eq!(out, "<r/>");
}

/// What is forwarded never holds what smuggling lives on.
#[test]
fn what_parsers_read_differently_is_written_anew() {
    for doubt in [
        "<message><![CDATA[<body>]]></message>",
        "<message>a\rb\r\nc</message>",
        "<message>&#60;&#x3e;&#38;</message>",
        "<message a='&#10;&#13;&#9;'/>",
        "<message xmlns:p='a' xmlns:q='a'><p:x q:b=''/></message>",
        "<message xmlns:p='a'><p:x/></message>",
        "<m:message xmlns:m='jabber:client'><m:body/></m:message>",
    ] {
        assert!(
            doubtful(doubt.as_bytes()).is_some() || doubt.contains("&#"),
            "{doubt}"
        );
        let stanza = Stanza::parse(doubt.as_bytes(), Content::Client).unwrap();
        assert_eq!(
            doubtful(stanza.bytes()),
            None,
            "{doubt}: {:?}",
            stanza.bytes()
        );
        let again = Stanza::parse(stanza.bytes(), Content::Client).unwrap();
        assert_eq!(again, stanza);
    }
}
