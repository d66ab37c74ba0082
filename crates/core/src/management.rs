//! Stream management of one connection, whichever end it is: one owner of the session, one way out of it.

use minidom::Element;
use onetrip_isr::Ticket;
use onetrip_stream::{Condition, Instant, Jid};
use onetrip_stream_management as sm;

use crate::Resumption;
use crate::instant;

#[derive(Debug)]
enum Machine {
    Off,
    Initiator(Box<sm::Initiator>),
    Receiver(Box<sm::Receiver>),
}

/// The machine of this end, and what is known of its session.
#[derive(Debug)]
pub(crate) struct Management {
    machine: Machine,
    /// Whose the session is, once a resource is bound.
    owner: Option<Jid>,
    /// A session that was brought along and has not been asked for (the initiator).
    waiting: Option<Box<Resumption>>,
    /// A request to resume is out: what it was made with besides the session.
    asked: Option<Box<Asked>>,
    /// What resumes the session without a login.
    pub(crate) instant: instant::Instant,
    /// How many stanzas went to the application before any were counted: the first that it says to have handled are
    /// these.
    uncounted: u32,
    /// By what the next connection of this client will find the session.
    account: Option<Jid>,
}

#[derive(Debug)]
struct Asked {
    owner: Jid,
    lost: u8,
}

/// What is left when a connection ends.
#[derive(Debug)]
pub(crate) enum Left {
    /// A session that may be resumed.
    Resumption(Box<Resumption>),
    /// Stanzas that nobody will send again.
    HandedBack(Vec<sm::Entry>),
    /// The name of a session that is over, whose it was, and what had been handled in it.
    Over(String, Jid, sm::Count),
}

impl Management {
    pub(crate) const OFF: Self = Self {
        machine: Machine::Off,
        owner: None,
        waiting: None,
        asked: None,
        instant: instant::Instant::OFF,
        uncounted: 0,
        account: None,
    };

    pub(crate) fn initiator(
        config: Option<sm::Config>,
        waiting: Option<Resumption>,
        account: &Jid,
    ) -> Self {
        let config = config.or(waiting.as_ref().map(|_| sm::Config::default()));
        Self {
            machine: config.map_or(Machine::Off, |config| {
                Machine::Initiator(Box::new(sm::Initiator::new(config)))
            }),
            waiting: waiting.map(Box::new),
            account: Some(account.clone()),
            ..Self::OFF
        }
    }

    pub(crate) fn receiver(config: Option<sm::Config>) -> Self {
        Self {
            machine: config.map_or(Machine::Off, |config| {
                Machine::Receiver(Box::new(sm::Receiver::new(config)))
            }),
            ..Self::OFF
        }
    }

