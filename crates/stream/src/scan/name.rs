//! Qualified names (Namespaces in XML 1.0 §4).

use core::ops::Range;

use minidom::rxml::NcNameStr;

use super::tag::bound;
use super::{Fault, class};
use crate::{Limit, Limits};

/// Where a qualified name stands: `prefix:local`, or `local` alone.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Name {
    start: usize,
    /// Where the local part begins; `start` if there is no prefix.
    local: usize,
    end: usize,
}

impl Name {
    /// The same of a name that has no colon and is ASCII.
    #[inline]
    pub(super) fn simple(bytes: &[u8], start: usize, end: usize) -> Result<Self, Fault> {
        match bytes.get(start) {
            Some(first) if class::is(*first, class::NAME_START) => Ok(Self {
                start,
                local: start,
                end,
            }),
            Some(_) if end > start => Err(Fault::Forbidden),
            _ => Err(Fault::Name),
        }
    }

    /// Checks the name that stands in `bytes` from `start` to `end`; its bytes are of the class of names.
    pub(super) fn read(bytes: &[u8], start: usize, end: usize) -> Result<Self, Fault> {
        let name = bytes.get(start..end).unwrap_or_default();
        let colon = name.iter().position(|byte| *byte == b':');
        let (prefix, local) = match colon {
            None => (None, name),
            Some(at) => match (name.get(..at), name.get(at.saturating_add(1)..)) {
                (Some(prefix), Some(local)) => (Some(prefix), local),
                _ => return Err(Fault::Name),
            },
        };
        check_part(local)?;
        prefix.map_or(Ok(()), check_part)?;
        Ok(Self {
            start,
            local: colon.map_or(start, |at| start.saturating_add(at).saturating_add(1)),
            end,
        })
    }

    pub(super) fn prefix<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes
            .get(self.start..self.local.saturating_sub(1))
            .unwrap_or_default()
    }

    pub(super) fn has_prefix(&self) -> bool {
        self.local > self.start
    }

    pub(super) fn local<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(self.local..self.end).unwrap_or_default()
    }

    /// The prefix that an attribute of this name declares, none being the default namespace.
    #[inline(always)]
    pub(super) fn declares<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        // Few names begin like this one.
        bytes.get(self.start).filter(|first| **first == b'x')?;
        match bytes.get(self.range())? {
            b"xmlns" => Some(b""),
            [b'x', b'm', b'l', b'n', b's', b':', prefix @ ..] => Some(prefix),
            _ => None,
        }
    }

    /// The whole of it.
    pub(super) fn range(&self) -> Range<usize> {
        self.start..self.end
    }

    /// Both of its parts are no longer than the limit.
    pub(super) fn bound(&self, limits: &Limits) -> Result<(), Fault> {
        if self.end.saturating_sub(self.start) <= limits.name {
            return Ok(());
        }
        let local = self.end.saturating_sub(self.local);
        let prefix = self.local.saturating_sub(self.start).saturating_sub(1);
        bound(local.max(prefix), limits.name, Limit::Name)
    }
}

/// `NCName`: for all that is not ASCII, what rxml takes for one, which knows the ranges.
fn check_part(part: &[u8]) -> Result<(), Fault> {
    if !part.is_ascii() {
        let part = core::str::from_utf8(part).map_err(|_| Fault::Utf8)?;
        return match <&NcNameStr>::try_from(part) {
            Ok(_) => Ok(()),
            Err(_) if part.contains(':') => Err(Fault::Name),
            Err(_) => Err(Fault::Forbidden),
        };
    }
    match part.first() {
        Some(first) if class::is(*first, class::NAME_START) => {}
        None | Some(b':') => return Err(Fault::Name),
        Some(_) => return Err(Fault::Forbidden),
    }
    if part.contains(&b':') {
        return Err(Fault::Name);
    }
    Ok(())
}
