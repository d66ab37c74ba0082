//! Two ends, what is said between them, and the clock.

use std::collections::VecDeque;
use std::time::Duration;

use minidom::Element;
use onetrip_core::End;
use onetrip_core::e2e::{EndToEnd, Event, unknown};
use onetrip_core::jingle::s5b::Link;
use onetrip_core::jingle::session::{self, Tie};
use onetrip_core::jingle::socks5::{Proxy, Timeouts};
use onetrip_core::stream::{Build as _, Env, Instant, Stanza};
use onetrip_tls::{EndOutput, SecuredEnd};

use super::{
    Cable, JULIET, NAMES, ROMEO, Server, Setting, Side, Tls, address, escaped, proxy_address, tls,
};

/// Two ends and what is between them.
pub struct Duo {
    /// The ends.
    pub sides: [Side; 2],
    pub(super) setting: Setting,
    /// What is on its way to each by the servers.
    pub wire: [VecDeque<Element>; 2],
    /// Every TCP connection there ever was.
    pub cables: Vec<Cable>,
    /// The proxy.
    pub proxy: Proxy,
    /// Whether somebody listens there: romeo.lit, juliet.lit, proxy.verona.lit; and what answers for the first two.
    pub reachable: [bool; 3],
    /// Whether a stranger has taken the place of these.
    pub usurped: [bool; 2],
    /// What the servers do to a stanza of an end; `false` swallows it.
    pub tamper: fn(usize, &mut Element) -> bool,
    /// Whether the responder's user agrees at once.
    pub agrees: bool,
    /// What time it is.
    pub now: Instant,
    /// Everything that was said, by way of the servers (`R:`, `J:`) and over sockets (`R>`, `J>`).
    pub log: Vec<String>,
    pub(super) order: bool,
}

impl Duo {
    /// The initiator has spoken; nothing has arrived.
    ///
    /// # Panics
    /// If the initiator's configuration cannot work.
    #[must_use]
    pub fn new(setting: Setting) -> Self {
        Self::changed(setting, |_, _| true)
    }

    /// The same, with servers that do this to stanzas.
    ///
    /// # Panics
    /// As [`Duo::new`].
    #[must_use]
    pub fn changed(setting: Setting, tamper: fn(usize, &mut Element) -> bool) -> Self {
        let mut romeo = Side::new(setting.seed);
        let juliet = Side::new(setting.seed + 100);
        let env = &mut Env::new(Instant::EPOCH, &mut romeo.entropy);
        let config = setting.configs[ROMEO].clone();
        let candidates = setting.candidates[ROMEO].clone();
        let (us, peer) = (address(ROMEO), address(JULIET));
        let end = EndToEnd::initiate(config, env, us, peer, None, candidates);
        let end = end.expect("the policy allows it");
        let tls = tls::of(&setting, ROMEO, end.tls_role());
        romeo.machine = Some(SecuredEnd::new(end, tls, env));
        let mut this = Self {
            sides: [romeo, juliet],
            setting,
            wire: [VecDeque::new(), VecDeque::new()],
            cables: Vec::new(),
            proxy: Proxy::new(Timeouts::default(), 16),
            reachable: [true; 3],
            usurped: [false; 2],
            tamper,
            agrees: true,
            now: Instant::EPOCH,
            log: Vec::new(),
            order: false,
        };
        this.expect(ROMEO);
        this.drain(ROMEO);
        this
    }

