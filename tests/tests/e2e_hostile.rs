//! Bad input between two clients: the stanza error, the close or the reason to terminate that each gets, and no more.

use std::time::Duration;

use minidom::Element;
use onetrip_core::jingle::Dialect;
use onetrip_core::stream::{Build as _, ns};
use onetrip_tests::e2e::*;

/// Both online: by a socket that Romeo made, or in band.
fn online(dialect: Dialect, in_band: bool) -> Duo {
    let mut setting = Setting::new().with(|config| {
        config.session.dialect = dialect;
        config.session.s5b = !in_band;
    });
    setting.candidates[ROMEO].clear();
    let mut duo = Duo::new(setting);
    duo.run_for(Duration::from_secs(20));
    duo.assert_online("Some(Announced)");
    duo
}

/// A request from this address, to Juliet.
fn request(from: &str, payload: Element) -> Element {
    Element::bare("iq", ns::CLIENT)
        .with_attr("type", "set")
        .with_attr("id", "bad")
        .with_attr("from", from)
        .with_attr("to", address(JULIET).to_string())
        .with_child(payload)
}

/// What Juliet says to that.
fn answer(duo: &mut Duo, request: &Element) -> Vec<String> {
    let before = duo.sides[JULIET].said.len();
    duo.deliver(JULIET, request);
    duo.sides[JULIET].said[before..]
        .iter()
        .map(conditions)
        .collect()
}

/// The conditions of an error, or what is asked for.
fn conditions(stanza: &Element) -> String {
    match stanza.get_child("error", ns::CLIENT) {
        Some(error) => error
            .children()
            .map(Element::name)
            .collect::<Vec<_>>()
            .join(" "),
        None => verb(stanza),
    }
}

fn jingle(duo: &Duo, action: &str, sid: Option<&str>, content: Option<(&str, &str)>) -> Element {
    let session = duo.sides[JULIET].end().session();
    let namespace = session.dialect().jingle();
    let mut jingle = Element::bare("jingle", namespace)
        .with_attr("action", action)
        .with_attr("sid", sid.unwrap_or(session.sid()))
        .with_attr("initiator", address(ROMEO).to_string());
    if let Some((creator, name)) = content {
        let content = Element::bare("content", namespace)
            .with_attr("creator", creator)
            .with_attr("name", name);
        jingle.append_child(content);
    }
    jingle
}

const ROMEOS: &str = "romeo@montague.lit/orchard";

#[test]
fn jxs_r2_r3_requests_that_do_not_fit_are_refused_and_change_nothing() {
    for dialect in Dialect::ALL {
        let mut duo = online(dialect, false);
        let ours = Some(("initiator", "xmlstream"));
        for (from, action, sid, content, expected) in [
            (
                ROMEOS,
                "transport-info",
                Some("another"),
                ours,
                "item-not-found unknown-session",
            ),
            (
                ROMEOS,
                "session-terminate",
                Some("another"),
                None,
                "item-not-found unknown-session",
            ),
            (
                "nurse@capulet.lit/hall",
                "session-terminate",
                None,
                None,
                "item-not-found unknown-session",
            ),
            (
                ROMEOS,
                "transport-info",
                None,
                Some(("initiator", "stub")),
                "bad-request",
            ),
            (
                ROMEOS,
                "transport-info",
                None,
                Some(("responder", "xmlstream")),
                "bad-request",
            ),
            (ROMEOS, "transport-info", None, ours, "bad-request"),
            (
                ROMEOS,
                "transport-accept",
                None,
                ours,
                "unexpected-request out-of-order",
            ),
            (
                ROMEOS,
                "transport-replace",
                None,
                ours,
                "unexpected-request out-of-order",
            ),
            (
                ROMEOS,
                "session-accept",
                None,
                ours,
                "unexpected-request out-of-order",
            ),
            (
                ROMEOS,
                "session-initiate",
                None,
                ours,
                "unexpected-request out-of-order",
            ),
            (ROMEOS, "content-add", None, ours, "feature-not-implemented"),
            (ROMEOS, "dance", None, ours, "bad-request"),
        ] {
            let payload = jingle(&duo, action, sid, content);
            let said = answer(&mut duo, &request(from, payload));
            assert_eq!(said, [expected], "{dialect:?} {action}");
        }
        duo.talk(2);
        duo.close_in_order(ROMEO);
    }
}

fn data(sid: &str, seq: &str, text: &str) -> Element {
    Element::bare("data", ns::IBB)
        .with_attr("sid", sid)
        .with_attr("seq", seq)
        .with_text(text)
}

/// The sid of the bytestream, and the number that is expected next.
fn bytestream(duo: &Duo) -> (String, usize) {
    let sent = duo.sides[ROMEO]
        .said
        .iter()
        .filter_map(|one| one.get_child("data", ns::IBB));
    let sent: Vec<&Element> = sent.collect();
    (sent[0].attr("sid").unwrap().to_owned(), sent.len())
}

