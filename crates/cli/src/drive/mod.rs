//! `onetrip drive`: bytes in, actions out, one JSON object per line.

use std::time::Duration;

use onetrip_core::stream::{Content, Env, Instant, Jid, Limits, Reader, Secret, Stanza};
use onetrip_core::{
    Action, Answer, Connection, Decision, Error, Event, Registry, Request, TlsInfo,
};
use onetrip_simulator::Seeded;
use onetrip_simulator::accounts::{Accounts, derive};
use serde_json::{Value, json};

mod answer;
mod config;
mod jingle;
mod link;
mod output;
mod sasl2;
mod script;
mod servers;

use config::{Config, client, server};
use output::{emit, emit_bytes, emit_lesson, event_json, frame_json, masked, request_json};
use script::{Input, inputs, pieces};

use crate::Failure;
use crate::environment::password;
use crate::options::{Drive, Machine, OutputOptions};

/// How long the server under `drive` keeps a session.
const KEEP: Duration = Duration::from_secs(300);

/// Feeds the machine and prints what it does.
pub(crate) fn run(options: &Drive, output: &OutputOptions) -> Result<(), Failure> {
    let inputs = inputs(options)?;
    match options.machine {
        Machine::Stream => drive_stream(options, inputs),
        Machine::Jingle => jingle::run(options, inputs),
        _ => Driver::new(options, output)?.run(inputs, options.split),
    }
}

/// The reader alone.
fn drive_stream(options: &Drive, inputs: Vec<Input>) -> Result<(), Failure> {
    let mut reader = Reader::new(Limits::default());
    let mut peak = 0;
    let mut failed = false;
    for input in inputs {
        let Input::Bytes(bytes) = input else { continue };
        for piece in pieces(&bytes, options.split) {
            let mut rest = piece;
            while !failed {
                match reader.next(&mut rest) {
                    Ok(Some(frame)) => emit(&frame_json(&frame)),
                    Ok(None) => break,
                    Err(error) => {
                        failed = true;
                        let condition = error.condition().name();
                        emit(
                            &json!({"error": {"condition": condition, "text": error.to_string(), "offset": error.offset, "source": error.source_section()}}),
                        );
                    }
                }
            }
            peak = peak.max(reader.pending());
        }
    }
    let state = if failed { "failed" } else { "open" };
    emit(&json!({"state": state, "consumed": reader.consumed(), "peak_buffered": peak}));
    if failed {
        Err(Failure::Check(String::new()))
    } else {
        Ok(())
    }
}

/// Tells what the script did wrong.
fn report(result: Result<(), String>) {
    if let Err(text) = result {
        emit(&json!({"event": "usage-error", "text": text}));
    }
}

/// Whom the receiving end speaks for.
fn local(options: &Drive) -> Result<Jid, Failure> {
    match &options.local {
        Some(local) => Ok(local.clone()),
        None => "localhost"
            .parse()
            .map_err(|_| Failure::Usage("--local".to_owned())),
    }
}

/// A connection, without TLS or with TLS that succeeds at once.
struct Driver {
    connection: Connection,
    /// Of what it speaks, and so what stanzas it takes.
    content: Content,
    accounts: Option<Accounts>,
    /// What other servers ask and the script answers.
    asked: servers::Asked,
    /// The server's sessions and tokens.
    registry: Registry,
    /// Whether each stanza counts as handled when it is printed.
    handles: bool,
    entropy: Seeded,
    now: Instant,
    tls_up: bool,
    /// Which halves have been told to switch.
    switched: (bool, bool),
    peak: usize,
    consumed: u64,
    ended: bool,
    /// Whether the error has been printed: it is returned by every later call.
    told: bool,
    /// Whom the peer's certificate names.
    peer_cert: Option<String>,
    show_secrets: bool,
}

