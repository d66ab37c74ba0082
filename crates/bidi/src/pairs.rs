//! Who may send what on one connection: the only table that is asked, in both directions.
//!
//! | what is known of ours → theirs | may go out | may come in |
//! |---|---|---|
//! | we were accepted for it | yes | with bidi, and the peer's domain trusted |
//! | theirs → ours was proved to us | with bidi | yes |
//! | nothing | no | no |

use std::collections::BTreeMap;

use onetrip_stream::{Content, Domain, DomainRef, Head, Text};

use crate::{Blocked, Change, Intrusion, Pair, PairError};

/// What is known of one of our domains and one of theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Proofs {
    /// The peer accepts what we send.
    accepted: bool,
    /// And we trust that it is who we wanted to reach.
    trusted: bool,
    /// The peer has proved its domain to us.
    proved: bool,
}

/// What may go out and come in on one connection.
///
/// One validated pair allows exactly itself and, on a bidirectional stream, its inverse (BIDI-12, BIDI-13, BIDI-16,
/// BIDI-R2, BIDI-R3). Domains are compared exactly: a subdomain is another domain.
///
/// ```
/// # use onetrip_bidi::{Pair, Pairs};
/// # use onetrip_stream::Domain;
/// let domain = |name| Domain::new(name).unwrap();
/// let (ours, theirs) = (domain("montague.lit"), domain("capulet.lit"));
/// let mut pairs = Pairs::new(16);
/// pairs.validate(&Pair::new(theirs.clone(), ours.clone()), true, |name| *name == ours).unwrap();
/// assert!(pairs.may_receive(&theirs, &ours) && !pairs.may_send(&ours, &theirs));
/// pairs.set_bidirectional(true);
/// assert!(pairs.may_send(&ours, &theirs) && !pairs.may_send(&domain("conference.montague.lit"), &theirs));
/// ```
#[derive(Debug, Clone)]
pub struct Pairs {
    allowed: usize,
    count: usize,
    bidirectional: bool,
    /// By the peer's domain, then by ours.
    proofs: BTreeMap<Domain, BTreeMap<Domain, Proofs>>,
}

impl Pairs {
    /// An empty table for at most so many pairs of domains.
    #[must_use]
    pub fn new(allowed: usize) -> Self {
        Self {
            allowed,
            count: 0,
            bidirectional: false,
            proofs: BTreeMap::new(),
        }
    }

    /// Whether stanzas may go out here.
    #[must_use]
    pub fn may_send(&self, from: &Domain, to: &Domain) -> bool {
        self.sends(self.proofs_of(from.as_str(), to.as_str()))
    }

    /// Whether stanzas may come in here.
    #[must_use]
    pub fn may_receive(&self, from: &Domain, to: &Domain) -> bool {
        self.receives(self.proofs_of(to.as_str(), from.as_str()))
    }

    /// Looks at a stanza before it is written.
    ///
    /// # Errors
    /// [`Blocked`] when it must not go out here.
    pub fn check_outgoing(&self, head: &Head) -> Result<(), Blocked> {
        let (from, to) = addresses(head).map_err(Blocked::Address)?;
        if self.sends(self.proofs_of(from.as_str(), to.as_str())) {
            Ok(())
        } else {
            Err(Blocked::Pair(Pair::new(
                from.into_domain(),
                to.into_domain(),
            )))
        }
    }

    /// Looks at a stanza that has arrived (RFC 6120 §8.1.1.2, §8.1.2.2).
    ///
    /// # Errors
    /// [`Intrusion`] when it must not come in here.
    pub fn check_incoming(&self, head: &Head) -> Result<(), Intrusion> {
        // A header without a content namespace leaves it to each element, so look (vanaheimr).
        if head.content != Content::Server {
            return Err(Intrusion::Content);
        }
        let (from, to) = addresses(head).map_err(Intrusion::Address)?;
        if self.receives(self.proofs_of(to.as_str(), from.as_str())) {
            return Ok(());
        }
        let (mut known_from, mut known_to) = (false, false);
        for pair in self.receivable() {
            known_from |= pair.from.as_str() == from.as_str();
            known_to |= pair.to.as_str() == to.as_str();
        }
        if known_from && !known_to {
            Err(Intrusion::To)
        } else {
            Err(Intrusion::From)
        }
    }

