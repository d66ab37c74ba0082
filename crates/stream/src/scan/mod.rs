//! The scanner: checks XML byte by byte where it stands, and says where frames end.
//!
//! It is given the bytes of one frame from its first one on, and again with more of them when more have come; it goes on
//! where it stopped. Whatever chunks a peer sends, each byte is looked at a fixed number of times.
//!
//! # Grammar
//!
//! One row a state: what it has seen, what it takes, where that leads. Anything else is an error, and so is what the
//! [`Limits`] forbid. `S` is white space, `Name` a qualified name.
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | `Outside`: before the root | `S`, `<` | `Open` |
//! | `Text` | a run of characters | `Text` |
//! | | `<`, `&` | `Open`, `Reference` |
//! | `CData` | characters up to `]]>` | `Text` |
//! | `Open`: behind `<` | `/`, `!`, `?` | `EndName`, `Bang`, `Word` |
//! | | first of a name | `StartName` |
//! | `Bang`: behind `<!` | `[`, `-` | `Word` |
//! | `Word`: in `<?xml`, `<![CDATA[`, `<!--` | the next of it | `Word`; then `Attributes`, `CData`, refused |
//! | `StartName` | `Name` | `Attributes` |
//! | `Attributes`: between the parts of a tag | `S` | `Attributes` |
//! | | first of a name, behind `S` | `AttributeName` |
//! | | `>`, `/`, `?` | `Text`, `Empty`, `DeclarationEnd` |
//! | `AttributeName` | `Name` | `Equals` |
//! | `Equals` | `S`, `=` | `Quote` |
//! | `Quote` | `S`, `'`, `"` | `Value` |
//! | `Value` | characters but `<`, then its quote | `Attributes` |
//! | | `&`, CR | `Reference`, `ValueCr` |
//! | `ValueCr`: behind a CR in a value | LF | `Value` |
//! | `Reference`: behind `&` | name or number, `;` | `Text`, `Value` |
//! | `Empty`: behind `/` | `>` | `Text` |
//! | `DeclarationEnd`: behind `?` | `>` | `Outside` |
//! | `EndName` | the name of the start tag | `EndSpace` |
//! | `EndSpace` | `S`, `>` | `Text` |
//!
//! # Safe form
//!
//! Some documents are read differently by different parsers, and stanza smuggling lives on that. The scanner notes
//! whether a frame is *tame*: ASCII names, no CDATA section, no character reference, no literal CR, no TAB or LF in a
//! value, no prefix but `xml`, and no declaration that changes nothing.

mod class;
mod content;
mod fault;
mod markup;
mod name;
mod reference;
mod scopes;
mod tag;
mod text;

use std::borrow::Cow;

use class::Stops;
use content::Word;
use name::Name;
use reference::Kind;
use scopes::{Mark, Scopes};
use tag::Tag;

pub(crate) use class::any;
pub(crate) use fault::Fault;
pub(crate) use tag::{Attribute, Start};

use crate::{Content, Limit, Limits, ReadErrorKind, ns};

/// Fewer bytes are looked at one by one: a block of them is not worth the call.
const FEW: usize = 8;

/// Who wants to know what a document says.
pub(crate) trait Sink {
    /// Whether it is given what has been let through before: then nothing is looked for in text but where it ends.
    const AGAIN: bool = false;
    /// A start tag is complete.
    fn start(&mut self, start: &Start<'_>) -> Result<(), ReadErrorKind>;
    /// Text goes on by what a run of bytes says.
    fn text(&mut self, run: Run) -> Result<(), ReadErrorKind>;
    /// Text goes on by one character.
    fn character(&mut self, character: char) -> Result<(), ReadErrorKind>;
    /// The innermost element has ended.
    fn end(&mut self);
}

/// A run of text without references.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    start: usize,
    end: usize,
    /// Whether it stands there as it is meant: without line ends to be changed.
    plain: bool,
}

impl Run {
    /// What it says, out of the bytes of the frame.
    pub(crate) fn text<'f>(&self, frame: &'f [u8]) -> Cow<'f, str> {
        let run = text::as_str(frame.get(self.start..self.end).unwrap_or_default());
        if self.plain {
            return Cow::Borrowed(run);
        }
        Cow::Owned(text::lines(run))
    }

    /// The same as bytes of UTF-8.
    pub(crate) fn bytes<'f>(&self, frame: &'f [u8]) -> Cow<'f, [u8]> {
        let run = frame.get(self.start..self.end).unwrap_or_default();
        if self.plain {
            return Cow::Borrowed(run);
        }
        Cow::Owned(text::lines(text::as_str(run)).into_bytes())
    }
}

/// How far a call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// All bytes have been taken, and the frame goes on.
    More,
    /// A frame is complete; [`Scanner::taken`] says where it ended.
    Frame,
}

