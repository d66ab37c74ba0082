//! Instructions for the bookkeeping of stream management, counted by valgrind: see `README.md` here.
//!
//! Each function is run once; divide its instructions by [`STANZAS`].

use std::collections::VecDeque;
use std::hint::black_box;

use bytes::Bytes;
use gungraun::{Dhat, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};
use minidom::Element;
use onetrip_core::stream::Instant;
use onetrip_stream_management::{
    AckPolicy, Config, Count, Granted, Initiator, Ledger, Nonza, QueueLimits,
};

const STANZAS: u32 = 10_000;
/// An acknowledgement, or a request for one, comes behind so many.
const EVERY: u32 = 5;
const NOW: Instant = Instant::EPOCH;

/// A machine with management on, and what arrives from the peer at each fifth stanza, read already.
type Setup = (Initiator, Vec<Element>);

fn machine() -> Initiator {
    let mut machine = Initiator::new(Config::default());
    machine.enable(Instant::EPOCH, true, None);
    let mut granted = Granted::default();
    granted.id = Some("a-name-of-22-characters".into());
    let enabled = Nonza::Enabled(granted).to_element();
    let taken = machine.handle(NOW, &enabled);
    assert!(taken.is_ok());
    drain(&mut machine);
    machine
}

fn acks() -> Setup {
    let ack = |round: u32| Nonza::Ack(Count::new(round * EVERY)).to_element();
    (machine(), (1..=STANZAS / EVERY).map(ack).collect())
}

fn requests() -> Setup {
    let request = |_| Nonza::Request.to_element();
    (machine(), (0..STANZAS / EVERY).map(request).collect())
}

fn drain(machine: &mut Initiator) {
    while let Some(action) = machine.poll_action() {
        let _ = black_box(action);
    }
}

// What any queue costs: the yardstick.
#[library_benchmark]
#[bench::acknowledged_by_fives(VecDeque::new())]
fn queue(mut queue: VecDeque<Bytes>) -> VecDeque<Bytes> {
    let stanza = Bytes::from(b"<message/>".to_vec());
    for _ in 0..STANZAS / EVERY {
        for _ in 0..EVERY {
            queue.push_back(stanza.clone());
        }
        for _ in 0..EVERY {
            drop(black_box(queue.pop_front()));
        }
    }
    queue
}

// The books alone: what is kept, counted, asked about and settled.
#[library_benchmark]
#[bench::acknowledged_by_fives(Ledger::new(QueueLimits::default(), AckPolicy::default()))]
fn books(mut ledger: Ledger) -> Ledger {
    let stanza = Bytes::from(b"<message/>".to_vec());
    for round in 1..=STANZAS / EVERY {
        for _ in 0..EVERY {
            let asks = ledger.request_due(NOW);
            let (handle, dropped) = ledger.send(NOW, stanza.clone());
            black_box((asks, handle, dropped.len()));
        }
        black_box(ledger.acknowledged(NOW, Count::new(round * EVERY)).is_ok());
    }
    ledger
}

#[library_benchmark]
#[bench::acknowledged_by_fives(setup = acks)]
fn sent((mut machine, acks): Setup) -> Setup {
    let stanza = Bytes::from_static(b"<message/>");
    for ack in &acks {
        for _ in 0..EVERY {
            black_box(machine.send(NOW, stanza.clone()));
            drain(&mut machine);
        }
        black_box(machine.handle(NOW, ack).is_ok());
        drain(&mut machine);
    }
    (machine, acks)
}

#[library_benchmark]
#[bench::asked_about_by_fives(setup = requests)]
fn arrived((mut machine, requests): Setup) -> Setup {
    for request in &requests {
        for _ in 0..EVERY {
            machine.arrived();
            machine.handled(1);
            drain(&mut machine);
        }
        black_box(machine.handle(NOW, request).is_ok());
        drain(&mut machine);
    }
    (machine, requests)
}

library_benchmark_group!(
    name = bookkeeping;
    config = LibraryBenchmarkConfig::default().tool(Dhat::default());
    benchmarks = queue, books, sent, arrived
);

main!(library_benchmark_groups = bookkeeping);
