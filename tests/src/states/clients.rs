//! Clients among each other: bytestreams, and the gate before TLS.

use onetrip_core::jingle::xtls::{Fingerprint, Gate, Hash, Policy, Security};
use onetrip_core::jingle::{Role, ibb, socks5};
use onetrip_core::stream::{Env, Instant, Jid};

use super::{Diagram, Subject, late, printed, stanza, with_env};

pub(super) fn diagrams() -> Vec<Diagram> {
    vec![bytestream(), client(), connection(), gate()]
}

fn peer() -> Jid {
    "juliet@capulet.lit/balcony".parse().unwrap()
}

fn bytestream() -> Diagram {
    type Make = fn(ibb::Config, &mut Env<'_>, Jid, &str) -> ibb::Bytestream;
    let make = |how: Make| with_env(|env| how(ibb::Config::default(), env, peer(), "s"));
    let take = |machine: &mut ibb::Bytestream, kind: &str, id: &str, child: &str| {
        let from = "from='juliet@capulet.lit/balcony'";
        let text = format!("<iq xmlns='jabber:client' type='{kind}' id='{id}' {from}>{child}</iq>");
        let _ = machine.handle(Instant::EPOCH, &stanza(&text));
    };
    // What the machine itself has sent last is what is answered.
    let answer = |machine: &mut ibb::Bytestream, kind: &str| {
        let printed = format!("{machine:?}");
        let id = printed
            .split("state: ")
            .nth(1)
            .and_then(|state| state.split('"').nth(1));
        take(machine, kind, id.unwrap_or("none"), "");
    };
    Subject {
        name: "onetrip-jingle-xmlstream: `ibb::Bytestream`",
        table: "jingle-xmlstream/src/ibb/bytestream.rs",
        state: &printed("state"),
        begins: &[
            ("open()", &|| make(ibb::Bytestream::open)),
            ("await_open()", &|| make(ibb::Bytestream::await_open)),
            ("established()", &|| make(ibb::Bytestream::established)),
        ],
        inputs: &[
            ("open", &|machine| {
                take(
                    machine,
                    "set",
                    "o",
                    "<open xmlns='http://jabber.org/protocol/ibb' sid='s' block-size='4096'/>",
                );
            }),
            ("close", &|machine| {
                take(
                    machine,
                    "set",
                    "c",
                    "<close xmlns='http://jabber.org/protocol/ibb' sid='s'/>",
                );
            }),
            ("data", &|machine| {
                take(
                    machine,
                    "set",
                    "d",
                    "<data xmlns='http://jabber.org/protocol/ibb' sid='s' seq='0'>AAAA</data>",
                );
            }),
            ("data out of sequence", &|machine| {
                take(
                    machine,
                    "set",
                    "d",
                    "<data xmlns='http://jabber.org/protocol/ibb' sid='s' seq='9'>AAAA</data>",
                );
            }),
            ("the result of what it waits for", &|machine| {
                answer(machine, "result")
            }),
            ("an error for what it waits for", &|machine| {
                answer(machine, "error")
            }),
            ("write()", &|machine| {
                machine.write(Instant::EPOCH, b"bytes");
            }),
            ("close()", &|machine| machine.close(Instant::EPOCH)),
            ("its deadline", &|machine| machine.handle_timeout(late())),
        ],
        drain: &|machine| machine.poll_action().is_some(),
    }
    .explore()
}

fn destination() -> socks5::Destination {
    socks5::Destination::read("972b7bf47291ca609517f67f86b5081086052dad").unwrap()
}

fn client() -> Diagram {
    Subject {
        name: "onetrip-jingle-xmlstream: `socks5::Client`",
        table: "jingle-xmlstream/src/socks5/client.rs",
        state: &printed("state"),
        begins: &[("", &|| {
            socks5::Client::new(Instant::EPOCH, destination(), socks5::Timeouts::default())
        })],
        inputs: &[
            ("no authentication needed", &|machine| {
                let _ = machine.receive(&[5, 0]);
            }),
            ("no method in common", &|machine| {
                let _ = machine.receive(&[5, 255]);
            }),
            ("the reply connected", &|machine| {
                let _ = machine.receive(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
            }),
            ("the reply refused", &|machine| {
                let _ = machine.receive(&[5, 2, 0, 1, 0, 0, 0, 0, 0, 0]);
            }),
            ("no SOCKS5", &|machine| {
                let _ = machine.receive(b"<stream");
            }),
            ("its deadline", &|machine| machine.handle_timeout(late())),
        ],
        drain: &|machine| machine.poll_action().is_some(),
    }
    .explore()
}

/// A streamhost's end, and what it expects.
#[derive(Debug)]
struct Host {
    connection: socks5::Connection,
    expected: socks5::Expected,
}

impl Host {
    fn new() -> Self {
        let mut expected = socks5::Expected::new();
        expected.expect(vec![destination()]);
        Self {
            connection: socks5::Connection::new(Instant::EPOCH, socks5::Timeouts::default()),
            expected,
        }
    }

    fn receive(&mut self, bytes: &[u8]) {
        let _ = self
            .connection
            .receive(Instant::EPOCH, &mut self.expected, bytes);
    }

    fn request(&mut self, destination: &[u8]) {
        self.receive(&[&[5, 1, 0, 3, 40], destination, &[0, 0]].concat());
    }
}

fn connection() -> Diagram {
    Subject {
        name: "onetrip-jingle-xmlstream: `socks5::Connection`",
        table: "jingle-xmlstream/src/socks5/connection.rs",
        state: &printed("connection.state"),
        begins: &[("", &Host::new)],
        inputs: &[
            ("the greeting", &|host| host.receive(&[5, 1, 0])),
            ("a greeting without a method of ours", &|host| {
                host.receive(&[5, 1, 2])
            }),
            ("a request that is expected", &|host| {
                host.request(b"972b7bf47291ca609517f67f86b5081086052dad");
            }),
            ("a request of a stranger", &|host| host.request(&[b'0'; 40])),
            ("no SOCKS5", &|host| host.receive(b"<stream")),
            ("used()", &|host| host.connection.used()),
            ("its deadline", &|host| {
                host.connection.handle_timeout(late(), &mut host.expected)
            }),
        ],
        drain: &|host| host.connection.poll_action().is_some(),
    }
    .explore()
}

fn gate() -> Diagram {
    Subject {
        name: "onetrip-jingle-xmlstream: `xtls::Gate`",
        table: "jingle-xmlstream/src/xtls/mod.rs",
        state: &printed("state"),
        begins: &[("", &|| {
            let announced = Security::offer(Fingerprint::of(b"certificate", Hash::Sha256));
            Gate::new(Policy::default(), Role::Initiator, Some(&announced)).unwrap()
        })],
        inputs: &[
            ("transport_ready()", &|gate| {
                let _ = gate.transport_ready();
            }),
            ("agreed()", &|gate| {
                let _ = gate.agreed();
            }),
            ("established() with the certificate", &|gate| {
                let _ = gate.established(Some(b"certificate"));
            }),
            ("established() with another", &|gate| {
                let _ = gate.established(Some(b"another"));
            }),
        ],
        drain: &|_| false,
    }
    .explore()
}
