//! One connection, from its first byte to its last, from both sides.

use std::time::Duration;

use super::*;
use crate::{
    Acknowledgements, Action, Blocked, End, ErrorKind, Event, Invalid, Link, OnInvalid, Reason,
    Role, Terms, UsageError, Why,
};
use minidom::Element;
use onetrip_stream::{Build, Condition, Content, Limit, ReadErrorKind, Stanza, StreamError, ns};

fn failed(terms: Terms, bytes: &str) -> (ErrorKind, String) {
    let mut link = link(terms, Role::Acceptor);
    let (result, actions) = receive(&mut link, bytes);
    let error = result.unwrap_err();
    let n = actions.len();
    assert_eq!(actions[n - 1], Action::Close);
    assert_eq!(
        actions[n - 2],
        Action::Event(Event::Ended(End::Failed(error.clone())))
    );
    assert!(
        !actions.iter().any(|a| matches!(a, Action::Stanza(_))),
        "{actions:?}"
    );
    assert_eq!(
        receive(&mut link, IN),
        (Err(error.clone()), vec![]),
        "final, and repeated"
    );
    assert_eq!(
        with(0, |env| link.send(env, &stanza(OUT))),
        Err(UsageError::Closed)
    );
    assert_eq!(link.poll_timeout(), None);
    (error.kind, written(&actions))
}

fn told(condition: Condition) -> String {
    format!(
        "<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>"
    )
}

fn ended(actions: &[Action]) -> Option<&End> {
    actions.iter().find_map(|action| match action {
        Action::Event(Event::Ended(end)) => Some(end),
        _ => None,
    })
}

fn acknowledging() -> Terms {
    let mut terms = terms();
    terms.presets.acknowledgements = Some(Acknowledgements::default());
    terms
}

fn nonza(name: &str) -> Element {
    Element::bare(name, ns::STREAM_MANAGEMENT)
}

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

#[test]
fn zh_r3_a_peer_that_opens_a_stream_is_told_apart_and_not_answered() {
    for bytes in [
        "<?xml version='1.0'?><stream:stream xmlns='jabber:server'>",
        "<?xml ",
        " \r\n<?xml\tversion",
        "<stream:stream ",
        "<stream:stream\n",
        "<stream:stream>",
        "<s:stream xmlns:s='http://etherx.jabber.org/streams'>",
        "<stream xmlns='http://etherx.jabber.org/streams'>",
    ] {
        let result = failed(terms(), bytes);
        assert_eq!(
            result,
            (ErrorKind::PeerSpeaksRfc6120, String::new()),
            "{bytes}"
        );
    }
    // Not yet, and not at all.
    for bytes in ["<?xm", "<stream:strea", "<", "<stream:stream", "   "] {
        assert_eq!(
            receive(&mut link(terms(), Role::Opener), bytes),
            (Ok(bytes.len()), vec![])
        );
    }
    let (kind, _) = failed(terms(), "<?xml-stylesheet href='x'?>");
    assert!(matches!(kind, ErrorKind::Read(_)), "{kind:?}");
}

#[test]
fn zh_r3_only_the_first_bytes_may_be_taken_for_a_stream_header() {
    let (kind, text) = failed_behind_a_stanza("<stream:stream xmlns='jabber:server'>");
    assert!(matches!(kind, ErrorKind::Read(e) if e.kind == ReadErrorKind::NestedHeader));
    assert_eq!(text, told(Condition::BadFormat));
    let (_, text) = failed_behind_a_stanza("<?xml version='1.0'?>");
    assert_eq!(text, told(Condition::RestrictedXml));
}

fn failed_behind_a_stanza(bytes: &str) -> (ErrorKind, String) {
    let mut link = link(terms(), Role::Acceptor);
    let (result, actions) = receive(&mut link, &(IN.to_owned() + bytes));
    assert_eq!(actions[0], Action::Stanza(stanza(IN)));
    (result.unwrap_err().kind, written(&actions))
}

const HEADER: &str = "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
                      to='ground.example' version='1.0'>";

