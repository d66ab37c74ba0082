//! What a stream between two clients is told, asks for and reports.

use core::time::Duration;

use bytes::Bytes;
use onetrip_jingle_xmlstream::s5b::{Attempt, Candidate, Link};
use onetrip_jingle_xmlstream::xtls::{TlsRole, Verification};
use onetrip_jingle_xmlstream::{ibb, session, socks5};
use onetrip_stream::{Jid, Stanza, StreamError};

use crate::{Bounds, End, Unit};

/// How an end takes part.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The session: dialect, transports, security.
    pub session: session::Config,
    /// In-band bytestreams; their block size is the session's.
    pub ibb: ibb::Config,
    /// SOCKS5 handshakes.
    pub socks5: socks5::Timeouts,
    /// Limits on what the peer sends, and how long its header and its footer may take.
    pub bounds: Bounds,
    /// How many bytes may wait for an in-band bytestream before stanzas are refused. Default: 256 KiB.
    pub backlog: usize,
    /// After how long white space follows the last write to a proxy, once. There are proxies that keep the end of what they
    /// were given until more comes: Prosody 0.12's does. Default: 500 ms.
    pub nudge: Duration,
    /// Whether each unit is reported by [`Action::Trace`]. Default: no.
    pub trace: bool,
}

impl Config {
    /// For this session.
    #[must_use]
    pub fn new(session: session::Config) -> Self {
        Self {
            session,
            ibb: ibb::Config::default(),
            socks5: socks5::Timeouts::default(),
            bounds: Bounds::default(),
            backlog: 256 * 1024,
            nudge: Duration::from_millis(500),
            trace: false,
        }
    }
}

/// What the caller must do next, in order.
///
/// A socket is named by its [`Link`]: one that this end makes by the attempt it was asked for with, and the one that this
/// end's streamhost has taken. There is at most one of the latter.
#[must_use = "an action that is not carried out leaves the peer waiting"]
#[non_exhaustive]
// An event is moved once; a box would be an allocation for each stanza.
#[allow(clippy::large_enum_variant)]
pub enum Action {
    /// Send this stanza on the connection to the server.
    Send(Stanza),
    /// Connect by TCP, and tell with [`EndToEnd::connected`](super::EndToEnd::connected) or
    /// [`EndToEnd::closed`](super::EndToEnd::closed).
    Connect {
        /// Names the socket.
        attempt: Attempt,
        /// Whereto. What `host` resolves to must pass the policy too.
        candidate: Candidate,
    },
    /// Write this to a socket.
    Write(Link, Bytes),
    /// Write everything, then close the socket; or give the attempt up. It is not to be told of any more.
    Close(Link),
    /// Begin TLS in this role: what comes from there goes to [`EndToEnd::transmit`](super::EndToEnd::transmit).
    StartTls(TlsRole),
    /// What came over the transport, for TLS.
    Encrypted(Bytes),
    /// Encrypt this, and give the outcome to [`EndToEnd::transmit`](super::EndToEnd::transmit).
    Encrypt(Bytes),
    /// Close TLS: give its `close_notify` to [`EndToEnd::transmit`](super::EndToEnd::transmit), then call
    /// [`EndToEnd::tls_closed`](super::EndToEnd::tls_closed).
    CloseTls,
    /// A unit of the stream was sent or received; only while tracing is on.
    Trace(Unit),
    /// Take note of something.
    Event(Event),
}

impl core::fmt::Debug for Action {
    /// What is written and read is the users' own: its length alone is shown.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Send(stanza) => write!(f, "Send(<{}/>)", stanza.head().kind.name()),
            Self::Connect { attempt, candidate } => {
                write!(
                    f,
                    "Connect({attempt:?}, {}:{})",
                    candidate.host, candidate.port
                )
            }
            Self::Write(link, bytes) => write!(f, "Write({link:?}, {} bytes)", bytes.len()),
            Self::Close(link) => write!(f, "Close({link:?})"),
            Self::StartTls(role) => write!(f, "StartTls({role:?})"),
            Self::Encrypted(bytes) => write!(f, "Encrypted({} bytes)", bytes.len()),
            Self::Encrypt(bytes) => write!(f, "Encrypt({} bytes)", bytes.len()),
            Self::CloseTls => f.write_str("CloseTls"),
            Self::Trace(unit) => f.debug_tuple("Trace").field(unit).finish(),
            Self::Event(event) => f.debug_tuple("Event").field(event).finish(),
        }
    }
}

/// Something that happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// How the session goes on: the peer asks for one, it has been accepted, SOCKS5 bytestreams have failed, and the like.
    /// At [`session::Event::Incoming`] the user is asked.
    Session(session::Event),
    /// Stanzas may be sent.
    Online {
        /// How well the other end is known; `None` is without TLS, which only the policy can allow.
        verification: Option<Verification>,
    },
    /// A stanza from the peer.
    Stanza(Received),
    /// There is room for stanzas again.
    Writable,
    /// The peer ended the stream with an error.
    PeerError(StreamError),
    /// The stream is over. Exactly once, if it had begun.
    StreamClosed(End),
    /// The session is over, and everything that was made for it is being closed. Exactly once, the last event.
    Ended(session::End),
}

/// A stanza that did not come by way of a server: whoever said it is known by the stream alone (JXS-24, digest §6.2).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// As it was sent, with or without addresses.
    pub stanza: Stanza,
    /// From whom: the peer, full or bare, as the stanza says.
    pub from: Jid,
    /// To whom: this end, full or bare, as the stanza says.
    pub to: Jid,
    /// How well the peer is known.
    pub verification: Option<Verification>,
}
