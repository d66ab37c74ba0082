//! What a connection is told when it is made.

use core::time::Duration;

use minidom::Element;
use onetrip_fast as fast;
use onetrip_isr::{Dialects, Location};
use onetrip_negotiation::{sasl, sasl2};
use onetrip_quickstart::{ReceiverConfig, Transport};
use onetrip_stream::{Domain, Jid, Limits};
use onetrip_stream_management as sm;

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
    /// Between servers: how long a connection stays that carries no stanza, in either direction, and has nothing to do for
    /// dialback (BIDI-20). Default: for ever.
    pub idle: Option<Duration>,
    /// How long a server may take to find a session that is asked for by its token. Default: 10 s.
    pub resume: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            before: Limits::UNAUTHENTICATED,
            after: Limits::AUTHENTICATED,
            negotiation: Duration::from_secs(30),
            close: Duration::from_secs(5),
            silence: Duration::from_secs(1),
            idle: None,
            resume: Duration::from_secs(10),
        }
    }
}

/// What a client asks of stream management (XEP-0198).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Management {
    /// How much is kept, and when acknowledgements are asked for.
    pub config: sm::Config,
    /// Whether the session shall be resumable. Default: yes.
    pub resume: bool,
    /// For how many seconds at most; the server decides. Default: no wish.
    pub max: Option<u32>,
    /// By which texts of instant stream resumption the session may be brought back, where the server has one. The best of
    /// them is taken: the third, which needs [`ClientConfig::sasl2`], then the second. Default: all.
    pub instant: Dialects,
}

impl Default for Management {
    fn default() -> Self {
        Self {
            config: sm::Config::default(),
            resume: true,
            max: None,
            instant: Dialects::default(),
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
    /// Whether and how to log in by SASL2, where the server has it. Default: not.
    pub sasl2: Option<Sasl2Login>,
    /// The default language of the stream (RFC 6120 §4.7.4).
    pub lang: Option<String>,
    /// Stream management, if the server has it: then every stanza that arrives must be said to be
    /// [handled](crate::Connection::handled). Default: none.
    pub management: Option<Management>,
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
            sasl2: None,
            lang: None,
            management: None,
            bounds: Bounds::default(),
            trace: false,
        }
    }
}

/// How a client logs in by SASL2 (XEP-0388), where the server has it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Sasl2Login {
    /// What the client says about itself. Where tokens are used, [`Entity`](crate::Entity) adds an id if there is none.
    pub user_agent: Option<sasl2::UserAgent>,
    /// What the resource begins with, for everybody to see (XEP-0386 §3.2). A resource in
    /// [`ClientConfig::account`] is not asked for within a login.
    pub tag: Option<String>,
    /// What else is to be enabled with the resource, such as carbons.
    pub inline: Vec<Element>,
    /// Tokens instead of the password, where the server has them (XEP-0484). They need the id of
    /// [`Sasl2Login::user_agent`]. Default: yes, but not as early data.
    pub fast: Option<FastLogin>,
    /// The tasks that can be carried out besides a mechanism, such as a second factor:
    /// [`Request::TaskPrompt`](crate::Request::TaskPrompt) asks for it. They have to be done within
    /// [`Bounds::negotiation`]. Default: none, so that a server which demands one is given up.
    pub tasks: Vec<String>,
}

impl Default for Sasl2Login {
    fn default() -> Self {
        Self {
            user_agent: None,
            tag: None,
            inline: Vec::new(),
            fast: Some(FastLogin::default()),
            tasks: Vec::new(),
        }
    }
}

/// How a client logs in by tokens (XEP-0484).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FastLogin {
    /// What was kept. [`Entity`](crate::Entity) puts in what it has of the account; without one it is that of the last
    /// [`EntityEvent::installation`](crate::EntityEvent::installation).
    pub wallet: fast::Wallet,
    /// Which tokens to ask for, and whether one may go as early data of TLS 1.3, where the server takes it and the TLS session
    /// can: then header and login are in the flight of the ClientHello. Default: those that bind the channel first
    /// (XEP-0484 §6), and no early data.
    pub policy: fast::Policy,
    /// What date it is, for tokens that end. Default: unknown, so that each is tried until the server says that it has ended.
    pub now: Option<fast::DateTime>,
}

impl FastLogin {
    /// Asks for these tokens.
    #[must_use]
    pub fn new(policy: fast::Policy) -> Self {
        Self {
            wallet: fast::Wallet::default(),
            policy,
            now: None,
        }
    }

    /// The same, at this date.
    #[must_use]
    pub fn at(mut self, now: fast::DateTime) -> Self {
        self.now = Some(now);
        self
    }
}

impl Default for FastLogin {
    fn default() -> Self {
        let all = sasl::Mechanism::TOKEN.into_iter().rev();
        let usable = all.filter(|mechanism| mechanism.is_built_in());
        Self::new(fast::Policy::new(usable.map(sasl::Mechanism::name)))
    }
}

/// How a server offers SASL2 (XEP-0388), with Bind 2 and, if there is stream management, inline resumption.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Sasl2Offer {
    /// Which configuration the server is in, opaque: a login that assumes another is turned away, and blames nobody's
    /// credentials (XEP-0509). Default: none.
    pub config_version: Option<String>,
    /// Whether tokens are handed out and taken (XEP-0484): [`Request::FastIssue`](crate::Request::FastIssue) and
    /// [`Request::FastSwap`](crate::Request::FastSwap) ask whoever keeps them. They need the feature `scram`. Default: no.
    pub fast: bool,
    /// Whether a token may come as early data of TLS 1.3 ([`Connection::receive_early`](crate::Connection::receive_early)),
    /// which needs [`Sasl2Offer::fast`]. Default: no.
    pub early: bool,
    /// Whether a client may have to do more than its mechanism: [`Request::TaskStep`](crate::Request::TaskStep) asks about
    /// each that has proved who it is, but by a token. Default: no.
    pub tasks: bool,
}

/// How a server offers instant stream resumption.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct InstantResume {
    /// Where clients shall come back, by TLS from the first byte (ISR-03, ISR-08). Default: wherever they like.
    pub location: Option<Location>,
    /// Which texts are offered: the second where TLS yields the hash of our certificate
    /// ([`TlsInfo::end_point`](crate::TlsInfo::end_point)), the third beside [`ServerConfig::sasl2`], with the feature
    /// `scram`. Default: all.
    pub dialects: Dialects,
}

impl InstantResume {
    /// By these texts and no others.
    #[must_use]
    pub fn by(dialects: Dialects) -> Self {
        Self {
            dialects,
            ..Self::default()
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
    /// Whether and how SASL2 is offered, with the same mechanisms. Default: not.
    pub sasl2: Option<Sasl2Offer>,
    /// Pipelining.
    pub quickstart: ReceiverConfig,
    /// Stream management, if it is offered: then every stanza that arrives must be said to be
    /// [handled](crate::Connection::handled). Default: none.
    pub management: Option<sm::Config>,
    /// Instant stream resumption, if it is offered, which needs stream management. Default: none.
    pub instant_resume: Option<InstantResume>,
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
            sasl2: None,
            quickstart: ReceiverConfig::default(),
            management: None,
            instant_resume: None,
            features: Vec::new(),
            features_authenticated: Vec::new(),
            bounds: Bounds::default(),
            trace: false,
        }
    }
}
