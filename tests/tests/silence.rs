//! A peer that stops, at any point of any negotiation, is given up at a deadline, and told why; so is one that dribbles.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use onetrip_core::isr::Rotation;
use onetrip_core::quickstart::{Level, Transport};
use onetrip_core::stream::{Env, Instant};
use onetrip_core::{Action, Connection, End, ErrorKind, Event};
use onetrip_simulator::Seeded;
use onetrip_tests::e2e::{Duo, Server, Setting};
use onetrip_tests::house::{House, Text};
use onetrip_tests::links;
use onetrip_tests::servers::{Servers, dialback, inbound, outbound, plan};
use onetrip_tests::words::message;

/// The negotiation and the close (30 s and 5 s), and what is added while a session is looked for by a token (10 s).
const PATIENCE: Duration = Duration::from_secs(50);
/// The same with dialback: 60 s for an answer that takes a connection of its own to be found.
const DIALBACK: Duration = Duration::from_secs(100);

/// What both ends have agreed to do by themselves, and the two connections that the test stops.
trait Negotiation {
    /// Takes what an end has written.
    fn take(&mut self, end: usize) -> Vec<u8>;
    fn give(&mut self, end: usize, bytes: &[u8]);
    fn connection(&mut self, end: usize) -> (&mut Connection, &mut Seeded);
    /// Carries out what the connections want.
    fn drain(&mut self);
    fn events(&self, end: usize) -> &[Event];
    fn is_closed(&self, end: usize) -> bool;
    fn set_now(&mut self, now: Instant);
}

struct Clients {
    house: House,
    ends: [usize; 2],
}

impl Negotiation for Clients {
    fn take(&mut self, end: usize) -> Vec<u8> {
        self.house.take_wire(self.ends[end])
    }

    fn give(&mut self, end: usize, bytes: &[u8]) {
        let _ = self.house.give(self.ends[end], bytes);
    }

    fn connection(&mut self, end: usize) -> (&mut Connection, &mut Seeded) {
        let side = &mut self.house.sides[self.ends[end]];
        (&mut side.connection, &mut self.house.entropy)
    }

    fn drain(&mut self) {
        self.ends
            .iter()
            .for_each(|end| self.house.with(*end, |_, _| ()));
    }

    fn events(&self, end: usize) -> &[Event] {
        &self.house.sides[self.ends[end]].events
    }

    fn is_closed(&self, end: usize) -> bool {
        self.house.sides[self.ends[end]].closed
    }

    fn set_now(&mut self, now: Instant) {
        self.house.now = now;
    }
}

struct Between {
    servers: Servers,
    ends: [usize; 2],
}

impl Negotiation for Between {
    fn take(&mut self, end: usize) -> Vec<u8> {
        std::mem::take(&mut self.servers.sides[self.ends[end]].wire)
    }

    fn give(&mut self, end: usize, bytes: &[u8]) {
        let _ = self.servers.give(self.ends[end], bytes);
    }

    fn connection(&mut self, end: usize) -> (&mut Connection, &mut Seeded) {
        let side = &mut self.servers.sides[self.ends[end]];
        (&mut side.connection, &mut self.servers.entropy)
    }

    fn drain(&mut self) {
        self.ends
            .iter()
            .for_each(|end| self.servers.with(*end, |_, _| ()));
    }

    fn events(&self, end: usize) -> &[Event] {
        &self.servers.sides[self.ends[end]].events
    }

    fn is_closed(&self, end: usize) -> bool {
        self.servers.sides[self.ends[end]].closed
    }

    fn set_now(&mut self, now: Instant) {
        self.servers.now = now;
    }
}

/// What is under way, and where the test stops it.
struct Run<'a> {
    subject: &'a mut dyn Negotiation,
    wires: [Vec<u8>; 2],
    now: Instant,
    patience: Duration,
}

