//! What goes wrong between two clients: transports that fail, strangers in their place, signalling that was changed, cuts.

use std::time::Duration;

use minidom::Element;
use onetrip_core::jingle::Dialect;
use onetrip_core::jingle::s5b::Candidate;
use onetrip_core::jingle::socks5::{Connection, Destination, Expected, Timeouts};
use onetrip_core::jingle::xtls::TlsRole;
use onetrip_core::stream::{Build as _, ns};
use onetrip_tests::e2e::*;
use onetrip_tls::TlsSession as _;

const LONG: Duration = Duration::from_secs(100);

fn count(duo: &Duo, end: usize, what: &str) -> usize {
    let child = |stanza: &&Element| format!("{stanza:?}").contains(&format!("\"{what}\""));
    duo.sides[end].said.iter().filter(child).count()
}

#[test]
fn jxs_16_where_both_got_through_the_two_agree_on_one() {
    for dialect in Dialect::ALL {
        let mut duo = Duo::new(Setting::new().with(|config| config.session.dialect = dialect));
        duo.agrees = false;
        duo.run();
        // Each is connected before it hears that the other is.
        duo.accept();
        let accept = duo.wire[ROMEO].pop_front().unwrap();
        duo.deliver(ROMEO, &accept);
        duo.step_cable(0);
        duo.step_cable(1);
        duo.run_for(LONG);
        let used = match dialect {
            Dialect::Modern => "candidate-used",
            _ => "streamhost-used",
        };
        assert_eq!(
            [ROMEO, JULIET].map(|end| count(&duo, end, used)),
            [1, 1],
            "{dialect:?}"
        );
        duo.assert_online("Some(Announced)");
        // The initiator's, since their priorities are the same; the other one is closed.
        let open: Vec<&Cable> = duo.cables.iter().filter(|cable| cable.is_open()).collect();
        assert_eq!(open.len(), 1, "{dialect:?}");
        assert_eq!(open[0].client.unwrap().0, ROMEO);
        duo.talk(5);
        duo.close_in_order(JULIET);
    }
}

#[test]
fn jxs_17_where_nobody_gets_through_the_stream_goes_in_band_and_no_byte_is_lost() {
    for dialect in Dialect::ALL {
        let mut duo = Duo::new(Setting::new().with(|config| config.session.dialect = dialect));
        duo.reachable = [false; 3];
        duo.run_for(LONG);
        let events = &duo.sides[ROMEO].events;
        assert!(
            events.iter().any(|event| event.starts_with("FallingBack")),
            "{events:?}"
        );
        duo.assert_online("Some(Announced)");
        duo.talk(20);
        duo.close_in_order(ROMEO);
    }
}

#[test]
fn a_proxy_that_refuses_leads_in_band() {
    for offers in [ROMEO, JULIET] {
        let mut setting = Setting::new();
        setting.candidates = [vec![], vec![]];
        setting.candidates[offers] = by_proxy(offers);
        let mut duo = Duo::new(setting);
        // What is activated is another bytestream, which the proxy does not know.
        duo.tamper = |_, stanza| {
            let query = stanza.get_child("query", ns::BYTESTREAMS).cloned();
            if let Some(query) = query {
                stanza.remove_child("query", ns::BYTESTREAMS);
                stanza.append_child(query.with_attr("sid", "another"));
            }
            true
        };
        duo.run_for(LONG);
        assert_eq!(count(&duo, offers, "proxy-error"), 1);
        duo.assert_online("Some(Announced)");
        duo.talk(10);
        duo.close_in_order(offers);
        assert!(duo.cables.iter().all(|cable| !cable.is_open()));
    }
}