#[test]
fn zh_r3_a_tolerated_stream_header_is_swallowed_once_and_never_answered() {
    let mut terms = terms();
    terms.tolerate_stream_open = true;
    for opening in [
        HEADER.to_owned(),
        format!("<?xml version='1.0'?>\n{HEADER}"),
    ] {
        let mut link = link(terms.clone(), Role::Acceptor);
        let (result, actions) = receive(&mut link, &format!(" {opening} {IN}</stream:stream>"));
        assert!(result.is_ok());
        assert_eq!(actions[0], Action::Event(Event::StreamOpenSwallowed));
        assert_eq!(actions[1], Action::Stanza(stanza(IN)));
        assert_eq!(written(&actions), "</stream:stream>");
        assert_eq!(ended(&actions), Some(&End::Clean));
    }
    // None at all is fine too.
    let (_, actions) = receive(&mut link(terms.clone(), Role::Acceptor), IN);
    assert_eq!(actions, [Action::Stanza(stanza(IN))]);
    for bytes in [
        HEADER.replace("jabber:server", "jabber:client"),
        format!("<?xml version='1.0'?>{IN}"),
        HEADER.replace("streams'", "stream'"),
    ] {
        let (kind, _) = failed(terms.clone(), &bytes);
        assert!(!matches!(kind, ErrorKind::Invalid(_)), "{kind:?}");
    }
    assert_eq!(
        failed(terms.clone(), &format!("{HEADER}{HEADER}")).1,
        told(Condition::BadFormat)
    );
    // What the header declares binds nothing: the stream is the agreed one.
    let dialback = HEADER.replace(" to=", " xmlns:db='jabber:server:dialback' to=");
    let (_, text) = failed(terms, &format!("{dialback}<db:result/>"));
    assert_eq!(text, told(Condition::NotWellFormed));
}

#[test]
fn zh_18_a_peer_that_speaks_tls_on_a_plain_link_is_told_apart() {
    let result = failed(terms(), "\u{16}\u{3}\u{1}");
    assert_eq!(result, (ErrorKind::PeerSpeaksTls, String::new()));
}

#[test]
fn zh_24_negotiation_is_out_of_place() {
    for element in [
        "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>",
        "<db:result xmlns:db='jabber:server:dialback' from='air.example' to='ground.example'>k</db:result>",
        "<stream:features/>",
        "<bidi xmlns='urn:xmpp:bidi'/>",
        "<enable xmlns='urn:xmpp:sm:3'/>",
        "<r xmlns='urn:xmpp:sm:3'/>",
        "<compress xmlns='http://jabber.org/protocol/compress'/>",
        "<whatever/>",
    ] {
        let (kind, text) = failed(terms(), element);
        assert!(matches!(kind, ErrorKind::Unexpected { .. }), "{element}");
        assert_eq!(text, told(Condition::UnsupportedStanzaType), "{element}");
    }
    let (kind, text) = failed(terms(), "<db:result from='air.example'>");
    assert!(matches!(kind, ErrorKind::Read(_)));
    assert_eq!(text, told(Condition::NotWellFormed));
}

#[test]
fn zh_23_a_stream_error_is_read_although_nobody_bound_its_prefix() {
    let bytes = told(Condition::SystemShutdown);
    let (result, actions) = receive(&mut link(terms(), Role::Opener), &bytes);
    assert!(result.is_ok());
    let error = StreamError::new(Condition::SystemShutdown);
    assert_eq!(
        actions,
        [
            Action::Transmit("</stream:stream>".into()),
            Action::Event(Event::Ended(End::PeerError(error))),
            Action::Close
        ]
    );
}

#[test]
fn zh_27_restricted_xml_garbage_and_stray_text() {
    for (bytes, condition) in [
        ("<!-- c -->", Condition::RestrictedXml),
        ("<?pi x?>", Condition::RestrictedXml),
        ("<!DOCTYPE x>", Condition::RestrictedXml),
        (
            "<message from='air.example'>&nbsp;",
            Condition::RestrictedXml,
        ),
        ("GET / HTTP/1.1\r\n", Condition::BadFormat),
        ("<message></presence>", Condition::NotWellFormed),
        ("<\u{1}>", Condition::NotWellFormed),
    ] {
        assert_eq!(failed(terms(), bytes).1, told(condition), "{bytes}");
    }
}