impl Run<'_> {
    /// Delivers so many units, a unit being what ends in `>` or the half of it; whether that was all there was.
    fn deliver(&mut self, units: usize) -> bool {
        let mut left = units;
        let mut quiet = 0;
        while quiet < 2 {
            for end in 0..2 {
                let new = self.subject.take(end);
                self.wires[end].extend(new);
                quiet = if self.wires[end].is_empty() {
                    quiet + 1
                } else {
                    0
                };
                while !self.wires[end].is_empty() {
                    if left == 0 {
                        return false;
                    }
                    left -= 1;
                    let unit = self.wires[end].iter().position(|byte| *byte == b'>');
                    let whole = unit.map_or(self.wires[end].len(), |last| last + 1);
                    // Every other time in the middle of one.
                    let count = if left % 2 == 1 {
                        whole.div_ceil(2)
                    } else {
                        whole
                    };
                    let bytes: Vec<u8> = self.wires[end].drain(..count).collect();
                    self.subject.give(1 - end, &bytes);
                }
            }
        }
        true
    }

    fn settled(&mut self, end: usize) -> bool {
        self.subject.is_closed(end) || self.subject.connection(end).0.is_online()
    }

    /// Nothing moves any more, but for a byte a second if the peers dribble, and time passes.
    fn wait(&mut self, dribble: bool) {
        let begin = self.now;
        for second in 0.. {
            if (0..2).all(|end| self.settled(end)) {
                return;
            }
            self.now = begin + Duration::from_secs(second);
            assert!(
                self.now.since(begin) <= self.patience,
                "not given up: {:?} {:?}",
                self.subject.events(0),
                self.subject.events(1)
            );
            self.subject.set_now(self.now);
            for end in 0..2 {
                if dribble && !self.wires[end].is_empty() {
                    let byte = self.wires[end].remove(0);
                    self.subject.give(1 - end, &[byte]);
                }
                let now = self.now;
                let (connection, entropy) = self.subject.connection(end);
                connection.handle_timeout(&mut Env::new(now, entropy));
            }
            self.subject.drain();
        }
    }
}

/// Stops a negotiation at every unit and in the middle of each; returns at how many places.
fn stopped_everywhere(
    what: &str,
    in_step: bool,
    make: &mut dyn FnMut() -> Box<dyn Negotiation>,
) -> usize {
    for stop in 0..1000 {
        let mut over = false;
        for dribble in [false, true] {
            let mut subject = make();
            let mut run = Run {
                subject: &mut *subject,
                wires: [Vec::new(), Vec::new()],
                now: Instant::EPOCH,
                patience: if what.starts_with("dialback") {
                    DIALBACK
                } else {
                    PATIENCE
                },
            };
            over = run.deliver(stop);
            run.wait(dribble);
            for end in 0..2 {
                check(
                    what,
                    stop,
                    in_step,
                    run.subject.events(end),
                    run.subject.is_closed(end),
                );
            }
        }
        if over {
            assert!(stop > 4, "{what} ends after {stop} units");
            return stop;
        }
    }
    panic!("{what} never ends")
}

/// Whoever was not let in says why it is over.
fn check(what: &str, stop: usize, in_step: bool, events: &[Event], closed: bool) {
    if !closed {
        return;
    }
    let Some(Event::Closed(end)) = events.last() else {
        panic!("{what} at {stop}: no reason in {events:?}");
    };
    let timed_out =
        matches!(end, End::Failed(error) if matches!(error.kind, ErrorKind::TimedOut(_)));
    // What ran ahead may be given up for a step-by-step retry first; dialback gives an answer in its own time.
    let otherwise = matches!(
        end,
        End::Abandoned(_) | End::Refused | End::Clean | End::PeerError(_)
    );
    assert!(
        timed_out || (!in_step && otherwise),
        "{what} at {stop}: {end:?}"
    );
}

fn clients(house: House, starttls: bool) -> Box<dyn Negotiation> {
    let mut house = house;
    let transport = if starttls {
        Transport::StartTls
    } else {
        Transport::DirectTls
    };
    let (mut client, mut server) = (house.client_config(), house.server_config());
    (client.transport, server.transport) = (transport, transport);
    let ends = [house.client_of(client), house.server_as(server)];
    Box::new(Clients { house, ends })
}

#[test]
fn a_login_by_sasl_at_every_unit() {
    for level in Level::ALL {
        for starttls in [true, false] {
            let what = format!("{level:?}, STARTTLS {starttls}");
            let mut make = || {
                clients(
                    House {
                        level,
                        ..House::default()
                    },
                    starttls,
                )
            };
            stopped_everywhere(&what, level == Level::Off, &mut make);
        }
    }
}

#[test]
fn a_login_by_sasl2_at_every_unit() {
    for level in [Level::Off, Level::Safe] {
        let mut make = || {
            clients(
                House {
                    level,
                    later: true,
                    instant: false,
                    ..House::default()
                },
                true,
            )
        };
        stopped_everywhere(&format!("SASL2, {level:?}"), level == Level::Off, &mut make);
    }
}

/// A login by token, with the session in it.
#[test]
fn a_login_by_fast_at_every_unit() {
    let mut make = || {
        let mut house = House {
            later: true,
            instant: false,
            level: Level::Safe,
            fast: true,
            ..House::default()
        };
        let pair = house.pair();
        house.send(pair[0], &message(1));
        house.cut_both(pair);
        clients(house, false)
    };
    stopped_everywhere("FAST", false, &mut make);
}

#[test]
fn an_instant_resumption_at_every_unit() {
    let mut make = || {
        let mut house = House::default();
        let pair = house.pair();
        house.send(pair[0], &message(1));
        house.cut_both(pair);
        clients(house, false)
    };
    stopped_everywhere("ISR", false, &mut make);
}

