//! What an idle connection holds in memory: bound, with stream management, without TLS and on rustls, at either end.
//!
//! Counted is what is given back when it is dropped, in two parts: the value itself, which stands where its owner puts it,
//! and all it has on the heap. What several connections share (configuration of TLS, the bytes of a stanza) is not its own.
#![allow(clippy::unwrap_used)]

use allocation_counter::measure;
use bytes::BytesMut;
use onetrip_core::Connection;
use onetrip_core::negotiation::sasl::Mechanism::Plain;
use onetrip_core::stream::{Content, Stanza};
use onetrip_tests::logins::{End, Logins, Way};
use onetrip_tls::TlsSession as _;
use onetrip_tls::rustls::RustlsSession;

/// The most that a connection may hold on the heap, beside what rustls holds.
const MOST: usize = 3072;
/// The most that the value itself may take.
const INLINE: usize = 1792;
const ENDS: [&str; 2] = ["client", "server"];

/// What is given back by a value that is dropped.
fn held<T>(value: T) -> usize {
    let freed = measure(|| drop(value)).bytes_current;
    usize::try_from(-freed).unwrap()
}

/// Both ends, online, with nothing to do.
fn idle(tls: bool) -> (Logins, [End; 2]) {
    let mut logins = Logins::new(Way::Classic(Plain), tls);
    let mut pair = logins.connect();
    logins.talk(&mut pair);
    assert!(pair.iter().all(End::is_online));
    (logins, pair)
}

/// Two sessions of rustls that have shaken hands and carried a byte each way, and no connection above them.
fn sessions(logins: &Logins) -> [RustlsSession; 2] {
    let [mut client, mut server] = logins.sessions();
    let mut wire = BytesMut::new();
    let mut plain = BytesMut::new();
    for _ in 0..3 {
        client.write(b"", &mut wire).unwrap();
        server.read(&wire.split(), &mut plain).unwrap();
        server.write(b"", &mut wire).unwrap();
        client.read(&wire.split(), &mut plain).unwrap();
    }
    client.write(b"<", &mut wire).unwrap();
    server.read(&wire.split(), &mut plain).unwrap();
    server.write(b"<", &mut wire).unwrap();
    client.read(&wire.split(), &mut plain).unwrap();
    assert_eq!(&plain[..], b"<<");
    [client, server]
}

fn check(what: &str, pair: [End; 2], own: [usize; 2]) {
    for ((end, name), own) in pair.into_iter().zip(ENDS).zip(own) {
        let inline = size_of::<Connection>();
        let heap = held(end) - inline - own;
        println!(
            "{what}, {name}: {heap} bytes on the heap beside {own} of rustls, {inline} inline"
        );
        assert!(heap <= MOST, "{what}, {name}: {heap}");
        assert!(inline <= INLINE, "{inline}");
    }
}

#[test]
fn an_idle_connection_is_small() {
    let (_logins, pair) = idle(false);
    check("without TLS", pair, [0; 2]);
}

#[test]
fn an_idle_connection_is_small_beside_its_tls() {
    let (logins, pair) = idle(true);
    let own = sessions(&logins).map(|session| held(Box::new(session)));
    check("on rustls", pair, own);
}

/// What traffic has taken is given back: 100 messages each way, one of them of 100 kB, all of them acknowledged.
#[test]
fn what_traffic_took_is_given_back() {
    for tls in [false, true] {
        let (mut logins, mut pair) = idle(tls);
        for length in (0..100).map(|number| if number == 50 { 100_000 } else { 10 * number }) {
            let text = format!(
                "<message to='juliet@im.example.com'><body>{}</body></message>",
                "x".repeat(length)
            );
            let stanza = Stanza::parse(text.as_bytes(), Content::Client).unwrap();
            for end in 0..2 {
                logins.send(&mut pair, end, &stanza);
            }
        }
        logins.settle(&mut pair);
        let own = if tls {
            sessions(&logins).map(|session| held(Box::new(session)))
        } else {
            [0; 2]
        };
        check(
            if tls {
                "on rustls, after traffic"
            } else {
                "without TLS, after traffic"
            },
            pair,
            own,
        );
    }
}
