//! The receiving entity's side: what may wait, and where bytes behind a boundary go.

use bytes::{Bytes, BytesMut};

/// What the receiving entity does with bytes behind `<starttls/>` (QS-R6). Under no policy do they reach the
/// XML layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Leftover {
    /// They are the beginning of the ClientHello (QS-13).
    Tls,
    /// They are an attack: the connection is closed.
    Close,
}

/// How the receiving entity takes part.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceiverConfig {
    /// Whether `<pipelining/>` stands in the features of every stage (QS-10, QS-R8). Default: yes.
    pub advertise: bool,
    /// Whether header and features go out at once after TLS, unasked (QS-17, QS-R2). Default: no.
    pub proactive_header: bool,
    /// How many bytes wait while a decision is pending (QS-26). Default: 16 KiB.
    pub held: usize,
}

impl Default for ReceiverConfig {
    fn default() -> Self {
        Self {
            advertise: true,
            proactive_header: false,
            held: 16 * 1024,
        }
    }
}

impl ReceiverConfig {
    /// What becomes of bytes behind `<starttls/>` (QS-R6): TLS where pipelining is on, closing where it is not.
    #[must_use]
    pub fn leftover(&self) -> Leftover {
        if self.advertise {
            Leftover::Tls
        } else {
            Leftover::Close
        }
    }
}

/// More input than may wait: the stream ends with `policy-violation` (QS-26).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected at most {allowed} bytes ahead of a pending decision, got more")]
pub struct Overflow {
    /// How many may wait.
    pub allowed: usize,
}

/// Input that waits, uninterpreted and in order, while a decision is pending (QS-26).
///
/// ```
/// # use onetrip_quickstart::Holdback;
/// let mut held = Holdback::new(4);
/// held.push(b"abc").unwrap();
/// assert!(held.push(b"de").is_err());
/// assert_eq!(&held.take()[..], b"abc");
/// ```
#[derive(Debug)]
pub struct Holdback {
    bytes: BytesMut,
    allowed: usize,
}

impl Holdback {
    /// Room for so many bytes.
    #[must_use]
    pub fn new(allowed: usize) -> Self {
        Self {
            bytes: BytesMut::new(),
            allowed,
        }
    }

    /// Puts more behind what waits.
    ///
    /// # Errors
    /// [`Overflow`] when it would be too much; nothing is added then.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Overflow> {
        if self.bytes.len().saturating_add(bytes.len()) > self.allowed {
            return Err(Overflow {
                allowed: self.allowed,
            });
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Hands over all that waits.
    #[must_use]
    pub fn take(&mut self) -> Bytes {
        self.bytes.split().freeze()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many bytes wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }
}
