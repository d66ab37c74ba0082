//! What the peer of a connection might write, unit by unit, good and bad.

use crate::words::{ASK, AUTH, BIND, ENABLE, HEADER, PLAIN, REQUEST, RESPONSE, SUCCESS};

/// What anybody might write.
const ANY: &[&str] = &[
    " ",
    "\r\n",
    "</stream:stream>",
    "<",
    ">",
    "<!-- -->",
    "<?xml version='1.0'?>",
    "<?xml version='1.0' encoding='latin1'?>",
    "<!DOCTYPE x>",
    "&amp;",
    "text",
    "\u{feff}",
    "<x xmlns='urn:x'/>",
    "<x xmlns='urn:x'><y><z>",
    "<x",
    "</x>",
    "<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
    "<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>[::1]:5222</see-other-host></stream:error></stream:stream>",
    "\u{16}\u{3}\u{1}",
];

/// Stanzas and the nonzas around them, as either end of a client's stream might write them.
const STANZAS: &[&str] = &[
    "<message/>",
    "<message id='1' from='juliet@capulet.test/balcony' to='romeo@montague.lit'><body>hi</body></message>",
    "<message from='mallory@example.org'/>",
    "<presence/>",
    "<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>",
    "<iq type='result' id='b'/>",
    "<iq type='set'/>",
    "<message xmlns='jabber:server'/>",
    REQUEST,
    "<a xmlns='urn:xmpp:sm:3' h='0'/>",
    "<a xmlns='urn:xmpp:sm:3' h='1'/>",
    "<a xmlns='urn:xmpp:sm:3' h='2'/>",
    "<a xmlns='urn:xmpp:sm:3' h='4294967295'/>",
    "<a xmlns='urn:xmpp:sm:3' h='-1'/>",
    "<a xmlns='urn:xmpp:sm:3'/>",
];

/// What a server might write to its client.
const TO_CLIENT: &[&str] = &[
    RESPONSE,
    PLAIN,
    SUCCESS,
    BIND,
    "<stream:features/>",
    "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>",
    "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms></stream:features>",
    "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-1</mechanism><mechanism>EXTERNAL</mechanism></mechanisms></stream:features>",
    "<stream:features><authentication xmlns='urn:xmpp:sasl:2'><mechanism>PLAIN</mechanism><inline><bind xmlns='urn:xmpp:bind:0'><inline><feature var='urn:xmpp:sm:3'/></inline></bind><sm xmlns='urn:xmpp:sm:3'/><fast xmlns='urn:xmpp:fast:0'><mechanism>HT-SHA-256-NONE</mechanism></fast></inline></authentication></stream:features>",
    "<stream:features><limits xmlns='urn:xmpp:features:pipelining'/><pipelining xmlns='urn:xmpp:features:pipelining'/><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><sm xmlns='urn:xmpp:sm:3'/><isr xmlns='urn:xmpp:isr:0'/></stream:features>",
    "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>",
    "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><temporary-auth-failure/><text>later</text></failure>",
    "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>cj1hLHM9YWJjZCxpPTQwOTY=</challenge>",
    "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>dj1hYmNk</success>",
    "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>juliet@capulet.test/balcony</authorization-identifier><bound xmlns='urn:xmpp:bind:0'/></success>",
    "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>juliet@capulet.test/balcony</authorization-identifier><resumed xmlns='urn:xmpp:sm:3' previd='s1' h='1'/></success>",
    "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>juliet@capulet.test</authorization-identifier><bound xmlns='urn:xmpp:bind:0'><enabled xmlns='urn:xmpp:sm:3' id='s2' resume='true'/></bound><token xmlns='urn:xmpp:fast:0' expiry='2030-01-01T00:00:00Z' token='t'/></success>",
    "<failure xmlns='urn:xmpp:sasl:2'><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></failure>",
    "<continue xmlns='urn:xmpp:sasl:2'><tasks><task>TOTP</task></tasks></continue>",
    "<challenge xmlns='urn:xmpp:sasl:2'>AAAA</challenge>",
    "<iq type='result' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>juliet@capulet.test/balcony</jid></bind></iq>",
    "<enabled xmlns='urn:xmpp:sm:3' id='s2' resume='true' max='300'/>",
    "<enabled xmlns='urn:xmpp:sm:3' xmlns:isr='urn:xmpp:isr:0' id='s2' resume='true' isr:tok='new' isr:location='capulet.test:5223'/>",
    "<resumed xmlns='urn:xmpp:sm:3' previd='s1' h='1'/>",
    "<resumed xmlns='urn:xmpp:sm:3' previd='s1' h='9'/>",
    "<failed xmlns='urn:xmpp:sm:3' h='1'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>",
    "<inst-resumed xmlns='urn:xmpp:isr:0' tok='fresh' h='2'/>",
    "<inst-resumed xmlns='urn:xmpp:isr:0' h='2'/>",
    "<failed xmlns='urn:xmpp:isr:0'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>",
];

