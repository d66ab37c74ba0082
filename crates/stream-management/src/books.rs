//! What both machines share once counting has begun: the order of writes, the replay, and the end.

use std::collections::VecDeque;

use bytes::Bytes;
use onetrip_stream::{Instant, Jid};

use crate::{
    Action, Config, Count, Due, Entry, Error, Event, Granted, Handle, Ledger, Nonza, Session,
};

/// What both machines share once counting has begun.
#[derive(Debug)]
pub(crate) struct Books {
    pub(crate) config: Config,
    pub(crate) ledger: Option<Ledger>,
    pub(crate) actions: VecDeque<Action>,
    /// Whether the session can never be resumed, whatever the counts say: the stream was closed, or the peer's
    /// counts are wrong and would be again.
    pub(crate) over: bool,
}

impl Books {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            ledger: None,
            actions: VecDeque::new(),
            over: false,
        }
    }

    pub(crate) fn has_room(&self) -> bool {
        let ledger = self.ledger.as_ref();
        ledger.is_none_or(|ledger| ledger.queue().has_room())
    }

    pub(crate) fn open(&mut self) {
        self.ledger = Some(Ledger::new(self.config.limits, self.config.policy));
    }

    pub(crate) fn reopen(&mut self, session: &Session) {
        let (ledger, dropped) = session.ledger(self.config);
        self.ledger = Some(ledger);
        self.dropped(dropped);
    }

    pub(crate) fn push(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    pub(crate) fn say(&mut self, nonza: Nonza) {
        self.push(Action::Send(nonza));
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.push(Action::Event(event));
    }

    #[cold]
    fn dropped(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            self.tell(Event::Failed(entry));
        }
    }

    /// Request before data, acknowledgement after it, all in one write. `asks` says whether the peer is known to
    /// take part; before that an `<r/>` might meet a stream without management (Conversations 010b34125).
    pub(crate) fn send(&mut self, now: Instant, bytes: Bytes, asks: bool) -> Option<Handle> {
        let Some(ledger) = &mut self.ledger else {
            self.push(Action::Write(bytes));
            return None;
        };
        // It does not cover the stanza that comes behind it.
        let asks = asks && ledger.request_due(now);
        let (handle, dropped) = ledger.send(now, bytes.clone());
        let answer = ledger.volunteered();
        if asks {
            self.say(Nonza::Request);
        }
        self.push(Action::Write(bytes));
        if let Some(answer) = answer {
            self.say(answer);
        }
        if !dropped.is_empty() {
            self.dropped(dropped);
        }
        Some(handle)
    }

    /// Keeps a stanza that cannot be written yet.
    pub(crate) fn keep(&mut self, now: Instant, bytes: Bytes) -> Option<Handle> {
        let (handle, dropped) = self.ledger.as_mut()?.send(now, bytes);
        self.dropped(dropped);
        Some(handle)
    }

    pub(crate) fn handled(&mut self, stanzas: u32) {
        let answer = self.ledger.as_mut().and_then(|ledger| {
            ledger.handled(stanzas);
            ledger.volunteered()
        });
        if let Some(answer) = answer {
            self.say(answer);
        }
    }

    /// `<r/>` and `<a/>`; `false` for anything else. Where nothing is counted they mean nothing, and break nothing:
    /// they may have been sent behind a request that was refused (Conversations 010b34125).
    pub(crate) fn on_books(&mut self, now: Instant, nonza: &Nonza) -> Result<bool, Error> {
        match (nonza, &mut self.ledger) {
            (Nonza::Request, Some(ledger)) => {
                let answer = ledger.requested();
                self.say(answer);
            }
            (Nonza::Ack(h), Some(_)) => self.acknowledged(now, *h)?,
            (Nonza::Request | Nonza::Ack(_), None) => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn acknowledged(&mut self, now: Instant, h: Count) -> Result<(), Error> {
        let Some(ledger) = &mut self.ledger else {
            return Ok(());
        };
        match ledger.acknowledged(now, h) {
            Ok(Some(handles)) => self.tell(Event::Acked(handles)),
            Ok(None) => {}
            Err(error) => {
                self.over = true;
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// What a refusal still tells: an `h` that was never reached tells nothing.
    pub(crate) fn settle(&mut self, h: Option<Count>) {
        let settled = self.ledger.as_mut().zip(h);
        // The books are closed next, so that the time does not matter.
        let settled = settled.map(|(ledger, h)| ledger.acknowledged(Instant::EPOCH, h));
        if let Some(Ok(Some(handles))) = settled {
            self.tell(Event::Acked(handles));
        }
    }

    /// The third step of every resumption: what the peer has not handled is sent again, in order, before anything new.
    pub(crate) fn replay(&mut self, now: Instant, h: Count) -> Result<(), Error> {
        self.acknowledged(now, h)?;
        self.tell(Event::Resumed);
        let Some(ledger) = &mut self.ledger else {
            return Ok(());
        };
        ledger.sent_again(now);
        let again = ledger
            .queue()
            .iter()
            .map(|bytes| Action::Write(bytes.clone()));
        self.actions.extend(again);
        // What was sent again is worth asking about: the last connection did not live to tell.
        if ledger.request_due(now) {
            self.say(Nonza::Request);
        }
        Ok(())
    }

    pub(crate) fn unhandled(&self) -> u32 {
        self.ledger.as_ref().map_or(0, Ledger::unhandled)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.ledger.as_ref().and_then(Ledger::deadline)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        match self.ledger.as_mut().and_then(|ledger| ledger.due(now)) {
            Some(Due::Request) => self.say(Nonza::Request),
            Some(Due::Unanswered) => self.tell(Event::Unanswered),
            None => {}
        }
    }

    /// The last acknowledgement before a clean close, behind which nothing can be resumed (Openfire OF-3115). What the
    /// peer acknowledges until it closes as well is still taken in, and asked for if `asks`.
    pub(crate) fn close(&mut self, asks: bool) {
        let Some(ledger) = &mut self.ledger else {
            return;
        };
        let answer = ledger.last_ack();
        let asks = asks && !self.over && ledger.queue().unacked() > 0;
        if let Some(answer) = answer {
            self.say(answer);
        }
        if asks {
            self.say(Nonza::Request);
        }
        self.over = true;
    }

    /// The connection is gone. A session that may be resumed is returned, anything else is handed back.
    pub(crate) fn suspend(&mut self, owner: &Jid, granted: Option<Granted>) -> Option<Session> {
        let resumable = |ledger: &&Ledger| !self.over && ledger.is_resumable();
        let session = granted
            .filter(|granted| granted.id.is_some())
            .zip(self.ledger.as_ref().filter(resumable))
            .map(|(granted, ledger)| Session::of(granted, owner, ledger));
        match session {
            Some(_) => self.ledger = None,
            None => self.hand_back(),
        }
        session
    }

    pub(crate) fn hand_back(&mut self) {
        let entries = self
            .ledger
            .take()
            .map(|mut ledger| ledger.hand_back())
            .unwrap_or_default();
        if !entries.is_empty() {
            self.tell(Event::HandedBack(entries));
        }
    }
}
