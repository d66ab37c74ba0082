//! Where an inbound connection comes from: networks and ports, checked before a byte is read (ZH-20, ZH-21, ZH-R6).

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::ops::RangeInclusive;
use core::str::FromStr;

use onetrip_stream::Domain;

/// Addresses that share so many leading bits.
///
/// IPv4-mapped IPv6 counts as IPv4, here and in what is compared (ZH-R6): a listener on `::` reports IPv4 peers in
/// the mapped form. No IPv6 network of fewer than 96 bits contains an IPv4 address.
///
/// ```
/// # use onetrip_zero_handshake::Network;
/// let network: Network = "198.51.100.0/24".parse().unwrap();
/// assert!(network.contains("::ffff:198.51.100.7".parse().unwrap()));
/// assert!("198.51.100.7/24".parse::<Network>().is_err(), "bits behind the prefix");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// The text is not a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// Not an address, optionally with `/` and a number of bits.
    #[error("expected an address or a network, such as 192.0.2.0/24")]
    Text,
    /// More bits than the address has.
    #[error("expected a prefix of at most {0} bits, got a longer one")]
    Prefix(u8),
    /// The address has bits behind the prefix: one of the two is a mistake.
    #[error("expected an address without bits behind its prefix, got one with some")]
    HostBits,
}

impl Network {
    /// The network of this address with so many leading bits.
    ///
    /// # Errors
    /// [`NetworkError`] when the prefix is too long or the address has bits behind it.
    pub fn new(address: IpAddr, prefix: u8) -> Result<Self, NetworkError> {
        let width = width(address);
        if prefix > width {
            return Err(NetworkError::Prefix(width));
        }
        if masked(address, prefix) != bits(address) {
            return Err(NetworkError::HostBits);
        }
        // A network inside the mapped range is the IPv4 network it stands for. One of fewer than 96 bits cannot be
        // inside: the ones of the range would be behind its prefix.
        let canonical = address.to_canonical();
        let mapped = width.saturating_sub(self::width(canonical));
        let (address, prefix) = (canonical, prefix.saturating_sub(mapped));
        Ok(Self { address, prefix })
    }

    /// The network of one address.
    #[must_use]
    pub fn host(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self {
            address,
            prefix: width(address),
        }
    }

    /// Whether the address lies in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4()
            && masked(address, self.prefix) == bits(self.address)
    }

    /// Whether it says nothing about who connects: all addresses of a family lie in it.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.prefix == 0
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The address as a number, left-aligned so that a prefix means the same in both families.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96_u32,
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn masked(address: IpAddr, prefix: u8) -> u128 {
    let behind = 128_u32.saturating_sub(u32::from(prefix));
    bits(address) & u128::MAX.checked_shl(behind).unwrap_or(0)
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let Some((address, prefix)) = text.split_once('/') else {
            return Ok(Self::host(text.parse().map_err(|_| NetworkError::Text)?));
        };
        // `u8::from_str` takes a sign.
        if !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NetworkError::Text);
        }
        let address = address.parse().map_err(|_| NetworkError::Text)?;
        Self::new(address, prefix.parse().map_err(|_| NetworkError::Text)?)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// From which ports a connection may come (ZH-R6).
///
/// Clients use ephemeral ports, so anything but [`PortRule::Any`] needs a peer that binds its source port
/// ([`Terms::source_port`](crate::Terms::source_port)).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PortRule {
    /// From any.
    Any,
    /// From this one.
    Exact(u16),
    /// From one of these.
    Range(RangeInclusive<u16>),
}

impl PortRule {
    /// Whether a connection may come from this port.
    #[must_use]
    pub fn allows(&self, port: u16) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(only) => *only == port,
            Self::Range(range) => range.contains(&port),
        }
    }

    /// Whether no connection can ever satisfy it.
    pub(crate) fn is_impossible(&self) -> bool {
        match self {
            Self::Any => false,
            Self::Exact(port) => *port == 0,
            Self::Range(range) => range.is_empty() || *range.end() == 0,
        }
    }
}

impl fmt::Display for PortRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Exact(port) => write!(f, "{port}"),
            Self::Range(range) => write!(f, "{}-{}", range.start(), range.end()),
        }
    }
}

/// What identifies the source of a connection (ZH-21).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// Its address.
    Network(Network),
    /// The name its address has by reverse DNS. The driver looks it up, asks for the addresses of that name, and gives
    /// the name in only if the source is among them; XEP-0361 §5 wants DNSSEC for it.
    Name(Domain),
}

/// One row of the sources that may connect.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct SourceRule {
    /// From where.
    pub source: Source,
    /// From which ports.
    pub ports: PortRule,
}

