//! One client's connection: the driver of its machines, and its part in routing.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use minidom::Element;
use onetrip_core::quickstart::Transport;
use onetrip_core::stream::{Build as _, Condition, Env, Jid, Stanza, StanzaKind, StreamError};
use onetrip_core::stream_management as sm;
use onetrip_core::{Answer, Connection, Decision, Event, Request};
use onetrip_simulator::accounts::bind;
use onetrip_tls::rustls::RustlsSession;
use onetrip_tls::{Output, Secured};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

use super::hub::{Hub, Letter, Mailbox};
use super::queries;
use crate::environment::SystemEntropy;

/// How many letters wait for one client.
const MAILBOX: usize = 1024;
/// How long another connection may take to hand a session over.
const HAND_OVER: Duration = Duration::from_secs(5);

/// One client.
pub(super) struct Session {
    hub: Arc<Hub>,
    secured: Secured<RustlsSession>,
    entropy: SystemEntropy,
    mailbox: Mailbox,
    jid: Option<Jid>,
    /// The name of its session, if that may be resumed.
    named: Option<String>,
    /// A session that another connection was asked for.
    fetching: Option<oneshot::Receiver<Option<Box<sm::Session>>>>,
    closed: bool,
}

impl Session {
    pub(super) async fn serve(hub: Arc<Hub>, socket: TcpStream, transport: Transport) {
        let _ = socket.set_nodelay(true);
        let mut entropy = SystemEntropy::new();
        let Ok(session) = RustlsSession::server(Arc::clone(&hub.settings.tls)) else {
            return;
        };
        let connection = Connection::server(
            hub.config(transport),
            &mut Env::new(hub.clock.now(), &mut entropy),
        );
        let (mailbox, mut letters) = mpsc::channel(MAILBOX);
        let mut this = Self {
            secured: Secured::new(connection, session),
            hub,
            entropy,
            mailbox,
            jid: None,
            named: None,
            fetching: None,
            closed: false,
        };
        let _ = this.run(socket, &mut letters).await;
        this.leave(letters);
    }

    async fn run(
        &mut self,
        mut socket: TcpStream,
        letters: &mut mpsc::Receiver<Letter>,
    ) -> std::io::Result<()> {
        let mut chunk = vec![0_u8; 16 * 1024];
        loop {
            while let Some(output) = self.secured.poll_output() {
                match output {
                    Output::Transmit(bytes) => self.write(&mut socket, &bytes).await?,
                    output => self.on_output(output),
                }
            }
            if self.closed {
                return socket.shutdown().await;
            }
            let now = self.hub.clock.now();
            let wait = self
                .secured
                .poll_timeout()
                .map_or(Duration::from_secs(3600), |deadline| deadline.at.since(now));
            tokio::select! {
                read = socket.read(&mut chunk) => {
                    let env = &mut Env::new(self.hub.clock.now(), &mut self.entropy);
                    match read {
                        Ok(count @ 1..) => { let _ = self.secured.receive(env, chunk.get(..count).unwrap_or_default()); }
                        _ => self.secured.receive_eof(env),
                    }
                }
                Some(letter) = letters.recv() => self.on_letter(letter),
                fetched = fetched(&mut self.fetching) => self.on_fetched(fetched),
                () = tokio::time::sleep(wait) => self.secured.handle_timeout(&mut Env::new(self.hub.clock.now(), &mut self.entropy)),
            }
        }
    }

    async fn write(&mut self, socket: &mut TcpStream, bytes: &Bytes) -> std::io::Result<()> {
        // A client that does not read holds up nobody but itself, and not for ever.
        match tokio::time::timeout(Duration::from_secs(60), socket.write_all(bytes)).await {
            Ok(result) => result,
            Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
        }
    }

    /// The connection is over, however that came about: nothing that is on its way to this client is lost.
    fn leave(&mut self, mut letters: mpsc::Receiver<Letter>) {
        let env = &mut Env::new(self.hub.clock.now(), &mut self.entropy);
        self.secured.receive_eof(env);
        while let Some(output) = self.secured.poll_output() {
            self.on_output(output);
        }
        {
            let mut state = self.hub.state();
            // Only what is ours: another connection may have taken it over.
            let mailbox = &self.mailbox;
            state.online.retain(|_, other| !other.same_channel(mailbox));
            state
                .holders
                .retain(|_, other| !other.same_channel(mailbox));
        }
        letters.close();
        while let Ok(letter) = letters.try_recv() {
            if let (Letter::Stanza(stanza), Some(jid)) = (letter, &self.jid)
                && !self.hub.deliver(&stanza, jid)
            {
                self.hub.undelivered(jid, stanza.bytes());
            }
        }
    }

    fn on_letter(&mut self, letter: Letter) {
        match letter {
            Letter::Stanza(stanza) => self.send(&stanza),
            Letter::HandOver(reply) => {
                let env = &mut Env::new(self.hub.clock.now(), &mut self.entropy);
                let _ = reply.send(self.secured.hand_over(env));
            }
            Letter::Replaced => {
                let conflict = StreamError::new(Condition::Conflict)
                    .with_text("another connection has bound this address");
                self.secured.close_with(&conflict);
            }
        }
    }

    fn on_fetched(&mut self, session: Option<Box<sm::Session>>) {
        self.fetching = None;
        self.answer(match session {
            Some(session) => Answer::Session(session),
            None => Answer::NoSession { h: None },
        });
    }

