//! Everything a peer may do wrong on a link: what it is called, and what goes on the wire.

use std::time::Duration;

use onetrip_core::stream::{Env, Instant};
use onetrip_core::zero_handshake as zh;
use onetrip_core::zero_handshake::{Agreement, OnInvalid, Terms};
use onetrip_core::{Action, Connection, End, ErrorKind, Event, Reason};
use onetrip_simulator::Seeded;
use onetrip_tests::links::{AIR, GROUND, acknowledged, link, message, terms};
use proptest::prelude::*;

/// What became of bytes from the air at the ground's end.
#[derive(Debug, Default, PartialEq)]
struct Done {
    written: String,
    stanzas: usize,
    events: Vec<String>,
    failed: Option<(ErrorKind, u64)>,
}

fn end(terms: Terms) -> Connection {
    link(&Agreement::new(terms).unwrap(), false, Instant::EPOCH)
}

fn drain(connection: &mut Connection, done: &mut Done) {
    while let Some(action) = connection.poll_action() {
        match action {
            Action::Transmit(bytes) => done.written.push_str(std::str::from_utf8(&bytes).unwrap()),
            Action::Event(Event::Stanza(_)) => {
                done.stanzas += 1;
                connection.handled(1);
            }
            Action::Event(Event::Established { .. }) => {}
            Action::Event(Event::Closed(End::Failed(error))) => {
                assert!(done.failed.is_none(), "once");
                done.failed = Some((error.kind, error.offset));
            }
            Action::Event(event) => done.events.push(format!("{event:?}")),
            _ => {}
        }
    }
}

/// Gives bytes in, in these pieces.
fn feed<'a>(terms: Terms, pieces: impl IntoIterator<Item = &'a [u8]>) -> Done {
    let (mut connection, mut done) = (end(terms), Done::default());
    for piece in pieces {
        let mut entropy = Seeded::new(1);
        let env = &mut Env::new(Instant::EPOCH, &mut entropy);
        let result = connection.receive(env, piece);
        drain(&mut connection, &mut done);
        let told = result.err().map(|error| (error.kind, error.offset));
        assert_eq!(told, done.failed, "what is returned is what is reported");
    }
    done
}

fn whole(bytes: impl AsRef<[u8]>) -> Done {
    feed(terms(GROUND), [bytes.as_ref()])
}

const RIGHT: &str =
    "<message from='pilot@air.example' to='ops@ground.example'><body>roger</body></message>";
const HEADER: &str = "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
     from='air.example' to='ground.example' version='1.0'>";

