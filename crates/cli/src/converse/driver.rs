//! The driver of one end: its machine, its sockets, its stanzas, and what is counted of them.

use std::collections::BTreeMap;
use std::time::Duration;

use minidom::Element;
use onetrip_core::End;
use onetrip_core::e2e::{Config, EndToEnd, Event, HostAction, Streamhost, unknown};
use onetrip_core::jingle::s5b::{Attempt, Candidate, CandidateKind, Link};
use onetrip_core::jingle::session::{self, Tie};
use onetrip_core::jingle::xtls::Verification;
use onetrip_core::stream::{Build as _, Env, Instant, Jid, Stanza, ns};
use onetrip_tls::rustls::{ClientPairTls, RustlsSession};
use onetrip_tls::{EndOutput, SecuredEnd};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::client::Client;
use super::wires::{Happened, Wires};
use crate::Failure;
use crate::environment::{Clock, SystemEntropy};
use crate::options::Format;

/// What is to be done.
pub(crate) struct Job {
    pub(crate) config: Config,
    pub(crate) tls: ClientPairTls,
    /// With whom; `None` waits.
    pub(crate) to: Option<Jid>,
    /// How many are sent and expected.
    pub(crate) stanzas: u32,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Talk {
    transport: &'static str,
    verification: Option<Verification>,
    wanted: u32,
    sent: u32,
    received: u32,
    clean: bool,
    /// From session-initiate on, until a stanza could be sent and the first had come.
    pub(crate) to_send: Option<Duration>,
    pub(crate) to_answer: Option<Duration>,
    total: Duration,
    /// What the initiator sent and received until then: stanzas by way of the server, without TLS, and bytes on sockets.
    pub(crate) bytes: (usize, usize),
    pub(crate) end: String,
}

impl Talk {
    /// Whether all has come, in order, and the end was in order too.
    pub(crate) fn is_whole(&self) -> bool {
        self.clean && self.sent == self.wanted && self.received == self.wanted
    }

    pub(crate) fn print(&self, format: Format) {
        let ms =
            |span: Option<Duration>| span.map(|span| (span.as_secs_f64() * 1e4).round() / 10.0);
        if format == Format::Json {
            let line = serde_json::json!({
                "transport": self.transport,
                "verification": self.verification.map(|level| format!("{level:?}").to_lowercase()),
                "sent": self.sent,
                "received": self.received,
                "clean": self.clean,
                "ms_to_send": ms(self.to_send),
                "ms_to_answer": ms(self.to_answer),
                "ms": ms(Some(self.total)),
                "end": self.end,
            });
            return anstream::println!("{line}");
        }
        let known = match self.verification {
            None => "without TLS".to_owned(),
            Some(level) => format!("over TLS, the peer {}", format!("{level:?}").to_lowercase()),
        };
        anstream::println!(
            "{} {known}: {} sent, {} received, {:.1} ms; {}",
            self.transport,
            self.sent,
            self.received,
            ms(Some(self.total)).unwrap_or_default(),
            self.end
        );
    }
}

pub(crate) struct Driver<'a> {
    job: Job,
    client: &'a mut Client,
    clock: Clock,
    entropy: SystemEntropy,
    end: Option<SecuredEnd<RustlsSession>>,
    host: Streamhost,
    wires: Wires,
    made: BTreeMap<Attempt, (u64, CandidateKind)>,
    taken: Option<u64>,
    candidates: Vec<Candidate>,
    begun: Instant,
    talk: Talk,
    over: bool,
}

impl<'a> Driver<'a> {
    /// Does the job, to the end of the session.
    pub(crate) async fn run(
        job: Job,
        client: &'a mut Client,
        listener: TcpListener,
        candidates: Vec<Candidate>,
    ) -> Result<Talk, Failure> {
        let (wires, events) = Wires::new();
        let host = Streamhost::new(job.config.socks5, 16);
        let talk = Talk {
            wanted: job.stanzas,
            transport: "ibb",
            ..Talk::default()
        };
        let mut this = Self {
            job,
            client,
            clock: Clock::new(),
            entropy: SystemEntropy::new(),
            end: None,
            host,
            wires,
            made: BTreeMap::new(),
            taken: None,
            candidates,
            begun: Instant::EPOCH,
            talk,
            over: false,
        };
        if let Some(peer) = this.job.to.clone() {
            this.initiate(peer)?;
        }
        this.work(&listener, events).await?;
        this.talk.total = this.clock.now().since(this.begun);
        Ok(this.talk)
    }

    fn initiate(&mut self, peer: Jid) -> Result<(), Failure> {
        self.begun = self.clock.now();
        let us = self.client.jid.clone();
        let (config, candidates) = (self.job.config.clone(), self.candidates.clone());
        let env = &mut Env::new(self.clock.now(), &mut self.entropy);
        let end = EndToEnd::initiate(config, env, us, peer, None, candidates)
            .map_err(|error| Failure::Usage(error.to_string()))?;
        self.begin(end)?;
        self.expect();
        Ok(())
    }

