//! What went wrong between other servers, one test for each, and what must not be believed of a peer.
#![allow(clippy::unwrap_used, clippy::panic)]

use onetrip_core::dialback::{Checked, Dropped, Event as Dialback, Verdict};
use onetrip_core::quickstart::{Level, Transport};
use onetrip_core::stream::{Condition, Content, Stanza};
use onetrip_core::{
    End, Event, InboundConfig, OutboundConfig, Peers, PeersAction, Request, TlsInfo, UsageError,
};
use onetrip_tests::house::House;
use onetrip_tests::servers::{
    Servers, dialback, domain, inbound, inbound_at_capulet, message, outbound, pair, plan,
};
use onetrip_tests::words;

const HEADER: &str = "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
                      xmlns:db='jabber:server:dialback' from='capulet.lit' to='montague.lit' version='1.0'>";
const ANSWER: &str = "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
                      xmlns:db='jabber:server:dialback' from='montague.lit' to='capulet.lit' id='D60000229F' version='1.0'>";
const EXTERNAL: &str = "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>";
const AUTH: &str = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>";

fn configs() -> (OutboundConfig, InboundConfig) {
    let (mut out, mut into) = (outbound(), inbound());
    out.dialback = Some(dialback());
    into.dialback = Some(dialback());
    (out, into)
}

/// A connection that has been established by dialback.
fn dialed(servers: &mut Servers) -> [usize; 2] {
    let (out, into) = configs();
    let ends = servers.connect(out, into, false);
    servers.dial_back(ends[1], inbound_at_capulet(), Level::Off);
    servers.talk(ends);
    ends
}

fn last(servers: &Servers, place: usize) -> &str {
    servers.sides[place].writes.last().unwrap()
}

/// The other pair of the stream goes on, in both directions.
fn goes_on(servers: &mut Servers, ends: [usize; 2]) {
    let before = ends.map(|place| servers.sides[place].stanzas());
    servers
        .send(ends[0], "capulet.lit", "montague.lit")
        .unwrap();
    servers
        .send(ends[1], "montague.lit", "capulet.lit")
        .unwrap();
    for (from, to) in [(0, 1), (1, 0)] {
        servers.deliver(ends[from], ends[to]);
    }
    let after = ends.map(|place| servers.sides[place].stanzas());
    assert_eq!(after, before.map(|count| count + 1));
}

/// ejabberd#4300, #4312, PR#4581: feature and request in either namespace, and the right one is written.
#[test]
fn ejabberd_4300_either_namespace_is_understood_and_the_right_one_written() {
    for namespace in ["urn:xmpp:features:bidi", "urn:xmpp:bidi"] {
        let mut servers = Servers::default();
        let plan = plan(&outbound(), Level::Off, None);
        let one = servers.open(outbound(), plan, &["montague.lit"]);
        let features =
            format!("<stream:features>{EXTERNAL}<bidi xmlns='{namespace}'/></stream:features>");
        servers.give(one, format!("{ANSWER}{features}")).unwrap();
        assert!(last(&servers, one).starts_with("<bidi xmlns='urn:xmpp:bidi'/><auth "));
        let other = servers.accept(inbound(), &["capulet.lit"]);
        let text = format!("{HEADER}<bidi xmlns='{namespace}'/>{AUTH}{HEADER}");
        servers.give(other, text).unwrap();
        let written = servers.sides[other].written();
        assert!(written.contains("<bidi xmlns='urn:xmpp:features:bidi'/>"));
        servers.send(other, "montague.lit", "capulet.lit").unwrap();
    }
}

/// ejabberd#4344, #4375: a second request is not handled a second time.
#[test]
fn ejabberd_4344_a_second_request_opens_nothing_twice() {
    let mut servers = Servers::default();
    let ends = dialed(&mut servers);
    let before = servers.sides[ends[1]].changes();
    for namespace in ["urn:xmpp:bidi", "urn:xmpp:features:bidi"] {
        servers
            .give(ends[1], format!("<bidi xmlns='{namespace}'/>"))
            .unwrap();
    }
    assert_eq!(servers.sides[ends[1]].changes(), before);
    goes_on(&mut servers, ends);
}

/// prosody 421697060, 494b53ce0: whoever closes takes in what the other end sends until it closes too.
#[test]
fn prosody_421697060_whoever_closes_waits_for_the_other_end() {
    for first in [0, 1] {
        let mut servers = Servers::default();
        let ends = dialed(&mut servers);
        let (closer, peer) = (ends[first], ends[1 - first]);
        servers.with(closer, |connection, env| connection.close(env));
        let (from, to) = if first == 0 {
            ("montague.lit", "capulet.lit")
        } else {
            ("capulet.lit", "montague.lit")
        };
        servers.send(peer, from, to).unwrap();
        servers.talk(ends);
        assert_eq!(servers.sides[closer].stanzas(), 1);
        for place in ends {
            assert!(matches!(servers.sides[place].end(), Some(End::Clean)));
        }
    }
}

