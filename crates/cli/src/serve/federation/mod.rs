//! This server and others: what goes abroad, what comes in from there, and the connections it takes.

mod admission;
mod links;
mod local;
mod wire;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use onetrip_core::quickstart::Transport;
use onetrip_core::stream::{Domain, Entropy as _, Secret, Stanza};
use onetrip_core::{DialbackConfig, PeersConfig};
use onetrip_tls::rustls::rustls::RootCertStore;
use onetrip_tls::rustls::{Identity, PeerTls, Versions};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::hub::Hub;
use crate::Failure;
use crate::environment::SystemEntropy;
use crate::options::Serve;
use admission::{Admission, Most};
use links::Links;

pub(super) use local::rescoped;

/// With whom to federate, and how.
pub(crate) struct Federating {
    /// Where other servers may connect.
    listen: [(Option<SocketAddr>, Transport); 2],
    /// Where other servers are.
    peers: BTreeMap<Domain, Place>,
    tls: PeerTls,
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

impl Federating {
    /// Shows `identity` in both directions and trusts `roots`; whoever they do not vouch for has to be dialed back. `None`
    /// if there is nobody to federate with.
    pub(super) fn new(
        options: &Serve,
        identity: &Identity,
        roots: RootCertStore,
    ) -> Result<Option<Self>, Failure> {
        let peers = peers(options)?;
        if options.s2s.is_none() && options.s2s_tls.is_none() && peers.is_empty() {
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
            tls,
            most: Most {
                total: options.s2s_limit,
                from_one_address: options.s2s_limit_per_address,
            },
            idle: options.s2s_idle,
            reverse: options.s2s_reverse,
        }))
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
}

/// Begins to federate: sends what comes out of `abroad` and listens, if it is to. Returns where, with STARTTLS and with
/// direct TLS.
pub(super) async fn start(
    hub: Arc<Hub>,
    with: Federating,
    mut abroad: mpsc::Receiver<Stanza>,
) -> Result<[Option<SocketAddr>; 2], Failure> {
    let mut places = [None; 2];
    let mut listeners = Vec::new();
    for (place, (address, transport)) in places.iter_mut().zip(with.listen) {
        if let Some(address) = address {
            let listener = super::listen(address).await?;
            *place = Some(super::address_of(&listener)?);
            listeners.push((listener, transport));
        }
    }
    let mut secret = vec![0_u8; 32];
    SystemEntropy::new().fill(&mut secret);
    let mut config = PeersConfig::default();
    config.reverse = with.reverse;
    let mut links = Links::new(config);
    for (domain, place) in &with.peers {
        links.peers.locate(domain.clone(), place.at.as_str());
    }
    let federation = Rc::new(Federation {
        hub,
        admission: Admission::new(with.most),
        with,
        dialback: DialbackConfig::new(Secret::new(secret)),
        links: RefCell::new(links),
    });
    for (listener, transport) in listeners {
        tokio::task::spawn_local(accept(Rc::clone(&federation), listener, transport));
    }
    tokio::task::spawn_local(async move {
        while let Some(stanza) = abroad.recv().await {
            federation.route(stanza);
        }
    });
    Ok(places)
}

async fn accept(federation: Rc<Federation>, listener: TcpListener, transport: Transport) {
    loop {
        match listener.accept().await {
            Ok((socket, from)) => {
                let federation = Rc::clone(&federation);
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
