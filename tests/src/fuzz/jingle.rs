//! Between clients: sessions of Jingle, in-band bytes, SOCKS5, and two whole ends.

use std::collections::VecDeque;
use std::time::Duration;

use onetrip_core::jingle::Dialect;
use onetrip_core::jingle::ibb::{self, Bytestream};
use onetrip_core::jingle::s5b::{self, Attempt, Candidate, CandidateKind};
use onetrip_core::jingle::session::{Action, Config, Event, Session};
use onetrip_core::jingle::socks5::{
    self, Client, Connection, Destination, Expected, Proxy, ProxyAction, Timeouts,
};
use onetrip_core::minidom::Element;
use onetrip_core::stream::{Build as _, Env, Instant, Jid, Stanza};
use onetrip_simulator::Seeded;

use super::Input;
use super::clients::spoil as spoil_bytes;
use super::elements::{element, spoil};
use crate::e2e::{Duo, JULIET, ROMEO, Setting, address, by_proxy, direct, pretended};

/// The most steps of a run.
const STEPS: usize = 120;

const JINGLE: &[&str] = &[
    "<iq xmlns='jabber:client' type='set' id='1' from='romeo@montague.lit/orchard' to='juliet@capulet.lit/balcony'><jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' initiator='romeo@montague.lit/orchard' sid='s1'><content creator='initiator' name='xmlstream'><description xmlns='urn:xmpp:jingle:apps:xmlstream:0'/><transport xmlns='urn:xmpp:jingle:transports:s5b:1' sid='t1' mode='tcp'><candidate cid='c1' host='192.0.2.1' jid='romeo@montague.lit/orchard' port='5086' priority='8257636' type='direct'/></transport></content></jingle></iq>",
    "<iq xmlns='jabber:client' type='set' id='2' from='romeo@montague.lit/orchard' to='juliet@capulet.lit/balcony'><jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='s1'><content creator='initiator' name='xmlstream'><description xmlns='urn:xmpp:jingle:apps:xmlstream:0'/><transport xmlns='urn:xmpp:jingle:transports:ibb:1' sid='t2' block-size='4096'/></content></jingle></iq>",
    "<iq xmlns='jabber:client' type='set' id='3' from='juliet@capulet.lit/balcony' to='romeo@montague.lit/orchard'><jingle xmlns='urn:xmpp:jingle:1' action='session-accept' responder='juliet@capulet.lit/balcony' sid='s1'><content creator='initiator' name='xmlstream'><description xmlns='urn:xmpp:jingle:apps:xmlstream:0'/><transport xmlns='urn:xmpp:jingle:transports:s5b:1' sid='t1'/></content></jingle></iq>",
    "<iq xmlns='jabber:client' type='set' id='4' from='romeo@montague.lit/orchard' to='juliet@capulet.lit/balcony'><jingle xmlns='urn:xmpp:jingle:1' action='transport-info' sid='s1'><content creator='initiator' name='xmlstream'><transport xmlns='urn:xmpp:jingle:transports:s5b:1' sid='t1'><candidate-used cid='c1'/></transport></content></jingle></iq>",
    "<iq xmlns='jabber:client' type='set' id='5' from='romeo@montague.lit/orchard' to='juliet@capulet.lit/balcony'><jingle xmlns='urn:xmpp:jingle:1' action='transport-info' sid='s1'><content creator='initiator' name='xmlstream'><transport xmlns='urn:xmpp:jingle:transports:s5b:1' sid='t1'><candidate-error/></transport></content></jingle></iq>",
    "<iq xmlns='jabber:client' type='set' id='6' from='romeo@montague.lit/orchard' to='juliet@capulet.lit/balcony'><jingle xmlns='urn:xmpp:jingle:1' action='transport-replace' sid='s1'><content creator='initiator' name='xmlstream'><transport xmlns='urn:xmpp:jingle:transports:ibb:1' sid='t3' block-size='2048'/></content></jingle></iq>",
    "<iq xmlns='jabber:client' type='set' id='7' from='romeo@montague.lit/orchard' to='juliet@capulet.lit/balcony'><jingle xmlns='urn:xmpp:jingle:1' action='session-terminate' sid='s1'><reason><success/></reason></jingle></iq>",
    "<iq xmlns='jabber:client' type='set' id='8' from='romeo@montague.lit/orchard' to='juliet@capulet.lit/balcony'><jingle xmlns='urn:xmpp:jingle:1' action='session-info' sid='s1'/></iq>",
    "<iq xmlns='jabber:client' type='result' id='9' from='juliet@capulet.lit/balcony' to='romeo@montague.lit/orchard'/>",
    "<iq xmlns='jabber:client' type='error' id='9' from='juliet@capulet.lit/balcony' to='romeo@montague.lit/orchard'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
    "<iq xmlns='jabber:client' type='set' id='10' from='mallory@evil.lit/x' to='juliet@capulet.lit/balcony'><jingle xmlns='urn:xmpp:jingle:0' action='session-accept' sid='s1'/></iq>",
    "<message xmlns='jabber:client' from='romeo@montague.lit/orchard'><body>hi</body></message>",
];

