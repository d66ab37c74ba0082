//! SCRAM's messages (RFC 5802 §5, §7), both sides.

use core::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use onetrip_stream::Secret;

use super::keys::{Derivation, Hash, SaltedPassword, StoredKeys, constant_time_eq};
use super::{ChannelBinding, Error, Refusal};

/// The longest salt that is taken, in bytes.
const MAX_SALT: usize = 1024;

/// What the client says about channel binding (RFC 5802 §6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Gs2Flag {
    /// `n`: the client cannot, or chose not to.
    No,
    /// `y`: the client could, and believes that the server cannot.
    NotOffered,
    /// `p=tls-exporter`.
    Exporter,
}

impl Gs2Flag {
    const fn text(&self) -> &'static str {
        match self {
            Self::No => "n",
            Self::NotOffered => "y",
            Self::Exporter => "p=tls-exporter",
        }
    }
}

/// `=2C` and `=3D` (RFC 5802 §5.1).
fn escaped(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

fn unescaped(name: &str) -> Option<String> {
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
fn value(part: Option<&str>, key: char) -> Option<&str> {
    part?.strip_prefix(key)?.strip_prefix('=')
}

fn printable(nonce: &str) -> bool {
    !nonce.is_empty()
        && nonce
            .bytes()
            .all(|b| (0x21..=0x7e).contains(&b) && b != b',')
}

/// The input of `c=`: the GS2 header and, if bound, the data.
fn channel_input(gs2: &str, flag: &Gs2Flag, binding: Option<&ChannelBinding>) -> String {
    let mut input = gs2.as_bytes().to_vec();
    if let (Gs2Flag::Exporter, Some(binding)) = (flag, binding) {
        input.extend_from_slice(binding.data());
    }
    STANDARD.encode(input)
}

fn xor(a: &[u8], b: &[u8]) -> Vec<u8> {
    a.iter().zip(b).map(|(a, b)| a ^ b).collect()
}

/// The client behind its first message.
#[derive(Debug)]
pub(crate) struct Client {
    hash: Hash,
    gs2: String,
    channel: String,
    first_bare: String,
    nonce: String,
    password: Secret,
    iterations: RangeInclusive<u32>,
    state: ClientState,
}

#[derive(Debug)]
enum ClientState {
    /// Waiting for the server's first message.
    First,
    /// Waiting for the derived key.
    Deriving {
        server_first: String,
        server_nonce: String,
    },
    /// Waiting for the server's signature.
    Final { signature: Secret },
    /// Verified.
    Done,
}

/// What a client needs to begin.
pub(crate) struct ClientStart<'a> {
    pub(crate) hash: Hash,
    pub(crate) flag: Gs2Flag,
    pub(crate) binding: Option<&'a ChannelBinding>,
    pub(crate) username: &'a str,
    pub(crate) authzid: Option<&'a str>,
    pub(crate) password: Secret,
    pub(crate) nonce: String,
    pub(crate) iterations: RangeInclusive<u32>,
}

impl Client {
    pub(crate) fn new(start: ClientStart<'_>) -> Self {
        let authzid = start
            .authzid
            .map(|authzid| format!("a={}", escaped(authzid)))
            .unwrap_or_default();
        let gs2 = format!("{},{authzid},", start.flag.text());
        Self {
            hash: start.hash,
            channel: channel_input(&gs2, &start.flag, start.binding),
            gs2,
            first_bare: format!("n={},r={}", escaped(start.username), start.nonce),
            nonce: start.nonce,
            password: start.password,
            iterations: start.iterations,
            state: ClientState::First,
        }
    }

    /// `client-first-message`.
    pub(crate) fn first(&self) -> String {
        format!("{}{}", self.gs2, self.first_bare)
    }

    /// Whether all that is missing is the server's signature.
    pub(crate) fn awaits_signature(&self) -> bool {
        matches!(self.state, ClientState::Final { .. })
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.state, ClientState::Done)
    }

    /// Takes `server-first-message` and asks for the key.
    pub(crate) fn server_first(&mut self, message: &[u8]) -> Result<Derivation, Error> {
        if !matches!(self.state, ClientState::First) {
            return Err(Error::OutOfTurn);
        }
        let message = core::str::from_utf8(message).map_err(|_| Error::Malformed {
            what: "a SCRAM message that is not UTF-8",
        })?;
        let mut parts = message.split(',');
        let first = parts.next();
        if first.is_some_and(|part| part.starts_with("m=")) {
            return Err(Error::Malformed {
                what: "a mandatory SCRAM extension",
            });
        }
        let nonce = value(first, 'r').ok_or(Error::Malformed { what: "no nonce" })?;
        // RFC 5802 §5.1: ours, and more of the server's own.
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() || !printable(nonce) {
            return Err(Error::Nonce);
        }
        let salt = value(parts.next(), 's').and_then(|salt| STANDARD.decode(salt).ok());
        let salt = salt
            .filter(|salt| !salt.is_empty() && salt.len() <= MAX_SALT)
            .ok_or(Error::Malformed { what: "no salt" })?;
        let count =
            value(parts.next(), 'i').filter(|count| count.bytes().all(|b| b.is_ascii_digit()));
        let iterations: u32 =
            count
                .and_then(|count| count.parse().ok())
                .ok_or(Error::Malformed {
                    what: "no iteration count",
                })?;
        if !self.iterations.contains(&iterations) {
            return Err(Error::Iterations {
                got: iterations,
                allowed: self.iterations.clone(),
            });
        }
        // Optional extensions may follow; a known attribute among them is one given twice.
        if parts.any(|part| matches!(part.get(..2), Some("r=" | "s=" | "i=" | "m="))) {
            return Err(Error::Malformed {
                what: "an attribute given twice",
            });
        }
        self.state = ClientState::Deriving {
            server_first: message.to_owned(),
            server_nonce: nonce.to_owned(),
        };
        Ok(Derivation::new(
            self.hash,
            self.password.clone(),
            salt,
            iterations,
        ))
    }

    /// Takes the key and yields `client-final-message`; `None` when it was not asked for.
    pub(crate) fn derived(&mut self, salted: &SaltedPassword) -> Option<String> {
        let ClientState::Deriving {
            server_first,
            server_nonce,
        } = &self.state
        else {
            return None;
        };
        let hash = self.hash;
        let without_proof = format!("c={},r={server_nonce}", self.channel);
        let auth_message = format!("{},{server_first},{without_proof}", self.first_bare);
        let client_key = Secret::new(hash.hmac(salted.expose(), b"Client Key"));
        let stored_key = hash.digest(client_key.expose());
        let proof = xor(
            client_key.expose(),
            &hash.hmac(&stored_key, auth_message.as_bytes()),
        );
        let server_key = Secret::new(hash.hmac(salted.expose(), b"Server Key"));
        let signature = Secret::new(hash.hmac(server_key.expose(), auth_message.as_bytes()));
        self.state = ClientState::Final { signature };
        Some(format!("{without_proof},p={}", STANDARD.encode(proof)))
    }

    /// Takes `server-final-message` and checks that the server knows the password too (QS-27).
    pub(crate) fn server_final(&mut self, message: &[u8]) -> Result<(), Error> {
        let ClientState::Final { signature } = &self.state else {
            return Err(Error::OutOfTurn);
        };
        let text = core::str::from_utf8(message).unwrap_or_default();
        let got = value(text.split(',').next(), 'v').and_then(|got| STANDARD.decode(got).ok());
        if got.is_some_and(|got| constant_time_eq(&got, signature.expose())) {
            self.state = ClientState::Done;
            Ok(())
        } else {
            Err(Error::ServerSignature)
        }
    }
}

