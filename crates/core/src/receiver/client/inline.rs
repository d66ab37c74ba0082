//! What rides along in a client's login is carried out before `<success/>`, in one flight.
//!
//! Resumption first, then the resource, then what is enabled with it; each may wait for a decision. Their answers are
//! caught and go into `<success/>`; what a resumed session sends again follows behind it.

use minidom::Element;
use onetrip_fast as fast;
use onetrip_isr as isr;
use onetrip_negotiation::{bind, bind2, sasl, sasl2};
use onetrip_quickstart::Stage;
use onetrip_stream::{Build, Env, Jid, ns};

use super::sasl2::Login;
use super::{Receiver, tasks};
use crate::order::Facts;
use crate::shell::Shell;
use crate::{Event, Request, TaskStep, UsageError};

#[derive(Debug)]
pub(super) struct Inline {
    machine: bind2::Receiver,
    account: Jid,
    /// What is to be enabled with the resource that is being asked for.
    enable: Vec<Element>,
    /// What goes into `<success/>`, while the last of it is still to come.
    answers: Vec<Element>,
}

impl Login {
    /// What rides along; of a session whose key was proved, stream management's part (XEP-0397 §4.2).
    fn rides(&self) -> Vec<Element> {
        let by_key = self
            .keys
            .as_ref()
            .is_some_and(isr::LoginReceiver::is_proved);
        let part = |element: &Element| {
            let inside = isr::sasl2::inside(element).filter(|_| by_key);
            inside.unwrap_or(element).clone()
        };
        self.machine.inline().iter().map(part).collect()
    }
}

impl Receiver {
    /// The client has proved who it is; nobody is told before `<success/>` is out.
    pub(super) fn on_proved(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        who: &sasl2::Authenticated,
    ) {
        let Some(account) = self.account_of(shell, &who.identity) else {
            return;
        };
        // XEP-0388 §2.3: the header may have named somebody else.
        let named = self.claimed.as_ref();
        if named.is_some_and(|named| !named.same_bare(&account)) {
            return self.refuse_login(env, shell, sasl::Refusal::InvalidAuthzid);
        }
        // XEP-0484 §3.1: a token is enough, or it is not.
        let offer = self.config.sasl2.as_ref();
        let asks = offer.is_some_and(|offer| offer.tasks) && !who.mechanism.is_token();
        let Some(login) = self.sasl2.as_mut().filter(|_| asks) else {
            return self.ride_along(env, shell, account);
        };
        login.proved = Some(tasks::Proved::new(account));
        self.ask_about_task(shell, TaskStep::Proved(who.mechanism));
    }

    /// Nothing is left to prove: what rides along is carried out.
    pub(super) fn ride_along(&mut self, env: &mut Env<'_>, shell: &mut Shell, account: Jid) {
        let Some(login) = &mut self.sasl2 else {
            return;
        };
        match bind2::Receiver::new(&login.rides(), login.machine.user_agent()) {
            Err(_) => self.refuse_login(env, shell, sasl::Refusal::MalformedRequest),
            Ok(machine) => {
                self.authenticated = Some(account.clone());
                login.inline = Some(Inline {
                    machine,
                    account,
                    enable: Vec::new(),
                    answers: Vec::new(),
                });
                shell.catch();
                self.carry_out(env, shell);
            }
        }
    }

    /// Does the next thing that rides along.
    fn carry_out(&mut self, env: &mut Env<'_>, shell: &mut Shell) {
        let Some(inline) = self.sasl2.as_mut().and_then(|login| login.inline.as_mut()) else {
            return;
        };
        match inline.machine.poll_action() {
            Some(bind2::Action::Resume(resume)) => {
                self.resume_inline(env, shell, &resume);
            }
            Some(bind2::Action::Bind(wish)) => {
                let resource = Some(wish.resource(env));
                inline.enable = wish.inline;
                let account = inline.account.clone();
                let request = bind::Request::new(resource);
                shell.request(Request::Bind { account, request });
            }
            Some(bind2::Action::Answer(answers)) => self.answer_login(env, shell, answers),
            _ => {}
        }
    }

    fn resume_inline(&mut self, env: &mut Env<'_>, shell: &mut Shell, resume: &Element) {
        if self.config.management.is_none() {
            let failed = Element::bare("failed", ns::STREAM_MANAGEMENT)
                .with_child(Element::bare("feature-not-implemented", ns::STANZA_ERRORS));
            return self.inline_failed(env, shell, failed);
        }
        let result = shell.management.handle(shell.now, resume, true);
        self.drain_management(env, shell);
        match result {
            Err(error) => shell.fail(error.into()),
            // It was malformed, and has been refused already.
            Ok(()) if shell.pending.is_none() => self.inline_refused(env, shell),
            Ok(()) => {}
        }
    }

    /// Stream management has refused to go on with a session, in what was caught.
    pub(super) fn inline_refused(&mut self, env: &mut Env<'_>, shell: &mut Shell) {
        if let Some(failed) = shell.caught().pop() {
            self.inline_failed(env, shell, failed);
        }
    }

