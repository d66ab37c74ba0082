//! Early data that is anything but one login by token ends the stream (XEP-0388 §3, XEP-0198 §10, ISR-R7).

use onetrip_core::negotiation::sasl;
use onetrip_core::quickstart::Transport;
use onetrip_core::stream::{Env, Instant};
use onetrip_core::{
    Action, Connection, ErrorKind, Event, InstantResume, Request, Sasl2Offer, ServerConfig, TlsInfo,
};
use onetrip_simulator::Seeded;
use onetrip_tests::early::Room;
use onetrip_tests::words::{AUTH, HEADER, inst_resume};

const PLAIN: &str = "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>AGp1bGlldABzZWNyZXQ=</initial-response></authenticate>";

/// A server in the middle of its handshake.
struct Server {
    connection: Connection,
    entropy: Seeded,
    written: String,
    swaps: usize,
    others: usize,
    online: bool,
    closed: bool,
}

impl Server {
    fn new(early: bool) -> Self {
        let domains = vec![
            "capulet.test"
                .parse::<onetrip_core::stream::Jid>()
                .unwrap()
                .domain()
                .clone(),
        ];
        let mechanisms = vec![sasl::Mechanism::ScramSha256, sasl::Mechanism::Plain];
        let sasl = sasl::ReceiverConfig::new(mechanisms);
        let mut config = ServerConfig::new(domains, Transport::DirectTls, sasl);
        config.management = Some(Default::default());
        config.instant_resume = Some(InstantResume::default());
        let mut offer = Sasl2Offer::default();
        (offer.fast, offer.early) = (true, early);
        config.sasl2 = Some(offer);
        let mut entropy = Seeded::new(3);
        let env = &mut Env::new(Instant::EPOCH, &mut entropy);
        let mut this = Self {
            connection: Connection::server(config, env),
            entropy,
            written: String::new(),
            swaps: 0,
            others: 0,
            online: false,
            closed: false,
        };
        this.drain();
        this
    }

    fn early(&mut self, text: &str) -> Result<(), ErrorKind> {
        let env = &mut Env::new(Instant::EPOCH, &mut self.entropy);
        let result = self
            .connection
            .receive_early(env, &TlsInfo::new(), text.as_bytes());
        self.drain();
        result.map_err(|error| error.kind)
    }

    fn established(&mut self, plain: &str) {
        let env = &mut Env::new(Instant::EPOCH, &mut self.entropy);
        let told = self
            .connection
            .tls_established(env, TlsInfo::new(), plain.as_bytes());
        told.unwrap();
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(action) = self.connection.poll_action() {
            match action {
                Action::Transmit(bytes) => {
                    self.written.push_str(std::str::from_utf8(&bytes).unwrap())
                }
                Action::Request(Request::FastSwap(_)) => self.swaps += 1,
                Action::Request(_) => self.others += 1,
                Action::Event(Event::Online { .. }) => self.online = true,
                Action::Close => self.closed = true,
                _ => {}
            }
        }
    }
}

/// A login by token as a client sends it.
fn login() -> String {
    let mut room = Room::default();
    let (pair, _) = room.log_in();
    room.close(pair);
    let (pair, _) = room.log_in();
    let early = room.sides[pair[1]].early();
    early[early.find("<authenticate").unwrap()..].to_owned()
}

#[test]
fn the_login_of_a_client_is_asked_about_and_nothing_else() {
    let mut server = Server::new(true);
    server.early(&format!("{HEADER}{}", login())).unwrap();
    assert_eq!((server.swaps, server.others), (1, 0));
    assert!(server.written.contains("tls-0rtt='true'"));
    // Channel binding is offered as if the handshake had ended (QS-R2).
    for name in ["SCRAM-SHA-256", "HT-SHA-256-EXPR", "urn:xmpp:sasl:2"] {
        assert!(server.written.contains(name), "{name}: {}", server.written);
    }
}

