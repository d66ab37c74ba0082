//! What a link does to what is on it: it loses, and it goes away.

use core::time::Duration;

use onetrip_core::stream::Instant;

use super::Traffic;
use crate::entropy::Seeded;

/// How long TCP goes on sending the same again before it gives up.
const GIVES_UP: Duration = Duration::from_secs(120);
/// How long whoever connects waits for an answer.
const CONNECTS: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Weather<'a> {
    traffic: &'a Traffic,
    dice: Seeded,
}

impl<'a> Weather<'a> {
    pub(super) fn new(traffic: &'a Traffic) -> Self {
        Self {
            traffic,
            dice: Seeded::new(traffic.seed),
        }
    }

    /// The outage at a time, if there is one: when it begins and ends.
    fn outage(&self, at: Instant) -> Option<(Instant, Instant)> {
        let outages = self.traffic.outages.iter();
        let mut spans = outages.map(|(begin, length)| {
            let begin = Instant::EPOCH + *begin;
            (begin, begin + *length)
        });
        spans.find(|(begin, end)| *begin <= at && at < *end)
    }

    /// How long TCP waits before it sends the same again.
    fn again(&self) -> Duration {
        let twice = self.traffic.link.round_trip.saturating_mul(2);
        twice.max(Duration::from_secs(1))
    }

    /// When a connection is there, or when it is given up.
    pub(super) fn connects(&self, now: Instant) -> Result<Instant, Instant> {
        match self.outage(now) {
            Some((_, end)) if end > now + CONNECTS => Err(now + CONNECTS),
            Some((_, end)) => Ok(end + self.again()),
            None => Ok(now + self.traffic.link.round_trip),
        }
    }

    /// When what has left at a time arrives, or when TCP gives the connection up.
    pub(super) fn arrives(&mut self, left: Instant) -> Result<Instant, Instant> {
        let latency = self.traffic.link.latency();
        if let Some((_, end)) = self.outage(left) {
            return if end > left + GIVES_UP {
                Err(left + GIVES_UP)
            } else {
                Ok(end + self.again() + latency)
            };
        }
        let lost = self.dice.number() % 1000 < u64::from(self.traffic.lost);
        let more = if lost { self.again() } else { Duration::ZERO };
        Ok(left + latency + more)
    }
}
