//! One login, from the first packet of TCP to the answer to a stanza, in virtual time.

use core::time::Duration;
use std::sync::{Arc, Mutex};

use onetrip_core::fast::DateTime;
use onetrip_core::isr::Dialects;
use onetrip_core::negotiation::sasl;
use onetrip_core::quickstart::{Cache, Key, Level, Policy, ReceiverConfig, Report, Transport};
use onetrip_core::stream::{Content, Domain, Env, Instant, Jid, Secret};
use onetrip_core::zero_handshake::{AgreementError, Refusal};
use onetrip_core::{
    ClientConfig, Connection, End as Ending, Entity, EntityEvent, InstantResume, Registry,
    Sasl2Offer, ServerConfig,
};
use onetrip_tls::Secured;
use onetrip_tls::rustls::rustls::{ClientConfig as TlsClient, ServerConfig as TlsServer};
use onetrip_tls::rustls::{RustlsSession, Versions, sending_early_data, taking_early_data};
use onetrip_trace::{Party, Record};

use crate::accounts::Accounts;
use crate::certificates::{CertificateError, Certificates};
use crate::clients;
use crate::end::End;
use crate::entropy::Seeded;
use crate::link::{Faults, Link};
use crate::strategy::{Answers, Historical, Login, Proof, Strategy};
use crate::world::World;

/// What is simulated.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The link.
    pub link: Link,
    /// What goes wrong on it.
    pub faults: Faults,
    /// The version of TLS.
    pub tls: Versions,
    /// Where the bytes that look random begin.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            link: Link::default(),
            faults: Faults::default(),
            tls: Versions::Tls13,
            seed: 1,
        }
    }
}

/// What a simulated login came to.
#[derive(Debug)]
#[non_exhaustive]
pub struct Run {
    /// Everything that was written, to the answer or the end.
    pub record: Record,
    /// When the client could send its first stanza, and the one-way trips before that.
    pub to_send: Option<(Duration, u32)>,
    /// When the answer to it arrived, and the one-way trips before that.
    pub to_answer: Option<(Duration, u32)>,
    /// When the first stanza arrived at the other end, and the one-way trips before that.
    pub arrived: Option<(Duration, u32)>,
    /// Bytes both had sent by then.
    pub bytes_to_arrive: usize,
    /// Bytes the client sent and received up to the answer.
    pub bytes_sent: usize,
    /// See `bytes_sent`.
    pub bytes_received: usize,
    /// What the attempt taught.
    pub reports: Vec<Report>,
    /// How each end ended, if it did.
    pub endings: (Option<Ending>, Option<Ending>),
    /// Whether the server bound a resource for the client.
    pub server_online: bool,
    /// How many stanzas the server accepted.
    pub server_stanzas: usize,
    /// Whether an earlier session goes on for the client.
    pub resumed: bool,
}

impl Run {
    /// Whether a stanza was sent and answered.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.to_answer.is_some()
    }

    /// What was written until the client could send (digest §4.1).
    #[must_use]
    pub fn negotiation(&self) -> Record {
        self.record.until(ONLINE)
    }
}

/// The mark at which a stanza may be sent.
pub const ONLINE: &str = "online: stanzas may be sent";
/// The mark at which its answer has come.
pub const ANSWERED: &str = "the first stanza is answered";

/// A client and a server with all they need, to run logins between them again and again.
#[derive(Debug)]
pub struct Lab {
    pub(crate) certificates: Certificates,
    pub(crate) accounts: Accounts,
    pub(crate) domain: Domain,
    account: Jid,
    password: String,
    offered: Vec<sasl::Mechanism>,
    pub(crate) pipelining: bool,
    /// The server's sessions, and the tokens for them and for logins.
    pub(crate) registry: Mutex<Registry>,
}

/// What day it is in the lab when its clock begins.
const TODAY: DateTime = DateTime::from_unix_seconds(1_600_000_000);

/// How long a negotiation may take: minutes, since a link of 2400 bit/s is to be measured and not to be given up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);
/// How long the server of the lab keeps a session.
const KEEP: Duration = Duration::from_secs(300);

