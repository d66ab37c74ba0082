//! Iq stanzas as this crate reads and writes them, and the errors that refuse one.

use minidom::Element;
use onetrip_stream::{
    Build as _, Content, Head, Jid, Payload, Stanza, StanzaKind, Text, WriteError, ns,
};

/// Why a request of the peer is refused: a stanza error, with its Jingle condition if it has one (XEP-0166 §10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// It cannot be understood: no action, an unknown one, bad base64.
    BadRequest,
    /// Nothing is known by that name.
    ItemNotFound,
    /// It comes at the wrong time, such as a sequence number that was used before (XEP-0047 §2.2).
    UnexpectedRequest,
    /// It wants more than there is (XEP-0047 §2.1).
    ResourceConstraint,
    /// It is not supported here.
    FeatureNotImplemented,
    /// Nobody is here, as far as the peer shall know (XEP-0166 §13).
    ServiceUnavailable,
    /// `<out-of-order/>`: not in this state.
    OutOfOrder,
    /// `<tie-break/>`: ours was first (XEP-0166 §7.2.16).
    TieBreak,
    /// `<unknown-session/>`.
    UnknownSession,
    /// `<unsupported-info/>`: a session-info that is not understood.
    UnsupportedInfo,
    /// `<security-required/>`: in clear what must be encrypted.
    SecurityRequired,
}

impl Refusal {
    /// The stanza error condition (RFC 6120 §8.3.3).
    #[must_use]
    pub const fn condition(self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::ItemNotFound | Self::UnknownSession => "item-not-found",
            Self::UnexpectedRequest | Self::OutOfOrder => "unexpected-request",
            Self::ResourceConstraint => "resource-constraint",
            Self::FeatureNotImplemented | Self::UnsupportedInfo => "feature-not-implemented",
            Self::ServiceUnavailable => "service-unavailable",
            Self::TieBreak => "conflict",
            Self::SecurityRequired => "not-acceptable",
        }
    }

    /// The Jingle condition beside it.
    #[must_use]
    pub const fn jingle(self) -> Option<&'static str> {
        match self {
            Self::OutOfOrder => Some("out-of-order"),
            Self::TieBreak => Some("tie-break"),
            Self::UnknownSession => Some("unknown-session"),
            Self::UnsupportedInfo => Some("unsupported-info"),
            Self::SecurityRequired => Some("security-required"),
            _ => None,
        }
    }

    const fn kind(self) -> &'static str {
        match self {
            Self::BadRequest | Self::ResourceConstraint | Self::UnsupportedInfo => "modify",
            Self::OutOfOrder => "wait",
            _ => "cancel",
        }
    }
}

/// What a peer's stanza error said, as far as it fits 128 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IqError {
    /// The condition of RFC 6120 §8.3.3; empty when there was none.
    pub condition: String,
    /// The Jingle condition, if there was one.
    pub jingle: Option<String>,
}

impl IqError {
    fn read(iq: &Element) -> Self {
        let mut read = Self {
            condition: String::new(),
            jingle: None,
        };
        let error = iq.children().find(|child| child.name() == "error");
        for child in error.into_iter().flat_map(Element::children) {
            let name = || child.name().chars().take(128).collect();
            if child.has_ns(ns::STANZA_ERRORS) && child.name() != "text" {
                read.condition = name();
            } else if child.has_ns(ns::JINGLE_ERRORS_1) || child.has_ns(ns::JINGLE_ERRORS_0) {
                read.jingle = Some(name());
            }
        }
        read
    }
}

impl core::fmt::Display for IqError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.condition)?;
        match &self.jingle {
            Some(jingle) => write!(f, " ({jingle})"),
            None => Ok(()),
        }
    }
}

/// What kind of iq came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Set,
    Result,
    Error,
}

/// An iq that names its sender, as far as its head says it.
#[derive(Debug)]
pub(crate) struct Iq<'a> {
    pub(crate) from: &'a str,
    pub(crate) id: &'a str,
    pub(crate) kind: Kind,
    stanza: &'a Stanza,
}

impl<'a> Iq<'a> {
    /// `None` for whatever is no set, result or error with a sender and an id.
    pub(crate) fn read(stanza: &'a Stanza) -> Option<Self> {
        let head = stanza.head();
        if head.kind != StanzaKind::Iq || head.content != Content::Client {
            return None;
        }
        let kind = match head.type_.as_deref()? {
            "set" => Kind::Set,
            "result" => Kind::Result,
            "error" => Kind::Error,
            _ => return None,
        };
        Some(Self {
            from: head.from.as_deref()?,
            id: head.id.as_deref()?,
            kind,
            stanza,
        })
    }

    /// What it asks for.
    pub(crate) fn payload(&self) -> Option<Payload<'a>> {
        self.stanza.payloads().next()
    }

    /// What it says of an error.
    pub(crate) fn error(&self) -> IqError {
        IqError::read(&self.stanza.element())
    }

    /// What it asks for, with all that is in it.
    pub(crate) fn tree(&self) -> Option<Element> {
        self.stanza.element().children().next().cloned()
    }
}

/// The head of an iq.
pub(crate) fn head(to: Text, id: impl Into<Text>, kind: &'static str) -> Head {
    let mut head = Head::new(StanzaKind::Iq, Content::Client);
    head.to = Some(to);
    head.id = Some(id.into());
    head.type_ = Some(Text::from_static(kind));
    head
}

