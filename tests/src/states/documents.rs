//! What is read of one XML document.

use core::fmt;

use onetrip_core::stream::{Limits, Reader};

use super::{Diagram, Subject, printed};

pub(super) fn diagrams() -> Vec<Diagram> {
    vec![reader()]
}

/// A reader, which prints where it stands and not how much it has read.
struct Document(Reader);

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = printed("state")(&self.0);
        write!(f, "{state} {} {}", self.0.is_mid_frame(), self.0.pending())
    }
}

impl Document {
    fn take(&mut self, mut bytes: &[u8]) {
        while let Ok(Some(_)) = self.0.next(&mut bytes) {
            // A frame that takes no bytes is an input of its own.
            if bytes.is_empty() {
                return;
            }
        }
    }
}

fn reader() -> Diagram {
    let header = |end: &str| {
        let names = "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'";
        format!("<?xml version='1.0'?><stream:stream {names} version='1.0'{end}>")
    };
    let (open, empty) = (header(""), header("/"));
    Subject {
        name: "onetrip-stream: `Reader`",
        table: "stream/src/reader/mod.rs",
        state: &|document: &Document| printed("state")(&document.0),
        begins: &[
            ("new()", &|| Document(Reader::new(Limits::default()))),
            ("restart_behind()", &|| {
                let mut reader = Reader::new(Limits::default());
                reader.restart_behind(Limits::default());
                Document(reader)
            }),
        ],
        inputs: &[
            ("the header", &|document| document.take(open.as_bytes())),
            ("a header that is an empty element", &|document| {
                document.take(empty.as_bytes());
            }),
            ("an element", &|document| document.take(b"<features/>")),
            ("a stanza", &|document| document.take(b"<message/>")),
            ("the beginning of a stanza", &|document| {
                document.take(b"<message ")
            }),
            ("the footer", &|document| document.take(b"</stream:stream>")),
            ("next() without bytes", &|document| document.take(b"")),
            ("white space", &|document| document.take(b" \n")),
            ("text", &|document| document.take(b"text")),
        ],
        drain: &|_| false,
    }
    .explore()
}
