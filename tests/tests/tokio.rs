//! `onetrip-tokio` against our own receiving machines: in memory, over TCP, and with connections that are cut.
#![allow(clippy::unwrap_used)]

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use onetrip_core::isr::{Begin, Location};
use onetrip_core::minidom::Element;
use onetrip_core::quickstart::Transport;
use onetrip_core::stream::{Build as _, Entropy as _, Stanza, StanzaKind, ns};
use onetrip_simulator::Seeded;
use onetrip_tests::echo::{Echo, Offers, PASSWORD};
use onetrip_tokio::{Backoff, Cause, Client, Event};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::net::TcpListener;
use tokio::time::timeout;

const ALL: Offers = Offers {
    management: true,
    tokens: false,
    sasl2: false,
};

fn message(number: usize) -> Stanza {
    let body = Element::bare("body", ns::CLIENT).with_text("Wherefore art thou?");
    let message = Element::bare("message", ns::CLIENT)
        .with_attr("id", number.to_string())
        .with_attr("to", "im.example.com")
        .with_child(body);
    Stanza::from_element(&message).unwrap()
}

/// One end of a pipe in memory that is cut when so many bytes have gone through it.
struct Cut {
    io: DuplexStream,
    left: usize,
    read: Arc<AtomicUsize>,
}

impl Cut {
    fn cut(&self) -> Option<io::Error> {
        (self.left == 0).then(|| io::ErrorKind::ConnectionReset.into())
    }
}

impl AsyncRead for Cut {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(error) = self.cut() {
            return Poll::Ready(Err(error));
        }
        let before = buf.filled().len();
        let mut part = buf.take(self.left);
        let read = Pin::new(&mut self.io).poll_read(cx, &mut part);
        let count = part.filled().len();
        // What the part was given is initialized in the whole.
        buf.set_filled(before + count);
        self.left -= count;
        self.read.fetch_add(count, Ordering::Relaxed);
        read
    }
}

