//! Two servers that have agreed on everything beforehand.

use std::net::SocketAddr;

use onetrip_core::LinkConfig;
use onetrip_core::stream::Domain;
use onetrip_core::zero_handshake::{
    Agreement, CertificateRule, Fingerprint, Network, Security, SourceRule, Terms, TlsTerms,
};

use crate::certificates::PEER;
use crate::run::{Lab, LabError};

/// Where each of the two is: who opens, who is opened to.
const PLACES: [&str; 2] = ["192.0.2.1:5299", "198.51.100.7:5299"];

impl Lab {
    /// The ends of a link, who opens it first; over TLS each has pinned the other's certificate.
    pub(crate) fn agreed(&self, tls: bool) -> Result<[LinkConfig; 2], LabError> {
        let peer = Domain::new(PEER).ok_or(LabError::Address)?;
        let (client, server) = self.certificates.fingerprints();
        let [at_peer, at_domain] = [place(0)?, place(1)?];
        let here = agreement(&peer, &self.domain, at_domain, tls.then_some(server))?;
        let there = agreement(&self.domain, &peer, at_peer, tls.then_some(client))?;
        let reached = here.reached(at_domain, None)?;
        let accepted = there.accept_source(at_peer, None)?;
        Ok(
            [(here, reached), (there, accepted)].map(|(agreement, admitted)| {
                let mut config = LinkConfig::new(agreement, admitted);
                config.trace = true;
                config
            }),
        )
    }
}

/// What `ours` has agreed with `theirs`, who is found at a place, and over TLS shows a certificate that is pinned.
///
/// # Errors
/// [`LabError`] when it cannot be agreed on.
pub fn agreement(
    ours: &Domain,
    theirs: &Domain,
    at: SocketAddr,
    pin: Option<Fingerprint>,
) -> Result<Agreement, LabError> {
    let security = pin.map_or(Security::Plain, |pin| {
        let mut tls = TlsTerms::new(CertificateRule::PinnedCertificate(vec![pin]));
        tls.alpn = Some("xmpp-server".to_owned());
        Security::Tls(tls)
    });
    let mut terms = Terms::new(vec![ours.clone()], vec![theirs.clone()], security);
    terms.address = at.to_string().parse().ok();
    terms.allowed_sources = vec![SourceRule::network(Network::host(at.ip()))];
    Ok(Agreement::new(terms)?)
}

/// Where one of the two is.
pub(crate) fn place(of: usize) -> Result<SocketAddr, LabError> {
    let text = PLACES.get(of).copied().unwrap_or_default();
    text.parse().map_err(|_| LabError::Address)
}
