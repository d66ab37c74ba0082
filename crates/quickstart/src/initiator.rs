//! The initiating entity's side: what was sent ahead, and what it means when an answer does not fit.
//!
//! | what happens | with a tail in flight | with `<auth/>` from memory alone | otherwise |
//! |---|---|---|---|
//! | SASL refusal | abandon (QS-31, QS-R5) | once more on this stream, from the live list | believe it |
//! | another challenge | abandon (QS-32) | go on | go on |
//! | no header behind success | send the restart again, once | – | – |
//! | the connection ends | abandon | abandon | it ended |
//!
//! A request to resume by token is an assumption too: unanswered, or ended with the stream, it is abandoned, and the
//! next connection logs in step by step (ISR-31).

use std::collections::{BTreeSet, VecDeque};

use minidom::Element;

use crate::{Difference, Features, Key, Known, Level, Plan, Stage, Step};

/// What the initiator is told.
#[derive(Debug)]
#[non_exhaustive]
pub enum Input<'a> {
    /// A step was taken before its answer was seen.
    Ahead(Step),
    /// The answer to a step arrived and was the one hoped for.
    Answered(Step),
    /// Features arrived.
    Features(Stage, &'a Element),
    /// A mechanism was chosen, of this strength class.
    Mechanism(&'a str, u8),
    /// The server refused the SASL exchange.
    SaslRefused,
    /// The server refused STARTTLS.
    StartTlsRefused,
    /// A challenge came where success was counted upon.
    AnotherChallenge,
    /// Success came, and behind it neither header nor end for too long.
    RestartSilence,
    /// Nothing came behind `<proceed/>` for too long (QS-34).
    TlsSilence,
    /// The request to resume by token was not answered for too long (ISR-31).
    ResumeSilence,
    /// A session goes on without a login.
    Resumed,
    /// A resource is bound, or a session goes on behind a login; between servers, a pair is open.
    Bound,
    /// A resource is bound within the login (XEP-0386): there are no features to wait for.
    BoundInline,
    /// A stanza sent later, in a write of its own, was answered.
    LaterAnswer,
    /// A stanza sent later was not answered for too long.
    LaterSilence,
    /// The connection ended, whoever ended it.
    Ended,
}

/// Which assumption was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Broken {
    /// STARTTLS was refused (QS-15).
    StartTlsRefused,
    /// The ClientHello was swallowed, or taken for something else (QS-34).
    HelloLost,
    /// SASL was refused while more was in flight; nothing is known about the credentials (QS-31).
    TailRefused,
    /// The last SASL message was not the last (QS-32).
    AnotherChallenge,
    /// The request to resume by token was not answered (ISR-31).
    ResumeLost,
    /// The stream died behind the pipelined restart, at once or with a later stanza (QS-R10).
    RestartLost,
    /// The connection ended with steps unanswered.
    Ended,
}

impl Broken {
    /// Whether it is the host's way of reading that broke it; a refusal says nothing about that.
    pub(crate) const fn is_a_habit(self) -> bool {
        !matches!(
            self,
            Self::TailRefused | Self::StartTlsRefused | Self::ResumeLost
        )
    }
}

impl core::fmt::Display for Broken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::StartTlsRefused => "STARTTLS was refused",
            Self::HelloLost => "the ClientHello sent ahead was not taken for one",
            Self::TailRefused => "SASL was refused with more in flight",
            Self::AnotherChallenge => "the last SASL message was not the last",
            Self::ResumeLost => "the request to resume by token was not answered",
            Self::RestartLost => "the stream died behind the pipelined restart",
            Self::Ended => "the connection ended with steps unanswered",
        })
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It passed, and this is what the server showed.
    Passed(Box<Known>),
    /// A session goes on: nothing was learnt of the features, and nothing is to be forgotten.
    Resumed,
    /// An assumption was wrong.
    Broken(Broken),
    /// It ended for a reason of its own.
    Ended,
}

/// The result of an attempt, for [`Cache::conclude`](crate::Cache::conclude).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Whom it was with.
    pub key: Key,
    /// The level it was planned for.
    pub level: Level,
    /// How it ended.
    pub outcome: Outcome,
    /// How the features that arrived differ from those assumed.
    pub difference: Option<Difference>,
    /// Whether the restart had to be sent again because it was swallowed.
    pub restart_resent: bool,
}

