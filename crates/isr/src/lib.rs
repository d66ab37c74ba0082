//! **Instant stream resumption** without IO: a session goes on one round trip behind the TLS handshake.
//!
//! There are three texts, each a [`Dialect`]: version 0.0.1 of 2016, namespace `urn:xmpp:isr:0`, in which a token is shown;
//! version 0.0.2, in which a key is proved by both ends; and [XEP-0397], in which the key is the secret of a mechanism of
//! SASL2. It stands on stream management ([XEP-0198]), which counts
//! and sends again; this crate knows nothing of that but two counts and the name of a session.
//!
//! ```text
//! C: <enable xmlns='urn:xmpp:sm:3' resume='true'/>
//! S: <enabled xmlns='urn:xmpp:sm:3' xmlns:isr='urn:xmpp:isr:0' id='s1' resume='true'
//!      isr:tok='Zm9v…' isr:location='isr.capulet.lit:443'/>
//!                      the connection is cut; a new one, TLS from the first byte
//! C: <stream:stream from='juliet@capulet.lit' to='capulet.lit' …><inst-resume xmlns='urn:xmpp:isr:0' tok='Zm9v…' h='42'/>
//! S: <stream:stream …><stream:features>…<isr xmlns='urn:xmpp:isr:0'/></stream:features>
//!    <inst-resumed xmlns='urn:xmpp:isr:0' tok='YmFy…' h='21'/>, and what was not handled again
//! ```
//!
//! # What is here
//!
//! | what | job |
//! |---|---|
//! | [`Token`], [`TokenHash`], [`Claim`] | the secret, what a store keeps of it, and what it is asked about |
//! | [`grant`], [`granted`], [`feature`] | what goes into `<enabled/>` and the features |
//! | [`Ticket`], [`candidates`] | what a client keeps, and where it tries it |
//! | [`Initiator`], [`Receiver`] | one attempt, at either end |
//! | [`Tokens`] | a store in memory, with one atomic [swap](Tokens::swap) |
//!
//! The other texts:
//!
//! | what | second | third |
//! |---|---|---|
//! | a key goes out | [`grant_key`], [`granted_key`] | [`sasl2::ask`], [`sasl2::grant`], [`sasl2::granted`] |
//! | the feature | [`feature`] | [`sasl2::feature`] |
//! | the client | [`Initiator::with_end_point`] | [`Initiator`], whose elements ride in SASL2's |
//! | the server | [`Receiver::with_end_point`] | [`LoginReceiver`] |
//! | a store, with one atomic [swap](Keys::swap) | [`Keys`] | [`Keys`] |
//!
//! # States
//!
//! [`Initiator`]:
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | ready | `request` | asked |
//! | asked | `<inst-resumed/>`, `<failed/>` | answered |
//! | answered | nothing | |
//! | broken | nothing | |
//!
//! [`Receiver`]:
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | idle | a request under TLS, before authentication | deciding; spent when it is malformed |
//! | idle | a request elsewhere | spent, and refused |
//! | idle | a request with a proof, likewise | proving |
//! | deciding | `accept`, `refuse` | spent |
//! | proving | `accept_proved`, `refuse` | spent |
//! | deciding, proving | a request | refused behind the answer to the first |
//! | spent | a request | refused |
//! | any but broken | an element that is no request | broken |
//! | any | a request in clear | its token, or its session, is reported besides |
//!
//! Explored from the machines themselves, and drawn, they are in `docs/states.md` of the repository.
//!
//! # The order of calls
//!
//! A client: [`granted`] reads the ticket out of `<enabled/>`; when cut off, [`candidates`] says where to connect, [`Initiator::request`] goes out
//! behind the header, and the answer goes to [`Initiator::handle`]. A server: [`Receiver::handle`], the swap in its store, [`Receiver::accept`] or
//! [`Receiver::refuse`].
//!
//! ```
//! use onetrip_isr::*;
//! # use onetrip_stream::{Env, Instant, Jid};
//! # let mut seed = 0;
//! # let mut entropy = |out: &mut [u8]| { seed += 1; out.fill(seed) };
//! # let env = &mut Env::new(Instant::EPOCH, &mut entropy);
//! # let juliet: Jid = "juliet@capulet.lit".parse().unwrap();
//! let (token, mut tokens) = (Token::generate(env), Tokens::default());
//! tokens.issue(token.hash(), &juliet, "s1", Instant::from_millis(300_000));
//! let (mut client, mut server) = (Initiator::new(Ticket::new(token, None)), Receiver::new());
//!
//! let request = client.request(42).unwrap(); // the stanzas that the client has handled
//! server.handle(env, &request, Place::Secured)?;
//! let Some(Action::Request(swap)) = server.poll_action() else { panic!() };
//! match tokens.swap(&swap.claim, swap.fresh, Some(&juliet), env.now) {
//!     Ok(_session) => server.accept(21), // and those that the server has
//!     Err(refused) => server.refuse(None, refused.condition()),
//! }
//! let Some(Action::Send(answer)) = server.poll_action() else { panic!() };
//! let Verdict::Resumed { h: 21, ticket: _next } = client.handle(&answer)? else { panic!() };
//! # Ok::<(), Error>(())
//! ```
//!
//! # ISR or FAST?
//!
//! Where a server has both, take FAST (XEP-0484): its tokens outlive the session and can be bound to the channel; ISR
//! needs no SASL2, and brings the session back in the same flight.
//!
//! # Who does what
//!
//! Where each requirement belongs. The driver is whoever has the sockets, the TLS and the clock; `onetrip-core` is where
//! the machines meet.
//!
//! | requirement | what | whose |
//! |---|---|---|
//! | ISR-01 | 256 bits of entropy | [`Token::generate`] |
//! | ISR-02 to ISR-04 | `tok` and `location` by namespace | [`grant`], [`granted`], [`Location`] |
//! | ISR-05, ISR-R2 | a token only for a session that may be resumed, under TLS | `onetrip-core` |
//! | ISR-06 | no ticket, no attempt | [`Initiator::new`] |
//! | ISR-07, ISR-08 | where to connect | [`candidates`]; SNI, ALPN and certificate: the driver |
//! | ISR-09, ISR-12, ISR-16, ISR-23 | when the request and its answer are written | `onetrip-core` |
//! | ISR-10, ISR-11, ISR-R1 | the request | [`Initiator::request`], [`Receiver::handle`] |
//! | ISR-13 | the feature | [`feature`] |
//! | ISR-14, ISR-R5 | under TLS alone; what came in clear is revoked | [`Place`], [`Event::Exposed`]; when to announce it: `onetrip-core` |
//! | ISR-15 | a new token each time | [`Receiver::accept`] |
//! | ISR-17, ISR-19 | the session's address and features hold again | [`Verdict::Resumed`] says so; `onetrip-core` does it |
//! | ISR-18 | the counts go on, and what is missing goes out again | `onetrip-core`, by stream management |
//! | ISR-20, ISR-21, ISR-R4 | the refusal | [`Receiver::refuse`], [`Verdict::Failed`] |
//! | ISR-22 | the stream goes on behind a refusal | `onetrip-core` |
//! | ISR-24, ISR-R3 | a used token dies | [`Tokens::swap`], [`Rotation`] |
//! | ISR-25 | timing tells nothing | [`TokenHash`], [`Tokens`] |
//! | ISR-26 | the old connection is closed | `onetrip-core` asks, the driver does it |
//! | ISR-27 | a token of another account | `from`: [`Tokens::swap`]; `to`: `onetrip-core` |
//! | ISR-28 | twice, late, or with a bad `h` | [`Receiver::handle`]; an `h` that is too high: stream management |
//! | ISR-29 | no token outlives its session | [`Tokens::prolong`], [`Tokens::expire`] |
//! | ISR-30 | between servers | an account is a domain then; nothing else differs here |
//! | ISR-31 | a server that does not know the request | `onetrip-core`: no answer of this namespace comes, so the ticket is dropped |
//! | ISR-R6 | one attempt for each connection | [`Receiver`]; a rate for each source: the driver |
//! | ISR-R7 | no early data | the driver, whose TLS must neither send nor take any |
//! | ISR-R8 | no compression | `onetrip-core` has none |
//! | ISR-R9 | no stanzas behind the request before its answer | `onetrip-core` |
//!
//! # Limits
//!
//! - Whoever gets hold of a token of the first text can use it once, with no proof of who they are. So it is shown under TLS
//!   only, lives no longer than its session and dies with its use, and the account must be named beside it.
//! - When the answer is lost, the client must authenticate; [`Rotation::GraceUntilConfirmed`] trades that for a token that
//!   is good twice.
//! - A key of the other texts is proved and not shown, but a server must be able to compute with it: [`Keys`] holds keys,
//!   where [`Tokens`] holds hashes.
//! - A token is at most 1024 bytes; a receiver holds one fresh token and the actions that are not taken yet.
//! - [`Tokens`] grows with the sessions that have a token; [`Tokens::revoke_account`] and [`Tokens::expire`] look at each.
//!
//! [XEP-0198]: https://xmpp.org/extensions/xep-0198.html
//! [XEP-0397]: https://xmpp.org/extensions/xep-0397.html

mod candidates;
mod initiator;
mod keys;
mod location;
mod login;
mod machine;
mod receiver;
mod record;
pub mod sasl2;
mod ticket;
mod token;
mod tokens;
mod wire;

pub use candidates::{Begin, Candidate, Origin, candidates};
pub use initiator::Initiator;
pub use keys::{KeyClaim, KeyGrant, KeySwap, Keys};
pub use location::Location;
pub use login::{LoginAction, LoginReceiver};
pub use machine::{Action, Error, Event, Place, Swap, Verdict};
pub use onetrip_stream::{Token, TokenHash};
pub use receiver::Receiver;
pub use ticket::Ticket;
pub use token::{Claim, Dialect, Dialects};
pub use tokens::{Refused, Rotation, Tokens};
pub use wire::{feature, grant, grant_key, granted, granted_key};
