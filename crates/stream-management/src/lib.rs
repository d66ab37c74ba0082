//! **Stream management** ([XEP-0198]) without IO: counting, acknowledgements, the queue of what is not acknowledged.
//!
//! [`Ledger`] keeps the books of one stream, alike for both ends; [`Queue`] holds what was sent and not acknowledged,
//! bounded, and says so openly when it is no longer complete; [`Nonza`] reads and writes the elements.
//!
//! [`Initiator`] and [`Receiver`] negotiate it and resume a [`Session`], which is a value with a versioned encoding;
//! [`Sessions`] keeps those that wait for their owners.
//!
//! ```text
//! C: <enable xmlns='urn:xmpp:sm:3' resume='true'/>           our stanzas count from here on
//! S: <enabled xmlns='urn:xmpp:sm:3' id='s1' resume='true'/>  and theirs
//!    ... the connection is cut; on the next one, behind authentication and instead of bind:
//! C: <resume xmlns='urn:xmpp:sm:3' previd='s1' h='7'/>
//! S: <resumed xmlns='urn:xmpp:sm:3' previd='s1' h='4'/>      then each sends again what the other has not handled
//! ```
//!
//! A resumption has three steps, wherever it was asked for: decide, reply, replay. [`Receiver::resume`] does the last
//! two; where the request and the reply are another specification's, such as instant stream resumption,
//! [`Receiver::take_up`] and [`Receiver::replay`] leave room for that reply in between.
//!
//! # What the caller does
//!
//! 1. Every stanza that arrives: `arrived`. Every stanza the application has dealt with: `handled`, in their order.
//! 2. Every stanza to be sent goes through `send`, and what `poll_action` yields goes on the wire in its order.
//! 3. Back at `poll_timeout`, call `handle_timeout`: a link that is dead is found out, not waited for.
//! 4. When the connection is gone: `suspend`, and the session is the caller's; `close` before a footer.
//!
//! ```
//! use onetrip_stream_management::*;
//! # use onetrip_stream::Instant;
//! # let now = Instant::EPOCH;
//! let (mut client, mut server) = (Initiator::new(Config::default()), Receiver::new(Config::default()));
//! client.enable(now, true, None);
//! let Some(Action::Send(enable)) = client.poll_action() else { panic!() };
//! server.handle(now, &enable.to_element(), true)?;
//! let Some(Action::Request(Request::Enable { .. })) = server.poll_action() else { panic!() };
//! server.grant(Granted::default());
//! let Some(Action::Send(enabled)) = server.poll_action() else { panic!() };
//! client.handle(now, &enabled.to_element())?;
//! assert!(matches!(client.poll_action(), Some(Action::Event(Event::Enabled(_)))));
//! # Ok::<(), Error>(())
//! ```
//!
//! # States
//!
//! [`Initiator`]:
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | off | `enable`, `resume`, `await_resumption` | enabling, resuming, resuming |
//! | enabling | `<enabled/>`, `<failed/>` | active, off and hand back |
//! | resuming | `<resumed/>`, `<failed/>`; `resumed`, `withdraw` | active and replay, off and hand back; active and replay, off |
//! | active | `<r/>`, `<a/>`, stanzas | |
//!
//! [`Receiver`]:
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | off | `<enable/>` behind bind, `<resume/>` before it | deciding enable, deciding resume |
//! | deciding enable | `grant`, `refuse` | active, off |
//! | deciding resume | `resume`, `refuse` | active and replay, off |
//! | off | `take_up`: a session that was asked for by other means | active |
//! | active | `<r/>`, `<a/>`, stanzas | |
//!
//! Explored from the machines themselves, and drawn, they are in `docs/states.md` of the repository.
//!
//! # Limits
//!
//! [`QueueLimits`] bounds what waits for its acknowledgement, in stanzas and in bytes; what no longer fits is handed back. [`AckPolicy`] says when one is
//! asked for and how long it may take.
//!
//! # Rules
//!
//! | rule | source |
//! |---|---|
//! | counts are modulo 2^32, and `h` is digits alone | XEP-0198 §4; peers' bugs with signs, hexadecimals and wraps |
//! | an `h` that was never reached ends the stream, and changes nothing | XEP-0198 §6 |
//! | stanzas count, malformed or not; nothing else does | XEP-0198 §4 |
//! | `h` moves when the application has handled a stanza | XEP-0198 §4 |
//! | entries with a number below `h` leave the queue, not those up to it | XEP-0198 §4 over §8.1 |
//! | what no longer fits is handed back, and the session is openly not resumable | |
//! | a request before data, an answer behind it, one request at a time | Prosody, tokio-xmpp |
//! | the last acknowledgement before a clean close, and no resumption behind it | XEP-0198 §4; Openfire OF-3115 |
//!
//! It works on streams between clients and servers and between servers alike; what is in its place when is the
//! caller's to say.
//!
//! # Requirements
//!
//! QS-38, QS-39, ISR-18, BIDI-24, ZH-26; digest §3.3.
//!
//! [XEP-0198]: https://xmpp.org/extensions/xep-0198.html

mod books;
mod counter;
mod initiator;
mod ledger;
mod machine;
mod nonza;
mod queue;
mod receiver;
mod session;
mod sessions;

pub use counter::Count;
pub use initiator::Initiator;
pub use ledger::{AckPolicy, Due, Ledger};
pub use machine::{Action, Config, Error, Event, Request, Stage};
pub use nonza::{Granted, Nonza, NonzaError, Short, feature};
pub use queue::{Entry, Handle, Handles, Queue, QueueLimits, TooHigh};
pub use receiver::Receiver;
pub use session::Session;
pub use sessions::{Sessions, Unknown};