impl AsyncWrite for Cut {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(error) = self.cut() {
            return Poll::Ready(Err(error));
        }
        let most = bytes.len().min(self.left);
        let written = Pin::new(&mut self.io).poll_write(cx, &bytes[..most]);
        if let Poll::Ready(Ok(count)) = written {
            self.left -= count;
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// A client whose connections are each cut after a number of bytes that `lives` draws.
fn client(
    server: &Arc<Echo>,
    password: &str,
    lives: impl FnMut() -> usize + Send + 'static,
) -> Client<Cut> {
    counting(server, password, &Arc::default(), lives)
}

/// The same, and counts the bytes that it reads.
fn counting(
    server: &Arc<Echo>,
    password: &str,
    read: &Arc<AtomicUsize>,
    mut lives: impl FnMut() -> usize + Send + 'static,
) -> Client<Cut> {
    let mut settings = server.settings(password);
    settings.backoff = Backoff {
        first: Duration::from_millis(2),
        longest: Duration::from_millis(8),
        ..Backoff::default()
    };
    let (server, read) = (Arc::clone(server), Arc::clone(read));
    Client::new(settings, move |_| {
        let read = Arc::clone(&read);
        let (ours, theirs) = duplex(4096);
        let left = lives();
        tokio::spawn(Arc::clone(&server).serve(theirs, Transport::StartTls));
        Box::pin(async move {
            Ok(Cut {
                io: ours,
                left,
                read,
            })
        })
    })
}

/// Sends so many messages and takes as many, by calls that are dropped at random; checks that each arrived once at either
/// end, in order. Returns how often the session went on.
async fn exchange(seed: u64, offers: Offers, count: usize) -> u32 {
    let server = Echo::new(offers);
    let mut lives = Seeded::new(seed);
    let mut client = client(&server, PASSWORD, move || {
        let mut random = [0; 2];
        lives.fill(&mut random);
        4_000 + usize::from(u16::from_le_bytes(random)) / 8
    });
    let mut dice = Seeded::new(seed + 1);
    let (mut sent, mut taken, mut acked, mut resumed) = (0, 0, 0, 0);
    while taken < count || acked < count {
        let mut random = [0; 2];
        dice.fill(&mut random);
        let patience = Duration::from_micros(u64::from(random[0]) * 4);
        if random[1] % 2 == 0 && sent < count {
            let number = message(sent);
            let send = timeout(patience, client.send(&number));
            if let Ok(handle) = send.await {
                assert!(handle.unwrap().is_some(), "counted");
                sent += 1;
            }
        } else if let Ok(event) = timeout(patience, client.next()).await {
            match event.unwrap() {
                // An answer to a ping of the machines comes again, too, when the one who asked is gone.
                Event::Stanza(stanza) if stanza.head().kind == StanzaKind::Message => {
                    assert_eq!(
                        stanza.head().id.as_deref(),
                        Some(taken.to_string().as_str())
                    );
                    taken += 1;
                }
                Event::Acked(handles) => acked += handles.len() as usize,
                Event::Online { resumed: true, .. } => resumed += 1,
                Event::Returned(entries) => panic!("{entries:?}"),
                _ => {}
            }
        }
    }
    client.close().await;
    while let Some(event) = client.next().await {
        assert!(!matches!(event, Event::Stanza(_)), "once only");
    }
    let expected: Vec<String> = (0..count).map(|number| number.to_string()).collect();
    assert_eq!(*server.arrived.lock().unwrap(), expected);
    resumed
}

/// Delivered exactly once, both ways, whatever is cut when and whatever call is dropped when.
#[tokio::test]
async fn cuts_at_random_lose_nothing_and_double_nothing() {
    let mut resumed = 0;
    for seed in 0..8 {
        let mut offers = ALL;
        offers.tokens = seed % 2 == 1;
        offers.sasl2 = seed % 4 >= 2;
        let exchange = exchange(seed, offers, 60);
        resumed += timeout(Duration::from_secs(60), exchange).await.unwrap();
    }
    assert!(resumed >= 16, "only {resumed} cuts hit a session");
}

#[tokio::test]
async fn over_tcp_with_either_begin_of_tls_and_with_sasl2() {
    for (transport, begin, sasl2) in [
        (Transport::StartTls, Begin::StartTls, false),
        (Transport::DirectTls, Begin::DirectTls, false),
        (Transport::DirectTls, Begin::DirectTls, true),
    ] {
        let server = Echo::new(Offers { sasl2, ..ALL });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = Location::parse(&listener.local_addr().unwrap().to_string(), 1).unwrap();
        let settings = server.settings(PASSWORD).at(place, begin);
        let accepting = Arc::clone(&server);
        let served = tokio::spawn(async move {
            let (socket, _) = listener.accept().await.unwrap();
            accepting.serve(socket, transport).await
        });
        let mut client = Client::tcp(settings);
        client.send(&message(7)).await.unwrap();
        loop {
            match client.next().await.unwrap() {
                Event::Stanza(stanza) => {
                    assert_eq!(stanza.head().id.as_deref(), Some("7"));
                    break;
                }
                Event::Offline { cause, .. } => panic!("{cause}"),
                _ => {}
            }
        }
        assert_eq!(
            client.jid().unwrap().to_bare().to_string(),
            "juliet@im.example.com"
        );
        client.close().await;
        assert!(client.send(&message(8)).await.is_err());
        // The footer came, and the server has nothing to keep.
        served.await.unwrap().unwrap();
        assert_eq!(*server.arrived.lock().unwrap(), ["7"]);
    }
}

#[tokio::test]
async fn a_wrong_password_is_said_once_and_not_tried_again() {
    let server = Echo::new(ALL);
    let mut client = client(&server, "wherefore", || usize::MAX);
    loop {
        match client.next().await.unwrap() {
            Event::Offline { cause, again } => {
                assert!(matches!(cause, Cause::Refused(_)), "{cause}");
                // What `main` shows of it.
                assert_eq!(format!("{cause:?}"), cause.to_string());
                assert_eq!(again, None);
                break;
            }
            Event::Other(_) => {}
            event => panic!("{event:?}"),
        }
    }
    assert!(client.next().await.is_none());
    assert!(client.send(&message(0)).await.is_err());
}

/// RFC 6120 §3.3: pauses grow, and are drawn at random.
#[tokio::test(start_paused = true)]
async fn a_server_that_is_down_is_tried_again_ever_more_seldom() {
    let server = Echo::new(ALL);
    let tried = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&tried);
    let mut client: Client<DuplexStream> = Client::new(server.settings(PASSWORD), move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) })
    });
    let began = tokio::time::Instant::now();
    let mut longest = Duration::ZERO;
    for failed in 0..12 {
        let Some(Event::Offline {
            cause: Cause::Transport(_),
            again: Some(again),
        }) = client.next().await
        else {
            panic!();
        };
        assert!(again <= Duration::from_secs(1 << failed).min(Duration::from_secs(120)));
        longest = longest.max(again);
    }
    assert!(longest > Duration::from_secs(10), "{longest:?}");
    assert!(
        began.elapsed() > Duration::from_secs(60),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(tried.load(Ordering::Relaxed), 12);
    // A client that is closed while it waits is closed at once.
    client.close().await;
    assert!(client.next().await.is_none());
}

