//! The embedded server: a few users, in memory, on the receiving machines.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use minidom::Element;
use onetrip_core::negotiation::sasl;
use onetrip_core::quickstart::Transport;
use onetrip_core::stream::{Build as _, Domain, Entropy as _, Env, Jid, Stanza, StanzaKind, ns};
use onetrip_core::{Answer, Connection, Event, Request, ServerConfig};
use onetrip_simulator::accounts::{Accounts, bind};
use onetrip_simulator::certificates::Certificates;
use onetrip_tls::rustls::rustls::ServerConfig as TlsConfig;
use onetrip_tls::rustls::rustls::pki_types::pem::PemObject as _;
use onetrip_tls::rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use onetrip_tls::rustls::{RustlsSession, Versions, server_config};
use onetrip_tls::{Output, Secured};
use sha1::{Digest as _, Sha1};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::Failure;
use crate::environment::{Clock, SystemEntropy, password};
use crate::options::{OutputOptions, Serve};

const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";
const ROSTER: &str = "jabber:iq:roster";
/// Where the server's disco#info lives (XEP-0115 §4).
const NODE: &str = "https://onetrip.example/serve";
/// The version of every roster here: they are all empty (RFC 6121 §2.6).
const ROSTER_VERSION: &str = "1";
/// How many stanzas wait for one client.
const MAILBOX: usize = 1024;

/// What disco#info reports: every feature that streams show and every query that is answered (QS-05).
const FEATURES: &[&str] = &[
    "http://jabber.org/protocol/disco#info",
    "http://jabber.org/protocol/disco#items",
    ns::BIND,
    ns::SASL,
    ns::TLS,
    ns::CAPS,
    ns::PIPELINING,
    ns::ROSTER_VERSIONING,
    ns::CHANNEL_BINDING,
    ns::PING,
];

/// What the server serves.
pub(crate) struct Settings {
    pub(crate) domains: Vec<Domain>,
    pub(crate) accounts: Accounts,
    pub(crate) tls: Arc<TlsConfig>,
    pub(crate) pipelining: bool,
    pub(crate) listen: SocketAddr,
    pub(crate) listen_tls: SocketAddr,
}

/// Where a server that has started is found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) starttls: SocketAddr,
    pub(crate) direct_tls: SocketAddr,
}

/// What all connections share.
struct Hub {
    settings: Settings,
    decoy: Vec<u8>,
    online: Mutex<BTreeMap<Jid, mpsc::Sender<Stanza>>>,
    clock: Clock,
}

impl Hub {
    fn online(&self) -> MutexGuard<'_, BTreeMap<Jid, mpsc::Sender<Stanza>>> {
        self.online
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn config(&self, transport: Transport) -> ServerConfig {
        use sasl::Mechanism::{
            External, Plain, ScramSha1, ScramSha1Plus, ScramSha256, ScramSha256Plus,
        };
        let offered = vec![
            ScramSha256Plus,
            ScramSha1Plus,
            ScramSha256,
            ScramSha1,
            External,
            Plain,
        ];
        let mut receiver = sasl::ReceiverConfig::new(offered);
        receiver.decoy = Some(onetrip_core::stream::Secret::new(self.decoy.clone()));
        receiver.decoy_iterations = 4096;
        let mut config = ServerConfig::new(self.settings.domains.clone(), transport, receiver);
        config.quickstart.advertise = self.settings.pipelining;
        config.features = vec![caps()];
        config.features_authenticated = vec![Element::bare("ver", ns::ROSTER_VERSIONING)];
        config
    }
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
    let hub = Arc::new(Hub {
        settings,
        decoy,
        online: Mutex::default(),
        clock: Clock::new(),
    });
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

/// One client.
struct Session {
    hub: Arc<Hub>,
    secured: Secured<RustlsSession>,
    entropy: SystemEntropy,
    mailbox: mpsc::Sender<Stanza>,
    jid: Option<Jid>,
    closed: bool,
}

impl Session {
    async fn serve(hub: Arc<Hub>, socket: TcpStream, transport: Transport) {
        let _ = socket.set_nodelay(true);
        let mut entropy = SystemEntropy::new();
        let Ok(session) = RustlsSession::server(Arc::clone(&hub.settings.tls)) else {
            return;
        };
        let connection = Connection::server(
            hub.config(transport),
            &mut Env::new(hub.clock.now(), &mut entropy),
        );
        let (mailbox, letters) = mpsc::channel(MAILBOX);
        let mut this = Self {
            secured: Secured::new(connection, session),
            hub,
            entropy,
            mailbox,
            jid: None,
            closed: false,
        };
        let _ = this.run(socket, letters).await;
        if let Some(jid) = &this.jid {
            // Only what is ours: another connection may have taken the address over.
            let mut online = this.hub.online();
            if online
                .get(jid)
                .is_some_and(|sender| sender.same_channel(&this.mailbox))
            {
                online.remove(jid);
            }
        }
    }