    fn inline_failed(&mut self, env: &mut Env<'_>, shell: &mut Shell, failed: Element) {
        if let Some(inline) = self.sasl2.as_mut().and_then(|login| login.inline.as_mut()) {
            inline.machine.failed(failed);
            self.carry_out(env, shell);
        }
    }

    /// A session goes on; what it sends again is next, behind `<success/>`.
    pub(super) fn inline_resumed(&mut self, env: &mut Env<'_>, shell: &mut Shell, jid: Jid) {
        let resumed = shell.caught().pop();
        let Some(login) = &mut self.sasl2 else {
            return;
        };
        let by_key = login
            .keys
            .as_ref()
            .is_some_and(isr::LoginReceiver::is_proved);
        if let (Some(inline), Some(resumed)) = (login.inline.as_mut(), resumed) {
            if by_key {
                self.unconfirmed = resumed.attr("previd").map(str::to_owned);
            }
            inline.machine.resumed(resumed);
            login.resumed = true;
            self.jid = Some(jid);
            self.carry_out(env, shell);
        }
    }

    /// The answer to the wish for a resource, within a login.
    pub(super) fn on_inline_bind(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        answer: bind::Answer,
    ) -> Result<(), UsageError> {
        let bind::Answer::Bound { jid } = answer else {
            shell.release();
            if let Some(login) = &mut self.sasl2 {
                login.inline = None;
            }
            self.refuse_login(env, shell, sasl::Refusal::TemporaryAuthFailure);
            return Ok(());
        };
        shell.management.bound(&jid);
        self.jid = Some(jid);
        let inline = self.sasl2.as_mut().and_then(|login| login.inline.as_mut());
        let wishes = inline.map(|inline| core::mem::take(&mut inline.enable));
        let enable = wishes
            .unwrap_or_default()
            .into_iter()
            .find(|wish| wish.is("enable", ns::STREAM_MANAGEMENT));
        match enable.filter(|_| self.config.management.is_some()) {
            Some(enable) => {
                let result = shell.management.handle(shell.now, &enable, true);
                self.drain_management(env, shell);
                match result {
                    Err(error) => shell.fail(error.into()),
                    Ok(()) if shell.pending.is_none() => self.inline_enabled(env, shell),
                    Ok(()) => {}
                }
            }
            None => self.inline_enabled(env, shell),
        }
        Ok(())
    }

    /// All that was to be enabled with the resource has been, or has been refused.
    pub(super) fn inline_enabled(&mut self, env: &mut Env<'_>, shell: &mut Shell) {
        let answers = shell.caught();
        if let Some(inline) = self.sasl2.as_mut().and_then(|login| login.inline.as_mut()) {
            inline.machine.bound(answers);
            self.carry_out(env, shell);
        }
    }

    fn answer_login(&mut self, env: &mut Env<'_>, shell: &mut Shell, answers: Vec<Element>) {
        shell.release();
        let Some(login) = &mut self.sasl2 else {
            return;
        };
        let Some(inline) = &mut login.inline else {
            return;
        };
        inline.answers = match &mut login.keys {
            Some(keys) => answers.into_iter().map(|said| keys.answer(said)).collect(),
            None => answers,
        };
        // A token goes out behind everything else (XEP-0484 §3.3).
        let Some(tokens) = &mut login.tokens else {
            return self.finish_login(env, shell, Vec::new());
        };
        let agent = login.machine.user_agent();
        let client = agent.and_then(|agent| agent.id.as_deref());
        let attempt = fast::Attempt::new(&inline.account, client, login.machine.inline());
        tokens.authenticated(env, &attempt);
        self.drain_tokens(env, shell);
    }

    pub(super) fn finish_login(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        tokens: Vec<Element>,
    ) {
        let Some(mut inline) = self.sasl2.as_mut().and_then(|login| login.inline.take()) else {
            return;
        };
        inline.answers.extend(tokens);
        let outcome = sasl2::Outcome::Success {
            identifier: self.jid.clone().unwrap_or(inline.account),
            inline: inline.answers,
        };
        self.on_sasl2(env, shell, sasl2::ReceiverInput::Outcome(outcome));
    }

    /// `<success/>` is out: no new document begins, and the features follow, but not behind a session that goes on
    /// (Conversations ca1ee4a56).
    pub(super) fn on_logged_in(&mut self, shell: &mut Shell, mechanism: sasl::Mechanism) {
        self.refused = false;
        shell.facts.reach(Facts::AUTHENTICATED);
        shell.receiving.reader.set_limits(shell.bounds.after);
        shell.event(Event::Authenticated {
            mechanism,
            identity: self.authenticated.clone(),
        });
        let resumed = self.sasl2.as_ref().is_some_and(|login| login.resumed);
        let bound = self.jid.clone();
        if let (true, Some(jid)) = (resumed, &bound) {
            return self.go_online(shell, jid.clone(), true);
        }
        let mut shown = self.features(Stage::Authenticated);
        let Some(jid) = bound else {
            return shell.element(&shown);
        };
        // What is done already is not offered.
        let _ = shown.remove_child("bind", ns::BIND);
        if shell.management.is_on() {
            let _ = shown.remove_child("sm", ns::STREAM_MANAGEMENT);
        }
        shell.element(&shown);
        self.go_online(shell, jid, false);
    }
}
