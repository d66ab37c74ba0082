//! A server on tokio that sends every message back, and whose sessions outlive their connections.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant as Clock};

use onetrip_core::isr::{Begin, Location};
use onetrip_core::negotiation::sasl::{Mechanism, ReceiverConfig};
use onetrip_core::quickstart::Transport;
use onetrip_core::stream::{Build as _, Domain, Env, Instant, Jid, Stanza, StanzaKind};
use onetrip_core::stream_management as sm;
use onetrip_core::{Answer, ClientConfig, Decision, Event, InstantResume, Registry, Request};
use onetrip_core::{Sasl2Offer, ServerConfig};
use onetrip_simulator::accounts::Accounts;
use onetrip_simulator::certificates::Certificates;
use onetrip_tls::Output;
use onetrip_tls::rustls::rustls::{ClientConfig as TlsClient, ServerConfig as TlsConfig};
use onetrip_tls::rustls::{SystemEntropy, Versions};
use onetrip_tokio::{Connection, Settings};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

/// The account that there is.
pub const ACCOUNT: &str = "juliet@im.example.com";
/// Its password.
pub const PASSWORD: &str = "r0m30myr0m30";

/// See the module.
pub struct Echo {
    /// Its domain.
    pub domain: Domain,
    /// Who may log in.
    pub accounts: Accounts,
    certificates: Certificates,
    registry: Mutex<Registry>,
    began: Clock,
    /// The session that a connection is asked for.
    wanted: watch::Sender<String>,
    /// The ids of all messages that arrived, in order.
    pub arrived: Mutex<Vec<String>>,
    /// What else is offered.
    pub offers: Offers,
}

/// What a server offers besides the login of RFC 6120.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offers {
    /// Stream management.
    pub management: bool,
    /// Tokens that resume a session.
    pub tokens: bool,
    /// SASL2.
    pub sasl2: bool,
}

impl Offers {
    /// Only what everybody has.
    pub const NONE: Self = Self {
        management: false,
        tokens: false,
        sasl2: false,
    };
}

/// Such a server with stream management on loopback, in a thread of its own.
pub struct Local {
    /// Where it is.
    pub address: SocketAddr,
    server: Arc<Echo>,
}

impl Local {
    /// Listens.
    ///
    /// # Errors
    /// When there is no port.
    pub fn start() -> Result<Self, Failure> {
        let server = Echo::new(Offers {
            management: true,
            ..Offers::NONE
        });
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let serving = Arc::clone(&server);
        std::thread::spawn(move || runtime.block_on(listen(serving, listener)));
        Ok(Self { address, server })
    }

    /// Another server with these accounts that listens there.
    #[must_use]
    pub fn at(address: SocketAddr, server: Arc<Echo>) -> Self {
        Self { address, server }
    }

    /// What a client on `onetrip-tokio` is made of.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let (host, port) = (self.address.ip().to_string(), self.address.port());
        self.server
            .settings(PASSWORD)
            .at(Location { host, port }, Begin::StartTls)
    }

    /// A login to it that counts no stanzas.
    #[must_use]
    pub fn login(&self) -> ClientConfig {
        let mut login = self.settings().login;
        login.management = None;
        login
    }

    /// A client's side of TLS.
    #[must_use]
    pub fn tls(&self) -> Arc<TlsClient> {
        self.settings().tls
    }
}

async fn listen(server: Arc<Echo>, listener: std::net::TcpListener) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (socket, _) = listener.accept().await?;
        tokio::spawn(Arc::clone(&server).serve(socket, Transport::StartTls));
    }
}

