//! Servers that prove their domains by being asked back (XEP-0220), on unidirectional and bidirectional streams.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use onetrip_core::bidi::{Change, ReverseRefusal};
use onetrip_core::dialback::{
    AskError, Checked, ConnectionId, Dropped, Event as Dialback, Ground, Outcome, Reason, Verdict,
};
use onetrip_core::quickstart::{Key, Level, Policy, Transport};
use onetrip_core::stream::{Condition, Env};
use onetrip_core::{
    Connection, End, Entity, Event, InboundConfig, OutboundConfig, Request, ReverseFacts,
    UsageError,
};
use onetrip_tests::servers::{
    Servers, dialback, domain, inbound, inbound_at_capulet, outbound, pair, plan,
};

mod refused;
mod reverse;

const HEADER: &str = "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
                      xmlns:db='jabber:server:dialback' from='capulet.lit' to='montague.lit' version='1.0'>";

fn configs() -> (OutboundConfig, InboundConfig) {
    let (mut out, mut into) = (outbound(), inbound());
    out.dialback = Some(dialback());
    into.dialback = Some(dialback());
    (out, into)
}

fn inbound_like_montague() -> InboundConfig {
    let mut config = inbound();
    config.dialback = Some(dialback());
    config
}

fn result(from: &str, to: &str) -> String {
    format!("<db:result from='{from}' to='{to}'>b4835385</db:result>")
}

/// A connection that has been established by dialback.
fn dialed(servers: &mut Servers, out: OutboundConfig, into: InboundConfig) -> [usize; 2] {
    let ends = servers.connect(out, into, false);
    servers.dial_back(ends[1], inbound_at_capulet(), Level::Off);
    servers.talk(ends);
    ends
}

/// Both directions over one connection, and the verification over a third, at any split and level.
#[test]
fn dialback_over_a_connection_of_its_own() {
    for transport in [Transport::DirectTls, Transport::StartTls] {
        for (piece, level) in [(usize::MAX, Level::Off), (3, Level::Safe), (1, Level::Full)] {
            let mut servers = Servers {
                piece,
                ..Servers::default()
            };
            let (mut out, mut into) = configs();
            (out.transport, into.transport) = (transport, transport);
            let [one, other] = servers.connect(out, into, false);
            let refused = servers.send(other, "montague.lit", "capulet.lit");
            assert_eq!(refused, Err(UsageError::NotOnline), "BIDI-10");
            let mut back = inbound_at_capulet();
            back.transport = transport;
            let leg = servers.dial_back(other, back, level);
            servers.talk([one, other]);
            servers.send(one, "capulet.lit", "montague.lit").unwrap();
            servers.send(other, "montague.lit", "capulet.lit").unwrap();
            servers.talk([one, other]);
            assert_eq!(
                [one, other].map(|place| servers.sides[place].stanzas()),
                [1, 1]
            );
            for place in leg {
                assert!(matches!(servers.sides[place].end(), Some(End::Clean)));
            }
            let outcome = Outcome::Valid;
            let concluded = Dialback::Concluded {
                pair: pair("capulet.lit", "montague.lit"),
                outcome,
            };
            assert_eq!(servers.sides[one].dialback(), [concluded]);
        }
    }
}

/// Digest §4.5: `db:verify` rides with the header.
#[test]
fn a_verification_rides_with_the_header() {
    let mut servers = Servers::default();
    let (out, into) = configs();
    let [_, other] = servers.connect(out, into, false);
    let leg = servers.dial_back(other, inbound_at_capulet(), Level::Safe);
    let first = &servers.sides[leg[0]].writes[0];
    assert!(
        first.contains("<stream:stream ") && first.contains("<db:verify "),
        "{first}"
    );
}

/// vanaheimr S9: `<bidi/>` goes before the key, or it never does.
#[test]
fn vanaheimr_s9_bidi_goes_before_the_key() {
    let mut servers = Servers::default();
    let (out, into) = configs();
    let [one, _] = servers.connect(out, into, false);
    let last = servers.sides[one].writes.last().unwrap();
    assert!(
        last.starts_with("<bidi ") && last.contains("<db:result "),
        "{last}"
    );
}

