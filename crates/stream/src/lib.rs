//! **XMPP streams without IO**: bytes to headers, elements, stanzas and footers, and back.
//!
//! This is RFC 6120 §4 (streams) and §11 (XML) and the vocabulary that all crates of onetrip share. It negotiates
//! nothing: what a `<starttls/>` means is for `onetrip-negotiation`, what comes after what for `onetrip-core`.
//!
//! ```text
//!   bytes in any split --> Reader --> Frame::{Header, Element, Stanza, Footer}
//!   bytes to write     <-- Writer <-- header, element, stanza, error, footer
//! ```
//!
//! # What it promises
//!
//! - The [`Reader`] takes bytes in any split and gives the same frames, or the same error at the same byte.
//! - It stops exactly behind the `>` that completes a frame and never looks at the byte behind it: what follows may
//!   be TLS, a new document, or an attack.
//! - A [`Stanza`] is bytes, in a form that every XML parser reads alike, and a head to route by that shares them; it
//!   becomes a tree when somebody asks. What came in such a form stays as it is, all else is written anew.
//! - Peer input never panics, and no more is held than [`Limits`] say; they bite before a tree exists.
//! - Every violation is one [`ReadErrorKind`] with the stream error to answer and the section it comes from.
//! - The [`Writer`] cannot panic, and writes nothing when it refuses.
//!
//! # Example
//!
//! ```
//! use onetrip_stream::{Frame, Limits, Reader};
//!
//! let mut reader = Reader::new(Limits::default());
//! let mut wire: &[u8] = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
//!     to='capulet.lit' version='1.0'><message to='juliet@capulet.lit'><body>hi</body></message></stream:stream>";
//! while let Some(frame) = reader.next(&mut wire)? {
//!     match frame {
//!         Frame::Header(header) => assert_eq!(header.to.unwrap().to_string(), "capulet.lit"),
//!         Frame::Stanza(stanza) => assert_eq!(stanza.head().to.as_deref(), Some("juliet@capulet.lit")),
//!         Frame::Footer => println!("closed"),
//!         other => println!("{other:?}"),
//!     }
//! }
//! # Ok::<(), onetrip_stream::ReadError>(())
//! ```
//!
//! # States
//!
//! [`Reader`]:
//!
//! | state | next frame | leads to |
//! |---|---|---|
//! | prolog | header | between, or empty |
//! | behind (another document) | header, or the footer of that document | between, or empty; closed |
//! | between | element or stanza, or footer | between, or closed |
//! | empty (behind a header that was an empty element) | footer | closed |
//! | closed | nothing but white space | closed |
//! | any | what breaks a rule | failed |
//!
//! Explored from the machines themselves, and drawn, they are in `docs/states.md` of the repository.
//!
//! # Limits
//!
//! | what | before authentication | after |
//! |---|---|---|
//! | bytes of a stream header | 4 KiB | 4 KiB |
//! | bytes of a first-level element | 10,000 (the least RFC 6120 §13.12 allows) | 256 KiB |
//! | bytes of a name or value | 256, 8 KiB | the same |
//! | bytes without content, such as white space in a tag | 16 KiB | 16 KiB |
//! | levels, attributes, elements | 16, 64, 256 | 64, 256, 4096 |
//! | bytes in total | 64 KiB, counted by `onetrip-core` | |
//!
//! # Features
//!
//! `tokens` brings what FAST, instant stream resumption and the HT mechanisms share: `Token`, its hash, and proofs of
//! having one. Off by default, since it needs cryptography.
//!
//! # The scanner inside
//!
//! Bytes are checked where they stand by a scanner of our own (module `scan`: its grammar is a table), which looks at each
//! once, however they are cut. It refuses what the parser [rxml] refuses and, with less of it, what no two parsers
//! read alike:
//!
//! | refused here | rxml |
//! |---|---|
//! | two default namespaces in one tag | takes the last |
//! | the namespace of `xmlns`, bound | lets it pass |
//! | a literal CR in a value, if no LF follows | drops it before some characters, refuses it before others |
//! | a CDATA section outside of the root or between first-level elements | lets an empty one pass |
//! | a quote that is out of place | refuses it when what follows has ended |
//!
//! `tests/tests/scanner.rs` holds the two side by side. [minidom] holds negotiation elements, and what somebody asks
//! for as a tree; its reader and writer are never used, since they accept duplicate attributes and panic on well-formed
//! stanzas. A test stands behind each of these statements.
//!
//! # Requirements
//!
//! RFC 6120 §4.2, §4.7 to §4.9, §11; ZH-R1 (a primed reader), ZH-23, ZH-25, ZH-27.

mod address;
mod build;
mod condition;
mod encode;
mod env;
mod error;
mod front;
mod header;
mod limits;
#[cfg(feature = "tokens")]
mod login;
pub mod ns;
mod pair;
mod payload;
mod reader;
mod rewrite;
mod scan;
mod secret;
mod stanza;
pub mod stored;
mod text;
mod tree;
mod writer;

pub use address::{AddressError, Domain, DomainRef, Jid};
pub use build::Build;
pub use condition::{Condition, StreamError};
pub use env::{Clock, Entropy, Env, Instant};
pub use error::{ReadError, ReadErrorKind, WriteError};
pub use header::{Content, StreamHeader, Version};
pub use limits::{Limit, Limits};
#[cfg(feature = "tokens")]
pub use login::{Prover, ResponderProof, Token, TokenHash, TokenProof};
pub use pair::Pair;
pub use payload::Payload;
pub use reader::{Frame, Reader};
pub use secret::Secret;
pub use stanza::{Head, Stanza, StanzaKind};
pub use text::Text;
pub use writer::Writer;
