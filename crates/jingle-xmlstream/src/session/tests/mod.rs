//! Two ends of a session and what is between them, for the tests.

mod flows;
mod properties;
mod refusals;

use core::time::Duration;
use std::collections::VecDeque;

use minidom::Element;
use onetrip_stream::{Build as _, Instant, Jid, Stanza, ns};
use proptest::prelude::*;

use super::*;
use crate::iq::{self, testing::*};
use crate::s5b::{Candidate, CandidateKind};
use crate::xtls::{Fingerprint, Hash, TlsRole, Verification, XtlsError};
use crate::{Capabilities, Dialect, Refusal, s5b};

const NOW: Instant = Instant::EPOCH;

fn certificate(end: usize) -> Vec<u8> {
    vec![b'c', u8::try_from(end).unwrap()]
}

fn config(end: usize) -> Config {
    let mut config = Config::new(Some(certificate(end)));
    config.security.allow_sha1_fingerprint = true;
    config
}

fn insecure() -> Config {
    let mut config = Config::new(None);
    config.security.allow_insecure = true;
    config
}

fn candidates(end: usize) -> Vec<Candidate> {
    let jid = if end == 0 { romeo() } else { juliet() };
    vec![Candidate::new(
        format!("c{end}"),
        CandidateKind::Direct,
        jid,
        format!("host{end}.lit"),
        5086,
        0,
    )]
}

fn address(end: usize) -> Jid {
    if end == 0 { romeo() } else { juliet() }
}

fn begin(config: Config) -> Session {
    at(0, 1, |env| {
        Session::initiate(config, env, romeo(), juliet(), None, candidates(0))
    })
    .unwrap()
}

fn receive(config: Config, stanza: &Stanza) -> Result<Session, Option<Box<Stanza>>> {
    at(0, 99, |env| {
        Session::incoming(config, env, juliet(), stanza, true)
    })
}

fn actions(session: &mut Session) -> Vec<Action> {
    core::iter::from_fn(|| session.poll_action()).collect()
}

/// Two ends and what is between them: servers that stamp and deliver, connections that work or do not, TLS.
struct Pair {
    ends: [Session; 2],
    /// What is on its way to each.
    wire: [VecDeque<Stanza>; 2],
    log: [Vec<Action>; 2],
    reachable: bool,
    now: Instant,
}

impl Pair {
    fn new(configs: [Config; 2]) -> Self {
        let [first, second] = configs;
        let mut initiator = begin(first);
        let Some(Action::Send(initiate)) = initiator.poll_action() else {
            panic!()
        };
        let responder = receive(second, &stamped(&initiate, &romeo())).unwrap();
        Self {
            ends: [initiator, responder],
            wire: [VecDeque::new(), VecDeque::new()],
            log: [Vec::new(), Vec::new()],
            reachable: true,
            now: NOW,
        }
    }

    fn accept(&mut self) {
        let now = self.now;
        self.ends[1].accept(now, candidates(1));
    }

    fn deliver(&mut self, end: usize, stanza: &Stanza) {
        let now = self.now;
        self.ends[end].handle(now, stanza);
    }

    /// Carries out what both ends want, stanzas apart.
    fn act(&mut self) {
        for end in 0..2 {
            for action in actions(&mut self.ends[end]) {
                match &action {
                    Action::Send(stanza) => {
                        self.wire[end ^ 1].push_back(stamped(stanza, &address(end)));
                    }
                    Action::Connect { attempt, .. } if self.reachable => {
                        self.ends[end ^ 1].s5b(self.now, s5b::Input::Accepted);
                        self.ends[end].s5b(self.now, s5b::Input::Connected(*attempt));
                    }
                    Action::Connect { attempt, .. } => {
                        self.ends[end].s5b(self.now, s5b::Input::Failed(*attempt));
                    }
                    _ => {}
                }
                self.log[end].push(action);
            }
        }
        let has = |log: &[Action], wanted: fn(&Action) -> bool| log.iter().any(wanted);
        if self
            .log
            .iter()
            .all(|log| has(log, |one| matches!(one, Action::OpenIbb(_))))
        {
            self.ends.iter_mut().for_each(Session::ibb_opened);
        }
        if self
            .log
            .iter()
            .all(|log| has(log, |one| matches!(one, Action::StartTls(_))))
        {
            for end in 0..2 {
                self.ends[end].tls_established(Some(&certificate(end ^ 1)));
            }
        }
    }

    fn run(&mut self) {
        for _ in 0..100 {
            self.act();
            let Some(end) = (0..2).find(|end| !self.wire[*end].is_empty()) else {
                return;
            };
            let stanza = self.wire[end].pop_front().unwrap();
            self.deliver(end, &stanza);
        }
        panic!("they never come to rest");
    }

    fn events(&self, end: usize) -> Vec<Event> {
        let events = self.log[end].iter().filter_map(|action| match action {
            Action::Event(event) => Some(event.clone()),
            _ => None,
        });
        events.collect()
    }

    fn said(&self, end: usize) -> Vec<String> {
        said(&self.log[end])
    }
}

/// The actions and stanza errors that were said, without mere results.
fn said(actions: &[Action]) -> Vec<String> {
    let stanzas = actions.iter().filter_map(|action| match action {
        Action::Send(stanza) => Some(stanza),
        _ => None,
    });
    stanzas
        .filter(|stanza| kind(stanza) != "result")
        .map(|stanza| {
            let child = stanza.payloads().next().unwrap();
            match child.attr("action") {
                Some(action) => action.to_owned(),
                None => refusal(stanza),
            }
        })
        .collect()
}

fn refusal(stanza: &Stanza) -> String {
    let stanza = stanza.element();
    let error = stanza.get_child("error", ns::CLIENT).unwrap();
    error.children().last().unwrap().name().to_owned()
}

/// A request of the peer's of `end`, in the text that the session speaks.
fn request(session: &Session, verb: Verb, change: impl FnOnce(&mut Jingle)) -> Stanza {
    let mut jingle = Jingle::new(verb, session.sid());
    jingle.contents.push(session.content());
    change(&mut jingle);
    let element = jingle.to_element(session.dialect(), session.role().other());
    stamped(&iq::set(&romeo(), "x", element).unwrap(), session.peer())
}

fn answer_to(session: &mut Session, stanza: &Stanza) -> Vec<String> {
    actions(session);
    assert!(session.handle(NOW, stanza));
    said(&actions(session))
}

fn dialects() -> impl Iterator<Item = [Config; 2]> {
    Dialect::ALL.into_iter().map(|dialect| {
        [0, 1].map(|end| {
            let mut config = config(end);
            config.dialect = dialect;
            config
        })
    })
}

fn jingle_of(stanza: &Stanza) -> Element {
    stanza.element().children().next().unwrap().clone()
}

fn initiate(config: Config) -> Stanza {
    let Some(Action::Send(initiate)) = begin(config).poll_action() else {
        panic!()
    };
    stamped(&initiate, &romeo())
}
