//! Where a domain's servers are, remembered so that the look-up can be skipped (QS-01, QS-02).

use onetrip_stream::Instant;

use crate::Transport;

/// One place to connect to, as the look-up gave it (RFC 6120 §3.2, XEP-0368).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How TLS begins there.
    pub transport: Transport,
}

/// What to do about the next connection attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Next {
    /// Connect there; no look-up is needed.
    Connect(Target),
    /// Look the domain up first, and [`Targets::learn`] the answer.
    Resolve,
}

/// The targets of one domain, STARTTLS and direct TLS together, in the order to try them.
///
/// This crate looks nothing up: it remembers what the caller found, as long as the answer was said to hold.
///
/// ```
/// # use core::time::Duration;
/// # use onetrip_quickstart::{Next, Target, Targets, Transport};
/// # use onetrip_stream::Instant;
/// let mut targets = Targets::default();
/// let now = Instant::from_millis(0);
/// assert_eq!(targets.next(now), Next::Resolve);
/// let target = Target { host: "xmpp.capulet.lit".into(), port: 5223, transport: Transport::DirectTls };
/// targets.learn(vec![target.clone()], now + Duration::from_secs(300));
/// assert_eq!(targets.next(now), Next::Connect(target.clone()));
/// targets.failed(&target);
/// assert_eq!(targets.next(now), Next::Resolve);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Targets {
    list: Vec<Target>,
    until: Instant,
}

impl Targets {
    /// Remembers an answer until its time to live is over.
    pub fn learn(&mut self, list: Vec<Target>, until: Instant) {
        self.list = list;
        self.until = until;
    }

    /// Where to connect next.
    #[must_use]
    pub fn next(&self, now: Instant) -> Next {
        match self.left(now) {
            [target, ..] => Next::Connect(target.clone()),
            [] => Next::Resolve,
        }
    }

    /// All that are left to try, in their order; none when a look-up is needed.
    #[must_use]
    pub fn left(&self, now: Instant) -> &[Target] {
        match now < self.until {
            true => &self.list,
            false => &[],
        }
    }

    /// A target could not be reached: it is not tried again until it is looked up anew.
    pub fn failed(&mut self, target: &Target) {
        self.list.retain(|known| known != target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(port: u16) -> Target {
        Target {
            host: "h".into(),
            port,
            transport: Transport::StartTls,
        }
    }

    /// QS-02: cached answers spare the look-up until they expire or fail.
    #[test]
    fn qs_02_targets_are_used_until_they_expire_or_fail() {
        let mut targets = Targets::default();
        targets.learn(vec![target(1), target(2)], Instant::from_millis(100));
        assert_eq!(
            targets.next(Instant::from_millis(99)),
            Next::Connect(target(1))
        );
        assert_eq!(targets.next(Instant::from_millis(100)), Next::Resolve);
        targets.failed(&target(1));
        assert_eq!(
            targets.next(Instant::from_millis(0)),
            Next::Connect(target(2))
        );
        targets.failed(&target(2));
        assert_eq!(targets.next(Instant::from_millis(0)), Next::Resolve);
    }
}