/// Each with the condition that goes on the wire, or none where the peer would not understand an answer.
fn table() -> Vec<(&'static str, String, Option<&'static str>)> {
    let row = |what, text: &str, condition| (what, text.to_owned(), condition);
    let tls = "urn:ietf:params:xml:ns:xmpp-tls";
    let sasl = "urn:ietf:params:xml:ns:xmpp-sasl";
    vec![
        row("header", HEADER, None),
        row("declaration", "<?xml version='1.0'?>", None),
        row("both", &format!("<?xml version='1.0'?>{HEADER}"), None),
        row("space, header", &format!(" \n{HEADER}"), None),
        row("ClientHello", "\u{16}\u{3}\u{1}", None),
        row(
            "header later",
            &format!("{RIGHT}{HEADER}"),
            Some("bad-format"),
        ),
        row(
            "declaration later",
            &format!("{RIGHT}<?xml version='1.0'?>"),
            Some("restricted-xml"),
        ),
        row(
            "starttls",
            &format!("<starttls xmlns='{tls}'/>"),
            Some("unsupported-stanza-type"),
        ),
        row(
            "auth",
            &format!("<auth xmlns='{sasl}' mechanism='EXTERNAL'/>"),
            Some("unsupported-stanza-type"),
        ),
        row(
            "features",
            "<stream:features/>",
            Some("unsupported-stanza-type"),
        ),
        row(
            "bidi",
            "<bidi xmlns='urn:xmpp:bidi'/>",
            Some("unsupported-stanza-type"),
        ),
        row(
            "acks unagreed",
            "<r xmlns='urn:xmpp:sm:3'/>",
            Some("unsupported-stanza-type"),
        ),
        row(
            "enable",
            "<enable xmlns='urn:xmpp:sm:3'/>",
            Some("unsupported-stanza-type"),
        ),
        row(
            "db unbound",
            "<db:result from='air.example' to='ground.example'>k</db:result>",
            Some("not-well-formed"),
        ),
        row(
            "db bound",
            "<db:result xmlns:db='jabber:server:dialback'>k</db:result>",
            Some("unsupported-stanza-type"),
        ),
        row(
            "client stanza",
            "<message xmlns='jabber:client' from='a@air.example' to='b@ground.example'/>",
            Some("invalid-namespace"),
        ),
        row(
            "no from",
            "<message to='ops@ground.example'/>",
            Some("improper-addressing"),
        ),
        row(
            "no to",
            "<message from='pilot@air.example'/>",
            Some("improper-addressing"),
        ),
        row(
            "from no address",
            "<message from='@' to='ops@ground.example'/>",
            Some("improper-addressing"),
        ),
        row(
            "from ours",
            "<message from='ops@ground.example' to='ops@ground.example'/>",
            Some("invalid-from"),
        ),
        row(
            "from another",
            "<message from='m@mallory.example' to='ops@ground.example'/>",
            Some("invalid-from"),
        ),
        row(
            "from below",
            "<message from='m@x.air.example' to='ops@ground.example'/>",
            Some("invalid-from"),
        ),
        row(
            "to another",
            "<message from='pilot@air.example' to='m@mallory.example'/>",
            Some("host-unknown"),
        ),
        row(
            "oversized",
            &format!(
                "<message from='pilot@air.example' to='ops@ground.example'><body>{}",
                "x".repeat(300_000)
            ),
            Some("policy-violation"),
        ),
        row("garbage", "\u{0}garbage", Some("not-well-formed")),
        row("text", "hello", Some("bad-format")),
        row("comment", "<!-- x -->", Some("restricted-xml")),
        row("instruction", "<?php ?>", Some("restricted-xml")),
        row("doctype", "<!DOCTYPE x>", Some("restricted-xml")),
        row(
            "broken",
            "<message from='pilot@air.example' to='ops@ground.example'></presence>",
            Some("not-well-formed"),
        ),
    ]
}

#[test]
fn every_wrong_input_has_its_error_and_its_words_on_the_wire() {
    for (what, text, condition) in table() {
        let done = whole(&text);
        let (kind, _) = done
            .failed
            .clone()
            .unwrap_or_else(|| panic!("{what}: {done:?}"));
        assert_eq!(
            kind.condition().map(|c| c.name()),
            condition,
            "{what}: {kind}"
        );
        let expected = condition.map_or_else(String::new, |name| {
            format!("<stream:error><{name} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>")
        });
        assert_eq!(done.written, expected, "{what}");
        let before = usize::from(text.starts_with(RIGHT));
        assert_eq!(done.stanzas, before, "{what}: nothing wrong comes through");
    }
    let rfc6120 = ErrorKind::Link(zh::ErrorKind::PeerSpeaksRfc6120);
    assert_eq!(whole(HEADER).failed, Some((rfc6120, 14)));
    let tls = ErrorKind::Link(zh::ErrorKind::PeerSpeaksTls);
    assert_eq!(whole("\u{16}").failed.map(|failed| failed.0), Some(tls));
}

/// Any split of the same bytes gives the same.
#[test]
fn every_wrong_input_is_the_same_however_it_is_split() {
    for (what, text, _) in table() {
        let text = text.as_bytes();
        let once = feed(terms(GROUND), [text]);
        assert_eq!(
            feed(terms(GROUND), text.chunks(1)),
            once,
            "{what}, byte by byte"
        );
        for at in (1..text.len()).take(200) {
            let (one, other) = text.split_at(at);
            assert_eq!(feed(terms(GROUND), [one, other]), once, "{what}, at {at}");
        }
    }
}

