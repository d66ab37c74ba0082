//! Logins: SASL and SASL2, both roles.

use onetrip_core::negotiation::{sasl, sasl2};
use onetrip_core::stream::Secret;

use super::{Diagram, Subject, element, printed, with_env};

/// `\0juliet\0r0m30myr0m30`.
const PLAIN: &str = "AGp1bGlldAByMG0zMG15cjBtMzA=";

pub(super) fn diagrams() -> Vec<Diagram> {
    vec![
        sasl_initiator(),
        sasl_receiver(),
        sasl2_initiator(),
        sasl2_receiver(),
    ]
}

fn config() -> sasl::InitiatorConfig {
    sasl::InitiatorConfig::password("juliet", Secret::from("r0m30myr0m30"))
}

fn choice() -> sasl::Choice {
    sasl::choose(&config(), &["PLAIN".to_owned()], &[], None, 0).unwrap()
}

fn offer() -> sasl::ReceiverConfig {
    sasl::ReceiverConfig::new(vec![sasl::Mechanism::Plain, sasl::Mechanism::ScramSha256])
}

fn accept() -> sasl::Answer {
    let identity = "juliet".into();
    sasl::Answer::Accept { identity }
}

fn sasl_initiator() -> Diagram {
    let give = |machine: &mut sasl::Initiator, input: sasl::Input<'_>| {
        let _ = with_env(|env| machine.handle(env, input));
    };
    let take = |machine: &mut sasl::Initiator, name: &str| {
        let text = format!("<{name} xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
        give(machine, sasl::Input::Element(&element(&text)));
    };
    Subject {
        name: "onetrip-negotiation: `sasl::Initiator`",
        table: "negotiation/src/sasl/initiator.rs",
        state: &printed("state"),
        begins: &[("", &|| sasl::Initiator::new(&config(), choice(), None))],
        inputs: &[
            ("start", &|machine| give(machine, sasl::Input::Start)),
            ("abort", &|machine| give(machine, sasl::Input::Abort)),
            ("success", &|machine| take(machine, "success")),
            ("failure", &|machine| take(machine, "failure")),
            ("challenge that PLAIN has not", &|machine| {
                take(machine, "challenge")
            }),
            ("anything else", &|machine| take(machine, "other")),
        ],
        drain: &|machine| machine.poll_action().is_some(),
    }
    .explore()
}

fn sasl_receiver() -> Diagram {
    let give = |machine: &mut sasl::Receiver, input: sasl::ReceiverInput<'_>| {
        let _ = with_env(|env| machine.handle(env, input));
    };
    let take = |machine: &mut sasl::Receiver, text: &str| {
        give(machine, sasl::ReceiverInput::Element(&element(text)));
    };
    let ns = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";
    Subject {
        name: "onetrip-negotiation: `sasl::Receiver`",
        table: "negotiation/src/sasl/server.rs",
        state: &printed("exchange.state"),
        begins: &[("", &|| sasl::Receiver::new(&offer(), None, false))],
        inputs: &[
            ("auth", &|machine| {
                take(
                    machine,
                    &format!("<auth {ns} mechanism='PLAIN'>{PLAIN}</auth>"),
                )
            }),
            ("auth by SCRAM", &|machine| {
                let first = "biwsbj1qdWxpZXQscj0xMjM0NTY3ODkwMTIzNDU2";
                take(
                    machine,
                    &format!("<auth {ns} mechanism='SCRAM-SHA-256'>{first}</auth>"),
                )
            }),
            ("the keys", &|machine| {
                let keys = sasl::StoredKeys::from_password(
                    sasl::Hash::Sha256,
                    "r0m30myr0m30",
                    b"salt".to_vec(),
                    4096,
                );
                give(
                    machine,
                    sasl::ReceiverInput::Answer(sasl::Answer::Keys(keys.unwrap())),
                );
            }),
            ("auth without a response", &|machine| {
                take(machine, &format!("<auth {ns} mechanism='PLAIN'/>"))
            }),
            ("response", &|machine| {
                take(machine, &format!("<response {ns}>{PLAIN}</response>"))
            }),
            ("abort", &|machine| take(machine, &format!("<abort {ns}/>"))),
            ("anything else", &|machine| {
                take(machine, "<other xmlns='urn:x'/>")
            }),
            ("the answer accept", &|machine| {
                give(machine, sasl::ReceiverInput::Answer(accept()))
            }),
            ("the answer refuse", &|machine| {
                let refuse = sasl::Answer::Refuse(sasl::Refusal::NotAuthorized);
                give(machine, sasl::ReceiverInput::Answer(refuse));
            }),
        ],
        drain: &|machine| machine.poll_action().is_some(),
    }
    .explore()
}

