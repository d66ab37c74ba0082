//! What comes in on a connection that negotiates, frame by frame.

use onetrip_stream::{Env, Frame, ReadError, StreamError};

use super::{Connection, Role};
use crate::half::Layer;
use crate::order::Facts;
use crate::trace::{label, stanza_label};
use crate::{ErrorKind, Event, TlsInfo};

impl Connection {
    pub(super) fn process(&mut self, env: &mut Env<'_>, rest: &mut &[u8]) {
        if let Role::Link(link) = &mut self.role {
            let taken = link.receive(env, &mut self.shell, rest);
            *rest = rest.get(taken..).unwrap_or_default();
            return;
        }
        self.read_frames(env, rest);
        self.leave_negotiation();
    }

    /// A role that has nothing left to negotiate gives back what it needed for that.
    fn leave_negotiation(&mut self) {
        let online = match &self.role {
            _ if self.shell.is_closed() => None,
            Role::Initiator(role) => role.online(&self.shell),
            Role::Receiver(role) => role.online(&self.shell),
            Role::PeerReceiver(_) | Role::Online(_) | Role::Link(_) => None,
        };
        if let Some(online) = online {
            self.role = Role::Online(online);
        }
    }

    fn read_frames(&mut self, env: &mut Env<'_>, rest: &mut &[u8]) {
        loop {
            if self.shell.is_closed() {
                *rest = &[];
                return;
            }
            if self.shell.receiving.layer.is_switching() {
                return;
            }
            if self.shell.pending.is_some() {
                if let Err(overflow) = self.shell.held.push(rest) {
                    self.shell.fail(overflow.into());
                }
                *rest = &[];
                return;
            }
            if self.is_intruded(rest) {
                self.on_intruder(env);
                continue;
            }
            match self.shell.receiving.reader.next(rest) {
                Ok(Some(frame)) => {
                    if self.over_total() {
                        return;
                    }
                    self.on_frame(env, frame);
                    self.check_boundary(rest);
                }
                Ok(None) => {
                    self.over_total();
                    return;
                }
                Err(error) => {
                    let kind = self.translate(error);
                    return self.shell.fail(kind);
                }
            }
        }
    }

    /// Whether white space comes next that may not be there: between the steps of SASL2 (XEP-0388 §2.4, Openfire#3496).
    /// Anywhere else the reader skips it.
    fn is_intruded(&self, rest: &[u8]) -> bool {
        let space = rest.first().is_some_and(u8::is_ascii_whitespace);
        let between = space && !self.shell.receiving.reader.is_mid_frame();
        between
            && match &self.role {
                Role::Initiator(role) => role.is_between_steps(),
                Role::Receiver(role) => role.is_between_steps(),
                Role::PeerReceiver(_) | Role::Online(_) | Role::Link(_) => false,
            }
    }

    fn on_intruder(&mut self, env: &mut Env<'_>) {
        match &mut self.role {
            Role::Initiator(role) => role.on_intruder(env, &mut self.shell),
            Role::Receiver(role) => role.on_intruder(env, &mut self.shell),
            Role::PeerReceiver(_) | Role::Online(_) | Role::Link(_) => {}
        }
    }

    /// The same for early data: nothing but what its role takes, and nothing behind what has to be decided.
    pub(super) fn process_early(&mut self, env: &mut Env<'_>, info: &TlsInfo, input: &[u8]) {
        let mut rest = input;
        let switching = self.shell.receiving.layer.is_switching();
        let taken = match &mut self.role {
            Role::Receiver(role) => switching && role.begin_early(&mut self.shell, info),
            _ => false,
        };
        if !taken {
            return self.shell.fail(ErrorKind::Early);
        }
        while !self.shell.is_closed() {
            if self.shell.pending.is_some() && !rest.is_empty() {
                return self.shell.fail(ErrorKind::Early);
            }
            let frame = match self.shell.receiving.reader.next(&mut rest) {
                Ok(Some(frame)) if !self.over_total() => frame,
                Ok(_) => {
                    self.over_total();
                    return;
                }
                Err(error) => {
                    let kind = self.translate(error);
                    return self.shell.fail(kind);
                }
            };
            let taken = match &mut self.role {
                Role::Receiver(role) => role.takes_early(&frame),
                _ => false,
            };
            match taken {
                true => self.on_frame(env, frame),
                false => self.shell.fail(ErrorKind::Early),
            }
        }
    }

