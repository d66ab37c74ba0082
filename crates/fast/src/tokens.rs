//! A store of tokens in memory: plain values, for one process. A cluster puts its own behind the same requests.

use std::collections::BTreeMap;

use bytes::Bytes;
use onetrip_stream::Jid;
use onetrip_stream::stored::{Load, Store, StoredError};

use crate::slots::{Slots, Stored};
use crate::{Accepted, DateTime, Issue, Refused, Swap, Terms};

const MAGIC: [u8; 4] = *b"OTFS";
const VERSION: u8 = 1;

/// Which tokens each client of each account has: at most two, the one it uses and the one it is to use next.
///
/// It holds the tokens as they are, since a proof cannot be checked by a hash: keep its encoding as you would passwords.
///
/// ```
/// # use onetrip_fast::{Action, Attempt, DateTime, Feature, Receiver, Terms, Tokens};
/// # use onetrip_stream::{Env, Instant};
/// # use minidom::Element;
/// # let mut entropy = |out: &mut [u8]| out.fill(7);
/// # let mut env = Env::new(Instant::EPOCH, &mut entropy);
/// let mut tokens = Tokens::new(Terms::default());
/// let mut machine = Receiver::new(Feature::new(["HT-SHA-256-NONE"]));
/// let asked = ["<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-NONE'/>".parse::<Element>().unwrap()];
/// let account = "juliet@capulet.lit".parse().unwrap();
/// machine.authenticated(&mut env, &Attempt::new(&account, Some("d4565fa7"), &asked)); // by her password
/// let Some(Action::Issue(issue)) = machine.poll_action() else { panic!() };
/// machine.issued(tokens.issue(&issue, DateTime::from_unix_seconds(1_600_000_000)));
/// let Some(Action::Answer(answers)) = machine.poll_action() else { panic!() };
/// assert_eq!(answers[0].attr("expiry"), Some("2020-10-04T12:26:40Z"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tokens {
    terms: Terms,
    clients: BTreeMap<(String, String), Slots>,
}

impl Tokens {
    /// An empty store.
    #[must_use]
    pub fn new(terms: Terms) -> Self {
        Self {
            terms,
            ..Self::default()
        }
    }

    /// Other terms, for the tokens that are handed out from here on.
    pub fn set_terms(&mut self, terms: Terms) {
        self.terms = terms;
    }

    /// How many clients have a token.
    #[must_use]
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// Whether no client has one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Hands a token out to a client that has authenticated otherwise, and returns its end. It goes into the new slot, in
    /// the place of one that was never used (XEP-0484 §3.5).
    pub fn issue(&mut self, issue: &Issue, now: DateTime) -> DateTime {
        let expiry = now.after(self.terms.lifetime);
        let slots = self
            .clients
            .entry(key(&issue.account, &issue.client))
            .or_default();
        slots.new = Some(Stored::new(issue.token.clone(), &issue.mechanism, expiry));
        expiry
    }

    /// Checks a claim and, in the same step, counts its use, moves its token to the current slot and puts the fresh one
    /// into the new slot if it is asked for or due.
    ///
    /// # Errors
    /// [`Refused`], for the log; an expired token is gone then, and nothing else has changed.
    pub fn swap(&mut self, swap: &Swap, now: DateTime) -> Result<Accepted, Refused> {
        let key = key(&swap.claim.account, &swap.claim.client);
        let slots = self.clients.get_mut(&key).ok_or(Refused::Unknown)?;
        let result = slots.swap(&swap.claim, &swap.fresh, self.terms, now);
        if slots.is_empty() {
            self.clients.remove(&key);
        }
        result
    }

    /// The tokens of one client die.
    pub fn revoke(&mut self, account: &Jid, client: &str) {
        self.clients.remove(&key(account, client));
    }

    /// All tokens of an account die, as when its password is changed.
    pub fn revoke_account(&mut self, account: &Jid) {
        let account = account.to_bare().to_string();
        self.clients.retain(|(owner, _), _| *owner != account);
    }

    /// Forgets what has expired.
    pub fn expire(&mut self, now: DateTime) {
        self.clients.retain(|_, slots| {
            slots.expire(now);
            !slots.is_empty()
        });
    }

    /// The versioned encoding.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Store::new(MAGIC, VERSION);
        out.number(self.terms.lifetime);
        out.number(self.terms.renewal);
        out.number(self.clients.len() as u64);
        for ((account, client), slots) in &self.clients {
            out.text(account);
            out.text(client);
            slots.store(&mut out);
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
        let mut tokens = Self::new(Terms::new(from.number()?, from.number()?));
        for _ in 0..from.count()? {
            let account: Jid = from.text()?.parse().map_err(|_| StoredError::Foreign)?;
            let key = key(&account, &from.text()?);
            if tokens
                .clients
                .insert(key, Slots::load(&mut from)?)
                .is_some()
            {
                return Err(StoredError::Foreign);
            }
        }
        from.finish()?;
        Ok(tokens)
    }
}

fn key(account: &Jid, client: &str) -> (String, String) {
    (account.to_bare().to_string(), client.to_owned())
}
