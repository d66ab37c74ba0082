//! A server's side of a connection that another server has opened.
//!
//! | state | takes | leads to |
//! |---|---|---|
//! | clear | header, `<starttls/>` | TLS |
//! | secured | header, `<bidi/>`, SASL EXTERNAL | restart, or the attempts run out |
//! | secured | dialback, if the peer has bound its prefix | a pair is open, when the certificate or the authoritative server proves it (XEP-0344, XEP-0220) |
//! | authenticated | header | the pair that SASL has proved is open (BIDI-10, BIDI-12) |
//! | open | stanzas of open pairs (BIDI-17) | |
//!
//! For EXTERNAL, who the other server is follows from its certificate alone, so nothing has to be asked: it is offered only where
//! the certificate proves the `from` of the header (XEP-0178 §3).

use minidom::Element;
use onetrip_negotiation::{sasl, starttls};
use onetrip_quickstart::{Stage, Transport, pipelining};
use onetrip_stream::{
    Condition, Content, Domain, Env, Jid, Pair, ReadError, Stanza, StreamHeader, ns,
};

use super::{
    OTHER_ADDRESS, Refused, features, proceed, response, served, stage_of, tail, takes_leftover,
    unexpected,
};
use crate::connection::negotiation_deadline;
use crate::order::{self, Facts, Step};
use crate::peering::{Peering, is_bidi};
use crate::shell::Shell;
use crate::{ErrorKind, Event, InboundConfig, Reason, TlsInfo};

/// See the module.
#[derive(Debug)]
pub(crate) struct Receiver {
    config: InboundConfig,
    starttls: starttls::Receiver,
    sasl: Option<sasl::Receiver>,
    /// The domain this stream is for, once known; it may not change across restarts (CVE-2018-10847).
    domain: Option<Domain>,
    /// Whom the header claims to come from.
    from: Option<Domain>,
    /// Whether SASL has failed last, so that a tail may be on its way (QS-R5).
    refused: bool,
    /// Whom SASL has proved.
    authenticated: Option<Domain>,
}

impl Receiver {
    pub(crate) fn start(config: InboundConfig, env: &mut Env<'_>) -> (Self, Shell) {
        let mut shell = Shell::new(
            Content::Server,
            StreamHeader::new(Content::Server),
            config.bounds.clone(),
            config.quickstart.held,
        );
        shell.tracing = config.trace;
        shell.now = env.now;
        shell.peering = Some(Box::new(Peering::inbound(&config)));
        negotiation_deadline(&mut shell, env.now);
        if config.transport == Transport::DirectTls {
            shell.upgrade_sending();
            shell.upgrade_receiving();
        }
        let this = Self {
            config,
            starttls: starttls::Receiver::new(),
            sasl: None,
            domain: None,
            from: None,
            refused: false,
            authenticated: None,
        };
        this.prepare(env, &mut shell);
        (this, shell)
    }

    /// Whether bytes behind `<starttls/>` may be the beginning of TLS (QS-R6).
    pub(crate) fn takes_leftover(&self) -> bool {
        takes_leftover(self.config.transport, &self.config.quickstart)
    }

    /// Makes ready for a new document.
    fn prepare(&self, env: &mut Env<'_>, shell: &mut Shell) {
        let domain = self.domain.as_ref().or(self.config.domains.first());
        shell.restart_sending(response(env, Content::Server, domain));
    }

    pub(crate) fn on_header(&mut self, shell: &mut Shell, header: &StreamHeader) {
        if let Err((what, condition)) = self.accept_header(shell, header) {
            return shell.fail(ErrorKind::Header { what, condition });
        }
        if let Some(response) = &mut shell.sending.unsent {
            response.from = self.domain.clone().map(Jid::from_domain);
            // RFC 6120 §4.7.2: between servers it must be there, if the peer has said who it is.
            response.to = self.from.clone().map(Jid::from_domain);
            response.dialback = self.config.dialback.is_some();
            let authenticated = self.authenticated.is_some();
            if let Some(peering) = &mut shell.peering {
                peering.begin_stream(response.id.as_deref(), header.dialback, authenticated);
            }
        }
        shell.open();
        let stage = stage_of(shell);
        if stage == Stage::Secured {
            self.prepare_sasl(shell);
        }
        let features = self.features(shell, stage);
        shell.element(&features);
        shell.drain_peering();
        if stage == Stage::Authenticated {
            self.establish(shell);
        }
    }

