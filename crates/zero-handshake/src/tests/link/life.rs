//! How a link ends, and what keeps it alive until then.

use super::*;

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

/// What has arrived can still be acknowledged when the application has dealt with it, for as long as the close may take.
#[test]
fn zh_r5_the_footer_waits_for_what_is_unhandled() {
    for late in [false, true] {
        let mut link = link(terms(), Role::Acceptor);
        link.set_unhandled(true);
        let (_, actions) = receive(&mut link, &format!("{IN}</stream:stream>"));
        let closing = Action::Event(Event::Closing(Why::Peer));
        assert_eq!(actions, [Action::Stanza(stanza(IN)), closing]);
        with(29_999, |env| link.handle_timeout(env));
        assert_eq!(drain(&mut link), []);
        if late {
            with(30_000, |env| link.handle_timeout(env));
        } else {
            link.set_unhandled(false);
        }
        let end = [
            Action::Transmit("</stream:stream>".into()),
            Action::Event(Event::Ended(End::Clean)),
            Action::Close,
        ];
        assert_eq!(drain(&mut link), end);
    }
    // Where the close was ours, the peer has its time for the answer behind that.
    let mut link = link(terms(), Role::Opener);
    link.set_unhandled(true);
    with(0, |env| link.close(env));
    drain(&mut link);
    with(30_000, |env| link.handle_timeout(env));
    assert_eq!(written(&drain(&mut link)), "</stream:stream>");
    assert!(!link.is_over());
    with(60_000, |env| link.handle_timeout(env));
    assert!(link.is_over());
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
