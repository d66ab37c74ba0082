//! The server's side of what outlives a connection: the sessions that may be resumed, and the tokens for them.

use core::time::Duration;
use std::collections::BTreeMap;

use bytes::Bytes;
use onetrip_fast as fast;
use onetrip_isr::{Claim, KeySwap, Keys, Refused, Rotation, Swap, TokenHash, Tokens};
use onetrip_stream::{Env, Instant, Jid, ResponderProof};
use onetrip_stream_management::{Count, Granted, QueueLimits, Session, Sessions, Unknown};

use crate::action::Lesson;
use crate::{Answer, EntityEvent, Request};

/// As long as a connection lives, so does its token.
const WHILE_CONNECTED: Instant = Instant::from_epoch(Duration::MAX);

/// What has become of a request for a session.
#[derive(Debug)]
#[must_use = "a client waits for it"]
pub enum Decision {
    /// Give this to the connection that asked.
    Answer(Answer),
    /// The session is with another connection of this server, whose client has left it: take it by
    /// [`Connection::hand_over`](crate::Connection::hand_over) there, and answer with [`Answer::Session`] here; if it has
    /// none by then, ask again by [`Registry::find`].
    Fetch {
        /// The name of the session.
        session: String,
        /// Whose it is.
        owner: Jid,
    },
}

/// Sessions and tokens, in memory: what [`Entity`](crate::Entity) is to a client.
///
/// It decides the requests of its connections and learns from their events. Several nodes of a server may share one,
/// behind whatever makes [`Registry::decide`] one step: a token that is shown on two of them at once is taken once.
/// A server that keeps its sessions elsewhere answers the same requests itself.
///
/// ```
/// # use core::time::Duration;
/// # use onetrip_core::{Answer, Decision, Registry, Request};
/// # use onetrip_core::stream::{Env, Instant};
/// # let mut entropy = |out: &mut [u8]| out.fill(4);
/// # let env = &mut Env::new(Instant::EPOCH, &mut entropy);
/// let mut registry = Registry::new(Duration::from_secs(300));
/// let owner = "juliet@capulet.lit/balcony".parse().unwrap();
/// let request = Request::Enable { owner, resume: true, max: None, token: None, key: None };
/// let Some(Decision::Answer(Answer::Enable(Some(granted)))) = registry.decide(env, &request) else { panic!() };
/// assert!(granted.id.is_some());
/// ```
#[derive(Debug, Clone)]
pub struct Registry {
    keep: Duration,
    sessions: Sessions,
    tokens: Tokens,
    keys: Keys,
    /// Sessions that are over and hold what has to be sent elsewhere.
    over: Vec<Session>,
    /// The tokens for logins, and what date it was when.
    logins: fast::Tokens,
    date: Option<(Instant, fast::DateTime)>,
    /// The sessions that are with a connection, and whose they are.
    connected: BTreeMap<String, Jid>,
}

impl Registry {
    /// Keeps sessions so long behind the end of their connections; each token is good once.
    #[must_use]
    pub fn new(keep: Duration) -> Self {
        Self::with(keep, QueueLimits::default(), Rotation::default())
    }

    /// The same with bounds for what waits in a session, and a rule for tokens whose successor may have been lost
    /// (ISR-R3).
    #[must_use]
    pub fn with(keep: Duration, limits: QueueLimits, rotation: Rotation) -> Self {
        Self {
            keep,
            sessions: Sessions::new(keep, limits),
            tokens: Tokens::new(rotation),
            keys: Keys::new(rotation),
            over: Vec::new(),
            logins: fast::Tokens::default(),
            date: None,
            connected: BTreeMap::new(),
        }
    }

    /// The same registry with places for so many sessions of one account that wait: [`Sessions::per_account`].
    #[must_use]
    pub fn per_account(mut self, sessions: usize) -> Self {
        self.sessions = self.sessions.per_account(sessions);
        self
    }

    /// Says what date it is, by which tokens for logins end (XEP-0484): [`Request::FastIssue`] and [`Request::FastSwap`] are
    /// decided from here on.
    pub fn set_date(&mut self, now: Instant, date: fast::DateTime) {
        self.date = Some((now, date));
    }

    fn date(&self, now: Instant) -> Option<fast::DateTime> {
        let (then, date) = self.date?;
        Some(date.after(now.since(then).as_secs()))
    }

