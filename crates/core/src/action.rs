//! What a connection asks of its caller, strictly in this order.

use bytes::Bytes;
use onetrip_negotiation::{bind, sasl};
use onetrip_quickstart::{Broken, Report};
use onetrip_stream::{Domain, Jid, Stanza, StreamError};

use crate::{Error, Unit};

/// What the caller must do next.
///
/// Writes that follow one another join into one, up to the next barrier ([`Action::UpgradeSend`],
/// [`Action::Close`], a gap). Requests and events overtake a write that is still joining; answering a request at
/// once, before the next `poll_action`, is what lets the answer ride in the same write.
#[derive(Debug)]
#[must_use = "an action that is not carried out leaves the peer waiting"]
#[non_exhaustive]
pub enum Action {
    /// Write these bytes through whatever layer the sending half is on.
    Transmit(Bytes),
    /// From here on the sending half goes through TLS: begin the handshake if it has not begun.
    UpgradeSend,
    /// From here on the receiving half comes through TLS: bytes that `receive` has not consumed belong to it.
    UpgradeReceive,
    /// Decide or compute something, and `answer`.
    Request(Request),
    /// Take note of something. Ignoring every event is legal.
    Event(Event),
    /// Hand this to the [`Entity`](crate::Entity).
    Entity(EntityEvent),
    /// A unit was sent or received; only while tracing is on.
    Trace(Unit),
    /// Write everything, then close the transport. The last action.
    Close,
}

/// Something that needs the outside; answered by [`Connection::answer`](crate::Connection::answer).
#[derive(Debug)]
#[non_exhaustive]
pub enum Request {
    /// Derive a key from a password, which may take long: answer with [`Answer::Derived`].
    Derive(sasl::Derivation),
    /// Decide about credentials: answer with [`Answer::Sasl`].
    Sasl {
        /// The domain that the stream is for.
        domain: Domain,
        /// What to decide.
        request: sasl::Request,
    },
    /// Choose a resource: answer with [`Answer::Bind`].
    Bind {
        /// The bare address that authenticated.
        account: Jid,
        /// What is asked for.
        request: bind::Request,
    },
}

/// The answer to a [`Request`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Answer {
    /// To [`Request::Derive`].
    Derived(sasl::SaltedPassword),
    /// To [`Request::Sasl`].
    Sasl(sasl::Answer),
    /// To [`Request::Bind`].
    Bind(bind::Answer),
}

/// Something that happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// TLS is up.
    Secured,
    /// SASL succeeded; on the receiving side with the identity that the caller accepted.
    Authenticated {
        /// The mechanism.
        mechanism: sasl::Mechanism,
        /// The bare address, on the receiving side.
        identity: Option<Jid>,
    },
    /// The peer refused our credentials, and nothing else was in flight that could be to blame (QS-29).
    AuthenticationRefused(sasl::Failure),
    /// The peer offered no mechanism that may be used.
    NoMechanism {
        /// What it offered.
        offered: Vec<String>,
    },
    /// Binding a resource was refused; [`Connection::bind`](crate::Connection::bind) tries again (QS-28).
    BindRefused(bind::Refusal),
    /// A resource is bound: stanzas may be sent.
    Online {
        /// The full address of the client.
        jid: Jid,
        /// Whether a stanza must be answered before this can be relied on (QS-R10).
        provisional: bool,
    },
    /// What was provisional has proved true.
    Confirmed,
    /// A stanza from the peer.
    Stanza(Stanza),
    /// The peer ended the stream with an error.
    PeerError(StreamError),
    /// It is over; [`Action::Close`] follows. Exactly once.
    Closed(End),
}

/// Why a connection is over.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum End {
    /// Both sides closed their streams.
    Clean,
    /// The transport ended without the stream being closed.
    Cut,
    /// The peer sent a stream error.
    PeerError(StreamError),
    /// The peer broke a rule.
    Failed(Error),
    /// Negotiation was refused by one side: credentials or TLS.
    Refused,
    /// Something that was assumed proved wrong: connect again, with the plan that
    /// [`Entity::handle`](crate::Entity::handle) returns.
    Abandoned(Broken),
}

/// What a connection has to tell the entity that outlives it; opaque, but for reports to people.
#[derive(Debug)]
pub struct EntityEvent(pub(crate) Box<Report>);

impl EntityEvent {
    /// What the attempt taught, for logs and tables.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.0
    }
}
