//! What both machines ask for, report and refuse.

use std::collections::VecDeque;

use minidom::Element;
use onetrip_stream::{Condition, Domain, StreamError};

use crate::{Bidi, Change, Pair, PairError, Pairs, StreamLimits};

/// What the caller must do, in order.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "an action that is not carried out leaves the two ends of different minds"]
#[non_exhaustive]
pub enum Action {
    /// Send this element. It has no answer, so what follows may share its write (BIDI-06).
    Send(Element),
    /// Take note.
    Event(Event),
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The stream is bidirectional from here on. Nothing flows before a pair is validated (BIDI-10).
    Enabled {
        /// What the initiating entity takes; known to the receiving one only (XEP-0478 §3.2).
        limits: Option<StreamLimits>,
    },
    /// The stream stays unidirectional ([`Initiator`](crate::Initiator)).
    Unidirectional(Why),
    /// Stanzas may or may no longer go out or come in.
    Changed(Change),
}

/// Why a stream stays unidirectional.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Why {
    /// It is not wanted.
    NotWanted,
    /// The peer does not announce it (BIDI-06).
    NotAnnounced,
    /// TLS is required and not there (BIDI-23).
    Clear,
    /// A certificate is required that proves the peer's domain, and there is none (BIDI-17).
    Unproven,
    /// A stream between a client and a server (BIDI-21).
    ClientStream,
}

/// What is under the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layer {
    /// Nothing.
    Clear,
    /// TLS, whether negotiated or direct.
    Tls,
}

/// After what a stream begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Restart {
    /// TLS was negotiated: all is forgotten (BIDI-08).
    Tls,
    /// SASL was passed: all is kept (BIDI-08).
    Sasl,
}

/// The peer broke a rule. Final: no stanza goes out or comes in any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another element than `<bidi/>`.
    #[error("expected `<bidi/>`, got another element of its namespace")]
    Unknown,
    /// `<bidi/>` between a client and a server (BIDI-21).
    #[error("expected `<bidi/>` between servers only, got it on a client's stream")]
    ClientStream,
    /// `<bidi/>` from the receiving entity (BIDI-21).
    #[error(
        "expected `<bidi/>` from the end that opened the connection, got it from the one that accepted it"
    )]
    WrongEnd,
    /// `<bidi/>` before TLS where TLS is required (BIDI-23, prosody 53cde4a8a).
    #[error("expected TLS before `<bidi/>`, got it in clear")]
    Clear,
    /// `<bidi/>` that was not announced on this stream (BIDI-R9).
    #[error("expected no `<bidi/>` on a stream that does not announce it, got one")]
    NotAnnounced,
    /// `<bidi/>` behind authentication, where that is not taken (BIDI-R4).
    #[error("expected `<bidi/>` before authentication, got it behind")]
    Late,
}

impl Error {
    /// The stream error to answer with (RFC 6120 §4.9.3.24).
    #[must_use]
    pub fn stream_error(&self) -> StreamError {
        StreamError::new(Condition::UnsupportedStanzaType)
    }

    /// The section that was violated.
    #[must_use]
    pub const fn source_section(&self) -> &'static str {
        match self {
            Self::Unknown | Self::NotAnnounced => "RFC 6120 §4.9.3.24",
            Self::ClientStream | Self::WrongEnd | Self::Clear | Self::Late => "XEP-0288 §2.2",
        }
    }
}

/// Whether a machine still takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Open,
    Failed(Error),
    Ended,
}

/// What both machines keep.
#[derive(Debug)]
pub(crate) struct Books {
    pub(crate) pairs: Pairs,
    pub(crate) actions: VecDeque<Action>,
    standing: Standing,
}

impl Books {
    pub(crate) fn new(allowed: usize) -> Self {
        Self {
            pairs: Pairs::new(allowed),
            actions: VecDeque::new(),
            standing: Standing::Open,
        }
    }

    pub(crate) fn say(&mut self, bidi: &Bidi) {
        self.actions.push_back(Action::Send(bidi.to_element()));
    }

    pub(crate) fn note(&mut self, event: Event) {
        self.actions.push_back(Action::Event(event));
    }

    fn changed(&mut self, changes: Vec<Change>) {
        let events = changes.into_iter().map(Event::Changed).map(Action::Event);
        self.actions.extend(events);
    }

    pub(crate) fn enable(&mut self, limits: Option<StreamLimits>) {
        self.note(Event::Enabled { limits });
        let changes = self.pairs.set_bidirectional(true);
        self.changed(changes);
    }

    /// Behind a failure or the end nothing is entered: a late outcome must not become a route that leads nowhere
    /// (prosody 72b4209cf).
    pub(crate) fn validate(
        &mut self,
        pair: &Pair,
        trusted: bool,
        hosted: impl Fn(&Domain) -> bool,
    ) -> Result<(), PairError> {
        if self.is_open() {
            let changes = self.pairs.validate(pair, trusted, hosted)?;
            self.changed(changes);
        }
        Ok(())
    }

    pub(crate) fn withdraw(&mut self, pair: &Pair) {
        let changes = self.pairs.withdraw(pair);
        self.changed(changes);
    }

    pub(crate) fn clear(&mut self) {
        let changes = self.pairs.clear();
        self.changed(changes);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.standing == Standing::Open
    }

    /// The first error, for every later call.
    pub(crate) fn error(&self) -> Option<Error> {
        match self.standing {
            Standing::Failed(error) => Some(error),
            Standing::Open | Standing::Ended => None,
        }
    }

    pub(crate) fn fail(&mut self, error: Error) -> Error {
        self.standing = Standing::Failed(error);
        self.clear();
        error
    }

    pub(crate) fn end(&mut self) {
        if self.is_open() {
            self.standing = Standing::Ended;
        }
        self.clear();
    }
}