/// What the caller must do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an action that is not carried out leaves the negotiation hanging"]
#[non_exhaustive]
pub enum Action {
    /// Authenticate again on this stream, from the features that arrived (they are in step).
    RetryHere,
    /// Send the restart and what follows it again on this stream.
    ResendRestart,
    /// Tell the application that the refusal is real.
    Believe,
    /// Close; nothing behind the failure may be acted on (QS-R5). The report is next.
    Abandon(Broken),
    /// Learn from this.
    Report(Box<Report>),
}

/// One attempt at a negotiation.
///
/// ```
/// # use onetrip_quickstart::{Action, Broken, Cache, Initiator, Input, Key, Level, Outcome, Policy, Step, Transport};
/// # let domain = onetrip_stream::Domain::new("capulet.lit").unwrap();
/// let policy = Policy::default();
/// let plan = Cache::default().plan(&Key::new(domain, None, Transport::DirectTls), &policy);
/// let mut attempt = Initiator::new(plan);
/// attempt.handle(Input::Ahead(Step::Restart));
/// attempt.handle(Input::SaslRefused); // Refused with a tail in flight: says nothing about the password.
/// assert_eq!(attempt.poll_action(), Some(Action::Abandon(Broken::TailRefused)));
/// let Some(Action::Report(report)) = attempt.poll_action() else { panic!() };
/// let retry = Cache::default().conclude(&report, &policy).unwrap();
/// assert_eq!(retry.level(), Level::Off);
/// ```
#[derive(Debug)]
pub struct Initiator {
    plan: Plan,
    planned: Level,
    /// Steps taken whose answers have not come.
    ahead: BTreeSet<Step>,
    secured: Option<Features>,
    authenticated: Option<Features>,
    mechanism: Option<(String, u8)>,
    difference: Option<Difference>,
    restart: Restart,
    auth_from_memory: bool,
    done: bool,
    actions: VecDeque<Action>,
}

/// What has become of the stream restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Restart {
    /// Taken at its answer, or not taken yet.
    InStep,
    /// Sent ahead; believed only when a later stanza was answered (QS-R10).
    Ahead,
    /// Sent ahead, swallowed, and sent again in step.
    Resent,
}

