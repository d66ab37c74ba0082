//! The mechanisms by name, strength and preference.

/// A SASL mechanism, ordered by our preference: the last is the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Mechanism {
    /// ANONYMOUS (RFC 4505).
    Anonymous,
    /// PLAIN (RFC 4616): the password itself, under TLS only.
    Plain,
    /// SCRAM-SHA-1 (RFC 5802).
    ScramSha1,
    /// SCRAM-SHA-256 (RFC 7677).
    ScramSha256,
    /// SCRAM-SHA-1-PLUS: bound to the TLS session (RFC 5802, RFC 9266).
    ScramSha1Plus,
    /// SCRAM-SHA-256-PLUS: bound to the TLS session (RFC 7677, RFC 9266).
    ScramSha256Plus,
    /// EXTERNAL (RFC 4422 appendix A): what the TLS certificate proves.
    External,
}

impl Mechanism {
    /// All mechanisms, the best last.
    pub const ALL: [Self; 7] = [
        Self::Anonymous,
        Self::Plain,
        Self::ScramSha1,
        Self::ScramSha256,
        Self::ScramSha1Plus,
        Self::ScramSha256Plus,
        Self::External,
    ];

    /// The registered name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Anonymous => "ANONYMOUS",
            Self::Plain => "PLAIN",
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha1Plus => "SCRAM-SHA-1-PLUS",
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::External => "EXTERNAL",
        }
    }

    /// Reads a name; `None` for a mechanism that is not implemented.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|mechanism| mechanism.name() == name)
    }

    /// Whether the server proves that it knows the password (RFC 5802).
    #[must_use]
    pub const fn is_scram(self) -> bool {
        matches!(
            self,
            Self::ScramSha1 | Self::ScramSha256 | Self::ScramSha1Plus | Self::ScramSha256Plus
        )
    }

    /// Whether it is bound to the TLS session.
    #[must_use]
    pub const fn binds_channel(self) -> bool {
        matches!(self, Self::ScramSha1Plus | Self::ScramSha256Plus)
    }

    /// Whether the client's first message is its last (QS-23).
    #[must_use]
    pub const fn is_single_step(self) -> bool {
        !self.is_scram()
    }

    /// Whether this build carries it: SCRAM needs the feature `scram`.
    #[must_use]
    pub const fn is_built_in(self) -> bool {
        !self.is_scram() || cfg!(feature = "scram")
    }

    /// What it withstands, as a class to pin (QS-R4): 0 nothing, 1 gives the password away under TLS, 2 keeps
    /// it, 3 and withstands a man in the middle with a valid certificate, 4 needs no password.
    #[must_use]
    pub const fn strength(self) -> u8 {
        match self {
            Self::Anonymous => 0,
            Self::Plain => 1,
            Self::ScramSha1 | Self::ScramSha256 => 2,
            Self::ScramSha1Plus | Self::ScramSha256Plus => 3,
            Self::External => 4,
        }
    }
}

impl core::fmt::Display for Mechanism {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::Mechanism;

    #[test]
    fn names_survive_the_wire_and_preference_never_prefers_the_weaker() {
        for pair in Mechanism::ALL.windows(2) {
            assert!(pair[0] < pair[1] && pair[0].strength() <= pair[1].strength());
        }
        for mechanism in Mechanism::ALL {
            assert_eq!(Mechanism::from_name(mechanism.name()), Some(mechanism));
        }
        assert_eq!(Mechanism::from_name("DIGEST-MD5"), None);
    }
}
