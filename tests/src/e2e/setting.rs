//! What a pair is made of.

use onetrip_core::e2e::Config;
use onetrip_core::jingle::s5b::{Candidate, CandidateKind};
use onetrip_core::jingle::session;
use onetrip_tls::rustls::ClientPairTls;

use super::{JULIET, ROMEO, address, pretended, proxy_address};

/// What a pair is made of.
pub struct Setting {
    /// How each takes part; a certificate in it decides nothing about `tls`.
    pub configs: [Config; 2],
    /// Real TLS of each, or else it is pretended.
    pub tls: Option<[ClientPairTls; 2]>,
    /// What each offers.
    pub candidates: [Vec<Candidate>; 2],
    /// Where random bytes begin.
    pub seed: u64,
    /// In which pieces bytes arrive.
    pub split: usize,
}

impl Setting {
    /// Both with pretended certificates, reachable at a host of their own.
    #[must_use]
    pub fn new() -> Self {
        let config = |end| {
            let mut session = session::Config::new(Some(pretended(end)));
            session.security.allow_sha1_fingerprint = true;
            Config::new(session)
        };
        Self {
            configs: [config(ROMEO), config(JULIET)],
            tls: None,
            candidates: [direct(ROMEO), direct(JULIET)],
            seed: 1,
            split: usize::MAX,
        }
    }

    /// Does this to both configurations.
    #[must_use]
    pub fn with(mut self, change: impl Fn(&mut Config)) -> Self {
        self.configs.iter_mut().for_each(change);
        self
    }
}

impl Default for Setting {
    fn default() -> Self {
        Self::new()
    }
}

/// The host that is an end's own.
#[must_use]
pub fn direct(end: usize) -> Vec<Candidate> {
    let host = ["romeo.lit", "juliet.lit"][end];
    let cid = ["r1", "j1"][end];
    let kind = CandidateKind::Direct;
    vec![Candidate::new(cid, kind, address(end), host, 5086, 0)]
}

/// The proxy, offered by an end.
#[must_use]
pub fn by_proxy(end: usize) -> Vec<Candidate> {
    let cid = ["rp", "jp"][end];
    let kind = CandidateKind::Proxy;
    vec![Candidate::new(
        cid,
        kind,
        proxy_address(),
        "proxy.verona.lit",
        7777,
        0,
    )]
}