/// vanaheimr S9b: visible with three servers only. A stanza for the third is not written to the second.
#[test]
fn vanaheimr_s9b_a_stanza_for_a_third_server_does_not_go_to_the_second() {
    let mut servers = Servers::default();
    let [one, other] = dialed(&mut servers);
    for (place, from, to) in [
        (one, "capulet.lit", "verona.lit"),
        (other, "montague.lit", "verona.lit"),
        (other, "verona.lit", "capulet.lit"),
    ] {
        assert_eq!(servers.send(place, from, to), Err(UsageError::PairNotOpen));
    }
    let mut peers = Peers::default();
    peers.route(message("capulet.lit", "montague.lit"));
    let Some(PeersAction::Open { connection, .. }) = peers.poll_action() else {
        panic!("nothing is opened");
    };
    for event in &servers.sides[one].events {
        peers.handle(connection, event);
    }
    while peers.poll_action().is_some() {}
    peers.route(message("capulet.lit", "verona.lit"));
    let Some(PeersAction::Open {
        connection: third,
        pair: for_it,
    }) = peers.poll_action()
    else {
        panic!("it goes to the second");
    };
    assert_ne!(third, connection);
    assert_eq!(for_it, pair("capulet.lit", "verona.lit"));
}

/// vanaheimr: a client's stanza is not written between servers, nor taken from one.
#[test]
fn vanaheimr_leaking_jabber_client_is_refused_both_ways() {
    let mut servers = Servers::default();
    let ends = dialed(&mut servers);
    let text = "<message from='juliet@capulet.lit' to='romeo@montague.lit'/>";
    let stanza = Stanza::parse(text.as_bytes(), Content::Client).unwrap();
    let refused = servers.with(ends[0], |connection, env| {
        connection.send(env, &stanza).map(drop)
    });
    assert!(refused.is_err());
    goes_on(&mut servers, ends);
    let text = text.replace("<message ", "<message xmlns='jabber:client' ");
    let error = servers.give(ends[1], text).unwrap_err();
    assert!(
        matches!(
            error.condition(),
            Some(Condition::UnsupportedStanzaType | Condition::InvalidNamespace)
        ),
        "{error:?}"
    );
}

/// Openfire OF-984, OF-985, OF-2608: EXTERNAL is tried first, and where it is not offered dialback is; without either the
/// connection is given up.
#[test]
fn openfire_of_984_external_first_then_dialback() {
    for (mechanisms, first) in [
        (EXTERNAL, "<auth "),
        ("", "<db:result "),
        (
            "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
            "<db:result ",
        ),
    ] {
        let mut servers = Servers::default();
        let (out, _) = configs();
        let plan = plan(&out, Level::Off, None);
        let one = servers.open(out, plan, &["montague.lit"]);
        servers
            .give(
                one,
                format!("{ANSWER}<stream:features>{mechanisms}</stream:features>"),
            )
            .unwrap();
        assert!(last(&servers, one).starts_with(first), "{mechanisms}");
        if mechanisms == EXTERNAL {
            let failure =
                "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>";
            servers.give(one, failure).unwrap();
            assert!(last(&servers, one).starts_with("<db:result "));
        }
        let refused = "<db:result from='montague.lit' to='capulet.lit' type='invalid'/>";
        servers.give(one, refused).unwrap();
        assert!(matches!(servers.sides[one].end(), Some(End::Refused)));
    }
}

/// metronome#104, ejabberd#1569, peertube-livechat#175: a peer that cannot do bidi is answered over a connection of our own.
#[test]
fn metronome_104_a_one_way_peer_is_answered_over_another_connection() {
    let mut servers = Servers::default();
    let mut into = inbound();
    into.bidi.offer = false;
    let [_, other] = servers.connect(outbound(), into, true);
    let mut peers = Peers::default();
    let theirs = peers.add();
    for event in &servers.sides[other].events {
        peers.handle(theirs, event);
    }
    peers.route(message("montague.lit", "capulet.lit"));
    let action = peers.poll_action();
    assert!(
        matches!(&action, Some(PeersAction::Open { connection, .. }) if *connection != theirs),
        "{action:?}"
    );
}

