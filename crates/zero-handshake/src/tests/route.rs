//! Which connection a stanza goes out on: the rules one by one, then two ends against each other.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::{
    Acknowledgements, Choice, ConnectionId, Crowded, Direction, OwnConnectionRule, Pending, Reason,
    Route,
};

const OURS: ConnectionId = ConnectionId(1);
const THEIRS: ConnectionId = ConnectionId(2);

fn route(edit: impl FnOnce(&mut Terms)) -> Route {
    let mut terms = terms();
    edit(&mut terms);
    Route::new(&Agreement::new(terms).unwrap())
}

fn acks(terms: &mut Terms) {
    terms.presets.acknowledgements = Some(Acknowledgements::default());
}

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

#[test]
fn zh_13_the_connection_we_opened_is_the_one_we_send_on() {
    let mut route = route(|_| ());
    assert_eq!(route.stanza(at(0)), Choice::Open);
    assert_eq!(route.stanza(at(0)), Choice::Wait(Pending::Opening));
    route.opened(OURS).unwrap();
    assert_eq!(route.accepted(THEIRS), Ok(None));
    for _ in 0..3 {
        assert_eq!(route.stanza(at(1)), Choice::Send(OURS));
    }
}

#[test]
fn zh_15_zh_16_the_peers_connection_is_used_and_no_second_one_opened() {
    let mut route = route(|_| ());
    route.accepted(THEIRS).unwrap();
    assert_eq!(route.stanza(at(0)), Choice::Send(THEIRS));
}

#[test]
fn zh_15_or_our_own_is_opened_where_that_was_agreed() {
    let mut route = route(|terms| terms.reply_on_inbound = false);
    route.accepted(THEIRS).unwrap();
    assert_eq!(route.stanza(at(0)), Choice::Open);
    route.opened(OURS).unwrap();
    assert_eq!(route.stanza(at(0)), Choice::Send(OURS));
}

#[test]
fn zh_12_who_may_not_open_waits_for_the_peer() {
    let mut route =
        route(|terms| (terms.direction, terms.address) = (Direction::InboundOnly, None));
    assert_eq!(route.stanza(at(0)), Choice::Wait(Pending::Peer));
    assert_eq!(route.poll_timeout(), None);
    route.accepted(THEIRS).unwrap();
    assert_eq!(route.stanza(at(0)), Choice::Send(THEIRS));
}

#[test]
fn zh_17_crossing_opens_end_with_each_side_on_its_own_and_no_third_connection() {
    let (mut a, mut b) = (route(|_| ()), route(|_| ()));
    assert_eq!(
        (a.stanza(at(0)), b.stanza(at(0))),
        (Choice::Open, Choice::Open)
    );
    a.opened(OURS).unwrap();
    b.opened(THEIRS).unwrap();
    assert_eq!((a.accepted(THEIRS), b.accepted(OURS)), (Ok(None), Ok(None)));
    for now in [1, 2, 100_000] {
        assert_eq!(a.stanza(at(now)), Choice::Send(OURS));
        assert_eq!(b.stanza(at(now)), Choice::Send(THEIRS));
    }
    assert_eq!(a.opened(ConnectionId(3)), Err(Crowded));
}

#[test]
fn zh_r4_a_switch_waits_for_the_last_acknowledgement() {
    let mut route = route(acks);
    assert_eq!(route.stanza(at(0)), Choice::Open);
    route.accepted(THEIRS).unwrap();
    assert_eq!(route.stanza(at(0)), Choice::Send(THEIRS));
    assert_eq!(route.stanza(at(0)), Choice::Send(THEIRS));
    route.opened(OURS).unwrap();
    for (unacknowledged, choice) in [
        (2, Choice::Wait(Pending::Unsettled)),
        (1, Choice::Wait(Pending::Unsettled)),
        (0, Choice::Send(OURS)),
    ] {
        route.set_unacknowledged(THEIRS, unacknowledged);
        assert_eq!(route.stanza(at(1_000_000)), choice);
    }
}

