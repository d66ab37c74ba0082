//! The strategies between servers: a server of ours asks another one something, over sockets of both.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use minidom::Element;
use onetrip_core::Entity;
use onetrip_core::quickstart::{Cache, Key, Level, Policy, Transport};
use onetrip_core::stream::{Build as _, Content, Domain, Pair, Stanza, ns};
use onetrip_core::zero_handshake::Agreement;
use onetrip_simulator::accounts::Accounts;
use onetrip_simulator::certificates::{Certificates, PEER};
use onetrip_simulator::{Answers, Proof, Strategy};
use onetrip_tls::rustls::rustls::RootCertStore;
use onetrip_tls::rustls::rustls::pki_types::pem::PemObject as _;
use onetrip_tls::rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use onetrip_tls::rustls::{Identity, PeerTls, Versions};

use super::row::{Row, milliseconds};
use super::target::{impairment, places, roots};
use crate::Failure;
use crate::meter::{Asked, Measuring, QUESTION};
use crate::options::Compare;
use crate::relay;
use crate::serve::{self, Asking, Federating, Manner, Settings};
use crate::socket::Attempt;

/// The other server.
enum Theirs {
    /// One that is started for each strategy, since it has to connect back in the same manner.
    Embedded,
    /// A real one, and by transport where it is.
    Real(Vec<(Transport, SocketAddr)>),
}

/// Two servers that are to be connected.
pub(super) struct Servers<'a> {
    options: &'a Compare,
    pair: Pair,
    theirs: Theirs,
    /// Where ours takes connections.
    listener: TcpListener,
    /// Whom ours is known to be, and whom it trusts.
    known: (Identity, RootCertStore),
    /// A certificate that nobody vouches for.
    unknown: (Identity, RootCertStore),
    /// The embedded server's.
    certificates: Certificates,
}

impl<'a> Servers<'a> {
    /// Ours and the embedded one.
    pub(super) fn embedded(options: &'a Compare) -> Result<Self, Failure> {
        let (ours, theirs) = (name(PEER)?, name("im.example.com")?);
        let certificates = made(&theirs)?;
        let stranger = made(&theirs)?;
        Ok(Self {
            options,
            pair: Pair::new(ours, theirs),
            theirs: Theirs::Embedded,
            listener: bound(SocketAddr::from(([127, 0, 0, 1], 0)))?,
            known: (certificates.peer_identity(), certificates.roots()),
            unknown: (stranger.peer_identity(), stranger.roots()),
            certificates,
        })
    }

    /// Ours, which the options describe, and a real one.
    pub(super) async fn real(options: &'a Compare, theirs: &Domain) -> Result<Self, Failure> {
        let missing = "a domain alone is a server: give --local DOMAIN, --listen ADDR, --cert and --key of ours, or an account";
        let (Some(ours), Some(listen), Some(cert), Some(key)) =
            (&options.local, options.listen, &options.cert, &options.key)
        else {
            return Err(Failure::Usage(missing.to_owned()));
        };
        let whom = &options.target;
        let stranger = made(ours)?;
        Ok(Self {
            options,
            pair: Pair::new(ours.clone(), theirs.clone()),
            theirs: Theirs::Real(places(whom, theirs, Content::Server).await?),
            listener: bound(listen)?,
            known: (given(cert, key)?, roots(whom.ca_file.as_deref())?),
            unknown: (stranger.server_identity(), roots(whom.ca_file.as_deref())?),
            certificates: made(theirs)?,
        })
    }

    /// Whether the other server can be reached in this way.
    pub(super) fn offers(&self, strategy: &Strategy) -> bool {
        match &self.theirs {
            Theirs::Embedded => true,
            // Nobody has agreed on anything with it.
            Theirs::Real(_) if matches!(strategy, Strategy::Zero { .. }) => false,
            Theirs::Real(places) => places.iter().any(|(way, _)| *way == strategy.transport()),
        }
    }

    fn manner(&self, strategy: &Strategy) -> Manner {
        Manner {
            level: Some(strategy.level()),
            one_way: strategy.answers() == Some(Answers::Two),
            by_dialback: by_dialback(strategy),
            tcp: self.options.target.rtt.unwrap_or_default(),
            patience: Some(self.options.target.patience()),
        }
    }

    fn tls(&self, strategy: &Strategy) -> Result<PeerTls, Failure> {
        let (identity, roots) = if by_dialback(strategy) {
            &self.unknown
        } else {
            &self.known
        };
        tls(identity, roots.clone())
    }

    /// Where the other server is, as the strategy needs it.
    async fn reach(&self, strategy: &Strategy) -> Result<SocketAddr, Failure> {
        let place = match &self.theirs {
            Theirs::Real(places) => places
                .iter()
                .find(|(transport, _)| *transport == strategy.transport())
                .map(|(_, place)| *place),
            Theirs::Embedded => self.embed(strategy).await?,
        };
        let nowhere = || Failure::Usage(format!("{} has nowhere to go", strategy.name()));
        relayed(place.ok_or_else(nowhere)?, impairment(&self.options.target)).await
    }

