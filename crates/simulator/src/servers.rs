//! Two servers: how they are configured, and the second connection over which a key of dialback is verified.

use std::sync::Arc;

use onetrip_core::dialback::{ConnectionId, Verification};
use onetrip_core::quickstart::{Key, Plan, Transport};
use onetrip_core::stream::{Content, Domain, Env, Instant, Secret};
use onetrip_core::{Connection, DialbackConfig, Entity, InboundConfig, OutboundConfig};
use onetrip_tls::Secured;
use onetrip_tls::rustls::RustlsSession;
use onetrip_tls::rustls::rustls::{ClientConfig as TlsClient, ServerConfig as TlsServer};
use onetrip_trace::Party;

use crate::certificates::PEER;
use crate::end::End;
use crate::entropy::Seeded;
use crate::run::{Lab, LabError, PATIENCE, Settings};
use crate::strategy::{Answers, Proof, Strategy};

/// What a key of ours is made from.
const SECRET: &str = "s3cr3tf0rd14lb4ck";

/// All that the second connection takes, should there be one.
#[derive(Debug)]
pub(crate) struct Second<'a> {
    lab: &'a Lab,
    peer: Domain,
    transport: Transport,
    plan: Plan,
    dialback: DialbackConfig,
    tls: (Arc<TlsClient>, Arc<TlsServer>),
    seed: u64,
}

impl Lab {
    /// What two servers are configured with.
    pub(crate) fn peers(
        &self,
        strategy: &Strategy,
    ) -> Result<(OutboundConfig, InboundConfig), LabError> {
        let local = Domain::new(PEER).ok_or(LabError::Address)?;
        let (remote, transport) = (self.domain.clone(), strategy.transport());
        let mut outbound = OutboundConfig::new(ConnectionId(1), local, remote, transport);
        outbound.bidi.request = strategy.answers() == Some(Answers::Bidi);
        outbound.bounds.negotiation = PATIENCE;
        outbound.trace = true;
        let mut inbound = InboundConfig::new(ConnectionId(2), vec![self.domain.clone()], transport);
        inbound.quickstart.advertise = self.pipelining;
        inbound.bounds.negotiation = PATIENCE;
        inbound.trace = true;
        if strategy.proof().is_some_and(Proof::is_dialback) {
            outbound.certificate = false;
            outbound.dialback = Some(dialback());
            inbound.dialback = Some(dialback());
        }
        Ok((outbound, inbound))
    }

    /// What verifying a key takes, planned by what the other server remembers of this one.
    pub(crate) fn second(
        &self,
        strategy: &Strategy,
        entity: &Entity,
        settings: &Settings,
    ) -> Result<Second<'_>, LabError> {
        let peer = Domain::new(PEER).ok_or(LabError::Address)?;
        let transport = strategy.transport();
        let key = Key::new(peer.clone(), None, transport);
        let mut dialback = dialback();
        dialback.verify_in_clear = strategy.proof() == Some(Proof::DialbackInClear);
        Ok(Second {
            lab: self,
            plan: entity.cache().plan(&key, entity.policy()),
            peer,
            transport,
            dialback,
            tls: self.certificates.servers_back(settings.tls, false)?,
            seed: settings.seed,
        })
    }
}

fn dialback() -> DialbackConfig {
    DialbackConfig::new(Secret::from(SECRET))
}

impl<'a> Second<'a> {
    /// The two ends of the connection, TCP being there: who verifies, and who vouches. `None` where it cannot be made.
    pub(crate) fn connect(
        &self,
        verification: &Verification,
        now: Instant,
    ) -> Option<[End<'a>; 2]> {
        let mut seeds = Seeded::new(self.seed.wrapping_add(1));
        let (mut one, mut other) = (Seeded::new(seeds.number()), Seeded::new(seeds.number()));
        let pair = verification.pair.inverse();
        let (local, remote) = (pair.from, pair.to);
        let mut outbound = OutboundConfig::new(ConnectionId(3), local, remote, self.transport);
        outbound.dialback = Some(self.dialback.clone());
        outbound.certificate = false;
        outbound.bounds.negotiation = PATIENCE;
        outbound.trace = true;
        let env = &mut Env::new(now, &mut one);
        let verifier = Connection::verifier(outbound, self.plan.clone(), verification, env).ok()?;
        let mut inbound =
            InboundConfig::new(ConnectionId(4), vec![self.peer.clone()], self.transport);
        inbound.dialback = Some(self.dialback.clone());
        inbound.quickstart.advertise = self.lab.pipelining;
        inbound.bounds.negotiation = PATIENCE;
        inbound.trace = true;
        let authority = Connection::inbound(inbound, &mut Env::new(now, &mut other));
        let client = RustlsSession::client(Arc::clone(&self.tls.0), &self.peer).ok()?;
        let server = RustlsSession::server(Arc::clone(&self.tls.1)).ok()?;
        let end =
            |party, secured, entropy| End::new(party, secured, Content::Server, self.lab, entropy);
        Some([
            end(Party::Receiver, Secured::new(verifier, Some(client)), one),
            end(
                Party::Initiator,
                Secured::new(authority, Some(server)),
                other,
            ),
        ])
    }
}
