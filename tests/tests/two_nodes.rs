//! Two nodes of a server that share one store: they resume each other's sessions, a token is good once on both together,
//! and no session is ever with two connections.
#![allow(clippy::unwrap_used, clippy::panic)]

use onetrip_core::isr::Rotation;
use onetrip_core::stream::{Content, Jid, Stanza};
use onetrip_core::{Answer, End, Request, Resumption};
use onetrip_tests::house::House;
use onetrip_tests::words::{
    ACCOUNT, ASK, AUTH, ENABLE, HEADER, failed, inst_resume, message, messages, resume,
};
use proptest::prelude::*;

const ROTATIONS: [Rotation; 2] = [Rotation::SingleUse, Rotation::GraceUntilConfirmed];

/// A session that was granted on the first node: its name, and its token.
fn granted(house: &mut House) -> (usize, String, String) {
    let first = house.server();
    let id = house.log_in(first);
    house.send(first, &message(1));
    let written = house.sides[first].behind(":tok='");
    let token = written.split('\'').next().unwrap().to_owned();
    (first, id, token)
}

/// Whether the client of this connection has been told that its session goes on.
fn resumed(house: &House, server: usize) -> bool {
    house.sides[server]
        .online()
        .is_some_and(|(_, resumed)| resumed)
}

/// By login and by token, with the old node knowing that its connection is gone and without.
#[test]
fn each_node_resumes_what_the_other_has_granted() {
    for instant in [false, true] {
        for noticed in [false, true] {
            let mut house = House {
                instant,
                ..House::default()
            };
            // Clients go from node to node and back.
            let mut pair = house.pair();
            for round in 1..=4 {
                for place in pair {
                    house.send(place, &message(round));
                    house.take_wire(place);
                }
                house.cut(pair[0]);
                if noticed {
                    house.cut(pair[1]);
                }
                let old = pair[1];
                pair = house.pair();
                for place in pair {
                    assert_eq!(house.sides[place].online(), Some((&house.account, true)));
                    assert_eq!(house.sides[place].stanzas(), messages([round]));
                }
                assert_eq!(house.sides[pair[0]].count("<auth "), usize::from(!instant));
                let old = house.sides[old].end();
                assert!(matches!(old, Some(End::HandedOver | End::Cut)), "{old:?}");
            }
        }
    }
}

/// Both requests are out before either is answered: whichever is decided first has the session. The other is refused,
/// logs in on the same stream, and only its owner can take the session back with it.
#[test]
fn a_token_shown_on_both_nodes_at_once_is_taken_once() {
    for rotation in ROTATIONS {
        for first in [0, 1] {
            for waits in [false, true] {
                let mut house = House::new(rotation);
                let (old, id, token) = granted(&mut house);
                if waits {
                    house.cut(old);
                }
                house.decides = false;
                let nodes = [house.server(), house.server()];
                for node in nodes {
                    let text = format!("{HEADER}{}", inst_resume(&token, 0));
                    house.give(node, text).unwrap();
                    let asked = &house.sides[node].asked;
                    assert!(matches!(asked.front(), Some(Request::InstantResume { .. })));
                }
                // Both are decided before either answer is given to its connection.
                let order = [nodes[first], nodes[1 - first]];
                let answers = order.map(|node| house.decide(node).unwrap());
                for (node, answer) in order.into_iter().zip(answers) {
                    house.give_answer(node, answer);
                }
                let [winner, loser] = order;
                assert!(
                    resumed(&house, winner) && !resumed(&house, loser),
                    "{rotation:?}"
                );
                assert_eq!(house.holders(&id), [winner]);
                let won = &house.sides[winner].written;
                assert!(won.contains("<inst-resumed ") && won.ends_with(&message(1)));
                let no = failed("urn:xmpp:isr:0", "item-not-found");
                assert!(house.sides[loser].written.ends_with(&no));
                // On the same stream: it gets the session from the winner, who is told.
                house.decides = true;
                let text = format!("{AUTH}{HEADER}{}", resume(&id, 0));
                house.give(loser, text).unwrap();
                assert!(
                    resumed(&house, loser) && house.sides[loser].written.ends_with(&message(1))
                );
                assert!(matches!(house.sides[winner].end(), Some(End::HandedOver)));
                assert_eq!(house.holders(&id), [loser]);
            }
        }
    }
}