/// Whoever got through to a proxy starts at once in the texts of 2009, and learns by another transport that it was in vain.
#[test]
fn a_proxy_that_refuses_in_the_texts_of_2009_leads_in_band_or_to_the_end_at_once() {
    for dialect in [Dialect::Published2009, Dialect::Interim2009] {
        for offers in [ROMEO, JULIET] {
            let mut setting = Setting::new().with(|config| config.session.dialect = dialect);
            setting.candidates = [vec![], vec![]];
            setting.candidates[offers] = by_proxy(offers);
            let refuse: fn(usize, &mut Element) -> bool = |_, stanza| {
                let query = stanza.get_child("query", ns::BYTESTREAMS).cloned();
                if let Some(query) = query {
                    stanza.remove_child("query", ns::BYTESTREAMS);
                    stanza.append_child(query.with_attr("sid", "another"));
                }
                true
            };
            let mut duo = Duo::changed(setting, refuse);
            duo.run_for(Duration::from_secs(10));
            if offers == ROMEO {
                duo.assert_online("Some(Announced)");
                duo.talk(5);
                duo.close_in_order(JULIET);
            } else {
                let terminated = "session-terminate connectivity-error".to_owned();
                assert!(duo.sides[JULIET].verbs().contains(&terminated));
                assert!(duo.sides.iter().all(|side| side.end().is_over()));
            }
            assert!(duo.cables.iter().all(|cable| !cable.is_open()));
        }
    }
}

#[test]
fn a_proxy_that_does_not_answer_leads_in_band_when_its_time_is_over() {
    let mut setting = Setting::new();
    setting.candidates = [by_proxy(ROMEO), vec![]];
    let mut duo = Duo::new(setting);
    duo.tamper = |_, stanza| !stanza.has_child("query", ns::BYTESTREAMS);
    duo.run_for(Duration::from_secs(20));
    assert!(!duo.sides[ROMEO].end().is_online());
    duo.run_for(LONG);
    duo.assert_online("Some(Announced)");
    duo.talk(3);
    duo.close_in_order(ROMEO);
}

fn of(cid: &str, candidates: &[Candidate]) -> Candidate {
    candidates
        .iter()
        .find(|one| one.cid == cid)
        .unwrap()
        .clone()
}

/// The destination that an end expects of the other.
fn destination(duo: &Duo, end: usize) -> Destination {
    duo.sides[end].end().expected().remove(1)
}

