//! **Quickstart**: what may be sent before its answer is seen ([XEP-0305], first text 0.1).
//!
//! A login is a ladder of questions and answers. Whoever remembers the answers can send the next question at
//! once. This crate remembers ([`Cache`]), says what may go ahead ([`Plan`]), watches whether the answers that
//! arrive are the ones counted upon ([`Initiator`]), and holds back what arrives too early ([`Holdback`]).
//!
//! It sends nothing itself: it is told what happened and answers with what to do.
//!
//! ```text
//!             ┌────────────── Cache ◀──────────── conclude ──┐
//!             ▼ plan                                         │
//!   Plan: may this go ahead? ──▶ the connection ──▶ Initiator: Report
//!             join(step)           Ahead, Answered,     │
//!                                  Features, Bound      └──▶ Abandon, RetryHere, ResendRestart
//! ```
//!
//! # The order of calls
//!
//! 1. [`Cache::plan`] for whom and by which [`Policy`]; [`Plan::join`] says of each [`Step`] when it may be taken.
//! 2. Every step, answer, set of features and end: [`Initiator::handle`], and [`Initiator::poll_action`] until there is nothing.
//! 3. The [`Report`] of every attempt: [`Cache::conclude`]. It may return the plan of one retry.
//! 4. [`Cache::to_bytes`] when the process ends.
//!
//! ```
//! use onetrip_quickstart::*;
//! # use onetrip_stream::{Build as _, Jid, ns};
//! # use minidom::Element;
//! # let juliet: Jid = "juliet@capulet.lit".parse()?;
//! # let key = Key::new(juliet.domain().clone(), Some(&juliet), Transport::DirectTls);
//! # let login: Element = format!("<features xmlns='{}'>{}<mechanisms xmlns='{}'><mechanism>PLAIN</mechanism></mechanisms></features>",
//! #     ns::STREAMS, String::from(&pipelining()), ns::SASL).parse()?;
//! # let behind = Element::bare("features", ns::STREAMS).with_child(pipelining());
//! let (mut cache, policy) = (Cache::default(), Policy::default());
//! let mut first = Initiator::new(cache.plan(&key, &policy));
//! first.handle(Input::Features(Stage::Secured, &login)); // it announces pipelining, and PLAIN
//! first.handle(Input::Mechanism("PLAIN", 1));
//! first.handle(Input::Features(Stage::Authenticated, &behind));
//! first.handle(Input::Bound);
//! let Some(Action::Report(report)) = first.poll_action() else { panic!() };
//! assert!(cache.conclude(&report, &policy).is_none());
//!
//! let second = cache.plan(&key, &policy);
//! assert_eq!((second.level(), second.join(Step::Auth)), (Level::Full, Join::AtOnce));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
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
//! # States
//!
//! [`Initiator`]:
//!
//! | what happens | with a tail in flight | with `<auth/>` from memory alone | otherwise |
//! |---|---|---|---|
//! | SASL refusal | abandon (QS-31, QS-R5) | once more on this stream, from the live list | believe it |
//! | another challenge | abandon (QS-32) | go on | go on |
//! | no header behind success | send the restart again, once | – | – |
//! | the connection ends | abandon | abandon | it ended |
//!
//! Explored from the machines themselves, and drawn, they are in `docs/states.md` of the repository.
//!
//! # Limits
//!
//! [`Holdback`] holds as many bytes as it is told, 16 KiB by default, before authentication; a [`Cache`] one entry for each account,
//! domain and transport.
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
mod srv;
mod targets;

pub use cache::{Cache, Key, Known, Transport};
pub use features::{Difference, Features, Sasl2, Stage, pipelining};
pub use initiator::{Action, Broken, Initiator, Input, Outcome, Report};
pub use level::{Join, Level, Step};
pub use plan::{Plan, Policy};
pub use receiver::{Holdback, Leftover, Overflow, ReceiverConfig};
pub use srv::Srv;
pub use targets::{Next, Target, Targets};
