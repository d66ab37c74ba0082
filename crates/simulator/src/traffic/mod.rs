//! Two servers with one agreement and much to say, on a link that is slow, loses packets and goes away.

mod party;
mod weather;

use core::time::Duration;
use std::collections::BTreeMap;

use bytes::Bytes;
use onetrip_core::stream::{Domain, Env, Instant};
use onetrip_core::zero_handshake::{Acknowledgements, Agreement, ConnectionId, Fingerprint, Terms};
use onetrip_core::{AgreedPeer, Connection, LinkConfig, PeersConfig};
use onetrip_tls::Secured;
use onetrip_tls::rustls::{RustlsSession, Versions};

use crate::agreed::{agreement, place};
use crate::certificates::{CertificateError, PEER};
use crate::entropy::Seeded;
use crate::link::Link;
use crate::run::{Lab, LabError};
use party::{Done, Party};
use weather::Weather;

/// What is simulated.
#[derive(Debug, Clone)]
pub struct Traffic {
    /// The link.
    pub link: Link,
    /// Of a thousand writes so many are lost, and sent again by TCP when it notices.
    pub lost: u32,
    /// When nothing passes: from when, and for how long. TCP outlives two minutes of it.
    pub outages: Vec<(Duration, Duration)>,
    /// TLS with pinned certificates, or none.
    pub tls: Option<Versions>,
    /// Whether acknowledgements were agreed (ZH-R5).
    pub acknowledged: bool,
    /// How many stanzas each server sends.
    pub stanzas: usize,
    /// How far they are apart.
    pub every: Duration,
    /// Where what looks random begins.
    pub seed: u64,
}

impl Default for Traffic {
    /// Twenty stanzas each, ten seconds apart, over 2400 bit/s and five seconds there and back, without TLS.
    fn default() -> Self {
        Self {
            link: Link {
                round_trip: Duration::from_secs(5),
                rate: Some(2400),
            },
            lost: 0,
            outages: Vec::new(),
            tls: None,
            acknowledged: true,
            stanzas: 20,
            every: Duration::from_secs(10),
            seed: 1,
        }
    }
}

/// What has become of what one server sent, by the numbers of its stanzas.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fate {
    /// What has arrived, in that order, and when.
    pub delivered: Vec<(usize, Duration)>,
    /// What came back, in that order.
    pub returned: Vec<usize>,
}

/// What it came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// For each server: what became of what it sent.
    pub fates: [Fate; 2],
    /// How many connections there were.
    pub connections: usize,
    /// How many bytes each server has written.
    pub bytes: [usize; 2],
    /// When everything was over.
    pub over: Duration,
}

impl Lab {
    /// Lets two servers talk.
    ///
    /// # Errors
    /// [`LabError`] when the lab itself does not work.
    pub fn traffic(&self, traffic: &Traffic) -> Result<Flow, LabError> {
        let mut sea = Sea::new(self, traffic)?;
        for number in 0..traffic.stanzas {
            let times = u32::try_from(number).unwrap_or(u32::MAX);
            let at = Instant::EPOCH + traffic.every.saturating_mul(times);
            for from in 0..2 {
                sea.put(at, Happening::Say { from, number });
            }
        }
        sea.run()
    }
}

/// What happens at some time.
#[derive(Debug)]
enum Happening {
    Say {
        from: usize,
        number: usize,
    },
    Connected {
        from: usize,
    },
    NotConnected {
        from: usize,
    },
    Bytes {
        wire: usize,
        to: usize,
        bytes: Bytes,
    },
    Gone {
        wire: usize,
        to: usize,
    },
}

/// A connection between the two.
#[derive(Debug, Default)]
struct Wire {
    /// Until when each end is busy sending, and when the last of it arrives.
    busy: [Instant; 2],
    last: [Instant; 2],
    /// When it dies, once that is certain: nothing more gets through.
    dies: Option<Instant>,
}