impl SourceRule {
    /// Connections from this source and these ports.
    #[must_use]
    pub fn new(source: Source, ports: PortRule) -> Self {
        Self { source, ports }
    }

    /// Connections from this network, whatever the port.
    #[must_use]
    pub fn network(network: Network) -> Self {
        Self::new(Source::Network(network), PortRule::Any)
    }

    /// Whether a connection from here passes.
    #[must_use]
    pub fn allows(&self, source: SocketAddr, verified_name: Option<&Domain>) -> bool {
        self.ports.allows(source.port()) && self.names(source.ip(), verified_name)
    }

    /// Whether this is the host, leaving its port aside: the port we connect to is not the one it connects from.
    pub(crate) fn names(&self, address: IpAddr, verified_name: Option<&Domain>) -> bool {
        match &self.source {
            Source::Network(network) => network.contains(address),
            Source::Name(name) => verified_name == Some(name),
        }
    }

    /// Whether it says nothing about who connects.
    pub(crate) fn is_everything(&self) -> bool {
        matches!(&self.source, Source::Network(network) if network.is_everything())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn zh_20_a_network_contains_its_first_and_last_address_and_not_their_neighbours() {
        let net = network("198.51.100.128/25");
        for (address, inside) in [
            ("198.51.100.127", false),
            ("198.51.100.128", true),
            ("198.51.100.255", true),
            ("198.51.101.0", false),
        ] {
            assert_eq!(net.contains(ip(address)), inside, "{address}");
        }
        let net = network("2001:db8:8000::/33");
        assert!(net.contains(ip("2001:db8:ffff:ffff::1")) && !net.contains(ip("2001:db8:7fff::")));
    }

    #[test]
    fn zh_r6_mapped_addresses_and_networks_are_ipv4_on_both_sides() {
        for text in ["192.0.2.0/24", "::ffff:192.0.2.0/120"] {
            assert!(network(text).contains(ip("192.0.2.9")), "{text}");
            assert!(network(text).contains(ip("::ffff:192.0.2.9")), "{text}");
            assert!(!network(text).contains(ip("192.0.3.9")), "{text}");
        }
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1/32"));
        // IPv4-compatible and unmapped forms are other addresses.
        assert!(!network("192.0.2.0/24").contains(ip("::192.0.2.9")));
        assert!(!network("::/0").contains(ip("192.0.2.9")));
        assert!(!network("0.0.0.0/0").contains(ip("2001:db8::1")));
        assert!(network("::ffff:0:0/96").is_everything());
    }

    #[test]
    fn a_network_that_is_a_slip_of_the_pen_is_refused() {
        for (text, error) in [
            ("", NetworkError::Text),
            ("192.0.2", NetworkError::Text),
            ("192.0.2.0/", NetworkError::Text),
            ("192.0.2.0/+8", NetworkError::Text),
            ("192.0.2.0/256", NetworkError::Text),
            ("192.0.2.0/33", NetworkError::Prefix(32)),
            ("2001:db8::/129", NetworkError::Prefix(128)),
            ("192.0.2.1/24", NetworkError::HostBits),
            ("2001:db8::1/64", NetworkError::HostBits),
            ("::ffff:0:0/80", NetworkError::HostBits),
        ] {
            assert_eq!(text.parse::<Network>(), Err(error), "{text}");
        }
    }

    #[test]
    fn zh_r6_port_rules_are_met_from_both_sides() {
        let range = PortRule::Range(5000..=5010);
        for (port, any, exact, inside) in [
            (4999, true, false, false),
            (5000, true, true, true),
            (5010, true, false, true),
            (5011, true, false, false),
        ] {
            assert_eq!(PortRule::Any.allows(port), any);
            assert_eq!(PortRule::Exact(5000).allows(port), exact);
            assert_eq!(range.allows(port), inside);
        }
        assert!(PortRule::Exact(0).is_impossible() && !range.is_impossible());
        #[expect(clippy::reversed_empty_ranges)]
        let empty = PortRule::Range(2..=1);
        assert!(empty.is_impossible());
    }

    #[test]
    fn zh_21_a_rule_by_name_wants_the_verified_name_and_nothing_else() {
        let name = Domain::new("gw.air.example").unwrap();
        let rule = SourceRule::new(Source::Name(name.clone()), PortRule::Exact(5300));
        let source = |port| SocketAddr::new(ip("192.0.2.1"), port);
        assert!(rule.allows(source(5300), Some(&name)));
        assert!(!rule.allows(source(5301), Some(&name)));
        assert!(!rule.allows(source(5300), None));
        assert!(!rule.allows(source(5300), Domain::new("air.example").as_ref()));
    }
}
