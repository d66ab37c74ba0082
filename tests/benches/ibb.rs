//! In-band bytestreams: blocks of 4096 bytes encoded, wrapped, parsed and decoded, beside base64 over rxml into minidom.

mod support;

use std::hint::black_box;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gungraun::{Dhat, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};
use support::Reference;
use support::bytestreams::{BLOCKS, Ends, carry, ends, payload};

#[library_benchmark]
#[bench::blocks_4096(payload())]
fn reference(payload: Vec<u8>) -> Vec<u8> {
    let mut reference = Reference::new();
    reference.read(
        b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
        |_| (),
    );
    for seq in 0..BLOCKS {
        let stanza = format!(
            "<iq type='set' id='{seq}' to='juliet@capulet.lit/balcony' from='romeo@montague.lit/orchard'>\
             <data xmlns='http://jabber.org/protocol/ibb' sid='mySID' seq='{seq}'>{}</data></iq>",
            STANDARD.encode(&payload)
        );
        reference.read(stanza.as_bytes(), |element| {
            let data = element.children().next().expect("a chunk");
            black_box(STANDARD.decode(data.text()).expect("base64"));
        });
    }
    payload
}

// What is in every design: base64 alone.
#[library_benchmark]
#[bench::blocks_4096(payload())]
fn base64_alone(payload: Vec<u8>) -> Vec<u8> {
    for _ in 0..BLOCKS {
        let text = black_box(STANDARD.encode(&payload));
        black_box(STANDARD.decode(text).expect("base64"));
    }
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
    benchmarks = reference, base64_alone, bytestream
);

main!(library_benchmark_groups = ibb);
