//! Clients and their servers: either end against whatever the other might write, and both against each other.

use std::borrow::Cow;
use std::ops::DerefMut;

use onetrip_core::negotiation::sasl::{Mechanism, ReceiverConfig};
use onetrip_core::quickstart::{Cache, Features, Key, Known, Level, Policy, Transport};
use onetrip_core::stream::{Content, Instant, Jid, Stanza};
use onetrip_core::{ClientConfig, Connection, Entity, Event, ServerConfig};

use onetrip_simulator::Seeded;

use super::Input;
use super::alone::{Alone, STEPS};
use super::lines::Reader;
use super::watch;
use crate::house::House;
use crate::words::{ACCOUNT, stored, ticket};

/// A client against whatever a server might write.
pub(super) fn client(data: &[u8]) {
    let mut input = Input::new(data);
    lone_client(&mut input).run(&mut input);
}

/// A server against whatever a client might write.
pub(super) fn server(data: &[u8]) {
    let mut input = Input::new(data);
    lone_server(&mut input).run(&mut input);
}

/// A client and nobody else, as the input says.
pub(super) fn lone_client(input: &mut Input<'_>) -> One<Box<House>> {
    let (mut house, config) = client_of(input);
    let direct = config.transport == Transport::DirectTls;
    let place = house.client_of(config);
    One {
        house: Box::new(house),
        place,
        direct,
        lines: Reader::Client.lines(),
    }
}

/// A server and nobody else, as the input says.
pub(super) fn lone_server(input: &mut Input<'_>) -> One<Box<House>> {
    let mut house = Box::<House>::default();
    let config = server_of(input, &mut house);
    let direct = config.transport == Transport::DirectTls;
    let place = house.server_as(config);
    One {
        house,
        place,
        direct,
        lines: Reader::Server.lines(),
    }
}

/// One end of what is in a house.
pub(super) struct One<H> {
    house: H,
    place: usize,
    direct: bool,
    lines: Vec<&'static str>,
}

impl<H: DerefMut<Target = House>> Alone for One<H> {
    fn step(&mut self, input: &mut Input<'_>) {
        step(input, &mut self.house, self.place, &self.lines);
    }

    fn wake(&mut self) -> bool {
        wake(&mut self.house, self.place)
    }

    fn close(&mut self) {
        self.house
            .with(self.place, |connection, env| connection.close(env));
    }

    fn settle_randomness(&mut self) {
        self.house.entropy = Seeded::new(7);
    }

    fn now(&self) -> Instant {
        self.house.now
    }

    fn connection(&self) -> &Connection {
        &self.house.sides[self.place].connection
    }

    fn events(&self) -> &[Event] {
        &self.house.sides[self.place].events
    }

    fn written(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.house.sides[self.place].written)
    }

    fn is_closed(&self) -> bool {
        self.house.sides[self.place].closed
    }

    fn is_direct(&self) -> bool {
        self.direct
    }
}

/// A client that is set up, and remembers, as the input says.
fn client_of(input: &mut Input<'_>) -> (House, ClientConfig) {
    let mut house = House::default();
    let bits = input.byte();
    house.later = bits & 1 != 0;
    house.fast = bits & 2 != 0;
    house.level = Level::ALL[usize::from(bits >> 2 & 3)];
    let mut config = house.client_config();
    config.transport = if bits & 16 != 0 {
        Transport::StartTls
    } else {
        Transport::DirectTls
    };
    if bits & 32 != 0 {
        config.sasl.allowed = vec![Mechanism::Plain, Mechanism::External];
    }
    if bits & 64 != 0 {
        config.management = None;
    }
    let more = input.byte();
    if more & 1 != 0 {
        remember(&mut house, config.transport, more & 8 != 0);
    }
    if more & 2 != 0 {
        let session = if more & 4 != 0 {
            stored().with_ticket(ticket())
        } else {
            stored()
        };
        house.entity.keep(session);
    }
    (house, config)
}

