//! The end that is asked to resume.
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | idle | a request under TLS, before authentication | deciding; spent when it is malformed |
//! | idle | a request elsewhere | spent, and refused |
//! | idle | a request with a proof, likewise | proving |
//! | deciding | `accept`, `refuse` | spent |
//! | proving | `accept_proved`, `refuse` | spent |
//! | deciding, proving | a request | refused behind the answer to the first |
//! | spent | a request | refused |
//! | any but broken | an element that is no request | broken |
//! | any | a request in clear | its token, or its session, is reported besides |

use std::collections::VecDeque;

use minidom::Element;
use onetrip_stream::{Env, ResponderProof, Secret, TokenProof};

use crate::{Action, Claim, Error, Event, KeyClaim, KeySwap, Place, Swap, Token, wire};

/// Too late, or once too often (ISR-28).
const UNEXPECTED: &str = "unexpected-request";

#[derive(Debug)]
enum ReceiverState {
    Idle,
    /// The store is being asked. Nobody sees the fresh token before it has agreed.
    Deciding {
        fresh: Token,
    },
    /// The same for a key, of the second text.
    Proving {
        fresh: Token,
    },
    Spent,
    Broken(Error),
}

/// The attempts of one connection, of which there is one (ISR-R6): nobody guesses tokens twice on the same handshake.
///
/// ```
/// # use minidom::Element;
/// # use onetrip_isr::{Action, Place, Receiver, Tokens, Token, Claim};
/// # use onetrip_stream::{Build, Env, Instant, Jid, ns};
/// # let mut entropy = |out: &mut [u8]| out.fill(7);
/// # let mut env = Env::new(Instant::EPOCH, &mut entropy);
/// let juliet: Jid = "juliet@capulet.lit".parse().unwrap();
/// let (old, mut tokens) = (Token::read("old").unwrap(), Tokens::default());
/// tokens.issue(old.hash(), &juliet, "s1", Instant::from_millis(300_000));
///
/// let mut machine = Receiver::new();
/// let request = Element::bare("inst-resume", ns::ISR).with_attr("tok", "old").with_attr("h", "42");
/// machine.handle(&mut env, &request, Place::Secured).unwrap();
/// let Some(Action::Request(swap)) = machine.poll_action() else { panic!() };
/// // `juliet` is the `from` of the stream header.
/// match tokens.swap(&swap.claim, swap.fresh, Some(&juliet), env.now) {
///     Ok(session) => machine.accept(21), // what has been handled in that session
///     Err(refused) => machine.refuse(None, refused.condition()),
/// }
/// let Some(Action::Send(answer)) = machine.poll_action() else { panic!() };
/// assert_eq!((answer.name(), answer.attr("h")), ("inst-resumed", Some("21")));
/// ```
#[derive(Debug)]
pub struct Receiver {
    state: ReceiverState,
    /// What the second text binds its proofs to; without it, that is not taken.
    end_point: Option<Secret>,
    /// Refusals that are owed to requests which came while the first was being decided: a number, since a peer can
    /// send any number of them.
    late: u32,
    actions: VecDeque<Action>,
}

impl Default for Receiver {
    fn default() -> Self {
        Self::new()
    }
}

