//! What a connection has to know about the TLS session below it.

use bytes::Bytes;
use onetrip_stream::Secret;

/// The protocol version that the handshake settled on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

/// Facts about a TLS session whose handshake has ended, given in once.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct TlsInfo {
    /// The protocol version, when known.
    pub version: Option<TlsVersion>,
    /// Whether an earlier session was resumed (QS-37).
    pub resumed: bool,
    /// The 32 bytes of `tls-exporter` (RFC 9266 §4.2); `None` where it is not safe: TLS 1.2 without the
    /// extended master secret.
    pub exporter: Option<Secret>,
    /// The peer's certificates as DER, end entity first; empty when it sent none.
    pub peer_certificates: Vec<Bytes>,
    /// The application protocol agreed by ALPN.
    pub alpn: Option<Bytes>,
}

impl TlsInfo {
    /// Facts of a session about which nothing is known yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}
