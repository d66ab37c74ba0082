//! Addresses (RFC 7622), compared so that doubt means "different".

use core::fmt;

/// The longest part of an address in bytes (RFC 7622 §3).
const MAX_PART: usize = 1023;

/// A domain in its comparable form: ASCII in lower case, no trailing dot.
///
/// Comparison fails closed: two spellings of an internationalised domain that this crate cannot prove equal
/// (it does no IDNA mapping) are different domains.
///
/// ```
/// # use onetrip_stream::Domain;
/// assert_eq!(Domain::new("Capulet.Lit."), Domain::new("capulet.lit"));
/// assert!(Domain::new("").is_none());
/// assert!(Domain::new("capulet.lit/orchard").is_none());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain(String);

impl Domain {
    /// Reads a domain; `None` when it cannot be one (RFC 7622 §3.2). One dot at the end is left out; a second would be an
    /// empty label, which no domain has.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        // Most are ASCII, which needs no decoding.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        let written = text.bytes().all(plain) || text.chars().all(is_domain_char);
        let fits = !text.is_empty() && text.len() <= MAX_PART && written;
        let empty_label = text.starts_with('.') || text.ends_with('.') || text.contains("..");
        (fits && !empty_label).then(|| Self(text.to_ascii_lowercase()))
    }

    /// The comparable form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Letters, digits, `-`, `_`, dots, the marks of IP literals, and whatever lies outside ASCII and is no space.
fn is_domain_char(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || matches!(c, '-' | '_' | '.' | ':' | '[' | ']')
        || (!c.is_ascii() && !c.is_whitespace() && !c.is_control())
}

/// An address: `[local@]domain[/resource]` (RFC 7622 §3.1).
///
/// The local part is compared with ASCII in lower case, the resource exactly.
///
/// ```
/// # use onetrip_stream::Jid;
/// let juliet: Jid = "Juliet@Capulet.lit/Balcony".parse().unwrap();
/// assert_eq!(juliet.to_string(), "juliet@capulet.lit/Balcony");
/// assert_eq!(juliet.to_bare().to_string(), "juliet@capulet.lit");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Jid {
    local: Option<String>,
    domain: Domain,
    resource: Option<String>,
}

/// The text is not an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an XMPP address, such as juliet@capulet.lit or capulet.lit, got something else")]
pub struct AddressError;

impl Jid {
    /// The address of a domain alone.
    #[must_use]
    pub fn from_domain(domain: Domain) -> Self {
        Self {
            local: None,
            domain,
            resource: None,
        }
    }

    /// The part before the `@`.
    #[must_use]
    pub fn local(&self) -> Option<&str> {
        self.local.as_deref()
    }

    /// The domain.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The part behind the `/`.
    #[must_use]
    pub fn resource(&self) -> Option<&str> {
        self.resource.as_deref()
    }

    /// The address without its resource.
    #[must_use]
    pub fn to_bare(&self) -> Self {
        Self {
            local: self.local.clone(),
            domain: self.domain.clone(),
            resource: None,
        }
    }

    /// The address with this resource.
    ///
    /// # Errors
    /// [`AddressError`] when the resource is empty, too long or holds a control character.
    pub fn with_resource(&self, resource: &str) -> Result<Self, AddressError> {
        let resource = checked_resource(resource)?;
        Ok(Self {
            local: self.local.clone(),
            domain: self.domain.clone(),
            resource: Some(resource),
        })
    }

    /// What stands in its text, one behind the other.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &str> {
        let local = self.local.iter().flat_map(|local| [local.as_str(), "@"]);
        let resource = self.resource.iter();
        let resource = resource.flat_map(|resource| ["/", resource.as_str()]);
        local.chain([self.domain.as_str()]).chain(resource)
    }

    /// Whether both have the same local part and domain.
    #[must_use]
    pub fn same_bare(&self, other: &Self) -> bool {
        self.local == other.local && self.domain == other.domain
    }
}

fn checked_resource(resource: &str) -> Result<String, AddressError> {
    let fits = !resource.is_empty()
        && resource.len() <= MAX_PART
        && !resource.chars().any(char::is_control);
    if fits {
        Ok(resource.to_owned())
    } else {
        Err(AddressError)
    }
}

fn checked_local(local: &str) -> Result<String, AddressError> {
    // RFC 7622 §3.3.1 excludes these from a local part.
    let forbidden = |c: char| {
        c.is_whitespace()
            || c.is_control()
            || matches!(c, '"' | '&' | '\'' | '/' | ':' | '<' | '>' | '@')
    };
    let fits = !local.is_empty() && local.len() <= MAX_PART && !local.chars().any(forbidden);
    if fits {
        Ok(local.to_ascii_lowercase())
    } else {
        Err(AddressError)
    }
}

impl core::str::FromStr for Jid {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (bare, resource) = match text.split_once('/') {
            Some((bare, resource)) => (bare, Some(checked_resource(resource)?)),
            None => (text, None),
        };
        let (local, domain) = match bare.split_once('@') {
            Some((local, domain)) => (Some(checked_local(local)?), domain),
            None => (None, bare),
        };
        let domain = Domain::new(domain).ok_or(AddressError)?;
        Ok(Self {
            local,
            domain,
            resource,
        })
    }
}

impl fmt::Display for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts().try_for_each(|part| f.write_str(part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_compare_by_ascii_case_and_trailing_dot_only() {
        assert_eq!(Domain::new("EXAMPLE.com."), Domain::new("example.COM"));
        assert_ne!(Domain::new("ÉXAMPLE.com"), Domain::new("éxample.com"));
        assert_ne!(
            Domain::new("xn--xample-9ua.com"),
            Domain::new("éxample.com")
        );
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "@example.com",
            "a@",
            "a@b@c",
            "a b@example.com",
            "example.com/",
            "a@.b",
            "a@b..c",
            "a@b..",
            "a@.",
            "a/b@c\u{7}",
        ] {
            assert!(text.parse::<Jid>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_at_sign_or_slash_in_the_resource_belongs_to_the_resource() {
        let jid: Jid = "example.com/a@b/c".parse().unwrap();
        assert_eq!((jid.local(), jid.resource()), (None, Some("a@b/c")));
    }

    #[test]
    fn parts_of_more_than_1023_bytes_are_refused() {
        let long = "a".repeat(1024);
        assert!(format!("{long}@b").parse::<Jid>().is_err());
        assert!(format!("a@{long}").parse::<Jid>().is_err());
        assert!(format!("a@b/{long}").parse::<Jid>().is_err());
        assert!(format!("a@b/{}", "a".repeat(1023)).parse::<Jid>().is_ok());
    }
}
