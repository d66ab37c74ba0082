//! TLS between two clients (Jingle XTLS): certificates that nobody vouches for but their fingerprints.

use std::sync::Arc;

use onetrip_core::e2e::EndToEnd;
use onetrip_core::jingle::xtls::TlsRole;
use onetrip_stream::Env;
use rustls::client::Resumption;
use rustls::pki_types::{IpAddr, Ipv4Addr, ServerName};
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};

use super::any::AnyCertificate;
use super::end_point::Shown;
use super::peers::Proof;
use super::{Identity, RustlsSession, Versions, server_with, unusable};
use crate::{SecuredEnd, TlsError};

/// What a client needs for TLS with other clients, in both roles.
///
/// Both ends show a certificate (JXS-20). Any will do here, as long as the peer has its key:
/// [`EndToEnd`] compares its fingerprint. No session is resumed, so the certificate is seen
/// each time; and no name is said, for anybody on the way to read.
#[derive(Debug, Clone)]
pub struct ClientPairTls {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    certificate: Vec<u8>,
}

impl ClientPairTls {
    /// Shows `identity`, speaks `versions`.
    ///
    /// # Errors
    /// [`TlsError`] when the versions or the key do not work.
    pub fn new(identity: &Identity, versions: Versions) -> Result<Self, TlsError> {
        let copy = || (identity.0.clone(), identity.1.clone_key());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions.list())
            .map_err(unusable)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate::mandatory()))
            .with_client_auth_cert(copy().0, copy().1)
            .map_err(unusable)?;
        client.enable_sni = false;
        client.resumption = Resumption::disabled();
        let any = Arc::new(AnyCertificate::mandatory());
        let mut server = server_with(copy(), versions, Some(any))?;
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        let certificate = identity.0.first().map(|der| der.to_vec());
        Ok(Self {
            client: Arc::new(client),
            server: Arc::new(server),
            certificate: certificate.unwrap_or_default(),
        })
    }

    /// The certificate in DER, whose fingerprint is announced.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// This end with its TLS, in the role that it has.
    ///
    /// # Errors
    /// As [`ClientPairTls::session`].
    pub fn secure(
        &self,
        end: EndToEnd,
        env: &mut Env<'_>,
    ) -> Result<SecuredEnd<RustlsSession>, TlsError> {
        let session = self.session(end.tls_role())?;
        Ok(SecuredEnd::new(end, session, env))
    }

    /// A session in this role: [`EndToEnd::tls_role`].
    ///
    /// # Errors
    /// [`TlsError`] when the configuration cannot work.
    pub fn session(&self, role: TlsRole) -> Result<RustlsSession, TlsError> {
        let inner = match role {
            TlsRole::Client => {
                // A name is asked for, and neither said nor compared.
                let nobody = ServerName::IpAddress(IpAddr::V4(Ipv4Addr::from([0, 0, 0, 0])));
                let client = ClientConnection::new(Arc::clone(&self.client), nobody);
                client.map_err(unusable)?.into()
            }
            TlsRole::Server => ServerConnection::new(Arc::clone(&self.server))
                .map_err(unusable)?
                .into(),
        };
        Ok(RustlsSession {
            inner,
            half_rtt: false,
            closed: false,
            early: false,
            proof: Some(Proof::none()),
            // Nothing is bound to the certificate of a server here.
            shown: Some(Shown::default()),
        })
    }
}
