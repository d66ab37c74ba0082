//! The server's side of SCRAM (RFC 5802 §5).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use onetrip_stream::Secret;

use super::{Gs2Flag, channel_input, printable, unescaped, value, xor};
use crate::sasl::{BindingType, ChannelBinding, Refusal, StoredKeys, constant_time_eq};

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
    /// Reads it. `types` are what a -PLUS mechanism may bind to, none for any other; `offered` says whether one could
    /// have been chosen.
    pub(crate) fn read(
        message: &[u8],
        types: &[BindingType],
        offered: bool,
    ) -> Result<Self, Refusal> {
        let text = core::str::from_utf8(message).map_err(|_| Refusal::MalformedRequest)?;
        let mut parts = text.splitn(3, ',');
        let bound = !types.is_empty();
        let flag = match (parts.next(), bound) {
            (Some("n"), false) => Gs2Flag::No,
            // RFC 5802 §6: somebody took our -PLUS mechanisms off the list.
            (Some("y"), false) if offered => return Err(Refusal::NotAuthorized),
            (Some("y"), false) => Gs2Flag::NotOffered,
            (part, true) => value(part, 'p')
                .and_then(BindingType::from_name)
                .filter(|kind| types.contains(kind))
                .map(Gs2Flag::Bound)
                .ok_or(Refusal::MalformedRequest)?,
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
    /// `lists` is the hash of what was advertised (XEP-0474 §5.1).
    pub(crate) fn new(
        client: ClientFirst,
        keys: StoredKeys,
        nonce: &str,
        lists: Option<&[u8]>,
        known: bool,
    ) -> Self {
        let nonce = format!("{}{nonce}", client.nonce);
        let lists = lists.map_or_else(String::new, |hash| format!(",h={}", STANDARD.encode(hash)));
        let first = format!(
            "r={nonce},s={},i={}{lists}",
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
