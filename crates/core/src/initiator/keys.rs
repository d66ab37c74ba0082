//! A client's keys for instant stream resumption: which way back a ticket is, and the login within SASL2 that is one (XEP-0397).

use minidom::Element;
use onetrip_isr::{self as isr, Dialect};
use onetrip_negotiation::{sasl, sasl2};
use onetrip_quickstart as quickstart;
use onetrip_quickstart::Step;
use onetrip_stream::{Env, Secret, ns};

use super::sasl2::{By, Way};
use super::{Goal, Initiator, Next};
use crate::shell::Shell;
use crate::{ErrorKind, Event};

impl Initiator {
    /// The attempt that the ticket of the session allows on this channel, if any.
    pub(super) fn way_back(
        &self,
        shell: &mut Shell,
        end_point: Option<Secret>,
    ) -> Option<isr::Initiator> {
        let dialects = &mut shell.management.instant.dialects;
        // A key that cannot be bound to anything here is not worth having.
        dialects.hmac &= end_point.is_some();
        let dialects = *dialects;
        let ticket = shell.management.ticket()?;
        let attempt = || isr::Initiator::new(ticket.clone());
        let attempt = match &ticket.dialect {
            Dialect::Hmac { .. } => attempt().with_end_point(end_point?),
            Dialect::Sasl2 { mechanism, .. } => {
                self.choose_token(mechanism).filter(|_| self.has_sasl2())?;
                attempt()
            }
            _ => attempt(),
        };
        dialects.speak(&ticket.dialect).then_some(attempt)
    }

    fn has_sasl2(&self) -> bool {
        matches!(&self.goal, Goal::Resource(resource) if resource.sasl2.is_some())
    }

    /// Whether the way back is a login.
    pub(super) fn comes_back_by_login(&self, shell: &Shell) -> bool {
        let dialect = shell.management.ticket().map(|ticket| &ticket.dialect);
        matches!(dialect, Some(Dialect::Sasl2 { .. }))
    }

    /// The mechanism to ask a key for: the best that the server hands keys out for and that this channel allows. None where
    /// the tokens of FAST do the same, and outlive the session.
    pub(super) fn key_wish(&self) -> Option<String> {
        let Goal::Resource(resource) = &self.goal else {
            return None;
        };
        let wanted = resource.management?.instant.sasl2;
        let features = self.known_features().filter(|_| wanted)?;
        let offer = self.offer_of_sasl2(features)?;
        if self.uses_tokens(&offer) {
            return None;
        }
        let offered = |mechanism: &&str| {
            let mut names = features.resume_mechanisms().iter();
            names.any(|name| name == mechanism) && self.choose_token(mechanism).is_some()
        };
        let mut best = sasl::Mechanism::TOKEN
            .iter()
            .rev()
            .map(|known| known.name());
        best.find(offered).map(str::to_owned)
    }

    /// The login that is a way back: the key is shown by its mechanism, `<inst-resume/>` rides along, and a new resource in
    /// case the session is gone. What is not known of the server is not needed (ISR-12).
    pub(super) fn log_in_by_key(&mut self, env: &mut Env<'_>, shell: &mut Shell) -> bool {
        self.next = Next::Auth;
        let (Some(instant), Some(ticket)) = (self.instant.take(), shell.management.ticket()) else {
            return false;
        };
        let Dialect::Sasl2 { mechanism, .. } = &ticket.dialect else {
            return false;
        };
        let Some(choice) = self.choose_token(mechanism) else {
            return false;
        };
        let config = self.token_config(choice, ticket.token.secret());
        let offer = self.known_features();
        let offer = offer.and_then(|features| self.offer_of_sasl2(features));
        let way = Way {
            config,
            choice,
            by: By::Key(instant),
            inline: None,
        };
        self.begin_login(env, shell, &offer.unwrap_or_default(), way)
    }

    /// Whether a login by a key is under way.
    pub(super) fn is_by_key(&self) -> bool {
        let login = self.later.as_ref();
        login.is_some_and(|login| matches!(login.by, By::Key(_)))
    }

    /// The server would not have the key: it is spent, unless nobody has looked at it.
    pub(super) fn on_key_refused(&mut self, shell: &mut Shell, failure: &sasl2::Failure) {
        self.attempt
            .handle(quickstart::Input::Answered(Step::InstantResume));
        if failure.is_config_mismatch() {
            shell.management.login_refused();
        } else {
            shell.management.key_refused();
            let condition = Some(failure.reason.refusal.name().to_owned());
            shell.event(Event::InstantResumeRefused { condition });
        }
        shell.drain_management();
    }

    /// What came with `<success/>`, with stream management's answer in the place of ours around it; the next key is kept.
    pub(super) fn unwrap_answers(
        &mut self,
        shell: &mut Shell,
        instant: &mut isr::Initiator,
        inline: Vec<Element>,
    ) -> Result<Vec<Element>, ErrorKind> {
        self.attempt
            .handle(quickstart::Input::Answered(Step::InstantResume));
        // It has been used, whatever has become of the session.
        shell.management.instant.ticket = None;
        let mut answers = Vec::with_capacity(inline.len());
        for element in inline {
            if !element.has_ns(ns::ISR_SASL2) {
                answers.push(element);
                continue;
            }
            match instant.handle(&element)? {
                isr::Verdict::Resumed { ticket, .. } => {
                    shell.management.instant.ticket = Some(Box::new(ticket));
                }
                isr::Verdict::Failed { condition, .. } => {
                    shell.event(Event::InstantResumeRefused { condition });
                }
                _ => {}
            }
            answers.extend(isr::sasl2::inside(&element).cloned());
        }
        Ok(answers)
    }
}