impl Initiator {
    /// Begins an attempt.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        Self {
            planned: plan.level(),
            plan,
            ahead: BTreeSet::new(),
            secured: None,
            authenticated: None,
            mechanism: None,
            difference: None,
            restart: Restart::InStep,
            auth_from_memory: false,
            done: false,
            actions: VecDeque::new(),
        }
    }

    /// The plan, which becomes more careful when an assumption fails.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What the server has shown under TLS before authentication, once it has.
    #[must_use]
    pub fn offered(&self) -> Option<&Features> {
        self.secured.as_ref()
    }

    /// Whether a stanza must be answered before the restart counts as passed (QS-R10).
    #[must_use]
    pub fn needs_later_answer(&self) -> bool {
        self.restart == Restart::Ahead && !self.done
    }

    /// How what arrived differs from what was assumed, as far as it has been seen.
    #[must_use]
    pub fn difference(&self) -> Option<&Difference> {
        self.difference.as_ref()
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Takes in one thing that happened. After the report it does nothing.
    pub fn handle(&mut self, input: Input<'_>) {
        if self.done {
            return;
        }
        match input {
            Input::Ahead(step) => self.went_ahead(step),
            Input::Answered(step) => {
                self.ahead.remove(&step);
            }
            Input::Features(stage, element) => self.features(stage, element),
            Input::Mechanism(name, strength) => self.mechanism = Some((name.to_owned(), strength)),
            Input::SaslRefused => self.refused(),
            Input::StartTlsRefused if self.planned == Level::Off => {
                self.actions.push_back(Action::Believe)
            }
            Input::StartTlsRefused => self.abandon(Broken::StartTlsRefused),
            Input::AnotherChallenge if self.tail_in_flight() => {
                self.abandon(Broken::AnotherChallenge)
            }
            Input::TlsSilence if self.ahead.contains(&Step::ClientHello) => {
                self.abandon(Broken::HelloLost)
            }
            Input::RestartSilence if self.restart == Restart::Ahead => {
                self.restart = Restart::Resent;
                self.ahead.remove(&Step::Restart);
                self.ahead.remove(&Step::Bind);
                self.actions.push_back(Action::ResendRestart);
            }
            Input::ResumeSilence if self.ahead.contains(&Step::InstantResume) => {
                self.abandon(Broken::ResumeLost)
            }
            Input::Resumed => self.report(Outcome::Resumed),
            Input::Bound if self.restart != Restart::Ahead => self.passed(),
            Input::BoundInline => {
                // What comes behind such a login is not waited for, so it is not known either.
                self.authenticated = self.secured.clone();
                self.passed();
            }
            Input::LaterAnswer if self.restart == Restart::Ahead => self.passed(),
            Input::LaterSilence if self.restart == Restart::Ahead => {
                self.abandon(Broken::RestartLost)
            }
            Input::Ended => self.ended(),
            Input::AnotherChallenge
            | Input::TlsSilence
            | Input::RestartSilence
            | Input::ResumeSilence
            | Input::Bound
            | Input::LaterAnswer
            | Input::LaterSilence => {}
        }
    }

    fn went_ahead(&mut self, step: Step) {
        self.ahead.insert(step);
        match step {
            Step::Restart => self.restart = Restart::Ahead,
            Step::Auth => self.auth_from_memory = true,
            Step::StartTls | Step::ClientHello | Step::InstantResume | Step::Bind => {}
        }
    }

    fn features(&mut self, stage: Stage, element: &Element) {
        let assumed = self.plan.assumed();
        let (slot, assumed) = match stage {
            Stage::Clear => return,
            Stage::Secured => (&mut self.secured, assumed.map(|known| &known.secured)),
            Stage::Authenticated => (
                &mut self.authenticated,
                assumed.map(|known| &known.authenticated),
            ),
        };
        let live = Features::read(element);
        if let Some(difference) = assumed.and_then(|assumed| assumed.difference(&live)) {
            self.difference.get_or_insert(difference);
        }
        *slot = Some(live);
    }

    /// Whether bytes are on the wire that assume the SASL exchange to have ended well.
    fn tail_in_flight(&self) -> bool {
        self.ahead.contains(&Step::Restart) || self.ahead.contains(&Step::Bind)
    }

    fn refused(&mut self) {
        if self.tail_in_flight() {
            self.abandon(Broken::TailRefused);
        } else if core::mem::take(&mut self.auth_from_memory) {
            self.plan.become_careful();
            self.actions.push_back(Action::RetryHere);
        } else {
            self.actions.push_back(Action::Believe);
        }
    }

    fn ended(&mut self) {
        if self.restart == Restart::Ahead {
            self.abandon(Broken::RestartLost);
        } else if self.ahead.contains(&Step::ClientHello) {
            self.abandon(Broken::HelloLost);
        } else if self.ahead.contains(&Step::InstantResume) {
            self.abandon(Broken::ResumeLost);
        } else if !self.ahead.is_empty() {
            self.abandon(Broken::Ended);
        } else {
            self.report(Outcome::Ended);
        }
    }

    fn passed(&mut self) {
        // By dialback there is no restart, and one set of features is all there is. Where SASL was refused first, what was
        // offered is not worth remembering: it would be tried again, ahead.
        let Some(secured) = self.secured.clone() else {
            return;
        };
        let dialed = || self.mechanism.is_none().then(|| secured.clone());
        let Some(authenticated) = self.authenticated.take().or_else(dialed) else {
            return;
        };
        let (mechanism, strength) = self.mechanism.take().unwrap_or_default();
        self.report(Outcome::Passed(Box::new(Known::new(
            secured,
            authenticated,
            mechanism,
            strength,
        ))));
    }

    fn abandon(&mut self, broken: Broken) {
        self.actions.push_back(Action::Abandon(broken));
        self.report(Outcome::Broken(broken));
    }

    fn report(&mut self, outcome: Outcome) {
        self.done = true;
        self.actions.push_back(Action::Report(Box::new(Report {
            key: self.plan.key().clone(),
            level: self.planned,
            outcome,
            difference: self.difference.clone(),
            restart_resent: self.restart == Restart::Resent,
        })));
    }
}
