//! The elements, on the wire and off it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::arithmetic_side_effects)]

mod common;

use common::{CAPULET, MONTAGUE, id, pair};
use minidom::Element;
use onetrip_dialback::{
    Answer, Ask, ElementError, Key, Message, Pair, Reason, Support, Verdict, Verified, Verify,
    feature,
};
use onetrip_stream::{
    Build as _, Condition, Content, Domain, Frame, Limits, Reader, StreamHeader, Writer, ns,
};
use proptest::prelude::*;

fn element(name: &str, attributes: &[(&str, &str)], text: &str) -> Element {
    attributes
        .iter()
        .fold(
            Element::bare(name, ns::DIALBACK),
            |element, (name, value)| element.with_attr(name, *value),
        )
        .with_text(text)
}

fn read(element: &Element) -> Result<Message, ElementError> {
    Message::read(element).unwrap()
}

/// A server stream's writer and reader, behind a header that declares `db`.
fn written(message: &Message) -> String {
    let mut header = StreamHeader::new(Content::Server);
    header.dialback = true;
    let mut writer = Writer::new(Content::Server);
    writer.header(&header).unwrap();
    let bytes = writer.element(&message.to_element()).unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn reread(wire: &str) -> Message {
    let mut header = StreamHeader::new(Content::Server);
    header.dialback = true;
    let mut writer = Writer::new(Content::Server);
    let mut bytes = writer.header(&header).unwrap().to_vec();
    bytes.extend_from_slice(wire.as_bytes());
    let mut reader = Reader::new(Limits::default());
    let mut rest = bytes.as_slice();
    while let Some(frame) = reader.next(&mut rest).unwrap() {
        if let Frame::Element(element) = frame {
            return read(&element).unwrap();
        }
    }
    panic!("no element in {wire}");
}

/// Examples 1, 2, 4, 5 and 6 of XEP-0220, byte by byte as we write them.
#[test]
fn xep0220_examples_with_the_prefix_of_the_header_openfire_of2556() {
    let ours = pair(CAPULET, MONTAGUE);
    let key = Key::read("b483").unwrap();
    let error = Verdict::Error(Reason::ItemNotFound);
    let rows = [
        (
            Message::Ask(Ask {
                pair: ours.clone(),
                key: key.clone(),
            }),
            "<db:result from='capulet.example' to='montague.example'>b483</db:result>",
        ),
        (
            Message::Answer(Answer {
                pair: ours.clone(),
                verdict: Verdict::Valid,
            }),
            "<db:result from='montague.example' to='capulet.example' type='valid'/>",
        ),
        (
            Message::Answer(Answer {
                pair: ours.clone(),
                verdict: error,
            }),
            "<db:result from='montague.example' to='capulet.example' type='error'>\
             <error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>",
        ),
        (
            Message::Verify(Verify {
                pair: ours.inverse(),
                id: id("417GAF25"),
                key,
            }),
            "<db:verify from='capulet.example' id='417GAF25' to='montague.example'>b483</db:verify>",
        ),
        (
            Message::Verified(Verified {
                pair: ours.inverse(),
                id: id("417GAF25"),
                verdict: Verdict::Valid,
            }),
            "<db:verify from='montague.example' id='417GAF25' to='capulet.example' type='valid'/>",
        ),
    ];
    for (message, wire) in rows {
        assert_eq!(written(&message), wire);
        assert_eq!(reread(wire), message);
    }
}

#[test]
fn reading_is_lenient() {
    let addresses = [("from", CAPULET), ("to", MONTAGUE)];
    let Ok(Message::Ask(ask)) = read(&element("result", &addresses, "\n   b483  \n")) else {
        panic!()
    };
    assert_eq!(ask.key.expose(), "b483");
    let addresses = [("from", " CAPULET.example. "), ("to", MONTAGUE)];
    let Ok(Message::Ask(ask)) = read(&element("result", &addresses, "k")) else {
        panic!()
    };
    assert_eq!(ask.pair, pair(CAPULET, MONTAGUE));
}

#[test]
fn what_is_no_known_type_or_condition_is_an_error_and_validates_nothing() {
    let undefined = Verdict::Error(Reason::UndefinedCondition);
    for kind in ["", "VALID", "valid ", "maybe", "error"] {
        let attributes = [("from", CAPULET), ("to", MONTAGUE), ("type", kind)];
        let Ok(Message::Answer(answer)) = read(&element("result", &attributes, "")) else {
            panic!()
        };
        assert_eq!(answer.verdict, undefined, "{kind:?}");
    }
    let strange = element(
        "result",
        &[("from", CAPULET), ("to", MONTAGUE), ("type", "error")],
        "",
    );
    let condition = Element::bare("gone", ns::STANZA_ERRORS);
    let strange = strange.with_child(Element::bare("error", ns::DIALBACK).with_child(condition));
    assert!(matches!(read(&strange), Ok(Message::Answer(answer)) if answer.verdict == undefined));
}

#[test]
fn what_cannot_be_understood_has_its_stream_error() {
    let long = "k".repeat(1025);
    let rows = [
        (
            element("result", &[("to", MONTAGUE)], "k"),
            ElementError::Address("from"),
            Condition::ImproperAddressing,
        ),
        (
            element("result", &[("from", CAPULET)], "k"),
            ElementError::Address("to"),
            Condition::ImproperAddressing,
        ),
        (
            element("result", &[("from", "a@b"), ("to", MONTAGUE)], "k"),
            ElementError::Address("from"),
            Condition::ImproperAddressing,
        ),
        (
            element("verify", &[("from", CAPULET), ("to", MONTAGUE)], "k"),
            ElementError::Id,
            Condition::BadFormat,
        ),
        (
            element(
                "verify",
                &[("from", CAPULET), ("to", MONTAGUE), ("id", "")],
                "k",
            ),
            ElementError::Id,
            Condition::BadFormat,
        ),
        (
            element("result", &[("from", CAPULET), ("to", MONTAGUE)], &long),
            ElementError::Key,
            Condition::PolicyViolation,
        ),
        (
            element("results", &[("from", CAPULET), ("to", MONTAGUE)], "k"),
            ElementError::Unknown,
            Condition::UnsupportedStanzaType,
        ),
    ];
    for (element, error, condition) in rows {
        assert_eq!(read(&element), Err(error));
        assert_eq!(error.stream_error().condition, condition);
        assert!(!error.source_section().is_empty());
    }
    assert_eq!(Message::read(&Element::bare("result", ns::SERVER)), None);
}

#[test]
fn the_feature_says_whether_errors_are_understood() {
    let features = Element::bare("features", ns::STREAMS);
    assert_eq!(Support::of(&features), Support::Unannounced);
    let ours = features.clone().with_child(feature());
    assert_eq!(Support::of(&ours), Support::Errors);
    let bare = Element::bare("dialback", ns::DIALBACK_FEATURE);
    assert_eq!(Support::of(&features.with_child(bare)), Support::Dialback);
}

fn domains() -> impl Strategy<Value = Domain> {
    "[a-z][a-z0-9-]{0,8}(\\.[a-z][a-z0-9]{0,5}){0,3}".prop_map(|name| Domain::new(&name).unwrap())
}

fn verdicts() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        Just(Verdict::Valid),
        Just(Verdict::Invalid),
        proptest::sample::select(Reason::ALL).prop_map(Verdict::Error),
    ]
}

