//! What outlives a connection: the local client or server.

use std::collections::BTreeMap;

use onetrip_quickstart::{Cache, Key, Plan, Policy};
use onetrip_stream::{Env, Jid};

use crate::action::Lesson;
use crate::{ClientConfig, Connection, EntityEvent, OutboundConfig, Resumption};

/// The local entity: owns what is remembered between connections and makes the next one.
///
/// It and its connections never hold each other; they exchange opaque events through the caller. A session that can be
/// resumed is either here or with one connection.
#[derive(Debug, Default)]
pub struct Entity {
    cache: Cache,
    policy: Policy,
    /// By the name of the session.
    resumptions: BTreeMap<String, Resumption>,
}

impl Entity {
    /// An entity with this memory and this willingness to run ahead.
    #[must_use]
    pub fn new(cache: Cache, policy: Policy) -> Self {
        Self {
            cache,
            policy,
            resumptions: BTreeMap::new(),
        }
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

    /// The sessions that wait to be resumed, to store them.
    pub fn resumptions(&self) -> impl Iterator<Item = &Resumption> {
        self.resumptions.values()
    }

    /// Keeps a session for the next connection: one that was stored, when a process begins.
    pub fn keep(&mut self, resumption: Resumption) {
        self.resumptions
            .insert(resumption.session.id.clone(), resumption);
    }

    /// Takes out the session that the next connection of this account would resume: of a connection that was configured
    /// with the same account, or whose full address this is; for an account without a resource, of any of its resources.
    pub fn take(&mut self, account: &Jid) -> Option<Resumption> {
        let find = |wanted: &dyn Fn(&Resumption) -> bool| {
            let found = self.resumptions.iter().find(|(_, found)| wanted(found));
            found.map(|(id, _)| id.clone())
        };
        let id = find(&|found| found.account == *account)
            .or_else(|| find(&|found| found.session.owner == *account))
            .or_else(|| {
                let any = account.resource().is_none();
                find(&|found| any && found.session.owner.same_bare(account))
            })?;
        self.resumptions.remove(&id)
    }

    /// A client's connection, planned by what is remembered of the server. It resumes a session, if one waits.
    #[must_use]
    pub fn connect(&mut self, config: ClientConfig, env: &mut Env<'_>) -> Connection {
        let key = Key::new(
            config.account.domain().clone(),
            Some(&config.account),
            config.transport,
        );
        let plan = self.cache.plan(&key, &self.policy);
        self.connect_as(config, plan, env)
    }

    /// The same by a given plan: the retry that [`Entity::handle`] has asked for.
    #[must_use]
    pub fn connect_as(
        &mut self,
        config: ClientConfig,
        plan: Plan,
        env: &mut Env<'_>,
    ) -> Connection {
        let resumption = self.take(&config.account);
        Connection::resume(config, plan, resumption, env)
    }

    /// A server's connection to another server, planned by what is remembered of it (QS-30).
    #[must_use]
    pub fn connect_to(&self, config: OutboundConfig, env: &mut Env<'_>) -> Connection {
        let local = Jid::from_domain(config.local.clone());
        let key = Key::new(config.remote.clone(), Some(&local), config.transport);
        let plan = self.cache.plan(&key, &self.policy);
        Connection::outbound(config, plan, env)
    }

    /// Learns from a connection. When it returns a plan, the connection was abandoned because something
    /// remembered was wrong: connect once more with [`Entity::connect_as`] or
    /// [`Connection::outbound`] and this plan (QS-29, QS-33).
    #[must_use = "the plan of the retry"]
    pub fn handle(&mut self, event: EntityEvent) -> Option<Plan> {
        match event.0 {
            Lesson::Report(report) => self.cache.conclude(&report, &self.policy),
            Lesson::Suspended(resumption, _) => {
                self.keep(*resumption);
                None
            }
            Lesson::Over { .. } => None,
        }
    }
}
