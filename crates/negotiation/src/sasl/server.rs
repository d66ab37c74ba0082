//! The receiving side of a mechanism, whatever envelope carries its messages.
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | idle | a mechanism, and maybe an initial response | deciding, keys, or first |
//! | first | the initial response | deciding, or keys |
//! | deciding | the decision | idle: accepted, or refused |
//! | keys | the keys that SCRAM needs | challenged |
//! | challenged | a response | idle: accepted, or refused |

use onetrip_stream::{Env, Secret};

use super::{Answer, BindingType, ChannelBinding, Mechanism, ReceiverConfig, Refusal, Request};
#[cfg(feature = "scram")]
use super::{Hash, HtVersion, Lists, StoredKeys};

#[derive(Debug)]
enum State {
    Idle,
    /// The client left out its initial response and was asked for it.
    First(Mechanism),
    /// A decision about a mechanism that has nothing more to say.
    Deciding(Mechanism),
    #[cfg(feature = "scram")]
    Keys(Mechanism, Box<super::scram::ClientFirst>),
    #[cfg(feature = "scram")]
    Challenged(Mechanism, Box<super::scram::Server>),
}

/// What an input leads to.
pub(crate) enum Step {
    /// Nothing: it was not asked for.
    Nothing,
    /// Ask for the initial response.
    AskFirst,
    /// Send this.
    #[cfg_attr(
        not(feature = "scram"),
        expect(dead_code, reason = "only SCRAM challenges")
    )]
    Challenge(Vec<u8>),
    /// Have this decided.
    Request(Request),
    /// The client has proved who it is.
    Accept {
        mechanism: Mechanism,
        identity: String,
        /// What proves the server.
        proof: Option<Vec<u8>>,
    },
    /// It has not.
    Refuse(Refusal),
}

/// The mechanisms of one stream, one at a time.
#[derive(Debug)]
pub(crate) struct Exchange {
    offered: Vec<Mechanism>,
    /// Taken, and not listed with the others: those whose secret is a token.
    tokens: Vec<Mechanism>,
    types: Vec<BindingType>,
    binding: Option<ChannelBinding>,
    #[cfg(feature = "scram")]
    decoy: (Option<Secret>, u32),
    #[cfg(feature = "scram")]
    protects: bool,
    #[cfg(feature = "scram")]
    ht: HtVersion,
    state: State,
}

impl Exchange {
    /// For features that are shown before the handshake has ended (QS-R2), `binding` is what it is believed to yield.
    pub(crate) fn new(
        config: &ReceiverConfig,
        binding: Option<ChannelBinding>,
        types: Vec<BindingType>,
        certified: bool,
    ) -> Self {
        let possible = |mechanism: &Mechanism| {
            let bound = match mechanism.binding_type() {
                Some(kind) => types.contains(&kind),
                None => !types.is_empty() || !mechanism.binds_channel(),
            };
            mechanism.is_built_in() && bound && (certified || *mechanism != Mechanism::External)
        };
        let among = |all: &[Mechanism]| all.iter().copied().filter(possible).collect();
        Self {
            offered: among(&config.offered),
            tokens: among(&config.tokens),
            types,
            binding,
            #[cfg(feature = "scram")]
            decoy: (config.decoy.clone(), config.decoy_iterations),
            #[cfg(feature = "scram")]
            protects: config.protects_lists,
            #[cfg(feature = "scram")]
            ht: config.ht,
            state: State::Idle,
        }
    }

    pub(crate) fn bind_channel(&mut self, binding: Option<ChannelBinding>) {
        self.binding = binding;
    }

    pub(crate) fn offered(&self) -> &[Mechanism] {
        &self.offered
    }

    pub(crate) fn tokens(&self) -> &[Mechanism] {
        &self.tokens
    }

    /// The channel binding types to list: none where no mechanism binds (XEP-0440 §3, rule 5).
    pub(crate) fn types(&self) -> &[BindingType] {
        if self.binds() { &self.types } else { &[] }
    }

    /// Whether a mechanism that is listed binds the channel.
    fn binds(&self) -> bool {
        self.offered
            .iter()
            .any(|mechanism| mechanism.binds_channel())
    }