#[test]
fn in_band_data_that_breaks_the_rules_ends_transport_and_session() {
    let large = onetrip_tests::base64(&vec![b'x'; 5000]);
    for dialect in Dialect::ALL {
        let reason = match dialect {
            Dialect::Modern => "session-terminate failed-transport",
            _ => "session-terminate general-error",
        };
        for (ahead, text, expected) in [
            (1, "eA==", "unexpected-request"),
            (0, "e A==!", "bad-request"),
            (0, "eA=", "bad-request"),
            (0, large.as_str(), "bad-request"),
        ] {
            let mut duo = online(dialect, true);
            let (sid, next) = bytestream(&duo);
            let data = data(&sid, &(next + ahead).to_string(), text);
            let said = answer(&mut duo, &request(ROMEOS, data));
            assert_eq!(said, [expected, "close", reason], "{dialect:?} {text:.9}");
            duo.run();
            for side in &duo.sides {
                assert!(side.end().is_over(), "{:?}", side.events);
                assert!(
                    side.events.contains(&"stream Cut".to_owned()),
                    "{:?}",
                    side.events
                );
            }
        }
    }
}

#[test]
fn in_band_data_that_is_repeated_or_of_somebody_else_is_refused_and_changes_nothing() {
    let mut duo = online(Dialect::Modern, true);
    let (sid, next) = bytestream(&duo);
    let said = answer(&mut duo, &request(ROMEOS, data(&sid, "0", "eA==")));
    assert_eq!(said, ["unexpected-request"]);
    for (from, sid) in [
        ("nurse@capulet.lit/hall", sid.as_str()),
        (ROMEOS, "another"),
    ] {
        let forged = data(sid, &next.to_string(), "eA==");
        assert_eq!(answer(&mut duo, &request(from, forged)), ["item-not-found"]);
    }
    duo.talk(3);
    duo.close_in_order(JULIET);
}

#[test]
fn every_refusal_of_a_streamhost_leads_in_band() {
    for code in 1..=9_u8 {
        for bad in [
            vec![5, 0, 5, code],
            vec![5, 0xff],
            vec![4, 0],
            vec![5, code],
        ] {
            let mut setting = Setting::new();
            setting.candidates[ROMEO].clear();
            let mut duo = Duo::new(setting);
            duo.usurped[JULIET] = true;
            duo.run();
            let cable = duo.cables.len() - 1;
            assert_eq!(duo.cables[cable].server, Server::Stranger);
            duo.cables[cable].to_client = bad;
            duo.run_for(Duration::from_secs(20));
            duo.assert_online("Some(Announced)");
            duo.talk(1);
            duo.close_in_order(ROMEO);
        }
    }
}

/// What Romeo's end of the stream says, as if Romeo did, and what Juliet's says to it.
fn injected(duo: &mut Duo, text: &str) -> String {
    let before = duo.sides[JULIET].written.len();
    let cable = duo.cables.iter().position(Cable::is_open).unwrap();
    duo.cables[cable]
        .to_server
        .extend_from_slice(text.as_bytes());
    duo.run();
    String::from_utf8_lossy(&duo.sides[JULIET].written[before..]).into_owned()
}

#[test]
fn jxs_r8_what_the_stream_does_not_allow_ends_it_with_a_stream_error() {
    for dialect in Dialect::ALL {
        let reason = match dialect {
            Dialect::Modern => "session-terminate failed-application",
            _ => "session-terminate general-error",
        };
        for (text, condition) in [
            ("<message from='nurse@capulet.lit'/>", "invalid-from"),
            (
                "<message from='romeo@montague.lit/elsewhere'/>",
                "invalid-from",
            ),
            ("<presence to='nurse@capulet.lit'/>", "invalid-from"),
            (
                "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
                "unsupported-stanza-type",
            ),
            ("<stream:features/>", "unsupported-stanza-type"),
            ("<stream:stream>", "not-well-formed"),
            ("<message></iq>", "not-well-formed"),
            ("<!-- -->", "restricted-xml"),
        ] {
            let mut duo = online(dialect, false);
            duo.talk(1);
            let said = injected(&mut duo, text);
            if text != "<stream:stream>" {
                assert!(said.contains(&format!("<{condition} ")), "{text}: {said}");
            }
            assert!(
                said.contains("<stream:error>") && said.contains("</stream:stream>"),
                "{text}: {said}"
            );
            let juliet = &duo.sides[JULIET];
            assert!(
                juliet.verbs().contains(&reason.to_owned()),
                "{:?}",
                juliet.verbs()
            );
            assert_eq!(juliet.received.len(), 1, "nothing of it was handed on");
            assert!(duo.sides.iter().all(|side| side.end().is_over()), "{text}");
        }
    }
}

