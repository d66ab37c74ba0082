//! Instant stream resumption beside stream management: what is asked for with a session, handed out with it, and kept of it.

use minidom::Element;
use onetrip_isr::{self as isr, Dialects, KeyGrant, Location, Ticket, Token};
use onetrip_stream_management::Nonza;

/// What a server hands out with a session that may be resumed.
#[derive(Debug)]
pub(crate) struct Grant {
    /// Of the first text.
    pub(crate) token: Option<Token>,
    /// Of another.
    pub(crate) key: Option<KeyGrant>,
    pub(crate) location: Option<Location>,
}

impl Grant {
    fn add_to(&self, enabled: Element) -> Element {
        let location = self.location.as_ref();
        let enabled = match &self.token {
            Some(token) => isr::grant(enabled, token, location),
            None => enabled,
        };
        match &self.key {
            Some(key) => key.add_to(enabled, location),
            None => enabled,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Instant {
    /// The texts that may be spoken here.
    pub(crate) dialects: Dialects,
    /// The mechanism that a key is asked for: by us with the next `<enable/>`, or by the peer with its last (XEP-0397 §3).
    mechanism: Option<String>,
    /// What resumes the session as it stands (the initiator).
    pub(crate) ticket: Option<Box<Ticket>>,
    /// What goes out with `<enabled/>` (the receiver).
    grant: Option<Box<Grant>>,
}

impl Instant {
    pub(crate) const OFF: Self = Self {
        dialects: Dialects::NONE,
        mechanism: None,
        ticket: None,
        grant: None,
    };

    /// What resumes the session goes along with it.
    pub(crate) fn take_ticket(&mut self) -> Option<Ticket> {
        self.ticket.take().map(|ticket| *ticket)
    }

    /// Asks for a key of this mechanism with the next `<enable/>`.
    pub(crate) fn wish(&mut self, mechanism: Option<String>) {
        self.mechanism = mechanism;
    }

    /// The session is enabled: its ticket, of the best text that the server has answered in (ISR-02 to ISR-04).
    pub(crate) fn read_enabled(&mut self, enabled: &Element) {
        let login = self.mechanism.take();
        let login = login.and_then(|mechanism| isr::sasl2::granted(enabled, &mechanism));
        let proved = || isr::granted_key(enabled).filter(|_| self.dialects.hmac);
        let shown = || isr::granted(enabled).filter(|_| self.dialects.seed);
        if let Some(ticket) = login.or_else(proved).or_else(shown) {
            self.ticket = Some(Box::new(ticket));
        }
    }

    /// The client asks for a session.
    pub(crate) fn read_enable(&mut self, enable: &Element) {
        self.mechanism = isr::sasl2::asked(enable).map(str::to_owned);
    }

    /// The mechanism that the client asks a key for.
    pub(crate) fn asked(&self) -> Option<&str> {
        self.mechanism.as_deref()
    }

    /// What goes along with the next `<enabled/>`.
    pub(crate) fn grant_with(&mut self, grant: Option<Grant>) {
        self.grant = grant.map(Box::new);
    }

    /// An element of stream management as it goes out: with what is asked for, and only where a session may be resumed with
    /// what is handed out (ISR-05).
    pub(crate) fn ride_on(&mut self, nonza: &Nonza) -> Element {
        let element = nonza.to_element();
        match nonza {
            Nonza::Enable { resume: true, .. } => match &self.mechanism {
                Some(mechanism) => isr::sasl2::ask(element, mechanism),
                None => element,
            },
            Nonza::Enabled(granted) => match self.grant.take() {
                Some(grant) if granted.id.is_some() => grant.add_to(element),
                _ => element,
            },
            _ => element,
        }
    }
}
