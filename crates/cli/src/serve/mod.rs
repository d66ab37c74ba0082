//! The embedded server: a few users, in memory, on the receiving machines.

mod agreements;
mod certificates;
mod federation;
mod hub;
mod proxy;
mod queries;
mod session;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use onetrip_core::quickstart::Transport;
use onetrip_core::stream::{Domain, Entropy as _, Env, Jid};
use onetrip_simulator::accounts::Accounts;
use onetrip_tls::rustls::rustls::ServerConfig as TlsConfig;
use onetrip_tls::rustls::taking_early_data;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::Failure;
use crate::environment::{Clock, SystemEntropy, password};
use crate::options::{OutputOptions, Serve};
use federation::Places;
pub(crate) use federation::{Asking, Federating, Manner};
use hub::Hub;
use session::Session;

/// How many stanzas for other servers wait to be looked at.
const ABROAD: usize = 1024;

/// What the server serves.
pub(crate) struct Settings {
    pub(crate) domains: Vec<Domain>,
    pub(crate) accounts: Accounts,
    pub(crate) tls: Arc<TlsConfig>,
    pub(crate) pipelining: bool,
    /// Whether SASL2 is offered.
    pub(crate) sasl2: bool,
    /// Whether sessions are resumed by tokens, and logins done by them, as early data of TLS 1.3 too.
    pub(crate) tokens: bool,
    /// How long a session waits for its client.
    pub(crate) resume_for: Duration,
    pub(crate) listen: SocketAddr,
    pub(crate) listen_tls: SocketAddr,
    /// Other servers, if there are any.
    pub(crate) federating: Option<Federating>,
    /// Where to listen for the two ends of bytestreams, if there is a proxy.
    pub(crate) proxy: Option<SocketAddr>,
}

/// Where a server that has started is found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) starttls: SocketAddr,
    pub(crate) direct_tls: SocketAddr,
    /// For other servers.
    pub(crate) abroad: Places,
    pub(crate) proxy: Option<SocketAddr>,
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address)
        .await
        .map_err(|error| Failure::Unreachable(format!("cannot listen on {address}: {error}")))
}

fn address_of(listener: &TcpListener) -> Result<SocketAddr, Failure> {
    listener
        .local_addr()
        .map_err(|error| Failure::Check(error.to_string()))
}