#[test]
fn a_stranger_who_takes_the_slot_keeps_the_peer_out_and_learns_nothing() {
    let mut setting = Setting::new();
    setting.candidates = [vec![], direct(JULIET)];
    assert_eq!(of("j1", &setting.candidates[JULIET]).host, "juliet.lit");
    let mut duo = Duo::new(setting);
    duo.agrees = false;
    duo.run();
    duo.accept();
    // It has seen the signalling, and is faster.
    let slot = destination(&duo, JULIET);
    let stranger = duo.plug(None, Server::Host(JULIET));
    let request = [
        &[5, 1, 0][..],
        &[5, 1, 0, 3, 40],
        slot.as_str().as_bytes(),
        &[0, 0],
    ]
    .concat();
    duo.cables[stranger].to_server = request;
    duo.step_cable(stranger);
    duo.cables[stranger].to_server.extend_from_slice(b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'><message/>");
    duo.run_for(LONG);
    duo.assert_online("Some(Announced)");
    assert!(
        duo.sides[ROMEO]
            .events
            .iter()
            .any(|event| event.starts_with("FallingBack"))
    );
    assert_eq!(
        duo.cables[stranger].to_client.len(),
        49,
        "the handshake alone"
    );
    duo.talk(5);
    duo.close_in_order(JULIET);
}

/// A stranger between the two: it answers for the one, connects to the other, and shows its own certificate to both.
#[test]
fn a_stranger_between_the_two_is_found_out_before_a_byte_is_trusted() {
    let mut setting = Setting::new();
    setting.candidates = [vec![], direct(JULIET)];
    let mut duo = Duo::new(setting);
    duo.usurped[JULIET] = true;
    duo.agrees = false;
    duo.run();
    duo.accept();
    let slot = destination(&duo, JULIET);
    let inner = duo.plug(None, Server::Host(JULIET));
    duo.cables[inner].to_server = [
        &[5, 1, 0][..],
        &[5, 1, 0, 3, 40],
        slot.as_str().as_bytes(),
        &[0, 0],
    ]
    .concat();
    duo.run();
    let outer = duo
        .cables
        .iter()
        .position(|cable| cable.server == Server::Stranger)
        .unwrap();
    let mut expected = Expected::new();
    let _ = expected.expect(duo.sides[ROMEO].end().expected());
    let mut answering = Connection::new(duo.now, Timeouts::default());
    let mut tls = Pretended::new(TlsRole::Server, b"certificate of a stranger".to_vec());
    let mut shown = false;
    for _ in 0..20 {
        let bytes = std::mem::take(&mut duo.cables[outer].to_server);
        let used = answering.receive(duo.now, &mut expected, &bytes).unwrap();
        while let Some(action) = answering.poll_action() {
            if let onetrip_core::jingle::socks5::Action::Write(bytes) = action {
                duo.cables[outer].to_client.extend_from_slice(&bytes);
            }
        }
        let mut plain = bytes::BytesMut::new();
        let mut cipher = bytes::BytesMut::new();
        tls.read(&bytes[used..], &mut plain).unwrap();
        assert!(plain.is_empty(), "something was said to a stranger");
        tls.write(b"", &mut cipher).unwrap();
        shown |= !cipher.is_empty();
        let forged = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='1'><message/>";
        duo.cables[outer].to_client.extend_from_slice(&cipher);
        if shown {
            duo.cables[outer].to_client.extend_from_slice(forged);
            duo.cables[inner]
                .to_server
                .extend_from_slice(b"[certificate of a stranger]");
            duo.cables[inner].to_server.extend_from_slice(forged);
            shown = false;
        }
        duo.run();
    }
    for side in &duo.sides {
        assert!(side.received.is_empty());
        assert!(
            !side.events.iter().any(|event| event.starts_with("online")),
            "{:?}",
            side.events
        );
        assert!(side.end().is_over());
    }
    let refused = |side: &Side| side.events.contains(&"ended Security(Mismatch)".to_owned());
    assert!(
        duo.sides.iter().any(refused),
        "{:?} {:?}",
        duo.sides[0].events,
        duo.sides[1].events
    );
    assert!(duo.sides.iter().any(|side| {
        side.verbs()
            .contains(&"session-terminate security-error".to_owned())
    }));
}

/// Takes `<security/>` out of what an end says.
fn strip(stanza: &mut Element) {
    let mut stripped = stanza.clone();
    for jingle in stripped.children_mut() {
        for content in jingle.children_mut() {
            content.remove_child("security", ns::XTLS);
        }
    }
    *stanza = stripped;
}

#[test]
fn jxs_r10_security_that_was_taken_out_on_the_way_ends_the_session() {
    let romeos: fn(usize, &mut Element) -> bool = |end, stanza| {
        if end == ROMEO {
            strip(stanza);
        }
        true
    };
    let juliets: fn(usize, &mut Element) -> bool = |end, stanza| {
        if end == JULIET {
            strip(stanza);
        }
        true
    };
    for (tamper, finder) in [(romeos, JULIET), (juliets, ROMEO)] {
        for dialect in Dialect::ALL {
            let mut duo = Duo::changed(
                Setting::new().with(|config| config.session.dialect = dialect),
                tamper,
            );
            duo.run_for(LONG);
            let events = &duo.sides[finder].events;
            assert!(
                events.contains(&"ended Security(Stripped)".to_owned()),
                "{events:?}"
            );
            assert_eq!(
                duo.sides[finder].verbs().last().unwrap(),
                "session-terminate security-error"
            );
            assert!(
                duo.sides
                    .iter()
                    .all(|side| side.received.is_empty() && side.end().is_over())
            );
            let beyond_socks5 =
                |side: &Side| side.written.contains(&b'<') || side.written.contains(&b'[');
            assert!(!duo.sides.iter().any(beyond_socks5));
        }
    }
}

#[test]
fn jxs_r9_a_certificate_that_was_not_announced_ends_the_session() {
    for end in [ROMEO, JULIET] {
        for transport in [true, false] {
            let mut setting = Setting::new().with(|config| config.session.s5b = transport);
            setting.configs[end].session.certificate = Some(b"another certificate".to_vec());
            let mut duo = Duo::new(setting);
            duo.run_for(LONG);
            let events = &duo.sides[end ^ 1].events;
            assert!(
                events.contains(&"ended Security(Mismatch)".to_owned()),
                "{events:?}"
            );
            let terminated = "session-terminate security-error".to_owned();
            assert!(duo.sides[end ^ 1].verbs().contains(&terminated));
            assert!(!events.iter().any(|event| event.starts_with("online")));
            assert!(
                duo.sides
                    .iter()
                    .all(|side| side.received.is_empty() && side.end().is_over())
            );
        }
    }
}

/// Wherever the sockets are cut, what has arrived is a beginning of what was sent, in order, and both ends come to an end.
#[test]
fn cut_anywhere_both_ends_come_to_an_end_and_nothing_comes_twice() {
    let mut ends = std::collections::BTreeSet::new();
    for steps in 0..140 {
        let mut setting = Setting::new();
        setting.candidates = [vec![], direct(JULIET)];
        setting.split = 40;
        let mut duo = Duo::new(setting);
        let mut sent = [0, 0];
        for _ in 0..steps {
            duo.step();
            for end in [ROMEO, JULIET] {
                let online = duo.sides[end]
                    .machine
                    .as_ref()
                    .is_some_and(|one| one.end().is_online());
                if online && sent[end] < 6 {
                    let text = sent[end].to_string();
                    duo.act(end, |machine, env| machine.send(env, &message(&text)))
                        .unwrap();
                    sent[end] += 1;
                }
            }
        }
        if steps % 2 == 0 && duo.sides[JULIET].machine.is_some() {
            duo.act(ROMEO, |machine, env| machine.close(env));
        }
        duo.cut();
        duo.run_for(Duration::from_secs(400));
        for end in [ROMEO, JULIET] {
            let got = duo.sides[end].bodies();
            assert!(got.len() <= sent[end ^ 1], "{steps}: {got:?}");
            assert!(
                got.iter()
                    .enumerate()
                    .all(|(at, body)| *body == at.to_string())
            );
            let events = &duo.sides[end].events;
            let over = duo.sides[end]
                .machine
                .as_ref()
                .is_none_or(|one| one.end().is_over() || one.end().is_online());
            assert!(over, "{steps}: {events:?}");
            ends.extend(events.last().cloned());
        }
    }
    assert!(ends.len() > 3, "{ends:?}");
}

/// The same where the servers lose everything from some stanza on: no state waits for ever.
#[test]
fn signalling_that_is_lost_from_anywhere_on_ends_by_time() {
    for lost in 0..40 {
        let mut setting = Setting::new().with(|config| config.session.s5b = lost % 2 == 0);
        setting.candidates = [by_proxy(ROMEO), vec![]];
        let mut duo = Duo::new(setting);
        for _ in 0..lost {
            duo.step();
        }
        duo.tamper = |_, _| false;
        duo.wire = Default::default();
        duo.run_for(Duration::from_secs(400));
        for side in &duo.sides {
            let Some(machine) = &side.machine else {
                continue;
            };
            assert!(
                machine.end().is_over() || machine.end().is_online(),
                "{lost}: {:?}",
                side.events
            );
            if machine.end().is_over() {
                assert_eq!(
                    side.events
                        .iter()
                        .filter(|event| event.starts_with("ended"))
                        .count(),
                    1
                );
                assert_eq!(machine.poll_timeout(), None);
            }
        }
    }
}
