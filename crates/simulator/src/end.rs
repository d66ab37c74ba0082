//! One end of a simulated connection, with an application that answers at once.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use minidom::Element;
use onetrip_core::dialback::{Awaited, Checked, Event as Dialback, StreamId, Ticket};
use onetrip_core::stream::{Build, Content, Domain, Env, Instant, Pair, Stanza, StanzaKind, ns};
use onetrip_core::{Answer, Decision, Direction, End as Ending, EntityEvent, Event, Request};
use onetrip_tls::rustls::RustlsSession;
use onetrip_tls::{Output, Secured};
use onetrip_trace::Party;

use crate::accounts::derive;
use crate::certificates::PEER;
use crate::entropy::Seeded;
use crate::run::Lab;

/// What one call made an end write: at most one write, the units in it, and whether it closed.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// The writes, each with its units and whether they are all under TLS.
    pub(crate) writes: Vec<(Bytes, Vec<Written1>)>,
    pub(crate) closed: bool,
}

/// A unit of a write.
#[derive(Debug, Clone)]
pub(crate) struct Written1 {
    pub(crate) label: String,
    pub(crate) bytes: usize,
    pub(crate) secured: bool,
    pub(crate) tls: bool,
}

/// One end.
#[derive(Debug)]
pub(crate) struct End<'a> {
    pub(crate) party: Party,
    secured: Secured<Option<RustlsSession>>,
    content: Content,
    /// Has the server's accounts, sessions and tokens.
    lab: &'a Lab,
    entropy: Seeded,
    /// How many one-way trips went before what this end knows.
    pub(crate) half_trips: u32,
    pub(crate) online: bool,
    pub(crate) resumed: bool,
    pub(crate) answered: bool,
    pub(crate) ending: Option<Ending>,
    pub(crate) taught: Vec<EntityEvent>,
    pub(crate) received: Vec<Stanza>,
    /// What it asks that another connection has to do with.
    pub(crate) asked: VecDeque<Request>,
    /// What has become of the key that was verified here.
    pub(crate) checked: Option<(Ticket, Checked)>,
}

/// The id of the stanza whose answer is waited for.
const QUESTION: &str = "onetrip";

