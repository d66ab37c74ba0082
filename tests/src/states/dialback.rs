//! Dialback: how a pair of domains, or a verification, stands with each end.

use onetrip_core::dialback::{
    Action, Answer, Ask, Checked, ConnectionId, Facts, Gone, Key, Originating, Reason, Receiving,
    StreamId, Verdict, Verification, Verified, Verifying,
};
use onetrip_core::stream::{Domain, Pair, Secret};

use super::{Diagram, Subject, late, with_env};

pub(super) fn diagrams() -> Vec<Diagram> {
    vec![originating(), receiving(), verifying()]
}

fn pair() -> Pair {
    let domain = |name| Domain::new(name).unwrap();
    Pair::new(domain("capulet.lit"), domain("montague.lit"))
}

fn id() -> StreamId {
    StreamId::new("D60000229F").unwrap()
}

fn ask() -> Ask {
    let key = Key::read("b4835385").unwrap();
    Ask { pair: pair(), key }
}

/// With every deadline behind.
fn timeout<R>(call: impl FnOnce(&mut onetrip_core::stream::Env<'_>) -> R) -> R {
    let mut entropy = |out: &mut [u8]| out.fill(7);
    call(&mut onetrip_core::stream::Env::new(late(), &mut entropy))
}

fn originating() -> Diagram {
    let answer = |machine: &mut Originating, verdict| {
        let pair = pair();
        machine.handle(&Answer { pair, verdict });
    };
    Subject {
        name: "onetrip-dialback: `Originating`, a pair",
        table: "dialback/src/originating.rs",
        state: &|machine: &Originating| {
            let printed = format!("{machine:?}");
            let state = if printed.contains("ended: true") {
                "Ended"
            } else if machine.awaits(&pair(), &id()) {
                "Asked"
            } else if printed.contains("late: {}") {
                "NotAskedFor"
            } else {
                "GivenUp"
            };
            state.to_owned()
        },
        begins: &[("", &|| {
            Originating::new(Secret::from("s3cr3t"), id(), pair().to)
        })],
        inputs: &[
            ("ask()", &|machine| {
                let _ = with_env(|env| machine.ask(env, pair()));
            }),
            ("valid", &|machine| answer(machine, Verdict::Valid)),
            ("invalid", &|machine| answer(machine, Verdict::Invalid)),
            ("an error", &|machine| {
                answer(machine, Verdict::Error(Reason::RemoteServerTimeout));
            }),
            ("its deadline", &|machine| {
                timeout(|env| machine.handle_timeout(env))
            }),
            ("end()", &Originating::end),
        ],
        drain: &|machine| machine.poll_action().is_some(),
    }
    .explore()
}

/// The end that is asked, and what it has last asked for itself.
#[derive(Debug)]
struct Asked {
    machine: Receiving,
    verification: Option<Verification>,
}

impl Asked {
    fn ask(&mut self, facts: impl FnOnce(Facts) -> Facts) {
        let hosted = facts(Facts::of(&pair(), |name| *name == pair().to));
        with_env(|env| self.machine.handle(env, &ask(), hosted));
    }

    fn verified(&mut self, checked: Checked) {
        if let Some(verification) = &self.verification {
            self.machine.verified(verification.ticket, checked);
        }
    }

    fn drain(&mut self) -> bool {
        let action = self.machine.poll_action();
        let more = action.is_some();
        if let Some(Action::Request(verification)) = action {
            self.verification = Some(verification);
        }
        more
    }
}

fn receiving() -> Diagram {
    Subject {
        name: "onetrip-dialback: `Receiving`, a pair",
        table: "dialback/src/receiving.rs",
        state: &|asked: &Asked| {
            let printed = format!("{:?}", asked.machine);
            let state = if printed.contains("closed: true") {
                "Closed"
            } else if asked.machine.is_valid(&pair()) {
                "Valid"
            } else if printed.contains("pending: {}") {
                "Unknown"
            } else {
                "Pending"
            };
            state.to_owned()
        },
        begins: &[("", &|| Asked {
            machine: Receiving::new(ConnectionId(1), id()),
            verification: None,
        })],
        inputs: &[
            ("result", &|asked| asked.ask(Facts::secured)),
            ("result, certificate covers the sender", &|asked| {
                asked.ask(Facts::certified)
            }),
            ("result in clear", &|asked| asked.ask(|facts| facts)),
            ("verified() valid", &|asked| {
                asked.verified(Checked::Answered(Verdict::Valid));
            }),
            ("verified() invalid", &|asked| {
                asked.verified(Checked::Answered(Verdict::Invalid));
            }),
            ("verified() otherwise", &|asked| {
                asked.verified(Checked::ConnectFailed)
            }),
            ("another pair is valid", &|asked| {
                asked.machine.otherwise_valid()
            }),
            ("withdraw()", &|asked| {
                asked.machine.withdraw(&pair());
            }),
            ("its deadline", &|asked| {
                timeout(|env| asked.machine.handle_timeout(env))
            }),
            ("end()", &|asked| asked.machine.end()),
        ],
        drain: &Asked::drain,
    }
    .explore_to(4)
}

fn verifying() -> Diagram {
    let mut asked = Asked {
        machine: Receiving::new(ConnectionId(1), id()),
        verification: None,
    };
    asked.ask(Facts::secured);
    while asked.drain() {}
    let verification = asked.verification.unwrap();
    let answer = |machine: &mut Verifying, verdict| {
        machine.handle(&Verified {
            pair: pair(),
            id: id(),
            verdict,
        });
    };
    Subject {
        name: "onetrip-dialback: `Verifying`, a verification",
        table: "dialback/src/verifying.rs",
        state: &|machine: &Verifying| {
            let ended = format!("{machine:?}").contains("ended: true");
            let state = match (ended, machine.pending()) {
                (true, _) => "Ended",
                (false, 0) => "None",
                (false, _) => "Pending",
            };
            state.to_owned()
        },
        begins: &[("", &|| Verifying::new(ConnectionId(2)))],
        inputs: &[
            ("verify()", &|machine| {
                let _ = with_env(|env| machine.verify(env, &verification));
            }),
            ("valid", &|machine| answer(machine, Verdict::Valid)),
            ("invalid", &|machine| answer(machine, Verdict::Invalid)),
            ("its deadline", &|machine| {
                timeout(|env| machine.handle_timeout(env))
            }),
            ("end()", &|machine| machine.end(Gone::Closed)),
        ],
        drain: &|machine| machine.poll_action().is_some(),
    }
    .explore()
}
