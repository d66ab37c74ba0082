//! What a server decides about one client: two slots, and the step that moves between them (XEP-0484 §5).

use onetrip_stream::stored::{Load, Store, StoredError};
use onetrip_stream::{Jid, ResponderProof, Token, TokenProof};

use crate::DateTime;

/// What a client has shown. A store answers about this.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claim {
    /// The account, without a resource.
    pub account: Jid,
    /// The id of the client's installation.
    pub client: String,
    /// The mechanism that was used.
    pub mechanism: String,
    /// That it has the token.
    pub proof: TokenProof,
    /// How often it says that it has tried this token.
    pub count: Option<u32>,
    /// Whether all this came as early data, so that it may be a replay.
    pub early: bool,
    /// Whether the token is to end with this.
    pub invalidate: bool,
}

/// A token that a client may get, and whether it has asked for one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fresh {
    /// The token. Nobody sees it before the store has agreed.
    pub token: Token,
    /// The mechanism that one was asked for; without it, one is handed out only in the place of one that ends soon.
    pub asked: Option<String>,
}

/// How long tokens are good, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Terms {
    /// From when they are handed out. Default: 21 days.
    pub lifetime: u64,
    /// How long before its end a token that is used is replaced. Default: 14 days.
    pub renewal: u64,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            lifetime: 21 * 86_400,
            renewal: 14 * 86_400,
        }
    }
}

impl Terms {
    /// Tokens for so many seconds, replaced when less than `renewal` of them are left.
    #[must_use]
    pub fn new(lifetime: u64, renewal: u64) -> Self {
        Self { lifetime, renewal }
    }
}

/// A claim that was good.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Accepted {
    /// What proves the server to the client.
    pub proof: ResponderProof,
    /// The end of the fresh token, if it was handed out.
    pub granted: Option<DateTime>,
}

impl Accepted {
    /// For a store of another kind.
    #[must_use]
    pub fn new(proof: ResponderProof, granted: Option<DateTime>) -> Self {
        Self { proof, granted }
    }
}

/// Why a claim was not accepted: for the log. [`Refused::condition`] is for the peer, which learns less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// No `<fast/>` beside it: whatever it is, it is not for here.
    #[error("expected <fast/> beside a token, got none")]
    NotFast,
    /// Without an id of the client, or with more than one of what may be there once.
    #[error(
        "expected the client's id and each element once, got a request without it or with one twice"
    )]
    Malformed,
    /// The mechanism is not offered.
    #[error("expected a mechanism that is offered, got another")]
    NotOffered,
    /// No token of this client is proved by it: never handed out, used up, revoked or forgotten.
    #[error("expected a token that was handed out and not used up, got another")]
    Unknown,
    /// The token is of another mechanism.
    #[error("expected the mechanism that the token is for, got another")]
    Mechanism,
    /// Too late; the token is dead now.
    #[error("expected a token that is still good, got one that has expired")]
    Expired,
    /// Early data without a count, with one that was seen, or where none is taken.
    #[error("expected early data with a count that was not seen yet, got a possible replay")]
    Replay,
}

impl Refused {
    /// The name of the SASL condition (RFC 6120 §6.5).
    #[must_use]
    pub fn condition(self) -> &'static str {
        match self {
            Self::Malformed => "malformed-request",
            Self::NotOffered => "invalid-mechanism",
            // XEP-0484 §4.2.
            Self::Expired => "credentials-expired",
            Self::NotFast | Self::Unknown | Self::Mechanism | Self::Replay => "not-authorized",
        }
    }
}

/// A token at the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) token: Token,
    pub(crate) mechanism: String,
    pub(crate) expiry: DateTime,
    /// The greatest count that was seen.
    pub(crate) count: u32,
}

impl Stored {
    pub(crate) fn new(token: Token, mechanism: &str, expiry: DateTime) -> Self {
        Self {
            token,
            mechanism: mechanism.to_owned(),
            expiry,
            count: 0,
        }
    }

