//! What the machines say, and what becomes of stanzas when a connection is cut.

use std::mem;

use onetrip_core::negotiation::bind;
use onetrip_core::stream_management::Event as Management;
use onetrip_core::{End, EntityEvent, Event as CoreEvent};
use onetrip_tls::Output;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant as Time;

use super::{Cause, Client, Event, State, Taken};

impl<Io: AsyncRead + AsyncWrite + Unpin + 'static> Client<Io> {
    pub(super) fn on_output(&mut self, output: Output) {
        match output {
            Output::Event(event) => self.on_event(event),
            Output::Entity(event) => self.on_entity(event),
            _ => {}
        }
    }

    pub(super) fn on_entity(&mut self, event: EntityEvent) {
        // Those that wait here come again, and so do those that were taken.
        let stanza = |event: &Event| matches!(event, Event::Stanza(_));
        let mut again = event.again();
        while let Some(left) = again.checked_sub(1) {
            let Some(last) = self.events.iter().rposition(stanza) else {
                break;
            };
            self.events.remove(last);
            again = left;
        }
        self.taken.before = self.taken.before.saturating_add(again);
        self.taken.here = 0;
        if let Some(plan) = self.settings.entity.handle(event) {
            self.retry = Some(plan);
        }
    }

    fn on_event(&mut self, event: CoreEvent) {
        let event = match event {
            CoreEvent::Online { jid, resumed, .. } => {
                self.online = Some(Time::now());
                self.jid = Some(jid.clone());
                if !resumed {
                    self.taken = Taken::default();
                }
                Event::Online { jid, resumed }
            }
            CoreEvent::Stanza(stanza) => match self.arrived_before() {
                true => return,
                false => Event::Stanza(stanza),
            },
            CoreEvent::Management(Management::Acked(handles)) => Event::Acked(handles),
            CoreEvent::Management(Management::HandedBack(entries)) => Event::Returned(entries),
            CoreEvent::Management(Management::Failed(entry)) => Event::Returned(vec![entry]),
            CoreEvent::BindRefused(refusal) => return self.bind_again(refusal),
            CoreEvent::AuthenticationRefused(failure) => {
                return self.because(Cause::Refused(failure));
            }
            CoreEvent::NoMechanism { offered } => return self.because(Cause::NoMechanism(offered)),
            CoreEvent::PeerError(error) => return self.because(Cause::Stream(error)),
            CoreEvent::Closed(End::Failed(error)) => {
                return self.because(Cause::Peer(error.into()));
            }
            CoreEvent::Closed(End::Clean) => return self.because(Cause::Closed),
            CoreEvent::Closed(_) => return,
            event => Event::Other(event),
        };
        self.events.push_back(event);
    }

    fn because(&mut self, cause: Cause) {
        self.cause.get_or_insert(cause);
    }

    /// Whether this stanza was taken from the connection that was cut.
    fn arrived_before(&mut self) -> bool {
        let State::Up(connection) = &mut self.state else {
            return false;
        };
        if let Some(settled) = self.taken.settled.checked_sub(1) {
            self.taken.settled = settled;
            connection.handled(1);
        } else if let Some(before) = self.taken.before.checked_sub(1) {
            self.taken.before = before;
            self.taken.here = self.taken.here.saturating_add(1);
        } else {
            return false;
        }
        true
    }

    /// The resource that was asked for is refused: any other will do (QS-28).
    fn bind_again(&mut self, refusal: bind::Refusal) {
        let State::Up(connection) = &mut self.state else {
            return;
        };
        if mem::replace(&mut self.rebound, true) || connection.bind(None).is_err() {
            connection.close_stream();
            self.because(Cause::Resource(refusal));
        }
    }
}
