//! Iq stanzas as this crate reads and writes them, and the errors that refuse one.

use minidom::Element;
use onetrip_stream::{Build as _, Jid, ns};

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
#[derive(Debug)]
pub(crate) enum Kind<'a> {
    Set(&'a Element),
    Result,
    Error(IqError),
}

/// An iq from a known sender.
#[derive(Debug)]
pub(crate) struct Iq<'a> {
    pub(crate) from: Jid,
    pub(crate) id: &'a str,
    pub(crate) kind: Kind<'a>,
}

impl<'a> Iq<'a> {
    /// `None` for whatever is no set, result or error with a sender and an id.
    pub(crate) fn read(element: &'a Element) -> Option<Self> {
        if !element.is("iq", ns::CLIENT) {
            return None;
        }
        let kind = match element.attr("type")? {
            "set" => Kind::Set(element.children().next()?),
            "result" => Kind::Result,
            "error" => Kind::Error(IqError::read(element)),
            _ => return None,
        };
        Some(Self {
            from: element.attr("from")?.parse().ok()?,
            id: element.attr("id")?,
            kind,
        })
    }
}

/// A request.
pub(crate) fn set(to: &Jid, id: &str, payload: Element) -> Element {
    iq(to, id, "set").with_child(payload)
}

/// The empty answer.
pub(crate) fn result(to: &Jid, id: &str) -> Element {
    iq(to, id, "result")
}

/// The refusal; `errors` is the namespace of its Jingle condition.
pub(crate) fn refuse(to: &Jid, id: &str, refusal: Refusal, errors: &str) -> Element {
    let mut error = Element::bare("error", ns::CLIENT)
        .with_attr("type", refusal.kind())
        .with_child(Element::bare(refusal.condition(), ns::STANZA_ERRORS));
    if let Some(jingle) = refusal.jingle() {
        error.append_child(Element::bare(jingle, errors));
    }
    iq(to, id, "error").with_child(error)
}

fn iq(to: &Jid, id: &str, kind: &str) -> Element {
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

    /// What the server does to a stanza on its way.
    pub(crate) fn stamped(stanza: &Element, from: &Jid) -> Element {
        stanza.clone().with_attr("from", from.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::testing::*;
    use super::*;

    #[test]
    fn a_refusal_says_condition_and_jingle_condition() {
        let sent = refuse(&romeo(), "1", Refusal::UnknownSession, ns::JINGLE_ERRORS_1);
        let read = IqError::read(&sent);
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
