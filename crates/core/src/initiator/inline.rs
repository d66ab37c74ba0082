//! What rides in a client's `<authenticate/>`, a session first and a resource, and what becomes of it.
//!
//! | behind `<success/>` with | next |
//! |---|---|
//! | `<resumed/>`, by itself or in `<inst-resumed/>` | the session goes on; no features follow |
//! | `<bound/>` | online; features follow, and say nothing that is needed |
//! | neither | features, then resumption or binding as behind any login |

use minidom::Element;
use onetrip_isr as isr;
use onetrip_negotiation::{bind2, sasl2};
use onetrip_quickstart as quickstart;
use onetrip_quickstart::{Stage, Step};
use onetrip_stream::{Env, Jid, ns};
use onetrip_stream_management as sm;

use super::sasl2::By;
use super::{Expect, Goal, Initiator, Next};
use crate::order::Facts;
use crate::shell::Shell;
use crate::{ErrorKind, Event};

impl Initiator {
    /// What goes into `<authenticate/>`: a session first, a resource in case that fails (Conversations). Where the server
    /// resumes, but not within the login, neither rides along.
    pub(super) fn ride_along(
        &mut self,
        shell: &mut Shell,
        offer: &sasl2::Offer,
        by: &mut By,
    ) -> Option<(bind2::Initiator, sasl2::Request)> {
        let Goal::Resource(resource) = &self.goal else {
            return None;
        };
        let config = resource.sasl2.as_ref()?;
        let management = resource.management;
        let wish = self.key_wish();
        let mut request = sasl2::Request::new();
        request.version = offer.version;
        request.user_agent.clone_from(&config.user_agent);
        request.tasks.clone_from(&config.tasks);
        let mut bind = bind2::Initiator::new();
        if let Some(tag) = &config.tag {
            bind = bind.with_tag(tag);
        }
        let waits = shell.management.has_session();
        // Around what `bind` takes for stream management's.
        let mut around = None;
        if let By::Key(instant) = by {
            let h = shell.management.await_resumption()?;
            let element = instant.request(h.value())?;
            bind = bind.with_resume(isr::sasl2::inside(&element)?.clone());
            around = Some(element);
        } else if waits && bind2::resumes(offer) {
            shell.catch();
            shell.management.resume();
            shell.drain_management();
            if let Some(resume) = shell.caught().pop() {
                bind = bind.with_resume(resume);
            }
            shell.release();
        }
        let feature = bind2::Feature::read(offer);
        let rides = !waits || around.is_some() || bind2::resumes(offer);
        if let Some(feature) = feature.filter(|_| rides) {
            for wish in &config.inline {
                bind = bind.with_inline(wish.clone());
            }
            let management = management.filter(|_| feature.enables(ns::STREAM_MANAGEMENT));
            if let Some(management) = management {
                let enable = sm::Nonza::Enable {
                    resume: management.resume,
                    max: management.max,
                };
                shell.management.instant.wish(wish);
                bind = bind.with_inline(shell.management.instant.ride_on(&enable));
            }
            request.inline = bind.request();
        }
        if let Some(around) = around {
            request
                .inline
                .retain(|element| !element.has_ns(ns::STREAM_MANAGEMENT));
            request.inline.insert(0, around);
        }
        // XEP-0509: what was not assumed needs not be said.
        let live = self.attempt.offered().is_some();
        let assumed = offer.config_version.as_deref().filter(|_| !live);
        request.inline.extend(assumed.map(sasl2::config_version));
        Some((bind, request))
    }

    pub(super) fn on_success(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        success: &sasl2::Success,
    ) {
        let Some(login) = self.later.take() else {
            return;
        };
        if let Some(fast) = self.tokens() {
            // A token that is malformed costs nothing but itself.
            let _ = fast.handle(&success.inline);
            self.keep_tokens(shell);
        }
        let inline = match login.by {
            By::Key(mut instant) => {
                self.unwrap_answers(shell, &mut instant, success.inline.clone())
            }
            By::Password | By::Token => Ok(success.inline.clone()),
        };
        let verdict = inline.and_then(|inline| {
            let verdict = login.bind.handle(&success.identifier, &inline);
            verdict.map_err(ErrorKind::Bind2)
        });
        let verdict = match verdict {
            Ok(verdict) => verdict,
            Err(problem) => {
                self.on_end(env, shell);
                return shell.fail(problem);
            }
        };
        shell.facts.reach(Facts::AUTHENTICATED);
        shell.receiving.reader.set_limits(shell.bounds.after);
        self.attempt.handle(quickstart::Input::Answered(Step::Auth));
        shell.event(Event::Authenticated {
            mechanism: login.mechanism,
            identity: None,
        });
        self.next = Next::Nothing;
        match verdict {
            bind2::Verdict::Resumed(resumed) => self.manage(env, shell, &resumed),
            bind2::Verdict::Bound {
                jid,
                inline,
                failed,
            } => {
                self.on_bound_inline(env, shell, jid, &inline, failed.as_ref());
            }
            bind2::Verdict::NotBound { failed } => {
                if let Some(failed) = &failed {
                    self.manage(env, shell, failed);
                    self.give_up_session(shell);
                }
                self.expect = Expect::Features(Stage::Authenticated);
                self.next = match shell.management.has_session() {
                    true => Next::Resume,
                    false => Next::Bind,
                };
            }
            _ => {}
        }
    }

    /// An element of stream management that came within `<success/>`.
    fn manage(&mut self, env: &mut Env<'_>, shell: &mut Shell, element: &Element) {
        let result = shell.management.handle(env.now, element, true);
        self.drain_management(env, shell);
        if let Err(error) = result {
            self.on_end(env, shell);
            shell.fail(ErrorKind::Management(error));
        }
    }

    fn on_bound_inline(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        jid: Jid,
        inline: &[Element],
        failed: Option<&Element>,
    ) {
        if let Some(failed) = failed {
            self.manage(env, shell, failed);
        }
        self.give_up_session(shell);
        shell.management.bound(&jid);
        let Goal::Resource(resource) = &self.goal else {
            return;
        };
        let management = resource.management;
        let answer = |name: &str| {
            let mut answers = inline.iter();
            answers.find(|answer| answer.is(name, ns::STREAM_MANAGEMENT))
        };
        if let (Some(management), Some(enabled)) = (management, answer("enabled")) {
            // It was asked for within the login, before any stanza: as if it were asked for now (Conversations a7fe3e837).
            shell.catch();
            let (resume, max) = (management.resume, management.max);
            shell.management.enable(shell.now, resume, max);
            shell.drain_management();
            shell.release();
            self.manage(env, shell, enabled);
        }
        if !shell.is_closed() {
            self.go_online(env, shell, jid, false, quickstart::Input::BoundInline);
        }
    }

    /// Features behind a resource that was bound within the login: what could not ride along is asked for now.
    pub(super) fn on_late_features(&mut self, shell: &mut Shell, element: &Element) {
        let Goal::Resource(resource) = &mut self.goal else {
            return;
        };
        let offered = element.has_child("sm", ns::STREAM_MANAGEMENT);
        let news = offered && !resource.offers_management && !shell.management.is_on();
        if resource.sasl2.is_none() || !news {
            return;
        }
        resource.offers_management = true;
        if let Some(jid) = shell.management.owner().cloned() {
            self.enable_management(shell, &jid);
        }
    }
}
