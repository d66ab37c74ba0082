use core::time::Duration;

use onetrip_stream::Instant;
use proptest::prelude::*;

use super::*;
use crate::Role;
use crate::iq::testing::*;
use crate::socks5::Destination;

const NOW: Instant = Instant::EPOCH;

fn candidate(cid: &str, kind: CandidateKind, local: u16) -> Candidate {
    let jid = if kind == CandidateKind::Proxy {
        "proxy.lit".parse().unwrap()
    } else {
        juliet()
    };
    Candidate::new(
        cid,
        kind,
        jid,
        "192.0.2.1",
        1000_u16.saturating_add(local),
        local,
    )
}

fn machine(form: Form, role: Role, candidates: Vec<Candidate>) -> Negotiation {
    let (us, peer) = match role {
        Role::Initiator => (romeo(), juliet()),
        Role::Responder => (juliet(), romeo()),
    };
    let mut config = Config::new(form, role, "vj3hs98y", us, peer);
    config.candidates = candidates;
    Negotiation::new(config)
}

fn theirs(form: Form, candidates: Vec<Candidate>) -> Transport {
    let mut transport = Transport::new(form, "vj3hs98y");
    transport.candidates = candidates;
    if form == Form::Streamhosts {
        return Transport::read(&transport.to_element(true), &juliet()).unwrap();
    }
    transport
}

fn actions(machine: &mut Negotiation) -> Vec<Action> {
    core::iter::from_fn(|| machine.poll_action()).collect()
}

fn connects(machine: &mut Negotiation) -> Vec<(Attempt, Candidate, Destination)> {
    actions(machine)
        .into_iter()
        .filter_map(|action| match action {
            Action::Connect {
                attempt,
                candidate,
                destination,
            } => Some((attempt, candidate, destination)),
            _ => None,
        })
        .collect()
}

fn used(cid: &str) -> Info {
    Info::Used(Reference::Cid(cid.into()))
}

fn ready(link: Link) -> Action {
    Action::Event(Event::Ready(link))
}

use CandidateKind::{Direct, Proxy};

#[test]
fn nothing_connects_before_the_session_is_accepted() {
    let mut machine = machine(
        Form::Candidates,
        Role::Initiator,
        vec![candidate("a", Direct, 1)],
    );
    assert!(actions(&mut machine).is_empty());
    assert_eq!(machine.poll_timeout(), None);
    assert_eq!(
        machine.handle(NOW, Input::Info(&Info::Error)),
        Err(Untimely::OutOfOrder)
    );
}

#[test]
fn jxs_09_10_the_best_first_the_next_200_ms_later_and_a_proxy_later_still() {
    let mut machine = machine(Form::Candidates, Role::Initiator, vec![]);
    let offered = vec![
        candidate("p", Proxy, 0),
        candidate("b", Direct, 1),
        candidate("a", Direct, 2),
    ];
    machine.start(NOW, &theirs(Form::Candidates, offered));
    let mut order = Vec::new();
    let mut times = Vec::new();
    while let Some((_, candidate, _)) = connects(&mut machine).pop() {
        order.push(candidate.cid);
        let Some(at) = machine.poll_timeout() else {
            break;
        };
        times.push(at.since_epoch().as_millis());
        machine.handle_timeout(at);
    }
    assert_eq!(order, ["a", "b", "p"]);
    assert_eq!(times, [200, 1200, 6200], "and given up 5 s after the last");
}

#[test]
fn jxs_10_streamhosts_are_tried_in_the_order_of_the_document() {
    let mut machine = machine(Form::Streamhosts, Role::Initiator, vec![]);
    let offered = vec![
        candidate("", Proxy, 9),
        candidate("", Direct, 1),
        candidate("", Direct, 2),
    ];
    machine.start(NOW, &theirs(Form::Streamhosts, offered));
    let mut ports = Vec::new();
    while let Some((attempt, candidate, _)) = connects(&mut machine).pop() {
        ports.push(candidate.port);
        machine.handle(NOW, Input::Failed(attempt)).unwrap();
    }
    assert_eq!(
        ports,
        [1009, 1001, 1002],
        "a failure brings the next at once"
    );
}

