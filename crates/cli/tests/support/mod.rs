//! An embedded server as a process, and its users over real sockets.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant as SystemInstant};

use onetrip_core::negotiation::sasl::InitiatorConfig;
use onetrip_core::quickstart::Transport;
use onetrip_core::stream::{Content, Env, Instant, Jid, Secret, Stanza};
use onetrip_core::{Answer, ClientConfig, Entity, Event, Request};
use onetrip_simulator::Seeded;
use onetrip_tls::rustls::rustls::RootCertStore;
use onetrip_tls::rustls::rustls::pki_types::CertificateDer;
use onetrip_tls::rustls::rustls::pki_types::pem::PemObject as _;
use onetrip_tls::rustls::{RustlsSession, Versions, client_config};
use onetrip_tls::{Output, Secured};

/// A server that ends with the test.
pub struct Server {
    child: Child,
    pub ready: serde_json::Value,
}

impl Server {
    /// `None` if it does not start: perhaps somebody else has taken the address meanwhile.
    pub fn start<A: AsRef<str>>(arguments: &[A]) -> Option<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_onetrip"));
        command.args(["serve", "--show-secrets"]);
        command.args(arguments.iter().map(AsRef::as_ref));
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_default();
        let this = Self { child, ready };
        this.ready.is_object().then_some(this)
    }

    /// Ends it, and returns what it has told people.
    pub fn told(&mut self) -> String {
        let _ = self.child.kill();
        let mut text = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut text).unwrap();
        text
    }

    pub fn says(&self, key: &str) -> &str {
        self.ready[key].as_str().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first user of a server.
pub struct User {
    pub jid: Jid,
    secured: Secured<RustlsSession>,
    socket: TcpStream,
    entropy: Seeded,
    begun: SystemInstant,
}

impl User {
    pub fn of(server: &Server) -> Self {
        let account = &server.ready["accounts"][0];
        let jid = account["jid"].as_str().unwrap();
        let password = account["password"].as_str().unwrap();
        Self::of_authority(server, jid, password)
    }

    /// Any user of a server that has made its certificate on start.
    pub fn of_authority(server: &Server, jid: &str, password: &str) -> Self {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(server.says("ca_pem").as_bytes()).unwrap();
        roots.add(authority).unwrap();
        Self::named(server, jid, password, roots)
    }

    /// Any user, whose server's certificate is of these.
    pub fn named(server: &Server, jid: &str, password: &str, roots: RootCertStore) -> Self {
        let jid: Jid = jid.parse().unwrap();
        let password = Secret::from(password);
        let tls = client_config(roots, Versions::Both, None).unwrap();
        let session = RustlsSession::client(tls, jid.domain()).unwrap();
        let sasl = InitiatorConfig::password(jid.local().unwrap(), password);
        let config = ClientConfig::new(jid.clone(), Transport::DirectTls, sasl);
        let mut entropy = Seeded::new(7);
        let connection =
            Entity::default().connect(config, &mut Env::new(Instant::EPOCH, &mut entropy));
        let socket = TcpStream::connect(server.says("direct_tls")).unwrap();
        let mut this = Self {
            jid,
            secured: Secured::new(connection, session),
            socket,
            entropy,
            begun: SystemInstant::now(),
        };
        let online = |event: Event| match event {
            Event::Online { jid, .. } => Some(jid),
            _ => None,
        };
        this.jid = this.until(online);
        this
    }

    /// Moves bytes until the event comes that is wanted.
    pub fn until<R>(&mut self, wanted: impl Fn(Event) -> Option<R>) -> R {
        let mut chunk = [0_u8; 4096];
        self.socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        while self.begun.elapsed() < Duration::from_secs(20) {
            while let Some(output) = self.secured.poll_output() {
                match output {
                    Output::Transmit(bytes) => self.socket.write_all(&bytes).unwrap(),
                    Output::Event(event) => {
                        if let Some(found) = wanted(event) {
                            return found;
                        }
                    }
                    Output::Request(request) => self.derive(request),
                    _ => {}
                }
            }
            let read = self.socket.read(&mut chunk).unwrap_or_default();
            let now = Instant::from_epoch(self.begun.elapsed());
            let env = &mut Env::new(now, &mut self.entropy);
            self.secured.receive(env, &chunk[..read]).unwrap();
            self.secured.handle_timeout(env);
        }
        panic!("{} waits in vain", self.jid)
    }

    fn derive(&mut self, request: Request) {
        let Request::Derive(derivation) = request else {
            panic!("{request:?}");
        };
        let answer = Answer::Derived(derivation.perform());
        let env = &mut Env::new(Instant::EPOCH, &mut self.entropy);
        self.secured.answer(env, answer).unwrap();
    }

    pub fn message(&mut self, to: &str) {
        self.say(to, "hi");
    }

    pub fn say(&mut self, to: &str, body: &str) {
        let text = format!("<message id='m' type='chat' to='{to}'><body>{body}</body></message>");
        let stanza = Stanza::parse(text.as_bytes(), Content::Client).unwrap();
        let now = Instant::from_epoch(self.begun.elapsed());
        let env = &mut Env::new(now, &mut self.entropy);
        self.secured.send(env, &stanza).unwrap();
        while let Some(output) = self.secured.poll_output() {
            if let Output::Transmit(bytes) = output {
                self.socket.write_all(&bytes).unwrap();
            }
        }
    }

    pub fn stanza(&mut self) -> Stanza {
        self.until(|event| match event {
            Event::Stanza(stanza) => Some(stanza),
            _ => None,
        })
    }
}
