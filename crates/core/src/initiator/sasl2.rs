//! A client that logs in by SASL2: resumption, binding and what is enabled with it ride in `<authenticate/>`.
//!
//! | behind `<success/>` with | next |
//! |---|---|
//! | `<resumed/>` | the session goes on; no features follow |
//! | `<bound/>` | online; features follow, and say nothing that is needed |
//! | neither | features, then resumption or binding as behind any login |

use minidom::Element;
use onetrip_fast as fast;
use onetrip_negotiation::{bind2, sasl, sasl2};
use onetrip_quickstart as quickstart;
use onetrip_quickstart::{Stage, Step};
use onetrip_stream::{Env, Jid, ns};
use onetrip_stream_management as sm;

use super::{Expect, Goal, Initiator, Next};
use crate::half::Layer;
use crate::order::Facts;
use crate::shell::Shell;
use crate::{Action, End, ErrorKind, Event, Request, TaskPrompt};

/// A login that is under way.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) machine: sasl2::Initiator,
    bind: bind2::Initiator,
    mechanism: sasl::Mechanism,
    /// Whether it is tried by a token.
    by_token: bool,
    /// What is asked about a task.
    pub(super) prompt: Option<TaskPrompt>,
}

impl Initiator {
    /// What these features offer of SASL2, if this client uses it: the envelope follows from them, so that what is
    /// remembered of one generation never serves the other (monal 3dd174dae).
    pub(super) fn offer_of_sasl2(&self, features: &quickstart::Features) -> Option<sasl2::Offer> {
        let Goal::Resource(resource) = &self.goal else {
            return None;
        };
        resource.sasl2.as_ref()?;
        let known = features.sasl2()?;
        let mut offer = sasl2::Offer::default();
        offer.mechanisms.clone_from(&known.mechanisms);
        offer.config_version.clone_from(&known.config_version);
        offer.channel_bindings = features
            .has("sasl-channel-binding", ns::CHANNEL_BINDING)
            .then(|| features.channel_bindings().to_vec());
        offer.inline = known
            .inline
            .iter()
            .filter_map(|(name, items)| inline(name, items))
            .collect();
        Some(offer)
    }

    /// The lists that have arrived are compared with those that the server says it has sent (XEP-0474).
    pub(super) fn compare_lists(&mut self) {
        let offered = self.offered.as_ref();
        let offer = offered.and_then(|features| self.offer_of_sasl2(features));
        if let (Some(login), Some(offer)) = (&mut self.later, offer) {
            login.machine.expect(offer.lists());
        }
    }

    /// Begins; says whether anything was sent.
    pub(super) fn log_in(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        offer: &sasl2::Offer,
    ) -> bool {
        let live = self.offered.is_some();
        let token = self.token(offer);
        let by_token = token.is_some();
        if shell.sending.layer == Layer::Early && !by_token {
            return false; // XEP-0388 §3: nothing else is ever early data.
        }
        let credentials = token
            .as_ref()
            .map_or(&self.credentials, |(config, ..)| config);
        let credentials = credentials.clone();
        let choice = match &token {
            Some((_, choice, _)) => Ok(*choice),
            None => {
                let pin = self.attempt.plan().pin();
                sasl2::choose(&credentials, offer, self.binding.as_ref(), pin)
            }
        };
        let choice = match choice {
            Ok(choice) => choice,
            // What is remembered does not do; wait for what the server offers now.
            Err(_) if !live => return false,
            Err(_) => {
                let offered = offer.mechanisms.clone();
                shell.event(Event::NoMechanism { offered });
                self.give_up(env, shell, End::Refused);
                return false;
            }
        };
        let mechanism = choice.mechanism();
        // A token is pinned to its mechanism by itself; a password is not to be held to its strength.
        let strength = if by_token { 0 } else { mechanism.strength() };
        self.attempt
            .handle(quickstart::Input::Mechanism(mechanism.name(), strength));
        let Some((bind, mut request)) = self.ride_along(shell, offer, live) else {
            return false;
        };
        match token {
            Some((.., element)) => request.inline.push(element),
            None => request.inline.extend(self.ask_for_token(offer)),
        }
        let binding = self.binding.clone();
        let mut machine = sasl2::Initiator::new(&credentials, choice, binding, request);
        if live {
            machine.expect(offer.lists());
        }
        let started = machine.handle(env, sasl2::Input::Start);
        self.later = Some(Box::new(Login {
            machine,
            bind,
            mechanism,
            by_token,
            prompt: None,
        }));
        self.keep_tokens(shell);
        self.next = Next::Sasl;
        self.sasl2_result(env, shell, started);
        true
    }

