//! Inside of tags: names, attributes, values, and the XML declaration, which is read like a start tag.

use super::name::Name;
use super::tag::{self, Place};
use super::{Fault, Level, Scanner, Sink, Start, State, class, text};
use crate::Limit;

impl Scanner {
    pub(super) fn begin_name(&mut self) {
        self.mark = self.at;
        self.simple = true;
    }

    /// Takes the bytes of a name; `Some` is where it ended.
    #[inline(always)]
    fn name(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        let mut end = class::run(bytes, self.at, class::SIMPLE);
        let mut next = bytes.get(end);
        if next.is_some_and(|byte| class::is(*byte, class::NAME)) {
            self.simple = false;
            end = class::run(bytes, end, class::NAME);
            next = bytes.get(end);
        }
        self.at = end;
        if end.saturating_sub(self.mark) > self.limits.token {
            self.at = self.mark.saturating_add(self.limits.token);
            return Err(Fault::TooMuch(Limit::Token));
        }
        Ok(next.map(|_| end))
    }

    /// The name that ends here; an error is found one byte later, when that has been seen.
    #[inline(always)]
    fn read_name(&mut self, bytes: &[u8], end: usize) -> Result<Name, Fault> {
        let name = if self.simple {
            Name::simple(bytes, self.mark, end)
        } else {
            self.tame &= bytes.get(self.mark..end).unwrap_or_default().is_ascii();
            Name::read(bytes, self.mark, end)
        };
        name.inspect_err(|_| self.advance(1))
    }

    #[inline(always)]
    pub(super) fn start_name(&mut self, bytes: &[u8]) -> Result<bool, Fault> {
        let Some(end) = self.name(bytes)? else {
            return Ok(false);
        };
        let name = self.read_name(bytes, end)?;
        name.bound(&self.limits)
            .and_then(|()| tag::bound(self.levels.len(), self.limits.depth, Limit::Depth))
            .inspect_err(|_| self.advance(1))?;
        self.tag.open(name, self.scopes.mark());
        self.event = end.saturating_add(1);
        self.gap = end;
        self.state = State::Attributes { spaced: false };
        Ok(false)
    }

    #[inline(always)]
    pub(super) fn attributes(
        &mut self,
        spaced: bool,
        bytes: &[u8],
        sink: &mut impl Sink,
    ) -> Result<bool, Fault> {
        let before = self.at;
        let next = self.space(bytes)?;
        let spaced = spaced || self.at > before;
        let Some(byte) = next else {
            self.state = State::Attributes { spaced };
            return Ok(false);
        };
        if class::is(byte, class::NAME) {
            if !spaced {
                self.step(false, Fault::NoSpace)?;
            }
            self.begin_name();
            self.state = State::AttributeName;
            return self.attribute_name(bytes);
        }
        self.advance(1);
        match (byte, self.declaration) {
            (b'>', None) => return self.start(bytes, sink, false),
            (b'/', None) => {
                self.state = State::Empty;
                if let Some(&byte) = bytes.get(self.at) {
                    return self.empty(byte, bytes, sink);
                }
            }
            (b'?', Some(1..)) => self.state = State::DeclarationEnd,
            _ => return Err(Fault::Misplaced),
        }
        Ok(false)
    }

    #[inline(always)]
    pub(super) fn attribute_name(&mut self, bytes: &[u8]) -> Result<bool, Fault> {
        let Some(end) = self.name(bytes)? else {
            return Ok(false);
        };
        let name = self.read_name(bytes, end)?;
        let taken = match self.declaration {
            Some(index) => check_declared_name(index, bytes.get(name.range()).unwrap_or_default()),
            None => self.tag.attribute(name, bytes),
        };
        taken.inspect_err(|_| self.advance(1))?;
        self.state = State::Equals;
        self.equals(bytes)
    }

