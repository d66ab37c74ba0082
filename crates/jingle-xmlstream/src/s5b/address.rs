//! Where a peer may make us connect to: not to ourselves, and not to the neighbours (digest §6.2).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which addresses a peer may name. By default none of the host itself and none of the link.
///
/// ```
/// # use onetrip_jingle_xmlstream::s5b::AddressPolicy;
/// let policy = AddressPolicy::default();
/// assert!(policy.permits_host("192.168.4.1"));
/// assert!(!policy.permits_host("127.0.0.1"));
/// assert!(!policy.permits_host("::ffff:127.0.0.1"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct AddressPolicy {
    /// Loopback addresses. Default: no.
    pub allow_loopback: bool,
    /// Link-local addresses. Default: no.
    pub allow_link_local: bool,
}

impl AddressPolicy {
    /// Whether an address may be connected to. Ask this again for what a name resolves to.
    #[must_use]
    pub fn permits(self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => self.permits_v4(v4),
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                Some(v4) => self.permits_v4(v4),
                None => self.permits_v6(v6),
            },
        }
    }

    /// Whether a host as it stands in a candidate may be connected to: an address, or a name that is not this host's.
    #[must_use]
    pub fn permits_host(self, host: &str) -> bool {
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        // A zone, as in fe80::1%eth0, is for this host to know and not for the peer.
        if let Ok(address) = bare.parse::<IpAddr>() {
            return self.permits(address);
        }
        let name = bare.trim_end_matches('.').to_ascii_lowercase();
        // Resolvers read 127.1, 2130706433 and 0x7f.1 as addresses, so what ends in a number is no name.
        let last = name.rsplit('.').next().unwrap_or_default();
        let numeric = last.starts_with(|c: char| c.is_ascii_digit());
        let local = name == "localhost" || name.ends_with(".localhost");
        let plain = name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
        !name.is_empty()
            && name.len() <= 253
            && plain
            && !numeric
            && (!local || self.allow_loopback)
    }

    fn permits_v4(self, address: Ipv4Addr) -> bool {
        if address.is_loopback() {
            self.allow_loopback
        } else if address.is_link_local() {
            self.allow_link_local
        } else {
            // The whole of 0.0.0.0/8 is "this host" (RFC 1122 §3.2.1.3).
            let [first, ..] = address.octets();
            first != 0 && !address.is_broadcast() && !address.is_multicast()
        }
    }

    fn permits_v6(self, address: Ipv6Addr) -> bool {
        if address.is_loopback() {
            self.allow_loopback
        } else if address.is_unicast_link_local() {
            self.allow_link_local
        } else {
            !address.is_unspecified() && !address.is_multicast()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_peer_makes_us_connect_to_ourselves() {
        let policy = AddressPolicy::default();
        for host in [
            "127.0.0.1",
            "127.8.8.8",
            "::1",
            "[::1]",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "::ffff:127.0.0.1",
            "169.254.169.254",
            "fe80::1",
            "fe80::1%eth0",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
            "localhost",
            "LocalHost.",
            "x.localhost",
            "127.1",
            "2130706433",
            "0x7f000001",
            "",
            "a b",
            "a/b",
        ] {
            assert!(!policy.permits_host(host), "{host}");
        }
        for host in [
            "192.168.4.1",
            "2001:638:708:30c9::1",
            "streamer.shakespeare.lit",
        ] {
            assert!(policy.permits_host(host), "{host}");
        }
    }

    #[test]
    fn unless_it_is_allowed() {
        let policy = AddressPolicy {
            allow_loopback: true,
            allow_link_local: true,
        };
        for host in ["127.0.0.1", "::1", "localhost", "169.254.1.1", "fe80::1"] {
            assert!(policy.permits_host(host), "{host}");
        }
        assert!(!policy.permits_host("0.0.0.0"));
    }
}
