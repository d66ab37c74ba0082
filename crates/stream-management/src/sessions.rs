//! Sessions that wait for their owners: a store that a server may use, or replace by one its nodes share.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use onetrip_stream::{Instant, Jid};

use crate::{Count, QueueLimits, Session};

/// How many ended sessions are remembered with their counts.
const REMEMBERED: usize = 4096;

/// How many sessions of one account wait unless it is said otherwise: a client that only ever connects and goes away fills
/// its own places, not the memory.
const PER_ACCOUNT: usize = 32;

/// The session that was asked for is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a session that may be resumed, got the name of none")]
#[non_exhaustive]
pub struct Unknown {
    /// What it had handled when it ended, if that is still known: it lets the peer settle what had arrived.
    pub h: Option<Count>,
}

#[derive(Debug, Clone)]
struct Suspended {
    session: Session,
    until: Instant,
}

/// Sessions without a connection.
///
/// A session is here or with a connection, never at both (the second root cause of peers' losses). The same answer is
/// given for a session that does not exist and for one that is somebody else's.
///
/// Of one account so many wait, 32 unless [`Sessions::per_account`] says otherwise; where one more is suspended, the one
/// that would expire first does so at once.
///
/// ```
/// # use core::time::Duration;
/// # use onetrip_stream::{Instant, Jid};
/// # use onetrip_stream_management::{Count, QueueLimits, Session, Sessions};
/// let owner: Jid = "juliet@capulet.lit/balcony".parse().unwrap();
/// let mut sessions = Sessions::new(Duration::from_secs(300), QueueLimits::default());
/// sessions.suspend(Session::new("s1", &owner, Count::new(0), Count::new(7), Vec::new()), Instant::EPOCH);
/// let romeo: Jid = "romeo@montague.lit".parse().unwrap();
/// assert!(sessions.take("s1", &romeo).is_err());
/// assert!(sessions.take("s1", &owner).is_ok());
/// assert!(sessions.take("s1", &owner).is_err(), "it is with a connection now");
/// ```
#[derive(Debug, Clone)]
pub struct Sessions {
    keep: Duration,
    limits: QueueLimits,
    per_account: usize,
    suspended: BTreeMap<String, Suspended>,
    /// The names of those that wait, by account.
    accounts: BTreeMap<Jid, BTreeSet<String>>,
    /// The same by the end of their time.
    due: BTreeSet<(Instant, String)>,
    /// By session: its owner and what it had handled.
    ended: BTreeMap<String, (Jid, Count)>,
    /// Their names, the one that ended first in front.
    order: VecDeque<String>,
}

impl Sessions {
    /// A store that keeps sessions so long, unless they were granted less, and lets so much wait in each.
    #[must_use]
    pub fn new(keep: Duration, limits: QueueLimits) -> Self {
        Self {
            keep,
            limits,
            per_account: PER_ACCOUNT,
            suspended: BTreeMap::new(),
            accounts: BTreeMap::new(),
            due: BTreeSet::new(),
            ended: BTreeMap::new(),
            order: VecDeque::new(),
        }
    }

    /// The same store with so many sessions of one account, which has at least one.
    #[must_use]
    pub fn per_account(mut self, sessions: usize) -> Self {
        self.per_account = sessions.max(1);
        self
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.suspended.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.suspended.is_empty()
    }

    /// A connection has ended, and its session waits; until when is returned. Another one of the account's may have to go
    /// for it: [`Sessions::next_expiry`] is `now` then.
    pub fn suspend(&mut self, session: Session, now: Instant) -> Instant {
        let granted = session.max.map(|max| Duration::from_secs(max.into()));
        let until = now + granted.unwrap_or(self.keep).min(self.keep);
        self.ended.remove(&session.id);
        self.remove(&session.id);
        self.make_room(&session.owner, now);
        self.insert(session, until);
        until
    }

    /// Where all places of an account are taken, the session that would expire first has no more time.
    fn make_room(&mut self, owner: &Jid, now: Instant) {
        let names = self.accounts.get(&owner.to_bare());
        let waiting: BTreeSet<(Instant, &String)> = names
            .into_iter()
            .flatten()
            .filter_map(|id| Some((self.suspended.get(id)?.until, id)))
            .filter(|(until, _)| *until > now)
            .collect();
        if waiting.len() < self.per_account {
            return;
        }
        let first = waiting.first().map(|(_, id)| (*id).clone());
        if let Some(over) = first.and_then(|id| self.remove(&id)) {
            self.insert(over, now);
        }
    }

