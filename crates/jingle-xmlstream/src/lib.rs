//! **XML streams between two clients** ([XEP-0247]) without IO. So far: [in-band bytestreams](ibb) and
//! [SOCKS5](socks5).
//!
//! [XEP-0247]: https://xmpp.org/extensions/xep-0247.html

mod hex;
pub mod ibb;
mod iq;
pub mod socks5;

pub use iq::{IqError, Refusal};
