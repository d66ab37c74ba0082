//! A client that is logged in: stanzas in, stanzas out, by channels.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use minidom::Element;
use onetrip_core::negotiation::sasl;
use onetrip_core::stream::{Content, Head, Jid, Secret, Stanza, StanzaKind, Text, WriteError};
use onetrip_core::{ClientConfig, Entity, Event};
use onetrip_simulator::accounts::derive;
use onetrip_tls::rustls::RustlsSession;
use onetrip_tls::{Driven, Output};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::Failure;
use crate::compare::target::Target;
use crate::environment::{Clock, SystemEntropy};
use crate::socket::{connect, gave_no_answer, refused};

/// How many stanzas wait to be looked at.
const INBOX: usize = 1024;

/// A client that is logged in. When it is dropped, its stream is closed.
pub(crate) struct Client {
    pub(crate) jid: Jid,
    pub(crate) outbox: mpsc::UnboundedSender<Stanza>,
    pub(crate) inbox: mpsc::Receiver<Stanza>,
    task: JoinHandle<Result<(), Failure>>,
}

impl Client {
    /// Logs in, and says that it is there.
    pub(crate) async fn connect(target: &Target) -> Result<Self, Failure> {
        let Some((transport, address)) = target.addresses.first().copied() else {
            return Err(Failure::Unreachable("no address".to_owned()));
        };
        let socket = connect(address, target.patience).await?;
        let name = target.account.local().unwrap_or_default();
        let password = Secret::from(target.password.as_str());
        let sasl = sasl::InitiatorConfig::password(name, password);
        let mut config = ClientConfig::new(target.account.clone(), transport, sasl);
        config.bounds.negotiation = target.patience;
        let mut entity = Entity::default();
        let connection = Driven::client(&mut entity, config, Arc::clone(&target.tls), Clock::new())
            .map_err(|error| Failure::Check(error.to_string()))?;
        let (outbox, to_send) = mpsc::unbounded_channel();
        let (arrived, mut inbox) = mpsc::channel(INBOX);
        let driver = Driver {
            connection,
            socket,
            arrived,
            reason: None,
            address,
            patience: target.patience,
            online: false,
            timed_out: false,
        };
        let task = tokio::task::spawn_local(driver.run(to_send));
        // The first is a note to ourselves.
        let bound = inbox.recv().await;
        let jid = bound.and_then(|note| note.head().to.as_deref()?.parse().ok());
        let Some(jid) = jid else {
            let reason = task
                .await
                .map_err(|error| Failure::Check(error.to_string()))?;
            let unsaid = || Failure::Check("no login".to_owned());
            return Err(reason.err().unwrap_or_else(unsaid));
        };
        if let Ok(available) = presence(None) {
            let _ = outbox.send(available);
        }
        Ok(Self {
            jid,
            outbox,
            inbox,
            task,
        })
    }

    /// Sends a stanza; what is none is not sent.
    pub(crate) fn send(&self, stanza: &Element) {
        if let Ok(stanza) = Stanza::from_element(stanza) {
            let _ = self.outbox.send(stanza);
        }
    }

    /// Closes the stream.
    pub(crate) async fn close(self) -> Result<(), Failure> {
        drop(self.outbox);
        drop(self.inbox);
        self.task
            .await
            .map_err(|error| Failure::Check(error.to_string()))?
    }
}

fn presence(to: Option<&Jid>) -> Result<Stanza, WriteError> {
    let mut head = Head::new(StanzaKind::Presence, Content::Client);
    head.to = to.map(|to| Text::from(to.to_string()));
    Stanza::new(head, None)
}

struct Driver {
    connection: Driven<RustlsSession, Clock, SystemEntropy>,
    socket: TcpStream,
    arrived: mpsc::Sender<Stanza>,
    reason: Option<Failure>,
    address: SocketAddr,
    patience: Duration,
    online: bool,
    /// Whether a deadline is what came last.
    timed_out: bool,
}

impl Driver {
    async fn run(mut self, mut to_send: mpsc::UnboundedReceiver<Stanza>) -> Result<(), Failure> {
        let mut chunk = vec![0_u8; 16 * 1024];
        let mut open = true;
        loop {
            if self.drain().await {
                let silent = || gave_no_answer(self.address, self.patience, self.timed_out);
                let reason = self.reason.or_else(|| (!self.online).then(silent));
                return reason.map_or(Ok(()), Err);
            }
            let wait = self.connection.wait().unwrap_or(Duration::from_secs(3600));
            tokio::select! {
                read = self.socket.read(&mut chunk) => {
                    self.timed_out = false;
                    match read {
                        Ok(count @ 1..) => {
                            let bytes = chunk.get(..count).unwrap_or_default();
                            if let Err(error) = self.connection.receive(bytes) {
                                self.reason.get_or_insert_with(|| refused(&error));
                            }
                        }
                        _ => self.connection.receive_eof(),
                    }
                }
                stanza = to_send.recv(), if open => {
                    match stanza {
                        Some(stanza) => {
                            let _ = self.connection.send(&stanza);
                        }
                        None => {
                            open = false;
                            self.connection.close();
                        }
                    }
                }
                () = tokio::time::sleep(wait) => {
                    self.timed_out = true;
                    self.connection.handle_timeout();
                }
            }
        }
    }

    /// Whether it is over.
    async fn drain(&mut self) -> bool {
        let mut over = false;
        while let Some(output) = self.connection.poll_output() {
            match output {
                Output::Transmit(bytes) => {
                    let written = self.socket.write_all(&bytes).await;
                    if written.is_err() {
                        return true;
                    }
                }
                Output::Request(request) => {
                    if let Some(answer) = derive(&request) {
                        let _ = self.connection.answer(answer);
                    }
                }
                Output::Event(Event::Online { jid, .. }) => {
                    self.online = true;
                    if let Ok(note) = presence(Some(&jid)) {
                        let _ = self.arrived.send(note).await;
                    }
                }
                Output::Event(Event::Stanza(stanza)) => {
                    let _ = self.arrived.send(stanza).await;
                }
                Output::Event(Event::AuthenticationRefused(failure)) => {
                    let reason = format!("the server refused the credentials: {failure}");
                    self.reason = Some(Failure::Check(reason));
                }
                Output::Event(Event::PeerError(error)) => {
                    self.reason = Some(Failure::Check(error.to_string()));
                }
                Output::Close => {
                    let _ = self.socket.shutdown().await;
                    over = true;
                }
                _ => {}
            }
        }
        over
    }
}
