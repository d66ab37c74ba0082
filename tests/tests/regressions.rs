//! Bugs of others that must never be ours, each named after where it was found, and the contract of every machine.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use onetrip_core::negotiation::{bind, sasl};
use onetrip_core::quickstart::{Cache, Features, Key, Known, Level, Plan, Policy, Transport};
use onetrip_core::stream::{Env, Instant, Jid, Secret};
use onetrip_core::{Action, ClientConfig, Connection, Deadline, End, Event, ServerConfig, TlsInfo};
use onetrip_simulator::Seeded;

const RESPONSE: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' from='im.example.com' id='x' version='1.0'>";
const PLAIN: &str = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms></stream:features>";
const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
const BIND: &str =
    "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>";

/// A client on direct TLS that remembers PLAIN, at some level.
struct Client {
    connection: Connection,
    entropy: Seeded,
    now: Instant,
    /// Each write on its own.
    writes: Vec<String>,
    events: Vec<Event>,
    retry: Option<Plan>,
    closed: bool,
}

impl Client {
    fn new(level: Level) -> Self {
        let account: Jid = "juliet@im.example.com/balcony".parse().unwrap();
        let key = Key::new(
            account.domain().clone(),
            Some(&account),
            Transport::DirectTls,
        );
        let mut policy = Policy::default();
        policy.force = Some(level);
        let mut cache = Cache::default();
        cache.remember(
            &key,
            Known::new(
                Features::of_mechanisms(["PLAIN"]),
                Features::default(),
                "PLAIN".into(),
                1,
            ),
        );
        let mut entropy = Seeded::new(1);
        let sasl = sasl::InitiatorConfig::password("juliet", Secret::from("r0m30myr0m30"));
        let config = ClientConfig::new(account, Transport::DirectTls, sasl);
        let connection = Connection::client(
            config,
            cache.plan(&key, &policy),
            &mut Env::new(Instant::EPOCH, &mut entropy),
        );
        let mut this = Self {
            connection,
            entropy,
            now: Instant::EPOCH,
            writes: Vec::new(),
            events: Vec::new(),
            retry: None,
            closed: false,
        };
        this.drain();
        this.connection
            .tls_established(
                &mut Env::new(this.now, &mut this.entropy),
                TlsInfo::new(),
                &[],
            )
            .unwrap();
        this.drain();
        this
    }

    fn give(&mut self, text: &str) {
        let _ = self
            .connection
            .receive(&mut Env::new(self.now, &mut self.entropy), text.as_bytes());
        self.drain();
    }

    fn wait(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
        self.connection
            .handle_timeout(&mut Env::new(self.now, &mut self.entropy));
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(action) = self.connection.poll_action() {
            match action {
                Action::Transmit(bytes) => {
                    self.writes.push(String::from_utf8(bytes.to_vec()).unwrap())
                }
                Action::Event(event) => self.events.push(event),
                Action::Entity(event) => {
                    let report = event.report().expect("a report");
                    self.retry = Cache::default().conclude(report, &Policy::default())
                }
                Action::Close => self.closed = true,
                _ => {}
            }
        }
    }

    fn bound(&self) -> String {
        let id = self
            .writes
            .iter()
            .flat_map(|write| write.split("<iq id='").nth(1))
            .next_back()
            .unwrap()
            .split('\'')
            .next()
            .unwrap();
        format!(
            "<iq type='result' id='{id}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>juliet@im.example.com/balcony</jid></bind></iq>"
        )
    }

    fn online(&self) -> bool {
        self.events
            .iter()
            .any(|event| matches!(event, Event::Online { .. }))
    }
}

/// Row 2: bytes behind success belong to the new document, and it may begin with an XML declaration.
#[test]
fn monal_parser_swallow_nothing_behind_success_is_lost() {
    let mut client = Client::new(Level::Full);
    let bound = client.bound();
    client.give(&format!(
        "{RESPONSE}{PLAIN}{SUCCESS}<?xml version='1.0'?>{RESPONSE}{BIND}{bound}"
    ));
    assert!(client.online(), "{:?}", client.events);
}