/// Whatever went wrong.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Echo {
    /// A server with one account.
    ///
    /// # Panics
    /// When certificates cannot be made.
    #[must_use]
    pub fn new(offers: Offers) -> Arc<Self> {
        let account: Jid = ACCOUNT.parse().expect("an address");
        let mut entropy = SystemEntropy::new();
        let env = &mut Env::new(Instant::EPOCH, &mut entropy);
        let mut accounts = Accounts::new();
        accounts.add(&account, PASSWORD, env);
        let domain = account.domain().clone();
        let certificates = Certificates::new(std::slice::from_ref(&domain));
        Arc::new(Self {
            domain,
            accounts,
            certificates: certificates.expect("certificates"),
            registry: Mutex::new(Registry::new(Duration::from_secs(300))),
            began: Clock::now(),
            wanted: watch::Sender::new(String::new()),
            arrived: Mutex::default(),
            offers,
        })
    }

    /// What a client of this server is made of.
    ///
    /// # Panics
    /// When TLS cannot be configured.
    #[must_use]
    pub fn settings(&self, password: &str) -> Settings {
        let account = ACCOUNT.parse().expect("an address");
        let mut settings = Settings::new(account, password).expect("settings");
        let tls = self.certificates.client(Versions::Both, false);
        settings.tls = tls.expect("TLS");
        settings
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server's side of TLS.
    ///
    /// # Panics
    /// When TLS cannot be configured.
    #[must_use]
    pub fn tls(&self) -> Arc<TlsConfig> {
        let tls = self.certificates.server(Versions::Both, false, false);
        tls.expect("TLS")
    }

    /// The server's side of a connection.
    #[must_use]
    pub fn config(&self, transport: Transport) -> ServerConfig {
        let mechanisms = vec![Mechanism::ScramSha256Plus, Mechanism::ScramSha256];
        let sasl = ReceiverConfig::new(mechanisms);
        let mut config = ServerConfig::new(vec![self.domain.clone()], transport, sasl);
        config.management = self.offers.management.then(sm::Config::default);
        config.instant_resume = self.offers.tokens.then(InstantResume::default);
        config.sasl2 = self.offers.sasl2.then(Sasl2Offer::default);
        config
    }

    /// Serves one connection to its end.
    ///
    /// # Errors
    /// What went wrong here, not what a client did.
    pub async fn serve<Io>(self: Arc<Self>, io: Io, transport: Transport) -> Result<(), Failure>
    where
        Io: AsyncRead + AsyncWrite + Unpin,
    {
        let mut connection = Connection::server(io, self.config(transport), self.tls())?;
        let mut wanted = self.wanted.subscribe();
        let mut named = None;
        loop {
            let output = tokio::select! {
                output = connection.next() => output,
                _ = wanted.changed() => {
                    if named.as_ref() == Some(&*wanted.borrow()) {
                        if let Some(session) = connection.hand_over() {
                            self.registry().keep(*session, None, self.now());
                        }
                    }
                    continue;
                }
            };
            match output {
                None => return Ok(()),
                Some(Output::Request(request)) => {
                    let answer = self.decide(request).await;
                    match &answer {
                        Answer::Session(session) => named = Some(session.id.clone()),
                        Answer::Enable(Some(granted)) => named.clone_from(&granted.id),
                        _ => {}
                    }
                    connection.answer(answer)?;
                }
                Some(Output::Entity(event)) => self.registry().handle(event, self.now()),
                Some(Output::Event(Event::Stanza(stanza))) => {
                    let mut back = stanza.element().with_attr("from", self.domain.to_string());
                    if stanza.head().kind == StanzaKind::Message {
                        let id = stanza.head().id.clone().unwrap_or_default();
                        self.arrived.lock().expect("a list").push(id.to_string());
                    } else {
                        back = back.with_attr("type", "result");
                    }
                    connection.send(&Stanza::from_element(&back)?)?;
                    connection.handled(1);
                }
                Some(_) => {}
            }
        }
    }

    fn now(&self) -> Instant {
        Instant::from_epoch(self.began.elapsed())
    }

    async fn decide(&self, request: Request) -> Answer {
        let mut entropy = SystemEntropy::new();
        let decision = {
            let env = &mut Env::new(self.now(), &mut entropy);
            match request {
                Request::Sasl { domain, request } => {
                    return Answer::Sasl(self.accounts.decide(request, &domain));
                }
                Request::Bind { account, request } => {
                    return Answer::Bind(request.grant(&account, env));
                }
                request => self.registry().decide(env, &request),
            }
        };
        let Some(mut decision) = decision else {
            return Answer::NoSession { h: None };
        };
        loop {
            match decision {
                Decision::Answer(answer) => return answer,
                Decision::Fetch { session, owner } => {
                    self.wanted.send_replace(session.clone());
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    decision = self.registry().find(&session, &owner);
                }
            }
        }
    }
}
