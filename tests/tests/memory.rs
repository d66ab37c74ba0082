//! What a peer can make a connection take of memory, whatever it sends within the limits or against them: before authentication
//! and after, while its bytes are looked at and from then on, and what waits at the bound of each queue and table.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use allocation_counter::measure;
use onetrip_core::bidi::{Initiator, InitiatorConfig, Layer, Trust};
use onetrip_core::dialback::{Ask, ConnectionId, Facts, Key, Receiving, ReceivingConfig, StreamId};
use onetrip_core::jingle::ibb;
use onetrip_core::quickstart::Level;
use onetrip_core::stream::{Content, Domain, Env, Instant, Jid, Limits, Pair, Stanza, ns};
use onetrip_core::stream_management::{AckPolicy, Count, Ledger, QueueLimits, Sessions};
use onetrip_core::{Connection, Peers, PeersConfig};
use onetrip_simulator::Seeded;
use onetrip_tests::house::House;
use onetrip_tests::servers::{Servers, inbound, outbound, plan};
use onetrip_tests::words::{ACCOUNT, AUTH, HEADER, RESPONSE};

const KIB: usize = 1024;
/// What a connection holds whose peer has not authenticated, all of the connection included.
const HELD_BEFORE: usize = 48 * KIB;
/// What it takes at most while it looks at what has come: a tree of 256 elements.
const PEAK_BEFORE: usize = 192 * KIB;
/// What a connection holds whose peer has authenticated: the beginning of a stanza of 256 KiB.
const HELD_AFTER: usize = (256 + 32) * KIB;
/// What it takes at most while it looks at what has come: the stanza, and its safe form, which is up to eight times as long.
const PEAK_AFTER: usize = 9 * 256 * KIB + 1024 * KIB;
/// A connection at rest.
const AT_REST: usize = 10 * KIB;

const PEER: &str = "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
                    xmlns:db='jabber:server:dialback' from='FROM' to='TO' id='x' version='1.0'>";

fn env<R>(call: impl FnOnce(&mut Env<'_>) -> R) -> R {
    call(&mut Env::new(Instant::EPOCH, &mut Seeded::new(1)))
}

/// What was allocated: what is still held when it is over, and the most at a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Taken {
    held: usize,
    peak: usize,
}

fn taken<R>(call: impl FnOnce() -> R) -> Taken {
    let mut result = None;
    let info = measure(|| result = Some(call()));
    Taken {
        // Less than nothing where more is given back than is kept.
        held: usize::try_from(info.bytes_current.max(0)).unwrap(),
        peak: usize::try_from(info.bytes_max).unwrap(),
    }
}

/// The worst of several, and which it was.
#[derive(Default)]
struct Worst {
    held: (usize, String),
    peak: (usize, String),
}

impl Worst {
    fn note(&mut self, what: &str, taken: &Taken) {
        self.held = self.held.clone().max((taken.held, what.to_owned()));
        self.peak = self.peak.clone().max((taken.peak, what.to_owned()));
    }

    fn check(&self, held: usize, peak: usize) {
        println!("held: {} bytes ({})", self.held.0, self.held.1);
        println!("peak: {} bytes ({})", self.peak.0, self.peak.1);
        assert!(
            self.held.0 <= held && self.peak.0 <= peak,
            "{held} and {peak} are allowed"
        );
    }
}

/// Gives bytes in as they come from a socket; what comes out is gone at once.
fn give(connection: &mut Connection, bytes: &[u8]) {
    drain(connection);
    for piece in bytes.chunks(4 * KIB) {
        let _ = env(|env| connection.receive(env, piece));
        drain(connection);
    }
}

fn drain(connection: &mut Connection) {
    while connection.poll_action().is_some() {}
}

