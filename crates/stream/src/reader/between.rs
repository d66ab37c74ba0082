//! What may stand between frames: white space, and the footer of a document before this one.

use super::{FOOTER, Reader, State};
use crate::ReadErrorKind;
use crate::scan::Fault;

impl Reader {
    /// Tells the footer of the document before from the beginning of this one, by their second byte.
    pub(super) fn behind_another(
        &mut self,
        read: usize,
        input: &mut &[u8],
    ) -> Result<bool, ReadErrorKind> {
        let left = FOOTER.get(read..).unwrap_or_default();
        let same = input.iter().zip(left).take_while(|(a, b)| a == b).count();
        let read = read.saturating_add(same);
        *input = input.get(same..).unwrap_or_default();
        self.state = State::Behind(read);
        if read == FOOTER.len() {
            return Ok(true);
        }
        if input.is_empty() {
            return Ok(false);
        }
        if read > 1 {
            return Err(Fault::EarlyEndTag.kind(&self.limits));
        }
        self.state = State::Prolog;
        self.held
            .extend_from_slice(FOOTER.get(..read).unwrap_or_default());
        self.scanner.run(&self.held, &mut self.front)?;
        Ok(false)
    }

    /// Looks at the first byte of a stream and skips white space between first-level elements. Returns whether there is
    /// something for the scanner.
    pub(super) fn skip_to_markup(&mut self, input: &mut &[u8]) -> Result<bool, ReadErrorKind> {
        match self.state {
            State::Behind(_) => Ok(false),
            State::Prolog if self.held.is_empty() => match input.first() {
                None => Ok(false),
                Some(b'<') => Ok(true),
                Some(0xFE | 0xFF | 0x00) => Err(ReadErrorKind::Encoding {
                    what: "UTF-16 or UTF-32",
                }),
                Some(&first) => Err(ReadErrorKind::NotXml { first }),
            },
            State::Between if self.held.is_empty() => {
                skip_space(input);
                match input.first() {
                    None => Ok(false),
                    Some(b'<') => Ok(true),
                    Some(0x0C) | Some(0x00..=0x08) => Err(Fault::Forbidden.kind(&self.limits)),
                    Some(_) => Err(ReadErrorKind::StrayText),
                }
            }
            State::Closed => {
                skip_space(input);
                if input.is_empty() {
                    Ok(false)
                } else {
                    Err(ReadErrorKind::AfterFooter)
                }
            }
            _ => Ok(true),
        }
    }
}

/// Leaves out white space at the front, as XML has it: a form feed is none.
fn skip_space(input: &mut &[u8]) {
    let space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    while let Some((_, rest)) = input.split_first().filter(|(first, _)| space(first)) {
        *input = rest;
    }
}