    fn begin(&mut self, end: EndToEnd) -> Result<(), Failure> {
        let env = &mut Env::new(self.clock.now(), &mut self.entropy);
        let secured = self.job.tls.secure(end, env);
        self.end = Some(secured.map_err(|error| Failure::Check(error.to_string()))?);
        Ok(())
    }

    fn expect(&mut self) {
        if let Some(end) = &self.end {
            let _ = self.host.expect(end.end().expected());
        }
    }

    async fn work(
        &mut self,
        listener: &TcpListener,
        mut events: mpsc::Receiver<Happened>,
    ) -> Result<(), Failure> {
        loop {
            self.drain();
            self.say_more();
            self.close_when_done();
            self.drain();
            if self.over {
                return Ok(());
            }
            let now = self.clock.now();
            let deadlines = [
                self.end.as_ref().and_then(SecuredEnd::poll_timeout),
                self.host.poll_timeout(),
            ];
            let wait = deadlines.into_iter().flatten().min();
            let wait = wait.map_or(Duration::from_secs(3600), |at| at.since(now));
            tokio::select! {
                stanza = self.client.inbox.recv() => match stanza {
                    Some(stanza) => self.on_stanza(&stanza)?,
                    None => return Err(Failure::Check("the connection to the server is gone".to_owned())),
                },
                Some(happened) = events.recv() => self.on_wire(happened),
                Ok((socket, _)) = listener.accept() => {
                    let number = self.wires.take(socket);
                    self.host.accepted(self.clock.now(), number);
                }
                () = tokio::time::sleep(wait) => {
                    let now = self.clock.now();
                    self.host.handle_timeout(now);
                    self.act(|end, env| end.handle_timeout(env));
                }
            }
        }
    }

    /// What counts: all until the first stanza has come.
    fn counted(&self, bytes: usize) -> usize {
        match self.talk.to_answer {
            None => bytes,
            Some(_) => 0,
        }
    }

