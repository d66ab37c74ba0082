//! Outside of tags: text, CDATA sections, references, and what a `<` begins.

use super::reference::{self, Kind};
use super::{Fault, Run, Scanner, Sink, State, class, text};

/// What begins with `<` and is no tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Declaration,
    CData,
    Comment,
}

impl Word {
    const fn bytes(self) -> &'static [u8] {
        match self {
            Self::Declaration => b"<?xml",
            Self::CData => b"<![CDATA[",
            Self::Comment => b"<!--",
        }
    }

    const fn broken(self) -> Fault {
        match self {
            Self::Declaration => Fault::Instruction,
            Self::CData | Self::Comment => Fault::CDataStart,
        }
    }
}

impl Scanner {
    pub(super) fn outside(&mut self, bytes: &[u8]) -> Result<bool, Fault> {
        if let Some(byte) = self.space(bytes)? {
            self.step(byte == b'<', Fault::Misplaced)?;
            self.mark = self.at.saturating_sub(1);
            self.state = State::Open;
        }
        Ok(false)
    }

    #[inline(always)]
    pub(super) fn begin_run(&mut self) {
        self.mark = self.at;
        self.ascii = true;
        self.plain = true;
    }

    /// Whether the run ends in `]]>` here.
    fn ends_section(&self, bytes: &[u8]) -> bool {
        let run = bytes.get(self.mark..self.at).unwrap_or_default();
        run.ends_with(b"]]>")
    }

    /// The run that began at the mark has ended before the last bytes that were taken.
    #[inline(always)]
    fn tell_run(
        &mut self,
        bytes: &[u8],
        without: usize,
        sink: &mut impl Sink,
    ) -> Result<(), Fault> {
        let (start, end) = (self.mark, self.at.saturating_sub(without));
        if start >= end {
            return Ok(());
        }
        if !self.ascii {
            text::check(bytes.get(start..end).unwrap_or_default())?;
        }
        let plain = self.plain;
        let told = sink.text(Run { start, end, plain });
        self.told(told)
    }

    #[inline(always)]
    pub(super) fn text<S: Sink>(&mut self, bytes: &[u8], sink: &mut S) -> Result<bool, Fault> {
        // Most tags stand right behind another one.
        let stop = match bytes.get(self.at) {
            Some(b'<') => {
                self.advance(1);
                Some(b'<')
            }
            _ if S::AGAIN => self.until(bytes, class::IN_TEXT_AGAIN),
            _ => self.until(bytes, class::IN_TEXT),
        };
        match stop {
            Some(b'<') => {
                self.tell_run(bytes, 1, sink)?;
                self.mark = self.at.saturating_sub(1);
                self.state = State::Open;
                if let Some(&byte) = bytes.get(self.at) {
                    return self.open(byte, bytes, sink);
                }
            }
            Some(b'&') => {
                self.tell_run(bytes, 1, sink)?;
                self.begin_reference(None);
            }
            Some(b'>') if self.ends_section(bytes) => return Err(Fault::CDataEnd),
            None | Some(b'>') => {}
            Some(b'\r') => {
                self.plain = false;
                self.tame = false;
            }
            Some(_) => return Err(Fault::Forbidden),
        }
        Ok(false)
    }

    pub(super) fn cdata(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<bool, Fault> {
        match self.until(bytes, class::IN_CDATA) {
            None => Ok(false),
            Some(b'\r') => {
                self.plain = false;
                Ok(false)
            }
            Some(b'>') => {
                if self.ends_section(bytes) {
                    self.tell_run(bytes, 3, sink)?;
                    self.begin_run();
                    self.state = State::Text;
                }
                Ok(false)
            }
            Some(_) => Err(Fault::Forbidden),
        }
    }

    #[inline(always)]
    pub(super) fn open(
        &mut self,
        byte: u8,
        bytes: &[u8],
        sink: &mut impl Sink,
    ) -> Result<bool, Fault> {
        if class::is(byte, class::NAME) {
            self.begin_name();
            self.state = State::StartName;
            return self.start_name(bytes);
        }
        match byte {
            b'/' => {
                self.event = self.at;
                self.step(!self.levels.is_empty(), Fault::EarlyEndTag)?;
                self.begin_name();
                self.state = State::EndName;
                return self.end_name(bytes, sink);
            }
            b'!' => self.state = State::Bang,
            b'?' => self.state = State::Word(Word::Declaration),
            _ => {
                self.advance(1);
                return Err(Fault::Misplaced);
            }
        }
        self.advance(1);
        Ok(false)
    }

    pub(super) fn bang(&mut self, byte: u8) -> Result<bool, Fault> {
        self.step(matches!(byte, b'[' | b'-'), Fault::Doctype)?;
        let section = byte == b'[';
        self.state = State::Word(if section { Word::CData } else { Word::Comment });
        Ok(false)
    }

    pub(super) fn word(&mut self, word: Word, byte: u8) -> Result<bool, Fault> {
        let matched = self.at.saturating_sub(self.mark);
        let wanted = word.bytes();
        self.step(wanted.get(matched) == Some(&byte), word.broken())?;
        if self.at.saturating_sub(self.mark) < wanted.len() {
            return Ok(false);
        }
        match word {
            Word::Comment => Err(Fault::Comment),
            Word::Declaration if self.mark > 0 || !self.levels.is_empty() => {
                Err(Fault::Instruction)
            }
            Word::Declaration => {
                self.declaration = Some(0);
                self.state = State::Attributes { spaced: false };
                Ok(false)
            }
            // Text, even if there is none in it: nothing but white space may stand here (RFC 6120 §4.9.3.1).
            Word::CData if self.levels.len() == 1 => Err(Fault::StrayText),
            Word::CData if self.levels.is_empty() => Err(Fault::Token),
            Word::CData => {
                self.tame = false;
                self.begin_run();
                self.state = State::CData;
                Ok(false)
            }
        }
    }

    pub(super) fn begin_reference(&mut self, value: Option<u8>) {
        self.mark = self.at;
        self.state = State::Reference {
            kind: Kind::Entity,
            value,
        };
    }

    pub(super) fn reference(
        &mut self,
        kind: Kind,
        value: Option<u8>,
        bytes: &[u8],
        byte: u8,
        sink: &mut impl Sink,
    ) -> Result<bool, Fault> {
        let name = bytes.get(self.mark..self.at).unwrap_or_default();
        if kind.takes(byte) {
            if name.len() >= reference::LONGEST {
                return Err(Fault::Entity);
            }
            self.advance(1);
            return Ok(false);
        }
        self.advance(1);
        if byte != b';' {
            let refined = kind.refined(byte).filter(|_| name.is_empty());
            let kind = refined.ok_or(Fault::Misplaced)?;
            self.mark = self.at;
            self.tame = false;
            self.state = State::Reference { kind, value };
            return Ok(false);
        }
        if name.is_empty() {
            return Err(Fault::EmptyReference);
        }
        let character = kind.character(text::as_str(name))?;
        self.state = match value {
            None => {
                self.begin_run();
                self.told(sink.character(character))?;
                State::Text
            }
            Some(quote) => {
                let written = kind.written(name.len());
                let saved = written.saturating_sub(character.len_utf8());
                self.shorter = self.shorter.saturating_add(saved);
                State::Value(quote)
            }
        };
        Ok(false)
    }
}
