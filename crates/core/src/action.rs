//! What a connection asks of its caller, strictly in this order.

use bytes::Bytes;
use onetrip_bidi as bidi;
use onetrip_dialback as dialback;
use onetrip_fast as fast;
use onetrip_isr::{Claim, KeyGrant, KeySwap, Refused, Swap, TokenHash};
use onetrip_negotiation::{bind, sasl};
use onetrip_quickstart::{Broken, Report};
use onetrip_stream::{Domain, Jid, Pair, ResponderProof, Stanza, StreamError};
use onetrip_stream_management as sm;
use onetrip_zero_handshake as zh;

use crate::{Error, Installation, Resumption, TaskPrompt, TaskReply, TaskStep, TaskVerdict, Unit};

/// What the caller must do next.
///
/// Writes that follow one another join into one, up to the next barrier ([`Action::UpgradeSend`],
/// [`Action::Close`], a gap). Requests and events overtake a write that is still joining; answering a request at
/// once, before the next `poll_action`, is what lets the answer ride in the same write.
#[must_use = "an action that is not carried out leaves the peer waiting"]
#[non_exhaustive]
pub enum Action {
    /// Write these bytes through whatever layer the sending half is on.
    Transmit(Bytes),
    /// From here on the sending half goes through TLS: begin the handshake if it has not begun.
    UpgradeSend,
    /// Write these bytes as early data of TLS 1.3 (RFC 8446 §2.3), in the flight of the ClientHello, if the TLS session can
    /// take all of them; otherwise leave them. [`TlsInfo::early_data`](crate::TlsInfo::early_data) has to say whether the
    /// peer has taken them: if not, they come again as [`Action::Transmit`]. They are one login by token, whose count
    /// makes a replay harmless (XEP-0484 §3.4); nothing else is ever sent so.
    TransmitEarly(Bytes),
    /// From here on the receiving half comes through TLS: bytes that `receive` has not consumed belong to it.
    UpgradeReceive,
    /// Decide or compute something, and `answer`.
    Request(Request),
    /// Take note of something. Ignoring every event is legal.
    Event(Event),
    /// Hand this to the [`Entity`](crate::Entity).
    Entity(EntityEvent),
    /// A unit was sent or received; only while tracing is on.
    Trace(Unit),
    /// Write everything, then close the transport. The last action, but for a session that was found too late for this
    /// connection and comes out again as an [`Action::Entity`].
    Close,
}

impl core::fmt::Debug for Action {
    /// What is written may hold a password or a token: its length alone is shown.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Transmit(bytes) => write!(f, "Transmit({} bytes)", bytes.len()),
            Self::TransmitEarly(bytes) => write!(f, "TransmitEarly({} bytes)", bytes.len()),
            Self::UpgradeSend => f.write_str("UpgradeSend"),
            Self::UpgradeReceive => f.write_str("UpgradeReceive"),
            Self::Request(request) => f.debug_tuple("Request").field(request).finish(),
            Self::Event(event) => f.debug_tuple("Event").field(event).finish(),
            Self::Entity(event) => f.debug_tuple("Entity").field(event).finish(),
            Self::Trace(unit) => f.debug_tuple("Trace").field(unit).finish(),
            Self::Close => f.write_str("Close"),
        }
    }
}

