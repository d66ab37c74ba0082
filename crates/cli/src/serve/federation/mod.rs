//! This server and others: what goes abroad, what comes in from there, and the connections it takes.

mod admission;
mod agreed;
mod asking;
mod dial;
mod links;
mod local;
mod socketed;
mod wire;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use onetrip_core::quickstart::{Cache, Level, Policy, Transport};
use onetrip_core::stream::{Domain, Entropy as _, Secret, Stanza};
use onetrip_core::zero_handshake::Agreement;
use onetrip_core::{DialbackConfig, Entity, PeersConfig};
use onetrip_tls::rustls::rustls::RootCertStore;
use onetrip_tls::rustls::{Identity, PeerTls, Versions};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::agreements;
use super::hub::Hub;
use crate::Failure;
use crate::environment::SystemEntropy;
use crate::meter::Measuring;
use crate::options::Serve;
use admission::{Admission, Most};
use agreed::Agreed;
use links::Links;

pub(crate) use asking::Asking;
pub(super) use local::rescoped;

/// How connections with other servers are made: what is left to them, and what a comparison decides.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Manner {
    /// How far they run ahead, if that is not left to what is learnt.
    pub(crate) level: Option<Level>,
    /// Whether each direction takes a connection of its own (RFC 6120 §4.5).
    pub(crate) one_way: bool,
    /// Whether domains are proved by dialback alone.
    pub(crate) by_dialback: bool,
    /// What TCP's own round trip takes on a link that a relay only plays.
    pub(crate) tcp: Duration,
    /// How long a negotiation may take, if that is not left to them.
    pub(crate) patience: Option<Duration>,
}

/// How long a connection stays without a stanza, where nothing else is said.
const IDLE: Duration = Duration::from_secs(600);

/// With whom to federate, and how.
pub(crate) struct Federating {
    /// Where other servers may connect.
    listen: [(Option<SocketAddr>, Transport); 2],
    /// Where other servers are.
    peers: BTreeMap<Domain, Place>,
    /// What was agreed with others, so that nothing has to be negotiated (XEP-0361).
    agreements: Vec<Agreement>,
    /// Where those may connect.
    link: Option<SocketAddr>,
    tls: PeerTls,
    manner: Manner,
    most: Most,
    /// How long a connection stays without a stanza.
    idle: Duration,
    /// Whether further domains are asked for on connections that others have opened.
    reverse: bool,
}

/// Where another server listens.
struct Place {
    /// Host and port.
    at: String,
    transport: Transport,
}

/// Where other servers may connect: those that negotiate, and those that do not.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Places {
    pub(crate) s2s: Option<SocketAddr>,
    pub(crate) s2s_direct_tls: Option<SocketAddr>,
    pub(crate) link: Option<SocketAddr>,
}

impl Federating {
    /// Shows `identity` in both directions and trusts `roots`; whoever they do not vouch for has to be dialed back. `None`
    /// if there is nobody to federate with.
    pub(super) fn new(
        options: &Serve,
        domains: &[Domain],
        identity: &Identity,
        roots: RootCertStore,
    ) -> Result<Option<Self>, Failure> {
        let peers = peers(options)?;
        let agreements = agreements::read(&options.agreement, domains)?;
        let negotiates = options.s2s.is_some() || options.s2s_tls.is_some() || !peers.is_empty();
        if !negotiates && agreements.is_empty() {
            return Ok(None);
        }
        let tls = PeerTls::new(identity, Versions::Both, roots)
            .map_err(|error| Failure::Usage(error.to_string()))?;
        Ok(Some(Self {
            listen: [
                (options.s2s, Transport::StartTls),
                (options.s2s_tls, Transport::DirectTls),
            ],
            peers,
            agreements,
            link: options.link,
            tls,
            manner: Manner::default(),
            most: Most {
                total: options.s2s_limit,
                from_one_address: options.s2s_limit_per_address,
            },
            idle: options.s2s_idle,
            reverse: options.s2s_reverse,
        }))
    }
}

impl Federating {
    /// With one other server, in a manner of the caller's.
    pub(crate) fn between(
        peer: Domain,
        at: SocketAddr,
        transport: Transport,
        tls: PeerTls,
        manner: Manner,
    ) -> Self {
        let place = Place {
            at: at.to_string(),
            transport,
        };
        Self {
            listen: [(None, Transport::StartTls), (None, Transport::DirectTls)],
            peers: BTreeMap::from([(peer, place)]),
            agreements: Vec::new(),
            link: None,
            tls,
            manner,
            most: Most {
                total: usize::MAX,
                from_one_address: usize::MAX,
            },
            idle: IDLE,
            reverse: false,
        }
    }

    /// The same with an agreement.
    pub(crate) fn agreed(
        agreement: Agreement,
        peer: Domain,
        at: SocketAddr,
        tls: PeerTls,
        manner: Manner,
    ) -> Self {
        let mut this = Self::between(peer, at, Transport::DirectTls, tls, manner);
        this.agreements.push(agreement);
        this
    }

