//! Resource binding within SASL2 (XEP-0386): what rides in `<authenticate/>`, and what comes back in `<success/>`.
//!
//! The client asks once and is answered once, with its resource, with a session, or with neither. The server:
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | any | at first, what rides in `<authenticate/>` | resuming, binding, or answered |
//! | resuming | `<resumed/>` | answered: the request to bind is ignored |
//! | resuming | `<failed/>` | binding, or answered |
//! | binding | the address | answered |
//!
//! Resumption goes first, and binding is what is left when it fails (XEP-0386 §3.2). What is enabled with the resource
//! (stream management, carbons) is opaque here.

use minidom::Element;
use onetrip_stream::{Build, Condition, Env, Jid, ns};

use crate::sasl2::{Offer, UserAgent};

/// The longest tag that is put into a resource, in bytes: there is room for what the server adds (RFC 7622 §3.4).
const MAX_TAG: usize = 512;

/// The feature, which goes among what may ride along in SASL2; `inline` names what can be enabled with a resource.
#[must_use]
pub fn feature(inline: &[&str]) -> Element {
    let bind = Element::bare("bind", ns::BIND2);
    if inline.is_empty() {
        return bind;
    }
    let list = inline
        .iter()
        .fold(Element::bare("inline", ns::BIND2), |list, var| {
            list.with_child(Element::bare("feature", ns::BIND2).with_attr("var", *var))
        });
    bind.with_child(list)
}

/// What a server offers of this.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Feature {
    /// What can be enabled with a resource, by namespace.
    pub inline: Vec<String>,
}

impl Feature {
    /// Reads it from an offer; `None` without it.
    #[must_use]
    pub fn read(offer: &Offer) -> Option<Self> {
        let list = offer.inline("bind", ns::BIND2)?;
        let list = list.get_child("inline", ns::BIND2);
        let vars = list.into_iter().flat_map(Element::children);
        let vars = vars.filter(|child| child.is("feature", ns::BIND2));
        Some(Self {
            inline: vars
                .filter_map(|child| child.attr("var").map(str::to_owned))
                .collect(),
        })
    }

    /// Whether this can be enabled with a resource.
    #[must_use]
    pub fn enables(&self, namespace: &str) -> bool {
        self.inline.iter().any(|var| var == namespace)
    }
}

/// Whether a session can be resumed within SASL2, under either name that servers have given it (MongooseIM#4114).
#[must_use]
pub fn resumes(offer: &Offer) -> bool {
    ["sm", "resume"]
        .iter()
        .any(|name| offer.inline(name, ns::STREAM_MANAGEMENT).is_some())
}

/// The peer broke a rule. Final: the stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A session that goes on, and a resource for a new one.
    #[error("expected either <resumed/> or <bound/>, got both")]
    Both,
    /// An answer to what was not asked.
    #[error("expected only what was asked for, got <{0}/>")]
    Unasked(&'static str),
    /// `<bound/>`, and an address without a resource.
    #[error("expected a full address with <bound/>, got one without a resource")]
    NoResource,
    /// An element that may be there once.
    #[error("expected one <{0}/>, got another")]
    Twice(&'static str),
}

impl Error {
    /// The stream error to answer with.
    #[must_use]
    pub fn condition(&self) -> Condition {
        match self {
            Self::Unasked(_) => Condition::UnsupportedStanzaType,
            Self::Both | Self::NoResource | Self::Twice(_) => Condition::UndefinedCondition,
        }
    }

    /// The section that was violated.
    #[must_use]
    pub fn source_section(&self) -> &'static str {
        "XEP-0386 §3.2"
    }
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// A new resource.
    Bound {
        /// The full address.
        jid: Jid,
        /// The answers to what was to be enabled with it, and whatever else the server says.
        inline: Vec<Element>,
        /// Why the session was not resumed, if that was tried: stream management's `<failed/>`.
        failed: Option<Element>,
    },
    /// The session goes on; there is no new resource. Features do not follow it (Conversations ca1ee4a56).
    Resumed(Element),
    /// The server has not looked at the request: RFC 6120 §7 is what is left.
    NotBound {
        /// Why the session was not resumed, if that was tried.
        failed: Option<Element>,
    },
}

