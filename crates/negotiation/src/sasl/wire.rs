//! SASL as elements (RFC 6120 §6.4): features, messages, failures.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minidom::Element;
use onetrip_stream::{Build, ns};

use super::{BindingType, Error, Mechanism};

/// The longest message that is taken, in bytes of base64.
const MAX_MESSAGE: usize = 8192;

/// `<mechanisms/>` (RFC 6120 §6.3.3).
pub(crate) fn mechanisms(offered: &[Mechanism]) -> Element {
    offered
        .iter()
        .fold(Element::bare("mechanisms", ns::SASL), |list, mechanism| {
            list.with_child(Element::bare("mechanism", ns::SASL).with_text(mechanism.name()))
        })
}

/// `<sasl-channel-binding/>` (XEP-0440).
pub(crate) fn channel_bindings(types: &[BindingType]) -> Element {
    let list = Element::bare("sasl-channel-binding", ns::CHANNEL_BINDING);
    types.iter().fold(list, |list, kind| {
        let binding = Element::bare("channel-binding", ns::CHANNEL_BINDING);
        list.with_child(binding.with_attr("type", kind.name()))
    })
}

/// A message, in base64 with `=` for one that is there and empty (RFC 6120 §6.4.2).
pub(crate) fn message(name: &str, data: Option<&[u8]>) -> Element {
    let element = Element::bare(name, ns::SASL);
    match data {
        None => element,
        Some([]) => element.with_text("="),
        Some(data) => element.with_text(&STANDARD.encode(data)),
    }
}

/// Reads the data of a message: strict base64, with white space around it forgiven.
pub(crate) fn data(element: &Element) -> Result<Option<Vec<u8>>, Error> {
    match element.text().trim_ascii() {
        "" => Ok(None),
        "=" => Ok(Some(Vec::new())),
        text => decode(text).map(Some),
    }
}

/// Strict base64 of a bounded length.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, Error> {
    if text.len() > MAX_MESSAGE {
        return Err(Error::TooLong {
            allowed: MAX_MESSAGE,
        });
    }
    STANDARD.decode(text).map_err(|_| Error::Base64)
}

macro_rules! refusals {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// Why an authentication failed (RFC 6120 §6.5).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Refusal {
            $($(#[$doc])* $variant,)+
            /// A condition that RFC 6120 does not know.
            Undefined,
        }

        impl Refusal {
            /// All that RFC 6120 §6.5 defines.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The element name on the wire.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                    Self::Undefined => "undefined-condition",
                }
            }
        }
    };
}

refusals! {
    /// The client gave up (§6.5.1).
    Aborted = "aborted",
    /// The account is disabled (§6.5.2).
    AccountDisabled = "account-disabled",
    /// The credentials have expired (§6.5.3).
    CredentialsExpired = "credentials-expired",
    /// The mechanism needs TLS (§6.5.4).
    EncryptionRequired = "encryption-required",
    /// Not base64 (§6.5.5).
    IncorrectEncoding = "incorrect-encoding",
    /// The authorization identity is not the client's (§6.5.6).
    InvalidAuthzid = "invalid-authzid",
    /// The mechanism is not offered (§6.5.7).
    InvalidMechanism = "invalid-mechanism",
    /// The message does not parse (§6.5.8).
    MalformedRequest = "malformed-request",
    /// The mechanism is too weak for this account (§6.5.9).
    MechanismTooWeak = "mechanism-too-weak",
    /// The credentials are wrong (§6.5.10).
    NotAuthorized = "not-authorized",
    /// Try again later (§6.5.11).
    TemporaryAuthFailure = "temporary-auth-failure",
}

/// A `<failure/>` (RFC 6120 §6.4.5): a refusal the protocol provides for, not an error.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// Why.
    pub refusal: Refusal,
    /// Text for people, at most 512 characters of it.
    pub text: Option<String>,
}

impl Failure {
    /// A failure without a text.
    #[must_use]
    pub fn new(refusal: Refusal) -> Self {
        Self {
            refusal,
            text: None,
        }
    }

    pub(crate) fn to_element(&self) -> Element {
        let condition = match self.refusal {
            Refusal::Undefined => Refusal::NotAuthorized,
            refusal => refusal,
        };
        let failure = Element::bare("failure", ns::SASL)
            .with_child(Element::bare(condition.name(), ns::SASL));
        match &self.text {
            Some(text) => failure.with_child(
                Element::bare("text", ns::SASL)
                    .with_attr_ns(ns::XML, "lang", "en")
                    .with_text(text),
            ),
            None => failure,
        }
    }

    pub(crate) fn read(element: &Element) -> Self {
        let text = element
            .get_child("text", ns::SASL)
            .map(|text| text.text().chars().take(512).collect());
        let condition = element
            .children()
            .find(|child| child.name() != "text")
            .map(Element::name);
        let known = Refusal::ALL
            .iter()
            .copied()
            .find(|refusal| Some(refusal.name()) == condition);
        Self {
            refusal: known.unwrap_or(Refusal::Undefined),
            text,
        }
    }
}

impl core::fmt::Display for Failure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.refusal.name())?;
        match &self.text {
            Some(text) => write!(f, " ({text})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_of_rfc6120_6_5_survives_the_wire() {
        for &refusal in Refusal::ALL {
            let failure = Failure {
                refusal,
                text: Some("why".into()),
            };
            assert_eq!(Failure::read(&failure.to_element()), failure);
        }
        let unknown = Element::bare("failure", ns::SASL).with_child(Element::bare("odd", ns::SASL));
        assert_eq!(Failure::read(&unknown).refusal, Refusal::Undefined);
    }

    #[test]
    fn base64_is_strict_inside_and_forgiving_around() {
        let read = |text: &str| data(&Element::bare("auth", ns::SASL).with_text(text));
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("="), Ok(Some(vec![])));
        assert_eq!(read(" \n aGk= "), Ok(Some(b"hi".to_vec())));
        for bad in ["aGk", "a Gk=", "aGk==", "aGk=x", "!", "=="] {
            assert_eq!(read(bad), Err(Error::Base64), "{bad}");
        }
        assert_eq!(
            read(&"A".repeat(8196)),
            Err(Error::TooLong { allowed: 8192 })
        );
    }
}
