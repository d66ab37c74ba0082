//! A server whose client logs in by SASL2: what is offered, and how it is tried.

use minidom::Element;
use onetrip_fast as fast;
use onetrip_isr as isr;
use onetrip_negotiation::{bind2, sasl, sasl2};
use onetrip_stream::{Env, ns};

use super::inline::Inline;
use super::tokens::token_mechanisms;
use super::{Receiver, tasks};
use crate::config::Sasl2Offer;
use crate::shell::Shell;
use crate::{ErrorKind, TaskStep};

/// A login by SASL2.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) machine: sasl2::Receiver,
    /// Who it is that has proved it, where more than that may be demanded.
    pub(super) proved: Option<tasks::Proved>,
    /// What rides along, from when the client has proved who it is until it is answered.
    pub(super) inline: Option<Inline>,
    /// Whether a session goes on within it.
    pub(super) resumed: bool,
    pub(super) tokens: Option<fast::Receiver>,
    /// The HT mechanisms that this channel allows.
    pub(super) mechanisms: Vec<sasl::Mechanism>,
    /// The keys of sessions, if they are taken (XEP-0397).
    pub(super) keys: Option<isr::LoginReceiver>,
    /// Whom a token is being checked for.
    #[cfg(feature = "scram")]
    pub(super) shown_by: Option<String>,
}

/// What else is offered at all, and so within a login.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rides {
    pub(super) management: bool,
    pub(super) keys: bool,
}

/// What is offered on one channel.
struct Offered {
    config: sasl2::ReceiverConfig,
    tokens: Option<fast::Feature>,
    mechanisms: Vec<sasl::Mechanism>,
}

impl Offered {
    /// Stream management wherever it is offered at all.
    fn new(
        offer: &Sasl2Offer,
        sasl: &sasl::ReceiverConfig,
        rides: Rides,
        binds: impl Fn(sasl::BindingType) -> bool,
    ) -> Self {
        let enables: &[&str] = match rides.management {
            true => &[ns::STREAM_MANAGEMENT],
            false => &[],
        };
        let mut config = sasl2::ReceiverConfig::new(sasl.clone());
        config = config.with_inline(bind2::feature(enables));
        if rides.management {
            config = config.with_inline(onetrip_stream_management::feature());
        }
        config.config_version.clone_from(&offer.config_version);
        let mechanisms = token_mechanisms(binds);
        let names = mechanisms.iter().map(|mechanism| mechanism.name());
        let tokens = (offer.fast && !mechanisms.is_empty()).then(|| fast::Feature::new(names));
        let tokens = tokens.map(|feature| match offer.early {
            true => feature.with_early_data(),
            false => feature,
        });
        if offer.fast || rides.keys {
            config.sasl.tokens = sasl::Mechanism::TOKEN.to_vec();
        }
        if let Some(feature) = &tokens {
            config = config.with_inline(feature.to_element());
        }
        Self {
            config,
            tokens,
            mechanisms,
        }
    }
}

impl Login {
    /// What is offered on this channel.
    pub(super) fn new(
        offer: &Sasl2Offer,
        sasl: &sasl::ReceiverConfig,
        rides: Rides,
        binding: Option<sasl::ChannelBinding>,
        certified: bool,
    ) -> Self {
        let binds = |kind| {
            binding
                .as_ref()
                .is_some_and(|binding| binding.data(kind).is_some())
        };
        let offered = Offered::new(offer, sasl, rides, binds);
        let machine = sasl2::Receiver::new(&offered.config, binding, certified);
        Self::with(machine, offered, rides)
    }

    /// The same before the handshake has ended (QS-R2), with what will be there behind it.
    pub(super) fn before_binding(
        offer: &Sasl2Offer,
        sasl: &sasl::ReceiverConfig,
        rides: Rides,
        known: Option<sasl::ChannelBinding>,
    ) -> Self {
        let has = |kind| {
            known
                .as_ref()
                .is_some_and(|known| known.data(kind).is_some())
        };
        let binds = |kind| kind == sasl::BindingType::TlsExporter || has(kind);
        let offered = Offered::new(offer, sasl, rides, binds);
        let machine = sasl2::Receiver::before_binding(&offered.config, known);
        Self::with(machine, offered, rides)
    }

