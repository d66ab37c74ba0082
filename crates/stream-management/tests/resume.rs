//! Two machines, a wire that is cut again and again: every stanza is handled exactly once and in order, or handed back.
#![allow(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::field_reassign_with_default
)]

use std::collections::VecDeque;

use bytes::Bytes;
use onetrip_stream::{Condition, Instant, Jid};
use onetrip_stream_management::{
    Action, Config, Count, Error, Event, Granted, Initiator, Nonza, Receiver, Request, Session,
    Stage,
};
use proptest::prelude::*;

const T0: Instant = Instant::EPOCH;

fn owner() -> Jid {
    "juliet@capulet.lit/balcony".parse().unwrap()
}

/// What is on the wire.
#[derive(Debug, Clone)]
enum Item {
    Nonza(Nonza),
    Stanza(Bytes),
}

/// The two ends, and what lies between them.
struct World {
    client: Initiator,
    server: Receiver,
    to_server: VecDeque<Item>,
    to_client: VecDeque<Item>,
    /// What each application has handled, in order; what has arrived and is not handled yet.
    handled: [Vec<u32>; 2],
    arrived: [VecDeque<u32>; 2],
    sent: [u32; 2],
    /// What the server keeps between connections.
    store: Option<Session>,
    handed_back: usize,
}

fn number(bytes: &Bytes) -> u32 {
    std::str::from_utf8(bytes).unwrap().parse().unwrap()
}

impl World {
    fn new() -> Self {
        let mut this = Self {
            client: Initiator::new(Config::default()),
            server: Receiver::new(Config::default()),
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            handled: [Vec::new(), Vec::new()],
            arrived: [VecDeque::new(), VecDeque::new()],
            sent: [0, 0],
            store: None,
            handed_back: 0,
        };
        this.client.enable(T0, true, None);
        this.drain();
        this
    }

    fn drain(&mut self) {
        loop {
            let (client, server) = (self.client.poll_action(), self.server.poll_action());
            if client.is_none() && server.is_none() {
                return;
            }
            match client {
                Some(Action::Send(nonza)) => self.to_server.push_back(Item::Nonza(nonza)),
                Some(Action::Write(bytes)) => self.to_server.push_back(Item::Stanza(bytes)),
                Some(Action::Event(Event::HandedBack(entries))) => {
                    self.handed_back += entries.len()
                }
                _ => {}
            }
            match server {
                Some(Action::Send(nonza)) => self.to_client.push_back(Item::Nonza(nonza)),
                Some(Action::Write(bytes)) => self.to_client.push_back(Item::Stanza(bytes)),
                Some(Action::Request(Request::Enable { .. })) => {
                    let mut granted = Granted::default();
                    granted.id = Some("s1".into());
                    self.server.grant(granted);
                }
                Some(Action::Request(Request::Resume { .. })) => match self.store.take() {
                    Some(session) => {
                        self.server.resume(T0, &session).unwrap();
                    }
                    None => self.server.refuse("item-not-found", None),
                },
                Some(Action::Event(Event::HandedBack(entries))) => {
                    self.handed_back += entries.len()
                }
                _ => {}
            }
        }
    }

    /// One item arrives at one end.
    fn deliver(&mut self, at_server: bool) {
        let wire = if at_server {
            &mut self.to_server
        } else {
            &mut self.to_client
        };
        match wire.pop_front() {
            Some(Item::Nonza(nonza)) if at_server => {
                self.server.handle(T0, &nonza.to_element(), true).unwrap()
            }
            Some(Item::Nonza(nonza)) => self.client.handle(T0, &nonza.to_element()).unwrap(),
            Some(Item::Stanza(bytes)) => {
                self.arrived[usize::from(at_server)].push_back(number(&bytes));
                if at_server {
                    self.server.arrived();
                } else {
                    self.client.arrived();
                }
            }
            None => {}
        }
        self.drain();
    }

