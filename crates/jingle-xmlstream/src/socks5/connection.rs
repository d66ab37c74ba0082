//! The streamhost's end of a connection, and what all connections of a listener expect.
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | greeting | a greeting that has "no authentication" among its methods | requesting |
//! | requesting | connect, to a destination that is expected and has no connection yet | connected |
//! | connected | [`Connection::used`] | used: nothing left to do here |
//! | greeting, requesting | anything else, silence | failed: reply, close |
//! | connected | silence | failed: the slot is free again |

use std::collections::VecDeque;

use onetrip_stream::Instant;

use super::frame::{self, Partial};
use super::{Action, Destination, Error, Reply, Timeouts};

/// One session's place in [`Expected`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(u64);

#[derive(Debug)]
struct Place {
    slot: Slot,
    destinations: Vec<Destination>,
    taken: bool,
}

/// The destinations that a listener expects: each session has one place, and each place one connection.
#[derive(Debug, Default)]
pub struct Expected {
    places: Vec<Place>,
    count: u64,
    /// Whether it is a proxy's: any destination, for the two ends of a bytestream.
    any: bool,
}

impl Expected {
    /// Nothing is expected.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What a proxy expects: two connections to any destination (XEP-0065 §6).
    pub(super) fn any() -> Self {
        Self {
            any: true,
            ..Self::default()
        }
    }

    /// Expects one connection to any of these: peers differ in the order of the addresses (JXS-R12).
    pub fn expect(&mut self, destinations: Vec<Destination>) -> Slot {
        self.count = self.count.saturating_add(1);
        let slot = Slot(self.count);
        self.places.push(Place {
            slot,
            destinations,
            taken: false,
        });
        slot
    }

    /// Expects nothing for this session any more.
    pub fn forget(&mut self, slot: Slot) {
        self.places.retain(|place| place.slot != slot);
    }

    fn take(&mut self, destination: &Destination) -> Option<Slot> {
        if self.any && self.bound_for(destination).count() < 2 {
            self.expect(vec![destination.clone()]);
        }
        let place = self
            .places
            .iter_mut()
            .find(|place| !place.taken && place.destinations.contains(destination))?;
        place.taken = true;
        Some(place.slot)
    }

    /// The places that were taken for this destination.
    pub(super) fn bound_for(&self, destination: &Destination) -> impl Iterator<Item = Slot> {
        let places = self.places.iter();
        places
            .filter(move |place| place.taken && place.destinations.contains(destination))
            .map(|place| place.slot)
    }

    fn free(&mut self, slot: Slot) {
        if self.any {
            return self.forget(slot);
        }
        for place in &mut self.places {
            place.taken &= place.slot != slot;
        }
    }
}

#[derive(Debug)]
enum State {
    Greeting(Partial),
    Requesting(Partial),
    Connected(Slot),
    Used(Slot),
    Failed(Error),
}

/// The streamhost's end of one connection.
///
/// ```
/// # use onetrip_jingle_xmlstream::socks5::{Action, Connection, Destination, Error, Expected, Timeouts};
/// # use onetrip_stream::Instant;
/// # let mut expected = Expected::new();
/// let mut connection = Connection::new(Instant::EPOCH, Timeouts::default());
/// connection.receive(Instant::EPOCH, &mut expected, &[5, 1, 0]).unwrap();
/// assert_eq!(connection.poll_action(), Some(Action::Write((&[5, 0][..]).into())));
/// let request = [&[5, 1, 0, 3, 40][..], &[b'0'; 40], &[0, 0]].concat();
/// let refused = connection.receive(Instant::EPOCH, &mut expected, &request);
/// assert_eq!(refused, Err(Error::Unexpected)); // A stranger: the listener is open to all.
/// ```
#[derive(Debug)]
pub struct Connection {
    timeouts: Timeouts,
    state: State,
    deadline: Instant,
    actions: VecDeque<Action>,
}

impl Connection {
    /// For a connection that was just taken.
    #[must_use]
    pub fn new(now: Instant, timeouts: Timeouts) -> Self {
        Self {
            timeouts,
            state: State::Greeting(Partial::default()),
            deadline: now + timeouts.handshake,
            actions: VecDeque::new(),
        }
    }

