//! Whom the strategies are tried on: the embedded server, or a real one, with or without a relay in between.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use onetrip_core::quickstart::Transport;
use onetrip_core::stream::{Content, Domain, Env, Jid};
use onetrip_simulator::accounts::Accounts;
use onetrip_simulator::certificates::Certificates;
use onetrip_tls::rustls::rustls::pki_types::CertificateDer;
use onetrip_tls::rustls::rustls::pki_types::pem::PemObject as _;
use onetrip_tls::rustls::rustls::{ClientConfig as TlsConfig, RootCertStore};
use onetrip_tls::rustls::{Versions, client_config};

use crate::Failure;
use crate::dns::{Dns, WAYS};
use crate::environment::{Clock, SystemEntropy, password};
use crate::options::Target as Whom;
use crate::relay::{self, Impairment};
use crate::serve;

/// Whom the strategies are tried on.
pub(crate) struct Target {
    pub(crate) account: Jid,
    pub(crate) password: String,
    /// How long a login may take, and an answer behind it.
    pub(crate) patience: Duration,
    /// By transport, and with a client certificate where there is one.
    pub(crate) addresses: Vec<(Transport, SocketAddr)>,
    pub(crate) tls: Arc<TlsConfig>,
    pub(crate) certified: Option<Arc<TlsConfig>>,
}

/// The embedded server, with a fresh certificate and account.
pub(super) async fn embedded(options: &Whom) -> Result<Target, Failure> {
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
        patience: options.patience(),
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

/// A real server: where the options or the records of its domain say.
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
    let addresses = places(options, account.domain(), Content::Client).await?;
    Ok(Target {
        account: account.clone(),
        password,
        patience: options.patience(),
        addresses,
        tls,
        certified: None,
    })
}

/// Where a domain takes clients, or servers. A place that was given is taken for STARTTLS without --direct-tls; else each
/// transport is where DNS says, and one that it does not name is left out.
pub(super) async fn places(
    options: &Whom,
    domain: &Domain,
    content: Content,
) -> Result<Vec<(Transport, SocketAddr)>, Failure> {
    let only = |transport| match transport {
        Transport::StartTls => !options.direct_tls,
        Transport::DirectTls => !options.starttls,
    };
    if let Some(place) = &options.connect {
        let transport = if options.direct_tls {
            Transport::DirectTls
        } else {
            Transport::StartTls
        };
        return Ok(vec![(transport, found(place).await?)]);
    }
    let dns = Dns::new(options.dns, options.patience())?;
    let (mut places, mut missing) = (Vec::new(), Vec::new());
    for (_, transport) in WAYS
        .into_iter()
        .filter(|(of, transport)| *of == content && only(*transport))
    {
        match dns.find(domain, content, transport).await {
            Ok((address, _)) => places.push((transport, address)),
            Err(reason) => missing.push(reason),
        }
    }
    if places.is_empty() {
        let missing = missing.join("; ");
        return Err(Failure::Unreachable(format!(
            "{domain}: {missing}. Say where it is with --connect HOST:PORT"
        )));
    }
    Ok(places)
}

/// The address of a host and port.
async fn found(place: &str) -> Result<SocketAddr, Failure> {
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
