//! tokio-xmpp's stream on what the other benches measure: the corpus, and a classic login with PLAIN, both ends, without TLS.
//!
//! The login ends as ours does, with the client's first message behind stream management. Its responder has no passwords
//! and no sessions, so it does less than ours.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::io::Result;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::{SinkExt as _, StreamExt as _};
use gungraun::{Dhat, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};
use onetrip_tests::corpus::Corpus;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, BufStream, DuplexStream, ReadBuf};
use tokio::runtime::{Builder, Runtime};
use tokio_xmpp::jid::{FullJid, Jid};
use tokio_xmpp::parsers::bind::{BindFeature, BindQuery, BindResponse};
use tokio_xmpp::parsers::iq::Iq;
use tokio_xmpp::parsers::message::{Lang, Message};
use tokio_xmpp::parsers::sasl::{Auth, Mechanism, Nonza as Sasl, Success};
use tokio_xmpp::parsers::sm::{Enable, Enabled, Nonza as Management, StreamManagement};
use tokio_xmpp::parsers::stream_features::StreamFeatures;
use tokio_xmpp::xmlstream::{
    StreamHeader, Timeouts, XmlStream, XmppStreamElement, accept_stream, initiate_stream,
};
use tokio_xmpp::{Stanza, parsers::ns};

const ELEMENTS: usize = 1000;
const SERVER: &str = "im.example.com";
const JID: &str = "juliet@im.example.com/balcony";

/// A transport from which bytes come in pieces, and on which nothing is kept of what is written.
struct Pieces {
    bytes: Vec<u8>,
    at: usize,
    piece: usize,
}

