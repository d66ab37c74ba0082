//! Who may send what on a connection between servers: one owner of the table of pairs, one way out of it.

mod dialback;
mod exchange;

use minidom::Element;
use onetrip_bidi as bidi;
use onetrip_bidi::{Layer, Pairs, Restart, Trust};
use onetrip_dialback::Gone;
use onetrip_stream::{Condition, Content, Domain, Env, Head, Pair, Stanza, ns};

use crate::order::Facts;
use crate::shell::Shell;
use crate::{ErrorKind, Event, InboundConfig, OutboundConfig, Reason, TlsInfo, UsageError};
use dialback::Dialback;

/// The machine of this end.
#[derive(Debug)]
enum End {
    Initiator(bidi::Initiator),
    Receiver(bidi::Receiver),
}

/// What is known of the other server.
#[derive(Debug)]
pub(crate) struct Peering {
    hosted: Vec<Domain>,
    tls: TlsInfo,
    end: End,
    dialback: Option<Dialback>,
}

impl Peering {
    pub(crate) fn outbound(config: &OutboundConfig) -> Self {
        let mut hosted = config.hosted.clone();
        if !hosted.contains(&config.local) {
            hosted.push(config.local.clone());
        }
        let machine = bidi::Initiator::new(config.bidi, Content::Server, Layer::Clear);
        Self {
            hosted,
            tls: TlsInfo::new(),
            end: End::Initiator(machine),
            dialback: config.dialback.as_ref().map(|dialback| {
                Dialback::new(dialback, config.connection, Some(config.remote.clone()))
            }),
        }
    }

    pub(crate) fn inbound(config: &InboundConfig) -> Self {
        let mut bidi = config.bidi;
        bidi.require_tls = true;
        let machine = bidi::Receiver::new(bidi, Content::Server, Layer::Clear);
        Self {
            hosted: config.domains.clone(),
            tls: TlsInfo::new(),
            end: End::Receiver(machine),
            dialback: config
                .dialback
                .as_ref()
                .map(|dialback| Dialback::new(dialback, config.connection, None)),
        }
    }

    /// TLS is up: nothing learnt in clear survives (BIDI-03, BIDI-08).
    pub(crate) fn secured(&mut self, tls: TlsInfo) {
        self.tls = tls;
        if let Some(dialback) = &mut self.dialback {
            dialback.forget();
        }
        self.restart(Restart::Tls);
    }

    /// The stream begins anew.
    pub(crate) fn restart(&mut self, restart: Restart) {
        match &mut self.end {
            End::Initiator(machine) => machine.restart(restart),
            End::Receiver(machine) => machine.restart(restart),
        }
    }

    pub(crate) fn hosts(&self, domain: &Domain) -> bool {
        self.hosted.contains(domain)
    }

    /// Whether the certificate of the other server proves a domain, which is none of ours (digest §6.2).
    pub(crate) fn proves(&self, domain: &Domain) -> bool {
        self.tls.proves(domain) && !self.hosts(domain)
    }

    pub(crate) fn pairs(&self) -> &Pairs {
        match &self.end {
            End::Initiator(machine) => machine.pairs(),
            End::Receiver(machine) => machine.pairs(),
        }
    }

    /// BIDI-10, BIDI-12, BIDI-13: nothing goes out for a pair that is not open.
    pub(crate) fn check_outgoing(&self, head: &Head) -> Result<(), UsageError> {
        self.pairs()
            .check_outgoing(head)
            .map_err(|blocked| match blocked {
                bidi::Blocked::Address(_) => UsageError::NoAddress,
                _ => UsageError::PairNotOpen,
            })
    }

    fn poll_action(&mut self) -> Option<bidi::Action> {
        match &mut self.end {
            End::Initiator(machine) => machine.poll_action(),
            End::Receiver(machine) => machine.poll_action(),
        }
    }

    /// What belongs into the features that are being written, or none of it.
    pub(crate) fn announce(&mut self) -> Vec<Element> {
        match &mut self.end {
            End::Receiver(machine) => machine.announce(),
            End::Initiator(_) => Vec::new(),
        }
    }

    /// Takes in the features of the peer.
    pub(crate) fn features(&mut self, features: &Element) {
        if let End::Initiator(machine) = &mut self.end {
            machine.features(features);
        }
        if let Some(dialback) = &mut self.dialback {
            dialback.features(features);
        }
    }

    /// No features have arrived: what is remembered of them has to do (BIDI-06).
    pub(crate) fn remember(&mut self, announced: bool) {
        match &mut self.end {
            End::Initiator(machine) if announced => machine.remembered(),
            End::Initiator(machine) => machine.features(&Element::bare("features", ns::STREAMS)),
            End::Receiver(_) => {}
        }
    }

