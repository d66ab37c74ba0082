//! The elements of XEP-0198, read and written.

use core::fmt::{self, Write};

use minidom::Element;
use onetrip_stream::{Build as _, Condition, StreamError, ns};

use crate::{Count, TooHigh};

/// The feature (XEP-0198 §2).
#[must_use]
pub fn feature() -> Element {
    Element::bare("sm", ns::STREAM_MANAGEMENT)
}

/// The longest session id, in bytes (XEP-0198 §5).
const MAX_ID: usize = 4000;

/// What a session was granted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Granted {
    /// The name of the session, if it may be resumed.
    pub id: Option<String>,
    /// For how many seconds behind the end of the connection.
    pub max: Option<u32>,
    /// Where to reconnect, if the server prefers a place.
    pub location: Option<String>,
}

/// An element of the namespace `urn:xmpp:sm:3`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Nonza {
    /// `<enable/>`.
    Enable {
        /// Whether resumption is wanted.
        resume: bool,
        /// For how long, in seconds.
        max: Option<u32>,
    },
    /// `<enabled/>`.
    Enabled(Granted),
    /// `<resume/>`.
    Resume {
        /// The session.
        previd: String,
        /// What the sender has handled.
        h: Count,
    },
    /// `<resumed/>`.
    Resumed {
        /// The session.
        previd: String,
        /// What the sender has handled.
        h: Count,
    },
    /// `<failed/>`.
    Failed {
        /// What the sender has handled, if it still knows.
        h: Option<Count>,
        /// The stanza error condition, such as `item-not-found`.
        condition: Option<String>,
    },
    /// `<r/>`.
    Request,
    /// `<a/>`.
    Ack(Count),
}

/// A malformed element of stream management.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NonzaError {
    /// No element of the namespace by this name.
    #[error("expected an element of stream management, got an unknown one of its namespace")]
    Unknown,
    /// An attribute that must be there is missing or malformed.
    #[error("expected a well-formed `{0}`, got none or a malformed one")]
    Attribute(&'static str),
}

/// A request or an acknowledgement as it goes out.
///
/// ```
/// # use onetrip_stream_management::{Count, Nonza};
/// let ack = Nonza::Ack(Count::new(u32::MAX)).short().unwrap();
/// assert_eq!(ack.as_ref(), b"<a xmlns='urn:xmpp:sm:3' h='4294967295'/>");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Short {
    bytes: [u8; 48],
    length: usize,
}

impl Default for Short {
    fn default() -> Self {
        Self {
            bytes: [0; 48],
            length: 0,
        }
    }
}

impl AsRef<[u8]> for Short {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length.saturating_add(text.len());
        let room = self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

impl Nonza {
    /// Reads an element; `None` when it is of another namespace.
    ///
    /// # Errors
    /// [`NonzaError`] when it is malformed.
    pub fn read(element: &Element) -> Option<Result<Self, NonzaError>> {
        element
            .has_ns(ns::STREAM_MANAGEMENT)
            .then(|| Self::parse(element))
    }

    fn parse(element: &Element) -> Result<Self, NonzaError> {
        let h = || element.attr("h").and_then(Count::read);
        let seconds = || element.attr("max").and_then(Count::read).map(Count::value);
        // Both forms of xs:boolean (Prosody 01e03f483).
        let resume = || matches!(element.attr("resume"), Some("true" | "1"));
        let id = |name: &'static str| {
            element
                .attr(name)
                .filter(|id| !id.is_empty() && id.len() <= MAX_ID)
                .map(str::to_owned)
        };
        match element.name() {
            "enable" => Ok(Self::Enable {
                resume: resume(),
                max: seconds(),
            }),
            "enabled" => Ok(Self::Enabled(Granted {
                id: id("id").filter(|_| resume()),
                max: seconds(),
                location: element.attr("location").map(str::to_owned),
            })),
            "resume" | "resumed" => {
                let previd = id("previd").ok_or(NonzaError::Attribute("previd"))?;
                let h = h().ok_or(NonzaError::Attribute("h"))?;
                Ok(if element.name() == "resume" {
                    Self::Resume { previd, h }
                } else {
                    Self::Resumed { previd, h }
                })
            }
            "failed" => {
                let condition = element
                    .children()
                    .find(|child| child.has_ns(ns::STANZA_ERRORS) && child.name() != "text")
                    .map(|child| child.name().to_owned());
                Ok(Self::Failed { h: h(), condition })
            }
            "r" => Ok(Self::Request),
            "a" => h().map(Self::Ack).ok_or(NonzaError::Attribute("h")),
            _ => Err(NonzaError::Unknown),
        }
    }

    /// The two that go along with stanzas, as they go out: no tree is built for them, and nothing allocated.
    #[must_use]
    pub fn short(&self) -> Option<Short> {
        let mut short = Short::default();
        let written = match self {
            Self::Request => short.write_str("<r xmlns='urn:xmpp:sm:3'/>"),
            Self::Ack(h) => write!(short, "<a xmlns='urn:xmpp:sm:3' h='{h}'/>"),
            _ => return None,
        };
        written.ok().map(|()| short)
    }

    /// The element as it goes out.
    #[must_use]
    pub fn to_element(&self) -> Element {
        let bare = |name: &str| Element::bare(name, ns::STREAM_MANAGEMENT);
        let max = |element: Element, max: &Option<u32>| match max {
            Some(max) => element.with_attr("max", max.to_string()),
            None => element,
        };
        match self {
            Self::Enable {
                resume,
                max: seconds,
            } => {
                let element = if *resume {
                    bare("enable").with_attr("resume", "true")
                } else {
                    bare("enable")
                };
                max(element, seconds)
            }
            Self::Enabled(granted) => {
                let mut element = bare("enabled");
                if let Some(id) = &granted.id {
                    element = element
                        .with_attr("id", id.as_str())
                        .with_attr("resume", "true");
                }
                if let Some(location) = &granted.location {
                    element = element.with_attr("location", location.as_str());
                }
                max(element, &granted.max)
            }
            Self::Resume { previd, h } => bare("resume")
                .with_attr("previd", previd.as_str())
                .with_attr("h", h.to_string()),
            Self::Resumed { previd, h } => bare("resumed")
                .with_attr("previd", previd.as_str())
                .with_attr("h", h.to_string()),
            Self::Failed { h, condition } => {
                let mut element = bare("failed");
                if let Some(h) = h {
                    element = element.with_attr("h", h.to_string());
                }
                match condition {
                    Some(condition) => {
                        element.with_child(Element::bare(condition.as_str(), ns::STANZA_ERRORS))
                    }
                    None => element,
                }
            }
            Self::Request => bare("r"),
            Self::Ack(h) => bare("a").with_attr("h", h.to_string()),
        }
    }
}

impl TooHigh {
    /// The stream error for it (XEP-0198 §6).
    #[must_use]
    pub fn stream_error(&self) -> StreamError {
        let detail = Element::bare("handled-count-too-high", ns::STREAM_MANAGEMENT)
            .with_attr("h", self.h.to_string())
            .with_attr("send-count", self.sent.to_string());
        StreamError::new(Condition::UndefinedCondition).with_application(detail)
    }
}
