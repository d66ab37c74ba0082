//! What the manager of connections is told once, and what it asks for.

use onetrip_dialback::{ConnectionId, Reason};
use onetrip_stream::{Pair, Stanza};

/// How much may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeersConfig {
    /// How many stanzas of one pair. Default: 256.
    pub stanzas: usize,
    /// How many bytes of all pairs together. Default: 4 MiB.
    pub bytes: usize,
    /// Whether further pairs are asked for on a connection that there is already. Default: yes.
    pub multiplex: bool,
    /// Whether that goes for connections that the peer has opened, too (BIDI-14). Default: no: asked on a connection
    /// of its own, Prosody 0.12 closes it, and ejabberd 24.12 never answers.
    pub reverse: bool,
}

impl Default for PeersConfig {
    fn default() -> Self {
        Self {
            stanzas: 256,
            bytes: 4 * 1024 * 1024,
            multiplex: true,
            reverse: false,
        }
    }
}

/// What the caller must do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an action that is not carried out leaves stanzas waiting"]
#[non_exhaustive]
pub enum PeersAction {
    /// Make a [`Connection::outbound`](crate::Connection::outbound) of this number, from `pair.from` to `pair.to`; or say
    /// that it [failed](crate::Peers::failed).
    Open {
        /// Its number.
        connection: ConnectionId,
        /// What it is for.
        pair: Pair,
    },
    /// [Ask](crate::Connection::ask) for the pair on this connection; or say that it [cannot be](crate::Peers::not_asked).
    Ask {
        /// Where.
        connection: ConnectionId,
        /// What for.
        pair: Pair,
        /// Whether the target is at the place that the connection was opened to.
        resolves_here: bool,
    },
    /// [Send](crate::Connection::send) the stanza on this connection; or say that it [was not](crate::Peers::not_sent).
    Send {
        /// Where.
        connection: ConnectionId,
        /// What.
        stanza: Stanza,
    },
    /// The stanza cannot be sent: [`bounce`](crate::bounce) it, or hand it to somebody else.
    Return {
        /// What.
        stanza: Stanza,
        /// Why.
        reason: Reason,
    },
}
