//! What the tests of SASL2 share: a server that knows juliet, and elements over real bytes, at any split.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use minidom::Element;
use onetrip_negotiation::sasl::{
    self, Answer, InitiatorConfig, Mechanism, ReceiverConfig as SaslConfig, Refusal,
};
use onetrip_negotiation::sasl2::{
    Action, Error, Event, Initiator, Input, Offer, Outcome, Receiver, ReceiverAction,
    ReceiverConfig, ReceiverEvent, ReceiverInput, ReceiverRequest, Request, Success, UserAgent,
    choose,
};
use onetrip_stream::{
    Build as _, Content, Env, Frame, Instant, Limits, Reader, Secret, Writer, ns,
};

pub(crate) const HEADER: &str = "<stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";

/// An element as it stands in a stream.
pub(crate) fn read(xml: &str) -> Element {
    received(xml.as_bytes(), usize::MAX)
}

/// An element as the other end sees it when its bytes arrive in two pieces.
pub(crate) fn over_the_wire(element: &Element, split: usize) -> Element {
    let bytes = Writer::new(Content::Client).element(element).unwrap();
    received(&bytes, split)
}

pub(crate) fn received(bytes: &[u8], split: usize) -> Element {
    let mut reader = Reader::new(Limits::default());
    let mut header = HEADER.as_bytes();
    while !header.is_empty() {
        let _ = reader.next(&mut header).unwrap();
    }
    let (first, second) = bytes.split_at(split.min(bytes.len()));
    for mut piece in [first, second] {
        while let Some(frame) = reader.next(&mut piece).unwrap() {
            if let Frame::Element(element) = frame {
                return element;
            }
        }
    }
    panic!("no element in {}", String::from_utf8_lossy(bytes))
}

pub(crate) const AGENT: &str = "d4565fa7-4d72-4749-b3d3-740edbf87770";

/// A server that knows juliet, and may ask for a task first.
pub(crate) struct Server {
    pub(crate) machine: Receiver,
    pub(crate) tasks: Vec<String>,
    pub(crate) events: Vec<ReceiverEvent>,
}

impl Server {
    pub(crate) fn new(mechanisms: &[Mechanism], tasks: &[&str]) -> Self {
        let bind = Element::bare("bind", ns::BIND2);
        let config = ReceiverConfig::new(SaslConfig::new(mechanisms.to_vec())).with_inline(bind);
        Self {
            machine: Receiver::new(&config, None, false),
            tasks: tasks.iter().map(|task| (*task).to_owned()).collect(),
            events: Vec::new(),
        }
    }

    pub(crate) fn features(&self) -> Element {
        let features = self.machine.features().into_iter();
        features.fold(Element::bare("features", ns::STREAMS), Element::with_child)
    }

    pub(crate) fn decide(&mut self, request: ReceiverRequest) -> ReceiverInput<'static> {
        match request {
            ReceiverRequest::Sasl(request) => ReceiverInput::Answer(credentials(request)),
            _ if !self.tasks.is_empty() => {
                let tasks = vec![self.tasks.remove(0)];
                let text = Some("more".to_owned());
                ReceiverInput::Outcome(Outcome::Continue { tasks, text })
            }
            _ => {
                let asked = self.machine.inline().iter();
                let bound = asked.filter(|child| child.is("bind", ns::BIND2));
                let inline = bound.map(|_| Element::bare("bound", ns::BIND2)).collect();
                let identifier = "juliet@capulet.lit/balcony".parse().unwrap();
                ReceiverInput::Outcome(Outcome::Success { identifier, inline })
            }
        }
    }

    /// What it sends in answer to an element.
    pub(crate) fn takes(
        &mut self,
        env: &mut Env<'_>,
        element: &Element,
    ) -> Result<Vec<Element>, Error> {
        self.machine.handle(env, ReceiverInput::Element(element))?;
        let mut sent = Vec::new();
        while let Some(action) = self.machine.poll_action() {
            match action {
                ReceiverAction::Send(element) => sent.push(element),
                ReceiverAction::Request(request) => {
                    let input = self.decide(request);
                    self.machine.handle(env, input)?;
                }
                ReceiverAction::Event(event) => self.events.push(event),
                other => panic!("{other:?}"),
            }
        }
        Ok(sent)
    }
}