    #[inline(always)]
    pub(super) fn equals(&mut self, bytes: &[u8]) -> Result<bool, Fault> {
        // There is seldom white space around it.
        let next = match bytes.get(self.at) {
            Some(b'=') => Some(b'='),
            _ => self.space(bytes)?,
        };
        let Some(byte) = next else {
            return Ok(false);
        };
        self.step(byte == b'=', Fault::Token)?;
        self.state = State::Quote;
        self.quote(bytes)
    }

    #[inline(always)]
    pub(super) fn quote(&mut self, bytes: &[u8]) -> Result<bool, Fault> {
        let next = match bytes.get(self.at) {
            Some(&quote @ (b'\'' | b'"')) => Some(quote),
            _ => self.space(bytes)?,
        };
        let Some(byte) = next else {
            return Ok(false);
        };
        self.step(matches!(byte, b'\'' | b'"'), Fault::Token)?;
        self.value = self.at;
        self.shorter = 0;
        self.plain = true;
        self.ascii = true;
        self.state = State::Value(byte);
        self.value(byte, bytes)
    }

    #[inline(always)]
    pub(super) fn value(&mut self, quote: u8, bytes: &[u8]) -> Result<bool, Fault> {
        let stop = if quote == b'\'' {
            self.until(bytes, class::IN_APOSTROPHES)
        } else {
            self.until(bytes, class::IN_QUOTES)
        };
        let end = self.at.saturating_sub(usize::from(stop.is_some()));
        self.bound_value(end)?;
        match stop {
            None => {}
            Some(byte) if byte == quote => {
                self.end_value(bytes, end)?;
                self.event = self.at;
                self.gap = self.at;
                self.state = State::Attributes { spaced: false };
            }
            Some(b'&') => {
                self.plain = false;
                self.begin_reference(Some(quote));
            }
            Some(b'\t' | b'\n') => {
                // It counts, and nothing may be taken in before the limit has been seen.
                self.bound_value(self.at)?;
                self.plain = false;
                self.tame = false;
            }
            Some(b'\r') => {
                self.plain = false;
                self.tame = false;
                self.shorter = self.shorter.saturating_add(1);
                self.state = State::ValueCr(quote);
            }
            Some(b'<') => return Err(Fault::Misplaced),
            Some(_) => return Err(Fault::Forbidden),
        }
        Ok(false)
    }

    pub(super) fn value_cr(&mut self, quote: u8, byte: u8) -> Result<bool, Fault> {
        self.step(byte == b'\n', Fault::CrInValue)?;
        self.bound_value(self.at)?;
        self.state = State::Value(quote);
        Ok(false)
    }

    /// A value is no longer than the limit, its references resolved.
    pub(super) fn bound_value(&mut self, end: usize) -> Result<(), Fault> {
        let allowed = self.limits.token.saturating_add(self.shorter);
        if end.saturating_sub(self.value) <= allowed {
            return Ok(());
        }
        self.at = self.value.saturating_add(allowed);
        Err(Fault::TooMuch(Limit::Token))
    }

    #[inline(always)]
    pub(super) fn end_value(&mut self, bytes: &[u8], end: usize) -> Result<(), Fault> {
        if !self.ascii {
            text::check(bytes.get(self.value..end).unwrap_or_default())?;
        }
        let value = Place {
            start: self.value,
            end,
            plain: self.plain,
        };
        if let Some(index) = self.declaration {
            self.declaration = Some(index.saturating_add(1));
            return check_declared_value(index, &value.text(bytes));
        }
        self.tag
            .value(bytes, value, self.gap, &mut self.scopes, &self.limits)
    }

    pub(super) fn declaration_end(&mut self, byte: u8) -> Result<bool, Fault> {
        self.step(byte == b'>', Fault::Misplaced)?;
        self.declaration = None;
        self.event = self.at;
        self.state = State::Outside;
        Ok(false)
    }

