//! One session at one end.
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | initiating | session-accept | choosing, or in band; ended |
//! | incoming | [`Session::accept`] | choosing, or in band |
//! | choosing | what [`crate::s5b`] takes; transport-replace | ready; replacing; in band |
//! | replacing | transport-accept, transport-reject | in band; ended |
//! | in band | [`Session::ibb_opened`], [`Session::transport_closed`] | ready; ended |
//! | ready | security-info and its answer, the handshake; by a proxy, in the texts of 2009, transport-replace | open; in band; ended |
//! | open | [`Session::transport_closed`] | ended |
//! | any | session-terminate, [`Session::terminate`], silence | ended |
//!
//! In the texts of 2009 nothing opens an in-band bytestream: it is ready at once.

use std::collections::VecDeque;

use minidom::Element;
use onetrip_stream::{Instant, Jid, Stanza};

use super::saying::activation;
use super::wire::{Jingle, TransportElement, Verb};
use super::{Action, Config, End, Event, Reason, Start, Terms};
use crate::iq::{Ids, Iq, IqError, Kind};
use crate::s5b::{self, Negotiation};
use crate::xtls::{Gate, Opened, XtlsError};
use crate::{Dialect, Role};

/// What waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Initiate,
    Accept,
    SecurityInfo,
    TransportInfo,
    Replace,
    /// transport-accept and transport-reject.
    ReplaceAnswer,
    /// To a proxy.
    Activate,
}

#[derive(Debug)]
pub(super) struct Pending {
    pub(super) id: String,
    pub(super) to: Jid,
    pub(super) asked: Asked,
    pub(super) deadline: Instant,
}

/// Where the session stands.
#[derive(Debug)]
pub(super) enum State {
    Initiating(Offered),
    Incoming(Box<Received>),
    Choosing(Box<Negotiation>),
    Replacing(Terms),
    InBand,
    /// `unsure`: by a proxy of the peer's of which nobody says that it passes bytes on, as in the texts of 2009.
    Ready {
        unsure: bool,
    },
    Open,
    Ended,
}

/// What this end offered.
#[derive(Debug)]
pub(super) enum Offered {
    S5b(Box<Negotiation>),
    Ibb(Terms),
}

/// What the peer offers.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) transport: TransportElement,
}

/// One session at one end. Begun with [`Session::initiate`] or [`Session::incoming`], it is the same machine at both:
/// from session-accept on the ends differ in little.
///
/// ```
/// # use onetrip_jingle_xmlstream::session::*;
/// # use onetrip_stream::{Build as _, Env, Instant, Jid, Stanza};
/// # let mut zero = |out: &mut [u8]| out.fill(0);
/// # let mut env = Env::new(Instant::EPOCH, &mut zero);
/// # let romeo: Jid = "romeo@montague.lit/orchard".parse().unwrap();
/// # let juliet: Jid = "juliet@capulet.lit/balcony".parse().unwrap();
/// let certificate = |name: &[u8]| Config::new(Some(name.to_vec()));
/// let to = juliet.clone();
/// let mut ours =
///     Session::initiate(certificate(b"romeo"), &mut env, romeo.clone(), to, None, vec![]).unwrap();
/// let Some(Action::Send(initiate)) = ours.poll_action() else { panic!() };
///
/// // The servers do this.
/// let initiate = initiate.element().with_attr("from", romeo.to_string());
/// let initiate = Stanza::from_element(&initiate).unwrap();
/// let mut theirs =
///     Session::incoming(certificate(b"juliet"), &mut env, juliet, &initiate, true).unwrap();
/// assert!(matches!(theirs.poll_action(), Some(Action::Send(answer)) if answer.head().type_.as_deref() == Some("result")));
/// assert_eq!(theirs.poll_action(), Some(Action::Event(Event::Incoming { secure: true })));
/// theirs.accept(env.now, vec![]); // The user agrees.
/// ```
#[derive(Debug)]
pub struct Session {
    pub(super) config: Config,
    pub(super) role: Role,
    pub(super) dialect: Dialect,
    pub(super) us: Jid,
    pub(super) peer: Jid,
    pub(super) sid: String,
    pub(super) content: String,
    pub(super) ids: Ids,
    /// For a transport that may be needed later: made while there was entropy.
    pub(super) spare_sid: String,
    pub(super) pending: Vec<Pending>,
    pub(super) state: State,
    pub(super) gate: Option<Gate>,
    pub(super) deadline: Option<Instant>,
    pub(super) actions: VecDeque<Action>,
}