    fn insert(&mut self, session: Session, until: Instant) {
        let id = session.id.clone();
        let account = session.owner.to_bare();
        self.accounts.entry(account).or_default().insert(id.clone());
        self.due.insert((until, id.clone()));
        self.suspended.insert(id, Suspended { session, until });
    }

    fn remove(&mut self, id: &str) -> Option<Session> {
        let (id, Suspended { session, until }) = self.suspended.remove_entry(id)?;
        let account = session.owner.to_bare();
        if let Some(names) = self.accounts.get_mut(&account) {
            names.remove(&id);
            if names.is_empty() {
                self.accounts.remove(&account);
            }
        }
        self.due.remove(&(until, id));
        Some(session)
    }

    /// Hands a session to the connection of its owner; a resource in `account` does not matter.
    ///
    /// # Errors
    /// [`Unknown`] when it is not here, or somebody else's.
    pub fn take(&mut self, id: &str, account: &Jid) -> Result<Session, Unknown> {
        let found = self.suspended.get(id);
        if found.is_some_and(|found| found.session.owner.same_bare(account)) {
            return self.remove(id).ok_or(Unknown { h: None });
        }
        let h = self.h(id, account);
        Err(Unknown { h })
    }

    /// What has been handled in a session that waits, or is over and remembered; for its owner alone.
    #[must_use]
    pub fn h(&self, id: &str, account: &Jid) -> Option<Count> {
        let waiting = self.suspended.get(id).map(|waiting| &waiting.session);
        let waiting = waiting.map(|session| (&session.owner, session.handled));
        let ended = self.ended.get(id).map(|(owner, h)| (owner, *h));
        waiting
            .or(ended)
            .filter(|(owner, _)| owner.same_bare(account))
            .map(|(_, h)| h)
    }

    /// A stanza for an address whose session waits; `false` when there is none, or no room in it.
    pub fn push(&mut self, owner: &Jid, bytes: Bytes) -> bool {
        let limits = self.limits;
        let waiting = self.waiting_for(owner).next().cloned();
        let waiting = waiting.and_then(|id| self.suspended.get_mut(&id));
        let Some(Suspended { session, .. }) = waiting else {
            return false;
        };
        let room = session.unacked.len() < limits.stanzas
            && session.bytes().saturating_add(bytes.len()) <= limits.bytes;
        if room {
            session.push(bytes);
        }
        room
    }

    /// The addresses whose sessions wait.
    pub fn owners(&self) -> impl Iterator<Item = &Jid> {
        self.suspended
            .values()
            .map(|waiting| &waiting.session.owner)
    }

    /// A session is over; its count is remembered for its owner.
    pub fn end(&mut self, id: &str, owner: &Jid, h: Count) {
        if self.order.len() >= REMEMBERED {
            let oldest = self.order.pop_front().unwrap_or_default();
            self.ended.remove(&oldest);
        }
        self.order.push_back(id.to_owned());
        self.ended.insert(id.to_owned(), (owner.clone(), h));
    }

    /// An address is bound anew: the sessions that wait for it are over, and what they hold has to be sent elsewhere or
    /// back.
    #[must_use = "what the sessions hold is lost if it is not handed back"]
    pub fn replace(&mut self, owner: &Jid) -> Vec<Session> {
        let over = self.waiting_for(owner).cloned().collect();
        self.take_out(over)
    }

    /// The names of the sessions that wait for this very address.
    fn waiting_for(&self, owner: &Jid) -> impl Iterator<Item = &String> {
        let names = self.accounts.get(&owner.to_bare());
        names.into_iter().flatten().filter(|id| {
            let waiting = self.suspended.get(*id);
            waiting.is_some_and(|waiting| waiting.session.owner == *owner)
        })
    }

    fn take_out(&mut self, over: Vec<String>) -> Vec<Session> {
        let sessions: Vec<Session> = over.iter().filter_map(|id| self.remove(id)).collect();
        for session in &sessions {
            self.end(&session.id, &session.owner, session.handled);
        }
        sessions
    }

