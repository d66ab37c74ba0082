//! Between servers: dialback, bidirectional streams, zero-handshake links and their routes, each by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use onetrip_core::bidi::{self, Bidi, Layer, Restart, Trust};
use onetrip_core::dialback::{
    Action, Authoritative, Awaited, Checked, ConnectionId, Event, Facts, Message, Originating,
    Receiving, ReceivingConfig, StreamId, Ticket, Verdict, Verifying,
};
use onetrip_core::stream::{Content, Domain, Env, Instant, Pair, Secret};
use onetrip_core::zero_handshake::{self as zh, Choice, Pending, Route};
use onetrip_core::{Connection, Event as CoreEvent};
use onetrip_simulator::Seeded;

use super::Input;
use super::elements::element;
use super::lines::Reader;
use crate::links;

/// The most steps of a run.
const STEPS: usize = 200;
const NAMES: [&str; 5] = ["a.lit", "b.lit", "x.lit", "y.lit", "z.lit"];

fn domain(name: &str) -> Domain {
    Domain::new(name).expect("a domain")
}

fn some_pair(input: &mut Input<'_>) -> Pair {
    Pair::new(
        domain(input.choose::<&str>(&NAMES)),
        domain(input.choose::<&str>(&NAMES)),
    )
}

fn hosted(name: &Domain) -> bool {
    matches!(name.as_str(), "a.lit" | "b.lit")
}

const DIALBACK: &[&str] = &[
    "<result xmlns='jabber:server:dialback' from='x.lit' to='a.lit'>key</result>",
    "<result xmlns='jabber:server:dialback' from='y.lit' to='b.lit'>key</result>",
    "<result xmlns='jabber:server:dialback' from='x.lit' to='a.lit' type='valid'/>",
    "<result xmlns='jabber:server:dialback' from='y.lit' to='a.lit' type='invalid'/>",
    "<result xmlns='jabber:server:dialback' from='x.lit' to='a.lit' type='error'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></result>",
    "<verify xmlns='jabber:server:dialback' from='x.lit' to='a.lit' id='s'>key</verify>",
    "<verify xmlns='jabber:server:dialback' from='x.lit' to='a.lit' id='s' type='valid'/>",
    "<verify xmlns='jabber:server:dialback' from='x.lit' to='a.lit' id='s' type='invalid'/>",
    "<result xmlns='jabber:server:dialback'/>",
];

