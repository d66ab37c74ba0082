//! What a server does with units that come together: each is tried on a connection of its own (QS-R10).

use std::sync::Arc;
use std::time::Duration;

use minidom::Element;
use onetrip_core::quickstart::Transport;
use onetrip_core::stream::{Build as _, Content, Domain, Frame, ns};
use onetrip_core::{TlsInfo, TlsVersion};
use onetrip_tls::rustls::rustls::ClientConfig as TlsConfig;

use super::places::Place;
use super::wire::{Wire, name_of};

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
}

impl Together {
    /// What is tried on a transport.
    pub(super) const fn of(transport: Transport) -> &'static [Self] {
        match transport {
            Transport::StartTls => &[Self::StartTls, Self::HelloLater, Self::Hello, Self::Auth],
            Transport::DirectTls => &[Self::Auth],
        }
    }

    /// Its name in JSON.
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::StartTls => "header_starttls",
            Self::HelloLater => "header_starttls_gap_hello",
            Self::Hello => "header_starttls_hello",
            Self::Auth => "header_auth",
        }
    }

    /// Its name for people.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::StartTls => "header, <starttls/>",
            Self::HelloLater => "the same, and ClientHello 20 ms later",
            Self::Hello => "header, <starttls/>, ClientHello",
            Self::Auth => "under TLS: header, <auth/>",
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
        if together == Together::Auth {
            return self.try_auth(wire).await;
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
    async fn try_auth(&self, mut wire: Wire) -> Result<(), String> {
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
        if self.place.content == Content::Server {
            wire.element(&Element::bare("bidi", ns::BIDI))?;
        }
        let auth = Element::bare("auth", ns::SASL).with_attr("mechanism", "ONETRIP-PROBE");
        wire.element(&auth)?;
        wire.flush().await?;
        wire.features(false).await?;
        match wire.next().await? {
            Frame::Element(element) if element.is("failure", ns::SASL) => Ok(()),
            other => Err(format!("not <failure/> but {}", name_of(&other))),
        }
    }
}

fn starttls() -> Element {
    Element::bare("starttls", ns::TLS)
}