    /// When the next session expires.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Instant> {
        self.due.first().map(|(until, _)| *until)
    }

    /// Takes out the sessions whose time is over: what they hold has to be sent elsewhere or back.
    #[must_use = "what the sessions hold is lost if it is not handed back"]
    pub fn expire(&mut self, now: Instant) -> Vec<Session> {
        let over = self.due.iter().take_while(|(until, _)| *until <= now);
        let over = over.map(|(_, id)| id.clone()).collect();
        self.take_out(over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (Sessions, Jid) {
        let owner: Jid = "juliet@capulet.lit/balcony".parse().unwrap();
        let limits = QueueLimits {
            stanzas: 1,
            ..QueueLimits::default()
        };
        let mut sessions = Sessions::new(Duration::from_secs(60), limits);
        let session = Session::new("s1", &owner, Count::new(0), Count::new(7), Vec::new());
        sessions.suspend(session, Instant::EPOCH);
        (sessions, owner)
    }

    /// Prosody: `h` survives the session, for its owner alone.
    #[test]
    fn an_expired_session_is_handed_back_and_its_count_remembered() {
        let (mut sessions, owner) = store();
        assert!(sessions.push(&owner, "<message/>".into()));
        assert!(!sessions.push(&owner, "<message/>".into()), "no room");
        assert_eq!(
            sessions.next_expiry(),
            Some(Instant::EPOCH + Duration::from_secs(60))
        );
        assert!(sessions.expire(Instant::from_millis(59_999)).is_empty());
        let expired = sessions.expire(Instant::from_millis(60_000));
        assert_eq!(
            expired.first().map(|session| session.unacked.len()),
            Some(1)
        );
        let h = sessions.take("s1", &owner).map_err(|unknown| unknown.h);
        assert_eq!(h, Err(Some(Count::new(7))));
        let other: Jid = "romeo@montague.lit".parse().unwrap();
        let h = sessions.take("s1", &other).map_err(|unknown| unknown.h);
        assert_eq!(h, Err(None));
    }

    #[test]
    fn a_session_whose_address_is_bound_anew_is_over() {
        let (mut sessions, owner) = store();
        assert!(sessions.push(&owner, "<message/>".into()));
        let over = sessions.replace(&owner);
        assert_eq!(over.first().map(|session| session.unacked.len()), Some(1));
        assert!(sessions.is_empty() && sessions.take("s1", &owner).is_err());
    }

    /// What the session was granted holds where it is less than what the store keeps.
    #[test]
    fn a_session_waits_no_longer_than_granted() {
        let (mut sessions, owner) = store();
        let mut session = sessions.take("s1", &owner).unwrap();
        session.max = Some(5);
        sessions.suspend(session, Instant::EPOCH);
        assert_eq!(sessions.expire(Instant::from_millis(5000)).len(), 1);
        assert!(sessions.is_empty());
    }

    /// Of one account so many wait; where one more comes the one that would expire first does so, and hands back what it
    /// holds. Another account loses nothing.
    #[test]
    fn an_account_has_so_many_places_and_its_oldest_session_makes_room() {
        let (sessions, owner) = store();
        let mut sessions = sessions.per_account(2);
        assert!(sessions.push(&owner, "<message/>".into()));
        let mut suspend = |id: &str, owner: &str, at: u64| {
            let owner: Jid = owner.parse().unwrap();
            let session = Session::new(id, &owner, Count::new(0), Count::new(0), Vec::new());
            sessions.suspend(session, Instant::from_millis(at));
            let over = sessions.expire(Instant::from_millis(at));
            over.into_iter()
                .map(|over| (over.id, over.unacked.len()))
                .collect::<Vec<_>>()
        };
        assert_eq!(suspend("s2", "juliet@capulet.lit/orchard", 10), []);
        assert_eq!(
            suspend("s2", "juliet@capulet.lit/orchard", 20),
            [],
            "the same"
        );
        assert_eq!(suspend("r1", "romeo@montague.lit/orchard", 30), []);
        assert_eq!(
            suspend("s3", "juliet@capulet.lit/hall", 40),
            [("s1".to_owned(), 1)]
        );
        assert_eq!(sessions.len(), 3);
        let left: Vec<String> = sessions
            .expire(Instant::from_millis(70_000))
            .into_iter()
            .map(|over| over.id)
            .collect();
        assert_eq!(
            left,
            ["s2", "r1", "s3"],
            "the first to expire is the first out"
        );
        assert_eq!(sessions.next_expiry(), None);
    }
}