    /// Does this to a machine, and carries out what comes of it.
    pub fn act<R>(
        &mut self,
        end: usize,
        act: impl FnOnce(&mut SecuredEnd<Tls>, &mut Env<'_>) -> R,
    ) -> R {
        let side = &mut self.sides[end];
        let machine = side.machine.as_mut().expect("it has begun");
        let result = act(machine, &mut Env::new(self.now, &mut side.entropy));
        self.drain(end);
        result
    }

    /// Lets everything happen that happens without time passing.
    ///
    /// # Panics
    /// If it never comes to rest.
    pub fn run(&mut self) {
        for _ in 0..1_000_000 {
            if !self.step() {
                return;
            }
        }
        panic!("they never come to rest");
    }

    /// Lets time pass too, until nothing is waited for or so much is over.
    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            self.run();
            let deadlines = (0..2).filter_map(|end| self.deadline(end));
            match deadlines.chain(self.proxy.poll_timeout()).min() {
                Some(next) if next <= end => self.now = self.now.max(next),
                _ => break,
            }
            self.timeouts();
        }
        self.now = end;
    }

    fn deadline(&self, end: usize) -> Option<Instant> {
        let machine = self.sides[end].machine.as_ref();
        let own = machine.and_then(SecuredEnd::poll_timeout);
        [own, self.sides[end].host.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    fn timeouts(&mut self) {
        for end in 0..2 {
            if self.sides[end].machine.is_some() {
                self.act(end, |machine, env| machine.handle_timeout(env));
            }
            let now = self.now;
            self.sides[end].host.handle_timeout(now);
            self.drain_host(end);
        }
        self.proxy.handle_timeout(self.now);
        self.drain_proxy();
    }

    /// Moves all that is on one TCP connection.
    pub fn step_cable(&mut self, number: usize) {
        while self.flow(number) {}
    }

    /// Delivers one stanza, or one piece of bytes.
    pub fn step(&mut self) -> bool {
        self.order = !self.order;
        let first = usize::from(self.order);
        for end in [first, first ^ 1] {
            if let Some(stanza) = self.wire[end].pop_front() {
                self.deliver(end, &stanza);
                return true;
            }
        }
        (0..self.cables.len()).any(|cable| self.flow(cable))
    }

    /// Something comes from the server.
    pub fn deliver(&mut self, end: usize, stanza: &Element) {
        // What is no stanza does not come from a server.
        let Ok(stanza) = &Stanza::from_element(stanza) else {
            return;
        };
        if self.sides[end].machine.is_none() {
            return self.first(stanza);
        }
        let tie = self.sides[end].end().tie(stanza);
        if let Tie::Ours(answer) = tie {
            return self.say(end, &answer);
        }
        let taken = self.act(end, |machine, env| machine.handle(env, stanza));
        if let Some(answer) = unknown(stanza).filter(|_| !taken) {
            self.say(end, &answer);
        }
    }

    /// The session-initiate arrives.
    fn first(&mut self, stanza: &Stanza) {
        let side = &mut self.sides[JULIET];
        let env = &mut Env::new(self.now, &mut side.entropy);
        let config = self.setting.configs[JULIET].clone();
        match EndToEnd::incoming(config, env, address(JULIET), stanza, true) {
            Ok(end) => {
                let tls = tls::of(&self.setting, JULIET, end.tls_role());
                side.machine = Some(SecuredEnd::new(end, tls, env));
                self.drain(JULIET);
                if self.agrees {
                    self.accept();
                }
            }
            Err(answer) => {
                let answer = answer.map(|answer| *answer).or_else(|| unknown(stanza));
                answer
                    .into_iter()
                    .for_each(|answer| self.say(JULIET, &answer));
            }
        }
    }

    /// The responder's user agrees.
    pub fn accept(&mut self) {
        let candidates = self.setting.candidates[JULIET].clone();
        let side = &mut self.sides[JULIET];
        let machine = side.machine.as_mut().expect("it has begun");
        machine.accept(&mut Env::new(self.now, &mut side.entropy), candidates);
        self.expect(JULIET);
        self.drain(JULIET);
    }

    fn expect(&mut self, end: usize) {
        let side = &mut self.sides[end];
        let expected = side.end().expected();
        side.slot = Some(side.host.expect(expected));
    }

    fn say(&mut self, end: usize, stanza: &Stanza) {
        let mut stanza = stanza.element().with_attr("from", address(end).to_string());
        let text = Stanza::from_element(&stanza).expect("a stanza");
        let text = String::from_utf8_lossy(text.bytes()).into_owned();
        self.log.push(format!("{}: {text}", NAMES[end]));
        self.sides[end].said.push(stanza.clone());
        if !(self.tamper)(end, &mut stanza) {
            return;
        }
        if stanza.attr("to") == Some(&proxy_address().to_string()) {
            let asked = Stanza::from_element(&stanza).expect("a stanza");
            let answer = self.proxy.handle(&asked, "proxy.verona.lit", 7777);
            self.wire[end].extend(answer.map(|answer| answer.element()));
            self.drain_proxy();
        } else {
            self.wire[end ^ 1].push_back(stanza);
        }
    }

    fn drain(&mut self, end: usize) {
        while let Some(output) = self.sides[end]
            .machine
            .as_mut()
            .and_then(SecuredEnd::poll_output)
        {
            match output {
                EndOutput::Send(stanza) => self.say(end, &stanza),
                EndOutput::Connect { attempt, candidate } => self.connect(end, attempt, &candidate),
                EndOutput::Write(link, bytes) => {
                    self.sides[end].written.extend_from_slice(&bytes);
                    self.log
                        .push(format!("{}> {}", NAMES[end], escaped(&bytes)));
                    self.write(end, link, &bytes);
                }
                EndOutput::Close(link) => self.close(end, link),
                EndOutput::Event(event) => self.note(end, event),
                _ => {}
            }
        }
    }

    fn note(&mut self, end: usize, event: Event) {
        let side = &mut self.sides[end];
        let text = match event {
            Event::Session(session::Event::Link(link)) => {
                if link == Link::Taken {
                    let used = self
                        .cables
                        .iter()
                        .position(|cable| cable.taken && cable.server == Server::Host(end));
                    side.host.used(used.expect("it was taken") as u64);
                }
                "link".to_owned()
            }
            Event::Session(event) => format!("{event:?}"),
            Event::Online { verification } => format!("online {verification:?}"),
            Event::Stanza(received) => {
                side.received.push(received);
                return;
            }
            Event::StreamClosed(End::Failed(error)) => format!("stream failed: {error}"),
            Event::StreamClosed(End::PeerError(error)) => {
                format!("stream ended by the peer: {}", error.condition)
            }
            Event::StreamClosed(end) => format!("stream {end:?}"),
            Event::PeerError(error) => format!("error {}", error.condition),
            Event::Ended(end) => format!("ended {end:?}"),
            other => format!("{other:?}"),
        };
        side.events.push(text);
    }
}
