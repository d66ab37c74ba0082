//! **XML streams between two clients** ([XEP-0247]) without IO. So far the transports: [in-band bytestreams](ibb),
//! [SOCKS5](socks5), and the [negotiation](s5b) that leads to one.
//!
//! [XEP-0247]: https://xmpp.org/extensions/xep-0247.html

mod dialect;
mod hex;
pub mod ibb;
mod iq;
mod role;
pub mod s5b;
pub mod session;
pub mod socks5;
pub mod xtls;

pub use dialect::{Capabilities, Dialect};
pub use iq::{IqError, Refusal};
pub use role::Role;
pub use session::Session;