/// Begins to serve.
pub(crate) async fn start(mut settings: Settings) -> Result<Addresses, Failure> {
    let plain = listen(settings.listen).await?;
    let direct = listen(settings.listen_tls).await?;
    let mut addresses = Addresses {
        starttls: address_of(&plain)?,
        direct_tls: address_of(&direct)?,
        abroad: Places::default(),
        proxy: None,
    };
    if settings.sasl2 && settings.tokens {
        settings.tls = taking_early_data(settings.tls);
    }
    let mut decoy = vec![0_u8; 32];
    SystemEntropy::new().fill(&mut decoy);
    let federating = settings.federating.take();
    let (abroad, letters) = mpsc::channel(ABROAD);
    let abroad = federating.is_some().then_some(abroad);
    let (asked, requests) = proxy::inbox();
    let at = settings.proxy;
    let component = at.and_then(|_| proxy::domain(&settings.domains));
    let component = component.map(|domain| (domain, asked));
    let hub = Arc::new(Hub::new(settings, decoy, abroad, component));
    if let Some(listen) = at {
        addresses.proxy = Some(proxy::start(Arc::clone(&hub), listen, requests).await?);
    }
    if let Some(with) = federating {
        addresses.abroad = federation::start(Arc::clone(&hub), with, letters).await?;
    }
    let expiring = Arc::clone(&hub);
    tokio::task::spawn_local(async move { expiring.expire().await });
    for (listener, transport) in [(plain, Transport::StartTls), (direct, Transport::DirectTls)] {
        let hub = Arc::clone(&hub);
        tokio::task::spawn_local(async move {
            loop {
                match listener.accept().await {
                    Ok((socket, _)) => {
                        let hub = Arc::clone(&hub);
                        tokio::task::spawn_local(async move {
                            Session::serve(hub, socket, transport).await
                        });
                    }
                    // Out of file descriptors, most likely: others will be closed.
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        });
    }
    Ok(addresses)
}

/// `onetrip serve`.
pub(crate) async fn run(options: &Serve, output: &OutputOptions) -> Result<(), Failure> {
    let domains = domains(&options.domain)?;
    let mut entropy = SystemEntropy::new();
    let mut accounts = Accounts::new();
    let mut shown = Vec::new();
    if options.user.len() < options.password_file.len() {
        return Err(Failure::Usage(
            "a --password-file without its --user".to_owned(),
        ));
    }
    for (index, jid) in options.user.iter().enumerate() {
        let file = options
            .password_file
            .get(index)
            .map(std::path::PathBuf::as_path);
        let given = password(file)?
            .ok_or_else(|| Failure::Usage(format!("no --password-file for {jid}")))?;
        add(&mut accounts, jid, &given, &mut entropy)?;
        shown.push((jid.clone(), None));
    }
    if options.user.is_empty() {
        for name in ["juliet", "romeo"] {
            let Some(jid) = domains
                .first()
                .and_then(|domain| format!("{name}@{domain}").parse::<Jid>().ok())
            else {
                continue;
            };
            let made = Env::new(Clock::new().now(), &mut entropy).random_id();
            add(&mut accounts, &jid, &made, &mut entropy)?;
            shown.push((jid, Some(made)));
        }
    }
    let presented = certificates::shown(options, &domains)?;
    let federating = Federating::new(options, &domains, &presented.identity, presented.servers)?;
    let settings = Settings {
        domains,
        accounts,
        tls: presented.tls,
        pipelining: !options.no_pipelining,
        sasl2: !options.no_sasl2,
        tokens: !options.no_tokens,
        resume_for: options.resume_for,
        listen: options.listen,
        listen_tls: options.listen_tls,
        federating,
        proxy: options.proxy,
    };
    let names: Vec<String> = settings.domains.iter().map(ToString::to_string).collect();
    let addresses = start(settings).await?;
    let accounts: Vec<serde_json::Value> = shown
        .into_iter()
        .map(|(jid, made)| {
            let secret = if output.show_secrets {
                made
            } else {
                made.map(|_| "[hidden]".to_owned())
            };
            serde_json::json!({"jid": jid.to_string(), "password": secret})
        })
        .collect();
    let line = serde_json::json!({
        "ready": true,
        "starttls": addresses.starttls.to_string(),
        "direct_tls": addresses.direct_tls.to_string(),
        "s2s": addresses.abroad.s2s.map(|address| address.to_string()),
        "s2s_direct_tls": addresses.abroad.s2s_direct_tls.map(|address| address.to_string()),
        "link": addresses.abroad.link.map(|address| address.to_string()),
        "proxy": addresses.proxy.map(|address| address.to_string()),
        "domains": names,
        "accounts": accounts,
        "ca_pem": presented.authority,
    });
    anstream::println!("{line}");
    core::future::pending().await
}

fn add(
    accounts: &mut Accounts,
    jid: &Jid,
    password: &str,
    entropy: &mut SystemEntropy,
) -> Result<(), Failure> {
    let added = accounts.add(jid, password, &mut Env::new(Clock::new().now(), entropy));
    if added {
        Ok(())
    } else {
        Err(Failure::Usage(format!(
            "the password of {jid} holds characters that no password may hold"
        )))
    }
}

fn domains(names: &[String]) -> Result<Vec<Domain>, Failure> {
    names
        .iter()
        .map(|name| {
            Domain::new(name).ok_or_else(|| Failure::Usage(format!("'{name}' is no domain")))
        })
        .collect()
}
