//! FAST as elements (XEP-0484 §3).

use minidom::Element;
use onetrip_stream::{Build as _, Condition, Token, ns};

use crate::DateTime;

/// The peer broke a rule. Final: the stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An attribute that must be there is missing or malformed.
    #[error("expected a well-formed `{0}`, got none or a malformed one")]
    Attribute(&'static str),
    /// An element that may be there once.
    #[error("expected one <{0}/>, got another")]
    Twice(&'static str),
}

impl Error {
    /// The stream error to answer with.
    #[must_use]
    pub fn condition(&self) -> Condition {
        Condition::UndefinedCondition
    }

    /// The section that was violated.
    #[must_use]
    pub fn source_section(&self) -> &'static str {
        "XEP-0484 §3"
    }
}

/// What a server offers: `<fast/>` among what may ride along in SASL2.
///
/// ```
/// # use onetrip_fast::Feature;
/// let feature = Feature::new(["HT-SHA-256-EXPR", "HT-SHA-256-NONE"]).with_early_data();
/// assert_eq!(Feature::read(&feature.to_element()), Some(feature));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Feature {
    /// The mechanisms for which tokens are handed out.
    pub mechanisms: Vec<String>,
    /// Whether a token may come as early data of TLS 1.3.
    pub early: bool,
}

impl Feature {
    /// Tokens for these mechanisms; there should be one that binds the channel and one that does not.
    #[must_use]
    pub fn new<T: Into<String>>(mechanisms: impl IntoIterator<Item = T>) -> Self {
        Self {
            mechanisms: mechanisms.into_iter().map(Into::into).collect(),
            early: false,
        }
    }

    /// Takes tokens as early data, too.
    #[must_use]
    pub fn with_early_data(mut self) -> Self {
        self.early = true;
        self
    }

    /// Reads the element; `None` for any other, or without a mechanism.
    #[must_use]
    pub fn read(element: &Element) -> Option<Self> {
        let children = element.children();
        let mechanisms: Vec<String> = children
            .filter(|child| child.is("mechanism", ns::FAST))
            .map(|mechanism| mechanism.text().trim().to_owned())
            .collect();
        (element.is("fast", ns::FAST) && !mechanisms.is_empty()).then(|| Self {
            mechanisms,
            early: truth(element, "tls-0rtt"),
        })
    }

    /// The element.
    #[must_use]
    pub fn to_element(&self) -> Element {
        let mut element = Element::bare("fast", ns::FAST);
        if self.early {
            element = element.with_attr("tls-0rtt", "true");
        }
        self.mechanisms.iter().fold(element, |element, mechanism| {
            element.with_child(Element::bare("mechanism", ns::FAST).with_text(mechanism))
        })
    }

    /// Whether tokens are handed out for this mechanism.
    #[must_use]
    pub fn offers(&self, mechanism: &str) -> bool {
        self.mechanisms.iter().any(|offered| offered == mechanism)
    }
}

/// Whether what a mechanism binds to exists before the handshake has ended: what `-EXPR` and `-UNIQ` bind to does not.
pub(crate) fn can_go_early(mechanism: &str) -> bool {
    !(mechanism.ends_with("-EXPR") || mechanism.ends_with("-UNIQ"))
}

/// Whether a mechanism binds to nothing: all that a client can do which has not seen the server yet.
pub(crate) fn is_unbound(mechanism: &str) -> bool {
    mechanism.ends_with("-NONE")
}

/// Both forms of `xs:boolean`.
fn truth(element: &Element, name: &str) -> bool {
    matches!(element.attr(name), Some("true" | "1"))
}

/// The one element of this name.
pub(crate) fn only<'a>(
    all: &'a [Element],
    name: &'static str,
) -> Result<Option<&'a Element>, Error> {
    let mut found = all.iter().filter(|element| element.is(name, ns::FAST));
    let first = found.next();
    match found.next() {
        Some(_) => Err(Error::Twice(name)),
        None => Ok(first),
    }
}

/// `<request-token/>` (§3.2).
pub(crate) fn request_token(mechanism: &str) -> Element {
    Element::bare("request-token", ns::FAST).with_attr("mechanism", mechanism)
}

/// `<fast/>` in `<authenticate/>` (§3.4).
pub(crate) fn fast(count: u32, invalidate: bool) -> Element {
    let element = Element::bare("fast", ns::FAST).with_attr("count", count.to_string());
    match invalidate {
        true => element.with_attr("invalidate", "true"),
        false => element,
    }
}