#[test]
fn a_stream_error_of_the_peer_is_reported_and_ends_both() {
    let mut duo = online(Dialect::Modern, false);
    let error = "<stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>";
    injected(&mut duo, error);
    let events = &duo.sides[JULIET].events;
    assert!(
        events.contains(&"error policy-violation".to_owned()),
        "{events:?}"
    );
    assert!(
        events.contains(&"stream ended by the peer: policy-violation".to_owned()),
        "{events:?}"
    );
    // Romeo never said so, and learns of a stream that was closed.
    duo.run_for(Duration::from_secs(30));
    assert!(duo.sides.iter().all(|side| side.end().is_over()));
}

#[test]
fn jxs_22_a_header_that_names_somebody_else_ends_the_stream() {
    for (changed, condition) in [
        ("romeo@montague.lit/orchard", "invalid-from"),
        ("juliet@capulet.lit/balcony", "host-unknown"),
        ("jabber:client", "invalid-namespace"),
    ] {
        let mut setting = Setting::new();
        setting.candidates[ROMEO].clear();
        let mut duo = Duo::new(setting);
        let replaced = if changed == "jabber:client" {
            "jabber:server"
        } else {
            "nurse@capulet.lit/hall"
        };
        while duo.sides[JULIET]
            .written
            .iter()
            .filter(|byte| **byte == b'<')
            .count()
            == 0
        {
            for cable in &mut duo.cables {
                let text = String::from_utf8_lossy(&cable.to_server).into_owned();
                if text.contains("<stream:stream") && text.contains(changed) {
                    cable.to_server = text.replacen(changed, replaced, 1).into_bytes();
                }
            }
            assert!(duo.step(), "nothing more happens");
        }
        let said = String::from_utf8_lossy(&duo.sides[JULIET].written).into_owned();
        assert!(
            said.contains(&format!("<{condition} ")),
            "{changed}: {said}"
        );
        duo.run();
        assert!(duo.sides.iter().all(|side| side.end().is_over()));
        assert!(
            !duo.sides[JULIET]
                .events
                .iter()
                .any(|event| event.starts_with("online"))
        );
    }
}

#[test]
fn a_peer_that_says_nothing_on_the_stream_is_given_up() {
    let mut setting = Setting::new();
    setting.candidates[ROMEO].clear();
    let mut duo = Duo::new(setting);
    loop {
        for cable in &mut duo.cables {
            if let Some(at) = cable.to_server.iter().position(|byte| *byte == b'<') {
                cable.to_server.truncate(at);
            }
        }
        if !duo.step() {
            break;
        }
    }
    duo.run_for(Duration::from_secs(29));
    assert!(!duo.sides[JULIET].end().is_over());
    duo.run_for(Duration::from_secs(10));
    let said = String::from_utf8_lossy(&duo.sides[JULIET].written).into_owned();
    assert!(said.contains("<connection-timeout "), "{said}");
    assert!(
        duo.sides.iter().all(|side| side.end().is_over()),
        "{:?}",
        duo.sides[ROMEO].events
    );
}

/// Digest §6.2: what comes over a socket before it is known to be the one is held, bounded, and not looked at.
#[test]
fn what_comes_ahead_of_the_signalling_is_bounded() {
    for (bytes, over) in [(60_000, false), (70_000, true)] {
        let mut duo = Duo::new(Setting::new());
        duo.usurped = [true; 2];
        duo.run();
        // Juliet still tries, and does not hear that Romeo got through.
        duo.tamper = |_, _| false;
        let made = |cable: &Cable| cable.client.is_some_and(|(end, _)| end == ROMEO);
        let cable = duo.cables.iter().position(made).unwrap();
        let request = duo.cables[cable].to_server.clone();
        duo.cables[cable].to_client = [
            &[5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0][..],
            &vec![b'x'; bytes],
        ]
        .concat();
        assert_eq!(request, [5, 1, 0]);
        duo.run();
        assert_eq!(duo.cables[cable].is_open(), !over);
        assert!(duo.sides[ROMEO].received.is_empty());
    }
}

/// The same behind the choice, while nobody has agreed on TLS.
#[test]
fn jxs_19_what_comes_before_tls_is_agreed_on_waits_within_bounds() {
    for (bytes, over) in [(60_000, false), (70_000, true)] {
        let mut setting = Setting::new();
        setting.candidates[ROMEO].clear();
        let silent: fn(usize, &mut Element) -> bool =
            |end, stanza| end != JULIET || stanza.attr("type") != Some("result");
        let mut duo = Duo::changed(setting, silent);
        duo.usurped[JULIET] = true;
        duo.run();
        let cable = duo.cables.len() - 1;
        let handshake = [5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        duo.cables[cable].to_client = handshake.to_vec();
        duo.run();
        duo.cables[cable].to_client = vec![b'x'; bytes];
        duo.run();
        let romeo = &duo.sides[ROMEO];
        assert!(romeo.events.contains(&"link".to_owned()));
        assert_eq!(duo.cables[cable].is_open(), !over);
        let terminated = "session-terminate connectivity-error".to_owned();
        assert_eq!(romeo.verbs().contains(&terminated), over);
        assert!(
            !romeo.written.contains(&b'['),
            "TLS before it was agreed on"
        );
    }
}