/// ejabberd#4296, prosody d158455de: sessions are not resumed between servers, so none can come to the wrong one.
#[test]
fn prosody_d158455de_nothing_is_resumed_between_servers() {
    for element in [
        "<enable xmlns='urn:xmpp:sm:3' resume='true'/>",
        "<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>",
    ] {
        let mut servers = Servers::default();
        let ends = dialed(&mut servers);
        assert!(!servers.sides[ends[1]].written().contains("urn:xmpp:sm:3"));
        let error = servers.give(ends[1], element).unwrap_err();
        assert_eq!(error.condition(), Some(Condition::UnsupportedStanzaType));
    }
}

/// BIDI-11, BIDI-R7: whoever presents a key cannot have it vouched for on the same connection.
#[test]
fn a_verification_on_the_requesting_connection_is_refused() {
    let mut servers = Servers::default();
    let (mut out, into) = configs();
    out.hosted.push(domain("chat.capulet.lit"));
    let ends = servers.connect(out, into, false);
    servers.dial_back(ends[1], inbound_at_capulet(), Level::Off);
    servers.talk(ends);
    let asked = pair("chat.capulet.lit", "montague.lit");
    servers
        .with(ends[0], |connection, env| connection.ask(env, asked, false))
        .unwrap();
    servers.talk(ends);
    let Some(Request::Verify(verification)) = servers.sides[ends[1]].asked.pop_front() else {
        panic!("no verification");
    };
    let refused = servers.with(ends[1], |connection, env| {
        connection.verify(env, &verification)
    });
    assert!(matches!(refused, Err(UsageError::CannotVerify(_))));
    // The word of the requesting connection itself is none either.
    let (id, key) = (verification.id.as_str(), verification.key.expose());
    let said =
        format!("<db:verify from='chat.capulet.lit' to='montague.lit' id='{id}' type='valid'/>");
    servers.give(ends[1], said).unwrap();
    let refused = servers.send(ends[1], "montague.lit", "chat.capulet.lit");
    assert_eq!(refused, Err(UsageError::PairNotOpen));
    let verify =
        format!("<db:verify from='montague.lit' to='chat.capulet.lit' id='{id}'>{key}</db:verify>");
    servers.give(ends[0], verify).unwrap();
    assert!(last(&servers, ends[0]).contains("<not-acceptable "));
    goes_on(&mut servers, ends);
}

/// Digest §6.2: a key of ours that was captured is worth nothing on a stream where we do not wait for it.
#[test]
fn a_replayed_reverse_key_is_refused() {
    let mut servers = Servers::default();
    let ends = dialed(&mut servers);
    let written = servers.sides[ends[0]].written();
    let key = written.split("<db:result ").nth(1).unwrap();
    let key = key
        .split('>')
        .nth(1)
        .unwrap()
        .split('<')
        .next()
        .unwrap()
        .to_owned();
    let header = servers.sides[ends[1]].written();
    let id = header
        .split(" id='")
        .nth(1)
        .unwrap()
        .split('\'')
        .next()
        .unwrap()
        .to_owned();
    // The pair has been answered, so nobody waits for this key any more.
    let asks = servers.accept(inbound_at_capulet(), &[]);
    let header = HEADER.replace(
        "from='capulet.lit' to='montague.lit'",
        "from='montague.lit' to='capulet.lit'",
    );
    let verify =
        format!("<db:verify from='montague.lit' to='capulet.lit' id='{id}'>{key}</db:verify>");
    servers.give(asks, format!("{header}{verify}")).unwrap();
    let Some(Request::Vouch { pair: asked, id }) = servers.sides[asks].asked.front() else {
        panic!("not looked up");
    };
    assert!(!servers.sides[ends[0]].connection.awaits(asked, id));
    let nothing = servers.accept(inbound_at_capulet(), &[]);
    servers.deliver(nothing, asks);
    assert!(
        last(&servers, asks).contains("type='invalid'"),
        "{}",
        last(&servers, asks)
    );
}

/// Nothing was asked for, so nothing is valid; and what one pair gets wrong is not the other's loss.
#[test]
fn dialback_out_of_order_changes_nothing_for_the_others() {
    let mut servers = Servers::default();
    let ends = dialed(&mut servers);
    for text in [
        "<db:result from='verona.lit' to='montague.lit' type='valid'/>",
        "<db:result from='verona.lit' to='montague.lit' type='invalid'/>",
        "<db:verify from='verona.lit' to='montague.lit' id='x' type='valid'/>",
        "<db:verify from='verona.lit' to='montague.lit' id='x' type='invalid'/>",
    ] {
        let before = servers.sides[ends[1]].changes();
        servers.give(ends[1], text).unwrap();
        let told = servers.sides[ends[1]].dialback().pop();
        let dropped = |event: &Dialback| {
            matches!(
                event,
                Dialback::Dropped {
                    what: Dropped::Unsolicited,
                    ..
                }
            )
        };
        assert!(told.as_ref().is_some_and(dropped), "{text}: {told:?}");
        assert_eq!(servers.sides[ends[1]].changes(), before);
        goes_on(&mut servers, ends);
    }
}

