//! The guard of the examples: bytes through it are unchanged, what is not agreed is stopped, and no tree is built.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../examples/guard.rs"]
#[allow(dead_code)] // It has a `main` of its own.
mod guard;

use allocation_counter::{AllocationInfo, measure};
use guard::{AIR, GROUND, link, pass};
use onetrip_core::stream::{Content, Env, Frame, Instant, Limits, Reader, Stanza, StreamHeader};

const SENDERS: [&str; 2] = [
    "from='ops@ground.example' to='pilot@air.example'",
    "from='pilot@air.example' to='ops@ground.example'",
];

/// A message with so many children, each with an attribute and text.
fn message(side: usize, children: usize) -> String {
    let child = "<x xmlns='urn:example:x' mark='secret'>text of a child</x>";
    format!(
        "<message {}>{}</message>",
        SENDERS[side],
        child.repeat(children)
    )
}

/// What comes out of the guard at either side.
fn through(pieces: &[(usize, &[u8])]) -> [Vec<u8>; 2] {
    let mut entropy = |_: &mut [u8]| ();
    let env = &mut Env::new(Instant::EPOCH, &mut entropy);
    let mut links =
        [(GROUND, AIR), (AIR, GROUND)].map(|(peer, other)| link(peer, other, env).unwrap());
    let mut out = [Vec::new(), Vec::new()];
    for (side, bytes) in pieces {
        for (to, bytes) in pass(&mut links, env, *side, bytes) {
            out[to].extend_from_slice(&bytes);
        }
    }
    out
}

#[test]
fn zh_10_a_guard_passes_bytes_on_unchanged_both_ways_in_any_split() {
    let text = [0, 1].map(|side| message(side, 3) + &message(side, 1) + &message(side, 40));
    for piece in [1, 5, 100, 100_000] {
        let pieces: Vec<(usize, &[u8])> = [0, 1]
            .iter()
            .flat_map(|side| {
                text[*side]
                    .as_bytes()
                    .chunks(piece)
                    .map(|part| (*side, part))
            })
            .collect();
        let out = through(&pieces);
        assert!(out[1] == text[0].as_bytes() && out[0] == text[1].as_bytes());
    }
}

#[test]
fn zh_10_a_guard_stops_what_is_not_agreed_and_ends_the_link_of_whoever_sent_it() {
    for (text, condition) in [
        (
            "<message from='ops@ground.example' to='m@mallory.example'/>",
            "host-unknown",
        ),
        (
            "<message from='m@mallory.example' to='pilot@air.example'/>",
            "invalid-from",
        ),
        (
            "<message from='pilot@air.example' to='pilot@air.example'/>",
            "invalid-from",
        ),
    ] {
        let out = through(&[(0, text.as_bytes())]);
        assert!(out[1].is_empty(), "{text}");
        let said = String::from_utf8(out[0].clone()).unwrap();
        assert!(said.contains(condition), "{text}: {said}");
    }
}

const ROUNDS: u64 = 100;

/// What a message costs, over many, once buffers have their size.
fn each(mut pass: impl FnMut()) -> AllocationInfo {
    (0..20).for_each(|_| pass());
    let mut info = measure(|| (0..ROUNDS).for_each(|_| pass()));
    info.count_total /= ROUNDS;
    info.bytes_total /= ROUNDS;
    info
}

/// Passing it on.
fn guarded(text: &str) -> AllocationInfo {
    let mut entropy = |_: &mut [u8]| ();
    let env = &mut Env::new(Instant::EPOCH, &mut entropy);
    let mut links =
        [(GROUND, AIR), (AIR, GROUND)].map(|(peer, other)| link(peer, other, env).unwrap());
    each(|| {
        let written = pass(&mut links, env, 0, text.as_bytes());
        assert!(matches!(&written[..], [(1, bytes)] if bytes == text.as_bytes()));
    })
}

/// Checking that it is well-formed, which nobody gets around.
fn read(text: &str) -> AllocationInfo {
    let header = StreamHeader::new(Content::Server);
    let mut reader = Reader::primed(&header, Limits::AUTHENTICATED).unwrap();
    each(|| {
        let mut rest = text.as_bytes();
        let frame = reader.next(&mut rest).unwrap();
        assert!(matches!(frame, Some(Frame::Stanza(_))));
        assert_eq!(reader.next(&mut rest), Ok(None));
    })
}

/// What a guard does beyond reading costs the same however much is in a message: no tree of it is built, and no copy made.
#[test]
fn a_guard_builds_no_tree_and_copies_nothing() {
    for children in [1, 10, 100, 1000] {
        let text = message(0, children);
        let (guarded, read) = (guarded(&text), read(&text));
        let allocations = guarded.count_total - read.count_total;
        let bytes = guarded.bytes_total - read.bytes_total;
        println!(
            "{children} children, {} bytes: {allocations} allocations of {bytes} bytes beyond reading ({} of {})",
            text.len(),
            read.count_total,
            read.bytes_total
        );
        assert!(allocations <= 20, "{children}: {allocations} allocations");
        // Room for the actions of one call, which a connection gives back when they are carried out.
        assert!(bytes <= 1536, "{children}: {bytes} bytes");
        // A tree would show: it has an allocation for each child at least.
        let stanza = Stanza::parse(text.as_bytes(), Content::Server).unwrap();
        let tree = measure(|| drop(stanza.element()));
        assert!(tree.count_total >= read.count_total + children as u64);
    }
}
