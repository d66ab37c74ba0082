//! Addresses (RFC 7622), compared so that doubt means "different".

use core::borrow::Borrow;
use core::fmt;
use std::borrow::Cow;

use compact_str::CompactString;

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
pub struct Domain(CompactString);

impl Domain {
    /// Reads a domain; `None` when it cannot be one (RFC 7622 §3.2). One dot at the end is left out; a second would be an
    /// empty label, which no domain has.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        DomainRef::read(text).map(DomainRef::into_domain)
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

/// A table of domains may be asked for one that is [borrowed](DomainRef), which costs no copy.
impl Borrow<str> for Domain {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The domain of an address, in the form of a [`Domain`]: copied only where it does not stand in that form.
///
/// ```
/// # use std::collections::BTreeSet;
/// # use onetrip_stream::{Domain, DomainRef};
/// let ours: BTreeSet<Domain> = Domain::new("capulet.lit").into_iter().collect();
/// let domain = DomainRef::of("juliet@Capulet.Lit/balcony").unwrap();
/// assert!(ours.contains(domain.as_str()));
/// assert!(DomainRef::of("juliet@capulet.lit/").is_none(), "that is no address");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainRef<'a>(Cow<'a, str>);

impl<'a> DomainRef<'a> {
    /// Reads the domain of an address; `None` when the whole is none, exactly where [`Jid`] refuses it.
    #[must_use]
    pub fn of(address: &'a str) -> Option<Self> {
        Parts::of(address).map(|parts| parts.domain)
    }

    /// Reads what is nothing but a domain.
    fn read(text: &'a str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        // No label is empty, neither the first nor the last.
        let mut bytes = text.bytes();
        let last = bytes.try_fold(b'.', |last, byte| {
            (last != b'.' || byte != b'.').then_some(byte)
        });
        let labels = last.is_some_and(|last| last != b'.');
        match in_all(text) {
            _ if !labels || text.len() > MAX_PART => None,
            places if places & COMPARABLE != 0 => Some(Self(Cow::Borrowed(text))),
            places if places & IN_DOMAIN != 0 => Some(Self(Cow::Owned(lowercase(text).into()))),
            _ => None,
        }
    }

    /// The comparable form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A copy of its own.
    #[must_use]
    pub fn into_domain(self) -> Domain {
        Domain(CompactString::from(self.0))
    }
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
    local: Option<CompactString>,
    domain: Domain,
    resource: Option<CompactString>,
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

    /// The address of this user of its domain.
    ///
    /// ```
    /// # use onetrip_stream::Jid;
    /// let server: Jid = "capulet.lit".parse().unwrap();
    /// assert_eq!(server.with_local("Juliet").unwrap().to_string(), "juliet@capulet.lit");
    /// ```
    ///
    /// # Errors
    /// [`AddressError`] when the local part is empty, too long or holds what RFC 7622 §3.3.1 excludes.
    pub fn with_local(&self, local: &str) -> Result<Self, AddressError> {
        if !is_local(local) {
            return Err(AddressError);
        }
        Ok(Self {
            local: Some(lowercase(local)),
            domain: self.domain.clone(),
            resource: None,
        })
    }

    /// The address with this resource.
    ///
    /// # Errors
    /// [`AddressError`] when the resource is empty, too long or holds a control character.
    pub fn with_resource(&self, resource: &str) -> Result<Self, AddressError> {
        if !is_resource(resource) {
            return Err(AddressError);
        }
        Ok(Self {
            local: self.local.clone(),
            domain: self.domain.clone(),
            resource: Some(CompactString::new(resource)),
        })
    }

    /// What stands in its text, one behind the other.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &str> {
        let local = self.local.iter().flat_map(|local| [local.as_str(), "@"]);
        let resource = self.resource.iter();
        let resource = resource.flat_map(|resource| ["/", resource.as_str()]);
        local.chain([self.domain.as_str()]).chain(resource)
    }

    /// Whether this text is the address.
    ///
    /// ```
    /// # use onetrip_stream::Jid;
    /// let juliet: Jid = "juliet@capulet.lit/balcony".parse().unwrap();
    /// assert!(juliet.is("Juliet@Capulet.lit./balcony") && !juliet.is("juliet@capulet.lit"));
    /// assert!(juliet.to_bare().is("juliet@capulet.lit"));
    /// ```
    #[must_use]
    pub fn is(&self, address: &str) -> bool {
        Parts::of(address)
            .is_some_and(|parts| self.has_bare(&parts) && self.resource() == parts.resource)
    }

    /// Whether this text is the address without its resource.
    #[must_use]
    pub fn is_bare(&self, address: &str) -> bool {
        Parts::of(address).is_some_and(|parts| self.has_bare(&parts) && parts.resource.is_none())
    }

