//! What is said around resumption, as it stands on the wire, and a session to resume.

use onetrip_core::Resumption;
use onetrip_core::isr::{Ticket, Token};
use onetrip_core::stream::Jid;
use onetrip_core::stream_management::{Count, Session};

/// The client, unless a test says otherwise.
pub const ACCOUNT: &str = "juliet@capulet.test/balcony";
/// The opening of a client's document.
pub const HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' from='juliet@capulet.test' to='capulet.test' version='1.0'>";
/// The opening of a server's document.
pub const RESPONSE: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' from='capulet.test' id='x' version='1.0'>";
/// Features under TLS.
pub const PLAIN: &str = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms><isr xmlns='urn:xmpp:isr:0'/></stream:features>";
/// Authenticated.
pub const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
/// Features behind authentication.
pub const BIND: &str = "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><sm xmlns='urn:xmpp:sm:3'/></stream:features>";
/// juliet's credentials.
pub const AUTH: &str =
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldABzZWNyZXQ=</auth>";
/// A request for a resource.
pub const ASK: &str = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>balcony</resource></bind></iq>";
/// A request for a session that may be resumed.
pub const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>";
/// A request to acknowledge.
pub const REQUEST: &str = "<r xmlns='urn:xmpp:sm:3'/>";

/// A stanza.
#[must_use]
pub fn message(number: u32) -> String {
    format!("<message id='{number}'/>")
}

/// Stanzas.
#[must_use]
pub fn messages(numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
    numbers.into_iter().map(message).collect()
}

/// A refusal.
#[must_use]
pub fn failed(namespace: &str, condition: &str) -> String {
    format!(
        "<failed xmlns='{namespace}'><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"
    )
}

/// What goes into the stream error for a count that was never reached (XEP-0198 §6).
#[must_use]
pub fn too_high(h: u32, sent: u32) -> String {
    format!("<handled-count-too-high xmlns='urn:xmpp:sm:3' h='{h}' send-count='{sent}'/>")
}

/// An acknowledgement.
#[must_use]
pub fn ack(h: u32) -> String {
    format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>")
}

/// A request to resume.
#[must_use]
pub fn resume(previd: &str, h: u32) -> String {
    format!("<resume xmlns='urn:xmpp:sm:3' previd='{previd}' h='{h}'/>")
}

/// The same by token.
#[must_use]
pub fn inst_resume(token: &str, h: u32) -> String {
    format!("<inst-resume xmlns='urn:xmpp:isr:0' tok='{token}' h='{h}'/>")
}

/// The session `s1`, as its client stored it: 9 stanzas handled, and two of its own that are not acknowledged.
#[must_use]
pub fn stored() -> Resumption {
    let owner: Jid = ACCOUNT.parse().expect("an address");
    let unacked = messages(1..=2).into_iter().map(Into::into).collect();
    let session = Session::new("s1", &owner, Count::new(0), Count::new(9), unacked);
    Resumption::new(session)
}

/// The token `t0ken`.
#[must_use]
pub fn ticket() -> Ticket {
    Ticket::new(Token::read("t0ken").expect("a token"), None)
}
