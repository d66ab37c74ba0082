//! Reading: instructions and allocations for the corpus in pieces, for trees on demand, and for the worst cases of the
//! limits.

mod support;

use std::hint::black_box;

use bytes::BytesMut;
use gungraun::{Dhat, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};
use onetrip_core::stream::{Content, Env, Frame, Instant, Limits, Reader, Stanza, Writer};
use onetrip_core::{Action, Connection, Event};
use onetrip_simulator::Seeded;
use quick_xml::{NsReader, XmlVersion, events};
use support::{Reference, corpus, frames, links, next, wire};

/// What is read, in which pieces, by which link and for which.
type Linked = (Vec<u8>, usize, [Connection; 2]);

// rxml into minidom, a tree for each element.
#[library_benchmark]
#[bench::pieces_1460(wire(1460))]
#[bench::pieces_16(wire(16))]
#[bench::pieces_1(wire(1))]
fn reference((bytes, piece): (Vec<u8>, usize)) -> Vec<u8> {
    let mut reference = Reference::new();
    for piece in bytes.chunks(piece) {
        reference.read(piece, |element| drop(black_box(element)));
    }
    bytes
}

// Events with resolved names and unescaped values and nothing made of them; it takes no pieces.
#[library_benchmark]
#[bench::whole(wire(usize::MAX))]
fn quick((bytes, _): (Vec<u8>, usize)) -> Vec<u8> {
    let mut reader = NsReader::from_reader(&bytes[..]);
    loop {
        match reader.read_resolved_event().expect("well-formed") {
            (_, events::Event::Eof) => break,
            (namespace, events::Event::Start(tag) | events::Event::Empty(tag)) => {
                black_box((namespace, tag.local_name()));
                for attribute in tag.attributes() {
                    let attribute = attribute.expect("well-formed");
                    let name = reader.resolver().resolve_attribute(attribute.key);
                    let value = attribute
                        .decoded_and_normalized_value(XmlVersion::Implicit1_0, reader.decoder());
                    black_box((name, value.expect("well-formed")));
                }
            }
            (_, events::Event::Text(text)) => drop(black_box(text.decode().expect("UTF-8"))),
            (_, other) => drop(black_box(other)),
        }
    }
    bytes
}

// Everything checked; head and bytes of each stanza.
#[library_benchmark]
#[bench::pieces_1460(wire(1460))]
#[bench::pieces_16(wire(16))]
#[bench::pieces_1(wire(1))]
fn reader((bytes, piece): (Vec<u8>, usize)) -> Vec<u8> {
    frames(Limits::default(), &bytes, piece, |frame| {
        drop(black_box(frame));
    });
    bytes
}

// The same, and what a router looks at.
#[library_benchmark]
#[bench::pieces_1460(wire(1460))]
fn routed((bytes, piece): (Vec<u8>, usize)) -> (Vec<u8>, usize) {
    let mut routed = 0;
    frames(Limits::default(), &bytes, piece, |frame| {
        if let Frame::Stanza(stanza) = &frame {
            let head = stanza.head();
            routed += usize::from(head.to.as_deref() == Some("juliet@capulet.example/balcony"));
            black_box((head.kind, &head.from, &head.id, &head.type_));
        }
    });
    (bytes, routed)
}

// Everything is kept, as it is until it is acknowledged or written.
#[library_benchmark]
#[bench::pieces_1460(wire(1460))]
fn kept((bytes, piece): (Vec<u8>, usize)) -> (Vec<u8>, Vec<Frame>) {
    let mut kept = Vec::with_capacity(2 * support::ELEMENTS);
    frames(Limits::default(), &bytes, piece, |frame| kept.push(frame));
    (bytes, kept)
}

// What is checked goes out as it is, in writes as large as what was read: reader and writer alone.
#[library_benchmark]
#[bench::pieces_1460(wire(1460))]
fn forwarded((bytes, piece): (Vec<u8>, usize)) -> Vec<u8> {
    let writer = Writer::new(Content::Client);
    let mut reader = Reader::new(Limits::default());
    let mut out = BytesMut::new();
    for mut piece in bytes.chunks(piece) {
        while let Some(frame) = next(&mut reader, &mut piece) {
            if let Frame::Stanza(stanza) = frame {
                out.extend_from_slice(&writer.stanza(&stanza));
            }
        }
        drop(black_box(out.split().freeze()));
    }
    bytes
}

// The same from one link to another, with all that a link checks: who may send to whom.
#[library_benchmark]
#[bench::pieces_1460(links(1460))]
fn linked((bytes, piece, [mut from, mut to]): Linked) -> (Vec<u8>, [Connection; 2]) {
    let mut entropy = Seeded::new(1);
    let env = &mut Env::new(Instant::EPOCH, &mut entropy);
    let mut written = 0;
    for piece in bytes.chunks(piece) {
        let taken = from.receive(env, piece).expect("as it was agreed");
        assert_eq!(taken, piece.len());
        while let Some(action) = from.poll_action() {
            if let Action::Event(Event::Stanza(stanza)) = action {
                to.send(env, &stanza).expect("as it was agreed");
            }
        }
        while let Some(action) = to.poll_action() {
            if let Action::Transmit(bytes) = action {
                written += black_box(bytes).len();
            }
        }
    }
    assert_eq!(written, bytes.len());
    (bytes, [from, to])
}

