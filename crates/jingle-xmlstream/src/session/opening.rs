//! How a session begins, at either end.

use std::collections::VecDeque;

use minidom::Element;
use onetrip_stream::{Env, Instant, Jid, Payload, Stanza, ns};

use super::session::{Asked, Offered, Received, State};
use super::wire::{Jingle, TransportElement, Verb};
use super::{Config, Event, Reason, Session, Tie, Unsupported};
use crate::iq::{self, Ids, Iq, Kind, Refusal};
use crate::s5b::{self, Candidate, Negotiation};
use crate::xtls::{Gate, Security, XtlsError};
use crate::{Capabilities, Dialect, Role};

/// The name of the content; any will do.
const CONTENT: &str = "xmlstream";

impl Session {
    /// Asks `peer` for a session; `candidates` are where this end can be reached (JXS-03).
    ///
    /// With `capabilities` the best dialect of the peer's is spoken, without them [`Config::dialect`]: then a peer that
    /// has nothing of the kind refuses. Candidates that XML cannot hold are not sent, nor is what they stand in: then the
    /// deadline ends the session.
    ///
    /// # Errors
    /// [`Unsupported`] when the peer does not announce what is needed (JXS-02).
    pub fn initiate(
        config: Config,
        env: &mut Env<'_>,
        us: Jid,
        peer: Jid,
        capabilities: Option<&Capabilities>,
        candidates: Vec<Candidate>,
    ) -> Result<Self, Unsupported> {
        let dialect = match capabilities {
            None => config.dialect,
            Some(known) => known.dialect().ok_or(Unsupported::Application)?,
        };
        let xtls = capabilities.is_none_or(Capabilities::has_xtls);
        let security = config.offer(dialect).filter(|_| xtls);
        if security.is_none() && !config.security.allow_insecure {
            return Err(Unsupported::Security);
        }
        let with_s5b = config.s5b && capabilities.is_none_or(|known| known.has_s5b(dialect));
        let sid = env.random_id();
        let (ringing, block_size) = (config.ringing, config.block_size);
        let mut session = Self::new(config, env, Role::Initiator, dialect, us, peer, sid);
        // In-band bytestreams are the last resort: first only where there is nothing else (JXS-26).
        let (offered, transport) = if with_s5b {
            let negotiation = session.negotiation(env.random_id(), candidates);
            let transport = TransportElement::S5b(negotiation.offer());
            (Offered::S5b(Box::new(negotiation)), transport)
        } else {
            let terms = session.terms(env.random_id(), block_size, Role::Initiator);
            let transport = TransportElement::Ibb {
                sid: terms.sid.clone(),
                block_size: terms.block_size,
            };
            (Offered::Ibb(terms), transport)
        };
        session.state = State::Initiating(offered);
        session.deadline = Some(env.now + ringing);
        let verb = Verb::SessionInitiate;
        session.say_offer(env.now, verb, Asked::Initiate, transport, security);
        Ok(session)
    }

