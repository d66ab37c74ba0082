//! What stream management asks for, carried out.

use minidom::Element;
use onetrip_stream::Stanza;
use onetrip_stream_management as sm;

use super::Shell;
use crate::trace::{label, stanza_label};
use crate::{Event, Reason};

/// What stream management leaves to the role it works for.
#[derive(Debug)]
pub(crate) enum Notable {
    Request(sm::Request),
    /// The session goes on; the replay is next.
    Resumed,
    /// What was asked for was refused; the application has been told.
    Refused,
    /// The connection is dead.
    Unanswered,
}

impl Shell {
    /// Carries out what stream management asks for, up to what its role has to deal with.
    pub(crate) fn poll_management(&mut self) -> Option<Notable> {
        while let Some(action) = self.management.poll_action() {
            match action {
                sm::Action::Send(nonza) => self.nonza(&nonza),
                sm::Action::Write(bytes) => {
                    let content = self.content;
                    self.write(&bytes, || {
                        Stanza::parse(&bytes, content).map_or_else(
                            |_| "stanza".to_owned(),
                            |stanza| stanza_label(&stanza.element()),
                        )
                    });
                }
                sm::Action::Request(request) => return Some(Notable::Request(request)),
                sm::Action::Event(sm::Event::Resumed) => return Some(Notable::Resumed),
                sm::Action::Event(sm::Event::Unanswered) => return Some(Notable::Unanswered),
                sm::Action::Event(event) => {
                    let refused = matches!(event, sm::Event::Refused { .. });
                    self.event(Event::Management(event));
                    if refused {
                        return Some(Notable::Refused);
                    }
                }
                _ => {}
            }
        }
        match self.management.poll_timeout() {
            Some(at) => self.timers.set(Reason::Acknowledgement, at),
            None => self.timers.stop(Reason::Acknowledgement),
        }
        None
    }

    /// From here on, what stream management says is kept to ride in something else (XEP-0386 §3.2).
    pub(crate) fn catch(&mut self) {
        self.caught = Some(Vec::new());
    }

    /// What has been kept so far.
    pub(crate) fn caught(&mut self) -> Vec<Element> {
        self.caught
            .as_mut()
            .map(core::mem::take)
            .unwrap_or_default()
    }

    /// From here on it goes out by itself again.
    pub(crate) fn release(&mut self) {
        self.caught = None;
    }

    fn nonza(&mut self, nonza: &sm::Nonza) {
        let Some(short) = nonza.short() else {
            let element = self.management.instant.ride_on(nonza);
            return match &mut self.caught {
                Some(caught) => caught.push(element),
                None => self.element(&element),
            };
        };
        let short = short.as_ref();
        if self.may_write(short.len(), || label(&nonza.to_element())) {
            self.joining.extend(short);
        }
    }

    /// The same where there is nothing for a role to deal with.
    pub(crate) fn drain_management(&mut self) {
        while self.poll_management().is_some() {}
    }
}
