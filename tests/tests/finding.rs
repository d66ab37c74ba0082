//! Where a client of `onetrip-tokio` connects: what a look-up has found, and what it does when nothing is (RFC 6120 §3.2).
#![allow(clippy::unwrap_used)]

use std::io;
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use onetrip_core::isr::{Begin, Location};
use onetrip_core::quickstart::{Target, Transport};
use onetrip_core::stream::Domain;
use onetrip_tests::echo::Local;
use onetrip_tokio::{Backoff, Cause, Client, Event, Find, Found, Settings, dns};

#[path = "../../crates/cli/tests/support/dns.rs"]
mod answers;

fn target(port: u16) -> Target {
    Target {
        host: "127.0.0.1".into(),
        port,
        transport: Transport::StartTls,
    }
}

/// A port where nobody listens.
fn closed() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Finds these, each time it is asked.
fn finds(ports: Vec<u16>, holds: Duration, asked: &Arc<AtomicUsize>) -> impl Find {
    let asked = Arc::clone(asked);
    move |domain: Domain| {
        assert_eq!(domain.as_str(), "im.example.com");
        asked.fetch_add(1, Ordering::Relaxed);
        let targets = ports.iter().copied().map(target).collect();
        Box::pin(async move { Ok(Found { targets, holds }) })
    }
}

/// With pauses that a test can wait for.
fn settings(server: &Local) -> Settings {
    let mut settings = server.settings();
    settings.backoff = Backoff {
        first: Duration::from_millis(1),
        longest: Duration::from_millis(1),
        ..Backoff::default()
    };
    settings
}

async fn comes_online<Io>(client: &mut Client<Io>) -> Vec<Cause>
where
    Io: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
{
    let mut causes = Vec::new();
    loop {
        match client.next().await.unwrap() {
            Event::Online { .. } => return causes,
            Event::Offline { cause, .. } => causes.push(cause),
            _ => {}
        }
    }
}

/// QS-01, QS-02: one look-up, and its places in their order, also where it holds for this once only.
#[tokio::test]
async fn qs_02_the_places_that_were_found_are_tried_in_their_order() {
    let server = Local::start().unwrap();
    for holds in [0, 60] {
        let asked = Arc::default();
        let ports = vec![closed(), server.address.port()];
        let find = finds(ports, Duration::from_secs(holds), &asked);
        let settings = settings(&server).at(place(closed()), Begin::StartTls);
        let mut client = Client::tcp(settings).found_by(find);
        assert!(comes_online(&mut client).await.is_empty());
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        client.close().await;
    }
}

/// QS-02: where all have failed, the domain is looked up again.
#[tokio::test]
async fn qs_02_it_is_looked_up_again_when_all_have_failed() {
    let server = Local::start().unwrap();
    let (asked, port) = (Arc::new(AtomicUsize::new(0)), server.address.port());
    let (counted, nowhere) = (Arc::clone(&asked), closed());
    let find = move |_| -> std::pin::Pin<Box<dyn Future<Output = io::Result<Found>> + Send>> {
        let first = counted.fetch_add(1, Ordering::Relaxed) == 0;
        let targets = vec![target(if first { nowhere } else { port })];
        let holds = Duration::from_secs(60);
        Box::pin(async move { Ok(Found { targets, holds }) })
    };
    let mut client = Client::tcp(settings(&server)).found_by(find);
    let causes = comes_online(&mut client).await;
    assert!(matches!(causes[..], [Cause::Transport(_)]), "{causes:?}");
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    client.close().await;
}

/// RFC 6120 §3.2.1: a resolver that says nothing keeps nobody from the usual place.
#[tokio::test]
async fn a_look_up_that_fails_leaves_the_places_of_the_settings() {
    let server = Local::start().unwrap();
    let find = |_| -> std::pin::Pin<Box<dyn Future<Output = io::Result<Found>> + Send>> {
        Box::pin(async { Err(io::ErrorKind::TimedOut.into()) })
    };
    let mut client = Client::tcp(settings(&server)).found_by(find);
    assert!(comes_online(&mut client).await.is_empty());
    client.close().await;
}

/// RFC 6120 §3.2.1: where the domain says that there is no service, nothing is tried, and it is said why.
#[tokio::test]
async fn a_domain_without_the_service_is_said_to_be_one() {
    let server = Local::start().unwrap();
    let find = finds(Vec::new(), Duration::from_secs(60), &Arc::default());
    let mut client = Client::tcp(settings(&server)).found_by(find);
    let event = client.next().await.unwrap();
    let Event::Offline { cause, again } = event else {
        panic!("{event:?}");
    };
    assert!(matches!(cause, Cause::NoService) && again.is_some());
}

/// XEP-0368 §3: both services are asked for; the root says that one of them is not there.
#[tokio::test]
async fn xep_0368_both_services_are_asked_for() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = socket.local_addr().unwrap();
    std::thread::spawn(move || answers::answer_all(&socket, 5222));
    let found = dns::at(server)(Domain::new("capulet.lit").unwrap());
    let Found { targets, holds } = found.await.unwrap();
    let places: Vec<_> = targets
        .iter()
        .map(|found| (found.host.as_str(), found.port, found.transport))
        .collect();
    let expected = [
        ("xmpp.capulet.lit", 5222, Transport::StartTls),
        ("nowhere.capulet.lit", 1, Transport::StartTls),
    ];
    assert_eq!(places, expected);
    assert!(holds <= Duration::from_secs(60));
    // No record at all: the domain itself.
    let found = dns::at(server)(Domain::new("montague.lit").unwrap());
    let Found { targets, .. } = found.await.unwrap();
    assert_eq!(targets[0].host, "montague.lit");
}

fn place(port: u16) -> Location {
    let host = "127.0.0.1".into();
    Location { host, port }
}