#[test]
fn zh_r5_the_largest_stanza_is_met_from_both_sides_and_both_ways() {
    let mut terms = terms();
    terms.presets.max_stanza_size = Some(10_000);
    let sized = |from: &str, to: &str, size: usize| {
        let empty = message(from, to).len() - 2;
        message(from, to).replace("hi", &"x".repeat(size - empty))
    };
    let incoming = sized("air.example", "ground.example", 10_000);
    let (_, actions) = receive(&mut link(terms.clone(), Role::Acceptor), &incoming);
    assert!(matches!(&actions[..], [Action::Stanza(s)] if s.bytes().len() == 10_000));
    let (kind, text) = failed(
        terms.clone(),
        &sized("air.example", "ground.example", 10_001),
    );
    let ErrorKind::Read(error) = kind else {
        panic!("{kind:?}")
    };
    let too_much = ReadErrorKind::TooMuch {
        limit: Limit::Element,
        allowed: 10_000,
    };
    assert_eq!(
        (error.kind, text),
        (too_much, told(Condition::PolicyViolation))
    );
    let link = link(terms, Role::Opener);
    assert_eq!(
        link.check(&stanza(&sized("ground.example", "air.example", 10_000))),
        Ok(())
    );
    let large = link.check(&stanza(&sized("ground.example", "air.example", 10_001)));
    assert_eq!(
        large,
        Err(Blocked::TooLarge {
            size: 10_001,
            allowed: 10_000
        })
    );
}

#[test]
fn zh_22_zh_r2_the_close_is_exchanged() {
    let (mut ours, mut theirs) = (link(terms(), Role::Opener), link(terms(), Role::Acceptor));
    with(0, |env| ours.close(env));
    let actions = drain(&mut ours);
    assert_eq!(
        actions,
        [
            Action::Event(Event::Closing(Why::Asked)),
            Action::Transmit("</stream:stream>".into())
        ]
    );
    assert_eq!(ours.poll_timeout().unwrap().reason, Reason::Close);
    // What is under way still comes in.
    assert_eq!(receive(&mut ours, IN).1, [Action::Stanza(stanza(IN))]);
    let (_, answer) = receive(&mut theirs, &written(&actions));
    let end = [
        Action::Event(Event::Closing(Why::Peer)),
        Action::Transmit("</stream:stream>".into()),
        Action::Event(Event::Ended(End::Clean)),
        Action::Close,
    ];
    assert_eq!(answer, end);
    let (_, last) = receive(&mut ours, "</stream:stream>anything <behind");
    assert_eq!(
        last,
        [Action::Event(Event::Ended(End::Clean)), Action::Close]
    );
    assert!(ours.is_over() && theirs.is_over() && ours.poll_timeout().is_none());
}

#[test]
fn zh_r2_ends_without_a_close_are_told_apart() {
    let eof = |link: &mut Link| {
        with(0, |env| link.receive_eof(env));
        let actions = drain(link);
        assert_eq!(actions.last(), Some(&Action::Close));
        ended(&actions).unwrap().clone()
    };
    assert_eq!(
        eof(&mut link(terms(), Role::Opener)),
        End::Cut { inside: false }
    );
    for part in ["<", "<message ", "<stream:str"] {
        let mut cut = link(terms(), Role::Opener);
        assert!(receive(&mut cut, part).0.is_ok());
        assert_eq!(eof(&mut cut), End::Cut { inside: true }, "{part}");
    }
    let mut closing = link(terms(), Role::Opener);
    with(0, |env| closing.close(env));
    drain(&mut closing);
    assert_eq!(eof(&mut closing), End::Unanswered);
    // Nobody answers: the deadline.
    let mut closing = link(terms(), Role::Opener);
    with(0, |env| closing.close(env));
    drain(&mut closing);
    with(29_999, |env| closing.handle_timeout(env));
    assert_eq!(drain(&mut closing), []);
    with(30_000, |env| closing.handle_timeout(env));
    assert_eq!(
        drain(&mut closing),
        [Action::Event(Event::Ended(End::Unanswered)), Action::Close]
    );
    // The footer is agreed away.
    let mut quiet = terms();
    quiet.send_close = false;
    let mut closing = link(quiet, Role::Opener);
    with(0, |env| closing.close(env));
    let actions = drain(&mut closing);
    assert_eq!(
        (written(&actions), ended(&actions)),
        (String::new(), Some(&End::Unanswered))
    );
}