#[test]
fn anything_else_ends_the_stream() {
    let login = login();
    for text in [
        format!("{HEADER}<message/>"),
        format!(
            "{HEADER}<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"
        ),
        format!("{HEADER}{AUTH}"),
        format!("{HEADER}<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
        format!("{HEADER}{}", inst_resume("t0ken", 0)),
        format!("{HEADER}<resume xmlns='urn:xmpp:sm:3' h='0' previd='s1'/>"),
        format!("{HEADER}<response xmlns='urn:xmpp:sasl:2'/>"),
        format!(
            "{HEADER}{}",
            login.replace("urn:xmpp:sasl:2", "urn:xmpp:sasl:1")
        ),
        format!("{HEADER}{login}<message/>"),
        format!("{HEADER}{login}{login}"),
        format!("{HEADER}{login} "),
        format!("{HEADER}{PLAIN}{PLAIN}"),
        format!("{HEADER}</stream:stream>"),
    ] {
        let mut server = Server::new(true);
        assert_eq!(server.early(&text), Err(ErrorKind::Early), "{text}");
        assert!(server.closed && !server.online, "{text}");
        assert_eq!(server.others, 0, "{text}");
        assert!(
            server.written.contains("<policy-violation"),
            "{}",
            server.written
        );
        assert!(!server.written.contains("<success"));
        assert_eq!(server.early("<x/>"), Err(ErrorKind::Early), "repeated");
    }
}

/// Refused without being looked at; behind the handshake the client may try again.
#[test]
fn a_password_is_not_even_looked_at() {
    let scram = PLAIN.replace("PLAIN", "SCRAM-SHA-256");
    for text in [PLAIN, &scram] {
        let mut server = Server::new(true);
        server.early(&format!("{HEADER}{text}")).unwrap();
        assert_eq!((server.swaps, server.others), (0, 0), "{text}");
        assert!(
            server
                .written
                .ends_with("<not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></failure>")
        );
        server.established(PLAIN);
        assert_eq!(server.others, 1, "the same, behind the handshake");
    }
}

/// XEP-0484 §3.4: no count, no early data.
#[test]
fn a_token_without_a_count_or_with_a_binding_is_refused() {
    let login = login();
    let uncounted = login.replacen(" count='1'", "", 1);
    assert_ne!(login, uncounted);
    let bound = login.replace("HT-SHA-256-NONE", "HT-SHA-256-EXPR");
    for (text, asked) in [(uncounted, 1), (bound, 0)] {
        let mut server = Server::new(true);
        server.early(&format!("{HEADER}{text}")).unwrap();
        // Without a count it is for whoever keeps the tokens to say no, and `Tokens` does.
        assert_eq!(server.swaps, asked, "{text}");
        assert!(!server.online);
    }
}

#[test]
fn a_server_that_does_not_take_it_takes_none() {
    let mut server = Server::new(false);
    let text = format!("{HEADER}{}", login());
    assert_eq!(server.early(&text), Err(ErrorKind::Early));
    assert!(server.closed && server.swaps == 0);
    // In the middle of a handshake there is nobody who could read an answer.
    assert_eq!(server.written, "");
}

/// What is finished behind the handshake is no replay, wherever it began.
#[test]
fn what_ends_behind_the_handshake_is_not_early() {
    let whole = format!("{HEADER}{PLAIN}");
    for split in [0, 20, HEADER.len(), HEADER.len() + 30, whole.len() - 1] {
        let mut server = Server::new(true);
        let (early, late) = whole.split_at(split);
        if !early.is_empty() {
            server.early(early).unwrap();
        }
        assert_eq!(server.others, 0);
        server.established(late);
        assert_eq!(server.others, 1, "{split}");
    }
}

/// Behind the handshake nothing is early.
#[test]
fn early_data_behind_the_handshake_is_an_error() {
    let mut server = Server::new(true);
    server.established(HEADER);
    assert_eq!(server.early("<x/>"), Err(ErrorKind::Early));
    assert!(server.closed);
}
