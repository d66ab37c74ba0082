//! The receiving half of a negotiation: what arrives, and what it means for what was sent ahead.

use minidom::Element;
use onetrip_negotiation::{sasl, starttls};
use onetrip_quickstart as quickstart;
use onetrip_quickstart::{Stage, Step};
use onetrip_stream::{Build, Condition, Env, Jid, Stanza, StanzaKind, StreamHeader, Version, ns};

use super::{Expect, Goal, Initiator, Next};
use crate::order::Facts;
use crate::peering::is_bidi;
use crate::shell::Shell;
use crate::{Action, Answer, End, EntityEvent, ErrorKind, Event, Reason, TlsInfo, UsageError};

impl Initiator {
    pub(crate) fn on_header(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        header: &StreamHeader,
    ) {
        let Expect::Header(stage) = self.expect else {
            return self.unexpected(env, shell, "stream");
        };
        let problem = if header.version < Version::V1_0 {
            Some((
                "expected a stream of version 1.0, got an older one",
                Condition::UnsupportedVersion,
            ))
        } else if header
            .content
            .is_some_and(|content| content != shell.content)
        {
            Some((
                "expected the content namespace of this kind of stream, got the other",
                Condition::InvalidNamespace,
            ))
        } else {
            None
        };
        if let Some((what, condition)) = problem {
            self.on_end(env, shell);
            return shell.fail(ErrorKind::Header { what, condition });
        }
        shell.timers.stop(Reason::RestartSilence);
        self.measure(env);
        self.expect = Expect::Features(stage);
        // What a header in clear says is discarded anyway; under TLS it must be whom we asked for. A server that knows no
        // such domain says so behind a header of its own (RFC 6120 §4.9.3.6), so the next element decides.
        let from = header.from.as_ref();
        self.stranger =
            stage != Stage::Clear && from.is_some_and(|from| *from.domain() != self.domain);
        let authenticated = shell.facts.have(Facts::AUTHENTICATED);
        let counts = stage != Stage::Clear || self.in_clear();
        let peering = shell.peering.as_mut().filter(|_| counts);
        if let Some(peering) = peering {
            peering.begin_stream(header.id.as_deref(), header.dialback, authenticated);
        }
    }

    pub(crate) fn on_element(&mut self, env: &mut Env<'_>, shell: &mut Shell, element: &Element) {
        if self.stranger {
            self.on_end(env, shell);
            return shell.fail(ErrorKind::Header {
                what: "expected a stream from the domain that was asked for, got one from another",
                condition: Condition::InvalidFrom,
            });
        }
        match self.expect {
            Expect::Features(stage) if element.is("features", ns::STREAMS) => {
                self.on_features(env, shell, stage, element)
            }
            Expect::Proceed if element.has_ns(ns::TLS) => {
                self.on_starttls_answer(env, shell, element)
            }
            Expect::InstantResumed
                if element.has_ns(ns::ISR) || element.has_ns(ns::STREAM_MANAGEMENT) =>
            {
                self.on_instant_answer(env, shell, element)
            }
            Expect::Sasl if self.later.is_some() => self.on_sasl2(env, shell, element),
            Expect::Sasl if element.has_ns(ns::SASL) => self.on_sasl(env, shell, element),
            Expect::Resumed | Expect::Anything if element.has_ns(ns::STREAM_MANAGEMENT) => {
                self.on_management(env, shell, element)
            }
            Expect::Validated | Expect::Anything
                if element.has_ns(ns::DIALBACK) && shell.peering.is_some() =>
            {
                if let Err(problem) = shell.on_dialback(env, element) {
                    self.on_end(env, shell);
                    return shell.fail(problem);
                }
                self.on_dialed(env, shell);
            }
            _ if is_bidi(element) && shell.peering.is_some() => {
                self.on_end(env, shell);
                shell.on_bidi(element);
            }
            // Completed negotiation may be said again (RFC 6120 §4.3.5).
            Expect::Anything if element.is("features", ns::STREAMS) => {
                self.on_late_features(shell, element);
            }
            _ => self.unexpected(env, shell, element.name()),
        }
    }

    pub(super) fn on_features(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        stage: Stage,
        element: &Element,
    ) {
        self.measure(env);
        self.attempt
            .handle(quickstart::Input::Features(stage, element));
        match stage {
            Stage::Clear if self.in_clear() => self.expect_behind_secured_features(env, shell),
            Stage::Clear => {
                self.expect = Expect::Proceed;
                self.attempt
                    .handle(quickstart::Input::Answered(Step::StartTls));
            }
            Stage::Secured => {
                self.compare_lists();
                self.learn_tokens(shell, element);
                if let Some(peering) = &mut shell.peering {
                    peering.features(element);
                }
                self.expect_behind_secured_features(env, shell);
            }
            Stage::Authenticated if matches!(self.goal, Goal::Pairs(_)) => {
                if let Some(peering) = &mut shell.peering {
                    peering.features(element);
                }
                self.on_peer_accepted(env, shell);
            }
            Stage::Authenticated => {
                self.expect_behind_features(shell, element);
                self.attempt.handle(quickstart::Input::Answered(Step::Bind));
            }
        }
        self.advance(env, shell);
    }

