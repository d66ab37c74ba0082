//! The server's side: what a login by token asks of the store, and what is handed out.
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | any | a login by token | deciding, or idle: refused at once |
//! | deciding | the store's answer | proved, or idle: refused |
//! | proved | [`Receiver::authenticated`] | answered |
//! | idle | the same, behind another login | issuing, or answered: no token is asked for |
//! | issuing | [`Receiver::issued`] | answered |
//! | any | [`Receiver::failed`] | idle |

use minidom::Element;
use onetrip_stream::{Env, Jid, ResponderProof, Token, TokenProof};

use crate::element::{self, can_go_early};
use crate::{Accepted, Claim, DateTime, Feature, Fresh, Refused};

/// The longest id of a client, in bytes; a UUID has 36.
const MAX_CLIENT: usize = 256;

/// An authentication that is under way.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Attempt<'a> {
    /// The account; its resource is of no account.
    pub account: &'a Jid,
    /// The id of the client's installation, from SASL2's `<user-agent/>`.
    pub client: Option<&'a str>,
    /// What rides along.
    pub inline: &'a [Element],
    /// Whether it came as early data.
    pub early: bool,
}

impl<'a> Attempt<'a> {
    /// One that came behind the handshake.
    #[must_use]
    pub fn new(account: &'a Jid, client: Option<&'a str>, inline: &'a [Element]) -> Self {
        Self {
            account,
            client,
            inline,
            early: false,
        }
    }

    /// The same, as early data.
    #[must_use]
    pub fn early(mut self) -> Self {
        self.early = true;
        self
    }

    fn client(&self) -> Option<&'a str> {
        self.client
            .filter(|client| !client.is_empty() && client.len() <= MAX_CLIENT)
    }
}

/// One step for whatever keeps the tokens, done whole or not at all, so that of two nodes that ask at once one is
/// refused. [`Tokens::swap`](crate::Tokens::swap) is such a step.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Swap {
    /// What the client has shown.
    pub claim: Claim,
    /// The token that it gets if that is asked for or due.
    pub fresh: Fresh,
}

/// A token to hand out behind another authentication. [`Tokens::issue`](crate::Tokens::issue) does it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Issue {
    /// The account, without a resource.
    pub account: Jid,
    /// The id of the client's installation.
    pub client: String,
    /// The token.
    pub token: Token,
    /// The only mechanism that it is good for.
    pub mechanism: String,
}

impl Issue {
    /// A token that is there already: to fill a store with.
    #[must_use]
    pub fn new(account: &Jid, client: &str, token: Token, mechanism: &str) -> Self {
        Self {
            account: account.to_bare(),
            client: client.to_owned(),
            token,
            mechanism: mechanism.to_owned(),
        }
    }
}

/// What the caller must do.
#[derive(Clone)]
#[must_use = "an action that is not carried out leaves the client waiting"]
#[non_exhaustive]
pub enum Action {
    /// Ask the store, and say [`Receiver::swapped`].
    Swap(Swap),
    /// Tell the store, and say [`Receiver::issued`].
    Issue(Issue),
    /// The token is good: this proves the server, within the mechanism's answer.
    Proved(ResponderProof),
    /// It is not: fail the authentication by [`Refused::condition`].
    Refused(Refused),
    /// Put these into `<success/>`.
    Answer(Vec<Element>),
}

impl core::fmt::Debug for Action {
    /// An element is named only, since it holds a token.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Swap(swap) => f.debug_tuple("Swap").field(swap).finish(),
            Self::Issue(issue) => f.debug_tuple("Issue").field(issue).finish(),
            Self::Proved(_) => f.write_str("Proved([hidden])"),
            Self::Refused(refused) => f.debug_tuple("Refused").field(refused).finish(),
            Self::Answer(elements) => write!(f, "Answer({} elements)", elements.len()),
        }
    }
}

#[derive(Debug)]
enum State {
    Idle,
    Deciding(Token),
    /// A token was good, and maybe another is handed out.
    Proved(Option<Element>),
    Issuing(Token),
    Answered,
}

/// The tokens of one stream.
///
/// See [`Tokens`](crate::Tokens) for how one is handed out.
#[derive(Debug)]
pub struct Receiver {
    feature: Feature,
    state: State,
    action: Option<Action>,
}

impl Receiver {
    /// Takes and hands out tokens as it is offered.
    #[must_use]
    pub fn new(feature: Feature) -> Self {
        Self {
            feature,
            state: State::Idle,
            action: None,
        }
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.action.take()
    }

