//! **Typed stanzas**: [`xmpp-parsers`](xmpp_parsers)' message, presence and iq to and from the [`Stanza`]s of a connection.
//!
//! ```
//! use onetrip_stream::{Content, Stanza};
//! use onetrip_xmpp_parsers::{read, write, xmpp_parsers};
//! use xmpp_parsers::message::{Message, MessageType};
//! use xmpp_parsers::stanza::Stanza as Typed;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let message = Message::new(Some("romeo@montague.lit".parse()?)).with_body("".into(), "Wherefore?".into());
//! let stanza: Stanza = write(message)?; // for `Connection::send`, or a client's
//! assert_eq!(stanza.head().to.as_deref(), Some("romeo@montague.lit"));
//!
//! let arrived = Stanza::parse(b"<message type='chat' from='romeo@montague.lit'><body>hi</body></message>", Content::Client)?;
//! match read(&arrived)? {
//!     Typed::Message(message) => assert_eq!(message.type_, MessageType::Chat),
//!     Typed::Presence(_) | Typed::Iq(_) => unreachable!(),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Both types are of other crates, which is why this is two functions and not `TryFrom` (the orphan rule).
//!
//! # What to know
//!
//! - What `xmpp-parsers` does not take is an error of this crate, never one of the stream: the stanza is well-formed and its
//!   sender may be answered. A stanza that is only to be passed on needs no types at all.
//! - Payloads it has no type for stay elements; attributes it has no place for are lost; a language that is inherited is said
//!   again at each text, and a presence has a priority.
//! - Stanzas between servers (`jabber:server`) are read as those of clients: `xmpp-parsers` knows no others.
//! - Each of its releases breaks its interface, and so will this crate's; no other crate of ours depends on it.

use minidom::Element;
use onetrip_stream::{Content, Stanza};
use xmpp_parsers::stanza::Stanza as Typed;

pub use xmpp_parsers;

/// A stanza that `xmpp-parsers` does not take.
#[derive(Debug, thiserror::Error)]
#[error("expected a stanza that xmpp-parsers has a type for: {0}")]
pub struct ReadError(#[source] xso::error::Error);

/// A value that is no stanza of a stream.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// `xmpp-parsers` cannot write it.
    #[error("xmpp-parsers cannot write it: {0}")]
    Build(#[source] xso::error::Error),
    /// It holds what XML cannot, or is of another namespace.
    #[error(transparent)]
    Stanza(#[from] onetrip_stream::WriteError),
}

/// The typed form of a stanza.
///
/// # Errors
/// [`ReadError`] when `xmpp-parsers` does not take it: answer an iq with `bad-request`.
pub fn read(stanza: &Stanza) -> Result<Typed, ReadError> {
    let mut element = stanza.element();
    if stanza.head().content == Content::Server {
        // The bytes rely on the content namespace alone, so they say the same in the other one (RFC 6120 §4.8.3).
        if let Ok(same) = Stanza::parse(stanza.bytes(), Content::Client) {
            element = same.element();
        }
    }
    xso::transform(&element).map_err(ReadError)
}

/// The stanza of a [`Message`](xmpp_parsers::message::Message), a [`Presence`](xmpp_parsers::presence::Presence) or an
/// [`Iq`](xmpp_parsers::iq::Iq), for a client's stream.
///
/// # Errors
/// [`WriteError`] when it cannot be written; text may hold characters that XML does not have.
pub fn write(typed: impl Into<Typed>) -> Result<Stanza, WriteError> {
    let element: Element = xso::transform(&typed.into()).map_err(WriteError::Build)?;
    Ok(Stanza::from_element(&element)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, content: Content) -> Stanza {
        Stanza::parse(text.as_bytes(), content).unwrap()
    }

    /// RFC 6120 §8: each kind, there and back, with its addresses and what it carries.
    #[test]
    fn every_kind_of_stanza_goes_there_and_back() {
        for text in [
            "<message to='romeo@montague.lit/orchard' from='juliet@capulet.lit/balcony' id='m1' type='chat'>\
             <subject>hi</subject><body>Art &lt;thou&gt; &amp; Romeo?</body><x xmlns='urn:example:unknown' a='1'>text</x></message>",
            "<message/>",
            "<presence><priority>0</priority></presence>",
            "<presence type='subscribe' to='romeo@montague.lit'><priority>0</priority></presence>",
            "<presence><show>dnd</show><status>wooing</status><priority>7</priority></presence>",
            "<iq type='get' id='q1' to='capulet.lit'><ping xmlns='urn:xmpp:ping'/></iq>",
            "<iq type='set' id='q2'><anything xmlns='urn:example:unknown'/></iq>",
            "<iq type='result' id='q3' from='capulet.lit'/>",
            "<iq type='error' id='q4'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
        ] {
            let stanza = parse(text, Content::Client);
            let typed = read(&stanza).unwrap();
            let back = write(typed).unwrap();
            let (first, second) = (stanza.element(), back.element());
            for name in ["to", "from", "id"] {
                assert_eq!(first.attr(name), second.attr(name), "{text}");
            }
            // What is implied may be said, and the other way round.
            let kind = |element: &Element| element.attr("type").map(str::to_owned);
            assert!(
                kind(&first) == kind(&second) || kind(&first).is_none() || kind(&second).is_none(),
                "{text}"
            );
            let children = |element: &Element| {
                let mut all: Vec<String> = element.children().map(String::from).collect();
                all.sort();
                all
            };
            assert_eq!(children(&first), children(&second), "{text}");
            assert_eq!(read(&back).unwrap(), read(&stanza).unwrap(), "{text}");
        }
    }

    #[test]
    fn a_stanza_between_servers_is_read_alike() {
        let text =
            "<message to='romeo@montague.lit' from='juliet@capulet.lit'><body>hi</body></message>";
        let [server, client] =
            [Content::Server, Content::Client].map(|content| read(&parse(text, content)).unwrap());
        assert_eq!(server, client);
    }

    #[test]
    fn what_has_no_type_is_an_error_that_says_so() {
        for text in [
            "<iq type='get' id='q1'/>",
            "<iq type='what' id='q1'/>",
            "<message to='@'/>",
            "<presence><priority>high</priority></presence>",
        ] {
            let error = read(&parse(text, Content::Client)).unwrap_err();
            assert!(
                error.to_string().starts_with("expected a stanza"),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn what_xml_cannot_hold_is_not_written() {
        let message = xmpp_parsers::message::Message::new(None)
            .with_body(String::new().into(), "\u{0}".into());
        assert!(write(message).is_err());
    }
}
