//! Servers that negotiate: either side against whatever the other might write, and both against each other.

use std::borrow::Cow;
use std::ops::DerefMut;

use onetrip_core::dialback::{Awaited, Checked, Reason, Verdict};
use onetrip_core::quickstart::{Level, Transport};
use onetrip_core::stream::Instant;
use onetrip_core::{
    Answer, Connection, Event, InboundConfig, OutboundConfig, Request, ReverseFacts,
};

use onetrip_simulator::Seeded;

use super::Input;
use super::alone::{Alone, STEPS};
use super::clients::spoil;
use super::lines::Reader;
use super::watch;
use crate::servers::{self, Servers, dialback, domain, message, pair as pair_of, plan};

const DOMAINS: [&str; 5] = [
    "capulet.lit",
    "montague.lit",
    "chat.capulet.lit",
    "chat.montague.lit",
    "mallory.lit",
];

/// The server that opens, against whatever its peer might write.
pub(super) fn outbound(data: &[u8]) {
    let mut input = Input::new(data);
    lone_outbound(&mut input).run(&mut input);
}

/// The server that is opened to, against whatever its peer might write.
pub(super) fn inbound(data: &[u8]) {
    let mut input = Input::new(data);
    lone_inbound(&mut input).run(&mut input);
}

/// The server that opens and nobody else, as the input says.
pub(super) fn lone_outbound(input: &mut Input<'_>) -> One<Box<Servers>> {
    let mut servers = Box::<Servers>::default();
    let place = open(input, &mut servers);
    let lines = Reader::Peer.lines();
    One {
        servers,
        place,
        lines,
    }
}

/// The server that is opened to and nobody else, as the input says.
pub(super) fn lone_inbound(input: &mut Input<'_>) -> One<Box<Servers>> {
    let mut servers = Box::<Servers>::default();
    let place = accept(input, &mut servers, None);
    let lines = Reader::Peer.lines();
    One {
        servers,
        place,
        lines,
    }
}

/// One end between servers.
pub(super) struct One<S> {
    servers: S,
    place: usize,
    lines: Vec<&'static str>,
}

impl<S: DerefMut<Target = Servers>> Alone for One<S> {
    fn step(&mut self, input: &mut Input<'_>) {
        step(input, &mut self.servers, self.place, &self.lines);
    }

    fn wake(&mut self) -> bool {
        wake(&mut self.servers, self.place)
    }

    fn close(&mut self) {
        self.servers
            .with(self.place, |connection, env| connection.close(env));
    }

    fn settle_randomness(&mut self) {
        self.servers.entropy = Seeded::new(7);
    }

    fn now(&self) -> Instant {
        self.servers.now
    }

    fn connection(&self) -> &Connection {
        &self.servers.sides[self.place].connection
    }

    fn events(&self) -> &[Event] {
        &self.servers.sides[self.place].events
    }

    fn written(&self) -> Cow<'_, str> {
        Cow::Owned(self.servers.sides[self.place].written())
    }

    fn is_closed(&self) -> bool {
        self.servers.sides[self.place].closed
    }

    fn is_direct(&self) -> bool {
        false
    }
}

fn one(servers: &mut Servers, place: usize) -> One<&mut Servers> {
    let lines = Vec::new();
    One {
        servers,
        place,
        lines,
    }
}

fn transport(bit: bool) -> Transport {
    if bit {
        Transport::StartTls
    } else {
        Transport::DirectTls
    }
}

fn open(input: &mut Input<'_>, servers: &mut Servers) -> usize {
    let bits = input.byte();
    let config: OutboundConfig = outbound_config(bits);
    let remembered: Option<&[(&str, &str)]> = match bits >> 4 & 3 {
        0 => None,
        1 => Some(&[
            ("bidi", "urn:xmpp:features:bidi"),
            ("dialback", "urn:xmpp:features:dialback"),
        ]),
        _ => Some(&[
            ("dialback", "urn:xmpp:features:dialback"),
            ("pipelining", "urn:xmpp:features:pipelining"),
        ]),
    };
    let level = *input.choose(&Level::ALL);
    let plan = plan(&config, level, remembered);
    let names: &[&str] = if bits & 64 != 0 {
        &["montague.lit"]
    } else {
        &[]
    };
    servers.open(config, plan, names)
}

fn outbound_config(bits: u8) -> OutboundConfig {
    let mut config = servers::outbound();
    config.transport = transport(bits & 1 != 0);
    config.dialback = (bits & 2 != 0).then(dialback);
    config.certificate = bits & 4 == 0;
    config.bidi.request = bits & 8 == 0;
    config.bidi.require_certificate = bits & 128 != 0;
    config
}

