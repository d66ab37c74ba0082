//! Every bound from both sides: what meets it exactly is taken, and one more is refused, in the way that is documented.
//!
//! The limits of the reader itself are met in `crates/stream/tests/reader.rs`, what waits behind a decision (QS-26) in
//! `hostile.rs`, attempts and requests for a resource in `onetrip-negotiation`, windows and buffers of in-band bytestreams in
//! `onetrip-jingle-xmlstream`. What is held at a bound is measured in `memory.rs`.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use minidom::Element;
use onetrip_core::bidi;
use onetrip_core::dialback::{
    Action as Dialed, Ask, Checked, ConnectionId, Event as Outcome, Facts, Key, Reason, Receiving,
    ReceivingConfig, StreamId, Verdict,
};
use onetrip_core::e2e;
use onetrip_core::jingle::{self, s5b};
use onetrip_core::negotiation::{bind, bind2, sasl};
use onetrip_core::quickstart::Features;
use onetrip_core::stream::stored::{Load, Store};
use onetrip_core::stream::{
    Condition, Content, Domain, Env, Instant, Jid, Pair, Stanza, StreamError, Token, ns,
};
use onetrip_core::stream_management::{
    AckPolicy, Count, Ledger, Nonza, QueueLimits, Session, Sessions,
};
use onetrip_core::zero_handshake::Agreement;
use onetrip_core::{Connection, End, Peers, PeersAction, PeersConfig, Request, UsageError};
use onetrip_simulator::Seeded;
use onetrip_tests::house::House;
use onetrip_tests::links::{self, GROUND};
use onetrip_tests::servers::{Servers, dialback, domain, inbound, outbound, pair, plan};
use onetrip_tests::words::{ACCOUNT, HEADER, PLAIN, RESPONSE};

const BETWEEN: &str = "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
                       xmlns:db='jabber:server:dialback' id='x' version='1.0'";

/// A bound, and how it is met.
struct Bound {
    what: &'static str,
    allowed: usize,
    /// Tries so much, and says how it was refused.
    attempt: fn(usize) -> Option<String>,
    /// How one more is.
    refusal: &'static str,
}

fn check(bounds: &[Bound]) {
    for bound in bounds {
        let Bound { what, allowed, .. } = bound;
        assert_eq!((bound.attempt)(*allowed), None, "{what}: {allowed}");
        let refusal = (bound.attempt)(allowed + 1);
        assert_eq!(
            refusal.as_deref(),
            Some(bound.refusal),
            "{what}: {allowed} and 1"
        );
    }
}

/// The stream error, if there was one.
fn refusal<T>(result: Result<T, onetrip_core::Error>) -> Option<String> {
    let condition = result.err()?.condition();
    Some(condition.map_or("none", Condition::name).to_owned())
}

/// Something of so many bytes, by the text in the middle of it.
fn padded(before: &str, after: &str, bytes: usize) -> String {
    let text = "x".repeat(bytes - before.len() - after.len());
    format!("{before}{text}{after}")
}

/// So many stanzas of so many bytes in all.
fn parts(before: &str, bytes: usize, stanzas: usize) -> impl Iterator<Item = String> {
    let ends = move |number: usize| bytes * number / stanzas;
    (0..stanzas)
        .map(move |number| padded(before, "</body></message>", ends(number + 1) - ends(number)))
}

fn spaced(before: &str, bytes: usize) -> String {
    format!("{before}{}", " ".repeat(bytes - before.len()))
}

