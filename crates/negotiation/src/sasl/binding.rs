//! Channel binding: which types there are (XEP-0440), and what a TLS session yields for them.

use onetrip_stream::Secret;

/// A channel binding type, ordered by strength: the last is the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum BindingType {
    /// The hash of the server's certificate (RFC 5929 §4): whoever has stolen its key passes.
    TlsServerEndPoint,
    /// 32 bytes that only the two ends of one TLS session know (RFC 9266).
    TlsExporter,
}

impl BindingType {
    /// All types, the best first.
    pub const ALL: [Self; 2] = [Self::TlsExporter, Self::TlsServerEndPoint];

    /// The registered name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TlsServerEndPoint => "tls-server-end-point",
            Self::TlsExporter => "tls-exporter",
        }
    }

    /// The types there will be data for when the handshake of TLS 1.3 has ended, where this much is known before.
    pub(crate) fn expected(known: Option<&ChannelBinding>) -> Vec<Self> {
        let known = known.into_iter().flat_map(ChannelBinding::types);
        let known = known.filter(|kind| *kind != Self::TlsExporter);
        core::iter::once(Self::TlsExporter).chain(known).collect()
    }

    /// Reads a name; `None` for a type that is not implemented.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }
}

/// What binds an authentication to its TLS session, so that it cannot be relayed to another.
#[derive(Debug, Clone)]
pub struct ChannelBinding {
    exporter: Option<Secret>,
    end_point: Option<Secret>,
}

impl ChannelBinding {
    /// The 32 bytes of `tls-exporter` (RFC 9266 §4.2).
    #[must_use]
    pub fn tls_exporter(data: Secret) -> Self {
        Self {
            exporter: Some(data),
            end_point: None,
        }
    }

    /// The hash of the server's certificate, by the hash function of its signature (RFC 5929 §4.1).
    #[must_use]
    pub fn tls_server_end_point(hash: Secret) -> Self {
        Self {
            exporter: None,
            end_point: Some(hash),
        }
    }

    /// The same, with the hash of the server's certificate besides.
    #[must_use]
    pub fn with_tls_server_end_point(self, hash: Secret) -> Self {
        Self {
            end_point: Some(hash),
            ..self
        }
    }

    /// What the TLS session yields for a type.
    #[must_use]
    pub fn data(&self, binding: BindingType) -> Option<&Secret> {
        match binding {
            BindingType::TlsExporter => self.exporter.as_ref(),
            BindingType::TlsServerEndPoint => self.end_point.as_ref(),
        }
    }

    /// The types that there is data for, the best first.
    pub fn types(&self) -> impl Iterator<Item = BindingType> + '_ {
        let mut all = BindingType::ALL.into_iter();
        core::iter::from_fn(move || all.find(|binding| self.data(*binding).is_some()))
    }
}
