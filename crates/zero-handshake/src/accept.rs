//! Who is there: the checks of a connection before any byte of it is parsed (ZH-19 to ZH-21, ZH-R6, ZH-R7).
//!
//! | step | by | refused |
//! |---|---|---|
//! | 1. it may be there at all | [`Agreement::accept_source`], [`Agreement::reached`] | before TLS, before a byte |
//! | 2. TLS: whose certificate it is | [`Agreement::accept_certificate`] | before a byte of XML |
//! | 2. plain: nothing more | [`Agreement::accept_plain`] | |
//! | 3. the link | [`Link::new`](crate::Link::new) | |
//!
//! Each step takes what the step before it gives, and nothing else makes it: none can be left out.

use core::fmt;
use core::net::SocketAddr;
use core::str::FromStr;
use std::collections::BTreeSet;

use onetrip_stream::Domain;
use sha2::{Digest, Sha256};

use crate::{Agreement, CertificateRule, Security};

/// Which end of a connection we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// We opened it, and close it at the end of its use (ZH-14).
    Opener,
    /// The peer opened it.
    Acceptor,
}

/// SHA-256 of a certificate or of a public key, each in DER: 64 hexadecimal digits, colons allowed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

/// The text is not a fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 hexadecimal digits, got something else")]
pub struct NotAFingerprint;

impl Fingerprint {
    /// A fingerprint that was computed elsewhere.
    #[must_use]
    pub const fn new(sha256: [u8; 32]) -> Self {
        Self(sha256)
    }

    /// The fingerprint of these bytes: the DER of a certificate, or of a `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    fn from_str(text: &str) -> Result<Self, NotAFingerprint> {
        let mut digits = text.chars().filter(|c| *c != ':').map(|c| c.to_digit(16));
        let mut digit = || digits.next().flatten().ok_or(NotAFingerprint);
        let mut bytes = [0_u8; 32];
        for byte in &mut bytes {
            let value = (digit()? << 4) | digit()?;
            *byte = u8::try_from(value).map_err(|_| NotAFingerprint)?;
        }
        match digits.next() {
            None => Ok(Self(bytes)),
            Some(_) => Err(NotAFingerprint),
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What TLS has shown of the peer. Its default shows nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PeerIdentity {
    /// The domains that its certificate covers, its chain having been validated (RFC 6120 §13.7.2): listed from it, or
    /// those of the peer's domains about which the TLS library says yes. Empty where the chain was not validated.
    pub names: Vec<Domain>,
    /// The fingerprint of its certificate.
    pub certificate: Option<Fingerprint>,
    /// The fingerprint of its public key (SPKI), whether it came in a certificate or raw.
    pub public_key: Option<Fingerprint>,
    /// The application protocol that TLS agreed on.
    pub alpn: Option<Vec<u8>>,
}

/// A connection that may exist: from an allowed source, or to the agreed peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "the connection is not accepted yet"]
pub struct Admitted {
    role: Role,
}

impl Admitted {
    /// Which end we are.
    #[must_use]
    pub const fn role(self) -> Role {
        self.role
    }
}

/// Whom a connection speaks for: what a link is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorised {
    pub(crate) role: Role,
    pub(crate) theirs: BTreeSet<Domain>,
}

impl Authorised {
    /// Which end we are.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The peer's domains on this connection: never more than the agreement has.
    pub fn domains(&self) -> impl Iterator<Item = &Domain> {
        self.theirs.iter()
    }
}

/// A connection that must not be. Close it without a word: nothing of it was parsed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// We do not open connections, or the peer does not (ZH-12).
    #[error("expected the side that opens connections by agreement, got the other")]
    Direction,
    /// Not from a source that may connect, or not to the host that was agreed (ZH-20).
    #[error("expected a connection from an allowed source, got one from {0}")]
    Source(SocketAddr),
    /// TLS was agreed, and there is none.
    #[error("expected TLS, as agreed, and there is none")]
    Plain,
    /// No TLS was agreed.
    #[error("expected a link without TLS, as agreed, and there is TLS")]
    Tls,
    /// The peer showed no certificate, or not in the form that is asked for.
    #[error("expected a certificate from the peer, got none")]
    NoCertificate,
    /// The certificate or key is none of those pinned.
    #[error("expected a pinned certificate or key, got {0}")]
    Pin(Fingerprint),
    /// The certificate covers none of the peer's domains (ZH-R7).
    #[error("expected a certificate that covers the peer's domains, got one that covers none")]
    Names,
    /// Another application protocol than agreed, or none (ZH-28).
    #[error("expected the application protocol that was agreed, got another or none")]
    Alpn,
}