// A tag of its own: a niche in what a state carries would be looked for at every step, two instructions in a hundred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum State {
    Outside,
    Text,
    CData,
    Open,
    Bang,
    Word(Word),
    StartName,
    Attributes { spaced: bool },
    AttributeName,
    Equals,
    Quote,
    Value(u8),
    ValueCr(u8),
    Reference { kind: Kind, value: Option<u8> },
    Empty,
    DeclarationEnd,
    EndName,
    EndSpace,
}

/// An open element.
#[derive(Debug, Clone, Copy)]
struct Level {
    /// Its name in the frame; the one of the root is kept, since its frame is gone.
    name: Name,
    /// What was in force around it.
    scope: Mark,
}

/// The state of one document.
#[derive(Debug)]
pub(crate) struct Scanner {
    limits: Limits,
    state: State,
    /// How many bytes of the frame have been taken.
    at: usize,
    /// Where the name, value, run or reference that is being read begins.
    mark: usize,
    /// Where the value began that a reference stands in.
    value: usize,
    /// By how much references have made that value shorter.
    shorter: usize,
    /// Whether that value, or the run that is being read, stands there as it is meant so far.
    plain: bool,
    /// Whether the run or value that is being read is ASCII so far.
    ascii: bool,
    /// Whether the name that is being read is ASCII without a colon so far.
    simple: bool,
    /// Where the white space before an attribute began.
    gap: usize,
    /// Where something last was complete, for [`Limits::silent`].
    event: usize,
    /// Which attribute of the XML declaration comes next, while one is being read.
    declaration: Option<usize>,
    tag: Tag,
    levels: Vec<Level>,
    /// The name of the root.
    root: Vec<u8>,
    scopes: Scopes,
    elements: usize,
    tame: bool,
    /// Why the sink refused.
    refused: Option<ReadErrorKind>,
}

impl Scanner {
    /// A document that has not begun.
    pub(crate) fn new(limits: Limits) -> Self {
        let levels = Vec::with_capacity(8);
        Self::made_of(limits, Tag::default(), levels, Vec::new(), Scopes::new())
    }

    /// Of parts that have nothing in them but room.
    fn made_of(
        limits: Limits,
        tag: Tag,
        levels: Vec<Level>,
        root: Vec<u8>,
        scopes: Scopes,
    ) -> Self {
        Self {
            limits,
            state: State::Outside,
            at: 0,
            mark: 0,
            value: 0,
            shorter: 0,
            plain: true,
            ascii: true,
            simple: true,
            gap: 0,
            event: 0,
            declaration: None,
            tag,
            levels,
            root,
            scopes,
            elements: 0,
            tame: true,
            refused: None,
        }
    }

    /// Inside of a document of which nothing but the content namespace is known.
    pub(crate) fn inside(content: Content, limits: Limits) -> Self {
        let mut scanner = Self::new(limits);
        scanner.levels.push(Level {
            name: Name::default(),
            scope: scanner.scopes.mark(),
        });
        scanner.scopes.set_default(content.namespace().as_bytes());
        scanner.begin();
        scanner
    }

    /// A stanza as a document of its own, whose surroundings have this content namespace.
    pub(crate) fn of_stanza(content: Content, limits: Limits) -> Self {
        let mut scanner = Self::new(limits);
        scanner.scopes.set_default(content.namespace().as_bytes());
        scanner
    }

    /// Adds the rest of what the usual header says: the name that the footer repeats, and its prefix.
    pub(crate) fn declare_stream(&mut self) {
        self.root.extend_from_slice(b"stream:stream");
        self.scopes.bind(b"stream", ns::STREAMS.as_bytes());
    }

    /// Sets other limits from here on.
    pub(crate) fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// How many bytes of the frame have been taken.
    pub(crate) fn taken(&self) -> usize {
        self.at
    }

    /// How many elements are open, the stream itself included.
    pub(crate) fn depth(&self) -> usize {
        self.levels.len()
    }

    /// Whether the frame is in a form that every parser reads alike.
    pub(crate) fn is_tame(&self) -> bool {
        self.tame
    }

    /// Expects the next frame, or the same one once more.
    pub(crate) fn begin(&mut self) {
        self.at = 0;
        self.begin_run();
        self.event = 0;
        self.elements = 0;
        self.tame = true;
        if !self.levels.is_empty() {
            self.state = State::Text;
        }
    }

    /// Expects another document. Nothing of this one is left but room.
    pub(crate) fn restart(&mut self, limits: Limits) {
        self.shrink();
        self.tag.clear();
        self.levels.clear();
        self.root.clear();
        self.scopes.restart();
        *self = Self::made_of(
            limits,
            core::mem::take(&mut self.tag),
            core::mem::take(&mut self.levels),
            core::mem::take(&mut self.root),
            core::mem::take(&mut self.scopes),
        );
    }

