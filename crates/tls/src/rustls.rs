//! [`TlsSession`] on rustls 0.23 and ring, through rustls' buffered API.
//!
//! The only module whose public signatures name types of rustls: whoever enables the feature has chosen it.

mod any;
mod clients;
mod driven;
mod end_point;
mod entropy;
mod peers;

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use onetrip_core::{TlsInfo, TlsVersion};
use onetrip_stream::{Domain, Secret};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{
    ClientConfig, ClientConnection, Connection, ProtocolVersion, RootCertStore, ServerConfig,
    ServerConnection,
};

use crate::{TlsError, TlsErrorKind, TlsSession, TlsState};

pub use clients::ClientPairTls;
pub use entropy::SystemEntropy;
pub use peers::PeerTls;
pub use rustls;

/// The application protocol of client-to-server streams (XEP-0368 §4).
const ALPN_CLIENT: &[u8] = b"xmpp-client";
/// That of streams between servers.
const ALPN_SERVER: &[u8] = b"xmpp-server";
/// How many bytes of early data a server takes: a login with what rides along has about a thousand.
const MAX_EARLY_DATA: u32 = 16 * 1024;
/// RFC 9266 §4.2.
const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// Which versions of TLS may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Versions {
    /// 1.3 and 1.2.
    #[default]
    Both,
    /// 1.2 only.
    Tls12,
    /// 1.3 only.
    Tls13,
}

impl Versions {
    fn list(self) -> Vec<&'static rustls::SupportedProtocolVersion> {
        match self {
            Self::Both => vec![&rustls::version::TLS13, &rustls::version::TLS12],
            Self::Tls12 => vec![&rustls::version::TLS12],
            Self::Tls13 => vec![&rustls::version::TLS13],
        }
    }
}

/// What a client presents about itself: a certificate chain and its key.
pub type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// A client's configuration: trusts `roots`, speaks `versions`, shows `identity` when it is asked.
///
/// # Errors
/// [`TlsError`] when the versions or the key do not work.
pub fn client_config(
    roots: RootCertStore,
    versions: Versions,
    identity: Option<Identity>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions.list())
        .map_err(unusable)?;
    let builder = builder.with_root_certificates(roots);
    let mut config = match identity {
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(unusable)?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN_CLIENT.to_vec()];
    Ok(Arc::new(config))
}

/// The same for a server that connects to another server.
///
/// # Errors
/// As [`client_config`].
pub fn outbound_config(
    roots: RootCertStore,
    versions: Versions,
    identity: Option<Identity>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let config = client_config(roots, versions, identity)?;
    let mut config = Arc::unwrap_or_clone(config);
    config.alpn_protocols = vec![ALPN_SERVER.to_vec()];
    Ok(Arc::new(config))
}

/// The configuration of a server to which other servers connect: as [`server_config`], and asks them for certificates of
/// `roots`.
///
/// # Errors
/// As [`server_config`].
pub fn inbound_config(
    identity: Identity,
    versions: Versions,
    roots: RootCertStore,
) -> Result<Arc<ServerConfig>, TlsError> {
    let config = server_config(identity, versions, Some(roots), false)?;
    let mut config = Arc::unwrap_or_clone(config);
    config.alpn_protocols = vec![ALPN_SERVER.to_vec()];
    Ok(Arc::new(config))
}

/// A server's configuration: shows `identity`, asks clients for certificates of `client_roots` if given, and sends
/// before the client's Finished if `half_rtt` (QS-R2).
///
/// # Errors
/// [`TlsError`] when the versions, the key or the roots do not work.
pub fn server_config(
    identity: Identity,
    versions: Versions,
    client_roots: Option<RootCertStore>,
    half_rtt: bool,
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = match client_roots {
        Some(roots) => Some(
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|error| unusable(rustls::Error::General(error.to_string())))?,
        ),
        None => None,
    };
    let mut config = server_with(identity, versions, verifier)?;
    config.alpn_protocols = vec![ALPN_CLIENT.to_vec()];
    config.send_half_rtt_data = half_rtt;
    Ok(Arc::new(config))
}

/// The same client, which sends early data where the server takes it and the connection has any: a login by token.
///
/// What it takes to resume a TLS session is in [`ClientConfig::resumption`], in memory unless that is changed: keep one
/// configuration for all connections of an account, since a copy shares it and a new one knows nothing. rustls 0.23 has no
/// encoding for it, so in another process the first login goes without.
#[must_use]
pub fn sending_early_data(config: Arc<ClientConfig>) -> Arc<ClientConfig> {
    let mut config = Arc::unwrap_or_clone(config);
    config.enable_early_data = true;
    Arc::new(config)
}

