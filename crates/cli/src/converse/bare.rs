//! A bare bytestream, without Jingle (XEP-0047, XEP-0065): so many bytes each way, and whether they are the right ones.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use minidom::Element;
use onetrip_core::jingle::ibb::{self, Action, Bytestream, Packet};
use onetrip_core::jingle::s5b::Candidate;
use onetrip_core::jingle::socks5::{self, Connection, Destination, Expected, Timeouts};
use onetrip_core::stream::{Build as _, Env, Jid, Stanza, ns};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::client::Client;
use crate::Failure;
use crate::environment::{Clock, SystemEntropy};

/// How long a peer may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// When white space follows the last byte to a socket.
const NUDGE: Duration = Duration::from_millis(300);

/// What the end sends that opens the bytestream, and the other.
fn pattern(opener: bool, length: usize) -> Bytes {
    let (step, start) = if opener { (31, 7) } else { (17, 3) };
    (0..length)
        .map(|at| ((at * step + start) % 251) as u8)
        .collect()
}

/// One end of a bare bytestream.
pub(super) struct Bare<'a> {
    pub(super) client: &'a mut Client,
    pub(super) length: usize,
    pub(super) window: u16,
}

/// What came of it.
pub(super) struct Passed {
    pub(super) transport: &'static str,
    pub(super) equal: bool,
    pub(super) time: Duration,
}

fn check(error: impl std::fmt::Display) -> Failure {
    Failure::Check(error.to_string())
}

fn result(to: &Element) -> Element {
    let mut answer = Element::bare("iq", ns::CLIENT).with_attr("type", "result");
    for (theirs, ours) in [("from", "to"), ("id", "id")] {
        if let Some(value) = to.attr(theirs) {
            answer = answer.with_attr(ours, value);
        }
    }
    answer
}

fn request(kind: &str, id: &str, to: &Jid, payload: Element) -> Element {
    Element::bare("iq", ns::CLIENT)
        .with_attr("type", kind)
        .with_attr("id", id)
        .with_attr("to", to.to_string())
        .with_child(payload)
}