pub(crate) fn credentials(request: sasl::Request) -> Answer {
    match request {
        sasl::Request::Password {
            username, password, ..
        } => match password.expose() {
            b"r0m30myr0m30" => Answer::Accept { identity: username },
            _ => Answer::Refuse(Refusal::NotAuthorized),
        },
        #[cfg(feature = "scram")]
        sasl::Request::Keys { hash, .. } => {
            let salt = b"salt".to_vec();
            let keys = sasl::StoredKeys::from_password(hash, "r0m30myr0m30", salt, 4096);
            Answer::Keys(keys.unwrap())
        }
        _ => Answer::Refuse(Refusal::NotAuthorized),
    }
}

pub(crate) fn client(features: &Element, password: &str, request: Request) -> Initiator {
    let config = InitiatorConfig::password("juliet", Secret::from(password));
    let offer = Offer::read(features).unwrap();
    let choice = choose(&config, &offer, None, 0).unwrap();
    let mut machine = Initiator::new(&config, choice, None, request);
    machine.expect(offer.lists());
    machine
}

pub(crate) fn binding_request() -> Request {
    let mut request = Request::new().with(Element::bare("bind", ns::BIND2));
    request.user_agent = Some(UserAgent::new(AGENT));
    request.tasks = vec!["TOTP".to_owned(), "HOTP".to_owned()];
    request
}

/// Runs both ends, every element arriving in two pieces.
pub(crate) fn run(
    server: &mut Server,
    client: &mut Initiator,
    split: usize,
) -> Result<Event, Error> {
    let mut seed = 0_u8;
    let mut entropy = move |out: &mut [u8]| {
        seed = seed.wrapping_add(1);
        out.fill(seed);
    };
    let env = &mut Env::new(Instant::EPOCH, &mut entropy);
    client.handle(env, Input::Start)?;
    while let Some(action) = client.poll_action() {
        match action {
            Action::Send { element, .. } => {
                for answer in server.takes(env, &over_the_wire(&element, split))? {
                    client.handle(env, Input::Element(&over_the_wire(&answer, split)))?;
                }
            }
            #[cfg(feature = "scram")]
            Action::Derive(derivation) => {
                client.handle(env, Input::Derived(derivation.perform()))?;
            }
            Action::Event(Event::Tasks { tasks, .. }) => {
                let children = vec![Element::bare("code", "urn:x")];
                let task = &tasks[0];
                client.handle(env, Input::Next { task, children })?;
            }
            Action::Event(event) => return Ok(event),
            other => panic!("{other:?}"),
        }
    }
    panic!("both wait")
}

pub(crate) fn success(event: Event) -> Success {
    match event {
        Event::Authenticated(success) => success,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn with_env<T>(call: impl FnOnce(&mut Env<'_>) -> T) -> T {
    let mut entropy = |out: &mut [u8]| out.fill(7);
    call(&mut Env::new(Instant::EPOCH, &mut entropy))
}

/// A client that has begun with PLAIN.
pub(crate) fn begun(tasks: &[&str]) -> Initiator {
    let server = Server::new(&[Mechanism::Plain], &[]);
    let mut request = binding_request();
    request.tasks = tasks.iter().map(|task| (*task).to_owned()).collect();
    let mut machine = client(&server.features(), "pw", request);
    with_env(|env| machine.handle(env, Input::Start)).unwrap();
    let _ = machine.poll_action();
    machine
}

pub(crate) fn takes(machine: &mut Initiator, xml: &str) -> Result<Option<Event>, Error> {
    with_env(|env| machine.handle(env, Input::Element(&read(xml))))?;
    Ok(match machine.poll_action() {
        Some(Action::Event(event)) => Some(event),
        _ => None,
    })
}

pub(crate) const SUCCESS: &str = "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>\n  juliet@capulet.lit/b\n\
    </authorization-identifier><resumed xmlns='urn:xmpp:sm:3' h='345' previd='124'/></success>";
