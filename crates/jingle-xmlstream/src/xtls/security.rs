//! `<security/>` in every syntax.

use minidom::Element;
use onetrip_stream::{Build as _, ns};

use super::{Fingerprint, Hash};
use crate::Dialect;

/// How the peers prove themselves to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// Certificates: the one that is chosen here (JXS-R11).
    X509,
    /// Passwords; read, never chosen.
    Srp,
    /// Whatever else; read, never chosen.
    Other,
}

impl Method {
    fn from_name(name: &str) -> Self {
        match name {
            "x509" => Self::X509,
            "srp" => Self::Srp,
            _ => Self::Other,
        }
    }
}

/// A `<security/>`: what an end offers, or what was settled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Security {
    /// The fingerprint of the sender's certificate, if it said one.
    pub fingerprint: Option<Fingerprint>,
    /// The methods it names.
    pub methods: Vec<Method>,
}

impl Security {
    /// An offer of certificates, with the fingerprint of ours.
    #[must_use]
    pub fn offer(fingerprint: Fingerprint) -> Self {
        Self {
            fingerprint: Some(fingerprint),
            methods: vec![Method::X509],
        }
    }

    /// What security-info says: certificates it is (JXS-18).
    #[must_use]
    pub fn settled() -> Self {
        Self {
            fingerprint: None,
            methods: vec![Method::X509],
        }
    }

    /// Whether certificates are among what is offered. A fingerprint speaks for them.
    #[must_use]
    pub fn has_x509(&self) -> bool {
        self.methods.contains(&Method::X509) || self.fingerprint.is_some()
    }

    /// Reads the `<security/>` in a `<content/>`, in whichever syntax: `method` as attribute or child (JXS-R5),
    /// `<offer/>` inside of it or beside it (JXS-R4).
    #[must_use]
    pub fn read(content: &Element) -> Option<Self> {
        let element = content.get_child("security", ns::XTLS)?;
        let mut security = Self::default();
        let attribute = element.attr("method").map(Method::from_name);
        security.methods.extend(attribute);
        for child in element.children().take(16) {
            match child.name() {
                "fingerprint" if child.has_ns(ns::XTLS) => {
                    security.fingerprint = Fingerprint::read(child.attr("algo"), &child.text());
                }
                "method" if child.has_ns(ns::XTLS) => {
                    security
                        .methods
                        .extend(child.attr("name").map(Method::from_name));
                }
                _ => {}
            }
        }
        let inside = element.get_child("offer", ns::C2C_TLS);
        if let Some(offer) = inside.or_else(|| content.get_child("offer", ns::C2C_TLS)) {
            let name = offer
                .get_child("keyinfo", ns::PUBKEY)
                .and_then(|keys| keys.get_child("name", ns::PUBKEY));
            security.fingerprint = name.and_then(|name| Fingerprint::read(None, &name.text()));
            let srp = offer.get_child("srp", ns::C2C_TLS).map(|_| Method::Srp);
            security.methods.extend(srp);
        }
        Some(security)
    }

    /// The element as a dialect has it.
    #[must_use]
    pub fn to_element(&self, dialect: Dialect) -> Element {
        let mut element = Element::bare("security", ns::XTLS);
        match (dialect, &self.fingerprint) {
            (Dialect::Interim2009, Some(fingerprint)) => {
                let name = Element::bare("name", ns::PUBKEY).with_text(fingerprint.digits());
                let keys = Element::bare("keyinfo", ns::PUBKEY).with_child(name);
                return element.with_child(Element::bare("offer", ns::C2C_TLS).with_child(keys));
            }
            (Dialect::Interim2009, None) => return element.with_attr("method", "x509"),
            (_, Some(fingerprint)) => {
                let algo = match fingerprint.hash() {
                    Hash::Sha256 => "sha-256",
                    Hash::Sha1 => "sha-1",
                };
                let child = Element::bare("fingerprint", ns::XTLS)
                    .with_attr("algo", algo)
                    .with_text(fingerprint.digits());
                element.append_child(child);
            }
            (_, None) => {}
        }
        element.with_child(Element::bare("method", ns::XTLS).with_attr("name", "x509"))
    }
}
