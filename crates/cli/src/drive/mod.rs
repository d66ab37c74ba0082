//! `onetrip drive`: bytes in, actions out, one JSON object per line.

use std::io::Read as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use onetrip_core::negotiation::{bind, sasl};
use onetrip_core::stream::{Content, Env, Frame, Instant, Jid, Limits, Reader, Secret, Stanza};
use onetrip_core::{Action, Answer, Connection, End, Error, Event, Request, TlsInfo};
use onetrip_simulator::Seeded;
use onetrip_simulator::accounts::{Accounts, bind as bind_resource, derive};
use serde_json::{Value, json};

mod config;

use config::{Config, client, server};

use crate::Failure;
use crate::environment::password;
use crate::options::{Drive, Machine, OutputOptions};

/// One input, from standard input or a script.
enum Input {
    Bytes(Vec<u8>),
    Advance(Duration),
    Eof,
    Stanza(String),
    Answer(Value),
}

/// Feeds the machine and prints what it does.
pub(crate) fn run(options: &Drive, output: &OutputOptions) -> Result<(), Failure> {
    let inputs = inputs(options)?;
    match options.machine {
        Machine::Stream => drive_stream(options, inputs),
        Machine::C2sInitiator | Machine::C2sReceiver => {
            Driver::new(options, output)?.run(inputs, options.split)
        }
    }
}

fn inputs(options: &Drive) -> Result<Vec<Input>, Failure> {
    let Some(file) = &options.input else {
        let mut bytes = Vec::new();
        std::io::stdin()
            .read_to_end(&mut bytes)
            .map_err(|error| Failure::Usage(error.to_string()))?;
        return Ok(vec![Input::Bytes(bytes)]);
    };
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(index, line)| {
            input(line).map_err(|error| {
                Failure::Usage(format!("{}:{}: {error}", file.display(), index + 1))
            })
        })
        .collect()
}

fn input(line: &str) -> Result<Input, String> {
    let value: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    if let Some(bytes) = text("bytes") {
        Ok(Input::Bytes(bytes.as_bytes().to_vec()))
    } else if let Some(bytes) = text("bytes_b64") {
        STANDARD
            .decode(bytes)
            .map(Input::Bytes)
            .map_err(|error| error.to_string())
    } else if let Some(millis) = value.get("advance_ms").and_then(Value::as_u64) {
        Ok(Input::Advance(Duration::from_millis(millis)))
    } else if value.get("eof") == Some(&Value::Bool(true)) {
        Ok(Input::Eof)
    } else if let Some(stanza) = text("stanza") {
        Ok(Input::Stanza(stanza.to_owned()))
    } else if let Some(answer) = value.get("answer") {
        Ok(Input::Answer(answer.clone()))
    } else {
        Err("expected bytes, bytes_b64, advance_ms, eof, stanza or answer".to_owned())
    }
}

fn emit(value: &Value) {
    anstream::println!("{value}");
}

fn emit_bytes(key: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => emit(&json!({key: text})),
        Err(_) => emit(&json!({format!("{key}_b64"): STANDARD.encode(bytes)})),
    }
}

fn stanza_json(stanza: &Stanza) -> Value {
    let head = stanza.head();
    json!({"stanza": {
        "name": head.kind.name(),
        "ns": head.content.namespace(),
        "to": head.to,
        "from": head.from,
        "id": head.id,
        "type": head.type_,
        "bytes": String::from_utf8_lossy(stanza.bytes()),
    }})
}

