//! When the handshake may begin, and what it proved.

use super::{Fingerprint, Hash, Security};
use crate::Role;

/// What is demanded of the peer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Policy {
    /// Fingerprints of the peer's that are known by other means. If there are any, nothing else will do.
    pub pins: Vec<Fingerprint>,
    /// Whether SHA-1 counts as a fingerprint, as in the interim text (JXS-R9). Default: no.
    pub allow_sha1_fingerprint: bool,
    /// Whether any certificate will do when there is no fingerprint at all. Default: no.
    pub allow_unannounced: bool,
    /// Whether a session without TLS will do (JXS-R10). Default: no.
    pub allow_insecure: bool,
}

/// What the handshake proved about the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verification {
    /// Nothing: there was no fingerprint to compare with.
    Unannounced,
    /// Unverified: it is the one that the signalling announced, and the signalling proves nothing.
    Announced,
    /// It is the one that was known.
    Pinned,
}

/// TLS may begin, in this role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlsRole {
    /// Write the ClientHello.
    Client,
    /// Wait for it, and ask for a certificate.
    Server,
}

/// Both conditions are met: begin the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use = "the peer waits for the handshake"]
pub struct Opened(pub TlsRole);

/// The peer is not the one. The session ends with `security-error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum XtlsError {
    /// There is no `<security/>` (JXS-R10).
    #[error("expected `<security/>`, got none: it may have been taken out on the way")]
    Stripped,
    /// Certificates are not among the methods (JXS-R11).
    #[error("expected certificates among the methods, got others only")]
    Method,
    /// There is no fingerprint to compare with.
    #[error("expected a fingerprint to compare with, got none that counts")]
    NoFingerprint,
    /// The handshake failed, or brought no certificate.
    #[error("expected a TLS handshake with a certificate, and it failed or brought none")]
    Handshake,
    /// The certificate is another one.
    #[error("expected the certificate whose fingerprint was announced, got another")]
    Mismatch,
    /// Something came that was not due.
    #[error("expected another step of the security first, got one that is not due")]
    OutOfOrder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Neither,
    Ready,
    Agreed,
    Handshake,
    Over,
}

/// The gate of one session at one end.
///
/// ```
/// # use onetrip_jingle_xmlstream::{Role, xtls::*};
/// let announced = Security::offer(Fingerprint::of(b"certificate", Hash::Sha256));
/// let mut gate = Gate::new(Policy::default(), Role::Initiator, Some(&announced)).unwrap();
/// assert_eq!(gate.transport_ready(), None);
/// assert_eq!(gate.agreed(), Some(Opened(TlsRole::Client)));
/// assert_eq!(gate.established(Some(b"certificate")), Ok(Verification::Announced));
/// ```
#[derive(Debug)]
pub struct Gate {
    policy: Policy,
    role: Role,
    announced: Option<Fingerprint>,
    state: State,
}

impl Gate {
    /// For what the peer offers.
    ///
    /// # Errors
    /// [`XtlsError`] when that will not do.
    pub fn new(policy: Policy, role: Role, theirs: Option<&Security>) -> Result<Self, XtlsError> {
        let theirs = theirs.ok_or(XtlsError::Stripped)?;
        if !theirs.has_x509() {
            return Err(XtlsError::Method);
        }
        let counts = |fingerprint: &&Fingerprint| {
            fingerprint.hash() == Hash::Sha256 || policy.allow_sha1_fingerprint
        };
        let announced = theirs.fingerprint.as_ref().filter(counts).cloned();
        if announced.is_none() && policy.pins.is_empty() && !policy.allow_unannounced {
            return Err(XtlsError::NoFingerprint);
        }
        Ok(Self {
            policy,
            role,
            announced,
            state: State::Neither,
        })
    }

    /// The transport passes bytes.
    pub fn transport_ready(&mut self) -> Option<Opened> {
        match self.state {
            State::Neither => {
                self.state = State::Ready;
                None
            }
            State::Agreed => Some(self.open()),
            _ => None,
        }
    }

    /// security-info is acknowledged: the peer's answer has arrived, or this end has given it.
    pub fn agreed(&mut self) -> Option<Opened> {
        match self.state {
            State::Neither => {
                self.state = State::Agreed;
                None
            }
            State::Ready => Some(self.open()),
            _ => None,
        }
    }

    fn open(&mut self) -> Opened {
        self.state = State::Handshake;
        Opened(match self.role {
            Role::Initiator => TlsRole::Client,
            Role::Responder => TlsRole::Server,
        })
    }

    /// The handshake is over, and this is the peer's certificate in DER.
    ///
    /// # Errors
    /// [`XtlsError`] when it is not the peer's; no byte that comes over TLS is to be trusted then.
    pub fn established(&mut self, certificate: Option<&[u8]>) -> Result<Verification, XtlsError> {
        if self.state != State::Handshake {
            return Err(XtlsError::OutOfOrder);
        }
        self.state = State::Over;
        let certificate = certificate.ok_or(XtlsError::Handshake)?;
        let announced = self.announced.as_ref();
        if announced.is_some_and(|announced| !announced.matches(certificate)) {
            return Err(XtlsError::Mismatch);
        }
        if self.policy.pins.iter().any(|pin| pin.matches(certificate)) {
            return Ok(Verification::Pinned);
        }
        match (self.policy.pins.is_empty(), announced) {
            (false, _) => Err(XtlsError::Mismatch),
            (true, Some(_)) => Ok(Verification::Announced),
            (true, None) => Ok(Verification::Unannounced),
        }
    }
}
