//! Resource binding (RFC 6120 §7).
//!
//! | state of the client | takes | leads to |
//! |---|---|---|
//! | idle | [`Initiator::request`] | asked |
//! | asked | the result, an error | idle; exhausted behind the tenth |
//!
//! | state of the server | takes | leads to |
//! |---|---|---|
//! | idle | a request | deciding; idle, and refused at once, when it is malformed |
//! | deciding | [`Receiver::answer`] | idle |

use minidom::Element;
use onetrip_stream::{Build, Condition, Env, Jid, ns};

/// How often a client may ask on one stream (RFC 6120 §7.5 suggests 5 to 10).
const MAX_REQUESTS: u8 = 10;
/// The longest resource, in bytes (RFC 7622 §3.4).
const MAX_RESOURCE: usize = 1023;

/// The feature element.
#[must_use]
pub fn feature() -> Element {
    Element::bare("bind", ns::BIND)
}

/// Whether a stanza asks for a resource.
#[must_use]
pub fn is_request(stanza: &Element) -> bool {
    stanza.is("iq", ns::CLIENT) && stanza.has_child("bind", ns::BIND)
}

/// The peer broke a rule of binding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A result without an address.
    #[error("expected an address in the <jid/> of the bind result, got none")]
    NoAddress,
    /// More requests than are taken on one stream.
    #[error("expected at most {0} bind requests on a stream, got more")]
    TooMany(u8),
}

impl Error {
    /// The stream error to answer with.
    #[must_use]
    pub fn condition(&self) -> Condition {
        match self {
            Self::NoAddress => Condition::UndefinedCondition,
            Self::TooMany(_) => Condition::PolicyViolation,
        }
    }

    /// The section that was violated.
    #[must_use]
    pub fn source_section(&self) -> &'static str {
        match self {
            Self::NoAddress => "RFC 6120 §7.6.1",
            Self::TooMany(_) => "RFC 6120 §7.5",
        }
    }
}

/// Why a resource was not bound: a stanza error, after which the stream is still in step (QS-28).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The condition's element name, such as `conflict` or `resource-constraint` (RFC 6120 §7.6.2, §7.7.2).
    pub condition: String,
}

/// What the server made of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The full address; the server may have chosen another resource (RFC 6120 §7.7.1).
    Bound {
        /// The address.
        jid: Jid,
    },
    /// Refused; another request may follow on the same stream.
    Refused(Refusal),
}

/// The client.
///
/// ```
/// # use onetrip_negotiation::bind::{Initiator, Verdict};
/// # use onetrip_stream::{Build, Env, Instant, ns};
/// # use minidom::Element;
/// # let mut entropy = |out: &mut [u8]| out.fill(7);
/// # let mut env = Env::new(Instant::EPOCH, &mut entropy);
/// let mut bind = Initiator::new();
/// let request = bind.request(&mut env, Some("balcony")); // goes out
/// let answer = Element::bare("iq", ns::CLIENT).with_attr("type", "result").with_attr("id", request.attr("id").unwrap())
///     .with_child(Element::bare("bind", ns::BIND).with_child(Element::bare("jid", ns::BIND).with_text("juliet@capulet.lit/balcony")));
/// assert_eq!(bind.handle(&answer), Ok(Some(Verdict::Bound { jid: "juliet@capulet.lit/balcony".parse().unwrap() })));
/// ```
#[derive(Debug, Default)]
pub struct Initiator {
    pending: Option<String>,
    requests: u8,
}

impl Initiator {
    /// A client that has not asked yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether another request makes sense on this stream.
    #[must_use]
    pub fn may_request(&self) -> bool {
        self.pending.is_none() && self.requests < MAX_REQUESTS
    }

    /// The request; without a resource the server makes one up (RFC 6120 §7.6).
    #[must_use]
    pub fn request(&mut self, env: &mut Env<'_>, resource: Option<&str>) -> Element {
        let id = env.random_id();
        let mut bind = Element::bare("bind", ns::BIND);
        if let Some(resource) = resource {
            bind.append_child(Element::bare("resource", ns::BIND).with_text(resource));
        }
        let request = Element::bare("iq", ns::CLIENT)
            .with_attr("type", "set")
            .with_attr("id", id.as_str())
            .with_child(bind);
        self.pending = Some(id);
        self.requests = self.requests.saturating_add(1);
        request
    }