    /// Whether a decision is pending.
    pub(crate) fn is_deciding(&self) -> bool {
        match self.state {
            State::Deciding(_) => true,
            #[cfg(feature = "scram")]
            State::Keys(..) => true,
            _ => false,
        }
    }

    /// Forgets the exchange that is under way.
    pub(crate) fn abandon(&mut self) {
        self.state = State::Idle;
    }

    /// Begins, in the place of whatever was under way.
    pub(crate) fn begin(&mut self, mechanism: Option<&str>, first: Option<&[u8]>) -> Step {
        self.state = State::Idle;
        let mechanism = mechanism
            .and_then(Mechanism::from_name)
            .filter(|mechanism| {
                self.offered.contains(mechanism) || self.tokens.contains(mechanism)
            });
        match (mechanism, first) {
            (None, _) => Step::Refuse(Refusal::InvalidMechanism),
            // RFC 6120 §6.4.2: without an initial response the client waits for a challenge. An empty one asks.
            (Some(mechanism), None) => {
                self.state = State::First(mechanism);
                Step::AskFirst
            }
            (Some(mechanism), Some(first)) => self.on_first(mechanism, first),
        }
    }

    fn ask(&mut self, mechanism: Mechanism, request: Request) -> Step {
        self.state = State::Deciding(mechanism);
        Step::Request(request)
    }

    fn on_first(&mut self, mechanism: Mechanism, first: &[u8]) -> Step {
        if mechanism.is_token() {
            return self.on_token(mechanism, first);
        }
        let Ok(text) = core::str::from_utf8(first) else {
            return Step::Refuse(Refusal::MalformedRequest);
        };
        let authzid = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        match mechanism {
            Mechanism::Plain => match read_plain(text) {
                Some(request) => self.ask(mechanism, request),
                None => Step::Refuse(Refusal::MalformedRequest),
            },
            Mechanism::External => {
                let authzid = authzid(text);
                self.ask(mechanism, Request::Certificate { authzid })
            }
            Mechanism::Anonymous => self.ask(mechanism, Request::Anonymous),
            _ => self.on_scram_first(mechanism, first),
        }
    }

    #[cfg(not(feature = "scram"))]
    fn on_token(&mut self, _mechanism: Mechanism, _first: &[u8]) -> Step {
        Step::Refuse(Refusal::InvalidMechanism)
    }

    #[cfg(feature = "scram")]
    fn on_token(&mut self, mechanism: Mechanism, first: &[u8]) -> Step {
        match super::ht::read(self.ht, mechanism, first, self.binding.as_ref()) {
            Err(refusal) => Step::Refuse(refusal),
            Ok((username, proof)) => {
                let request = Request::Token {
                    username,
                    mechanism,
                    proof,
                };
                self.ask(mechanism, request)
            }
        }
    }

    #[cfg(not(feature = "scram"))]
    fn on_scram_first(&mut self, _mechanism: Mechanism, _first: &[u8]) -> Step {
        Step::Refuse(Refusal::InvalidMechanism)
    }

    #[cfg(feature = "scram")]
    fn on_scram_first(&mut self, mechanism: Mechanism, first: &[u8]) -> Step {
        let types: &[BindingType] = if mechanism.binds_channel() {
            &self.types
        } else {
            &[]
        };
        match super::scram::ClientFirst::read(first, types, self.binds()) {
            Err(refusal) => Step::Refuse(refusal),
            Ok(first) => {
                let request = Request::Keys {
                    username: first.username.clone(),
                    authzid: first.authzid.clone(),
                    hash: super::client::hash_of(mechanism),
                };
                self.state = State::Keys(mechanism, Box::new(first));
                Step::Request(request)
            }
        }
    }

    /// Takes a response.
    pub(crate) fn respond(&mut self, data: &[u8]) -> Step {
        match core::mem::replace(&mut self.state, State::Idle) {
            State::First(mechanism) => self.on_first(mechanism, data),
            #[cfg(feature = "scram")]
            State::Challenged(mechanism, server) => {
                // Promised before the handshake ended, and then there was nothing to bind to.
                if mechanism.binds_channel() && self.binding.is_none() {
                    return Step::Refuse(Refusal::TemporaryAuthFailure);
                }
                match server.client_final(data, self.binding.as_ref()) {
                    Ok(proof) => Step::Accept {
                        mechanism,
                        identity: server.username().to_owned(),
                        proof: Some(proof.into_bytes()),
                    },
                    Err(refusal) => Step::Refuse(refusal),
                }
            }
            _ => Step::Refuse(Refusal::MalformedRequest),
        }
    }

