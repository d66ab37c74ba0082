//! The end that asks to send stanzas of a pair (XEP-0220 §2.1.1).
//!
//! | state of a pair | takes | leads to |
//! |---|---|---|
//! | not asked for | `ask` | `db:result` is sent; asked |
//! | asked | its answer | [`Event::Concluded`]; not asked for |
//! | asked | the deadline | [`Event::Concluded`]; given up |
//! | given up | `ask` | asked again |
//! | given up | `valid` after all | [`Event::Concluded`]; not asked for |
//! | not asked for | an answer | dropped (BIDI-22) |
//! | any | the end | [`Event::Concluded`] where it is asked; ended |
//!
//! A late `valid` counts: it answers a request of ours on this stream, and the peer relies on it. On a bidirectional stream
//! it sends stanzas of the inverse pair from then on, which would cost the stream if it were dropped.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use core::time::Duration;

use onetrip_stream::{Domain, Env, Instant, Secret};

use crate::{
    Action, Answer, Ask, Dropped, Event, Key, Message, Outcome, Pair, StreamId, Support, Verdict,
};

/// How requests are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct OriginatingConfig {
    /// How long to wait for an answer. Default: 60 s, since the peer dials back in that time.
    pub timeout: Duration,
}

impl Default for OriginatingConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(60),
        }
    }
}

/// Why a target domain may be asked for on a stream that was opened to another (XEP-0220 §2.6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TargetGround {
    /// It resolves to the address and port of this connection; the peer must also understand errors.
    SameAddress,
    /// The peer has proved it here, on a bidirectional stream (XEP-0220 §2.6.2, XEP-0288 §2.2).
    Proved,
}

/// A request that cannot be made. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The pair is being asked for.
    #[error("expected a pair that is not asked for yet: wait for its answer")]
    Pending,
    /// The stream was not opened to this target domain, and nothing says that it may be asked for here.
    #[error(
        "expected a target domain that may be asked for on this stream, got another: open a connection for it"
    )]
    Target,
    /// The peer does not understand dialback errors, so an unknown target could cost the stream.
    #[error(
        "expected a peer that announces dialback errors, and it does not: open a connection for the pair"
    )]
    Errors,
    /// The peer does not announce dialback, so it may never answer.
    #[error("expected a peer that announces dialback, and it does not: try a certificate")]
    Unannounced,
    /// The stream has ended.
    #[error("expected an open stream, and it has ended: open another")]
    Ended,
}

/// The end that asks. One machine for one stream: a restart brings a new stream id and a new machine.
///
/// On a bidirectional stream the receiving entity has one too, with the id that it issued itself (BIDI-14, BIDI-R6).
///
/// ```
/// # use onetrip_dialback::{Action, Answer, Event, Originating, Outcome, Pair, StreamId, Verdict};
/// # use onetrip_stream::{Domain, Env, Instant, Secret};
/// # let mut entropy = |out: &mut [u8]| out.fill(4);
/// # let mut env = Env::new(Instant::from_millis(0), &mut entropy);
/// let domain = |name| Domain::new(name).unwrap();
/// let pair = Pair::new(domain("capulet.example"), domain("montague.example"));
/// let id = StreamId::new("D60000229F").unwrap();
/// let mut machine = Originating::new(Secret::from("s3cr3tf0rd14lb4ck"), id, pair.to.clone());
/// machine.ask(&mut env, pair.clone()).unwrap();
/// assert!(matches!(machine.poll_action(), Some(Action::Send(result)) if result.name() == "result"));
/// machine.handle(&Answer { pair: pair.clone(), verdict: Verdict::Valid });
/// let outcome = Outcome::Valid;
/// assert_eq!(machine.poll_action(), Some(Action::Event(Event::Concluded { pair, outcome })));
/// ```
#[derive(Debug)]
pub struct Originating {
    config: OriginatingConfig,
    secret: Secret,
    id: StreamId,
    targets: BTreeSet<Domain>,
    support: Support,
    asked: BTreeMap<Pair, Instant>,
    /// Given up, and not answered yet.
    late: BTreeSet<Pair>,
    ended: bool,
    actions: VecDeque<Action>,
}