/// Row 4: what the cache promises is gone. One careful retry, and none behind that.
#[test]
fn monal_39_no_endless_reconnect_on_a_stale_promise() {
    let mut client = Client::new(Level::Full);
    client.give(&format!("{RESPONSE}{PLAIN}<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><invalid-mechanism/></failure>"));
    assert!(
        client.closed && matches!(client.events.last(), Some(Event::Closed(End::Abandoned(_)))),
        "{:?}",
        client.events
    );
    let retry = client.retry.unwrap();
    assert_eq!(retry.level(), Level::Off);
    let mut careful = Client::new(Level::Off);
    careful.give(&format!("{RESPONSE}{PLAIN}<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>"));
    assert!(careful.closed && careful.retry.is_none());
    assert!(
        careful
            .events
            .iter()
            .any(|event| matches!(event, Event::AuthenticationRefused(_)))
    );
}

/// Row 5: the server has lost what made the login quick; safe levels notice in step and go on.
#[test]
fn conv_3d56d0182_a_refusal_in_step_goes_on_on_the_same_stream() {
    let mut client = Client::new(Level::Safe);
    assert_eq!(client.writes.len(), 1, "header and auth in one write");
    client.give(&format!("{RESPONSE}{PLAIN}<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><temporary-auth-failure/></failure>"));
    assert_eq!(client.writes.len(), 2);
    assert!(client.writes[1].starts_with("<auth ") && !client.closed);
    client.give(SUCCESS);
    assert!(client.writes[2].starts_with("<stream:stream") && client.writes[2].ends_with('>'));
    client.give(&format!("{RESPONSE}{BIND}"));
    assert!(
        client.writes[3].contains("<bind "),
        "and from here on in step"
    );
}

/// Row 12: a header is never split over writes.
#[test]
fn tokio_680_one_write_per_header() {
    for level in Level::ALL {
        let mut client = Client::new(level);
        client.give(&format!("{RESPONSE}{PLAIN}{SUCCESS}{RESPONSE}{BIND}"));
        for write in &client.writes {
            assert_eq!(
                write.matches("<stream:stream").count(),
                write.matches("version='1.0'>").count(),
                "{write}"
            );
        }
    }
}

/// QS-28: a refused resource leaves the stream in step; the application asks again on it.
#[test]
fn qs_28_a_refused_resource_is_asked_for_again_on_the_same_stream() {
    let mut client = Client::new(Level::Safe);
    client.give(&format!("{RESPONSE}{PLAIN}{SUCCESS}{RESPONSE}{BIND}"));
    let refused = client.bound().replace("type='result'", "type='error'").replace("</iq>", "<error type='modify'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>");
    client.give(&refused);
    assert!(
        matches!(client.events.last(), Some(Event::BindRefused(bind::Refusal { condition, .. })) if condition == "conflict")
    );
    client
        .connection
        .bind(
            &mut Env::new(client.now, &mut client.entropy),
            Some("orchard"),
        )
        .unwrap();
    client.drain();
    assert!(
        client
            .writes
            .last()
            .unwrap()
            .contains("<resource>orchard</resource>")
    );
    let bound = client.bound();
    client.give(&bound);
    assert!(client.online());
}

/// QS-18: a response header that comes before ours is taken.
#[test]
fn qs_18_a_proactive_header_is_accepted() {
    let mut client = Client::new(Level::Off);
    client.give(&format!("{RESPONSE}{PLAIN}"));
    assert!(client.writes.last().unwrap().starts_with("<auth "));
}

/// QS-R10: an early success hides a broken parser: it is provisional until a later stanza is answered.
#[test]
fn qs_r10_online_is_provisional_until_a_later_stanza_is_answered() {
    for answered in [true, false] {
        let mut client = Client::new(Level::Full);
        let bound = client.bound();
        client.give(&format!(
            "{RESPONSE}{PLAIN}{SUCCESS}{RESPONSE}{BIND}{bound}"
        ));
        assert!(matches!(
            client.events.last(),
            Some(Event::Online {
                provisional: true,
                ..
            })
        ));
        let ping = client.writes.last().unwrap().clone();
        assert!(
            ping.starts_with("<iq id='") && ping.contains("urn:xmpp:ping"),
            "a write of its own: {ping}"
        );
        if answered {
            let id = ping.split('\'').nth(1).unwrap();
            client.give(&format!("<iq type='result' id='{id}'/>"));
            assert!(matches!(client.events.last(), Some(Event::Confirmed)));
        } else {
            client.wait(1000);
            assert!(
                matches!(client.events.last(), Some(Event::Closed(End::Abandoned(_)))),
                "{:?}",
                client.events
            );
            assert!(client.retry.is_some());
        }
    }
}

