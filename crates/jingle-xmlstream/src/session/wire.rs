//! `<jingle/>` as far as this application needs it.

use minidom::Element;
use onetrip_stream::{Build as _, Jid};

use super::Reason;
use crate::iq::number;
use crate::xtls::Security;
use crate::{Dialect, Refusal, Role, s5b};

macro_rules! verbs {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// What a `<jingle/>` asks for (XEP-0166 §7.2).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Verb {
            $($(#[$doc])* $variant,)+
        }

        impl Verb {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name on the wire.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

verbs! {
    /// Contents are agreed to.
    ContentAccept = "content-accept",
    /// Contents are added.
    ContentAdd = "content-add",
    /// Contents are changed.
    ContentModify = "content-modify",
    /// Contents are refused.
    ContentReject = "content-reject",
    /// Contents are taken away.
    ContentRemove = "content-remove",
    /// Something about the application.
    DescriptionInfo = "description-info",
    /// Something about security. Not in `urn:xmpp:jingle:0` as published, but in both texts that use it.
    SecurityInfo = "security-info",
    /// The session is agreed to.
    SessionAccept = "session-accept",
    /// Something about the session; empty, it is a ping.
    SessionInfo = "session-info",
    /// A session is asked for.
    SessionInitiate = "session-initiate",
    /// The session is over.
    SessionTerminate = "session-terminate",
    /// Another transport is agreed to.
    TransportAccept = "transport-accept",
    /// Something about the transport.
    TransportInfo = "transport-info",
    /// Another transport is refused.
    TransportReject = "transport-reject",
    /// Another transport is asked for.
    TransportReplace = "transport-replace",
}

/// A transport as a content names it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportElement {
    /// SOCKS5 bytestreams.
    S5b(s5b::Transport),
    /// In-band bytestreams.
    Ibb {
        /// The sid of the bytestream.
        sid: String,
        /// The most bytes of one chunk.
        block_size: u16,
    },
    /// One that is not supported, or cannot be read.
    Other,
}

impl TransportElement {
    fn read(content: &Element, dialect: Dialect, sender: &Jid) -> Option<Self> {
        let element = content
            .children()
            .find(|child| child.name() == "transport")?;
        if element.has_ns(dialect.ibb()) {
            let size = element.attr("block-size").map_or(Some(4096), number);
            let sid = element.attr("sid").filter(|sid| !sid.is_empty());
            return Some(match (sid, size) {
                (Some(sid), Some(block_size @ 1..)) => Self::Ibb {
                    sid: sid.to_owned(),
                    block_size,
                },
                _ => Self::Other,
            });
        }
        let transport = s5b::Transport::read(element, sender)
            .filter(|transport| transport.form == dialect.s5b() && !transport.udp);
        Some(transport.map_or(Self::Other, Self::S5b))
    }

    fn to_element(&self, dialect: Dialect, from: Role) -> Option<Element> {
        match self {
            Self::S5b(transport) => Some(transport.to_element(from == Role::Initiator)),
            Self::Ibb { sid, block_size } => Some(
                Element::bare("transport", dialect.ibb())
                    .with_attr("sid", sid)
                    .with_attr("block-size", block_size.to_string()),
            ),
            Self::Other => None,
        }
    }
}

/// One `<content/>`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Content {
    /// Who created it.
    pub creator: Role,
    /// Its name.
    pub name: String,
    /// Whether there is a `<description/>` of this application; `Some(false)` for one of another (JXS-R3).
    pub described: Option<bool>,
    /// Its transport.
    pub transport: Option<TransportElement>,
    /// Its security.
    pub security: Option<Security>,
}

impl Content {
    fn read(element: &Element, dialect: Dialect, sender: &Jid) -> Option<Self> {
        let description = element
            .children()
            .find(|child| child.name() == "description");
        Some(Self {
            creator: match element.attr("creator")? {
                "initiator" => Role::Initiator,
                "responder" => Role::Responder,
                _ => return None,
            },
            name: element.attr("name")?.to_owned(),
            described: description.map(|one| one.has_ns(dialect.application())),
            transport: TransportElement::read(element, dialect, sender),
            security: Security::read(element),
        })
    }

    fn to_element(&self, dialect: Dialect, from: Role) -> Element {
        let mut element = Element::bare("content", dialect.jingle())
            .with_attr("creator", self.creator.name())
            .with_attr("name", &self.name);
        if self.described == Some(true) {
            // Empty: no parameters were ever defined (JXS-04, JXS-29).
            element.append_child(Element::bare("description", dialect.application()));
        }
        let transport = self.transport.as_ref();
        let transport = transport.and_then(|one| one.to_element(dialect, from));
        let security = self.security.as_ref().map(|one| one.to_element(dialect));
        for child in [transport, security].into_iter().flatten() {
            element.append_child(child);
        }
        element
    }
}

/// A `<jingle/>`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Jingle {
    /// What it asks for.
    pub verb: Verb,
    /// The sid of the session.
    pub sid: String,
    /// Who began the session, if it says so.
    pub initiator: Option<Jid>,
    /// Who accepted it, if it says so.
    pub responder: Option<Jid>,
    /// Its contents; those that cannot be read are left out.
    pub contents: Vec<Content>,
    /// Why the session ends, in session-terminate.
    pub reason: Option<Reason>,
    /// Whether a session-info says anything.
    pub has_payload: bool,
}

