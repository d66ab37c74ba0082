//! SCRAM's messages (RFC 5802 §5, §7), both sides.

mod client;
mod server;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use onetrip_stream::Secret;

use super::{BindingType, ChannelBinding};

pub(crate) use client::{Client, ClientStart};
pub(crate) use server::{ClientFirst, Server};

/// The longest salt that is taken, in bytes.
pub(super) const MAX_SALT: usize = 1024;

/// What the client says about channel binding (RFC 5802 §6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Gs2Flag {
    /// `n`: the client cannot, or chose not to.
    No,
    /// `y`: the client could, and believes that the server cannot.
    NotOffered,
    /// `p=tls-exporter` and the like.
    Bound(BindingType),
}

impl Gs2Flag {
    pub(super) fn text(&self) -> String {
        match self {
            Self::No => "n".to_owned(),
            Self::NotOffered => "y".to_owned(),
            Self::Bound(kind) => format!("p={}", kind.name()),
        }
    }
}

/// `=2C` and `=3D` (RFC 5802 §5.1).
pub(super) fn escaped(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

pub(super) fn unescaped(name: &str) -> Option<String> {
    let mut parts = name.split('=');
    let mut out = parts.next()?.to_owned();
    for part in parts {
        let (escape, rest) = part.split_at_checked(2)?;
        out.push(match escape {
            "2C" => ',',
            "3D" => '=',
            _ => return None,
        });
        out.push_str(rest);
    }
    Some(out)
}

/// Reads `key=value` and returns the value.
pub(super) fn value(part: Option<&str>, key: char) -> Option<&str> {
    part?.strip_prefix(key)?.strip_prefix('=')
}

pub(super) fn printable(nonce: &str) -> bool {
    !nonce.is_empty()
        && nonce
            .bytes()
            .all(|b| (0x21..=0x7e).contains(&b) && b != b',')
}

/// The input of `c=`: the GS2 header and, if bound, the data.
pub(super) fn channel_input(gs2: &str, flag: &Gs2Flag, binding: Option<&ChannelBinding>) -> String {
    let mut input = gs2.as_bytes().to_vec();
    if let (Gs2Flag::Bound(kind), Some(binding)) = (flag, binding) {
        let data = binding.data(*kind).map(Secret::expose);
        input.extend_from_slice(data.unwrap_or_default());
    }
    STANDARD.encode(input)
}

pub(super) fn xor(a: &[u8], b: &[u8]) -> Vec<u8> {
    a.iter().zip(b).map(|(a, b)| a ^ b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sasl::{Error, Hash, Lists, Refusal, StoredKeys};

    struct Vector {
        hash: Hash,
        user: &'static str,
        password: &'static str,
        client_nonce: &'static str,
        server_nonce: &'static str,
        salt: &'static str,
        proof: &'static str,
        signature: &'static str,
    }

    const VECTORS: [Vector; 3] = [
        // RFC 5802 §5.
        Vector {
            hash: Hash::Sha1,
            user: "user",
            password: "pencil",
            client_nonce: "fyko+d2lbbFgONRv9qkxdawL",
            server_nonce: "3rfcNHYJY1ZVvWVs7j",
            salt: "QSXCR+Q6sek8bf92",
            proof: "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            signature: "rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        },
        // RFC 7677 §3.
        Vector {
            hash: Hash::Sha256,
            user: "user",
            password: "pencil",
            client_nonce: "rOprNGfwEbeRWgbNEkqO",
            server_nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            salt: "W22ZaJ0SNY7soEsUEjb6gQ==",
            proof: "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            signature: "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        },
        // RFC 6120 §9.1, digest §7.1.
        Vector {
            hash: Hash::Sha1,
            user: "juliet",
            password: "r0m30myr0m30",
            client_nonce: "oMsTAAwAAAAMAAAANP0TAAAAAABPU0AA",
            server_nonce: "e124695b-69a9-4de6-9c30-b51b3808c59e",
            salt: "NjhkYTM0MDgtNGY0Zi00NjdmLTkxMmUtNDlmNTNmNDNkMDMz",
            proof: "UA57tM/SvpATBkH2FXs0WDXvJYw=",
            signature: "pNNDFVEQxuXxCoSEiW8GEZ+1RSo=",
        },
    ];

    fn client(vector: &Vector) -> Client {
        Client::new(ClientStart {
            hash: vector.hash,
            flag: Gs2Flag::No,
            binding: None,
            username: vector.user,
            authzid: None,
            password: Secret::from(vector.password),
            nonce: vector.client_nonce.to_owned(),
            iterations: 4096..=4096,
            demands_lists: false,
        })
    }

    #[test]
    fn vectors_of_rfc5802_rfc7677_and_rfc6120() {
        for vector in &VECTORS {
            let mut client = client(vector);
            assert_eq!(
                client.first(),
                format!("n,,n={},r={}", vector.user, vector.client_nonce)
            );
            let keys = StoredKeys::from_password(
                vector.hash,
                vector.password,
                STANDARD.decode(vector.salt).unwrap(),
                4096,
            )
            .unwrap();
            let first = ClientFirst::read(client.first().as_bytes(), &[], false).unwrap();
            let server = Server::new(first, keys, vector.server_nonce, None, true);
            assert_eq!(
                server.first(),
                format!(
                    "r={}{},s={},i=4096",
                    vector.client_nonce, vector.server_nonce, vector.salt
                )
            );
            let derivation = client.server_first(server.first().as_bytes()).unwrap();
            let last = client.derived(&derivation.perform()).unwrap();
            assert_eq!(last.rsplit_once(",p=").unwrap().1, vector.proof);
            let verdict = server.client_final(last.as_bytes(), None).unwrap();
            assert_eq!(verdict, format!("v={}", vector.signature));
            assert_eq!(client.server_final(verdict.as_bytes()), Ok(()));
        }
    }

    #[test]
    fn a_server_first_that_breaks_a_rule_is_refused() {
        let nonce = VECTORS[0].client_nonce;
        let cases = [
            ("r=other,s=QSXCR+Q6sek8bf92,i=4096".to_owned(), Error::Nonce),
            (format!("r={nonce},s=QSXCR+Q6sek8bf92,i=4096"), Error::Nonce),
            (
                format!("r={nonce} x,s=QSXCR+Q6sek8bf92,i=4096"),
                Error::Nonce,
            ),
            (
                format!("m=ext,r={nonce}x,s=QSXCR+Q6sek8bf92,i=4096"),
                Error::Malformed {
                    what: "a mandatory SCRAM extension",
                },
            ),
            (
                format!("r={nonce}x,s=,i=4096"),
                Error::Malformed { what: "no salt" },
            ),
            (
                format!("r={nonce}x,s=QSXCR+Q6sek8bf92,i=+4096"),
                Error::Malformed {
                    what: "no iteration count",
                },
            ),
            (
                format!("r={nonce}x,s=QSXCR+Q6sek8bf92,i=1"),
                Error::Iterations {
                    got: 1,
                    allowed: 4096..=4096,
                },
            ),
            (
                format!("r={nonce}x,s=QSXCR+Q6sek8bf92,i=4097"),
                Error::Iterations {
                    got: 4097,
                    allowed: 4096..=4096,
                },
            ),
            (
                format!("r={nonce}x,s=QSXCR+Q6sek8bf92,i=4096,r=y"),
                Error::Malformed {
                    what: "an attribute given twice",
                },
            ),
        ];
        for (message, error) in cases {
            assert_eq!(
                client(&VECTORS[0])
                    .server_first(message.as_bytes())
                    .unwrap_err(),
                error,
                "{message}"
            );
        }
    }

    #[test]
    fn qs_27_a_wrong_or_missing_server_signature_is_refused() {
        for message in [
            "v=AAAA",
            "v=",
            "",
            "e=other-error",
            "v=rmF9pqV8S7suAoZWja4dJRkFsKR=",
        ] {
            let mut client = client(&VECTORS[0]);
            let vector = &VECTORS[0];
            let first = format!(
                "r={}{},s={},i=4096",
                vector.client_nonce, vector.server_nonce, vector.salt
            );
            let derivation = client.server_first(first.as_bytes()).unwrap();
            client.derived(&derivation.perform()).unwrap();
            assert_eq!(
                client.server_final(message.as_bytes()),
                Err(Error::ServerSignature),
                "{message}"
            );
        }
    }

    #[test]
    fn xep_0474_lists_that_were_changed_are_found_out_and_demanded_where_they_must_be() {
        let vector = &VECTORS[0];
        let seen = || Lists::new(["SCRAM-SHA-1"], None::<&[&str]>);
        let other = Lists::new(["SCRAM-SHA-1", "SCRAM-SHA-256"], None::<&[&str]>);
        let (same, other) = (seen().digest(Hash::Sha1), other.digest(Hash::Sha1));
        let run = |told: bool, demanded: bool, sent: Option<&[u8]>| {
            let mut client = client(vector);
            client.demands_lists = demanded;
            if told {
                client.expect(seen());
            }
            let salt = STANDARD.decode(vector.salt).unwrap();
            let keys = StoredKeys::from_password(vector.hash, vector.password, salt, 4096).unwrap();
            let first = ClientFirst::read(client.first().as_bytes(), &[], false).unwrap();
            let server = Server::new(first, keys, vector.server_nonce, sent, true);
            let derivation = client.server_first(server.first().as_bytes())?;
            let last = client.derived(&derivation.perform()).unwrap();
            let verdict = server.client_final(last.as_bytes(), None).unwrap();
            client.server_final(verdict.as_bytes())
        };
        assert_eq!(run(true, false, Some(&same)), Ok(()));
        assert_eq!(run(true, true, Some(&same)), Ok(()));
        assert_eq!(run(true, false, None), Ok(()));
        assert_eq!(run(false, false, Some(&other)), Ok(()));
        assert_eq!(run(true, false, Some(&other)), Err(Error::Downgrade));
        assert_eq!(run(true, true, None), Err(Error::Downgrade));
        assert_eq!(run(false, true, Some(&same)), Err(Error::Downgrade));
    }

    #[test]
    fn names_with_commas_and_equal_signs_survive() {
        for name in ["a,b=c", "=2C", "plain"] {
            assert_eq!(unescaped(&escaped(name)).as_deref(), Some(name));
        }
        for bad in ["=", "=2", "=2c", "a=41"] {
            assert_eq!(unescaped(bad), None, "{bad}");
        }
    }

    #[test]
    fn rfc5802_6_y_is_refused_where_plus_was_offered() {
        assert_eq!(
            ClientFirst::read(b"y,,n=u,r=abc", &[], true).unwrap_err(),
            Refusal::NotAuthorized
        );
        assert!(ClientFirst::read(b"y,,n=u,r=abc", &[], false).is_ok());
        for bad in [
            &b"p=tls-exporter,,n=u,r=abc"[..],
            b"x,,n=u,r=abc",
            b"n,b=c,n=u,r=abc",
            b"n,,n=u",
            b"n,,n=,r=a",
            b"\xff",
        ] {
            assert_eq!(
                ClientFirst::read(bad, &[], false).unwrap_err(),
                Refusal::MalformedRequest
            );
        }
        assert_eq!(
            ClientFirst::read(
                b"p=tls-unique,,n=u,r=abc",
                &[BindingType::TlsExporter],
                true
            )
            .unwrap_err(),
            Refusal::MalformedRequest
        );
        assert_eq!(
            ClientFirst::read(b"n,,n=u,r=abc", &[BindingType::TlsExporter], true).unwrap_err(),
            Refusal::MalformedRequest
        );
    }

    /// RFC 4013 §3.
    #[test]
    fn saslprep_vectors() {
        let keys = |password: &str| {
            StoredKeys::from_password(Hash::Sha1, password, vec![1], 1)
                .map(|keys| keys.stored_key.expose().to_vec())
        };
        assert_eq!(keys("I\u{AD}X"), keys("IX"));
        assert_eq!(keys("\u{AA}"), keys("a"));
        assert_eq!(keys("\u{2168}"), keys("IX"));
        assert_ne!(keys("USER"), keys("user"));
        assert_eq!(keys("\u{7}"), None);
        assert_eq!(keys("\u{627}1"), None);
    }
}
