//! **Stream management** ([XEP-0198]) without IO: counting, acknowledgements, the queue of what is not acknowledged.
//!
//! [`Ledger`] keeps the books of one stream, alike for both ends; [`Queue`] holds what was sent and not acknowledged,
//! bounded, and says so openly when it is no longer complete; [`Nonza`] reads and writes the elements.
//!
//! [`Initiator`] and [`Receiver`] negotiate it and resume a [`Session`], which is a value with a versioned encoding.
//! They are not composed into `onetrip-core` yet.
//!
//! | rule | source |
//! |---|---|
//! | counts are modulo 2^32, and `h` is digits alone | XEP-0198 §4; peers' bugs with signs, hexadecimals and wraps |
//! | an `h` that was never reached ends the stream, and changes nothing | XEP-0198 §6 |
//! | stanzas count, malformed or not; nothing else does | XEP-0198 §4 |
//! | `h` moves when the application has handled a stanza | XEP-0198 §4 |
//! | entries with a number below `h` leave the queue, not those up to it | XEP-0198 §4 over §8.1 |
//! | what no longer fits is handed back, and the session is openly not resumable | |
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

pub use counter::Count;
pub use initiator::Initiator;
pub use ledger::{AckPolicy, Ledger, Stage};
pub use machine::{Action, Config, Error, Event, Request};
pub use nonza::{Granted, Nonza, NonzaError, feature};
pub use queue::{Entry, Handle, Queue, QueueLimits, TooHigh};
pub use receiver::Receiver;
pub use session::Session;