    /// Reads a stanza; `None` when it is not the answer.
    ///
    /// # Errors
    /// [`Error::NoAddress`] when it is the answer, and says nothing.
    pub fn handle(&mut self, stanza: &Element) -> Result<Option<Verdict>, Error> {
        let type_ = stanza.attr("type").unwrap_or_default();
        let ours = self.pending.is_some() && self.pending.as_deref() == stanza.attr("id");
        if !stanza.is("iq", ns::CLIENT) || !ours || !matches!(type_, "result" | "error") {
            return Ok(None);
        }
        self.pending = None;
        if type_ == "error" {
            return Ok(Some(Verdict::Refused(Refusal {
                condition: stanza_condition(stanza),
            })));
        }
        let jid = stanza
            .get_child("bind", ns::BIND)
            .and_then(|bind| bind.get_child("jid", ns::BIND))
            .and_then(|jid| jid.text().trim().parse().ok());
        match jid {
            Some(jid) => Ok(Some(Verdict::Bound { jid })),
            None => Err(Error::NoAddress),
        }
    }
}

/// The condition in a stanza error (RFC 6120 §8.3.2).
fn stanza_condition(stanza: &Element) -> String {
    let error = stanza.children().find(|child| child.name() == "error");
    let condition = error.and_then(|error| {
        error
            .children()
            .find(|child| child.has_ns(ns::STANZA_ERRORS) && child.name() != "text")
    });
    condition.map_or_else(
        || "undefined-condition".to_owned(),
        |condition| condition.name().chars().take(64).collect(),
    )
}

/// A client asks for a resource; answer with [`Receiver::answer`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// The resource it would like; `None` leaves the choice to the server.
    pub resource: Option<String>,
}

impl Request {
    /// A wish for this resource.
    #[must_use]
    pub fn new(resource: Option<String>) -> Self {
        Self { resource }
    }

    /// The usual decision: the resource it would like, or one that nobody can guess where it would like none, or one that is
    /// not allowed (RFC 6120 §7.6, §7.7). Whether another client has it already, you know.
    ///
    /// ```
    /// # use onetrip_negotiation::bind::{Answer, Request};
    /// # use onetrip_stream::{Env, Instant};
    /// # let mut entropy = |out: &mut [u8]| out.fill(7);
    /// # let env = &mut Env::new(Instant::EPOCH, &mut entropy);
    /// let account = "juliet@capulet.lit".parse().unwrap();
    /// let granted = Request::new(Some("balcony".to_owned())).grant(&account, env);
    /// assert_eq!(granted, Answer::Bound { jid: "juliet@capulet.lit/balcony".parse().unwrap() });
    /// ```
    #[must_use]
    pub fn grant(&self, account: &Jid, env: &mut Env<'_>) -> Answer {
        let wanted = self.resource.as_deref();
        let wanted = wanted.and_then(|resource| account.with_resource(resource).ok());
        match wanted.or_else(|| account.with_resource(&env.random_id()).ok()) {
            Some(jid) => Answer::Bound { jid },
            None => Answer::Refused {
                condition: "not-allowed",
            },
        }
    }
}

/// The decision about a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// This full address.
    Bound {
        /// The address.
        jid: Jid,
    },
    /// No, for this reason: `conflict`, `resource-constraint`, `not-allowed` (RFC 6120 §7.6.2).
    Refused {
        /// The stanza error condition.
        condition: &'static str,
    },
}

/// What a request leads to.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// Decide, then call [`Receiver::answer`].
    Request(Request),
    /// It was malformed; send this.
    Reply(Element),
}

/// The server.
///
/// ```
/// # use onetrip_negotiation::bind::{Answer, Initiator, Outcome, Receiver};
/// # use onetrip_stream::{Env, Instant};
/// # let mut entropy = |out: &mut [u8]| out.fill(7);
/// # let mut env = Env::new(Instant::EPOCH, &mut entropy);
/// let request = Initiator::new().request(&mut env, None);
/// let mut bind = Receiver::new();
/// assert!(matches!(bind.handle(&request), Ok(Outcome::Request(_))));
/// let (reply, bound) = bind.answer(Answer::Bound { jid: "juliet@capulet.lit/x1".parse().unwrap() }).unwrap();
/// assert_eq!(reply.attr("type"), Some("result"));
/// assert_eq!(bound.unwrap().resource(), Some("x1"));
/// ```
#[derive(Debug, Default)]
pub struct Receiver {
    pending: Option<String>,
    requests: u8,
}

