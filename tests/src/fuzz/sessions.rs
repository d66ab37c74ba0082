//! Stream management: counting under interference, and sessions that go on over connections that are cut.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use onetrip_core::bytes::Bytes;
use onetrip_core::isr::Rotation;
use onetrip_core::minidom::Element;
use onetrip_core::quickstart::Level;
use onetrip_core::stream::{Instant, Jid};
use onetrip_core::stream_management::{
    AckPolicy, Action, Config, Error, Event, Granted, Handle, Initiator, QueueLimits, Receiver,
    Request, Session,
};

use super::Input;
use super::elements::element;
use crate::cuts::{Case, Way, World};

/// The most steps of a run.
const STEPS: usize = 300;
const OWNER: &str = "juliet@capulet.test/balcony";

const NONZAS: &[&str] = &[
    "<enable xmlns='urn:xmpp:sm:3'/>",
    "<enable xmlns='urn:xmpp:sm:3' resume='true' max='60'/>",
    "<enabled xmlns='urn:xmpp:sm:3' id='s1' resume='true'/>",
    "<enabled xmlns='urn:xmpp:sm:3'/>",
    "<resume xmlns='urn:xmpp:sm:3' previd='s1' h='1'/>",
    "<resumed xmlns='urn:xmpp:sm:3' previd='s1' h='1'/>",
    "<failed xmlns='urn:xmpp:sm:3'/>",
    "<failed xmlns='urn:xmpp:sm:3' h='2'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>",
    "<r xmlns='urn:xmpp:sm:3'/>",
    "<a xmlns='urn:xmpp:sm:3' h='0'/>",
    "<a xmlns='urn:xmpp:sm:3' h='1'/>",
    "<a xmlns='urn:xmpp:sm:3' h='3'/>",
    "<a xmlns='urn:xmpp:sm:3' h='4294967295'/>",
];

/// What is under way.
enum Unit {
    Nonza(Element),
    Stanza(Bytes),
}

/// One end: the machine of this connection, and the books of all of them.
struct End {
    /// Sent, and not settled.
    open: BTreeSet<Handle>,
    /// Settled as lost from the queue; an acknowledgement may still come.
    failed: BTreeSet<Handle>,
    /// How many were sent in all.
    sent: u32,
    /// Those that the other end has seen, in order.
    arrived: Vec<u32>,
    wire: VecDeque<Unit>,
    broken: bool,
}

impl End {
    fn new() -> Self {
        Self {
            open: BTreeSet::new(),
            failed: BTreeSet::new(),
            sent: 0,
            arrived: Vec::new(),
            wire: VecDeque::new(),
            broken: false,
        }
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::Acked(handles) => {
                for handle in handles.iter() {
                    assert!(
                        self.open.remove(&handle) || self.failed.remove(&handle),
                        "{handle:?} was not open"
                    );
                }
            }
            Event::HandedBack(entries) => {
                for entry in entries {
                    assert!(self.open.remove(&entry.handle), "{entry:?} was not open");
                }
            }
            Event::Failed(entry) => {
                assert!(self.open.remove(&entry.handle), "{entry:?} was not open");
                self.failed.insert(entry.handle);
            }
            _ => {}
        }
    }
}

struct Both {
    client: Initiator,
    server: Receiver,
    ends: [End; 2],
    config: Config,
    /// What waits at each end for the next connection.
    suspended: [Option<Session>; 2],
    now: Instant,
}

fn stanza(number: u32) -> Bytes {
    Bytes::from(format!("<message id='{number}'/>"))
}

fn number(bytes: &[u8]) -> u32 {
    let text = String::from_utf8_lossy(bytes);
    text.split('\'')
        .nth(1)
        .and_then(|number| number.parse().ok())
        .expect("one of ours")
}

