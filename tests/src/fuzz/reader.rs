//! Bytes to frames.

use onetrip_core::stream::{Content, Frame, Limits, ReadError, Reader, Stanza, Writer};

use super::Input;

const LIMITS: [Limits; 3] = [Limits::AUTHENTICATED, Limits::UNAUTHENTICATED, small()];

/// Limits that a fuzzer's inputs meet.
const fn small() -> Limits {
    let mut limits = Limits::UNAUTHENTICATED;
    limits.header = 300;
    limits.element = 400;
    limits.token = 100;
    limits.silent = 120;
    limits.depth = 4;
    limits.attributes = 4;
    limits.elements = 6;
    limits.namespace = 60;
    limits.name = 20;
    limits
}

/// The first byte says which limits and how it begins, the second how the rest is cut.
pub(super) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let how = input.byte();
    let piece = usize::from(input.byte()) + 1;
    let limits = LIMITS[usize::from(how & 3) % 3];
    let bytes = input.rest();
    let whole = read(how, limits, bytes, bytes.len().max(1));
    assert_eq!(whole, read(how, limits, bytes, 1), "byte by byte");
    assert_eq!(
        whole,
        read(how, limits, bytes, piece),
        "in pieces of {piece}"
    );
    whole.0.iter().for_each(|frame| again(frame, limits));
}

type Read = (Vec<Frame>, Option<ReadError>, u64);

/// The frames, the error, and how much was taken in.
fn read(how: u8, limits: Limits, bytes: &[u8], piece: usize) -> Read {
    let mut reader = Reader::new(limits);
    if how & 4 != 0 {
        reader.restart_behind(limits);
    }
    let most = limits.element.max(limits.header);
    let mut frames = Vec::new();
    for chunk in bytes.chunks(piece) {
        let mut rest = chunk;
        loop {
            let found = reader.next(&mut rest);
            assert!(reader.pending() <= most, "{} pending", reader.pending());
            match found {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => {
                    assert!(rest.is_empty(), "it stops without a reason");
                    break;
                }
                Err(error) => {
                    let again = reader.next(&mut &b"<a/>"[..]);
                    assert_eq!(again.as_ref(), Err(&error), "it is repeated");
                    return (frames, Some(error), reader.consumed());
                }
            }
        }
    }
    assert_eq!(reader.consumed(), bytes.len() as u64);
    (frames, None, reader.consumed())
}

/// What was read can be written, and reads the same.
fn again(frame: &Frame, limits: Limits) {
    match frame {
        Frame::Stanza(stanza) => {
            let same =
                Stanza::parse(stanza.bytes(), stanza.head().content).expect("it was a stanza");
            assert_eq!(same.element(), stanza.element());
            assert_eq!(same.bytes(), stanza.bytes());
            assert!(stanza.bytes().len() <= limits.element.saturating_mul(8));
        }
        Frame::Element(element) => {
            let bytes = Writer::new(Content::Client)
                .element(element)
                .expect("it was read");
            let mut reader = Reader::new(Limits::default());
            let mut header = HEADER;
            assert!(matches!(
                reader.next(&mut header),
                Ok(Some(Frame::Header(_)))
            ));
            let mut rest = &bytes[..];
            match reader.next(&mut rest) {
                Ok(Some(Frame::Element(same))) => assert_eq!(&same, element),
                // The safe form of what the limits only just let in is longer.
                Err(_) if bytes.len() > 8000 => {}
                other => panic!("{other:?} of {element:?}"),
            }
        }
        _ => {}
    }
}

const HEADER: &[u8] =
    b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