// The same, and the tree of every stanza.
#[library_benchmark]
#[bench::pieces_1460(wire(1460))]
fn trees((bytes, piece): (Vec<u8>, usize)) -> Vec<u8> {
    frames(Limits::default(), &bytes, piece, |frame| match frame {
        Frame::Stanza(stanza) => drop(black_box(stanza.element())),
        other => drop(black_box(other)),
    });
    bytes
}

fn stanzas() -> Vec<Stanza> {
    let corpus = corpus();
    let stanzas = corpus.stanzas().map(|stanza| {
        Stanza::parse(stanza.as_bytes(), Content::Client).expect("a stanza of the corpus")
    });
    stanzas.collect()
}

// The tree of every stanza, which has been read before.
#[library_benchmark]
#[bench::corpus(stanzas())]
fn element(stanzas: Vec<Stanza>) -> Vec<Stanza> {
    for stanza in &stanzas {
        drop(black_box(stanza.element()));
    }
    stanzas
}

/// Limits that let one stanza of some megabytes through.
fn wide() -> Limits {
    let mut limits = Limits::default();
    limits.element = 8 << 20;
    limits.elements = 1 << 20;
    limits.attributes = 8192;
    limits.silent = 8 << 20;
    limits
}

const HEADER: &str =
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// The shorter of two lengths, in kilobytes; the longer holds just four times as much.
const QUARTER: usize = 256;

fn around(before: &str, unit: &str, after: &str, kilobytes: usize) -> String {
    let units = (QUARTER << 10) / unit.len() * (kilobytes / QUARTER);
    format!("{before}{}{after}", unit.repeat(units))
}

/// Stanzas of a shape that costs a reader most.
fn shape(name: &str, kilobytes: usize, piece: usize) -> (Vec<u8>, usize) {
    let stanza = match name {
        "text" => around(
            "<message><body>",
            "but soft, what light &amp; ",
            "</body></message>",
            kilobytes,
        ),
        "children" => around("<message>", "<a/>", "</message>", kilobytes),
        "depth_64" => {
            let nested = format!("{}{}", "<a>".repeat(62), "</a>".repeat(62));
            around("<message>", &nested, "</message>", kilobytes)
        }
        "attributes_4000" => {
            let tag = |tag: usize| {
                let attributes: String = (0..4000).map(|at| format!(" a{at}='{tag}'")).collect();
                format!("<x{attributes}/>")
            };
            let tags = (QUARTER << 10) / tag(0).len() * (kilobytes / QUARTER);
            let tags: String = (0..tags).map(tag).collect();
            format!("<message>{tags}</message>")
        }
        "prefixes" => around(
            "<message>",
            "<p:a xmlns:p='urn:a' xmlns:q='urn:b' q:a='' p:a=''/>",
            "</message>",
            kilobytes,
        ),
        "references" => around(
            "<message><body>",
            "&#x1F319;&lt;",
            "</body></message>",
            kilobytes,
        ),
        other => panic!("no shape {other}"),
    };
    (format!("{HEADER}{stanza}").into_bytes(), piece)
}

#[library_benchmark]
#[bench::text_256k(shape("text", 256, 1460))]
#[bench::text_1m(shape("text", 1024, 1460))]
#[bench::text_1m_whole(shape("text", 1024, usize::MAX))]
#[bench::text_1m_bytewise(shape("text", 1024, 1))]
#[bench::children_256k(shape("children", 256, 1460))]
#[bench::children_1m(shape("children", 1024, 1460))]
#[bench::depth_64_256k(shape("depth_64", 256, 1460))]
#[bench::depth_64_1m(shape("depth_64", 1024, 1460))]
#[bench::attributes_4000_256k(shape("attributes_4000", 256, 1460))]
#[bench::attributes_4000_1m(shape("attributes_4000", 1024, 1460))]
#[bench::prefixes_256k(shape("prefixes", 256, 1460))]
#[bench::prefixes_1m(shape("prefixes", 1024, 1460))]
#[bench::references_256k(shape("references", 256, 1460))]
#[bench::references_1m(shape("references", 1024, 1460))]
fn worst((bytes, piece): (Vec<u8>, usize)) -> (Vec<u8>, Reader) {
    let mut reader = Reader::new(wide());
    let mut stanzas = 0;
    for mut piece in bytes.chunks(piece) {
        while let Some(frame) = next(&mut reader, &mut piece) {
            stanzas += usize::from(matches!(&frame, Frame::Stanza(_)));
            drop(black_box(frame));
        }
    }
    assert_eq!(stanzas, 1);
    (bytes, reader)
}

library_benchmark_group!(
    name = reading;
    config = LibraryBenchmarkConfig::default().tool(Dhat::default());
    benchmarks = reference, quick, reader, routed, kept, forwarded, linked, trees, element
);
library_benchmark_group!(name = linear; benchmarks = worst);

main!(library_benchmark_groups = reading, linear);