    /// Checks a header against what is served and what the peer has proved.
    fn accept_header(&mut self, shell: &Shell, header: &StreamHeader) -> Result<(), Refused> {
        let domain = served(shell, header, &self.config.domains, self.domain.as_ref())?;
        if header
            .from
            .as_ref()
            .is_some_and(|from| from.local().is_some())
        {
            return Err((
                "expected a server's address, got a user's",
                Condition::InvalidFrom,
            ));
        }
        let from = header.from.as_ref().map(|from| from.domain().clone());
        let proved = self.authenticated.as_ref().zip(from.as_ref());
        if proved.is_some_and(|(proved, from)| proved != from) {
            return Err(OTHER_ADDRESS);
        }
        self.domain = Some(domain);
        self.from = from.or(self.authenticated.clone());
        Ok(())
    }

    /// EXTERNAL depends on whom the header names, so it is made with each.
    fn prepare_sasl(&mut self, shell: &Shell) {
        let proved = self.proves_from(shell);
        let offered = vec![sasl::Mechanism::External];
        let mut config = sasl::ReceiverConfig::new(offered);
        if !self.config.external {
            config.offered.clear();
        }
        self.sasl = Some(sasl::Receiver::new(&config, None, proved));
    }

    fn proves_from(&self, shell: &Shell) -> bool {
        let peering = shell.peering.as_ref().zip(self.from.as_ref());
        peering.is_some_and(|(peering, from)| peering.proves(from))
    }

    /// The features of a stage (QS-10, BIDI-01).
    fn features(&self, shell: &mut Shell, stage: Stage) -> Element {
        let mut children = Vec::new();
        match stage {
            Stage::Clear => children.push(starttls::feature(starttls::Offer::Required)),
            Stage::Secured if self.config.external && self.proves_from(shell) => {
                children.extend(self.sasl.iter().flat_map(sasl::Receiver::features));
            }
            Stage::Secured | Stage::Authenticated => {}
        }
        if let Some(peering) = &mut shell.peering {
            if stage != Stage::Clear && peering.has_dialback() {
                children.push(onetrip_dialback::feature());
            }
            children.extend(peering.announce());
        }
        if self.config.quickstart.advertise {
            children.push(pipelining());
        }
        children.extend(self.config.features.iter().cloned());
        features(children)
    }

    fn establish(&mut self, shell: &mut Shell) {
        shell.facts.reach(Facts::BOUND);
        shell.timers.stop(Reason::Negotiation);
        if let Some(peer) = self.authenticated.clone() {
            shell.event(Event::Established {
                peer,
                provisional: false,
            });
        }
    }

    pub(crate) fn on_element(&mut self, env: &mut Env<'_>, shell: &mut Shell, element: &Element) {
        let step = if element.has_ns(ns::TLS) {
            Step::StartTls
        } else if element.has_ns(ns::SASL) {
            Step::Sasl
        } else if is_bidi(element) {
            return shell.on_bidi(element);
        } else if element.has_ns(ns::DIALBACK) {
            if let Err(problem) = shell.on_dialback(env, element) {
                shell.fail(problem);
            }
            return;
        } else {
            return unexpected(shell, element.name(), Condition::UnsupportedStanzaType);
        };
        if let Err(condition) = order::check(step, shell.facts) {
            return unexpected(shell, element.name(), condition);
        }
        match step {
            Step::StartTls => self.on_starttls(env, shell, element),
            _ => self.on_sasl(env, shell, element),
        }
    }