/// The client.
///
/// ```
/// # use onetrip_negotiation::bind2::{Initiator, Verdict};
/// # use minidom::Element;
/// # use onetrip_stream::ns;
/// let mut bind = Initiator::new().with_tag("onetrip");
/// let request = bind.request(); // rides in <authenticate/>
/// let answers = [Element::bare("bound", ns::BIND2)];
/// let jid = "juliet@capulet.lit/onetrip/x1".parse().unwrap();
/// assert!(matches!(bind.handle(&jid, &answers), Ok(Verdict::Bound { .. })));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Initiator {
    tag: Option<String>,
    inline: Vec<Element>,
    resume: Option<Element>,
}

impl Initiator {
    /// A client that wants a resource.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Names the software in the resource, for everybody to see.
    #[must_use]
    pub fn with_tag(mut self, tag: &str) -> Self {
        self.tag = Some(tag.to_owned());
        self
    }

    /// Enables this with the resource, unless it is there already (fluux#517: twice is once too often).
    #[must_use]
    pub fn with_inline(mut self, element: Element) -> Self {
        let same = |known: &Element| known.is(element.name(), &*element.ns());
        if !self.inline.iter().any(same) {
            self.inline.push(element);
        }
        self
    }

    /// Goes on with a session if that can be: stream management's `<resume/>`, which rides beside the request to bind.
    #[must_use]
    pub fn with_resume(mut self, resume: Element) -> Self {
        self.resume = Some(resume);
        self
    }

    /// What rides in `<authenticate/>`.
    #[must_use]
    pub fn request(&self) -> Vec<Element> {
        let mut bind = Element::bare("bind", ns::BIND2);
        if let Some(tag) = &self.tag {
            bind.append_child(Element::bare("tag", ns::BIND2).with_text(tag));
        }
        let bind = self.inline.iter().cloned().fold(bind, Build::with_child);
        self.resume.iter().cloned().chain([bind]).collect()
    }

    /// Reads what came with `<success/>`: the address, and the inline answers.
    ///
    /// # Errors
    /// [`Error`] when they contradict each other, or the request.
    pub fn handle(&self, identifier: &Jid, inline: &[Element]) -> Result<Verdict, Error> {
        let bound = only(inline, "bound", ns::BIND2)?;
        let resumed = only(inline, "resumed", ns::STREAM_MANAGEMENT)?;
        let failed = only(inline, "failed", ns::STREAM_MANAGEMENT)?.cloned();
        if self.resume.is_none() && resumed.is_some() {
            return Err(Error::Unasked("resumed"));
        }
        match (bound, resumed) {
            (Some(_), Some(_)) => Err(Error::Both),
            (None, Some(resumed)) => Ok(Verdict::Resumed(resumed.clone())),
            (None, None) => Ok(Verdict::NotBound { failed }),
            (Some(_), None) if identifier.resource().is_none() => Err(Error::NoResource),
            (Some(bound), None) => Ok(Verdict::Bound {
                jid: identifier.clone(),
                inline: bound.children().cloned().collect(),
                failed,
            }),
        }
    }
}

/// The one element of this name.
fn only<'a>(
    all: &'a [Element],
    name: &'static str,
    namespace: &str,
) -> Result<Option<&'a Element>, Error> {
    let mut found = all.iter().filter(|element| element.is(name, namespace));
    let first = found.next();
    match found.next() {
        Some(_) => Err(Error::Twice(name)),
        None => Ok(first),
    }
}

/// A client wants a resource; answer with [`Receiver::bound`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Request {
    /// What the resource is to begin with, if it can.
    pub tag: Option<String>,
    /// What is to be enabled with it.
    pub inline: Vec<Element>,
    /// The installation, whose earlier session ends when this one begins (XEP-0386 §3.2). It is nobody else's business.
    pub client: Option<String>,
}

impl Request {
    /// A resource that nobody can guess, behind the tag.
    #[must_use]
    pub fn resource(&self, env: &mut Env<'_>) -> String {
        let id = env.random_id();
        match &self.tag {
            Some(tag) => format!("{tag}/{id}"),
            None => id,
        }
    }
}

