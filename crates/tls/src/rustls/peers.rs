//! TLS between servers that may have to prove themselves in another way.

use std::sync::{Arc, OnceLock};

use onetrip_stream::Domain;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, Error, RootCertStore, ServerConfig};

use super::any::AnyCertificate;
use super::{
    ALPN_SERVER, Identity, RustlsSession, Versions, outbound_config, proved_names, server_with,
    unusable,
};
use crate::TlsError;

/// What a server needs for TLS with other servers, in both roles.
///
/// A certificate that `roots` do not vouch for does not end the handshake, because dialback (XEP-0220) can still say who the
/// peer is. But it proves nothing: the names in [`TlsInfo`](onetrip_core::TlsInfo) are those of certificates that hold. That
/// the peer has the key of what it shows is checked in any case.
#[derive(Debug, Clone)]
pub struct PeerTls {
    outbound: Arc<ClientConfig>,
    inbound: Arc<ServerConfig>,
    servers: Arc<WebPkiServerVerifier>,
    clients: Arc<dyn ClientCertVerifier>,
}

impl PeerTls {
    /// Shows `identity`, speaks `versions`, believes `roots`.
    ///
    /// # Errors
    /// [`TlsError`] when the versions, the key or the roots do not work.
    pub fn new(
        identity: &Identity,
        versions: Versions,
        roots: RootCertStore,
    ) -> Result<Self, TlsError> {
        let copy = || (identity.0.clone(), identity.1.clone_key());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let shared = Arc::new(roots.clone());
        let unfit = |error: rustls::server::VerifierBuilderError| {
            unusable(Error::General(error.to_string()))
        };
        let servers =
            WebPkiServerVerifier::builder_with_provider(Arc::clone(&shared), Arc::clone(&provider));
        let servers = servers.build().map_err(unfit)?;
        let clients = WebPkiClientVerifier::builder_with_provider(shared, provider);
        let clients = clients.build().map_err(unfit)?;
        let outbound = outbound_config(roots, versions, Some(copy()))?;
        let mut outbound = Arc::unwrap_or_clone(outbound);
        outbound
            .dangerous()
            .set_certificate_verifier(Arc::new(AnyCertificate::optional()));
        let any = Arc::new(AnyCertificate::optional());
        let mut inbound = server_with(copy(), versions, Some(any))?;
        inbound.alpn_protocols = vec![ALPN_SERVER.to_vec()];
        Ok(Self {
            outbound: Arc::new(outbound),
            inbound: Arc::new(inbound),
            servers,
            clients,
        })
    }

    /// The same with another application protocol than `xmpp-server`, or with none: what was agreed for a zero-handshake
    /// link (ZH-28).
    #[must_use]
    pub fn with_alpn(&self, alpn: Option<&str>) -> Self {
        let protocols: Vec<Vec<u8>> = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let mut this = self.clone();
        Arc::make_mut(&mut this.outbound)
            .alpn_protocols
            .clone_from(&protocols);
        Arc::make_mut(&mut this.inbound).alpn_protocols = protocols;
        this
    }

    /// A session with the server of `domain`, which this end opens.
    ///
    /// # Errors
    /// As [`RustlsSession::client`].
    pub fn outbound(&self, domain: &Domain) -> Result<RustlsSession, TlsError> {
        let mut session = RustlsSession::client(Arc::clone(&self.outbound), domain)?;
        let name = ServerName::try_from(domain.as_str().to_owned())
            .map_err(|error| unusable(Error::General(error.to_string())))?;
        session.proof = Some(Proof::new(Judge::Servers(Arc::clone(&self.servers), name)));
        Ok(session)
    }

    /// A session that another server opens.
    ///
    /// # Errors
    /// As [`RustlsSession::server`].
    pub fn inbound(&self) -> Result<RustlsSession, TlsError> {
        let mut session = RustlsSession::server(Arc::clone(&self.inbound))?;
        session.proof = Some(Proof::new(Judge::Clients(Arc::clone(&self.clients))));
        Ok(session)
    }
}

/// The judgement of a certificate, which is made once, when the handshake is over.
///
/// It is not left to the verifier: that one is not asked again when a session is resumed.
#[derive(Debug)]
pub(super) struct Proof {
    judge: Judge,
    names: OnceLock<Vec<String>>,
}

#[derive(Debug)]
enum Judge {
    Servers(Arc<WebPkiServerVerifier>, ServerName<'static>),
    Clients(Arc<dyn ClientCertVerifier>),
    Nobody,
}

impl Proof {
    fn new(judge: Judge) -> Self {
        Self {
            judge,
            names: OnceLock::new(),
        }
    }

    /// Nothing is proved, whatever the certificate.
    pub(super) fn none() -> Self {
        Self::new(Judge::Nobody)
    }

    /// The names that these certificates of the peer prove.
    pub(super) fn names(&self, certificates: &[CertificateDer<'_>]) -> Vec<String> {
        let names = self.names.get_or_init(|| {
            let Some((first, rest)) = certificates.split_first() else {
                return Vec::new();
            };
            if self.judge.believes(first, rest) {
                proved_names(certificates)
            } else {
                Vec::new()
            }
        });
        names.clone()
    }
}

impl Judge {
    fn believes(&self, first: &CertificateDer<'_>, rest: &[CertificateDer<'_>]) -> bool {
        let now = UnixTime::now();
        match self {
            Self::Servers(verifier, name) => verifier
                .verify_server_cert(first, rest, name, &[], now)
                .is_ok(),
            Self::Clients(verifier) => verifier.verify_client_cert(first, rest, now).is_ok(),
            Self::Nobody => false,
        }
    }
}
