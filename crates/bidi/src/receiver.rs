//! The end that accepted the connection.
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | off | features are made, TLS there or not required | announced |
//! | off | `<bidi/>` | refused (BIDI-R9, prosody 53cde4a8a) |
//! | announced | `<bidi/>` | on |
//! | announced | `<bidi/>` behind authentication | on at once, or refused, as configured (BIDI-R4) |
//! | on | `<bidi/>` | on (BIDI-21) |
//! | any | SASL's restart | the same (BIDI-08) |
//! | any | the restart of TLS | off; all pairs forgotten (BIDI-08) |

use minidom::Element;
use onetrip_stream::{Content, Domain};

use crate::element::legacy_feature;
use crate::machine::Books;
use crate::{
    Action, Bidi, Error, Layer, Namespaces, Pair, PairError, Pairs, Restart, ReverseRefusal,
    feature,
};

/// How the receiving entity takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceiverConfig {
    /// Whether bidirectional streams are offered. Default: yes.
    pub offer: bool,
    /// Whether TLS is required; then nothing is offered or taken without (BIDI-23, BIDI-R5). Default: yes.
    pub require_tls: bool,
    /// Whether the feature is offered in the wrong namespace too (BIDI-R1). Default: no; yes for interoperation with
    /// ejabberd before PR#4581, which looks for nothing else.
    pub advertise_legacy_feature: bool,
    /// Which namespaces are taken for the request (BIDI-R1). Default: either.
    pub namespaces: Namespaces,
    /// Whether `<bidi/>` is taken behind authentication (BIDI-R4). Default: yes.
    pub accept_late_bidi: bool,
    /// How many pairs of domains one connection may carry. Default: 256.
    pub pairs: usize,
}

