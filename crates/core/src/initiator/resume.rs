//! A client that goes on with a session: by its token before authentication, or behind the login.

use minidom::Element;
use onetrip_isr as isr;
use onetrip_quickstart as quickstart;
use onetrip_quickstart::Step;
use onetrip_stream::{Env, Jid, ns};
use onetrip_stream_management::{Count, Event as ManagementEvent};

use super::{Expect, Goal, Initiator, Next};
use crate::management::Left;
use crate::order::Facts;
use crate::shell::{Notable, Shell};
use crate::{ErrorKind, Event, Reason};

impl Initiator {
    /// ISR-10, ISR-12: the request in one write with the header.
    pub(super) fn request_instant_resume(&mut self, env: &mut Env<'_>, shell: &mut Shell) -> bool {
        if self.comes_back_by_login(shell) {
            return self.log_in_by_key(env, shell);
        }
        let request = self
            .instant
            .as_mut()
            .zip(shell.management.await_resumption())
            .and_then(|(instant, h)| instant.request(h.value()));
        self.next = if let Some(request) = &request {
            shell.element(request);
            Next::Nothing
        } else {
            self.instant = None;
            Next::Auth
        };
        request.is_some()
    }

    /// What is waited for behind the features that come before authentication.
    pub(super) fn expect_behind_secured_features(&mut self, env: &Env<'_>, shell: &mut Shell) {
        if self.instant.is_some() || self.is_by_key() {
            // The server may have to fetch the session from where it is.
            let silence = self.silence(shell).max(shell.bounds.resume);
            shell.timers.set(Reason::ResumeSilence, env.now + silence);
        }
        self.expect = if self.instant.is_some() {
            Expect::InstantResumed
        } else if self.verifies() && self.next == Next::Nothing {
            Expect::Validated
        } else {
            Expect::Sasl
        };
    }

    /// What is waited for behind the features that come after it. A server that no longer offers management is not
    /// asked to resume (monal#39).
    pub(super) fn expect_behind_features(&mut self, shell: &mut Shell, features: &Element) {
        let Goal::Resource(resource) = &mut self.goal else {
            return;
        };
        resource.offers_management = features.has_child("sm", ns::STREAM_MANAGEMENT);
        let asked = shell.management.is_asked();
        if asked || (shell.management.has_session() && resource.offers_management) {
            self.expect = Expect::Resumed;
        } else {
            self.give_up_session(shell);
            if self.next == Next::Resume {
                self.next = Next::Bind;
            }
            self.expect = Expect::Bound;
        }
    }

    pub(super) fn give_up_session(&mut self, shell: &mut Shell) {
        if let Some(Left::HandedBack(entries)) = shell.management.give_up() {
            shell.event(Event::Management(ManagementEvent::HandedBack(entries)));
        }
        shell.drain_management();
    }

    /// The answer to the request to resume by token.
    pub(super) fn on_instant_answer(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        element: &Element,
    ) {
        self.measure(env);
        shell.timers.stop(Reason::ResumeSilence);
        let Some(mut instant) = self.instant.take() else {
            return self.unexpected(env, shell, element.name());
        };
        match instant.handle(element) {
            Ok(isr::Verdict::Resumed { h, ticket }) => {
                self.attempt
                    .handle(quickstart::Input::Answered(Step::InstantResume));
                // ISR-17: as if negotiated, and nothing is restarted.
                shell.facts.reach(Facts::AUTHENTICATED);
                shell.receiving.reader.set_limits(shell.bounds.after);
                let resumed = shell
                    .management
                    .instant_resumed(env.now, Count::new(h), ticket);
                self.drain_management(env, shell);
                if let Err(error) = resumed {
                    self.on_end(env, shell);
                    shell.fail(error.into());
                }
            }
            Ok(isr::Verdict::Failed { h, condition }) => {
                self.attempt
                    .handle(quickstart::Input::Answered(Step::InstantResume));
                shell.management.instant_refused(h.map(Count::new));
                shell.drain_management();
                shell.event(Event::InstantResumeRefused { condition });
                // ISR-22: the features are here, and the login goes on.
                self.expect = Expect::Sasl;
                self.next = Next::Auth;
                self.advance(env, shell);
            }
            Ok(_) => self.unexpected(env, shell, element.name()),
            Err(error) => {
                self.on_end(env, shell);
                shell.fail(error.into());
            }
        }
    }

    /// An element of stream management.
    pub(super) fn on_management(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        element: &Element,
    ) {
        if self.expect == Expect::Resumed {
            self.measure(env);
        }
        let result = shell.management.handle(env.now, element, true);
        self.drain_management(env, shell);
        if let Err(error) = result {
            self.on_end(env, shell);
            shell.fail(ErrorKind::Management(error));
        }
    }

    pub(super) fn drain_management(&mut self, env: &mut Env<'_>, shell: &mut Shell) {
        while let Some(notable) = shell.poll_management() {
            match notable {
                Notable::Resumed => {
                    if let Some(jid) = shell.management.resumed() {
                        self.on_resumed(env, shell, jid);
                    }
                }
                Notable::Refused if self.expect == Expect::Resumed => {
                    // XEP-0198 §5: bind follows on the same stream.
                    let _ = shell.management.give_up();
                    self.expect = Expect::Bound;
                    self.next = Next::Bind;
                    self.advance(env, shell);
                }
                Notable::Refused | Notable::Request(_) | Notable::Unanswered => {}
            }
        }
    }

    fn on_resumed(&mut self, env: &mut Env<'_>, shell: &mut Shell, jid: Jid) {
        let behind_login = self.expect == Expect::Resumed;
        let input = if self.expect == Expect::Sasl {
            quickstart::Input::BoundInline
        } else if behind_login {
            quickstart::Input::Bound
        } else {
            quickstart::Input::Resumed
        };
        self.go_online(env, shell, jid, true, input);
    }

    /// A resource is bound: from here on stanzas count, if the server has management.
    pub(super) fn enable_management(&mut self, shell: &mut Shell, jid: &Jid) {
        let wish = self.key_wish();
        let Goal::Resource(resource) = &self.goal else {
            return;
        };
        let Some(management) = resource.management.filter(|_| resource.offers_management) else {
            return;
        };
        shell.management.bound(jid);
        shell.management.instant.wish(wish);
        shell
            .management
            .enable(shell.now, management.resume, management.max);
        shell.drain_management();
    }
}
