//! A link between two ends: it takes time, and bytes take their turn.

use core::time::Duration;

/// What a link is like, both ways alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// There and back.
    pub round_trip: Duration,
    /// Bits per second; `None` is without limit.
    pub rate: Option<u64>,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            round_trip: Duration::from_millis(100),
            rate: None,
        }
    }
}

impl Link {
    /// One way.
    #[must_use]
    pub fn latency(&self) -> Duration {
        self.round_trip.div_f64(2.0)
    }

    /// How long the sender is busy with so many bytes.
    #[must_use]
    pub fn busy(&self, bytes: usize) -> Duration {
        let bits = (bytes as u64).saturating_mul(8);
        match self.rate {
            Some(rate @ 1..) => Duration::from_nanos(
                bits.saturating_mul(1_000_000_000)
                    .checked_div(rate)
                    .unwrap_or(u64::MAX),
            ),
            _ => Duration::ZERO,
        }
    }
}

/// What goes wrong on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// Bytes arrive in pieces of at most this size.
    pub split: Option<usize>,
    /// The connection is cut behind this byte of what the initiator sends.
    pub cut_at: Option<u64>,
}
