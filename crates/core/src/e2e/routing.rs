//! What each part of the machine wants, and who carries it out.

use onetrip_jingle_xmlstream::s5b::{CandidateKind, Link};
use onetrip_jingle_xmlstream::session::{self, Reason};
use onetrip_jingle_xmlstream::xtls::Verification;
use onetrip_stream::{Env, Instant};

use super::end_to_end::{EndToEnd, Leaving, State};
use super::pipe::{Layer, Told};
use super::stream::{PeerStream, Wanted};
use super::{Action, Event};
use crate::End;

impl EndToEnd {
    /// Carries out what the parts want, until none wants anything.
    pub(super) fn pump(&mut self, env: &mut Env<'_>) {
        loop {
            if let Some(action) = self.session.poll_action() {
                self.on_session(env, action);
            } else if let Some(told) = self.pipe.poll(env.now) {
                self.on_pipe(env, told);
            } else if let Some(wanted) = self.poll_stream() {
                self.on_stream(env.now, wanted);
            } else {
                return;
            }
        }
    }

    fn event(&mut self, event: Event) {
        self.push(Action::Event(event));
    }

    fn poll_stream(&mut self) -> Option<Wanted> {
        match &mut self.state {
            State::Streaming(stream) => stream.poll(),
            _ => None,
        }
    }

    fn on_session(&mut self, env: &mut Env<'_>, action: session::Action) {
        match action {
            session::Action::Send(stanza) => self.push(Action::Send(stanza)),
            session::Action::Connect {
                attempt,
                candidate,
                destination,
            } => {
                let proxy = candidate.kind == CandidateKind::Proxy;
                self.sockets.connect(attempt, destination, proxy);
                self.push(Action::Connect { attempt, candidate });
            }
            session::Action::Abandon(attempt) => {
                let link = Link::Made(attempt);
                if self.sockets.remove(link) {
                    self.push(Action::Close(link));
                }
            }
            session::Action::OpenIbb(terms) => {
                self.close_sockets();
                // A proxy that was taken for one that passes bytes on, in the texts of 2009.
                if let Some(link) = self.pipe.forget() {
                    self.push(Action::Close(link));
                }
                let stream = terms.bytestream(self.config.ibb, env);
                self.pipe.use_in_band(stream);
            }
            session::Action::StartTls(role) => {
                self.pipe.layer = Layer::Tls;
                self.push(Action::StartTls(role));
            }
            session::Action::Event(session::Event::Open(verification)) => {
                self.open(env, verification);
            }
            session::Action::Event(session::Event::Ended(end)) => self.end(end),
            session::Action::Event(event) => {
                if let session::Event::Link(link) = event {
                    let (held, others) = self.sockets.choose(link);
                    self.close_all(others);
                    let Some(held) = held else {
                        // It was lost behind the report that it works.
                        return self.session.transport_closed();
                    };
                    self.pipe.use_socket(link, held);
                }
                self.event(Event::Session(event));
            }
            _ => {}
        }
    }

    fn open(&mut self, env: &mut Env<'_>, verification: Option<Verification>) {
        if verification.is_none() {
            self.pipe.layer = Layer::Plain;
        }
        let (rules, role) = (self.session.stream_rules(), self.session.role());
        let proxied = self
            .pipe
            .link()
            .is_some_and(|link| self.sockets.is_proxy(link));
        let nudge = proxied.then_some(self.config.nudge);
        let stream = PeerStream::new(rules, role, verification, &self.config, nudge, env);
        self.state = State::Streaming(Box::new(stream));
    }

    fn on_pipe(&mut self, env: &mut Env<'_>, told: Told) {
        match told {
            Told::Send(stanza) => self.push(Action::Send(stanza)),
            Told::Opened => self.session.ibb_opened(),
            Told::Arrived(bytes) if self.pipe.layer == Layer::Tls => {
                self.push(Action::Encrypted(bytes));
            }
            Told::Arrived(bytes) => {
                if let State::Streaming(stream) = &mut self.state {
                    stream.receive(env, &bytes);
                }
            }
            Told::Writable => self.event(Event::Writable),
            Told::Closed => self.transport_gone(),
        }
    }

    fn on_stream(&mut self, now: Instant, wanted: Wanted) {
        match wanted {
            Wanted::Online(verification) => self.event(Event::Online { verification }),
            Wanted::Stanza(received) => self.event(Event::Stanza(received)),
            Wanted::Write(bytes) if self.pipe.layer == Layer::Tls => {
                self.push(Action::Encrypt(bytes));
            }
            Wanted::Write(bytes) => self.carry(now, &bytes),
            Wanted::Trace(unit) => self.push(Action::Trace(unit)),
            Wanted::PeerError(error) => self.event(Event::PeerError(error)),
            Wanted::Closed(end) => self.leave(now, end),
        }
    }

    /// The stream is over. The transport is flushed, then the session ends (JXS-27), by the end that closed first.
    fn leave(&mut self, now: Instant, end: End) {
        let State::Streaming(stream) = &self.state else {
            return;
        };
        let closes = stream.closes();
        let until = now + self.config.bounds.close;
        let reason = match end {
            End::Clean => Some(Reason::Success),
            End::Cut => None,
            _ => Some(Reason::FailedApplication),
        };
        self.event(Event::StreamClosed(end));
        let Some(reason) = reason else {
            return self.session.transport_closed();
        };
        self.state = State::Leaving(Leaving {
            reason,
            closes,
            until,
        });
        if self.pipe.layer == Layer::Tls {
            self.push(Action::CloseTls);
        } else {
            self.left(now);
        }
    }

    /// Nothing more is written.
    pub(super) fn left(&mut self, now: Instant) {
        let State::Leaving(leaving) = &self.state else {
            return;
        };
        if leaving.closes {
            self.pipe.finish(now);
        } else {
            let until = leaving.until;
            self.state = State::Waiting { until };
        }
    }

    /// The session is over, and with it everything that was made for it.
    fn end(&mut self, end: session::End) {
        if let State::Streaming(stream) = &mut self.state {
            stream.receive_eof();
            while let Some(wanted) = self.poll_stream() {
                match wanted {
                    Wanted::Stanza(received) => self.event(Event::Stanza(received)),
                    Wanted::Closed(end) => self.event(Event::StreamClosed(end)),
                    _ => {}
                }
            }
        }
        self.state = State::Over;
        self.close_sockets();
        if let Some(link) = self.pipe.forget() {
            self.push(Action::Close(link));
        }
        self.event(Event::Ended(end));
    }

    fn close_sockets(&mut self) {
        let links = self.sockets.clear();
        self.close_all(links);
    }

    fn close_all(&mut self, links: Vec<Link>) {
        for link in links {
            self.push(Action::Close(link));
        }
    }

    /// Bytes for the peer, on whichever transport there is.
    pub(super) fn carry(&mut self, now: Instant, bytes: &[u8]) {
        if let Some((link, bytes)) = self.pipe.carry(now, bytes) {
            self.push(Action::Write(link, bytes));
        }
    }
}
