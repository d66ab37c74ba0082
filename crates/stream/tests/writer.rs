//! The writer: it cannot panic, and what it writes is read back as it was. minidom's own writer fails here.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use minidom::Element;
use onetrip_stream::{
    Build, Condition, Content, Frame, Limits, Reader, Stanza, StreamError, StreamHeader,
    WriteError, Writer, ns,
};
use proptest::prelude::*;

const HEADER: &str =
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

fn read(body: &[u8]) -> Vec<Frame> {
    let document = [HEADER.as_bytes(), body].concat();
    let mut reader = Reader::new(Limits::default());
    let mut rest = &document[..];
    let mut frames = Vec::new();
    while let Some(frame) = reader.next(&mut rest).unwrap() {
        frames.push(frame);
    }
    frames.remove(0);
    frames
}

fn stanza(body: &str) -> Stanza {
    let mut frames = read(body.as_bytes());
    match frames.remove(0) {
        Frame::Stanza(stanza) => stanza,
        other => panic!("{other:?}"),
    }
}

/// M1 to M4 of the study: ordinary stanzas on which minidom's writer panics.
#[test]
fn m1_a_child_that_redeclares_a_prefix_of_the_root() {
    assert_eq!(
        stanza("<message xmlns:p='a'><p:e xmlns:p='b'/></message>").bytes(),
        "<message><e xmlns='b'/></message>"
    );
}

#[test]
fn m2_the_xml_prefix_declared_as_it_is() {
    let declared = "<message xmlns:xml='http://www.w3.org/XML/1998/namespace' xml:lang='en'/>";
    assert_eq!(stanza(declared).bytes(), "<message xml:lang='en'/>");
}

#[test]
fn m3_prefixes_that_look_like_our_own() {
    let body = "<message xmlns:ns0='a' xmlns:tns0='b' ns0:x='1' tns0:x='2'/>";
    let rewritten = stanza(body);
    assert_eq!(
        rewritten.bytes(),
        "<message xmlns:ns0='a' ns0:x='1' xmlns:ns1='b' ns1:x='2'/>"
    );
    assert_eq!(
        stanza(std::str::from_utf8(rewritten.bytes()).unwrap()),
        rewritten
    );
}

#[test]
fn m5_what_xml_cannot_hold_is_refused_and_nothing_is_written() {
    let writer = Writer::new(Content::Client);
    for text in ["\0", "\u{1b}[0m", "\u{fffe}", "\u{ffff}"] {
        let element = Element::bare("message", ns::CLIENT).with_text(text);
        assert!(
            matches!(writer.element(&element), Err(WriteError::Character(_))),
            "{text:?}"
        );
        assert!(matches!(
            Stanza::from_element(&element),
            Err(WriteError::Character(_))
        ));
    }
    assert_eq!(
        writer.element(&Element::bare("a b", ns::CLIENT)),
        Err(WriteError::Name)
    );
    assert_eq!(
        writer.element(&Element::bare("", ns::CLIENT)),
        Err(WriteError::Name)
    );
    assert_eq!(
        Stanza::from_element(&Element::bare("x", ns::CLIENT)),
        Err(WriteError::NotAStanza)
    );
    assert_eq!(
        Stanza::from_element(&Element::bare("iq", "urn:x")),
        Err(WriteError::NotAStanza)
    );
}

/// M6: minidom's writer overflows the stack. Ours refuses.
#[test]
fn m6_very_deep_elements_are_refused() {
    let mut element = Element::bare("e", ns::CLIENT);
    for _ in 0..600 {
        element = Element::bare("e", ns::CLIENT).with_child(element);
    }
    assert_eq!(
        Writer::new(Content::Client).element(&element),
        Err(WriteError::Depth(512))
    );
}

/// RFC 6120 §4.8.5: elements of the stream carry its prefix, those of the content none.
#[test]
fn prefixes_are_those_that_the_header_declares() {
    let mut writer = Writer::new(Content::Server);
    let mut header = StreamHeader::new(Content::Server);
    header.dialback = true;
    header.lang = Some("de'".to_owned());
    let written = writer.header(&header).unwrap();
    let expected = "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' xml:lang='de&apos;' version='1.0'>";
    assert_eq!(written, expected);
    let key = Element::bare("result", ns::DIALBACK)
        .with_attr("to", "a")
        .with_text("k");
    assert_eq!(
        writer.element(&key).unwrap(),
        "<db:result to='a'>k</db:result>"
    );
    let features =
        Element::bare("features", ns::STREAMS).with_child(Element::bare("bind", ns::BIND));
    assert_eq!(
        writer.element(&features).unwrap(),
        "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>"
    );
    let error = writer.error(&StreamError::new(Condition::Reset).with_text("bell \u{7}"));
    assert_eq!(
        error,
        "<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
    );
    header.id = Some("\u{7}".to_owned());
    assert!(writer.header(&header).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever an application puts into an element is refused, or comes back as it was.
    #[test]
    fn whatever_is_written_is_read_back(name in "[a-z]{1,5}|.{0,4}", namespace in "[a-z:&<'\"]{0,9}|.{0,5}", value in ".{0,20}|[\r\n\t ]{0,5}", text in ".{0,20}|[\r\n\t \\]>]{0,6}") {
        let child = Element::bare(name, namespace.as_str()).with_attr("a", value.as_str()).with_attr_ns("urn:n", "b", value).with_text(&text);
        let element = Element::bare("message", ns::CLIENT).with_child(child);
        let Ok(stanza) = Stanza::from_element(&element) else { return Ok(()) };
        let frames = read(stanza.bytes());
        let [Frame::Stanza(again)] = &frames[..] else { panic!("{frames:?}") };
        prop_assert_eq!(again, &stanza);
        // minidom keeps empty text that nobody can see on the wire.
        if !text.is_empty() {
            prop_assert_eq!(again.element(), element);
        }
    }
}
