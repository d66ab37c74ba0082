//! Tokens: what a server hands out so that its peer comes back without a password, and proofs of having one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::{Env, Secret};

/// How many random bytes are in a token of ours; the text asks for 16 (ISR-01).
const ENTROPY: usize = 32;
/// The longest token that is read, in bytes.
const MAX_TOKEN: usize = 1024;

/// A token: whoever has it comes in, so it is wiped when dropped and never printed (digest §6.1).
///
/// ```
/// # use onetrip_stream::{Env, Instant, Token};
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

    /// The same as a secret, for a mechanism that takes one.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.0
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

/// The end that proves something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Prover {
    /// The one that comes back.
    Initiator,
    /// The one that handed the token out.
    Responder,
}

/// That the peer has a token, shown without showing it: an HMAC over what binds it to the channel (draft-schmaus-kitten-sasl-ht-09
/// §3, ISR 0.0.2 §4).
///
/// Whoever keeps the tokens checks it, and can answer only if it is good:
///
/// ```
/// # use onetrip_stream::{Prover, Secret, Token, TokenProof};
/// let token = Token::read("a0b9162d-0981-4c7d-9174-1f55aedd1f52").unwrap();
/// let shown = TokenProof::prove(token.secret(), Prover::Initiator, b"");
/// let proof = TokenProof::new(Secret::new(shown.to_vec()), Secret::default());
/// let answer = proof.check(&token).unwrap();
/// assert!(answer.is_of(token.secret(), b""));
/// assert!(proof.check(&Token::read("another").unwrap()).is_none());
/// ```
#[derive(Debug, Clone)]
pub struct TokenProof {
    mac: Secret,
    bound: Secret,
}

impl TokenProof {
    /// What a peer has shown, and the channel binding data as this end sees it; empty where nothing is bound.
    #[must_use]
    pub fn new(mac: Secret, bound: Secret) -> Self {
        Self { mac, bound }
    }

    /// `HMAC-SHA256(token, label || data)`.
    #[must_use]
    pub fn prove(token: &Secret, prover: Prover, bound: &[u8]) -> [u8; 32] {
        let label: &[u8] = match prover {
            Prover::Initiator => b"Initiator",
            Prover::Responder => b"Responder",
        };
        // HMAC takes a key of any length, so the fallback, which is as secret, is never used.
        Hmac::<Sha256>::new_from_slice(token.expose())
            .map(|mac| {
                let mac = mac.chain_update(label).chain_update(bound);
                mac.finalize().into_bytes().into()
            })
            .unwrap_or_else(|_| Sha256::digest([token.expose(), label, bound].concat()).into())
    }

    /// Whether it was made with this token, in constant time; then, what proves the same to the peer.
    #[must_use]
    pub fn check(&self, token: &Token) -> Option<ResponderProof> {
        let bound = self.bound.expose();
        let expected = Secret::new(Self::prove(token.secret(), Prover::Initiator, bound).to_vec());
        let good: bool = self.mac.expose().ct_eq(expected.expose()).into();
        good.then(|| ResponderProof(Self::prove(token.secret(), Prover::Responder, bound)))
    }
}

impl PartialEq for TokenProof {
    fn eq(&self, other: &Self) -> bool {
        let mac = self.mac.expose().ct_eq(other.mac.expose());
        (mac & self.bound.expose().ct_eq(other.bound.expose())).into()
    }
}

impl Eq for TokenProof {}

/// That the end which handed a token out still knows it.
#[derive(Clone)]
pub struct ResponderProof([u8; 32]);

impl ResponderProof {
    /// What a peer has shown; `None` when it is not as long as such a proof is.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().map(Self).ok()
    }

    /// The 32 bytes, to be shown to the peer.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether it was made with this token over this channel, in constant time.
    #[must_use]
    pub fn is_of(&self, token: &Secret, bound: &[u8]) -> bool {
        let expected = TokenProof::prove(token, Prover::Responder, bound);
        self.0.ct_eq(&expected).into()
    }
}

impl core::fmt::Debug for ResponderProof {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("[hidden]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Instant;
    use base64::engine::general_purpose::STANDARD;

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

    /// Digest §7.1.
    #[test]
    fn vectors_of_both_proofs_with_and_without_a_channel() {
        let token = Token::read("a0b9162d-0981-4c7d-9174-1f55aedd1f52").unwrap();
        let prove = |prover, bound: &[u8]| {
            STANDARD.encode(TokenProof::prove(token.secret(), prover, bound))
        };
        let bound: Vec<u8> = (0..32).collect();
        for (bound, initiator, responder) in [
            (
                &[][..],
                "/LkVyddIX/90SDNReO+3JWivd9UWEilt18knMn/laQA=",
                "oJqFa45UQSon1S0h7raGGwr3ECoJ3b4liWcWKQLZdmg=",
            ),
            (
                &bound,
                "cas2YKjbxQnoasTO2+c2MzZAulVrjjlcEPktyOwItQg=",
                "feIDdqoBXT5x5ujiWGvk6bkgw7bMpU/Dk9IbiL4KkQE=",
            ),
        ] {
            assert_eq!(prove(Prover::Initiator, bound), initiator);
            assert_eq!(prove(Prover::Responder, bound), responder);
        }
    }

    #[test]
    fn a_proof_of_another_token_channel_length_or_end_is_none() {
        let token = Token::read("token").unwrap();
        let proof = |mac: &[u8], bound: &[u8]| {
            TokenProof::new(Secret::new(mac.to_vec()), Secret::new(bound.to_vec()))
        };
        let mac = TokenProof::prove(token.secret(), Prover::Initiator, b"one");
        let answer = proof(&mac, b"one").check(&token).unwrap();
        assert!(answer.is_of(token.secret(), b"one"));
        assert!(!answer.is_of(token.secret(), b"two"));
        assert!(
            !ResponderProof::read(&mac)
                .unwrap()
                .is_of(token.secret(), b"one")
        );
        assert!(ResponderProof::read(&mac[1..]).is_none());
        assert!(proof(&mac, b"two").check(&token).is_none());
        assert!(proof(&mac[..31], b"one").check(&token).is_none());
        assert!(proof(&[], b"one").check(&token).is_none());
        assert!(proof(answer.as_bytes(), b"one").check(&token).is_none());
        assert!(
            proof(&mac, b"one")
                .check(&Token::read("other").unwrap())
                .is_none()
        );
        assert_eq!(format!("{answer:?}"), "[hidden]");
    }
}
