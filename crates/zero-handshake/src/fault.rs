//! What is wrong with terms, and in which field.

use core::fmt;

use onetrip_stream::Domain;

macro_rules! fields {
    ($($(#[$doc:meta])* $variant:ident = $key:literal,)+) => {
        /// A field of [`Terms`](crate::Terms), by its key in the file form.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Field {
            $($(#[$doc])* $variant,)+
        }

        impl Field {
            /// Every field.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Its key in the file form, with its table.
            #[must_use]
            pub const fn key(self) -> &'static str {
                match self {
                    $(Self::$variant => $key,)+
                }
            }
        }
    };
}

fields! {
    /// Our domains.
    Ours = "ours",
    /// The peer's domains.
    Theirs = "theirs",
    /// Where the peer listens.
    Address = "address",
    /// The port to connect from.
    SourcePort = "source-port",
    /// The pins.
    Pins = "tls.pins",
    /// The application protocol.
    Alpn = "tls.alpn",
    /// From where the peer connects.
    AllowedSources = "allowed-sources",
    /// Insecurity, spelt out.
    InsecureImplicit = "insecure-implicit",
    /// Whether we send on the peer's connection.
    ReplyOnInbound = "reply-on-inbound",
    /// When what was sent counts as arrived.
    Quiet = "quiet-seconds",
    /// When to try again.
    Retry = "retry-seconds",
    /// The default language.
    Language = "language",
    /// When an unused connection is closed.
    IdleClose = "idle-close-seconds",
    /// How long a stanza may stall.
    Stall = "stall-seconds",
    /// How long to wait for the peer's close.
    CloseWait = "close-wait-seconds",
    /// The acknowledgements.
    Acknowledgements = "presets.acknowledgements",
    /// The keepalive.
    Keepalive = "presets.keepalive-seconds",
    /// The largest stanza.
    MaxStanzaSize = "presets.max-stanza-size",
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

/// Terms that are no agreement. Nothing can be built from them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}`: {fault}")]
#[non_exhaustive]
pub struct AgreementError {
    /// Where.
    pub field: Field,
    /// Which entry, counted from 0, where the field is a list and one entry is at fault.
    pub index: Option<usize>,
    /// What.
    pub fault: Fault,
}

impl AgreementError {
    pub(crate) fn new(field: Field, fault: Fault) -> Self {
        let index = None;
        Self {
            field,
            index,
            fault,
        }
    }

    pub(crate) fn at(mut self, index: usize) -> Self {
        self.index = Some(index);
        self
    }
}

/// What can be wrong with terms.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing where something is needed.
    #[error("expected at least one, got none")]
    Empty,
    /// The same entry twice.
    #[error("expected each once, got one twice")]
    Twice,
    /// A domain of ours among the peer's: nobody else speaks for it (digest §6.2).
    #[error("expected domains of the peer's, got {0}, which is ours")]
    OurDomain(Domain),
    /// Nothing proves who the peer is, and `insecure_implicit` is not set (ZH-R6).
    #[error(
        "expected something that proves who the peer is, got nothing: TLS with certificates, or allowed sources, or `insecure-implicit = true`"
    )]
    NoIdentity,
    /// Insecurity is spelt out although something proves who the peer is: one of the two is a mistake.
    #[error("expected it to be left out where something proves who the peer is, got it set")]
    NotInsecure,
    /// We may open and do not know where to.
    #[error("expected one where we may open connections, got none")]
    Missing,
    /// Only the other side opens, so this is never used.
    #[error("expected none in this direction, where it is never used, got one")]
    Unused,
    /// Port 0, or a range that contains no port.
    #[error("expected ports that a connection can have, got one that none has")]
    Port,
    /// Every address of a family: it says nothing about who connects (ZH-R6).
    #[error(
        "expected a network that says who connects, got every address: say so by `insecure-implicit = true`"
    )]
    Everything,
    /// A plain link is opened to an address that the source rules do not know.
    #[error("expected an address of the allowed sources, got another")]
    Outside,
    /// The peer alone opens, and we do not send on what it opens.
    #[error("expected a way to send something, got none: open connections, or reply on the peer's")]
    Mute,
    /// No time at all.
    #[error("expected more than zero")]
    Zero,
    /// Too small.
    #[error("expected at least {0}")]
    TooSmall(usize),
    /// Not an ALPN name of 1 to 255 bytes (RFC 7301 §3.1).
    #[error("expected between 1 and 255 bytes")]
    Length,
    /// Characters that XML cannot hold, or too much of them.
    #[error("expected what can stand in a stream header, got something else")]
    Unwritable,
}
