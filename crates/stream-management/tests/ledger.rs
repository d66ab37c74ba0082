//! The books against a model that never wraps.
#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic
)]

use core::time::Duration;

use minidom::Element;
use onetrip_stream::{Build as _, Condition, Instant, StreamError, ns};
use onetrip_stream_management::{
    AckPolicy, Count, Due, Granted, Handle, Ledger, Nonza, NonzaError, QueueLimits,
};
use proptest::prelude::*;

const T0: Instant = Instant::EPOCH;

/// Sends where there is room.
fn send(ledger: &mut Ledger, text: &'static str) -> Handle {
    let (handle, dropped) = ledger.send(T0, text.into());
    assert!(dropped.is_empty());
    handle
}

fn limits(stanzas: usize, bytes: usize) -> QueueLimits {
    let mut limits = QueueLimits::default();
    (limits.stanzas, limits.bytes) = (stanzas, bytes);
    limits
}

#[test]
fn every_nonza_survives_the_wire() {
    let mut granted = Granted::default();
    granted.id = Some("s1".into());
    granted.max = Some(300);
    granted.location = Some("[2001:db8::1]:5222".into());
    let all = [
        Nonza::Enable {
            resume: true,
            max: Some(60),
        },
        Nonza::Enable {
            resume: false,
            max: None,
        },
        Nonza::Enabled(granted),
        Nonza::Enabled(Granted::default()),
        Nonza::Resume {
            previd: "s1".into(),
            h: Count::new(u32::MAX),
        },
        Nonza::Resumed {
            previd: "s1".into(),
            h: Count::new(0),
        },
        Nonza::Failed {
            h: Some(Count::new(7)),
            condition: Some("item-not-found".into()),
        },
        Nonza::Failed {
            h: None,
            condition: None,
        },
        Nonza::Request,
        Nonza::Ack(Count::new(3)),
    ];
    for nonza in all {
        assert_eq!(Nonza::read(&nonza.to_element()), Some(Ok(nonza)));
    }
}

/// aioxmpp#382, prosody 01e03f483: what is malformed is said to be, and both truths are true.
#[test]
fn malformed_nonzas_are_errors_and_both_truths_are_true() {
    let sm = |name: &str| Element::bare(name, ns::STREAM_MANAGEMENT);
    assert_eq!(Nonza::read(&sm("a")), Some(Err(NonzaError::Attribute("h"))));
    assert_eq!(
        Nonza::read(&sm("a").with_attr("h", "-1")),
        Some(Err(NonzaError::Attribute("h")))
    );
    assert_eq!(
        Nonza::read(&sm("resume").with_attr("h", "1")),
        Some(Err(NonzaError::Attribute("previd")))
    );
    assert_eq!(Nonza::read(&sm("x")), Some(Err(NonzaError::Unknown)));
    assert_eq!(Nonza::read(&Element::bare("a", "urn:x")), None);
    let failed = sm("failed")
        .with_attr("h", "many")
        .with_child(Element::bare("odd", "urn:x"));
    assert_eq!(
        Nonza::read(&failed),
        Some(Ok(Nonza::Failed {
            h: None,
            condition: None
        }))
    );
    assert_eq!(
        Nonza::read(&sm("enable").with_attr("resume", "1")),
        Some(Ok(Nonza::Enable {
            resume: true,
            max: None
        }))
    );
}

/// XEP-0198 §6: more than was sent ends the stream, and changes nothing (MongooseIM 2dd3036ce, Openfire PR#927).
#[test]
fn an_h_that_was_never_reached_is_too_high() {
    let mut ledger = Ledger::new(QueueLimits::default(), AckPolicy::default());
    send(&mut ledger, "<message/>");
    let error = ledger.acknowledged(T0, Count::new(2)).unwrap_err();
    assert_eq!((error.h, error.sent), (Count::new(2), Count::new(1)));
    let element = error.stream_error().to_element();
    let read = StreamError::from_element(&element).unwrap();
    assert_eq!(read.condition, Condition::UndefinedCondition);
    assert_eq!(read.application.unwrap().attr("send-count"), Some("1"));
    assert_eq!(ledger.queue().unacked(), 1);
}