impl Originating {
    /// For a stream with this id, opened to `target`. The secret is shared with whoever answers for our domains
    /// (XEP-0185 §2).
    #[must_use]
    pub fn new(secret: Secret, id: StreamId, target: Domain) -> Self {
        Self {
            config: OriginatingConfig::default(),
            secret,
            id,
            targets: BTreeSet::from([target]),
            support: Support::Unannounced,
            asked: BTreeMap::new(),
            late: BTreeSet::new(),
            ended: false,
            actions: VecDeque::new(),
        }
    }

    /// The same with another configuration.
    #[must_use]
    pub fn with_config(mut self, config: OriginatingConfig) -> Self {
        self.config = config;
        self
    }

    /// The next thing to do, in order.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// What the peer's features say about dialback.
    pub fn features(&mut self, support: Support) {
        self.support = support;
    }

    /// Lets another target domain be asked for on this stream. One that may be already needs no further ground.
    ///
    /// # Errors
    /// [`AskError::Errors`] for a target by address, when the peer does not understand errors (XEP-0220 §2.6.2).
    pub fn add_target(&mut self, target: Domain, ground: TargetGround) -> Result<(), AskError> {
        if self.targets.contains(&target) {
            return Ok(());
        }
        if ground == TargetGround::SameAddress && self.support != Support::Errors {
            return Err(AskError::Errors);
        }
        self.targets.insert(target);
        Ok(())
    }

    /// Asks to send stanzas of a pair.
    ///
    /// # Errors
    /// [`AskError`] when it may not be asked for now.
    pub fn ask(&mut self, env: &mut Env<'_>, pair: Pair) -> Result<(), AskError> {
        if self.ended {
            return Err(AskError::Ended);
        }
        if !self.targets.contains(&pair.to) {
            return Err(AskError::Target);
        }
        if self.asked.contains_key(&pair) {
            return Err(AskError::Pending);
        }
        let key = Key::generate(&self.secret, &pair, &self.id);
        let ask = Ask {
            pair: pair.clone(),
            key,
        };
        self.actions.push_back(Action::say(&Message::Ask(ask)));
        self.asked.insert(pair, env.now + self.config.timeout);
        Ok(())
    }

    /// Takes in a `db:result` with `type`.
    pub fn handle(&mut self, answer: &Answer) {
        let pair = answer.pair.clone();
        let asked = self.asked.remove(&pair).is_some();
        let late = !asked && self.late.remove(&pair) && answer.verdict == Verdict::Valid;
        let event = if !self.ended && (asked || late) {
            Event::Concluded {
                pair,
                outcome: answer.verdict.into(),
            }
        } else {
            Event::Dropped {
                pair,
                what: Dropped::Unsolicited,
            }
        };
        self.actions.push_back(Action::Event(event));
    }

    /// Whether a key of ours for this pair and stream is waiting for its answer here. The
    /// [`Authoritative`](crate::Authoritative) machine vouches for no other (digest §6.2).
    #[must_use]
    pub fn awaits(&self, pair: &Pair, id: &StreamId) -> bool {
        self.id == *id && self.asked.contains_key(pair)
    }

    /// The stream's id.
    #[must_use]
    pub fn id(&self) -> &StreamId {
        &self.id
    }

    /// When to call [`Originating::handle_timeout`]: the first request has waited long enough.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.asked.values().copied().min()
    }

    /// Gives up on the requests whose time is over; does nothing when called early.
    pub fn handle_timeout(&mut self, env: &mut Env<'_>) {
        let now = env.now;
        self.give_up(Outcome::TimedOut, |deadline| deadline <= now);
    }

    /// The stream has ended, whoever ended it.
    pub fn end(&mut self) {
        self.ended = true;
        self.give_up(Outcome::Ended, |_| true);
    }

    fn give_up(&mut self, outcome: Outcome, over: impl Fn(Instant) -> bool) {
        let (actions, late) = (&mut self.actions, &mut self.late);
        self.asked.retain(|pair, deadline| {
            let over = over(*deadline);
            if over {
                let pair = pair.clone();
                late.insert(pair.clone());
                actions.push_back(Action::Event(Event::Concluded { pair, outcome }));
            }
            !over
        });
    }
}
