//! From session-initiate to an open stream, and to every end.

use super::*;

#[test]
fn every_dialect_reaches_an_open_stream_over_socks5() {
    for configs in dialects() {
        let dialect = configs[0].dialect;
        let mut pair = Pair::new(configs);
        assert_eq!(pair.ends[1].dialect(), dialect);
        pair.run();
        assert_eq!(pair.events(1), [Event::Incoming { secure: true }]);
        assert_eq!(
            pair.events(0),
            [Event::Ringing],
            "JXS-05: acknowledged at once, not accepted"
        );
        assert!(
            pair.log[0]
                .iter()
                .all(|one| !matches!(one, Action::Connect { .. }))
        );
        pair.accept();
        pair.run();
        let open = Event::Open(Some(Verification::Announced));
        for end in 0..2 {
            assert_eq!(pair.events(end).last(), Some(&open), "{dialect:?}");
            assert!(pair.ends[end].is_open());
            assert_eq!(pair.ends[end].poll_timeout(), None);
        }
        let tls = |end: usize, role| pair.log[end].contains(&Action::StartTls(role));
        assert!(tls(0, TlsRole::Client) && tls(1, TlsRole::Server), "JXS-20");
        pair.ends[1].terminate(Reason::Success);
        pair.run();
        assert_eq!(
            pair.events(0).last(),
            Some(&Event::Ended(End::Peer(Reason::Success)))
        );
        assert_eq!(
            pair.events(1).last(),
            Some(&Event::Ended(End::Here(Reason::Success)))
        );
    }
}

#[test]
fn jxs_25_every_dialect_reaches_an_open_stream_in_band() {
    for mut configs in dialects() {
        let dialect = configs[0].dialect;
        configs[0].s5b = false;
        configs[1].block_size = 1024;
        let mut pair = Pair::new(configs);
        pair.accept();
        pair.run();
        let terms = |end: usize| {
            let terms = pair.log[end].iter().find_map(|one| match one {
                Action::OpenIbb(terms) => Some(terms.clone()),
                _ => None,
            });
            terms.unwrap()
        };
        let starts = (terms(0).start, terms(1).start);
        let expected = if dialect == Dialect::Modern {
            (Start::Open, Start::Await)
        } else {
            (Start::AtOnce, Start::AtOnce)
        };
        assert_eq!(starts, expected);
        assert_eq!((terms(0).block_size, terms(1).block_size), (1024, 1024));
        assert_eq!(terms(0).sid, terms(1).sid);
        assert!(pair.ends.iter().all(Session::is_open));
        let mut ours = at(0, 5, |env| {
            terms(0).bytestream(crate::ibb::Config::default(), env)
        });
        assert!(ours.poll_action().is_some() == (dialect == Dialect::Modern));
    }
}

#[test]
fn jxs_17_26_when_nobody_gets_through_in_band_bytestreams_take_over() {
    for configs in dialects() {
        let dialect = configs[0].dialect;
        let mut pair = Pair::new(configs);
        pair.reachable = false;
        pair.accept();
        pair.run();
        assert!(
            pair.events(0)
                .contains(&Event::FallingBack(s5b::Failure::NoCandidate))
        );
        assert!(pair.said(0).contains(&"transport-replace".to_owned()));
        assert!(pair.said(1).contains(&"transport-accept".to_owned()));
        assert!(pair.ends.iter().all(Session::is_open), "{dialect:?}");
    }
}

#[test]
fn a_fallback_that_is_rejected_ends_with_connectivity_error() {
    let mut pair = Pair::new([config(0), config(1)]);
    pair.reachable = false;
    pair.accept();
    while !pair.said(0).contains(&"transport-replace".to_owned()) {
        pair.act();
        let Some(end) = (0..2).find(|end| !pair.wire[*end].is_empty()) else {
            continue;
        };
        let stanza = pair.wire[end].pop_front().unwrap();
        pair.deliver(end, &stanza);
    }
    let session = &mut pair.ends[0];
    let crossing = request(session, Verb::TransportReplace, |_| {});
    assert_eq!(answer_to(session, &crossing), ["tie-break"]);
    let larger = request(session, Verb::TransportAccept, |jingle| {
        let sid = "other".to_owned();
        jingle.contents[0].transport = Some(TransportElement::Ibb {
            sid,
            block_size: 4096,
        });
    });
    assert_eq!(answer_to(session, &larger), ["bad-request"]);
    let reject = request(session, Verb::TransportReject, |_| {});
    assert_eq!(answer_to(session, &reject), ["session-terminate"]);
    assert!(session.is_ended());
}

