//! Connections of both roles, what outlives them, and wires that deliver what the test says, when it says so.
//!
//! TLS is left out, as if it succeeded at once; everything else is real bytes.

use std::collections::VecDeque;
use std::time::Duration;

use onetrip_core::isr::{Dialects, Rotation, Ticket};
use onetrip_core::negotiation::sasl;
use onetrip_core::quickstart::{Cache, Level, Plan, Policy, Transport};
use onetrip_core::stream::{Env, Instant, Jid, Secret};
use onetrip_core::stream_management::QueueLimits;
use onetrip_core::{
    ClientConfig, Connection, Entity, FastLogin, InstantResume, Management, Registry, Resumption,
    Sasl2Login, Sasl2Offer, ServerConfig, fast,
};
use onetrip_simulator::Seeded;

use crate::words::{
    ACCOUNT, ASK, AUTH, BIND, ENABLE, HEADER, PLAIN, RESPONSE, SUCCESS, stored, ticket,
};

mod decisions;
mod side;
mod wires;

pub use side::Side;

/// When the clock begins, as far as tokens for logins are concerned.
const DATE: fast::DateTime = fast::DateTime::from_unix_seconds(1_600_000_000);

/// See the module. Connections are named by their place in `sides`.
pub struct House {
    /// The client's memory.
    pub entity: Entity,
    /// The server's.
    pub registry: Registry,
    /// Every connection there ever was.
    pub sides: Vec<Side>,
    /// The clock.
    pub now: Instant,
    /// Whether stanzas are handled as they arrive.
    pub handles: bool,
    /// Whether the server decides as it is asked.
    pub decides: bool,
    /// Where clients log in.
    pub account: Jid,
    /// How far clients run ahead.
    pub level: Level,
    /// Whether the server offers instant stream resumption.
    pub instant: bool,
    /// In which texts of it, as far as that is up to the two.
    pub dialects: Dialects,
    /// The certificate that client and server see.
    pub certificates: [Option<&'static str>; 2],
    /// Whether both know SASL2.
    pub later: bool,
    /// Whether both use tokens for logins (XEP-0484).
    pub fast: bool,
    /// What is random.
    pub entropy: Seeded,
}

/// Which text of instant stream resumption, of those that prove a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// Its own elements, and the certificate's hash.
    Second,
    /// Within SASL2.
    Third,
}

impl Text {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Second, Self::Third];
}

impl Default for House {
    fn default() -> Self {
        Self::new(Rotation::default())
    }
}

impl House {
    /// Nobody is there yet.
    #[must_use]
    pub fn new(rotation: Rotation) -> Self {
        let keep = Duration::from_secs(300);
        let mut registry = Registry::with(keep, QueueLimits::default(), rotation);
        registry.set_date(Instant::EPOCH, DATE);
        Self {
            entity: Entity::new(Cache::default(), Policy::default()),
            registry,
            sides: Vec::new(),
            now: Instant::EPOCH,
            handles: true,
            decides: true,
            account: ACCOUNT.parse().expect("an address"),
            level: Level::Off,
            instant: true,
            dialects: Dialects::default(),
            certificates: [None; 2],
            later: false,
            fast: false,
            entropy: Seeded::new(7),
        }
    }

    /// Both speak this text of instant stream resumption and no other, under one certificate.
    #[must_use]
    pub fn keyed(text: Text, rotation: Rotation) -> Self {
        let mut dialects = Dialects::NONE;
        dialects.hmac = text == Text::Second;
        dialects.sasl2 = text == Text::Third;
        Self {
            dialects,
            certificates: [Some("one"); 2],
            later: text == Text::Third,
            ..Self::new(rotation)
        }
    }

    /// The ticket of a client's session as it stands.
    #[must_use]
    pub fn ticket(&self, client: usize) -> Option<Ticket> {
        self.sides[client].connection.resumption()?.ticket
    }

    fn add(&mut self, connection: Connection) -> usize {
        self.sides.push(Side {
            server: !connection.is_initiator(),
            connection,
            written: String::new(),
            events: Vec::new(),
            asked: VecDeque::new(),
            retry: None,
            closed: false,
            session: None,
            wire: Vec::new(),
            upgrades: 0,
        });
        let place = self.sides.len() - 1;
        self.drain(place);
        place
    }

