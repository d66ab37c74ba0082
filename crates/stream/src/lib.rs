//! wip
mod build;
mod env;
pub mod ns;
mod secret;
pub use build::Build;
pub use env::{Entropy, Env, Instant};
pub use secret::Secret;
