//! What the negotiation is told, asks for, reports and refuses.

use core::time::Duration;

use onetrip_stream::Jid;

use super::{AddressPolicy, Candidate, Form, Info};
use crate::Role;
use crate::socks5::Destination;

/// Who negotiates what.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// In which form.
    pub form: Form,
    /// Which end this is.
    pub role: Role,
    /// The sid of the transport.
    pub sid: String,
    /// This end, as its stanzas say it.
    pub us: Jid,
    /// The other end.
    pub peer: Jid,
    /// Where this end can be reached. A host and port of the initiator's is not to be repeated by the responder.
    pub candidates: Vec<Candidate>,
    /// Which addresses may be connected to.
    pub policy: AddressPolicy,
    /// How long after one attempt the next begins. Default: 200 ms (XEP-0260 §3).
    pub stagger: Duration,
    /// How long after one attempt one to a proxy begins. Default: 1 s.
    pub proxy_stagger: Duration,
    /// How long after the last one began all attempts are given up. Default: 5 s.
    pub give_up: Duration,
    /// How long the peer or a proxy may take to say something. Default: 30 s.
    pub answer: Duration,
}

impl Config {
    /// With nothing to offer.
    #[must_use]
    pub fn new(form: Form, role: Role, sid: impl Into<String>, us: Jid, peer: Jid) -> Self {
        Self {
            form,
            role,
            sid: sid.into(),
            us,
            peer,
            candidates: Vec::new(),
            policy: AddressPolicy::default(),
            stagger: Duration::from_millis(200),
            proxy_stagger: Duration::from_secs(1),
            give_up: Duration::from_secs(5),
            answer: Duration::from_secs(30),
        }
    }
}

/// One attempt to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Attempt(pub(super) u32);

/// What the caller must do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an action that is not carried out leaves the peer waiting"]
#[non_exhaustive]
pub enum Action {
    /// Connect, do the SOCKS5 handshake for this destination, and tell with [`Input::Connected`] or [`Input::Failed`].
    Connect {
        /// To be named in the answer.
        attempt: Attempt,
        /// Whereto. What `host` resolves to must pass the policy too.
        candidate: Candidate,
        /// For [`crate::socks5::Client`].
        destination: Destination,
    },
    /// Give this attempt up, or close its connection.
    Abandon(Attempt),
    /// Tell the peer, in a transport-info.
    Say(Info),
    /// Ask this proxy to pass bytes on ([`crate::s5b`]), and tell with [`Input::Activated`] or
    /// [`Input::NotActivated`].
    Activate {
        /// The proxy.
        proxy: Jid,
        /// The sid of the transport.
        sid: String,
        /// The peer.
        target: Jid,
    },
    /// Take note.
    Event(Event),
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// This is the connection to use. Every other that was made or taken for this session is to be closed.
    Ready(Link),
    /// There is none. Every one that was made or taken is to be closed.
    Failed(Failure),
}

/// Which connection was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Link {
    /// The one this end made.
    Made(Attempt),
    /// The one that this end's streamhost took.
    Taken,
}

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// Neither end got through to the other.
    #[error("expected one end to get through to the other, and neither did")]
    NoCandidate,
    /// The proxy that was chosen does not pass bytes on.
    #[error("expected the proxy to pass bytes on, and it does not")]
    Proxy,
    /// Something that was due did not come.
    #[error("expected the other end to say or do what was due, got nothing")]
    Silent,
}

/// What happens.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Input<'a> {
    /// The connection is made and its handshake done.
    Connected(Attempt),
    /// It cannot be made.
    Failed(Attempt),
    /// This end's streamhost has taken the peer's connection.
    Accepted,
    /// That connection is gone again.
    Lost,
    /// The peer reports.
    Info(&'a Info),
    /// The proxy passes bytes on.
    Activated,
    /// The proxy refuses.
    NotActivated,
}

/// The peer's report does not fit here. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Untimely {
    /// It is not the time for it.
    #[error("expected another input now: nothing has changed")]
    OutOfOrder,
    /// There is no candidate by that name.
    #[error("expected a candidate of this session, got another")]
    NoSuchCandidate,
}
