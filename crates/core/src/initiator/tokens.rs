//! A client's tokens: which one is tried, when another is asked for, and what is kept (XEP-0484).

use minidom::Element;
use onetrip_fast as fast;
use onetrip_negotiation::{sasl, sasl2};
use onetrip_quickstart::{Join, Step};
use onetrip_stream::{Env, Secret, ns};

use super::{Goal, Initiator};
use crate::shell::Shell;
use crate::{Action, EntityEvent, Installation};

impl Initiator {
    pub(super) fn tokens(&mut self) -> Option<&mut fast::Initiator> {
        match &mut self.goal {
            Goal::Resource(resource) => resource.tokens.as_mut(),
            Goal::Pairs(_) => None,
        }
    }

    /// The wallet has changed, or may have.
    pub(super) fn keep_tokens(&mut self, shell: &mut Shell) {
        let Goal::Resource(resource) = &self.goal else {
            return;
        };
        let agent = resource.sasl2.as_ref();
        let id = agent.and_then(|login| login.user_agent.as_ref()?.id.clone());
        if let (Some(fast), Some(id)) = (&resource.tokens, id) {
            let kept = Installation::with(&resource.account, id, fast.wallet().clone());
            shell.push(Action::Entity(EntityEvent::tokens(kept)));
        }
    }

    /// A login by token, if there is one that the server takes and this channel allows: its credentials, its mechanism,
    /// and what rides along.
    pub(super) fn token(
        &mut self,
        offer: &sasl2::Offer,
    ) -> Option<(sasl::InitiatorConfig, sasl::Choice, Element)> {
        let (now, choice) = self.token_choice(offer)?;
        let login = self.tokens()?.login(now)?;
        let config = self.token_config(choice, login.token.secret());
        Some((config, choice, login.element))
    }

    fn token_choice(&self, offer: &sasl2::Offer) -> Option<(fast::DateTime, sasl::Choice)> {
        let feature = fast::Feature::read(offer.inline("fast", ns::FAST)?)?;
        let now = self.token_time()?;
        let Goal::Resource(resource) = &self.goal else {
            return None;
        };
        let name = &resource.tokens.as_ref()?.wallet().next(now)?.mechanism;
        let choice = self.choose_token(name).filter(|_| feature.offers(name))?;
        Some((now, choice))
    }

    /// The mechanism of this name, if its secret is a token and this channel allows it.
    pub(super) fn choose_token(&self, name: &str) -> Option<sasl::Choice> {
        let mechanism = sasl::Mechanism::from_name(name).filter(|known| known.is_token())?;
        let username = &self.credentials.username;
        let probe = sasl::InitiatorConfig::token(username, mechanism, Secret::default());
        sasl::choose(&probe, &[name.to_owned()], &[], self.binding.as_ref(), 0)
    }

    /// What a login by this token is made with.
    pub(super) fn token_config(
        &self,
        choice: sasl::Choice,
        token: &Secret,
    ) -> sasl::InitiatorConfig {
        let username = &self.credentials.username;
        sasl::InitiatorConfig::token(username, choice.mechanism(), token.clone())
    }

    /// Header and login go as early data, where nothing but a token is in them that the server was seen to take so
    /// (XEP-0484 §3.4); never what brings a session back by itself (ISR-R7).
    pub(super) fn send_early(&mut self, env: &mut Env<'_>, shell: &mut Shell) {
        if shell.management.ticket().is_none() && self.goes_early().is_some() {
            shell.begin_early();
            self.advance(env, shell);
            shell.end_early();
        }
    }

    fn goes_early(&self) -> Option<()> {
        let plan = self.attempt.plan();
        let known = plan
            .assumed()
            .filter(|_| plan.join(Step::Auth) == Join::AtOnce)?;
        let (now, ..) = self.token_choice(&self.offer_of_sasl2(&known.secured)?)?;
        let Goal::Resource(resource) = &self.goal else {
            return None;
        };
        resource.tokens.as_ref()?.goes_early(now).then_some(())
    }

    /// What the features say of tokens.
    pub(super) fn learn_tokens(&mut self, shell: &mut Shell, features: &Element) {
        let offer = sasl2::Offer::read(features);
        let feature = offer
            .as_ref()
            .and_then(|offer| fast::Feature::read(offer.inline("fast", ns::FAST)?));
        if let Some(fast) = self.tokens() {
            if fast.offered(feature.as_ref()) {
                self.keep_tokens(shell);
            }
        }
    }

    /// What asks for a token, behind a login by other means.
    pub(super) fn ask_for_token(&mut self, offer: &sasl2::Offer) -> Option<Element> {
        let feature = fast::Feature::read(offer.inline("fast", ns::FAST)?)?;
        self.token_time()?;
        self.tokens()?.request(&feature)
    }

    /// Whether tokens are used with a server that offers this.
    pub(super) fn uses_tokens(&self, offer: &sasl2::Offer) -> bool {
        self.token_time().is_some() && offer.inline("fast", ns::FAST).is_some()
    }

    /// What time it is for tokens; none without an id of the client, by which they are handed out (XEP-0484 §4.1).
    fn token_time(&self) -> Option<fast::DateTime> {
        let Goal::Resource(resource) = &self.goal else {
            return None;
        };
        let login = resource.sasl2.as_ref()?;
        login.user_agent.as_ref()?.id.as_ref()?;
        let unknown = fast::DateTime::from_unix_seconds(0);
        let fast = login.fast.as_ref()?;
        Some(fast.now.unwrap_or(unknown))
    }
}
