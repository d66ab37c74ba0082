//! The end that resumes.
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | ready | `request` | asked |
//! | asked | `<inst-resumed/>`, `<failed/>` | answered |
//! | answered | nothing | |
//! | broken | nothing | |

use minidom::Element;
use onetrip_stream::{Prover, ResponderProof, Secret, Token, TokenProof, ns};

use crate::{Dialect, Error, Ticket, Verdict, sasl2, wire};

#[derive(Debug)]
enum InitiatorState {
    Ready(Ticket),
    Asked(Ticket),
    Answered,
    Broken(Error),
}

/// One attempt to resume, with one ticket.
///
/// ```
/// # use minidom::Element;
/// # use onetrip_isr::{Initiator, Ticket, Token, Verdict};
/// # use onetrip_stream::{Build, ns};
/// let mut machine = Initiator::new(Ticket::new(Token::read("old").unwrap(), None));
/// let request = machine.request(42).unwrap(); // in one write with the stream header (ISR-12)
/// assert_eq!((request.attr("tok"), request.attr("h")), (Some("old"), Some("42")));
/// let answer = Element::bare("inst-resumed", ns::ISR).with_attr("tok", "new").with_attr("h", "21");
/// let Ok(Verdict::Resumed { h: 21, ticket }) = machine.handle(&answer) else { panic!() };
/// assert_eq!(ticket.token.expose(), "new");
/// ```
#[derive(Debug)]
pub struct Initiator {
    state: InitiatorState,
    /// What the second text binds its proofs to.
    end_point: Option<Secret>,
}

impl Initiator {
    /// An attempt that has not begun.
    #[must_use]
    pub fn new(ticket: Ticket) -> Self {
        Self {
            state: InitiatorState::Ready(ticket),
            end_point: None,
        }
    }

    /// The hash of the server's certificate, `tls-server-end-point` (RFC 5929 §4): without it the second text has nothing
    /// to prove its key by, and does not ask ([`Dialect::Hmac`]).
    #[must_use]
    pub fn with_end_point(mut self, hash: Secret) -> Self {
        self.end_point = Some(hash);
        self
    }

    /// Asks, with how many stanzas were handled; `None` when it has been asked already, or cannot be (ISR-10, ISR-R1).
    ///
    /// For [`Dialect::Sasl2`] it rides in `<authenticate/>`, beside a message of the mechanism that the key is pinned to,
    /// and what comes back in `<success/>` is for [`Initiator::handle`]. For the others it goes out behind the stream header in the same write, under TLS, and never as early data (ISR-12, ISR-R7).
    pub fn request(&mut self, h: u32) -> Option<Element> {
        let ticket = match &self.state {
            InitiatorState::Ready(ticket) => ticket.clone(),
            _ => return None,
        };
        let element = match &ticket.dialect {
            Dialect::Seed => wire::inst_resume(&ticket.token, h),
            Dialect::Hmac { session } => {
                let bound = self.end_point.as_ref()?.expose();
                let mac = TokenProof::prove(ticket.token.secret(), Prover::Initiator, bound);
                wire::prove(session, h, &mac)
            }
            Dialect::Sasl2 { session, .. } => sasl2::inst_resume(session, h),
        };
        self.state = InitiatorState::Asked(ticket);
        Some(element)
    }

    /// Takes in the answer: `<inst-resumed/>`, or `<failed/>` of this namespace or stream management's (ISR-R4); for
    /// [`Dialect::Sasl2`], `<inst-resumed/>` or `<inst-resume-failed/>` from `<success/>`.
    ///
    /// # Errors
    /// [`Error`] when the peer broke a rule, and from then on. The session is not lost: it may be resumed behind
    /// authentication.
    pub fn handle(&mut self, element: &Element) -> Result<Verdict, Error> {
        let read = match &self.state {
            InitiatorState::Asked(ticket) => {
                let bound = self.end_point.as_ref().map(Secret::expose);
                read_answer(ticket, bound.unwrap_or_default(), element)
            }
            InitiatorState::Broken(error) => Err(*error),
            _ => Err(Error::OutOfTurn),
        };
        self.state = match &read {
            Ok(_) => InitiatorState::Answered,
            Err(error) => InitiatorState::Broken(*error),
        };
        read
    }
}