    fn on_output(&mut self, output: Output) {
        match output {
            Output::Request(request) => self.on_request(request),
            Output::Entity(event) => {
                let now = self.hub.clock.now();
                self.hub.state().registry.handle(event, now);
            }
            Output::Event(event) => self.on_event(event),
            Output::Close => self.closed = true,
            _ => {}
        }
    }

    fn on_request(&mut self, request: Request) {
        let env = &mut Env::new(self.hub.clock.now(), &mut self.entropy);
        let answer = match request {
            Request::Sasl { domain, request } => {
                Answer::Sasl(self.hub.settings.accounts.decide(request, &domain))
            }
            Request::Bind { account, request } => bind(&request, &account, env),
            request => {
                let decision = self.hub.state().registry.decide(env, &request);
                match decision {
                    Some(Decision::Answer(answer)) => answer,
                    Some(Decision::Fetch(session)) => return self.fetch(&session),
                    None => return,
                }
            }
        };
        self.answer(answer);
    }

    fn answer(&mut self, answer: Answer) {
        match &answer {
            Answer::Session(session) => self.hold(&session.id),
            Answer::Enable(Some(granted)) => {
                if let Some(id) = &granted.id {
                    self.hold(id);
                }
            }
            _ => {}
        }
        let env = &mut Env::new(self.hub.clock.now(), &mut self.entropy);
        let _ = self.secured.answer(env, answer);
    }

    /// From here on whoever wants this session has to ask here.
    fn hold(&mut self, session: &str) {
        let mailbox = self.mailbox.clone();
        self.hub.state().holders.insert(session.to_owned(), mailbox);
        self.named = Some(session.to_owned());
    }

    /// Asks the connection that has the session for it.
    fn fetch(&mut self, session: &str) {
        let (reply, answer) = oneshot::channel();
        let holder = self.hub.state().holders.get(session).cloned();
        if let Some(holder) = holder {
            let _ = holder.try_send(Letter::HandOver(reply));
        }
        self.fetching = Some(answer);
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Online { jid, .. } => {
                let mailbox = self.mailbox.clone();
                let replaced = self.hub.state().online.insert(jid.clone(), mailbox);
                if let Some(replaced) = replaced {
                    let _ = replaced.try_send(Letter::Replaced);
                }
                self.jid = Some(jid);
            }
            Event::Stanza(stanza) => {
                self.on_stanza(&stanza);
                // It is with its addressee, or answered.
                self.secured.handled(1);
            }
            Event::Management(sm::Event::HandedBack(entries)) => {
                if let Some(jid) = &self.jid {
                    for entry in entries {
                        self.hub.undelivered(jid, &entry.bytes);
                    }
                }
            }
            Event::TokenExposed(claim) => self.hub.state().registry.revoke(&claim),
            Event::TokenConfirmed { session } => self.hub.state().registry.confirm(&session),
            _ => {}
        }
    }

    fn reply(&mut self, element: &Element) {
        if let Ok(stanza) = Stanza::from_element(element) {
            self.send(&stanza);
        }
    }

    fn send(&mut self, stanza: &Stanza) {
        let env = &mut Env::new(self.hub.clock.now(), &mut self.entropy);
        let sent = self.secured.send(env, stanza);
        if let (Err(_), Some(jid)) = (sent, &self.jid) {
            self.hub.undelivered(jid, stanza.bytes());
        }
    }

    /// RFC 6120 §10: stamps the sender and passes it on, or answers.
    fn on_stanza(&mut self, stanza: &Stanza) {
        let Some(jid) = self.jid.clone() else { return };
        let element = stanza.element().with_attr("from", jid.to_string());
        let to = match &stanza.head().to {
            None => jid.to_bare(),
            Some(to) => match to.parse::<Jid>() {
                Ok(to) => to,
                Err(_) => return self.bounce(&element, "jid-malformed"),
            },
        };
        let served = self.hub.settings.domains.contains(to.domain());
        let own = to.local().is_none() || to == jid.to_bare();
        match stanza.head().kind {
            _ if !served => self.bounce(&element, "remote-server-not-found"),
            StanzaKind::Iq if own && to.resource().is_none() => {
                match queries::answer(&element, &to) {
                    Some(Ok(result)) => self.reply(&result),
                    Some(Err(condition)) => self.bounce(&element, condition),
                    None => {}
                }
            }
            StanzaKind::Presence if stanza.head().to.is_none() => {}
            _ if to.local().is_none() => self.bounce(&element, "service-unavailable"),
            _ => {
                let reached = Stanza::from_element(&element)
                    .is_ok_and(|stanza| self.hub.deliver(&stanza, &to));
                if !reached {
                    self.bounce(&element, "service-unavailable");
                }
            }
        }
    }

    fn bounce(&mut self, element: &Element, condition: &str) {
        if let Some(error) = queries::error_to(element, condition) {
            self.reply(&error);
        }
    }
}

/// What the other connection hands over, when it is asked at all.
async fn fetched(
    fetching: &mut Option<oneshot::Receiver<Option<Box<sm::Session>>>>,
) -> Option<Box<sm::Session>> {
    match fetching {
        Some(fetching) => tokio::time::timeout(HAND_OVER, fetching)
            .await
            .ok()
            .and_then(Result::ok)
            .flatten(),
        None => std::future::pending().await,
    }
}
