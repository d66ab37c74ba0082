use core::time::Duration;

use onetrip_stream::{Content, Head, Instant, Payload, Stanza, StanzaKind, ns};
use proptest::prelude::*;

use super::*;
use crate::Refusal;
use crate::iq::testing::*;

const NOW: Instant = Instant::EPOCH;

fn config() -> Config {
    Config::default()
}

fn receiver(config: Config) -> Bytestream {
    at(0, 7, |env| {
        Bytestream::established(config, env, romeo(), "s")
    })
}

/// What Romeo says to Juliet.
fn said_by_romeo(id: &str, packet: &Payload<'_>) -> Stanza {
    stamped(&asked(&juliet(), id, packet), &romeo())
}

fn data(seq: u16, text: &str) -> Stanza {
    let packet = Packet::Data { sid: "s", seq };
    said_by_romeo("d", &packet.to_payload().with_text(text))
}

fn close() -> Stanza {
    said_by_romeo("c", &Packet::Close { sid: "s" }.to_payload())
}

fn sent(stream: &mut Bytestream) -> Vec<Stanza> {
    core::iter::from_fn(|| stream.poll_action())
        .filter_map(|action| match action {
            Action::Send(stanza) => Some(stanza),
            Action::Event(_) => None,
        })
        .collect()
}

fn events(stream: &mut Bytestream) -> Vec<Event> {
    core::iter::from_fn(|| stream.poll_action())
        .filter_map(|action| match action {
            Action::Event(event) => Some(event),
            Action::Send(_) => None,
        })
        .collect()
}

/// The stanza error conditions and requests, in short.
fn said(stream: &mut Bytestream) -> Vec<String> {
    sent(stream)
        .iter()
        .map(|stanza| match kind(stanza) {
            "error" => {
                let stanza = stanza.element();
                let error = stanza.get_child("error", ns::CLIENT).unwrap();
                error.children().next().unwrap().name().to_owned()
            }
            "set" => stanza.payloads().next().unwrap().name().to_owned(),
            kind => kind.to_owned(),
        })
        .collect()
}

/// Carries stanzas to and fro until nothing moves, reading all there is; what each end read.
fn carry(romeos: &mut Bytestream, juliets: &mut Bytestream) -> (Vec<u8>, Vec<u8>) {
    let (mut at_romeo, mut at_juliet) = (Vec::new(), Vec::new());
    loop {
        let (from_romeo, from_juliet) = (sent(romeos), sent(juliets));
        if from_romeo.is_empty() && from_juliet.is_empty() {
            return (at_romeo, at_juliet);
        }
        for stanza in from_romeo {
            let taken = juliets.handle(NOW, &stamped(&stanza, &romeo())).unwrap();
            // An answer to <close/> may come when the peer's own has closed it already.
            assert!(taken || kind(&stanza) == "result");
            while let Some(bytes) = juliets.read(NOW) {
                at_juliet.extend_from_slice(&bytes);
            }
        }
        for stanza in from_juliet {
            let taken = romeos.handle(NOW, &stamped(&stanza, &juliet())).unwrap();
            // An answer to <close/> may come when the peer's own has closed it already.
            assert!(taken || kind(&stanza) == "result");
            while let Some(bytes) = romeos.read(NOW) {
                at_romeo.extend_from_slice(&bytes);
            }
        }
    }
}

#[test]
fn a_bytestream_opens_carries_and_closes() {
    let mut ours = at(0, 1, |env| Bytestream::open(config(), env, juliet(), "s"));
    let mut theirs = at(0, 2, |env| {
        Bytestream::await_open(config(), env, romeo(), "s")
    });
    assert_eq!(ours.write(NOW, b"before it is open"), 17);
    let (_, read) = carry(&mut ours, &mut theirs);
    assert_eq!(read, b"before it is open");
    theirs.write(NOW, b"flushed");
    ours.close(NOW);
    let (read, _) = carry(&mut ours, &mut theirs);
    assert_eq!(
        read, b"flushed",
        "what waits goes out before close is answered"
    );
    assert!(ours.is_closed() && theirs.is_closed());
    assert_eq!((ours.poll_timeout(), theirs.poll_timeout()), (None, None));
}

#[test]
fn both_may_close_at_once() {
    let mut ours = at(0, 1, |env| {
        Bytestream::established(config(), env, juliet(), "s")
    });
    let mut theirs = receiver(config());
    ours.close(NOW);
    theirs.close(NOW);
    carry(&mut ours, &mut theirs);
    assert!(ours.is_closed() && theirs.is_closed());
}

