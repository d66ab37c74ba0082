//! Dialback keys (XEP-0185): made from a secret, compared in constant time, never printed.

use hmac::{Hmac, KeyInit as _, Mac as _};
use onetrip_stream::Secret;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::{Pair, StreamId};

/// The longest key that is taken, in bytes. Ours have 64; XEP-0220 leaves the form to whoever makes them.
const MAX_KEY: usize = 1024;

/// A dialback key: what a `db:result` or `db:verify` carries as text.
///
/// It proves a domain to whoever presents it, so `Debug` prints `[hidden]` and `==` takes the same time for all
/// keys of one length.
///
/// ```
/// # use onetrip_dialback::{Key, Pair, StreamId};
/// # use onetrip_stream::{Domain, Secret};
/// let domain = |name| Domain::new(name).unwrap();
/// let pair = Pair::new(domain("capulet.example"), domain("montague.example"));
/// let key = Key::generate(&Secret::from("s3cr3tf0rd14lb4ck"), &pair, &StreamId::new("D60000229F").unwrap());
/// assert_eq!(key.expose(), "b4835385f37fe2895af6c196b59097b16862406db80559900d96bf6fa7d23df3");
/// assert_eq!(format!("{key:?}"), "Key([hidden])");
/// ```
#[derive(Debug, Clone)]
pub struct Key(Secret);

impl Key {
    /// Takes a key as it stands in an element: white space around it does not belong to it. `None` when it is longer
    /// than 1024 bytes. An empty key is a key, which proves nothing.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        (text.len() <= MAX_KEY).then(|| Self(Secret::from(text)))
    }

    /// `HEX(HMAC-SHA256(HEX(SHA256(secret)), "target sender id"))` (XEP-0185 §3; digest §7.2). The key of the HMAC is
    /// the text of 64 lower-case digits, not the 32 bytes.
    #[must_use]
    pub fn generate(secret: &Secret, pair: &Pair, id: &StreamId) -> Self {
        let hashed = Secret::from(hex(&Sha256::digest(secret.expose())));
        let text = format!("{} {} {id}", pair.to, pair.from);
        // HMAC takes a key of any length, so the fallback is never used; it matches nothing if it ever is.
        let mac = Hmac::<Sha256>::new_from_slice(hashed.expose())
            .map(|mac| hex(&mac.chain_update(text.as_bytes()).finalize().into_bytes()))
            .unwrap_or_default();
        Self(Secret::from(mac))
    }

    /// The text, for the one place that writes it.
    #[must_use]
    pub fn expose(&self) -> &str {
        // It was made from a text.
        core::str::from_utf8(self.0.expose()).unwrap_or_default()
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.expose().is_empty()
    }
}

impl PartialEq for Key {
    /// Compares in constant time; an empty key equals none, itself included.
    fn eq(&self, other: &Self) -> bool {
        bool::from(self.0.expose().ct_eq(other.0.expose())) && !self.is_empty()
    }
}

/// Lower-case hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 0x0f])
        .filter_map(|nibble| char::from_digit(nibble.into(), 16))
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use onetrip_stream::Domain;

    use super::*;

    #[test]
    fn xep0185_vectors_of_digest_7_2() {
        let rows = [
            (
                "s3cr3tf0rd14lb4ck",
                ("xmpp.example.com", "example.org", "D60000229F"),
                "37c69b1cf07a3f67c04a5ef5902fa5114f2c76fe4a2686482ba5b89323075643",
            ),
            (
                "s3cr3tf0rd14lb4ck",
                ("montague.example", "capulet.example", "D60000229F"),
                "b4835385f37fe2895af6c196b59097b16862406db80559900d96bf6fa7d23df3",
            ),
            (
                "d14lb4ck43v3r",
                ("capulet.example", "montague.example", "417GAF25"),
                "225cc5aa6a071133249d25fef42ae516fc7a86c523aa1c6980a7f73e784c972d",
            ),
        ];
        for (secret, (to, from, id), key) in rows {
            let pair = Pair::new(Domain::new(from).unwrap(), Domain::new(to).unwrap());
            let made = Key::generate(&Secret::from(secret), &pair, &StreamId::new(id).unwrap());
            assert_eq!(made.expose(), key);
        }
        assert_eq!(
            hex(&Sha256::digest(b"s3cr3tf0rd14lb4ck")),
            "a7136eb1f46c9ef18c5e78c36ca257067c69b3d518285f0b18a96c33beae9acc"
        );
    }

    #[test]
    fn white_space_around_a_key_is_not_part_of_it() {
        assert_eq!(Key::read("\n  abc\t").unwrap(), Key::read("abc").unwrap());
        assert_ne!(Key::read("a bc").unwrap(), Key::read("abc").unwrap());
    }

    #[test]
    fn an_empty_key_proves_nothing() {
        assert_ne!(Key::read("").unwrap(), Key::read(" ").unwrap());
    }

    #[test]
    fn keys_are_bounded_and_hidden() {
        assert!(Key::read(&"a".repeat(1024)).is_some());
        assert!(Key::read(&"a".repeat(1025)).is_none());
        assert!(!format!("{:?}", Key::read("hunter2").unwrap()).contains("hunter2"));
    }
}
