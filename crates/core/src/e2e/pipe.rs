//! The transport that was chosen, as a pipe of bytes: a socket, or an in-band bytestream.
//!
//! Until it is known what its bytes are, TLS or the stream's own, they wait: in the bytestream, which then slows its peer
//! down, or here, bounded.

use bytes::{Buf as _, Bytes, BytesMut};
use onetrip_jingle_xmlstream::ibb::{self, Bytestream};
use onetrip_jingle_xmlstream::s5b::Link;
use onetrip_stream::{Instant, Stanza};

use crate::UsageError;

/// How much may come over a socket before it is known to be the one and what its bytes are: what the peer sends ahead of
/// its signalling.
pub(super) const AHEAD: usize = 64 * 1024;

/// What the transport's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    /// Not to be looked at.
    Shut,
    /// TLS.
    Tls,
    /// The stream's own.
    Plain,
}

#[derive(Debug)]
enum Transport {
    None,
    Socket(Link),
    InBand(Box<Bytestream>),
    Gone,
}

/// What the pipe tells.
#[derive(Debug)]
pub(super) enum Told {
    /// Send this stanza.
    Send(Stanza),
    /// The in-band bytestream is open.
    Opened,
    /// Bytes of the peer's.
    Arrived(Bytes),
    /// There is room again.
    Writable,
    /// Nothing flows any more.
    Closed,
}

#[derive(Debug)]
pub(super) struct Pipe {
    transport: Transport,
    pub(super) layer: Layer,
    /// What came over the socket and was not looked at.
    incoming: BytesMut,
    /// What the in-band bytestream has no room for.
    waiting: BytesMut,
    /// Whether somebody was refused for want of room.
    refused: bool,
    /// Whether the in-band bytestream is to be closed behind what waits.
    finishing: bool,
    closed: bool,
}

impl Pipe {
    pub(super) fn new() -> Self {
        Self {
            transport: Transport::None,
            layer: Layer::Shut,
            incoming: BytesMut::new(),
            waiting: BytesMut::new(),
            refused: false,
            finishing: false,
            closed: false,
        }
    }

    pub(super) fn is_chosen(&self) -> bool {
        !matches!(self.transport, Transport::None)
    }

    pub(super) fn link(&self) -> Option<Link> {
        match self.transport {
            Transport::Socket(link) => Some(link),
            _ => None,
        }
    }

    /// Whether bytes of ours are on their way that an in-band bytestream has not had acknowledged.
    pub(super) fn is_busy(&self) -> bool {
        match &self.transport {
            Transport::InBand(stream) => {
                !stream.is_closed() && (!self.waiting.is_empty() || !stream.is_flushed())
            }
            _ => false,
        }
    }

    pub(super) fn use_socket(&mut self, link: Link, held: Bytes) {
        self.transport = Transport::Socket(link);
        self.incoming.extend_from_slice(&held);
    }

    pub(super) fn use_in_band(&mut self, stream: Bytestream) {
        self.transport = Transport::InBand(Box::new(stream));
    }

    /// The socket is gone, or to be closed by whoever calls this.
    pub(super) fn forget(&mut self) -> Option<Link> {
        let link = self.link();
        self.transport = Transport::Gone;
        link
    }

    /// Bytes came over the socket; `false` when they are more than is held.
    pub(super) fn arrived(&mut self, bytes: &[u8]) -> bool {
        self.incoming.extend_from_slice(bytes);
        self.layer != Layer::Shut || self.incoming.len() <= AHEAD
    }

    /// Bytes for the peer; what goes to a socket comes out.
    pub(super) fn carry(&mut self, now: Instant, bytes: &[u8]) -> Option<(Link, Bytes)> {
        match &mut self.transport {
            Transport::Socket(link) => Some((*link, Bytes::copy_from_slice(bytes))),
            Transport::InBand(stream) => {
                // What waits goes first, and then there is no room.
                let taken = match self.waiting.is_empty() {
                    true => stream.write(now, bytes),
                    false => 0,
                };
                let rest = bytes.get(taken..).unwrap_or_default();
                self.waiting.extend_from_slice(rest);
                self.flush(now);
                None
            }
            Transport::None | Transport::Gone => None,
        }
    }

    /// # Errors
    /// [`UsageError::Full`] when so much waits already.
    pub(super) fn check_room(&mut self, backlog: usize) -> Result<(), UsageError> {
        self.refused = self.waiting.len() >= backlog;
        if self.refused {
            return Err(UsageError::Full);
        }
        Ok(())
    }

    fn flush(&mut self, now: Instant) {
        let Transport::InBand(stream) = &mut self.transport else {
            return;
        };
        if !self.waiting.is_empty() {
            let taken = stream.write(now, &self.waiting);
            self.waiting.advance(taken);
        }
        if self.finishing && self.waiting.is_empty() {
            stream.close(now);
        }
    }

    /// Closes an in-band bytestream behind everything that was written; any other transport is closed at once.
    pub(super) fn finish(&mut self, now: Instant) {
        self.finishing = true;
        match &self.transport {
            Transport::InBand(stream) if !stream.is_closed() => self.flush(now),
            _ => self.closed = true,
        }
    }

    /// Takes in an iq or message; `false` when it is not for this transport.
    pub(super) fn handle(&mut self, now: Instant, stanza: &Stanza) -> bool {
        match &mut self.transport {
            // What the peer did wrong has been answered, and ends the transport.
            Transport::InBand(stream) => stream.handle(now, stanza).unwrap_or(true),
            _ => false,
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match &self.transport {
            Transport::InBand(stream) => stream.poll_timeout(),
            _ => None,
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Transport::InBand(stream) = &mut self.transport {
            stream.handle_timeout(now);
        }
    }

    pub(super) fn poll(&mut self, now: Instant) -> Option<Told> {
        if let Some(told) = self.poll_in_band(now) {
            return Some(told);
        }
        if self.layer != Layer::Shut {
            if !self.incoming.is_empty() {
                return Some(Told::Arrived(self.incoming.split().freeze()));
            }
            if let Some(bytes) = self.read(now) {
                return Some(Told::Arrived(bytes));
            }
        }
        // Last: what came before the end is read.
        core::mem::take(&mut self.closed).then_some(Told::Closed)
    }

    fn poll_in_band(&mut self, now: Instant) -> Option<Told> {
        loop {
            let Transport::InBand(stream) = &mut self.transport else {
                return None;
            };
            match stream.poll_action()? {
                ibb::Action::Send(stanza) => return Some(Told::Send(stanza)),
                ibb::Action::Event(ibb::Event::Opened) => return Some(Told::Opened),
                ibb::Action::Event(ibb::Event::Writable) => {
                    self.flush(now);
                    if self.waiting.is_empty() && core::mem::take(&mut self.refused) {
                        return Some(Told::Writable);
                    }
                }
                ibb::Action::Event(ibb::Event::Closed(_)) => self.closed = true,
                _ => {}
            }
        }
    }

    fn read(&mut self, now: Instant) -> Option<Bytes> {
        match &mut self.transport {
            Transport::InBand(stream) => stream.read(now),
            _ => None,
        }
    }
}
