//! Bad input (digest §6.1): each class gets its stream error on the wire and a typed error with offset and source.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use onetrip_core::negotiation::sasl;
use onetrip_core::quickstart::{Cache, Key, Policy, Transport};
use onetrip_core::stream::{Condition, Env, Instant, Jid, Secret};
use onetrip_core::{Action, ClientConfig, Connection, End, Error, Event, ServerConfig, TlsInfo};
use onetrip_simulator::Seeded;

const HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='im.example.com' version='1.0'>";
const RESPONSE: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' from='im.example.com' id='x' version='1.0'>";
const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const PROCEED: &str = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const OFFER: &str = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>";

struct Subject {
    connection: Connection,
    entropy: Seeded,
    now: Instant,
    written: String,
    upgrades: usize,
    events: Vec<Event>,
    closed: bool,
}

impl Subject {
    fn client() -> Self {
        let mut entropy = Seeded::new(1);
        let account: Jid = "juliet@im.example.com".parse().unwrap();
        let sasl = sasl::InitiatorConfig::password("juliet", Secret::from("r0m30myr0m30"));
        let plan = Cache::default().plan(
            &Key::new(
                account.domain().clone(),
                Some(&account),
                Transport::StartTls,
            ),
            &Policy::default(),
        );
        let config = ClientConfig::new(account, Transport::StartTls, sasl);
        let connection =
            Connection::client(config, plan, &mut Env::new(Instant::EPOCH, &mut entropy));
        Self::new(connection, entropy)
    }

    fn server(edit: impl FnOnce(&mut ServerConfig)) -> Self {
        let mut entropy = Seeded::new(1);
        let domain = "im.example.com".parse::<Jid>().unwrap().domain().clone();
        let mut config = ServerConfig::new(
            vec![domain],
            Transport::StartTls,
            sasl::ReceiverConfig::new(vec![sasl::Mechanism::Plain]),
        );
        edit(&mut config);
        let connection = Connection::server(config, &mut Env::new(Instant::EPOCH, &mut entropy));
        Self::new(connection, entropy)
    }

    fn new(connection: Connection, entropy: Seeded) -> Self {
        let mut this = Self {
            connection,
            entropy,
            now: Instant::EPOCH,
            written: String::new(),
            upgrades: 0,
            events: Vec::new(),
            closed: false,
        };
        this.drain();
        this
    }

    fn give(&mut self, bytes: impl AsRef<[u8]>) -> Result<usize, Error> {
        let result = self
            .connection
            .receive(&mut Env::new(self.now, &mut self.entropy), bytes.as_ref());
        self.drain();
        result
    }

    fn secure(&mut self) {
        self.connection
            .tls_established(
                &mut Env::new(self.now, &mut self.entropy),
                TlsInfo::new(),
                &[],
            )
            .unwrap();
        self.drain();
    }

    fn wait(&mut self, span: Duration) {
        self.now = self.now + span;
        self.connection
            .handle_timeout(&mut Env::new(self.now, &mut self.entropy));
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(action) = self.connection.poll_action() {
            assert!(!self.closed, "something behind the close: {action:?}");
            match action {
                Action::Transmit(bytes) => {
                    self.written.push_str(std::str::from_utf8(&bytes).unwrap())
                }
                Action::UpgradeSend | Action::UpgradeReceive => self.upgrades += 1,
                Action::Event(event) => self.events.push(event),
                Action::Close => self.closed = true,
                _ => {}
            }
        }
    }

    /// The error is typed, on the wire, final and repeated.
    fn assert_failed(&mut self, error: &Error, condition: Condition, source: &str) {
        assert_eq!(
            (error.condition(), error.source_section()),
            (Some(condition), source),
            "{error}"
        );
        let tail = format!(
            "<{} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>",
            condition.name()
        );
        assert!(
            self.written.contains(&tail)
                && self.written.ends_with("</stream:error></stream:stream>"),
            "{}",
            self.written
        );
        assert!(
            self.closed
                && matches!(
                    self.events.last(),
                    Some(Event::Closed(End::Failed(_) | End::Abandoned(_)))
                )
        );
        assert_eq!(self.give(b"<more/>").as_ref(), Err(error), "it is repeated");
    }
}

fn element(size: usize) -> String {
    let frame = "<x xmlns='urn:x'></x>";
    format!("<x xmlns='urn:x'>{}</x>", "a".repeat(size - frame.len()))
}

