//! The token: what whoever resumes must know, and what a server keeps of it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use onetrip_stream::{Env, Secret};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// How many random bytes are in a token of ours; the text asks for 16 (ISR-01).
const ENTROPY: usize = 32;
/// The longest token that is read, in bytes.
const MAX_TOKEN: usize = 1024;

/// Which text of instant stream resumption a token belongs to.
///
/// Today there is the first text alone. Version 0.0.2 (an HMAC with `previd`) and XEP-0397 (over SASL2, with a pinned
/// mechanism) can be added without a change for callers: a [`Ticket`](crate::Ticket) says which text it is of, and a
/// store answers about a [`Claim`], whatever that is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Dialect {
    /// Version 0.0.1, namespace `urn:xmpp:isr:0`: whoever bears the token may resume.
    #[default]
    Seed,
}

/// A token: whoever shows it goes on with the session, so it is wiped when dropped and never printed (digest §6.1).
///
/// ```
/// # use onetrip_isr::Token;
/// # use onetrip_stream::{Env, Instant};
/// let mut entropy = |out: &mut [u8]| out.fill(7); // a secure generator in earnest
/// let token = Token::generate(&mut Env::new(Instant::EPOCH, &mut entropy));
/// assert_eq!(token.expose().len(), 43);
/// assert_eq!(format!("{token:?}"), "[hidden]");
/// assert_eq!(Token::read(token.expose()).unwrap().hash(), token.hash());
/// ```
#[derive(Clone)]
pub struct Token(Secret);

impl Token {
    /// A new token: 256 bits of entropy as base64url without padding, 43 characters (ISR-01).
    #[must_use]
    pub fn generate(env: &mut Env<'_>) -> Self {
        let mut raw = vec![0; ENTROPY];
        env.entropy.fill(&mut raw);
        // Wiped when this scope ends; the encoding is as secret as the bytes.
        let raw = Secret::new(raw);
        Self(Secret::from(URL_SAFE_NO_PAD.encode(raw.expose())))
    }

    /// Takes a token as a server wrote it, in whatever form it likes: 1 to 1024 bytes. `None` for anything else.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        (!text.is_empty() && text.len() <= MAX_TOKEN).then(|| Self(Secret::from(text)))
    }

    /// The text, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        // Made of a `str` in both constructors, so the fallback is never taken.
        core::str::from_utf8(self.0.expose()).unwrap_or_default()
    }

    /// What a store keeps in its place: with 256 bits to guess, nobody comes back from the hash (digest §6.2).
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.0.expose()).into())
    }
}

impl PartialEq for Token {
    /// Takes the same time wherever they differ (ISR-25); only the lengths show.
    fn eq(&self, other: &Self) -> bool {
        self.0.expose().ct_eq(other.0.expose()).into()
    }
}

impl Eq for Token {}

impl core::fmt::Debug for Token {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("[hidden]")
    }
}

/// The SHA-256 of a token's text: what a server stores, and what a claim is looked up by.
///
/// Comparing takes the same time wherever two of them differ (ISR-25). It is 32 bytes to store anywhere.
#[derive(Clone, Copy)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// A hash that was stored.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for TokenHash {}

impl core::fmt::Debug for TokenHash {
    /// The first four bytes: enough to follow a token through a log, too little to look anything up by.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("TokenHash(")?;
        for byte in self.0.iter().take(4) {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("..)")
    }
}

/// What whoever wants to resume has shown. A store answers about this; it may not ask what it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Claim {
    /// A token itself ([`Dialect::Seed`]), already hashed.
    Token(TokenHash),
}

#[cfg(test)]
mod tests {
    use super::*;
    use onetrip_stream::Instant;

    fn generated(byte: u8) -> Token {
        let mut entropy = |out: &mut [u8]| out.fill(byte);
        Token::generate(&mut Env::new(Instant::EPOCH, &mut entropy))
    }

    #[test]
    fn isr_01_a_token_takes_256_bits_from_the_one_source_of_entropy() {
        let mut asked = Vec::new();
        let mut entropy = |out: &mut [u8]| {
            asked.push(out.len());
            out.fill(0xff);
        };
        let token = Token::generate(&mut Env::new(Instant::EPOCH, &mut entropy));
        assert_eq!(asked, [32]);
        assert_eq!(token.expose().len(), 43);
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        assert!(token.expose().chars().all(fits));
        assert_ne!(generated(1), generated(2));
    }

    #[test]
    fn isr_01_tokens_of_other_servers_are_taken_as_they_are() {
        let token = Token::read("a0b9162d-0981-4c7d-9174-1f55aedd1f52").unwrap();
        assert_eq!(token.expose(), "a0b9162d-0981-4c7d-9174-1f55aedd1f52");
        assert!(Token::read(&"é".repeat(512)).is_some());
        assert!(Token::read("").is_none());
        assert!(Token::read(&"x".repeat(1025)).is_none());
    }

    /// FIPS 180-2 appendix B.1 and this crate's own text form.
    #[test]
    fn isr_25_a_hash_is_sha_256_of_the_text() {
        let hash = Token::read("abc").unwrap().hash();
        assert_eq!(hash.as_bytes()[..4], [0xba, 0x78, 0x16, 0xbf]);
        assert_eq!(TokenHash::from_bytes(*hash.as_bytes()), hash);
        assert_ne!(Token::read("abd").unwrap().hash(), hash);
    }

    #[test]
    fn secrets_never_reach_debug_output() {
        let token = generated(9);
        assert_eq!(format!("{token:?}"), "[hidden]");
        assert_eq!(
            format!("{:?}", Token::read("abc").unwrap().hash()),
            "TokenHash(ba7816bf..)"
        );
    }
}
