//! A store of tokens in memory: plain values, for one process. A cluster puts its own behind the same request.

use std::collections::BTreeMap;

use bytes::Bytes;
use onetrip_stream::stored::{Load, Store, StoredError};
use onetrip_stream::{Instant, Jid};

use crate::record::Record;
use crate::{Claim, TokenHash};

const MAGIC: [u8; 4] = *b"OTIS";
const VERSION: u8 = 1;

/// When a token that was used dies (ISR-R3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Rotation {
    /// At once (ISR-24). When the answer is lost with the connection, the client has to authenticate.
    #[default]
    SingleUse,
    /// When the peer is [confirmed](Tokens::confirm) to have the new one: when anything arrives on the resumed stream.
    /// Until then it can be used again, by whoever has it.
    GraceUntilConfirmed,
}

/// Why a claim was not accepted: for the log. The peer is told the same for all, so that it learns nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// No such token: never issued, used, revoked, or forgotten.
    #[error("expected a token that was handed out and not used up, got another")]
    Unknown,
    /// The account is not the token's or was not named: the token is in wrong hands, and is dead now (ISR-27).
    #[error("expected a token of this account, got another's, which is revoked by that")]
    Account,
    /// Too late; the token is dead now (ISR-29).
    #[error("expected a token that is still good, got one that has expired")]
    Expired {
        /// Its session: if that is still remembered, the refusal may say how much of it was handled (ISR-21).
        session: String,
    },
    /// The session was named and its key not proved, or by another mechanism: the key is dead now, and the session must
    /// end, too (XEP-0397 §4.2, ISR-R6).
    #[error("expected a proof of the session's key, got a wrong one, by which the key is revoked")]
    Proof {
        /// The session.
        session: String,
    },
    /// The token that was to replace it is known already, so it is not random. Nothing has changed.
    #[error("expected a fresh token in the place of the old, got one that is known already")]
    NotFresh,
}

impl Refused {
    /// The stanza error for [`Receiver::refuse`](crate::Receiver::refuse).
    #[must_use]
    pub fn condition(&self) -> &'static str {
        match self {
            Self::Unknown | Self::Account | Self::Expired { .. } | Self::Proof { .. } => {
                "item-not-found"
            }
            Self::NotFresh => "internal-server-error",
        }
    }
}

/// Which token stands for which session: hashes only, so nobody who reads the store can resume anything.
///
/// It holds one record for each session that was issued a token, and forgets it by [`Tokens::expire`] and the
/// `revoke` methods; how many sessions there may be is the caller's to bound.
///
/// ```
/// # use onetrip_isr::{Claim, Refused, Token, Tokens};
/// # use onetrip_stream::{Instant, Jid};
/// let juliet: Jid = "juliet@capulet.lit".parse().unwrap();
/// let [old, new] = ["old", "new"].map(|text| Token::read(text).unwrap().hash());
/// let now = Instant::from_millis(0);
/// let mut tokens = Tokens::default();
/// tokens.issue(old, &juliet, "s1", Instant::from_millis(300_000));
/// assert_eq!(tokens.swap(&Claim::Token(old), new, Some(&juliet), now), Ok("s1".to_owned()));
/// assert_eq!(tokens.swap(&Claim::Token(old), new, Some(&juliet), now), Err(Refused::Unknown));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tokens {
    rotation: Rotation,
    /// By the id of the session.
    records: BTreeMap<String, Record>,
    /// The session of every hash that is good for one.
    ///
    /// That the walk through this map takes longer the more a hash has in common with a stored one is no leak: what
    /// is compared is the SHA-256 of the guess against the SHA-256 of a secret, and knowing some bits of the latter
    /// brings nobody nearer to a token that has them (ISR-25). The last word is a comparison in constant time.
    index: BTreeMap<[u8; 32], String>,
}

impl Tokens {
    /// An empty store.
    #[must_use]
    pub fn new(rotation: Rotation) -> Self {
        Self {
            rotation,
            ..Self::default()
        }
    }

    /// How many sessions have a token.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether no session has one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// A token was granted for a session, in place of any earlier one of it.
    ///
    /// `until` is no later than the session can be resumed (ISR-29). While its connection is up that is not known
    /// yet: the end of time will do, `Instant::from_epoch(Duration::MAX)`, and [`Tokens::prolong`] when it is cut.
    pub fn issue(&mut self, hash: TokenHash, account: &Jid, session: &str, until: Instant) {
        // Two sessions with one token would be one too many; random ones never meet.
        self.revoke(&Claim::Token(hash));
        self.revoke_session(session);
        let record = Record {
            account: account.to_bare(),
            current: hash,
            previous: None,
            expires: until,
        };
        self.insert(session.to_owned(), record);
    }

