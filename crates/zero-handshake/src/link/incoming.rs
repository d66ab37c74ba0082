//! What comes in on a link.

use minidom::Element;
use onetrip_stream::{Frame, ReadError, ReadErrorKind, Stanza, StreamError, ns};

use super::{Intake, Link, Phase};
use crate::opening::Verdict;
use crate::{Action, End, ErrorKind, Event, Invalid, OnInvalid, Reason, Why};

impl Link {
    pub(super) fn take(&mut self, rest: &mut &[u8]) -> Result<(), ErrorKind> {
        if let Intake::Opening(opening) = &mut self.intake {
            let offered = rest.len();
            let verdict = opening.next(rest);
            let taken = offered.saturating_sub(rest.len());
            self.skipped = self.skipped.saturating_add(taken as u64);
            match verdict {
                Verdict::Undecided => return Ok(()),
                Verdict::Refused(kind) => return Err(kind),
                Verdict::Swallowed => {
                    self.intake = Intake::Flowing;
                    self.event(Event::StreamOpenSwallowed);
                }
                Verdict::Begin(held) => {
                    self.skipped = self.skipped.saturating_sub(held.len() as u64);
                    self.intake = Intake::Fresh;
                    self.read(&mut &held[..])?;
                }
            }
        }
        self.read(rest)
    }

    fn read(&mut self, rest: &mut &[u8]) -> Result<(), ErrorKind> {
        while !matches!(self.intake, Intake::Ended) {
            match self.reader.next(rest) {
                Ok(None) => return Ok(()),
                Ok(Some(frame)) => self.on_frame(frame)?,
                Err(error) => return Err(self.misread(error)),
            }
        }
        Ok(())
    }

    /// A header with another prefix than the usual one is found out by the reader.
    fn misread(&self, error: ReadError) -> ErrorKind {
        match (&self.intake, &error.kind) {
            (Intake::Fresh, ReadErrorKind::NestedHeader) => ErrorKind::PeerSpeaksRfc6120,
            _ => ErrorKind::Read(error),
        }
    }

    fn on_frame(&mut self, frame: Frame) -> Result<(), ErrorKind> {
        self.intake = Intake::Flowing;
        match frame {
            Frame::Stanza(stanza) => self.on_stanza(stanza),
            Frame::Element(element) => self.on_element(element),
            Frame::Footer => {
                self.on_footer();
                Ok(())
            }
            // A primed reader gives none.
            _ => Err(ErrorKind::PeerSpeaksRfc6120),
        }
    }

    fn on_stanza(&mut self, stanza: Stanza) -> Result<(), ErrorKind> {
        if self.phase != Phase::Open && self.terms.presets.acknowledgements.is_some() {
            self.event(Event::Late);
            return Ok(());
        }
        match self.table.check_incoming(stanza.head()) {
            Ok(()) => {
                self.actions.push_back(Action::Stanza(stanza));
                Ok(())
            }
            Err(why) => self.on_invalid(why, &stanza),
        }
    }

    fn on_invalid(&mut self, why: Invalid, stanza: &Stanza) -> Result<(), ErrorKind> {
        let answer = match self.terms.on_invalid {
            OnInvalid::StreamError => return Err(ErrorKind::Invalid(why)),
            OnInvalid::Drop => None,
            OnInvalid::Bounce => self.table.bounce(stanza.head(), why),
        };
        self.actions.push_back(match answer {
            Some(answer) => Action::Bounce { why, answer },
            None => Action::Event(Event::Dropped(why)),
        });
        Ok(())
    }

    fn on_element(&mut self, element: Element) -> Result<(), ErrorKind> {
        if let Some(error) = StreamError::from_element(&element) {
            self.write_last(None);
            self.finish(End::PeerError(error));
            return Ok(());
        }
        if self.is_acknowledgement(&element) {
            self.actions.push_back(Action::Acknowledgement(element));
            return Ok(());
        }
        let stanza = matches!(element.name(), "message" | "presence" | "iq");
        Err(match stanza && element.has_ns(ns::CLIENT) {
            true => ErrorKind::Content,
            false => ErrorKind::Unexpected {
                name: element.name().to_owned(),
                namespace: element.ns(),
            },
        })
    }

    pub(super) fn is_acknowledgement(&self, element: &Element) -> bool {
        self.terms.presets.acknowledgements.is_some()
            && matches!(element.name(), "r" | "a")
            && element.has_ns(ns::STREAM_MANAGEMENT)
    }

    fn on_footer(&mut self) {
        self.intake = Intake::Ended;
        match self.phase {
            Phase::Open => self.begin_closing(Why::Peer, true),
            Phase::Closing { .. } => self.phase = Phase::Closing { answered: true },
            Phase::Awaiting => self.finish(End::Clean),
            Phase::Over => {}
        }
    }

    pub(super) fn is_inside(&self) -> bool {
        match &self.intake {
            Intake::Opening(opening) => opening.held() > 0,
            Intake::Ended => false,
            Intake::Fresh | Intake::Flowing => self.reader.is_mid_frame(),
        }
    }

    /// Sets the deadlines that depend on what comes in.
    pub(super) fn watch(&mut self, used: bool, any: bool) {
        let inside = self.is_inside();
        if !inside || self.is_over() {
            self.timers.stop(Reason::Stall);
        } else if any {
            self.timers.set(Reason::Stall, self.now + self.terms.stall);
        }
        if used || (any && inside) {
            self.touch();
        }
    }
}
