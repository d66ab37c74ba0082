//! **The gate before TLS** (Jingle XTLS): what is offered, when the handshake may begin, and what it proved.
//!
//! ```text
//! <security xmlns='urn:xmpp:jingle:security:xtls:0'>
//!   <fingerprint algo='sha-256'>…</fingerprint><method name='x509'/>
//! </security>
//! ```
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | neither | [`Gate::transport_ready`], [`Gate::agreed`] | the one that is there waits for the other (JXS-19) |
//! | ready, agreed | the other one | handshake: [`Opened`] |
//! | handshake | [`Gate::established`] | secured, with a [`Verification`]; failed |
//!
//! The initiator is the TLS client; the responder is the TLS server and asks for a certificate (JXS-20).
//!
//! The fingerprints came over the very servers that they are to protect against. Who knows the peer's by other means
//! gives it in as a pin; then nothing else will do. [`Verification::Announced`] says that TLS ended at the one who
//! wrote the signalling, and no more.

use minidom::Element;
use onetrip_stream::{Build as _, ns};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use crate::hex::hex;
use crate::{Dialect, Role};

/// Which hash a fingerprint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hash {
    /// SHA-256, what is written.
    Sha256,
    /// SHA-1, what the interim text has; read as a fingerprint only by policy.
    Sha1,
}

/// The hash of a certificate, as lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    hash: Hash,
    digits: String,
}

impl Fingerprint {
    /// Of a certificate in DER.
    ///
    /// ```
    /// # use onetrip_jingle_xmlstream::xtls::{Fingerprint, Hash};
    /// let ours = Fingerprint::of(b"certificate", Hash::Sha256);
    /// let typed = Fingerprint::read(Some("SHA-256"), &ours.digits().to_uppercase()).unwrap();
    /// assert!(typed.matches(b"certificate"));
    /// ```
    #[must_use]
    pub fn of(certificate: &[u8], hash: Hash) -> Self {
        let digits = match hash {
            Hash::Sha256 => hex(&Sha256::digest(certificate)),
            Hash::Sha1 => hex(&Sha1::digest(certificate)),
        };
        Self { hash, digits }
    }

    /// Reads digits in any case, with colons and white space between them (JXS-R9). Without `algo`, by their number.
    /// `None` for a hash that is not known, or another number of digits than it has.
    #[must_use]
    pub fn read(algo: Option<&str>, text: &str) -> Option<Self> {
        let digits: String = text
            .chars()
            .filter(|c| *c != ':' && !c.is_ascii_whitespace())
            .map(|c| c.to_ascii_lowercase())
            .take(65)
            .collect();
        let hash = match (algo.map(str::to_ascii_lowercase).as_deref(), digits.len()) {
            (None | Some("sha-256" | "sha256"), 64) => Hash::Sha256,
            (None | Some("sha-1" | "sha1"), 40) => Hash::Sha1,
            _ => return None,
        };
        let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        hexadecimal.then_some(Self { hash, digits })
    }

    /// Which hash it is.
    #[must_use]
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// The digits.
    #[must_use]
    pub fn digits(&self) -> &str {
        &self.digits
    }

    /// Whether it is the fingerprint of this certificate.
    #[must_use]
    pub fn matches(&self, certificate: &[u8]) -> bool {
        Self::of(certificate, self.hash) == *self
    }
}

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

/// What is demanded of the peer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Policy {
    /// Fingerprints of the peer's that are known by other means. If there are any, nothing else will do.
    pub pins: Vec<Fingerprint>,
    /// Whether SHA-1 counts as a fingerprint, as in the interim text (JXS-R9). Default: no.
    pub allow_sha1_fingerprint: bool,
    /// Whether any certificate will do when there is no fingerprint at all. Default: no.
    pub allow_unannounced: bool,
    /// Whether a session without TLS will do (JXS-R10). Default: no.
    pub allow_insecure: bool,
}