fn messages() -> impl Strategy<Value = Message> {
    let pairs = (domains(), domains()).prop_map(|(from, to)| Pair::new(from, to));
    let keys = "[!-~é]([ -~é]{0,60}[!-~])?".prop_map(|text| Key::read(&text).unwrap());
    let ids = "[ -~]{1,40}".prop_map(|text| id(&text));
    (pairs, keys, ids, verdicts(), 0..4).prop_map(|(pair, key, id, verdict, kind)| match kind {
        0 => Message::Ask(Ask { pair, key }),
        1 => Message::Answer(Answer { pair, verdict }),
        2 => Message::Verify(Verify { pair, id, key }),
        _ => Message::Verified(Verified { pair, id, verdict }),
    })
}

proptest! {
    #[test]
    fn every_message_survives_the_wire(message in messages()) {
        prop_assert_eq!(read(&message.to_element()).unwrap(), message.clone());
        prop_assert_eq!(reread(&written(&message)), message);
    }

    #[test]
    fn no_element_of_the_namespace_panics(
        name in "result|verify|x", text in ".{0,40}", attributes in
            proptest::collection::vec(("from|to|id|type|x", ".{0,12}"), 0..6),
    ) {
        let borrowed: Vec<(&str, &str)> = attributes.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let _ = Message::read(&element(&name, &borrowed, &text)).unwrap();
    }
}
