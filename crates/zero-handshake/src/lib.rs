//! **Zero handshake** ([XEP-0361]) without IO: two servers that have agreed on everything beforehand, and begin with
//! the first stanza.
//!
//! No stream header, no features, no STARTTLS, no SASL, no dialback: byte 0 of a connection is the first byte of a
//! stanza, in either direction. What would be negotiated is configured at both ends. Over 2400 bit/s and seconds of
//! round trip that is the difference between minutes and one flight.
//!
//! ```text
//! A→B  <message from='ops@ground.example' to='pilot@air.example'><body>hi</body></message>
//! B→A  <message from='pilot@air.example' to='ops@ground.example'><body>roger</body></message>
//! A→B  </stream:stream>
//! B→A  </stream:stream>
//! ```
//!
//! Written against the founding text (`inbox/optimized-s2s` 0.0.1) and XEP-0361 0.3, whose bytes are the same.
//!
//! - [`Agreement`] is what the operators agreed on, checked when it is built: it fails closed.
//! - [`Agreement::accept_source`], [`Agreement::accept_certificate`] say whose connection it is, before a byte is
//!   parsed.
//! - [`Link`] is one connection, in either role: bytes in, actions out, every stanza held against the agreement.
//! - [`Route`] says on which connection a stanza goes out when both ends may open one, without reordering.
//!
//! # An agreement
//!
//! As a value it is made from [`Terms`]. With the feature `serde` it has a file form, `Agreement::from_toml`, whose
//! errors name the field and the line, and which ignores nothing:
//!
//! ```toml
#![doc = include_str!("../examples/agreement.toml")]
//! ```
//!
//! # What the caller does
//!
//! | | who opens | who accepts |
//! |---|---|---|
//! | 1 | [`Route::stanza`] says [`Choice::Open`]; connect, from [`Terms::source_port`] if given | accept |
//! | 2 | [`Agreement::reached`] | [`Agreement::accept_source`]; refused: close, read nothing |
//! | 3 | TLS with [`Agreement::sni`] and [`Agreement::alpn`], or none | TLS with a request for a certificate, or none |
//! | 4 | [`Agreement::accept_certificate`] or [`Agreement::accept_plain`] | the same |
//! | 5 | [`Route::opened`] | [`Route::accepted`]; an earlier connection it returns is closed |
//! | 6 | [`Link::new`], [`Link::receive`], [`Link::poll_action`], [`Link::poll_timeout`] | the same |
//! | 7 | every stanza: [`Link::check`], [`Route::stanza`], then [`Link::send`] on the link it says | the same |
//! | 8 | [`Event::Closing`]: [`Route::closing`]; [`Action::Close`]: close, [`Route::closed`] | the same |
//!
//! A listener with several agreements goes through them: the first whose source and certificate checks pass has the
//! connection. A token of one agreement ([`Admitted`], [`Authorised`]) belongs to that agreement.
//!
//! A connection that dies says nothing about what was in flight (ZH-26). With the preset [`Acknowledgements`] the
//! caller counts with `onetrip-stream-management`: every [`Action::Stanza`], [`Action::Bounce`] and
//! [`Event::Dropped`] has arrived, the elements pass through [`Action::Acknowledgement`] and
//! [`Link::send_acknowledgement`], [`Route::set_unacknowledged`] and [`Link::set_unsettled`] hear of the queue,
//! [`Link::set_unhandled`] of what the application has yet to deal with, the last `<a/>` goes out at [`Event::Closing`], and what is in the queue at the end is handed back. There is no
//! resumption: whether a stanza that was handed back had arrived cannot be known.
//!
//! ```
//! use onetrip_zero_handshake::*;
//! # use onetrip_stream::{Content, Domain, Env, Instant, Stanza};
//! # let domain = |name| Domain::new(name).unwrap();
//! # let mut entropy = |_: &mut [u8]| ();
//! # let env = &mut Env::new(Instant::EPOCH, &mut entropy);
//! let peer = "198.51.100.7:5299".parse()?;
//! let terms = Terms::plain(vec![domain("ground.example")], vec![domain("air.example")], peer);
//! let agreement = Agreement::new(terms)?;
//!
//! let admitted = agreement.accept_source("198.51.100.7:40000".parse()?, None)?;
//! let mut link = Link::new(&agreement, agreement.accept_plain(admitted)?, env);
//! link.send(env, &Stanza::parse(b"<message from='ops@ground.example' to='pilot@air.example'/>", Content::Server)?)?;
//! assert_eq!(link.poll_action(), Some(Action::Event(Event::Connected)));
//! assert!(matches!(link.poll_action(), Some(Action::Transmit(_))), "the first byte is the stanza's");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # States
//!
//! [`Link`]: what comes in:
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | opening | the first bytes | fresh, flowing, or failed |
//! | fresh | the first frame; a stream header fails it (ZH-R3) | flowing |
//! | flowing | stanzas, acknowledgements, a stream error, the footer | flowing, or ended |
//! | ended | anything, without looking at it | |
//!
//! [`Link`]: what goes out:
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | open | `send`, keepalive; `close`, idleness, the peer's footer | open; closing |
//! | closing | acknowledgements; no action left to poll and nothing unhandled, or the deadline: the footer goes out | awaiting; over, if the peer has closed |
//! | awaiting | the peer's footer, its end of transport, the deadline | over |
//! | over | | |
//!
//! Explored from the machines themselves, and drawn, they are in `docs/states.md` of the repository.
//!
//! # What it promises
//!
//! - Nothing is written before the first stanza, but for what ends a link, and an acknowledgement where agreed.
//! - A stanza comes out, or goes out, only for a pair of an authorised domain of the peer's and one of ours.
//! - What is sent is the bytes of the stanza that came in, copied only where writes join; no tree is built.
//! - Any split of the same bytes gives the same actions.
//! - Stanzas of one direction are never spread over connections on which they could overtake each other, as far as
//!   acknowledgements prove or [`Terms::quiet`] presumes.
//!
//! # Limits
//!
//! A stanza has at most [`Presets::max_stanza_size`] bytes, 256 KiB by default, in either direction; the other bounds
//! are [`onetrip_stream::Limits::AUTHENTICATED`]. In front of the first stanza at most 14 bytes are held, or a stream
//! header of 4 KiB where that is tolerated. A route knows at most one connection of ours and two of the peer's.
//!
//! # Security
//!
//! There is no negotiation, so all security is the link's (XEP-0361 §5).
//!
//! - **Prefer TLS with certificates at both ends.** A source address proves little where packets can be forged or
//!   routes taken over; a port proves less. A plain link belongs where a lower layer protects it.
//! - **Reverse DNS** is the driver's: look the name up, ask for the addresses of that name, and give it in only if
//!   the source is among them; DNSSEC for both answers.
//! - **Certificates** are the driver's: it validates the chain before it gives names in, and proof of possession is
//!   TLS's. A pin is compared as SHA-256, computed here from DER ([`Fingerprint::of`]) or elsewhere.
//! - **No TLS 0-RTT**: a stanza in it can be replayed. Data that is flagged early must not reach [`Link::receive`].
//! - **Compression is not offered** (ZH-R5 left it open): it tells about one part of a stream by the length of
//!   another.
//! - The link proves where a stanza comes from, not what it may do: never route it onward on that alone.
//!
//! # Requirements
//!
//! | id | where |
//! |---|---|
//! | ZH-01, ZH-04 | [`Agreement`]: nothing else makes an [`Authorised`], and nothing else makes a [`Link`] |
//! | ZH-02 | [`Link`] |
//! | ZH-03 | [`Event::Connected`], then stanzas |
//! | ZH-05 | [`Link::check`], [`Invalid::Address`] |
//! | ZH-06 | [`Terms::ours`], [`Terms::theirs`]; one link for all pairs |
//! | ZH-07 | [`Route`], [`Crowded`] |
//! | ZH-08, ZH-09, ZH-10 | [`Link`], with what [`Authorised`] says |
//! | ZH-11 | [`OnInvalid`], [`Invalid::condition`] |
//! | ZH-12 | [`Direction`], [`Refusal::Direction`] |
//! | ZH-13 | [`Route`], [`OwnConnectionRule`] |
//! | ZH-14 | [`Terms::idle_close`], [`Link::set_unsettled`] |
//! | ZH-15, ZH-16, ZH-17, ZH-R4 | [`Route`], [`Terms::reply_on_inbound`] |
//! | ZH-18 | [`Security::Plain`] |
//! | ZH-19, ZH-R7 | [`CertificateRule`], [`Agreement::accept_certificate`]; the TLS handshake: the driver |
//! | ZH-20, ZH-R6 | [`SourceRule`], [`Agreement::accept_source`], [`Terms::insecure_implicit`] |
//! | ZH-21 | [`Source::Name`]; the lookups: the driver |
//! | ZH-22, ZH-R2 | [`Link::close`], [`Terms::send_close`], [`End`] |
//! | ZH-23 | [`End::PeerError`] |
//! | ZH-24 | [`ErrorKind::Unexpected`]; an unbound `db:` is not well-formed |
//! | ZH-25 | [`Presets::keepalive`] |
//! | ZH-26 | [`End::Cut`]; handing back: `onetrip-core`, with `onetrip-stream-management` |
//! | ZH-27 | [`ErrorKind::Read`] |
//! | ZH-28 | [`TlsTerms`], [`Agreement::sni`], [`Agreement::alpn`]; carried out by the driver |
//! | ZH-R1 | [`Link`], with [`onetrip_stream::Reader::primed`] |
//! | ZH-R3 | [`ErrorKind::PeerSpeaksRfc6120`], [`Terms::tolerate_stream_open`] |
//! | ZH-R5 | [`Presets`]: **extensions of ours**; counting: `onetrip-stream-management`; zlib is refused |
//!
//! Two things go beyond the letter of these: a bounce (ZH-11) is signed by our main domain, since a stanza from the
//! wrong recipient would not be agreed either; and a peer that speaks TLS on a plain link is named
//! ([`ErrorKind::PeerSpeaksTls`]), as one that speaks RFC 6120 is.
//!
//! # Features
//!
//! `serde` brings the file form.
//!
//! [XEP-0361]: https://xmpp.org/extensions/xep-0361.html

mod accept;
mod action;
mod agreement;
mod error;
mod fault;
#[cfg(feature = "serde")]
mod file;
mod joining;
mod link;
mod opening;
mod route;
mod source;
mod table;
mod terms;
#[cfg(test)]
mod tests;
mod timers;

pub use accept::{Admitted, Authorised, Fingerprint, NotAFingerprint, PeerIdentity, Refusal, Role};
pub use action::{Action, End, Event, Why};
pub use agreement::Agreement;
pub use error::{Error, ErrorKind, UsageError};
pub use fault::{AgreementError, Fault, Field};
#[cfg(feature = "serde")]
pub use file::{FileError, Problem};
pub use link::Link;
pub use route::{Choice, ConnectionId, Crowded, Pending, Route};
pub use source::{Network, NetworkError, PortRule, Source, SourceRule};
pub use table::{Blocked, Invalid};
pub use terms::{
    Acknowledgements, Address, CertificateRule, Direction, Host, NotAnAddress, OnInvalid,
    OwnConnectionRule, Presets, Security, Terms, TlsTerms,
};
pub use timers::{Deadline, Reason};
