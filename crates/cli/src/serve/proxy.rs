//! A proxy for bytestreams (XEP-0065), at a domain of its own: `proxy.` before the first that is served.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use minidom::Element;
use onetrip_core::jingle::socks5::{Proxy, ProxyAction, Timeouts};
use onetrip_core::stream::{Domain, Jid, Stanza};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::hub::Hub;
use super::queries;
use crate::Failure;

/// How many connections wait to be joined.
const LIMIT: usize = 256;
/// How many requests wait.
const INBOX: usize = 256;

/// The address of the proxy of these domains.
pub(super) fn domain(domains: &[Domain]) -> Option<Domain> {
    Domain::new(&format!("proxy.{}", domains.first()?))
}

/// The way to the proxy, and what is on it.
pub(super) fn inbox() -> (mpsc::Sender<Element>, mpsc::Receiver<Element>) {
    mpsc::channel(INBOX)
}

/// The machine, and the connections that wait with what has come over them.
struct Desk {
    hub: Arc<Hub>,
    place: SocketAddr,
    proxy: Proxy,
    waiting: BTreeMap<u64, (TcpStream, Bytes)>,
    count: u64,
}

/// Begins to serve; returns where.
pub(super) async fn start(
    hub: Arc<Hub>,
    listen: SocketAddr,
    mut requests: mpsc::Receiver<Element>,
) -> Result<SocketAddr, Failure> {
    let listener = super::listen(listen).await?;
    let place = super::address_of(&listener)?;
    let desk = Rc::new(RefCell::new(Desk {
        hub,
        place,
        proxy: Proxy::new(Timeouts::default(), LIMIT),
        waiting: BTreeMap::new(),
        count: 0,
    }));
    tokio::task::spawn_local(accept(Rc::clone(&desk), listener));
    let asked = Rc::clone(&desk);
    tokio::task::spawn_local(async move {
        while let Some(request) = requests.recv().await {
            asked.borrow_mut().answer(&request);
        }
    });
    tokio::task::spawn_local(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let mut desk = desk.borrow_mut();
            let now = desk.hub.clock.now();
            desk.proxy.handle_timeout(now);
            let _ = desk.drain();
        }
    });
    Ok(place)
}

async fn accept(desk: Rc<RefCell<Desk>>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => {
                let desk = Rc::clone(&desk);
                tokio::task::spawn_local(greet(desk, socket));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// The handshake of one connection; behind it the connection waits.
async fn greet(desk: Rc<RefCell<Desk>>, mut socket: TcpStream) {
    let _ = socket.set_nodelay(true);
    let number = {
        let mut desk = desk.borrow_mut();
        desk.count += 1;
        let (number, now) = (desk.count, desk.hub.clock.now());
        desk.proxy.accepted(now, number);
        number
    };
    let mut chunk = [0_u8; 512];
    loop {
        let read = socket.read(&mut chunk).await;
        let Ok(count @ 1..) = read else {
            return desk.borrow_mut().proxy.lost(number);
        };
        let bytes = chunk.get(..count).unwrap_or_default();
        let (used, written) = {
            let mut desk = desk.borrow_mut();
            let now = desk.hub.clock.now();
            let used = desk.proxy.receive(now, number, bytes);
            (used, desk.drain())
        };
        for bytes in written {
            if socket.write_all(&bytes).await.is_err() {
                return desk.borrow_mut().proxy.lost(number);
            }
        }
        let mut desk = desk.borrow_mut();
        if desk.proxy.is_waiting(number) {
            let rest = Bytes::copy_from_slice(bytes.get(used..).unwrap_or_default());
            desk.waiting.insert(number, (socket, rest));
            return;
        }
    }
}

impl Desk {
    /// Answers a request of a user.
    fn answer(&mut self, request: &Element) {
        let host = self.place.ip().to_string();
        let asked = Stanza::from_element(request).ok();
        let joined = asked.and_then(|asked| self.proxy.handle(&asked, &host, self.place.port()));
        let otherwise = || {
            let answer = queries::answer_as_proxy(request)
                .or_else(|| queries::error_to(request, "service-unavailable"));
            Stanza::from_element(&answer?).ok()
        };
        let answer = joined.or_else(otherwise);
        // The connections are one before anybody hears of it.
        let _ = self.drain();
        let Some(answer) = answer else { return };
        if let Some(Ok(to)) = answer.head().to.as_deref().map(str::parse::<Jid>) {
            self.hub.deliver(&answer, &to);
        }
    }

    /// Carries out what the machine asks for; what is to be written belongs to the connection that was just heard.
    fn drain(&mut self) -> Vec<Bytes> {
        let mut written = Vec::new();
        while let Some(action) = self.proxy.poll_action() {
            match action {
                ProxyAction::Write(_, bytes) => written.push(bytes),
                ProxyAction::Close(number) => drop(self.waiting.remove(&number)),
                ProxyAction::Join(first, second) => {
                    let (first, second) =
                        (self.waiting.remove(&first), self.waiting.remove(&second));
                    if let (Some(first), Some(second)) = (first, second) {
                        tokio::task::spawn_local(join(first, second));
                    }
                }
                _ => {}
            }
        }
        written
    }
}

async fn join(
    (mut first, from_first): (TcpStream, Bytes),
    (mut second, from_second): (TcpStream, Bytes),
) {
    let ahead = async {
        first.write_all(&from_second).await?;
        second.write_all(&from_first).await
    };
    if ahead.await.is_ok() {
        let _ = tokio::io::copy_bidirectional(&mut first, &mut second).await;
    }
}