    /// The tokens for logins, to store them: as they are, so keep them as you would passwords.
    #[must_use]
    pub fn logins(&self) -> &fast::Tokens {
        &self.logins
    }

    /// The same, to give back what was stored, to set their terms or to revoke the tokens of one client.
    pub fn logins_mut(&mut self) -> &mut fast::Tokens {
        &mut self.logins
    }

    /// Decides about stream management, resumption and, if it knows the date, tokens for logins; `None` for other requests.
    #[must_use]
    pub fn decide(&mut self, env: &mut Env<'_>, request: &Request) -> Option<Decision> {
        Some(match request {
            Request::Enable {
                owner,
                resume,
                max,
                token,
                key,
            } => {
                let granted = if *resume {
                    self.open(env, owner, *max)
                } else {
                    Granted::default()
                };
                if let (Some(id), Some(token)) = (&granted.id, token) {
                    self.tokens.issue(*token, owner, id, WHILE_CONNECTED);
                }
                if let (Some(id), Some(key)) = (&granted.id, key) {
                    self.keys.issue(key, owner, id, WHILE_CONNECTED);
                }
                Decision::Answer(Answer::Enable(Some(granted)))
            }
            Request::Resume { account, previd } => self.find(previd, account),
            Request::InstantResume { account, swap, .. } => {
                self.swap(env.now, account.as_ref(), swap)
            }
            Request::KeySwap { account, swap } => {
                let swapped = self.prove(env.now, account.as_ref(), swap);
                Decision::Answer(Answer::KeySwap(swapped))
            }
            Request::FastIssue(issue) => {
                let date = self.date(env.now)?;
                Decision::Answer(Answer::FastIssued(self.logins.issue(issue, date)))
            }
            Request::FastSwap(swap) => {
                let date = self.date(env.now)?;
                Decision::Answer(Answer::FastSwap(self.logins.swap(swap, date)))
            }
            _ => return None,
        })
    }

    /// A wrong proof costs its owner the session, if that waits: what it holds comes out as if it had expired (ISR-R6,
    /// XEP-0397 §4.2.4). One that is with a connection goes on there, and has no key.
    fn prove(
        &mut self,
        now: Instant,
        account: Option<&Jid>,
        swap: &KeySwap,
    ) -> Result<ResponderProof, Refused> {
        let swapped = self.keys.swap(swap, account, now);
        if let (Err(Refused::Proof { session }), Some(account)) = (&swapped, account) {
            if let Ok(session) = self.sessions.take(session, account) {
                self.end(&session.id, &session.owner, session.handled);
                self.over.push(session);
            }
        }
        swapped
    }

    fn open(&mut self, env: &mut Env<'_>, owner: &Jid, max: Option<u32>) -> Granted {
        let kept = u32::try_from(self.keep.as_secs()).unwrap_or(u32::MAX);
        let mut granted = Granted::default();
        let id = env.random_id();
        self.connected.insert(id.clone(), owner.clone());
        granted.id = Some(id);
        granted.max = Some(max.unwrap_or(kept).min(kept));
        granted
    }

    /// Finds a session for a connection of its owner. The same answer for one that does not exist and for one that is
    /// somebody else's (XEP-0198 §5).
    pub fn find(&mut self, id: &str, account: &Jid) -> Decision {
        let owner = self.connected.get(id);
        if let Some(owner) = owner.filter(|owner| owner.same_bare(account)) {
            return Decision::Fetch {
                session: id.to_owned(),
                owner: owner.clone(),
            };
        }
        match self.sessions.take(id, account) {
            Ok(session) => {
                self.connected.insert(id.to_owned(), session.owner.clone());
                self.prolong(id, WHILE_CONNECTED);
                Decision::Answer(Answer::Session(Box::new(session)))
            }
            Err(Unknown { h, .. }) => Decision::Answer(Answer::NoSession { h }),
        }
    }

    fn swap(&mut self, now: Instant, account: Option<&Jid>, swap: &Swap) -> Decision {
        let swapped = self.tokens.swap(&swap.claim, swap.fresh, account, now);
        match (swapped, account) {
            (Ok(id), Some(account)) => self.find(&id, account),
            (Err(Refused::Expired { session }), Some(account)) => {
                let h = self.sessions.h(&session, account);
                Decision::Answer(Answer::NoSession { h })
            }
            _ => Decision::Answer(Answer::NoSession { h: None }),
        }
    }

