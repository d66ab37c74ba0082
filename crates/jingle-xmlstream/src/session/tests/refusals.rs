//! What is refused, what comes at the wrong time, and what does not come.

use super::*;

#[test]
fn jxs_r2_r3_requests_that_do_not_fit_are_refused_and_change_nothing() {
    let mut pair = Pair::new([config(0), config(1)]);
    let session = &mut pair.ends[0];
    let set = |inner: &str| {
        parsed(&format!(
            "<iq type='set' id='x' from='{}'><jingle xmlns='urn:xmpp:jingle:1' {inner}/></iq>",
            juliet()
        ))
    };
    let sid = session.sid().to_owned();
    assert_eq!(
        answer_to(session, &set(&format!("sid='{sid}'"))),
        ["bad-request"]
    );
    assert_eq!(
        answer_to(session, &set(&format!("action='made-up' sid='{sid}'"))),
        ["bad-request"]
    );
    assert!(!session.handle(NOW, &set("action='session-accept' sid='other'")));
    let crate::session::session::State::Initiating(crate::session::session::Offered::S5b(ours)) =
        &session.state
    else {
        panic!()
    };
    let transport = s5b::Transport::new(s5b::Form::Candidates, ours.sid());
    // Each differs in one thing from an acceptance that would do.
    for change in [
        (|jingle| jingle.contents[0].name = "stub".into()) as fn(&mut Jingle),
        |jingle| jingle.contents[0].creator = crate::Role::Responder,
        |jingle| jingle.contents.clear(),
        |jingle| jingle.contents.push(jingle.contents[0].clone()),
        |jingle| jingle.contents[0].described = None,
        |jingle| jingle.contents[0].transport = None,
        |jingle| {
            let other = s5b::Transport::new(s5b::Form::Candidates, "other");
            jingle.contents[0].transport = Some(TransportElement::S5b(other));
        },
        |jingle| {
            let sid = "other".to_owned();
            jingle.contents[0].transport = Some(TransportElement::Ibb { sid, block_size: 1 });
        },
    ] {
        let accept = request(session, Verb::SessionAccept, |jingle| {
            jingle.contents[0].described = Some(true);
            jingle.contents[0].transport = Some(TransportElement::S5b(transport.clone()));
            change(jingle);
        });
        assert_eq!(answer_to(session, &accept), ["bad-request"]);
    }
    for (verb, expected) in [
        (Verb::SessionInitiate, "out-of-order"),
        (Verb::TransportInfo, "bad-request"),
        (Verb::SecurityInfo, "out-of-order"),
        (Verb::TransportReplace, "out-of-order"),
        (Verb::TransportAccept, "out-of-order"),
        (Verb::TransportReject, "out-of-order"),
        (Verb::ContentAdd, "feature-not-implemented"),
        (Verb::ContentRemove, "feature-not-implemented"),
        (Verb::ContentModify, "feature-not-implemented"),
        (Verb::ContentAccept, "feature-not-implemented"),
        (Verb::ContentReject, "feature-not-implemented"),
        (Verb::SessionInfo, "unsupported-info"),
    ] {
        let stanza = request(session, verb, |_| {});
        assert_eq!(answer_to(session, &stanza), [expected], "{verb:?}");
    }
    let ping = request(session, Verb::SessionInfo, |jingle| jingle.contents.clear());
    assert!(answer_to(session, &ping).is_empty());
    let info = request(session, Verb::DescriptionInfo, |_| {});
    assert!(answer_to(session, &info).is_empty());
    pair.accept();
    pair.run();
    assert!(
        pair.ends.iter().all(Session::is_open),
        "nothing has changed"
    );
    let again = request(&pair.ends[0], Verb::SessionAccept, |_| {});
    assert_eq!(answer_to(&mut pair.ends[0], &again), ["out-of-order"]);
}

