//! Both ends come to the same choice.

use super::*;

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
