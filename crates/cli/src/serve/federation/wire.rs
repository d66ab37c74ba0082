//! The sockets: opened, taken, and carried until they close.

use std::rc::Rc;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use onetrip_core::dialback::{Checked, ConnectionId, Reason, Verification};
use onetrip_core::quickstart::{Key, Transport};
use onetrip_core::stream::{Domain, Env, Pair};
use onetrip_core::{Bounds, Connection, Entity, InboundConfig, OutboundConfig};
use onetrip_tls::rustls::RustlsSession;
use onetrip_tls::{Output, Secured};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Federation;
use super::admission::Refusal;
use super::links::Links;
use super::socketed::{Input, Next};
use crate::meter::Measuring;

/// How long to wait for TCP.
pub(super) const CONNECT: Duration = Duration::from_secs(15);
/// How long a server has to read why its connection is not taken.
const LINGER: Duration = Duration::from_secs(1);
/// How long a server may leave what was written unread.
const WRITE: Duration = Duration::from_secs(60);

/// Opens a connection to another server and carries it.
pub(super) async fn open(federation: Rc<Federation>, connection: ConnectionId, pair: Pair) {
    let (socket, transport) = match reach(&federation, &pair.to).await {
        Ok(reached) => reached,
        Err(reason) => return federation.failed(connection, reason),
    };
    let Some(session) = federation.session_to(&pair.to) else {
        return federation.failed(connection, Reason::RemoteServerTimeout);
    };
    let config = federation.outbound(connection, &pair, transport);
    let retry = federation.links.borrow_mut().retries.remove(&pair.to);
    let made = federation.make(|entity, env| match retry {
        Some(plan) => Connection::outbound(config, plan, env),
        None => entity.connect_to(config, env),
    });
    federation
        .carry(connection, Secured::new(made, session), socket)
        .await;
}

/// Opens a connection to have one key verified.
pub(super) async fn verify(
    federation: Rc<Federation>,
    connection: ConnectionId,
    verification: Verification,
) {
    let ticket = verification.ticket;
    // The stanzas that the key is for come from there.
    let authority = &verification.pair.from;
    let (socket, transport) = match reach(&federation, authority).await {
        Ok(reached) => reached,
        Err(reason) => {
            let checked = match reason {
                Reason::RemoteServerNotFound => Checked::HostUnknown,
                _ => Checked::ConnectFailed,
            };
            return federation.unverified(connection, ticket, checked);
        }
    };
    let back = Pair::new(verification.pair.to.clone(), authority.clone());
    let config = federation.outbound(connection, &back, transport);
    let key = Key::new(authority.clone(), None, transport);
    let made = federation.make(|entity, env| {
        let plan = entity.cache().plan(&key, entity.policy());
        Connection::verifier(config, plan, &verification, env).ok()
    });
    let (Some(made), Some(session)) = (made, federation.session_to(authority)) else {
        return federation.unverified(connection, ticket, Checked::ConnectFailed);
    };
    federation
        .carry(connection, Secured::new(made, session), socket)
        .await;
}

/// Takes a connection that another server has opened, and carries it.
pub(super) async fn take(federation: Rc<Federation>, socket: TcpStream, transport: Transport) {
    if let Some((connection, secured)) = federation.accepted(transport) {
        federation.carry(connection, secured, socket).await;
    }
}

/// Tells another server why its connection is not taken. Over direct TLS there is no saying anything before the handshake.
pub(super) async fn refuse(
    federation: Rc<Federation>,
    mut socket: TcpStream,
    transport: Transport,
    refusal: Refusal,
) {
    let Some((connection, mut secured)) = federation.accepted(transport) else {
        return;
    };
    federation
        .links
        .borrow_mut()
        .peers
        .failed(connection, Reason::ResourceConstraint);
    secured.close_with(&refusal.error());
    while let Some(output) = secured.poll_output() {
        if let Output::Transmit(bytes) = output {
            let _ = tokio::time::timeout(CONNECT, socket.write_all(&bytes)).await;
        }
    }
    let _ = socket.shutdown().await;
    // What has been sent to us and is not read makes TCP reset the connection, and the error would be lost.
    let mut chunk = [0_u8; 1024];
    let rest = async { while matches!(socket.read(&mut chunk).await, Ok(1..)) {} };
    let _ = tokio::time::timeout(LINGER, rest).await;
}

/// TCP to the server of a domain, if it is known where that is, and how TLS begins there.
async fn reach(federation: &Federation, domain: &Domain) -> Result<(TcpStream, Transport), Reason> {
    let Some(place) = federation.with.peers.get(domain) else {
        return Err(Reason::RemoteServerNotFound);
    };
    match tokio::time::timeout(CONNECT, TcpStream::connect(&place.at)).await {
        Ok(Ok(socket)) => {
            tokio::time::sleep(federation.with.manner.tcp).await;
            federation.measure(Measuring::connected);
            Ok((socket, place.transport))
        }
        _ => Err(Reason::RemoteServerTimeout),
    }
}

