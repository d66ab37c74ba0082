//! A place to connect to, as a server names it (ISR-03).

use core::fmt;
use core::net::Ipv6Addr;

use onetrip_stream::Domain;

/// The port for TLS from the first byte where none is named: the one in use for it since before XEP-0368.
pub(crate) const DIRECT_TLS_PORT: u16 = 5223;

/// A host name or address, and a TCP port.
///
/// ```
/// # use onetrip_isr::Location;
/// let location = Location::parse("[2001:DB8::7]:443", 5223).unwrap();
/// assert_eq!((location.host.as_str(), location.port), ("2001:db8::7", 443));
/// assert_eq!(location.to_string(), "[2001:db8::7]:443");
/// assert_eq!(Location::parse("isr.example.org", 5223).unwrap().to_string(), "isr.example.org:5223");
/// assert_eq!(Location::parse("2001:db8::7", 5223), None); // where does the address end?
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Location {
    /// Host name in lower case, or address; an IPv6 address without its brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl Location {
    /// Reads `host`, `host:port`, `[v6]` or `[v6]:port` (ISR-03, RFC 6120 §4.9.3.19). `None` for anything else.
    #[must_use]
    pub fn parse(text: &str, default_port: u16) -> Option<Self> {
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (address, port) = rest.split_once(']')?;
            (address.parse::<Ipv6Addr>().ok()?.to_string(), port)
        } else {
            let at = text.find(':').unwrap_or(text.len());
            let (host, port) = text.split_at_checked(at)?;
            // A domain may hold brackets, for the literals of RFC 7622; a host name does not.
            let host = Domain::new(host).filter(|host| !host.as_str().contains(['[', ']']))?;
            (host.as_str().to_owned(), port)
        };
        let port = match port.strip_prefix(':') {
            Some(digits) => read_port(digits)?,
            None if port.is_empty() => default_port,
            None => return None,
        };
        Some(Self { host, port })
    }

    /// Whether both are the same host, whatever its case, and port.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.port == other.port && self.host.eq_ignore_ascii_case(&other.host)
    }
}

/// Digits alone: `parse` by itself takes a sign, and nobody listens on port 0.
fn read_port(digits: &str) -> Option<u16> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|port| plain && *port != 0)
}

impl fmt::Display for Location {
    /// In the form that [`Location::parse`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn isr_03_names_addresses_and_ports_are_read_and_written_alike() {
        for (text, host, port) in [
            ("isr.example.org:5222", "isr.example.org", 5222),
            ("ISR.Example.org", "isr.example.org", 5223),
            ("192.0.2.7:443", "192.0.2.7", 443),
            ("[2001:db8::7]:443", "2001:db8::7", 443),
            ("[::1]", "::1", 5223),
            ("bücher.example:1", "bücher.example", 1),
        ] {
            let location = Location::parse(text, DIRECT_TLS_PORT).unwrap();
            assert_eq!((location.host.as_str(), location.port), (host, port));
            assert_eq!(Location::parse(&location.to_string(), 1), Some(location));
        }
    }

    #[test]
    fn isr_03_what_names_no_place_is_no_location() {
        for text in [
            "",
            ":5222",
            "h:",
            "h:0",
            "h:+1",
            "h:-1",
            "h:0x1",
            "h:65536",
            "h:1:2",
            "h 1",
            "h/x:1",
            "a@h:1",
            "::1",
            "[::1",
            "[::1]1",
            "[::1]:",
            "[h]:1",
            "[fe80::1%eth0]:1",
            "h]:1",
            "a..b:1",
        ] {
            assert_eq!(Location::parse(text, 1), None, "{text:?}");
        }
    }
}
