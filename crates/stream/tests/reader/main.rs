//! The reader: what it refuses and why, its limits from both sides, and that no split changes anything.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod frames;
mod generated;
mod limits;
mod refused;
mod safe_form;

use onetrip_stream::{Frame, Limits, ReadError, Reader};

const HEADER: &str =
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// All frames of a document, or those before the error.
fn frames<'a>(
    limits: Limits,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> (Vec<Frame>, Option<ReadError>) {
    read_by(Reader::new(limits), pieces)
}

fn read_by<'a>(
    mut reader: Reader,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> (Vec<Frame>, Option<ReadError>) {
    let mut frames = Vec::new();
    for mut piece in pieces {
        loop {
            match reader.next(&mut piece) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(
                        reader.next(&mut &b"<a/>"[..]),
                        Err(error.clone()),
                        "an error is final"
                    );
                    return (frames, Some(error));
                }
            }
        }
    }
    (frames, None)
}

fn whole(document: &[u8]) -> (Vec<Frame>, Option<ReadError>) {
    frames(Limits::default(), std::iter::once(document))
}

fn inside(body: &str) -> Option<ReadError> {
    whole(format!("{HEADER}{body}").as_bytes()).1
}
