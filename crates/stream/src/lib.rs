//! wip
mod env;
pub mod ns;
mod secret;
pub use env::{Entropy, Env, Instant};
pub use secret::Secret;