    /// Starts the embedded server, which connects back to ours in the manner of the strategy.
    async fn embed(&self, strategy: &Strategy) -> Result<Option<SocketAddr>, Failure> {
        let whom = &self.options.target;
        let ours = self.listener.local_addr();
        let ours = ours.map_err(|error| Failure::Check(error.to_string()))?;
        let back = relay::Impairment {
            tcp: whom.rtt.unwrap_or_default(),
            ..impairment(whom)
        };
        let back = relayed(ours, back).await?;
        let manner = Manner {
            tcp: Duration::ZERO,
            ..self.manner(strategy)
        };
        let identity = self.certificates.server_identity();
        let tls = tls(&identity, self.certificates.roots())?;
        let pair = self.pair.inverse();
        let with = match self.agreement(strategy, &pair, back)? {
            Some(agreement) => {
                Federating::agreed(agreement, pair.to, back, tls, manner).listening_for_links()
            }
            None => Federating::between(pair.to, back, strategy.transport(), tls, manner)
                .listening(strategy.transport()),
        };
        let addresses = serve::start(settings(&pair.from, Some(with))?).await?;
        Ok(addresses
            .abroad
            .link
            .or(addresses.abroad.s2s)
            .or(addresses.abroad.s2s_direct_tls))
    }

    /// What the first of a pair has agreed with the second, if that is the strategy.
    fn agreement(
        &self,
        strategy: &Strategy,
        pair: &Pair,
        at: SocketAddr,
    ) -> Result<Option<Agreement>, Failure> {
        let Strategy::Zero { tls } = strategy else {
            return Ok(None);
        };
        let (client, server) = self.certificates.fingerprints();
        let pin = if pair.to == self.pair.to {
            server
        } else {
            client
        };
        let agreed = onetrip_simulator::agreement(&pair.from, &pair.to, at, tls.then_some(pin));
        agreed
            .map(Some)
            .map_err(|error| Failure::Check(error.to_string()))
    }

    /// Runs a strategy as often as asked.
    pub(super) async fn run(
        &self,
        strategy: Strategy,
        learner: &mut Entity,
    ) -> Result<Row, Failure> {
        let mut trial = Trial {
            servers: self,
            strategy,
            place: self.reach(&strategy).await?,
        };
        trial.run(learner).await
    }
}

/// One strategy, with its sockets.
struct Trial<'a> {
    servers: &'a Servers<'a>,
    strategy: Strategy,
    place: SocketAddr,
}

impl Trial<'_> {
    async fn run(&mut self, learner: &mut Entity) -> Result<Row, Failure> {
        let options = self.servers.options;
        let mut row = Row {
            strategy: Some(self.strategy),
            runs: options.runs,
            ..Row::default()
        };
        let policy = super::policy(options, &self.strategy);
        let mut cache = Cache::default();
        if self.strategy.level() != Level::Off && !options.learn {
            cache = self.rehearse().await?;
        }
        let mut passed = Vec::new();
        for number in 0..options.runs {
            if row.hopeless.is_some() {
                break;
            }
            // A server with an agreement opens the link anew that the last run has closed, and would answer over that one.
            if number > 0 && matches!(self.strategy, Strategy::Zero { .. }) {
                self.place = self.servers.reach(&self.strategy).await?;
            }
            let entity = if options.learn {
                learner.set_policy(policy.clone());
                core::mem::take(learner)
            } else {
                Entity::new(cache.clone(), policy.clone())
            };
            let plan = entity.cache().plan(&self.key(), &policy);
            row.levels.push((plan.level(), plan.gap()));
            let (asked, taught) = self.ask(entity).await?;
            if options.learn {
                *learner = taught;
            }
            if let Some(attempt) = self.judge(asked, &mut row) {
                let measured = &attempt.measured;
                if let (Some((send, _)), Some((answer, _))) = (measured.to_send, measured.to_answer)
                {
                    passed.push((milliseconds(send), milliseconds(answer), attempt));
                }
            }
        }
        row.summarise(passed);
        Ok(row)
    }

    /// What became of one question; an attempt counts if it was the strategy that brought the answer.
    fn judge(&self, asked: Asked, row: &mut Row) -> Option<Attempt> {
        row.second += asked.broken;
        if asked.measured.to_answer.is_none() {
            row.lost += 1;
        }
        if asked.measured.bytes_received == 0 {
            let reason = asked.reason.as_deref().unwrap_or("no answer");
            let (place, whom) = (self.place, &self.servers.pair.to);
            row.hopeless = Some(Failure::Unreachable(format!("{whom} at {place}: {reason}")));
        }
        if let Some(reason) = asked
            .reason
            .filter(|_| asked.broken > 0 || asked.measured.to_answer.is_none())
        {
            row.reason.get_or_insert(reason);
        }
        (asked.broken == 0 || self.servers.options.learn).then(|| Attempt {
            measured: asked.measured,
            mechanism: Some(proof(&self.strategy)),
            ..Attempt::default()
        })
    }

    fn key(&self) -> Key {
        Key::new(
            self.servers.pair.to.clone(),
            None,
            self.strategy.transport(),
        )
    }

    /// A connection step by step, whose only purpose is what it teaches.
    async fn rehearse(&self) -> Result<Cache, Failure> {
        let mut policy = Policy::default();
        policy.force = Some(Level::Off);
        let (_, entity) = self.ask(Entity::new(Cache::default(), policy)).await?;
        Ok(entity.cache().clone())
    }

    /// Asks the other server something, and waits for the answer.
    async fn ask(&self, entity: Entity) -> Result<(Asked, Entity), Failure> {
        let (servers, strategy) = (self.servers, &self.strategy);
        let pair = servers.pair.clone();
        let measuring = Rc::new(Measuring::new(&strategy.name()));
        let (tls, manner) = (servers.tls(strategy)?, servers.manner(strategy));
        let transport = strategy.transport();
        let peer = pair.to.clone();
        let with = match servers.agreement(strategy, &pair, self.place)? {
            Some(agreement) => Federating::agreed(agreement, peer, self.place, tls, manner),
            None => Federating::between(peer, self.place, transport, tls, manner),
        };
        let listener = servers.listener.try_clone();
        let listener = listener.map_err(|error| Failure::Check(error.to_string()))?;
        let settings = settings(&pair.from, None)?;
        // What a real one does to reach ours is up to it; DNS names the place for STARTTLS.
        let taken = match servers.theirs {
            Theirs::Embedded => transport,
            Theirs::Real(_) => Transport::StartTls,
        };
        let asking = Asking::start(settings, with, entity, &measuring, (listener, taken))?;
        asking.ask(question(&pair)?);
        measuring.wait(servers.options.target.patience()).await;
        let asked = measuring.finish();
        Ok((asked, asking.close()))
    }
}