    fn act<R: Default>(
        &mut self,
        act: impl FnOnce(&mut SecuredEnd<RustlsSession>, &mut Env<'_>) -> R,
    ) -> R {
        let env = &mut Env::new(self.clock.now(), &mut self.entropy);
        self.end
            .as_mut()
            .map(|end| act(end, env))
            .unwrap_or_default()
    }

    fn on_stanza(&mut self, stanza: &Stanza) -> Result<(), Failure> {
        let tie = self.end.as_ref().map(|end| end.end().tie(stanza));
        if let Some(Tie::Ours(answer)) = tie {
            let _ = self.client.outbox.send(answer);
            return Ok(());
        }
        self.talk.bytes.1 += self.counted(stanza.bytes().len());
        if self.act(|end, env| end.handle(env, stanza)) {
            return Ok(());
        }
        let answer = if self.end.is_none() && self.job.to.is_none() {
            self.incoming(stanza)?
        } else {
            unknown(stanza)
        };
        if let Some(answer) = answer {
            let _ = self.client.outbox.send(answer);
        }
        Ok(())
    }

    /// Whoever asks for a session gets one: the one that is waited for.
    fn incoming(&mut self, stanza: &Stanza) -> Result<Option<Stanza>, Failure> {
        let us = self.client.jid.clone();
        let config = self.job.config.clone();
        let env = &mut Env::new(self.clock.now(), &mut self.entropy);
        match EndToEnd::incoming(config, env, us, stanza, true) {
            Ok(end) => {
                self.begun = self.clock.now();
                self.begin(end)?;
                let candidates = self.candidates.clone();
                self.act(|end, env| end.accept(env, candidates));
                self.expect();
                Ok(None)
            }
            Err(answer) => Ok(answer.map(|answer| *answer).or_else(|| unknown(stanza))),
        }
    }

    fn link_of(&self, number: u64) -> Option<Link> {
        if self.taken == Some(number) {
            return Some(Link::Taken);
        }
        let made = self.made.iter().find(|(_, (made, _))| *made == number);
        made.map(|(attempt, _)| Link::Made(*attempt))
    }

    fn number_of(&self, link: Link) -> Option<u64> {
        match link {
            Link::Taken => self.taken,
            Link::Made(attempt) => self.made.get(&attempt).map(|(number, _)| *number),
        }
    }

    fn on_wire(&mut self, happened: Happened) {
        let (Happened::Connected(number) | Happened::Bytes(number, _) | Happened::Gone(number)) =
            happened;
        match (happened, self.link_of(number)) {
            (Happened::Connected(_), Some(Link::Made(attempt))) => {
                self.act(|end, env| end.connected(env, attempt));
            }
            (Happened::Bytes(_, bytes), Some(link)) => {
                self.talk.bytes.1 += self.counted(bytes.len());
                self.act(|end, env| end.receive(env, link, &bytes));
            }
            (Happened::Bytes(_, bytes), None) => {
                let used = self.host.receive(self.clock.now(), number, &bytes);
                self.drain_host();
                let rest = bytes.get(used..).unwrap_or_default();
                if !rest.is_empty() && self.taken == Some(number) {
                    self.act(|end, env| end.receive(env, Link::Taken, rest));
                }
            }
            (Happened::Gone(_), Some(link)) => {
                self.host.lost(number);
                self.act(|end, env| end.closed(env, link));
            }
            (Happened::Gone(_), None) => self.host.lost(number),
            (Happened::Connected(_), _) => {}
        }
    }

    fn drain_host(&mut self) {
        while let Some(action) = self.host.poll_action() {
            match action {
                HostAction::Write(number, bytes) => self.wires.write(number, bytes),
                HostAction::Close(number) => self.wires.close(number),
                HostAction::Taken(_, number) => {
                    self.taken = Some(number);
                    self.act(|end, env| end.taken(env));
                }
                HostAction::Lost(_) => {
                    self.taken = None;
                    self.act(|end, env| end.closed(env, Link::Taken));
                }
                _ => {}
            }
        }
    }

    fn drain(&mut self) {
        self.drain_host();
        while let Some(output) = self.end.as_mut().and_then(SecuredEnd::poll_output) {
            match output {
                EndOutput::Send(stanza) => {
                    self.talk.bytes.0 += self.counted(stanza.bytes().len());
                    let _ = self.client.outbox.send(stanza);
                }
                EndOutput::Connect { attempt, candidate } => {
                    let number = self.wires.connect(candidate.host, candidate.port);
                    self.made.insert(attempt, (number, candidate.kind));
                }
                EndOutput::Write(link, bytes) => {
                    if let Some(number) = self.number_of(link) {
                        self.talk.bytes.0 += self.counted(bytes.len());
                        self.wires.write(number, bytes);
                    }
                }
                EndOutput::Close(link) => {
                    if let Some(number) = self.number_of(link) {
                        self.host.lost(number);
                        self.wires.close(number);
                    }
                }
                EndOutput::Event(event) => self.on_event(event),
                _ => {}
            }
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Session(session::Event::Link(link)) => {
                let kind = match link {
                    Link::Made(attempt) => self.made.get(&attempt).map(|(_, kind)| *kind),
                    Link::Taken => Some(CandidateKind::Direct),
                };
                self.talk.transport = match kind {
                    Some(CandidateKind::Proxy) => "proxy",
                    _ => "direct",
                };
                if let (Link::Taken, Some(number)) = (link, self.taken) {
                    self.host.used(number);
                }
            }
            Event::Online { verification } => {
                self.talk.verification = verification;
                self.talk.to_send = Some(self.clock.now().since(self.begun));
            }
            Event::Stanza(received) => {
                // One that is out of order is as good as lost.
                let number = received.stanza.head().id.as_deref();
                if number == Some(self.talk.received.to_string().as_str()) {
                    self.talk.received += 1;
                    let since = self.clock.now().since(self.begun);
                    self.talk.to_answer.get_or_insert(since);
                }
            }
            Event::StreamClosed(end) => {
                self.talk.clean = matches!(end, End::Clean);
                if !self.talk.clean {
                    self.talk.end = format!("{end:?}; ");
                }
            }
            Event::Ended(end) => {
                self.talk.end += &format!("{end:?}");
                self.over = true;
            }
            _ => {}
        }
    }

    /// The initiator closes when all is sent and all has come.
    fn close_when_done(&mut self) {
        let all = self.talk.sent == self.talk.wanted && self.talk.received == self.talk.wanted;
        let online = self.end.as_ref().is_some_and(|end| end.end().is_online());
        if all && online && self.job.to.is_some() {
            self.act(|end, env| end.close(env));
        }
    }

    /// Sends what there is still to send, as far as there is room.
    fn say_more(&mut self) {
        let Some(end) = &mut self.end else { return };
        let env = &mut Env::new(self.clock.now(), &mut self.entropy);
        while end.end().is_online() && self.talk.sent < self.talk.wanted {
            let number = self.talk.sent;
            let body = Element::bare("body", ns::CLIENT).with_text(&format!("number {number}"));
            let message = Element::bare("message", ns::CLIENT)
                .with_attr("type", "chat")
                .with_attr("id", number.to_string())
                .with_child(body);
            let Ok(stanza) = Stanza::from_element(&message) else {
                return;
            };
            // When too much waits, it is tried again when something has happened.
            if end.send(env, &stanza).is_err() {
                return;
            }
            self.talk.sent += 1;
        }
    }
}