    /// What goes into `<authenticate/>`: a session first, a resource in case that fails (Conversations). Where the server
    /// resumes, but not within the login, neither rides along.
    fn ride_along(
        &mut self,
        shell: &mut Shell,
        offer: &sasl2::Offer,
        live: bool,
    ) -> Option<(bind2::Initiator, sasl2::Request)> {
        let Goal::Resource(resource) = &self.goal else {
            return None;
        };
        let config = resource.sasl2.as_ref()?;
        let mut request = sasl2::Request::new();
        request.user_agent.clone_from(&config.user_agent);
        request.tasks.clone_from(&config.tasks);
        let mut bind = bind2::Initiator::new();
        if let Some(tag) = &config.tag {
            bind = bind.with_tag(tag);
        }
        let feature = bind2::Feature::read(offer);
        let waits = shell.management.has_session();
        if waits && bind2::resumes(offer) {
            shell.catch();
            shell.management.resume();
            shell.drain_management();
            if let Some(resume) = shell.caught().pop() {
                bind = bind.with_resume(resume);
            }
            shell.release();
        }
        if let (Some(feature), true) = (&feature, !waits || bind2::resumes(offer)) {
            for wish in &config.inline {
                bind = bind.with_inline(wish.clone());
            }
            let management = resource.management;
            if let Some(management) = management.filter(|_| feature.enables(ns::STREAM_MANAGEMENT))
            {
                let enable = sm::Nonza::Enable {
                    resume: management.resume,
                    max: management.max,
                };
                bind = bind.with_inline(enable.to_element());
            }
            request.inline = bind.request();
        }
        // XEP-0509: what was not assumed needs not be said.
        let assumed = offer.config_version.as_deref().filter(|_| !live);
        request.inline.extend(assumed.map(sasl2::config_version));
        Some((bind, request))
    }

    pub(super) fn on_sasl2(&mut self, env: &mut Env<'_>, shell: &mut Shell, element: &Element) {
        self.measure(env);
        let Some(login) = &mut self.later else {
            return;
        };
        let input = match element.has_ns(ns::SASL2) {
            true => sasl2::Input::Element(element),
            false => sasl2::Input::Intruder,
        };
        let result = login.machine.handle(env, input);
        self.sasl2_result(env, shell, result);
        self.advance(env, shell);
    }

    pub(super) fn on_intruder(&mut self, env: &mut Env<'_>, shell: &mut Shell) {
        if let Some(login) = &mut self.later {
            let result = login.machine.handle(env, sasl2::Input::Intruder);
            self.sasl2_result(env, shell, result);
        }
    }

    pub(super) fn on_derived_sasl2(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        salted: sasl::SaltedPassword,
    ) {
        shell.pending = false;
        if let Some(login) = &mut self.later {
            let result = login.machine.handle(env, sasl2::Input::Derived(salted));
            self.sasl2_result(env, shell, result);
        }
    }

    pub(super) fn sasl2_result(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        result: Result<(), sasl2::Error>,
    ) {
        while let Some(action) = self
            .later
            .as_mut()
            .and_then(|login| login.machine.poll_action())
        {
            match action {
                sasl2::Action::Send { element, .. } => {
                    shell.element(&element);
                    self.asked = env.now;
                }
                sasl2::Action::Derive(derivation) => {
                    shell.pending = true;
                    shell.push(Action::Request(Request::Derive(derivation)));
                }
                sasl2::Action::Event(event) => self.on_sasl2_event(env, shell, event),
                _ => {}
            }
        }
        if let Err(error) = result {
            self.on_end(env, shell);
            shell.fail(ErrorKind::Sasl2(error));
        }
    }

    fn on_sasl2_event(&mut self, env: &mut Env<'_>, shell: &mut Shell, event: sasl2::Event) {
        match event {
            sasl2::Event::Authenticated(success) => self.on_success(env, shell, &success),
            sasl2::Event::Refused(failure) => {
                let login = self.later.take();
                let mismatch = failure.is_config_mismatch();
                let by_token = login.is_some_and(|login| login.by_token) && !mismatch;
                // The session that was asked for within it waits again.
                shell.management.login_refused();
                shell.drain_management();
                if by_token {
                    // XEP-0484 §4.1: it is forgotten, and another way is next, on the same stream.
                    if let Some(fast) = self.tokens() {
                        fast.refused();
                    }
                    self.keep_tokens(shell);
                    self.next = Next::Auth;
                } else {
                    self.on_refused(env, shell, failure.reason);
                }
            }
            sasl2::Event::Tasks { tasks, text } => {
                self.ask_about_task(shell, TaskPrompt::Choose { tasks, text });
            }
            sasl2::Event::TaskData(children) => {
                self.ask_about_task(shell, TaskPrompt::Data(children));
            }
            sasl2::Event::UnknownTasks(offered) => shell.event(Event::UnknownTasks { offered }),
            _ => {}
        }
    }

    fn on_success(&mut self, env: &mut Env<'_>, shell: &mut Shell, success: &sasl2::Success) {
        let Some(login) = self.later.take() else {
            return;
        };
        if let Some(fast) = self.tokens() {
            // A token that is malformed costs nothing but itself.
            let _ = fast.handle(&success.inline);
            self.keep_tokens(shell);
        }
        let verdict = login.bind.handle(&success.identifier, &success.inline);
        let verdict = match verdict {
            Ok(verdict) => verdict,
            Err(error) => {
                self.on_end(env, shell);
                return shell.fail(ErrorKind::Bind2(error));
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

/// What rides along, from its name and what it lists.
fn inline(name: &str, items: &[String]) -> Option<Element> {
    let (namespace, local) = name.strip_prefix('{')?.split_once('}')?;
    if (local, namespace) == ("bind", ns::BIND2) {
        let items: Vec<&str> = items.iter().map(String::as_str).collect();
        return Some(bind2::feature(&items));
    }
    if (local, namespace) == ("fast", ns::FAST) {
        let feature = fast::Feature::new(items.iter().map(String::as_str));
        return Some(feature.to_element());
    }
    Some(Element::bare(local, namespace))
}