/// Asked one behind the other, before anything confirms the new token. Used once, the second is refused, may begin anew,
/// and the first is left alone; with grace, the second may be the client whose answer was lost: it has the session, and
/// the first is told (ISR-R3).
#[test]
fn isr_r3_the_second_of_two_has_the_session_with_grace_alone() {
    for rotation in ROTATIONS {
        let mut house = House::new(rotation);
        let (_, id, token) = granted(&mut house);
        let nodes = [house.server(), house.server()];
        for node in nodes {
            let text = format!("{HEADER}{}", inst_resume(&token, 0));
            house.give(node, text).unwrap();
        }
        let won = nodes.map(|node| resumed(&house, node));
        let grace = rotation == Rotation::GraceUntilConfirmed;
        assert_eq!(won, [true, grace]);
        let [winner, loser] = if grace { [nodes[1], nodes[0]] } else { nodes };
        assert_eq!(house.holders(&id), [winner]);
        if grace {
            assert!(matches!(house.sides[loser].end(), Some(End::HandedOver)));
            continue;
        }
        let ask = ASK.replace("balcony", "orchard");
        house
            .give(loser, format!("{AUTH}{HEADER}{ask}{ENABLE}"))
            .unwrap();
        assert_ne!(house.sides[loser].session, house.sides[winner].session);
        house.give(winner, message(7)).unwrap();
        assert_eq!(house.sides[winner].stanzas(), messages([7]));
    }
}

/// Two real clients with a copy of one session each, which is what a thief comes down to: one loses the race, falls back,
/// and nothing is lost or comes twice.
#[test]
fn a_client_that_loses_the_race_falls_back_on_the_same_stream() {
    for rotation in ROTATIONS {
        let mut house = House::new(rotation);
        let pair = house.pair();
        for place in pair {
            house.send(place, &message(1));
            house.take_wire(place);
        }
        house.cut_both(pair);
        let copy = house.entity.take(&ACCOUNT.parse().unwrap()).unwrap();
        house.decides = false;
        let bytes = copy.to_bytes();
        let clients = [0, 1].map(|_| house.client_with(Resumption::from_bytes(&bytes).unwrap()));
        let nodes = [house.server(), house.server()];
        for (client, node) in clients.into_iter().zip(nodes) {
            house.deliver(client, node);
            assert_eq!(house.sides[node].asked.len(), 1);
        }
        let answers = nodes.map(|node| house.decide(node).unwrap());
        for (node, answer) in nodes.into_iter().zip(answers) {
            house.give_answer(node, answer);
        }
        house.decides = true;
        for (client, node) in clients.into_iter().zip(nodes) {
            house.talk([client, node]);
        }
        let loser = &house.sides[clients[1]];
        assert_eq!(loser.online(), Some((&house.account, true)));
        let counts = ["<stream:stream ", "<inst-resume ", "<auth ", "<resume "];
        assert_eq!(counts.map(|text| loser.count(text)), [2, 1, 1, 1]);
        // Both copies hold the stanza that was not acknowledged; the books of the session tell that it has been handled.
        let arrived: Vec<String> = nodes
            .iter()
            .flat_map(|node| house.sides[*node].stanzas())
            .collect();
        assert_eq!(arrived, messages([1]), "{rotation:?}");
    }
}

/// What happens in a random run.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A connection is made to one of the nodes, and asks for the session by one of the tokens seen, or by login.
    Ask { token: Option<u8> },
    /// The oldest question of a connection goes to the store.
    Decide(u8),
    /// Its answer comes back.
    Answer(u8),
    /// A connection is gone.
    Cut(u8),
    /// Somebody sends the client a stanza.
    Send,
    /// The client says something, which confirms its token.
    Say(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => proptest::option::of(any::<u8>()).prop_map(|token| Step::Ask { token }),
        8 => any::<u8>().prop_map(Step::Decide),
        8 => any::<u8>().prop_map(Step::Answer),
        2 => any::<u8>().prop_map(Step::Cut),
        2 => Just(Step::Send),
        2 => any::<u8>().prop_map(Step::Say),
    ]
}

struct Run {
    house: House,
    id: String,
    tokens: Vec<String>,
    /// The answers on their way from the store to a node.
    answers: Vec<(usize, Answer)>,
    sent: u32,
}

impl Run {
    fn new(rotation: Rotation) -> Self {
        let mut house = House::new(rotation);
        let (_, id, token) = granted(&mut house);
        house.decides = false;
        Self {
            house,
            id,
            tokens: vec![token],
            answers: Vec::new(),
            sent: 1,
        }
    }

