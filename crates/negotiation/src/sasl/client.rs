//! The initiating side of a mechanism, whatever envelope carries its messages.

use onetrip_stream::{Env, Secret};

use super::{
    ChannelBinding, Choice, Derivation, Error, Failure, InitiatorConfig, Lists, Mechanism, Refusal,
    SaltedPassword,
};

/// A mechanism behind its first message.
#[derive(Debug)]
pub(crate) enum Exchange {
    /// It has said all it has to say, and the server has nothing to prove.
    Said,
    #[cfg(feature = "scram")]
    Scram(Box<super::scram::Client>),
    #[cfg(feature = "scram")]
    Token(super::ht::Client),
}

/// What an exchange begins with.
pub(crate) struct Started {
    pub(crate) exchange: Exchange,
    /// The initial response.
    pub(crate) first: Secret,
    /// Whether it is believed to be the only message.
    pub(crate) last: bool,
}

/// What a challenge leads to.
#[cfg_attr(
    not(feature = "scram"),
    expect(dead_code, reason = "only SCRAM is challenged")
)]
pub(crate) enum Reply {
    /// A key has to be derived first.
    Derive(Derivation),
    /// An empty response.
    Empty,
}

impl Exchange {
    /// Begins. Without what the mechanism needs, it has failed before it began.
    pub(crate) fn start(
        env: &mut Env<'_>,
        config: &InitiatorConfig,
        choice: &Choice,
        binding: Option<&ChannelBinding>,
    ) -> Result<Started, Failure> {
        let authzid = config.authzid.as_deref().unwrap_or_default().as_bytes();
        let first = match choice.mechanism() {
            Mechanism::Plain => {
                let password = config.password.as_ref().map(Secret::expose);
                let username = config.username.as_bytes();
                [
                    authzid,
                    b"\0",
                    username,
                    b"\0",
                    password.unwrap_or_default(),
                ]
                .concat()
            }
            Mechanism::External => authzid.to_vec(),
            Mechanism::Anonymous => Vec::new(),
            _ => return Self::start_with_hash(env, config, choice, binding),
        };
        Ok(Started {
            exchange: Self::Said,
            first: Secret::new(first),
            last: true,
        })
    }

    #[cfg(not(feature = "scram"))]
    fn start_with_hash(
        _env: &mut Env<'_>,
        _config: &InitiatorConfig,
        _choice: &Choice,
        _binding: Option<&ChannelBinding>,
    ) -> Result<Started, Failure> {
        Err(impossible("the mechanism is not built in"))
    }

    #[cfg(feature = "scram")]
    fn start_with_hash(
        env: &mut Env<'_>,
        config: &InitiatorConfig,
        choice: &Choice,
        binding: Option<&ChannelBinding>,
    ) -> Result<Started, Failure> {
        if choice.mechanism().is_scram() {
            return Self::start_scram(env, config, choice, binding);
        }
        let token = config.password.clone().unwrap_or_default();
        let client = super::ht::Client::new(config.ht, choice.mechanism(), token, binding)
            .ok_or_else(|| impossible("there is no channel to bind to"))?;
        Ok(Started {
            first: client.first(&config.username),
            exchange: Self::Token(client),
            last: true,
        })
    }

    #[cfg(feature = "scram")]
    fn start_scram(
        env: &mut Env<'_>,
        config: &InitiatorConfig,
        choice: &Choice,
        binding: Option<&ChannelBinding>,
    ) -> Result<Started, Failure> {
        use super::scram::{Client, ClientStart};
        use base64::Engine as _;

        let prepared = |text: &str| {
            let prepared = stringprep::saslprep(text).map(|text| text.into_owned());
            // RFC 4013 §2.3: characters that cannot be in a name or password cannot be the right ones either.
            prepared.map_err(|_| impossible("SASLprep refuses the name or the password"))
        };
        let password = config.password.as_ref().map(Secret::expose);
        let password = core::str::from_utf8(password.unwrap_or_default())
            .map_err(|_| impossible("SASLprep refuses the name or the password"))?;
        let (username, password) = (prepared(&config.username)?, prepared(password)?);
        let mut nonce = [0_u8; 18];
        env.entropy.fill(&mut nonce);
        let client = Client::new(ClientStart {
            hash: hash_of(choice.mechanism()),
            flag: choice.flag(binding.is_some()),
            binding,
            username: &username,
            authzid: config.authzid.as_deref(),
            password: Secret::from(password),
            nonce: base64::engine::general_purpose::STANDARD.encode(nonce),
            iterations: config.iterations.clone(),
            demands_lists: choice.demands_lists(),
        });
        Ok(Started {
            first: Secret::from(client.first()),
            exchange: Self::Scram(Box::new(client)),
            last: false,
        })
    }

    /// What the server has advertised, if the mechanism can tell whether that was changed on its way (XEP-0474).
    pub(crate) fn expect(&mut self, lists: Lists) {
        match self {
            #[cfg(feature = "scram")]
            Self::Scram(client) => client.expect(lists),
            _ => drop(lists),
        }
    }

    /// Takes a challenge.
    pub(crate) fn challenge(&mut self, challenge: &[u8]) -> Result<Reply, Error> {
        match self {
            // Servers before RFC 6120 put the proof in a challenge of its own.
            #[cfg(feature = "scram")]
            Self::Scram(client) if client.awaits_signature() => {
                client.server_final(challenge).map(|()| Reply::Empty)
            }
            #[cfg(feature = "scram")]
            Self::Scram(client) => client.server_first(challenge).map(Reply::Derive),
            _ => {
                let _ = challenge;
                Err(Error::OutOfTurn)
            }
        }
    }

    /// Takes the derived key and yields the last message; `None` when it was not asked for.
    pub(crate) fn derived(&mut self, salted: &SaltedPassword) -> Option<Secret> {
        match self {
            #[cfg(feature = "scram")]
            Self::Scram(client) => client.derived(salted).map(Secret::from),
            _ => {
                let _ = salted;
                None
            }
        }
    }

    /// The server says that it has accepted us: success without proof is no success, however early it comes (QS-27).
    pub(crate) fn finish(&mut self, proof: Option<&[u8]>) -> Result<(), Error> {
        let proof = proof.unwrap_or_default();
        match self {
            #[cfg(feature = "scram")]
            Self::Scram(client) if !client.is_done() => client
                .server_final(proof)
                .map_err(|_| Error::ServerSignature),
            #[cfg(feature = "scram")]
            Self::Token(client) if !client.is_done() => client.server_final(proof),
            _ => {
                let _ = proof;
                Ok(())
            }
        }
    }
}

/// A failure on this side, before anything was sent.
fn impossible(why: &str) -> Failure {
    Failure {
        text: Some(why.to_owned()),
        ..Failure::new(Refusal::NotAuthorized)
    }
}

#[cfg(feature = "scram")]
pub(crate) const fn hash_of(mechanism: Mechanism) -> super::Hash {
    match mechanism {
        Mechanism::ScramSha1 | Mechanism::ScramSha1Plus => super::Hash::Sha1,
        _ => super::Hash::Sha256,
    }
}