/// A request.
///
/// # Errors
/// [`WriteError`] when something in it is not for XML: given by the caller, since a peer's stanza cannot hold it.
pub(crate) fn set(to: &Jid, id: &str, payload: Element) -> Result<Stanza, WriteError> {
    Stanza::from_element(&bare(to, id, "set").with_child(payload))
}

/// The empty answer.
pub(crate) fn result(to: &Jid, id: &str) -> Result<Stanza, WriteError> {
    Stanza::new(head(Text::from(to.to_string()), id, "result"), None)
}

/// The refusal; `errors` is the namespace of its Jingle condition.
pub(crate) fn refuse(
    to: &Jid,
    id: &str,
    refusal: Refusal,
    errors: &str,
) -> Result<Stanza, WriteError> {
    Stanza::from_element(&refusing(to, id, refusal, errors))
}

pub(crate) fn refusing(to: &Jid, id: &str, refusal: Refusal, errors: &str) -> Element {
    let mut error = Element::bare("error", ns::CLIENT)
        .with_attr("type", refusal.kind())
        .with_child(Element::bare(refusal.condition(), ns::STANZA_ERRORS));
    if let Some(jingle) = refusal.jingle() {
        error.append_child(Element::bare(jingle, errors));
    }
    bare(to, id, "error").with_child(error)
}

pub(crate) fn bare(to: &Jid, id: &str, kind: &str) -> Element {
    Element::bare("iq", ns::CLIENT)
        .with_attr("type", kind)
        .with_attr("id", id)
        .with_attr("to", to.to_string())
}

/// A number in digits alone: `str::parse` would take a sign.
pub(crate) fn number<N: core::str::FromStr>(text: &str) -> Option<N> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

/// Ids for the iqs of one machine: unguessable, and unique within it.
#[derive(Debug, Clone)]
pub(crate) struct Ids {
    prefix: String,
    count: u64,
}

impl Ids {
    pub(crate) fn new(env: &mut onetrip_stream::Env<'_>) -> Self {
        let mut prefix = env.random_id();
        prefix.truncate(16);
        Self { prefix, count: 0 }
    }

    pub(crate) fn next(&mut self) -> String {
        self.count = self.count.wrapping_add(1);
        format!("{}-{}", self.prefix, self.count)
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! What the tests of all modules share: two addresses, an environment, and a server that stamps `from`.
    use super::*;
    use onetrip_stream::{Env, Instant};

    pub(crate) fn romeo() -> Jid {
        "romeo@montague.lit/orchard".parse().unwrap()
    }

    pub(crate) fn juliet() -> Jid {
        "juliet@capulet.lit/balcony".parse().unwrap()
    }

    /// Runs with an environment at so many milliseconds, whose random bytes count up from `seed`.
    pub(crate) fn at<T>(millis: u64, seed: u8, run: impl FnOnce(&mut Env<'_>) -> T) -> T {
        let mut next = seed;
        let mut entropy = |out: &mut [u8]| {
            for byte in out {
                *byte = next;
                next = next.wrapping_add(1);
            }
        };
        run(&mut Env::new(Instant::from_millis(millis), &mut entropy))
    }

    pub(crate) fn kind(stanza: &Stanza) -> &str {
        stanza.head().type_.as_deref().unwrap()
    }

    pub(crate) fn id(stanza: &Stanza) -> &str {
        stanza.head().id.as_deref().unwrap()
    }

    pub(crate) fn parsed(text: &str) -> Stanza {
        Stanza::parse(text.as_bytes(), Content::Client).unwrap()
    }

    /// An answer of `from` to `to`, as it arrives.
    pub(crate) fn answered(from: &Jid, to: &Jid, id: &str) -> Stanza {
        stamped(&result(to, id).unwrap(), from)
    }

    /// A refusal of `from` to `to`, as it arrives.
    pub(crate) fn refused(from: &Jid, to: &Jid, id: &str, refusal: Refusal) -> Stanza {
        let refusal = refuse(to, id, refusal, ns::JINGLE_ERRORS_1);
        stamped(&refusal.unwrap(), from)
    }

    /// A request that `to` gets.
    pub(crate) fn asked(to: &Jid, id: &str, payload: &Payload<'_>) -> Stanza {
        let to = Text::from(to.to_string());
        Stanza::new(head(to, id, "set"), Some(payload)).unwrap()
    }

    /// What the server does to a stanza on its way.
    pub(crate) fn stamped(stanza: &Stanza, from: &Jid) -> Stanza {
        let stamped = stanza.element().with_attr("from", from.to_string());
        Stanza::from_element(&stamped).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::testing::*;
    use super::*;

    #[test]
    fn a_refusal_says_condition_and_jingle_condition() {
        let sent = refuse(&romeo(), "1", Refusal::UnknownSession, ns::JINGLE_ERRORS_1).unwrap();
        let read = IqError::read(&sent.element());
        assert_eq!(read.to_string(), "item-not-found (unknown-session)");
    }

    #[test]
    fn numbers_are_digits_alone() {
        assert_eq!(number::<u16>("65535"), Some(65535));
        for bad in ["+1", "-1", "65536", "", " 1", "0x1"] {
            assert_eq!(number::<u16>(bad), None, "{bad}");
        }
    }
}