impl Bare<'_> {
    /// In band, opened by this end.
    pub(super) async fn open_in_band(mut self, peer: Jid) -> Result<Passed, Failure> {
        let mut config = ibb::Config::default();
        config.window = self.window;
        let (clock, mut entropy) = (Clock::new(), SystemEntropy::new());
        let env = &mut Env::new(clock.now(), &mut entropy);
        let stream = Bytestream::open(config, env, peer, "bare");
        self.in_band(stream, clock, true).await
    }

    /// Waits for whatever bytestream the peer opens.
    pub(super) async fn wait(mut self) -> Result<Passed, Failure> {
        loop {
            let stanza = self.next().await?;
            let head = stanza.head();
            let peer = head.from.as_deref().and_then(|from| from.parse().ok());
            let (Some(peer), Some(payload)) = (peer, stanza.payloads().next()) else {
                continue;
            };
            if let Some(Packet::Open { sid, .. }) = Packet::read(&payload) {
                let mut config = ibb::Config::default();
                config.window = self.window;
                let (clock, mut entropy) = (Clock::new(), SystemEntropy::new());
                let env = &mut Env::new(clock.now(), &mut entropy);
                let mut stream = Bytestream::await_open(config, env, peer, sid);
                stream.handle(clock.now(), &stanza).map_err(check)?;
                return self.in_band(stream, clock, false).await;
            }
            if payload.is("query", ns::BYTESTREAMS) && head.type_.as_deref() == Some("set") {
                return self.connect_to_one(&stanza.element(), &peer).await;
            }
        }
    }

    async fn next(&mut self) -> Result<Stanza, Failure> {
        let stanza = tokio::time::timeout(PATIENCE, self.client.inbox.recv()).await;
        let gone = || Failure::Check("the connection to the server is gone".to_owned());
        stanza.map_err(check)?.ok_or_else(gone)
    }

    /// The answer to a request of ours.
    async fn answer(&mut self, id: &str) -> Result<Element, Failure> {
        loop {
            let stanza = self.next().await?;
            let head = stanza.head();
            if head.id.as_deref() == Some(id) {
                return match head.type_.as_deref() {
                    Some("result") => Ok(stanza.element()),
                    _ => Err(Failure::Check(format!("{id} was refused"))),
                };
            }
        }
    }

    /// Moves the bytes of an in-band bytestream, both ways, until it is closed.
    async fn in_band(
        &mut self,
        mut stream: Bytestream,
        clock: Clock,
        opener: bool,
    ) -> Result<Passed, Failure> {
        let mut ours = pattern(opener, self.length);
        let mut theirs: Vec<u8> = Vec::new();
        loop {
            let taken = stream.write(clock.now(), &ours);
            ours.advance(taken);
            while let Some(bytes) = stream.read(clock.now()) {
                theirs.extend_from_slice(&bytes);
            }
            // The opener closes; the other is closed behind what it has sent.
            if opener && ours.is_empty() && theirs.len() >= self.length {
                stream.close(clock.now());
            }
            while let Some(action) = stream.poll_action() {
                match action {
                    Action::Send(stanza) => drop(self.client.outbox.send(stanza)),
                    Action::Event(ibb::Event::Closed(_)) => {
                        return Ok(Passed {
                            transport: "ibb",
                            equal: theirs == pattern(!opener, self.length),
                            time: clock.now().since_epoch(),
                        });
                    }
                    _ => {}
                }
            }
            let stanza = self.next().await?;
            stream.handle(clock.now(), &stanza).map_err(check)?;
        }
    }

    /// By SOCKS5, opened by this end: at a listener of its own, or at a proxy.
    pub(super) async fn open_socks5(
        mut self,
        peer: Jid,
        listener: &TcpListener,
        candidates: &[Candidate],
    ) -> Result<Passed, Failure> {
        let clock = Clock::new();
        let us = self.client.jid.clone();
        let mut query = Element::bare("query", ns::BYTESTREAMS)
            .with_attr("sid", "bare")
            .with_attr("mode", "tcp");
        for candidate in candidates {
            let streamhost = Element::bare("streamhost", ns::BYTESTREAMS)
                .with_attr("jid", candidate.jid.to_string())
                .with_attr("host", &candidate.host)
                .with_attr("port", candidate.port.to_string());
            query.append_child(streamhost);
        }
        let destination = Destination::new("bare", &us, &peer);
        let offer = request("set", "offer", &peer, query);
        self.client.send(&offer);
        let hosted = host(listener, &clock, destination.clone());
        tokio::pin!(hosted);
        let mut connection = None;
        let used = loop {
            tokio::select! {
                stream = &mut hosted, if connection.is_none() => connection = Some(stream?),
                used = self.answer("offer") => break used?,
            }
        };
        let used = used
            .get_child("query", ns::BYTESTREAMS)
            .and_then(|query| query.get_child("streamhost-used", ns::BYTESTREAMS))
            .and_then(|used| used.attr("jid"));
        let used = candidates
            .iter()
            .find(|one| Some(one.jid.to_string().as_str()) == used);
        let used = used.ok_or_else(|| Failure::Check("no streamhost was used".to_owned()))?;
        let (transport, stream) = if used.jid == us {
            let stream = match connection {
                Some(stream) => stream,
                None => hosted.await?,
            };
            ("direct", stream)
        } else {
            let stream = dial(&used.host, used.port, &clock, destination).await?;
            let activate = Element::bare("activate", ns::BYTESTREAMS).with_text(&peer.to_string());
            let query = Element::bare("query", ns::BYTESTREAMS)
                .with_attr("sid", "bare")
                .with_child(activate);
            let activate = request("set", "activate", &used.jid, query);
            self.client.send(&activate);
            self.answer("activate").await?;
            ("proxy", stream)
        };
        self.over(stream, clock, transport, true).await
    }

    /// By SOCKS5, opened by the peer: to the first of its streamhosts that works.
    async fn connect_to_one(&mut self, stanza: &Element, peer: &Jid) -> Result<Passed, Failure> {
        let clock = Clock::new();
        let none = || Failure::Check("no streamhost can be reached".to_owned());
        let query = stanza.children().next().ok_or_else(none)?;
        let sid = query.attr("sid").unwrap_or_default();
        for streamhost in query
            .children()
            .filter(|child| child.name() == "streamhost")
        {
            let (Some(host), Some(jid)) = (streamhost.attr("host"), streamhost.attr("jid")) else {
                continue;
            };
            let port = streamhost.attr("port").and_then(|port| port.parse().ok());
            let destination = Destination::new(sid, peer, &self.client.jid);
            let dialed = dial(host, port.unwrap_or(1080), &clock, destination).await;
            let Ok(stream) = dialed else { continue };
            let used = Element::bare("streamhost-used", ns::BYTESTREAMS).with_attr("jid", jid);
            let query = Element::bare("query", ns::BYTESTREAMS)
                .with_attr("sid", sid)
                .with_child(used);
            self.client.send(&result(stanza).with_child(query));
            let transport = if jid == peer.to_string() {
                "direct"
            } else {
                "proxy"
            };
            return self.over(stream, clock, transport, false).await;
        }
        Err(none())
    }

    /// Moves the bytes, both ways.
    async fn over(
        &self,
        stream: TcpStream,
        clock: Clock,
        transport: &'static str,
        opener: bool,
    ) -> Result<Passed, Failure> {
        let (mut reader, mut writer) = stream.into_split();
        let ours = pattern(opener, self.length);
        let mut theirs = vec![0_u8; self.length];
        let writing = async {
            writer.write_all(&ours).await?;
            // A proxy may keep the end of what it was given until more comes: Prosody 0.12's does.
            tokio::time::sleep(NUDGE).await;
            writer.write_all(b" ").await
        };
        let both = async { tokio::try_join!(writing, reader.read_exact(&mut theirs)) };
        tokio::time::timeout(PATIENCE, both)
            .await
            .map_err(check)?
            .map_err(check)?;
        let time = clock.now().since_epoch();
        // Whoever closes a socket on bytes that were not read takes back what it wrote.
        writer.shutdown().await.map_err(check)?;
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, reader.read_to_end(&mut rest)).await;
        Ok(Passed {
            transport,
            equal: theirs == pattern(!opener, self.length),
            time,
        })
    }
}

