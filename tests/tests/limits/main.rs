//! Every bound from both sides: what meets it exactly is taken, and one more is refused, in the way that is documented.
//!
//! The limits of the reader itself are met in `crates/stream/tests/reader/limits.rs`, what waits behind a decision (QS-26) in
//! `hostile.rs`, attempts and requests for a resource in `onetrip-negotiation`, windows and buffers of in-band bytestreams in
//! `onetrip-jingle-xmlstream`. What is held at a bound is measured in `memory.rs`.
#![allow(clippy::unwrap_used, clippy::panic)]

mod between_servers;
mod connections;
mod deadlines;
mod links;
mod values;
mod waiting;

use minidom::Element;
use onetrip_core::stream::{Condition, Env, Instant};
use onetrip_simulator::Seeded;

/// A bound, and how it is met.
struct Bound {
    what: &'static str,
    allowed: usize,
    /// Tries so much, and says how it was refused.
    attempt: fn(usize) -> Option<String>,
    /// How one more is.
    refusal: &'static str,
}

fn check(bounds: &[Bound]) {
    for bound in bounds {
        let Bound { what, allowed, .. } = bound;
        assert_eq!((bound.attempt)(*allowed), None, "{what}: {allowed}");
        let refusal = (bound.attempt)(allowed + 1);
        assert_eq!(
            refusal.as_deref(),
            Some(bound.refusal),
            "{what}: {allowed} and 1"
        );
    }
}

/// The stream error, if there was one.
fn refusal<T>(result: Result<T, onetrip_core::Error>) -> Option<String> {
    let condition = result.err()?.condition();
    Some(condition.map_or("none", Condition::name).to_owned())
}

/// Something of so many bytes, by the text in the middle of it.
fn padded(before: &str, after: &str, bytes: usize) -> String {
    let text = "x".repeat(bytes - before.len() - after.len());
    format!("{before}{text}{after}")
}

/// So many stanzas of so many bytes in all.
fn parts(before: &str, bytes: usize, stanzas: usize) -> impl Iterator<Item = String> {
    let ends = move |number: usize| bytes * number / stanzas;
    (0..stanzas)
        .map(move |number| padded(before, "</body></message>", ends(number + 1) - ends(number)))
}

fn env<R>(call: impl FnOnce(&mut Env<'_>) -> R) -> R {
    call(&mut Env::new(Instant::EPOCH, &mut Seeded::new(1)))
}

fn element(text: &str) -> Element {
    text.parse().unwrap()
}

fn unless<T>(value: Option<T>, refusal: &str) -> Option<String> {
    value.is_none().then(|| refusal.to_owned())
}
