//! **XMPP on tokio** in the fewest round trips: bytes of any `AsyncRead + AsyncWrite` in, a
//! [`Stream`](futures_core::Stream) of events and a [`Sink`](futures_sink::Sink) of stanzas out.
//!
//! ```text
//!   Client      reconnects, resumes, says what has become of every stanza
//!     └ Connection   one connection over one transport, as a client or as a server; TLS included
//!         └ onetrip-tls, onetrip-core   the machines: no socket, no clock
//! ```
//!
//! ```no_run
//! use onetrip_core::minidom::Element;
//! use onetrip_core::stream::{Build as _, Stanza, ns};
//! use onetrip_tokio::{Client, Event, Settings};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut client = Client::tcp(Settings::new("juliet@capulet.lit".parse()?, "r0m30myr0m30")?);
//! while let Some(event) = client.next().await {
//!     match event {
//!         Event::Online { jid, resumed: false } => {
//!             println!("online as {jid}");
//!             let body = Element::bare("body", ns::CLIENT).with_text("Wherefore art thou?");
//!             let message = Element::bare("message", ns::CLIENT).with_attr("to", "romeo@montague.lit").with_child(body);
//!             client.send(&Stanza::from_element(&message)?).await?;
//!         }
//!         Event::Stanza(stanza) => println!("{:?}", stanza.head()),
//!         Event::Acked(_) => client.close().await,
//!         Event::Offline { cause, again } => println!("{cause}; the next attempt in {again:?}"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # The order of calls
//!
//! [`Client::tcp`] or [`Client::new`]; then [`Client::next`] until it gives `None`, with [`Client::send`] and [`Client::close`] in between.
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | connecting | the login, or the session that goes on | [`Event::Online`]; [`Event::Offline`] |
//! | online | stanzas, both ways | [`Event::Stanza`], [`Event::Acked`]; [`Event::Offline`] when it is cut |
//! | offline, again in a while | the time | connecting |
//! | offline for good: it would end alike | | `None` |
//! | closing | the peer's footer, or a deadline | `None` |
//!
//! # What it does with a connection that is cut
//!
//! It connects again, at once or after a pause that grows with every attempt and is drawn at random ([`Backoff`]), where
//! the session wants to go on (ISR-07), by the plan that [`Entity`](onetrip_core::Entity) makes of what is remembered
//! (QS-29). Where the server grants it, the session goes on as it was: what was not acknowledged goes out again, what
//! was taken is not handed out again. What cannot be sent again comes back by name: [`Event::Returned`].
//!
//! # Nothing runs by itself
//!
//! There is no task behind it: the connection moves when [`Client::next`], [`Client::send`] or [`Client::close`] is
//! polled, and all that is due is done whichever it is. Each of them may be dropped at any moment (`select!`,
//! `timeout`): nothing is lost, and a stanza whose `send` has not returned was not sent. Keep one of them polled,
//! or acknowledgements wait.
//!
//! # Limits
//!
//! Reading stops while [`INBOX`] events wait to be taken, so a slow application slows its server. [`Client::send`] waits
//! while [`OUTBOX`] bytes wait to be written, while as many stanzas wait for their acknowledgement as can be kept, and while
//! there is no connection. A peer that takes nothing for a minute
//! is cut off.
//!
//! # Servers
//!
//! [`Connection::server`] is one connection of a client: it hands out what is to be decided as
//! [`Output::Request`](onetrip_tls::Output::Request), and [`Connection::answer`] takes what was decided.
//!
//! # Features
//!
//! | feature | what it brings |
//! |---|---|
//! | `dns` | servers are found by their SRV records, of direct TLS and of STARTTLS: `dns::system` for [`Client::found_by`], on hickory-resolver |
//! | `tracing` | a span for each connection, an event for each step, and one for each unit at level trace; never a password, a token or the text of a stanza |
//!
//! # Requirements
//!
//! QS-01, QS-02, QS-24, QS-29, QS-33, QS-39; ISR-07, ISR-08; RFC 6120 §3.2 (finding the server), §3.3 (reconnection), §4.4;
//! XEP-0368.

mod client;
mod connection;
#[cfg(feature = "dns")]
pub mod dns;
mod observe;
mod settings;
mod wakers;

pub use client::{Cause, Client, Dial, Event, Find, Found};
pub use connection::{Connection, INBOX, OUTBOX};
pub use settings::{Backoff, Settings};

pub use onetrip_core as core;
pub use onetrip_tls as tls;
