//! A client's tokens: which one is tried, when another is asked for, and what is kept (XEP-0484).

use minidom::Element;
use onetrip_fast as fast;
use onetrip_negotiation::{sasl, sasl2};
use onetrip_stream::{Secret, ns};

use super::{Goal, Initiator};
use crate::Event;
use crate::shell::Shell;

impl Initiator {
    pub(super) fn tokens(&mut self) -> Option<&mut fast::Initiator> {
        match &mut self.goal {
            Goal::Resource(resource) => resource.tokens.as_mut(),
            Goal::Pairs(_) => None,
        }
    }

    /// The wallet has changed, or may have.
    pub(super) fn keep_tokens(&mut self, shell: &mut Shell) {
        if let Some(fast) = self.tokens() {
            let wallet = fast.wallet().clone();
            shell.event(Event::Tokens(wallet));
        }
    }

    /// A login by token, if there is one that the server takes and this channel allows: its credentials, its mechanism,
    /// and what rides along.
    pub(super) fn token(
        &mut self,
        offer: &sasl2::Offer,
    ) -> Option<(sasl::InitiatorConfig, sasl::Choice, Element)> {
        let feature = fast::Feature::read(offer.inline("fast", ns::FAST)?)?;
        let (binding, username) = (self.binding.clone(), self.credentials.username.clone());
        let now = self.token_time()?;
        let fast = self.tokens()?;
        let name = fast.wallet().next(now)?.mechanism.clone();
        let mechanism = sasl::Mechanism::from_name(&name).filter(|known| known.is_token())?;
        if !feature.offers(&name) {
            return None;
        }
        let probe = sasl::InitiatorConfig::token(&username, mechanism, Secret::default());
        let choice = sasl::choose(&probe, &[name], &[], binding.as_ref(), 0)?;
        let login = fast.login(now)?;
        let secret = login.token.secret().clone();
        let config = sasl::InitiatorConfig::token(&username, mechanism, secret);
        Some((config, choice, login.element))
    }

    /// What asks for a token, behind a login by other means.
    pub(super) fn ask_for_token(&mut self, offer: &sasl2::Offer) -> Option<Element> {
        let feature = fast::Feature::read(offer.inline("fast", ns::FAST)?)?;
        self.token_time()?;
        self.tokens()?.request(&feature)
    }

    /// What time it is for tokens; none without an id of the client, by which they are handed out (XEP-0484 §4.1).
    fn token_time(&self) -> Option<fast::DateTime> {
        let Goal::Resource(resource) = &self.goal else {
            return None;
        };
        let login = resource.sasl2.as_ref()?;
        login.user_agent.as_ref()?.id.as_ref()?;
        login.fast.as_ref().map(|fast| fast.now)
    }
}