impl Agreement {
    /// Looks at where an inbound connection comes from, before TLS and before a byte of it is read (ZH-20).
    ///
    /// `verified_name` is the name of the source by reverse DNS, confirmed by asking for its addresses in turn (ZH-21).
    ///
    /// # Errors
    /// [`Refusal::Direction`], [`Refusal::Source`].
    pub fn accept_source(
        &self,
        source: SocketAddr,
        verified_name: Option<&Domain>,
    ) -> Result<Admitted, Refusal> {
        if !self.may_be_opened() {
            return Err(Refusal::Direction);
        }
        let rules = &self.terms().allowed_sources;
        let passes = rules.is_empty() || rules.iter().any(|r| r.allows(source, verified_name));
        passes
            .then_some(Admitted {
                role: Role::Acceptor,
            })
            .ok_or(Refusal::Source(source))
    }

    /// Looks at where a connection of ours has led to. Without TLS the host must be one of the allowed sources, where
    /// there are any, whatever its port.
    ///
    /// # Errors
    /// [`Refusal::Direction`], [`Refusal::Source`].
    pub fn reached(
        &self,
        peer: SocketAddr,
        verified_name: Option<&Domain>,
    ) -> Result<Admitted, Refusal> {
        if !self.may_open() {
            return Err(Refusal::Direction);
        }
        let rules = &self.terms().allowed_sources;
        let passes = rules.is_empty()
            || self.terms().security != Security::Plain
            || rules.iter().any(|r| r.names(peer.ip(), verified_name));
        passes
            .then_some(Admitted { role: Role::Opener })
            .ok_or(Refusal::Source(peer))
    }

    /// Authorises a plain connection: for all of the peer's domains, since nothing tells them apart.
    ///
    /// # Errors
    /// [`Refusal::Plain`] where TLS was agreed.
    pub fn accept_plain(&self, admitted: Admitted) -> Result<Authorised, Refusal> {
        match &self.terms().security {
            Security::Plain => Ok(self.authorised(admitted, |_| true)),
            Security::Tls(_) => Err(Refusal::Plain),
        }
    }

    /// Authorises a connection by what TLS has shown, when its handshake has ended: for the peer's domains that the
    /// certificate names, or for all of them where it is pinned (ZH-R7).
    ///
    /// # Errors
    /// Every other [`Refusal`].
    pub fn accept_certificate(
        &self,
        admitted: Admitted,
        identity: &PeerIdentity,
    ) -> Result<Authorised, Refusal> {
        let Security::Tls(tls) = &self.terms().security else {
            return Err(Refusal::Tls);
        };
        if let Some(alpn) = &tls.alpn {
            if identity.alpn.as_deref() != Some(alpn.as_bytes()) {
                return Err(Refusal::Alpn);
            }
        }
        // Inbound connections show none where that was agreed; their source was checked (or waived) instead.
        if admitted.role == Role::Acceptor && !tls.client_certificates {
            return Ok(self.authorised(admitted, |_| true));
        }
        match &tls.certificate {
            CertificateRule::PinnedCertificate(pins) => pinned(pins, identity.certificate)?,
            CertificateRule::PinnedKey(pins) => pinned(pins, identity.public_key)?,
            CertificateRule::Names => {
                let authorised = self.authorised(admitted, |name| identity.names.contains(name));
                return match authorised.theirs.is_empty() {
                    true => Err(Refusal::Names),
                    false => Ok(authorised),
                };
            }
        }
        Ok(self.authorised(admitted, |_| true))
    }

    fn authorised(&self, admitted: Admitted, covers: impl Fn(&Domain) -> bool) -> Authorised {
        let theirs = self.terms().theirs.iter().filter(|name| covers(name));
        Authorised {
            role: admitted.role,
            theirs: theirs.cloned().collect(),
        }
    }
}

fn pinned(pins: &[Fingerprint], shown: Option<Fingerprint>) -> Result<(), Refusal> {
    let shown = shown.ok_or(Refusal::NoCertificate)?;
    if pins.contains(&shown) {
        Ok(())
    } else {
        Err(Refusal::Pin(shown))
    }
}