fn accept(input: &mut Input<'_>, servers: &mut Servers, forced: Option<Transport>) -> usize {
    let bits = input.byte();
    let mut config: InboundConfig = servers::inbound();
    config.transport = forced.unwrap_or(transport(bits & 1 != 0));
    config.dialback = (bits & 2 == 0).then(dialback);
    config.external = bits & 4 == 0;
    config.bidi.offer = bits & 8 == 0;
    config.quickstart.advertise = bits & 16 == 0;
    let names: &[&str] = if bits & 64 != 0 {
        &["capulet.lit"]
    } else {
        &[]
    };
    servers.accept(config, names)
}

/// Steps that are no lines: the clock, decisions, what the application does, the end of the transport.
pub(super) const OTHERS: &[&[u8]] = &[
    &[184],
    &[200, 0],
    &[200, 1],
    &[200, 3],
    &[224, 0, 0, 0],
    &[224, 0, 1, 1],
    &[224, 1, 0, 1],
    &[224, 3, 0, 1],
    &[224, 0, 3, 2],
    &[224, 3, 0, 2],
    &[240],
];

fn step(input: &mut Input<'_>, servers: &mut Servers, place: usize, lines: &[&str]) {
    match input.byte() {
        0..128 => give(servers, place, input.choose(lines).as_bytes()),
        128..152 => give(servers, place, input.piece()),
        152..168 => {
            let mut line = input.choose(lines).as_bytes().to_vec();
            spoil(input, &mut line);
            give(servers, place, &line);
        }
        168..184 => {
            let (first, second) = (input.choose(lines), input.choose(lines));
            give(servers, place, [*first, *second].concat().as_bytes());
        }
        184..200 => {
            wake(servers, place);
        }
        200..224 => decide(input, servers, place),
        224..240 => act(input, servers, place),
        240..248 => servers.with(place, |connection, env| connection.receive_eof(env)),
        _ => {
            servers.now =
                servers.now + std::time::Duration::from_millis(u64::from(input.byte()) * 16)
        }
    }
}

fn give(servers: &mut Servers, place: usize, bytes: &[u8]) {
    if let Err(error) = servers.give(place, bytes) {
        assert!(servers.sides[place].closed, "{error}");
        assert_eq!(
            servers.give(place, b"<more/>").as_ref(),
            Err(&error),
            "it is repeated"
        );
    }
}

/// Answers the oldest question, somehow.
fn decide(input: &mut Input<'_>, servers: &mut Servers, place: usize) {
    let Some(request) = servers.sides[place].asked.pop_front() else {
        return;
    };
    let choice = input.byte();
    // The connection may be over by now.
    let _ = servers.with(place, |connection, env| match request {
        Request::Verify(verification) => {
            let checked = match choice % 5 {
                0 => Checked::Answered(Verdict::Valid),
                1 => Checked::Answered(Verdict::Invalid),
                2 => Checked::Answered(Verdict::Error(Reason::ItemNotFound)),
                3 => Checked::ConnectFailed,
                _ => Checked::SameCertificate,
            };
            connection.verified(env, verification.ticket, checked)
        }
        Request::Vouch { .. } => {
            let awaited = if choice & 1 == 0 {
                Awaited::Elsewhere
            } else {
                Awaited::Nowhere
            };
            connection.answer(env, Answer::Awaited(awaited))
        }
        Request::Reverse { pair, .. } => {
            let mut facts = ReverseFacts::default();
            (facts.resolves_here, facts.fresh_id) = (choice & 1 == 0, choice & 2 == 0);
            connection.judged(env, &pair, facts)
        }
        other => panic!("{other:?}"),
    });
}

/// What the application does; what cannot be done now changes nothing.
fn act(input: &mut Input<'_>, servers: &mut Servers, place: usize) {
    let (from, to) = (*input.choose(&DOMAINS), *input.choose(&DOMAINS));
    match input.below(3) {
        0 => servers.with(place, |connection, env| connection.close(env)),
        1 => {
            let may = servers.sides[place]
                .connection
                .pairs()
                .is_some_and(|pairs| pairs.may_send(&domain(from), &domain(to)));
            let sent = servers.send(place, from, to);
            assert!(
                sent.is_err() || may,
                "a stanza of a pair that is not open: {from} to {to}"
            );
        }
        _ => {
            let asked = |connection: &mut Connection, env: &mut onetrip_core::stream::Env<'_>| {
                connection.ask(env, pair_of(from, to), true)
            };
            let _ = servers.with(place, asked);
        }
    }
}

