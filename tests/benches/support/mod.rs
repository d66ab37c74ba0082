//! What the benches share: the corpus, and the yardstick, rxml into minidom.

// Each bench compiles this for itself and uses its part.
#![allow(dead_code)]

use minidom::Element;
use minidom::rxml::{Parse, RawParser};
use minidom::tree_builder::TreeBuilder;
use onetrip_core::stream::{Frame, Limits, Reader};
use onetrip_tests::corpus::Corpus;

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
        while let Some(frame) = reader.next(&mut piece).expect("well-formed") {
            take(frame);
        }
    }
}