    /// Listens for links, on a port of its own.
    pub(crate) fn listening_for_links(mut self) -> Self {
        self.link = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        self
    }

    /// Listens as well, on a port of its own.
    pub(crate) fn listening(mut self, transport: Transport) -> Self {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        for (address, listens) in &mut self.listen {
            *address = (*listens == transport).then_some(loopback);
        }
        self
    }
}

fn peers(options: &Serve) -> Result<BTreeMap<Domain, Place>, Failure> {
    let mut peers = BTreeMap::new();
    for (named, transport) in [
        (&options.peer, Transport::StartTls),
        (&options.peer_tls, Transport::DirectTls),
    ] {
        for (name, at) in named {
            let domain = Domain::new(name)
                .ok_or_else(|| Failure::Usage(format!("'{name}' is no domain")))?;
            let at = at.clone();
            if peers.insert(domain, Place { at, transport }).is_some() {
                return Err(Failure::Usage(format!("'{name}' is in two places")));
            }
        }
    }
    Ok(peers)
}

/// What all connections with other servers share.
///
/// They run on one thread, so that what one of them needs of another (who waits for a key, who can take a stanza) is
/// looked up and done on the spot.
pub(super) struct Federation {
    hub: Arc<Hub>,
    with: Federating,
    dialback: DialbackConfig,
    admission: Rc<Admission>,
    links: RefCell<Links>,
    /// Who wants to know what it takes.
    measuring: Option<Rc<Measuring>>,
}

/// Begins to federate: sends what comes out of `abroad` and listens, if it is to. Returns where.
pub(super) async fn start(
    hub: Arc<Hub>,
    mut with: Federating,
    mut abroad: mpsc::Receiver<Stanza>,
) -> Result<Places, Failure> {
    let mut places = [None; 2];
    let mut listeners = Vec::new();
    for (place, (address, transport)) in places.iter_mut().zip(with.listen) {
        if let Some(address) = address {
            let listener = super::listen(address).await?;
            *place = Some(super::address_of(&listener)?);
            listeners.push((listener, transport));
        }
    }
    let agreements = core::mem::take(&mut with.agreements);
    let mut link = None;
    let mut agreed_listener = None;
    if let Some(address) = with.link {
        let listener = super::listen(address).await?;
        link = Some(super::address_of(&listener)?);
        agreed_listener = Some(listener);
    }
    let entity = Entity::new(Cache::default(), with.manner.policy());
    let federation = Federation::new(hub, with, entity, None);
    let agreed = Rc::new(Agreed::beside(&federation, agreements));
    tokio::task::spawn_local(Rc::clone(&agreed).keep_time());
    if let Some(listener) = agreed_listener {
        tokio::task::spawn_local(Rc::clone(&agreed).accept(listener));
    }
    for (listener, transport) in listeners {
        tokio::task::spawn_local(accept(Rc::clone(&federation), listener, transport));
    }
    tokio::task::spawn_local(async move {
        while let Some(stanza) = abroad.recv().await {
            if !agreed.route(&stanza) {
                federation.route(stanza);
            }
        }
    });
    let [s2s, s2s_direct_tls] = places;
    Ok(Places {
        s2s,
        s2s_direct_tls,
        link,
    })
}

impl Federation {
    pub(super) fn new(
        hub: Arc<Hub>,
        with: Federating,
        entity: Entity,
        measuring: Option<Rc<Measuring>>,
    ) -> Rc<Self> {
        let mut secret = vec![0_u8; 32];
        SystemEntropy::new().fill(&mut secret);
        let mut config = PeersConfig::default();
        config.reverse = with.reverse;
        let mut links = Links::new(config, entity);
        for (domain, place) in &with.peers {
            links.peers.locate(domain.clone(), place.at.as_str());
        }
        Rc::new(Self {
            hub,
            admission: Admission::new(with.most),
            with,
            dialback: DialbackConfig::new(Secret::new(secret)),
            links: RefCell::new(links),
            measuring,
        })
    }
}

impl Manner {
    /// What this leaves to learning.
    pub(crate) fn policy(&self) -> Policy {
        let mut policy = Policy::default();
        policy.force = self.level;
        policy
    }
}

async fn accept(federation: Rc<Federation>, listener: TcpListener, transport: Transport) {
    loop {
        match listener.accept().await {
            Ok((socket, from)) => {
                let federation = Rc::clone(&federation);
                federation.measure(|measuring| measuring.meter().accepted());
                match federation.admission.admit(from.ip()) {
                    Ok(admitted) => tokio::task::spawn_local(async move {
                        wire::take(federation, socket, transport).await;
                        drop(admitted);
                    }),
                    Err(refusal) => tokio::task::spawn_local(wire::refuse(
                        federation, socket, transport, refusal,
                    )),
                };
            }
            // Out of file descriptors, most likely: others will be closed.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
