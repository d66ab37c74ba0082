//! Every namespace name this crate's users meet, with the section that defines it.

/// Stream header, features and errors (RFC 6120 §4.8.1).
pub const STREAMS: &str = "http://etherx.jabber.org/streams";
/// Conditions inside `<stream:error/>` (RFC 6120 §4.9.3).
pub const STREAM_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
/// Conditions inside a stanza's `<error/>` (RFC 6120 §8.3.3).
pub const STANZA_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
/// Content namespace between a client and its server (RFC 6120 §4.8.2).
pub const CLIENT: &str = "jabber:client";
/// Content namespace between servers (RFC 6120 §4.8.2).
pub const SERVER: &str = "jabber:server";
/// STARTTLS (RFC 6120 §5).
pub const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
/// SASL (RFC 6120 §6).
pub const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
/// Resource binding (RFC 6120 §7).
pub const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
/// The obsolete session feature of RFC 3921 §3, still announced by servers.
pub const SESSION: &str = "urn:ietf:params:xml:ns:xmpp-session";
/// Server dialback (XEP-0220 §2.1), bound to the prefix `db`.
pub const DIALBACK: &str = "jabber:server:dialback";
/// The feature that announces dialback, and its errors (XEP-0220 §2.4.2).
pub const DIALBACK_FEATURE: &str = "urn:xmpp:features:dialback";
/// The request for a bidirectional stream (XEP-0288 §2.2).
pub const BIDI: &str = "urn:xmpp:bidi";
/// The feature that announces bidirectional streams (XEP-0288 §2.1).
pub const BIDI_FEATURE: &str = "urn:xmpp:features:bidi";
/// What one end takes on a stream (XEP-0478 §3).
pub const STREAM_LIMITS: &str = "urn:xmpp:stream-limits:0";
/// The pipelining feature (XEP-0305 §3, QS-10).
pub const PIPELINING: &str = "urn:xmpp:features:pipelining";
/// Entity capabilities (XEP-0115).
pub const CAPS: &str = "http://jabber.org/protocol/caps";
/// Roster versioning (RFC 6121 §2.6).
pub const ROSTER_VERSIONING: &str = "urn:xmpp:features:rosterver";
/// Channel binding types (XEP-0440).
pub const CHANNEL_BINDING: &str = "urn:xmpp:sasl-cb:0";
/// Stream management (XEP-0198).
pub const STREAM_MANAGEMENT: &str = "urn:xmpp:sm:3";
/// Instant stream resumption (its first text, 0.0.1; ISR-02, ISR-13).
pub const ISR: &str = "urn:xmpp:isr:0";
/// Instant stream resumption over SASL2 (XEP-0397).
pub const ISR_SASL2: &str = "https://xmpp.org/extensions/isr/0";
/// The extensible SASL profile (XEP-0388).
pub const SASL2: &str = "urn:xmpp:sasl:2";
/// The same before 2022, which XEP-0397 still names.
pub const SASL2_OLD: &str = "urn:xmpp:sasl:1";
/// Resource binding within SASL2 (XEP-0386).
pub const BIND2: &str = "urn:xmpp:bind:0";
/// Tokens for a login in one flight (XEP-0484).
pub const FAST: &str = "urn:xmpp:fast:0";
/// Which configuration a pipelined login assumes (XEP-0509).
pub const CONFIG_VERSION: &str = "urn:xmpp:iap:0";
/// Message carbons (XEP-0280).
pub const CARBONS: &str = "urn:xmpp:carbons:2";
/// Hash functions by name (XEP-0300 before 1.0, which ISR 0.0.2 names).
pub const HASHES_1: &str = "urn:xmpp:hashes:1";
/// Pings (XEP-0199).
pub const PING: &str = "urn:xmpp:ping";
/// Jingle up to XEP-0166 0.34, and its errors.
pub const JINGLE_0: &str = "urn:xmpp:jingle:0";
/// Jingle errors that go with [`JINGLE_0`].
pub const JINGLE_ERRORS_0: &str = "urn:xmpp:jingle:errors:0";
/// Jingle from XEP-0166 0.35 on.
pub const JINGLE_1: &str = "urn:xmpp:jingle:1";
/// Jingle errors that go with [`JINGLE_1`].
pub const JINGLE_ERRORS_1: &str = "urn:xmpp:jingle:errors:1";
/// XML streams over Jingle in the interim text (XEP-0247 0.2-interim).
pub const XMLSTREAM_INTERIM: &str = "urn:xmpp:tmp:jingle:apps:xmlstream:0";
/// XML streams over Jingle (XEP-0247).
pub const XMLSTREAM: &str = "urn:xmpp:jingle:apps:xmlstream:0";
/// SOCKS5 bytestreams in Jingle, with streamhosts (XEP-0260 0.1).
pub const JINGLE_S5B_0: &str = "urn:xmpp:jingle:transports:s5b:0";
/// SOCKS5 bytestreams in Jingle, with candidates (XEP-0260).
pub const JINGLE_S5B_1: &str = "urn:xmpp:jingle:transports:s5b:1";
/// In-band bytestreams in Jingle, without `<open/>` (XEP-0261 0.1).
pub const JINGLE_IBB_0: &str = "urn:xmpp:jingle:transports:ibb:0";
/// In-band bytestreams in Jingle (XEP-0261).
pub const JINGLE_IBB_1: &str = "urn:xmpp:jingle:transports:ibb:1";
/// In-band bytestreams (XEP-0047).
pub const IBB: &str = "http://jabber.org/protocol/ibb";
/// SOCKS5 bytestreams (XEP-0065).
pub const BYTESTREAMS: &str = "http://jabber.org/protocol/bytestreams";
/// TLS on a Jingle transport (Jingle XTLS).
pub const XTLS: &str = "urn:xmpp:jingle:security:xtls:0";
/// The offers inside it in the interim text (XEP-0250).
pub const C2C_TLS: &str = "urn:xmpp:tmp:c2ctls";
/// Public keys in the interim text (XEP-0189 0.8).
pub const PUBKEY: &str = "urn:xmpp:tmp:pubkey";
/// The reserved prefix `xml` (Namespaces in XML §3).
pub const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// The reserved prefix `xmlns` (Namespaces in XML §3).
pub const XMLNS: &str = "http://www.w3.org/2000/xmlns/";
