//! Sessions that go on over another connection, and tokens.

use onetrip_core::isr;
use onetrip_core::stream::{Instant, Jid, Prover, Secret, Token, TokenProof};
use onetrip_core::stream_management as sm;

use super::{Diagram, Subject, element, late, printed, with_env};

const SM: &str = "xmlns='urn:xmpp:sm:3'";

pub(super) fn diagrams() -> Vec<Diagram> {
    vec![
        management_initiator(),
        management_receiver(),
        isr_initiator(),
        isr_receiver(),
        isr_login(),
    ]
}

fn owner() -> Jid {
    "juliet@capulet.lit/balcony".parse().unwrap()
}

fn session() -> sm::Session {
    let stanzas = vec!["<message/>".into()];
    sm::Session::new(
        "s1",
        &owner(),
        sm::Count::new(0),
        sm::Count::new(7),
        stanzas,
    )
}

fn management_initiator() -> Diagram {
    let take = |machine: &mut sm::Initiator, text: &str| {
        let _ = machine.handle(Instant::EPOCH, &element(text));
    };
    Subject {
        name: "onetrip-stream-management: `Initiator`",
        table: "stream-management/src/initiator.rs",
        state: &printed("state"),
        begins: &[("", &|| sm::Initiator::new(sm::Config::default()))],
        inputs: &[
            ("enable()", &|machine| {
                machine.enable(Instant::EPOCH, true, None)
            }),
            ("resume()", &|machine| machine.resume(&session())),
            ("await_resumption()", &|machine| {
                let _ = machine.await_resumption(&session());
            }),
            ("resumed()", &|machine| {
                let _ = machine.resumed(Instant::EPOCH, sm::Count::new(0));
            }),
            ("withdraw()", &|machine| {
                let _ = machine.withdraw(&owner(), None);
            }),
            ("suspend()", &|machine| {
                let _ = machine.suspend(&owner());
            }),
            ("give_up()", &sm::Initiator::give_up),
            ("its deadline", &|machine| machine.handle_timeout(late())),
            ("enabled", &|machine| {
                take(machine, &format!("<enabled {SM} id='s1' resume='true'/>"))
            }),
            ("resumed", &|machine| {
                take(machine, &format!("<resumed {SM} previd='s1' h='0'/>"))
            }),
            ("failed", &|machine| {
                take(machine, &format!("<failed {SM}/>"))
            }),
            ("a", &|machine| take(machine, &format!("<a {SM} h='0'/>"))),
            ("r", &|machine| take(machine, &format!("<r {SM}/>"))),
        ],
        drain: &|machine| machine.poll_action().is_some(),
    }
    .explore()
}

fn management_receiver() -> Diagram {
    let take = |machine: &mut sm::Receiver, text: &str| {
        let _ = machine.handle(Instant::EPOCH, &element(text), true);
    };
    Subject {
        name: "onetrip-stream-management: `Receiver`",
        table: "stream-management/src/receiver.rs",
        state: &printed("state"),
        begins: &[("", &|| sm::Receiver::new(sm::Config::default()))],
        inputs: &[
            ("enable", &|machine| {
                take(machine, &format!("<enable {SM} resume='true'/>"))
            }),
            ("resume", &|machine| {
                take(machine, &format!("<resume {SM} previd='s1' h='0'/>"))
            }),
            ("a", &|machine| take(machine, &format!("<a {SM} h='0'/>"))),
            ("r", &|machine| take(machine, &format!("<r {SM}/>"))),
            ("grant()", &|machine| machine.grant(sm::Granted::default())),
            ("refuse()", &|machine| {
                machine.refuse("item-not-found", None)
            }),
            ("resume()", &|machine| {
                let _ = machine.resume(Instant::EPOCH, &session());
            }),
            ("take_up()", &|machine| {
                let _ = machine.take_up(&session(), sm::Count::new(0));
            }),
            ("suspend()", &|machine| {
                let _ = machine.suspend(&owner());
            }),
            ("its deadline", &|machine| machine.handle_timeout(late())),
        ],
        drain: &|machine| machine.poll_action().is_some(),
    }
    .explore()
}

