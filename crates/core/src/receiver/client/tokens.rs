//! A server's tokens: what whoever keeps them is asked within a login (XEP-0484).

use onetrip_fast as fast;
use onetrip_negotiation::{sasl, sasl2};
use onetrip_stream::Env;

use super::Receiver;
use crate::shell::Shell;
use crate::{Action, Answer, Request, UsageError};

/// The HT mechanisms that a channel allows which binds by these types.
pub(super) fn tokens_for(binds: impl Fn(sasl::BindingType) -> bool, early: bool) -> fast::Feature {
    let possible = |mechanism: &sasl::Mechanism| {
        mechanism.is_built_in() && mechanism.binding_type().is_none_or(&binds)
    };
    // The best first, as a client should ask for it.
    let all = sasl::Mechanism::TOKEN.into_iter().rev();
    let feature = fast::Feature::new(all.filter(possible).map(|mechanism| mechanism.name()));
    match early {
        true => feature.with_early_data(),
        false => feature,
    }
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
        proof: onetrip_stream::TokenProof,
    ) {
        let Some(account) = self.account_of(shell, &username) else {
            return;
        };
        let Some(login) = &mut self.sasl2 else {
            return;
        };
        let Some(tokens) = &mut login.tokens else {
            return;
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

    pub(super) fn drain_tokens(&mut self, env: &mut Env<'_>, shell: &mut Shell) {
        while let Some(action) = self
            .sasl2
            .as_mut()
            .and_then(|login| login.tokens.as_mut()?.poll_action())
        {
            match action {
                fast::Action::Swap(swap) => {
                    shell.pending = true;
                    shell.push(Action::Request(Request::FastSwap(swap)));
                }
                fast::Action::Issue(issue) => {
                    shell.pending = true;
                    shell.push(Action::Request(Request::FastIssue(issue)));
                }
                #[cfg(feature = "scram")]
                fast::Action::Proved(proof) => {
                    let shown_by = self.sasl2.as_mut().and_then(|login| login.shown_by.take());
                    let answer = sasl::Answer::Token {
                        identity: shown_by.unwrap_or_default(),
                        proof,
                    };
                    self.on_sasl2(env, shell, sasl2::ReceiverInput::Answer(answer));
                }
                fast::Action::Refused(refused) => {
                    let named = |refusal: &&sasl::Refusal| refusal.name() == refused.condition();
                    let refusal = sasl::Refusal::ALL.iter().find(named).copied();
                    let refusal = refusal.unwrap_or(sasl::Refusal::NotAuthorized);
                    let answer = sasl::Answer::Refuse(refusal);
                    self.on_sasl2(env, shell, sasl2::ReceiverInput::Answer(answer));
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
