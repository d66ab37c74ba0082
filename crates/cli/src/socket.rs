//! One login over a real socket: the whole driver, and what it measures.
//!
//! With an [`Exchange`] it also sends stanzas to itself, and may be cut off in the middle of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use minidom::Element;
use onetrip_core::quickstart::{Level, Plan};
use onetrip_core::stream::{Build as _, Jid, Stanza, ns};
use onetrip_core::stream_management as sm;
use onetrip_core::{ClientConfig, End, Entity, EntityEvent, ErrorKind, Event};
use onetrip_simulator::accounts::derive;
use onetrip_tls::rustls::RustlsSession;
use onetrip_tls::rustls::rustls::ClientConfig as TlsConfig;
use onetrip_tls::{Driven, Output, SecuredError, TlsErrorKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::Failure;
use crate::environment::{Clock, SystemEntropy};
use crate::exchange::Exchange;
use crate::meter::{Measured, Meter, QUESTION};

/// What is needed to log in.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    pub(crate) target: SocketAddr,
    pub(crate) tls: Arc<TlsConfig>,
    pub(crate) config: ClientConfig,
    pub(crate) title: String,
    /// What TCP's own round trip takes on a link that a relay only plays.
    pub(crate) tcp: Duration,
    /// How long a connection attempt may take, and the answer to a stanza.
    pub(crate) patience: Duration,
}

/// What a login came to.
#[derive(Debug, Default)]
pub(crate) struct Attempt {
    pub(crate) measured: Measured,
    pub(crate) mechanism: Option<&'static str>,
    pub(crate) taught: Vec<EntityEvent>,
    /// Whether an earlier session went on.
    pub(crate) resumed: bool,
    /// Why it did not work, in words.
    pub(crate) reason: Option<String>,
    /// The same where no other strategy could do better.
    pub(crate) hopeless: Option<Failure>,
}

/// Logs in, asks the server something, and closes when it is answered and all stanzas have come back.
pub(crate) async fn login(
    login: &Login,
    plan: Plan,
    entity: &mut Entity,
    exchange: Option<&mut Exchange>,
) -> Result<Attempt, Failure> {
    let clock = Clock::new();
    let socket = connect(login.target, login.patience).await?;
    tokio::time::sleep(login.tcp).await;
    let session = RustlsSession::client(Arc::clone(&login.tls), login.config.account.domain())
        .map_err(|error| Failure::Check(error.to_string()))?;
    let step_by_step = plan.level() == Level::Off;
    let connection = Driven::new(session, clock, SystemEntropy::new(), |env| {
        entity.connect_as(login.config.clone(), plan, env)
    });
    let mut driver = Driver {
        connection,
        socket,
        meter: Meter::new(&login.title, clock),
        attempt: Attempt::default(),
        closed: false,
        closing: false,
        patience: login.patience,
        timed_out: false,
        exchange,
        jid: None,
    };
    driver.run().await;
    driver.leave();
    let timed_out = driver.timed_out;
    let mut attempt = driver.attempt;
    attempt.measured = driver.meter.take();
    let silent = attempt.measured.bytes_received == 0 || (timed_out && step_by_step);
    if attempt.measured.to_send.is_some() {
        attempt.hopeless = None;
    } else if attempt.hopeless.is_none() && silent {
        attempt.hopeless = Some(gave_no_answer(login.target, login.patience, timed_out));
    }
    Ok(attempt)
}

/// Opens a connection.
pub(crate) async fn connect(target: SocketAddr, patience: Duration) -> Result<TcpStream, Failure> {
    let socket = timeout(patience, TcpStream::connect(target))
        .await
        .map_err(|_| gave_no_answer(target, patience, true))?
        .map_err(|error| Failure::Unreachable(format!("{target}: {error}")))?;
    let _ = socket.set_nodelay(true);
    Ok(socket)
}