/// What `<fast/>` says: the count, if there is one, and whether the token is to be invalidated.
pub(crate) fn read_fast(element: &Element) -> Result<(Option<u32>, bool), Error> {
    let count = element.attr("count").map(read_count);
    let count = count.map(|count| count.ok_or(Error::Attribute("count")));
    Ok((count.transpose()?, truth(element, "invalidate")))
}

/// A positive integer, as `xs:int` has it.
fn read_count(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let count = text.parse::<u32>().ok().filter(|_| plain);
    count.filter(|count| (1..=MAX_COUNT).contains(count))
}

/// The greatest count that `xs:int` can hold.
pub(crate) const MAX_COUNT: u32 = 0x7fff_ffff;

/// `<token/>` (§3.3).
pub(crate) fn token(token: &Token, expiry: DateTime) -> Element {
    Element::bare("token", ns::FAST)
        .with_attr("expiry", expiry.to_string())
        .with_attr("token", token.expose())
}

/// Reads it.
pub(crate) fn read_token(element: &Element) -> Result<(Token, DateTime), Error> {
    let token = element.attr("token").and_then(Token::read);
    let expiry = element.attr("expiry").and_then(DateTime::parse);
    Ok((
        token.ok_or(Error::Attribute("token"))?,
        expiry.ok_or(Error::Attribute("expiry"))?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// XEP-0484 §3.1, example 1.
    #[test]
    fn the_feature_of_the_text_is_read() {
        let element: Element = "<fast xmlns='urn:xmpp:fast:0' tls-0rtt='true'>\
            <mechanism>HT-SHA-256-ENDP</mechanism><mechanism>HT-SHA-256-NONE</mechanism></fast>"
            .parse()
            .unwrap();
        let feature = Feature::read(&element).unwrap();
        assert!(feature.early && feature.offers("HT-SHA-256-ENDP"));
        assert!(!feature.offers("HT-SHA-256-EXPR"));
        assert_eq!(Feature::read(&Element::bare("fast", ns::FAST)), None);
    }

    #[test]
    fn a_count_is_a_positive_integer_or_nothing() {
        let read = |count: &str| {
            let element = Element::bare("fast", ns::FAST).with_attr("count", count);
            read_fast(&element).map(|(count, _)| count)
        };
        assert_eq!(read("1"), Ok(Some(1)));
        assert_eq!(read("2147483647"), Ok(Some(MAX_COUNT)));
        for bad in ["", "0", "-1", "+1", " 1", "2147483648", "1.0", "x"] {
            assert_eq!(read(bad), Err(Error::Attribute("count")), "{bad}");
        }
        assert_eq!(read_fast(&fast(7, true)), Ok((Some(7), true)));
        assert_eq!(
            read_fast(&Element::bare("fast", ns::FAST)),
            Ok((None, false))
        );
    }

    #[test]
    fn what_binds_to_the_end_of_the_handshake_cannot_go_before_it() {
        assert!(can_go_early("HT-SHA-256-NONE") && can_go_early("HT-SHA-256-ENDP"));
        assert!(is_unbound("HT-SHA-256-NONE") && !is_unbound("HT-SHA-256-ENDP"));
        assert!(!can_go_early("HT-SHA-256-EXPR") && !can_go_early("HT-SHA-256-UNIQ"));
    }

    /// XEP-0484 §3.3, example 3.
    #[test]
    fn a_token_lacks_nothing() {
        let element: Element = "<token xmlns='urn:xmpp:fast:0' expiry='2020-03-12T14:36:15Z' \
            token='WXZzciBwYmFmdmZnZiBqdmd1IGp2eXFhcmZm'/>"
            .parse()
            .unwrap();
        let (read, expiry) = read_token(&element).unwrap();
        assert_eq!(token(&read, expiry), element);
        let bare = || Element::bare("token", ns::FAST);
        let missing = |element: &Element| read_token(element).unwrap_err();
        let expiry = bare().with_attr("expiry", "2020-03-12T14:36:15Z");
        assert_eq!(missing(&expiry), Error::Attribute("token"));
        assert_eq!(
            missing(&bare().with_attr("token", "t")),
            Error::Attribute("expiry")
        );
        assert_eq!(
            Error::Attribute("token").condition(),
            Condition::UndefinedCondition
        );
    }
}
