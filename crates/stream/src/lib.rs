//! wip docs
mod address;
mod build;
mod condition;
mod encode;
mod env;
mod error;
mod header;
mod limits;
pub mod ns;
mod reader;
mod secret;
mod stanza;
pub mod stored;
mod token;
mod writer;

pub use address::{AddressError, Domain, Jid};
pub use build::Build;
pub use condition::{Condition, StreamError};
pub use env::{Entropy, Env, Instant};
pub use error::{ReadError, ReadErrorKind, WriteError};
pub use header::{Content, StreamHeader, Version};
pub use limits::{Limit, Limits};
pub use reader::{Frame, Reader};
pub use secret::Secret;
pub use stanza::{Head, Stanza, StanzaKind};
pub use writer::Writer;
