//! What goes over a link, whose bounds its two ends have agreed on.

use onetrip_core::stream::{Content, Instant, Stanza};
use onetrip_core::zero_handshake::Agreement;
use onetrip_core::{Action, Connection, End, Event, UsageError};
use onetrip_tests::links::{self, GROUND};

use crate::{Bound, check, env, padded, parts, refusal};

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

#[test]
fn what_a_link_carries() {
    check(&[
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
        Bound {
            what: "stanzas that are not acknowledged on a link",
            allowed: 3,
            attempt: |stanzas| over_link(stanzas * 200, stanzas),
            refusal: "expected less to be unacknowledged: send it when something has been acknowledged",
        },
        Bound {
            what: "bytes that are not acknowledged on a link",
            allowed: 20_000,
            attempt: |bytes| over_link(bytes, 2),
            refusal: "expected less to be unacknowledged: send it when something has been acknowledged",
        },
        Bound {
            what: "a stanza that goes out on a link",
            allowed: 12_000,
            attempt: |bytes| over_link(bytes, 1),
            refusal: "expected a stanza of at most 12000 bytes, got 12001: send a smaller one",
        },
    ]);
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
            Action::Event(Event::Closed(End::Failed(_)))
        ));
    }
}
