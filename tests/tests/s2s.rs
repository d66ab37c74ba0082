//! Servers with certificates: SASL EXTERNAL (XEP-0178) and both directions over one connection (XEP-0288).
#![allow(clippy::unwrap_used, clippy::panic)]

use onetrip_core::bidi::Change;
use onetrip_core::quickstart::{Cache, Level, Policy, Transport};
use onetrip_core::stream::Condition;
use onetrip_core::{End, Entity, Event, UsageError};
use onetrip_tests::servers::{Servers, domain, inbound, outbound, pair, plan};

const HEADER: &str = "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
                      from='capulet.lit' to='montague.lit' version='1.0'>";
const AUTH: &str = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>";
const BIDI: &str = "<bidi xmlns='urn:xmpp:bidi'/>";
const MESSAGE: &str = "<message from='juliet@capulet.lit' to='romeo@montague.lit'/>";

/// Both transports, at any split: one connection carries both directions, and nothing else.
#[test]
fn bidi_carries_both_directions_over_one_connection() {
    for transport in [Transport::DirectTls, Transport::StartTls] {
        for piece in [usize::MAX, 7, 1] {
            let mut servers = Servers {
                piece,
                ..Servers::default()
            };
            let (mut out, mut into) = (outbound(), inbound());
            (out.transport, into.transport) = (transport, transport);
            let [one, other] = servers.connect(out, into, true);
            for place in [one, other] {
                let established = |event: &Event| matches!(event, Event::Established { .. });
                assert!(servers.sides[place].saw(established), "{transport:?}");
            }
            servers.send(one, "capulet.lit", "montague.lit").unwrap();
            servers.send(other, "montague.lit", "capulet.lit").unwrap();
            servers.talk([one, other]);
            assert_eq!(
                [one, other].map(|place| servers.sides[place].stanzas()),
                [1, 1]
            );
            // BIDI-12: the stream's `to` and no other domain of ours.
            let refused = servers.send(other, "chat.montague.lit", "capulet.lit");
            assert_eq!(refused, Err(UsageError::PairNotOpen));
            let refused = servers.send(one, "capulet.lit", "chat.montague.lit");
            assert_eq!(refused, Err(UsageError::PairNotOpen));
        }
    }
}

#[test]
fn without_bidi_the_other_direction_is_refused() {
    let mut into = inbound();
    into.bidi.offer = false;
    let mut servers = Servers::default();
    let [one, other] = servers.connect(outbound(), into, true);
    servers.send(one, "capulet.lit", "montague.lit").unwrap();
    let refused = servers.send(other, "montague.lit", "capulet.lit");
    assert_eq!(refused, Err(UsageError::PairNotOpen));
    // And whoever sends it all the same is thrown out (BIDI-17).
    let stanza = "<message from='romeo@montague.lit' to='juliet@capulet.lit'/>";
    let error = servers.give(one, stanza).unwrap_err();
    assert_eq!(error.condition(), Some(Condition::InvalidFrom));
}

/// BIDI-05, BIDI-06, BIDI-09: header, `<bidi/>` and `<auth/>` share one write, and there is nothing else in it.
#[test]
fn bidi_06_header_bidi_and_auth_in_one_write() {
    let remembered: &[(&str, &str)] = &[
        ("bidi", "urn:xmpp:features:bidi"),
        ("pipelining", "urn:xmpp:features:pipelining"),
    ];
    for (level, headers) in [(Level::Safe, 1), (Level::Full, 2)] {
        let mut servers = Servers::default();
        let plan = plan(&outbound(), level, Some(remembered));
        let one = servers.open(outbound(), plan, &["montague.lit"]);
        let first = &servers.sides[one].writes[0];
        assert_eq!(servers.sides[one].writes.len(), 1, "{level:?}");
        assert_eq!(first.matches("<stream:stream ").count(), headers);
        assert_eq!(first.matches(BIDI).count(), 1, "{first}");
        let places = ["<stream:stream ", "<bidi ", "<auth "].map(|text| first.find(text).unwrap());
        assert!(places.is_sorted());
        let other = servers.accept(inbound(), &["capulet.lit"]);
        servers.talk([one, other]);
        servers.send(other, "montague.lit", "capulet.lit").unwrap();
        let provisional = servers.sides[one].saw(|event| {
            matches!(
                event,
                Event::Established {
                    provisional: true,
                    ..
                }
            )
        });
        assert_eq!(provisional, level == Level::Full, "QS-R10");
    }
}

