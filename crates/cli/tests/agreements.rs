//! Embedded servers with an agreement, over real sockets: what is on the wire before the first stanza, and who is refused.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use bytes::BytesMut;
use onetrip_core::stream::{Domain, Stanza};
use onetrip_core::zero_handshake::Fingerprint;
use onetrip_simulator::certificates::Certificates;
use onetrip_tls::rustls::rustls::RootCertStore;
use onetrip_tls::rustls::{Identity, PeerTls, RustlsSession, Versions};
use onetrip_tls::{TlsSession as _, TlsState};
use support::{Server, User};

const GROUND: [&str; 2] = ["ground.example", "muc.ground.example"];
const AIR: [&str; 2] = ["air.example", "muc.air.example"];
const PASSWORD: &str = "r0m30myr0m30";

/// A folder that ends with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("onetrip-agreements-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let file = self.0.join(name);
        std::fs::write(&file, text).unwrap();
        file.to_string_lossy().into_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What went through a relay on one connection: what the opener wrote, and what it read.
type Capture = Arc<Mutex<[Vec<u8>; 2]>>;

/// A relay that writes down what passes.
struct Relay {
    address: SocketAddr,
    target: Arc<OnceLock<SocketAddr>>,
    captures: Arc<Mutex<Vec<Capture>>>,
}