/// Something that needs the outside; answered by [`Connection::answer`](crate::Connection::answer).
#[derive(Debug)]
#[non_exhaustive]
pub enum Request {
    /// Derive a key from a password, which may take long: answer with [`Answer::Derived`].
    Derive(sasl::Derivation),
    /// Decide about credentials: answer with [`Answer::Sasl`].
    Sasl {
        /// The domain that the stream is for.
        domain: Domain,
        /// What to decide.
        request: sasl::Request,
    },
    /// Choose a resource: answer with [`Answer::Bind`].
    Bind {
        /// The bare address that authenticated.
        account: Jid,
        /// What is asked for.
        request: bind::Request,
    },
    /// Grant stream management, with an unguessable id if the session may be resumed, or not: answer with
    /// [`Answer::Enable`].
    Enable {
        /// The full address of the client.
        owner: Jid,
        /// Whether resumption is wanted.
        resume: bool,
        /// For how long, in seconds.
        max: Option<u32>,
        /// What the token will be found by that goes out with a session that may be resumed: to be stored before the
        /// answer (ISR-02).
        token: Option<TokenHash>,
        /// The key that goes out with it, of another text than the first: to be stored as well.
        key: Option<KeyGrant>,
    },
    /// Find the session and take it from wherever it is, the old connection included
    /// ([`Connection::hand_over`](crate::Connection::hand_over)): answer with [`Answer::Session`] or
    /// [`Answer::NoSession`] (XEP-0198 §5).
    Resume {
        /// The bare address that authenticated, or has proved the key of the session.
        account: Jid,
        /// The name of the session.
        previd: String,
    },
    /// The same for a session that is named by a token alone, which is replaced in the same step (ISR-24): of two
    /// nodes that ask for the same token at once, one must be refused. Answer as [`Request::Resume`].
    InstantResume {
        /// The domain that the stream is for.
        domain: Domain,
        /// Whom the header claims to come from: the owner of the token, or nobody gets anything (ISR-27).
        account: Option<Jid>,
        /// What is shown, and what to put in its place.
        swap: Swap,
    },
    /// Check the proof of a key and replace it, in one step (ISR 0.0.2, XEP-0397): answer with [`Answer::KeySwap`].
    /// [`Keys::swap`](onetrip_isr::Keys::swap) does it. If it is good, [`Request::Resume`] is next.
    KeySwap {
        /// Whom the header or the mechanism names: the owner of the session, or nobody gets anything (ISR-27).
        account: Option<Jid>,
        /// What is proved, and what to put in the place of the key.
        swap: KeySwap,
    },
    /// Hand out a token behind a login: answer with [`Answer::FastIssued`] (XEP-0484 §3.3). [`fast::Tokens::issue`] does it.
    FastIssue(fast::Issue),
    /// Check a token and replace it if that is due, in one step: answer with [`Answer::FastSwap`] (XEP-0484 §5).
    /// [`fast::Tokens::swap`] does it.
    FastSwap(fast::Swap),
    /// A client has to do more than its mechanism, and can ([`Sasl2Login::tasks`](crate::Sasl2Login::tasks)): answer with
    /// [`Answer::TaskReply`] (XEP-0388 §2.6.3). What the server says meanwhile waits.
    TaskPrompt(TaskPrompt),
    /// Decide whether a client has to do more than its mechanism, and whether it has
    /// ([`Sasl2Offer::tasks`](crate::Sasl2Offer::tasks)): answer with [`Answer::TaskVerdict`].
    TaskStep {
        /// The bare address that it has proved to be.
        account: Jid,
        /// How far it is.
        step: TaskStep,
    },
    /// Have a key verified over another connection ([`Connection::verifier`](crate::Connection::verifier), or
    /// [`Connection::verify`](crate::Connection::verify) on one that there is): the outcome goes to
    /// [`Connection::verified`](crate::Connection::verified). Meanwhile the stream goes on.
    Verify(dialback::Verification),
    /// Look up where a key of ours waits for its answer, by [`Connection::awaits`](crate::Connection::awaits) of every
    /// connection: answer with [`Answer::Awaited`].
    Vouch {
        /// The pair that the key is for.
        pair: Pair,
        /// The stream on which it was presented.
        id: dialback::StreamId,
    },
    /// The peer wants to prove another domain on a connection that we opened (BIDI-15): look up where that domain resolves
    /// to, and whether the stream id is on another live stream; the outcome goes to
    /// [`Connection::judged`](crate::Connection::judged). Meanwhile the stream goes on.
    Reverse {
        /// The pair.
        pair: Pair,
        /// The id of this stream.
        id: dialback::StreamId,
    },
}

/// What is known of a reverse request (digest §6.2). Nothing is taken for good unless it is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReverseFacts {
    /// The sender resolves to the address and port of this connection (the test of XEP-0220 §2.6.2).
    pub resolves_here: bool,
    /// The stream id is on no other live stream.
    pub fresh_id: bool,
}