/// The same server, which takes early data and answers it before the client's Finished. rustls takes a session once
/// only, and only from its own memory: behind a load balancer, early data that comes to another node is sent again.
///
/// Nothing but [`Sasl2Offer::early`](onetrip_core::Sasl2Offer::early) makes use of it.
#[must_use]
pub fn taking_early_data(config: Arc<ServerConfig>) -> Arc<ServerConfig> {
    let mut config = Arc::unwrap_or_clone(config);
    config.max_early_data_size = MAX_EARLY_DATA;
    config.send_half_rtt_data = true;
    Arc::new(config)
}

fn server_with(
    identity: Identity,
    versions: Versions,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions.list())
        .map_err(unusable)?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    builder
        .with_single_cert(identity.0, identity.1)
        .map_err(unusable)
}

fn unusable(error: rustls::Error) -> TlsError {
    TlsError::new(TlsErrorKind::Configuration, error.to_string())
}

/// A TLS session on rustls.
#[derive(Debug)]
pub struct RustlsSession {
    inner: Connection,
    half_rtt: bool,
    closed: bool,
    /// Whether early data was written.
    early: bool,
    /// What the peer's certificate proves, where rustls does not insist on it.
    proof: Option<peers::Proof>,
    /// The certificate of the server, if that is who we are.
    shown: Option<end_point::Shown>,
}

impl RustlsSession {
    /// A client's session with the server of `domain`: that is the name asked for and the name the certificate
    /// must carry, wherever the server was found (RFC 6120 §13.7.2, XEP-0368 §3).
    ///
    /// # Errors
    /// [`TlsError`] when the domain cannot stand in a certificate.
    pub fn client(config: Arc<ClientConfig>, domain: &Domain) -> Result<Self, TlsError> {
        let name = ServerName::try_from(domain.as_str().to_owned())
            .map_err(|error| TlsError::new(TlsErrorKind::Configuration, error.to_string()))?;
        let inner = ClientConnection::new(config, name).map_err(unusable)?;
        Ok(Self {
            inner: inner.into(),
            half_rtt: false,
            closed: false,
            early: false,
            proof: None,
            shown: None,
        })
    }

    /// A server's session.
    ///
    /// # Errors
    /// [`TlsError`] when the configuration cannot work.
    pub fn server(config: Arc<ServerConfig>) -> Result<Self, TlsError> {
        let half_rtt = config.send_half_rtt_data;
        let shown = end_point::Shown::default();
        let config = Arc::new(shown.watch(&config));
        let inner = ServerConnection::new(config).map_err(unusable)?;
        Ok(Self {
            inner: inner.into(),
            half_rtt,
            closed: false,
            early: false,
            proof: None,
            shown: Some(shown),
        })
    }

    fn drain(&mut self, cipher: &mut BytesMut) -> Result<(), TlsError> {
        while self.inner.wants_write() {
            self.inner
                .write_tls(&mut cipher.writer())
                .map_err(|error| TlsError::new(TlsErrorKind::Protocol, error.to_string()))?;
        }
        Ok(())
    }

    fn decrypted(&mut self, plain: &mut BytesMut) {
        let mut chunk = [0_u8; 4096];
        // Nothing left to read is reported as an error of its own; a missing close_notify is not our business.
        while let Ok(count @ 1..) = self.inner.reader().read(&mut chunk) {
            plain.extend_from_slice(chunk.get(..count).unwrap_or_default());
        }
    }
}

impl TlsSession for RustlsSession {
    fn read(&mut self, cipher: &[u8], plain: &mut BytesMut) -> Result<(), TlsError> {
        let mut rest = cipher;
        while !rest.is_empty() {
            let taken = self
                .inner
                .read_tls(&mut rest)
                .map_err(|error| TlsError::new(TlsErrorKind::Protocol, error.to_string()))?;
            let state = self.inner.process_new_packets().map_err(classified)?;
            self.decrypted(plain);
            if state.peer_has_closed() {
                self.closed = true;
            }
            if taken == 0 {
                break; // Closed: what follows is nobody's.
            }
        }
        Ok(())
    }

