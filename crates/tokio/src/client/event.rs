//! What a client says, and why there is no connection.

use std::fmt;
use std::io;
use std::time::Duration;

use onetrip_core::Event as CoreEvent;
use onetrip_core::negotiation::{bind, sasl};
use onetrip_core::stream::{Condition, Jid, Stanza, StreamError};
use onetrip_core::stream_management::{Entry, Handles};
use onetrip_tls::{SecuredError, TlsError};

/// Something that a client has to say.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// Stanzas go out and come in.
    Online {
        /// Our full address.
        jid: Jid,
        /// Whether the session went on where it was cut off: nothing is to be fetched or said anew.
        resumed: bool,
    },
    /// A stanza from the server. It counts as dealt with when the next event is asked for.
    Stanza(Stanza),
    /// The server has these stanzas of ours.
    Acked(Handles),
    /// These stanzas of ours were not acknowledged, and will not be sent again by themselves; each may have arrived.
    Returned(Vec<Entry>),
    /// There is no connection.
    Offline {
        /// Why.
        cause: Cause,
        /// When the next attempt begins; `None` when there will be none, since it would end alike.
        again: Option<Duration>,
    },
    /// What else the machines have said.
    Other(CoreEvent),
}

/// Why there is no connection.
///
/// A `main` that returns it shows people what they can read: its `Debug` is its text.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The transport: it could not be opened, or it broke.
    #[error("the connection could not be made or broke: {0}")]
    Transport(#[from] io::Error),
    /// The domain says that it has no service for clients (RFC 6120 §3.2.1).
    #[error("expected an XMPP service for clients, and the domain says that it has none")]
    NoService,
    /// The peer broke a rule, of TLS or of XMPP; its certificate among others.
    #[error(transparent)]
    Peer(#[from] SecuredError),
    /// TLS cannot be configured for this domain.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The server refused the credentials.
    #[error("the server refused the credentials: {0}")]
    Refused(sasl::Failure),
    /// There is no mechanism that both ends take.
    #[error("expected a mechanism in common, and the server offers {} only", .0.join(", "))]
    NoMechanism(Vec<String>),
    /// The server gave no resource.
    #[error("the server refused a resource: {}", .0.condition)]
    Resource(bind::Refusal),
    /// The server ended the stream with an error.
    #[error("the server ended the stream: {0}")]
    Stream(StreamError),
    /// The server closed the stream.
    #[error("the server closed the stream")]
    Closed,
    /// The connection ended in mid-stream, or what was assumed of the server proved wrong.
    #[error("the connection was cut")]
    Cut,
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Cause {
    /// Whether another attempt would end alike.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::Refused(failure) => failure.refusal != sasl::Refusal::TemporaryAuthFailure,
            Self::NoMechanism(_) | Self::Resource(_) | Self::Tls(_) => true,
            // Another device has taken our place: two would take it from each other for ever.
            Self::Stream(error) => matches!(
                error.condition,
                Condition::Conflict | Condition::NotAuthorized | Condition::HostUnknown
            ),
            _ => false,
        }
    }
}