    /// Gives back what a large frame has taken.
    pub(crate) fn shrink(&mut self) {
        self.tag.shrink();
        self.levels.shrink_to(8);
        self.scopes.shrink();
    }

    /// Takes what is new of a frame, whose bytes are `bytes` so far.
    ///
    /// Behind an error, [`taken`](Self::taken) is where it was found.
    pub(crate) fn run(
        &mut self,
        bytes: &[u8],
        sink: &mut impl Sink,
    ) -> Result<Progress, ReadErrorKind> {
        if self.takes_as_text(bytes) {
            return Ok(Progress::More);
        }
        self.advance_through(bytes, sink).map_err(|fault| {
            let refused = self.refused.take();
            refused.unwrap_or_else(|| fault.kind(&self.limits))
        })
    }

    /// Each state takes what it can, and goes on in the next one at once where that is the usual way: so a tag is a step
    /// or two an attribute. `true` says that the frame is complete.
    fn advance_through(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<Progress, Fault> {
        while let Some(&byte) = bytes.get(self.at) {
            let complete = match self.state {
                State::Attributes { spaced } => self.attributes(spaced, bytes, sink)?,
                State::Text => self.text(bytes, sink)?,
                State::Open => self.open(byte, bytes, sink)?,
                State::StartName => self.start_name(bytes)?,
                State::AttributeName => self.attribute_name(bytes)?,
                State::Equals => self.equals(bytes)?,
                State::Quote => self.quote(bytes)?,
                State::Value(quote) => self.value(quote, bytes)?,
                State::ValueCr(quote) => self.value_cr(quote, byte)?,
                State::Reference { kind, value } => {
                    self.reference(kind, value, bytes, byte, sink)?
                }
                State::Empty => self.empty(byte, bytes, sink)?,
                State::EndName => self.end_name(bytes, sink)?,
                State::EndSpace => self.end_space(bytes, sink)?,
                State::CData => self.cdata(bytes, sink)?,
                State::Bang => self.bang(byte)?,
                State::Word(word) => self.word(word, byte)?,
                State::DeclarationEnd => self.declaration_end(byte)?,
                State::Outside => self.outside(bytes)?,
            };
            if complete {
                return Ok(Progress::Frame);
            }
        }
        Ok(Progress::More)
    }

    fn told(&mut self, answer: Result<(), ReadErrorKind>) -> Result<(), Fault> {
        answer.map_err(|refused| {
            self.refused = Some(refused);
            Fault::Refused
        })
    }

    fn advance(&mut self, by: usize) {
        self.at = self.at.wrapping_add(by);
    }

    /// Takes one byte, which is an error unless it is `right`.
    fn step(&mut self, right: bool, otherwise: Fault) -> Result<(), Fault> {
        self.advance(1);
        if right { Ok(()) } else { Err(otherwise) }
    }

    /// Takes a few bytes of a text that goes on; `false` if there is more to do. So are most pieces of a peer that sends
    /// byte by byte, and to find the way to the next state is half of what they cost.
    #[inline(always)]
    fn takes_as_text(&mut self, bytes: &[u8]) -> bool {
        if self.state != State::Text {
            return false;
        }
        let rest = bytes.get(self.at..).unwrap_or_default();
        if rest.len() >= FEW {
            return false;
        }
        for byte in rest {
            if class::is(*byte, class::IN_TEXT.class) {
                return false;
            }
            self.advance(1);
            self.ascii &= byte.is_ascii();
        }
        true
    }

    /// Takes all bytes up to the first of `stops`, and that one too, which it returns.
    #[inline(always)]
    fn until(&mut self, bytes: &[u8], stops: Stops) -> Option<u8> {
        let rest = bytes.get(self.at..).filter(|rest| rest.len() >= FEW);
        if let Some(rest) = rest {
            let blocks = (stops.find)(rest, &mut self.ascii);
            self.advance(blocks);
        }
        while let Some(&byte) = bytes.get(self.at) {
            self.advance(1);
            if class::is(byte, stops.class) {
                return Some(byte);
            }
            self.ascii &= byte.is_ascii();
        }
        None
    }

    /// Takes white space inside of a tag or around the root, and returns the byte behind it, which is not taken.
    #[inline(always)]
    fn space(&mut self, bytes: &[u8]) -> Result<Option<u8>, Fault> {
        while let Some(&byte) = bytes.get(self.at) {
            if !class::is(byte, class::SPACE) {
                return Ok(Some(byte));
            }
            if self.at.saturating_sub(self.event) >= self.limits.silent {
                return Err(Fault::TooMuch(Limit::Silent));
            }
            self.advance(1);
        }
        Ok(None)
    }
}
