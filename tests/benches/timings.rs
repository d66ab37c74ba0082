//! By the clock, for people: reading, logins by each strategy, in-band bytestreams. What is compared between versions is
//! counted, by the other benches.

mod support;

use std::hint::black_box;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use onetrip_core::negotiation::sasl::Mechanism::{Plain, ScramSha256};
use onetrip_core::stream::Limits;
use onetrip_tests::logins::{Logins, Way};
use support::bytestreams::{
    BLOCK, BLOCKS, base64_alone, by_format, by_minidom, carry, ends, payload, refer,
};

fn main() {
    divan::main();
}

#[divan::bench(args = [1460, 16, 1])]
fn reading(bencher: Bencher<'_, '_>, piece: usize) {
    let (bytes, piece) = support::wire(piece);
    let bencher = bencher.counter(BytesCount::of_slice(&bytes));
    bencher.bench_local(|| {
        support::frames(Limits::default(), &bytes, piece, |frame| {
            drop(black_box(frame))
        })
    });
}

const WAYS: [Way; 5] = [
    Way::Classic(Plain),
    Way::Classic(ScramSha256),
    Way::Quickstart(Plain),
    Way::Quickstart(ScramSha256),
    Way::Instant,
];

/// Both ends: divide by two for one of them.
#[divan::bench(args = WAYS, consts = [false, true])]
fn login<const TLS: bool>(bencher: Bencher<'_, '_>, way: Way) {
    let mut logins = Logins::new(way, TLS);
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        let mut pair = logins.log_in();
        if way == Way::Instant {
            logins.cut(&mut pair);
        }
        pair
    });
}

#[divan::bench]
fn bytestream(bencher: Bencher<'_, '_>) {
    let mut ends = ends();
    let bencher = bencher.counter(BytesCount::new(BLOCKS * BLOCK));
    bencher.bench_local(|| carry(&mut ends));
}

/// The same blocks, and nothing but base64 over rxml into minidom; which also writes them, or does not.
#[divan::bench(args = [true, false])]
fn bytestream_reference(bencher: Bencher<'_, '_>, writes: bool) {
    let payload = payload();
    let wrap = if writes { by_minidom } else { by_format };
    let bencher = bencher.counter(BytesCount::new(BLOCKS * BLOCK));
    bencher.bench_local(|| refer(&payload, wrap));
}

/// The same blocks, and nothing but base64.
#[divan::bench]
fn bytestream_base64(bencher: Bencher<'_, '_>) {
    let payload = payload();
    let bencher = bencher.counter(BytesCount::new(BLOCKS * BLOCK));
    bencher.bench_local(|| base64_alone(&payload));
}
