//! What a connection does, as spans and events of `tracing`: the feature `tracing`. Without it, nothing.
//!
//! What is shown of anything that may hold a secret, or what people write to each other, is its name alone.

#[cfg(feature = "tracing")]
pub(crate) use on::{Observer, dialling, not_found, offline, units_are_wanted};

#[cfg(not(feature = "tracing"))]
pub(crate) use off::{Observer, dialling, not_found, offline, units_are_wanted};

#[cfg(feature = "tracing")]
mod on {
    use std::fmt::{self, Debug, Write};
    use std::io;
    use std::time::Duration;

    use onetrip_core::isr::{Begin, Location};
    use onetrip_core::{Connection, Direction, Event, Unit};
    use onetrip_tls::Output;
    use tracing::{Level, Span, debug, enabled, field, info, info_span, trace, warn};

    use crate::Cause;

    /// The span of one connection.
    #[derive(Debug)]
    pub(crate) struct Observer(Span);

    impl Observer {
        pub(crate) fn new(machine: &Connection) -> Self {
            let role = match machine.is_initiator() {
                true => "initiator",
                false => "receiver",
            };
            let span = info_span!("connection", role, peer = field::Empty, jid = field::Empty);
            if let Some(peer) = machine.peer_domain() {
                span.record("peer", field::display(peer));
            }
            Self(span)
        }

        pub(crate) fn output(&self, output: &Output) {
            self.0.in_scope(|| match output {
                Output::Transmit(bytes) => trace!(bytes = bytes.len(), "write"),
                Output::Request(request) => debug!(request = name(request), "request"),
                Output::Event(event) => self.event(event),
                Output::Trace(unit) => show_unit(unit),
                Output::Close => debug!("close"),
                _ => {}
            });
        }

        fn event(&self, event: &Event) {
            match event {
                Event::Online { jid, resumed, .. } => {
                    self.0.record("jid", field::display(jid));
                    info!(%jid, resumed, "online");
                }
                Event::Established { peer, .. } => {
                    self.0.record("peer", field::display(peer));
                    info!(%peer, "established");
                }
                Event::Authenticated { mechanism, .. } => debug!(%mechanism, "authenticated"),
                Event::AuthenticationRefused(failure) => warn!(%failure, "credentials refused"),
                Event::NoMechanism { offered } => warn!(?offered, "no mechanism in common"),
                Event::PeerError(error) => warn!(%error, "the peer ended the stream"),
                Event::Stanza(stanza) => {
                    let kind = stanza.head().kind.name();
                    debug!(kind, bytes = stanza.bytes().len(), "stanza");
                }
                other => debug!(event = name(other), "event"),
            }
        }

        pub(crate) fn failed(&self, error: &dyn std::error::Error) {
            self.0.in_scope(|| warn!(%error, "failed"));
        }
    }

    fn show_unit(unit: &Unit) {
        let Unit {
            label,
            bytes,
            secured,
            ..
        } = unit;
        match unit.direction {
            Direction::Sent => trace!(label, bytes, secured, "sent"),
            Direction::Received => trace!(label, secured, "received"),
        }
    }

    /// The name of a variant, without what it holds.
    fn name(value: &dyn Debug) -> String {
        let mut name = Name(String::new());
        // It ends behind the name, which is an error to whoever writes.
        let _ = write!(name, "{value:?}");
        name.0
    }

    /// Takes the first word and no more.
    struct Name(String);

    impl Write for Name {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            for letter in text.chars() {
                if !letter.is_alphanumeric() {
                    return Err(fmt::Error);
                }
                self.0.push(letter);
            }
            Ok(())
        }
    }

    /// Whether somebody looks at every unit that goes out or comes in.
    pub(crate) fn units_are_wanted() -> bool {
        enabled!(Level::TRACE)
    }

    pub(crate) fn dialling(place: &Location, begin: Begin) {
        debug!(%place, ?begin, "dialling");
    }

    pub(crate) fn not_found(error: &io::Error) {
        warn!(%error, "the servers could not be looked up");
    }

    pub(crate) fn offline(cause: &Cause, again: Option<Duration>) {
        warn!(%cause, ?again, "offline");
    }
}

#[cfg(not(feature = "tracing"))]
mod off {
    use std::io;
    use std::time::Duration;

    use onetrip_core::Connection;
    use onetrip_core::isr::{Begin, Location};
    use onetrip_tls::Output;

    use crate::Cause;

    #[derive(Debug)]
    pub(crate) struct Observer;

    impl Observer {
        pub(crate) fn new(_: &Connection) -> Self {
            Self
        }

        pub(crate) fn output(&self, _: &Output) {}

        pub(crate) fn failed(&self, _: &dyn std::error::Error) {}
    }

    pub(crate) fn units_are_wanted() -> bool {
        false
    }

    pub(crate) fn dialling(_: &Location, _: Begin) {}

    pub(crate) fn not_found(_: &io::Error) {}

    pub(crate) fn offline(_: &Cause, _: Option<Duration>) {}
}
