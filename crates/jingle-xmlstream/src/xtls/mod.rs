//! **The gate before TLS** (Jingle XTLS): what is offered, when the handshake may begin, and what it proved.
//!
//! ```text
//! <security xmlns='urn:xmpp:jingle:security:xtls:0'>
//!   <fingerprint algo='sha-256'>…</fingerprint><method name='x509'/>
//! </security>
//! ```
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | neither | [`Gate::transport_ready`], [`Gate::agreed`] | the one that is there waits for the other (JXS-19) |
//! | ready, agreed | the other one | handshake: [`Opened`] |
//! | handshake | [`Gate::established`] | over: secured, with a [`Verification`], or failed |
//!
//! The initiator is the TLS client; the responder is the TLS server and asks for a certificate (JXS-20).
//!
//! The fingerprints came over the very servers that they are to protect against. Who knows the peer's by other means
//! gives it in as a pin; then nothing else will do. [`Verification::Announced`] says that TLS ended at the one who
//! wrote the signalling, and no more.

mod fingerprint;
mod gate;
mod security;
#[cfg(test)]
mod tests;

pub use fingerprint::{Fingerprint, Hash};
pub use gate::{Gate, Opened, Policy, TlsRole, Verification, XtlsError};
pub use security::{Method, Security};