/// xeps#963, Openfire OF-984: EXTERNAL that is refused leaves room for dialback on the same stream.
#[test]
fn xeps_963_external_is_refused_and_dialback_follows() {
    let mut servers = Servers::default();
    let (out, _) = configs();
    let plan = plan(&out, Level::Off, None);
    let one = servers.open(out, plan, &["montague.lit"]);
    let header = HEADER.replace(
        "from='capulet.lit' to='montague.lit'",
        "from='montague.lit' to='capulet.lit' id='D60000229F'",
    );
    let features = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
                    <mechanism>EXTERNAL</mechanism></mechanisms><bidi xmlns='urn:xmpp:features:bidi'/></stream:features>";
    servers.give(one, format!("{header}{features}")).unwrap();
    let failure = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>";
    servers.give(one, failure).unwrap();
    let side = &servers.sides[one];
    assert!(side.saw(|event| matches!(event, Event::AuthenticationRefused(_))));
    let key = side.writes.last().unwrap();
    assert!(key.starts_with("<db:result "), "{key}");
    assert_eq!(side.written().matches("<bidi ").count(), 1);
    servers
        .give(
            one,
            "<db:result from='montague.lit' to='capulet.lit' type='valid'/>",
        )
        .unwrap();
    servers.send(one, "capulet.lit", "montague.lit").unwrap();
    let stanza = "<message from='romeo@montague.lit' to='juliet@capulet.lit'/>";
    servers.give(one, stanza).unwrap();
    assert_eq!(servers.sides[one].stanzas(), 1);
}

/// XEP-0344: a certificate that proves the sender is enough, and nobody is asked.
#[test]
fn xep_0344_a_certificate_proves_the_sender() {
    let mut servers = Servers::default();
    let (mut out, into) = configs();
    out.certificate = false; // It is shown, and yet EXTERNAL is not used.
    let [one, other] = servers.connect(out, into, true);
    assert!(servers.sides[other].asked.is_empty());
    let validated = Dialback::Validated {
        pair: pair("capulet.lit", "montague.lit"),
        ground: Ground::Certificate,
    };
    assert_eq!(servers.sides[other].dialback(), [validated]);
    servers.send(one, "capulet.lit", "montague.lit").unwrap();
    servers.send(other, "montague.lit", "capulet.lit").unwrap();
}

/// A second pair on the stream that EXTERNAL has opened (XEP-0220 §2.6), and only that.
#[test]
fn a_second_pair_by_dialback_on_the_same_stream() {
    let mut servers = Servers::default();
    let (mut out, into) = configs();
    out.hosted.push(domain("chat.capulet.lit"));
    let [one, other] = servers.connect(out, into, true);
    let second = pair("chat.capulet.lit", "montague.lit");
    let asked = second.clone();
    servers
        .with(one, |connection, env| connection.ask(env, asked, false))
        .unwrap();
    servers.talk([one, other]);
    let refused = servers.send(one, "chat.capulet.lit", "montague.lit");
    assert_eq!(refused, Err(UsageError::PairNotOpen));
    servers.dial_back(other, inbound_at_capulet(), Level::Off);
    servers.talk([one, other]);
    servers
        .send(one, "chat.capulet.lit", "montague.lit")
        .unwrap();
    servers.send(one, "capulet.lit", "montague.lit").unwrap();
    servers
        .send(other, "montague.lit", "chat.capulet.lit")
        .unwrap();
    servers.talk([one, other]);
    assert_eq!(servers.sides[other].stanzas(), 2);
    assert!(
        servers.sides[one]
            .changes()
            .contains(&Change::SendOpened(second))
    );
    // Another target than the stream's own needs a reason, and a sender of ours is needed anyway.
    for (from, to) in [
        ("capulet.lit", "chat.montague.lit"),
        ("verona.lit", "montague.lit"),
    ] {
        let asked = pair(from, to);
        let refused = servers.with(one, |connection, env| connection.ask(env, asked, false));
        assert!(
            matches!(refused, Err(UsageError::CannotAsk(_))),
            "{from} {to}"
        );
    }
    let asked = pair("capulet.lit", "chat.montague.lit");
    servers
        .with(one, |connection, env| connection.ask(env, asked, true))
        .unwrap();
}

/// ejabberd#3029: an unknown target costs its pair and nothing else.
#[test]
fn ejabberd_3029_an_unknown_target_does_not_cost_the_stream() {
    let mut servers = Servers::default();
    let (out, into) = configs();
    let ends = dialed(&mut servers, out, into);
    let other = ends[1];
    servers
        .give(other, result("capulet.lit", "verona.lit"))
        .unwrap();
    let last = servers.sides[other].writes.last().unwrap();
    assert!(
        last.contains("type='error'") && last.contains("<item-not-found "),
        "{last}"
    );
    servers.send(other, "montague.lit", "capulet.lit").unwrap();
}

