//! Where a domain's servers are: SRV records (RFC 6120 §3.2, XEP-0368), or what was given.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::name_server::TokioConnectionProvider;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::xfer::Protocol;
use onetrip_core::quickstart::Transport;
use onetrip_core::stream::{Content, Domain};

use crate::Failure;
use crate::options::Probe;

/// One way to reach a server.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) content: Content,
    pub(super) transport: Transport,
    pub(super) address: SocketAddr,
    /// How it was found.
    pub(super) found: String,
}

/// The four ways, with their services and the ports where there are no records; direct TLS has none (XEP-0368 §3).
const WAYS: [(Content, Transport, &str, Option<u16>); 4] = [
    (
        Content::Client,
        Transport::StartTls,
        "_xmpp-client",
        Some(5222),
    ),
    (Content::Client, Transport::DirectTls, "_xmpps-client", None),
    (
        Content::Server,
        Transport::StartTls,
        "_xmpp-server",
        Some(5269),
    ),
    (Content::Server, Transport::DirectTls, "_xmpps-server", None),
];

/// What was looked for and not found.
pub(super) type Missing = (Content, Transport, String);

/// The places of a domain that the options leave, and those that it has not.
pub(super) async fn places(options: &Probe) -> Result<(Vec<Place>, Vec<Missing>), Failure> {
    if let Some(place) = &options.connect {
        return given(options, place)
            .await
            .map(|place| (vec![place], Vec::new()));
    }
    let resolver = resolver(options)?;
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for (content, transport, service, port) in WAYS {
        if !wanted(options, content, transport) {
            continue;
        }
        match look_up(&resolver, &options.domain, service, port).await {
            Ok((address, how)) => found.push(Place {
                content,
                transport,
                address,
                found: how,
            }),
            Err(reason) => missing.push((content, transport, reason)),
        }
    }
    Ok((found, missing))
}

fn wanted(options: &Probe, content: Content, transport: Transport) -> bool {
    let kind = match content {
        Content::Server => !options.c2s,
        _ => !options.s2s,
    };
    let way = match transport {
        Transport::StartTls => !options.direct_tls,
        Transport::DirectTls => !options.starttls,
    };
    kind && way
}

async fn given(options: &Probe, place: &str) -> Result<Place, Failure> {
    let mut found = tokio::net::lookup_host(place)
        .await
        .map_err(|error| Failure::Unreachable(format!("{place}: {error}")))?;
    let address = found
        .next()
        .ok_or_else(|| Failure::Unreachable(format!("{place}: no address")))?;
    Ok(Place {
        content: if options.s2s {
            Content::Server
        } else {
            Content::Client
        },
        transport: if options.direct_tls {
            Transport::DirectTls
        } else {
            Transport::StartTls
        },
        address,
        found: "as given".to_owned(),
    })
}

fn resolver(options: &Probe) -> Result<TokioResolver, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::Unreachable(format!("no DNS: {error}"));
    let mut builder = match options.dns {
        Some(server) => {
            let mut config = ResolverConfig::new();
            config.add_name_server(NameServerConfig::new(server, Protocol::Udp));
            TokioResolver::builder_with_config(config, TokioConnectionProvider::default())
        }
        None => TokioResolver::builder_tokio().map_err(|error| failed(&error))?,
    };
    builder.options_mut().timeout = options.timeout.min(Duration::from_secs(5));
    Ok(builder.build())
}

/// The first place of a service that has an address, by priority; by weight the heaviest.
async fn look_up(
    resolver: &TokioResolver,
    domain: &Domain,
    service: &str,
    port: Option<u16>,
) -> Result<(SocketAddr, String), String> {
    let name = format!("{service}._tcp.{domain}.");
    let mut records: Vec<SRV> = match resolver.srv_lookup(name.as_str()).await {
        Ok(found) => found.iter().cloned().collect(),
        Err(_) => Vec::new(),
    };
    records.sort_by_key(|record| (record.priority(), u16::MAX - record.weight()));
    if records.iter().any(|record| record.target().is_root()) {
        return Err(format!("{service} says that there is none"));
    }
    for record in &records {
        let target = record.target().to_string();
        if let Some(address) = address(resolver, &target, record.port()).await {
            let priority = record.priority();
            return Ok((
                address,
                format!("SRV {service}, {target} priority {priority}"),
            ));
        }
    }
    match (port, records.is_empty()) {
        (Some(port), true) => address(resolver, &format!("{domain}."), port)
            .await
            .map(|address| (address, format!("no {service} record, usual port")))
            .ok_or_else(|| format!("no {service} record, and no address")),
        (None, true) => Err(format!("no {service} record")),
        _ => Err(format!("no address for what {service} names")),
    }
}

async fn address(resolver: &TokioResolver, host: &str, port: u16) -> Option<SocketAddr> {
    let found = resolver.lookup_ip(host).await.ok()?;
    found.iter().next().map(|ip| SocketAddr::new(ip, port))
}
