//! More than a mechanism: tasks within a login by SASL2 (XEP-0388 §2.6.3), at both ends.
#![allow(clippy::unwrap_used, clippy::panic)]

use minidom::Element;
use onetrip_core::negotiation::sasl::Mechanism;
use onetrip_core::negotiation::{sasl, sasl2};
use onetrip_core::quickstart::Level;
use onetrip_core::stream::Condition;
use onetrip_core::{
    Answer, End, Event, Request, TaskPrompt, TaskReply, TaskStep, TaskVerdict, UsageError,
};
use onetrip_tests::house::House;
use onetrip_tests::words::{HEADER, RESPONSE, message, messages};

const PASSWORD: &str = "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>AGp1bGlldABzZWNyZXQ=</initial-response></authenticate>";
const CONTINUE: &str =
    "<continue xmlns='urn:xmpp:sasl:2'><tasks><task>HOTP</task></tasks></continue>";

/// Both know SASL2, and nobody decides by itself.
fn house() -> House {
    House {
        instant: false,
        later: true,
        decides: false,
        ..House::default()
    }
}

/// A client that can do these tasks, and a server that asks whether any are to be done.
fn pair(house: &mut House, tasks: &[&str]) -> [usize; 2] {
    let mut config = house.client_config();
    if let Some(login) = &mut config.sasl2 {
        login.tasks = tasks.iter().map(|task| (*task).to_owned()).collect();
    }
    let client = house.client_of(config);
    [client, server(house)]
}

fn server(house: &mut House) -> usize {
    let mut config = house.server_config();
    if let Some(offer) = &mut config.sasl2 {
        offer.tasks = true;
    }
    house.server_as(config)
}

/// Everything is said and decided, but what is about tasks.
fn settle(house: &mut House, pair: [usize; 2]) {
    for _ in 0..100 {
        let mut moved = house.deliver(pair[0], pair[1]) + house.deliver(pair[1], pair[0]);
        for side in pair {
            let about_tasks = |asked: &Request| {
                matches!(asked, Request::TaskPrompt(_) | Request::TaskStep { .. })
            };
            while house.sides[side]
                .asked
                .front()
                .is_some_and(|asked| !about_tasks(asked))
            {
                moved += usize::from(house.answer(side));
            }
        }
        if moved == 0 {
            return;
        }
    }
    panic!("they never stop");
}

fn prompt(house: &mut House, client: usize) -> TaskPrompt {
    match house.sides[client].asked.pop_front() {
        Some(Request::TaskPrompt(prompt)) => prompt,
        other => panic!("{other:?}"),
    }
}

fn step(house: &mut House, server: usize) -> TaskStep {
    match house.sides[server].asked.pop_front() {
        Some(Request::TaskStep { account, step }) => {
            assert_eq!(account.to_string(), "juliet@capulet.test");
            step
        }
        other => panic!("{other:?}"),
    }
}

fn reply(house: &mut House, pair: [usize; 2], reply: TaskReply) {
    house.give_answer(pair[0], Answer::TaskReply(reply));
    settle(house, pair);
}

fn decide(house: &mut House, pair: [usize; 2], verdict: TaskVerdict) {
    house.give_answer(pair[1], Answer::TaskVerdict(verdict));
    settle(house, pair);
}

fn code(digits: &str) -> Vec<Element> {
    let element = format!("<code xmlns='urn:test:hotp'>{digits}</code>");
    vec![element.parse().unwrap()]
}

fn demand(tasks: &[&str]) -> TaskVerdict {
    TaskVerdict::Demand {
        tasks: tasks.iter().map(|task| (*task).to_owned()).collect(),
        text: Some("one more thing".to_owned()),
    }
}

fn begin(task: &str) -> TaskReply {
    TaskReply::Begin {
        task: task.to_owned(),
        children: code("1"),
    }
}

/// Up to where the client is asked which task it does.
fn demanded(house: &mut House) -> [usize; 2] {
    let pair = pair(house, &["HOTP", "TERMS"]);
    settle(house, pair);
    assert_eq!(step(house, pair[1]), TaskStep::Proved(Mechanism::Plain));
    decide(house, pair, demand(&["FIDO", "HOTP"]));
    pair
}

