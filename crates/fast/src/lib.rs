//! **FAST** without IO: a client that has logged in once comes back with a token, in one flight ([XEP-0484]).
//!
//! The exchange itself is SASL2's, with one of the HT mechanisms; both live in `onetrip-negotiation`. Here is what rides
//! along, what a client keeps, and the one atomic step by which a server decides.
//!
//! ```text
//! C: <authenticate xmlns='urn:xmpp:sasl:2' mechanism='SCRAM-SHA-256'>…
//!      <request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-EXPR'/></authenticate>
//! S: <success xmlns='urn:xmpp:sasl:2'>…<token xmlns='urn:xmpp:fast:0' token='Zm9v…' expiry='2026-12-24T00:00:00Z'/></success>
//!                      later, on another connection
//! C: <stream:stream …><authenticate xmlns='urn:xmpp:sasl:2' mechanism='HT-SHA-256-EXPR'>…
//!      <fast xmlns='urn:xmpp:fast:0' count='1'/></authenticate>
//! S: <stream:stream …><stream:features>…</stream:features><success xmlns='urn:xmpp:sasl:2'>…</success>
//! ```
//!
//! # What is here
//!
//! | what | job |
//! |---|---|
//! | [`Feature`] | what a server offers |
//! | [`Wallet`], [`Ticket`] | what a client keeps: two slots, the newer tried first |
//! | [`Initiator`], [`Receiver`] | one login, at either end |
//! | [`Tokens`] | a store in memory, with one atomic [swap](Tokens::swap); two slots a client |
//! | [`DateTime`] | the end of a token's life, which is a date and not an instant: it outlives processes |
//!
//! # States
//!
//! [`Initiator`]:
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | idle, asked | [`Initiator::login`], where there is a token | tried, tried and asked |
//! | idle, tried | [`Initiator::request`], where the server has a mechanism of ours | asked, tried and asked |
//! | tried, asked, tried and asked | success, refusal | idle |
//!
//! [`Receiver`]:
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | any | a login by token | deciding, or idle: refused at once |
//! | deciding | the store's answer | proved, or idle: refused |
//! | proved | [`Receiver::authenticated`] | answered |
//! | idle | the same, behind another login | issuing, or answered: no token is asked for |
//! | issuing | [`Receiver::issued`] | answered |
//! | any | [`Receiver::failed`] | idle |
//!
//! Explored from the machines themselves, and drawn, they are in `docs/states.md` of the repository.
//!
//! # The order of calls
//!
//! A client, for each login: [`Initiator::login`] if there is a token, [`Initiator::request`] if one is wanted, both into `<authenticate/>`; then
//! [`Initiator::handle`] with what came in `<success/>`, or [`Initiator::refused`]. A server: [`Receiver::login`] where `<fast/>` came, then
//! [`Receiver::authenticated`]; each asks the store once.
//!
//! ```
//! use onetrip_fast::*;
//! # use minidom::Element;
//! # use onetrip_stream::{Env, Instant};
//! # let mut entropy = |out: &mut [u8]| out.fill(7);
//! # let env = &mut Env::new(Instant::EPOCH, &mut entropy);
//! # let now = DateTime::from_unix_seconds(1_600_000_000);
//! # let juliet = "juliet@capulet.lit".parse().unwrap();
//! let feature = Feature::new(["HT-SHA-256-NONE"]);
//! let (mut server, mut tokens) = (Receiver::new(feature.clone()), Tokens::new(Terms::default()));
//! let mut client = Initiator::new(Wallet::default(), Policy::new(["HT-SHA-256-NONE"]));
//! assert!(client.login(now).is_none(), "the first time it takes a password");
//! let asked = [client.request(&feature).unwrap()];
//!
//! server.authenticated(env, &Attempt::new(&juliet, Some("d4565fa7"), &asked));
//! let Some(Action::Issue(issue)) = server.poll_action() else { panic!() };
//! server.issued(tokens.issue(&issue, now));
//! let Some(Action::Answer(answers)) = server.poll_action() else { panic!() };
//! assert!(client.handle(&answers)?);
//!
//! let mut next = Initiator::new(client.into_wallet(), Policy::new(["HT-SHA-256-NONE"]));
//! assert!(next.login(now).is_some(), "and then it never does again");
//! # Ok::<(), Error>(())
//! ```
//!
//! # Who does what
//!
//! | rule of XEP-0484 | whose |
//! |---|---|
//! | §3.1 the feature | [`Feature`]; where it stands: SASL2's inline features |
//! | §3.2, §3.3 a token is asked for, and handed out behind every task | [`Initiator::request`], [`Receiver::authenticated`] |
//! | §3.4 the mechanism is pinned, the count grows, early data needs it | [`Tokens::swap`], [`Wallet`] |
//! | §3.5 rotation, which survives a lost answer | two slots at both ends |
//! | §3.6 invalidation | [`Initiator::invalidate`], [`Tokens::swap`] |
//! | §4.1 `from` in the header, an id of the client | the caller; without an id, no token |
//! | §4.1 a refused token is forgotten | [`Initiator::refused`] |
//! | §4.2 no task behind a token | the caller |
//! | §6 only under TLS, and binding mechanisms first | the caller; [`Initiator::request`] takes the order of its preference |
//!
//! # Early data
//!
//! A token may go as early data of TLS 1.3 only if the client allows it, the server offers it, and the mechanism binds to
//! nothing that exists only behind the handshake. This client asks for one that binds to nothing then, since it knows not even the
//! certificate before the server has answered; what it gives up is what the TLS session that it resumes stands for. A count that was seen is refused, so a replay is. Nothing else of the
//! flight has such a protection: what rides along with an early login is replayed or refused with it.
//!
//! # Limits
//!
//! - A server must be able to compute with a token, so its store holds tokens as they are: keep it as you would passwords.
//! - A token is at most 1024 bytes, a client's id 256; [`Tokens`] holds two tokens for each client and account, and how
//!   many clients an account may have is the caller's to bound.
//!
//! [XEP-0484]: https://xmpp.org/extensions/xep-0484.html

mod date;
mod element;
mod initiator;
mod receiver;
mod slots;
mod tokens;
mod wallet;

pub use date::DateTime;
pub use element::{Error, Feature};
pub use initiator::{Initiator, Login, Policy};
pub use receiver::{Action, Attempt, Issue, Receiver, Swap};
pub use slots::{Accepted, Claim, Fresh, Refused, Terms};
pub use tokens::Tokens;
pub use wallet::{Ticket, Wallet};