/// The answer to a [`Request`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Answer {
    /// To [`Request::Derive`].
    Derived(sasl::SaltedPassword),
    /// To [`Request::Sasl`].
    Sasl(sasl::Answer),
    /// To [`Request::Bind`].
    Bind(bind::Answer),
    /// To [`Request::Enable`]; `None` refuses.
    Enable(Option<sm::Granted>),
    /// To [`Request::Resume`] and [`Request::InstantResume`]: the session is the connection's from here on.
    Session(Box<sm::Session>),
    /// To [`Request::KeySwap`]: what proves the server, or why not, for the log.
    KeySwap(Result<ResponderProof, Refused>),
    /// To [`Request::FastIssue`]: when the token ends.
    FastIssued(fast::DateTime),
    /// To [`Request::FastSwap`].
    FastSwap(Result<fast::Accepted, fast::Refused>),
    /// To [`Request::TaskPrompt`].
    TaskReply(TaskReply),
    /// To [`Request::TaskStep`].
    TaskVerdict(TaskVerdict),
    /// To [`Request::Vouch`].
    Awaited(dialback::Awaited),
    /// To [`Request::Resume`] too: there is none, or it is somebody else's, with what is remembered of its count.
    NoSession {
        /// How many stanzas had been handled in it.
        h: Option<sm::Count>,
    },
}

impl From<sasl::SaltedPassword> for Answer {
    fn from(key: sasl::SaltedPassword) -> Self {
        Self::Derived(key)
    }
}

impl From<sasl::Answer> for Answer {
    fn from(decision: sasl::Answer) -> Self {
        Self::Sasl(decision)
    }
}

impl From<bind::Answer> for Answer {
    fn from(decision: bind::Answer) -> Self {
        Self::Bind(decision)
    }
}

/// Something that happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// TLS is up.
    Secured,
    /// SASL succeeded; on the receiving side with the identity that the caller accepted.
    Authenticated {
        /// The mechanism.
        mechanism: sasl::Mechanism,
        /// The bare address, on the receiving side.
        identity: Option<Jid>,
    },
    /// The peer refused our credentials, and nothing else was in flight that could be to blame (QS-29).
    AuthenticationRefused(sasl::Failure),
    /// The peer offered no mechanism that may be used.
    NoMechanism {
        /// What it offered.
        offered: Vec<String>,
    },
    /// The server demands one of these tasks besides the mechanism, and none of them is known here: the login is given up,
    /// and [`Event::AuthenticationRefused`] follows (XEP-0388 §2.6.3).
    UnknownTasks {
        /// What it demanded.
        offered: Vec<String>,
    },
    /// Binding a resource was refused; [`Connection::bind`](crate::Connection::bind) tries again (QS-28).
    BindRefused(bind::Refusal),
    /// Stanzas may be sent: a resource is bound, or a session goes on.
    Online {
        /// The full address of the client.
        jid: Jid,
        /// Whether a stanza must be answered before this can be relied on (QS-R10).
        provisional: bool,
        /// Whether an earlier session goes on: nothing is to be fetched or said anew (XEP-0198 §5, ISR-19).
        resumed: bool,
    },
    /// The negotiation with another server is over: stanzas go where pairs are open ([`Event::Pair`]). On a link, where
    /// none was needed, for all that was agreed with the peer of this main domain.
    Established {
        /// The domain of the other end that was negotiated with.
        peer: Domain,
        /// Whether a stanza must be answered before this can be relied on (QS-R10).
        provisional: bool,
    },
    /// Stanzas of a pair may, or may no longer, go out or come in here. Every pair that was opened is closed once.
    Pair(bidi::Change),
    /// A pair of domains cannot be used here, whatever the peer says.
    PairUnusable {
        /// The pair.
        pair: Pair,
        /// Why.
        error: bidi::PairError,
    },
    /// The stream is bidirectional from here on (XEP-0288).
    Bidirectional {
        /// What the initiating entity takes; known to the receiving one only (XEP-0478 §3.2).
        limits: Option<bidi::StreamLimits>,
    },
    /// Dialback: a pair that was asked for was refused, a verification has ended, and the like.
    Dialback(dialback::Event),
    /// What happened on a zero-handshake link: it closes, something was dropped, and the like.
    Link(zh::Event),
    /// A stanza that was not agreed has come in on a link and is to be answered (ZH-11): send the answer as any other, on
    /// whichever connection its turn is; [`AgreedPeer`](crate::AgreedPeer) does.
    Bounce {
        /// What was wrong.
        why: zh::Invalid,
        /// The answer.
        answer: Stanza,
    },
    /// The stream stays unidirectional (the initiating entity).
    Unidirectional(bidi::Why),
    /// What was provisional has proved true.
    Confirmed,
    /// A stanza from the peer. Where stanzas are counted, [`Connection::handled`](crate::Connection::handled) has to
    /// be called when it has been dealt with.
    Stanza(Stanza),
    /// What has become of stream management, and of stanzas that were sent: acknowledged, failed, handed back.
    Management(sm::Event),
    /// The server would not resume the session by its token; the login goes on, and asks for it in the usual way.
    InstantResumeRefused {
        /// The stanza error condition, if one was given.
        condition: Option<String>,
    },
    /// A token was shown in clear: whoever keeps the tokens must revoke it (ISR-R5; the receiving side).
    TokenExposed(Claim),
    /// The proof of a key was shown in clear, with the name of its session: whoever keeps the keys must revoke it (ISR-R5; the
    /// receiving side).
    ProofExposed {
        /// The name of the session.
        session: String,
    },
    /// The client has the new token: the old one need not be kept any longer (ISR-R3; the receiving side).
    TokenConfirmed {
        /// The name of the session.
        session: String,
    },
    /// The peer ended the stream with an error.
    PeerError(StreamError),
    /// It is over; [`Action::Close`] follows. Exactly once.
    Closed(End),
}

