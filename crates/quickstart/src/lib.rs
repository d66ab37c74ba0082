//! **Quickstart**: what may be sent before its answer is seen ([XEP-0305], first text 0.1).
//!
//! A login is a ladder of questions and answers. Whoever remembers the answers can send the next question at
//! once. This crate remembers ([`Cache`]), says what may go ahead ([`Plan`]), watches whether the answers that
//! arrive are the ones counted upon ([`Initiator`]), and holds back what arrives too early ([`Holdback`]).
//!
//! It sends nothing itself: it is told what happened and answers with what to do.
//!
//! # Four levels
//!
//! | level | header + `<starttls/>` | ClientHello behind it | header + `<auth/>` | restart behind the last SASL message | header + bind |
//! |---|---|---|---|---|---|
//! | [`Level::Off`] | waits | waits | waits | waits | waits |
//! | [`Level::Safe`] | at once | waits | at once | waits | at once |
//! | [`Level::Paced`] | at once | after a gap | at once | after a gap | at once |
//! | [`Level::Full`] | at once | at once | at once | at once | at once |
//!
//! `Full` needs `<pipelining/>` in every set of features of an earlier session, all of it read under TLS
//! (QS-10, QS-11, QS-R1, QS-R8). No server in the field announces it and all that were tried break on it; they
//! all take `Safe`, and mostly take `Paced`, which is a race (QS-R10).
//!
//! # When the assumption was wrong
//!
//! [`Initiator`] reports the difference as a value, [`Cache::conclude`] drops the entry and answers with one
//! unpipelined retry, under the same pin: never with a weaker mechanism, and never with "wrong password" for a
//! refusal that came while more was in flight (QS-29 to QS-34, QS-R4, QS-R5).
//!
//! # Requirements
//!
//! | here | elsewhere |
//! |---|---|
//! | QS-01 to QS-03, QS-06, QS-09 to QS-11, QS-26, QS-29, QS-31 to QS-34, QS-R1 to QS-R10 | QS-08, QS-12 to QS-25, QS-27, QS-28: `onetrip-core`; QS-04, QS-05, QS-07, QS-36, QS-37: the application, as `onetrip serve` shows; QS-38: stream management |
//!
//! [XEP-0305]: https://xmpp.org/extensions/xep-0305.html

mod cache;
mod features;
mod initiator;
mod level;
mod plan;
mod receiver;
mod targets;

pub use cache::{Cache, Key, Known, Transport};
pub use features::{Difference, Features, Sasl2, Stage, pipelining};
pub use initiator::{Action, Broken, Initiator, Input, Outcome, Report};
pub use level::{Join, Level, Step};
pub use plan::{Plan, Policy};
pub use receiver::{Holdback, Leftover, Overflow, ReceiverConfig};
pub use targets::{Next, Target, Targets};
