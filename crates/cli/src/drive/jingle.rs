//! `drive jingle`: one end of a stream between two clients.
//!
//! Bytes are stanzas from the server. With `--remote` the machine begins a session; without, it receives the first that is
//! offered. Sockets are named by number, or `taken`; what happens to them is told by answers:
//!
//! ```text
//! {"answer":{"accept":true}}  {"answer":{"decline":true}}  {"answer":{"close":true}}
//! {"answer":{"socket":1,"connected":true}}  {"answer":{"socket":1,"bytes":"…"}}  {"answer":{"socket":1,"closed":true}}
//! {"answer":{"socket":"taken","connected":true}}
//! ```

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use onetrip_core::e2e::{Action, Config as Settings, EndToEnd, Event, unknown};
use onetrip_core::jingle::s5b::{Attempt, Candidate, CandidateKind, Link};
use onetrip_core::jingle::session::{self, Tie};
use onetrip_core::jingle::{Dialect, xtls};
use onetrip_core::stream::{
    Content, Env, Frame, Instant, Jid, Limits, Reader, Stanza, StreamHeader,
};
use onetrip_simulator::Seeded;
use serde_json::{Value, json};

use super::config::Config;
use super::output::{emit, end_name, stanza_json};
use super::report;
use super::script::{Input, pieces};
use crate::Failure;
use crate::options::Drive;

/// Feeds the machine and prints what it does.
pub(super) fn run(options: &Drive, inputs: Vec<Input>) -> Result<(), Failure> {
    let config = Config(&options.config);
    config.check()?;
    let us = options.local.clone();
    let us = us.ok_or_else(|| Failure::Usage("--local JID, a full address".to_owned()))?;
    let header = StreamHeader::new(Content::Client);
    let reader = Reader::primed(&header, Limits::default());
    let mut driver = Driver {
        settings: settings(&config)?,
        candidates: candidates(&config, &us)?,
        us,
        reader: reader.map_err(|error| Failure::Check(error.to_string()))?,
        end: None,
        entropy: Seeded::new(options.seed),
        now: Instant::EPOCH,
        tls_up: options.tls_up,
        peer_cert: options.peer_cert.clone(),
        sockets: BTreeMap::new(),
        over: None,
    };
    if let Some(peer) = options.remote.clone() {
        driver.initiate(peer)?;
    }
    for input in inputs {
        driver.on_input(input, options.split)?;
        driver.drain();
    }
    driver.finish()
}

fn settings(config: &Config<'_>) -> Result<Settings, Failure> {
    let certificate = config.get("certificate").unwrap_or("certificate");
    let insecure = config.flag("insecure", false);
    let certificate = (!insecure).then(|| certificate.as_bytes().to_vec());
    let mut session = session::Config::new(certificate);
    session.dialect = match config.get("dialect") {
        None | Some("modern") => Dialect::Modern,
        Some("published") => Dialect::Published2009,
        Some("interim") => Dialect::Interim2009,
        Some(other) => {
            let text = format!("dialect={other}: modern, published or interim");
            return Err(Failure::Usage(text));
        }
    };
    session.s5b = config.flag("s5b", true);
    session.addresses.allow_loopback = config.flag("loopback", false);
    session.security.allow_insecure = insecure;
    session.security.allow_sha1_fingerprint = session.dialect == Dialect::Interim2009;
    Ok(Settings::new(session))
}

/// `candidates=HOST:PORT,PROXYJID@HOST:PORT`: a proxy's has its address in front.
fn candidates(config: &Config<'_>, us: &Jid) -> Result<Vec<Candidate>, Failure> {
    let texts = config.get("candidates").into_iter();
    let texts = texts.flat_map(|texts| texts.split(','));
    let read = |(at, text): (usize, &str)| {
        let (proxy, place) = match text.split_once('@') {
            Some((proxy, place)) => (proxy.parse::<Jid>().ok(), place),
            None => (None, text),
        };
        let (host, port) = place.rsplit_once(':')?;
        let kind = match proxy {
            Some(_) => CandidateKind::Proxy,
            None => CandidateKind::Direct,
        };
        let (jid, port) = (proxy.unwrap_or_else(|| us.clone()), port.parse().ok()?);
        Some(Candidate::new(format!("c{at}"), kind, jid, host, port, 0))
    };
    let read = texts.enumerate().map(read).collect::<Option<Vec<_>>>();
    read.ok_or_else(|| Failure::Usage("candidates=HOST:PORT,JID@HOST:PORT".to_owned()))
}

