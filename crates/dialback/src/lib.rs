//! **Server dialback** ([XEP-0220]) without IO: who may send stanzas from which domain to which, proved by asking
//! back.
//!
//! A server says "I am capulet.example, here is a key" ([`Originating`]). The other ([`Receiving`]) asks the server
//! that DNS names for capulet.example whether the key is its own ([`Verifying`]), which answers ([`Authoritative`]).
//!
//! ```text
//!   Originating --- db:result key -----> Receiving
//!                                        Receiving -- Action::Request(Verification) --> the caller
//!                        Verifying --- db:verify id, key ---> Authoritative    on another connection
//!                        Verifying <-- db:verify type ------- Authoritative
//!                                        Receiving <-- verified(ticket, Checked) ------ the caller
//!   Originating <-- db:result type ----- Receiving
//! ```
//!
//! [`Message`] reads an element and says which of the four it is for. All four may live on one stream: several
//! pairs do, and on a bidirectional stream both ends ask. A pair is always that of the request ([`Pair`]).
//!
//! # What it promises
//!
//! - An answer counts only if it was asked for on the same stream, and once (BIDI-22, XEP-0220 §3.1).
//! - A key is never verified on the connection on which it arrived: [`Verifying`] refuses to ask (BIDI-11),
//!   [`Authoritative`] to answer (BIDI-R7).
//! - A certificate that covers the sender domain is enough, and is looked at first (XEP-0344, RFC 7712 §4).
//! - An unknown target, a failed verification or one pair too many costs that pair, not the stream. Only a first
//!   pair that is invalid costs the stream (XEP-0220 §2.2.1).
//! - Keys are HMAC-SHA256 (XEP-0185), compared in constant time, and neither they nor the secret are printed.
//! - What is held is bounded by [`ReceivingConfig`], however many pairs a peer presents.
//!
//! # The order of calls
//!
//! Each machine: its one question, then `poll_action` until there is nothing, then the answer. Here all four in a row:
//!
//! ```
//! use onetrip_dialback::*;
//! # use onetrip_stream::{Domain, Env, Instant, Secret};
//! # let mut entropy = |out: &mut [u8]| out.fill(4);
//! # let env = &mut Env::new(Instant::EPOCH, &mut entropy);
//! # let domain = |name| Domain::new(name).unwrap();
//! # let read = |action: Option<Action>| match action { Some(Action::Send(element)) => Message::read(&element).unwrap().unwrap(), other => panic!("{other:?}") };
//! let pair = Pair::new(domain("capulet.example"), domain("montague.example"));
//! let (secret, id) = (Secret::from("s3cr3tf0rd14lb4ck"), StreamId::new("D60000229F").unwrap());
//! let mut originating = Originating::new(secret.clone(), id.clone(), pair.to.clone());
//! let mut receiving = Receiving::new(ConnectionId(1), id);
//! originating.ask(env, pair.clone())?;
//! let Message::Ask(ask) = read(originating.poll_action()) else { panic!() };
//! receiving.handle(env, &ask, Facts::of(&pair, |name| *name == pair.to).secured());
//! let Some(Action::Request(verification)) = receiving.poll_action() else { panic!() };
//!
//! let (mut verifying, mut authoritative) = (Verifying::new(ConnectionId(2)), Authoritative::new(secret));
//! verifying.verify(env, &verification).unwrap();
//! let Message::Verify(verify) = read(verifying.poll_action()) else { panic!() };
//! authoritative.handle(&verify, |name| *name == pair.from, Awaited::Elsewhere);
//! let Message::Verified(verified) = read(authoritative.poll_action()) else { panic!() };
//! verifying.handle(&verified);
//! let Some(Action::Event(Event::Checked { ticket, checked })) = verifying.poll_action() else { panic!() };
//!
//! receiving.verified(ticket, checked);
//! let Message::Answer(answer) = read(receiving.poll_action()) else { panic!() };
//! assert_eq!(answer.verdict, Verdict::Valid);
//! # Ok::<(), AskError>(())
//! ```
//!
//! # States
//!
//! [`Originating`]:
//!
//! | state of a pair | takes | leads to |
//! |---|---|---|
//! | not asked for | `ask` | `db:result` is sent; asked |
//! | asked | its answer | [`Event::Concluded`]; not asked for |
//! | asked | the deadline | [`Event::Concluded`]; given up |
//! | given up | `ask` | asked again |
//! | given up | `valid` after all | [`Event::Concluded`]; not asked for |
//! | not asked for | an answer | dropped (BIDI-22) |
//! | any | the end | [`Event::Concluded`] where it is asked; ended |
//!
//! [`Receiving`]:
//!
//! | state of a pair | takes | leads to |
//! |---|---|---|
//! | unknown | `db:result`, target not ours | `item-not-found`; the stream goes on |
//! | unknown | `db:result`, against a policy or a bound | an error; the stream goes on |
//! | unknown | `db:result`, certificate covers the sender | `valid` at once; valid |
//! | unknown | `db:result` otherwise | [`Action::Request`]; pending |
//! | pending | `verified` with a good outcome | `valid`; valid |
//! | pending | `verified` with `invalid`, no pair valid | `invalid` and [`Action::Close`]; closed |
//! | pending | `verified` with `invalid`, others valid | `forbidden`, or `invalid` to a peer without errors; unknown |
//! | pending | `verified` otherwise, the deadline | an error; unknown |
//! | pending | `db:result` | dropped: its one answer will come |
//! | valid | `db:result` | `valid` again |
//!
//! [`Verifying`]:
//!
//! | state of a verification | takes | leads to |
//! |---|---|---|
//! | none | `verify` | `db:verify` is sent; pending |
//! | pending | its answer, the deadline | [`Event::Checked`]; none |
//! | any | the end | [`Event::Checked`] where it is pending; ended |
//! | none | an answer | dropped (BIDI-22) |
//!
//! Explored from the machines themselves, and drawn, they are in `docs/states.md` of the repository.
//!
//! # What it needs from others, as input
//!
//! | what | where | from |
//! |---|---|---|
//! | which domains are ours | [`Facts::of`], [`Authoritative::handle`] | the server's configuration |
//! | what the certificate covers | [`Facts::certified`] | TLS |
//! | that keys wait for an answer, and where | [`Awaited`] | [`Originating::awaits`] of every connection |
//! | whether a reverse request may be heard at all | [`Receiving::refuse`] | `onetrip-bidi` |
//! | that a target resolves to this address | [`Originating::add_target`] | the driver |
//!
//! # Errors
//!
//! | what happened | what the peer that asked hears |
//! |---|---|
//! | the target is not ours | `item-not-found` |
//! | the sender is a domain of ours | `not-acceptable` |
//! | no TLS where it is required | `policy-violation` |
//! | no certificate where it is required | `not-authorized` |
//! | too many pairs, or too many at a time | `resource-constraint` |
//! | [`Checked::ConnectFailed`] | `remote-connection-failed` |
//! | [`Checked::HostUnknown`], or any error as an answer | `remote-server-not-found` |
//! | [`Checked::Unanswered`], or the deadline | `remote-server-timeout` |
//! | `invalid` for the first pair | `invalid`, then the stream is closed |
//! | `invalid` for a later pair | `forbidden`; `invalid` where the peer announces dialback without errors |
//!
//! An initiating entity announces nothing, so errors are sent to it all the same (XEP-0220 §2.5).
//!
//! # Limits
//!
//! | what | limit |
//! |---|---|
//! | bytes of a key, of a stream id | 1024 each |
//! | pairs of one connection, those that are verified at a time | [`ReceivingConfig::pairs`], [`ReceivingConfig::pending`] |
//! | the time to an answer | `timeout` of each configuration |
//!
//! # Requirements
//!
//! | here | elsewhere |
//! |---|---|
//! | BIDI-11, BIDI-22, BIDI-R6, BIDI-R7, the wire of BIDI-14 and BIDI-15, digest §3.3, §7.2 | which pairs then carry stanzas: `onetrip-bidi`; which connection verifies, queued stanzas, the prefix `db` on the header: `onetrip-core`; DNS, certificates: the driver |
//!
//! [XEP-0220]: https://xmpp.org/extensions/xep-0220.html

mod authoritative;
mod element;
mod key;
mod machine;
mod originating;
mod pair;
mod receiving;
mod verdict;
mod verifying;

pub use authoritative::{Authoritative, AuthoritativeConfig, Awaited};
pub use element::{Answer, Ask, ElementError, Message, Support, Verified, Verify, feature};
pub use key::Key;
pub use machine::{Action, Checked, Dropped, Event, Ground, Outcome, Verification};
pub use onetrip_stream::Pair;
pub use originating::{AskError, Originating, OriginatingConfig, TargetGround};
pub use pair::{ConnectionId, StreamId, Ticket};
pub use receiving::{Facts, Receiving, ReceivingConfig};
pub use verdict::{Reason, Verdict};
pub use verifying::{Gone, VerifyError, Verifying, VerifyingConfig};
