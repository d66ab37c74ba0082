//! A session that outlives its connection: a value to store anywhere and give back.

use bytes::Bytes;
use onetrip_stream::stored::{Load, Store, StoredError};

use crate::{AckPolicy, Count, Ledger, QueueLimits};

const MAGIC: [u8; 4] = *b"OTSM";
const VERSION: u8 = 1;

/// What it takes to go on where a connection was cut.
///
/// ```
/// # use onetrip_stream_management::{Count, Session};
/// let session = Session::new("s1", "juliet@capulet.lit", Count::new(3), Count::new(5), vec!["<message/>".into()]);
/// assert_eq!(Session::from_bytes(&session.to_bytes()), Ok(session));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Session {
    /// The name that the server gave it.
    pub id: String,
    /// Whose it is: resumed by nobody else (XEP-0198 §5).
    pub owner: String,
    /// How many of our stanzas the peer has acknowledged.
    pub acked: Count,
    /// How many of the peer's stanzas the application has handled.
    pub handled: Count,
    /// Our stanzas that are not acknowledged, in order.
    pub unacked: Vec<Bytes>,
    /// The handle of the first of them: handles stay what they were across a resumption.
    pub first: u64,
}

impl Session {
    /// A session as it stood when its connection ended.
    #[must_use]
    pub fn new(id: &str, owner: &str, acked: Count, handled: Count, unacked: Vec<Bytes>) -> Self {
        Self {
            id: id.to_owned(),
            owner: owner.to_owned(),
            acked,
            handled,
            unacked,
            first: 0,
        }
    }

    /// A stanza that is to be sent while nobody is connected: it goes out behind the others on resumption. The caller
    /// bounds how many there may be.
    pub fn push(&mut self, bytes: Bytes) {
        self.unacked.push(bytes);
    }

    pub(crate) fn of(id: &str, owner: &str, ledger: &Ledger) -> Self {
        let unacked = ledger
            .queue()
            .iter()
            .map(|entry| entry.bytes.clone())
            .collect();
        let session = Self::new(id, owner, ledger.queue().acked(), ledger.h(), unacked);
        Self {
            first: ledger.first_handle(),
            ..session
        }
    }

    pub(crate) fn ledger(&self, limits: QueueLimits, policy: AckPolicy) -> Ledger {
        let mut ledger = Ledger::beginning_at(limits, policy, self.acked, self.handled);
        ledger.restore(self.first, self.unacked.clone());
        ledger
    }

    /// The versioned encoding.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Store::new(MAGIC, VERSION);
        out.text(&self.id);
        out.text(&self.owner);
        out.number(self.acked.value().into());
        out.number(self.handled.value().into());
        out.number(self.first);
        out.number(self.unacked.len() as u64);
        for bytes in &self.unacked {
            out.text(&String::from_utf8_lossy(bytes));
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
        let (id, owner) = (from.text()?, from.text()?);
        let mut count = || {
            u32::try_from(from.number()?)
                .map(Count::new)
                .map_err(|_| StoredError::Foreign)
        };
        let (acked, handled) = (count()?, count()?);
        let first = from.number()?;
        let unacked = (0..from.count()?)
            .map(|_| from.text().map(Bytes::from))
            .collect::<Result<Vec<_>, _>>()?;
        from.finish()?;
        Ok(Self {
            id,
            owner,
            acked,
            handled,
            unacked,
            first,
        })
    }
}