/// The leg ends without an answer: that is an answer too, once.
#[test]
fn a_leg_that_fails_has_an_outcome() {
    let header = HEADER.replace(
        "from='capulet.lit' to='montague.lit'",
        "from='capulet.lit' to='montague.lit' id='x'",
    );
    let unknown =
        "<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
    for (level, text, checked, reason) in [
        (
            Level::Off,
            unknown,
            Checked::HostUnknown,
            Reason::RemoteServerNotFound,
        ),
        (
            Level::Safe,
            unknown,
            Checked::HostUnknown,
            Reason::RemoteServerNotFound,
        ),
        (
            Level::Off,
            "</stream:stream>",
            Checked::Unanswered,
            Reason::RemoteServerTimeout,
        ),
        (
            Level::Safe,
            "<stream:features/>",
            Checked::Unanswered,
            Reason::RemoteServerTimeout,
        ),
    ] {
        let mut servers = Servers::default();
        let (out, into) = configs();
        let ends = servers.connect(out, into, false);
        let leg = servers.verifier(ends[1], Transport::DirectTls, level);
        servers.give(leg, format!("{header}{text}")).unwrap();
        servers.wait(Duration::from_secs(21));
        let (ticket, outcome) = servers.sides[leg].checked().unwrap();
        assert_eq!(outcome, checked, "{level:?} {text}");
        servers
            .with(ends[1], |connection, env| {
                connection.verified(env, ticket, outcome)
            })
            .unwrap();
        servers.talk(ends);
        let concluded = Dialback::Concluded {
            pair: pair("capulet.lit", "montague.lit"),
            outcome: Outcome::Error(reason),
        };
        assert!(servers.sides[ends[0]].dialback().contains(&concluded));
        assert!(matches!(servers.sides[ends[0]].end(), Some(End::Refused)));
    }
}

/// RFC 6120 §4.9.3.6: a server that knows no such domain says so behind a header from one of its own.
#[test]
fn host_unknown_is_heard_behind_a_strange_header() {
    let mut servers = Servers::default();
    let (out, into) = configs();
    let ends = servers.connect(out, into, false);
    let mut elsewhere = inbound_at_capulet();
    elsewhere.domains = vec![domain("verona.lit")];
    let leg = servers.dial_back(ends[1], elsewhere, Level::Off);
    let (_, checked) = servers.sides[leg[0]].checked().unwrap();
    assert_eq!(checked, Checked::HostUnknown);
    // Anything else behind it is a stranger's.
    let mut servers = Servers::default();
    let (out, _) = configs();
    let plan = plan(&out, Level::Off, None);
    let one = servers.open(out, plan, &["montague.lit"]);
    let header = HEADER.replace(
        "capulet.lit' to='montague.lit",
        "verona.lit' to='capulet.lit",
    );
    servers.give(one, header).unwrap();
    let error = servers.give(one, "<stream:features/>").unwrap_err();
    assert_eq!(error.condition(), Some(Condition::InvalidFrom));
}

/// Openfire OF-2556, OF-2681: the prefix is declared where it is used.
#[test]
fn openfire_of_2556_the_prefix_is_declared() {
    let mut servers = Servers::default();
    let (out, into) = configs();
    let [one, other] = dialed(&mut servers, out, into);
    for place in [one, other] {
        let written = servers.sides[place].written();
        assert!(written.contains("xmlns:db='jabber:server:dialback'"));
        assert!(written.contains("<db:result "), "{written}");
    }
}

/// XEP-0220 knows verification without TLS; here it has to be allowed (`verify_in_clear`).
#[test]
fn a_key_is_verified_in_clear_only_where_that_is_allowed() {
    for allowed in [false, true] {
        let mut servers = Servers::default();
        let (out, into) = configs();
        let ends = servers.connect(out, into, false);
        let Some(Request::Verify(verification)) = servers.sides[ends[1]].asked.pop_front() else {
            panic!("no key to verify");
        };
        let (local, remote) = (verification.pair.to.clone(), verification.pair.from.clone());
        let mut config = OutboundConfig::new(ConnectionId(9), local, remote, Transport::StartTls);
        let mut with = dialback();
        with.verify_in_clear = allowed;
        config.dialback = Some(with);
        let plan = plan(&config, Level::Off, None);
        let env = &mut Env::new(servers.now, &mut servers.entropy);
        let verifier = Connection::verifier(config, plan, &verification, env).unwrap();
        let mut authority = inbound_at_capulet();
        authority.transport = Transport::StartTls;
        let leg = [servers.add(verifier, &[]), servers.accept(authority, &[])];
        servers.talk(leg);
        let written = servers.sides[leg[0]].written();
        assert_eq!(written.contains("<starttls"), !allowed, "{written}");
        let checked = servers.sides[leg[0]].checked().map(|(_, checked)| checked);
        assert_eq!(
            checked,
            Some(Checked::Answered(Verdict::Valid)),
            "{written}"
        );
    }
}

/// QS-30: what a server offers is remembered where dialback has proved the pair, and TLS does not wait the next time.
#[test]
fn what_dialback_has_shown_is_remembered() {
    let mut servers = Servers::default();
    let (mut out, mut into) = configs();
    out.transport = Transport::StartTls;
    into.transport = Transport::StartTls;
    into.quickstart.advertise = true;
    let ends = dialed(&mut servers, out, into);
    let mut entity = Entity::default();
    for event in std::mem::take(&mut servers.sides[ends[0]].entity) {
        assert!(entity.handle(event).is_none());
    }
    let key = Key::new(domain("montague.lit"), None, Transport::StartTls);
    let plan = entity.cache().plan(&key, &Policy::default());
    assert_eq!(plan.level(), Level::Full);
}
