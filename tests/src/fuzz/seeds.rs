//! What a fuzzer begins with: the transcripts, values as they are stored, and runs in which nothing goes wrong.

use std::path::Path;

use onetrip_core::Resumption;
use onetrip_core::fast;
use onetrip_core::isr::{self, Rotation, Ticket, Token, Tokens};
use onetrip_core::quickstart::{Cache, Features, Key, Known, Transport};
use onetrip_core::stream::{Instant, Jid, TokenHash};
use onetrip_core::zero_handshake::Agreement;

use crate::words::{ACCOUNT, ticket};
use crate::{Step, Transcript, links};

/// The seeds of a target.
#[must_use]
pub fn of(target: &str) -> Vec<Vec<u8>> {
    match target {
        "read_stream" => transcripts(|_| true)
            .iter()
            .flat_map(|transcript| [read(transcript, true), read(transcript, false)])
            .collect(),
        "scanner" => [
            &b"\x00\x05<message to='a' xml:lang='en' xmlns:p='u'><p:b c=\"d&amp;\" p:c=''>&lt;e&#x41;&#10;f</p:b>\r\n<![CDATA[]]g]]></message>"[..],
            b"\x00\x01<iq id='1' type='get' from='b'><q xmlns='u'/></iq><a xmlns=''><b xmlns='v'/>\xc3\xa4</a></stream:stream> ",
            b"\x01\x07<?xml version='1.0' encoding='UTF-8' standalone='yes'?> <s:stream xmlns='jabber:server' xmlns:s='http://etherx.jabber.org/streams'><presence\n a = 'b'/>",
            b"\x00\x03<a b='\t\r\n' xmlns:xml='http://www.w3.org/XML/1998/namespace'/><\xc3\xa4:b xmlns:\xc3\xa4='u'/><!-- --><?x?><!D &x; ]]>",
        ]
        .map(<[u8]>::to_vec)
        .into(),
        "c2s_client" => transcripts(|one| one.is_initiator() && one.get("link").is_none())
            .iter()
            .map(|one| {
                told(
                    one,
                    &[
                        if one.get("transport") == Some("direct") {
                            0
                        } else {
                            16
                        },
                        0,
                    ],
                )
            })
            .chain((0..8).map(|bits| [&[bits << 2, bits, 0][..], &login()].concat()))
            .collect(),
        "c2s_server" => transcripts(|one| !one.is_initiator() && one.get("link").is_none())
            .iter()
            .map(|one| {
                told(
                    one,
                    &[if one.get("transport") == Some("direct") {
                        0
                    } else {
                        16
                    }],
                )
            })
            .collect(),
        "zero_handshake" => transcripts(|one| one.get("link").is_some())
            .iter()
            .map(told_link)
            .collect(),
        "c2s_pair" => (0..=255).step_by(5).map(pair).collect(),
        "s2s_pair" => (0..=255).step_by(5).map(pair).collect(),
        "resume" => (0..=255)
            .step_by(9)
            .map(|bits| vec![bits, 9, 2, bits, 4, 0, 1, bits])
            .collect(),
        "stream_management" => vec![
            [&[0][..], &[64, 65, 0, 1].repeat(20)].concat(),
            [&[1][..], &[64, 0, 65, 192].repeat(20)].concat(),
        ],
        "ibb" => (0..4)
            .map(|bits| [&[bits, 40][..], &[10, 1, 2, 3, 60, 61, 150, 151].repeat(20)].concat())
            .collect(),
        "e2e_pair" => (0..16)
            .map(|bits| [&[bits, 255][..], &[2, 15].repeat(60)].concat())
            .collect(),
        "jingle_session" => (0..32)
            .map(|bits| [&[bits, 156, 160][..], &[0, 1, 170, 0, 172].repeat(20)].concat())
            .collect(),
        "socks5" => vec![vec![0, 0, 2], vec![9, 1, 3], vec![2, 0, 4, 5, 1, 1, 9]],
        "stored_values" => stored(),
        "agreement" => agreements(),
        _ => (0..16)
            .map(|bits| [bits, 1, 2, 4, 8, 16, 32, 64].repeat(8))
            .collect(),
    }
}

fn transcripts(wanted: impl Fn(&Transcript) -> bool) -> Vec<Transcript> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("the transcripts")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "xmpp"))
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| {
            Transcript::parse(&std::fs::read_to_string(path).expect("text")).expect("a transcript")
        })
        .filter(wanted)
        .collect()
}