impl<'a> End<'a> {
    pub(crate) fn new(
        party: Party,
        secured: Secured<Option<RustlsSession>>,
        content: Content,
        lab: &'a Lab,
        entropy: Seeded,
    ) -> Self {
        Self {
            party,
            secured,
            content,
            lab,
            entropy,
            half_trips: 0,
            online: false,
            resumed: false,
            answered: false,
            ending: None,
            taught: Vec::new(),
            received: Vec::new(),
            asked: VecDeque::new(),
            checked: None,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.secured.poll_timeout().map(|deadline| deadline.at)
    }

    /// Gives bytes in; a failure shows in what is written and in the ending.
    pub(crate) fn receive(&mut self, now: Instant, bytes: &[u8]) -> Written {
        let _ = self
            .secured
            .receive(&mut Env::new(now, &mut self.entropy), bytes);
        self.drain(now)
    }

    pub(crate) fn receive_eof(&mut self, now: Instant) -> Written {
        self.secured
            .receive_eof(&mut Env::new(now, &mut self.entropy));
        self.drain(now)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Written {
        self.secured
            .handle_timeout(&mut Env::new(now, &mut self.entropy));
        self.drain(now)
    }

    /// Whether a key of ours waits here for its answer.
    pub(crate) fn awaits(&self, pair: &Pair, id: &StreamId) -> bool {
        self.secured.connection().awaits(pair, id)
    }

    /// Vouches for a key, or not.
    pub(crate) fn vouch(&mut self, now: Instant, awaited: Awaited) -> Written {
        let env = &mut Env::new(now, &mut self.entropy);
        let _ = self.secured.answer(env, Answer::Awaited(awaited));
        self.drain(now)
    }

    /// Takes in what has become of a key that was verified elsewhere.
    pub(crate) fn verified(&mut self, now: Instant, ticket: Ticket, checked: Checked) -> Written {
        let env = &mut Env::new(now, &mut self.entropy);
        let _ = self.secured.verified(env, ticket, checked);
        self.drain(now)
    }

    /// Asks the server something, and expects an answer.
    pub(crate) fn ask(&mut self, now: Instant, domain: &Domain) -> Written {
        let content = self.content.namespace();
        let mut ping = Element::bare("iq", content)
            .with_attr("type", "get")
            .with_attr("id", QUESTION)
            .with_attr("to", domain.as_str())
            .with_child(Element::bare("ping", ns::PING));
        if self.content == Content::Server {
            ping = ping.with_attr("from", PEER);
        }
        if let Ok(stanza) = Stanza::from_element(&ping) {
            let _ = self
                .secured
                .send(&mut Env::new(now, &mut self.entropy), &stanza);
        }
        self.drain(now)
    }

    pub(crate) fn drain(&mut self, now: Instant) -> Written {
        let mut written = Written::default();
        let mut units = Vec::new();
        while let Some(output) = self.secured.poll_output() {
            match output {
                Output::Transmit(bytes) => {
                    written.writes.push((bytes, core::mem::take(&mut units)))
                }
                Output::Trace(unit) if unit.direction == Direction::Sent => {
                    let tls = !unit.secured && is_flight(&unit.label);
                    units.push(Written1 {
                        label: unit.label,
                        bytes: unit.bytes,
                        secured: unit.secured,
                        tls,
                    });
                }
                Output::Request(request) => self.decide(now, request),
                // Between servers nobody has a session; what there is to learn is in who connects.
                Output::Entity(event)
                    if self.party == Party::Receiver && self.content == Content::Client =>
                {
                    lock(&self.lab.registry).handle(event, now);
                }
                Output::Entity(event) => self.taught.push(event),
                Output::Event(event) => self.on_event(now, event),
                Output::Close => {
                    written.closed = true;
                }
                _ => {}
            }
        }
        written
    }

    fn decide(&mut self, now: Instant, request: Request) {
        let env = &mut Env::new(now, &mut self.entropy);
        let answer = match request {
            Request::Verify(_) | Request::Vouch { .. } => {
                self.asked.push_back(request);
                None
            }
            Request::Sasl { domain, request } => {
                Some(Answer::Sasl(self.lab.accounts.decide(request, &domain)))
            }
            Request::Bind { account, request } => Some(Answer::Bind(request.grant(&account, env))),
            Request::Derive(_) => derive(&request),
            request => match lock(&self.lab.registry).decide(env, &request) {
                Some(Decision::Answer(answer)) => Some(answer),
                // There is one connection here, and it is the one that asks.
                Some(Decision::Fetch { .. }) => Some(Answer::NoSession { h: None }),
                None => None,
            },
        };
        if let Some(answer) = answer {
            let _ = self.secured.answer(env, answer);
        }
    }

    fn on_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Online { resumed, .. } => {
                self.online = true;
                self.resumed = resumed;
            }
            Event::Established { .. } => self.online = true,
            Event::Stanza(stanza) => self.on_stanza(now, stanza),
            Event::Dialback(Dialback::Checked { ticket, checked }) => {
                self.checked = Some((ticket, checked));
            }
            Event::Closed(ending) => self.ending = Some(ending),
            _ => {}
        }
    }

    /// A server answers every request; a client waits for the answer to its own.
    fn on_stanza(&mut self, now: Instant, stanza: Stanza) {
        let head = stanza.head();
        let request =
            head.kind == StanzaKind::Iq && matches!(head.type_.as_deref(), Some("get" | "set"));
        if request && self.party == Party::Receiver {
            let mut result = Element::bare("iq", self.content.namespace())
                .with_attr("type", "result")
                .with_attr("id", head.id.clone().unwrap_or_default());
            if let (Content::Server, Some(from), Some(to)) = (self.content, &head.from, &head.to) {
                result = result
                    .with_attr("from", to.as_str())
                    .with_attr("to", from.as_str());
            }
            if let Ok(result) = Stanza::from_element(&result) {
                let _ = self
                    .secured
                    .send(&mut Env::new(now, &mut self.entropy), &result);
            }
        }
        self.answered |= self.party == Party::Initiator && head.id.as_deref() == Some(QUESTION);
        self.received.push(stanza);
        self.secured.handled(1);
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a unit is a flight of the TLS handshake: those are named by their messages.
fn is_flight(label: &str) -> bool {
    [
        "ClientHello",
        "ServerHello",
        "ClientKeyExchange",
        "ChangeCipherSpec",
        "Finished",
    ]
    .iter()
    .any(|name| label.starts_with(name))
}
