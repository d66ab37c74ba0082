//! A store of keys in memory: what is proved and never shown, for the second and the third text.

use core::time::Duration;
use std::collections::BTreeMap;

use bytes::Bytes;
use minidom::Element;
use onetrip_stream::stored::{Load, Store, StoredError};
use onetrip_stream::{Instant, Jid, ResponderProof, Token, TokenProof};

use crate::{Location, Refused, Rotation, sasl2, wire};

const MAGIC: [u8; 4] = *b"OTIK";
const VERSION: u8 = 1;

/// A key as it is handed out with a session, to be kept for it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyGrant {
    /// The key.
    pub key: Token,
    /// The only SASL mechanism that it is good for; `None` for the request of the second text.
    pub mechanism: Option<String>,
}

impl KeyGrant {
    /// A key for this mechanism, or for the second text.
    #[must_use]
    pub fn new(key: Token, mechanism: Option<&str>) -> Self {
        Self {
            key,
            mechanism: mechanism.map(str::to_owned),
        }
    }

    /// Adds it to `<enabled/>`, in the way of its text.
    #[must_use]
    pub fn add_to(&self, enabled: Element, location: Option<&Location>) -> Element {
        match self.mechanism {
            Some(_) => sasl2::grant(enabled, &self.key, location),
            None => wire::grant_key(enabled, &self.key, location),
        }
    }
}

/// What whoever wants to resume has proved.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyClaim {
    /// The session.
    pub session: String,
    /// The SASL mechanism that carried the proof; `None` for the request of the second text, which carries its own.
    pub mechanism: Option<String>,
    /// The proof.
    pub proof: TokenProof,
}

/// One step for whatever keeps the keys, done whole or not at all: find the session, check its owner, its mechanism, its
/// time and the proof, and put the fresh key in the place of the old one. [`Keys::swap`] is such a step.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeySwap {
    /// What the peer has proved.
    pub claim: KeyClaim,
    /// The key that it will get if the claim is good.
    pub fresh: Token,
    /// How many stanzas it has handled: for stream management, which must check it (ISR-18, ISR-28).
    pub h: u32,
}

impl KeySwap {
    pub(crate) fn new(claim: KeyClaim, fresh: Token, h: u32) -> Self {
        Self { claim, fresh, h }
    }
}

/// What is kept of one session.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    /// Without a resource.
    account: Jid,
    mechanism: Option<String>,
    current: Token,
    /// The one before, while it is not known whether the peer has the current one.
    previous: Option<Token>,
    expires: Instant,
}

impl Record {
    /// What answers a proof. Both keys are tried, whichever it is.
    fn check(&self, proof: &TokenProof) -> Option<ResponderProof> {
        let current = proof.check(&self.current);
        let previous = self.previous.as_ref().and_then(|key| proof.check(key));
        current.or(previous)
    }

    fn holds(&self, key: &Token) -> bool {
        self.current == *key || self.previous.as_ref() == Some(key)
    }
}

/// Which key stands for which session. It holds the keys as they are, since a proof cannot be checked by a hash: keep its
/// encoding as you would passwords. For tokens that are shown, [`Tokens`](crate::Tokens) needs hashes alone.
///
/// See [`LoginReceiver`](crate::LoginReceiver) for a swap.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Keys {
    rotation: Rotation,
    /// By the name of the session.
    records: BTreeMap<String, Record>,
}

impl Keys {
    /// An empty store.
    #[must_use]
    pub fn new(rotation: Rotation) -> Self {
        Self {
            rotation,
            ..Self::default()
        }
    }

    /// How many sessions have a key.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether no session has one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// A key was granted for a session, in place of any earlier one of it.
    ///
    /// `until` is no later than the session can be resumed (ISR-29), as in [`Tokens::issue`](crate::Tokens::issue).
    pub fn issue(&mut self, grant: &KeyGrant, account: &Jid, session: &str, until: Instant) {
        let record = Record {
            account: account.to_bare(),
            mechanism: grant.mechanism.clone(),
            current: grant.key.clone(),
            previous: None,
            expires: until,
        };
        self.records.insert(session.to_owned(), record);
    }