/// What the server reads from `client-first-message`.
#[derive(Debug)]
pub(crate) struct ClientFirst {
    pub(crate) username: String,
    pub(crate) authzid: Option<String>,
    gs2: String,
    flag: Gs2Flag,
    bare: String,
    nonce: String,
}

impl ClientFirst {
    /// Reads it. `bound` says whether a -PLUS mechanism was chosen, `offered` whether one could have been.
    pub(crate) fn read(message: &[u8], bound: bool, offered: bool) -> Result<Self, Refusal> {
        let text = core::str::from_utf8(message).map_err(|_| Refusal::MalformedRequest)?;
        let mut parts = text.splitn(3, ',');
        let flag = match (parts.next(), bound) {
            (Some("n"), false) => Gs2Flag::No,
            // RFC 5802 §6: somebody took our -PLUS mechanisms off the list.
            (Some("y"), false) if offered => return Err(Refusal::NotAuthorized),
            (Some("y"), false) => Gs2Flag::NotOffered,
            (Some("p=tls-exporter"), true) => Gs2Flag::Exporter,
            _ => return Err(Refusal::MalformedRequest),
        };
        let authzid = match parts.next() {
            Some("") => None,
            part => Some(
                value(part, 'a')
                    .and_then(unescaped)
                    .ok_or(Refusal::MalformedRequest)?,
            ),
        };
        let bare = parts.next().ok_or(Refusal::MalformedRequest)?;
        let mut attributes = bare.split(',');
        let username = value(attributes.next(), 'n')
            .and_then(unescaped)
            .filter(|name| !name.is_empty());
        let nonce = value(attributes.next(), 'r').filter(|nonce| printable(nonce));
        let (Some(username), Some(nonce)) = (username, nonce) else {
            return Err(Refusal::MalformedRequest);
        };
        let username = stringprep::saslprep(&username)
            .map_err(|_| Refusal::MalformedRequest)?
            .into_owned();
        let header = text.len().saturating_sub(bare.len());
        Ok(Self {
            username,
            authzid,
            gs2: text.get(..header).unwrap_or_default().to_owned(),
            flag,
            bare: bare.to_owned(),
            nonce: nonce.to_owned(),
        })
    }
}

