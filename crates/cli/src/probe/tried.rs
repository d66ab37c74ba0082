//! What a server does with units that come together: each is tried on a connection of its own (QS-R10).

use std::sync::Arc;
use std::time::Duration;

use minidom::Element;
use onetrip_core::quickstart::Transport;
use onetrip_core::stream::{Build as _, Content, Domain, Frame, ns};
use onetrip_core::{TlsInfo, TlsVersion};
use onetrip_tls::rustls::rustls::ClientConfig as TlsConfig;
use onetrip_tls::rustls::sending_early_data;

use super::places::Place;
use super::wire::{Wire, name_of};

/// The mechanism that nobody has.
const NONE: &str = "ONETRIP-PROBE";

/// How long [`Together::HelloLater`] waits: as long as the program does before it has learnt better.
const GAP: Duration = Duration::from_millis(20);

/// Units that are sent in one write, or close behind one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Together {
    /// Header and `<starttls/>`.
    StartTls,
    /// Those, and a ClientHello in a write of its own before `<proceed/>` has come.
    HelloLater,
    /// All three in one write.
    Hello,
    /// Under TLS, header and `<auth/>`.
    Auth,
    /// Under TLS, header and `<authenticate/>` (XEP-0388).
    Authenticate,
    /// The same as early data of TLS (XEP-0484 §5).
    Early,
}

impl Together {
    /// What is tried on a transport, where SASL2 is offered or is not.
    pub(super) const fn of(transport: Transport, sasl2: bool) -> &'static [Self] {
        match (transport, sasl2) {
            (Transport::StartTls, false) => {
                &[Self::StartTls, Self::HelloLater, Self::Hello, Self::Auth]
            }
            (Transport::StartTls, true) => &[
                Self::StartTls,
                Self::HelloLater,
                Self::Hello,
                Self::Auth,
                Self::Authenticate,
            ],
            (Transport::DirectTls, false) => &[Self::Auth],
            (Transport::DirectTls, true) => &[Self::Auth, Self::Authenticate, Self::Early],
        }
    }

    /// All of them.
    pub(super) const ALL: [Self; 6] = [
        Self::StartTls,
        Self::HelloLater,
        Self::Hello,
        Self::Auth,
        Self::Authenticate,
        Self::Early,
    ];

    /// Its name in JSON.
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::StartTls => "header_starttls",
            Self::HelloLater => "header_starttls_gap_hello",
            Self::Hello => "header_starttls_hello",
            Self::Auth => "header_auth",
            Self::Authenticate => "header_authenticate",
            Self::Early => "early_header_authenticate",
        }
    }

    /// Its name for people.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::StartTls => "header, <starttls/>",
            Self::HelloLater => "the same, and ClientHello 20 ms later",
            Self::Hello => "header, <starttls/>, ClientHello",
            Self::Auth => "under TLS: header, <auth/>",
            Self::Authenticate => "under TLS: header, <authenticate/>",
            Self::Early => "TLS early data: header, <authenticate/>",
        }
    }
}

/// What all connections to a place need.
pub(super) struct Visit<'a> {
    pub(super) place: &'a Place,
    pub(super) domain: &'a Domain,
    pub(super) tls: &'a Arc<TlsConfig>,
    pub(super) patience: Duration,
}

/// What a server shows, step by step.
pub(super) struct Shown {
    pub(super) round_trip: Duration,
    /// Before TLS; on direct TLS there is nothing before it.
    pub(super) clear: Option<Element>,
    pub(super) tls: TlsInfo,
    pub(super) secured: Element,
}

/// The versions of TLS, in words.
pub(super) const fn version(info: &TlsInfo) -> &'static str {
    match info.version {
        Some(TlsVersion::Tls12) => "1.2",
        Some(TlsVersion::Tls13) => "1.3",
        _ => "unknown",
    }
}

