//! The elements of `jabber:server:dialback`, read leniently and written strictly.

use minidom::Element;
use onetrip_stream::{Build as _, Condition, Domain, StreamError, ns};

use crate::{Key, Pair, StreamId, Verdict};

/// An element of dialback, by what it is for. Each kind goes to a machine of its own.
///
/// ```
/// # use onetrip_dialback::Message;
/// # use onetrip_stream::{Build as _, ns};
/// # use minidom::Element;
/// let element = Element::bare("result", ns::DIALBACK)
///     .with_attr("from", "montague.example").with_attr("to", "capulet.example").with_attr("type", "valid");
/// let Some(Ok(Message::Answer(answer))) = Message::read(&element) else { panic!() };
/// assert_eq!(answer.pair.to_string(), "capulet.example to montague.example");
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Message {
    /// `db:result` without `type`, for [`Receiving`](crate::Receiving).
    Ask(Ask),
    /// `db:result` with `type`, for [`Originating`](crate::Originating).
    Answer(Answer),
    /// `db:verify` without `type`, for [`Authoritative`](crate::Authoritative).
    Verify(Verify),
    /// `db:verify` with `type`, for [`Verifying`](crate::Verifying).
    Verified(Verified),
}

/// Step 1: a key, and the wish to send stanzas of a pair (XEP-0220 §2.1.1).
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// The pair.
    pub pair: Pair,
    /// The key.
    pub key: Key,
}

/// Step 4: whether stanzas of the pair are accepted (XEP-0220 §2.2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The pair that was asked for.
    pub pair: Pair,
    /// The answer.
    pub verdict: Verdict,
}

/// Step 2: whether a key is one of yours (XEP-0220 §2.1.2).
#[derive(Debug, Clone, PartialEq)]
pub struct Verify {
    /// The pair that the key is for.
    pub pair: Pair,
    /// The stream on which the key was presented.
    pub id: StreamId,
    /// The key.
    pub key: Key,
}

/// Step 3: whether the key is valid (XEP-0220 §2.2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The pair that the key is for.
    pub pair: Pair,
    /// The stream on which the key was presented.
    pub id: StreamId,
    /// The answer.
    pub verdict: Verdict,
}

/// An element of dialback that cannot be understood. The peer is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ElementError {
    /// No element of the namespace by this name.
    #[error("expected `result` or `verify`, got another element of dialback")]
    Unknown,
    /// `from` or `to` is missing or is no domain.
    #[error("expected a domain in `{0}`, got none")]
    Address(&'static str),
    /// A `db:verify` without a usable `id`.
    #[error("expected a stream id in `id`, got none, or one that is too long")]
    Id,
    /// A key that nobody needs.
    #[error("expected a dialback key of at most 1024 bytes, got a longer one")]
    Key,
}

impl ElementError {
    /// The stream error to answer with.
    #[must_use]
    pub fn stream_error(&self) -> StreamError {
        StreamError::new(match self {
            Self::Unknown => Condition::UnsupportedStanzaType,
            Self::Address(_) => Condition::ImproperAddressing,
            Self::Id => Condition::BadFormat,
            Self::Key => Condition::PolicyViolation,
        })
    }

    /// The section that was violated.
    #[must_use]
    pub const fn source_section(&self) -> &'static str {
        match self {
            Self::Unknown => "RFC 6120 §4.9.3.24",
            Self::Address(_) => "XEP-0220 §2.1.1",
            Self::Id => "XEP-0220 §2.1.2",
            Self::Key => "RFC 6120 §13.12",
        }
    }
}

impl Message {
    /// Reads an element; `None` when it is of another namespace.
    ///
    /// # Errors
    /// [`ElementError`] when it is malformed.
    pub fn read(element: &Element) -> Option<Result<Self, ElementError>> {
        element.has_ns(ns::DIALBACK).then(|| Self::parse(element))
    }

    fn parse(element: &Element) -> Result<Self, ElementError> {
        let domain = |name: &'static str| {
            element
                .attr(name)
                .and_then(|text| Domain::new(text.trim()))
                .ok_or(ElementError::Address(name))
        };
        let key = || Key::read(&element.text()).ok_or(ElementError::Key);
        let id = || {
            element
                .attr("id")
                .and_then(StreamId::new)
                .ok_or(ElementError::Id)
        };
        let verdict = element
            .attr("type")
            .map(|kind| Verdict::read(kind, element));
        match (element.name(), verdict) {
            ("result", None) => Ok(Self::Ask(Ask {
                pair: Pair::new(domain("from")?, domain("to")?),
                key: key()?,
            })),
            ("result", Some(verdict)) => Ok(Self::Answer(Answer {
                pair: Pair::new(domain("to")?, domain("from")?),
                verdict,
            })),
            ("verify", None) => Ok(Self::Verify(Verify {
                pair: Pair::new(domain("to")?, domain("from")?),
                id: id()?,
                key: key()?,
            })),
            ("verify", Some(verdict)) => Ok(Self::Verified(Verified {
                pair: Pair::new(domain("from")?, domain("to")?),
                id: id()?,
                verdict,
            })),
            _ => Err(ElementError::Unknown),
        }
    }

    /// The element as it goes out. The writer of the stream gives it the prefix `db`, if its header declares it
    /// (Openfire OF-2556).
    #[must_use]
    pub fn to_element(&self) -> Element {
        let bare = |name: &str, from: &Domain, to: &Domain| {
            Element::bare(name, ns::DIALBACK)
                .with_attr("from", from.as_str())
                .with_attr("to", to.as_str())
        };
        match self {
            Self::Ask(Ask { pair, key }) => {
                bare("result", &pair.from, &pair.to).with_text(key.expose())
            }
            Self::Answer(Answer { pair, verdict }) => {
                verdict.write(bare("result", &pair.to, &pair.from))
            }
            Self::Verify(Verify { pair, id, key }) => bare("verify", &pair.to, &pair.from)
                .with_attr("id", id.as_str())
                .with_text(key.expose()),
            Self::Verified(Verified { pair, id, verdict }) => {
                verdict.write(bare("verify", &pair.from, &pair.to).with_attr("id", id.as_str()))
            }
        }
    }
}

/// What a peer's stream features say about dialback (XEP-0220 §2.4).
///
/// Dialback itself is announced by the prefix `db` on the stream header; the feature says whether errors are
/// understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Support {
    /// No feature: nothing is said about errors.
    Unannounced,
    /// `<dialback/>` alone.
    Dialback,
    /// `<dialback><errors/></dialback>`.
    Errors,
}

impl Support {
    /// Reads `<stream:features/>`.
    #[must_use]
    pub fn of(features: &Element) -> Self {
        match features.get_child("dialback", ns::DIALBACK_FEATURE) {
            None => Self::Unannounced,
            Some(feature) if feature.has_child("errors", ns::DIALBACK_FEATURE) => Self::Errors,
            Some(_) => Self::Dialback,
        }
    }
}

/// The feature as this crate announces it: errors are understood (XEP-0220 §2.4.2).
#[must_use]
pub fn feature() -> Element {
    Element::bare("dialback", ns::DIALBACK_FEATURE)
        .with_child(Element::bare("errors", ns::DIALBACK_FEATURE))
}
