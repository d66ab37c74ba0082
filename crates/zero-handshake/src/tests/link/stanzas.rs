//! What goes in and out, and which pairs of domains may.

use super::*;

#[test]
fn zh_02_the_first_byte_out_is_the_first_byte_of_a_stanza() {
    for role in [Role::Opener, Role::Acceptor] {
        let mut link = link(terms(), role);
        with(0, |env| link.send(env, &stanza(OUT))).unwrap();
        assert_eq!(drain(&mut link), [Action::Transmit(OUT.into())]);
    }
}

#[test]
fn zh_03_the_first_bytes_in_are_a_stanza_and_so_is_the_first_event() {
    for role in [Role::Opener, Role::Acceptor] {
        let (result, actions) = receive(&mut link(terms(), role), IN);
        assert_eq!(
            (result, actions),
            (Ok(IN.len()), vec![Action::Stanza(stanza(IN))])
        );
    }
}

#[test]
fn zh_05_the_content_namespace_may_be_declared_and_is_not_written() {
    let declared = IN.replace("<message ", "<message xmlns='jabber:server' ");
    let (_, actions) = receive(&mut link(terms(), Role::Acceptor), &declared);
    let [Action::Stanza(read)] = &actions[..] else {
        panic!("{actions:?}")
    };
    assert_eq!(read.bytes(), IN.as_bytes());
    let client = IN.replace("<message ", "<message xmlns='jabber:client' ");
    assert_eq!(
        failed(terms(), &client),
        (ErrorKind::Content, told(Condition::InvalidNamespace))
    );
    let client = Stanza::parse(OUT.as_bytes(), Content::Client).unwrap();
    let mut link = link(terms(), Role::Opener);
    let refused = with(0, |env| link.send(env, &client));
    assert_eq!(refused, Err(UsageError::Blocked(Blocked::Content)));
    assert_eq!(drain(&mut link), []);
}

#[test]
fn zh_06_one_link_carries_every_pair_of_domains_both_ways() {
    let mut link = link(terms(), Role::Opener);
    for ours in ["ground.example", "muc.ground.example"] {
        for theirs in ["air.example", "muc.air.example"] {
            let (_, actions) = receive(&mut link, &message(theirs, ours));
            assert!(matches!(&actions[..], [Action::Stanza(_)]));
            with(0, |env| link.send(env, &stanza(&message(ours, theirs)))).unwrap();
            assert_eq!(written(&drain(&mut link)), message(ours, theirs));
        }
    }
}

#[test]
fn zh_08_to_zh_11_what_was_not_agreed_ends_the_link_as_between_any_two_servers() {
    for (from, to, invalid, condition) in [
        (
            "a@mallory.example",
            "ops@ground.example",
            Invalid::From,
            Condition::InvalidFrom,
        ),
        (
            "a@sub.air.example",
            "ops@ground.example",
            Invalid::From,
            Condition::InvalidFrom,
        ),
        (
            "a@ground.example",
            "ops@ground.example",
            Invalid::From,
            Condition::InvalidFrom,
        ),
        (
            "a@mallory.example",
            "mallory.example",
            Invalid::From,
            Condition::InvalidFrom,
        ),
        (
            "a@air.example",
            "ops@mallory.example",
            Invalid::To,
            Condition::HostUnknown,
        ),
        (
            "a@air.example",
            "b@air.example",
            Invalid::To,
            Condition::HostUnknown,
        ),
        (
            "a@air.example",
            "a@b@c",
            Invalid::Address("to"),
            Condition::ImproperAddressing,
        ),
        (
            "@",
            "ground.example",
            Invalid::Address("from"),
            Condition::ImproperAddressing,
        ),
    ] {
        let result = failed(terms(), &message(from, to));
        assert_eq!(
            result,
            (ErrorKind::Invalid(invalid), told(condition)),
            "{from} {to}"
        );
    }
}

#[test]
fn zh_05_both_addresses_are_required_on_every_kind_of_stanza() {
    for name in ["message", "presence", "iq"] {
        for (attributes, missing) in [
            ("to='ground.example'", "from"),
            ("from='air.example'", "to"),
            ("", "from"),
        ] {
            let result = failed(terms(), &format!("<{name} {attributes}/>"));
            let expected = ErrorKind::Invalid(Invalid::Address(missing));
            assert_eq!(result, (expected, told(Condition::ImproperAddressing)));
        }
    }
}