    /// Whether this use of it is none that was seen (XEP-0484 §3.4).
    fn is_fresh(&self, claim: &Claim) -> bool {
        !claim.early || claim.count.is_some_and(|count| count > self.count)
    }
}

/// The tokens of one client of one account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Slots {
    pub(crate) new: Option<Stored>,
    pub(crate) current: Option<Stored>,
}

impl Slots {
    pub(crate) fn is_empty(&self) -> bool {
        self.new.is_none() && self.current.is_none()
    }

    pub(crate) fn expire(&mut self, now: DateTime) {
        for slot in [&mut self.new, &mut self.current] {
            if slot.as_ref().is_some_and(|stored| stored.expiry <= now) {
                *slot = None;
            }
        }
    }

    /// The one step, done whole or not at all.
    pub(crate) fn swap(
        &mut self,
        claim: &Claim,
        fresh: &Fresh,
        terms: Terms,
        now: DateTime,
    ) -> Result<Accepted, Refused> {
        let check = |slot: &Option<Stored>| claim.proof.check(&slot.as_ref()?.token);
        // Both are checked, whichever it is.
        let (new, current) = (check(&self.new), check(&self.current));
        let is_new = new.is_some();
        let proof = new.or(current).ok_or(Refused::Unknown)?;
        let slot = if is_new {
            &mut self.new
        } else {
            &mut self.current
        };
        let stored = slot.as_mut().ok_or(Refused::Unknown)?;
        if stored.mechanism != claim.mechanism {
            return Err(Refused::Mechanism);
        }
        if now >= stored.expiry {
            *slot = None;
            return Err(Refused::Expired);
        }
        if !stored.is_fresh(claim) {
            return Err(Refused::Replay);
        }
        stored.count = stored.count.max(claim.count.unwrap_or_default());
        let used = stored.clone();
        self.settle(is_new, &used);
        if claim.invalidate {
            *self = Self::default();
        }
        let granted = self.grant(claim, &used, fresh, terms, now);
        Ok(Accepted { proof, granted })
    }

    /// What the use of a token does to the others: all that end before it die (XEP-0484 §3.5).
    fn settle(&mut self, is_new: bool, used: &Stored) {
        if is_new {
            self.current = self.new.take();
        }
        self.new.take_if(|new| new.expiry < used.expiry);
    }

    /// Puts the fresh token into the new slot, if it is asked for or due.
    fn grant(
        &mut self,
        claim: &Claim,
        used: &Stored,
        fresh: &Fresh,
        terms: Terms,
        now: DateTime,
    ) -> Option<DateTime> {
        let due = !claim.invalidate && now.after(terms.renewal) >= used.expiry;
        let mechanism = match &fresh.asked {
            Some(asked) => asked,
            None if due => &used.mechanism,
            None => return None,
        };
        let expiry = now.after(terms.lifetime);
        self.new = Some(Stored::new(fresh.token.clone(), mechanism, expiry));
        Some(expiry)
    }

    pub(crate) fn store(&self, out: &mut Store) {
        for slot in [&self.new, &self.current] {
            out.flag(slot.is_some());
            if let Some(stored) = slot {
                out.text(stored.token.expose());
                out.text(&stored.mechanism);
                out.number(stored.expiry.unix_seconds());
                out.number(stored.count.into());
            }
        }
    }

    pub(crate) fn load(from: &mut Load<'_>) -> Result<Self, StoredError> {
        Ok(Self {
            new: load(from)?,
            current: load(from)?,
        })
    }
}

fn load(from: &mut Load<'_>) -> Result<Option<Stored>, StoredError> {
    if !from.flag()? {
        return Ok(None);
    }
    let token = Token::read(&from.text()?).ok_or(StoredError::Foreign)?;
    let mechanism = from.text()?;
    let seconds = from.number()?;
    let expiry = DateTime::from_unix_seconds(seconds);
    let count = u32::try_from(from.number()?).map_err(|_| StoredError::Foreign)?;
    if expiry.unix_seconds() != seconds {
        return Err(StoredError::Foreign);
    }
    Ok(Some(Stored {
        token,
        mechanism,
        expiry,
        count,
    }))
}
