//! A guard between two zero-handshake links: it passes stanzas on, unchanged and without looking inside.
//!
//! Each link has an agreement of its own, and the guard speaks for the domains of the other side on it. So a stanza is held
//! against both: on the way in, that the peer speaks for its sender; on the way out, that it is for somebody over there. What
//! goes out are the bytes that came in. No tree of them is ever built.

// There are two sides, 0 and 1.
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use onetrip_core::bytes::Bytes;
use onetrip_core::stream::{Domain, Env, Instant};
use onetrip_core::zero_handshake::{Agreement, Security, SourceRule, Terms};
use onetrip_core::{Action, Connection, Event, LinkConfig};

/// The two sides, by the domain and the address of whoever is there.
const SIDES: [(&str, &str); 2] = [
    ("ground.example", "192.0.2.1"),
    ("air.example", "198.51.100.7"),
];

/// Two links, and what passes between them.
pub struct Guard {
    links: [Connection; 2],
    /// How many stanzas went through.
    pub passed: usize,
    /// How many were not for the other side, and went nowhere.
    pub stopped: usize,
}

impl Guard {
    /// Whoever is on either side has connected.
    pub fn new(env: &mut Env<'_>) -> Result<Self, Box<dyn std::error::Error>> {
        Ok(Self {
            links: [accept(0, env)?, accept(1, env)?],
            passed: 0,
            stopped: 0,
        })
    }

    /// Bytes have come from one side; `write` gets those that go to the sides.
    pub fn receive(
        &mut self,
        env: &mut Env<'_>,
        side: usize,
        bytes: &[u8],
        mut write: impl FnMut(usize, Bytes),
    ) {
        // What the peer does wrong ends its link, with a stream error that is written below.
        let _ = self.links[side].receive(env, bytes);
        while let Some(action) = self.links[side].poll_action() {
            match action {
                Action::Event(Event::Stanza(stanza)) => {
                    match self.links[1 - side].send(env, &stanza) {
                        Ok(_) => self.passed += 1,
                        Err(_) => self.stopped += 1,
                    }
                }
                Action::Transmit(bytes) => write(side, bytes),
                _ => {}
            }
        }
        while let Some(action) = self.links[1 - side].poll_action() {
            if let Action::Transmit(bytes) = action {
                write(1 - side, bytes);
            }
        }
    }
}

/// The guard's end of the link with one side.
fn accept(side: usize, env: &mut Env<'_>) -> Result<Connection, Box<dyn std::error::Error>> {
    let domain = |side: usize| Domain::new(SIDES[side].0).ok_or("no domain");
    let (peer, other) = (domain(side)?, domain(1 - side)?);
    let address = SIDES[side].1;
    let mut terms = Terms::new(vec![other], vec![peer], Security::Plain);
    terms.address = Some(format!("{address}:5299").parse()?);
    terms.allowed_sources = vec![SourceRule::network(address.parse()?)];
    let agreement = Agreement::new(terms)?;
    let admitted = agreement.accept_source(format!("{address}:40000").parse()?, None)?;
    Ok(Connection::link(LinkConfig::new(agreement, admitted), env)?)
}

// Dead where a test includes this file.
#[allow(dead_code)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut entropy = |_: &mut [u8]| ();
    let env = &mut Env::new(Instant::EPOCH, &mut entropy);
    let mut guard = Guard::new(env)?;
    for text in [
        "<message from='ops@ground.example' to='pilot@air.example'><body>hi</body></message>",
        "<message from='ops@ground.example' to='m@mallory.example'><body>psst</body></message>",
    ] {
        guard.receive(env, 0, text.as_bytes(), |side, bytes| {
            println!("to {}: {}", SIDES[side].0, String::from_utf8_lossy(&bytes));
        });
    }
    Ok(())
}
