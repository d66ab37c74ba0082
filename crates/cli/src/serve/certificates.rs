//! What this server shows to others, and whom it trusts.

use std::path::Path;
use std::sync::Arc;

use onetrip_core::stream::Domain;
use onetrip_simulator::certificates::Certificates;
use onetrip_tls::rustls::rustls::pki_types::pem::PemObject as _;
use onetrip_tls::rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use onetrip_tls::rustls::rustls::{RootCertStore, ServerConfig as TlsConfig};
use onetrip_tls::rustls::{Identity, Versions, server_config};

use crate::Failure;
use crate::options::Serve;

/// The certificate and key, whether they were given or made.
pub(super) struct Shown {
    /// For clients.
    pub(super) tls: Arc<TlsConfig>,
    /// Towards other servers.
    pub(super) identity: Identity,
    /// Which servers are trusted.
    pub(super) servers: RootCertStore,
    /// The authority to trust, if it was made.
    pub(super) authority: Option<String>,
}

fn unusable(error: impl std::fmt::Display) -> Failure {
    Failure::Usage(error.to_string())
}

/// The certificates given, or fresh ones and the authority to trust.
pub(super) fn shown(options: &Serve, domains: &[Domain]) -> Result<Shown, Failure> {
    let given = options.s2s_ca.as_deref().map(authorities).transpose()?;
    if let (Some(cert), Some(key)) = (&options.cert, &options.key) {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(cert)
            .map_err(unusable)?
            .collect();
        let key = PrivateKeyDer::from_pem_file(key).map_err(unusable)?;
        let identity = (chain.map_err(unusable)?, key);
        let well_known = || webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        let copy = (identity.0.clone(), identity.1.clone_key());
        return Ok(Shown {
            tls: server_config(copy, Versions::Both, None, false).map_err(unusable)?,
            identity,
            servers: given.unwrap_or_else(well_known),
            authority: None,
        });
    }
    let made = Certificates::new(domains).map_err(unusable)?;
    if let Some(file) = &options.ca_out {
        std::fs::write(file, made.authority_pem())
            .map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
    }
    Ok(Shown {
        tls: made
            .server(Versions::Both, false, false)
            .map_err(unusable)?,
        identity: made.server_identity(),
        servers: given.unwrap_or_else(|| made.roots()),
        authority: Some(made.authority_pem().to_owned()),
    })
}

fn authorities(file: &Path) -> Result<RootCertStore, Failure> {
    let certificates = CertificateDer::pem_file_iter(file)
        .map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates.flatten());
    if roots.is_empty() {
        let text = format!("{}: no certificate in it", file.display());
        return Err(Failure::Usage(text));
    }
    Ok(roots)
}
