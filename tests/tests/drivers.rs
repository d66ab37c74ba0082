//! The examples are run: every client against every server, and what each of the others is for.
#![allow(clippy::unwrap_used)]
// Each example has a `main` of its own.
#![allow(dead_code)]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use onetrip_core::Entity;
use onetrip_core::stream::Stanza;
use onetrip_tests::echo::{Echo, Local, Offers};

#[path = "../examples/blocking.rs"]
mod blocking;
#[path = "../examples/blocking_server.rs"]
mod blocking_server;
#[path = "../examples/cache.rs"]
mod cache;
#[path = "../examples/e2e_ibb.rs"]
mod e2e_ibb;
#[path = "../examples/mio_clients.rs"]
mod mio_clients;
#[path = "../examples/restart.rs"]
mod restart;
#[path = "../examples/satellite.rs"]
mod satellite;
#[path = "../examples/smol_client.rs"]
mod smol_client;
#[path = "../examples/tokio_client.rs"]
mod tokio_client;
#[path = "../examples/tokio_server.rs"]
mod tokio_server;

const TEXT: &str = "Wherefore art thou?";

/// Each client says the same to it, and hears it.
async fn talk_to(server: Local) {
    let server = Arc::new(server);
    let message = Stanza::message("im.example.com", TEXT).unwrap();
    let heard = tokio_client::talk(&server, &message).await;
    check(heard.unwrap());
    let rest = tokio::task::spawn_blocking(move || {
        check(blocking::talk(&server, &message).unwrap());
        check(smol::block_on(smol_client::talk(&server, &message)).unwrap());
        assert_eq!(mio_clients::talk(&server, &message, 20).unwrap(), 20);
    });
    rest.await.unwrap();
}

fn check(heard: Option<Stanza>) {
    assert_eq!(heard.unwrap().body().as_deref(), Some(TEXT));
}

#[tokio::test]
async fn every_client_talks_to_a_server_on_the_adapter() {
    talk_to(Local::start().unwrap()).await;
}

#[tokio::test]
async fn every_client_talks_to_the_server_on_tokio() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, server) = (listener.local_addr().unwrap(), Echo::new(Offers::NONE));
    tokio::spawn(tokio_server::listen(Arc::clone(&server), listener));
    talk_to(Local::at(address, server)).await;
}

#[tokio::test]
async fn every_client_talks_to_the_server_on_blocking_sockets() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, server) = (listener.local_addr().unwrap(), Echo::new(Offers::NONE));
    let listening = Arc::clone(&server);
    std::thread::spawn(move || blocking_server::listen(&listening, &listener));
    talk_to(Local::at(address, server)).await;
}

#[tokio::test]
async fn every_client_tells_a_server_what_it_did_wrong_and_says_it_here_too() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = Arc::new(Local::at(address, Echo::new(Offers::NONE)));
    let heard = std::thread::spawn(move || {
        [(); 3].map(|()| {
            let (mut socket, _) = listener.accept().unwrap();
            socket.write_all(b"<!DOCTYPE x>").unwrap();
            let mut said = Vec::new();
            let _ = socket.read_to_end(&mut said);
            String::from_utf8_lossy(&said).into_owned()
        })
    });
    let message = Stanza::message("im.example.com", TEXT).unwrap();
    assert!(tokio_client::talk(&server, &message).await.is_err());
    let rest = tokio::task::spawn_blocking(move || {
        assert!(blocking::talk(&server, &message).is_err());
        assert!(smol::block_on(smol_client::talk(&server, &message)).is_err());
        heard.join().unwrap()
    });
    for said in rest.await.unwrap() {
        assert!(said.contains("<restricted-xml"), "{said}");
    }
}

#[test]
fn a_client_and_a_server_talk_in_memory() {
    let message = Stanza::message("im.example.com", TEXT).unwrap();
    let server = Echo::new(Offers::NONE);
    let talked = cache::memory::talk(&server, &mut Entity::default(), &message);
    check(Some(talked.unwrap().0));
}

#[test]
fn a_cache_on_disk_makes_the_second_login_shorter() {
    let file = std::env::temp_dir().join(format!("onetrip-{}.cache", std::process::id()));
    let server = Echo::new(Offers::NONE);
    let writes = [(); 2].map(|()| cache::log_in(&server, &file).unwrap());
    std::fs::write(&file, b"damaged").unwrap();
    let again = cache::log_in(&server, &file).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert!(writes[1] < writes[0], "{writes:?}");
    assert_eq!(again, writes[0]);
}

#[tokio::test]
async fn a_session_goes_on_in_the_next_process() {
    let file = std::env::temp_dir().join(format!("onetrip-{}.session", std::process::id()));
    let server = Local::start().unwrap();
    for (text, resumed) in [("one", false), ("two", true), ("three", true)] {
        let lived = restart::live(&server, &file, text).await.unwrap();
        assert_eq!(lived, (resumed, text.to_owned()));
    }
    std::fs::remove_file(&file).unwrap();
}

/// No negotiation: 99 bytes at 2400 bit/s and half of five seconds.
#[test]
fn the_first_stanza_is_there_before_a_handshake_would_have_begun() {
    let arrived = satellite::send(&["first", "second"]).unwrap();
    let texts: Vec<&str> = arrived.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["first", "second"]);
    assert!(arrived[0].0 < Duration::from_secs(3), "{arrived:?}");
    assert!(arrived[1].0 > arrived[0].0);
}

#[test]
fn servers_do_not_see_what_is_said_between_two_clients() {
    let (heard, seen) = e2e_ibb::talk(TEXT).unwrap();
    assert_eq!(heard, TEXT);
    assert!(seen.len() > 6);
    assert!(
        seen.iter()
            .all(|stanza| !String::from_utf8_lossy(stanza.bytes()).contains(TEXT))
    );
}

/// What a driver is, fits on a page, and says what it is for.
#[test]
fn an_example_fits_on_a_page() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap().path();
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//! "), "{}", file.display());
        if text.contains("onetrip_tests::echo") {
            assert!(text.lines().count() <= 60, "{}", file.display());
        }
    }
}
