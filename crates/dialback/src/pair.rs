//! What a pair of domains is asked for on: the id of a stream, and which connection.
//!
//! Everywhere in this crate a pair is that of the request: `from` is the sender domain, which is proved, and `to` the
//! target domain, which is asked. Answers swap the two on the wire, and so does `db:verify`; reading and writing take
//! care of it, so that no machine can swap them twice.

use core::fmt;

/// The longest stream id that is taken, in bytes.
const MAX_ID: usize = 1024;

/// The id of a response stream header (RFC 6120 §4.7.3); never empty.
///
/// It is the one that the receiving entity issued. For reverse dialback on a bidirectional stream too: the
/// connection has no other (BIDI-R6).
///
/// ```
/// # use onetrip_dialback::StreamId;
/// assert!(StreamId::new("D60000229F").is_some());
/// assert!(StreamId::new("").is_none());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(String);

impl StreamId {
    /// Takes an id; `None` when it is empty or longer than 1024 bytes.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        (!text.is_empty() && text.len() <= MAX_ID).then(|| Self(text.to_owned()))
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A number by which the caller tells its connections apart.
///
/// It exists to keep a key from being verified on the connection on which it arrived (BIDI-11, BIDI-R7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// One verification that a [`Receiving`](crate::Receiving) machine asked for: where its outcome belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket {
    pub(crate) connection: ConnectionId,
    pub(crate) number: u64,
}

impl Ticket {
    /// The connection on which the key arrived.
    #[must_use]
    pub fn connection(self) -> ConnectionId {
        self.connection
    }
}
