//! What leaves: a form that no two parsers read differently, and the same tree when it is read again.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use bytes::BytesMut;
use minidom::Element;
use onetrip_stream::{
    Build, Content, Head, Payload, Stanza, StanzaKind, Text, WriteError, Writer, ns,
};
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

/// Each payload says what its tree does.
fn check_payloads(stanza: &Stanza) {
    let whole = stanza.element();
    let mut trees = whole.children();
    for payload in stanza.payloads() {
        let tree = trees.next().unwrap();
        assert!(tree.is(payload.name(), payload.namespace()), "{payload:?}");
        assert_eq!(payload.text(), tree.text());
        for ((namespace, name), value) in tree.attrs() {
            let plain = namespace.is_empty().then_some(&**value);
            let foreign = tree.attr(name).filter(|_| !namespace.is_empty());
            assert_eq!(payload.attr(name), plain.or(foreign), "{name}");
        }
        assert_eq!(payload.attr("none"), None);
    }
    assert_eq!(trees.next(), None);
}

#[test]
fn payloads_are_read_in_whatever_form_may_be_passed_on() {
    for stanza in [
        "<iq/>",
        "<iq > text </iq >",
        "<iq\n>one<a/>two<b xmlns='' ></b\n>three</iq>",
        r#"<iq><a x="'" y='"&quot;&apos;' xmlns="urn:a&amp;b">1<c x='2'>3</c>4<c/>&lt;&amp;5</a>6</iq>"#,
        "<iq xmlns='jabber:client' type='set'><a xml:lang='de' lang='en'>ä</a><message/></iq>",
        "<iq xmlns:p='urn:p'><p:a p:x='1' x='2'>a\r\nb\rc<![CDATA[<d>]]>&#65;</p:a><xml:b/></iq>",
    ] {
        let stanza = Stanza::parse(stanza.as_bytes(), Content::Client).unwrap();
        check_payloads(&stanza);
        assert_eq!(
            stanza.payloads().count(),
            stanza.element().children().count()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn payloads_say_what_the_tree_says(
        nodes in prop::collection::vec((tree(), text()), 0..4),
        attributes in attributes(),
        server in any::<bool>(),
    ) {
        let content = if server { ns::SERVER } else { ns::CLIENT };
        let whole = nodes.into_iter().fold(element("iq", content, &attributes), |whole, (child, text)| {
            whole.with_text(&text).with_child(child)
        });
        check_payloads(&Stanza::from_element(&whole).unwrap());
    }

    #[test]
    fn a_payload_comes_back_as_it_was(
        head in prop::collection::vec(prop::option::of(text()), 5),
        name in name(),
        namespace in namespace(),
        attributes in prop::collection::vec((name(), text()), 0..5),
        said in text(),
        server in any::<bool>(),
    ) {
        let content = if server { Content::Server } else { Content::Client };
        let values = head.into_iter().map(|value| value.map(Text::from)).collect::<Vec<_>>();
        let mut head = Head::new(StanzaKind::Iq, content);
        [head.to, head.from, head.id, head.type_, head.lang] = values.try_into().unwrap();
        let bare = Payload::new(&name, &namespace).with_text(&said);
        let payload = attributes.iter().fold(bare.clone(), |payload, (name, value)| payload.with_attr(name, value));
        let stanza = Stanza::new(head.clone(), Some(&payload)).unwrap();
        prop_assert_eq!(doubtful(stanza.bytes()), None, "{:?}", stanza.bytes());
        check_payloads(&stanza);
        let read = stanza.payloads().next().unwrap();
        prop_assert!(read.is(&name, &namespace));
        prop_assert_eq!(read.text(), payload.text());
        for (name, _) in &attributes {
            prop_assert_eq!(read.attr(name), payload.attr(name));
        }
        let again = Stanza::parse(stanza.bytes(), content).unwrap();
        prop_assert_eq!(&again, &stanza);
        prop_assert_eq!(again.head(), &head);
        let shown = Stanza::with_text(head.clone(), &bare, &said, said.len()).unwrap();
        let written = Stanza::new(head.clone(), Some(&bare)).unwrap();
        prop_assert_eq!(&shown, &written);
        // The tree is written the same way, but for the order of attributes.
        prop_assert_eq!(&Stanza::from_element(&again.element()).unwrap(), &stanza);
        let alone = Stanza::new(head, None).unwrap();
        let tree = Stanza::from_element(&alone.element()).unwrap();
        prop_assert_eq!(tree.bytes(), alone.bytes());
    }
}

#[test]
fn what_xml_cannot_hold_is_no_payload() {
    let head = Head::new(StanzaKind::Iq, Content::Client);
    let written = |payload: Payload<'_>| Stanza::new(head.clone(), Some(&payload)).unwrap_err();
    for name in ["", "1", "a b", "a:b", "a>", "xmlns"] {
        let payload = Payload::new("a", "u").with_attr(name, "");
        assert_eq!(written(payload), WriteError::Name, "{name}");
    }
    assert_eq!(written(Payload::new("a b", "u")), WriteError::Name);
    for payload in [
        Payload::new("a", "\0"),
        Payload::new("a", "u").with_text("\0"),
        Payload::new("a", "u").with_attr("b", "\0"),
    ] {
        assert_eq!(written(payload), WriteError::Character(0));
    }
    let mut head = head.clone();
    head.id = Some(Text::from_static("\u{FFFE}"));
    assert_eq!(
        Stanza::new(head, None).unwrap_err(),
        WriteError::Character(0xFFFE)
    );
    let head = Head::new(StanzaKind::Iq, Content::Client);
    let shown = Stanza::with_text(head, &Payload::new("a", "u"), &'\0', 1);
    assert_eq!(shown.unwrap_err(), WriteError::Character(0));
    let declares = Element::bare("message", ns::CLIENT).with_attr("xmlns", "u");
    assert_eq!(Stanza::from_element(&declares), Err(WriteError::Name));
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
