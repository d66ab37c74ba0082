//! The bodies of the fuzz targets on stable: over their seeds, over the corpus that is kept, and over what is near it.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use onetrip_simulator::Seeded;
use onetrip_tests::fuzz::{TARGETS, Target, seeds};

/// How many inputs each target is given in all, at least.
const INPUTS: usize = 3000;

/// What is kept in `fuzz/corpus` of a target, in the order of names.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(name);
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

/// One to four changes: a byte, a hole, a repetition, or the end of another input.
fn change(random: &mut Seeded, inputs: &[Vec<u8>], data: &mut Vec<u8>) {
    let mut below = |end: usize| usize::try_from(random.number() % (end.max(1) as u64)).unwrap();
    for _ in 0..=below(4) {
        let at = below(data.len());
        match below(4) {
            0 if !data.is_empty() => data[at] = u8::try_from(below(256)).unwrap(),
            1 => drop(data.drain(at..data.len().min(at + 1 + below(8)))),
            2 => {
                let piece = data[at..data.len().min(at + 1 + below(32))].to_vec();
                data.splice(at..at, piece);
            }
            _ => {
                let other = &inputs[below(inputs.len())];
                data.truncate(at);
                data.extend_from_slice(&other[below(other.len())..]);
            }
        }
    }
}

fn run(target: &Target) {
    let mut inputs = seeds::of(target.name);
    assert!(!inputs.is_empty(), "{} has no seeds", target.name);
    inputs.extend(corpus(target.name));
    inputs.iter().for_each(|input| attempt(target, input));
    let mut random = Seeded::new(0xF022);
    for round in 0..INPUTS.saturating_sub(inputs.len()) {
        let mut input = inputs[round % inputs.len()].clone();
        change(&mut random, &inputs, &mut input);
        attempt(target, &input);
    }
}

/// Runs it, and names the input if it panics.
fn attempt(target: &Target, input: &[u8]) {
    struct Named<'a>(&'a Target, &'a [u8]);
    impl Drop for Named<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("{} was given {:?}", self.0.name, self.1);
            }
        }
    }
    let _named = Named(target, input);
    (target.run)(input);
}

macro_rules! tests {
    ($($name:ident)+) => {
        $(
            #[test]
            fn $name() {
                run(TARGETS.iter().find(|target| target.name == stringify!($name)).unwrap());
            }
        )+

        #[test]
        fn every_target_is_run_here() {
            let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(names, [$(stringify!($name)),+]);
        }
    };
}

tests! {
    read_stream scanner c2s_client c2s_server c2s_pair s2s_outbound s2s_inbound s2s_pair sasl sasl2 stream_management resume isr
    fast dialback bidi zero_handshake route jingle_session e2e_pair ibb socks5 stored_values agreement
}

/// `fuzz/` is no part of the workspace: its targets are those, each with a file.
#[test]
fn every_target_has_its_file_in_the_fuzz_package() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    for target in TARGETS {
        let name = target.name;
        let text = std::fs::read_to_string(folder.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(text.contains(&format!("fuzz::{name}(data)")), "{name}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
    let files = std::fs::read_dir(folder.join("fuzz_targets"))
        .unwrap()
        .count();
    assert_eq!(files, TARGETS.len());
}
