//! The mechanisms by name, strength and preference.

use super::BindingType;

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
    /// HT-SHA-256-NONE: a token, bound to nothing (draft-schmaus-kitten-sasl-ht).
    HtSha256None,
    /// SCRAM-SHA-1-PLUS: bound to the TLS session (RFC 5802, RFC 9266).
    ScramSha1Plus,
    /// SCRAM-SHA-256-PLUS: bound to the TLS session (RFC 7677, RFC 9266).
    ScramSha256Plus,
    /// HT-SHA-256-ENDP: a token, bound to the server's certificate.
    HtSha256EndPoint,
    /// HT-SHA-256-EXPR: a token, bound to the TLS session.
    HtSha256Exporter,
    /// EXTERNAL (RFC 4422 appendix A): what the TLS certificate proves.
    External,
}

impl Mechanism {
    /// All mechanisms that a client can begin with, the best last.
    pub const ALL: [Self; 7] = [
        Self::Anonymous,
        Self::Plain,
        Self::ScramSha1,
        Self::ScramSha256,
        Self::ScramSha1Plus,
        Self::ScramSha256Plus,
        Self::External,
    ];

    /// The mechanisms whose secret is a token that the server has handed out, the best last.
    pub const TOKEN: [Self; 3] = [
        Self::HtSha256None,
        Self::HtSha256EndPoint,
        Self::HtSha256Exporter,
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
            Self::HtSha256None => "HT-SHA-256-NONE",
            Self::HtSha256EndPoint => "HT-SHA-256-ENDP",
            Self::HtSha256Exporter => "HT-SHA-256-EXPR",
            Self::External => "EXTERNAL",
        }
    }

    /// Reads a name; `None` for a mechanism that is not implemented.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .chain(Self::TOKEN)
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

    /// Whether its secret is a token (FAST, instant stream resumption).
    #[must_use]
    pub const fn is_token(self) -> bool {
        matches!(
            self,
            Self::HtSha256None | Self::HtSha256EndPoint | Self::HtSha256Exporter
        )
    }

    /// Whether it is bound to the TLS session.
    #[must_use]
    pub const fn binds_channel(self) -> bool {
        matches!(self, Self::ScramSha1Plus | Self::ScramSha256Plus) || self.binding_type().is_some()
    }

    /// What it binds to, where its name says so; SCRAM says so in its messages.
    #[must_use]
    pub const fn binding_type(self) -> Option<BindingType> {
        match self {
            Self::HtSha256EndPoint => Some(BindingType::TlsServerEndPoint),
            Self::HtSha256Exporter => Some(BindingType::TlsExporter),
            _ => None,
        }
    }

    /// Whether the client's first message is its last (QS-23).
    #[must_use]
    pub const fn is_single_step(self) -> bool {
        !self.is_scram()
    }

    /// Whether this build carries it: SCRAM and HT need the feature `scram`.
    #[must_use]
    pub const fn is_built_in(self) -> bool {
        !(self.is_scram() || self.is_token()) || cfg!(feature = "scram")
    }

    /// What it withstands, as a class to pin (QS-R4): 0 nothing, 1 gives the password away under TLS, 2 keeps
    /// it, 3 and withstands a man in the middle with a valid certificate, 4 needs no password.
    #[must_use]
    pub const fn strength(self) -> u8 {
        match self {
            Self::Anonymous => 0,
            Self::Plain => 1,
            Self::ScramSha1 | Self::ScramSha256 | Self::HtSha256None => 2,
            Self::ScramSha1Plus
            | Self::ScramSha256Plus
            | Self::HtSha256EndPoint
            | Self::HtSha256Exporter => 3,
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
        for mechanism in Mechanism::ALL.into_iter().chain(Mechanism::TOKEN) {
            assert_eq!(Mechanism::from_name(mechanism.name()), Some(mechanism));
        }
        assert_eq!(Mechanism::from_name("DIGEST-MD5"), None);
    }
}
