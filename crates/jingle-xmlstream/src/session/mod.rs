//! **The session** (XEP-0247 over XEP-0166) at either end: from session-initiate to a transport with TLS on it.
//!
//! [`Session`] is the machine; [`unknown`] answers for what no session took; [`Jingle`] reads and writes the elements.
//!
//! # States
//!
//! [`Session`]:
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | initiating | session-accept | choosing, or in band; ended |
//! | incoming | [`Session::accept`] | choosing, or in band |
//! | choosing | what [`crate::s5b`] takes; transport-replace | ready; replacing; in band |
//! | replacing | transport-accept, transport-reject | in band; ended |
//! | in band | [`Session::ibb_opened`], [`Session::transport_closed`] | ready; ended |
//! | ready | security-info and its answer, the handshake; by a proxy, in the texts of 2009, transport-replace | open; in band; ended |
//! | open | [`Session::transport_closed`] | ended |
//! | any | session-terminate, [`Session::terminate`], silence | ended |
//!
//! Explored from the machines themselves, and drawn, they are in `docs/states.md` of the repository.

mod machine;
mod opening;
mod reason;
mod requests;
mod saying;
#[expect(
    clippy::module_inception,
    reason = "the machine of this name is its heart"
)]
mod session;
#[cfg(test)]
mod tests;
mod wire;

pub use machine::{Action, Config, End, Event, Start, Terms, Tie, Unsupported};
pub use opening::unknown;
pub use reason::Reason;
pub use session::Session;
pub use wire::{Content, Jingle, TransportElement, Verb};
