//! The end that connects to a streamhost.
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | greeting | the choice of no authentication | requesting |
//! | requesting | a reply of 00, with an address of any type | connected |
//! | any before connected | anything else, silence | failed: close |

use std::collections::VecDeque;

use bytes::Bytes;
use onetrip_stream::Instant;

use super::frame::{self, Partial};
use super::{Action, Destination, Error, Reply, Timeouts};

#[derive(Debug, Clone)]
enum State {
    Greeting(Partial),
    Requesting(Partial),
    Connected,
    Failed(Error),
}

/// The end that connects to a streamhost.
///
/// ```
/// # use onetrip_jingle_xmlstream::socks5::{Action, Client, Destination, Timeouts};
/// # use onetrip_stream::Instant;
/// let destination = Destination::read("972b7bf47291ca609517f67f86b5081086052dad").unwrap();
/// let mut client = Client::new(Instant::EPOCH, destination, Timeouts::default());
/// assert_eq!(client.poll_action(), Some(Action::Write((&[5, 1, 0][..]).into())));
/// assert_eq!(client.receive(&[5, 0]), Ok(2));
/// assert!(matches!(client.poll_action(), Some(Action::Write(request)) if request.len() == 47));
/// // The proxy says an IPv4 address instead of the name, and the peer has written behind it.
/// assert_eq!(client.receive(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0, b'<']), Ok(10));
/// assert_eq!(client.poll_action(), Some(Action::Connected));
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    destination: Destination,
    state: State,
    deadline: Instant,
    actions: VecDeque<Action>,
}

impl Client {
    /// For a connection that was just made.
    #[must_use]
    pub fn new(now: Instant, destination: Destination, timeouts: Timeouts) -> Self {
        let greeting = Bytes::from_static(&[5, 1, 0]);
        Self {
            destination,
            state: State::Greeting(Partial::default()),
            deadline: now + timeouts.handshake,
            actions: VecDeque::from([Action::Write(greeting)]),
        }
    }

    /// The next thing to do, in order.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call [`Client::handle_timeout`]; `None` for never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        matches!(self.state, State::Greeting(_) | State::Requesting(_)).then_some(self.deadline)
    }

    /// Gives the connection up; does nothing when called early.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|deadline| now >= deadline) {
            self.fail(Error::Silent);
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

    /// Takes bytes in, and says how many were used: none behind [`Action::Connected`].
    ///
    /// # Errors
    /// [`Error`], final, when the streamhost refuses or does not speak SOCKS5.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let mut rest = bytes;
        loop {
            match self.step(&mut rest) {
                Ok(true) => {}
                Ok(false) => return Ok(bytes.len().saturating_sub(rest.len())),
                Err(error) => return Err(self.fail(error)),
            }
        }
    }

    /// `false` when there is nothing more to do with these bytes.
    fn step(&mut self, rest: &mut &[u8]) -> Result<bool, Error> {
        match &mut self.state {
            State::Greeting(partial) => match partial.take(rest, frame::choice)?.as_deref() {
                None => Ok(false),
                Some([_, 0]) => {
                    let request = frame::write(1, self.destination.as_str());
                    self.actions.push_back(Action::Write(request.into()));
                    self.state = State::Requesting(Partial::default());
                    Ok(true)
                }
                Some(_) => Err(Error::Method),
            },
            State::Requesting(partial) => match partial.take(rest, reply)? {
                None => Ok(false),
                Some(_) => {
                    self.actions.push_back(Action::Connected);
                    self.state = State::Connected;
                    Ok(false)
                }
            },
            State::Connected => Ok(false),
            State::Failed(error) => Err(*error),
        }
    }

    fn fail(&mut self, error: Error) -> Error {
        if self.failure().is_none() {
            self.state = State::Failed(error);
            self.actions.push_back(Action::Close);
        }
        error
    }
}

/// A refusal is one as soon as its second octet is there: what stands behind it may never come.
fn reply(message: &[u8]) -> Result<usize, Error> {
    match message {
        [5, code, ..] if *code != 0 => Err(Error::Refused(Reply::from_octet(*code))),
        [] | [_] => frame::choice(message),
        _ => frame::addressed(message),
    }
}