/// What a client might write to its server.
const TO_SERVER: &[&str] = &[
    HEADER,
    AUTH,
    ASK,
    ENABLE,
    "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='capulet.test' version='1.0'>",
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='other.test' version='1.0'>",
    "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' to='capulet.test' version='1.0'>",
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='capulet.test'>",
    "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldAB3cm9uZw==</auth>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>biwsbj1qdWxpZXQscj1hYmM=</auth>",
    "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>AGp1bGlldABzZWNyZXQ=</response>",
    "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>====</response>",
    "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>AGp1bGlldABzZWNyZXQ=</initial-response><user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'/><bind xmlns='urn:xmpp:bind:0'><tag>x</tag><enable xmlns='urn:xmpp:sm:3' resume='true'/></bind></authenticate>",
    "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>AGp1bGlldABzZWNyZXQ=</initial-response><user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'/><request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-NONE'/><resume xmlns='urn:xmpp:sm:3' previd='s1' h='0'/></authenticate>",
    "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='HT-SHA-256-NONE'><initial-response>anVsaWV0AAAA</initial-response><user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'/><fast xmlns='urn:xmpp:fast:0' count='1'/></authenticate>",
    "<response xmlns='urn:xmpp:sasl:2'>AAAA</response>",
    "<next xmlns='urn:xmpp:sasl:2' task='TOTP'/>",
    "<abort xmlns='urn:xmpp:sasl:2'/>",
    "<resume xmlns='urn:xmpp:sm:3' previd='s1' h='0'/>",
    "<resume xmlns='urn:xmpp:sm:3' previd='nobody' h='0'/>",
    "<inst-resume xmlns='urn:xmpp:isr:0' tok='t0ken' h='0'/>",
    "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>\u{1F600}</resource></bind></iq>",
    "<iq type='set' id='s'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>",
];

/// What another server might write, on a connection of either direction.
const BETWEEN_SERVERS: &[&str] = &[
    "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' from='capulet.lit' to='montague.lit' version='1.0'>",
    "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' from='montague.lit' to='capulet.lit' id='x' version='1.0'>",
    "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' id='x'>",
    "<stream:features/>",
    "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls><dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback></stream:features>",
    "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms><bidi xmlns='urn:xmpp:features:bidi'/><dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback></stream:features>",
    "<stream:features><bidi xmlns='urn:xmpp:features:bidi'/></stream:features>",
    "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    "<bidi xmlns='urn:xmpp:bidi'/>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>Y2FwdWxldC5saXQ=</auth>",
    SUCCESS,
    "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>",
    "<db:result from='capulet.lit' to='montague.lit'>key</db:result>",
    "<db:result from='chat.capulet.lit' to='chat.montague.lit'>key</db:result>",
    "<db:result from='mallory.lit' to='montague.lit'>key</db:result>",
    "<db:result from='montague.lit' to='capulet.lit' type='valid'/>",
    "<db:result from='montague.lit' to='capulet.lit' type='invalid'/>",
    "<db:result from='montague.lit' to='capulet.lit' type='error'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>",
    "<db:result from='montague.lit' to='capulet.lit'>key</db:result>",
    "<db:result/>",
    "<db:verify from='capulet.lit' to='montague.lit' id='x'>key</db:verify>",
    "<db:verify from='montague.lit' to='capulet.lit' id='x' type='valid'/>",
    "<message from='juliet@capulet.lit' to='romeo@montague.lit'/>",
    "<message from='romeo@montague.lit' to='juliet@capulet.lit'/>",
    "<message from='juliet@chat.capulet.lit' to='romeo@chat.montague.lit'/>",
    "<message from='mallory@mallory.lit' to='romeo@montague.lit'/>",
    "<message to='romeo@montague.lit'/>",
    "<message xmlns='jabber:client' from='juliet@capulet.lit' to='romeo@montague.lit'/>",
    "<iq type='get' id='p' from='montague.lit' to='capulet.lit'><ping xmlns='urn:xmpp:ping'/></iq>",
    "<a xmlns='urn:xmpp:sm:3' h='0'/>",
];

/// What somebody might write on a zero-handshake link, to the ground or to the air.
const ON_LINKS: &[&str] = &[
    "<message from='pilot@air.example' to='ops@ground.example'/>",
    "<message from='ops@ground.example' to='pilot@air.example'/>",
    "<iq type='get' id='1' from='pilot@muc.air.example/x' to='ops@muc.ground.example'><q xmlns='urn:q'/></iq>",
    "<message from='a@mallory.example' to='ops@ground.example'/>",
    "<message from='@' to='ops@ground.example'/>",
    "<presence/>",
    "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams'>",
    "<stream:features/>",
    "<bidi xmlns='urn:xmpp:bidi'/>",
    "<db:result>",
    "<r xmlns='urn:xmpp:sm:3'/>",
    "<a xmlns='urn:xmpp:sm:3' h='0'/>",
    "<a xmlns='urn:xmpp:sm:3' h='1'/>",
    "<a xmlns='urn:xmpp:sm:3' h='7'/>",
    "<enable xmlns='urn:xmpp:sm:3'/>",
];

/// Whom a line is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    Client,
    Server,
    Peer,
    Link,
}

impl Reader {
    /// What it might be given.
    pub(super) fn lines(self) -> Vec<&'static str> {
        let lists: &[&[&str]] = match self {
            Self::Client => &[TO_CLIENT, STANZAS, ANY],
            Self::Server => &[TO_SERVER, STANZAS, ANY],
            Self::Peer => &[BETWEEN_SERVERS, ANY],
            Self::Link => &[ON_LINKS, ANY],
        };
        lists.concat()
    }
}