/// QS-R10: the request that tells whether the restart was seen goes between the domains, and its answer is not the
/// application's.
#[test]
fn what_was_provisional_is_confirmed_by_an_answer() {
    let remembered: &[(&str, &str)] = &[
        ("bidi", "urn:xmpp:features:bidi"),
        ("pipelining", "urn:xmpp:features:pipelining"),
    ];
    let mut servers = Servers::default();
    let plan = plan(&outbound(), Level::Full, Some(remembered));
    let one = servers.open(outbound(), plan, &["montague.lit"]);
    let other = servers.accept(inbound(), &["capulet.lit"]);
    servers.talk([one, other]);
    let written = servers.sides[one].written();
    let id = written.split("<iq ").nth(1).unwrap();
    let id = id.split("id='").nth(1).unwrap().split('\'').next().unwrap();
    let answer = format!("<iq type='result' id='{id}' from='montague.lit' to='capulet.lit'/>");
    servers.give(one, answer).unwrap();
    assert!(servers.sides[one].saw(|event| matches!(event, Event::Confirmed)));
    assert_eq!(servers.sides[one].stanzas(), 0);
    assert_eq!(servers.sides[other].stanzas(), 1);
}

/// QS-30: what one connection has shown is what the next is planned by, down to one write.
#[test]
fn qs_30_the_second_connection_is_one_write() {
    let mut servers = Servers::default();
    let mut entity = Entity::new(Cache::default(), Policy::default());
    for writes in [3, 1] {
        let one = servers.remembered(&entity, outbound(), &["montague.lit"]);
        let other = servers.accept(inbound(), &["capulet.lit"]);
        servers.talk([one, other]);
        assert!(servers.sides[other].saw(|event| matches!(event, Event::Bidirectional { .. })));
        let written = &servers.sides[one].writes;
        let up_to_restart = written.concat().matches("<stream:stream ").count();
        assert_eq!(up_to_restart, 2);
        let last = written
            .iter()
            .rposition(|text| text.contains("<stream:stream "))
            .unwrap();
        assert_eq!(last + 1, writes, "{written:?}");
        for event in std::mem::take(&mut servers.sides[one].entity) {
            assert!(entity.handle(event).is_none());
        }
    }
}

/// A peer that is not remembered to know bidi is not asked to (BIDI-06).
#[test]
fn bidi_06_it_is_not_asked_for_on_a_guess() {
    let mut servers = Servers::default();
    let plan = plan(&outbound(), Level::Safe, Some(&[]));
    let one = servers.open(outbound(), plan, &["montague.lit"]);
    let first = &servers.sides[one].writes[0];
    assert!(
        first.contains("<auth ") && !first.contains("<bidi "),
        "{first}"
    );
}

#[test]
fn bidi_08_bidi_survives_the_restart_of_sasl() {
    let mut servers = Servers::default();
    let [one, other] = servers.connect(outbound(), inbound(), true);
    for (place, from, to) in [
        (one, "capulet.lit", "montague.lit"),
        (other, "montague.lit", "capulet.lit"),
    ] {
        assert_eq!(
            servers.sides[place].changes(),
            [
                Change::SendOpened(pair(from, to)),
                Change::ReceiveOpened(pair(to, from)),
            ]
        );
    }
}

/// BIDI-10: only when the features behind the restart have been sent.
#[test]
fn bidi_10_nothing_is_sent_before_the_peer_is_authenticated() {
    let mut servers = Servers::default();
    let other = servers.accept(inbound(), &["capulet.lit"]);
    for text in ["", HEADER, BIDI, AUTH] {
        servers.give(other, text).unwrap();
        let refused = servers.send(other, "montague.lit", "capulet.lit");
        assert_eq!(refused, Err(UsageError::NotOnline));
    }
    servers.give(other, HEADER).unwrap();
    servers.send(other, "montague.lit", "capulet.lit").unwrap();
    let last = servers.sides[other].writes.concat();
    assert!(last.ends_with("</message>"));
    assert!(last.rfind("</stream:features>") < last.rfind("<message "));
}

