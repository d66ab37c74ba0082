//! What a bytestream asks for and reports, and the answer to what no bytestream took.

use onetrip_stream::{Stanza, ns};

use super::Error;
use crate::iq::{self, Iq, IqError, Kind, Refusal};

/// What the caller must do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an action that is not carried out leaves the peer waiting"]
#[non_exhaustive]
pub enum Action {
    /// Send this stanza.
    Send(Stanza),
    /// Take note.
    Event(Event),
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Bytes may flow.
    Opened,
    /// [`Bytestream::read`](super::Bytestream::read) has something.
    Readable,
    /// [`Bytestream::write`](super::Bytestream::write) has room again.
    Writable,
    /// Nothing flows any more. What was received can still be read.
    Closed(Why),
}

/// Why a bytestream is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// This end closed it, and everything that was written has arrived.
    Here,
    /// The peer closed it.
    Peer {
        /// Whether everything that was written has arrived.
        flushed: bool,
    },
    /// The peer refused to open it, or a chunk.
    Refused(IqError),
    /// The peer did not answer in time.
    Silent,
    /// The peer broke a rule.
    Broken(Error),
}

/// The answer to a request of this namespace that no bytestream took: `item-not-found` (XEP-0047 §2.3). `None` for
/// everything else.
#[must_use]
pub fn unknown(stanza: &Stanza) -> Option<Stanza> {
    let iq = Iq::read(stanza).filter(|iq| iq.kind == Kind::Set)?;
    let from = iq.from.parse().ok()?;
    if iq.payload()?.namespace() != ns::IBB {
        return None;
    }
    iq::refuse(&from, iq.id, Refusal::ItemNotFound, ns::JINGLE_ERRORS_1).ok()
}
