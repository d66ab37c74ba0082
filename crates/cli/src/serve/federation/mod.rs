//! This server and others: what goes abroad, what comes in from there, and the connections it takes.

mod links;
mod local;
mod wire;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use onetrip_core::DialbackConfig;
use onetrip_core::stream::{Domain, Entropy as _, Secret, Stanza};
use onetrip_tls::rustls::rustls::RootCertStore;
use onetrip_tls::rustls::{Identity, PeerTls, Versions};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::hub::Hub;
use crate::Failure;
use crate::environment::SystemEntropy;
use links::Links;

pub(super) use local::rescoped;

/// With whom to federate, and how.
pub(crate) struct Federating {
    /// Where other servers may connect.
    pub(crate) listen: Option<SocketAddr>,
    /// Where other servers are.
    pub(crate) peers: BTreeMap<Domain, String>,
    tls: PeerTls,
}

impl Federating {
    /// Shows `identity` in both directions and trusts `roots`; whoever they do not vouch for has to be dialed back.
    pub(super) fn new(
        listen: Option<SocketAddr>,
        peers: &[(String, String)],
        identity: &Identity,
        roots: RootCertStore,
    ) -> Result<Self, Failure> {
        let tls = PeerTls::new(identity, Versions::Both, roots)
            .map_err(|error| Failure::Usage(error.to_string()))?;
        let domain = |(name, place): &(String, String)| {
            let domain = Domain::new(name)
                .ok_or_else(|| Failure::Usage(format!("'{name}' is no domain")))?;
            Ok((domain, place.clone()))
        };
        Ok(Self {
            listen,
            peers: peers.iter().map(domain).collect::<Result<_, Failure>>()?,
            tls,
        })
    }
}

/// What all connections with other servers share.
///
/// They run on one thread, so that what one of them needs of another (who waits for a key, who can take a stanza) is
/// looked up and done on the spot.
pub(super) struct Federation {
    hub: Arc<Hub>,
    with: Federating,
    dialback: DialbackConfig,
    links: RefCell<Links>,
}

/// Begins to federate: sends what comes out of `abroad` and listens, if it is to. Returns where.
pub(super) async fn start(
    hub: Arc<Hub>,
    with: Federating,
    mut abroad: mpsc::Receiver<Stanza>,
) -> Result<Option<SocketAddr>, Failure> {
    let listener = match with.listen {
        Some(address) => Some(super::listen(address).await?),
        None => None,
    };
    let place = listener.as_ref().map(super::address_of).transpose()?;
    let mut secret = vec![0_u8; 32];
    SystemEntropy::new().fill(&mut secret);
    let federation = Rc::new(Federation {
        hub,
        with,
        dialback: DialbackConfig::new(Secret::new(secret)),
        links: RefCell::new(Links::new()),
    });
    if let Some(listener) = listener {
        tokio::task::spawn_local(accept(Rc::clone(&federation), listener));
    }
    tokio::task::spawn_local(async move {
        while let Some(stanza) = abroad.recv().await {
            federation.route(stanza);
        }
    });
    Ok(place)
}

async fn accept(federation: Rc<Federation>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => {
                tokio::task::spawn_local(wire::take(Rc::clone(&federation), socket));
            }
            // Out of file descriptors, most likely: others will be closed.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