/// ZH-11: dropped, or answered in our own name where somebody may hear of it; the link goes on.
#[test]
fn zh_11_what_is_not_agreed_is_dropped_or_answered_where_that_was_agreed() {
    let stranger = "<message from='m@mallory.example' to='ops@ground.example' id='1'/>";
    let lost = "<message from='pilot@air.example' to='m@mallory.example' id='2'/>";
    for (on_invalid, bounces) in [(OnInvalid::Drop, 0), (OnInvalid::Bounce, 1)] {
        let mut of = acknowledged(GROUND);
        of.on_invalid = on_invalid;
        let text = format!("{stranger}{lost}{RIGHT}<r xmlns='urn:xmpp:sm:3'/>");
        let done = feed(of, [text.as_bytes()]);
        assert_eq!((done.stanzas, done.failed), (1, None));
        let count = |what: &str| done.events.iter().filter(|e| e.contains(what)).count();
        assert_eq!(count("Bounce"), bounces, "{:?}", done.events);
        assert_eq!(count("Dropped"), 2 - bounces, "{:?}", done.events);
        // Each of them counts as arrived, and those that nobody sees as handled.
        assert!(
            done.written.ends_with("<a xmlns='urn:xmpp:sm:3' h='3'/>"),
            "{}",
            done.written
        );
    }
}

/// Half a stanza and then silence.
#[test]
fn half_a_stanza_and_silence_ends_the_link() {
    let (mut connection, mut done) = (end(terms(GROUND)), Done::default());
    let mut entropy = Seeded::new(1);
    let env = &mut Env::new(Instant::EPOCH, &mut entropy);
    connection.receive(env, &RIGHT.as_bytes()[..30]).unwrap();
    drain(&mut connection, &mut done);
    let deadline = connection.poll_timeout().unwrap();
    assert_eq!(deadline.reason, Reason::Stall);
    let mut at = |at, connection: &mut Connection| {
        connection.handle_timeout(&mut Env::new(at, &mut Seeded::new(1)));
        drain(connection, &mut done);
        std::mem::take(&mut done)
    };
    let early = Instant::EPOCH + Duration::from_secs(119);
    assert_eq!(at(early, &mut connection), Done::default());
    let done = at(deadline.at, &mut connection);
    assert!(done.written.contains("connection-timeout"));
    let kind = ErrorKind::Link(zh::ErrorKind::TimedOut(zh::Reason::Stall));
    assert_eq!(done.failed, Some((kind, 30)));
}

/// A peer that acknowledges what was never sent, or what is no count (XEP-0198 §6).
#[test]
fn zh_r5_wrong_acknowledgements_end_the_link_and_hand_back() {
    for (text, said) in [
        ("<a xmlns='urn:xmpp:sm:3' h='2'/>", "handled-count-too-high"),
        ("<a xmlns='urn:xmpp:sm:3' h='-1'/>", "bad-format"),
        ("<a xmlns='urn:xmpp:sm:3'/>", "bad-format"),
    ] {
        let (mut connection, mut done) = (end(acknowledged(GROUND)), Done::default());
        let mut entropy = Seeded::new(1);
        let env = &mut Env::new(Instant::EPOCH, &mut entropy);
        let handle = connection.send(env, &message(GROUND, 0)).unwrap();
        assert!(connection.stage(handle.unwrap()).is_some());
        let error = connection.receive(env, text.as_bytes()).unwrap_err();
        drain(&mut connection, &mut done);
        assert!(matches!(error.kind, ErrorKind::Management(_)), "{error}");
        assert_eq!(connection.receive(env, b"").unwrap_err(), error, "final");
        assert!(done.written.contains(said), "{}", done.written);
        assert_eq!(done.failed, Some((error.kind, error.offset)));
        let back = done
            .events
            .iter()
            .filter(|e| e.contains("HandedBack"))
            .count();
        assert_eq!(back, 1, "{:?}", done.events);
    }
}

