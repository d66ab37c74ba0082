//! What all connections share: who is online, whose sessions wait, and where a stanza goes.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use minidom::Element;
use onetrip_core::negotiation::sasl;
use onetrip_core::quickstart::Transport;
use onetrip_core::stream::{Content, Domain, Jid, Secret, Stanza, StanzaKind, ns};
use onetrip_core::stream_management as sm;
use onetrip_core::{InstantResume, Registry, Sasl2Offer, ServerConfig};
use tokio::sync::{mpsc, oneshot};

use super::Settings;
use super::federation::rescoped;
use super::queries::{caps, error_to};
use crate::environment::{Clock, date};

/// What reaches a connection from elsewhere in the server.
pub(super) enum Letter {
    /// A stanza to send.
    Stanza(Stanza),
    /// Another connection goes on with the session of this one, and takes its letters from here on.
    HandOver(oneshot::Sender<Option<Box<sm::Session>>>, Mailbox),
    /// Another connection has bound the same address (RFC 6120 §7.7.2.2).
    Replaced,
}

pub(super) type Mailbox = mpsc::Sender<Letter>;

/// What changes.
pub(super) struct State {
    pub(super) online: BTreeMap<Jid, Mailbox>,
    /// By session: the connection that has it.
    pub(super) holders: BTreeMap<String, Mailbox>,
    pub(super) registry: Registry,
}

/// What all connections share.
pub(super) struct Hub {
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    /// Takes what is for other servers, if there are any.
    abroad: Option<mpsc::Sender<Stanza>>,
    /// Takes what is for the proxy, if there is one.
    pub(super) proxy: Option<(Domain, mpsc::Sender<Element>)>,
    decoy: Vec<u8>,
    state: Mutex<State>,
}

/// How many sessions of one account wait. Many: all clients of a test often share theirs.
const PLACES: usize = 4096;

impl Hub {
    pub(super) fn new(
        settings: Settings,
        decoy: Vec<u8>,
        abroad: Option<mpsc::Sender<Stanza>>,
        proxy: Option<(Domain, mpsc::Sender<Element>)>,
    ) -> Self {
        let clock = Clock::new();
        let mut registry = Registry::new(settings.resume_for).per_account(PLACES);
        registry.set_date(clock.now(), date());
        Self {
            settings,
            clock,
            abroad,
            proxy,
            decoy,
            state: Mutex::new(State {
                online: BTreeMap::new(),
                holders: BTreeMap::new(),
                registry,
            }),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn config(&self, transport: Transport) -> ServerConfig {
        use sasl::Mechanism::{
            External, Plain, ScramSha1, ScramSha1Plus, ScramSha256, ScramSha256Plus,
        };
        let offered = vec![
            ScramSha256Plus,
            ScramSha1Plus,
            ScramSha256,
            ScramSha1,
            External,
            Plain,
        ];
        let mut receiver = sasl::ReceiverConfig::new(offered);
        receiver.decoy = Some(Secret::new(self.decoy.clone()));
        receiver.decoy_iterations = 4096;
        let mut config = ServerConfig::new(self.settings.domains.clone(), transport, receiver);
        config.quickstart.advertise = self.settings.pipelining;
        config.management = Some(sm::Config::default());
        config.instant_resume = self.settings.tokens.then(InstantResume::default);
        if self.settings.sasl2 {
            let mut offer = Sasl2Offer::default();
            offer.fast = self.settings.tokens;
            offer.early = self.settings.tokens;
            config.sasl2 = Some(offer);
        }
        config.features = vec![caps()];
        config.features_authenticated = vec![Element::bare("ver", ns::ROSTER_VERSIONING)];
        config
    }

    /// RFC 6121 §8.5: to the resource named, or to all of the account; to those whose connection was cut as well, for
    /// when they come back. Whether it reached anybody.
    pub(super) fn deliver(&self, stanza: &Stanza, to: &Jid) -> bool {
        let wanted = |jid: &Jid| match to.resource() {
            Some(_) => jid == to,
            None => jid.same_bare(to) && stanza.head().kind != StanzaKind::Iq,
        };
        let mut reached = self.deliver_online(stanza, wanted);
        let mut state = self.state();
        let mut waiting: Vec<Jid> = state
            .registry
            .waiting()
            .filter(|jid| wanted(jid) && !state.online.contains_key(*jid))
            .cloned()
            .collect();
        waiting.dedup();
        for owner in waiting {
            reached |= state.registry.push(&owner, stanza.bytes().clone());
        }
        reached
    }

    /// To another server.
    ///
    /// # Errors
    /// The condition of the error that its sender gets.
    pub(super) fn send_abroad(&self, element: &Element) -> Result<(), &'static str> {
        let Some(abroad) = &self.abroad else {
            return Err("remote-server-not-found");
        };
        let stanza = Stanza::from_element(element).ok();
        let stanza = stanza
            .and_then(|stanza| rescoped(&stanza, Content::Server))
            .ok_or("bad-request")?;
        abroad.try_send(stanza).map_err(|_| "resource-constraint")
    }

    fn deliver_online(&self, stanza: &Stanza, wanted: impl Fn(&Jid) -> bool) -> bool {
        let state = self.state();
        let mut reached = false;
        for (_, mailbox) in state.online.iter().filter(|(jid, _)| wanted(jid)) {
            reached |= mailbox.try_send(Letter::Stanza(stanza.clone())).is_ok();
        }
        reached
    }

    /// A stanza that its addressee never had: a message goes to whoever of the account is here, and anything that can be
    /// answered goes back as an error, once.
    pub(super) fn undelivered(&self, owner: &Jid, bytes: &Bytes) {
        let Ok(stanza) = Stanza::parse(bytes, Content::Client) else {
            return;
        };
        let message = stanza.head().kind == StanzaKind::Message;
        if message && self.deliver_online(&stanza, |jid| jid.same_bare(owner)) {
            return;
        }
        let sender = stanza.head().from.as_deref().map(str::parse::<Jid>);
        let error = error_to(&stanza.element(), "service-unavailable");
        let error = error.and_then(|error| Stanza::from_element(&error).ok());
        if let (Some(Ok(sender)), Some(error)) = (sender, error) {
            self.deliver(&error, &sender);
        }
    }

    /// What sessions hold that are over goes elsewhere or back.
    pub(super) fn disperse(&self, sessions: Vec<sm::Session>) {
        for session in sessions {
            let owner = session.owner.clone();
            for entry in session.into_entries() {
                self.undelivered(&owner, &entry.bytes);
            }
        }
    }

    /// Sees to sessions whose time is over.
    pub(super) async fn expire(&self) {
        loop {
            let now = self.clock.now();
            let expired = self.state().registry.expire(now);
            self.disperse(expired);
            // However the clock of the system has been set.
            self.state().registry.set_date(now, date());
            let next = self.state().registry.next_expiry();
            let wait = next.map_or(Duration::from_secs(5), |next| next.since(now));
            tokio::time::sleep(wait.clamp(Duration::from_millis(50), Duration::from_secs(5))).await;
        }
    }
}