/// BIDI-17, RFC 6120 §8.1.1.2, §8.1.2.2.
#[test]
fn bidi_17_a_sender_outside_the_table_is_thrown_out() {
    for (from, to, condition) in [
        (
            "juliet@verona.lit",
            "romeo@montague.lit",
            Condition::InvalidFrom,
        ),
        (
            "juliet@a.capulet.lit",
            "romeo@montague.lit",
            Condition::InvalidFrom,
        ),
        (
            "juliet@montague.lit",
            "romeo@montague.lit",
            Condition::InvalidFrom,
        ),
        (
            "juliet@capulet.lit",
            "romeo@chat.montague.lit",
            Condition::HostUnknown,
        ),
    ] {
        let mut servers = Servers::default();
        let [_, other] = servers.connect(outbound(), inbound(), true);
        let stanza = format!("<message from='{from}' to='{to}'/>");
        let error = servers.give(other, stanza).unwrap_err();
        assert_eq!(error.condition(), Some(condition), "{from} {to}");
        assert!(matches!(servers.sides[other].end(), Some(End::Failed(_))));
        let closed = Change::SendClosed(pair("montague.lit", "capulet.lit"));
        assert!(servers.sides[other].changes().contains(&closed));
    }
    for stanza in [
        "<message to='romeo@montague.lit'/>",
        "<message from='a@capulet.lit'/>",
    ] {
        let mut servers = Servers::default();
        let [_, other] = servers.connect(outbound(), inbound(), true);
        let error = servers.give(other, stanza).unwrap_err();
        assert_eq!(error.condition(), Some(Condition::ImproperAddressing));
    }
}

/// BIDI-17: the same at the end that opened the connection.
#[test]
fn bidi_17_the_initiating_entity_checks_too() {
    let mut servers = Servers::default();
    let [one, _] = servers.connect(outbound(), inbound(), true);
    let stanza = "<message from='romeo@chat.montague.lit' to='juliet@capulet.lit'/>";
    let error = servers.give(one, stanza).unwrap_err();
    assert_eq!(error.condition(), Some(Condition::InvalidFrom));
}

/// BIDI-21: once more is harmless, from the wrong end it is not.
#[test]
fn bidi_21_a_second_request_is_harmless_and_one_from_the_wrong_end_is_not() {
    let mut servers = Servers::default();
    let [one, other] = servers.connect(outbound(), inbound(), true);
    servers.give(other, BIDI).unwrap();
    servers.send(other, "montague.lit", "capulet.lit").unwrap();
    let error = servers.give(one, BIDI).unwrap_err();
    assert_eq!(error.condition(), Some(Condition::UnsupportedStanzaType));
}

/// prosody 53cde4a8a, BIDI-23, BIDI-R9: never in clear, never unannounced.
#[test]
fn prosody_53cde4a8a_bidi_in_clear_is_refused() {
    let mut servers = Servers::default();
    let mut into = inbound();
    into.transport = Transport::StartTls;
    let other = servers.accept(into, &["capulet.lit"]);
    servers.give(other, HEADER).unwrap();
    assert!(!servers.sides[other].written().contains("bidi"));
    let error = servers.give(other, BIDI).unwrap_err();
    assert_eq!(error.condition(), Some(Condition::UnsupportedStanzaType));
}

/// vanaheimr: bidi that was not announced, and stanzas of the other content namespace.
#[test]
fn vanaheimr_s9b_unannounced_bidi_and_foreign_content_are_refused() {
    let mut into = inbound();
    into.bidi.offer = false;
    let mut servers = Servers::default();
    let other = servers.accept(into, &["capulet.lit"]);
    servers.give(other, HEADER).unwrap();
    let error = servers.give(other, BIDI).unwrap_err();
    assert_eq!(error.condition(), Some(Condition::UnsupportedStanzaType));
    let other = servers.accept(inbound(), &["capulet.lit"]);
    let header = HEADER.replace("jabber:server", "jabber:client");
    let error = servers.give(other, header).unwrap_err();
    assert_eq!(error.condition(), Some(Condition::InvalidNamespace));
}

/// XEP-0178 §3: with and without authzid; whoever says two things, or what its certificate does not prove, is refused.
#[test]
fn external_is_for_whom_the_certificate_proves() {
    let capulet = "Y2FwdWxldC5saXQ=";
    let montague = "bW9udGFndWUubGl0";
    let verona = "dmVyb25hLmxpdA==";
    for (authzid, accepted) in [
        ("=", true),
        (capulet, true),
        (montague, false),
        (verona, false),
    ] {
        let mut servers = Servers::default();
        let names = ["capulet.lit", "verona.lit", "montague.lit"];
        let other = servers.accept(inbound(), &names);
        servers.give(other, HEADER).unwrap();
        servers
            .give(
                other,
                AUTH.replace("=</auth>", &format!("{authzid}</auth>")),
            )
            .unwrap();
        let written = servers.sides[other].written();
        assert_eq!(written.contains("<success "), accepted, "{authzid}");
        assert_eq!(
            written.contains("<not-authorized/>"),
            !accepted,
            "{authzid}"
        );
    }
}

