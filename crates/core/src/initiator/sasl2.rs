//! A client that logs in by SASL2: by what, and what becomes of it.
//!
//! | by | where | refused |
//! |---|---|---|
//! | the key of a session | behind the header, if there is one | a token, or the password, on the same stream |
//! | a token | else, where there is one | the password, on the same stream |
//! | the password | else | as by any login |

use minidom::Element;
use onetrip_fast as fast;
use onetrip_isr as isr;
use onetrip_negotiation::{bind2, sasl, sasl2};
use onetrip_quickstart as quickstart;
use onetrip_stream::{Env, ns};

use super::{Goal, Initiator, Next};
use crate::half::Layer;
use crate::shell::Shell;
use crate::{End, ErrorKind, Event, Reason, Request, TaskPrompt};

/// A login that is under way.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) machine: sasl2::Initiator,
    pub(super) bind: bind2::Initiator,
    pub(super) mechanism: sasl::Mechanism,
    pub(super) by: By,
    /// Whether the server has answered at all.
    answered: bool,
    /// What is asked about a task.
    pub(super) prompt: Option<TaskPrompt>,
}

/// What a login is tried by.
#[derive(Debug)]
pub(super) enum By {
    /// What the user has given.
    Password,
    /// A token of FAST (XEP-0484).
    Token,
    /// The key of a session (XEP-0397).
    Key(isr::Initiator),
}

/// A login that may begin.
pub(super) struct Way {
    pub(super) config: sasl::InitiatorConfig,
    pub(super) choice: sasl::Choice,
    pub(super) by: By,
    /// What rides along because of it.
    pub(super) inline: Option<Element>,
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
        if known.old {
            offer.version = sasl2::Version::One;
        }
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
        let offer = self
            .attempt
            .offered()
            .and_then(|features| self.offer_of_sasl2(features));
        if let (Some(login), Some(offer)) = (&mut self.later, offer) {
            login.machine.expect(offer.lists());
        }
    }

    /// The features to go by: those that have arrived, or else those that are remembered.
    pub(super) fn known_features(&self) -> Option<&quickstart::Features> {
        let assumed = self.attempt.plan().assumed().map(|known| &known.secured);
        self.attempt.offered().or(assumed)
    }

    /// Begins, by a token if there is one; says whether anything was sent.
    pub(super) fn log_in(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        offer: &sasl2::Offer,
    ) -> bool {
        if let Some((config, choice, element)) = self.token(offer) {
            let way = Way {
                config,
                choice,
                by: By::Token,
                inline: Some(element),
            };
            return self.begin_login(env, shell, offer, way);
        }
        if shell.sending.layer == Layer::Early {
            return false; // XEP-0388 §3: nothing else is ever early data.
        }
        let pin = self.attempt.plan().pin();
        let config = self.credentials.clone();
        let choice = match sasl2::choose(&config, offer, self.binding.as_ref(), pin) {
            Ok(choice) => choice,
            // What is remembered does not do; wait for what the server offers now.
            Err(_) if self.attempt.offered().is_none() => return false,
            Err(_) => {
                let offered = offer.mechanisms.clone();
                shell.event(Event::NoMechanism { offered });
                self.give_up(env, shell, End::Refused);
                return false;
            }
        };
        let way = Way {
            config,
            choice,
            by: By::Password,
            inline: self.ask_for_token(offer),
        };
        self.begin_login(env, shell, offer, way)
    }

    pub(super) fn begin_login(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        offer: &sasl2::Offer,
        mut way: Way,
    ) -> bool {
        let mechanism = way.choice.mechanism();
        // A token is pinned to its mechanism by itself; a password is not to be held to its strength.
        let strength = match way.by {
            By::Password => mechanism.strength(),
            By::Token | By::Key(_) => 0,
        };
        self.attempt
            .handle(quickstart::Input::Mechanism(mechanism.name(), strength));
        let Some((bind, mut request)) = self.ride_along(shell, offer, &mut way.by) else {
            return false;
        };
        request.inline.extend(way.inline);
        let binding = self.binding.clone();
        let mut machine = sasl2::Initiator::new(&way.config, way.choice, binding, request);
        if self.attempt.offered().is_some() {
            machine.expect(offer.lists());
        }
        let started = machine.handle(env, sasl2::Input::Start);
        self.later = Some(Box::new(Login {
            machine,
            bind,
            mechanism,
            by: way.by,
            answered: false,
            prompt: None,
        }));
        self.keep_tokens(shell);
        self.next = Next::Sasl;
        self.sasl2_result(env, shell, started);
        true
    }

    pub(super) fn on_sasl2(&mut self, env: &mut Env<'_>, shell: &mut Shell, element: &Element) {
        self.measure(env);
        shell.timers.stop(Reason::ResumeSilence);
        let Some(login) = &mut self.later else {
            return;
        };
        login.answered = true;
        let ours = element.has_ns(ns::SASL2) || element.has_ns(ns::SASL2_OLD);
        let input = match ours {
            true => sasl2::Input::Element(element),
            false => sasl2::Input::Intruder,
        };
        let result = login.machine.handle(env, input);
        self.sasl2_result(env, shell, result);
        self.advance(env, shell);
    }

    /// Whether the server has taken a step of SASL2 and owes another. Before its first, what comes may have been on its way
    /// when ours went out.
    pub(crate) fn is_between_steps(&self) -> bool {
        let login = self.later.as_ref();
        login.is_some_and(|login| login.answered && login.machine.is_running())
    }

    pub(crate) fn on_intruder(&mut self, env: &mut Env<'_>, shell: &mut Shell) {
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
                    shell.request(Request::Derive(derivation));
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
                let by = login.map_or(By::Password, |login| login.by);
                // The session that was asked for within it waits again.
                match by {
                    By::Key(_) => self.on_key_refused(shell, &failure),
                    By::Password | By::Token => shell.management.login_refused(),
                }
                shell.drain_management();
                match by {
                    // ISR-22: another way is next, on the same stream.
                    By::Key(_) => self.next = Next::Auth,
                    // XEP-0484 §4.1: the same, and it is forgotten.
                    By::Token if !failure.is_config_mismatch() => {
                        if let Some(fast) = self.tokens() {
                            fast.refused();
                        }
                        self.keep_tokens(shell);
                        self.next = Next::Auth;
                    }
                    By::Password | By::Token => self.on_refused(env, shell, failure.reason),
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
