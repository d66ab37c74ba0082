//! One address at which an end can be reached.

use onetrip_stream::Jid;

/// How a candidate is reached (XEP-0260 §2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CandidateKind {
    /// Directly.
    Direct,
    /// Through a NAT that was asked to let it in.
    Assisted,
    /// Through a tunnel.
    Tunnel,
    /// Through a proxy, which must be activated.
    Proxy,
}

impl CandidateKind {
    const ALL: [Self; 4] = [Self::Direct, Self::Assisted, Self::Tunnel, Self::Proxy];

    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Assisted => "assisted",
            Self::Tunnel => "tunnel",
            Self::Proxy => "proxy",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    const fn preference(self) -> u32 {
        match self {
            Self::Direct => 126,
            Self::Assisted => 120,
            Self::Tunnel => 110,
            Self::Proxy => 10,
        }
    }

    /// 2^16 times the type's preference, plus the local preference (XEP-0260 §2.3).
    ///
    /// ```
    /// # use onetrip_jingle_xmlstream::s5b::CandidateKind;
    /// assert_eq!(CandidateKind::Direct.priority(0), 8_257_536);
    /// assert_eq!(CandidateKind::Proxy.priority(1), 655_361);
    /// ```
    #[must_use]
    pub const fn priority(self, local: u16) -> u32 {
        self.preference()
            .saturating_mul(65_536)
            .saturating_add(local as u32)
    }
}

/// One address at which an end can be reached: a candidate, or a streamhost of the form of 2009.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Candidate {
    /// Its name in this session; empty for a streamhost.
    pub cid: String,
    /// An address or a name. What a name resolves to is to be asked of
    /// [`AddressPolicy::permits`](crate::s5b::AddressPolicy::permits).
    pub host: String,
    /// The port.
    pub port: u16,
    /// Whose it is: the offering end's, or a proxy's.
    pub jid: Jid,
    /// The higher, the better. Of a streamhost: by its place in the document.
    pub priority: u32,
    /// How it is reached. A streamhost is a proxy when it is not the offering end's.
    pub kind: CandidateKind,
}

impl Candidate {
    /// A candidate with the priority of its kind and `local`.
    #[must_use]
    pub fn new(
        cid: impl Into<String>,
        kind: CandidateKind,
        jid: Jid,
        host: impl Into<String>,
        port: u16,
        local: u16,
    ) -> Self {
        Self {
            cid: cid.into(),
            host: host.into(),
            port,
            jid,
            priority: kind.priority(local),
            kind,
        }
    }

    pub(crate) fn is_proxy(&self) -> bool {
        self.kind == CandidateKind::Proxy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bases_of_the_priorities() {
        let bases = CandidateKind::ALL.map(|kind| kind.priority(0));
        assert_eq!(bases, [8_257_536, 7_864_320, 7_208_960, 655_360]);
    }
}