impl Session {
    /// The next thing to do, in order.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The sid of the session.
    #[must_use]
    pub fn sid(&self) -> &str {
        &self.sid
    }

    /// This end.
    #[must_use]
    pub fn us(&self) -> &Jid {
        &self.us
    }

    /// The other end.
    #[must_use]
    pub fn peer(&self) -> &Jid {
        &self.peer
    }

    /// The text that is spoken.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Which end this is.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether the session is over.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Whether the stream may be open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// What a streamhost of this end is to expect for this session (JXS-R12): nothing unless SOCKS5 bytestreams are
    /// being negotiated.
    #[must_use]
    pub fn expected(&self) -> Vec<crate::socks5::Destination> {
        match &self.state {
            State::Choosing(negotiation) | State::Initiating(Offered::S5b(negotiation)) => {
                negotiation.expected()
            }
            _ => Vec::new(),
        }
    }

    /// When to call [`Session::handle_timeout`]; `None` for never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let choosing = match &self.state {
            State::Choosing(negotiation) => negotiation.poll_timeout(),
            _ => None,
        };
        let pending = self.pending.iter().map(|pending| pending.deadline);
        pending.chain(choosing).chain(self.deadline).min()
    }

    /// Goes on with what is due, and ends what takes too long; does nothing when called early.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let State::Choosing(negotiation) = &mut self.state {
            negotiation.handle_timeout(now);
            self.drain(now);
        }
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            let reason = match self.state {
                State::Initiating(_) | State::Incoming(_) => Reason::Expired,
                _ => Reason::Timeout,
            };
            self.end_here(reason);
        }
        let late = self.pending.iter().find(|pending| now >= pending.deadline);
        match late.map(|pending| (pending.asked, pending.id.clone())) {
            None => {}
            Some((Asked::Activate, id)) => {
                self.pending.retain(|pending| pending.id != id);
                self.s5b(now, s5b::Input::NotActivated);
            }
            Some(_) => self.end_here(Reason::Timeout),
        }
    }

    /// Ends the session: a responder's user says no with [`Reason::Decline`], whoever is done says [`Reason::Success`]
    /// (JXS-06, JXS-27). It is over at once; behind the end this does nothing.
    pub fn terminate(&mut self, reason: Reason) {
        self.end_here(reason);
    }

    /// Something happened to a connection that was asked for, or to a streamhost of this end.
    pub fn s5b(&mut self, now: Instant, input: s5b::Input<'_>) {
        let negotiation = match &mut self.state {
            // The peer may connect before its session-accept has arrived.
            State::Choosing(negotiation) | State::Initiating(Offered::S5b(negotiation)) => {
                negotiation
            }
            _ => {
                // It was given up, and that crossed with its success.
                if let s5b::Input::Connected(attempt) = input {
                    self.actions.push_back(Action::Abandon(attempt));
                }
                return;
            }
        };
        // Only the peer's reports can be untimely, and those come by stanza.
        let _ = negotiation.handle(now, input);
        self.drain(now);
    }

    /// The in-band bytestream is open.
    pub fn ibb_opened(&mut self) {
        if matches!(self.state, State::InBand) {
            self.transport_ready(false);
        }
    }

    /// The transport was closed before the session was over, or the in-band bytestream could not be opened.
    pub fn transport_closed(&mut self) {
        match self.state {
            State::InBand | State::Ready { .. } => self.end_here(Reason::ConnectivityError),
            State::Open => self.end_here(Reason::FailedTransport),
            _ => {}
        }
    }

    /// The TLS handshake is over, and this is the peer's certificate in DER, if it sent one.
    ///
    /// When it is not the peer's, the session ends here, and nothing that came over TLS is to be looked at.
    pub fn tls_established(&mut self, certificate: Option<&[u8]>) {
        let State::Ready { .. } = self.state else {
            return;
        };
        let Some(gate) = &mut self.gate else { return };
        match gate.established(certificate) {
            Ok(verification) => self.open(Some(verification)),
            // Told before the handshake was asked for: nothing has changed.
            Err(XtlsError::OutOfOrder) => {}
            Err(error) => self.end_for_security(error),
        }
    }

    /// The TLS handshake failed.
    pub fn tls_failed(&mut self) {
        if matches!(self.state, State::Ready { .. }) {
            self.end_for_security(XtlsError::Handshake);
        }
    }

    /// Takes in an iq; `false` when it is not of this session.
    pub fn handle(&mut self, now: Instant, stanza: &Stanza) -> bool {
        let Some(iq) = Iq::read(stanza) else {
            return false;
        };
        match iq.kind {
            Kind::Set => {
                let Some(payload) = self.ours(&iq) else {
                    return false;
                };
                match Jingle::read(&payload, self.dialect, &self.peer) {
                    Ok(jingle) => self.request(now, iq.id, &jingle),
                    Err(refusal) => self.refuse(iq.id, refusal),
                }
                true
            }
            Kind::Result => self.answered(now, iq.from, iq.id, None),
            Kind::Error => self.answered(now, iq.from, iq.id, Some(iq.error())),
        }
    }

    /// What is asked, if that is for this session.
    fn ours(&self, iq: &Iq<'_>) -> Option<Element> {
        let payload = iq.payload().filter(|_| self.peer.is(iq.from))?;
        let named =
            payload.is("jingle", self.dialect.jingle()) && payload.attr("sid") == Some(&self.sid);
        if named { iq.tree() } else { None }
    }

    /// The next steps of the negotiation, outward.
    pub(super) fn drain(&mut self, now: Instant) {
        while let State::Choosing(negotiation) = &mut self.state {
            let Some(action) = negotiation.poll_action() else {
                return;
            };
            match action {
                s5b::Action::Connect {
                    attempt,
                    candidate,
                    destination,
                } => self.actions.push_back(Action::Connect {
                    attempt,
                    candidate,
                    destination,
                }),
                s5b::Action::Abandon(attempt) => self.actions.push_back(Action::Abandon(attempt)),
                s5b::Action::Say(info) => {
                    let transport = TransportElement::S5b(negotiation.report(info));
                    self.say_transport(now, Verb::TransportInfo, Asked::TransportInfo, transport);
                }
                s5b::Action::Activate { proxy, sid, target } => {
                    let activate = activation(&sid, &target);
                    self.ask(now, &proxy, Asked::Activate, activate);
                }
                s5b::Action::Event(s5b::Event::Ready(link)) => {
                    let unsure = negotiation.is_unsure();
                    self.tell(Event::Link(link));
                    self.transport_ready(unsure);
                }
                s5b::Action::Event(s5b::Event::Failed(failure)) => self.s5b_failed(now, failure),
            }
        }
    }

    /// The initiator asks for in-band bytestreams; the responder waits for that (JXS-17).
    fn s5b_failed(&mut self, now: Instant, failure: s5b::Failure) {
        if self.role == Role::Responder {
            // The initiator got through to our proxy and has begun: it will not ask for another transport any more.
            if failure == s5b::Failure::Proxy && self.dialect.s5b() == s5b::Form::Streamhosts {
                self.end_here(Reason::ConnectivityError);
            }
            return;
        }
        self.tell(Event::FallingBack(failure));
        let terms = self.terms(
            self.spare_sid.clone(),
            self.config.block_size,
            Role::Initiator,
        );
        let transport = TransportElement::Ibb {
            sid: terms.sid.clone(),
            block_size: terms.block_size,
        };
        self.state = State::Replacing(terms);
        self.say_transport(now, Verb::TransportReplace, Asked::Replace, transport);
    }

    /// `opener` began the session, or asked for this transport.
    pub(super) fn terms(&self, sid: String, block_size: u16, opener: Role) -> Terms {
        let start = if !self.dialect.opens_ibb() {
            Start::AtOnce
        } else if opener == self.role {
            Start::Open
        } else {
            Start::Await
        };
        Terms {
            peer: self.peer.clone(),
            sid,
            block_size: block_size.clamp(1, crate::ibb::MAX_OFFER),
            start,
        }
    }

    pub(super) fn open_ibb(&mut self, terms: Terms) {
        let start = terms.start;
        self.state = State::InBand;
        self.actions.push_back(Action::OpenIbb(terms));
        if start == Start::AtOnce {
            self.transport_ready(false);
        }
    }

    fn transport_ready(&mut self, unsure: bool) {
        self.state = State::Ready { unsure };
        match &mut self.gate {
            None => self.open(None),
            Some(gate) => {
                let opened = gate.transport_ready();
                self.start_tls(opened);
            }
        }
    }

    pub(super) fn start_tls(&mut self, opened: Option<Opened>) {
        if let Some(Opened(role)) = opened {
            self.actions.push_back(Action::StartTls(role));
        }
    }

    fn open(&mut self, verification: Option<crate::xtls::Verification>) {
        self.state = State::Open;
        self.deadline = None;
        self.tell(Event::Open(verification));
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.actions.push_back(Action::Event(event));
    }

    pub(super) fn end_here(&mut self, reason: Reason) {
        if !self.is_ended() {
            self.say_terminate(reason);
            self.end(End::Here(reason));
        }
    }

    pub(super) fn end_for_security(&mut self, error: XtlsError) {
        self.say_terminate(Reason::SecurityError);
        self.end(End::Security(error));
    }

    /// Over at once: whatever is under way is abandoned, and no answer is waited for (XEP-0166 §6.7).
    pub(super) fn end(&mut self, end: End) {
        if let State::Choosing(negotiation) = &mut self.state {
            negotiation.stop();
            while let Some(action) = negotiation.poll_action() {
                if let s5b::Action::Abandon(attempt) = action {
                    self.actions.push_back(Action::Abandon(attempt));
                }
            }
        }
        self.state = State::Ended;
        self.pending.clear();
        self.deadline = None;
        self.tell(Event::Ended(end));
    }

    /// The answer to a request of ours; `false` when that was none.
    fn answered(&mut self, now: Instant, from: &str, id: &str, error: Option<IqError>) -> bool {
        let place = self
            .pending
            .iter()
            .position(|pending| pending.id == id && pending.to.is(from));
        let Some(place) = place else { return false };
        let asked = self.pending.swap_remove(place).asked;
        match (asked, error) {
            (Asked::Activate, None) => self.s5b(now, s5b::Input::Activated),
            (Asked::Activate, Some(_)) => self.s5b(now, s5b::Input::NotActivated),
            (Asked::Initiate, None) => self.tell(Event::Ringing),
            (Asked::Initiate, Some(error)) if error.jingle.as_deref() == Some("tie-break") => {
                self.end(End::TieBreak);
            }
            (Asked::SecurityInfo, None) => {
                let opened = self.gate.as_mut().and_then(Gate::agreed);
                self.start_tls(opened);
            }
            (_, None) => {}
            // The peer does not know the session, or never wanted it: it needs no telling.
            (Asked::Initiate, Some(error)) => self.end(End::Refused(error)),
            (_, Some(error)) if error.jingle.as_deref() == Some("unknown-session") => {
                self.end(End::Refused(error));
            }
            // It has asked for another transport itself, and that goes on.
            (Asked::TransportInfo, Some(_)) if !matches!(self.state, State::Choosing(_)) => {}
            (Asked::SecurityInfo, Some(error)) => {
                self.say_terminate(Reason::SecurityError);
                self.end(End::Refused(error));
            }
            (_, Some(error)) => {
                self.say_terminate(Reason::FailedTransport);
                self.end(End::Refused(error));
            }
        }
        true
    }
}
