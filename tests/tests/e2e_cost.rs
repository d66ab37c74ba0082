//! What in-band bytestreams cost: bytes on the wire for each byte that is passed, and allocations for each chunk.

use std::hint::black_box;

use allocation_counter::measure;
use onetrip_core::jingle::ibb::{Action, Bytestream, Config};
use onetrip_core::stream::{
    Build as _, Content, Env, Frame, Instant, Limits, Reader, Stanza, StreamHeader,
};
use onetrip_simulator::Seeded;
use onetrip_tests::e2e::{JULIET, ROMEO, address};

const NOW: Instant = Instant::EPOCH;
const ROUNDS: usize = 500;
const WARM_UP: usize = 20;

fn ends(block_size: u16) -> (Bytestream, Bytestream) {
    let mut entropy = Seeded::new(1);
    let env = &mut Env::new(NOW, &mut entropy);
    let mut config = Config::default();
    config.block_size = block_size;
    let sid = env.random_id();
    let sending = Bytestream::established(config, env, address(JULIET), &sid);
    (
        sending,
        Bytestream::established(config, env, address(ROMEO), &sid),
    )
}

/// The next stanza of an end, as it stands on the wire.
fn said(end: &mut Bytestream, by: usize) -> Option<Stanza> {
    loop {
        if let Action::Send(stanza) = end.poll_action()? {
            let stamped = stanza.element().with_attr("from", address(by).to_string());
            return Some(Stanza::from_element(&stamped).unwrap());
        }
    }
}

/// The reader of a stream that is up.
fn reader() -> Reader {
    Reader::primed(&StreamHeader::new(Content::Client), Limits::default()).unwrap()
}

fn read(reader: &mut Reader, stanza: &Stanza) -> Stanza {
    let Ok(Some(Frame::Stanza(stanza))) = reader.next(&mut &stanza.bytes()[..]) else {
        panic!()
    };
    stanza
}

/// One chunk there and its acknowledgement back: bytes on the wire, and allocations of the sender and the receiver.
fn chunk(
    [(sending, acks), (receiving, chunks)]: [(&mut Bytestream, &mut Reader); 2],
    payload: &[u8],
) -> (usize, [u64; 2]) {
    let mut data = None;
    let mut ack = None;
    let mut sender = measure(|| {
        assert_eq!(sending.write(NOW, payload), payload.len());
        data = said(sending, ROMEO);
    });
    let data: Stanza = data.unwrap();
    let receiver = measure(|| {
        let data = read(chunks, &data);
        assert_eq!(receiving.handle(NOW, &data), Ok(true));
        black_box(receiving.read(NOW).unwrap());
        ack = said(receiving, JULIET);
    });
    let ack: Stanza = ack.unwrap();
    let acknowledged = measure(|| {
        let ack = read(acks, &ack);
        assert_eq!(sending.handle(NOW, &ack), Ok(true));
    });
    sender.count_total += acknowledged.count_total;
    let wire = data.bytes().len() + ack.bytes().len();
    (wire, [sender.count_total, receiver.count_total])
}

#[test]
fn the_bytes_and_allocations_of_a_chunk() {
    for (block_size, bytes_limit) in [(4096_u16, 1.45), (32_767, 1.35)] {
        let (mut sending, mut receiving) = ends(block_size);
        let (mut acks, mut chunks) = (reader(), reader());
        let payload = vec![0x5a; block_size.into()];
        let (mut wire, mut sender, mut receiver) = (0, 0, 0);
        for round in 0..WARM_UP + ROUNDS {
            let both = [(&mut sending, &mut acks), (&mut receiving, &mut chunks)];
            let (bytes, [one, other]) = chunk(both, &payload);
            if round >= WARM_UP {
                wire += bytes;
                sender += one;
                receiver += other;
            }
        }
        let rounds = ROUNDS as f64;
        let (wire, sender, receiver) = (
            wire as f64 / rounds / f64::from(block_size),
            sender as f64 / rounds,
            receiver as f64 / rounds,
        );
        println!(
            "{block_size} bytes: {wire:.4} on the wire for each, {sender:.1} allocations at the sender, {receiver:.1} at the receiver"
        );
        assert!(wire < bytes_limit, "{wire}");
        assert!(sender < 150.0 && receiver < 170.0, "{sender} {receiver}");
    }
}
