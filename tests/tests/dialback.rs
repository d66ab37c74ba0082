//! Servers that prove their domains by being asked back (XEP-0220), on unidirectional and bidirectional streams.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use onetrip_core::bidi::{Change, ReverseRefusal};
use onetrip_core::dialback::{
    Checked, Dropped, Event as Dialback, Ground, Outcome, Reason, Verdict,
};
use onetrip_core::quickstart::{Level, Transport};
use onetrip_core::stream::Condition;
use onetrip_core::{
    Connection, End, Event, InboundConfig, OutboundConfig, Request, ReverseFacts, UsageError,
};
use onetrip_tests::servers::{
    Servers, dialback, domain, inbound, inbound_at_capulet, outbound, pair, plan,
};

const HEADER: &str = "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
                      xmlns:db='jabber:server:dialback' from='capulet.lit' to='montague.lit' version='1.0'>";

fn configs() -> (OutboundConfig, InboundConfig) {
    let (mut out, mut into) = (outbound(), inbound());
    out.dialback = Some(dialback());
    into.dialback = Some(dialback());
    (out, into)
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

/// Thousands of keys on one stream: a few are looked at, the others are refused, and the stream goes on.
#[test]
fn thousands_of_keys_are_bounded() {
    let mut servers = Servers::default();
    let (out, into) = configs();
    let ends = dialed(&mut servers, out, into);
    let other = ends[1];
    for number in 0..3000 {
        servers
            .give(other, result(&format!("d{number}.lit"), "montague.lit"))
            .unwrap();
    }
    assert_eq!(servers.sides[other].asked.len(), 16);
    assert!(
        servers.sides[other]
            .writes
            .last()
            .unwrap()
            .contains("<resource-constraint ")
    );
    servers.send(other, "montague.lit", "capulet.lit").unwrap();
    servers.wait(Duration::from_secs(31));
    assert!(
        servers.sides[other]
            .writes
            .last()
            .unwrap()
            .contains("<remote-server-timeout ")
    );
    servers.send(other, "montague.lit", "capulet.lit").unwrap();
}

/// The first pair that is invalid costs the stream; its sender is told (XEP-0220 §2.2.1).
#[test]
fn a_first_key_that_is_not_theirs_costs_the_stream() {
    let mut servers = Servers::default();
    let (_, into) = configs();
    let other = servers.accept(into, &[]);
    servers
        .give(
            other,
            format!("{HEADER}{}", result("capulet.lit", "montague.lit")),
        )
        .unwrap();
    servers.dial_back(other, inbound_at_capulet(), Level::Off);
    let written = servers.sides[other].written();
    assert!(
        written.ends_with("type='invalid'/></stream:stream>"),
        "{written}"
    );
    let refused = Dialback::Refused {
        pair: pair("capulet.lit", "montague.lit"),
        verdict: Verdict::Invalid,
    };
    assert!(servers.sides[other].dialback().contains(&refused));
}

/// BIDI-11, BIDI-R7: nobody is asked about himself.
#[test]
fn bidi_11_a_key_is_not_verified_on_the_connection_it_arrived_on() {
    let mut servers = Servers::default();
    let (mut out, into) = configs();
    out.hosted.push(domain("chat.capulet.lit"));
    let ends = dialed(&mut servers, out, into);
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
    let (mut config, _) = configs();
    config.connection = verification.ticket.connection();
    let plan = plan(&config, Level::Off, None);
    let refused = servers.with(ends[1], |_, env| {
        Connection::verifier(config, plan, &verification, env).is_err()
    });
    assert!(refused);
    // The other end does not vouch there either.
    let id = verification.id.as_str();
    let verify = format!(
        "<db:verify from='montague.lit' to='chat.capulet.lit' id='{id}'>{}</db:verify>",
        verification.key.expose()
    );
    servers.give(ends[0], verify).unwrap();
    assert!(
        servers.sides[ends[0]]
            .writes
            .last()
            .unwrap()
            .contains("<not-acceptable ")
    );
    // But another connection to the same server may carry it.
    let (config, mut back) = configs();
    back.domains = vec![domain("capulet.lit"), domain("chat.capulet.lit")];
    let mut config = config;
    (config.local, config.remote) = (domain("montague.lit"), domain("capulet.lit"));
    config.connection = onetrip_core::dialback::ConnectionId(9);
    config.hosted = vec![domain("montague.lit")];
    let third = servers.connect(config, back, false);
    servers.dial_back(third[1], inbound_like_montague(), Level::Off);
    servers.talk(third);
    servers
        .with(third[0], |connection, env| {
            connection.verify(env, &verification)
        })
        .unwrap();
    servers.talk(third);
    let (ticket, checked) = servers.sides[third[0]].checked().unwrap();
    assert_eq!(checked, Checked::Answered(Verdict::Valid));
    servers
        .with(ends[1], |connection, env| {
            connection.verified(env, ticket, checked)
        })
        .unwrap();
    servers.talk(ends);
    servers
        .send(ends[0], "chat.capulet.lit", "montague.lit")
        .unwrap();
}

fn inbound_like_montague() -> InboundConfig {
    let mut config = inbound();
    config.dialback = Some(dialback());
    config
}

/// BIDI-22: an answer that nobody has asked for changes nothing.
#[test]
fn bidi_22_unsolicited_answers_are_dropped() {
    let mut servers = Servers::default();
    let (out, into) = configs();
    let [one, other] = dialed(&mut servers, out, into);
    for place in [one, other] {
        let before = servers.sides[place].changes();
        for text in [
            "<db:result from='chat.montague.lit' to='capulet.lit' type='valid'/>",
            "<db:result from='capulet.lit' to='chat.montague.lit' type='valid'/>",
            "<db:verify from='verona.lit' to='montague.lit' id='x' type='valid'/>",
        ] {
            servers.give(place, text).unwrap();
            let last = servers.sides[place].dialback().pop();
            let what = Dropped::Unsolicited;
            assert!(
                matches!(last, Some(Dialback::Dropped { what: dropped, .. }) if dropped == what)
            );
        }
        assert_eq!(servers.sides[place].changes(), before);
    }
}

/// XEP-0220 §2.2: no prefix, no dialback. And none in clear (digest §6.1).
#[test]
fn without_the_prefix_or_tls_there_is_no_dialback() {
    let mut servers = Servers::default();
    let (_, into) = configs();
    let other = servers.accept(into.clone(), &[]);
    let header = HEADER.replace("xmlns:db='jabber:server:dialback' ", "");
    servers.give(other, header).unwrap();
    assert!(!servers.sides[other].written().contains("<dialback "));
    let bare =
        "<result xmlns='jabber:server:dialback' from='capulet.lit' to='montague.lit'>k</result>";
    let error = servers.give(other, bare).unwrap_err();
    assert_eq!(error.condition(), Some(Condition::UnsupportedStanzaType));
    let mut clear = into;
    clear.transport = Transport::StartTls;
    let other = servers.accept(clear, &[]);
    servers
        .give(
            other,
            format!("{HEADER}{}", result("capulet.lit", "montague.lit")),
        )
        .unwrap();
    assert!(
        servers.sides[other]
            .written()
            .contains("<policy-violation ")
    );
    assert!(servers.sides[other].asked.is_empty());
    // Whoever has no dialback gives up where EXTERNAL does not do.
    let (out, _) = configs();
    let [one, _] = servers.connect(out, inbound(), false);
    assert!(matches!(servers.sides[one].end(), Some(End::Refused)));
}

/// The restart of SASL would take the stream id from under a verification: its outcome could then be taken for another's.
#[test]
fn sasl_behind_a_key_is_refused() {
    let mut servers = Servers::default();
    let (_, into) = configs();
    let other = servers.accept(into, &["capulet.lit"]);
    servers
        .give(
            other,
            format!("{HEADER}{}", result("verona.lit", "montague.lit")),
        )
        .unwrap();
    assert_eq!(servers.sides[other].asked.len(), 1);
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>";
    let error = servers.give(other, auth).unwrap_err();
    assert_eq!(error.condition(), Some(Condition::NotAuthorized));
}

/// A domain of ours is nobody else's (digest §6.2).
#[test]
fn a_domain_of_ours_is_nobody_elses() {
    let mut servers = Servers::default();
    let (_, into) = configs();
    let other = servers.accept(into, &["chat.montague.lit"]);
    servers
        .give(
            other,
            format!("{HEADER}{}", result("chat.montague.lit", "montague.lit")),
        )
        .unwrap();
    let written = servers.sides[other].written();
    assert!(written.contains("<not-acceptable ") && servers.sides[other].asked.is_empty());
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

/// BIDI-14, BIDI-15, BIDI-16: the end that accepted the connection proves another domain on it.
#[test]
fn bidi_14_reverse_dialback_opens_both_directions() {
    let mut servers = Servers::default();
    let (out, into) = configs();
    let [one, other] = dialed(&mut servers, out, into);
    let reverse = pair("chat.montague.lit", "capulet.lit");
    let asked = reverse.clone();
    servers
        .with(other, |connection, env| connection.ask(env, asked, false))
        .unwrap();
    servers.talk([one, other]);
    let Some(Request::Reverse { pair: asked, .. }) = servers.sides[one].asked.pop_front() else {
        panic!("not asked about");
    };
    assert_eq!(asked, reverse);
    let facts = ReverseFacts {
        resolves_here: true,
        fresh_id: true,
    };
    servers
        .with(one, |connection, env| connection.judged(env, &asked, facts))
        .unwrap();
    servers.dial_back(one, inbound_like_montague(), Level::Off);
    servers.talk([one, other]);
    servers
        .send(other, "chat.montague.lit", "capulet.lit")
        .unwrap();
    servers
        .send(one, "capulet.lit", "chat.montague.lit")
        .unwrap();
    servers.talk([one, other]);
    assert_eq!(
        [one, other].map(|place| servers.sides[place].stanzas()),
        [1, 1]
    );
}

/// Digest §6.2: each check alone is enough to refuse, and the stream goes on.
#[test]
fn bidi_15_reverse_requests_are_checked() {
    for (resolves_here, fresh_id) in [(false, true), (true, false)] {
        let mut servers = Servers::default();
        let (out, into) = configs();
        let [one, other] = dialed(&mut servers, out, into);
        servers
            .give(one, result("chat.montague.lit", "capulet.lit"))
            .unwrap();
        let facts = ReverseFacts {
            resolves_here,
            fresh_id,
        };
        let asked = pair("chat.montague.lit", "capulet.lit");
        servers
            .with(one, |connection, env| connection.judged(env, &asked, facts))
            .unwrap();
        assert!(
            servers.sides[one]
                .writes
                .last()
                .unwrap()
                .contains("<not-acceptable ")
        );
        let again = servers.with(one, |connection, env| connection.judged(env, &asked, facts));
        assert_eq!(again, Err(UsageError::NotAsked));
        servers.send(other, "montague.lit", "capulet.lit").unwrap();
    }
    // A target that the peer has not accepted here, and a domain of ours.
    let mut servers = Servers::default();
    let (mut out, into) = configs();
    out.hosted.push(domain("chat.capulet.lit"));
    let [one, _] = dialed(&mut servers, out, into);
    for (from, to, condition) in [
        ("chat.montague.lit", "chat.capulet.lit", "item-not-found"),
        ("chat.capulet.lit", "capulet.lit", "not-acceptable"),
    ] {
        servers.give(one, result(from, to)).unwrap();
        assert!(
            servers.sides[one]
                .writes
                .last()
                .unwrap()
                .contains(condition),
            "{from}"
        );
    }
    assert!(servers.sides[one].asked.is_empty());
}

/// Without bidi there is no reverse dialback, at either end (BIDI-14, BIDI-15).
#[test]
fn bidi_14_not_on_a_unidirectional_stream() {
    let mut servers = Servers::default();
    let (out, mut into) = configs();
    into.bidi.offer = false;
    let [one, other] = dialed(&mut servers, out, into);
    let asked = pair("chat.montague.lit", "capulet.lit");
    let refused = servers.with(other, |connection, env| connection.ask(env, asked, false));
    let why = ReverseRefusal::Unidirectional;
    assert_eq!(refused, Err(UsageError::MayNotAsk(why)));
    servers
        .give(one, result("chat.montague.lit", "capulet.lit"))
        .unwrap();
    assert!(
        servers.sides[one]
            .writes
            .last()
            .unwrap()
            .contains("<policy-violation ")
    );
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