    pub(super) fn on_starttls_answer(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        element: &Element,
    ) {
        match self.starttls.handle(element) {
            Ok(starttls::Verdict::Proceed) => {
                self.expect = Expect::Tls;
                let ahead = self.next != Next::ClientHello;
                self.attempt
                    .handle(quickstart::Input::Answered(Step::StartTls));
                if ahead {
                    let silence = self.silence(shell);
                    shell.timers.set(Reason::TlsSilence, env.now + silence);
                }
                shell.upgrade_receiving();
                self.advance(env, shell);
            }
            Ok(_) => {
                self.attempt.handle(quickstart::Input::StartTlsRefused);
                self.on_end(env, shell);
                shell.finish(End::Refused);
            }
            Err(error) => {
                self.on_end(env, shell);
                shell.fail(ErrorKind::StartTls(error));
            }
        }
    }

    pub(crate) fn on_secured(&mut self, shell: &mut Shell, info: TlsInfo) {
        shell.timers.stop(Reason::TlsSilence);
        self.attempt
            .handle(quickstart::Input::Answered(Step::ClientHello));
        if let Some(peering) = &mut shell.peering {
            peering.secured(info.clone());
        }
        shell.settle_early(info.early_data);
        self.binding = info.channel_binding();
        self.instant = self.way_back(shell, info.end_point);
        self.expect = Expect::Header(Stage::Secured);
    }

    pub(super) fn on_sasl(&mut self, env: &mut Env<'_>, shell: &mut Shell, element: &Element) {
        self.measure(env);
        if self.sasl.is_none() {
            return self.unexpected(env, shell, element.name());
        }
        if element.name() == "challenge" && matches!(self.next, Next::Bind | Next::Nothing) {
            self.attempt.handle(quickstart::Input::AnotherChallenge);
            self.conclude(env, shell);
            if shell.is_closed() {
                return;
            }
        }
        let Some((_, sasl)) = self.sasl.as_mut() else {
            return;
        };
        let result = sasl.handle(env, sasl::Input::Element(element));
        self.sasl_result(env, shell, result);
        self.expect_header_soon(env, shell);
        self.advance(env, shell);
    }

    /// QS-R10: behind success, a restart that was sent ahead is answered soon or was swallowed.
    pub(super) fn expect_header_soon(&mut self, env: &mut Env<'_>, shell: &mut Shell) {
        let sent_ahead = matches!(self.next, Next::Bind | Next::Nothing);
        if self.expect == Expect::Header(Stage::Authenticated) && sent_ahead && !shell.is_closed() {
            let silence = self.silence(shell);
            shell.timers.set(Reason::RestartSilence, env.now + silence);
        }
    }

    pub(crate) fn on_answer(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        answer: Answer,
    ) -> Result<(), UsageError> {
        let salted = match answer {
            Answer::Derived(salted) => salted,
            Answer::TaskReply(reply) => return self.on_task_reply(env, shell, reply),
            _ => return Err(UsageError::NotAsked),
        };
        if self.later.is_some() {
            self.on_derived_sasl2(env, shell, salted);
            return Ok(());
        }
        let Some((_, sasl)) = self.sasl.as_mut() else {
            return Err(UsageError::NotAsked);
        };
        let result = sasl.handle(env, sasl::Input::Derived(salted));
        self.sasl_result(env, shell, result);
        self.advance(env, shell);
        Ok(())
    }

    pub(crate) fn on_stanza(&mut self, env: &mut Env<'_>, shell: &mut Shell, stanza: Stanza) {
        if let Err(intrusion) = shell.check_incoming(&stanza) {
            self.on_end(env, shell);
            return shell.fail(intrusion);
        }
        match self.expect {
            Expect::Sasl if self.later.is_some() => self.on_intruder(env, shell),
            Expect::Bound => self.on_bind_answer(env, shell, &stanza),
            Expect::Anything => {
                if self.probe.is_some()
                    && self.probe.as_deref() == stanza.head().id.as_deref()
                    && stanza.head().kind == StanzaKind::Iq
                {
                    shell.management.arrived_own();
                    return self.confirmed(env, shell);
                }
                shell.arrived(stanza);
            }
            _ => self.unexpected(env, shell, stanza.head().kind.name()),
        }
    }

