//! What the peer asks of a session that has begun.
//!
//! | request | answer |
//! |---|---|
//! | none, or an unknown one | `bad-request` (JXS-R2) |
//! | another content, creator, application, or transport than the offered one | `bad-request` (JXS-R3) |
//! | behind the end | `unknown-session` |
//! | at the wrong time | `out-of-order` |
//! | a report about no candidate of ours | `item-not-found` |
//! | both ask for another transport | `tie-break`: the initiator's goes on |
//! | session-info, empty or not | a result, `unsupported-info` |
//! | anything about further contents | `feature-not-implemented` |

use onetrip_stream::Instant;

use super::session::{Asked, Offered, State};
use super::wire::{Content, Jingle, TransportElement, Verb};
use super::{End, Event, Reason, Session};
use crate::s5b::{self, Negotiation, Untimely};
use crate::xtls::{Gate, Method, Security, XtlsError};
use crate::{Refusal, Role};

impl Session {
    /// A request of the peer's, which is answered in every case.
    pub(super) fn request(&mut self, now: Instant, id: &str, jingle: &Jingle) {
        if self.is_ended() {
            return self.refuse(id, Refusal::UnknownSession);
        }
        let outcome = match jingle.verb {
            Verb::SessionTerminate => {
                self.answer(id);
                self.end(End::Peer(jingle.reason.unwrap_or(Reason::GeneralError)));
                Ok(())
            }
            Verb::SessionInfo if jingle.has_payload => Err(Refusal::UnsupportedInfo),
            // An empty one is a ping; and the application has no parameters (JXS-04).
            Verb::SessionInfo | Verb::DescriptionInfo => {
                self.answer(id);
                Ok(())
            }
            Verb::SessionInitiate => Err(Refusal::OutOfOrder),
            Verb::SessionAccept => self.accepted(now, id, jingle),
            Verb::SecurityInfo => self.security_info(id, jingle),
            Verb::TransportInfo => self.transport_info(now, id, jingle),
            Verb::TransportReplace => self.transport_replace(now, id, jingle),
            Verb::TransportAccept => self.transport_accept(id, jingle),
            Verb::TransportReject => self.transport_reject(id, jingle),
            Verb::ContentAccept
            | Verb::ContentAdd
            | Verb::ContentModify
            | Verb::ContentReject
            | Verb::ContentRemove => Err(Refusal::FeatureNotImplemented),
        };
        if let Err(refusal) = outcome {
            self.refuse(id, refusal);
        }
    }

