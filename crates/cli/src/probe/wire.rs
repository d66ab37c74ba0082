//! A connection to a server that is being looked at: whatever goes into one write is up to the experiment.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use minidom::Element;
use onetrip_core::TlsInfo;
use onetrip_core::stream::{Content, Domain, Frame, Jid, Limits, Reader, StreamHeader, Writer, ns};
use onetrip_tls::rustls::RustlsSession;
use onetrip_tls::rustls::rustls::ClientConfig as TlsConfig;
use onetrip_tls::{TlsSession as _, TlsState};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

/// See the module. What goes wrong is said in words.
pub(super) struct Wire {
    socket: TcpStream,
    tls: Option<Box<RustlsSession>>,
    reader: Reader,
    writer: Writer,
    /// What has been read and decrypted, and not yet been looked at.
    plain: BytesMut,
    /// What has been read and is still TLS's.
    cipher: BytesMut,
    /// What goes into the next write.
    unwritten: BytesMut,
    header: StreamHeader,
    patience: Duration,
    /// How long TCP took to connect: a round trip.
    pub(super) round_trip: Duration,
}

/// Who claims to connect to another server: nobody (RFC 2606 §2).
const NOBODY: &str = "onetrip.invalid";

impl Wire {
    pub(super) async fn connect(
        address: SocketAddr,
        content: Content,
        domain: &Domain,
        patience: Duration,
    ) -> Result<Self, String> {
        let begun = Instant::now();
        let socket = match timeout(patience, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => socket,
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err("TCP: no answer".to_owned()),
        };
        let _ = socket.set_nodelay(true);
        let mut header = StreamHeader::new(content);
        header.to = Some(Jid::from_domain(domain.clone()));
        if content == Content::Server {
            header.from = Domain::new(NOBODY).map(Jid::from_domain);
            header.dialback = true;
        }
        Ok(Self {
            socket,
            tls: None,
            reader: Reader::new(Limits::AUTHENTICATED),
            writer: Writer::new(content),
            plain: BytesMut::new(),
            cipher: BytesMut::new(),
            unwritten: BytesMut::new(),
            header,
            patience,
            round_trip: begun.elapsed(),
        })
    }

    /// Adds a stream header to the next write; what is read from here on is a new document.
    pub(super) fn header(&mut self) -> Result<(), String> {
        let bytes = self.open()?;
        self.put(&bytes)
    }

    fn open(&mut self) -> Result<Bytes, String> {
        self.reader = Reader::new(Limits::AUTHENTICATED);
        self.writer = Writer::new(self.header.content.unwrap_or(Content::Client));
        let mut header = self.header.clone();
        if self.tls.is_some() && header.from.is_none() {
            // Prosody and ejabberd show some of what they have only to those who say who they are.
            let domain = header.to.as_ref().map(Jid::domain);
            header.from = domain.and_then(|domain| format!("{NOBODY}@{domain}").parse().ok());
        }
        self.writer
            .header(&header)
            .map_err(|error| error.to_string())
    }

    /// Adds an element to the next write.
    pub(super) fn element(&mut self, element: &Element) -> Result<(), String> {
        let bytes = self
            .writer
            .element(element)
            .map_err(|error| error.to_string())?;
        self.put(&bytes)
    }

    /// Adds the first flight of TLS to the next write; what follows goes through TLS.
    pub(super) fn hello(&mut self, config: &Arc<TlsConfig>, domain: &Domain) -> Result<(), String> {
        let session = RustlsSession::client(Arc::clone(config), domain);
        self.tls = Some(Box::new(session.map_err(|error| error.to_string())?));
        self.put(b"")
    }

