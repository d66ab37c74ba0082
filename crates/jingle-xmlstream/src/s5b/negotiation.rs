//! The choice of one connection.
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | waiting | [`Negotiation::start`]: the session is accepted | choosing |
//! | choosing | attempts that succeed or fail; the peer's report | when both are known, by the table in [`crate::s5b`]: not here yet, to our proxy, their proxy, done, done by proxy |
//! | not here yet (what the peer made and our streamhost has not seen) | [`Input::Accepted`] | done |
//! | to our proxy | its connection | activating; done |
//! | activating | the proxy's answer | done |
//! | their proxy | `<activated/>`, `<proxy-error/>` | done |
//! | done by proxy (a streamhost's) | `<streamhost-error/>`: the peer finds that it does not work | done |
//! | any | silence, [`Negotiation::stop`] | done: chosen, or failed |

use std::collections::VecDeque;

use onetrip_stream::Instant;

use super::{
    Action, Attempt, Candidate, Config, Event, Failure, Form, Info, Input, Link, Reference,
    Transport, Untimely,
};
use crate::Role;
use crate::socks5::Destination;

/// What is known of one end's search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found<T> {
    Unknown,
    Nothing,
    One(T),
}

#[derive(Debug)]
pub(super) enum Phase {
    Waiting,
    Choosing,
    NotHereYet,
    ToOurProxy {
        attempt: Attempt,
        place: usize,
    },
    Activating {
        attempt: Attempt,
        place: usize,
    },
    TheirProxy {
        attempt: Attempt,
        place: usize,
    },
    /// Chosen, or failed.
    Done,
    /// A streamhost's proxy was chosen, which the peer may still find not to work.
    DoneByProxy,
}

/// The choice of one connection.
///
/// ```
/// # use onetrip_jingle_xmlstream::{Role, s5b::*};
/// # use onetrip_stream::Instant;
/// # let romeo: onetrip_stream::Jid = "romeo@montague.lit/orchard".parse().unwrap();
/// # let juliet: onetrip_stream::Jid = "juliet@capulet.lit/balcony".parse().unwrap();
/// let config = Config::new(Form::Candidates, Role::Initiator, "vj3hs98y", romeo, juliet.clone());
/// let mut machine = Negotiation::new(config);
/// let mut theirs = Transport::new(Form::Candidates, "vj3hs98y");
/// theirs.candidates.push(Candidate::new("hr65", CandidateKind::Direct, juliet, "192.0.2.1", 6539, 0));
/// machine.start(Instant::EPOCH, &theirs); // The session is accepted: not before.
/// let Some(Action::Connect { attempt, .. }) = machine.poll_action() else { panic!() };
/// machine.handle(Instant::EPOCH, Input::Connected(attempt)).unwrap();
/// assert!(matches!(machine.poll_action(), Some(Action::Say(Info::Used(_)))));
/// machine.handle(Instant::EPOCH, Input::Info(&Info::Error)).unwrap();
/// assert_eq!(machine.poll_action(), Some(Action::Event(Event::Ready(Link::Made(attempt)))));
/// ```
#[derive(Debug)]
pub struct Negotiation {
    pub(super) config: Config,
    pub(super) phase: Phase,
    pub(super) theirs: Vec<Candidate>,
    their_dstaddr: Option<Destination>,
    /// The places of candidates that were not tried, the best first.
    untried: VecDeque<usize>,
    running: Vec<(Attempt, usize)>,
    pub(super) ours: Found<(Attempt, usize)>,
    pub(super) peers: Found<usize>,
    pub(super) accepted: bool,
    count: u32,
    next_attempt: Option<Instant>,
    pub(super) deadline: Option<Instant>,
    pub(super) actions: VecDeque<Action>,
}

impl Negotiation {
    /// Nothing is tried before [`Negotiation::start`].
    #[must_use]
    pub fn new(mut config: Config) -> Self {
        if config.form == Form::Streamhosts {
            // As the peer will count them: by their place.
            for (place, candidate) in (0_u32..).zip(&mut config.candidates) {
                candidate.priority = u32::MAX.saturating_sub(place);
            }
        }
        Self {
            config,
            phase: Phase::Waiting,
            theirs: Vec::new(),
            their_dstaddr: None,
            untried: VecDeque::new(),
            running: Vec::new(),
            ours: Found::Unknown,
            peers: Found::Unknown,
            accepted: false,
            count: 0,
            next_attempt: None,
            deadline: None,
            actions: VecDeque::new(),
        }
    }