#[test]
fn zh_25_white_space_between_stanzas_is_ignored_and_kept_up() {
    let (_, actions) = receive(
        &mut link(terms(), Role::Opener),
        &format!(" \n{IN}\r\n\t {IN} "),
    );
    assert_eq!(actions.len(), 2);
    let mut terms = terms();
    terms.presets.keepalive = Some(Duration::from_secs(60));
    let mut link = link(terms, Role::Acceptor);
    assert_eq!(
        link.poll_timeout(),
        None,
        "nothing goes out before the first stanza (ZH-02)"
    );
    with(0, |env| link.send(env, &stanza(OUT))).unwrap();
    drain(&mut link);
    for (at, due) in [
        (59_999, false),
        (60_000, true),
        (60_001, false),
        (120_000, true),
    ] {
        with(at, |env| link.handle_timeout(env));
        let expected: &[Action] = if due {
            &[Action::Transmit(" ".into())]
        } else {
            &[]
        };
        assert_eq!(drain(&mut link), expected, "{at}");
    }
    with(120_000, |env| link.close(env));
    drain(&mut link);
    assert_eq!(link.poll_timeout().unwrap().reason, Reason::Close);
}

#[test]
fn half_a_stanza_and_then_silence_times_out() {
    let mut link = link(terms(), Role::Acceptor);
    assert!(with(0, |env| link.receive(env, b"<message")).is_ok());
    assert_eq!(link.poll_timeout().unwrap().reason, Reason::Stall);
    assert!(with(100_000, |env| link.receive(env, b" from='a")).is_ok());
    with(219_999, |env| link.handle_timeout(env));
    assert!(link.is_open());
    with(220_000, |env| link.handle_timeout(env));
    let actions = drain(&mut link);
    assert_eq!(written(&actions), told(Condition::ConnectionTimeout));
    let Some(End::Failed(error)) = ended(&actions) else {
        panic!("{actions:?}")
    };
    assert_eq!(error.kind, ErrorKind::TimedOut(Reason::Stall));
    assert_eq!(with(0, |env| link.receive(env, b"x")), Err(error.clone()));
}

#[test]
fn a_whole_stanza_stops_the_deadline_of_a_half_one() {
    let mut link = link(terms(), Role::Acceptor);
    let (half, rest) = IN.split_at(20);
    assert!(receive(&mut link, half).0.is_ok());
    assert!(receive(&mut link, rest).0.is_ok());
    assert_eq!(link.poll_timeout(), None);
}

#[test]
fn zh_14_the_opener_closes_what_is_not_used_and_the_acceptor_does_not() {
    let mut terms = terms();
    terms.idle_close = Some(Duration::from_secs(10));
    assert_eq!(link(terms.clone(), Role::Acceptor).poll_timeout(), None);
    let mut link = link(terms, Role::Opener);
    with(5_000, |env| link.send(env, &stanza(OUT))).unwrap();
    with(9_000, |env| link.receive(env, IN.as_bytes())).unwrap();
    with(18_000, |env| link.receive(env, b"  ")).unwrap();
    drain(&mut link);
    with(18_999, |env| link.handle_timeout(env));
    assert!(link.is_open());
    // Something is unacknowledged: it is in use.
    with(18_999, |env| link.set_unsettled(env, true));
    assert_eq!(link.poll_timeout(), None);
    with(20_000, |env| link.set_unsettled(env, false));
    with(30_000, |env| link.handle_timeout(env));
    let actions = drain(&mut link);
    assert_eq!(actions[0], Action::Event(Event::Closing(Why::Idle)));
    assert_eq!(written(&actions), "</stream:stream>");
}

