//! Certificates made on the spot: an authority, a server, a client.

use std::sync::Arc;

use onetrip_core::stream::Domain;
use onetrip_core::zero_handshake::Fingerprint;
use onetrip_tls::TlsError;
use onetrip_tls::rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use onetrip_tls::rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use onetrip_tls::rustls::{
    Identity, Versions, client_config, inbound_config, outbound_config, server_config,
};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ED25519,
};

/// Whom the client's certificate names: between servers, the domain that connects.
pub const PEER: &str = "server.example";

/// What goes wrong when certificates are made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// A name that cannot stand in a certificate, or no randomness.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// TLS cannot work with them.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// An authority with one server and one client, all fresh.
///
/// The keys that are used in exchanges are Ed25519, whose signatures have one length: so an exchange has the same number of
/// bytes whenever it is run. The authority's is ECDSA, as in the field: its signature is made with a hash function, which is
/// what `tls-server-end-point` goes by (RFC 5929 §4.1).
#[derive(Debug)]
pub struct Certificates {
    authority: CertificateDer<'static>,
    authority_pem: String,
    server: (Vec<CertificateDer<'static>>, Vec<u8>),
    client: (Vec<CertificateDer<'static>>, Vec<u8>),
}

impl Certificates {
    /// Makes them for these domains.
    ///
    /// # Errors
    /// [`CertificateError`] when a domain cannot stand in a certificate.
    pub fn new(domains: &[Domain]) -> Result<Self, CertificateError> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name = named("onetrip authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.serial_number = Some(1_u64.into());
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let authority = params.self_signed(&key)?;
        let issuer = Issuer::new(params, key);
        let names: Vec<String> = domains
            .iter()
            .map(|domain| domain.as_str().to_owned())
            .collect();
        let make = |names: Vec<String>,
                    serial: u64|
         -> Result<(Vec<CertificateDer<'static>>, Vec<u8>), rcgen::Error> {
            let key = KeyPair::generate_for(&PKCS_ED25519)?;
            let name = names.first().cloned().unwrap_or_default();
            let mut params = CertificateParams::new(names)?;
            params.distinguished_name = named(&name);
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ];
            params.serial_number = Some(serial.into());
            let mut certificate = params.signed_by(&key, &issuer)?;
            while !is_longest(certificate.der()) {
                certificate = params.signed_by(&key, &issuer)?;
            }
            Ok((vec![certificate.der().clone()], key.serialize_der()))
        };
        Ok(Self {
            authority_pem: authority.pem(),
            authority: authority.der().clone(),
            server: make(names, 2)?,
            client: make(vec![PEER.to_owned()], 3)?,
        })
    }

    /// The authority's certificate as PEM, for others to trust.
    #[must_use]
    pub fn authority_pem(&self) -> &str {
        &self.authority_pem
    }

    /// A store that trusts the authority and nobody else.
    #[must_use]
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        let _ = roots.add_parsable_certificates([self.authority.clone()]);
        roots
    }

    /// The server's certificate and key: it may show them to other servers as well.
    #[must_use]
    pub fn server_identity(&self) -> Identity {
        identity(&self.server)
    }

    /// The certificate and key of [`PEER`].
    #[must_use]
    pub fn peer_identity(&self) -> Identity {
        identity(&self.client)
    }

    /// By what the client's certificate and the server's are pinned.
    #[must_use]
    pub fn fingerprints(&self) -> (Fingerprint, Fingerprint) {
        let of = |(chain, _): &(Vec<CertificateDer<'static>>, Vec<u8>)| {
            Fingerprint::of(chain.first().map_or(&[][..], |first| first))
        };
        (of(&self.client), of(&self.server))
    }

    /// The server's configuration, which asks clients for a certificate if `certified`.
    ///
    /// # Errors
    /// [`CertificateError`] when TLS cannot work with it.
    pub fn server(
        &self,
        versions: Versions,
        certified: bool,
        half_rtt: bool,
    ) -> Result<Arc<ServerConfig>, CertificateError> {
        let roots = certified.then(|| self.roots());
        Ok(server_config(
            identity(&self.server),
            versions,
            roots,
            half_rtt,
        )?)
    }

    /// The configurations of a server that connects to another, and of the other. It shows its certificate if `certified`.
    ///
    /// # Errors
    /// [`CertificateError`] when TLS cannot work with them.
    pub fn servers(
        &self,
        versions: Versions,
        certified: bool,
    ) -> Result<(Arc<ClientConfig>, Arc<ServerConfig>), CertificateError> {
        let shown = certified.then(|| identity(&self.client));
        let outbound = outbound_config(self.roots(), versions, shown)?;
        let inbound = inbound_config(identity(&self.server), versions, self.roots())?;
        Ok((outbound, inbound))
    }

    /// The configurations for a connection the other way, on which the one that connects has a certificate if `certified`.
    ///
    /// # Errors
    /// [`CertificateError`] when TLS cannot work with them.
    pub fn servers_back(
        &self,
        versions: Versions,
        certified: bool,
    ) -> Result<(Arc<ClientConfig>, Arc<ServerConfig>), CertificateError> {
        let shown = certified.then(|| identity(&self.server));
        let outbound = outbound_config(self.roots(), versions, shown)?;
        let inbound = inbound_config(identity(&self.client), versions, self.roots())?;
        Ok((outbound, inbound))
    }

    /// A client's configuration, which shows a certificate if `certified`.
    ///
    /// # Errors
    /// [`CertificateError`] when TLS cannot work with it.
    pub fn client(
        &self,
        versions: Versions,
        certified: bool,
    ) -> Result<Arc<ClientConfig>, CertificateError> {
        let identity = certified.then(|| identity(&self.client));
        Ok(client_config(self.roots(), versions, identity)?)
    }
}

/// Whether the signature at the end is as long as one of ECDSA on P-256 can be: one in four is, and all of those are equally
/// long.
fn is_longest(certificate: &[u8]) -> bool {
    const HEAD: [u8; 2] = [0x30, 70];
    let signature = certificate.last_chunk::<72>();
    signature.is_some_and(|signature| signature.starts_with(&HEAD))
}

/// OpenSSL takes a certificate whose issuer has its own name for self-signed, so every one has another.
fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn identity((chain, key): &(Vec<CertificateDer<'static>>, Vec<u8>)) -> Identity {
    (
        chain.clone(),
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.clone())),
    )
}
