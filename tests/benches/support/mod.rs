//! What the benches share: the corpus, and the yardstick, rxml into minidom.

// Each bench compiles this for itself and uses its part.
#![allow(dead_code)]

pub mod bytestreams;

use minidom::Element;
use minidom::rxml::{Parse, RawParser};
use minidom::tree_builder::TreeBuilder;
use onetrip_core::stream::{Env, Frame, Instant, Limits, Reader};
use onetrip_core::zero_handshake::{Agreement, Terms};
use onetrip_core::{Connection, LinkConfig};
use onetrip_simulator::Seeded;
use onetrip_tests::corpus::Corpus;
use onetrip_tests::links::domain;

/// So many first-level elements in each corpus; `ratios.py` divides by it.
pub const ELEMENTS: usize = 1000;

/// The corpus of every bench.
pub fn corpus() -> Corpus {
    Corpus::new(1, ELEMENTS)
}

/// Its bytes, and the size of the pieces in which they are to be read.
pub fn wire(piece: usize) -> (Vec<u8>, usize) {
    (corpus().wire(), piece)
}

/// The yardstick: every event of rxml into minidom's builder of trees, and each first-level element out of that.
pub struct Reference {
    parser: RawParser,
    builder: TreeBuilder,
}

impl Reference {
    /// At the beginning of a stream.
    pub fn new() -> Self {
        Self {
            parser: RawParser::new(),
            builder: TreeBuilder::new(),
        }
    }

    /// Takes in a piece; each first-level element that is complete goes to `take`.
    pub fn read(&mut self, mut piece: &[u8], mut take: impl FnMut(Element)) {
        // More is always to come, so rxml says that it wants it where it has nothing to report.
        while let Ok(Some(event)) = self.parser.parse(&mut piece, false) {
            self.builder.process_event(event).expect("well-formed");
            while self.builder.depth() == 1 {
                match self.builder.unshift_child() {
                    Some(element) => take(element),
                    None => break,
                }
            }
        }
    }
}

/// Every frame of the bytes, read in pieces.
pub fn frames(limits: Limits, bytes: &[u8], piece: usize, mut take: impl FnMut(Frame)) {
    let mut reader = Reader::new(limits);
    for mut piece in bytes.chunks(piece) {
        while let Some(frame) = next(&mut reader, &mut piece) {
            take(frame);
        }
    }
}

/// The next frame. An `expect` would move the whole of what it looks at, 29 instructions a call.
#[inline(always)]
pub fn next(reader: &mut Reader, piece: &mut &[u8]) -> Option<Frame> {
    match reader.next(piece) {
        Ok(Some(frame)) => Some(frame),
        Ok(None) => None,
        Err(error) => panic!("well-formed: {error}"),
    }
}

/// Where everything of the corpus comes from that says so; the rest, a push of the roster, comes from the client's server.
const THERE: [&str; 3] = [
    "montague.example",
    "capulet.example",
    "rooms.capulet.example",
];
/// Where it goes.
const HERE: [&str; 1] = ["verona.example"];

/// The stanzas of the corpus as one server sends them to another, and two links: the first reads them, the second takes
/// them on.
pub fn links(piece: usize) -> (Vec<u8>, usize, [Connection; 2]) {
    let stanzas: String = corpus().stanzas().map(sent).collect();
    let wire = stanzas.replace("juliet@capulet.example", "juliet@verona.example");
    let ends = [link(&HERE, &THERE), link(&THERE, &HERE)];
    (wire.into_bytes(), piece, ends)
}

/// A stanza that says where it comes from, as each between servers does.
fn sent(stanza: &str) -> String {
    let (start, _) = stanza.split_once('>').expect("a tag");
    if start.contains(" from=") {
        stanza.to_owned()
    } else {
        stanza.replacen(' ', " from='capulet.example' ", 1)
    }
}

/// A plain link, without acknowledgements, to a peer that has opened it.
fn link(ours: &[&str], theirs: &[&str]) -> Connection {
    let domains = |names: &[&str]| names.iter().map(|name| domain(name)).collect();
    let peer = "192.0.2.1:5299".parse().expect("an address");
    let terms = Terms::plain(domains(ours), domains(theirs), peer);
    let agreement = Agreement::new(terms).expect("an agreement");
    let source = "192.0.2.1:40000".parse().expect("an address");
    let admitted = agreement.accept_source(source, None).expect("allowed");
    let mut entropy = Seeded::new(1);
    let env = &mut Env::new(Instant::EPOCH, &mut entropy);
    Connection::link(LinkConfig::new(agreement, admitted), env).expect("plain")
}
