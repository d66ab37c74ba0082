//! **SOCKS5 as bytestreams use it** ([RFC 1928], [XEP-0065]): the end that connects, and the streamhost.
//!
//! [`Client`] runs on a connection that was just made; [`Connection`] on one that a streamhost has taken, with
//! [`Expected`] for all connections of a listener; [`Proxy`] joins the connections of two others. All are byte machines: `receive` says how many bytes it has used and
//! stops behind the last byte of the handshake. What follows belongs to the bytestream and stays with the caller.
//!
//! ```text
//! client      05 01 00                                     version 5, one method: none
//! streamhost  05 00
//! client      05 01 00 03 28 <40 hexadecimal digits> 00 00 connect, to a name of 40 bytes, port 0
//! streamhost  05 00 00 03 28 <40 hexadecimal digits> 00 00 the same name and port
//! ```
//!
//! The name is no name: it is the SHA-1 of the transport's sid and both addresses ([`Destination`]), by which a
//! streamhost knows what a connection is for. Who saw the signalling can compute it too, so it proves nothing: no byte
//! is to be trusted before TLS is (XEP-0065 §11.2).
//!
//! [RFC 1928]: https://www.rfc-editor.org/rfc/rfc1928
//! [XEP-0065]: https://xmpp.org/extensions/xep-0065.html
//!
//! # States
//!
//! [`Client`]:
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | greeting | the choice of no authentication | requesting |
//! | requesting | a reply of 00, with an address of any type | connected |
//! | any before connected | anything else, silence | failed: close |
//!
//! [`Connection`]:
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | greeting | a greeting that has "no authentication" among its methods | requesting |
//! | requesting | connect, to a destination that is expected and has no connection yet | connected |
//! | connected | [`Connection::used`] | used: nothing left to do here |
//! | greeting, requesting | anything else, silence | failed: reply, close |
//! | connected | silence | failed: the slot is free again |
//!
//! Explored from the machines themselves, and drawn, they are in `docs/states.md` of the repository.

mod client;
mod connection;
mod destination;
mod frame;
mod proxy;
#[cfg(test)]
mod tests;

pub use client::Client;
pub use connection::{Connection, Expected, Slot};
pub use destination::Destination;
pub use proxy::{Proxy, ProxyAction};

use core::time::Duration;

use bytes::Bytes;

/// What the caller must do with the connection, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an action that is not carried out leaves the peer waiting"]
#[non_exhaustive]
pub enum Action {
    /// Write these bytes.
    Write(Bytes),
    /// The handshake is over. Read nothing more from the connection until it is known that it is the one to use.
    Connected,
    /// Close the connection.
    Close,
}

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// From the connection to the end of the handshake. Default: 5 s.
    pub handshake: Duration,
    /// From there until a streamhost's connection is used. Default: 60 s.
    pub unused: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(5),
            unused: Duration::from_secs(60),
        }
    }
}

/// What a reply says (RFC 1928 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Reply {
    /// 00.
    #[error("succeeded")]
    Succeeded,
    /// 01.
    #[error("general failure")]
    GeneralFailure,
    /// 02: here, a destination that is not expected.
    #[error("not allowed")]
    NotAllowed,
    /// 03.
    #[error("network unreachable")]
    NetworkUnreachable,
    /// 04: a proxy's word for a bytestream it does not know.
    #[error("host unreachable")]
    HostUnreachable,
    /// 05.
    #[error("connection refused")]
    ConnectionRefused,
    /// 06.
    #[error("time to live expired")]
    TtlExpired,
    /// 07.
    #[error("command not supported")]
    CommandNotSupported,
    /// 08.
    #[error("address type not supported")]
    AddressTypeNotSupported,
    /// What is not assigned.
    #[error("reply {0}")]
    Unassigned(u8),
}

impl Reply {
    /// Reads the octet.
    #[must_use]
    pub const fn from_octet(octet: u8) -> Self {
        match octet {
            0 => Self::Succeeded,
            1 => Self::GeneralFailure,
            2 => Self::NotAllowed,
            3 => Self::NetworkUnreachable,
            4 => Self::HostUnreachable,
            5 => Self::ConnectionRefused,
            6 => Self::TtlExpired,
            7 => Self::CommandNotSupported,
            8 => Self::AddressTypeNotSupported,
            other => Self::Unassigned(other),
        }
    }

    /// The octet.
    #[must_use]
    pub const fn octet(self) -> u8 {
        match self {
            Self::Succeeded => 0,
            Self::GeneralFailure => 1,
            Self::NotAllowed => 2,
            Self::NetworkUnreachable => 3,
            Self::HostUnreachable => 4,
            Self::ConnectionRefused => 5,
            Self::TtlExpired => 6,
            Self::CommandNotSupported => 7,
            Self::AddressTypeNotSupported => 8,
            Self::Unassigned(octet) => octet,
        }
    }
}

/// The handshake failed. Final: closing is queued, and so is the reply that says why, if one is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not version 5.
    #[error("expected SOCKS version 5, got {0}")]
    Version(u8),
    /// The other end wants authentication of a kind that bytestreams do not have.
    #[error("expected SOCKS5 without a login, got another end that wants one")]
    Method,
    /// The streamhost refuses.
    #[error("expected the streamhost to succeed, got: {0}")]
    Refused(Reply),
    /// The client asks for something else than to connect.
    #[error("expected the SOCKS5 command connect, got {0}")]
    Command(u8),
    /// An address of a kind that does not exist, or that no bytestream has.
    #[error("expected a name or an address, got SOCKS5 address type {0}")]
    AddressType(u8),
    /// No session expects this destination, or it has its connection already.
    #[error("expected the SOCKS5 destination of a session, got another")]
    Unexpected,
    /// It took too long.
    #[error("expected SOCKS5 to be over in time, got nothing more")]
    Silent,
}