#[test]
fn close_is_answered_when_everything_has_arrived_and_not_before() {
    let mut stream = receiver(config());
    stream.write(NOW, b"last words");
    let chunk = sent(&mut stream).remove(0);
    stream.handle(NOW, &close()).unwrap();
    assert!(said(&mut stream).is_empty());
    let ack = answered(&romeo(), &juliet(), id(&chunk));
    assert_eq!(stream.handle(NOW, &ack), Ok(true));
    assert_eq!(said(&mut stream), ["result"]);
    assert!(stream.is_closed());
}

#[test]
fn close_is_answered_though_the_peer_refuses_what_is_left() {
    let mut stream = receiver(config());
    stream.write(NOW, b"last words");
    let chunk = sent(&mut stream).remove(0);
    stream.handle(NOW, &close()).unwrap();
    let refusal = refused(&romeo(), &juliet(), id(&chunk), Refusal::ItemNotFound);
    stream.handle(NOW, &refusal).unwrap();
    assert_eq!(said(&mut stream), ["result"]);
    assert!(stream.is_closed());
}

#[test]
fn a_gap_closes_and_nothing_behind_it_is_read() {
    let mut stream = receiver(config());
    stream.handle(NOW, &data(0, "AAAA")).unwrap();
    assert_eq!(stream.handle(NOW, &data(2, "AAAA")), Err(Error::Gap));
    assert_eq!(said(&mut stream), ["result", "unexpected-request", "close"]);
    assert_eq!(
        stream.handle(NOW, &data(1, "BBBB")),
        Err(Error::Gap),
        "final"
    );
    assert_eq!(said(&mut stream), ["item-not-found"]);
    assert_eq!(stream.read(NOW).unwrap().len(), 3);
    assert_eq!(stream.read(NOW), None);
}

#[test]
fn a_number_that_was_never_used_is_a_gap_even_just_below_zero() {
    assert_eq!(
        receiver(config()).handle(NOW, &data(65535, "AAAA")),
        Err(Error::Gap)
    );
}

#[test]
fn a_duplicate_is_refused_and_not_read_twice() {
    let mut stream = receiver(config());
    stream.handle(NOW, &data(0, "AAAA")).unwrap();
    stream.handle(NOW, &data(0, "AAAA")).unwrap();
    assert_eq!(said(&mut stream), ["result", "unexpected-request"]);
    assert!(stream.read(NOW).is_some() && stream.read(NOW).is_none());
    assert!(!stream.is_closed());
}

#[test]
fn bad_base64_and_oversized_chunks_are_bad_requests_and_close() {
    for (text, error) in [("=AAA", Error::NotBase64), ("AAAAAAAA", Error::TooLong)] {
        let mut stream = receiver(Config {
            block_size: 5,
            ..config()
        });
        assert_eq!(stream.handle(NOW, &data(0, text)), Err(error));
        assert_eq!(said(&mut stream), ["bad-request", "close"]);
    }
}

#[test]
fn folded_base64_is_refused_when_strict() {
    let strict = Config {
        strict_base64: true,
        ..config()
    };
    assert!(receiver(strict).handle(NOW, &data(0, "AA\nAA")).is_err());
    assert!(receiver(config()).handle(NOW, &data(0, "AA\nAA")).is_ok());
}

#[test]
fn another_sid_or_another_sender_is_not_taken_and_item_not_found() {
    let mut stream = receiver(config());
    let elsewhere = "romeo@montague.lit/balcony".parse().unwrap();
    let stranger = stamped(&data(0, "AAAA"), &elsewhere);
    let other = data(0, "AAAA");
    assert_eq!(stream.handle(NOW, &stranger), Ok(false));
    let mut elsewhere = at(0, 0, |env| {
        Bytestream::established(config(), env, romeo(), "t")
    });
    assert_eq!(elsewhere.handle(NOW, &other), Ok(false));
    let answer = unknown(&other).unwrap();
    let tree = answer.element();
    let error = tree.get_child("error", ns::CLIENT).unwrap();
    assert!(
        error
            .get_child("item-not-found", ns::STANZA_ERRORS)
            .is_some()
    );
    assert_eq!(unknown(&answer), None, "errors are never answered");
    assert_eq!(
        stream.handle(NOW, &data(0, "AAAA")),
        Ok(true),
        "nothing has changed"
    );
}