/// What the server must do.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "an action that is not carried out leaves the client waiting"]
#[non_exhaustive]
pub enum Action {
    /// Go on with a session if that can be, and say [`Receiver::resumed`] or [`Receiver::failed`].
    Resume(Element),
    /// Bind a resource, and say [`Receiver::bound`].
    Bind(Request),
    /// Put these into `<success/>`.
    Answer(Vec<Element>),
}

#[derive(Debug)]
enum State {
    Resuming(Option<Request>),
    Binding,
    Answered,
}

/// The server, for one authentication that has succeeded.
///
/// ```
/// # use onetrip_negotiation::bind2::{Action, Initiator, Receiver};
/// let mut bind = Receiver::new(&Initiator::new().with_tag("onetrip").request(), None).unwrap();
/// let Some(Action::Bind(request)) = bind.poll_action() else { panic!() };
/// assert_eq!(request.tag.as_deref(), Some("onetrip"));
/// bind.bound(vec![]); // the address goes into <authorization-identifier/>
/// let Some(Action::Answer(answers)) = bind.poll_action() else { panic!() };
/// assert_eq!(answers[0].name(), "bound");
/// ```
#[derive(Debug)]
pub struct Receiver {
    state: State,
    answers: Vec<Element>,
    action: Option<Action>,
}

impl Receiver {
    /// Reads what rode in `<authenticate/>`, and who the client says it is. Not before it has authenticated, all tasks
    /// included.
    ///
    /// # Errors
    /// [`Error::Twice`] when it asks more than once.
    pub fn new(inline: &[Element], agent: Option<&UserAgent>) -> Result<Self, Error> {
        let bind = only(inline, "bind", ns::BIND2)?;
        let resume = only(inline, "resume", ns::STREAM_MANAGEMENT)?;
        let request = bind.map(|bind| read(bind, agent)).transpose()?;
        let mut this = Self {
            state: State::Answered,
            answers: Vec::new(),
            action: None,
        };
        match resume {
            Some(resume) => {
                this.state = State::Resuming(request);
                this.action = Some(Action::Resume(resume.clone()));
            }
            None => this.go_on(request),
        }
        Ok(this)
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.action.take()
    }

    fn go_on(&mut self, request: Option<Request>) {
        match request {
            Some(request) => {
                self.state = State::Binding;
                self.action = Some(Action::Bind(request));
            }
            None => self.answer(),
        }
    }

    fn answer(&mut self) {
        self.state = State::Answered;
        self.action = Some(Action::Answer(core::mem::take(&mut self.answers)));
    }

    /// The session goes on, says this `<resumed/>`: no resource is bound. Does nothing when that was not asked.
    pub fn resumed(&mut self, resumed: Element) {
        if let State::Resuming(_) = self.state {
            self.answers.push(resumed);
            self.answer();
        }
    }

    /// It does not, says this `<failed/>`. Does nothing when that was not asked.
    pub fn failed(&mut self, failed: Element) {
        if let State::Resuming(request) = &mut self.state {
            let request = request.take();
            self.answers.push(failed);
            self.go_on(request);
        }
    }

    /// A resource is bound, and these are the answers to what was to be enabled with it. Does nothing when that was not
    /// asked.
    pub fn bound(&mut self, answers: Vec<Element>) {
        if let State::Binding = self.state {
            let bound = Element::bare("bound", ns::BIND2);
            self.answers
                .push(answers.into_iter().fold(bound, Build::with_child));
            self.answer();
        }
    }
}

/// A tag that cannot stand in a resource is left out.
fn read(bind: &Element, agent: Option<&UserAgent>) -> Result<Request, Error> {
    let children: Vec<Element> = bind.children().cloned().collect();
    let tag = only(&children, "tag", ns::BIND2)?.map(|tag| tag.text().trim().to_owned());
    let fits =
        |tag: &String| !tag.is_empty() && tag.len() <= MAX_TAG && !tag.contains(char::is_control);
    let inline = children.iter().filter(|child| !child.has_ns(ns::BIND2));
    let inline: Vec<Element> = inline.cloned().collect();
    if only(&inline, "enable", ns::STREAM_MANAGEMENT).is_err() {
        // Enabled twice is not enabled (fluux#517).
        return Err(Error::Twice("enable"));
    }
    Ok(Request {
        tag: tag.filter(fits),
        inline,
        client: agent.and_then(|agent| agent.id.clone()),
    })
}