    async fn run(
        &mut self,
        mut socket: TcpStream,
        mut letters: mpsc::Receiver<Stanza>,
    ) -> std::io::Result<()> {
        let mut chunk = vec![0_u8; 16 * 1024];
        loop {
            while let Some(output) = self.secured.poll_output() {
                match output {
                    Output::Transmit(bytes) => self.write(&mut socket, &bytes).await?,
                    output => self.on_output(output),
                }
            }
            if self.closed {
                return socket.shutdown().await;
            }
            let now = self.hub.clock.now();
            let wait = self
                .secured
                .poll_timeout()
                .map_or(Duration::from_secs(3600), |deadline| deadline.at.since(now));
            tokio::select! {
                read = socket.read(&mut chunk) => {
                    let env = &mut Env::new(self.hub.clock.now(), &mut self.entropy);
                    match read {
                        Ok(count @ 1..) => { let _ = self.secured.receive(env, chunk.get(..count).unwrap_or_default()); }
                        _ => self.secured.receive_eof(env),
                    }
                }
                Some(stanza) = letters.recv() => self.send(&stanza),
                () = tokio::time::sleep(wait) => self.secured.handle_timeout(&mut Env::new(self.hub.clock.now(), &mut self.entropy)),
            }
        }
    }

    async fn write(&mut self, socket: &mut TcpStream, bytes: &Bytes) -> std::io::Result<()> {
        // A client that does not read holds up nobody but itself, and not for ever.
        match tokio::time::timeout(Duration::from_secs(60), socket.write_all(bytes)).await {
            Ok(result) => result,
            Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
        }
    }

    fn on_output(&mut self, output: Output) {
        match output {
            Output::Request(request) => {
                let env = &mut Env::new(self.hub.clock.now(), &mut self.entropy);
                let answer = match request {
                    Request::Sasl { domain, request } => {
                        Answer::Sasl(self.hub.settings.accounts.decide(request, &domain))
                    }
                    Request::Bind { account, request } => bind(&request, &account, env),
                    _ => return,
                };
                let _ = self.secured.answer(env, answer);
            }
            Output::Event(Event::Online { jid, .. }) => {
                self.hub.online().insert(jid.clone(), self.mailbox.clone());
                self.jid = Some(jid);
            }
            Output::Event(Event::Stanza(stanza)) => self.on_stanza(&stanza),
            Output::Close => self.closed = true,
            _ => {}
        }
    }

    fn reply(&mut self, element: &Element) {
        if let Ok(stanza) = Stanza::from_element(element) {
            self.send(&stanza);
        }
    }

    fn send(&mut self, stanza: &Stanza) {
        let now = self.hub.clock.now();
        let _ = self
            .secured
            .send(&mut Env::new(now, &mut self.entropy), stanza);
    }

    /// RFC 6120 §10: stamps the sender and passes it on, or answers.
    fn on_stanza(&mut self, stanza: &Stanza) {
        let Some(jid) = self.jid.clone() else { return };
        let mut element = stanza.element();
        element = element.with_attr("from", jid.to_string());
        let to = match &stanza.head().to {
            None => jid.to_bare(),
            Some(to) => match to.parse::<Jid>() {
                Ok(to) => to,
                Err(_) => return self.bounce(&element, "jid-malformed"),
            },
        };
        let served = self.hub.settings.domains.contains(to.domain());
        let own = to.local().is_none() || to == jid.to_bare();
        match stanza.head().kind {
            _ if !served => self.bounce(&element, "remote-server-not-found"),
            StanzaKind::Iq if own && to.resource().is_none() => self.on_query(&element, &to),
            StanzaKind::Presence if stanza.head().to.is_none() => {}
            _ if to.local().is_none() => self.bounce(&element, "service-unavailable"),
            _ => self.deliver(&element, &to),
        }
    }

