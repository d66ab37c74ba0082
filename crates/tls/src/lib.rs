//! **TLS without a socket** for XMPP connections: bytes in, bytes out.
//!
//! [`TlsSession`] is what this crate needs of a TLS library: five methods over byte slices. With the feature
//! `rustls` there is an implementation on rustls 0.23 and ring. [`Secured`] puts a session under a
//! [`Connection`](onetrip_core::Connection) and carries out its two switches, so that a driver only moves bytes:
//!
//! ```text
//!   socket --> Secured::receive --> TlsSession --> Connection --> events, requests
//!   socket <-- Output::Transmit <-- TlsSession <-- Connection <-- stanzas, answers
//! ```
//!
//! What the handshake has to say and what the connection has to say come out in one write wherever they can: the
//! ClientHello rides behind `<starttls/>` (QS-12), header and `<auth/>` behind the client's Finished (QS-21), and a
//! server's header and features in front of its client's Finished where that is wanted (QS-17).
//!
//! [`SecuredEnd`] does the same for a stream between two clients ([`onetrip_core::e2e`]).
//!
//! Bytes behind a switch go to TLS and nowhere else (QS-R6): plaintext injected there fails as
//! [`TlsErrorKind::NotTls`].
//!
//! # The order of calls
//!
//! [`Secured::new`] with a session that was not used. Then, whatever is called (`receive`, `receive_eof`, `handle_timeout`, `answer`, `send`, `close`),
//! [`Secured::poll_output`] until there is nothing; and back at [`Secured::poll_timeout`].
//!
//! ```
//! # #[cfg(feature = "rustls")] {
//! use onetrip_core::negotiation::sasl::InitiatorConfig;
//! use onetrip_core::quickstart::Transport;
//! use onetrip_core::stream::{Env, Instant, Jid, Secret};
//! use onetrip_core::{ClientConfig, Entity};
//! use onetrip_tls::rustls::{RustlsSession, Versions, client_config, rustls::RootCertStore};
//! use onetrip_tls::{Output, Secured};
//!
//! # fn random(out: &mut [u8]) { out.fill(4) }
//! let mut entropy = random;
//! let env = &mut Env::new(Instant::EPOCH, &mut entropy);
//! let account: Jid = "juliet@capulet.lit".parse().unwrap();
//! let roots = RootCertStore::empty(); // whom to trust
//! let tls = RustlsSession::client(client_config(roots, Versions::Both, None).unwrap(), account.domain()).unwrap();
//! let sasl = InitiatorConfig::password("juliet", Secret::from("r0m30myr0m30"));
//! let config = ClientConfig::new(account, Transport::DirectTls, sasl);
//! let mut connection = Secured::new(Entity::default().connect(config, env), tls);
//! let Some(Output::Transmit(hello)) = connection.poll_output() else { panic!() };
//! assert_eq!(&hello[..2], [0x16, 0x03]); // a TLS handshake record
//! # }
//! ```
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

mod end_to_end;
#[cfg(feature = "rustls")]
pub mod rustls;
mod secured;
mod session;

pub use end_to_end::{EndOutput, NoTls, SecuredEnd};
pub use secured::{Output, Secured, SecuredError};
pub use session::{TlsError, TlsErrorKind, TlsSession, TlsState};