#[test]
fn chunks_come_by_message_too_and_are_not_answered() {
    let mut stream = receiver(config());
    let packet = Packet::Data { sid: "s", seq: 0 };
    let head = Head::new(StanzaKind::Message, Content::Client);
    let data = packet.to_payload().with_text("AAAA");
    let message = Stanza::new(head, Some(&data)).unwrap();
    assert_eq!(stream.handle(NOW, &stamped(&message, &juliet())), Ok(false));
    assert_eq!(stream.handle(NOW, &stamped(&message, &romeo())), Ok(true));
    assert!(said(&mut stream).is_empty());
    assert_eq!(stream.read(NOW).unwrap().len(), 3);
}

#[test]
fn an_open_that_names_another_block_size_is_a_resource_constraint() {
    let open = |size: u16| {
        let packet = Packet::Open {
            sid: "s",
            block_size: size,
            by_message: false,
        };
        said_by_romeo("o", &packet.to_payload())
    };
    for (exact, size, said_to_it) in [
        (true, 4096, "result"),
        (true, 2048, "resource-constraint"),
        (false, 2048, "result"),
        (false, 8192, "resource-constraint"),
    ] {
        let config = Config {
            exact_block_size: exact,
            ..config()
        };
        let mut stream = at(0, 0, |env| {
            Bytestream::await_open(config, env, romeo(), "s")
        });
        stream.handle(NOW, &open(size)).unwrap();
        assert_eq!(said(&mut stream), [said_to_it], "{size}");
    }
    let mut stream = receiver(config());
    stream.handle(NOW, &open(4096)).unwrap();
    assert_eq!(said(&mut stream), ["unexpected-request"], "it is open");
}

#[test]
fn no_more_than_32767_is_ever_offered() {
    let config = Config {
        block_size: 65535,
        ..config()
    };
    let mut stream = at(0, 0, |env| Bytestream::open(config, env, juliet(), "s"));
    let open = sent(&mut stream).remove(0);
    assert_eq!(
        open.payloads().next().unwrap().attr("block-size"),
        Some("32767")
    );
}

#[test]
fn no_more_is_sent_than_the_window_allows() {
    for window in [1, 3] {
        let config = Config {
            window,
            block_size: 10,
            send_buffer: 100,
            ..config()
        };
        let mut stream = receiver(config);
        assert_eq!(stream.write(NOW, &[0; 200]), 100, "bounded");
        assert_eq!(sent(&mut stream).len(), usize::from(window));
    }
}

#[test]
fn a_writer_that_was_refused_is_told_of_room() {
    let mut stream = receiver(Config {
        block_size: 10,
        send_buffer: 10,
        ..config()
    });
    assert_eq!(stream.write(NOW, &[0; 15]), 10);
    assert_eq!(events(&mut stream), [Event::Writable]);
}

#[test]
fn a_reader_that_does_not_read_holds_the_acknowledgement_back() {
    let mut stream = receiver(Config {
        receive_buffer: 6,
        ..config()
    });
    for seq in 0..4 {
        stream.handle(NOW, &data(seq, "AAAA")).unwrap();
    }
    assert_eq!(said(&mut stream), ["result", "result"]);
    assert_eq!(stream.handle(NOW, &data(4, "AAAA")), Err(Error::TooMuch));
    assert_eq!(said(&mut stream), ["resource-constraint", "close"]);

    let mut stream = receiver(Config {
        receive_buffer: 6,
        ..config()
    });
    for seq in 0..3 {
        stream.handle(NOW, &data(seq, "AAAA")).unwrap();
    }
    said(&mut stream);
    stream.read(NOW);
    assert!(said(&mut stream).is_empty());
    stream.read(NOW);
    assert_eq!(said(&mut stream), ["result"]);
}

#[test]
fn a_chunk_that_the_peer_refuses_closes() {
    let mut stream = receiver(config());
    stream.write(NOW, b"x");
    let request = sent(&mut stream).remove(0);
    let refusal = refused(&romeo(), &juliet(), id(&request), Refusal::BadRequest);
    stream.handle(NOW, &refusal).unwrap();
    assert!(stream.is_closed());
    assert_eq!(said(&mut stream), ["close"]);
}

#[test]
fn close_is_final_even_when_the_peer_does_not_know_it() {
    let mut stream = receiver(config());
    stream.close(NOW);
    let request = sent(&mut stream).remove(0);
    let refusal = refused(&romeo(), &juliet(), id(&request), Refusal::ItemNotFound);
    stream.handle(NOW, &refusal).unwrap();
    assert_eq!(events(&mut stream), [Event::Closed(Why::Here)]);
}