    /// Receives a session-initiate: it is acknowledged (JXS-05), and [`Event::Incoming`] asks the user, unless it cannot
    /// be; then the session is over already, and its actions say so to the peer.
    ///
    /// `authorised` says whether the peer may know that this end is there: a contact, in most cases.
    ///
    /// # Errors
    /// The answer to send, when the request is refused as such; `None` when it is no session-initiate.
    pub fn incoming(
        config: Config,
        env: &mut Env<'_>,
        us: Jid,
        stanza: &Stanza,
        authorised: bool,
    ) -> Result<Self, Option<Box<Stanza>>> {
        let (from, iq, payload) = request(stanza).ok_or(None)?;
        if payload.attr("action") != Some(Verb::SessionInitiate.name()) {
            return Err(None);
        }
        let detected = Dialect::detect(&payload);
        let dialect = detected.unwrap_or(if payload.has_ns(ns::JINGLE_1) {
            Dialect::Modern
        } else {
            Dialect::Published2009
        });
        let refuse = |refusal| {
            let errors = dialect.errors();
            iq::refuse(&from, iq.id, refusal, errors).ok().map(Box::new)
        };
        if !authorised {
            return Err(refuse(Refusal::ServiceUnavailable));
        }
        let mut jingle = Jingle::read(&payload, dialect, &from).map_err(refuse)?;
        // Nobody begins a session in somebody else's name (XEP-0166 §13.5).
        let foreign = |initiator: &Jid| !initiator.same_bare(&from);
        let Some(content) = jingle.contents.pop() else {
            return Err(refuse(Refusal::BadRequest));
        };
        if jingle.initiator.as_ref().is_some_and(foreign) || content.creator != Role::Initiator {
            return Err(refuse(Refusal::BadRequest));
        }
        let (peer, sid) = (from.clone(), jingle.sid);
        let mut session = Self::new(config, env, Role::Responder, dialect, us, peer, sid);
        session.content = content.name;
        session.answer(iq.id);
        if detected.is_none() || !jingle.contents.is_empty() {
            session.end_here(Reason::UnsupportedApplications);
            return Ok(session);
        }
        let transport = match content.transport {
            Some(transport) if transport != TransportElement::Other => transport,
            _ => {
                session.end_here(Reason::UnsupportedTransports);
                return Ok(session);
            }
        };
        session.state = State::Incoming(Box::new(Received { transport }));
        session.take_incoming(env.now, content.security.as_ref());
        Ok(session)
    }

    fn take_incoming(&mut self, now: Instant, security: Option<&Security>) {
        match self.gate_for(security) {
            Ok(gate) => {
                let secure = gate.is_some();
                self.gate = gate;
                self.deadline = Some(now + self.config.ringing);
                self.tell(Event::Incoming { secure });
            }
            Err(error) => self.end_for_security(error),
        }
    }

    /// The gate for what the peer offers; none where the policy lets a session go without.
    pub(super) fn gate_for(&self, theirs: Option<&Security>) -> Result<Option<Gate>, XtlsError> {
        let policy = &self.config.security;
        if (theirs.is_none() || self.config.certificate.is_none()) && policy.allow_insecure {
            return Ok(None);
        }
        if self.config.certificate.is_none() {
            return Err(XtlsError::Method);
        }
        Gate::new(policy.clone(), self.role, theirs).map(Some)
    }

    /// The user agrees; `candidates` are where this end can be reached (JXS-06, JXS-07). At the responder only, behind
    /// [`Event::Incoming`]; at any other time this does nothing.
    pub fn accept(&mut self, now: Instant, mut candidates: Vec<Candidate>) {
        if !matches!(self.state, State::Incoming(_)) {
            return;
        }
        let State::Incoming(received) = core::mem::replace(&mut self.state, State::Ended) else {
            return;
        };
        self.deadline = Some(now + self.config.setup);
        let security = self
            .gate
            .as_ref()
            .and_then(|_| self.config.offer(self.dialect));
        match received.transport {
            TransportElement::S5b(theirs) => {
                // The initiator's are known: saying them again would lead nowhere else (XEP-0260 §2.2).
                candidates.retain(|ours| {
                    !theirs
                        .candidates
                        .iter()
                        .any(|one| (&one.host, one.port) == (&ours.host, ours.port))
                });
                let mut negotiation = self.negotiation(theirs.sid.clone(), candidates);
                let transport = TransportElement::S5b(negotiation.offer());
                negotiation.start(now, &theirs);
                self.state = State::Choosing(Box::new(negotiation));
                self.say_offer(now, Verb::SessionAccept, Asked::Accept, transport, security);
                self.tell(Event::Accepted);
                self.drain(now);
            }
            TransportElement::Ibb { sid, block_size } => {
                let block_size = block_size.min(self.config.block_size);
                let terms = self.terms(sid, block_size, Role::Initiator);
                let transport = TransportElement::Ibb {
                    sid: terms.sid.clone(),
                    block_size: terms.block_size,
                };
                self.say_offer(now, Verb::SessionAccept, Asked::Accept, transport, security);
                self.tell(Event::Accepted);
                self.open_ibb(terms);
            }
            TransportElement::Other => {}
        }
    }

