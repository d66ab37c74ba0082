//! The first bytes of a connection: a peer that opens a stream (ZH-R3).
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | sniffing | bytes that may still become a stream header | sniffing |
//! | sniffing | `<?xml`, `<stream:stream`, the first byte of TLS | refused, at that byte |
//! | probing (tolerant) | a declaration and a stream header of `jabber:server` | done, all of it swallowed |
//! | sniffing, probing | anything else | done, all of it given to the reader |

use onetrip_stream::{Content, Frame, Limits, ReadErrorKind, Reader};

use crate::ErrorKind;

/// The first byte of a TLS record that carries a handshake (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 0x16;
/// How a peer of RFC 6120 begins.
const DECLARATION: &[u8] = b"<?xml";
const HEADER: &[u8] = b"<stream:stream";

/// Looks at the first bytes, and holds them for as long as they may be either.
#[derive(Debug)]
pub(crate) struct Opening {
    held: Vec<u8>,
    /// The tolerant way: a reader that wants a header.
    probe: Option<Box<Reader>>,
    plain: bool,
}

/// What the first bytes were.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// They may still become a stream header.
    Undecided,
    /// They belong to the reader, in front of what has not been taken.
    Begin(Vec<u8>),
    /// A stream header was swallowed.
    Swallowed,
    /// The peer is not configured as was agreed.
    Refused(ErrorKind),
}

impl Opening {
    pub(crate) fn new(tolerant: bool, plain: bool, limits: Limits) -> Self {
        Self {
            held: Vec::new(),
            probe: tolerant.then(|| Box::new(Reader::new(limits))),
            plain,
        }
    }

    /// How many bytes are held.
    pub(crate) fn held(&self) -> usize {
        self.held.len()
    }

    /// Takes bytes off the front of `input` until it is clear what they are.
    pub(crate) fn next(&mut self, input: &mut &[u8]) -> Verdict {
        if self.held.is_empty() {
            // A form feed is no white space in XML.
            let space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
            while let Some((_, rest)) = input.split_first().filter(|(first, _)| space(first)) {
                *input = rest;
            }
        }
        if self.held.is_empty() && self.plain && input.first() == Some(&TLS_HANDSHAKE) {
            return Verdict::Refused(ErrorKind::PeerSpeaksTls);
        }
        match self.probe.take() {
            Some(probe) if !input.is_empty() => self.probe(probe, input),
            Some(probe) => {
                self.probe = Some(probe);
                Verdict::Undecided
            }
            None => self.sniff(input),
        }
    }

    fn sniff(&mut self, input: &mut &[u8]) -> Verdict {
        while let Some((&byte, rest)) = input.split_first() {
            if self.held == DECLARATION || self.held == HEADER {
                // What follows decides whether it is the whole name: `<?xml-stylesheet` and `<stream:streams` are not.
                return self.decide(byte);
            }
            self.held.push(byte);
            *input = rest;
            if !(DECLARATION.starts_with(&self.held) || HEADER.starts_with(&self.held)) {
                return Verdict::Begin(core::mem::take(&mut self.held));
            }
        }
        Verdict::Undecided
    }

    fn decide(&mut self, next: u8) -> Verdict {
        if next.is_ascii_whitespace() || matches!(next, b'>' | b'/' | b'?') {
            Verdict::Refused(ErrorKind::PeerSpeaksRfc6120)
        } else {
            Verdict::Begin(core::mem::take(&mut self.held))
        }
    }

    fn probe(&mut self, mut probe: Box<Reader>, input: &mut &[u8]) -> Verdict {
        let before = *input;
        let result = probe.next(input);
        let taken = before.len().saturating_sub(input.len());
        self.held.extend(before.iter().take(taken));
        match result {
            Ok(None) => {
                self.probe = Some(probe);
                Verdict::Undecided
            }
            Ok(Some(Frame::Header(header))) if header.content == Some(Content::Server) => {
                Verdict::Swallowed
            }
            Ok(Some(Frame::Header(_))) => Verdict::Refused(ErrorKind::PeerSpeaksRfc6120),
            Err(error) if self.held.starts_with(DECLARATION) || is_header(&error.kind) => {
                Verdict::Refused(ErrorKind::PeerSpeaksRfc6120)
            }
            // No stream header: the reader that is primed judges what it is instead.
            Ok(Some(_)) | Err(_) => Verdict::Begin(core::mem::take(&mut self.held)),
        }
    }
}

/// Whether a root element failed as a stream header, not for being something else.
fn is_header(kind: &ReadErrorKind) -> bool {
    matches!(
        kind,
        ReadErrorKind::StreamNamespace
            | ReadErrorKind::ContentNamespace { .. }
            | ReadErrorKind::Address { .. }
            | ReadErrorKind::Version
    )
}
