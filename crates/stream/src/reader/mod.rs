//! Bytes to frames: header, element, stanza, footer.
//!
//! | state | next frame | leads to |
//! |---|---|---|
//! | prolog | header | between, or empty |
//! | behind (another document) | header, or the footer of that document | between, or empty; closed |
//! | between | element or stanza, or footer | between, or closed |
//! | empty (behind a header that was an empty element) | footer | closed |
//! | closed | nothing but white space | closed |
//! | any | what breaks a rule | failed |

mod between;
mod complete;

use core::fmt;

use bytes::{BufMut as _, BytesMut};
use minidom::Element;

use crate::front::{AtOnce, Front};
use crate::scan::{Progress, Scanner};
use crate::tree::NOT_A_NAME;
use crate::{Content, Limit, Limits, ReadError, ReadErrorKind, Stanza, StreamHeader, Writer};

/// One complete piece of a stream.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Frame {
    /// The stream header.
    Header(StreamHeader),
    /// A first-level element that is no stanza.
    Element(Element),
    /// A message, presence or iq of the content namespace.
    Stanza(Stanza),
    /// `</stream:stream>`.
    Footer,
}

const FOOTER: &[u8] = b"</stream:stream>";

/// The most bytes that are taken over at a time from what the caller has, when the frame began in an earlier call: so
/// little is copied that belongs to the next one.
const STEP: usize = 512;
/// The room made at once for the frames of one call, and for a frame of which only the beginning has come.
const ROOM: core::ops::RangeInclusive<usize> = 256..=4096;

#[derive(Debug)]
enum State {
    /// Behind another document: how much of its footer has been read.
    Behind(usize),
    Prolog,
    Between,
    /// The header was an empty element: the footer is the next frame, and takes no bytes.
    Empty,
    Closed,
}

/// Reads one XML document of a stream; a stream restart takes [another](Reader::restart) (RFC 6120 §4.3.3).
///
/// It takes bytes in any split, stops exactly behind the `>` that completes a frame, and never looks at the
/// byte behind it: what follows may be TLS, a new document or an attack.
///
/// ```
/// # use onetrip_stream::{Frame, Limits, Reader};
/// let mut reader = Reader::new(Limits::default());
/// let mut input: &[u8] = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>\
///     <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\x16\x03\x01";
/// assert!(matches!(reader.next(&mut input), Ok(Some(Frame::Header(_)))));
/// assert!(matches!(reader.next(&mut input), Ok(Some(Frame::Element(_)))));
/// assert_eq!(input, b"\x16\x03\x01");
/// ```
pub struct Reader {
    scanner: Scanner,
    front: Front,
    limits: Limits,
    state: State,
    /// The bytes of the frame that is being read, if it began in an earlier call. Stanzas take theirs from here.
    held: BytesMut,
    /// How many bytes of this document came before the frame that is being read.
    before: u64,
    failed: Option<ReadError>,
}