impl Relay {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let this = Self {
            address: listener.local_addr().unwrap(),
            target: Arc::default(),
            captures: Arc::default(),
        };
        let (target, captures) = (Arc::clone(&this.target), Arc::clone(&this.captures));
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let (near, capture) = (near.unwrap(), Capture::default());
                captures.lock().unwrap().push(Arc::clone(&capture));
                let far = TcpStream::connect(target.get().unwrap()).unwrap();
                let copy = |socket: &TcpStream| socket.try_clone().unwrap();
                forward(copy(&near), copy(&far), 0, Arc::clone(&capture));
                forward(far, near, 1, capture);
            }
        });
        this
    }

    fn leads_to(&self, server: &Server) {
        self.target
            .set(server.says("link").parse().unwrap())
            .unwrap();
    }

    fn connections(&self) -> Vec<[Vec<u8>; 2]> {
        let captures = self.captures.lock().unwrap();
        captures
            .iter()
            .map(|capture| capture.lock().unwrap().clone())
            .collect()
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream, way: usize, capture: Capture) {
    std::thread::spawn(move || {
        let mut chunk = [0_u8; 4096];
        while let Ok(count @ 1..) = from.read(&mut chunk) {
            capture.lock().unwrap()[way].extend_from_slice(&chunk[..count]);
            if to.write_all(&chunk[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
}

/// An agreement as a file: with whoever is behind `address`, pinned if TLS was agreed.
fn agreement(
    ours: [&str; 2],
    theirs: [&str; 2],
    address: SocketAddr,
    pin: Option<Fingerprint>,
) -> String {
    let security = pin.map_or_else(
        || "security = 'plain'".to_owned(),
        |pin| format!("security = 'tls'\n[tls]\ncertificate = 'certificate'\nalpn = 'xmpp-server'\npins = ['{pin}']"),
    );
    format!(
        "ours = {ours:?}\ntheirs = {theirs:?}\naddress = '{address}'\n{security}\n\
         [[allowed-sources]]\nnetwork = '127.0.0.1'\n[presets.acknowledgements]\n"
    )
}

/// A server of two domains with a user in each; its certificate was made before.
fn serve(
    folder: &Folder,
    domains: [&str; 2],
    agreement: &str,
    shown: Option<&Certificates>,
) -> Server {
    serve_with(folder, domains, agreement, shown, &[])
}

/// The same with further options.
fn serve_with(
    folder: &Folder,
    domains: [&str; 2],
    agreement: &str,
    shown: Option<&Certificates>,
    more: &[&str],
) -> Server {
    let name = domains[0];
    let file = folder.write(&format!("{name}.toml"), agreement);
    let password = folder.write("password", PASSWORD);
    let mut arguments = vec![
        "--agreement".to_owned(),
        file,
        "--link".to_owned(),
        "127.0.0.1:0".to_owned(),
    ];
    for domain in domains {
        let user = [
            "--domain",
            domain,
            "--user",
            &format!("ops@{domain}"),
            "--password-file",
            &password,
        ];
        arguments.extend(user.map(str::to_owned));
    }
    if let Some(certificates) = shown {
        let (chain, key) = certificates.server_identity();
        let files = [
            (
                "--cert",
                pem(folder, &format!("{name}.cert"), "CERTIFICATE", &chain[0]),
            ),
            (
                "--key",
                pem(
                    folder,
                    &format!("{name}.key"),
                    "PRIVATE KEY",
                    key.secret_der(),
                ),
            ),
        ];
        arguments.extend(
            files
                .into_iter()
                .flat_map(|(option, file)| [option.to_owned(), file]),
        );
    }
    arguments.extend(more.iter().map(|option| (*option).to_owned()));
    Server::start(&arguments).unwrap()
}

fn pem(folder: &Folder, name: &str, label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    folder.write(
        name,
        &format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n"),
    )
}

fn certificates(domains: [&str; 2]) -> Certificates {
    Certificates::new(&domains.map(|name| Domain::new(name).unwrap())).unwrap()
}

fn pin(certificates: &Certificates) -> Fingerprint {
    certificates.fingerprints().1
}

fn user(server: &Server, domain: &str, roots: Option<RootCertStore>) -> User {
    let jid = format!("ops@{domain}");
    match roots {
        Some(roots) => User::named(server, &jid, PASSWORD, roots),
        None => User::of_authority(server, &jid, PASSWORD),
    }
}

fn body(stanza: &Stanza) -> String {
    let element = stanza.element();
    element.get_child("body", "jabber:client").unwrap().text()
}

/// Each of four users sends to two; all of it goes over one connection, which somebody of the ground's has opened.
fn exchange(mut ground: [User; 2], mut air: [User; 2]) {
    for round in 0..3 {
        for (from, to) in [(0, 0), (1, 1), (0, 1), (1, 0)] {
            let text = format!("{round} {from} {to}");
            let (one, other) = (ground[from].jid.to_string(), air[to].jid.to_string());
            ground[from].say(&other, &text);
            let got = air[to].stanza();
            assert_eq!(
                (got.head().from.as_deref(), body(&got)),
                (Some(&*one), text.clone())
            );
            air[to].say(&one, &text);
            let got = ground[from].stanza();
            assert_eq!(
                (got.head().from.as_deref(), body(&got)),
                (Some(&*other), text)
            );
        }
    }
}

#[test]
fn zh_02_zh_06_two_servers_talk_over_one_plain_connection_and_its_first_byte_is_a_stanzas() {
    let folder = Folder::new("plain");
    let (to_air, to_ground) = (Relay::new(), Relay::new());
    let of_ground = agreement(GROUND, AIR, to_air.address, None);
    let of_air = agreement(AIR, GROUND, to_ground.address, None);
    let ground = serve(&folder, GROUND, &of_ground, None);
    let air = serve(&folder, AIR, &of_air, None);
    to_air.leads_to(&air);
    to_ground.leads_to(&ground);
    let users =
        |server: &Server, domains: [&str; 2]| domains.map(|domain| user(server, domain, None));
    let (of_ground, of_air) = (users(&ground, GROUND), users(&air, AIR));
    assert!(to_air.connections().is_empty(), "nobody has said anything");
    exchange(of_ground, of_air);
    assert_eq!(
        to_ground.connections().len(),
        0,
        "the other way none was needed"
    );
    let connections = to_air.connections();
    assert_eq!(connections.len(), 1);
    for bytes in &connections[0] {
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(text.starts_with("<message "), "{text:.100}");
        assert_eq!(text.matches("</message>").count(), 12);
        // ZH-R5: what is asked about has been dealt with.
        assert!(
            text.contains("<r xmlns='urn:xmpp:sm:3'/>")
                && text.contains("<a xmlns='urn:xmpp:sm:3' h='5'/>")
        );
        for negotiation in ["<?xml", "stream:", "starttls", "features", "urn:xmpp:bidi"] {
            assert!(!text.contains(negotiation), "{negotiation}");
        }
    }
}

#[test]
fn zh_19_two_servers_talk_over_one_tls_connection_with_pinned_certificates() {
    let folder = Folder::new("tls");
    let (to_air, to_ground) = (Relay::new(), Relay::new());
    let (ours, theirs) = (certificates(GROUND), certificates(AIR));
    let of_ground = agreement(GROUND, AIR, to_air.address, Some(pin(&theirs)));
    let of_air = agreement(AIR, GROUND, to_ground.address, Some(pin(&ours)));
    let ground = serve(&folder, GROUND, &of_ground, Some(&ours));
    let air = serve(&folder, AIR, &of_air, Some(&theirs));
    to_air.leads_to(&air);
    to_ground.leads_to(&ground);
    let users = |server: &Server, domains: [&str; 2], certificates: &Certificates| {
        domains.map(|domain| user(server, domain, Some(certificates.roots())))
    };
    exchange(users(&ground, GROUND, &ours), users(&air, AIR, &theirs));
    assert_eq!(to_ground.connections().len(), 0);
    let connections = to_air.connections();
    assert_eq!(connections.len(), 1);
    for bytes in &connections[0] {
        assert_eq!(bytes[..2], [0x16, 0x03], "TLS from the first byte");
        assert!(!bytes.windows(8).any(|part| part == b"<message"));
    }
}

/// ZH-17: both begin at once. Whichever way the connections cross, everything arrives once and in order.
#[test]
fn zh_17_many_messages_both_ways_at_once_arrive_in_order() {
    let folder = Folder::new("both");
    let (to_air, to_ground) = (Relay::new(), Relay::new());
    let ground = serve(
        &folder,
        GROUND,
        &agreement(GROUND, AIR, to_air.address, None),
        None,
    );
    let air = serve(
        &folder,
        AIR,
        &agreement(AIR, GROUND, to_ground.address, None),
        None,
    );
    to_air.leads_to(&air);
    to_ground.leads_to(&ground);
    let (mut one, mut other) = (user(&ground, GROUND[0], None), user(&air, AIR[0], None));
    let (to_one, to_other) = (one.jid.to_string(), other.jid.to_string());
    let long = "x".repeat(2000);
    for number in 0..150 {
        one.say(&to_other, &format!("{number} {long}"));
        other.say(&to_one, &format!("{number} {long}"));
    }
    for user in [&mut one, &mut other] {
        for number in 0..150 {
            let text = body(&user.stanza());
            assert!(
                text.starts_with(&format!("{number} x")),
                "{number}: {text:.50}"
            );
        }
    }
    let connections = to_air.connections().len() + to_ground.connections().len();
    assert!((1..=2).contains(&connections), "{connections}");
}

/// A peer of the ground's that is this test, with TLS and nothing above it.
struct Peer {
    session: RustlsSession,
    socket: TcpStream,
    plain: BytesMut,
}

impl Peer {
    fn new(session: RustlsSession, socket: TcpStream) -> Self {
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let plain = BytesMut::new();
        Self {
            session,
            socket,
            plain,
        }
    }

    fn write(&mut self, plain: &[u8]) {
        let mut cipher = BytesMut::new();
        self.session.write(plain, &mut cipher).unwrap();
        self.socket.write_all(&cipher).unwrap();
    }

    /// Reads until there is enough, or nothing more.
    fn read(&mut self, enough: impl Fn(&Self) -> bool) {
        let mut chunk = [0_u8; 4096];
        self.write(b"");
        while !enough(self) {
            let count = self.socket.read(&mut chunk).unwrap();
            if count == 0 {
                return;
            }
            self.session.read(&chunk[..count], &mut self.plain).unwrap();
            self.write(b"");
        }
    }
}

fn peer_tls(identity: &Identity) -> PeerTls {
    let tls = PeerTls::new(identity, Versions::Both, certificates(AIR).roots()).unwrap();
    tls.with_alpn(Some("xmpp-server"))
}

/// ZH-02 as the peer decrypts it: the first byte of application data is the stanza's, and there is none before.
#[test]
fn zh_02_the_first_byte_inside_tls_is_a_stanzas() {
    let folder = Folder::new("inside");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (ours, theirs) = (certificates(GROUND), certificates(AIR));
    let address = listener.local_addr().unwrap();
    let text = agreement(GROUND, AIR, address, Some(pin(&theirs)));
    let ground = serve(&folder, GROUND, &text, Some(&ours));
    let mut ops = user(&ground, GROUND[0], Some(ours.roots()));
    ops.say("pilot@air.example", "hi");
    let (socket, _) = listener.accept().unwrap();
    let session = peer_tls(&theirs.server_identity()).inbound().unwrap();
    let mut peer = Peer::new(session, socket);
    peer.read(|peer| peer.session.state() == TlsState::Established);
    peer.read(|peer| peer.plain.ends_with(b"</message>"));
    let first = String::from_utf8(peer.plain.to_vec()).unwrap();
    assert!(first.starts_with("<message "), "{first}");
    assert_eq!(
        first.matches('<').count(),
        4,
        "one stanza and nothing else: {first}"
    );
    // What comes back needs nothing before it either.
    peer.write(
        format!(
            "<message from='pilot@air.example' to='{}'><body>roger</body></message>",
            ops.jid
        )
        .as_bytes(),
    );
    assert_eq!(body(&ops.stanza()), "roger");
}

/// ZH-19, ZH-R7: another certificate is refused when TLS has ended; what comes along with it is not looked at.
#[test]
fn zh_19_a_certificate_that_is_not_pinned_is_told_nothing() {
    let folder = Folder::new("pin");
    let (ours, theirs, others) = (certificates(GROUND), certificates(AIR), certificates(AIR));
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let text = agreement(GROUND, AIR, nowhere, Some(pin(&theirs)));
    let ground = serve(&folder, GROUND, &text, Some(&ours));
    let mut ops = user(&ground, GROUND[0], Some(ours.roots()));
    let to = ops.jid.to_string();
    for (certificates, said) in [(&others, "wrong"), (&theirs, "right")] {
        let tls = peer_tls(&certificates.server_identity());
        let session = tls.outbound(&Domain::new(GROUND[0]).unwrap()).unwrap();
        let socket = TcpStream::connect(ground.says("link")).unwrap();
        let mut peer = Peer::new(session, socket);
        peer.read(|peer| peer.session.state() == TlsState::Established);
        let message =
            format!("<message from='pilot@air.example' to='{to}'><body>{said}</body></message>");
        peer.write(message.as_bytes());
        if said == "right" {
            assert_eq!(body(&ops.stanza()), said, "and nothing before it");
        } else {
            peer.read(|peer| peer.session.state() == TlsState::Closed);
            assert!(peer.plain.is_empty(), "{:?}", peer.plain);
        }
    }
}

/// ZH-20: another source is refused although it has not sent a byte.
#[test]
fn zh_20_another_source_is_closed_before_it_says_anything() {
    let folder = Folder::new("source");
    let address = "192.0.2.1:5299".parse().unwrap();
    let text = agreement(GROUND, AIR, address, None).replace("'127.0.0.1'", "'192.0.2.1'");
    let ground = serve(&folder, GROUND, &text, None);
    let mut socket = TcpStream::connect(ground.says("link")).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    assert_eq!(socket.read(&mut [0; 16]).unwrap(), 0);
}

/// Connections that nothing is said on are bounded like all others.
#[test]
fn more_connections_than_are_allowed_are_closed_at_once() {
    let folder = Folder::new("limit");
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let text = agreement(GROUND, AIR, nowhere, None);
    let ground = serve_with(
        &folder,
        GROUND,
        &text,
        None,
        &["--s2s-limit-per-address", "1"],
    );
    let _first = TcpStream::connect(ground.says("link")).unwrap();
    let mut second = TcpStream::connect(ground.says("link")).unwrap();
    second
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    assert_eq!(second.read(&mut [0; 16]).unwrap(), 0);
}

/// ZH-R3: a peer that negotiates is told nothing; the operator here is told what is wrong.
#[test]
fn zh_r3_a_peer_that_opens_a_stream_is_closed_without_a_word_and_named() {
    let folder = Folder::new("header");
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let mut ground = serve(
        &folder,
        GROUND,
        &agreement(GROUND, AIR, nowhere, None),
        None,
    );
    let mut socket = TcpStream::connect(ground.says("link")).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    socket
        .write_all(b"<?xml version='1.0'?><stream:stream xmlns='jabber:server'>")
        .unwrap();
    assert_eq!(socket.read(&mut [0; 16]).unwrap(), 0);
    let told = ground.told();
    let expected = "a link with air.example: expected stanzas, got a stream header (RFC 6120)";
    assert!(told.contains(expected), "{told}");
}

/// A peer that cannot be reached: who has sent learns of it.
#[test]
fn what_no_link_can_be_opened_for_comes_back() {
    let folder = Folder::new("unreachable");
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let ground = serve(&folder, GROUND, &agreement(GROUND, AIR, closed, None), None);
    let mut ops = user(&ground, GROUND[0], None);
    ops.say("pilot@air.example", "hi");
    let got = ops.stanza();
    assert_eq!(got.head().type_.as_deref(), Some("error"));
    assert!(String::from_utf8_lossy(got.bytes()).contains("remote-server-timeout"));
}

#[test]
fn an_agreement_that_does_not_hold_is_named_with_its_file_and_line() {
    let folder = Folder::new("wrong");
    let address = "127.0.0.1:5299".parse().unwrap();
    let good = agreement(GROUND, AIR, address, None);
    for (text, said) in [
        (
            good.replace("'127.0.0.1'", "'127.0.0.1/7'"),
            "line 6: `allowed-sources.network`",
        ),
        (
            good.replace("[[allowed-sources]]\nnetwork = '127.0.0.1'\n", ""),
            "insecure-implicit",
        ),
        (
            good.replace("muc.ground", "sea"),
            "sea.example is not served here",
        ),
    ] {
        let file = folder.write("wrong.toml", &text);
        let mut command = Command::new(env!("CARGO_BIN_EXE_onetrip"));
        command.args([
            "serve",
            "--domain",
            GROUND[0],
            "--domain",
            GROUND[1],
            "--agreement",
            &file,
        ]);
        let output = command.output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(
            told.contains("wrong.toml: ") && told.contains(said),
            "{told}"
        );
    }
}