impl Federation {
    fn make<R>(&self, call: impl FnOnce(&mut Entity, &mut Env<'_>) -> R) -> R {
        let Links {
            entity, entropy, ..
        } = &mut *self.links.borrow_mut();
        call(entity, &mut Env::new(self.hub.clock.now(), entropy))
    }

    /// Our end of a connection that another server has opened.
    fn accepted(&self, transport: Transport) -> Option<(ConnectionId, Secured<RustlsSession>)> {
        let session = self.with.tls.inbound().ok()?;
        let connection = self.links.borrow_mut().peers.add();
        let config = self.inbound(connection, transport);
        let made = self.make(|_, env| Connection::inbound(config, env));
        Some((connection, Secured::new(made, session)))
    }

    fn session_to(&self, domain: &Domain) -> Option<RustlsSession> {
        self.with.tls.outbound(domain).ok()
    }

    fn outbound(
        &self,
        connection: ConnectionId,
        pair: &Pair,
        transport: Transport,
    ) -> OutboundConfig {
        let (from, to) = (pair.from.clone(), pair.to.clone());
        let mut config = OutboundConfig::new(connection, from, to, transport);
        config.hosted.clone_from(&self.hub.settings.domains);
        config.certificate = !self.with.manner.by_dialback;
        config.bidi.request = !self.with.manner.one_way;
        config.trace = self.measuring.is_some();
        config.bounds = self.bounds();
        config.dialback = Some(self.dialback.clone());
        config
    }

    fn bounds(&self) -> Bounds {
        let mut bounds = Bounds::default();
        bounds.idle = Some(self.with.idle);
        bounds.negotiation = self.with.manner.patience.unwrap_or(bounds.negotiation);
        bounds
    }

    fn inbound(&self, connection: ConnectionId, transport: Transport) -> InboundConfig {
        let domains = self.hub.settings.domains.clone();
        let mut config = InboundConfig::new(connection, domains, transport);
        config.bounds = self.bounds();
        config.dialback = Some(self.dialback.clone());
        // ejabberd before the fix of its bidi looks for this one when it connects (BIDI-R1, ejabberd#4300).
        config.bidi.advertise_legacy_feature = true;
        config.quickstart.advertise = self.hub.settings.pipelining;
        config.external = !self.with.manner.by_dialback;
        config.bidi.offer = !self.with.manner.one_way;
        config.trace = self.measuring.is_some();
        config
    }
}

impl Federation {
    async fn carry(
        self: &Rc<Self>,
        connection: ConnectionId,
        secured: Secured<RustlsSession>,
        socket: TcpStream,
    ) {
        let wake = self.opened(connection, secured);
        carry(self, connection, &wake, socket).await;
    }
}

/// Who has the machines of connections, and knows them by number.
pub(super) trait Machines {
    /// The number of a connection.
    type Id: Copy;

    /// Gives in what happened on a socket, and collects what there is to do there. `backlog` is how many bytes have not
    /// been written yet.
    fn advance(self: &Rc<Self>, connection: Self::Id, input: Input<'_>, backlog: usize) -> Next;

    /// Forgets a connection that is over.
    fn gone(&self, connection: Self::Id);
}

/// Moves bytes until the connection is over. `wake` says that there may be something to write.
pub(super) async fn carry<M: Machines>(
    machines: &Rc<M>,
    connection: M::Id,
    wake: &Notify,
    mut socket: TcpStream,
) {
    let _ = socket.set_nodelay(true);
    let (mut reading, mut writing) = socket.split();
    let mut chunk = vec![0_u8; 16 * 1024];
    let mut out = BytesMut::new();
    let mut stalls = Instant::now();
    let mut next = machines.advance(connection, Input::Nothing, 0);
    let mut due = Instant::now() + next.wait;
    loop {
        if out.is_empty() {
            stalls = Instant::now() + WRITE;
        }
        for bytes in next.write.drain(..) {
            out.extend_from_slice(&bytes);
        }
        if next.close && out.is_empty() {
            let _ = writing.shutdown().await;
            return machines.gone(connection);
        }
        // It reads while it writes: of two servers that both have much to say, neither may wait for the other.
        let input = tokio::select! {
            written = writing.write(&out), if !out.is_empty() => match written {
                Ok(count @ 1..) => {
                    out.advance(count);
                    stalls = Instant::now() + WRITE;
                    continue;
                }
                _ => Input::End,
            },
            read = reading.read(&mut chunk), if !next.close => match read {
                Ok(count @ 1..) => Input::Bytes(chunk.get(..count).unwrap_or_default()),
                _ => Input::End,
            },
            () = wake.notified(), if !next.close => Input::Nothing,
            () = tokio::time::sleep_until(due), if !next.close => Input::Nothing,
            () = tokio::time::sleep_until(stalls), if !out.is_empty() => Input::End,
        };
        let over = next.close || Instant::now() >= stalls && !out.is_empty();
        next = machines.advance(connection, input, out.len());
        due = Instant::now() + next.wait;
        if over {
            machines.advance(connection, Input::End, 0);
            return machines.gone(connection);
        }
    }
}
