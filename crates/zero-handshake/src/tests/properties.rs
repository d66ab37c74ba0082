//! What holds for any input: splits change nothing, and nothing passes that was not agreed.

use proptest::prelude::*;

use super::*;
use crate::{Acknowledgements, ErrorKind, Invalid, OnInvalid};

/// Pieces of a peer's stream, good and bad.
fn piece() -> impl Strategy<Value = String> {
    let address = prop_oneof![
        3 => Just("air.example"),
        2 => Just("pilot@muc.air.example/x"),
        3 => Just("ground.example"),
        2 => Just("ops@muc.ground.example"),
        1 => Just("a@mallory.example"),
        1 => Just("a@sub.air.example"),
        1 => Just("@"),
    ];
    let stanza = (address.clone(), address).prop_map(|(from, to)| message(from, to));
    prop_oneof![
        8 => Just(IN.to_owned()),
        6 => stanza,
        2 => Just(" \r\n".to_owned()),
        1 => Just("<r xmlns='urn:xmpp:sm:3'/>".to_owned()),
        1 => Just("<?xml version='1.0'?>".to_owned()),
        1 => Just(
            "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams'>".to_owned()
        ),
        1 => Just("<s:stream xmlns:s='http://etherx.jabber.org/streams'>".to_owned()),
        1 => Just("</stream:stream>".to_owned()),
        1 => Just("<bidi xmlns='urn:xmpp:bidi'/>".to_owned()),
        1 => Just("<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>".to_owned()),
        1 => Just("<db:result>".to_owned()),
        1 => Just("<!--".to_owned()),
        1 => "[<>a-c:?!/ ]{0,6}",
    ]
}

fn any_terms() -> impl Strategy<Value = Terms> {
    let on_invalid = prop_oneof![
        Just(OnInvalid::StreamError),
        Just(OnInvalid::Drop),
        Just(OnInvalid::Bounce)
    ];
    (on_invalid, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(invalid, acks, open, close)| {
            let mut terms = terms();
            terms.on_invalid = invalid;
            terms.presets.acknowledgements = acks.then(Acknowledgements::default);
            (terms.tolerate_stream_open, terms.send_close) = (open, close);
            terms
        },
    )
}

/// Gives the bytes in, in the given sizes, and tells everything that came out. Writes are joined, since how often the
/// caller polls in between is not the peer's doing.
fn run(
    terms: &Terms,
    role: Role,
    bytes: &[u8],
    sizes: &[usize],
) -> (Vec<Action>, String, Option<Error>) {
    let mut link = link(terms.clone(), role);
    let (mut actions, mut sizes, mut rest) = (Vec::new(), sizes.iter().cycle(), bytes);
    let mut error = None;
    while !rest.is_empty() {
        let (now, later) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
        rest = later;
        match with(0, |env| link.receive(env, now)) {
            Ok(used) => assert_eq!(used, now.len()),
            Err(found) => {
                assert!(error.is_none() || error == Some(found.clone()), "repeated");
                error = Some(found);
            }
        }
        actions.extend(drain(&mut link));
    }
    let text = written(&actions);
    actions.retain(|action| !matches!(action, Action::Transmit(_)));
    (actions, text, error)
}

/// Whether a stanza is of an agreed pair.
fn agreed(
    from: &Option<onetrip_stream::Text>,
    to: &Option<onetrip_stream::Text>,
    theirs: &str,
    ours: &str,
) -> bool {
    let of = |address: &Option<onetrip_stream::Text>, side: &str| {
        let jid: onetrip_stream::Jid = address.as_ref().unwrap().parse().unwrap();
        [side.to_owned(), format!("muc.{side}")].contains(&jid.domain().to_string())
    };
    of(from, theirs) && of(to, ours)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_split_of_the_same_bytes_gives_the_same_actions(
        terms in any_terms(),
        opener in any::<bool>(),
        pieces in prop::collection::vec(piece(), 0..6),
        sizes in prop::collection::vec(1_usize..40, 1..6),
    ) {
        let role = if opener { Role::Opener } else { Role::Acceptor };
        let bytes = pieces.concat().into_bytes();
        let whole = run(&terms, role, &bytes, &[usize::MAX]);
        prop_assert_eq!(&run(&terms, role, &bytes, &[1]), &whole);
        prop_assert_eq!(&run(&terms, role, &bytes, &sizes), &whole);
    }

    #[test]
    fn zh_08_nothing_comes_out_or_goes_out_that_was_not_agreed(
        terms in any_terms(),
        pieces in prop::collection::vec(piece(), 0..10),
    ) {
        let mut link = link(terms.clone(), Role::Acceptor);
        for piece in &pieces {
            // What was not agreed going in is also offered going out.
            if let Ok(stanza) = onetrip_stream::Stanza::parse(piece.as_bytes(), Content::Server) {
                let (open, head) = (link.is_open(), stanza.head());
                let sent = with(0, |env| link.send(env, &stanza)).is_ok();
                let parses = [&head.from, &head.to].iter().all(|a| {
                    a.as_ref().is_some_and(|a| a.parse::<onetrip_stream::Jid>().is_ok())
                });
                let may = open && parses && agreed(&head.from, &head.to, "ground.example", "air.example");
                prop_assert_eq!(sent, may, "{}", piece);
            }
            let _ = with(0, |env| link.receive(env, piece.as_bytes()));
            for action in drain(&mut link) {
                match action {
                    Action::Stanza(stanza) => {
                        let head = stanza.head();
                        prop_assert!(agreed(&head.from, &head.to, "air.example", "ground.example"));
                    }
                    Action::Bounce { answer, .. } => {
                        let head = answer.head();
                        prop_assert_eq!(terms.on_invalid, OnInvalid::Bounce);
                        prop_assert!(agreed(&head.from, &head.to, "ground.example", "air.example"));
                    }
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn garbage_never_panics_and_is_held_only_within_limits(
        terms in any_terms(),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut link = link(terms, Role::Acceptor);
        let _ = with(0, |env| link.receive(env, &bytes));
        prop_assert!(link.buffered() <= bytes.len());
        drain(&mut link);
        with(0, |env| link.receive_eof(env));
        drain(&mut link);
        prop_assert!(link.is_over());
    }
}

#[test]
fn an_endless_stanza_is_cut_off_at_the_limit() {
    for start in ["<message a='", "<message><body>", "<message ", "<"] {
        let mut terms = terms();
        terms.presets.max_stanza_size = Some(10_000);
        let mut link = link(terms, Role::Acceptor);
        let filler = if start.ends_with(' ') { " " } else { "x" };
        let bytes = start.to_owned() + &filler.repeat(300_000);
        let error = with(0, |env| link.receive(env, bytes.as_bytes())).unwrap_err();
        assert!(error.offset <= 10_000, "{start}: {error:?}");
        assert!(!matches!(error.kind, ErrorKind::Invalid(Invalid::From)));
    }
}