fn read_answer(ticket: &Ticket, bound: &[u8], element: &Element) -> Result<Verdict, Error> {
    match &ticket.dialect {
        Dialect::Sasl2 { session, .. } => read_login(ticket, session, element),
        _ if wire::is_failed(element) => Ok(Verdict::Failed {
            h: wire::count(element),
            condition: wire::condition(element),
        }),
        _ if !element.is("inst-resumed", ns::ISR) => Err(Error::OutOfTurn),
        Dialect::Seed => {
            let token = wire::token(element).ok_or(Error::Attribute("tok"))?;
            resumed(ticket, token, wire::count(element))
        }
        Dialect::Hmac { .. } => {
            // Before anything else of the answer is looked at.
            let mac = wire::mac(element).and_then(|mac| ResponderProof::read(&mac));
            if !mac.is_some_and(|mac| mac.is_of(ticket.token.secret(), bound)) {
                return Err(Error::Proof);
            }
            let key = wire::key(element).ok_or(Error::Attribute("key"))?;
            resumed(ticket, key, wire::count(element))
        }
    }
}

/// The answer names no place, so the one from `<enabled/>` holds (seed §4.2.1).
fn resumed(ticket: &Ticket, fresh: Token, h: Option<u32>) -> Result<Verdict, Error> {
    let h = h.ok_or(Error::Attribute("h"))?;
    let ticket = Ticket::of(ticket.dialect.clone(), fresh, ticket.location.clone());
    Ok(Verdict::Resumed { h, ticket })
}

