//! The client's side: which token goes out, and what becomes of the one that comes back.
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | idle, asked | [`Initiator::login`], where there is a token | tried, tried and asked |
//! | idle, tried | [`Initiator::request`], where the server has a mechanism of ours | asked, tried and asked |
//! | tried, asked, tried and asked | success, refusal | idle |

use minidom::Element;
use onetrip_stream::Token;

use crate::element;
use crate::wallet::Slot;
use crate::{DateTime, Error, Feature, Ticket, Wallet};

/// What a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// The mechanisms to ask a token for, the best first: those that bind the channel go first (XEP-0484 §6).
    pub mechanisms: Vec<String>,
    /// Whether a token may go as early data. Default: no.
    pub early: bool,
}

impl Policy {
    /// Asks for tokens of these mechanisms, in this order.
    #[must_use]
    pub fn new<T: Into<String>>(mechanisms: impl IntoIterator<Item = T>) -> Self {
        Self {
            mechanisms: mechanisms.into_iter().map(Into::into).collect(),
            early: false,
        }
    }

    /// Sends tokens as early data where the server takes them.
    #[must_use]
    pub fn with_early_data(mut self) -> Self {
        self.early = true;
        self
    }
}

/// What a login by token is made with.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Login {
    /// The secret of the mechanism.
    pub token: Token,
    /// The mechanism.
    pub mechanism: String,
    /// What rides in `<authenticate/>`.
    pub element: Element,
    /// Whether all of it may go as early data.
    pub early: bool,
}

/// One login.
///
/// ```
/// # use onetrip_fast::{DateTime, Feature, Initiator, Policy, Ticket, Wallet};
/// # use onetrip_stream::Token;
/// # let now = DateTime::from_unix_seconds(1_600_000_000);
/// let mut fast = Initiator::new(Wallet::default(), Policy::new(["HT-SHA-256-EXPR", "HT-SHA-256-NONE"]));
/// assert!(fast.login(now).is_none()); // no token yet: a password then, and
/// let request = fast.request(&Feature::new(["HT-SHA-256-NONE"])).unwrap(); // rides in <authenticate/>
/// assert_eq!(request.attr("mechanism"), Some("HT-SHA-256-NONE"));
/// ```
#[derive(Debug, Clone)]
pub struct Initiator {
    wallet: Wallet,
    policy: Policy,
    /// What was sent as a token.
    tried: Option<(Slot, String)>,
    /// The mechanism that a token was asked for.
    asked: Option<String>,
    invalidates: bool,
}

impl Initiator {
    /// A login with what was kept.
    #[must_use]
    pub fn new(wallet: Wallet, policy: Policy) -> Self {
        Self {
            wallet,
            policy,
            tried: None,
            asked: None,
            invalidates: false,
        }
    }

    /// What is to be kept. It changes with every call that takes `&mut self`; an attempt that may go as early data must
    /// be kept before it is sent, or its count could go out twice.
    #[must_use]
    pub fn wallet(&self) -> &Wallet {
        &self.wallet
    }

    /// The same, to be kept for good.
    #[must_use]
    pub fn into_wallet(self) -> Wallet {
        self.wallet
    }

    /// What the server offers has been seen: whether it takes tokens as early data is kept. Says whether that is news.
    pub fn offered(&mut self, feature: Option<&Feature>) -> bool {
        let early = feature.is_some_and(|feature| feature.early);
        let news = early != self.wallet.takes_early();
        self.wallet.set_early(early);
        news
    }

    /// Whether a login would go as early data: the client allows it, the server was last seen to take it, and there is a
    /// token whose mechanism can.
    #[must_use]
    pub fn goes_early(&self, now: DateTime) -> bool {
        self.policy.early && self.wallet.may_go_early(now)
    }

    /// Ends the token with this login, as when the user logs out (§3.6).
    pub fn invalidate(&mut self) {
        self.invalidates = true;
    }

    /// Begins a login by token; `None` without one that is good. It counts the attempt (§3.4).
    ///
    /// The features that were remembered say whether it may go as early data: [`Initiator::offered`].
    pub fn login(&mut self, now: DateTime) -> Option<Login> {
        let early = self.goes_early(now);
        let slot = self.wallet.slot(now)?;
        let ticket = self.wallet.count(slot)?;
        self.tried = Some((slot, ticket.mechanism.clone()));
        Some(Login {
            element: element::fast(ticket.count, self.invalidates),
            token: ticket.token,
            mechanism: ticket.mechanism,
            early,
        })
    }

    /// Asks for a token, for the first mechanism of ours that the server has; `None` where it has none (§3.2). Where tokens
    /// are to go as early data, for one that can, if there is one.
    pub fn request(&mut self, feature: &Feature) -> Option<Element> {
        let early = self.policy.early && self.wallet.takes_early();
        let ours = self.policy.mechanisms.iter();
        let mut usable = ours.filter(|mechanism| feature.offers(mechanism));
        let able = usable
            .clone()
            .find(|mechanism| early && element::is_unbound(mechanism));
        let mechanism = able.or_else(|| usable.next())?;
        self.asked = Some(mechanism.clone());
        Some(element::request_token(mechanism))
    }

    /// The server accepted us; this is what came with it. Returns whether a token came that is to be kept.
    ///
    /// A token that nobody asked for is left alone, unless it is one in the place of the one that was used (§3.5).
    ///
    /// # Errors
    /// [`Error`] when it is malformed. The token that was used is still good.
    pub fn handle(&mut self, inline: &[Element]) -> Result<bool, Error> {
        let tried = self.tried.take();
        if let Some((slot, _)) = &tried {
            self.wallet.used(*slot);
            if self.invalidates {
                self.wallet.clear();
            }
        }
        let rotated = tried.filter(|_| !self.invalidates);
        let mechanism = self
            .asked
            .take()
            .or(rotated.map(|(_, mechanism)| mechanism));
        let token = element::only(inline, "token")?;
        let token = token.map(element::read_token).transpose()?;
        let (Some((token, expiry)), Some(mechanism)) = (token, mechanism) else {
            return Ok(false);
        };
        self.wallet.put(Ticket::new(token, &mechanism, expiry));
        Ok(true)
    }

    /// The server refused us: a token that was tried is forgotten, and another way is next (§4.1). Not for a refusal
    /// that blames nobody's credentials, such as another configuration.
    pub fn refused(&mut self) {
        self.asked = None;
        if let Some((slot, _)) = self.tried.take() {
            self.wallet.forget(slot);
        }
    }
}