    /// Whether more was read before authentication than is allowed.
    fn over_total(&mut self) -> bool {
        let allowed = self.shell.bounds.before.unauthenticated_total;
        let over = !self.shell.facts.have(Facts::AUTHENTICATED)
            && self.shell.receiving.total() > allowed as u64;
        if over {
            self.shell.fail(ErrorKind::TooMuch { allowed });
        }
        over
    }

    /// What follows a switch to TLS in the same bytes must be able to belong to TLS (QS-R6).
    fn check_boundary(&mut self, rest: &mut &[u8]) {
        if self.shell.receiving.layer != Layer::Switching || self.shell.is_closed() {
            return;
        }
        let honest = match &self.role {
            Role::Initiator(initiator) => initiator.hello_may_be_answered(),
            Role::Receiver(receiver) => {
                // No TLS record begins with white space, so this is unambiguous.
                *rest = rest.trim_ascii_start();
                receiver.takes_leftover()
            }
            Role::PeerReceiver(receiver) => {
                *rest = rest.trim_ascii_start();
                receiver.takes_leftover()
            }
            Role::Online(_) | Role::Link(_) => true,
        };
        if !honest && !rest.is_empty() {
            self.shell.fail(ErrorKind::Injected);
        }
    }

    fn on_frame(&mut self, env: &mut Env<'_>, frame: Frame) {
        match frame {
            Frame::Header(header) => {
                self.shell.read(|| "stream header".to_owned());
                self.shell.receiving.opened = true;
                match &mut self.role {
                    Role::Initiator(role) => role.on_header(env, &mut self.shell, &header),
                    Role::Receiver(role) => role.on_header(&mut self.shell, &header),
                    Role::PeerReceiver(role) => role.on_header(&mut self.shell, &header),
                    // Its document has begun long since.
                    Role::Online(_) | Role::Link(_) => {}
                }
            }
            Frame::Element(element) => {
                self.shell.read(|| label(&element));
                if let Some(error) = StreamError::from_element(&element) {
                    return self.on_peer_error(env, error);
                }
                match &mut self.role {
                    Role::Initiator(role) => role.on_element(env, &mut self.shell, &element),
                    Role::Receiver(role) => role.on_element(env, &mut self.shell, &element),
                    Role::PeerReceiver(role) => role.on_element(env, &mut self.shell, &element),
                    Role::Online(role) => role.on_element(env, &mut self.shell, &element),
                    Role::Link(_) => {}
                }
            }
            Frame::Stanza(stanza) => {
                self.shell.read(|| stanza_label(&stanza.element()));
                match &mut self.role {
                    Role::Initiator(role) => role.on_stanza(env, &mut self.shell, stanza),
                    Role::Receiver(role) => role.on_stanza(env, &mut self.shell, stanza),
                    Role::PeerReceiver(role) => role.on_stanza(&mut self.shell, stanza),
                    Role::Online(role) => role.on_stanza(&mut self.shell, stanza),
                    Role::Link(_) => {}
                }
            }
            Frame::Footer => {
                self.shell.read(|| "footer".to_owned());
                self.before_end(env);
                self.shell.peer_closed();
            }
            _ => {}
        }
        self.shell.active();
    }

    fn on_peer_error(&mut self, env: &mut Env<'_>, error: StreamError) {
        self.shell.event(Event::PeerError(error.clone()));
        self.shell.management.on_peer_error(error.condition);
        self.before_end(env);
        self.shell.peer_failed(error);
    }

    /// Lets the role draw its conclusions while the connection is ending.
    pub(super) fn before_end(&mut self, env: &mut Env<'_>) {
        if let Role::Initiator(role) = &mut self.role {
            role.on_end(env, &mut self.shell);
        }
    }

    fn translate(&self, error: ReadError) -> ErrorKind {
        match &self.role {
            Role::Receiver(role) => role.translate(error),
            Role::PeerReceiver(role) => role.translate(error),
            Role::Initiator(_) | Role::Online(_) | Role::Link(_) => error.into(),
        }
    }
}
