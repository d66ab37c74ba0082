//! wip
#[cfg(feature = "rustls")]
pub mod rustls;
mod secured;
mod session;

pub use secured::{Output, Secured, SecuredError};
pub use session::{TlsError, TlsErrorKind, TlsSession, TlsState};