#[test]
fn a_peer_that_does_not_answer_is_given_up_at_the_deadline_and_not_before() {
    let mut stream = receiver(config());
    assert_eq!(stream.poll_timeout(), None);
    stream.write(NOW, b"x");
    let deadline = stream.poll_timeout().unwrap();
    assert_eq!(deadline, NOW + Duration::from_secs(30));
    stream.handle_timeout(Instant::from_millis(29_999));
    assert!(!stream.is_closed());
    stream.handle_timeout(deadline);
    assert_eq!(events(&mut stream), [Event::Closed(Why::Silent)]);
    assert_eq!(stream.poll_timeout(), None);
}

#[test]
fn the_deadline_moves_with_every_answer() {
    let mut stream = receiver(Config {
        block_size: 1,
        ..config()
    });
    stream.write(NOW, b"xy");
    let chunk = sent(&mut stream).remove(0);
    let later = Instant::from_millis(20_000);
    stream
        .handle(later, &answered(&romeo(), &juliet(), id(&chunk)))
        .unwrap();
    assert_eq!(stream.poll_timeout(), Some(Instant::from_millis(50_000)));
}

#[test]
fn what_xml_cannot_hold_is_not_sent_and_the_deadline_ends_it() {
    let mut stream = at(0, 1, |env| Bytestream::open(config(), env, juliet(), "\0"));
    assert_eq!(stream.poll_action(), None);
    stream.handle_timeout(stream.poll_timeout().unwrap());
    assert_eq!(
        stream.poll_action(),
        Some(Action::Event(Event::Closed(Why::Silent)))
    );
}

#[test]
fn close_is_said_once() {
    let mut stream = receiver(config());
    stream.close(NOW);
    stream.handle_timeout(NOW + Duration::from_secs(30));
    assert_eq!(said(&mut stream), ["close"]);
    assert!(stream.is_closed());
}

#[test]
fn a_close_that_comes_twice_is_answered_twice() {
    let mut stream = receiver(config());
    stream.write(NOW, b"x");
    sent(&mut stream);
    stream.handle(NOW, &close()).unwrap();
    assert!(said(&mut stream).is_empty());
    stream.handle(NOW, &close()).unwrap();
    assert_eq!(said(&mut stream), ["result"]);
    assert!(!stream.is_closed(), "what waits has not arrived");
}

proptest! {
    #[test]
    fn whatever_is_written_arrives_in_order_over_any_chunking_window_and_wrap(
        ours in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20),
        theirs in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20),
        block_size in 1_u16..64,
        window in 1_u16..5,
        start in prop_oneof![Just(0_u16), 65500_u16..=65535],
        receive_buffer in 1_usize..300,
    ) {
        let config = Config { block_size, window, receive_buffer, ..config() };
        let mut romeos = at(0, 1, |env| Bytestream::established(config, env, juliet(), "s"))
            .with_sequence(start, start);
        let mut juliets = at(0, 2, |env| Bytestream::established(config, env, romeo(), "s"))
            .with_sequence(start, start);
        let (mut at_romeo, mut at_juliet) = (Vec::new(), Vec::new());
        for turn in 0..20 {
            for (stream, writes) in [(&mut romeos, &ours), (&mut juliets, &theirs)] {
                if let Some(bytes) = writes.get(turn) {
                    prop_assert_eq!(stream.write(NOW, bytes), bytes.len());
                }
            }
            let (to_romeo, to_juliet) = carry(&mut romeos, &mut juliets);
            at_romeo.extend(to_romeo);
            at_juliet.extend(to_juliet);
        }
        prop_assert_eq!(at_juliet, ours.concat());
        prop_assert_eq!(at_romeo, theirs.concat());
        romeos.close(NOW);
        carry(&mut romeos, &mut juliets);
        prop_assert!(romeos.is_closed() && juliets.is_closed());
    }

    #[test]
    fn any_text_in_any_order_never_panics(
        chunks in prop::collection::vec((0_u16..4, "[A-D=\\n !]{0,12}"), 0..12),
    ) {
        let mut stream = receiver(Config { block_size: 8, receive_buffer: 8, ..config() });
        for (seq, text) in chunks {
            let _ = stream.handle(NOW, &data(seq, &text));
        }
        prop_assert!(stream.unread() <= 24);
    }
}