    /// RFC 6121 §8.5: to the resource named, or to all of the account.
    fn deliver(&mut self, element: &Element, to: &Jid) {
        let Ok(stanza) = Stanza::from_element(element) else {
            return;
        };
        let mut reached = false;
        {
            let online = self.hub.online();
            for (jid, mailbox) in online.iter() {
                if (to.resource().is_none() && jid.same_bare(to) && element.name() != "iq")
                    || jid == to
                {
                    reached |= mailbox.try_send(stanza.clone()).is_ok();
                }
            }
        }
        if !reached {
            self.bounce(element, "service-unavailable");
        }
    }

    /// RFC 6120 §8.3.1: an error for an error, or for an answer, would never end.
    fn bounce(&mut self, element: &Element, condition: &str) {
        let answerable = match element.name() {
            "presence" => false,
            "iq" => matches!(element.attr("type"), Some("get" | "set")),
            _ => element.attr("type") != Some("error"),
        };
        if answerable {
            let error = Element::bare("error", ns::CLIENT)
                .with_attr("type", "cancel")
                .with_child(Element::bare(condition, ns::STANZA_ERRORS));
            let reply = answer_to(element, "error").with_child(error);
            self.reply(&reply);
        }
    }

    /// The few queries that a client asks on login.
    fn on_query(&mut self, iq: &Element, to: &Jid) {
        let Some(query) = iq.children().next() else {
            return self.bounce(iq, "bad-request");
        };
        let get = iq.attr("type") == Some("get");
        if !get && iq.attr("type") != Some("set") {
            return;
        }
        let result = answer_to(iq, "result");
        let result = match (query.name(), query.ns().as_str()) {
            ("ping", ns::PING) if get => result,
            ("session", ns::SESSION) => result,
            ("query", ROSTER) if get => match query.attr("ver") {
                Some(ROSTER_VERSION) => result,
                Some(_) => result
                    .with_child(Element::bare("query", ROSTER).with_attr("ver", ROSTER_VERSION)),
                None => result.with_child(Element::bare("query", ROSTER)),
            },
            ("query", DISCO_INFO) if get => result.with_child(disco_info(query.attr("node"), to)),
            ("query", DISCO_ITEMS) if get => result.with_child(Element::bare("query", DISCO_ITEMS)),
            _ => return self.bounce(iq, "service-unavailable"),
        };
        self.reply(&result);
    }
}

/// An empty answer: addresses turned round, same id.
fn answer_to(element: &Element, type_: &str) -> Element {
    let mut reply = Element::bare(element.name(), ns::CLIENT).with_attr("type", type_);
    for (theirs, ours) in [("from", "to"), ("to", "from"), ("id", "id")] {
        if let Some(value) = element.attr(theirs) {
            reply = reply.with_attr(ours, value);
        }
    }
    reply
}

fn disco_info(node: Option<&str>, to: &Jid) -> Element {
    let (category, type_) = if to.local().is_some() {
        ("account", "registered")
    } else {
        ("server", "im")
    };
    let mut query = Element::bare("query", DISCO_INFO);
    if let Some(node) = node {
        query = query.with_attr("node", node);
    }
    let identity = Element::bare("identity", DISCO_INFO)
        .with_attr("category", category)
        .with_attr("type", type_)
        .with_attr("name", "onetrip");
    FEATURES
        .iter()
        .fold(query.with_child(identity), |query, feature| {
            query.with_child(Element::bare("feature", DISCO_INFO).with_attr("var", *feature))
        })
}

/// `<c/>` for stream features (QS-04; XEP-0115 §5.1, §6.3).
fn caps() -> Element {
    let mut features: Vec<&str> = FEATURES.to_vec();
    features.sort_unstable();
    let text = features
        .iter()
        .fold("server/im//onetrip<".to_owned(), |text, feature| {
            text + feature + "<"
        });
    let ver = base64::engine::general_purpose::STANDARD.encode(Sha1::digest(text.as_bytes()));
    Element::bare("c", ns::CAPS)
        .with_attr("hash", "sha-1")
        .with_attr("node", NODE)
        .with_attr("ver", ver)
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
