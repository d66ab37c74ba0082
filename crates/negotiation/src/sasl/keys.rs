//! SCRAM's keys (RFC 5802 §3): deriving them may take long, so it is a request; comparing them takes the same
//! time whatever they are.

use onetrip_stream::Secret;
use subtle::ConstantTimeEq as _;

/// The hash functions of SCRAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hash {
    /// SHA-1 (RFC 5802).
    Sha1,
    /// SHA-256 (RFC 7677).
    Sha256,
}

#[cfg(feature = "scram")]
mod primitives {
    use super::Hash;
    use hmac::{Hmac, KeyInit as _, Mac as _};
    use sha1::Sha1;
    use sha2::{Digest as _, Sha256};

    impl Hash {
        /// The length of a hash in bytes.
        pub(crate) const fn len(self) -> usize {
            match self {
                Self::Sha1 => 20,
                Self::Sha256 => 32,
            }
        }

        /// H of RFC 5802 §2.2.
        pub(crate) fn digest(self, data: &[u8]) -> Vec<u8> {
            match self {
                Self::Sha1 => Sha1::digest(data).to_vec(),
                Self::Sha256 => Sha256::digest(data).to_vec(),
            }
        }

        /// HMAC of RFC 5802 §2.2. A key of any length will do, so the fallback is never taken.
        pub(crate) fn hmac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
            match self {
                Self::Sha1 => Hmac::<Sha1>::new_from_slice(key)
                    .map(|mac| mac.chain_update(data).finalize().into_bytes().to_vec()),
                Self::Sha256 => Hmac::<Sha256>::new_from_slice(key)
                    .map(|mac| mac.chain_update(data).finalize().into_bytes().to_vec()),
            }
            .unwrap_or_default()
        }

        /// Hi of RFC 5802 §2.2.
        pub(crate) fn hi(self, password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
            let mut out = vec![0; self.len()];
            match self {
                Self::Sha1 => pbkdf2::pbkdf2_hmac::<Sha1>(password, salt, iterations, &mut out),
                Self::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut out),
            }
            out
        }
    }
}

/// A salted password: what [`Derivation::perform`] yields. As good as the password; keep it, and the next login
/// with the same salt and count needs no derivation.
#[derive(Debug, Clone)]
pub struct SaltedPassword(Secret);

impl SaltedPassword {
    /// A salted password computed elsewhere: `Hi` of RFC 5802 §2.2.
    #[must_use]
    pub fn new(bytes: Secret) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.expose()
    }
}

/// A key derivation to carry out: PBKDF2 over `password` and `salt`, `iterations` times.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Derivation {
    /// The hash function.
    pub hash: Hash,
    /// The password, prepared by SASLprep (RFC 4013).
    pub password: Secret,
    /// The salt the server chose.
    pub salt: Vec<u8>,
    /// The count the server chose, within our bounds.
    pub iterations: u32,
}

impl Derivation {
    #[cfg(feature = "scram")]
    pub(crate) fn new(hash: Hash, password: Secret, salt: Vec<u8>, iterations: u32) -> Self {
        Self {
            hash,
            password,
            salt,
            iterations,
        }
    }

    /// Carries it out here and now. At 10,000 iterations that is a few milliseconds; an event loop with many
    /// connections does it elsewhere.
    #[cfg(feature = "scram")]
    #[must_use]
    pub fn perform(&self) -> SaltedPassword {
        SaltedPassword(Secret::new(self.hash.hi(
            self.password.expose(),
            &self.salt,
            self.iterations,
        )))
    }
}

/// What a server keeps of a password (RFC 5802 §3, §5.1): enough to check a proof, not enough to make one.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoredKeys {
    /// The hash function.
    pub hash: Hash,
    /// The salt.
    pub salt: Vec<u8>,
    /// The iteration count.
    pub iterations: u32,
    /// `H(HMAC(SaltedPassword, "Client Key"))`.
    pub stored_key: Secret,
    /// `HMAC(SaltedPassword, "Server Key")`.
    pub server_key: Secret,
}

impl StoredKeys {
    /// Keys as a server stores them.
    #[must_use]
    pub fn new(
        hash: Hash,
        salt: Vec<u8>,
        iterations: u32,
        stored_key: Secret,
        server_key: Secret,
    ) -> Self {
        Self {
            hash,
            salt,
            iterations,
            stored_key,
            server_key,
        }
    }

    /// Derives the keys from a password; `None` when SASLprep refuses it (RFC 4013 §2.3).
    #[cfg(feature = "scram")]
    #[must_use]
    pub fn from_password(
        hash: Hash,
        password: &str,
        salt: Vec<u8>,
        iterations: u32,
    ) -> Option<Self> {
        let prepared = stringprep::saslprep(password).ok()?;
        let salted = Secret::new(hash.hi(prepared.as_bytes(), &salt, iterations));
        let client_key = Secret::new(hash.hmac(salted.expose(), b"Client Key"));
        let stored_key = Secret::new(hash.digest(client_key.expose()));
        let server_key = Secret::new(hash.hmac(salted.expose(), b"Server Key"));
        Some(Self {
            hash,
            salt,
            iterations,
            stored_key,
            server_key,
        })
    }
}

/// Compares in constant time; different lengths are different.
#[must_use]
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}
