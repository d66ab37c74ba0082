//! What a client keeps between connections, besides its session.

use bytes::Bytes;
use onetrip_stream::stored::{Load, Store, StoredError};

use crate::{Dialect, Location, Token};

const MAGIC: [u8; 4] = *b"OTIT";
/// In version 1 there was the first text alone.
const VERSION: u8 = 2;
/// How the dialects are written.
const SEED: u64 = 1;
const HMAC: u64 = 2;
const SASL2: u64 = 3;

/// A right to resume one session, once: a value to keep beside the session it belongs to (ISR-06).
///
/// ```
/// # use onetrip_isr::{Location, Ticket, Token};
/// let ticket = Ticket::new(Token::read("a0b9162d").unwrap(), Location::parse("isr.example.org:443", 5223));
/// assert_eq!(Ticket::from_bytes(&ticket.to_bytes()), Ok(ticket));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ticket {
    /// What is to be shown, or proved.
    pub token: Token,
    /// In which text's way.
    pub dialect: Dialect,
    /// Where the server would have it; TLS begins with the first byte there (ISR-08).
    pub location: Option<Location>,
}

impl Ticket {
    /// A ticket of the first text.
    #[must_use]
    pub fn new(token: Token, location: Option<Location>) -> Self {
        Self {
            token,
            dialect: Dialect::Seed,
            location,
        }
    }

    /// A ticket of another text.
    #[must_use]
    pub fn of(dialect: Dialect, key: Token, location: Option<Location>) -> Self {
        Self {
            token: key,
            dialect,
            location,
        }
    }

    /// The versioned encoding. It holds the token as it is: keep it as you would a password.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Store::new(MAGIC, VERSION);
        match &self.dialect {
            Dialect::Seed => out.number(SEED),
            Dialect::Hmac { session } => {
                out.number(HMAC);
                out.text(session);
            }
            Dialect::Sasl2 { session, mechanism } => {
                out.number(SASL2);
                out.text(session);
                out.text(mechanism);
            }
        }
        out.text(self.token.expose());
        out.option(self.location.as_ref().map(ToString::to_string).as_deref());
        out.finish()
    }

    /// Reads the encoding back.
    ///
    /// # Errors
    /// [`StoredError`] when the bytes are of another kind or version, or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StoredError> {
        let mut from = Load::new(MAGIC, bytes)?;
        if !(1..=VERSION).contains(&from.version()) {
            return Err(StoredError::Version(from.version()));
        }
        let dialect = match (from.version(), from.number()?) {
            (_, SEED) => Dialect::Seed,
            (VERSION, HMAC) => Dialect::Hmac {
                session: from.text()?,
            },
            (VERSION, SASL2) => Dialect::Sasl2 {
                session: from.text()?,
                mechanism: from.text()?,
            },
            _ => return Err(StoredError::Foreign),
        };
        let token = Token::read(&from.text()?).ok_or(StoredError::Foreign)?;
        let location = match from.option()? {
            // A port is always written, so the default is never one to connect to.
            Some(text) => Location::parse(&text, 0)
                .filter(|location| location.port != 0)
                .map(Some)
                .ok_or(StoredError::Foreign)?,
            None => None,
        };
        from.finish()?;
        Ok(Self {
            token,
            dialect,
            location,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(location: Option<&str>) -> Ticket {
        let location = location.and_then(|text| Location::parse(text, 1));
        Ticket::new(Token::read("t0ken").unwrap(), location)
    }

    #[test]
    fn a_ticket_comes_back_from_its_bytes_and_from_no_others() {
        for location in [None, Some("h:5223"), Some("[::1]:443")] {
            let ticket = ticket(location);
            let bytes = ticket.to_bytes();
            assert_eq!(Ticket::from_bytes(&bytes), Ok(ticket));
            for cut in 0..bytes.len() {
                assert!(Ticket::from_bytes(&bytes[..cut]).is_err());
            }
            let longer = [&bytes[..], b"\0"].concat();
            assert_eq!(
                Ticket::from_bytes(&longer),
                Err(StoredError::Damaged(bytes.len()))
            );
        }
        for version in [0, 3] {
            assert_eq!(
                Ticket::from_bytes(&[b"OTIT", &[version][..]].concat()),
                Err(StoredError::Version(version))
            );
        }
        assert_eq!(Ticket::from_bytes(b"OTSM\x01"), Err(StoredError::Foreign));
    }

    #[test]
    fn tickets_of_every_text_come_back_and_version_1_is_still_read() {
        let session = || "s1".to_owned();
        let mechanism = "HT-SHA-256-ENDP".to_owned();
        for dialect in [
            Dialect::Hmac { session: session() },
            Dialect::Sasl2 {
                session: session(),
                mechanism,
            },
        ] {
            let ticket = Ticket::of(dialect, Token::read("k3y").unwrap(), None);
            let bytes = ticket.to_bytes();
            let mut older = bytes.to_vec();
            older[4] = 1;
            assert_eq!(Ticket::from_bytes(&older), Err(StoredError::Foreign));
            for cut in 0..bytes.len() {
                assert!(Ticket::from_bytes(&bytes[..cut]).is_err());
            }
            assert_eq!(Ticket::from_bytes(&bytes), Ok(ticket));
        }
        let mut older = ticket(Some("h:1")).to_bytes().to_vec();
        older[4] = 1;
        assert_eq!(Ticket::from_bytes(&older), Ok(ticket(Some("h:1"))));
    }

    #[test]
    fn what_no_ticket_of_ours_holds_is_foreign() {
        let encoded = |dialect: u64, token: &str, location: Option<&str>| {
            let mut out = Store::new(MAGIC, VERSION);
            out.number(dialect);
            out.text(token);
            out.option(location);
            Ticket::from_bytes(&out.finish())
        };
        assert!(encoded(SEED, "t", Some("h:1")).is_ok());
        assert_eq!(encoded(4, "t", None), Err(StoredError::Foreign));
        assert_eq!(encoded(SEED, "", None), Err(StoredError::Foreign));
        assert_eq!(encoded(SEED, "t", Some("h:0")), Err(StoredError::Foreign));
        assert_eq!(encoded(SEED, "t", Some("h")), Err(StoredError::Foreign));
    }

    #[test]
    fn a_ticket_hides_its_token() {
        let shown = format!("{:?}", ticket(Some("h:1")));
        assert!(shown.contains("[hidden]") && !shown.contains("t0ken"));
    }
}
