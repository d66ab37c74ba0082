//! Two embedded servers and their users, over real sockets.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
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

const CAPULET: &str = "capulet.example";
const MONTAGUE: &str = "montague.example";

/// A server that ends with the test.
struct Server {
    child: Child,
    ready: serde_json::Value,
}

impl Server {
    /// `None` if somebody else has taken the address meanwhile.
    fn start(domain: &str, s2s: &str, peers: &[String]) -> Option<Self> {
        let mut options = vec!["--domain", domain, "--s2s", s2s];
        for peer in peers {
            options.extend(["--peer", peer]);
        }
        Self::start_with(&options)
    }

    /// The same with options of one's own.
    fn start_with(options: &[&str]) -> Option<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_onetrip"));
        command.args(["serve", "--show-secrets"]).args(options);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_default();
        let this = Self { child, ready };
        this.ready.is_object().then_some(this)
    }

    fn says(&self, key: &str) -> &str {
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
struct User {
    jid: Jid,
    secured: Secured<RustlsSession>,
    socket: TcpStream,
    entropy: Seeded,
    begun: SystemInstant,
}

impl User {
    fn of(server: &Server) -> Self {
        let account = &server.ready["accounts"][0];
        let jid: Jid = account["jid"].as_str().unwrap().parse().unwrap();
        let password = Secret::from(account["password"].as_str().unwrap());
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(server.says("ca_pem").as_bytes()).unwrap();
        roots.add(authority).unwrap();
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
    fn until<R>(&mut self, wanted: impl Fn(Event) -> Option<R>) -> R {
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

    fn message(&mut self, to: &str) {
        self.say(to, "hi");
    }

    fn say(&mut self, to: &str, body: &str) {
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

    fn stanza(&mut self) -> Stanza {
        self.until(|event| match event {
            Event::Stanza(stanza) => Some(stanza),
            _ => None,
        })
    }
}

/// An address that nobody listens on.
fn free() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// Two servers that know where the other is.
fn servers() -> (Server, Server) {
    for _ in 0..10 {
        let (here, there) = (free(), free());
        let capulet = Server::start(CAPULET, &here, &[format!("{MONTAGUE}={there}")]);
        let montague = Server::start(MONTAGUE, &there, &[format!("{CAPULET}={here}")]);
        if let (Some(capulet), Some(montague)) = (capulet, montague) {
            assert_eq!(capulet.says("s2s"), here);
            return (capulet, montague);
        }
    }
    panic!("no address stays free")
}

/// Each has an authority of its own, so that neither trusts the other's certificate: they dial back (XEP-0220).
#[test]
fn two_servers_that_do_not_trust_each_other_exchange_messages() {
    let (capulet, montague) = servers();
    let (mut juliet, mut other) = (User::of(&capulet), User::of(&montague));
    for _ in 0..3 {
        juliet.message(&other.jid.to_string());
        let got = other.stanza();
        assert_eq!(got.head().from, Some(juliet.jid.to_string()));
        other.message(&juliet.jid.to_string());
        let got = juliet.stanza();
        assert_eq!(got.head().from, Some(other.jid.to_string()));
        assert!(got.element().get_child("body", "jabber:client").is_some());
    }
}

/// Whatever goes both ways at once on one connection arrives whole and in order.
#[test]
fn many_messages_both_ways_at_once_arrive_in_order() {
    let (capulet, montague) = servers();
    let (mut juliet, mut other) = (User::of(&capulet), User::of(&montague));
    let (to_juliet, to_other) = (juliet.jid.to_string(), other.jid.to_string());
    let body = "x".repeat(2000);
    for number in 0..200 {
        juliet.say(&to_other, &format!("{number} {body}"));
        other.say(&to_juliet, &format!("{number} {body}"));
    }
    for user in [&mut juliet, &mut other] {
        for number in 0..200 {
            let text = String::from_utf8(user.stanza().bytes().to_vec()).unwrap();
            assert!(text.contains(&format!(">{number} x")), "{text:.200}");
        }
    }
}

#[test]
fn what_cannot_be_sent_comes_back_with_the_reason() {
    let closed = format!("verona.example={}", free());
    let capulet = Server::start(CAPULET, "127.0.0.1:0", &[closed]).unwrap();
    let mut juliet = User::of(&capulet);
    for (domain, condition) in [
        (MONTAGUE, "remote-server-not-found"),
        ("verona.example", "remote-server-timeout"),
    ] {
        juliet.message(&format!("romeo@{domain}"));
        let got = juliet.stanza();
        assert_eq!(got.head().type_.as_deref(), Some("error"));
        let text = String::from_utf8(got.bytes().to_vec()).unwrap();
        assert!(text.contains(condition), "{text}");
    }
}

/// BIDI-14, BIDI-15: a domain whose certificate is not trusted is proved on the connection that the other server has opened.
/// This server knows of no other way to it, and the other one believes it only if it is where the connection goes.
#[test]
fn bidi_14_a_further_domain_is_proved_on_the_connection_of_the_other_server() {
    let chat = "chat.montague.example";
    for (elsewhere, arrives) in [(false, true), (true, false)] {
        let (capulet, montague) = trusting(chat, elsewhere);
        let (mut juliet, mut romeo) = (User::of(&capulet), User::of(&montague));
        juliet.message(&format!("nobody@{MONTAGUE}"));
        let bounced = juliet.stanza();
        assert_eq!(bounced.head().type_.as_deref(), Some("error"));
        romeo.message(&juliet.jid.to_string());
        if arrives {
            assert_eq!(juliet.stanza().head().from, Some(romeo.jid.to_string()));
            juliet.message(&romeo.jid.to_string());
            assert_eq!(romeo.stanza().head().from, Some(juliet.jid.to_string()));
        } else {
            let text = String::from_utf8(romeo.stanza().bytes().to_vec()).unwrap();
            assert!(text.contains("remote-server-not-found"), "{text}");
        }
    }
}

/// Two servers of which the second trusts the certificate of the first, does not know where it is, and also has the domain
/// `chat`, which the first knows to be there or elsewhere.
fn trusting(chat: &str, elsewhere: bool) -> (Server, Server) {
    let file = std::env::temp_dir().join(format!("onetrip-{}-{elsewhere}.pem", std::process::id()));
    for _ in 0..10 {
        let (there, nowhere) = (free(), free());
        let place = if elsewhere { &nowhere } else { &there };
        let peers = [format!("{MONTAGUE}={there}"), format!("{chat}={place}")];
        let capulet = Server::start(CAPULET, "127.0.0.1:0", &peers).unwrap();
        std::fs::write(&file, capulet.says("ca_pem")).unwrap();
        let montague = Server::start_with(&[
            "--domain",
            chat,
            "--domain",
            MONTAGUE,
            "--s2s",
            &there,
            "--s2s-reverse",
            "--s2s-ca",
            file.to_str().unwrap(),
        ]);
        let _ = std::fs::remove_file(&file);
        if let Some(montague) = montague {
            return (capulet, montague);
        }
    }
    panic!("no address stays free")
}
