//! **The session** (XEP-0247 over XEP-0166) at either end: from session-initiate to a transport with TLS on it.
//!
//! [`Session`] is the machine; [`unknown`] answers for what no session took; [`Jingle`] reads and writes the elements.

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
