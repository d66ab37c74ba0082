//! `tls-server-end-point`: the hash of a server's certificate, by the hash function of its signature (RFC 5929 §4.1).

use std::sync::{Arc, OnceLock};

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode as _, Reader as _, SliceReader};
use onetrip_stream::Secret;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

/// RSASSA-PSS, which names its hash function in its parameters (RFC 4055 §3.1).
const PSS: ObjectIdentifier = oid("1.2.840.113549.1.1.10");

/// Algorithms of signatures, and hash functions as PSS names them. MD5 and SHA-1 stand for SHA-256; what signs without a hash
/// function, as Ed25519 does, has no end point (RFC 5929 §4.1).
const HASHES: &[(ObjectIdentifier, Hash)] = &[
    (oid("1.2.840.113549.1.1.4"), Hash::Sha256),
    (oid("1.2.840.113549.1.1.5"), Hash::Sha256),
    (oid("1.2.840.113549.1.1.11"), Hash::Sha256),
    (oid("1.2.840.113549.1.1.12"), Hash::Sha384),
    (oid("1.2.840.113549.1.1.13"), Hash::Sha512),
    (oid("1.2.840.10045.4.1"), Hash::Sha256),
    (oid("1.2.840.10045.4.3.2"), Hash::Sha256),
    (oid("1.2.840.10045.4.3.3"), Hash::Sha384),
    (oid("1.2.840.10045.4.3.4"), Hash::Sha512),
    (oid("1.3.14.3.2.26"), Hash::Sha256),
    (oid("2.16.840.1.101.3.4.2.1"), Hash::Sha256),
    (oid("2.16.840.1.101.3.4.2.2"), Hash::Sha384),
    (oid("2.16.840.1.101.3.4.2.3"), Hash::Sha512),
];

/// The end point of whoever shows this certificate, as DER; `None` where there is none, or the certificate is none.
pub(super) fn end_point(certificate: &[u8]) -> Option<Secret> {
    let hash: Vec<u8> = match hash_of(certificate)? {
        Hash::Sha256 => Sha256::digest(certificate).to_vec(),
        Hash::Sha384 => Sha384::digest(certificate).to_vec(),
        Hash::Sha512 => Sha512::digest(certificate).to_vec(),
    };
    Some(Secret::new(hash))
}

/// `Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signature }` (RFC 5280 §4.1).
fn hash_of(certificate: &[u8]) -> Option<Hash> {
    let mut parts = inside(AnyRef::from_der(certificate).ok()?)?;
    let _: AnyRef<'_> = parts.decode().ok()?;
    let mut algorithm = inside(parts.decode().ok()?)?;
    let name: ObjectIdentifier = algorithm.decode().ok()?;
    let name = match name == PSS {
        true => pss_hash(algorithm.decode().ok()?)?,
        false => name,
    };
    let known = HASHES.iter().find(|(known, _)| *known == name);
    known.map(|(_, hash)| *hash)
}

/// `hashAlgorithm [0]` of the parameters; left out, it is SHA-1.
fn pss_hash(parameters: AnyRef<'_>) -> Option<ObjectIdentifier> {
    const HASH_ALGORITHM: u8 = 0xa0;
    let mut parameters = inside(parameters)?;
    if parameters.is_finished() || parameters.peek_byte() != Some(HASH_ALGORITHM) {
        return Some(oid("1.3.14.3.2.26"));
    }
    let mut explicit = inside(parameters.decode().ok()?)?;
    inside(explicit.decode().ok()?)?.decode().ok()
}

fn inside(whole: AnyRef<'_>) -> Option<SliceReader<'_>> {
    SliceReader::new(whole.value()).ok()
}

/// What a server has shown in one session, which rustls does not tell.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown(Arc<OnceLock<Option<Secret>>>);

impl Shown {
    /// The same configuration, for a session whose certificate will be known here.
    pub(super) fn watch(&self, config: &ServerConfig) -> ServerConfig {
        let mut config = config.clone();
        config.cert_resolver = Arc::new(Watching {
            inner: config.cert_resolver,
            shown: self.clone(),
        });
        config
    }

    pub(super) fn end_point(&self) -> Option<Secret> {
        self.0.get().cloned().flatten()
    }
}

#[derive(Debug)]
struct Watching {
    inner: Arc<dyn ResolvesServerCert>,
    shown: Shown,
}

impl ResolvesServerCert for Watching {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let chosen = self.inner.resolve(hello)?;
        let hash = chosen.cert.first().and_then(|first| end_point(first));
        let _ = self.shown.0.set(hash);
        Some(chosen)
    }

    fn only_raw_public_keys(&self) -> bool {
        self.inner.only_raw_public_keys()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let inside = parts.concat();
        [&[tag, u8::try_from(inside.len()).unwrap()][..], &inside].concat()
    }

    fn named(name: &str, parameters: &[u8]) -> Vec<u8> {
        tlv(0x30, &[&tlv(6, &[oid(name).as_bytes()]), parameters])
    }

    /// What is signed, by which algorithm, and a signature.
    fn certificate(algorithm: &[u8]) -> Vec<u8> {
        tlv(0x30, &[&[0x30, 0], algorithm, &[3, 1, 0]])
    }

    fn length(certificate: &[u8]) -> Option<usize> {
        end_point(certificate).map(|hash| hash.expose().len())
    }

    #[test]
    fn rfc_5929_4_1_the_hash_is_the_signatures_and_never_a_weak_one() {
        for (name, expected) in [
            ("1.2.840.113549.1.1.4", Some(32)),
            ("1.2.840.113549.1.1.5", Some(32)),
            ("1.2.840.113549.1.1.11", Some(32)),
            ("1.2.840.113549.1.1.13", Some(64)),
            ("1.2.840.10045.4.3.2", Some(32)),
            ("1.2.840.10045.4.3.3", Some(48)),
            ("1.3.101.112", None),
            ("1.2.3", None),
        ] {
            assert_eq!(length(&certificate(&named(name, &[]))), expected, "{name}");
        }
        let whole = certificate(&named("1.2.840.10045.4.3.3", &[]));
        let expected = Sha384::digest(&whole).to_vec();
        assert_eq!(end_point(&whole).unwrap().expose(), expected);
    }

    #[test]
    fn rfc_4055_pss_names_its_hash_in_the_parameters() {
        let pss = |parameters: &[u8]| certificate(&named("1.2.840.113549.1.1.10", parameters));
        let with = |name: &str| pss(&tlv(0x30, &[&tlv(0xa0, &[&named(name, &[5, 0])])]));
        assert_eq!(length(&with("2.16.840.1.101.3.4.2.1")), Some(32));
        assert_eq!(length(&with("2.16.840.1.101.3.4.2.3")), Some(64));
        assert_eq!(length(&with("1.2.3")), None);
        assert_eq!(length(&pss(&[0x30, 0])), Some(32), "SHA-1 by default");
        assert_eq!(
            length(&pss(&tlv(0x30, &[&tlv(0xa2, &[&[2, 1, 32]])]))),
            Some(32)
        );
        assert_eq!(length(&pss(&[])), None);
    }

    #[test]
    fn what_is_no_certificate_has_no_end_point() {
        let whole = certificate(&named("1.2.840.113549.1.1.11", &[5, 0]));
        for cut in 0..whole.len() {
            assert_eq!(length(&whole[..cut]), None);
        }
    }
}
