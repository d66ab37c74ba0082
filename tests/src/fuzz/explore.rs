//! Every input in every state of a whole connection, to a stated depth.
//!
//! An input is a unit that the peer might write, good or bad, or something that the network, the clock or the application
//! does. States are told apart by what a connection prints, reports and holds. In each of them every input is tried, and behind
//! it must hold what `watch` says, and besides:
//!
//! - what is to be done is done in bounded steps;
//! - behind the close nothing is done or reported any more, whatever comes;
//! - left alone, the connection ends in bounded time;
//! - nothing secret is printed.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use onetrip_core::Event;

use super::alone::Alone;
use super::lines::Reader;
use super::{Input, clients, servers};

/// What one input may lead to, in events.
const STEPS: usize = 64;
/// Passwords, tokens and keys, as they are and as they are sent.
const SECRETS: [&str; 5] = [
    "AGp1bGlldABzZWNyZXQ",
    "\"secret\"",
    "t0ken",
    "s3cr3tf0rd14lb4ck",
    "b4835385f37f",
];

/// How a connection begins.
#[derive(Debug, Clone, Copy)]
pub struct Begin {
    /// What it is.
    pub name: &'static str,
    kind: Kind,
    /// Its set-up, as bytes of the body that fuzzing runs.
    setting: [u8; 2],
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Client,
    Server,
    Outbound,
    Inbound,
}

/// What was explored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explored {
    /// Inputs that are tried in each state.
    pub inputs: usize,
    /// States that were told apart, those in which it is over included.
    pub states: usize,
    /// Inputs that were given.
    pub tried: usize,
}

macro_rules! begins {
    ($($name:literal: $kind:ident, $first:expr, $second:expr;)+) => {
        /// Every beginning.
        pub const BEGINS: &[Begin] = &[$(Begin {
            name: $name,
            kind: Kind::$kind,
            setting: [$first, $second],
        },)+];
    };
}

begins! {
    "a client, direct TLS": Client, 0, 0;
    "a client, STARTTLS": Client, 16, 0;
    "a client that runs ahead": Client, 12, 1;
    "a client that resumes": Client, 0, 2;
    "a client that resumes by token": Client, 0, 6;
    "a client with SASL2 and FAST": Client, 3, 9;
    "a server, direct TLS": Server, 0, 0;
    "a server, STARTTLS": Server, 16, 0;
    "a server that is asked to decide": Server, 8, 0;
    "a server that speaks first": Server, 80, 0;
    "a server with SASL2, FAST and ISR": Server, 7, 0;
    "a server that opens, EXTERNAL and bidi": Outbound, 64, 0;
    "a server that opens, STARTTLS and dialback": Outbound, 3, 0;
    "a server that opens, with all sent ahead": Outbound, 98, 3;
    "a server that was opened to": Inbound, 64, 0;
    "a server that was opened to, STARTTLS and dialback": Inbound, 1, 0;
}

impl Begin {
    fn make(&self) -> Box<dyn Alone> {
        let input = &mut Input::new(&self.setting);
        match self.kind {
            Kind::Client => Box::new(clients::lone_client(input)),
            Kind::Server => Box::new(clients::lone_server(input)),
            Kind::Outbound => Box::new(servers::lone_outbound(input)),
            Kind::Inbound => Box::new(servers::lone_inbound(input)),
        }
    }

    /// What can be done to it, as bytes of the body that fuzzing runs.
    fn inputs(&self) -> Vec<Vec<u8>> {
        let (lines, others): (_, &[&[u8]]) = match self.kind {
            Kind::Client => (Reader::Client, clients::OTHERS),
            Kind::Server => (Reader::Server, clients::OTHERS),
            Kind::Outbound | Kind::Inbound => (Reader::Peer, servers::OTHERS),
        };
        let count = u8::try_from(lines.lines().len()).expect("few lines");
        let lines = (0..count).map(|line| vec![0, line]);
        lines
            .chain(others.iter().map(|other| other.to_vec()))
            .collect()
    }

    /// Tries everything, so many inputs in a row.
    #[must_use]
    pub fn explore(&self, depth: usize) -> Explored {
        let inputs = self.inputs();
        let mut known = HashSet::from([state(&*self.make())]);
        let mut tried = 0;
        let mut paths = VecDeque::from([Vec::new()]);
        while let Some(path) = paths.pop_front() {
            for input in &inputs {
                let mut subject = self.make();
                path.iter()
                    .for_each(|input: &&Vec<u8>| step(&mut *subject, input));
                step(&mut *subject, input);
                tried += 1;
                if !known.insert(state(&*subject)) {
                    continue;
                }
                if subject.is_closed() {
                    stays_closed(&mut *subject, &inputs);
                    continue;
                }
                if path.len() + 1 < depth {
                    paths.push_back([&path[..], &[input]].concat());
                }
                subject.finish();
            }
        }
        Explored {
            inputs: inputs.len(),
            states: known.len(),
            tried,
        }
    }
}

fn step(subject: &mut dyn Alone, input: &[u8]) {
    subject.settle_randomness();
    let before = subject.events().len();
    subject.step(&mut Input::new(input));
    subject.check();
    assert!(subject.events().len() - before <= STEPS, "without an end");
}

/// Whatever comes behind the close changes nothing.
fn stays_closed(subject: &mut dyn Alone, inputs: &[Vec<u8>]) {
    let before = (subject.events().len(), subject.written().len());
    for input in inputs {
        step(subject, input);
        assert_eq!((subject.events().len(), subject.written().len()), before);
        assert!(subject.connection().poll_timeout().is_none());
    }
}

/// What tells a state from another. What a stanza was is not part of it.
fn state(subject: &dyn Alone) -> u64 {
    let connection = subject.connection();
    let printed = format!("{connection:?}");
    for secret in SECRETS {
        assert!(!printed.contains(secret), "{secret} is printed: {printed}");
    }
    let mut hasher = DefaultHasher::new();
    printed.hash(&mut hasher);
    let events = subject.events().iter();
    for event in events.filter(|event| !matches!(event, Event::Stanza(_))) {
        format!("{event:?}").hash(&mut hasher);
    }
    connection.buffered().hash(&mut hasher);
    connection.is_online().hash(&mut hasher);
    format!("{:?}", connection.poll_timeout()).hash(&mut hasher);
    hasher.finish()
}
