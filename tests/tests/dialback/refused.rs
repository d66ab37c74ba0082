//! Keys and answers that open nothing.

use super::*;

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

/// What cannot be read ends the stream of whoever waits for an answer: nothing comes behind the close, and what the attempt
/// has taught comes before it.
#[test]
fn an_answer_that_cannot_be_read_is_the_last_word() {
    let mut servers = Servers::default();
    let (out, _) = configs();
    let plan = plan(&out, Level::Off, None);
    let one = servers.open(out, plan, &[]);
    let header = HEADER.replace(
        "from='capulet.lit' to='montague.lit'",
        "from='montague.lit' to='capulet.lit' id='s1'",
    );
    let features =
        "<stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>";
    servers.give(one, format!("{header}{features}")).unwrap();
    assert!(servers.sides[one].written().contains("<db:result "));
    let error = servers.give(one, "<db:result type='valid'/>").unwrap_err();
    assert_eq!(error.condition(), Some(Condition::ImproperAddressing));
    assert!(servers.sides[one].closed);
    assert_eq!(servers.sides[one].entity.len(), 1);
}

/// XEP-0220 §2.6.2: where a certificate has opened the connection, another target needs a ground all the same.
#[test]
fn a_further_target_needs_a_ground_behind_external_too() {
    for (resolves_here, told) in [
        (false, Err(UsageError::CannotAsk(AskError::Target))),
        (true, Ok(())),
    ] {
        let mut servers = Servers::default();
        let (out, into) = configs();
        let [one, _] = servers.connect(out, into, true);
        let rooms = pair("capulet.lit", "rooms.montague.lit");
        let asked = servers.with(one, |connection, env| {
            connection.ask(env, rooms, resolves_here)
        });
        assert_eq!(asked, told);
    }
}

/// A server that binds the prefix of dialback on every stream may not know it: further pairs are not asked for there, as the
/// answer may never come (ejabberd without its dialback module).
#[test]
fn further_pairs_are_asked_for_where_dialback_is_announced() {
    for announced in [false, true] {
        let mut servers = Servers::default();
        let (mut out, _) = configs();
        out.hosted.push(domain("chat.capulet.lit"));
        let plan = plan(&out, Level::Off, None);
        let one = servers.open(out, plan, &["montague.lit"]);
        let header = "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
                      xmlns:db='jabber:server:dialback' from='montague.lit' to='capulet.lit' id='D6' version='1.0'>";
        let external = "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>";
        let success = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
        let feature = if announced {
            "<dialback xmlns='urn:xmpp:features:dialback'/>"
        } else {
            ""
        };
        for text in [
            format!("{header}<stream:features>{external}</stream:features>"),
            success.to_owned(),
            format!("{header}<stream:features>{feature}</stream:features>"),
        ] {
            servers.give(one, text).unwrap();
        }
        let second = pair("chat.capulet.lit", "montague.lit");
        let asked = servers.with(one, |connection, env| connection.ask(env, second, false));
        let refused = Err(UsageError::CannotAsk(AskError::Unannounced));
        assert_eq!(asked, if announced { Ok(()) } else { refused });
    }
}

/// RFC 6120 §4.4: behind our footer nothing can be answered, so nothing becomes valid there, whatever proves it.
#[test]
fn a_key_behind_our_footer_opens_nothing() {
    for certified in [true, false] {
        let mut servers = Servers::default();
        let (_, into) = configs();
        let names: &[&str] = if certified { &["capulet.lit"] } else { &[] };
        let one = servers.accept(into, names);
        servers.give(one, HEADER).unwrap();
        if !certified {
            servers
                .give(one, result("capulet.lit", "montague.lit"))
                .unwrap();
        }
        servers.with(one, |connection, env| connection.close(env));
        if certified {
            servers
                .give(one, result("capulet.lit", "montague.lit"))
                .unwrap();
        } else {
            servers.dial_back(one, inbound_at_capulet(), Level::Off);
        }
        assert_eq!(servers.sides[one].changes(), []);
        let stanza = "<message from='juliet@capulet.lit' to='romeo@montague.lit'/>";
        assert!(servers.give(one, stanza).is_err());
        assert_eq!(servers.sides[one].stanzas(), 0);
    }
}