    fn with(machine: sasl2::Receiver, offered: Offered, rides: Rides) -> Self {
        Self {
            machine,
            proved: None,
            inline: None,
            resumed: false,
            mechanisms: offered.mechanisms,
            keys: rides.keys.then(isr::LoginReceiver::new),
            tokens: offered.tokens.map(fast::Receiver::new),
            #[cfg(feature = "scram")]
            shown_by: None,
        }
    }

    /// The feature elements, but for channel binding types that the older SASL shows already.
    pub(super) fn features(&self, shown: &[Element]) -> Vec<Element> {
        let mut features = self.machine.features();
        features.retain(|feature| {
            let same = |known: &Element| known.is(feature.name(), &*feature.ns());
            !shown.iter().any(same)
        });
        features
    }

    /// The mechanisms that keys of sessions are handed out for, the best first.
    pub(super) fn key_mechanisms(&self) -> Vec<&'static str> {
        let all = self.keys.iter().flat_map(|_| &self.mechanisms);
        all.map(|mechanism| mechanism.name()).collect()
    }

    /// Whether nothing but SASL2 may arrive.
    pub(super) fn is_running(&self) -> bool {
        self.machine.is_running()
    }

    /// Whether what rides along is being carried out.
    pub(super) fn is_inline(&self) -> bool {
        self.inline.is_some()
    }
}

impl Receiver {
    pub(super) fn on_sasl2(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        input: sasl2::ReceiverInput<'_>,
    ) {
        let Some(login) = &mut self.sasl2 else {
            return;
        };
        let result = login.machine.handle(env, input);
        while let Some(action) = self
            .sasl2
            .as_mut()
            .and_then(|login| login.machine.poll_action())
        {
            self.on_sasl2_action(env, shell, action);
        }
        if let Err(error) = result {
            shell.fail(ErrorKind::Sasl2(error));
        }
    }

    fn on_sasl2_action(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        action: sasl2::ReceiverAction,
    ) {
        match action {
            sasl2::ReceiverAction::Send(element) => shell.element(&element),
            #[cfg(feature = "scram")]
            sasl2::ReceiverAction::Request(sasl2::ReceiverRequest::Sasl(
                sasl::Request::Token {
                    username,
                    mechanism,
                    proof,
                },
            )) => self.on_token(env, shell, username, mechanism, proof),
            sasl2::ReceiverAction::Request(sasl2::ReceiverRequest::Sasl(request)) => {
                self.ask_sasl(shell, request);
            }
            sasl2::ReceiverAction::Request(sasl2::ReceiverRequest::Authenticated(who)) => {
                self.on_proved(env, shell, &who);
            }
            sasl2::ReceiverAction::Request(sasl2::ReceiverRequest::Task { task, children }) => {
                self.ask_about_task(shell, TaskStep::Begun { task, children });
            }
            sasl2::ReceiverAction::Request(sasl2::ReceiverRequest::TaskData(children)) => {
                self.ask_about_task(shell, TaskStep::Data(children));
            }
            sasl2::ReceiverAction::Event(sasl2::ReceiverEvent::Authenticated {
                mechanism, ..
            }) => self.on_logged_in(shell, mechanism),
            sasl2::ReceiverAction::Event(sasl2::ReceiverEvent::Refused { exhausted, .. }) => {
                self.refused = true;
                self.authenticated = None;
                if let Some(login) = &mut self.sasl2 {
                    login.proved = None;
                    if let Some(tokens) = &mut login.tokens {
                        tokens.failed();
                    }
                }
                if exhausted {
                    shell.fail(ErrorKind::TooManyAttempts);
                }
            }
            _ => {}
        }
    }

    pub(super) fn refuse_login(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        refusal: sasl::Refusal,
    ) {
        let failure = sasl2::Failure::new(refusal);
        let outcome = sasl2::Outcome::Refuse(failure);
        self.on_sasl2(env, shell, sasl2::ReceiverInput::Outcome(outcome));
    }
}