    /// Checks a claim and replaces its key, both or neither (ISR-24), and returns what proves the server.
    ///
    /// `account` is whom the stream header or the mechanism names. Another's session is not touched by naming it; one's own
    /// loses its key by a wrong proof, so that nobody guesses twice (XEP-0397 §4.2).
    ///
    /// # Errors
    /// [`Refused`], for the log; after [`Refused::Proof`] the session itself has to end, too.
    pub fn swap(
        &mut self,
        swap: &KeySwap,
        account: Option<&Jid>,
        now: Instant,
    ) -> Result<ResponderProof, Refused> {
        let KeyClaim {
            session,
            mechanism,
            proof,
        } = &swap.claim;
        let record = self.records.get(session).ok_or(Refused::Unknown)?;
        if !account.is_some_and(|account| account.same_bare(&record.account)) {
            return Err(Refused::Account);
        }
        let mut record = self.records.remove(session).ok_or(Refused::Unknown)?;
        // From here on the key comes back only by the last line.
        let session = session.clone();
        let good = record
            .check(proof)
            .filter(|_| *mechanism == record.mechanism);
        let Some(answer) = good else {
            return Err(Refused::Proof { session });
        };
        if now >= record.expires {
            return Err(Refused::Expired { session });
        }
        if record.holds(&swap.fresh) {
            self.records.insert(session, record);
            return Err(Refused::NotFresh);
        }
        record.previous = match self.rotation {
            Rotation::SingleUse => None,
            // The one that was used, so that it can be used again.
            Rotation::GraceUntilConfirmed => match proof.check(&record.current) {
                Some(_) => Some(record.current),
                None => record.previous,
            },
        };
        record.current = swap.fresh.clone();
        self.records.insert(session, record);
        Ok(answer)
    }

    /// The peer has shown that it has the new key: the previous one dies ([`Rotation::GraceUntilConfirmed`]).
    pub fn confirm(&mut self, session: &str) {
        if let Some(record) = self.records.get_mut(session) {
            record.previous = None;
        }
    }

    /// A session has ended, as by a clean close.
    pub fn revoke_session(&mut self, session: &str) {
        self.records.remove(session);
    }

    /// All keys of an account die, as when its password is changed.
    pub fn revoke_account(&mut self, account: &Jid) {
        self.records
            .retain(|_, record| !record.account.same_bare(account));
    }

    /// Sets the end of a key's life, as when the connection of its session is cut; it may be sooner, too. One that is gone
    /// does not come back.
    pub fn prolong(&mut self, session: &str, until: Instant) {
        if let Some(record) = self.records.get_mut(session) {
            record.expires = until;
        }
    }

    /// Forgets what has expired.
    pub fn expire(&mut self, now: Instant) {
        self.records.retain(|_, record| now < record.expires);
    }

    /// The versioned encoding. Its instants are of the caller's clock, which must go on where it was.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Store::new(MAGIC, VERSION);
        out.flag(self.rotation == Rotation::GraceUntilConfirmed);
        out.number(self.records.len() as u64);
        for (session, record) in &self.records {
            out.text(session);
            out.text(&record.account.to_string());
            out.option(record.mechanism.as_deref());
            out.text(record.current.expose());
            out.option(record.previous.as_ref().map(Token::expose));
            let expires = record.expires.since_epoch();
            out.number(expires.as_secs());
            out.number(expires.subsec_nanos().into());
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
        let mut keys = Self::new(if from.flag()? {
            Rotation::GraceUntilConfirmed
        } else {
            Rotation::SingleUse
        });
        for _ in 0..from.count()? {
            let session = from.text()?;
            if keys.records.insert(session, load(&mut from)?).is_some() {
                return Err(StoredError::Foreign);
            }
        }
        from.finish()?;
        Ok(keys)
    }
}

fn load(from: &mut Load<'_>) -> Result<Record, StoredError> {
    let account: Jid = from.text()?.parse().map_err(|_| StoredError::Foreign)?;
    let mechanism = from.option()?;
    let key = |text: String| Token::read(&text).ok_or(StoredError::Foreign);
    let current = key(from.text()?)?;
    let previous = from.option()?.map(key).transpose()?;
    let seconds = from.number()?;
    let nanos = u32::try_from(from.number()?)
        .ok()
        .filter(|nanos| *nanos < 1_000_000_000)
        .ok_or(StoredError::Foreign)?;
    Ok(Record {
        account: account.to_bare(),
        mechanism,
        current,
        previous,
        expires: Instant::from_epoch(Duration::new(seconds, nanos)),
    })
}