    /// The next thing to do, in order.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call [`Connection::handle_timeout`]; `None` for never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Used(_) | State::Failed(_) => None,
            _ => Some(self.deadline),
        }
    }

    /// Closes what is too slow or was never used; does nothing when called early.
    pub fn handle_timeout(&mut self, now: Instant, expected: &mut Expected) {
        if self.poll_timeout().is_some_and(|deadline| now >= deadline) {
            self.lost(expected);
            self.fail(Error::Silent, None);
        }
    }

    /// Which session it is for, once that is known.
    #[must_use]
    pub fn slot(&self) -> Option<Slot> {
        match self.state {
            State::Connected(slot) | State::Used(slot) => Some(slot),
            _ => None,
        }
    }

    /// Why it failed, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<Error> {
        match self.state {
            State::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// It is the one that both ends use: it may stay, and be read from.
    pub fn used(&mut self) {
        if let State::Connected(slot) = self.state {
            self.state = State::Used(slot);
        }
    }

    /// The connection is gone. If it was never used, its place is free again.
    pub fn lost(&mut self, expected: &mut Expected) {
        if let State::Connected(slot) = self.state {
            expected.free(slot);
        }
    }

    /// Takes bytes in, and says how many were used: none behind [`Action::Connected`].
    ///
    /// # Errors
    /// [`Error`], final, when the client is not expected or does not speak SOCKS5.
    pub fn receive(
        &mut self,
        now: Instant,
        expected: &mut Expected,
        bytes: &[u8],
    ) -> Result<usize, Error> {
        let mut rest = bytes;
        loop {
            match self.step(now, expected, &mut rest) {
                Ok(true) => {}
                Ok(false) => return Ok(bytes.len().saturating_sub(rest.len())),
                Err((error, reply)) => return Err(self.fail(error, reply)),
            }
        }
    }

    /// `false` when there is nothing more to do with these bytes; a failure comes with the reply that is due.
    fn step(
        &mut self,
        now: Instant,
        expected: &mut Expected,
        rest: &mut &[u8],
    ) -> Result<bool, (Error, Option<Vec<u8>>)> {
        let mute = |error| (error, None);
        match &mut self.state {
            State::Greeting(partial) => {
                let Some(greeting) = partial.take(rest, frame::greeting).map_err(mute)? else {
                    return Ok(false);
                };
                if !greeting.iter().skip(2).any(|&method| method == 0) {
                    return Err((Error::Method, Some(vec![5, 0xff])));
                }
                self.write(vec![5, 0]);
                self.state = State::Requesting(Partial::default());
                Ok(true)
            }
            State::Requesting(partial) => {
                let taken = partial.take(rest, frame::addressed);
                let failure = |error, reply: Reply| (error, Some(frame::write(reply.octet(), "")));
                let Some(request) = taken.map_err(|error| match error {
                    Error::AddressType(_) => failure(error, Reply::AddressTypeNotSupported),
                    error => mute(error),
                })?
                else {
                    return Ok(false);
                };
                let (slot, destination) =
                    admit(expected, &request).map_err(|(error, reply)| failure(error, reply))?;
                self.write(frame::write(0, destination.as_str()));
                self.actions.push_back(Action::Connected);
                self.deadline = now + self.timeouts.unused;
                self.state = State::Connected(slot);
                Ok(false)
            }
            State::Connected(_) | State::Used(_) => Ok(false),
            State::Failed(error) => Err(mute(*error)),
        }
    }

    fn write(&mut self, bytes: Vec<u8>) {
        self.actions.push_back(Action::Write(bytes.into()));
    }

    fn fail(&mut self, error: Error, reply: Option<Vec<u8>>) -> Error {
        if self.failure().is_none() {
            if let Some(reply) = reply {
                self.write(reply);
            }
            self.actions.push_back(Action::Close);
            self.state = State::Failed(error);
        }
        error
    }
}

/// Whose connection a request makes this.
fn admit(expected: &mut Expected, request: &[u8]) -> Result<(Slot, Destination), (Error, Reply)> {
    match request {
        [_, 1, _, 3, ..] => {
            let destination = frame::name(request).and_then(Destination::read);
            destination
                .and_then(|destination| Some((expected.take(&destination)?, destination)))
                .ok_or((Error::Unexpected, Reply::NotAllowed))
        }
        [_, 1, _, kind, ..] => Err((Error::AddressType(*kind), Reply::AddressTypeNotSupported)),
        [_, command, ..] => Err((Error::Command(*command), Reply::CommandNotSupported)),
        _ => Err((Error::Unexpected, Reply::GeneralFailure)),
    }
}