impl AsyncBufRead for Pieces {
    fn poll_fill_buf(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<&[u8]>> {
        let this = self.get_mut();
        let end = this
            .bytes
            .len()
            .min((this.at / this.piece + 1) * this.piece);
        Poll::Ready(Ok(&this.bytes[this.at..end]))
    }

    fn consume(self: Pin<&mut Self>, read: usize) {
        self.get_mut().at += read;
    }
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let Poll::Ready(piece) = self.as_mut().poll_fill_buf(cx)? else {
            return Poll::Pending;
        };
        let read = piece.len().min(into.remaining());
        into.put_slice(&piece[..read]);
        self.consume(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pieces {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime")
}

fn header() -> StreamHeader<'static> {
    StreamHeader {
        from: None,
        to: Some(SERVER.into()),
        id: None,
    }
}

/// A stream whose header has been read, and all that is to come on it.
fn corpus(piece: usize) -> (Runtime, XmlStream<Pieces, XmppStreamElement>) {
    let runtime = runtime();
    let bytes = Corpus::new(1, ELEMENTS).wire();
    let stream = runtime.block_on(async {
        let pieces = Pieces {
            bytes,
            at: 0,
            piece,
        };
        let stream = accept_stream(pieces, ns::JABBER_CLIENT, Timeouts::default()).await?;
        let stream = stream.send_header(header()).await?;
        stream.send_features(&StreamFeatures::default()).await
    });
    (runtime, stream.expect("a stream"))
}

// Each element as the type that it is.
#[library_benchmark]
#[bench::pieces_1460(corpus(1460))]
fn stream(
    (runtime, mut stream): (Runtime, XmlStream<Pieces, XmppStreamElement>),
) -> (Runtime, XmlStream<Pieces, XmppStreamElement>) {
    runtime.block_on(read(&mut stream));
    (runtime, stream)
}

// What is counted begins and ends with a function by its name, and a block of its own would have a name like it.
async fn read(stream: &mut XmlStream<Pieces, XmppStreamElement>) {
    for _ in 0..ELEMENTS {
        let element = stream.next().await.expect("more is to come");
        drop(black_box(element.expect("an element of the corpus")));
    }
}

type End = BufStream<DuplexStream>;
type Open = XmlStream<End, XmppStreamElement>;

fn login_features() -> [StreamFeatures; 2] {
    let mut first = StreamFeatures::default();
    first.sasl_mechanisms = BTreeSet::from(["PLAIN".to_owned()]);
    let mut second = StreamFeatures::default();
    second.bind = Some(BindFeature { required: true });
    second.stream_management = Some(StreamManagement { optional: false });
    [first, second]
}

fn ends() -> (Runtime, [End; 2], [StreamFeatures; 2]) {
    let (one, other) = tokio::io::duplex(65536);
    (
        runtime(),
        [one, other].map(BufStream::new),
        login_features(),
    )
}

async fn next(stream: &mut Open) -> XmppStreamElement {
    stream
        .next()
        .await
        .expect("more is to come")
        .expect("an element")
}

async fn client(end: End) -> Open {
    let stream = initiate_stream(end, ns::JABBER_CLIENT, header(), Timeouts::default()).await;
    let features = stream.expect("a stream").recv_features().await;
    let (features, mut stream): (_, Open) = features.expect("features");
    assert!(features.sasl_mechanisms.contains("PLAIN"));
    let mechanism = Mechanism::Plain;
    let data = b"\0juliet\0r0m30myr0m30".to_vec();
    let auth = Sasl::Auth(Auth { mechanism, data });
    stream
        .send(&XmppStreamElement::Sasl(auth))
        .await
        .expect("sent");
    assert!(matches!(
        next(&mut stream).await,
        XmppStreamElement::Sasl(Sasl::Success(_))
    ));
    let stream = stream.initiate_reset().send_header(header()).await;
    let features = stream.expect("a stream").recv_features().await;
    let (features, mut stream): (_, Open) = features.expect("features");
    assert!(features.can_bind() && features.stream_management.is_some());
    let bind = Iq::from_set("bind", BindQuery::new(Some("balcony".to_owned())));
    stream
        .send(&XmppStreamElement::Stanza(bind.into()))
        .await
        .expect("sent");
    let XmppStreamElement::Stanza(Stanza::Iq(Iq::Result {
        payload: Some(bound),
        ..
    })) = next(&mut stream).await
    else {
        panic!("no answer")
    };
    let bound = BindResponse::try_from(bound).expect("an address");
    assert_eq!(bound.jid.as_str(), JID);
    let enable = Management::Enable(Enable::new().with_resume());
    stream
        .send(&XmppStreamElement::SM(enable))
        .await
        .expect("sent");
    assert!(matches!(
        next(&mut stream).await,
        XmppStreamElement::SM(Management::Enabled(_))
    ));
    let to: Jid = "romeo@montague.example".parse().expect("an address");
    let message = Message::chat(to).with_body(Lang::new(), "Wherefore art thou?".to_owned());
    stream
        .send(&XmppStreamElement::Stanza(message.into()))
        .await
        .expect("sent");
    stream
}

async fn server(end: End, [first, second]: [StreamFeatures; 2]) -> Open {
    let answered = || StreamHeader {
        from: Some(SERVER.into()),
        to: None,
        id: Some("c2s-5f1b".into()),
    };
    let stream = accept_stream(end, ns::JABBER_CLIENT, Timeouts::default()).await;
    let stream = stream.expect("a stream").send_header(answered()).await;
    let stream = stream.expect("sent").send_features(&first).await;
    let mut stream: Open = stream.expect("sent");
    assert!(matches!(
        next(&mut stream).await,
        XmppStreamElement::Sasl(Sasl::Auth(_))
    ));
    let success = XmppStreamElement::Sasl(Sasl::Success(Success { data: Vec::new() }));
    let stream = stream.accept_reset(&success).await;
    let stream = stream.expect("a stream").send_header(answered()).await;
    let stream = stream.expect("sent").send_features(&second).await;
    let mut stream: Open = stream.expect("sent");
    let XmppStreamElement::Stanza(Stanza::Iq(Iq::Set { id, payload, .. })) =
        next(&mut stream).await
    else {
        panic!("no request")
    };
    let asked = BindQuery::try_from(payload).expect("a request");
    assert_eq!(asked.resource.as_deref(), Some("balcony"));
    let jid: FullJid = JID.parse().expect("an address");
    let bound = Iq::from_result(id, Some(BindResponse { jid }));
    stream
        .send(&XmppStreamElement::Stanza(bound.into()))
        .await
        .expect("sent");
    assert!(matches!(
        next(&mut stream).await,
        XmppStreamElement::SM(Management::Enable(_))
    ));
    let enabled = Management::Enabled(Enabled {
        id: None,
        location: None,
        max: Some(300),
        resume: true,
    });
    stream
        .send(&XmppStreamElement::SM(enabled))
        .await
        .expect("sent");
    assert!(matches!(
        next(&mut stream).await,
        XmppStreamElement::Stanza(Stanza::Message(_))
    ));
    stream
}

#[library_benchmark]
#[bench::classic_plain(ends())]
fn login(
    (runtime, [one, other], features): (Runtime, [End; 2], [StreamFeatures; 2]),
) -> (Runtime, (Open, Open)) {
    let both = runtime.block_on(both(one, other, features));
    (runtime, both)
}

async fn both(one: End, other: End, features: [StreamFeatures; 2]) -> (Open, Open) {
    tokio::join!(client(one), server(other, features))
}

library_benchmark_group!(
    name = peers;
    config = LibraryBenchmarkConfig::default().tool(Dhat::default());
    benchmarks = stream, login
);

main!(library_benchmark_groups = peers);
