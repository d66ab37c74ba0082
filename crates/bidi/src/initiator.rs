//! The end that opened the connection.
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | waiting | features with `<bidi/>`, or memory of them | announced |
//! | waiting, announced | features without it | absent |
//! | waiting | authentication | refused to the caller: features come first (vanaheimr S9) |
//! | announced | authentication, TLS there or not required | `<bidi/>` is sent; requested |
//! | announced, absent | authentication otherwise | passed: never sent late (BIDI-R4) |
//! | requested | SASL's restart | requested (BIDI-08) |
//! | waiting, announced, absent | SASL's restart, a validated pair | passed |
//! | any | the restart of TLS | waiting; all pairs forgotten (BIDI-03, BIDI-08) |

use minidom::Element;
use onetrip_stream::{Content, Domain};

use crate::machine::Books;
use crate::{
    Action, Bidi, Error, Event, Layer, Namespaces, Pair, PairError, Pairs, Restart, ReverseClaim,
    ReverseRefusal, ReverseVerdict, StreamLimits, Why,
};

/// How the initiating entity takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct InitiatorConfig {
    /// Whether bidirectional streams are asked for. Default: yes.
    pub request: bool,
    /// Whether TLS is required (BIDI-23). Default: yes.
    pub require_tls: bool,
    /// Whether stanzas come in only from peers that proved themselves by certificate, not by DNS alone (BIDI-17).
    /// Default: no.
    pub require_certificate: bool,
    /// Whether the peer may prove further domains (BIDI-15). Default: yes.
    pub accept_reverse: bool,
    /// Which namespaces are taken for the feature (BIDI-R1). Default: either.
    pub namespaces: Namespaces,
    /// What to say about our limits in `<bidi/>` (XEP-0478 §3.2). Default: nothing.
    pub limits: Option<StreamLimits>,
    /// How many pairs of domains one connection may carry. Default: 256.
    pub pairs: usize,
}

impl Default for InitiatorConfig {
    fn default() -> Self {
        Self {
            request: true,
            require_tls: true,
            require_certificate: false,
            accept_reverse: true,
            namespaces: Namespaces::Either,
            limits: None,
            pairs: 256,
        }
    }
}

/// How we know that the peer is the one we wanted to reach (BIDI-17).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Trust {
    /// DNS led us there, or dialback, which rests on DNS.
    Dns,
    /// Its certificate covers its domain.
    Certificate,
}

/// Authentication must wait for the features, or the stream could never become bidirectional. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected the features of this stream to be known: authenticate when they have come")]
pub struct FeaturesUnknown;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Announced,
    Absent,
    Requested,
    Passed,
}

/// The end that opened the connection.
///
/// ```
/// # use onetrip_bidi::{Action, Initiator, InitiatorConfig, Layer, Pair, Trust, feature};
/// # use onetrip_stream::{Build as _, Content, Domain, ns};
/// # use minidom::Element;
/// # let (capulet, montague) = (Domain::new("capulet.lit").unwrap(), Domain::new("montague.lit").unwrap());
/// let mut machine = Initiator::new(InitiatorConfig::default(), Content::Server, Layer::Tls);
/// machine.features(&Element::bare("features", ns::STREAMS).with_child(feature()));
/// machine.authenticating(Trust::Dns).unwrap(); // Right before <auth/> or db:result.
/// assert!(matches!(machine.poll_action(), Some(Action::Send(bidi)) if bidi.is("bidi", ns::BIDI)));
/// let pair = Pair::new(capulet.clone(), montague.clone());
/// machine.validated(&pair, Trust::Certificate, |name| *name == capulet).unwrap();
/// assert!(machine.pairs().may_receive(&montague, &capulet));
/// ```
#[derive(Debug)]
pub struct Initiator {
    config: InitiatorConfig,
    content: Content,
    layer: Layer,
    state: State,
    books: Books,
}

impl Initiator {
    /// For a connection that was just opened, with what is under it.
    #[must_use]
    pub fn new(config: InitiatorConfig, content: Content, layer: Layer) -> Self {
        Self {
            config,
            content,
            layer,
            state: State::Waiting,
            books: Books::new(config.pairs),
        }
    }

