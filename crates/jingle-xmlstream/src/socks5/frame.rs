//! How long a message is, known as soon as its bytes say so, and never a byte more taken than that.

use super::Error;

/// The most a message can be: a request to a name of 255 bytes.
const MAX: usize = 262;

/// A message that is not complete yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Partial(Vec<u8>);

impl Partial {
    /// Takes what `length` says is still missing; the message when it is complete. `bytes` is left at what follows.
    ///
    /// `length` sees what there is and says how much there must be at least; it is asked again when there is that much.
    pub(crate) fn take(
        &mut self,
        bytes: &mut &[u8],
        length: impl Fn(&[u8]) -> Result<usize, Error>,
    ) -> Result<Option<Vec<u8>>, Error> {
        loop {
            let wanted = length(&self.0)?.min(MAX);
            let missing = wanted.saturating_sub(self.0.len());
            if missing == 0 {
                return Ok(Some(core::mem::take(&mut self.0)));
            }
            let (taken, rest) = bytes.split_at(missing.min(bytes.len()));
            if taken.is_empty() {
                return Ok(None);
            }
            self.0.extend_from_slice(taken);
            *bytes = rest;
        }
    }
}

/// The client's greeting: version, how many methods, the methods.
pub(crate) fn greeting(message: &[u8]) -> Result<usize, Error> {
    match message {
        [version, ..] if *version != 5 => Err(Error::Version(*version)),
        [_, methods, ..] => Ok(usize::from(*methods).saturating_add(2)),
        _ => Ok(2),
    }
}

/// The streamhost's choice: version, method.
pub(crate) fn choice(message: &[u8]) -> Result<usize, Error> {
    match message {
        [version, ..] if *version != 5 => Err(Error::Version(*version)),
        _ => Ok(2),
    }
}

/// A request or reply: version, command or reply, a reserved octet, and an address by its type (RFC 1928 §4 to §6).
pub(crate) fn addressed(message: &[u8]) -> Result<usize, Error> {
    match message {
        [version, ..] if *version != 5 => Err(Error::Version(*version)),
        [_, _, _, 1, _, ..] => Ok(10),
        [_, _, _, 3, name, ..] => Ok(usize::from(*name).saturating_add(7)),
        [_, _, _, 4, _, ..] => Ok(22),
        [_, _, _, kind, ..] => match kind {
            1 | 3 | 4 => Ok(5),
            _ => Err(Error::AddressType(*kind)),
        },
        _ => Ok(4),
    }
}

/// The name in a request or reply with an address of type 3.
pub(crate) fn name(message: &[u8]) -> Option<&str> {
    let name = message.get(5..message.len().checked_sub(2)?)?;
    core::str::from_utf8(name).ok()
}

/// A request or reply with a destination for its name and port 0.
pub(crate) fn write(code: u8, name: &str) -> Vec<u8> {
    let mut message = vec![5, code, 0, 3, u8::try_from(name.len()).unwrap_or(0)];
    message.extend_from_slice(name.as_bytes());
    message.extend_from_slice(&[0, 0]);
    message
}
