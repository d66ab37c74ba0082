//! A server whose client goes on with a session: by a token before authentication, or behind a login.
//!
//! Decide, reply, replay: the decision is a request to whoever keeps the sessions, the replay is the same for both.

use minidom::Element;
use onetrip_isr as isr;
use onetrip_stream::Env;
use onetrip_stream_management as sm;

use super::super::unexpected;
use super::{Receiver, Resuming};
use crate::order::{self, Step};
use crate::shell::{Notable, Shell};
use crate::{Request, UsageError};

impl Receiver {
    /// An element of stream management. What is out of order is refused, and the stream goes on (XEP-0198 §3, QS-38).
    pub(super) fn on_management(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        element: &Element,
    ) {
        let step = match element.name() {
            "enable" => Step::Enable,
            "resume" => Step::Resume,
            _ => Step::Count,
        };
        let order = order::check(step, shell.facts);
        if let (Step::Count, Err(condition)) = (step, order) {
            return unexpected(shell, element.name(), condition);
        }
        let result = shell.management.handle(shell.now, element, order.is_ok());
        self.drain_management(env, shell);
        if let Err(error) = result {
            shell.fail(error.into());
        }
    }

    pub(super) fn drain_management(&mut self, env: &mut Env<'_>, shell: &mut Shell) {
        while let Some(notable) = shell.poll_management() {
            match notable {
                Notable::Request(sm::Request::Enable { resume, max }) => {
                    self.ask_to_enable(env, shell, resume, max);
                }
                Notable::Request(sm::Request::Resume { previd, .. }) => {
                    let Some(account) = self.authenticated.clone() else {
                        continue;
                    };
                    self.ask(shell, Resuming::Login, Request::Resume { account, previd });
                }
                Notable::Resumed => {
                    if let Some(jid) = self.jid.clone() {
                        if self.is_inline() {
                            self.inline_resumed(env, shell, jid);
                            if self.is_inline() {
                                // What is sent again waits for `<success/>`, and that for a decision.
                                return;
                            }
                        } else {
                            self.go_online(shell, jid, true);
                        }
                    }
                }
                Notable::Request(_) | Notable::Refused | Notable::Unanswered => {}
            }
        }
    }

    pub(super) fn ask(&mut self, shell: &mut Shell, what: Resuming, request: Request) {
        self.resuming = Some(what);
        shell.request(request);
    }

    fn ask_to_enable(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        resume: bool,
        max: Option<u32>,
    ) {
        let Some(owner) = self.jid.clone() else {
            return;
        };
        let grant = self.grant(env, shell).filter(|_| resume);
        let token = grant.as_ref().and_then(|grant| grant.token.as_ref());
        let request = Request::Enable {
            owner,
            resume,
            max,
            token: token.map(isr::Token::hash),
            key: grant.as_ref().and_then(|grant| grant.key.clone()),
        };
        shell.management.instant.grant_with(grant);
        self.ask(shell, Resuming::Enabling, request);
    }

    pub(super) fn on_enable_answer(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        granted: Option<sm::Granted>,
    ) -> Result<(), UsageError> {
        if !matches!(self.resuming, Some(Resuming::Enabling)) {
            return Err(UsageError::NotAsked);
        }
        self.resuming = None;
        if let Some(machine) = shell.management.as_receiver() {
            match granted {
                Some(granted) => machine.grant(granted),
                None => machine.refuse("feature-not-implemented", None),
            }
        }
        self.drain_management(env, shell);
        shell.management.instant.grant_with(None);
        if self.is_inline() {
            self.inline_enabled(env, shell);
        }
        Ok(())
    }

    /// The session was found. It goes on here, or goes back unharmed.
    pub(super) fn on_session(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        session: sm::Session,
    ) -> Result<(), UsageError> {
        let claimed = match &self.resuming {
            Some(Resuming::Login) => &self.authenticated,
            Some(Resuming::Token { .. }) => &self.claimed,
            Some(Resuming::Enabling | Resuming::Proving { .. }) | None => {
                shell.give_back(session);
                return Err(UsageError::NotAsked);
            }
        };
        // ISR-27, XEP-0198 §5: whatever the store says, nobody gets another's session.
        let owned = claimed
            .as_ref()
            .is_some_and(|claimed| claimed.same_bare(&session.owner))
            && self.domain.as_ref() == Some(session.owner.domain());
        if !owned {
            shell.give_back(session);
            return self.on_no_session(env, shell, None);
        }
        let what = self.resuming.take();
        self.jid = Some(session.owner.clone());
        let result = match what {
            Some(Resuming::Token { h, proof }) => {
                self.resume_by_token(shell, &session, sm::Count::new(h), proof.as_ref())
            }
            _ => match shell.management.as_receiver() {
                Some(machine) => machine.resume(shell.now, &session),
                None => Err(sm::Error::OutOfTurn),
            },
        };
        match result {
            Ok(()) => {
                shell.management.bound(&session.owner);
                self.drain_management(env, shell);
            }
            Err(error) => {
                // MongooseIM 2dd3036ce: a wrong h costs the peer its stream, and nobody the session.
                shell.give_back(session);
                shell.fail(error.into());
            }
        }
        Ok(())
    }

    pub(super) fn on_no_session(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        h: Option<sm::Count>,
    ) -> Result<(), UsageError> {
        const UNKNOWN: &str = "item-not-found";
        match &self.resuming {
            Some(Resuming::Login) => {
                if let Some(machine) = shell.management.as_receiver() {
                    machine.refuse(UNKNOWN, h);
                }
            }
            Some(Resuming::Token { .. }) => {
                self.instant.refuse(h.map(sm::Count::value), UNKNOWN);
                self.drain_instant(shell);
            }
            Some(Resuming::Enabling | Resuming::Proving { .. }) | None => {
                return Err(UsageError::NotAsked);
            }
        }
        self.resuming = None;
        self.drain_management(env, shell);
        if self.is_inline() {
            self.inline_refused(env, shell);
        }
        Ok(())
    }
}