#[test]
fn jxs_03_04_28_29_session_initiate_as_the_interim_text_has_it() {
    let mut config = config(0);
    config.dialect = Dialect::Interim2009;
    let stanza = initiate(config);
    let jingle = jingle_of(&stanza);
    assert!(jingle.is("jingle", "urn:xmpp:jingle:0"));
    assert_eq!(jingle.attr("action"), Some("session-initiate"));
    assert_eq!(jingle.attr("initiator"), Some("romeo@montague.lit/orchard"));
    let content = jingle.get_child("content", "urn:xmpp:jingle:0").unwrap();
    assert_eq!(
        (content.attr("creator"), content.attr("name")),
        (Some("initiator"), Some("xmlstream"))
    );
    let description = content
        .get_child("description", "urn:xmpp:tmp:jingle:apps:xmlstream:0")
        .unwrap();
    assert_eq!(
        (description.children().count(), description.text()),
        (0, String::new())
    );
    let transport = content
        .get_child("transport", "urn:xmpp:jingle:transports:s5b:0")
        .unwrap();
    assert_eq!(transport.attr("mode"), Some("tcp"));
    assert_ne!(
        transport.attr("sid"),
        jingle.attr("sid"),
        "JXS-12: the transport has its own"
    );
    let host = transport
        .get_child("streamhost", "urn:xmpp:jingle:transports:s5b:0")
        .unwrap();
    assert_eq!(
        (host.attr("host"), host.attr("port")),
        (Some("host0.lit"), Some("5086"))
    );
    assert!(
        content
            .get_child("security", ns::XTLS)
            .unwrap()
            .get_child("offer", ns::C2C_TLS)
            .is_some()
    );
}

#[test]
fn the_initiator_attribute_is_everywhere_in_jingle_0_and_first_only_in_jingle_1() {
    for configs in dialects() {
        let dialect = configs[0].dialect;
        let mut pair = Pair::new(configs);
        pair.accept();
        pair.run();
        for (end, log) in pair.log.iter().enumerate() {
            for action in log {
                let Action::Send(stanza) = action else {
                    continue;
                };
                let jingle = stanza.payloads().find(|one| one.name() == "jingle");
                let Some(jingle) = jingle else { continue };
                let old = dialect != Dialect::Modern;
                assert_eq!(jingle.attr("initiator").is_some(), old);
                let accepts = jingle.attr("action") == Some("session-accept");
                assert_eq!(
                    jingle.attr("responder").is_some(),
                    accepts && !old && end == 1
                );
            }
        }
    }
}

/// The founding text's own session-initiate, errors and all.
const FOUNDING_INITIATE: &str = "<iq from='romeo@montague.lit/orchard' id='jingle1' \
    to='juliet@capulet.lit/balcony' type='set'><jingle xmlns='urn:xmpp:jingle:0' action='session-initiate' \
    initiator='romeo@montague.lit/orchard' sid='851ba2'><content creator='initiator' name='xmlstream'>\
    <description xmlns='urn:xmpp:tmp:jingle:apps:xmlstream:0'/>\
    <transport xmlns='urn:xmpp:jingle:transports:s5b:0' sid='vj3hs98y' mode='tcp'>\
    <streamhost jid='romeo@montague.lit/orchard' host='192.168.4.1' port='5086'/>\
    <streamhost jid='streamer.shakespeare.lit' host='24.24.24.1' zeroconf='_jabber.bytestreams'/>\
    </transport></content></jingle></iq>";

#[test]
fn the_founding_texts_session_initiate_is_understood() {
    let stanza = parsed(FOUNDING_INITIATE);
    // It forgets the security that the text demands (erratum 6): a peer that means it is refused all the same.
    let mut strict = receive(config(1), &stanza).unwrap();
    assert_eq!(said(&actions(&mut strict)), ["session-terminate"]);
    let mut session = receive(insecure(), &stanza).unwrap();
    assert_eq!(session.dialect(), Dialect::Interim2009);
    assert_eq!(
        actions(&mut session).last(),
        Some(&Action::Event(Event::Incoming { secure: false }))
    );
    session.accept(NOW, vec![]);
    let log = actions(&mut session);
    let tried = log.iter().filter_map(|one| match one {
        Action::Connect {
            candidate,
            destination,
            ..
        } => Some((candidate.host.as_str(), destination.as_str())),
        _ => None,
    });
    let expected = ("192.168.4.1", "972b7bf47291ca609517f67f86b5081086052dad");
    assert_eq!(tried.collect::<Vec<_>>(), [expected], "JXS-12, JXS-30");
}