/// What the handshake proved about the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verification {
    /// Nothing: there was no fingerprint to compare with.
    Unannounced,
    /// Unverified: it is the one that the signalling announced, and the signalling proves nothing.
    Announced,
    /// It is the one that was known.
    Pinned,
}

/// TLS may begin, in this role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlsRole {
    /// Write the ClientHello.
    Client,
    /// Wait for it, and ask for a certificate.
    Server,
}

/// Both conditions are met: begin the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use = "the peer waits for the handshake"]
pub struct Opened(pub TlsRole);

/// The peer is not the one. The session ends with `security-error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum XtlsError {
    /// There is no `<security/>` (JXS-R10).
    #[error("no security was offered")]
    Stripped,
    /// Certificates are not among the methods (JXS-R11).
    #[error("no method in common")]
    Method,
    /// There is no fingerprint to compare with.
    #[error("no fingerprint that counts")]
    NoFingerprint,
    /// The handshake failed, or brought no certificate.
    #[error("the handshake failed")]
    Handshake,
    /// The certificate is another one.
    #[error("the certificate is another one")]
    Mismatch,
    /// Something came that was not due.
    #[error("out of order")]
    OutOfOrder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Neither,
    Ready,
    Agreed,
    Handshake,
    Over,
}

/// The gate of one session at one end.
///
/// ```
/// # use onetrip_jingle_xmlstream::{Role, xtls::*};
/// let announced = Security::offer(Fingerprint::of(b"certificate", Hash::Sha256));
/// let mut gate = Gate::new(Policy::default(), Role::Initiator, Some(&announced)).unwrap();
/// assert_eq!(gate.transport_ready(), None);
/// assert_eq!(gate.agreed(), Some(Opened(TlsRole::Client)));
/// assert_eq!(gate.established(Some(b"certificate")), Ok(Verification::Announced));
/// ```
#[derive(Debug)]
pub struct Gate {
    policy: Policy,
    role: Role,
    announced: Option<Fingerprint>,
    state: State,
}

impl Gate {
    /// For what the peer offers.
    ///
    /// # Errors
    /// [`XtlsError`] when that will not do.
    pub fn new(policy: Policy, role: Role, theirs: Option<&Security>) -> Result<Self, XtlsError> {
        let theirs = theirs.ok_or(XtlsError::Stripped)?;
        if !theirs.has_x509() {
            return Err(XtlsError::Method);
        }
        let counts = |fingerprint: &&Fingerprint| {
            fingerprint.hash() == Hash::Sha256 || policy.allow_sha1_fingerprint
        };
        let announced = theirs.fingerprint.as_ref().filter(counts).cloned();
        if announced.is_none() && policy.pins.is_empty() && !policy.allow_unannounced {
            return Err(XtlsError::NoFingerprint);
        }
        Ok(Self {
            policy,
            role,
            announced,
            state: State::Neither,
        })
    }

    /// The transport passes bytes.
    pub fn transport_ready(&mut self) -> Option<Opened> {
        match self.state {
            State::Neither => {
                self.state = State::Ready;
                None
            }
            State::Agreed => Some(self.open()),
            _ => None,
        }
    }

    /// security-info is acknowledged: the peer's answer has arrived, or this end has given it.
    pub fn agreed(&mut self) -> Option<Opened> {
        match self.state {
            State::Neither => {
                self.state = State::Agreed;
                None
            }
            State::Ready => Some(self.open()),
            _ => None,
        }
    }

    fn open(&mut self) -> Opened {
        self.state = State::Handshake;
        Opened(match self.role {
            Role::Initiator => TlsRole::Client,
            Role::Responder => TlsRole::Server,
        })
    }

