//! One connection over one transport: moves bytes, time and derived keys; all else is handed out.

use std::collections::VecDeque;
use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use futures_core::Stream;
use futures_sink::Sink;
use onetrip_core::negotiation::sasl::SaltedPassword;
use onetrip_core::stream::{Clock, Env, Instant, Stanza, StreamError};
use onetrip_core::stream_management::{Handle, Session};
use onetrip_core::{Answer, Connection as Machine, Event, Request, ServerConfig, UsageError};
use onetrip_tls::rustls::rustls::ServerConfig as TlsConfig;
use onetrip_tls::rustls::{RustlsSession, SystemEntropy};
use onetrip_tls::{Driven, Output, Secured, SecuredError, TlsError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinHandle;
use tokio::time::{Instant as Time, Sleep, sleep_until};

use crate::observe::Observer;
use crate::wakers::{Side, Wakers};

/// How many events may wait to be taken before no more is read from the peer.
pub const INBOX: usize = 128;
/// How many bytes may wait to be written before no more stanzas are taken.
pub const OUTBOX: usize = 64 * 1024;
/// How many before nothing is read either: what is read may have to be answered.
const ANSWERS: usize = 16 * OUTBOX;
/// How long a peer may take nothing of what is written, and how long of the last words.
const STALL: Duration = Duration::from_secs(60);
const FAREWELL: Duration = Duration::from_secs(5);
/// How much is read at once.
const CHUNK: usize = 16 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The peer has closed the transport.
    ReadEnded,
    /// The last bytes are being written.
    Closing,
    Over,
}

/// How long it is since a connection began, by the clock of tokio, which a test may stop.
#[derive(Debug, Clone, Copy)]
struct Elapsed(Time);

impl Elapsed {
    /// When that is for tokio; `None` beyond the end of time.
    fn at(self, instant: Instant) -> Option<Time> {
        self.0.checked_add(instant.since_epoch())
    }
}

impl Clock for Elapsed {
    fn now(&mut self) -> Instant {
        Instant::from_epoch(self.0.elapsed())
    }
}

/// One connection and its transport: a [`Stream`] of [`Output`]s and a [`Sink`] of stanzas.
///
/// It carries out [`Output::Transmit`] and [`Output::Close`] and derives the keys that are asked for, on a thread for
/// such work; the rest comes out, in order. The contract is that of the machine: stanzas are to be said to be
/// [handled](Connection::handled), requests to be [answered](Connection::answer).
///
/// It moves while it is polled, by either trait; both may be polled by tasks of their own.
#[derive(Debug)]
pub struct Connection<Io> {
    io: Io,
    driven: Driven<RustlsSession, Elapsed, SystemEntropy>,
    pub(crate) outputs: VecDeque<Output>,
    unwritten: VecDeque<Bytes>,
    /// How many bytes these are.
    unwritten_bytes: usize,
    unflushed: bool,
    chunk: Vec<u8>,
    timer: Pin<Box<Sleep>>,
    derivation: Option<JoinHandle<SaltedPassword>>,
    /// When the peer must have taken something of what is written.
    stalls: Option<Time>,
    phase: Phase,
    online: bool,
    closing: bool,
    error: Option<SecuredError>,
    io_error: Option<io::Error>,
    wakers: Arc<Wakers>,
    observer: Observer,
}