impl Visit<'_> {
    async fn connect(&self) -> Result<Wire, String> {
        let place = self.place;
        Wire::connect(place.address, place.content, self.domain, self.patience).await
    }

    /// Goes as far as it gets without a login, one unit at a time.
    pub(super) async fn look(&self) -> Result<Shown, String> {
        let mut wire = self.connect().await?;
        let mut clear = None;
        if self.place.transport == Transport::StartTls {
            wire.header()?;
            wire.flush().await?;
            let features = wire.features(true).await?;
            if !features.has_child("starttls", ns::TLS) {
                return Err("STARTTLS is not offered".to_owned());
            }
            clear = Some(features);
            wire.element(&starttls())?;
            wire.flush().await?;
            wire.proceed().await?;
        }
        wire.hello(self.tls, self.domain)?;
        wire.flush().await?;
        let tls = wire.handshake().await?;
        wire.header()?;
        wire.flush().await?;
        let secured = wire.features(false).await?;
        Ok(Shown {
            round_trip: wire.round_trip,
            clear,
            tls,
            secured,
        })
    }

    /// Sends units together; an error says what came of it instead of their answers.
    pub(super) async fn try_together(&self, together: Together) -> Result<(), String> {
        let mut wire = self.connect().await?;
        match together {
            Together::Auth => {
                let mut units = vec![Element::bare("auth", ns::SASL).with_attr("mechanism", NONE)];
                if self.place.content == Content::Server {
                    units.insert(0, Element::bare("bidi", ns::BIDI));
                }
                return self.try_login(wire, &units).await;
            }
            Together::Authenticate => return self.try_login(wire, &[authenticate()]).await,
            Together::Early => return self.try_early(wire).await,
            Together::StartTls | Together::HelloLater | Together::Hello => {}
        }
        wire.header()?;
        wire.element(&starttls())?;
        if together != Together::Hello {
            wire.flush().await?;
        }
        if together == Together::HelloLater {
            tokio::time::sleep(GAP).await;
        }
        if together != Together::StartTls {
            wire.hello(self.tls, self.domain)?;
            wire.flush().await?;
        }
        wire.features(true).await?;
        wire.proceed().await?;
        if together == Together::StartTls {
            return Ok(());
        }
        wire.handshake().await.map(drop)
    }

    /// Asks for a mechanism that nobody has, so that nobody is logged in: it is refused, which is an answer.
    async fn try_login(&self, mut wire: Wire, units: &[Element]) -> Result<(), String> {
        if self.place.transport == Transport::StartTls {
            wire.header()?;
            wire.element(&starttls())?;
            wire.flush().await?;
            wire.features(true).await?;
            wire.proceed().await?;
        }
        wire.hello(self.tls, self.domain)?;
        wire.flush().await?;
        wire.handshake().await?;
        wire.header()?;
        for unit in units {
            wire.element(unit)?;
        }
        wire.flush().await?;
        wire.features(false).await?;
        refused(&mut wire).await
    }

    /// The same in the flight of the ClientHello, by the ticket of an earlier connection.
    async fn try_early(&self, mut wire: Wire) -> Result<(), String> {
        let tls = sending_early_data(Arc::clone(self.tls));
        if !wire.hello_with(&tls, self.domain, &authenticate())? {
            return Err("the server gives no ticket that allows it".to_owned());
        }
        wire.flush().await?;
        if !wire.handshake().await?.early_data {
            return Err("refused by TLS".to_owned());
        }
        wire.features(false).await?;
        refused(&mut wire).await
    }
}

/// Waits for the answer to what nobody can be logged in by.
async fn refused(wire: &mut Wire) -> Result<(), String> {
    let failure = |element: &Element| {
        [ns::SASL, ns::SASL2]
            .iter()
            .any(|sasl| element.is("failure", *sasl))
    };
    match wire.next().await? {
        Frame::Element(element) if failure(&element) => Ok(()),
        other => Err(format!("not <failure/> but {}", name_of(&other))),
    }
}

fn authenticate() -> Element {
    Element::bare("authenticate", ns::SASL2).with_attr("mechanism", NONE)
}

fn starttls() -> Element {
    Element::bare("starttls", ns::TLS)
}
