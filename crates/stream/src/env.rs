//! The only door for impure things: what time it is, and unpredictable bytes.

use core::time::Duration;

/// A point in time: the duration since an epoch that the caller chooses.
///
/// The machines never ask for the time, they are told. An epoch of the caller's choice is what makes
/// simulation, replay, wasm and FFI work: any monotonic clock will do.
///
/// ```
/// # use onetrip_stream::Instant;
/// # use core::time::Duration;
/// let start = Instant::from_millis(1_000);
/// let later = start + Duration::from_millis(250);
/// assert_eq!(later.since(start), Duration::from_millis(250));
/// assert_eq!(start.since(later), Duration::ZERO);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(Duration);

impl Instant {
    /// The epoch itself.
    pub const EPOCH: Self = Self(Duration::ZERO);

    /// An instant so many milliseconds after the epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// An instant so long after the epoch.
    #[must_use]
    pub const fn from_epoch(since_epoch: Duration) -> Self {
        Self(since_epoch)
    }

    /// How long after the epoch this is.
    #[must_use]
    pub const fn since_epoch(self) -> Duration {
        self.0
    }

    /// How long after `earlier` this is; zero when it is not after.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl core::ops::Add<Duration> for Instant {
    type Output = Self;

    /// Saturates at the end of time instead of overflowing.
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

/// A source of unpredictable bytes, for stream ids, nonces and tokens.
///
/// Everything secret or unguessable comes from here and from nowhere else. In production it must be a
/// cryptographically secure generator; a test may script it.
pub trait Entropy {
    /// Fills `out` with unpredictable bytes. Infallible: get them before the call if your source may fail.
    fn fill(&mut self, out: &mut [u8]);
}

impl<F: FnMut(&mut [u8])> Entropy for F {
    fn fill(&mut self, out: &mut [u8]) {
        self(out);
    }
}

/// Where the time comes from, for whoever drives a connection; the machines themselves are told.
///
/// Any function is one that says how long it is since its epoch, and never goes back:
///
/// ```
/// # use onetrip_stream::{Clock, Instant};
/// let began = std::time::Instant::now();
/// let mut clock = move || began.elapsed();
/// assert!(clock.now() >= Instant::EPOCH);
/// ```
pub trait Clock {
    /// What time it is.
    fn now(&mut self) -> Instant;
}

impl<F: FnMut() -> Duration> Clock for F {
    fn now(&mut self) -> Instant {
        Instant::from_epoch(self())
    }
}

/// Everything impure that one call may use; built by the caller for each call.
#[non_exhaustive]
pub struct Env<'a> {
    /// When this call happens.
    pub now: Instant,
    /// Where unpredictable bytes come from.
    pub entropy: &'a mut dyn Entropy,
}

impl<'a> Env<'a> {
    /// An environment for one call.
    #[must_use]
    pub fn new(now: Instant, entropy: &'a mut dyn Entropy) -> Self {
        Self { now, entropy }
    }

    /// An unguessable identifier of 128 bits as 32 lower-case hexadecimal digits (RFC 6120 §4.7.3).
    #[must_use]
    pub fn random_id(&mut self) -> String {
        let mut bytes = [0_u8; 16];
        self.entropy.fill(&mut bytes);
        let mut id = String::with_capacity(32);
        for nibble in bytes.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]) {
            let digit = if nibble < 10 { b'0' } else { b'a' - 10 };
            id.push(char::from(digit.wrapping_add(nibble)));
        }
        id
    }
}

impl core::fmt::Debug for Env<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Env")
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}
