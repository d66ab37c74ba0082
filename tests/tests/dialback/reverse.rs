//! The end that accepted the connection proves a domain on it (BIDI-14 to BIDI-16).

use super::*;

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

/// On a bidirectional stream the peer would send stanzas of the inverse pair, which would cost the stream where a certificate
/// is required that does not cover its domain (BIDI-17).
#[test]
fn bidi_17_a_domain_that_would_not_be_heard_is_not_asked_for() {
    let (mut out, into) = configs();
    out.bidi.require_certificate = true;
    let mut servers = Servers::default();
    let [one, _] = servers.connect(out, into, true);
    let ask = |servers: &mut Servers, to| {
        let asked = pair("capulet.lit", to);
        servers.with(one, |connection, env| connection.ask(env, asked, true))
    };
    let why = ReverseRefusal::NotCertified;
    let refused = ask(&mut servers, "chat.montague.lit");
    assert_eq!(refused, Err(UsageError::MayNotAsk(why)));
    assert_eq!(ask(&mut servers, "montague.lit"), Ok(()));
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