fn candidates(end: usize) -> Vec<Candidate> {
    let host = format!("host{end}.lit");
    vec![Candidate::new(
        format!("c{end}"),
        CandidateKind::Direct,
        address(end),
        host,
        5086,
        0,
    )]
}

fn session_config(bits: u8, end: usize) -> Config {
    let mut config = Config::new((bits & 1 == 0).then(|| pretended(end)));
    config.security.allow_insecure = bits & 2 != 0 || bits & 1 != 0;
    config.s5b = bits & 4 == 0;
    config.dialect = Dialect::ALL[usize::from(bits >> 3) % 3];
    config
}

/// What the server makes of it.
fn stamped(stanza: &Stanza, from: usize) -> Element {
    stanza
        .element()
        .with_attr("from", address(from).to_string())
}

/// One session and what has become of it.
struct Watched {
    session: Session,
    attempts: Vec<Attempt>,
    ended: usize,
}

impl Watched {
    fn drain(&mut self, wire: &mut VecDeque<Element>, from: usize) {
        while let Some(action) = self.session.poll_action() {
            match action {
                Action::Send(stanza) => wire.push_back(stamped(&stanza, from)),
                Action::Connect { attempt, .. } => self.attempts.push(attempt),
                Action::Event(Event::Ended(_)) => self.ended += 1,
                _ => {}
            }
        }
        assert_eq!(
            self.ended,
            usize::from(self.session.is_ended()),
            "told once"
        );
        assert!(!self.session.is_ended() || self.session.poll_timeout().is_none());
        let settled = self.session.is_ended() || self.session.is_open();
        assert!(
            settled || self.session.poll_timeout().is_some(),
            "no deadline"
        );
    }
}

/// Both ends of a session, and what a server or a stranger might say between them.
pub(super) fn session(data: &[u8]) {
    let mut input = Input::new(data);
    let bits = input.byte();
    let mut entropy = Seeded::new(4);
    let mut now = Instant::EPOCH;
    let env = &mut Env::new(now, &mut entropy);
    let romeo = Session::initiate(
        session_config(bits, ROMEO),
        env,
        address(ROMEO),
        address(JULIET),
        None,
        candidates(0),
    );
    let mut ends = [Some(watched(romeo.expect("allowed"))), None];
    let mut wires: [VecDeque<Element>; 2] = Default::default();
    drain(&mut ends, &mut wires);
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        let step = input.byte();
        let to = usize::from(step & 1);
        match step >> 1 {
            0..50 => {
                let Some(mut stanza) = wires[1 - to].pop_front() else {
                    continue;
                };
                if step >= 80 {
                    spoil(&mut input, &mut stanza, JINGLE);
                }
                take(&mut ends, to, &stanza, bits, now, &mut entropy);
            }
            50..70 => {
                let stanza = element(&mut input, JINGLE);
                take(&mut ends, to, &stanza, bits, now, &mut entropy);
            }
            70..76 => drop(wires[to].pop_front()),
            76..84 => {
                if let Some(Some(watched)) = ends.get_mut(1) {
                    watched.session.accept(now, candidates(1));
                }
            }
            84..100 => happen(&mut input, &mut ends[to], now),
            100..104 => {
                if let Some(watched) = &mut ends[to] {
                    watched
                        .session
                        .terminate(onetrip_core::jingle::session::Reason::Cancel);
                }
            }
            104..116 => wake(&mut ends, &mut now),
            _ => now = now + Duration::from_millis(u64::from(input.byte()) * 50),
        }
        drain(&mut ends, &mut wires);
    }
    // Nothing more comes: each of them ends, or is open.
    for _ in 0..100 {
        wake(&mut ends, &mut now);
        drain(&mut ends, &mut wires);
    }
    for end in ends.iter().flatten() {
        assert!(
            end.session.is_ended() || end.session.is_open(),
            "it waits for ever"
        );
    }
    assert!(now < Instant::from_epoch(Duration::from_secs(3600)));
}

