//! Two clients, the servers that pass their stanzas on, and the network between them: sockets, a proxy.
//!
//! Everything is real but TLS, which may be [`Pretended`]: then every byte is the same in every run.

mod asserted;
mod duo;
mod network;
mod setting;
mod side;
mod tls;

pub use duo::Duo;
pub use network::{Cable, Server};
pub use setting::{Setting, by_proxy, direct};
pub use side::{Side, verb};
pub use tls::{Pretended, Tls, pretended};

use onetrip_core::stream::{Content, Jid, Stanza};

/// The initiator's place in every pair.
pub const ROMEO: usize = 0;
/// The responder's.
pub const JULIET: usize = 1;

/// How the ends are called in a log.
const NAMES: [&str; 2] = ["R", "J"];

/// Bytes as text that keeps them all apart.
#[must_use]
pub fn escaped(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|byte| match byte {
            b' '..=b'~' if *byte != b'\\' => char::from(*byte).to_string(),
            byte => format!("\\x{byte:02x}"),
        })
        .collect()
}

/// Who stands at an end.
#[must_use]
pub fn address(end: usize) -> Jid {
    let text = ["romeo@montague.lit/orchard", "juliet@capulet.lit/balcony"][end];
    text.parse().expect("an address")
}

/// The proxy's address.
#[must_use]
pub fn proxy_address() -> Jid {
    "proxy.verona.lit".parse().expect("an address")
}

/// A message without addresses.
#[must_use]
pub fn message(body: &str) -> Stanza {
    let text = format!("<message><body>{body}</body></message>");
    Stanza::parse(text.as_bytes(), Content::Client).expect("a stanza")
}