/// Why a connection is over.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum End {
    /// Both sides closed their streams.
    Clean,
    /// The transport ended without the stream being closed.
    Cut,
    /// The peer sent a stream error.
    PeerError(StreamError),
    /// The peer broke a rule.
    Failed(Error),
    /// The session goes on over another connection ([`Connection::hand_over`](crate::Connection::hand_over)).
    HandedOver,
    /// Negotiation was refused by one side: credentials or TLS.
    Refused,
    /// Something that was assumed proved wrong: connect again, with the plan that
    /// [`Entity::handle`](crate::Entity::handle) returns.
    Abandoned(Broken),
}

/// What a connection has to tell the entity that outlives it; opaque, but for reports to people and for servers, which
/// keep the sessions of their clients themselves.
#[derive(Debug)]
pub struct EntityEvent(pub(crate) Lesson);

/// See [`EntityEvent`].
#[derive(Debug)]
pub(crate) enum Lesson {
    Report(Box<Report>),
    /// With how many stanzas that had arrived and were not said to be handled.
    Suspended(Box<Resumption>, u32),
    /// What is to be kept for the next login by token.
    Tokens(Box<Installation>),
    /// A session that was granted here is over, for good.
    Over {
        id: String,
        owner: Jid,
        h: sm::Count,
    },
}

impl EntityEvent {
    pub(crate) fn report_of(report: Box<Report>) -> Self {
        Self(Lesson::Report(report))
    }

    pub(crate) fn suspended(resumption: Box<Resumption>, again: u32) -> Self {
        Self(Lesson::Suspended(resumption, again))
    }

    /// How many of the last stanzas that were handed out come again when the session is resumed, because they were not
    /// said to be handled: whoever still has them drops them.
    #[must_use]
    pub fn again(&self) -> u32 {
        match &self.0 {
            Lesson::Suspended(_, again) => *again,
            _ => 0,
        }
    }

    pub(crate) fn tokens(installation: Installation) -> Self {
        Self(Lesson::Tokens(Box::new(installation)))
    }

    /// What is to be kept for the next login by token, in the place of what was, if that is what it is about: for who has no
    /// entity.
    #[must_use]
    pub fn installation(&self) -> Option<&Installation> {
        match &self.0 {
            Lesson::Tokens(installation) => Some(installation),
            _ => None,
        }
    }

    pub(crate) fn over(id: String, owner: Jid, h: sm::Count) -> Self {
        Self(Lesson::Over { id, owner, h })
    }

    /// So many of them have been dropped.
    pub fn note_dropped(&mut self, stanzas: u32) {
        if let Lesson::Suspended(_, again) = &mut self.0 {
            *again = again.saturating_sub(stanzas);
        }
    }

    /// What the attempt taught, for logs and tables.
    #[must_use]
    pub fn report(&self) -> Option<&Report> {
        match &self.0 {
            Lesson::Report(report) => Some(report),
            _ => None,
        }
    }

    /// The session that was cut off, if that is what it is about, to look at.
    #[must_use]
    pub fn resumption(&self) -> Option<&Resumption> {
        match &self.0 {
            Lesson::Suspended(resumption, _) => Some(resumption),
            _ => None,
        }
    }

    /// The session that was cut off, if that is what it is about: a server keeps it for its client.
    #[must_use]
    pub fn into_resumption(self) -> Option<Resumption> {
        match self.0 {
            Lesson::Suspended(resumption, _) => Some(*resumption),
            _ => None,
        }
    }
}