#[test]
fn an_attempt_that_never_answers_is_given_up_and_the_peer_told() {
    let mut machine = machine(Form::Candidates, Role::Initiator, vec![]);
    machine.start(
        NOW,
        &theirs(Form::Candidates, vec![candidate("a", Direct, 1)]),
    );
    let attempt = connects(&mut machine)[0].0;
    machine.handle_timeout(NOW + Duration::from_secs(5));
    assert_eq!(
        actions(&mut machine),
        [Action::Abandon(attempt), Action::Say(Info::Error)]
    );
    // Its success comes too late.
    machine.handle(NOW, Input::Connected(attempt)).unwrap();
    assert_eq!(actions(&mut machine), [Action::Abandon(attempt)]);
}

#[test]
fn jxs_12_r12_destinations_in_both_forms_and_roles() {
    let (ir, ri) = (
        Destination::new("vj3hs98y", &romeo(), &juliet()),
        Destination::new("vj3hs98y", &juliet(), &romeo()),
    );
    for (form, role, expected) in [
        (Form::Streamhosts, Role::Initiator, &ir),
        (Form::Streamhosts, Role::Responder, &ir),
        (Form::Candidates, Role::Initiator, &ri),
        (Form::Candidates, Role::Responder, &ir),
    ] {
        let mut machine = machine(form, role, vec![]);
        machine.start(NOW, &theirs(form, vec![candidate("a", Direct, 1)]));
        assert_eq!(&connects(&mut machine)[0].2, expected, "{form:?} {role:?}");
        let both = machine.expected();
        assert!(both.contains(&ir) && both.contains(&ri));
    }
    let mut machine = machine(
        Form::Candidates,
        Role::Initiator,
        vec![candidate("p", Proxy, 0)],
    );
    assert_eq!(machine.offer().dstaddr.as_ref(), Some(&ir));
    let mut offered = theirs(Form::Candidates, vec![candidate("p", Proxy, 0)]);
    offered.dstaddr = Destination::read(&"ab".repeat(20));
    machine.start(NOW, &offered);
    assert_eq!(connects(&mut machine)[0].2.as_str(), "ab".repeat(20));
    let mut machine = self::machine(Form::Candidates, Role::Initiator, vec![]);
    offered.candidates = vec![candidate("a", Direct, 0)];
    machine.start(NOW, &offered);
    assert_eq!(connects(&mut machine)[0].2, ri, "dstaddr is for proxies");
}

#[test]
fn forbidden_addresses_are_never_tried() {
    let mut machine = machine(Form::Candidates, Role::Initiator, vec![]);
    let mut bad = candidate("a", Direct, 1);
    bad.host = "127.0.0.1".into();
    let mut zero = candidate("b", Direct, 1);
    zero.port = 0;
    machine.start(NOW, &theirs(Form::Candidates, vec![bad, zero]));
    assert_eq!(actions(&mut machine), [Action::Say(Info::Error)]);
}

#[test]
fn jxs_14_the_one_that_got_through_is_reported_and_the_others_are_abandoned() {
    let mut machine = machine(Form::Candidates, Role::Initiator, vec![]);
    let offered = vec![candidate("a", Direct, 2), candidate("b", Direct, 1)];
    machine.start(NOW, &theirs(Form::Candidates, offered));
    machine.handle_timeout(Instant::from_millis(200));
    let attempts = connects(&mut machine);
    machine
        .handle(NOW, Input::Connected(attempts[1].0))
        .unwrap();
    assert_eq!(
        actions(&mut machine),
        [Action::Abandon(attempts[0].0), Action::Say(used("b"))]
    );
    machine.handle(NOW, Input::Info(&Info::Error)).unwrap();
    assert_eq!(actions(&mut machine), [ready(Link::Made(attempts[1].0))]);
}