    /// What to offer the peer.
    #[must_use]
    pub fn offer(&self) -> Transport {
        let mut transport = Transport::new(self.config.form, &self.config.sid);
        transport.candidates.clone_from(&self.config.candidates);
        if transport.candidates.iter().any(Candidate::is_proxy) {
            transport.dstaddr = Some(self.our_destination());
        }
        transport
    }

    /// A transport of this bytestream that carries one report.
    #[must_use]
    pub fn report(&self, info: Info) -> Transport {
        let mut transport = Transport::new(self.config.form, &self.config.sid);
        transport.info = Some(info);
        transport
    }

    /// The sid of the transport.
    #[must_use]
    pub fn sid(&self) -> &str {
        &self.config.sid
    }

    /// What this end's streamhost is to expect: both orders (JXS-R12).
    #[must_use]
    pub fn expected(&self) -> Vec<Destination> {
        let Config { sid, us, peer, .. } = &self.config;
        vec![
            Destination::new(sid, us, peer),
            Destination::new(sid, peer, us),
        ]
    }

    /// The next thing to do, in order.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call [`Negotiation::handle_timeout`]; `None` for never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.next_attempt, self.deadline]
            .into_iter()
            .flatten()
            .min()
    }

    /// Begins the next attempt, or gives up what takes too long; does nothing when called early.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.next_attempt.is_some_and(|at| now >= at) {
            self.attempt_next(now);
        }
        if self.deadline.is_none_or(|at| now < at) {
            return;
        }
        self.deadline = None;
        match self.phase {
            Phase::Choosing if self.ours == Found::Unknown => {
                self.abandon_all();
                self.found_nothing(now);
            }
            // Peers of 2009 may say nothing when they found nothing.
            Phase::Choosing if self.config.form == Form::Streamhosts => {
                self.peers = Found::Nothing;
                self.choose(now);
            }
            Phase::ToOurProxy { attempt, .. } | Phase::Activating { attempt, .. } => {
                self.proxy_failed(attempt);
            }
            Phase::Waiting | Phase::Done | Phase::DoneByProxy => {}
            _ => self.fail(Failure::Silent),
        }
    }

    /// The session is accepted, and this is what the peer offers: attempts begin, the best candidate first, and a
    /// little later the next. Only the first call counts.
    pub fn start(&mut self, now: Instant, theirs: &Transport) {
        if !matches!(self.phase, Phase::Waiting) {
            return;
        }
        self.phase = Phase::Choosing;
        self.theirs.clone_from(&theirs.candidates);
        self.their_dstaddr.clone_from(&theirs.dstaddr);
        let policy = self.config.policy;
        let mut places: Vec<(usize, &Candidate)> = self.theirs.iter().enumerate().collect();
        places.retain(|(_, candidate)| candidate.port != 0 && policy.permits_host(&candidate.host));
        places.sort_by_key(|(_, candidate)| core::cmp::Reverse(candidate.priority));
        self.untried = places.into_iter().map(|(place, _)| place).collect();
        self.attempt_next(now);
        self.settle_search(now);
    }

    /// Whether the choice is a proxy of the peer's that may not pass bytes on (digest §2.5, `s5b:0`).
    pub(crate) fn is_unsure(&self) -> bool {
        matches!(self.phase, Phase::DoneByProxy)
    }

    /// Nothing more is to be done: whatever was made is abandoned.
    pub fn stop(&mut self) {
        if !matches!(self.phase, Phase::Done | Phase::DoneByProxy) {
            if let Found::One((attempt, _)) = self.ours {
                self.actions.push_back(Action::Abandon(attempt));
            }
            if let Phase::ToOurProxy { attempt, .. } | Phase::Activating { attempt, .. } =
                self.phase
            {
                self.actions.push_back(Action::Abandon(attempt));
            }
        }
        self.finish(Phase::Done);
    }

    /// Takes in what happened.
    ///
    /// # Errors
    /// [`Untimely`] when the peer's report does not fit here.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) -> Result<(), Untimely> {
        match (input, &self.phase) {
            (
                Input::Connected(attempt),
                &Phase::ToOurProxy {
                    attempt: ours,
                    place,
                },
            ) if attempt == ours => {
                self.activate(now, attempt, place);
            }
            (Input::Connected(attempt), _) => self.connected(now, attempt),
            (Input::Failed(attempt), &Phase::ToOurProxy { attempt: ours, .. })
                if attempt == ours =>
            {
                self.proxy_failed(attempt);
            }
            (Input::Failed(attempt), _) => self.attempt_failed(now, attempt),
            (Input::Accepted, Phase::NotHereYet) => self.ready(Link::Taken),
            (Input::Accepted, _) => self.accepted = true,
            (Input::Lost, _) => self.accepted = false,
            (Input::Activated, &Phase::Activating { attempt, place }) => {
                self.say_activated(place);
                self.ready(Link::Made(attempt));
            }
            (Input::NotActivated, &Phase::Activating { attempt, .. }) => self.proxy_failed(attempt),
            (Input::Activated | Input::NotActivated, _) => {}
            (Input::Info(info), _) => return self.reported(now, info),
        }
        Ok(())
    }

    fn reported(&mut self, now: Instant, info: &Info) -> Result<(), Untimely> {
        match (info, &self.phase) {
            (Info::Used(reference), Phase::Choosing | Phase::Done | Phase::DoneByProxy)
                if self.peers == Found::Unknown =>
            {
                let place = reference
                    .find(&self.config.candidates)
                    .ok_or(Untimely::NoSuchCandidate)?;
                self.peers = Found::One(place);
                if matches!(self.phase, Phase::Choosing) {
                    self.search_only_better(place);
                    self.settle_search(now);
                    self.choose(now);
                }
            }
            (Info::Error, Phase::Choosing | Phase::Done | Phase::DoneByProxy)
                if self.peers == Found::Unknown =>
            {
                self.peers = Found::Nothing;
                if matches!(self.phase, Phase::Choosing) {
                    self.choose(now);
                }
            }
            (Info::Activated(cid), &Phase::TheirProxy { attempt, place }) => {
                if self.theirs.get(place).is_none_or(|proxy| proxy.cid != *cid) {
                    return Err(Untimely::NoSuchCandidate);
                }
                self.ready(Link::Made(attempt));
            }
            // Either end may find that it cannot reach the proxy (XEP-0260 §2.4).
            (Info::ProxyError, &Phase::TheirProxy { attempt, .. })
            | (
                Info::ProxyError,
                &(Phase::ToOurProxy { attempt, .. } | Phase::Activating { attempt, .. }),
            ) => {
                self.actions.push_back(Action::Abandon(attempt));
                self.fail(Failure::Proxy);
            }
            (Info::Error, Phase::DoneByProxy) => self.fail(Failure::Proxy),
            _ => return Err(Untimely::OutOfOrder),
        }
        Ok(())
    }

    fn attempt_next(&mut self, now: Instant) {
        self.next_attempt = None;
        let Some(place) = self.untried.pop_front() else {
            return;
        };
        let attempt = self.connect(self.theirs.get(place).cloned(), false);
        self.running.push((attempt, place));
        self.deadline = Some(now + self.config.give_up);
        let next = self
            .untried
            .front()
            .and_then(|&place| self.theirs.get(place));
        self.next_attempt = next.map(|candidate| {
            now + if candidate.is_proxy() {
                self.config.proxy_stagger
            } else {
                self.config.stagger
            }
        });
    }

    /// To a candidate of the peer's, or to our own proxy.
    pub(super) fn connect(&mut self, candidate: Option<Candidate>, own: bool) -> Attempt {
        self.count = self.count.saturating_add(1);
        let attempt = Attempt(self.count);
        if let Some(candidate) = candidate {
            let destination = if own {
                self.our_destination()
            } else {
                self.destination_at(&candidate)
            };
            self.actions.push_back(Action::Connect {
                attempt,
                candidate,
                destination,
            });
        }
        attempt
    }

    /// With streamhosts the initiator is always first; with candidates it is the one who offers (JXS-R12).
    pub(super) fn our_destination(&self) -> Destination {
        let Config {
            form,
            role,
            sid,
            us,
            peer,
            ..
        } = &self.config;
        match (form, role) {
            (Form::Streamhosts, Role::Responder) => Destination::new(sid, peer, us),
            _ => Destination::new(sid, us, peer),
        }
    }

    fn destination_at(&self, candidate: &Candidate) -> Destination {
        let Config {
            form,
            role,
            sid,
            us,
            peer,
            ..
        } = &self.config;
        match (form, role) {
            (Form::Streamhosts, Role::Initiator) => Destination::new(sid, us, peer),
            (Form::Streamhosts, Role::Responder) => Destination::new(sid, peer, us),
            (Form::Candidates, _) => match &self.their_dstaddr {
                Some(dstaddr) if candidate.is_proxy() => dstaddr.clone(),
                _ => Destination::new(sid, peer, us),
            },
        }
    }

    fn connected(&mut self, now: Instant, attempt: Attempt) {
        let running = self.running.iter().find(|(running, _)| *running == attempt);
        match (running.copied(), self.ours) {
            (Some(found), Found::Unknown) if matches!(self.phase, Phase::Choosing) => {
                self.running.retain(|(running, _)| *running != attempt);
                self.ours = Found::One(found);
                self.abandon_all();
                if let Some(candidate) = self.theirs.get(found.1) {
                    let reference = Reference::to(candidate, self.config.form);
                    self.actions.push_back(Action::Say(Info::Used(reference)));
                }
                self.deadline = Some(now + self.config.answer);
                self.choose(now);
            }
            // It was abandoned, and that crossed with its success.
            _ => self.actions.push_back(Action::Abandon(attempt)),
        }
    }

    fn attempt_failed(&mut self, now: Instant, attempt: Attempt) {
        self.running.retain(|(running, _)| *running != attempt);
        if matches!(self.phase, Phase::Choosing) && self.ours == Found::Unknown {
            if self.running.is_empty() {
                self.attempt_next(now);
            }
            self.settle_search(now);
        }
    }

    /// The peer got through to this one of ours: only what would be chosen instead is still worth trying.
    fn search_only_better(&mut self, place: usize) {
        let Some(used) = self.config.candidates.get(place).map(|used| used.priority) else {
            return;
        };
        let (form, role) = (self.config.form, self.config.role);
        let better = |priority: u32| match (form, role) {
            // What a responder finds never counts more than what the initiator found; and what the responder found
            // will do for the initiator.
            (Form::Streamhosts, _) => false,
            (Form::Candidates, Role::Initiator) => priority >= used,
            (Form::Candidates, Role::Responder) => priority > used,
        };
        let theirs = &self.theirs;
        let keep = |place: usize| theirs.get(place).is_some_and(|one| better(one.priority));
        self.untried.retain(|&place| keep(place));
        let (kept, given_up) = self.running.iter().partition(|(_, place)| keep(*place));
        self.running = kept;
        let given_up: Vec<(Attempt, usize)> = given_up;
        for (attempt, _) in given_up {
            self.actions.push_back(Action::Abandon(attempt));
        }
        if self.untried.is_empty() {
            self.next_attempt = None;
        }
    }

    /// When nothing runs and nothing is left, this end has found nothing.
    fn settle_search(&mut self, now: Instant) {
        let over = self.running.is_empty() && self.untried.is_empty();
        if over && self.ours == Found::Unknown && matches!(self.phase, Phase::Choosing) {
            self.found_nothing(now);
        }
    }

    fn found_nothing(&mut self, now: Instant) {
        self.ours = Found::Nothing;
        self.actions.push_back(Action::Say(Info::Error));
        self.deadline = Some(now + self.config.answer);
        self.choose(now);
    }

    pub(super) fn abandon_all(&mut self) {
        self.untried.clear();
        self.next_attempt = None;
        for (attempt, _) in core::mem::take(&mut self.running) {
            self.actions.push_back(Action::Abandon(attempt));
        }
    }

    pub(super) fn ready(&mut self, link: Link) {
        self.finish(Phase::Done);
        self.actions.push_back(Action::Event(Event::Ready(link)));
    }

    pub(super) fn fail(&mut self, failure: Failure) {
        self.finish(Phase::Done);
        self.actions
            .push_back(Action::Event(Event::Failed(failure)));
    }

    pub(super) fn finish(&mut self, phase: Phase) {
        self.abandon_all();
        self.deadline = None;
        self.phase = phase;
    }
}