    /// What to do with a session-initiate from the peer of a session that is being begun here (XEP-0166 §7.2.16). Ask
    /// this of every such session before [`Session::incoming`].
    #[must_use]
    pub fn tie(&self, stanza: &Stanza) -> Tie {
        if !self.pending.iter().any(|one| one.asked == Asked::Initiate) {
            return Tie::None;
        }
        let Some((from, iq, payload)) = request(stanza).filter(|one| one.0 == self.peer) else {
            return Tie::None;
        };
        // Another dialect is another application: those do not exclude each other.
        if payload.attr("action") != Some(Verb::SessionInitiate.name())
            || Dialect::detect(&payload) != Some(self.dialect)
        {
            return Tie::None;
        }
        let ours = (self.sid.as_bytes(), self.us.to_string());
        let theirs = payload.attr("sid").unwrap_or_default();
        if ours < (theirs.as_bytes(), self.peer.to_string()) {
            let errors = self.dialect.errors();
            // What cannot be written is not for a peer that exists: the answer to ours ends it.
            iq::refuse(&from, iq.id, Refusal::TieBreak, errors).map_or(Tie::Theirs, Tie::Ours)
        } else {
            Tie::Theirs
        }
    }

    fn new(
        config: Config,
        env: &mut Env<'_>,
        role: Role,
        dialect: Dialect,
        us: Jid,
        peer: Jid,
        sid: String,
    ) -> Self {
        Self {
            config,
            role,
            dialect,
            us,
            peer,
            sid,
            content: CONTENT.to_owned(),
            ids: Ids::new(env),
            spare_sid: env.random_id(),
            pending: Vec::new(),
            state: State::Ready { unsure: false },
            gate: None,
            deadline: None,
            actions: VecDeque::new(),
        }
    }

    fn negotiation(&self, sid: String, candidates: Vec<Candidate>) -> Negotiation {
        let (us, peer) = (self.us.clone(), self.peer.clone());
        let mut config = s5b::Config::new(self.dialect.s5b(), self.role, sid, us, peer);
        config.policy = self.config.addresses;
        config.candidates = candidates;
        Negotiation::new(config)
    }

    /// session-initiate or session-accept.
    fn say_offer(
        &mut self,
        now: Instant,
        verb: Verb,
        asked: Asked,
        transport: TransportElement,
        security: Option<Security>,
    ) {
        let mut content = self.content();
        content.described = Some(true);
        content.transport = Some(transport);
        content.security = security;
        let mut jingle = self.jingle(verb);
        jingle.contents.push(content);
        self.say(now, asked, &jingle);
    }
}

/// A request of Jingle: from whom, its head, and what it asks for.
fn request(stanza: &Stanza) -> Option<(Jid, Iq<'_>, Element)> {
    let iq = Iq::read(stanza).filter(|iq| iq.kind == Kind::Set)?;
    let is_jingle =
        |one: &Payload<'_>| one.is("jingle", ns::JINGLE_0) || one.is("jingle", ns::JINGLE_1);
    iq.payload().filter(is_jingle)?;
    let from = iq.from.parse().ok()?;
    let payload = iq.tree()?;
    Some((from, iq, payload))
}

/// The answer to a request of Jingle that no session took: `unknown-session`, or `bad-request` when there is no action.
/// `None` for everything else, session-initiate included.
#[must_use]
pub fn unknown(stanza: &Stanza) -> Option<Stanza> {
    let (from, iq, payload) = request(stanza)?;
    let dialect = if payload.has_ns(ns::JINGLE_1) {
        Dialect::Modern
    } else {
        Dialect::Published2009
    };
    let refusal = match Jingle::read(&payload, dialect, &from) {
        Ok(jingle) if jingle.verb == Verb::SessionInitiate => return None,
        Ok(_) => Refusal::UnknownSession,
        Err(refusal) => refusal,
    };
    iq::refuse(&from, iq.id, refusal, dialect.errors()).ok()
}