    /// A client's configuration.
    #[must_use]
    pub fn client_config(&self) -> ClientConfig {
        let user = self.account.local().unwrap_or_default();
        let mut sasl = sasl::InitiatorConfig::password(user, Secret::from("secret"));
        sasl.allowed = vec![sasl::Mechanism::Plain];
        let mut config = ClientConfig::new(self.account.clone(), Transport::DirectTls, sasl);
        let mut management = Management::default();
        management.instant = self.dialects;
        config.management = Some(management);
        config.sasl2 = self.later.then(Sasl2Login::default);
        if let Some(login) = &mut config.sasl2 {
            let policy = fast::Policy::new(["HT-SHA-256-NONE"]);
            login.fast = self.fast.then(|| FastLogin::new(policy).at(DATE));
        }
        config
    }

    /// A client's connection, with the session that waits if there is one.
    pub fn client(&mut self) -> usize {
        self.client_of(self.client_config())
    }

    /// A client's connection of another kind.
    pub fn client_of(&mut self, config: ClientConfig) -> usize {
        let mut policy = Policy::default();
        policy.force = Some(self.level);
        self.entity.set_policy(policy);
        let env = &mut Env::new(self.now, &mut self.entropy);
        let connection = self.entity.connect(config, env);
        self.add(connection)
    }

    /// The same by a given plan: a retry.
    pub fn client_as(&mut self, plan: Plan) -> usize {
        let config = self.client_config();
        let env = &mut Env::new(self.now, &mut self.entropy);
        let connection = self.entity.connect_as(config, plan, env);
        self.add(connection)
    }

    /// A client's connection that goes on with this session.
    pub fn client_with(&mut self, resumption: Resumption) -> usize {
        self.entity.keep(resumption);
        self.client()
    }

    /// A server's configuration.
    #[must_use]
    pub fn server_config(&self) -> ServerConfig {
        let mechanisms = sasl::ReceiverConfig::new(vec![sasl::Mechanism::Plain]);
        let domains = vec![self.account.domain().clone()];
        let mut config = ServerConfig::new(domains, Transport::DirectTls, mechanisms);
        config.management = Some(Default::default());
        config.instant_resume = self.instant.then(|| InstantResume::by(self.dialects));
        config.sasl2 = self.later.then(Sasl2Offer::default);
        if let Some(offer) = &mut config.sasl2 {
            offer.fast = self.fast;
        }
        config
    }

    /// A server's connection.
    pub fn server(&mut self) -> usize {
        let config = self.server_config();
        self.server_as(config)
    }

    /// A server's connection of another kind.
    pub fn server_as(&mut self, config: ServerConfig) -> usize {
        let env = &mut Env::new(self.now, &mut self.entropy);
        let connection = Connection::server(config, env);
        self.add(connection)
    }

    /// A client and a server that have said all they have to say.
    pub fn pair(&mut self) -> [usize; 2] {
        let pair = [self.client(), self.server()];
        self.talk(pair);
        pair
    }

    /// Gives a server all that a client has to say up to a resource that is bound and stanzas that are counted; returns
    /// the name of the session.
    pub fn log_in(&mut self, server: usize) -> String {
        let text = format!("{HEADER}{AUTH}{HEADER}{ASK}{ENABLE}");
        self.give(server, text).expect("nothing is wrong with it");
        let granted = self.sides[server].granted().expect("a session");
        granted.id.clone().expect("one that may be resumed")
    }

    /// A client that goes on with [`stored`]: it has said `<resume/>`, and waits.
    pub fn resuming(&mut self) -> usize {
        let client = self.client_with(stored());
        for text in [
            format!("{RESPONSE}{PLAIN}"),
            format!("{SUCCESS}{RESPONSE}{BIND}"),
        ] {
            self.give(client, text).expect("nothing is wrong with it");
        }
        assert!(self.sides[client].behind("<resume ").contains("h='9'"));
        client
    }

    /// The same with its token: it has said `<inst-resume/>`, has seen the features, and waits.
    pub fn instantly_resuming(&mut self) -> usize {
        let client = self.client_with(stored().with_ticket(ticket()));
        assert_eq!(self.sides[client].count("tok='t0ken'"), 1);
        let text = format!("{RESPONSE}{PLAIN}");
        self.give(client, text).expect("nothing is wrong with it");
        assert_eq!(self.sides[client].count("<auth "), 0);
        client
    }
}
