//! **Which SOCKS5 bytestream it is to be** ([XEP-0260], in its present form and in that of 2009).
//!
//! Both ends say at which addresses they can be reached, both try those of the other, each says what it found, and both
//! come to the same choice. [`Negotiation`] does that; the connections themselves are the caller's, with
//! [`crate::socks5`] on them.
//!
//! ```text
//! <transport xmlns='urn:xmpp:jingle:transports:s5b:1' sid='vj3hs98y'>
//!   <candidate cid='hft54dqy' host='192.168.4.1' jid='romeo…' port='5086' priority='8257636' type='direct'/>
//! </transport>
//! <transport xmlns='urn:xmpp:jingle:transports:s5b:1' sid='vj3hs98y'><candidate-used cid='hft54dqy'/></transport>
//! ```
//!
//! | this end found | the peer found | the choice |
//! |---|---|---|
//! | nothing | nothing | none: another transport (JXS-17) |
//! | one | nothing | that one |
//! | nothing | one | that one |
//! | one | one | the higher priority; where they are equal, and always with streamhosts, the initiator's (JXS-16) |
//!
//! A proxy that is chosen is activated by the end that offered it.
//!
//! # States
//!
//! [`Negotiation`]:
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | waiting | [`Negotiation::start`]: the session is accepted | choosing |
//! | choosing | attempts that succeed or fail; the peer's report | when both are known, by the table in [`crate::s5b`]: not here yet, to our proxy, their proxy, done, done by proxy |
//! | not here yet (what the peer made and our streamhost has not seen) | [`Input::Accepted`] | done |
//! | to our proxy | its connection | activating; done |
//! | activating | the proxy's answer | done |
//! | their proxy | `<activated/>`, `<proxy-error/>` | done |
//! | done by proxy (a streamhost's) | `<streamhost-error/>`: the peer finds that it does not work | done |
//! | any | silence, [`Negotiation::stop`] | done: chosen, or failed |
//!
//! Explored from the machines themselves, and drawn, they are in `docs/states.md` of the repository.
//!
//! # Streamhosts
//!
//! The form of 2009 (`s5b:0`) has no priorities: the order in the document counts (JXS-10). It has no word for an
//! activated proxy either: the end that got through to the peer's proxy starts at once, and relies on proxies to hold
//! what comes before the activation. When the proxy refuses after all, an initiator that offered it asks for another transport,
//! and a responder ends the session. Peers of that time may say nothing when they found nothing, so the initiator
//! does not wait for the peer's report when it got through, and the responder waits for a while only.
//!
//! [XEP-0260]: https://xmpp.org/extensions/xep-0260.html

mod address;
mod candidate;
mod choice;
mod machine;
mod negotiation;
#[cfg(test)]
mod tests;
mod wire;

pub use address::AddressPolicy;
pub use candidate::{Candidate, CandidateKind};
pub use machine::{Action, Attempt, Config, Event, Failure, Input, Link, Untimely};
pub use negotiation::Negotiation;
pub use wire::{Form, Info, Reference, Transport};
