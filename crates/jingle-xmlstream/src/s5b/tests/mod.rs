mod both_ends;

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
fn a_failure_brings_the_next_forward_only_when_nothing_else_runs() {
    let mut machine = machine(Form::Candidates, Role::Initiator, vec![]);
    let offered = vec![
        candidate("a", Direct, 3),
        candidate("b", Direct, 2),
        candidate("c", Direct, 1),
    ];
    machine.start(NOW, &theirs(Form::Candidates, offered));
    let first = connects(&mut machine)[0].0;
    machine.handle_timeout(Instant::from_millis(200));
    let second = connects(&mut machine)[0].0;
    machine.handle(NOW, Input::Failed(first)).unwrap();
    assert_eq!(actions(&mut machine), []);
    machine.handle(NOW, Input::Failed(second)).unwrap();
    assert_eq!(connects(&mut machine)[0].1.cid, "c");
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
fn a_connection_that_was_lost_again_is_not_the_one() {
    let mut machine = machine(
        Form::Candidates,
        Role::Initiator,
        vec![candidate("o", Direct, 1)],
    );
    machine.start(NOW, &theirs(Form::Candidates, vec![]));
    machine.handle(NOW, Input::Accepted).unwrap();
    machine.handle(NOW, Input::Lost).unwrap();
    actions(&mut machine);
    machine.handle(NOW, Input::Info(&used("o"))).unwrap();
    assert_eq!(actions(&mut machine), []);
    machine.handle(NOW, Input::Accepted).unwrap();
    assert_eq!(actions(&mut machine), [ready(Link::Taken)]);
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
