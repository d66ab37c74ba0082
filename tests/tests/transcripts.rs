//! Every transcript, whole, one byte at a time, and cut in two at every byte: the same is done.

use std::collections::BTreeMap;
use std::path::PathBuf;

use onetrip_tests::{Player, Step, Transcript};

/// What went on the wire, writes that follow one another joined, and what was reported: each in its own order,
/// since a report may overtake a write that is still joining.
#[derive(Debug, PartialEq, Default, Clone)]
struct Done {
    wire: Vec<String>,
    reported: Vec<String>,
}

fn sorted(log: &[String]) -> Done {
    let mut done = Done::default();
    for entry in log {
        match (entry.strip_prefix("transmit "), done.wire.last_mut()) {
            (Some(more), Some(last)) if last.starts_with("transmit ") => last.push_str(more),
            _ if entry.starts_with("event ") => done.reported.push(entry.clone()),
            _ => done.wire.push(entry.clone()),
        }
    }
    done
}

fn transcripts() -> Vec<(String, Transcript)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("transcripts");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let transcript = Transcript::parse(&std::fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, transcript)
    };
    files.into_iter().map(read).collect()
}

/// What the transcript says is done.
fn expected(transcript: &Transcript) -> Done {
    let initiator = transcript.is_initiator();
    let ours = |step: &Step| match step {
        Step::Initiator(text) if initiator => Some(format!("transmit {text}")),
        Step::Receiver(text) if !initiator => Some(format!("transmit {text}")),
        Step::InitiatorTls => Some(
            if initiator {
                "upgrade send"
            } else {
                "upgrade receive"
            }
            .to_owned(),
        ),
        Step::ReceiverTls => Some(
            if initiator {
                "upgrade receive"
            } else {
                "upgrade send"
            }
            .to_owned(),
        ),
        Step::Event(event) if event == "close" || event.starts_with("left for TLS") => {
            Some(event.clone())
        }
        Step::Event(event) => Some(format!("event {event}")),
        _ => None,
    };
    sorted(&transcript.steps.iter().filter_map(ours).collect::<Vec<_>>())
}

type Derived = BTreeMap<Vec<u8>, onetrip_core::negotiation::sasl::SaltedPassword>;

/// Replays the peer's side; `pieces` says how its bytes are cut.
fn replay(
    transcript: &Transcript,
    derived: Derived,
    mut pieces: impl FnMut(&[u8]) -> Vec<Vec<u8>>,
) -> (Done, Derived) {
    let mut player = Player::new(transcript, derived);
    for step in &transcript.steps {
        match step {
            Step::Receiver(text) if transcript.is_initiator() => pieces(text.as_bytes())
                .iter()
                .for_each(|piece| player.receive(piece)),
            Step::Initiator(text) if !transcript.is_initiator() => pieces(text.as_bytes())
                .iter()
                .for_each(|piece| player.receive(piece)),
            Step::Wait(span) => player.wait(*span),
            _ => {}
        }
    }
    (sorted(&player.log), player.into_derived())
}

#[test]
fn every_transcript_whole_and_byte_by_byte() {
    let all = transcripts();
    assert!(all.len() >= 24, "only {} transcripts", all.len());
    for (name, transcript) in all {
        let (done, derived) = replay(&transcript, Derived::new(), |bytes| vec![bytes.to_vec()]);
        assert_eq!(done, expected(&transcript), "{name}");
        let (bytewise, _) = replay(&transcript, derived, |bytes| {
            bytes.iter().map(|byte| vec![*byte]).collect()
        });
        assert_eq!(bytewise, done, "{name}, byte by byte");
    }
}

#[test]
fn every_transcript_cut_in_two_at_every_byte() {
    for (name, transcript) in transcripts() {
        let (done, mut derived) = replay(&transcript, Derived::new(), |bytes| vec![bytes.to_vec()]);
        let theirs = |step: &Step| match step {
            Step::Receiver(text) if transcript.is_initiator() => text.len(),
            Step::Initiator(text) if !transcript.is_initiator() => text.len(),
            _ => 0,
        };
        let total: usize = transcript.steps.iter().map(theirs).sum();
        for cut in 1..total {
            let mut before = 0;
            let (cut_done, keys) = replay(&transcript, derived, |bytes| {
                let here = cut.saturating_sub(before);
                before += bytes.len();
                if here == 0 || here >= bytes.len() {
                    vec![bytes.to_vec()]
                } else {
                    vec![bytes[..here].to_vec(), bytes[here..].to_vec()]
                }
            });
            derived = keys;
            assert_eq!(cut_done, done, "{name}, cut at {cut}");
        }
    }
}
