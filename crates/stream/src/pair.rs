//! A pair of domains: what servers are authenticated for, one pair at a time.

use core::fmt;

use crate::Domain;

/// Stanzas from one domain to another (RFC 6120 §2.5, XEP-0220 §1.3). The pair of the other direction is its inverse.
///
/// ```
/// # use onetrip_stream::{Domain, Pair};
/// let domain = |name: &str| Domain::new(name).unwrap();
/// let pair = Pair::new(domain("capulet.lit"), domain("montague.lit"));
/// assert_eq!(pair.inverse().inverse(), pair);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pair {
    /// The sender's domain.
    pub from: Domain,
    /// The recipient's domain.
    pub to: Domain,
}

impl Pair {
    /// Stanzas from `from` to `to`.
    #[must_use]
    pub fn new(from: Domain, to: Domain) -> Self {
        Self { from, to }
    }

    /// The pair of the opposite direction.
    #[must_use]
    pub fn inverse(&self) -> Self {
        Self::new(self.to.clone(), self.from.clone())
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.from, self.to)
    }
}
