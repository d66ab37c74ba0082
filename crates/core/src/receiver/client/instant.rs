//! A server that brings sessions back without a login, or within one: which texts of instant stream resumption it offers,
//! what it hands out for them, and what is asked of whoever keeps tokens and keys.
//!
//! | text | comes as | asked of the store |
//! |---|---|---|
//! | first | `<inst-resume tok/>` | the token and the session, in one step |
//! | second | `<inst-resume previd/>` with a proof | the key; then the session |
//! | third | a login with `<inst-resume/>` | the key; then the session, as anything else that rides along |

use minidom::Element;
use onetrip_isr::{self as isr, Dialects, KeyGrant, KeySwap};
use onetrip_stream::{Env, Jid, ResponderProof};
use onetrip_stream_management as sm;

use super::sasl2::Rides;
use super::{Receiver, Resuming};
use crate::instant::Grant;
use crate::order::Facts;
use crate::shell::Shell;
use crate::{Event, Request, UsageError};

impl Receiver {
    /// ISR-05: tokens belong to sessions that may be resumed, so both are needed.
    pub(super) fn offers_instant_resume(&self) -> bool {
        self.config.instant_resume.is_some() && self.config.management.is_some()
    }

    /// The texts that are offered, as far as the configuration goes.
    pub(super) fn dialects(&self) -> Dialects {
        let offered = self.config.instant_resume.as_ref();
        let offered = offered.filter(|_| self.offers_instant_resume());
        offered.map_or(Dialects::NONE, |instant| instant.dialects)
    }

    /// What rides in a login.
    pub(super) fn rides(&self) -> Rides {
        Rides {
            management: self.config.management.is_some(),
            keys: self.dialects().sasl2,
        }
    }

    /// The features of the texts that can be spoken on this channel.
    pub(super) fn instant_features(&self) -> Vec<Element> {
        let dialects = self.dialects();
        let nonza = dialects.seed || (dialects.hmac && self.end_point.is_some());
        let login = self.sasl2.as_ref().map(|login| login.key_mechanisms());
        let login = login.filter(|names| dialects.sasl2 && !names.is_empty());
        let nonza = nonza.then(isr::feature);
        let login = login.map(|names| isr::sasl2::feature(&names));
        nonza.into_iter().chain(login).collect()
    }

    /// What goes out with a session: a key for the mechanism that the client asks for (XEP-0397 §3), or else, since the
    /// other texts have nothing to ask by, what it may make use of.
    pub(super) fn grant(&self, env: &mut Env<'_>, shell: &Shell) -> Option<Grant> {
        let instant = self.config.instant_resume.as_ref()?;
        let dialects = self.dialects();
        let mut grant = Grant {
            token: None,
            key: None,
            location: instant.location.clone(),
        };
        if let Some(mechanism) = shell.management.instant.asked() {
            let login = self.sasl2.as_ref().filter(|_| dialects.sasl2)?;
            if login.key_mechanisms().contains(&mechanism) {
                let key = isr::Token::generate(env);
                grant.key = Some(KeyGrant::new(key, Some(mechanism)));
            }
            return Some(grant);
        }
        grant.token = dialects.seed.then(|| isr::Token::generate(env));
        if dialects.hmac && self.end_point.is_some() {
            grant.key = Some(KeyGrant::new(isr::Token::generate(env), None));
        }
        Some(grant)
    }

    /// ISR-10 to ISR-16, ISR-28: before authentication, once, under TLS.
    pub(super) fn on_instant_resume(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        element: &Element,
    ) {
        let place = if shell.facts.have(Facts::AUTHENTICATED) {
            isr::Place::Authenticated
        } else if shell.facts.have(Facts::SECURED) {
            isr::Place::Secured
        } else {
            isr::Place::Clear
        };
        let result = self.instant.handle(env, element, place);
        self.drain_instant(shell);
        if let Err(error) = result {
            shell.fail(error.into());
        }
    }

