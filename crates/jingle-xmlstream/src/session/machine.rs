//! What a session is told, asks for and reports.

use core::time::Duration;

use onetrip_stream::{Env, Jid, Stanza};

use super::Reason;
use crate::s5b::{self, AddressPolicy, Attempt, Candidate, Link};
use crate::socks5::Destination;
use crate::xtls::{Fingerprint, Hash, Policy, Security, TlsRole, Verification, XtlsError};
use crate::{Dialect, IqError, ibb};

/// How an end takes part.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The text to speak when beginning a session with a peer whose capabilities are not known. Default: the modern
    /// one. A session that is received is answered in its own.
    pub dialect: Dialect,
    /// Whether sessions that are begun here begin with SOCKS5 bytestreams; in-band ones are there in any case (JXS-25).
    /// Default: yes.
    pub s5b: bool,
    /// Which addresses may be connected to.
    pub addresses: AddressPolicy,
    /// The block size of in-band bytestreams to offer, or to accept at most. Default: 4096.
    pub block_size: u16,
    /// This end's certificate in DER, of which the fingerprint is announced; without one no security is offered.
    pub certificate: Option<Vec<u8>>,
    /// What is demanded of the peer.
    pub security: Policy,
    /// How long a request may go unanswered. Default: 30 s.
    pub ack: Duration,
    /// How long the peer, or this end's user, may take to accept. Default: 3 min.
    pub ringing: Duration,
    /// How long it may take from there until the stream may be opened. Default: 90 s.
    pub setup: Duration,
}

impl Config {
    /// With this end's certificate in DER.
    #[must_use]
    pub fn new(certificate: Option<Vec<u8>>) -> Self {
        Self {
            dialect: Dialect::default(),
            s5b: true,
            addresses: AddressPolicy::default(),
            block_size: 4096,
            certificate,
            security: Policy::default(),
            ack: Duration::from_secs(30),
            ringing: Duration::from_secs(180),
            setup: Duration::from_secs(90),
        }
    }

    /// What to offer: SHA-256, and in the interim text, which has no word for the hash, SHA-1 (JXS-R9).
    pub(super) fn offer(&self, dialect: Dialect) -> Option<Security> {
        let hash = match dialect {
            Dialect::Interim2009 => Hash::Sha1,
            Dialect::Published2009 | Dialect::Modern => Hash::Sha256,
        };
        let certificate = self.certificate.as_ref()?;
        Some(Security::offer(Fingerprint::of(certificate, hash)))
    }
}

/// The peer does not announce what a session needs (JXS-02).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unsupported {
    /// No dialect of this application, with in-band bytestreams.
    #[error(
        "expected a peer that announces this application with in-band bytestreams, got one that does not"
    )]
    Application,
    /// No TLS on transports, at the peer or for want of a certificate here, and the policy demands it.
    #[error(
        "expected TLS on the transport, and there would be none: give a certificate, or let sessions go without"
    )]
    Security,
}

/// What the caller must do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an action that is not carried out leaves the peer waiting"]
#[non_exhaustive]
pub enum Action {
    /// Send this stanza, to the peer or to a proxy.
    Send(Stanza),
    /// Connect, do the SOCKS5 handshake, and tell with [`s5b::Input`].
    Connect {
        /// To be named in the answer.
        attempt: Attempt,
        /// Whereto.
        candidate: Candidate,
        /// For [`crate::socks5::Client`].
        destination: Destination,
    },
    /// Give this attempt up, or close its connection.
    Abandon(Attempt),
    /// Make the in-band bytestream with [`Terms::bytestream`], and tell when it is open or closed.
    OpenIbb(Terms),
    /// Begin the TLS handshake on the transport.
    StartTls(TlsRole),
    /// Take note.
    Event(Event),
}

/// What was agreed on for an in-band bytestream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Terms {
    /// The other end.
    pub peer: Jid,
    /// The sid of the bytestream.
    pub sid: String,
    /// The most bytes of one chunk.
    pub block_size: u16,
    /// How it begins.
    pub start: Start,
}

/// How an in-band bytestream begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Start {
    /// This end sends `<open/>`: it began the session, or asked for this transport.
    Open,
    /// The peer sends it.
    Await,
    /// Nobody does, as in the texts of 2009.
    AtOnce,
}

impl Terms {
    /// The bytestream, at this end.
    #[must_use]
    pub fn bytestream(&self, mut config: ibb::Config, env: &mut Env<'_>) -> ibb::Bytestream {
        config.block_size = self.block_size;
        config.exact_block_size = true;
        let peer = self.peer.clone();
        match self.start {
            Start::Open => ibb::Bytestream::open(config, env, peer, &self.sid),
            Start::Await => ibb::Bytestream::await_open(config, env, peer, &self.sid),
            Start::AtOnce => ibb::Bytestream::established(config, env, peer, &self.sid),
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The peer asks for a session: [`Session::accept`](super::Session::accept) or
    /// [`Session::terminate`](super::Session::terminate). At the responder only, once.
    Incoming {
        /// Whether it offers TLS.
        secure: bool,
    },
    /// The peer has it; its user was not asked yet, perhaps. At the initiator only.
    Ringing,
    /// The session is agreed on.
    Accepted,
    /// SOCKS5 bytestreams failed; in-band ones are asked for. At the initiator only.
    FallingBack(s5b::Failure),
    /// This is the SOCKS5 bytestream to use. Close every other that was made or taken for this session.
    Link(Link),
    /// The stream may be opened: over TLS, with what was proved, or by policy without.
    Open(Option<Verification>),
    /// The session is over. Close what was made for it.
    Ended(End),
}

/// How a session came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// This end terminated it; the peer was told.
    Here(Reason),
    /// This end terminated it, since the peer is not the one.
    Security(XtlsError),
    /// The peer terminated it.
    Peer(Reason),
    /// The peer refused a request.
    Refused(IqError),
    /// Both began a session at once, and the peer's goes on (XEP-0166 §7.2.16).
    TieBreak,
}

/// What to do with a session that the peer begins while one to it is being begun here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tie {
    /// There is no tie: receive it.
    None,
    /// Ours goes on: send this answer.
    Ours(Stanza),
    /// Theirs goes on: receive it. Ours ends with the peer's answer.
    Theirs,
}
