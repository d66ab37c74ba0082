//! How the machine under `drive` is set up.

use onetrip_core::isr::{Ticket, Token};
use onetrip_core::negotiation::sasl;
use onetrip_core::quickstart::{Cache, Key, Level, Policy, Transport};
use onetrip_core::stream::{Env, Instant, Jid, Secret};
use onetrip_core::stream_management as sm;
use onetrip_core::{
    ClientConfig, Connection, InstantResume, Management, Registry, Resumption, ServerConfig,
};

use super::sasl2;
use crate::Failure;
use crate::options::Drive;

/// The settings of a machine, as `KEY=VALUE`.
pub(super) struct Config<'a>(pub(super) &'a [String]);

impl Config<'_> {
    const KEYS: [&'static str; 36] = [
        "level",
        "transport",
        "mechanisms",
        "lang",
        "advertise",
        "proactive",
        "management",
        "tokens",
        "handled",
        "previd",
        "h",
        "acked",
        "tok",
        "external",
        "authzid",
        "bidi",
        "hosted",
        "agreement",
        "role",
        "source",
        "acks",
        "on-invalid",
        "tolerate",
        "dialect",
        "s5b",
        "insecure",
        "loopback",
        "certificate",
        "candidates",
        "sasl2",
        "agent",
        "tag",
        "fast",
        "token",
        "tasks",
        "config-version",
    ];

    pub(super) fn check(&self) -> Result<(), Failure> {
        match self.0.iter().find(|setting| {
            !Self::KEYS
                .iter()
                .any(|key| setting.starts_with(&format!("{key}=")))
        }) {
            Some(unknown) => Err(Failure::Usage(format!(
                "no setting '{unknown}'; there are {}",
                Self::KEYS.join(", ")
            ))),
            None => Ok(()),
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find_map(|setting| setting.strip_prefix(key)?.strip_prefix('='))
    }

    pub(super) fn transport(&self) -> Result<Transport, Failure> {
        match self.get("transport") {
            None | Some("starttls") => Ok(Transport::StartTls),
            Some("direct") => Ok(Transport::DirectTls),
            Some(other) => Err(Failure::Usage(format!(
                "transport={other}: starttls or direct"
            ))),
        }
    }

    pub(super) fn level(&self) -> Result<Level, Failure> {
        match self.get("level") {
            None | Some("classic") => Ok(Level::Off),
            Some("safe") => Ok(Level::Safe),
            Some("paced") => Ok(Level::Paced),
            Some("quickstart") => Ok(Level::Full),
            Some(other) => Err(Failure::Usage(format!(
                "level={other}: classic, safe, paced or quickstart"
            ))),
        }
    }

    pub(super) fn mechanisms(&self) -> Result<Option<Vec<sasl::Mechanism>>, Failure> {
        let named = |name: &str| {
            sasl::Mechanism::from_name(name)
                .ok_or_else(|| Failure::Usage(format!("no mechanism '{name}'")))
        };
        self.get("mechanisms")
            .map(|names| names.split(',').map(named).collect())
            .transpose()
    }

    /// The session to go on with: `previd`, what has been handled in it (`h`) and acknowledged (`acked`).
    fn session(&self, owner: &Jid) -> Result<Option<sm::Session>, Failure> {
        let Some(previd) = self.get("previd") else {
            return Ok(None);
        };
        let count = |key: &str| match self.get(key) {
            None => Ok(sm::Count::default()),
            Some(text) => sm::Count::read(text)
                .ok_or_else(|| Failure::Usage(format!("{key}={text}: a number of stanzas"))),
        };
        let session = sm::Session::new(previd, owner, count("acked")?, count("h")?, Vec::new());
        Ok(Some(session))
    }

    fn token(&self) -> Result<Option<Token>, Failure> {
        self.get("tok")
            .map(|text| Token::read(text).ok_or_else(|| Failure::Usage("tok: no token".to_owned())))
            .transpose()
    }

    /// Puts the session into the server's registry, as if its connection had just been cut.
    pub(super) fn fill(
        &self,
        registry: &mut Registry,
        user: &str,
        options: &Drive,
        now: Instant,
    ) -> Result<(), Failure> {
        let domain = options
            .local
            .as_ref()
            .map_or("localhost", |local| local.domain().as_str());
        let owner: Jid = format!("{user}@{domain}/drive")
            .parse()
            .map_err(|_| Failure::Usage(format!("'{user}' is no user name")))?;
        if let Some(session) = self.session(&owner)? {
            let token = self.token()?.map(|token| token.hash());
            registry.keep(session, token, now);
        }
        Ok(())
    }

    pub(super) fn flag(&self, key: &str, default: bool) -> bool {
        self.get(key).map_or(default, |value| {
            matches!(value, "true" | "yes" | "on" | "1")
        })
    }
}

pub(super) fn client(
    options: &Drive,
    config: &Config<'_>,
    secret: Option<String>,
    env: &mut Env<'_>,
) -> Result<Connection, Failure> {
    let remote = options
        .remote
        .as_ref()
        .map(|remote| remote.domain().clone());
    let account = match (&options.local, &options.user, remote) {
        (Some(local), _, _) => local.clone(),
        (None, Some(user), Some(domain)) => format!("{user}@{domain}")
            .parse()
            .map_err(|_| Failure::Usage(format!("'{user}' is no user name")))?,
        _ => return Err(Failure::Usage("a client needs --local JID".to_owned())),
    };
    let name = options
        .user
        .clone()
        .or(account.local().map(str::to_owned))
        .unwrap_or_default();
    let mut sasl = match secret {
        Some(secret) => sasl::InitiatorConfig::password(&name, Secret::from(secret)),
        None => sasl::InitiatorConfig::external(None),
    };
    if let Some(mechanisms) = config.mechanisms()? {
        sasl.allowed = mechanisms;
    }
    let transport = config.transport()?;
    let mut policy = Policy::default();
    policy.force = Some(config.level()?);
    let plan = Cache::default().plan(
        &Key::new(account.domain().clone(), Some(&account), transport),
        &policy,
    );
    let mut client = ClientConfig::new(account, transport, sasl);
    client.lang = config.get("lang").map(str::to_owned);
    client.management = config.flag("management", false).then(Management::default);
    client.sasl2 = sasl2::login(config)?;
    let resumption = config.session(&client.account)?.map(Resumption::new);
    let resumption = match (resumption, config.token()?) {
        (Some(resumption), Some(token)) => Some(resumption.with_ticket(Ticket::new(token, None))),
        (resumption, _) => resumption,
    };
    Ok(Connection::resume(client, plan, resumption, env))
}

pub(super) fn server(
    local: &Jid,
    config: &Config<'_>,
    env: &mut Env<'_>,
) -> Result<Connection, Failure> {
    let all = || {
        sasl::Mechanism::ALL
            .into_iter()
            .rev()
            .filter(|mechanism| *mechanism != sasl::Mechanism::Anonymous)
            .collect()
    };
    let offered = config.mechanisms()?.unwrap_or_else(all);
    let mut server = ServerConfig::new(
        vec![local.domain().clone()],
        config.transport()?,
        sasl::ReceiverConfig::new(offered),
    );
    server.quickstart.advertise = config.flag("advertise", true);
    server.quickstart.proactive_header = config.flag("proactive", false);
    server.management = config.flag("management", false).then(sm::Config::default);
    server.sasl2 = sasl2::offer(config);
    server.instant_resume = config.flag("tokens", false).then(InstantResume::default);
    Ok(Connection::server(server, env))
}