/// The server behind its first message.
#[derive(Debug)]
pub(crate) struct Server {
    client: ClientFirst,
    keys: StoredKeys,
    nonce: String,
    first: String,
    /// Whether the user exists; if not, the exchange fails at its end and not before.
    known: bool,
}

impl Server {
    pub(crate) fn new(client: ClientFirst, keys: StoredKeys, nonce: &str, known: bool) -> Self {
        let nonce = format!("{}{nonce}", client.nonce);
        let first = format!(
            "r={nonce},s={},i={}",
            STANDARD.encode(&keys.salt),
            keys.iterations
        );
        Self {
            client,
            keys,
            nonce,
            first,
            known,
        }
    }

    /// `server-first-message`.
    pub(crate) fn first(&self) -> &str {
        &self.first
    }

    pub(crate) fn username(&self) -> &str {
        &self.client.username
    }

    /// Takes `client-final-message` and yields `server-final-message`.
    pub(crate) fn client_final(
        &self,
        message: &[u8],
        binding: Option<&ChannelBinding>,
    ) -> Result<String, Refusal> {
        let text = core::str::from_utf8(message).map_err(|_| Refusal::MalformedRequest)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(Refusal::MalformedRequest)?;
        let proof = STANDARD
            .decode(proof)
            .map_err(|_| Refusal::MalformedRequest)?;
        let mut parts = without_proof.split(',');
        let (channel, nonce) = (value(parts.next(), 'c'), value(parts.next(), 'r'));
        let (Some(channel), Some(nonce)) = (channel, nonce) else {
            return Err(Refusal::MalformedRequest);
        };
        let expected = channel_input(&self.client.gs2, &self.client.flag, binding);
        let bound = constant_time_eq(channel.as_bytes(), expected.as_bytes());
        let fresh = constant_time_eq(nonce.as_bytes(), self.nonce.as_bytes());
        let hash = self.keys.hash;
        let auth_message = format!("{},{},{without_proof}", self.client.bare, self.first);
        let signature = hash.hmac(self.keys.stored_key.expose(), auth_message.as_bytes());
        let client_key = Secret::new(xor(&proof, &signature));
        let proved = proof.len() == hash.len()
            && constant_time_eq(
                &hash.digest(client_key.expose()),
                self.keys.stored_key.expose(),
            );
        if !(bound && fresh && proved && self.known) {
            return Err(Refusal::NotAuthorized);
        }
        let signature = hash.hmac(self.keys.server_key.expose(), auth_message.as_bytes());
        Ok(format!("v={}", STANDARD.encode(signature)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let first = ClientFirst::read(client.first().as_bytes(), false, false).unwrap();
            let server = Server::new(first, keys, vector.server_nonce, true);
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
            ClientFirst::read(b"y,,n=u,r=abc", false, true).unwrap_err(),
            Refusal::NotAuthorized
        );
        assert!(ClientFirst::read(b"y,,n=u,r=abc", false, false).is_ok());
        for bad in [
            &b"p=tls-exporter,,n=u,r=abc"[..],
            b"x,,n=u,r=abc",
            b"n,b=c,n=u,r=abc",
            b"n,,n=u",
            b"n,,n=,r=a",
            b"\xff",
        ] {
            assert_eq!(
                ClientFirst::read(bad, false, false).unwrap_err(),
                Refusal::MalformedRequest
            );
        }
        assert_eq!(
            ClientFirst::read(b"p=tls-unique,,n=u,r=abc", true, true).unwrap_err(),
            Refusal::MalformedRequest
        );
        assert_eq!(
            ClientFirst::read(b"n,,n=u,r=abc", true, true).unwrap_err(),
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
