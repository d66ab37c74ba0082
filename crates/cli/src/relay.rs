//! A relay on loopback that makes a link longer, narrower, or merges what went apart.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// What the relay does to what passes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Impairment {
    /// There and back.
    pub(crate) round_trip: Duration,
    /// Bits per second.
    pub(crate) rate: Option<u64>,
    /// How long it waits for more before it passes anything on.
    pub(crate) merge: Duration,
    /// What TCP's own round trip takes, before anything is passed on: where whoever connects does not wait for it himself.
    pub(crate) tcp: Duration,
}

impl Impairment {
    /// Whether there is nothing to do for a relay.
    pub(crate) fn is_none(&self) -> bool {
        self.round_trip.is_zero() && self.rate.is_none() && self.merge.is_zero()
    }
}

/// Begins to relay to `target`; returns where to connect instead. A connection to it is there at once: who
/// connects has to wait for TCP's own round trip himself.
pub(crate) async fn start(
    target: SocketAddr,
    impairment: Impairment,
) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::task::spawn_local(async move {
        while let Ok((near, _)) = listener.accept().await {
            tokio::task::spawn_local(relay(near, target, impairment));
        }
    });
    Ok(address)
}

async fn relay(near: TcpStream, target: SocketAddr, impairment: Impairment) {
    let Ok(far) = TcpStream::connect(target).await else {
        return;
    };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    tokio::time::sleep(impairment.tcp).await;
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    tokio::task::spawn_local(forward(near_read, far_write, impairment));
    tokio::task::spawn_local(forward(far_read, near_write, impairment));
}

/// Passes one direction on.
async fn forward(mut from: OwnedReadHalf, to: OwnedWriteHalf, impairment: Impairment) {
    let (queue, arrivals) = mpsc::channel::<(Instant, Vec<u8>)>(4096);
    tokio::task::spawn_local(deliver(arrivals, to));
    let mut free = Instant::now();
    let mut chunk = vec![0_u8; 16 * 1024];
    loop {
        let count = match from.read(&mut chunk).await {
            Ok(0) | Err(_) => return,
            Ok(count) => count,
        };
        let mut bytes = chunk.get(..count).unwrap_or_default().to_vec();
        if !impairment.merge.is_zero() {
            merge(&mut from, &mut bytes, impairment.merge).await;
        }
        let busy = match impairment.rate {
            Some(rate @ 1..) => Duration::from_secs_f64(bytes.len() as f64 * 8.0 / rate as f64),
            _ => Duration::ZERO,
        };
        free = free.max(Instant::now()) + busy;
        if queue
            .send((free + impairment.round_trip / 2, bytes))
            .await
            .is_err()
        {
            return;
        }
    }
}

/// Collects what comes within `window`.
async fn merge(from: &mut OwnedReadHalf, bytes: &mut Vec<u8>, window: Duration) {
    let end = Instant::now() + window;
    let mut chunk = vec![0_u8; 16 * 1024];
    while let Ok(Ok(count @ 1..)) = tokio::time::timeout_at(end, from.read(&mut chunk)).await {
        bytes.extend_from_slice(chunk.get(..count).unwrap_or_default());
    }
}

async fn deliver(mut arrivals: mpsc::Receiver<(Instant, Vec<u8>)>, mut to: OwnedWriteHalf) {
    while let Some((at, bytes)) = arrivals.recv().await {
        sleep_until(at).await;
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}
