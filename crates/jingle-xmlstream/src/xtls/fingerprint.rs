//! Hashes of certificates (JXS-R9).

use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use crate::hex::hex;

/// Which hash a fingerprint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hash {
    /// SHA-256, what is written.
    Sha256,
    /// SHA-1, what the interim text has; read as a fingerprint only by policy.
    Sha1,
}

/// The hash of a certificate, as lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    hash: Hash,
    digits: String,
}

impl Fingerprint {
    /// Of a certificate in DER.
    ///
    /// ```
    /// # use onetrip_jingle_xmlstream::xtls::{Fingerprint, Hash};
    /// let ours = Fingerprint::of(b"certificate", Hash::Sha256);
    /// let typed = Fingerprint::read(Some("SHA-256"), &ours.digits().to_uppercase()).unwrap();
    /// assert!(typed.matches(b"certificate"));
    /// ```
    #[must_use]
    pub fn of(certificate: &[u8], hash: Hash) -> Self {
        let digits = match hash {
            Hash::Sha256 => hex(&Sha256::digest(certificate)),
            Hash::Sha1 => hex(&Sha1::digest(certificate)),
        };
        Self { hash, digits }
    }

    /// Reads digits in any case, with colons and white space between them (JXS-R9). Without `algo`, by their number.
    /// `None` for a hash that is not known, or another number of digits than it has.
    #[must_use]
    pub fn read(algo: Option<&str>, text: &str) -> Option<Self> {
        let digits: String = text
            .chars()
            .filter(|c| *c != ':' && !c.is_ascii_whitespace())
            .map(|c| c.to_ascii_lowercase())
            .take(65)
            .collect();
        let hash = match (algo.map(str::to_ascii_lowercase).as_deref(), digits.len()) {
            (None | Some("sha-256" | "sha256"), 64) => Hash::Sha256,
            (None | Some("sha-1" | "sha1"), 40) => Hash::Sha1,
            _ => return None,
        };
        let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        hexadecimal.then_some(Self { hash, digits })
    }

    /// Which hash it is.
    #[must_use]
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// The digits.
    #[must_use]
    pub fn digits(&self) -> &str {
        &self.digits
    }

    /// Whether it is the fingerprint of this certificate.
    #[must_use]
    pub fn matches(&self, certificate: &[u8]) -> bool {
        Self::of(certificate, self.hash) == *self
    }
}