/// Connects to a streamhost.
async fn dial(
    host: &str,
    port: u16,
    clock: &Clock,
    destination: Destination,
) -> Result<TcpStream, Failure> {
    let mut stream = TcpStream::connect((host, port)).await.map_err(check)?;
    let mut client = socks5::Client::new(clock.now(), destination, Timeouts::default());
    let mut byte = [0_u8];
    loop {
        while let Some(action) = client.poll_action() {
            match action {
                socks5::Action::Write(bytes) => stream.write_all(&bytes).await.map_err(check)?,
                socks5::Action::Connected => return Ok(stream),
                _ => {}
            }
        }
        // Byte by byte, so that nothing of what follows is taken.
        stream.read_exact(&mut byte).await.map_err(check)?;
        client.receive(&byte).map_err(check)?;
    }
}

/// Takes the one connection that is expected.
async fn host(
    listener: &TcpListener,
    clock: &Clock,
    destination: Destination,
) -> Result<TcpStream, Failure> {
    let mut expected = Expected::new();
    let _ = expected.expect(vec![destination]);
    let (mut stream, _): (TcpStream, SocketAddr) = listener.accept().await.map_err(check)?;
    let mut connection = Connection::new(clock.now(), Timeouts::default());
    let mut byte = [0_u8];
    loop {
        while let Some(action) = connection.poll_action() {
            match action {
                socks5::Action::Write(bytes) => stream.write_all(&bytes).await.map_err(check)?,
                socks5::Action::Connected => return Ok(stream),
                _ => {}
            }
        }
        stream.read_exact(&mut byte).await.map_err(check)?;
        let received = connection.receive(clock.now(), &mut expected, &byte);
        received.map_err(check)?;
    }
}