impl Default for ReceiverConfig {
    fn default() -> Self {
        Self {
            offer: true,
            require_tls: true,
            advertise_legacy_feature: false,
            namespaces: Namespaces::Either,
            accept_late_bidi: true,
            pairs: 256,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Off,
    Announced,
    On,
}

/// What has become of SASL. The pair it proves carries stanzas from the features behind its restart on (BIDI-10).
#[derive(Debug, Clone, PartialEq, Eq)]
enum Sasl {
    Outstanding,
    Passed(Pair),
    Restarted(Pair),
    Done,
}

/// The end that accepted the connection.
///
/// ```
/// # use onetrip_bidi::{Bidi, Layer, Pair, Receiver, ReceiverConfig};
/// # use onetrip_stream::{Content, Domain};
/// # let (capulet, montague) = (Domain::new("capulet.lit").unwrap(), Domain::new("montague.lit").unwrap());
/// let mut machine = Receiver::new(ReceiverConfig::default(), Content::Server, Layer::Tls);
/// assert_eq!(machine.announce().len(), 1); // To be put into the features.
/// machine.handle(&Bidi::default().to_element()).unwrap();
/// assert!(!machine.pairs().may_send(&montague, &capulet));
/// machine.validated(&Pair::new(capulet.clone(), montague.clone()), |name| *name == montague).unwrap();
/// assert!(machine.pairs().may_send(&montague, &capulet));
/// ```
#[derive(Debug)]
pub struct Receiver {
    config: ReceiverConfig,
    content: Content,
    layer: Layer,
    state: State,
    sasl: Sasl,
    books: Books,
}

impl Receiver {
    /// For a connection that was just accepted, with what is under it.
    #[must_use]
    pub fn new(config: ReceiverConfig, content: Content, layer: Layer) -> Self {
        Self {
            config,
            content,
            layer,
            state: State::Off,
            sasl: Sasl::Outstanding,
            books: Books::new(config.pairs),
        }
    }

    /// The next thing to do, in order.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.books.actions.pop_front()
    }

    /// What belongs into the features that are being written (BIDI-01): nothing on a client's stream, before a required
    /// TLS (BIDI-R5), or behind authentication. The pair that SASL proved carries stanzas from here on, so write the
    /// features before anything else.
    pub fn announce(&mut self) -> Vec<Element> {
        if let Sasl::Restarted(pair) = self.sasl.clone() {
            self.sasl = Sasl::Done;
            self.enter_sasl(&pair);
        }
        let wanted = self.config.offer && self.content == Content::Server;
        if !wanted || self.is_too_clear() || self.is_late() || self.state == State::On {
            return Vec::new();
        }
        self.state = State::Announced;
        let legacy = self.config.advertise_legacy_feature;
        let legacy = legacy.then(legacy_feature);
        core::iter::once(feature()).chain(legacy).collect()
    }

    /// Takes in an element that may be `<bidi/>` (BIDI-04). Behind the end it is ignored.
    ///
    /// # Errors
    /// [`Error`] when the peer broke a rule.
    pub fn handle(&mut self, element: &Element) -> Result<(), Error> {
        if !self.books.is_open() {
            return self.books.error().map_or(Ok(()), Err);
        }
        let Some(bidi) = Bidi::read(element, self.config.namespaces) else {
            return Err(self.books.fail(Error::Unknown));
        };
        if let Some(error) = self.objection() {
            return Err(self.books.fail(error));
        }
        if self.state != State::On {
            self.state = State::On;
            self.books.enable(bidi.limits);
        }
        Ok(())
    }

    fn objection(&self) -> Option<Error> {
        if self.content == Content::Client {
            return Some(Error::ClientStream);
        }
        match self.state {
            State::On => None,
            State::Off | State::Announced if self.is_too_clear() => Some(Error::Clear),
            State::Off => Some(Error::NotAnnounced),
            State::Announced if self.is_late() && !self.config.accept_late_bidi => {
                Some(Error::Late)
            }
            State::Announced => None,
        }
    }

    fn is_too_clear(&self) -> bool {
        self.config.require_tls && self.layer == Layer::Clear
    }

    fn is_late(&self) -> bool {
        self.sasl != Sasl::Outstanding || !self.books.pairs.is_empty()
    }

    /// The stream begins anew.
    pub fn restart(&mut self, restart: Restart) {
        match restart {
            Restart::Tls => {
                self.layer = Layer::Tls;
                self.state = State::Off;
                self.sasl = Sasl::Outstanding;
                self.books.clear();
            }
            Restart::Sasl => {
                if let Sasl::Passed(pair) = &self.sasl {
                    self.sasl = Sasl::Restarted(pair.clone());
                }
            }
        }
    }

    /// SASL has proved a pair: from the identity of the peer to the `to` of the stream (BIDI-12, BIDI-R2). It carries
    /// stanzas from [`Receiver::announce`] behind SASL's restart on, never earlier (BIDI-10).
    ///
    /// # Errors
    /// [`PairError`] when it cannot be entered.
    pub fn authenticated(
        &mut self,
        pair: Pair,
        hosted: impl Fn(&Domain) -> bool,
    ) -> Result<(), PairError> {
        match (hosted(&pair.from), hosted(&pair.to)) {
            (true, _) => Err(PairError::OurDomain),
            (false, false) => Err(PairError::NotOurs),
            _ if self.books.pairs.len() >= self.config.pairs => {
                Err(PairError::TooMany(self.config.pairs))
            }
            _ => {
                self.sasl = Sasl::Passed(pair);
                Ok(())
            }
        }
    }

    fn enter_sasl(&mut self, pair: &Pair) {
        // `authenticated` has seen which domain is ours, and that there is room. If dialback has filled the table since,
        // the pair is left out: nothing flows, which is the safe side.
        let _ = self.books.validate(pair, true, |name| *name == pair.to);
    }

    /// Dialback has validated a pair: one of the peer's, and our `valid` has been handed out for writing (BIDI-10,
    /// BIDI-13); or one of ours, and the peer's `valid` has come (BIDI-16). Behind an error or the end nothing is
    /// entered.
    ///
    /// # Errors
    /// [`PairError`] when it cannot be entered.
    pub fn validated(
        &mut self,
        pair: &Pair,
        hosted: impl Fn(&Domain) -> bool,
    ) -> Result<(), PairError> {
        self.books.validate(pair, true, hosted)
    }

    /// A validated pair is no longer.
    pub fn withdrawn(&mut self, pair: &Pair) {
        self.books.withdraw(pair);
    }

    /// Whether we may ask by dialback to send stanzas of this pair here: for a domain of ours, to one that the peer has
    /// proved on this connection (BIDI-14).
    ///
    /// # Errors
    /// [`ReverseRefusal`] when not.
    pub fn may_ask(
        &self,
        pair: &Pair,
        hosted: impl Fn(&Domain) -> bool,
    ) -> Result<(), ReverseRefusal> {
        if !self.books.pairs.is_bidirectional() {
            Err(ReverseRefusal::Unidirectional)
        } else if self.layer == Layer::Clear {
            Err(ReverseRefusal::Clear)
        } else if !hosted(&pair.from) {
            Err(ReverseRefusal::Sender)
        } else if !self.books.pairs.has_proved(&pair.to) {
            Err(ReverseRefusal::Target)
        } else if !self.books.pairs.has_room(&pair.from, &pair.to) {
            Err(ReverseRefusal::Full)
        } else {
            Ok(())
        }
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