/// XEP-0198 §8.1 taken literally loses one stanza: h = 0 settles none (Conversations' first key).
#[test]
fn an_h_of_zero_settles_nothing() {
    let mut ledger = Ledger::new(QueueLimits::default(), AckPolicy::default());
    let first = send(&mut ledger, "<a/>");
    let second = send(&mut ledger, "<b/>");
    assert_eq!(ledger.acknowledged(T0, Count::new(0)), Ok(None));
    let settled = ledger.acknowledged(T0, Count::new(1)).unwrap().unwrap();
    assert_eq!(settled.iter().collect::<Vec<_>>(), [first]);
    assert!(settled.contains(first) && !settled.contains(second));
    assert_eq!(
        ledger
            .hand_back()
            .iter()
            .map(|entry| entry.handle)
            .collect::<Vec<_>>(),
        [second]
    );
    assert_eq!(
        ledger.queue().sent(),
        Count::new(2),
        "the count is not forgotten with the queue"
    );
}

/// The queue is bounded by count and by bytes; what does not fit is handed back, and the session is openly not
/// resumable until the peer has caught up.
#[test]
fn an_overflow_is_open_and_nothing_is_lost_silently() {
    for limits in [limits(2, 1000), limits(100, 8)] {
        let mut ledger = Ledger::new(limits, AckPolicy::default());
        let first = send(&mut ledger, "<a/>");
        send(&mut ledger, "<b/>");
        assert!(ledger.is_resumable());
        let (_, dropped) = ledger.send(T0, "<c/>".into());
        assert!(!ledger.is_resumable());
        assert_eq!(
            (dropped[0].handle, &dropped[0].bytes[..]),
            (first, &b"<a/>"[..])
        );
        assert_eq!((ledger.queue().unacked(), ledger.queue().bytes()), (3, 8));
        assert_eq!(
            ledger.acknowledged(T0, Count::new(1)),
            Ok(None),
            "it was told before"
        );
        assert!(
            ledger.is_resumable(),
            "the one that was dropped has arrived all the same"
        );
    }
}

/// Prosody: no ping-pong of requests, and the last word before a close.
#[test]
fn requests_are_one_at_a_time_and_the_last_ack_is_said_once() {
    let mut ledger = Ledger::new(QueueLimits::default(), AckPolicy::default());
    assert!(!ledger.request_due(T0), "nothing to ask about");
    for _ in 0..5 {
        send(&mut ledger, "<a/>");
    }
    assert!(ledger.request_due(T0));
    for _ in 0..10 {
        send(&mut ledger, "<a/>");
    }
    assert!(!ledger.request_due(T0), "one is unanswered");
    ledger.acknowledged(T0, Count::new(5)).unwrap();
    assert!(ledger.request_due(T0));
    assert_eq!(ledger.last_ack(), None);
    ledger.arrived();
    assert_eq!(ledger.last_ack(), None, "arrived is not handled");
    ledger.handled(5);
    assert_eq!(ledger.h(), Count::new(1), "never more than arrived");
    assert_eq!(
        (ledger.last_ack(), ledger.last_ack()),
        (Some(Nonza::Ack(Count::new(1))), None)
    );
}

/// A stanza that nobody asks about is asked about; silence behind that is a dead link (Prosody's watchdog).
#[test]
fn an_idle_stanza_is_asked_about_and_silence_is_noticed() {
    let mut ledger = Ledger::new(QueueLimits::default(), AckPolicy::default());
    assert_eq!(ledger.deadline(), None);
    send(&mut ledger, "<a/>");
    let idle = T0 + Duration::from_secs(3);
    assert_eq!((ledger.deadline(), ledger.due(T0)), (Some(idle), None));
    assert_eq!(ledger.due(idle), Some(Due::Request));
    let dead = idle + Duration::from_secs(60);
    assert_eq!((ledger.deadline(), ledger.due(idle)), (Some(dead), None));
    let mut answered = ledger.clone();
    assert_eq!(ledger.due(dead), Some(Due::Unanswered));
    assert_eq!((ledger.deadline(), ledger.due(dead)), (None, None));
    answered.acknowledged(T0, Count::new(1)).unwrap();
    assert_eq!(answered.deadline(), None);
}