/// Both got through, to candidates of these priorities; whether this end's connection is the one.
fn crossing(form: Form, role: Role, their: u16, our: u16) -> bool {
    let mut machine = machine(form, role, vec![candidate("o", Direct, our)]);
    machine.start(NOW, &theirs(form, vec![candidate("t", Direct, their)]));
    let (attempt, candidate, _) = connects(&mut machine).remove(0);
    machine.handle(NOW, Input::Accepted).unwrap();
    machine.handle(NOW, Input::Connected(attempt)).unwrap();
    let reference = match form {
        Form::Candidates => Reference::Cid("o".into()),
        Form::Streamhosts => Reference::Streamhost {
            jid: juliet(),
            host: None,
            port: None,
        },
    };
    assert_eq!(candidate.port, 1000_u16.saturating_add(their));
    machine
        .handle(NOW, Input::Info(&Info::Used(reference)))
        .unwrap();
    let actions = actions(&mut machine);
    let ours = actions.contains(&ready(Link::Made(attempt)));
    assert_eq!(
        !ours,
        actions.ends_with(&[Action::Abandon(attempt), ready(Link::Taken)])
    );
    ours
}

#[test]
fn jxs_16_where_reports_cross_the_higher_priority_wins_or_else_the_initiator() {
    for (role, their, our, ours) in [
        (Role::Initiator, 2, 1, true),
        (Role::Initiator, 1, 2, false),
        (Role::Initiator, 1, 1, true),
        (Role::Responder, 2, 1, true),
        (Role::Responder, 1, 2, false),
        (Role::Responder, 1, 1, false),
    ] {
        assert_eq!(
            crossing(Form::Candidates, role, their, our),
            ours,
            "{role:?} {their} {our}"
        );
        assert_eq!(
            crossing(Form::Streamhosts, role, their, our),
            role == Role::Initiator
        );
    }
}

#[test]
fn jxs_17_when_neither_gets_through_there_is_no_connection() {
    for form in [Form::Candidates, Form::Streamhosts] {
        let mut machine = machine(form, Role::Initiator, vec![]);
        machine.start(NOW, &theirs(form, vec![candidate("a", Direct, 1)]));
        let attempt = connects(&mut machine)[0].0;
        machine.handle(NOW, Input::Failed(attempt)).unwrap();
        assert_eq!(actions(&mut machine), [Action::Say(Info::Error)]);
        machine.handle(NOW, Input::Info(&Info::Error)).unwrap();
        let failed = Action::Event(Event::Failed(Failure::NoCandidate));
        assert_eq!(actions(&mut machine), [failed]);
        assert_eq!(machine.poll_timeout(), None);
    }
}

#[test]
fn only_better_candidates_are_tried_when_the_peer_got_through() {
    let ours = vec![candidate("o", Direct, 5)];
    let mut machine = machine(Form::Candidates, Role::Responder, ours);
    let offered = vec![
        candidate("a", Direct, 9),
        candidate("b", Direct, 5),
        candidate("c", Direct, 1),
    ];
    machine.start(NOW, &theirs(Form::Candidates, offered));
    let best = connects(&mut machine)[0].0;
    machine.handle(NOW, Input::Info(&used("o"))).unwrap();
    assert_eq!(
        actions(&mut machine),
        [],
        "the better one may still get through"
    );
    machine.handle(NOW, Input::Failed(best)).unwrap();
    assert_eq!(
        actions(&mut machine),
        [Action::Say(Info::Error)],
        "the others are not tried"
    );
    machine.handle(NOW, Input::Accepted).unwrap();
    assert_eq!(actions(&mut machine), [ready(Link::Taken)]);
}

