//! What a server decides when it is asked: by its registry, or as the test says.

use onetrip_core::negotiation::sasl;
use onetrip_core::stream::Env;
use onetrip_core::{Answer, Decision, Request};

use super::{House, Side};

impl House {
    /// The answer to the oldest question of a connection, by the server's own rules.
    pub fn decide(&mut self, place: usize) -> Option<Answer> {
        let request = self.sides[place].asked.pop_front()?;
        Some(self.decision(request))
    }

    /// Answers the oldest question of a connection.
    pub fn answer(&mut self, place: usize) -> bool {
        let Some(answer) = self.decide(place) else {
            return false;
        };
        self.give_answer(place, answer);
        true
    }

    /// Gives an answer that was decided before.
    pub fn give_answer(&mut self, place: usize, answer: Answer) {
        self.note(place, &answer);
        self.with(place, |connection, env| connection.answer(env, answer))
            .expect("it was asked");
    }

    /// The same when the connection may be over: what is not taken comes out again.
    pub fn give_late(&mut self, place: usize, answer: Answer) {
        let _ = self.with(place, |connection, env| connection.answer(env, answer));
    }

    pub(super) fn decision(&mut self, request: Request) -> Answer {
        let env = &mut Env::new(self.now, &mut self.entropy);
        match request {
            Request::Sasl {
                request:
                    sasl::Request::Password {
                        username, password, ..
                    },
                ..
            } if password.expose() == b"secret" => {
                Answer::Sasl(sasl::Answer::Accept { identity: username })
            }
            Request::Sasl {
                request: sasl::Request::Keys { hash, .. },
                ..
            } => {
                let salt = b"salt".to_vec();
                let keys = sasl::StoredKeys::from_password(hash, "secret", salt, 4096);
                Answer::Sasl(sasl::Answer::Keys(keys.expect("a password")))
            }
            Request::Derive(derivation) => Answer::Derived(derivation.perform()),
            Request::Sasl { .. } => {
                Answer::Sasl(sasl::Answer::Refuse(sasl::Refusal::NotAuthorized))
            }
            Request::Bind { account, request } => Answer::Bind(request.grant(&account, env)),
            request => match self.registry.decide(env, &request) {
                Some(Decision::Answer(answer)) => answer,
                Some(Decision::Fetch { session, .. }) => self.fetch(&session),
                None => panic!("{request:?}"),
            },
        }
    }

    pub(super) fn note(&mut self, place: usize, answer: &Answer) {
        match answer {
            Answer::Session(session) => self.sides[place].session = Some(session.id.clone()),
            Answer::Enable(Some(granted)) => self.sides[place].session.clone_from(&granted.id),
            _ => {}
        }
    }

    /// Takes a session from the connection that has it.
    fn fetch(&mut self, name: &str) -> Answer {
        let session = self
            .holders(name)
            .into_iter()
            .find_map(|place| self.with(place, |connection, env| connection.hand_over(env)));
        session.map_or(Answer::NoSession { h: None }, Answer::Session)
    }

    /// The server's connections that have this session and are not over: never more than one.
    #[must_use]
    pub fn holders(&self, name: &str) -> Vec<usize> {
        let has = |side: &Side| !side.closed && side.session.as_deref() == Some(name);
        (0..self.sides.len())
            .filter(|place| has(&self.sides[*place]))
            .collect()
    }
}
