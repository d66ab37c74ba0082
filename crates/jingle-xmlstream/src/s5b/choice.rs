//! Which connection it is, once both ends have said what they found, and what a proxy needs before it can be used.

use onetrip_stream::Instant;

use super::negotiation::{Found, Negotiation, Phase};
use super::{Action, Attempt, Candidate, Failure, Form, Info, Link};
use crate::Role;

impl Negotiation {
    /// Once both ends are known.
    pub(super) fn choose(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::Choosing) {
            return;
        }
        let initiator = self.config.role == Role::Initiator;
        let by_role = self.config.form == Form::Streamhosts;
        match (self.ours, self.peers) {
            (Found::Nothing, Found::Nothing) => self.fail(Failure::NoCandidate),
            (Found::One(ours), Found::Nothing) => self.choose_ours(now, ours),
            // The initiator's choice wins in any case (JXS-16).
            (Found::One(ours), Found::Unknown) if by_role && initiator => {
                self.choose_ours(now, ours);
            }
            (Found::Nothing, Found::One(place)) => self.choose_theirs(now, place),
            (Found::One(ours), Found::One(place)) => {
                let theirs = self.theirs.get(ours.1).map(|one| one.priority);
                let mine = self.config.candidates.get(place).map(|one| one.priority);
                let keep = if by_role || theirs == mine {
                    initiator
                } else {
                    theirs > mine
                };
                if keep {
                    self.choose_ours(now, ours);
                } else {
                    self.actions.push_back(Action::Abandon(ours.0));
                    self.choose_theirs(now, place);
                }
            }
            _ => {}
        }
    }

    /// The connection that this end made.
    pub(super) fn choose_ours(&mut self, now: Instant, (attempt, place): (Attempt, usize)) {
        let proxy = self.theirs.get(place).is_some_and(Candidate::is_proxy);
        match (proxy, self.config.form) {
            (false, _) => self.ready(Link::Made(attempt)),
            (true, Form::Candidates) => {
                self.phase = Phase::TheirProxy { attempt, place };
                self.deadline = Some(now + self.config.answer);
            }
            (true, Form::Streamhosts) => {
                self.ready(Link::Made(attempt));
                self.phase = Phase::DoneByProxy;
            }
        }
    }

    /// The connection that the peer made, to this one of ours.
    pub(super) fn choose_theirs(&mut self, now: Instant, place: usize) {
        self.deadline = Some(now + self.config.answer);
        let candidate = self.config.candidates.get(place).cloned();
        if candidate.as_ref().is_some_and(Candidate::is_proxy) {
            let attempt = self.connect(candidate, true);
            self.deadline = Some(now + self.config.give_up);
            self.phase = Phase::ToOurProxy { attempt, place };
        } else if self.accepted {
            self.ready(Link::Taken);
        } else {
            self.phase = Phase::NotHereYet;
        }
    }

    pub(super) fn activate(&mut self, now: Instant, attempt: Attempt, place: usize) {
        if let Some(proxy) = self.config.candidates.get(place) {
            self.actions.push_back(Action::Activate {
                proxy: proxy.jid.clone(),
                sid: self.config.sid.clone(),
                target: self.config.peer.clone(),
            });
        }
        self.phase = Phase::Activating { attempt, place };
        self.deadline = Some(now + self.config.answer);
    }

    pub(super) fn say_activated(&mut self, place: usize) {
        if let (Form::Candidates, Some(proxy)) =
            (self.config.form, self.config.candidates.get(place))
        {
            let cid = proxy.cid.clone();
            self.actions.push_back(Action::Say(Info::Activated(cid)));
        }
    }

    pub(super) fn proxy_failed(&mut self, attempt: Attempt) {
        self.actions.push_back(Action::Abandon(attempt));
        self.actions.push_back(Action::Say(Info::ProxyError));
        self.fail(Failure::Proxy);
    }
}