    /// All pairs whose stanzas may go out here.
    pub fn sendable(&self) -> impl Iterator<Item = Pair> + '_ {
        self.rows()
            .filter(|(.., proofs)| self.sends(**proofs))
            .map(|(ours, theirs, _)| Pair::new(ours.clone(), theirs.clone()))
    }

    /// All pairs whose stanzas may come in here.
    pub fn receivable(&self) -> impl Iterator<Item = Pair> + '_ {
        self.rows()
            .filter(|(.., proofs)| self.receives(**proofs))
            .map(|(ours, theirs, _)| Pair::new(theirs.clone(), ours.clone()))
    }

    /// How many pairs of domains are in the table, each counted once whatever its directions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether what is validated of one of our domains and one of theirs can be entered.
    #[must_use]
    pub fn has_room(&self, ours: &Domain, theirs: &Domain) -> bool {
        self.count < self.allowed
            || self.proofs_of(ours.as_str(), theirs.as_str()) != Proofs::default()
    }

    /// Whether nothing was validated.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether the peer has proved this domain, towards whichever domain of ours (BIDI-14).
    #[must_use]
    pub fn has_proved(&self, theirs: &Domain) -> bool {
        self.proofs
            .get(theirs)
            .is_some_and(|row| row.values().any(|proofs| proofs.proved))
    }

    /// Whether the peer accepts stanzas from this domain of ours, for whichever domain of its own (BIDI-14).
    #[must_use]
    pub fn is_accepted(&self, ours: &Domain) -> bool {
        self.proofs
            .values()
            .filter_map(|row| row.get(ours))
            .any(|proofs| proofs.accepted)
    }

    /// Enters a validated pair. Its direction follows from which domain is ours. `trusted` says whether enough is known
    /// of the peer's domain to take stanzas from it: without, a pair that we send on has no inverse, and one that we
    /// receive on is not entered (BIDI-17).
    ///
    /// # Errors
    /// [`PairError`] when it cannot be entered.
    pub fn validate(
        &mut self,
        pair: &Pair,
        trusted: bool,
        hosted: impl Fn(&Domain) -> bool,
    ) -> Result<Vec<Change>, PairError> {
        let outward = match (hosted(&pair.from), hosted(&pair.to)) {
            (true, true) => return Err(PairError::OurDomain),
            (false, false) => return Err(PairError::NotOurs),
            (outward, _) => outward,
        };
        if !outward && !trusted {
            return Err(PairError::Untrusted);
        }
        let (ours, theirs) = sides(pair, outward);
        if !self.has_room(ours, theirs) {
            return Err(PairError::TooMany(self.allowed));
        }
        let mut proofs = self.proofs_of(ours.as_str(), theirs.as_str());
        if outward {
            (proofs.accepted, proofs.trusted) = (true, trusted);
        } else {
            proofs.proved = true;
        }
        Ok(self.put(ours, theirs, proofs))
    }

    /// Takes a validated pair back: exactly this one, so that what rests on its inverse stays.
    pub fn withdraw(&mut self, pair: &Pair) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut proofs = self.proofs_of(pair.from.as_str(), pair.to.as_str());
        if proofs.accepted {
            (proofs.accepted, proofs.trusted) = (false, false);
            changes = self.put(&pair.from, &pair.to, proofs);
        }
        let mut proofs = self.proofs_of(pair.to.as_str(), pair.from.as_str());
        if proofs.proved {
            proofs.proved = false;
            changes.extend(self.put(&pair.to, &pair.from, proofs));
        }
        changes
    }

    /// Turns the inverse of every pair on or off.
    pub fn set_bidirectional(&mut self, on: bool) -> Vec<Change> {
        let rows: Vec<_> = self
            .rows()
            .map(|(ours, theirs, proofs)| (ours.clone(), theirs.clone(), *proofs))
            .collect();
        let allows = |table: &Self, proofs| (table.sends(proofs), table.receives(proofs));
        let before: Vec<_> = rows.iter().map(|row| allows(self, row.2)).collect();
        self.bidirectional = on;
        let changes = rows
            .iter()
            .zip(before)
            .flat_map(|(row, before)| differences(&row.0, &row.1, before, allows(self, row.2)));
        changes.collect()
    }

    /// Whether inverses are on.
    #[must_use]
    pub fn is_bidirectional(&self) -> bool {
        self.bidirectional
    }

    /// Forgets everything, inverses included: another stream, or none.
    pub fn clear(&mut self) -> Vec<Change> {
        let mut changes: Vec<Change> = self.sendable().map(Change::SendClosed).collect();
        changes.extend(self.receivable().map(Change::ReceiveClosed));
        *self = Self::new(self.allowed);
        changes
    }

    fn rows(&self) -> impl Iterator<Item = (&Domain, &Domain, &Proofs)> {
        self.proofs
            .iter()
            .flat_map(|(theirs, row)| row.iter().map(move |(ours, proofs)| (ours, theirs, proofs)))
    }

    fn proofs_of(&self, ours: &str, theirs: &str) -> Proofs {
        let row = self.proofs.get(theirs);
        row.and_then(|row| row.get(ours))
            .copied()
            .unwrap_or_default()
    }

    fn sends(&self, proofs: Proofs) -> bool {
        proofs.accepted || (self.bidirectional && proofs.proved)
    }

    fn receives(&self, proofs: Proofs) -> bool {
        proofs.proved || (self.bidirectional && proofs.accepted && proofs.trusted)
    }

    /// The only place where a row changes.
    fn put(&mut self, ours: &Domain, theirs: &Domain, proofs: Proofs) -> Vec<Change> {
        let old = self.proofs_of(ours.as_str(), theirs.as_str());
        let row = self.proofs.entry(theirs.clone()).or_default();
        if proofs == Proofs::default() {
            row.remove(ours);
        } else {
            row.insert(ours.clone(), proofs);
        }
        if row.is_empty() {
            self.proofs.remove(theirs);
        }
        self.count = self.proofs.values().map(BTreeMap::len).sum();
        let before = (self.sends(old), self.receives(old));
        let after = (self.sends(proofs), self.receives(proofs));
        differences(ours, theirs, before, after)
    }
}