/// Unknown targets, domains of ours and keys that nobody vouches for cost their pair and no other.
#[test]
fn bad_pairs_cost_themselves_alone() {
    let mut servers = Servers::default();
    let ends = dialed(&mut servers);
    for (from, to, condition) in [
        ("capulet.lit", "verona.lit", "<item-not-found "),
        ("montague.lit", "montague.lit", "<not-acceptable "),
        ("chat.montague.lit", "montague.lit", "<not-acceptable "),
    ] {
        let text = format!("<db:result from='{from}' to='{to}'>b4835385</db:result>");
        servers.give(ends[1], text).unwrap();
        assert!(last(&servers, ends[1]).contains(condition), "{from} {to}");
        assert!(servers.sides[ends[1]].asked.is_empty());
        goes_on(&mut servers, ends);
    }
    let text = "<db:result from='verona.lit' to='montague.lit'>b4835385</db:result>";
    servers.give(ends[1], text).unwrap();
    let Some(Request::Verify(verification)) = servers.sides[ends[1]].asked.pop_front() else {
        panic!("no verification");
    };
    let checked = Checked::Answered(Verdict::Invalid);
    let ticket = verification.ticket;
    servers
        .with(ends[1], |connection, env| {
            connection.verified(env, ticket, checked)
        })
        .unwrap();
    // Not `invalid`, which would be the end of a peer that closes at it.
    assert!(last(&servers, ends[1]).contains("<forbidden "));
    goes_on(&mut servers, ends);
}

/// BIDI-21: there is no such thing as a bidirectional client.
#[test]
fn bidi_on_a_clients_stream_is_refused() {
    for namespace in ["urn:xmpp:bidi", "urn:xmpp:features:bidi"] {
        let mut house = House::default();
        let server = house.server();
        house.log_in(server);
        assert!(!house.sides[server].written.contains(":bidi'"));
        let error = house
            .give(server, format!("<bidi xmlns='{namespace}'/>"))
            .unwrap_err();
        assert_eq!(error.condition(), Some(Condition::UnsupportedStanzaType));
        let server = house.server();
        let text = format!("{}<bidi xmlns='{namespace}'/>", words::HEADER);
        assert!(house.give(server, text).is_err());
    }
}

/// BIDI-23: in clear it is neither asked for nor taken, even if the peer offers it there.
#[test]
fn bidi_in_clear_is_not_asked_for() {
    let mut servers = Servers::default();
    let (mut out, _) = configs();
    out.transport = Transport::StartTls;
    let plan = plan(&out, Level::Off, None);
    let one = servers.open(out, plan, &["montague.lit"]);
    let features = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\
                    <bidi xmlns='urn:xmpp:features:bidi'/></stream:features>";
    servers.give(one, format!("{ANSWER}{features}")).unwrap();
    assert!(!servers.sides[one].written().contains("<bidi "));
    assert!(last(&servers, one).contains("<starttls "));
}

/// A handshake that ends behind the connection's end changes nothing and says nothing.
#[test]
fn tls_that_comes_too_late_changes_nothing() {
    let mut servers = Servers::default();
    let mut into = inbound();
    into.transport = Transport::StartTls;
    let other = servers.accept(into, &["capulet.lit"]);
    servers.with(other, |connection, env| connection.receive_eof(env));
    let told = servers.with(other, |connection, env| {
        connection.tls_established(env, TlsInfo::new(), &[])
    });
    assert_eq!(told, Err(UsageError::Closed));
    assert!(!servers.sides[other].saw(|event| matches!(event, Event::Secured)));
}

/// The report of an attempt comes before the end, not behind it, when a peer proved by dialback breaks a rule.
#[test]
fn an_intrusion_behind_dialback_leaves_nothing_behind_the_close() {
    let mut servers = Servers::default();
    let [one, _] = dialed(&mut servers);
    let text = "<message from='romeo@verona.lit' to='juliet@capulet.lit'/>";
    // The wires check that nothing comes behind the close.
    let error = servers.give(one, text).unwrap_err();
    assert_eq!(error.condition(), Some(Condition::InvalidFrom));
    assert!(servers.sides[one].closed);
}
