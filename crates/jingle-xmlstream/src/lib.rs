//! **XML streams between two clients** ([XEP-0247]) without IO: the session, its transports, and the gate before TLS.
//!
//! Two clients that can talk through their servers agree on a transport of their own, put TLS on it, and open an XML
//! stream. [`Session`] agrees and chooses; [`ibb`] and [`socks5`] are the transports, [`s5b`] the choice among
//! addresses; [`xtls`] says when TLS may begin and what it proved; [`StreamRules`] says who opens the stream.
//!
//! ```text
//! R: <iq type='set' id='1' to='juliet@capulet.lit/balcony'>
//!      <jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' initiator='romeo@montague.lit/orchard' sid='851ba2'>
//!        <content creator='initiator' name='xmlstream'>
//!          <description xmlns='urn:xmpp:jingle:apps:xmlstream:0'/>
//!          <transport xmlns='urn:xmpp:jingle:transports:s5b:1' sid='vj3hs98y' mode='tcp'>
//!            <candidate cid='a' host='192.168.4.1' port='5086' jid='romeo…' priority='8257536' type='direct'/>
//!          </transport>
//!          <security xmlns='urn:xmpp:jingle:security:xtls:0'>
//!            <fingerprint algo='sha-256'>…</fingerprint><method name='x509'/>
//!          </security>
//!        </content>
//!      </jingle>
//!    </iq>
//! J: <iq type='result' id='1' to='romeo…'/>     at once; then, when the user agrees:
//! J: session-accept, with candidates and security of her own
//! R: security-info <method name='x509'/>        while both connect to the other's candidates
//! R: transport-info <candidate-used cid='…'/>   J: transport-info <candidate-error/>
//! R: TLS ClientHello on that connection         once it is chosen, and security-info acknowledged
//! R: <stream:stream xmlns='jabber:client' …>    once TLS is there
//! ```
//!
//! # What the caller does
//!
//! `onetrip-core` composes all of this in its module `e2e`; whoever takes this crate alone does the following.
//!
//! 1. The initiator: [`Capabilities::read`], [`Session::initiate`]. The responder: [`Session::tie`] of every session to
//!    that peer that is being begun, then [`Session::incoming`], then [`Session::accept`] or [`Session::terminate`].
//! 2. Every iq goes to [`Session::handle`] and [`ibb::Bytestream::handle`], messages to the latter; what nobody took
//!    goes to [`session::unknown`] and [`ibb::unknown`].
//! 3. For each [`session::Action::Connect`] a connection and a [`socks5::Client`] on it; on the streamhost's listener a
//!    [`socks5::Connection`] each, with [`Session::expected`] in [`socks5::Expected`]. What comes of it: [`Session::s5b`].
//! 4. For [`session::Action::OpenIbb`] an [`ibb::Bytestream`], and [`Session::ibb_opened`].
//! 5. For [`session::Action::StartTls`] a handshake, and [`Session::tls_established`] with the peer's certificate.
//! 6. Behind [`session::Event::Open`] the stream, by [`Session::stream_rules`]. When it is over, and the transport
//!    flushed, [`Session::terminate`] with [`session::Reason::Success`].
//! 7. `handle_timeout` of every machine at its `poll_timeout`.
//!
//! ```
//! use onetrip_jingle_xmlstream::session::*;
//! # use onetrip_stream::{Build as _, Env, Instant, Jid, Stanza};
//! # let mut zero = |out: &mut [u8]| out.fill(0);
//! # let env = &mut Env::new(Instant::EPOCH, &mut zero);
//! # let (romeo, juliet): (Jid, Jid) = ("romeo@montague.lit/orchard".parse().unwrap(), "juliet@capulet.lit/balcony".parse().unwrap());
//! let ours = Config::new(Some(b"certificate of romeo".to_vec()));
//! let mut invites = Session::initiate(ours, env, romeo.clone(), juliet.clone(), None, vec![]).unwrap();
//! let Some(Action::Send(initiate)) = invites.poll_action() else { panic!() };
//! let initiate = initiate.element().with_attr("from", romeo.to_string()); // the servers do this
//! let initiate = Stanza::from_element(&initiate).unwrap();
//!
//! let theirs = Config::new(Some(b"certificate of juliet".to_vec()));
//! let mut invited = Session::incoming(theirs, env, juliet, &initiate, true).unwrap();
//! assert!(matches!(invited.poll_action(), Some(Action::Send(_)))); // it has arrived
//! assert!(matches!(invited.poll_action(), Some(Action::Event(Event::Incoming { .. })))); // it rings
//! invited.accept(env.now, vec![]);
//! ```
//!
//! # States
//!
//! The table of each machine stands on the page of its module: [`session`], [`s5b`], [`socks5`], [`ibb`], [`xtls`]. Explored from the machines themselves, and
//! drawn, they are in `docs/states.md` of the repository.
//!
//! # What it promises
//!
//! - Nothing connects before the session is accepted, and never to this host or link unless that is allowed.
//! - Both ends come to the same transport, or both to none.
//! - No stream opens before TLS is there and the certificate is the announced one, unless the policy says so; how much
//!   that proves is said with it. A session whose `<security/>` was taken out on the way is ended.
//! - Every request is answered; every end is an event, once; no state waits for ever.
//! - Peer input never panics; what is kept of it is bounded.
//!
//! # Dialects
//!
//! There are three texts ([`Dialect`]). A session is received in whichever it is written in, and begun in the best one
//! that the peer announces.
//!
//! # Requirements
//!
//! | id | where |
//! |---|---|
//! | JXS-01, JXS-28 | [`Dialect::application`]; reliable transports only: `mode='udp'` is not supported |
//! | JXS-02 | [`Capabilities`], [`Session::initiate`] |
//! | JXS-03 | [`Session::initiate`] |
//! | JXS-04, JXS-29 | [`session::Jingle`]: an empty description, whose content is ignored |
//! | JXS-05, JXS-06 | [`Session::incoming`], [`session::Event::Incoming`] |
//! | JXS-07 | [`Session::accept`] |
//! | JXS-08, JXS-09, JXS-10 | [`s5b::Negotiation::start`], [`s5b::Action::Connect`] |
//! | JXS-11, JXS-12, JXS-13 | [`socks5::Client`], [`socks5::Connection`], [`socks5::Destination`] |
//! | JXS-14, JXS-16 | [`s5b::Negotiation`], [`s5b::Reference`] |
//! | JXS-15, JXS-27 | [`Session::handle`], [`Session::terminate`] |
//! | JXS-17 | [`s5b::Failure`], [`session::Event::FallingBack`] |
//! | JXS-18, JXS-19, JXS-20 | [`xtls::Gate`], [`session::Action::StartTls`]; asking for a certificate: the TLS library |
//! | JXS-21, JXS-22, JXS-23, JXS-24 | [`StreamRules`]; the stream itself: `onetrip-core` |
//! | JXS-25, JXS-26 | [`ibb`] is always there; [`Session::initiate`] offers it first only without SOCKS5 |
//! | JXS-30 | [`s5b::Transport::read`] |
//! | JXS-R1 | [`Dialect::detect`] |
//! | JXS-R2, JXS-R3 | [`session::Jingle::read`], [`Session::handle`], [`session::unknown`] |
//! | JXS-R4, JXS-R5, JXS-R9 | [`xtls::Security`], [`xtls::Fingerprint`] |
//! | JXS-R6, JXS-R7, JXS-R8 | [`StreamRules`] |
//! | JXS-R10, JXS-R11 | [`xtls::Gate::new`], [`xtls::Policy`] |
//! | JXS-R12 | [`socks5::Expected`], [`s5b::Negotiation::expected`] |
//!
//! # Limits
//!
//! | what | limit |
//! |---|---|
//! | contents in a request, candidates in a transport | 8, 32 |
//! | bytes of an in-band bytestream that wait to be sent; that wait to be read | 64 KiB; twice as much |
//! | bytes of a SOCKS5 message | 262 |
//! | attempts to connect | one for each candidate, the last given up after 5 s |
//! | silence: a request; ringing; from acceptance to the open stream | 30 s; 3 min; 90 s |
//!
//! Not here: the redirection of a session to another address (XEP-0166 §13.5), contents beside the first, datagrams,
//! SRP, `zeroconf`. A peer that asks for one of these is told so.
//!
//! [XEP-0247]: https://xmpp.org/extensions/xep-0247.html

mod dialect;
mod hex;
pub mod ibb;
mod iq;
mod role;
pub mod s5b;
pub mod session;
pub mod socks5;
mod stream;
pub mod xtls;

pub use dialect::{Capabilities, Dialect};
pub use iq::{IqError, Refusal};
pub use role::Role;
pub use session::Session;
pub use stream::StreamRules;
