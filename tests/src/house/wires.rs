//! What goes from one end to the other, and when; and what time it is.

use std::time::Duration;

use onetrip_core::stream::{Condition, Content, Env, Secret, Stanza};
use onetrip_core::stream_management::Handle;
use onetrip_core::{Action, Connection, End, Error, Event, Resumption, TlsInfo, UsageError};

use super::House;

impl House {
    /// Lets both talk until all is said.
    pub fn talk(&mut self, [one, other]: [usize; 2]) {
        for _ in 0..1000 {
            if self.deliver(one, other) + self.deliver(other, one) == 0 {
                return;
            }
        }
        panic!("they never stop");
    }

    /// Delivers what is on the wire; returns how much that was.
    pub fn deliver(&mut self, from: usize, to: usize) -> usize {
        let bytes = self.take_wire(from);
        // An error shows in what is written and reported.
        let _ = self.give(to, &bytes);
        bytes.len()
    }

    /// Takes what is on the wire.
    pub fn take_wire(&mut self, from: usize) -> Vec<u8> {
        std::mem::take(&mut self.sides[from].wire)
    }

    /// Gives bytes in that nobody of ours has written.
    ///
    /// # Errors
    /// As the connection's, what comes behind a decision included.
    pub fn give(&mut self, to: usize, bytes: impl AsRef<[u8]>) -> Result<usize, Error> {
        let env = &mut Env::new(self.now, &mut self.entropy);
        let result = self.sides[to].connection.receive(env, bytes.as_ref());
        self.drain(to);
        let used = result?;
        let env = &mut Env::new(self.now, &mut self.entropy);
        self.sides[to].connection.receive(env, &[]).map(|_| used)
    }

    /// Calls a method that wants an environment.
    pub fn with<R>(
        &mut self,
        place: usize,
        call: impl FnOnce(&mut Connection, &mut Env<'_>) -> R,
    ) -> R {
        let env = &mut Env::new(self.now, &mut self.entropy);
        let result = call(&mut self.sides[place].connection, env);
        self.drain(place);
        result
    }

    /// Sends a stanza.
    pub fn send(&mut self, from: usize, stanza: &str) -> Option<Handle> {
        let stanza = Stanza::parse(stanza.as_bytes(), Content::Client).expect("a stanza");
        self.with(from, |connection, env| connection.send(env, &stanza))
            .expect("it is online")
    }

    /// The application has handled so many.
    pub fn handled(&mut self, place: usize, stanzas: u32) {
        self.with(place, |connection, _| connection.handled(stanzas));
    }

    /// The transport is gone, with all that was on its way.
    pub fn cut(&mut self, place: usize) {
        self.sides[place].wire.clear();
        self.with(place, |connection, env| connection.receive_eof(env));
    }

    /// The transport of both is gone.
    pub fn cut_both(&mut self, pair: [usize; 2]) {
        for place in pair {
            self.cut(place);
        }
    }

    /// Time passes; each deadline is met in its turn.
    pub fn wait(&mut self, span: Duration) {
        self.now = self.now + span;
        for place in 0..self.sides.len() {
            self.with(place, |connection, env| connection.handle_timeout(env));
        }
    }

    /// The session of an account that waits at the client.
    pub fn resumption(&self) -> Option<&Resumption> {
        self.entity.resumptions().next()
    }

    /// How many sessions wait at the server.
    pub fn waiting(&self) -> usize {
        self.registry.waiting().count()
    }

    pub(super) fn drain(&mut self, place: usize) {
        while let Some(action) = self.sides[place].connection.poll_action() {
            let side = &mut self.sides[place];
            let late = side.closed && !matches!(action, Action::Entity(_));
            assert!(!late, "something behind the close: {action:?}");
            match action {
                Action::Transmit(bytes) => {
                    side.wire.extend_from_slice(&bytes);
                    let text = std::str::from_utf8(&bytes).expect("UTF-8");
                    side.written.push_str(text);
                }
                Action::UpgradeSend | Action::UpgradeReceive => {
                    side.upgrades += 1;
                    if side.upgrades == 2 {
                        let env = &mut Env::new(self.now, &mut self.entropy);
                        let mut info = TlsInfo::new();
                        let shown = self.certificates[usize::from(side.server)];
                        info.end_point = shown.map(Secret::from);
                        let told = side.connection.tls_established(env, info, &[]);
                        assert!(matches!(told, Ok(()) | Err(UsageError::Closed)), "{told:?}");
                    }
                }
                Action::Request(request) if self.decides => {
                    let answer = self.decision(request);
                    self.note(place, &answer);
                    let env = &mut Env::new(self.now, &mut self.entropy);
                    let told = self.sides[place].connection.answer(env, answer);
                    assert!(matches!(told, Ok(()) | Err(UsageError::Closed)), "{told:?}");
                }
                Action::Request(request) => side.asked.push_back(request),
                Action::Event(event) => self.on_event(place, event),
                Action::Entity(event) if side.server => self.registry.handle(event, self.now),
                Action::Entity(event) => {
                    if let Some(plan) = self.entity.handle(event) {
                        side.retry = Some(plan);
                    }
                }
                Action::Close => side.closed = true,
                _ => {}
            }
        }
    }

    fn on_event(&mut self, place: usize, event: Event) {
        let side = &mut self.sides[place];
        match &event {
            Event::Stanza(_) if self.handles => side.connection.handled(1),
            Event::TokenConfirmed { session } => self.registry.confirm(session),
            Event::TokenExposed(claim) => self.registry.revoke(claim),
            Event::ProofExposed { session } => self.registry.revoke_key(session),
            _ => {}
        }
        side.events.push(event);
    }

    /// The error is typed, on the wire, and the last word.
    pub fn assert_failed(
        &mut self,
        place: usize,
        error: &Error,
        condition: Condition,
        source: &str,
    ) {
        let told = (error.condition(), error.source_section());
        assert_eq!(told, (Some(condition), source), "{error}");
        let side = &self.sides[place];
        let tail = format!(
            "<{} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>",
            condition.name()
        );
        let ending = "</stream:error></stream:stream>";
        let said = side.written.contains(&tail) && side.written.ends_with(ending);
        assert!(said, "{}", side.written);
        assert!(side.closed && matches!(side.end(), Some(End::Failed(_) | End::Abandoned(_))));
        assert_eq!(self.give(place, "<more/>").as_ref(), Err(error), "repeated");
    }
}
