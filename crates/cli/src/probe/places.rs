//! Which places of a domain to look at: what DNS says, or what was given.

use std::net::SocketAddr;

use onetrip_core::quickstart::Transport;
use onetrip_core::stream::Content;

use crate::Failure;
use crate::dns::{Dns, WAYS};
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

/// What was looked for and not found.
pub(super) type Missing = (Content, Transport, String);

/// The places of a domain that the options leave, and those that it has not.
pub(super) async fn places(options: &Probe) -> Result<(Vec<Place>, Vec<Missing>), Failure> {
    if let Some(place) = &options.connect {
        return given(options, place)
            .await
            .map(|place| (vec![place], Vec::new()));
    }
    let dns = Dns::new(options.dns, options.timeout)?;
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for (content, transport) in WAYS {
        if !wanted(options, content, transport) {
            continue;
        }
        match dns.find(&options.domain, content, transport).await {
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