    /// Whether the store has been asked and has not answered.
    #[must_use]
    pub fn is_deciding(&self) -> bool {
        matches!(self.state, State::Deciding(_) | State::Issuing(_))
    }

    /// A client logs in by a token: asks the store, or refuses at once. An attempt before is forgotten.
    pub fn login(
        &mut self,
        env: &mut Env<'_>,
        attempt: &Attempt<'_>,
        mechanism: &str,
        proof: TokenProof,
    ) {
        match self.claim(attempt, mechanism, proof) {
            Err(refused) => self.refuse(refused),
            Ok((claim, asked)) => {
                let token = Token::generate(env);
                self.state = State::Deciding(token.clone());
                let fresh = Fresh { token, asked };
                self.action = Some(Action::Swap(Swap { claim, fresh }));
            }
        }
    }

    fn refuse(&mut self, refused: Refused) {
        self.state = State::Idle;
        self.action = Some(Action::Refused(refused));
    }

    fn claim(
        &self,
        attempt: &Attempt<'_>,
        mechanism: &str,
        proof: TokenProof,
    ) -> Result<(Claim, Option<String>), Refused> {
        let fast = element::only(attempt.inline, "fast").map_err(|_| Refused::Malformed)?;
        let fast = fast.ok_or(Refused::NotFast)?;
        let (count, invalidate) = element::read_fast(fast).map_err(|_| Refused::Malformed)?;
        let client = attempt.client().ok_or(Refused::Malformed)?;
        if !self.feature.offers(mechanism) {
            return Err(Refused::NotOffered);
        }
        if attempt.early && !(self.feature.early && can_go_early(mechanism)) {
            return Err(Refused::Replay);
        }
        let asked = self.asked(attempt).map_err(|_| Refused::Malformed)?;
        let claim = Claim {
            account: attempt.account.to_bare(),
            client: client.to_owned(),
            mechanism: mechanism.to_owned(),
            proof,
            count,
            early: attempt.early,
            invalidate,
        };
        Ok((claim, asked))
    }

    /// The mechanism that a token is asked for, if it is one of ours (§3.2).
    fn asked(&self, attempt: &Attempt<'_>) -> Result<Option<String>, crate::Error> {
        let request = element::only(attempt.inline, "request-token")?;
        let mechanism = request.and_then(|request| request.attr("mechanism"));
        let offered = mechanism.filter(|mechanism| self.feature.offers(mechanism));
        Ok(offered.map(str::to_owned))
    }

    /// The store has answered. Does nothing when it was not asked.
    pub fn swapped(&mut self, result: Result<Accepted, Refused>) {
        let State::Deciding(token) = &self.state else {
            return;
        };
        match result {
            Err(refused) => self.refuse(refused),
            Ok(accepted) => {
                let expiry = accepted.granted;
                let answer = expiry.map(|expiry| element::token(token, expiry));
                self.state = State::Proved(answer);
                self.action = Some(Action::Proved(accepted.proof));
            }
        }
    }

    /// The client has authenticated, by a token or otherwise, all tasks included: answers what it asked for (§3.3).
    pub fn authenticated(&mut self, env: &mut Env<'_>, attempt: &Attempt<'_>) {
        if let State::Proved(answer) = &mut self.state {
            let answer = answer.take();
            return self.answer(answer);
        }
        if !matches!(self.state, State::Idle) {
            return;
        }
        let asked = self.asked(attempt).ok().flatten();
        let (Some(mechanism), Some(client)) = (asked, attempt.client()) else {
            return self.answer(None);
        };
        let token = Token::generate(env);
        self.state = State::Issuing(token.clone());
        self.action = Some(Action::Issue(Issue {
            account: attempt.account.to_bare(),
            client: client.to_owned(),
            token,
            mechanism,
        }));
    }

    /// The store has taken the token in, until then. Does nothing when it was not told.
    pub fn issued(&mut self, expiry: DateTime) {
        if let State::Issuing(token) = &self.state {
            let element = element::token(token, expiry);
            self.answer(Some(element));
        }
    }

    /// The authentication has failed behind all this: what it left is forgotten.
    pub fn failed(&mut self) {
        self.state = State::Idle;
        self.action = None;
    }

    fn answer(&mut self, element: Option<Element>) {
        self.state = State::Answered;
        self.action = Some(Action::Answer(element.into_iter().collect()));
    }
}