#[test]
fn bytes_that_break_a_rule_of_the_stream() {
    let h = HEADER;
    let table: &[(&str, String, Condition, &str, u64)] = &[
        (
            "another protocol",
            "GET / HTTP/1.1\r\n\r\n".into(),
            Condition::NotWellFormed,
            "RFC 6120 §11.3",
            0,
        ),
        (
            "a comment",
            format!("{h}<!-- hi -->"),
            Condition::RestrictedXml,
            "RFC 6120 §11.1",
            h.len() as u64 + 4,
        ),
        (
            "a processing instruction",
            format!("{h}<?php ?>"),
            Condition::RestrictedXml,
            "RFC 6120 §11.1",
            h.len() as u64 + 3,
        ),
        (
            "a DTD",
            "<!DOCTYPE x [<!ENTITY a 'b'>]>".to_owned(),
            Condition::RestrictedXml,
            "RFC 6120 §11.1",
            3,
        ),
        (
            "an entity",
            format!("{h}<a xmlns='u'>&bomb;"),
            Condition::RestrictedXml,
            "RFC 6120 §11.1",
            h.len() as u64 + 19,
        ),
        (
            "another root",
            "<html/>".into(),
            Condition::BadFormat,
            "RFC 6120 §4.9.3.1",
            7,
        ),
        (
            "another stream namespace",
            "<stream:stream xmlns:stream='urn:x'>".into(),
            Condition::InvalidNamespace,
            "RFC 6120 §4.8.1",
            36,
        ),
        (
            "another content namespace",
            h.replace("jabber:client", "jabber:other"),
            Condition::InvalidNamespace,
            "RFC 6120 §4.8.2",
            h.len() as u64 - 1,
        ),
        (
            "the servers' namespace",
            h.replace("jabber:client", "jabber:server"),
            Condition::InvalidNamespace,
            "RFC 6120 §4.7",
            h.len() as u64,
        ),
        (
            "an address that is none",
            h.replace("im.example.com", "a@b@c"),
            Condition::ImproperAddressing,
            "RFC 6120 §4.7",
            h.len() as u64 - 9,
        ),
        (
            "version 0.9",
            h.replace(" version='1.0'", ""),
            Condition::UnsupportedVersion,
            "RFC 6120 §4.7",
            h.len() as u64 - 14,
        ),
        (
            "text between elements",
            format!("{h}hello"),
            Condition::BadFormat,
            "RFC 6120 §4.9.3.1",
            h.len() as u64,
        ),
        (
            "a second header",
            format!("{h}{h}"),
            Condition::BadFormat,
            "RFC 6120 §4.9.3.1",
            2 * h.len() as u64,
        ),
        (
            "an unknown element",
            format!("{h}<x xmlns='urn:x'/>"),
            Condition::UnsupportedStanzaType,
            "RFC 6120 §4.3.5",
            h.len() as u64 + 18,
        ),
        (
            "a stanza in clear",
            format!("{h}<message/>"),
            Condition::NotAuthorized,
            "RFC 6120 §4.3.5",
            h.len() as u64 + 10,
        ),
        (
            "credentials in clear",
            format!("{h}<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"),
            Condition::NotAuthorized,
            "RFC 6120 §4.3.5",
            h.len() as u64 + 48,
        ),
        (
            "an element that is too large",
            format!("{h}{}", element(10_001)),
            Condition::PolicyViolation,
            "RFC 6120 §13.12",
            h.len() as u64 + 10_000,
        ),
        (
            "too deep",
            format!("{h}{}", "<x xmlns='urn:x'>".repeat(17)),
            Condition::PolicyViolation,
            "RFC 6120 §13.12",
            h.len() as u64 + 16 * 17 + 3,
        ),
        (
            "a header that is too long",
            format!("{}{}", &h[..h.len() - 1], " ".repeat(5000)),
            Condition::PolicyViolation,
            "RFC 6120 §13.12",
            4096,
        ),
    ];
    for (what, bytes, condition, source, offset) in table {
        let mut subject = Subject::server(|_| {});
        let error = subject.give(bytes).unwrap_err();
        subject.assert_failed(&error, *condition, source);
        assert_eq!(error.offset, *offset, "{what}: {error}");
        // The same, one byte at a time.
        let mut bytewise = Subject::server(|_| {});
        let found = bytes
            .as_bytes()
            .iter()
            .find_map(|byte| bytewise.give([*byte]).err());
        assert_eq!(found, Some(error), "{what}, byte by byte");
    }
}

