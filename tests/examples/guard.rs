//! A guard between two zero-handshake links: it passes stanzas on, unchanged and without looking inside.
//! Each is held against both agreements: the peer speaks for its sender, and it is for somebody over there.
use onetrip_core::stream::{Domain, Env, Instant};
use onetrip_core::zero_handshake::{Agreement, Terms};
use onetrip_core::{Action, Connection, Event, LinkConfig, bytes::Bytes};
use onetrip_tests::echo::Failure;

/// Whoever is on one side: its domain and its address.
type Side = (&'static str, &'static str);
pub const GROUND: Side = ("ground.example", "192.0.2.1:5299");
pub const AIR: Side = ("air.example", "198.51.100.7:5299");

/// The link with a peer that has been reached. On it, the guard speaks for the other side.
pub fn link(peer: Side, other: Side, env: &mut Env<'_>) -> Result<Connection, Failure> {
    let domain = |side: Side| Domain::new(side.0).ok_or("no domain");
    let (ours, theirs) = (vec![domain(other)?], vec![domain(peer)?]);
    let agreement = Agreement::new(Terms::plain(ours, theirs, peer.1.parse()?))?;
    let reached = agreement.reached(peer.1.parse()?, None)?;
    Ok(Connection::link(LinkConfig::new(agreement, reached), env)?)
}

/// Bytes have come over one of the two links; gives out what is to be written to which.
pub fn pass(
    links: &mut [Connection; 2],
    env: &mut Env<'_>,
    from: usize,
    bytes: &[u8],
) -> Vec<(usize, Bytes)> {
    let mut written = Vec::new();
    // What the peer does wrong ends its link, with a stream error that is among what is written.
    let _ = links[from].receive(env, bytes);
    while let Some((side, action)) = next(links) {
        match action {
            Action::Transmit(bytes) => written.push((side, bytes)),
            Action::Event(Event::Stanza(stanza)) => {
                if let Err(error) = links[1 - from].send(env, &stanza) {
                    eprintln!("stopped: {error}");
                }
            }
            _ => {}
        }
    }
    written
}

fn next(links: &mut [Connection; 2]) -> Option<(usize, Action)> {
    (0..2).find_map(|side| Some((side, links[side].poll_action()?)))
}

fn main() -> Result<(), Failure> {
    let mut entropy = |_: &mut [u8]| ();
    let env = &mut Env::new(Instant::EPOCH, &mut entropy);
    let mut links = [link(GROUND, AIR, env)?, link(AIR, GROUND, env)?];
    let text =
        b"<message from='ops@ground.example' to='pilot@air.example'><body>hi</body></message>";
    for (side, bytes) in pass(&mut links, env, 0, text) {
        println!("to side {side}: {}", String::from_utf8_lossy(&bytes));
    }
    Ok(())
}
