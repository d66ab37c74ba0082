//! **In-band bytestreams** ([XEP-0047], [XEP-0261]): bytes in the stanzas of streams that are there anyway.
//!
//! [`Bytestream`] is one bytestream at one end, both directions of it. [`unknown`] answers for stanzas that no
//! bytestream took.
//!
//! ```text
//! R: <iq type='set' id='1' to='juliet…'><open xmlns='http://jabber.org/protocol/ibb' sid='s' block-size='4096'/></iq>
//! J: <iq type='result' id='1' to='romeo…'/>
//! R: <iq type='set' id='2' to='juliet…'><data xmlns='http://jabber.org/protocol/ibb' sid='s' seq='0'>PC9z…</data></iq>
//! J: <iq type='result' id='2' to='romeo…'/>
//! J: <iq type='set' id='9' to='romeo…'><close xmlns='http://jabber.org/protocol/ibb' sid='s'/></iq>
//! R: <iq type='result' id='9' to='juliet…'/>
//! ```
//!
//! | what the peer does | answer |
//! |---|---|
//! | a gap in `seq` | `unexpected-request`, `<close/>`; nothing behind it is read |
//! | a `seq` that was used | `unexpected-request`; it is the peer that must close (XEP-0047 §2.2) |
//! | bad base64, a chunk above the block size | `bad-request`, `<close/>` |
//! | more than twice the buffer that nobody reads | `resource-constraint`, `<close/>` |
//! | `<open/>` with another block size | `resource-constraint`; it may open again |
//! | another sender, another sid | not taken: [`unknown`] says `item-not-found` |
//!
//! A chunk is acknowledged when there is room for another one, so a reader that is slow slows the sender down. What a
//! cut of the stream below loses is for stream management to send again: this machine never repeats a chunk.
//!
//! [XEP-0047]: https://xmpp.org/extensions/xep-0047.html
//! [XEP-0261]: https://xmpp.org/extensions/xep-0261.html
//!
//! # States
//!
//! [`Bytestream`]:
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | opening | the answer to `<open/>` | open, closed |
//! | awaiting | `<open/>` | open |
//! | open | `<data/>`, answers, `write`, `read` | open |
//! | open, opening | `close` | finishing: what waits goes out first |
//! | finishing | the last acknowledgement | closing: `<close/>` is sent |
//! | closing | its answer, or the peer's own `<close/>` | closed |
//! | open, finishing | `<close/>` | answering: what waits goes out first (XEP-0047 §2.3) |
//! | answering | the last acknowledgement | closed: the answer is sent |
//! | any | an error, silence | closed |
//!
//! Explored from the machines themselves, and drawn, they are in `docs/states.md` of the repository.

mod bytestream;
mod incoming;
mod machine;
mod outgoing;
mod saying;
#[cfg(test)]
mod tests;
mod wire;

pub use bytestream::Bytestream;
pub use machine::{Action, Event, Why, unknown};
pub use wire::{MAX_OFFER, Packet};

use core::time::Duration;

/// How a bytestream is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The most bytes of one chunk, before they are encoded. Default: 4096; offered as at most [`MAX_OFFER`].
    pub block_size: u16,
    /// Whether `<open/>` must name exactly this block size, as when Jingle has agreed on it (XEP-0261). Default: no, a
    /// smaller one is taken.
    pub exact_block_size: bool,
    /// How many chunks are sent ahead of their acknowledgement. Default: 1, as XEP-0047 §2.2 recommends.
    pub window: u16,
    /// Whether white space in base64 is refused instead of removed. Default: no.
    pub strict_base64: bool,
    /// How many bytes wait to be sent at most. Default: 64 KiB.
    pub send_buffer: usize,
    /// From how many unread bytes on acknowledgements wait. Default: 64 KiB.
    pub receive_buffer: usize,
    /// How long an answer of the peer may take. Default: 30 s.
    pub timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            block_size: 4096,
            exact_block_size: false,
            window: 1,
            strict_base64: false,
            send_buffer: 65_536,
            receive_buffer: 65_536,
            timeout: Duration::from_secs(30),
        }
    }
}

/// The peer broke a rule of the bytestream. Final: the refusal and `<close/>` are queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A chunk is missing (XEP-0047 §2.2).
    #[error("expected the next chunk, got a gap in `seq`")]
    Gap,
    /// A chunk is not base64 (XEP-0047 §5).
    #[error("expected base64 in a chunk, got something else")]
    NotBase64,
    /// A chunk is larger than agreed.
    #[error("expected a chunk of at most the block size, got a larger one")]
    TooLong,
    /// The peer sends far ahead of its acknowledgements.
    #[error("expected the peer to wait for acknowledgements, got more ahead of them than is held")]
    TooMuch,
}