    fn has_bare(&self, parts: &Parts<'_>) -> bool {
        let same_local = match (self.local(), parts.local) {
            (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
            (one, other) => one == other,
        };
        same_local && self.domain.as_str() == parts.domain.as_str()
    }

    /// Whether both have the same local part and domain.
    #[must_use]
    pub fn same_bare(&self, other: &Self) -> bool {
        self.local == other.local && self.domain == other.domain
    }
}

impl core::str::FromStr for Jid {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let parts = Parts::of(text).ok_or(AddressError)?;
        Ok(Self {
            local: parts.local.map(lowercase),
            domain: parts.domain.into_domain(),
            resource: parts.resource.map(CompactString::new),
        })
    }
}

/// The parts of an address that was checked, as they stand in it.
struct Parts<'a> {
    local: Option<&'a str>,
    domain: DomainRef<'a>,
    resource: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let (local, rest) = match split(text, |byte| matches!(byte, b'@' | b'/')) {
            (local, Some(rest)) if rest.starts_with('@') => (Some(local), rest.get(1..)?),
            _ => (None, text),
        };
        let (domain, resource) = split(rest, |byte| byte == b'/');
        let resource = resource.and_then(|resource| resource.get(1..));
        if !local.is_none_or(is_local) || !resource.is_none_or(is_resource) {
            return None;
        }
        let domain = DomainRef::read(domain)?;
        Some(Self {
            local,
            domain,
            resource,
        })
    }
}

/// What stands before the first of these bytes of ASCII, and what begins with it.
fn split(text: &str, at: impl Fn(u8) -> bool) -> (&str, Option<&str>) {
    let place = text.bytes().position(at);
    match place.and_then(|place| text.split_at_checked(place)) {
        Some((before, rest)) => (before, Some(rest)),
        None => (text, None),
    }
}

fn lowercase(text: &str) -> CompactString {
    let mut text = CompactString::new(text);
    text.make_ascii_lowercase();
    text
}

fn is_local(local: &str) -> bool {
    !local.is_empty() && local.len() <= MAX_PART && in_all(local) & IN_LOCAL != 0
}

fn is_resource(resource: &str) -> bool {
    !resource.is_empty() && resource.len() <= MAX_PART && in_all(resource) & IN_RESOURCE != 0
}

/// Everywhere but among controls.
const IN_RESOURCE: u8 = 1;
/// All but spaces, controls, and what RFC 7622 §3.3.1 excludes.
const IN_LOCAL: u8 = 2;
/// Letters, digits, `-`, `_`, dots, the marks of IP literals, and whatever lies outside ASCII and is no space.
const IN_DOMAIN: u8 = 4;
/// The same, if it is no letter that has a lower case in ASCII.
const COMPARABLE: u8 = 8;

/// In what parts all characters of a text may stand. Most addresses are ASCII, which one look at each byte tells.
fn in_all(text: &str) -> u8 {
    let place = |byte: u8| ASCII.get(usize::from(byte)).copied().unwrap_or_default();
    match text.bytes().fold(u8::MAX, |all, byte| all & place(byte)) {
        0 => text.chars().fold(u8::MAX, |all, c| all & places(c)),
        all => all,
    }
}

/// In what parts a character may stand.
fn places(c: char) -> u8 {
    match u8::try_from(c) {
        Ok(byte) if byte.is_ascii() => ascii(byte),
        _ if c.is_control() => 0,
        _ if c.is_whitespace() => IN_RESOURCE,
        _ => IN_RESOURCE | IN_LOCAL | IN_DOMAIN | COMPARABLE,
    }
}

const fn ascii(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'[' | b']' => {
            IN_RESOURCE | IN_LOCAL | IN_DOMAIN | COMPARABLE
        }
        b'A'..=b'Z' => IN_RESOURCE | IN_LOCAL | IN_DOMAIN,
        b':' => IN_RESOURCE | IN_DOMAIN | COMPARABLE,
        b' ' | b'"' | b'&' | b'\'' | b'/' | b'<' | b'>' | b'@' => IN_RESOURCE,
        b'!'..=b'~' => IN_RESOURCE | IN_LOCAL,
        _ => 0,
    }
}

/// What [`ascii`] says of each byte: nothing beyond ASCII.
static ASCII: [u8; 256] = {
    let mut places = [0; 256];
    let mut rest: &mut [u8] = &mut places;
    let mut byte: u8 = 0;
    while let Some((place, behind)) = rest.split_first_mut() {
        *place = ascii(byte);
        byte = byte.wrapping_add(1);
        rest = behind;
    }
    places
};

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
