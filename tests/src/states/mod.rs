//! State diagrams of the machines, explored from the machines themselves: every input is tried in every state that some
//! sequence of inputs leads to. An input that stands on no arrow of a state changes nothing there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Debug;

use minidom::Element;
use onetrip_core::stream::{Content, Env, Instant, Stanza};

mod attempts;
mod binding;
mod clients;
mod connections;
mod dialback;
mod documents;
mod e2e;
mod jingle;
mod logins;
mod servers;
mod sessions;

/// How many inputs in a row are tried: more than it takes to reach any state.
const DEPTH: usize = 6;

/// A way to make a machine, named where there are several.
type Begin<'a, M> = (&'a str, &'a dyn Fn() -> M);
/// An input with its name, or an answer or a call.
type Given<'a, M> = (&'a str, &'a dyn Fn(&mut M));

/// A machine, and what is to be known of it.
struct Subject<'a, M> {
    /// Its crate and type.
    name: &'a str,
    /// Where the table of its states stands, among the crates; empty where there is none.
    table: &'a str,
    /// The name of its state.
    state: &'a dyn Fn(&M) -> String,
    begins: &'a [Begin<'a, M>],
    inputs: &'a [Given<'a, M>],
    /// Takes an action out of it, until there is none.
    drain: &'a dyn Fn(&mut M) -> bool,
}

/// One machine as a diagram of Mermaid.
#[derive(Debug, Clone)]
pub struct Diagram {
    /// The crate and the type.
    pub name: String,
    /// The module whose table of states says the same, among the crates; empty where there is none.
    pub table: String,
    /// From and to, and by which inputs.
    pub arrows: BTreeMap<(String, String), BTreeSet<String>>,
}

impl<M: Debug> Subject<'_, M> {
    /// Tries everything.
    fn explore(&self) -> Diagram {
        self.explore_to(DEPTH)
    }

    /// The same, with so many inputs in a row. Two that print the same take the same.
    fn explore_to(&self, depth: usize) -> Diagram {
        let mut arrows: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
        let mut known = BTreeSet::new();
        for (label, begin) in self.begins {
            let first = begin();
            let start = ("[*]".to_owned(), (self.state)(&first));
            arrows.entry(start).or_default().insert((*label).to_owned());
            let mut paths = VecDeque::from([Vec::new()]);
            while let Some(path) = paths.pop_front() {
                for (index, (input, _)) in self.inputs.iter().enumerate() {
                    let mut machine = begin();
                    self.give(&mut machine, &path);
                    let before = (self.state)(&machine);
                    self.give(&mut machine, &[index]);
                    let after = (self.state)(&machine);
                    if before != after {
                        let arrow = arrows.entry((before, after)).or_default();
                        arrow.insert((*input).to_owned());
                    }
                    if known.insert(format!("{machine:?}")) && path.len() < depth {
                        paths.push_back([&path[..], &[index]].concat());
                    }
                }
            }
        }
        Diagram {
            name: self.name.to_owned(),
            table: self.table.to_owned(),
            arrows,
        }
    }

    fn give(&self, machine: &mut M, path: &[usize]) {
        while (self.drain)(machine) {}
        for step in path {
            (self.inputs[*step].1)(machine);
            while (self.drain)(machine) {}
        }
    }
}

/// The name of the state as the machine prints itself, since states are nobody's business outside of it otherwise: it stands
/// in this field, or in this field of that one.
fn printed<M: Debug>(path: &'static str) -> impl Fn(&M) -> String {
    move |machine| {
        let printed = format!("{machine:?}");
        if field(&printed, "failed").is_some_and(|failed| failed.starts_with("Some")) {
            return "Failed".to_owned();
        }
        let state = path
            .split('.')
            .fold(&printed[..], |value, name| field(value, name).unwrap());
        let end = state.find(|letter: char| !letter.is_alphanumeric());
        state[..end.unwrap()].to_owned()
    }
}

