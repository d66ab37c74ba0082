//! Whom the strategies are tried on: the embedded server, or a real one, with or without a relay in between.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use onetrip_core::quickstart::Transport;
use onetrip_core::stream::{Domain, Env, Jid};
use onetrip_simulator::accounts::Accounts;
use onetrip_simulator::certificates::Certificates;
use onetrip_tls::rustls::rustls::pki_types::CertificateDer;
use onetrip_tls::rustls::rustls::pki_types::pem::PemObject as _;
use onetrip_tls::rustls::rustls::{ClientConfig as TlsConfig, RootCertStore};
use onetrip_tls::rustls::{Versions, client_config};

use crate::Failure;
use crate::environment::{Clock, SystemEntropy, password};
use crate::options::Target as Whom;
use crate::relay::{self, Impairment};
use crate::serve;

/// Whom the strategies are tried on.
pub(crate) struct Target {
    pub(crate) account: Jid,
    pub(crate) password: String,
    /// By transport, and with a client certificate where there is one.
    pub(crate) addresses: Vec<(Transport, SocketAddr)>,
    pub(crate) tls: Arc<TlsConfig>,
    pub(crate) certified: Option<Arc<TlsConfig>>,
}

/// The embedded server, with a fresh certificate and account.
pub(super) async fn embedded() -> Result<Target, Failure> {
    let check = |error: &dyn std::fmt::Display| Failure::Check(error.to_string());
    let account: Jid = "juliet@im.example.com"
        .parse()
        .map_err(|error| check(&error))?;
    let domains: Vec<Domain> = vec![account.domain().clone()];
    let mut entropy = SystemEntropy::new();
    let env = &mut Env::new(Clock::new().now(), &mut entropy);
    let password = env.random_id();
    let mut accounts = Accounts::new();
    accounts.add(&account, &password, env);
    accounts.certify(account.local().unwrap_or_default());
    let certificates = Certificates::new(&domains).map_err(|error| check(&error))?;
    let tls = certificates
        .server(Versions::Both, true, false)
        .map_err(|error| check(&error))?;
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let settings = serve::Settings {
        domains,
        accounts,
        tls,
        pipelining: true,
        sasl2: true,
        tokens: true,
        resume_for: Duration::from_secs(300),
        listen: loopback,
        listen_tls: loopback,
        federating: None,
        proxy: None,
    };
    let addresses = serve::start(settings).await?;
    Ok(Target {
        account,
        password,
        addresses: vec![
            (Transport::StartTls, addresses.starttls),
            (Transport::DirectTls, addresses.direct_tls),
        ],
        tls: certificates
            .client(Versions::Both, false)
            .map_err(|error| check(&error))?,
        certified: Some(
            certificates
                .client(Versions::Both, true)
                .map_err(|error| check(&error))?,
        ),
    })
}

/// Whom to trust: the certificates in a file, or the well-known authorities.
pub(crate) fn roots(file: Option<&Path>) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    let Some(file) = file else {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        return Ok(roots);
    };
    let certificates = CertificateDer::pem_file_iter(file)
        .map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
    roots.add_parsable_certificates(certificates.flatten());
    if roots.is_empty() {
        let file = file.display();
        return Err(Failure::Usage(format!("{file}: no certificate in it")));
    }
    Ok(roots)
}

/// A real server: where the options say, or on the usual ports of its domain.
pub(crate) async fn remote(options: &Whom, account: &Jid) -> Result<Target, Failure> {
    if account.local().is_none() {
        return Err(Failure::Usage(format!("'{account}' names no account")));
    }
    let password = password(options.password_file.as_deref())?;
    let password = password.ok_or_else(|| {
        Failure::Usage("no password: give --password-file or set ONETRIP_PASSWORD".to_owned())
    })?;
    let roots = roots(options.ca_file.as_deref())?;
    let tls = client_config(roots, Versions::Both, None)
        .map_err(|error| Failure::Usage(error.to_string()))?;
    let mut addresses = Vec::new();
    for (transport, port, wanted) in [
        (Transport::StartTls, 5222, !options.direct_tls),
        (Transport::DirectTls, 5223, !options.starttls),
    ] {
        let place = match &options.connect {
            Some(place) => place.clone(),
            None => format!("{}:{port}", account.domain()),
        };
        // One place cannot serve both: without --direct-tls it is taken for STARTTLS.
        if !wanted
            || (options.connect.is_some()
                && transport == Transport::DirectTls
                && !options.direct_tls)
        {
            continue;
        }
        addresses.push((transport, found(&place).await?));
    }
    Ok(Target {
        account: account.clone(),
        password,
        addresses,
        tls,
        certified: None,
    })
}

/// The address of a host and port.
pub(super) async fn found(place: &str) -> Result<SocketAddr, Failure> {
    let unreachable =
        |error: &dyn std::fmt::Display| Failure::Unreachable(format!("{place}: {error}"));
    let found = tokio::net::lookup_host(place).await;
    let mut found = found.map_err(|error| unreachable(&error))?;
    found.next().ok_or_else(|| unreachable(&"no address"))
}

/// What is asked of the relay.
pub(super) fn impairment(options: &Whom) -> Impairment {
    Impairment {
        round_trip: options.rtt.unwrap_or_default(),
        rate: options.rate,
        merge: options.merge.unwrap_or_default(),
        tcp: Duration::ZERO,
    }
}

/// Puts the relay in between, if one is asked for.
pub(crate) async fn impaired(mut target: Target, options: &Whom) -> Result<Target, Failure> {
    let impairment = impairment(options);
    if impairment.is_none() {
        return Ok(target);
    }
    for (_, address) in &mut target.addresses {
        *address = relay::start(*address, impairment)
            .await
            .map_err(|error| Failure::Check(error.to_string()))?;
    }
    Ok(target)
}