/// What an earlier session has shown.
fn remember(house: &mut House, transport: Transport, later: bool) {
    let account: Jid = ACCOUNT.parse().expect("an address");
    let key = Key::new(account.domain().clone(), Some(&account), transport);
    let offer = if later {
        "<features xmlns='http://etherx.jabber.org/streams'><authentication xmlns='urn:xmpp:sasl:2'><mechanism>PLAIN</mechanism>\
         <inline><bind xmlns='urn:xmpp:bind:0'><inline><feature var='urn:xmpp:sm:3'/></inline></bind><sm xmlns='urn:xmpp:sm:3'/>\
         <fast xmlns='urn:xmpp:fast:0'><mechanism>HT-SHA-256-NONE</mechanism></fast></inline></authentication></features>"
    } else {
        "<features xmlns='http://etherx.jabber.org/streams'><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
         <mechanism>PLAIN</mechanism></mechanisms><pipelining xmlns='urn:xmpp:features:pipelining'/></features>"
    };
    let features = Features::read(&offer.parse().expect("features"));
    let mut cache = Cache::default();
    cache.remember(
        &key,
        Known::new(features, Features::default(), "PLAIN".to_owned(), 0),
    );
    house.entity = Entity::new(cache, Policy::default());
}

/// A server that is set up as the input says.
fn server_of(input: &mut Input<'_>, house: &mut House) -> ServerConfig {
    let bits = input.byte();
    house.later = bits & 1 != 0;
    house.fast = bits & 2 != 0;
    house.instant = bits & 4 != 0;
    house.decides = bits & 8 == 0;
    let mut config = house.server_config();
    config.transport = if bits & 16 != 0 {
        Transport::StartTls
    } else {
        Transport::DirectTls
    };
    config.quickstart.advertise = bits & 32 == 0;
    config.quickstart.proactive_header = bits & 64 != 0;
    if bits & 128 != 0 {
        config.sasl = ReceiverConfig::new(vec![
            Mechanism::Plain,
            Mechanism::External,
            Mechanism::Anonymous,
        ]);
    }
    config
}

/// Steps that are no lines: the clock, a decision, what the application does, the end of the transport.
pub(super) const OTHERS: &[&[u8]] = &[
    &[192],
    &[208],
    &[216, 0],
    &[216, 1],
    &[216, 2],
    &[216, 3],
    &[224],
];

fn step(input: &mut Input<'_>, house: &mut House, place: usize, lines: &[&str]) {
    match input.byte() {
        0..128 => give(house, place, input.choose(lines).as_bytes()),
        128..160 => give(house, place, input.piece()),
        160..176 => {
            let mut line = input.choose(lines).as_bytes().to_vec();
            spoil(input, &mut line);
            give(house, place, &line);
        }
        176..192 => {
            let (first, second) = (input.choose(lines), input.choose(lines));
            give(house, place, [*first, *second].concat().as_bytes());
        }
        192..208 => {
            wake(house, place);
        }
        208..216 => {
            let answer = house.decide(place);
            answer
                .into_iter()
                .for_each(|answer| house.give_late(place, answer));
        }
        216..224 => act(input, house, place),
        224..232 => house.cut(place),
        _ => {
            house.now = house.now + std::time::Duration::from_millis(u64::from(input.byte()) * 16);
        }
    }
}

/// Changes a byte, leaves out what is behind it, or puts one in.
pub(super) fn spoil(input: &mut Input<'_>, bytes: &mut Vec<u8>) {
    let at = usize::from(input.number())
        .checked_rem(bytes.len())
        .unwrap_or(0);
    match input.below(3) {
        0 if at < bytes.len() => bytes[at] = input.byte(),
        1 => bytes.truncate(at),
        _ => bytes.insert(at, input.byte()),
    }
}

fn give(house: &mut House, place: usize, bytes: &[u8]) {
    if let Err(error) = house.give(place, bytes) {
        assert!(house.sides[place].closed, "{error}");
        assert_eq!(
            house.give(place, b"<more/>").as_ref(),
            Err(&error),
            "it is repeated"
        );
    }
}

/// What the application does.
fn act(input: &mut Input<'_>, house: &mut House, place: usize) {
    // What cannot be done now changes nothing.
    match input.below(4) {
        0 => house.with(place, |connection, env| connection.close(env)),
        1 => {
            let stanza = Stanza::parse(b"<message id='7'/>", Content::Client).expect("a stanza");
            let online = house.sides[place].connection.is_online();
            let sent = house.with(place, |connection, env| connection.send(env, &stanza));
            assert!(sent.is_err() || online);
        }
        2 => house.handled(place, 1),
        _ => drop(house.with(place, |connection, env| connection.bind(env, Some("other")))),
    }
}