/// How the other server knows who we are.
fn proof(strategy: &Strategy) -> &'static str {
    match strategy {
        Strategy::Zero { .. } => "by agreement",
        _ if by_dialback(strategy) => "dialback",
        _ => "EXTERNAL",
    }
}

fn by_dialback(strategy: &Strategy) -> bool {
    strategy.proof().is_some_and(Proof::is_dialback)
}

fn bound(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address)
        .map_err(|error| Failure::Unreachable(format!("cannot listen on {address}: {error}")))
}

fn name(text: &str) -> Result<Domain, Failure> {
    Domain::new(text).ok_or_else(|| Failure::Check(format!("'{text}' is no domain")))
}

fn made(domain: &Domain) -> Result<Certificates, Failure> {
    Certificates::new(core::slice::from_ref(domain))
        .map_err(|error| Failure::Check(error.to_string()))
}

fn tls(identity: &Identity, roots: RootCertStore) -> Result<PeerTls, Failure> {
    PeerTls::new(identity, Versions::Both, roots).map_err(|error| Failure::Usage(error.to_string()))
}

/// A certificate and its key.
fn given(cert: &Path, key: &Path) -> Result<Identity, Failure> {
    let unusable = |file: &Path, error: &dyn std::fmt::Display| {
        Failure::Usage(format!("{}: {error}", file.display()))
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(cert)
        .map_err(|error| unusable(cert, &error))?
        .collect();
    let chain = chain.map_err(|error| unusable(cert, &error))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
    Ok((chain, key))
}

async fn relayed(place: SocketAddr, impairment: relay::Impairment) -> Result<SocketAddr, Failure> {
    if impairment.is_none() {
        return Ok(place);
    }
    relay::start(place, impairment)
        .await
        .map_err(|error| Failure::Check(error.to_string()))
}

/// A server without users.
fn settings(domain: &Domain, federating: Option<Federating>) -> Result<Settings, Failure> {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let tls = made(domain)?.server(Versions::Both, false, false);
    Ok(Settings {
        domains: vec![domain.clone()],
        accounts: Accounts::new(),
        tls: tls.map_err(|error| Failure::Check(error.to_string()))?,
        pipelining: true,
        sasl2: false,
        tokens: false,
        resume_for: Duration::ZERO,
        listen: loopback,
        listen_tls: loopback,
        federating,
        proxy: None,
    })
}

fn question(pair: &Pair) -> Result<Stanza, Failure> {
    let ping = Element::bare("iq", ns::SERVER)
        .with_attr("type", "get")
        .with_attr("id", QUESTION)
        .with_attr("from", pair.from.as_str())
        .with_attr("to", pair.to.as_str())
        .with_child(Element::bare("ping", ns::PING));
    Stanza::from_element(&ping).map_err(|error| Failure::Check(error.to_string()))
}
