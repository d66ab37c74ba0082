//! Every deadline: not a moment early, and not a moment late.

use std::time::Duration;

use onetrip_core::quickstart::Level;
use onetrip_tests::house::House;
use onetrip_tests::servers::{Servers, dialback, inbound, outbound, plan};

/// A deadline, and what runs into it.
struct Due {
    what: &'static str,
    after: Duration,
    /// Whether it is over when so much time has passed.
    over: fn(Duration) -> bool,
}

fn house_after(begin: fn(&mut House) -> usize, wait: Duration) -> bool {
    let mut house = House::default();
    let place = begin(&mut house);
    house.wait(wait);
    house.sides[place].closed
}

fn servers_after(begin: fn(&mut Servers) -> usize, wait: Duration) -> bool {
    let mut servers = Servers::default();
    let place = begin(&mut servers);
    servers.wait(wait);
    servers.sides[place].closed
}

/// Not a moment early, and not a moment late.
#[test]
fn every_deadline_from_both_sides() {
    let table = [
        Due {
            what: "a negotiation, at a client",
            after: Duration::from_secs(30),
            over: |wait| house_after(House::client, wait),
        },
        Due {
            what: "a negotiation, at a server",
            after: Duration::from_secs(30),
            over: |wait| house_after(House::server, wait),
        },
        Due {
            what: "a negotiation, at a server that opens",
            after: Duration::from_secs(30),
            over: |wait| {
                let open = |servers: &mut Servers| {
                    let plan = plan(&outbound(), Level::Off, None);
                    servers.open(outbound(), plan, &[])
                };
                servers_after(open, wait)
            },
        },
        Due {
            what: "a negotiation, at a server that was opened to",
            after: Duration::from_secs(30),
            over: |wait| servers_after(|servers| servers.accept(inbound(), &[]), wait),
        },
        Due {
            what: "a negotiation by dialback",
            after: Duration::from_secs(30 + 60),
            over: |wait| {
                let dialed = |servers: &mut Servers| {
                    let (mut out, mut into) = (outbound(), inbound());
                    (out.dialback, into.dialback) = (Some(dialback()), Some(dialback()));
                    // Nobody answers for the key.
                    servers.connect(out, into, false)[1]
                };
                servers_after(dialed, wait)
            },
        },
        Due {
            what: "the footer of the peer, at a client",
            after: Duration::from_secs(5),
            over: |wait| {
                let closing = |house: &mut House| {
                    let client = house.pair()[0];
                    house.with(client, |connection, env| connection.close(env));
                    client
                };
                house_after(closing, wait)
            },
        },
        Due {
            what: "a connection between servers that carries nothing",
            after: Duration::from_secs(300),
            over: |wait| {
                let mut servers = Servers::default();
                let mut out = outbound();
                out.bounds.idle = Some(Duration::from_secs(300));
                let [one, _] = servers.connect(out, inbound(), true);
                servers.wait(wait);
                servers.sides[one].written().ends_with("</stream:stream>")
            },
        },
    ];
    for Due { what, after, over } in table {
        assert!(
            !over(after - Duration::from_millis(1)),
            "{what} is over early"
        );
        assert!(over(after), "{what} is not over");
    }
}
