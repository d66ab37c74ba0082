//! What outlives a connection: the local client or server.

use onetrip_quickstart::{Cache, Key, Plan, Policy};
use onetrip_stream::Env;

use crate::{ClientConfig, Connection, EntityEvent};

/// The local entity: owns what is remembered between connections and makes the next one.
///
/// It and its connections never hold each other; they exchange opaque events through the caller.
#[derive(Debug, Default)]
pub struct Entity {
    cache: Cache,
    policy: Policy,
}

impl Entity {
    /// An entity with this memory and this willingness to run ahead.
    #[must_use]
    pub fn new(cache: Cache, policy: Policy) -> Self {
        Self { cache, policy }
    }

    /// The feature cache, to store it.
    #[must_use]
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// How far it is willing to run ahead.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Changes how far it is willing to run ahead.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// A client's connection, planned by what is remembered of the server.
    #[must_use]
    pub fn connect(&self, config: ClientConfig, env: &mut Env<'_>) -> Connection {
        let key = Key::new(
            config.account.domain().clone(),
            Some(&config.account),
            config.transport,
        );
        let plan = self.cache.plan(&key, &self.policy);
        Connection::client(config, plan, env)
    }

    /// Learns from a connection. When it returns a plan, the connection was abandoned because something
    /// remembered was wrong: connect once more with [`Connection::client`] and this plan (QS-29, QS-33).
    #[must_use = "the plan of the retry"]
    pub fn handle(&mut self, event: &EntityEvent) -> Option<Plan> {
        self.cache.conclude(event.report(), &self.policy)
    }
}