fn watched(session: Session) -> Watched {
    Watched {
        session,
        attempts: Vec::new(),
        ended: 0,
    }
}

fn drain(ends: &mut [Option<Watched>; 2], wires: &mut [VecDeque<Element>; 2]) {
    for (place, (end, wire)) in ends.iter_mut().zip(wires).enumerate() {
        end.iter_mut().for_each(|end| end.drain(wire, place));
    }
}

fn take(
    ends: &mut [Option<Watched>; 2],
    to: usize,
    stanza: &Element,
    bits: u8,
    now: Instant,
    entropy: &mut Seeded,
) {
    let Ok(stanza) = &Stanza::from_element(stanza) else {
        return;
    };
    let Some(end) = &mut ends[to] else {
        let env = &mut Env::new(now, entropy);
        let config = session_config(bits, JULIET);
        if let Ok(session) =
            Session::incoming(config, env, address(JULIET), stanza, bits & 128 == 0)
        {
            ends[to] = Some(watched(session));
        }
        return;
    };
    let mut answers = 0;
    end.drain(&mut VecDeque::new(), to);
    let taken = end.session.handle(now, stanza);
    let asked = stanza.head().type_.as_deref() == Some("set");
    let mut kept = Vec::new();
    while let Some(action) = end.session.poll_action() {
        if let Action::Send(sent) = &action {
            let (head, id) = (sent.head(), &stanza.head().id);
            let answer = matches!(head.type_.as_deref(), Some("result" | "error"));
            answers += usize::from(answer && head.id == *id);
        }
        kept.push(action);
    }
    assert_eq!(
        answers,
        usize::from(taken && asked),
        "an answer to each request: {stanza:?}"
    );
    for action in kept {
        match action {
            Action::Connect { attempt, .. } => end.attempts.push(attempt),
            Action::Event(Event::Ended(_)) => end.ended += 1,
            _ => {}
        }
    }
}

/// What the network and the other machines do.
fn happen(input: &mut Input<'_>, end: &mut Option<Watched>, now: Instant) {
    let Some(end) = end else { return };
    let nth = input.below(end.attempts.len());
    let attempt = end.attempts.get(nth).copied();
    match (input.below(8), attempt) {
        (0 | 1, Some(attempt)) => end.session.s5b(now, s5b::Input::Connected(attempt)),
        (2, Some(attempt)) => end.session.s5b(now, s5b::Input::Failed(attempt)),
        (3, _) => end.session.s5b(now, s5b::Input::Accepted),
        (4, _) => end.session.s5b(now, s5b::Input::Lost),
        (5, _) => end.session.ibb_opened(),
        (6, _) => end.session.transport_closed(),
        _ if input.flag() => end.session.tls_failed(),
        _ => {
            let certificate = pretended(input.below(2));
            end.session.tls_established(Some(&certificate));
        }
    }
}