/// What costs most for what it is long, as the inside of a stream: whole, and without its end.
fn shapes(limits: &Limits, around: &str) -> Vec<(String, String)> {
    let most = limits.element - 200;
    let (open, close) = (
        format!("<{around}>"),
        format!("</{}>", around.split(' ').next().unwrap()),
    );
    let inside = |text: String| format!("{open}{text}{close}");
    let many = |unit: &str, count: usize| unit.repeat(count.min(most / unit.len()));
    let attributes = |unit: fn(usize) -> String| {
        let list: String = (0..limits.attributes - 4).map(unit).collect();
        format!("<{around}{}/>", &list[..list.len().min(most)])
    };
    let values = "v".repeat((most / (limits.attributes - 2)).min(limits.token) - 12);
    let list: String = (0..limits.attributes - 4)
        .map(|number| format!(" a{number}='{values}'"))
        .collect();
    let deep = limits.depth - 1;
    let few: String = (0..most / deep / 20)
        .map(|number| format!(" a{number:03}='v'"))
        .take(limits.attributes - 4)
        .collect();
    let whole = [
        ("text", inside("x".repeat(most))),
        ("text that is escaped", inside(many("&amp;", most))),
        ("text that grows in the safe form", inside(many(">", most))),
        ("carriage returns by number", inside(many("&#13;", most))),
        ("CDATA", inside(many("<![CDATA[>]]>", most))),
        ("letters of four bytes", inside(many("\u{1F600}", most))),
        ("empty elements", inside(many("<a/>", limits.elements - 1))),
        (
            "elements of other namespaces",
            inside(many("<a xmlns='u'/>", limits.elements - 1)),
        ),
        (
            "elements with text",
            inside(many("<a>b</a>", limits.elements - 1)),
        ),
        ("attributes", attributes(|number| format!(" a{number}='v'"))),
        ("long attributes", format!("<{around}{list}/>")),
        (
            "prefixes",
            attributes(|number| format!(" xmlns:a{number}='u'")),
        ),
        (
            "a long value",
            format!("<{around} a='{}'/>", "v".repeat(limits.token.min(most))),
        ),
        (
            "a long namespace",
            inside(many(
                &format!("<a xmlns='{}'/>", "u".repeat(limits.namespace - 10)),
                limits.elements - 1,
            )),
        ),
        ("depth", inside("<a>".repeat(deep) + &"</a>".repeat(deep))),
        (
            "depth of namespaces",
            inside("<a xmlns='u'>".repeat(deep) + &"</a>".repeat(deep)),
        ),
        (
            "attributes at every depth",
            inside(format!("<a{few}>").repeat(deep) + &"</a>".repeat(deep)),
        ),
        (
            "a long prefix that many use",
            format!(
                "<{around} xmlns:p='{}'>{}{close}",
                "u".repeat(limits.namespace),
                many("<p:a/>", limits.elements - 1)
            ),
        ),
    ];
    let mut shapes = Vec::new();
    for (name, text) in whole {
        let cut = text
            .trim_end_matches(&close)
            .trim_end_matches("/>")
            .to_owned();
        shapes.push((format!("{name}, without an end"), cut));
        shapes.push((name.to_owned(), text));
    }
    shapes
}

/// Against the limits: the same again and again, until it is enough.
fn floods(begin: &str) -> Vec<(String, String)> {
    let again = |unit: &str| format!("{begin}{}", unit.repeat(128 * KIB / unit.len()));
    vec![
        ("white space".to_owned(), again(" ")),
        ("nothing but beginnings".to_owned(), again("<a>")),
        (
            "a name without end".to_owned(),
            format!("{begin}<{}", "a".repeat(128 * KIB)),
        ),
        (
            "a value without end".to_owned(),
            format!("{begin}<a b='{}", "c".repeat(128 * KIB)),
        ),
        (
            "a tag without end".to_owned(),
            format!("{begin}<a {}", again(" ")),
        ),
        (
            "attributes without end".to_owned(),
            format!("{begin}<a{}", " b=''".repeat(20 * KIB)),
        ),
        (
            "a header without end".to_owned(),
            format!("{}{}", &begin[..begin.len() - 1], again(" ")),
        ),
        (
            "a reference without end".to_owned(),
            format!("{begin}<a>&{}", "c".repeat(128 * KIB)),
        ),
        (
            "a footer that does not end".to_owned(),
            format!("{begin}</stream:stream{}", " ".repeat(128 * KIB)),
        ),
        (
            "requests behind a decision".to_owned(),
            format!("{begin}{AUTH}{}", again("<a/>")),
        ),
        (
            "one attempt behind the other".to_owned(),
            again(&AUTH.replace("AGp1", "!")),
        ),
    ]
}

/// A connection whose peer has not authenticated, made anew.
type Fresh<'a> = (&'a str, String, Box<dyn Fn() -> Connection>);

