//! A client that stays online: connects, connects again, goes on with its session.

mod attempts;
mod event;
mod events;

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use futures_sink::Sink;
use onetrip_core::isr::{Begin, Location};
use onetrip_core::quickstart::{Plan, Target, Targets};
use onetrip_core::stream::{Domain, Jid, Stanza};
use onetrip_core::stream_management::Handle;
use onetrip_core::{Entity, Resumption, UsageError};
use onetrip_tls::Output;
use onetrip_tls::rustls::SystemEntropy;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant as Time, Sleep};

use crate::wakers::{Side, Wakers};
use crate::{Connection, INBOX, Settings};

pub use event::{Cause, Event};

/// How long a look-up, or opening a transport, may take.
const DIAL: Duration = Duration::from_secs(30);

/// Opens transports: [`Client::tcp`] uses TCP, [`Client::new`] takes any function.
pub trait Dial<Io>:
    FnMut(Location) -> Pin<Box<dyn Future<Output = io::Result<Io>> + Send>>
{
}

impl<Io, F> Dial<Io> for F where
    F: FnMut(Location) -> Pin<Box<dyn Future<Output = io::Result<Io>> + Send>>
{
}

type Dialling<Io> = Pin<Box<dyn Future<Output = io::Result<Io>> + Send>>;

/// Finds the servers of a domain: `dns::system` by their SRV records, [`Client::found_by`] takes any function.
///
/// An error says that nothing is known: then [`Settings::places`] are tried.
pub trait Find:
    FnMut(Domain) -> Pin<Box<dyn Future<Output = io::Result<Found>> + Send>> + Send + 'static
{
}

impl<F> Find for F where
    F: FnMut(Domain) -> Pin<Box<dyn Future<Output = io::Result<Found>> + Send>> + Send + 'static
{
}

/// What a look-up has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where to try, in this order ([`Srv::targets`](onetrip_core::quickstart::Srv::targets)); nowhere, if the domain says
    /// that it has no such service.
    pub targets: Vec<Target>,
    /// For how long that holds.
    pub holds: Duration,
}

type Finding = Pin<Box<dyn Future<Output = io::Result<Found>> + Send>>;

enum State<Io> {
    /// Not polled so far.
    New,
    /// The servers are being looked up.
    Finding(Finding),
    /// Until the next attempt.
    Waiting(Pin<Box<Sleep>>),
    /// The transport to the first of the places is being opened.
    Dialling(Dialling<Io>),
    Up(Box<Connection<Io>>),
    Over,
}

/// A client: a [`Stream`] of [`Event`]s and a [`Sink`] of stanzas that outlive their connections.
pub struct Client<Io> {
    settings: Settings,
    dial: Box<dyn Dial<Io> + Send>,
    find: Option<Box<dyn Find>>,
    /// What was found, by the clock that began with this client.
    targets: Targets,
    began: Time,
    state: State<Io>,
    events: VecDeque<Event>,
    /// The places still to be tried, the one in use first.
    places: VecDeque<(Location, Begin)>,
    /// The plan of a retry.
    retry: Option<Plan>,
    cause: Option<Cause>,
    /// How many attempts in a row came to nothing.
    failed: u32,
    online: Option<Time>,
    jid: Option<Jid>,
    closing: bool,
    rebound: bool,
    taken: Taken,
    entropy: SystemEntropy,
    wakers: Arc<Wakers>,
}

/// The stanzas that were taken and not yet said to be dealt with.
#[derive(Debug, Default)]
struct Taken {
    /// From this connection.
    here: u32,
    /// From one that was cut: they come once more when the session goes on, and are not handed out again.
    before: u32,
    /// The same, and the application has dealt with them meanwhile.
    settled: u32,
}

impl<Io> std::fmt::Debug for Client<Io> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("jid", &self.jid)
            .finish_non_exhaustive()
    }
}