    /// SASL has proved a pair to us (BIDI-12).
    pub(crate) fn authenticated(&mut self, pair: Pair) -> Result<(), bidi::PairError> {
        let hosted = &self.hosted;
        match &mut self.end {
            End::Receiver(machine) => {
                machine.authenticated(pair, |domain| hosted.contains(domain))?;
                machine.restart(Restart::Sasl);
                Ok(())
            }
            End::Initiator(_) => Ok(()),
        }
    }

    /// A pair is valid.
    fn validated(&mut self, pair: &Pair) -> Result<(), bidi::PairError> {
        let hosted = |domain: &Domain| self.hosted.contains(domain);
        let theirs = if hosted(&pair.from) {
            &pair.to
        } else {
            &pair.from
        };
        let trust = self.trust(theirs);
        match &mut self.end {
            End::Initiator(machine) => machine.validated(pair, trust, hosted),
            End::Receiver(machine) => machine.validated(pair, hosted),
        }
    }

    /// What is known of a domain of the other server.
    fn trust(&self, theirs: &Domain) -> Trust {
        if self.tls.proves(theirs) {
            Trust::Certificate
        } else {
            Trust::Dns
        }
    }
}

impl Shell {
    /// Right before authentication: the last moment for `<bidi/>` (BIDI-05).
    pub(crate) fn request_bidi(&mut self, remote: &Domain) {
        if let Some(peering) = &mut self.peering {
            let trust = peering.trust(remote);
            if let End::Initiator(machine) = &mut peering.end {
                // Features, or memory of them, are there before anything authenticates.
                let _ = machine.authenticating(trust);
            }
        }
        self.drain_peering();
    }

    /// An element of bidi.
    pub(crate) fn on_bidi(&mut self, element: &Element) {
        let Some(peering) = &mut self.peering else {
            return;
        };
        let result = match &mut peering.end {
            End::Initiator(machine) => machine.handle(element),
            End::Receiver(machine) => machine.handle(element),
        };
        self.drain_peering();
        if let Err(error) = result {
            self.fail(ErrorKind::Bidi(error));
        }
    }

    /// A pair is valid: what that opens is said.
    pub(crate) fn validated(&mut self, pair: &Pair) {
        let Some(peering) = &mut self.peering else {
            return;
        };
        if let Err(error) = peering.validated(pair) {
            let pair = pair.clone();
            self.event(Event::PairUnusable { pair, error });
        }
        self.drain_peering();
    }

    /// Whether a stanza may come in; if not, the stream has to end (BIDI-17).
    pub(crate) fn check_incoming(&self, stanza: &Stanza) -> Result<(), ErrorKind> {
        match &self.peering {
            Some(peering) => peering
                .pairs()
                .check_incoming(stanza.head())
                .map_err(ErrorKind::Intrusion),
            None => Ok(()),
        }
    }

    /// Carries out what the table of pairs asks for.
    pub(crate) fn drain_peering(&mut self) {
        while let Some(action) = self
            .peering
            .as_mut()
            .and_then(|peering| peering.poll_action())
        {
            match action {
                bidi::Action::Send(element) => self.element(&element),
                bidi::Action::Event(bidi::Event::Enabled { limits }) => {
                    self.event(Event::Bidirectional { limits });
                }
                bidi::Action::Event(bidi::Event::Unidirectional(why)) => {
                    self.event(Event::Unidirectional(why));
                }
                bidi::Action::Event(bidi::Event::Changed(change)) => {
                    self.event(Event::Pair(change));
                }
                _ => {}
            }
        }
    }

    /// Something has come or gone, or is about to: the connection is in use (BIDI-20).
    pub(crate) fn active(&mut self) {
        let over = self.is_closed() || self.sending.ended || !self.facts.have(Facts::BOUND);
        if let (Some(idle), Some(_), false) = (self.bounds.idle, &self.peering, over) {
            self.timers.set(Reason::Idle, self.now + idle);
        }
    }

    /// Neither direction has been used for long: closes, unless dialback waits for something. What the peer has sent until
    /// its own footer still comes in.
    pub(crate) fn on_idle(&mut self, env: &Env<'_>) {
        if self.timers.is_set(Reason::Dialback) {
            self.active();
        } else {
            self.close(env);
        }
    }

    /// The connection is over: whatever was opened here is closed, and nothing else (prosody 72b4209cf).
    pub(crate) fn end_peering(&mut self, end: &crate::End) {
        let gone = match end {
            crate::End::PeerError(error) if error.condition == Condition::HostUnknown => {
                Gone::HostUnknown
            }
            _ => Gone::Closed,
        };
        self.end_dialback(gone);
        match self.peering.as_mut().map(|peering| &mut peering.end) {
            Some(End::Initiator(machine)) => machine.end(),
            Some(End::Receiver(machine)) => machine.end(),
            None => return,
        }
        self.drain_peering();
    }
}

/// Whether an element is `<bidi/>`, in whichever namespace (BIDI-R1).
pub(crate) fn is_bidi(element: &Element) -> bool {
    element.is("bidi", ns::BIDI) || element.is("bidi", ns::BIDI_FEATURE)
}