fn sasl2_initiator() -> Diagram {
    let give = |machine: &mut sasl2::Initiator, input: sasl2::Input<'_>| {
        let _ = with_env(|env| machine.handle(env, input));
    };
    let take = |machine: &mut sasl2::Initiator, text: &str| {
        let text = text.replacen(' ', " xmlns='urn:xmpp:sasl:2' ", 1);
        give(machine, sasl2::Input::Element(&element(&text)));
    };
    let failure = "<failure ><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></failure>";
    let success = "<success ><authorization-identifier>juliet@capulet.lit</authorization-identifier></success>";
    Subject {
        name: "onetrip-negotiation: `sasl2::Initiator`",
        table: "negotiation/src/sasl2/initiator.rs",
        state: &printed("state"),
        begins: &[("", &|| {
            let mut request = sasl2::Request::new();
            request.tasks = vec!["HOTP".to_owned()];
            sasl2::Initiator::new(&config(), choice(), None, request)
        })],
        inputs: &[
            ("start", &|machine| give(machine, sasl2::Input::Start)),
            ("abort", &|machine| give(machine, sasl2::Input::Abort)),
            ("success", &|machine| take(machine, success)),
            ("failure", &|machine| take(machine, failure)),
            ("continue", &|machine| {
                take(
                    machine,
                    "<continue ><tasks><task>HOTP</task></tasks></continue>",
                );
            }),
            ("continue with a task that is not known", &|machine| {
                take(
                    machine,
                    "<continue ><tasks><task>TOTP</task></tasks></continue>",
                );
            }),
            ("next task", &|machine| {
                let (task, children) = ("HOTP", Vec::new());
                give(machine, sasl2::Input::Next { task, children });
            }),
            ("task-data", &|machine| take(machine, "<task-data />")),
            ("the task says", &|machine| {
                give(machine, sasl2::Input::TaskData(Vec::new()))
            }),
            ("anything else", &|machine| {
                give(machine, sasl2::Input::Intruder)
            }),
        ],
        drain: &|machine| machine.poll_action().is_some(),
    }
    .explore()
}

fn sasl2_receiver() -> Diagram {
    let give = |machine: &mut sasl2::Receiver, input: sasl2::ReceiverInput<'_>| {
        let _ = with_env(|env| machine.handle(env, input));
    };
    let take = |machine: &mut sasl2::Receiver, text: &str| {
        let text = text.replacen(' ', " xmlns='urn:xmpp:sasl:2' ", 1);
        give(machine, sasl2::ReceiverInput::Element(&element(&text)));
    };
    Subject {
        name: "onetrip-negotiation: `sasl2::Receiver`",
        table: "negotiation/src/sasl2/receiver.rs",
        state: &printed("state"),
        begins: &[("", &|| {
            sasl2::Receiver::new(&sasl2::ReceiverConfig::new(offer()), None, false)
        })],
        inputs: &[
            ("authenticate", &|machine| {
                let initial = format!("<initial-response>{PLAIN}</initial-response>");
                take(
                    machine,
                    &format!("<authenticate mechanism='PLAIN'>{initial}</authenticate>"),
                );
            }),
            ("authenticate without a response", &|machine| {
                take(machine, "<authenticate mechanism='PLAIN'/>");
            }),
            ("response", &|machine| {
                take(machine, &format!("<response >{PLAIN}</response>"))
            }),
            ("abort", &|machine| take(machine, "<abort />")),
            ("next", &|machine| take(machine, "<next task='HOTP'/>")),
            ("task-data", &|machine| take(machine, "<task-data />")),
            ("anything else", &|machine| {
                give(machine, sasl2::ReceiverInput::Intruder)
            }),
            ("the answer accept", &|machine| {
                give(machine, sasl2::ReceiverInput::Answer(accept()))
            }),
            ("the answer refuse", &|machine| {
                let refuse = sasl::Answer::Refuse(sasl::Refusal::NotAuthorized);
                give(machine, sasl2::ReceiverInput::Answer(refuse));
            }),
            ("the outcome success", &|machine| {
                let (identifier, inline) = ("juliet@capulet.lit".parse().unwrap(), Vec::new());
                let outcome = sasl2::Outcome::Success { identifier, inline };
                give(machine, sasl2::ReceiverInput::Outcome(outcome));
            }),
            ("the outcome continue", &|machine| {
                let (tasks, text) = (vec!["HOTP".to_owned()], None);
                let outcome = sasl2::Outcome::Continue { tasks, text };
                give(machine, sasl2::ReceiverInput::Outcome(outcome));
            }),
            ("the outcome task-data", &|machine| {
                let outcome = sasl2::Outcome::TaskData(Vec::new());
                give(machine, sasl2::ReceiverInput::Outcome(outcome));
            }),
        ],
        drain: &|machine| machine.poll_action().is_some(),
    }
    .explore()
}
