//! **The stream between the two clients**: who opens it, and who may be named in it (JXS-21 to JXS-24).
//!
//! | end | its header goes out |
//! |---|---|
//! | initiator | when the session is open |
//! | responder, interim text | then as well |
//! | responder, otherwise | behind the initiator's (JXS-R6) |
//!
//! Either header may come first, whatever the text says. The responder's has an id; one of the initiator's is ignored.
//! Where both are of version 1.0 the responder sends `<stream:features/>`, which are empty: with TLS there and both ends
//! known nothing is left to negotiate. The initiator does not wait for them (JXS-R7).

use minidom::Element;
use onetrip_stream::{Condition, Content, Env, Head, Jid, StreamHeader, Version, ns};

use crate::{Dialect, Role, Session};

/// The rules of one end's stream.
///
/// ```
/// # use onetrip_jingle_xmlstream::{Dialect, Role, StreamRules};
/// # use onetrip_stream::{Condition, Content, Stanza};
/// # let romeo = "romeo@montague.lit/orchard".parse().unwrap();
/// # let juliet = "juliet@capulet.lit/balcony".parse().unwrap();
/// let rules = StreamRules::new(Role::Initiator, Dialect::Modern, romeo, juliet);
/// let stanza = |xml: &str| Stanza::parse(xml.as_bytes(), Content::Client).unwrap();
/// let (from, _) = rules.addresses(stanza("<message/>").head()).unwrap();
/// assert_eq!(from.to_string(), "juliet@capulet.lit/balcony");
/// let forged = stanza("<message from='nurse@capulet.lit'/>");
/// assert_eq!(rules.addresses(forged.head()), Err(Condition::InvalidFrom));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRules {
    role: Role,
    dialect: Dialect,
    us: Jid,
    peer: Jid,
}

impl StreamRules {
    /// For this end of a session.
    #[must_use]
    pub fn new(role: Role, dialect: Dialect, us: Jid, peer: Jid) -> Self {
        Self {
            role,
            dialect,
            us,
            peer,
        }
    }

    /// Whether this end's header goes out as soon as the session is open, and not behind the peer's (JXS-21).
    #[must_use]
    pub fn opens_at_once(&self) -> bool {
        self.role == Role::Initiator || self.dialect == Dialect::Interim2009
    }

    /// This end's header: of version 1.0, with both full addresses, and at the responder with an id (JXS-22, JXS-23).
    #[must_use]
    pub fn header(&self, env: &mut Env<'_>) -> StreamHeader {
        let mut header = StreamHeader::new(Content::Client);
        header.from = Some(self.us.clone());
        header.to = Some(self.peer.clone());
        if self.role == Role::Responder {
            header.id = Some(env.random_id());
        }
        header
    }

    /// Checks the peer's header: a client's stream, and addresses, if it has any, full or bare (JXS-22).
    ///
    /// # Errors
    /// The stream error to answer with.
    pub fn check_header(&self, theirs: &StreamHeader) -> Result<(), Condition> {
        if theirs.content != Some(Content::Client) {
            return Err(Condition::InvalidNamespace);
        }
        let from = theirs
            .from
            .as_ref()
            .is_none_or(|from| names(&self.peer, from));
        let to = theirs.to.as_ref().is_none_or(|to| names(&self.us, to));
        match (from, to) {
            (true, true) => Ok(()),
            (false, _) => Err(Condition::InvalidFrom),
            (true, false) => Err(Condition::HostUnknown),
        }
    }

    /// What this end sends behind both headers: the responder's empty features, where the peer is of version 1.0.
    #[must_use]
    pub fn features(&self, theirs: &StreamHeader) -> Option<Element> {
        (self.role == Role::Responder && theirs.version >= Version::V1_0)
            .then(|| Element::bare("features", ns::STREAMS))
    }

