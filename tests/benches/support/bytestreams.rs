//! Two ends of an in-band bytestream, and what they carry.

use std::hint::black_box;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minidom::Element;
use onetrip_core::jingle::ibb::{Action, Bytestream, Config};
use onetrip_core::stream::{
    Build as _, Content, Env, Frame, Instant, Jid, Limits, Reader, Stanza, StreamHeader, ns,
};
use onetrip_simulator::Seeded;

use super::Reference;

const NOW: Instant = Instant::EPOCH;
/// So many blocks are carried at a time.
pub const BLOCKS: usize = 100;
/// Of so many bytes.
pub const BLOCK: usize = 4096;

/// One block.
pub fn payload() -> Vec<u8> {
    let mut random = Seeded::new(1);
    (0..BLOCK).map(|_| random.number() as u8).collect()
}

/// A block, both ends, and the readers of what arrives at each.
pub type Ends = (Vec<u8>, [Bytestream; 2], [Reader; 2]);

pub fn ends() -> Ends {
    let mut entropy = Seeded::new(1);
    let env = &mut Env::new(NOW, &mut entropy);
    let address = |text: &str| text.parse::<Jid>().expect("an address");
    let ends = ["juliet@capulet.lit/balcony", "romeo@montague.lit/orchard"]
        .map(|peer| Bytestream::established(Config::default(), env, address(peer), "mySID"));
    let reader = || Reader::primed(&StreamHeader::new(Content::Client), Limits::default());
    let readers = [reader().expect("a reader"), reader().expect("a reader")];
    (payload(), ends, readers)
}

/// What the servers pass on: they say behind its name who says it.
fn stamped(stanza: &Stanza, by: &str) -> Vec<u8> {
    let (name, rest) = stanza.bytes().split_at("<iq".len());
    [name, b" from='", by.as_bytes(), b"'", rest].concat()
}

/// All that one end has to say arrives at the other.
fn deliver(from: &mut Bytestream, by: &str, to: &mut Bytestream, reader: &mut Reader) {
    while let Some(action) = from.poll_action() {
        let Action::Send(stanza) = action else {
            continue;
        };
        let wire = stamped(&stanza, by);
        let Ok(Some(Frame::Stanza(stanza))) = reader.next(&mut &wire[..]) else {
            panic!("a stanza goes in, and comes out")
        };
        let taken = to.handle(NOW, &stanza);
        assert_eq!(taken, Ok(true));
    }
}

/// All blocks, with the acknowledgement of each.
pub fn carry((payload, ends, readers): &mut Ends) {
    let [romeo, juliet] = ends;
    let [forth, back] = readers;
    for _ in 0..BLOCKS {
        assert_eq!(romeo.write(NOW, payload), BLOCK);
        deliver(romeo, "romeo@montague.lit/orchard", juliet, forth);
        while let Some(bytes) = juliet.read(NOW) {
            black_box(bytes);
        }
        deliver(juliet, "juliet@capulet.lit/balcony", romeo, back);
    }
}

/// What is in every design: base64 alone.
pub fn base64_alone(payload: &[u8]) {
    for _ in 0..BLOCKS {
        let text = black_box(STANDARD.encode(payload));
        black_box(STANDARD.decode(text).expect("base64"));
    }
}

/// How the yardstick wraps a block.
type Wrap = fn(usize, String) -> Vec<u8>;

/// As text around text, which costs next to nothing.
pub fn by_format(seq: usize, text: String) -> Vec<u8> {
    format!(
        "<iq type='set' id='{seq}' to='juliet@capulet.lit/balcony' from='romeo@montague.lit/orchard'>\
         <data xmlns='http://jabber.org/protocol/ibb' sid='mySID' seq='{seq}'>{text}</data></iq>"
    )
    .into_bytes()
}

/// As a tree that minidom writes, which is what a program does that has minidom.
pub fn by_minidom(seq: usize, text: String) -> Vec<u8> {
    let data = Element::bare("data", ns::IBB)
        .with_attr("sid", "mySID")
        .with_attr("seq", seq.to_string())
        .with_text(&text);
    let iq = Element::bare("iq", ns::CLIENT)
        .with_attr("type", "set")
        .with_attr("id", seq.to_string())
        .with_attr("to", "juliet@capulet.lit/balcony")
        .with_attr("from", "romeo@montague.lit/orchard")
        .with_child(data);
    let mut bytes = Vec::new();
    iq.write_to(&mut bytes).expect("it can be written");
    bytes
}

/// The yardstick: base64 over rxml into minidom.
pub fn refer(payload: &[u8], wrap: Wrap) {
    let mut reference = Reference::new();
    reference.read(
        b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
        |_| (),
    );
    for seq in 0..BLOCKS {
        let stanza = wrap(seq, STANDARD.encode(payload));
        reference.read(&stanza, |element| {
            let data = element.children().next().expect("a chunk");
            black_box(STANDARD.decode(data.text()).expect("base64"));
        });
    }
}