impl fmt::Debug for Reader {
    /// Without the bytes, which may be a password's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("state", &self.state)
            .field("consumed", &self.consumed())
            .field("pending", &self.pending())
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

impl Reader {
    /// A reader that expects a stream header first.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            scanner: Scanner::new(limits),
            front: Front::default(),
            limits,
            state: State::Prolog,
            held: BytesMut::new(),
            before: 0,
            failed: None,
        }
    }

    /// Becomes what [`Reader::new`] makes, in the room that it has: the stream restarts in a new layer. Nothing that was
    /// read survives (RFC 6120 §5.4.3.3).
    pub fn restart(&mut self, limits: Limits) {
        // Every field, so that none is forgotten.
        let Self {
            scanner,
            front,
            limits: allowed,
            state,
            held,
            before,
            failed,
        } = self;
        scanner.restart(limits);
        *front = Front::default();
        *allowed = limits;
        *state = State::Prolog;
        held.clear();
        *before = 0;
        *failed = None;
    }

    /// The same for a document that follows this one in the same layer, as behind SASL: the peer may close this one
    /// instead, before it knows of the restart (RFC 6120 §4.4).
    pub fn restart_behind(&mut self, limits: Limits) {
        self.restart(limits);
        self.state = State::Behind(0);
    }

    /// A reader that behaves as if it had read `header` already: zero handshake (ZH-R1) and single stanzas.
    ///
    /// # Errors
    /// [`ReadError`] when the header itself does not pass: it does not fit the limits.
    pub fn primed(header: &StreamHeader, limits: Limits) -> Result<Self, ReadError> {
        let mut reader = Self::new(limits);
        let unwritable = |_| ReadError::new(NOT_A_NAME, 0);
        let content = header.content.unwrap_or(Content::Client);
        let bytes = Writer::new(content).header(header).map_err(unwritable)?;
        let mut rest: &[u8] = &bytes;
        match reader.next(&mut rest)? {
            Some(Frame::Header(_)) => {
                reader.before = 0;
                Ok(reader)
            }
            _ => Err(ReadError::new(ReadErrorKind::NotAStream, reader.consumed())),
        }
    }

    /// A reader behind the shortest header of this content namespace.
    pub(crate) fn inside(content: Content, limits: Limits) -> Self {
        let mut scanner = Scanner::inside(content, limits);
        scanner.declare_stream();
        Self {
            scanner,
            front: Front::inside(content),
            state: State::Between,
            ..Self::new(limits)
        }
    }

    /// How many bytes of this document have been taken in.
    #[must_use]
    pub fn consumed(&self) -> u64 {
        self.before.saturating_add(self.held.len() as u64)
    }

    /// Whether a frame has begun that is not complete: an end of the transport now would cut it.
    #[must_use]
    pub fn is_mid_frame(&self) -> bool {
        matches!(self.state, State::Behind(1..)) || self.pending() > 0
    }

    /// How many bytes of an unfinished frame have been taken in.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.held.len()
    }

    /// Sets other limits from here on, when the peer has authenticated on a stream that does not restart.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
        self.scanner.set_limits(limits);
    }

    /// Takes bytes off the front of `input` until a frame is complete; `None` when more are needed.
    ///
    /// # Errors
    /// [`ReadError`] when the peer broke a rule. It is final, and repeated on every later call.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, ReadError> {
        if !self.held.is_empty() {
            // Small pieces of a large frame: what is asked here is asked for each.
            return match self.go_on(input) {
                Ok(Progress::More) => Ok(None),
                Ok(Progress::Frame) => self.completed(&[], input.len()),
                Err(kind) => Err(self.fail(kind)),
            };
        }
        // Behind an error nothing is held.
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let offered = *input;
        match self.begin(input) {
            Ok(Progress::More) => Ok(None),
            Ok(Progress::Frame) => {
                let taken = offered.len().saturating_sub(input.len());
                self.completed(offered.get(..taken).unwrap_or_default(), input.len())
            }
            Err(kind) => Err(self.fail(kind)),
        }
    }

    fn completed(&mut self, taken: &[u8], coming: usize) -> Result<Option<Frame>, ReadError> {
        let frame = self.complete(taken, coming);
        frame.map(Some).map_err(|kind| self.fail(kind))
    }

    #[cold]
    fn fail(&mut self, kind: ReadErrorKind) -> ReadError {
        self.before = self.consumed();
        let error = ReadError::new(kind, self.before);
        self.failed = Some(error.clone());
        self.give_back();
        error
    }

    /// Between frames. All that is taken is counted, but for what is kept. Not inlined, or each small piece of a frame would
    /// save the registers that this takes: one instruction in fifty, byte by byte.
    #[inline(never)]
    fn begin(&mut self, input: &mut &[u8]) -> Result<Progress, ReadErrorKind> {
        let offered = input.len();
        let progress = self.next_frame(input);
        let taken = offered.saturating_sub(input.len());
        let counted = self.before.saturating_add(taken as u64);
        self.before = counted.saturating_sub(self.held.len() as u64);
        progress
    }

    fn next_frame(&mut self, input: &mut &[u8]) -> Result<Progress, ReadErrorKind> {
        if let State::Empty = self.state {
            return Ok(Progress::Frame);
        }
        if let State::Behind(read) = self.state {
            if self.behind_another(read, input)? {
                return Ok(Progress::Frame);
            }
        }
        if !self.skip_to_markup(input)? {
            self.give_back();
            return Ok(Progress::More);
        }
        if self.held.is_empty() {
            self.begun_now(input)
        } else {
            self.go_on(input)
        }
    }

    /// Reads a frame where it stands; its beginning is kept if its end has not come.
    fn begun_now(&mut self, input: &mut &[u8]) -> Result<Progress, ReadErrorKind> {
        let budget = self.budget();
        let offered = input.get(..budget).unwrap_or(input);
        let mut sink = AtOnce::new(&mut self.front, offered);
        let result = self.scanner.run(offered, &mut sink);
        if let Ok(Progress::Frame) = result {
            sink.finish();
        }
        let (taken, rest) = input
            .split_at_checked(self.scanner.taken())
            .unwrap_or_default();
        *input = rest;
        if result? == Progress::Frame {
            return Ok(Progress::Frame);
        }
        self.make_room(taken.len(), taken.len());
        self.held.extend_from_slice(taken);
        self.within(budget)
    }

    /// Goes on with a frame whose beginning has been kept. For a small piece one step is all, and as the body of a loop it
    /// would take a fifth more.
    #[inline(always)]
    fn go_on(&mut self, input: &mut &[u8]) -> Result<Progress, ReadErrorKind> {
        match self.step(input) {
            Ok(Progress::More) if !input.is_empty() => self.steps(input),
            progress => progress,
        }
    }

    #[inline(never)]
    fn steps(&mut self, input: &mut &[u8]) -> Result<Progress, ReadErrorKind> {
        while !input.is_empty() {
            if self.step(input)? == Progress::Frame {
                return Ok(Progress::Frame);
            }
        }
        Ok(Progress::More)
    }

    #[inline(always)]
    fn step(&mut self, input: &mut &[u8]) -> Result<Progress, ReadErrorKind> {
        let budget = self.budget();
        let before = self.held.len();
        let step = budget.saturating_sub(before).min(STEP);
        let (offered, rest) = input.split_at_checked(step).unwrap_or((input, &[]));
        // What is cut goes on: the next piece will find room, too.
        if self.held.spare_capacity_mut().len() < offered.len() {
            self.grow(offered.len(), input.len().saturating_mul(2));
        }
        match offered {
            // Some bytes come one by one.
            [byte] => self.held.put_u8(*byte),
            _ => self.held.extend_from_slice(offered),
        }
        match self.scanner.run(&self.held, &mut self.front) {
            Ok(Progress::More) => {
                *input = rest;
                self.within(budget)
            }
            other => {
                let length = self.scanner.taken();
                let taken = length.saturating_sub(before);
                *input = input.get(taken..).unwrap_or_default();
                self.held.truncate(length);
                other
            }
        }
    }

    /// Makes room for `needed` bytes more, at once for all that are `coming`.
    #[inline(always)]
    fn make_room(&mut self, needed: usize, coming: usize) {
        if self.held.spare_capacity_mut().len() < needed {
            self.grow(needed, coming);
        }
    }

    #[cold]
    fn grow(&mut self, needed: usize, coming: usize) {
        let room = coming.clamp(*ROOM.start(), *ROOM.end());
        self.held.reserve(needed.max(room).max(self.held.len()));
    }

    /// Gives back what is not needed between frames.
    fn give_back(&mut self) {
        self.held = BytesMut::new();
        self.scanner.shrink();
    }

    /// Which limit there is to the length of what is being read.
    fn limit(&self) -> Limit {
        match self.state {
            State::Prolog | State::Behind(_) => Limit::Header,
            _ => Limit::Element,
        }
    }

    fn budget(&self) -> usize {
        self.limits.of(self.limit())
    }

    /// What has been kept goes on, and may.
    fn within(&self, budget: usize) -> Result<Progress, ReadErrorKind> {
        if self.held.len() < budget {
            return Ok(Progress::More);
        }
        let limit = self.limit();
        let allowed = budget;
        Err(ReadErrorKind::TooMuch { limit, allowed })
    }
}