    /// One of the connections that are not over.
    fn choose(&self, number: u8) -> Option<usize> {
        let open: Vec<usize> = (0..self.house.sides.len())
            .filter(|place| !self.house.sides[*place].closed)
            .collect();
        open.get(usize::from(number) % open.len().max(1)).copied()
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Ask {
                token: Some(number),
            } => {
                let token = &self.tokens[usize::from(number) % self.tokens.len()];
                let text = format!("{HEADER}{}", inst_resume(token, 0));
                self.open(&text);
            }
            Step::Ask { token: None } => {
                let text = format!("{HEADER}{AUTH}{HEADER}{}", resume(&self.id, 0));
                self.open(&text);
            }
            Step::Decide(number) => {
                if let Some(place) = self.choose(number) {
                    let answer = self.house.decide(place);
                    self.answers.extend(answer.map(|answer| (place, answer)));
                }
            }
            Step::Answer(number) => self.answer(number),
            Step::Cut(number) => {
                if let Some(place) = self.choose(number) {
                    self.house.cut(place);
                }
            }
            Step::Send => self.send(),
            Step::Say(number) => {
                if let Some(place) = self.choose(number) {
                    if self.house.sides[place].online().is_some() {
                        self.house.give(place, "<presence/>").unwrap();
                    }
                }
            }
        }
        self.learn();
    }

    fn open(&mut self, text: &str) {
        let server = self.house.server();
        self.house.give(server, text).unwrap();
    }

    fn answer(&mut self, number: u8) {
        if self.answers.is_empty() {
            return;
        }
        let at = usize::from(number) % self.answers.len();
        let (place, answer) = self.answers.remove(at);
        match answer {
            // The connection did not live to see its answer: the session comes out again, to the store.
            answer if self.house.sides[place].closed => self.house.give_late(place, answer),
            answer => self.house.give_answer(place, answer),
        }
    }

    /// A stanza for the client: over its connection, or into its session.
    fn send(&mut self) {
        let holder = self.house.holders(&self.id).first().copied();
        let next = message(self.sent + 1);
        let sent = match holder {
            Some(place) => {
                let stanza = Stanza::parse(next.as_bytes(), Content::Client).unwrap();
                let call = self
                    .house
                    .with(place, |connection, env| connection.send(env, &stanza));
                call.is_ok()
            }
            None => {
                let owner: Jid = ACCOUNT.parse().unwrap();
                self.house.registry.push(&owner, next.into())
            }
        };
        self.sent += u32::from(sent);
    }

    fn learn(&mut self) {
        for side in &self.house.sides {
            for answer in side.written.split("<inst-resumed ").skip(1) {
                let token = answer.split("tok='").nth(1).unwrap();
                let token = token.split('\'').next().unwrap().to_owned();
                if !self.tokens.contains(&token) {
                    self.tokens.push(token);
                }
            }
        }
    }

    /// In how many places the session is: with a connection, on its way to one, or in the store.
    fn places(&self) -> usize {
        let travelling = |(_, answer): &&(usize, Answer)| matches!(answer, Answer::Session(_));
        self.house.holders(&self.id).len()
            + self.answers.iter().filter(travelling).count()
            + self.house.waiting()
    }

    fn finish(mut self) -> Result<(), TestCaseError> {
        while !self.answers.is_empty() {
            self.answer(0);
        }
        self.house.decides = true;
        let last = self.house.server();
        let text = format!("{HEADER}{AUTH}{HEADER}{}", resume(&self.id, 0));
        self.house.give(last, text).unwrap();
        prop_assert!(resumed(&self.house, last));
        // Nothing was acknowledged: all of it comes, once and in order.
        let replay = self.house.sides[last].behind("<resumed ").to_owned();
        let arrived: Vec<String> = replay
            .split("<message")
            .skip(1)
            .map(|rest| format!("<message{}", rest.split("/>").next().unwrap_or_default()) + "/>")
            .collect();
        prop_assert_eq!(arrived, messages(1..=self.sent));
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    /// However requests, decisions, answers and cuts follow one another over the two nodes, the session is in one place,
    /// and whole.
    #[test]
    fn a_session_is_never_with_two_connections(
        steps in proptest::collection::vec(step(), 1..60),
        grace in any::<bool>(),
    ) {
        let mut run = Run::new(ROTATIONS[usize::from(grace)]);
        for step in steps {
            run.step(step);
            prop_assert_eq!(run.places(), 1, "{:?}", step);
        }
        run.finish()?;
    }
}