/// Both machines; what is between them is cut, and told what nobody has said.
pub(super) fn management(data: &[u8]) {
    let mut input = Input::new(data);
    let bits = input.byte();
    let mut limits = QueueLimits::default();
    (limits.stanzas, limits.bytes) = if bits & 1 == 0 {
        (512, 65_536)
    } else {
        (4, 200)
    };
    let mut policy = AckPolicy::default();
    policy.request_after = u32::from(bits >> 4) + 1;
    let mut config = Config::default();
    (config.limits, config.policy) = (limits, policy);
    let mut both = Both {
        client: Initiator::new(config),
        server: Receiver::new(config),
        ends: [End::new(), End::new()],
        config,
        suspended: [None, None],
        now: Instant::EPOCH,
    };
    // With `bits & 2` nobody lies, and nothing may be lost or doubled.
    let honest = bits & 2 == 0;
    both.client.enable(both.now, true, None);
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        both.step(&mut input, honest);
        both.drain();
        both.check(honest);
    }
    both.settle(honest);
}

impl Both {
    fn step(&mut self, input: &mut Input<'_>, honest: bool) {
        match input.byte() {
            byte @ 0..64 => self.send(usize::from(byte & 1)),
            byte @ 64..160 => self.deliver(usize::from(byte & 1)),
            160..176 => self.wake(),
            176..192 => {
                self.now = self.now + Duration::from_millis(u64::from(input.byte()) * 100);
                self.client.handle_timeout(self.now);
                self.server.handle_timeout(self.now);
            }
            192..208 => self.cut(),
            byte @ 208..240 if !honest => {
                let said = element(input, NONZAS);
                self.take(usize::from(byte & 1), Unit::Nonza(said));
            }
            240..244 => self.client.enable(self.now, true, Some(60)),
            byte @ 244..250 if !honest => {
                let end = usize::from(byte & 1);
                self.ends[1 - end].wire.pop_front();
            }
            _ => {}
        }
    }

    fn send(&mut self, from: usize) {
        let on = if from == 0 {
            self.client.is_on()
        } else {
            self.server.is_on()
        };
        if !on || self.ends[from].broken {
            return;
        }
        let bytes = stanza(self.ends[from].sent + 1);
        let handle = if from == 0 {
            self.client.send(self.now, bytes)
        } else {
            self.server.send(self.now, bytes)
        };
        self.ends[from].sent += 1;
        if let Some(handle) = handle {
            assert!(self.ends[from].open.insert(handle), "{handle:?} twice");
        }
    }

    fn deliver(&mut self, from: usize) {
        if let Some(unit) = self.ends[from].wire.pop_front() {
            self.take(1 - from, unit);
        }
    }

    /// An end takes in what has come.
    fn take(&mut self, to: usize, unit: Unit) {
        if self.ends[to].broken {
            return;
        }
        match unit {
            Unit::Stanza(bytes) => {
                self.ends[1 - to].arrived.push(number(&bytes));
                if to == 0 {
                    self.client.arrived();
                    self.client.handled(1);
                } else {
                    self.server.arrived();
                    self.server.handled(1);
                }
            }
            Unit::Nonza(said) => {
                let result: Result<(), Error> = if to == 0 {
                    self.client.handle(self.now, &said)
                } else {
                    self.server.handle(self.now, &said, true)
                };
                self.ends[to].broken |= result.is_err();
            }
        }
        self.drain();
    }

    fn wake(&mut self) {
        let deadlines = [self.client.poll_timeout(), self.server.poll_timeout()];
        if let Some(at) = deadlines.into_iter().flatten().min() {
            self.now = self.now.max(at);
            self.client.handle_timeout(self.now);
            self.server.handle_timeout(self.now);
            let left = [self.client.poll_timeout(), self.server.poll_timeout()];
            assert!(
                left.into_iter().flatten().all(|left| left > self.now),
                "a deadline that stays"
            );
        }
    }

    fn drain(&mut self) {
        loop {
            let (from, action) = match (self.client.poll_action(), &mut self.server) {
                (Some(action), _) => (0, action),
                (None, server) => match server.poll_action() {
                    Some(action) => (1, action),
                    None => return,
                },
            };
            match action {
                Action::Send(nonza) => self.ends[from]
                    .wire
                    .push_back(Unit::Nonza(nonza.to_element())),
                Action::Write(bytes) => self.ends[from].wire.push_back(Unit::Stanza(bytes)),
                Action::Request(request) => self.decide(request),
                Action::Event(event) => {
                    self.ends[from].note(&event);
                    self.ends[from].broken |= event == Event::Unanswered;
                }
                _ => {}
            }
        }
    }

