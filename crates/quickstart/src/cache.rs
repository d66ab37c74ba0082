//! What is remembered of servers between connections, and what a plan may be made of.

use core::time::Duration;
use std::collections::BTreeMap;

use bytes::Bytes;
use onetrip_stream::stored::{Load, Store, StoredError};
use onetrip_stream::{Domain, Jid};

use crate::{Broken, Features, Level, Outcome, Plan, Policy, Report};

/// How TLS begins: the features differ, so the memory does (QS-03).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// STARTTLS (RFC 6120 §5).
    StartTls,
    /// TLS from the first byte (XEP-0368).
    DirectTls,
}

/// What memory is kept by (QS-03): one account's mechanisms never serve another account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The domain connected to (`to`).
    pub domain: Domain,
    /// The bare address connecting (`from`), or none.
    pub account: Option<Jid>,
    /// How TLS begins.
    pub transport: Transport,
}

impl Key {
    /// The key of an account; a resource in `account` is left out.
    #[must_use]
    pub fn new(domain: Domain, account: Option<&Jid>, transport: Transport) -> Self {
        Self {
            domain,
            account: account.map(Jid::to_bare),
            transport,
        }
    }
}

/// What the last successful session showed, all of it under TLS (QS-R1).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Known {
    /// The features before authentication.
    pub secured: Features,
    /// The features after authentication.
    pub authenticated: Features,
    /// The mechanism that worked.
    pub mechanism: String,
    /// Its strength class, as the caller ranks them.
    pub strength: u8,
}

impl Known {
    /// What a successful session showed.
    #[must_use]
    pub fn new(
        secured: Features,
        authenticated: Features,
        mechanism: String,
        strength: u8,
    ) -> Self {
        Self {
            secured,
            authenticated,
            mechanism,
            strength,
        }
    }

    /// Whether every set of features carried `<pipelining/>` (QS-R8, QS-29).
    #[must_use]
    pub fn pipelining(&self) -> bool {
        self.secured.pipelining() && self.authenticated.pipelining()
    }
}

/// What was learnt about a host by trying; kept whatever becomes of the features (QS-R10).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Habits {
    /// The gap that [`Level::Paced`] leaves.
    gap: Duration,
    /// How many paced attempts in a row have failed.
    misses: u64,
    /// Whether [`Level::Full`] failed although it was advertised.
    full_failed: bool,
    /// How many safe attempts in a row have failed: one may have been the network.
    safe_misses: u64,
}

/// The feature cache: a value to take out, store anywhere and give back.
///
/// ```
/// # use onetrip_quickstart::{Cache, Key, Level, Policy, Transport};
/// let cache = Cache::default();
/// let juliet = "juliet@capulet.lit".parse().unwrap();
/// let key = Key::new("capulet.lit".parse::<onetrip_stream::Jid>().unwrap().domain().clone(), Some(&juliet), Transport::StartTls);
/// // Nothing is known yet, so nothing that crosses a boundary is sent ahead (QS-11, QS-R10).
/// assert_eq!(cache.plan(&key, &Policy::default()).level(), Level::Safe);
/// assert_eq!(Cache::from_bytes(&cache.to_bytes()), Ok(cache));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cache {
    known: BTreeMap<Key, Known>,
    /// The strongest class that worked for an account: never forgotten with the features (QS-R4).
    pins: BTreeMap<Key, u8>,
    habits: BTreeMap<(Domain, Transport), Habits>,
}

const MAGIC: [u8; 4] = *b"OTQC";
/// In version 1 nothing of SASL2 was remembered, in version 2 nothing of keys for resumption.
const VERSION: u8 = 3;

impl Cache {
    /// What is believed about a server, if anything.
    #[must_use]
    pub fn known(&self, key: &Key) -> Option<&Known> {
        self.known.get(key)
    }

