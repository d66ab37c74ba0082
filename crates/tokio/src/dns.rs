//! Where a domain's servers are, by its SRV records: the feature `dns`.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::lookup::SrvLookup;
use hickory_resolver::name_server::TokioConnectionProvider;
use hickory_resolver::proto::xfer::Protocol;
use hickory_resolver::{ResolveError, TokioResolver};
use onetrip_core::quickstart::{Srv, Transport};
use onetrip_core::stream::Domain;
use onetrip_tls::rustls::SystemEntropy;

use crate::{Find, Found};

/// How long it holds that there are no records.
const ABSENCE: Duration = Duration::from_secs(300);

/// Asks the servers that the system asks: for [`Client::found_by`](crate::Client::found_by).
///
/// ```no_run
/// use onetrip_tokio::{Client, Settings, dns};
///
/// let settings = Settings::new("juliet@capulet.lit".parse()?, "r0m30myr0m30")?;
/// let client = Client::tcp(settings).found_by(dns::system()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When the system's configuration cannot be read.
pub fn system() -> io::Result<impl Find> {
    let builder = TokioResolver::builder_tokio().map_err(io::Error::other)?;
    Ok(find(builder.build()))
}

/// Asks this server, over UDP.
#[must_use]
pub fn at(server: SocketAddr) -> impl Find {
    let mut config = ResolverConfig::new();
    config.add_name_server(NameServerConfig::new(server, Protocol::Udp));
    let provider = TokioConnectionProvider::default();
    find(TokioResolver::builder_with_config(config, provider).build())
}

fn find(resolver: TokioResolver) -> impl Find {
    move |domain| {
        let resolver = resolver.clone();
        Box::pin(async move { look_up(&resolver, &domain).await })
    }
}

/// Both services, asked for at once (XEP-0368 §3).
async fn look_up(resolver: &TokioResolver, domain: &Domain) -> io::Result<Found> {
    let name = |service| format!("{service}._tcp.{domain}.");
    let (plain, direct) = tokio::join!(
        resolver.srv_lookup(name("_xmpp-client")),
        resolver.srv_lookup(name("_xmpps-client")),
    );
    let (mut records, mut holds) = (Vec::new(), Duration::MAX);
    for (answer, transport) in [(plain, Transport::StartTls), (direct, Transport::DirectTls)] {
        let answer = read(answer)?;
        let until = answer.as_ref().map(|found| found.as_lookup().valid_until());
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        holds = holds.min(left.unwrap_or(ABSENCE));
        records.extend(answer.iter().flat_map(SrvLookup::iter).map(|srv| Srv {
            priority: srv.priority(),
            weight: srv.weight(),
            host: srv.target().to_utf8(),
            port: srv.port(),
            transport,
        }));
    }
    let targets = Srv::targets(domain, records, &mut SystemEntropy::new());
    Ok(Found { targets, holds })
}

/// That there are no records is an answer.
fn read(answer: Result<SrvLookup, ResolveError>) -> io::Result<Option<SrvLookup>> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_no_records_found() => Ok(None),
        Err(error) => Err(io::Error::other(error)),
    }
}
