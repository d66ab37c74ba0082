//! Two servers with an agreement, over a link of 2400 bit/s by satellite: what is sent first arrives first, and alone.
use std::time::Duration;

use onetrip_core::stream::{Content, Domain, Env, Instant, Stanza};
use onetrip_core::zero_handshake::{Agreement, Terms};
use onetrip_core::{Action, Connection, Event, LinkConfig};
use onetrip_tests::echo::Failure;

const GROUND: (&str, &str) = ("ground.example", "192.0.2.1:5299");
const AIR: (&str, &str) = ("air.example", "198.51.100.7:5299");

/// What one side has agreed on with the other.
fn agreement(us: (&str, &str), peer: (&str, &str)) -> Result<Agreement, Failure> {
    let domain = |name: &str| Domain::new(name).ok_or("no domain");
    let (ours, theirs) = (vec![domain(us.0)?], vec![domain(peer.0)?]);
    Ok(Agreement::new(Terms::plain(ours, theirs, peer.1.parse()?))?)
}

/// Sends these texts up, and says which arrived when.
pub fn send(texts: &[&str]) -> Result<Vec<(Duration, String)>, Failure> {
    let mut entropy = |_: &mut [u8]| ();
    let env = &mut Env::new(Instant::EPOCH, &mut entropy);
    let (ground, air) = (agreement(GROUND, AIR)?, agreement(AIR, GROUND)?);
    // TCP is there: each knows the other by its address.
    let reached = ground.reached(AIR.1.parse()?, None)?;
    let accepted = air.accept_source("192.0.2.1:40000".parse()?, None)?;
    let mut below = Connection::link(LinkConfig::new(ground, reached), env)?;
    let mut above = Connection::link(LinkConfig::new(air, accepted), env)?;
    let mut arrived = Vec::new();
    for text in texts {
        let addresses = "from='ops@ground.example' to='pilot@air.example'";
        let message = format!("<message {addresses}><body>{text}</body></message>");
        below.send(env, &Stanza::parse(message.as_bytes(), Content::Server)?)?;
    }
    while let Some(action) = below.poll_action() {
        let Action::Transmit(bytes) = action else {
            continue;
        };
        for byte in bytes {
            env.now = env.now + Duration::from_secs(8) / 2400;
            above.receive(env, &[byte])?;
            while let Some(action) = above.poll_action() {
                if let Action::Event(Event::Stanza(stanza)) = action {
                    let up = env.now.since_epoch() + Duration::from_millis(2500);
                    arrived.push((up, stanza.body().unwrap_or_default()));
                }
            }
        }
    }
    Ok(arrived)
}

fn main() -> Result<(), Failure> {
    for (when, text) in send(&["first", "second", "third"])? {
        println!("{when:?}: {text}");
    }
    Ok(())
}