/// What came with `<success/>` (XEP-0397 §4.2.1, §4.2.2): the mechanism has proved the server by then.
fn read_login(ticket: &Ticket, session: &str, element: &Element) -> Result<Verdict, Error> {
    let child = |name: &str| element.get_child(name, ns::STREAM_MANAGEMENT);
    if element.is("inst-resume-failed", ns::ISR_SASL2) {
        let failed = child("failed");
        return Ok(Verdict::Failed {
            h: failed.and_then(wire::count),
            condition: failed.and_then(wire::condition),
        });
    }
    if !element.is("inst-resumed", ns::ISR_SASL2) {
        return Err(Error::OutOfTurn);
    }
    let fresh = element.attr("token").and_then(Token::read);
    let fresh = fresh.ok_or(Error::Attribute("token"))?;
    let answer = child("resumed").ok_or(Error::Attribute("resumed"))?;
    if wire::previd(answer) != Some(session) {
        return Err(Error::Session);
    }
    resumed(ticket, fresh, wire::count(answer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Location;
    use onetrip_stream::{Build as _, Condition};

    fn asked() -> Initiator {
        let location = Location::parse("h:443", 1);
        let mut machine = Initiator::new(Ticket::new(Token::read("old").unwrap(), location));
        assert!(machine.request(1).is_some());
        machine
    }

    fn resumed() -> Element {
        Element::bare("inst-resumed", ns::ISR)
            .with_attr("tok", "new")
            .with_attr("h", "21")
    }

    #[test]
    fn isr_r1_the_short_name_is_sent_and_only_once() {
        let mut machine = Initiator::new(Ticket::new(Token::read("old").unwrap(), None));
        let expected = Element::bare("inst-resume", ns::ISR)
            .with_attr("tok", "old")
            .with_attr("h", "4294967295");
        assert_eq!(machine.request(u32::MAX), Some(expected));
        assert_eq!(machine.request(1), None);
    }

    #[test]
    fn isr_15_the_new_token_takes_the_place_of_the_old_and_the_location_stays() {
        let location = Location::parse("h:443", 1);
        let ticket = Ticket::new(Token::read("new").unwrap(), location);
        let verdict = Verdict::Resumed { h: 21, ticket };
        assert_eq!(asked().handle(&resumed()), Ok(verdict));
    }

    #[test]
    fn isr_15_an_answer_without_token_or_count_says_which_is_missing() {
        let bare = || Element::bare("inst-resumed", ns::ISR);
        for (answer, missing) in [
            (bare().with_attr("h", "1"), "tok"),
            (bare().with_attr("h", "1").with_attr("tok", ""), "tok"),
            (
                bare()
                    .with_attr("h", "1")
                    .with_attr("tok", "x".repeat(1025)),
                "tok",
            ),
            (
                bare().with_attr("h", "1").with_attr_ns(ns::ISR, "tok", "t"),
                "tok",
            ),
            (bare().with_attr("tok", "t"), "h"),
            (bare().with_attr("tok", "t").with_attr("h", "-1"), "h"),
            (bare().with_attr("tok", "t").with_attr("h", "0x1"), "h"),
        ] {
            let mut machine = asked();
            let error = Error::Attribute(missing);
            assert_eq!(machine.handle(&answer), Err(error));
            assert!(error.to_string().contains(missing));
            // Final: even a good answer comes too late.
            assert_eq!(machine.handle(&resumed()), Err(error));
        }
    }

    #[test]
    fn isr_r4_a_refusal_may_come_in_either_namespace_and_bare() {
        for namespace in [ns::ISR, ns::STREAM_MANAGEMENT] {
            let bare = || Element::bare("failed", namespace);
            let failed = |h, condition: Option<&str>| {
                let condition = condition.map(str::to_owned);
                Ok(Verdict::Failed { h, condition })
            };
            let error = |name: &str| Element::bare(name, ns::STANZA_ERRORS);
            assert_eq!(asked().handle(&bare()), failed(None, None));
            let with_h = bare().with_attr("h", "22");
            assert_eq!(asked().handle(&with_h), failed(Some(22), None));
            let bad_h = bare().with_attr("h", "+22");
            assert_eq!(asked().handle(&bad_h), failed(None, None));
            let full = bare()
                .with_child(error("text").with_text("no"))
                .with_child(error("item-not-found"));
            assert_eq!(asked().handle(&full), failed(None, Some("item-not-found")));
        }
    }

    #[test]
    fn anything_else_anything_early_and_anything_twice_is_out_of_turn() {
        for stray in [
            Element::bare("failed", "urn:x"),
            Element::bare("inst-resumed", ns::STREAM_MANAGEMENT),
            Element::bare("inst-resume", ns::ISR),
        ] {
            assert_eq!(asked().handle(&stray), Err(Error::OutOfTurn));
        }
        let mut early = Initiator::new(Ticket::new(Token::read("old").unwrap(), None));
        assert_eq!(early.handle(&resumed()), Err(Error::OutOfTurn));
        assert_eq!(early.request(1), None, "final");
        let mut twice = asked();
        assert!(twice.handle(&resumed()).is_ok());
        assert_eq!(twice.request(1), None, "the old token is not shown again");
        assert_eq!(twice.handle(&resumed()), Err(Error::OutOfTurn));
    }

    #[test]
    fn errors_name_their_section_and_the_stream_error() {
        let all = [
            (Error::Attribute("h"), Condition::UndefinedCondition),
            (Error::OutOfTurn, Condition::UnsupportedStanzaType),
            (Error::Proof, Condition::NotAuthorized),
            (Error::Session, Condition::UndefinedCondition),
        ];
        for (error, condition) in all {
            assert_eq!(error.condition(), condition);
            assert!(error.source_section().contains("§4.2"));
        }
    }

    #[test]
    fn the_machine_never_prints_its_token() {
        assert!(!format!("{:?}", asked()).contains("old"));
    }
}