fn wake(servers: &mut Servers, place: usize) -> bool {
    let woken = {
        let (side, now, entropy) = (
            &mut servers.sides[place],
            &mut servers.now,
            &mut servers.entropy,
        );
        watch::wake(&mut side.connection, now, entropy)
    };
    servers.with(place, |_, _| ());
    woken
}

/// Both sides; what is between them delays, splits, spoils and cuts, and keys are verified as the input says.
pub(super) fn pair(data: &[u8]) {
    let mut input = Input::new(data);
    let mut servers = Servers::default();
    let opener = open(&mut input, &mut servers);
    let same = if servers.sides[opener].written().contains("<starttls") || input.flag() {
        Transport::StartTls
    } else {
        Transport::DirectTls
    };
    let other = accept(&mut input, &mut servers, Some(same));
    let ends = [opener, other];
    let mut honest = true;
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
                deliver(&mut servers, ends, usize::from(byte & 1), most);
            }
            160..176 => ends.iter().for_each(|end| {
                wake(&mut servers, *end);
            }),
            byte @ 176..200 => decide(&mut input, &mut servers, ends[usize::from(byte & 1)]),
            byte @ 200..232 => {
                let end = ends[usize::from(byte & 1)];
                let (from, to) = (*input.choose(&DOMAINS), *input.choose(&DOMAINS));
                let stanza = message(from, to);
                let _ = servers.with(end, |connection, env| connection.send(env, &stanza));
            }
            byte @ 232..240 => {
                honest = false;
                spoil(
                    &mut input,
                    &mut servers.sides[ends[usize::from(byte & 1)]].wire,
                );
            }
            byte @ 240..246 => {
                honest = false;
                servers.with(ends[usize::from(byte & 1)], |connection, env| {
                    connection.receive_eof(env)
                });
            }
            byte => act(&mut input, &mut servers, ends[usize::from(byte & 1)]),
        }
        for end in ends {
            one(&mut servers, end).check();
        }
    }
    settle(&mut servers, ends, honest);
}

fn deliver(servers: &mut Servers, ends: [usize; 2], from: usize, most: usize) -> usize {
    let wire = &mut servers.sides[ends[from]].wire;
    let count = wire.len().min(most);
    let bytes: Vec<u8> = wire.drain(..count).collect();
    if count > 0 {
        give(servers, ends[1 - from], &bytes);
    }
    count
}

/// Everything is delivered and every key is good; time passes only when nothing moves.
fn settle(servers: &mut Servers, ends: [usize; 2], honest: bool) {
    for _ in 0..1000 {
        let mut moved =
            deliver(servers, ends, 0, usize::MAX) + deliver(servers, ends, 1, usize::MAX);
        for end in ends {
            while !servers.sides[end].asked.is_empty() {
                moved += 1;
                decide(&mut Input::new(&[]), servers, end);
            }
            one(servers, end).check();
        }
        if moved > 0 {
            continue;
        }
        for end in 0..2 {
            if servers.sides[ends[end]].closed && !servers.sides[ends[1 - end]].closed {
                servers.with(ends[1 - end], |connection, env| connection.receive_eof(env));
            }
        }
        let done =
            |end: &usize| servers.sides[*end].closed || servers.sides[*end].connection.is_online();
        if ends.iter().all(done) {
            break;
        }
        for end in ends {
            wake(servers, end);
        }
    }
    for end in ends {
        let side = &servers.sides[end];
        assert!(
            side.closed || side.connection.is_online(),
            "both wait: {:?}",
            side.events
        );
    }
    let pairs = ends.map(|end| servers.sides[end].connection.pairs().cloned());
    if let (true, [Some(ours), Some(theirs)]) = (
        honest && ends.iter().all(|end| !servers.sides[*end].closed),
        pairs,
    ) {
        for from in DOMAINS.map(domain) {
            for to in DOMAINS.map(domain) {
                let (sends, receives) = (ours.may_send(&from, &to), theirs.may_receive(&from, &to));
                assert!(
                    !sends || receives,
                    "{from} to {to} goes out and is not taken"
                );
                let (sends, receives) = (theirs.may_send(&from, &to), ours.may_receive(&from, &to));
                assert!(
                    !sends || receives,
                    "{from} to {to} comes back and is not taken"
                );
            }
        }
    }
    for end in ends {
        one(servers, end).finish();
    }
}
