//! `onetrip e2e`: a stream between two clients, or a bare bytestream, over real servers and sockets.

mod bare;
pub(crate) mod client;
pub(crate) mod driver;
mod wires;

use minidom::Element;
use onetrip_core::e2e::Config;
use onetrip_core::jingle::s5b::{Candidate, CandidateKind};
use onetrip_core::jingle::{Dialect as Text, session};
use onetrip_core::stream::{Build as _, Domain, Jid, ns};
use onetrip_simulator::certificates::Certificates;
use onetrip_tls::rustls::{ClientPairTls, Versions};
use tokio::net::TcpListener;

use crate::Failure;
use crate::compare::target::{impaired, remote};
use crate::options::{Dialect, E2e, Offer, OutputOptions};
use bare::Bare;
use client::Client;
use driver::{Driver, Job};

/// `onetrip e2e`.
pub(crate) async fn run(options: &E2e, output: &OutputOptions) -> Result<(), Failure> {
    let account = options.target.jid.as_ref();
    let account = account.ok_or_else(|| Failure::Usage("log in as whom?".to_owned()))?;
    let target = impaired(remote(&options.target, account).await?, &options.target).await?;
    let mut client = Client::connect(&target).await?;
    let line = serde_json::json!({"ready": true, "jid": client.jid.to_string()});
    anstream::println!("{line}");
    let check = |error: &dyn std::fmt::Display| Failure::Check(error.to_string());
    if let Some(length) = options.bytes {
        let passed = pass_bytes(options, &mut client, length).await;
        client.close().await?;
        return passed;
    }
    let tls = identity(client.jid.domain()).map_err(|error| check(&error))?;
    let job = Job {
        config: config(options, &tls),
        tls,
        to: options.to.clone(),
        stanzas: options.stanzas,
    };
    let listener = TcpListener::bind((options.host, 0))
        .await
        .map_err(|error| check(&error))?;
    let candidates = candidates(options, &mut client, &listener).await?;
    let talk = Driver::run(job, &mut client, listener, candidates).await;
    client.close().await?;
    let talk = talk?;
    talk.print(output.format);
    if talk.is_whole() {
        Ok(())
    } else {
        Err(Failure::Check("not all that was sent has come".to_owned()))
    }
}

/// So many bytes each way, over a bare bytestream.
async fn pass_bytes(options: &E2e, client: &mut Client, length: usize) -> Result<(), Failure> {
    let listener = TcpListener::bind((options.host, 0))
        .await
        .map_err(|error| Failure::Check(error.to_string()))?;
    let candidates = candidates(options, client, &listener).await?;
    let bare = Bare {
        client,
        length,
        window: options.window,
    };
    let passed = match &options.to {
        None => bare.wait().await?,
        Some(peer) if options.in_band => bare.open_in_band(peer.clone()).await?,
        Some(peer) => {
            bare.open_socks5(peer.clone(), &listener, &candidates)
                .await?
        }
    };
    let line = serde_json::json!({
        "transport": passed.transport,
        "bytes": length,
        "equal": passed.equal,
        "ms": (passed.time.as_secs_f64() * 1e4).round() / 10.0,
    });
    anstream::println!("{line}");
    if passed.equal {
        Ok(())
    } else {
        Err(Failure::Check("other bytes than were sent".to_owned()))
    }
}

/// A certificate of this end's own: nobody vouches for it but its fingerprint.
pub(crate) fn identity(domain: &Domain) -> Result<ClientPairTls, String> {
    let certificates =
        Certificates::new(std::slice::from_ref(domain)).map_err(|error| error.to_string())?;
    let identity = certificates.server_identity();
    ClientPairTls::new(&identity, Versions::Both).map_err(|error| error.to_string())
}

fn config(options: &E2e, tls: &ClientPairTls) -> Config {
    let certificate = (!options.insecure).then(|| tls.certificate().to_vec());
    let mut session = session::Config::new(certificate);
    session.dialect = match options.dialect {
        Dialect::Modern => Text::Modern,
        Dialect::Published => Text::Published2009,
        Dialect::Interim => Text::Interim2009,
    };
    session.s5b = !options.in_band;
    session.security.allow_insecure = options.insecure;
    session.security.allow_sha1_fingerprint = options.dialect == Dialect::Interim;
    session.addresses.allow_loopback = options.allow_loopback;
    let mut config = Config::new(session);
    config.ibb.window = options.window;
    config
}

/// Where this end can be reached.
async fn candidates(
    options: &E2e,
    client: &mut Client,
    listener: &TcpListener,
) -> Result<Vec<Candidate>, Failure> {
    let mut candidates = Vec::new();
    for offer in &options.offer {
        candidates.push(match offer {
            Offer::Direct => {
                let address = listener
                    .local_addr()
                    .map_err(|error| Failure::Check(error.to_string()))?;
                let (kind, jid) = (CandidateKind::Direct, client.jid.clone());
                let host = address.ip().to_string();
                Candidate::new(
                    format!("d{}", address.port()),
                    kind,
                    jid,
                    host,
                    address.port(),
                    0,
                )
            }
            Offer::Proxy => {
                let proxy = options.proxy.as_ref();
                let proxy = proxy.ok_or_else(|| Failure::Usage("which proxy?".to_owned()))?;
                let (host, port) = ask_proxy(client, proxy).await?;
                let (kind, cid) = (
                    CandidateKind::Proxy,
                    format!("p{}", client.jid.local().unwrap_or_default()),
                );
                Candidate::new(cid, kind, proxy.clone(), host, port, 0)
            }
        });
    }
    Ok(candidates)
}

/// Where a proxy is (XEP-0065 §4).
async fn ask_proxy(client: &mut Client, proxy: &Jid) -> Result<(String, u16), Failure> {
    let ask = Element::bare("iq", ns::CLIENT)
        .with_attr("type", "get")
        .with_attr("id", "proxy")
        .with_attr("to", proxy.to_string())
        .with_child(Element::bare("query", ns::BYTESTREAMS));
    client.send(&ask);
    while let Some(stanza) = client.inbox.recv().await {
        if stanza.head().id.as_deref() != Some("proxy") {
            continue;
        }
        let stanza = stanza.element();
        let streamhost = stanza
            .get_child("query", ns::BYTESTREAMS)
            .and_then(|query| query.get_child("streamhost", ns::BYTESTREAMS));
        let host = streamhost.and_then(|host| host.attr("host"));
        let port = streamhost.and_then(|host| host.attr("port")?.parse().ok());
        if let (Some(host), Some(port)) = (host, port) {
            return Ok((host.to_owned(), port));
        }
        break;
    }
    Err(Failure::Check(format!("{proxy} does not say where it is")))
}
