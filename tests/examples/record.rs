//! Records a login to a real server as a transcript: `record HOST:PORT JID PASSWORD CA.pem TRANSPORT MECHANISM LEVEL [ASSUMED]`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant as Clock};

use bytes::BytesMut;
use onetrip_core::negotiation::sasl;
use onetrip_core::quickstart::Transport;
use onetrip_core::stream::{Env, Instant, Jid, Secret};
use onetrip_core::{Action, Answer, ClientConfig, Connection, Event, Request};
use onetrip_simulator::Seeded;
use onetrip_tests::{Transcript, describe, mechanisms, plan};
use onetrip_tls::rustls::rustls::RootCertStore;
use onetrip_tls::rustls::rustls::pki_types::{CertificateDer, pem::PemObject as _};
use onetrip_tls::rustls::{RustlsSession, Versions, client_config};
use onetrip_tls::{TlsSession as _, TlsState};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [
        target,
        account,
        password,
        ca,
        transport,
        mechanism,
        level,
        rest @ ..,
    ] = arguments.as_slice()
    else {
        panic!("record HOST:PORT JID PASSWORD CA.pem TRANSPORT MECHANISM LEVEL [ASSUMED]");
    };
    let mut transcript = Transcript::default();
    let mut set = |key: &str, value: &str| {
        transcript.settings.insert(key.to_owned(), value.to_owned());
    };
    set("under-test", "initiating");
    for (key, value) in [
        ("account", account),
        ("password", password),
        ("transport", transport),
        ("mechanisms", mechanism),
        ("level", level),
    ] {
        set(key, value);
    }
    if let Some(assumed) = rest.first() {
        set("assumed", assumed);
    }
    set("seed", "1");
    for (key, value) in &transcript.settings {
        println!("#! {key} {value}");
    }
    record(&transcript, target, ca);
}

fn record(transcript: &Transcript, target: &str, ca: &str) {
    let account: Jid = transcript.get("account").unwrap().parse().unwrap();
    let transport = if transcript.get("transport") == Some("direct") {
        Transport::DirectTls
    } else {
        Transport::StartTls
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_file_iter(ca).unwrap().flatten());
    let mut tls = RustlsSession::client(
        client_config(roots, Versions::Both, None).unwrap(),
        account.domain(),
    )
    .unwrap();
    let mut sasl = sasl::InitiatorConfig::password(
        account.local().unwrap(),
        Secret::from(transcript.get("password").unwrap()),
    );
    sasl.allowed = mechanisms(transcript.get("mechanisms").unwrap());
    let mut socket = TcpStream::connect(target).unwrap();
    socket.set_nodelay(true).unwrap();
    let begun = Clock::now();
    let mut entropy = Seeded::new(1);
    let now = || Instant::from_epoch(begun.elapsed());
    let config = ClientConfig::new(account.clone(), transport, sasl);
    let mut connection = Connection::client(
        config,
        plan(transcript, &account, transport),
        &mut Env::new(now(), &mut entropy),
    );
    let (mut sending, mut receiving, mut established) = (false, false, false);
    let mut last = Instant::EPOCH;
    loop {
        let mut wire = BytesMut::new();
        let mut online = false;
        while let Some(action) = connection.poll_action() {
            match action {
                Action::Transmit(bytes) => {
                    println!("C: {}", String::from_utf8_lossy(&bytes));
                    if sending {
                        tls.write(&bytes, &mut wire).unwrap()
                    } else {
                        wire.extend_from_slice(&bytes)
                    }
                }
                Action::UpgradeSend => {
                    println!("C: [tls]");
                    sending = true;
                    tls.write(&[], &mut wire).unwrap();
                }
                Action::UpgradeReceive => {
                    println!("S: [tls]");
                    receiving = true;
                }
                Action::Request(Request::Derive(derivation)) => {
                    connection
                        .answer(
                            &mut Env::new(now(), &mut entropy),
                            Answer::Derived(derivation.perform()),
                        )
                        .unwrap();
                }
                Action::Event(event) => {
                    println!("* {}", describe(&event));
                    online |= matches!(
                        event,
                        Event::Online {
                            provisional: false,
                            ..
                        } | Event::Confirmed
                            | Event::Closed(_)
                    );
                }
                Action::Close => println!("* close"),
                _ => {}
            }
        }
        socket.write_all(&wire).unwrap();
        if online {
            return;
        }
        let mut chunk = [0_u8; 8192];
        let wait = connection
            .poll_timeout()
            .map_or(Duration::from_secs(5), |deadline| deadline.at.since(now()));
        socket
            .set_read_timeout(Some(wait.max(Duration::from_millis(1))))
            .unwrap();
        match socket.read(&mut chunk) {
            Ok(0) => connection.receive_eof(&mut Env::new(now(), &mut entropy)),
            Ok(count) => {
                let mut plain = BytesMut::from(&chunk[..count]);
                if receiving {
                    plain.clear();
                    tls.read(&chunk[..count], &mut plain).unwrap();
                    let mut wire = BytesMut::new();
                    tls.write(&[], &mut wire).unwrap();
                    socket.write_all(&wire).unwrap();
                    if !established && tls.state() == TlsState::Established {
                        established = true;
                        let info = onetrip_core::TlsInfo::new();
                        connection
                            .tls_established(&mut Env::new(now(), &mut entropy), info, &[])
                            .unwrap();
                    }
                }
                if !plain.is_empty() {
                    println!("S: {}", String::from_utf8_lossy(&plain));
                    let used = connection.receive(&mut Env::new(now(), &mut entropy), &plain);
                    assert_eq!(used, Ok(plain.len()));
                }
            }
            Err(_) => {
                let here = now();
                println!("@ {}ms", here.since(last).as_millis() + 1);
                last = here;
                connection.handle_timeout(&mut Env::new(here, &mut entropy));
            }
        }
    }
}