impl Client<TcpStream> {
    /// A client over TCP. It connects when it is first polled.
    #[must_use]
    pub fn tcp(settings: Settings) -> Self {
        Self::new(settings, |place: Location| -> Dialling<TcpStream> {
            Box::pin(async move {
                let socket = TcpStream::connect((place.host.as_str(), place.port)).await?;
                socket.set_nodelay(true)?;
                Ok(socket)
            })
        })
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin + 'static> Client<Io> {
    /// A client whose transports `dial` opens.
    pub fn new(settings: Settings, dial: impl Dial<Io> + Send + 'static) -> Self {
        Self {
            settings,
            dial: Box::new(dial),
            find: None,
            targets: Targets::default(),
            began: Time::now(),
            state: State::New,
            events: VecDeque::new(),
            places: VecDeque::new(),
            retry: None,
            cause: None,
            failed: 0,
            online: None,
            jid: None,
            closing: false,
            rebound: false,
            taken: Taken::default(),
            entropy: SystemEntropy::new(),
            wakers: Arc::default(),
        }
    }

    /// The same, with servers that `find` finds instead of [`Settings::places`] (RFC 6120 §3.2). It is asked again when what
    /// it said holds no longer, or when all of them failed (QS-02).
    #[must_use]
    pub fn found_by(mut self, find: impl Find) -> Self {
        self.find = Some(Box::new(find));
        self
    }

    /// What happens next; `None` when nothing more will. May be dropped at any moment.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Sends a stanza as soon as there is a connection and room. The handle names it in [`Event::Acked`] and
    /// [`Event::Returned`]; `None` where the server does not count stanzas, so that nobody will know.
    ///
    /// May be dropped: then it was not sent.
    ///
    /// # Errors
    /// [`UsageError::Closed`] when there will be no connection any more, [`UsageError::OtherContent`] for a stanza between
    /// servers.
    pub async fn send(&mut self, stanza: &Stanza) -> Result<Option<Handle>, UsageError> {
        poll_fn(|cx| {
            ready!(Pin::new(&mut *self).poll_ready(cx))?;
            let sent = self.send_now(stanza);
            // As much as goes; the rest goes with whatever is polled next.
            let _ = self.drive_as(Side::Stanzas, cx);
            Poll::Ready(sent)
        })
        .await
    }

    /// Closes the stream, and waits until the server has done so, too. Events that wait can still be taken; a stanza
    /// among them was not acknowledged, and a server that counts will deliver it once more.
    pub async fn close(&mut self) {
        let _ = poll_fn(|cx| Pin::new(&mut *self).poll_close(cx)).await;
    }

    /// The oldest so many of the stanzas that were taken are dealt with; for [`Settings::handled_by_hand`].
    pub fn handled(&mut self, stanzas: u32) {
        let here = stanzas.min(self.taken.here);
        let before = stanzas.saturating_sub(here).min(self.taken.before);
        self.taken.here = self.taken.here.saturating_sub(here);
        self.taken.before = self.taken.before.saturating_sub(before);
        self.taken.settled = self.taken.settled.saturating_add(before);
        if let State::Up(connection) = &mut self.state {
            connection.handled(here);
        }
    }

    /// Our full address, once there is one.
    #[must_use]
    pub fn jid(&self) -> Option<&Jid> {
        self.jid.as_ref()
    }

    /// The session as it stands, to store it in case this process dies: a copy, not to be used while this client lives.
    #[must_use]
    pub fn resumption(&self) -> Option<Resumption> {
        match &self.state {
            State::Up(connection) => connection.machine().resumption(),
            _ => self.waiting().cloned(),
        }
    }

    /// Gives up the connection as if it had been cut, and hands out what the next client can go on with.
    #[must_use = "the session can be resumed by nobody else"]
    pub fn into_entity(mut self) -> Entity {
        if let State::Up(mut connection) = mem::replace(&mut self.state, State::Over) {
            connection.abandon();
            for output in mem::take(&mut connection.outputs) {
                if let Output::Entity(event) = output {
                    self.on_entity(event);
                }
            }
        }
        self.settings.entity
    }

    fn waiting(&self) -> Option<&Resumption> {
        let account = &self.settings.login.account;
        let mut all = self.settings.entity.resumptions();
        all.find(|waiting| waiting.account == *account || waiting.session.owner == *account)
    }

    /// Does all that can be done now; ready when nothing more will happen.
    fn drive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.state {
                State::Over => return Poll::Ready(()),
                State::New => self.connect(),
                State::Finding(finding) => {
                    let found = ready!(finding.as_mut().poll(cx));
                    self.found(found);
                }
                State::Waiting(pause) => {
                    ready!(pause.as_mut().poll(cx));
                    self.connect();
                }
                State::Dialling(dialling) => match ready!(dialling.as_mut().poll(cx)) {
                    Ok(io) => self.begin(io),
                    Err(error) => self.give_up(error.into()),
                },
                State::Up(connection) => {
                    let over = connection.drive(cx, self.events.len() < INBOX);
                    let outputs = mem::take(&mut connection.outputs);
                    let idle = outputs.is_empty();
                    for output in outputs {
                        self.on_output(output);
                    }
                    if over.is_ready() {
                        self.end();
                    } else if idle {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    fn drive_as(&mut self, side: Side, cx: &mut Context<'_>) -> Poll<()> {
        let waker = self.wakers.waiting(side, cx.waker());
        let over = self.drive(&mut Context::from_waker(&waker));
        if over.is_ready() || !self.events.is_empty() || self.poll_room().is_ready() {
            self.wakers.wake_other(side);
        }
        over
    }

    fn poll_room(&mut self) -> Poll<Result<(), UsageError>> {
        match &mut self.state {
            _ if self.closing => Poll::Ready(Err(UsageError::Closed)),
            State::Over => Poll::Ready(Err(UsageError::Closed)),
            State::Up(connection) => match connection.poll_room() {
                Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
                // The next connection will do.
                _ => Poll::Pending,
            },
            _ => Poll::Pending,
        }
    }

    fn send_now(&mut self, stanza: &Stanza) -> Result<Option<Handle>, UsageError> {
        match &mut self.state {
            State::Up(connection) => connection.send(stanza),
            _ => Err(UsageError::Closed),
        }
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin + 'static> Stream for Client<Io> {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        if !self.settings.handled_by_hand {
            self.handled(u32::MAX);
        }
        let over = self.drive_as(Side::Events, cx);
        match self.events.pop_front() {
            Some(event) => {
                if let Event::Stanza(_) = event {
                    self.taken.here = self.taken.here.saturating_add(1);
                }
                Poll::Ready(Some(event))
            }
            None => over.map(|()| None),
        }
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin + 'static> Sink<Stanza> for Client<Io> {
    type Error = UsageError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), UsageError>> {
        let _ = self.drive_as(Side::Stanzas, cx);
        self.poll_room()
    }

    fn start_send(mut self: Pin<&mut Self>, stanza: Stanza) -> Result<(), UsageError> {
        self.send_now(&stanza).map(|_| ())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), UsageError>> {
        let _ = self.drive_as(Side::Stanzas, cx);
        match &self.state {
            State::Up(connection) if !connection.is_flushed() => Poll::Pending,
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), UsageError>> {
        if !mem::replace(&mut self.closing, true) {
            if !self.settings.handled_by_hand {
                self.handled(u32::MAX);
            }
            match &mut self.state {
                State::Up(connection) => connection.close_stream(),
                state => *state = State::Over,
            }
        }
        self.drive_as(Side::Stanzas, cx).map(Ok)
    }
}