/// What is said of what a server did wrong.
pub(crate) fn refused(error: &SecuredError) -> Failure {
    Failure::Check(if is_distrust(error) {
        format!("{error}; --ca-file says whom to trust")
    } else {
        error.to_string()
    })
}

fn is_distrust(error: &SecuredError) -> bool {
    matches!(error, SecuredError::Tls(error) if error.kind == TlsErrorKind::Certificate)
}

/// What is said of a server that stays silent, or closes without a word.
pub(crate) fn gave_no_answer(target: SocketAddr, patience: Duration, timed_out: bool) -> Failure {
    Failure::Unreachable(if timed_out {
        format!("{target}: no answer within {} s", patience.as_secs_f64())
    } else {
        format!("{target}: the connection was closed without a word")
    })
}

struct Driver<'a> {
    connection: Driven<RustlsSession, Clock, SystemEntropy>,
    socket: TcpStream,
    meter: Meter,
    attempt: Attempt,
    closed: bool,
    closing: bool,
    patience: Duration,
    timed_out: bool,
    exchange: Option<&'a mut Exchange>,
    /// Our own address.
    jid: Option<Jid>,
}

impl Driver<'_> {
    async fn run(&mut self) {
        let mut chunk = vec![0_u8; 16 * 1024];
        loop {
            if self.drain().await.is_err() || self.closed {
                return;
            }
            if self
                .exchange
                .as_ref()
                .is_some_and(|exchange| exchange.is_cut())
            {
                return;
            }
            self.close_when_done();
            if self.drain().await.is_err() || self.closed {
                return;
            }
            let wait = self.connection.wait().unwrap_or(self.patience);
            match timeout(wait, self.socket.read(&mut chunk)).await {
                Err(_) if self.connection.secured().poll_timeout().is_none() => {
                    self.timed_out = true;
                    self.attempt
                        .reason
                        .get_or_insert_with(|| "no answer".to_owned());
                    return;
                }
                Err(_) => {
                    self.connection.handle_timeout();
                }
                Ok(Ok(count @ 1..)) => {
                    let bytes = chunk.get(..count).unwrap_or_default();
                    self.receive(bytes);
                }
                Ok(_) => {
                    self.connection.receive_eof();
                }
            }
        }
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.meter.read(bytes.len());
        if let Err(error) = self.connection.receive(bytes) {
            if is_distrust(&error) {
                self.attempt.hopeless = Some(refused(&error));
            }
            self.attempt.reason.get_or_insert_with(|| error.to_string());
        }
    }

    /// Ends the session once there is nothing left to learn from it.
    fn close_when_done(&mut self) {
        let over = self
            .exchange
            .as_ref()
            .is_none_or(|exchange| exchange.is_over());
        let learnt = self
            .attempt
            .taught
            .iter()
            .any(|event| event.report().is_some());
        if self.meter.is_over() && learnt && over && !self.closing {
            self.closing = true;
            self.connection.close();
        }
    }

    async fn drain(&mut self) -> std::io::Result<()> {
        while let Some(output) = self.connection.poll_output() {
            match output {
                Output::Transmit(bytes) => {
                    self.meter.write(bytes.len());
                    self.socket.write_all(&bytes).await?;
                }
                Output::Trace(unit) => self.meter.unit(unit),
                Output::Request(request) => {
                    if let Some(answer) = derive(&request) {
                        let _ = self.connection.answer(answer);
                    }
                }
                Output::Entity(event) => self.attempt.taught.push(event),
                Output::Event(event) => self.on_event(event),
                Output::Close => {
                    self.closed = true;
                    let _ = self.socket.shutdown().await;
                }
                _ => {}
            }
        }
        self.meter.settle();
        Ok(())
    }

    /// The connection is gone, however that came about: what outlives it comes out.
    fn leave(&mut self) {
        self.connection.receive_eof();
        while let Some(output) = self.connection.poll_output() {
            match output {
                Output::Entity(event) => self.attempt.taught.push(event),
                Output::Event(event) => self.on_event(event),
                _ => {}
            }
        }
    }

    fn on_event(&mut self, event: Event) {
        let reason = match event {
            Event::Online { jid, resumed, .. } => {
                self.meter.online();
                self.attempt.resumed = resumed;
                self.jid = Some(jid);
                self.ask();
                match &mut self.exchange {
                    Some(exchange) if exchange.will_be_cut() => self.send_some(),
                    // It goes on when the question is answered: what is measured ends there.
                    Some(exchange) if !resumed => exchange.give_up(),
                    _ => {}
                }
                return;
            }
            Event::Stanza(stanza) => {
                self.on_stanza(&stanza);
                return self.connection.handled(1);
            }
            Event::Management(sm::Event::Acked(handles)) => {
                if let Some(exchange) = &mut self.exchange {
                    exchange.on_acknowledged(handles);
                }
                return;
            }
            Event::Management(sm::Event::HandedBack(entries)) => {
                if let Some(exchange) = &mut self.exchange {
                    entries
                        .iter()
                        .for_each(|entry| exchange.hand_back(&entry.bytes));
                }
                return;
            }
            Event::Management(sm::Event::Refused { condition }) => format!(
                "the server would not resume the session: {}",
                condition.unwrap_or_default()
            ),
            Event::InstantResumeRefused { condition } => format!(
                "the server would not take the token: {}",
                condition.unwrap_or_default()
            ),
            Event::Authenticated { mechanism, .. } => {
                self.attempt.mechanism = Some(mechanism.name());
                return;
            }
            Event::AuthenticationRefused(failure) => {
                let reason = format!("the server refused the credentials: {failure}");
                self.attempt.hopeless = Some(Failure::Check(reason.clone()));
                reason
            }
            Event::NoMechanism { offered } => format!(
                "no mechanism in common; the server offers {}",
                offered.join(", ")
            ),
            Event::BindRefused(refusal) => {
                format!("the server refused a resource: {}", refusal.condition)
            }
            Event::PeerError(error) => format!("stream error {error}"),
            Event::Closed(End::Abandoned(broken)) => {
                // What was assumed says more than how the connection happened to end.
                self.attempt.reason = Some(match self.attempt.reason.take() {
                    Some(reason) => format!("{broken} ({reason})"),
                    None => broken.to_string(),
                });
                return;
            }
            Event::Closed(End::Cut) => "the server closed the connection".to_owned(),
            Event::Closed(End::Failed(error)) => {
                self.timed_out = matches!(error.kind, ErrorKind::TimedOut(_));
                error.to_string()
            }
            _ => return,
        };
        self.attempt.reason.get_or_insert(reason);
    }

    fn on_stanza(&mut self, stanza: &Stanza) {
        let id = stanza.head().id.as_deref().unwrap_or_default();
        if id == QUESTION {
            self.meter.answered();
            return self.send_some();
        }
        if let Some(exchange) = &mut self.exchange {
            exchange.on_stanza(id);
        }
    }

    /// Sends what is left of the exchange, to ourselves.
    fn send_some(&mut self) {
        let (Some(jid), Some(exchange)) = (&self.jid, &mut self.exchange) else {
            return;
        };
        while let Some(stanza) = exchange.next(jid) {
            if let Ok(Some(handle)) = self.connection.send(&stanza) {
                exchange.on_sent(handle);
            }
        }
    }

    fn ask(&mut self) {
        let ping = Element::bare("iq", ns::CLIENT)
            .with_attr("type", "get")
            .with_attr("id", QUESTION)
            .with_attr("to", self.attempt_domain())
            .with_child(Element::bare("ping", ns::PING));
        if let Ok(stanza) = Stanza::from_element(&ping) {
            let _ = self.connection.send(&stanza);
        }
    }

    fn attempt_domain(&self) -> String {
        self.connection
            .secured()
            .connection()
            .peer_domain()
            .map(ToString::to_string)
            .unwrap_or_default()
    }
}
