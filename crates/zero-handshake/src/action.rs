//! What a link asks for and reports.

use bytes::Bytes;
use minidom::Element;
use onetrip_stream::{Stanza, StreamError};

use crate::{Error, Invalid};

/// What the caller must do, in order. Writes that follow one another join into one; events may overtake a write that
/// is still joining.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "an action that is not carried out leaves the two ends of different minds"]
#[non_exhaustive]
pub enum Action {
    /// Write these bytes.
    Transmit(Bytes),
    /// A stanza of an agreed pair has come in.
    Stanza(Stanza),
    /// An `<r/>` or `<a/>` has come in, where acknowledgements were agreed (ZH-R5): for the machine that counts.
    Acknowledgement(Element),
    /// A stanza of a pair that was not agreed is to be answered (ZH-11): send this as any stanza of ours, on whichever
    /// connection its turn is.
    Bounce {
        /// What was wrong.
        why: Invalid,
        /// The answer.
        answer: Stanza,
    },
    /// Take note.
    Event(Event),
    /// Close the transport. Nothing follows.
    Close,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The link is there: stanzas may go out and come in (ZH-03).
    Connected,
    /// The peer opened a stream, which was swallowed (ZH-R3).
    StreamOpenSwallowed,
    /// A stanza of a pair that was not agreed was dropped (ZH-11).
    Dropped(Invalid),
    /// A stanza came behind our close and was not taken, since it cannot be acknowledged any more: the peer hands it
    /// back to its own sender. Only where acknowledgements were agreed.
    Late,
    /// The link closes. No stanza may be sent any more; acknowledgements may, until no action is left to poll.
    Closing(Why),
    /// The link is over.
    Ended(End),
}

/// Why a link closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Why {
    /// It was asked for.
    Asked,
    /// It is ours and was not used (ZH-14).
    Idle,
    /// The peer closes.
    Peer,
}

/// How a link ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// Both sides closed.
    Clean,
    /// We closed, and the peer did not say so too: it ended the transport, or was silent for too long, or was told
    /// nothing ([`Terms::send_close`](crate::Terms::send_close)).
    Unanswered,
    /// The transport ended without a close: what was in flight may be lost (ZH-26).
    Cut {
        /// Whether in the middle of a stanza.
        inside: bool,
    },
    /// The peer sent a stream error (ZH-23).
    PeerError(StreamError),
    /// The peer broke a rule.
    Failed(Error),
    /// We ended it with a stream error.
    Aborted,
}