fn env<R>(call: impl FnOnce(&mut Env<'_>) -> R) -> R {
    call(&mut Env::new(Instant::EPOCH, &mut Seeded::new(1)))
}

fn element(text: &str) -> Element {
    text.parse().unwrap()
}

/// What the server says to its client on a stream where it has said all that it had to say.
fn to_server(begin: fn(&mut House) -> usize, text: &str) -> Option<String> {
    let mut house = House::default();
    let place = begin(&mut house);
    refusal(house.give(place, text))
}

fn to_peer(opens: bool, text: &str) -> Option<String> {
    let mut servers = Servers::default();
    let place = if opens {
        let config = outbound();
        let plan = plan(&config, onetrip_core::quickstart::Level::Off, None);
        servers.open(config, plan, &["montague.lit"])
    } else {
        servers.accept(inbound(), &["capulet.lit"])
    };
    refusal(servers.give(place, text.as_bytes()))
}

/// A stanza of so many bytes between servers that have proved themselves, on a bidirectional stream.
fn between_servers(opens: bool, bytes: usize) -> Option<String> {
    let mut servers = Servers::default();
    let ends = servers.connect(outbound(), inbound(), true);
    let (place, from, to) = if opens {
        (ends[0], "montague.lit", "capulet.lit")
    } else {
        (ends[1], "capulet.lit", "montague.lit")
    };
    let begin = format!("<message from='a@{from}' to='b@{to}'><body>");
    refusal(servers.give(place, padded(&begin, "</body></message>", bytes).as_bytes()))
}

#[test]
fn what_a_connection_reads() {
    check(&[
        Bound {
            what: "bytes before authentication, at a server",
            allowed: 64 * 1024,
            attempt: |bytes| to_server(House::server, &spaced(HEADER, bytes)),
            refusal: "policy-violation",
        },
        Bound {
            what: "bytes before authentication, at a client",
            allowed: 64 * 1024,
            attempt: |bytes| to_server(House::client, &spaced(RESPONSE, bytes)),
            refusal: "policy-violation",
        },
        Bound {
            what: "bytes before authentication, at a server that was opened to",
            allowed: 64 * 1024,
            attempt: |bytes| {
                let header = format!("{BETWEEN} from='capulet.lit' to='montague.lit'>");
                to_peer(false, &spaced(&header, bytes))
            },
            refusal: "policy-violation",
        },
        Bound {
            what: "bytes before authentication, at a server that opens",
            allowed: 64 * 1024,
            attempt: |bytes| {
                let header = format!("{BETWEEN} from='montague.lit' to='capulet.lit'>");
                to_peer(true, &spaced(&header, bytes))
            },
            refusal: "policy-violation",
        },
        Bound {
            what: "an element before authentication, at a server",
            allowed: 10_000,
            attempt: |bytes| {
                let abort = format!("<abort xmlns='{}'>", ns::SASL);
                to_server(
                    House::server,
                    &format!("{HEADER}{}", padded(&abort, "</abort>", bytes)),
                )
            },
            refusal: "policy-violation",
        },
        Bound {
            what: "an element before authentication, at a client",
            allowed: 10_000,
            attempt: |bytes| {
                let (begin, rest) = PLAIN.split_once('>').unwrap();
                let (begin, rest) = (format!("{begin}><x xmlns='urn:x'>"), format!("</x>{rest}"));
                to_server(
                    House::client,
                    &format!("{RESPONSE}{}", padded(&begin, &rest, bytes)),
                )
            },
            refusal: "policy-violation",
        },
        Bound {
            what: "a stanza, at a server",
            allowed: 256 * 1024,
            attempt: |bytes| {
                to_server(
                    |house| house.pair()[1],
                    &padded("<message><body>", "</body></message>", bytes),
                )
            },
            refusal: "policy-violation",
        },
        Bound {
            what: "a stanza, at a client",
            allowed: 256 * 1024,
            attempt: |bytes| {
                to_server(
                    |house| house.pair()[0],
                    &padded("<message><body>", "</body></message>", bytes),
                )
            },
            refusal: "policy-violation",
        },
        Bound {
            what: "a stanza, at a server that was opened to",
            allowed: 256 * 1024,
            attempt: |bytes| between_servers(false, bytes),
            refusal: "policy-violation",
        },
        Bound {
            what: "a stanza, at a server that opens",
            allowed: 256 * 1024,
            attempt: |bytes| between_servers(true, bytes),
            refusal: "policy-violation",
        },
        Bound {
            what: "a stanza on a link",
            allowed: 12_000,
            attempt: |bytes| {
                let mut link = small_link();
                let begin = "<message from='pilot@air.example' to='ops@ground.example'><body>";
                let stanza = padded(begin, "</body></message>", bytes);
                refusal(env(|env| link.receive(env, stanza.as_bytes())))
            },
            refusal: "policy-violation",
        },
    ]);
}

/// The ground's end of a link whose stanzas are of 12,000 bytes at most.
fn small_link() -> Connection {
    let mut terms = links::acknowledged(GROUND);
    terms.presets.max_stanza_size = Some(12_000);
    let acks = terms.presets.acknowledgements.as_mut().unwrap();
    (acks.stanzas, acks.bytes) = (3, 20_000);
    let agreement = Agreement::new(terms).unwrap();
    links::link(&agreement, true, Instant::EPOCH)
}

/// Sends as many bytes over a small link, in as many stanzas.
fn over_link(bytes: usize, stanzas: usize) -> Option<String> {
    let mut link = small_link();
    let begin = "<message from='ops@ground.example' to='pilot@air.example'><body>";
    for text in parts(begin, bytes, stanzas) {
        let stanza = Stanza::parse(text.as_bytes(), Content::Server).unwrap();
        if let Err(error) = env(|env| link.send(env, &stanza)) {
            return Some(error.to_string());
        }
    }
    None
}

/// An address of which a part has so many bytes.
fn address(part: fn(String) -> String, bytes: usize) -> Option<String> {
    let address: Result<Jid, _> = part("a".repeat(bytes)).parse();
    address.err().map(|error| error.to_string())
}

fn unless<T>(value: Option<T>, refusal: &str) -> Option<String> {
    value.is_none().then(|| refusal.to_owned())
}

#[test]
fn what_an_element_or_a_value_may_hold() {
    check(&[
        Bound {
            what: "a local part",
            allowed: 1023,
            attempt: |bytes| address(|part| format!("{part}@b"), bytes),
            refusal: "not an XMPP address",
        },
        Bound {
            what: "a domain",
            allowed: 1023,
            attempt: |bytes| address(|part| format!("a@{part}"), bytes),
            refusal: "not an XMPP address",
        },
        Bound {
            what: "a resource",
            allowed: 1023,
            attempt: |bytes| address(|part| format!("a@b/{part}"), bytes),
            refusal: "not an XMPP address",
        },
        Bound {
            what: "a resource that is asked for",
            allowed: 1023,
            attempt: |bytes| {
                let resource = "r".repeat(bytes);
                let ask = format!(
                    "<iq xmlns='jabber:client' type='set' id='1'><bind xmlns='{}'><resource>{resource}</resource></bind></iq>",
                    ns::BIND
                );
                match bind::Receiver::new().handle(&element(&ask)).unwrap() {
                    bind::Outcome::Reply(reply) => Some(condition(&reply)),
                    _ => None,
                }
            },
            refusal: "bad-request",
        },
        Bound {
            what: "a tag of Bind 2",
            allowed: 512,
            attempt: |bytes| {
                let tag = Element::builder("tag", ns::BIND2)
                    .append("t".repeat(bytes))
                    .build();
                let bind = Element::builder("bind", ns::BIND2).append(tag).build();
                let mut machine = bind2::Receiver::new(&[bind], None).unwrap();
                let bind2::Action::Bind(request) = machine.poll_action().unwrap() else {
                    panic!()
                };
                unless(request.tag, "left out")
            },
            refusal: "left out",
        },
        Bound {
            // A multiple of 4, as base64 is.
            what: "quarters of a message of SASL",
            allowed: 8192 / 4,
            attempt: |quarters| {
                let mut text = onetrip_tests::base64(b"\0juliets\0");
                let password = "eHh4".repeat(quarters - text.len() / 4);
                // Nothing of it is filled up with `=`.
                assert!(!text.contains('='));
                text.push_str(&password);
                let auth = format!("<auth xmlns='{}' mechanism='PLAIN'>{text}</auth>", ns::SASL);
                let config = sasl::ReceiverConfig::new(vec![sasl::Mechanism::Plain]);
                let mut machine = sasl::Receiver::new(&config, None, false);
                let auth = element(&auth);
                env(|env| machine.handle(env, sasl::ReceiverInput::Element(&auth))).unwrap();
                match machine.poll_action().unwrap() {
                    sasl::ReceiverAction::Send(failure) => Some(condition(&failure)),
                    _ => None,
                }
            },
            refusal: "incorrect-encoding",
        },
        Bound {
            what: "the name of a session",
            allowed: 4000,
            attempt: |bytes| {
                let id = "s".repeat(bytes);
                let resume = format!(
                    "<resume xmlns='{}' previd='{id}' h='0'/>",
                    ns::STREAM_MANAGEMENT
                );
                let read = Nonza::read(&element(&resume)).unwrap();
                read.err().map(|error| error.to_string())
            },
            refusal: "`previd` is missing or malformed",
        },
        Bound {
            what: "a token",
            allowed: 1024,
            attempt: |bytes| unless(Token::read(&"t".repeat(bytes)), "not taken"),
            refusal: "not taken",
        },
        Bound {
            what: "a stream id that dialback uses",
            allowed: 1024,
            attempt: |bytes| unless(StreamId::new(&"i".repeat(bytes)), "not taken"),
            refusal: "not taken",
        },
        Bound {
            what: "a text that is stored",
            allowed: 1 << 20,
            attempt: |bytes| {
                let mut store = Store::new(*b"TEST", 1);
                store.text(&"x".repeat(bytes));
                let stored = store.finish();
                let text = Load::new(*b"TEST", &stored).unwrap().text();
                unless(text.ok(), "damaged")
            },
            refusal: "damaged",
        },
        Bound {
            what: "the text of a stream error",
            allowed: 512,
            attempt: |bytes| {
                let text = "x".repeat(bytes);
                let error = StreamError::new(Condition::Reset).with_text(&text);
                let read = StreamError::from_element(&error.to_element()).unwrap();
                (read != error).then(|| "cut".to_owned())
            },
            refusal: "cut",
        },
        Bound {
            what: "mechanisms that are remembered",
            allowed: 64,
            attempt: |count| {
                let list =
                    (0..count).fold(Element::bare("mechanisms", ns::SASL), |list, number| {
                        let mut list = list;
                        let mechanism = Element::builder("mechanism", ns::SASL);
                        list.append_child(mechanism.append(format!("M{number}")).build());
                        list
                    });
                let features = Element::builder("features", ns::STREAMS)
                    .append(list)
                    .build();
                let kept = Features::read(&features).mechanisms().len();
                (kept < count).then(|| "left out".to_owned())
            },
            refusal: "left out",
        },
        Bound {
            what: "candidates of a peer",
            allowed: 32,
            attempt: |count| {
                let mut transport = s5b::Transport::new(s5b::Form::Candidates, "s");
                for number in 0..count {
                    let kind = s5b::CandidateKind::Direct;
                    let owner: Jid = ACCOUNT.parse().unwrap();
                    let candidate =
                        s5b::Candidate::new(format!("c{number}"), kind, owner, "192.0.2.1", 1, 0);
                    transport.candidates.push(candidate);
                }
                let sender: Jid = ACCOUNT.parse().unwrap();
                let read = s5b::Transport::read(&transport.to_element(true), &sender).unwrap();
                (read.candidates.len() < count).then(|| "left out".to_owned())
            },
            refusal: "left out",
        },
    ]);
}

/// The condition of a failure, or of an error in a stanza.
fn condition(element: &Element) -> String {
    let error = element.children().find(|child| child.name() == "error");
    let condition = error.unwrap_or(element).children().next().unwrap();
    condition.name().to_owned()
}

/// A queue in which so much may wait, and what of so many stanzas of so many bytes it lets go.
fn queued(stanzas: usize, bytes: usize) -> Option<String> {
    let mut limits = QueueLimits::default();
    limits.bytes = limits.bytes.max(bytes);
    let mut ledger = Ledger::new(limits, AckPolicy::default());
    let dropped = (0..stanzas).map(|_| {
        ledger
            .send(Instant::EPOCH, vec![b'x'; bytes].into())
            .1
            .len()
    });
    let dropped: usize = dropped.sum();
    assert_eq!(ledger.is_resumable(), dropped == 0);
    (dropped > 0).then(|| "handed back".to_owned())
}

fn suspended(limits: QueueLimits) -> (Sessions, Jid) {
    let owner: Jid = ACCOUNT.parse().unwrap();
    let mut sessions = Sessions::new(Duration::from_secs(300), limits);
    let session = Session::new("s1", &owner, Count::new(0), Count::new(0), Vec::new());
    sessions.suspend(session, Instant::EPOCH);
    (sessions, owner)
}

/// Pairs that are asked for on one stream, each verified at once if that is wanted.
fn asked(pairs: usize, verified: bool) -> Option<String> {
    let mut config = ReceivingConfig::default();
    if verified {
        config.pending = 1;
    }
    let id = StreamId::new("s").unwrap();
    let mut machine = Receiving::new(ConnectionId(1), id).with_config(config);
    for number in 0..pairs {
        let pair = Pair::new(domain(&format!("d{number}.lit")), domain("montague.lit"));
        let key = Key::read("6b6579").unwrap();
        let facts = Facts::of(&pair, |name| name.as_str() == "montague.lit").secured();
        env(|env| machine.handle(env, &Ask { pair, key }, facts));
        while let Some(action) = machine.poll_action() {
            match action {
                Dialed::Request(verification) if verified => {
                    machine.verified(verification.ticket, Checked::ConnectFailed);
                }
                Dialed::Event(Outcome::Refused {
                    verdict: Verdict::Error(Reason::ResourceConstraint),
                    ..
                }) => {
                    return Some("resource-constraint".to_owned());
                }
                _ => {}
            }
        }
    }
    None
}

/// Bytes that come over a socket to this end before it is chosen, in pieces.
fn ahead(bytes: usize) -> Option<String> {
    env(|env| {
        let config = e2e::Config::new(jingle::session::Config::new(Some(b"juliet".to_vec())));
        let (us, peer) = (
            ACCOUNT.parse().unwrap(),
            "romeo@montague.lit/orchard".parse().unwrap(),
        );
        let mut end = e2e::EndToEnd::initiate(config, env, us, peer, None, Vec::new()).unwrap();
        end.taken(env);
        for piece in vec![b'x'; bytes].chunks(1000) {
            end.receive(env, s5b::Link::Taken, piece);
        }
        let mut actions = core::iter::from_fn(|| end.poll_action());
        actions.find_map(|action| match action {
            e2e::Action::Close(link) => Some(format!("{link:?} closed")),
            _ => None,
        })
    })
}

/// Stanzas of so many bytes in all that wait for a connection.
fn waiting(bytes: usize, stanzas: usize) -> Option<String> {
    let mut peers = Peers::new(PeersConfig::default());
    for text in parts(
        "<message from='a@capulet.lit' to='b@verona.lit'><body>",
        bytes,
        stanzas,
    ) {
        peers.route(Stanza::parse(text.as_bytes(), Content::Server).unwrap());
    }
    let mut returned = None;
    while let Some(action) = peers.poll_action() {
        if let PeersAction::Return { reason, .. } = action {
            returned = Some(reason.to_string());
        }
    }
    returned
}

#[test]
fn what_waits_or_is_remembered() {
    check(&[
        Bound {
            what: "bytes ahead of the signalling between two clients",
            allowed: 64 * 1024,
            attempt: ahead,
            refusal: "Taken closed",
        },
        Bound {
            what: "stanzas that are not acknowledged",
            allowed: 512,
            attempt: |stanzas| queued(stanzas, 10),
            refusal: "handed back",
        },
        Bound {
            what: "bytes that are not acknowledged",
            allowed: 4096,
            // 256 stanzas of 4 KiB are the 1 MiB.
            attempt: |bytes| queued(256, bytes),
            refusal: "handed back",
        },
        Bound {
            what: "bytes of a stanza that is kept, whatever the queue takes",
            allowed: 1 << 20,
            attempt: |bytes| queued(1, bytes),
            refusal: "handed back",
        },
        Bound {
            what: "stanzas for a session that is suspended",
            allowed: 512,
            attempt: |stanzas| {
                let (mut sessions, owner) = suspended(QueueLimits::default());
                let full = (0..stanzas).any(|_| !sessions.push(&owner, "<message/>".into()));
                full.then(|| "no room".to_owned())
            },
            refusal: "no room",
        },
        Bound {
            what: "bytes for a session that is suspended",
            allowed: 1 << 20,
            attempt: |bytes| {
                let (mut sessions, owner) = suspended(QueueLimits::default());
                (!sessions.push(&owner, vec![b'x'; bytes].into())).then(|| "no room".to_owned())
            },
            refusal: "no room",
        },
        Bound {
            what: "sessions of one account that wait",
            allowed: 32,
            attempt: |count| {
                let (mut sessions, owner) = suspended(QueueLimits::default());
                for number in 1..count {
                    let id = format!("w{number}");
                    let session =
                        Session::new(&id, &owner, Count::new(0), Count::new(0), Vec::new());
                    sessions.suspend(session, Instant::from_millis(1));
                }
                let over = sessions.expire(Instant::from_millis(1));
                (!over.is_empty()).then(|| "handed back".to_owned())
            },
            refusal: "handed back",
        },
        Bound {
            what: "sessions that are over and remembered",
            allowed: 4096,
            attempt: |count| {
                let (mut sessions, owner) = suspended(QueueLimits::default());
                for number in 0..count {
                    sessions.end(&format!("e{number}"), &owner, Count::new(7));
                }
                assert!(sessions.h(&format!("e{}", count - 1), &owner).is_some());
                unless(sessions.h("e0", &owner), "forgotten")
            },
            refusal: "forgotten",
        },
        Bound {
            what: "verifications under way",
            allowed: 16,
            attempt: |pairs| asked(pairs, false),
            refusal: "resource-constraint",
        },
        Bound {
            what: "pairs that one stream may prove",
            allowed: 256,
            attempt: |pairs| asked(pairs, true),
            refusal: "resource-constraint",
        },
        Bound {
            what: "pairs on a stream that we opened",
            allowed: 256,
            attempt: |pairs| {
                let config = bidi::InitiatorConfig::default();
                let mut machine = bidi::Initiator::new(config, Content::Server, bidi::Layer::Tls);
                let ours = |name: &Domain| name.as_str() == "capulet.lit";
                let mut enter = |number| {
                    let pair = pair("capulet.lit", &format!("d{number}.lit"));
                    machine
                        .validated(&pair, bidi::Trust::Certificate, ours)
                        .err()
                };
                (0..pairs)
                    .find_map(&mut enter)
                    .map(|error| format!("{error:?}"))
            },
            refusal: "TooMany(256)",
        },
        Bound {
            what: "reverse requests that the caller has to judge",
            allowed: 16,
            attempt: |claims| {
                let (mut out, mut into) = (outbound(), inbound());
                (out.dialback, into.dialback) = (Some(dialback()), Some(dialback()));
                let mut servers = Servers::default();
                let [one, _] = servers.connect(out, into, true);
                for number in 0..claims {
                    let ask = format!(
                        "<db:result from='d{number}.montague.lit' to='capulet.lit'>6b6579</db:result>"
                    );
                    servers.give(one, ask.as_bytes()).unwrap();
                }
                let side = &servers.sides[one];
                let judged = side
                    .asked
                    .iter()
                    .filter(|asked| matches!(asked, Request::Reverse { .. }));
                assert_eq!(judged.count(), claims.min(16));
                let refused = side.written().contains("<resource-constraint ");
                refused.then(|| "resource-constraint".to_owned())
            },
            refusal: "resource-constraint",
        },
        Bound {
            what: "stanzas of one pair that wait for a connection",
            allowed: 256,
            attempt: |stanzas| waiting(200 * stanzas, stanzas),
            refusal: "resource-constraint",
        },
        Bound {
            what: "bytes that wait for connections",
            allowed: 4 * 1024 * 1024,
            attempt: |bytes| waiting(bytes, 32),
            refusal: "resource-constraint",
        },
        Bound {
            what: "stanzas that are not acknowledged on a link",
            allowed: 3,
            attempt: |stanzas| over_link(stanzas * 200, stanzas),
            refusal: "no more may be unacknowledged",
        },
        Bound {
            what: "bytes that are not acknowledged on a link",
            allowed: 20_000,
            attempt: |bytes| over_link(bytes, 2),
            refusal: "no more may be unacknowledged",
        },
        Bound {
            what: "a stanza that goes out on a link",
            allowed: 12_000,
            attempt: |bytes| over_link(bytes, 1),
            refusal: "12001 bytes, where 12000 were agreed",
        },
    ]);
}

/// A deadline, and what runs into it.
struct Due {
    what: &'static str,
    after: Duration,
    /// Whether it is over when so much time has passed.
    over: fn(Duration) -> bool,
}

fn house_after(begin: fn(&mut House) -> usize, wait: Duration) -> bool {
    let mut house = House::default();
    let place = begin(&mut house);
    house.wait(wait);
    house.sides[place].closed
}

fn servers_after(begin: fn(&mut Servers) -> usize, wait: Duration) -> bool {
    let mut servers = Servers::default();
    let place = begin(&mut servers);
    servers.wait(wait);
    servers.sides[place].closed
}

/// Not a moment early, and not a moment late.
#[test]
fn every_deadline_from_both_sides() {
    let table = [
        Due {
            what: "a negotiation, at a client",
            after: Duration::from_secs(30),
            over: |wait| house_after(House::client, wait),
        },
        Due {
            what: "a negotiation, at a server",
            after: Duration::from_secs(30),
            over: |wait| house_after(House::server, wait),
        },
        Due {
            what: "a negotiation, at a server that opens",
            after: Duration::from_secs(30),
            over: |wait| {
                let open = |servers: &mut Servers| {
                    let plan = plan(&outbound(), onetrip_core::quickstart::Level::Off, None);
                    servers.open(outbound(), plan, &[])
                };
                servers_after(open, wait)
            },
        },
        Due {
            what: "a negotiation, at a server that was opened to",
            after: Duration::from_secs(30),
            over: |wait| servers_after(|servers| servers.accept(inbound(), &[]), wait),
        },
        Due {
            what: "a negotiation by dialback",
            after: Duration::from_secs(30 + 60),
            over: |wait| {
                let dialed = |servers: &mut Servers| {
                    let (mut out, mut into) = (outbound(), inbound());
                    (out.dialback, into.dialback) = (Some(dialback()), Some(dialback()));
                    // Nobody answers for the key.
                    servers.connect(out, into, false)[1]
                };
                servers_after(dialed, wait)
            },
        },
        Due {
            what: "the footer of the peer, at a client",
            after: Duration::from_secs(5),
            over: |wait| {
                let closing = |house: &mut House| {
                    let client = house.pair()[0];
                    house.with(client, |connection, env| connection.close(env));
                    client
                };
                house_after(closing, wait)
            },
        },
        Due {
            what: "a connection between servers that carries nothing",
            after: Duration::from_secs(300),
            over: |wait| {
                let mut servers = Servers::default();
                let mut out = outbound();
                out.bounds.idle = Some(Duration::from_secs(300));
                let [one, _] = servers.connect(out, inbound(), true);
                servers.wait(wait);
                servers.sides[one].written().ends_with("</stream:stream>")
            },
        },
    ];
    for Due { what, after, over } in table {
        assert!(
            !over(after - Duration::from_millis(1)),
            "{what} is over early"
        );
        assert!(over(after), "{what} is not over");
    }
}

/// What was refused is final, and what did not fit when sending has changed nothing.
#[test]
fn a_link_that_is_full_goes_on() {
    let mut link = small_link();
    let stanza = |id: usize| {
        let text = format!("<message id='{id}' from='ops@ground.example' to='pilot@air.example'/>");
        Stanza::parse(text.as_bytes(), Content::Server).unwrap()
    };
    for id in 0..3 {
        env(|env| link.send(env, &stanza(id))).unwrap();
    }
    assert_eq!(env(|env| link.send(env, &stanza(3))), Err(UsageError::Full));
    env(|env| link.receive(env, b"<a xmlns='urn:xmpp:sm:3' h='1'/>")).unwrap();
    env(|env| link.send(env, &stanza(3))).unwrap();
    while let Some(action) = link.poll_action() {
        assert!(!matches!(
            action,
            onetrip_core::Action::Event(onetrip_core::Event::Closed(End::Failed(_)))
        ));
    }
}
