//! Resource binding, alone and within SASL2.

use onetrip_core::negotiation::{bind, bind2};

use super::{Diagram, Subject, element, printed, with_env};

/// How many requests are tried: more than a machine takes.
const REQUESTS: usize = 24;

pub(super) fn diagrams() -> Vec<Diagram> {
    vec![bind_initiator(), bind_receiver(), bind2_receiver()]
}

fn bind_initiator() -> Diagram {
    let id = with_env(|env| env.random_id());
    let take = |machine: &mut bind::Initiator, kind: &str, child: &str| {
        let text = format!("<iq xmlns='jabber:client' type='{kind}' id='{id}'>{child}</iq>");
        let _ = machine.handle(&element(&text));
    };
    Subject {
        name: "onetrip-negotiation: `bind::Initiator`",
        table: "negotiation/src/bind.rs",
        state: &|machine: &bind::Initiator| {
            let pending = !format!("{machine:?}").contains("pending: None");
            let state = match (pending, machine.may_request()) {
                (true, _) => "Asked",
                (false, true) => "Idle",
                (false, false) => "Exhausted",
            };
            state.to_owned()
        },
        begins: &[("", &bind::Initiator::new)],
        inputs: &[
            ("request()", &|machine| {
                if machine.may_request() {
                    let _ = with_env(|env| machine.request(env, None));
                }
            }),
            ("the result", &|machine| {
                let jid = "<jid>juliet@capulet.lit/balcony</jid>";
                let bind = format!("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>{jid}</bind>");
                take(machine, "result", &bind);
            }),
            ("a result without an address", &|machine| {
                take(machine, "result", "")
            }),
            ("an error", &|machine| take(machine, "error", "")),
        ],
        drain: &|_| false,
    }
    .explore_to(REQUESTS)
}

fn bind_receiver() -> Diagram {
    let take = |machine: &mut bind::Receiver, id: &str| {
        let bind = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>";
        let text = format!("<iq xmlns='jabber:client' type='set' id='{id}'>{bind}</iq>");
        let _ = machine.handle(&element(&text));
    };
    Subject {
        name: "onetrip-negotiation: `bind::Receiver`",
        table: "negotiation/src/bind.rs",
        state: &|machine: &bind::Receiver| {
            let pending = !format!("{machine:?}").contains("pending: None");
            if pending { "Deciding" } else { "Idle" }.to_owned()
        },
        begins: &[("", &bind::Receiver::new)],
        inputs: &[
            ("a request", &|machine| take(machine, "1")),
            ("a request without id", &|machine| take(machine, "")),
            ("the answer bound", &|machine| {
                let jid = "juliet@capulet.lit/balcony".parse().expect("an address");
                let _ = machine.answer(bind::Answer::Bound { jid });
            }),
            ("the answer refused", &|machine| {
                let condition = "conflict";
                let _ = machine.answer(bind::Answer::Refused { condition });
            }),
        ],
        drain: &|_| false,
    }
    .explore()
}

fn bind2_receiver() -> Diagram {
    let begin = |elements: &[&str]| {
        let inline: Vec<_> = elements.iter().map(|text| element(text)).collect();
        bind2::Receiver::new(&inline, None).unwrap()
    };
    let (bind, resume) = (
        "<bind xmlns='urn:xmpp:bind:0'/>",
        "<resume xmlns='urn:xmpp:sm:3' previd='s1' h='0'/>",
    );
    Subject {
        name: "onetrip-negotiation: `bind2::Receiver`",
        table: "negotiation/src/bind2.rs",
        state: &printed("state"),
        begins: &[
            ("nothing rides along", &|| begin(&[])),
            ("bind", &|| begin(&[bind])),
            ("resume", &|| begin(&[resume])),
            ("resume and bind", &|| begin(&[resume, bind])),
        ],
        inputs: &[
            ("resumed()", &|machine| {
                machine.resumed(element(
                    "<resumed xmlns='urn:xmpp:sm:3' previd='s1' h='0'/>",
                ));
            }),
            ("failed()", &|machine| {
                machine.failed(element("<failed xmlns='urn:xmpp:sm:3'/>"));
            }),
            ("bound()", &|machine| machine.bound(Vec::new())),
        ],
        drain: &|machine| machine.poll_action().is_some(),
    }
    .explore()
}