/// What cannot be simulated.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// Certificates cannot be made.
    #[error(transparent)]
    Certificates(#[from] CertificateError),
    /// An address of the lab does not parse; it is our own.
    #[error("expected the lab's own addresses to be some, got one that is not")]
    Address,
    /// An agreement of the lab's servers does not hold.
    #[error(transparent)]
    Agreement(#[from] AgreementError),
    /// One of them refuses the other.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The step-by-step login that is to fill the cache failed.
    #[error("expected the login that fills the cache to succeed, got: {0}")]
    Rehearsal(String),
}

const PASSWORD: &str = "r0m30myr0m30";

/// TLS of both ends.
type Tls = (Arc<TlsClient>, Arc<TlsServer>);

impl Lab {
    /// A lab with one account.
    ///
    /// # Errors
    /// [`LabError`] when certificates cannot be made.
    pub fn new() -> Result<Self, LabError> {
        let account: Jid = "juliet@im.example.com/balcony"
            .parse()
            .map_err(|_| LabError::Address)?;
        let domain = account.domain().clone();
        let certificates = Certificates::new(core::slice::from_ref(&domain))?;
        let mut accounts = Accounts::new();
        let mut entropy = Seeded::new(0);
        accounts.add(
            &account,
            PASSWORD,
            &mut Env::new(Instant::EPOCH, &mut entropy),
        );
        if let Some(local) = account.local() {
            accounts.certify(local);
        }
        let mut registry = Registry::new(KEEP);
        registry.set_date(Instant::EPOCH, TODAY);
        Ok(Self {
            certificates,
            accounts,
            domain,
            account,
            password: PASSWORD.to_owned(),
            offered: sasl::Mechanism::ALL
                .into_iter()
                .rev()
                .filter(|mechanism| *mechanism != sasl::Mechanism::Anonymous)
                .collect(),
            pipelining: true,
            registry: Mutex::new(registry),
        })
    }

    /// The server offers these mechanisms and no others.
    pub fn offer(&mut self, mechanisms: Vec<sasl::Mechanism>) {
        self.offered = mechanisms;
    }

    /// Whether the server takes part in pipelining.
    pub fn set_pipelining(&mut self, on: bool) {
        self.pipelining = on;
    }

    /// The client believes this to be the password.
    pub fn believe_password(&mut self, password: &str) {
        password.clone_into(&mut self.password);
    }

    /// What the client's memory is kept by.
    #[must_use]
    pub fn key(&self, transport: Transport) -> Key {
        Key::new(self.domain.clone(), Some(&self.account), transport)
    }

    /// What the client is configured with.
    #[must_use]
    pub fn client_config(&self, strategy: &Strategy) -> ClientConfig {
        let mut sasl = match strategy.login() {
            Some(Login::External) => sasl::InitiatorConfig::external(None),
            _ => sasl::InitiatorConfig::password(
                self.account.local().unwrap_or_default(),
                Secret::from(self.password.as_str()),
            ),
        };
        sasl.allowed = strategy.login().map_or_else(Vec::new, Login::mechanisms);
        let mut config = ClientConfig::new(self.account.clone(), strategy.transport(), sasl);
        config.management = strategy.management();
        config.sasl2 = strategy.sasl2(TODAY);
        config.bounds.negotiation = PATIENCE;
        config.trace = true;
        config
    }

    /// What the server is configured with.
    #[must_use]
    pub fn server_config(&self, strategy: &Strategy) -> ServerConfig {
        let mut config = ServerConfig::new(
            vec![self.domain.clone()],
            strategy.transport(),
            sasl::ReceiverConfig::new(self.offered.clone()),
        );
        let mut quickstart = ReceiverConfig::default();
        quickstart.advertise = self.pipelining;
        quickstart.proactive_header = *strategy == Strategy::Historical(Historical::Xep0305);
        config.quickstart = quickstart;
        config.management = strategy.comeback().map(|_| Default::default());
        let dialects = strategy.dialects();
        config.instant_resume = (dialects != Dialects::NONE).then(|| InstantResume::by(dialects));
        if strategy.is_sasl2() {
            let mut offer = Sasl2Offer::default();
            offer.fast = matches!(strategy, Strategy::Fast { .. });
            offer.early = strategy.is_early();
            config.sasl2 = Some(offer);
        }
        config.bounds.negotiation = PATIENCE;
        config.trace = true;
        config
    }

    /// Runs a login. Whatever its strategy assumes was learnt from a step-by-step login before.
    ///
    /// # Errors
    /// [`LabError`] when the lab itself does not work; a login that fails is a [`Run`].
    pub fn run(&self, strategy: &Strategy, settings: &Settings) -> Result<Run, LabError> {
        if let Strategy::Clients(carrier) = strategy {
            return clients::run(&self.certificates, *carrier, settings);
        }
        let mut policy = Policy::default();
        let mut entity = Entity::default();
        let tls = self.tls(strategy, settings)?;
        let token = matches!(strategy, Strategy::Fast { .. });
        if strategy.level() != Level::Off || strategy.comeback().is_some() || token {
            policy.force = Some(Level::Off);
            entity = Entity::new(Cache::default(), policy.clone());
            let quiet = Settings {
                faults: Faults::default(),
                ..*settings
            };
            // The classic way shows nothing of what is not in RFC 6120.
            let way = match strategy.is_sasl2() {
                true => *strategy,
                false => strategy.classic(),
            };
            // Only what needs it resumes a session of TLS: the handshakes of all others are whole.
            let before = match strategy.is_early() {
                true => tls.clone(),
                false => self.tls(&way, &quiet)?,
            };
            let mut world = self.world(&way, &mut entity, before, &quiet)?;
            world.run(&self.domain);
            // What is to be resumed has been cut off before.
            world.cut();
            let (rehearsal, taught) = world.finish();
            for event in taught {
                let _ = entity.handle(event);
            }
            if rehearsal.to_send.is_none() {
                return Err(LabError::Rehearsal(format!("{:?}", rehearsal.endings)));
            }
        }
        policy.force = Some(strategy.level());
        entity.set_policy(policy);
        let mut world = self.world(strategy, &mut entity, tls, settings)?;
        world.run(&self.domain);
        let mut run = world.finish().0;
        if strategy.answers() == Some(Answers::Two) {
            // The other server opens a connection of its own, in the same way, and its answer arrives over that.
            let mirror = self.attempt(strategy, &mut entity, settings)?.0;
            run.to_answer = run.arrived.zip(mirror.arrived).map(|(there, back)| {
                let trips = there.1.saturating_add(back.1);
                (there.0.saturating_add(back.0), trips)
            });
        }
        Ok(run)
    }

    /// Runs one connection with what `entity` remembers.
    ///
    /// # Errors
    /// As [`Lab::run`].
    pub fn attempt(
        &self,
        strategy: &Strategy,
        entity: &mut Entity,
        settings: &Settings,
    ) -> Result<(Run, Vec<EntityEvent>), LabError> {
        let tls = self.tls(strategy, settings)?;
        let mut world = self.world(strategy, entity, tls, settings)?;
        world.run(&self.domain);
        Ok(world.finish())
    }

    /// TLS of both ends.
    fn tls(&self, strategy: &Strategy, settings: &Settings) -> Result<Tls, CertificateError> {
        match strategy {
            Strategy::Servers { proof, .. } => {
                let certified = *proof == Proof::External;
                return self.certificates.servers(settings.tls, certified);
            }
            Strategy::Zero { .. } => return self.certificates.servers(settings.tls, true),
            _ => {}
        }
        let certified = strategy.login() == Some(Login::External);
        let half_rtt = *strategy == Strategy::Historical(Historical::Xep0305);
        let client = self.certificates.client(settings.tls, certified)?;
        let server = self
            .certificates
            .server(settings.tls, certified, half_rtt)?;
        Ok(match strategy.is_early() {
            true => (sending_early_data(client), taking_early_data(server)),
            false => (client, server),
        })
    }

    fn world(
        &self,
        strategy: &Strategy,
        entity: &mut Entity,
        tls: Tls,
        settings: &Settings,
    ) -> Result<World<'_>, LabError> {
        let mut seeds = Seeded::new(settings.seed);
        let (mut client_entropy, mut server_entropy) =
            (Seeded::new(seeds.number()), Seeded::new(seeds.number()));
        // TCP takes a round trip before the client may write (digest §4.2).
        let start = Instant::EPOCH + settings.link.round_trip;
        let client_env = &mut Env::new(start, &mut client_entropy);
        let server_env = &mut Env::new(start, &mut server_entropy);
        let mut second = None;
        let (outbound, inbound) = match strategy {
            Strategy::Servers { .. } => {
                let (outbound, inbound) = self.peers(strategy)?;
                second = Some(self.second(strategy, entity, settings)?);
                (
                    entity.connect_to(outbound, client_env),
                    Connection::inbound(inbound, server_env),
                )
            }
            Strategy::Zero { tls } => {
                let [opener, acceptor] = self.agreed(*tls)?;
                let link = |config, env| Connection::link(config, env).map_err(LabError::from);
                (link(opener, client_env)?, link(acceptor, server_env)?)
            }
            _ => {
                let config = self.client_config(strategy);
                (
                    entity.connect(config, client_env),
                    Connection::server(self.server_config(strategy), server_env),
                )
            }
        };
        let content = if strategy.is_between_servers() {
            Content::Server
        } else {
            Content::Client
        };
        let session = RustlsSession::client(tls.0, &self.domain).map_err(CertificateError::from)?;
        let outbound = Secured::new(outbound, Some(session));
        let session = RustlsSession::server(tls.1).map_err(CertificateError::from)?;
        let inbound = Secured::new(inbound, Some(session));
        let end = |party, secured, entropy| End::new(party, secured, content, self, entropy);
        let ends = [
            end(Party::Initiator, outbound, client_entropy),
            end(Party::Receiver, inbound, server_entropy),
        ];
        Ok(World::new(ends, second, *settings, strategy, start))
    }
}