    /// One application handles the oldest that arrived.
    fn handle(&mut self, at_server: bool) {
        let end = usize::from(at_server);
        if let Some(stanza) = self.arrived[end].pop_front() {
            self.handled[end].push(stanza);
            if at_server {
                self.server.handled(1)
            } else {
                self.client.handled(1)
            }
        }
        self.drain();
    }

    fn send(&mut self, from_server: bool) {
        let end = usize::from(from_server);
        self.sent[end] += 1;
        let bytes = Bytes::from(self.sent[end].to_string());
        match (from_server, &mut self.store) {
            (true, Some(session)) => session.push(bytes),
            (true, None) => drop(self.server.send(T0, bytes)),
            (false, _) => drop(self.client.send(T0, bytes)),
        }
        self.drain();
    }

    /// The connection dies with all that is on it, both ends go away, are stored, and come back.
    fn cut_and_resume(&mut self) {
        self.to_server.clear();
        self.to_client.clear();
        self.arrived = [VecDeque::new(), VecDeque::new()];
        if let Some(session) = self.server.suspend(&owner()) {
            self.store = Some(Session::from_bytes(&session.to_bytes()).unwrap());
        }
        let session = self.client.suspend(&owner());
        self.client = Initiator::new(Config::default());
        self.server = Receiver::new(Config::default());
        match session {
            Some(session) => self
                .client
                .resume(&Session::from_bytes(&session.to_bytes()).unwrap()),
            None => self.client.enable(T0, true, None),
        }
        self.drain();
    }

    fn settle(&mut self) {
        for _ in 0..10_000 {
            for end in [true, false] {
                self.deliver(end);
                self.handle(end);
            }
            if self.to_server.is_empty()
                && self.to_client.is_empty()
                && self.arrived.iter().all(VecDeque::is_empty)
            {
                return;
            }
        }
        panic!("never quiet");
    }
}