#[test]
fn one_task_after_another_and_then_all_that_rides_along() {
    let mut house = house();
    let pair = demanded(&mut house);
    let asked = prompt(&mut house, pair[0]);
    let TaskPrompt::Choose { tasks, text } = asked else {
        panic!("{asked:?}")
    };
    assert_eq!(tasks, ["HOTP"], "those that it knows");
    assert_eq!(text.as_deref(), Some("one more thing"));
    reply(&mut house, pair, begin("HOTP"));
    let begun = TaskStep::Begun {
        task: "HOTP".to_owned(),
        children: code("1"),
    };
    assert_eq!(step(&mut house, pair[1]), begun);
    decide(&mut house, pair, TaskVerdict::Data(code("2")));
    assert_eq!(prompt(&mut house, pair[0]), TaskPrompt::Data(code("2")));
    reply(&mut house, pair, TaskReply::Data(code("3")));
    assert_eq!(step(&mut house, pair[1]), TaskStep::Data(code("3")));
    decide(&mut house, pair, demand(&["TERMS"]));
    prompt(&mut house, pair[0]);
    reply(&mut house, pair, begin("TERMS"));
    step(&mut house, pair[1]);
    let written = &house.sides[pair[1]].written;
    assert!(!written.contains("<success") && !written.contains("<bound"));
    assert!(
        house.sides[pair[1]].session.is_none(),
        "nothing is carried out yet"
    );
    decide(&mut house, pair, TaskVerdict::Done);
    for side in pair {
        assert!(house.sides[side].online().is_some());
    }
    assert!(house.sides[pair[0]].granted().is_some());
    house.send(pair[0], &message(1));
    settle(&mut house, pair);
    assert_eq!(house.sides[pair[1]].stanzas(), messages([1]));
}

/// Whoever decides may see that nothing is to be done; a session goes on as without.
#[test]
fn no_task_is_demanded_of_somebody_that_needs_none() {
    let mut house = house();
    for resumed in [false, true] {
        let pair = pair(&mut house, &[]);
        settle(&mut house, pair);
        step(&mut house, pair[1]);
        decide(&mut house, pair, TaskVerdict::Done);
        assert_eq!(house.sides[pair[0]].online().unwrap().1, resumed);
        assert_eq!(house.sides[pair[1]].count("<continue"), 0);
        house.cut_both(pair);
    }
}

/// Digest §5: it must not break anything. The client gives the login up, and says so to both.
#[test]
fn a_task_that_nobody_knows_ends_the_login_cleanly() {
    let mut house = house();
    let pair = pair(&mut house, &["TERMS"]);
    settle(&mut house, pair);
    step(&mut house, pair[1]);
    decide(&mut house, pair, demand(&["HOTP"]));
    let [client, server] = pair.map(|side| &house.sides[side]);
    assert_eq!(client.count("<abort xmlns='urn:xmpp:sasl:2'/>"), 1);
    assert!(server.written.contains("<aborted"), "{}", server.written);
    let mut told = client.events.iter();
    let unknown =
        |event: &Event| matches!(event, Event::UnknownTasks { offered } if offered == &["HOTP"]);
    assert!(told.any(unknown));
    let refused = |event: &Event| matches!(event, Event::AuthenticationRefused(_));
    assert!(told.any(refused), "behind it");
    assert!(client.online().is_none() && server.online().is_none());
    assert!(matches!(client.end(), Some(End::Refused)));
}

#[test]
fn either_side_may_end_it() {
    for by_client in [true, false] {
        let mut house = house();
        let pair = demanded(&mut house);
        prompt(&mut house, pair[0]);
        if by_client {
            reply(&mut house, pair, TaskReply::Abort);
        } else {
            reply(&mut house, pair, begin("HOTP"));
            step(&mut house, pair[1]);
            let failure = sasl2::Failure::new(sasl::Refusal::CredentialsExpired);
            decide(&mut house, pair, TaskVerdict::Refuse(failure));
        }
        let [client, server] = pair.map(|side| &house.sides[side]);
        let condition = if by_client {
            "<aborted"
        } else {
            "<credentials-expired"
        };
        assert!(server.written.contains(condition), "{}", server.written);
        let refused = |event: &Event| matches!(event, Event::AuthenticationRefused(_));
        assert!(client.events.iter().any(refused));
        assert!(client.online().is_none() && server.online().is_none());
        assert_eq!(server.count("<success"), 0);
    }
}

/// The contract: an answer to something else changes nothing.
#[test]
fn an_answer_that_does_not_fit_changes_nothing() {
    let mut house = house();
    let pair = pair(&mut house, &["HOTP"]);
    settle(&mut house, pair);
    let refuses = |house: &mut House, side: usize, answer: Answer| {
        let told = house.with(side, |connection, env| connection.answer(env, answer));
        assert_eq!(told, Err(UsageError::NotAsked));
    };
    refuses(
        &mut house,
        pair[1],
        Answer::TaskVerdict(TaskVerdict::Data(code("1"))),
    );
    refuses(&mut house, pair[1], Answer::TaskReply(TaskReply::Abort));
    step(&mut house, pair[1]);
    decide(&mut house, pair, demand(&["HOTP"]));
    refuses(&mut house, pair[1], Answer::TaskVerdict(TaskVerdict::Done));
    for wrong in [begin("FIDO"), TaskReply::Data(code("1"))] {
        refuses(&mut house, pair[0], Answer::TaskReply(wrong));
    }
    prompt(&mut house, pair[0]);
    reply(&mut house, pair, begin("HOTP"));
    refuses(&mut house, pair[0], Answer::TaskReply(TaskReply::Abort));
    step(&mut house, pair[1]);
    decide(&mut house, pair, TaskVerdict::Data(code("2")));
    refuses(&mut house, pair[0], Answer::TaskReply(begin("HOTP")));
    prompt(&mut house, pair[0]);
    reply(&mut house, pair, TaskReply::Data(code("3")));
    step(&mut house, pair[1]);
    decide(&mut house, pair, TaskVerdict::Done);
    assert!(house.sides[pair[0]].online().is_some());
}