#[test]
fn invalid_utf8_and_other_encodings_are_unsupported_encodings() {
    for bytes in [
        &b"\xFE\xFF\x00<"[..],
        b"<a\xC0\xAF>",
        b"<?xml version='1.0' encoding='latin-1'?>",
    ] {
        let mut subject = Subject::server(|_| {});
        let error = subject.give(bytes).unwrap_err();
        subject.assert_failed(&error, Condition::UnsupportedEncoding, "RFC 6120 §11.6");
    }
}

/// Digest §6.1 row 5: 64 KiB before authentication, over all restarts.
#[test]
fn too_much_before_authentication() {
    let mut subject = Subject::server(|config| config.sasl.attempts = 255);
    subject.give(format!("{HEADER}{STARTTLS}")).unwrap();
    subject.secure();
    subject.give(HEADER).unwrap();
    let auth = format!(
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='NONE'>{}</auth>",
        "A".repeat(6000)
    );
    let error = (0..20).find_map(|_| subject.give(&auth).err()).unwrap();
    subject.assert_failed(&error, Condition::PolicyViolation, "RFC 6120 §13.12");
}

/// QS-26: what comes while a decision is pending waits, bounded, and is not looked at.
#[test]
fn qs_26_input_behind_a_pending_decision_waits_in_bounds() {
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldAByMG0zMG15cjBtMzA=</auth>";
    let mut subject = Subject::server(|_| {});
    subject.give(format!("{HEADER}{STARTTLS}")).unwrap();
    subject.secure();
    subject.give(format!("{HEADER}{auth}")).unwrap();
    let written = subject.written.len();
    assert_eq!(subject.give(vec![b'<'; 16 * 1024]), Ok(16 * 1024));
    assert_eq!(subject.written.len(), written, "nothing is interpreted");
    assert_eq!(subject.connection.buffered(), 16 * 1024);
    let error = subject.give(b"<").unwrap_err();
    subject.assert_failed(&error, Condition::PolicyViolation, "QS-26");
}