/// QS-R10: the gap is a deadline, and what follows it is a write of its own even if the last was not yet taken.
#[test]
fn qs_r10_the_gap_is_a_deadline_and_splits_the_write() {
    let mut client = Client::new(Level::Paced);
    assert_eq!(client.writes.len(), 1);
    let deadline = client.connection.poll_timeout().unwrap();
    assert_eq!(
        (deadline.at, deadline.reason),
        (Instant::from_millis(20), onetrip_core::Reason::Gap)
    );
    client.wait(19);
    assert_eq!(client.writes.len(), 1, "early calls do nothing");
    client.wait(1);
    assert_eq!(client.writes.len(), 2);
    assert!(client.writes[1].starts_with("<stream:stream") && client.writes[1].contains("<bind "));
}

/// Contract rule 4 (design §3): after `handle_timeout` at the deadline it is gone or later; early calls do nothing.
#[test]
fn contract_4_deadlines_are_gone_once_handled() {
    let server = || {
        let mut entropy = Seeded::new(1);
        let domain = "im.example.com".parse::<Jid>().unwrap().domain().clone();
        let config = ServerConfig::new(
            vec![domain],
            Transport::StartTls,
            sasl::ReceiverConfig::new(vec![sasl::Mechanism::Plain]),
        );
        Connection::server(config, &mut Env::new(Instant::EPOCH, &mut entropy))
    };
    let mut connections = vec![server()];
    connections.extend(Level::ALL.map(|level| Client::new(level).connection));
    let mut entropy = Seeded::new(2);
    for mut connection in connections {
        let mut last: Option<Deadline> = None;
        while let Some(deadline) = connection.poll_timeout() {
            assert!(
                last.is_none_or(|last| deadline.at > last.at || deadline.reason != last.reason),
                "{deadline:?} again"
            );
            let just_before = Instant::from_epoch(
                deadline
                    .at
                    .since_epoch()
                    .saturating_sub(Duration::from_millis(1)),
            );
            if last.is_none_or(|last| last.at <= just_before) {
                connection.handle_timeout(&mut Env::new(just_before, &mut entropy));
                assert_eq!(
                    connection.poll_timeout(),
                    Some(deadline),
                    "an early call changed something"
                );
            }
            connection.handle_timeout(&mut Env::new(deadline.at, &mut entropy));
            while connection.poll_action().is_some() {}
            last = Some(deadline);
        }
        assert!(
            last.is_some(),
            "every connection that negotiates has a deadline"
        );
    }
}

/// A usage error changes nothing (design §3 rule 6).
#[test]
fn usage_errors_change_nothing() {
    use onetrip_core::stream::{Content, Stanza};
    use onetrip_core::{Answer, UsageError};
    let mut client = Client::new(Level::Off);
    let stanza = Stanza::parse(b"<message/>", Content::Client).unwrap();
    let env = &mut Env::new(client.now, &mut client.entropy);
    assert_eq!(
        client.connection.send(env, &stanza),
        Err(UsageError::NotOnline)
    );
    assert_eq!(client.connection.bind(env, None), Err(UsageError::NotAsked));
    assert_eq!(
        client
            .connection
            .answer(env, Answer::Sasl(sasl::Answer::Unknown)),
        Err(UsageError::NotAsked)
    );
    assert_eq!(
        client.connection.tls_established(env, TlsInfo::new(), &[]),
        Err(UsageError::NoTls)
    );
    assert!(client.connection.poll_action().is_none());
    let bound = "<message xmlns='jabber:server'/>";
    assert!(Stanza::parse(bound.as_bytes(), Content::Client).is_err());
}
