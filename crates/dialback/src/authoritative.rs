//! The end that vouches for keys (XEP-0220 §2.2.2).
//!
//! | asked about | answer |
//! |---|---|
//! | a sender domain that is not ours | `item-not-found` |
//! | a key that waits on this very connection | `not-acceptable` (BIDI-11, BIDI-R7) |
//! | a key that waits on no stream of ours | `invalid` (digest §6.2) |
//! | any other key | `valid` if it is the one we made, `invalid` if not |

use std::collections::VecDeque;

use onetrip_stream::{Domain, Secret};

use crate::{Action, Event, Key, Message, Reason, Verdict, Verified, Verify};

/// What is vouched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct AuthoritativeConfig {
    /// Whether a key is vouched for although no stream is known to wait for it: for an authoritative server that shares
    /// nothing but the secret with the servers that ask (XEP-0185 §2). It makes reverse dialback open to replays
    /// (digest §6.2). Default: no.
    pub vouch_for_unknown_streams: bool,
}

/// Where a key of ours for this pair and stream id waits for its answer: the driver or core looks it up with
/// [`Originating::awaits`](crate::Originating::awaits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Awaited {
    /// On another connection, as it should be.
    Elsewhere,
    /// On the connection on which we are being asked.
    Here,
    /// Nowhere.
    Nowhere,
}

/// The end that vouches.
///
/// ```
/// # use onetrip_dialback::{Action, Authoritative, Awaited, Key, Pair, StreamId, Verify};
/// # use onetrip_stream::{Domain, Secret};
/// # let domain = |name| Domain::new(name).unwrap();
/// # let pair = Pair::new(domain("montague.example"), domain("capulet.example"));
/// let key = Key::read("225cc5aa6a071133249d25fef42ae516fc7a86c523aa1c6980a7f73e784c972d").unwrap();
/// let verify = Verify { pair, id: StreamId::new("417GAF25").unwrap(), key };
/// let mut machine = Authoritative::new(Secret::from("d14lb4ck43v3r"));
/// machine.handle(&verify, |name| name.as_str() == "montague.example", Awaited::Elsewhere);
/// assert!(matches!(machine.poll_action(), Some(Action::Send(answer)) if answer.attr("type") == Some("valid")));
/// ```
#[derive(Debug)]
pub struct Authoritative {
    config: AuthoritativeConfig,
    secret: Secret,
    actions: VecDeque<Action>,
}

impl Authoritative {
    /// With the secret that keys are made from.
    #[must_use]
    pub fn new(secret: Secret) -> Self {
        Self {
            config: AuthoritativeConfig::default(),
            secret,
            actions: VecDeque::new(),
        }
    }

    /// The same with another configuration.
    #[must_use]
    pub fn with_config(mut self, config: AuthoritativeConfig) -> Self {
        self.config = config;
        self
    }

    /// The next thing to do, in order.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Takes in a `db:verify` without `type`.
    pub fn handle(&mut self, verify: &Verify, hosted: impl Fn(&Domain) -> bool, awaited: Awaited) {
        let pair = verify.pair.clone();
        // Made whatever the answer will be, so that its time says nothing about what we wait for.
        let ours = Key::generate(&self.secret, &pair, &verify.id) == verify.key;
        let known = awaited == Awaited::Elsewhere || self.config.vouch_for_unknown_streams;
        let verdict = if !hosted(&pair.from) {
            Verdict::Error(Reason::ItemNotFound)
        } else if awaited == Awaited::Here {
            Verdict::Error(Reason::NotAcceptable)
        } else if known && ours {
            Verdict::Valid
        } else {
            Verdict::Invalid
        };
        let answer = Message::Verified(Verified {
            pair: pair.clone(),
            id: verify.id.clone(),
            verdict,
        });
        self.actions.push_back(Action::say(&answer));
        self.actions
            .push_back(Action::Event(Event::Vouched { pair, verdict }));
    }
}