impl Receiver {
    /// A server that has not been asked yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a request.
    ///
    /// # Errors
    /// [`Error::TooMany`] when the client does not stop asking.
    pub fn handle(&mut self, stanza: &Element) -> Result<Outcome, Error> {
        self.requests = self.requests.saturating_add(1);
        if self.requests > MAX_REQUESTS {
            return Err(Error::TooMany(MAX_REQUESTS));
        }
        let id = stanza.attr("id").unwrap_or_default().to_owned();
        let resource = stanza
            .get_child("bind", ns::BIND)
            .and_then(|bind| bind.get_child("resource", ns::BIND))
            .map(|resource| resource.text().trim().to_owned())
            .filter(|resource| !resource.is_empty());
        let too_long = resource
            .as_ref()
            .is_some_and(|resource| resource.len() > MAX_RESOURCE);
        if stanza.attr("type") != Some("set") || id.is_empty() || too_long {
            return Ok(Outcome::Reply(refusal(&id, "bad-request")));
        }
        self.pending = Some(id);
        Ok(Outcome::Request(Request { resource }))
    }

    /// Answers the pending request: the reply to send and, if bound, the address. `None` when nothing was asked.
    pub fn answer(&mut self, answer: Answer) -> Option<(Element, Option<Jid>)> {
        let id = self.pending.take()?;
        match answer {
            Answer::Refused { condition } => Some((refusal(&id, condition), None)),
            Answer::Bound { jid } => {
                let bind = Element::bare("bind", ns::BIND)
                    .with_child(Element::bare("jid", ns::BIND).with_text(&jid.to_string()));
                let reply = Element::bare("iq", ns::CLIENT)
                    .with_attr("type", "result")
                    .with_attr("id", id)
                    .with_child(bind);
                Some((reply, Some(jid)))
            }
        }
    }
}

/// An iq error; the error type as RFC 6120 §7.6.2 and §7.7.2 give it.
fn refusal(id: &str, condition: &str) -> Element {
    let type_ = match condition {
        "resource-constraint" => "wait",
        "bad-request" | "conflict" => "modify",
        _ => "cancel",
    };
    let error = Element::bare("error", ns::CLIENT)
        .with_attr("type", type_)
        .with_child(Element::bare(condition, ns::STANZA_ERRORS));
    Element::bare("iq", ns::CLIENT)
        .with_attr("type", "error")
        .with_attr("id", id)
        .with_child(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use onetrip_stream::Instant;

    fn asked(resource: Option<&str>) -> (Initiator, Element) {
        let mut entropy = |out: &mut [u8]| out.fill(7);
        let mut bind = Initiator::new();
        let request = bind.request(&mut Env::new(Instant::EPOCH, &mut entropy), resource);
        (bind, request)
    }

    #[test]
    fn qs_28_a_refusal_leaves_room_for_another_request() {
        let (mut client, request) = asked(Some("balcony"));
        let mut server = Receiver::new();
        assert_eq!(
            server.handle(&request),
            Ok(Outcome::Request(Request {
                resource: Some("balcony".into())
            }))
        );
        let (reply, bound) = server
            .answer(Answer::Refused {
                condition: "conflict",
            })
            .unwrap();
        assert_eq!(bound, None);
        assert!(!client.may_request());
        assert_eq!(
            client.handle(&reply),
            Ok(Some(Verdict::Refused(Refusal {
                condition: "conflict".into()
            })))
        );
        assert!(client.may_request());
    }

    #[test]
    fn a_stanza_that_is_not_the_answer_is_left_alone() {
        let (mut client, request) = asked(None);
        let other = Element::bare("iq", ns::CLIENT)
            .with_attr("type", "result")
            .with_attr("id", "other");
        assert_eq!(client.handle(&other), Ok(None));
        assert_eq!(client.handle(&request), Ok(None));
        let empty = Element::bare("iq", ns::CLIENT)
            .with_attr("type", "result")
            .with_attr("id", request.attr("id").unwrap());
        assert_eq!(client.handle(&empty), Err(Error::NoAddress));
    }

    #[test]
    fn requests_that_are_malformed_get_bad_request_and_too_many_end_it() {
        let mut server = Receiver::new();
        let bind = Element::bare("bind", ns::BIND)
            .with_child(Element::bare("resource", ns::BIND).with_text(&"x".repeat(1024)));
        let request = Element::bare("iq", ns::CLIENT)
            .with_attr("type", "set")
            .with_attr("id", "1")
            .with_child(bind);
        for _ in 0..MAX_REQUESTS {
            assert!(matches!(server.handle(&request), Ok(Outcome::Reply(_))));
            assert_eq!(
                server.answer(Answer::Refused {
                    condition: "conflict"
                }),
                None
            );
        }
        assert_eq!(server.handle(&request), Err(Error::TooMany(MAX_REQUESTS)));
    }
}
