//! Each class of bad input at each machine: what comes of it is in the tables of `docs/bad-input.md`.
//!
//! `BLESS=1 cargo test -p onetrip-tests --test bad_input` writes them anew.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod between_clients;

use std::path::Path;

use onetrip_core::quickstart::Transport;
use onetrip_core::stream::{Env, Instant};
use onetrip_core::{Action, Event};
use onetrip_simulator::Seeded;
use onetrip_tests::house::House;
use onetrip_tests::links;
use onetrip_tests::servers::{Servers, dialback, inbound, outbound};
use onetrip_tests::words::{HEADER, PLAIN, RESPONSE};

/// What is wrong, and the bytes that are.
fn classes() -> Vec<(&'static str, Vec<u8>)> {
    let text = |text: &str| text.as_bytes().to_vec();
    let header =
        "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
    vec![
        ("not XML", text("\u{16}\u{3}\u{1}")),
        ("not well-formed", text("<a xmlns='u'></b>")),
        ("a duplicate attribute", text("<a xmlns='u' b='' b=''/>")),
        ("a prefix that is not declared", text("<p:a/>")),
        ("a comment", text("<!-- hi -->")),
        ("a processing instruction", text("<?php ?>")),
        ("a document type declaration", text("<!DOCTYPE x>")),
        ("an entity", text("<a xmlns='u'>&bomb;</a>")),
        (
            "bytes that are not UTF-8",
            b"<a xmlns='u'>\xC0\xAF</a>".to_vec(),
        ),
        (
            "a character that XML forbids",
            text("<a xmlns='u'>&#0;</a>"),
        ),
        ("text between elements", text("hello")),
        ("a second header", text(header)),
        (
            "an element of 300,000 bytes",
            text(&format!("<a xmlns='u'>{}</a>", "x".repeat(300_000))),
        ),
        ("65 levels", text(&"<a xmlns='u'>".repeat(65))),
        (
            "300 attributes",
            text(&format!(
                "<a xmlns='u'{}/>",
                (0..300).map(|n| format!(" a{n}=''")).collect::<String>()
            )),
        ),
        ("an unknown element", text("<x xmlns='urn:x'/>")),
        ("a stanza", text("<message/>")),
        (
            "a stanza from a stranger",
            text("<message from='mallory@evil.lit' to='romeo@montague.lit'/>"),
        ),
        (
            "a stanza of the other content namespace",
            text("<message xmlns='jabber:other'/>"),
        ),
        (
            "STARTTLS out of place",
            text("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
        ),
        (
            "credentials that are wrong",
            text(
                "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>",
            ),
        ),
        (
            "credentials that are not base64",
            text("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>?</auth>"),
        ),
        (
            "an unknown mechanism",
            text("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='X'/>"),
        ),
        (
            "a challenge out of place",
            text("<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>AAAA</challenge>"),
        ),
        (
            "SASL2 without credentials",
            text("<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'/>"),
        ),
        (
            "SASL2 with an unknown mechanism",
            text("<authenticate xmlns='urn:xmpp:sasl:2' mechanism='X'/>"),
        ),
        (
            "a task of SASL2 that nobody asked for",
            text("<next xmlns='urn:xmpp:sasl:2' task='x'/>"),
        ),
        (
            "an acknowledgement of what was never sent",
            text("<a xmlns='urn:xmpp:sm:3' h='7'/>"),
        ),
        (
            "an acknowledgement that does not parse",
            text("<a xmlns='urn:xmpp:sm:3' h='x'/>"),
        ),
        (
            "a session that nobody knows",
            text("<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>"),
        ),
        (
            "a token that nobody knows",
            text("<inst-resume xmlns='urn:xmpp:isr:0' tok='x' h='0'/>"),
        ),
        (
            "a key of dialback for another domain",
            text(
                "<db:result xmlns:db='jabber:server:dialback' from='evil.lit' to='nobody.lit'>k</db:result>",
            ),
        ),
        (
            "an answer of dialback to nothing",
            text(
                "<db:verify xmlns:db='jabber:server:dialback' from='a.lit' to='b.lit' id='x' type='valid'/>",
            ),
        ),
        ("bidi out of place", text("<bidi xmlns='urn:xmpp:bidi'/>")),
        ("the end of the transport in an element", text("<message")),
    ]
}

/// What a machine did about it.
struct Done {
    written: String,
    closed: bool,
    stanza: bool,
}

impl Done {
    fn describe(&self) -> String {
        let between = |open: &str| {
            let inner = self.written.split(open).nth(1)?;
            inner.split('<').nth(1).map(|tag| {
                tag.split([' ', '/', '>'])
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            })
        };
        if self.written.contains("<stream:error>") {
            let condition = between("<stream:error>").unwrap();
            return format!("stream error `{condition}`");
        }
        for (open, what) in [
            ("<failure ", "SASL failure"),
            ("<failed ", "`<failed/>`"),
            ("<error ", "error"),
        ] {
            if let Some(condition) = between(open) {
                return format!("{what} `{condition}`");
            }
        }
        match (self.closed, self.stanza) {
            _ if !self.written.is_empty() => "answered".to_owned(),
            (true, _) => "closed, nothing said".to_owned(),
            (false, true) => "passed on".to_owned(),
            (false, false) => "ignored".to_owned(),
        }
    }
}

type Machine = (&'static str, fn(&[u8], bool) -> Done);

/// Gives the bytes to one end of a client's stream; `ended` is whether the transport ends behind them.
fn at(house: &mut House, place: usize, bytes: &[u8], ended: bool) -> Done {
    let before = house.sides[place].written.len();
    let events = house.sides[place].events.len();
    let _ = house.give(place, bytes);
    if ended {
        house.cut(place);
    }
    let side = &house.sides[place];
    Done {
        written: side.written[before..].to_owned(),
        closed: side.closed,
        stanza: side.events[events..]
            .iter()
            .any(|event| matches!(event, Event::Stanza(_))),
    }
}

fn server(transport: Transport, bytes: &[u8], ended: bool) -> Done {
    let mut house = House::default();
    let mut config = house.server_config();
    config.transport = transport;
    let place = house.server_as(config);
    house.give(place, HEADER).unwrap();
    at(&mut house, place, bytes, ended)
}

fn client(transport: Transport, bytes: &[u8], ended: bool) -> Done {
    let mut house = House::default();
    let mut config = house.client_config();
    config.transport = transport;
    let place = house.client_of(config);
    house.give(place, RESPONSE).unwrap();
    if transport == Transport::DirectTls {
        house.give(place, PLAIN).unwrap();
    }
    at(&mut house, place, bytes, ended)
}

fn online(end: usize, bytes: &[u8], ended: bool) -> Done {
    let mut house = House::default();
    let pair = house.pair();
    at(&mut house, pair[end], bytes, ended)
}

fn between_servers(end: usize, bytes: &[u8], ended: bool) -> Done {
    let mut servers = Servers::default();
    let (mut out, mut into) = (outbound(), inbound());
    (out.dialback, into.dialback) = (Some(dialback()), Some(dialback()));
    let ends = servers.connect(out, into, true);
    let place = ends[end];
    let before = servers.sides[place].written().len();
    let _ = servers.give(place, bytes);
    if ended {
        servers.with(place, |connection, env| connection.receive_eof(env));
    }
    let side = &servers.sides[place];
    Done {
        written: side.written()[before..].to_owned(),
        closed: side.closed,
        stanza: side.stanzas() > 0,
    }
}

fn link(bytes: &[u8], ended: bool) -> Done {
    let mut link = links::agreed("", false);
    let mut entropy = Seeded::new(1);
    let env = &mut Env::new(Instant::EPOCH, &mut entropy);
    let _ = link.receive(env, bytes);
    if ended {
        link.receive_eof(env);
    }
    let mut done = Done {
        written: String::new(),
        closed: false,
        stanza: false,
    };
    while let Some(action) = link.poll_action() {
        match action {
            Action::Transmit(bytes) => done.written += &String::from_utf8_lossy(&bytes),
            Action::Event(Event::Stanza(_)) => done.stanza = true,
            Action::Close => done.closed = true,
            _ => {}
        }
    }
    done
}

/// A server that offers SASL2 as well.
fn later(bytes: &[u8], ended: bool) -> Done {
    let mut house = House {
        later: true,
        ..House::default()
    };
    let place = house.server();
    house.give(place, HEADER).unwrap();
    at(&mut house, place, bytes, ended)
}

const MACHINES: [Machine; 10] = [
    ("server, in clear", |bytes, ended| {
        server(Transport::StartTls, bytes, ended)
    }),
    ("server, under TLS", |bytes, ended| {
        server(Transport::DirectTls, bytes, ended)
    }),
    ("server with SASL2", later),
    ("server, online", |bytes, ended| online(1, bytes, ended)),
    ("client, in clear", |bytes, ended| {
        client(Transport::StartTls, bytes, ended)
    }),
    ("client, logging in", |bytes, ended| {
        client(Transport::DirectTls, bytes, ended)
    }),
    ("client, online", |bytes, ended| online(0, bytes, ended)),
    ("server to server, opened by the peer", |bytes, ended| {
        between_servers(1, bytes, ended)
    }),
    ("server to server, opened here", |bytes, ended| {
        between_servers(0, bytes, ended)
    }),
    ("zero-handshake link", link),
];

fn table() -> String {
    let mut text = String::from(
        "# What becomes of bad input\n\nGenerated by `tests/tests/bad_input`, which gives each of these to each machine; \
         CI compares.\nA stream error is followed by the footer and the close; \"ignored\" is what the protocol provides for.\n\n| |",
    );
    for (machine, _) in MACHINES {
        text += &format!(" {machine} |");
    }
    text += &format!("\n|---|{}\n", "---|".repeat(MACHINES.len()));
    for (class, bytes) in classes() {
        text += &format!("| {class} |");
        for (_, give) in MACHINES {
            text += &format!(
                " {} |",
                give(&bytes, class.starts_with("the end of")).describe()
            );
        }
        text.push('\n');
    }
    text
}

#[test]
fn the_table_says_what_the_machines_do() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/bad-input.md");
    let table = table() + &between_clients::tables();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &table).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(kept, table, "BLESS=1 writes docs/bad-input.md anew");
}

/// Nothing that breaks the rules of a stream is ever ignored, and no stranger's stanza is passed on.
#[test]
fn nothing_wrong_is_taken_for_right() {
    for (class, bytes) in classes().iter().take(15) {
        for (machine, give) in MACHINES {
            let outcome = give(bytes, false).describe();
            assert!(
                outcome.starts_with("stream error") || outcome.starts_with("closed"),
                "{class}, {machine}: {outcome}"
            );
        }
    }
}