    pub(super) fn drain_instant(&mut self, shell: &mut Shell) {
        while let Some(action) = self.instant.poll_action() {
            match action {
                isr::Action::Send(element) => shell.element(&element),
                isr::Action::Event(isr::Event::Exposed(claim)) => {
                    shell.event(Event::TokenExposed(claim));
                }
                isr::Action::Request(swap) => {
                    // The stream has a domain, or no element of it would have come here.
                    let Some(domain) = self.domain.clone() else {
                        continue;
                    };
                    let account = self.claimed.as_ref().map(Jid::to_bare);
                    let what = Resuming::Token {
                        h: swap.h,
                        proof: None,
                    };
                    self.ask(
                        shell,
                        what,
                        Request::InstantResume {
                            domain,
                            account,
                            swap,
                        },
                    );
                }
                isr::Action::Event(isr::Event::ProofExposed(session)) => {
                    shell.event(Event::ProofExposed { session });
                }
                isr::Action::Prove(swap) => {
                    let account = self.claimed.as_ref().map(Jid::to_bare);
                    self.ask_about_key(shell, account, swap);
                }
                _ => {}
            }
        }
    }

    pub(super) fn ask_about_key(&mut self, shell: &mut Shell, account: Option<Jid>, swap: KeySwap) {
        let what = Resuming::Proving {
            previd: swap.claim.session.clone(),
            h: swap.h,
        };
        self.ask(shell, what, Request::KeySwap { account, swap });
    }

    /// What whoever keeps the keys has said. The session is next.
    pub(super) fn on_key_answer(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        result: Result<ResponderProof, isr::Refused>,
    ) -> Result<(), UsageError> {
        let Some(Resuming::Proving { previd, h }) = &self.resuming else {
            return Err(UsageError::NotAsked);
        };
        let (previd, h) = (previd.clone(), *h);
        self.resuming = None;
        if self.is_login_by_key() {
            self.on_login_key(env, shell, result);
            return Ok(());
        }
        match (result, self.claimed.as_ref()) {
            (Ok(proof), Some(account)) => {
                let account = account.to_bare();
                let proof = Some(proof);
                let what = Resuming::Token { h, proof };
                self.ask(shell, what, Request::Resume { account, previd });
            }
            (refused, _) => {
                let refused = refused.err();
                let condition = refused.map_or("item-not-found", |refused| refused.condition());
                self.instant.refuse(None, condition);
                self.drain_instant(shell);
            }
        }
        Ok(())
    }

    pub(super) fn resume_by_token(
        &mut self,
        shell: &mut Shell,
        session: &sm::Session,
        h: sm::Count,
        proof: Option<&ResponderProof>,
    ) -> Result<(), sm::Error> {
        let machine = shell.management.as_receiver().ok_or(sm::Error::OutOfTurn)?;
        let ours = machine.take_up(session, h)?;
        self.authenticated = Some(session.owner.to_bare());
        shell.facts.reach(Facts::AUTHENTICATED);
        shell.receiving.reader.set_limits(shell.bounds.after);
        self.unconfirmed = Some(session.id.clone());
        match proof {
            Some(proof) => self.instant.accept_proved(ours.value(), proof),
            None => self.instant.accept(ours.value()),
        }
        self.drain_instant(shell);
        match shell.management.as_receiver() {
            Some(machine) => machine.replay(shell.now, h),
            None => Err(sm::Error::OutOfTurn),
        }
    }

    /// Bytes come that were not waiting for a decision.
    pub(crate) fn on_fresh_input(&mut self) {
        self.fresh = self.unconfirmed.is_some();
    }

    /// The client has read the answer that held its new token, since it goes on behind it. What it sent ahead of that
    /// answer proves nothing.
    pub(super) fn confirm(&mut self, shell: &mut Shell) {
        if !core::mem::take(&mut self.fresh) {
            return;
        }
        if let Some(session) = self.unconfirmed.take() {
            shell.event(Event::TokenConfirmed { session });
        }
    }
}
