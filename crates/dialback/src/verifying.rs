//! The leg to the authoritative server, seen from the end that asks (XEP-0220 §2.1.2).
//!
//! | state of a verification | takes | leads to |
//! |---|---|---|
//! | none | `verify` | `db:verify` is sent; pending |
//! | pending | its answer, the deadline | [`Event::Checked`]; none |
//! | any | the end | [`Event::Checked`] where it is pending; ended |
//! | none | an answer | dropped (BIDI-22) |

use std::collections::{BTreeMap, VecDeque};

use core::time::Duration;

use onetrip_stream::{Env, Instant};

use crate::{
    Action, Checked, ConnectionId, Dropped, Event, Message, Pair, StreamId, Ticket, Verification,
    Verified, Verify,
};

/// How verifications are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyingConfig {
    /// How long to wait for an answer. Default: 20 s, so that the peer that asked hears of it before it gives up.
    pub timeout: Duration,
}

impl Default for VerifyingConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(20),
        }
    }
}

/// A verification that cannot be made here. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The key arrived on this very connection: whoever sent it would be asked about himself (BIDI-11, BIDI-R7).
    #[error(
        "expected a key from another connection, got one that arrived on this very one: verify it elsewhere"
    )]
    SameConnection,
    /// One for the same pair and stream id is pending, and the answers could not be told apart.
    #[error(
        "expected no second verification of a pair and stream id: wait for the answer to the first"
    )]
    Pending,
    /// The connection has ended.
    #[error("expected an open connection, and it has ended: open another")]
    Ended,
}

/// Why a connection to an authoritative server is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Gone {
    /// DNS knows no such domain, or the server answered `host-unknown`.
    HostUnknown,
    /// No connection could be made.
    ConnectFailed,
    /// It was there, and has ended.
    Closed,
}

impl From<Gone> for Checked {
    fn from(gone: Gone) -> Self {
        match gone {
            Gone::HostUnknown => Self::HostUnknown,
            Gone::ConnectFailed => Self::ConnectFailed,
            Gone::Closed => Self::Unanswered,
        }
    }
}

/// The end that has keys verified, on a connection to an authoritative server.
///
/// Nothing of it depends on this stream's id, so `db:verify` may follow the stream header in one write (digest §4.5).
///
/// ```
/// # use onetrip_dialback::{Action, ConnectionId, Event, Verifying, VerifyError};
/// # use onetrip_dialback::{Ask, Facts, Key, Pair, Receiving, StreamId};
/// # use onetrip_stream::{Domain, Env, Instant};
/// # let mut entropy = |out: &mut [u8]| out.fill(4);
/// # let mut env = Env::new(Instant::from_millis(0), &mut entropy);
/// # let domain = |name| Domain::new(name).unwrap();
/// # let pair = Pair::new(domain("capulet.example"), domain("montague.example"));
/// # let mut asked = Receiving::new(ConnectionId(7), StreamId::new("s1").unwrap());
/// # let facts = Facts::of(&pair, |name| *name == pair.to).secured();
/// # asked.handle(&mut env, &Ask { pair: pair.clone(), key: Key::read("k").unwrap() }, facts);
/// # let Some(Action::Request(verification)) = asked.poll_action() else { panic!() };
/// // `verification` came from the receiving machine of connection 7.
/// assert_eq!(Verifying::new(ConnectionId(7)).verify(&mut env, &verification), Err(VerifyError::SameConnection));
/// let mut machine = Verifying::new(ConnectionId(8));
/// machine.verify(&mut env, &verification).unwrap();
/// assert!(matches!(machine.poll_action(), Some(Action::Send(verify)) if verify.name() == "verify"));
/// ```
#[derive(Debug)]
pub struct Verifying {
    config: VerifyingConfig,
    connection: ConnectionId,
    pending: BTreeMap<(Pair, StreamId), (Ticket, Instant)>,
    ended: bool,
    actions: VecDeque<Action>,
}

impl Verifying {
    /// For this connection.
    #[must_use]
    pub fn new(connection: ConnectionId) -> Self {
        Self {
            config: VerifyingConfig::default(),
            connection,
            pending: BTreeMap::new(),
            ended: false,
            actions: VecDeque::new(),
        }
    }

    /// The same with another configuration.
    #[must_use]
    pub fn with_config(mut self, config: VerifyingConfig) -> Self {
        self.config = config;
        self
    }

    /// The next thing to do, in order.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Has a key verified by this peer.
    ///
    /// # Errors
    /// [`VerifyError`] when it may not be done here.
    pub fn verify(
        &mut self,
        env: &mut Env<'_>,
        verification: &Verification,
    ) -> Result<(), VerifyError> {
        if verification.ticket.connection == self.connection {
            return Err(VerifyError::SameConnection);
        }
        if self.ended {
            return Err(VerifyError::Ended);
        }
        let Verification {
            ticket,
            pair,
            id,
            key,
        } = verification.clone();
        let name = (pair.clone(), id.clone());
        if self.pending.contains_key(&name) {
            return Err(VerifyError::Pending);
        }
        self.pending
            .insert(name, (ticket, env.now + self.config.timeout));
        let verify = Message::Verify(Verify { pair, id, key });
        self.actions.push_back(Action::say(&verify));
        Ok(())
    }

    /// Takes in a `db:verify` with `type`.
    pub fn handle(&mut self, verified: &Verified) {
        let name = (verified.pair.clone(), verified.id.clone());
        let event = match self.pending.remove(&name) {
            Some((ticket, _)) => Event::Checked {
                ticket,
                checked: Checked::Answered(verified.verdict),
            },
            None => Event::Dropped {
                pair: name.0,
                what: Dropped::Unsolicited,
            },
        };
        self.actions.push_back(Action::Event(event));
    }

    /// How many answers are awaited. A connection opened for verifications alone is closed at zero (XEP-0220 §2.1.2).
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// When to call [`Verifying::handle_timeout`]: the first answer is overdue.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.pending.values().map(|(_, deadline)| *deadline).min()
    }

    /// Gives up on the answers that are overdue; does nothing when called early.
    pub fn handle_timeout(&mut self, env: &mut Env<'_>) {
        let now = env.now;
        self.give_up(Checked::Unanswered, |deadline| deadline <= now);
    }

    /// The connection could not be made, or has ended: all that is pending has failed (XEP-0220 §2.1.2).
    pub fn end(&mut self, gone: Gone) {
        self.ended = true;
        self.give_up(gone.into(), |_| true);
    }

    fn give_up(&mut self, checked: Checked, over: impl Fn(Instant) -> bool) {
        let actions = &mut self.actions;
        self.pending.retain(|_, (ticket, deadline)| {
            let over = over(*deadline);
            if over {
                let ticket = *ticket;
                actions.push_back(Action::Event(Event::Checked { ticket, checked }));
            }
            !over
        });
    }
}