    fn on_starttls(&mut self, env: &mut Env<'_>, shell: &mut Shell, element: &Element) {
        if proceed(&mut self.starttls, shell, element) {
            self.prepare(env, shell);
        }
    }

    pub(crate) fn on_secured(&mut self, shell: &mut Shell, info: TlsInfo) {
        self.domain = None;
        self.from = None;
        if let Some(peering) = &mut shell.peering {
            peering.secured(info);
        }
    }

    fn on_sasl(&mut self, env: &mut Env<'_>, shell: &mut Shell, element: &Element) {
        if shell.sending.ended {
            return; // Nothing can be said any more, so nobody is authenticated.
        }
        let Some(sasl) = self.sasl.as_mut() else {
            return unexpected(shell, element.name(), Condition::NotAuthorized);
        };
        let result = sasl.handle(env, sasl::ReceiverInput::Element(element));
        while let Some(action) = self.sasl.as_mut().and_then(sasl::Receiver::poll_action) {
            self.on_sasl_action(env, shell, action);
        }
        if let Err(error) = result {
            shell.fail(ErrorKind::Sasl(error));
        }
    }

    fn on_sasl_action(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        action: sasl::ReceiverAction,
    ) {
        match action {
            sasl::ReceiverAction::Send(element) => shell.element(&element),
            sasl::ReceiverAction::Request(request) => {
                let answer = self.decide(shell, &request);
                if let Some(sasl) = self.sasl.as_mut() {
                    // An answer is never an error.
                    let _ = sasl.handle(env, sasl::ReceiverInput::Answer(answer));
                }
            }
            sasl::ReceiverAction::Event(sasl::ReceiverEvent::Authenticated {
                mechanism,
                identity,
            }) => self.on_authenticated(env, shell, mechanism, &identity),
            sasl::ReceiverAction::Event(sasl::ReceiverEvent::Refused { exhausted, .. }) => {
                self.refused = true;
                if exhausted {
                    shell.fail(ErrorKind::TooManyAttempts);
                }
            }
            _ => {}
        }
    }

    fn decide(&self, shell: &Shell, request: &sasl::Request) -> sasl::Answer {
        let (sasl::Request::Certificate { authzid }, Some(peering)) = (request, &shell.peering)
        else {
            return sasl::Answer::Refuse(sasl::Refusal::InvalidMechanism);
        };
        sasl::between_servers(authzid.as_deref(), self.from.as_ref(), |domain| {
            peering.proves(domain)
        })
    }

    fn on_authenticated(
        &mut self,
        env: &mut Env<'_>,
        shell: &mut Shell,
        mechanism: sasl::Mechanism,
        identity: &str,
    ) {
        let (Some(peer), Some(domain)) = (Domain::new(identity), self.domain.clone()) else {
            return;
        };
        let pair = Pair::new(peer.clone(), domain);
        if let Some(Err(error)) = shell
            .peering
            .as_mut()
            .map(|peering| peering.authenticated(pair))
        {
            return shell.fail(ErrorKind::Pair(error));
        }
        self.refused = false;
        self.authenticated = Some(peer.clone());
        shell.facts.reach(Facts::AUTHENTICATED);
        shell.restart_receiving();
        shell.event(Event::Authenticated {
            mechanism,
            identity: Some(Jid::from_domain(peer)),
        });
        self.prepare(env, shell);
    }

    pub(crate) fn on_stanza(&mut self, shell: &mut Shell, stanza: Stanza) {
        if let Err(condition) = order::check(Step::Stanza, shell.facts) {
            return unexpected(shell, stanza.head().kind.name(), condition);
        }
        match shell.check_incoming(&stanza) {
            Ok(()) => shell.event(Event::Stanza(stanza)),
            Err(intrusion) => shell.fail(intrusion),
        }
    }

    pub(crate) fn translate(&self, error: ReadError) -> ErrorKind {
        tail(self.refused, error)
    }
}