    /// Takes the decision that was asked for.
    pub(crate) fn answer(&mut self, env: &mut Env<'_>, answer: Answer) -> Step {
        match (core::mem::replace(&mut self.state, State::Idle), answer) {
            (State::Deciding(_), Answer::Refuse(refusal)) => Step::Refuse(refusal),
            (State::Deciding(mechanism), Answer::Accept { identity }) if !mechanism.is_token() => {
                Step::Accept {
                    mechanism,
                    identity,
                    proof: None,
                }
            }
            #[cfg(feature = "scram")]
            (State::Deciding(mechanism), Answer::Token { identity, proof })
                if mechanism.is_token() =>
            {
                Step::Accept {
                    mechanism,
                    identity,
                    proof: Some(proof.as_bytes().to_vec()),
                }
            }
            // An answer to another question lets nobody in.
            (State::Deciding(_), _) => Step::Refuse(Refusal::NotAuthorized),
            #[cfg(feature = "scram")]
            (State::Keys(mechanism, first), answer) => self.on_keys(env, mechanism, *first, answer),
            (state, _) => {
                let _ = env;
                self.state = state;
                Step::Nothing
            }
        }
    }

    #[cfg(feature = "scram")]
    fn on_keys(
        &mut self,
        env: &mut Env<'_>,
        mechanism: Mechanism,
        first: super::scram::ClientFirst,
        answer: Answer,
    ) -> Step {
        use base64::Engine as _;

        let hash = super::client::hash_of(mechanism);
        let (keys, known) = match answer {
            Answer::Keys(keys) if keys.hash == hash => (keys, true),
            Answer::Refuse(refusal) => return Step::Refuse(refusal),
            _ => (self.decoy(env, hash, &first.username), false),
        };
        let mut nonce = [0_u8; 18];
        env.entropy.fill(&mut nonce);
        let nonce = base64::engine::general_purpose::STANDARD.encode(nonce);
        let lists = self.protects.then(|| self.lists().digest(hash));
        let server = super::scram::Server::new(first, keys, &nonce, lists.as_deref(), known);
        let challenge = server.first().as_bytes().to_vec();
        self.state = State::Challenged(mechanism, Box::new(server));
        Step::Challenge(challenge)
    }

    /// What has been advertised (XEP-0474).
    #[cfg(feature = "scram")]
    fn lists(&self) -> Lists {
        let mechanisms = self.offered.iter().map(|mechanism| mechanism.name());
        let types: Vec<&str> = self.types().iter().map(|kind| kind.name()).collect();
        Lists::new(mechanisms, (!types.is_empty()).then_some(&types[..]))
    }

    /// Keys for a user that does not exist: the same salt every time, and no password fits.
    #[cfg(feature = "scram")]
    fn decoy(&mut self, env: &mut Env<'_>, hash: Hash, username: &str) -> StoredKeys {
        let key = self.decoy.0.get_or_insert_with(|| {
            let mut key = vec![0_u8; 32];
            env.entropy.fill(&mut key);
            Secret::new(key)
        });
        let mut salt = hash.hmac(key.expose(), username.as_bytes());
        salt.truncate(16);
        let mut stored = vec![0_u8; hash.len()];
        env.entropy.fill(&mut stored);
        StoredKeys::new(
            hash,
            salt,
            self.decoy.1,
            Secret::new(stored.clone()),
            Secret::new(stored),
        )
    }
}

/// `authzid NUL authcid NUL passwd` (RFC 4616 §2).
fn read_plain(text: &str) -> Option<Request> {
    let mut parts = text.split('\0');
    let (authzid, username, password) = (parts.next()?, parts.next()?, parts.next()?);
    let whole = parts.next().is_none() && !username.is_empty() && !password.is_empty();
    whole.then(|| Request::Password {
        username: username.to_owned(),
        authzid: (!authzid.is_empty()).then(|| authzid.to_owned()),
        password: Secret::from(password),
    })
}
