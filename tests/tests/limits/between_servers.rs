//! What other servers may have proved or judged at a time, and what waits for a connection to them.

use onetrip_core::bidi;
use onetrip_core::dialback::{
    Action as Dialed, Ask, Checked, ConnectionId, Event as Outcome, Facts, Key, Reason, Receiving,
    ReceivingConfig, StreamId, Verdict,
};
use onetrip_core::stream::{Content, Domain, Pair, Stanza};
use onetrip_core::{Peers, PeersAction, PeersConfig, Request};
use onetrip_tests::servers::{Servers, dialback, domain, inbound, outbound, pair};

use crate::{Bound, check, env, parts};

/// Pairs that are asked for on one stream, each verified at once if that is wanted.
fn asked(pairs: usize, verified: bool) -> Option<String> {
    let mut config = ReceivingConfig::default();
    if verified {
        config.pending = 1;
    }
    let id = StreamId::new("s").unwrap();
    let mut machine = Receiving::new(ConnectionId(1), id).with_config(config);
    for number in 0..pairs {
        let pair = Pair::new(domain(&format!("d{number}.lit")), domain("montague.lit"));
        let key = Key::read("6b6579").unwrap();
        let facts = Facts::of(&pair, |name| name.as_str() == "montague.lit").secured();
        env(|env| machine.handle(env, &Ask { pair, key }, facts));
        while let Some(action) = machine.poll_action() {
            match action {
                Dialed::Request(verification) if verified => {
                    machine.verified(verification.ticket, Checked::ConnectFailed);
                }
                Dialed::Event(Outcome::Refused {
                    verdict: Verdict::Error(Reason::ResourceConstraint),
                    ..
                }) => {
                    return Some("resource-constraint".to_owned());
                }
                _ => {}
            }
        }
    }
    None
}

/// Stanzas of so many bytes in all that wait for a connection.
fn waiting(bytes: usize, stanzas: usize) -> Option<String> {
    let mut peers = Peers::new(PeersConfig::default());
    for text in parts(
        "<message from='a@capulet.lit' to='b@verona.lit'><body>",
        bytes,
        stanzas,
    ) {
        peers.route(Stanza::parse(text.as_bytes(), Content::Server).unwrap());
    }
    let mut returned = None;
    while let Some(action) = peers.poll_action() {
        if let PeersAction::Return { reason, .. } = action {
            returned = Some(reason.to_string());
        }
    }
    returned
}

#[test]
fn what_servers_prove_or_wait_for() {
    check(&[
        Bound {
            what: "verifications under way",
            allowed: 16,
            attempt: |pairs| asked(pairs, false),
            refusal: "resource-constraint",
        },
        Bound {
            what: "pairs that one stream may prove",
            allowed: 256,
            attempt: |pairs| asked(pairs, true),
            refusal: "resource-constraint",
        },
        Bound {
            what: "pairs on a stream that we opened",
            allowed: 256,
            attempt: |pairs| {
                let config = bidi::InitiatorConfig::default();
                let mut machine = bidi::Initiator::new(config, Content::Server, bidi::Layer::Tls);
                let ours = |name: &Domain| name.as_str() == "capulet.lit";
                let mut enter = |number| {
                    let pair = pair("capulet.lit", &format!("d{number}.lit"));
                    machine
                        .validated(&pair, bidi::Trust::Certificate, ours)
                        .err()
                };
                (0..pairs)
                    .find_map(&mut enter)
                    .map(|error| format!("{error:?}"))
            },
            refusal: "TooMany(256)",
        },
        Bound {
            what: "reverse requests that the caller has to judge",
            allowed: 16,
            attempt: |claims| {
                let (mut out, mut into) = (outbound(), inbound());
                (out.dialback, into.dialback) = (Some(dialback()), Some(dialback()));
                let mut servers = Servers::default();
                let [one, _] = servers.connect(out, into, true);
                for number in 0..claims {
                    let ask = format!(
                        "<db:result from='d{number}.montague.lit' to='capulet.lit'>6b6579</db:result>"
                    );
                    servers.give(one, ask.as_bytes()).unwrap();
                }
                let side = &servers.sides[one];
                let judged = side
                    .asked
                    .iter()
                    .filter(|asked| matches!(asked, Request::Reverse { .. }));
                assert_eq!(judged.count(), claims.min(16));
                let refused = side.written().contains("<resource-constraint ");
                refused.then(|| "resource-constraint".to_owned())
            },
            refusal: "resource-constraint",
        },
        Bound {
            what: "stanzas of one pair that wait for a connection",
            allowed: 256,
            attempt: |stanzas| waiting(200 * stanzas, stanzas),
            refusal: "resource-constraint",
        },
        Bound {
            what: "bytes that wait for connections",
            allowed: 4 * 1024 * 1024,
            attempt: |bytes| waiting(bytes, 32),
            refusal: "resource-constraint",
        },
    ]);
}
