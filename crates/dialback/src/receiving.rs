//! The end that is asked to accept stanzas of a pair (XEP-0220 §2.2.1, XEP-0344).
//!
//! | state of a pair | takes | leads to |
//! |---|---|---|
//! | unknown | `db:result`, target not ours | `item-not-found`; the stream goes on |
//! | unknown | `db:result`, against a policy or a bound | an error; the stream goes on |
//! | unknown | `db:result`, certificate covers the sender | `valid` at once; valid |
//! | unknown | `db:result` otherwise | [`Action::Request`]; pending |
//! | pending | `verified` with a good outcome | `valid`; valid |
//! | pending | `verified` with `invalid`, no pair valid | `invalid` and [`Action::Close`]; closed |
//! | pending | `verified` with `invalid`, others valid | `forbidden`, or `invalid` to a peer without errors; unknown |
//! | pending | `verified` otherwise, the deadline | an error; unknown |
//! | pending | `db:result` | dropped: its one answer will come |
//! | valid | `db:result` | `valid` again |

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use core::time::Duration;

use onetrip_stream::{Domain, Env, Instant};

use crate::{
    Action, Answer, Ask, Checked, ConnectionId, Dropped, Event, Ground, Message, Pair, Reason,
    StreamId, Support, Ticket, Verdict, Verification,
};

/// What is accepted, and how much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceivingConfig {
    /// Whether a stream without TLS is refused with `policy-violation`. Default: yes.
    pub require_tls: bool,
    /// Whether a peer whose certificate does not cover the sender domain is refused with `not-authorized`. Default: no.
    pub require_certificate: bool,
    /// How many verifications may be under way at a time. Default: 16.
    pub pending: usize,
    /// How many pairs one stream may prove or try to, over its life. Default: 256. Each surplus pair is refused with
    /// `resource-constraint`, so that the peer opens another connection (XEP-0220 §2.5).
    pub pairs: usize,
    /// How long a verification may take. Default: 30 s.
    pub timeout: Duration,
}

impl Default for ReceivingConfig {
    fn default() -> Self {
        Self {
            require_tls: true,
            require_certificate: false,
            pending: 16,
            pairs: 256,
            timeout: Duration::from_secs(30),
        }
    }
}

/// What the caller knows when a pair is asked for. Nothing is taken for proved unless it is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    target_is_ours: bool,
    sender_is_ours: bool,
    secured: bool,
    certified: bool,
}

impl Facts {
    /// Looks up both domains of the pair among those we host.
    #[must_use]
    pub fn of(pair: &Pair, hosted: impl Fn(&Domain) -> bool) -> Self {
        Self {
            target_is_ours: hosted(&pair.to),
            sender_is_ours: hosted(&pair.from),
            secured: false,
            certified: false,
        }
    }

    /// There is TLS under the stream.
    #[must_use]
    pub fn secured(mut self) -> Self {
        self.secured = true;
        self
    }

    /// There is TLS under the stream, and the peer's certificate is valid now, trusted, and covers the sender domain of
    /// this pair (RFC 6125, RFC 7712 §4; XEP-0344 §2.4 asks to look at it at this moment).
    #[must_use]
    pub fn certified(mut self) -> Self {
        self.secured = true;
        self.certified = true;
        self
    }
}

#[derive(Debug, Clone, Copy)]
struct Pending {
    number: u64,
    deadline: Instant,
}

