//! **Bidirectional server-to-server streams** ([XEP-0288]) without IO: the switch, and who may send what.
//!
//! Between servers stanzas flow one way, from the end that opened the connection. `<bidi/>` lifts that: the other end
//! may answer on the same connection, for exactly the pairs of domains that were validated on it.
//!
//! [`Initiator`] says when to ask and never asks late; [`Receiver`] says what to announce and takes the request;
//! [`Pairs`], which both keep, answers for every stanza whether it may go out or come in here; [`ReverseClaim`] is what
//! must be known before the other end may prove a further domain.
//!
//! ```text
//!   C: header -->   <-- S: header, features with Receiver::announce()
//!   Initiator::features, authenticating --> <bidi/> <auth/> --> Receiver::handle
//!   C: SASL, or dialback; the caller tells both ends which pair is valid
//!   Change::SendOpened, Change::ReceiveOpened at both ends --> the table of routes
//! ```
//!
//! # The order of calls
//!
//! 1. [`Initiator::features`] with every set of features, [`Initiator::authenticating`] right before `<auth/>` or `db:result`; at the other end
//!    [`Receiver::announce`] into the features, [`Receiver::handle`] for `<bidi/>`. `restart` at both behind TLS and behind SASL.
//! 2. `validated` when a pair is valid, and `withdrawn`; then `poll_action` until there is nothing.
//! 3. For every stanza [`Pairs::check_outgoing`] or [`Pairs::check_incoming`].
//!
//! ```
//! use onetrip_bidi::*;
//! # use minidom::Element;
//! # use onetrip_stream::{Build as _, Content, Domain, ns};
//! # let (capulet, montague) = (Domain::new("capulet.lit").unwrap(), Domain::new("montague.lit").unwrap());
//! let mut opened = Initiator::new(InitiatorConfig::default(), Content::Server, Layer::Tls);
//! let mut accepted = Receiver::new(ReceiverConfig::default(), Content::Server, Layer::Tls);
//! let features = accepted.announce().into_iter().fold(Element::bare("features", ns::STREAMS), |all, one| all.with_child(one));
//! opened.features(&features);
//! opened.authenticating(Trust::Certificate)?;
//! let Some(Action::Send(bidi)) = opened.poll_action() else { panic!() };
//! accepted.handle(&bidi).unwrap();
//! // capulet.lit has proved itself by its certificate.
//! accepted.validated(&Pair::new(capulet.clone(), montague.clone()), |name| *name == montague).unwrap();
//! assert!(accepted.pairs().may_send(&montague, &capulet), "over the connection that capulet.lit has opened");
//! # Ok::<(), FeaturesUnknown>(())
//! ```
//!
//! # States
//!
//! [`Initiator`]:
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | waiting | features with `<bidi/>`, or memory of them | announced |
//! | waiting, announced | features without it | absent |
//! | waiting | authentication | refused to the caller: features come first (vanaheimr S9) |
//! | announced | authentication, TLS there or not required | `<bidi/>` is sent; requested |
//! | announced, absent | authentication otherwise | passed: never sent late (BIDI-R4) |
//! | requested | SASL's restart | requested (BIDI-08) |
//! | waiting, announced, absent | SASL's restart, a validated pair | passed |
//! | any | the restart of TLS | waiting; all pairs forgotten (BIDI-03, BIDI-08) |
//!
//! [`Receiver`]:
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | off | features are made, TLS there or not required | announced |
//! | off | `<bidi/>` | refused (BIDI-R9, prosody 53cde4a8a) |
//! | announced | `<bidi/>` | on |
//! | announced | `<bidi/>` behind authentication | on at once, or refused, as configured (BIDI-R4) |
//! | on | `<bidi/>` | on (BIDI-21) |
//! | any | SASL's restart | the same (BIDI-08) |
//! | any | the restart of TLS | off; all pairs forgotten (BIDI-08) |
//!
//! Explored from the machines themselves, and drawn, they are in `docs/states.md` of the repository.
//!
//! # What it promises
//!
//! - Nothing goes out or comes in for a pair that was not validated, whatever happened in what order.
//! - One validated pair allows itself and, with bidi, its exact inverse; no subdomain, no other destination.
//! - A domain that we host is never the peer's, whatever it proves.
//! - `<bidi/>` is sent behind TLS and before authentication, or not at all.
//! - What is open is told in changes ([`Change`]), and everything that was opened is closed once.
//!
//! # What it needs from others, as input
//!
//! | what | where | from |
//! |---|---|---|
//! | which domains are ours | the closures `hosted` | the server's configuration |
//! | that a pair is valid, and no longer | `validated`, `withdrawn`, [`Receiver::authenticated`] | SASL, `onetrip-dialback` |
//! | that TLS is there | [`Layer`], [`Restart::Tls`] | TLS |
//! | what the certificate covers | [`Trust`], [`ReverseClaim::certified`] | TLS |
//! | where a domain resolves to | [`ReverseClaim::resolves_here`] | the driver |
//! | the ids of all live streams | [`ReverseClaim::with_fresh_id`] | `onetrip-core` |
//!
//! # Limits
//!
//! A table holds as many pairs as it was made for ([`ReceiverConfig::pairs`]) and refuses the next with [`PairError::TooMany`]. Of a peer
//! nothing else is kept.
//!
//! # Requirements
//!
//! | id | where |
//! |---|---|
//! | BIDI-01 | [`Receiver::announce`] |
//! | BIDI-02, BIDI-R1 | [`Namespaces`], [`feature`], [`legacy_feature`] |
//! | BIDI-03 | [`Initiator::restart`] |
//! | BIDI-04 | [`Bidi`] |
//! | BIDI-05, BIDI-06 | [`Initiator::authenticating`], [`Initiator::remembered`]; one write: `onetrip-core` |
//! | BIDI-07 | no action asks for a restart |
//! | BIDI-08 | [`Restart`] |
//! | BIDI-09 | `onetrip-core`; here `<bidi/>` is the only element that is sent |
//! | BIDI-10 | [`Receiver::authenticated`], [`Receiver::validated`]; stanzas that wait: `onetrip-core` |
//! | BIDI-11, BIDI-22, BIDI-R6, BIDI-R7 | `onetrip-dialback` |
//! | BIDI-12, BIDI-13, BIDI-16, BIDI-R2, BIDI-R3 | [`Pairs`] |
//! | BIDI-14 | [`Receiver::may_ask`]; the wire: `onetrip-dialback` |
//! | BIDI-15 | [`Initiator::judge`]; the wire: `onetrip-dialback` |
//! | BIDI-17 | [`Pairs::check_incoming`], [`Trust`], [`Initiator::may_ask`] |
//! | BIDI-18 | [`Pairs`] is asked for stanzas only; the rest: `onetrip-core` |
//! | BIDI-19 | [`Pairs`] allows it; the choice of connection: `onetrip-core` |
//! | BIDI-20 | [`Initiator::end`], [`Receiver::end`], [`Pairs::receivable`]; idleness: `onetrip-core` |
//! | BIDI-21, BIDI-R9 | [`Receiver::handle`], [`Initiator::handle`] |
//! | BIDI-23, BIDI-R5 | [`ReceiverConfig::require_tls`], [`InitiatorConfig::require_tls`]; refused, not ignored: see below |
//! | BIDI-24 | `onetrip-core`, with `onetrip-stream-management` |
//! | BIDI-25 | superseded by digest §6.2: [`ReverseClaim`] |
//! | BIDI-R4 | [`ReceiverConfig::accept_late_bidi`] |
//! | BIDI-R8 | `onetrip-core` |
//!
//! BIDI-23 lets `<bidi/>` in clear be ignored where TLS is required. It is refused with `unsupported-stanza-type`: it was
//! not announced (BIDI-R9), Prosody does the same, and a peer that is ignored waits for stanzas that never come.
//!
//! [XEP-0288]: https://xmpp.org/extensions/xep-0288.html

mod element;
mod initiator;
mod machine;
mod pair;
mod pairs;
mod receiver;
mod reverse;

pub use element::{Bidi, Namespaces, StreamLimits, feature, legacy_feature};
pub use initiator::{FeaturesUnknown, Initiator, InitiatorConfig, Trust};
pub use machine::{Action, Error, Event, Layer, Restart, Why};
pub use onetrip_stream::Pair;
pub use pair::{Blocked, Change, Intrusion, PairError};
pub use pairs::Pairs;
pub use receiver::{Receiver, ReceiverConfig};
pub use reverse::{ReverseClaim, ReverseRefusal, ReverseVerdict};