/// What follows the name of a field of the outermost value.
fn field<'a>(printed: &'a str, name: &str) -> Option<&'a str> {
    let mut depth = 0;
    for (at, letter) in printed.char_indices() {
        match letter {
            ',' | '}' if depth == 0 => return None,
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth -= 1,
            ' ' if depth == 1 => {
                let rest = printed[at + 1..].strip_prefix(name);
                if let Some(value) = rest.and_then(|rest| rest.strip_prefix(": ")) {
                    return Some(value);
                }
            }
            _ => {}
        }
    }
    None
}

impl Diagram {
    /// Its states by name.
    #[must_use]
    pub fn states(&self) -> BTreeSet<&str> {
        self.arrows.keys().map(|(_, to)| to.as_str()).collect()
    }

    /// A state as the tables of the modules say it.
    #[must_use]
    pub fn in_words(state: &str) -> String {
        let mut words = String::new();
        for letter in state.chars() {
            if letter.is_uppercase() && !words.is_empty() {
                words.push(' ');
            }
            words.extend(letter.to_lowercase());
        }
        words
    }

    fn draw(&self) -> String {
        let mut drawn = format!("## {}\n\n```mermaid\nstateDiagram-v2\n", self.name);
        for state in self.states().into_iter().filter(|state| !is_plain(state)) {
            drawn.push_str(&format!("    state \"{state}\" as {}\n", plain(state)));
        }
        let begins = |arrow: &(&(String, String), &BTreeSet<String>)| arrow.0.0 == "[*]";
        let (first, rest): (Vec<_>, Vec<_>) = self.arrows.iter().partition(begins);
        for ((from, to), inputs) in first.into_iter().chain(rest) {
            let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
            let label = inputs.join(", ");
            let label = if label.is_empty() {
                label
            } else {
                format!(": {label}")
            };
            let from = if from == "[*]" {
                from.clone()
            } else {
                plain(from)
            };
            drawn.push_str(&format!("    {from} --> {}{label}\n", plain(to)));
        }
        drawn + "```\n"
    }
}

fn is_plain(state: &str) -> bool {
    state.chars().all(char::is_alphanumeric)
}

/// A state of several words as the one word that Mermaid wants.
fn plain(state: &str) -> String {
    let words = state.split(|letter: char| !letter.is_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join("_")
}

/// All machines.
#[must_use]
pub fn diagrams() -> Vec<Diagram> {
    [
        documents::diagrams(),
        logins::diagrams(),
        binding::diagrams(),
        attempts::diagrams(),
        sessions::diagrams(),
        dialback::diagrams(),
        servers::diagrams(),
        clients::diagrams(),
        jingle::diagrams(),
        connections::diagrams(),
        e2e::diagrams(),
    ]
    .concat()
}

/// The page `docs/states.md`.
#[must_use]
pub fn page() -> String {
    let head = "# The machines and their states\n\n\
        Made by `cargo run -p onetrip-tests --example states`, which tries every input in every state that some sequence of\n\
        inputs leads to: what stands on no arrow of a state changes nothing there. Names without brackets are elements, with\n\
        them calls. Continuous integration compares, also with the tables of states in the documentation of the modules.\n\n\
        Of the core's initiating entities both halves are shown: what goes out next, and what is waited for. Of the receiving\n\
        ones, what is reached. Some of what takes part has no state of its own: STARTTLS and the client's side of binding within\n\
        SASL2 are one question and one answer, the authoritative server of dialback answers each question by itself, and\n\
        the checks before a link (zero handshake) are types, each made from the one before it.\n";
    let drawn = diagrams();
    drawn.iter().fold(head.to_owned(), |page, diagram| {
        page + "\n" + &diagram.draw()
    })
}

fn element(text: &str) -> Element {
    text.parse().unwrap()
}

fn stanza(text: &str) -> Stanza {
    Stanza::parse(text.as_bytes(), Content::Client).unwrap()
}

/// Calls with time 0 and predictable randomness.
fn with_env<R>(call: impl FnOnce(&mut Env<'_>) -> R) -> R {
    let mut entropy = |out: &mut [u8]| out.fill(7);
    call(&mut Env::new(Instant::EPOCH, &mut entropy))
}

/// Behind every deadline.
fn late() -> Instant {
    Instant::from_millis(1_000_000_000)
}
