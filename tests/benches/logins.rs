//! Whole logins, both ends, from the first header to the client's first message: instructions and allocations.
//!
//! TLS draws its own random bytes, so that its figures differ by a little from run to run.

use std::hint::black_box;

use gungraun::{Dhat, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};
use onetrip_core::negotiation::sasl::Mechanism::{Plain, ScramSha256};
use onetrip_tests::logins::{End, Logins, Way};

#[library_benchmark]
#[bench::classic_plain(Logins::new(Way::Classic(Plain), false))]
#[bench::classic_scram(Logins::new(Way::Classic(ScramSha256), false))]
#[bench::quickstart_plain(Logins::new(Way::Quickstart(Plain), false))]
#[bench::quickstart_scram(Logins::new(Way::Quickstart(ScramSha256), false))]
#[bench::instant(Logins::new(Way::Instant, false))]
#[bench::classic_plain_tls(Logins::new(Way::Classic(Plain), true))]
#[bench::classic_scram_tls(Logins::new(Way::Classic(ScramSha256), true))]
#[bench::quickstart_plain_tls(Logins::new(Way::Quickstart(Plain), true))]
#[bench::quickstart_scram_tls(Logins::new(Way::Quickstart(ScramSha256), true))]
#[bench::instant_tls(Logins::new(Way::Instant, true))]
fn login(mut logins: Logins) -> (Logins, [End; 2]) {
    let pair = black_box(logins.log_in());
    (logins, pair)
}

library_benchmark_group!(
    name = logins;
    config = LibraryBenchmarkConfig::default().tool(Dhat::default());
    benchmarks = login
);

main!(library_benchmark_groups = logins);
