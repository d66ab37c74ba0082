//! One attempt behind the other: where, when, by which plan.

use std::io;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use onetrip_core::fast::DateTime;
use onetrip_core::isr::{Begin, Location};
use onetrip_core::quickstart::{Next, Target, Transport};
use onetrip_core::stream::{Entropy as _, Instant};
use onetrip_tls::rustls::RustlsSession;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep, timeout};

use super::{Cause, Client, DIAL, Event, Found, State};
use crate::{Connection, observe};

impl<Io: AsyncRead + AsyncWrite + Unpin + 'static> Client<Io> {
    /// Looks the servers up, if that is due (QS-01).
    pub(super) fn connect(&mut self) {
        let due = self.targets.next(self.now()) == Next::Resolve;
        match self.find.as_mut().filter(|_| due) {
            Some(find) => {
                let finding = find(self.settings.login.account.domain().clone());
                self.state = State::Finding(Box::pin(async move {
                    timeout(DIAL, finding).await.map_err(io::Error::from)?
                }));
            }
            None => {
                let left: Vec<_> = self.targets.left(self.now()).iter().map(place).collect();
                match left.is_empty() {
                    true => self.try_each(self.settings.places.clone()),
                    false => self.try_each(left),
                }
            }
        }
    }

    /// The look-up has ended. Nobody is kept from the usual place by a resolver that says nothing (RFC 6120 §3.2.1).
    pub(super) fn found(&mut self, found: io::Result<Found>) {
        match found {
            Ok(found) if found.targets.is_empty() => {
                self.cause = Some(Cause::NoService);
                self.places.clear();
                self.dial();
            }
            Ok(found) => {
                let places = found.targets.iter().map(place).collect();
                let until = self.began.elapsed().saturating_add(found.holds);
                let until = Instant::from_epoch(until);
                self.targets.learn(found.targets, until);
                self.try_each(places);
            }
            Err(error) => {
                observe::not_found(&error);
                self.try_each(self.settings.places.clone());
            }
        }
    }

    fn now(&self) -> Instant {
        Instant::from_epoch(self.began.elapsed())
    }

    /// Begins at the first of the places: the session's own, then these (ISR-07).
    fn try_each(&mut self, known: Vec<(Location, Begin)>) {
        self.places = match self.waiting() {
            Some(resumption) => {
                let direct = known.iter().filter(|(_, begin)| *begin == Begin::DirectTls);
                let direct: Vec<Location> = direct.map(|(place, _)| place.clone()).collect();
                let candidates = resumption.candidates(&direct, &known).into_iter();
                candidates
                    .map(|found| (found.location, found.begin))
                    .collect()
            }
            None => known.into(),
        };
        self.dial();
    }

    fn dial(&mut self) {
        self.state = match self.places.front() {
            Some((place, begin)) => {
                observe::dialling(place, *begin);
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
        if let Some((location, begin)) = self.places.pop_front() {
            self.targets.failed(&target(location, begin));
        }
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
        observe::offline(&cause, again);
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
        login.trace |= observe::units_are_wanted();
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

fn place(target: &Target) -> (Location, Begin) {
    let (host, port) = (target.host.clone(), target.port);
    let begin = match target.transport {
        Transport::DirectTls => Begin::DirectTls,
        Transport::StartTls => Begin::StartTls,
    };
    (Location { host, port }, begin)
}

fn target(location: Location, begin: Begin) -> Target {
    Target {
        host: location.host,
        port: location.port,
        transport: match begin {
            Begin::DirectTls => Transport::DirectTls,
            Begin::StartTls => Transport::StartTls,
        },
    }
}
