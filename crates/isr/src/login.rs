//! The end that is asked to resume within SASL2 (XEP-0397).
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | idle | a login with `<inst-resume/>` | deciding, or refused |
//! | deciding | `accept`, `refuse` | proved, spent |
//! | proved | `answer` | spent |
//! | proved, spent | a login | refused: there is one attempt for each connection (ISR-R6) |

use minidom::Element;
use onetrip_stream::{Env, ResponderProof, Token, TokenProof, ns};

use crate::{KeyClaim, KeySwap, sasl2};

/// What the caller must do.
#[derive(Debug, Clone)]
#[must_use = "an action that is not carried out leaves the peer waiting"]
#[non_exhaustive]
pub enum LoginAction {
    /// Ask whoever keeps the keys, and answer.
    Prove(KeySwap),
    /// The key is good: this proves the server, within the mechanism's answer.
    Proved(ResponderProof),
    /// Fail the authentication by `not-authorized`; an ordinary login may follow on the same stream (§4.2.4).
    Refused,
}

#[derive(Debug)]
enum State {
    Idle,
    Deciding(Token),
    Proved(Token),
    Spent,
}

/// The attempts of one connection, of which there is one.
///
/// ```
/// # use minidom::Element;
/// # use onetrip_isr::{Dialect, Initiator, KeyGrant, Keys, LoginAction, LoginReceiver, Ticket, Token, Verdict};
/// # use onetrip_stream::{Build as _, Env, Instant, Jid, Prover, Secret, TokenProof, ns};
/// # let mut entropy = |out: &mut [u8]| out.fill(7);
/// # let mut env = Env::new(Instant::EPOCH, &mut entropy);
/// let juliet: Jid = "juliet@capulet.lit".parse().unwrap();
/// let (key, mechanism, mut keys) = (Token::read("k3y").unwrap(), "HT-SHA-256-NONE", Keys::default());
/// keys.issue(&KeyGrant::new(key.clone(), Some(mechanism)), &juliet, "s1", Instant::from_millis(300_000));
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
/// server.accept(proof);
/// assert!(matches!(server.poll_action(), Some(LoginAction::Proved(_))));
/// // What `<resume/>` asked for is stream management's to find, and its answer goes into `<success/>`:
/// let resumed = Element::bare("resumed", ns::STREAM_MANAGEMENT).with_attr("previd", "s1").with_attr("h", "21");
/// let answer = server.answer(resumed);
/// assert!(matches!(client.handle(&answer), Ok(Verdict::Resumed { h: 21, .. })));
/// ```
#[derive(Debug)]
pub struct LoginReceiver {
    state: State,
    action: Option<LoginAction>,
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
            action: None,
        }
    }

    /// Whether this asks for resumption within SASL2: what the caller looks for in `<authenticate/>`.
    #[must_use]
    pub fn is_request(element: &Element) -> bool {
        element.is("inst-resume", ns::ISR_SASL2)
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<LoginAction> {
        self.action.take()
    }

    /// Whether whoever keeps the keys has been asked and has not answered.
    #[must_use]
    pub fn is_deciding(&self) -> bool {
        matches!(self.state, State::Deciding(_))
    }

    /// Whether the key was good, and what it resumes is still to be answered.
    #[must_use]
    pub fn is_proved(&self) -> bool {
        matches!(self.state, State::Proved(_))
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
        self.state = State::Deciding(fresh.clone());
        let mechanism = Some(mechanism.to_owned());
        let claim = KeyClaim {
            session,
            mechanism,
            proof,
        };
        self.action = Some(LoginAction::Prove(KeySwap::new(claim, fresh, h)));
    }

    /// The keys are swapped: the client is in, and the `<resume/>` [inside](sasl2::inside) is next. Does nothing when
    /// nothing is being decided.
    pub fn accept(&mut self, proof: ResponderProof) {
        if let State::Deciding(fresh) = &self.state {
            self.state = State::Proved(fresh.clone());
            self.action = Some(LoginAction::Proved(proof));
        }
    }

    /// Puts what stream management says to that into what goes into `<success/>`: `<resumed/>` with the new key (§4.2.1),
    /// `<failed/>` without; then the client has to bind a resource (§4.2.2). Anything else is as it was.
    #[must_use]
    pub fn answer(&mut self, said: Element) -> Element {
        let of_management = said.has_ns(ns::STREAM_MANAGEMENT);
        match (&self.state, said.name()) {
            (State::Proved(fresh), "resumed") if of_management => {
                let answer = sasl2::inst_resumed(fresh, said);
                self.state = State::Spent;
                answer
            }
            (State::Proved(_), "failed") if of_management => {
                self.state = State::Spent;
                sasl2::inst_resume_failed(said)
            }
            _ => said,
        }
    }

    /// The key was not good (§4.2.4).
    pub fn refuse(&mut self) {
        self.state = State::Spent;
        self.action = Some(LoginAction::Refused);
    }
}
