//! Writing: instructions and allocations from trees to bytes, beside minidom's own writer.

mod support;

use std::hint::black_box;

use gungraun::{Dhat, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};
use minidom::Element;
use onetrip_core::stream::{Content, Stanza, Writer};
use support::{Reference, corpus};

/// The trees of all stanzas of the corpus.
fn trees() -> Vec<Element> {
    let corpus = corpus();
    let mut reference = Reference::new();
    let mut trees = Vec::new();
    reference.read(corpus.header.as_bytes(), |_| ());
    for stanza in corpus.stanzas() {
        reference.read(stanza.as_bytes(), |element| trees.push(element));
    }
    trees
}

#[library_benchmark]
#[bench::corpus(trees())]
fn reference(trees: Vec<Element>) -> Vec<Element> {
    for tree in &trees {
        let mut out = Vec::new();
        tree.write_to(&mut out).expect("well-formed");
        drop(black_box(out));
    }
    trees
}

#[library_benchmark]
#[bench::corpus(trees())]
fn element(trees: Vec<Element>) -> Vec<Element> {
    let writer = Writer::new(Content::Client);
    for tree in &trees {
        drop(black_box(writer.element(tree).expect("well-formed")));
    }
    trees
}

// With the head, for what is to be kept until it is acknowledged.
#[library_benchmark]
#[bench::corpus(trees())]
fn stanza(trees: Vec<Element>) -> Vec<Element> {
    for tree in &trees {
        drop(black_box(Stanza::from_element(tree).expect("a stanza")));
    }
    trees
}

library_benchmark_group!(
    name = writing;
    config = LibraryBenchmarkConfig::default().tool(Dhat::default());
    benchmarks = reference, element, stanza
);

main!(library_benchmark_groups = writing);
