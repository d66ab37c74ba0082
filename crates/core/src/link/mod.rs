//! Zero-handshake links (XEP-0361): one connection, and which connection a stanza goes on.

mod books;
mod end;
mod peer;

use core::time::Duration;

use onetrip_zero_handshake::{Admitted, Agreement};

pub(crate) use end::LinkEnd;
pub use peer::{AgreedPeer, AgreedPeerAction};

/// A connection of an agreement, in either role.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LinkConfig {
    /// The agreements that it may be of, and that its source is allowed in each. The first says whether there is TLS; with
    /// TLS it is of the first whose rules the peer's certificate fits.
    pub candidates: Vec<(Agreement, Admitted)>,
    /// How long the TLS handshake may take: a certificate alone takes seconds at 2400 bit/s. Default: 2 min.
    pub handshake: Duration,
    /// Whether each unit is reported by [`Action::Trace`](crate::Action::Trace). Default: no.
    pub trace: bool,
}

impl LinkConfig {
    /// A connection that was [reached](Agreement::reached), or one that the peer has opened from a
    /// [source](Agreement::accept_source) that may.
    #[must_use]
    pub fn new(agreement: Agreement, admitted: Admitted) -> Self {
        Self {
            candidates: vec![(agreement, admitted)],
            handshake: Duration::from_secs(120),
            trace: false,
        }
    }

    /// Whether TLS begins with the first byte.
    pub(crate) fn has_tls(&self) -> bool {
        let security = self
            .candidates
            .first()
            .map(|(first, _)| &first.terms().security);
        security != Some(&onetrip_zero_handshake::Security::Plain)
    }
}