#[test]
fn zh_r4_a_dead_connection_has_handed_back_what_was_unacknowledged() {
    let mut route = route(acks);
    route.accepted(THEIRS).unwrap();
    assert_eq!(route.stanza(at(0)), Choice::Send(THEIRS));
    route.closed(THEIRS);
    assert_eq!(route.stanza(at(0)), Choice::Open);
    route.opened(OURS).unwrap();
    assert_eq!(route.stanza(at(0)), Choice::Send(OURS));
    // A late report about the dead one changes nothing.
    route.set_unacknowledged(THEIRS, 9);
    route.set_unacknowledged(OURS, 0);
    route.closed(OURS);
    route.accepted(ConnectionId(3)).unwrap();
    assert_eq!(route.stanza(at(0)), Choice::Send(ConnectionId(3)));
}

#[test]
fn zh_r4_without_acknowledgements_age_decides_even_when_the_connection_is_gone() {
    for gone in [false, true] {
        let mut route = route(|_| ());
        assert_eq!(route.stanza(at(0)), Choice::Open);
        route.accepted(THEIRS).unwrap();
        assert_eq!(route.stanza(at(5)), Choice::Send(THEIRS));
        route.opened(OURS).unwrap();
        if gone {
            route.closed(THEIRS);
        }
        assert_eq!(route.stanza(at(30_004)), Choice::Wait(Pending::Unsettled));
        let deadline = route.poll_timeout().unwrap();
        assert_eq!((deadline.at, deadline.reason), (at(30_005), Reason::Quiet));
        route.handle_timeout(at(30_004));
        assert_eq!(route.poll_timeout(), Some(deadline));
        route.handle_timeout(at(30_005));
        assert_eq!(route.poll_timeout(), None);
        assert_eq!(route.stanza(at(30_005)), Choice::Send(OURS));
    }
}

#[test]
fn zh_r4_a_quiet_point_settles_everything() {
    for edit in [acks as fn(&mut Terms), |_| ()] {
        let mut route = route(edit);
        assert_eq!(route.stanza(at(0)), Choice::Open);
        route.accepted(THEIRS).unwrap();
        assert_eq!(route.stanza(at(0)), Choice::Send(THEIRS));
        route.opened(OURS).unwrap();
        route.quiet_point();
        assert_eq!(route.stanza(at(0)), Choice::Send(OURS));
    }
}

#[test]
fn xep_0361_generally_the_peers_connection_goes_on_until_it_is_quiet() {
    let mut route = route(|terms| terms.own_connection_rule = OwnConnectionRule::Generally);
    assert_eq!(route.stanza(at(0)), Choice::Open);
    route.accepted(THEIRS).unwrap();
    assert_eq!(route.stanza(at(0)), Choice::Send(THEIRS));
    route.opened(OURS).unwrap();
    assert_eq!(route.stanza(at(29_999)), Choice::Send(THEIRS));
    assert_eq!(route.stanza(at(59_999)), Choice::Send(OURS));
    assert_eq!(route.stanza(at(60_000)), Choice::Send(OURS));
}

#[test]
fn zh_07_our_next_connection_is_not_begun_before_the_last_is_gone() {
    let mut route = route(|_| ());
    assert_eq!(route.stanza(at(0)), Choice::Open);
    route.opened(OURS).unwrap();
    route.closing(OURS);
    assert_eq!(route.stanza(at(60_000)), Choice::Wait(Pending::Closing));
    route.closed(OURS);
    assert_eq!(route.stanza(at(60_000)), Choice::Open);
}

#[test]
fn attempts_to_open_keep_their_distance() {
    let mut route = route(|_| ());
    assert_eq!(route.stanza(at(0)), Choice::Open);
    route.open_failed();
    assert_eq!(route.stanza(at(9_999)), Choice::Wait(Pending::Retry));
    let deadline = route.poll_timeout().unwrap();
    assert_eq!((deadline.at, deadline.reason), (at(10_000), Reason::Retry));
    route.handle_timeout(deadline.at);
    assert_eq!(route.poll_timeout(), None);
    assert_eq!(route.stanza(at(10_000)), Choice::Open);
}