#[test]
fn a_proxy_is_activated_by_the_end_that_offered_it() {
    let mut offering = machine(
        Form::Candidates,
        Role::Responder,
        vec![candidate("p", Proxy, 0)],
    );
    offering.start(NOW, &theirs(Form::Candidates, vec![]));
    actions(&mut offering);
    offering.handle(NOW, Input::Info(&used("p"))).unwrap();
    let (attempt, candidate, destination) = connects(&mut offering).remove(0);
    assert_eq!(candidate.jid.to_string(), "proxy.lit");
    assert_eq!(
        destination,
        Destination::new("vj3hs98y", &juliet(), &romeo())
    );
    offering.handle(NOW, Input::Connected(attempt)).unwrap();
    let activate = Action::Activate {
        proxy: "proxy.lit".parse().unwrap(),
        sid: "vj3hs98y".into(),
        target: romeo(),
    };
    assert_eq!(actions(&mut offering), [activate]);
    offering.handle(NOW, Input::Activated).unwrap();
    let said = Action::Say(Info::Activated("p".into()));
    assert_eq!(actions(&mut offering), [said, ready(Link::Made(attempt))]);
}

#[test]
fn a_proxy_of_the_peers_is_used_when_it_is_activated_and_not_before() {
    let connected = || {
        let mut machine = machine(Form::Candidates, Role::Initiator, vec![]);
        machine.start(
            NOW,
            &theirs(Form::Candidates, vec![candidate("p", Proxy, 0)]),
        );
        let attempt = connects(&mut machine)[0].0;
        machine.handle(NOW, Input::Connected(attempt)).unwrap();
        machine.handle(NOW, Input::Info(&Info::Error)).unwrap();
        assert_eq!(actions(&mut machine), [Action::Say(used("p"))]);
        (machine, attempt)
    };
    let (mut machine, attempt) = connected();
    let other = Info::Activated("q".into());
    assert_eq!(
        machine.handle(NOW, Input::Info(&other)),
        Err(Untimely::NoSuchCandidate)
    );
    machine
        .handle(NOW, Input::Info(&Info::Activated("p".into())))
        .unwrap();
    assert_eq!(actions(&mut machine), [ready(Link::Made(attempt))]);

    let (mut machine, attempt) = connected();
    machine.handle(NOW, Input::Info(&Info::ProxyError)).unwrap();
    let failed = Action::Event(Event::Failed(Failure::Proxy));
    assert_eq!(actions(&mut machine), [Action::Abandon(attempt), failed]);

    let (mut machine, _) = connected();
    machine.handle_timeout(NOW + Duration::from_secs(30));
    assert_eq!(
        actions(&mut machine),
        [Action::Event(Event::Failed(Failure::Silent))]
    );
}

#[test]
fn a_proxy_that_cannot_be_used_is_a_proxy_error() {
    for step in 0..3 {
        let mut machine = machine(
            Form::Candidates,
            Role::Initiator,
            vec![candidate("p", Proxy, 0)],
        );
        machine.start(NOW, &theirs(Form::Candidates, vec![]));
        machine.handle(NOW, Input::Info(&used("p"))).unwrap();
        let attempt = connects(&mut machine)[0].0;
        if step == 0 {
            machine.handle(NOW, Input::Failed(attempt)).unwrap();
        } else {
            machine.handle(NOW, Input::Connected(attempt)).unwrap();
            actions(&mut machine);
            if step == 1 {
                machine.handle(NOW, Input::NotActivated).unwrap();
            } else {
                machine.handle_timeout(NOW + Duration::from_secs(30));
            }
        }
        let failed = Action::Event(Event::Failed(Failure::Proxy));
        assert_eq!(
            actions(&mut machine),
            [
                Action::Abandon(attempt),
                Action::Say(Info::ProxyError),
                failed
            ]
        );
    }
}

