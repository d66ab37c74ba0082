//! Whole connections, explored: every input in every state, with what must hold in each.

use onetrip_tests::fuzz::explore::BEGINS;

/// How many inputs in a row are tried, unless `ONETRIP_DEPTH` says otherwise.
const DEPTH: usize = 4;

#[test]
fn every_input_in_every_state() {
    let depth = std::env::var("ONETRIP_DEPTH");
    let depth = depth.map_or(DEPTH, |depth| depth.parse().expect("a number"));
    let mut total = (0, 0);
    for begin in BEGINS {
        let explored = begin.explore(depth);
        println!(
            "{}: {} inputs, depth {depth}: {} states, {} tried",
            begin.name, explored.inputs, explored.states, explored.tried
        );
        assert!(explored.states > 100, "{}: {explored:?}", begin.name);
        total = (total.0 + explored.states, total.1 + explored.tried);
    }
    println!("in all: {} states, {} tried", total.0, total.1);
}