#[test]
fn jxs_r2_the_founding_texts_broken_samples_are_bad_requests() {
    let mut session = receive(insecure(), &parsed(FOUNDING_INITIATE)).unwrap();
    // Errata 1 to 3: the attributes are text, the sid and the name are others.
    let sample = parsed(
        "<iq from='romeo@montague.lit/orchard' id='hjdi8' type='set'>\
        <jingle xmlns='urn:xmpp:jingle:0'>action='transport-info' sid='a73sjjvkla37jfea'>\
        <content creator='initiator' name='stub'/></jingle></iq>",
    );
    assert!(!session.handle(NOW, &sample));
    assert_eq!(refusal(&unknown(&sample).unwrap()), "bad-request");
    let other_sid = request(&session, Verb::TransportInfo, |jingle| {
        jingle.sid = "a73sjjvkla37jfea".into()
    });
    assert!(!session.handle(NOW, &other_sid));
    assert_eq!(refusal(&unknown(&other_sid).unwrap()), "unknown-session");
    let other_name = request(&session, Verb::TransportInfo, |jingle| {
        jingle.contents[0].name = "stub".into()
    });
    assert_eq!(answer_to(&mut session, &other_name), ["bad-request"]);
}

#[test]
fn jxs_02_a_session_needs_what_it_needs() {
    let begin = |config: Config, features: &[&str]| {
        let known = Capabilities::read(features.iter().copied());
        at(0, 1, |env| {
            Session::initiate(config, env, romeo(), juliet(), Some(&known), vec![])
        })
    };
    assert_eq!(
        begin(config(0), &["urn:xmpp:jingle:1"]).unwrap_err(),
        Unsupported::Application
    );
    for dialect in Dialect::ALL {
        let ours = Capabilities::ours(dialect);
        assert_eq!(begin(config(0), &ours).unwrap().dialect(), dialect);
        assert_eq!(
            begin(config(0), &ours[..4]).unwrap_err(),
            Unsupported::Security
        );
        assert!(begin(insecure(), &ours[..4]).is_ok());
        let in_band = [ours[0], ours[1], ours[3], ours[4]];
        let stanza = begin(config(0), &in_band).unwrap().poll_action();
        let Some(Action::Send(stanza)) = stanza else {
            panic!()
        };
        let jingle = jingle_of(&stanza);
        let content = jingle.children().next().unwrap();
        assert!(content.get_child("transport", dialect.ibb()).is_some());
    }
}

#[test]
fn jxs_06_the_user_may_decline_and_every_reason_survives_the_wire() {
    for &reason in Reason::ALL {
        let mut pair = Pair::new([config(0), config(1)]);
        pair.ends[1].terminate(reason);
        pair.run();
        assert_eq!(
            pair.events(0).last(),
            Some(&Event::Ended(End::Peer(reason)))
        );
        assert!(pair.ends.iter().all(Session::is_ended));
        pair.ends[1].terminate(reason);
        pair.ends[1].accept(NOW, vec![]);
        assert_eq!(actions(&mut pair.ends[1]), [], "nothing behind the end");
    }
    assert_eq!(Reason::from_name("made-up"), Reason::GeneralError);
}

#[test]
fn strangers_learn_nothing() {
    let stanza = initiate(config(0));
    let answer = at(0, 9, |env| {
        Session::incoming(config(1), env, juliet(), &stanza, false)
    });
    assert_eq!(
        refusal(&answer.unwrap_err().unwrap()),
        "service-unavailable"
    );
}

