//! What a connection is told when it is made.

use core::time::Duration;

use minidom::Element;
use onetrip_negotiation::sasl;
use onetrip_quickstart::{ReceiverConfig, Transport};
use onetrip_stream::{Domain, Jid, Limits};

/// How long things may take, and how much a peer may send.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Bounds {
    /// Limits before authentication. Default: [`Limits::UNAUTHENTICATED`].
    pub before: Limits,
    /// Limits after it. Default: [`Limits::AUTHENTICATED`].
    pub after: Limits,
    /// The whole negotiation. Default: 30 s.
    pub negotiation: Duration,
    /// From our footer to the peer's. Default: 5 s.
    pub close: Duration,
    /// The least time before silence behind something sent ahead counts as an answer; it is longer on slow
    /// links, eight round trips as measured. Default: 1 s.
    pub silence: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            before: Limits::UNAUTHENTICATED,
            after: Limits::AUTHENTICATED,
            negotiation: Duration::from_secs(30),
            close: Duration::from_secs(5),
            silence: Duration::from_secs(1),
        }
    }
}

/// A client's connection to its server.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientConfig {
    /// The account; its domain is the server's. A resource in it is asked for.
    pub account: Jid,
    /// How TLS begins. There is no way to do without.
    pub transport: Transport,
    /// What to authenticate with, and which mechanisms may be used.
    pub sasl: sasl::InitiatorConfig,
    /// The default language of the stream (RFC 6120 §4.7.4).
    pub lang: Option<String>,
    /// Limits and deadlines.
    pub bounds: Bounds,
    /// Whether each unit is reported by [`Action::Trace`](crate::Action::Trace). Default: no.
    pub trace: bool,
}

impl ClientConfig {
    /// A connection for `account`, authenticated by `sasl`.
    #[must_use]
    pub fn new(account: Jid, transport: Transport, sasl: sasl::InitiatorConfig) -> Self {
        Self {
            account,
            transport,
            sasl,
            lang: None,
            bounds: Bounds::default(),
            trace: false,
        }
    }
}

/// A server's side of its clients' connections.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServerConfig {
    /// The domains served, the preferred one first.
    pub domains: Vec<Domain>,
    /// How TLS begins.
    pub transport: Transport,
    /// Which mechanisms are offered.
    pub sasl: sasl::ReceiverConfig,
    /// Pipelining.
    pub quickstart: ReceiverConfig,
    /// Feature elements of the application, shown at every stage: entity capabilities (QS-04).
    pub features: Vec<Element>,
    /// Feature elements shown after authentication only: roster versioning and the like.
    pub features_authenticated: Vec<Element>,
    /// Limits and deadlines.
    pub bounds: Bounds,
    /// Whether each unit is reported by [`Action::Trace`](crate::Action::Trace). Default: no.
    pub trace: bool,
}

impl ServerConfig {
    /// A server of these domains.
    #[must_use]
    pub fn new(domains: Vec<Domain>, transport: Transport, sasl: sasl::ReceiverConfig) -> Self {
        Self {
            domains,
            transport,
            sasl,
            quickstart: ReceiverConfig::default(),
            features: Vec::new(),
            features_authenticated: Vec::new(),
            bounds: Bounds::default(),
            trace: false,
        }
    }
}
