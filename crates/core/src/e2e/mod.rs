//! **A stream between two clients** (XEP-0247): the session, its transports and the XML stream on top, composed.
//!
//! The two agree by stanzas of the connections that they have to their servers, make a transport of their own, put TLS on
//! it and open a stream. [`EndToEnd`] is one end of all that; [`Streamhost`] takes the connections of a listener, for any
//! number of them. `onetrip-tls` carries out the TLS part.
//!
//! ```text
//!   server connection <--> stanzas --> EndToEnd <--> stanzas of the peer, tagged
//!              sockets <--> bytes  --> EndToEnd <--> TLS
//! ```
//!
//! # The loop
//!
//! 1. [`EndToEnd::initiate`], or [`EndToEnd::incoming`] and, when the user agrees, [`EndToEnd::accept`].
//! 2. Every iq and message from the server goes to [`EndToEnd::handle`] of every session, and what none takes to
//!    [`unknown`]; what [`Action::Send`] says goes there.
//! 3. Sockets are made, written and closed as the actions say; what comes over them goes to [`EndToEnd::receive`].
//! 4. Behind [`Event::Online`]: [`EndToEnd::send`], and [`Event::Stanza`]. What is not said in a stanza's addresses is what
//!    the stream is about; what does not fit ends the stream (JXS-R8).
//! 5. [`EndToEnd::close`]: footers, the transport flushed, the session ended with success, in this order. Then
//!    [`Event::Ended`].
//!
//! # States
//!
//! [`EndToEnd`]:
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | setup | what the session and the transports take | streaming; over |
//! | streaming | stanzas, bytes, [`EndToEnd::close`] | leaving; over |
//! | leaving | [`EndToEnd::tls_closed`], the last bytes of the transport | waiting; over |
//! | waiting (the end that did not close first) | session-terminate, silence | over |
//!
//! Explored from the machines themselves, and drawn, they are in `docs/states.md` of the repository.
//!
//! ```
//! use onetrip_core::e2e::{Action, Config, EndToEnd};
//! use onetrip_core::jingle::session;
//! use onetrip_core::stream::Stanza;
//! # use onetrip_core::stream::{Build as _, Env, Instant};
//! # let mut entropy = |out: &mut [u8]| out.fill(7);
//! # let env = &mut Env::new(Instant::EPOCH, &mut entropy);
//!
//! let mut session = session::Config::new(Some(b"a certificate in DER".to_vec()));
//! session.s5b = false; // in band
//! let (us, peer) = ("romeo@montague.lit/o".parse()?, "juliet@capulet.lit/b".parse()?);
//! let mut romeo = EndToEnd::initiate(Config::new(session.clone()), env, us, peer, None, vec![])?;
//! let Some(Action::Send(invitation)) = romeo.poll_action() else { panic!() };
//!
//! let invitation = invitation.element().with_attr("from", "romeo@montague.lit/o"); // as servers do
//! let invitation = Stanza::from_element(&invitation)?;
//! let us = "juliet@capulet.lit/b".parse()?;
//! let juliet = EndToEnd::incoming(Config::new(session), env, us, &invitation, true);
//! let mut juliet = juliet.map_err(|_| "not for her")?;
//! juliet.accept(env, vec![]);
//! assert!(matches!(juliet.poll_action(), Some(Action::Send(_)))); // a result; session-accept is next
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it promises
//!
//! - No stanza goes out or comes in before the transport is chosen, TLS is up and the peer's certificate is the announced
//!   one, unless the policy says so. Whoever takes the transport's place is found out before a byte of it is looked at.
//! - Both ends that close see all that the other had sent. Where a transport breaks, the session ends with
//!   `failed-transport` and nothing is said to have arrived.
//! - What waits is bounded: 64 KiB that come over a socket ahead of the signalling, [`Config::backlog`] of our own.
//! - Every end is an event, once.
//!
//! # Requirements
//!
//! JXS-09, JXS-11, JXS-19, JXS-21 to JXS-25, JXS-27, JXS-R6 to JXS-R8, digest §6.2 (Jingle); the rest in
//! [`crate::jingle`].

mod end_to_end;
mod machine;
mod pipe;
mod routing;
mod sockets;
mod stream;
mod streamhost;

use onetrip_stream::Stanza;

pub use end_to_end::EndToEnd;
pub use machine::{Action, Config, Event, Received};
pub use streamhost::{HostAction, Streamhost};

/// The answer to a request of Jingle or of in-band bytestreams that no session took; `None` for everything else.
#[must_use]
pub fn unknown(stanza: &Stanza) -> Option<Stanza> {
    let jingle = onetrip_jingle_xmlstream::session::unknown(stanza);
    jingle.or_else(|| onetrip_jingle_xmlstream::ibb::unknown(stanza))
}