impl Receiver {
    /// A connection on which nothing was asked yet. One for the whole connection, its restarts included.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: ReceiverState::Idle,
            end_point: None,
            late: 0,
            actions: VecDeque::new(),
        }
    }

    /// Takes requests of the second text, too, whose proofs are bound to this hash of our certificate:
    /// `tls-server-end-point` (RFC 5929 §4).
    #[must_use]
    pub fn with_end_point(mut self, hash: Secret) -> Self {
        self.end_point = Some(hash);
        self
    }

    /// The next thing to do, in order.
    pub fn poll_action(&mut self) -> Option<Action> {
        if let Some(action) = self.actions.pop_front() {
            return Some(action);
        }
        if self.late == 0 || self.is_deciding() {
            return None;
        }
        self.late = self.late.saturating_sub(1);
        Some(Action::Send(wire::failed(None, UNEXPECTED)))
    }

    /// Whether the store has been asked and has not answered: meanwhile nothing else should be read.
    #[must_use]
    pub fn is_deciding(&self) -> bool {
        matches!(
            self.state,
            ReceiverState::Deciding { .. } | ReceiverState::Proving { .. }
        )
    }

    /// Takes in `<inst-resume/>` or `<instant-resume/>` (ISR-11).
    ///
    /// # Errors
    /// [`Error::OutOfTurn`] for any other element, and from then on.
    pub fn handle(
        &mut self,
        env: &mut Env<'_>,
        element: &Element,
        place: Place,
    ) -> Result<(), Error> {
        if let ReceiverState::Broken(error) = self.state {
            return Err(error);
        }
        if !wire::is_request(element) {
            self.state = ReceiverState::Broken(Error::OutOfTurn);
            return Err(Error::OutOfTurn);
        }
        match (place, &self.state) {
            (Place::Clear, _) => self.exposed(element),
            (Place::Secured, ReceiverState::Idle) => self.attempt(env, element),
            (Place::Secured | Place::Authenticated, _) => self.answer_no(UNEXPECTED),
        }
        Ok(())
    }

    /// Whoever listened has the token now, so it is reported each time, before the refusal (ISR-14, ISR-R5).
    fn exposed(&mut self, element: &Element) {
        if let Some(token) = wire::token(element) {
            let event = Event::Exposed(Claim::Token(token.hash()));
            self.actions.push_back(Action::Event(event));
        }
        if let (Some(session), Some(_)) = (wire::previd(element), wire::mac(element)) {
            let event = Event::ProofExposed(session.to_owned());
            self.actions.push_back(Action::Event(event));
        }
        self.answer_no("policy-violation");
    }

    fn attempt(&mut self, env: &mut Env<'_>, element: &Element) {
        if let Some((swap, fresh)) = self.proof(env, element) {
            self.actions.push_back(Action::Prove(swap));
            self.state = ReceiverState::Proving { fresh };
            return;
        }
        let Some((token, h)) = wire::token(element).zip(wire::count(element)) else {
            return self.answer_no("bad-request");
        };
        let fresh = Token::generate(env);
        self.actions.push_back(Action::Request(Swap {
            claim: Claim::Token(token.hash()),
            fresh: fresh.hash(),
            h,
        }));
        self.state = ReceiverState::Deciding { fresh };
    }

    /// A request of the second text, if it is one and is taken.
    fn proof(&self, env: &mut Env<'_>, element: &Element) -> Option<(KeySwap, Token)> {
        let bound = self.end_point.clone()?;
        let (session, h) = (wire::previd(element)?, wire::count(element)?);
        let mac = Secret::new(wire::mac(element)?);
        let claim = KeyClaim {
            session: session.to_owned(),
            mechanism: None,
            proof: TokenProof::new(mac, bound),
        };
        let fresh = Token::generate(env);
        Some((KeySwap::new(claim, fresh.clone(), h), fresh))
    }

    /// Refuses what is not asked of the store. Behind the answer to what is, or the peer would take one for the other.
    fn answer_no(&mut self, condition: &str) {
        if self.is_deciding() {
            self.late = self.late.saturating_add(1);
        } else {
            self.state = ReceiverState::Spent;
            let refusal = wire::failed(None, condition);
            self.actions.push_back(Action::Send(refusal));
        }
    }

    /// The store has swapped the tokens: says so, with the new one and how many stanzas were handled in the session
    /// (ISR-15). Does nothing when nothing is being decided.
    ///
    /// It goes behind the features (ISR-16). The old connection of the session is to be closed (ISR-26), and `h` of
    /// the request to be checked against what was sent (ISR-28); both are for whoever knows the session.
    pub fn accept(&mut self, h: u32) {
        if let ReceiverState::Deciding { fresh } = &self.state {
            let answer = wire::inst_resumed(fresh, h);
            self.actions.push_back(Action::Send(answer));
            self.state = ReceiverState::Spent;
        }
    }

    /// The same for a key, with what proves to the client that it is known here.
    pub fn accept_proved(&mut self, h: u32, proof: &ResponderProof) {
        if let ReceiverState::Proving { fresh } = &self.state {
            let answer = wire::proved(fresh, h, proof.as_bytes());
            self.actions.push_back(Action::Send(answer));
            self.state = ReceiverState::Spent;
        }
    }

    /// The store has refused: says so, with a stanza error such as `item-not-found`, and how many stanzas were
    /// handled if that is remembered (ISR-20, ISR-21). Does nothing when nothing is being decided.
    ///
    /// The stream goes on, and authentication may follow (ISR-22).
    pub fn refuse(&mut self, h: Option<u32>, condition: &str) {
        if self.is_deciding() {
            let answer = wire::failed(h, condition);
            self.actions.push_back(Action::Send(answer));
            self.state = ReceiverState::Spent;
        }
    }
}
