//! What a peer must not write, and what is said to that.

use super::*;

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
