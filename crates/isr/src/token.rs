//! Which text a token is of, and what a store is asked about.

use onetrip_stream::TokenHash;

/// Which text of instant stream resumption a ticket is of, and what that text needs besides the secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Dialect {
    /// Version 0.0.1, namespace `urn:xmpp:isr:0`: whoever bears the token may resume.
    #[default]
    Seed,
    /// Version 0.0.2, the same namespace: whoever proves the key, bound to the server's certificate, may resume; and the
    /// server proves it in turn.
    Hmac {
        /// The name of the session, from stream management's `<enabled/>`.
        session: String,
    },
    /// XEP-0397: the key is the secret of a SASL mechanism, within SASL2.
    Sasl2 {
        /// The name of the session.
        session: String,
        /// The only mechanism that the key is good for.
        mechanism: String,
    },
}

/// Which texts are spoken: what a server offers, and what a client makes use of. Default: all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Dialects {
    /// The first: a token is shown.
    pub seed: bool,
    /// The second: a key is proved, bound to the server's certificate.
    pub hmac: bool,
    /// The third: a key is the secret of a mechanism of SASL2.
    pub sasl2: bool,
}

impl Dialects {
    /// None of them.
    pub const NONE: Self = Self {
        seed: false,
        hmac: false,
        sasl2: false,
    };

    /// Whether this one is among them.
    #[must_use]
    pub const fn speak(&self, dialect: &Dialect) -> bool {
        match dialect {
            Dialect::Seed => self.seed,
            Dialect::Hmac { .. } => self.hmac,
            Dialect::Sasl2 { .. } => self.sasl2,
        }
    }
}

impl Default for Dialects {
    fn default() -> Self {
        Self {
            seed: true,
            hmac: true,
            sasl2: true,
        }
    }
}

/// What whoever wants to resume has shown. A store answers about this; it may not ask what it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Claim {
    /// A token itself ([`Dialect::Seed`]), already hashed. What is proved and not shown is a
    /// [`KeyClaim`](crate::KeyClaim).
    Token(TokenHash),
}
