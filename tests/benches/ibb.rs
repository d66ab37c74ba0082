//! In-band bytestreams: blocks of 4096 bytes encoded, wrapped, parsed and decoded, beside base64 over rxml into minidom.

mod support;

use gungraun::{Dhat, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};
use support::bytestreams::{self, Ends, by_format, by_minidom, carry, ends, payload, refer};

#[library_benchmark]
#[bench::blocks_4096(payload())]
fn reference(payload: Vec<u8>) -> Vec<u8> {
    refer(&payload, by_format);
    payload
}

// The same where minidom writes as well.
#[library_benchmark]
#[bench::blocks_4096(payload())]
fn written(payload: Vec<u8>) -> Vec<u8> {
    refer(&payload, by_minidom);
    payload
}

// What is in every design: base64 alone.
#[library_benchmark]
#[bench::blocks_4096(payload())]
fn base64_alone(payload: Vec<u8>) -> Vec<u8> {
    bytestreams::base64_alone(&payload);
    payload
}

// The machines of both ends, with the acknowledgement of each block.
#[library_benchmark]
#[bench::blocks_4096(ends())]
fn bytestream(mut ends: Ends) -> Ends {
    carry(&mut ends);
    ends
}

library_benchmark_group!(
    name = ibb;
    config = LibraryBenchmarkConfig::default().tool(Dhat::default());
    benchmarks = reference, written, base64_alone, bytestream
);

main!(library_benchmark_groups = ibb);
