//! What two operators agree on, before it is checked (ZH-01, ZH-04).

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;
use core::time::Duration;

use onetrip_stream::Domain;

use crate::{Fingerprint, Network, SourceRule};

/// Who may open connections (ZH-12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    /// Either side: recommended.
    #[default]
    Either,
    /// We alone.
    OutboundOnly,
    /// The peer alone.
    InboundOnly,
}

/// What becomes of a stanza whose addresses are not agreed (ZH-11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnInvalid {
    /// A stream error ends the link, as between any two servers.
    #[default]
    StreamError,
    /// It is dropped, and an event tells of it.
    Drop,
    /// It is answered with a stanza error where its sender is one of the peer's; dropped otherwise, since nothing
    /// may go out that was not agreed.
    Bounce,
}

/// How strictly our own connection is used for what we send (ZH-13).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OwnConnectionRule {
    /// Always, once it is open: what comes up waits until nothing of ours is on its way on the peer's connection.
    #[default]
    Must,
    /// In general (XEP-0361 §4): the peer's connection goes on being used until nothing of ours is on its way there.
    Generally,
}

/// A host to connect to, by address or by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// An address.
    Ip(IpAddr),
    /// A name, to be resolved by the driver; no SRV lookup.
    Name(Domain),
}

/// Where the peer listens (ZH-04): there is no default port.
///
/// ```
/// # use onetrip_zero_handshake::Address;
/// let address: Address = "[2001:db8::7]:5299".parse().unwrap();
/// assert_eq!((address.port, address.to_string().as_str()), (5299, "[2001:db8::7]:5299"));
/// assert!("air.example".parse::<Address>().is_err(), "no port");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
}

/// The text is not a host and a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a host and a port, such as air.example:5299")]
pub struct NotAnAddress;

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        let (host, port) = (Host::Ip(address.ip()), address.port());
        Self { host, port }
    }
}

impl FromStr for Address {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(address.into());
        }
        let (host, port) = text.rsplit_once(':').ok_or(NotAnAddress)?;
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let name = Domain::new(host).filter(|_| digits && !host.contains([':', '[', ']']));
        Ok(Self {
            host: Host::Name(name.ok_or(NotAnAddress)?),
            port: port.parse().map_err(|_| NotAnAddress)?,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}", self.port),
            Host::Ip(IpAddr::V4(ip)) => write!(f, "{ip}:{}", self.port),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

/// What is under the link (ZH-18, ZH-19).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Security {
    /// Nothing.
    Plain,
    /// TLS from the first byte; never STARTTLS.
    Tls(TlsTerms),
}

/// How the peer is known by its certificate (ZH-19).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateRule {
    /// By the domains it names, its chain having been validated by the driver.
    Names,
    /// By being one of these certificates; no chain is asked for.
    PinnedCertificate(Vec<Fingerprint>),
    /// By holding one of these keys, in a certificate or raw (RFC 7250).
    PinnedKey(Vec<Fingerprint>),
}

/// What is agreed about TLS (ZH-19, ZH-28).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsTerms {
    /// How the peer's certificate is judged.
    pub certificate: CertificateRule,
    /// Whether the end that opens shows a certificate too. Without, inbound connections need source rules.
    /// Default: yes.
    pub client_certificates: bool,
    /// The server name to ask for when opening; the peer's first domain when none is given.
    pub sni: Option<Domain>,
    /// The application protocol to offer and to insist on, such as `xmpp-server`. Default: none.
    pub alpn: Option<String>,
}

impl TlsTerms {
    /// TLS in which both ends show certificates, judged by this rule.
    #[must_use]
    pub fn new(certificate: CertificateRule) -> Self {
        Self {
            certificate,
            client_certificates: true,
            sni: None,
            alpn: None,
        }
    }
}

/// Stream-management acknowledgements with counts from 0 at connect and no resumption (ZH-R5). **Our extension**: both
/// ends must be configured alike. The machine for it is `onetrip-stream-management`; the fields are those of its
/// `AckPolicy` and `QueueLimits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Acknowledgements {
    /// An `<r/>` goes along with the first stanza behind so many that no request covers. Default: 5.
    pub request_after: u32,
    /// An `<r/>` goes on its own when a stanza has waited so long. Default: 3 s.
    pub request_idle: Duration,
    /// Silence of this length behind an `<r/>` means that the link is dead. Default: 60 s.
    pub answer_within: Duration,
    /// After so many stanzas handled an `<a/>` is due unasked. Default: 20.
    pub volunteer_after: u32,
    /// How many stanzas may be unacknowledged. Default: 512.
    pub stanzas: usize,
    /// How many bytes of them. Default: 1 MiB.
    pub bytes: usize,
}

impl Default for Acknowledgements {
    fn default() -> Self {
        Self {
            request_after: 5,
            request_idle: Duration::from_secs(3),
            answer_within: Duration::from_secs(60),
            volunteer_after: 20,
            stanzas: 512,
            bytes: 1 << 20,
        }
    }
}