impl<Io: AsyncRead + AsyncWrite + Unpin> Connection<Io> {
    /// A connection that `make` makes, over a transport that is open.
    pub fn new(io: Io, tls: RustlsSession, make: impl FnOnce(&mut Env<'_>) -> Machine) -> Self {
        let began = Time::now();
        let driven = Driven::new(tls, Elapsed(began), SystemEntropy::new(), make);
        Self {
            observer: Observer::new(driven.secured().connection()),
            io,
            driven,
            outputs: VecDeque::new(),
            unwritten: VecDeque::new(),
            unwritten_bytes: 0,
            unflushed: false,
            chunk: vec![0; CHUNK],
            timer: Box::pin(sleep_until(began)),
            derivation: None,
            stalls: None,
            phase: Phase::Open,
            online: false,
            closing: false,
            error: None,
            io_error: None,
            wakers: Arc::default(),
        }
    }

    /// A server's side of a connection that a client has opened.
    ///
    /// # Errors
    /// [`TlsError`] when the configuration cannot work.
    pub fn server(io: Io, config: ServerConfig, tls: Arc<TlsConfig>) -> Result<Self, TlsError> {
        let session = RustlsSession::server(tls)?;
        Ok(Self::new(io, session, |env| Machine::server(config, env)))
    }

    /// The machine, to ask it something.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        self.driven.secured().connection()
    }

    /// What the peer did wrong, if it did.
    #[must_use]
    pub fn error(&self) -> Option<&SecuredError> {
        self.error.as_ref()
    }

    /// What went wrong with the transport, if something did.
    #[must_use]
    pub fn io_error(&self) -> Option<&io::Error> {
        self.io_error.as_ref()
    }

    pub(crate) fn take_errors(&mut self) -> (Option<SecuredError>, Option<io::Error>) {
        (self.error.take(), self.io_error.take())
    }