/// Ours and theirs of a pair.
fn sides(pair: &Pair, outward: bool) -> (&Domain, &Domain) {
    if outward {
        (&pair.from, &pair.to)
    } else {
        (&pair.to, &pair.from)
    }
}

/// What changes when (sends, receives) changes.
fn differences(
    ours: &Domain,
    theirs: &Domain,
    before: (bool, bool),
    after: (bool, bool),
) -> Vec<Change> {
    let out = Pair::new(ours.clone(), theirs.clone());
    let into = out.inverse();
    let send = match (before.0, after.0) {
        (false, true) => Some(Change::SendOpened(out)),
        (true, false) => Some(Change::SendClosed(out)),
        _ => None,
    };
    let receive = match (before.1, after.1) {
        (false, true) => Some(Change::ReceiveOpened(into)),
        (true, false) => Some(Change::ReceiveClosed(into)),
        _ => None,
    };
    send.into_iter().chain(receive).collect()
}

/// The domains of a stanza's addresses, or which one is missing.
fn addresses(head: &Head) -> Result<(DomainRef<'_>, DomainRef<'_>), &'static str> {
    Ok((
        domain_of(&head.from).ok_or("from")?,
        domain_of(&head.to).ok_or("to")?,
    ))
}

fn domain_of(address: &Option<Text>) -> Option<DomainRef<'_>> {
    DomainRef::of(address.as_ref()?)
}
