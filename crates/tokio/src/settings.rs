//! What a client is told when it is made.

use std::sync::Arc;
use std::time::Duration;

use onetrip_core::isr::{Begin, Location};
use onetrip_core::negotiation::sasl::InitiatorConfig;
use onetrip_core::quickstart::Transport;
use onetrip_core::stream::{Jid, Secret};
use onetrip_core::{ClientConfig, Entity, Management, Sasl2Login};
use onetrip_tls::TlsError;
use onetrip_tls::rustls::rustls::{ClientConfig as TlsConfig, RootCertStore};
use onetrip_tls::rustls::{Versions, client_config};

/// Where servers listen for STARTTLS (RFC 6120 §14.7).
const PORT: u16 = 5222;

/// What a [`Client`](crate::Client) is made of.
#[derive(Debug)]
#[non_exhaustive]
pub struct Settings {
    /// The account and how to log in. Its `transport` is set by each place.
    pub login: ClientConfig,
    /// Whom to trust.
    pub tls: Arc<TlsConfig>,
    /// Where the server is, in the order to try. Default: port 5222 of the domain, with STARTTLS. A session that names
    /// another place goes on there (ISR-07).
    pub places: Vec<(Location, Begin)>,
    /// How long to wait before the next attempt.
    pub backoff: Backoff,
    /// What is remembered of servers and which sessions wait: give in what [`Client::into_entity`] has given out.
    ///
    /// [`Client::into_entity`]: crate::Client::into_entity
    pub entity: Entity,
    /// Whether a stanza counts as dealt with when [`Client::handled`] says so, instead of when the next event is asked
    /// for. For applications that store stanzas before they are acknowledged. Default: no.
    ///
    /// [`Client::handled`]: crate::Client::handled
    pub handled_by_hand: bool,
}

impl Settings {
    /// A login with a password, trusting the certificates that the system trusts (`SSL_CERT_FILE` is honoured). Sessions
    /// are counted and resumed; SASL2 is used where the server has it and no resource is asked for.
    ///
    /// # Errors
    /// [`TlsError`] when TLS cannot work at all.
    pub fn new(account: Jid, password: impl Into<Secret>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        // What cannot be read is not trusted; a connection says so, if it matters.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let tls = client_config(roots, Versions::Both, None)?;
        let name = account.local().unwrap_or_default();
        let sasl = InitiatorConfig::password(name, password.into());
        let mut login = ClientConfig::new(account, Transport::StartTls, sasl);
        login.management = Some(Management::default());
        login.sasl2 = login.account.resource().is_none().then(Sasl2Login::default);
        Ok(Self::with(login, tls))
    }

    /// The same with everything said.
    #[must_use]
    pub fn with(login: ClientConfig, tls: Arc<TlsConfig>) -> Self {
        let host = login.account.domain().as_str().to_owned();
        let place = Location { host, port: PORT };
        Self {
            login,
            tls,
            places: vec![(place, Begin::StartTls)],
            backoff: Backoff::default(),
            entity: Entity::default(),
            handled_by_hand: false,
        }
    }

    /// The server is at this place and no other.
    #[must_use]
    pub fn at(mut self, place: Location, begin: Begin) -> Self {
        self.places = vec![(place, begin)];
        self
    }
}

/// How long to wait before connecting again: a random part of a span that doubles with every attempt (RFC 6120 §3.3), so
/// that the clients of a server that went down do not all come back at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The first span. Default: 1 s.
    pub first: Duration,
    /// The longest. Default: 2 min.
    pub longest: Duration,
    /// A connection that was online for so long begins anew with the first span. Default: 10 s.
    pub steady: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(120),
            steady: Duration::from_secs(10),
        }
    }
}

impl Backoff {
    /// The pause before the attempt behind `failed` ones, by a number drawn at random.
    pub(crate) fn pause(&self, failed: u32, random: u32) -> Duration {
        let factor = 1_u32.checked_shl(failed.min(31)).unwrap_or(u32::MAX);
        let span = self.first.saturating_mul(factor).min(self.longest);
        span.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6120 §3.3: random, growing, and bounded.
    #[test]
    fn pauses_grow_to_a_bound_and_are_drawn_from_all_of_the_span() {
        let backoff = Backoff::default();
        let longest = |failed| backoff.pause(failed, u32::MAX);
        assert_eq!(longest(0), Duration::from_secs(1));
        assert_eq!(longest(3), Duration::from_secs(8));
        assert_eq!(longest(7), Duration::from_secs(120));
        assert_eq!(longest(u32::MAX), Duration::from_secs(120));
        assert_eq!(backoff.pause(3, 0), Duration::ZERO);
        assert!(backoff.pause(3, u32::MAX / 2) < Duration::from_millis(4001));
    }
}