    fn decide(&mut self, request: Request) {
        match request {
            Request::Enable { resume, max } => {
                // A session that nobody asks for any more is over, with what is in it.
                for entry in self.suspended[1]
                    .take()
                    .map_or_else(Vec::new, Session::into_entries)
                {
                    self.ends[1].open.remove(&entry.handle);
                }
                let mut granted = Granted::default();
                granted.id = resume.then(|| "s1".to_owned());
                granted.max = max;
                self.server.grant(granted);
            }
            Request::Resume { previd, .. } => match self.suspended[1].take() {
                Some(session) if session.id == previd => {
                    if self.server.resume(self.now, &session).is_err() {
                        self.ends[1].broken = true;
                        self.suspended[1] = Some(session);
                    }
                }
                other => {
                    self.suspended[1] = other;
                    self.server.refuse("item-not-found", None);
                }
            },
            _ => {}
        }
    }

    /// The connection is gone; the next one asks for the session.
    fn cut(&mut self) {
        let owner: Jid = OWNER.parse().expect("an address");
        let sessions = [self.client.suspend(&owner), self.server.suspend(&owner)];
        for (waits, session) in self.suspended.iter_mut().zip(sessions) {
            *waits = session.or(waits.take());
        }
        self.drain();
        for end in &mut self.ends {
            end.wire.clear();
            end.broken = false;
        }
        self.client = Initiator::new(self.config);
        self.server = Receiver::new(self.config);
        match self.suspended[0].take() {
            Some(session) => {
                let stored = Session::from_bytes(&session.to_bytes()).expect("it was stored");
                assert_eq!(stored, session);
                self.client.resume(&stored);
            }
            None => {
                // Nothing to go on with: whatever was open has been handed back.
                assert!(
                    self.ends[0].open.is_empty(),
                    "lost: {:?}",
                    self.ends[0].open
                );
                self.client.enable(self.now, true, None);
            }
        }
        self.drain();
    }

    fn check(&self, honest: bool) {
        for end in &self.ends {
            if honest {
                assert!(
                    end.arrived.is_sorted_by(|a, b| a < b),
                    "doubled or out of order: {:?}",
                    end.arrived
                );
            }
        }
    }

    /// Everything arrives and is acknowledged.
    fn settle(&mut self, honest: bool) {
        for _ in 0..400 {
            if self.ends.iter().all(|end| end.wire.is_empty()) {
                self.wake();
                self.drain();
            }
            self.deliver(0);
            self.deliver(1);
            self.check(honest);
            if self
                .ends
                .iter()
                .all(|end| end.open.is_empty() && end.wire.is_empty())
            {
                break;
            }
        }
        let unbroken = self.ends.iter().all(|end| !end.broken);
        if honest && unbroken && self.client.is_on() && self.server.is_on() {
            for end in &self.ends {
                assert!(end.open.is_empty(), "never settled: {:?}", end.open);
            }
        }
    }
}

/// Two real connections and what outlives them, with up to three cuts; nothing is lost and nothing doubled.
pub(super) fn resume(data: &[u8]) {
    let mut input = Input::new(data);
    let bits = input.byte();
    let way = match bits & 3 {
        0 => Way::Login,
        1 => Way::Inline,
        2 => Way::Token(Rotation::SingleUse),
        _ => Way::Token(Rotation::GraceUntilConfirmed),
    };
    let level = Level::ALL[usize::from(bits >> 2 & 3)];
    let stanzas = 1 + u32::try_from(input.below(24)).expect("few");
    let mut cuts = [None; 3];
    for cut in cuts.iter_mut().take(usize::from(bits >> 6)) {
        *cut = Some(usize::from(input.number()) % 6000);
    }
    let rotation = Rotation::GraceUntilConfirmed;
    let way = match input.below(5) {
        1 => Way::Key(rotation),
        2 => Way::KeyLogin(Rotation::SingleUse),
        3 => Way::KeyLogin(rotation),
        4 => Way::Fast,
        _ => way,
    };
    let case = Case {
        way,
        level,
        stanzas,
        cuts,
        noticed: bits & 16 != 0,
        abrupt: bits & 32 != 0,
    };
    let world = World::run(case);
    world
        .check()
        .unwrap_or_else(|lost| panic!("{case:?}: {lost}"));
}