    pub(super) fn go_online(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        jid: Jid,
        resumed: bool,
        input: quickstart::Input<'_>,
    ) {
        shell.facts.reach(Facts::BOUND);
        shell.timers.stop(Reason::Negotiation);
        self.expect = Expect::Anything;
        self.attempt.handle(input);
        let provisional = self.attempt.needs_later_answer();
        if !resumed && !shell.management.is_on() {
            self.enable_management(shell, &jid);
        }
        shell.event(Event::Online {
            jid,
            provisional,
            resumed,
        });
        if provisional {
            self.send_probe(env, shell);
        }
        self.conclude(env, shell);
    }

    /// An early success hides a broken parser: only a stanza sent later tells (QS-R10).
    pub(super) fn send_probe(&mut self, env: &mut Env<'_>, shell: &mut Shell) {
        let id = env.random_id();
        let ping = Element::bare("iq", shell.content.namespace())
            .with_attr("type", "get")
            .with_attr("id", id.as_str())
            .with_attr("to", self.domain.as_str())
            .with_child(Element::bare("ping", ns::PING));
        let ping = match &self.goal {
            Goal::Resource(_) => ping,
            Goal::Pairs(link) => ping.with_attr("from", link.local().as_str()),
        };
        shell.flush();
        shell.iq(&ping);
        self.probe = Some(id);
        let silence = self.silence(shell);
        shell.timers.set(Reason::LaterSilence, env.now + silence);
    }

    pub(super) fn confirmed(&mut self, env: &mut Env<'_>, shell: &mut Shell) {
        self.probe = None;
        shell.timers.stop(Reason::LaterSilence);
        self.attempt.handle(quickstart::Input::LaterAnswer);
        shell.event(Event::Confirmed);
        self.conclude(env, shell);
    }

    pub(crate) fn on_timeout(&mut self, env: &mut Env<'_>, shell: &mut Shell, reason: Reason) {
        match reason {
            Reason::Gap => {
                self.gap_over = true;
                self.advance(env, shell);
            }
            Reason::TlsSilence => self.attempt.handle(quickstart::Input::TlsSilence),
            Reason::RestartSilence => self.attempt.handle(quickstart::Input::RestartSilence),
            Reason::LaterSilence => self.attempt.handle(quickstart::Input::LaterSilence),
            Reason::ResumeSilence => {
                shell.management.forget_ticket();
                self.attempt.handle(quickstart::Input::ResumeSilence);
            }
            Reason::Dialback => self.on_dialed(env, shell),
            // The shell's, and those of links.
            _ => {}
        }
        self.conclude(env, shell);
    }

    /// The connection is ending, whoever ended it: the last conclusions are drawn.
    pub(crate) fn on_end(&mut self, env: &mut Env<'_>, shell: &mut Shell) {
        self.attempt.handle(quickstart::Input::Ended);
        self.drain_attempt(env, shell);
    }

    pub(super) fn give_up(&mut self, env: &mut Env<'_>, shell: &mut Shell, end: End) {
        self.on_end(env, shell);
        shell.close(env);
        shell.finish(end);
    }

    /// Carries out what the attempt has decided.
    pub(super) fn conclude(&mut self, env: &mut Env<'_>, shell: &mut Shell) {
        self.drain_attempt(env, shell);
        if shell.verdict.is_some() {
            // Poisoned: nothing more can be said on this stream (QS-R5).
            shell.finish(End::Cut);
        }
    }

    pub(super) fn drain_attempt(&mut self, env: &mut Env<'_>, shell: &mut Shell) {
        while let Some(action) = self.attempt.poll_action() {
            match action {
                quickstart::Action::Report(report) => {
                    shell.push(Action::Entity(EntityEvent::report_of(report)))
                }
                quickstart::Action::Abandon(broken) => {
                    shell.verdict = Some(Box::new(End::Abandoned(broken)));
                }
                quickstart::Action::ResendRestart => {
                    self.next = Next::Restart;
                    self.advance(env, shell);
                }
                quickstart::Action::RetryHere => self.next = Next::Auth,
                quickstart::Action::Believe => self.believed = true,
                _ => {}
            }
        }
    }

    pub(super) fn unexpected(&mut self, env: &mut Env<'_>, shell: &mut Shell, got: &str) {
        self.on_end(env, shell);
        let expected = match self.expect {
            Expect::Header(_) => "a stream header",
            Expect::Features(_) => "stream features",
            Expect::Proceed => "<proceed/>",
            Expect::Tls => "TLS",
            Expect::InstantResumed | Expect::Resumed => "the answer to the request to resume",
            Expect::Sasl => "a step of the authentication",
            Expect::Bound => "the answer to the request for a resource",
            Expect::Validated => "the answer of dialback",
            Expect::Anything => "a stanza",
        };
        let got = got.chars().take(64).collect();
        shell.fail(ErrorKind::Unexpected {
            got,
            expected,
            condition: Condition::UnsupportedStanzaType,
        });
    }
}
