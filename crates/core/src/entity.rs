//! What outlives a connection: the local client or server.

use std::collections::BTreeMap;

use onetrip_quickstart::{Cache, Key, Plan, Policy};
use onetrip_stream::{Env, Jid};

use crate::action::Lesson;
use crate::{ClientConfig, Connection, EntityEvent, Installation, OutboundConfig, Resumption};

/// The local entity: owns what is remembered between connections and makes the next one.
///
/// It and its connections never hold each other; they exchange opaque events through the caller. A session that can be
/// resumed is either here or with one connection; of tokens a connection has a copy, and tells what becomes of them.
#[derive(Debug, Default)]
pub struct Entity {
    cache: Cache,
    policy: Policy,
    /// By the name of the session.
    resumptions: BTreeMap<String, Resumption>,
    /// By account.
    installations: BTreeMap<Jid, Installation>,
}

impl Entity {
    /// An entity with this memory and this willingness to run ahead.
    #[must_use]
    pub fn new(cache: Cache, policy: Policy) -> Self {
        Self {
            cache,
            policy,
            resumptions: BTreeMap::new(),
            installations: BTreeMap::new(),
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

    /// What is kept for logins by token, to store it: behind every [`Entity::handle`] and before what a connection writes
    /// next, if tokens go as early data, or their count could go out twice (XEP-0484 §3.4).
    pub fn installations(&self) -> impl Iterator<Item = &Installation> {
        self.installations.values()
    }

    /// The same of one account.
    #[must_use]
    pub fn installation(&self, account: &Jid) -> Option<&Installation> {
        self.installations.get(&account.to_bare())
    }

    /// Keeps what was stored, when a process begins.
    pub fn keep_installation(&mut self, installation: Installation) {
        self.installations
            .insert(installation.account.clone(), installation);
    }

    /// Takes it out, as when the account is given up here.
    pub fn take_installation(&mut self, account: &Jid) -> Option<Installation> {
        self.installations.remove(&account.to_bare())
    }

    /// Tells a connection that may log in by a token who it is, and what tokens there are.
    fn install(&mut self, config: &mut ClientConfig, env: &mut Env<'_>) {
        let account = config.account.to_bare();
        let Some(login) = &mut config.sasl2 else {
            return;
        };
        let Some(fast) = &mut login.fast else {
            return;
        };
        let kept = self
            .installations
            .entry(account.clone())
            .or_insert_with(|| Installation::new(&account, env));
        let agent = login.user_agent.get_or_insert_default();
        match &agent.id {
            Some(id) => kept.id.clone_from(id),
            None => agent.id = Some(kept.id.clone()),
        }
        fast.wallet.clone_from(&kept.wallet);
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
        mut config: ClientConfig,
        plan: Plan,
        env: &mut Env<'_>,
    ) -> Connection {
        self.install(&mut config, env);
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
            Lesson::Tokens(installation) => {
                self.keep_installation(*installation);
                None
            }
            Lesson::Over { .. } => None,
        }
    }
}
