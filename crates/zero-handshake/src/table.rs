//! Who may send what on one link: every pair of an authorised domain of the peer's and one of ours, and no other
//! (ZH-06, ZH-08 to ZH-10).

use std::collections::BTreeSet;

use minidom::Element;
use onetrip_stream::{
    Build, Condition, Content, Domain, DomainRef, Head, Jid, Stanza, StanzaKind, Text, ns,
};

use crate::{Agreement, Authorised};

/// A stanza that must not go out here; nothing is written. The caller is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Blocked {
    /// A stanza of `jabber:client`.
    #[error("expected a stanza of jabber:server, got one of jabber:client")]
    Content,
    /// `from` or `to` is missing or is no address (ZH-05).
    #[error("expected an address in the stanza's `{0}`, got none")]
    Address(&'static str),
    /// The sender's domain is none of ours.
    #[error("expected a sender of ours, got {0}")]
    From(Domain),
    /// The recipient's domain is none of the peer's on this link.
    #[error("expected a recipient of the peer's on this link, got {0}")]
    To(Domain),
    /// Longer than was agreed (ZH-R5). A stanza that came in may be: the safe form it is kept in can be longer than
    /// what was on the wire.
    #[error("expected a stanza of at most {allowed} bytes, as agreed, got {size}")]
    TooLarge {
        /// Its length in bytes.
        size: usize,
        /// What is allowed.
        allowed: usize,
    },
}

/// A stanza that must not come in here. The peer is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// `from` or `to` is missing or is no address (ZH-05).
    #[error("expected an address in the stanza's `{0}`, got none")]
    Address(&'static str),
    /// The sender's domain is none that the peer speaks for here.
    #[error("expected a sender for whom the peer speaks here, got another")]
    From,
    /// The recipient's domain is none of ours.
    #[error("expected a recipient of ours, got another")]
    To,
}

impl Invalid {
    /// The stream error for it (ZH-11).
    #[must_use]
    pub const fn condition(self) -> Condition {
        match self {
            Self::Address(_) => Condition::ImproperAddressing,
            Self::From => Condition::InvalidFrom,
            Self::To => Condition::HostUnknown,
        }
    }

    /// The section that was violated.
    #[must_use]
    pub const fn source_section(self) -> &'static str {
        match self {
            Self::Address(_) => "ZH-05, RFC 6120 §8.1.1.2",
            Self::From => "ZH-10, RFC 6120 §8.1.2.2",
            Self::To => "ZH-10, RFC 6120 §8.1.1.2",
        }
    }
}

/// The table of one link.
#[derive(Debug)]
pub(crate) struct Table {
    ours: BTreeSet<Domain>,
    theirs: BTreeSet<Domain>,
    /// Who signs what is ours to say.
    main: Option<Domain>,
    allowed: usize,
}

impl Table {
    pub(crate) fn new(agreement: &Agreement, authorised: Authorised) -> Self {
        let ours = &agreement.terms().ours;
        Self {
            ours: ours.iter().cloned().collect(),
            theirs: authorised.theirs,
            main: ours.first().cloned(),
            allowed: agreement.limits().element,
        }
    }

    pub(crate) fn check_outgoing(&self, stanza: &Stanza) -> Result<(), Blocked> {
        let head = stanza.head();
        if head.content != Content::Server {
            return Err(Blocked::Content);
        }
        let from = domain_of(&head.from).ok_or(Blocked::Address("from"))?;
        let to = domain_of(&head.to).ok_or(Blocked::Address("to"))?;
        if !self.ours.contains(from.as_str()) {
            return Err(Blocked::From(from.into_domain()));
        }
        if !self.theirs.contains(to.as_str()) {
            return Err(Blocked::To(to.into_domain()));
        }
        let (size, allowed) = (stanza.bytes().len(), self.allowed);
        if size > allowed {
            return Err(Blocked::TooLarge { size, allowed });
        }
        Ok(())
    }

    pub(crate) fn check_incoming(&self, head: &Head) -> Result<(), Invalid> {
        let from = domain_of(&head.from).ok_or(Invalid::Address("from"))?;
        let to = domain_of(&head.to).ok_or(Invalid::Address("to"))?;
        if !self.theirs.contains(from.as_str()) {
            return Err(Invalid::From);
        }
        if !self.ours.contains(to.as_str()) {
            return Err(Invalid::To);
        }
        Ok(())
    }

    /// The stanza error for a stanza that was refused, in our own name: its `to` is not one of ours, or it would not
    /// have been refused. `None` where nobody may hear of it: the sender is not the peer's, or it was an answer itself
    /// (RFC 6120 §8.3.1).
    pub(crate) fn bounce(&self, head: &Head, why: Invalid) -> Option<Stanza> {
        let to: Jid = head.from.as_ref()?.parse().ok()?;
        if !self.theirs.contains(to.domain()) || is_answer(head) {
            return None;
        }
        let (condition, kind) = match why {
            Invalid::Address(_) => ("jid-malformed", "modify"),
            Invalid::From | Invalid::To => ("item-not-found", "cancel"),
        };
        let error = Element::bare("error", ns::SERVER)
            .with_attr("type", kind)
            .with_child(Element::bare(condition, ns::STANZA_ERRORS));
        let mut bounce = Element::bare(head.kind.name(), ns::SERVER)
            .with_attr("from", self.main.as_ref()?.as_str())
            .with_attr("to", to.to_string())
            .with_attr("type", "error");
        if let Some(id) = &head.id {
            bounce = bounce.with_attr("id", id.as_str());
        }
        let stanza = Stanza::from_element(&bounce.with_child(error)).ok()?;
        self.check_outgoing(&stanza).is_ok().then_some(stanza)
    }
}

/// Whether a stanza is itself an answer, which is never answered.
fn is_answer(head: &Head) -> bool {
    match head.type_.as_deref() {
        Some("error") => true,
        Some("result") => head.kind == StanzaKind::Iq,
        _ => false,
    }
}

fn domain_of(address: &Option<Text>) -> Option<DomainRef<'_>> {
    DomainRef::of(address.as_ref()?)
}