    /// The same with a stream header and an element as early data behind it; whether the server has said that it takes any.
    pub(super) fn hello_with(
        &mut self,
        config: &Arc<TlsConfig>,
        domain: &Domain,
        element: &Element,
    ) -> Result<bool, String> {
        let session = RustlsSession::client(Arc::clone(config), domain);
        let session = session.map_err(|error| error.to_string())?;
        self.tls = Some(Box::new(session));
        let header = self.open()?;
        let element = self.writer.element(element);
        let element = element.map_err(|error| error.to_string())?;
        let early = [header, element].concat();
        let tls = self.tls.as_mut();
        Ok(tls.is_some_and(|tls| tls.write_early(&early, &mut self.unwritten)))
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), String> {
        match &mut self.tls {
            Some(tls) => tls
                .write(bytes, &mut self.unwritten)
                .map_err(|error| error.to_string()),
            None => {
                self.unwritten.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// One write.
    pub(super) async fn flush(&mut self) -> Result<(), String> {
        let bytes = self.unwritten.split();
        let written = self.socket.write_all(&bytes).await;
        written.map_err(|error| error.to_string())
    }

    /// Reads more; what comes is left in `cipher` under TLS, in `plain` without. `clear` says that the answer in clear has not
    /// been read yet, although TLS has begun in the other direction.
    async fn read(&mut self, until: Instant, clear: bool) -> Result<(), String> {
        let into = if self.tls.is_some() && !clear {
            &mut self.cipher
        } else {
            &mut self.plain
        };
        match timeout_at(until, self.socket.read_buf(into)).await {
            Ok(Ok(1..)) => Ok(()),
            Ok(Ok(_)) => Err("the server closed the connection".to_owned()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!(
                "no answer within {} s",
                self.patience.as_secs_f64()
            )),
        }
    }

    /// The next frame in clear.
    pub(super) async fn next_in_clear(&mut self) -> Result<Frame, String> {
        self.next_frame(true).await
    }

    /// The next frame.
    pub(super) async fn next(&mut self) -> Result<Frame, String> {
        self.next_frame(false).await
    }

    async fn next_frame(&mut self, clear: bool) -> Result<Frame, String> {
        let until = Instant::now() + self.patience;
        loop {
            let mut rest: &[u8] = &self.plain;
            let frame = self
                .reader
                .next(&mut rest)
                .map_err(|error| error.to_string())?;
            let used = self.plain.len() - rest.len();
            let _ = self.plain.split_to(used);
            match frame {
                Some(Frame::Element(element)) if element.is("error", ns::STREAMS) => {
                    let condition = element.children().next().map_or("unnamed", Element::name);
                    return Err(format!("stream error {condition}"));
                }
                Some(Frame::Footer) => return Err("the server closed the stream".to_owned()),
                Some(frame) => return Ok(frame),
                None => {}
            }
            self.read(until, clear).await?;
            if !clear {
                self.decrypt()?;
            }
        }
    }

    fn decrypt(&mut self) -> Result<(), String> {
        if let Some(tls) = &mut self.tls {
            let cipher = self.cipher.split();
            tls.read(&cipher, &mut self.plain)
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// The features of a stream whose header was answered.
    pub(super) async fn features(&mut self, clear: bool) -> Result<Element, String> {
        loop {
            match self.next_frame(clear).await? {
                Frame::Header(_) => {}
                Frame::Element(element) if element.is("features", ns::STREAMS) => {
                    return Ok(element);
                }
                other => return Err(format!("not features but {}", name_of(&other))),
            }
        }
    }

    /// `<proceed/>`, and TLS to its end. What was read behind `<proceed/>` is TLS's.
    pub(super) async fn proceed(&mut self) -> Result<(), String> {
        match self.next_in_clear().await? {
            Frame::Element(element) if element.is("proceed", ns::TLS) => Ok(()),
            other => Err(format!("not <proceed/> but {}", name_of(&other))),
        }
    }

    /// What the server says in clear, where TLS should have begun: another document of its own.
    async fn in_clear(&mut self) -> String {
        self.reader = Reader::new(Limits::AUTHENTICATED);
        self.plain = self.cipher.split();
        self.tls = None;
        loop {
            match self.next_in_clear().await {
                Ok(_) => {}
                Err(reason) => return format!("no TLS behind <proceed/>, but {reason}"),
            }
        }
    }

    /// TLS to the end of its handshake.
    pub(super) async fn handshake(&mut self) -> Result<TlsInfo, String> {
        let until = Instant::now() + self.patience;
        let behind = self.plain.split();
        self.cipher.extend_from_slice(&behind);
        if self.cipher.is_empty() {
            self.read(until, false).await?;
        }
        if self.cipher.starts_with(b"<") {
            return Err(self.in_clear().await);
        }
        loop {
            let read = self.decrypt();
            let _ = self.put(b"");
            self.flush().await?;
            read?;
            match &self.tls {
                Some(tls) if tls.state() == TlsState::Established => return Ok(tls.info()),
                Some(_) => self.read(until, false).await?,
                None => return Err("TLS was not begun".to_owned()),
            }
        }
    }
}

/// What a frame is, for those who wanted another.
pub(super) fn name_of(frame: &Frame) -> String {
    match frame {
        Frame::Element(element) => format!("<{}/>", element.name()),
        Frame::Header(_) => "a stream header".to_owned(),
        Frame::Stanza(_) => "a stanza".to_owned(),
        _ => "the end of the stream".to_owned(),
    }
}