struct Sea<'a> {
    lab: &'a Lab,
    traffic: &'a Traffic,
    weather: Weather<'a>,
    parties: [Party; 2],
    wires: Vec<Wire>,
    now: Instant,
    queue: BTreeMap<(Instant, u64), Happening>,
    sent: u64,
    bytes: [usize; 2],
}

/// Far more than any exchange needs.
const MAX_STEPS: usize = 1_000_000;

impl<'a> Sea<'a> {
    fn new(lab: &'a Lab, traffic: &'a Traffic) -> Result<Self, LabError> {
        let peer = Domain::new(PEER).ok_or(LabError::Address)?;
        let (client, server) = lab.certificates.fingerprints();
        let pins = [server, client].map(|pin: Fingerprint| traffic.tls.map(|_| pin));
        let [here, there] = pins;
        let party = |agreement: Agreement| -> Result<Party, LabError> {
            let mut terms: Terms = agreement.into_terms();
            terms.presets.acknowledgements = traffic.acknowledged.then(|| {
                let mut agreed = Acknowledgements::default();
                agreed.answer_within = Duration::from_secs(180);
                agreed.request_idle = traffic.link.round_trip;
                agreed
            });
            let peer = AgreedPeer::new(Agreement::new(terms)?, PeersConfig::default());
            Ok(Party::new(peer))
        };
        Ok(Self {
            lab,
            traffic,
            weather: Weather::new(traffic),
            parties: [
                party(agreement(&peer, &lab.domain, place(1)?, here)?)?,
                party(agreement(&lab.domain, &peer, place(0)?, there)?)?,
            ],
            wires: Vec::new(),
            now: Instant::EPOCH,
            queue: BTreeMap::new(),
            sent: 0,
            bytes: [0; 2],
        })
    }

    fn put(&mut self, at: Instant, happening: Happening) {
        self.sent = self.sent.saturating_add(1);
        self.queue.insert((at, self.sent), happening);
    }

    fn run(mut self) -> Result<Flow, LabError> {
        for _ in 0..MAX_STEPS {
            let next = self.queue.keys().next().map(|(at, _)| *at);
            let deadline = self.parties.iter().filter_map(Party::deadline).min();
            match (next, deadline) {
                (Some(at), deadline) if deadline.is_none_or(|deadline| at <= deadline) => {
                    self.now = self.now.max(at);
                    if let Some((_, happening)) = self.queue.pop_first() {
                        self.on(happening)?;
                    }
                }
                (_, Some(deadline)) => {
                    self.now = self.now.max(deadline);
                    for party in &mut self.parties {
                        party.handle_timeout(self.now);
                    }
                }
                (_, None) => break,
            }
            self.settle();
        }
        let [one, other] = self.parties;
        Ok(Flow {
            connections: self.wires.len(),
            bytes: self.bytes,
            over: self.now.since_epoch(),
            fates: [
                Fate {
                    delivered: other.got,
                    returned: one.returned,
                },
                Fate {
                    delivered: one.got,
                    returned: other.returned,
                },
            ],
        })
    }

    fn on(&mut self, happening: Happening) -> Result<(), LabError> {
        let now = self.now;
        match happening {
            Happening::Say { from, number } => {
                if let Some(party) = self.parties.get_mut(from) {
                    party.say(now, number);
                }
            }
            Happening::Connected { from } => self.connect(from)?,
            Happening::NotConnected { from } => {
                if let Some(party) = self.parties.get_mut(from) {
                    party.peer.open_failed(now);
                }
            }
            Happening::Bytes { wire, to, bytes } => {
                let dies = self.wires.get(wire).and_then(|wire| wire.dies);
                let dead = dies.is_some_and(|dies| dies <= now);
                if let Some(party) = self.parties.get_mut(to).filter(|_| !dead) {
                    party.receive(now, wire, &bytes);
                }
            }
            Happening::Gone { wire, to } => {
                if let Some(party) = self.parties.get_mut(to) {
                    party.receive_eof(now, wire);
                }
            }
        }
        Ok(())
    }