/// The end that is asked. One machine for one stream.
///
/// On a bidirectional stream the initiating entity has one too (BIDI-15), with the id of the response header.
///
/// ```
/// # use onetrip_dialback::{Action, Ask, Checked, ConnectionId, Event, Facts, Ground, Key, Pair, Receiving, StreamId, Verdict};
/// # use onetrip_stream::{Domain, Env, Instant};
/// # let mut entropy = |out: &mut [u8]| out.fill(4);
/// # let mut env = Env::new(Instant::from_millis(0), &mut entropy);
/// # let domain = |name| Domain::new(name).unwrap();
/// # let pair = Pair::new(domain("capulet.example"), domain("montague.example"));
/// # let ask = Ask { pair: pair.clone(), key: Key::read("b4835385").unwrap() };
/// let mut machine = Receiving::new(ConnectionId(1), StreamId::new("D60000229F").unwrap());
/// let facts = Facts::of(&pair, |name| name.as_str() == "montague.example").secured();
/// machine.handle(&mut env, &ask, facts);
/// let Some(Action::Request(verification)) = machine.poll_action() else { panic!() };
/// machine.verified(verification.ticket, Checked::Answered(Verdict::Valid));
/// assert!(matches!(machine.poll_action(), Some(Action::Send(result)) if result.attr("type") == Some("valid")));
/// let ground = Ground::DialedBack;
/// assert_eq!(machine.poll_action(), Some(Action::Event(Event::Validated { pair, ground })));
/// ```
#[derive(Debug)]
pub struct Receiving {
    config: ReceivingConfig,
    connection: ConnectionId,
    id: StreamId,
    support: Support,
    valid: BTreeSet<Pair>,
    pending: BTreeMap<Pair, Pending>,
    /// How many pairs have taken a place, and the number of the next ticket.
    taken: usize,
    next: u64,
    /// Whether a pair of the connection was proved without this machine.
    otherwise_valid: bool,
    closed: bool,
    actions: VecDeque<Action>,
}

impl Receiving {
    /// For the stream with this id on this connection.
    #[must_use]
    pub fn new(connection: ConnectionId, id: StreamId) -> Self {
        Self {
            config: ReceivingConfig::default(),
            connection,
            id,
            support: Support::Unannounced,
            valid: BTreeSet::new(),
            pending: BTreeMap::new(),
            taken: 0,
            next: 0,
            otherwise_valid: false,
            closed: false,
            actions: VecDeque::new(),
        }
    }

    /// The same with another configuration.
    #[must_use]
    pub fn with_config(mut self, config: ReceivingConfig) -> Self {
        self.config = config;
        self
    }

    /// The next thing to do, in order.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// What the peer's features say about dialback. Only an initiating entity has seen any; where none were seen, errors
    /// are sent all the same (XEP-0220 §2.5).
    pub fn features(&mut self, support: Support) {
        self.support = support;
    }

    /// A pair of this connection is valid for a reason of its own, such as SASL or the other direction: from now on an
    /// invalid one is not the first (XEP-0220 §2.2.1).
    pub fn otherwise_valid(&mut self) {
        self.otherwise_valid = true;
    }

    /// Takes in a `db:result` without `type`.
    pub fn handle(&mut self, env: &mut Env<'_>, ask: &Ask, facts: Facts) {
        let pair = &ask.pair;
        if self.closed || self.pending.contains_key(pair) {
            let what = if self.closed {
                Dropped::Closed
            } else {
                Dropped::Repeated
            };
            let pair = pair.clone();
            return self.note(Event::Dropped { pair, what });
        }
        if let Err(reason) = self.admit(pair, facts) {
            return self.reject(pair, Verdict::Error(reason));
        }
        if self.valid.contains(pair) {
            return self.say(pair, Verdict::Valid);
        }
        self.taken = self.taken.saturating_add(1);
        if facts.certified {
            return self.accept(pair, Ground::Certificate);
        }
        self.request(env, ask);
    }

    /// Refuses a pair for a reason that another specification gives, such as a failed check of reverse dialback
    /// (digest §6.2). Instead of [`Receiving::handle`].
    pub fn refuse(&mut self, ask: &Ask, reason: Reason) {
        if !self.closed {
            self.reject(&ask.pair, Verdict::Error(reason));
        }
    }

    /// What is in the way of a pair, cheapest and most certain first.
    fn admit(&self, pair: &Pair, facts: Facts) -> Result<(), Reason> {
        if !facts.target_is_ours {
            return Err(Reason::ItemNotFound); // With the stream open (ejabberd#3029).
        }
        if facts.sender_is_ours {
            return Err(Reason::NotAcceptable); // Nobody else speaks for a domain of ours (digest §6.2).
        }
        if self.config.require_tls && !facts.secured {
            return Err(Reason::PolicyViolation);
        }
        if self.config.require_certificate && !facts.certified {
            return Err(Reason::NotAuthorized);
        }
        if self.valid.contains(pair) {
            return Ok(());
        }
        let full = self.taken >= self.config.pairs;
        let busy = !facts.certified && self.pending.len() >= self.config.pending;
        if full || busy {
            return Err(Reason::ResourceConstraint);
        }
        Ok(())
    }