fn wake(ends: &mut [Option<Watched>; 2], now: &mut Instant) {
    let next = ends
        .iter()
        .flatten()
        .filter_map(|end| end.session.poll_timeout())
        .min();
    let Some(at) = next else { return };
    *now = (*now).max(at);
    for end in ends.iter_mut().flatten() {
        end.session.handle_timeout(*now);
        assert!(
            end.session.poll_timeout().is_none_or(|left| left > *now),
            "a deadline that stays"
        );
    }
}

/// Two whole ends; what is between them loses, doubles, reorders and spoils.
pub(super) fn pair(data: &[u8]) {
    let mut input = Input::new(data);
    let bits = input.byte();
    let mut setting = Setting::new().with(|config| {
        config.session.dialect = Dialect::ALL[usize::from(bits) % 3];
        config.session.s5b = bits & 4 == 0;
    });
    if bits & 8 != 0 {
        setting.candidates = [by_proxy(ROMEO), direct(JULIET)];
    }
    setting.split = usize::from(input.byte()) + 1;
    let mut duo = Duo::new(setting);
    duo.reachable = [bits & 16 == 0, bits & 32 == 0, bits & 64 == 0];
    let mut honest = true;
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        let step = input.byte();
        let end = usize::from(step & 1);
        match step >> 1 {
            0..70 => {
                for _ in 0..input.below(16) {
                    duo.step();
                }
            }
            70..90 => {
                honest = false;
                let wire = &mut duo.wire[end];
                match (input.below(4), wire.pop_front()) {
                    (0, _) | (_, None) => {}
                    (1, Some(stanza)) => {
                        wire.push_front(stanza.clone());
                        wire.push_front(stanza);
                    }
                    (2, Some(stanza)) => wire.push_back(stanza),
                    (_, Some(mut stanza)) => {
                        spoil(&mut input, &mut stanza, JINGLE);
                        wire.push_front(stanza);
                    }
                }
            }
            90..100 => {
                honest = false;
                let nth = input.below(duo.cables.len());
                if let Some(cable) = duo.cables.get_mut(nth) {
                    let bytes = if input.flag() {
                        &mut cable.to_client
                    } else {
                        &mut cable.to_server
                    };
                    spoil_bytes(&mut input, bytes);
                }
            }
            100..104 => {
                honest = false;
                duo.cut();
            }
            104..110 => {
                honest = false;
                let stanza = element(&mut input, JINGLE);
                duo.deliver(end, &stanza);
            }
            110..120 => {
                let stanza = crate::e2e::message("hi");
                if duo.sides[end].machine.is_some() {
                    let _ = duo.act(end, |machine, env| machine.send(env, &stanza));
                }
            }
            _ => duo.run_for(Duration::from_millis(u64::from(input.byte()) * 100)),
        }
    }
    duo.run_for(Duration::from_secs(900));
    for side in &duo.sides {
        if let Some(machine) = &side.machine {
            let end = machine.end();
            assert!(
                end.is_over() || end.is_online(),
                "it waits for ever: {:?}",
                side.events
            );
        }
    }
    let agreed = duo.sides.iter().all(|side| {
        side.machine
            .as_ref()
            .is_some_and(|machine| machine.end().is_online())
    });
    assert!(!honest || agreed || duo.sides.iter().any(|side| !side.events.is_empty()));
}

const IBB: &[&str] = &[
    "<iq xmlns='jabber:client' type='set' id='1' from='romeo@montague.lit/orchard'><open xmlns='http://jabber.org/protocol/ibb' sid='s' block-size='16'/></iq>",
    "<iq xmlns='jabber:client' type='set' id='2' from='romeo@montague.lit/orchard'><data xmlns='http://jabber.org/protocol/ibb' sid='s' seq='0'>AAAA</data></iq>",
    "<iq xmlns='jabber:client' type='set' id='3' from='juliet@capulet.lit/balcony'><data xmlns='http://jabber.org/protocol/ibb' sid='s' seq='1'>AAAA</data></iq>",
    "<message xmlns='jabber:client' id='4' from='juliet@capulet.lit/balcony'><data xmlns='http://jabber.org/protocol/ibb' sid='s' seq='0'>=</data></message>",
    "<iq xmlns='jabber:client' type='set' id='5' from='juliet@capulet.lit/balcony'><close xmlns='http://jabber.org/protocol/ibb' sid='s'/></iq>",
    "<iq xmlns='jabber:client' type='result' id='6' from='juliet@capulet.lit/balcony'/>",
    "<iq xmlns='jabber:client' type='error' id='6' from='juliet@capulet.lit/balcony'><error type='wait'><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
];