fn fresh() -> Vec<Fresh<'static>> {
    let peer = |from: &str, to: &str| PEER.replace("FROM", from).replace("TO", to);
    vec![
        (
            "a client",
            RESPONSE.to_owned(),
            Box::new(|| {
                let mut house = House::default();
                let client = house.client();
                house.sides.swap_remove(client).connection
            }),
        ),
        (
            "a server",
            HEADER.to_owned(),
            Box::new(|| {
                let config = House::default().server_config();
                env(|env| Connection::server(config, env))
            }),
        ),
        (
            "a server with SASL2",
            HEADER.to_owned(),
            Box::new(|| {
                let house = House {
                    later: true,
                    fast: true,
                    ..House::default()
                };
                env(|env| Connection::server(house.server_config(), env))
            }),
        ),
        (
            "a server that opens",
            peer("montague.lit", "capulet.lit"),
            Box::new(|| {
                let plan = plan(&outbound(), Level::Off, None);
                env(|env| Connection::outbound(outbound(), plan, env))
            }),
        ),
        (
            "a server that was opened to",
            peer("capulet.lit", "montague.lit"),
            Box::new(|| env(|env| Connection::inbound(inbound(), env))),
        ),
    ]
}

#[test]
fn before_authentication() {
    let mut worst = Worst::default();
    for (who, header, make) in fresh() {
        let element = format!("auth xmlns='{}' mechanism='PLAIN'", ns::SASL);
        let mut cases = floods(&header);
        for around in ["x xmlns='urn:x'", "stream:features", &element, "message"] {
            for (shape, text) in shapes(&Limits::UNAUTHENTICATED, around) {
                cases.push((format!("{shape} in <{around}>"), format!("{header}{text}")));
            }
        }
        for (what, bytes) in &cases {
            let taken = taken(|| {
                let mut connection = secured(make());
                give(&mut connection, bytes.as_bytes());
                connection
            });
            worst.note(&format!("{who}, {what}"), &taken);
        }
    }
    worst.check(HELD_BEFORE, PEAK_BEFORE);
}

/// TLS is there.
fn secured(mut connection: Connection) -> Connection {
    drain(&mut connection);
    let info = onetrip_core::TlsInfo::new();
    let _ = env(|env| connection.tls_established(env, info, &[]));
    connection
}

/// Connections whose peers have authenticated, and what a stanza to them begins with.
fn online() -> Vec<(&'static str, &'static str, Connection)> {
    let mut house = House::default();
    let [client, server] = house.pair();
    let mut servers = Servers::default();
    let ends = servers.connect(outbound(), inbound(), true);
    let [two, one] = [ends[1], ends[0]].map(|end| servers.sides.swap_remove(end).connection);
    let server = house.sides.swap_remove(server).connection;
    let client = house.sides.swap_remove(client).connection;
    vec![
        ("a client", "message", client),
        ("a server", "message", server),
        (
            "a server that opened",
            "message from='a@montague.lit' to='b@capulet.lit'",
            one,
        ),
        (
            "a server that was opened to",
            "message from='a@capulet.lit' to='b@montague.lit'",
            two,
        ),
        (
            "a link",
            "message from='a@air.example' to='b@ground.example'",
            onetrip_tests::links::agreed("acks", true),
        ),
    ]
}

#[test]
fn after_authentication() {
    let mut worst = Worst::default();
    let places = online().len();
    for place in 0..places {
        let around = online().swap_remove(place).1;
        for (shape, text) in shapes(&Limits::AUTHENTICATED, around) {
            let (who, _, mut connection) = online().swap_remove(place);
            let taken = taken(|| give(&mut connection, text.as_bytes()));
            worst.note(&format!("{who}, {shape}"), &taken);
        }
    }
    worst.check(HELD_AFTER, PEAK_AFTER);
}

#[test]
fn at_rest() {
    for (who, _, make) in fresh() {
        let Taken { held, .. } = taken(|| {
            let mut connection = make();
            drain(&mut connection);
            connection
        });
        println!("{who}, just made: {held} bytes");
        assert!(held <= AT_REST, "{who}: {held} bytes");
    }
    // What a stanza took is given back.
    for (who, around, mut connection) in online() {
        let stanza = format!("<{around}><body>{}</body></message>", "x".repeat(200 * KIB));
        let before = measure(|| drain(&mut connection)).bytes_current;
        let info = measure(|| {
            give(&mut connection, stanza.as_bytes());
            connection.handled(1);
            drain(&mut connection);
        });
        let kept = info.bytes_current + before;
        println!("{who}, behind a stanza of 200 KiB: {kept} bytes more");
        assert!(kept <= i64::try_from(KIB).unwrap(), "{who}: {kept} bytes");
    }
}

/// The longest name of a domain, with a number in it.
fn long(number: usize) -> Domain {
    Domain::new(&format!("{}{number:03}", "d".repeat(1020))).unwrap()
}