#[test]
fn jxs_r3_in_band_the_blocks_may_become_smaller_and_never_larger() {
    let mut config = config(0);
    config.s5b = false;
    let mut session = begin(config);
    let crate::session::session::State::Initiating(crate::session::session::Offered::Ibb(terms)) =
        &session.state
    else {
        panic!()
    };
    let sid = terms.sid.clone();
    let accept = |session: &Session, sid: &str, block_size| {
        request(session, Verb::SessionAccept, |jingle| {
            let sid = sid.to_owned();
            jingle.contents[0].described = Some(true);
            jingle.contents[0].transport = Some(TransportElement::Ibb { sid, block_size });
            jingle.contents[0].security = Config::new(Some(certificate(1))).offer(Dialect::Modern);
        })
    };
    for (sid, block_size) in [(sid.as_str(), 4097), ("other", 4096)] {
        let stanza = accept(&session, sid, block_size);
        assert_eq!(answer_to(&mut session, &stanza), ["bad-request"]);
    }
    let stanza = accept(&session, &sid, 1000);
    actions(&mut session);
    assert!(session.handle(NOW, &stanza));
    let log = actions(&mut session);
    assert!(
        log.iter()
            .any(|one| matches!(one, Action::OpenIbb(terms) if terms.block_size == 1000))
    );
}

#[test]
fn security_info_before_the_session_is_accepted_is_out_of_order() {
    let mut pair = Pair::new([config(0), config(1)]);
    let early = request(&pair.ends[1], Verb::SecurityInfo, |jingle| {
        jingle.contents[0].security = Some(crate::xtls::Security::settled());
    });
    assert_eq!(answer_to(&mut pair.ends[1], &early), ["out-of-order"]);
}

#[test]
fn a_report_that_is_refused_once_the_transport_is_chosen_does_no_harm() {
    let mut pair = Pair::new([insecure(), insecure()]);
    pair.accept();
    pair.run();
    let info = pair.log[0].iter().find_map(|action| match action {
        Action::Send(stanza)
            if stanza
                .payloads()
                .any(|one| one.attr("action") == Some("transport-info")) =>
        {
            Some(id(stanza).to_owned())
        }
        _ => None,
    });
    let session = &mut pair.ends[0];
    session.pending.push(crate::session::session::Pending {
        id: info.clone().unwrap(),
        to: juliet(),
        asked: crate::session::session::Asked::TransportInfo,
        deadline: NOW,
    });
    let refused = refused(&juliet(), &romeo(), &info.unwrap(), Refusal::OutOfOrder);
    assert!(session.handle(NOW, &refused));
    assert!(session.is_open());
}

#[test]
fn whoever_ends_a_session_gives_its_attempts_up() {
    let mut pair = Pair::new([config(0), config(1)]);
    pair.accept();
    let log = actions(&mut pair.ends[1]);
    let attempt = log.iter().find_map(|one| match one {
        Action::Connect { attempt, .. } => Some(*attempt),
        _ => None,
    });
    let attempt = attempt.unwrap();
    pair.ends[1].terminate(Reason::Gone);
    assert!(actions(&mut pair.ends[1]).contains(&Action::Abandon(attempt)));
    pair.ends[1].s5b(NOW, s5b::Input::Connected(attempt));
    assert_eq!(
        actions(&mut pair.ends[1]),
        [Action::Abandon(attempt)],
        "it came too late"
    );
}

#[test]
fn a_peer_that_asks_for_in_band_bytestreams_gets_them_and_attempts_are_given_up() {
    let mut pair = Pair::new([config(0), config(1)]);
    pair.accept();
    let session = &mut pair.ends[1];
    let attempt = actions(session).iter().find_map(|one| match one {
        Action::Connect { attempt, .. } => Some(*attempt),
        _ => None,
    });
    let replace = |transport: Option<TransportElement>| {
        move |jingle: &mut Jingle| jingle.contents[0].transport = transport
    };
    let other = s5b::Transport::new(s5b::Form::Candidates, "again");
    let stanza = request(
        session,
        Verb::TransportReplace,
        replace(Some(TransportElement::S5b(other))),
    );
    assert_eq!(
        answer_to(session, &stanza),
        ["transport-reject"],
        "JXS-26: only in-band ones come second"
    );
    let in_band = TransportElement::Ibb {
        sid: "ibb".into(),
        block_size: 9999,
    };
    let stanza = request(session, Verb::TransportReplace, replace(Some(in_band)));
    assert!(session.handle(NOW, &stanza));
    let log = actions(session);
    assert!(log.contains(&Action::Abandon(attempt.unwrap())));
    assert_eq!(said(&log), ["transport-accept"]);
    let terms = log.iter().find_map(|one| match one {
        Action::OpenIbb(terms) => Some(terms),
        _ => None,
    });
    let terms = terms.unwrap();
    assert_eq!(
        (terms.sid.as_str(), terms.block_size, terms.start),
        ("ibb", 4096, Start::Await)
    );
}