/// An `<r/>` is answered at once with what is handled, and again when the rest is; what an answer leaves open is asked
/// about again. Neither end waits for the other.
#[test]
fn an_early_request_is_answered_again_and_an_early_answer_asked_about_again() {
    let mut ledger = Ledger::new(QueueLimits::default(), AckPolicy::default());
    for _ in 0..3 {
        ledger.arrived();
    }
    ledger.handled(1);
    assert_eq!(ledger.requested(), Nonza::Ack(Count::new(1)));
    ledger.arrived();
    ledger.handled(1);
    assert_eq!(ledger.volunteered(), None);
    ledger.handled(1);
    assert_eq!(ledger.volunteered(), Some(Nonza::Ack(Count::new(3))));
    assert_eq!(ledger.volunteered(), None, "once");

    let mut asker = Ledger::new(QueueLimits::default(), AckPolicy::default());
    send(&mut asker, "<a/>");
    asker.note_request(T0);
    asker.acknowledged(T0, Count::new(0)).unwrap();
    assert_eq!(asker.deadline(), Some(T0 + Duration::from_secs(3)));
}

/// What arrives for ourselves is counted in its turn: never ahead of what the application still has in its hands.
#[test]
fn what_arrives_for_ourselves_counts_in_its_turn() {
    let mut ledger = Ledger::new(QueueLimits::default(), AckPolicy::default());
    ledger.arrived_own();
    assert_eq!(ledger.h(), Count::new(1), "nothing is before it");
    ledger.arrived();
    ledger.arrived_own();
    ledger.arrived();
    assert_eq!(ledger.h(), Count::new(1));
    assert_eq!(ledger.unhandled(), 2, "those that the application has");
    ledger.handled(1);
    assert_eq!(ledger.h(), Count::new(3));
    ledger.handled(1);
    assert_eq!((ledger.h(), ledger.unhandled()), (Count::new(4), 0));
}

#[derive(Debug, Clone)]
enum Op {
    Send(u8),
    /// Acknowledge so much of what is unacknowledged, in 256ths.
    Ack(u8),
    Arrive,
    Handle(u8),
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Near 2^32 the books agree with a model that counts in 64 bits and keeps everything.
    #[test]
    fn wrap_at_2_to_the_32(begin in (u32::MAX - 40)..=u32::MAX, ops in proptest::collection::vec(prop_oneof![
        3 => any::<u8>().prop_map(Op::Send), 2 => any::<u8>().prop_map(Op::Ack), 2 => Just(Op::Arrive), 1 => any::<u8>().prop_map(Op::Handle)], 0..120)) {
        let mut ledger = Ledger::beginning_at(limits(1000, 1 << 20), AckPolicy::default(), Count::new(begin), Count::new(begin));
        let (mut sent, mut acked, mut arrived, mut handled) = (u64::from(begin), u64::from(begin), u64::from(begin), u64::from(begin));
        let mut model = std::collections::VecDeque::new();
        for op in ops {
            match op {
                Op::Send(size) => {
                    let bytes = bytes::Bytes::from(vec![b'x'; usize::from(size)]);
                    model.push_back((ledger.send(T0, bytes.clone()).0, bytes));
                    sent += 1;
                }
                Op::Ack(part) => {
                    let fresh = (sent - acked) * u64::from(part) / 255;
                    acked += fresh;
                    let settled = ledger.acknowledged(T0, Count::new(acked as u32)).unwrap();
                    let settled: Vec<Handle> = settled.iter().flat_map(|handles| handles.iter()).collect();
                    let expected: Vec<Handle> = model.drain(..fresh as usize).map(|(handle, _)| handle).collect();
                    prop_assert_eq!(settled, expected);
                    // One more than was sent is always too many, wherever the counts stand.
                    prop_assert!(ledger.acknowledged(T0, Count::new((sent + 1) as u32)).is_err());
                }
                Op::Arrive => {
                    arrived += 1;
                    ledger.arrived();
                }
                Op::Handle(count) => {
                    handled = arrived.min(handled + u64::from(count));
                    ledger.handled(count.into());
                }
            }
            prop_assert_eq!(ledger.h(), Count::new(handled as u32));
            prop_assert_eq!(ledger.queue().sent(), Count::new(sent as u32));
            prop_assert_eq!(u64::from(ledger.queue().unacked()), sent - acked);
            let held: Vec<_> = ledger.clone().hand_back().into_iter().map(|entry| (entry.handle, entry.bytes)).collect();
            prop_assert!(held.iter().eq(model.iter()));
        }
    }
}