    /// What comes next; `None` when it is over. May be dropped at any moment.
    pub async fn next(&mut self) -> Option<Output> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// The outside as it is now, for a decision that needs it.
    pub fn env(&mut self) -> Env<'_> {
        self.driven.env()
    }

    /// Answers a request.
    ///
    /// # Errors
    /// As [`Machine::answer`].
    pub fn answer(&mut self, answer: Answer) -> Result<(), UsageError> {
        self.act(|secured, env| secured.answer(env, answer))
    }

    /// Sends a stanza, without waiting for room: [`Sink::poll_ready`] says when there is.
    ///
    /// # Errors
    /// As [`Machine::send`].
    pub fn send(&mut self, stanza: &Stanza) -> Result<Option<Handle>, UsageError> {
        self.act(|secured, env| secured.send(env, stanza))
    }

    /// The application has dealt with the oldest so many of the stanzas that arrived: [`Machine::handled`].
    pub fn handled(&mut self, stanzas: u32) {
        self.act(|secured, _| secured.handled(stanzas));
    }

    /// The session is wanted by another connection: [`Machine::hand_over`].
    pub fn hand_over(&mut self) -> Option<Box<Session>> {
        self.act(|secured, env| secured.hand_over(env))
    }

    /// Asks for a resource again: [`Machine::bind`].
    ///
    /// # Errors
    /// As [`Machine::bind`].
    pub fn bind(&mut self, resource: Option<&str>) -> Result<(), UsageError> {
        self.act(|secured, env| secured.bind(env, resource))
    }

    /// Closes the stream; [`Sink::poll_close`] waits for the peer to do so, too.
    pub fn close_stream(&mut self) {
        self.closing = true;
        self.act(|secured, env| secured.close(env));
    }

    /// Ends the stream with a stream error.
    pub fn close_with(&mut self, error: &StreamError) {
        self.closing = true;
        self.act(|secured, _| secured.close_with(error));
    }

    /// The transport is given up, as if it had been cut: what outlives it comes out.
    pub fn abandon(&mut self) {
        self.act(|secured, env| secured.receive_eof(env));
        self.phase = Phase::Over;
    }

    fn act<R>(&mut self, act: impl FnOnce(&mut Secured<RustlsSession>, &mut Env<'_>) -> R) -> R {
        let result = self.driven.act(act);
        self.drain();
        result
    }

    fn drain(&mut self) {
        while let Some(output) = self.driven.poll_output() {
            self.observer.output(&output);
            match output {
                Output::Transmit(bytes) => {
                    self.unwritten_bytes = self.unwritten_bytes.saturating_add(bytes.len());
                    self.unwritten.push_back(bytes);
                }
                Output::Close => {
                    self.phase = Phase::Closing;
                    self.stalls = Some(within(FAREWELL));
                }
                Output::Request(Request::Derive(derivation)) => {
                    let derive = move || derivation.perform();
                    self.derivation = Some(tokio::task::spawn_blocking(derive));
                }
                mut output => {
                    if let Output::Event(Event::Online { .. } | Event::Established { .. }) = output
                    {
                        self.online = true;
                    }
                    if let Output::Entity(event) = &mut output {
                        let dropped = self.drop_stanzas(event.again());
                        event.note_dropped(dropped);
                    }
                    self.outputs.push_back(output);
                }
            }
        }
    }

    /// The last so many stanzas come again when the session is resumed: those that nobody has taken are not handed out.
    fn drop_stanzas(&mut self, again: u32) -> u32 {
        let stanza = |output: &Output| matches!(output, Output::Event(Event::Stanza(_)));
        for dropped in 0..again {
            let Some(last) = self.outputs.iter().rposition(stanza) else {
                return dropped;
            };
            self.outputs.remove(last);
        }
        again
    }

    /// Does all that can be done now, reading if `read`; ready when the connection is over.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>, read: bool) -> Poll<()> {
        loop {
            self.drain();
            if self.phase == Phase::Over {
                return Poll::Ready(());
            }
            let closed = self.poll_write(cx).is_ready()
                && self.phase == Phase::Closing
                && Pin::new(&mut self.io).poll_shutdown(cx).is_ready();
            if closed {
                self.phase = Phase::Over;
            } else if self.poll_derivation(cx).is_ready()
                || (read && self.poll_read(cx).is_ready())
                || self.poll_timers(cx, read).is_ready()
            {
                // There is more to do.
            } else {
                return Poll::Pending;
            }
        }
    }

    /// Ready when everything is written, or nothing can be.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(bytes) = self.unwritten.front_mut() {
            match Pin::new(&mut self.io).poll_write(cx, bytes) {
                Poll::Ready(Ok(count @ 1..)) => {
                    bytes.advance(count.min(bytes.len()));
                    if bytes.is_empty() {
                        self.unwritten.pop_front();
                    }
                    self.unwritten_bytes = self.unwritten_bytes.saturating_sub(count);
                    self.unflushed = true;
                    if self.phase != Phase::Closing {
                        self.stalls = None;
                    }
                }
                Poll::Ready(Ok(_)) => self.lost(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Err(error)) => self.lost(error),
                Poll::Pending => {
                    self.stalls.get_or_insert_with(|| within(STALL));
                    return Poll::Pending;
                }
            }
        }
        if self.unflushed {
            match ready!(Pin::new(&mut self.io).poll_flush(cx)) {
                Ok(()) => self.unflushed = false,
                Err(error) => self.lost(error),
            }
        }
        Poll::Ready(())
    }

    /// The transport is gone.
    fn lost(&mut self, error: io::Error) {
        self.observer.failed(&error);
        self.io_error.get_or_insert(error);
        self.act(|secured, env| secured.receive_eof(env));
        self.unwritten.clear();
        self.unwritten_bytes = 0;
        self.unflushed = false;
        self.phase = Phase::Over;
    }

    fn poll_derivation(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(derivation) = &mut self.derivation else {
            return Poll::Pending;
        };
        let derived = ready!(Pin::new(derivation).poll(cx));
        self.derivation = None;
        match derived {
            // Nothing to be told if the connection is over by now.
            Ok(key) => drop(self.answer(Answer::Derived(key))),
            Err(error) => self.lost(io::Error::other(error)),
        }
        Poll::Ready(())
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.phase != Phase::Open || self.unwritten_bytes > ANSWERS {
            return Poll::Pending;
        }
        let mut chunk = std::mem::take(&mut self.chunk);
        let mut buffer = ReadBuf::new(&mut chunk);
        match Pin::new(&mut self.io).poll_read(cx, &mut buffer) {
            Poll::Pending => {
                self.chunk = chunk;
                return Poll::Pending;
            }
            Poll::Ready(Err(error)) => self.lost(error),
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                self.phase = Phase::ReadEnded;
                self.act(|secured, env| secured.receive_eof(env));
            }
            Poll::Ready(Ok(())) => {
                let received = self.act(|secured, env| secured.receive(env, buffer.filled()));
                if let Err(error) = received {
                    self.observer.failed(&error);
                    self.error.get_or_insert(error);
                }
            }
        }
        self.chunk = chunk;
        Poll::Ready(())
    }

    fn poll_timers(&mut self, cx: &mut Context<'_>, read: bool) -> Poll<()> {
        // What is waited for may have come already and not be read: nobody is blamed for that but us.
        let deadline = self.driven.secured().poll_timeout();
        let deadline = deadline.filter(|_| read || self.closing);
        let due = deadline.and_then(|deadline| self.driven.clock().at(deadline.at));
        let Some(next) = [due, self.stalls].into_iter().flatten().min() else {
            return Poll::Pending;
        };
        if self.timer.deadline() != next {
            self.timer.as_mut().reset(next);
        }
        ready!(self.timer.as_mut().poll(cx));
        if self.stalls.is_some_and(|stalls| stalls <= next) {
            self.lost(io::ErrorKind::TimedOut.into());
        } else {
            self.act(|secured, env| secured.handle_timeout(env));
        }
        Poll::Ready(())
    }

    /// Ready when a stanza may be sent.
    pub(crate) fn poll_room(&mut self) -> Poll<Result<(), UsageError>> {
        match self.phase {
            Phase::Open if self.closing => Poll::Ready(Err(UsageError::Closed)),
            Phase::Open => {
                let room = self.unwritten_bytes < OUTBOX && self.machine().has_room();
                match self.online && room {
                    true => Poll::Ready(Ok(())),
                    false => Poll::Pending,
                }
            }
            _ => Poll::Ready(Err(UsageError::Closed)),
        }
    }

    /// Everything for the peer has gone to the transport.
    pub(crate) fn is_flushed(&self) -> bool {
        self.unwritten.is_empty() && !self.unflushed
    }

    /// Drives on behalf of the side that sends.
    fn drive_stanzas(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let waker = self.wakers.waiting(Side::Stanzas, cx.waker());
        let read = self.outputs.len() < INBOX;
        let over = self.drive(&mut Context::from_waker(&waker), read);
        if !self.outputs.is_empty() || over.is_ready() {
            self.wakers.wake_other(Side::Stanzas);
        }
        over
    }
}

/// So long from now.
fn within(span: Duration) -> Time {
    let now = Time::now();
    now.checked_add(span).unwrap_or(now)
}

impl<Io: AsyncRead + AsyncWrite + Unpin> Stream for Connection<Io> {
    type Item = Output;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Output>> {
        let waker = self.wakers.waiting(Side::Events, cx.waker());
        let read = self.outputs.is_empty();
        let over = self.drive(&mut Context::from_waker(&waker), read);
        if self.poll_room().is_ready() {
            self.wakers.wake_other(Side::Events);
        }
        match self.outputs.pop_front() {
            Some(output) => Poll::Ready(Some(output)),
            None => over.map(|()| None),
        }
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> Sink<Stanza> for Connection<Io> {
    type Error = UsageError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), UsageError>> {
        let _ = self.drive_stanzas(cx);
        self.poll_room()
    }

    fn start_send(mut self: Pin<&mut Self>, stanza: Stanza) -> Result<(), UsageError> {
        self.send(&stanza).map(|_| ())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), UsageError>> {
        let over = self.drive_stanzas(cx);
        if over.is_ready() || self.is_flushed() {
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), UsageError>> {
        if !self.closing {
            self.close_stream();
        }
        self.drive_stanzas(cx).map(Ok)
    }
}