/// What comes behind a wrong acknowledgement is not looked at, however the bytes are split.
#[test]
fn zh_r5_nothing_behind_a_wrong_acknowledgement_counts_in_any_split() {
    let wrong = "<a xmlns='urn:xmpp:sm:3' h='9'/>";
    let text = format!("{RIGHT}<r xmlns='urn:xmpp:sm:3'/>{RIGHT}{wrong}{RIGHT}");
    let once = feed(acknowledged(GROUND), [text.as_bytes()]);
    let offset = text.len() - RIGHT.len();
    assert_eq!(once.stanzas, 2);
    assert_eq!(
        once.failed.as_ref().map(|failed| failed.1),
        Some(offset as u64)
    );
    for at in 0..text.len() {
        let (one, other) = text.as_bytes().split_at(at);
        let done = feed(acknowledged(GROUND), [one, other]);
        assert_eq!((done.stanzas, &done.failed), (2, &once.failed), "at {at}");
    }
}

/// ZH-23: the peer's stream error, which parses although no header bound its prefix.
#[test]
fn zh_23_a_stream_error_of_the_peers_ends_the_link() {
    let mut links = onetrip_tests::links::Links::new([acknowledged(GROUND), acknowledged(AIR)]);
    links.send(GROUND, 0);
    links.talk();
    links.send(GROUND, 1);
    let reset = onetrip_core::stream::Condition::SystemShutdown;
    let error = onetrip_core::stream::StreamError::new(reset);
    links.with(0, AIR, |connection, _| connection.close_with(&error));
    links.talk();
    let end = &links.parties[GROUND].ends[0];
    assert!(
        matches!(end, End::PeerError(said) if said.condition == reset),
        "{end:?}"
    );
    assert_eq!(
        links.parties[GROUND].returned,
        [0, 1],
        "neither was acknowledged"
    );
    let wrote = String::from_utf8(links.wires[0].written[AIR].clone()).unwrap();
    assert_eq!(
        wrote,
        "<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>"
    );
}

/// ZH-R3: where that was agreed, a peer's header is swallowed and never answered in kind.
#[test]
fn zh_r3_a_header_is_swallowed_where_that_was_agreed() {
    let mut of = terms(GROUND);
    of.tolerate_stream_open = true;
    let text = format!("<?xml version='1.0'?>{HEADER}{RIGHT}</stream:stream>");
    let done = feed(of, [text.as_bytes()]);
    assert_eq!((done.stanzas, done.failed), (1, None));
    assert_eq!(done.written, "</stream:stream>");
    assert!(
        done.events[0].contains("StreamOpenSwallowed"),
        "{:?}",
        done.events
    );
}

/// What a peer may say, right and wrong.
fn words() -> impl Strategy<Value = String> {
    let wrong = table().into_iter().map(|(_, text, _)| text);
    let wrong: Vec<String> = wrong.filter(|text| text.len() < 1000).collect();
    prop_oneof![
        6 => Just(RIGHT.to_owned()),
        1 => Just(" \n".to_owned()),
        2 => Just("<r xmlns='urn:xmpp:sm:3'/>".to_owned()),
        1 => (0_u32..2).prop_map(|h| format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>")),
        1 => Just("</stream:stream>".to_owned()),
        1 => proptest::sample::select(wrong),
        1 => "[<>a-z'/ =&]{0,12}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Any split of the same bytes gives the same; how far the application has come when it is asked is its own.
    #[test]
    fn whatever_a_peer_says_is_the_same_however_it_is_split(
        said in proptest::collection::vec(words(), 0..8),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..12),
        acks in any::<bool>(),
    ) {
        let text = said.concat();
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        at.extend([0, text.len()]);
        at.sort_unstable();
        let pieces = at.windows(2).map(|two| &text.as_bytes()[two[0]..two[1]]);
        let of = || if acks { acknowledged(GROUND) } else { terms(GROUND) };
        let (mut whole, mut split) = (feed(of(), [text.as_bytes()]), feed(of(), pieces));
        if acks {
            (whole.written, split.written) = Default::default();
        }
        prop_assert_eq!(whole, split);
    }
}
