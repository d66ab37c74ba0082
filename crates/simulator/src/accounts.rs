//! The decisions of a small server: who may come in.

use std::collections::BTreeMap;

use onetrip_core::negotiation::sasl;
use onetrip_core::stream::{Domain, Env, Jid, Secret};
use onetrip_core::{Answer, Request};

/// The iteration count of stored keys: the least that clients take, since these passwords live for a minute.
const ITERATIONS: u32 = 4096;

#[derive(Debug)]
struct Account {
    password: Secret,
    sha1: sasl::StoredKeys,
    sha256: sasl::StoredKeys,
}

/// Users and their passwords, in memory.
#[derive(Debug, Default)]
pub struct Accounts {
    users: BTreeMap<Jid, Account>,
    /// Whom a client's certificate stands for, if any client may come in by one.
    certified: Option<String>,
}

impl Accounts {
    /// No accounts yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a user; `false` when SASLprep refuses the password.
    pub fn add(&mut self, jid: &Jid, password: &str, env: &mut Env<'_>) -> bool {
        let mut salt = [0_u8; 16];
        env.entropy.fill(&mut salt);
        let keys =
            |hash| sasl::StoredKeys::from_password(hash, password, salt.to_vec(), ITERATIONS);
        let (Some(sha1), Some(sha256)) = (keys(sasl::Hash::Sha1), keys(sasl::Hash::Sha256)) else {
            return false;
        };
        self.users.insert(
            jid.to_bare(),
            Account {
                password: Secret::from(password),
                sha1,
                sha256,
            },
        );
        true
    }

    /// Lets any client with an accepted certificate in as this user.
    pub fn certify(&mut self, local: &str) {
        self.certified = Some(local.to_owned());
    }

    /// Whether there is such a user.
    #[must_use]
    pub fn has(&self, jid: &Jid) -> bool {
        self.users.contains_key(&jid.to_bare())
    }

    fn find(&self, username: &str, domain: &Domain) -> Option<&Account> {
        let jid: Jid = format!("{username}@{domain}").parse().ok()?;
        self.users.get(&jid)
    }

    /// Decides about credentials on a stream to `domain`.
    #[must_use]
    pub fn decide(&self, request: sasl::Request, domain: &Domain) -> sasl::Answer {
        let not_oneself = |authzid: &Option<String>, username: &str| {
            authzid.as_ref().is_some_and(|authzid| {
                authzid != username && *authzid != format!("{username}@{domain}")
            })
        };
        match request {
            sasl::Request::Password {
                username, authzid, ..
            }
            | sasl::Request::Keys {
                username, authzid, ..
            } if not_oneself(&authzid, &username) => {
                sasl::Answer::Refuse(sasl::Refusal::InvalidAuthzid)
            }
            sasl::Request::Password {
                username, password, ..
            } => match self.find(&username, domain) {
                Some(account)
                    if sasl::constant_time_eq(account.password.expose(), password.expose()) =>
                {
                    sasl::Answer::Accept { identity: username }
                }
                _ => sasl::Answer::Refuse(sasl::Refusal::NotAuthorized),
            },
            sasl::Request::Keys { username, hash, .. } => {
                match (self.find(&username, domain), hash) {
                    (Some(account), sasl::Hash::Sha1) => sasl::Answer::Keys(account.sha1.clone()),
                    (Some(account), sasl::Hash::Sha256) => {
                        sasl::Answer::Keys(account.sha256.clone())
                    }
                    _ => sasl::Answer::Unknown,
                }
            }
            sasl::Request::Certificate { .. } => match &self.certified {
                Some(local) => sasl::Answer::Accept {
                    identity: local.clone(),
                },
                None => sasl::Answer::Refuse(sasl::Refusal::NotAuthorized),
            },
            _ => sasl::Answer::Refuse(sasl::Refusal::NotAuthorized),
        }
    }
}

/// Answers a client's request for a key by deriving it at once.
#[must_use]
pub fn derive(request: &Request) -> Option<Answer> {
    match request {
        Request::Derive(derivation) => Some(Answer::Derived(derivation.perform())),
        _ => None,
    }
}