#[test]
fn jxs_r10_r11_without_security_a_session_ends_at_either_end() {
    let mut bare = config(0);
    bare.certificate = None;
    bare.security.allow_insecure = true;
    let mut session = receive(config(1), &initiate(bare.clone())).unwrap();
    let log = actions(&mut session);
    assert_eq!(said(&log), ["session-terminate"]);
    assert!(log.contains(&Action::Event(Event::Ended(End::Security(
        XtlsError::Stripped
    )))));

    // A server on the way takes it out of session-accept.
    let mut pair = Pair::new([config(0), config(1)]);
    pair.accept();
    pair.act();
    while let Some(mut stanza) = pair.wire[0].pop_front() {
        let mut read = Jingle::new(Verb::SessionAccept, "");
        if stanza.payloads().next().is_some() {
            read = Jingle::read(&jingle_of(&stanza), Dialect::Modern, &juliet()).unwrap();
        }
        if read.verb == Verb::SessionAccept && !read.contents.is_empty() {
            read.contents[0].security = None;
            let element = read.to_element(Dialect::Modern, crate::Role::Responder);
            let other = iq::set(&romeo(), id(&stanza), element).unwrap();
            stanza = stamped(&other, &juliet());
        }
        pair.deliver(0, &stanza);
    }
    pair.run();
    assert_eq!(
        pair.events(0).last(),
        Some(&Event::Ended(End::Security(XtlsError::Stripped)))
    );
    assert_eq!(
        pair.events(1).last(),
        Some(&Event::Ended(End::Peer(Reason::SecurityError)))
    );
    assert!(
        pair.log[0]
            .iter()
            .all(|one| !matches!(one, Action::Connect { .. }))
    );
}

#[test]
fn by_policy_a_session_goes_without_tls() {
    let mut pair = Pair::new([insecure(), insecure()]);
    pair.accept();
    pair.run();
    for end in 0..2 {
        assert_eq!(pair.events(end).last(), Some(&Event::Open(None)));
        assert!(!pair.said(end).contains(&"security-info".to_owned()));
    }
}

#[test]
fn another_certificate_ends_with_security_error_before_anything_is_open() {
    for end in 0..2 {
        let mut configs = [config(0), config(1)];
        configs[end].security.pins = vec![Fingerprint::of(b"the real one", Hash::Sha256)];
        let mut pair = Pair::new(configs);
        pair.accept();
        pair.run();
        let events = pair.events(end);
        assert_eq!(
            events.last(),
            Some(&Event::Ended(End::Security(XtlsError::Mismatch)))
        );
        assert!(events.iter().all(|event| !matches!(event, Event::Open(_))));
        let told = Event::Ended(End::Peer(Reason::SecurityError));
        assert_eq!(pair.events(end ^ 1).last(), Some(&told));
    }
}

#[test]
fn jxs_18_19_the_handshake_waits_for_the_answer_to_security_info() {
    let mut pair = Pair::new([config(0), config(1)]);
    pair.accept();
    let mut late = None;
    for _ in 0..100 {
        pair.act();
        let Some(end) = (0..2).find(|end| !pair.wire[*end].is_empty()) else {
            break;
        };
        let stanza = pair.wire[end].pop_front().unwrap();
        let asked = pair.ends[0]
            .pending
            .iter()
            .find(|one| one.asked == crate::session::session::Asked::SecurityInfo);
        if end == 0 && asked.is_some_and(|one| id(&stanza) == one.id) {
            late = Some(stanza);
        } else {
            pair.deliver(end, &stanza);
        }
    }
    assert!(
        pair.events(0)
            .iter()
            .any(|event| matches!(event, Event::Link(_))),
        "the transport is there"
    );
    let starts = |pair: &Pair, end: usize| {
        pair.log[end]
            .iter()
            .any(|one| matches!(one, Action::StartTls(_)))
    };
    assert!(
        !starts(&pair, 0) && starts(&pair, 1),
        "the responder is ready once it has answered"
    );
    pair.deliver(0, &late.unwrap());
    pair.act();
    assert!(starts(&pair, 0));
}

#[test]
fn jxs_r11_a_method_that_is_not_supported_ends_with_security_error() {
    let mut pair = Pair::new([config(0), config(1)]);
    pair.accept();
    let session = &mut pair.ends[1];
    let early = request(session, Verb::SecurityInfo, |_| {});
    assert_eq!(
        answer_to(session, &early),
        ["bad-request"],
        "no security in it"
    );
    let srp = parsed(&format!(
        "<iq type='set' id='x' from='{}'><jingle xmlns='urn:xmpp:jingle:1' \
         action='security-info' sid='{}'><content creator='initiator' name='xmlstream'>\
         <security xmlns='urn:xmpp:jingle:security:xtls:0'><method name='srp'/></security></content></jingle></iq>",
        romeo(),
        session.sid()
    ));
    assert_eq!(answer_to(session, &srp), ["session-terminate"]);
}
