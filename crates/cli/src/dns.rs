//! Where a domain's servers are, by SRV records (RFC 6120 §3.2, XEP-0368 §3).

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

/// The four ways to a domain's servers.
pub(crate) const WAYS: [(Content, Transport); 4] = [
    (Content::Client, Transport::StartTls),
    (Content::Client, Transport::DirectTls),
    (Content::Server, Transport::StartTls),
    (Content::Server, Transport::DirectTls),
];

/// The service of a way, and the port where it has no records; direct TLS has none (XEP-0368 §3).
fn service(content: Content, transport: Transport) -> (&'static str, Option<u16>) {
    match (content, transport) {
        (Content::Server, Transport::StartTls) => ("_xmpp-server", Some(5269)),
        (Content::Server, Transport::DirectTls) => ("_xmpps-server", None),
        (_, Transport::StartTls) => ("_xmpp-client", Some(5222)),
        (_, Transport::DirectTls) => ("_xmpps-client", None),
    }
}

/// Whom to ask.
pub(crate) struct Dns(TokioResolver);

impl Dns {
    /// The system's servers, or the one given; each question is given up after `patience`, at most 5 s.
    pub(crate) fn new(server: Option<SocketAddr>, patience: Duration) -> Result<Self, Failure> {
        let failed =
            |error: &dyn std::fmt::Display| Failure::Unreachable(format!("no DNS: {error}"));
        let mut builder = match server {
            Some(server) => {
                let mut config = ResolverConfig::new();
                config.add_name_server(NameServerConfig::new(server, Protocol::Udp));
                TokioResolver::builder_with_config(config, TokioConnectionProvider::default())
            }
            None => TokioResolver::builder_tokio().map_err(|error| failed(&error))?,
        };
        builder.options_mut().timeout = patience.min(Duration::from_secs(5));
        Ok(Self(builder.build()))
    }

    /// The first place of a service that has an address, by priority; by weight the heaviest. With it, how it was found;
    /// the error says what is missing.
    pub(crate) async fn find(
        &self,
        domain: &Domain,
        content: Content,
        transport: Transport,
    ) -> Result<(SocketAddr, String), String> {
        let (service, port) = service(content, transport);
        let name = format!("{service}._tcp.{domain}.");
        let mut records: Vec<SRV> = match self.0.srv_lookup(name.as_str()).await {
            Ok(found) => found.iter().cloned().collect(),
            Err(_) => Vec::new(),
        };
        records.sort_by_key(|record| (record.priority(), u16::MAX - record.weight()));
        if records.iter().any(|record| record.target().is_root()) {
            return Err(format!("{service} says that there is none"));
        }
        for record in &records {
            let target = record.target().to_string();
            if let Some(address) = self.address(&target, record.port()).await {
                let priority = record.priority();
                return Ok((
                    address,
                    format!("SRV {service}, {target} priority {priority}"),
                ));
            }
        }
        match (port, records.is_empty()) {
            (Some(port), true) => self
                .address(&format!("{domain}."), port)
                .await
                .map(|address| (address, format!("no {service} record, usual port")))
                .ok_or_else(|| format!("no {service} record, and no address")),
            (None, true) => Err(format!("no {service} record")),
            _ => Err(format!("no address for what {service} names")),
        }
    }

    async fn address(&self, host: &str, port: u16) -> Option<SocketAddr> {
        let found = self.0.lookup_ip(host).await.ok()?;
        found.iter().next().map(|ip| SocketAddr::new(ip, port))
    }
}