#[test]
fn zh_r5_acknowledgements_pass_where_they_were_agreed() {
    let mut link = link(acknowledging(), Role::Acceptor);
    let (_, actions) = receive(
        &mut link,
        "<r xmlns='urn:xmpp:sm:3'/><a xmlns='urn:xmpp:sm:3' h='1'/>",
    );
    let answer = nonza("a").with_attr("h", "1");
    assert_eq!(
        actions,
        [
            Action::Acknowledgement(nonza("r")),
            Action::Acknowledgement(answer.clone())
        ]
    );
    with(0, |env| link.send_acknowledgement(env, &answer)).unwrap();
    assert_eq!(
        written(&drain(&mut link)),
        "<a xmlns='urn:xmpp:sm:3' h='1'/>"
    );
    let other = with(0, |env| link.send_acknowledgement(env, &nonza("enable")));
    assert_eq!(other, Err(UsageError::NotAnAcknowledgement));
    let (kind, _) = failed(acknowledging(), "<enable xmlns='urn:xmpp:sm:3'/>");
    assert!(matches!(kind, ErrorKind::Unexpected { .. }));
    let mut without = super::link(terms(), Role::Acceptor);
    let refused = with(0, |env| without.send_acknowledgement(env, &nonza("r")));
    assert_eq!(refused, Err(UsageError::NotAnAcknowledgement));
}

#[test]
fn of_3115_the_last_acknowledgement_goes_in_front_of_the_footer() {
    let mut link = link(acknowledging(), Role::Acceptor);
    with(0, |env| link.receive(env, b"</stream:stream>")).unwrap();
    assert_eq!(
        link.poll_action(),
        Some(Action::Event(Event::Closing(Why::Peer)))
    );
    assert_eq!(
        with(0, |env| link.send(env, &stanza(OUT))),
        Err(UsageError::Closed)
    );
    with(0, |env| {
        link.send_acknowledgement(env, &nonza("a").with_attr("h", "3"))
    })
    .unwrap();
    assert_eq!(
        written(&drain(&mut link)),
        "<a xmlns='urn:xmpp:sm:3' h='3'/></stream:stream>"
    );
}

#[test]
fn zh_26_what_cannot_be_acknowledged_any_more_is_not_taken() {
    let mut link = link(acknowledging(), Role::Opener);
    with(0, |env| link.close(env));
    drain(&mut link);
    let answer = "<a xmlns='urn:xmpp:sm:3' h='1'/>";
    let (_, actions) = receive(&mut link, &format!("{IN}{answer}"));
    let expected = [
        Action::Event(Event::Late),
        Action::Acknowledgement(nonza("a").with_attr("h", "1")),
    ];
    assert_eq!(actions, expected);
}

#[test]
fn a_shutdown_tells_the_peer() {
    let mut link = link(terms(), Role::Acceptor);
    with(0, |env| link.send(env, &stanza(OUT))).unwrap();
    with(0, |env| {
        link.close_with(env, &StreamError::new(Condition::SystemShutdown))
    });
    let actions = drain(&mut link);
    assert_eq!(
        written(&actions),
        format!("{OUT}{}", told(Condition::SystemShutdown))
    );
    assert_eq!(ended(&actions), Some(&End::Aborted));
}

#[test]
fn a_stanza_is_forwarded_as_the_same_bytes_in_the_same_memory() {
    let mut inside = link(terms(), Role::Acceptor);
    let mut outside = link(mirrored(&terms()), Role::Opener);
    let (_, actions) = receive(&mut inside, IN);
    let [Action::Stanza(stanza)] = &actions[..] else {
        panic!("{actions:?}")
    };
    with(0, |env| outside.send(env, stanza)).unwrap();
    let Some(Action::Transmit(bytes)) = outside.poll_action() else {
        panic!()
    };
    assert_eq!(bytes, IN);
    assert_eq!(bytes.as_ptr(), stanza.bytes().as_ptr());
}

#[test]
fn writes_join_until_they_are_polled_for() {
    let mut link = link(terms(), Role::Opener);
    for _ in 0..3 {
        with(0, |env| link.send(env, &stanza(OUT))).unwrap();
    }
    assert_eq!(drain(&mut link), [Action::Transmit(OUT.repeat(3).into())]);
}