impl Driver {
    fn new(options: &Drive, output: &OutputOptions) -> Result<Self, Failure> {
        let mut entropy = Seeded::new(options.seed);
        let config = Config(&options.config);
        config.check()?;
        let secret = password(options.password_file.as_deref())?;
        let now = Instant::EPOCH;
        let (mut accounts, mut account) = (None, None);
        let env = &mut Env::new(now, &mut entropy);
        let connection = match options.machine {
            Machine::C2sInitiator => client(options, &config, secret, env)?,
            Machine::S2sInitiator => servers::initiator(options, &config, secret, env)?,
            Machine::S2sReceiver => servers::receiver(&local(options)?, &config, secret, env)?,
            Machine::Link => link::end(options, &config, env)?,
            Machine::Stream | Machine::Jingle | Machine::C2sReceiver => {
                let local = local(options)?;
                if let (Some(user), Some(secret)) = (&options.user, &secret) {
                    let jid: Jid = format!("{user}@{}", local.domain())
                        .parse()
                        .map_err(|_| Failure::Usage(format!("'{user}' is no user name")))?;
                    let mut known = Accounts::new();
                    known.add(&jid, secret, env);
                    (accounts, account) = (Some(known), Some(jid));
                }
                server(&local, &config, env)?
            }
        };
        let content = match options.machine {
            Machine::S2sInitiator | Machine::S2sReceiver | Machine::Link => Content::Server,
            _ => Content::Client,
        };
        let show_secrets = output.show_secrets;
        let mut registry = Registry::new(KEEP);
        sasl2::fill(&config, account.as_ref(), &mut registry)?;
        if let (Some(user), true) = (&options.user, options.machine == Machine::C2sReceiver) {
            config.fill(&mut registry, user, options, now)?;
        }
        Ok(Self {
            connection,
            content,
            accounts,
            asked: servers::Asked::default(),
            registry,
            handles: config.get("handled") != Some("script"),
            entropy,
            now,
            tls_up: options.tls_up,
            switched: (false, false),
            peak: 0,
            consumed: 0,
            ended: false,
            told: false,
            peer_cert: options.peer_cert.clone(),
            show_secrets,
        })
    }

    fn run(mut self, inputs: Vec<Input>, split: usize) -> Result<(), Failure> {
        let mut failed: Option<Error> = None;
        self.drain();
        for input in inputs {
            match input {
                Input::Bytes(bytes) => {
                    for piece in pieces(&bytes, split) {
                        failed = self.receive(piece).err().or(failed);
                    }
                }
                Input::Advance(span) => self.advance(span),
                Input::Eof => self
                    .connection
                    .receive_eof(&mut Env::new(self.now, &mut self.entropy)),
                Input::Stanza(text) => self.send(&text)?,
                Input::Handled(count) => self.connection.handled(count),
                Input::Answer(value) => self.answer(&value)?,
                Input::Ask(value) => {
                    let env = &mut Env::new(self.now, &mut self.entropy);
                    report(servers::ask(&mut self.connection, env, &value)?);
                }
            }
            self.drain();
        }
        // What ended a connection that nobody has spoken to since.
        if self.ended {
            failed = self.receive(&[]).err().or(failed);
        }
        let state = match (&failed, self.ended, self.connection.is_online()) {
            (Some(_), ..) => "failed",
            (None, true, _) => "closed",
            (None, false, true) => "online",
            (None, false, false) => "negotiating",
        };
        emit(&json!({"state": state, "consumed": self.consumed, "peak_buffered": self.peak}));
        if failed.is_some() {
            Err(Failure::Check(String::new()))
        } else {
            Ok(())
        }
    }

    /// Gives bytes in, through the switch to TLS if that is taken for granted.
    fn receive(&mut self, piece: &[u8]) -> Result<(), Error> {
        let mut rest = piece;
        loop {
            let used = self
                .connection
                .receive(&mut Env::new(self.now, &mut self.entropy), rest);
            self.peak = self.peak.max(self.connection.buffered());
            self.drain();
            let used = match used {
                Ok(used) => used,
                Err(error) => {
                    if !core::mem::replace(&mut self.told, true) {
                        let condition = error.condition().map(|condition| condition.name());
                        emit(
                            &json!({"error": {"condition": condition, "text": error.to_string(), "offset": error.offset, "source": error.source_section()}}),
                        );
                    }
                    return Err(error);
                }
            };
            self.consumed += used as u64;
            rest = rest.get(used..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(());
            }
            if used == 0 {
                // What is left belongs to TLS, and there is none here.
                emit_bytes("unconsumed", rest);
                return Ok(());
            }
        }
    }