fn isr_initiator() -> Diagram {
    let take = |machine: &mut isr::Initiator, text: &str| {
        let _ = machine.handle(&element(text));
    };
    Subject {
        name: "onetrip-isr: `Initiator`",
        table: "isr/src/initiator.rs",
        state: &printed("state"),
        begins: &[("", &|| {
            isr::Initiator::new(isr::Ticket::new(Token::read("old").unwrap(), None))
        })],
        inputs: &[
            ("request()", &|machine| {
                let _ = machine.request(1);
            }),
            ("inst-resumed", &|machine| {
                take(
                    machine,
                    "<inst-resumed xmlns='urn:xmpp:isr:0' tok='new' h='1'/>",
                );
            }),
            ("inst-resumed without token", &|machine| {
                take(machine, "<inst-resumed xmlns='urn:xmpp:isr:0' h='1'/>");
            }),
            ("failed", &|machine| {
                take(machine, "<failed xmlns='urn:xmpp:isr:0'/>")
            }),
            ("anything else", &|machine| {
                take(machine, "<other xmlns='urn:x'/>")
            }),
        ],
        drain: &|_| false,
    }
    .explore()
}

fn isr_receiver() -> Diagram {
    let take = |machine: &mut isr::Receiver, text: &str, place: isr::Place| {
        let _ = with_env(|env| machine.handle(env, &element(text), place));
    };
    let request = "<inst-resume xmlns='urn:xmpp:isr:0' tok='old' h='1'/>";
    let prove = || {
        let dialect = isr::Dialect::Hmac {
            session: "s1".to_owned(),
        };
        let ticket = isr::Ticket::of(dialect, Token::read("k3y").unwrap(), None);
        let mut client = isr::Initiator::new(ticket).with_end_point(Secret::from("bound"));
        client.request(1).unwrap()
    };
    Subject {
        name: "onetrip-isr: `Receiver`",
        table: "isr/src/receiver.rs",
        state: &printed("state"),
        begins: &[("", &|| {
            isr::Receiver::new().with_end_point(Secret::from("bound"))
        })],
        inputs: &[
            ("inst-resume under TLS", &|machine| {
                take(machine, request, isr::Place::Secured)
            }),
            ("inst-resume with a proof", &|machine| {
                let _ = with_env(|env| machine.handle(env, &prove(), isr::Place::Secured));
            }),
            ("inst-resume in clear", &|machine| {
                take(machine, request, isr::Place::Clear)
            }),
            ("inst-resume behind a login", &|machine| {
                take(machine, request, isr::Place::Authenticated);
            }),
            ("inst-resume without token", &|machine| {
                take(
                    machine,
                    "<inst-resume xmlns='urn:xmpp:isr:0' h='1'/>",
                    isr::Place::Secured,
                );
            }),
            ("anything else", &|machine| {
                take(machine, "<other xmlns='urn:x'/>", isr::Place::Secured);
            }),
            ("accept()", &|machine| machine.accept(1)),
            ("accept_proved()", &|machine| {
                let proof = onetrip_core::stream::ResponderProof::read(&[0; 32]);
                machine.accept_proved(1, &proof.unwrap());
            }),
            ("refuse()", &|machine| {
                machine.refuse(None, "item-not-found")
            }),
        ],
        drain: &|machine| machine.poll_action().is_some(),
    }
    .explore()
}

fn isr_login() -> Diagram {
    let mechanism = "HT-SHA-256-NONE";
    let request = || {
        let key = Token::read("k3y").unwrap();
        let (session, mechanism) = ("s1".to_owned(), mechanism.to_owned());
        let dialect = isr::Dialect::Sasl2 { session, mechanism };
        isr::Initiator::new(isr::Ticket::of(dialect, key, None))
            .request(1)
            .unwrap()
    };
    let proof = || {
        let key = Token::read("k3y").unwrap();
        let mac = TokenProof::prove(key.secret(), Prover::Initiator, b"");
        TokenProof::new(Secret::new(mac.to_vec()), Secret::default())
    };
    Subject {
        name: "onetrip-isr: `LoginReceiver`",
        table: "isr/src/login.rs",
        state: &printed("state"),
        begins: &[("", &isr::LoginReceiver::new)],
        inputs: &[
            ("a login with inst-resume", &|machine| {
                with_env(|env| machine.login(env, &request(), mechanism, proof()));
            }),
            ("a login with one that is malformed", &|machine| {
                let bad = element("<inst-resume xmlns='urn:xmpp:isr:0'/>");
                with_env(|env| machine.login(env, &bad, mechanism, proof()));
            }),
            ("accept()", &|machine| {
                let proof = onetrip_core::stream::ResponderProof::read(&[0; 32]);
                machine.accept(proof.unwrap());
            }),
            ("answer() with resumed", &|machine| {
                let said = element(&format!("<resumed {SM} previd='s1' h='0'/>"));
                let _ = machine.answer(said);
            }),
            ("answer() with failed", &|machine| {
                let _ = machine.answer(element(&format!("<failed {SM}/>")));
            }),
            ("refuse()", &isr::LoginReceiver::refuse),
        ],
        drain: &|machine| machine.poll_action().is_some(),
    }
    .explore()
}
