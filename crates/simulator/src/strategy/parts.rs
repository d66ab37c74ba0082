//! What the ways differ in.

use onetrip_core::negotiation::sasl::Mechanism;

/// How a client authenticates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Login {
    /// The best SCRAM there is.
    Scram,
    /// PLAIN.
    Plain,
    /// The certificate of its TLS session.
    External,
}

impl Login {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Scram, Self::Plain, Self::External];

    /// The last part of a strategy's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scram => "scram",
            Self::Plain => "plain",
            Self::External => "external",
        }
    }

    /// The mechanisms it stands for.
    #[must_use]
    pub fn mechanisms(self) -> Vec<Mechanism> {
        Mechanism::ALL
            .into_iter()
            .filter(|mechanism| match self {
                Self::Scram => mechanism.is_scram(),
                Self::Plain => *mechanism == Mechanism::Plain,
                Self::External => *mechanism == Mechanism::External,
            })
            .collect()
    }
}

/// What is done as in the texts that first counted (digest §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Historical {
    /// RFC 6120 §9.1: before TLS every unit is a write of its own.
    Rfc6120,
    /// The seed of XEP-0305: the server opens its stream under TLS unasked.
    Xep0305,
}

/// How a client comes back that was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comeback {
    /// It logs in and resumes its session (XEP-0198).
    Resume,
    /// It shows its token (instant stream resumption, the first text).
    Token,
    /// It proves a key (the second text).
    Key,
    /// It logs in by that key, within SASL2 (the third text, XEP-0397).
    KeyLogin,
}

/// How a server proves its domain to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Proof {
    /// SASL EXTERNAL with the certificate of TLS (XEP-0178).
    External,
    /// Dialback, whose key is verified over a connection of its own (XEP-0220).
    Dialback,
    /// The same, verified without TLS (digest §4.5).
    DialbackInClear,
}

impl Proof {
    /// Its part of a strategy's name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::External => "external",
            Self::Dialback => "dialback",
            Self::DialbackInClear => "dialback-clear",
        }
    }

    /// Whether it is dialback, wherever its key is verified.
    #[must_use]
    pub const fn is_dialback(self) -> bool {
        !matches!(self, Self::External)
    }
}

/// How the answer to a stanza between servers comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answers {
    /// Over a second connection, which the other server opens.
    Two,
    /// Over the same one (XEP-0288).
    Bidi,
}

impl Answers {
    /// The last part of a strategy's name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Two => "two",
            Self::Bidi => "bidi",
        }
    }
}

/// What carries a stream between two clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// In-band bytestreams, from the start.
    InBand,
    /// SOCKS5 bytestreams, at an address of the responder's.
    Socks5,
}

impl Carrier {
    /// The last part of a strategy's name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::InBand => "ibb",
            Self::Socks5 => "s5b",
        }
    }
}