    /// The handshake is over, and this is the peer's certificate in DER.
    ///
    /// # Errors
    /// [`XtlsError`] when it is not the peer's; no byte that comes over TLS is to be trusted then.
    pub fn established(&mut self, certificate: Option<&[u8]>) -> Result<Verification, XtlsError> {
        if self.state != State::Handshake {
            return Err(XtlsError::OutOfOrder);
        }
        self.state = State::Over;
        let certificate = certificate.ok_or(XtlsError::Handshake)?;
        let announced = self.announced.as_ref();
        if announced.is_some_and(|announced| !announced.matches(certificate)) {
            return Err(XtlsError::Mismatch);
        }
        if self.policy.pins.iter().any(|pin| pin.matches(certificate)) {
            return Ok(Verification::Pinned);
        }
        match (self.policy.pins.is_empty(), announced) {
            (false, _) => Err(XtlsError::Mismatch),
            (true, Some(_)) => Ok(Verification::Announced),
            (true, None) => Ok(Verification::Unannounced),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTIFICATE: &[u8] = b"certificate";

    fn offer(hash: Hash) -> Security {
        Security::offer(Fingerprint::of(CERTIFICATE, hash))
    }

    fn gate(policy: Policy, theirs: &Security) -> Result<Gate, XtlsError> {
        let mut gate = Gate::new(policy, Role::Responder, Some(theirs))?;
        assert_eq!(gate.agreed(), None);
        assert_eq!(gate.transport_ready(), Some(Opened(TlsRole::Server)));
        Ok(gate)
    }

    fn in_content(security: Element) -> Element {
        Element::bare("content", ns::JINGLE_1).with_child(security)
    }

    #[test]
    fn jxs_19_20_both_conditions_in_either_order_open_once() {
        for (role, tls) in [
            (Role::Initiator, TlsRole::Client),
            (Role::Responder, TlsRole::Server),
        ] {
            let new = || Gate::new(Policy::default(), role, Some(&offer(Hash::Sha256))).unwrap();
            let mut gate = new();
            assert_eq!(
                (gate.transport_ready(), gate.transport_ready()),
                (None, None)
            );
            assert_eq!((gate.agreed(), gate.agreed()), (Some(Opened(tls)), None));
            let mut gate = new();
            assert_eq!((gate.agreed(), gate.agreed()), (None, None));
            assert_eq!(
                (gate.transport_ready(), gate.agreed()),
                (Some(Opened(tls)), None)
            );
        }
    }

    #[test]
    fn what_the_handshake_proves() {
        let announced = || gate(Policy::default(), &offer(Hash::Sha256)).unwrap();
        assert_eq!(
            announced().established(Some(CERTIFICATE)),
            Ok(Verification::Announced)
        );
        assert_eq!(
            announced().established(Some(b"other")),
            Err(XtlsError::Mismatch)
        );
        assert_eq!(announced().established(None), Err(XtlsError::Handshake));
        let pins = |certificate| Policy {
            pins: vec![Fingerprint::of(certificate, Hash::Sha256)],
            ..Policy::default()
        };
        let mut pinned = gate(pins(CERTIFICATE), &offer(Hash::Sha256)).unwrap();
        assert_eq!(
            pinned.established(Some(CERTIFICATE)),
            Ok(Verification::Pinned)
        );
        let mut another = gate(pins(b"other"), &offer(Hash::Sha256)).unwrap();
        assert_eq!(
            another.established(Some(CERTIFICATE)),
            Err(XtlsError::Mismatch)
        );
        // The signalling was tampered with: a pin alone does not make up for it.
        let mut tampered = gate(pins(b"other"), &offer(Hash::Sha256)).unwrap();
        assert_eq!(
            tampered.established(Some(b"other")),
            Err(XtlsError::Mismatch)
        );
    }

    #[test]
    fn nothing_is_proved_before_the_gate_has_opened_or_twice() {
        let mut early = Gate::new(
            Policy::default(),
            Role::Initiator,
            Some(&offer(Hash::Sha256)),
        )
        .unwrap();
        assert_eq!(
            early.established(Some(CERTIFICATE)),
            Err(XtlsError::OutOfOrder)
        );
        let mut gate = gate(Policy::default(), &offer(Hash::Sha256)).unwrap();
        gate.established(Some(CERTIFICATE)).unwrap();
        assert_eq!(
            gate.established(Some(CERTIFICATE)),
            Err(XtlsError::OutOfOrder)
        );
    }

    #[test]
    fn jxs_r9_sha1_counts_only_by_policy_and_no_fingerprint_only_by_policy() {
        let sha1 = offer(Hash::Sha1);
        assert_eq!(
            gate(Policy::default(), &sha1).unwrap_err(),
            XtlsError::NoFingerprint
        );
        let allowed = Policy {
            allow_sha1_fingerprint: true,
            ..Policy::default()
        };
        assert_eq!(
            gate(allowed, &sha1).unwrap().established(Some(CERTIFICATE)),
            Ok(Verification::Announced)
        );
        let none = Security::settled();
        assert_eq!(
            gate(Policy::default(), &none).unwrap_err(),
            XtlsError::NoFingerprint
        );
        let allowed = Policy {
            allow_unannounced: true,
            ..Policy::default()
        };
        assert_eq!(
            gate(allowed, &none).unwrap().established(Some(b"any")),
            Ok(Verification::Unannounced)
        );
    }

    #[test]
    fn jxs_r10_r11_what_is_stripped_or_has_no_x509_will_not_do() {
        let refused = |theirs| Gate::new(Policy::default(), Role::Initiator, theirs).unwrap_err();
        assert_eq!(refused(None), XtlsError::Stripped);
        let srp = Security {
            fingerprint: None,
            methods: vec![Method::Srp, Method::Other],
        };
        assert_eq!(refused(Some(&srp)), XtlsError::Method);
    }

    #[test]
    fn jxs_r9_fingerprints_compare_without_case_colons_and_white_space() {
        let digits = Fingerprint::of(CERTIFICATE, Hash::Sha256)
            .digits()
            .to_uppercase();
        let spaced: String = digits.chars().flat_map(|c| [c, ':', '\n']).collect();
        assert!(
            Fingerprint::read(None, &spaced)
                .unwrap()
                .matches(CERTIFICATE)
        );
        for (algo, text) in [
            (Some("sha-1"), digits.as_str()),
            (Some("md5"), &digits),
            (None, &digits[1..]),
            (None, ""),
            (None, &"g".repeat(64)),
        ] {
            assert_eq!(Fingerprint::read(algo, text), None);
        }
    }

    #[test]
    fn jxs_r4_r5_every_syntax_is_read() {
        for dialect in Dialect::ALL {
            let hash = if dialect == Dialect::Interim2009 {
                Hash::Sha1
            } else {
                Hash::Sha256
            };
            let read = Security::read(&in_content(offer(hash).to_element(dialect))).unwrap();
            assert_eq!(read.fingerprint, offer(hash).fingerprint);
            assert!(read.has_x509());
            let read =
                Security::read(&in_content(Security::settled().to_element(dialect))).unwrap();
            assert_eq!(read, Security::settled());
        }
        let digits = Fingerprint::of(CERTIFICATE, Hash::Sha1).digits().to_owned();
        let beside = format!(
            "<content xmlns='urn:xmpp:jingle:0'><security xmlns='urn:xmpp:jingle:security:xtls:0'/>\
             <offer xmlns='urn:xmpp:tmp:c2ctls'><keyinfo xmlns='urn:xmpp:tmp:pubkey'><name>{digits}</name></keyinfo>\
             <srp/></offer></content>"
        );
        let read = Security::read(&beside.parse().unwrap()).unwrap();
        assert_eq!(read.fingerprint, offer(Hash::Sha1).fingerprint);
        assert_eq!(read.methods, [Method::Srp]);
        let attribute = Security::settled().to_element(Dialect::Interim2009);
        assert_eq!(attribute.attr("method"), Some("x509"));
    }
}
