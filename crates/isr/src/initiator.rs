//! The end that resumes.
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | ready | `request` | asked |
//! | asked | `<inst-resumed/>`, `<failed/>` | answered |
//! | answered | nothing | |
//! | broken | nothing | |

use minidom::Element;
use onetrip_stream::ns;

use crate::{Dialect, Error, Ticket, Verdict, wire};

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
}

impl Initiator {
    /// An attempt that has not begun.
    #[must_use]
    pub fn new(ticket: Ticket) -> Self {
        Self {
            state: InitiatorState::Ready(ticket),
        }
    }

    /// Asks, with how many stanzas were handled; `None` when it has been asked already (ISR-10, ISR-R1).
    ///
    /// It goes out behind the stream header in the same write, under TLS, and never as early data (ISR-12, ISR-R7).
    pub fn request(&mut self, h: u32) -> Option<Element> {
        let ticket = match &self.state {
            InitiatorState::Ready(ticket) => ticket.clone(),
            _ => return None,
        };
        let element = match ticket.dialect {
            Dialect::Seed => wire::inst_resume(&ticket.token, h),
        };
        self.state = InitiatorState::Asked(ticket);
        Some(element)
    }

    /// Takes in the answer: `<inst-resumed/>`, or `<failed/>` of this namespace or stream management's (ISR-R4).
    ///
    /// # Errors
    /// [`Error`] when the peer broke a rule, and from then on. The session is not lost: it may be resumed behind
    /// authentication.
    pub fn handle(&mut self, element: &Element) -> Result<Verdict, Error> {
        let read = match &self.state {
            InitiatorState::Asked(ticket) => read_answer(ticket, element),
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

fn read_answer(ticket: &Ticket, element: &Element) -> Result<Verdict, Error> {
    if element.is("inst-resumed", ns::ISR) {
        let token = wire::token(element).ok_or(Error::Attribute("tok"))?;
        let h = wire::count(element).ok_or(Error::Attribute("h"))?;
        // The answer names no place, so the one from `<enabled/>` holds (seed §4.2.1).
        let location = ticket.location.clone();
        let ticket = Ticket::new(token, location);
        Ok(Verdict::Resumed { h, ticket })
    } else if wire::is_failed(element) {
        Ok(Verdict::Failed {
            h: wire::count(element),
            condition: wire::condition(element),
        })
    } else {
        Err(Error::OutOfTurn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Location, Token};
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
        ];
        for (error, condition) in all {
            assert_eq!(error.condition(), condition);
            assert!(error.source_section().starts_with("ISR 0.0.1 §4.2"));
        }
    }

    #[test]
    fn the_machine_never_prints_its_token() {
        assert!(!format!("{:?}", asked()).contains("old"));
    }
}