#[test]
fn an_acceptance_may_overtake_the_acknowledgement() {
    let mut pair = Pair::new([insecure(), insecure()]);
    pair.act();
    let ack = pair.wire[0].pop_front().unwrap();
    pair.accept();
    pair.run();
    assert!(pair.ends[0].is_open());
    assert!(!pair.ends[0].handle(NOW, &ack));
    assert!(!pair.events(0).contains(&Event::Ringing));
}

#[test]
fn the_responder_does_not_repeat_what_the_initiator_offers() {
    let mut session = receive(config(1), &initiate(config(0))).unwrap();
    let mut both = candidates(0);
    both.extend(candidates(1));
    session.accept(NOW, both);
    let log = actions(&mut session);
    let offered = log.iter().find_map(|one| match one {
        Action::Send(stanza) => {
            Some(stanza).filter(|_| said(core::slice::from_ref(one)) == ["session-accept"])
        }
        _ => None,
    });
    let text = String::from(&offered.unwrap().element());
    assert!(text.contains("host1.lit") && !text.contains("host0.lit"));
}

#[test]
fn a_transport_that_is_closed_ends_the_session() {
    for (reachable, reason) in [
        (true, Reason::FailedTransport),
        (false, Reason::ConnectivityError),
    ] {
        let mut pair = Pair::new([config(0), config(1)]);
        pair.reachable = reachable;
        pair.accept();
        if reachable {
            pair.run();
        } else {
            pair.ends[0].state = crate::session::session::State::InBand;
        }
        pair.ends[0].transport_closed();
        let end = Action::Event(Event::Ended(End::Here(reason)));
        assert_eq!(actions(&mut pair.ends[0]).last(), Some(&end));
    }
}

#[test]
fn reports_about_another_transport_or_candidate_are_item_not_found() {
    let mut pair = Pair::new([config(0), config(1)]);
    pair.accept();
    let session = &mut pair.ends[1];
    let crate::session::session::State::Choosing(negotiation) = &session.state else {
        panic!()
    };
    let sid = negotiation.sid().to_owned();
    for (sid, cid) in [(sid, "made-up"), ("other".to_owned(), "c1")] {
        let stanza = request(session, Verb::TransportInfo, |jingle| {
            let mut transport = s5b::Transport::new(s5b::Form::Candidates, sid);
            transport.info = Some(s5b::Info::Used(s5b::Reference::Cid(cid.into())));
            jingle.contents[0].transport = Some(TransportElement::S5b(transport));
        });
        assert_eq!(answer_to(session, &stanza), ["item-not-found"]);
    }
}

#[test]
fn what_no_session_took_is_unknown() {
    let mut pair = Pair::new([config(0), config(1)]);
    let stranger = request(&pair.ends[0], Verb::SessionAccept, |_| {});
    let stranger = stamped(&stranger, &"a@b/c".parse().unwrap());
    assert!(!pair.ends[0].handle(NOW, &stranger));
    assert_eq!(refusal(&unknown(&stranger).unwrap()), "unknown-session");
    assert_eq!(unknown(&initiate(config(0))), None);
    let nothing = "<iq xmlns='jabber:client' type='set' id='x' from='a@b/c'><jingle xmlns='urn:xmpp:jingle:0' sid='s'/></iq>";
    assert_eq!(refusal(&unknown(&parsed(nothing)).unwrap()), "bad-request");
    pair.ends[0].terminate(Reason::Cancel);
    let late = request(&pair.ends[0], Verb::SessionAccept, |_| {});
    assert_eq!(
        answer_to(&mut pair.ends[0], &late),
        ["unknown-session"],
        "behind the end"
    );
}

