//! The stream header: what both ends say first (RFC 6120 §4.7, §4.8).

use std::borrow::Cow;

use crate::scan::Start;
use crate::{Jid, ReadErrorKind, ns};

/// Who talks to whom: the content namespace of a stream (RFC 6120 §4.8.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Content {
    /// `jabber:client`.
    Client,
    /// `jabber:server`.
    Server,
}

impl Content {
    /// The namespace name.
    #[must_use]
    pub const fn namespace(self) -> &'static str {
        match self {
            Self::Client => ns::CLIENT,
            Self::Server => ns::SERVER,
        }
    }

    /// Reads a namespace name.
    #[must_use]
    pub fn from_namespace(namespace: &str) -> Option<Self> {
        Self::from_bytes(namespace.as_bytes())
    }

    /// The same of what has not been taken for text yet.
    pub(crate) fn from_bytes(namespace: &[u8]) -> Option<Self> {
        [Self::Client, Self::Server]
            .into_iter()
            .find(|content| content.namespace().as_bytes() == namespace)
    }
}

/// A stream version, compared as two integers (RFC 6120 §4.7.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Before the dot.
    pub major: u16,
    /// Behind the dot.
    pub minor: u16,
}

impl Version {
    /// `1.0`, what this crate speaks.
    pub const V1_0: Self = Self { major: 1, minor: 0 };
    /// `0.9`, what a header without `version` means (RFC 6120 §4.7.5).
    pub const V0_9: Self = Self { major: 0, minor: 9 };

    fn read(text: &str) -> Option<Self> {
        let number = |part: &str| {
            part.bytes()
                .all(|b| b.is_ascii_digit())
                .then(|| part.parse().ok())
                .flatten()
        };
        let (major, minor) = text.split_once('.')?;
        Some(Self {
            major: number(major)?,
            minor: number(minor)?,
        })
    }
}

/// A stream header, as read or as to be written.
///
/// ```
/// # use onetrip_stream::{Content, StreamHeader};
/// let mut header = StreamHeader::new(Content::Client);
/// header.to = "im.example.com".parse().ok();
/// assert_eq!(header.version, onetrip_stream::Version::V1_0);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamHeader {
    /// The default namespace; `None` when the header leaves it to each element (RFC 6120 §4.8.5).
    pub content: Option<Content>,
    /// The sender.
    pub from: Option<Jid>,
    /// The one it is meant for.
    pub to: Option<Jid>,
    /// The stream id, from the receiving entity only (RFC 6120 §4.7.3).
    pub id: Option<String>,
    /// The default language of the stream (RFC 6120 §4.7.4).
    pub lang: Option<String>,
    /// The version; [`Version::V0_9`] when none was given.
    pub version: Version,
    /// Whether the prefix `db` is bound to the dialback namespace (XEP-0220 §2.2).
    pub dialback: bool,
}

impl StreamHeader {
    /// A header of version 1.0 without addresses.
    #[must_use]
    pub fn new(content: Content) -> Self {
        Self {
            content: Some(content),
            from: None,
            to: None,
            id: None,
            lang: None,
            version: Version::V1_0,
            dialback: false,
        }
    }

    /// Reads the root element's start tag.
    pub(crate) fn from_start(start: &Start<'_>) -> Result<Self, ReadErrorKind> {
        let (namespace, name) = start.key();
        if name != b"stream" {
            return Err(ReadErrorKind::NotAStream);
        }
        if namespace != ns::STREAMS.as_bytes() {
            return Err(ReadErrorKind::StreamNamespace);
        }
        let content = match start.means("") {
            None | Some(b"") => None,
            Some(namespace) if namespace == ns::STREAMS.as_bytes() => None,
            Some(namespace) => {
                let unknown = ReadErrorKind::ContentNamespace {
                    expected: "jabber:client or jabber:server",
                };
                Some(Content::from_bytes(namespace).ok_or(unknown)?)
            }
        };
        let [mut version, mut from, mut to, mut id, mut lang] = [const { None }; 5];
        for attribute in start.attributes() {
            let value = attribute.value();
            let place = match attribute.key() {
                (namespace, b"lang") if namespace == ns::XML.as_bytes() => &mut lang,
                // Empty counts as absent, since servers in the field send `id=''`.
                _ if value.is_empty() => continue,
                (b"", b"version") => &mut version,
                (b"", b"from") => &mut from,
                (b"", b"to") => &mut to,
                (b"", b"id") => &mut id,
                _ => continue,
            };
            *place = Some(value);
        }
        let version = match version {
            None => Version::V0_9,
            Some(version) => Version::read(&version).ok_or(ReadErrorKind::Version)?,
        };
        Ok(Self {
            content,
            from: address(from, "from")?,
            to: address(to, "to")?,
            id: id.map(Cow::into_owned),
            lang: lang.map(Cow::into_owned),
            version,
            dialback: start.means("db") == Some(ns::DIALBACK.as_bytes()),
        })
    }
}

fn address(
    value: Option<Cow<'_, str>>,
    attribute: &'static str,
) -> Result<Option<Jid>, ReadErrorKind> {
    let address = value.map(|value| value.parse()).transpose();
    address.map_err(|_| ReadErrorKind::Address { attribute })
}
