//! **XML streams between two clients** ([XEP-0247]) without IO. So far: [in-band bytestreams](ibb).
//!
//! [XEP-0247]: https://xmpp.org/extensions/xep-0247.html

pub mod ibb;
mod iq;

pub use iq::{IqError, Refusal};