fn wake(house: &mut House, place: usize) -> bool {
    let (side, now, entropy) = (&mut house.sides[place], &mut house.now, &mut house.entropy);
    let woken = watch::wake(&mut side.connection, now, entropy);
    house.with(place, |_, _| ());
    woken
}

/// Both ends; what is between them delays, splits, spoils and cuts.
pub(super) fn pair(data: &[u8]) {
    let mut input = Input::new(data);
    let (mut house, client) = client_of(&mut input);
    let mut server = server_of(&mut input, &mut house);
    server.transport = client.transport;
    house.decides = true;
    let direct = client.transport == Transport::DirectTls;
    let ends = [house.client_of(client), house.server_as(server)];
    let mut wires = [Vec::new(), Vec::new()];
    let (mut honest, mut sent) = (true, [0, 0]);
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        match input.byte() {
            byte @ 0..160 => {
                let most = if byte < 128 {
                    usize::from(input.byte()) + 1
                } else {
                    usize::MAX
                };
                deliver(&mut house, ends, &mut wires, usize::from(byte & 1), most);
            }
            160..192 => {
                for end in ends {
                    wake(&mut house, end);
                }
            }
            byte @ 192..224 => {
                let end = usize::from(byte & 1);
                let stanza =
                    Stanza::parse(b"<message id='7'/>", Content::Client).expect("a stanza");
                let told = house.with(ends[end], |connection, env| connection.send(env, &stanza));
                sent[end] += usize::from(told.is_ok());
            }
            byte @ 224..232 => {
                honest = false;
                let wire = &mut wires[usize::from(byte & 1)];
                spoil(&mut input, wire);
            }
            byte @ 232..236 => {
                honest = false;
                house.cut(ends[usize::from(byte & 1)]);
            }
            byte @ 236..240 => {
                honest = false;
                house.with(ends[usize::from(byte & 1)], |connection, env| {
                    connection.close(env)
                });
            }
            _ => {}
        }
        for end in ends {
            one(&mut house, end, direct).check();
        }
    }
    settle(&mut house, ends, &mut wires, direct);
    let both = ends.map(|end| house.sides[end].closed);
    if honest {
        assert!(
            both == [false, false] || both == [true, true],
            "they disagree"
        );
        if both == [false, false] {
            assert!(
                ends.iter()
                    .all(|end| house.sides[*end].connection.is_online()),
                "both wait"
            );
            let got = [1, 0].map(|end: usize| house.sides[ends[end]].stanzas().len());
            // A ping of the client's own asks whether what went ahead was read (QS-R10).
            assert!(
                got[0] >= sent[0] && got[1] == sent[1],
                "{got:?} of {sent:?}"
            );
        }
    }
    for end in ends {
        one(&mut house, end, direct).finish();
    }
}

fn one(house: &mut House, place: usize, direct: bool) -> One<&mut House> {
    let lines = Vec::new();
    One {
        house,
        place,
        direct,
        lines,
    }
}

fn deliver(
    house: &mut House,
    ends: [usize; 2],
    wires: &mut [Vec<u8>; 2],
    from: usize,
    most: usize,
) -> usize {
    let new = house.take_wire(ends[from]);
    wires[from].extend(new);
    let count = wires[from].len().min(most);
    let bytes: Vec<u8> = wires[from].drain(..count).collect();
    if count > 0 {
        give(house, ends[1 - from], &bytes);
    }
    count
}

/// Everything is delivered, and time passes only when nothing moves.
fn settle(house: &mut House, ends: [usize; 2], wires: &mut [Vec<u8>; 2], direct: bool) {
    for _ in 0..1000 {
        let moved =
            deliver(house, ends, wires, 0, usize::MAX) + deliver(house, ends, wires, 1, usize::MAX);
        for end in ends {
            one(house, end, direct).check();
        }
        if moved > 0 {
            continue;
        }
        // One of the two is gone: the other learns of it.
        for end in 0..2 {
            if house.sides[ends[end]].closed && !house.sides[ends[1 - end]].closed {
                house.cut(ends[1 - end]);
            }
        }
        let done =
            |end: &usize| house.sides[*end].closed || house.sides[*end].connection.is_online();
        if ends.iter().all(done) {
            return;
        }
        for end in ends {
            wake(house, end);
        }
    }
    panic!("they never come to rest");
}
