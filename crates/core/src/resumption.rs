//! What a client keeps of a connection that was cut: the session, and the token that brings it back.

use bytes::Bytes;
use onetrip_isr::Ticket;
use onetrip_stream::stored::{Load, Store, StoredError};
use onetrip_stream_management::Session;

const MAGIC: [u8; 4] = *b"OTRS";
const VERSION: u8 = 1;

/// How often a request to resume may go unanswered before what it was made with is no longer believed in.
const MAX_LOST: u8 = 4;
/// How often for a token: it may have been used up by an answer that was lost (ISR-R3).
const MAX_LOST_TICKETS: u8 = 2;

/// What it takes to go on where a connection was cut: a value to store anywhere and give back.
///
/// It is in one place only: here, or with the connection that was made with it.
///
/// ```
/// # use onetrip_core::Resumption;
/// # use onetrip_core::stream_management::{Count, Session};
/// let owner = "juliet@capulet.lit/balcony".parse().unwrap();
/// let session = Session::new("s1", &owner, Count::new(3), Count::new(5), vec!["<message/>".into()]);
/// let resumption = Resumption::new(session);
/// assert_eq!(Resumption::from_bytes(&resumption.to_bytes()), Ok(resumption));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resumption {
    /// The session (XEP-0198).
    pub session: Session,
    /// The token that resumes it without a login, if the server gave one (ISR-06).
    pub ticket: Option<Ticket>,
    /// How many connections in a row ended with the request unanswered.
    pub(crate) lost: u8,
}

impl Resumption {
    /// A session without a token.
    #[must_use]
    pub fn new(session: Session) -> Self {
        Self {
            session,
            ticket: None,
            lost: 0,
        }
    }

    /// The same with a token.
    #[must_use]
    pub fn with_ticket(mut self, ticket: Ticket) -> Self {
        self.ticket = Some(ticket);
        self
    }

    /// The request to resume was not answered before the connection ended. `false` when that happened too often: a
    /// server that closes at such a request would be met again and again.
    pub(crate) fn outlives_silence(&mut self) -> bool {
        self.lost = self.lost.saturating_add(1);
        if self.lost >= MAX_LOST_TICKETS {
            self.ticket = None;
        }
        self.lost < MAX_LOST
    }

    /// The versioned encoding. It holds the token: keep it as you keep a password.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Store::new(MAGIC, VERSION);
        out.bytes(&self.session.to_bytes());
        out.flag(self.ticket.is_some());
        if let Some(ticket) = &self.ticket {
            out.bytes(&ticket.to_bytes());
        }
        out.number(self.lost.into());
        out.finish()
    }

    /// Reads the encoding back.
    ///
    /// # Errors
    /// [`StoredError`] when the bytes are of another kind or version, or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StoredError> {
        let mut from = Load::new(MAGIC, bytes)?;
        if from.version() != VERSION {
            return Err(StoredError::Version(from.version()));
        }
        let session = Session::from_bytes(from.bytes()?)?;
        let ticket = if from.flag()? {
            Some(Ticket::from_bytes(from.bytes()?)?)
        } else {
            None
        };
        let lost = u8::try_from(from.number()?).map_err(|_| StoredError::Foreign)?;
        from.finish()?;
        Ok(Self {
            session,
            ticket,
            lost,
        })
    }
}
