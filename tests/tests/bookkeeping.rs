//! What stream management costs in memory: allocations for each stanza and each acknowledgement, and the size of a session
//! with nothing in its queue.
#![allow(clippy::unwrap_used, clippy::panic)]

use allocation_counter::{AllocationInfo, measure};
use bytes::Bytes;
use minidom::Element;
use onetrip_core::stream::{Content, Env, Instant, Jid, Stanza};
use onetrip_core::{Action, Connection};
use onetrip_simulator::Seeded;
use onetrip_stream_management as sm;
use onetrip_stream_management::{Config, Count, Granted, Initiator, Nonza, Receiver, Session};
use onetrip_tests::house::House;
use onetrip_tests::words::{ack, message};

const NOW: Instant = Instant::EPOCH;
/// An acknowledgement comes behind so many stanzas.
const EVERY: u32 = 5;
const ROUNDS: u32 = 1000;
/// Buffers grow to their size meanwhile.
const WARM_UP: u32 = 50;

fn granted() -> Granted {
    let mut granted = Granted::default();
    granted.id = Some("a-name-of-22-characters".into());
    granted
}

fn initiator() -> Initiator {
    let mut machine = Initiator::new(Config::default());
    machine.enable(Instant::EPOCH, true, None);
    let enabled = Nonza::Enabled(granted()).to_element();
    machine.handle(NOW, &enabled).unwrap();
    while machine.poll_action().is_some() {}
    machine
}

fn receiver() -> Receiver {
    let mut machine = Receiver::new(Config::default());
    let enable = Nonza::Enable {
        resume: true,
        max: None,
    };
    machine.handle(NOW, &enable.to_element(), true).unwrap();
    machine.grant(granted());
    while machine.poll_action().is_some() {}
    machine
}

/// What `call` allocates once its buffers are warm, over so many rounds; reported.
fn steady(what: &str, mut call: impl FnMut(u32)) -> AllocationInfo {
    (0..WARM_UP).for_each(&mut call);
    let info = measure(|| (WARM_UP..WARM_UP + ROUNDS).for_each(&mut call));
    let each = info.count_total as f64 / f64::from(ROUNDS * EVERY);
    println!("{what}: {each:.3} allocations");
    info
}

/// The acknowledgement of every round, made beforehand.
fn acks() -> Vec<Element> {
    (1..=WARM_UP + ROUNDS)
        .map(|round| Nonza::Ack(Count::new(round * EVERY)).to_element())
        .collect()
}

/// Sends, and takes the acknowledgements in: nothing is allocated for either, since the bytes of a stanza are shared.
#[test]
fn the_machines_allocate_nothing_for_a_stanza_or_an_acknowledgement() {
    let stanza = Bytes::from_static(b"<message/>");
    let acks = acks();
    let mut machine = initiator();
    let sent = steady("a stanza sent, machine of the client", |round| {
        for _ in 0..EVERY {
            assert!(machine.send(NOW, stanza.clone()).is_some());
            while machine.poll_action().is_some() {}
        }
        machine.handle(NOW, &acks[round as usize]).unwrap();
        while machine.poll_action().is_some() {}
    });
    assert_eq!(sent.count_total, 0, "{sent:?}");
    let mut machine = receiver();
    let sent = steady("a stanza sent, machine of the server", |round| {
        for _ in 0..EVERY {
            assert!(machine.send(NOW, stanza.clone()).is_some());
            while machine.poll_action().is_some() {}
        }
        machine.handle(NOW, &acks[round as usize], false).unwrap();
        while machine.poll_action().is_some() {}
    });
    assert_eq!(sent.count_total, 0, "{sent:?}");
    let request = Nonza::Request.to_element();
    let mut machine = initiator();
    let mut told = 0;
    let arrived = steady("a stanza arrived, handled and acknowledged", |_| {
        for _ in 0..EVERY {
            machine.arrived();
            machine.handled(1);
        }
        machine.handle(NOW, &request).unwrap();
        while let Some(action) = machine.poll_action() {
            told += u32::from(matches!(action, sm::Action::Send(Nonza::Ack(_))));
        }
    });
    assert_eq!(told, WARM_UP + ROUNDS);
    assert_eq!(arrived.count_total, 0, "{arrived:?}");
}

