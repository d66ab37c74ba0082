//! What a client keeps between connections: two slots, so that a lost answer costs nothing.

use bytes::Bytes;
use onetrip_stream::Token;
use onetrip_stream::stored::{Load, Store, StoredError};

use crate::DateTime;
use crate::element::{MAX_COUNT, is_unbound};

const MAGIC: [u8; 4] = *b"OTFW";
const VERSION: u8 = 1;

/// A token, and what it was handed out for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ticket {
    /// The secret.
    pub token: Token,
    /// The only mechanism that it is good for.
    pub mechanism: String,
    /// When it ends.
    pub expiry: DateTime,
    /// How often it was tried.
    pub count: u32,
}

impl Ticket {
    /// A token that was never tried.
    #[must_use]
    pub fn new(token: Token, mechanism: &str, expiry: DateTime) -> Self {
        Self {
            token,
            mechanism: mechanism.to_owned(),
            expiry,
            count: 0,
        }
    }

    fn is_good(&self, now: DateTime) -> bool {
        now < self.expiry && self.count < MAX_COUNT
    }
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    New,
    Current,
}

/// The tokens of one account at one client. It holds them as they are: keep it as you would a password, and in no backup
/// (XEP-0484 §4.1).
///
/// ```
/// # use onetrip_fast::{DateTime, Ticket, Wallet};
/// # use onetrip_stream::Token;
/// let expiry = DateTime::from_unix_seconds(2_000_000_000);
/// let mut wallet = Wallet::default();
/// wallet.put(Ticket::new(Token::read("t0ken").unwrap(), "HT-SHA-256-NONE", expiry));
/// assert_eq!(Wallet::from_bytes(&wallet.to_bytes()), Ok(wallet));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wallet {
    new: Option<Ticket>,
    current: Option<Ticket>,
    /// Whether the server was last seen to take tokens as early data.
    early: bool,
}

impl Wallet {
    /// Whether there is a token that is worth trying.
    #[must_use]
    pub fn is_empty(&self, now: DateTime) -> bool {
        self.slot(now).is_none()
    }

    /// The token that would be tried next: the newer one first.
    #[must_use]
    pub fn next(&self, now: DateTime) -> Option<&Ticket> {
        self.get(self.slot(now)?)
    }

    /// Puts a token into the new slot, in the place of one that was never used.
    pub fn put(&mut self, ticket: Ticket) {
        self.new = Some(ticket);
    }

    /// Whether the server takes tokens as early data: told from its features, each time they are seen.
    pub fn set_early(&mut self, early: bool) {
        self.early = early;
    }

    /// Whether the server was last seen to take tokens as early data.
    #[must_use]
    pub fn takes_early(&self) -> bool {
        self.early
    }

    /// Whether the token that would be tried next may go as early data: one that binds to no channel, since what there is
    /// to bind to, the server's certificate included, is known only when it has answered.
    #[must_use]
    pub fn may_go_early(&self, now: DateTime) -> bool {
        let next = self.next(now);
        self.early && next.is_some_and(|ticket| is_unbound(&ticket.mechanism))
    }

    pub(crate) fn slot(&self, now: DateTime) -> Option<Slot> {
        [Slot::New, Slot::Current]
            .into_iter()
            .find(|slot| self.get(*slot).is_some_and(|ticket| ticket.is_good(now)))
    }

    fn get(&self, slot: Slot) -> Option<&Ticket> {
        match slot {
            Slot::New => self.new.as_ref(),
            Slot::Current => self.current.as_ref(),
        }
    }

    /// Counts an attempt, and yields what it is made with.
    pub(crate) fn count(&mut self, slot: Slot) -> Option<Ticket> {
        let ticket = match slot {
            Slot::New => self.new.as_mut(),
            Slot::Current => self.current.as_mut(),
        }?;
        ticket.count = ticket.count.saturating_add(1);
        Some(ticket.clone())
    }

    /// The server has accepted it: a new one takes the place of the current one.
    pub(crate) fn used(&mut self, slot: Slot) {
        if slot == Slot::New {
            self.current = self.new.take();
        }
    }

    /// The server does not know it, or no more.
    pub(crate) fn forget(&mut self, slot: Slot) {
        match slot {
            Slot::New => self.new = None,
            Slot::Current => self.current = None,
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.new = None;
        self.current = None;
    }

    /// The versioned encoding.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Store::new(MAGIC, VERSION);
        out.flag(self.early);
        for ticket in [&self.new, &self.current] {
            out.flag(ticket.is_some());
            if let Some(ticket) = ticket {
                out.text(ticket.token.expose());
                out.text(&ticket.mechanism);
                out.number(ticket.expiry.unix_seconds());
                out.number(ticket.count.into());
            }
        }
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
        let early = from.flag()?;
        let wallet = Self {
            new: load(&mut from)?,
            current: load(&mut from)?,
            early,
        };
        from.finish()?;
        Ok(wallet)
    }
}

fn load(from: &mut Load<'_>) -> Result<Option<Ticket>, StoredError> {
    if !from.flag()? {
        return Ok(None);
    }
    let token = Token::read(&from.text()?).ok_or(StoredError::Foreign)?;
    let mechanism = from.text()?;
    let seconds = from.number()?;
    let expiry = DateTime::from_unix_seconds(seconds);
    let count = u32::try_from(from.number()?).map_err(|_| StoredError::Foreign)?;
    if expiry.unix_seconds() != seconds || count > MAX_COUNT {
        return Err(StoredError::Foreign);
    }
    Ok(Some(Ticket {
        token,
        mechanism,
        expiry,
        count,
    }))
}
