//! An answer that does not fit what was asked changes nothing: the right one is still taken, and what it held is not lost.
#![allow(clippy::unwrap_used, clippy::panic)]

use onetrip_core::fast;
use onetrip_core::negotiation::sasl;
use onetrip_core::stream_management as sm;
use onetrip_core::{Action, Answer, Request, UsageError};
use onetrip_tests::house::{House, Text};

/// One answer of each kind that holds nothing.
fn answers() -> Vec<(&'static str, Answer)> {
    let refusal = sasl::Refusal::NotAuthorized;
    vec![
        ("sasl", Answer::Sasl(sasl::Answer::Refuse(refusal))),
        ("enable", Answer::Enable(None)),
        ("session", Answer::NoSession { h: None }),
        (
            "key",
            Answer::KeySwap(Err(onetrip_core::isr::Refused::Unknown)),
        ),
        (
            "issue",
            Answer::FastIssued(fast::DateTime::from_unix_seconds(0)),
        ),
        ("swap", Answer::FastSwap(Err(fast::Refused::Unknown))),
    ]
}

fn kind(request: &Request) -> &'static str {
    match request {
        Request::Sasl { .. } => "sasl",
        Request::Bind { .. } => "bind",
        Request::Enable { .. } => "enable",
        Request::Resume { .. } | Request::InstantResume { .. } => "session",
        Request::KeySwap { .. } => "key",
        Request::FastIssue(_) => "issue",
        Request::FastSwap(_) => "swap",
        other => panic!("{other:?}"),
    }
}

/// Logs in, is cut off and comes back, with every other kind of answer before each right one; which requests there were.
fn stubborn(house: &mut House) -> Vec<&'static str> {
    house.decides = false;
    let mut seen = Vec::new();
    for _ in 0..2 {
        let pair = [house.client(), house.server()];
        for _ in 0..100 {
            let moved = house.deliver(pair[0], pair[1]) + house.deliver(pair[1], pair[0]);
            let Some(asked) = house.sides[pair[1]].asked.front() else {
                if moved == 0 {
                    break;
                }
                continue;
            };
            let asked = kind(asked);
            seen.push(asked);
            for (_, wrong) in answers().into_iter().filter(|(kind, _)| *kind != asked) {
                let result = house.with(pair[1], |connection, env| connection.answer(env, wrong));
                assert_eq!(result, Err(UsageError::NotAsked), "at {asked}");
            }
            assert!(house.answer(pair[1]), "at {asked}");
        }
        assert!(house.sides[pair[0]].online().is_some());
        house.cut_both(pair);
    }
    seen
}

#[test]
fn wrong_answers_to_a_login_and_to_a_session_change_nothing() {
    let seen = stubborn(&mut House::default());
    assert_eq!(seen, ["sasl", "bind", "enable", "session"]);
}

#[test]
fn wrong_answers_to_a_login_by_token_change_nothing() {
    let mut house = House {
        instant: false,
        later: true,
        fast: true,
        ..House::default()
    };
    let seen = stubborn(&mut house);
    assert_eq!(seen, ["sasl", "bind", "enable", "issue", "swap", "session"]);
}

#[test]
fn wrong_answers_to_the_proof_of_a_key_change_nothing() {
    for text in Text::BOTH {
        let seen = stubborn(&mut House::keyed(text, Default::default()));
        assert_eq!(
            seen,
            ["sasl", "bind", "enable", "key", "session"],
            "{text:?}"
        );
    }
}

#[test]
fn a_session_that_nobody_asked_for_here_comes_out_again() {
    let mut house = House {
        decides: false,
        ..House::default()
    };
    let server = house.server();
    let owner = house.account.clone();
    let none = sm::Count::default();
    let session = sm::Session::new("some-id", &owner, none, none, Vec::new());
    let result = house.with(server, |connection, env| {
        let result = connection.answer(env, Answer::Session(Box::new(session)));
        let back = std::iter::from_fn(|| connection.poll_action());
        assert!(
            back.into_iter()
                .any(|action| matches!(action, Action::Entity(_)))
        );
        result
    });
    assert_eq!(result, Err(UsageError::NotAsked));
}
