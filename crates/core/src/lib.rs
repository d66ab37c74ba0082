//! wip
mod tls_info;
pub use tls_info::{TlsInfo, TlsVersion};