    fn request(&mut self, env: &mut Env<'_>, ask: &Ask) {
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        let deadline = env.now + self.config.timeout;
        self.pending
            .insert(ask.pair.clone(), Pending { number, deadline });
        self.actions.push_back(Action::Request(Verification {
            ticket: Ticket {
                connection: self.connection,
                number,
            },
            pair: ask.pair.clone(),
            id: self.id.clone(),
            key: ask.key.clone(),
        }));
    }

    /// Takes in the outcome of a verification. One that is not pending, because its time was over or because it is
    /// another connection's, changes nothing.
    pub fn verified(&mut self, ticket: Ticket, checked: Checked) {
        if ticket.connection != self.connection {
            return;
        }
        let of_ticket = |(_, pending): &(&Pair, &Pending)| pending.number == ticket.number;
        let Some((pair, _)) = self.pending.iter().find(of_ticket) else {
            return;
        };
        let pair = pair.clone();
        self.pending.remove(&pair);
        self.conclude(&pair, checked);
    }

    fn conclude(&mut self, pair: &Pair, checked: Checked) {
        match checked.verdict() {
            Verdict::Valid => self.accept(pair, Ground::DialedBack),
            Verdict::Invalid => self.impostor(pair),
            verdict => self.reject(pair, verdict),
        }
    }

    fn accept(&mut self, pair: &Pair, ground: Ground) {
        self.valid.insert(pair.clone());
        self.say(pair, Verdict::Valid);
        let pair = pair.clone();
        self.note(Event::Validated { pair, ground });
    }

    /// The key was invalid. The first pair costs the stream; for a later one the peer may merely be misconfigured, and
    /// `forbidden` spares the other pairs (XEP-0220 §2.1.2, §2.2.1).
    fn impostor(&mut self, pair: &Pair) {
        let first = self.valid.is_empty() && !self.otherwise_valid;
        if first || self.support == Support::Dialback {
            self.say(pair, Verdict::Invalid);
        } else {
            self.say(pair, Verdict::Error(Reason::Forbidden));
        }
        self.note(Event::Refused {
            pair: pair.clone(),
            verdict: Verdict::Invalid,
        });
        if first {
            self.actions.push_back(Action::Close);
            self.end();
        }
    }

    fn reject(&mut self, pair: &Pair, verdict: Verdict) {
        self.say(pair, verdict);
        let pair = pair.clone();
        self.note(Event::Refused { pair, verdict });
    }

    fn say(&mut self, pair: &Pair, verdict: Verdict) {
        let pair = pair.clone();
        let answer = Message::Answer(Answer { pair, verdict });
        self.actions.push_back(Action::say(&answer));
    }

    fn note(&mut self, event: Event) {
        self.actions.push_back(Action::Event(event));
    }

    /// Whether stanzas of the pair are accepted on the word of this machine.
    #[must_use]
    pub fn is_valid(&self, pair: &Pair) -> bool {
        self.valid.contains(pair)
    }

    /// Forgets a valid pair, because its domain left us or its certificate ran out. It may be asked for anew.
    pub fn withdraw(&mut self, pair: &Pair) -> bool {
        self.valid.remove(pair)
    }

    /// When to call [`Receiving::handle_timeout`]: a verification takes too long.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.pending.values().map(|pending| pending.deadline).min()
    }

    /// Answers for the verifications whose time is over; does nothing when called early.
    pub fn handle_timeout(&mut self, env: &mut Env<'_>) {
        let over: Vec<Pair> = self
            .pending
            .iter()
            .filter(|(_, pending)| pending.deadline <= env.now)
            .map(|(pair, _)| pair.clone())
            .collect();
        for pair in over {
            self.pending.remove(&pair);
            self.conclude(&pair, Checked::Unanswered);
        }
    }

    /// The stream has ended, whoever ended it. Nothing is accepted and nothing is said any more.
    pub fn end(&mut self) {
        self.closed = true;
        self.valid.clear();
        self.pending.clear();
    }
}
