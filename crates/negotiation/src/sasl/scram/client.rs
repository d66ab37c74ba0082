//! The client's side of SCRAM (RFC 5802 §5).

use core::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use onetrip_stream::Secret;

use super::{Gs2Flag, MAX_SALT, channel_input, escaped, printable, value, xor};
use crate::sasl::{
    ChannelBinding, Derivation, Error, Hash, Lists, SaltedPassword, constant_time_eq,
};

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
    /// What the server has advertised, as it arrived.
    lists: Option<Lists>,
    pub(super) demands_lists: bool,
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
    /// Whether the server has to say what it has advertised (XEP-0474).
    pub(crate) demands_lists: bool,
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
            lists: None,
            demands_lists: start.demands_lists,
            state: ClientState::First,
        }
    }

    /// What the server has advertised, as it arrived.
    pub(crate) fn expect(&mut self, lists: Lists) {
        self.lists = Some(lists);
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
        let extensions: Vec<&str> = parts.collect();
        let twice = |part: &&str| matches!(part.get(..2), Some("r=" | "s=" | "i=" | "m="));
        if extensions.iter().any(twice) {
            return Err(Error::Malformed {
                what: "an attribute given twice",
            });
        }
        self.compare_lists(&extensions)?;
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

    /// XEP-0474 §5.2. That the hash itself is the server's own follows from the proofs, which it is part of.
    fn compare_lists(&self, extensions: &[&str]) -> Result<(), Error> {
        let mut told = extensions.iter().filter(|part| part.starts_with("h="));
        let same = match (told.next(), &self.lists) {
            (Some(told), Some(seen)) => {
                let told = value(Some(told), 'h').and_then(|hash| STANDARD.decode(hash).ok());
                told.is_some_and(|told| constant_time_eq(&told, &seen.digest(self.hash)))
            }
            _ => !self.demands_lists,
        };
        (same && told.next().is_none())
            .then_some(())
            .ok_or(Error::Downgrade)
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
