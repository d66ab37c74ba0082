//! One client's connection: the driver of its machines, and its part in routing.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use minidom::Element;
use onetrip_core::quickstart::Transport;
use onetrip_core::stream::{Build as _, Condition, Jid, Stanza, StanzaKind, StreamError};
use onetrip_core::stream_management as sm;
use onetrip_core::{Answer, Decision, Event, Request};
use onetrip_tls::rustls::RustlsSession;
use onetrip_tls::{Driven, Output};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

use super::hub::{Hub, Letter, Mailbox};
use super::queries;
use crate::environment::{Clock, SystemEntropy};

/// How many letters wait for one client.
const MAILBOX: usize = 1024;
/// How long another connection may take to hand a session over.
const HAND_OVER: Duration = Duration::from_secs(5);

/// One client.
pub(super) struct Session {
    hub: Arc<Hub>,
    connection: Driven<RustlsSession, Clock, SystemEntropy>,
    mailbox: Mailbox,
    jid: Option<Jid>,
    /// The name of its session, if that may be resumed.
    named: Option<String>,
    /// A session that another connection was asked for.
    fetching: Option<Fetching>,
    closed: bool,
}

/// A session on its way from another connection.
struct Fetching {
    session: String,
    owner: Jid,
    answer: oneshot::Receiver<Option<Box<sm::Session>>>,
}