/// Not offered in clear, to nobody in particular, for a domain that is not proved, or for one of ours (digest §6.2).
#[test]
fn external_is_offered_only_where_it_can_succeed() {
    for (from, names, offered) in [
        ("capulet.lit", ["capulet.lit"], true),
        ("capulet.lit", ["*.capulet.lit"], false),
        ("a.capulet.lit", ["*.capulet.lit"], true),
        ("verona.lit", ["capulet.lit"], false),
        ("chat.montague.lit", ["chat.montague.lit"], false),
    ] {
        let mut servers = Servers::default();
        let other = servers.accept(inbound(), &names);
        servers
            .give(other, HEADER.replace("capulet.lit", from))
            .unwrap();
        let written = servers.sides[other].written();
        assert_eq!(written.contains("EXTERNAL"), offered, "{from} {names:?}");
        assert!(offered || !written.contains("<mechanisms"), "{written}");
    }
    let mut servers = Servers::default();
    let other = servers.accept(inbound(), &["capulet.lit"]);
    servers
        .give(other, HEADER.replace("from='capulet.lit' ", ""))
        .unwrap();
    assert!(!servers.sides[other].written().contains("EXTERNAL"));
}

/// RFC 6120 §6.4.6: the header behind the restart is from whom SASL has proved.
#[test]
fn another_sender_behind_the_restart_is_refused() {
    let mut servers = Servers::default();
    let other = servers.accept(inbound(), &["capulet.lit", "verona.lit"]);
    servers.give(other, format!("{HEADER}{AUTH}")).unwrap();
    let header = HEADER.replace("capulet.lit", "verona.lit");
    let error = servers.give(other, header).unwrap_err();
    assert_eq!(error.condition(), Some(Condition::InvalidFrom));
}

#[test]
fn stanzas_before_authentication_end_the_stream() {
    let mut servers = Servers::default();
    let other = servers.accept(inbound(), &["capulet.lit"]);
    let error = servers
        .give(other, format!("{HEADER}{MESSAGE}"))
        .unwrap_err();
    assert_eq!(error.condition(), Some(Condition::NotAuthorized));
}

/// Without a certificate and without anything else there is no way on.
#[test]
fn a_server_that_offers_nothing_is_left() {
    let mut servers = Servers::default();
    let [one, _] = servers.connect(outbound(), inbound(), false);
    assert!(matches!(servers.sides[one].end(), Some(End::Refused)));
    assert!(servers.sides[one].saw(|event| matches!(event, Event::NoMechanism { .. })));
}

/// prosody 72b4209cf: whatever was opened is closed once, before the end is reported.
#[test]
fn prosody_72b4209cf_what_was_opened_is_closed_once() {
    let mut servers = Servers::default();
    let [one, other] = servers.connect(outbound(), inbound(), true);
    servers.with(one, |connection, env| connection.close(env));
    servers.talk([one, other]);
    for place in [one, other] {
        let side = &servers.sides[place];
        assert_eq!(side.changes().len(), 4);
        assert!(matches!(
            side.events.last(),
            Some(Event::Closed(End::Clean))
        ));
    }
}

/// A peer whose certificate proves another domain is taken at the word of DNS, unless that is not enough (BIDI-17).
#[test]
fn bidi_17_without_the_required_certificate_nothing_comes_in() {
    let mut out = outbound();
    out.bidi.require_certificate = true;
    let mut servers = Servers::default();
    let plan = plan(&out, Level::Off, None);
    let one = servers.open(out, plan, &["verona.lit"]);
    let other = servers.accept(inbound(), &["capulet.lit"]);
    servers.talk([one, other]);
    assert_eq!(
        servers.sides[one].changes(),
        [Change::SendOpened(pair("capulet.lit", "montague.lit"))]
    );
    assert_eq!(
        servers.sides[one].connection.peer_domain(),
        Some(&domain("montague.lit"))
    );
    // Nor is the peer asked to send what would be refused.
    assert!(!servers.sides[one].written().contains("<bidi"));
    let back = pair("montague.lit", "capulet.lit");
    let opens = Change::SendOpened(back);
    assert!(!servers.sides[other].changes().contains(&opens));
}
