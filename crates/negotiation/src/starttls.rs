//! STARTTLS (RFC 6120 §5): one question, one answer, and then no more XML.

use minidom::Element;
use onetrip_stream::{Condition, ns};

/// How a server offers STARTTLS (RFC 6120 §5.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Offer {
    /// Not at all. A client that requires TLS asks for it all the same (RFC 7590 §3.1).
    None,
    /// As one option.
    Optional,
    /// As the only way on.
    Required,
}

/// The feature element; for [`Offer::None`] there is nothing to show, and it comes out as optional.
#[must_use]
pub fn feature(offer: Offer) -> Element {
    let mut feature = Element::bare("starttls", ns::TLS);
    if offer == Offer::Required {
        feature.append_child(Element::bare("required", ns::TLS));
    }
    feature
}

/// Reads the offer out of `<stream:features/>`.
#[must_use]
pub fn offer(features: &Element) -> Offer {
    match features.get_child("starttls", ns::TLS) {
        None => Offer::None,
        Some(starttls) if starttls.has_child("required", ns::TLS) => Offer::Required,
        Some(_) => Offer::Optional,
    }
}

/// The peer broke a rule of STARTTLS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An element of the TLS namespace that is not the one expected.
    #[error("expected {expected}, got another element of the TLS namespace")]
    Unexpected {
        /// What was expected.
        expected: &'static str,
    },
}

impl Error {
    /// The stream error to answer with.
    #[must_use]
    pub fn condition(&self) -> Condition {
        Condition::UnsupportedStanzaType
    }

    /// The section that was violated.
    #[must_use]
    pub fn source_section(&self) -> &'static str {
        "RFC 6120 §5.4.2"
    }
}

/// The answer to `<starttls/>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// TLS begins behind the `>` of this element (RFC 6120 §5.4.2.3).
    Proceed,
    /// Refused; the server closes (RFC 6120 §5.4.2.2).
    Refused,
}

/// The initiating entity.
///
/// ```
/// # use onetrip_negotiation::starttls::{Initiator, Verdict};
/// # use minidom::Element;
/// let mut starttls = Initiator::new();
/// let request = starttls.request(); // goes out
/// assert_eq!(request.name(), "starttls");
/// let answer = Element::bare("proceed", onetrip_stream::ns::TLS); // comes in
/// assert_eq!(starttls.handle(&answer), Ok(Verdict::Proceed));
/// ```
#[derive(Debug, Default)]
pub struct Initiator(());

impl Initiator {
    /// An initiator that has not asked yet.
    #[must_use]
    pub fn new() -> Self {
        Self(())
    }

    /// `<starttls/>`. No white space may follow before the answer (RFC 6120 §5.3.3).
    #[must_use]
    pub fn request(&mut self) -> Element {
        Element::bare("starttls", ns::TLS)
    }

    /// Reads the answer.
    ///
    /// # Errors
    /// [`Error::Unexpected`] when it is neither `<proceed/>` nor `<failure/>`.
    pub fn handle(&mut self, element: &Element) -> Result<Verdict, Error> {
        if element.is("proceed", ns::TLS) {
            Ok(Verdict::Proceed)
        } else if element.is("failure", ns::TLS) {
            Ok(Verdict::Refused)
        } else {
            Err(Error::Unexpected {
                expected: "<proceed/> or <failure/>",
            })
        }
    }
}

/// The receiving entity.
///
/// ```
/// # use onetrip_negotiation::starttls::Receiver;
/// # use minidom::Element;
/// let request = Element::bare("starttls", onetrip_stream::ns::TLS);
/// let answer = Receiver::new().handle(&request).unwrap();
/// assert_eq!(answer.name(), "proceed");
/// ```
#[derive(Debug, Default)]
pub struct Receiver(());

impl Receiver {
    /// A receiver that has not been asked yet.
    #[must_use]
    pub fn new() -> Self {
        Self(())
    }

    /// Takes the request and returns the answer, behind whose `>` TLS begins.
    ///
    /// # Errors
    /// [`Error::Unexpected`] when it is not `<starttls/>`.
    pub fn handle(&mut self, element: &Element) -> Result<Element, Error> {
        if element.is("starttls", ns::TLS) {
            Ok(Element::bare("proceed", ns::TLS))
        } else {
            Err(Error::Unexpected {
                expected: "<starttls/>",
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_survive_the_wire() {
        for offered in [Offer::Optional, Offer::Required] {
            let mut features = Element::bare("features", ns::STREAMS);
            features.append_child(feature(offered));
            assert_eq!(offer(&features), offered);
        }
        assert_eq!(offer(&Element::bare("features", ns::STREAMS)), Offer::None);
    }

    /// QS-15: a failure is a refusal, never a licence to go on in clear.
    #[test]
    fn qs_15_failure_is_a_refusal() {
        assert_eq!(
            Initiator::new().handle(&Element::bare("failure", ns::TLS)),
            Ok(Verdict::Refused)
        );
        assert!(
            Initiator::new()
                .handle(&Element::bare("proceed", ns::SASL))
                .is_err()
        );
        assert!(
            Receiver::new()
                .handle(&Element::bare("proceed", ns::TLS))
                .is_err()
        );
    }
}