/// A connection that is online, whichever end it is.
fn online(server: bool) -> Connection {
    let mut house = House::default();
    let place = house.pair()[usize::from(server)];
    house.sides.swap_remove(place).connection
}

fn drain(connection: &mut Connection) -> Option<Action> {
    let mut last = None;
    while let Some(action) = connection.poll_action() {
        last = Some(action);
    }
    last
}

/// Between `send` and the write, the requests to acknowledge included: each stanza in a write of its own, many in one,
/// and with the last write still in the caller's hands.
#[test]
fn a_connection_allocates_once_for_a_stanza_at_most() {
    let stanza = Stanza::parse(message(1).as_bytes(), Content::Client).unwrap();
    let mut entropy = Seeded::new(1);
    for (server, batch, held) in [
        (false, 1, false),
        (false, 1, true),
        (false, 7, true),
        (false, 50, true),
        (true, 1, false),
        (true, 1, true),
        (true, 7, true),
        (true, 50, true),
    ] {
        let mut connection = online(server);
        let (mut info, mut read) = <(AllocationInfo, AllocationInfo)>::default();
        let mut last = None;
        for round in 0..WARM_UP + ROUNDS {
            let cost = measure(|| {
                for _ in 0..batch {
                    let env = &mut Env::new(NOW, &mut entropy);
                    connection.send(env, &stanza).unwrap();
                }
                let wrote = drain(&mut connection);
                last = wrote.filter(|_| held);
            });
            let text = ack((round + 1) * batch);
            let acknowledged = measure(|| {
                let env = &mut Env::new(NOW, &mut entropy);
                connection.receive(env, text.as_bytes()).unwrap();
                drain(&mut connection);
            });
            if round >= WARM_UP {
                info += cost;
                read += acknowledged;
            }
        }
        let stanzas = u64::from(ROUNDS * batch);
        println!(
            "server {server}, {batch} in a write, held {held}: {:.3} allocations a stanza, {:.1} to read an <a/>",
            info.count_total as f64 / stanzas as f64,
            read.count_total as f64 / f64::from(ROUNDS),
        );
        assert!(info.count_total <= stanzas, "{info:?}");
    }
}

/// What the application has handled is acknowledged unasked, every 20 stanzas.
#[test]
fn a_connection_allocates_nothing_for_an_acknowledgement_that_it_writes() {
    for server in [false, true] {
        let mut connection = online(server);
        let mut entropy = Seeded::new(1);
        let mut written = 0;
        for round in 0..WARM_UP + ROUNDS {
            let env = &mut Env::new(NOW, &mut entropy);
            connection.receive(env, message(1).as_bytes()).unwrap();
            drain(&mut connection);
            let cost = measure(|| {
                connection.handled(1);
                written += u32::from(drain(&mut connection).is_some());
            });
            let cold = round < WARM_UP;
            assert!(cold || cost.count_total == 0, "{server}, {round}: {cost:?}");
        }
        assert_eq!(written, (WARM_UP + ROUNDS) / 20);
    }
}

/// Inline and heap bytes of what there is one of for each client that is connected, and for each that may come back.
#[test]
fn a_session_with_an_empty_queue_is_small() {
    let owner: Jid = "juliet@capulet.test/balcony".parse().unwrap();
    let session = initiator().suspend(&owner).unwrap();
    let heap = [
        measure_kept(initiator),
        measure_kept(receiver),
        measure_kept(|| session.clone()),
    ];
    let inline = [
        size_of::<Initiator>(),
        size_of::<Receiver>(),
        size_of::<Session>(),
    ];
    for ((what, most), (heap, inline)) in
        [("Initiator", 1024), ("Receiver", 1024), ("Session", 320)]
            .into_iter()
            .zip(heap.into_iter().zip(inline))
    {
        let whole = heap + inline;
        println!("{what}, empty queue: {inline} bytes inline, {heap} on the heap, {whole} in all");
        assert!(whole <= most, "{what}: {whole}");
    }
}

/// The heap bytes that a value holds.
fn measure_kept<T>(make: impl FnOnce() -> T) -> usize {
    let mut kept = None;
    let info = measure(|| kept = Some(make()));
    drop(kept);
    usize::try_from(info.bytes_current).unwrap()
}