/// Both ends of an in-band bytestream; bytes come out as they went in, as far as they come.
pub(super) fn ibb(data: &[u8]) {
    let mut input = Input::new(data);
    let bits = input.byte();
    let mut config = ibb::Config::default();
    (config.block_size, config.window) = (u16::from(input.byte()) + 1, u16::from(bits >> 4) + 1);
    (config.send_buffer, config.receive_buffer) = (600, 300);
    let mut entropy = Seeded::new(6);
    let mut now = Instant::EPOCH;
    let env = &mut Env::new(now, &mut entropy);
    let mut ends = match bits & 1 {
        0 => [
            Bytestream::open(config, env, address(JULIET), "s"),
            Bytestream::await_open(config, env, address(ROMEO), "s"),
        ],
        _ => [
            Bytestream::established(config, env, address(JULIET), "s"),
            Bytestream::established(config, env, address(ROMEO), "s"),
        ],
    };
    let mut wires: [VecDeque<Element>; 2] = Default::default();
    let (mut wrote, mut read): ([Vec<u8>; 2], [Vec<u8>; 2]) = Default::default();
    let mut honest = true;
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        let step = input.byte();
        let end = usize::from(step & 1);
        match step >> 1 {
            0..30 => {
                let bytes = input.take(usize::from(step));
                let taken = ends[end].write(now, bytes);
                wrote[end].extend_from_slice(&bytes[..taken]);
            }
            30..70 => {
                if let Some(mut stanza) = wires[1 - end].pop_front() {
                    if step >= 136 {
                        honest = false;
                        spoil(&mut input, &mut stanza, IBB);
                    }
                    if let Ok(stanza) = Stanza::from_element(&stanza) {
                        let _ = ends[end].handle(now, &stanza);
                    }
                }
            }
            70..90 => {
                while let Some(bytes) = ends[end].read(now) {
                    read[end].extend_from_slice(&bytes);
                }
            }
            90..100 => {
                honest = false;
                if let Ok(stanza) = Stanza::from_element(&element(&mut input, IBB)) {
                    let _ = ends[end].handle(now, &stanza);
                }
            }
            100..106 => ends[end].close(now),
            106..112 => {
                honest = false;
                drop(wires[end].pop_front());
            }
            _ => {
                if let Some(at) = ends[end].poll_timeout() {
                    now = now.max(at);
                    ends[end].handle_timeout(now);
                    assert!(
                        ends[end].poll_timeout().is_none_or(|left| left > now),
                        "a deadline that stays"
                    );
                }
            }
        }
        for place in 0..2 {
            while let Some(action) = ends[place].poll_action() {
                if let ibb::Action::Send(stanza) = action {
                    wires[place].push_back(stamped(&stanza, place));
                }
            }
            assert!(
                !honest || wrote[1 - place].starts_with(&read[place]),
                "other bytes than were written"
            );
        }
    }
}

/// Bytes at each of the three that speak SOCKS5, in two ways to cut them.
pub(super) fn socks5(data: &[u8]) {
    let mut input = Input::new(data);
    let piece = usize::from(input.byte()) + 1;
    let mut bytes = Vec::new();
    let name = destination();
    while !input.is_empty() && bytes.len() < 2000 {
        match input.below(8) {
            0 => bytes.extend_from_slice(&[5, 1, 0]),
            1 => bytes.extend_from_slice(&[5, 0]),
            kind @ 2..=4 => {
                bytes.extend_from_slice(&[5, u8::from(kind == 2), 0, 3, 40]);
                bytes.extend_from_slice(name.as_str().as_bytes());
                bytes.extend_from_slice(&[0, 0]);
            }
            5 => spoil_bytes(&mut input, &mut bytes),
            _ => bytes.extend_from_slice(input.take(4)),
        }
    }
    for run in [client, host] {
        let whole = run(&bytes, usize::MAX);
        assert_eq!(run(&bytes, 1), whole, "byte by byte");
        assert_eq!(run(&bytes, piece), whole, "in pieces of {piece}");
    }
    proxy(&bytes, piece);
}