/// The four roles of dialback at one server, and whatever a peer might say.
pub(super) fn dialback(data: &[u8]) {
    let mut input = Input::new(data);
    let mut entropy = Seeded::new(2);
    let mut now = Instant::EPOCH;
    let id = StreamId::new("s").expect("an id");
    let secret = Secret::from("s3cr3tf0rd14lb4ck");
    let mut config = ReceivingConfig::default();
    (config.pending, config.pairs) = (3, 8);
    let pending = config.pending;
    let mut receiving = Receiving::new(ConnectionId(1), id.clone()).with_config(config);
    let mut originating = Originating::new(secret.clone(), id.clone(), domain("x.lit"));
    let mut verifying = Verifying::new(ConnectionId(2));
    let mut authoritative = Authoritative::new(secret);
    let mut tickets: BTreeMap<Pair, Ticket> = BTreeMap::new();
    let (mut asked, mut verified): (BTreeSet<Pair>, BTreeSet<Pair>) = Default::default();
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        let env = &mut Env::new(now, &mut entropy);
        let mut proved: Option<Pair> = None;
        match input.byte() {
            0..128 => match Message::read(&element(&mut input, DIALBACK)) {
                Some(Ok(Message::Ask(ask))) => {
                    let facts = Facts::of(&ask.pair, hosted);
                    let facts = if input.flag() { facts } else { facts.secured() };
                    receiving.handle(env, &ask, facts);
                }
                Some(Ok(Message::Answer(answer))) => originating.handle(&answer),
                Some(Ok(Message::Verified(answer))) => verifying.handle(&answer),
                Some(Ok(Message::Verify(verify))) => {
                    let awaited = if input.flag() {
                        Awaited::Elsewhere
                    } else {
                        Awaited::Nowhere
                    };
                    authoritative.handle(&verify, hosted, awaited);
                }
                Some(Err(error)) => drop(error.stream_error()),
                _ => {}
            },
            128..160 => {
                let pair = some_pair(&mut input);
                if originating.ask(env, pair.clone()).is_ok() {
                    assert!(asked.insert(pair), "asked twice");
                }
            }
            160..208 => {
                let nth = input.below(tickets.len());
                if let Some((pair, ticket)) = tickets
                    .iter()
                    .nth(nth)
                    .map(|(pair, ticket)| (pair.clone(), *ticket))
                {
                    let checked = match input.below(4) {
                        0 | 1 => Checked::Answered(Verdict::Valid),
                        2 => Checked::Answered(Verdict::Invalid),
                        _ => Checked::ConnectFailed,
                    };
                    if checked.verdict() == Verdict::Valid {
                        proved = Some(pair);
                    }
                    receiving.verified(ticket, checked);
                }
            }
            208..232 => {
                now = now + Duration::from_secs(u64::from(input.byte()));
                let env = &mut Env::new(now, &mut entropy);
                receiving.handle_timeout(env);
                originating.handle_timeout(env);
                verifying.handle_timeout(env);
                let deadlines = [
                    receiving.poll_timeout(),
                    originating.poll_timeout(),
                    verifying.poll_timeout(),
                ];
                assert!(
                    deadlines.into_iter().flatten().all(|at| at > now),
                    "a deadline that stays"
                );
            }
            232..248 => {
                receiving.withdraw(&some_pair(&mut input));
            }
            248..250 => originating.end(),
            250..252 => receiving.end(),
            _ => {}
        }
        let all = [
            drain(|| receiving.poll_action()),
            drain(|| originating.poll_action()),
            drain(|| verifying.poll_action()),
            drain(|| authoritative.poll_action()),
        ];
        let mut said = Vec::new();
        for action in all.into_iter().flatten() {
            match action {
                Action::Request(verification) => {
                    tickets.insert(verification.pair.clone(), verification.ticket);
                    // It may be verified here, too, over the other connection.
                    let env = &mut Env::new(now, &mut entropy);
                    let _ = verifying.verify(env, &verification);
                }
                Action::Event(Event::Validated { pair, .. }) => {
                    assert_eq!(proved.as_ref(), Some(&pair), "it was not proved");
                    verified.insert(pair);
                }
                Action::Event(Event::Concluded { pair, outcome }) => {
                    let late = outcome == onetrip_core::dialback::Outcome::Valid;
                    assert!(asked.remove(&pair) || late, "{pair} was not asked for");
                }
                Action::Send(element) => said.push(Message::read(&element)),
                _ => {}
            }
        }
        for message in said {
            let message = message.expect("dialback").expect("well-formed");
            if let Message::Answer(answer) = message {
                let right = answer.verdict != Verdict::Valid || verified.contains(&answer.pair);
                assert!(right, "{answer:?}");
            }
        }
        for from in NAMES.map(domain) {
            for to in NAMES.map(domain) {
                let pair = Pair::new(from.clone(), to);
                assert!(
                    !receiving.is_valid(&pair) || verified.contains(&pair),
                    "{pair} was not proved"
                );
            }
        }
        assert!(verifying.pending() <= STEPS && pending <= 3);
    }
}

fn drain<T>(poll: impl FnMut() -> Option<T>) -> Vec<T> {
    core::iter::from_fn(poll).collect()
}

const BIDI: &[&str] = &[
    "<bidi xmlns='urn:xmpp:bidi'/>",
    "<bidi xmlns='urn:xmpp:features:bidi'/>",
    "<bidi xmlns='urn:xmpp:bidi'><limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>10000</max-bytes><idle-seconds>60</idle-seconds></limits></bidi>",
    "<features xmlns='http://etherx.jabber.org/streams'><bidi xmlns='urn:xmpp:features:bidi'/></features>",
    "<features xmlns='http://etherx.jabber.org/streams'/>",
];