    fn write(&mut self, plain: &[u8], cipher: &mut BytesMut) -> Result<(), TlsError> {
        let mut rest = plain;
        self.drain(cipher)?;
        while !rest.is_empty() {
            // rustls takes at most 64 KiB before it must be drained.
            let taken = self
                .inner
                .writer()
                .write(rest)
                .map_err(|error| TlsError::new(TlsErrorKind::Protocol, error.to_string()))?;
            self.drain(cipher)?;
            if taken == 0 {
                return Err(TlsError::new(
                    TlsErrorKind::Protocol,
                    "data cannot be sent now",
                ));
            }
            rest = rest.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    fn state(&self) -> TlsState {
        if self.closed {
            TlsState::Closed
        } else if !self.inner.is_handshaking() {
            TlsState::Established
        } else if self.half_rtt && self.inner.protocol_version() == Some(ProtocolVersion::TLSv1_3) {
            TlsState::Sendable
        } else {
            TlsState::Handshaking
        }
    }

    fn info(&self) -> TlsInfo {
        let mut info = TlsInfo::new();
        info.version = match self.inner.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => Some(TlsVersion::Tls13),
            Some(ProtocolVersion::TLSv1_2) => Some(TlsVersion::Tls12),
            _ => None,
        };
        // RFC 9266 §4: in TLS 1.2 only with the extended master secret, of which rustls does not tell.
        if info.version == Some(TlsVersion::Tls13) && !self.inner.is_handshaking() {
            let exported =
                self.inner
                    .export_keying_material(vec![0_u8; 32], EXPORTER_LABEL, Some(&[]));
            info.exporter = exported.ok().map(Secret::new);
        }
        info.resumed = self.inner.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        let certificates = self.inner.peer_certificates().unwrap_or_default();
        info.peer_certificates = certificates
            .iter()
            .map(|der| Bytes::copy_from_slice(der))
            .collect();
        info.public_key = public_key(certificates);
        info.end_point = match &self.shown {
            Some(shown) => shown.end_point(),
            None => certificates
                .first()
                .and_then(|first| end_point::end_point(first)),
        };
        info.names = match &self.proof {
            None => proved_names(certificates),
            Some(proof) if !self.inner.is_handshaking() => proof.names(certificates),
            Some(_) => Vec::new(),
        };
        info.early_data = match &self.inner {
            Connection::Client(client) => self.early && client.is_early_data_accepted(),
            Connection::Server(_) => false,
        };
        info.alpn = self.inner.alpn_protocol().map(Bytes::copy_from_slice);
        info
    }

    fn close(&mut self, cipher: &mut BytesMut) {
        self.inner.send_close_notify();
        let _ = self.drain(cipher);
    }

    fn write_early(&mut self, plain: &[u8], cipher: &mut BytesMut) -> bool {
        let Connection::Client(client) = &mut self.inner else {
            return false;
        };
        let Some(mut early) = client.early_data() else {
            return false;
        };
        if early.bytes_left() < plain.len() || early.write_all(plain).is_err() {
            return false;
        }
        self.early = true;
        self.drain(cipher).is_ok()
    }

    fn read_early(&mut self, plain: &mut BytesMut) {
        let Connection::Server(server) = &mut self.inner else {
            return;
        };
        let Some(mut early) = server.early_data() else {
            return;
        };
        let mut chunk = [0_u8; 4096];
        while let Ok(count @ 1..) = early.read(&mut chunk) {
            plain.extend_from_slice(chunk.get(..count).unwrap_or_default());
        }
    }
}

/// The names in a certificate that rustls has accepted. A verifier of one's own that accepts anything makes them
/// worthless: whoever uses one has to clear them.
fn proved_names(certificates: &[CertificateDer<'_>]) -> Vec<String> {
    certificates
        .first()
        .and_then(|first| webpki::EndEntityCert::try_from(first).ok())
        .map(|first| first.valid_dns_names().map(str::to_owned).collect())
        .unwrap_or_default()
}

fn public_key(certificates: &[CertificateDer<'_>]) -> Option<Bytes> {
    let first = webpki::EndEntityCert::try_from(certificates.first()?).ok()?;
    Some(Bytes::copy_from_slice(&first.subject_public_key_info()))
}

fn classified(error: rustls::Error) -> TlsError {
    let kind = match &error {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
            TlsErrorKind::Certificate
        }
        rustls::Error::AlertReceived(_) => TlsErrorKind::Alert,
        rustls::Error::InvalidMessage(_) => TlsErrorKind::NotTls,
        _ => TlsErrorKind::Protocol,
    };
    TlsError::new(kind, error.to_string())
}