fn destination() -> Destination {
    let [romeo, juliet]: [Jid; 2] = [address(ROMEO), address(JULIET)];
    Destination::new("s1", &romeo, &juliet)
}

type Spoken = (Vec<u8>, Vec<socks5::Action>, usize, Option<socks5::Error>);

/// Feeds a machine; what it wrote, what else it did, how much it used, and its error.
fn feed(
    bytes: &[u8],
    piece: usize,
    mut receive: impl FnMut(&[u8]) -> (Result<usize, socks5::Error>, Vec<socks5::Action>),
) -> Spoken {
    let (mut written, mut others, mut used) = (Vec::new(), Vec::new(), 0);
    let mut error = None;
    while error.is_none() {
        let rest = &bytes[used..];
        let chunk = &rest[..rest.len().min(piece)];
        let (result, actions) = receive(chunk);
        for action in actions {
            match action {
                socks5::Action::Write(bytes) => written.extend_from_slice(&bytes),
                other => others.push(other),
            }
        }
        match result {
            Ok(0) => break,
            Ok(count) => used += count,
            // How much of a bad message was looked at is nobody's business.
            Err(found) => (error, used) = (Some(found), 0),
        }
    }
    (written, others, used, error)
}

fn client(bytes: &[u8], piece: usize) -> Spoken {
    let mut client = Client::new(Instant::EPOCH, destination(), Timeouts::default());
    let spoken = feed(bytes, piece, |chunk| {
        let result = client.receive(chunk);
        (
            result,
            core::iter::from_fn(|| client.poll_action()).collect(),
        )
    });
    assert_eq!(client.failure(), spoken.3);
    let over = spoken.3.is_some() || spoken.1.contains(&socks5::Action::Connected);
    assert_eq!(client.poll_timeout().is_none(), over);
    spoken
}

fn host(bytes: &[u8], piece: usize) -> Spoken {
    let mut expected = Expected::new();
    let _ = expected.expect(vec![destination()]);
    let mut host = Connection::new(Instant::EPOCH, Timeouts::default());
    let spoken = feed(bytes, piece, |chunk| {
        let result = host.receive(Instant::EPOCH, &mut expected, chunk);
        (result, core::iter::from_fn(|| host.poll_action()).collect())
    });
    assert_eq!(host.failure(), spoken.3);
    assert_eq!(host.poll_timeout().is_some(), spoken.3.is_none());
    spoken
}

/// Two sockets that say the same to a proxy, and a third too many.
fn proxy(bytes: &[u8], piece: usize) {
    let mut proxy = Proxy::new(Timeouts::default(), 2);
    let mut open = [true; 3];
    for socket in 0..3 {
        proxy.accepted(Instant::EPOCH, socket);
    }
    for socket in 0..3 {
        for chunk in bytes.chunks(piece) {
            if proxy.receive(Instant::EPOCH, socket, chunk) < chunk.len() {
                break;
            }
        }
        while let Some(action) = proxy.poll_action() {
            if let ProxyAction::Close(socket) = action {
                let place = usize::try_from(socket).expect("small");
                assert!(std::mem::replace(&mut open[place], false), "closed twice");
            }
        }
    }
    assert!(!open[2], "one too many");
    while let Some(at) = proxy.poll_timeout() {
        proxy.handle_timeout(at);
        assert!(
            proxy.poll_timeout().is_none_or(|left| left > at),
            "a deadline that stays"
        );
        while let Some(action) = proxy.poll_action() {
            if let ProxyAction::Close(socket) = action {
                let place = usize::try_from(socket).expect("small");
                assert!(std::mem::replace(&mut open[place], false), "closed twice");
            }
        }
    }
    assert_eq!(open, [false; 3], "closed in time");
}