/// CVE-2011-0411 and its kin, towards the server: bytes behind `<starttls/>` never reach the XML layer (QS-R6).
#[test]
fn cqueues_73_and_injection_behind_starttls() {
    let hostile = format!(
        "{HEADER}<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>"
    );
    // With pipelining they belong to TLS, all of them.
    let mut subject = Subject::server(|_| {});
    let before = format!("{HEADER}{STARTTLS}");
    assert_eq!(subject.give(format!("{before}{hostile}")), Ok(before.len()));
    assert_eq!((subject.upgrades, subject.give(&hostile)), (2, Ok(0)));
    subject.secure();
    assert!(
        subject
            .written
            .ends_with("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    );
    // Without it they are an attack, but for white space.
    let mut strict = Subject::server(|config| config.quickstart.advertise = false);
    let error = strict.give(format!("{before}{hostile}")).unwrap_err();
    assert_eq!((error.condition(), error.source_section()), (None, "QS-R6"));
    assert!(strict.closed);
    let mut spaced = Subject::server(|config| config.quickstart.advertise = false);
    assert_eq!(spaced.give(format!("{before} \r\n")), Ok(before.len() + 3));
}

/// The same towards the client: bytes behind `<proceed/>` (response injection).
#[test]
fn injection_behind_proceed() {
    let hostile = format!(
        "{RESPONSE}<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms></stream:features>"
    );
    let mut subject = Subject::client();
    let error = subject
        .give(format!("{RESPONSE}{OFFER}{PROCEED}{hostile}"))
        .unwrap_err();
    assert_eq!(error.source_section(), "QS-R6");
    assert!(subject.closed && !subject.written.contains("<auth"));
    // Later than that, they are TLS's to refuse: not a byte is consumed.
    let mut later = Subject::client();
    later.give(format!("{RESPONSE}{OFFER}{PROCEED}")).unwrap();
    assert_eq!(later.give(&hostile), Ok(0));
    // Nothing said in clear is remembered under TLS: the client waits for features anew.
    later.secure();
    assert!(!later.written.contains("<auth"), "{}", later.written);
}

/// STARTTLS stripping: TLS is asked for although it was not offered (RFC 7590 §3.1), and refused TLS ends it (QS-15).
#[test]
fn mellium_57_stripped_starttls_never_leads_to_clear_text() {
    let mut subject = Subject::client();
    let bare = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms></stream:features>";
    subject.give(format!("{RESPONSE}{bare}")).unwrap();
    assert!(subject.written.contains(STARTTLS) && !subject.written.contains("<auth"));
    subject
        .give("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>")
        .unwrap();
    assert!(
        subject.closed && !subject.written.contains("<auth"),
        "{}",
        subject.written
    );
}

/// QS-27: success without the server's proof is no success, and nothing behind it is believed.
#[test]
fn xeps_69_success_without_proof_ends_it() {
    let mut subject = Subject::client();
    subject.give(format!("{RESPONSE}{OFFER}{PROCEED}")).unwrap();
    subject.secure();
    let scram = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-1</mechanism></mechanisms></stream:features>";
    subject.give(format!("{RESPONSE}{scram}")).unwrap();
    let bound = format!(
        "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>dj1BQUFB</success>{RESPONSE}<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>"
    );
    let error = subject.give(bound).unwrap_err();
    subject.assert_failed(&error, Condition::NotAuthorized, "QS-27");
    assert!(
        !subject
            .events
            .iter()
            .any(|event| matches!(event, Event::Authenticated { .. } | Event::Online { .. }))
    );
}

/// A peer that stops, or dribbles, is given up at the deadline of the whole negotiation.
#[test]
fn a_dribbling_peer_is_given_up_at_the_deadline() {
    let mut subject = Subject::server(|_| {});
    for byte in HEADER.bytes().cycle().take(29) {
        let _ = subject.give([byte]);
        subject.wait(Duration::from_secs(1));
        assert!(!subject.closed);
    }
    subject.wait(Duration::from_secs(1));
    assert!(
        subject.closed && subject.written.contains("<connection-timeout"),
        "{}",
        subject.written
    );
    let mut client = Subject::client();
    client.wait(Duration::from_secs(30));
    assert!(client.closed);
}

/// QS-20: every document of the server has an id of its own, and none is guessable from another.
#[test]
fn qs_20_ids_are_fresh_at_every_restart() {
    let mut subject = Subject::server(|_| {});
    subject.give(format!("{HEADER}{STARTTLS}")).unwrap();
    subject.secure();
    subject.give(HEADER).unwrap();
    let ids: Vec<&str> = subject
        .written
        .match_indices(" id='")
        .map(|(at, _)| &subject.written[at + 5..at + 37])
        .collect();
    assert_eq!(ids.len(), 2);
    assert_ne!(ids[0], ids[1]);
    assert!(
        ids.iter()
            .all(|id| id.bytes().all(|byte| byte.is_ascii_hexdigit()))
    );
}

/// QS-41: the account is not named in clear.
#[test]
fn qs_41_no_from_before_tls() {
    let mut subject = Subject::client();
    assert!(!subject.written.contains("juliet") && subject.written.contains("to='im.example.com'"));
    subject.give(format!("{RESPONSE}{OFFER}{PROCEED}")).unwrap();
    subject.secure();
    assert!(subject.written.contains("from='juliet@im.example.com'"));
}

/// Digest §6.1 row 6.
#[test]
fn secrets_are_absent_from_debug() {
    let subject = Subject::client();
    let shown = format!("{:?}", subject.connection);
    assert!(
        shown.contains("juliet") && !shown.contains("r0m30myr0m30"),
        "{shown}"
    );
}

/// A stanza that claims another sender (RFC 6120 §8.1.2.1), and what a client may claim.
#[test]
fn a_client_speaks_for_itself_only() {
    for (from, honest) in [
        ("romeo@im.example.com", false),
        ("juliet@im.example.com/b", true),
        ("juliet@im.example.com", true),
        ("juliet@im.example.com/c", false),
    ] {
        let mut subject = online();
        let result = subject.give(format!("<message from='{from}'/>"));
        assert_eq!(result.is_ok(), honest, "{from}");
        if let Err(error) = result {
            subject.assert_failed(&error, Condition::InvalidFrom, "RFC 6120 §8.1.2.1");
        }
    }
}

/// A server whose client juliet@im.example.com/b is online.
fn online() -> Subject {
    use onetrip_core::negotiation::bind;
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldAByMG0zMG15cjBtMzA=</auth>";
    let ask = "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
    let mut subject = Subject::server(|_| {});
    subject.give(format!("{HEADER}{STARTTLS}")).unwrap();
    subject.secure();
    subject
        .give(format!("{HEADER}{auth}{HEADER}{ask}"))
        .unwrap();
    let answers = [
        onetrip_core::Answer::Sasl(sasl::Answer::Accept {
            identity: "juliet".into(),
        }),
        onetrip_core::Answer::Bind(bind::Answer::Bound {
            jid: "juliet@im.example.com/b".parse().unwrap(),
        }),
    ];
    for answer in answers {
        subject
            .connection
            .answer(&mut Env::new(subject.now, &mut subject.entropy), answer)
            .unwrap();
        subject.drain();
    }
    assert!(subject.connection.is_online());
    subject
}