fn stanza(bytes: usize) -> Stanza {
    let frame = "<message from='a@capulet.lit' to='b@verona.lit'></message>".len();
    let text = format!(
        "<message from='a@capulet.lit' to='b@verona.lit'>{}</message>",
        "x".repeat(bytes - frame)
    );
    Stanza::parse(text.as_bytes(), Content::Server).unwrap()
}

/// Something that is full, how many bytes that may take, and how it is filled.
type Full = (
    &'static str,
    usize,
    Box<dyn FnOnce() -> Box<dyn std::any::Any>>,
);

/// What waits at the bound of each queue and table: what it is told to hold, and what goes with that.
#[test]
fn queues_and_tables_at_their_bounds() {
    let owner: Jid = ACCOUNT.parse().unwrap();
    let table: [Full; 6] = [
        (
            "1 MiB in 512 stanzas that are not acknowledged",
            1024 * KIB + 512 * 160,
            Box::new(|| {
                let mut ledger = Ledger::new(QueueLimits::default(), AckPolicy::default());
                for _ in 0..512 {
                    assert!(
                        ledger
                            .send(Instant::EPOCH, vec![b'x'; 2 * KIB].into())
                            .1
                            .is_empty()
                    );
                }
                Box::new(ledger)
            }),
        ),
        (
            "4096 sessions that are over",
            4096 * 512,
            Box::new(move || {
                let mut sessions = Sessions::new(Duration::from_secs(300), QueueLimits::default());
                for number in 0..10_000 {
                    sessions.end(
                        &format!("a-name-of-22-chars-{number:04}"),
                        &owner,
                        Count::new(1),
                    );
                }
                Box::new(sessions)
            }),
        ),
        (
            "4 MiB that wait for connections",
            4 * 1024 * KIB + 512 * KIB,
            Box::new(|| {
                let mut peers = Peers::new(PeersConfig::default());
                for _ in 0..1000 {
                    peers.route(stanza(20 * KIB));
                    while peers.poll_action().is_some() {}
                }
                Box::new(peers)
            }),
        ),
        // Each name stands there twice: as proved, and as entered.
        (
            "256 pairs of the longest names, and verifications of 16 of them",
            256 * 4 * 2 * KIB,
            Box::new(|| {
                let id = StreamId::new("s").unwrap();
                let mut machine =
                    Receiving::new(ConnectionId(1), id).with_config(ReceivingConfig::default());
                for number in 0..300 {
                    let pair = Pair::new(long(number), long(999));
                    let facts = Facts::of(&pair, |name| *name == long(999)).secured();
                    let facts = if number < 240 {
                        facts.certified()
                    } else {
                        facts
                    };
                    let key = Key::read("6b6579").unwrap();
                    env(|env| machine.handle(env, &Ask { pair, key }, facts));
                    while machine.poll_action().is_some() {}
                }
                Box::new(machine)
            }),
        ),
        (
            "256 pairs of the longest names that are open",
            256 * 4 * KIB,
            Box::new(|| {
                let mut machine =
                    Initiator::new(InitiatorConfig::default(), Content::Server, Layer::Tls);
                for number in 0..300 {
                    let pair = Pair::new(long(999), long(number));
                    let entered =
                        machine.validated(&pair, Trust::Certificate, |name| *name == long(999));
                    assert_eq!(entered.is_ok(), number < 256);
                    while machine.poll_action().is_some() {}
                }
                Box::new(machine)
            }),
        ),
        (
            "what nobody reads of an in-band bytestream",
            2 * 64 * KIB + 32 * KIB,
            Box::new(|| {
                let peer: Jid = "romeo@montague.lit/orchard".parse().unwrap();
                let mut stream = env(|env| {
                    ibb::Bytestream::established(ibb::Config::default(), env, peer.clone(), "sid")
                });
                let chunk = onetrip_tests::base64(&[7; 3 * 1365]);
                for seq in 0..100 {
                    let data = format!(
                        "<iq type='set' id='{seq}' from='{peer}'><data xmlns='{}' sid='sid' seq='{seq}'>{chunk}</data></iq>",
                        ns::IBB
                    );
                    let data = Stanza::parse(data.as_bytes(), Content::Client).unwrap();
                    let _ = stream.handle(Instant::EPOCH, &data);
                    while stream.poll_action().is_some() {}
                }
                Box::new(stream)
            }),
        ),
    ];
    for (what, allowed, fill) in table {
        let Taken { held, .. } = taken(fill);
        println!("{what}: {held} bytes");
        assert!(held <= allowed, "{what}: {held} bytes of {allowed}");
    }
}
