//! A server's tokens and keys: what whoever keeps them is asked within a login (XEP-0484, XEP-0397).

#[cfg(feature = "scram")]
use minidom::Element;
use onetrip_fast as fast;
use onetrip_isr as isr;
use onetrip_negotiation::{sasl, sasl2};
#[cfg(feature = "scram")]
use onetrip_stream::TokenProof;
use onetrip_stream::{Env, Jid, ResponderProof};

use super::Receiver;
use crate::shell::Shell;
use crate::{Answer, Request, UsageError};

/// The HT mechanisms that a channel allows which binds by these types, the best first, as a client should ask for it.
pub(super) fn token_mechanisms(binds: impl Fn(sasl::BindingType) -> bool) -> Vec<sasl::Mechanism> {
    let possible = |mechanism: &sasl::Mechanism| {
        mechanism.is_built_in() && mechanism.binding_type().is_none_or(&binds)
    };
    let all = sasl::Mechanism::TOKEN.into_iter().rev();
    all.filter(possible).collect()
}

impl Receiver {
    /// A token was proved: whoever keeps the tokens has to say whether it is one of theirs.
    #[cfg(feature = "scram")]
    pub(super) fn on_token(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        username: String,
        mechanism: sasl::Mechanism,
        proof: TokenProof,
    ) {
        let Some(account) = self.account_of(shell, &username) else {
            return;
        };
        let Some(login) = &mut self.sasl2 else {
            return;
        };
        let mut inline = login.machine.inline().iter();
        let asks = inline.find(|element| isr::LoginReceiver::is_request(element));
        if let Some(request) = asks.cloned() {
            login.shown_by = Some(username);
            return self.on_key(env, shell, account, &request, mechanism, proof);
        }
        let Some(tokens) = &mut login.tokens else {
            return self.refuse_token(env, shell, sasl::Refusal::NotAuthorized);
        };
        let agent = login.machine.user_agent();
        let client = agent.and_then(|agent| agent.id.as_deref());
        let attempt = fast::Attempt::new(&account, client, login.machine.inline());
        let attempt = match login.machine.is_early() {
            true => attempt.early(),
            false => attempt,
        };
        tokens.login(env, &attempt, mechanism.name(), proof);
        login.shown_by = Some(username);
        self.drain_tokens(env, shell);
    }

    /// The proof was good, and this proves the server.
    #[cfg(feature = "scram")]
    fn accept_token(&mut self, env: &mut Env<'_>, shell: &mut Shell, proof: ResponderProof) {
        let shown_by = self.sasl2.as_mut().and_then(|login| login.shown_by.take());
        let answer = sasl::Answer::Token {
            identity: shown_by.unwrap_or_default(),
            proof,
        };
        self.on_sasl2(env, shell, sasl2::ReceiverInput::Answer(answer));
    }

    fn refuse_token(&mut self, env: &mut Env<'_>, shell: &mut Shell, refusal: sasl::Refusal) {
        let answer = sasl::Answer::Refuse(refusal);
        self.on_sasl2(env, shell, sasl2::ReceiverInput::Answer(answer));
    }

    /// The key of a session was proved, maybe: never as early data (ISR-R7), and by nobody but whom the header names (ISR-27).
    #[cfg(feature = "scram")]
    fn on_key(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        account: Jid,
        request: &Element,
        mechanism: sasl::Mechanism,
        proof: TokenProof,
    ) {
        let named = self.claimed.as_ref();
        let other = named.is_some_and(|named| !named.same_bare(&account));
        let Some(login) = &mut self.sasl2 else {
            return;
        };
        let keys = login.keys.as_mut().filter(|_| !other);
        let Some(keys) = keys.filter(|_| !login.machine.is_early()) else {
            return self.refuse_token(env, shell, sasl::Refusal::NotAuthorized);
        };
        keys.login(env, request, mechanism.name(), proof);
        self.drain_keys(env, shell, Some(account));
    }

    /// Whether the key that was asked about is a login's.
    pub(super) fn is_login_by_key(&self) -> bool {
        let keys = self.sasl2.as_ref().and_then(|login| login.keys.as_ref());
        keys.is_some_and(isr::LoginReceiver::is_deciding)
    }

    /// What whoever keeps the keys has said about a login's.
    pub(super) fn on_login_key(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        result: Result<ResponderProof, isr::Refused>,
    ) {
        if let Some(keys) = self.sasl2.as_mut().and_then(|login| login.keys.as_mut()) {
            match result {
                Ok(proof) => keys.accept(proof),
                Err(_) => keys.refuse(),
            }
        }
        self.drain_keys(env, shell, None);
    }

    fn drain_keys(&mut self, env: &mut Env<'_>, shell: &mut Shell, account: Option<Jid>) {
        let keys = self.sasl2.as_mut().and_then(|login| login.keys.as_mut());
        match keys.and_then(isr::LoginReceiver::poll_action) {
            Some(isr::LoginAction::Prove(swap)) => self.ask_about_key(shell, account, swap),
            #[cfg(feature = "scram")]
            Some(isr::LoginAction::Proved(proof)) => self.accept_token(env, shell, proof),
            Some(isr::LoginAction::Refused) => {
                self.refuse_token(env, shell, sasl::Refusal::NotAuthorized);
            }
            _ => {}
        }
    }

    pub(super) fn drain_tokens(&mut self, env: &mut Env<'_>, shell: &mut Shell) {
        while let Some(action) = self
            .sasl2
            .as_mut()
            .and_then(|login| login.tokens.as_mut()?.poll_action())
        {
            match action {
                fast::Action::Swap(swap) => {
                    shell.request(Request::FastSwap(swap));
                }
                fast::Action::Issue(issue) => {
                    shell.request(Request::FastIssue(issue));
                }
                #[cfg(feature = "scram")]
                fast::Action::Proved(proof) => self.accept_token(env, shell, proof),
                fast::Action::Refused(refused) => {
                    let named = |refusal: &&sasl::Refusal| refusal.name() == refused.condition();
                    let refusal = sasl::Refusal::ALL.iter().find(named).copied();
                    let refusal = refusal.unwrap_or(sasl::Refusal::NotAuthorized);
                    self.refuse_token(env, shell, refusal);
                }
                fast::Action::Answer(elements) => self.finish_login(env, shell, elements),
                _ => {}
            }
        }
    }

    /// What whoever keeps the tokens has said.
    pub(super) fn on_token_answer(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        answer: Answer,
    ) -> Result<(), UsageError> {
        let tokens = self.sasl2.as_mut().and_then(|login| login.tokens.as_mut());
        let tokens = tokens.filter(|tokens| tokens.is_deciding());
        match (answer, tokens) {
            (Answer::FastIssued(expiry), Some(tokens)) => tokens.issued(expiry),
            (Answer::FastSwap(result), Some(tokens)) => tokens.swapped(result),
            _ => return Err(UsageError::NotAsked),
        }
        self.drain_tokens(env, shell);
        // What a session sends again has waited for the token to go out before it.
        if !self.is_inline() {
            self.drain_management(env, shell);
        }
        Ok(())
    }
}