#[test]
fn streamhosts_do_not_wait_for_peers_that_never_report() {
    let found = |role| {
        let mut machine = machine(Form::Streamhosts, role, vec![]);
        machine.start(
            NOW,
            &theirs(Form::Streamhosts, vec![candidate("", Direct, 1)]),
        );
        let attempt = connects(&mut machine)[0].0;
        machine.handle(NOW, Input::Connected(attempt)).unwrap();
        (machine, attempt)
    };
    let (mut initiator, attempt) = found(Role::Initiator);
    assert!(actions(&mut initiator).contains(&ready(Link::Made(attempt))));
    assert_eq!(
        initiator.handle(NOW, Input::Info(&Info::Error)),
        Ok(()),
        "a report that comes late"
    );
    let (mut responder, attempt) = found(Role::Responder);
    actions(&mut responder);
    responder.handle_timeout(NOW + Duration::from_secs(30));
    assert_eq!(actions(&mut responder), [ready(Link::Made(attempt))]);
}

#[test]
fn reports_that_do_not_fit_change_nothing() {
    let mut machine = machine(
        Form::Candidates,
        Role::Initiator,
        vec![candidate("o", Direct, 1)],
    );
    machine.start(
        NOW,
        &theirs(Form::Candidates, vec![candidate("t", Direct, 1)]),
    );
    actions(&mut machine);
    let strange = used("x");
    assert_eq!(
        machine.handle(NOW, Input::Info(&strange)),
        Err(Untimely::NoSuchCandidate)
    );
    for info in [Info::ProxyError, Info::Activated("t".into())] {
        assert_eq!(
            machine.handle(NOW, Input::Info(&info)),
            Err(Untimely::OutOfOrder)
        );
    }
    machine.handle(NOW, Input::Info(&used("o"))).unwrap();
    assert_eq!(
        machine.handle(NOW, Input::Info(&Info::Error)),
        Err(Untimely::OutOfOrder),
        "one report"
    );
    assert_eq!(actions(&mut machine), []);
}

/// What is under way in the test of both ends.
#[derive(Debug, Clone)]
enum Underway {
    Info(usize, Info),
    Attempt(usize, Attempt, Candidate),
    Activation(usize),
}

/// Runs both ends to their outcomes. `luck` says of each step which thing under way comes next, and how it ends.
fn run(
    form: Form,
    offers: [Vec<Candidate>; 2],
    reachable: impl Fn(usize, &Candidate) -> bool,
    activates: bool,
    luck: &[usize],
) -> [(Event, Vec<(Attempt, Candidate)>); 2] {
    let [first, second] = offers;
    let mut ends = [
        machine(form, Role::Initiator, first),
        machine(form, Role::Responder, second),
    ];
    let sent = [ends[0].offer(), ends[1].offer()].map(|offer| offer.to_element(true));
    let read = [
        Transport::read(&sent[1], &juliet()).unwrap(),
        Transport::read(&sent[0], &romeo()).unwrap(),
    ];
    let mut outcome = [None, None];
    let mut made = [Vec::new(), Vec::new()];
    let mut underway: Vec<Underway> = Vec::new();
    let mut now = NOW;
    for (end, theirs) in ends.iter_mut().zip(&read) {
        end.start(now, theirs);
    }
    for turn in 0_usize..200 {
        for (place, end) in ends.iter_mut().enumerate() {
            for action in actions(end) {
                match action {
                    Action::Connect {
                        attempt, candidate, ..
                    } => {
                        made[place].push((attempt, candidate.clone()));
                        underway.push(Underway::Attempt(place, attempt, candidate));
                    }
                    Action::Say(info) => {
                        // Over the wire, in order.
                        let element = end.report(info).to_element(true);
                        let info = Transport::read(&element, &romeo()).unwrap().info.unwrap();
                        underway.push(Underway::Info(place ^ 1, info));
                    }
                    Action::Activate { .. } => underway.push(Underway::Activation(place)),
                    Action::Event(event) => {
                        assert!(outcome[place].is_none() || form == Form::Streamhosts);
                        outcome[place] = Some(event);
                    }
                    Action::Abandon(_) => {}
                }
            }
        }
        if underway.is_empty() {
            let Some(at) = ends.iter().filter_map(Negotiation::poll_timeout).min() else {
                break;
            };
            now = now.max(at);
            ends.iter_mut().for_each(|end| end.handle_timeout(now));
            continue;
        }
        let pick = luck[turn.checked_rem(luck.len()).unwrap()]
            .checked_rem(underway.len())
            .unwrap();
        // Reports do not overtake one another.
        let pick = match &underway[pick] {
            Underway::Info(to, _) => underway
                .iter()
                .position(|other| matches!(other, Underway::Info(other, _) if *other == *to))
                .unwrap(),
            _ => pick,
        };
        match underway.remove(pick) {
            Underway::Info(to, info) => ends[to].handle(now, Input::Info(&info)).unwrap(),
            Underway::Attempt(end, attempt, candidate) => {
                if reachable(end, &candidate) {
                    if !candidate.is_proxy() {
                        ends[end ^ 1].handle(now, Input::Accepted).unwrap();
                    }
                    ends[end].handle(now, Input::Connected(attempt)).unwrap();
                } else {
                    ends[end].handle(now, Input::Failed(attempt)).unwrap();
                }
            }
            Underway::Activation(end) if activates => {
                ends[end].handle(now, Input::Activated).unwrap()
            }
            Underway::Activation(end) => ends[end].handle(now, Input::NotActivated).unwrap(),
        }
    }
    let [first, second] = outcome;
    let [of_first, of_second] = made;
    [(first.unwrap(), of_first), (second.unwrap(), of_second)]
}