/// Whoever takes nothing is sent nothing more: what waits here is bounded by `INBOX` and one read.
#[tokio::test]
async fn a_slow_application_slows_its_server() {
    let server = Echo::new(ALL);
    let read = Arc::default();
    let mut client = counting(&server, PASSWORD, &read, || usize::MAX);
    let mut sent = 0;
    while timeout(Duration::from_secs(1), client.send(&message(sent)))
        .await
        .is_ok()
    {
        sent += 1;
    }
    // As many as can be kept until they are acknowledged, and none of them given up.
    assert!((512..1_200).contains(&sent), "{sent} sent");
    let bytes = read.load(Ordering::Relaxed);
    assert!((10_000..60_000).contains(&bytes), "{bytes} bytes read");
    let mut taken = 0;
    while taken < sent {
        match client.next().await.unwrap() {
            Event::Stanza(_) => taken += 1,
            Event::Returned(_) => panic!(),
            _ => {}
        }
    }
}

/// The two halves may be polled by tasks of their own: neither takes the other's place.
#[tokio::test]
async fn one_task_sends_and_another_takes() {
    let server = Echo::new(ALL);
    let (mut sink, mut stream) = client(&server, PASSWORD, || usize::MAX).split();
    let sends = tokio::spawn(async move {
        for number in 0..500 {
            sink.send(message(number)).await.unwrap();
        }
        sink
    });
    let mut taken = 0;
    while taken < 500 {
        if let Event::Stanza(stanza) = stream.next().await.unwrap() {
            assert_eq!(
                stanza.head().id.as_deref(),
                Some(taken.to_string().as_str())
            );
            taken += 1;
        }
    }
    sends.await.unwrap().close().await.unwrap();
    assert_eq!(server.arrived.lock().unwrap().len(), 500);
}

/// What is taken and not dealt with comes again to the next process; what is dealt with does not.
#[tokio::test]
async fn stanzas_that_are_handled_by_hand_come_again_until_they_are() {
    let server = Echo::new(ALL);
    let dial = |server: Arc<Echo>| {
        move |_: Location| -> Pin<Box<dyn Future<Output = io::Result<DuplexStream>> + Send>> {
            let (ours, theirs) = duplex(4096);
            tokio::spawn(Arc::clone(&server).serve(theirs, Transport::StartTls));
            Box::pin(async move { Ok(ours) })
        }
    };
    let mut settings = server.settings(PASSWORD);
    settings.handled_by_hand = true;
    let mut first = Client::new(settings, dial(Arc::clone(&server)));
    for number in 0..3 {
        first.send(&message(number)).await.unwrap();
    }
    let mut taken = 0;
    while taken < 3 {
        taken += usize::from(matches!(first.next().await.unwrap(), Event::Stanza(_)));
    }
    first.handled(2);
    let mut settings = server.settings(PASSWORD);
    settings.entity = first.into_entity();
    let mut second = Client::new(settings, dial(Arc::clone(&server)));
    loop {
        match second.next().await.unwrap() {
            Event::Online { resumed, .. } => assert!(resumed),
            Event::Stanza(stanza) => {
                assert_eq!(stanza.head().id.as_deref(), Some("2"));
                break;
            }
            _ => {}
        }
    }
    second.close().await;
    assert_eq!(server.arrived.lock().unwrap().len(), 3);
}