    pub(crate) fn poll_action(&mut self) -> Option<sm::Action> {
        match &mut self.machine {
            Machine::Off => None,
            Machine::Initiator(machine) => machine.poll_action(),
            Machine::Receiver(machine) => machine.poll_action(),
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match &self.machine {
            Machine::Off => None,
            Machine::Initiator(machine) => machine.poll_timeout(),
            Machine::Receiver(machine) => machine.poll_timeout(),
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        match &mut self.machine {
            Machine::Off => {}
            Machine::Initiator(machine) => machine.handle_timeout(now),
            Machine::Receiver(machine) => machine.handle_timeout(now),
        }
    }

    /// Whether stanzas are counted.
    pub(crate) fn is_on(&self) -> bool {
        match &self.machine {
            Machine::Off => false,
            Machine::Initiator(machine) => machine.is_on(),
            Machine::Receiver(machine) => machine.is_on(),
        }
    }

    pub(crate) fn send(&mut self, now: Instant, stanza: bytes::Bytes) -> Option<sm::Handle> {
        match &mut self.machine {
            Machine::Off => None,
            Machine::Initiator(machine) => machine.send(now, stanza),
            Machine::Receiver(machine) => machine.send(now, stanza),
        }
    }

    /// A stanza arrived for the application.
    pub(crate) fn arrived(&mut self) {
        let counted = match &mut self.machine {
            Machine::Off => false,
            Machine::Initiator(machine) => machine.arrived(),
            Machine::Receiver(machine) => machine.arrived(),
        };
        if !counted {
            self.uncounted = self.uncounted.saturating_add(1);
        }
    }

    /// How many of them it has not said to have handled, of those that are counted.
    pub(crate) fn unhandled(&self) -> u32 {
        match &self.machine {
            Machine::Off => 0,
            Machine::Initiator(machine) => machine.unhandled(),
            Machine::Receiver(machine) => machine.unhandled(),
        }
    }

    /// A stanza that the application will not see.
    pub(crate) fn arrived_own(&mut self) {
        if let Machine::Initiator(machine) = &mut self.machine {
            machine.arrived_own();
        }
    }

    pub(crate) fn handled(&mut self, stanzas: u32) {
        let before = stanzas.min(self.uncounted);
        self.uncounted = self.uncounted.saturating_sub(before);
        let stanzas = stanzas.saturating_sub(before);
        match &mut self.machine {
            Machine::Off => {}
            Machine::Initiator(machine) => machine.handled(stanzas),
            Machine::Receiver(machine) => machine.handled(stanzas),
        }
    }

    pub(crate) fn has_room(&self) -> bool {
        match &self.machine {
            Machine::Off => true,
            Machine::Initiator(machine) => machine.has_room(),
            Machine::Receiver(machine) => machine.has_room(),
        }
    }

    pub(crate) fn stage(&self, handle: sm::Handle) -> Option<sm::Stage> {
        match &self.machine {
            Machine::Initiator(machine) => machine.stage(handle),
            Machine::Off | Machine::Receiver(_) => None,
        }
    }

    pub(crate) fn handle(
        &mut self,
        now: Instant,
        element: &Element,
        in_order: bool,
    ) -> Result<(), sm::Error> {
        match &mut self.machine {
            Machine::Off => Err(sm::Error::OutOfTurn),
            Machine::Initiator(machine) => {
                machine.handle(now, element)?;
                if element.name() == "enabled" {
                    self.instant.read_enabled(element);
                }
                Ok(())
            }
            Machine::Receiver(machine) => {
                if element.name() == "enable" {
                    self.instant.read_enable(element);
                }
                machine.handle(now, element, in_order)
            }
        }
    }

    /// A resource is bound: new stanzas are this address's.
    pub(crate) fn bound(&mut self, owner: &Jid) {
        self.owner = Some(owner.clone());
    }

    /// Whose the session is.
    pub(crate) fn owner(&self) -> Option<&Jid> {
        self.owner.as_ref()
    }

    /// The stream is being closed cleanly, and the peer still reads or not; nothing can be resumed behind that.
    pub(crate) fn close(&mut self, asks: bool) {
        match &mut self.machine {
            Machine::Off => {}
            Machine::Initiator(machine) => machine.close(asks),
            Machine::Receiver(machine) => machine.close(asks),
        }
    }

    /// The end of the connection: what is left, once.
    pub(crate) fn end(&mut self) -> Option<Left> {
        if let Some(waiting) = self.waiting.take() {
            return Some(Left::Resumption(waiting));
        }
        let asked = self.asked.take();
        let owner = asked
            .as_ref()
            .map(|asked| asked.owner.clone())
            .or(self.owner.take())?;
        let session = match &mut self.machine {
            Machine::Off => None,
            Machine::Initiator(machine) => machine.suspend(&owner),
            Machine::Receiver(machine) => {
                let named = machine.session().map(|(id, h)| (id.to_owned(), h));
                match (machine.suspend(&owner), named) {
                    (None, Some((id, h))) => return Some(Left::Over(id, owner, h)),
                    (session, _) => session,
                }
            }
        }?;
        let mut resumption = Resumption {
            account: self.account.clone().unwrap_or(owner),
            session,
            ticket: self.instant.take_ticket(),
            lost: asked.as_ref().map_or(0, |asked| asked.lost),
        };
        Some(if asked.is_none() || resumption.outlives_silence() {
            Left::Resumption(Box::new(resumption))
        } else {
            Left::HandedBack(resumption.session.into_entries())
        })
    }

    // The initiator.

    fn as_initiator(&mut self) -> Option<&mut sm::Initiator> {
        match &mut self.machine {
            Machine::Initiator(machine) => Some(machine),
            Machine::Off | Machine::Receiver(_) => None,
        }
    }

    /// Whether there is a session to ask for, or one that has been asked for.
    pub(crate) fn has_session(&self) -> bool {
        self.waiting.is_some() || self.asked.is_some()
    }

    /// Whether a request to resume is out.
    pub(crate) fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// The token to resume with, if there is one.
    pub(crate) fn ticket(&self) -> Option<&Ticket> {
        self.waiting
            .as_ref()
            .and_then(|waiting| waiting.ticket.as_ref())
    }

    /// `<enable/>`.
    pub(crate) fn enable(&mut self, now: Instant, resume: bool, max: Option<u32>) {
        if let Some(machine) = self.as_initiator() {
            machine.enable(now, resume, max);
        }
    }

    fn ask(&mut self) -> Option<Box<Resumption>> {
        let waiting = self.waiting.take()?;
        self.asked = Some(Box::new(Asked {
            owner: waiting.session.owner.clone(),
            lost: waiting.lost,
        }));
        self.instant.ticket = waiting.ticket.clone().map(Box::new);
        Some(waiting)
    }

    /// `<resume/>`; once more when the first was swallowed together with the restart before it.
    pub(crate) fn resume(&mut self) {
        self.take_back(None);
        let Some(waiting) = self.ask() else { return };
        if let Some(machine) = self.as_initiator() {
            machine.resume(&waiting.session);
        }
    }

    /// The session is asked for by instant stream resumption, with this `h`.
    pub(crate) fn await_resumption(&mut self) -> Option<sm::Count> {
        let waiting = self.ask()?;
        self.as_initiator()?.await_resumption(&waiting.session)
    }

    /// The request was refused, or was never seen: the session waits again.
    fn take_back(&mut self, h: Option<sm::Count>) {
        let Some(asked) = self.asked.take() else {
            return;
        };
        let session = self
            .as_initiator()
            .and_then(|machine| machine.withdraw(&asked.owner, h));
        self.waiting = session.map(|session| {
            Box::new(Resumption {
                account: self.account.clone().unwrap_or(asked.owner),
                session,
                ticket: self.instant.take_ticket(),
                lost: asked.lost,
            })
        });
    }

    /// The server reads on and says nothing to a token: it does not know what that is (ISR-31).
    pub(crate) fn forget_ticket(&mut self) {
        self.instant.ticket = None;
    }

    /// The login was refused within which a session was asked for.
    pub(crate) fn login_refused(&mut self) {
        self.take_back(None);
    }

    /// The login was refused that a key was to bring in: the key is spent (XEP-0397 §4.2.4).
    pub(crate) fn key_refused(&mut self) {
        self.instant.ticket = None;
        self.take_back(None);
    }

    /// Instant stream resumption was refused: the token is spent, the session is asked for behind a login (ISR-R3).
    pub(crate) fn instant_refused(&mut self, h: Option<sm::Count>) {
        self.instant.ticket = None;
        self.take_back(h);
    }

    /// The peer goes on with the session: it is ours as of now, and the replay follows.
    pub(crate) fn instant_resumed(
        &mut self,
        now: Instant,
        h: sm::Count,
        ticket: Ticket,
    ) -> Result<(), sm::Error> {
        self.instant.ticket = Some(Box::new(ticket));
        match self.as_initiator() {
            Some(machine) => machine.resumed(now, h),
            None => Err(sm::Error::OutOfTurn),
        }
    }

    /// The session goes on: whose it is.
    pub(crate) fn resumed(&mut self) -> Option<Jid> {
        let asked = self.asked.take()?;
        self.owner = Some(asked.owner);
        self.owner.clone()
    }

    /// The session is over: the server refused it, or no longer knows about management (monal#39).
    pub(crate) fn give_up(&mut self) -> Option<Left> {
        self.instant.ticket = None;
        if self.asked.take().is_some() {
            self.as_initiator()?.give_up();
            return None;
        }
        let waiting = self.waiting.take()?;
        Some(Left::HandedBack(waiting.session.into_entries()))
    }

    /// The peer ended the stream with an error. Most say that trying again is pointless: a conflict, since whoever is
    /// there now would be thrown out in turn (go-xmpp#45); whatever blames a stanza, since that would be sent again; and,
    /// with a request to resume unanswered, whatever blames that request.
    pub(crate) fn on_peer_error(&mut self, condition: Condition) {
        let passing = is_passing(condition);
        if self.asked.is_none() && !passing {
            self.close(false);
        } else if self.asked.is_some() && !passing {
            // The login after this one tells whether the session itself is to blame.
            if self.instant.ticket.take().is_none() {
                let _ = self.give_up();
            }
        }
    }

    /// This end ends the stream with an error: one that will not pass ends the session as well, or the peer would send
    /// what it blames again, and again. A session that was only asked for is not to blame yet.
    pub(crate) fn on_own_error(&mut self, condition: Condition) {
        if !is_passing(condition) && self.asked.is_none() {
            self.close(false);
        }
    }

    /// The session as it stands, to store it while the connection is up.
    pub(crate) fn snapshot(&self) -> Option<Resumption> {
        if let Some(waiting) = &self.waiting {
            return Some(Resumption::clone(waiting));
        }
        let Machine::Initiator(machine) = &self.machine else {
            return None;
        };
        let owner = self
            .asked
            .as_ref()
            .map(|asked| &asked.owner)
            .or(self.owner.as_ref())?;
        Some(Resumption {
            account: self.account.as_ref().unwrap_or(owner).clone(),
            session: machine.snapshot(owner)?,
            ticket: self.instant.ticket.as_deref().cloned(),
            lost: self.asked.as_ref().map_or(0, |asked| asked.lost),
        })
    }

    // The receiver.

    pub(crate) fn as_receiver(&mut self) -> Option<&mut sm::Receiver> {
        match &mut self.machine {
            Machine::Receiver(machine) => Some(machine),
            Machine::Off | Machine::Initiator(_) => None,
        }
    }
}

/// Whether what a stream error says will be over soon, so that a session is worth coming back for.
const fn is_passing(condition: Condition) -> bool {
    matches!(
        condition,
        Condition::SystemShutdown
            | Condition::Reset
            | Condition::ConnectionTimeout
            | Condition::InternalServerError
            | Condition::RemoteConnectionFailed
            | Condition::ResourceConstraint
            | Condition::SeeOtherHost
    )
}