fn some_candidates(side: &'static str) -> impl Strategy<Value = Vec<Candidate>> {
    prop::collection::vec((any::<bool>(), 0_u16..6), 0..4).prop_map(move |kinds| {
        let jid = if side == "i" { romeo() } else { juliet() };
        (0_u16..)
            .zip(kinds)
            .map(|(place, (proxy, local))| {
                let kind = if proxy { Proxy } else { Direct };
                let jid = if proxy {
                    "proxy.lit".parse().unwrap()
                } else {
                    jid.clone()
                };
                Candidate::new(
                    format!("{side}{place}"),
                    kind,
                    jid,
                    format!("{side}.lit"),
                    1000_u16.saturating_add(place),
                    local,
                )
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn both_ends_come_to_the_same_choice(
        streamhosts in any::<bool>(),
        initiators in some_candidates("i"),
        responders in some_candidates("r"),
        reach in any::<[u8; 2]>(),
        activates in any::<bool>(),
        luck in prop::collection::vec(any::<usize>(), 1..40),
    ) {
        let form = if streamhosts { Form::Streamhosts } else { Form::Candidates };
        let reachable = |end: usize, candidate: &Candidate| {
            let place = u32::from(candidate.port.saturating_sub(1000));
            // One bit for each candidate, from either side.
            let bit = if candidate.host == "i.lit" { place } else { place.saturating_add(4) };
            reach[end] >> bit & 1 == 1
        };
        let [(first, made), (second, taken)] = run(form, [initiators, responders], reachable, activates, &luck);
        let at = |made: &[(Attempt, Candidate)], attempt: Attempt| {
            made.iter().find(|(other, _)| *other == attempt).unwrap().1.clone()
        };
        match (first, second) {
            (Event::Failed(one), Event::Failed(other)) => prop_assert_eq!(one, other),
            (Event::Ready(Link::Taken), Event::Ready(Link::Made(attempt))) => {
                prop_assert!(!at(&taken, attempt).is_proxy());
            }
            (Event::Ready(Link::Made(attempt)), Event::Ready(Link::Taken)) => {
                prop_assert!(!at(&made, attempt).is_proxy());
            }
            (Event::Ready(Link::Made(one)), Event::Ready(Link::Made(other))) => {
                let (one, other) = (at(&made, one), at(&taken, other));
                prop_assert!(one.is_proxy() && (one.host, one.port) == (other.host, other.port));
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }
}
