//! Which text a token is of, and what a store is asked about.

use onetrip_stream::TokenHash;

/// Which text of instant stream resumption a token belongs to.
///
/// Today there is the first text alone. Version 0.0.2 (an HMAC with `previd`) and XEP-0397 (over SASL2, with a pinned
/// mechanism) can be added without a change for callers: a [`Ticket`](crate::Ticket) says which text it is of, and a
/// store answers about a [`Claim`], whatever that is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Dialect {
    /// Version 0.0.1, namespace `urn:xmpp:isr:0`: whoever bears the token may resume.
    #[default]
    Seed,
}

/// What whoever wants to resume has shown. A store answers about this; it may not ask what it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Claim {
    /// A token itself ([`Dialect::Seed`]), already hashed.
    Token(TokenHash),
}
