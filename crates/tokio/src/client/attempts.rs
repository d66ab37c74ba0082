//! One attempt behind the other: where, when, by which plan.

use std::io;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use onetrip_core::fast::DateTime;
use onetrip_core::isr::{Begin, Location};
use onetrip_core::quickstart::Transport;
use onetrip_core::stream::Entropy as _;
use onetrip_tls::rustls::RustlsSession;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep, timeout};

use super::{Cause, Client, DIAL, Event, State};
use crate::Connection;

impl<Io: AsyncRead + AsyncWrite + Unpin + 'static> Client<Io> {
    /// Begins at the first of the places: the session's own, and those of the settings (ISR-07).
    pub(super) fn connect(&mut self) {
        let known = &self.settings.places;
        self.places = match self.waiting() {
            Some(resumption) => {
                let direct = known.iter().filter(|(_, begin)| *begin == Begin::DirectTls);
                let direct: Vec<Location> = direct.map(|(place, _)| place.clone()).collect();
                let candidates = resumption.candidates(&direct, known).into_iter();
                candidates
                    .map(|found| (found.location, found.begin))
                    .collect()
            }
            None => known.iter().cloned().collect(),
        };
        self.dial();
    }

    fn dial(&mut self) {
        self.state = match self.places.front() {
            Some((place, _)) => {
                let dialling = (self.dial)(place.clone());
                State::Dialling(Box::pin(async move {
                    timeout(DIAL, dialling).await.map_err(io::Error::from)?
                }))
            }
            None => self.pause(),
        };
    }

    /// The attempt has come to nothing: the next place, or the first again after a pause.
    pub(super) fn give_up(&mut self, cause: Cause) {
        if self.closing {
            self.state = State::Over;
            return;
        }
        if cause.is_final() {
            self.say_offline(cause, None);
            self.state = State::Over;
            return;
        }
        self.cause = Some(cause);
        self.places.pop_front();
        self.dial();
    }

    pub(super) fn pause(&mut self) -> State<Io> {
        let steady = self.settings.backoff.steady;
        if self
            .online
            .take()
            .is_some_and(|since| since.elapsed() >= steady)
        {
            self.failed = 0;
        }
        let mut random = [0; 4];
        self.entropy.fill(&mut random);
        let random = u32::from_ne_bytes(random);
        let pause = self.settings.backoff.pause(self.failed, random);
        self.failed = self.failed.saturating_add(1);
        let cause = self.cause.take().unwrap_or(Cause::Cut);
        self.say_offline(cause, Some(pause));
        State::Waiting(Box::pin(sleep(pause)))
    }

    fn say_offline(&mut self, cause: Cause, again: Option<Duration>) {
        // Nobody needs to know of each attempt that failed.
        if let Some(Event::Offline { .. }) = self.events.back() {
            self.events.pop_back();
        }
        self.events.push_back(Event::Offline { cause, again });
    }

    /// The transport is open.
    pub(super) fn begin(&mut self, io: Io) {
        let begin = self.places.front().map(|(_, begin)| *begin);
        let mut login = self.settings.login.clone();
        login.transport = match begin {
            Some(Begin::DirectTls) => Transport::DirectTls,
            _ => Transport::StartTls,
        };
        if let Some(fast) = login.sasl2.as_mut().and_then(|sasl2| sasl2.fast.as_mut()) {
            let passed = SystemTime::now().duration_since(UNIX_EPOCH);
            let date = DateTime::from_unix_seconds(passed.unwrap_or_default().as_secs());
            fast.now = Some(date);
        }
        let session = RustlsSession::client(Arc::clone(&self.settings.tls), login.account.domain());
        let session = match session {
            Ok(session) => session,
            Err(error) => return self.give_up(error.into()),
        };
        let (entity, retry) = (&mut self.settings.entity, self.retry.take());
        let connection = Connection::new(io, session, |env| match retry {
            Some(plan) => entity.connect_as(login, plan, env),
            None => entity.connect(login, env),
        });
        (self.rebound, self.cause) = (false, None);
        self.state = State::Up(Box::new(connection));
    }

    /// The connection is over.
    pub(super) fn end(&mut self) {
        let State::Up(mut connection) = mem::replace(&mut self.state, State::Over) else {
            return;
        };
        self.taken.here = 0;
        let cause = match connection.take_errors() {
            (Some(error), _) => Cause::Peer(error),
            (None, Some(error)) => Cause::Transport(error),
            (None, None) => Cause::Cut,
        };
        let cause = self.cause.take().unwrap_or(cause);
        if self.retry.is_some() && !self.closing {
            // What was remembered was wrong: the same place once more, at once (QS-29).
            self.dial();
        } else if self.online.is_some() && !cause.is_final() && !self.closing {
            // All places anew: the session may have one of its own.
            self.cause = Some(cause);
            self.state = self.pause();
        } else {
            self.give_up(cause);
        }
    }
}