impl Session {
    pub(super) async fn serve(hub: Arc<Hub>, socket: TcpStream, transport: Transport) {
        let _ = socket.set_nodelay(true);
        let tls = Arc::clone(&hub.settings.tls);
        let Ok(connection) = Driven::server(hub.config(transport), tls, hub.clock) else {
            return;
        };
        let (mailbox, mut letters) = mpsc::channel(MAILBOX);
        let mut this = Self {
            connection,
            hub,
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
            while let Some(output) = self.connection.poll_output() {
                match output {
                    Output::Transmit(bytes) => self.write(&mut socket, &bytes).await?,
                    output => self.on_output(output),
                }
            }
            if self.closed {
                return socket.shutdown().await;
            }
            let wait = self.connection.wait().unwrap_or(Duration::from_secs(3600));
            tokio::select! {
                biased;
                // First, so that letters that follow the session find it here.
                fetched = fetched(&mut self.fetching) => self.on_fetched(fetched),
                read = socket.read(&mut chunk) => match read {
                    Ok(count @ 1..) => { let _ = self.connection.receive(chunk.get(..count).unwrap_or_default()); }
                    _ => self.connection.receive_eof(),
                },
                Some(letter) = letters.recv() => self.on_letter(letter, letters),
                () = tokio::time::sleep(wait) => self.connection.handle_timeout(),
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
        self.connection.receive_eof();
        while let Some(output) = self.connection.poll_output() {
            self.on_output(output);
        }
        if let Some(session) = self.stop_fetching() {
            self.keep(*session);
        }
        self.sign_off();
        letters.close();
        while let Ok(letter) = letters.try_recv() {
            let (Letter::Stanza(stanza), Some(jid)) = (letter, &self.jid) else {
                continue;
            };
            if !self.hub.deliver(&stanza, jid) {
                self.hub.undelivered(jid, stanza.bytes());
            }
        }
    }

    /// Takes this connection off all lists. Only what is ours: another may have taken it over.
    fn sign_off(&self) {
        let mailbox = &self.mailbox;
        let ours = |other: &Mailbox| other.same_channel(mailbox);
        let mut state = self.hub.state();
        state.online.retain(|_, other| !ours(other));
        state.holders.retain(|_, other| !ours(other));
    }

    /// A session that nobody has taken waits again.
    fn keep(&self, session: sm::Session) {
        let now = self.hub.clock.now();
        self.hub.state().registry.keep(session, None, now);
    }

    fn on_letter(&mut self, letter: Letter, letters: &mut mpsc::Receiver<Letter>) {
        match letter {
            Letter::Stanza(stanza) => self.send(&stanza),
            Letter::HandOver(reply, successor) => {
                // What is in the mailbox belongs to the session.
                while let Ok(Letter::Stanza(stanza)) = letters.try_recv() {
                    self.send(&stanza);
                }
                self.hand_over(reply, successor);
            }
            Letter::Replaced => {
                let conflict = StreamError::new(Condition::Conflict)
                    .with_text("another connection has bound this address");
                self.connection
                    .act(|connection, _| connection.close_with(&conflict));
            }
        }
    }

    fn hand_over(&mut self, reply: oneshot::Sender<Option<Box<sm::Session>>>, successor: Mailbox) {
        let session = self
            .connection
            .act(|connection, env| connection.hand_over(env));
        let Err(Some(session)) = reply.send(session) else {
            if let Some(jid) = &self.jid {
                self.hub.state().online.insert(jid.clone(), successor);
            }
            return;
        };
        // Whoever asked has gone meanwhile.
        self.keep(*session);
    }

    fn on_fetched(&mut self, session: Option<Box<sm::Session>>) {
        let Some(fetching) = self.fetching.take() else {
            return;
        };
        let answer = match session.or_else(|| late(fetching.answer)) {
            Some(session) => Answer::Session(session),
            // The other connection may have ended by itself, and the session waits.
            None => {
                let (session, owner) = (&fetching.session, &fetching.owner);
                match self.hub.state().registry.find(session, owner) {
                    Decision::Answer(answer) => answer,
                    Decision::Fetch { .. } => Answer::NoSession { h: None },
                }
            }
        };
        self.answer(answer);
    }

    fn stop_fetching(&mut self) -> Option<Box<sm::Session>> {
        late(self.fetching.take()?.answer)
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
        let env = &mut self.connection.env();
        let answer = match request {
            Request::Sasl { domain, request } => {
                Answer::Sasl(self.hub.settings.accounts.decide(request, &domain))
            }
            Request::Bind { account, request } => Answer::Bind(request.grant(&account, env)),
            request => {
                let decision = self.hub.state().registry.decide(env, &request);
                match decision {
                    Some(Decision::Answer(answer)) => answer,
                    Some(Decision::Fetch { session, owner }) => return self.fetch(session, owner),
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
        let _ = self.connection.answer(answer);
    }

    /// From here on whoever wants this session has to ask here.
    fn hold(&mut self, session: &str) {
        let mailbox = self.mailbox.clone();
        self.hub.state().holders.insert(session.to_owned(), mailbox);
        self.named = Some(session.to_owned());
    }

    /// Asks the connection that has the session for it.
    fn fetch(&mut self, session: String, owner: Jid) {
        let (reply, answer) = oneshot::channel();
        let holder = self.hub.state().holders.get(&session).cloned();
        if let Some(holder) = holder {
            let _ = holder.try_send(Letter::HandOver(reply, self.mailbox.clone()));
        }
        self.fetching = Some(Fetching {
            session,
            owner,
            answer,
        });
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Online { jid, resumed, .. } => {
                let mailbox = self.mailbox.clone();
                let replaced = self.hub.state().online.insert(jid.clone(), mailbox);
                if let Some(replaced) = replaced.filter(|other| !other.same_channel(&self.mailbox))
                {
                    let _ = replaced.try_send(Letter::Replaced);
                }
                if !resumed {
                    let over = self.hub.state().registry.replace(&jid);
                    self.hub.disperse(over);
                }
                self.jid = Some(jid);
            }
            Event::Stanza(stanza) => {
                self.on_stanza(&stanza);
                // It is with its addressee, or answered.
                self.connection.handled(1);
            }
            Event::Management(sm::Event::HandedBack(entries)) => {
                if let Some(jid) = &self.jid {
                    for entry in entries {
                        self.hub.undelivered(jid, &entry.bytes);
                    }
                }
            }
            Event::TokenExposed(claim) => self.hub.state().registry.revoke(&claim),
            Event::ProofExposed { session } => self.hub.state().registry.revoke_key(&session),
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
        let sent = self.connection.send(stanza);
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
        if let Some((_, proxy)) = self
            .hub
            .proxy
            .as_ref()
            .filter(|proxy| proxy.0 == *to.domain())
        {
            if proxy.try_send(element.clone()).is_err() {
                self.bounce(&element, "resource-constraint");
            }
            return;
        }
        let served = self.hub.settings.domains.contains(to.domain());
        let own = to.local().is_none() || to == jid.to_bare();
        match stanza.head().kind {
            _ if !served => {
                if let Err(condition) = self.hub.send_abroad(&element) {
                    self.bounce(&element, condition);
                }
            }
            StanzaKind::Iq if own && to.resource().is_none() => {
                let proxy = self.hub.proxy.as_ref().map(|(domain, _)| domain);
                let items = queries::items(&element, proxy).filter(|_| to.local().is_none());
                match items.map(Ok).or_else(|| queries::answer(&element, &to)) {
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
async fn fetched(fetching: &mut Option<Fetching>) -> Option<Box<sm::Session>> {
    match fetching {
        Some(fetching) => tokio::time::timeout(HAND_OVER, &mut fetching.answer)
            .await
            .ok()
            .and_then(Result::ok)
            .flatten(),
        None => std::future::pending().await,
    }
}

/// Takes no answer any more, but one that is there already.
fn late(mut answer: oneshot::Receiver<Option<Box<sm::Session>>>) -> Option<Box<sm::Session>> {
    answer.close();
    answer.try_recv().ok().flatten()
}