/// One side of it as bytes to read; TLS and restarts begin another document, and the reader stops there.
fn read(transcript: &Transcript, initiator: bool) -> Vec<u8> {
    let mut bytes = vec![0, 6];
    for step in &transcript.steps {
        match step {
            Step::Initiator(text) if initiator => bytes.extend_from_slice(text.as_bytes()),
            Step::Receiver(text) if !initiator => bytes.extend_from_slice(text.as_bytes()),
            _ => {}
        }
    }
    bytes
}

/// What the peer of the one under test says, as steps.
fn told(transcript: &Transcript, config: &[u8]) -> Vec<u8> {
    let mut seed = config.to_vec();
    for step in &transcript.steps {
        match step {
            Step::Initiator(text) if !transcript.is_initiator() => piece(&mut seed, 130, text),
            Step::Receiver(text) if transcript.is_initiator() => piece(&mut seed, 130, text),
            Step::Wait(_) => seed.push(192),
            _ => {}
        }
    }
    seed
}

fn told_link(transcript: &Transcript) -> Vec<u8> {
    let mut seed = vec![if transcript.is_initiator() { 16 } else { 0 }, 9];
    for step in &transcript.steps {
        match step {
            Step::Initiator(text) if !transcript.is_initiator() => piece(&mut seed, 201, text),
            Step::Receiver(text) if transcript.is_initiator() => piece(&mut seed, 201, text),
            _ => {}
        }
    }
    seed
}

fn piece(seed: &mut Vec<u8>, kind: u8, text: &str) {
    let text = text.replace("im.example.com", "capulet.test");
    let length = u16::try_from(text.len()).expect("short");
    seed.push(kind);
    seed.extend_from_slice(&length.to_be_bytes());
    seed.extend_from_slice(text.as_bytes());
}

/// A login in step, by the numbers of the lines.
fn login() -> Vec<u8> {
    [0, 1, 2, 0, 3, 18, 19, 20]
        .iter()
        .flat_map(|line| [1, *line])
        .collect()
}

/// Everything is delivered at once, both ways, and each end says something.
fn pair(bits: u8) -> Vec<u8> {
    let mut seed = vec![bits, bits.rotate_left(3), bits.rotate_left(5)];
    seed.extend_from_slice(&[130, 131].repeat(12));
    seed.extend_from_slice(&[200, 0, 1, 201, 1, 0, 130, 131, 130, 131]);
    seed
}

fn stored() -> Vec<Vec<u8>> {
    let account: Jid = ACCOUNT.parse().expect("an address");
    let mut cache = Cache::default();
    let key = Key::new(
        account.domain().clone(),
        Some(&account),
        Transport::StartTls,
    );
    let features = Features::of_mechanisms(["PLAIN", "SCRAM-SHA-1"]);
    cache.remember(
        &key,
        Known::new(features.clone(), features, "PLAIN".to_owned(), 3),
    );
    let resumption: Resumption = crate::words::stored().with_ticket(ticket());
    let mut tokens = Tokens::new(Rotation::GraceUntilConfirmed);
    tokens.issue(
        TokenHash::from_bytes([7; 32]),
        &account,
        "s1",
        Instant::from_millis(9),
    );
    let key = Token::read("k3y").expect("a token");
    let mut keys = isr::Keys::new(Rotation::SingleUse);
    let grant = isr::KeyGrant::new(key.clone(), Some("HT-SHA-256-ENDP"));
    keys.issue(&grant, &account, "s1", Instant::from_millis(9));
    let dialect = isr::Dialect::Sasl2 {
        session: "s1".into(),
        mechanism: "HT-SHA-256-ENDP".into(),
    };
    let mut wallet = fast::Wallet::default();
    let until = fast::DateTime::from_unix_seconds(1_700_000_000);
    wallet.put(fast::Ticket::new(key.clone(), "HT-SHA-256-NONE", until));
    wallet.set_early(true);
    [
        cache.to_bytes(),
        resumption.session.to_bytes(),
        resumption.to_bytes(),
        ticket().to_bytes(),
        Ticket::of(dialect, key, isr::Location::parse("[::1]:5223", 5223)).to_bytes(),
        tokens.to_bytes(),
        keys.to_bytes(),
        wallet.to_bytes(),
        fast::Tokens::default().to_bytes(),
    ]
    .map(|bytes| bytes.to_vec())
    .to_vec()
}

fn agreements() -> Vec<Vec<u8>> {
    let example = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../crates/zero-handshake/examples/agreement.toml");
    let mut seeds = vec![std::fs::read(example).expect("the example")];
    for of in [links::GROUND, links::AIR] {
        let agreement = Agreement::new(links::acknowledged(of)).expect("an agreement");
        seeds.push(agreement.to_toml().into_bytes());
    }
    seeds
}