    /// Believes this of a server: what another store remembered, or what was agreed.
    pub fn remember(&mut self, key: &Key, known: Known) {
        self.pins
            .insert(key.clone(), self.pin(key).max(known.strength));
        self.known.insert(key.clone(), known);
    }

    /// Forgets what is believed about a server; what was learnt of its habits and the pin stay.
    pub fn forget(&mut self, key: &Key) {
        self.known.remove(key);
    }

    /// How to go about the next connection (QS-11, QS-R1, QS-R4, QS-R10).
    #[must_use]
    pub fn plan(&self, key: &Key, policy: &Policy) -> Plan {
        let known = self.known.get(key);
        let habits = self.habits.get(&(key.domain.clone(), key.transport));
        let gap = habits.map_or(policy.first_gap, |habits| habits.gap);
        let may_race = policy.race
            && known.is_some()
            && habits.is_none_or(|habits| habits.misses < policy.max_misses);
        let may_join =
            known.is_some_and(Known::pipelining) && habits.is_none_or(|habits| !habits.full_failed);
        let level = match policy.force {
            Some(level) => level,
            None if habits.is_some_and(|habits| habits.safe_misses >= policy.max_misses) => {
                Level::Off
            }
            None if may_join => Level::Full,
            None if may_race => Level::Paced,
            None => Level::Safe,
        };
        let level = if policy.force.is_some() {
            level
        } else {
            level.min(policy.ceiling)
        };
        Plan::new(
            key.clone(),
            level,
            gap,
            known.filter(|_| level != Level::Off).cloned(),
            self.pin(key),
        )
    }

    /// The strength class that a mechanism for this account must have at least (QS-R4).
    #[must_use]
    pub fn pin(&self, key: &Key) -> u8 {
        self.pins.get(key).copied().unwrap_or(0)
    }

    /// Lets an account go below the strength that once worked for it: only when its owner says so (QS-R4).
    pub fn unpin(&mut self, key: &Key) {
        self.pins.remove(key);
    }

    /// Learns from an attempt. When what was assumed was wrong, the answer is the one unpipelined retry
    /// (QS-29, QS-33, QS-R5): with the same pin, so never with a weaker mechanism.
    pub fn conclude(&mut self, report: &Report, policy: &Policy) -> Option<Plan> {
        let missed = match &report.outcome {
            Outcome::Broken(broken) => broken.is_a_habit(),
            Outcome::Passed(_) | Outcome::Resumed | Outcome::Ended => report.restart_resent,
        };
        self.learn(report, missed, policy);
        match &report.outcome {
            Outcome::Passed(known) => {
                // Most sessions show what the one before has shown.
                let pin = self.pin(&report.key).max(known.strength);
                if self.pins.get(&report.key) != Some(&pin) {
                    self.pins.insert(report.key.clone(), pin);
                }
                if self.known.get(&report.key) != Some(known) {
                    self.known.insert(report.key.clone(), (**known).clone());
                }
                None
            }
            Outcome::Resumed => None,
            Outcome::Ended => {
                self.forget(&report.key);
                None
            }
            Outcome::Broken(broken) => {
                // A token that was not taken says nothing about the features.
                if *broken != Broken::ResumeLost {
                    self.forget(&report.key);
                }
                Some(Plan::new(
                    report.key.clone(),
                    Level::Off,
                    policy.first_gap,
                    None,
                    self.pin(&report.key),
                ))
            }
        }
    }

