//! **Core**: XMPP connections in the fewest round trips, composed of sans-IO machines: bytes in, actions out.
//!
//! A [`Connection`] is one connection, from its first byte to its last, in either role. It routes what arrives to
//! the machine whose turn it is ([`negotiation`], [`quickstart`]) and hands their actions on, in order. What
//! outlives it belongs to the [`Entity`] of a client (the feature cache, sessions to resume) or to the [`Registry`] of
//! a server (its clients' sessions and tokens); they talk by opaque events through the caller.
//!
//! Between servers a [`Connection`] carries pairs of domains; [`Peers`] says which one a stanza goes on.
//!
//! There is no socket in here, no clock, no thread and no random source: time and entropy come in through
//! [`Env`](stream::Env), everything else goes out as an [`Action`].
//!
//! ```text
//!             bytes ──▶ stream::Reader ──▶ negotiation, quickstart, isr, fast, dialback, bidi,
//!                                          stream_management, zero_handshake: whose turn it is
//!   Action::Transmit, Upgrade*, Close ◀──┐        │
//!   Action::Request ──▶ you ──▶ answer   ├────────┘
//!   Action::Event   ──▶ you              │
//!   Action::Entity  ──▶ Entity, Registry ┘
//! ```
//!
//! # The loop
//!
//! ```
//! use onetrip_core::negotiation::sasl::InitiatorConfig;
//! use onetrip_core::quickstart::Transport;
//! use onetrip_core::stream::{Env, Instant, Secret};
//! use onetrip_core::{Action, ClientConfig, Entity};
//!
//! # fn random(out: &mut [u8]) { out.fill(4) }
//! let mut entropy = random; // a secure source of random bytes
//! let env = &mut Env::new(Instant::EPOCH, &mut entropy);
//! let sasl = InitiatorConfig::password("juliet", Secret::from("r0m30myr0m30"));
//! let config = ClientConfig::new("juliet@capulet.lit".parse()?, Transport::StartTls, sasl);
//! let mut connection = Entity::default().connect(config, env);
//!
//! // After every call: carry out what is asked for, in this order.
//! while let Some(action) = connection.poll_action() {
//!     match action {
//!         Action::Transmit(bytes) => assert!(bytes.ends_with(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")),
//!         Action::UpgradeSend | Action::UpgradeReceive => {} // that half goes through TLS from here on
//!         Action::Request(_) => {}                           // decide, and answer
//!         Action::Event(_) | Action::Entity(_) => {}         // take note; hand to the entity
//!         Action::Close => {}
//!         _ => {}
//!     }
//! }
//! // When bytes have come in, give them in; what is not consumed belongs to TLS.
//! let consumed = connection.receive(env, b"<stream:stream xmlns='jabber:client' ")?;
//! assert_eq!(consumed, 37);
//! // When nothing comes, be back at `poll_timeout`.
//! assert!(connection.poll_timeout().is_some());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `onetrip-tls` carries out the two upgrades and leaves bytes in and bytes out.
//!
//! # Two halves
//!
//! XMPP changes three things in mid-stream: the security layer, the XML document, and who may send stanzas.
//! Pipelining makes the sending half change before the receiving half has seen why. So each half has a layer and a
//! document of its own, and every switch is one half's.
//!
//! | moment | the client's sending half | its receiving half |
//! |---|---|---|
//! | STARTTLS, step by step | TLS at `<proceed/>` | TLS at `<proceed/>` |
//! | STARTTLS, pipelined (QS-12) | TLS right behind `<starttls/>` | TLS at `<proceed/>` (QS-14) |
//! | SASL, step by step | new document at `<success/>` | new document at `<success/>` |
//! | SASL, pipelined (QS-23) | new document behind the last message | new document at `<success/>` (QS-25) |
//!
//! | SASL2 | its one document, and its place at `<success/>` | the same |
//! | instant stream resumption | TLS, its one document, and its place at `<inst-resumed/>` | the same |
//!
//! # Going on where a connection was cut
//!
//! With [`ClientConfig::management`] stanzas are counted and kept until the peer has dealt with them. The application
//! says when it has dealt with one: [`Connection::handled`]. When the connection ends, the session comes out as an
//! [`Action::Entity`], and the next [`Entity::connect`] goes on with it: by its token, before any login, where the
//! server gives tokens; or else behind the login, with bind as the fallback on the same stream (QS-39). Whatever was
//! not acknowledged goes out again, or is handed back by name ([`Event::Management`]); nothing is lost in silence.
//!
//! ```
//! # use onetrip_core::negotiation::sasl::InitiatorConfig;
//! # use onetrip_core::quickstart::Transport;
//! # use onetrip_core::stream::{Env, Instant, Secret};
//! # use onetrip_core::stream_management::{Count, Session};
//! use onetrip_core::{ClientConfig, Entity, Management, Resumption};
//!
//! # let mut entropy = |out: &mut [u8]| out.fill(4);
//! # let env = &mut Env::new(Instant::EPOCH, &mut entropy);
//! # let sasl = InitiatorConfig::password("juliet", Secret::from("r0m30myr0m30"));
//! # let owner = "juliet@capulet.lit/balcony".parse()?;
//! # let stored = Resumption::new(Session::new("s1", &owner, Count::new(0), Count::new(0), Vec::new())).to_bytes();
//! let mut config = ClientConfig::new("juliet@capulet.lit".parse()?, Transport::DirectTls, sasl);
//! config.management = Some(Management::default());
//! let mut entity = Entity::default();
//! entity.keep(Resumption::from_bytes(&stored)?); // a session that outlived the process
//! let connection = entity.connect(config, env);
//! assert!(connection.resumption().is_some(), "it is with the connection now");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # One flight on the servers that are out there
//!
//! With [`ClientConfig::sasl2`] a client logs in by SASL2 where it is offered: resource, stream management and an earlier
//! session ride in the login, no stream is restarted, and from memory all of it is one flight. A token takes the place of
//! the password from the second login on ([`Sasl2Login::fast`]): the [`Entity`] keeps it, and [`Entity::installations`] is what
//! to store. A server offers it with [`ServerConfig::sasl2`]; what it is asked is what it is asked anyway, and
//! [`Request::FastIssue`] and [`Request::FastSwap`], which [`Registry`] decides once it knows the date.
//!
//! Instant stream resumption has three texts, and a connection speaks those that its [`isr::Dialects`] allow
//! ([`Management::instant`], [`InstantResume::by`]). The first shows its token once, before any login. In the second and, within
//! SASL2, in the third a key is proved and never shown, bound to the channel: a server decides about that in
//! [`Request::KeySwap`], and [`Registry`] does it. Which of them, or FAST: `docs/choosing.md`.
//!
//! A login by token may be early data of TLS 1.3: [`Action::TransmitEarly`] and [`TlsInfo::early_data`] at a client,
//! [`Connection::receive_early`] at a server. Nothing else ever is, because only the count that goes with a token tells a
//! replay. Where a mechanism is not enough, [`Request::TaskStep`] asks a server what is to be done, and
//! [`Request::TaskPrompt`] a client to do it.
//!
//! # Between servers
//!
//! [`Connection::outbound`] proves a domain of ours by SASL EXTERNAL where TLS shows a certificate for it, and else, or
//! where that is refused, by dialback on the same stream; [`Connection::inbound`] is the other side. With `<bidi/>` both
//! directions share one connection. Stanzas go out and come in for pairs that were validated and for no others:
//! [`Event::Pair`] says which, and [`Connection::send`] refuses the rest.
//!
//! | asked of the caller | answered by |
//! |---|---|
//! | [`Request::Verify`]: a key, over another connection | [`Connection::verifier`] or [`Connection::verify`] there, then [`Connection::verified`] here |
//! | [`Request::Vouch`]: where does this key of ours wait? | [`Connection::awaits`] of every other connection, then [`Answer::Awaited`] |
//! | [`Request::Reverse`]: does that domain resolve to where this connection goes? | [`Connection::judged`] |
//! | [`TlsInfo::names`]: what does the peer's certificate prove? | [`Connection::tls_established`] |
//!
//! ```
//! # use onetrip_core::quickstart::Transport;
//! # use onetrip_core::stream::{Content, Env, Instant, Secret, Stanza};
//! use onetrip_core::{DialbackConfig, Entity, OutboundConfig, Peers, PeersAction};
//!
//! # let mut entropy = |out: &mut [u8]| out.fill(4);
//! # let env = &mut Env::new(Instant::EPOCH, &mut entropy);
//! let (entity, mut peers) = (Entity::default(), Peers::default());
//! peers.route(Stanza::parse(b"<message from='a@capulet.lit' to='b@montague.lit'/>", Content::Server)?);
//! while let Some(action) = peers.poll_action() {
//!     match action {
//!         PeersAction::Open { connection, pair } => {
//!             let mut config = OutboundConfig::new(connection, pair.from, pair.to, Transport::StartTls);
//!             config.dialback = Some(DialbackConfig::new(Secret::from("s3cr3tf0rd14lb4ck")));
//!             let connection = entity.connect_to(config, env); // Its events go to `Peers::handle`.
//!             assert!(!connection.is_online());
//!         }
//!         PeersAction::Send { .. } => {}   // On the connection of that number.
//!         PeersAction::Return { .. } => {} // Bounce it.
//!         _ => {}
//!     }
//! }
//! assert_eq!(peers.waiting(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Between servers that have an agreement
//!
//! [`Connection::link`] is a zero-handshake link (XEP-0361, [`zero_handshake`]): no negotiation, so its first byte is a
//! stanza's. Whoever it leads to is checked before a byte is parsed, the source by
//! [`Agreement::accept_source`](zero_handshake::Agreement::accept_source), the certificate when TLS is up. [`AgreedPeer`] says
//! on which link a stanza goes, as [`Peers`] does among connections that negotiate; it is a type of its own, since one
//! agreement has one order for all its pairs, and since time counts in it.
//!
//! With acknowledgements agreed, a link that ends hands back what was in flight ([`Event::Management`]), and
//! [`AgreedPeer`] returns it. Nothing of a link is resumed: what comes back may have arrived.
//!
//! ```
//! # use onetrip_core::stream::{Content, Domain, Env, Instant, Stanza};
//! use onetrip_core::zero_handshake::{Agreement, Terms};
//! use onetrip_core::{Action, Connection, LinkConfig};
//!
//! # let domain = |name| Domain::new(name).unwrap();
//! # let mut entropy = |_: &mut [u8]| ();
//! # let env = &mut Env::new(Instant::EPOCH, &mut entropy);
//! let peer = "198.51.100.7:5299".parse()?;
//! let terms = Terms::plain(vec![domain("ground.example")], vec![domain("air.example")], peer);
//! let agreement = Agreement::new(terms)?;
//!
//! let reached = agreement.reached("198.51.100.7:5299".parse()?, None)?; // TCP is there
//! let mut link = Connection::link(LinkConfig::new(agreement, reached), env)?;
//! let text = b"<message from='ops@ground.example' to='pilot@air.example'/>";
//! link.send(env, &Stanza::parse(text, Content::Server)?)?;
//! let Some(Action::Event(_)) = link.poll_action() else { panic!() }; // established
//! let Some(Action::Transmit(first)) = link.poll_action() else { panic!() };
//! assert_eq!(&first[..], text, "and not a byte before it");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Between clients
//!
//! [`e2e`] is the stream of two clients over a transport of their own (XEP-0247), which they agree on by the connections
//! that they have to their servers.
//!
//! # The contract
//!
//! 1. One call, one input; nothing happens between calls. Forgetting to drain only delays.
//! 2. Writes, switches to TLS and the close come in wire order; writes that follow one another join into one.
//!    Requests and events keep their own order and may overtake a write that is still joining, so that what is
//!    answered at once rides in the same write (QS-24).
//! 3. A peer error is final and repeated by every later call; the stream error, the footer and the close are
//!    already queued. A [`UsageError`] changes nothing. What the protocol provides for is an [`Event`].
//! 4. Any split of the same bytes leads to the same writes and the same events.
//! 5. While a [`Request`] is pending, what arrives waits, uninterpreted and bounded (QS-26); only behind
//!    [`Request::Verify`] and [`Request::Reverse`], which take long, the stream goes on.
//! 6. After [`Connection::handle_timeout`] at a deadline, that deadline is gone; early calls do nothing.
//!
//! # States
//!
//! A client, and a server that connects to another, by what is next to send. Each rung of this ladder is gated by the plan:
//!
//! | next to send | may go when |
//! |---|---|
//! | header (clear) | at once |
//! | `<starttls/>` | `Step::StartTls`: features seen, or at once |
//! | ClientHello | `Step::ClientHello`: `<proceed/>` seen, after a gap, or at once |
//! | header (secured) | TLS is up, or with the ClientHello where a token goes as early data |
//! | `<inst-resume/>` | with a token or a key: `Step::InstantResume`, at once; then `<auth/>` only if it is refused |
//! | `<auth/>` | `Step::Auth`: features seen, or at once |
//! | header (restart) | `Step::Restart`: `<success/>` seen, after a gap, or at once; never before the last SASL message |
//! | `<resume/>` | with a session: as bind; then bind only if it is refused (QS-39) |
//! | `<authenticate/>` | as `<auth/>`, with resumption and binding in it; no restart follows (XEP-0388) |
//! | bind | `Step::Bind`: features seen, or at once |
//! | stanzas | bound, or resumed; between servers, features behind the restart |
//!
//! A client at its server:
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | clear | header, `<starttls/>` | TLS |
//! | secured | header, SASL | restart, or the attempts run out |
//! | TLS, not yet up | as early data: header, SASL2 by a token | authenticated, bound, or the token is refused |
//! | secured | SASL2, with what rides along | authenticated, bound, or the attempts run out |
//! | secured | `<inst-resume/>` | bound, or refused and nothing changes |
//! | authenticated | header, bind | bound |
//! | authenticated | `<resume/>` | bound, or refused and nothing changes |
//! | bound | stanzas, `<enable/>` | |
//!
//! A server at another:
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | clear | header, `<starttls/>` | TLS |
//! | secured | header, `<bidi/>`, SASL EXTERNAL | restart, or the attempts run out |
//! | secured | dialback, if the peer has bound its prefix | a pair is open, when the certificate or the authoritative server proves it (XEP-0344, XEP-0220) |
//! | authenticated | header | the pair that SASL has proved is open (BIDI-10, BIDI-12) |
//! | open | stanzas of open pairs (BIDI-17) | |
//!
//! A zero-handshake link:
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | securing | the end of the TLS handshake, with what it shows of the peer | up; failed, before a byte is parsed |
//! | up | whatever a link takes | closed; failed |
//! | any | the end of the transport, silence | closed; failed |
//!
//! Explored from the machines themselves, and drawn, they are in `docs/states.md` of the repository.
//!
//! # Limits
//!
//! [`Bounds`] has all of them for one connection: what the reader takes before and behind authentication, 64 KiB in all before it, how long a
//! negotiation, a close, silence and idleness may last. What becomes of bad input is in `docs/bad-input.md` of the repository;
//! how to write the loop around a connection, in `docs/driver.md` and `docs/server.md`.
//!
//! # Features
//!
//! `scram` brings the SCRAM mechanisms; a client with a password wants it.
//!
//! # Requirements
//!
//! QS-08, QS-12 to QS-28, QS-31, QS-38, QS-39, QS-41, QS-R1, QS-R2, QS-R5, QS-R6; ISR-05, ISR-06, ISR-09, ISR-12 to
//! ISR-14, ISR-16 to ISR-20, ISR-22, ISR-26 to ISR-28, ISR-31, ISR-R3; BIDI-03, BIDI-05 to BIDI-23, BIDI-R1 to BIDI-R9;
//! ZH-02, ZH-05, ZH-11, ZH-13 to ZH-17, ZH-20, ZH-22, ZH-26, ZH-R4, ZH-R5, ZH-R7; QS-30; JXS-21 to
//! JXS-25, JXS-27, JXS-R6 to JXS-R8 and more in [`e2e`]; digest §3.3, §3.4, §6.1, §6.2.

