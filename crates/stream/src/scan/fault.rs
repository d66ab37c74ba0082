//! What a document can do wrong, as RFC 6120 calls it.

use crate::{Limit, Limits, ReadErrorKind};

/// One row of [`Fault::kind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Utf8,
    Forbidden,
    Misplaced,
    Token,
    StrayText,
    EarlyEndTag,
    OtherEncoding,
    OtherVersion,
    NotStandalone,
    Declaration,
    Comment,
    Instruction,
    Doctype,
    Entity,
    EmptyReference,
    CDataStart,
    CDataEnd,
    NoSpace,
    CrInValue,
    Twice,
    EndTag,
    Name,
    Prefix,
    Reserved,
    Unbound,
    /// More than a limit allows.
    TooMuch(Limit),
    /// The one who listens has refused, and said why to [`Scanner::run`](super::Scanner::run).
    Refused,
}

impl Fault {
    /// What the reader reports.
    pub(crate) fn kind(self, limits: &Limits) -> ReadErrorKind {
        use ReadErrorKind::{Encoding, NotWellFormed, Restricted};
        let malformed = |what| NotWellFormed { what };
        match self {
            Self::Utf8 => Encoding {
                what: "bytes that are not UTF-8",
            },
            Self::OtherEncoding => Encoding {
                what: "a declaration of another encoding",
            },
            Self::OtherVersion => Encoding {
                what: "a version of XML other than 1.0",
            },
            Self::NotStandalone => Restricted {
                what: "only standalone documents are allowed",
            },
            Self::Comment => Restricted { what: "comments" },
            Self::Instruction => Restricted {
                what: "processing instructions",
            },
            Self::Doctype => Restricted {
                what: "a document type declaration",
            },
            Self::Entity => Restricted {
                what: "an entity other than the five predefined ones",
            },
            Self::Forbidden => malformed("a character that XML forbids"),
            Self::Misplaced => malformed("a character that is out of place"),
            Self::Token | Self::Refused => malformed("a token that is out of place"),
            Self::EarlyEndTag => malformed("an end tag before the header"),
            Self::Declaration => malformed("an XML declaration that is none"),
            Self::EmptyReference => malformed("empty reference"),
            Self::CDataStart => malformed("malformed cdata section start"),
            Self::CDataEnd => malformed("unescaped ']]>' forbidden in text"),
            Self::NoSpace => malformed("space required before attribute names"),
            Self::CrInValue => malformed("a literal CR character in an attribute value"),
            Self::Twice => malformed("an attribute given twice"),
            Self::EndTag => malformed("an end tag that does not match its start tag"),
            Self::Name => malformed("a name that is not a qualified name"),
            Self::Prefix => malformed("a prefix that is not declared"),
            Self::Reserved => malformed("a reserved prefix or namespace name"),
            Self::Unbound => malformed("a prefix bound to nothing"),
            Self::StrayText => ReadErrorKind::StrayText,
            Self::TooMuch(limit) => ReadErrorKind::TooMuch {
                limit,
                allowed: limits.of(limit),
            },
        }
    }
}
