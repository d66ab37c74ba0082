//! One bytestream at one end.
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | opening | the answer to `<open/>` | open, closed |
//! | awaiting | `<open/>` | open |
//! | open | `<data/>`, answers, `write`, `read` | open |
//! | open, opening | `close` | finishing: what waits goes out first |
//! | finishing | the last acknowledgement | closing: `<close/>` is sent |
//! | closing | its answer, or the peer's own `<close/>` | closed |
//! | open, finishing | `<close/>` | answering: what waits goes out first (XEP-0047 §2.3) |
//! | answering | the last acknowledgement | closed: the answer is sent |
//! | any | an error, silence | closed |

use std::collections::VecDeque;

use bytes::{Buf as _, Bytes};
use onetrip_stream::{Content, Env, Instant, Jid, Payload, Stanza, StanzaKind, Text, ns};

use super::incoming::{Incoming, Verdict};
use super::outgoing::Outgoing;
use super::{Action, Config, Error, Event, MAX_OFFER, Packet, Why};
use crate::iq::{Ids, Iq, IqError, Kind, Refusal};

#[derive(Debug)]
enum State {
    Opening { id: String },
    Awaiting,
    Open,
    Finishing,
    Closing { id: String },
    Answering { id: String },
    Closed(Option<Error>),
}

/// One bytestream at one end.
///
/// ```
/// # use onetrip_jingle_xmlstream::ibb::{Action, Bytestream, Config, Event};
/// # use onetrip_stream::{Build as _, Env, Instant, Jid, Stanza};
/// # let mut zero = |out: &mut [u8]| out.fill(0);
/// # let mut env = Env::new(Instant::EPOCH, &mut zero);
/// # let romeo: Jid = "romeo@montague.lit/orchard".parse().unwrap();
/// # let juliet: Jid = "juliet@capulet.lit/balcony".parse().unwrap();
/// // A text without <open/>: what is written goes out at once.
/// let mut ours = Bytestream::established(Config::default(), &mut env, juliet.clone(), "s");
/// let mut theirs = Bytestream::established(Config::default(), &mut env, romeo.clone(), "s");
/// ours.write(env.now, b"</stream:stream>");
/// let Some(Action::Send(data)) = ours.poll_action() else { panic!() };
/// // The servers do this.
/// let data = Stanza::from_element(&data.element().with_attr("from", romeo.to_string())).unwrap();
/// assert_eq!(theirs.handle(env.now, &data), Ok(true));
/// assert_eq!(theirs.read(env.now).unwrap(), "</stream:stream>");
/// ```
#[derive(Debug)]
pub struct Bytestream {
    pub(super) config: Config,
    pub(super) ids: Ids,
    pub(super) peer: Jid,
    /// The same as text.
    pub(super) to: Text,
    pub(super) sid: String,
    state: State,
    pub(super) incoming: Incoming,
    pub(super) outgoing: Outgoing,
    deadline: Option<Instant>,
    pub(super) actions: VecDeque<Action>,
}

impl Bytestream {
    /// Opens a bytestream: `<open/>` goes out now, bytes when it is answered. With a `sid` that XML cannot hold nothing goes
    /// out, and the deadline ends it.
    #[must_use]
    pub fn open(config: Config, env: &mut Env<'_>, peer: Jid, sid: &str) -> Self {
        let mut stream = Self::new(config, env, peer, sid, State::Awaiting);
        stream.config.block_size = config.block_size.clamp(1, MAX_OFFER);
        let id = stream.ids.next();
        let block_size = stream.config.block_size;
        stream.ask(
            &id,
            &Packet::Open {
                sid,
                block_size,
                by_message: false,
            },
        );
        stream.state = State::Opening { id };
        stream.arm(env.now);
        stream
    }