mod action;
mod asked;
mod config;
mod connection;
pub mod e2e;
mod entity;
mod error;
mod half;
mod initiator;
mod installation;
mod instant;
mod joining;
mod link;
mod management;
mod online;
mod order;
mod peer_config;
mod peering;
mod peers;
mod receiver;
mod registry;
mod resumption;
mod shell;
mod task;
mod timers;
mod tls_info;
mod trace;

pub use action::{Action, Answer, End, EntityEvent, Event, Request, ReverseFacts};
pub use config::{
    Bounds, ClientConfig, FastLogin, InstantResume, Management, Sasl2Login, Sasl2Offer,
    ServerConfig,
};
pub use connection::Connection;
pub use entity::Entity;
pub use error::{Error, ErrorKind, UsageError};
pub use installation::Installation;
pub use link::{AgreedPeer, AgreedPeerAction, LinkConfig};
pub use peer_config::{DialbackConfig, InboundConfig, OutboundConfig};
pub use peers::{Peers, PeersAction, PeersConfig, bounce};
pub use registry::{Decision, Registry};
pub use resumption::Resumption;
pub use task::{TaskPrompt, TaskReply, TaskStep, TaskVerdict};
pub use timers::{Deadline, Reason};
pub use tls_info::{TlsInfo, TlsVersion};
pub use trace::{Direction, Unit};

pub use onetrip_bidi as bidi;
pub use onetrip_dialback as dialback;
pub use onetrip_fast as fast;
pub use onetrip_isr as isr;
pub use onetrip_jingle_xmlstream as jingle;
pub use onetrip_negotiation as negotiation;
pub use onetrip_quickstart as quickstart;
pub use onetrip_stream as stream;
pub use onetrip_stream_management as stream_management;
pub use onetrip_zero_handshake as zero_handshake;
pub use {bytes, minidom};