    /// Learns from a connection: a session that was cut off waits from here on, one that is over is forgotten.
    pub fn handle(&mut self, event: EntityEvent, now: Instant) {
        match event.0 {
            Lesson::Suspended(resumption, _) => self.suspend(resumption.session, now),
            Lesson::Over { id, owner, h } => self.end(&id, &owner, h),
            Lesson::Report(_) | Lesson::Tokens(_) => {}
        }
    }

    /// Keeps a session that has no connection: one that was on its way to a connection which is over by now, or one that
    /// was stored elsewhere, with what its token is found by.
    pub fn keep(&mut self, session: Session, token: Option<TokenHash>, now: Instant) {
        if let Some(token) = token {
            let account = session.owner.to_bare();
            self.tokens
                .issue(token, &account, &session.id, WHILE_CONNECTED);
        }
        self.suspend(session, now);
    }

    fn suspend(&mut self, session: Session, now: Instant) {
        let id = session.id.clone();
        self.connected.remove(&id);
        let until = self.sessions.suspend(session, now);
        self.prolong(&id, until);
    }

    fn prolong(&mut self, id: &str, until: Instant) {
        self.tokens.prolong(id, until);
        self.keys.prolong(id, until);
    }

    fn end(&mut self, id: &str, owner: &Jid, h: Count) {
        self.connected.remove(id);
        self.revoke_session(id);
        self.sessions.end(id, owner, h);
    }

    fn revoke_session(&mut self, id: &str) {
        self.tokens.revoke_session(id);
        self.keys.revoke_session(id);
    }

    /// A token was shown in clear ([`Event::TokenExposed`](crate::Event::TokenExposed), ISR-R5).
    pub fn revoke(&mut self, claim: &Claim) {
        self.tokens.revoke(claim);
    }

    /// The proof of a key was shown in clear ([`Event::ProofExposed`](crate::Event::ProofExposed), ISR-R5).
    pub fn revoke_key(&mut self, session: &str) {
        self.keys.revoke_session(session);
    }

    /// The client has its new token ([`Event::TokenConfirmed`](crate::Event::TokenConfirmed), ISR-R3).
    pub fn confirm(&mut self, session: &str) {
        self.tokens.confirm(session);
        self.keys.confirm(session);
    }

    /// All tokens and keys of an account die, as when its password changes (digest §6.2).
    pub fn revoke_account(&mut self, account: &Jid) {
        self.tokens.revoke_account(account);
        self.keys.revoke_account(account);
        self.logins.revoke_account(account);
    }

    /// A stanza for an address whose session waits: it goes out on resumption. `false` when none waits or it is full.
    pub fn push(&mut self, owner: &Jid, stanza: Bytes) -> bool {
        self.sessions.push(owner, stanza)
    }

    /// An address is bound anew: the sessions that wait for it are over, and what they hold has to be sent elsewhere or
    /// back.
    #[must_use = "what the sessions hold is lost if it is not handed back"]
    pub fn replace(&mut self, owner: &Jid) -> Vec<Session> {
        let over = self.sessions.replace(owner);
        for session in &over {
            self.revoke_session(&session.id);
        }
        over
    }

    /// The addresses whose sessions wait.
    pub fn waiting(&self) -> impl Iterator<Item = &Jid> {
        self.sessions.owners()
    }

    /// How many sessions are with a connection.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.connected.len()
    }

    /// When to call [`Registry::expire`] next.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Instant> {
        let over = (!self.over.is_empty()).then_some(Instant::EPOCH);
        over.or_else(|| self.sessions.next_expiry())
    }

    /// Takes out the sessions whose time is over: what they hold has to be sent elsewhere or back.
    #[must_use = "what the sessions hold is lost if it is not handed back"]
    pub fn expire(&mut self, now: Instant) -> Vec<Session> {
        let mut expired = self.sessions.expire(now);
        for session in &expired {
            self.revoke_session(&session.id);
        }
        self.tokens.expire(now);
        self.keys.expire(now);
        expired.append(&mut self.over);
        if let Some(date) = self.date(now) {
            self.logins.expire(date);
        }
        expired
    }
}
