//! What a connection has to know about the TLS session below it.

use bytes::Bytes;
use onetrip_negotiation::sasl::ChannelBinding;
use onetrip_stream::{Domain, Secret};

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
    /// Whether the server has taken the early data that was written (RFC 8446 §4.2.10): all of
    /// [`Action::TransmitEarly`](crate::Action::TransmitEarly). Told to a client. Default: no.
    pub early_data: bool,
    /// The 32 bytes of `tls-exporter` (RFC 9266 §4.2); `None` where it is not safe: TLS 1.2 without the
    /// extended master secret.
    pub exporter: Option<Secret>,
    /// `tls-server-end-point`: the hash of the server's certificate, whichever end is the server, by the hash function of
    /// its signature (RFC 5929 §4.1); `None` where that has none, as Ed25519.
    pub end_point: Option<Secret>,
    /// The peer's certificates as DER, end entity first; empty when it sent none.
    pub peer_certificates: Vec<Bytes>,
    /// The public key of the peer as DER (`SubjectPublicKeyInfo`), whether it came in a certificate or raw.
    pub public_key: Option<Bytes>,
    /// The names that the peer's certificate proves, as far as it is valid now, trusted, and meant for this: a domain, or
    /// `*.domain` for every domain with one label more (RFC 6125 §6.4). Between servers they are what SASL EXTERNAL and
    /// dialback without dialing back rest on. Default: none.
    pub names: Vec<String>,
    /// The application protocol agreed by ALPN.
    pub alpn: Option<Bytes>,
}

impl TlsInfo {
    /// Facts of a session about which nothing is known yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What an authentication can be bound to.
    pub(crate) fn channel_binding(&self) -> Option<ChannelBinding> {
        let end_point = self.end_point.clone();
        match (self.exporter.clone(), end_point) {
            (Some(data), None) => Some(ChannelBinding::tls_exporter(data)),
            (Some(data), Some(hash)) => {
                Some(ChannelBinding::tls_exporter(data).with_tls_server_end_point(hash))
            }
            (None, hash) => hash.map(ChannelBinding::tls_server_end_point),
        }
    }

    /// Whether the peer's certificate proves this domain.
    #[must_use]
    pub fn proves(&self, domain: &Domain) -> bool {
        self.names.iter().any(|name| covers(name, domain))
    }
}

/// Whether a name of a certificate covers a domain (RFC 6125 §6.4.3).
fn covers(name: &str, domain: &Domain) -> bool {
    match name.strip_prefix("*.") {
        Some(parent) => {
            let labels = domain.as_str().split_once('.');
            let parent = Domain::new(parent);
            labels.is_some_and(|(_, rest)| {
                rest.contains('.') && parent.is_some_and(|parent| parent.as_str() == rest)
            })
        }
        None => Domain::new(name).is_some_and(|name| name == *domain),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_one_label_and_not_for_a_top_level_domain() {
        let info = TlsInfo {
            names: vec![
                "Capulet.lit".to_owned(),
                "*.verona.lit".to_owned(),
                "*.lit".to_owned(),
            ],
            ..TlsInfo::new()
        };
        for (domain, proved) in [
            ("capulet.lit", true),
            ("a.capulet.lit", false),
            ("chat.verona.lit", true),
            ("verona.lit", false),
            ("a.b.verona.lit", false),
            ("montague.lit", false),
        ] {
            assert_eq!(
                info.proves(&Domain::new(domain).unwrap()),
                proved,
                "{domain}"
            );
        }
    }
}