#[test]
fn zh_07_a_second_connection_of_the_peers_takes_the_place_of_the_first() {
    let mut route = route(|_| ());
    let (second, third) = (ConnectionId(3), ConnectionId(4));
    assert_eq!(route.accepted(THEIRS), Ok(None));
    assert_eq!(route.accepted(second), Ok(Some(THEIRS)));
    assert_eq!(route.stanza(at(0)), Choice::Send(second));
    assert_eq!(route.accepted(third), Err(Crowded));
    route.closed(THEIRS);
    assert_eq!(route.accepted(third), Ok(Some(second)));
}

// Two ends against each other.

/// Something on its way to one end.
#[derive(Debug, Clone, PartialEq)]
enum Parcel {
    Stanza(u32),
    Footer,
    /// One stanza more was taken; only in a world with acknowledgements.
    Acknowledged,
    /// The connection is there.
    Opened,
}

#[derive(Debug)]
struct Pipe {
    opener: usize,
    /// Of each end: whether it may write, and whether it is there at all.
    open: [bool; 2],
    there: [bool; 2],
    /// To each end, with the time of arrival.
    queue: [VecDeque<(u64, Parcel)>; 2],
}

struct End {
    route: Route,
    waiting: VecDeque<u32>,
    produced: u32,
    got: Vec<u32>,
    handed_back: Vec<u32>,
    unacknowledged: BTreeMap<u64, VecDeque<u32>>,
    opening: Option<u64>,
}

struct World {
    ends: [End; 2],
    pipes: BTreeMap<u64, Pipe>,
    next: u64,
    now: u64,
    acks: bool,
}

#[derive(Debug, Clone)]
enum Step {
    Produce(usize),
    Close(usize, u8),
    Cut(u8),
    FailOpening(usize),
    Pass(u64),
}

const QUIET: u64 = 1_000;

impl World {
    fn new(acks: bool, rule: OwnConnectionRule, reply: [bool; 2], direction: Direction) -> Self {
        let end = |side: usize| {
            let mut terms = if side == 0 {
                terms()
            } else {
                mirrored(&terms())
            };
            terms.direction = match (direction, side) {
                (Direction::OutboundOnly, 1) => Direction::InboundOnly,
                (direction, _) => direction,
            };
            if terms.direction == Direction::InboundOnly {
                terms.address = None;
            }
            terms.reply_on_inbound = reply[side] || terms.direction == Direction::InboundOnly;
            terms.own_connection_rule = rule;
            terms.quiet = std::time::Duration::from_millis(QUIET);
            terms.retry = std::time::Duration::from_millis(50);
            terms.presets.acknowledgements = acks.then(Acknowledgements::default);
            End {
                route: Route::new(&Agreement::new(terms).unwrap()),
                waiting: VecDeque::new(),
                produced: 0,
                got: Vec::new(),
                handed_back: Vec::new(),
                unacknowledged: BTreeMap::new(),
                opening: None,
            }
        };
        let ends = [end(0), end(1)];
        Self {
            ends,
            pipes: BTreeMap::new(),
            next: 0,
            now: 0,
            acks,
        }
    }

    /// Latency differs from pipe to pipe, and is always below the quiet time.
    fn latency(id: u64, to: usize) -> u64 {
        (id * 7_919 + to as u64 * 104_729) % (QUIET - 100) + 1
    }

    fn post(&mut self, id: u64, to: usize, parcel: Parcel) {
        let at = self.now + Self::latency(id, to);
        self.pipes.get_mut(&id).unwrap().queue[to].push_back((at, parcel));
    }

    /// Asks about what waits, in order, until it has to wait.
    fn pump(&mut self, side: usize) {
        while let Some(&stanza) = self.ends[side].waiting.front() {
            match self.ends[side].route.stanza(at(self.now)) {
                Choice::Send(ConnectionId(id)) => {
                    let pipe = &self.pipes[&id];
                    assert!(
                        pipe.open[side] && pipe.there[side],
                        "sent on a closed connection"
                    );
                    self.ends[side].waiting.pop_front();
                    if self.acks {
                        let held = self.ends[side].unacknowledged.entry(id).or_default();
                        held.push_back(stanza);
                    }
                    self.post(id, 1 - side, Parcel::Stanza(stanza));
                }
                Choice::Open => {
                    assert!(self.ends[side].opening.is_none(), "a second attempt");
                    let own = self
                        .pipes
                        .values()
                        .filter(|p| p.opener == side && p.there[side]);
                    assert_eq!(own.count(), 0, "a second connection of its own");
                    self.ends[side].opening = Some(self.now + Self::latency(self.next, side));
                }
                Choice::Wait(_) => return,
            }
        }
    }

