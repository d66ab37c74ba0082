//! **TLS without a socket** for XMPP connections: bytes in, bytes out.
//!
//! [`TlsSession`] is what this crate needs of a TLS library: five methods over byte slices. With the feature
//! `rustls` there is an implementation on rustls 0.23 and ring. [`Secured`] puts a session under a
//! [`Connection`](onetrip_core::Connection) and carries out its two switches; [`Driven`] adds a clock and randomness, so that
//! a driver only moves bytes:
//!
//! ```text
//!   socket --> receive --> TlsSession --> Connection --> events, requests
//!   socket <-- Output::Transmit <-- TlsSession <-- Connection <-- stanzas, answers
//! ```
//!
//! | you have | take |
//! |---|---|
//! | a socket, a clock, rustls | `Driven::client`, `Driven::server` |
//! | the same, and another TLS library or connections between servers | [`Driven::new`] |
//! | virtual time | [`Secured`], with an [`Env`](onetrip_stream::Env) for each call |
//! | a stream between two clients | [`SecuredEnd`] |
//!
//! What the handshake has to say and what the connection has to say come out in one write wherever they can: the
//! ClientHello rides behind `<starttls/>` (QS-12), header and `<auth/>` behind the client's Finished (QS-21), and a
//! server's header and features in front of its client's Finished where that is wanted (QS-17).
//!
//! Bytes behind a switch go to TLS and nowhere else (QS-R6): plaintext injected there fails as
//! [`TlsErrorKind::NotTls`].
//!
//! # The order of calls
//!
//! A new one. Then, whatever is called (`receive`, `receive_eof`, `handle_timeout`, `answer`, `send`, `close`),
//! [`Driven::poll_output`] until there is nothing; and back with `handle_timeout` after [`Driven::wait`].
//!
//! ```
//! # #[cfg(feature = "rustls")] {
//! use onetrip_core::negotiation::sasl::InitiatorConfig;
//! use onetrip_core::quickstart::Transport;
//! use onetrip_core::stream::{Jid, Secret};
//! use onetrip_core::{ClientConfig, Entity};
//! use onetrip_tls::rustls::{Versions, client_config, rustls::RootCertStore};
//! use onetrip_tls::{Driven, Output};
//!
//! let account: Jid = "juliet@capulet.lit".parse().unwrap();
//! let sasl = InitiatorConfig::password("juliet", Secret::from("r0m30myr0m30"));
//! let login = ClientConfig::new(account, Transport::DirectTls, sasl);
//! let roots = RootCertStore::empty(); // whom to trust
//! let tls = client_config(roots, Versions::Both, None).unwrap();
//! let began = std::time::Instant::now();
//! let mut connection = Driven::client(&mut Entity::default(), login, tls, move || began.elapsed()).unwrap();
//! let Some(Output::Transmit(hello)) = connection.poll_output() else { panic!() };
//! assert_eq!(&hello[..2], [0x16, 0x03]); // a TLS handshake record
//! # }
//! ```
//!
//! # States
//!
//! Of a [`TlsSession`], as its [`TlsState`] tells them:
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | handshaking | the handshake; early data, which may be a replay | sendable, established; failed |
//! | sendable (a server with half-RTT data) | the rest of the handshake; data goes out already | established; failed |
//! | established | data, both ways | closed; failed |
//! | closed | nothing more from the peer | |
//!
//! # Limits
//!
//! None of its own: what waits for a handshake to end is bounded by what a [`Connection`](onetrip_core::Connection) writes before it hears something,
//! and what has come in is taken out at once. Certificates are the session's: a client checks that of the account's domain; between servers only the
//! names that a trusted one proves are reported ([`TlsInfo::names`](onetrip_core::TlsInfo::names)).
//!
//! # Requirements
//!
//! QS-12 to QS-14, QS-17, QS-21, QS-R2, QS-R6; ZH-28; JXS-20; RFC 6120 §5.4, RFC 9266.

mod driven;
mod end_to_end;
#[cfg(feature = "rustls")]
pub mod rustls;
mod secured;
mod session;

pub use driven::Driven;
pub use end_to_end::{EndOutput, NoTls, SecuredEnd};
pub use secured::{Output, Secured, SecuredError};
pub use session::{TlsError, TlsErrorKind, TlsSession, TlsState};