    /// The one content there is (JXS-R3).
    fn named<'a>(&self, jingle: &'a Jingle) -> Result<&'a Content, Refusal> {
        match &jingle.contents[..] {
            [content] if content.creator == Role::Initiator && content.name == self.content => {
                Ok(content)
            }
            _ => Err(Refusal::BadRequest),
        }
    }

    fn accepted(&mut self, now: Instant, id: &str, jingle: &Jingle) -> Result<(), Refusal> {
        let State::Initiating(offered) = &self.state else {
            return Err(Refusal::OutOfOrder);
        };
        let content = self.named(jingle)?;
        if content.described != Some(true) || !fits(offered, content.transport.as_ref()) {
            return Err(Refusal::BadRequest);
        }
        self.answer(id);
        // An acceptance says more than the acknowledgement that it may have overtaken.
        self.pending.retain(|one| one.asked != Asked::Initiate);
        match self.gate_for(content.security.as_ref()) {
            Ok(gate) => self.gate = gate,
            Err(error) => {
                self.end_for_security(error);
                return Ok(());
            }
        }
        self.deadline = Some(now + self.config.setup);
        self.tell(Event::Accepted);
        if self.gate.is_some() {
            self.say_security_info(now);
        }
        let State::Initiating(offered) =
            core::mem::replace(&mut self.state, State::Ready { unsure: false })
        else {
            return Ok(());
        };
        match (offered, &content.transport) {
            (Offered::S5b(mut negotiation), Some(TransportElement::S5b(theirs))) => {
                negotiation.start(now, theirs);
                self.state = State::Choosing(negotiation);
                self.drain(now);
            }
            (Offered::Ibb(mut terms), Some(TransportElement::Ibb { block_size, .. })) => {
                terms.block_size = *block_size;
                self.open_ibb(terms);
            }
            _ => self.end_here(Reason::UnsupportedTransports),
        }
        Ok(())
    }

    fn say_security_info(&mut self, now: Instant) {
        let mut content = self.content();
        content.security = Some(Security::settled());
        let mut jingle = self.jingle(Verb::SecurityInfo);
        jingle.contents.push(content);
        self.say(now, Asked::SecurityInfo, &jingle);
    }

    fn security_info(&mut self, id: &str, jingle: &Jingle) -> Result<(), Refusal> {
        let content = self.named(jingle)?;
        let begun = !matches!(self.state, State::Initiating(_) | State::Incoming(_));
        let Some(gate) = self
            .gate
            .as_mut()
            .filter(|_| begun && self.role == Role::Responder)
        else {
            return Err(Refusal::OutOfOrder);
        };
        let Some(security) = &content.security else {
            return Err(Refusal::BadRequest);
        };
        if security.methods.contains(&Method::X509) {
            // Ready for a ClientHello from here on (JXS-19).
            let opened = Gate::agreed(gate);
            self.answer(id);
            self.start_tls(opened);
        } else {
            self.answer(id);
            self.end_for_security(XtlsError::Method);
        }
        Ok(())
    }

    fn transport_info(&mut self, now: Instant, id: &str, jingle: &Jingle) -> Result<(), Refusal> {
        let content = self.named(jingle)?;
        let Some(TransportElement::S5b(transport)) = &content.transport else {
            return Err(Refusal::BadRequest);
        };
        match &mut self.state {
            State::Choosing(negotiation) => {
                let info = transport.info.as_ref().ok_or(Refusal::BadRequest)?;
                report(now, negotiation, &transport.sid, info)?;
                self.answer(id);
                self.drain(now);
                Ok(())
            }
            State::Initiating(_) | State::Incoming(_) => Err(Refusal::OutOfOrder),
            // It was said before the peer knew what had been chosen.
            _ => {
                self.answer(id);
                Ok(())
            }
        }
    }

    fn transport_replace(
        &mut self,
        now: Instant,
        id: &str,
        jingle: &Jingle,
    ) -> Result<(), Refusal> {
        let content = self.named(jingle)?;
        match &self.state {
            State::Choosing(_) | State::Ready { unsure: true } => {}
            State::Replacing(_) => return Err(Refusal::TieBreak),
            _ => return Err(Refusal::OutOfOrder),
        }
        match &content.transport {
            Some(TransportElement::Ibb { sid, block_size }) => {
                if let State::Choosing(negotiation) = &mut self.state {
                    negotiation.stop();
                }
                self.answer(id);
                self.drain(now);
                let block_size = (*block_size).min(self.config.block_size);
                let terms = self.terms(sid.clone(), block_size, self.role.other());
                let transport = TransportElement::Ibb {
                    sid: terms.sid.clone(),
                    block_size: terms.block_size,
                };
                self.say_transport(now, Verb::TransportAccept, Asked::ReplaceAnswer, transport);
                self.open_ibb(terms);
                Ok(())
            }
            // Nothing is better than what is being tried, and what is not supported is not taken.
            Some(other) => {
                self.answer(id);
                let verb = Verb::TransportReject;
                self.say_transport(now, verb, Asked::ReplaceAnswer, other.clone());
                Ok(())
            }
            None => Err(Refusal::BadRequest),
        }
    }

    fn transport_accept(&mut self, id: &str, jingle: &Jingle) -> Result<(), Refusal> {
        let State::Replacing(terms) = &self.state else {
            return Err(Refusal::OutOfOrder);
        };
        let mut terms = terms.clone();
        match &self.named(jingle)?.transport {
            Some(TransportElement::Ibb { sid, block_size })
                if *sid == terms.sid && *block_size <= terms.block_size =>
            {
                terms.block_size = *block_size;
                self.answer(id);
                self.open_ibb(terms);
                Ok(())
            }
            _ => Err(Refusal::BadRequest),
        }
    }

    fn transport_reject(&mut self, id: &str, jingle: &Jingle) -> Result<(), Refusal> {
        if !matches!(self.state, State::Replacing(_)) {
            return Err(Refusal::OutOfOrder);
        }
        self.named(jingle)?;
        self.answer(id);
        self.end_here(Reason::ConnectivityError);
        Ok(())
    }
}

/// Whether an acceptance takes up what was offered: the same transport, and no larger blocks.
fn fits(offered: &Offered, theirs: Option<&TransportElement>) -> bool {
    match (offered, theirs) {
        (Offered::S5b(ours), Some(TransportElement::S5b(theirs))) => ours.sid() == theirs.sid,
        (Offered::Ibb(ours), Some(TransportElement::Ibb { sid, block_size })) => {
            ours.sid == *sid && *block_size <= ours.block_size
        }
        _ => false,
    }
}

fn report(
    now: Instant,
    negotiation: &mut Negotiation,
    sid: &str,
    info: &s5b::Info,
) -> Result<(), Refusal> {
    if negotiation.sid() != sid {
        return Err(Refusal::ItemNotFound);
    }
    let input = s5b::Input::Info(info);
    negotiation
        .handle(now, input)
        .map_err(|untimely| match untimely {
            Untimely::OutOfOrder => Refusal::OutOfOrder,
            Untimely::NoSuchCandidate => Refusal::ItemNotFound,
        })
}
