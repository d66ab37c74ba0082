//! Sockets by number, each with a task that reads and one that writes.

use std::collections::BTreeMap;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// What happens on sockets.
pub(crate) enum Happened {
    /// A connection is made.
    Connected(u64),
    /// Bytes came.
    Bytes(u64, Bytes),
    /// It is gone, or could not be made.
    Gone(u64),
}

/// All sockets of one driver.
pub(crate) struct Wires {
    happened: mpsc::Sender<Happened>,
    writers: BTreeMap<u64, mpsc::UnboundedSender<Bytes>>,
    count: u64,
}

impl Wires {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Happened>) {
        let (happened, events) = mpsc::channel(64);
        let wires = Self {
            happened,
            writers: BTreeMap::new(),
            count: 0,
        };
        (wires, events)
    }

    /// Begins to connect.
    pub(crate) fn connect(&mut self, host: String, port: u16) -> u64 {
        let (number, to_write) = self.number();
        let happened = self.happened.clone();
        tokio::task::spawn_local(async move {
            match TcpStream::connect((host, port)).await {
                Ok(socket) => {
                    let _ = happened.send(Happened::Connected(number)).await;
                    serve(number, socket, to_write, happened).await;
                }
                Err(_) => {
                    let _ = happened.send(Happened::Gone(number)).await;
                }
            }
        });
        number
    }

    /// Takes one that a listener has accepted.
    pub(crate) fn take(&mut self, socket: TcpStream) -> u64 {
        let (number, to_write) = self.number();
        let happened = self.happened.clone();
        tokio::task::spawn_local(serve(number, socket, to_write, happened));
        number
    }

    fn number(&mut self) -> (u64, mpsc::UnboundedReceiver<Bytes>) {
        self.count += 1;
        let (writer, to_write) = mpsc::unbounded_channel();
        self.writers.insert(self.count, writer);
        (self.count, to_write)
    }

    pub(crate) fn write(&self, number: u64, bytes: Bytes) {
        if let Some(writer) = self.writers.get(&number) {
            let _ = writer.send(bytes);
        }
    }

    /// Closes it when everything is written.
    pub(crate) fn close(&mut self, number: u64) {
        self.writers.remove(&number);
    }
}

async fn serve(
    number: u64,
    socket: TcpStream,
    mut to_write: mpsc::UnboundedReceiver<Bytes>,
    happened: mpsc::Sender<Happened>,
) {
    let _ = socket.set_nodelay(true);
    let (mut reader, mut writer) = socket.into_split();
    let reading = async {
        let mut chunk = vec![0_u8; 16 * 1024];
        while let Ok(count @ 1..) = reader.read(&mut chunk).await {
            let bytes = Bytes::copy_from_slice(chunk.get(..count).unwrap_or_default());
            if happened.send(Happened::Bytes(number, bytes)).await.is_err() {
                return;
            }
        }
        let _ = happened.send(Happened::Gone(number)).await;
    };
    let writing = async {
        while let Some(bytes) = to_write.recv().await {
            if writer.write_all(&bytes).await.is_err() {
                return;
            }
        }
        let _ = writer.shutdown().await;
    };
    // Whoever closes a socket does not read it any more; whose peer has closed it may still have something to write.
    tokio::pin!(reading);
    tokio::select! {
        () = writing => {}
        () = async { reading.await; std::future::pending().await } => {}
    }
}