struct Driver {
    settings: Settings,
    candidates: Vec<Candidate>,
    us: Jid,
    /// Of what comes from the server.
    reader: Reader,
    end: Option<EndToEnd>,
    entropy: Seeded,
    now: Instant,
    tls_up: bool,
    /// The certificate that the peer shows under `--tls-up`; else the default of this end.
    peer_cert: Option<String>,
    sockets: BTreeMap<u64, Attempt>,
    /// How it ended, and whether that was in order.
    over: Option<bool>,
}

impl Driver {
    fn initiate(&mut self, peer: Jid) -> Result<(), Failure> {
        let env = &mut Env::new(self.now, &mut self.entropy);
        let (settings, candidates) = (self.settings.clone(), self.candidates.clone());
        let begun = EndToEnd::initiate(settings, env, self.us.clone(), peer, None, candidates);
        self.end = Some(begun.map_err(|error| Failure::Usage(error.to_string()))?);
        self.drain();
        Ok(())
    }

    fn act(&mut self, act: impl FnOnce(&mut EndToEnd, &mut Env<'_>)) {
        if let Some(end) = &mut self.end {
            act(end, &mut Env::new(self.now, &mut self.entropy));
        }
    }

    fn on_input(&mut self, input: Input, split: usize) -> Result<(), Failure> {
        match input {
            Input::Bytes(bytes) => {
                for piece in pieces(&bytes, split) {
                    self.receive(piece)?;
                }
            }
            Input::Advance(span) => {
                let until = self.now + span;
                while let Some(at) = self.end.as_ref().and_then(EndToEnd::poll_timeout) {
                    if at > until {
                        break;
                    }
                    self.now = self.now.max(at);
                    self.act(|end, env| end.handle_timeout(env));
                    self.drain();
                }
                self.now = until;
            }
            Input::Stanza(text) => {
                let stanza = Stanza::parse(text.as_bytes(), Content::Client)
                    .map_err(|error| Failure::Usage(error.to_string()))?;
                let mut sent = Ok(());
                self.act(|end, env| sent = end.send(env, &stanza));
                report(sent.map_err(|error| error.to_string()));
            }
            Input::Answer(value) => self.answer(&value)?,
            _ => {
                let text = "jingle takes bytes, bytes_b64, advance_ms, stanza and answer";
                return Err(Failure::Usage(text.to_owned()));
            }
        }
        Ok(())
    }

    fn receive(&mut self, piece: &[u8]) -> Result<(), Failure> {
        let mut rest = piece;
        loop {
            match self.reader.next(&mut rest) {
                Ok(Some(Frame::Stanza(stanza))) => self.on_stanza(&stanza),
                Ok(Some(_)) => {}
                Ok(None) => return Ok(()),
                Err(error) => return Err(Failure::Usage(error.to_string())),
            }
            self.drain();
        }
    }

    fn on_stanza(&mut self, stanza: &Stanza) {
        let Some(end) = &mut self.end else {
            let env = &mut Env::new(self.now, &mut self.entropy);
            let us = self.us.clone();
            match EndToEnd::incoming(self.settings.clone(), env, us, stanza, true) {
                Ok(end) => self.end = Some(end),
                Err(answer) => {
                    if let Some(answer) = answer.map(|answer| *answer).or_else(|| unknown(stanza)) {
                        transmit(&answer);
                    }
                }
            }
            return;
        };
        if let Tie::Ours(answer) = end.tie(stanza) {
            return transmit(&answer);
        }
        let taken = end.handle(&mut Env::new(self.now, &mut self.entropy), stanza);
        if let Some(answer) = unknown(stanza).filter(|_| !taken) {
            transmit(&answer);
        }
    }

    fn answer(&mut self, value: &Value) -> Result<(), Failure> {
        let has = |key: &str| value.get(key).is_some();
        if has("accept") {
            let candidates = self.candidates.clone();
            self.act(|end, env| end.accept(env, candidates));
            return Ok(());
        }
        if has("decline") || has("close") {
            self.act(|end, env| end.close(env));
            return Ok(());
        }
        let usage = || {
            let text = "an answer is accept, decline, close, or what happens to a socket: connected, bytes or closed";
            Failure::Usage(text.to_owned())
        };
        let link = match value.get("socket") {
            Some(Value::String(taken)) if taken == "taken" => Link::Taken,
            Some(number) => {
                let attempt = number.as_u64().and_then(|number| self.sockets.get(&number));
                Link::Made(*attempt.ok_or_else(usage)?)
            }
            None => return Err(usage()),
        };
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        let bytes = match (text("bytes"), text("bytes_b64")) {
            (Some(bytes), _) => Some(bytes.as_bytes().to_vec()),
            (None, Some(bytes)) => Some(STANDARD.decode(bytes).map_err(|_| usage())?),
            (None, None) => None,
        };
        match (bytes, link) {
            (Some(bytes), link) => self.act(|end, env| end.receive(env, link, &bytes)),
            (None, link) if has("closed") => self.act(|end, env| end.closed(env, link)),
            (None, Link::Taken) => self.act(|end, env| end.taken(env)),
            (None, Link::Made(attempt)) => self.act(|end, env| end.connected(env, attempt)),
        }
        Ok(())
    }

    fn drain(&mut self) {
        while let Some(action) = self.end.as_mut().and_then(EndToEnd::poll_action) {
            match action {
                Action::Send(stanza) => transmit(&stanza),
                Action::Connect { attempt, candidate } => {
                    let number = self.sockets.len() as u64 + 1;
                    self.sockets.insert(number, attempt);
                    emit(
                        &json!({"request": "connect", "socket": number, "host": candidate.host, "port": candidate.port}),
                    );
                }
                Action::Write(link, bytes) => self.emit_socket(link, "transmit", &bytes),
                Action::Close(link) => emit(&json!({"close": true, "socket": self.name(link)})),
                Action::StartTls(role) => self.start_tls(role),
                Action::Encrypt(plain) => self.act(|end, env| end.transmit(env, &plain)),
                Action::Encrypted(bytes) => self.act(|end, env| end.receive_plain(env, &bytes)),
                Action::CloseTls => self.act(|end, env| end.tls_closed(env)),
                Action::Event(event) => self.on_event(event),
                _ => {}
            }
        }
    }

    fn start_tls(&mut self, role: xtls::TlsRole) {
        emit(&json!({"upgrade": format!("{role:?}").to_lowercase()}));
        if self.tls_up {
            let shown = self.peer_cert.clone();
            let shown = shown.unwrap_or_else(|| "certificate".to_owned());
            self.act(|end, env| end.tls_established(env, Some(shown.as_bytes())));
        }
    }

    fn name(&self, link: Link) -> Value {
        let number = match link {
            Link::Taken => None,
            Link::Made(attempt) => self.sockets.iter().find(|(_, made)| **made == attempt),
        };
        number.map_or(json!("taken"), |(number, _)| json!(number))
    }

    fn emit_socket(&self, link: Link, key: &str, bytes: &[u8]) {
        let socket = self.name(link);
        emit(&match std::str::from_utf8(bytes) {
            Ok(text) => json!({key: text, "socket": socket}),
            Err(_) => json!({format!("{key}_b64"): STANDARD.encode(bytes), "socket": socket}),
        });
    }

    fn on_event(&mut self, event: Event) {
        let known = |level: Option<xtls::Verification>| {
            level.map(|level| format!("{level:?}").to_lowercase())
        };
        emit(&match event {
            Event::Session(session::Event::Incoming { secure }) => {
                json!({"request": "accept", "secure": secure})
            }
            Event::Session(session::Event::Link(link)) => {
                json!({"event": "transport", "socket": self.name(link)})
            }
            Event::Session(session::Event::FallingBack(failure)) => {
                json!({"event": "falling-back", "text": failure.to_string()})
            }
            Event::Session(session::Event::Ringing) => json!({"event": "ringing"}),
            Event::Session(session::Event::Accepted) => json!({"event": "accepted"}),
            Event::Online { verification } => {
                json!({"event": "online", "verification": known(verification)})
            }
            Event::Stanza(received) => {
                let mut value = stanza_json(&received.stanza);
                if let Some(stanza) = value.get_mut("stanza") {
                    stanza["from"] = json!(received.from.to_string());
                    stanza["to"] = json!(received.to.to_string());
                    stanza["verification"] = json!(known(received.verification));
                }
                value
            }
            Event::Writable => json!({"event": "writable"}),
            Event::PeerError(error) => {
                json!({"event": "peer-error", "condition": error.condition.name()})
            }
            Event::StreamClosed(end) => {
                json!({"event": "stream-closed", "end": end_name(&end)})
            }
            Event::Ended(end) => {
                let good = matches!(
                    end,
                    session::End::Here(session::Reason::Success)
                        | session::End::Peer(session::Reason::Success)
                );
                self.over = Some(good);
                json!({"event": "ended", "end": format!("{end:?}")})
            }
            _ => return,
        });
    }

    fn finish(self) -> Result<(), Failure> {
        let state = match (&self.end, self.over) {
            (None, _) => "idle",
            (_, Some(true)) => "ended",
            (_, Some(false)) => "failed",
            (Some(end), None) if end.is_online() => "online",
            _ => "setup",
        };
        emit(
            &json!({"state": state, "consumed": self.reader.consumed(), "peak_buffered": self.reader.pending()}),
        );
        match self.over {
            Some(false) => Err(Failure::Check(String::new())),
            _ => Ok(()),
        }
    }
}

fn transmit(stanza: &Stanza) {
    emit(&json!({"transmit": String::from_utf8_lossy(stanza.bytes())}));
}