fn op() -> impl Strategy<Value = u8> {
    prop_oneof![6 => 0_u8..2, 12 => 2_u8..4, 8 => 4_u8..6, 1 => Just(6_u8)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Cut anywhere, in the middle of a resumption too: handled exactly once, in order, both ways.
    #[test]
    fn exactly_once_over_any_cuts(ops in proptest::collection::vec(op(), 1..250)) {
        let mut world = World::new();
        world.settle();
        for op in ops {
            match op {
                0 => world.send(false),
                1 => world.send(true),
                2 => world.deliver(false),
                3 => world.deliver(true),
                4 => world.handle(false),
                5 => world.handle(true),
                _ => world.cut_and_resume(),
            }
        }
        world.settle();
        world.cut_and_resume();
        world.settle();
        for end in [false, true] {
            // What one end sent, the other has handled: all of it, each once, in order.
            let sent: Vec<u32> = (1..=world.sent[usize::from(end)]).collect();
            prop_assert_eq!(&world.handled[usize::from(!end)], &sent);
        }
        prop_assert_eq!(world.handed_back, 0);
    }
}

fn drained(machine: &mut Initiator) -> Vec<Action> {
    std::iter::from_fn(|| machine.poll_action()).collect()
}

fn session() -> Session {
    Session::new(
        "s1",
        &owner(),
        Count::new(4),
        Count::new(9),
        vec!["<a/>".into(), "<b/>".into()],
    )
}

/// tokio-xmpp: `<failed h='0'/>` settles nothing and loses nothing; MongooseIM PR#4496: what is handed back is so once.
#[test]
fn a_refused_resumption_settles_what_it_can_and_hands_the_rest_back_once() {
    for (h, settled) in [
        (None, 0),
        (Some(4), 0),
        (Some(5), 1),
        (Some(6), 2),
        (Some(7), 0),
    ] {
        let mut machine = Initiator::new(Config::default());
        machine.resume(&session());
        let _ = drained(&mut machine);
        let failed = Nonza::Failed {
            h: h.map(Count::new),
            condition: Some("item-not-found".into()),
        };
        machine.handle(T0, &failed.to_element()).unwrap();
        let actions = drained(&mut machine);
        let acked: u32 = actions
            .iter()
            .map(|action| {
                if let Action::Event(Event::Acked(handles)) = action {
                    handles.len()
                } else {
                    0
                }
            })
            .sum();
        let back: u32 = actions
            .iter()
            .map(|action| {
                if let Action::Event(Event::HandedBack(entries)) = action {
                    entries.len() as u32
                } else {
                    0
                }
            })
            .sum();
        assert_eq!((acked, back), (settled, 2 - settled), "{h:?}");
        assert!(
            !actions
                .iter()
                .any(|action| matches!(action, Action::Write(_))),
            "nothing is sent again by itself"
        );
        machine.enable(T0, true, None);
        assert_eq!(machine.suspend(&owner()), None);
        assert_eq!(drained(&mut machine).len(), 1, "only <enable/>");
    }
}

/// tokio-xmpp V: `<enabled/>` as the answer to `<resume/>` is an error, not a panic; the session is still there.
#[test]
fn enabled_as_an_answer_to_resume_is_out_of_turn_and_loses_nothing() {
    let mut machine = Initiator::new(Config::default());
    machine.resume(&session());
    let error = machine
        .handle(T0, &Nonza::Enabled(Granted::default()).to_element())
        .unwrap_err();
    assert_eq!(
        (error, error.source_section()),
        (Error::OutOfTurn, "XEP-0198 §3")
    );
    assert_eq!(machine.suspend(&owner()), Some(session()));
}

/// Early, duplicate and late requests are refused, and what is on stays on (XEP-0198 §3).
#[test]
fn requests_out_of_place_are_failed_and_change_nothing() {
    let enable = Nonza::Enable {
        resume: true,
        max: None,
    }
    .to_element();
    let resume = Nonza::Resume {
        previd: "s1".into(),
        h: Count::new(0),
    }
    .to_element();
    let mut machine = Receiver::new(Config::default());
    let refused = |machine: &mut Receiver| matches!(machine.poll_action(), Some(Action::Send(Nonza::Failed { condition: Some(condition), .. })) if condition == "unexpected-request");
    machine.handle(T0, &enable, false).unwrap();
    assert!(refused(&mut machine), "before bind");
    machine.handle(T0, &enable, true).unwrap();
    assert!(matches!(machine.poll_action(), Some(Action::Request(_))));
    let mut granted = Granted::default();
    granted.id = Some("s1".into());
    machine.grant(granted);
    while machine.poll_action().is_some() {}
    for late in [&enable, &resume] {
        machine.handle(T0, late, false).unwrap();
        assert!(refused(&mut machine));
    }
    machine.send(T0, "<message/>".into());
    assert_eq!(
        machine.suspend(&owner()).unwrap().unacked.len(),
        1,
        "it is still on"
    );
    let mut bound = Receiver::new(Config::default());
    bound.handle(T0, &resume, false).unwrap();
    assert!(refused(&mut bound), "resume after bind");
}

/// An h that was never reached: typed, and the session is untouched (MongooseIM 2dd3036ce).
#[test]
fn a_resume_with_a_wrong_h_leaves_the_session_untouched() {
    let mut machine = Receiver::new(Config::default());
    machine
        .handle(
            T0,
            &Nonza::Resume {
                previd: "s1".into(),
                h: Count::new(7),
            }
            .to_element(),
            true,
        )
        .unwrap();
    let _ = machine.poll_action();
    assert!(matches!(
        machine.resume(T0, &session()),
        Err(Error::TooHigh(_))
    ));
    assert_eq!(machine.poll_action(), None);
}

/// Openfire OF-3115: a clean close ends resumability; the last acknowledgement goes out first.
#[test]
fn a_clean_close_cannot_be_resumed() {
    let mut machine = Initiator::new(Config::default());
    machine.enable(T0, true, None);
    let mut granted = Granted::default();
    granted.id = Some("s1".into());
    machine
        .handle(T0, &Nonza::Enabled(granted).to_element())
        .unwrap();
    machine.arrived();
    machine.handled(1);
    let handle = machine.send(T0, "<message/>".into()).unwrap();
    let _ = drained(&mut machine);
    machine.close(false);
    assert_eq!(
        drained(&mut machine),
        [Action::Send(Nonza::Ack(Count::new(1)))]
    );
    assert_eq!(machine.snapshot(&owner()), None);
    assert_eq!(machine.suspend(&owner()), None);
    let actions = drained(&mut machine);
    assert!(
        matches!(&actions[0], Action::Event(Event::HandedBack(entries)) if entries[0].handle == handle)
    );
}

/// The peer's last acknowledgement may come behind our footer: what it settles is not handed back.
#[test]
fn what_is_acknowledged_while_closing_is_settled() {
    let mut machine = Initiator::new(Config::default());
    machine.enable(T0, true, None);
    machine
        .handle(T0, &Nonza::Enabled(Granted::default()).to_element())
        .unwrap();
    machine.send(T0, "<message/>".into());
    machine.close(true);
    assert_eq!(
        drained(&mut machine).last(),
        Some(&Action::Send(Nonza::Request))
    );
    machine
        .handle(T0, &Nonza::Ack(Count::new(1)).to_element())
        .unwrap();
    assert_eq!(machine.suspend(&owner()), None);
    let actions = drained(&mut machine);
    assert!(
        matches!(&actions[..], [Action::Event(Event::Acked(handles))] if handles.len() == 1),
        "{actions:?}"
    );
}

/// Conversations 010b34125, 6f802b88d: an `<r/>` that meets a stream without management breaks nothing, and a stanza
/// sent before `<enable/>` is not counted.
#[test]
fn conv_010b34125_a_request_behind_a_refused_resumption_breaks_nothing() {
    let mut machine = Receiver::new(Config::default());
    let resume = Nonza::Resume {
        previd: "s1".into(),
        h: Count::new(0),
    };
    machine.handle(T0, &resume.to_element(), true).unwrap();
    machine.refuse("item-not-found", None);
    machine
        .handle(T0, &Nonza::Request.to_element(), false)
        .unwrap();
    let mut client = Initiator::new(Config::default());
    assert_eq!(client.send(T0, "<presence/>".into()), None);
    client.enable(T0, true, None);
    client
        .handle(T0, &Nonza::Enabled(Granted::default()).to_element())
        .unwrap();
    let error = client
        .handle(T0, &Nonza::Ack(Count::new(1)).to_element())
        .unwrap_err();
    assert_eq!(error.condition(), Condition::UndefinedCondition);
}

/// A peer whose counts are wrong would be wrong again: what is unacknowledged is handed back, not resumed for ever.
#[test]
fn a_count_that_was_never_reached_ends_the_session() {
    let mut machine = Initiator::new(Config::default());
    machine.resume(&session());
    let resumed = Nonza::Resumed {
        previd: "s1".into(),
        h: Count::new(7),
    };
    let error = machine.handle(T0, &resumed.to_element()).unwrap_err();
    assert!(matches!(error, Error::TooHigh(_)));
    let _ = drained(&mut machine);
    assert_eq!(machine.suspend(&owner()), None);
    assert!(
        matches!(&drained(&mut machine)[..], [Action::Event(Event::HandedBack(entries))] if entries.len() == 2)
    );
}

/// Another specification asks, is refused, and the session is asked for anew; or it is granted, and replayed.
#[test]
fn a_session_that_is_asked_for_by_other_means_has_the_same_replay() {
    let mut machine = Initiator::new(Config::default());
    assert_eq!(machine.await_resumption(&session()), Some(Count::new(9)));
    assert_eq!(drained(&mut machine), [], "nothing is said");
    let handle = machine.send(T0, "<c/>".into()).unwrap();
    assert_eq!(machine.stage(handle), Some(Stage::Queued));
    let back = machine.withdraw(&owner(), Some(Count::new(5))).unwrap();
    assert_eq!((back.acked, back.unacked.len()), (Count::new(5), 2));
    assert!(
        matches!(&drained(&mut machine)[..], [Action::Event(Event::Acked(handles))] if handles.len() == 1)
    );
    machine.resume(&back);
    let resumed = Nonza::Resumed {
        previd: "s1".into(),
        h: Count::new(6),
    };
    machine.handle(T0, &resumed.to_element()).unwrap();
    assert_eq!(machine.stage(handle), Some(Stage::Sent), "handles stay");
    let written: Vec<Action> = drained(&mut machine)
        .into_iter()
        .filter(|action| matches!(action, Action::Write(_)))
        .collect();
    assert_eq!(written, [Action::Write("<c/>".into())]);

    let mut server = Receiver::new(Config::default());
    assert!(server.take_up(&session(), Count::new(7)).is_err());
    assert_eq!(server.take_up(&session(), Count::new(5)), Ok(Count::new(9)));
    server.replay(T0, Count::new(5)).unwrap();
    let actions: Vec<Action> = std::iter::from_fn(|| server.poll_action()).collect();
    assert!(matches!(&actions[0], Action::Event(Event::Acked(_))));
    assert!(matches!(&actions[1], Action::Event(Event::Resumed)));
    assert_eq!(actions.last(), Some(&Action::Write("<b/>".into())));
}

/// A request goes out before the stanza that it does not cover: that one is asked about as well.
#[test]
fn the_stanza_behind_a_request_is_not_forgotten() {
    let mut machine = Initiator::new(Config::default());
    machine.enable(T0, true, None);
    machine
        .handle(T0, &Nonza::Enabled(Granted::default()).to_element())
        .unwrap();
    for _ in 0..6 {
        machine.send(T0, "<message/>".into());
    }
    let actions = drained(&mut machine);
    let asked = actions
        .iter()
        .position(|action| *action == Action::Send(Nonza::Request));
    assert_eq!(asked, Some(7), "behind <enable/>, its event, and five");
    machine
        .handle(T0, &Nonza::Ack(Count::new(5)).to_element())
        .unwrap();
    assert_eq!(
        machine.poll_timeout(),
        Some(T0 + core::time::Duration::from_secs(3))
    );
}

/// What there is no room for on resumption is said once, and the counts of both ends go on as one.
#[test]
fn what_is_given_up_on_resumption_does_not_shift_the_counts() {
    let mut config = Config::default();
    config.limits.stanzas = 1;
    let mut machine = Initiator::new(config);
    machine.resume(&session());
    let resumed = Nonza::Resumed {
        previd: "s1".into(),
        h: Count::new(4),
    };
    machine.handle(T0, &resumed.to_element()).unwrap();
    let actions = drained(&mut machine);
    let failed = |action: &Action| matches!(action, Action::Event(Event::Failed(_)));
    assert_eq!(actions.iter().filter(|action| failed(action)).count(), 1);
    assert_eq!(
        actions.last(),
        Some(&Action::Write("<b/>".into())),
        "{actions:?}"
    );
    // The peer has seen four and this one.
    let ack = Nonza::Ack(Count::new(5)).to_element();
    machine.handle(T0, &ack).unwrap();
    assert_eq!(machine.suspend(&owner()).unwrap().unacked.len(), 0);
}

/// A server that announces management and says nothing to `<enable/>` is as dead as one that acknowledges nothing.
#[test]
fn an_enable_that_is_not_answered_is_noticed() {
    let mut machine = Initiator::new(Config::default());
    machine.enable(T0, true, None);
    machine.send(T0, "<message/>".into());
    let at = machine.poll_timeout().unwrap();
    machine.handle_timeout(T0);
    let _ = drained(&mut machine);
    machine.handle_timeout(at);
    assert_eq!(drained(&mut machine), [Action::Event(Event::Unanswered)]);
    assert_eq!(machine.poll_timeout(), None);
    assert_eq!(machine.suspend(&owner()), None);
    assert!(
        matches!(&drained(&mut machine)[..], [Action::Event(Event::HandedBack(entries))] if entries.len() == 1)
    );
}
