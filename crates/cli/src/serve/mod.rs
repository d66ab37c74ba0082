//! The embedded server: a few users, in memory, on the receiving machines.

mod hub;
mod queries;
mod session;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use onetrip_core::quickstart::Transport;
use onetrip_core::stream::{Domain, Entropy as _, Env, Jid};
use onetrip_simulator::accounts::Accounts;
use onetrip_simulator::certificates::Certificates;
use onetrip_tls::rustls::rustls::ServerConfig as TlsConfig;
use onetrip_tls::rustls::rustls::pki_types::pem::PemObject as _;
use onetrip_tls::rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use onetrip_tls::rustls::{Versions, server_config};
use tokio::net::TcpListener;

use crate::Failure;
use crate::environment::{Clock, SystemEntropy, password};
use crate::options::{OutputOptions, Serve};
use hub::Hub;
use session::Session;

/// What the server serves.
pub(crate) struct Settings {
    pub(crate) domains: Vec<Domain>,
    pub(crate) accounts: Accounts,
    pub(crate) tls: Arc<TlsConfig>,
    pub(crate) pipelining: bool,
    /// Whether sessions are resumed by tokens.
    pub(crate) tokens: bool,
    /// How long a session waits for its client.
    pub(crate) resume_for: Duration,
    pub(crate) listen: SocketAddr,
    pub(crate) listen_tls: SocketAddr,
}

/// Where a server that has started is found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) starttls: SocketAddr,
    pub(crate) direct_tls: SocketAddr,
}

/// Begins to serve.
pub(crate) async fn start(settings: Settings) -> Result<Addresses, Failure> {
    let listen = |address: SocketAddr| async move {
        TcpListener::bind(address)
            .await
            .map_err(|error| Failure::Unreachable(format!("cannot listen on {address}: {error}")))
    };
    let plain = listen(settings.listen).await?;
    let direct = listen(settings.listen_tls).await?;
    let local = |listener: &TcpListener| {
        listener
            .local_addr()
            .map_err(|error| Failure::Check(error.to_string()))
    };
    let addresses = Addresses {
        starttls: local(&plain)?,
        direct_tls: local(&direct)?,
    };
    let mut decoy = vec![0_u8; 32];
    SystemEntropy::new().fill(&mut decoy);
    let hub = Arc::new(Hub::new(settings, decoy));
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
    let (tls, authority) = tls(options, &domains)?;
    let settings = Settings {
        domains,
        accounts,
        tls,
        pipelining: !options.no_pipelining,
        tokens: !options.no_tokens,
        resume_for: options.resume_for,
        listen: options.listen,
        listen_tls: options.listen_tls,
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
        "domains": names,
        "accounts": accounts,
        "ca_pem": authority,
    });
    anstream::println!("{line}");
    let _ = tokio::signal::ctrl_c().await;
    Ok(())
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

/// The certificates given, or fresh ones and the authority to trust.
fn tls(options: &Serve, domains: &[Domain]) -> Result<(Arc<TlsConfig>, Option<String>), Failure> {
    let unusable = |error: &dyn std::fmt::Display| Failure::Usage(error.to_string());
    if let (Some(cert), Some(key)) = (&options.cert, &options.key) {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(cert)
            .map_err(|error| unusable(&error))?
            .collect();
        let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(&error))?;
        let chain = chain.map_err(|error| unusable(&error))?;
        let config = server_config((chain, key), Versions::Both, None, false)
            .map_err(|error| unusable(&error))?;
        return Ok((config, None));
    }
    let made = Certificates::new(domains).map_err(|error| unusable(&error))?;
    if let Some(file) = &options.ca_out {
        std::fs::write(file, made.authority_pem())
            .map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
    }
    let config = made
        .server(Versions::Both, false, false)
        .map_err(|error| unusable(&error))?;
    Ok((config, Some(made.authority_pem().to_owned())))
}