/// Both machines of bidirectional streams: nothing flows for a pair that was not validated.
pub(super) fn bidi(data: &[u8]) {
    let mut input = Input::new(data);
    let bits = input.byte();
    let (mut ours, mut theirs) = (
        bidi::InitiatorConfig::default(),
        bidi::ReceiverConfig::default(),
    );
    (ours.require_tls, theirs.require_tls) = (bits & 1 != 0, bits & 1 != 0);
    ours.require_certificate = bits & 2 != 0;
    theirs.accept_late_bidi = bits & 4 != 0;
    (ours.pairs, theirs.pairs) = (4, 4);
    let layer = if bits & 8 == 0 {
        Layer::Tls
    } else {
        Layer::Clear
    };
    let content = if bits & 16 == 0 {
        Content::Server
    } else {
        Content::Client
    };
    let mut initiator = bidi::Initiator::new(ours, content, layer);
    let mut receiver = bidi::Receiver::new(theirs, content, layer);
    let mut valid: [BTreeSet<Pair>; 2] = Default::default();
    // Proved by SASL: it is entered later, whatever was withdrawn meanwhile.
    let mut sasl: BTreeSet<Pair> = BTreeSet::new();
    let mut two_way = [false; 2];
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        let step = input.byte();
        let end = usize::from(step & 1);
        match step >> 1 {
            0..40 => {
                let pair = some_pair(&mut input);
                let entered = if end == 0 {
                    initiator.validated(
                        &pair,
                        if input.flag() {
                            Trust::Dns
                        } else {
                            Trust::Certificate
                        },
                        hosted,
                    )
                } else {
                    receiver.validated(&pair, hosted)
                };
                if entered.is_ok() {
                    valid[end].insert(pair);
                }
            }
            40..56 => {
                let pair = some_pair(&mut input);
                initiator.withdrawn(&pair);
                receiver.withdrawn(&pair);
                valid
                    .iter_mut()
                    .for_each(|valid| valid.retain(|one| *one != pair));
            }
            56..76 => {
                let said = element(&mut input, BIDI);
                if said.name() == "features" {
                    initiator.features(&said);
                } else if end == 0 {
                    let error = initiator.handle(&said);
                    assert_eq!(initiator.handle(&said).is_err(), error.is_err());
                } else {
                    two_way[1] |= receiver.handle(&said).is_ok()
                        && Bidi::read(&said, bidi::Namespaces::Either).is_some();
                }
            }
            76..84 => drop(initiator.authenticating(Trust::Dns)),
            84..92 => {
                let pair = some_pair(&mut input);
                if receiver.authenticated(pair.clone(), hosted).is_ok() {
                    sasl.insert(pair);
                }
            }
            92..100 => {
                let restart = if input.flag() {
                    Restart::Sasl
                } else {
                    Restart::Tls
                };
                initiator.restart(restart);
                receiver.restart(restart);
                if restart == Restart::Tls {
                    valid = Default::default();
                    sasl.clear();
                    two_way = [false; 2];
                }
            }
            100..108 => drop(receiver.announce()),
            108..110 => {
                initiator.end();
                receiver.end();
            }
            _ => {}
        }
        while let Some(action) = initiator.poll_action() {
            two_way[0] |= matches!(action, bidi::Action::Send(_));
        }
        while receiver.poll_action().is_some() {}
        for (end, pairs) in [initiator.pairs(), receiver.pairs()]
            .into_iter()
            .enumerate()
        {
            assert!(pairs.len() <= 4);
            assert!(!pairs.is_bidirectional() || two_way[end]);
            for pair in pairs.sendable().chain(pairs.receivable()) {
                let by_sasl = end == 1 && (sasl.contains(&pair) || sasl.contains(&pair.inverse()));
                let proved = by_sasl
                    || valid[end].contains(&pair)
                    || (two_way[end] && valid[end].contains(&pair.inverse()));
                assert!(proved, "{pair} was not proved at {end}");
                assert!(hosted(&pair.from) != hosted(&pair.to));
            }
        }
    }
}

/// What a link has done: what it wrote, and its events, in their order among themselves.
#[derive(Debug, Default, PartialEq)]
struct Done {
    written: Vec<u8>,
    events: Vec<String>,
    stanzas: u32,
    closed: bool,
}

/// A zero-handshake link against whatever its peer might write, in two ways to cut it.
pub(super) fn link(data: &[u8]) {
    let mut input = Input::new(data);
    let bits = input.byte();
    let mut words = Vec::new();
    for (bit, word) in [(1, "acks"), (2, "drop"), (4, "bounce"), (8, "tolerant")] {
        if bits & bit != 0 {
            words.push(word);
        }
    }
    let (words, opens) = (words.join(" "), bits & 16 != 0);
    let piece = usize::from(input.byte()) + 1;
    let lines = Reader::Link.lines();
    let mut bytes = Vec::new();
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        match input.byte() {
            0..200 => bytes.extend_from_slice(input.choose(&lines).as_bytes()),
            200..230 => bytes.extend_from_slice(input.piece()),
            _ => super::clients::spoil(&mut input, &mut bytes),
        }
    }
    let whole = run_link(&words, opens, &bytes, usize::MAX);
    assert_eq!(run_link(&words, opens, &bytes, 1), whole, "byte by byte");
    assert_eq!(
        run_link(&words, opens, &bytes, piece),
        whole,
        "in pieces of {piece}"
    );
}

fn run_link(words: &str, opens: bool, bytes: &[u8], piece: usize) -> Done {
    let mut link = links::agreed(words, opens);
    let mut entropy = Seeded::new(1);
    let mut done = Done::default();
    let mut now = Instant::EPOCH;
    take_in(&mut link, &mut done);
    for chunk in bytes.chunks(piece.min(bytes.len().max(1))) {
        if let Err(error) = link.receive(&mut Env::new(now, &mut entropy), chunk) {
            take_in(&mut link, &mut done);
            let again = link.receive(&mut Env::new(now, &mut entropy), b" ");
            assert_eq!(again, Err(error), "it is repeated");
        }
        take_in(&mut link, &mut done);
        assert!(link.buffered() <= 272 * 1024);
    }
    // Not as they come: how often the application says so shows in what is acknowledged.
    link.handled(done.stanzas);
    link.close(&mut Env::new(now, &mut entropy));
    take_in(&mut link, &mut done);
    for _ in 0..20 {
        if done.closed {
            return done;
        }
        assert!(
            super::watch::wake(&mut link, &mut now, &mut entropy),
            "it waits for ever"
        );
        take_in(&mut link, &mut done);
    }
    panic!("it never closes");
}

