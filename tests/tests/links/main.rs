//! Zero-handshake links between two servers (XEP-0361): which connection carries what, and what comes of a cut.
#![allow(clippy::unwrap_used, clippy::panic)]

mod cuts;
mod refused;
mod routes;
mod tls;
mod wrong;