    /// Finds the session of a claim and replaces its token, both or neither (ISR-24).
    ///
    /// `account` is the `from` of the stream header, its resource being of no account. Without one, or with another's,
    /// the token dies (ISR-27).
    ///
    /// # Errors
    /// [`Refused`], for the log.
    pub fn swap(
        &mut self,
        claim: &Claim,
        fresh: TokenHash,
        account: Option<&Jid>,
        now: Instant,
    ) -> Result<String, Refused> {
        let Claim::Token(shown) = claim;
        let session = self.find(shown).ok_or(Refused::Unknown)?.to_owned();
        // It is removed here, and comes back only by the last line.
        let mut record = self.remove(&session).ok_or(Refused::Unknown)?;
        if !account.is_some_and(|account| account.same_bare(&record.account)) {
            return Err(Refused::Account);
        }
        if now >= record.expires {
            return Err(Refused::Expired { session });
        }
        if self.index.contains_key(fresh.as_bytes()) || record.holds(&fresh) {
            self.insert(session, record);
            return Err(Refused::NotFresh);
        }
        record.previous = match self.rotation {
            Rotation::SingleUse => None,
            Rotation::GraceUntilConfirmed => Some(*shown),
        };
        record.current = fresh;
        self.insert(session.clone(), record);
        Ok(session)
    }

    /// The peer has shown that it has the new token: the previous one dies ([`Rotation::GraceUntilConfirmed`]).
    pub fn confirm(&mut self, session: &str) {
        if let Some(record) = self.records.get_mut(session) {
            if let Some(previous) = record.previous.take() {
                self.index.remove(previous.as_bytes());
            }
        }
    }

    /// A token was seen where it must not be: it and any other of its session die. The session itself can still be
    /// resumed by whoever authenticates (ISR-R5).
    pub fn revoke(&mut self, claim: &Claim) {
        let Claim::Token(hash) = claim;
        if let Some(session) = self.find(hash).map(str::to_owned) {
            self.revoke_session(&session);
        }
    }

    /// A session has ended, as by a clean close.
    pub fn revoke_session(&mut self, session: &str) {
        self.remove(session);
    }

    /// All tokens of an account die, as when its password is changed.
    pub fn revoke_account(&mut self, account: &Jid) {
        self.retain(|record| !record.account.same_bare(account));
    }

    /// Sets the end of a token's life, as when the connection of its session is cut; it may be sooner, too. One that
    /// is gone does not come back.
    pub fn prolong(&mut self, session: &str, until: Instant) {
        if let Some(record) = self.records.get_mut(session) {
            record.expires = until;
        }
    }

    /// Forgets what has expired.
    pub fn expire(&mut self, now: Instant) {
        self.retain(|record| now < record.expires);
    }

    fn find(&self, hash: &TokenHash) -> Option<&str> {
        let session = self.index.get(hash.as_bytes())?;
        let record = self.records.get(session)?;
        record.holds(hash).then_some(session.as_str())
    }

    fn insert(&mut self, session: String, record: Record) {
        for hash in record.hashes() {
            self.index.insert(*hash.as_bytes(), session.clone());
        }
        self.records.insert(session, record);
    }

    fn remove(&mut self, session: &str) -> Option<Record> {
        let record = self.records.remove(session)?;
        for hash in record.hashes() {
            self.index.remove(hash.as_bytes());
        }
        Some(record)
    }

    fn retain(&mut self, keep: impl Fn(&Record) -> bool) {
        self.records.retain(|_, record| {
            let kept = keep(record);
            if !kept {
                for hash in record.hashes() {
                    self.index.remove(hash.as_bytes());
                }
            }
            kept
        });
    }

    /// The versioned encoding. Its instants are of the caller's clock, which must go on where it was.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Store::new(MAGIC, VERSION);
        out.flag(self.rotation == Rotation::GraceUntilConfirmed);
        out.number(self.records.len() as u64);
        for (session, record) in &self.records {
            out.text(session);
            record.store(&mut out);
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
        let mut tokens = Self::new(if from.flag()? {
            Rotation::GraceUntilConfirmed
        } else {
            Rotation::SingleUse
        });
        for _ in 0..from.count()? {
            let session = from.text()?;
            let record = Record::load(&mut from)?;
            let twice = record
                .hashes()
                .any(|hash| tokens.index.contains_key(hash.as_bytes()));
            if twice || tokens.records.contains_key(&session) {
                return Err(StoredError::Foreign);
            }
            tokens.insert(session, record);
        }
        from.finish()?;
        Ok(tokens)
    }
}