#[test]
fn what_cannot_be_supported_is_acknowledged_and_terminated() {
    let stanza = initiate(config(0));
    let text = String::from_utf8(stanza.bytes().to_vec()).unwrap();
    for (from, to, reason) in [
        (
            ns::XMLSTREAM,
            "urn:xmpp:jingle:apps:stub:0",
            "unsupported-applications",
        ),
        (
            ns::JINGLE_S5B_1,
            "urn:xmpp:jingle:transports:raw-udp:1",
            "unsupported-transports",
        ),
        ("mode='tcp'", "mode='udp'", "unsupported-transports"),
    ] {
        let other = text.replace(from, to);
        let mut session = receive(config(1), &parsed(&other)).unwrap();
        let log = actions(&mut session);
        let [
            Action::Send(ack),
            Action::Send(terminate),
            Action::Event(Event::Ended(_)),
        ] = &log[..]
        else {
            panic!("{log:?}")
        };
        assert_eq!(kind(ack), "result");
        let jingle = jingle_of(terminate);
        let why = jingle.children().next().unwrap();
        assert_eq!(why.children().next().unwrap().name(), reason);
    }
    let mut twice = stanza.element();
    let jingle = twice.children_mut().next().unwrap();
    let content = jingle.children().next().unwrap().clone();
    jingle.append_child(content);
    let twice = Stanza::from_element(&twice).unwrap();
    let mut session = receive(config(1), &twice).unwrap();
    let ended = Event::Ended(End::Here(Reason::UnsupportedApplications));
    assert_eq!(actions(&mut session).last(), Some(&Action::Event(ended)));
    for (from, to) in [
        (
            "initiator='romeo@montague.lit/orchard'",
            "initiator='tybalt@capulet.lit/x'",
        ),
        ("creator='initiator'", "creator='responder'"),
    ] {
        let other = text.replace(from, to);
        assert_ne!(other, text);
        let answer = receive(config(1), &parsed(&other)).unwrap_err().unwrap();
        assert_eq!(refusal(&answer), "bad-request");
    }
}

#[test]
fn where_both_begin_at_once_the_lower_sid_goes_on() {
    let begin = |seed, us: Jid, peer: Jid| {
        at(0, seed, |env| {
            Session::initiate(config(0), env, us, peer, None, vec![])
        })
        .unwrap()
    };
    let first = |session: &mut Session, from: &Jid| {
        let Some(Action::Send(stanza)) = session.poll_action() else {
            panic!()
        };
        stamped(&stanza, from)
    };
    let (mut lower, mut higher) = (begin(1, romeo(), juliet()), begin(2, juliet(), romeo()));
    assert!(lower.sid() < higher.sid());
    let (from_romeo, from_juliet) = (first(&mut lower, &romeo()), first(&mut higher, &juliet()));
    assert_eq!(higher.tie(&from_romeo), Tie::Theirs);
    let Tie::Ours(refused) = lower.tie(&from_juliet) else {
        panic!()
    };
    assert_eq!(refusal(&refused), "tie-break");
    assert!(higher.handle(NOW, &stamped(&refused, &romeo())));
    assert_eq!(
        actions(&mut higher),
        [Action::Event(Event::Ended(End::TieBreak))]
    );
    // Equal sids: the lower address.
    let (mut juliets, mut romeos) = (begin(1, juliet(), romeo()), begin(1, romeo(), juliet()));
    assert!(matches!(
        juliets.tie(&first(&mut romeos, &romeo())),
        Tie::Ours(_)
    ));
    assert_eq!(romeos.tie(&first(&mut juliets, &juliet())), Tie::Theirs);
    // Somebody else, or a session that the peer has already: no tie.
    let stranger = stamped(&from_juliet, &"a@b/c".parse().unwrap());
    assert_eq!(lower.tie(&stranger), Tie::None);
    let ack = answered(&juliet(), &romeo(), id(&from_romeo));
    lower.handle(NOW, &ack);
    assert_eq!(lower.tie(&from_juliet), Tie::None);
}

#[test]
fn silence_ends_a_session_at_its_deadline_and_not_before() {
    let mut session = begin(config(0));
    actions(&mut session);
    assert_eq!(session.poll_timeout(), Some(NOW + Duration::from_secs(30)));
    session.handle_timeout(Instant::from_millis(29_999));
    assert_eq!(actions(&mut session), []);
    session.handle_timeout(NOW + Duration::from_secs(30));
    assert_eq!(said(&actions(&mut session)), ["session-terminate"]);
    assert_eq!(session.poll_timeout(), None);

    let mut pair = Pair::new([config(0), config(1)]);
    pair.run();
    let ringing = NOW + Duration::from_secs(180);
    assert_eq!(
        [pair.ends[0].poll_timeout(), pair.ends[1].poll_timeout()],
        [Some(ringing); 2]
    );
    pair.ends[1].handle_timeout(ringing);
    pair.run();
    assert_eq!(
        pair.events(0).last(),
        Some(&Event::Ended(End::Peer(Reason::Expired)))
    );
}