#[test]
fn zh_11_dropped_stanzas_are_told_of_and_the_link_goes_on() {
    let mut terms = terms();
    terms.on_invalid = OnInvalid::Drop;
    let mut link = link(terms, Role::Acceptor);
    let bytes = message("a@mallory.example", "ground.example") + IN;
    let (_, actions) = receive(&mut link, &bytes);
    let expected = [
        Action::Event(Event::Dropped(Invalid::From)),
        Action::Stanza(stanza(IN)),
    ];
    assert_eq!(actions, expected);
}

#[test]
fn zh_11_a_bounce_is_a_stanza_of_an_agreed_pair_and_never_an_answer_to_an_answer() {
    let mut terms = terms();
    terms.on_invalid = OnInvalid::Bounce;
    let mut link = link(terms, Role::Acceptor);
    let wrong =
        "<iq id='7' type='get' from='pilot@air.example/x' to='nobody.example'><q xmlns='q'/></iq>";
    let (_, actions) = receive(&mut link, wrong);
    let [Action::Bounce { why, answer }] = &actions[..] else {
        panic!("{actions:?}")
    };
    assert_eq!(*why, Invalid::To);
    assert_eq!(
        answer.bytes(),
        &"<iq from='ground.example' id='7' to='pilot@air.example/x' type='error'><error type='cancel'>\
          <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
    );
    with(0, |env| link.send(env, answer)).unwrap();
    drain(&mut link);
    let missing = "<message from='pilot@air.example'/>";
    let (_, actions) = receive(&mut link, missing);
    assert!(matches!(
        &actions[..],
        [Action::Bounce {
            why: Invalid::Address("to"),
            ..
        }]
    ));
    for (unanswered, why) in [
        (
            message("a@mallory.example", "ground.example"),
            Invalid::From,
        ),
        (
            "<message to='ground.example'/>".into(),
            Invalid::Address("from"),
        ),
        (wrong.replace("'get'", "'error'"), Invalid::To),
        (wrong.replace("'get'", "'result'"), Invalid::To),
    ] {
        let (_, actions) = receive(&mut link, &unanswered);
        assert_eq!(
            actions,
            [Action::Event(Event::Dropped(why))],
            "{unanswered}"
        );
    }
}

#[test]
fn zh_10_only_the_domains_that_were_authorised_count_on_this_link() {
    use crate::{Agreement, CertificateRule, PeerIdentity, Security, TlsTerms};
    let mut terms = terms();
    terms.allowed_sources = Vec::new();
    terms.security = Security::Tls(TlsTerms::new(CertificateRule::Names));
    let agreement = Agreement::new(terms).unwrap();
    let mut identity = PeerIdentity::default();
    identity.names = vec![domain("air.example")];
    let admitted = agreement
        .accept_source(socket("203.0.113.1:1"), None)
        .unwrap();
    let authorised = agreement.accept_certificate(admitted, &identity).unwrap();
    let mut link = with(0, |env| Link::new(&agreement, authorised, env));
    drain(&mut link);
    let to = message("ground.example", "muc.air.example");
    let refused = with(0, |env| link.send(env, &stanza(&to)));
    assert_eq!(
        refused,
        Err(UsageError::Blocked(Blocked::To(domain("muc.air.example"))))
    );
    assert!(receive(&mut link, IN).0.is_ok());
    assert!(
        receive(&mut link, &message("muc.air.example", "ground.example"))
            .0
            .is_err()
    );
}

#[test]
fn zh_08_what_may_not_go_out_is_not_written() {
    let mut link = link(terms(), Role::Opener);
    let blocked = |from: &str, to: &str| stanza(&message(from, to));
    for (stanza, why) in [
        (
            blocked("a@mallory.example", "air.example"),
            Blocked::From(domain("mallory.example")),
        ),
        (
            blocked("air.example", "air.example"),
            Blocked::From(domain("air.example")),
        ),
        (
            blocked("ground.example", "x.example"),
            Blocked::To(domain("x.example")),
        ),
        (
            stanza("<message to='air.example'/>"),
            Blocked::Address("from"),
        ),
        (
            stanza("<message from='ground.example'/>"),
            Blocked::Address("to"),
        ),
    ] {
        assert_eq!(link.check(&stanza), Err(why.clone()));
        assert_eq!(
            with(0, |env| link.send(env, &stanza)),
            Err(UsageError::Blocked(why))
        );
    }
    assert_eq!(drain(&mut link), []);
}