/// What other specifications negotiate and a link can only presume (ZH-R5). **Our extension**; all off by default.
/// Compression is not offered: what an attacker can add to a compressed stream tells about the rest of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Presets {
    /// Acknowledgements.
    pub acknowledgements: Option<Acknowledgements>,
    /// A space is sent after so long without writing (ZH-25), but never before the first stanza (ZH-02).
    pub keepalive: Option<Duration>,
    /// The most bytes of one stanza, either way; RFC 6120 §13.12 asks for 10,000 at least. `None` for 256 KiB.
    pub max_stanza_size: Option<usize>,
}

/// Everything that would be negotiated otherwise (ZH-04), as it was written down. [`Agreement::new`] checks it.
///
/// [`Agreement::new`]: crate::Agreement::new
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Terms {
    /// Our domains, the main one first (ZH-06).
    pub ours: Vec<Domain>,
    /// The peer's domains, its main one first.
    pub theirs: Vec<Domain>,
    /// Who may open. Default: either.
    pub direction: Direction,
    /// Where the peer listens; needed where we may open.
    pub address: Option<Address>,
    /// The port to connect from, where the peer checks it. Default: any.
    pub source_port: Option<u16>,
    /// Under what.
    pub security: Security,
    /// From where the peer connects (ZH-20). On a plain link that we open, the host that was reached is held against
    /// the same rules, their ports aside. Default: nothing is said.
    pub allowed_sources: Vec<SourceRule>,
    /// Accept a link on which nothing proves who the peer is: NOT RECOMMENDED (XEP-0361 §4.2). Default: no.
    pub insecure_implicit: bool,
    /// Whether we send on a connection that the peer opened (ZH-15). Default: yes.
    pub reply_on_inbound: bool,
    /// How strictly our own connection is used. Default: always.
    pub own_connection_rule: OwnConnectionRule,
    /// Without acknowledgements: how long after a stanza was sent it counts as arrived, when the question is whether
    /// later ones may take another connection (ZH-R4). Default: 30 s.
    pub quiet: Duration,
    /// The least time from one attempt to open a connection to the next. Default: 10 s.
    pub retry: Duration,
    /// Whether `</stream:stream>` is sent at the end (ZH-R2). Default: yes.
    pub send_close: bool,
    /// What becomes of stanzas that are not agreed. Default: a stream error.
    pub on_invalid: OnInvalid,
    /// Whether an XML declaration and a stream header from the peer are swallowed (ZH-R3). Default: no.
    pub tolerate_stream_open: bool,
    /// The language of what says nothing about its own (RFC 6120 §4.7.4). Default: none.
    pub language: Option<String>,
    /// The opener closes its connection after so long without use (ZH-14). Default: never.
    pub idle_close: Option<Duration>,
    /// How long the peer may be silent in the middle of a stanza. Default: 2 min.
    pub stall: Duration,
    /// How long to wait for the peer's `</stream:stream>` behind ours. Default: 30 s.
    pub close_wait: Duration,
    /// What else is presumed. Default: nothing.
    pub presets: Presets,
}

impl Terms {
    /// Terms between these domains; either side may open, and everything else is at its default.
    #[must_use]
    pub fn new(ours: Vec<Domain>, theirs: Vec<Domain>, security: Security) -> Self {
        Self {
            ours,
            theirs,
            direction: Direction::Either,
            address: None,
            source_port: None,
            security,
            allowed_sources: Vec::new(),
            insecure_implicit: false,
            reply_on_inbound: true,
            own_connection_rule: OwnConnectionRule::Must,
            quiet: Duration::from_secs(30),
            retry: Duration::from_secs(10),
            send_close: true,
            on_invalid: OnInvalid::StreamError,
            tolerate_stream_open: false,
            language: None,
            idle_close: None,
            stall: Duration::from_secs(120),
            close_wait: Duration::from_secs(30),
            presets: Presets::default(),
        }
    }

    /// Terms of a link without TLS, with a peer that listens at this address and connects from this host: that is how it is
    /// known (ZH-20).
    #[must_use]
    pub fn plain(ours: Vec<Domain>, theirs: Vec<Domain>, peer: SocketAddr) -> Self {
        let mut terms = Self::new(ours, theirs, Security::Plain);
        terms.address = Some(peer.into());
        terms.allowed_sources = vec![SourceRule::network(Network::host(peer.ip()))];
        terms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zh_04_an_address_is_a_host_and_a_port() {
        for text in ["192.0.2.1:5299", "[2001:db8::1]:1", "gw.air.example:65535"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "192.0.2.1",
            "gw.air.example",
            "gw.air.example:",
            "gw.air.example:+1",
            "gw.air.example:65536",
            "2001:db8::1:5299",
            "[gw]:1",
            ":1",
        ] {
            assert_eq!(text.parse::<Address>(), Err(NotAnAddress), "{text}");
        }
    }
}