    /// The next thing to do, in order.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.books.actions.pop_front()
    }

    /// Takes in `<stream:features/>`. An empty element will do for a peer that has none.
    pub fn features(&mut self, features: &Element) {
        if matches!(
            self.state,
            State::Waiting | State::Announced | State::Absent
        ) {
            self.state = if self.config.namespaces.announced(features) {
                State::Announced
            } else {
                State::Absent
            };
        }
    }

    /// The features of this stream are remembered to announce it, as read under TLS (BIDI-06).
    pub fn remembered(&mut self) {
        if self.state == State::Waiting {
            self.state = State::Announced;
        }
    }

    /// Authentication begins now: the last moment for `<bidi/>` (BIDI-05). Call it before every `<auth/>` and every
    /// first `db:result`; it asks once. `trust` is about the domain that the stream is to: nobody is asked to send who would
    /// not be heard (BIDI-17).
    ///
    /// # Errors
    /// [`FeaturesUnknown`] when neither features nor memory of them are there.
    pub fn authenticating(&mut self, trust: Trust) -> Result<(), FeaturesUnknown> {
        let obstacle = match self.state {
            State::Requested | State::Passed => return Ok(()),
            _ if self.content == Content::Client => Some(Why::ClientStream),
            _ if !self.config.request => Some(Why::NotWanted),
            _ if self.is_too_clear() => Some(Why::Clear),
            _ if self.config.require_certificate && trust != Trust::Certificate => {
                Some(Why::Unproven)
            }
            State::Waiting => return Err(FeaturesUnknown),
            State::Absent => Some(Why::NotAnnounced),
            State::Announced => None,
        };
        if let Some(why) = obstacle {
            self.state = State::Passed;
            self.books.note(Event::Unidirectional(why));
        } else if self.books.is_open() {
            self.state = State::Requested;
            let limits = self.config.limits;
            self.books.say(&Bidi { limits });
            self.books.enable(None);
        }
        Ok(())
    }

    /// Whether this pair may be asked for by dialback on this stream. `trust` is about the peer's domain of it: on a
    /// bidirectional stream the peer sends stanzas of its inverse as soon as it has said `valid`, and nobody is asked to send
    /// who would not be heard (BIDI-17).
    ///
    /// # Errors
    /// [`ReverseRefusal::NotCertified`] when such stanzas would not be taken, [`ReverseRefusal::Full`] when the pair could not
    /// be entered.
    pub fn may_ask(&self, pair: &Pair, trust: Trust) -> Result<(), ReverseRefusal> {
        let heard = trust == Trust::Certificate || !self.config.require_certificate;
        if !heard && self.books.pairs.is_bidirectional() {
            Err(ReverseRefusal::NotCertified)
        } else if !self.books.pairs.has_room(&pair.from, &pair.to) {
            Err(ReverseRefusal::Full)
        } else {
            Ok(())
        }
    }

    fn is_too_clear(&self) -> bool {
        self.config.require_tls && self.layer == Layer::Clear
    }

    /// The stream begins anew.
    pub fn restart(&mut self, restart: Restart) {
        match restart {
            Restart::Tls => {
                self.layer = Layer::Tls;
                self.state = State::Waiting;
                self.books.clear();
            }
            Restart::Sasl => self.pass(),
        }
    }

    /// Takes in an element that may be `<bidi/>`: the receiving entity has nothing to ask for. Behind the end it is
    /// ignored.
    ///
    /// # Errors
    /// [`Error`], always: the peer broke a rule.
    pub fn handle(&mut self, element: &Element) -> Result<(), Error> {
        if !self.books.is_open() {
            return self.books.error().map_or(Ok(()), Err);
        }
        let error = match Bidi::read(element, Namespaces::Either) {
            Some(_) if self.content == Content::Client => Error::ClientStream,
            Some(_) => Error::WrongEnd,
            None => Error::Unknown,
        };
        Err(self.books.fail(error))
    }

    /// A pair is valid: the peer accepts ours, by SASL or with `valid` for an answer, or has proved one of its own by
    /// reverse dialback and was told so. `trust` is about the peer's domain of the pair. Behind an error or the end
    /// nothing is entered.
    ///
    /// # Errors
    /// [`PairError`] when it cannot be entered.
    pub fn validated(
        &mut self,
        pair: &Pair,
        trust: Trust,
        hosted: impl Fn(&Domain) -> bool,
    ) -> Result<(), PairError> {
        let trusted = trust == Trust::Certificate || !self.config.require_certificate;
        self.books.validate(pair, trusted, hosted)?;
        self.pass();
        Ok(())
    }

    /// Something was authenticated: if it has not been asked for by now, it never is (BIDI-R4).
    fn pass(&mut self) {
        if self.state != State::Requested {
            self.state = State::Passed;
        }
    }

    /// A validated pair is no longer.
    pub fn withdrawn(&mut self, pair: &Pair) {
        self.books.withdraw(pair);
    }

    /// What becomes of a `db:result` without `type` that arrives here (BIDI-15, digest §6.2).
    pub fn judge(&self, claim: &ReverseClaim) -> ReverseVerdict {
        let refusal = if !self.books.pairs.is_bidirectional() {
            ReverseRefusal::Unidirectional
        } else if !self.config.accept_reverse {
            ReverseRefusal::NotWanted
        } else if self.layer == Layer::Clear {
            ReverseRefusal::Clear
        } else if claim.sender_is_ours {
            ReverseRefusal::Sender
        } else if !claim.target_is_ours || !self.books.pairs.is_accepted(&claim.pair.to) {
            ReverseRefusal::Target
        } else if claim.certified {
            return ReverseVerdict::Certified;
        } else if self.config.require_certificate {
            ReverseRefusal::NotCertified
        } else if !claim.id_is_fresh {
            ReverseRefusal::IdReused
        } else if !claim.same_address {
            ReverseRefusal::Address
        } else {
            return ReverseVerdict::DialBack;
        };
        ReverseVerdict::Refuse(refusal)
    }

    /// Who may send what. While stanzas may come in, the end of the stream is waited for (prosody 421697060,
    /// 494b53ce0).
    #[must_use]
    pub fn pairs(&self) -> &Pairs {
        &self.books.pairs
    }

    /// The connection has ended: closes what this machine opened, and nothing else (prosody 72b4209cf).
    pub fn end(&mut self) {
        self.books.end();
    }
}
