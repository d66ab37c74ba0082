//! What a login rests on: what was remembered of a server, and tokens.

use onetrip_core::fast;
use onetrip_core::quickstart::{self, Cache, Input, Key, Level, Policy, Stage, Step, Transport};
use onetrip_core::stream::{Jid, Prover, ResponderProof, Secret, Token, TokenProof};

use super::{Diagram, Subject, element, printed, with_env};

const MECHANISM: &str = "HT-SHA-256-NONE";

pub(super) fn diagrams() -> Vec<Diagram> {
    vec![attempt(), fast_initiator(), fast_receiver()]
}

fn juliet() -> Jid {
    "juliet@capulet.lit".parse().unwrap()
}

fn attempt() -> Diagram {
    let begin = |level: Level| {
        let key = Key::new(juliet().domain().clone(), None, Transport::StartTls);
        let mut policy = Policy::default();
        policy.force = Some(level);
        quickstart::Initiator::new(Cache::default().plan(&key, &policy))
    };
    let features = |machine: &mut quickstart::Initiator, stage: Stage| {
        let features = element("<features xmlns='http://etherx.jabber.org/streams'/>");
        machine.handle(Input::Features(stage, &features));
    };
    Subject {
        name: "onetrip-quickstart: `Initiator`",
        table: "",
        state: &|machine| {
            let over = format!("{machine:?}").contains("done: true");
            let state = printed("restart")(machine);
            if over { "Over".to_owned() } else { state }
        },
        begins: &[
            ("step by step", &|| begin(Level::Off)),
            ("pipelined", &|| begin(Level::Full)),
        ],
        inputs: &[
            ("the ClientHello sent ahead", &|machine| {
                machine.handle(Input::Ahead(Step::ClientHello));
            }),
            ("auth sent ahead", &|machine| {
                machine.handle(Input::Ahead(Step::Auth));
            }),
            ("the restart sent ahead", &|machine| {
                machine.handle(Input::Ahead(Step::Restart));
            }),
            ("features under TLS", &|machine| {
                features(machine, Stage::Secured)
            }),
            ("features behind SASL", &|machine| {
                features(machine, Stage::Authenticated)
            }),
            ("SASL refused", &|machine| {
                machine.handle(Input::SaslRefused)
            }),
            ("STARTTLS refused", &|machine| {
                machine.handle(Input::StartTlsRefused)
            }),
            ("another challenge", &|machine| {
                machine.handle(Input::AnotherChallenge)
            }),
            ("silence behind proceed", &|machine| {
                machine.handle(Input::TlsSilence)
            }),
            ("silence behind the restart", &|machine| {
                machine.handle(Input::RestartSilence);
            }),
            ("resumed", &|machine| machine.handle(Input::Resumed)),
            ("bound", &|machine| machine.handle(Input::Bound)),
            ("a later stanza answered", &|machine| {
                machine.handle(Input::LaterAnswer)
            }),
            ("silence behind a later stanza", &|machine| {
                machine.handle(Input::LaterSilence);
            }),
            ("the end of the connection", &|machine| {
                machine.handle(Input::Ended)
            }),
        ],
        drain: &|machine| machine.poll_action().is_some(),
    }
    .explore_to(4)
}

fn fast_initiator() -> Diagram {
    let now = fast::DateTime::from_unix_seconds(1_600_000_000);
    let later = fast::DateTime::from_unix_seconds(1_700_000_000);
    let policy = || fast::Policy::new([MECHANISM]);
    let feature = fast::Feature::new([MECHANISM]);
    Subject {
        name: "onetrip-fast: `Initiator`",
        table: "fast/src/initiator.rs",
        state: &|machine| {
            let printed = format!("{machine:?}");
            let (tried, asked) = (
                !printed.contains("tried: None"),
                !printed.contains("asked: None"),
            );
            let state = match (tried, asked) {
                (false, false) => "Idle",
                (true, false) => "Tried",
                (false, true) => "Asked",
                (true, true) => "TriedAndAsked",
            };
            state.to_owned()
        },
        begins: &[
            ("without a token", &|| {
                fast::Initiator::new(fast::Wallet::default(), policy())
            }),
            ("with a token", &|| {
                let mut wallet = fast::Wallet::default();
                let token = Token::read("t0k3n").unwrap();
                wallet.put(fast::Ticket::new(token, MECHANISM, later));
                fast::Initiator::new(wallet, policy())
            }),
        ],
        inputs: &[
            ("login() with a token", &|machine| {
                let _ = machine.login(now);
            }),
            ("request()", &|machine| {
                let _ = machine.request(&feature);
            }),
            ("success with a token", &|machine| {
                let token =
                    "<token xmlns='urn:xmpp:fast:0' token='new' expiry='2030-01-01T00:00:00Z'/>";
                let _ = machine.handle(&[element(token)]);
            }),
            ("success without a token", &|machine| {
                let _ = machine.handle(&[]);
            }),
            ("refused()", &fast::Initiator::refused),
        ],
        drain: &|_| false,
    }
    .explore()
}

fn fast_receiver() -> Diagram {
    let account = juliet();
    let now = fast::DateTime::from_unix_seconds(1_600_000_000);
    let login = |machine: &mut fast::Receiver, inline: &[&str]| {
        let inline: Vec<_> = inline.iter().map(|text| element(text)).collect();
        let attempt = fast::Attempt::new(&account, Some("c1"), &inline);
        let mac = TokenProof::prove(
            Token::read("t0k3n").unwrap().secret(),
            Prover::Initiator,
            b"",
        );
        let proof = TokenProof::new(Secret::new(mac.to_vec()), Secret::default());
        with_env(|env| machine.login(env, &attempt, MECHANISM, proof));
    };
    let done = |machine: &mut fast::Receiver, inline: &[&str]| {
        let inline: Vec<_> = inline.iter().map(|text| element(text)).collect();
        let attempt = fast::Attempt::new(&account, Some("c1"), &inline);
        with_env(|env| machine.authenticated(env, &attempt));
    };
    let fast = "<fast xmlns='urn:xmpp:fast:0'/>";
    let request = "<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-NONE'/>";
    Subject {
        name: "onetrip-fast: `Receiver`",
        table: "fast/src/receiver.rs",
        state: &printed("state"),
        begins: &[("", &|| fast::Receiver::new(fast::Feature::new([MECHANISM])))],
        inputs: &[
            ("login() with fast", &|machine| login(machine, &[fast])),
            ("login() without fast", &|machine| login(machine, &[])),
            ("swapped() with a fresh token", &|machine| {
                let proof = ResponderProof::read(&[0; 32]).unwrap();
                machine.swapped(Ok(fast::Accepted::new(proof, Some(now))));
            }),
            ("swapped() refused", &|machine| {
                machine.swapped(Err(fast::Refused::NotOffered));
            }),
            ("authenticated(), a token asked for", &|machine| {
                done(machine, &[request])
            }),
            ("authenticated(), none asked for", &|machine| {
                done(machine, &[])
            }),
            ("issued()", &|machine| machine.issued(now)),
            ("failed()", &fast::Receiver::failed),
        ],
        drain: &|machine| machine.poll_action().is_some(),
    }
    .explore()
}