/// Hands bytes over in pieces.
fn pieces(bytes: &[u8], split: usize) -> impl Iterator<Item = &[u8]> {
    bytes.chunks(if split == 0 {
        bytes.len().max(1)
    } else {
        split
    })
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

fn frame_json(frame: &Frame) -> Value {
    let address = |jid: &Option<Jid>| jid.as_ref().map(ToString::to_string);
    match frame {
        Frame::Header(header) => {
            json!({"event": "header", "to": address(&header.to), "from": address(&header.from), "id": header.id,
            "lang": header.lang, "version": format!("{}.{}", header.version.major, header.version.minor),
            "content": header.content.map(Content::namespace), "dialback": header.dialback})
        }
        Frame::Element(element) => {
            json!({"event": "element", "name": element.name(), "ns": element.ns()})
        }
        Frame::Stanza(stanza) => stanza_json(stanza),
        _ => json!({"event": "footer"}),
    }
}

/// A connection, without TLS or with TLS that succeeds at once.
struct Driver {
    connection: Connection,
    accounts: Option<Accounts>,
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
        let mut accounts = None;
        let env = &mut Env::new(now, &mut entropy);
        let connection = if options.machine == Machine::C2sInitiator {
            client(options, &config, secret, env)?
        } else {
            let local = options
                .local
                .clone()
                .map_or_else(|| "localhost".parse(), Ok)
                .map_err(|_| Failure::Usage("--local".to_owned()))?;
            if let (Some(user), Some(secret)) = (&options.user, &secret) {
                let jid: Jid = format!("{user}@{}", local.domain())
                    .parse()
                    .map_err(|_| Failure::Usage(format!("'{user}' is no user name")))?;
                let mut known = Accounts::new();
                known.add(&jid, secret, env);
                accounts = Some(known);
            }
            server(&local, &config, env)?
        };
        let show_secrets = output.show_secrets;
        Ok(Self {
            connection,
            accounts,
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
                Input::Answer(value) => self.answer(&value)?,
            }
            self.drain();
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
        let stanza = Stanza::parse(text.as_bytes(), Content::Client)
            .map_err(|error| Failure::Usage(error.to_string()))?;
        let env = &mut Env::new(self.now, &mut self.entropy);
        if let Err(error) = self.connection.send(env, &stanza) {
            emit(&json!({"event": "usage-error", "text": error.to_string()}));
        }
        Ok(())
    }

    fn answer(&mut self, value: &Value) -> Result<(), Failure> {
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let answer = if let Some(identity) = text("accept") {
            Answer::Sasl(sasl::Answer::Accept { identity })
        } else if let Some(name) = text("refuse") {
            let refusal = sasl::Refusal::ALL
                .iter()
                .copied()
                .find(|refusal| refusal.name() == name);
            Answer::Sasl(sasl::Answer::Refuse(refusal.ok_or_else(|| {
                Failure::Usage(format!("no SASL failure '{name}'"))
            })?))
        } else if let Some(jid) = text("bind") {
            Answer::Bind(bind::Answer::Bound { jid })
        } else if value.get("conflict").is_some() {
            Answer::Bind(bind::Answer::Refused {
                condition: "conflict",
            })
        } else {
            return Err(Failure::Usage(
                "an answer is accept, refuse, bind or conflict".to_owned(),
            ));
        };
        if let Err(error) = self
            .connection
            .answer(&mut Env::new(self.now, &mut self.entropy), answer)
        {
            emit(&json!({"event": "usage-error", "text": error.to_string()}));
        }
        Ok(())
    }

    fn drain(&mut self) {
        while let Some(action) = self.connection.poll_action() {
            match action {
                Action::Transmit(bytes) => emit_bytes("transmit", &self.masked(&bytes)),
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
                Action::Event(event) => emit(&event_json(&event)),
                Action::Entity(event) => {
                    let Some(report) = event.report() else {
                        continue;
                    };
                    let difference = report.difference.as_ref().map(ToString::to_string);
                    emit(
                        &json!({"event": "learned", "outcome": format!("{:?}", report.outcome).chars().take(80).collect::<String>(), "difference": difference}),
                    );
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
            // Nobody looks into it here: that there is one is what counts.
            info.peer_certificates = self
                .peer_cert
                .iter()
                .map(|name| name.clone().into())
                .collect();
            let _ = self.connection.tls_established(
                &mut Env::new(self.now, &mut self.entropy),
                info,
                &[],
            );
        }
    }

    /// Hides what a SASL message says.
    fn masked(&self, bytes: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        if self.show_secrets {
            return text.into_bytes();
        }
        ["<auth ", "<response "]
            .iter()
            .fold(text, |text, tag| mask(&text, tag))
            .into_bytes()
    }

    fn on_request(&mut self, request: Request) {
        let name = match &request {
            Request::Derive(_) => "derive",
            Request::Sasl {
                request: sasl::Request::Password { .. },
                ..
            } => "sasl-password",
            Request::Sasl {
                request: sasl::Request::Keys { .. },
                ..
            } => "sasl-keys",
            Request::Sasl {
                request: sasl::Request::Certificate { .. },
                ..
            } => "sasl-certificate",
            Request::Sasl { .. } => "sasl-anonymous",
            Request::Bind { .. } => "bind",
            _ => "unknown",
        };
        emit(&json!({"request": name}));
        let env = &mut Env::new(self.now, &mut self.entropy);
        let answer = match (request, &self.accounts) {
            (request @ Request::Derive(_), _) => derive(&request),
            (Request::Sasl { domain, request }, Some(accounts)) => {
                Some(Answer::Sasl(accounts.decide(request, &domain)))
            }
            (Request::Bind { account, request }, Some(_)) => {
                Some(bind_resource(&request, &account, env))
            }
            // Without an account the script decides.
            _ => None,
        };
        if let Some(answer) = answer {
            let _ = self.connection.answer(env, answer);
        }
    }
}

/// Replaces what stands between `tag …>` and the next `<`.
fn mask(text: &str, tag: &str) -> String {
    let Some(start) = text.find(tag) else {
        return text.to_owned();
    };
    let Some(open) = text
        .get(start..)
        .and_then(|rest| rest.find('>'))
        .map(|end| start + end + 1)
    else {
        return text.to_owned();
    };
    let close = text
        .get(open..)
        .and_then(|rest| rest.find('<'))
        .map_or(text.len(), |end| open + end);
    if open == close {
        text.to_owned()
    } else {
        format!("{}[hidden]{}", &text[..open], &text[close..])
    }
}

fn event_json(event: &Event) -> Value {
    match event {
        Event::Secured => json!({"event": "secured"}),
        Event::Authenticated {
            mechanism,
            identity,
        } => {
            json!({"event": "authenticated", "mechanism": mechanism.name(), "identity": identity.as_ref().map(ToString::to_string)})
        }
        Event::AuthenticationRefused(failure) => {
            json!({"event": "authentication-refused", "condition": failure.refusal.name(), "text": failure.text})
        }
        Event::NoMechanism { offered } => json!({"event": "no-mechanism", "offered": offered}),
        Event::BindRefused(refusal) => {
            json!({"event": "bind-refused", "condition": refusal.condition})
        }
        Event::Online {
            jid,
            provisional,
            resumed,
        } => {
            json!({"event": "online", "jid": jid.to_string(), "provisional": provisional, "resumed": resumed})
        }
        Event::Confirmed => json!({"event": "confirmed"}),
        Event::Stanza(stanza) => stanza_json(stanza),
        Event::PeerError(error) => {
            json!({"event": "peer-error", "condition": error.condition.name(), "text": error.text})
        }
        Event::Closed(end) => json!({"event": "closed", "end": match end {
            End::Clean => "clean",
            End::Cut => "cut",
            End::PeerError(_) => "peer-error",
            End::Failed(_) => "failed",
            End::Refused => "refused",
            End::Abandoned(_) => "abandoned",
            _ => "unknown",
        }}),
        _ => json!({"event": "unknown"}),
    }
}