/// The same by the texts that prove a key (ISR-R6).
#[test]
fn a_resumption_by_key_at_every_unit() {
    for text in Text::BOTH {
        let mut make = || {
            let mut house = House::keyed(text, Rotation::default());
            let pair = house.pair();
            house.send(pair[0], &message(1));
            house.cut_both(pair);
            assert!(house.entity.resumptions().all(|kept| kept.ticket.is_some()));
            clients(house, false)
        };
        stopped_everywhere(&format!("ISR, {text:?}"), false, &mut make);
    }
}

/// How long until a link is given up, if ever: `first` is what happens on it before everything is silent.
fn link_given_up(first: impl FnOnce(&mut Connection, &mut Env<'_>)) -> Option<(Duration, End)> {
    let mut link = links::agreed("acks", true);
    let (mut entropy, mut now) = (Seeded::new(1), Instant::EPOCH);
    first(&mut link, &mut Env::new(now, &mut entropy));
    loop {
        while let Some(action) = link.poll_action() {
            if let Action::Event(Event::Closed(end)) = action {
                return Some((now.since(Instant::EPOCH), end));
            }
        }
        now = link.poll_timeout()?.at;
        link.handle_timeout(&mut Env::new(now, &mut entropy));
    }
}

/// A peer on a link that stops in the middle of a stanza, says nothing of ours, or does not close.
#[test]
fn a_link_at_every_byte() {
    let stanza =
        b"<message from='pilot@air.example' to='ops@ground.example'><body>hi</body></message>";
    for stop in 0..=stanza.len() {
        let given_up = link_given_up(|link, env| {
            link.receive(env, &stanza[..stop]).unwrap();
            link.handled(1);
        });
        let middle = stop > 0 && stop < stanza.len();
        let stalled = given_up.map(|(after, end)| {
            let timed_out =
                matches!(end, End::Failed(error) if matches!(error.kind, ErrorKind::Link(_)));
            assert!(timed_out, "at {stop}");
            after
        });
        // The footer of the peer is waited for then, too.
        assert_eq!(
            stalled,
            middle.then_some(Duration::from_secs(120)),
            "at {stop}"
        );
    }
    let ours = links::message(links::GROUND, 0);
    let unanswered = link_given_up(|link, env| {
        let _ = link.send(env, &ours);
    });
    assert_eq!(
        unanswered.map(|(after, _)| after),
        Some(Duration::from_secs(3 + 60))
    );
    let unclosed = link_given_up(|link, env| link.close(env));
    assert_eq!(
        unclosed.map(|(after, _)| after),
        Some(Duration::from_secs(30))
    );
}

#[test]
fn servers_at_every_unit() {
    for (what, certified, starttls) in [
        ("EXTERNAL over STARTTLS", true, true),
        ("EXTERNAL", true, false),
        ("dialback over STARTTLS", false, true),
        ("dialback", false, false),
    ] {
        let mut make = || -> Box<dyn Negotiation> {
            let mut servers = Servers::default();
            let (mut out, mut into) = (outbound(), inbound());
            let transport = if starttls {
                Transport::StartTls
            } else {
                Transport::DirectTls
            };
            (out.transport, into.transport) = (transport, transport);
            (out.dialback, into.dialback) = (Some(dialback()), Some(dialback()));
            let plan = plan(&out, Level::Off, None);
            let names: [&[&str]; 2] = if certified {
                [&["montague.lit"], &["capulet.lit"]]
            } else {
                [&[], &[]]
            };
            let ends = [
                servers.open(out, plan, names[0]),
                servers.accept(into, names[1]),
            ];
            Box::new(Between { servers, ends })
        };
        stopped_everywhere(what, certified, &mut make);
    }
}

/// A stream between two clients, stopped behind each thing that happens: what was under way is lost, and nobody answers.
#[test]
fn a_stream_between_clients_at_every_step() {
    for in_band in [false, true] {
        for steps in 0..400 {
            let setting = Setting::new().with(|config| config.session.s5b = !in_band);
            let mut duo = Duo::new(setting);
            let moved = (0..steps).take_while(|_| duo.step()).count();
            duo.tamper = |_, _| false;
            duo.reachable = [false; 3];
            duo.wire.iter_mut().for_each(|wire| wire.clear());
            for cable in &mut duo.cables {
                if !cable.is_taken() {
                    cable.server = Server::Stranger;
                }
                cable.to_server.clear();
                cable.to_client.clear();
            }
            duo.run_for(Duration::from_secs(600));
            for side in &duo.sides {
                let Some(machine) = &side.machine else {
                    continue;
                };
                let over = machine.end().is_over() || machine.end().is_online();
                assert!(over, "in band {in_band}, after {steps}: {:?}", side.events);
            }
            if moved < steps {
                assert!(steps > 10);
                break;
            }
        }
    }
}