fn take_in(link: &mut Connection, done: &mut Done) {
    use onetrip_core::Action as Do;
    let mut events = Vec::new();
    while let Some(action) = link.poll_action() {
        assert!(!done.closed, "something behind the close: {action:?}");
        match action {
            Do::Transmit(bytes) => done.written.extend_from_slice(&bytes),
            Do::Event(event) => {
                if let CoreEvent::Stanza(stanza) = &event {
                    let from: Domain = stanza
                        .head()
                        .from
                        .as_ref()
                        .and_then(|from| from.parse::<onetrip_core::stream::Jid>().ok())
                        .map(|from| from.domain().clone())
                        .expect("agreed");
                    assert!(from.as_str().ends_with("air.example"), "{from}");
                    done.stanzas += 1;
                }
                events.push(crate::describe(&event));
            }
            Do::Close => done.closed = true,
            _ => {}
        }
    }
    done.events.extend(events);
}

/// Which connection of an agreement a stanza goes on.
pub(super) fn route(data: &[u8]) {
    let mut input = Input::new(data);
    let bits = input.byte();
    let mut terms = if bits & 1 == 0 {
        links::terms(0)
    } else {
        links::acknowledged(0)
    };
    terms.reply_on_inbound = bits & 2 != 0;
    terms.own_connection_rule = if bits & 4 == 0 {
        zh::OwnConnectionRule::default()
    } else {
        terms.own_connection_rule
    };
    let Ok(agreement) = zh::Agreement::new(terms) else {
        return;
    };
    let mut route = Route::new(&agreement);
    let mut now = Instant::EPOCH;
    let mut open: BTreeSet<u64> = BTreeSet::new();
    let mut closing: BTreeSet<u64> = BTreeSet::new();
    let (mut opening, mut next) = (false, 0);
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        let nth = |input: &mut Input<'_>, from: &BTreeSet<u64>| {
            from.iter().nth(input.below(from.len())).copied()
        };
        match input.below(10) {
            0..=2 => match route.stanza(now) {
                Choice::Send(id) => assert!(open.contains(&id.0), "a connection that is not open"),
                Choice::Open => {
                    assert!(!opening, "opened twice");
                    opening = true;
                }
                // Where there are acknowledgements, they are what is waited for.
                Choice::Wait(Pending::Unsettled) if bits & 1 != 0 => {}
                Choice::Wait(Pending::Unsettled | Pending::Retry) => {
                    assert!(
                        route
                            .poll_timeout()
                            .is_some_and(|deadline| deadline.at > now),
                        "no deadline"
                    );
                }
                Choice::Wait(Pending::Opening) => assert!(opening),
                Choice::Wait(Pending::Closing) => assert!(!closing.is_empty()),
                Choice::Wait(_) => {}
            },
            3 if opening => {
                opening = false;
                next += 1;
                if route.opened(zh::ConnectionId(next)).is_ok() {
                    open.insert(next);
                }
            }
            4 if opening => {
                opening = false;
                route.open_failed();
            }
            5 => {
                next += 1;
                if let Ok(earlier) = route.accepted(zh::ConnectionId(next)) {
                    open.insert(next);
                    if let Some(earlier) = earlier {
                        assert!(open.remove(&earlier.0) || closing.contains(&earlier.0));
                        closing.insert(earlier.0);
                    }
                }
            }
            6 => {
                if let Some(id) = nth(&mut input, &open) {
                    open.remove(&id);
                    closing.insert(id);
                    route.closing(zh::ConnectionId(id));
                }
            }
            7 => {
                let id = nth(&mut input, &closing).or_else(|| nth(&mut input, &open));
                if let Some(id) = id {
                    open.remove(&id);
                    closing.remove(&id);
                    route.closed(zh::ConnectionId(id));
                }
            }
            8 => {
                if let Some(id) = nth(&mut input, &open) {
                    route.set_unacknowledged(zh::ConnectionId(id), input.below(3));
                }
            }
            _ => {
                now = now + Duration::from_secs(u64::from(input.byte()));
                route.handle_timeout(now);
            }
        }
        assert!(
            open.len() + closing.len() <= 4,
            "more connections than can be of use"
        );
    }
}