    fn advance(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(deadline) = self
            .connection
            .poll_timeout()
            .filter(|deadline| deadline.at <= end)
        {
            self.now = self.now.max(deadline.at);
            self.connection
                .handle_timeout(&mut Env::new(self.now, &mut self.entropy));
            self.drain();
        }
        self.now = end;
    }

    fn send(&mut self, text: &str) -> Result<(), Failure> {
        let stanza = Stanza::parse(text.as_bytes(), self.content)
            .map_err(|error| Failure::Usage(error.to_string()))?;
        let env = &mut Env::new(self.now, &mut self.entropy);
        let sent = self.connection.send(env, &stanza);
        report(sent.map(|_| ()).map_err(|error| error.to_string()));
        Ok(())
    }

    fn answer(&mut self, value: &Value) -> Result<(), Failure> {
        let env = &mut Env::new(self.now, &mut self.entropy);
        let result = match self.asked.answer(&mut self.connection, env, value)? {
            Some(result) => result,
            None => {
                let answer = answer::read(value)?;
                let result = self.connection.answer(env, answer);
                result.map_err(|error| error.to_string())
            }
        };
        report(result);
        Ok(())
    }

    fn drain(&mut self) {
        while let Some(action) = self.connection.poll_action() {
            match action {
                Action::Transmit(bytes) => {
                    emit_bytes("transmit", &masked(&bytes, self.show_secrets))
                }
                Action::UpgradeSend => {
                    emit(&json!({"upgrade": "send"}));
                    self.switched.0 = true;
                    self.tls();
                }
                Action::UpgradeReceive => {
                    emit(&json!({"upgrade": "receive"}));
                    self.switched.1 = true;
                    self.tls();
                }
                Action::Request(request) => self.on_request(request),
                Action::Event(event) => {
                    emit(&event_json(&event));
                    // Whoever reads the line has the stanza.
                    if matches!(event, Event::Stanza(_)) && self.handles {
                        self.connection.handled(1);
                    }
                }
                Action::Entity(event) => {
                    match event.installation() {
                        Some(kept) => {
                            emit(&sasl2::tokens_json(kept, self.now, self.show_secrets));
                        }
                        None => emit_lesson(&event),
                    }
                    self.registry.handle(event, self.now);
                }
                Action::Close => {
                    self.ended = true;
                    emit(&json!({"close": true}));
                }
                _ => {}
            }
        }
    }

    /// TLS succeeds as soon as both halves go through it, if `--tls-up` says so.
    fn tls(&mut self) {
        if self.tls_up && self.switched == (true, true) {
            self.switched = (false, false);
            let mut info = TlsInfo::new();
            info.exporter = Some(Secret::new(vec![0; 32]));
            // Between clients and servers nobody looks into it here: that there is one is what counts.
            info.peer_certificates = self
                .peer_cert
                .iter()
                .map(|name| name.clone().into())
                .collect();
            info.names = self.peer_cert.iter().cloned().collect();
            let _ = self.connection.tls_established(
                &mut Env::new(self.now, &mut self.entropy),
                info,
                &[],
            );
        }
    }

    fn on_request(&mut self, request: Request) {
        emit(&request_json(&request));
        self.asked.note(&request);
        let env = &mut Env::new(self.now, &mut self.entropy);
        let answer = match (request, &self.accounts) {
            (request @ Request::Derive(_), _) => derive(&request),
            (Request::Sasl { domain, request }, Some(accounts)) => {
                Some(Answer::Sasl(accounts.decide(request, &domain)))
            }
            (Request::Bind { account, request }, Some(_)) => {
                Some(Answer::Bind(request.grant(&account, env)))
            }
            (request, Some(_)) => match self.registry.decide(env, &request) {
                Some(Decision::Answer(answer)) => Some(answer),
                // There is no other connection that could have it.
                Some(Decision::Fetch { .. }) => Some(Answer::NoSession { h: None }),
                None => None,
            },
            // Without an account the script decides.
            _ => None,
        };
        if let Some(answer) = answer {
            let _ = self.connection.answer(env, answer);
        }
    }
}