    /// Both ends of a connection that one of them has opened.
    fn connect(&mut self, from: usize) -> Result<(), LabError> {
        let wire = self.wires.len();
        self.wires.push(Wire::default());
        for to in [1_usize.saturating_sub(from), from] {
            let opens = to == from;
            let link = self.end(to, opens)?;
            if let Some(party) = self.parties.get_mut(to) {
                party.enter(wire, link, opens);
            }
        }
        Ok(())
    }

    fn end(&self, of: usize, opens: bool) -> Result<Secured<Option<RustlsSession>>, LabError> {
        let party = self.parties.get(of).ok_or(LabError::Address)?;
        let agreement = party.peer.agreement().clone();
        let admitted = if opens {
            agreement.reached(place(1_usize.saturating_sub(of))?, None)?
        } else {
            agreement.accept_source(place(1_usize.saturating_sub(of))?, None)?
        };
        let session = match self.traffic.tls {
            Some(versions) => Some(self.session(of, opens, versions)?),
            None => None,
        };
        let mut entropy = Seeded::new(self.traffic.seed);
        let env = &mut Env::new(self.now, &mut entropy);
        let connection = Connection::link(LinkConfig::new(agreement, admitted), env)?;
        Ok(Secured::new(connection, session))
    }

    /// TLS of one end: both have a certificate, and the first one's is the client's of the lab.
    fn session(
        &self,
        of: usize,
        opens: bool,
        versions: Versions,
    ) -> Result<RustlsSession, CertificateError> {
        let certificates = &self.lab.certificates;
        let (client, server) = if (of == 0) == opens {
            certificates.servers(versions, true)?
        } else {
            certificates.servers_back(versions, true)?
        };
        let name = self
            .parties
            .get(of)
            .and_then(|party| party.peer.agreement().sni());
        Ok(match name.filter(|_| opens) {
            Some(name) => RustlsSession::client(client, name)?,
            None => RustlsSession::server(server)?,
        })
    }

    /// Carries out what both want, until neither wants anything.
    fn settle(&mut self) {
        for of in [0, 1, 0, 1] {
            let Some(party) = self.parties.get_mut(of) else {
                return;
            };
            for done in party.settle(self.now) {
                match done {
                    Done::Open => self.open(of),
                    Done::Wrote(ConnectionId(wire), bytes) => {
                        self.transmit(usize::try_from(wire).unwrap_or(usize::MAX), of, bytes);
                    }
                    Done::Closed(ConnectionId(wire)) => {
                        let wire = usize::try_from(wire).unwrap_or(usize::MAX);
                        let last = self.wires.get(wire).map_or(self.now, |wire| {
                            wire.last.get(of).copied().unwrap_or_default()
                        });
                        let at = last.max(self.now + self.traffic.link.latency());
                        let to = 1_usize.saturating_sub(of);
                        self.put(at, Happening::Gone { wire, to });
                    }
                }
            }
        }
    }

    fn open(&mut self, from: usize) {
        match self.weather.connects(self.now) {
            Ok(at) => self.put(at, Happening::Connected { from }),
            Err(at) => self.put(at, Happening::NotConnected { from }),
        }
    }

    fn transmit(&mut self, wire: usize, from: usize, bytes: Bytes) {
        let busy = self.traffic.link.busy(bytes.len());
        let Some(this) = self.wires.get_mut(wire).filter(|wire| wire.dies.is_none()) else {
            return;
        };
        let (Some(until), Some(last), Some(written)) = (
            this.busy.get_mut(from),
            this.last.get_mut(from),
            self.bytes.get_mut(from),
        ) else {
            return;
        };
        *written = written.saturating_add(bytes.len());
        *until = self.now.max(*until) + busy;
        match self.weather.arrives(*until) {
            Ok(at) => {
                // TCP keeps the order.
                *last = at.max(*last);
                let (at, to) = (*last, 1_usize.saturating_sub(from));
                self.put(at, Happening::Bytes { wire, to, bytes });
            }
            Err(at) => {
                this.dies = Some(at);
                for to in 0..2 {
                    self.put(at, Happening::Gone { wire, to });
                }
            }
        }
    }
}