/// What comes while somebody decides waits for it (QS-26).
#[test]
fn what_comes_meanwhile_waits() {
    let mut house = house();
    let server = server(&mut house);
    house.give(server, format!("{HEADER}{PASSWORD}")).unwrap();
    assert!(house.answer(server), "the password");
    step(&mut house, server);
    house.give_answer(server, Answer::TaskVerdict(demand(&["HOTP"])));
    let both = "<next xmlns='urn:xmpp:sasl:2' task='HOTP'/><task-data xmlns='urn:xmpp:sasl:2'/>";
    house.give(server, both).unwrap();
    assert!(matches!(step(&mut house, server), TaskStep::Begun { .. }));
    assert!(house.sides[server].asked.is_empty());
    house.give_answer(server, Answer::TaskVerdict(TaskVerdict::Data(Vec::new())));
    assert_eq!(step(&mut house, server), TaskStep::Data(Vec::new()));
}

/// Openfire#3496: nothing comes between the steps, and nothing out of turn.
#[test]
fn what_does_not_belong_between_the_steps_ends_the_stream() {
    for text in [
        "<message/>",
        "<iq type='get' id='1'/>",
        "<r xmlns='urn:xmpp:sm:3'/>",
        "<response xmlns='urn:xmpp:sasl:2'/>",
        "<task-data xmlns='urn:xmpp:sasl:2'/>",
    ] {
        let mut house = house();
        let pair = demanded(&mut house);
        let error = house.give(pair[1], text).unwrap_err();
        house.assert_failed(pair[1], &error, Condition::PolicyViolation, "XEP-0388 §2.4");
        assert!(house.sides[pair[1]].online().is_none(), "{text}");
    }
    // A task that was not demanded is an ordinary refusal.
    let mut house = house();
    let pair = demanded(&mut house);
    let next = "<next xmlns='urn:xmpp:sasl:2' task='TERMS'/>";
    house.give(pair[1], next).unwrap();
    assert!(house.sides[pair[1]].written.contains("<malformed-request"));
    assert!(house.sides[pair[1]].asked.is_empty());
}

#[test]
fn a_client_believes_nothing_of_a_server_that_speaks_out_of_turn() {
    let features = "<stream:features><authentication xmlns='urn:xmpp:sasl:2'><mechanism>PLAIN</mechanism></authentication></stream:features>";
    for text in [
        "<continue xmlns='urn:xmpp:sasl:2'/>",
        "<continue xmlns='urn:xmpp:sasl:2'><tasks/></continue>",
        "<task-data xmlns='urn:xmpp:sasl:2'/>",
    ] {
        let mut house = house();
        let [client, _] = pair(&mut house, &["HOTP"]);
        let text = format!("{RESPONSE}{features}{text}");
        let error = house.give(client, text).unwrap_err();
        assert_eq!(error.source_section().split(' ').next(), Some("XEP-0388"));
    }
    // It has waited for the answer to what came before it.
    let mut house = house();
    let [client, _] = pair(&mut house, &["HOTP"]);
    let text = format!("{RESPONSE}{features}{CONTINUE}{}", message(1));
    house.give(client, text).unwrap();
    prompt(&mut house, client);
    house.give_answer(client, Answer::TaskReply(begin("HOTP")));
    let side = &house.sides[client];
    assert!(side.closed && side.stanzas().is_empty());
    assert!(matches!(side.end(), Some(End::Failed(_))));
}

/// XEP-0484 §3.1, §3.3: a token comes behind every task, and with one there are none.
#[test]
fn a_token_comes_behind_the_tasks_and_spares_them() {
    let mut house = house();
    house.level = Level::Safe;
    house.fast = true;
    let pair = demanded(&mut house);
    prompt(&mut house, pair[0]);
    reply(&mut house, pair, begin("HOTP"));
    assert!(house.registry.logins().is_empty());
    step(&mut house, pair[1]);
    decide(&mut house, pair, TaskVerdict::Done);
    assert_eq!(house.registry.logins().len(), 1);
    house.with(pair[0], |connection, env| connection.close(env));
    settle(&mut house, pair);
    let again = [house.client(), server(&mut house)];
    settle(&mut house, again);
    assert!(house.sides[again[0]].online().is_some(), "nobody was asked");
    assert_eq!(
        house.sides[again[0]].count("mechanism='HT-SHA-256-NONE'"),
        1
    );
}
