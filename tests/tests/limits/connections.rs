//! What a connection reads before authentication, and the largest stanza behind it.

use onetrip_core::quickstart::Level;
use onetrip_core::stream::ns;
use onetrip_tests::house::House;
use onetrip_tests::servers::{Servers, inbound, outbound, plan};
use onetrip_tests::words::{HEADER, PLAIN, RESPONSE};

use crate::{Bound, check, padded, refusal};

const BETWEEN: &str = "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
                       xmlns:db='jabber:server:dialback' id='x' version='1.0'";

fn spaced(before: &str, bytes: usize) -> String {
    format!("{before}{}", " ".repeat(bytes - before.len()))
}

/// What the server says to its client on a stream where it has said all that it had to say.
fn to_server(begin: fn(&mut House) -> usize, text: &str) -> Option<String> {
    let mut house = House::default();
    let place = begin(&mut house);
    refusal(house.give(place, text))
}

fn to_peer(opens: bool, text: &str) -> Option<String> {
    let mut servers = Servers::default();
    let place = if opens {
        let config = outbound();
        let plan = plan(&config, Level::Off, None);
        servers.open(config, plan, &["montague.lit"])
    } else {
        servers.accept(inbound(), &["capulet.lit"])
    };
    refusal(servers.give(place, text.as_bytes()))
}

/// A stanza of so many bytes between servers that have proved themselves, on a bidirectional stream.
fn between_servers(opens: bool, bytes: usize) -> Option<String> {
    let mut servers = Servers::default();
    let ends = servers.connect(outbound(), inbound(), true);
    let (place, from, to) = if opens {
        (ends[0], "montague.lit", "capulet.lit")
    } else {
        (ends[1], "capulet.lit", "montague.lit")
    };
    let begin = format!("<message from='a@{from}' to='b@{to}'><body>");
    refusal(servers.give(place, padded(&begin, "</body></message>", bytes).as_bytes()))
}

#[test]
fn what_a_connection_reads() {
    check(&[
        Bound {
            what: "bytes before authentication, at a server",
            allowed: 64 * 1024,
            attempt: |bytes| to_server(House::server, &spaced(HEADER, bytes)),
            refusal: "policy-violation",
        },
        Bound {
            what: "bytes before authentication, at a client",
            allowed: 64 * 1024,
            attempt: |bytes| to_server(House::client, &spaced(RESPONSE, bytes)),
            refusal: "policy-violation",
        },
        Bound {
            what: "bytes before authentication, at a server that was opened to",
            allowed: 64 * 1024,
            attempt: |bytes| {
                let header = format!("{BETWEEN} from='capulet.lit' to='montague.lit'>");
                to_peer(false, &spaced(&header, bytes))
            },
            refusal: "policy-violation",
        },
        Bound {
            what: "bytes before authentication, at a server that opens",
            allowed: 64 * 1024,
            attempt: |bytes| {
                let header = format!("{BETWEEN} from='montague.lit' to='capulet.lit'>");
                to_peer(true, &spaced(&header, bytes))
            },
            refusal: "policy-violation",
        },
        Bound {
            what: "an element before authentication, at a server",
            allowed: 10_000,
            attempt: |bytes| {
                let abort = format!("<abort xmlns='{}'>", ns::SASL);
                to_server(
                    House::server,
                    &format!("{HEADER}{}", padded(&abort, "</abort>", bytes)),
                )
            },
            refusal: "policy-violation",
        },
        Bound {
            what: "an element before authentication, at a client",
            allowed: 10_000,
            attempt: |bytes| {
                let (begin, rest) = PLAIN.split_once('>').unwrap();
                let (begin, rest) = (format!("{begin}><x xmlns='urn:x'>"), format!("</x>{rest}"));
                to_server(
                    House::client,
                    &format!("{RESPONSE}{}", padded(&begin, &rest, bytes)),
                )
            },
            refusal: "policy-violation",
        },
        Bound {
            what: "a stanza, at a server",
            allowed: 256 * 1024,
            attempt: |bytes| {
                to_server(
                    |house| house.pair()[1],
                    &padded("<message><body>", "</body></message>", bytes),
                )
            },
            refusal: "policy-violation",
        },
        Bound {
            what: "a stanza, at a client",
            allowed: 256 * 1024,
            attempt: |bytes| {
                to_server(
                    |house| house.pair()[0],
                    &padded("<message><body>", "</body></message>", bytes),
                )
            },
            refusal: "policy-violation",
        },
        Bound {
            what: "a stanza, at a server that was opened to",
            allowed: 256 * 1024,
            attempt: |bytes| between_servers(false, bytes),
            refusal: "policy-violation",
        },
        Bound {
            what: "a stanza, at a server that opens",
            allowed: 256 * 1024,
            attempt: |bytes| between_servers(true, bytes),
            refusal: "policy-violation",
        },
    ]);
}