impl Jingle {
    /// One that says nothing yet.
    #[must_use]
    pub fn new(verb: Verb, sid: impl Into<String>) -> Self {
        Self {
            verb,
            sid: sid.into(),
            initiator: None,
            responder: None,
            contents: Vec::new(),
            reason: None,
            has_payload: false,
        }
    }

    /// Reads an element of `dialect`.
    ///
    /// # Errors
    /// [`Refusal::BadRequest`] when it has no action or an unknown one, no sid, or addresses that are none (JXS-R2).
    pub fn read(element: &Element, dialect: Dialect, sender: &Jid) -> Result<Self, Refusal> {
        let verb = element.attr("action").and_then(|name| {
            let mut verbs = Verb::ALL.iter().copied();
            verbs.find(|verb| verb.name() == name)
        });
        let sid = element.attr("sid").filter(|sid| !sid.is_empty());
        let (Some(verb), Some(sid)) = (verb, sid) else {
            return Err(Refusal::BadRequest);
        };
        let address = |name: &str| match element.attr(name).map(str::parse::<Jid>) {
            None => Ok(None),
            Some(Ok(jid)) => Ok(Some(jid)),
            Some(Err(_)) => Err(Refusal::BadRequest),
        };
        let mut jingle = Self::new(verb, sid);
        jingle.initiator = address("initiator")?;
        jingle.responder = address("responder")?;
        jingle.has_payload = element.children().next().is_some();
        for child in element
            .children()
            .filter(|child| child.has_ns(dialect.jingle()))
        {
            if child.name() == "content" && jingle.contents.len() < 8 {
                jingle
                    .contents
                    .extend(Content::read(child, dialect, sender));
            } else if child.name() == "reason" {
                let name = child.children().find(|child| child.name() != "text");
                jingle.reason =
                    Some(name.map_or(Reason::GeneralError, |name| Reason::from_name(name.name())));
            }
        }
        Ok(jingle)
    }

    /// The element as a dialect has it.
    #[must_use]
    pub fn to_element(&self, dialect: Dialect, from: Role) -> Element {
        let mut element = Element::bare("jingle", dialect.jingle())
            .with_attr("action", self.verb.name())
            .with_attr("sid", &self.sid);
        if let Some(initiator) = &self.initiator {
            element = element.with_attr("initiator", initiator.to_string());
        }
        if let Some(responder) = &self.responder {
            element = element.with_attr("responder", responder.to_string());
        }
        for content in &self.contents {
            element.append_child(content.to_element(dialect, from));
        }
        if let Some(reason) = self.reason {
            let why = Element::bare(reason.in_dialect(dialect).name(), dialect.jingle());
            element.append_child(Element::bare("reason", dialect.jingle()).with_child(why));
        }
        element
    }
}
