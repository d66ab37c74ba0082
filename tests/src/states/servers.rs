//! Servers among each other: bidirectional streams, zero handshake.

use onetrip_core::bidi;
use onetrip_core::stream::{Content, Domain, Pair, Stanza};
use onetrip_core::zero_handshake::{Agreement, Link, Terms};

use super::{Diagram, Subject, element, late, printed, with_env};

pub(super) fn diagrams() -> Vec<Diagram> {
    vec![
        bidi_initiator(),
        bidi_receiver(),
        link("`Link`", "phase"),
        link("`Link`, what is read", "intake"),
    ]
}

fn domain(name: &str) -> Domain {
    Domain::new(name).unwrap()
}

fn pair() -> Pair {
    Pair::new(domain("capulet.lit"), domain("montague.lit"))
}

fn features(bidi: bool) -> minidom::Element {
    let mut features = element("<features xmlns='http://etherx.jabber.org/streams'/>");
    if bidi {
        features.append_child(bidi::feature());
    }
    features
}

fn bidi_initiator() -> Diagram {
    Subject {
        name: "onetrip-bidi: `Initiator`",
        table: "bidi/src/initiator.rs",
        state: &printed("state"),
        begins: &[("", &|| {
            let config = bidi::InitiatorConfig::default();
            bidi::Initiator::new(config, Content::Server, bidi::Layer::Tls)
        })],
        inputs: &[
            ("features with bidi", &|machine| {
                machine.features(&features(true))
            }),
            ("features without bidi", &|machine| {
                machine.features(&features(false))
            }),
            ("remembered()", &bidi::Initiator::remembered),
            ("authenticating()", &|machine| {
                let _ = machine.authenticating(bidi::Trust::Certificate);
            }),
            ("restart of SASL", &|machine| {
                machine.restart(bidi::Restart::Sasl)
            }),
            ("restart of TLS", &|machine| {
                machine.restart(bidi::Restart::Tls)
            }),
            ("validated()", &|machine| {
                let ours = |name: &Domain| name.as_str() == "capulet.lit";
                let _ = machine.validated(&pair(), bidi::Trust::Certificate, ours);
            }),
        ],
        drain: &|machine| machine.poll_action().is_some(),
    }
    .explore()
}

fn bidi_receiver() -> Diagram {
    let ours = |name: &Domain| name.as_str() == "montague.lit";
    Subject {
        name: "onetrip-bidi: `Receiver`",
        table: "bidi/src/receiver.rs",
        state: &printed("state"),
        begins: &[("", &|| {
            let config = bidi::ReceiverConfig::default();
            bidi::Receiver::new(config, Content::Server, bidi::Layer::Tls)
        })],
        inputs: &[
            ("announce()", &|machine| {
                let _ = machine.announce();
            }),
            ("bidi", &|machine| {
                let _ = machine.handle(&element("<bidi xmlns='urn:xmpp:bidi'/>"));
            }),
            ("authenticated()", &|machine| {
                let _ = machine.authenticated(pair(), ours);
            }),
            ("validated()", &|machine| {
                let _ = machine.validated(&pair(), ours);
            }),
            ("restart of SASL", &|machine| {
                machine.restart(bidi::Restart::Sasl)
            }),
            ("restart of TLS", &|machine| {
                machine.restart(bidi::Restart::Tls)
            }),
        ],
        drain: &|machine| machine.poll_action().is_some(),
    }
    .explore()
}

/// A link of the ground with the air.
fn new_link() -> Link {
    let (ground, air) = (domain("ground.example"), domain("air.example"));
    let peer = "198.51.100.7:5299".parse().unwrap();
    let terms = Terms::plain(vec![ground], vec![air], peer);
    let agreement = Agreement::new(terms).unwrap();
    let source = "198.51.100.7:40000".parse().unwrap();
    let admitted = agreement.accept_source(source, None).unwrap();
    let authorised = agreement.accept_plain(admitted).unwrap();
    with_env(|env| Link::new(&agreement, authorised, env))
}

fn link(name: &str, field: &'static str) -> Diagram {
    let take = |link: &mut Link, bytes: &[u8]| {
        let _ = with_env(|env| link.receive(env, bytes));
    };
    Subject {
        name: &format!("onetrip-zero-handshake: {name}"),
        table: "zero-handshake/src/link/mod.rs",
        state: &printed(field),
        begins: &[("", &new_link)],
        inputs: &[
            ("a stanza", &|link| {
                take(
                    link,
                    b"<message from='pilot@air.example' to='ops@ground.example'/>",
                );
            }),
            ("the beginning of a stanza", &|link| {
                take(link, b"<message ")
            }),
            ("the footer", &|link| take(link, b"</stream:stream>")),
            ("a stream header", &|link| {
                take(link, b"<?xml version='1.0'?>")
            }),
            ("the end of the transport", &|link| {
                with_env(|env| link.receive_eof(env))
            }),
            ("send()", &|link| {
                let stanza = b"<message from='ops@ground.example' to='pilot@air.example'/>";
                let stanza = Stanza::parse(stanza, Content::Server).unwrap();
                let _ = with_env(|env| link.send(env, &stanza));
            }),
            ("close()", &|link| with_env(|env| link.close(env))),
            ("set_unhandled(true)", &|link| link.set_unhandled(true)),
            ("set_unhandled(false)", &|link| link.set_unhandled(false)),
            ("its deadline", &|link| {
                let mut entropy = |out: &mut [u8]| out.fill(7);
                let env = &mut onetrip_core::stream::Env::new(late(), &mut entropy);
                link.handle_timeout(env);
            }),
        ],
        drain: &|link| link.poll_action().is_some(),
    }
    .explore()
}