    fn finish_opening(&mut self, side: usize) {
        self.ends[side].opening = None;
        let id = self.next;
        self.next += 1;
        let mut there = [false, false];
        there[side] = true;
        let queue = [VecDeque::new(), VecDeque::new()];
        self.pipes.insert(
            id,
            Pipe {
                opener: side,
                open: there,
                there,
                queue,
            },
        );
        self.ends[side].route.opened(ConnectionId(id)).unwrap();
        self.post(id, 1 - side, Parcel::Opened);
    }

    fn close(&mut self, side: usize, id: u64) {
        let pipe = self.pipes.get_mut(&id).unwrap();
        if pipe.open[side] {
            pipe.open[side] = false;
            self.ends[side].route.closing(ConnectionId(id));
            self.post(id, 1 - side, Parcel::Footer);
        }
    }

    /// The end has no such connection any more.
    fn gone(&mut self, side: usize, id: u64) {
        let pipe = self.pipes.get_mut(&id).unwrap();
        if std::mem::take(&mut pipe.there[side]) {
            pipe.open[side] = false;
            pipe.queue[side].clear();
            let held = self.ends[side]
                .unacknowledged
                .remove(&id)
                .unwrap_or_default();
            self.ends[side].handed_back.extend(held);
            self.ends[side].route.closed(ConnectionId(id));
        }
    }

    fn deliver(&mut self, side: usize, id: u64, parcel: Parcel) {
        match parcel {
            Parcel::Opened => match self.ends[side].route.accepted(ConnectionId(id)) {
                Ok(earlier) => {
                    let pipe = self.pipes.get_mut(&id).unwrap();
                    (pipe.there[side], pipe.open[side]) = (true, true);
                    if let Some(ConnectionId(earlier)) = earlier {
                        // `accepted` has told the route already; the footer is what is left.
                        self.pipes.get_mut(&earlier).unwrap().open[side] = false;
                        self.post(earlier, 1 - side, Parcel::Footer);
                    }
                }
                Err(Crowded) => {
                    self.pipes.get_mut(&id).unwrap().queue[side].clear();
                    self.gone(1 - side, id);
                }
            },
            // What comes behind our own footer cannot be acknowledged, and is not taken.
            Parcel::Stanza(_) if self.acks && !self.pipes[&id].open[side] => {}
            Parcel::Stanza(stanza) => {
                self.ends[side].got.push(stanza);
                if self.acks {
                    self.post(id, 1 - side, Parcel::Acknowledged);
                }
            }
            Parcel::Acknowledged => {
                let end = &mut self.ends[side];
                let held = end.unacknowledged.get_mut(&id).unwrap();
                held.pop_front().unwrap();
                end.route.set_unacknowledged(ConnectionId(id), held.len());
            }
            Parcel::Footer => {
                self.close(side, id);
                self.gone(side, id);
            }
        }
    }

    /// Lets time pass up to the next thing that happens, but not beyond `until`.
    fn advance(&mut self, until: u64) {
        loop {
            for side in [0, 1] {
                self.pump(side);
            }
            let arrivals = self.pipes.values().flat_map(|pipe| &pipe.queue);
            let arrivals = arrivals.filter_map(|queue| queue.front().map(|(at, _)| *at));
            let openings = self.ends.iter().filter_map(|end| end.opening);
            let deadlines = self.ends.iter().filter_map(|end| end.route.poll_timeout());
            let deadlines = deadlines.map(|d| d.at.since_epoch().as_millis() as u64);
            let next = arrivals.chain(openings).chain(deadlines).min();
            let Some(next) = next.filter(|next| *next <= until) else {
                break;
            };
            self.now = self.now.max(next);
            for side in [0, 1] {
                self.ends[side].route.handle_timeout(at(self.now));
                if self.ends[side].opening.is_some_and(|at| at <= self.now) {
                    self.finish_opening(side);
                }
            }
            let ids: Vec<u64> = self.pipes.keys().copied().collect();
            for (id, side) in ids.into_iter().flat_map(|id| [(id, 0), (id, 1)]) {
                while let Some(parcel) = self.due(id, side) {
                    self.deliver(side, id, parcel);
                }
            }
        }
        self.now = self.now.max(until);
    }