    /// Adjusts what is believed of the host's habits.
    fn learn(&mut self, report: &Report, missed: bool, policy: &Policy) {
        // By a token no boundary was crossed that these levels are about.
        let untried = matches!(
            report.outcome,
            Outcome::Ended | Outcome::Resumed | Outcome::Broken(Broken::ResumeLost)
        );
        if untried || report.level == Level::Off {
            return;
        }
        let fresh = Habits {
            gap: policy.first_gap,
            misses: 0,
            full_failed: false,
            safe_misses: 0,
        };
        let habits = self
            .habits
            .entry((report.key.domain.clone(), report.key.transport))
            .or_insert(fresh);
        match (report.level, missed) {
            (Level::Paced, true) => {
                habits.misses = habits.misses.saturating_add(1);
                habits.gap = habits.gap.saturating_mul(2).min(policy.max_gap);
            }
            (Level::Paced, false) => habits.misses = 0,
            (Level::Full, missed) => habits.full_failed = missed,
            (Level::Safe, true) => habits.safe_misses = habits.safe_misses.saturating_add(1),
            (Level::Safe, false) => habits.safe_misses = 0,
            (Level::Off, _) => {}
        }
    }

    /// The versioned encoding.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Store::new(MAGIC, VERSION);
        out.number(self.known.len() as u64);
        for (key, known) in &self.known {
            store_key(key, &mut out);
            known.secured.store(&mut out);
            known.authenticated.store(&mut out);
            out.text(&known.mechanism);
            out.number(known.strength.into());
        }
        out.number(self.pins.len() as u64);
        for (key, pin) in &self.pins {
            store_key(key, &mut out);
            out.number((*pin).into());
        }
        out.number(self.habits.len() as u64);
        for ((domain, transport), habits) in &self.habits {
            out.text(domain.as_str());
            out.flag(*transport == Transport::DirectTls);
            out.number(u64::try_from(habits.gap.as_millis()).unwrap_or(u64::MAX));
            out.number(habits.misses);
            out.flag(habits.full_failed);
            out.number(habits.safe_misses);
        }
        out.finish()
    }

    /// Reads the encoding back.
    ///
    /// # Errors
    /// [`StoredError`] when the bytes are of another kind or version, or damaged: begin with an empty cache then.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StoredError> {
        let mut from = Load::new(MAGIC, bytes)?;
        if !(1..=VERSION).contains(&from.version()) {
            return Err(StoredError::Version(from.version()));
        }
        let mut cache = Self::default();
        for _ in 0..from.count()? {
            let key = load_key(&mut from)?;
            let (secured, authenticated) = (Features::load(&mut from)?, Features::load(&mut from)?);
            let known = Known::new(secured, authenticated, from.text()?, load_class(&mut from)?);
            cache.known.insert(key, known);
        }
        for _ in 0..from.count()? {
            let key = load_key(&mut from)?;
            cache.pins.insert(key, load_class(&mut from)?);
        }
        for _ in 0..from.count()? {
            let domain = load_domain(&mut from)?;
            let transport = load_transport(&mut from)?;
            let gap = Duration::from_millis(from.number()?);
            let habits = Habits {
                gap,
                misses: from.number()?,
                full_failed: from.flag()?,
                safe_misses: from.number()?,
            };
            cache.habits.insert((domain, transport), habits);
        }
        from.finish()?;
        Ok(cache)
    }
}

fn store_key(key: &Key, out: &mut Store) {
    out.text(key.domain.as_str());
    out.option(key.account.as_ref().map(Jid::to_string).as_deref());
    out.flag(key.transport == Transport::DirectTls);
}

fn load_key(from: &mut Load<'_>) -> Result<Key, StoredError> {
    let domain = load_domain(from)?;
    let account = from
        .option()?
        .map(|account| account.parse::<Jid>())
        .transpose()
        .map_err(|_| StoredError::Foreign)?;
    Ok(Key::new(domain, account.as_ref(), load_transport(from)?))
}

fn load_domain(from: &mut Load<'_>) -> Result<Domain, StoredError> {
    Domain::new(&from.text()?).ok_or(StoredError::Foreign)
}

fn load_transport(from: &mut Load<'_>) -> Result<Transport, StoredError> {
    Ok(if from.flag()? {
        Transport::DirectTls
    } else {
        Transport::StartTls
    })
}

fn load_class(from: &mut Load<'_>) -> Result<u8, StoredError> {
    u8::try_from(from.number()?).map_err(|_| StoredError::Foreign)
}
