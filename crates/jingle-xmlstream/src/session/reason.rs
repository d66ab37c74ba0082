//! Why a session ends (XEP-0166 §7.4).

use crate::Dialect;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// Why a session ends (XEP-0166 §7.4).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[$doc])* $variant,)+
        }

        impl Reason {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The element name on the wire.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

reasons! {
    /// Another session is to be used.
    AlternativeSession = "alternative-session",
    /// The peer is busy.
    Busy = "busy",
    /// The initiator gave it up.
    Cancel = "cancel",
    /// No transport could be made.
    ConnectivityError = "connectivity-error",
    /// The user does not want it.
    Decline = "decline",
    /// It took too long to be answered.
    Expired = "expired",
    /// The application failed.
    FailedApplication = "failed-application",
    /// The transport failed.
    FailedTransport = "failed-transport",
    /// None of the others; also what an unknown or missing reason is read as.
    GeneralError = "general-error",
    /// The peer goes away.
    Gone = "gone",
    /// The parameters do not fit.
    IncompatibleParameters = "incompatible-parameters",
    /// The media failed.
    MediaError = "media-error",
    /// The peer is not the one, or wants no security.
    SecurityError = "security-error",
    /// It is done.
    Success = "success",
    /// Something that was due did not come.
    Timeout = "timeout",
    /// The application is not supported.
    UnsupportedApplications = "unsupported-applications",
    /// The transport is not supported.
    UnsupportedTransports = "unsupported-transports",
}

impl Reason {
    /// What it is called in this text: `jingle:0` knows less of what may fail (digest §3.9).
    pub(crate) fn in_dialect(self, dialect: Dialect) -> Self {
        match (self, dialect) {
            (
                Self::FailedApplication | Self::FailedTransport | Self::IncompatibleParameters,
                Dialect::Interim2009 | Dialect::Published2009,
            ) => Self::GeneralError,
            _ => self,
        }
    }

    pub(crate) fn from_name(name: &str) -> Self {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| reason.name() == name)
            .unwrap_or(Self::GeneralError)
    }
}

impl core::fmt::Display for Reason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jingle_0_does_not_hear_of_reasons_that_it_does_not_have() {
        for dialect in Dialect::ALL {
            let said = Reason::FailedTransport.in_dialect(dialect);
            assert_eq!(said == Reason::FailedTransport, dialect == Dialect::Modern);
            assert_eq!(Reason::Success.in_dialect(dialect), Reason::Success);
        }
    }
}