    fn due(&mut self, id: u64, side: usize) -> Option<Parcel> {
        let queue = &mut self.pipes.get_mut(&id)?.queue[side];
        queue.front().filter(|(at, _)| *at <= self.now)?;
        queue.pop_front().map(|(_, parcel)| parcel)
    }

    fn step(&mut self, step: &Step) {
        let pick = |which: u8, pipes: &BTreeMap<u64, Pipe>| {
            let there: Vec<u64> = pipes
                .iter()
                .filter(|(_, p)| p.there == [true; 2])
                .map(|(id, _)| *id)
                .collect();
            (!there.is_empty()).then(|| there[usize::from(which) % there.len()])
        };
        match *step {
            Step::Produce(side) => {
                let end = &mut self.ends[side];
                end.waiting.push_back(end.produced);
                end.produced += 1;
            }
            Step::Close(side, which) => {
                if let Some(id) = pick(which, &self.pipes) {
                    self.close(side, id);
                }
            }
            Step::Cut(which) => {
                if let Some(id) = pick(which, &self.pipes) {
                    self.gone(0, id);
                    self.gone(1, id);
                }
            }
            Step::FailOpening(side) => {
                if self.ends[side].opening.take().is_some() {
                    self.ends[side].route.open_failed();
                }
            }
            Step::Pass(millis) => self.advance(self.now + millis),
        }
        self.pump(0);
        self.pump(1);
    }
}

fn step() -> impl Strategy<Value = Step> {
    let side = 0..2_usize;
    prop_oneof![
        6 => side.clone().prop_map(Step::Produce),
        6 => (0..400_u64).prop_map(Step::Pass),
        1 => (side.clone(), any::<u8>()).prop_map(|(side, which)| Step::Close(side, which)),
        1 => any::<u8>().prop_map(Step::Cut),
        1 => side.prop_map(Step::FailOpening),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Order is kept in each direction, nothing is sent on a closed connection, no end has two connections of its own,
    /// and every stanza is decided about in the end.
    #[test]
    fn zh_r4_two_ends_never_reorder_and_never_leave_a_stanza_undecided(
        acks in any::<bool>(),
        generally in any::<bool>(),
        reply in any::<[bool; 2]>(),
        one_way in any::<bool>(),
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let rule = if generally { OwnConnectionRule::Generally } else { OwnConnectionRule::Must };
        let direction = if one_way { Direction::OutboundOnly } else { Direction::Either };
        let mut world = World::new(acks, rule, reply, direction);
        let mut lossy = false;
        for step in &steps {
            lossy |= matches!(step, Step::Cut(_) | Step::Close(..));
            world.step(step);
        }
        // In the end somebody who may open has something to say, so that the other can say it too.
        world.advance(world.now + 100_000);
        world.step(&Step::Produce(0));
        world.advance(world.now + 100_000);
        for side in [0, 1] {
            let (from, to) = (&world.ends[side], &world.ends[1 - side]);
            prop_assert!(from.waiting.is_empty(), "{side}: {:?} wait", from.waiting);
            let kept: Vec<u32> = to.got.iter().copied().filter(|s| !from.handed_back.contains(s)).collect();
            prop_assert!(kept.windows(2).all(|pair| pair[0] < pair[1]), "{side}: {kept:?}");
            if !lossy {
                prop_assert_eq!(to.got.len() as u32, from.produced, "lost");
            }
            if acks {
                // Whatever did not arrive was handed back.
                for stanza in 0..from.produced {
                    prop_assert!(to.got.contains(&stanza) || from.handed_back.contains(&stanza));
                }
            }
        }
    }
}