    /// From whom and to whom a stanza of the peer's is: what it does not say is what the stream is about, and what it
    /// says must fit that (JXS-24, JXS-R8). Otherwise a peer that was verified could speak for others.
    ///
    /// # Errors
    /// [`Condition::InvalidFrom`], the stream error to answer with.
    pub fn addresses(&self, head: &Head) -> Result<(Jid, Jid), Condition> {
        let named = |said: Option<&str>, known: &Jid| match said.map(str::parse::<Jid>) {
            None => Ok(known.clone()),
            Some(Ok(said)) if names(known, &said) => Ok(said),
            Some(_) => Err(Condition::InvalidFrom),
        };
        Ok((
            named(head.from.as_deref(), &self.peer)?,
            named(head.to.as_deref(), &self.us)?,
        ))
    }
}

impl Session {
    /// The rules of the stream on this session's transport.
    #[must_use]
    pub fn stream_rules(&self) -> StreamRules {
        let (us, peer) = (self.us().clone(), self.peer().clone());
        StreamRules::new(self.role(), self.dialect(), us, peer)
    }
}

/// Whether `said` is this address, full or bare.
fn names(known: &Jid, said: &Jid) -> bool {
    said == known || *said == known.to_bare()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iq::testing::*;
    use onetrip_stream::Stanza;

    fn rules(role: Role, dialect: Dialect) -> StreamRules {
        let (us, peer) = match role {
            Role::Initiator => (romeo(), juliet()),
            Role::Responder => (juliet(), romeo()),
        };
        StreamRules::new(role, dialect, us, peer)
    }

    #[test]
    fn jxs_21_r6_who_opens_the_stream() {
        for dialect in Dialect::ALL {
            assert!(rules(Role::Initiator, dialect).opens_at_once());
            let both = dialect == Dialect::Interim2009;
            assert_eq!(rules(Role::Responder, dialect).opens_at_once(), both);
        }
    }

    #[test]
    fn jxs_22_23_headers_name_both_and_only_the_responders_has_an_id() {
        for role in [Role::Initiator, Role::Responder] {
            let header = at(0, 1, |env| rules(role, Dialect::Modern).header(env));
            let responds = role == Role::Responder;
            assert_eq!(header.id.is_some(), responds);
            assert_eq!(header.version, Version::V1_0);
            assert_eq!(
                rules(role.other(), Dialect::Modern).check_header(&header),
                Ok(())
            );
            assert_eq!(
                rules(role, Dialect::Modern).features(&header).is_some(),
                responds
            );
        }
        let mut old = StreamHeader::new(Content::Client);
        old.version = Version::V0_9;
        assert_eq!(rules(Role::Responder, Dialect::Modern).features(&old), None);
    }

    #[test]
    fn jxs_22_headers_may_name_bare_addresses_or_none_but_nobody_else() {
        let rules = rules(Role::Initiator, Dialect::Modern);
        let mut header = StreamHeader::new(Content::Client);
        assert_eq!(rules.check_header(&header), Ok(()));
        header.from = Some(juliet().to_bare());
        header.to = Some(romeo().to_bare());
        assert_eq!(rules.check_header(&header), Ok(()));
        header.to = "nurse@capulet.lit".parse().ok();
        assert_eq!(rules.check_header(&header), Err(Condition::HostUnknown));
        header.from = "juliet@capulet.lit/chamber".parse().ok();
        assert_eq!(rules.check_header(&header), Err(Condition::InvalidFrom));
        header.content = Some(Content::Server);
        assert_eq!(
            rules.check_header(&header),
            Err(Condition::InvalidNamespace)
        );
    }

    #[test]
    fn jxs_24_r8_stanzas_are_from_the_peer_and_to_us_or_refused() {
        let rules = rules(Role::Responder, Dialect::Modern);
        for (attributes, fits) in [
            ("", true),
            (
                "from='romeo@montague.lit/orchard' to='juliet@capulet.lit/balcony'",
                true,
            ),
            ("from='romeo@montague.lit'", true),
            ("to='juliet@capulet.lit'", true),
            ("from='romeo@montague.lit/other'", false),
            ("from='montague.lit'", false),
            ("from='@'", false),
            ("from=''", false),
            ("to='nurse@capulet.lit'", false),
        ] {
            let text = format!("<message {attributes}/>");
            let stanza = Stanza::parse(text.as_bytes(), Content::Client).unwrap();
            assert_eq!(rules.addresses(stanza.head()).is_ok(), fits, "{attributes}");
        }
    }
}
