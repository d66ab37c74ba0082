//! The end that is asked to resume within SASL2 (XEP-0397).
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | idle | a login with `<inst-resume/>` | deciding, or refused |
//! | deciding | `accept`, `without_session`, `refuse` | spent |
//! | spent | a login | refused: there is one attempt for each connection (ISR-R6) |

use std::collections::VecDeque;

use minidom::Element;
use onetrip_stream::{Env, ResponderProof, Token, TokenProof, ns};

use crate::{KeyClaim, KeySwap, sasl2};

/// What the caller must do, in order.
#[derive(Clone)]
#[must_use = "an action that is not carried out leaves the peer waiting"]
#[non_exhaustive]
pub enum LoginAction {
    /// Ask whoever keeps the keys, and answer.
    Prove(KeySwap),
    /// The key is good: this proves the server, within the mechanism's answer.
    Proved(ResponderProof),
    /// Put this into `<success/>`.
    Answer(Element),
    /// Fail the authentication by `not-authorized`; an ordinary login may follow on the same stream (§4.2.4).
    Refused,
}

impl core::fmt::Debug for LoginAction {
    /// An element is named only, since it holds a key.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Prove(swap) => f.debug_tuple("Prove").field(swap).finish(),
            Self::Proved(_) => f.write_str("Proved([hidden])"),
            Self::Answer(element) => write!(f, "Answer(<{}/>)", element.name()),
            Self::Refused => f.write_str("Refused"),
        }
    }
}

#[derive(Debug)]
enum State {
    Idle,
    Deciding { session: String, fresh: Token },
    Spent,
}

/// The attempts of one connection, of which there is one.
///
/// ```
/// # use onetrip_isr::{Dialect, Initiator, Keys, LoginAction, LoginReceiver, Ticket, Token, Verdict};
/// # use onetrip_stream::{Env, Instant, Jid, Prover, Secret, TokenProof};
/// # let mut entropy = |out: &mut [u8]| out.fill(7);
/// # let mut env = Env::new(Instant::EPOCH, &mut entropy);
/// let juliet: Jid = "juliet@capulet.lit".parse().unwrap();
/// let (key, mechanism, mut keys) = (Token::read("k3y").unwrap(), "HT-SHA-256-NONE", Keys::default());
/// keys.issue(key.clone(), Some(mechanism), &juliet, "s1", Instant::from_millis(300_000));
/// let dialect = Dialect::Sasl2 { session: "s1".into(), mechanism: mechanism.into() };
/// let mut client = Initiator::new(Ticket::of(dialect, key.clone(), None));
/// let inline = client.request(42).unwrap(); // rides in <authenticate mechanism='HT-SHA-256-NONE'/>
/// let mac = TokenProof::prove(key.secret(), Prover::Initiator, b""); // which carries this
///
/// let mut server = LoginReceiver::new();
/// let proof = TokenProof::new(Secret::new(mac.to_vec()), Secret::default());
/// server.login(&mut env, &inline, mechanism, proof);
/// let Some(LoginAction::Prove(swap)) = server.poll_action() else { panic!() };
/// let proof = keys.swap(&swap, Some(&juliet), env.now).unwrap();
/// server.accept(21, proof); // what has been handled in that session
/// assert!(matches!(server.poll_action(), Some(LoginAction::Proved(_))));
/// let Some(LoginAction::Answer(answer)) = server.poll_action() else { panic!() };
/// assert!(matches!(client.handle(&answer), Ok(Verdict::Resumed { h: 21, .. })));
/// ```
#[derive(Debug)]
pub struct LoginReceiver {
    state: State,
    actions: VecDeque<LoginAction>,
}

impl Default for LoginReceiver {
    fn default() -> Self {
        Self::new()
    }
}

impl LoginReceiver {
    /// A connection on which nothing was asked yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: State::Idle,
            actions: VecDeque::new(),
        }
    }

    /// Whether this asks for resumption within SASL2: what the caller looks for in `<authenticate/>`.
    #[must_use]
    pub fn is_request(element: &Element) -> bool {
        element.is("inst-resume", ns::ISR_SASL2)
    }

    /// The next thing to do, in order.
    pub fn poll_action(&mut self) -> Option<LoginAction> {
        self.actions.pop_front()
    }

    /// Whether whoever keeps the keys has been asked and has not answered.
    #[must_use]
    pub fn is_deciding(&self) -> bool {
        matches!(self.state, State::Deciding { .. })
    }

    /// Takes in `<inst-resume/>`, and the proof that the mechanism carries. Never anything that came as early data
    /// (XEP-0397 §6).
    pub fn login(
        &mut self,
        env: &mut Env<'_>,
        inst_resume: &Element,
        mechanism: &str,
        proof: TokenProof,
    ) {
        if self.is_deciding() {
            // Nothing is read behind a decision that is pending.
            return;
        }
        let request = sasl2::read_inst_resume(inst_resume);
        let (State::Idle, Some((session, h))) = (&self.state, request) else {
            return self.refuse();
        };
        let fresh = Token::generate(env);
        self.state = State::Deciding {
            session: session.clone(),
            fresh: fresh.clone(),
        };
        let mechanism = Some(mechanism.to_owned());
        let claim = KeyClaim {
            session,
            mechanism,
            proof,
        };
        let swap = KeySwap::new(claim, fresh, h);
        self.actions.push_back(LoginAction::Prove(swap));
    }

    /// The keys are swapped and the session goes on, with so many stanzas handled. Does nothing when nothing is being
    /// decided.
    pub fn accept(&mut self, h: u32, proof: ResponderProof) {
        if let State::Deciding { session, fresh } = &self.state {
            let answer = sasl2::inst_resumed(fresh, session, h);
            self.proved(proof, answer);
        }
    }

    /// The key was good and the session is gone: the client is in, and has to bind a resource (§4.2.2). Does nothing
    /// when nothing is being decided.
    pub fn without_session(&mut self, h: Option<u32>, condition: &str, proof: ResponderProof) {
        if self.is_deciding() {
            self.proved(proof, sasl2::inst_resume_failed(h, condition));
        }
    }

    fn proved(&mut self, proof: ResponderProof, answer: Element) {
        self.state = State::Spent;
        self.actions.push_back(LoginAction::Proved(proof));
        self.actions.push_back(LoginAction::Answer(answer));
    }

    /// The key was not good (§4.2.4).
    pub fn refuse(&mut self) {
        self.state = State::Spent;
        self.actions.push_back(LoginAction::Refused);
    }
}