    /// Waits for the peer's `<open/>`.
    #[must_use]
    pub fn await_open(config: Config, env: &mut Env<'_>, peer: Jid, sid: &str) -> Self {
        let mut stream = Self::new(config, env, peer, sid, State::Awaiting);
        stream.arm(env.now);
        stream
    }

    /// A bytestream that needs no `<open/>`: Jingle has opened it (XEP-0261 0.1, `ibb:0`).
    #[must_use]
    pub fn established(config: Config, env: &mut Env<'_>, peer: Jid, sid: &str) -> Self {
        Self::new(config, env, peer, sid, State::Open)
    }

    fn new(config: Config, env: &mut Env<'_>, peer: Jid, sid: &str, state: State) -> Self {
        Self {
            config,
            ids: Ids::new(env),
            to: Text::from(peer.to_string()),
            peer,
            sid: sid.to_owned(),
            state,
            incoming: Incoming::default(),
            outgoing: Outgoing::default(),
            deadline: None,
            actions: VecDeque::new(),
        }
    }

    /// The next thing to do, in order.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call [`Bytestream::handle_timeout`]; `None` for never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// The peer has not answered: the bytestream is closed. Does nothing when called early.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            if !matches!(self.state, State::Closing { .. }) {
                self.say_close();
            }
            self.end(Why::Silent);
        }
    }

    /// Whether nothing flows any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed(_))
    }

    /// Whether everything that was written has been acknowledged.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        self.outgoing.is_flushed()
    }

    /// Takes bytes to send, as many as there is room for, and says how many; [`Event::Writable`] tells of room again.
    pub fn write(&mut self, now: Instant, bytes: &[u8]) -> usize {
        match self.state {
            State::Opening { .. } | State::Awaiting | State::Open => {
                let taken = self.outgoing.accept(&self.config, bytes);
                // What need not wait is not copied.
                let at_once = matches!(self.state, State::Open) && self.outgoing.buffer.is_empty();
                let rest = if at_once {
                    self.send_chunks(taken)
                } else {
                    taken
                };
                self.outgoing.buffer.extend_from_slice(rest);
                self.pump(now);
                taken.len()
            }
            _ => 0,
        }
    }

    /// The next bytes that were received. Reading is what lets the peer go on sending.
    pub fn read(&mut self, now: Instant) -> Option<Bytes> {
        let chunk = self.incoming.read()?;
        if self.is_closed() {
            return Some(chunk);
        }
        while let Some(id) = self.incoming.answerable(&self.config) {
            self.answer(&id);
        }
        self.pump(now);
        Some(chunk)
    }

    /// Closes the bytestream when everything that was written has arrived.
    pub fn close(&mut self, now: Instant) {
        match self.state {
            State::Open => {
                self.state = State::Finishing;
                self.pump(now);
            }
            State::Opening { .. } | State::Awaiting => {
                self.say_close();
                self.end(Why::Here);
            }
            _ => {}
        }
    }

    /// Takes in an iq or message; `false` when it is not for this bytestream: another sender, another sid, another
    /// namespace.
    ///
    /// # Errors
    /// [`Error`] when the peer broke a rule. Final: it comes again for every stanza that is for this bytestream.
    pub fn handle(&mut self, now: Instant, stanza: &Stanza) -> Result<bool, Error> {
        let head = stanza.head();
        // Most servers write an address as it is written here.
        let is_peer = |from: &Text| *from == self.to || self.peer.is(from);
        if head.content != Content::Client || !head.from.as_ref().is_some_and(is_peer) {
            return Ok(false);
        }
        if head.kind == StanzaKind::Message {
            return self.handle_message(now, stanza);
        }
        let Some(iq) = Iq::read(stanza) else {
            return Ok(false);
        };
        match iq.kind {
            Kind::Set => match iq.payload() {
                Some(payload) => self.handle_request(now, iq.id, &payload),
                None => Ok(false),
            },
            Kind::Result => Ok(self.answered(now, iq.id, None)),
            Kind::Error => Ok(self.answered(now, iq.id, Some(iq.error()))),
        }
    }

    fn handle_request(
        &mut self,
        now: Instant,
        id: &str,
        payload: &Payload<'_>,
    ) -> Result<bool, Error> {
        match Packet::read(payload) {
            Some(packet) if packet.sid() == self.sid => {
                self.request(now, id, packet, payload.text_bytes())
            }
            None if payload.namespace() == ns::IBB && payload.attr("sid") == Some(&self.sid) => {
                self.refuse(id, Refusal::BadRequest);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn handle_message(&mut self, now: Instant, message: &Stanza) -> Result<bool, Error> {
        // A message of type error is one of somebody else's that came back (RFC 6120 §8.3).
        if message.head().type_.as_deref() == Some("error") {
            return Ok(false);
        }
        let mut payloads = message.payloads();
        let Some(payload) = payloads.find(|payload| Packet::read(payload).is_some()) else {
            return Ok(false);
        };
        let seq = match Packet::read(&payload) {
            Some(Packet::Data { sid, seq }) if sid == self.sid => seq,
            _ => return Ok(false),
        };
        if let State::Closed(error) = self.state {
            return error.map_or(Ok(false), Err);
        }
        if !self.receives() {
            return Ok(true);
        }
        match self.incoming.take(&self.config, seq, payload.text_bytes()) {
            Ok(Verdict::Duplicate) => Ok(true),
            Ok(Verdict::Taken | Verdict::Held) => {
                self.tell_readable();
                self.pump(now);
                Ok(true)
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Whether chunks may come in. This end's `<close/>` does not stop what the peer has sent before it saw it.
    fn receives(&self) -> bool {
        matches!(
            self.state,
            State::Open | State::Finishing | State::Closing { .. }
        )
    }

    fn request(
        &mut self,
        now: Instant,
        id: &str,
        packet: Packet<'_>,
        text: &[u8],
    ) -> Result<bool, Error> {
        if let State::Closed(error) = self.state {
            // Without an error the caller answers, with [`unknown`].
            let Some(error) = error else { return Ok(false) };
            self.refuse(id, Refusal::ItemNotFound);
            return Err(error);
        }
        match packet {
            Packet::Open { block_size, .. } => self.opened(now, id, block_size),
            Packet::Data { seq, .. } => return self.data(now, id, seq, text),
            Packet::Close { .. } => self.peer_closes(now, id),
        }
        Ok(true)
    }

    fn opened(&mut self, now: Instant, id: &str, block_size: u16) {
        let agreed = self.config.block_size;
        let fits = block_size == agreed || (block_size < agreed && !self.config.exact_block_size);
        match self.state {
            State::Awaiting if fits => {
                self.config.block_size = block_size;
                self.state = State::Open;
                self.answer(id);
                self.tell(Event::Opened);
                self.pump(now);
            }
            State::Awaiting => self.refuse(id, Refusal::ResourceConstraint),
            _ => self.refuse(id, Refusal::UnexpectedRequest),
        }
    }

    fn data(&mut self, now: Instant, id: &str, seq: u16, text: &[u8]) -> Result<bool, Error> {
        if !self.receives() {
            self.refuse(id, Refusal::UnexpectedRequest);
            return Ok(true);
        }
        match self.incoming.take(&self.config, seq, text) {
            Ok(Verdict::Taken) => {
                self.answer(id);
                self.tell_readable();
            }
            Ok(Verdict::Held) => {
                self.incoming.hold(id);
                self.tell_readable();
            }
            Ok(Verdict::Duplicate) => self.refuse(id, Refusal::UnexpectedRequest),
            Err(error) => {
                self.refuse(
                    id,
                    match error {
                        Error::Gap => Refusal::UnexpectedRequest,
                        Error::NotBase64 | Error::TooLong => Refusal::BadRequest,
                        Error::TooMuch => Refusal::ResourceConstraint,
                    },
                );
                return Err(self.fail(error));
            }
        }
        self.pump(now);
        Ok(true)
    }

    fn peer_closes(&mut self, now: Instant, id: &str) {
        match self.state {
            State::Open | State::Finishing => {
                self.state = State::Answering { id: id.to_owned() };
                self.pump(now);
            }
            State::Answering { .. } => self.answer(id),
            // It gave the opening up, or both close at once.
            State::Opening { .. } | State::Awaiting | State::Closing { .. } | State::Closed(_) => {
                let flushed = self.outgoing.is_flushed();
                self.answer(id);
                self.end(Why::Peer { flushed });
            }
        }
    }

    /// The peer answered a request; `false` when that was none of ours.
    fn answered(&mut self, now: Instant, id: &str, error: Option<IqError>) -> bool {
        match (&self.state, error) {
            (State::Opening { id: ours }, None) if ours == id => {
                self.state = State::Open;
                self.tell(Event::Opened);
            }
            (State::Opening { id: ours }, Some(error)) if ours == id => {
                self.end(Why::Refused(error));
            }
            // Closed it is, whatever the answer says (XEP-0047 §2.3).
            (State::Closing { id: ours }, _) if ours == id => self.end(Why::Here),
            (_, error) if self.outgoing.acknowledged(id) => {
                if let Some(error) = error {
                    self.chunk_refused(error);
                }
            }
            _ => return false,
        }
        self.deadline = None;
        self.pump(now);
        true
    }

    /// Then the bytestream is closed (XEP-0047 §2.2).
    fn chunk_refused(&mut self, error: IqError) {
        if let State::Answering { id } = &self.state {
            let id = id.clone();
            self.answer(&id);
            self.end(Why::Peer { flushed: false });
        } else if !self.is_closed() {
            self.say_close();
            self.end(Why::Refused(error));
        }
    }

    /// Sends what may be sent, closes what has nothing more to send, and sets the clock.
    fn pump(&mut self, now: Instant) {
        if matches!(
            self.state,
            State::Open | State::Finishing | State::Answering { .. }
        ) {
            let mut waiting = core::mem::take(&mut self.outgoing.buffer);
            let left = self.send_chunks(&waiting).len();
            waiting.advance(waiting.len().saturating_sub(left));
            self.outgoing.buffer = waiting;
            if self.outgoing.writable_again(&self.config) && matches!(self.state, State::Open) {
                self.tell(Event::Writable);
            }
        }
        if self.outgoing.is_flushed() {
            self.flushed();
        }
        let waits = self.outgoing.is_waiting()
            || matches!(
                self.state,
                State::Opening { .. } | State::Awaiting | State::Closing { .. }
            );
        if !waits {
            self.deadline = None;
        } else if self.deadline.is_none() {
            self.arm(now);
        }
    }

    fn flushed(&mut self) {
        match &self.state {
            State::Finishing => {
                let id = self.say_close();
                self.state = State::Closing { id };
            }
            State::Answering { id } => {
                let id = id.clone();
                self.answer(&id);
                self.end(Why::Peer { flushed: true });
            }
            _ => {}
        }
    }

    fn fail(&mut self, error: Error) -> Error {
        self.say_close();
        self.end(Why::Broken(error));
        self.state = State::Closed(Some(error));
        error
    }

    fn end(&mut self, why: Why) {
        self.outgoing.discard();
        self.deadline = None;
        self.state = State::Closed(None);
        self.tell(Event::Closed(why));
    }

    fn arm(&mut self, now: Instant) {
        self.deadline = Some(now + self.config.timeout);
    }

    #[cfg(test)]
    pub(crate) fn with_sequence(mut self, outgoing: u16, incoming: u16) -> Self {
        self.outgoing.next = outgoing;
        self.incoming.expected = incoming;
        self
    }

    #[cfg(test)]
    pub(crate) fn unread(&self) -> usize {
        self.incoming.held
    }
}