#[test]
fn what_xml_cannot_hold_is_not_sent_and_the_deadline_ends_it() {
    let mut odd = candidates(0);
    odd[0].host = "\0".into();
    let begun = at(0, 1, |env| {
        Session::initiate(config(0), env, romeo(), juliet(), None, odd)
    });
    let mut session = begun.unwrap();
    assert_eq!(actions(&mut session), []);
    session.handle_timeout(session.poll_timeout().unwrap());
    assert_eq!(said(&actions(&mut session)), ["session-terminate"]);
}

#[test]
fn a_request_that_is_refused_ends_the_session() {
    let mut session = begin(config(0));
    let initiate = actions(&mut session);
    let Action::Send(stanza) = &initiate[0] else {
        panic!()
    };
    let answer = |from| refused(&from, &romeo(), id(stanza), Refusal::ServiceUnavailable);
    assert!(!session.handle(NOW, &answer(romeo())), "not the peer's");
    assert!(session.handle(NOW, &answer(juliet())));
    let log = actions(&mut session);
    assert!(
        matches!(&log[..], [Action::Event(Event::Ended(End::Refused(error)))] if error.condition == "service-unavailable")
    );
}

#[test]
fn a_proxy_is_asked_by_iq_and_its_answer_counts() {
    for works in [Some(true), Some(false), None] {
        let mut config = insecure();
        config.dialect = Dialect::Modern;
        let mut pair = Pair::new([config.clone(), config]);
        let proxy: Jid = "proxy.lit".parse().unwrap();
        let offered = Candidate::new(
            "p",
            CandidateKind::Proxy,
            proxy.clone(),
            "proxy.lit",
            7777,
            0,
        );
        pair.reachable = false;
        pair.ends[1].accept(NOW, vec![offered]);
        let mut answered = false;
        for _ in 0..100 {
            for end in 0..2 {
                for action in actions(&mut pair.ends[end]) {
                    match &action {
                        Action::Connect {
                            attempt, candidate, ..
                        } if candidate.jid == proxy => {
                            pair.ends[end].s5b(NOW, s5b::Input::Connected(*attempt));
                        }
                        Action::Connect { attempt, .. } => {
                            pair.ends[end].s5b(NOW, s5b::Input::Failed(*attempt));
                        }
                        Action::Send(stanza) if proxy.is(stanza.head().to.as_ref().unwrap()) => {
                            let asked = stanza.element();
                            let query = asked.get_child("query", ns::BYTESTREAMS).unwrap();
                            assert_eq!(
                                query.get_child("activate", ns::BYTESTREAMS).unwrap().text(),
                                romeo().to_string()
                            );
                            let id = id(stanza);
                            let answer = if works == Some(true) {
                                super::answered(&proxy, &juliet(), id)
                            } else {
                                refused(&proxy, &juliet(), id, Refusal::ItemNotFound)
                            };
                            if works.is_some() {
                                pair.wire[end].push_back(answer);
                            }
                            answered = true;
                        }
                        Action::Send(stanza) => {
                            pair.wire[end ^ 1].push_back(stamped(stanza, &address(end)))
                        }
                        _ => {}
                    }
                    pair.log[end].push(action);
                }
            }
            for end in 0..2 {
                if let Some(stanza) = pair.wire[end].pop_front() {
                    pair.deliver(end, &stanza);
                }
            }
        }
        assert!(answered);
        if works.is_none() {
            // It never answers: that ends the attempt, not the session.
            let session = &mut pair.ends[1];
            session.handle_timeout(NOW + Duration::from_secs(30));
            assert_eq!(said(&actions(session)), ["transport-info"]);
            assert!(!session.is_ended());
        } else if works == Some(true) {
            assert!(pair.ends.iter().all(Session::is_open));
        } else {
            assert!(
                pair.events(0)
                    .contains(&Event::FallingBack(s5b::Failure::Proxy))
            );
        }
    }
}
