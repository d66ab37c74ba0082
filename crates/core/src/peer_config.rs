//! What a connection between servers is told when it is made.

use minidom::Element;
use onetrip_bidi as bidi;
use onetrip_dialback as dialback;
use onetrip_dialback::ConnectionId;
use onetrip_quickstart::{ReceiverConfig, Transport};
use onetrip_stream::{Domain, Secret};

use crate::Bounds;

/// How dialback is done (XEP-0220).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DialbackConfig {
    /// What keys are made from, shared by all that answer for our domains (XEP-0185 §2).
    pub secret: Secret,
    /// What is accepted. TLS is required, whatever is said there.
    pub receiving: dialback::ReceivingConfig,
    /// How requests are made.
    pub originating: dialback::OriginatingConfig,
    /// How keys are verified.
    pub verifying: dialback::VerifyingConfig,
    /// What is vouched for.
    pub authoritative: dialback::AuthoritativeConfig,
    /// Whether a key is verified over a connection without TLS, as the first servers did: three round trips instead of six,
    /// and whoever is on the way there can answer `valid`. Default: no.
    pub verify_in_clear: bool,
}

impl DialbackConfig {
    /// With this secret.
    #[must_use]
    pub fn new(secret: Secret) -> Self {
        Self {
            secret,
            receiving: dialback::ReceivingConfig::default(),
            originating: dialback::OriginatingConfig::default(),
            verifying: dialback::VerifyingConfig::default(),
            authoritative: dialback::AuthoritativeConfig::default(),
            verify_in_clear: false,
        }
    }
}

/// A server's connection to another server.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OutboundConfig {
    /// By what the caller tells its connections apart: another number for each ([`Peers`](crate::Peers) gives them out).
    pub connection: ConnectionId,
    /// The domain of ours that it is opened for.
    pub local: Domain,
    /// The domain that it is opened to.
    pub remote: Domain,
    /// How TLS begins. There is no way to do without.
    pub transport: Transport,
    /// All the domains that are ours; `local` is one of them, said or not.
    pub hosted: Vec<Domain>,
    /// Whether TLS shows a certificate for `local`, so that SASL EXTERNAL may be used (XEP-0178). Default: yes.
    pub certificate: bool,
    /// Whether EXTERNAL says who we are, for servers that do not look at the stream header (XEP-0178 §3). Default: yes.
    pub authzid: bool,
    /// Dialback, where EXTERNAL is not possible or refused. Default: none.
    pub dialback: Option<DialbackConfig>,
    /// Bidirectional streams.
    pub bidi: bidi::InitiatorConfig,
    /// The default language of the stream (RFC 6120 §4.7.4).
    pub lang: Option<String>,
    /// Limits and deadlines.
    pub bounds: Bounds,
    /// Whether each unit is reported by [`Action::Trace`](crate::Action::Trace). Default: no.
    pub trace: bool,
}

impl OutboundConfig {
    /// From a domain of ours to one of theirs.
    #[must_use]
    pub fn new(
        connection: ConnectionId,
        local: Domain,
        remote: Domain,
        transport: Transport,
    ) -> Self {
        Self {
            connection,
            hosted: vec![local.clone()],
            local,
            remote,
            transport,
            certificate: true,
            authzid: true,
            dialback: None,
            bidi: bidi::InitiatorConfig::default(),
            lang: None,
            bounds: Bounds::default(),
            trace: false,
        }
    }
}

/// A server's side of a connection that another server has opened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct InboundConfig {
    /// By what the caller tells its connections apart: another number for each ([`Peers`](crate::Peers) gives them out).
    pub connection: ConnectionId,
    /// The domains served, the preferred one first.
    pub domains: Vec<Domain>,
    /// How TLS begins.
    pub transport: Transport,
    /// Whether SASL EXTERNAL is offered to whoever's certificate proves its domain (XEP-0178). Default: yes.
    pub external: bool,
    /// Dialback, for peers that bind its prefix. Default: none.
    pub dialback: Option<DialbackConfig>,
    /// Bidirectional streams. TLS is required, whatever is said there.
    pub bidi: bidi::ReceiverConfig,
    /// Pipelining. There is no proactive header between servers: what is offered depends on who asks.
    pub quickstart: ReceiverConfig,
    /// Feature elements of the application, shown at every stage.
    pub features: Vec<Element>,
    /// Limits and deadlines.
    pub bounds: Bounds,
    /// Whether each unit is reported by [`Action::Trace`](crate::Action::Trace). Default: no.
    pub trace: bool,
}

impl InboundConfig {
    /// A server of these domains.
    #[must_use]
    pub fn new(connection: ConnectionId, domains: Vec<Domain>, transport: Transport) -> Self {
        Self {
            connection,
            domains,
            transport,
            external: true,
            dialback: None,
            bidi: bidi::ReceiverConfig::default(),
            quickstart: ReceiverConfig::default(),
            features: Vec::new(),
            bounds: Bounds::default(),
            trace: false,
        }
    }
}
