//! A session that outlives its connection: a value to store anywhere and give back.

use bytes::Bytes;
use onetrip_stream::Jid;
use onetrip_stream::stored::{Load, Store, StoredError};

use crate::{Config, Count, Entry, Granted, Handle, Ledger};

const MAGIC: [u8; 4] = *b"OTSM";
const VERSION: u8 = 1;

/// What it takes to go on where a connection was cut.
///
/// What had arrived and was not said to be handled is not in it: the peer sends it again, so whoever still holds such
/// a stanza drops it.
///
/// ```
/// # use onetrip_stream_management::{Count, Session};
/// let owner = "juliet@capulet.lit/balcony".parse().unwrap();
/// let session = Session::new("s1", &owner, Count::new(3), Count::new(5), vec!["<message/>".into()]);
/// assert_eq!(Session::from_bytes(&session.to_bytes()), Ok(session));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Session {
    /// The name that the granting end gave it.
    pub id: String,
    /// Whose it is, resource and all: resumed by nobody else (XEP-0198 §5).
    pub owner: Jid,
    /// For how many seconds it may be resumed behind the end of a connection, if that was said.
    pub max: Option<u32>,
    /// Where to reconnect, if the granting end prefers a place (XEP-0198 §5).
    pub location: Option<String>,
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
    pub fn new(id: &str, owner: &Jid, acked: Count, handled: Count, unacked: Vec<Bytes>) -> Self {
        Self {
            id: id.to_owned(),
            owner: owner.clone(),
            max: None,
            location: None,
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

    /// How many bytes of stanzas it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.unacked
            .iter()
            .fold(0, |sum, bytes| sum.saturating_add(bytes.len()))
    }

    /// Its stanzas, with the handles they had: for a session that will not be resumed.
    #[must_use]
    pub fn into_entries(self) -> Vec<Entry> {
        let first = self.first;
        (0_u64..)
            .zip(self.unacked)
            .map(|(place, bytes)| Entry {
                handle: Handle(first.wrapping_add(place)),
                bytes,
            })
            .collect()
    }

    pub(crate) fn granted(&self) -> Granted {
        Granted {
            id: Some(self.id.clone()),
            max: self.max,
            location: self.location.clone(),
        }
    }

    pub(crate) fn of(granted: Granted, owner: &Jid, ledger: &Ledger) -> Self {
        Self {
            id: granted.id.unwrap_or_default(),
            owner: owner.clone(),
            max: granted.max,
            location: granted.location,
            acked: ledger.queue().acked(),
            handled: ledger.h(),
            unacked: ledger.queue().iter().cloned().collect(),
            first: ledger.first_handle(),
        }
    }

    /// The books to go on with, and what there is no room for in them.
    pub(crate) fn ledger(&self, config: Config) -> (Ledger, Vec<Entry>) {
        let mut ledger =
            Ledger::beginning_at(config.limits, config.policy, self.acked, self.handled);
        let dropped = ledger.restore(config.limits, self.first, &self.unacked);
        (ledger, dropped)
    }

    /// The versioned encoding.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Store::new(MAGIC, VERSION);
        out.text(&self.id);
        out.text(&self.owner.to_string());
        out.option(self.max.map(|max| max.to_string()).as_deref());
        out.option(self.location.as_deref());
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
        let id = from.text()?;
        let owner = from.text()?.parse().map_err(|_| StoredError::Foreign)?;
        let max = from
            .option()?
            .map(|max| max.parse().map_err(|_| StoredError::Foreign))
            .transpose()?;
        let location = from.option()?;
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
            max,
            location,
            acked,
            handled,
            unacked,
            first,
        })
    }
}
