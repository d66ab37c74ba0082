//! Unpredictable bytes from where TLS takes its own.

use onetrip_stream::Entropy;
use rustls::crypto::{SecureRandom, ring};

/// The system's randomness, by way of the TLS library: what a driver gives to every [`Env`](onetrip_stream::Env).
///
/// ```
/// # use onetrip_tls::rustls::SystemEntropy;
/// # use onetrip_core::stream::{Env, Instant};
/// let mut entropy = SystemEntropy::new();
/// let env = &mut Env::new(Instant::EPOCH, &mut entropy);
/// assert_ne!(env.random_id(), env.random_id());
/// ```
#[derive(Debug)]
pub struct SystemEntropy(&'static dyn SecureRandom);

impl SystemEntropy {
    /// The one there is.
    #[must_use]
    pub fn new() -> Self {
        Self(ring::default_provider().secure_random)
    }
}

impl Default for SystemEntropy {
    fn default() -> Self {
        Self::new()
    }
}

impl Entropy for SystemEntropy {
    /// # Panics
    /// When the system has no randomness. Without it nothing here is safe, and no peer can bring it about.
    #[allow(clippy::panic)]
    fn fill(&mut self, out: &mut [u8]) {
        if self.0.fill(out).is_err() {
            panic!("the system has no randomness");
        }
    }
}