    #[inline(always)]
    pub(super) fn empty(
        &mut self,
        byte: u8,
        bytes: &[u8],
        sink: &mut impl Sink,
    ) -> Result<bool, Fault> {
        self.step(byte == b'>', Fault::Misplaced)?;
        self.start(bytes, sink, true)
    }

    /// The `>` of a start tag has been taken.
    fn start(&mut self, bytes: &[u8], sink: &mut impl Sink, empty: bool) -> Result<bool, Fault> {
        let depth = self.levels.len();
        self.event = self.at;
        self.begin_run();
        self.state = State::Text;
        self.tag.close(bytes, &self.scopes)?;
        if depth > 1 {
            let elements = self.elements.saturating_add(1);
            tag::bound(elements, self.limits.elements, Limit::Elements)?;
        }
        let told = sink.start(&Start::new(bytes, depth, &self.tag, &self.scopes));
        self.told(told)?;
        self.elements = self.elements.saturating_add(1);
        self.tame &= self.tag.is_tame(depth);
        if empty {
            self.scopes.release(self.tag.scope);
            sink.end();
        } else {
            let name = self.tag.name;
            if depth == 0 {
                let root = bytes.get(name.range()).unwrap_or_default();
                self.root.extend_from_slice(root);
            }
            let scope = self.tag.scope;
            self.levels.push(Level { name, scope });
        }
        // The header alone is a frame, and so is an element that is empty.
        Ok(depth == 0 || (empty && depth == 1))
    }

    /// The name of the innermost element that is open.
    #[inline(always)]
    fn innermost<'a>(&'a self, bytes: &'a [u8]) -> &'a [u8] {
        match self.levels.as_slice() {
            [_, .., level] => bytes.get(level.name.range()).unwrap_or_default(),
            _ => &self.root,
        }
    }

    #[inline(always)]
    pub(super) fn end_name(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<bool, Fault> {
        let open = self.innermost(bytes);
        let rest = bytes.get(self.mark..).unwrap_or_default();
        // Nearly always it is the name that is open, and the `>`.
        if let Some([b'>', ..]) = rest.strip_prefix(open) {
            self.at = self.mark.saturating_add(open.len()).saturating_add(1);
            return Ok(self.end(sink));
        }
        let Some(end) = self.name(bytes)? else {
            return Ok(false);
        };
        if bytes.get(self.mark..end) != Some(self.innermost(bytes)) {
            self.read_name(bytes, end)?;
            self.advance(1);
            return Err(Fault::EndTag);
        }
        self.state = State::EndSpace;
        self.end_space(bytes, sink)
    }

    pub(super) fn end_space(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<bool, Fault> {
        let Some(byte) = self.space(bytes)? else {
            return Ok(false);
        };
        self.step(byte == b'>', Fault::Token)?;
        Ok(self.end(sink))
    }

    /// The `>` of an end tag has been taken. Returns whether the frame is complete.
    fn end(&mut self, sink: &mut impl Sink) -> bool {
        if let Some(level) = self.levels.pop() {
            self.scopes.release(level.scope);
        }
        self.event = self.at;
        self.begin_run();
        self.state = State::Text;
        sink.end();
        self.levels.len() <= 1
    }
}

/// The attributes of an XML declaration, in this order, the later ones optional (RFC 6120 §11.5).
const DECLARED: [&[u8]; 3] = [b"version", b"encoding", b"standalone"];

fn check_declared_name(index: usize, name: &[u8]) -> Result<(), Fault> {
    if DECLARED.get(index).is_some_and(|wanted| *wanted == name) {
        Ok(())
    } else {
        Err(Fault::Declaration)
    }
}

fn check_declared_value(index: usize, value: &[u8]) -> Result<(), Fault> {
    match index {
        0 if value != b"1.0" => Err(Fault::OtherVersion),
        1 if !value.eq_ignore_ascii_case(b"utf-8") => Err(Fault::OtherEncoding),
        2 if !value.eq_ignore_ascii_case(b"yes") => Err(Fault::NotStandalone),
        _ => Ok(()),
    }
}
