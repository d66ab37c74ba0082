//! The three texts of XEP-0247, and which of them a peer speaks (digest §2.5, JXS-R1).

use minidom::Element;
use onetrip_stream::ns;

use crate::s5b::Form;

/// Which text is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Dialect {
    /// The interim text 0.2 of February 2009: `urn:xmpp:jingle:0`, a temporary namespace of its own.
    Interim2009,
    /// The published text 0.2: `urn:xmpp:jingle:0`, the final namespace.
    Published2009,
    /// The published names on the Jingle of today, `urn:xmpp:jingle:1`.
    #[default]
    Modern,
}

impl Dialect {
    /// All of them, the one to prefer first.
    pub const ALL: [Self; 3] = [Self::Modern, Self::Published2009, Self::Interim2009];

    /// The namespace of `<jingle/>`.
    #[must_use]
    pub const fn jingle(self) -> &'static str {
        match self {
            Self::Interim2009 | Self::Published2009 => ns::JINGLE_0,
            Self::Modern => ns::JINGLE_1,
        }
    }

    /// The namespace of Jingle's error conditions.
    #[must_use]
    pub const fn errors(self) -> &'static str {
        match self {
            Self::Interim2009 | Self::Published2009 => ns::JINGLE_ERRORS_0,
            Self::Modern => ns::JINGLE_ERRORS_1,
        }
    }

    /// The namespace of `<description/>`.
    #[must_use]
    pub const fn application(self) -> &'static str {
        match self {
            Self::Interim2009 => ns::XMLSTREAM_INTERIM,
            Self::Published2009 | Self::Modern => ns::XMLSTREAM,
        }
    }

    /// The form of SOCKS5 bytestreams.
    #[must_use]
    pub const fn s5b(self) -> Form {
        match self {
            Self::Interim2009 | Self::Published2009 => Form::Streamhosts,
            Self::Modern => Form::Candidates,
        }
    }

    /// The namespace of in-band bytestreams.
    #[must_use]
    pub const fn ibb(self) -> &'static str {
        match self {
            Self::Interim2009 | Self::Published2009 => ns::JINGLE_IBB_0,
            Self::Modern => ns::JINGLE_IBB_1,
        }
    }

    /// Whether in-band bytestreams begin with `<open/>`.
    #[must_use]
    pub const fn opens_ibb(self) -> bool {
        matches!(self, Self::Modern)
    }

    /// Which text a `<jingle/>` is written in, by its namespace and that of its first `<description/>`.
    #[must_use]
    pub fn detect(jingle: &Element) -> Option<Self> {
        let description = jingle
            .children()
            .flat_map(Element::children)
            .find(|child| child.name() == "description")?;
        Self::ALL.into_iter().find(|dialect| {
            jingle.has_ns(dialect.jingle()) && description.has_ns(dialect.application())
        })
    }
}

/// What a peer announced that it supports (XEP-0030, XEP-0115), to be asked before a session is begun (JXS-02).
///
/// ```
/// # use onetrip_jingle_xmlstream::{Capabilities, Dialect};
/// let peer = Capabilities::read([
///     "urn:xmpp:jingle:1",
///     "urn:xmpp:jingle:apps:xmlstream:0",
///     "urn:xmpp:jingle:transports:ibb:1",
///     "urn:xmpp:jingle:security:xtls:0",
/// ]);
/// assert_eq!(peer.dialect(), Some(Dialect::Modern));
/// assert!(!peer.has_s5b(Dialect::Modern));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capabilities {
    features: Vec<&'static str>,
}

/// Every feature that is looked for.
const FEATURES: [&str; 9] = [
    ns::JINGLE_0,
    ns::JINGLE_1,
    ns::XMLSTREAM_INTERIM,
    ns::XMLSTREAM,
    ns::JINGLE_S5B_0,
    ns::JINGLE_S5B_1,
    ns::JINGLE_IBB_0,
    ns::JINGLE_IBB_1,
    ns::XTLS,
];

impl Capabilities {
    /// From the names of features; those that do not matter here are not kept.
    #[must_use]
    pub fn read<'a>(features: impl IntoIterator<Item = &'a str>) -> Self {
        let known = |name: &str| FEATURES.into_iter().find(|feature| *feature == name);
        let mut features: Vec<&'static str> = features.into_iter().filter_map(known).collect();
        features.sort_unstable();
        features.dedup();
        Self { features }
    }

    /// What this crate supports in a dialect, to be announced.
    #[must_use]
    pub fn ours(dialect: Dialect) -> [&'static str; 5] {
        [
            dialect.jingle(),
            dialect.application(),
            dialect.s5b().namespace(),
            dialect.ibb(),
            ns::XTLS,
        ]
    }

    fn has(&self, feature: &str) -> bool {
        self.features.contains(&feature)
    }

    /// The best dialect that the peer has all of: Jingle, the application, and in-band bytestreams, which are mandatory
    /// (JXS-25).
    #[must_use]
    pub fn dialect(&self) -> Option<Dialect> {
        Dialect::ALL
            .into_iter()
            .find(|dialect| self.speaks(*dialect))
    }

    /// Whether the peer speaks this dialect.
    #[must_use]
    pub fn speaks(&self, dialect: Dialect) -> bool {
        [dialect.jingle(), dialect.application(), dialect.ibb()]
            .iter()
            .all(|feature| self.has(feature))
    }

    /// Whether the peer has SOCKS5 bytestreams in the form of this dialect.
    #[must_use]
    pub fn has_s5b(&self, dialect: Dialect) -> bool {
        self.has(dialect.s5b().namespace())
    }

    /// Whether the peer has TLS on Jingle transports.
    #[must_use]
    pub fn has_xtls(&self) -> bool {
        self.has(ns::XTLS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jxs_r1_the_dialect_is_detected_by_both_namespaces() {
        for dialect in Dialect::ALL {
            let jingle = format!(
                "<jingle xmlns='{}'><content><description xmlns='{}'/></content></jingle>",
                dialect.jingle(),
                dialect.application()
            );
            assert_eq!(Dialect::detect(&jingle.parse().unwrap()), Some(dialect));
        }
        let stub = "<jingle xmlns='urn:xmpp:jingle:0'><content>\
                    <description xmlns='urn:xmpp:jingle:apps:stub:0'/></content></jingle>";
        assert_eq!(Dialect::detect(&stub.parse().unwrap()), None);
    }

    #[test]
    fn jxs_02_25_a_dialect_is_spoken_with_everything_that_is_mandatory() {
        for dialect in Dialect::ALL {
            let ours = Capabilities::ours(dialect);
            let all = Capabilities::read(ours);
            assert!(all.speaks(dialect) && all.has_s5b(dialect) && all.has_xtls());
            for missing in [ours[0], ours[1], ours[3]] {
                let rest = ours.into_iter().filter(|feature| *feature != missing);
                assert_eq!(Capabilities::read(rest).dialect(), None, "{missing}");
            }
        }
    }
}
